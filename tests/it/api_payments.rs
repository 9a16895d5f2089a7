//! The webhook of payment providers: signed, fresh, and each event credited once.

use aws_lc_rs::hmac;
use axum::Router;
use axum::body::Body;
use axum::http::Request;
use chancery::domain::CustomerId;
use http_body_util::BodyExt as _;
use serde_json::json;
use tower::ServiceExt as _;

use crate::acme_tools::has_parts;
use crate::money_tools::{balance, books_balance, buyer, refusal};
use crate::support::client::Response;
use crate::support::operator::Operator;
use crate::support::world::World;

const SECRET: &str = "a secret of enough characters";

async fn world() -> World {
    World::documented_with(|config| {
        let file = config.server.data_dir.with_file_name("webhook.secret");
        std::fs::write(&file, format!("{SECRET}\n")).unwrap();
        config.billing.webhook_secret_file = Some(file);
    })
    .await
}

fn signature(secret: &str, at: u64, body: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let tag = hmac::sign(&key, format!("{at}.{body}").as_bytes());
    let digits: String = tag.as_ref().iter().map(|octet| format!("{octet:02x}")).collect();
    format!("t={at},v1={digits}")
}

async fn send(router: Router, header: Option<&str>, body: &str) -> Response {
    let mut request = Request::builder().method("POST").uri("/api/v1/payments");
    if let Some(header) = header {
        request = request.header("Chancery-Signature", header);
    }
    let answer = router.oneshot(request.body(Body::from(body.to_owned())).unwrap()).await.unwrap();
    let (parts, body) = answer.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    Response { status: parts.status, headers: parts.headers, body }
}

fn told(event: &str, customer: &CustomerId, amount: &str) -> String {
    json!({ "event": event, "customer": customer, "amount": amount, "currency": "USD" }).to_string()
}

#[tokio::test]
async fn a_payment_is_credited_once_however_often_it_is_told() {
    let world = world().await;
    let (customer, caller) = buyer(&world).await;
    let body = told("evt_1", &customer, "732.00");
    let header = signature(SECRET, world.now().as_secs(), &body);
    let (first, second) =
        tokio::join!(send(world.router(), Some(&header), &body), send(world.router(), Some(&header), &body));
    let mut statuses = [first.status.as_u16(), second.status.as_u16()];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 201], "{first} {second}");
    assert_eq!(first.json()["entry"], second.json()["entry"]);
    send(world.router(), Some(&header), &body).await.expect(200);
    assert_eq!(balance(&caller, &customer).await["cash"], "732.00");
    // The same event with another amount is a fault of the provider's.
    let other = told("evt_1", &customer, "733.00");
    let answer = send(world.router(), Some(&signature(SECRET, world.now().as_secs(), &other)), &other).await;
    has_parts(&refusal(&answer, 409), &["evt_1", "another customer or amount"]);
    let next = told("evt_2", &customer, "1.00");
    send(world.router(), Some(&signature(SECRET, world.now().as_secs(), &next)), &next).await.expect(201);
    assert_eq!(balance(&caller, &customer).await["cash"], "733.00");
    books_balance(&world).await;
}

#[tokio::test]
async fn what_is_not_signed_freshly_by_the_provider_is_refused() {
    let world = world().await;
    let (customer, caller) = buyer(&world).await;
    let (body, now) = (told("evt_1", &customer, "5.00"), world.now().as_secs());
    let good = signature(SECRET, now, &body);
    let digits = good.split("v1=").nth(1).unwrap();
    for (header, word) in [
        (None, "Send the header"),
        (Some(String::new()), "Send the header"),
        (Some(format!("v1={digits}")), "Send the header"),
        (Some(format!("t=soon,v1={digits}")), "Send the header"),
        (Some(format!("t={now}")), "not that of this body"),
        (Some(format!("t={now},v1={}", &digits[..62])), "not that of this body"),
        (Some(format!("t={now},v1={}", "0".repeat(64))), "not that of this body"),
        (Some(format!("t={now},v0={digits}")), "not that of this body"),
        // Moved in time without a new signature.
        (Some(format!("t={},v1={digits}", now + 1)), "not that of this body"),
        (Some(signature("another secret of some length", now, &body)), "not that of this body"),
        (Some(signature(SECRET, now, &told("evt_1", &customer, "500.00"))), "not that of this body"),
        (Some(signature(SECRET, now - 301, &body)), "more than 300 seconds"),
        (Some(signature(SECRET, now + 301, &body)), "more than 300 seconds"),
    ] {
        let answer = send(world.router(), header.as_deref(), &body).await;
        has_parts(&refusal(&answer, 403), &[word]);
    }
    assert_eq!(balance(&caller, &customer).await["cash"], "0.00");
    // While the provider changes its secret, there are two signatures.
    let two = format!("t={now},v1={},v1={digits}", "0".repeat(64));
    send(world.router(), Some(&two), &body).await.expect(201);
    // At the edge of the tolerance it is good.
    let late = told("evt_2", &customer, "5.00");
    send(world.router(), Some(&signature(SECRET, now - 300, &late)), &late).await.expect(201);
    assert_eq!(balance(&caller, &customer).await["cash"], "10.00");
}

#[tokio::test]
async fn what_is_signed_and_makes_no_sense_is_refused() {
    let world = world().await;
    let (customer, _) = buyer(&world).await;
    for (body, status) in [
        ("no JSON".to_owned(), 400),
        (told("evt", &customer, "0.00"), 400),
        (told("", &customer, "1.00"), 400),
        (json!({ "event": "e", "customer": customer, "amount": "1.00", "currency": "EUR" }).to_string(), 400),
        (json!({ "event": "e", "customer": "x", "amount": "1.00" }).to_string(), 404),
        (json!({ "event": "e", "customer": "AAAAAAAAAAAAAAAAAAAAAA", "amount": "1.00" }).to_string(), 404),
    ] {
        let answer = send(world.router(), Some(&signature(SECRET, world.now().as_secs(), &body)), &body).await;
        assert_eq!(answer.status, status, "{body}: {answer}");
    }
    assert_eq!(books_balance(&world).await["entries"], 0);
}

#[tokio::test]
async fn without_a_secret_no_payments_are_taken() {
    let world = World::documented().await;
    let answer = send(world.router(), None, "{}").await;
    has_parts(&refusal(&answer, 404), &["webhook_secret_file", "not configured"]);
    Operator::of(&world).get("/payments").await.expect(405);
}
