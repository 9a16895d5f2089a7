//! Letters that go with a revocation: the form to print, and the stamped letter that comes back (DOC-10 to DOC-12).

use super::documents::NewDocument;
use super::letters::{organisation_fields, person_fields};
use super::revocation_requests::RevocationView;
use super::worker::Next;
use super::{Ra, Stop, settle};
use crate::domain::audit::Act;
use crate::domain::document::DocumentKind;
use crate::domain::job::Job;
use crate::domain::revocation::{RevocationRequest, Stage};
use crate::domain::{Error, Kind, Result, RevocationId};
use crate::paper::letter::{self, LetterForm};
use crate::policy::catalog::{Catalog, Letter, Product, Reupload};
use crate::policy::revocation;
use crate::store::records::{Batch, Stored};

/// A letter that is handed in.
#[derive(Debug, Clone, Copy)]
pub struct SentLetter<'a> {
    /// What its owner calls it.
    pub name: &'a str,
    /// Its octets.
    pub content: &'a [u8],
}

impl Ra {
    /// The letter to print, stamp and upload, PDF.
    pub async fn revocation_form(&self, id: &RevocationId) -> Result<Vec<u8>> {
        let RevocationView { request, certificate, .. } = self.revocation(id).await?;
        let catalog = self.catalog();
        let product = catalog.product(&certificate.product);
        rules(&catalog, product, &request)?;
        let order = self.order_view(&certificate.order).await?.order;
        let (mut organisation, mut administrator) = (Vec::new(), Vec::new());
        if let Some(application) = &order.application {
            let application = self.stored_application(application).await?;
            organisation = organisation_fields(&self.organisation(&application.form.organisation).await?);
            administrator = person_fields(&self.person(&application.form.administrator).await?);
        }
        let form = LetterForm {
            title: "Application for the revocation of a certificate".to_owned(),
            purpose: format!(
                "We apply for the revocation of certificate {}, which can't be taken back. Our reason: {}",
                request.serial, request.grounds
            ),
            reference: ("Revocation".to_owned(), request.id.to_string()),
            product: product.map_or(certificate.product.clone(), |product| product.title.clone()),
            brand: product.map_or(String::new(), |product| catalog.brand_name(product).to_owned()),
            organisation,
            administrator,
            contact: Vec::new(),
            names: certificate.identifiers.iter().map(ToString::to_string).collect(),
            date: self.now(),
        };
        Ok(letter::letter(&form))
    }

    /// Takes the stamped letter; a person decides next.
    pub async fn send_revocation_letter(&self, id: &RevocationId, sent: SentLetter<'_>) -> Result<RevocationView> {
        settle(|| self.send_letter_once(id, sent)).await?;
        self.revocation(id).await
    }

    async fn send_letter_once(&self, id: &RevocationId, sent: SentLetter<'_>) -> Result<(), Stop> {
        let read = self.revocation_request(id).await?;
        let certificate = self.certificate_of(&read.serial).await?;
        let catalog = self.catalog();
        let rules = rules(&catalog, catalog.product(&certificate.product), &read)?;
        let kind = self.accept_file(rules, sent.content)?;
        let customer = read.customer.clone();
        let customer = customer.ok_or_else(|| Error::internal("a revocation with papers has no customer"))?;
        let now = self.now();
        let new = NewDocument {
            customer: &customer,
            kind: DocumentKind::Letter,
            media_type: kind.media_type(),
            name: sent.name,
            content: sent.content,
        };
        let replaced = match &read.stage {
            Stage::AwaitingReview { letter, .. } => letter.clone(),
            _ => None,
        };
        let act = Act::RevocationLetterSent { revocation: id.clone() };
        let (batch, document) = self.keep_document(Batch::of(act, now), &new, now);
        let again = rules.reupload == Reupload::WhileInReview;
        let with_letter = (*read).clone().with_letter(document, again, now)?;
        let batch = match &replaced {
            Some(old) => self.drop_document(batch, old, now).await?,
            None => self.on_the_desk(batch, &with_letter),
        };
        self.records.commit(batch.replace(&read, &with_letter)).await?;
        Ok(())
    }

    /// The job: ends a revocation whose letter did not come, so that the certificate does not hang forever.
    pub(super) async fn lapse_revocation(&self, job: &Stored<Job>, id: &RevocationId) -> Result<Next> {
        settle(|| async {
            let read = self.records.find::<RevocationRequest>(id).await?;
            let waits = |read: &Stored<RevocationRequest>| matches!(read.stage, Stage::AwaitingLetter { .. });
            let Some(read) = read.filter(|read| waits(read) && read.is_late(self.now())) else {
                return Ok(self.drop_job(job).await?);
            };
            let why = "The stamped letter did not come in time; the revocation failed (REVOKE-11, REVOKE-17).";
            let done = Batch::of(Act::JobDropped { job: job.id.clone() }, self.now()).remove(job);
            self.give_up(done, &read, why).await?;
            Ok(Next::Done)
        })
        .await
    }
}

/// The rules of the letter that goes with a request.
fn rules<'a>(catalog: &'a Catalog, product: Option<&Product>, request: &RevocationRequest) -> Result<&'a Letter> {
    let asked = matches!(request.stage, Stage::AwaitingLetter { .. } | Stage::AwaitingReview { letter: Some(_), .. });
    let rules = product.and_then(|product| revocation::letter(catalog, product));
    rules.filter(|_| asked).ok_or_else(|| {
        let told = format!("No letter is asked for: the revocation is {}.", request.stage.as_str());
        Error::new(Kind::Conflict, told)
    })
}
