//! Keys that are reported compromised.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Answer, Body, Caller, List, Page, Shared};
use crate::domain::certificate::hex32;
use crate::domain::{Error, Serial};
use crate::ra::{CompromisedKey, ReportedKey};

/// One of three ways to name a key; serde refuses an object with none, with two or with another.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum ReportRequest {
    SpkiSha256(String),
    PublicKey(String),
    Certificate(String),
}

#[derive(Serialize, ToSchema)]
pub(super) struct CompromisedKeyObject {
    spki_sha256: String,
    since: String,
    /// Serials of certificates in force with that key; only in the answer to a report.
    #[serde(skip_serializing_if = "Option::is_none")]
    live_certificates: Option<Vec<Serial>>,
}

impl From<CompromisedKey> for CompromisedKeyObject {
    fn from(key: CompromisedKey) -> Self {
        Self { spki_sha256: hex32::encode(&key.spki_sha256), since: key.since.to_string(), live_certificates: None }
    }
}

/// Reports a key. 201 for a key that was not known, 200 for one that was.
#[utoipa::path(post, path = "/compromised-keys", tag = "keys", request_body = ReportRequest, responses((status = 201, body = CompromisedKeyObject), (status = 200, body = CompromisedKeyObject)))]
pub(super) async fn report(State(api): Shared, caller: Caller, Body(asked): Body<ReportRequest>) -> Answer<Response> {
    caller.operator()?;
    let reported = match asked {
        ReportRequest::SpkiSha256(digits) => ReportedKey::Hash(hash(&digits)?),
        ReportRequest::PublicKey(text) => ReportedKey::PublicKey(text.into_bytes()),
        ReportRequest::Certificate(text) => ReportedKey::Certificate(text.into_bytes()),
    };
    let report = api.ra.report_compromised_key(reported).await?;
    let status = if report.new { StatusCode::CREATED } else { StatusCode::OK };
    let live_certificates = Some(report.live_certificates);
    Ok((status, Json(CompromisedKeyObject { live_certificates, ..report.key.into() })).into_response())
}

/// Keys that no certificate is issued for.
#[utoipa::path(get, path = "/compromised-keys", tag = "keys", params(super::Wanted), responses((status = 200, body = List<CompromisedKeyObject>)))]
pub(super) async fn list(State(api): Shared, caller: Caller, page: Page) -> Answer<Json<List<CompromisedKeyObject>>> {
    caller.operator()?;
    let after = page.after.as_deref().map(hash).transpose()?;
    let found = api.ra.compromised_keys(after, page.limit).await?;
    let items = found.into_iter().map(CompromisedKeyObject::from).collect();
    Ok(List::of(items, page.limit, |item: &CompromisedKeyObject| item.spki_sha256.clone()))
}

fn hash(digits: &str) -> Result<[u8; 32], Error> {
    hex32::decode(digits).ok_or_else(|| {
        Error::malformed("The hash of a key has 64 hexadecimal digits: SHA-256 of its SubjectPublicKeyInfo.")
    })
}
