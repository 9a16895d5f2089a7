//! The way from the test client to a server process: real HTTPS behind a router, and a watch over the requests on it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{Method, Response, header};
use http_body_util::BodyExt as _;
use parking_lot::Mutex;
use tokio::sync::Notify;

/// Far more than anything takes, even on a machine with other work to do: it tells a stuck server from a slow one.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The protocol that a client insists on.
#[derive(Debug, Clone, Copy)]
pub enum Version {
    Http1,
    Http2,
}

/// What a request is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum About {
    NewAccount,
    NewOrder,
    Challenge,
    Finalize,
    Certificate,
    Revocation,
    KeyChange,
    Account,
    /// A look at something, with POST-as-GET.
    Look,
    /// A directory or a nonce: nothing that anybody remembers.
    Passing,
}

impl About {
    fn of(request: &Request) -> Self {
        let parts: Vec<&str> = request.uri().path().split('/').skip(1).collect();
        match parts.as_slice() {
            ["acme", "new-account"] => Self::NewAccount,
            ["acme", "new-order"] => Self::NewOrder,
            ["acme", "challenge", ..] => Self::Challenge,
            ["acme", "order", _, "finalize"] => Self::Finalize,
            ["acme", "certificate", ..] => Self::Certificate,
            ["acme", "revoke-cert"] => Self::Revocation,
            ["acme", "key-change"] => Self::KeyChange,
            ["acme", "account", _] => Self::Account,
            _ if request.method() == Method::POST => Self::Look,
            _ => Self::Passing,
        }
    }
}

/// How a running server is reached.
#[derive(Clone)]
pub struct Wire {
    /// Its public URL.
    pub base: String,
    http1: reqwest::Client,
    http2: reqwest::Client,
}

impl Wire {
    /// To the server at this URL, trusting the root in this file and nothing else.
    pub fn new(base: &str, root: &Path) -> Self {
        // The only failure is that there is a provider already, which is the same.
        drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
        let anchors = reqwest::Certificate::from_pem_bundle(&std::fs::read(root).unwrap()).unwrap();
        let builder = || reqwest::Client::builder().timeout(PATIENCE).tls_certs_only(anchors.clone());
        let http1 = builder().http1_only().build().unwrap();
        let http2 = builder().http2_prior_knowledge().build().unwrap();
        Self { base: base.to_owned(), http1, http2 }
    }

    /// A router that sends everything to the server, so that the test client need not know of sockets. A request that
    /// gets no answer stays without one: whoever sent it waits until it is dropped.
    pub fn router(&self, version: Version, traffic: &Arc<Traffic>) -> Router {
        let (base, traffic) = (self.base.clone(), traffic.clone());
        let http = match version {
            Version::Http1 => self.http1.clone(),
            Version::Http2 => self.http2.clone(),
        };
        Router::new().fallback(move |request: Request| {
            let (http, base, traffic) = (http.clone(), base.clone(), traffic.clone());
            async move {
                let about = About::of(&request);
                traffic.change(|state| state.sent(about));
                let outcome = forward(&http, &base, request).await;
                traffic.change(|state| state.answered(about, outcome.as_ref().err()));
                match outcome {
                    Ok(answer) => answer,
                    Err(_) => std::future::pending().await,
                }
            }
        })
    }
}

async fn forward(http: &reqwest::Client, base: &str, request: Request) -> reqwest::Result<Response<Body>> {
    let (mut head, body) = request.into_parts();
    head.headers.remove(header::HOST);
    let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
    let body = body.collect().await.expect("a body in memory").to_bytes();
    let request = http.request(head.method, format!("{base}{path}")).headers(head.headers).body(body);
    let answer = request.send().await?;
    let (status, headers) = (answer.status(), answer.headers().clone());
    // With its whole body: half an answer is none.
    let mut response = Response::new(Body::from(answer.bytes().await?));
    (*response.status_mut(), *response.headers_mut()) = (status, headers);
    Ok(response)
}

/// The requests to one run of a server.
#[derive(Default)]
pub struct Traffic {
    state: Mutex<State>,
    news: Notify,
}

#[derive(Default)]
struct State {
    /// Whether answers may fail to come.
    killed: bool,
    sent: BTreeMap<About, usize>,
    answered: BTreeMap<About, usize>,
    waiting: BTreeMap<About, usize>,
    lost: usize,
}

impl State {
    fn sent(&mut self, about: About) {
        *self.sent.entry(about).or_default() += 1;
        *self.waiting.entry(about).or_default() += 1;
    }

    fn answered(&mut self, about: About, error: Option<&reqwest::Error>) {
        assert!(self.killed || error.is_none(), "no answer from a server that runs: {error:?}");
        *self.waiting.entry(about).or_default() -= 1;
        match error {
            Some(_) => self.lost += 1,
            None => *self.answered.entry(about).or_default() += 1,
        }
    }
}

impl Traffic {
    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock());
        self.news.notify_waiters();
    }

    async fn until(&self, holds: impl Fn(&State) -> bool) {
        loop {
            let news = self.news.notified();
            if holds(&self.state.lock()) {
                return;
            }
            news.await;
        }
    }

    /// Waits until so many requests of a kind were sent.
    pub async fn reaches(&self, about: About, count: usize) {
        self.until(|state| state.sent.get(&about).is_some_and(|sent| *sent >= count)).await;
    }

    /// Waits until so many requests of a kind were answered.
    pub async fn has_answered(&self, about: About, count: usize) {
        self.until(|state| state.answered.get(&about).is_some_and(|answered| *answered >= count)).await;
    }

    /// Waits until so many clients wait for an answer that never comes.
    pub async fn has_lost(&self, count: usize) {
        self.until(|state| state.lost >= count).await;
    }

    /// From now on answers may fail to come. What waits for its answer at this moment.
    pub fn breaks_off(&self) -> BTreeMap<About, usize> {
        let mut state = self.state.lock();
        state.killed = true;
        state.waiting.clone()
    }

    /// How many answers came to requests that were signed.
    pub fn answers(&self) -> usize {
        self.state.lock().answered.iter().filter(|(about, _)| **about != About::Passing).map(|(_, count)| count).sum()
    }
}
