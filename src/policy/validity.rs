//! How long certificates are valid.

use std::time::Duration;

use super::catalog::{Class, Product, Sale, days};
use super::settings::{Schedule, Settings};
use crate::domain::certificate::Certificate;
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
    /// Last second of what was paid for, where that is later.
    pub paid_until: Option<Timestamp>,
}

/// How long a certificate may be valid, and is unless something else is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// Days unless something else is asked for, counted from now (VALIDITY-09); the cap cuts them.
    pub term_days: u32,
    /// Most days from first to last second.
    pub most_days: u32,
    /// What says so, as a refusal cites it; empty for a private CA's products.
    pub rule: &'static str,
    /// The end that it can't have passed: that of the certificate it stands in for (REISSUE-05).
    pub end: Option<Timestamp>,
    /// Last second of what was paid for; none for what nobody pays.
    pub paid_end: Option<Timestamp>,
    /// Last second of the issuing certificate.
    pub issuer_end: Timestamp,
}

/// The span of an order, given the certificate that it renews or reissues.
pub fn span(
    settings: &Settings,
    product: &Product,
    purpose: Purpose,
    earlier: Option<&Certificate>,
    issuer_end: Timestamp,
    now: Timestamp,
) -> Span {
    let now = now.whole_second();
    let documented_rule = match product.class {
        Class::Private => "",
        Class::DvFree => "VALIDITY-03",
        _ if purpose.is_new() => "VALIDITY-01",
        _ => "VALIDITY-02",
    };
    let (term_days, most_days) = match (purpose, earlier) {
        (Purpose::Renewal { .. }, Some(earlier)) => {
            // VALIDITY-06, X-05: the remaining days and the extra ones on top, then the cap (VALIDITY-02).
            let remaining = u32::try_from(earlier.term_end().since(now).as_secs() / 86_400).unwrap_or(0);
            let sum = product.term_days.saturating_add(remaining).saturating_add(settings.rollover_extra_days);
            (sum.min(product.renewed_validity_days), product.renewed_validity_days)
        }
        // It may stand in for a fresh one or for a renewed one.
        (Purpose::Reissue { .. }, Some(_)) => {
            let most = product.validity_days.max(product.renewed_validity_days);
            (most, most)
        }
        _ => (product.term_days, product.validity_days),
    };
    // Design decision 8: the calendar cuts the certificate, not what was paid for.
    let calendar = if follows_calendar(settings, product) { public_limits(now).certificate } else { u32::MAX };
    let rule = if calendar < most_days { "Baseline Requirements 6.3.2" } else { documented_rule };
    let reissued = match purpose {
        Purpose::Reissue { .. } => earlier,
        Purpose::New | Purpose::Renewal { .. } => None,
    };
    let bought = (now + days(term_days)).min(now - BACKDATE + days(most_days)) - SECOND;
    Span {
        term_days,
        most_days: most_days.min(calendar),
        rule,
        end: reissued.map(|original| {
            // REISSUE-05: the end stays; near to it, what is left of the term follows.
            let ends_soon = original.not_after <= now + days(settings.renewal_window_days);
            if ends_soon { original.term_end() } else { original.not_after }
        }),
        paid_end: matches!(product.sale, Sale::Paid(_)).then(|| reissued.map_or(bought, Certificate::term_end)),
        issuer_end,
    }
}

/// Whether the public calendar of shrinking lifetimes holds for a product.
pub fn follows_calendar(settings: &Settings, product: &Product) -> bool {
    product.is_documented() && settings.validity_schedule == Schedule::BaselineRequirements
}

/// A line of the public calendar.
struct PublicLimits {
    /// Its beginning, in seconds since 1970.
    since: u64,
    /// Most days of a certificate (Baseline Requirements 6.3.2).
    certificate: u32,
    /// Most days that a validation may be old (Baseline Requirements 4.2.1).
    validation: u32,
}

/// The public calendar; its lines begin at 00:00 UTC.
const PUBLIC_CALENDAR: [PublicLimits; 4] = [
    PublicLimits { since: 0, certificate: 398, validation: 398 },
    // 2026-03-15
    PublicLimits { since: 1_773_532_800, certificate: 200, validation: 200 },
    // 2027-03-15
    PublicLimits { since: 1_805_068_800, certificate: 100, validation: 100 },
    // 2029-03-15
    PublicLimits { since: 1_868_227_200, certificate: 47, validation: 10 },
];

