//! Reissues asked for by REST (REISSUE-08, REISSUE-09).

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use utoipa::ToSchema;

use super::orders::{OrderObject, method, pem_request};
use super::revocations::own_certificate;
use super::{Answer, Body, Caller, Path, Shared};
use crate::domain::Error;
use crate::ra::NewReissue;

/// A wish to have a certificate issued once more.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ReissueRequest {
    /// Why, in words; for paid certificates it must be there (REISSUE-08).
    #[serde(default)]
    grounds: String,
    /// A CSR, PEM (CSR-15).
    csr: Option<String>,
    /// How control of names is shown that are to be proven anew: `dns-01` or `http-01`; without one, as the first time.
    method: Option<String>,
}

/// Has a certificate issued once more, with the same names and the same end; nothing is charged (REISSUE-05, REISSUE-07).
#[utoipa::path(post, path = "/certificates/{serial}/reissues", tag = "certificates", params(("serial" = String, Path)), request_body = ReissueRequest, responses((status = 201, body = OrderObject)))]
pub(super) async fn create(
    State(api): Shared,
    caller: Caller,
    Path(text): Path<String>,
    Body(asked): Body<ReissueRequest>,
) -> Answer<Response> {
    let serial = own_certificate(&api, &caller, &text).await?;
    let customer = api.ra.customer_behind(&serial).await?.flatten();
    let customer = customer.ok_or_else(|| {
        Error::malformed(
            "The certificate is an ACME account's of its own: its client places the order, with \"replaces\".",
        )
    })?;
    api.ra.check_reissue(&serial, &asked.grounds).await?;
    let method = asked.method.map(|text| method(Some(&text))).transpose()?;
    let csr = asked.csr.ok_or_else(|| Error::malformed("\"csr\" is missing (REISSUE-08)."))?;
    let (csr, key_pair) = (pem_request(&csr)?, None);
    let order = api.ra.reissue(NewReissue { serial, customer, grounds: asked.grounds, csr, key_pair, method }).await?;
    let report = api.ra.order_report(&order.order.id).await?;
    Ok((StatusCode::CREATED, Json(OrderObject::from(report))).into_response())
}
