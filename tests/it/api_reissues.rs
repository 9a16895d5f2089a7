//! Reissues asked for by REST: what they ask for, what comes of them.

use chancery::domain::customer::CustomerKind;
use serde_json::{Value, json};

use crate::acme_tools::{DAY, has_parts};
use crate::desk_tools::at_rest;
use crate::support::client::csr;
use crate::support::operator::Operator;
use crate::support::world::World;

const MULTI: &str = "trustasia-dv-multi";
const NAMES: [&str; 2] = ["shop.zone-one.cn", "mail.zone-one.cn"];

/// A CSR for these names with a key of its own, PEM.
pub fn request(names: &[&str]) -> String {
    pem::encode(&pem::Pem::new("CERTIFICATE REQUEST", csr(names).0))
}

/// Publishes the records of an order, and has the server look: the order as it is then.
pub async fn carried_through(world: &World, rest: &Operator, order: &Value) -> Value {
    let path = format!("/orders/{}", order["id"].as_str().unwrap());
    let wanted = rest.get(&format!("{path}/validation-records")).await.expect(200).json();
    for record in wanted["records"].as_array().unwrap() {
        world.dns.txt(record["place"].as_str().unwrap(), record["value"].as_str().unwrap());
    }
    rest.send("POST", &format!("{path}/validations"), &json!({})).await.expect(200);
    world.pass(std::time::Duration::ZERO).await;
    rest.get(&path).await.expect(200).json()
}

async fn certificate(rest: &Operator, order: &Value) -> Value {
    rest.get(&format!("/orders/{}", order["id"].as_str().unwrap())).await.expect(200).json()["certificate"].clone()
}

#[tokio::test]
async fn a_paid_certificate_is_reissued_for_a_reason_with_the_same_names_and_end() {
    let world = World::documented().await;
    let customer = world.customer(CustomerKind::Enterprise).await;
    world.buy(&customer, MULTI, 2, 1).await;
    let rest = at_rest(&world, &customer).await;
    let order = rest.post("/orders", &json!({ "product": MULTI, "identifiers": NAMES, "csr": request(&NAMES) })).await;
    let order = carried_through(&world, &rest, &order).await;
    assert_eq!(order["status"], "issued", "{order}");
    let serial = order["certificate"].as_str().unwrap();
    let path = format!("/certificates/{serial}/reissues");
    world.pass(DAY).await;
    // REISSUE-08, REISSUE-16, REISSUE-06: the names are those of the certificate.
    for (asked, parts) in [
        (json!({ "csr": request(&NAMES) }), &["Enter a reason", "REISSUE-08", "REISSUE-16"][..]),
        (json!({ "grounds": "Lost the key", "csr": request(&NAMES), "csr_id": "x" }), &["not both"]),
        (json!({ "grounds": "Lost the key", "csr": "rubbish" }), &["csr"]),
        (json!({ "grounds": "x".repeat(1001), "csr": request(&NAMES) }), &["1000"]),
    ] {
        let refused = rest.send("POST", &path, &asked).await.expect(400).json();
        has_parts(refused["detail"].as_str().unwrap(), parts);
    }
    let asked = json!({ "grounds": "Lost the key", "csr": request(&NAMES) });
    let reissue = rest.post(&path, &asked).await;
    assert_eq!((&reissue["purpose"], &reissue["follows"]), (&json!("reissue"), &json!(serial)));
    // VAL-34, REISSUE-13: what was validated is not validated anew.
    world.pass(std::time::Duration::ZERO).await;
    let again = certificate(&rest, &reissue).await;
    assert_ne!(again, serial);
    let operator = Operator::of(&world);
    let of = async |serial: &Value| {
        operator.get(&format!("/certificates/{}", serial.as_str().unwrap())).await.expect(200).json()
    };
    assert_eq!(of(&again).await["not_after"], of(&json!(serial)).await["not_after"]);

    // REISSUE-01
    world.pass(340 * DAY).await;
    let refused = rest.send("POST", &path, &asked).await.expect(409).json();
    has_parts(refused["detail"].as_str().unwrap(), &["Too close to expiry", "Renew it instead", "REISSUE-01"]);
}

#[tokio::test]
async fn a_free_certificate_is_reissued_with_a_key_that_is_made_here() {
    let world = World::documented().await;
    let customer = world.customer(CustomerKind::Individual).await;
    let rest = at_rest(&world, &customer).await;
    let names = ["host.zone-one.cn"];
    let order = rest.post("/orders", &json!({ "identifiers": names, "csr": request(&names) })).await;
    let order = carried_through(&world, &rest, &order).await;
    let serial = order["certificate"].as_str().unwrap();
    let path = format!("/certificates/{serial}/reissues");
    world.pass(DAY).await;
    // REISSUE-09: no reason, and no CSR.
    let refused = rest.send("POST", &path, &json!({ "csr": request(&names) })).await.expect(400).json();
    has_parts(refused["detail"].as_str().unwrap(), &["kind and password only", "REISSUE-09"]);
    let reissue = rest.post(&path, &json!({ "key": "p-256" })).await;
    assert_eq!((&reissue["purpose"], &reissue["follows"]), (&json!("reissue"), &json!(serial)));
    // REISSUE-04: while it runs there is no other.
    let again = rest.send("POST", &path, &json!({ "key": "p-256" })).await.expect(201).json();
    assert_eq!(again["id"], reissue["id"]);
    let order = carried_through(&world, &rest, &reissue).await;
    assert_eq!(order["status"], "issued", "{order}");
    let made = rest.get(&format!("/certificates/{}", order["certificate"].as_str().unwrap())).await.expect(200).json();
    assert_eq!((&made["key"], &made["status"]), (&json!("P-256"), &json!("valid")));
    // REISSUE-02
    let path = format!("/certificates/{}/reissues", order["certificate"].as_str().unwrap());
    let refused = rest.send("POST", &path, &json!({})).await.expect(429).json();
    has_parts(refused["detail"].as_str().unwrap(), &["REISSUE-02"]);
}

#[tokio::test]
async fn others_reissue_nothing_and_an_unbound_account_is_its_clients_matter() {
    let world = World::documented().await;
    let client = world.client().await;
    let made = crate::rules_tools::issue(&world, &client, &["a.zone-one.cn"], json!({})).await;
    let path = format!("/certificates/{}/reissues", chancery::ca::certificate::serial_of(&made.der).unwrap());
    let stranger = at_rest(&world, &world.customer(CustomerKind::Individual).await).await;
    stranger.send("POST", &path, &json!({})).await.expect(404);
    let refused = Operator::of(&world).send("POST", &path, &json!({})).await.expect(400).json();
    has_parts(refused["detail"].as_str().unwrap(), &["replaces"]);
}
