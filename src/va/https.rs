//! The look over HTTPS that goes with http-01 (VAL-22, VAL-23): is the same file there too, under a certificate that
//! browsers take?
//!
//! Plain HTTP decides (RFC 8555 section 8.3), so this one is short: it begins when the other begins, dials the same
//! vetted addresses, follows nothing, and ends within three seconds or a fifth of the validation's time. A host that
//! does not answer HTTPS for the name, whether it takes no connection, closes it at once or says by a TLS alert that it
//! has no such site, has nothing to put right.
//!
//! "A certificate that browsers take" is one that leads, by name and dates, to a root of Mozilla's list
//! (`webpki-roots`, compiled in) or to this CA's own root: whoever renews shows a certificate from here. Revocation is
//! not looked at.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::http1;
use hyper::header::{CONNECTION, HOST, USER_AGENT};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier as _;
use rustls::crypto::aws_lc_rs as provider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{AlertDescription, CertificateError, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use url::{Host, Url};

use super::http01::{MAX_BODY, Place, shown};
use super::trail::{Fault, Trail, clean, root_cause, seconds};
use super::{BoxError, Settings, Task, tlsalpn01};
use crate::domain::{Kind, Timestamp};

/// The longest that a look takes, however long validations may take.
const LONGEST: Duration = Duration::from_secs(3);
/// Most bytes of a header that are read.
const MAX_HEADER: usize = 16 * 1024;

/// The HTTPS client of all validations.
pub(super) struct Https {
    connector: TlsConnector,
    roots: RootCertStore,
    verifier: Arc<WebPkiServerVerifier>,
    port: u16,
    limit: Duration,
}

/// What came back over HTTPS.
struct Answer {
    status: StatusCode,
    body: Vec<u8>,
    /// Whether there was more than `MAX_BODY`.
    cut: bool,
}

impl Https {
    /// A client that speaks HTTP/1.1 to anybody, and tells afterwards what browsers would say.
    pub fn new(settings: &Settings) -> Result<Self, BoxError> {
        let roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        Ok(Self {
            connector: TlsConnector::from(Arc::new(tlsalpn01::any_certificate(&[b"http/1.1"])?)),
            verifier: verifier(&roots)?,
            roots,
            port: settings.tls_port,
            limit: LONGEST.min(settings.timeout() / 5),
        })
    }

    /// Adds trust anchors, PEM.
    pub fn trust(&mut self, anchors: &str) -> Result<(), BoxError> {
        for block in pem::parse_many(anchors)? {
            self.roots.add(CertificateDer::from(block.into_contents()))?;
        }
        self.verifier = verifier(&self.roots)?;
        Ok(())
    }

    /// What is not as it should be over HTTPS: none, if the host does not answer HTTPS or shows what HTTP must show.
    pub async fn look(&self, place: &Place, task: &Task, trail: &Trail) -> Vec<Fault> {
        let url = place.url.as_str().replacen("http:", "https:", 1);
        let Ok(url) = Url::parse(&url) else { return Vec::new() };
        let Some((stream, addr)) = self.connect(place, trail).await else { return Vec::new() };
        let limit = self.limit * 2 / 3;
        match tokio::time::timeout(limit, self.visit(&url, stream, addr, task, trail)).await {
            Ok(found) => found,
            Err(_) => {
                trail.note(format!("GET {} from {addr}: nothing within {}", shown(&url), seconds(limit)));
                vec![unusable(format!("{} at {addr} did not answer within {}", shown(&url), seconds(limit)))]
            }
        }
    }

    /// Connects to the first of the addresses that takes a connection; all of them have a third of the time.
    async fn connect(&self, place: &Place, trail: &Trail) -> Option<(TcpStream, SocketAddr)> {
        let each = self.limit / 3 / u32::try_from(place.candidates.len()).unwrap_or(u32::MAX).max(1);
        for ip in &place.candidates {
            let addr = SocketAddr::new(*ip, self.port);
            let why = match tokio::time::timeout(each, TcpStream::connect(addr)).await {
                Ok(Ok(stream)) => return Some((stream, addr)),
                Ok(Err(error)) => root_cause(&error),
                Err(_) => "timed out".to_owned(),
            };
            trail.note(format!("HTTPS at {addr}: {why}"));
        }
        None
    }

    async fn visit(&self, url: &Url, stream: TcpStream, addr: SocketAddr, task: &Task, trail: &Trail) -> Vec<Fault> {
        let Some(name) = server_name(url) else { return Vec::new() };
        let stream = match self.connector.connect(name.clone(), stream).await {
            Ok(stream) => stream,
            Err(error) => {
                let why = root_cause(&error);
                trail.note(format!("HTTPS at {addr} for {}: {why}", task.identifier));
                let told = if has_no_such_site(&error) { None } else { Some(format!("TLS with {addr} failed: {why}")) };
                return told.map(unusable).into_iter().collect();
            }
        };
        let certificate = self.judge_certificate(&stream, &name, task.now);
        let answer = self.fetch(url, stream).await;
        let seen = match &answer {
            Ok(answer) => answer.summary(),
            Err(error) => root_cause(&**error),
        };
        let trusted = match &certificate {
            Ok(()) => "the certificate is trusted".to_owned(),
            Err(why) => format!("the certificate {why}"),
        };
        trail.note(format!("GET {} from {addr}: {seen}; {trusted}", shown(url)));
        let certificate = certificate.err().map(|why| unusable(format!("the certificate at {addr} {why}")));
        let file = judge_file(url, addr, answer, &task.key_authorization).err();
        certificate.into_iter().chain(file).collect()
    }

    /// Judges the certificate as a browser would; the error is what follows "the certificate".
    fn judge_certificate(
        &self,
        stream: &TlsStream<TcpStream>,
        name: &ServerName<'_>,
        now: Timestamp,
    ) -> Result<(), String> {
        let (_, session) = stream.get_ref();
        let Some([leaf, between @ ..]) = session.peer_certificates() else {
            return Err("is missing".to_owned());
        };
        let now = UnixTime::since_unix_epoch(Duration::from_secs(now.as_secs()));
        let verdict = self.verifier.verify_server_cert(leaf, between, name, &[], now);
        verdict.map(drop).map_err(|error| match error {
            rustls::Error::InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. }) => {
                "has expired".to_owned()
            }
            rustls::Error::InvalidCertificate(
                CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. },
            ) => "is not valid yet".to_owned(),
            rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            ) => format!("does not name {}", name.to_str()),
            _ if is_self_signed(leaf) => "is self-signed".to_owned(),
            rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
                "leads to no CA that browsers know".to_owned()
            }
            other => format!("is refused: {}", clean(other.to_string().as_bytes()).trim_matches('"')),
        })
    }

    async fn fetch(&self, url: &Url, stream: TlsStream<TcpStream>) -> Result<Answer, BoxError> {
        let client = http1::Builder::new().max_buf_size(MAX_HEADER).handshake(TokioIo::new(stream));
        let (mut sender, connection) = client.await?;
        let request = Request::get(url.path())
            .header(HOST, url.host_str().unwrap_or_default())
            .header(USER_AGENT, "chancery")
            .header(CONNECTION, "close")
            .body(Empty::<Bytes>::new())?;
        let exchange = async {
            let response = sender.send_request(request).await?;
            let mut answer = Answer { status: response.status(), body: Vec::new(), cut: false };
            let mut body = response.into_body();
            while let Some(frame) = body.frame().await {
                let Ok(piece) = frame?.into_data() else { continue };
                let room = MAX_BODY - answer.body.len();
                answer.body.extend_from_slice(&piece[..piece.len().min(room)]);
                if piece.len() > room {
                    answer.cut = true;
                    break;
                }
            }
            Ok(answer)
        };
        // The connection does the reading and writing; how it ends is told to the exchange.
        let carried = async {
            let _ = connection.await;
            std::future::pending().await
        };
        tokio::select! {
            answer = exchange => answer,
            never = carried => never,
        }
    }
}

