//! Files in the vault: kept with the change that brings them, read, forgotten when their time is over.

use aws_lc_rs::digest;
use zeroize::Zeroizing;

use super::worker::Next;
use super::{Ra, settle};
use crate::domain::audit::Act;
use crate::domain::document::{Document, DocumentKind, DocumentPart};
use crate::domain::job::{Job, Work};
use crate::domain::{CustomerId, DocumentId, Error, Result, Timestamp};
use crate::policy::catalog::days;
use crate::store::StoreError;
use crate::store::records::{Batch, Stored, document_part_id};

/// Octets of a part: with base64 a record of it stays below the longest value of the store.
const PART: usize = 512 * 1024;

/// A file to be kept.
pub struct NewDocument<'a> {
    /// Whose it is.
    pub customer: &'a CustomerId,
    /// What it is for.
    pub kind: DocumentKind,
    /// Its media type, by its content.
    pub media_type: &'a str,
    /// What its owner calls it.
    pub name: &'a str,
    /// Its octets.
    pub content: &'a [u8],
}

impl Ra {
    /// Has a batch keep a file, sealed. A letter is forgotten after the days that the catalogue says.
    pub(super) fn keep_document(&self, batch: Batch, new: &NewDocument<'_>, now: Timestamp) -> (Batch, DocumentId) {
        let id = DocumentId::random();
        let pieces: Vec<&[u8]> = new.content.chunks(PART).collect();
        let mut sha256 = [0; 32];
        sha256.copy_from_slice(digest::digest(&digest::SHA256, new.content).as_ref());
        let document = Document {
            id: id.clone(),
            customer: new.customer.clone(),
            kind: new.kind,
            media_type: new.media_type.to_owned(),
            name: new.name.to_owned(),
            size: new.content.len() as u64,
            sha256,
            parts: u32::try_from(pieces.len()).unwrap_or(u32::MAX),
            at: now,
        };
        let act = Act::DocumentKept { document: id.clone(), customer: new.customer.clone(), kind: new.kind };
        let mut batch = batch.and(act, now).insert(&document);
        for (number, piece) in (0..).zip(pieces) {
            let sealed = self.vault.seal(&document_part_id(&id, number), piece);
            batch = batch.insert(&DocumentPart { document: id.clone(), number, sealed });
        }
        if new.kind == DocumentKind::Letter {
            let kept = days(self.catalog().settings().letter_retention_days);
            batch = batch.later(now + kept, Work::ForgetDocument { document: id.clone() });
        }
        (batch, id)
    }

    /// A file and its octets. Who may see it is the caller's matter.
    pub async fn read_document(&self, id: &DocumentId) -> Result<(Document, Zeroizing<Vec<u8>>)> {
        let document = self.records.find::<Document>(id).await?;
        let document = document.ok_or_else(|| Error::not_found(format!("There is no document {id}.")))?.into_value();
        let mut content = Zeroizing::new(Vec::with_capacity(usize::try_from(document.size).unwrap_or(0)));
        for part in self.parts_of(&document).await? {
            content.extend_from_slice(&self.vault.unseal(&document_part_id(id, part.number), &part.sealed)?);
        }
        Ok((document, content))
    }

    async fn parts_of(&self, document: &Document) -> Result<Vec<Stored<DocumentPart>>> {
        let ids = (0..document.parts).map(|number| document_part_id(&document.id, number));
        let parts = self.records.find_all::<DocumentPart>(ids).await?;
        let whole: Option<Vec<_>> = parts.into_iter().collect();
        whole.ok_or_else(|| StoreError::Failed(format!("document {} has lost a part", document.id).into()).into())
    }

    /// Has a batch take a file out for good; one that is gone already stays so.
    pub(super) async fn drop_document(&self, batch: Batch, id: &DocumentId, now: Timestamp) -> Result<Batch> {
        let Some(document) = self.records.find::<Document>(id).await? else { return Ok(batch) };
        let parts = self.parts_of(&document).await?;
        let batch = batch.and(Act::DocumentForgotten { document: id.clone() }, now).remove(&document);
        Ok(parts.iter().fold(batch, Batch::remove))
    }

    /// Forgets a file whose time is over.
    pub(super) async fn forget_document(&self, job: &Stored<Job>, id: &DocumentId) -> Result<Next> {
        settle(|| async {
            let now = self.now();
            let batch = Batch::of(Act::JobDropped { job: job.id.clone() }, now).remove(job);
            let batch = self.drop_document(batch, id, now).await?;
            self.records.commit(batch).await?;
            Ok(Next::Done)
        })
        .await
    }
}
