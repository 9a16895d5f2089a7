//! Problem documents (RFC 8555 section 6.7, RFC 9457): each kind that a client can provoke, as it looks on the wire.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::client::{Client, Response, challenge, csr};
use crate::support::dns::Failure;
use crate::support::resources::resources;
use crate::support::signer::{Signer, b64};
use crate::support::world::{BASE, World};

const URN: &str = "urn:ietf:params:acme:error:";

/// The kinds of RFC 8555 section 6.7 and of the extensions that this server has, with the status that goes with each.
const REGISTERED: &[(&str, &[u16])] = &[
    ("accountDoesNotExist", &[400]),
    ("alreadyReplaced", &[409]),
    ("alreadyRevoked", &[400]),
    ("badCSR", &[400]),
    ("badNonce", &[400]),
    ("badPublicKey", &[400]),
    ("badRevocationReason", &[400]),
    ("badSignatureAlgorithm", &[400]),
    ("caa", &[403]),
    ("compound", &[400]),
    ("connection", &[400]),
    ("dns", &[400]),
    ("externalAccountRequired", &[403]),
    ("incorrectResponse", &[400]),
    ("invalidContact", &[400]),
    ("invalidProfile", &[400]),
    ("malformed", &[400, 404, 405, 409, 413, 415]),
    ("orderNotReady", &[403]),
    ("rateLimited", &[429]),
    ("rejectedIdentifier", &[400]),
    ("serverInternal", &[500, 503]),
    ("tls", &[400]),
    ("unauthorized", &[401, 403]),
    ("unsupportedContact", &[400]),
    ("unsupportedIdentifier", &[400]),
    ("userActionRequired", &[403]),
];

/// What every refusal looks like; the name of its type.
fn kind_of(answer: &Response) -> String {
    assert_eq!(answer.header("content-type"), Some("application/problem+json"), "ERR-01: {answer}");
    let problem = answer.json();
    assert_eq!(problem["status"], answer.status.as_u16(), "ERR-08: {answer}");
    assert_eq!(problem.get("identifier"), None, "ERR-06: {answer}");
    check_problem(&problem);
    if let Some(wait) = answer.header("retry-after") {
        assert!(wait.parse::<u32>().is_ok_and(|seconds| seconds > 0), "RL-02: {wait}");
    }
    problem["type"].as_str().unwrap().strip_prefix(URN).unwrap().to_owned()
}

/// What every problem looks like, wherever it stands.
fn check_problem(problem: &Value) {
    let kind = problem["type"].as_str().and_then(|kind| kind.strip_prefix(URN)).unwrap_or_else(|| panic!("{problem}"));
    let (_, statuses) = REGISTERED.iter().find(|(name, _)| *name == kind).unwrap_or_else(|| panic!("ERR-02: {kind}"));
    if let Some(status) = problem["status"].as_u64() {
        assert!(statuses.iter().any(|known| u64::from(*known) == status), "ERR-09: {kind} with {status}");
    }
    let detail = problem["detail"].as_str().unwrap_or_else(|| panic!("ERR-01: {problem}"));
    assert!(!detail.is_empty() && detail.len() < 1500, "ERR-04: {detail}");
    assert!(!detail.chars().any(char::is_control), "SEC-11: {detail:?}");
    for leak in ["src/", ".rs", "panicked", "sled", "serde", "openssl", "josekit", "/tmp", "Error {", "Error("] {
        assert!(!detail.contains(leak), "ERR-04: {leak} in {detail}");
    }
    for sub in problem["subproblems"].as_array().into_iter().flatten() {
        assert!(sub["identifier"]["type"].is_string() && sub["identifier"]["value"].is_string(), "ERR-05: {sub}");
        check_problem(sub);
    }
}

fn names(values: &[&str]) -> Value {
    let name = |value: &&str| json!({ "type": "dns", "value": value });
    json!({ "identifiers": values.iter().map(name).collect::<Vec<_>>() })
}

