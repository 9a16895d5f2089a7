//! The REST API of the operator: customers, external account keys, products, certificates.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::support::operator::Operator;
use crate::support::world::World;

/// Every resource of the operator's, with a method that it has.
const RESOURCES: &[(&str, &str)] = &[
    ("GET", "/customers"),
    ("POST", "/customers"),
    ("GET", "/customers/AAAAAAAAAAAAAAAAAAAAAA"),
    ("GET", "/external-account-keys"),
    ("POST", "/external-account-keys"),
    ("DELETE", "/external-account-keys/x"),
    ("GET", "/purchases"),
    ("POST", "/purchases"),
    ("GET", "/purchases/x"),
    ("GET", "/orders"),
    ("GET", "/orders/x"),
    ("GET", "/reviews"),
    ("GET", "/reviews/x"),
    ("POST", "/reviews/x/decision"),
    ("GET", "/clearances"),
    ("POST", "/clearances"),
    ("DELETE", "/clearances"),
    ("GET", "/certificates"),
    ("GET", "/certificates/x"),
    ("POST", "/certificates/x/revoke"),
    ("GET", "/nothing"),
];

#[tokio::test]
async fn nobody_gets_in_without_the_operators_token() {
    let world = World::new().await;
    let token = world.operator_token();
    for authorization in [
        None,
        Some(String::new()),
        Some("Bearer".to_owned()),
        Some("Bearer ".to_owned()),
        Some(token.clone()),
        Some(format!("Bearer {}", &token[1..])),
        Some(format!("Bearer {token}x")),
        Some(format!("Bearer {}", token.to_uppercase())),
        Some(format!("Bearer x,Bearer {token}")),
        Some(format!("Basic {token}")),
    ] {
        let intruder = Operator::with(&world, authorization.clone());
        for (method, path) in RESOURCES {
            let answer = intruder.send(method, path, &json!({ "name": "x", "kind": "individual" })).await.expect(401);
            assert_eq!(answer.header("www-authenticate"), Some("Bearer"), "{authorization:?}");
            assert_eq!(answer.header("content-type"), Some("application/problem+json"));
            assert!(!answer.text().contains(&token));
        }
    }
    let operator = Operator::of(&world);
    assert_eq!(operator.get("/customers").await.expect(200).json(), json!({ "items": [] }), "nothing was made");
    // RFC 9110 section 11.1: the scheme's case does not matter.
    Operator::with(&world, Some(format!("bearer {token}"))).get("/customers").await.expect(200);
}

#[tokio::test]
async fn a_customer_is_made_shown_and_listed() {
    let world = World::new().await;
    let operator = Operator::of(&world);
    let made = operator.post("/customers", &json!({ "name": " Example Ltd ", "kind": "enterprise" })).await;
    assert_eq!((&made["name"], &made["kind"]), (&json!("Example Ltd"), &json!("enterprise")));
    assert_eq!(made["created"], world.now().to_string());
    let shown = operator.get(&format!("/customers/{}", made["id"].as_str().unwrap())).await.expect(200);
    assert_eq!(shown.json(), made);
    assert_eq!(shown.header("content-type"), Some("application/json"));
    let other = operator.post("/customers", &json!({ "name": "B\u{fc}cher", "kind": "individual" })).await;
    let listed = operator.get("/customers").await.expect(200).json()["items"].take();
    let ids = |list: &Value| list.as_array().unwrap().iter().map(|c| c["id"].to_string()).collect::<BTreeSet<_>>();
    assert_eq!(ids(&listed), ids(&json!([made, other])));
}

#[tokio::test]
async fn requests_that_can_not_be_read_make_nothing() {
    let world = World::new().await;
    let operator = Operator::of(&world);
    let long = "x".repeat(201);
    let customers = [
        json!({}),
        json!([]),
        json!(null),
        json!({ "name": "x" }),
        json!({ "kind": "individual" }),
        json!({ "name": "x", "kind": "robot" }),
        json!({ "name": 1, "kind": "individual" }),
        json!({ "name": "", "kind": "individual" }),
        json!({ "name": "  ", "kind": "individual" }),
        json!({ "name": long, "kind": "individual" }),
        json!({ "name": "a\nb", "kind": "individual" }),
        json!({ "name": "x", "kind": "individual", "extra": 1 }),
    ];
    for body in customers {
        assert_refused(&operator, "POST", "/customers", &body.to_string(), 400).await;
    }
    for text in ["", "{", "{}x", "\u{feff}{}", r#"{"name":"x","name":"y","kind":"individual"}"#] {
        assert_refused(&operator, "POST", "/customers", text, 400).await;
    }
    let customer = operator.post("/customers", &json!({ "name": "x", "kind": "individual" })).await["id"].take();
    for (body, status) in [
        (json!({}), 400),
        (json!({ "customer": 1 }), 400),
        (json!({ "customer": customer, "expires_days": -1 }), 400),
        (json!({ "customer": customer, "expires_days": "1" }), 400),
        (json!({ "customer": customer, "days": 1 }), 400),
        (json!({ "customer": "x" }), 404),
        (json!({ "customer": "AAAAAAAAAAAAAAAAAAAAAA" }), 404),
        (json!({ "customer": customer, "product": "gold" }), 404),
    ] {
        assert_refused(&operator, "POST", "/external-account-keys", &body.to_string(), status).await;
    }
    assert_eq!(operator.get("/external-account-keys").await.expect(200).json()["items"], json!([]));
    assert_eq!(operator.get("/customers").await.expect(200).json()["items"].as_array().unwrap().len(), 1);
    let whole = json!({ "name": "x", "kind": "individual" }).to_string();
    let answer = operator.request("POST", "/customers", "text/plain", whole.clone()).await;
    assert!(answer.status.is_client_error(), "{answer}");
    let huge = format!("{}{whole}", " ".repeat(8 << 20));
    let answer = operator.request("POST", "/customers", "application/json", huge).await;
    assert!(answer.status.is_client_error(), "{}", answer.status);
}

