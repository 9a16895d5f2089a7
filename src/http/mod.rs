//! Listening: the accept loop, TLS, what a connection may take, and how it all stops. Knows nothing of what routes mean.

mod activity;
mod buffered;
mod connection;
pub mod event;
mod groups;
mod layers;
mod places;
mod refusal;
pub mod tls;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

pub use event::{Field, RequestEvent};
pub use layers::{Dress, Judgement, LargeBodies, Site, with_layers};
use places::Places;
pub use tls::ServerCertificate;

/// The address at the other end of the connection, as an extension of every request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer(pub SocketAddr);

/// What connections and requests may take of this server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Connections open at the same time. When there are so many, those that are quiet make room for further ones; while
    /// none is, these wait in the kernel's queue.
    pub max_connections: usize,
    /// Of these from one address, of IPv6 from one /48; 0: all. Further ones are closed.
    pub max_connections_per_address: usize,
    /// How long a connection must have been quiet before it makes room for another. One whose address has more connections than
    /// the newcomer's makes room at once when no other is quiet for so long.
    pub spare_after: Duration,
    /// Most time for a TLS handshake.
    pub tls_timeout: Duration,
    /// Most time from the start of a connection to the end of its first request's header, and from one request to the
    /// end of the next one's header in HTTP/1.1.
    pub header_timeout: Duration,
    /// Most time without any request before a connection is closed.
    pub idle_timeout: Duration,
    /// Most time for the body of a request; then 408.
    pub body_timeout: Duration,
    /// Most time that a client may take to receive an answer; then the connection is cut.
    pub answer_timeout: Duration,
    /// Most bytes of bodies that are on their way, of all requests together, a quarter of it from one address, of IPv6 from
    /// one /48; then 503.
    pub max_buffered_bytes: usize,
    /// Largest body of a request, in bytes, unless the site has more room for it; then 413.
    pub max_body_bytes: usize,
    /// How long requests may go on when the server stops; then their connections are cut.
    pub stop_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_connections: 5_000,
            max_connections_per_address: 500,
            spare_after: Duration::from_secs(1),
            tls_timeout: Duration::from_secs(5),
            header_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(60),
            body_timeout: Duration::from_secs(30),
            answer_timeout: Duration::from_secs(60),
            max_buffered_bytes: 64 << 20,
            max_body_bytes: 131_072,
            stop_timeout: Duration::from_secs(10),
        }
    }
}

/// Serves `site` on `listener` until `stop` turns true (or its sender is dropped): then nothing more is accepted, idle
/// connections are closed, and requests that have begun get `stop_timeout` to end.
///
/// With a certificate the listener speaks TLS 1.2 and 1.3, and HTTP/2 or HTTP/1.1 as ALPN decides; without one it
/// speaks both in the clear. Fails only when TLS cannot be set up.
pub async fn serve(
    listener: TcpListener,
    tls: Option<Arc<ServerCertificate>>,
    site: impl Into<Site>,
    limits: Limits,
    mut stop: watch::Receiver<bool>,
) -> io::Result<()> {
    let server = Arc::new(connection::Server::new(tls, site.into(), limits, stop.clone())?);
    let places = Places::new(&server.limits);
    let mut connections = JoinSet::new();
    // A connection that has no place yet. Further ones wait in the kernel's queue behind it.
    let mut waiting: Option<(TcpStream, SocketAddr, Instant)> = None;
    loop {
        let newcomer = waiting.as_ref().map(|(_, peer, since)| (peer.ip(), *since));
        tokio::select! {
            biased;
            () = stopped(&mut stop) => break,
            Some(_) = connections.join_next() => {}
            () = has_room(&places, newcomer), if newcomer.is_some() => {
                let Some((stream, peer, _)) = waiting.take() else { continue };
                let Some(seat) = places.sit(peer.ip()) else { continue };
                let server = Arc::clone(&server);
                connections.spawn(async move {
                    server.attend(stream, peer, &seat.activity).await;
                    drop(seat);
                });
            }
            accepted = accept(&listener), if newcomer.is_none() => {
                waiting = accepted.map(|(stream, peer)| (stream, peer, Instant::now()));
            }
        }
    }
    drop(waiting);
    drop(listener);
    let finished =
        timeout(server.limits.stop_timeout, async { while connections.join_next().await.is_some() {} }).await;
    if finished.is_err() {
        tracing::warn!(connections = connections.len(), "connections cut that did not end in time");
        connections.shutdown().await;
    }
    Ok(())
}

/// Waits until the signal says stop, or whoever could give it is gone.
pub async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

/// Waits until there is a place for whoever waits.
async fn has_room(places: &Places, newcomer: Option<(IpAddr, Instant)>) {
    if let Some((from, since)) = newcomer {
        places.room(from, since).await;
    }
}

/// Waits for a connection; none after an error, which is told and waited out.
async fn accept(listener: &TcpListener) -> Option<(TcpStream, SocketAddr)> {
    match listener.accept().await {
        Ok(accepted) => Some(accepted),
        Err(error) => {
            if !is_of_one_connection(&error) {
                // Out of file descriptors or memory: accepting at once again would only burn the processor.
                tracing::error!(%error, "cannot accept connections");
                sleep(Duration::from_millis(250)).await;
            }
            None
        }
    }
}

/// Whether an accept error speaks of the connection that was about to be accepted, not of the listener.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}
