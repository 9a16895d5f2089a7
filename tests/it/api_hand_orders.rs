//! Orders placed by REST, which the server carries through itself.

use std::time::Duration;

use chancery::domain::customer::CustomerKind;
use chancery::domain::order::Phase;
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
    assert!(world.now().to_string().as_str() < records["next_look"].as_str().unwrap());
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

#[tokio::test]
async fn a_second_application_replaces_csr_and_method_while_the_order_is_open() {
    let world = World::documented().await;
    let operator = Operator::of(&world);
    let customer = world.customer(CustomerKind::Individual).await;
    let asked = |csr: &str, method: &str| json!({ "customer": customer, "identifiers": ["twice.zone-one.cn"], "csr": csr, "method": method });
    let (lost, second) = (pem(&["twice.zone-one.cn"]), pem(&["twice.zone-one.cn"]));
    let (first, records) = placed(&world, &operator, asked(&lost, "http-01")).await;
    assert_eq!(records["records"][0]["method"], "http-01");
    let (again, records) = placed(&world, &operator, asked(&second, "dns-01")).await;
    assert_eq!((&again, &records["records"][0]["method"]), (&first, &json!("dns-01")));
    let record = &records["records"][0];
    world.dns.txt(record["place"].as_str().unwrap(), record["value"].as_str().unwrap());
    world.pass(6 * MINUTE).await;
    let id = first.parse().unwrap();
    let csr = pem::parse(&second).unwrap().into_contents();
    match world.ra().hand_order(&id).await.unwrap().view.order.into_value().phase {
        Phase::Issued { csr: used, .. } => assert_eq!(used, csr),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_order_that_is_over_is_looked_at_no_more_and_told_of_once() {
    let mut world = World::documented().await;
    let operator = Operator::of(&world);
    let customer = world.customer(CustomerKind::Individual).await;
    let asked = json!({ "customer": customer, "identifiers": ["late.zone-one.cn"], "csr": pem(&["late.zone-one.cn"]) });
    let (id, _) = placed(&world, &operator, asked).await;
    let path = format!("/orders/{id}/validations");
    let nothing = json!({});
    let look = || operator.send("POST", &path, &nothing);
    // However many ask at once, one look is stored.
    let (a, b, c) = tokio::join!(look(), look(), look());
    assert!([&a, &b, &c].iter().all(|answer| answer.status == 200), "{a} {b} {c}");
    world.pass(Duration::from_secs(3 * 86_400 + 3600)).await;
    world.pass(6 * MINUTE).await;
    for _ in 0..2 {
        let refused = operator.send("POST", &path, &json!({})).await.expect(409);
        assert!(refused.json()["detail"].as_str().unwrap().contains("is over"), "{refused}");
    }
    let told = world.messages().await;
    let ended = told.iter().filter(|notice| notice.event == "validation-failed" && notice.subject.contains(&id));
    assert_eq!(ended.count(), 1, "DIAG-12");
}

#[tokio::test]
async fn a_challenge_that_is_refused_is_a_finding() {
    let world = World::documented().await;
    let operator = Operator::of(&world);
    let customer = world.customer(CustomerKind::Individual).await;
    let asked = json!({ "customer": customer, "identifiers": ["slow.zone-one.cn"], "csr": pem(&["slow.zone-one.cn"]) });
    let (id, records) = placed(&world, &operator, asked).await;
    let record = &records["records"][0];
    world.dns.txt("_acme-challenge.slow.zone-one.cn", record["value"].as_str().unwrap());
    let account = world.ra().hand_order(&id.parse().unwrap()).await.unwrap().view.order.account.clone();
    world.ra().deactivate_account(&account).await.unwrap();
    let looked = operator.send("POST", &format!("/orders/{id}/validations"), &json!({})).await.expect(200).json();
    assert!(looked["findings"][0].as_str().unwrap().contains("slow.zone-one.cn"), "{looked}");
}
