//! Whatever somebody changes of what holds, over REST or by files, is an event that says what was changed, for whom, and by whom.

use chancery::domain::customer::CustomerKind;
use serde_json::{Value, json};

use crate::support::operator::Operator;
use crate::support::world::World;

/// The events of an act, as operators read them.
async fn events(operator: &Operator, act: &str) -> Vec<Value> {
    let seen = operator.get(&format!("/operations?act={act}&limit=500")).await.expect(200).json();
    seen["items"].as_array().unwrap().clone()
}

#[tokio::test]
async fn every_change_over_rest_says_what_for_whom_and_by_whom() {
    let world = World::documented().await;
    let customer = world.customer(CustomerKind::Individual).await;
    let chief = Operator::of(&world);
    let made = chief.post("/tokens", &json!({ "name": "Ann", "role": "operator" })).await;
    let ann = Operator::with(&world, Some(format!("Bearer {}", made["token"].as_str().unwrap())));
    let by = format!("operator {} (Ann)", made["id"].as_str().unwrap());
    let token = ann.post("/tokens", &json!({ "name": "Li", "role": "reviewer" })).await["id"].clone();
    let key = ann.post("/external-account-keys", &json!({ "customer": customer })).await["kid"].clone();
    let channel = json!({ "customer": customer, "kind": "email", "name": "x", "address": "one@example.com" });
    let channel = ann.post("/channels", &channel).await["id"].clone();
    let path = |begin: &str, id: &Value| format!("{begin}/{}", id.as_str().unwrap());
    let (edit, discount) = (format!("/customers/{customer}"), format!("/customers/{customer}/discount"));
    let subject = format!("customer:{customer}");
    let limit = json!({
        "limit": "orders_per_account", "subject": subject, "count": 3, "per_s": 3600, "note": "n",
    });
    let no_limit = format!("/limits/overrides?limit=orders_per_account&subject={subject}");
    let subscriptions = format!("/subscriptions?customer={customer}");
    let clearance = json!({ "customer": customer, "name": "pay.zone-one.cn", "note": "a shop" });
    let no_clearance = format!("/clearances?customer={customer}&name=pay.zone-one.cn");
    let customers_token = json!({ "name": "x", "role": "customer", "customer": customer });
    for (method, path, body, act, about) in [
        ("POST", "/tokens", customers_token, "token-created", json!({ "role": "customer", "customer": customer })),
        ("DELETE", &path("/tokens", &token), Value::Null, "token-revoked", json!({ "token": token })),
        (
            "POST",
            "/external-account-keys",
            json!({ "customer": customer }),
            "external-key-created",
            json!({ "customer": customer }),
        ),
        ("DELETE", &path("/external-account-keys", &key), Value::Null, "external-key-revoked", json!({ "kid": key })),
        ("POST", "/customers", json!({ "name": "x", "kind": "individual" }), "customer-created", json!({})),
        (
            "PATCH",
            &edit,
            json!({ "name": "Other" }),
            "customer-changed",
            json!({ "customer": customer, "what": ["name"] }),
        ),
        ("PUT", &discount, json!({ "percent": 10 }), "discount-set", json!({ "customer": customer, "percent": 10 })),
        (
            "PUT",
            "/limits/overrides",
            limit,
            "limit-set",
            json!({ "limit": "orders_per_account", "subject": subject, "rate": "3 in 1 h", "note": "n" }),
        ),
        ("DELETE", &no_limit, Value::Null, "limit-withdrawn", json!({ "limit": "orders_per_account" })),
        ("POST", "/clearances", clearance, "name-cleared", json!({ "name": "pay.zone-one.cn", "note": "a shop" })),
        ("DELETE", &no_clearance, Value::Null, "clearance-withdrawn", json!({ "name": "pay.zone-one.cn" })),
        ("POST", "/packages", json!({ "customer": customer, "size": 2 }), "package-granted", json!({ "size": 2 })),
        (
            "PUT",
            "/domains/zone-one.cn",
            json!({ "provider": false }),
            "domain-ledger-changed",
            json!({ "domain": "zone-one.cn" }),
        ),
        ("POST", "/compromised-keys", json!({ "spki_sha256": "0".repeat(64) }), "key-reported", json!({})),
        (
            "PUT",
            &subscriptions,
            json!({ "topics": ["quota"] }),
            "subscription-changed",
            json!({ "customer": customer, "topics": ["quota"] }),
        ),
        ("DELETE", &path("/channels", &channel), Value::Null, "channel-deleted", json!({ "channel": channel })),
    ] {
        let before = events(&chief, act).await;
        let answer = ann.send(method, path, &body).await;
        assert!((200..300).contains(&answer.status.as_u16()), "{method} {path}: {answer}");
        // Events of one millisecond stand in no order.
        let mut told = events(&chief, act).await;
        told.retain(|event| !before.contains(event));
        assert_eq!(told.len(), 1, "{method} {path}: {told:#?}");
        let last = &told[0];
        assert_eq!(last["who"], by.as_str(), "{method} {path}: {last}");
        for (member, value) in about.as_object().unwrap() {
            assert_eq!(&last["about"][member], value, "{method} {path}: {last}");
        }
    }
}

#[tokio::test]
async fn who_was_made_an_operator_and_which_keys_the_server_opened_is_told() {
    let world = World::documented().await;
    let operator = Operator::of(&world);
    let made = operator.post("/tokens", &json!({ "name": "Ann", "role": "operator" })).await;
    let told = events(&operator, "token-created").await;
    assert_eq!(told.last().unwrap()["about"], json!({ "token": made["id"], "role": "operator" }));
    assert_eq!(told.last().unwrap()["who"], "operator");
    let secret = made["token"].as_str().unwrap().rsplit('.').next().unwrap();
    assert!(!operator.get("/audit").await.expect(200).text().contains(secret));
    world.ra().record_keys().await.unwrap();
    let keys = events(&operator, "keys-loaded").await;
    let keys = keys.last().unwrap()["about"]["keys"].to_string();
    assert!(keys.contains("chancery") && keys.contains("SHA-256"), "{keys}");
}