async fn assert_refused(operator: &Operator, method: &str, path: &str, body: &str, status: u16) {
    let answer = operator.request(method, path, "application/json", body.to_owned()).await;
    assert_eq!(answer.status, status, "{method} {path} {body}: {answer}");
    assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{path} {body}: {answer}");
    let problem = answer.json();
    assert_eq!(problem["status"], status, "{problem}");
    assert!(problem["detail"].as_str().is_some_and(|detail| !detail.is_empty() && detail.len() < 400), "{problem}");
}

#[tokio::test]
async fn lists_come_in_pages_each_item_once() {
    let world = World::new().await;
    let operator = Operator::of(&world);
    let mut made = BTreeSet::new();
    for n in 0..7 {
        let customer = operator.post("/customers", &json!({ "name": n.to_string(), "kind": "individual" })).await;
        let asked = json!({ "customer": customer["id"] });
        operator.post("/external-account-keys", &asked).await;
        made.insert(customer["id"].as_str().unwrap().to_owned());
    }
    for (list, name) in [("/customers", "id"), ("/external-account-keys", "kid")] {
        let (mut seen, mut path) = (Vec::new(), format!("{list}?limit=3"));
        loop {
            let page = operator.get(&path).await.expect(200).json();
            let items = page["items"].as_array().unwrap();
            assert!(items.len() <= 3);
            seen.extend(items.iter().map(|item| item[name].as_str().unwrap().to_owned()));
            let Some(next) = page["next"].as_str() else { break };
            path = format!("{list}?limit=3&after={next}");
        }
        assert_eq!(seen.len(), 7, "{list}");
        let distinct: BTreeSet<String> = seen.into_iter().collect();
        assert_eq!(distinct.len(), 7, "{list}");
        assert!(name == "kid" || distinct == made);
    }
    for query in ["limit=0", "limit=1001", "limit=-1", "limit=x", "limit=", "page=2", "limit=1&limit=2"] {
        for list in ["/customers", "/external-account-keys", "/certificates"] {
            assert_refused(&operator, "GET", &format!("{list}?{query}"), "", 400).await;
        }
    }
    for path in ["/customers?after=x", "/certificates?after=x"] {
        let answer = operator.get(path).await;
        assert!(answer.status.is_client_error(), "{answer}");
    }
    operator.get("/customers?after=AAAAAAAAAAAAAAAAAAAAAA&limit=1000").await.expect(200);
    operator.get(&format!("/external-account-keys?after={}", "x".repeat(3000))).await.expect(200);
}

#[tokio::test]
async fn a_mac_key_is_shown_once_and_can_be_withdrawn() {
    let world = World::new().await;
    let operator = Operator::of(&world);
    let customer = operator.post("/customers", &json!({ "name": "x", "kind": "individual" })).await["id"].take();
    let asked = json!({ "customer": customer, "product": "any", "expires_days": 30 });
    let made = operator.post("/external-account-keys", &asked).await;
    let secret = made["hmac_key"].as_str().unwrap();
    assert_eq!(made["customer"], customer);
    assert_eq!(made["product"], "any");
    assert_eq!(made["expires"], (world.now() + std::time::Duration::from_secs(30 * 86_400)).to_string());
    let listed = operator.get("/external-account-keys").await.expect(200);
    assert!(!listed.text().contains(secret), "{listed}");
    assert_eq!(listed.json()["items"][0]["kid"], made["kid"]);
    let path = format!("/external-account-keys/{}", made["kid"].as_str().unwrap());
    let mut withdrawn = Vec::new();
    for _ in 0..2 {
        let answer = operator.request("DELETE", &path, "", "").await.expect(200);
        assert!(!answer.text().contains(secret), "{answer}");
        withdrawn.push(answer.json()["revoked"].as_str().unwrap().to_owned());
        world.clock.advance(std::time::Duration::from_secs(60));
    }
    assert_eq!(withdrawn[0], withdrawn[1], "the second time changes nothing");
    for kid in ["x", "%ff", "..%2f", &"x".repeat(3000)] {
        assert_refused(&operator, "DELETE", &format!("/external-account-keys/{kid}"), "", 404).await;
    }
    let forever = json!({ "customer": customer, "expires_days": u32::MAX });
    let made = operator.post("/external-account-keys", &forever).await;
    assert!(made["expires"].as_str().is_some_and(|end| end.ends_with('Z')), "{made}");
}

