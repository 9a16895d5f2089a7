//! Rate limits: which hold, and other rates for somebody.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{Answer, Asked, Body, Caller, List, Page, Shared};
use crate::domain::Error;
use crate::domain::limit::{Limit, Override, Rate, Subject};

/// A limit and the rate that holds for everybody.
#[derive(Serialize, ToSchema)]
pub(super) struct LimitObject {
    /// The key in `[limits]`.
    limit: &'static str,
    /// What is counted.
    what: &'static str,
    /// How many; 0 is no limit.
    count: u32,
    /// In so many seconds.
    per_s: u32,
}

/// Another rate for somebody.
#[derive(Serialize, ToSchema)]
pub(super) struct OverrideObject {
    limit: &'static str,
    /// `account:..`, `customer:..`, `addresses:..` (a range like 192.0.2.0/24) or `name:..`.
    subject: String,
    count: u32,
    per_s: u32,
    note: String,
    at: String,
}

impl From<Override> for OverrideObject {
    fn from(set: Override) -> Self {
        let Override { limit, subject, rate: Rate { count, per_s }, note, at } = set;
        Self { limit: limit.name(), subject: subject.to_string(), count, per_s, note, at: at.to_string() }
    }
}

/// The limits that hold for everybody.
#[utoipa::path(get, path = "/limits", tag = "limits", responses((status = 200, body = List<LimitObject>)))]
pub(super) async fn list(State(api): Shared, caller: Caller) -> Answer<Json<List<LimitObject>>> {
    caller.operator()?;
    let object = |(limit, Rate { count, per_s }): (Limit, Rate)| LimitObject {
        limit: limit.name(),
        what: limit.what(),
        count,
        per_s,
    };
    Ok(Json(List { items: api.ra.usual_limits().into_iter().map(object).collect(), next: None }))
}

/// The rates that operators set.
#[utoipa::path(get, path = "/limits/overrides", tag = "limits", params(super::Wanted), responses((status = 200, body = List<OverrideObject>)))]
pub(super) async fn overrides(State(api): Shared, caller: Caller, page: Page) -> Answer<Json<List<OverrideObject>>> {
    caller.operator()?;
    let found = api.ra.limits_set(page.after.as_deref(), page.limit).await?;
    let items = found.into_iter().map(OverrideObject::from).collect();
    Ok(List::of(items, page.limit, |item: &OverrideObject| format!("{}/{}", item.limit, item.subject)))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct OverrideRequest {
    limit: String,
    subject: String,
    count: u32,
    per_s: u32,
    note: String,
}

/// Sets another rate for somebody, in the place of one that was set before.
#[utoipa::path(put, path = "/limits/overrides", tag = "limits", request_body = OverrideRequest, responses((status = 200, body = OverrideObject)))]
pub(super) async fn set(
    State(api): Shared,
    caller: Caller,
    Body(asked): Body<OverrideRequest>,
) -> Answer<Json<OverrideObject>> {
    caller.operator()?;
    let (limit, subject) = named(&asked.limit, &asked.subject)?;
    let set = api.ra.set_limit(limit, &subject, Rate::of(asked.count, asked.per_s), &asked.note).await?;
    Ok(Json(set.into()))
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Withdrawn {
    limit: String,
    subject: String,
}

/// Withdraws a rate that was set.
#[utoipa::path(delete, path = "/limits/overrides", tag = "limits", params(Withdrawn), responses((status = 204)))]
pub(super) async fn withdraw(State(api): Shared, caller: Caller, Asked(asked): Asked<Withdrawn>) -> Answer<Response> {
    caller.operator()?;
    let (limit, subject) = named(&asked.limit, &asked.subject)?;
    api.ra.withdraw_limit(limit, &subject).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

fn named(limit: &str, subject: &str) -> Result<(Limit, Subject), Error> {
    let told = |fault: String| Error::malformed(format!("This can't be set: {fault}."));
    Ok((limit.parse().map_err(told)?, subject.parse().map_err(told)?))
}
