//! Keys known to be weak or compromised, read from the files of `[catalog] weak_keys` (Baseline Requirements 6.1.1.3).

use super::fault::Fault;
use crate::domain::csr::Csr;

/// Longest part of a bad line that a fault shows.
const SHOWN: usize = 80;

/// Keys that no certificate is issued for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WeakKeys {
    /// SHA-256 of SubjectPublicKeyInfos, sorted, each once.
    spki_sha256: Vec<[u8; 32]>,
    /// RSA keys as in Debian's openssl-blacklist, sorted, each once.
    debian: Vec<[u8; 10]>,
}

/// Which list a key stands on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listed {
    /// By the SHA-256 of its SubjectPublicKeyInfo: known to be compromised.
    Compromised,
    /// In the format of Debian's openssl-blacklist: made by a generator that could be foreseen, or published.
    Debian,
}

impl WeakKeys {
    /// Reads a file's text, with a fault for every bad line. A line is 64 hexadecimal digits (SHA-256 of a
    /// SubjectPublicKeyInfo), or 20: the last ones of SHA-1 over the line `Modulus=<HEX>` with its line feed that
    /// `openssl rsa -noout -modulus` prints, as in the files `blacklist.RSA-*` of Debian's openssl-blacklist
    /// (openssl-vulnkey(1)). Empty lines, and what follows a `#`, say nothing.
    pub fn parse(text: &str) -> Result<Self, Vec<Fault>> {
        let (mut keys, mut faults) = (Self::default(), Vec::new());
        for (place, line) in text.lines().enumerate() {
            let entry = line.split('#').next().unwrap_or_default().trim();
            if entry.is_empty() {
                continue;
            }
            match (octets::<32>(entry), octets::<10>(entry)) {
                (Some(hash), _) => keys.spki_sha256.push(hash),
                (_, Some(fingerprint)) => keys.debian.push(fingerprint),
                (None, None) => faults.push(fault(place + 1, entry)),
            }
        }
        if faults.is_empty() { Ok(keys.sorted()) } else { Err(faults) }
    }

    /// The keys of both.
    #[must_use]
    pub fn merge(mut self, other: Self) -> Self {
        self.spki_sha256.extend(other.spki_sha256);
        self.debian.extend(other.debian);
        self.sorted()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.spki_sha256.is_empty() && self.debian.is_empty()
    }

    /// Which list the key of a request stands on, if any.
    pub fn listed(&self, csr: &Csr) -> Option<Listed> {
        if self.spki_sha256.binary_search(&csr.spki_sha256).is_ok() {
            return Some(Listed::Compromised);
        }
        let fingerprint = csr.debian_fingerprint?;
        self.debian.binary_search(&fingerprint).is_ok().then_some(Listed::Debian)
    }

    fn sorted(mut self) -> Self {
        self.spki_sha256.sort_unstable();
        self.spki_sha256.dedup();
        self.debian.sort_unstable();
        self.debian.dedup();
        self
    }
}

fn fault(line: usize, entry: &str) -> Fault {
    let shown: String = entry.chars().take(SHOWN).collect();
    let reason = format!(
        "\"{}\" is neither 64 hexadecimal digits (SHA-256 of a SubjectPublicKeyInfo) nor 20 (as in Debian's \
         openssl-blacklist)",
        shown.escape_debug()
    );
    Fault { line: Some(line), ..Fault::new("", reason) }
}

/// So many octets, if the text is their hexadecimal digits and nothing else.
fn octets<const N: usize>(text: &str) -> Option<[u8; N]> {
    if text.len() != 2 * N {
        return None;
    }
    let digit = |digit: u8| char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok());
    let mut octets = [0; N];
    for (octet, pair) in octets.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *octet = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(octets)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "00112233445566778899aabbccddeeff00112233445566778899AABBCCDDEEFF";

    #[test]
    fn both_kinds_of_entries_are_read_between_comments() {
        let text = format!("# SPKI\r\n{HASH}\r\n\n  0123456789abcdef0123 # with a word on it\n{HASH}\n#\n");
        let keys = WeakKeys::parse(&text).unwrap();
        assert_eq!((keys.spki_sha256.len(), keys.debian.len()), (1, 1), "twice is once");
        assert_eq!(keys.spki_sha256[0][..4], [0x00, 0x11, 0x22, 0x33]);
        assert_eq!(keys.debian[0], [0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef, 0x01, 0x23]);
        assert!(!keys.is_empty() && WeakKeys::parse("# nothing\n\n").unwrap().is_empty());
    }

    #[test]
    fn merging_keeps_what_either_has() {
        let read = |text: &str| WeakKeys::parse(text).unwrap();
        let (one, other) = (read(HASH), read("ffffffffffffffffffff\n00000000000000000000"));
        let both = one.clone().merge(other.clone());
        assert_eq!(both, other.clone().merge(one.clone()));
        assert_eq!(both, both.clone().merge(one.clone()));
        assert_eq!((both.spki_sha256, both.debian), (one.spki_sha256, other.debian));
    }

    #[test]
    fn every_bad_line_is_told_with_its_number() {
        let long = "x".repeat(1000);
        let text = format!(
            "{HASH}\n{HASH}0\n0123456789abcdef012\n# fine\n\nzz\n0123456789abcdef01 3\n{long}\n+123456789abcdef0123"
        );
        let faults = WeakKeys::parse(&text).unwrap_err();
        let lines: Vec<usize> = faults.iter().filter_map(|fault| fault.line).collect();
        assert_eq!(lines, [2, 3, 6, 7, 8, 9]);
        assert!(faults.iter().all(|fault| fault.reason.len() < 250), "{faults:?}");
        assert!(faults[2].reason.contains("\"zz\"") && faults[2].reason.contains("64 hexadecimal digits"));
    }
}
