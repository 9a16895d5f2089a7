//! The message centre: what a customer was told, and what became of it on the way to their channels.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{Answer, Asked, Caller, List, Page, Path, Shared, id};
use crate::domain::delivery::{Delivery, DeliveryState};
use crate::domain::notice::{Notice, Topic};
use crate::domain::{CustomerId, NoticeId, OrderId, PurchaseId};
use crate::ra::NoticeView;

#[derive(Serialize, ToSchema)]
pub(super) struct NoticeObject {
    id: NoticeId,
    customer: CustomerId,
    topic: Topic,
    /// What happened, for programs.
    event: String,
    subject: String,
    /// What happened and what to do.
    text: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    order: Option<OrderId>,
    /// The serial of an issued certificate, or the id of an uploaded one.
    #[serde(skip_serializing_if = "Option::is_none")]
    certificate: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    purchase: Option<PurchaseId>,
    at: String,
    /// When it was read.
    #[serde(skip_serializing_if = "Option::is_none")]
    read: Option<String>,
    /// On its own page only: what became of it on the way to each recipient.
    #[serde(skip_serializing_if = "Option::is_none")]
    deliveries: Option<Vec<DeliveryObject>>,
}

#[derive(Serialize, ToSchema)]
struct DeliveryObject {
    /// The id of a channel, or `customer` for the customer's own e-mail address.
    to: String,
    /// `waiting`, `delivered` or `given-up`.
    state: &'static str,
    /// How often it was tried in vain so far.
    #[serde(skip_serializing_if = "Option::is_none")]
    tries: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<String>,
}

impl From<Delivery> for DeliveryObject {
    fn from(delivery: Delivery) -> Self {
        let (tries, to) = (delivery.tries(), delivery.to.as_str().to_owned());
        let (state, at, failure) = match delivery.state {
            DeliveryState::Waiting { failure, .. } => ("waiting", None, failure),
            DeliveryState::Delivered { at } => ("delivered", Some(at), None),
            DeliveryState::GivenUp { at, failure } => ("given-up", Some(at), Some(failure)),
        };
        Self { to, state, tries, at: at.map(|at| at.to_string()), failure }
    }
}

impl From<Notice> for NoticeObject {
    fn from(notice: Notice) -> Self {
        let uploaded = notice.upload.map(|id| id.to_string());
        Self {
            id: notice.id,
            customer: notice.customer,
            topic: notice.topic,
            event: notice.event,
            subject: notice.subject,
            text: notice.text,
            order: notice.order,
            certificate: notice.certificate.map(|serial| serial.to_string()).or(uploaded),
            purchase: notice.purchase,
            at: notice.at.to_string(),
            read: notice.read.map(|at| at.to_string()),
            deliveries: None,
        }
    }
}

impl From<NoticeView> for NoticeObject {
    fn from(view: NoticeView) -> Self {
        let deliveries = view.deliveries.into_iter().map(DeliveryObject::from).collect();
        Self { deliveries: Some(deliveries), ..view.notice.into() }
    }
}

/// Whose.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Whose {
    /// The customer; only operators need to say.
    pub(super) customer: Option<String>,
}

impl Whose {
    /// The customer that is asked about, if the caller may.
    pub(super) fn of(&self, caller: &Caller) -> Result<CustomerId, crate::domain::Error> {
        let asked = self.customer.as_deref().map(|text| id("customer", text)).transpose()?;
        caller.acts_for(asked)
    }
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct WantedNotices {
    /// The customer; only operators need to say.
    customer: Option<String>,
    /// Behind which item it begins: `next` of the page before.
    after: Option<String>,
    /// How many items it has at most.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<usize>,
}

/// A customer's messages, the newest first. They are kept here whatever the subscription says.
#[utoipa::path(get, path = "/notices", tag = "notices", params(WantedNotices), responses((status = 200, body = List<NoticeObject>)))]
pub(super) async fn list(
    State(api): Shared,
    caller: Caller,
    Asked(asked): Asked<WantedNotices>,
) -> Answer<Json<List<NoticeObject>>> {
    let customer = Whose { customer: asked.customer }.of(&caller)?;
    let limit = Page::size(asked.limit)?;
    let after = asked.after.as_deref().map(|text| id("message", text)).transpose()?;
    let found = api.ra.notices(&customer, after.as_ref(), limit).await?;
    Ok(List::of(found.into_iter().map(NoticeObject::from).collect(), limit, |item| item.id.to_string()))
}

/// One message, with its deliveries.
#[utoipa::path(get, path = "/notices/{id}", tag = "notices", params(("id" = String, Path)), responses((status = 200, body = NoticeObject)))]
pub(super) async fn show(State(api): Shared, caller: Caller, Path(text): Path<String>) -> Answer<Json<NoticeObject>> {
    let view = api.ra.notice(&id("message", &text)?).await?;
    caller.sees(&view.notice.customer)?;
    Ok(Json(view.into()))
}

/// Notes that a message was read.
#[utoipa::path(put, path = "/notices/{id}/read", tag = "notices", params(("id" = String, Path)), responses((status = 200, body = NoticeObject)))]
pub(super) async fn mark_read(
    State(api): Shared,
    caller: Caller,
    Path(text): Path<String>,
) -> Answer<Json<NoticeObject>> {
    let notice = id("message", &text)?;
    caller.sees(&api.ra.notice(&notice).await?.notice.customer)?;
    Ok(Json(api.ra.mark_read(&notice).await?.into()))
}
