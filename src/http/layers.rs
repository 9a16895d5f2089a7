//! What every request passes before its handler: its event, the limits of its body, and a net under panics.

use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Body as _;
use tokio::time::timeout;

use super::event::{Field, Open};
use super::{Limits, refusal};

/// What the layers need to know of `Limits`.
#[derive(Debug, Clone, Copy)]
struct BodyLimits {
    most: usize,
    within: Duration,
}

/// Puts the layers around every route: one event and one id for each request, bodies read whole within their limits
/// (413, 408), and a panic turned into a 500. Routes are known here, so that metrics can name them.
pub fn with_layers(router: Router, limits: &Limits) -> Router {
    let body = BodyLimits { most: limits.max_body_bytes, within: limits.body_timeout };
    router.layer(from_fn_with_state(body, attend))
}

async fn attend(State(limits): State<BodyLimits>, mut request: Request, next: Next) -> Response {
    let open = Open::begin(&mut request);
    let mut answer = match with_whole_body(request, limits).await {
        Ok(request) => carried_out(request, next).await.unwrap_or_else(|panic| {
            open.event().note(Field::Error, "Panic");
            open.event().note(Field::Source, panic);
            refusal::internal()
        }),
        Err(refused) => refused,
    };
    open.end(&mut answer);
    answer
}

/// The request with its body in memory. Handlers then never wait for a slow client while they hold something.
async fn with_whole_body(request: Request, limits: BodyLimits) -> Result<Request, Response> {
    if request.body().is_end_stream() {
        return Ok(request);
    }
    if request.body().size_hint().lower() > limits.most as u64 {
        return Err(refusal::body_too_large(limits.most));
    }
    let (parts, body) = request.into_parts();
    let bytes: Bytes = match timeout(limits.within, Limited::new(body, limits.most).collect()).await {
        Ok(Ok(whole)) => whole.to_bytes(),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => {
            return Err(refusal::body_too_large(limits.most));
        }
        Ok(Err(_)) => return Err(refusal::refuse(StatusCode::BAD_REQUEST, "The body of the request broke off.")),
        Err(_) => return Err(refusal::body_too_slow(limits.within)),
    };
    Ok(Request::from_parts(parts, Body::from(bytes)))
}

/// Serves the request in a task of its own: what has begun is carried out even if the client hangs up, so no use case
/// stops between its commit and what follows it. A panic is the error: what it said.
async fn carried_out(request: Request, next: Next) -> Result<Response, String> {
    match tokio::spawn(next.run(request)).await {
        Ok(answer) => Ok(answer),
        Err(ended) => {
            Err(ended.try_into_panic().map_or_else(|_| "the request was abandoned".to_owned(), |p| said(&*p)))
        }
    }
}

fn said(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "a panic without a message".to_owned())
}
