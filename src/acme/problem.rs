//! Errors on the wire: the one place where an internal error becomes a problem document (RFC 8555 section 6.7).

use std::sync::Arc;

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::{Acme, header_value};
use crate::domain::error::{Help, Named};
use crate::domain::{AccountId, Error, Kind, Problem};
use crate::http::event::{Field, RequestEvent};

/// A handler's refusal. It travels as an extension of the answer to the layer that renders it.
pub struct Refusal(pub Error);

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self(error)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut answer = StatusCode::INTERNAL_SERVER_ERROR.into_response();
        answer.extensions_mut().insert(Arc::new(self.0));
        answer
    }
}

const URN: &str = "urn:ietf:params:acme:error:";

/// The type's name after the URN prefix, and the HTTP status.
const fn on_the_wire(kind: Kind) -> (&'static str, StatusCode) {
    use StatusCode as S;
    match kind {
        Kind::AccountDoesNotExist => ("accountDoesNotExist", S::BAD_REQUEST),
        Kind::AlreadyRevoked => ("alreadyRevoked", S::BAD_REQUEST),
        Kind::AlreadyReplaced => ("alreadyReplaced", S::CONFLICT),
        Kind::BadCsr => ("badCSR", S::BAD_REQUEST),
        Kind::BadNonce => ("badNonce", S::BAD_REQUEST),
        Kind::BadPublicKey => ("badPublicKey", S::BAD_REQUEST),
        Kind::BadRevocationReason => ("badRevocationReason", S::BAD_REQUEST),
        Kind::BadSignatureAlgorithm => ("badSignatureAlgorithm", S::BAD_REQUEST),
        Kind::Caa => ("caa", S::FORBIDDEN),
        Kind::Compound => ("compound", S::BAD_REQUEST),
        Kind::Connection => ("connection", S::BAD_REQUEST),
        Kind::Dns => ("dns", S::BAD_REQUEST),
        Kind::ExternalAccountRequired => ("externalAccountRequired", S::FORBIDDEN),
        Kind::IncorrectResponse => ("incorrectResponse", S::BAD_REQUEST),
        Kind::InvalidContact => ("invalidContact", S::BAD_REQUEST),
        Kind::InvalidProfile => ("invalidProfile", S::BAD_REQUEST),
        Kind::Malformed => ("malformed", S::BAD_REQUEST),
        Kind::OrderNotReady => ("orderNotReady", S::FORBIDDEN),
        Kind::RateLimited => ("rateLimited", S::TOO_MANY_REQUESTS),
        Kind::RejectedIdentifier => ("rejectedIdentifier", S::BAD_REQUEST),
        Kind::ServerInternal => ("serverInternal", S::INTERNAL_SERVER_ERROR),
        Kind::Tls => ("tls", S::BAD_REQUEST),
        Kind::Unauthorized => ("unauthorized", S::FORBIDDEN),
        Kind::UnsupportedContact => ("unsupportedContact", S::BAD_REQUEST),
        Kind::UnsupportedIdentifier => ("unsupportedIdentifier", S::BAD_REQUEST),
        Kind::UserActionRequired => ("userActionRequired", S::FORBIDDEN),
        Kind::AccountClosed => ("unauthorized", S::UNAUTHORIZED),
        Kind::Canceled => ("malformed", S::CONFLICT),
        Kind::Conflict => ("malformed", S::CONFLICT),
        Kind::MethodNotAllowed => ("malformed", S::METHOD_NOT_ALLOWED),
        Kind::NotFound => ("malformed", S::NOT_FOUND),
        Kind::PreconditionFailed => ("malformed", S::PRECONDITION_FAILED),
        Kind::Unprocessable => ("malformed", S::UNPROCESSABLE_ENTITY),
        Kind::PayloadTooLarge => ("malformed", S::PAYLOAD_TOO_LARGE),
        Kind::UnsupportedMediaType => ("malformed", S::UNSUPPORTED_MEDIA_TYPE),
        Kind::Unavailable => ("serverInternal", S::SERVICE_UNAVAILABLE),
    }
}

/// A problem document, or a problem inside an order, a challenge or another problem.
#[derive(Debug, Serialize)]
pub struct Document<'a> {
    r#type: String,
    detail: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    identifier: Option<&'a Named>,
    #[serde(skip_serializing_if = "Option::is_none")]
    instance: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    algorithms: Option<&'static [&'static str]>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    subproblems: Vec<Document<'a>>,
}

