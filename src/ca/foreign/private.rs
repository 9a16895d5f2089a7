//! Private keys of the international standard: RSA, ECDSA and Ed25519, in PKCS#8 or in the older forms of their own.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, ECDSA_P521_SHA512_ASN1_SIGNING, EcdsaKeyPair,
    EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair, RsaKeyPair,
};
use zeroize::Zeroizing;

use super::Private;
use crate::ca::der;

const RSA: &[u8] = &[0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00];
pub(super) const EC: &[u8] = &[0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];

/// A curve: what people call it, its OID, DER, and how it signs.
type Curve = (&'static str, &'static [u8], &'static EcdsaSigningAlgorithm);

const CURVES: [Curve; 3] = [
    ("P-256", &[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07], &ECDSA_P256_SHA256_ASN1_SIGNING),
    ("P-384", &[0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22], &ECDSA_P384_SHA384_ASN1_SIGNING),
    ("P-521", &[0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x23], &ECDSA_P521_SHA512_ASN1_SIGNING),
];

/// Reads a key by the label of its block.
pub(super) fn read(label: &str, octets: &[u8]) -> Option<Private> {
    match label {
        "PRIVATE KEY" => pkcs8(octets),
        "RSA PRIVATE KEY" => pkcs8(&wrapped(&[RSA], octets)),
        "EC PRIVATE KEY" => CURVES.iter().find_map(|(_, curve, _)| pkcs8(&wrapped(&[EC, curve], octets))),
        _ => None,
    }
}

/// RFC 5958: a key in the form of its own as PKCS#8.
pub(super) fn wrapped(algorithm: &[&[u8]], key: &[u8]) -> Zeroizing<Vec<u8>> {
    let algorithm = der::encode(der::SEQUENCE, algorithm);
    let key = Zeroizing::new(der::encode(der::OCTET_STRING, &[key]));
    Zeroizing::new(der::encode(der::SEQUENCE, &[&[der::INTEGER, 1, 0], &algorithm, &key]))
}

fn pkcs8(octets: &[u8]) -> Option<Private> {
    let private =
        |kind: String, public: &[u8]| Private { kind, public: public.to_vec(), pkcs8: Zeroizing::new(octets.to_vec()) };
    for (name, _, algorithm) in CURVES {
        if let Ok(pair) = EcdsaKeyPair::from_pkcs8(algorithm, octets) {
            return Some(private(name.to_owned(), pair.public_key().as_ref()));
        }
    }
    if let Ok(pair) = RsaKeyPair::from_pkcs8(octets) {
        return Some(private(format!("RSA {}", pair.public_modulus_len() * 8), pair.public_key().as_ref()));
    }
    let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(octets).ok()?;
    Some(private("Ed25519".to_owned(), pair.public_key().as_ref()))
}
