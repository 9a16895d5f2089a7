//! Renewals that holders ask for.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::certificates::serial;
use super::orders::{method, pem_request};
use super::purchases::{PaymentWord, pay};
use super::{Answer, Body, Caller, Path, Shared};
use crate::domain::{OrderId, PurchaseId, Serial};
use crate::policy::succession;
use crate::ra::{NewRenewal, Renewed};

/// RENEW-06: confirm, CSR, period, payment, purchase.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RenewalRequest {
    /// Whether the data that is taken over from the old order is right (RENEW-05).
    #[serde(default)]
    confirm: bool,
    /// Another CSR, PEM; else that of the certificate that ends.
    csr: Option<String>,
    /// `dns-01` or `http-01`; else as before.
    method: Option<String>,
    /// Years; else the fewest that are sold.
    years: Option<u32>,
    /// How it is paid where no year of the purchase is left: `balance`, or by operators `outside`.
    payment: Option<PaymentWord>,
    /// The vouchers and packages to use; else those that fit.
    coupons: Option<Vec<String>>,
}

/// What a renewal came to.
#[derive(Serialize, ToSchema)]
pub(super) struct RenewalObject {
    /// The order of the new certificate.
    order: OrderId,
    /// The certificate that it follows.
    follows: Serial,
    #[serde(skip_serializing_if = "Option::is_none")]
    purchase: Option<PurchaseId>,
    /// The steps of a renewal (RENEW-06).
    steps: &'static [&'static str],
    /// What comes next for this product (RENEW-07 to RENEW-11).
    next: &'static str,
    /// RENEW-01, RENEW-12, RENEW-13, RENEW-14, VALIDITY-05
    advice: &'static [&'static str],
}

/// Renews a certificate in its last 30 days: the data of the old order is taken over, to be confirmed and paid (RENEW-02,
/// RENEW-03, RENEW-05). Its steps are confirm, CSR, period, payment, purchase (RENEW-06).
#[utoipa::path(post, path = "/certificates/{serial}/renewals", tag = "certificates", params(("serial" = String, Path)), request_body = RenewalRequest, responses((status = 201, body = RenewalObject)))]
pub(super) async fn create(
    State(api): Shared,
    caller: Caller,
    Path(text): Path<String>,
    Body(asked): Body<RenewalRequest>,
) -> Answer<Response> {
    let of = serial(&text)?;
    caller.sees_of(api.ra.customer_of(&of).await?.as_ref())?;
    let asked = NewRenewal {
        confirmed: asked.confirm,
        csr: asked.csr.as_deref().map(pem_request).transpose()?,
        method: asked.method.as_deref().map(|text| method(Some(text))).transpose()?,
        years: asked.years,
        pay: pay(&caller, asked.payment.unwrap_or(PaymentWord::Balance), asked.coupons)?,
    };
    let Renewed { order, purchase, next } = api.ra.renew(&of, asked).await?;
    let (order, steps, advice) = (order.order.id.clone(), succession::STEPS, succession::ADVICE);
    Ok((StatusCode::CREATED, Json(RenewalObject { order, follows: of, purchase, steps, next, advice })).into_response())
}
