//! Downloads for servers: a certificate with its chain, and with its key where that is here (INSTALL-01 to INSTALL-08).

use super::pairs::SecondPart;
use super::{CertificateStatus, Kept, Listed, Ra};
use crate::domain::audit::Act;
use crate::domain::key_pair::{KeyPair, PrivateKey};
use crate::domain::portfolio::CertificateRef;
use crate::domain::upload::{Standard, Upload};
use crate::domain::{CustomerId, Error, KeyPairId, Kind, Result};
use crate::paper::archive::{self, Bundle, Format, Key};
use crate::store::records::{Batch, Index, target};

impl Ra {
    /// The archive of a certificate for a server. `password` is that of the key store, and opens a key that its owner locked.
    /// The key is for its owner alone.
    pub async fn bundle(
        &self,
        id: &CertificateRef,
        format: &str,
        password: Option<&str>,
        owner: bool,
    ) -> Result<Vec<u8>> {
        let format: Format = format.parse()?;
        let listed = self.listed(id).await?;
        self.usable(&listed).await?;
        let (key, chain) = match &listed.certificate {
            Kept::Issued(certificate) => {
                let key = match &listed.customer {
                    Some(customer) => self.key_of(customer, &certificate.spki_sha256).await?,
                    None => None,
                };
                (key.map(|key| key.private), self.whole_chain(&certificate.issuer, &certificate.der)?)
            }
            Kept::Uploaded(upload) => {
                (Some(PrivateKey::Kept { document: upload.pair.key.clone() }), upload.pair.ders())
            }
        };
        let key = key.filter(|_| owner);
        let content = match key.as_ref().and_then(PrivateKey::document) {
            Some(document) => Some(self.read_document(document).await?.1),
            None => None,
        };
        let key = match (&key, &content) {
            (Some(PrivateKey::Locked { .. }), Some(content)) => Key::Locked(content),
            (_, Some(content)) => Key::Plain(content),
            _ => Key::Elsewhere,
        };
        let names = listed.certificate.names();
        let name = names.first().map_or("certificate", String::as_str);
        let notes = self.notes(&listed);
        let now = self.now();
        let second = match &listed.certificate {
            Kept::Uploaded(upload) if owner => self.second_pair(upload).await?,
            Kept::Issued(certificate) if owner => self.second_part(certificate, password).await?,
            _ => None,
        };
        let held = !matches!(key, Key::Elsewhere) || second.is_some();
        let second = second.as_ref().map(|second| (second.chain.as_slice(), second.key()));
        let made = archive::bundle(format, &Bundle { name, chain: &chain, key, second, password, notes: &notes, now })?;
        if held {
            self.records.commit(Batch::of(Act::PrivateKeyRead { of: id.to_string() }, now)).await?;
        }
        Ok(made)
    }

    /// Whether a certificate may be downloaded and deployed: not when it was revoked, nor while it is being revoked.
    pub(super) async fn usable(&self, listed: &Listed) -> Result<()> {
        if listed.status == CertificateStatus::Revoked {
            return Err(Error::new(
                Kind::Conflict,
                "The certificate was revoked; it is neither downloaded nor deployed.",
            ));
        }
        // REVOKE-01
        if let Kept::Issued(certificate) = &listed.certificate {
            self.refuse_while_revoking(&certificate.serial).await?;
        }
        Ok(())
    }

    /// The key pair of a customer with that public key.
    pub(super) async fn key_of(&self, customer: &CustomerId, spki_sha256: &[u8; 32]) -> Result<Option<KeyPair>> {
        let row = self.records.follow(&Index::KeyPairBySpki(customer, spki_sha256)).await?;
        match row {
            Some(row) => Ok(Some(self.key_pair(&target::<KeyPairId>(&row)?).await?)),
            None => Ok(None),
        }
    }

    /// INSTALL-06: the leaf and all intermediates, as servers must send them.
    pub(super) fn whole_chain(&self, issuer: &str, leaf: &[u8]) -> Result<Vec<Vec<u8>>> {
        let chains = self.ca.chains(issuer).and_then(<[_]>::first);
        let above = chains.ok_or_else(|| Error::internal(format!("the issuer \"{issuer}\" has no chain")))?;
        Ok(std::iter::once(leaf.to_vec()).chain(above.iter().cloned()).collect())
    }

    async fn second_pair(&self, upload: &Upload) -> Result<Option<SecondPart>> {
        match (&upload.standard, &upload.encryption) {
            (Standard::Sm2, Some(pair)) => {
                let (_, key) = self.read_document(&pair.key).await?;
                Ok(Some(SecondPart::uploaded(pair.ders(), key)))
            }
            _ => Ok(None),
        }
    }

    /// What the reader of a download should know of this certificate.
    fn notes(&self, listed: &Listed) -> Vec<String> {
        let Kept::Issued(certificate) = &listed.certificate else { return Vec::new() };
        let catalog = self.catalog();
        let brand = catalog.product(&certificate.product).and_then(|product| product.brand.as_deref());
        match brand {
            Some("globalsign") => vec![
                "GlobalSign has a new intermediate since 2019-05-27; Windows 7 does not trust certificates issued after \
                 2020-05-27 (the date is printed both ways). Remedy for Nginx: append the cross certificate as the last \
                 block of the .crt file and restart (INSTALL-07)."
                    .to_owned(),
            ],
            _ => Vec::new(),
        }
    }
}
