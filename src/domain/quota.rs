//! Which free certificates count against whom: the ledger of a holder and the ledger of a primary domain (QUOTA-01,
//! QUOTA-02). A ledger names orders; whether one still counts follows from the order, its certificate and the clock, so
//! that a slot returns at its moment without anybody writing (QUOTA-05, QUOTA-06).

use serde::{Deserialize, Serialize};

use super::account::Holder;
use super::{OrderId, Timestamp};

/// The free certificates of one root account (ACCT-02).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HolderLedger {
    /// Whose.
    pub holder: Holder,
    /// What may still count against the quota, oldest first.
    pub slots: Vec<Slot>,
    /// Packages of further free certificates, oldest first (QUOTA-07).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub packages: Vec<Package>,
}

/// The free certificates of one primary domain, whoever has them (QUOTA-03).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DomainLedger {
    /// The registrable name.
    pub domain: String,
    /// Whether it is registered with the provider (QUOTA-13), and since when that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider_since: Option<Timestamp>,
    /// What may still count, oldest first.
    pub slots: Vec<Slot>,
    /// Certificates issued on other platforms, which count until they expire (QUOTA-04).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub elsewhere: Vec<Elsewhere>,
}

/// A free certificate that was ordered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slot {
    /// The order.
    pub order: OrderId,
    /// Its primary domain.
    pub domain: String,
    /// What it was deducted from.
    pub pool: Pool,
    /// When it was reserved.
    pub since: Timestamp,
}

/// What a free certificate is deducted from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pool {
    /// The quota for domains of any registrar.
    Any,
    /// The quota for domains registered with the provider (QUOTA-08).
    Provider,
    /// A package (QUOTA-07).
    Package,
}

/// A package of free certificates beyond the quota: used up, not lent (QUOTA-07).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Package {
    /// Its id.
    pub id: super::PackageId,
    /// How many certificates it holds.
    pub size: u32,
    /// When it was granted.
    pub granted: Timestamp,
    /// When what is left of it lapses; none for never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// How many led to a certificate: they are used up for good.
    #[serde(default)]
    pub spent: u32,
    /// Unfinished orders that took one each; those that end without a certificate give it back.
    pub orders: Vec<OrderId>,
}

/// Certificates for a primary domain that were issued on another platform, as the operator learned (QUOTA-04).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Elsewhere {
    /// How many end at that moment.
    pub count: u32,
    /// When they expire.
    pub not_after: Timestamp,
    /// Where they come from, in the operator's words.
    pub note: String,
}

impl HolderLedger {
    /// The ledger of a holder that has nothing yet.
    pub fn empty(holder: Holder) -> Self {
        Self { holder, slots: Vec::new(), packages: Vec::new() }
    }
}

impl DomainLedger {
    /// The ledger of a domain for which nothing is known yet.
    pub fn empty(domain: String) -> Self {
        Self { domain, provider_since: None, slots: Vec::new(), elsewhere: Vec::new() }
    }
}
