//! Orders over REST: where they stand, in the documents' words (section 21 of the rules).

use std::time::Duration;

use chancery::domain::customer::CustomerKind;
use serde_json::{Value, json};

use crate::acme_tools::{DAY, Gate, HOUR, cert_id, has_parts, leaf, order_of, order_one};
use crate::support::client::{Client, challenge, csr};
use crate::support::dns::Failure;
use crate::support::operator::Operator;
use crate::support::world::World;

const MINUTE: Duration = Duration::from_secs(60);

/// The id in an order's URL.
fn id(place: &str) -> &str {
    place.rsplit('/').next().unwrap()
}

async fn shown(operator: &Operator, place: &str) -> Value {
    operator.get(&format!("/orders/{}", id(place))).await.expect(200).json()
}

/// The status of an order and of each of its names.
async fn statuses(operator: &Operator, place: &str) -> (String, Vec<String>) {
    let order = shown(operator, place).await;
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let names = order["validations"].as_array().unwrap().iter().map(|name| text(&name["status"])).collect();
    (text(&order["status"]), names)
}

fn are(status: &str, names: &[&str]) -> (String, Vec<String>) {
    (status.to_owned(), names.iter().map(|name| (*name).to_owned()).collect())
}

/// Answers the first challenge of an order's only name.
async fn answer(client: &Client, place: &str) {
    let order = client.post_as_get(place).await.expect(200).json();
    let authz = client.authorizations(&order).await.swap_remove(0);
    client.respond(&challenge(&authz, "http-01")).await.expect(200);
}

#[tokio::test]
async fn a_free_order_goes_from_pending_validation_to_expired() {
    let world = World::documented().await;
    let operator = Operator::of(&world);
    let client = world.client().await;
    let (place, order, _, _) = order_one(&client, "www.zone-one.cn").await;
    let first = shown(&operator, &place).await;
    assert_eq!((&first["product"], &first["purpose"]), (&json!("trustasia-dv-free"), &json!("new")));
    assert_eq!(first["identifiers"], json!([{ "type": "dns", "value": "www.zone-one.cn" }]));
    assert_eq!((&first["created"], &first["expires"]), (&json!(world.now().to_string()), &order["expires"]));
    assert_eq!(first["validations"][0]["name"], "www.zone-one.cn");
    for absent in ["problem", "hint", "waits_for", "certificate", "purchase", "customer", "causes", "follows"] {
        assert_eq!(first.get(absent), None, "{first}");
    }
    // STATUS-02
    assert_eq!(statuses(&operator, &place).await, are("pending-validation", &["pending-validation"]));
    answer(&client, &place).await;
    assert_eq!(statuses(&operator, &place).await, are("validated", &["validated"]));
    let proven = shown(&operator, &place).await["validations"][0].take();
    assert_eq!((&proven["method"], &proven["validated"]), (&json!("http-01"), &json!(world.now().to_string())));
    assert_eq!(proven["caa_checked"], world.now().to_string());
    let done = client.finalize(&order, &csr(&["www.zone-one.cn"]).0).await.expect(200).json();
    assert_eq!(statuses(&operator, &place).await, are("issued", &["validated"]));
    let serial = shown(&operator, &place).await["certificate"].as_str().unwrap().to_owned();
    assert!(done["certificate"].as_str().unwrap().ends_with(&serial));
    // RENEW-01, STATUS-04: the entry keeps its own status, whatever comes after it.
    let end = operator.get(&format!("/certificates/{serial}")).await.expect(200).json()["not_after"].take();
    let end = chancery::domain::Timestamp::parse_rfc3339(end.as_str().unwrap()).unwrap();
    world.pass((end - DAY * 30).since(world.now()) - Duration::from_secs(1)).await;
    assert_eq!(statuses(&operator, &place).await.0, "issued");
    world.pass(Duration::from_secs(1)).await;
    assert_eq!(statuses(&operator, &place).await.0, "to-be-renewed");
    let (_, next) = world.ready_order(&client, &["www.zone-one.cn"]).await;
    client.finalize(&next, &csr(&["www.zone-one.cn"]).0).await.expect(200);
    assert_eq!(statuses(&operator, &place).await.0, "to-be-renewed");
    world.pass(DAY * 30 + Duration::from_secs(1)).await;
    assert_eq!(statuses(&operator, &place).await, are("expired", &["validated"]));
}

#[tokio::test]
async fn a_validation_under_way_is_told_as_such() {
    let gate = Gate::closed().await;
    let world = World::documented_with(|config| {
        config.acme.challenge_wait_ms = 0;
        config.validation.http_port = gate.port();
    })
    .await;
    let operator = Operator::of(&world);
    let client = world.client().await;
    gate.serve_any(&client.thumbprint());
    let place = client.new_order(&["www.zone-one.cn"]).await.expect(201).location().to_owned();
    answer(&client, &place).await;
    assert_eq!(statuses(&operator, &place).await, are("validating", &["validating"]));
    assert_eq!(shown(&operator, &place).await["validations"][0]["method"], "http-01");
    gate.open();
    world.pass(Duration::ZERO).await;
    assert_eq!(statuses(&operator, &place).await, are("validated", &["validated"]));
}

