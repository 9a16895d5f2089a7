//! Issued certificates.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Answer, Body, Caller, List, Page, Path, Shared};
use crate::domain::certificate::{Certificate, CertificateStanding, RevocationReason};
use crate::domain::{Error, Identifier, Serial, Timestamp};
use crate::ra::Authority;

#[derive(Serialize, ToSchema)]
pub(super) struct CertificateObject {
    serial: Serial,
    product: String,
    identifiers: Vec<Identifier>,
    issuer: String,
    account: String,
    order: String,
    not_before: String,
    not_after: String,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    revoked: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<RevocationReason>,
}

impl CertificateObject {
    fn of(certificate: Certificate, now: Timestamp) -> Self {
        let (status, revoked, reason) = match certificate.standing {
            CertificateStanding::Revoked { at, reason } => ("revoked", Some(at.to_string()), Some(reason)),
            CertificateStanding::Good if certificate.not_after < now => ("expired", None, None),
            CertificateStanding::Good => ("valid", None, None),
        };
        Self {
            serial: certificate.serial,
            product: certificate.product,
            identifiers: certificate.identifiers,
            issuer: certificate.issuer,
            account: certificate.account.to_string(),
            order: certificate.order.to_string(),
            not_before: certificate.not_before.to_string(),
            not_after: certificate.not_after.to_string(),
            status,
            revoked,
            reason,
        }
    }
}

/// Issued certificates.
#[utoipa::path(get, path = "/certificates", tag = "certificates", params(super::Wanted), responses((status = 200, body = List<CertificateObject>)))]
pub(super) async fn list(State(api): Shared, caller: Caller, page: Page) -> Answer<Json<List<CertificateObject>>> {
    caller.operator()?;
    let after = page.after.as_deref().map(serial).transpose()?;
    let now = api.ra.now();
    let found = api.ra.certificates(after.as_ref(), page.limit).await?;
    let items = found.into_iter().map(|certificate| CertificateObject::of(certificate, now)).collect();
    Ok(List::of(items, page.limit, |item| item.serial.to_string()))
}

/// One certificate.
#[utoipa::path(get, path = "/certificates/{serial}", tag = "certificates", params(("serial" = String, Path)), responses((status = 200, body = CertificateObject)))]
pub(super) async fn show(
    State(api): Shared,
    caller: Caller,
    Path(text): Path<String>,
) -> Answer<Json<CertificateObject>> {
    caller.operator()?;
    let found = api.ra.certificate_of(&serial(&text)?).await?;
    Ok(Json(CertificateObject::of(found, api.ra.now())))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RevocationRequest {
    #[serde(default)]
    reason: u64,
}

/// Revokes at once, on the operator's authority.
#[utoipa::path(post, path = "/certificates/{serial}/revoke", tag = "certificates", params(("serial" = String, Path)), request_body = RevocationRequest, responses((status = 200, body = CertificateObject)))]
pub(super) async fn revoke(
    State(api): Shared,
    caller: Caller,
    Path(text): Path<String>,
    Body(asked): Body<RevocationRequest>,
) -> Answer<Json<CertificateObject>> {
    caller.operator()?;
    let serial = serial(&text)?;
    let reason = RevocationReason::from_code(asked.reason)?;
    api.ra.revoke_serial(Authority::Operator, &serial, reason).await?;
    Ok(Json(CertificateObject::of(api.ra.certificate_of(&serial).await?, api.ra.now())))
}

pub(super) fn serial(text: &str) -> Result<Serial, Error> {
    text.parse().map_err(|()| Error::not_found("There is no certificate of that serial (40 hexadecimal digits)."))
}
