//! What an order is to an earlier certificate of the same holder: its renewal, its reissue, or nothing (design decision 6).

use std::collections::BTreeSet;

use super::catalog::{Class, Product, days};
use super::settings::{Settings, Skip};
use crate::domain::certificate::Certificate;
use crate::domain::order::Purpose;
use crate::domain::{Error, Identifier, Kind, Result, Timestamp};

/// An earlier certificate, as far as the judgement needs it.
#[derive(Debug)]
pub struct Predecessor<'a> {
    /// The certificate.
    pub certificate: &'a Certificate,
    /// Whether the client names it (`replaces`, RFC 9773 section 5), or it was found by its names.
    pub named: bool,
    /// How many reissues of the same original went before, itself included if it is one.
    pub reissues: u32,
}

/// The purpose of an order of `product` for `names`, given the holder's earlier certificate.
pub fn purpose(
    settings: &Settings,
    product: &Product,
    names: &[Identifier],
    earlier: &Predecessor<'_>,
    now: Timestamp,
) -> Result<Purpose> {
    let old = earlier.certificate;
    // A private CA's products and another product are applications of their own, whatever they replace.
    if !product.is_documented() || old.product != product.id {
        return Ok(Purpose::New);
    }
    let free = product.class == Class::DvFree;
    // What was paid for lasts until the end of its term, also when its certificate was revoked: a compromised key is a ground
    // for a reissue (REISSUE-16), who revokes it first does what is right, and an issued certificate is not refunded
    // (REFUND-01), so a year would be paid twice. A free certificate costs nothing but its slot, which the account has back
    // (QUOTA-05): there it is a new application.
    let over = old.term_end() <= now || (free && old.is_revoked());
    let window_opens = old.term_end() - days(settings.renewal_window_days);
    if !same_names(names, &old.identifiers) {
        // with the setting a reissue may have other names; a renewal never (DOM-13).
        return match settings.reissue_may_change_domains && earlier.named && !over && now < window_opens {
            true => reissue(settings, free, earlier),
            // DOM-12, DOM-13, REISSUE-06
            false if earlier.named && !over && !old.is_revoked() => Err(Error::malformed(format!(
                "A reissue or renewal keeps its names, here {}; leave out \"replaces\" for a new application (DOM-13, \
                 REISSUE-06).",
                old.identifiers.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
            ))),
            false => Ok(Purpose::New),
        };
    }
    if over {
        return Ok(Purpose::New);
    }
    // RENEW-10, RENEW-11: a free certificate is applied for anew in the window, with a new slot.
    if free && (now >= window_opens || !earlier.named) {
        return Ok(Purpose::New);
    }
    // REISSUE-01: with more than 30 days left it is reissued, else renewed (RENEW-02).
    match now < window_opens {
        true => reissue(settings, free, earlier),
        false => Ok(Purpose::Renewal { of: old.serial }),
    }
}

/// REISSUE-02: a free certificate is reissued once.
fn reissue(settings: &Settings, free: bool, earlier: &Predecessor<'_>) -> Result<Purpose> {
    if free && earlier.reissues >= settings.free_reissue_limit {
        let often = match settings.free_reissue_limit {
            0 => "can't be reissued".to_owned(),
            1 => "can be reissued once".to_owned(),
            limit => format!("can be reissued {limit} times"),
        };
        return Err(Error::new(
            Kind::RateLimited,
            format!("A free certificate {often}; leave out \"replaces\" for a new application (REISSUE-02)."),
        ));
    }
    Ok(Purpose::Reissue { of: earlier.certificate.serial })
}

/// Whether two lists hold the same names, whatever their sequence.
pub fn same_names(one: &[Identifier], other: &[Identifier]) -> bool {
    one.iter().collect::<BTreeSet<_>>() == other.iter().collect::<BTreeSet<_>>()
}

/// Days for which a proof of control serves an order of that purpose; `original` is when the first of a line of reissues was
/// issued.
pub fn reuse_days(
    settings: &Settings,
    product: &Product,
    purpose: Purpose,
    original: Timestamp,
    now: Timestamp,
) -> u32 {
    // RENEW-08, RENEW-11: what is applied for anew is validated anew, save what its brand retains (VAL-32, VAL-33).
    let own = product.validation_reuse_days;
    let Purpose::Reissue { .. } = purpose else { return own };
    // REISSUE-13, REISSUE-14: what an ACME client or the owner proved before serves the reissue of a paid certificate; who keeps
    // proving it is never asked anew.
    // any one of these suffices. "The same CSR" (VAL-36) can't be one: ACME hands it in after the validation.
    let skips = |skip| settings.reissue_skip_validation.contains(&skip);
    let retained = if skips(Skip::Retained) { product.reissue_reuse_days } else { 0 };
    // VAL-35: in the first days whatever proved the original serves.
    let fresh = skips(Skip::Fresh) && now < original + days(product.reissue_fresh_days);
    let fresh = if fresh { settings.validation_reuse_days } else { 0 };
    own.max(retained).max(fresh)
}
