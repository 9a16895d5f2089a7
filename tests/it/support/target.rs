//! What validations look at: a web server, plain or with TLS, and a tls-alpn-01 responder, on loopback.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use aws_lc_rs::digest;
use parking_lot::Mutex;
use rcgen::{CertificateParams, CustomExtension, KeyPair, SanType};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::{CertifiedKey, SigningKey};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

/// A web server that serves `/.well-known/acme-challenge/{token}`; it stops when this is dropped.
pub struct Target {
    addr: SocketAddr,
    site: Arc<Mutex<Site>>,
    certificate: Arc<OneForAll>,
    _tasks: JoinSet<()>,
}

/// The certificate that a [`Target`] with TLS shows to everybody; none: it refuses every name with an alert.
#[derive(Debug, Default)]
struct OneForAll(Mutex<Option<Arc<CertifiedKey>>>);

impl ResolvesServerCert for OneForAll {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.lock().clone()
    }
}

/// A request that a [`Target`] has seen.
#[derive(Debug, Clone)]
pub struct Request {
    /// The method and the target, as in `GET /path`.
    pub line: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// The server's own address that was dialled.
    pub dialled: IpAddr,
}

impl Request {
    /// The header's value, empty if it was not sent.
    pub fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(n, _)| n == name).map_or("", |(_, value)| value)
    }
}

#[derive(Default)]
struct Site {
    replies: HashMap<String, Reply>,
    /// For every token that has no reply of its own.
    fallback: Option<Reply>,
    requests: Vec<Request>,
    connections: usize,
}

#[derive(Clone)]
enum Reply {
    Bytes(Vec<u8>),
    Hang,
    Endless,
}

impl Target {
    /// A web server on 127.0.0.1 that knows no token: everything is 404.
    pub async fn start() -> Self {
        Self::on(&["127.0.0.1:0"]).await
    }

    /// The same, on 127.0.0.1 and [::1], with one port number.
    pub async fn start_dual() -> Self {
        Self::on(&["127.0.0.1:0", "[::1]:0"]).await
    }

    /// The same, on these addresses with the port number of the first.
    pub async fn on(addrs: &[&str]) -> Self {
        Self::listen(addrs, false).await
    }

    /// A web server with TLS on 127.0.0.1, whose certificate is self-signed and names no one.
    pub async fn start_tls() -> Self {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec!["nobody.invalid".to_owned()]).unwrap().self_signed(&key).unwrap();
        let target = Self::listen(&["127.0.0.1:0"], true).await;
        target.present(vec![certificate.der().to_vec()], &key);
        target
    }

    /// Shows another certificate from now on: a chain in DER, leaf first, and the leaf's key.
    pub fn present(&self, chain: Vec<Vec<u8>>, key: &KeyPair) -> &Self {
        let chain = chain.into_iter().map(CertificateDer::from).collect();
        *self.certificate.0.lock() = Some(Arc::new(CertifiedKey::new(chain, signer(key))));
        self
    }

    /// Has no certificate for anybody from now on.
    pub fn present_none(&self) -> &Self {
        *self.certificate.0.lock() = None;
        self
    }

    async fn listen(addrs: &[&str], with_tls: bool) -> Self {
        let listeners = bind(addrs).await;
        let addr = listeners[0].local_addr().unwrap();
        let site = Arc::new(Mutex::new(Site::default()));
        let certificate = Arc::new(OneForAll::default());
        let config = server_config(rustls::DEFAULT_VERSIONS).with_no_client_auth();
        let tls = with_tls.then(|| TlsAcceptor::from(Arc::new(config.with_cert_resolver(certificate.clone()))));
        let mut tasks = JoinSet::new();
        for listener in listeners {
            tasks.spawn(accept(listener, site.clone(), tls.clone()));
        }
        Self { addr, site, certificate, _tasks: tasks }
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.addr.port()
    }

    /// How often somebody connected so far, also without asking for anything.
    pub fn connections(&self) -> usize {
        self.site.lock().connections
    }

    /// Serves a body with 200.
    pub fn serve(&self, token: &str, body: &str) -> &Self {
        self.status(token, 200, body)
    }

    /// Serves a body with a status.
    pub fn status(&self, token: &str, status: u16, body: &str) -> &Self {
        self.raw(token, format!("HTTP/1.1 {status} Status\r\nContent-Length: {}\r\n\r\n{body}", body.len()).as_bytes())
    }

    /// Redirects with 302.
    pub fn redirect(&self, token: &str, url: &str) -> &Self {
        self.redirect_with(token, 302, url)
    }

    /// Redirects with a status.
    pub fn redirect_with(&self, token: &str, status: u16, url: &str) -> &Self {
        let head = format!("HTTP/1.1 {status} Elsewhere\r\nLocation: {url}\r\nContent-Length: 0\r\n\r\n");
        self.raw(token, head.as_bytes())
    }

    /// Answers with these bytes.
    pub fn raw(&self, token: &str, bytes: &[u8]) -> &Self {
        self.reply(token, Reply::Bytes(bytes.to_vec()))
    }

    /// Takes the request and never answers.
    pub fn hang(&self, token: &str) -> &Self {
        self.reply(token, Reply::Hang)
    }

    /// Answers with 200 and a body without end.
    pub fn huge(&self, token: &str) -> &Self {
        self.reply(token, Reply::Endless)
    }

    /// Answers every token that has no reply of its own with `token.thumbprint`, without being told the token.
    pub fn serve_any(&self, thumbprint: &str) -> &Self {
        self.site.lock().fallback = Some(Reply::Bytes(thumbprint.as_bytes().to_vec()));
        self
    }

    /// Takes away the reply for a token.
    pub fn forget(&self, token: &str) -> &Self {
        self.site.lock().replies.remove(token);
        self
    }

    /// The requests so far.
    pub fn requests(&self) -> Vec<Request> {
        self.site.lock().requests.clone()
    }

    fn reply(&self, token: &str, reply: Reply) -> &Self {
        self.site.lock().replies.insert(token.to_owned(), reply);
        self
    }
}

