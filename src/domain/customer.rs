//! A customer of the certificate service, and the MAC keys that bind ACME accounts to it.

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::account::Holder;
use super::{CustomerId, Timestamp};

/// A customer.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Customer {
    /// Its id.
    pub id: CustomerId,
    /// What it is called.
    pub name: String,
    /// A person or an organisation.
    pub kind: CustomerKind,
    /// Its standing with the service, on which the older quotas depend (ACCT-05).
    #[serde(default)]
    pub tier: Tier,
    /// When it was made.
    pub created: Timestamp,
}

/// A customer's standing (ACCT-05, QUOTA-08, QUOTA-09).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tier {
    /// An ordinary customer; individuals with the level V1 are the same.
    #[default]
    Standard,
    /// An individual of the level V2.
    V2,
    /// An enterprise that had valid free certificates when the quota was lowered.
    Kept,
}

/// An operator's word that a name is no sensitive one for a holder (WORD-04).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clearance {
    /// For whom.
    pub holder: Holder,
    /// The name, as it was ordered.
    pub name: String,
    /// When.
    pub at: Timestamp,
    /// Why, in the operator's words.
    pub note: String,
}

/// What a customer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CustomerKind {
    /// A person.
    Individual,
    /// An organisation.
    Enterprise,
}

/// A MAC key for external account binding (RFC 8555 section 7.3.4), given to a customer out of band.
#[derive(Clone, Serialize, Deserialize)]
pub struct ExternalKey {
    /// The key identifier, ASCII.
    pub kid: String,
    /// The customer it was given to.
    pub customer: CustomerId,
    /// The only product it may be used for, if it is bound to one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub product: Option<String>,
    /// The MAC key, base64url.
    pub hmac_key: Zeroizing<String>,
    /// When it was made.
    pub created: Timestamp,
    /// When it stops binding new accounts; none for never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
    /// When it was withdrawn; none while it is in use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked: Option<Timestamp>,
}

impl ExternalKey {
    /// Whether a new account may be bound with it at `now`.
    pub fn usable(&self, now: Timestamp) -> bool {
        self.revoked.is_none() && self.expires.is_none_or(|end| now < end)
    }
}

impl std::fmt::Debug for ExternalKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ExternalKey").field("kid", &self.kid).field("customer", &self.customer).finish_non_exhaustive()
    }
}
