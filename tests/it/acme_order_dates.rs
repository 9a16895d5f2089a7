//! The dates that an order asks for: honoured to the second, or refused (RFC 8555 section 7.4).

use std::time::Duration;

use chancery::domain::Timestamp;
use serde_json::{Value, json};

use crate::acme_tools::{DAY, HOUR, has_parts, leaf, order_of, parsed};
use crate::support::client::{Client, csr};
use crate::support::world::World;

const SECOND: Duration = Duration::from_secs(1);

/// A certificate for an order with these dates, finalized `later`: its validity in seconds since 1970.
async fn validity(world: &World, client: &Client, dates: Value, later: Duration) -> (Value, u64, u64) {
    let placed = client.new_order_of(order_of(&["example.com"], dates)).await.expect(201);
    for authz in client.authorizations(&placed.json()).await {
        if authz["status"] == "pending" {
            world.prove(client, &authz).await.ok();
        }
    }
    world.pass(later).await;
    let done = client.finalize(&placed.json(), &csr(&["example.com"]).0).await.expect(200).json();
    assert_eq!(done["status"], "valid", "{done}");
    let der = leaf(&client.certificate(&done).await);
    let validity = parsed(&der).validity().clone();
    let secs = |time: x509_parser::time::ASN1Time| u64::try_from(time.timestamp()).unwrap();
    (done, secs(validity.not_before), secs(validity.not_after))
}

#[tokio::test]
async fn dates_that_were_asked_for_are_those_of_the_certificate_to_the_second() {
    let world = World::new().await;
    let client = world.client().await;
    let now = world.now();
    for (not_before, not_after, later) in [
        (Some(now), Some(now + 90 * DAY - SECOND), Duration::ZERO),
        (Some(now + 7 * HOUR + SECOND), Some(now + 8 * HOUR), HOUR),
        (Some(now - 40 * HOUR), Some(now + 9 * HOUR), HOUR),
        (Some(now + 47 * HOUR), None, HOUR),
        (None, Some(now + 30 * DAY + 17 * SECOND), HOUR),
        (None, Some(now + 90 * DAY - SECOND), Duration::ZERO),
    ] {
        let text = |moment: Option<Timestamp>| moment.map(|moment| moment.to_string());
        let dates = json!({ "notBefore": text(not_before), "notAfter": text(not_after) });
        let (order, first, last) = validity(&world, &client, dates, later).await;
        for (member, asked, certified) in [("notBefore", not_before, first), ("notAfter", not_after, last)] {
            if let Some(asked) = asked {
                assert_eq!(order[member], asked.to_string());
                assert_eq!(certified, asked.as_secs(), "{member} of {order}");
            } else {
                assert_eq!(order.get(member), None);
            }
        }
        assert!(last - first < 90 * DAY.as_secs(), "{order}: {first} to {last}");
    }
}

#[tokio::test]
async fn dates_that_were_not_asked_for_are_those_of_the_product() {
    let world = World::new().await;
    let client = world.client().await;
    let now = world.now().as_secs();
    let (_, first, last) = validity(&world, &client, json!({}), Duration::ZERO).await;
    assert_eq!((first, last), (now - 3600, now - 3600 + 90 * DAY.as_secs() - 1));
    let single = json!({ "profile": "single" });
    let (_, first, last) = validity(&world, &client, single, Duration::ZERO).await;
    assert_eq!((first, last), (now - 3600, now - 3600 + 10 * DAY.as_secs() - 1));
}

#[tokio::test]
async fn a_moment_in_another_time_zone_is_the_same_moment() {
    let world = World::new().await;
    let client = world.client().await;
    let dates = json!({ "notBefore": "2026-11-21T21:00:00+08:00", "notAfter": "2026-11-22T00:30:00.000-01:30" });
    let (order, first, last) = validity(&world, &client, dates, Duration::ZERO).await;
    assert_eq!(
        (order["notBefore"].as_str(), order["notAfter"].as_str()),
        (Some("2026-11-21T13:00:00Z"), Some("2026-11-22T02:00:00Z"))
    );
    assert_eq!(last - first, 13 * 3600);
}