async fn bind(addrs: &[&str]) -> Vec<TcpListener> {
    'again: loop {
        let mut listeners: Vec<TcpListener> = Vec::new();
        for addr in addrs {
            let mut addr: SocketAddr = addr.parse().unwrap();
            if let Some(first) = listeners.first() {
                addr.set_port(first.local_addr().unwrap().port());
            }
            match TcpListener::bind(addr).await {
                Ok(listener) => listeners.push(listener),
                // The port number is taken on the other address: try another.
                Err(_) if !listeners.is_empty() => continue 'again,
                Err(error) => panic!("{addr}: {error}"),
            }
        }
        return listeners;
    }
}

async fn accept(listener: TcpListener, site: Arc<Mutex<Site>>, tls: Option<TlsAcceptor>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let (site, tls) = (site.clone(), tls.clone());
        site.lock().connections += 1;
        connections.spawn(async move {
            let dialled = stream.local_addr().unwrap().ip();
            match tls {
                None => serve(stream, dialled, &site).await,
                Some(tls) => {
                    if let Ok(stream) = tls.accept(stream).await {
                        serve(stream, dialled, &site).await;
                    }
                }
            }
        });
    }
}

async fn serve(mut stream: impl AsyncRead + AsyncWrite + Unpin, dialled: IpAddr, site: &Mutex<Site>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let mut lines = head.lines();
    let line = lines.next().unwrap_or_default().trim_end_matches(" HTTP/1.1").to_owned();
    let headers = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let reply = {
        let mut site = site.lock();
        let token = line.strip_prefix("GET /.well-known/acme-challenge/").unwrap_or_default();
        let reply = site.replies.get(token).cloned().or_else(|| match &site.fallback {
            Some(Reply::Bytes(thumbprint)) if !token.is_empty() => {
                let body = format!("{token}.{}", String::from_utf8_lossy(thumbprint));
                let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
                Some(Reply::Bytes(answer.into_bytes()))
            }
            _ => None,
        });
        site.requests.push(Request { line, headers, dialled });
        reply
    };
    match reply {
        None => {
            let _ = stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 9\r\n\r\nnot found").await;
        }
        Some(Reply::Bytes(bytes)) => {
            let _ = stream.write_all(&bytes).await;
        }
        Some(Reply::Hang) => std::future::pending().await,
        Some(Reply::Endless) => {
            let head = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n".as_slice();
            if stream.write_all(head).await.is_ok() {
                while stream.write_all(&[b'x'; 1024]).await.is_ok() {}
            }
        }
    }
    let _ = stream.shutdown().await;
}

/// A tls-alpn-01 responder on 127.0.0.1: shows the certificate that was set for the SNI; stops when dropped.
pub struct AlpnTarget {
    addr: SocketAddr,
    shown: Arc<Shown>,
    _tasks: JoinSet<()>,
}

/// A validation certificate, right or wrong in some way, to be shown by an [`AlpnTarget`].
#[derive(Debug, Clone)]
pub struct AlpnCertificate {
    /// The subject alternative names: DNS names and addresses.
    pub names: Vec<String>,
    /// The value of the acmeIdentifier extension; none: no such extension.
    pub extension: Option<Vec<u8>>,
    /// Whether that extension is critical.
    pub critical: bool,
}

#[derive(Debug, Default)]
struct Shown {
    by_sni: Mutex<HashMap<String, Arc<CertifiedKey>>>,
    hellos: Mutex<Vec<Hello>>,
}

