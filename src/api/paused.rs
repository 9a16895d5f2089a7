//! Names that are paused for ACME accounts, because their validations always fail.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{Answer, Asked, Caller, List, Page, Path, Shared, id};
use crate::domain::streak::Streak;
use crate::domain::{AccountId, CustomerId, Error};

/// A name that is paused for an account.
#[derive(Serialize, ToSchema)]
pub(super) struct PausedObject {
    account: AccountId,
    name: String,
    /// How many validations failed in a row.
    failures: u32,
    /// When the first of them failed.
    since: String,
    /// When the last of them failed.
    last: String,
    /// Since when it is paused.
    paused: String,
}

impl PausedObject {
    fn of(streak: Streak) -> Option<Self> {
        let paused = streak.paused()?.to_string();
        let Streak { account, name, failures, since, last, .. } = streak;
        Some(Self { account, name, failures, since: since.to_string(), last: last.to_string(), paused })
    }
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

/// The paused names: a customer's own; for operators all, or those of a customer or an account.
#[utoipa::path(get, path = "/paused", tag = "limits", params(Wanted), responses((status = 200, body = List<PausedObject>)))]
pub(super) async fn list(
    State(api): Shared,
    caller: Caller,
    Asked(asked): Asked<Wanted>,
) -> Answer<Json<List<PausedObject>>> {
    let customer = asked.customer.as_deref().map(|text| id::<CustomerId>("customer", text)).transpose()?;
    let customer = caller.scope(customer)?;
    let account = asked.account.as_deref().map(|text| id::<AccountId>("account", text)).transpose()?;
    let after = asked.after.as_deref().map(place).transpose()?;
    let after = after.as_ref().map(|(account, name)| (account, name.as_str()));
    let limit = Page::size(asked.limit)?;
    let found = api.ra.paused((customer.as_ref(), account.as_ref()), after, limit).await?;
    let items: Vec<PausedObject> = found.into_iter().filter_map(PausedObject::of).collect();
    Ok(List::of(items, limit, |item| format!("{}/{}", item.account, item.name)))
}

fn place(after: &str) -> Result<(AccountId, String), Error> {
    let (account, name) = after.split_once('/').ok_or_else(|| Error::malformed("\"after\" is not of this list."))?;
    Ok((id("account", account)?, name.to_owned()))
}

/// Unpauses a name for an account.
#[utoipa::path(delete, path = "/paused/{account}/{name}", tag = "limits", params(("account" = String, Path), ("name" = String, Path)), responses((status = 204)))]
pub(super) async fn unpause(
    State(api): Shared,
    caller: Caller,
    Path((account, name)): Path<(String, String)>,
) -> Answer<StatusCode> {
    let customer = caller.scope(None)?;
    let account = id::<AccountId>("account", &account)?;
    api.ra.unpause(customer.as_ref(), &account, &name.to_ascii_lowercase()).await?;
    Ok(StatusCode::NO_CONTENT)
}
