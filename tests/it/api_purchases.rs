//! Purchases over REST: made at the price of the quote, shown with what became of them.

use chancery::domain::customer::CustomerKind;
use serde_json::{Value, json};

use crate::acme_tools::{DAY, HOUR, has_parts, leaf, order_of};
use crate::support::client::csr;
use crate::support::operator::Operator;
use crate::support::world::World;

const MULTI: &str = "trustasia-dv-multi";

async fn shown(operator: &Operator, purchase: &Value) -> Value {
    operator.get(&format!("/purchases/{}", purchase["id"].as_str().unwrap())).await.expect(200).json()
}

#[tokio::test]
async fn a_purchase_is_made_at_the_price_of_the_quote() {
    let mut world = World::documented().await;
    let operator = Operator::of(&world);
    let buyer = world.customer(CustomerKind::Individual).await.to_string();
    let asked = json!({ "customer": buyer, "product": "trustasia-dv-wildcard", "names": 1, "years": 3 });
    let made = operator.post("/purchases", &asked).await;
    assert_eq!(
        [&made["customer"], &made["product"], &made["names"], &made["years"], &made["price"], &made["currency"]],
        [&json!(buyer), &json!("trustasia-dv-wildcard"), &json!(1), &json!(3), &json!("897.00"), &json!("USD")],
        "BUY-08"
    );
    // BUY-03
    assert_eq!((&made["state"], &made["orders"]), (&json!("pending-submission"), &json!([])));
    assert_eq!(made["created"], world.now().to_string());
    assert_eq!(shown(&operator, &made).await, made);
    // Without years, for the fewest that are sold.
    let asked = json!({ "customer": buyer, "product": MULTI, "names": 7 });
    let other = operator.post("/purchases", &asked).await;
    assert_eq!((&other["years"], &other["price"]), (&json!(1), &json!("1016.00")));
    let acts = format!("{:?}", world.audit().await);
    has_parts(&acts, &["PurchaseCreated", other["id"].as_str().unwrap()]);
}

#[tokio::test]
async fn what_can_not_be_bought_is_refused_with_the_reason() {
    let world = World::documented().await;
    let operator = Operator::of(&world);
    let person = world.customer(CustomerKind::Individual).await.to_string();
    let company = world.customer(CustomerKind::Enterprise).await.to_string();
    let all = operator.get("/products").await.expect(200).json();
    let unsold = all["items"].as_array().unwrap().iter().find(|product| product["sold"] == false).unwrap();
    for (rule, customer, product, names, years, status, parts) in [
        ("BUY-06", &person, MULTI, 1, 2, 400, &["sold for a term of 1 year(s), not for 2", "BUY-06"][..]),
        ("BUY-06", &company, "geotrust-ev-multi", 5, 3, 400, &["not for 3"]),
        ("BUY-04", &person, "trustasia-dv-free", 1, 1, 400, &["is free", "BUY-04"]),
        ("CAT-02", &company, unsold["id"].as_str().unwrap(), 1, 1, 400, &["CAT-02"]),
        ("CAT-15", &person, "geotrust-ov-single", 1, 1, 403, &["registered organisation", "CAT-15"]),
        ("DOM-01", &company, "geotrust-ov-single", 2, 1, 400, &["takes one name"]),
        ("DOM-03", &person, MULTI, 101, 1, 400, &["at most 100"]),
        ("CAT-01", &person, "nobody-dv", 1, 1, 404, &["no product"]),
        ("customer", &"AAAAAAAAAAAAAAAAAAAAAA".to_owned(), MULTI, 1, 1, 404, &["no customer"]),
        ("customer", &"x".to_owned(), MULTI, 1, 1, 404, &["no customer"]),
    ] {
        let asked = json!({ "customer": customer, "product": product, "names": names, "years": years });
        let answer = operator.send("POST", "/purchases", &asked).await;
        assert_eq!(answer.status, status, "{rule}: {answer}");
        has_parts(answer.json()["detail"].as_str().unwrap(), parts);
    }
    for body in [
        json!({}),
        json!({ "customer": person, "product": MULTI }),
        json!({ "customer": person, "product": MULTI, "names": 0 }),
        json!({ "customer": person, "product": MULTI, "names": -1 }),
        json!({ "customer": person, "product": MULTI, "names": 1, "price": "1.00" }),
    ] {
        let answer = operator.send("POST", "/purchases", &body).await;
        assert_eq!(answer.status, 400, "{body}: {answer}");
    }
    assert_eq!(operator.get("/purchases").await.expect(200).json()["items"], json!([]));
    // What a company may, it can.
    operator.post("/purchases", &json!({ "customer": company, "product": "geotrust-ov-single", "names": 1 })).await;
}

