//! An ACME client that speaks to a router without sockets, honestly by default and wrongly on demand.

#![allow(dead_code, reason = "a tool box: not every tool is in use at all times")]

use std::net::IpAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Method, Request, StatusCode, Uri, header};
use http_body_util::BodyExt as _;
use parking_lot::Mutex;
use rcgen::{CertificateParams, DistinguishedName, KeyPair};
use serde_json::{Value, json};
use tower::ServiceExt as _;

use super::signer::{Signer, b64};

/// The media type of requests (RFC 8555 section 6.2).
pub const JOSE: &str = "application/jose+json";

/// A client with one account key, and an account once `new_account` succeeded.
///
/// Clones share the key and go their own way from there, like two processes with the same key.
#[derive(Clone)]
pub struct Client {
    router: Router,
    directory_url: String,
    /// The account's key.
    pub signer: Arc<Signer>,
    /// The account's URL.
    pub account: Option<String>,
    /// The nonce of the last answer, if it was not used yet.
    nonce: Arc<Mutex<Option<String>>>,
}

/// What the server answered.
#[derive(Debug, Clone)]
pub struct Response {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Client {
    /// A client with a new ES256 key. `base_url` is the server's public URL, without a slash at its end.
    pub fn new(router: Router, base_url: &str) -> Self {
        Self::with_key(router, base_url, Signer::generate("ES256"))
    }

    /// A client with a key of its own.
    pub fn with_key(router: Router, base_url: &str, signer: Signer) -> Self {
        let directory_url = format!("{base_url}/directory");
        Self { router, directory_url, signer: Arc::new(signer), account: None, nonce: Arc::default() }
    }

    /// The same client, with another directory, as that of a product.
    pub fn with_directory(mut self, url: impl Into<String>) -> Self {
        self.directory_url = url.into();
        self
    }

    /// The same account in a process of its own, which gets its nonces itself.
    pub fn apart(&self) -> Self {
        Self { nonce: Arc::default(), ..self.clone() }
    }

    /// The public key.
    pub fn jwk(&self) -> Value {
        self.signer.jwk()
    }

    /// The public key's thumbprint.
    pub fn thumbprint(&self) -> String {
        self.signer.thumbprint()
    }

    /// What proves control of a name together with `token` (RFC 8555 section 8.1).
    pub fn key_authorization(&self, token: &str) -> String {
        self.signer.key_authorization(token)
    }

    /// The account's URL; there must be one.
    pub fn kid(&self) -> &str {
        self.account.as_deref().expect("new_account comes first")
    }
}

/// The flows of RFC 8555 section 7. Each returns the server's answer, whatever it is.
impl Client {
    /// The directory.
    pub async fn directory(&self) -> Value {
        self.get(&self.directory_url).await.ok().json()
    }

    /// The URL of a resource that the directory names.
    pub async fn resource(&self, name: &str) -> String {
        let directory = self.directory().await;
        directory[name].as_str().unwrap_or_else(|| panic!("no {name} in {directory}")).to_owned()
    }

    /// Makes the account, agreeing to the terms of service.
    pub async fn new_account(&mut self) -> Response {
        self.new_account_of(json!({ "termsOfServiceAgreed": true })).await
    }

    /// Makes the account, bound to a MAC key of the server's (RFC 8555 section 7.3.4).
    pub async fn new_bound_account(&mut self, kid: &str, mac_key: &[u8]) -> Response {
        let url = self.resource("newAccount").await;
        let binding = self.signer.external_binding("HS256", kid, mac_key, &url);
        self.new_account_of(json!({ "termsOfServiceAgreed": true, "externalAccountBinding": binding })).await
    }

    /// Makes the account from a payload as given, and remembers its URL if there is one now.
    pub async fn new_account_of(&mut self, payload: Value) -> Response {
        let response = self.post_jwk(&self.resource("newAccount").await, &payload).await;
        if response.status.is_success() {
            self.account = Some(response.location().to_owned());
        }
        response
    }

    /// Orders a certificate for names and IP addresses.
    pub async fn new_order(&self, names: &[&str]) -> Response {
        self.new_order_of(json!({ "identifiers": identifiers(names) })).await
    }

    /// Orders with a payload as given, for `profile`, `replaces` and the like.
    pub async fn new_order_of(&self, payload: Value) -> Response {
        self.post(&self.resource("newOrder").await, &payload).await
    }

    /// The authorizations of an order, in its sequence.
    pub async fn authorizations(&self, order: &Value) -> Vec<Value> {
        let mut authorizations = Vec::new();
        for url in order["authorizations"].as_array().expect("authorizations") {
            authorizations.push(self.post_as_get(url.as_str().expect("a URL")).await.ok().json());
        }
        authorizations
    }

