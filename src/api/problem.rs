//! Errors of the REST API as problem documents (RFC 9457).

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::domain::{Error, Kind, Problem};
use crate::http::event::{Field, RequestEvent};

/// A handler's refusal.
pub(super) struct Refusal(pub(super) Error);

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self(error)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let Self(error) = self;
        let event = RequestEvent::default();
        event.note(Field::Detail, &error.problem().detail);
        if let Some(source) = std::error::Error::source(&error) {
            event.note(Field::Source, source);
        }
        let mut answer = document(status(error.kind()), error.problem());
        if let Some(wait) = error.retry_after_hint() {
            let seconds = wait.as_millis().div_ceil(1000).max(1);
            answer
                .headers_mut()
                .insert(header::RETRY_AFTER, seconds.to_string().parse().expect("a header may hold decimal digits"));
        }
        (event, answer).into_response()
    }
}

/// 401 with what to do about it.
pub(super) fn unauthenticated() -> Response {
    let detail = "Send a token that is in use as \"Authorization: Bearer ..\"; the operator's is in operator.token in the data directory.";
    let mut answer = document(StatusCode::UNAUTHORIZED, &Problem::new(Kind::Unauthorized, detail));
    answer.headers_mut().insert(header::WWW_AUTHENTICATE, header::HeaderValue::from_static("Bearer"));
    answer
}

fn document(status: StatusCode, problem: &Problem) -> Response {
    let mut body = json!({
        "type": "about:blank",
        "title": status.canonical_reason(),
        "status": status.as_u16(),
        "detail": problem.detail,
    });
    // One for each name that something is wrong with.
    if !problem.subproblems.is_empty() {
        body["subproblems"] = json!(problem.subproblems);
    }
    (status, [(header::CONTENT_TYPE, "application/problem+json")], body.to_string()).into_response()
}

fn status(kind: Kind) -> StatusCode {
    match kind {
        Kind::NotFound | Kind::AccountDoesNotExist => StatusCode::NOT_FOUND,
        Kind::Canceled | Kind::Conflict | Kind::AlreadyRevoked | Kind::AlreadyReplaced => StatusCode::CONFLICT,
        Kind::Unauthorized | Kind::AccountClosed | Kind::UserActionRequired => StatusCode::FORBIDDEN,
        Kind::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
        Kind::PayloadTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Kind::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        Kind::PreconditionFailed => StatusCode::PRECONDITION_FAILED,
        Kind::Unprocessable => StatusCode::UNPROCESSABLE_ENTITY,
        Kind::RateLimited => StatusCode::TOO_MANY_REQUESTS,
        Kind::ServerInternal => StatusCode::INTERNAL_SERVER_ERROR,
        Kind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::BAD_REQUEST,
    }
}
