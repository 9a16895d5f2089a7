//! Access tokens, idempotency keys and entity tags.

use std::time::Duration;

use chancery::domain::customer::CustomerKind;
use serde_json::{Value, json};

use crate::support::operator::Operator;
use crate::support::world::World;

async fn token(world: &World, asked: Value) -> (String, Operator) {
    let made = Operator::of(world).post("/tokens", &asked).await;
    let text = made["token"].as_str().unwrap().to_owned();
    (made["id"].as_str().unwrap().to_owned(), Operator::with(world, Some(format!("Bearer {text}"))))
}

#[tokio::test]
async fn a_token_lets_in_until_it_ends_or_is_withdrawn() {
    let world = World::new().await;
    let operator = Operator::of(&world);
    let (id, reviewer) = token(&world, json!({ "name": "Rita", "role": "reviewer", "expires_days": 2 })).await;
    reviewer.get("/reviews").await.expect(200);
    reviewer.get("/customers").await.expect(403);
    world.pass(Duration::from_secs(2 * 86_400)).await;
    reviewer.get("/reviews").await.expect(401);

    let (other, again) = token(&world, json!({ "name": "Rita", "role": "reviewer" })).await;
    again.get("/reviews").await.expect(200);
    operator.request("DELETE", &format!("/tokens/{other}"), "", "").await.expect(200);
    again.get("/reviews").await.expect(401);
    let list = operator.get("/tokens").await.expect(200).json();
    let items = list["items"].as_array().unwrap();
    assert_eq!(items.len(), 2);
    assert!(items.iter().all(|item| item.get("token").is_none()), "{list}");
    assert!(items.iter().any(|item| item["id"] == id.as_str()));
}

