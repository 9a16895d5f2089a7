//! Nonces and the URL in a request (RFC 8555 sections 6.4 and 6.5), through the real router.

use std::collections::BTreeSet;

use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::support::client::{Client, JOSE, Response};
use crate::support::resources::resources;
use crate::support::signer::Signer;
use crate::support::world::{BASE, World};

/// What acme.sh looks for before it tries again.
const WORDS: &str = "JWS has an invalid anti-replay nonce";

#[tokio::test]
async fn a_nonce_of_another_server_or_run_is_refused_with_one_that_is_good() {
    let (mut world, other) = (World::new().await, World::new().await);
    let client = world.client().await;
    let foreign = other.stranger().nonce().await;
    let before = client.nonce().await;
    let (account, signer) = (client.account.clone(), client.signer.clone());
    drop(client);
    world.restart().await;
    let mut client = world.stranger();
    (client.account, client.signer) = (account, signer);
    for nonce in [foreign, before, "taroDvhk2H7ErEkhFCq8zux1hCbY0KzFQDEFGjMaSvQ".to_owned()] {
        let answer = fetch_with(&client, &nonce).await;
        assert!(answer.expect_problem(400, "badNonce").contains(WORDS), "NON-08: {answer}");
        let fresh = answer.header("replay-nonce").expect("NON-03").to_owned();
        fetch_with(&client, &fresh).await.expect(200);
    }
    // A client that has nothing but the refused nonce gets on: NON-12.
    client.new_account().await.expect(200);
}

#[tokio::test]
async fn a_replayed_request_is_refused_and_does_nothing_again() {
    let world = World::new().await;
    let client = world.client().await;
    let url = client.resource("newOrder").await;
    let order = json!({ "identifiers": [{ "type": "dns", "value": "www.example.com" }] });
    let jws = client.signer.jws(&client.header(&url).await, order.to_string().as_bytes());
    client.send(&url, &jws).await.expect(201);
    for _ in 0..3 {
        let answer = client.send(&url, &jws).await;
        assert!(answer.expect_problem(400, "badNonce").contains(WORDS), "NON-10: {answer}");
    }
    let account = format!("{}/orders", client.kid());
    assert_eq!(client.post_as_get(&account).await.expect(200).json()["orders"].as_array().unwrap().len(), 1);
}

/// How a good request is made one that fails.
type Spoil = fn(&Client, Value) -> (Value, Vec<u8>, Option<Signer>);

#[tokio::test]
async fn a_nonce_is_used_up_by_a_request_that_fails() {
    let world = World::new().await;
    let client = world.client().await;
    let rows: &[(&str, Spoil)] = &[
        ("bad payload", |_, header| (header, b"[".to_vec(), None)),
        ("other key", |_, header| (header, Vec::new(), Some(Signer::generate("ES256")))),
        ("other URL", |_, header| (set(header, "url", json!(BASE)), Vec::new(), None)),
        ("unknown account", |_, header| (set(header, "kid", json!(BASE)), Vec::new(), None)),
        ("unsupported algorithm", |_, header| (set(header, "alg", json!("HS256")), Vec::new(), None)),
        ("algorithm of another key", |_, header| (set(header, "alg", json!("RS256")), Vec::new(), None)),
        ("critical extension", |_, header| (set(header, "crit", json!(["x"])), Vec::new(), None)),
        ("both keys", |client, header| (set(header, "jwk", client.jwk()), Vec::new(), None)),
        ("no URL", |_, header| (set(header, "url", Value::Null), Vec::new(), None)),
    ];
    for (row, spoil) in rows {
        let header = client.header(client.kid()).await;
        let nonce = header["nonce"].as_str().unwrap().to_owned();
        let (header, payload, signer) = spoil(&client, header);
        let jws = signer.as_ref().unwrap_or(&client.signer).jws(&header, &payload);
        let failed = client.send(client.kid(), &jws).await;
        assert!(failed.status.is_client_error(), "{row}: {failed}");
        let again = fetch_with(&client, &nonce).await;
        assert_eq!(again.status, 400, "NON-10: {row}: {again}");
        again.expect_problem(400, "badNonce");
    }
}

