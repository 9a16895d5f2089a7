//! What an order takes over: an order that is open, and proofs that were given before.

use std::time::Duration;

use serde_json::{Value, json};

use crate::acme_tools::{DAY, HOUR, add_product, look, order_of, problem, url};
use crate::support::client::csr;
use crate::support::world::World;

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test]
async fn an_identical_request_gets_the_order_that_is_open() {
    let world = World::new().await;
    let client = world.client().await;
    let first = client.new_order(&["a.example", "b.example"]).await.expect(201);
    for same in [
        order_of(&["a.example", "b.example"], json!({})),
        order_of(&["B.example", "a.example", "b.example"], json!({})),
        order_of(&["a.example", "b.example"], json!({ "profile": "any" })),
    ] {
        let again = client.new_order_of(same).await.expect(201);
        assert_eq!((again.location(), again.json()), (first.location(), first.json()));
    }
    let end = (world.now() + DAY).to_string();
    let mut places = vec![first.location().to_owned()];
    for other in [
        order_of(&["a.example"], json!({})),
        order_of(&["a.example", "b.example", "c.example"], json!({})),
        order_of(&["a.example", "*.b.example"], json!({})),
        order_of(&["a.example", "b.example"], json!({ "notAfter": end })),
        order_of(&["a.example"], json!({ "profile": "single" })),
    ] {
        places.push(client.new_order_of(other).await.expect(201).location().to_owned());
    }
    let stranger = world.client().await;
    places.push(stranger.new_order(&["a.example", "b.example"]).await.expect(201).location().to_owned());
    places.sort();
    places.dedup();
    assert_eq!(places.len(), 7);
}

