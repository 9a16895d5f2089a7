//! When a certificate is best renewed (RFC 9773).

use std::time::Duration;

use crate::domain::Timestamp;
use crate::domain::certificate::{Certificate, CertificateStanding};

/// A window in which a client picks a random moment (RFC 9773 section 4.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RenewalWindow {
    /// Its beginning.
    pub start: Timestamp,
    /// Its end, after the beginning.
    pub end: Timestamp,
}

/// The window: around two thirds of the certificate's life, or in the past when it was revoked.
pub fn window(certificate: &Certificate) -> RenewalWindow {
    if let CertificateStanding::Revoked { at, .. } = certificate.standing {
        let end = at - Duration::from_secs(60);
        return RenewalWindow { start: end - Duration::from_secs(3600), end };
    }
    let life = certificate.not_after.since(certificate.not_before);
    let start = certificate.not_before + life * 2 / 3;
    RenewalWindow { start, end: start + (life / 45).max(Duration::from_secs(60)) }
}
