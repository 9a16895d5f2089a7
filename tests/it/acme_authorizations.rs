//! Authorizations and pre-authorization, through the real router.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};

use crate::acme_tools::{DAY, Gate, HOUR, add_product, has_parts, look, order_of, order_one, problem};
use crate::support::client::{Client, Response, challenge, csr};
use crate::support::signer::b64;
use crate::support::world::{BASE, World};

const SECOND: Duration = Duration::from_secs(1);

async fn deactivate(client: &Client, authz: &str) -> Response {
    client.post(authz, &json!({ "status": "deactivated" })).await
}

async fn new_authz(client: &Client, kind: &str, value: &str) -> Response {
    let payload = json!({ "identifier": { "type": kind, "value": value } });
    client.post(&client.resource("newAuthz").await, &payload).await
}

fn kinds(authz: &Value) -> Vec<&str> {
    authz["challenges"].as_array().unwrap().iter().map(|challenge| challenge["type"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_pending_authorization_is_of_the_form_that_clients_read() {
    let world = World::new().await;
    let client = world.client().await;
    let (_, _, url, authz) = order_one(&client, "example.com").await;
    assert_eq!(authz["status"], "pending");
    assert_eq!(authz["identifier"], json!({ "type": "dns", "value": "example.com" }));
    assert_eq!(authz["expires"], (world.now() + 7 * DAY).to_string());
    assert_eq!(authz.get("wildcard"), None);
    assert_eq!(kinds(&authz), ["http-01", "dns-01", "tls-alpn-01"]);
    let challenges = authz["challenges"].as_array().unwrap();
    let members = BTreeSet::from(["type", "url", "status", "token"]);
    for challenge in challenges {
        let challenge = challenge.as_object().unwrap();
        assert_eq!(challenge.keys().map(String::as_str).collect::<BTreeSet<_>>(), members);
        assert!(challenge.values().all(Value::is_string), "challenges are flat: {challenge:?}");
        assert_eq!(challenge["status"], "pending");
    }
    // One token for all, of at least 128 bits, in the alphabet that clients put into file names.
    let token = challenges[0]["token"].as_str().unwrap();
    assert!(challenges.iter().all(|challenge| challenge["token"] == token));
    assert!(token.len() >= 22 && token.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b)), "{token}");
    // Clients that read with regular expressions take the first "value", and each "type" to begin its challenge.
    let answer = client.post_as_get(&url).await;
    assert_eq!(answer.location(), url);
    assert_eq!(answer.header("retry-after"), None);
    let text = answer.text();
    assert_eq!(text.matches("\"value\"").count(), 1, "{text}");
    assert_eq!(text.matches("{\"type\":\"").count(), 4, "{text}");
}

#[tokio::test]
async fn tokens_are_never_used_again() {
    let world = World::new().await;
    let client = world.client().await;
    let names: Vec<String> = (0..50).map(|n| format!("n{n}.example")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let order = client.new_order(&names).await.expect(201).json();
    let authzs = client.authorizations(&order).await;
    let tokens: BTreeSet<&str> = authzs.iter().map(|authz| authz["challenges"][0]["token"].as_str().unwrap()).collect();
    assert_eq!(tokens.len(), 50);
}

#[tokio::test]
async fn challenges_are_those_that_can_prove_the_name_and_that_the_product_takes() {
    let world = World::new().await;
    let client = world.client().await;
    for (kind, value, shown, wildcard, expected) in [
        ("dns", "example.com", "example.com", None, &["http-01", "dns-01", "tls-alpn-01"][..]),
        ("dns", "*.example.com", "example.com", Some(true), &["dns-01"]),
        ("ip", "127.0.0.1", "127.0.0.1", None, &["http-01", "tls-alpn-01"]),
        ("ip", "2001:db8::1", "2001:db8::1", None, &["http-01", "tls-alpn-01"]),
    ] {
        let order = client.new_order_of(json!({ "identifiers": [{ "type": kind, "value": value }] })).await.expect(201);
        let authz = client.authorizations(&order.json()).await.swap_remove(0);
        assert_eq!(authz["identifier"], json!({ "type": kind, "value": shown }));
        assert_eq!(authz.get("wildcard"), wildcard.map(Value::from).as_ref(), "{value}");
        assert_eq!(kinds(&authz), expected, "{value}");
    }
    let order =
        client.new_order_of(order_of(&["example.com"], json!({ "profile": "single" }))).await.expect(201).json();
    assert_eq!(kinds(&client.authorizations(&order).await[0]), ["http-01"]);
}

#[tokio::test]
async fn a_valid_authorization_shows_how_and_when_it_was_proven_and_ends_with_its_use() {
    let world = World::new().await;
    let client = world.client().await;
    let (_, _, url, authz) = order_one(&client, "example.com").await;
    world.pass(HOUR).await;
    world.prove(&client, &authz).await.expect(200);
    let valid = look(&client, &url).await;
    assert_eq!(valid["status"], "valid");
    assert_eq!(valid["expires"], (world.now() + 30 * DAY).to_string());
    assert_eq!(kinds(&valid), ["http-01"]);
    let proven = challenge(&valid, "http-01");
    assert_eq!((&proven["status"], &proven["validated"]), (&json!("valid"), &json!(world.now().to_string())));
    assert_eq!(proven["url"], challenge(&authz, "http-01")["url"]);
    assert_eq!(proven.get("error"), None);
    world.pass(30 * DAY - SECOND).await;
    assert_eq!(look(&client, &url).await["status"], "valid");
    world.pass(SECOND).await;
    assert_eq!(look(&client, &url).await["status"], "expired");
    deactivate(&client, &url).await.expect_problem(400, "malformed");
    assert_eq!(look(&client, &url).await["status"], "expired");
}

#[tokio::test]
async fn a_pending_authorization_ends_with_the_clock() {
    let world = World::new().await;
    let client = world.client().await;
    let (_, _, url, authz) = order_one(&client, "example.com").await;
    world.pass(7 * DAY - SECOND).await;
    assert_eq!(look(&client, &url).await["status"], "pending");
    world.pass(SECOND).await;
    assert_eq!(look(&client, &url).await["status"], "invalid");
    let refused = client.respond(&challenge(&authz, "http-01")).await;
    has_parts(&refused.expect_problem(400, "malformed"), &["example.com", "expired"]);
    deactivate(&client, &url).await.expect_problem(400, "malformed");
    assert!(world.web.requests().is_empty());
}

#[tokio::test]
async fn what_is_given_up_stays_given_up() {
    let world = World::new().await;
    let client = world.client().await;
    let (order, _, url, authz) = order_one(&client, "pending.example").await;
    let answer = deactivate(&client, &url).await.expect(200);
    assert_eq!((answer.location(), &answer.json()["status"]), (url.as_str(), &json!("deactivated")));
    client.respond(&challenge(&authz, "http-01")).await.expect_problem(400, "malformed");
    has_parts(&deactivate(&client, &url).await.expect_problem(400, "malformed"), &["pending.example", "deactivated"]);
    assert_eq!(look(&client, &url).await["status"], "deactivated");
    assert!(world.web.requests().is_empty());
    let order = look(&client, &order).await;
    assert_eq!(order["status"], "invalid");
    problem(&order["error"], "unauthorized", &["pending.example", "deactivated"]);

    // One that was valid is not used again, and what was proven by it before is no longer ready.
    let (place, ready) = world.ready_order(&client, &["valid.example"]).await;
    let url = ready["authorizations"][0].as_str().unwrap();
    deactivate(&client, url).await.expect(200);
    deactivate(&client, url).await.expect_problem(400, "malformed");
    let spoilt = look(&client, &place).await;
    assert_eq!(spoilt["status"], "invalid");
    problem(&spoilt["error"], "unauthorized", &["valid.example", "deactivated"]);
    client.finalize(&ready, &csr(&["valid.example"]).0).await.expect_problem(403, "orderNotReady");
    assert_eq!(client.new_order(&["valid.example"]).await.expect(201).json()["status"], "pending");

    // What was issued stays.
    let (done, _) = world.certificate(&client, &["issued.example"]).await;
    deactivate(&client, done["authorizations"][0].as_str().unwrap()).await.expect(200);
    client.certificate(&done).await;

    // One that failed can't be given up.
    let (_, _, url, authz) = order_one(&client, "failed.example").await;
    client.respond(&challenge(&authz, "dns-01")).await.expect(200);
    deactivate(&client, &url).await.expect_problem(400, "malformed");
    assert_eq!(look(&client, &url).await["status"], "invalid");
}

#[tokio::test]
async fn nothing_but_deactivation_can_be_asked_of_an_authorization() {
    let world = World::new().await;
    let client = world.client().await;
    let (_, _, url, authz) = order_one(&client, "example.com").await;
    for payload in [
        json!({ "status": "valid" }),
        json!({ "status": "revoked" }),
        json!({ "status": "DEACTIVATED" }),
        json!({ "status": null }),
        json!({ "status": 5 }),
        json!({ "expires": "2030-01-01T00:00:00Z" }),
        json!([]),
        json!("deactivated"),
    ] {
        client.post(&url, &payload).await.expect_problem(400, "malformed");
    }
    assert_eq!(look(&client, &url).await, authz);
}

#[tokio::test]
async fn authorizations_of_others_are_neither_shown_nor_changed() {
    let world = World::new().await;
    let (client, stranger) = (world.client().await, world.client().await);
    let (_, _, url, authz) = order_one(&client, "example.com").await;
    stranger.post_as_get(&url).await.expect_problem(404, "malformed");
    deactivate(&stranger, &url).await.expect_problem(404, "malformed");
    assert_eq!(look(&client, &url).await, authz);
    for id in ["x", "aaaaaaaaaaaaaaaaaaaaaa", "%00"] {
        client.post_as_get(&format!("{BASE}/acme/authz/{id}")).await.expect_problem(404, "malformed");
    }
    client.get(&url).await.expect_problem(405, "malformed");
}

#[tokio::test]
async fn a_validation_that_ends_after_deactivation_changes_nothing() {
    let gate = Gate::closed().await;
    let world = World::with(|config| {
        config.validation.http_port = gate.port();
        config.acme.challenge_wait_ms = 1;
    })
    .await;
    let client = world.client().await;
    gate.serve_any(&client.thumbprint());
    let (order, _, url, authz) = order_one(&client, "example.com").await;
    assert_eq!(client.respond(&challenge(&authz, "http-01")).await.expect(200).json()["status"], "processing");
    gate.arrived(1).await;
    assert_eq!(deactivate(&client, &url).await.expect(200).json()["status"], "deactivated");
    gate.open();
    world.pass(Duration::ZERO).await;
    let after = look(&client, &url).await;
    assert_eq!(after["status"], "deactivated");
    assert!(after["challenges"].as_array().unwrap().iter().all(|challenge| challenge["status"] != "valid"), "{after}");
    assert_eq!(look(&client, &order).await["status"], "invalid");
    assert_eq!(client.new_order(&["example.com"]).await.expect(201).json()["status"], "pending");
}

#[tokio::test]
async fn a_name_and_its_wildcard_are_proven_at_the_same_time() {
    let world = World::new().await;
    let client = world.client().await;
    let order = client.new_order(&["example.com", "*.example.com"]).await.expect(201);
    let authzs = client.authorizations(&order.json()).await;
    let offers: Vec<Value> = authzs.iter().map(|authz| challenge(authz, "dns-01")).collect();
    for offer in &offers {
        let proof = client.key_authorization(offer["token"].as_str().unwrap());
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, proof.as_bytes());
        world.dns.txt("_acme-challenge.example.com", &b64(digest));
    }
    let (a, b) = tokio::join!(client.respond(&offers[0]), client.respond(&offers[1]));
    assert_eq!((&a.json()["status"], &b.json()["status"]), (&json!("valid"), &json!("valid")));
    assert_eq!(look(&client, order.location()).await["status"], "ready");
}

#[tokio::test]
async fn a_name_authorized_ahead_makes_its_order_ready_from_birth() {
    let world = World::new().await;
    let client = world.client().await;
    let made = new_authz(&client, "dns", "Example.com").await.expect(201);
    let url = made.location().to_owned();
    assert_eq!(made.json(), look(&client, &url).await);
    assert_eq!(made.json()["identifier"]["value"], "example.com");
    assert_eq!(made.json()["status"], "pending");
    world.prove(&client, &made.json()).await.expect(200);
    let again = new_authz(&client, "dns", "example.com").await.expect(200);
    assert_eq!((again.location(), &again.json()["status"]), (url.as_str(), &json!("valid")));
    let order = client.new_order(&["example.com"]).await.expect(201).json();
    assert_eq!((&order["status"], &order["authorizations"]), (&json!("ready"), &json!([url])));
    new_authz(&client, "ip", "127.0.0.1").await.expect(201);
}

#[tokio::test]
async fn names_that_can_not_be_ordered_are_not_authorized_ahead() {
    let world = World::new().await;
    let client = world.client().await;
    for (kind, value, error) in [
        ("dns", "*.example.com", "malformed"),
        ("dns", "a_b.example", "malformed"),
        ("dns", "example.com.", "malformed"),
        ("dns", "a.onion", "rejectedIdentifier"),
        ("email", "a@example.com", "unsupportedIdentifier"),
    ] {
        new_authz(&client, kind, value).await.expect_problem(400, error);
    }
    let url = client.resource("newAuthz").await;
    for payload in [json!({}), json!({ "identifier": "example.com" }), json!({ "identifier": [] }), json!([])] {
        client.post(&url, &payload).await.expect_problem(400, "malformed");
    }
    let single = client.clone().with_directory(format!("{BASE}/product/single/directory"));
    new_authz(&single, "ip", "127.0.0.1").await.expect_problem(400, "invalidProfile");
    let bound = client.clone().with_directory(format!("{BASE}/product/bound/directory"));
    new_authz(&bound, "dns", "example.com").await.expect_problem(400, "invalidProfile");
}

#[tokio::test]
async fn only_an_authorization_that_an_order_can_use_is_returned_for_a_new_one() {
    let brief = "validation_reuse_days = 5\ncaa_identities = [\"ca.test\"]";
    let world = World::with(|config| add_product(config, "brief", brief)).await;
    let client = world.client().await;
    world.ready_order(&client, &["example.com"]).await;
    let brief = client.clone().with_directory(format!("{BASE}/product/brief/directory"));
    let single = client.clone().with_directory(format!("{BASE}/product/single/directory"));
    new_authz(&brief, "dns", "example.com").await.expect(200);
    new_authz(&single, "dns", "example.com").await.expect(201);
    world.pass(5 * DAY).await;
    new_authz(&client, "dns", "example.com").await.expect(200);
    let made = new_authz(&brief, "dns", "example.com").await.expect(201);
    world.prove(&client, &made.json()).await.expect(200);
    new_authz(&brief, "dns", "example.com").await.expect(200);
    assert_eq!(brief.new_order(&["example.com"]).await.expect(201).json()["status"], "ready");
}
