//! An access token of the REST API: who may act, as what, until when. Only a hash of its secret is kept.

use serde::{Deserialize, Serialize};

use super::{CustomerId, Timestamp, TokenId};

/// A token, as it is kept.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Token {
    /// Its id, which is also the first part of its text.
    pub id: TokenId,
    /// Who has it: what the operation log calls them.
    pub name: String,
    /// What it lets them do.
    pub role: Role,
    /// SHA-256 of its secret.
    #[serde(with = "super::certificate::hex32")]
    pub sha256: [u8; 32],
    /// When it was made.
    pub created: Timestamp,
    /// When it ends; none for never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
    /// When it was withdrawn; none while it is in use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked: Option<Timestamp>,
}

/// What somebody may do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "lowercase")]
pub enum Role {
    /// Everything that is one customer's own.
    Customer {
        /// The customer.
        customer: CustomerId,
    },
    /// The review desk.
    Reviewer,
    /// Everything.
    Operator,
}

impl Role {
    /// Its word.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Customer { .. } => "customer",
            Self::Reviewer => "reviewer",
            Self::Operator => "operator",
        }
    }

    /// The customer whose token it is.
    pub fn customer(&self) -> Option<&CustomerId> {
        match self {
            Self::Customer { customer } => Some(customer),
            Self::Reviewer | Self::Operator => None,
        }
    }
}

impl Token {
    /// Whether it lets anybody in at `now`.
    pub fn usable(&self, now: Timestamp) -> bool {
        self.revoked.is_none() && self.expires.is_none_or(|end| now < end)
    }
}
