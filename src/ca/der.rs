//! Just enough DER to walk a structure strictly and to write one down, apart from the libraries that are checked by it.

pub(super) const BIT_STRING: u8 = 0x03;
pub(super) const INTEGER: u8 = 0x02;
pub(super) const OCTET_STRING: u8 = 0x04;
pub(super) const OBJECT_IDENTIFIER: u8 = 0x06;
pub(super) const SEQUENCE: u8 = 0x30;
pub(super) const SET: u8 = 0x31;

/// One element: its tag, its content, and all of its octets.
#[derive(Debug, Clone, Copy)]
pub(super) struct Element<'a> {
    pub(super) tag: u8,
    pub(super) content: &'a [u8],
    pub(super) whole: &'a [u8],
}

/// The first element of `input` and what follows it. Tags above 30 and lengths that are not in their shortest form are
/// refused (X.690 section 10.1).
pub(super) fn take(input: &[u8]) -> Option<(Element<'_>, &[u8])> {
    let (&tag, rest) = input.split_first()?;
    if tag & 0x1f == 0x1f {
        return None;
    }
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81..=0x84 => {
            let (octets, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            let length = octets.iter().fold(0u64, |sum, b| sum << 8 | u64::from(*b));
            if octets[0] == 0 || length < 0x80 {
                return None;
            }
            (usize::try_from(length).ok()?, rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    let whole = &input[..input.len() - rest.len()];
    Some((Element { tag, content, whole }, rest))
}

/// The content of the one element with that tag that `input` consists of.
pub(super) fn only(input: &[u8], tag: u8) -> Option<&[u8]> {
    match take(input)? {
        (element, []) if element.tag == tag => Some(element.content),
        _ => None,
    }
}

/// The elements that `content` consists of, if there are exactly `N`.
pub(super) fn elements<const N: usize>(mut content: &[u8]) -> Option<[Element<'_>; N]> {
    let mut found = [Element { tag: 0, content: &[], whole: &[] }; N];
    for slot in &mut found {
        (*slot, content) = take(content)?;
    }
    content.is_empty().then_some(found)
}

/// An element with that tag whose content is `parts` one after the other.
pub(super) fn encode(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let mut element = Vec::with_capacity(length + 6);
    element.push(tag);
    match length {
        0..=0x7f => element.push(length as u8),
        _ => {
            let octets = length.to_be_bytes();
            let octets = &octets[octets.iter().position(|b| *b != 0).unwrap_or(0)..];
            element.push(0x80 | octets.len() as u8);
            element.extend_from_slice(octets);
        }
    }
    parts.iter().for_each(|part| element.extend_from_slice(part));
    element
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_read_as_they_were_written() {
        for length in [0, 1, 127, 128, 255, 256, 65_535, 65_536] {
            let content = vec![7; length];
            let element = encode(SEQUENCE, &[&content]);
            assert_eq!(only(&element, SEQUENCE), Some(&content[..]));
            assert_eq!(only(&element, SET), None);
            assert_eq!(only(&[&element[..], &[0]].concat(), SEQUENCE), None);
        }
    }

    #[test]
    fn lengths_that_are_not_shortest_or_do_not_fit_are_refused() {
        for bad in [
            &[][..],
            &[0x30],
            &[0x30, 1],
            &[0x30, 0x80, 0, 0],
            &[0x30, 0x81, 1, 0],
            &[0x30, 0x82, 0, 0x80],
            &[0x30, 0x85, 0, 0, 0, 0, 1, 0],
            &[0x30, 0xff],
            &[0x1f, 0x81, 0x01, 0],
        ] {
            assert!(take(bad).is_none(), "{bad:?}");
        }
    }
}