impl<'a> Document<'a> {
    /// A stored problem as it stands in an object: with the status it would have as an answer.
    pub fn embedded(problem: &'a Problem) -> Self {
        let (name, status) = on_the_wire(problem.kind);
        Self {
            r#type: format!("{URN}{name}"),
            detail: &problem.detail,
            status: Some(status.as_u16()),
            // RFC 8555 section 6.7.1: the top level has no identifier.
            identifier: None,
            instance: None,
            algorithms: None,
            subproblems: problem.subproblems.iter().map(Self::subproblem).collect(),
        }
    }

    fn subproblem(problem: &'a Problem) -> Self {
        Self { identifier: problem.identifier.as_ref(), status: None, ..Self::embedded(problem) }
    }
}

/// Renders the refusal that an answer carries, if it carries one.
pub(super) fn render(mut answer: Response, acme: &Acme) -> Response {
    let Some(error) = answer.extensions_mut().remove::<Arc<Error>>() else { return answer };
    let (_, status) = on_the_wire(error.kind());
    let terms = acme.ra.settings().terms_of_service.as_deref();
    let help = error.help_about().map(|about| (about, acme.links.help(about)));
    let terms = terms.filter(|_| error.kind() == Kind::UserActionRequired && help.is_none());
    // RFC 8555 section 7.3.3 and rules section 25.2: what a person must look at stands in "instance" too.
    let shown = help.as_ref().filter(|(about, _)| matches!(about, Help::Quote { .. } | Help::Unpause(_)));
    // Most clients show people the detail and nothing else.
    let detail = match shown {
        Some((Help::Unpause(_), url)) => format!("{} Unpause them at {url}", error.problem().detail),
        _ => error.problem().detail.clone(),
    };
    let document = Document {
        detail: &detail,
        instance: terms.or(shown.map(|(_, url)| url.as_str())),
        algorithms: (error.kind() == Kind::BadSignatureAlgorithm).then_some(super::jws::SUPPORTED_ALGORITHMS),
        ..Document::embedded(error.problem())
    };
    let body = serde_json::to_vec(&document).expect("a problem document is plain text and numbers");
    let allow = answer.headers_mut().remove(header::ALLOW);
    let mut rendered = (status, [(header::CONTENT_TYPE, "application/problem+json")], body).into_response();
    let headers = rendered.headers_mut();
    if let Some(allow) = allow {
        headers.insert(header::ALLOW, allow);
    }
    if let Some(wait) = error.retry_after_hint() {
        headers.insert(
            header::RETRY_AFTER,
            wait.as_millis().div_ceil(1000).max(1).to_string().parse().expect("a header may hold decimal digits"),
        );
    }
    if let Some(id) = error.conflicting_id().and_then(|id| id.parse::<AccountId>().ok()) {
        headers.insert(header::LOCATION, header_value(&acme.links.account(&id)));
    }
    if let Some(terms) = terms {
        headers.append(header::LINK, header_value(&format!("<{terms}>;rel=\"terms-of-service\"")));
    }
    if let Some((_, url)) = &help {
        headers.append(header::LINK, header_value(&format!("<{url}>;rel=\"help\"")));
    }
    rendered.extensions_mut().insert(told(&error));
    rendered
}

/// What the request's log event says of it: also the cause, which the client is not told.
pub(super) fn told(error: &Error) -> RequestEvent {
    let event = RequestEvent::default();
    event.note(Field::Error, on_the_wire(error.kind()).0);
    // A refused contact is personal data.
    if !matches!(error.kind(), Kind::InvalidContact | Kind::UnsupportedContact) {
        event.note(Field::Detail, &error.problem().detail);
    }
    if let Some(source) = std::error::Error::source(error) {
        event.note(Field::Source, source);
    }
    event
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subproblems_name_their_identifiers_and_the_top_level_none() {
        let name = |value: &str| Named { r#type: "dns".to_owned(), value: value.to_owned() };
        let one = Problem::new(Kind::RejectedIdentifier, "no").of(name("a.example"));
        let two = Problem::new(Kind::Malformed, "not a name").of(name("b..example"));
        let whole = Problem::merge(vec![one, two]).unwrap();
        let json = serde_json::to_value(Document::embedded(&whole)).unwrap();
        assert_eq!(json["type"], "urn:ietf:params:acme:error:compound");
        assert_eq!(json.get("identifier"), None);
        assert_eq!(json["subproblems"][0]["identifier"]["value"], "a.example");
        assert_eq!(json["subproblems"][1]["type"], "urn:ietf:params:acme:error:malformed");
    }
}
