//! What follows a paid certificate: from when on it may be renewed, what is due on a day near its end, and what the customer
//! is told (RENEW-01 to RENEW-14, VALIDITY-04, VALIDITY-05).

use super::catalog::{Catalog, Class, Product, Purpose, days};
use crate::domain::certificate::Certificate;
use crate::domain::purchase::Purchase;
use crate::domain::{Error, Kind, Result, Timestamp};

/// RENEW-12, RENEW-01, VALIDITY-05, RENEW-13, RENEW-14: what a renewal is, for the customer.
pub const ADVICE: &[&str] = &[
    "Renew 3 to 10 business days before the certificate ends (RENEW-12).",
    "A renewal is a new certificate: the old one keeps working until it ends, and the new one must be installed in its place \
     (RENEW-01, VALIDITY-05).",
    "The new order is reviewed and issued on its own; then deploy the certificate again, by encryption standard and type of \
     server (RENEW-13, RENEW-14).",
];

/// RENEW-06: the steps of a renewal.
pub const STEPS: &[&str] = &["confirm", "csr", "period", "payment", "purchase"];

/// What became of the certificate that is to follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Follower {
    /// Nobody has applied for it.
    None,
    /// It was applied for, and the application is under way.
    Open,
    /// It was applied for in vain.
    Failed,
    /// It is there: an ACME client has renewed, or the server has.
    Issued,
}

/// What became of the purchase that follows another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Successor {
    /// There is none.
    None,
    /// It is in force, whether or not anything was applied for with it.
    InForce,
    /// Its buyer did not want it: it was canceled or refunded.
    GivenUp,
}

/// What is known on a day near the end of a certificate.
#[derive(Debug, Clone, Copy)]
pub struct Situation<'a> {
    /// The purchase that paid for it.
    pub purchase: &'a Purchase,
    /// How many of its terms are begun for good.
    pub begun: usize,
    /// The certificate.
    pub certificate: &'a Certificate,
    /// What follows it so far.
    pub follower: Follower,
    /// What became of the purchase that follows.
    pub successor: Successor,
    /// Days before the end at which a renewal opens.
    pub window_days: u32,
    /// The moment.
    pub now: Timestamp,
}

/// What is to be done on that day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Nothing, for good.
    Nothing,
    /// Look again on the next day.
    Wait,
    /// Apply for the next certificate: it is paid.
    Apply,
    /// Buy from the balance, then apply.
    Buy,
}

/// What is due (VALIDITY-04, BUY-07, BUY-08).
pub fn step(situation: &Situation<'_>) -> Step {
    let Situation { purchase, begun, certificate, follower, successor, window_days, now } = *situation;
    let opens = certificate.not_after - days(window_days);
    if !purchase.is_in_force() || certificate.is_revoked() || now < opens || certificate.not_after <= now {
        return Step::Nothing;
    }
    match follower {
        Follower::Issued => return Step::Nothing,
        Follower::Open => return Step::Wait,
        Follower::None | Follower::Failed => {}
    }
    // A certificate that the public calendar cut short is made again within its term, for nothing.
    let within_term = now + days(window_days) < certificate.term_end();
    if within_term || begun < purchase.years as usize {
        return Step::Apply;
    }
    match successor {
        Successor::InForce => Step::Apply,
        // What was given back is not bought again and again.
        Successor::GivenUp => Step::Nothing,
        Successor::None if purchase.auto_renew => Step::Buy,
        // Auto-renewal may be switched on at any time until then.
        Successor::None => Step::Wait,
    }
}

/// RENEW-02, RENEW-03: refuses a renewal before its window.
pub fn opened(product: &Product, certificate: &Certificate, window_days: u32, now: Timestamp) -> Result<()> {
    let opens = certificate.term_end() - days(window_days);
    if opens <= now {
        return Ok(());
    }
    let told = match product.class {
        Class::DvFree => format!("Reapplication opens on {opens}, one month before the certificate ends (RENEW-03)."),
        _ => format!("Renewal opens on {opens}, {window_days} days before the term ends (RENEW-02)."),
    };
    Err(Error::new(Kind::Conflict, told))
}

/// What comes next after the renewal of a certificate of that product (RENEW-07 to RENEW-11).
pub fn next(catalog: &Catalog, product: &Product) -> &'static str {
    let flow = product.brand.as_deref().and_then(|brand| catalog.brand(brand)?.review_flow.as_deref());
    let letter = flow.and_then(|flow| catalog.paperwork().letter(flow, Purpose::Renewal));
    match product.class {
        Class::DvFree => {
            "A free certificate is not renewed in the strict sense: this is a new one, free of charge. Confirm the data, choose \
             a validation method; it is validated anew (RENEW-10, RENEW-11)."
        }
        Class::Dv | Class::Private => "Pending validation: publish the records and wait (RENEW-08).",
        _ if letter.is_some() => "Pending confirmation letter: upload the confirmation letter (RENEW-07).",
        _ => "Manual approval and domain validation follow; no new confirmation letter is needed (RENEW-09).",
    }
}
