//! Purchases.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{Answer, Asked, Body, Caller, List, Page, Path, Shared, id};
use crate::domain::money::CURRENCY;
use crate::domain::{CustomerId, Money, OrderId, PurchaseId, Serial};
use crate::ra::{NewPurchase, PurchaseReport};

#[derive(Serialize, ToSchema)]
pub(super) struct PurchaseObject {
    id: PurchaseId,
    customer: CustomerId,
    product: String,
    names: u32,
    years: u32,
    price: Money,
    currency: &'static str,
    created: String,
    state: &'static str,
    /// The order of each year that was begun.
    orders: Vec<TermObject>,
}

#[derive(Serialize, ToSchema)]
struct TermObject {
    order: OrderId,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    certificate: Option<Serial>,
}

impl From<PurchaseReport> for PurchaseObject {
    fn from(PurchaseReport { purchase, state, orders }: PurchaseReport) -> Self {
        let term = |report: crate::ra::OrderReport| TermObject {
            order: report.view.order.id.clone(),
            status: report.status.as_str(),
            certificate: report.certificate.map(|certificate| certificate.serial),
        };
        Self {
            id: purchase.id,
            customer: purchase.customer,
            product: purchase.product,
            names: purchase.names,
            years: purchase.years,
            price: purchase.price,
            currency: CURRENCY,
            created: purchase.created.to_string(),
            state: state.as_str(),
            orders: orders.into_iter().map(term).collect(),
        }
    }
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PurchaseRequest {
    customer: String,
    product: String,
    names: u32,
    years: Option<u32>,
}

/// Buys (BUY-01).
#[utoipa::path(post, path = "/purchases", tag = "purchases", request_body = PurchaseRequest, responses((status = 201, body = PurchaseObject)))]
pub(super) async fn create(State(api): Shared, caller: Caller, Body(asked): Body<PurchaseRequest>) -> Answer<Response> {
    caller.operator()?;
    let PurchaseRequest { product, names, years, .. } = asked;
    let customer = id("customer", &asked.customer)?;
    let made = api.ra.create_purchase(NewPurchase { customer, product, names, years }).await?;
    let made = api.ra.purchase(&made.id).await?;
    Ok((StatusCode::CREATED, Json(PurchaseObject::from(made))).into_response())
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Wanted {
    customer: Option<String>,
    after: Option<String>,
    limit: Option<usize>,
}

/// Purchases, oldest first.
#[utoipa::path(get, path = "/purchases", tag = "purchases", params(Wanted), responses((status = 200, body = List<PurchaseObject>)))]
pub(super) async fn list(
    State(api): Shared,
    caller: Caller,
    Asked(asked): Asked<Wanted>,
) -> Answer<Json<List<PurchaseObject>>> {
    let limit = Page::size(asked.limit)?;
    let customer: Option<CustomerId> = asked.customer.map(|text| id("customer", &text)).transpose()?;
    let customer = caller.scope(customer)?;
    let after: Option<PurchaseId> = asked.after.map(|text| id("purchase", &text)).transpose()?;
    let found = api.ra.purchases(customer.as_ref(), after.as_ref(), limit).await?;
    Ok(List::of(found.into_iter().map(PurchaseObject::from).collect(), limit, |item| item.id.to_string()))
}

/// One purchase with its orders.
#[utoipa::path(get, path = "/purchases/{id}", tag = "purchases", params(("id" = String, Path)), responses((status = 200, body = PurchaseObject)))]
pub(super) async fn show(State(api): Shared, caller: Caller, Path(text): Path<String>) -> Answer<Json<PurchaseObject>> {
    let found = api.ra.purchase(&id("purchase", &text)?).await?;
    caller.sees(&found.purchase.customer)?;
    Ok(Json(found.into()))
}
