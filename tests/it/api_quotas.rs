//! The REST API of the operator: quotas of free certificates, packages, primary domains.

use chancery::domain::customer::{CustomerKind, Tier};
use serde_json::{Value, json};

use crate::acme_tools::{DAY, has_parts};
use crate::rules_quota::{accepted, buyer, issued, over, with_quota};
use crate::support::operator::Operator;
use crate::support::world::World;

#[tokio::test]
async fn nobody_sees_or_changes_quotas_without_the_operators_token() {
    let world = World::documented().await;
    let intruder = Operator::with(&world, None);
    for (method, path) in [
        ("GET", "/quotas?customer=AAAAAAAAAAAAAAAAAAAAAA"),
        ("GET", "/packages?customer=AAAAAAAAAAAAAAAAAAAAAA"),
        ("POST", "/packages"),
        ("GET", "/domains/zone.cn"),
        ("PUT", "/domains/zone.cn"),
        ("POST", "/domains/zone.cn/elsewhere"),
        ("DELETE", "/domains/zone.cn/elsewhere"),
    ] {
        intruder.send(method, path, &json!({ "provider": true })).await.expect(401);
    }
    let shown = Operator::of(&world).get("/domains/zone.cn").await.expect(200).json();
    assert_eq!(shown.get("provider_since"), None, "nothing was changed");
}

#[tokio::test]
async fn a_quota_is_shown_with_what_is_used_and_when_the_next_slot_returns() {
    let world = with_quota(20, 20).await;
    let operator = Operator::of(&world);
    let (customer, client) = buyer(&world, CustomerKind::Individual, Tier::Standard).await;
    let path = format!("/quotas?customer={customer}");
    // QUOTA-15
    let empty = json!({ "used": 0, "total": 20 });
    assert_eq!(
        operator.get(&path).await.expect(200).json(),
        json!({
            "holder": { "customer": customer }, "used": 0, "total": 20, "any": empty, "packages_left": 0, "slots": [],
        })
    );
    let der = issued(&world, &client, "a.zone.cn").await;
    world.pass(DAY).await;
    accepted(&client, "b.zone.cn").await;
    let shown = operator.get(&path).await.expect(200).json();
    let returns = (world.now() + 3 * DAY).to_string();
    assert_eq!((&shown["used"], &shown["total"], &shown["next_return"]), (&json!(2), &json!(20), &json!(returns)));
    let slots: Vec<(&Value, &Value, &Value)> =
        shown["slots"].as_array().unwrap().iter().map(|s| (&s["domain"], &s["pool"], &s["returns"])).collect();
    let (domain, pool, end) = (json!("zone.cn"), json!("any"), json!(over(&der).to_string()));
    assert_eq!(slots, [(&domain, &pool, &end), (&domain, &pool, &json!(returns))]);
    // ACCT-02: an account's quota is that of the customer behind it.
    let account = client.kid().rsplit('/').next().unwrap();
    assert_eq!(operator.get(&format!("/quotas?account={account}")).await.expect(200).json(), shown);
    let unbound = world.client().await;
    accepted(&unbound, "zone-b.cn").await;
    let account = unbound.kid().rsplit('/').next().unwrap();
    let own = operator.get(&format!("/quotas?account={account}")).await.expect(200).json();
    assert_eq!((&own["holder"], &own["used"]), (&json!({ "account": account }), &json!(1)));
    for (query, status) in [
        ("", 400),
        ("?customer=", 404),
        ("?customer=AAAAAAAAAAAAAAAAAAAAAA", 404),
        ("?account=AAAAAAAAAAAAAAAAAAAAAA", 404),
        ("?account=x", 404),
        (&format!("?customer={customer}&account={account}"), 400),
        ("?holder=x", 400),
    ] {
        problem(&operator, "GET", &format!("/quotas{query}"), &json!(null), status).await;
        problem(&operator, "GET", &format!("/packages{query}"), &json!(null), status).await;
    }
}

