//! One connection: handshake, choice of protocol, and a watch that closes it when it keeps silent.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use axum::Router;
use axum::body::Body;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tower::ServiceExt as _;

use super::{Limits, Peer, ServerCertificate, Site, layers, stopped, tls};
use crate::telemetry;

/// Most bytes of a request's header, all lines together.
const MAX_HEADER_BYTES: usize = 16_384;
/// Most header lines of a request.
const MAX_HEADERS: usize = 64;
/// Most requests that one HTTP/2 connection may have running.
const MAX_STREAMS: u32 = 128;

/// What all connections of a listener share.
pub(super) struct Server {
    pub(super) limits: Limits,
    acceptor: Option<TlsAcceptor>,
    router: Router,
    builder: auto::Builder<TokioExecutor>,
    stop: watch::Receiver<bool>,
}

/// Which protocol a connection speaks.
enum Protocol {
    Http1,
    Http2,
    /// Seen from the first bytes, for want of ALPN.
    AsItBegins,
}

/// When a connection was last of use.
struct Activity {
    running: AtomicUsize,
    asked: AtomicBool,
    last: Mutex<Instant>,
}

/// A request that is being answered.
struct Running(Arc<Activity>);

impl Server {
    pub(super) fn new(
        certificate: Option<Arc<ServerCertificate>>,
        site: Site,
        limits: Limits,
        stop: watch::Receiver<bool>,
    ) -> io::Result<Self> {
        let acceptor = certificate.map(tls::acceptor).transpose()?;
        let router = layers::with_layers(site, &limits);
        Ok(Self { acceptor, router, builder: builder(&limits), stop, limits })
    }

    /// Serves one connection to its end.
    pub(super) async fn attend(&self, stream: TcpStream, peer: SocketAddr) {
        let open = metrics::gauge!(telemetry::HTTP_CONNECTIONS);
        open.increment(1.0);
        // Answers are written whole, so waiting for more to send only costs time. Failing to say so costs nothing else.
        let _ = stream.set_nodelay(true);
        match &self.acceptor {
            None => self.speak(stream, Protocol::AsItBegins, peer).await,
            Some(acceptor) => {
                if let Some(stream) = self.shake_hands(acceptor, stream, peer).await {
                    let protocol = match stream.get_ref().1.alpn_protocol() {
                        Some(b"h2") => Protocol::Http2,
                        _ => Protocol::Http1,
                    };
                    self.speak(stream, protocol, peer).await;
                }
            }
        }
        open.decrement(1.0);
    }

    /// The TLS handshake; none when it fails, takes too long, or the server stops.
    async fn shake_hands(
        &self,
        acceptor: &TlsAcceptor,
        stream: TcpStream,
        peer: SocketAddr,
    ) -> Option<TlsStream<TcpStream>> {
        let mut stop = self.stop.clone();
        let handshake = timeout(self.limits.tls_timeout, acceptor.accept(stream));
        let outcome = tokio::select! {
            () = stopped(&mut stop) => return None,
            outcome = handshake => outcome,
        };
        match outcome {
            Ok(Ok(stream)) => return Some(stream),
            Ok(Err(error)) => failed("tls", peer, &error),
            Err(elapsed) => failed("tls", peer, &elapsed),
        }
        None
    }

    async fn speak(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        protocol: Protocol,
        peer: SocketAddr,
    ) {
        let builder = match protocol {
            Protocol::Http1 => self.builder.clone().http1_only(),
            Protocol::Http2 => self.builder.clone().http2_only(),
            Protocol::AsItBegins => self.builder.clone(),
        };
        let activity = Arc::new(Activity::begin());
        let service = service_fn(|mut request: hyper::Request<Incoming>| {
            let running = Running::begin(&activity);
            request.extensions_mut().insert(Peer(peer));
            let answer = self.router.clone().oneshot(request.map(Body::new));
            async move {
                let answer = answer.await;
                drop(running);
                answer
            }
        });
        let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
        let mut stop = self.stop.clone();
        let mut closing = false;
        loop {
            tokio::select! {
                biased;
                ended = connection.as_mut() => {
                    if let Err(error) = ended {
                        failed("http", peer, &*error);
                    }
                    return;
                }
                () = stopped(&mut stop), if !closing => {
                    closing = true;
                    connection.as_mut().graceful_shutdown();
                }
                () = activity.silence(&self.limits) => {
                    // A connection that never asked anything, or was told to go and stays, is cut.
                    if closing || !activity.asked.load(Ordering::Relaxed) {
                        return;
                    }
                    closing = true;
                    activity.touch();
                    connection.as_mut().graceful_shutdown();
                }
            }
        }
    }
}

/// How both protocols are spoken. The timers are needed for the time limits to exist at all.
fn builder(limits: &Limits) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout)
        .max_buf_size(MAX_HEADER_BYTES)
        .max_headers(MAX_HEADERS);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(u32::try_from(MAX_HEADER_BYTES).unwrap_or(u32::MAX))
        // A peer that vanished without a word is noticed by its missing PING answers.
        .keep_alive_interval(limits.header_timeout)
        .keep_alive_timeout(limits.tls_timeout);
    builder
}

/// Peers that break off are everyday business, so this is no more than a debugging aid and a number.
fn failed(stage: &'static str, peer: SocketAddr, error: &(dyn std::error::Error + 'static)) {
    metrics::counter!(telemetry::HTTP_CONNECTION_FAILURES, "stage" => stage).increment(1);
    tracing::debug!(stage, %peer, error, "connection failed");
}

impl Activity {
    fn begin() -> Self {
        Self { running: AtomicUsize::new(0), asked: AtomicBool::new(false), last: Mutex::new(Instant::now()) }
    }

    fn touch(&self) {
        *self.last.lock() = Instant::now();
    }

    /// Ends when the connection has been of no use for too long.
    async fn silence(&self, limits: &Limits) {
        loop {
            let now = Instant::now();
            let patience = if self.asked.load(Ordering::Relaxed) { limits.idle_timeout } else { limits.header_timeout };
            let until = match self.running.load(Ordering::Relaxed) {
                0 => *self.last.lock() + patience,
                _ => now + patience,
            };
            if until <= now {
                return;
            }
            sleep_until(until).await;
        }
    }
}

impl Running {
    fn begin(activity: &Arc<Activity>) -> Self {
        activity.asked.store(true, Ordering::Relaxed);
        activity.running.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(activity))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.touch();
        self.0.running.fetch_sub(1, Ordering::Relaxed);
    }
}
