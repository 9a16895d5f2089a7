//! Buying, and orders that a purchase pays for: through newOrder and finalize, with customers whose accounts are bound.

use std::time::Duration;

use chancery::domain::customer::CustomerKind;
use serde_json::json;

use crate::acme_tools::{has_parts, order_of};
use crate::support::client::csr;
use crate::support::world::World;

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