#[tokio::test]
async fn every_refusal_of_a_request_has_its_type_its_status_and_names_what_is_wrong() {
    let world = World::new().await;
    let client = world.client().await;
    let (done, chain) = world.certificate(&client, &["done.example.com"]).await;
    let der = pem::parse(&chain).unwrap().into_contents();
    let (_, ready) = world.ready_order(&client, &["ready.example.com"]).await;
    let pending = client.new_order(&["pending.example.com"]).await.expect(201).json();
    let mut stranger = world.stranger();
    let key_change = client.resource("keyChange").await;
    let own_key = client.signer.key_change(&client.signer, client.kid(), &key_change);
    let replaces = chancery::domain::Serial::random();
    let replaces = format!("AAAA.{}", b64(replaces.as_bytes()));
    let rows: Vec<(&str, u16, &str, Response)> = vec![
        ("accountDoesNotExist", 400, "", stranger.new_account_of(json!({ "onlyReturnExisting": true })).await),
        ("invalidContact", 400, "mailto:x", stranger.new_account_of(json!({ "contact": ["mailto:x"] })).await),
        ("unsupportedContact", 400, "tel:+1", stranger.new_account_of(json!({ "contact": ["tel:+1"] })).await),
        ("unsupportedIdentifier", 400, "\"email\"", order_of(&client, "email", "a@example.com").await),
        ("malformed", 400, "a..example", client.new_order(&["a..example"]).await),
        ("malformed", 400, "\"identifiers\"", client.new_order(&[]).await),
        ("rejectedIdentifier", 400, "x.onion", client.new_order(&["x.onion"]).await),
        ("invalidProfile", 400, "101", client.new_order(&many(101)).await),
        ("compound", 400, "a..example", client.new_order_of(two_faults()).await),
        ("invalidProfile", 400, "\"gold\"", client.new_order_of(with(names(&["a.example"]), "profile", "gold")).await),
        ("malformed", 400, "notBefore", client.new_order_of(with(names(&["a.example"]), "notBefore", "now")).await),
        ("malformed", 400, "replaces", client.new_order_of(with(names(&["a.example"]), "replaces", "x")).await),
        ("malformed", 400, &replaces, client.new_order_of(with(names(&["a.example"]), "replaces", &replaces)).await),
        ("orderNotReady", 403, "pending", client.finalize(&pending, &csr(&["pending.example.com"]).0).await),
        ("badCSR", 400, "CSR", client.finalize(&ready, b"\x30\x00").await),
        ("badCSR", 400, "other.example.com", client.finalize(&ready, &csr(&["other.example.com"]).0).await),
        ("malformed", 400, "\"csr\"", client.post(ready["finalize"].as_str().unwrap(), &json!({ "csr": "a=" })).await),
        ("badRevocationReason", 400, "Reason 7", client.revoke(&der, Some(7)).await),
        ("malformed", 404, "", client.revoke(b"\x30\x00", None).await),
        ("malformed", 404, "order", client.post_as_get(&format!("{BASE}/acme/order/AAAAAAAAAAAAAAAAAAAAAA")).await),
        ("malformed", 405, "PUT", client.request(axum::http::Method::PUT, client.kid(), None, "".into()).await),
        ("malformed", 409, "key", client.post(&key_change, &own_key).await),
        ("malformed", 413, "65536", client.raw(client.kid(), vec![b' '; 70_000], "application/jose+json").await),
        ("malformed", 415, "text/html", client.raw(client.kid(), "", "text/html").await),
        ("unauthorized", 403, BASE, misdirected(&client).await),
    ];
    for (kind, status, told, answer) in rows {
        assert_eq!((kind_of(&answer).as_str(), answer.status.as_u16()), (kind, status), "{answer}");
        assert!(answer.json()["detail"].as_str().unwrap().contains(told), "{told}: {answer}");
    }
    client.revoke(&der, Some(4)).await.expect(200);
    assert_eq!(kind_of(&client.revoke(&der, None).await), "alreadyRevoked");
    assert_eq!(done["status"], "valid");
}

fn with(mut payload: Value, name: &str, value: &str) -> Value {
    payload[name] = json!(value);
    payload
}

fn many(count: usize) -> Vec<&'static str> {
    (0..count).map(|n| &*Box::leak(format!("n{n}.example.com").into_boxed_str())).collect()
}

fn two_faults() -> Value {
    json!({ "identifiers": [
        { "type": "dns", "value": "a..example" }, { "type": "dns", "value": "good.example.com" },
        { "type": "email", "value": "x@example.com" },
    ]})
}

async fn order_of(client: &Client, kind: &str, value: &str) -> Response {
    client.new_order_of(json!({ "identifiers": [{ "type": kind, "value": value }] })).await
}

