//! The family ISSUE: what time to issue is promised, when a diagnosis is offered, and how often to ask meanwhile.

use std::time::Duration;

use chancery::domain::customer::CustomerKind;
use chancery::policy::promise;
use serde_json::{Value, json};

use crate::acme_tools::{HOUR, order_of};
use crate::support::client::csr;
use crate::support::dns::Failure;
use crate::support::operator::Operator;
use crate::support::world::World;

async fn shown(operator: &Operator, url: &str) -> Value {
    operator.get(&format!("/orders/{}", url.rsplit('/').next().unwrap())).await.expect(200).json()
}

#[tokio::test]
async fn an_order_says_what_is_promised_and_when_a_diagnosis_is_worth_asking() {
    let world = World::documented().await;
    let operator = Operator::of(&world);
    let customer = world.customer(CustomerKind::Enterprise).await;
    let client = world.client_of(&customer).await;
    let (half_hour, day) = (Duration::from_secs(1_800), HOUR * 24);
    world.buy(&customer, "trustasia-dv-multi", 1, 1).await;
    for (product, name, parts, diagnosis) in [
        (
            "trustasia-dv-free",
            "www.zone-one.cn",
            &[
                "Usually issued within 30 minutes (ISSUE-03)",
                "several hours or one calendar day (ISSUE-04)",
                "within 24 hours after the validation passed (ISSUE-05)",
                "one business day (ISSUE-06)",
            ][..],
            half_hour,
        ),
        (
            "trustasia-dv-multi",
            "www.zone-two.cn",
            &["10 minutes to 24 hours (ISSUE-01)", "one business day (ISSUE-06)"],
            day,
        ),
    ] {
        let placed = client.new_order_of(order_of(&[name], json!({ "profile": product }))).await;
        let order = shown(&operator, placed.expect(201).location()).await;
        let promise = order["promise"].as_str().unwrap();
        assert!(parts.iter().all(|part| promise.contains(part)), "{product}: {promise}");
        assert_eq!(order["diagnosis_from"], (world.now() + diagnosis).to_string(), "{product}");
    }
    // ISSUE-02: people take their days, and no diagnosis would hasten them.
    let catalog = world.ra().catalog();
    for (product, days) in [("trustasia-ov-single", "3 to 5"), ("geotrust-ev-single", "5 to 7")] {
        let promise = promise::of(&catalog, catalog.product(product).unwrap(), world.now()).unwrap();
        assert_eq!(promise.text, format!("Issued within {days} business days (ISSUE-02)."));
        assert_eq!(promise.diagnosis_from, None);
    }
    // What is settled needs no promise.
    let (done, _) = world.certificate(&client, &["www.zone-five.cn"]).await;
    let order = shown(&operator, done["finalize"].as_str().unwrap().strip_suffix("/finalize").unwrap()).await;
    assert_eq!((order.get("promise"), order.get("diagnosis_from")), (None, None));
}

#[tokio::test]
async fn who_waits_for_a_certificate_that_was_put_off_asks_less_often() {
    let world = World::with(|config| config.acme.finalize_wait_ms = 0).await;
    let client = world.client().await;
    let (place, order) = world.ready_order(&client, &["example.com"]).await;
    world.pass(HOUR * 9).await;
    world.dns.fail_type("example.com", "CAA", Failure::ServFail);
    let answer = client.finalize(&order, &csr(&["example.com"]).0).await.expect(200);
    assert_eq!((&answer.json()["status"], answer.header("retry-after")), (&json!("processing"), Some("1")));
    // Rules section 25.3, ISSUE: 30 s.
    world.pass(Duration::from_secs(30)).await;
    let polled = client.post_as_get(&place).await.expect(200);
    assert_eq!((&polled.json()["status"], polled.header("retry-after")), (&json!("processing"), Some("30")));
}
