//! Purchases.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{Answer, Asked, Body, Caller, List, Page, Path, Shared, id};
use crate::domain::money::CURRENCY;
use crate::domain::purchase::Payment;
use crate::domain::{CustomerId, Error, Money, OrderId, PurchaseId, Serial};
use crate::ra::{NewPurchase, Pay, PurchaseReport};

#[derive(Serialize, ToSchema)]
pub(super) struct PurchaseObject {
    id: PurchaseId,
    customer: CustomerId,
    product: String,
    names: u32,
    years: u32,
    price: Money,
    currency: &'static str,
    payment: PaymentObject,
    created: String,
    state: &'static str,
    /// How many names of which kind it takes (BUY-10).
    #[serde(skip_serializing_if = "Option::is_none")]
    takes: Option<String>,
    /// What to do next (BUY-03).
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<&'static str>,
    /// Whether it is bought again by itself (BUY-07).
    auto_renew: bool,
    /// The purchase that follows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    follower: Option<PurchaseId>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tags: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    project: Option<String>,
    /// The order of each year that was begun.
    orders: Vec<TermObject>,
}

/// How a purchase was paid: what is from the balance sums to the price.
#[derive(Serialize, ToSchema)]
struct PaymentObject {
    method: &'static str,
    discount: Money,
    voucher: Money,
    points: Money,
    gift: Money,
    cash: Money,
}

impl From<&Payment> for PaymentObject {
    fn from(payment: &Payment) -> Self {
        Self {
            method: if payment.is_from_balance() { "balance" } else { "outside" },
            discount: payment.discount,
            voucher: payment.voucher(),
            points: payment.point(),
            gift: payment.gift,
            cash: payment.cash,
        }
    }
}

#[derive(Serialize, ToSchema)]
struct TermObject {
    order: OrderId,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    certificate: Option<Serial>,
}

impl From<PurchaseReport> for PurchaseObject {
    fn from(PurchaseReport { purchase, state, orders, takes }: PurchaseReport) -> Self {
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
            payment: (&purchase.payment).into(),
            created: purchase.created.to_string(),
            state: state.as_str(),
            takes,
            next: state.advice(),
            auto_renew: purchase.auto_renew,
            follower: purchase.follower,
            tags: purchase.tags,
            project: purchase.project,
            orders: orders.into_iter().map(term).collect(),
        }
    }
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PurchaseRequest {
    /// For whom; a customer's own need not be named.
    customer: Option<String>,
    product: String,
    names: u32,
    years: Option<u32>,
    /// `balance`, or by operators `outside`, which is what they get without a word.
    payment: Option<PaymentWord>,
    /// The vouchers and packages to use, in this sequence; else those that fit.
    coupons: Option<Vec<String>>,
    /// Words to find it by (BUY-02).
    #[serde(default)]
    tags: Vec<String>,
    /// The project that it belongs to (BUY-02).
    project: Option<String>,
    /// Whether it is bought again by itself when its last certificate ends (BUY-07).
    #[serde(default)]
    auto_renew: bool,
}

#[derive(Deserialize, ToSchema, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(super) enum PaymentWord {
    Balance,
    Outside,
}

/// How the caller may pay: outside only by the word of an operator.
pub(super) fn pay(caller: &Caller, word: PaymentWord, coupons: Option<Vec<String>>) -> Result<Pay, Error> {
    match (word, coupons) {
        (PaymentWord::Outside, Some(_)) => Err(Error::malformed("\"coupons\" are for payment from the balance.")),
        (PaymentWord::Outside, None) => {
            caller.operator()?;
            Ok(Pay::Outside)
        }
        (PaymentWord::Balance, Some(texts)) if texts.len() > 100 => {
            Err(Error::malformed(format!("{} coupons are named; at most 100 are read.", texts.len())))
        }
        (PaymentWord::Balance, coupons) => {
            let read = |texts: Vec<String>| texts.iter().map(|text| id("coupon", text)).collect::<Result<_, _>>();
            Ok(Pay::Balance { coupons: coupons.map(read).transpose()? })
        }
    }
}

/// Buys at the price of the quote. The steps: open the purchase page, pick type and brand (`/products`), pick domain type and
/// count, pick the period (`/quotes`), pay (here), submit the application (BUY-01).
#[utoipa::path(post, path = "/purchases", tag = "purchases", request_body = PurchaseRequest, responses((status = 201, body = PurchaseObject)))]
pub(super) async fn create(State(api): Shared, caller: Caller, Body(asked): Body<PurchaseRequest>) -> Answer<Response> {
    let customer = asked.customer.map(|text| id("customer", &text)).transpose()?;
    let usual = if caller.operator().is_ok() { PaymentWord::Outside } else { PaymentWord::Balance };
    let made = api
        .ra
        .create_purchase(NewPurchase {
            customer: caller.acts_for(customer)?,
            product: asked.product,
            names: asked.names,
            years: asked.years,
            pay: pay(&caller, asked.payment.unwrap_or(usual), asked.coupons)?,
            tags: asked.tags,
            project: asked.project,
            auto_renew: asked.auto_renew,
        })
        .await?;
    let made = api.ra.purchase(&made.id).await?;
    Ok((StatusCode::CREATED, Json(PurchaseObject::from(made))).into_response())
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AutoRenewal {
    enabled: bool,
}

/// Sets whether a purchase is bought again by itself, if the balance covers it (BUY-07).
#[utoipa::path(put, path = "/purchases/{id}/auto-renewal", tag = "purchases", params(("id" = String, Path)), request_body = AutoRenewal, responses((status = 200, body = PurchaseObject)))]
pub(super) async fn set_auto_renewal(
    State(api): Shared,
    caller: Caller,
    Path(text): Path<String>,
    Body(asked): Body<AutoRenewal>,
) -> Answer<Json<PurchaseObject>> {
    let purchase = id("purchase", &text)?;
    caller.sees(&api.ra.purchase(&purchase).await?.purchase.customer)?;
    api.ra.set_auto_renewal(&purchase, asked.enabled).await?;
    Ok(Json(api.ra.purchase(&purchase).await?.into()))
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
