//! Reminders to reviewers (REMIND-01 to REMIND-06).

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::applications::seen_purchase;
use super::{Answer, Caller, Path, Shared, id};
use crate::ra::Reminder;

/// A reminder that was sent.
#[derive(Serialize, ToSchema)]
pub(super) struct ReminderObject {
    /// The review that it is about.
    review: String,
    at: String,
    /// From when on the next one may be sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

fn made(reminder: Reminder) -> Response {
    let object = ReminderObject {
        review: reminder.matter.id().to_owned(),
        at: reminder.at.to_string(),
        next: reminder.next.map(|next| next.to_string()),
    };
    (StatusCode::CREATED, Json(object)).into_response()
}

/// Reminds the reviewers of a purchase's application.
#[utoipa::path(post, path = "/purchases/{id}/reminders", tag = "purchases", params(("id" = String, Path)), responses((status = 201, body = ReminderObject)))]
pub(super) async fn of_purchase(State(api): Shared, caller: Caller, Path(text): Path<String>) -> Answer<Response> {
    let purchase = seen_purchase(&api, &caller, &text).await?;
    Ok(made(api.ra.remind_of_purchase(&purchase).await?))
}

/// Reminds the reviewers of an order.
#[utoipa::path(post, path = "/orders/{id}/reminders", tag = "orders", params(("id" = String, Path)), responses((status = 201, body = ReminderObject)))]
pub(super) async fn of_order(State(api): Shared, caller: Caller, Path(text): Path<String>) -> Answer<Response> {
    let report = api.ra.order_report(&id("order", &text)?).await?;
    caller.sees_of(report.holder.customer())?;
    Ok(made(api.ra.remind_of_order(&report.view.order.id).await?))
}