/// The line of the public calendar that holds at that moment.
fn public_limits(now: Timestamp) -> &'static PublicLimits {
    let begun = PUBLIC_CALENDAR.iter().rev().find(|limits| limits.since <= now.as_secs());
    begun.unwrap_or(&PUBLIC_CALENDAR[0])
}

/// Most days that a validation may be old by the public calendar (Baseline Requirements 4.2.1).
pub fn public_reuse_days(now: Timestamp) -> u32 {
    public_limits(now).validation
}

/// Most days that a validation may be old when a certificate rests on it (Baseline Requirements 4.2.1, where the public
/// calendar holds).
pub fn longest_reuse(settings: &Settings, product: &Product, now: Timestamp) -> Duration {
    days(match follows_calendar(settings, product) {
        true => public_limits(now).validation,
        false => super::catalog::ceiling::REUSE_DAYS,
    })
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
    let start = not_before.unwrap_or(now);
    let Some(end) = not_after else {
        return match span.end {
            Some(last) if last <= start => Err(Error::malformed(format!(
                "\"notBefore\" is {start}; a reissue ends with the certificate that it stands in for, at {last} (REISSUE-05)."
            ))),
            _ => Ok(()),
        };
    };
    if end <= start || end <= now {
        return Err(Error::malformed(format!("\"notAfter\" ({end}) must lie after \"notBefore\" and in the future.")));
    }
    if let Some(last) = span.end.filter(|last| end > *last) {
        return Err(Error::malformed(format!(
            "\"notAfter\" is {end}; a reissue ends with the certificate that it stands in for, at {last} (REISSUE-05)."
        )));
    }
    // What is not asked for starts BACKDATE early only as far as the cap allows, so the cap counts from `start`.
    let latest = start + days(span.most_days) - SECOND;
    if end > latest {
        let rule = if span.rule.is_empty() { String::new() } else { format!(" ({})", span.rule) };
        return Err(Error::malformed(format!(
            "\"notAfter\" is {end}; \"{}\" is valid for at most {} days, here until {latest}{rule}.",
            product.id, span.most_days
        )));
    }
    beyond_issuer(span, end)
}

fn beyond_issuer(span: &Span, end: Timestamp) -> Result<()> {
    if end <= span.issuer_end {
        return Ok(());
    }
    let last = span.issuer_end;
    Err(Error::malformed(format!("\"notAfter\" is {end}, but the issuing certificate ends at {last}; ask for less.")))
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
    now: Timestamp,
) -> Result<Window> {
    let now = now.whole_second();
    let most = days(span.most_days) - SECOND;
    if let Some(asked) = not_before.filter(|asked| *asked + NOT_BEFORE_WITHIN <= now) {
        return Err(Error::malformed(format!("\"notBefore\" is {asked}, more than 48 hours ago; place a new order.")));
    }
    let start = not_before.unwrap_or_else(|| match not_after.or(span.end) {
        // To keep an end that is nearly as far as the cap allows, it begins less early.
        Some(end) if end <= now + most => (now - BACKDATE).max(end - most),
        _ => now - BACKDATE,
    });
    let latest = span.end.unwrap_or(Timestamp::MAX).min(start + most);
    let end = match not_after {
        Some(asked) => {
            beyond_issuer(span, asked)?;
            // The calendar may have moved on since the order was placed.
            if asked > latest {
                return Err(Error::malformed(format!(
                    "\"notAfter\" is {asked}, but a certificate of today ends by {latest}; place a new order."
                )));
            }
            asked
        }
        None if span.end.is_some() => latest,
        None => (not_before.unwrap_or(now) + days(span.term_days) - SECOND).min(latest),
    };
    let end = end.min(span.issuer_end);
    if end <= now || end <= start {
        return Err(Error::malformed(format!("The certificate would end at {end}, which is over; place a new order.")));
    }
    // Who asks for an early end of a term has it so; a reissue takes nothing away from its original.
    let owed = span.paid_end.filter(|_| not_after.is_none() || span.end.is_some());
    Ok(Window { not_before: start, not_after: end, paid_until: owed.filter(|paid| *paid > end) })
}
