//! Renewal information and `replaces` (RFC 9773), through the real router.

use chancery::domain::Timestamp;
use serde_json::{Value, json};

use crate::acme_tools::{DAY, HOUR, authority_key_identifier, cert_id, has_parts, leaf, look, order_of, parsed};
use crate::support::client::{Client, csr};
use crate::support::signer::b64;
use crate::support::world::{BASE, World};

/// A certificate for these names, DER.
async fn issued(world: &World, client: &Client, names: &[&str]) -> Vec<u8> {
    world.web.serve_any(&client.thumbprint());
    leaf(&world.certificate(client, names).await.1)
}

fn moment(window: &Value, member: &str) -> Timestamp {
    Timestamp::parse_rfc3339(window[member].as_str().unwrap()).unwrap()
}

/// The suggested window, by anybody without an account.
async fn window(world: &World, id: &str) -> (Timestamp, Timestamp) {
    let answer = world.stranger().get(&format!("{BASE}/acme/renewal-info/{id}")).await.expect(200);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.header("retry-after"), Some("21600"));
    let window = answer.json()["suggestedWindow"].clone();
    let (start, end) = (moment(&window, "start"), moment(&window, "end"));
    assert!(start < end);
    (start, end)
}

fn replacing(names: &[&str], id: &str) -> Value {
    order_of(names, json!({ "replaces": id }))
}

#[tokio::test]
async fn the_window_lies_in_the_last_third_of_the_certificates_life() {
    let world = World::new().await;
    let client = world.client().await;
    let der = issued(&world, &client, &["example.com"]).await;
    assert_eq!(client.resource("renewalInfo").await, format!("{BASE}/acme/renewal-info"));
    let (start, end) = window(&world, &cert_id(&der)).await;
    let ends = world.now() - HOUR + 90 * DAY;
    assert!(world.now() + 59 * DAY < start && end < ends - 25 * DAY, "{start} to {end}");
    // It is a matter of the certificate, not of the time of asking.
    world.pass(80 * DAY).await;
    assert_eq!(window(&world, &cert_id(&der)).await, (start, end));
    world.pass(80 * DAY).await;
    assert_eq!(window(&world, &cert_id(&der)).await, (start, end));
}

#[tokio::test]
async fn a_revoked_certificate_is_to_be_renewed_at_once() {
    let world = World::new().await;
    let client = world.client().await;
    let der = issued(&world, &client, &["example.com"]).await;
    client.revoke(&der, Some(4)).await.expect(200);
    let (_, end) = window(&world, &cert_id(&der)).await;
    assert!(end < world.now());
}

#[tokio::test]
async fn a_certificate_is_found_by_each_form_of_its_serial_and_by_no_other_name() {
    let world = World::new().await;
    let client = world.client().await;
    let der = issued(&world, &client, &["example.com"]).await;
    let (aki, serial) = (authority_key_identifier(&der), parsed(&der).raw_serial().to_vec());
    let id = |aki: &[u8], serial: &[u8]| format!("{}.{}", b64(aki), b64(serial));
    for serial in [serial.clone(), [&[0], &serial[..]].concat(), [&[0, 0], &serial[..]].concat()] {
        window(&world, &id(&aki, &serial)).await;
    }
    let mut other_aki = aki.clone();
    other_aki[0] ^= 1;
    let mut other_serial = serial.clone();
    other_serial[19] ^= 1;
    let root = world.stranger().get(&format!("{BASE}/root.pem")).await.expect(200).text();
    let root = leaf(&root);
    for unknown in [
        id(&other_aki, &serial),
        id(&aki, &other_serial),
        id(&aki, &serial[1..]),
        id(&aki, &[0]),
        id(&aki[1..], &serial),
        id(&aki, &[&serial[..], &[0]].concat()),
        id(&aki, parsed(&root).raw_serial()),
        "aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE".to_owned(),
    ] {
        let answer = world.stranger().get(&format!("{BASE}/acme/renewal-info/{unknown}")).await;
        answer.expect_problem(404, "malformed");
    }
    let good = cert_id(&der);
    for bad in [
        "x".to_owned(),
        ".".to_owned(),
        good.replace('.', ""),
        format!("{good}="),
        format!("{good}."),
        format!("{good}.x"),
        good.split_once('.').unwrap().0.to_owned() + ".",
        "A".repeat(5000),
    ] {
        let answer = world.stranger().get(&format!("{BASE}/acme/renewal-info/{bad}")).await;
        answer.expect_problem(400, "malformed");
        client.new_order_of(replacing(&["example.com"], &bad)).await.expect_problem(400, "malformed");
    }
    world.stranger().get(&format!("{BASE}/acme/renewal-info/")).await.expect_problem(404, "malformed");
    world.stranger().get(&format!("{BASE}/acme/renewal-info/{good}?a=b")).await.expect(200);
}

#[tokio::test]
async fn what_an_order_replaces_is_shown_in_it() {
    let world = World::new().await;
    let client = world.client().await;
    let der = issued(&world, &client, &["a.example", "b.example"]).await;
    // One common name is enough, and the serial may have its zero.
    let id = format!("{}.{}", b64(authority_key_identifier(&der)), b64([&[0], parsed(&der).raw_serial()].concat()));
    let placed = client.new_order_of(replacing(&["b.example", "c.example"], &id)).await.expect(201);
    assert_eq!(placed.json()["replaces"], id);
    assert_eq!(look(&client, placed.location()).await["replaces"], id);
    let plain = client.new_order(&["b.example", "c.example"]).await.expect(201);
    assert_eq!(plain.json().get("replaces"), None);
    assert_ne!(plain.location(), placed.location());
    // The same request again is the same order, and no second replacement.
    let again = client.new_order_of(replacing(&["b.example", "c.example"], &id)).await.expect(201);
    assert_eq!(again.location(), placed.location());
}