/// What a TLS client asked an [`AlpnTarget`] for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    /// The server name.
    pub sni: Option<String>,
    /// The application protocols.
    pub alpn: Vec<String>,
}

impl AlpnCertificate {
    /// What RFC 8737 demands for an identifier.
    pub fn right(identifier: &str, key_authorization: &str) -> Self {
        let digest = digest::digest(&digest::SHA256, key_authorization.as_bytes());
        let extension = [&[0x04, 0x20], digest.as_ref()].concat();
        Self { names: vec![identifier.to_owned()], extension: Some(extension), critical: true }
    }

    fn certified(&self) -> CertifiedKey {
        let mut params = CertificateParams::default();
        params.subject_alt_names = self
            .names
            .iter()
            .map(|name| match name.parse() {
                Ok(ip) => SanType::IpAddress(ip),
                Err(_) => SanType::DnsName(name.as_str().try_into().unwrap()),
            })
            .collect();
        if let Some(content) = &self.extension {
            let oid = [1, 3, 6, 1, 5, 5, 7, 1, 31];
            let mut extension = CustomExtension::from_oid_content(&oid, content.clone());
            extension.set_criticality(self.critical);
            params.custom_extensions.push(extension);
        }
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        CertifiedKey::new(vec![certificate.der().clone()], signer(&key))
    }
}

impl AlpnTarget {
    /// A responder that speaks `acme-tls/1` and has no certificate yet.
    pub async fn start() -> Self {
        Self::speaking(&["acme-tls/1"]).await
    }

    /// A responder that speaks TLS 1.2 at most.
    pub async fn with_tls_1_2() -> Self {
        Self::launch(&["acme-tls/1"], &[&rustls::version::TLS12]).await
    }

    /// A responder that speaks these application protocols (none: it ignores the client's offer).
    pub async fn speaking(protocols: &[&str]) -> Self {
        Self::launch(protocols, rustls::DEFAULT_VERSIONS).await
    }

    async fn launch(protocols: &[&str], versions: &[&'static rustls::SupportedProtocolVersion]) -> Self {
        let [listener] = <[TcpListener; 1]>::try_from(bind(&["127.0.0.1:0"]).await).unwrap();
        let addr = listener.local_addr().unwrap();
        let shown = Arc::new(Shown::default());
        let mut config = server_config(versions).with_no_client_auth().with_cert_resolver(shown.clone());
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                connections.spawn(async move {
                    if let Ok(mut stream) = acceptor.accept(stream).await {
                        let _ = stream.read_to_end(&mut Vec::new()).await;
                    }
                });
            }
        });
        Self { addr, shown, _tasks: tasks }
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.addr.port()
    }

    /// Shows the right certificate for a DNS name or an address.
    pub fn prove(&self, identifier: &str, key_authorization: &str) -> &Self {
        self.show(identifier, &AlpnCertificate::right(identifier, key_authorization))
    }

    /// Shows a certificate to clients that ask for a DNS name or an address.
    pub fn show(&self, identifier: &str, certificate: &AlpnCertificate) -> &Self {
        let certified = Arc::new(certificate.certified());
        self.shown.by_sni.lock().insert(sni_of(identifier), certified);
        self
    }

    /// What clients asked for so far.
    pub fn hellos(&self) -> Vec<Hello> {
        self.shown.hellos.lock().clone()
    }
}

impl ResolvesServerCert for Shown {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let sni = hello.server_name().map(str::to_owned);
        let alpn = hello.alpn().map(|list| list.map(|p| String::from_utf8_lossy(p).into_owned()).collect());
        self.hellos.lock().push(Hello { sni: sni.clone(), alpn: alpn.unwrap_or_default() });
        self.by_sni.lock().get(&sni?).cloned()
    }
}

/// RFC 8738 section 6: for an address the server name is its reverse name.
fn sni_of(identifier: &str) -> String {
    match identifier.parse() {
        Ok(IpAddr::V4(ip)) => {
            let [a, b, c, d] = ip.octets();
            format!("{d}.{c}.{b}.{a}.in-addr.arpa")
        }
        Ok(IpAddr::V6(ip)) => {
            let nibbles = ip.octets().into_iter().rev().flat_map(|b| [b & 15, b >> 4]).map(|n| format!("{n:x}."));
            nibbles.collect::<String>() + "ip6.arpa"
        }
        Err(_) => identifier.to_ascii_lowercase(),
    }
}

fn signer(key: &KeyPair) -> Arc<dyn SigningKey> {
    let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
    rustls::crypto::aws_lc_rs::sign::any_supported_type(&key).unwrap()
}

fn server_config(
    versions: &[&'static rustls::SupportedProtocolVersion],
) -> rustls::ConfigBuilder<rustls::ServerConfig, rustls::WantsVerifier> {
    rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_protocol_versions(versions)
        .unwrap()
}
