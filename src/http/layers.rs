//! What every request passes before its handler: its event, the limits of its body, and a net under panics.

use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{Method, StatusCode, Version, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use bytes::BytesMut;
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Body as _;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::activity::Activity;
use super::buffered::{Buffered, Held};
use super::event::{Field, Open};
use super::{Limits, Peer, refusal};

/// Most octets of a refused body that are read all the same, so that the refusal arrives.
const MOST_DISCARDED: usize = 16 << 20;

/// What the layers need to know of `Limits`.
#[derive(Clone)]
struct BodyLimits {
    most: usize,
    large: Option<LargeBodies>,
    within: Duration,
    buffered: Arc<Buffered>,
}

/// What a connection has under way, as an extension of its requests.
#[derive(Clone)]
pub(super) struct UnderWay {
    /// What it may have under way: also what its client has given up.
    pub(super) places: Arc<Semaphore>,
    pub(super) activity: Arc<Activity>,
}

/// Finishes an answer that no handler gave to a request with this method and path, as the routes finish their own.
pub type Dress = Arc<dyn Fn(&Method, &str, Response) -> Response + Send + Sync>;

/// Says which requests may have larger bodies than all others: how large, in octets, or the refusal of a caller who may not.
/// None for all others. It is asked when a body turns out to be longer than the cap of all, and before more of it is read.
pub type LargeBodies = Arc<dyn Fn(&Parts) -> Option<Judgement> + Send + Sync>;

/// What comes of it when somebody asks for a larger body: its most octets, or a refusal.
pub type Judgement = Pin<Box<dyn Future<Output = Result<usize, Response>> + Send>>;

/// What a listener serves.
#[derive(Clone)]
pub struct Site {
    /// The routes.
    pub router: Router,
    /// What finishes the answers that the layers give in their place; none leaves them as they are.
    pub dress: Option<Dress>,
    /// Which bodies may be larger than others; none: none.
    pub large_bodies: Option<LargeBodies>,
}

impl From<Router> for Site {
    fn from(router: Router) -> Self {
        Self { router, dress: None, large_bodies: None }
    }
}

/// Puts the layers around every route: one event and one id for each request, bodies read whole within their limits
/// (413, 408), and a panic turned into a 500. Routes are known here, so that metrics can name them.
pub fn with_layers(site: impl Into<Site>, limits: &Limits) -> Router {
    let Site { router, dress, large_bodies } = site.into();
    let body = BodyLimits {
        most: limits.max_body_bytes,
        large: large_bodies,
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
    let dressed = |answer: Response| match &dress {
        Some(dress) => dress(&method, &path, answer),
        None => answer,
    };
    let under_way = request.extensions().get::<UnderWay>().cloned();
    let mut asking = under_way.as_ref().map(|connection| connection.activity.asking());
    let prepared = prepared(request, limits).await;
    if let Some(asking) = &mut asking {
        asking.whole();
    }
    let begun = match prepared {
        Ok(request) => match under_way.map(|connection| connection.places.try_acquire_owned()).transpose() {
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
    /// It has more than so many octets.
    TooLarge(usize),
    /// The caller may not send so much.
    Refused(Response),
    BrokenOff,
    /// Too much is on its way already.
    NoRoom,
}

/// The request with its body in memory. Handlers then never wait for a slow client while they hold something.
async fn with_whole_body(request: Request, limits: BodyLimits) -> Result<Request, Response> {
    if request.body().is_end_stream() {
        return Ok(request);
    }
    // A request that came over no connection is nobody's.
    let from = request.extensions().get::<Peer>().map_or(IpAddr::from([0; 4]), |peer| peer.0.ip());
    let (parts, body) = request.into_parts();
    let mut coming = Coming { body, read: BytesMut::new(), held: limits.buffered.begin(from) };
    match timeout(limits.within, whole(&parts, &mut coming, &limits)).await {
        Ok(Ok(())) => Ok(Request::from_parts(parts, Body::from(coming.read.freeze()))),
        Ok(Err(Unread::TooLarge(most))) => {
            Err(after_the_rest(coming, parts.version, limits.within, refusal::body_too_large(most)).await)
        }
        Ok(Err(Unread::Refused(answer))) => Err(after_the_rest(coming, parts.version, limits.within, answer).await),
        Ok(Err(Unread::BrokenOff)) => {
            Err(refusal::refuse(StatusCode::BAD_REQUEST, "The body of the request broke off."))
        }
        Ok(Err(Unread::NoRoom)) => Err(refusal::no_room()),
        Err(_) => Err(refusal::body_too_slow(limits.within)),
    }
}

/// Reads a body to its end.
async fn whole(parts: &Parts, coming: &mut Coming, limits: &BodyLimits) -> Result<(), Unread> {
    match coming.read_up_to(limits.most).await {
        Err(Unread::TooLarge(_)) => {}
        done => return done,
    }
    let larger = limits.large.as_ref().and_then(|large| large(parts)).ok_or(Unread::TooLarge(limits.most))?;
    coming.read_up_to(larger.await.map_err(Unread::Refused)?).await
}

/// A body that is on its way.
struct Coming {
    body: Body,
    read: BytesMut,
    /// What has come counts for its group of addresses until all is there.
    held: Held,
}

impl Coming {
    /// Reads on to the end, or until it is known that the body has more than so many octets.
    async fn read_up_to(&mut self, most: usize) -> Result<(), Unread> {
        if self.body.size_hint().lower().saturating_add(self.read.len() as u64) > most as u64 {
            return Err(Unread::TooLarge(most));
        }
        loop {
            let frame = tokio::select! {
                biased;
                () = self.held.given_up() => return Err(Unread::NoRoom),
                frame = self.body.frame() => frame,
            };
            let Some(frame) = frame else { return Ok(()) };
            // Trailers say nothing that anybody asks for.
            let Ok(part) = frame.map_err(|_| Unread::BrokenOff)?.into_data() else { continue };
            if !self.held.grow(part.len()) {
                return Err(Unread::NoRoom);
            }
            self.read.extend_from_slice(&part);
            if self.read.len() > most {
                return Err(Unread::TooLarge(most));
            }
        }
    }
}

/// The refusal of a body that is too large. In HTTP/2 a stream whose body is let go is reset, and the client would see that
/// instead of the answer; so the rest is read and thrown away, within bounds. HTTP/1.1 answers at once and closes.
async fn after_the_rest(coming: Coming, version: Version, within: Duration, mut answer: Response) -> Response {
    let Coming { mut body, read, held } = coming;
    drop((read, held));
    if version == Version::HTTP_2 {
        let rest = Limited::new(&mut body, MOST_DISCARDED);
        let thrown_away = async {
            let mut rest = std::pin::pin!(rest);
            while let Some(Ok(_)) = rest.frame().await {}
        };
        // Whether it ended or was cut off, the answer is the same.
        let _ = timeout(within, thrown_away).await;
    }
    refusal::close(&mut answer);
    answer
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
