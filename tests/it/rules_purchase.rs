//! Buying, beside what is ordered on it (`rules_buying`): BUY-01 to BUY-10 as the REST API shows them.

use serde_json::{Value, json};

use crate::acme_tools::{DAY, has_parts};
use crate::money_tools::{MULTI, WILDCARD, balance, books_balance, buy, buyer, credit, refusal};
use crate::support::client::csr;
use crate::support::operator::Operator;
use crate::support::world::World;

#[tokio::test]
async fn the_document_of_the_api_tells_the_steps_of_a_purchase() {
    let world = World::documented().await;
    let document = Operator::with(&world, None).get("/openapi.json").await.expect(200).json();
    let told = document["paths"]["/purchases"]["post"].to_string();
    let told = told.replace("\\n", " ");
    has_parts(
        &told,
        &["open the purchase page", "type and brand", "domain type and count", "period", "pay", "submit", "BUY-01"],
    );
}

#[tokio::test]
async fn project_and_tags_are_set_at_the_purchase() {
    let world = World::documented().await;
    let (customer, caller) = buyer(&world).await;
    credit(&world, &customer, "cash", "732.00").await;
    let made = buy(&caller, MULTI, 1, json!({ "tags": ["shop", "eu"], "project": "web" })).await;
    assert_eq!((&made["tags"], &made["project"]), (&json!(["shop", "eu"]), &json!("web")), "BUY-02");
    let bad = [
        json!({ "tags": [""] }),
        json!({ "tags": vec!["t"; 21] }),
        json!({ "project": "p".repeat(65) }),
        json!({ "tags": ["a\u{7}"] }),
    ];
    for further in bad {
        let mut asked = json!({ "product": MULTI, "names": 1, "payment": "balance" });
        asked.as_object_mut().unwrap().extend(further.as_object().unwrap().clone());
        has_parts(&refusal(&caller.send("POST", "/purchases", &asked).await, 400), &["BUY-02"]);
    }
}

#[tokio::test]
async fn what_was_paid_waits_for_its_application_and_says_what_it_takes() {
    let mut world = World::documented().await;
    let (customer, caller) = buyer(&world).await;
    credit(&world, &customer, "cash", "10000.00").await;
    for (product, names, takes) in [
        (MULTI, 3, "Takes 3 names without wildcards; give exactly as many"),
        (MULTI, 1, "Takes 1 name without wildcards"),
        (WILDCARD, 1, "Takes 1 wildcard name, as in *.example.com"),
        ("trustasia-dv-multiwildcard", 2, "Takes 2 wildcard names; give exactly as many"),
    ] {
        let made = buy(&caller, product, names, json!({})).await;
        // BUY-03
        assert_eq!(made["state"], "pending-submission");
        has_parts(made["next"].as_str().unwrap(), &["Submit the application data first", "BUY-03"]);
        has_parts(made["takes"].as_str().unwrap(), &[takes, "BUY-10"]);
    }
    let told = world.messages().await;
    let bought: Vec<_> = told.iter().filter(|notice| notice.event == "purchase-created").collect();
    assert_eq!(bought.len(), 4);
    has_parts(
        &bought[0].text,
        &["Submit the application data first", "BUY-03", "as many names as you bought", "BUY-05"],
    );
}

#[tokio::test]
async fn a_paid_application_has_five_stages_and_a_free_one_two() {
    let world = World::documented().await;
    let (customer, caller) = buyer(&world).await;
    let client = world.client_of(&customer).await;
    world.buy(&customer, MULTI, 1, 1).await;
    let stage = async |url: &str| {
        let order = caller.get(&format!("/orders/{}", url.rsplit('/').next().unwrap())).await.expect(200).json();
        (order["stages"].as_array().unwrap().len(), order["stage"].as_str().unwrap().to_owned())
    };
    let names = ["shop.zone-one.cn"];
    let placed = client.new_order(&names).await.expect(201);
    assert_eq!(stage(placed.location()).await, (5, "choice of method".to_owned()), "BUY-09");
    let (url, order) = world.ready_order(&client, &names).await;
    assert_eq!(stage(&url).await, (5, "waiting for the CA".to_owned()), "BUY-09");
    client.finalize(&order, &csr(&names).0).await.expect(200);
    assert_eq!(stage(&url).await, (5, "issue".to_owned()), "BUY-09");
    // BUY-04: no payment step.
    let free = client.new_order(&["mail.zone-two.cn"]).await.expect(201);
    assert_eq!(stage(free.location()).await, (2, "domain validation".to_owned()), "BUY-09");
}