impl Answer {
    fn summary(&self) -> String {
        let more = if self.cut { "more than " } else { "" };
        format!("{}, {more}{} bytes", self.status.as_u16(), self.body.len())
    }
}

fn verifier(roots: &RootCertStore) -> Result<Arc<WebPkiServerVerifier>, BoxError> {
    let provider = Arc::new(provider::default_provider());
    Ok(WebPkiServerVerifier::builder_with_provider(Arc::new(roots.clone()), provider).build()?)
}

fn server_name(url: &Url) -> Option<ServerName<'static>> {
    match url.host()? {
        Host::Domain(name) => ServerName::try_from(name.to_owned()).ok(),
        Host::Ipv4(ip) => Some(ServerName::IpAddress(ip.into())),
        Host::Ipv6(ip) => Some(ServerName::IpAddress(ip.into())),
    }
}

/// Whether a handshake ended because the host has no HTTPS for the name: it closed the connection, or sent one of the
/// alerts by which servers refuse names and protocols that they don't serve.
fn has_no_such_site(error: &io::Error) -> bool {
    use AlertDescription as Alert;
    match error.get_ref().and_then(|error| error.downcast_ref::<rustls::Error>()) {
        None => true,
        Some(rustls::Error::AlertReceived(alert)) => matches!(
            alert,
            Alert::UnrecognisedName
                | Alert::AccessDenied
                | Alert::HandshakeFailure
                | Alert::InternalError
                | Alert::NoApplicationProtocol
        ),
        Some(_) => false,
    }
}

fn is_self_signed(certificate: &[u8]) -> bool {
    tlsalpn01::parse(certificate).is_some_and(|certificate| certificate.subject() == certificate.issuer())
}

/// Judges what HTTPS shows where HTTP must show the key authorization. No foreign text is quoted: hints stand in
/// objects that some clients read with regular expressions.
fn judge_file(url: &Url, addr: SocketAddr, answer: Result<Answer, BoxError>, wanted: &str) -> Result<(), Fault> {
    let place = format!("{} at {addr}", shown(url));
    match answer {
        Err(_) => Err(unusable(format!("{place} gave no HTTP answer"))),
        // VAL-22: the file must be served over both; 200 alone counts, as it does over HTTP.
        Ok(answer) if answer.status != StatusCode::OK => {
            let status = answer.status.as_u16();
            let detail = format!(
                "File served over HTTP only: {place} returned status {status}. Put it on HTTPS as well, or switch \
                 HTTPS off until validation is done (DIAG-01)."
            );
            Err(Fault::passing(Kind::IncorrectResponse, detail))
        }
        // VAL-23: wrong content counts as a fault.
        Ok(answer) if answer.cut || answer.body.trim_ascii_end() != wanted.as_bytes() => {
            let fault = unusable(format!("{place} shows other content than HTTP"));
            Err(Fault::passing(Kind::IncorrectResponse, fault.problem.detail))
        }
        Ok(_) => Ok(()),
    }
}

/// VAL-23: HTTPS that visitors can't use.
fn unusable(why: String) -> Fault {
    let detail = format!("HTTPS on this host is not usable for validation: {why}. Switch it off for now (DIAG-07).");
    Fault::passing(Kind::Tls, detail)
}
