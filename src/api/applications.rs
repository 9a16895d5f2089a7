//! The application of a purchase: what was filled in, where it stands (BUY-03, BUY-09, BUY-10).

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::orders::identifiers;
use super::profiles::{OrganisationForm, OrganisationObject, PersonForm, PersonObject};
use super::{Answer, Api, Body, Caller, Path, Shared, Tag, Tagged, id};
use crate::domain::application::{Happening, Stage};
use crate::domain::customer::CustomerKind;
use crate::domain::review::CaseFile;
use crate::domain::token::Role;
use crate::domain::{ApplicationId, CustomerId, DocumentId, Error, Identifier, OrderId, PurchaseId};
use crate::ra::{ApplicationReport, ApplicationRequest, Pick};

/// The application of a purchase, also while none was submitted.
#[derive(Serialize, ToSchema)]
pub(super) struct ApplicationObject {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<ApplicationId>,
    purchase: PurchaseId,
    customer: CustomerId,
    product: String,
    /// Which year of the purchase.
    term: u32,
    /// In the documents' words (STATUS-01).
    status: &'static str,
    /// The stages of the application (BUY-09).
    stages: &'static [&'static str],
    /// The stage that it is in.
    stage: &'static str,
    /// How many names of which kind are to be given (BUY-10).
    takes: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    organisation: Option<OrganisationObject>,
    #[serde(skip_serializing_if = "Option::is_none")]
    administrator: Option<PersonObject>,
    #[serde(skip_serializing_if = "Option::is_none")]
    contact: Option<PersonObject>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    names: Vec<Identifier>,
    /// The application whose data were taken over (RENEW-05).
    #[serde(skip_serializing_if = "Option::is_none")]
    renews: Option<ApplicationId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    order: Option<OrderId>,
    /// The letter that is needed; none: no letter.
    #[serde(skip_serializing_if = "Option::is_none")]
    letter: Option<LetterObject>,
    #[serde(skip_serializing_if = "Option::is_none")]
    submitted: Option<String>,
    /// Since when reviewers have it.
    #[serde(skip_serializing_if = "Option::is_none")]
    waits_since: Option<String>,
    /// First and last moment at which reviewers are expected to have decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    expected: Option<[String; 2]>,
    /// Until when its approval serves.
    #[serde(skip_serializing_if = "Option::is_none")]
    approved_until: Option<String>,
    /// Why the review failed; edit and resubmit (REVIEW-11).
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
    /// From when on reviewers may be reminded.
    #[serde(skip_serializing_if = "Option::is_none")]
    reminder_opens: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    reminders: Vec<String>,
    /// What to know now.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    hints: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    history: Vec<HappeningObject>,
    #[serde(skip)]
    revision: u32,
}

/// The letter of an application.
#[derive(Serialize, ToSchema)]
struct LetterObject {
    /// Kinds of files that are taken.
    formats: Vec<String>,
    /// Whether a clear photo may stand for a scan (DOC-12).
    photo: bool,
    /// Whether it may be uploaded again while it is reviewed (DOC-03, DOC-07).
    replaceable: bool,
    /// Where the one that was uploaded is kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    document: Option<DocumentId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    uploaded: Option<String>,
}

#[derive(Serialize, ToSchema)]
struct HappeningObject {
    at: String,
    event: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    note: String,
}

impl From<Happening> for HappeningObject {
    fn from(Happening { at, event, note }: Happening) -> Self {
        Self { at: at.to_string(), event, note }
    }
}

impl From<ApplicationReport> for ApplicationObject {
    fn from(report: ApplicationReport) -> Self {
        let ApplicationReport { purchase, application, file: CaseFile { reminders, .. }, .. } = report;
        let uploaded = application.as_ref().and_then(|application| application.letter.clone());
        let letter = report.letter.map(|letter| LetterObject {
            formats: letter.formats.iter().map(|format| format!("{format:?}").to_lowercase()).collect(),
            photo: letter.photo,
            replaceable: crate::policy::applications::replaceable(&letter),
            document: uploaded.as_ref().map(|uploaded| uploaded.document.clone()),
            uploaded: uploaded.map(|uploaded| uploaded.at.to_string()),
        });
        let (approved_until, problem) = match application.as_ref().map(|application| &application.stage) {
            Some(Stage::Approved { until, .. }) => (Some(until.to_string()), None),
            Some(Stage::Refused { reason, .. }) => (None, Some(crate::policy::applications::review_failed(reason))),
            Some(Stage::Open { .. }) | None => (None, None),
        };
        Self {
            id: application.as_ref().map(|application| application.id.clone()),
            takes: report.takes,
            purchase: purchase.id,
            customer: purchase.customer,
            product: purchase.product,
            term: report.term,
            status: report.status.as_str(),
            stages: report.stages.all,
            stage: report.stages.at,
            organisation: report.organisation.map(OrganisationObject::from),
            administrator: report.administrator.map(PersonObject::from),
            contact: report.contact.map(PersonObject::from),
            names: application.as_ref().map(|application| application.form.names.clone()).unwrap_or_default(),
            renews: application.as_ref().and_then(|application| application.renews.clone()),
            order: report.order.map(|order| order.view.order.id.clone()),
            letter,
            submitted: application.as_ref().map(|application| application.submitted.to_string()),
            waits_since: application
                .as_ref()
                .and_then(|application| application.waits_since())
                .map(|at| at.to_string()),
            expected: report.expected.map(|expected| [expected.first.to_string(), expected.last.to_string()]),
            approved_until,
            problem,
            reminder_opens: report.reminder_opens.map(|at| at.to_string()),
            reminders: reminders.iter().map(ToString::to_string).collect(),
            hints: report.hints,
            revision: application.as_ref().map_or(0, |application| application.revision),
            history: application.map(|made| made.history.into_iter().map(Into::into).collect()).unwrap_or_default(),
        }
    }
}

