//! Confirmation letters of applications: the template to be sealed, the upload, and who may see it again.

use super::applications::in_force;
use super::documents::NewDocument;
use super::profiles::requeued;
use super::{Ra, Stop, settle};
use crate::domain::application::{Application, Letter as Uploaded};
use crate::domain::audit::Act;
use crate::domain::document::DocumentKind;
use crate::domain::notice::{Notice, Topic};
use crate::domain::organisation::{Organisation, Person};
use crate::domain::review::Matter;
use crate::domain::{Error, Kind, OrderId, PurchaseId, Result};
use crate::paper::letter::{Field, LetterForm, letter};
use crate::paper::sniff::{FileKind, sniff};
use crate::policy::applications;
use crate::policy::catalog::{Format, Letter, Product};
use crate::store::records::{Batch, Stored};

impl Ra {
    /// The letter of an application, filled in, to be sealed and signed: PDF (DOC-01).
    pub async fn letter_template(&self, purchase: &PurchaseId) -> Result<Vec<u8>> {
        let report = self.application_report(purchase).await?;
        let (Some(application), Some(organisation), Some(administrator)) =
            (&report.application, &report.organisation, &report.administrator)
        else {
            return Err(Error::new(
                Kind::Conflict,
                "Submit the application data first; the letter is made from them (BUY-03).",
            ));
        };
        if report.letter.is_none() {
            return Err(Error::new(
                Kind::Conflict,
                "No letter is needed for this application (DOC-04, DOC-08, DOC-09).",
            ));
        }
        let catalog = self.catalog();
        let names = match &report.order {
            Some(order) => &order.view.order.identifiers,
            None => &application.form.names,
        };
        let contact = report.contact.as_ref().filter(|contact| contact.id != administrator.id);
        Ok(letter(&LetterForm {
            title: "Confirmation letter".to_owned(),
            purpose: "We apply for a certificate that names our organisation. What is written below is true, and the \
                      administrator acts for us."
                .to_owned(),
            reference: ("Purchase".to_owned(), purchase.to_string()),
            product: report.product.title.clone(),
            brand: catalog.brand_name(&report.product).to_owned(),
            organisation: organisation_fields(organisation),
            administrator: person_fields(administrator),
            contact: contact.map(person_fields).unwrap_or_default(),
            names: names.iter().map(ToString::to_string).collect(),
            date: self.now(),
        }))
    }

    /// Takes the letter of an application. What it is decides its content, not its name (DOC-02).
    pub async fn upload_letter(&self, purchase: &PurchaseId, content: &[u8]) -> Result<()> {
        settle(|| self.upload_letter_once(purchase, content)).await
    }

    async fn upload_letter_once(&self, purchase: &PurchaseId, content: &[u8]) -> Result<(), Stop> {
        let (purchase, product) = self.purchase_and_product(purchase).await?;
        in_force(&purchase)?;
        let term = self.term_due(&purchase).await?;
        let read = self.application_of(&purchase.id, term).await?;
        let read = read.ok_or_else(|| Error::new(Kind::Conflict, "Submit the application data first (BUY-03)."))?;
        let catalog = self.catalog();
        let rules = applications::letter_kind(&catalog, &product, read.renews.is_some());
        let none = || Error::new(Kind::Conflict, "No letter is needed for this application (DOC-08, DOC-09).");
        let rules = rules.ok_or_else(none)?;
        let kind = self.accept_file(rules, content)?;
        let now = self.now();
        let new = NewDocument {
            customer: &purchase.customer,
            kind: DocumentKind::Letter,
            media_type: kind.media_type(),
            name: &format!("letter.{}", kind.ending()),
            content,
        };
        let act = Act::LetterUploaded { application: read.id.clone() };
        let (batch, document) = self.keep_document(Batch::of(act, now), &new, now);
        // Of a letter that another takes the place of nothing is kept.
        let batch = match &read.letter {
            Some(before) => self.drop_document(batch, &before.document, now).await?,
            None => batch,
        };
        let letter = Uploaded { document, format: kind.ending().to_owned(), size: content.len() as u64, at: now };
        let made = (*read).clone().upload(letter, applications::replaceable(rules), now)?;
        let matter = Matter::Application(made.id.clone());
        let batch = requeued(batch.replace(&read, &made), &matter, read.waits_since(), made.waits_since());
        self.records.commit(batch.notice(&self.letter_came(&made, &product))).await?;
        Ok(())
    }

