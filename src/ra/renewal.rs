//! Renewal information (RFC 9773).

use super::Ra;
use crate::domain::certificate::{CertId, Certificate};
use crate::domain::{Error, Result};
use crate::policy::catalog::Product;
use crate::policy::renewal::{RenewalWindow, window};
use crate::store::records::Stored;

/// When a certificate is best renewed.
#[derive(Debug, Clone, Copy)]
pub struct Renewal {
    /// The suggested window.
    pub window: RenewalWindow,
}

impl Ra {
    /// Renewal information for a certificate of this CA.
    pub async fn renewal_info(&self, id: &CertId) -> Result<Renewal> {
        let found = self.certificate_by_id(id).await?;
        let certificate = found.ok_or_else(|| Error::not_found(format!("This CA has issued no certificate {id}.")))?;
        let catalog = self.catalog();
        let documented = catalog.product(&certificate.product).is_some_and(Product::is_documented);
        let opens = documented.then_some(catalog.settings().renewal_window_days);
        Ok(Renewal { window: window(&certificate, opens) })
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
