//! Challenges: answered, validated end to end, failed and tried again, through the real router.

use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::acme_tools::{Gate, has_parts, look, order_one, problem, url};
use crate::support::client::{Client, challenge};
use crate::support::dns::Failure;
use crate::support::signer::{Signer, b64};
use crate::support::target::{AlpnCertificate, Target};
use crate::support::world::{BASE, World};

/// The challenge of that type in a new order for a name, with the order's and the authorization's URL.
async fn offer(client: &Client, name: &str, kind: &str) -> (Value, String, String) {
    let (order, _, authz_url, authz) = order_one(client, name).await;
    (challenge(&authz, kind), order, authz_url)
}

fn token(offer: &Value) -> &str {
    url(offer, "token")
}

/// Puts the right TXT record into the DNS.
fn prove_by_dns(world: &World, client: &Client, name: &str, offer: &Value) {
    let proof = client.key_authorization(token(offer));
    world.dns.txt(&format!("_acme-challenge.{name}"), &b64(digest(&SHA256, proof.as_bytes())));
}

#[tokio::test]
async fn an_answer_starts_validation_and_is_answered_by_the_challenge() {
    let world = World::new().await;
    let client = world.client().await;
    for (n, body) in [
        json!({}),
        json!({ "keyAuthorization": "of old clients" }),
        json!({ "resource": "challenge", "type": "http-01", "keyAuthorization": "x.y" }),
        json!({ "status": "invalid", "token": [1, 2, 3] }),
    ]
    .iter()
    .enumerate()
    {
        let (offer, order, authz) = offer(&client, &format!("n{n}.example"), "http-01").await;
        let answer = client.post(url(&offer, "url"), body).await.expect(200);
        assert_eq!(answer.links("up"), [authz.as_str()]);
        assert_eq!(answer.links("index"), [format!("{BASE}/directory")]);
        assert_eq!(answer.header("content-type"), Some("application/json"));
        assert_eq!(answer.header("retry-after"), None);
        let shown = answer.json();
        for member in ["type", "url", "token"] {
            assert_eq!(shown[member], offer[member]);
        }
        assert_eq!((&shown["status"], &shown["validated"]), (&json!("valid"), &json!(world.now().to_string())));
        assert_eq!(look(&client, &order).await["status"], "ready");
        assert_eq!(look(&client, &authz).await["status"], "valid");
    }
}

#[tokio::test]
async fn an_answer_that_is_no_object_leaves_the_challenge_alone() {
    let world = World::new().await;
    let client = world.client().await;
    let (offer, _, authz) = offer(&client, "example.com", "http-01").await;
    let place = url(&offer, "url");
    for payload in ["[]", "\"x\"", "5", "null", "{", "{}x", "{\"a\":1,\"a\":2}", "\u{0}"] {
        let header = client.header(place).await;
        client.send(place, &client.signer.jws(&header, payload.as_bytes())).await.expect_problem(400, "malformed");
    }
    client.get(place).await.expect_problem(405, "malformed");
    assert_eq!(look(&client, &authz).await["challenges"][0], offer);
    assert!(world.web.requests().is_empty());
}

#[tokio::test]
async fn a_fetch_of_a_challenge_starts_nothing() {
    let world = World::new().await;
    let client = world.client().await;
    let (offer, _, authz) = offer(&client, "example.com", "http-01").await;
    let answer = client.post_as_get(url(&offer, "url")).await.expect(200);
    assert_eq!(answer.json(), offer);
    assert_eq!(answer.links("up"), [authz]);
    world.pass(Duration::ZERO).await;
    assert!(world.web.requests().is_empty());
}

#[tokio::test]
async fn a_second_answer_changes_nothing() {
    let gate = Gate::closed().await;
    let world = World::with(|config| {
        config.validation.http_port = gate.port();
        config.acme.challenge_wait_ms = 1;
    })
    .await;
    let client = world.client().await;
    gate.serve_any(&client.thumbprint());
    let (offer, order, authz) = offer(&client, "example.com", "http-01").await;
    for _ in 0..3 {
        let answer = client.respond(&offer).await.expect(200);
        assert_eq!(answer.json()["status"], "processing");
        assert_eq!(answer.header("retry-after"), Some("1"));
    }
    gate.arrived(1).await;
    // Another challenge of the same authorization does not begin beside it.
    let pending = look(&client, &authz).await;
    let other = client.respond(&challenge(&pending, "dns-01")).await.expect(200);
    assert_eq!(other.json()["status"], "pending");
    // RFC 8555 knows no authorization that is processing.
    let polled = client.post_as_get(&authz).await.expect(200);
    assert_eq!((&polled.json()["status"], polled.header("retry-after")), (&json!("pending"), Some("1")));
    assert_eq!(look(&client, &order).await["status"], "pending");
    gate.open();
    world.pass(Duration::ZERO).await;
    for _ in 0..2 {
        let answer = client.respond(&offer).await.expect(200);
        assert_eq!(answer.json()["status"], "valid");
        assert_eq!(answer.header("retry-after"), None);
    }
    assert_eq!(look(&client, &order).await["status"], "ready");
    assert!(!world.dns.queries().contains(&"TXT _acme-challenge.example.com".to_owned()));
}

