//! Legal acts, as the audit log keeps them (Baseline Requirements 5.4.1): one event for each, in the batch of the change.

mod act;
mod evidence;

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

pub use act::Act;
pub use evidence::{ChainHead, Changed, Observation, Proof, Signature, Vetting};

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
    /// The node that wrote it, on whose chain it is; none in events of older versions, which had one chain, and whose index
    /// knew orders and authorizations alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<u16>,
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
            | Self::AuthorizationTaken { authz, .. }
            | Self::AuthorizationDeactivated { authz } => Some(authz.as_str()),
            _ => None,
        }
    }

    /// What else the act is about, as the index of events has it: `certificate:serial`, `application:id`, `purchase:id`.
    pub fn about(&self) -> Vec<String> {
        match self {
            Self::CertificateIssued { serial, .. }
            | Self::CertificateRevoked { serial, .. }
            | Self::RevocationRequested { serial, .. }
            | Self::ReissueRequested { serial, .. }
            | Self::ServerCertificateIssued { serial, .. }
            | Self::OwnCertificateSigned { serial, .. } => vec![format!("certificate:{serial}")],
            Self::MatterJudged { matter, .. } | Self::MatterNoted { matter, .. } => vec![matter.clone()],
            Self::ApplicationSubmitted { application, purchase, .. } => {
                vec![format!("application:{application}"), format!("purchase:{purchase}")]
            }
            Self::ApplicationReopened { application } | Self::LetterUploaded { application } => {
                vec![format!("application:{application}")]
            }
            Self::PurchaseCreated { purchase, .. } => vec![format!("purchase:{purchase}")],
            _ => Vec::new(),
        }
    }

    /// Everything that the index leads to this act from: its subject, and what else it is about.
    pub fn indexed(&self) -> Vec<String> {
        self.subject().map(str::to_owned).into_iter().chain(self.about()).collect()
    }

    /// The act with evidence of a bounded length.
    #[must_use]
    pub fn bounded(mut self) -> Self {
        match &mut self {
            Self::ValidationRetried { evidence, .. }
            | Self::ValidationSettled { evidence, .. }
            | Self::CaaChecked { evidence, .. }
            | Self::MatterJudged { evidence, .. }
            | Self::RevocationLookedAt { evidence, .. } => evidence::cut(evidence),
            Self::OrderLookedAt { findings, .. } => evidence::cut(findings),
            _ => {}
        }
        self
    }
}