async fn misdirected(client: &Client) -> Response {
    let header = client.header(&format!("{}/orders", client.kid())).await;
    client.send(client.kid(), &client.signer.jws(&header, b"")).await
}

#[tokio::test]
async fn several_bad_names_have_a_subproblem_each_and_good_ones_none() {
    let world = World::new().await;
    let client = world.client().await;
    let answer = client.new_order_of(two_faults()).await;
    assert_eq!(kind_of(&answer), "compound", "ERR-07");
    let subproblems = answer.json()["subproblems"].take();
    let listed: Vec<(&str, &str)> = subproblems
        .as_array()
        .unwrap()
        .iter()
        .map(|sub| (sub["type"].as_str().unwrap(), sub["identifier"]["value"].as_str().unwrap()))
        .collect();
    let (malformed, unsupported) = (format!("{URN}malformed"), format!("{URN}unsupportedIdentifier"));
    assert_eq!(listed, [(&*malformed, "a..example"), (&*unsupported, "x@example.com")], "ERR-05");
    let same = client.new_order(&["x.onion", "y.onion", "good.example.com"]).await;
    assert_eq!(kind_of(&same), "rejectedIdentifier", "ERR-07: problems of one kind keep it");
    assert_eq!(same.json()["subproblems"].as_array().unwrap().len(), 2);
    let one = client.new_order(&["x.onion", "good.example.com"]).await;
    assert_eq!(kind_of(&one), "rejectedIdentifier");
    assert_eq!(one.json().get("subproblems"), None);
    // Whatever a client wrote, it is quoted short and clean.
    let huge = "\u{202e}\u{0}x".repeat(5000);
    let odd = json!({ "identifiers": [{ "type": huge, "value": huge }, { "type": "dns", "value": huge }] });
    let answer = client.new_order_of(odd).await;
    kind_of(&answer);
    assert!(answer.body.len() < 6000, "ERR-04: {}", answer.body.len());
}

#[tokio::test]
async fn problems_of_validation_stand_in_the_challenge_with_their_kind() {
    let world = World::with(|config| {
        config.acme.validation_tries = 1;
        config.validation.timeout_ms = 2_000;
    })
    .await;
    let client = world.client().await;
    world.dns.fail("dns.example.com", Failure::ServFail);
    world.dns.caa("caa.example.com", 0, "issue", "other.test");
    let mut seen = BTreeMap::new();
    for (name, method) in [
        ("dns.example.com", "http-01"),
        ("caa.example.com", "http-01"),
        ("wrong.example.com", "http-01"),
        ("tls.example.com", "tls-alpn-01"),
        ("txt.example.com", "dns-01"),
    ] {
        let order = client.new_order(&[name]).await.expect(201);
        let offer = challenge(&client.authorizations(&order.json()).await.remove(0), method);
        if name == "wrong.example.com" {
            world.web.serve(offer["token"].as_str().unwrap(), "<html>/etc/passwd\u{1b}[31m</html>");
        }
        let failed = client.respond(&offer).await.expect(200).json();
        assert_eq!(failed["status"], "invalid", "{name}: {failed}");
        check_problem(&failed["error"]);
        assert!(failed["error"]["detail"].as_str().unwrap().contains(name), "{failed}");
        seen.insert(name, failed["error"]["type"].as_str().unwrap().trim_start_matches(URN).to_owned());
        let order = client.post_as_get(order.location()).await.expect(200).json();
        assert_eq!(order["status"], "invalid");
        check_problem(&order["error"]);
        assert_eq!(order["error"].get("identifier"), None, "ERR-06");
    }
    let expected = [
        ("caa.example.com", "caa"),
        ("dns.example.com", "dns"),
        ("tls.example.com", "tls"),
        ("wrong.example.com", "incorrectResponse"),
    ];
    for (name, kind) in expected {
        assert_eq!(seen[name], kind, "ERR-10: {name}");
    }
    assert!(matches!(&*seen["txt.example.com"], "dns" | "unauthorized"), "ERR-10: {seen:?}");
}