#[tokio::test]
async fn only_a_certificate_of_ones_own_with_a_name_in_common_is_replaced() {
    let world = World::new().await;
    let (client, stranger) = (world.client().await, world.client().await);
    let id = cert_id(&issued(&world, &client, &["a.example", "*.b.example"]).await);
    stranger.new_order_of(replacing(&["a.example"], &id)).await.expect_problem(403, "unauthorized");
    for names in [&["c.example"][..], &["b.example"], &["x.b.example", "d.example"]] {
        let answer = client.new_order_of(replacing(names, &id)).await;
        has_parts(&answer.expect_problem(400, "malformed"), &[&id, "no name"]);
    }
    let answer = client.new_order_of(replacing(&["a.example"], "aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE")).await;
    has_parts(&answer.expect_problem(400, "malformed"), &["aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE", "no certificate"]);
    client.new_order_of(replacing(&["*.b.example"], &id)).await.expect(201);
}

#[tokio::test]
async fn a_certificate_is_replaced_once() {
    let world = World::new().await;
    let client = world.client().await;
    let id = cert_id(&issued(&world, &client, &["example.com"]).await);
    let first = client.new_order_of(replacing(&["example.com"], &id)).await.expect(201);
    let second = replacing(&["example.com", "more.example"], &id);
    has_parts(&client.new_order_of(second.clone()).await.expect_problem(409, "alreadyReplaced"), &[&id]);
    // An order that came to nothing replaced nothing.
    let authz = first.json()["authorizations"][0].as_str().unwrap().to_owned();
    client.post(&authz, &json!({ "status": "deactivated" })).await.expect(200);
    assert_eq!(look(&client, first.location()).await["status"], "invalid");
    let placed = client.new_order_of(second).await.expect(201);
    for authz in client.authorizations(&placed.json()).await {
        world.prove(&client, &authz).await.expect(200);
    }
    let done = client.finalize(&placed.json(), &csr(&["example.com", "more.example"]).0).await.expect(200).json();
    assert_eq!((&done["status"], &done["replaces"]), (&json!("valid"), &json!(id)));
    // One that was fulfilled did, for good: also in the words of the first request.
    for names in [&["example.com"][..], &["example.com", "more.example"]] {
        client.new_order_of(replacing(names, &id)).await.expect_problem(409, "alreadyReplaced");
    }
    // The successor is replaced in its turn.
    let next = cert_id(&leaf(&client.certificate(&done).await));
    client.new_order_of(replacing(&["more.example"], &next)).await.expect(201);
}

#[tokio::test]
async fn of_an_order_about_to_expire_and_the_one_in_its_place_the_later_replaces() {
    let world = World::new().await;
    let client = world.client().await;
    let id = cert_id(&issued(&world, &client, &["example.com"]).await);
    let first = client.new_order_of(replacing(&["example.com"], &id)).await.expect(201).json();
    let expires = Timestamp::parse_rfc3339(first["expires"].as_str().unwrap()).unwrap();
    world.pass(expires.since(world.now()) - HOUR / 2).await;
    let second = client.new_order_of(replacing(&["example.com"], &id)).await.expect(201).json();
    assert_ne!(second["finalize"], first["finalize"]);
    // Both rest on what was proven before.
    assert_eq!((&first["status"], &second["status"]), (&json!("ready"), &json!("ready")));
    let answer = client.finalize(&first, &csr(&["example.com"]).0).await;
    has_parts(&answer.expect_problem(409, "alreadyReplaced"), &[&id]);
    let done = client.finalize(&second, &csr(&["example.com"]).0).await.expect(200).json();
    assert_eq!((&done["status"], &done["replaces"]), (&json!("valid"), &json!(id)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_several_replacements_at_once_one_is_placed() {
    let world = World::new().await;
    let client = world.client().await;
    for _ in 0..4 {
        let id = cert_id(&issued(&world, &client, &["example.com"]).await);
        let (one, two) = (replacing(&["example.com", "a.example"], &id), replacing(&["example.com", "b.example"], &id));
        let (a, b) = tokio::join!(client.new_order_of(one), client.new_order_of(two));
        let mut statuses = [a.status.as_u16(), b.status.as_u16()];
        statuses.sort_unstable();
        assert_eq!(statuses, [201, 409], "{a} {b}");
    }
}

#[tokio::test]
async fn a_revoked_or_expired_certificate_may_be_replaced() {
    let world = World::new().await;
    let client = world.client().await;
    let revoked = issued(&world, &client, &["example.com"]).await;
    client.revoke(&revoked, Some(4)).await.expect(200);
    client.new_order_of(replacing(&["example.com"], &cert_id(&revoked))).await.expect(201);
    let expired = issued(&world, &client, &["other.example"]).await;
    world.pass(91 * DAY).await;
    client.new_order_of(replacing(&["other.example"], &cert_id(&expired))).await.expect(201);
}