#[tokio::test]
async fn a_challenge_that_failed_stays_so() {
    let world = World::new().await;
    let client = world.client().await;
    let (offer, _, authz) = offer(&client, "example.com", "dns-01").await;
    let failed = client.respond(&offer).await.expect(200).json();
    assert_eq!(failed["status"], "invalid");
    prove_by_dns(&world, &client, "example.com", &offer);
    assert_eq!(client.respond(&offer).await.expect(200).json(), failed);
    world.pass(Duration::from_secs(60)).await;
    assert_eq!(look(&client, url(&offer, "url")).await, failed);
    assert_eq!(look(&client, &authz).await["status"], "invalid");
    // A new order begins anew.
    assert_eq!(client.new_order(&["example.com"]).await.expect(201).json()["status"], "pending");
}

#[tokio::test]
async fn challenges_that_are_not_on_offer_are_not_found() {
    let world = World::new().await;
    let (client, stranger) = (world.client().await, world.client().await);
    let (offer, _, authz) = offer(&client, "example.com", "http-01").await;
    let place = url(&offer, "url");
    let base = place.strip_suffix("http-01").unwrap();
    for other in ["http-02", "HTTP-01", "", "dns-account-01", "x"] {
        client.post(&format!("{base}{other}"), &json!({})).await.expect_problem(404, "malformed");
    }
    let (_, _, _, wildcard) = order_one(&client, "*.example.com").await;
    let wildcard = challenge(&wildcard, "dns-01")["url"].as_str().unwrap().replace("dns-01", "http-01");
    client.post(&wildcard, &json!({})).await.expect_problem(404, "malformed");
    client.post_as_get(&wildcard).await.expect_problem(404, "malformed");
    let (_, _, _, address) = order_one(&client, "127.0.0.1").await;
    let address = challenge(&address, "http-01")["url"].as_str().unwrap().replace("http-01", "dns-01");
    client.post(&address, &json!({})).await.expect_problem(404, "malformed");
    // Another account neither sees it nor starts it.
    stranger.post_as_get(place).await.expect_problem(404, "malformed");
    stranger.post(place, &json!({})).await.expect_problem(404, "malformed");
    world.pass(Duration::ZERO).await;
    assert!(world.web.requests().is_empty());
    assert_eq!(look(&client, &authz).await["status"], "pending");
}

#[tokio::test]
async fn every_kind_of_name_is_proven_by_every_method_that_suits_it() {
    let world = World::new().await;
    let client = world.client().await;
    for (name, kind) in [
        ("a.example", "http-01"),
        ("b.example", "dns-01"),
        ("c.example", "tls-alpn-01"),
        ("*.d.example", "dns-01"),
        ("127.0.0.1", "http-01"),
    ] {
        let (offer, order, _) = offer(&client, name, kind).await;
        let proof = client.key_authorization(token(&offer));
        match kind {
            "dns-01" => prove_by_dns(&world, &client, name.trim_start_matches("*."), &offer),
            "tls-alpn-01" => drop(world.tls.prove(name, &proof)),
            _ => {}
        }
        let answer = client.respond(&offer).await.expect(200).json();
        assert_eq!((&answer["status"], &answer["type"]), (&json!("valid"), &json!(kind)), "{name}: {answer}");
        let done = look(&client, &order).await;
        assert_eq!(done["status"], "ready", "{name}");
    }
    let hosts: Vec<String> = world.web.requests().iter().map(|request| request.header("host").to_owned()).collect();
    assert_eq!(hosts.len(), 2);
    assert!(hosts[0].starts_with("a.example") && hosts[1].starts_with("127.0.0.1"), "{hosts:?}");
}

#[tokio::test]
async fn addresses_are_proven_by_tls_alpn_01_and_over_ipv6() {
    let world = World::new().await;
    let client = world.client().await;
    let (offered, order, _) = offer(&client, "127.0.0.1", "tls-alpn-01").await;
    world.tls.prove("127.0.0.1", &client.key_authorization(token(&offered)));
    assert_eq!(client.respond(&offered).await.expect(200).json()["status"], "valid");
    assert_eq!(look(&client, &order).await["status"], "ready");
    assert_eq!(world.tls.hellos()[0].sni.as_deref(), Some("1.0.0.127.in-addr.arpa"));

    if TcpListener::bind("[::1]:0").await.is_err() {
        return;
    }
    let web = Target::start_dual().await;
    let world = World::with(|config| config.validation.http_port = web.port()).await;
    let client = world.client().await;
    web.serve_any(&client.thumbprint());
    let (offered, order, _) = offer(&client, "::1", "http-01").await;
    assert_eq!(client.respond(&offered).await.expect(200).json()["status"], "valid");
    assert_eq!(look(&client, &order).await["status"], "ready");
    assert!(web.requests()[0].header("host").starts_with("[::1]"), "{:?}", web.requests());
}

