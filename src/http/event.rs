//! The one log event of a request: opened when the request arrives, filled in on the way, written when it has ended.

use std::convert::Infallible;
use std::fmt::{self, Display};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{FromRequestParts, MatchedPath, Request};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, Method};
use axum::response::{IntoResponseParts, Response, ResponseParts};
use hyper::body::Body as _;
use parking_lot::Mutex;

use super::Peer;
use crate::domain::id::random_token;
use crate::telemetry;

/// The header that tells a client which log event is about its request.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What handlers can say about a request. Never keys, tokens, bodies or personal data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    /// Id of the ACME account.
    Account,
    /// Id of the customer.
    Customer,
    /// Id of the order.
    Order,
    /// Id of the authorization.
    Authorization,
    /// Serial of the certificate.
    Certificate,
    /// Id of the product.
    Product,
    /// Class of the error that the answer tells.
    Error,
    /// What the answer says about it.
    Detail,
    /// The error's cause, which the client is not told.
    Source,
}

/// A handle on the event of the request being served. Handlers extract it; whoever renders an error without having the
/// request puts one of its own into the answer's extensions (it is an `IntoResponseParts`), and it is merged.
#[derive(Clone, Default)]
pub struct RequestEvent(Arc<Mutex<Fields>>);

const FIELDS: usize = Field::Source as usize + 1;

type Fields = [Option<String>; FIELDS];

impl RequestEvent {
    /// Notes a value; the last one noted for a field stays.
    pub fn note(&self, field: Field, value: impl Display) {
        self.0.lock()[field as usize] = Some(value.to_string());
    }

    /// What is noted for a field.
    pub fn noted(&self, field: Field) -> Option<String> {
        self.0.lock()[field as usize].clone()
    }

    fn merge(&self, other: &RequestEvent) {
        if Arc::ptr_eq(&self.0, &other.0) {
            return;
        }
        let theirs = std::mem::take(&mut *other.0.lock());
        for (mine, theirs) in self.0.lock().iter_mut().zip(theirs) {
            *mine = theirs.or_else(|| mine.take());
        }
    }
}

impl fmt::Debug for RequestEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RequestEvent")
    }
}

impl<S: Sync> FromRequestParts<S> for RequestEvent {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get::<Self>().cloned().unwrap_or_default())
    }
}

impl IntoResponseParts for RequestEvent {
    type Error = Infallible;

    fn into_response_parts(self, mut parts: ResponseParts) -> Result<ResponseParts, Infallible> {
        parts.extensions_mut().insert(self);
        Ok(parts)
    }
}

/// What a route calls a segment of its path that is a secret, such as the one of a link that needs no password.
const SECRET: &str = "{token}";
/// No id and no name in a path is as long as a secret.
const LONGEST_SHOWN: usize = 64;

/// The path of a request as it may be told: that of a route with a secret is the route's. Where there is no route, long
/// segments are left out, because a link to a secret that was copied wrongly still holds it.
pub fn shown_path(request: &Request) -> String {
    let path = request.uri().path();
    match request.extensions().get::<MatchedPath>().map(MatchedPath::as_str) {
        Some(route) if route.contains(SECRET) => route.to_owned(),
        Some(_) => path.to_owned(),
        None => {
            let shown = |segment| if str::len(segment) > LONGEST_SHOWN { "[redacted]" } else { segment };
            path.split('/').map(shown).collect::<Vec<_>>().join("/")
        }
    }
}

/// The event while its request is served. Written when dropped, so that a request whose client went away is told too.
pub(super) struct Open {
    event: RequestEvent,
    id: String,
    method: Method,
    path: String,
    route: Option<MatchedPath>,
    peer: Option<Peer>,
    since: Instant,
    answered: Option<Answered>,
}

/// What is known once there is an answer.
struct Answered {
    status: u16,
    bytes: Option<u64>,
}

impl Open {
    /// Opens the event and leaves a handle on it in the request's extensions.
    pub(super) fn begin(request: &mut Request) -> Self {
        let event = RequestEvent::default();
        request.extensions_mut().insert(event.clone());
        Self {
            event,
            id: random_token(),
            method: request.method().clone(),
            path: shown_path(request),
            route: request.extensions().get::<MatchedPath>().cloned(),
            peer: request.extensions().get::<Peer>().copied(),
            since: Instant::now(),
            answered: None,
        }
    }

    /// The handle.
    pub(super) fn event(&self) -> &RequestEvent {
        &self.event
    }

    /// Notes the answer, names the request in it, and writes the event.
    pub(super) fn end(mut self, answer: &mut Response) {
        if let Some(noted) = answer.extensions_mut().remove::<RequestEvent>() {
            self.event.merge(&noted);
        }
        let id = HeaderValue::from_str(&self.id).expect("a random token is base64url, which a header may hold");
        answer.headers_mut().insert(REQUEST_ID, id);
        self.answered = Some(Answered { status: answer.status().as_u16(), bytes: answer.body().size_hint().exact() });
    }

    fn count(&self, status: u16, took: Duration) {
        // Raw paths and unknown methods would let strangers grow the list of label values.
        let route = self.route.as_ref().map_or("none", |route| route.as_str()).to_owned();
        let method = known_method(&self.method);
        metrics::counter!(
            telemetry::HTTP_REQUESTS, "method" => method, "route" => route.clone(), "status" => status.to_string()
        )
        .increment(1);
        metrics::histogram!(telemetry::HTTP_SECONDS, "method" => method, "route" => route).record(took.as_secs_f64());
    }
}

/// The status of a request whose client did not wait for the answer, as web servers write it in their logs.
const CLIENT_GONE: u16 = 499;

impl Drop for Open {
    fn drop(&mut self) {
        let took = self.since.elapsed();
        let (status, bytes) = self.answered.as_ref().map_or((CLIENT_GONE, None), |a| (a.status, a.bytes));
        self.count(status, took);
        let [account, customer, order, authorization, certificate, product, error, detail, source] =
            std::mem::take(&mut *self.event.0.lock());
        let duration_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        macro_rules! write {
            ($level:ident) => {
                tracing::$level!(
                    target: "chancery::request", request_id = %self.id, method = %self.method, path = %self.path,
                    route = self.route.as_ref().map(|route| route.as_str()), status, duration_ms, bytes,
                    peer = self.peer.map(|peer| tracing::field::display(peer.0)), account, customer, order,
                    authorization, certificate, product, error, detail, source, "request"
                )
            };
        }
        if status >= 500 { write!(error) } else { write!(info) }
    }
}

fn known_method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}
