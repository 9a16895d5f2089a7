//! Orders placed by REST, which the server carries through itself.

use std::time::Duration;

use chancery::domain::customer::CustomerKind;
use serde_json::{Value, json};

use crate::support::client::csr;
use crate::support::operator::Operator;
use crate::support::world::World;

const MINUTE: Duration = Duration::from_secs(60);

fn pem(names: &[&str]) -> String {
    pem::encode(&pem::Pem::new("CERTIFICATE REQUEST", csr(names).0))
}

async fn placed(world: &World, operator: &Operator, asked: Value) -> (String, Value) {
    let order = operator.post("/orders", &asked).await;
    let id = order["id"].as_str().unwrap().to_owned();
    let records = operator.get(&format!("/orders/{id}/validation-records")).await.expect(200).json();
    assert!(world.now().to_string() < records["next_look"].as_str().unwrap().to_owned());
    (id, records)
}

#[tokio::test]
async fn an_order_by_rest_is_issued_once_its_records_are_published() {
    let world = World::documented().await;
    let operator = Operator::of(&world);
    let customer = world.customer(CustomerKind::Individual).await;
    let asked = json!({ "customer": customer, "identifiers": ["hand.zone-one.cn"], "csr": pem(&["hand.zone-one.cn"]) });
    let (id, records) = placed(&world, &operator, asked).await;
    let record = &records["records"][0];
    assert_eq!(record["place"], "_acme-challenge.hand.zone-one.cn");
    assert_eq!(operator.get(&format!("/orders/{id}")).await.json()["status"], "pending-validation");

    // What is not there yet ends nothing: the next look is some minutes later.
    world.pass(6 * MINUTE).await;
    let looked = operator.get(&format!("/orders/{id}/validation-records")).await.json();
    assert!(looked["findings"][0].as_str().unwrap().contains("hand.zone-one.cn"), "{looked}");
    world.dns.txt("_acme-challenge.hand.zone-one.cn", record["value"].as_str().unwrap());
    world.pass(6 * MINUTE).await;
    let order = operator.get(&format!("/orders/{id}")).await.json();
    assert_eq!(order["status"], "issued", "{order}");
    assert!(order["certificate"].is_string());
}

#[tokio::test]
async fn a_customer_who_says_ready_is_looked_at_at_once() {
    let world = World::documented().await;
    let operator = Operator::of(&world);
    let customer = world.customer(CustomerKind::Individual).await;
    let asked = json!({
        "customer": customer, "identifiers": ["file.zone-one.cn"], "method": "http-01", "csr": pem(&["file.zone-one.cn"]),
    });
    let (id, records) = placed(&world, &operator, asked).await;
    let place = records["records"][0]["place"].as_str().unwrap();
    let token = place.rsplit('/').next().unwrap();
    let value = records["records"][0]["value"].as_str().unwrap();
    world.web.serve_any(value.strip_prefix(&format!("{token}.")).unwrap());
    operator.send("POST", &format!("/orders/{id}/validations"), &json!({})).await.expect(200);
    world.pass(Duration::ZERO).await;
    assert_eq!(operator.get(&format!("/orders/{id}")).await.json()["status"], "issued");
}

#[tokio::test]
async fn the_same_application_again_is_the_same_order_and_a_lapsed_one_is_told_of() {
    let world = World::documented().await;
    let operator = Operator::of(&world);
    let customer = world.customer(CustomerKind::Individual).await;
    let asked = json!({ "customer": customer, "identifiers": ["a.zone-one.cn"], "csr": pem(&["a.zone-one.cn"]) });
    let (first, _) = placed(&world, &operator, asked.clone()).await;
    let (second, _) = placed(&world, &operator, asked).await;
    assert_eq!(first, second);
    // VAL-13: three days.
    world.pass(Duration::from_secs(3 * 86_400 + 3600)).await;
    assert_eq!(operator.get(&format!("/orders/{first}")).await.json()["status"], "validation-failed");
    let list = operator.get(&format!("/orders?customer={customer}")).await.expect(200).json();
    assert_eq!(list["items"].as_array().unwrap().len(), 1, "{list}");
}

#[tokio::test]
async fn what_could_not_be_finalized_is_not_ordered() {
    let world = World::documented().await;
    let operator = Operator::of(&world);
    let customer = world.customer(CustomerKind::Individual).await;
    for (csr, method) in [("no PEM".to_owned(), "dns-01"), (pem(&["a.zone-one.cn"]), "tls-alpn-01")] {
        let asked = json!({ "customer": customer, "identifiers": ["a.zone-one.cn"], "csr": csr, "method": method });
        operator.send("POST", "/orders", &asked).await.expect(400);
    }
    assert_eq!(operator.get("/orders").await.json()["items"], json!([]));
}