#[tokio::test]
async fn an_identical_request_gets_a_new_order_when_the_old_one_is_over_or_nearly_so() {
    let world = World::new().await;
    let client = world.client().await;
    let (done, _) = world.certificate(&client, &["example.com"]).await;
    let second = client.new_order(&["example.com"]).await.expect(201);
    assert_ne!(url(&second.json(), "finalize"), url(&done, "finalize"));
    assert_eq!(second.json()["status"], "ready");
    // A ready order is returned as it is.
    let third = client.new_order(&["example.com"]).await.expect(201);
    assert_eq!((third.location(), &third.json()["status"]), (second.location(), &json!("ready")));
    world.pass(7 * DAY - HOUR).await;
    assert_eq!(look(&client, second.location()).await["status"], "ready");
    let fourth = client.new_order(&["example.com"]).await.expect(201);
    assert_ne!(fourth.location(), second.location());
    // One that failed is not returned either.
    let placed = client.new_order(&["other.example"]).await.expect(201);
    let authz = placed.json()["authorizations"][0].as_str().unwrap().to_owned();
    client.post(&authz, &json!({ "status": "deactivated" })).await.expect(200);
    assert_ne!(client.new_order(&["other.example"]).await.expect(201).location(), placed.location());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn identical_requests_at_once_get_one_order() {
    let world = World::new().await;
    let client = world.client().await;
    for round in 0..5 {
        let name = format!("n{round}.example");
        let names = [name.as_str()];
        let (a, b, c) = tokio::join!(client.new_order(&names), client.new_order(&names), client.new_order(&names));
        let (a, b, c) = (a.expect(201), b.expect(201), c.expect(201));
        assert_eq!((a.location(), a.json()), (b.location(), b.json()));
        assert_eq!((a.location(), a.json()), (c.location(), c.json()));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_is_placed_while_its_account_is_being_changed() {
    let world = World::new().await;
    let client = world.client().await;
    for round in 0..8 {
        let name = format!("n{round}.example");
        let names = [name.as_str()];
        let contact = json!({ "contact": [format!("mailto:n{round}@example.com")] });
        let (change, order) = tokio::join!(client.post(client.kid(), &contact), client.new_order(&names));
        order.expect(201);
        change.expect(200);
    }
}

#[tokio::test]
async fn names_that_are_proven_make_an_order_ready_from_birth() {
    let world = World::new().await;
    let client = world.client().await;
    let (_, first) = world.ready_order(&client, &["a.example", "b.example", "*.b.example"]).await;
    let second = client.new_order(&["*.b.example", "a.example"]).await.expect(201).json();
    assert_eq!(second["status"], "ready");
    let (old, new) = (&first["authorizations"], &second["authorizations"]);
    assert_eq!((&new[0], &new[1]), (&old[2], &old[0]), "all are listed, in the sequence of the names");
    let done = client.finalize(&second, &csr(&["a.example", "*.b.example"]).0).await.expect(200).json();
    assert_eq!(done["status"], "valid");

    // What is not proven yet makes it pending, and only that is to be proven.
    let third = client.new_order(&["a.example", "c.example"]).await.expect(201).json();
    assert_eq!(third["status"], "pending");
    assert_eq!(third["authorizations"][0], old[0]);
    assert_eq!(look(&client, third["authorizations"][1].as_str().unwrap()).await["status"], "pending");
    // Another account has proven nothing.
    let stranger = world.client().await;
    assert_eq!(stranger.new_order(&["a.example"]).await.expect(201).json()["status"], "pending");
}

#[tokio::test]
async fn a_name_and_its_wildcard_are_proven_apart() {
    let world = World::new().await;
    let client = world.client().await;
    world.ready_order(&client, &["a.example"]).await;
    world.ready_order(&client, &["*.b.example"]).await;
    for name in ["*.a.example", "b.example", "www.a.example", "x.b.example"] {
        assert_eq!(client.new_order(&[name]).await.expect(201).json()["status"], "pending", "{name}");
    }
}

#[tokio::test]
async fn a_product_without_reuse_takes_no_earlier_proof() {
    let world = World::new().await;
    let client = world.client().await;
    let (_, first) = world.ready_order(&client, &["example.com"]).await;
    let single = || client.new_order_of(order_of(&["example.com"], json!({ "profile": "single" })));
    let order = single().await.expect(201);
    assert_eq!(order.json()["status"], "pending");
    assert_ne!(order.json()["authorizations"], first["authorizations"]);
    let authz = &client.authorizations(&order.json()).await[0];
    world.prove(&client, authz).await.ok();
    let order = look(&client, order.location()).await;
    assert_eq!(order["status"], "ready");
    assert_eq!(client.finalize(&order, &csr(&["example.com"]).0).await.expect(200).json()["status"], "valid");
    assert_eq!(single().await.expect(201).json()["status"], "pending");
}

#[tokio::test]
async fn the_configuration_can_keep_proofs_from_being_used_again() {
    let world = World::with(|config| config.acme.authorization_days = 0).await;
    let client = world.client().await;
    let (_, order) = world.ready_order(&client, &["example.com"]).await;
    // RFC 8555 section 7.1.4, Baseline Requirements 4.2.1: "expires" is the end of its use.
    let authz = &client.authorizations(&order).await[0];
    assert_eq!(authz["expires"], (world.now() + 7 * DAY).to_string());
    assert_eq!(client.finalize(&order, &csr(&["example.com"]).0).await.expect(200).json()["status"], "valid");
    assert_eq!(client.new_order(&["example.com"]).await.expect(201).json()["status"], "pending");
}

#[tokio::test]
async fn an_order_lasts_no_longer_than_the_proofs_that_it_rests_on() {
    let world = World::new().await;
    let client = world.client().await;
    let (_, first) = world.ready_order(&client, &["old.example"]).await;
    let end = client.authorizations(&first).await[0]["expires"].clone();
    assert_eq!(end, (world.now() + 30 * DAY).to_string());
    world.pass(28 * DAY).await;
    let (place, order) = world.ready_order(&client, &["old.example", "new.example"]).await;
    assert_eq!(order["expires"], end);
    world.pass(2 * DAY - SECOND).await;
    assert_eq!(look(&client, &place).await["status"], "ready");
    world.pass(SECOND).await;
    let over = look(&client, &place).await;
    assert_eq!(over["status"], "invalid");
    problem(&over["error"], "unauthorized", &["old.example", "expired"]);
    assert_eq!(over["error"].get("identifier"), None);
    client.finalize(&order, &csr(&["old.example", "new.example"]).0).await.expect_problem(403, "orderNotReady");
    // A proof is not used again in the last hour before its end, or it would be useless.
    let again = client.new_order(&["old.example", "new.example"]).await.expect(201).json();
    assert_eq!(again["status"], "pending");
    assert_eq!(again["authorizations"][1], order["authorizations"][1]);
}

#[tokio::test]
async fn a_proof_is_not_stretched_beyond_what_the_product_allows_by_an_order_placed_in_time() {
    let brief = "validation_reuse_days = 5\ncaa_identities = [\"ca.test\"]";
    let world = World::with(|config| add_product(config, "brief", brief)).await;
    let client = world.client().await;
    let brief = order_of(&["example.com"], json!({ "profile": "brief" }));
    let proven = world.now();
    world.ready_order(&client, &["example.com"]).await;
    world.pass(4 * DAY).await;
    let placed = client.new_order_of(brief.clone()).await.expect(201);
    let order: Value = placed.json();
    assert_eq!(order["status"], "ready");
    assert_eq!(order["expires"], (proven + 5 * DAY).to_string(), "Baseline Requirements 4.2.1");
    world.pass(DAY).await;
    assert_eq!(look(&client, placed.location()).await["status"], "invalid");
    assert_eq!(client.new_order_of(brief).await.expect(201).json()["status"], "pending");
}