#[tokio::test]
async fn a_failure_is_told_in_the_challenge_with_what_was_looked_up() {
    let world = World::new().await;
    let client = world.client().await;
    world.dns.fail_type("servfail.example", "A", Failure::ServFail).fail_type(
        "servfail.example",
        "AAAA",
        Failure::ServFail,
    );
    world.dns.txt("_acme-challenge.wrong.example", "something else");
    world.dns.caa("caa.example", 0, "issue", ";");
    world.dns.a("elsewhere.example", "127.0.0.3");
    let wrong = AlpnCertificate::right("wrongcert.example", "not.it");
    world.tls.show("wrongcert.example", &wrong);
    let port = world.web.port().to_string();
    for (name, kind, error, parts) in [
        (
            "missing.example",
            "http-01",
            "incorrectResponse",
            &["http://missing.example", "/.well-known/acme-challenge/", "404"][..],
        ),
        ("wrongfile.example", "http-01", "incorrectResponse", &["something else", "instead of"]),
        ("huge.example", "http-01", "incorrectResponse", &["more than"]),
        ("elsewhere.example", "http-01", "connection", &["127.0.0.3", &port]),
        ("servfail.example", "http-01", "dns", &["servfail.example"]),
        ("none.example", "dns-01", "unauthorized", &["_acme-challenge.none.example"]),
        ("wrong.example", "dns-01", "unauthorized", &["_acme-challenge.wrong.example", "something else"]),
        ("notls.example", "tls-alpn-01", "tls", &["notls.example"]),
        ("wrongcert.example", "tls-alpn-01", "unauthorized", &["wrongcert.example"]),
        ("caa.example", "http-01", "caa", &["caa.example", "ca.test"]),
    ] {
        let (offer, order, authz) = offer(&client, name, kind).await;
        match name {
            "missing.example" => drop(world.web.status(token(&offer), 404, "not here")),
            "wrongfile.example" => drop(world.web.serve(token(&offer), "something else")),
            "huge.example" => drop(world.web.huge(token(&offer))),
            _ => {}
        }
        let answer = client.respond(&offer).await.expect(200).json();
        assert_eq!(answer["status"], "invalid", "{name}: {answer}");
        assert_eq!(answer.get("validated"), None);
        problem(&answer["error"], error, parts);
        assert_eq!(answer["error"].get("identifier"), None);
        // One that failed is enough: the authorization and the order are over, the siblings are not shown.
        let over = look(&client, &authz).await;
        assert_eq!((&over["status"], &over["challenges"]), (&json!("invalid"), &json!([answer])));
        let order = look(&client, &order).await;
        assert_eq!(order["status"], "invalid");
        problem(&order["error"], error, parts);
    }
}

#[tokio::test]
async fn several_failures_are_told_together_in_the_order() {
    let world = World::new().await;
    let client = world.client().await;
    let placed = client.new_order(&["a.example", "b.example", "c.example"]).await.expect(201);
    let authzs = client.authorizations(&placed.json()).await;
    client.respond(&challenge(&authzs[0], "dns-01")).await.expect(200);
    client.respond(&challenge(&authzs[1], "http-01")).await.expect(200);
    client.respond(&challenge(&authzs[2], "tls-alpn-01")).await.expect(200);
    let order = look(&client, placed.location()).await;
    assert_eq!(order["status"], "invalid");
    problem(&order["error"], "compound", &["2 problems", "a.example"]);
    let parts = order["error"]["subproblems"].as_array().unwrap();
    assert_eq!(parts[0]["identifier"], json!({ "type": "dns", "value": "a.example" }));
    assert_eq!(parts[1]["identifier"], json!({ "type": "dns", "value": "c.example" }));
    assert_eq!(order["error"].get("identifier"), None);
}

