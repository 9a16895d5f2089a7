//! The review desk: everything that waits for a person, and what was decided.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::applications::ApplicationObject;
use super::customers::CustomerObject;
use super::orders::{ValidationObject, validations};
use super::profiles::{OrganisationObject, PersonObject};
use super::revocations::RevocationObject;
use super::{Answer, Asked, Body, Caller, List, Page, Path, Shared};
use crate::domain::order::ReviewCause;
use crate::domain::review::{Approval, Note};
use crate::domain::{AccountId, Error, Identifier, OrderId, Problem, PurchaseId, Serial, Timestamp};
use crate::ra::{Case, Decision, Details, DuePlace, OrderReport, Place, Sort, Verdict};

/// Something in the queue. What its kind has not got is left out.
#[derive(Serialize, ToSchema)]
pub(super) struct ReviewObject {
    /// Its id: that of the thing.
    review: String,
    /// `order`, `application`, `organisation`, `administrator` or `revocation`.
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    order: Option<OrderId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<String>,
    /// How long it has waited.
    #[serde(skip_serializing_if = "Option::is_none")]
    age_seconds: Option<u64>,
    /// By when it should be decided, in business days.
    #[serde(skip_serializing_if = "Option::is_none")]
    due: Option<String>,
    /// When it ends undecided.
    #[serde(skip_serializing_if = "Option::is_none")]
    expires: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    product: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    account: Option<AccountId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    customer: Option<CustomerObject>,
    /// How many reviewers must approve, and how many have.
    approvers: usize,
    approved: usize,
    /// The round of review: another one begins when papers or data are replaced. A decision can name it.
    #[serde(skip_serializing_if = "Option::is_none")]
    round: Option<u64>,
    /// How often its customer reminded.
    reminders: usize,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    identifiers: Vec<Identifier>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    causes: Vec<ReviewCause>,
    #[serde(skip)]
    place: Option<Place>,
    #[serde(skip)]
    due_place: DuePlace,
}

/// All that a reviewer needs.
#[derive(Serialize, ToSchema)]
pub(super) struct ReviewPage {
    #[serde(flatten)]
    review: ReviewObject,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<Problem>,
    #[serde(skip_serializing_if = "Option::is_none")]
    purchase: Option<PurchaseId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    certificate: Option<Serial>,
    /// How control of each name was shown, and when.
    evidence: Vec<ValidationObject>,
    #[serde(skip_serializing_if = "Option::is_none")]
    application: Option<ApplicationObject>,
    #[serde(skip_serializing_if = "Option::is_none")]
    organisation: Option<OrganisationObject>,
    #[serde(skip_serializing_if = "Option::is_none")]
    administrator: Option<PersonObject>,
    #[serde(skip_serializing_if = "Option::is_none")]
    revocation: Option<RevocationObject>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    approvals: Vec<ApprovalObject>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    notes: Vec<NoteObject>,
    /// When its customer reminded.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    reminded: Vec<String>,
}

/// A reviewer's yes.
#[derive(Serialize, ToSchema)]
struct ApprovalObject {
    by: String,
    at: String,
    note: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    evidence: Vec<String>,
}

/// What a reviewer noted.
#[derive(Serialize, ToSchema)]
struct NoteObject {
    by: String,
    at: String,
    text: String,
    unreachable: bool,
}

impl From<Approval> for ApprovalObject {
    fn from(Approval { by, at, note, evidence, .. }: Approval) -> Self {
        Self { by, at: at.to_string(), note, evidence }
    }
}

impl From<Note> for NoteObject {
    fn from(Note { by, at, text, unreachable }: Note) -> Self {
        Self { by, at: at.to_string(), text, unreachable }
    }
}

