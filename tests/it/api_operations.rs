//! The operation log over REST: who did what, when and from where; and the history of an order.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::http::{Request, header};
use chancery::domain::customer::CustomerKind;
use chancery::http::Peer;
use http_body_util::BodyExt as _;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use crate::acme_tools::{HOUR, order_of};
use crate::support::client::{Client, csr};
use crate::support::operator::Operator;
use crate::support::signer::Signer;
use crate::support::world::{BASE, World};

fn items(page: &Value) -> &[Value] {
    page["items"].as_array().unwrap()
}

fn texts<'p>(page: &'p Value, member: &str) -> Vec<&'p str> {
    items(page).iter().map(|item| item[member].as_str().unwrap()).collect()
}

async fn list(operator: &Operator, query: &str) -> Value {
    operator.get(&format!("/operations{query}")).await.expect(200).json()
}

fn id_of(url: &str) -> String {
    url.strip_suffix("/finalize").unwrap_or(url).rsplit('/').next().unwrap().to_owned()
}

#[tokio::test]
async fn every_operation_says_who_did_it() {
    let world = World::new().await;
    let operator = Operator::of(&world);
    let client = world.client().await;
    let (done, _) = world.certificate(&client, &["www.example.com"]).await;
    let customer = operator.post("/customers", &json!({ "name": "Buyer", "kind": "individual" })).await;
    let account = format!("account {}", id_of(client.kid()));
    let key = format!("key {}", client.thumbprint());
    let all = list(&operator, "").await;
    for (act, who) in [
        ("catalog-loaded", "server"),
        ("account-created", key.as_str()),
        ("order-created", &account),
        ("validation-begun", &account),
        ("validation-settled", "server"),
        ("order-finalized", &account),
        ("certificate-issued", "server"),
        ("customer-created", "operator"),
    ] {
        let event = items(&all).iter().find(|item| item["act"] == act);
        // A catalogue is told when it is replaced, not when it is there from the start.
        let Some(event) = event else {
            assert_eq!(act, "catalog-loaded", "{all:#}");
            continue;
        };
        assert_eq!(event["who"], who, "{act}");
        assert_eq!(event["from"], Value::Null, "{act}: nobody told where these requests came from");
    }
    // By a kind, an id, both; by what it was done to; by the act.
    let order = id_of(done["finalize"].as_str().unwrap());
    let plain = account.replace(' ', "%20");
    for (query, acts) in [
        ("?who=operator".to_owned(), &["customer-created"][..]),
        (format!("?who={plain}&act=order-created"), &["order-created"]),
        (format!("?who=account&object={order}"), &["order-created", "order-finalized"]),
        (format!("?who={}&act=order-finalized", id_of(client.kid())), &["order-finalized"]),
        (format!("?object={}", customer["id"].as_str().unwrap()), &["customer-created"]),
        ("?object=www.example.com&act=order-created".to_owned(), &["order-created"]),
        ("?act=nothing-of-the-sort".to_owned(), &[]),
    ] {
        // The clock stands, and within a moment events are in no order.
        let page = list(&operator, &query).await;
        let mut found = texts(&page, "act");
        found.sort_unstable();
        assert_eq!(found, acts, "{query}");
    }
}

