//! A file that is kept for a customer: a letter, a private key. What is in it is sealed.

use serde::{Deserialize, Serialize};

use super::{CustomerId, DocumentId, Timestamp};

/// What is known of a file without opening it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Document {
    /// Its id.
    pub id: DocumentId,
    /// Whose it is.
    pub customer: CustomerId,
    /// What it is for.
    pub kind: DocumentKind,
    /// Its media type, by its content.
    pub media_type: String,
    /// What its owner calls it.
    pub name: String,
    /// How many octets it has.
    pub size: u64,
    /// Their SHA-256.
    #[serde(with = "super::certificate::hex32")]
    pub sha256: [u8; 32],
    /// How many parts it was cut into.
    pub parts: u32,
    /// When it was put in.
    pub at: Timestamp,
}

/// What a file is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DocumentKind {
    /// A letter with seal and signature, or what else shows who somebody is.
    Letter,
    /// A private key, PKCS#8.
    PrivateKey,
    /// A private key, PKCS#8, that its owner's password locks (KEY-04).
    LockedKey,
}

/// A part of a file, sealed: the store takes no record of any length.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DocumentPart {
    /// Which file.
    pub document: DocumentId,
    /// Which part, from 0 on.
    pub number: u32,
    /// Its content, sealed under the file's id and this number.
    #[serde(with = "super::certificate::base64_bytes")]
    pub sealed: Vec<u8>,
}
