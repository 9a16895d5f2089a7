//! Giving up: applications and purchases for which nothing was issued.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::orders::OrderObject;
use super::purchases::PurchaseObject;
use super::{Answer, Body, Caller, Path, Shared, id};
use crate::domain::money::CURRENCY;
use crate::domain::{Money, PurchaseId};
use crate::policy::refund::Shares;

/// Cancels an application before anything is issued (DELETE-03, REFUND-02).
#[utoipa::path(post, path = "/orders/{id}/cancellation", tag = "orders", params(("id" = String, Path)), responses((status = 200, body = OrderObject)))]
pub(super) async fn cancel_order(
    State(api): Shared,
    caller: Caller,
    Path(text): Path<String>,
) -> Answer<Json<OrderObject>> {
    let order = id("order", &text)?;
    caller.sees_of(api.ra.order_report(&order).await?.holder.customer())?;
    api.ra.cancel_order(&order).await?;
    Ok(Json(api.ra.order_report(&order).await?.into()))
}

/// Cancels what a purchase was made for, its open application with it (REFUND-02).
#[utoipa::path(post, path = "/purchases/{id}/cancellation", tag = "purchases", params(("id" = String, Path)), responses((status = 200, body = PurchaseObject)))]
pub(super) async fn cancel_purchase(
    State(api): Shared,
    caller: Caller,
    Path(text): Path<String>,
) -> Answer<Json<PurchaseObject>> {
    let purchase = id("purchase", &text)?;
    caller.sees(&api.ra.purchase(&purchase).await?.purchase.customer)?;
    api.ra.cancel_purchase(&purchase).await?;
    Ok(Json(api.ra.purchase(&purchase).await?.into()))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RefundRequest {
    /// Whether the customer agrees to the refund policy (REFUND-07).
    #[serde(default)]
    consent: bool,
}

/// What went back where.
#[derive(Serialize, ToSchema)]
pub(super) struct RefundObject {
    purchase: PurchaseId,
    /// To the cash balance (REFUND-05).
    cash: Money,
    /// To the balance of gifts (REFUND-05).
    gift: Money,
    /// To packages of benefit points (REFUND-06).
    points: Money,
    /// Owed to who paid outside of this server.
    outside: Money,
    /// Discounts and vouchers, which are not refunded (REFUND-03).
    not_refunded: Money,
    currency: &'static str,
}

/// Refunds a purchase for which nothing was issued (REFUND-01 to REFUND-08). It can't be undone (REFUND-04).
#[utoipa::path(post, path = "/purchases/{id}/refunds", tag = "purchases", params(("id" = String, Path)), request_body = RefundRequest, responses((status = 201, body = RefundObject)))]
pub(super) async fn refund(
    State(api): Shared,
    caller: Caller,
    Path(text): Path<String>,
    Body(asked): Body<RefundRequest>,
) -> Answer<Response> {
    let purchase: PurchaseId = id("purchase", &text)?;
    caller.sees(&api.ra.purchase(&purchase).await?.purchase.customer)?;
    let Shares { cash, gift, points, outside, kept } = api.ra.refund_purchase(&purchase, asked.consent).await?;
    let told = RefundObject { purchase, cash, gift, points, outside, not_refunded: kept, currency: CURRENCY };
    Ok((StatusCode::CREATED, Json(told)).into_response())
}