#[tokio::test]
async fn a_look_without_a_result_is_a_validation_timeout_until_the_next() {
    let world = World::documented_with(|config| {
        config.acme.challenge_wait_ms = 0;
        config.acme.validation_tries = 2;
        config.acme.validation_retry_ms = 60_000;
    })
    .await;
    let operator = Operator::of(&world);
    let client = world.client().await;
    let place = client.new_order(&["www.zone-one.cn"]).await.expect(201).location().to_owned();
    world.dns.fail("www.zone-one.cn", Failure::ServFail);
    answer(&client, &place).await;
    world.pass(Duration::ZERO).await;
    assert_eq!(statuses(&operator, &place).await, are("validation-timeout", &["validation-timeout"]), "VAL-29");
    let seen = shown(&operator, &place).await;
    assert_eq!(seen["validations"][0]["problem"]["kind"], "dns", "{seen}");
    assert_eq!(seen.get("problem"), None, "{seen}");
    world.pass(MINUTE).await;
    assert_eq!(statuses(&operator, &place).await, are("validation-failed", &["validation-failed"]));
    let seen = shown(&operator, &place).await;
    assert_eq!((&seen["problem"]["kind"], &seen["validations"][0]["problem"]["kind"]), (&json!("dns"), &json!("dns")));
}

#[tokio::test]
async fn each_name_of_an_order_has_a_status_of_its_own() {
    let world = World::documented().await;
    let operator = Operator::of(&world);
    let buyer = world.customer(CustomerKind::Individual).await;
    let client = world.client_of(&buyer).await;
    world.buy(&buyer, "trustasia-dv-multi", 3, 1).await;
    let names = ["a.zone-one.cn", "b.zone-one.cn", "c.zone-one.cn"];
    let placed = client.new_order(&names).await.expect(201);
    let place = placed.location().to_owned();
    let authzs = client.authorizations(&placed.json()).await;
    world.prove(&client, &authzs[0]).await.expect(200);
    // STATUS-03
    assert_eq!(
        statuses(&operator, &place).await,
        are("pending-validation", &["validated", "pending-validation", "pending-validation"])
    );
    let order = shown(&operator, &place).await;
    assert_eq!(order["customer"], buyer.as_str());
    assert_eq!(order["purchase"], operator.get("/purchases").await.json()["items"][0]["id"]);
    // What proves nothing fails that name, and with it the order.
    client.respond(&challenge(&authzs[1], "dns-01")).await.expect(200);
    assert_eq!(
        statuses(&operator, &place).await,
        are("validation-failed", &["validated", "validation-failed", "pending-validation"])
    );
    let order = shown(&operator, &place).await;
    assert!(order["problem"]["detail"].is_string() && order["validations"][0].get("problem").is_none(), "{order}");
    // Another order, and one name of it given up.
    let placed = client.new_order(&names).await.expect(201);
    let authz = placed.json()["authorizations"][2].as_str().unwrap().to_owned();
    client.post(&authz, &json!({ "status": "deactivated" })).await.expect(200);
    assert_eq!(
        statuses(&operator, placed.location()).await,
        are("canceled", &["pending-validation", "pending-validation", "validation-failed"])
    );
}

#[tokio::test]
async fn an_order_that_is_not_completed_in_time_is_over() {
    let world = World::documented().await;
    let operator = Operator::of(&world);
    let client = world.client().await;
    let (unproven, _, _, _) = order_one(&client, "www.zone-one.cn").await;
    let (unfinished, _) = world.ready_order(&client, &["www.zone-two.cn"]).await;
    world.pass(DAY * 4).await;
    // VAL-30: the period is over. Without a CSR nobody submitted anything.
    assert_eq!(statuses(&operator, &unproven).await, are("validation-failed", &["validation-failed"]));
    assert_eq!(statuses(&operator, &unfinished).await.0, "canceled");
    has_parts(shown(&operator, &unfinished).await["problem"]["detail"].as_str().unwrap(), &["expired"]);
}