    /// Tells the server that a challenge is met (RFC 8555 section 7.5.1).
    pub async fn respond(&self, challenge: &Value) -> Response {
        self.post(challenge["url"].as_str().expect("a challenge has a URL"), &json!({})).await
    }

    /// Hands in a CSR, DER, for an order.
    pub async fn finalize(&self, order: &Value, csr: &[u8]) -> Response {
        self.post(order["finalize"].as_str().expect("an order has a finalize URL"), &json!({ "csr": b64(csr) })).await
    }

    /// The certificate chain of a valid order, PEM.
    pub async fn certificate(&self, order: &Value) -> String {
        let url = order["certificate"].as_str().unwrap_or_else(|| panic!("no certificate in {order}"));
        self.post_as_get(url).await.ok().text()
    }

    /// Revokes a certificate, DER, as the account.
    pub async fn revoke(&self, certificate: &[u8], reason: Option<u8>) -> Response {
        self.post(&self.resource("revokeCert").await, &revocation(certificate, reason)).await
    }

    /// Revokes a certificate, DER, with its own key (RFC 8555 section 7.6).
    pub async fn revoke_with(&self, key: &KeyPair, certificate: &[u8], reason: Option<u8>) -> Response {
        let owner = Self { signer: Arc::new(certificate_signer(key)), ..self.clone() };
        owner.post_jwk(&self.resource("revokeCert").await, &revocation(certificate, reason)).await
    }

    /// Changes the account's key (RFC 8555 section 7.3.5), and keeps the new one if the server took it.
    pub async fn change_key(&mut self, new: Signer) -> Response {
        let url = self.resource("keyChange").await;
        let response = self.post(&url, &self.signer.key_change(&new, self.kid(), &url)).await;
        if response.status.is_success() {
            self.signer = Arc::new(new);
        }
        response
    }

    /// Closes the account (RFC 8555 section 7.3.6).
    pub async fn deactivate(&self) -> Response {
        self.post(self.kid(), &json!({ "status": "deactivated" })).await
    }
}

/// Requests, from the most usual to the most raw.
impl Client {
    /// A request of the account.
    pub async fn post(&self, url: &str, payload: &Value) -> Response {
        let header = self.header(url).await;
        self.send(url, &self.signer.jws(&header, payload.to_string().as_bytes())).await
    }

    /// A request that names its key by `jwk`.
    pub async fn post_jwk(&self, url: &str, payload: &Value) -> Response {
        let header = self.header_jwk(url).await;
        self.send(url, &self.signer.jws(&header, payload.to_string().as_bytes())).await
    }

    /// A fetch (RFC 8555 section 6.3).
    pub async fn post_as_get(&self, url: &str) -> Response {
        let header = self.header(url).await;
        self.send(url, &self.signer.jws(&header, b"")).await
    }

    /// A protected header of the account, with a fresh nonce: to be tampered with and signed by `signer.jws`.
    pub async fn header(&self, url: &str) -> Value {
        json!({ "alg": self.signer.alg(), "kid": self.kid(), "nonce": self.nonce().await, "url": url })
    }

    /// A protected header with the key itself and a fresh nonce.
    pub async fn header_jwk(&self, url: &str) -> Value {
        json!({ "alg": self.signer.alg(), "jwk": self.jwk(), "nonce": self.nonce().await, "url": url })
    }

    /// Forgets the nonce of the last answer: after a restart the server does not know it.
    pub fn forget_nonce(&self) {
        self.nonce.lock().take();
    }

    /// A nonce that was not used yet: that of the last answer, else one of newNonce.
    pub async fn nonce(&self) -> String {
        let kept = self.nonce.lock().take();
        match kept {
            Some(nonce) => nonce,
            None => {
                self.request(Method::HEAD, &self.resource("newNonce").await, None, Body::empty()).await.ok();
                self.nonce.lock().take().expect("newNonce has a Replay-Nonce")
            }
        }
    }

    /// Sends a JWS that was made elsewhere.
    pub async fn send(&self, url: &str, jws: &Value) -> Response {
        self.raw(url, jws.to_string(), JOSE).await
    }

    /// Sends any body as any content type.
    pub async fn raw(&self, url: &str, body: impl Into<Body>, content_type: &str) -> Response {
        self.request(Method::POST, url, Some(content_type), body.into()).await
    }

    /// A GET request.
    pub async fn get(&self, url: &str) -> Response {
        self.request(Method::GET, url, None, Body::empty()).await
    }

