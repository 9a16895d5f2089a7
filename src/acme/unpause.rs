//! The page behind the link in a refusal of paused names: for the person who looks after a client, without any script.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::Acme;
use super::signed::Path;
use crate::domain::{Error, Kind};

type Shared = State<Arc<Acme>>;

/// What the page may load and where its form may go: nothing, and here.
const POLICY: HeaderValue =
    HeaderValue::from_static("default-src 'none'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'");

/// Shows which names are paused, with a button.
pub async fn show(State(acme): Shared, Path(token): Path<String>) -> Response {
    match acme.ra.behind_unpause_link(&token).await {
        Ok(paused) if paused.names.is_empty() => page(
            StatusCode::OK,
            &format!("<p>No names are paused for account {}.</p>", escaped(paused.account.as_str())),
        ),
        Ok(paused) => {
            let names: String = paused.names.iter().map(|name| format!("<li>{}</li>", escaped(name))).collect();
            let body = format!(
                "<p>Validations of these names have been failing all the time, so orders of account {} for them are \
                 refused. Put right what fails, or take the names out of your client's configuration; then unpause \
                 them.</p><ul>{names}</ul><form method=\"post\"><button>Unpause all names of this account</button></form>",
                escaped(paused.account.as_str())
            );
            page(StatusCode::OK, &body)
        }
        Err(error) => refused(error),
    }
}

/// Unpauses all names of the account.
pub async fn submit(State(acme): Shared, Path(token): Path<String>) -> Response {
    match acme.ra.follow_unpause_link(&token).await {
        Ok(count) => {
            page(StatusCode::OK, &format!("<p>Unpaused: {count} names. Your client may order them again.</p>"))
        }
        Err(error) => refused(error),
    }
}

fn refused(error: Error) -> Response {
    let status = match error.kind() {
        Kind::NotFound => StatusCode::NOT_FOUND,
        Kind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    };
    let mut answer = page(status, &format!("<p>{}</p>", escaped(&error.problem().detail)));
    if status == StatusCode::INTERNAL_SERVER_ERROR {
        answer.extensions_mut().insert(super::problem::told(&error));
    }
    answer
}

fn page(status: StatusCode, body: &str) -> Response {
    let text = format!(
        "<!DOCTYPE html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>Paused names</title></head>\
         <body><h1>Paused names</h1>{body}</body></html>"
    );
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        (HeaderName::from_static("x-content-type-options"), HeaderValue::from_static("nosniff")),
    ];
    (status, headers, text).into_response()
}

fn escaped(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut out, c| {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
        out
    })
}
