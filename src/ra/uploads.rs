//! Certificates of whatever CA that customers upload (UPLOAD-01 to UPLOAD-11).

use std::collections::BTreeMap;

use zeroize::Zeroizing;

use super::documents::NewDocument;
use super::expiry::watch_end;
use super::{Listed, Ra};
use crate::ca::foreign::{self, Foreign};
use crate::domain::audit::Act;
use crate::domain::document::DocumentKind;
use crate::domain::portfolio::{CertificateRef, Portfolio};
use crate::domain::upload::{Der, Standard, Upload, UploadedPair};
use crate::domain::{CustomerId, Error, Result, Timestamp, UploadId};
use crate::store::records::{Batch, Index, Rows};

/// How many uploaded certificates a customer keeps at most.
const MOST: usize = 1_000;

/// A certificate and its key as they were written, with the names of their files if they were files.
#[derive(Debug, Clone, Default)]
pub struct UploadedText {
    /// The certificate with its chain, PEM.
    pub certificate: Option<String>,
    /// The private key, PEM.
    pub private_key: Option<Zeroizing<String>>,
    /// What the certificate's file is called.
    pub certificate_file: Option<String>,
    /// What the key's file is called.
    pub key_file: Option<String>,
}

/// A certificate to be uploaded.
#[derive(Debug)]
pub struct NewUpload {
    /// For whom.
    pub customer: CustomerId,
    /// What it follows (UPLOAD-02).
    pub standard: Standard,
    /// What its owner calls it (META-01).
    pub name: String,
    /// Its tags (UPLOAD-09).
    pub tags: BTreeMap<String, String>,
    /// Its project (UPLOAD-09).
    pub project: String,
    /// The certificate; for SM2 that for signatures.
    pub signature: UploadedText,
    /// For SM2 the one for encryption.
    pub encryption: UploadedText,
}

impl Ra {
    /// Keeps an uploaded certificate, after a look at all of its parts.
    pub async fn upload_certificate(&self, asked: NewUpload) -> Result<Listed> {
        self.customer(&asked.customer).await?;
        let kept = self.records.rows(&Rows::UploadsOfCustomer(&asked.customer), None, MOST).await?.len();
        room_for_upload(kept)?;
        for part in [&asked.signature, &asked.encryption] {
            check_endings(part)?;
        }
        let (first, second) = match asked.standard {
            Standard::International => (read_international(&asked)?, None),
            Standard::Sm2 => read_sm2(&asked).map(|(first, second)| (first, Some(second)))?,
        };
        let now = self.now();
        let (id, customer) = (UploadId::random(), &asked.customer);
        let reference = CertificateRef::Uploaded(id.clone());
        let held =
            Portfolio::of(reference.clone()).described(Some(&asked.name), Some(&asked.tags), Some(&asked.project))?;
        let batch = Batch::of(Act::CertificateUploaded { upload: id.clone(), customer: customer.clone() }, now);
        let (batch, pair) = self.keep_pair(batch, customer, &first, now);
        let (batch, encryption) = match &second {
            Some(second) => {
                let (batch, pair) = self.keep_pair(batch, customer, second, now);
                (batch, Some(pair))
            }
            None => (batch, None),
        };
        let upload = Upload {
            id: id.clone(),
            customer: customer.clone(),
            standard: asked.standard,
            pair,
            encryption,
            names: first.names,
            subject: first.subject,
            issuer: first.issuer,
            serial: first.serial,
            key: first.kind,
            not_before: first.not_before,
            not_after: first.not_after,
            uploaded: now,
        };
        let batch = batch
            .insert(&upload)
            .insert(&held)
            .index(&Index::UploadOfCustomer(customer, &id), id.as_str())
            .index(&Index::CertificateOfCustomer(customer, now, &reference), id.as_str());
        // NOTIFY-04
        let batch = watch_end(batch, customer, upload.not_after, id.as_str(), upload.names.clone());
        self.records.commit(batch).await?;
        self.look_again();
        self.listed(&reference).await
    }

    fn keep_pair(&self, batch: Batch, customer: &CustomerId, read: &Foreign, now: Timestamp) -> (Batch, UploadedPair) {
        let new = NewDocument {
            customer,
            kind: DocumentKind::PrivateKey,
            media_type: "application/pkcs8",
            name: "private.key",
            content: &read.key,
        };
        let (batch, key) = self.keep_document(batch, &new, now);
        (batch, UploadedPair { chain: read.chain.iter().cloned().map(Der).collect(), key })
    }
}

fn room_for_upload(kept: usize) -> Result<()> {
    match kept < MOST {
        true => Ok(()),
        false => Err(Error::malformed(format!(
            "A customer has {MOST} uploaded certificates at most; delete those that you no longer use."
        ))),
    }
}

fn missing(part: &str, rule: &str) -> Error {
    Error::malformed(format!("Part \"{part}\" is missing ({rule})."))
}

fn read_international(asked: &NewUpload) -> Result<Foreign> {
    let certificate = asked.signature.certificate.as_deref().ok_or_else(|| missing("certificate", "UPLOAD-03"))?;
    let key = asked.signature.private_key.as_deref().ok_or_else(|| missing("private_key", "UPLOAD-03"))?;
    if asked.encryption.certificate.is_some() || asked.encryption.private_key.is_some() {
        return Err(Error::malformed(
            "Choose the standard: only \"sm2\" has a second certificate for encryption (UPLOAD-02).",
        ));
    }
    foreign::international(certificate, key)
}

fn read_sm2(asked: &NewUpload) -> Result<(Foreign, Foreign)> {
    let (signature, encryption) = (&asked.signature, &asked.encryption);
    let first = signature.certificate.as_deref().ok_or_else(|| missing("certificate", "UPLOAD-05"))?;
    let first_key = signature.private_key.as_deref().ok_or_else(|| missing("private_key", "UPLOAD-05"))?;
    let second = encryption.certificate.as_deref().ok_or_else(|| missing("encryption_certificate", "UPLOAD-05"))?;
    // UPLOAD-07: one file may hold the key of both.
    let second_key = encryption.private_key.as_deref().unwrap_or(first_key);
    let first = foreign::sm2(first, first_key)?;
    let second = foreign::sm2(second, second_key).map_err(|error| match encryption.private_key {
        Some(_) => error,
        None => missing("encryption_private_key", "UPLOAD-05; the other key is not that of both, as in UPLOAD-07"),
    })?;
    Ok((first, second))
}

/// UPLOAD-08
fn check_endings(part: &UploadedText) -> Result<()> {
    for (file, endings, what) in
        [(&part.certificate_file, [".crt", ".pem"], "certificate"), (&part.key_file, [".key", ".pem"], "key")]
    {
        let Some(name) = file else { continue };
        let lower = name.to_ascii_lowercase();
        if !endings.iter().any(|ending| lower.ends_with(ending)) {
            let shown: String = name.chars().take(80).collect();
            return Err(Error::malformed(format!(
                "The file \"{}\" is no {what} file: those end in {} or {}; of a download from here take the folder for Nginx \
                 (UPLOAD-08).",
                shown.escape_debug(),
                endings[0],
                endings[1]
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_customer_keeps_a_thousand_uploads() {
        assert!(room_for_upload(999).is_ok());
        let told = room_for_upload(1_000).unwrap_err().into_problem().detail;
        assert!(told.contains("1000 uploaded certificates at most"), "{told}");
    }
}