impl ReviewObject {
    fn of(case: &Case) -> Self {
        let order = order_of(case);
        let product = match &case.details {
            Details::Order(report) => Some(report.view.order.product.clone()),
            Details::Application(report) => Some(report.product.id.clone()),
            Details::Revocation(view) => Some(view.certificate.product.clone()),
            Details::Organisation(_) | Details::Administrator(_) => None,
        };
        Self {
            review: case.matter.id().to_owned(),
            kind: case.matter.kind(),
            order: order.map(|report| report.view.order.id.clone()),
            since: case.since.map(|since| since.to_string()),
            age_seconds: case.since.map(|since| case.now.since(since).as_secs()),
            due: case.expected.map(|expected| expected.last.to_string()),
            expires: order.map(|report| report.view.order.expires.to_string()),
            product,
            account: order.map(|report| report.view.order.account.clone()),
            customer: case.customer.clone().map(CustomerObject::from),
            approvers: case.approvers,
            round: case.round.map(|round| round.as_millis()),
            approved: case.round.map_or(0, |round| case.file.approvals_of(round).count()),
            reminders: case.file.reminders.len(),
            identifiers: order.map(|report| report.view.order.identifiers.clone()).unwrap_or_default(),
            causes: order.map(|report| report.view.order.causes.clone()).unwrap_or_default(),
            place: case.place(),
            due_place: case.due_place(),
        }
    }
}

/// The order that a case is about, or that waits for it.
fn order_of(case: &Case) -> Option<&OrderReport> {
    match &case.details {
        Details::Order(report) => Some(report),
        Details::Application(report) => report.order.as_ref(),
        Details::Organisation(_) | Details::Administrator(_) | Details::Revocation(_) => None,
    }
}

