//! Certificates of whatever CA that customers upload (UPLOAD-01 to UPLOAD-11).

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use utoipa::ToSchema;
use zeroize::Zeroizing;

use super::certificates::{CertificateObject, object};
use super::{Answer, Body, Caller, Shared, id};
use crate::domain::Error;
use crate::domain::upload::Standard;
use crate::ra::{NewUpload, UploadedText};

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct UploadRequest {
    /// For whom; a customer's self need not be named.
    customer: Option<String>,
    /// `international` or `sm2` (UPLOAD-02).
    standard: Option<String>,
    /// What its owner calls it.
    name: String,
    #[serde(default)]
    tags: BTreeMap<String, String>,
    #[serde(default)]
    project: String,
    /// The certificate with its whole chain, PEM; for SM2 that for signatures.
    certificate: Option<String>,
    /// Its private key, PEM.
    #[schema(value_type = Option<String>)]
    private_key: Option<Zeroizing<String>>,
    /// SM2: the certificate for encryption (UPLOAD-05).
    encryption_certificate: Option<String>,
    /// SM2: its private key; without it the one key is that of both (UPLOAD-07).
    #[schema(value_type = Option<String>)]
    encryption_private_key: Option<Zeroizing<String>>,
    /// What the files are called, if they are files (UPLOAD-08).
    certificate_file: Option<String>,
    key_file: Option<String>,
    encryption_certificate_file: Option<String>,
    encryption_key_file: Option<String>,
}

/// Uploads a certificate of whatever CA: it is in the list from then on, may be deployed and deleted, and is not revoked here.
#[utoipa::path(post, path = "/uploaded-certificates", tag = "certificates", request_body = UploadRequest, responses((status = 201, body = CertificateObject)))]
pub(super) async fn create(State(api): Shared, caller: Caller, Body(asked): Body<UploadRequest>) -> Answer<Response> {
    let customer = caller.acts_for(asked.customer.map(|text| id("customer", &text)).transpose()?)?;
    let standard = match asked.standard.as_deref() {
        Some("international") => Standard::International,
        Some("sm2") => Standard::Sm2,
        _ => {
            let told = "Choose the standard: \"international\" or \"sm2\", the Chinese one (UPLOAD-02).";
            return Err(Error::malformed(told).into());
        }
    };
    let upload = NewUpload {
        customer,
        standard,
        name: asked.name,
        tags: asked.tags,
        project: asked.project,
        signature: UploadedText {
            certificate: asked.certificate,
            private_key: asked.private_key,
            certificate_file: asked.certificate_file,
            key_file: asked.key_file,
        },
        encryption: UploadedText {
            certificate: asked.encryption_certificate,
            private_key: asked.encryption_private_key,
            certificate_file: asked.encryption_certificate_file,
            key_file: asked.encryption_key_file,
        },
    };
    let made = api.ra.upload_certificate(upload).await?;
    Ok((StatusCode::CREATED, Json(object(&api, made))).into_response())
}
