//! The operation log: who did what, when and from where; and the history of an order.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::{Answer, Asked, Caller, List, Page, Path, Shared, id};
use crate::domain::{Error, Timestamp};
use crate::ra::{Operation, OperationFilter, for_customers};

/// An event of the operation log.
#[derive(Serialize, ToSchema)]
pub(super) struct OperationObject {
    /// Its place in the log.
    id: String,
    /// When it was done.
    at: String,
    /// By whom: `server`, `operator`, `customer ..`, `account ..`; empty in events of older versions.
    who: String,
    /// The address that the request came from.
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<String>,
    /// The node that wrote it.
    node: u16,
    /// What was done, as in `order-created`.
    act: String,
    /// What it was done to, and how.
    #[schema(value_type = Object)]
    about: Value,
}

impl OperationObject {
    fn of(Operation { id, event }: Operation) -> Self {
        let mut about = serde_json::to_value(&event.act).unwrap_or_default();
        let act = about.as_object_mut().and_then(|fields| fields.remove("act"));
        Self {
            id: id.iter().map(|octet| format!("{octet:02x}")).collect(),
            at: event.at.to_string(),
            who: event.who,
            from: event.from.map(|address| address.to_string()),
            node: event.node.unwrap_or_default(),
            act: act.and_then(|act| act.as_str().map(str::to_owned)).unwrap_or_default(),
            about,
        }
    }

    /// Takes out what is no business of customers.
    fn hide_internals(&mut self) {
        self.from = None;
        if let Some((role @ ("operator" | "reviewer"), _)) = self.who.split_once(' ') {
            self.who = role.to_owned();
        }
        if let Some(evidence) = self.about.get_mut("evidence") {
            let lines: Vec<String> = serde_json::from_value(evidence.take()).unwrap_or_default();
            *evidence = for_customers(&lines).into();
        }
        // REVIEW-11 has the cause of a refusal told; why somebody agreed is the desk's own.
        let refused = self.about.get("approved") == Some(&Value::Bool(false));
        if let Some(about) = self.about.as_object_mut().filter(|_| self.act == "review-decided" && !refused) {
            about.remove("note");
        }
    }
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Wanted {
    /// By whom: all of it, or a word of it: `account`, or the id alone.
    who: Option<String>,
    /// An id or a name that the act is about.
    object: Option<String>,
    /// The act, as in `order-created`.
    act: Option<String>,
    /// Not earlier (RFC 3339).
    since: Option<String>,
    /// Earlier than this (RFC 3339).
    until: Option<String>,
    /// Behind the event of this id.
    after: Option<String>,
    limit: Option<usize>,
}

impl Wanted {
    fn into_filter(self) -> Result<OperationFilter, Error> {
        Ok(OperationFilter {
            who: self.who,
            object: self.object,
            act: self.act,
            since: self.since.map(|text| moment("since", &text)).transpose()?,
            until: self.until.map(|text| moment("until", &text)).transpose()?,
            after: self.after.map(|text| place(&text)).transpose()?,
            limit: Page::size(self.limit)?,
        })
    }
}

/// The operation log, oldest first. A page may have fewer items than asked for, or none, and yet a `next`: so much of the log
/// is read for one request and no more.
#[utoipa::path(get, path = "/operations", tag = "operations", params(Wanted), responses((status = 200, body = List<OperationObject>)))]
pub(super) async fn list(
    State(api): Shared,
    caller: Caller,
    Asked(asked): Asked<Wanted>,
) -> Answer<Json<List<OperationObject>>> {
    caller.operator()?;
    let page = api.ra.operations(&asked.into_filter()?).await?;
    let next = page.next.map(|id| id.iter().map(|octet| format!("{octet:02x}")).collect());
    Ok(Json(List { items: page.items.into_iter().map(OperationObject::of).collect(), next }))
}

/// The history of an order, oldest first. Where requests came from, which of the desk's people acted, and which perspectives
/// looked, is for operators alone.
#[utoipa::path(get, path = "/orders/{id}/events", tag = "orders", params(("id" = String, Path)), responses((status = 200, body = List<OperationObject>)))]
pub(super) async fn of_order(
    State(api): Shared,
    caller: Caller,
    Path(text): Path<String>,
) -> Answer<Json<List<OperationObject>>> {
    let order = id("order", &text)?;
    let found = api.ra.order_report(&order).await?;
    caller.sees_of(found.holder.customer())?;
    let events = api.ra.order_events(&order).await?;
    let mut items: Vec<OperationObject> = events.into_iter().map(OperationObject::of).collect();
    if caller.operator().is_err() {
        items.iter_mut().for_each(OperationObject::hide_internals);
    }
    Ok(Json(List { items, next: None }))
}

pub(super) fn moment(name: &str, text: &str) -> Result<Timestamp, Error> {
    Timestamp::parse_rfc3339(text).ok_or_else(|| {
        let shown: String = text.chars().take(40).collect();
        Error::malformed(format!(
            "\"{name}\" is \"{}\"; it must be a moment as in 2026-11-21T12:00:00Z (RFC 3339).",
            shown.escape_debug()
        ))
    })
}

/// The name of an event's row, as `next` and the ids tell it.
fn place(text: &str) -> Result<Vec<u8>, Error> {
    let digits: Option<Vec<u8>> = text.chars().map(|c| c.to_digit(16).map(|digit| digit as u8)).collect();
    match digits {
        Some(digits) if digits.len() == 32 => Ok(digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect()),
        _ => Err(Error::malformed("\"after\" is not the id of an event.")),
    }
}
