//! The review desk: orders that wait for a person, oldest first, and what was decided.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::customers::CustomerObject;
use super::orders::{ValidationObject, validations};
use super::{Answer, Body, Caller, List, Page, Path, Shared, id};
use crate::domain::order::ReviewCause;
use crate::domain::{AccountId, Error, Identifier, OrderId, Problem, PurchaseId, Serial, Timestamp};
use crate::ra::{Decision, Place, Review};

/// An order in the queue.
#[derive(Serialize, ToSchema)]
pub(super) struct ReviewObject {
    order: OrderId,
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<String>,
    /// How long it has waited.
    #[serde(skip_serializing_if = "Option::is_none")]
    age_seconds: Option<u64>,
    /// When it ends undecided.
    expires: String,
    product: String,
    account: AccountId,
    #[serde(skip_serializing_if = "Option::is_none")]
    customer: Option<CustomerObject>,
    identifiers: Vec<Identifier>,
    causes: Vec<ReviewCause>,
    #[serde(skip)]
    place: Option<Place>,
}

/// All that a reviewer needs of an order.
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
}

impl From<Review> for ReviewObject {
    fn from(Review { report, customer, since }: Review) -> Self {
        let now = report.view.now;
        let order = report.view.order.into_value();
        Self {
            place: since.map(|since| Place { since, order: order.id.clone() }),
            order: order.id,
            since: since.map(|since| since.to_string()),
            age_seconds: since.map(|since| now.since(since).as_secs()),
            expires: order.expires.to_string(),
            product: order.product,
            account: order.account,
            customer: customer.map(CustomerObject::from),
            identifiers: order.identifiers,
            causes: order.causes,
        }
    }
}

impl From<Review> for ReviewPage {
    fn from(review: Review) -> Self {
        let report = &review.report;
        Self {
            status: report.status.as_str(),
            problem: report.problem.clone(),
            purchase: report.view.order.purchase.clone(),
            certificate: report.certificate.as_ref().map(|certificate| certificate.serial),
            evidence: validations(report),
            review: review.into(),
        }
    }
}

/// What waits for a person, the longest first.
#[utoipa::path(get, path = "/reviews", tag = "review", params(super::Wanted), responses((status = 200, body = List<ReviewObject>)))]
pub(super) async fn list(State(api): Shared, caller: Caller, page: Page) -> Answer<Json<List<ReviewObject>>> {
    caller.reviewer()?;
    let after = page.after.as_deref().map(place).transpose()?;
    let found = api.ra.reviews(after.as_ref(), page.limit).await?;
    let items = found.into_iter().map(ReviewObject::from).collect();
    Ok(List::of(items, page.limit, |item: &ReviewObject| item.place.as_ref().map(cursor).unwrap_or_default()))
}

/// All that a reviewer needs.
#[utoipa::path(get, path = "/reviews/{order}", tag = "review", params(("order" = String, Path)), responses((status = 200, body = ReviewPage)))]
pub(super) async fn show(State(api): Shared, caller: Caller, Path(text): Path<String>) -> Answer<Json<ReviewPage>> {
    caller.reviewer()?;
    Ok(Json(api.ra.review(&id("order", &text)?).await?.into()))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct DecisionRequest {
    decision: Decided,
    note: String,
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Decided {
    Approve,
    Reject,
}

/// Approves or rejects.
#[utoipa::path(post, path = "/reviews/{order}/decision", tag = "review", params(("order" = String, Path)), request_body = DecisionRequest, responses((status = 200, body = ReviewPage)))]
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
    Ok(Json(api.ra.decide(&id("order", &text)?, decision, &asked.note).await?.into()))
}

/// A place in the queue as text.
fn cursor(place: &Place) -> String {
    format!("{}.{}", place.since.as_millis(), place.order)
}

fn place(text: &str) -> Result<Place, Error> {
    let read = |text: &str| {
        let (since, order) = text.split_once('.')?;
        Some(Place { since: Timestamp::from_millis(since.parse().ok()?), order: order.parse().ok()? })
    };
    read(text).ok_or_else(|| Error::malformed("\"after\" is not a place in the queue that this server gave out."))
}
