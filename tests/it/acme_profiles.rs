//! Products as ACME profiles (draft-ietf-acme-profiles), and the directory of each product.

use std::collections::BTreeSet;

use serde_json::json;

use crate::acme_tools::{has_parts, order_of, url};
use crate::support::client::Client;
use crate::support::world::{BASE, World};

fn of_product(client: &Client, product: &str) -> Client {
    client.clone().with_directory(format!("{BASE}/product/{product}/directory"))
}

#[tokio::test]
async fn the_directory_tells_every_profile_and_orders_any_of_them() {
    let world = World::with(|config| {
        let catalog = std::fs::read_to_string(&config.catalog.products).unwrap();
        let catalog = catalog.replace("Takes every name and key", "F\u{fc}r alle Namen & 100% <der> #1?");
        std::fs::write(&config.catalog.products, catalog).unwrap();
    })
    .await;
    let client = world.client().await;
    let profiles = client.directory().await["meta"]["profiles"].clone();
    let told: BTreeSet<&str> = profiles.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(told, BTreeSet::from(["any", "bound", "single"]));
    assert_eq!(
        profiles["single"],
        "data:text/plain;charset=utf-8,One%20name%2C%20P-256%2C%20by%20http-01%2C%20no%20reuse"
    );
    let about = profiles["any"].as_str().unwrap();
    assert_eq!(about, "data:text/plain;charset=utf-8,F%C3%BCr%20alle%20Namen%20%26%20100%25%20%3Cder%3E%20%231%3F");
    for (asked, shown) in
        [(json!({}), "any"), (json!({ "profile": "any" }), "any"), (json!({ "profile": "single" }), "single")]
    {
        let order = client.new_order_of(order_of(&["example.com"], asked)).await.expect(201).json();
        assert_eq!(order["profile"], shown);
    }
}

#[tokio::test]
async fn a_profile_that_does_not_fit_is_refused() {
    let world = World::new().await;
    let client = world.client().await;
    for (names, profile, error, parts) in [
        (&["example.com"][..], "unknown", "invalidProfile", &["unknown", "any", "single"][..]),
        (&["example.com"], "", "invalidProfile", &["any"]),
        (&["example.com"], "ANY", "invalidProfile", &["ANY"]),
        (&["example.com"], "any ", "invalidProfile", &["any"]),
        (&["example.com"], "bound", "invalidProfile", &["bound", "external account binding"]),
        (&["a.example", "b.example"], "single", "invalidProfile", &["2 were asked for", "single", "at most 1"]),
        (&["*.example.com"], "single", "invalidProfile", &["*.example.com", "single", "wildcard"]),
    ] {
        let answer = client.new_order_of(order_of(names, json!({ "profile": profile }))).await;
        has_parts(&answer.expect_problem(400, error), parts);
    }
    let address = json!({ "identifiers": [{ "type": "ip", "value": "127.0.0.1" }], "profile": "single" });
    client.new_order_of(address).await.expect_problem(400, "invalidProfile");
}

#[tokio::test]
async fn each_product_has_a_directory_that_orders_it() {
    let world = World::new().await;
    let client = world.client().await;
    let (whole, single) = (client.directory().await, of_product(&client, "single"));
    let part = single.directory().await;
    for same in ["newNonce", "newAccount", "revokeCert", "keyChange", "renewalInfo"] {
        assert_eq!(part[same], whole[same]);
    }
    assert_ne!(part["newOrder"], whole["newOrder"]);
    assert_ne!(part["newAuthz"], whole["newAuthz"]);
    assert_eq!(part["meta"]["profiles"].as_object().unwrap().keys().collect::<Vec<_>>(), ["single"]);

    let order = single.new_order(&["example.com"]).await.expect(201).json();
    assert_eq!(order["profile"], "single");
    let named = order_of(&["example.com"], json!({ "profile": "single" }));
    let again = client.new_order_of(named.clone()).await.expect(201).json();
    assert_eq!(url(&again, "finalize"), url(&order, "finalize"), "both ways lead to the same order");
    single.new_order_of(named).await.expect(201);
    let other = order_of(&["example.com"], json!({ "profile": "any" }));
    has_parts(&single.new_order_of(other).await.expect_problem(400, "invalidProfile"), &["single", "main directory"]);
    of_product(&client, "bound").new_order(&["example.com"]).await.expect_problem(400, "invalidProfile");
    client.get(&format!("{BASE}/product/unknown/directory")).await.expect_problem(404, "malformed");
    let place = format!("{BASE}/acme/product/unknown/new-order");
    client.post(&place, &order_of(&["example.com"], json!({}))).await.expect_problem(404, "malformed");
    // Clients fetch directories by POST-as-GET too.
    let fetched = client.post_as_get(&format!("{BASE}/product/single/directory")).await.expect(200).json();
    assert_eq!(fetched["newOrder"], part["newOrder"]);
}