impl ApplicationObject {
    /// Without what is no business of customers: which of the desk's people agreed.
    fn for_caller(mut self, caller: &Caller) -> Self {
        let of_the_desk = |one: &&mut HappeningObject| matches!(&*one.event, "approved" | "pre-review-passed");
        if caller.reviewer().is_err() {
            self.history.iter_mut().filter(of_the_desk).for_each(|one| one.note.clear());
        }
        self
    }
}

/// One of the profiles by its id, or new data.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(untagged)]
enum Choice<F> {
    Existing(String),
    New(F),
}

/// What is filled in.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ApplicationForm {
    /// `enterprise`, an organisation, unless said; individuals can order DV only (ORG-10).
    applicant: Option<CustomerKind>,
    /// The id of a profile, or the data of a new one (ORG-01, ORG-04).
    #[schema(value_type = Option<Object>)]
    organisation: Option<Choice<OrganisationForm>>,
    /// The id of a profile, or the data of a new one (ORG-02).
    #[schema(value_type = Option<Object>)]
    administrator: Option<Choice<PersonForm>>,
    /// The same; without one, the administrator (ORG-03).
    #[schema(value_type = Option<Object>)]
    contact: Option<Choice<PersonForm>>,
    /// The names that will be ordered, if they are known.
    #[serde(default)]
    names: Vec<String>,
    /// The purchase that this one continues: what is left out is taken over from its application (RENEW-05).
    renews: Option<String>,
}

fn picked<I: std::str::FromStr, F, G>(
    noun: &str,
    choice: Option<Choice<F>>,
    facts: impl Fn(F) -> G,
) -> Result<Option<Pick<I, G>>, Error> {
    Ok(match choice {
        None => None,
        Some(Choice::Existing(text)) => Some(Pick::Existing(id(noun, &text)?)),
        Some(Choice::New(form)) => Some(Pick::New(facts(form))),
    })
}

/// The purchase of that id, if the caller may see it.
pub(super) async fn seen_purchase(api: &Api, caller: &Caller, text: &str) -> Result<PurchaseId, Error> {
    let found = api.ra.purchase(&id("purchase", text)?).await?;
    caller.sees(&found.purchase.customer)?;
    Ok(found.purchase.id)
}

/// The application of a purchase, and where it stands.
#[utoipa::path(get, path = "/purchases/{id}/application", tag = "purchases", params(("id" = String, Path)), responses((status = 200, body = ApplicationObject)))]
pub(super) async fn show(State(api): Shared, caller: Caller, Path(text): Path<String>) -> Answer<Response> {
    let purchase = seen_purchase(&api, &caller, &text).await?;
    let found = ApplicationObject::from(api.ra.application_report(&purchase).await?).for_caller(&caller);
    Ok(Tagged(found.revision.into(), found).into_response())
}

/// Submits the application, or changes and resubmits it (BUY-03, REVIEW-11).
#[utoipa::path(put, path = "/purchases/{id}/application", tag = "purchases", params(("id" = String, Path)), request_body = ApplicationForm, responses((status = 200, body = ApplicationObject)))]
pub(super) async fn submit(
    State(api): Shared,
    caller: Caller,
    Path(text): Path<String>,
    tag: Tag,
    Body(asked): Body<ApplicationForm>,
) -> Answer<Response> {
    let purchase = seen_purchase(&api, &caller, &text).await?;
    let read = ApplicationObject::from(api.ra.application_report(&purchase).await?);
    tag.demand(read.revision.into())?;
    let asked = ApplicationRequest {
        applicant: asked.applicant.unwrap_or(CustomerKind::Enterprise),
        organisation: picked("organisation", asked.organisation, OrganisationForm::facts)?,
        administrator: picked("administrator", asked.administrator, PersonForm::facts)?,
        contact: picked("contact", asked.contact, PersonForm::facts)?,
        names: if asked.names.is_empty() { Vec::new() } else { identifiers(&asked.names)? },
        renews: asked.renews.map(|text| id("purchase", &text)).transpose()?,
        support: caller.role == Role::Operator,
    };
    let made = ApplicationObject::from(api.ra.submit_application(&purchase, asked).await?).for_caller(&caller);
    Ok(Tagged(made.revision.into(), made).into_response())
}
