//! `Idempotency-Key`: a POST that is sent again with the same key is not carried out again but answered as before.

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use http_body_util::BodyExt as _;

use super::access::Caller;
use super::problem::Refusal;
use super::{Answer, Shared};
use crate::domain::{Error, Kind};
use crate::ra::{Claimed, Repeatable, StoredAnswer};

/// The header (draft-ietf-httpapi-idempotency-key-header).
const KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Tells that an answer is the one of an earlier request.
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// The longest answer that is kept.
const MOST_KEPT: usize = 65_536;

/// Answers a repetition as the first time, and lets everything else through.
pub(super) async fn repeatable(State(api): Shared, request: Request, next: Next) -> Response {
    match carry_out(&api.ra, request, next).await {
        Ok(answer) => answer,
        Err(refusal) => refusal.into_response(),
    }
}

async fn carry_out(ra: &crate::ra::Ra, request: Request, next: Next) -> Answer<Response> {
    let key = request.headers().get(KEY).cloned();
    let (Some(key), &Method::POST) = (key, request.method()) else { return Ok(next.run(request).await) };
    let key = readable(&key)?;
    let caller = request.extensions().get::<Caller>().map(|caller| caller.name.clone()).unwrap_or_default();
    let (parts, body) = request.into_parts();
    // The body is in memory already.
    let body = body.collect().await.map_err(|fault| Error::malformed("The body broke off.").because(fault))?.to_bytes();
    let asked = Repeatable {
        caller: &caller,
        key: &key,
        request: &[parts.method.as_str().as_bytes(), b" ", parts.uri.to_string().as_bytes(), b"\n", &body].concat(),
    };
    let claim = match ra.claim(&asked).await? {
        Claimed::Now(claim) => claim,
        Claimed::Before(answer) => return Ok(replayed(answer)),
    };
    let answer = next.run(Request::from_parts(parts, Body::from(body))).await;
    let (parts, body) = answer.into_parts();
    let body = body.collect().await.map_err(Error::internal)?.to_bytes();
    match parts.status {
        status if status.is_success() => ra.keep_answer(claim, stored(status, &parts.headers, &body)).await?,
        // A refusal changes nothing: the same key may be tried again.
        status if status.is_client_error() => ra.give_up_claim(claim).await?,
        // What a fault of the server left behind is not known: the claim stays, so that nothing is done twice.
        _ => {}
    }
    Ok(Response::from_parts(parts, Body::from(body)))
}

fn readable(key: &HeaderValue) -> Result<String, Error> {
    let key = key.to_str().unwrap_or_default().trim().trim_matches('"');
    if key.is_empty() || key.len() > 255 {
        return Err(Error::malformed("\"Idempotency-Key\" has 1 to 255 visible ASCII characters."));
    }
    Ok(key.to_owned())
}

/// The answer as it is kept. One that holds a secret is not: it was shown once.
fn stored(status: StatusCode, headers: &axum::http::HeaderMap, body: &Bytes) -> Option<StoredAnswer> {
    let secret = headers.get(header::CACHE_CONTROL).is_some_and(|value| value == "no-store");
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let body = String::from_utf8(body.to_vec()).ok().filter(|body| !secret && body.len() <= MOST_KEPT)?;
    Some(StoredAnswer {
        status: status.as_u16(),
        content_type: text(header::CONTENT_TYPE),
        location: text(header::LOCATION),
        body,
    })
}

fn replayed(answer: Option<StoredAnswer>) -> Response {
    let Some(answer) = answer else {
        let told = "This was carried out before. What it answered was shown once, since it holds a secret.";
        return Refusal(Error::new(Kind::Conflict, told)).into_response();
    };
    let mut response = Response::new(Body::from(answer.body));
    *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::OK);
    let headers = response.headers_mut();
    for (name, value) in [(header::CONTENT_TYPE, answer.content_type), (header::LOCATION, answer.location)] {
        if let Some(value) = value.and_then(|value| value.parse().ok()) {
            headers.insert(name, value);
        }
    }
    headers.insert(REPLAYED, HeaderValue::from_static("true"));
    response
}
