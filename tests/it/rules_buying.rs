//! Buying, and orders that a purchase pays for: through newOrder and finalize, with customers whose accounts are bound.

use std::time::Duration;

use chancery::domain::customer::CustomerKind;
use serde_json::json;

use crate::acme_tools::{has_parts, order_of};
use crate::support::client::csr;
use crate::support::world::{BASE, World};

const DAY: Duration = Duration::from_secs(86_400);

#[tokio::test]
async fn a_purchase_that_fits_the_names_is_used_without_being_named() {
    let world = World::documented().await;
    let customer = world.customer(CustomerKind::Individual).await;
    let client = world.client_of(&customer).await;
    let names = ["shop.zone-one.cn", "zone-one.cn", "mail.zone-two.cn"];
    // BUY-03
    let refused = client.new_order_of(order_of(&names, json!({ "profile": "trustasia-dv-multi" }))).await;
    has_parts(&refused.expect_problem(403, "userActionRequired"), &["732.00 USD", "BUY-03"]);
    world.buy(&customer, "trustasia-dv-multi", 2, 1).await;
    let (order, _) = world.certificate(&client, &names).await;
    assert_eq!(order["profile"], "trustasia-dv-multi");
    // Design decision 6: the same names again are its reissue, with the same end.
    world.pass(DAY).await;
    let again = client.new_order(&names).await.expect(201).json();
    assert_eq!(again["profile"], "trustasia-dv-multi");
    // BUY-05
    let more = ["a.zone-one.cn", "b.zone-one.cn", "c.zone-one.cn"];
    world.buy(&customer, "trustasia-dv-multi", 2, 1).await;
    let refused = client.new_order_of(order_of(&more, json!({ "profile": "trustasia-dv-multi" }))).await;
    has_parts(&refused.expect_problem(400, "invalidProfile"), &["covers 2 chargeable names", "3 were given", "BUY-05"]);
}

#[tokio::test]
async fn who_has_bought_nothing_is_led_to_the_price() {
    let terms = "https://ca.test/terms".to_owned();
    let world = World::documented_with(|config| config.acme.terms_of_service = Some(terms)).await;
    let customer = world.customer(CustomerKind::Individual).await;
    let client = world.client_of(&customer).await;
    // (rule, product, names, chargeable, total)
    for (rule, product, names, chargeable, total) in [
        ("BUY-03", "trustasia-dv-multi", &["zone-one.cn", "www.zone-one.cn"][..], 1, "732.00"),
        ("BUY-03", "trustasia-dv-wildcard", &["*.zone-one.cn", "zone-one.cn"], 1, "299.00"),
        ("PRICE-31", "trustasia-dv-multi", &["a.cn", "b.cn", "c.cn", "d.cn", "e.cn", "f.cn", "g.cn"], 7, "1016.00"),
    ] {
        let answer = client.new_order_of(order_of(names, json!({ "profile": product }))).await;
        let detail = answer.expect_problem(403, "userActionRequired");
        has_parts(&detail, &[product, &format!("{total} USD"), "BUY-03"]);
        // Section 25.3: "instance" is the quote, open to everybody.
        let quote = answer.json()["instance"].as_str().unwrap().to_owned();
        assert_eq!(quote, format!("{BASE}/api/v1/quotes?product={product}&names={chargeable}"), "{rule}");
        assert_eq!(answer.links("help"), [quote.as_str()], "{rule}");
        assert!(answer.links("terms-of-service").is_empty(), "{rule}");
        let shown = client.get(&quote).await.expect(200).json();
        assert_eq!((&shown["names"], &shown["total"]), (&json!(chargeable), &json!(total)), "{rule}");
    }
}

#[tokio::test]
async fn the_number_of_names_given_equals_the_number_bought() {
    let world = World::documented().await;
    let customer = world.customer(CustomerKind::Individual).await;
    let client = world.client_of(&customer).await;
    world.buy(&customer, "trustasia-dv-multi", 3, 1).await;
    let ask =
        async |names: &[&str]| client.new_order_of(order_of(names, json!({ "profile": "trustasia-dv-multi" }))).await;
    // (names, how many are charged)
    for (names, given) in [
        (&["a.cn"][..], 1),
        (&["a.cn", "b.cn"], 2),
        (&["a.cn", "www.a.cn", "b.cn"], 2),
        (&["a.cn", "b.cn", "c.cn", "d.cn"], 4),
    ] {
        let detail = ask(names).await.expect_problem(400, "invalidProfile");
        has_parts(&detail, &["covers 3 chargeable names", &format!("{given} were given"), "BUY-05"]);
    }
    ask(&["a.cn", "www.a.cn", "b.cn", "c.cn"]).await.expect(201);
}

