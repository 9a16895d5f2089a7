//! How a certificate is revoked: at once, after a proof, with papers, or after a person's look (REVOKE).

#[cfg(test)]
mod tests;

use super::catalog::{Catalog, Exemption, Letter, Product, Purpose, days};
use super::settings::RevokeScope;
use crate::domain::certificate::{Certificate, RevocationReason};
use crate::domain::plan::Method;
use crate::domain::{Error, Kind, Result, Serial, Timestamp};

/// Brands that the setting for the scope of the limits names.
const WOTRUS: &str = "wotrus";
const DNSPOD_SM: &str = "dnspod-sm";

/// A wish to have a certificate revoked, with what bears on it.
#[derive(Debug, Clone, Copy)]
pub struct Case<'a> {
    /// The product; none if the catalogue has it no more.
    pub product: Option<&'a Product>,
    /// The certificate.
    pub certificate: &'a Certificate,
    /// Why.
    pub reason: RevocationReason,
    /// The certificate in force of which it is a reissue.
    pub original: Option<Serial>,
    /// What uses it (REVOKE-09).
    pub in_use_by: Option<&'a str>,
    /// Whether its account holds valid authorizations for all its names: automatic validation is set up.
    pub proven: bool,
}

/// How a revocation goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route<'a> {
    /// Nothing is asked for.
    AtOnce,
    /// Control of every name is shown within so many days (REVOKE-12 to REVOKE-14).
    Proof {
        /// The days.
        days: u32,
    },
    /// A stamped letter is uploaded, then a person decides (REVOKE-11, REVOKE-17).
    Papers(&'a Letter),
    /// A person decides (REVOKE-10).
    Review,
}

/// How the customer's wish is met, or why it is not.
pub fn route<'a>(catalog: &'a Catalog, case: &Case<'_>, now: Timestamp) -> Result<Route<'a>> {
    // Baseline Requirements 4.9.1.1: a compromised key waits for nobody.
    if case.reason == RevocationReason::KeyCompromise {
        return Ok(Route::AtOnce);
    }
    let Some(product) = case.product.filter(|product| product.is_documented()) else { return Ok(Route::AtOnce) };
    restrict(catalog, product, case, now)?;
    Ok(asked_for(catalog, product, case.proven))
}

/// What a product asks for before it revokes. `proven`: automatic validation is set up for all names.
fn asked_for<'a>(catalog: &'a Catalog, product: &Product, proven: bool) -> Route<'a> {
    if product.class.needs_organisation() {
        return match letter(catalog, product) {
            // DOC-11: who has automatic validation set up needs no letter.
            Some(letter) if proven && letter.exempt == Some(Exemption::AutomaticValidation) => Route::Review,
            Some(letter) => Route::Papers(letter),
            None => Route::Review,
        };
    }
    // REVOKE-10: DNSPod SM2 DV and every WoTrus certificate.
    if matches!(product.brand.as_deref(), Some(WOTRUS | DNSPOD_SM)) {
        return Route::Review;
    }
    // REVOKE-15, design decision 10: a standing proof of all names is one.
    match proven {
        true => Route::AtOnce,
        false => Route::Proof { days: product.deadline_days.unwrap_or(catalog.settings().dns_record_deadline_days) },
    }
}

/// The letter that goes with a revocation of a product's certificates; none if none does.
pub fn letter<'a>(catalog: &'a Catalog, product: &Product) -> Option<&'a Letter> {
    let brand = catalog.brand(product.brand.as_deref()?)?;
    let flow = brand.review_flow.as_deref().filter(|_| product.class.needs_organisation())?;
    catalog.paperwork().letter(flow, Purpose::Revocation)
}

/// The limits on revocation (REVOKE-05 to REVOKE-07, REVOKE-09).
fn restrict(catalog: &Catalog, product: &Product, case: &Case<'_>, now: Timestamp) -> Result<()> {
    let serial = case.certificate.serial;
    // DIAG-23
    if let Some(user) = case.in_use_by {
        return Err(Error::unauthorized(format!(
            "The certificate is in use by {user}; unbind it, then revoke (REVOKE-09, DIAG-23)."
        )));
    }
    if !is_bound(catalog, product) {
        return Ok(());
    }
    if let Some(original) = case.original {
        return Err(Error::new(
            Kind::UserActionRequired,
            format!(
                "Certificate {serial} is a reissue. Revoke the original, {original}: its reissues go with it (REVOKE-06)."
            ),
        ));
    }
    let settings = catalog.settings();
    let cutoff = settings.revocation_cutoff_date.0;
    if case.certificate.issued < cutoff {
        return Err(Error::unauthorized(format!(
            "The certificate was issued before {cutoff}; contact support to have it revoked (REVOKE-07)."
        )));
    }
    if case.certificate.not_after <= now + days(settings.renewal_window_days) {
        return Err(Error::unauthorized(format!(
            "Too close to expiry to revoke here: the certificate ends at {}, within {} days. Only a compromised key has it \
             revoked still (REVOKE-05).",
            case.certificate.not_after, settings.renewal_window_days
        )));
    }
    Ok(())
}

/// Whether the limits bind a product's certificates.
fn is_bound(catalog: &Catalog, product: &Product) -> bool {
    let brand = product.brand.as_deref().and_then(|id| catalog.brand(id));
    let international = brand.is_none_or(|brand| !brand.national_standard);
    match (catalog.settings().revoke_restrictions_apply_to, product.brand.as_deref()) {
        (RevokeScope::AllButWotrusInternational, Some(WOTRUS)) => !international,
        (RevokeScope::AllButWotrusAndDnspodSm, Some(WOTRUS | DNSPOD_SM)) => false,
        _ => true,
    }
}

/// What the customer is told when control of a name was not shown in time.
pub fn no_proof(method: Method, days: u32) -> String {
    let period = if days == 1 { "1 day".to_owned() } else { format!("{days} days") };
    let missing = match method {
        Method::Http01 => format!("File not found within {period} (REVOKE-14)"),
        _ => format!("No record within {period} (REVOKE-13)"),
    };
    format!("{missing}; the revocation failed. {GONE}")
}

/// What to do about a name that nobody can show control of any more.
pub const GONE: &str =
    "If the domain has expired and was deleted, so that its DNS can't be edited any more, contact support (REVOKE-08).";