#[tokio::test]
async fn a_first_failure_is_told_while_the_server_tries_again() {
    let world = World::with(|config| {
        config.acme.validation_tries = 3;
        config.acme.validation_retry_ms = 5_000;
        config.acme.challenge_wait_ms = 1;
    })
    .await;
    let client = world.client().await;
    let between = Duration::from_secs(5);
    let (offered, order, authz) = offer(&client, "example.com", "dns-01").await;
    client.respond(&offered).await.expect(200);
    world.pass(Duration::ZERO).await;
    let answer = client.post_as_get(url(&offered, "url")).await.expect(200);
    assert_eq!((&answer.json()["status"], answer.header("retry-after")), (&json!("processing"), Some("1")));
    problem(&answer.json()["error"], "unauthorized", &["No TXT record", "_acme-challenge.example.com"]);
    assert_eq!(look(&client, &authz).await["status"], "pending");
    // The second look finds another fault, which is told now; the third finds what it should.
    world.dns.txt("_acme-challenge.example.com", "wrong");
    world.pass(between).await;
    let second = look(&client, url(&offered, "url")).await;
    assert_eq!(second["status"], "processing");
    problem(&second["error"], "unauthorized", &["\"wrong\""]);
    prove_by_dns(&world, &client, "example.com", &offered);
    world.pass(between).await;
    let third = look(&client, url(&offered, "url")).await;
    assert_eq!(third["status"], "valid");
    assert_eq!(third.get("error"), None);
    assert_eq!(look(&client, &order).await["status"], "ready");

    // When all looks fail, it is over.
    let (offered, _, authz) = offer(&client, "other.example", "dns-01").await;
    client.respond(&offered).await.expect(200);
    world.pass(Duration::ZERO).await;
    world.pass(between).await;
    assert_eq!(look(&client, &authz).await["status"], "pending");
    world.pass(between).await;
    assert_eq!(look(&client, &authz).await["status"], "invalid");
    let asked = world.dns.queries().iter().filter(|query| *query == "TXT _acme-challenge.other.example").count();
    assert_eq!(asked, 3);

    // What can't heal is not tried again.
    world.dns.caa("forbidden.example", 0, "issue", ";");
    let (offered, ..) = offer(&client, "forbidden.example", "http-01").await;
    client.respond(&offered).await.expect(200);
    world.pass(Duration::ZERO).await;
    assert_eq!(look(&client, url(&offered, "url")).await["status"], "invalid");
}

#[tokio::test]
async fn a_validation_that_a_restart_cut_off_is_made_again() {
    let mut world = World::with(|config| config.acme.challenge_wait_ms = 1).await;
    let client = world.client().await;
    let (good, order, _) = offer(&client, "good.example", "http-01").await;
    let (bad, _, bad_authz) = offer(&client, "bad.example", "http-01").await;
    for offer in [&good, &bad] {
        world.web.hang(token(offer));
        assert_eq!(client.respond(offer).await.expect(200).json()["status"], "processing");
    }
    world.restart().await;
    client.forget_nonce();
    world.web.forget(token(&good)).status(token(&bad), 404, "gone");
    world.pass(Duration::ZERO).await;
    assert_eq!(look(&client, url(&good, "url")).await["status"], "valid");
    assert_eq!(look(&client, &order).await["status"], "ready");
    assert_eq!(look(&client, &bad_authz).await["status"], "invalid");
}

#[tokio::test]
async fn the_key_that_counts_is_that_of_the_answer() {
    let gate = Gate::closed().await;
    let world = World::with(|config| {
        config.validation.http_port = gate.port();
        config.acme.challenge_wait_ms = 1;
    })
    .await;
    let mut client = world.client().await;
    // The first is answered with the old key, which is changed while the server looks.
    let (first, ..) = offer(&client, "first.example", "http-01").await;
    let (second, ..) = offer(&client, "second.example", "http-01").await;
    let (third, ..) = offer(&client, "third.example", "http-01").await;
    let old = client.thumbprint();
    gate.serve_any(&old);
    client.respond(&first).await.expect(200);
    gate.arrived(1).await;
    client.change_key(Signer::generate("ES384")).await.expect(200);
    // The second with the new one: the old key's proof does not hold any more.
    client.respond(&second).await.expect(200);
    gate.arrived(2).await;
    gate.serve_any(&client.thumbprint());
    client.respond(&third).await.expect(200);
    gate.arrived(3).await;
    gate.open();
    world.pass(Duration::ZERO).await;
    assert_eq!(look(&client, url(&first, "url")).await["status"], "valid");
    let failed = look(&client, url(&second, "url")).await;
    problem(&failed["error"], "incorrectResponse", &[&old, &client.thumbprint()]);
    assert_eq!(look(&client, url(&third, "url")).await["status"], "valid");
}

#[tokio::test]
async fn a_closed_account_proves_nothing_any_more() {
    let world = World::new().await;
    let client = world.client().await;
    let (offer, ..) = offer(&client, "example.com", "http-01").await;
    client.deactivate().await.expect(200);
    has_parts(&client.respond(&offer).await.expect_problem(401, "unauthorized"), &["deactivated"]);
    world.pass(Duration::ZERO).await;
    assert!(world.web.requests().is_empty());
}
