//! Reissues asked for by REST (REISSUE-08, REISSUE-09).

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use utoipa::ToSchema;
use zeroize::Zeroizing;

use super::orders::{OrderObject, method, pem_request};
use super::revocations::own_certificate;
use super::{Answer, Body, Caller, Path, Shared, id};
use crate::domain::Error;
use crate::domain::csr::SubjectKey;
use crate::ra::{NewKeyPair, NewReissue};

/// A wish to have a certificate issued once more.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ReissueRequest {
    /// Why, in words; for paid certificates it must be there (REISSUE-08).
    #[serde(default)]
    grounds: String,
    /// A CSR, PEM (CSR-15); not for free certificates (REISSUE-09).
    csr: Option<String>,
    /// The id of a CSR that is kept here; not for free certificates (REISSUE-09).
    csr_id: Option<String>,
    /// The kind of the key that is made here where no CSR is given; that of the certificate unless another one is asked for.
    key: Option<SubjectKey>,
    /// What locks that key. It is not kept and cannot be recovered (KEY-04).
    #[schema(value_type = Option<String>)]
    password: Option<Zeroizing<String>>,
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
    let certificate = api.ra.check_reissue(&serial, &asked.grounds).await?;
    let method = asked.method.as_deref().map(|text| method(Some(text))).transpose()?;
    let (csr, key_pair) = match (&asked.csr, &asked.csr_id) {
        (None, None) => {
            let new = NewKeyPair {
                customer: customer.clone(),
                name: format!("Reissue of {serial}"),
                identifiers: certificate.identifiers,
                key: asked.key.unwrap_or(certificate.key),
                password: asked.password,
            };
            let made = api.ra.create_key_pair(new).await?;
            (made.csr, Some(made.id))
        }
        // REISSUE-09
        _ if api.ra.makes_reissued_keys(&certificate) => {
            let told =
                "A free reissue takes a new key that is made here: choose its kind and password only (REISSUE-09).";
            return Err(Error::malformed(told).into());
        }
        (Some(_), Some(_)) => return Err(Error::malformed("Give \"csr\" or \"csr_id\", not both.").into()),
        (Some(csr), None) => (pem_request(csr)?, None),
        (None, Some(kept)) => {
            let kept = api.ra.key_pair(&id("CSR", kept)?).await?;
            caller.sees(&kept.customer)?;
            (kept.csr, Some(kept.id))
        }
    };
    let order = api.ra.reissue(NewReissue { serial, customer, grounds: asked.grounds, csr, key_pair, method }).await?;
    let report = api.ra.order_report(&order.order.id).await?;
    Ok((StatusCode::CREATED, Json(OrderObject::from(report))).into_response())
}
