//! A server on a free port with small limits, and raw clients for it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use chancery::http::{Limits, ServerCertificate, Site, serve};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Longer than anything here may take; a test that waits so long has failed.
pub const FAR_TOO_LONG: Duration = Duration::from_secs(20);

pub struct TestServer {
    pub address: SocketAddr,
    pub stop: watch::Sender<bool>,
    pub served: JoinHandle<std::io::Result<()>>,
}

/// Limits so small that a test can wait for them, except those that must not strike by chance on a busy machine.
pub fn patient() -> Limits {
    Limits {
        max_connections: 16,
        max_connections_per_address: 0,
        spare_after: FAR_TOO_LONG,
        answer_timeout: FAR_TOO_LONG,
        max_buffered_bytes: 1 << 20,
        tls_timeout: FAR_TOO_LONG,
        header_timeout: FAR_TOO_LONG,
        idle_timeout: FAR_TOO_LONG,
        body_timeout: FAR_TOO_LONG,
        max_body_bytes: 1000,
        stop_timeout: FAR_TOO_LONG,
    }
}

/// A time limit that strikes soon.
pub const SOON: Duration = Duration::from_millis(200);

impl TestServer {
    pub async fn start(site: impl Into<Site>, limits: Limits, tls: Option<Arc<ServerCertificate>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopping) = watch::channel(false);
        let served = tokio::spawn(serve(listener, tls, site.into(), limits, stopping));
        Self { address, stop, served }
    }

    pub async fn plain(router: Router, limits: Limits) -> Self {
        Self::start(router, limits, None).await
    }

    pub async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }
}

/// Sends bytes and reads until the other side closes.
pub async fn exchange(stream: &mut TcpStream, request: &[u8]) -> String {
    stream.write_all(request).await.unwrap();
    until_closed(stream).await
}

/// Everything that comes until the connection is closed or reset.
pub async fn until_closed(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut read = Vec::new();
    let ended = timeout(FAR_TOO_LONG, stream.read_to_end(&mut read)).await;
    assert!(ended.is_ok(), "the connection is still open, and said {:?}", String::from_utf8_lossy(&read));
    String::from_utf8_lossy(&read).into_owned()
}

/// Reads one answer whose body ends in `end`.
pub async fn answer_ending_in(stream: &mut TcpStream, end: &str) -> String {
    let mut read = Vec::new();
    while !read.ends_with(end.as_bytes()) {
        let mut buffer = [0; 1024];
        let count = timeout(FAR_TOO_LONG, stream.read(&mut buffer)).await.expect("an answer in time").unwrap();
        assert_ne!(count, 0, "closed after {:?}", String::from_utf8_lossy(&read));
        read.extend_from_slice(&buffer[..count]);
    }
    String::from_utf8(read).unwrap()
}

/// A self-signed certificate for `localhost`: the chain, its key, and the PEM text to trust.
pub fn self_signed() -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>, String) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
    (vec![made.cert.der().clone()], key, made.cert.pem())
}
