//! The one internal error: what went wrong, told for the client, with its cause kept for the log.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Identifier;

/// Result of everything that can be refused or fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What class of thing went wrong. The wire names and HTTP statuses are the business of `acme::problem`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Kind {
    // RFC 8555 section 6.7
    AccountDoesNotExist,
    AlreadyRevoked,
    BadCsr,
    BadNonce,
    BadPublicKey,
    BadRevocationReason,
    BadSignatureAlgorithm,
    Caa,
    Compound,
    Connection,
    Dns,
    ExternalAccountRequired,
    IncorrectResponse,
    InvalidContact,
    Malformed,
    OrderNotReady,
    RateLimited,
    RejectedIdentifier,
    ServerInternal,
    Tls,
    Unauthorized,
    UnsupportedContact,
    UnsupportedIdentifier,
    UserActionRequired,
    // RFC 9773 section 7.4
    AlreadyReplaced,
    // draft-ietf-acme-profiles section 7.3
    InvalidProfile,
    // Refusals that are told by their HTTP status, with a problem of type `malformed` or none of ACME's.
    /// The account named by the request is deactivated or revoked (RFC 8555 section 7.3.6: 401).
    AccountClosed,
    /// The order was given up by its holder (REFUND-02).
    Canceled,
    /// Something else already holds what was asked for (RFC 8555 section 7.3.5: 409).
    Conflict,
    /// Something was changed since the caller read it (412).
    PreconditionFailed,
    /// It is understood and can't be carried out as it is (422).
    Unprocessable,
    /// A method that this resource does not have (405).
    MethodNotAllowed,
    /// No such resource (404).
    NotFound,
    /// A body over the cap (413).
    PayloadTooLarge,
    /// A `Content-Type` that is not the one demanded (415).
    UnsupportedMediaType,
    /// Overload or a store that cannot be reached: try again (503).
    Unavailable,
}

/// The part of an error that a client sees and that is stored with failed challenges and orders (RFC 8555 section 6.7).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// The class.
    pub kind: Kind,
    /// A sentence for people: what was wrong, with the value, and what to do.
    pub detail: String,
    /// The name this is about; only subproblems carry one on the wire (RFC 8555 section 6.7.1).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identifier: Option<Named>,
    /// One problem for each offending name, when there are several.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub subproblems: Vec<Problem>,
}

/// An identifier as a client wrote it, which need not be a good one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Named {
    /// Its type.
    pub r#type: String,
    /// Its value.
    pub value: String,
}

impl From<&Identifier> for Named {
    fn from(identifier: &Identifier) -> Self {
        Self { r#type: identifier.kind().to_owned(), value: identifier.to_string() }
    }
}

impl Problem {
    /// A problem of `kind` that says `detail`.
    pub fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into(), identifier: None, subproblems: Vec::new() }
    }

    /// The same problem, said of one name.
    #[must_use]
    pub fn of(mut self, identifier: impl Into<Named>) -> Self {
        self.identifier = Some(identifier.into());
        self
    }

    /// Several problems as one: itself when there is one, else a whole with subproblems; the kind is theirs when they
    /// agree and `compound` when they differ (RFC 8555 section 6.7.1).
    pub fn merge(mut problems: Vec<Problem>) -> Option<Problem> {
        if problems.len() <= 1 {
            return problems.pop();
        }
        let first = problems[0].kind;
        let kind = if problems.iter().all(|p| p.kind == first) { first } else { Kind::Compound };
        let named = |p: &Problem| match &p.identifier {
            Some(named) => format!("{}: {}", named.value, p.detail),
            None => p.detail.clone(),
        };
        let detail = format!("{} problems were found. The first: {}", problems.len(), named(&problems[0]));
        Some(Problem { kind, detail, identifier: None, subproblems: problems })
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.kind, self.detail)
    }
}

/// What a page describes that helps a client further. Where such pages are is the business of `acme::links`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Help {
    /// A product, by its id.
    Product(String),
    /// What so many chargeable names of a product cost.
    Quote {
        /// The product's id.
        product: String,
        /// How many.
        names: u32,
    },
    /// The data of an application, by its purchase.
    Application(super::PurchaseId),
    /// Where its letter is uploaded.
    Letter(super::PurchaseId),
    /// Rate limits.
    Limits,
    /// Where an account's paused names are unpaused, by what stands in the link.
    Unpause(String),
}

/// Whatever stops a use case. Boxed inside, so that a `Result` stays small.
pub struct Error(Box<Inner>);

struct Inner {
    problem: Problem,
    retry_after: Option<Duration>,
    conflicting: Option<String>,
    help: Option<Help>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// An error of `kind` that says `detail` to the client.
    pub fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Problem::new(kind, detail).into()
    }

    /// RFC 8555 `malformed`: the request cannot be understood.
    pub fn malformed(detail: impl Into<String>) -> Self {
        Self::new(Kind::Malformed, detail)
    }

    /// RFC 8555 `unauthorized`: the request is understood, and the sender may not.
    pub fn unauthorized(detail: impl Into<String>) -> Self {
        Self::new(Kind::Unauthorized, detail)
    }

    /// No such resource.
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(Kind::NotFound, detail)
    }

    /// A fault of this server. The client learns nothing of it; `source` goes to the log.
    pub fn internal(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        let mut error =
            Self::new(Kind::ServerInternal, "The server failed to carry out this request. It is safe to try again.");
        error.0.source = Some(source.into());
        error
    }

    /// A fault of this server that is expected to pass: overload, or a store that is not reachable now.
    pub fn unavailable(detail: impl Into<String>, retry_after: Duration) -> Self {
        Self::new(Kind::Unavailable, detail).retry_after(retry_after)
    }

    /// Adds the cause, for the log alone.
    #[must_use]
    pub fn because(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// Adds when the same request may succeed.
    #[must_use]
    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.0.retry_after = Some(wait);
        self
    }

    /// Adds the id of the object that stands in the way (RFC 8555 section 7.3.5: the account that has the key).
    #[must_use]
    pub fn conflicting(mut self, id: impl Into<String>) -> Self {
        self.0.conflicting = Some(id.into());
        self
    }

    /// Adds what a page with help is about (RFC 8555 section 6.6: `Link` with the relation "help").
    #[must_use]
    pub fn help(mut self, about: Help) -> Self {
        self.0.help = Some(about);
        self
    }

    /// What class of error this is.
    pub fn kind(&self) -> Kind {
        self.0.problem.kind
    }

    /// What the client is told.
    pub fn problem(&self) -> &Problem {
        &self.0.problem
    }

    /// What the client is told, taken out.
    pub fn into_problem(self) -> Problem {
        self.0.problem
    }

    /// When the same request may succeed, if that is known.
    pub fn retry_after_hint(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// The id of the object that stands in the way, if one does.
    pub fn conflicting_id(&self) -> Option<&str> {
        self.0.conflicting.as_deref()
    }

    /// What a page with help is about, if there is one.
    pub fn help_about(&self) -> Option<&Help> {
        self.0.help.as_ref()
    }
}

impl From<Problem> for Error {
    fn from(problem: Problem) -> Self {
        Self(Box::new(Inner { problem, retry_after: None, conflicting: None, help: None, source: None }))
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error").field("problem", &self.0.problem).field("source", &self.0.source).finish()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.problem.fmt(f)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_ref().map(|source| &**source as _)
    }
}