#[tokio::test]
async fn the_order_of_a_certificate_that_is_reissued_or_revoked_says_so() {
    let world = World::documented().await;
    let operator = Operator::of(&world);
    let buyer = world.customer(CustomerKind::Individual).await;
    let client = world.client_of(&buyer).await;
    world.buy(&buyer, "trustasia-dv-multi", 1, 1).await;
    let names = ["www.zone-one.cn"];
    let (place, order) = world.ready_order(&client, &names).await;
    let done = client.finalize(&order, &csr(&names).0).await.expect(200).json();
    let chain = client.certificate(&done).await;
    world.pass(DAY).await;
    let again = order_of(&names, json!({ "replaces": cert_id(&leaf(&chain)) }));
    let reissue = client.new_order_of(again).await.expect(201);
    assert_eq!(statuses(&operator, &place).await.0, "reissuing");
    let follows = shown(&operator, reissue.location()).await;
    let original = shown(&operator, &place).await;
    assert_eq!((&follows["purpose"], &follows["follows"]), (&json!("reissue"), &original["certificate"]));
    client.finalize(&reissue.json(), &csr(&names).0).await.expect(200);
    assert_eq!(statuses(&operator, &place).await.0, "issued");
    client.revoke(&leaf(&chain), Some(4)).await.expect(200);
    assert_eq!(statuses(&operator, &place).await, are("revoked", &["validated"]));
    assert_eq!(statuses(&operator, reissue.location()).await.0, "issued", "STATUS-04");
}

#[tokio::test]
async fn what_a_closed_account_left_open_is_canceled() {
    let world = World::documented().await;
    let operator = Operator::of(&world);
    let client = world.client().await;
    let (open, _, _, _) = order_one(&client, "www.zone-one.cn").await;
    world.certificate(&client, &["www.zone-two.cn"]).await;
    client.deactivate().await.expect(200);
    assert_eq!(statuses(&operator, &open).await.0, "canceled");
    has_parts(shown(&operator, &open).await["problem"]["detail"].as_str().unwrap(), &["deactivated"]);
    let all = operator.get("/orders").await.expect(200).json();
    let of = |status: &str| all["items"].as_array().unwrap().iter().filter(|order| order["status"] == status).count();
    assert_eq!((of("canceled"), of("issued")), (1, 1));
}

#[tokio::test]
async fn who_waits_long_is_told_what_to_look_at() {
    let world = World::documented().await;
    let operator = Operator::of(&world);
    let buyer = world.customer(CustomerKind::Individual).await;
    let client = world.client_of(&buyer).await;
    world.buy(&buyer, "trustasia-dv-multi", 1, 1).await;
    let free = client.new_order_of(order_of(&["www.zone-two.cn"], json!({ "profile": "trustasia-dv-free" }))).await;
    let free = free.expect(201).location().to_owned();
    let paid = client.new_order_of(order_of(&["www.zone-one.cn"], json!({ "profile": "trustasia-dv-multi" }))).await;
    let paid = paid.expect(201).location().to_owned();
    // (rule, how much later, whether the free order has a hint, whether the paid one has)
    for (rule, later, free_told, paid_told) in [
        ("ISSUE-03", MINUTE * 29, false, false),
        ("DIAG-25", MINUTE, true, false),
        ("ISSUE-01", HOUR * 23 + MINUTE * 29, true, false),
        ("ISSUE-01", MINUTE, true, true),
    ] {
        world.pass(later).await;
        for (place, told) in [(&free, free_told), (&paid, paid_told)] {
            let hint = shown(&operator, place).await["hint"].take();
            assert_eq!(
                hint.as_str().is_some_and(|hint| hint.contains("CAA, DNS record, blocked")),
                told,
                "{rule}: {hint}"
            );
        }
    }
}

#[tokio::test]
async fn orders_are_listed_by_account_oldest_first() {
    let world = World::new().await;
    let operator = Operator::of(&world);
    let (one, other) = (world.client().await, world.client().await);
    let account = id(one.kid()).to_owned();
    let mut placed = Vec::new();
    for n in 0..5 {
        placed.push(id(one.new_order(&[&format!("n{n}.example.com")]).await.expect(201).location()).to_owned());
        other.new_order(&[&format!("n{n}.example.com")]).await.expect(201);
        world.clock.advance(HOUR);
    }
    let (mut seen, mut path) = (Vec::new(), format!("/orders?account={account}&limit=2"));
    loop {
        let page = operator.get(&path).await.expect(200).json();
        for order in page["items"].as_array().unwrap() {
            assert_eq!(order["account"], account);
            seen.push(order["id"].as_str().unwrap().to_owned());
        }
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/orders?account={account}&limit=2&after={next}");
    }
    assert_eq!(seen, placed);
    assert_eq!(operator.get("/orders").await.expect(200).json()["items"].as_array().unwrap().len(), 10);
    for (path, status) in [
        ("/orders?account=AAAAAAAAAAAAAAAAAAAAAA", 404),
        ("/orders?account=x", 404),
        ("/orders?after=x", 404),
        ("/orders?limit=0", 400),
        ("/orders?customer=x", 404),
        ("/orders/x", 404),
        ("/orders/AAAAAAAAAAAAAAAAAAAAAA", 404),
    ] {
        operator.get(path).await.expect(status);
    }
}
