//! What relying parties fetch over plain HTTP: issuer certificates, revocation lists (RFC 5280 section 4.2.2.1), the status of
//! certificates.

mod crl;
mod ocsp;

use std::pin::Pin;
use std::sync::Arc;

use aws_lc_rs::digest;
use axum::Router;
use axum::extract::{Path, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::domain::Result;
use crate::ra::{CurrentList, StatusAnswer};

/// A list on its way.
pub type FutureCrl = Pin<Box<dyn Future<Output = Result<CurrentList>> + Send>>;

/// An answer about the status of certificates on its way.
pub type FutureStatus = Pin<Box<dyn Future<Output = StatusAnswer> + Send>>;

/// Finds a certificate by the name of its subject.
pub type FindCertificate = dyn Fn(&str) -> Option<Vec<u8>> + Send + Sync;

/// Finds the list of an issuer and shard.
pub type FindCrl = dyn Fn(String, u16) -> FutureCrl + Send + Sync;

/// Answers a request for the status of certificates.
pub type FindStatus = dyn Fn(Vec<u8>) -> FutureStatus + Send + Sync;

/// Where certificates and lists come from.
pub struct Source {
    /// The certificate of an intermediate or root by its name, DER.
    pub issuer_certificate: Box<FindCertificate>,
    /// The current CRL of an issuer and shard; `notFound` where there is none.
    pub crl: Box<FindCrl>,
    /// The answer to an OCSPRequest, DER; also to what is none.
    pub ocsp: Box<FindStatus>,
}

/// The routes.
pub fn router(source: Arc<Source>) -> Router {
    let status = || get(ocsp::get).post(ocsp::post);
    Router::new()
        .route("/issuer/{file}", get(issuer))
        .route("/crl/{issuer}/{file}", get(crl::crl))
        .route("/ocsp", status())
        .route("/ocsp/", status())
        .route("/ocsp/{*request}", get(ocsp::get))
        .with_state(source)
}

async fn issuer(State(source): State<Arc<Source>>, Path(file): Path<String>, headers: HeaderMap) -> Response {
    let der = file.strip_suffix(".cer").and_then(|name| (source.issuer_certificate)(name));
    match der {
        Some(der) => cacheable(der, "application/pkix-cert", "public, max-age=86400", &headers),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

/// RFC 2585 section 4 gives the media types; the entity tag saves sending a long list again.
fn cacheable(der: Vec<u8>, media_type: &'static str, caching: &'static str, headers: &HeaderMap) -> Response {
    let tag = format!("\"{}\"", URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, &der)));
    let fresh = is_known(&tag, headers);
    let caching = [(ETAG, tag.as_str()), (CACHE_CONTROL, caching)];
    match fresh {
        true => (StatusCode::NOT_MODIFIED, caching).into_response(),
        false => (caching, [(CONTENT_TYPE, media_type)], der).into_response(),
    }
}

/// Whether the client has what that entity tag stands for (RFC 9110 section 13.1.2).
fn is_known(tag: &str, headers: &HeaderMap) -> bool {
    let known = headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    known.flat_map(|list| list.split(',')).any(|known| {
        let known = known.trim();
        known == "*" || known.trim_start_matches("W/") == tag
    })
}
