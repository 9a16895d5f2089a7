//! An authorization (RFC 8555 section 7.1.4): an account's proof that it controls a name.

use serde::{Deserialize, Serialize};

use super::plan::{CaaMode, Method};
use super::{AccountId, AuthzId, Error, Identifier, JobId, Kind, Problem, Result, Timestamp};

/// An authorization with its challenges.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Authorization {
    /// Part of its URL.
    pub id: AuthzId,
    /// Whose it is.
    pub account: AccountId,
    /// The name without `*.`, or the address.
    pub identifier: Identifier,
    /// Whether it is for the wildcard below `identifier`.
    pub wildcard: bool,
    /// The token of all its challenges: 128 random bits.
    pub token: String,
    /// The challenge types on offer.
    pub methods: Vec<Method>,
    /// The issuer domain names of the product it was opened for: what CAA records are held against.
    pub caa_identities: Vec<String>,
    /// How CAA records are read.
    #[serde(default)]
    pub caa_mode: CaaMode,
    /// Days that the proof is kept for further orders.
    #[serde(default)]
    pub kept_days: u32,
    /// Days that the order it was made for may take, where people review it; 0: as many as any order may.
    #[serde(default)]
    pub review_days: u32,
    /// Days that the documents give for the proof; none where it is not theirs to say (VAL-13).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline_days: Option<u32>,
    /// When it was made.
    pub created: Timestamp,
    /// When it ends: first the deadline for its challenges, once valid the end of its reuse.
    pub expires: Timestamp,
    /// What has come of it.
    pub state: AuthzState,
}

/// What has come of an authorization.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "lowercase")]
pub enum AuthzState {
    /// Nothing yet, or a validation that is under way.
    Pending {
        /// The validation under way.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        attempt: Option<Attempt>,
    },
    /// Proven.
    Valid {
        /// By which challenge.
        method: Method,
        /// When the proof was seen.
        validated: Timestamp,
        /// When CAA was last found to permit issuance; none for addresses, which have no CAA (RFC 8738).
        #[serde(default, skip_serializing_if = "Option::is_none")]
        caa_checked: Option<Timestamp>,
        /// What was seen beside the proof and should be put right, for the client to read (VAL-22, VAL-23).
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        hints: Vec<String>,
    },
    /// Refuted.
    Invalid {
        /// By which challenge.
        method: Method,
        /// Why.
        problem: Problem,
        /// When.
        at: Timestamp,
    },
    /// Given up by its holder (RFC 8555 section 7.5.2).
    Deactivated {
        /// When.
        at: Timestamp,
    },
}

/// A validation under way.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Attempt {
    /// The challenge that the client answered.
    pub method: Method,
    /// When it answered.
    pub started: Timestamp,
    /// The key authorization, made of the account's key at that time (RFC 8555 section 8.3).
    pub key_authorization: String,
    /// The job that carries it out.
    pub job: JobId,
    /// What earlier queries of this attempt found wrong; the client sees the last (RFC 8555 section 8.2).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failures: Vec<Problem>,
}

/// The status of an authorization at a moment (RFC 8555 section 7.1.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthzStatus {
    Pending,
    Valid,
    Invalid,
    Deactivated,
    Expired,
}

impl AuthzStatus {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Valid => "valid",
            Self::Invalid => "invalid",
            Self::Deactivated => "deactivated",
            Self::Expired => "expired",
        }
    }
}

impl Authorization {
    /// The status at `now`, derived, so that expiry needs no sweeper. A pending authorization past its end is invalid
    /// (RFC 8555 section 7.1.6).
    pub fn status(&self, now: Timestamp) -> AuthzStatus {
        let over = now >= self.expires;
        match &self.state {
            AuthzState::Pending { .. } if over => AuthzStatus::Invalid,
            AuthzState::Pending { .. } => AuthzStatus::Pending,
            AuthzState::Valid { .. } if over => AuthzStatus::Expired,
            AuthzState::Valid { .. } => AuthzStatus::Valid,
            AuthzState::Invalid { .. } => AuthzStatus::Invalid,
            AuthzState::Deactivated { .. } => AuthzStatus::Deactivated,
        }
    }

    /// Whether it serves `identifier` of an order: the very same name (VAL-09), and a wildcard only by one made for wildcards.
    pub fn covers(&self, identifier: &Identifier) -> bool {
        self.wildcard == identifier.is_wildcard() && self.identifier == identifier.base()
    }

    /// The name as the order has it, with `*.` where it is for the wildcard.
    pub fn ordered_name(&self) -> String {
        if self.wildcard { format!("*.{}", self.identifier) } else { self.identifier.to_string() }
    }

    /// What its holder is told once its time is over.
    pub fn lapse(&self) -> Problem {
        let name = self.ordered_name();
        let detail = match (&self.state, self.deadline_days) {
            // VAL-13, VAL-14, VAL-30, DIAG-12: the period ended without success, and a new one begins with a new order.
            (AuthzState::Pending { .. }, Some(days)) => {
                let period = if days == 1 { "1 day".to_owned() } else { format!("{days} days") };
                format!(
                    "No record within {period}. Submit again and add it within {period}. Control of {name} was to be shown \
                     by {} (VAL-13).",
                    self.expires
                )
            }
            _ => format!("The authorization for {name} expired at {}.", self.expires),
        };
        Problem::new(Kind::Unauthorized, detail)
    }

    /// Begins the validation that a client asked for by answering the challenge of `attempt.method`.
    pub fn begin(mut self, attempt: Attempt, now: Timestamp) -> Result<Self> {
        match self.state {
            AuthzState::Pending { attempt: None } if now < self.expires => {
                self.state = AuthzState::Pending { attempt: Some(attempt) };
                Ok(self)
            }
            AuthzState::Pending { attempt: None } => {
                Err(Error::malformed(format!("{} Place a new order.", self.lapse().detail)))
            }
            _ => Err(Error::malformed(format!(
                "The authorization for {} takes no further challenge response.",
                self.ordered_name()
            ))),
        }
    }

    /// Notes a failed query after which the attempt goes on (RFC 8555 section 8.2).
    #[must_use]
    pub fn retry(mut self, problem: Problem) -> Self {
        if let AuthzState::Pending { attempt: Some(attempt) } = &mut self.state {
            attempt.failures.push(problem);
        }
        self
    }

    /// The proof was seen: valid until `expires`. `hints` says what should be put right nonetheless.
    #[must_use]
    pub fn prove(
        mut self,
        method: Method,
        now: Timestamp,
        caa_checked: Option<Timestamp>,
        expires: Timestamp,
        hints: Vec<String>,
    ) -> Self {
        self.state = AuthzState::Valid { method, validated: now, caa_checked, hints };
        self.expires = expires;
        self
    }

    /// The proof failed for good (RFC 8555 section 7.1.6: one failed challenge makes the authorization invalid).
    #[must_use]
    pub fn refute(mut self, method: Method, problem: Problem, now: Timestamp) -> Self {
        self.state = AuthzState::Invalid { method, problem, at: now };
        self
    }

    /// The holder gives it up (RFC 8555 section 7.5.2).
    pub fn deactivate(mut self, now: Timestamp) -> Result<Self> {
        match self.status(now) {
            AuthzStatus::Pending | AuthzStatus::Valid => {
                self.state = AuthzState::Deactivated { at: now };
                Ok(self)
            }
            status => Err(Error::malformed(format!(
                "The authorization for {} is {} and can't be deactivated.",
                self.ordered_name(),
                status.as_str()
            ))),
        }
    }
}
