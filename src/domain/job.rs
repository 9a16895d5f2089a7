//! Stored jobs: what the server owes the outside world, kept until it is done.

use serde::{Deserialize, Serialize};

use super::plan::Method;
use super::{AuthzId, JobId, OrderId, Timestamp};

/// A piece of work that survives a restart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// Its id.
    pub id: JobId,
    /// Not before this moment.
    pub due: Timestamp,
    /// What to do.
    pub work: Work,
}

/// Kinds of work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "lowercase")]
pub enum Work {
    /// Look whether a challenge is met, and settle its authorization.
    Validate {
        /// The authorization.
        authz: AuthzId,
        /// The challenge.
        method: Method,
    },
    /// Check CAA again where that is due, sign, and fulfil the order.
    Issue {
        /// The order.
        order: OrderId,
    },
}
