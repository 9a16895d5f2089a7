//! Account keys: a public JWK, strictly read, with its RFC 7638 thumbprint.

use serde::{Deserialize, Serialize};

use super::Result;

/// A public key that may sign ACME requests. Two spellings of one key are one value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountKey {
    /// The required members in lexical order without white space (RFC 7638 section 3.2): also a valid JWK.
    jwk: String,
    /// base64url(SHA-256(jwk)).
    thumbprint: String,
}

/// Signature algorithms of requests (RFC 7518, RFC 8037), each belonging to one kind of key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SignatureAlgorithm {
    Es256,
    Es384,
    Es512,
    EdDsa,
    Rs256,
}

impl AccountKey {
    /// Reads a JWK (JSON text). Refuses as `badPublicKey`, saying why: key types and curves that are not supported,
    /// members of the wrong length or with needless leading zeros, points off the curve, RSA keys that are not 2048 to
    /// 4096 bits or whose exponent or modulus is unfit, and JWKs with private members.
    pub fn from_jwk(json: &str) -> Result<Self> {
        let _ = json;
        unreachable!("being written")
    }

    /// The canonical JWK.
    pub fn jwk(&self) -> &str {
        &self.jwk
    }

    /// The RFC 7638 thumbprint, base64url.
    pub fn thumbprint(&self) -> &str {
        &self.thumbprint
    }

    /// The algorithm that goes with this key.
    pub fn algorithm(&self) -> SignatureAlgorithm {
        unreachable!("being written")
    }

    /// SHA-256 of the key as SubjectPublicKeyInfo, DER: to see whether a CSR holds an account's key.
    pub fn spki_sha256(&self) -> [u8; 32] {
        unreachable!("being written")
    }
}
