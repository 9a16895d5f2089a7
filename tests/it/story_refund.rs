//! A story: a company pays with all it has, its application fails, it is refunded, and buys again with what came back.

use serde_json::json;

use crate::acme_tools::{DAY, has_parts, order_of};
use crate::money_tools::{MULTI, balance, books_balance, buy, buyer, credit, order_to, refusal};
use crate::rules_tools::of;
use crate::support::world::World;

#[tokio::test]
async fn an_order_that_was_never_issued_is_refunded_and_the_money_is_of_use_again() {
    let mut world = World::documented().await;
    let (customer, caller) = buyer(&world).await;
    let client = world.client_of(&customer).await;
    for (kind, amount) in [("voucher", "32.00"), ("points", "100.00"), ("gift", "300.00"), ("cash", "400.00")] {
        credit(&world, &customer, kind, amount).await;
    }
    let made = buy(&caller, MULTI, 2, json!({})).await;
    let path = format!("/purchases/{}", made["id"].as_str().unwrap());

    // Nobody shows control of the names: three days later the application has failed.
    let names = ["shop.zone-one.cn", "mail.zone-two.cn"];
    client.new_order(&names).await.expect(201);
    let refunds = format!("{path}/refunds");
    let consent = json!({ "consent": true });
    has_parts(&refusal(&caller.send("POST", &refunds, &consent).await, 409), &["Cancel the application first"]);
    world.pass(DAY * 3).await;
    assert_eq!(caller.get(&path).await.json()["orders"][0]["status"], "validation-failed");

    // A second try is canceled.
    let again = client.new_order(&names).await.expect(201);
    let id = again.location().rsplit('/').next().unwrap();
    order_to(&caller, &format!("/orders/{id}/cancellation")).await.expect(200);

    // The refund: consent, the shares, and what is not refunded.
    has_parts(&refusal(&caller.send("POST", &refunds, &json!({})).await, 403), &["REFUND-07"]);
    let back = caller.post(&refunds, &consent).await;
    assert_eq!((&back["cash"], &back["gift"]), (&json!("300.00"), &json!("300.00")));
    assert_eq!((&back["points"], &back["not_refunded"]), (&json!("100.00"), &json!("32.00")));
    assert_eq!(caller.get(&path).await.json()["state"], "refunded");
    client.new_order_of(order_of(&names, of(MULTI))).await.expect_problem(403, "userActionRequired");

    // What came back pays again; only the voucher is gone.
    let now = balance(&caller, &customer).await;
    assert_eq!(
        (&now["cash"], &now["gift"], &now["points"][0]["left"]),
        (&json!("400.00"), &json!("300.00"), &json!("100.00"))
    );
    buy(&caller, MULTI, 2, json!({})).await;
    world.certificate(&client, &names).await;
    assert_eq!(balance(&caller, &customer).await["cash"], "68.00");
    let events: Vec<String> = world.messages().await.into_iter().map(|notice| notice.event).collect();
    assert_eq!(events.iter().filter(|event| *event == "purchase-refunded").count(), 1);
    let books = books_balance(&world).await;
    assert_eq!(books["accounts"]["revenue"], "732.00");
}
