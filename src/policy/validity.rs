//! How long certificates are valid.

use std::time::Duration;

use super::catalog::{Product, days};
use super::settings::{Schedule, Settings};
use crate::domain::order::Purpose;
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

/// How long a certificate may be valid, and is unless something else is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// Days unless something else is asked for.
    pub term_days: u32,
    /// Most days.
    pub most_days: u32,
    /// The end that it can't have passed: that of the certificate it stands in for (REISSUE-05).
    pub end: Option<Timestamp>,
}

/// The span of an order, given what it is to a certificate that ends at `earlier_end`.
pub fn span(
    settings: &Settings,
    product: &Product,
    purpose: Purpose,
    earlier_end: Option<Timestamp>,
    now: Timestamp,
) -> Span {
    let scheduled = match settings.validity_schedule {
        Schedule::BaselineRequirements if product.is_documented() => public_days(now),
        _ => u32::MAX,
    };
    let span = match (purpose, earlier_end) {
        (Purpose::Renewal { .. }, Some(end)) => {
            // VALIDITY-06, X-05: the remaining days and the extra ones on top, then the cap.
            let remaining = u32::try_from(end.since(now).as_secs() / 86_400).unwrap_or(0);
            let sum = product.term_days.saturating_add(remaining).saturating_add(settings.rollover_extra_days);
            let most = product.renewed_validity_days;
            Span { term_days: sum.min(most), most_days: most, end: None }
        }
        // REISSUE-05: the end stays.
        (Purpose::Reissue { .. }, Some(end)) => {
            Span { term_days: product.renewed_validity_days, most_days: product.renewed_validity_days, end: Some(end) }
        }
        _ => Span { term_days: product.term_days, most_days: product.validity_days, end: None },
    };
    Span { term_days: span.term_days.min(scheduled), most_days: span.most_days.min(scheduled), ..span }
}

/// Most days of a public certificate that is issued at that moment (Baseline Requirements 6.3.2).
fn public_days(now: Timestamp) -> u32 {
    // 2026-03-15, 2027-03-15 and 2029-03-15, 00:00 UTC.
    match now.as_secs() {
        ..1_773_532_800 => 398,
        ..1_805_068_800 => 200,
        ..1_868_227_200 => 100,
        _ => 47,
    }
}

/// Judges the dates that an order asks for: they are honoured or refused, never changed (RFC 8555 section 7.4).
pub fn check_asked(
    product: &Product,
    span: &Span,
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
    let latest = start + days(span.most_days) - SECOND;
    if end > latest {
        let rule = if product.is_documented() { " (VALIDITY-01)" } else { "" };
        return Err(Error::malformed(format!(
            "\"notAfter\" is {end}; \"{}\" is valid for at most {} days, here until {latest}{rule}.",
            product.id, span.most_days
        )));
    }
    match span.end {
        Some(last) if end > last => Err(Error::malformed(format!(
            "\"notAfter\" is {end}; a reissue ends with the certificate that it stands in for, at {last} (REISSUE-05)."
        ))),
        _ => Ok(()),
    }
}

/// The last moment at which a certificate with that notBefore may be signed.
pub fn latest_signing(not_before: Option<Timestamp>) -> Option<Timestamp> {
    not_before.map(|asked| asked + NOT_BEFORE_WITHIN)
}

/// The window of a certificate that is signed now: exactly as asked, else its span; never past the issuer's end.
pub fn window(
    span: &Span,
    not_before: Option<Timestamp>,
    not_after: Option<Timestamp>,
    issuer_not_after: Timestamp,
    now: Timestamp,
) -> Result<Window> {
    let now = now.whole_second();
    let (term, most) = (days(span.term_days) - SECOND, days(span.most_days) - SECOND);
    let start = match (not_before, not_after.or(span.end)) {
        (Some(asked), _) => asked,
        (None, Some(end)) => (now - BACKDATE).max(end - most),
        (None, None) => now - BACKDATE,
    };
    if let Some(end) = not_after
        && end > issuer_not_after
    {
        return Err(Error::malformed(format!(
            "\"notAfter\" is {end}, but the issuing certificate ends at {issuer_not_after}; ask for less."
        )));
    }
    if not_before.is_some_and(|asked| asked + NOT_BEFORE_WITHIN <= now) {
        return Err(Error::malformed(format!("\"notBefore\" is {start}, more than 48 hours ago; place a new order.")));
    }
    let last = span.end.unwrap_or(issuer_not_after).min(issuer_not_after);
    let end = not_after.unwrap_or_else(|| match span.end {
        Some(end) => end.min(start + most),
        None => start + term,
    });
    let end = end.min(last).min(start + most);
    if end <= now {
        return Err(Error::malformed(format!("The certificate would end at {end}, which is over; place a new order.")));
    }
    Ok(Window { not_before: start, not_after: end })
}
