//! The rules of revocation (family REVOKE) through revokeCert: who is revoked at once, and what others are told to do.

use chancery::domain::customer::CustomerKind;
use chancery::domain::{CustomerId, Timestamp};
use rcgen::KeyPair;
use serde_json::json;

use crate::acme_tools::{DAY, has_parts, look};
use crate::rules_tools::{Issued, SECOND, issue, issue_for, of, place, with};
use crate::support::client::Client;
use crate::support::operator::Operator;
use crate::support::world::World;

const FREE: &str = "trustasia-dv-free";
const MULTI: &str = "trustasia-dv-multi";
const SEVERAL: &str = "base = 10, included = 2, extra = 5";
const NAMES: [&str; 2] = ["shop.zone-one.cn", "mail.zone-one.cn"];

/// The shipped catalogue with a price for a product that the documents give none.
async fn selling(product: &str, price: &str) -> World {
    let id = format!("id = \"{product}\"");
    let priced = format!("{id}\nprice = {{ {price} }}");
    World::documented_but(&[(&id, &priced)]).await
}

async fn buyer(world: &World, product: &str, names: u32) -> (CustomerId, Client) {
    let customer = world.customer(CustomerKind::Enterprise).await;
    world.buy(&customer, product, names, 1).await;
    (customer.clone(), world.client_of(&customer).await)
}

async fn pass_to(world: &World, moment: Timestamp) {
    world.pass(moment.since(world.now())).await;
}

