//! CAA through the server: when a name is proven, and again when the certificate is made.

use std::time::Duration;

use serde_json::{Value, json};

use crate::acme_tools::{HOUR, look, order_of, problem};
use crate::support::client::{Client, challenge, csr};
use crate::support::dns::{Dns, Failure};
use crate::support::world::World;

/// A name at the web server, with a CAA record.
fn caa<'w>(world: &'w World, name: &str, flags: u8, tag: &str, value: &str) -> &'w Dns {
    world.dns.a(name, "127.0.0.1").caa(name, flags, tag, value)
}

/// A new order for a name, its authorization proven as far as that goes: the order's URL, the challenge and the order.
async fn proven(world: &World, client: &Client, payload: Value) -> (String, Value, Value) {
    let placed = client.new_order_of(payload).await.expect(201);
    let authz = client.authorizations(&placed.json()).await.swap_remove(0);
    let answer = world.prove(client, &authz).await.expect(200).json();
    (placed.location().to_owned(), answer, look(client, placed.location()).await)
}

fn order(name: &str) -> Value {
    order_of(&[name], json!({}))
}

#[tokio::test]
async fn caa_decides_whether_a_name_is_proven() {
    let world = World::new().await;
    let client = world.client().await;
    let stranger = world.client().await;
    world.web.serve_any(&client.thumbprint());
    let mine = format!("ca.test; accounturi={}", client.kid());
    let theirs = format!("ca.test; accounturi={}", stranger.kid());
    let case = format!("ca.test; accounturi={}", client.kid().to_uppercase());
    for (n, (tag, value, allowed)) in [
        ("issue", "ca.test", true),
        ("issue", "CA.Test", true),
        ("ISSUE", " ca.test ", true),
        ("issue", "single.ca.test", false),
        ("issue", "ca.test.example", false),
        ("issue", ";", false),
        ("issue", "", false),
        ("issue", "ca test", false),
        ("issuewild", ";", true),
        ("iodef", "mailto:a@example.com", true),
        ("issue", &mine, true),
        ("issue", &theirs, false),
        ("issue", &case, false),
        ("issue", "ca.test; validationmethods=http-01", true),
        ("issue", "ca.test; validationmethods=dns-01,http-01", true),
        ("issue", "ca.test; validationmethods=dns-01", false),
        ("issue", "ca.test; unknown=parameter", true),
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("n{n}.example");
        caa(&world, &name, 0, tag, value);
        let (_, challenge, order) = proven(&world, &client, self::order(&name)).await;
        if allowed {
            assert_eq!((&challenge["status"], &order["status"]), (&json!("valid"), &json!("ready")), "{tag} {value}");
        } else {
            assert_eq!(challenge["status"], "invalid", "{tag} {value}");
            problem(&challenge["error"], "caa", &[&name, "0 issue \"ca.test\""]);
            problem(&order["error"], "caa", &[&name]);
            assert_eq!(order["status"], "invalid");
        }
    }
    // An unknown property that is critical forbids; the nearest ancestor with records decides; the rest is not asked.
    caa(&world, "critical.example", 128, "future", "x");
    caa(&world, "parent.example", 0, "issue", ";");
    caa(&world, "own.parent.example", 0, "issue", "ca.test");
    for (name, status) in
        [("critical.example", "invalid"), ("child.parent.example", "invalid"), ("own.parent.example", "valid")]
    {
        assert_eq!(proven(&world, &client, order(name)).await.1["status"], status, "{name}");
    }
}

#[tokio::test]
async fn wildcards_go_by_issuewild() {
    let world = World::new().await;
    let client = world.client().await;
    caa(&world, "a.example", 0, "issue", "ca.test").caa("a.example", 0, "issuewild", ";");
    caa(&world, "b.example", 0, "issue", ";").caa("b.example", 0, "issuewild", "ca.test");
    for (name, status) in
        [("a.example", "valid"), ("*.a.example", "invalid"), ("b.example", "invalid"), ("*.b.example", "valid")]
    {
        assert_eq!(proven(&world, &client, order(name)).await.1["status"], status, "{name}");
    }
}

#[tokio::test]
async fn each_product_has_identities_of_its_own() {
    let world = World::new().await;
    let client = world.client().await;
    let single = |name: &str| order_of(&[name], json!({ "profile": "single" }));
    caa(&world, "a.example", 0, "issue", "ca.test");
    caa(&world, "b.example", 0, "issue", "single.ca.test");
    for (payload, status) in [
        (order("a.example"), "valid"),
        (single("a.example"), "invalid"),
        (order("b.example"), "invalid"),
        (single("b.example"), "valid"),
    ] {
        assert_eq!(proven(&world, &client, payload.clone()).await.1["status"], status, "{payload}");
    }
    // What the directory names is what counts.
    let identities = client.directory().await["meta"]["caaIdentities"].clone();
    assert_eq!(identities, json!(["ca.test", "single.ca.test"]));
}