#[tokio::test]
async fn where_a_request_came_from_is_kept() {
    let world = World::new().await;
    let peer: SocketAddr = "192.0.2.7:55555".parse().unwrap();
    let request = Request::post("/api/v1/customers")
        .header(header::AUTHORIZATION, format!("Bearer {}", world.operator_token()))
        .header(header::CONTENT_TYPE, "application/json")
        .extension(Peer(peer))
        .body(Body::from(json!({ "name": "Buyer", "kind": "individual" }).to_string()));
    let answer = world.router().oneshot(request.unwrap()).await.unwrap();
    assert_eq!(answer.status(), 201, "{:?}", answer.into_body().collect().await.unwrap().to_bytes());
    let operator = Operator::of(&world);
    let seen = list(&operator, "?act=customer-created").await;
    assert_eq!(items(&seen)[0]["from"], "192.0.2.7");
    // ACME's too; what the server does for them later comes from nowhere.
    let mut client = Client::with_key(world.router().layer(Extension(Peer(peer))), BASE, Signer::generate("ES256"));
    client.new_account().await.expect(201);
    world.web.serve_any(&client.thumbprint());
    world.certificate(&client, &["www.example.com"]).await;
    for (act, from) in [
        ("account-created", json!("192.0.2.7")),
        ("order-created", json!("192.0.2.7")),
        ("certificate-issued", Value::Null),
    ] {
        let seen = list(&operator, &format!("?act={act}")).await;
        assert_eq!(items(&seen)[0]["from"], from, "{act}");
    }
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn the_end_of_the_chain_is_told_in_the_servers_log() {
    let mut world = World::new().await;
    Operator::of(&world).post("/customers", &json!({ "name": "Buyer", "kind": "individual" })).await;
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().json().flatten_event(true).with_writer(move || writer.clone()).finish();
    let guard = tracing::subscriber::set_default(subscriber);
    world.ra().tell_operations_head().await.unwrap();
    drop(guard);
    let told: Value = serde_json::from_slice(&log.0.lock()).unwrap();
    let head = world.checked().await.operations.unwrap();
    assert_eq!((&told["sequence"], &told["hash"]), (&json!(head.sequence), &json!(head.hash)), "{told}");
}

#[tokio::test]
async fn the_log_is_read_in_pages_and_by_time() {
    let world = World::new().await;
    let operator = Operator::of(&world);
    let begin = world.now();
    for n in 0..7 {
        operator.post("/customers", &json!({ "name": format!("Buyer {n}"), "kind": "individual" })).await;
        world.clock.advance(HOUR);
    }
    let (mut seen, mut query, mut pages) = (Vec::new(), "?limit=2&act=customer-created".to_owned(), 0);
    loop {
        let page = list(&operator, &query).await;
        seen.extend(items(&page).iter().map(|item| item["id"].as_str().unwrap().to_owned()));
        pages += 1;
        let Some(next) = page["next"].as_str() else { break };
        query = format!("?limit=2&act=customer-created&after={next}");
    }
    assert!(seen.len() == 7 && seen.is_sorted() && pages >= 4, "{pages}: {seen:?}");
    for (since, until, count) in [(0, 7, 7), (1, 7, 6), (0, 3, 3), (2, 3, 1), (3, 3, 0)] {
        let (since, until) = (begin + HOUR * since, begin + HOUR * until);
        let page = list(&operator, &format!("?act=customer-created&since={since}&until={until}")).await;
        assert_eq!(items(&page).len(), count, "{since} to {until}");
    }
    for query in ["?since=yesterday", "?until=1", "?after=xyz", "?limit=0", "?what=x"] {
        operator.get(&format!("/operations{query}")).await.expect(400);
    }
}

#[tokio::test]
async fn the_log_is_for_operators_and_an_orders_history_for_its_customer_too() {
    let mut world = World::new().await;
    let operator = Operator::of(&world);
    let (mine, other) =
        (world.customer(CustomerKind::Individual).await, world.customer(CustomerKind::Individual).await);
    let client = world.client_of(&mine).await;
    let mut callers = Vec::new();
    for asked in [
        json!({ "name": "me", "role": "customer", "customer": mine.to_string() }),
        json!({ "name": "other", "role": "customer", "customer": other.to_string() }),
        json!({ "name": "desk", "role": "reviewer" }),
    ] {
        let made = operator.post("/tokens", &asked).await;
        callers.push(Operator::with(&world, Some(format!("Bearer {}", made["token"].as_str().unwrap()))));
    }
    let (done, _) = world.certificate(&client, &["www.example.com"]).await;
    let order = id_of(done["finalize"].as_str().unwrap());
    for (caller, log, history) in
        [(&operator, 200, 200), (&callers[0], 403, 200), (&callers[1], 403, 404), (&callers[2], 403, 403)]
    {
        caller.get("/operations").await.expect(log);
        caller.get(&format!("/orders/{order}/events")).await.expect(history);
    }
    operator.get("/orders/x/events").await.expect(404);
    let history = callers[0].get(&format!("/orders/{order}/events")).await.expect(200).json();
    let acts = texts(&history, "act");
    for act in ["order-created", "validation-settled", "order-finalized", "certificate-issued"] {
        assert!(acts.contains(&act), "{act}: {acts:?}");
    }
    assert_eq!((acts.first(), acts.last()), (Some(&"order-created"), Some(&"certificate-issued")), "{acts:?}");
    assert_eq!(items(&history)[0]["who"], format!("account {}", id_of(client.kid())));
    // What a whole server has written is one chain.
    world.restart().await;
    let report = world.checked().await;
    assert!(report.faults.is_empty() && report.operations.is_some_and(|head| head.sequence > 5), "{:?}", report.faults);
}

#[tokio::test]
async fn who_sits_at_the_desk_is_no_business_of_customers() {
    let world = World::documented().await;
    let operator = Operator::of(&world);
    let customer = world.customer(CustomerKind::Individual).await;
    let client = world.client_of(&customer).await;
    world.buy(&customer, "trustasia-dv-multi", 1, 1).await;
    let placed = client.new_order_of(order_of(&["mybank.cn"], json!({ "profile": "trustasia-dv-multi" }))).await;
    let placed = placed.expect(201);
    let authz = client.authorizations(&placed.json()).await.swap_remove(0);
    world.prove(&client, &authz).await.expect(200);
    client.finalize(&placed.json(), &csr(&["mybank.cn"]).0).await.expect(200);
    let order = id_of(placed.location());
    let (mut callers, desk) = (Vec::new(), json!({ "name": "Ann", "role": "reviewer" }));
    for asked in [desk, json!({ "name": "me", "role": "customer", "customer": customer.to_string() })] {
        let made = operator.post("/tokens", &asked).await;
        callers.push(Operator::with(&world, Some(format!("Bearer {}", made["token"].as_str().unwrap()))));
    }
    let decision = json!({ "decision": "approve", "note": "theirs" });
    callers[0].send("POST", &format!("/reviews/{order}/decision"), &decision).await.ok();
    for (caller, told) in [(&operator, "(Ann)"), (&callers[1], "reviewer")] {
        let history = caller.get(&format!("/orders/{order}/events")).await.expect(200).json();
        let decided = items(&history).iter().find(|item| item["act"] == "review-decided").unwrap();
        assert!(decided["who"].as_str().unwrap().ends_with(told), "{history:#}");
        let note = (told == "(Ann)").then_some("theirs");
        assert_eq!(decided["about"]["note"].as_str(), note, "{history:#}");
    }
}