/// What the operator sees of the order's standing.
async fn status(world: &World, made: &Issued) -> String {
    let id = made.order["finalize"].as_str().unwrap().rsplit('/').nth(1).unwrap().to_owned();
    Operator::of(world).get(&format!("/orders/{id}")).await.expect(200).json()["status"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_dv_certificate_is_revoked_at_once_while_its_account_holds_valid_authorizations() {
    let world = World::documented().await;
    let client = world.client().await;
    // REVOKE-12, section 25.4: the free product's proofs last for its order, a paid one's are retained.
    let first = issue(&world, &client, &["a.zone-one.cn"], of(FREE)).await;
    let second = issue(&world, &client, &["b.zone-one.cn"], of(FREE)).await;
    client.revoke(&first.der, Some(4)).await.expect(200);
    world.pass(8 * DAY).await;
    let refused = client.revoke(&second.der, Some(4)).await;
    let told = refused.expect_problem(403, "userActionRequired");
    has_parts(&told, &["b.zone-one.cn", "newAuthz", "within 3 days", "/revocations", "REVOKE-12"]);
    assert_eq!(status(&world, &second).await, "issued");
    // Proven again by whatever order or authorization, it goes.
    let url = client.resource("newAuthz").await;
    let asked = json!({ "identifier": { "type": "dns", "value": "b.zone-one.cn" } });
    let authz = client.post(&url, &asked).await.expect(201).json();
    world.web.serve_any(&client.thumbprint());
    world.prove(&client, &authz).await.expect(200);
    client.revoke(&second.der, Some(4)).await.expect(200);
    assert_eq!(status(&world, &second).await, "revoked");

    // REVOKE-15, VAL-34: automatic validation is kept up by the client of a paid product.
    let (_, client) = buyer(&world, MULTI, 2).await;
    let paid = issue(&world, &client, &NAMES, of(MULTI)).await;
    world.pass(100 * DAY).await;
    client.revoke(&paid.der, None).await.expect(200);
}

#[tokio::test]
async fn what_a_person_decides_on_is_not_revoked_by_the_account_alone() {
    // REVOKE-10
    for (product, price, count) in [("wotrus-dv", SEVERAL, 2), ("dnspod-sm-dv", "base = 10", 1)] {
        let world = selling(product, price).await;
        let (_, client) = buyer(&world, product, count as u32).await;
        let key = KeyPair::generate().unwrap();
        let made = issue_for(&world, &client, &NAMES[..count], of(product), &key).await;
        for reason in [None, Some(0), Some(4), Some(5)] {
            let refused = client.revoke(&made.der, reason).await.expect_problem(403, "userActionRequired");
            has_parts(&refused, &["A person decides", "/revocations", "REVOKE-10"]);
        }
        assert_eq!(status(&world, &made).await, "issued");
        // Section 25.4: the certificate's key at once, whatever the reason.
        world.stranger().revoke_with(&key, &made.der, Some(4)).await.expect(200);
        assert_eq!(status(&world, &made).await, "revoked");
    }
}

#[tokio::test]
async fn a_compromised_key_waits_for_nobody() {
    let world = selling("wotrus-dv", SEVERAL).await;
    let (_, client) = buyer(&world, "wotrus-dv", 2).await;
    let made = issue(&world, &client, &NAMES, of("wotrus-dv")).await;
    pass_to(&world, made.last - DAY).await;
    client.revoke(&made.der, Some(1)).await.expect(200);
    let free = world.client().await;
    let made = issue(&world, &free, &["a.zone-one.cn"], of(FREE)).await;
    pass_to(&world, made.last - DAY).await;
    free.revoke(&made.der, Some(1)).await.expect(200);
}

#[tokio::test]
async fn what_ends_within_30_days_is_not_revoked() {
    let world = World::documented().await;
    let (_, client) = buyer(&world, MULTI, 2).await;
    let made = issue(&world, &client, &NAMES, of(MULTI)).await;
    // REVOKE-05, to the second.
    pass_to(&world, made.last - 30 * DAY).await;
    let refused = client.revoke(&made.der, Some(4)).await.expect_problem(403, "unauthorized");
    has_parts(&refused, &["Too close to expiry to revoke here", &made.last.to_string(), "REVOKE-05"]);
    let world = World::documented().await;
    let (_, client) = buyer(&world, MULTI, 2).await;
    let made = issue(&world, &client, &NAMES, of(MULTI)).await;
    pass_to(&world, made.last - 30 * DAY - SECOND).await;
    client.revoke(&made.der, Some(4)).await.expect(200);
}

#[tokio::test]
async fn what_was_issued_before_the_cutoff_is_for_support() {
    let change = ("revocation_cutoff_date = \"2020-03-25\"", "revocation_cutoff_date = \"2030-01-01\"");
    let world = World::documented_but(&[change]).await;
    let client = world.client().await;
    let made = issue(&world, &client, &["a.zone-one.cn"], of(FREE)).await;
    let refused = client.revoke(&made.der, Some(4)).await.expect_problem(403, "unauthorized");
    has_parts(&refused, &["contact support", "REVOKE-07"]);
    // The operator, whom support asks, revokes.
    let serial = chancery::ca::certificate::serial_of(&made.der).unwrap();
    Operator::of(&world).send("POST", &format!("/certificates/{serial}/revoke"), &json!({})).await.expect(200);
}

#[tokio::test]
async fn an_original_and_its_reissues_are_revoked_together() {
    let world = World::documented().await;
    let (_, client) = buyer(&world, MULTI, 2).await;
    let first = issue(&world, &client, &NAMES, of(MULTI)).await;
    let second = issue(&world, &client, &NAMES, of(MULTI)).await;
    let third = issue(&world, &client, &NAMES, with(of(MULTI), json!({ "replaces": second.id() }))).await;
    // REVOKE-06
    let original = chancery::ca::certificate::serial_of(&first.der).unwrap().to_string();
    for reissue in [&second, &third] {
        let refused = client.revoke(&reissue.der, Some(4)).await.expect_problem(403, "userActionRequired");
        has_parts(&refused, &["Revoke the original", &original, "REVOKE-06"]);
    }
    client.revoke(&first.der, Some(5)).await.expect(200);
    for made in [&first, &second, &third] {
        assert_eq!(status(&world, made).await, "revoked");
        client.revoke(&made.der, Some(5)).await.expect_problem(400, "alreadyRevoked");
    }
}

#[tokio::test]
async fn what_took_the_place_of_a_superseded_certificate_stays() {
    let world = World::documented().await;
    let (_, client) = buyer(&world, MULTI, 2).await;
    let first = issue(&world, &client, &NAMES, of(MULTI)).await;
    let second = issue(&world, &client, &NAMES, of(MULTI)).await;
    client.revoke(&first.der, Some(4)).await.expect(200);
    assert_eq!(status(&world, &first).await, "revoked");
    assert_ne!(status(&world, &second).await, "revoked");
}

#[tokio::test]
async fn of_a_line_of_reissues_only_those_with_the_compromised_key_go_with_it() {
    let world = World::documented().await;
    let (_, client) = buyer(&world, MULTI, 2).await;
    let key = KeyPair::generate().unwrap();
    let first = issue_for(&world, &client, &NAMES, of(MULTI), &key).await;
    let same = issue_for(&world, &client, &NAMES, of(MULTI), &key).await;
    let fresh = issue(&world, &client, &NAMES, of(MULTI)).await;
    client.revoke(&first.der, Some(1)).await.expect(200);
    assert_eq!(status(&world, &same).await, "revoked");
    assert_eq!(status(&world, &fresh).await, "issued");
    // Its original is over, so it is revoked by itself.
    client.revoke(&fresh.der, Some(4)).await.expect(200);
}

#[tokio::test]
async fn another_account_of_the_same_customer_has_to_follow_the_rules_too() {
    let world = selling("wotrus-dv", SEVERAL).await;
    let (customer, client) = buyer(&world, "wotrus-dv", 2).await;
    let made = issue(&world, &client, &NAMES, of("wotrus-dv")).await;
    let second = world.client_of(&customer).await;
    second.revoke(&made.der, Some(4)).await.expect_problem(403, "userActionRequired");
    // Who is a stranger and holds all names is heard at once (RFC 8555 section 7.6): they are theirs now.
    let stranger = world.client().await;
    for name in NAMES {
        let placed = place(&stranger, &[name], of(FREE)).await.expect(201);
        crate::rules_tools::make_ready(&world, &stranger, &placed).await;
    }
    stranger.revoke(&made.der, Some(4)).await.expect(200);
    assert_eq!(look(&client, client.kid()).await["status"], "valid");
}

#[tokio::test]
async fn what_another_ca_issued_is_revoked_there() {
    let world = World::documented().await;
    let client = world.client().await;
    let key = KeyPair::generate().unwrap();
    let foreign = rcgen::CertificateParams::new(vec!["a.zone-one.cn".to_owned()]).unwrap().self_signed(&key).unwrap();
    // REVOKE-04
    let refused = client.revoke(foreign.der(), None).await.expect_problem(404, "malformed");
    has_parts(&refused, &["Ask the CA that issued it", "REVOKE-04"]);
}