impl From<Case> for ReviewPage {
    fn from(case: Case) -> Self {
        let review = ReviewObject::of(&case);
        let order = order_of(&case);
        let (problem, certificate) = (
            order.and_then(|report| report.problem.clone()),
            order.and_then(|report| report.certificate.as_ref().map(|certificate| certificate.serial)),
        );
        let evidence = order.map(validations).unwrap_or_default();
        let purchase = order.and_then(|report| report.view.order.purchase.clone());
        let file = case.file;
        let mut page = Self {
            review,
            status: "",
            problem,
            purchase,
            certificate,
            evidence,
            application: None,
            organisation: None,
            administrator: None,
            revocation: None,
            approvals: file.approvals.into_iter().map(Into::into).collect(),
            notes: file.notes.into_iter().map(Into::into).collect(),
            reminded: file.reminders.iter().map(ToString::to_string).collect(),
        };
        match case.details {
            Details::Order(report) => page.status = report.status.as_str(),
            Details::Organisation(found) => {
                page.status = found.standing.as_str();
                page.organisation = Some((*found).into());
            }
            Details::Administrator(found) => {
                page.status = found.standing.as_str();
                page.administrator = Some((*found).into());
            }
            Details::Revocation(view) => {
                page.status = view.request.stage.as_str();
                page.certificate = Some(view.request.serial);
                page.revocation = Some((*view).into());
            }
            Details::Application(report) => {
                page.status = report.status.as_str();
                page.purchase = Some(report.purchase.id.clone());
                page.application = Some((*report).into());
            }
        }
        page
    }
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Wanted {
    after: Option<String>,
    limit: Option<usize>,
    /// `age`, the longest wait first, unless said; `due`: what is due first.
    sort: Option<String>,
}

/// What waits for a person.
#[utoipa::path(get, path = "/reviews", tag = "review", params(Wanted), responses((status = 200, body = List<ReviewObject>)))]
pub(super) async fn list(
    State(api): Shared,
    caller: Caller,
    Asked(asked): Asked<Wanted>,
) -> Answer<Json<List<ReviewObject>>> {
    caller.reviewer()?;
    let limit = Page::size(asked.limit)?;
    let after = asked.after.as_deref();
    let objects = |found: Vec<Case>| found.iter().map(ReviewObject::of).collect();
    Ok(match sort(asked.sort.as_deref())? {
        Sort::Age => {
            let after = after.map(place).transpose()?;
            let items = objects(api.ra.cases(after.as_ref(), limit).await?);
            List::of(items, limit, |item: &ReviewObject| item.place.as_ref().map(cursor).unwrap_or_default())
        }
        Sort::Due => {
            let after = after.map(due_place).transpose()?;
            let items = objects(api.ra.cases_by_due(after.as_ref(), limit).await?);
            List::of(items, limit, |item: &ReviewObject| due_cursor(&item.due_place))
        }
    })
}

fn sort(text: Option<&str>) -> Result<Sort, Error> {
    match text {
        None | Some("age") => Ok(Sort::Age),
        Some("due") => Ok(Sort::Due),
        Some(_) => Err(Error::malformed("\"sort\" is \"age\" or \"due\".")),
    }
}

/// All that a reviewer needs.
#[utoipa::path(get, path = "/reviews/{id}", tag = "review", params(("id" = String, Path)), responses((status = 200, body = ReviewPage)))]
pub(super) async fn show(State(api): Shared, caller: Caller, Path(text): Path<String>) -> Answer<Json<ReviewPage>> {
    caller.reviewer()?;
    Ok(Json(api.ra.case(&text).await?.into()))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct DecisionRequest {
    decision: Decided,
    note: String,
    /// What the decision rests on: where the number was found, who answered.
    #[serde(default)]
    evidence: Vec<String>,
    /// The `round` that was shown: if another has begun since, nothing is decided (409).
    round: Option<u64>,
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Decided {
    Approve,
    Reject,
}

/// Approves or rejects. Where several reviewers must agree, the first approval is kept and the last one decides.
#[utoipa::path(post, path = "/reviews/{id}/decision", tag = "review", params(("id" = String, Path)), request_body = DecisionRequest, responses((status = 200, body = ReviewPage)))]
pub(super) async fn decide(
    State(api): Shared,
    caller: Caller,
    Path(text): Path<String>,
    Body(asked): Body<DecisionRequest>,
) -> Answer<Json<ReviewPage>> {
    caller.reviewer()?;
    let decision = match asked.decision {
        Decided::Approve => Decision::Approve,
        Decided::Reject => Decision::Reject,
    };
    let round = asked.round.map(Timestamp::from_millis);
    let verdict = Verdict { by: caller.name, decision, note: asked.note, evidence: asked.evidence, round };
    Ok(Json(api.ra.decide(&text, verdict).await?.into()))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NoteRequest {
    text: String,
    /// Whether the customer could not be reached, which they are told (ORG-12).
    #[serde(default)]
    unreachable: bool,
}

/// Notes something about what waits.
#[utoipa::path(post, path = "/reviews/{id}/notes", tag = "review", params(("id" = String, Path)), request_body = NoteRequest, responses((status = 200, body = ReviewPage)))]
pub(super) async fn note(
    State(api): Shared,
    caller: Caller,
    Path(text): Path<String>,
    Body(asked): Body<NoteRequest>,
) -> Answer<Json<ReviewPage>> {
    caller.reviewer()?;
    Ok(Json(api.ra.note(&text, &caller.name, &asked.text, asked.unreachable).await?.into()))
}

/// A place in the queue as text.
fn cursor(place: &Place) -> String {
    format!("{}.{}", place.since.as_millis(), place.id)
}

fn place(text: &str) -> Result<Place, Error> {
    let read = |text: &str| {
        let (since, id) = text.split_once('.')?;
        Some(Place { since: Timestamp::from_millis(since.parse().ok()?), id: known_id(id)? })
    };
    read(text).ok_or_else(not_a_place)
}

fn due_cursor((can_wait, due, id): &DuePlace) -> String {
    format!("{}.{due}.{id}", u8::from(*can_wait))
}

fn due_place(text: &str) -> Result<DuePlace, Error> {
    let read = |text: &str| {
        let mut parts = text.splitn(3, '.');
        let can_wait = parts.next()? == "1";
        Some((can_wait, parts.next()?.parse().ok()?, known_id(parts.next()?)?))
    };
    read(text).ok_or_else(not_a_place)
}

/// An id of whatever kind, in the form that all have.
fn known_id(text: &str) -> Option<String> {
    text.parse::<OrderId>().ok().map(|id| id.to_string())
}

fn not_a_place() -> Error {
    Error::malformed("\"after\" is not a place in the queue that this server gave out.")
}
