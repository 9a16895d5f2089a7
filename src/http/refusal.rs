//! Answers that are given before or instead of a handler's: problem documents (RFC 9457).

use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use serde_json::json;

/// The namespace of ACME's error types (RFC 8555 section 6.7). Clients of the main listener look for it even in answers
/// that no handler gave.
const ACME_ERROR: &str = "urn:ietf:params:acme:error:";

/// 413.
pub(super) fn body_too_large(most: usize) -> Response {
    problem(
        StatusCode::PAYLOAD_TOO_LARGE,
        Some("malformed"),
        &format!("The body of the request is larger than {most} bytes, the most that this server reads."),
    )
}

/// 408.
pub(super) fn body_too_slow(within: Duration) -> Response {
    let mut answer = refuse(
        StatusCode::REQUEST_TIMEOUT,
        &format!("The body of the request did not arrive within {} ms.", within.as_millis()),
    );
    close(&mut answer);
    answer
}

/// 415: a body in a content coding, which nobody here unpacks.
pub(super) fn content_coding() -> Response {
    let mut answer = problem(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        Some("malformed"),
        "Send the body as it is, without Content-Encoding: this server unpacks nothing.",
    );
    // RFC 9110 section 12.5.3: what would be taken.
    answer.headers_mut().insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    close(&mut answer);
    answer
}

/// 503: there is no memory for another body now.
pub(super) fn no_room() -> Response {
    let mut answer = try_again("Too many bodies of requests are on their way at once; try again.");
    close(&mut answer);
    answer
}

/// 503: the connection has more requests under way than it may have, those included that its client gave up.
pub(super) fn too_many_under_way() -> Response {
    try_again("Too many requests of this connection are under way; try again.")
}

fn try_again(detail: &str) -> Response {
    let mut answer = problem(StatusCode::SERVICE_UNAVAILABLE, Some("serverInternal"), detail);
    answer.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    answer
}

/// 500 for what should never happen. Says nothing of it.
pub(super) fn internal() -> Response {
    problem(
        StatusCode::INTERNAL_SERVER_ERROR,
        Some("serverInternal"),
        "The server failed to carry out this request. It is safe to try again.",
    )
}

/// A refusal for which ACME has no type.
pub(super) fn refuse(status: StatusCode, detail: &str) -> Response {
    problem(status, None, detail)
}

fn problem(status: StatusCode, kind: Option<&str>, detail: &str) -> Response {
    let kind = kind.map_or_else(|| "about:blank".to_owned(), |kind| format!("{ACME_ERROR}{kind}"));
    let text = json!({ "type": kind, "status": status.as_u16(), "detail": detail }).to_string();
    let mut answer = Response::new(Body::from(text));
    *answer.status_mut() = status;
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    answer
}

/// The rest of the body is not read, so an HTTP/1.1 connection cannot be used again. HTTP/2 drops this header.
pub(super) fn close(answer: &mut Response) {
    answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
}