#[tokio::test]
async fn years_bought_at_once_are_certificates_one_after_the_other() {
    let world = World::documented().await;
    let customer = world.customer(CustomerKind::Individual).await;
    let client = world.client_of(&customer).await;
    let bought = world.buy(&customer, "trustasia-dv-wildcard", 1, 3).await;
    // BUY-08: paid in full at once.
    assert_eq!(bought.price.to_string(), "897.00");
    let names = ["*.zone-one.cn"];
    let mut certificates = Vec::new();
    for year in 1..=3 {
        let (order, _) = world.certificate(&client, &names).await;
        assert_eq!(order["profile"], "trustasia-dv-wildcard", "year {year}");
        certificates.push(order["certificate"].clone());
        let purchase = world.ra().purchase(&bought.id).await.unwrap();
        assert_eq!(purchase.orders.len(), year);
        // Into the days before its end in which it is renewed.
        let end = purchase.orders[year - 1].certificate.as_ref().unwrap().not_after;
        world.pass((end - DAY * 20).since(world.now())).await;
    }
    certificates.dedup();
    assert_eq!(certificates.len(), 3);
    let further = client.new_order(&names).await;
    has_parts(&further.expect_problem(403, "userActionRequired"), &["299.00 USD", "BUY-03"]);
}

#[tokio::test]
async fn a_purchase_pays_for_one_order_at_a_time() {
    let world = World::documented().await;
    let customer = world.customer(CustomerKind::Individual).await;
    let client = world.client_of(&customer).await;
    world.buy(&customer, "trustasia-dv-multi", 1, 1).await;
    let other = world.client_of(&customer).await;
    let of = |name: &'static str| order_of(&[name], json!({ "profile": "trustasia-dv-multi" }));
    let (a, b) = tokio::join!(client.new_order_of(of("a.cn")), other.new_order_of(of("b.cn")));
    let placed = [&a, &b].iter().filter(|answer| answer.status == 201).count();
    assert_eq!(placed, 1, "{a} {b}");
    // Another customer has none of it.
    let stranger = world.client_of(&world.customer(CustomerKind::Individual).await).await;
    stranger.new_order_of(of("c.cn")).await.expect_problem(403, "userActionRequired");
}

#[tokio::test]
async fn a_word_in_a_paid_name_brings_the_order_to_the_review_desk() {
    let world = World::documented().await;
    let customer = world.customer(CustomerKind::Individual).await;
    let client = world.client_of(&customer).await;
    world.buy(&customer, "trustasia-dv-multi", 1, 1).await;
    let names = ["pay.zone-one.cn"];
    let (_, order) = world.ready_order(&client, &names).await;
    let done = client.finalize(&order, &csr(&names).0).await.expect(200).json();
    assert_eq!(done["status"], "processing", "{done}");
}

#[tokio::test]
async fn an_organisations_certificate_waits_for_an_organisation_that_was_vetted() {
    let world = World::documented().await;
    let individual = world.client_of(&world.customer(CustomerKind::Individual).await).await;
    let ov = order_of(&["shop.zone-one.cn"], json!({ "profile": "trustasia-ov-single" }));
    // CAT-15, ORG-10
    let refused = individual.new_order_of(ov.clone()).await;
    has_parts(&refused.expect_problem(403, "userActionRequired"), &["registered organisation", "CAT-15"]);
    let customer = world.customer(CustomerKind::Enterprise).await;
    let enterprise = world.client_of(&customer).await;
    world.buy(&customer, "trustasia-ov-single", 1, 1).await;
    let placed = enterprise.new_order_of(ov).await.expect(201);
    for authz in enterprise.authorizations(&placed.json()).await {
        world.prove(&enterprise, &authz).await.expect(200);
    }
    // VAL-38: validated is not enough here, and the order stays ready for when the organisation is confirmed.
    let refused = enterprise.finalize(&placed.json(), &csr(&["shop.zone-one.cn"]).0).await;
    has_parts(&refused.expect_problem(403, "userActionRequired"), &["Upload the confirmation letter", "DOC-01"]);
    assert_eq!(enterprise.post_as_get(placed.location()).await.json()["status"], "ready");
}
