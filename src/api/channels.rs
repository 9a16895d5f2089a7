//! Where a customer's messages go: e-mail addresses, webhooks, SMS through a gateway.

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::notices::{NoticeObject, Whose};
use super::{Answer, Asked, Body, Caller, List, Path, Shared, id};
use crate::domain::channel::{Channel, Way};
use crate::domain::{ChannelId, CustomerId};
use crate::ra::{NewChannel, NewWay};

#[derive(Serialize, ToSchema)]
pub(super) struct ChannelObject {
    id: ChannelId,
    customer: CustomerId,
    name: String,
    /// `email`, `webhook` or `sms-gateway`.
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<String>,
    /// The telephone number that the gateway is told.
    #[serde(skip_serializing_if = "Option::is_none")]
    number: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    /// What signatures are made with. Shown once, when the channel is made.
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
    created: String,
}

impl ChannelObject {
    fn of(channel: Channel, show_secret: bool) -> Self {
        let kind = channel.way.kind();
        let (address, number, url, secret) = match channel.way {
            Way::Email { address } => (Some(address), None, None, None),
            Way::Webhook { url, secret } => (None, None, Some(url), Some(secret)),
            Way::SmsGateway { number, url, secret } => (None, Some(number), Some(url), Some(secret)),
        };
        let secret = secret.filter(|_| show_secret).map(|secret| secret.to_string());
        let created = channel.created.to_string();
        Self {
            id: channel.id,
            customer: channel.customer,
            name: channel.name,
            kind,
            address,
            number,
            url,
            secret,
            created,
        }
    }
}

#[derive(Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub(super) enum ChannelRequest {
    /// Messages go to an address by e-mail.
    Email {
        /// The customer; only operators need to say.
        customer: Option<String>,
        name: String,
        address: String,
    },
    /// Messages go to a URL as signed POSTs.
    Webhook {
        /// The customer; only operators need to say.
        customer: Option<String>,
        name: String,
        url: String,
    },
    /// Messages go to a telephone: as signed POSTs to a gateway for SMS, which sends them on.
    SmsGateway {
        /// The customer; only operators need to say.
        customer: Option<String>,
        name: String,
        number: String,
        url: String,
    },
}

/// Makes a channel. Its secret is shown this once.
#[utoipa::path(post, path = "/channels", tag = "notices", request_body = ChannelRequest, responses((status = 201, body = ChannelObject)))]
pub(super) async fn create(State(api): Shared, caller: Caller, Body(asked): Body<ChannelRequest>) -> Answer<Response> {
    let (customer, name, kind) = match asked {
        ChannelRequest::Email { customer, name, address } => (customer, name, NewWay::Email(address)),
        ChannelRequest::Webhook { customer, name, url } => (customer, name, NewWay::Webhook(url)),
        ChannelRequest::SmsGateway { customer, name, number, url } => (customer, name, NewWay::SmsGateway(number, url)),
    };
    let customer = Whose { customer }.of(&caller)?;
    let made = api.ra.create_channel(NewChannel { customer, name, kind }).await?;
    let object = Json(ChannelObject::of(made, true));
    Ok((StatusCode::CREATED, [(header::CACHE_CONTROL, "no-store")], object).into_response())
}

/// A customer's channels, without what is secret.
#[utoipa::path(get, path = "/channels", tag = "notices", params(Whose), responses((status = 200, body = List<ChannelObject>)))]
pub(super) async fn list(
    State(api): Shared,
    caller: Caller,
    Asked(whose): Asked<Whose>,
) -> Answer<Json<List<ChannelObject>>> {
    let found = api.ra.channels(&whose.of(&caller)?).await?;
    let items = found.into_iter().map(|channel| ChannelObject::of(channel, false)).collect();
    Ok(Json(List { items, next: None }))
}

/// One channel, without what is secret.
#[utoipa::path(get, path = "/channels/{id}", tag = "notices", params(("id" = String, Path)), responses((status = 200, body = ChannelObject)))]
pub(super) async fn show(State(api): Shared, caller: Caller, Path(text): Path<String>) -> Answer<Json<ChannelObject>> {
    let channel = api.ra.channel(&id("channel", &text)?).await?;
    caller.sees(&channel.customer)?;
    Ok(Json(ChannelObject::of(channel, false)))
}

/// Removes a channel: nothing goes there any more.
#[utoipa::path(delete, path = "/channels/{id}", tag = "notices", params(("id" = String, Path)), responses((status = 204)))]
pub(super) async fn delete(State(api): Shared, caller: Caller, Path(text): Path<String>) -> Answer<StatusCode> {
    let channel = api.ra.channel(&id("channel", &text)?).await?;
    caller.sees(&channel.customer)?;
    api.ra.delete_channel(&channel.id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Sends a trial message to a channel, and tells what became of it.
#[utoipa::path(post, path = "/channels/{id}/test", tag = "notices", params(("id" = String, Path)), responses((status = 200, body = NoticeObject)))]
pub(super) async fn test(State(api): Shared, caller: Caller, Path(text): Path<String>) -> Answer<Json<NoticeObject>> {
    let channel = api.ra.channel(&id("channel", &text)?).await?;
    caller.sees(&channel.customer)?;
    Ok(Json(api.ra.test_channel(&channel.id).await?.into()))
}