/// The detail of the refusal of a request.
async fn problem(operator: &Operator, method: &str, path: &str, body: &Value, status: u16) -> String {
    let answer = match method {
        "GET" => operator.get(path).await,
        _ => operator.send(method, path, body).await,
    };
    assert_eq!(answer.status, status, "{method} {path} {body}: {answer}");
    assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{method} {path} {body}");
    answer.json()["detail"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn the_sub_quotas_of_2023_are_shown_each() {
    let world = World::documented_but(&[("quota_variant = \"2024-03\"", "quota_variant = \"2023-09\"")]).await;
    let operator = Operator::of(&world);
    let (customer, client) = buyer(&world, CustomerKind::Individual, Tier::Standard).await;
    operator.send("PUT", "/domains/provided.cn", &json!({ "provider": true })).await.expect(200);
    for n in 0..7 {
        accepted(&client, &format!("h{n}.provided.cn")).await;
    }
    let shown = operator.get(&format!("/quotas?customer={customer}")).await.expect(200).json();
    let end = (world.now() + 3 * DAY).to_string();
    // The sample of QUOTA-15: 7 of 50; 7 used, and 0 used with 20 left.
    assert_eq!((&shown["used"], &shown["total"]), (&json!(7), &json!(50)));
    assert_eq!(shown["provider"], json!({ "used": 7, "total": 30, "next_return": end }));
    assert_eq!(shown["any"], json!({ "used": 0, "total": 20 }));
    let (member, _) = buyer(&world, CustomerKind::Individual, Tier::V2).await;
    let shown = operator.get(&format!("/quotas?customer={member}")).await.expect(200).json();
    assert_eq!((shown.get("provider"), &shown["total"]), (None, &json!(50)));
}

#[tokio::test]
async fn packages_are_granted_and_listed() {
    let world = with_quota(0, 20).await;
    let operator = Operator::of(&world);
    let (customer, client) = buyer(&world, CustomerKind::Individual, Tier::Standard).await;
    let granted = operator.post("/packages", &json!({ "customer": customer, "size": 3, "days": 30 })).await;
    assert_eq!((&granted["size"], &granted["left"]), (&json!(3), &json!(3)));
    assert_eq!(granted["until"], (world.now() + 30 * DAY).to_string());
    issued(&world, &client, "a.zone.cn").await;
    accepted(&client, "b.zone.cn").await;
    let lasting = operator.post("/packages", &json!({ "customer": customer, "size": 1 })).await;
    assert_eq!(lasting.get("until"), None);
    let path = format!("/packages?customer={customer}");
    let figures = |list: Value| {
        let of = |p: &Value| ["size", "used", "reserved", "left"].map(|figure| p[figure].as_u64().unwrap());
        list["items"].as_array().unwrap().iter().map(of).collect::<Vec<_>>()
    };
    assert_eq!(figures(operator.get(&path).await.expect(200).json()), [[3, 1, 1, 1], [1, 0, 0, 1]]);
    world.pass(30 * DAY).await;
    assert_eq!(figures(operator.get(&path).await.expect(200).json()), [[3, 1, 0, 0], [1, 0, 0, 1]]);
    let quota = operator.get(&format!("/quotas?customer={customer}")).await.expect(200).json();
    assert_eq!((&quota["used"], &quota["packages_left"]), (&json!(0), &json!(1)));
    // An account without a customer may have one too.
    let unbound = world.client().await;
    let account = unbound.kid().rsplit('/').next().unwrap();
    operator.post("/packages", &json!({ "account": account, "size": 1 })).await;
    accepted(&unbound, "zone-b.cn").await;
    for (body, status, part) in [
        (json!({ "size": 1 }), 400, "either"),
        (json!({ "customer": customer }), 400, "size"),
        (json!({ "customer": customer, "size": 0 }), 400, "at least one"),
        (json!({ "customer": customer, "size": -1 }), 400, ""),
        (json!({ "customer": customer, "size": 10_001 }), 400, "10000 places"),
        (json!({ "customer": customer, "size": 1, "days": 0 }), 400, "not 0"),
        (json!({ "customer": customer, "size": 1, "days": 3661 }), 400, "not 3661"),
        (json!({ "customer": "AAAAAAAAAAAAAAAAAAAAAA", "size": 1 }), 404, "customer"),
        (json!({ "customer": customer, "size": 1, "extra": 1 }), 400, "extra"),
    ] {
        has_parts(&problem(&operator, "POST", "/packages", &body, status).await, &[part]);
    }
    assert_eq!(figures(operator.get(&path).await.expect(200).json()).len(), 2, "nothing was granted");
}

#[tokio::test]
async fn packages_that_are_over_make_room_for_others() {
    let world = with_quota(0, 20).await;
    let operator = Operator::of(&world);
    let customer = world.customer(CustomerKind::Individual).await;
    let one = json!({ "customer": customer, "size": 1, "days": 1 });
    for _ in 0..100 {
        operator.post("/packages", &one).await;
    }
    has_parts(&problem(&operator, "POST", "/packages", &one, 400).await, &["at most 100 packages"]);
    for _ in 0..2 {
        world.pass(DAY).await;
        operator.post("/packages", &one).await;
    }
    let listed = operator.get(&format!("/packages?customer={customer}")).await.expect(200).json();
    let left: Vec<u64> = listed["items"].as_array().unwrap().iter().map(|p| p["left"].as_u64().unwrap()).collect();
    // A hundred that are over are still shown, and the one that is of use.
    assert_eq!((left.len(), left.iter().sum::<u64>(), left.last()), (101, 1, Some(&1)));
}

#[tokio::test]
async fn a_primary_domain_is_shown_and_what_operators_know_of_it_counts() {
    let world = with_quota(20, 5).await;
    let operator = Operator::of(&world);
    let (_, client) = buyer(&world, CustomerKind::Individual, Tier::Standard).await;
    let der = issued(&world, &client, "www.zone.cn").await;
    let end = world.now() + 10 * DAY;
    let asked = json!({ "count": 3, "not_after": end.to_string(), "note": "another seller" });
    let counted = operator.post("/domains/zone.cn/elsewhere", &asked).await;
    assert_eq!(counted, operator.get("/domains/ZONE.cn").await.expect(200).json());
    assert_eq!((&counted["domain"], &counted["used"], &counted["total"]), (&json!("zone.cn"), &json!(4), &json!(5)));
    assert_eq!(counted["next_return"], (end + std::time::Duration::from_secs(1)).to_string());
    assert_eq!(counted["elsewhere"], json!([asked]));
    assert_eq!(counted["slots"][0]["returns"], over(&der).to_string());
    // QUOTA-13
    let since = world.now().to_string();
    for provider in [true, true] {
        let shown = operator.send("PUT", "/domains/zone.cn", &json!({ "provider": provider })).await.expect(200).json();
        assert_eq!(shown["provider_since"], since);
        world.pass(DAY).await;
    }
    let shown = operator.send("PUT", "/domains/zone.cn", &json!({ "provider": false })).await.expect(200).json();
    assert_eq!(shown.get("provider_since"), None);
    world.pass(9 * DAY).await;
    let shown = operator.get("/domains/zone.cn").await.expect(200).json();
    assert_eq!((&shown["used"], &shown["elsewhere"]), (&json!(1), &json!([])));
    let asked = json!({ "count": 1, "not_after": (world.now() + DAY).to_string(), "note": "a mistake" });
    operator.post("/domains/zone.cn/elsewhere", &asked).await;
    let forgotten = operator.request("DELETE", "/domains/zone.cn/elsewhere", "", "").await.expect(200).json();
    assert_eq!((&forgotten["used"], &forgotten["elsewhere"]), (&json!(1), &json!([])));
}

#[tokio::test]
async fn what_is_no_primary_domain_or_cannot_be_counted_is_refused() {
    let world = with_quota(20, 5).await;
    let operator = Operator::of(&world);
    for (domain, part) in [
        ("www.zone.cn", "\"zone.cn\" is"),
        ("com.cn", "public suffix"),
        ("cn", ""),
        ("zone..cn", ""),
        ("*.zone.cn", "\"zone.cn\" is"),
    ] {
        let path = format!("/domains/{domain}");
        has_parts(&problem(&operator, "GET", &path, &json!(null), 400).await, &[part]);
        has_parts(&problem(&operator, "PUT", &path, &json!({ "provider": true }), 400).await, &[part]);
    }
    let soon = (world.now() + DAY).to_string();
    let long = "x".repeat(201);
    for (body, part) in [
        (json!({ "count": 0, "not_after": soon, "note": "x" }), "count"),
        (json!({ "count": 1001, "not_after": soon, "note": "x" }), "1001"),
        (json!({ "count": 1, "not_after": "tomorrow", "note": "x" }), "\"tomorrow\""),
        (json!({ "count": 1, "not_after": (world.now() - DAY).to_string(), "note": "x" }), "expired"),
        (json!({ "count": 1, "not_after": (world.now() + 399 * DAY).to_string(), "note": "x" }), "lasts beyond"),
        (json!({ "count": 1, "not_after": soon, "note": " " }), "note"),
        (json!({ "count": 1, "not_after": soon, "note": long }), "note"),
        (json!({ "count": 1, "not_after": soon }), "note"),
        (json!({ "count": 1, "not_after": soon, "note": "x", "extra": 1 }), "extra"),
    ] {
        has_parts(&problem(&operator, "POST", "/domains/zone.cn/elsewhere", &body, 400).await, &[part]);
    }
    problem(&operator, "PUT", "/domains/zone.cn", &json!({ "provider": "yes" }), 400).await;
    problem(&operator, "PUT", "/domains/zone.cn", &json!({}), 400).await;
    let shown = operator.get("/domains/zone.cn").await.expect(200).json();
    assert_eq!(shown, json!({ "domain": "zone.cn", "used": 0, "total": 5, "slots": [], "elsewhere": [] }));
}

#[tokio::test]
async fn a_catalogue_without_a_quota_has_none_to_show() {
    let world = World::new().await;
    let operator = Operator::of(&world);
    let customer = world.customer(CustomerKind::Individual).await;
    for path in [&format!("/quotas?customer={customer}"), "/domains/zone.cn"] {
        has_parts(&problem(&operator, "GET", path, &json!(null), 404).await, &["no quota"]);
    }
}
