//! When a certificate is best renewed (RFC 9773).

use std::time::Duration;

use super::catalog::days;
use crate::domain::Timestamp;
use crate::domain::certificate::{Certificate, CertificateStanding};

/// The shortest window that is suggested.
const SHORTEST: Duration = Duration::from_secs(60);

/// RENEW-12: business days before the end by which a documented certificate should have been renewed.
const BUSINESS_DAYS: u32 = 3;

/// A window in which a client picks a random moment (RFC 9773 section 4.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RenewalWindow {
    /// Its beginning.
    pub start: Timestamp,
    /// Its end, after the beginning.
    pub end: Timestamp,
}

/// The window: where `opens_days` before the end are documented, from there to three business days before the end (RENEW-02,
/// RENEW-03, RENEW-12); else around two thirds of the certificate's life; in the past when it was revoked.
pub fn window(certificate: &Certificate, opens_days: Option<u32>) -> RenewalWindow {
    if let CertificateStanding::Revoked { at, .. } = certificate.standing {
        let end = at - Duration::from_secs(60);
        return RenewalWindow { start: end - Duration::from_secs(3600), end };
    }
    let life = certificate.not_after.since(certificate.not_before);
    let two_thirds = certificate.not_before + life * 2 / 3;
    if let Some(opens) = opens_days {
        // A short certificate would be renewed from its birth on: two thirds of any life are waited for.
        let start = (certificate.not_after - days(opens)).max(two_thirds);
        let end = business_days_before(certificate.not_after, BUSINESS_DAYS);
        if start + SHORTEST <= end {
            return RenewalWindow { start, end };
        }
    }
    RenewalWindow { start: two_thirds, end: two_thirds + (life / 45).max(SHORTEST) }
}

/// So many days from Monday to Friday, in UTC, before a moment; no holidays are known.
fn business_days_before(moment: Timestamp, count: u32) -> Timestamp {
    let (mut earlier, mut left) = (moment, count);
    while left > 0 && earlier > Timestamp::default() {
        earlier = earlier - days(1);
        // 1970-01-01 was a Thursday; Monday is 0.
        let weekday = (earlier.as_secs() / 86_400 + 3) % 7;
        left -= u32::from(weekday < 5);
    }
    earlier
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn business_days_leave_weekends_out() {
        let at = |text: &str| Timestamp::parse_rfc3339(text).unwrap();
        for (end, earlier) in [
            // Wednesday to Monday, Tuesday, Friday and Saturday.
            ("2026-11-25T11:00:00Z", "2026-11-20T11:00:00Z"),
            ("2026-11-26T11:00:00Z", "2026-11-23T11:00:00Z"),
            ("2026-11-23T00:00:00Z", "2026-11-18T00:00:00Z"),
            ("2026-11-22T23:59:59Z", "2026-11-18T23:59:59Z"),
            ("2026-11-21T12:00:00Z", "2026-11-18T12:00:00Z"),
        ] {
            assert_eq!(business_days_before(at(end), 3), at(earlier), "{end}");
        }
    }
}
