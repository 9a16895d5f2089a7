//! Which messages a customer has sent to their channels (NOTIFY-03).

use std::collections::BTreeSet;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::notices::Whose;
use super::{Answer, Asked, Body, Caller, Shared, Tag, Tagged};
use crate::domain::CustomerId;
use crate::domain::notice::Topic;
use crate::ra::{Subscribed, SubscriptionChange};

#[derive(Serialize, ToSchema)]
pub(super) struct SubscriptionObject {
    customer: CustomerId,
    /// Whether "SSL certificate notifications" is selected.
    ssl_certificate_notifications: bool,
    /// Whether "product service notifications" is selected.
    product_service_notifications: bool,
    /// What messages are about that go to the channels and to the customer's own e-mail address.
    topics: BTreeSet<Topic>,
    /// What holds for messages about certificates that end (NOTIFY-03).
    expiry: &'static str,
}

impl From<Subscribed> for Tagged<SubscriptionObject> {
    fn from(read: Subscribed) -> Self {
        let expiry = match read.value.tells_expiry() {
            true => "You are subscribed to messages about certificates that end.",
            false => {
                "You are not subscribed: messages about certificates that end stand in the message centre only. Select \
                 ssl_certificate_notifications, product_service_notifications and the topic \"expiry\" to have them sent \
                 (NOTIFY-03)."
            }
        };
        let value = read.value;
        let object = SubscriptionObject {
            ssl_certificate_notifications: value.ssl_certificates,
            product_service_notifications: value.product_services,
            customer: value.customer,
            topics: value.topics,
            expiry,
        };
        Tagged(read.version, object)
    }
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SubscriptionRequest {
    ssl_certificate_notifications: Option<bool>,
    product_service_notifications: Option<bool>,
    topics: Option<BTreeSet<Topic>>,
}

/// What a customer is subscribed to.
#[utoipa::path(get, path = "/subscriptions", tag = "notices", params(Whose), responses((status = 200, body = SubscriptionObject)))]
pub(super) async fn show(State(api): Shared, caller: Caller, Asked(whose): Asked<Whose>) -> Answer<Response> {
    let customer = whose.of(&caller)?;
    Ok(Tagged::from(api.ra.subscription(&customer).await?).into_response())
}

/// Changes what a customer is subscribed to; what is left out stays as it is.
#[utoipa::path(put, path = "/subscriptions", tag = "notices", params(Whose), request_body = SubscriptionRequest, responses((status = 200, body = SubscriptionObject)))]
pub(super) async fn change(
    State(api): Shared,
    caller: Caller,
    tag: Tag,
    Asked(whose): Asked<Whose>,
    Body(asked): Body<SubscriptionRequest>,
) -> Answer<Response> {
    let customer = whose.of(&caller)?;
    tag.demand(api.ra.subscription(&customer).await?.version)?;
    let change = SubscriptionChange {
        ssl_certificates: asked.ssl_certificate_notifications,
        product_services: asked.product_service_notifications,
        topics: asked.topics,
    };
    Ok(Tagged::from(api.ra.change_subscription(&customer, change).await?).into_response())
}
