//! Listening: the accept loop, TLS, what a connection may take, and how it all stops. Knows nothing of what routes mean.

mod connection;
pub mod event;
mod layers;
mod refusal;
pub mod tls;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

pub use event::{Field, RequestEvent};
pub use layers::{Dress, Site, with_layers};
pub use tls::ServerCertificate;

/// The address at the other end of the connection, as an extension of every request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer(pub SocketAddr);

/// What connections and requests may take of this server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Connections open at the same time; further ones wait in the kernel's queue.
    pub max_connections: usize,
    /// Most time for a TLS handshake.
    pub tls_timeout: Duration,
    /// Most time from the start of a connection to the end of its first request's header, and from one request to the
    /// end of the next one's header in HTTP/1.1.
    pub header_timeout: Duration,
    /// Most time without any request before a connection is closed.
    pub idle_timeout: Duration,
    /// Most time for the body of a request; then 408.
    pub body_timeout: Duration,
    /// Largest body of a request, in bytes; then 413.
    pub max_body_bytes: usize,
    /// Most octets of the body of a request that uploads a file: one whose path ends in `/letter`.
    pub max_upload_bytes: usize,
    /// How long requests may go on when the server stops; then their connections are cut.
    pub stop_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_connections: 5_000,
            tls_timeout: Duration::from_secs(5),
            header_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(60),
            body_timeout: Duration::from_secs(30),
            max_body_bytes: 131_072,
            max_upload_bytes: 2_097_152,
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
    let slots = Arc::new(Semaphore::new(server.limits.max_connections));
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            () = stopped(&mut stop) => break,
            Some(_) = connections.join_next() => {}
            Some((stream, peer, slot)) = accept(&listener, &slots) => {
                let server = Arc::clone(&server);
                connections.spawn(async move {
                    server.attend(stream, peer).await;
                    drop(slot);
                });
            }
        }
    }
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

/// Waits for a free slot, then for a connection; none after an error, which is told and waited out.
async fn accept(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> Option<(tokio::net::TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let slot = Arc::clone(slots).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, peer)) => Some((stream, peer, slot)),
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
