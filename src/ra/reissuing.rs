//! Reissues asked for by REST: the same certificate once more, carried through by the server (REISSUE-01 to REISSUE-16).

use std::sync::Arc;

use super::hand_orders::NewApplication;
use super::{OrderView, Ra};
use crate::domain::audit::Act;
use crate::domain::certificate::{CertId, Certificate};
use crate::domain::plan::Method;
use crate::domain::{CustomerId, Error, KeyPairId, Kind, Result, Serial};
use crate::policy::catalog::{Class, days};
use crate::store::records::Batch;

/// Most characters of a reason in words.
const LONGEST_GROUNDS: usize = 1000;

/// A wish to have a certificate issued once more.
#[derive(Debug, Clone)]
pub struct NewReissue {
    /// The certificate.
    pub serial: Serial,
    /// Whose it is.
    pub customer: CustomerId,
    /// Why, in words (REISSUE-08, REISSUE-16).
    pub grounds: String,
    /// The CSR, DER.
    pub csr: Vec<u8>,
    /// The key pair that it is of, if the server keeps it.
    pub key_pair: Option<KeyPairId>,
    /// How control of names is shown that are to be proven anew; none: as it was for the certificate.
    pub method: Option<Method>,
}

impl Ra {
    /// Judges whether a certificate may be reissued at all, before a key is made for it.
    pub async fn check_reissue(&self, serial: &Serial, grounds: &str) -> Result<Certificate> {
        let certificate = self.certificate_of(serial).await?;
        let catalog = self.catalog();
        let product = self.product_of(&catalog, &certificate.product)?;
        let window_opens = certificate.term_end() - days(catalog.settings().renewal_window_days);
        if window_opens <= self.now() {
            return Err(Error::new(
                Kind::Conflict,
                format!(
                    "Too close to expiry: the certificate ends at {}. Renew it instead (REISSUE-01).",
                    certificate.term_end()
                ),
            ));
        }
        // REISSUE-16: any need is a ground, but it is told.
        if product.class.is_paid() && grounds.trim().is_empty() {
            return Err(Error::malformed(
                "Enter a reason: say in \"grounds\" why, e.g. that the key is compromised or its password forgotten \
                 (REISSUE-08, REISSUE-16).",
            ));
        }
        if grounds.chars().count() > LONGEST_GROUNDS {
            return Err(Error::malformed(format!("\"grounds\" has more than {LONGEST_GROUNDS} characters.")));
        }
        self.refuse_while_revoking(serial).await?;
        Ok(certificate)
    }

    /// REISSUE-09: whether the key of a certificate's reissue is made here, since the customer chooses its kind and password
    /// only.
    pub fn makes_reissued_keys(&self, certificate: &Certificate) -> bool {
        let catalog = self.catalog();
        catalog.product(&certificate.product).is_some_and(|product| product.class == Class::DvFree)
    }

    /// Has a certificate issued once more: same names, same end, nothing charged (REISSUE-05 to REISSUE-07). Whatever the
    /// names' validation, an approved application is not reviewed again (REISSUE-10, REISSUE-11, REISSUE-12, design decision 7).
    pub async fn reissue(self: &Arc<Self>, asked: NewReissue) -> Result<OrderView> {
        let certificate = self.check_reissue(&asked.serial, &asked.grounds).await?;
        let of_order = self.methods_of(&certificate).await?;
        let method = asked.method.or_else(|| of_order.values().copied().find(|method| *method != Method::TlsAlpn01));
        let act = Act::ReissueRequested { serial: asked.serial, grounds: asked.grounds.trim().to_owned() };
        self.records.commit(Batch::of(act, self.now())).await?;
        let named = self.named_for_reissue(&certificate)?;
        let application = NewApplication {
            customer: asked.customer,
            product: Some(certificate.product.clone()),
            names: certificate.identifiers.clone(),
            method: method.unwrap_or(Method::Dns01),
            csr: asked.csr,
            key_pair: asked.key_pair,
            replaces: Some(asked.serial),
            automatic: false,
        };
        self.apply_naming(application, named).await
    }

    /// How a free certificate is named whose order is to be its reissue: without that it would be an application of its own
    /// (QUOTA-14). Of a paid one the newest for the names is found by these.
    fn named_for_reissue(&self, certificate: &Certificate) -> Result<Option<CertId>> {
        if !self.makes_reissued_keys(certificate) {
            return Ok(None);
        }
        let issuer = &certificate.issuer;
        let key_identifier = self.ca.key_identifier(issuer);
        let key_identifier =
            key_identifier.ok_or_else(|| Error::internal(format!("the issuer \"{issuer}\" is gone")))?;
        let serial = certificate.serial.as_bytes().to_vec();
        Ok(Some(CertId { key_identifier: key_identifier.to_vec(), serial }))
    }
}
