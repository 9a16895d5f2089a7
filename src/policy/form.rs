//! What an application form tells: the stages that an application goes through (BUY-09) and the names that a purchase takes
//! (BUY-10).

use super::catalog::{Class, Product, Shape};
use super::status::Status;

/// The stages of an application, and the one that it has reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stages {
    /// All of them, in their sequence.
    pub all: &'static [&'static str],
    /// The one that it is in.
    pub at: &'static str,
}

/// BUY-09: paid applications have five stages, free ones two.
const PAID: &[&str] = &["information", "choice of method", "domain validation", "waiting for the CA", "issue"];
const FREE: &[&str] = &["application", "domain validation"];

/// The stages of an order in that status.
pub fn stages(product: &Product, status: Status) -> Stages {
    if product.class == Class::DvFree {
        return Stages { all: FREE, at: FREE[1] };
    }
    let at = match status {
        Status::PendingSubmission | Status::PendingLetter | Status::PreReview => PAID[0],
        Status::Canceled | Status::ReviewFailed | Status::ValidationFailed => PAID[0],
        Status::PendingValidation => PAID[1],
        Status::Validating | Status::ValidationTimeout => PAID[2],
        Status::Validated | Status::PendingIssue => PAID[3],
        _ => PAID[4],
    };
    Stages { all: PAID, at }
}

/// BUY-10: how many names of which kind a purchase takes.
pub fn takes(product: &Product, names: u32) -> String {
    let plural = if names == 1 { "" } else { "s" };
    match product.shape {
        Shape::Single => "Takes 1 name without a wildcard (BUY-10).".to_owned(),
        Shape::Wildcard => "Takes 1 wildcard name, as in *.example.com (BUY-10).".to_owned(),
        Shape::Multi => {
            format!("Takes {names} name{plural} without wildcards; give exactly as many (BUY-10, BUY-05).")
        }
        Shape::MultiWildcard => {
            format!("Takes {names} wildcard name{plural}; give exactly as many (BUY-10, BUY-05).")
        }
        Shape::Any => format!("Takes {names} name{plural} of any kind (BUY-10)."),
    }
}
