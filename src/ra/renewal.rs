//! Renewal information (RFC 9773).

use std::time::Duration;

use super::Ra;
use crate::domain::certificate::{CertId, Certificate};
use crate::domain::{Error, Result};
use crate::policy::renewal::{RenewalWindow, window};
use crate::store::records::Stored;

/// How long clients wait before they ask again (RFC 9773 section 4.3.2), and while an incident is under way.
const ASK_AGAIN: Duration = Duration::from_secs(21_600);
const ASK_AGAIN_SOON: Duration = Duration::from_secs(3_600);

/// When a certificate is best renewed.
#[derive(Debug, Clone)]
pub struct Renewal {
    /// The suggested window.
    pub window: RenewalWindow,
    /// A page that says why it is to be renewed before its time.
    pub explanation_url: Option<String>,
    /// When to ask again.
    pub ask_again: Duration,
}

impl Ra {
    /// Renewal information for a certificate of this CA.
    pub async fn renewal_info(&self, id: &CertId) -> Result<Renewal> {
        let found = self.certificate_by_id(id).await?;
        let certificate = found.ok_or_else(|| Error::not_found(format!("This CA has issued no certificate {id}.")))?;
        let catalog = self.catalog();
        let rule = catalog.product(&certificate.product).and_then(|product| product.renewal);
        let window = window(&certificate, rule);
        // Nothing is sooner than at once.
        let incident = self.incident_about(&certificate).filter(|_| !certificate.is_revoked());
        Ok(match incident {
            None => Renewal { window, explanation_url: None, ask_again: ASK_AGAIN },
            Some(incident) => Renewal {
                window: window.pulled_forward(incident.opened, incident.renew_by),
                explanation_url: incident.explanation_url.clone(),
                ask_again: ASK_AGAIN_SOON,
            },
        })
    }

    /// The certificate of that name, if its key identifier and its serial are this CA's.
    pub(super) async fn certificate_by_id(&self, id: &CertId) -> Result<Option<Stored<Certificate>>> {
        let Some(serial) = id.known_serial() else { return Ok(None) };
        let found = self.records.find::<Certificate>(serial).await?;
        let same_issuer =
            |found: &Stored<Certificate>| self.ca.key_identifier(&found.issuer) == Some(&id.key_identifier[..]);
        Ok(found.filter(same_issuer))
    }
}
