//! Which renewals the limits let pass (RFC 9773 section 5): those of exactly the certificate that they say they replace.

use std::time::Duration;

use chancery::domain::limit::Rate;
use chancery::ra::limits::Written;
use serde_json::{Value, json};

use crate::acme_tools::{DAY, cert_id, leaf, order_of};
use crate::support::client::{Client, Response, csr};
use crate::support::operator::Operator;
use crate::support::world::World;

fn rate(count: u32, per: Duration) -> Written {
    Written(Rate::of(count, u32::try_from(per.as_secs()).unwrap()))
}

/// A world in which an account has one order in almost a year.
async fn strict() -> World {
    World::with(|config| config.limits.orders_per_account = rate(1, 300 * DAY)).await
}

/// A certificate for these names, DER.
async fn issued(world: &World, client: &Client, names: &[&str]) -> Vec<u8> {
    world.web.serve_any(&client.thumbprint());
    leaf(&world.certificate(client, names).await.1)
}

async fn replace(client: &Client, names: &[&str], old: &[u8]) -> Response {
    client.new_order_of(order_of(names, json!({ "replaces": cert_id(old) }))).await
}

/// An order that was placed, finalized: its certificate, DER.
async fn finished(world: &World, client: &Client, placed: &Response, names: &[&str]) -> Vec<u8> {
    for authz in client.authorizations(&placed.json()).await {
        if authz["status"] == "pending" {
            world.prove(client, &authz).await.ok();
        }
    }
    let order = client.post_as_get(placed.location()).await.expect(200).json();
    let done = client.finalize(&order, &csr(names).0).await.expect(200).json();
    assert_eq!(done["status"], "valid", "{done}");
    leaf(&client.certificate(&done).await)
}

#[track_caller]
fn refused(answer: &Response, limit: &str) {
    let told = answer.expect_problem(429, "rateLimited");
    assert!(told.contains(&format!("\"{limit}\"")), "{told}");
    answer.header("retry-after").expect("RL-02");
}

async fn give_up(client: &Client, order: &Value) {
    let authz = order["authorizations"][0].as_str().unwrap();
    client.post(authz, &json!({ "status": "deactivated" })).await.expect(200);
}

#[tokio::test]
async fn a_renewal_for_other_names_is_counted() {
    let world = strict().await;
    let client = world.client().await;
    let old = issued(&world, &client, &["a.example.com", "b.example.com"]).await;
    for names in [&["a.example.com"][..], &["a.example.com", "b.example.com", "c.example.com"]] {
        refused(&replace(&client, names, &old).await, "orders_per_account");
    }
    // The sequence of names is of no account.
    replace(&client, &["b.example.com", "a.example.com"], &old).await.expect(201);
}

#[tokio::test]
async fn the_renewal_of_a_revoked_certificate_is_counted_unless_an_incident_asks_for_it() {
    let world = strict().await;
    let client = world.client().await;
    let names = ["a.example.com"];
    let old = issued(&world, &client, &names).await;
    client.revoke(&old, Some(4)).await.expect(200);
    refused(&replace(&client, &names, &old).await, "orders_per_account");
    let asked = json!({
        "selection": { "names": names },
        "reason": "The validation of these names was faulty.",
        "renew_by": (world.now() + DAY).to_string(),
    });
    Operator::of(&world).post("/incidents", &asked).await;
    replace(&client, &names, &old).await.expect(201);
}

#[tokio::test]
async fn the_renewal_of_an_expired_certificate_is_counted() {
    let world = strict().await;
    let client = world.client().await;
    let old = issued(&world, &client, &["a.example.com"]).await;
    world.pass(91 * DAY).await;
    refused(&replace(&client, &["a.example.com"], &old).await, "orders_per_account");
}

#[tokio::test]
async fn one_order_in_the_place_of_a_certificate_is_free() {
    let world = strict().await;
    let client = world.client().await;
    let names = ["a.example.com"];
    let old = issued(&world, &client, &names).await;
    let first = replace(&client, &names, &old).await.expect(201);
    give_up(&client, &first.json()).await;
    // Else whoever has one certificate could place and give up orders without end.
    refused(&replace(&client, &names, &old).await, "orders_per_account");
}

#[tokio::test]
async fn certificates_of_renewals_that_are_not_free_are_counted() {
    let world = World::with(|config| {
        config.limits.certificates_per_domain = rate(2, 300 * DAY);
        config.limits.certificates_per_names = rate(1, 300 * DAY);
    })
    .await;
    let client = world.client().await;
    let old = issued(&world, &client, &["a.example.com"]).await;
    let more = ["a.example.com", "b.example.com"];
    let placed = replace(&client, &more, &old).await.expect(201);
    let next = finished(&world, &client, &placed, &more).await;
    refused(&client.new_order(&["c.example.com"]).await, "certificates_per_domain");
    refused(&replace(&client, &["b.example.com"], &next).await, "certificates_per_domain");
    // What is free stays so, and changes nothing for others.
    let placed = replace(&client, &more, &next).await.expect(201);
    finished(&world, &client, &placed, &more).await;
    refused(&client.new_order(&more).await, "certificates_per_names");
}

#[tokio::test]
async fn pending_authorizations_hold_up_no_free_renewal() {
    let world = World::with(|config| config.limits.pending_authorizations = rate(1, 7 * DAY)).await;
    let client = world.client().await;
    let names = ["a.example.com"];
    // Of this product every order is validated anew.
    let single = |further: Value| {
        let mut order = order_of(&names, json!({ "profile": "single" }));
        order.as_object_mut().unwrap().extend(further.as_object().unwrap().clone());
        order
    };
    let placed = client.new_order_of(single(json!({}))).await.expect(201);
    let old = finished(&world, &client, &placed, &names).await;
    let open = client.new_order(&["b.example.com"]).await.expect(201).json();
    refused(&client.new_order(&["c.example.com"]).await, "pending_authorizations");
    refused(&client.new_order_of(single(json!({}))).await, "pending_authorizations");
    let renewal = client.new_order_of(single(json!({ "replaces": cert_id(&old) }))).await.expect(201);
    give_up(&client, &open).await;
    finished(&world, &client, &renewal, &names).await;
    client.new_order(&["c.example.com"]).await.expect(201);
    refused(&client.new_order(&["d.example.com"]).await, "pending_authorizations");
}
