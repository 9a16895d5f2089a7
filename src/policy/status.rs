//! Where an order, each of its names and a purchase stand, in the canonical words of the documents (section 21 of the rules,
//! VAL-39).

#[cfg(test)]
mod tests;

use std::time::Duration;

use super::catalog::{Class, Product, days};
use super::{applications, renewal};
use crate::domain::application::Application;
use crate::domain::authz::{Authorization, AuthzState};
use crate::domain::certificate::{Certificate, CertificateStanding};
use crate::domain::order::{Order, OrderStatus, Phase};
use crate::domain::purchase::Standing;
use crate::domain::{Kind, Timestamp};

/// A canonical status (STATUS-01). An order has one of them, and each of its names one of the five of validation
/// (STATUS-03). What is uploaded has words of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Paid, and no application data were sent (BUY-03).
    PendingSubmission,
    /// The confirmation letter is to be uploaded (DOC-01, RENEW-07).
    PendingLetter,
    /// A reviewer looks at the organisation first (REVIEW-04).
    PreReview,
    /// Control of a name is to be shown.
    PendingValidation,
    /// Control of a name is being looked at.
    Validating,
    /// A look brought no result; the next follows.
    ValidationTimeout,
    /// Control was shown.
    Validated,
    /// Control was not shown in time, or shown wrongly.
    ValidationFailed,
    /// The CA has everything: a person looks at the order, or the certificate is being made.
    PendingIssue,
    /// There is a certificate.
    Issued,
    /// The CA refused.
    ReviewFailed,
    /// Given up before the CA decided.
    Canceled,
    /// The certificate ends soon (RENEW-01).
    ToBeRenewed,
    /// Another certificate for the same order is under way.
    Reissuing,
    /// The certificate is being revoked (REVOKE-01).
    Revoking,
    /// The certificate was revoked.
    Revoked,
    /// The certificate has ended.
    Expired,
}

/// What is under way with a certificate in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnderWay {
    /// Another certificate for the same order.
    Reissue,
    /// Its revocation.
    Revocation,
}

/// Where a purchase stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PurchaseState {
    /// Paid, and nothing was ordered yet (BUY-03).
    PendingSubmission,
    /// The confirmation letter is to be uploaded (RENEW-07).
    PendingLetter,
    /// A reviewer looks at the organisation first.
    PreReview,
    /// The application was submitted: control of the names is to be shown (RENEW-08, RENEW-09).
    PendingValidation,
    /// Reviewers refused the application (REVIEW-11).
    ReviewFailed,
    /// An order that uses a term of it is under way.
    InUse,
    /// There is a certificate, or a further term.
    Issued,
    /// No term is left, and the last certificate is over.
    UsedUp,
    /// Given up before anything was issued (REFUND-02).
    Canceled,
    /// What was paid went back.
    Refunded,
}

/// What the order of a purchase's last term came to; orders without a certificate give their term back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TermOutcome {
    /// It is under way.
    Open,
    /// It ended without a certificate.
    Failed,
    /// Its certificate is in force.
    InForce,
    /// Its certificate has ended or was revoked.
    Over,
}

/// What the state of a purchase depends on.
#[derive(Debug, Clone, Copy)]
pub struct PurchaseFacts {
    /// Whether it was cancelled or refunded.
    pub standing: Standing,
    /// Its terms, of a year each.
    pub years: u32,
    /// How many of them were begun.
    pub begun: usize,
    /// What became of the last.
    pub last: Option<TermOutcome>,
    /// Where the application for the next stands, if there is one.
    pub next: Option<Status>,
}

/// What the status of an order depends on.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// The order.
    pub order: &'a Order,
    /// Its authorizations.
    pub authzs: &'a [Authorization],
    /// Its certificate, if it has one.
    pub certificate: Option<&'a Certificate>,
    /// The product, if the catalogue still has it.
    pub product: Option<&'a Product>,
    /// The application whose organisation it names.
    pub application: Option<&'a Application>,
    /// Whether its account was closed.
    pub account_closed: bool,
    /// What is under way with its certificate.
    pub under_way: Option<UnderWay>,
    /// Days before its end at which a certificate's renewal begins.
    pub renewal_window_days: u32,
    /// The moment.
    pub now: Timestamp,
}

