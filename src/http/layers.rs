//! What every request passes before its handler: its event, the limits of its body, and a net under panics.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode, Version, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use bytes::BytesMut;
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Body as _;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::buffered::Buffered;
use super::event::{Field, Open};
use super::{Limits, Peer, refusal};

/// Most octets of a refused body that are read all the same, so that the refusal arrives.
const MOST_DISCARDED: usize = 16 << 20;

/// What the layers need to know of `Limits`.
#[derive(Clone)]
struct BodyLimits {
    most: usize,
    most_uploaded: usize,
    within: Duration,
    buffered: Arc<Buffered>,
}

/// What a connection may have under way, as an extension of its requests: also what its client has given up.
#[derive(Clone)]
pub(super) struct UnderWay(pub(super) Arc<Semaphore>);

/// Finishes an answer that no handler gave to a request with this method and path, as the routes finish their own.
pub type Dress = Arc<dyn Fn(&Method, &str, Response) -> Response + Send + Sync>;

/// What a listener serves.
#[derive(Clone)]
pub struct Site {
    /// The routes.
    pub router: Router,
    /// What finishes the answers that the layers give in their place; none leaves them as they are.
    pub dress: Option<Dress>,
}

impl From<Router> for Site {
    fn from(router: Router) -> Self {
        Self { router, dress: None }
    }
}

/// Puts the layers around every route: one event and one id for each request, bodies read whole within their limits
/// (413, 408), and a panic turned into a 500. Routes are known here, so that metrics can name them.
pub fn with_layers(site: impl Into<Site>, limits: &Limits) -> Router {
    let Site { router, dress } = site.into();
    let body = BodyLimits {
        most: limits.max_body_bytes,
        most_uploaded: limits.max_upload_bytes,
        within: limits.body_timeout,
        buffered: Buffered::new(limits.max_buffered_bytes),
    };
    router.layer(from_fn_with_state((body, dress), attend))
}

async fn attend(
    State((limits, dress)): State<(BodyLimits, Option<Dress>)>,
    mut request: Request,
    next: Next,
) -> Response {
    let open = Open::begin(&mut request);
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let most = if path.ends_with("/letter") { limits.most_uploaded } else { limits.most };
    let limits = BodyLimits { most, ..limits };
    let dressed = |answer: Response| match &dress {
        Some(dress) => dress(&method, &path, answer),
        None => answer,
    };
    let under_way = request.extensions().get::<UnderWay>().cloned();
    let begun = match prepared(request, limits).await {
        Ok(request) => match under_way.map(|UnderWay(places)| places.try_acquire_owned()).transpose() {
            Ok(place) => Ok((request, place)),
            Err(_) => Err(refusal::too_many_under_way()),
        },
        Err(refused) => Err(refused),
    };
    let mut answer = match begun {
        Ok((request, place)) => {
            let work = async move {
                let answer = next.run(request).await;
                drop(place);
                answer
            };
            carried_out(work).await.unwrap_or_else(|panic| {
                open.event().note(Field::Error, "Panic");
                open.event().note(Field::Source, panic);
                dressed(refusal::internal())
            })
        }
        Err(refused) => dressed(refused),
    };
    open.end(&mut answer);
    answer
}

/// The request as handlers get it.
async fn prepared(request: Request, limits: BodyLimits) -> Result<Request, Response> {
    // What is not unpacked can't grow: no resource takes bodies in any coding (RFC 9110 section 15.5.16).
    let mut codings = request.headers().get_all(header::CONTENT_ENCODING).iter();
    if codings.any(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity")) {
        return Err(refusal::content_coding());
    }
    with_whole_body(request, limits).await
}

/// Why a body is not taken.
enum Unread {
    TooLarge,
    BrokenOff,
    /// Too much is on its way already.
    NoRoom,
}

/// The request with its body in memory. Handlers then never wait for a slow client while they hold something.
async fn with_whole_body(request: Request, limits: BodyLimits) -> Result<Request, Response> {
    if request.body().is_end_stream() {
        return Ok(request);
    }
    let from = request.extensions().get::<Peer>().map(|peer| peer.0.ip());
    let (parts, mut body) = request.into_parts();
    if body.size_hint().lower() > limits.most as u64 {
        return Err(too_large(parts.version, body, limits).await);
    }
    match timeout(limits.within, whole(&mut body, &limits, from)).await {
        Ok(Ok(bytes)) => Ok(Request::from_parts(parts, Body::from(bytes))),
        Ok(Err(Unread::TooLarge)) => Err(too_large(parts.version, body, limits).await),
        Ok(Err(Unread::BrokenOff)) => {
            Err(refusal::refuse(StatusCode::BAD_REQUEST, "The body of the request broke off."))
        }
        Ok(Err(Unread::NoRoom)) => Err(refusal::no_room()),
        Err(_) => Err(refusal::body_too_slow(limits.within)),
    }
}

/// Reads a body to its end. What has come counts for its address until all is there.
async fn whole(body: &mut Body, limits: &BodyLimits, from: Option<IpAddr>) -> Result<Bytes, Unread> {
    let mut held = limits.buffered.begin(from);
    let mut whole = BytesMut::new();
    while let Some(frame) = body.frame().await {
        // Trailers say nothing that anybody asks for.
        let Ok(part) = frame.map_err(|_| Unread::BrokenOff)?.into_data() else { continue };
        if whole.len() + part.len() > limits.most {
            return Err(Unread::TooLarge);
        }
        if !held.grow(part.len()) {
            return Err(Unread::NoRoom);
        }
        whole.extend_from_slice(&part);
    }
    Ok(whole.freeze())
}

/// Answers 413. In HTTP/2 a stream whose body is let go is reset, and the client would see that instead of the answer; so the
/// rest is read and thrown away, within bounds. HTTP/1.1 answers at once and closes.
async fn too_large(version: Version, mut body: Body, limits: BodyLimits) -> Response {
    if version == Version::HTTP_2 {
        let rest = Limited::new(&mut body, MOST_DISCARDED);
        let thrown_away = async {
            let mut rest = std::pin::pin!(rest);
            while let Some(Ok(_)) = rest.frame().await {}
        };
        // Whether it ended or was cut off, the answer is the same.
        let _ = timeout(limits.within, thrown_away).await;
    }
    refusal::body_too_large(limits.most)
}

/// Serves the request in a task of its own: what has begun is carried out even if the client hangs up, so no use case
/// stops between its commit and what follows it. A panic is the error: what it said.
async fn carried_out(work: impl Future<Output = Response> + Send + 'static) -> Result<Response, String> {
    match tokio::spawn(work).await {
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
