//! The test client against the least server there can be: it must be right before it may judge others.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, head, post};
use chancery::acme::jws::{Jws, KeyRef, Verifiers, external_binding};
use chancery::acme::nonce::Nonces;
use chancery::domain::key::AccountKey;
use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::support::client::{Client, csr};
use crate::support::signer::{ALGORITHMS, Signer};

const BASE: &str = "https://localhost:14000";
const ACCOUNT: &str = "https://localhost:14000/account/1";

/// One account's server, which does no more than JWS.
struct Server {
    nonces: Nonces,
    verifiers: Verifiers,
    key: Mutex<Option<AccountKey>>,
}

impl Server {
    fn router() -> Router {
        let server = Arc::new(Self { nonces: Nonces::new(0), verifiers: Verifiers::default(), key: Mutex::default() });
        let on = |path: &'static str| {
            let server = server.clone();
            post(move |headers: HeaderMap, body: Bytes| async move { server.answer(path, &headers, &body) })
        };
        let nonces = server.clone();
        Router::new()
            .route("/directory", get(|| async { directory().to_string() }))
            .route("/nonce", head(move || async move { nonces.fresh(StatusCode::OK, Value::Null) }))
            .route("/new-account", on("/new-account"))
            .route("/key-change", on("/key-change"))
            .route("/account/1", on("/account/1"))
    }

    fn fresh(&self, status: StatusCode, body: Value) -> Response {
        let nonce = HeaderValue::from_str(&self.nonces.issue()).expect("base64url");
        let headers = [("replay-nonce", nonce), ("location", HeaderValue::from_static(ACCOUNT))];
        (status, headers, body.to_string()).into_response()
    }

    fn answer(&self, path: &str, headers: &HeaderMap, body: &[u8]) -> Response {
        assert_eq!(headers["host"], "localhost:14000");
        assert_eq!(headers["content-type"], "application/jose+json");
        match self.carry_out(path, body) {
            Ok(answer) => self.fresh(StatusCode::OK, answer),
            Err(e) => self.fresh(StatusCode::BAD_REQUEST, json!({ "error": e.to_string() })),
        }
    }

    fn carry_out(&self, path: &str, body: &[u8]) -> chancery::domain::Result<Value> {
        let jws = Jws::parse(body)?;
        let mut account = self.key.lock();
        let key = match &jws.header.key {
            KeyRef::Jwk(key) => key.clone(),
            KeyRef::Kid(_) => account.clone().expect("an account"),
        };
        self.verifiers.verify(&jws, &key)?;
        self.nonces.redeem(jws.header.required_nonce()?)?;
        assert_eq!(jws.header.url, format!("{BASE}{path}"));
        let payload =
            if jws.payload().is_empty() { json!({}) } else { chancery::acme::json::object(jws.payload(), "payload")? };
        match path {
            "/new-account" => {
                let binding = &payload["externalAccountBinding"];
                if !binding.is_null() {
                    external_binding(&binding.to_string())?.verify(&[7; 32], &key, &jws.header.url)?;
                }
                *account = Some(key);
            }
            "/key-change" => {
                let change = self.verifiers.key_change(jws.payload(), &jws.header.url)?;
                change.check(ACCOUNT, &key)?;
                *account = Some(change.new_key);
            }
            _ => {}
        }
        Ok(payload)
    }
}

fn directory() -> Value {
    let urls = [("newNonce", "/nonce"), ("newAccount", "/new-account"), ("keyChange", "/key-change")];
    urls.into_iter().map(|(name, path)| (name.to_owned(), json!(format!("{BASE}{path}")))).collect()
}

#[tokio::test]
async fn the_clients_requests_verify_for_every_algorithm() {
    for alg in ALGORITHMS {
        let mut client = Client::with_key(Server::router(), BASE, Signer::generate(alg));
        client.new_account().await.ok();
        assert_eq!(client.kid(), ACCOUNT);
        assert_eq!(client.post(ACCOUNT, &json!({ "contact": [] })).await.ok().json(), json!({ "contact": [] }));
        client.change_key(Signer::generate(alg)).await.ok();
        client.post_as_get(ACCOUNT).await.ok();
    }
    let mut client = Client::new(Server::router(), BASE);
    client.new_bound_account("kid-1", &[7; 32]).await.ok();
    client.new_bound_account("kid-1", &[8; 32]).await.expect(400);
}

#[tokio::test]
async fn the_client_tampers_on_demand() {
    let mut client = Client::new(Server::router(), BASE);
    client.new_account().await.ok();

    let header = client.header(ACCOUNT).await;
    let jws = client.signer.jws(&header, b"{}");
    client.send(ACCOUNT, &jws).await.ok();
    let refusal = client.send(ACCOUNT, &jws).await.expect(400).text();
    assert!(refusal.contains("JWS has an invalid anti-replay nonce"), "{refusal}");

    let mut jws = client.signer.jws(&client.header(ACCOUNT).await, b"{}");
    jws["payload"] = json!("e30K");
    client.send(ACCOUNT, &jws).await.expect(400);
    let stranger = Signer::generate("ES256").jws(&client.header(ACCOUNT).await, b"");
    client.send(ACCOUNT, &stranger).await.expect(400);
}

#[test]
fn csrs_hold_the_names_and_nothing_else() {
    let (der, key) = csr(&["example.org", "*.example.org", "192.0.2.1"]);
    let (rest, csr) = <x509_parser::certification_request::X509CertificationRequest as x509_parser::prelude::FromDer<
        _,
    >>::from_der(&der)
    .expect("a CSR");
    assert!(rest.is_empty());
    csr.verify_signature().expect("its own signature");
    assert_eq!(csr.certification_request_info.subject.iter().count(), 0);
    assert_eq!(csr.requested_extensions().expect("extensions").count(), 1);
    crate::support::client::certificate_signer(&key);
}
