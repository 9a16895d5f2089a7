//! A certificate signing request after its parsing and the check of its signature.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::Identifier;

/// What a PKCS#10 request says; only `ca::csr::parse` makes one, so its signature has been verified.
#[derive(Debug, Clone)]
pub struct Csr {
    /// The request, DER.
    pub der: Vec<u8>,
    /// The subject's public key: SubjectPublicKeyInfo, DER, byte for byte as in the request.
    pub spki: Vec<u8>,
    /// What kind of key that is.
    pub key: SubjectKey,
    /// SHA-256 of `spki`.
    pub spki_sha256: [u8; 32],
    /// How Debian's openssl-blacklist names the key: the last ten octets of SHA-1 over `Modulus=<HEX>\n`. None unless the
    /// key is RSA.
    pub debian_fingerprint: Option<[u8; 10]>,
    /// The names: those of subjectAltName and the common name.
    pub names: BTreeSet<Identifier>,
    /// The common name as it stands in the request, if there is one.
    pub common_name: Option<String>,
    /// Whether the TLS feature `status_request` is asked for (RFC 7633).
    pub must_staple: bool,
}

/// Kinds of keys that certificates are issued for (Baseline Requirements 6.1.5, less P-521), and that of the national standard (CAT-13).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum SubjectKey {
    /// RSA with a modulus of 2048 bits.
    #[serde(rename = "rsa-2048")]
    Rsa2048,
    /// RSA with a modulus of 3072 bits.
    #[serde(rename = "rsa-3072")]
    Rsa3072,
    /// RSA with a modulus of 4096 bits.
    #[serde(rename = "rsa-4096")]
    Rsa4096,
    /// ECDSA on NIST P-256.
    #[serde(rename = "p-256")]
    P256,
    /// ECDSA on NIST P-384.
    #[serde(rename = "p-384")]
    P384,
    /// SM2, of the Chinese national standard (GB/T 32918).
    #[serde(rename = "sm2")]
    Sm2,
}

impl SubjectKey {
    /// Whether this is an RSA key.
    pub fn is_rsa(self) -> bool {
        matches!(self, Self::Rsa2048 | Self::Rsa3072 | Self::Rsa4096)
    }
}

impl fmt::Display for SubjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rsa2048 => "RSA 2048",
            Self::Rsa3072 => "RSA 3072",
            Self::Rsa4096 => "RSA 4096",
            Self::P256 => "P-256",
            Self::P384 => "P-384",
            Self::Sm2 => "SM2",
        })
    }
}
