//! Balances and the ledger over REST: what operators credit, what customers see of it, and that the books balance.

use std::time::Duration;

use serde_json::{Value, json};

use crate::acme_tools::{DAY, has_parts};
use crate::money_tools::{MULTI, balance, books_balance, buy, buyer, credit, refusal};
use crate::support::operator::Operator;
use crate::support::world::World;

#[tokio::test]
async fn what_an_operator_credits_is_on_the_balance_and_in_the_ledger() {
    let mut world = World::documented().await;
    let (customer, caller) = buyer(&world).await;
    let empty = balance(&caller, &customer).await;
    assert_eq!((&empty["cash"], &empty["gift"], &empty["vouchers"]), (&json!("0.00"), &json!("0.00"), &json!([])));
    for (kind, amount) in [("cash", "1000.00"), ("gift", "50.50"), ("voucher", "30.00"), ("points", "0.07")] {
        credit(&world, &customer, kind, amount).await;
        world.clock.advance(Duration::from_secs(1));
    }
    let full = balance(&caller, &customer).await;
    assert_eq!((&full["cash"], &full["gift"], &full["currency"]), (&json!("1000.00"), &json!("50.50"), &json!("USD")));
    assert_eq!((&full["vouchers"][0]["left"], &full["points"][0]["left"]), (&json!("30.00"), &json!("0.07")));
    let (mut seen, mut path) = (Vec::new(), format!("/customers/{customer}/ledger?limit=3"));
    loop {
        let page = caller.get(&path).await.expect(200).json();
        seen.extend(page["items"].as_array().unwrap().clone());
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/customers/{customer}/ledger?limit=3&after={next}");
    }
    let moved: Vec<Value> = seen.iter().map(|entry| entry["postings"][1]["amount"].clone()).collect();
    assert_eq!(moved, [json!("1000.00"), json!("50.50"), json!("30.00"), json!("0.07")], "oldest first");
    assert_eq!(
        (&seen[0]["postings"][0]["account"], &seen[0]["postings"][0]["amount"]),
        (&json!("outside"), &json!("-1000.00"))
    );
    assert_eq!((&seen[1]["reason"], &seen[1]["reference"]), (&json!("credit"), &json!("for the test")));
    let books = books_balance(&world).await;
    assert_eq!((&books["accounts"]["gifts-granted"], &books["balances"]["points"]), (&json!("-50.50"), &json!("0.07")));
    has_parts(&format!("{:?}", world.audit().await), &["BalanceCredited", customer.as_str()]);
    let told = world.messages().await;
    assert_eq!(told.iter().filter(|notice| notice.event == "balance-credited").count(), 4);
}

#[tokio::test]
async fn only_operators_credit_and_nobody_sees_foreign_balances() {
    let world = World::documented().await;
    let (customer, caller) = buyer(&world).await;
    let (other, _) = buyer(&world).await;
    let reviewer = Operator::of(&world).post("/tokens", &json!({ "name": "r", "role": "reviewer" })).await;
    let reviewer = Operator::with(&world, Some(format!("Bearer {}", reviewer["token"].as_str().unwrap())));
    for path in ["balance", "ledger"] {
        caller.get(&format!("/customers/{customer}/{path}")).await.expect(200);
        caller.get(&format!("/customers/{other}/{path}")).await.expect(404);
        reviewer.get(&format!("/customers/{customer}/{path}")).await.expect(403);
        Operator::of(&world).get(&format!("/customers/{other}/{path}")).await.expect(200);
        Operator::with(&world, None).get(&format!("/customers/{customer}/{path}")).await.expect(401);
    }
    let asked = json!({ "kind": "cash", "amount": "1.00", "note": "mine" });
    caller.send("POST", &format!("/customers/{customer}/credits"), &asked).await.expect(403);
    caller.send("PUT", &format!("/customers/{customer}/discount"), &json!({ "percent": 50 })).await.expect(403);
    caller.get("/ledger/trial-balance").await.expect(403);
    assert_eq!(balance(&caller, &customer).await["cash"], "0.00");
}

#[tokio::test]
async fn what_can_not_be_credited_is_refused_with_the_reason() {
    let world = World::documented().await;
    let (customer, _) = buyer(&world).await;
    let operator = Operator::of(&world);
    let path = format!("/customers/{customer}/credits");
    let past = (world.now() - DAY).to_string();
    for (asked, status, word) in [
        (json!({ "kind": "cash", "amount": "0.00", "note": "n" }), 400, "between 0.01 and 10000000.00"),
        (json!({ "kind": "cash", "amount": "10000000.01", "note": "n" }), 400, "between 0.01"),
        (json!({ "kind": "cash", "amount": "-1.00", "note": "n" }), 400, "amount"),
        (json!({ "kind": "cash", "amount": "1.001", "note": "n" }), 400, "amount"),
        (json!({ "kind": "cash", "amount": "1.00", "note": " " }), 400, "note"),
        (json!({ "kind": "gold", "amount": "1.00", "note": "n" }), 400, "gold"),
        (json!({ "kind": "cash", "amount": "1.00", "note": "n", "product": MULTI }), 400, "Only vouchers and points"),
        (json!({ "kind": "voucher", "amount": "1.00", "note": "n", "expires": past }), 400, "in the past"),
        (json!({ "kind": "voucher", "amount": "1.00", "note": "n", "expires": "soon" }), 400, "no moment"),
        (json!({ "kind": "points", "amount": "1.00", "note": "n", "product": "nothing" }), 404, "no product"),
    ] {
        let detail = refusal(&operator.send("POST", &path, &asked).await, status);
        has_parts(&detail, &[word]);
    }
    let asked = json!({ "kind": "cash", "amount": "1.00", "note": "n" });
    operator.send("POST", "/customers/AAAAAAAAAAAAAAAAAAAAAA/credits", &asked).await.expect(404);
    let discount = operator.send("PUT", &format!("/customers/{customer}/discount"), &json!({ "percent": 101 })).await;
    has_parts(&refusal(&discount, 400), &["between 0 and 100"]);
    assert_eq!(books_balance(&world).await["entries"], 0);
}

#[tokio::test]
async fn a_purchase_from_the_balance_is_in_the_ledger() {
    let world = World::documented().await;
    let (customer, caller) = buyer(&world).await;
    credit(&world, &customer, "cash", "732.00").await;
    world.clock.advance(Duration::from_secs(1));
    let bought = buy(&caller, MULTI, 1, json!({})).await;
    assert_eq!(
        bought["payment"],
        json!({
            "method": "balance", "discount": "0.00", "voucher": "0.00", "points": "0.00", "gift": "0.00", "cash": "732.00"
        })
    );
    assert_eq!(balance(&caller, &customer).await["cash"], "0.00");
    let ledger = caller.get(&format!("/customers/{customer}/ledger")).await.expect(200).json();
    assert_eq!((&ledger["items"][1]["reason"], &ledger["items"][1]["purchase"]), (&json!("purchase"), &bought["id"]));
    books_balance(&world).await;
}
