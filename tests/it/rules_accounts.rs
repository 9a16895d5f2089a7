//! Accounts (ACCT) and the keys that bind ACME accounts to customers, with their limits.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chancery::domain::customer::CustomerKind;
use serde_json::{Value, json};

use crate::support::client::{Client, Response, csr};
use crate::support::operator::Operator;
use crate::support::world::World;

/// A client that registers with a new key of a customer, made with these members.
async fn bound(world: &World, customer: &str, limits: Value) -> (Value, Client) {
    let mut asked = json!({ "customer": customer });
    asked.as_object_mut().unwrap().extend(limits.as_object().unwrap().clone());
    let key = Operator::of(world).post("/external-account-keys", &asked).await;
    (key, world.stranger())
}

async fn register(client: &mut Client, key: &Value) -> Response {
    let mac = URL_SAFE_NO_PAD.decode(key["hmac_key"].as_str().unwrap()).unwrap();
    client.new_bound_account(key["kid"].as_str().unwrap(), &mac).await
}

#[tokio::test]
async fn nothing_is_ordered_before_the_identity_is_checked() {
    let world = World::documented().await;
    let operator = Operator::of(&world);
    let asked = json!({ "name": "New", "kind": "individual", "identity_pending": true });
    let customer = operator.post("/customers", &asked).await;
    let id = customer["id"].as_str().unwrap();
    assert_eq!(customer["identity"], "pending", "ACCT-01");
    let (key, mut client) = bound(&world, id, json!({})).await;
    register(&mut client, &key).await.expect(201);
    let path = format!("/customers/{id}");
    let told = client.new_order(&["shop.zone-one.cn"]).await.expect_problem(403, "userActionRequired");
    assert!(told.contains("ACCT-01"), "{told}");

    let refused = json!({ "identity": "refused", "identity_note": "The passport had expired." });
    operator.send("PATCH", &path, &json!({ "identity": "refused" })).await.expect(400);
    operator.send("PATCH", &path, &refused).await.expect(200);
    let told = client.new_order(&["shop.zone-one.cn"]).await.expect_problem(403, "userActionRequired");
    assert!(told.contains("The passport had expired."), "{told}");

    operator.send("PATCH", &path, &json!({ "identity": "checked" })).await.expect(200);
    client.new_order(&["shop.zone-one.cn"]).await.expect(201);
}

#[tokio::test]
async fn quotas_hang_on_the_customer_whichever_account_orders() {
    let world = World::documented().await;
    let customer = world.customer(CustomerKind::Individual).await;
    // ACCT-02
    for (number, name) in ["a.zone-one.cn", "b.zone-one.cn"].iter().enumerate() {
        let client = world.client_of(&customer).await;
        client.new_order(&[name]).await.expect(201);
        let quota = Operator::of(&world).get(&format!("/quotas?customer={customer}")).await.expect(200).json();
        assert_eq!(quota["used"], number + 1, "{quota}");
    }
}

#[tokio::test]
async fn a_free_application_by_rest_carries_an_address_and_needs_no_website() {
    let world = World::documented().await;
    let operator = Operator::of(&world);
    let customer = operator.post("/customers", &json!({ "name": "New", "kind": "individual" })).await;
    let id = customer["id"].as_str().unwrap();
    let pem = pem::encode(&pem::Pem::new("CERTIFICATE REQUEST", csr(&["dns.zone-one.cn"]).0));
    let asked = json!({ "customer": id, "identifiers": ["dns.zone-one.cn"], "csr": pem });
    let told = operator.send("POST", "/orders", &asked).await.expect(403).json();
    assert!(told["detail"].as_str().unwrap().contains("e-mail address"), "ACCT-04: {told}");
    let edit = |email: &str| json!({ "email": email });
    operator.send("PATCH", &format!("/customers/{id}"), &edit("not an address")).await.expect(400);
    operator.send("PATCH", &format!("/customers/{id}"), &edit("new@zone-one.cn")).await.expect(200);
    let order = operator.post("/orders", &asked).await;
    // ACCT-03: nobody serves the name; a record in the DNS is enough.
    let path = format!("/orders/{}", order["id"].as_str().unwrap());
    let records = operator.get(&format!("{path}/validation-records")).await.expect(200).json();
    let record = &records["records"][0];
    world.dns.txt(record["place"].as_str().unwrap(), record["value"].as_str().unwrap());
    operator.send("POST", &format!("{path}/validations"), &json!({})).await.expect(200);
    world.pass(Duration::ZERO).await;
    assert_eq!(operator.get(&path).await.json()["status"], "issued");
}