#[tokio::test]
async fn purchases_are_listed_by_customer_oldest_first() {
    let world = World::documented().await;
    let operator = Operator::of(&world);
    let (one, other) = (world.customer(CustomerKind::Individual).await, world.customer(CustomerKind::Individual).await);
    let mut made = Vec::new();
    for n in 0..5 {
        made.push(world.buy(&one, MULTI, n + 1, 1).await.id.to_string());
        world.buy(&other, MULTI, 1, 1).await;
        world.clock.advance(HOUR);
    }
    let ids = |list: &Value| {
        list["items"].as_array().unwrap().iter().map(|p| p["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let list = operator.get(&format!("/purchases?customer={one}")).await.expect(200).json();
    assert_eq!(ids(&list), made);
    let (mut seen, mut path) = (Vec::new(), format!("/purchases?customer={one}&limit=2"));
    loop {
        let page = operator.get(&path).await.expect(200).json();
        seen.extend(ids(&page));
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/purchases?customer={one}&limit=2&after={next}");
    }
    assert_eq!(seen, made);
    assert_eq!(ids(&operator.get("/purchases?limit=1000").await.expect(200).json()).len(), 10);
    for (path, status) in [
        ("/purchases?customer=AAAAAAAAAAAAAAAAAAAAAA", 404),
        ("/purchases?customer=x", 404),
        ("/purchases?after=x", 404),
        ("/purchases?limit=0", 400),
        ("/purchases?page=1", 400),
        ("/purchases/x", 404),
        ("/purchases/AAAAAAAAAAAAAAAAAAAAAA", 404),
    ] {
        operator.get(path).await.expect(status);
    }
}

#[tokio::test]
async fn a_purchase_tells_what_became_of_it() {
    let world = World::documented().await;
    let operator = Operator::of(&world);
    let buyer = world.customer(CustomerKind::Individual).await;
    let client = world.client_of(&buyer).await;
    let made = operator.post("/purchases", &json!({ "customer": buyer.as_str(), "product": MULTI, "names": 1 })).await;
    let names = ["shop.zone-one.cn"];
    // An order that comes to nothing gives the term back.
    let placed = client.new_order(&names).await.expect(201);
    let in_use = shown(&operator, &made).await;
    assert_eq!((&in_use["state"], &in_use["orders"][0]["status"]), (&json!("in-use"), &json!("pending-validation")));
    assert!(placed.location().ends_with(in_use["orders"][0]["order"].as_str().unwrap()));
    world.pass(DAY * 4).await;
    let again = shown(&operator, &made).await;
    assert_eq!(
        (&again["state"], &again["orders"][0]["status"]),
        (&json!("pending-submission"), &json!("validation-failed"))
    );
    // The next one uses it.
    let (_, order) = world.ready_order(&client, &names).await;
    assert_eq!(shown(&operator, &made).await["state"], "in-use");
    let done = client.finalize(&order, &csr(&names).0).await.expect(200).json();
    assert_eq!(done["status"], "valid", "{done}");
    let issued = shown(&operator, &made).await;
    assert_eq!((&issued["state"], issued["orders"].as_array().unwrap().len()), (&json!("issued"), 1));
    assert_eq!(issued["orders"][0]["status"], "issued");
    assert!(done["certificate"].as_str().unwrap().ends_with(issued["orders"][0]["certificate"].as_str().unwrap()));
    // No term is left: another certificate needs another purchase (BUY-03).
    client.new_order(&["mail.zone-one.cn"]).await.expect(201);
    let second = client.new_order_of(order_of(&["mail.zone-one.cn"], json!({ "profile": MULTI }))).await;
    second.expect_problem(403, "userActionRequired");
    world.pass(DAY * 340).await;
    assert_eq!(shown(&operator, &made).await["orders"][0]["status"], "to-be-renewed");
    world.pass(DAY * 60).await;
    let over = shown(&operator, &made).await;
    assert_eq!((&over["state"], &over["orders"][0]["status"]), (&json!("used-up"), &json!("expired")));
}

#[tokio::test]
async fn a_purchase_whose_certificate_was_revoked_is_used_up_unless_a_reissue_stands_in() {
    for (reissued, state) in [(false, "used-up"), (true, "issued")] {
        let world = World::documented().await;
        let operator = Operator::of(&world);
        let buyer = world.customer(CustomerKind::Individual).await;
        let client = world.client_of(&buyer).await;
        let made = world.buy(&buyer, MULTI, 1, 1).await;
        let names = ["shop.zone-one.cn"];
        let (_, chain) = world.certificate(&client, &names).await;
        client.revoke(&leaf(&chain), Some(4)).await.expect(200);
        // REVOKE-06: one that was there before would have gone with it.
        if reissued {
            world.pass(DAY).await;
            world.certificate(&client, &names).await;
        }
        let shown = operator.get(&format!("/purchases/{}", made.id)).await.expect(200).json();
        assert_eq!((&shown["state"], &shown["orders"][0]["status"]), (&json!(state), &json!("revoked")));
    }
}