#[tokio::test]
async fn products_are_shown_as_the_catalogue_has_them() {
    let world = World::new().await;
    let operator = Operator::of(&world);
    let list = operator.get("/products").await.expect(200).json();
    let ids: Vec<&str> = list["items"].as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap()).collect();
    assert_eq!(BTreeSet::from_iter(ids), BTreeSet::from(["any", "single", "bound"]));
    let single = operator.get("/products/single").await.expect(200).json();
    assert_eq!(
        (&single["max_names"], &single["wildcard"], &single["methods"]),
        (&json!(1), &json!(false), &json!(["http-01"]))
    );
    assert_refused(&operator, "GET", "/products/gold", "", 404).await;
    assert_refused(&operator, "GET", "/products/%ff", "", 404).await;
}

#[tokio::test]
async fn certificates_are_listed_shown_and_revoked() {
    let world = World::new().await;
    let operator = Operator::of(&world);
    let client = world.client().await;
    for name in ["one.example.com", "two.example.com"] {
        world.certificate(&client, &[name]).await;
    }
    let page = operator.get("/certificates?limit=1").await.expect(200).json();
    let first = &page["items"][0];
    let rest =
        operator.get(&format!("/certificates?after={}", page["next"].as_str().unwrap())).await.expect(200).json();
    assert_eq!(rest["items"].as_array().unwrap().len(), 1);
    assert_ne!(rest["items"][0]["serial"], first["serial"]);
    assert_eq!((&first["status"], &first["product"]), (&json!("valid"), &json!("any")));
    let path = format!("/certificates/{}", first["serial"].as_str().unwrap());
    assert_eq!(operator.get(&path).await.expect(200).json(), *first);
    let revoke = format!("{path}/revoke");
    for body in
        ["", "[]", r#"{"reason":"x"}"#, r#"{"reason":7}"#, r#"{"reason":99}"#, r#"{"why":1}"#, r#"{"reason":-1}"#]
    {
        assert_refused(&operator, "POST", &revoke, body, 400).await;
    }
    assert_eq!(operator.get(&path).await.expect(200).json()["status"], "valid");
    let revoked = operator.send("POST", &revoke, &json!({ "reason": 4 })).await.expect(200).json();
    assert_eq!((&revoked["status"], &revoked["revoked"]), (&json!("revoked"), &json!(world.now().to_string())));
    assert_eq!(operator.get(&path).await.expect(200).json(), revoked);
    assert_refused(&operator, "POST", &revoke, "{}", 409).await;
    for serial in ["x", "%ff", &"40".repeat(20), &"40".repeat(21)] {
        assert_refused(&operator, "GET", &format!("/certificates/{serial}"), "", 404).await;
        assert_refused(&operator, "POST", &format!("/certificates/{serial}/revoke"), "{}", 404).await;
    }
}

#[tokio::test]
async fn methods_that_a_resource_does_not_have_are_refused_as_problems() {
    let world = World::new().await;
    let operator = Operator::of(&world);
    for (method, path, allowed) in [
        ("DELETE", "/customers", "GET,HEAD,POST"),
        ("PUT", "/customers/AAAAAAAAAAAAAAAAAAAAAA", "GET,HEAD,PATCH"),
        ("PATCH", "/external-account-keys", "GET,HEAD,POST"),
        ("PATCH", "/external-account-keys/x", "DELETE"),
        ("POST", "/products", "GET,HEAD"),
        ("DELETE", "/quotes", "GET,HEAD,POST"),
        ("DELETE", "/purchases/x", "GET,HEAD"),
        ("GET", "/reviews/x/decision", "POST"),
        ("PUT", "/clearances", "GET,HEAD,POST,DELETE"),
        ("GET", "/certificates/x/revoke", "POST"),
    ] {
        assert_refused(&operator, method, path, "{}", 405).await;
        let answer = operator.send(method, path, &json!({})).await;
        let told: Vec<&str> = answer.header("allow").unwrap().split(',').collect();
        assert!(allowed.split(',').all(|allowed| told.contains(&allowed)), "{method} {path}: {told:?}");
        assert!(!told.contains(&method), "{method} {path}: {told:?}");
    }
    for path in ["/nothing", "/", "/customers/", "/customers/a/b"] {
        assert_refused(&operator, "GET", path, "", 404).await;
    }
}