#[tokio::test]
async fn unsupported_algorithms_are_answered_with_those_that_are_supported() {
    let world = World::new().await;
    let client = world.client().await;
    let mut header = client.header(client.kid()).await;
    header["alg"] = json!("ES256K");
    let answer = client.send(client.kid(), &client.signer.jws(&header, b"")).await;
    assert_eq!(kind_of(&answer), "badSignatureAlgorithm");
    let mut algorithms: Vec<String> = serde_json::from_value(answer.json()["algorithms"].take()).unwrap();
    algorithms.sort();
    assert_eq!(algorithms, ["ES256", "ES384", "ES512", "EdDSA", "RS256"], "JWS-16");
    for alg in algorithms {
        let alg = crate::support::signer::ALGORITHMS.into_iter().find(|known| *known == alg).unwrap();
        Client::with_key(world.router(), BASE, Signer::generate(alg)).new_account().await.expect(201);
    }
    let other = client.post(client.kid(), &json!([])).await;
    assert_eq!(other.json().get("algorithms"), None);
}

#[tokio::test]
async fn limits_are_told_with_when_to_come_back() {
    let world = World::with(|config| config.limits.orders_per_hour = 2).await;
    let (client, other) = (world.client().await, world.client().await);
    for n in 0..2 {
        client.new_order(&[&format!("n{n}.example.com")]).await.expect(201);
    }
    let refused = client.new_order(&["more.example.com"]).await;
    assert_eq!((kind_of(&refused).as_str(), refused.status.as_u16()), ("rateLimited", 429), "RL-01");
    let wait: u64 = refused.header("retry-after").expect("RL-02").parse().unwrap();
    assert!((1..=3600).contains(&wait), "RL-02: {wait}");
    other.new_order(&["more.example.com"]).await.expect(201);
    world.clock.advance(Duration::from_secs(wait) - Duration::from_secs(1));
    assert_eq!(kind_of(&client.new_order(&["more.example.com"]).await), "rateLimited");
    world.clock.advance(Duration::from_secs(1));
    client.new_order(&["more.example.com"]).await.expect(201);
}

#[tokio::test]
async fn what_people_must_do_is_told_with_a_place_to_do_it() {
    let world = World::with(|config| {
        config.acme.external_account_required = true;
        config.acme.terms_of_service = Some("https://ca.test/terms".to_owned());
    })
    .await;
    let mut client = world.stranger();
    let terms = client.new_account_of(json!({})).await;
    assert_eq!((kind_of(&terms).as_str(), terms.status.as_u16()), ("userActionRequired", 403));
    assert_eq!(terms.json()["instance"], "https://ca.test/terms", "ERR-12");
    let binding = client.new_account().await;
    assert_eq!((kind_of(&binding).as_str(), binding.status.as_u16()), ("externalAccountRequired", 403));
    assert_eq!(binding.json().get("instance"), None);
}

#[tokio::test]
async fn no_garbage_makes_the_server_fail() {
    let world = World::new().await;
    let client = world.client().await;
    let garbage = [
        json!({ "identifiers": null }),
        json!({ "identifiers": [null] }),
        json!({ "identifiers": { "type": "dns" } }),
        json!({ "identifiers": [{ "type": "dns", "value": ["a"] }] }),
        json!({ "identifier": "x", "csr": 1, "certificate": {}, "status": [], "contact": {}, "reason": -1 }),
        json!({ "csr": "AAAA", "certificate": "AAAA", "reason": 1e300, "status": "deactivated\u{0}" }),
        json!({ "csr": b64([0x30, 0x84, 0xff, 0xff, 0xff, 0xff]), "certificate": b64([0x30; 2000]), "reason": 4294967296_u64 }),
        json!({ "protected": "e30", "payload": "", "signature": "" }),
        json!({ "notBefore": "9999-12-31T23:59:59Z", "notAfter": "0000-01-01T00:00:00Z", "identifiers": [{ "type": "dns", "value": "a.example" }] }),
        json!({ "notAfter": "+10000-01-01T00:00:00Z", "identifiers": [{ "type": "ip", "value": "0.0.0.0" }] }),
    ];
    for resource in resources(&world, &client).await {
        for payload in &garbage {
            let answer = if resource.name == "newAccount" {
                client.post_jwk(&resource.url, payload).await
            } else {
                client.post(&resource.url, payload).await
            };
            assert!(answer.status.as_u16() < 500, "{} with {payload}: {answer}", resource.name);
            if answer.status.is_client_error() {
                kind_of(&answer);
            }
        }
    }
}
