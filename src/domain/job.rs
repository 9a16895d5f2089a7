//! Stored jobs: what the server owes the outside world, kept until it is done.

use serde::{Deserialize, Serialize};

use super::delivery::Recipient;
use super::notice::once;
use super::plan::Method;
use super::portfolio::Resource;
use super::{
    ApplicationId, AuthzId, CustomerId, DocumentId, IncidentId, JobId, NoticeId, OrderId, PurchaseId, RevocationId,
    Serial, TimerId, Timestamp,
};

/// A piece of work that survives a restart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// Its id.
    pub id: JobId,
    /// Not before this moment.
    pub due: Timestamp,
    /// How often it was tried and put off.
    #[serde(default)]
    pub tries: u32,
    /// How often it waited for keys that could not be reached, which is no try.
    #[serde(default)]
    pub waits: u32,
    /// What to do.
    pub work: Work,
}

impl Job {
    /// A job to be done at once.
    pub fn new(work: Work, now: Timestamp) -> Self {
        Self { id: JobId::random(), due: now, tries: 0, waits: 0, work }
    }

    /// A look at an order that was asked for: of each order one is stored at most.
    pub fn look(order: &OrderId, now: Timestamp) -> Self {
        let id =
            once(&["look", order.as_str()]).as_str().parse().expect("the id of a message has the form of every id");
        Self { id, ..Self::new(Work::Attend { order: order.clone() }, now) }
    }

    /// The publication of an issuer's lists: of each issuer one is stored at most, so that many revocations join into one.
    pub fn publication(issuer: &str, now: Timestamp) -> Self {
        let id = once(&["lists", issuer]).as_str().parse().expect("the id of a message has the form of every id");
        Self { id, ..Self::new(Work::PublishLists { issuer: issuer.to_owned() }, now) }
    }

    /// The same job, put off after a failed try.
    #[must_use]
    pub fn put_off(mut self, until: Timestamp) -> Self {
        self.due = until;
        self.tries += 1;
        self
    }

    /// The same job, put off because what it needs is away.
    #[must_use]
    pub fn wait(mut self, until: Timestamp) -> Self {
        self.due = until;
        self.waits += 1;
        self
    }
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
    /// Go on with the orders that waited for an application to be decided.
    Release {
        /// The application.
        application: ApplicationId,
    },
    /// Carry an order on that the server has in hand.
    Attend {
        /// The order.
        order: OrderId,
    },
    /// Forget what was answered to a request that may have come again.
    Forget {
        /// Its key, in hexadecimal digits.
        key: String,
    },
    /// Look whether control of a certificate's names is shown, and revoke it if it is.
    ProveRevocation {
        /// The request for revocation.
        revocation: RevocationId,
        /// Whether the next look follows by itself.
        hourly: bool,
    },
    /// End a revocation whose letter did not come in time.
    LapseRevocation {
        /// The request for revocation.
        revocation: RevocationId,
    },
    /// See to the certificate that follows one whose end is near (VALIDITY-04).
    Continue {
        /// The purchase that paid for it.
        purchase: PurchaseId,
        /// The certificate.
        certificate: Serial,
        /// On how many days it was seen to before.
        tries: u32,
        /// Whether it is a look besides those of every day, which no other follows.
        #[serde(default)]
        besides: bool,
    },
    /// Send a message to everybody who is to have it.
    Notify {
        /// The message.
        notice: NoticeId,
    },
    /// Tell a resource of the certificate that it is to use.
    Deploy {
        /// Whose resource.
        customer: CustomerId,
        /// Which.
        resource: Resource,
        /// How often it was told in vain.
        #[serde(default)]
        tries: u32,
    },
    /// Have a new certificate replace the hosted one of the same names (HOST-01).
    Rehost {
        /// The new one.
        certificate: Serial,
    },
    /// Hand a message to one of those.
    Deliver {
        /// The message.
        notice: NoticeId,
        /// Whom.
        to: Recipient,
    },
    /// Tell a customer whose order was not validated in time.
    Lapse {
        /// The order.
        order: OrderId,
    },
    /// Forget a document that was kept long enough.
    ForgetDocument {
        /// The document.
        document: DocumentId,
    },
    /// Sign the lists that what was revoked belongs on.
    PublishLists {
        /// The issuer.
        issuer: String,
    },
    /// Tell the customers of certificates that have to be renewed before their time.
    TellIncident {
        /// The incident.
        incident: IncidentId,
    },
}

impl Work {
    /// The same work, once more after a try in vain.
    #[must_use]
    pub fn tried_again(mut self) -> Self {
        if let Self::Deploy { tries, .. } = &mut self {
            *tries += 1;
        }
        self
    }
}

/// Work for a later day: it becomes a job when its time has come. Unlike a job it costs nothing while it waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timer {
    /// Its id.
    pub id: TimerId,
    /// When.
    pub at: Timestamp,
    /// What to do then.
    pub work: Work,
}

impl Timer {
    /// Work for that moment.
    pub fn new(at: Timestamp, work: Work) -> Self {
        Self { id: TimerId::random(), at, work }
    }
}
