//! PEM as people have it: text around the blocks, and END markers that do not repeat what BEGIN said (UPLOAD-06).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The blocks of a text that can be read: the label of BEGIN, and the octets. Of keys, END may name another kind of key.
pub(super) fn blocks(text: &str) -> Vec<(String, Vec<u8>)> {
    let mut blocks = Vec::new();
    let mut rest = text;
    while let Some((label, after)) = marker(rest, "-----BEGIN ") {
        let Some(end) = after.find("-----END ") else { break };
        let Some((closing, following)) = marker(&after[end..], "-----END ") else { break };
        rest = following;
        let both_keys = label.ends_with("PRIVATE KEY") && closing.ends_with("PRIVATE KEY");
        let body: String = after[..end].chars().filter(|c| !c.is_ascii_whitespace()).collect();
        if let Some(octets) = STANDARD.decode(body).ok().filter(|_| label == closing || both_keys) {
            blocks.push((label.to_owned(), octets));
        }
    }
    blocks
}

/// The label of the first such marker, and what follows it.
fn marker<'t>(text: &'t str, begin: &str) -> Option<(&'t str, &'t str)> {
    let after = &text[text.find(begin)? + begin.len()..];
    after.split_once("-----")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_found_in_text_and_keys_may_end_otherwise_than_they_begin() {
        let text = "Bag Attributes\n-----BEGIN CERTIFICATE-----\nAAEC\n-----END CERTIFICATE-----\nmore\n\
                    -----BEGIN EC PRIVATE KEY-----\r\nAw==\r\n-----END PRIVATE KEY-----\n";
        let expected = [("CERTIFICATE".to_owned(), vec![0, 1, 2]), ("EC PRIVATE KEY".to_owned(), vec![3])];
        assert_eq!(blocks(text), expected);
        for bad in [
            "",
            "-----BEGIN CERTIFICATE-----",
            "-----BEGIN CERTIFICATE-----\nAA\n-----END CERT",
            "-----BEGIN CERTIFICATE-----\nAAEC\n-----END PRIVATE KEY-----",
            "-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----",
        ] {
            assert_eq!(blocks(bad), [], "{bad}");
        }
    }
}