#[tokio::test]
async fn years_are_charged_once_in_full() {
    let world = World::documented().await;
    let (customer, caller) = buyer(&world).await;
    let client = world.client_of(&customer).await;
    credit(&world, &customer, "cash", "1000.00").await;
    let made = buy(&caller, WILDCARD, 1, json!({ "years": 3 })).await;
    assert_eq!(
        (&made["price"], &balance(&caller, &customer).await["cash"]),
        (&json!("897.00"), &json!("103.00")),
        "BUY-08"
    );
    let mut charged = Vec::new();
    for _ in 0..2 {
        world.certificate(&client, &["*.zone-one.cn"]).await;
        let shown = caller.get(&format!("/purchases/{}", made["id"].as_str().unwrap())).await.expect(200).json();
        let terms = shown["orders"].as_array().unwrap();
        let serial = terms.last().unwrap()["certificate"].as_str().unwrap();
        let end = world.ra().certificate_of(&serial.parse().unwrap()).await.unwrap().not_after;
        charged.push(balance(&caller, &customer).await["cash"].clone());
        world.pass((end - DAY * 20).since(world.now())).await;
    }
    assert_eq!(charged, ["103.00", "103.00"], "BUY-08");
    books_balance(&world).await;
}

#[tokio::test]
async fn periods_that_are_not_sold_are_refused_whoever_pays_how() {
    let world = World::documented().await;
    let (customer, caller) = buyer(&world).await;
    credit(&world, &customer, "cash", "10000.00").await;
    let ask = async |asked: Value| caller.send("POST", "/purchases", &asked).await;
    let refused = ask(json!({ "product": MULTI, "names": 1, "years": 2 })).await;
    has_parts(&refusal(&refused, 400), &["sold for a term of 1 year(s), not for 2", "BUY-06"]);
    let free = ask(json!({ "product": "trustasia-dv-free", "names": 1 })).await;
    has_parts(&refusal(&free, 400), &["is free", "BUY-04"]);
    assert_eq!(balance(&caller, &customer).await["cash"], "10000.00");
}

#[tokio::test]
async fn a_term_is_not_used_twice_when_an_order_comes_back_to_life() {
    let world = World::documented().await;
    let (customer, caller) = buyer(&world).await;
    let client = world.client_of(&customer).await;
    let made = world.buy(&customer, MULTI, 1, 1).await;
    let (names, others) = (["shop.zone-one.cn"], ["mail.zone-two.cn"]);
    let (url, order) = world.ready_order(&client, &names).await;
    // The clock was fast for a while: the order seemed over, and its term went to another.
    world.clock.advance(DAY * 8);
    let (_, other) = world.ready_order(&client, &others).await;
    world.clock.set_back(DAY * 8);
    assert_eq!(client.post_as_get(&url).await.json()["status"], "ready");
    client.finalize(&order, &csr(&names).0).await.expect(200);
    let over = client.post_as_get(&url).await.expect(200).json();
    assert_eq!(over["status"], "invalid", "BUY-08: {over}");
    has_parts(over["error"]["detail"].as_str().unwrap(), &["its term of the purchase went to another", "BUY-08"]);
    world.clock.advance(DAY * 8);
    let done = client.finalize(&other, &csr(&others).0).await.expect(200).json();
    assert_eq!(done["status"], "valid", "{done}");
    let shown = caller.get(&format!("/purchases/{}", made.id)).await.expect(200).json();
    assert_eq!(shown["orders"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn who_has_bought_very_much_gets_the_product_that_is_asked_for() {
    let world = World::documented().await;
    let (customer, _) = buyer(&world).await;
    let client = world.client_of(&customer).await;
    for _ in 0..510 {
        world.buy(&customer, MULTI, 2, 1).await;
    }
    world.buy(&customer, WILDCARD, 1, 1).await;
    let asked = crate::acme_tools::order_of(&["*.zone-one.cn"], json!({ "profile": WILDCARD }));
    client.new_order_of(asked).await.expect(201);
}