#[tokio::test]
async fn dates_that_can_not_be_honoured_are_refused() {
    let world = World::new().await;
    let client = world.client().await;
    let now = world.now();
    let at = |moment: Timestamp| moment.to_string();
    for (dates, part) in [
        (json!({ "notAfter": at(now + 90 * DAY) }), "at most 90 days"),
        (json!({ "notBefore": at(now), "notAfter": at(now + 90 * DAY) }), "at most 90 days"),
        (json!({ "notBefore": at(now - HOUR), "notAfter": at(now + 90 * DAY - HOUR) }), "at most 90 days"),
        (json!({ "notAfter": "9999-12-31T23:59:59Z" }), "at most 90 days"),
        (json!({ "profile": "single", "notAfter": at(now + 10 * DAY) }), "at most 10 days"),
        (json!({ "notAfter": at(now) }), "in the future"),
        (json!({ "notAfter": at(now - HOUR) }), "in the future"),
        (json!({ "notBefore": at(now - 9 * HOUR), "notAfter": at(now - HOUR) }), "in the future"),
        (json!({ "notBefore": at(now + HOUR), "notAfter": at(now + HOUR) }), "after \"notBefore\""),
        (json!({ "notBefore": at(now + 2 * HOUR), "notAfter": at(now + HOUR) }), "after \"notBefore\""),
        (json!({ "notBefore": at(now + 48 * HOUR + SECOND) }), "within 48 hours"),
        (json!({ "notBefore": at(now - 48 * HOUR - SECOND) }), "within 48 hours"),
        // An order that would be over in the moment in which it is placed.
        (json!({ "notBefore": at(now - 48 * HOUR) }), "within 48 hours"),
        (json!({ "notBefore": "1970-01-01T00:00:00Z" }), "within 48 hours"),
        (json!({ "notAfter": "2026-11-22T12:00:00.5Z" }), "fraction"),
        (json!({ "notAfter": "2026-11-22T12:00:00.001Z" }), "fraction"),
        (json!({ "notAfter": "2026-11-22T12:00:00.0001Z" }), "fraction"),
        (json!({ "notBefore": "2026-11-21T13:00:00.000000001Z" }), "fraction"),
        (json!({ "notAfter": "tomorrow" }), "RFC 3339"),
        (json!({ "notAfter": "2026-11-22" }), "RFC 3339"),
        (json!({ "notAfter": "2026-11-22T12:00:00" }), "RFC 3339"),
        (json!({ "notAfter": "2026-02-30T12:00:00Z" }), "RFC 3339"),
        (json!({ "notBefore": "1969-12-31T23:59:59.5Z" }), "RFC 3339"),
    ] {
        let answer = client.new_order_of(order_of(&["example.com"], dates.clone())).await;
        assert_eq!(answer.status, 400, "{dates}: {answer}");
        has_parts(&answer.expect_problem(400, "malformed"), &[part]);
    }
}

#[tokio::test]
async fn an_order_ends_before_its_dates_can_no_longer_be_honoured() {
    let world = World::new().await;
    let client = world.client().await;
    let now = world.now();
    for (dates, end) in [
        // Baseline Requirements 7.1.2.7: notBefore lies within 48 hours of signing.
        (json!({ "notBefore": (now + HOUR).to_string() }), now + 49 * HOUR),
        (json!({ "notBefore": (now - 47 * HOUR).to_string() }), now + HOUR),
        // What is over by then is of no use to anybody.
        (json!({ "notAfter": (now + 5 * HOUR).to_string() }), now + 5 * HOUR),
    ] {
        let placed = client.new_order_of(order_of(&["example.com"], dates)).await.expect(201);
        assert_eq!(placed.json()["expires"], end.to_string(), "{placed}");
    }
}
