//! A customer of the certificate service, and the MAC keys that bind ACME accounts to it.

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::account::Holder;
use super::{CustomerId, Error, Identifier, Kind, Result, Timestamp};

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
    /// Where messages about its account go (ACCT-04).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// How far its identity check is (ACCT-01).
    #[serde(default)]
    pub identity: Identity,
    /// When it was made.
    pub created: Timestamp,
}

/// How far the identity check of a customer is (ACCT-01). Whoever was there before it was kept was checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "lowercase")]
pub enum Identity {
    /// It is to be done.
    Pending,
    /// The customer is who it says it is.
    Checked {
        /// When that was found; none for customers of an earlier version.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        at: Option<Timestamp>,
        /// What it rests on.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        note: Option<String>,
    },
    /// It is not.
    Refused {
        /// When that was found.
        at: Timestamp,
        /// Why.
        note: String,
    },
}

impl Default for Identity {
    fn default() -> Self {
        Self::Checked { at: None, note: None }
    }
}

impl Customer {
    /// The customer, if its identity was checked (ACCT-01).
    pub fn checked(&self) -> Result<&Self> {
        match &self.identity {
            Identity::Checked { .. } => Ok(self),
            Identity::Pending => Err(Error::new(
                Kind::UserActionRequired,
                "Complete the identity verification of your account first (ACCT-01).",
            )),
            Identity::Refused { note, .. } => Err(Error::new(
                Kind::UserActionRequired,
                format!("The identity verification of your account failed: {note} Ask the service (ACCT-01)."),
            )),
        }
    }
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
    /// The only domains for which accounts bound with it may order, each with everything below it; none for all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub domains: Vec<String>,
    /// How many accounts it has bound.
    #[serde(default)]
    pub uses: u32,
    /// How many it may bind; none for any number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub most_uses: Option<u32>,
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
        let left = self.most_uses.is_none_or(|most| self.uses < most);
        left && self.revoked.is_none() && self.expires.is_none_or(|end| now < end)
    }
}

/// Whether a name lies in one of those domains; no domains are all.
pub fn within(domains: &[String], name: &Identifier) -> bool {
    let Identifier::Dns(name) = name else { return domains.is_empty() };
    let name = name.as_str().trim_start_matches("*.");
    let below =
        |domain: &String| name.strip_suffix(domain.as_str()).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
    domains.is_empty() || domains.iter().any(below)
}

impl std::fmt::Debug for ExternalKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ExternalKey").field("kid", &self.kid).field("customer", &self.customer).finish_non_exhaustive()
    }
}