impl Status {
    /// The canonical word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PendingSubmission => "pending-submission",
            Self::PendingLetter => "pending-letter",
            Self::PreReview => "pre-review",
            Self::PendingValidation => "pending-validation",
            Self::Validating => "validating",
            Self::ValidationTimeout => "validation-timeout",
            Self::Validated => "validated",
            Self::ValidationFailed => "validation-failed",
            Self::PendingIssue => "pending-issue",
            Self::Issued => "issued",
            Self::ReviewFailed => "review-failed",
            Self::Canceled => "canceled",
            Self::ToBeRenewed => "to-be-renewed",
            Self::Reissuing => "reissuing",
            Self::Revoking => "revoking",
            Self::Revoked => "revoked",
            Self::Expired => "expired",
        }
    }

    /// What the console calls it: the documents' own words, of which several may mean one status (STATUS-01, STATUS-02).
    pub fn text(self) -> &'static str {
        match self {
            Self::PendingSubmission => "Pending Submission",
            Self::PendingLetter => "Pending confirmation letter upload",
            Self::PreReview => "Pre-Review",
            // also "Pending verification" and "Waiting for DNS verification".
            Self::PendingValidation => "Pending validation",
            Self::Validating => "Validating",
            Self::ValidationTimeout => "Validation timeout",
            Self::Validated => "Passed",
            Self::ValidationFailed => "Failed",
            Self::PendingIssue => "Pending issuance by CA",
            Self::Issued => "Issued",
            Self::ReviewFailed => "Failed to pass review",
            Self::Canceled => "Review canceled",
            Self::ToBeRenewed => "To be renewed",
            Self::Reissuing => "In the reissue process",
            Self::Revoking => "Revocation submitted",
            Self::Revoked => "Revoked",
            Self::Expired => "Expired",
        }
    }
}

impl PurchaseState {
    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PendingSubmission => "pending-submission",
            Self::PendingLetter => "pending-letter",
            Self::PreReview => "pre-review",
            Self::PendingValidation => "pending-validation",
            Self::ReviewFailed => "review-failed",
            Self::InUse => "in-use",
            Self::Issued => "issued",
            Self::UsedUp => "used-up",
            Self::Canceled => "canceled",
            Self::Refunded => "refunded",
        }
    }
}

impl PurchaseState {
    /// What its holder is to do next.
    pub fn advice(self) -> Option<&'static str> {
        match self {
            Self::PendingSubmission => Some("Submit the application data first: order the certificate (BUY-03)."),
            Self::PendingLetter => Some("Upload the confirmation letter (DOC-01, RENEW-07)."),
            Self::PreReview => Some("Wait for the pre-review, then order the certificate (REVIEW-04)."),
            Self::PendingValidation => Some("Order the certificate, and validate its domains (RENEW-08, RENEW-09)."),
            Self::ReviewFailed => Some("Edit the application and resubmit it (REVIEW-11)."),
            Self::Canceled => Some("Have the purchase refunded (REFUND-02)."),
            Self::InUse | Self::Issued | Self::UsedUp | Self::Refunded => None,
        }
    }
}

/// The status of an order.
pub fn of_order(facts: &Facts<'_>) -> Status {
    let Facts { order, now, .. } = *facts;
    let waits = order.status(facts.authzs, now) != OrderStatus::Invalid;
    match &order.phase {
        Phase::Issued { .. } => {
            facts.certificate.map_or(Status::Issued, |certificate| of_certificate(facts, certificate))
        }
        // REVIEW-11; what a closed account left open, or its holder canceled, was not refused but given up.
        Phase::Failed { problem, .. } if matches!(problem.kind, Kind::AccountClosed | Kind::Canceled) => {
            Status::Canceled
        }
        Phase::Failed { .. } => Status::ReviewFailed,
        _ if facts.account_closed => Status::Canceled,
        Phase::Issuing { .. } => Status::PendingIssue,
        // Section 21 has no word for a person's look after the validation: "waiting for the CA" is what BUY-09 calls it.
        Phase::Review { .. } if waits => Status::PendingIssue,
        Phase::Review { .. } => Status::Canceled,
        Phase::Open => match (of_names(facts), facts.application.map(|filled| applications::status(Some(filled)))) {
            // Section 21.1: what is not over waits for the application before it waits for the names.
            (over @ (Status::ValidationFailed | Status::Canceled), _) => over,
            (_, Some(waits @ (Status::PendingLetter | Status::PreReview | Status::ReviewFailed))) => waits,
            (names, _) => names,
        },
    }
}