#[tokio::test]
async fn a_proof_for_a_product_with_other_identities_is_checked_again_before_signing() {
    let sister = "validation_reuse_days = 5\ncaa_identities = [\"sister.test\"]";
    let world = World::with(|config| crate::acme_tools::add_product(config, "sister", sister)).await;
    let client = world.client().await;
    let sister = |name: &str| client.new_order_of(order_of(&[name], json!({ "profile": "sister" })));
    caa(&world, "a.example", 0, "issue", "ca.test");
    caa(&world, "b.example", 0, "issue", "ca.test").caa("b.example", 0, "issue", "sister.test");
    for (name, status) in [("a.example", "invalid"), ("b.example", "valid")] {
        world.ready_order(&client, &[name]).await;
        let order = sister(name).await.expect(201).json();
        assert_eq!(order["status"], "ready");
        let done = client.finalize(&order, &csr(&[name]).0).await.expect(200).json();
        assert_eq!(done["status"], status, "{done}");
        if status == "invalid" {
            problem(&done["error"], "caa", &["a.example", "sister.test"]);
            assert_eq!(done["error"].get("identifier"), None);
        }
    }
    assert_eq!(world.ra().certificates(None, 10).await.unwrap().len(), 1);
}

#[tokio::test]
async fn addresses_have_no_caa() {
    let world = World::new().await;
    let client = world.client().await;
    let (_, order) = world.ready_order(&client, &["127.0.0.1"]).await;
    world.pass(9 * HOUR).await;
    let done = client.finalize(&order, &csr(&["127.0.0.1"]).0).await.expect(200).json();
    assert_eq!(done["status"], "valid");
    assert!(world.dns.queries().is_empty(), "{:?}", world.dns.queries());
}

#[tokio::test]
async fn caa_is_looked_up_again_when_the_last_look_is_older_than_eight_hours() {
    let world = World::new().await;
    let client = world.client().await;
    let second = Duration::from_secs(1);
    for (name, age, again) in
        [("a.example", 8 * HOUR - second, false), ("b.example", 8 * HOUR, true), ("c.example", 9 * HOUR, true)]
    {
        let (_, order) = world.ready_order(&client, &[name]).await;
        let asked = || world.dns.queries().iter().filter(|query| **query == format!("CAA {name}")).count();
        let before = asked();
        world.pass(age).await;
        let done = client.finalize(&order, &csr(&[name]).0).await.expect(200).json();
        assert_eq!(done["status"], "valid");
        assert_eq!(asked() > before, again, "{name}");
    }
}

#[tokio::test]
async fn a_record_that_came_since_forbids_and_the_proof_stays() {
    let world = World::new().await;
    let client = world.client().await;
    let (place, order) = world.ready_order(&client, &["a.example", "b.example"]).await;
    world.pass(9 * HOUR).await;
    world.dns.caa("b.example", 0, "issue", "elsewhere.test");
    let done = client.finalize(&order, &csr(&["a.example", "b.example"]).0).await.expect(200);
    assert_eq!((done.location(), &done.json()["status"]), (place.as_str(), &json!("invalid")));
    problem(&done.json()["error"], "caa", &["b.example", "elsewhere.test", "ca.test"]);
    assert_eq!(done.json().get("certificate"), None);
    assert!(world.ra().certificates(None, 10).await.unwrap().is_empty());
    // Once it is taken away, the next order succeeds without another proof.
    world.dns.clear("b.example");
    let order = client.new_order(&["a.example", "b.example"]).await.expect(201).json();
    assert_eq!(order["status"], "ready");
    assert_eq!(
        client.finalize(&order, &csr(&["a.example", "b.example"]).0).await.expect(200).json()["status"],
        "valid"
    );
}

#[tokio::test]
async fn a_look_that_fails_is_repeated_before_signing_and_then_ends_the_order() {
    let world = World::with(|config| config.acme.finalize_wait_ms = 0).await;
    let client = world.client().await;
    let between = Duration::from_secs(2);
    for (name, heals) in [("heals.example", true), ("fails.example", false)] {
        let (place, order) = world.ready_order(&client, &[name]).await;
        world.pass(9 * HOUR).await;
        world.dns.fail_type(name, "CAA", Failure::ServFail);
        client.finalize(&order, &csr(&[name]).0).await.expect(200);
        // The first look, then the second; between them the order is processing.
        for _ in 0..2 {
            world.pass(between).await;
        }
        if heals {
            world.dns.clear(name);
        }
        world.pass(between).await;
        let over = look(&client, &place).await;
        if heals {
            assert_eq!(over["status"], "valid", "{over}");
        } else {
            assert_eq!(over["status"], "invalid", "{over}");
            problem(&over["error"], "dns", &[name, "CAA"]);
        }
    }
    assert_eq!(world.ra().certificates(None, 10).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_look_that_fails_proves_nothing() {
    let world = World::new().await;
    let client = world.client().await;
    world.dns.fail_type("example.com", "CAA", Failure::ServFail);
    let (_, answer, order) = proven(&world, &client, order("example.com")).await;
    problem(&answer["error"], "dns", &["CAA", "example.com"]);
    assert_eq!((&answer["status"], &order["status"]), (&json!("invalid"), &json!("invalid")));
    // Nor does one at an ancestor.
    world.dns.fail_type("parent.example", "CAA", Failure::Refused);
    let placed = client.new_order(&["a.parent.example"]).await.expect(201).json();
    let authz = client.authorizations(&placed).await.swap_remove(0);
    let answer = client.respond(&challenge(&authz, "http-01")).await.expect(200).json();
    problem(&answer["error"], "dns", &["CAA", "parent.example"]);
}
