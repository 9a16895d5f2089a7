//! A certificate of whatever CA that a customer uploaded (UPLOAD-01).

use serde::{Deserialize, Serialize};

use super::{CustomerId, DocumentId, Timestamp, UploadId};

/// An uploaded certificate.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Upload {
    /// Its id.
    pub id: UploadId,
    /// Whose it is.
    pub customer: CustomerId,
    /// What it follows (UPLOAD-02).
    pub standard: Standard,
    /// The certificate with its chain and key; for SM2 that for signatures.
    pub pair: UploadedPair,
    /// The second one, for encryption (UPLOAD-05).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encryption: Option<UploadedPair>,
    /// The names in it.
    pub names: Vec<String>,
    /// Who it was issued to.
    pub subject: String,
    /// Who issued it.
    pub issuer: String,
    /// Its serial number, hexadecimal.
    pub serial: String,
    /// The kind of its key: `RSA 2048`, `SM2`.
    pub key: String,
    /// First second of its validity.
    pub not_before: Timestamp,
    /// Last second of its validity.
    pub not_after: Timestamp,
    /// When it was uploaded.
    pub uploaded: Timestamp,
}

/// What an uploaded certificate follows (UPLOAD-02).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Standard {
    /// The international standard: RSA, ECDSA.
    International,
    /// The Chinese national standard.
    Sm2,
}

/// A certificate with its chain, and its private key.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct UploadedPair {
    /// The chain, DER, the leaf first.
    pub chain: Vec<Der>,
    /// The private key in the vault, PKCS#8 or SEC 1 as it was uploaded.
    pub key: DocumentId,
}

/// A certificate, DER.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Der(#[serde(with = "super::certificate::base64_bytes")] pub Vec<u8>);

impl UploadedPair {
    /// The chain, DER, the leaf first.
    pub fn ders(&self) -> Vec<Vec<u8>> {
        self.chain.iter().map(|Der(der)| der.clone()).collect()
    }
}