    fn letter_came(&self, made: &Application, product: &Product) -> Notice {
        let hints = applications::hints(&self.catalog(), product, made.task()).join(" ");
        let subject = format!("{}: your letter came; reviewers look at it", product.title);
        let notice = Notice::new(&made.customer, (Topic::Review, "review-begun"), subject, hints, self.now());
        notice.of_purchase(&made.purchase)
    }

    /// DOC-02, DOC-07: the kinds of files by their content, and no more octets than the setting says.
    pub(super) fn accept_file(&self, rules: &Letter, content: &[u8]) -> Result<FileKind> {
        let catalog = self.catalog();
        let told = applications::letter_files(&catalog, rules);
        if content.len() > catalog.settings().letter_max_bytes as usize {
            return Err(Error::new(Kind::PayloadTooLarge, format!("The file has {} octets. {told}.", content.len())));
        }
        let kind = sniff(content).filter(|kind| rules.formats.contains(&format_of(*kind)));
        kind.ok_or_else(|| {
            Error::new(Kind::UnsupportedMediaType, format!("The file is none of these by its content. {told}."))
        })
    }

    /// The letter that an application needs, or needed.
    pub(super) fn letter_rules(&self, application: &Application, product: &Product) -> Result<Option<Letter>> {
        let kind = applications::letter_kind(&self.catalog(), product, application.renews.is_some()).cloned();
        let asked =
            application.letter.is_some() || application.task() == Some(crate::domain::application::Task::Letter);
        Ok(kind.filter(|_| asked))
    }

    /// The purchase that pays for an order, under which its letter stands.
    pub async fn purchase_of_order(&self, order: &OrderId) -> Result<PurchaseId> {
        let found = self.records.find::<crate::domain::order::Order>(order).await?.map(Stored::into_value);
        let found = found.ok_or_else(|| Error::not_found(format!("There is no order {order}.")))?;
        found.purchase.ok_or_else(|| Error::not_found(format!("Order {order} belongs to no purchase.")))
    }
}

fn format_of(kind: FileKind) -> Format {
    match kind {
        FileKind::Jpg => Format::Jpg,
        FileKind::Png => Format::Png,
        FileKind::Gif => Format::Gif,
        FileKind::Pdf => Format::Pdf,
    }
}

/// An organisation as letters show it.
pub(super) fn organisation_fields(organisation: &Organisation) -> Vec<Field> {
    let facts = &organisation.facts;
    let mut fields = vec![
        ("Legal name", facts.name.clone()),
        ("Department", facts.department.clone()),
        ("Address", facts.address.clone()),
        ("City", facts.locality.clone()),
    ];
    fields.extend(facts.state.clone().map(|state| ("State or province", state)));
    fields.extend(facts.postal_code.clone().map(|code| ("Postal code", code)));
    fields.extend([("Country", facts.country.clone()), ("Telephone", facts.phone.clone())]);
    if let Some(registration) = &facts.registration {
        fields.push(("Registration number", registration.registration_number.clone()));
        fields.push(("Business category", registration.business_category.as_str().to_owned()));
    }
    fields.into_iter().map(|(label, value)| (label.to_owned(), value)).collect()
}

/// A person as letters show them.
pub(super) fn person_fields(person: &Person) -> Vec<Field> {
    let facts = &person.facts;
    let fields =
        [("Name", &facts.name), ("Position", &facts.position), ("Telephone", &facts.phone), ("E-mail", &facts.email)];
    fields.into_iter().map(|(label, value)| (label.to_owned(), value.clone())).collect()
}
