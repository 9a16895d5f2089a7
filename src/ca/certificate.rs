//! Reading back certificates, and public keys, that others send.

use aws_lc_rs::digest;
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::x509::SubjectPublicKeyInfo;

use crate::domain::Serial;

/// The serial of a certificate (DER), if it is well formed, nothing follows it, and the serial is of this CA's kind.
pub fn serial_of(der: &[u8]) -> Option<Serial> {
    match X509Certificate::from_der(der) {
        Ok(([], certificate)) => Serial::from_der(certificate.raw_serial()),
        _ => None,
    }
}

/// SHA-256 of the SubjectPublicKeyInfo in a certificate (DER) of any issuer, if it is well formed and nothing follows it.
pub fn key_hash_of(der: &[u8]) -> Option<[u8; 32]> {
    match X509Certificate::from_der(der) {
        Ok(([], certificate)) => Some(sha256(certificate.public_key().raw)),
        _ => None,
    }
}

/// SHA-256 of a SubjectPublicKeyInfo (DER) of any algorithm, if it is well formed and nothing follows it.
pub fn key_hash(der: &[u8]) -> Option<[u8; 32]> {
    match SubjectPublicKeyInfo::from_der(der) {
        Ok(([], key)) => Some(sha256(key.raw)),
        _ => None,
    }
}

fn sha256(octets: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest::digest(&digest::SHA256, octets).as_ref());
    hash
}