/// The status of an open order: that of the name that is furthest behind.
fn of_names(facts: &Facts<'_>) -> Status {
    let Facts { order, authzs, now, .. } = *facts;
    if authzs.iter().any(|authz| matches!(authz.state, AuthzState::Deactivated { .. })) {
        return Status::Canceled;
    }
    let names: Vec<Status> = authzs.iter().map(|authz| of_name(order, authz, now)).collect();
    let behind = [Status::ValidationFailed, Status::PendingValidation, Status::ValidationTimeout, Status::Validating];
    match behind.into_iter().find(|status| names.contains(status)) {
        Some(status) => status,
        // Every name was proven, and no CSR came.
        None if now >= order.expires => Status::Canceled,
        None => Status::Validated,
    }
}

/// The status of one name of an order (STATUS-02, STATUS-03).
pub fn of_name(order: &Order, authz: &Authorization, now: Timestamp) -> Status {
    if matches!(order.phase, Phase::Issuing { .. } | Phase::Issued { .. }) {
        return Status::Validated;
    }
    let over = now >= authz.expires || now >= order.expires;
    match &authz.state {
        AuthzState::Valid { .. } if now < authz.expires => Status::Validated,
        AuthzState::Valid { .. } | AuthzState::Invalid { .. } | AuthzState::Deactivated { .. } => {
            Status::ValidationFailed
        }
        // VAL-30
        AuthzState::Pending { .. } if over => Status::ValidationFailed,
        AuthzState::Pending { attempt: None } => Status::PendingValidation,
        AuthzState::Pending { attempt: Some(attempt) } if attempt.failures.is_empty() => Status::Validating,
        // VAL-29: processing with an error, until the next try.
        AuthzState::Pending { attempt: Some(_) } => Status::ValidationTimeout,
    }
}

/// The status of an order that has its certificate.
fn of_certificate(facts: &Facts<'_>, certificate: &Certificate) -> Status {
    // Section 21.1 speaks of 30 days, of certificates that last a year; a private CA's are renewed in their last third.
    let opens = match facts.product {
        Some(product) if product.is_documented() => certificate.not_after - days(facts.renewal_window_days),
        _ => renewal::window(certificate, None).start,
    };
    match certificate.standing {
        CertificateStanding::Revoked { .. } => Status::Revoked,
        CertificateStanding::Good if certificate.not_after < facts.now => Status::Expired,
        CertificateStanding::Good if facts.under_way == Some(UnderWay::Revocation) => Status::Revoking,
        CertificateStanding::Good if facts.under_way == Some(UnderWay::Reissue) => Status::Reissuing,
        CertificateStanding::Good if opens <= facts.now => Status::ToBeRenewed,
        CertificateStanding::Good => Status::Issued,
    }
}

/// How long a free certificate takes at most for the most part (ISSUE-03).
pub const USUAL_FREE: Duration = Duration::from_secs(30 * 60);

/// How long a paid DV certificate takes at most (ISSUE-01).
pub const USUAL_DV: Duration = Duration::from_secs(24 * 3600);

/// What to look at when an order waits for its validation longer than usual (DIAG-25, ISSUE-01, ISSUE-03).
pub fn hint(status: Status, facts: &Facts<'_>) -> Option<&'static str> {
    let usual = match facts.product?.class {
        Class::DvFree => USUAL_FREE,
        Class::Dv => USUAL_DV,
        // ISSUE-02: people take their days.
        _ => return None,
    };
    let waits = matches!(status, Status::PendingValidation | Status::Validating | Status::ValidationTimeout);
    (waits && facts.now.since(facts.order.created) >= usual)
        .then_some("Check in this order: CAA, DNS record, blocked validation addresses (DIAG-25).")
}

/// The state of a purchase.
pub fn of_purchase(facts: &PurchaseFacts) -> PurchaseState {
    let PurchaseFacts { standing, years, begun, last, next } = *facts;
    match standing {
        Standing::InForce => {}
        Standing::Canceled { .. } => return PurchaseState::Canceled,
        Standing::Refunded { .. } => return PurchaseState::Refunded,
    }
    let lasting = begun - usize::from(last == Some(TermOutcome::Failed));
    match last {
        _ if lasting == 0 => match next {
            Some(Status::PendingLetter) => PurchaseState::PendingLetter,
            Some(Status::PreReview) => PurchaseState::PreReview,
            Some(Status::PendingValidation) => PurchaseState::PendingValidation,
            Some(Status::ReviewFailed) => PurchaseState::ReviewFailed,
            _ => PurchaseState::PendingSubmission,
        },
        Some(TermOutcome::Open) => PurchaseState::InUse,
        Some(TermOutcome::Over) if lasting >= years as usize => PurchaseState::UsedUp,
        _ => PurchaseState::Issued,
    }
}
