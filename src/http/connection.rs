//! One connection: handshake, choice of protocol, and a watch that closes it when it keeps silent.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tower::ServiceExt as _;

use super::activity::{Activity, Silence};
use super::layers::UnderWay;
use super::{Limits, Peer, ServerCertificate, Site, layers, stopped, tls};
use crate::telemetry;

/// Most bytes of a request's header, all lines together.
const MAX_HEADER_BYTES: usize = 16_384;
/// Most header lines of a request.
const MAX_HEADERS: usize = 64;
/// Most requests that one HTTP/2 connection may have running.
const MAX_STREAMS: u32 = 128;
/// Octets of bodies that one HTTP/2 stream, and a connection with all its streams, may send ahead of being read.
const STREAM_WINDOW: u32 = 65_536;
const CONNECTION_WINDOW: u32 = 262_144;
/// Octets of an answer that HTTP/2 keeps ahead of what the client has taken.
const MAX_SEND_BUFFER: usize = 32_768;
/// Streams that a client may open and reset before they are looked at; one more ends the connection (CVE-2023-44487).
const MAX_PENDING_RESETS: usize = 20;
/// The same for streams that this server resets because of the client's faults.
const MAX_FAULTY_STREAMS: usize = 128;
/// Octets of an answer that TLS keeps, encrypted, for a client that does not take them.
const MAX_TLS_BUFFER: usize = 16_384;
/// How long a connection that must make room for another may take to end in good order.
const LEAVE_WITHIN: Duration = Duration::from_millis(250);

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
    pub(super) async fn attend(&self, stream: TcpStream, peer: SocketAddr, activity: &Arc<Activity>) {
        let open = metrics::gauge!(telemetry::HTTP_CONNECTIONS);
        open.increment(1.0);
        // Answers are written whole, so waiting for more to send only costs time. Failing to say so costs nothing else.
        let _ = stream.set_nodelay(true);
        match &self.acceptor {
            None => self.speak(stream, Protocol::AsItBegins, peer, activity).await,
            Some(acceptor) => {
                if let Some(stream) = self.shake_hands(acceptor, stream, peer, activity).await {
                    activity.touch();
                    let protocol = match stream.get_ref().1.alpn_protocol() {
                        Some(b"h2") => Protocol::Http2,
                        _ => Protocol::Http1,
                    };
                    self.speak(stream, protocol, peer, activity).await;
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
        activity: &Activity,
    ) -> Option<TlsStream<TcpStream>> {
        let mut stop = self.stop.clone();
        let bounded = |tls: &mut rustls::ServerConnection| tls.set_buffer_limit(Some(MAX_TLS_BUFFER));
        let handshake = timeout(self.limits.tls_timeout, acceptor.accept_with(stream, bounded));
        let outcome = tokio::select! {
            () = stopped(&mut stop) => return None,
            () = activity.told_to_leave() => return None,
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
        activity: &Arc<Activity>,
    ) {
        let builder = match protocol {
            Protocol::Http1 => self.builder.clone().http1_only(),
            Protocol::Http2 => self.builder.clone().http2_only(),
            Protocol::AsItBegins => self.builder.clone(),
        };
        let places = Arc::new(Semaphore::new(MAX_STREAMS as usize));
        let under_way = UnderWay { places, activity: activity.clone() };
        let service = service_fn(|mut request: hyper::Request<Incoming>| {
            request.extensions_mut().insert(Peer(peer));
            request.extensions_mut().insert(under_way.clone());
            let answer = self.router.clone().oneshot(request.map(Body::new));
            let activity = activity.clone();
            async move { answer.await.map(|answer| answer.map(|body| activity.sending(body))) }
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
                () = activity.told_to_leave() => {
                    // Its request came whole in the meantime.
                    if activity.stays() {
                        continue;
                    }
                    connection.as_mut().graceful_shutdown();
                    // Whether it ended in good order or is cut, its place is free. Nobody waits for what is still coming.
                    let patience = if activity.is_coming() { Duration::ZERO } else { LEAVE_WITHIN };
                    let _ = timeout(patience, connection.as_mut()).await;
                    return;
                }
                silence = activity.silence(&self.limits) => {
                    // A connection that never asked anything, takes no answers, or was told to go and stays, is cut.
                    if closing || silence == Silence::Stuck || !activity.has_asked() {
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
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(MAX_SEND_BUFFER)
        .max_pending_accept_reset_streams(MAX_PENDING_RESETS)
        .max_local_error_reset_streams(MAX_FAULTY_STREAMS)
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
