//! An order (RFC 8555 section 7.1.3): from the names asked for to the certificate.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::authz::{Authorization, AuthzState, AuthzStatus};
use super::certificate::base64_bytes;
use super::limit::Allowance;
use super::{
    AccountId, ApplicationId, AuthzId, Error, Identifier, JobId, Kind, OrderId, Problem, PurchaseId, Result, Serial,
    Timestamp,
};

/// An order.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Order {
    /// Part of its URL.
    pub id: OrderId,
    /// Whose it is.
    pub account: AccountId,
    /// The product, which is also the ACME profile.
    pub product: String,
    /// The names, without repetition, in the order asked for.
    pub identifiers: Vec<Identifier>,
    /// The authorizations, one for each name, in the same order.
    pub authorizations: Vec<AuthzId>,
    /// First moment of validity, if one was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Timestamp>,
    /// Last moment of validity, if one was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_after: Option<Timestamp>,
    /// The certificate this order says it replaces (RFC 9773 section 5), as the client wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<String>,
    /// What it is to its holder's earlier certificates.
    #[serde(default, skip_serializing_if = "Purpose::is_new")]
    pub purpose: Purpose,
    /// The holder's certificate of the same product for the same names when it was placed: should this order come to
    /// nothing, that one is again what they have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub earlier: Option<Serial>,
    /// The purchase that paid for it: it uses a term of it, or is the reissue of an order that does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub purchase: Option<PurchaseId>,
    /// The application whose organisation the certificate will name (BUY-03).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub application: Option<ApplicationId>,
    /// What it takes of the rate limits.
    #[serde(default, skip_serializing_if = "Allowance::is_whole")]
    pub allowance: Allowance,
    /// Why a person must look at it before it is issued; none: nobody needs to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<ReviewCause>,
    /// When it was placed.
    pub created: Timestamp,
    /// When it ends if it is not fulfilled.
    pub expires: Timestamp,
    /// How far it has come.
    pub phase: Phase,
}

/// What an order is to its holder's earlier certificates (REISSUE-07).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "lowercase")]
pub enum Purpose {
    /// An application of its own.
    #[default]
    New,
    /// The follow-up of a certificate whose term is about to end: a new term, and the remaining days on top
    /// (VALIDITY-06).
    Renewal {
        /// The certificate that ends.
        of: Serial,
    },
    /// The same certificate once more, within its term: same names, same end, nothing charged (REISSUE-05).
    Reissue {
        /// The certificate that it stands in for.
        of: Serial,
    },
}

impl Purpose {
    /// Whether it is an application of its own.
    pub fn is_new(&self) -> bool {
        *self == Self::New
    }
}

/// Why a person must look at an order (WORD-05).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReviewCause {
    /// The name in question.
    pub name: String,
    /// What about it, for the reviewer.
    pub reason: String,
}

/// How far an order has come. What the authorizations and the clock decide is not stored here but derived.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "lowercase")]
pub enum Phase {
    /// Waiting for authorizations or for a CSR.
    Open,
    /// A CSR was accepted; a person decides whether the certificate is made.
    Review {
        /// The CSR, DER.
        #[serde(with = "base64_bytes")]
        csr: Vec<u8>,
        /// When it was accepted.
        since: Timestamp,
    },
    /// A CSR was accepted; the certificate is being made.
    Issuing {
        /// The CSR, DER.
        #[serde(with = "base64_bytes")]
        csr: Vec<u8>,
        /// The serial recorded for the signature that comes next.
        serial: Serial,
        /// The job that carries it out.
        job: JobId,
        /// When the CSR was accepted.
        since: Timestamp,
    },
    /// Fulfilled.
    Issued {
        /// The CSR, DER, by which a repeated finalize is known.
        #[serde(with = "base64_bytes")]
        csr: Vec<u8>,
        /// The certificate.
        serial: Serial,
    },
    /// Ended without a certificate.
    Failed {
        /// Why.
        problem: Problem,
        /// When.
        at: Timestamp,
    },
}

/// The status of an order at a moment (RFC 8555 section 7.1.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OrderStatus {
    Pending,
    Ready,
    Processing,
    Valid,
    Invalid,
}

impl Order {
    /// The status at `now`, derived from the phase, the authorizations and the clock.
    pub fn status(&self, authzs: &[Authorization], now: Timestamp) -> OrderStatus {
        match &self.phase {
            Phase::Issued { .. } => OrderStatus::Valid,
            Phase::Failed { .. } => OrderStatus::Invalid,
            Phase::Issuing { .. } => OrderStatus::Processing,
            Phase::Open | Phase::Review { .. } if now >= self.expires => OrderStatus::Invalid,
            Phase::Open => proven(authzs, now),
            // RFC 8555 section 7.1.6: an authorization that is given up ends the order, whoever has it on the desk.
            Phase::Review { .. } => match proven(authzs, now) {
                OrderStatus::Ready => OrderStatus::Processing,
                _ => OrderStatus::Invalid,
            },
        }
    }