#[tokio::test]
async fn no_token_is_in_the_store_and_a_wrong_secret_lets_nobody_in() {
    let world = World::new().await;
    let made = Operator::of(&world).post("/tokens", &json!({ "name": "Rita", "role": "reviewer" })).await;
    let text = made["token"].as_str().unwrap();
    let (head, secret) = text.split_once('.').unwrap();
    let wrong = format!("{head}.{}", secret.chars().rev().collect::<String>());
    Operator::with(&world, Some(format!("Bearer {wrong}"))).get("/reviews").await.expect(401);
    Operator::with(&world, Some(format!("Bearer {head}"))).get("/reviews").await.expect(401);
    let mut files = vec![world.data_dir()];
    let mut read = 0;
    while let Some(path) = files.pop() {
        if path.is_dir() {
            files.extend(std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
            continue;
        }
        let bytes = std::fs::read(&path).unwrap();
        read += bytes.len();
        assert!(!bytes.windows(secret.len()).any(|part| part == secret.as_bytes()), "{}", path.display());
    }
    assert!(read > 1000);
}

#[tokio::test]
async fn customers_make_tokens_for_themselves_alone() {
    let world = World::new().await;
    let (own, other) = (world.customer(CustomerKind::Individual).await, world.customer(CustomerKind::Individual).await);
    let (_, customer) = token(&world, json!({ "name": "Carl", "role": "customer", "customer": own })).await;
    let (_, stranger) = token(&world, json!({ "name": "Sid", "role": "customer", "customer": other })).await;
    let made = customer.post("/tokens", &json!({ "name": "cron", "role": "customer" })).await;
    assert_eq!(made["customer"], own.as_str());
    for role in ["operator", "reviewer"] {
        customer.send("POST", "/tokens", &json!({ "name": "x", "role": role })).await.expect(403);
    }
    let foreign = json!({ "name": "x", "role": "customer", "customer": other });
    customer.send("POST", "/tokens", &foreign).await.expect(404);
    let path = format!("/tokens/{}", made["id"].as_str().unwrap());
    stranger.request("DELETE", &path, "", "").await.expect(404);
    assert_eq!(stranger.get("/tokens").await.json()["items"].as_array().unwrap().len(), 1);
    customer.request("DELETE", &path, "", "").await.expect(200);
}

#[tokio::test]
async fn no_token_of_a_customer_is_outlived_by_one_that_it_made() {
    let world = World::new().await;
    let own = world.customer(CustomerKind::Individual).await;
    let asked = json!({ "name": "Carl", "role": "customer", "customer": own, "expires_days": 2 });
    let end = world.now() + Duration::from_secs(2 * 86_400);
    let (_, customer) = token(&world, asked).await;
    for (days, ends) in [
        (json!(null), end.to_string()),
        (json!(30), end.to_string()),
        (json!(1), (world.now() + Duration::from_secs(86_400)).to_string()),
    ] {
        let made = customer.post("/tokens", &json!({ "name": "cron", "role": "customer", "expires_days": days })).await;
        assert_eq!(made["expires"], json!(ends), "{days}");
    }
}

async fn keyed(operator: &Operator, key: &str, path: &str, body: &Value) -> crate::support::client::Response {
    operator.with_headers("POST", path, &[("idempotency-key", key)], body).await
}

#[tokio::test]
async fn a_request_with_the_same_key_is_carried_out_once() {
    let world = World::new().await;
    let operator = Operator::of(&world);
    let asked = json!({ "name": "Example", "kind": "individual" });
    let first = keyed(&operator, "k1", "/customers", &asked).await.expect(201);
    let again = keyed(&operator, "k1", "/customers", &asked).await.expect(201);
    assert_eq!(first.json(), again.json());
    assert_eq!((first.header("idempotent-replayed"), again.header("idempotent-replayed")), (None, Some("true")));
    assert_eq!(operator.get("/customers").await.json()["items"].as_array().unwrap().len(), 1);
    // Another request with it is refused, another key or caller is another request.
    keyed(&operator, "k1", "/customers", &json!({ "name": "Other", "kind": "individual" })).await.expect(422);
    keyed(&operator, "k2", "/customers", &asked).await.expect(201);
    let (_, second) = token(&world, json!({ "name": "Olga", "role": "operator" })).await;
    keyed(&second, "k1", "/customers", &asked).await.expect(201);
    assert_eq!(operator.get("/customers").await.json()["items"].as_array().unwrap().len(), 3);
    // After a day it is forgotten.
    world.pass(Duration::from_secs(86_401)).await;
    keyed(&operator, "k1", "/customers", &asked).await.expect(201);
    assert_eq!(operator.get("/customers").await.json()["items"].as_array().unwrap().len(), 4);
}

#[tokio::test]
async fn a_claim_that_was_given_up_does_not_shorten_the_day_of_the_next() {
    let world = World::new().await;
    let operator = Operator::of(&world);
    keyed(&operator, "k", "/customers", &json!({ "name": "", "kind": "individual" })).await.expect(400);
    world.pass(Duration::from_secs(80_000)).await;
    let asked = json!({ "name": "Example", "kind": "individual" });
    let first = keyed(&operator, "k", "/customers", &asked).await.expect(201);
    world.pass(Duration::from_secs(10_000)).await;
    assert_eq!(keyed(&operator, "k", "/customers", &asked).await.expect(201).json(), first.json());
    world.pass(Duration::from_secs(80_000)).await;
    assert_ne!(keyed(&operator, "k", "/customers", &asked).await.expect(201).json(), first.json());
}

#[tokio::test]
async fn a_refusal_does_not_use_up_a_key_and_a_secret_is_not_kept() {
    let world = World::new().await;
    let operator = Operator::of(&world);
    keyed(&operator, "k", "/customers", &json!({ "name": "", "kind": "individual" })).await.expect(400);
    let right = json!({ "name": "Right", "kind": "individual" });
    let made = keyed(&operator, "k", "/customers", &right).await.expect(201).json();
    let asked = json!({ "customer": made["id"] });
    keyed(&operator, "e", "/external-account-keys", &asked).await.expect(201);
    let again = keyed(&operator, "e", "/external-account-keys", &asked).await.expect(409);
    assert!(again.json()["detail"].as_str().unwrap().contains("shown once"));
    assert_eq!(operator.get("/external-account-keys").await.json()["items"].as_array().unwrap().len(), 1);
    keyed(&operator, &"x".repeat(256), "/customers", &right).await.expect(400);
}

#[tokio::test]
async fn what_was_changed_meanwhile_is_not_overwritten() {
    let world = World::new().await;
    let operator = Operator::of(&world);
    let customer = world.customer(CustomerKind::Individual).await;
    let path = format!("/customers/{customer}");
    let seen = operator.get(&path).await.expect(200).header("etag").unwrap().to_owned();
    let edit = |tier: &str| json!({ "tier": tier });
    let edited = operator.with_headers("PATCH", &path, &[("if-match", &seen)], &edit("v2")).await.expect(200);
    assert_ne!(edited.header("etag"), Some(seen.as_str()));
    operator.with_headers("PATCH", &path, &[("if-match", &seen)], &edit("kept")).await.expect(412);
    assert_eq!(operator.get(&path).await.json()["tier"], "v2");
    operator.with_headers("PATCH", &path, &[("if-match", "*")], &edit("kept")).await.expect(200);
}

#[tokio::test]
async fn the_document_describes_every_answer_and_is_open() {
    let world = World::new().await;
    let nobody = Operator::with(&world, None);
    let document = nobody.get("/openapi.json").await.expect(200).json();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"), "{}", document["openapi"]);
    let paths = document["paths"].as_object().unwrap();
    assert!(paths.len() > 20);
    for (path, item) in paths {
        for (method, operation) in item.as_object().unwrap() {
            for status in ["400", "404", "500"] {
                assert!(operation["responses"][status].is_object(), "{method} {path} {status}");
            }
            assert!(operation["summary"].is_string() || operation["description"].is_string(), "{method} {path}");
        }
    }
}

#[tokio::test]
async fn customers_page_through_their_own_tokens_and_keys() {
    let world = World::new().await;
    let operator = Operator::of(&world);
    let customers = [world.customer(CustomerKind::Individual).await, world.customer(CustomerKind::Individual).await];
    let mut views = Vec::new();
    for customer in &customers {
        for _ in 0..3 {
            let asked = json!({ "name": "a program", "role": "customer", "customer": customer });
            views.push(token(&world, asked).await.1);
            operator.post("/external-account-keys", &json!({ "customer": customer })).await;
        }
    }
    for (customer, view) in customers.iter().zip([&views[0], &views[3]]) {
        for path in ["/tokens", "/external-account-keys"] {
            let first = view.get(&format!("{path}?limit=2")).await.expect(200).json();
            let next = first["next"].as_str().unwrap();
            let second = view.get(&format!("{path}?limit=2&after={next}")).await.expect(200).json();
            let (first, second) = (first["items"].as_array().unwrap(), second["items"].as_array().unwrap());
            assert_eq!((first.len(), second.len()), (2, 1), "{path}");
            let own = |item: &Value| item["customer"] == json!(customer);
            assert!(first.iter().chain(second).all(own), "{path}: {first:?} {second:?}");
            assert!(!first.contains(&second[0]), "{path}");
        }
    }
    assert_eq!(operator.get("/external-account-keys").await.expect(200).json()["items"].as_array().unwrap().len(), 6);
}
