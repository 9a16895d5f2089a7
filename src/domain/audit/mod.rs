//! Legal acts, as the audit log keeps them (Baseline Requirements 5.4.1): one event for each, in the batch of the change.

mod act;

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

pub use act::Act;

use super::Timestamp;

/// An act, and when.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AuditEvent {
    /// When it was done.
    pub at: Timestamp,
    /// What was done.
    pub act: Act,
    /// By whom: `server`, `operator`, `customer ..`, `account ..`; empty in events of older versions.
    #[serde(default)]
    pub who: String,
    /// The address that the request came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<IpAddr>,
}

impl Act {
    /// The order, or the authorization of an order, in whose history the act stands.
    pub fn subject(&self) -> Option<&str> {
        match self {
            Self::OrderCreated { order, .. }
            | Self::ReviewBegun { order, .. }
            | Self::ReviewDecided { order, .. }
            | Self::ReviewLapsed { order }
            | Self::OrderTakenInHand { order, .. }
            | Self::LookAskedFor { order, .. }
            | Self::OrderLookedAt { order, .. }
            | Self::OrderFinalized { order, .. }
            | Self::OrderCanceled { order, .. }
            | Self::OrderFailed { order, .. }
            | Self::CaaChecked { order, .. }
            | Self::IssuancePutOff { order, .. }
            | Self::SecondSerialRecorded { order, .. }
            | Self::CertificateIssued { order, .. } => Some(order.as_str()),
            Self::ValidationRetried { authz, .. }
            | Self::ValidationSettled { authz, .. }
            | Self::AuthorizationDeactivated { authz } => Some(authz.as_str()),
            _ => None,
        }
    }
}
