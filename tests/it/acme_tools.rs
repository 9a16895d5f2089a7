//! What the tests of ordering and issuing share: looking at objects and certificates, and a web server with a gate.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use chancery::config::Config;
use rcgen::{DnType, KeyPair};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use x509_parser::prelude::{FromDer as _, ParsedExtension, X509Certificate};

use crate::support::client::{Client, Response, csr_of};
use crate::support::signer::b64;

pub const HOUR: Duration = Duration::from_secs(3600);
pub const DAY: Duration = Duration::from_secs(86_400);

/// An object as its owner sees it now.
#[track_caller]
pub fn object(response: Response) -> Value {
    response.expect(200).json()
}

/// What is at that URL now.
pub async fn look(client: &Client, url: &str) -> Value {
    object(client.post_as_get(url).await)
}

/// The URL in a member of an object.
#[track_caller]
pub fn url<'a>(object: &'a Value, member: &str) -> &'a str {
    object[member].as_str().unwrap_or_else(|| panic!("no {member} in {object}"))
}

/// A new order: its URL, itself, and its only authorization with that one's URL.
pub async fn order_one(client: &Client, name: &str) -> (String, Value, String, Value) {
    let placed = client.new_order(&[name]).await.expect(201);
    let order = placed.json();
    let authz_url = order["authorizations"][0].as_str().unwrap().to_owned();
    let authz = look(client, &authz_url).await;
    (placed.location().to_owned(), order, authz_url, authz)
}

/// The payload of an order for DNS names, with further members.
pub fn order_of(names: &[&str], further: Value) -> Value {
    let names: Vec<Value> = names.iter().map(|name| json!({ "type": "dns", "value": name })).collect();
    let mut payload = json!({ "identifiers": names });
    for (member, value) in further.as_object().unwrap() {
        payload[member] = value.clone();
    }
    payload
}

/// Checks the type of a problem inside an object, and that its detail has these parts.
#[track_caller]
pub fn problem(found: &Value, error: &str, parts: &[&str]) {
    assert_eq!(found["type"], format!("urn:ietf:params:acme:error:{error}"), "{found}");
    has_parts(found["detail"].as_str().unwrap(), parts);
}

/// Checks that a text has these parts.
#[track_caller]
pub fn has_parts(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "no {part:?} in {text:?}");
    }
}

/// The certificates of a chain, DER.
pub fn ders(chain: &str) -> Vec<Vec<u8>> {
    let blocks = pem::parse_many(chain).unwrap();
    blocks.into_iter().map(pem::Pem::into_contents).collect()
}

/// The first certificate of a chain, DER.
pub fn leaf(chain: &str) -> Vec<u8> {
    ders(chain).swap_remove(0)
}

/// A certificate, parsed.
pub fn parsed(der: &[u8]) -> X509Certificate<'_> {
    X509Certificate::from_der(der).unwrap().1
}

/// The authority key identifier of a certificate.
pub fn authority_key_identifier(der: &[u8]) -> Vec<u8> {
    let certificate = parsed(der);
    let found = certificate.extensions().iter().find_map(|extension| match extension.parsed_extension() {
        ParsedExtension::AuthorityKeyIdentifier(found) => Some(found.key_identifier.as_ref().unwrap().0.to_vec()),
        _ => None,
    });
    found.unwrap()
}

/// How RFC 9773 section 4.1 names a certificate.
pub fn cert_id(der: &[u8]) -> String {
    format!("{}.{}", b64(authority_key_identifier(der)), b64(parsed(der).raw_serial()))
}

/// A CSR whose common name is `common`, and whose subjectAltName holds `names`.
pub fn csr_for(key: &KeyPair, common: &str, names: &[&str]) -> Vec<u8> {
    csr_of(key, names, |params| params.distinguished_name.push(DnType::CommonName, common))
}

/// Appends to the catalogue of a world that is being made.
pub fn add_product(config: &Config, id: &str, further: &str) {
    let mut catalog = std::fs::read_to_string(&config.catalog.products).unwrap();
    catalog += &format!(
        "\n[[products]]\nid = \"{id}\"\ntitle = \"{id}\"\nissuer = \"chancery\"\nnames = {{ max = 5 }}\n\
         keys = [\"p-256\"]\nmethods = [\"http-01\"]\nvalidity_days = 10\n{further}\n"
    );
    std::fs::write(&config.catalog.products, catalog).unwrap();
}

/// A web server that meets every http-01 challenge of an account key, but only once its gate is open.
pub struct Gate {
    addr: SocketAddr,
    thumbprint: watch::Sender<String>,
    open: watch::Sender<bool>,
    arrived: watch::Receiver<usize>,
    _tasks: JoinSet<()>,
}

impl Gate {
    /// With a closed gate.
    pub async fn closed() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (thumbprint, known) = watch::channel(String::new());
        let (open, gate) = watch::channel(false);
        let (count, arrived) = watch::channel(0);
        let count = Arc::new(count);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                let (known, mut gate, count) = (known.clone(), gate.clone(), count.clone());
                connections.spawn(async move {
                    let mut head = Vec::new();
                    while !head.ends_with(b"\r\n\r\n") {
                        head.push(stream.read_u8().await.unwrap_or(0));
                        assert!(head.len() < 10_000, "no end of the header");
                    }
                    count.send_modify(|count| *count += 1);
                    let head = String::from_utf8(head).unwrap();
                    let token = head.split(' ').nth(1).unwrap().rsplit('/').next().unwrap();
                    let body = format!("{token}.{}", *known.borrow());
                    let _ = gate.wait_for(|open| *open).await;
                    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
                    let _ = stream.write_all(answer.as_bytes()).await;
                });
            }
        });
        Self { addr, thumbprint, open, arrived, _tasks: tasks }
    }

    pub fn port(&self) -> u16 {
        self.addr.port()
    }

    /// Whose challenges are met, of requests that come from now on.
    pub fn serve_any(&self, thumbprint: &str) {
        self.thumbprint.send_replace(thumbprint.to_owned());
    }

    /// Waits until so many requests have come, in all.
    pub async fn arrived(&self, count: usize) {
        self.arrived.clone().wait_for(|arrived| *arrived >= count).await.unwrap();
    }

    /// Opens the gate.
    pub fn open(&self) {
        self.open.send_replace(true);
    }
}
