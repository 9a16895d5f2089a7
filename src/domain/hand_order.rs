//! An order that the server carries through for a customer who has no ACME client at hand: from the console, by REST, or by
//! automatic renewal.

use serde::{Deserialize, Serialize};

use super::certificate::base64_bytes;
use super::plan::Method;
use super::{CustomerId, KeyPairId, OrderId, Timestamp};

/// What the server needs to carry an order through.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct HandOrder {
    /// The order.
    pub order: OrderId,
    /// For whom.
    pub customer: CustomerId,
    /// How control of the names is shown; wildcards always by dns-01.
    pub method: Method,
    /// The CSR, DER.
    #[serde(with = "base64_bytes")]
    pub csr: Vec<u8>,
    /// The key pair that the CSR is of, if the server keeps it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_pair: Option<KeyPairId>,
    /// Whether the server placed it by itself: then it gives way to one that the customer places (VALIDITY-04).
    #[serde(default)]
    pub automatic: bool,
    /// When it was placed.
    pub placed: Timestamp,
    /// When the server looks at it next.
    pub next_look: Timestamp,
    /// What the last look found wrong, one sentence for each name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<String>,
}
