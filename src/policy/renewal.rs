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

impl RenewalWindow {
    /// The same window for a certificate that has to be renewed before its time: it begins when that became known, so at once,
    /// and ends by then.
    #[must_use]
    pub fn pulled_forward(self, known: Timestamp, renew_by: Timestamp) -> Self {
        let start = self.start.min(known);
        Self { start, end: self.end.min(renew_by).max(start + SHORTEST) }
    }
}

/// When the certificates of a product are best renewed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WindowRule {
    /// From so many days before the end, though not before two thirds of the life, to three business days before the end
    /// (RENEW-02, RENEW-03, RENEW-12).
    Documented(u32),
    /// As the product says.
    Days {
        /// Days before the end when the window begins.
        opens: u32,
        /// Days before the end when it ends.
        closes: u32,
    },
}

/// The window: as the product's rule says; else around two thirds of the certificate's life; in the past when it was revoked.
pub fn window(certificate: &Certificate, rule: Option<WindowRule>) -> RenewalWindow {
    if let CertificateStanding::Revoked { at, .. } = certificate.standing {
        let end = at - Duration::from_secs(60);
        return RenewalWindow { start: end - Duration::from_secs(3600), end };
    }
    let life = certificate.not_after.since(certificate.not_before);
    let two_thirds = certificate.not_before + life * 2 / 3;
    let (start, end) = match rule {
        // A short certificate would be renewed from its birth on: two thirds of any life are waited for.
        Some(WindowRule::Documented(opens)) => {
            let end = business_days_before(certificate.not_after, BUSINESS_DAYS);
            ((certificate.not_after - days(opens)).max(two_thirds), end)
        }
        // One that was cut short does without its window if that began before it did.
        Some(WindowRule::Days { opens, closes }) => {
            let start = certificate.not_after - days(opens);
            let start = if start < certificate.not_before { two_thirds } else { start };
            (start, certificate.not_after - days(closes))
        }
        None => (two_thirds, two_thirds),
    };
    if start + SHORTEST <= end {
        return RenewalWindow { start, end };
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
