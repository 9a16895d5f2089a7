//! How long certificates are valid.

use std::time::Duration;

use super::catalog::Product;
use crate::domain::{Error, Result, Timestamp};

/// Before the moment of signing, so that clients whose clocks are slow accept the certificate at once.
pub const BACKDATE: Duration = Duration::from_secs(3600);

/// Baseline Requirements 7.1.2.7: notBefore lies within 48 hours of signing.
const NOT_BEFORE_WITHIN: Duration = Duration::from_secs(48 * 3600);

const SECOND: Duration = Duration::from_secs(1);

/// First and last second of a certificate; both belong to it (Baseline Requirements 6.3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// First second.
    pub not_before: Timestamp,
    /// Last second.
    pub not_after: Timestamp,
}

/// Judges the dates that an order asks for: they are honoured or refused, never changed (RFC 8555 section 7.4).
pub fn check_asked(
    product: &Product,
    not_before: Option<Timestamp>,
    not_after: Option<Timestamp>,
    now: Timestamp,
) -> Result<()> {
    for (member, asked) in [("notBefore", not_before), ("notAfter", not_after)] {
        if let Some(asked) = asked.filter(|asked| asked.whole_second() != *asked) {
            return Err(Error::malformed(format!(
                "\"{member}\" ({asked}) has a fraction of a second; certificates have none."
            )));
        }
    }
    if let Some(asked) = not_before
        && (asked + NOT_BEFORE_WITHIN <= now || asked > now + NOT_BEFORE_WITHIN)
    {
        return Err(Error::malformed(format!("\"notBefore\" is {asked}; it must lie within 48 hours of now ({now}).")));
    }
    let Some(end) = not_after else { return Ok(()) };
    let start = not_before.unwrap_or(now);
    if end <= start || end <= now {
        return Err(Error::malformed(format!("\"notAfter\" ({end}) must lie after \"notBefore\" and in the future.")));
    }
    // What is not asked for starts BACKDATE early only as far as the cap allows, so the cap counts from `start`.
    let latest = start + product.validity() - SECOND;
    if end > latest {
        return Err(Error::malformed(format!(
            "\"notAfter\" is {end}; \"{}\" is valid for at most {} days, here until {latest}.",
            product.id, product.validity_days
        )));
    }
    Ok(())
}

/// The last moment at which a certificate with that notBefore may be signed.
pub fn latest_signing(not_before: Option<Timestamp>) -> Option<Timestamp> {
    not_before.map(|asked| asked + NOT_BEFORE_WITHIN)
}

/// The window of a certificate that is signed now: exactly as asked, else the product's validity; never past the
/// issuer's end.
pub fn window(
    product: &Product,
    not_before: Option<Timestamp>,
    not_after: Option<Timestamp>,
    issuer_not_after: Timestamp,
    now: Timestamp,
) -> Result<Window> {
    let now = now.whole_second();
    let cap = product.validity() - SECOND;
    let start = match (not_before, not_after) {
        (Some(asked), _) => asked,
        (None, Some(end)) => (now - BACKDATE).max(end - cap),
        (None, None) => now - BACKDATE,
    };
    if let Some(end) = not_after
        && end > issuer_not_after
    {
        return Err(Error::malformed(format!(
            "\"notAfter\" is {end}, but the issuing certificate ends at {issuer_not_after}; ask for less."
        )));
    }
    let end = not_after.unwrap_or((start + cap).min(issuer_not_after));
    if end <= now {
        return Err(Error::malformed(format!("The certificate would end at {end}, which is over; place a new order.")));
    }
    Ok(Window { not_before: start, not_after: end })
}