#[tokio::test]
async fn of_two_requests_at_once_with_one_nonce_one_passes() {
    let world = World::new().await;
    let client = world.client().await;
    let contact = |name: usize| json!({ "contact": [format!("mailto:{name}@example.com")] }).to_string();
    for _ in 0..10 {
        let header = client.header(client.kid()).await;
        let requests = (0..8).map(|name| {
            let (client, jws) = (client.clone(), client.signer.jws(&header, contact(name).as_bytes()));
            tokio::spawn(async move { client.send(client.kid(), &jws).await })
        });
        let mut passed = 0;
        for request in requests.collect::<Vec<_>>() {
            let answer = request.await.unwrap();
            if answer.status == StatusCode::OK {
                passed += 1;
            } else {
                answer.expect_problem(400, "badNonce");
            }
        }
        assert_eq!(passed, 1, "NON-11");
    }
}

#[tokio::test]
async fn every_answer_to_a_post_has_a_nonce_of_its_own() {
    let world = World::new().await;
    let client = world.client().await;
    let mut answers = Vec::new();
    for resource in resources(&world, &client).await {
        answers.push(resource.ask(&client).await);
        answers.push(client.raw(&resource.url, "{}", JOSE).await.expect(400));
        answers.push(client.raw(&resource.url, "{}", "text/plain").await.expect(415));
        answers.push(world.stranger().raw(&resource.url, "x".repeat(70_000), JOSE).await.expect(413));
    }
    answers.push(client.raw(&format!("{BASE}/nowhere"), "", JOSE).await.expect(404));
    let mut seen = BTreeSet::new();
    for answer in answers {
        let nonce = answer.header("replay-nonce").unwrap_or_else(|| panic!("NON-01, NON-02: {answer}"));
        assert_eq!(answer.headers.get_all("replay-nonce").iter().count(), 1, "{answer}");
        assert!(seen.insert(nonce.to_owned()), "NON-04: {nonce}");
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{answer}");
    }
}

#[tokio::test]
async fn a_request_is_for_the_url_it_was_signed_for_letter_for_letter() {
    let world = World::new().await;
    let client = world.client().await;
    let url = client.resource("newOrder").await;
    let order = json!({ "identifiers": [{ "type": "dns", "value": "www.example.com" }] }).to_string();
    for signed in [
        client.kid().to_owned(),
        format!("{url}/"),
        format!("{url}?"),
        format!("{url}?x"),
        format!("{url}#x"),
        url.replace("ca.test", "CA.test"),
        url.replace("ca.test", "other.test"),
        url.replace("ca.test", "ca.test."),
        url.replace(":14000", ""),
        url.replace(":14000", ":014000"),
        url.replace("https:", "http:"),
        url.replace("/acme/", "//acme/"),
        url.replace("/acme/", "/./acme/"),
        url.replace("/acme/", "/acm%65/"),
        url.replace(BASE, ""),
        String::new(),
    ] {
        let mut header = client.header(&url).await;
        header["url"] = json!(signed);
        let answer = client.send(&url, &client.signer.jws(&header, order.as_bytes())).await;
        let detail = answer.expect_problem(403, "unauthorized");
        assert!(detail.contains(&format!("\"{signed}\"")) && detail.contains(&url), "URL-01, URL-02: {detail}");
    }
    // The other way round: what the request line says counts, not what the signed URL would lead to.
    for asked in [format!("{url}?x"), url.replace("/acme/", "/acm%65/")] {
        let header = client.header(&url).await;
        let answer = client.send(&asked, &client.signer.jws(&header, order.as_bytes())).await;
        assert!(matches!(answer.status.as_u16(), 403 | 404), "URL-01: {asked}: {answer}");
    }
    // Whatever the request line calls the host, the URL is the one that was given out: URL-03.
    let header = client.header(&url).await;
    let jws = client.signer.jws(&header, order.as_bytes());
    client.send(&url.replace("ca.test:14000", "10.0.0.1"), &jws).await.expect(201);
}

fn set(mut header: Value, name: &str, value: Value) -> Value {
    header[name] = value;
    header
}

/// Fetches the account with a nonce at hand.
async fn fetch_with(client: &Client, nonce: &str) -> Response {
    let url = client.kid();
    let header = json!({ "alg": client.signer.alg(), "kid": url, "nonce": nonce, "url": url });
    client.send(url, &client.signer.jws(&header, b"")).await
}
