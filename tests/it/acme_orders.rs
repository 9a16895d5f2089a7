//! Orders, from the request to the certificate, through the real router.

use std::time::Duration;

use serde_json::{Value, json};

use crate::acme_tools::{DAY, has_parts, leaf, look, order_of, order_one, parsed, problem};
use crate::support::client::{challenge, csr};
use crate::support::world::{BASE, World};

#[tokio::test]
async fn a_name_proven_by_http_01_gets_its_certificate_in_the_answer_to_finalize() {
    let world = World::new().await;
    let client = world.client().await;
    let (_, order) = world.ready_order(&client, &["www.example.com"]).await;
    let done = client.finalize(&order, &csr(&["www.example.com"]).0).await.expect(200);
    assert_eq!(done.json()["status"], "valid");
    let chain = client.certificate(&done.json()).await;
    assert_eq!(chain.matches("BEGIN CERTIFICATE").count(), 2);
}

#[tokio::test]
async fn a_wildcard_is_proven_by_dns_01_beside_its_base_name() {
    let world = World::new().await;
    let client = world.client().await;
    let (order, _) = world.certificate(&client, &["example.com", "*.example.com"]).await;
    assert_eq!(order["identifiers"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn names_are_kept_in_the_form_in_which_a_certificate_has_them() {
    let world = World::new().await;
    let client = world.client().await;
    for (kind, sent, kept) in [
        ("dns", "WWW.Example.COM", "www.example.com"),
        ("dns", "xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("dns", "XN--BCHER-KVA.example", "xn--bcher-kva.example"),
        ("dns", "*.EXAMPLE.com", "*.example.com"),
        ("dns", "1.2.3.example", "1.2.3.example"),
        ("ip", "127.0.0.1", "127.0.0.1"),
        ("ip", "2001:db8::1", "2001:db8::1"),
    ] {
        let placed = client.new_order_of(json!({ "identifiers": [{ "type": kind, "value": sent }] })).await.expect(201);
        assert_eq!(placed.json()["identifiers"], json!([{ "type": kind, "value": kept }]), "{sent}");
    }
}

#[tokio::test]
async fn names_that_no_certificate_may_have_are_refused_with_the_reason() {
    let world = World::new().await;
    let client = world.client().await;
    let (long_label, long_name) = (format!("{}.example", "a".repeat(64)), format!("{}example", "a2345678.".repeat(28)));
    for (kind, value, error, part) in [
        ("dns", "", "malformed", "empty"),
        ("dns", "example.com.", "malformed", "trailing dot"),
        ("dns", "b\u{fc}cher.example", "malformed", "xn--"),
        ("dns", "xn--a.example", "malformed", "A-label"),
        ("dns", "xn--bcher-kva-.example", "malformed", "hyphen"),
        ("dns", "ab--cd.example", "malformed", "A-label"),
        ("dns", "a..example", "malformed", "empty label"),
        ("dns", ".example.com", "malformed", "empty label"),
        ("dns", "a_b.example", "malformed", "letters, digits and hyphens"),
        ("dns", " example.com", "malformed", "letters, digits and hyphens"),
        ("dns", "exam\u{0}ple.com", "malformed", "letters, digits and hyphens"),
        ("dns", "https://example.com", "malformed", "letters, digits and hyphens"),
        ("dns", "localhost", "malformed", "two labels"),
        ("dns", "*", "malformed", "asterisk"),
        ("dns", "*.", "malformed", "dot"),
        ("dns", "*.example", "malformed", "two labels"),
        ("dns", "*.*.example.com", "malformed", "asterisk"),
        ("dns", "w*.example.com", "malformed", "asterisk"),
        ("dns", "www.*.example.com", "malformed", "asterisk"),
        ("dns", "127.0.0.1", "malformed", "\"ip\""),
        ("dns", &long_label, "malformed", "63"),
        ("dns", &long_name, "malformed", "253"),
        ("dns", "service.onion", "rejectedIdentifier", "service.onion"),
        ("dns", "1.0.0.127.in-addr.arpa", "rejectedIdentifier", ".arpa"),
        ("ip", "127.0.0.01", "malformed", "not an IP address"),
        ("ip", "2001:DB8::1", "malformed", "2001:db8::1"),
        ("ip", "[::1]", "malformed", "not an IP address"),
        ("ip", "127.0.0.1/32", "malformed", "not an IP address"),
        ("ip", "example.com", "malformed", "not an IP address"),
        ("email", "a@example.com", "unsupportedIdentifier", "email"),
        ("DNS", "example.com", "unsupportedIdentifier", "DNS"),
        ("", "example.com", "unsupportedIdentifier", "\"dns\" or \"ip\""),
    ] {
        let answer = client.new_order_of(json!({ "identifiers": [{ "type": kind, "value": value }] })).await;
        has_parts(&answer.expect_problem(400, error), &[part]);
        // RFC 8555 section 6.7.1: the top level names no identifier, and a problem of one name has no parts.
        assert_eq!(answer.json().get("identifier"), None, "{answer}");
        assert_eq!(answer.json().get("subproblems"), None, "{answer}");
        assert_eq!(answer.json()["status"], 400, "{answer}");
    }
}

#[tokio::test]
async fn all_bad_names_are_told_together_each_as_it_was_sent() {
    let world = World::new().await;
    let client = world.client().await;
    let mut payload = order_of(&["example.com", "a_b.example", "X..Y"], json!({}));
    payload["identifiers"].as_array_mut().unwrap().push(json!({ "type": "email", "value": "a@example.com" }));
    let answer = client.new_order_of(payload).await;
    has_parts(&answer.expect_problem(400, "compound"), &["3 problems", "a_b.example"]);
    let parts = answer.json()["subproblems"].clone();
    let told: Vec<(&Value, &Value)> =
        parts.as_array().unwrap().iter().map(|p| (&p["identifier"], &p["type"])).collect();
    let (malformed, unsupported) =
        (json!("urn:ietf:params:acme:error:malformed"), json!("urn:ietf:params:acme:error:unsupportedIdentifier"));
    assert_eq!(
        told,
        [
            (&json!({ "type": "dns", "value": "a_b.example" }), &malformed),
            (&json!({ "type": "dns", "value": "X..Y" }), &malformed),
            (&json!({ "type": "email", "value": "a@example.com" }), &unsupported),
        ]
    );
    assert_eq!(answer.json().get("identifier"), None);

    // When they agree, the whole has their type: here for names that the product does not take.
    let answer = client.new_order(&["a.onion", "example.com", "b.invalid"]).await;
    answer.expect_problem(400, "rejectedIdentifier");
    let parts = answer.json()["subproblems"].clone();
    assert_eq!(
        (&parts[0]["identifier"]["value"], &parts[1]["identifier"]["value"]),
        (&json!("a.onion"), &json!("b.invalid"))
    );
    assert_eq!(parts.as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn a_name_given_twice_is_taken_once() {
    let world = World::new().await;
    let client = world.client().await;
    let order = client.new_order(&["b.example", "a.example", "B.EXAMPLE", "b.example"]).await.expect(201).json();
    let names = json!([{ "type": "dns", "value": "b.example" }, { "type": "dns", "value": "a.example" }]);
    assert_eq!(order["identifiers"], names);
    assert_eq!(order["authorizations"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn a_hundred_names_are_taken_and_one_more_is_not() {
    let world = World::new().await;
    let client = world.client().await;
    let names: Vec<String> = (0..101).map(|n| format!("n{n}.example.com")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let order = client.new_order(&names[..100]).await.expect(201).json();
    assert_eq!(order["authorizations"].as_array().unwrap().len(), 100);
    let answer = client.new_order(&names).await;
    has_parts(&answer.expect_problem(400, "invalidProfile"), &["101", "at most 100"]);
    // What counts is the set.
    let twice: Vec<&str> = names[..60].iter().chain(&names[..60]).copied().collect();
    client.new_order(&twice).await.expect(201);
}

#[tokio::test]
async fn a_hundred_names_of_the_greatest_length_get_a_certificate() {
    let world = World::new().await;
    let client = world.client().await;
    let filler = "a23456789.".repeat(24);
    let names: Vec<String> = (0..100).map(|n| format!("n{n:02}.{filler}example")).collect();
    assert_eq!(names[0].len(), 251);
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let (order, chain) = world.certificate(&client, &names).await;
    assert_eq!(order["identifiers"].as_array().unwrap().len(), 100);
    assert_eq!(parsed(&leaf(&chain)).subject_alternative_name().unwrap().unwrap().value.general_names.len(), 100);
}

#[tokio::test]
async fn a_request_that_is_no_order_is_malformed() {
    let world = World::new().await;
    let client = world.client().await;
    let name = json!({ "type": "dns", "value": "example.com" });
    for payload in [
        json!({}),
        json!({ "identifiers": null }),
        json!({ "identifiers": [] }),
        json!({ "identifiers": {} }),
        json!({ "identifiers": "example.com" }),
        json!({ "identifiers": ["example.com"] }),
        json!({ "identifiers": [{}] }),
        json!({ "identifiers": [{ "type": "dns" }] }),
        json!({ "identifiers": [{ "value": "example.com" }] }),
        json!({ "identifiers": [{ "type": "dns", "value": 5 }] }),
        json!({ "identifiers": [{ "type": "dns", "value": ["example.com"] }] }),
        json!({ "identifiers": [name], "notBefore": 5 }),
        json!({ "identifiers": [name], "notAfter": "" }),
        json!({ "identifiers": [name], "profile": ["any"] }),
        json!({ "identifiers": [name], "replaces": "x" }),
        json!([]),
        json!("example.com"),
    ] {
        client.new_order_of(payload).await.expect_problem(400, "malformed");
    }
    // Members that are not known, and those that are null, don't matter (RFC 8555 section 7.4).
    let further =
        json!({ "status": "valid", "certificate": "x", "profile": null, "notAfter": null, "auto-renewal": {} });
    let order = client.new_order_of(order_of(&["example.com"], further)).await.expect(201).json();
    assert_eq!(order["status"], "pending");
    assert_eq!(order.get("certificate"), None);
}

#[tokio::test]
async fn an_order_shows_what_rfc_8555_wants_of_it_at_every_stage() {
    let world = World::new().await;
    let client = world.client().await;
    let (place, order) = world.ready_order(&client, &["example.com"]).await;
    let done = client.finalize(&order, &csr(&["example.com"]).0).await.expect(200);
    assert_eq!(done.location(), place);
    let polled = client.post_as_get(&place).await.expect(200);
    assert_eq!((polled.location(), polled.header("content-type")), (place.as_str(), Some("application/json")));
    assert_eq!(polled.json(), done.json());
    assert_eq!(polled.header("retry-after"), None);
    for (order, certificate) in [(&order, false), (&polled.json(), true)] {
        for member in ["status", "expires", "identifiers", "authorizations", "finalize", "profile"] {
            assert!(order.get(member).is_some(), "no {member} in {order}");
        }
        assert_eq!(order.get("certificate").is_some(), certificate, "{order}");
        assert_eq!(order.get("error"), None, "{order}");
        assert_eq!(order.get("notBefore"), None, "{order}");
    }
    for member in ["identifiers", "authorizations", "finalize", "expires", "profile"] {
        assert_eq!(order[member], polled.json()[member]);
    }
}

#[tokio::test]
async fn orders_of_others_are_not_shown() {
    let world = World::new().await;
    let (client, stranger) = (world.client().await, world.client().await);
    let (place, order, _, _) = order_one(&client, "example.com").await;
    stranger.post_as_get(&place).await.expect_problem(404, "malformed");
    stranger.finalize(&order, &csr(&["example.com"]).0).await.expect_problem(404, "malformed");
    for id in ["", "x", "aaaaaaaaaaaaaaaaaaaaaa", "..", "%2e%2e"] {
        client.post_as_get(&format!("{BASE}/acme/order/{id}")).await.expect_problem(404, "malformed");
    }
    client.get(&place).await.expect_problem(405, "malformed");
    // A fetch has an empty payload; anything else is not one.
    client.post(&place, &json!({})).await.expect_problem(400, "malformed");
}

#[tokio::test]
async fn an_order_that_is_not_fulfilled_in_time_is_invalid_and_says_so() {
    let world = World::new().await;
    let client = world.client().await;
    let (place, order, _, authz) = order_one(&client, "example.com").await;
    let (_, ready) = world.ready_order(&client, &["ready.example"]).await;
    assert_eq!(order["expires"], (world.now() + 7 * DAY).to_string());
    world.pass(7 * DAY - Duration::from_secs(1)).await;
    assert_eq!(look(&client, &place).await["status"], "pending");
    world.pass(Duration::from_secs(1)).await;
    let over = look(&client, &place).await;
    assert_eq!(over["status"], "invalid");
    problem(&over["error"], "unauthorized", &["example.com", "expired", order["expires"].as_str().unwrap()]);
    client.respond(&challenge(&authz, "http-01")).await.expect_problem(400, "malformed");
    // The authorization of this one lives on; the order does not.
    client.finalize(&ready, &csr(&["ready.example"]).0).await.expect_problem(403, "orderNotReady");
    let again = client.new_order(&["example.com"]).await.expect(201);
    assert_ne!(again.location(), place);
    assert_eq!(again.json()["status"], "pending");
}
