//! Private keys on the curve of SM2 (GB/T 32918.5). Nothing is signed with them here: only the public key is computed, so that a
//! key is known to be that of its certificate.

use zeroize::Zeroizing;

use super::Private;
use super::private::{EC, wrapped};
use crate::ca::{der, sm2};

/// 1.2.156.10197.1.301
const CURVE: &[u8] = &[0x06, 0x08, 0x2a, 0x81, 0x1c, 0xcf, 0x55, 0x01, 0x82, 0x2d];

/// Reads a key, whatever of the two forms its label promises (UPLOAD-06).
pub(super) fn read(label: &str, octets: &[u8]) -> Option<Private> {
    if !label.ends_with("PRIVATE KEY") {
        return None;
    }
    let sec1 = inner(octets).unwrap_or(octets);
    let public = sm2::public_key(&*scalar(sec1)?)?;
    Some(Private { kind: "SM2".to_owned(), public, pkcs8: wrapped(&[EC, CURVE], sec1) })
}

/// The ECPrivateKey within PKCS#8, if it is one of this curve.
fn inner(octets: &[u8]) -> Option<&[u8]> {
    let (version, rest) = der::take(der::only(octets, der::SEQUENCE)?)?;
    let (algorithm, rest) = der::take(rest)?;
    let (key, _) = der::take(rest)?;
    let [name, curve] = der::elements(algorithm.content)?;
    let ours = version.tag == der::INTEGER && name.whole == EC && curve.whole == CURVE;
    (ours && key.tag == der::OCTET_STRING).then_some(key.content)
}

/// The secret number of an ECPrivateKey (RFC 5915), to its 32 octets.
fn scalar(sec1: &[u8]) -> Option<Zeroizing<[u8; 32]>> {
    let (version, rest) = der::take(der::only(sec1, der::SEQUENCE)?)?;
    let (key, _) = der::take(rest)?;
    if version.whole != [der::INTEGER, 1, 1] || key.tag != der::OCTET_STRING {
        return None;
    }
    let mut secret = Zeroizing::new([0; 32]);
    let padding = 32_usize.checked_sub(key.content.len())?;
    secret[padding..].copy_from_slice(key.content);
    Some(secret)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn public_keys_are_those_of_the_standard() {
        // GB/T 32918.5 annex A.2
        let octets = |digits: &str| -> Vec<u8> {
            (0..digits.len() / 2).map(|n| u8::from_str_radix(&digits[2 * n..2 * n + 2], 16).unwrap()).collect()
        };
        let secret = octets("3945208F7B2144B13F36E38AC6D39F95889393692860B51A42FB81EF4DF7C5B8");
        let expected = "0409F9DF311E5421A150DD7D161E4BC5C672179FAD1833FC076BB08FF356F35020\
                        CCEA490CE26775A52DC6EA718CC1AA600AED05FBF35E084A6632F6072DA9AD13";
        let sec1 = der::encode(der::SEQUENCE, &[&[der::INTEGER, 1, 1], &der::encode(der::OCTET_STRING, &[&secret])]);
        assert_eq!(read("EC PRIVATE KEY", &sec1).unwrap().public, octets(expected));
    }
}
