//! A request of the REST API that may be sent again, and what was answered the first time.

use serde::{Deserialize, Serialize};

use super::Timestamp;

/// A request with a key (`Idempotency-Key`).
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Repeat {
    /// SHA-256 of the caller and the key.
    #[serde(with = "super::certificate::hex32")]
    pub key: [u8; 32],
    /// SHA-256 of the request.
    #[serde(with = "super::certificate::hex32")]
    pub request: [u8; 32],
    /// When it came first.
    pub at: Timestamp,
    /// How far it has come.
    pub state: RepeatState,
}

/// How far a request has come.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "lowercase")]
pub enum RepeatState {
    /// It was begun; whether it was carried out is not known.
    Begun,
    /// It was carried out.
    Done {
        /// What was answered; none if that holds a secret.
        answer: Option<StoredAnswer>,
    },
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredAnswer {
    /// The HTTP status.
    pub status: u16,
    /// `Content-Type`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// `Location`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    /// The body.
    pub body: String,
}
