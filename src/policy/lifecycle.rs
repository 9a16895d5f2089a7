//! What an order is to an earlier certificate of the same holder: its renewal, its reissue, or nothing (design decision 6).

use std::collections::BTreeSet;

use super::catalog::{Class, Product, days};
use super::settings::Settings;
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
    let over = old.is_revoked() || old.not_after <= now;
    let same = names.iter().collect::<BTreeSet<_>>() == old.identifiers.iter().collect::<BTreeSet<_>>();
    if !same && !(settings.reissue_may_change_domains && !over) {
        // DOM-12, DOM-13, REISSUE-06
        return if earlier.named && !over {
            Err(Error::malformed(
                "A reissue or renewal keeps its names; leave out \"replaces\" for a new application (DOM-13, REISSUE-06).",
            ))
        } else {
            Ok(Purpose::New)
        };
    }
    let window_opens = old.not_after - days(settings.renewal_window_days);
    match product.class {
        // What has ended or was revoked is followed by an application of its own.
        _ if over => Ok(Purpose::New),
        // RENEW-10, RENEW-11: a free certificate is applied for anew in the window, with a new slot.
        Class::DvFree if now >= window_opens || !earlier.named => Ok(Purpose::New),
        // REISSUE-02
        Class::DvFree if earlier.reissues >= settings.free_reissue_limit => Err(Error::new(
            Kind::RateLimited,
            format!(
                "A free certificate can be reissued {}; leave out \"replaces\" for a new application (REISSUE-02).",
                if settings.free_reissue_limit == 1 {
                    "once".to_owned()
                } else {
                    format!("{} times", settings.free_reissue_limit)
                }
            ),
        )),
        // REISSUE-01, RENEW-02
        _ if now < window_opens => Ok(Purpose::Reissue { of: old.serial }),
        _ => Ok(Purpose::Renewal { of: old.serial }),
    }
}

/// How long ago a proof may have been seen to serve a reissue; none if reissues skip nothing.
pub fn reissue_reuse(settings: &Settings, product: &Product, original: &Certificate, now: Timestamp) -> u32 {
    use super::settings::Skip;
    let skips = |skip| settings.reissue_skip_validation.contains(&skip);
    // VAL-35: whatever proved the original serves in its first days.
    let fresh = product.class != Class::DvFree
        && skips(Skip::Fresh)
        && now < original.issued + days(settings.reissue_fresh_days);
    match (skips(Skip::Retained), fresh) {
        (true, _) if product.reissue_reuse_days > 0 => product.reissue_reuse_days,
        (_, true) => settings.validation_reuse_days,
        _ => 0,
    }
}