    /// Why the order is invalid, as far as that can be told (RFC 8555 section 7.1.3, "error").
    pub fn problem(&self, authzs: &[Authorization], now: Timestamp) -> Option<Problem> {
        if let Phase::Failed { problem, .. } = &self.phase {
            return Some(problem.clone());
        }
        if self.status(authzs, now) != OrderStatus::Invalid {
            return None;
        }
        let told = authzs.iter().filter_map(|authz| match (&authz.state, authz.status(now)) {
            (AuthzState::Invalid { problem, .. }, _) => Some(problem.clone().of(&authz.identifier)),
            (_, AuthzStatus::Deactivated) => Some(
                Problem::new(
                    Kind::Unauthorized,
                    format!("The authorization for {} was deactivated.", authz.ordered_name()),
                )
                .of(&authz.identifier),
            ),
            (_, AuthzStatus::Invalid | AuthzStatus::Expired) => Some(authz.lapse().of(&authz.identifier)),
            _ => None,
        });
        Some(Problem::merge(told.collect()).map_or_else(
            || Problem::new(Kind::Malformed, format!("The order expired at {}.", self.expires)),
            // RFC 8555 section 6.7.1: the top level of a problem has no identifier.
            |problem| Problem { identifier: None, ..problem },
        ))
    }

    /// Accepts a CSR: the order goes from `ready` to `processing` (RFC 8555 section 7.4).
    pub fn finalize(
        mut self,
        csr: &[u8],
        serial: Serial,
        job: JobId,
        authzs: &[Authorization],
        now: Timestamp,
    ) -> Result<Self> {
        match self.status(authzs, now) {
            OrderStatus::Ready => {
                self.phase = Phase::Issuing { csr: csr.to_vec(), serial, job, since: now };
                Ok(self)
            }
            status => Err(Error::new(
                Kind::OrderNotReady,
                format!(
                    "The order is {}, so it can't be finalized: {}",
                    status.as_str(),
                    match status {
                        OrderStatus::Pending => "complete a challenge for each of its authorizations first.",
                        OrderStatus::Invalid => "place a new order.",
                        _ => "another CSR was accepted before.",
                    }
                ),
            )),
        }
    }

    /// Accepts a CSR for an order that a person must look at first: from `ready` to `processing`, for as long as its
    /// proofs last and the dates that it asks for can be honoured.
    pub fn submit(self, csr: &[u8], authzs: &[Authorization], now: Timestamp) -> Result<Self> {
        let accepted = self.finalize(csr, Serial::random(), JobId::random(), authzs, now)?;
        let expires = authzs.iter().map(|authz| authz.expires).min().unwrap_or(accepted.expires);
        let phase = Phase::Review { csr: csr.to_vec(), since: now };
        // Baseline Requirements 7.1.2.7: a certificate is signed within 48 hours of its notBefore.
        let dates = [accepted.not_after, accepted.not_before.map(|first| first + Duration::from_secs(48 * 3600))];
        let expires = dates.into_iter().flatten().fold(expires.max(accepted.expires), Timestamp::min);
        Ok(Self { phase, expires, ..accepted })
    }

    /// A person approved: the certificate is being made.
    pub fn approve(mut self, serial: Serial, job: JobId, authzs: &[Authorization], now: Timestamp) -> Result<Self> {
        let lapsed = self.status(authzs, now) != OrderStatus::Processing;
        match self.phase {
            Phase::Review { csr, .. } if !lapsed => {
                self.phase = Phase::Issuing { csr, serial, job, since: now };
                Ok(self)
            }
            _ => Err(not_in_review(&self)),
        }
    }

    /// A person refused: the order ends.
    pub fn reject(self, problem: Problem, now: Timestamp) -> Result<Self> {
        match self.phase {
            Phase::Review { .. } => Ok(self.fail(problem, now)),
            _ => Err(not_in_review(&self)),
        }
    }

    /// Whether `csr` is the one that was accepted before: then finalize is a harmless repetition.
    pub fn accepted_csr(&self, csr: &[u8]) -> bool {
        match &self.phase {
            Phase::Review { csr: kept, .. } | Phase::Issuing { csr: kept, .. } | Phase::Issued { csr: kept, .. } => {
                kept == csr
            }
            Phase::Open | Phase::Failed { .. } => false,
        }
    }

    /// Puts another serial in the place of one whose signature may or may not have been made.
    pub fn renumber(mut self, fresh: Serial) -> Result<Self> {
        match &mut self.phase {
            Phase::Issuing { serial, .. } => {
                *serial = fresh;
                Ok(self)
            }
            _ => Err(Error::internal(format!("order {} is not being issued", self.id))),
        }
    }

    /// The certificate was signed: the order is `valid`.
    pub fn fulfil(mut self, signed: Serial) -> Result<Self> {
        match self.phase {
            Phase::Issuing { csr, serial, .. } if serial == signed => {
                self.phase = Phase::Issued { csr, serial };
                Ok(self)
            }
            _ => Err(Error::internal(format!("order {} was not waiting for serial {signed}", self.id))),
        }
    }

    /// Ends the order without a certificate; what has ended stays as it is.
    #[must_use]
    pub fn fail(mut self, problem: Problem, now: Timestamp) -> Self {
        if let Phase::Open | Phase::Review { .. } | Phase::Issuing { .. } = self.phase {
            self.phase = Phase::Failed { problem, at: now };
        }
        self
    }
}

/// The status of an order that its authorizations decide.
fn proven(authzs: &[Authorization], now: Timestamp) -> OrderStatus {
    let mut status = OrderStatus::Ready;
    for authz in authzs {
        match authz.status(now) {
            AuthzStatus::Valid => {}
            AuthzStatus::Pending => status = OrderStatus::Pending,
            AuthzStatus::Invalid | AuthzStatus::Deactivated | AuthzStatus::Expired => return OrderStatus::Invalid,
        }
    }
    status
}

fn not_in_review(order: &Order) -> Error {
    Error::new(Kind::Conflict, format!("Order {} is not waiting for a review any more.", order.id))
}

impl OrderStatus {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Ready => "ready",
            Self::Processing => "processing",
            Self::Valid => "valid",
            Self::Invalid => "invalid",
        }
    }
}
