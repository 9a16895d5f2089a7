//! Names that were cleared for a customer, or for an account without one: no sensitive word in them stands in the way.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{Answer, Asked, Body, Caller, List, Page, Shared, id};
use crate::domain::account::Holder;
use crate::domain::customer::Clearance;
use crate::domain::{AccountId, CustomerId, Error};

#[derive(Serialize, ToSchema)]
pub(super) struct ClearanceObject {
    #[serde(skip_serializing_if = "Option::is_none")]
    customer: Option<CustomerId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    account: Option<AccountId>,
    name: String,
    note: String,
    at: String,
}

impl From<Clearance> for ClearanceObject {
    fn from(clearance: Clearance) -> Self {
        let (customer, account) = match clearance.holder {
            Holder::Customer(id) => (Some(id), None),
            Holder::Account(id) => (None, Some(id)),
        };
        Self { customer, account, name: clearance.name, note: clearance.note, at: clearance.at.to_string() }
    }
}

/// Whose names: exactly one of both.
fn holder(customer: Option<&str>, account: Option<&str>) -> Result<Holder, Error> {
    match (customer, account) {
        (Some(customer), None) => Ok(Holder::Customer(id("customer", customer)?)),
        (None, Some(account)) => Ok(Holder::Account(id("account", account)?)),
        _ => Err(Error::malformed("Give either \"customer\" or \"account\": whose names these are.")),
    }
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ClearanceRequest {
    customer: Option<String>,
    account: Option<String>,
    name: String,
    note: String,
}

/// Clears a name for a customer or an account (WORD-04).
#[utoipa::path(post, path = "/clearances", tag = "review", request_body = ClearanceRequest, responses((status = 201, body = ClearanceObject)))]
pub(super) async fn create(
    State(api): Shared,
    caller: Caller,
    Body(asked): Body<ClearanceRequest>,
) -> Answer<Response> {
    caller.reviewer()?;
    let holder = holder(asked.customer.as_deref(), asked.account.as_deref())?;
    let made = api.ra.clear_name(&holder, &asked.name, &asked.note).await?;
    Ok((StatusCode::CREATED, Json(ClearanceObject::from(made))).into_response())
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Wanted {
    customer: Option<String>,
    account: Option<String>,
    after: Option<String>,
    limit: Option<usize>,
}

/// The cleared names of a customer or an account.
#[utoipa::path(get, path = "/clearances", tag = "review", params(Wanted), responses((status = 200, body = List<ClearanceObject>)))]
pub(super) async fn list(
    State(api): Shared,
    caller: Caller,
    Asked(asked): Asked<Wanted>,
) -> Answer<Json<List<ClearanceObject>>> {
    caller.reviewer()?;
    let holder = holder(asked.customer.as_deref(), asked.account.as_deref())?;
    let limit = Page::size(asked.limit)?;
    let found = api.ra.clearances(&holder, asked.after.as_deref(), limit).await?;
    Ok(List::of(found.into_iter().map(ClearanceObject::from).collect(), limit, |item| item.name.clone()))
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Withdrawn {
    customer: Option<String>,
    account: Option<String>,
    name: String,
}

/// Takes a clearance back.
#[utoipa::path(delete, path = "/clearances", tag = "review", params(Withdrawn), responses((status = 204)))]
pub(super) async fn withdraw(State(api): Shared, caller: Caller, Asked(asked): Asked<Withdrawn>) -> Answer<StatusCode> {
    caller.reviewer()?;
    let holder = holder(asked.customer.as_deref(), asked.account.as_deref())?;
    api.ra.withdraw_clearance(&holder, &asked.name).await?;
    Ok(StatusCode::NO_CONTENT)
}
