//! SM2 pairs (KEY-11): what leads from an order's certificate to the other one, and to that one's key.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse as _, Response};

use super::Acme;
use super::links::Links;
use super::problem::Refusal;
use super::signed::{Fetch, Path, Signed};
use crate::domain::{Error, Serial};

/// The link relation of the enveloped key (RFC 8288 section 2.1.2: those that are not registered are URIs).
const KEY: &str = "urn:chancery:encryption-key";

/// The links of a certificate for signatures to what belongs to it.
pub(super) fn links(links: &Links, signature: &Serial, encryption: &Serial) -> [String; 2] {
    [
        format!("<{}>;rel=\"related\"", links.certificate(encryption)),
        format!("<{}>;rel=\"{KEY}\"", links.encryption_key(signature)),
    ]
}

/// The key for encryption as the holder of the key for signatures can open it: SM2EnvelopedKey, DER (GM/T 0009).
pub(super) async fn encryption_key(
    State(acme): State<Arc<Acme>>,
    Path(serial): Path<String>,
    request: Signed<Fetch>,
) -> Result<Response, Refusal> {
    let none = || Error::not_found("This account has no such pair of certificates.");
    let serial: Serial = serial.parse().map_err(|()| none())?;
    let enveloped = acme.ra.enveloped_key(&request.account, &serial).await?;
    let told = [(header::CONTENT_TYPE, "application/octet-stream"), (header::CACHE_CONTROL, "no-store")];
    Ok((told, enveloped).into_response())
}