    /// Any request, as HTTP/1.1 has it: the path in the request line, the authority in `Host`.
    pub async fn request(&self, method: Method, url: &str, content_type: Option<&str>, body: Body) -> Response {
        let uri: Uri = url.parse().unwrap_or_else(|e| panic!("{url} is no URL: {e}"));
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let mut request = Request::builder().method(method).uri(path);
        if let Some(authority) = uri.authority() {
            request = request.header(header::HOST, authority.as_str());
        }
        if let Some(content_type) = content_type {
            request = request.header(header::CONTENT_TYPE, content_type);
        }
        let request = request.body(body).expect("a request");
        let (parts, body) = self.router.clone().oneshot(request).await.expect("routers never fail").into_parts();
        let body = body.collect().await.expect("a whole body").to_bytes();
        let response = Response { status: parts.status, headers: parts.headers, body };
        if let Some(nonce) = response.header("replay-nonce") {
            *self.nonce.lock() = Some(nonce.to_owned());
        }
        response
    }
}

impl Response {
    /// The answer, if its status is one of success; else the test ends here and shows it.
    #[track_caller]
    pub fn ok(self) -> Self {
        assert!(self.status.is_success(), "{self}");
        self
    }

    /// The answer, if it has this status; else the test ends here and shows it.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status.as_u16(), status, "{self}");
        self
    }

    /// The detail of the problem, if the answer is one with this status and ACME error type; else the test ends here.
    #[track_caller]
    pub fn expect_problem(&self, status: u16, error: &str) -> String {
        assert_eq!(self.status.as_u16(), status, "{self}");
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self}");
        let problem = self.json();
        assert_eq!(problem["type"], format!("urn:ietf:params:acme:error:{error}"), "{self}");
        problem["detail"].as_str().expect("problems have a detail").to_owned()
    }

    /// The body as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e} in {self}"))
    }

    /// The body as text.
    #[track_caller]
    pub fn text(&self) -> String {
        String::from_utf8(self.body.to_vec()).expect("UTF-8")
    }

    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The URL in `Location`; there must be one.
    #[track_caller]
    pub fn location(&self) -> &str {
        self.header("location").unwrap_or_else(|| panic!("no Location in {self}"))
    }

    /// The targets of the `Link` headers of a relation.
    pub fn links(&self, relation: &str) -> Vec<String> {
        let target = |value: &str| {
            let (target, parameters) = value.strip_prefix('<')?.split_once('>')?;
            parameters.contains(&format!("rel=\"{relation}\"")).then(|| target.to_owned())
        };
        self.headers.get_all(header::LINK).iter().filter_map(|value| target(value.to_str().ok()?)).collect()
    }
}

impl std::fmt::Display for Response {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {:?} {}", self.status, self.headers, String::from_utf8_lossy(&self.body))
    }
}

/// A challenge of an authorization.
#[track_caller]
pub fn challenge(authorization: &Value, kind: &str) -> Value {
    let challenges = authorization["challenges"].as_array().expect("challenges");
    let found = challenges.iter().find(|challenge| challenge["type"] == kind);
    found.unwrap_or_else(|| panic!("no {kind} in {authorization}")).clone()
}

/// A CSR, DER, for names and IP addresses, with a new P-256 key.
pub fn csr(names: &[&str]) -> (Vec<u8>, KeyPair) {
    let key = KeyPair::generate().expect("a P-256 key");
    (csr_with(&key, names), key)
}

/// A CSR, DER, for names and IP addresses, with a key at hand.
pub fn csr_with(key: &KeyPair, names: &[&str]) -> Vec<u8> {
    csr_of(key, names, |_| {})
}

/// A CSR, DER, with whatever else it should hold.
pub fn csr_of(key: &KeyPair, names: &[&str], alter: impl FnOnce(&mut CertificateParams)) -> Vec<u8> {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).expect("names fit for a certificate");
    params.distinguished_name = DistinguishedName::new();
    alter(&mut params);
    params.serialize_request(key).expect("a CSR").der().to_vec()
}

/// A certificate's P-256 key as one that signs requests.
pub fn certificate_signer(key: &KeyPair) -> Signer {
    Signer::from_pkcs8("ES256", &key.serialize_der())
}

fn identifiers(names: &[&str]) -> Vec<Value> {
    let kind = |name: &str| if name.parse::<IpAddr>().is_ok() { "ip" } else { "dns" };
    names.iter().map(|name| json!({ "type": kind(name), "value": name })).collect()
}

fn revocation(certificate: &[u8], reason: Option<u8>) -> Value {
    match reason {
        Some(reason) => json!({ "certificate": b64(certificate), "reason": reason }),
        None => json!({ "certificate": b64(certificate) }),
    }
}