#[tokio::test]
async fn the_standing_of_a_customer_decides_the_older_quotas() {
    let variant = ("quota_variant = \"2024-03\"", "quota_variant = \"2023-09\"");
    let world = World::documented_but(&[variant]).await;
    let operator = Operator::of(&world);
    // ACCT-05, QUOTA-08, QUOTA-09: (kind, standing, free certificates for domains of any registrar)
    for (kind, tier, any) in [
        ("individual", "standard", 20),
        ("individual", "v2", 50),
        ("enterprise", "standard", 10),
        ("enterprise", "kept", 20),
    ] {
        let made = operator.post("/customers", &json!({ "name": "One", "kind": kind })).await;
        let id = made["id"].as_str().unwrap();
        operator.send("PATCH", &format!("/customers/{id}"), &json!({ "tier": tier })).await.expect(200);
        let quota = operator.get(&format!("/quotas?customer={id}")).await.expect(200).json();
        assert_eq!(quota["any"]["total"], any, "{kind} {tier}: {quota}");
    }
}

#[tokio::test]
async fn a_key_binds_no_more_accounts_than_it_may_and_tells_how_many_it_has_bound() {
    let world = World::documented().await;
    let customer = world.customer(CustomerKind::Individual).await;
    let (key, mut first) = bound(&world, customer.as_str(), json!({ "most_uses": 2 })).await;
    let (mut second, mut third) = (world.stranger(), world.stranger());
    register(&mut first, &key).await.expect(201);
    register(&mut second, &key).await.expect(201);
    register(&mut third, &key).await.expect_problem(403, "unauthorized");
    // An account that is there already needs no further use.
    register(&mut first, &key).await.expect(200);
    let keys = Operator::of(&world).get("/external-account-keys").await.json();
    assert_eq!((&keys["items"][0]["uses"], &keys["items"][0]["most_uses"]), (&json!(2), &json!(2)));
    let accounts = Operator::of(&world).get(&format!("/customers/{customer}/accounts")).await.expect(200).json();
    assert_eq!(accounts["items"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn a_key_with_domains_is_for_names_within_them() {
    let world = World::documented().await;
    let customer = world.customer(CustomerKind::Individual).await;
    let (key, mut client) = bound(&world, customer.as_str(), json!({ "domains": ["zone-one.cn"] })).await;
    register(&mut client, &key).await.expect(201);
    for (name, allowed) in
        [("shop.zone-one.cn", true), ("zone-one.cn", true), ("zone-two.cn", false), ("notzone-one.cn", false)]
    {
        let answer = client.new_order(&[name]).await;
        if allowed {
            answer.expect(201);
        } else {
            let told = answer.expect_problem(400, "rejectedIdentifier");
            assert!(told.contains(name) && told.contains("zone-one.cn"), "{told}");
        }
    }
    let wildcard = json!({ "customer": customer, "domains": ["*.zone-one.cn"] });
    Operator::of(&world).send("POST", "/external-account-keys", &wildcard).await.expect(400);
}

#[tokio::test]
async fn withdrawing_a_key_may_close_the_accounts_that_it_bound() {
    let world = World::documented().await;
    let operator = Operator::of(&world);
    let customer = world.customer(CustomerKind::Individual).await;
    let (key, mut client) = bound(&world, customer.as_str(), json!({})).await;
    register(&mut client, &key).await.expect(201);
    let other = world.client_of(&customer).await;
    let path = format!("/external-account-keys/{}", key["kid"].as_str().unwrap());
    operator.request("DELETE", &path, "", "").await.expect(200);
    client.new_order(&["a.zone-one.cn"]).await.expect(201);
    operator.request("DELETE", &format!("{path}?accounts=true"), "", "").await.expect(200);
    client.new_order(&["b.zone-one.cn"]).await.expect_problem(401, "unauthorized");
    other.new_order(&["c.zone-one.cn"]).await.expect(201);
    let accounts = operator.get(&format!("/customers/{customer}/accounts")).await.expect(200).json();
    let mut states: Vec<&str> =
        accounts["items"].as_array().unwrap().iter().map(|account| account["status"].as_str().unwrap()).collect();
    states.sort_unstable();
    assert_eq!(states, ["revoked", "valid"]);
}
