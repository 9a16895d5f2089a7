//! A story: paid multi-domain DV with auto-renewal over three years. The balance is credited by the operator and by a payment
//! provider; whoever runs the DNS does what the messages ask for; nobody looks at a console in between.

use std::collections::BTreeSet;

use aws_lc_rs::hmac;
use chancery::domain::{CustomerId, Serial, Timestamp};
use serde_json::{Value, json};

use crate::acme_tools::{DAY, HOUR, has_parts};
use crate::money_tools::{MULTI, balance, books_balance, buy, buyer, credit};
use crate::support::client::csr;
use crate::support::operator::Operator;
use crate::support::world::World;

const NAMES: [&str; 3] = ["shop.zone-one.cn", "mail.zone-two.cn", "zone-three.cn"];
const SECRET: &str = "shared with the provider";

/// Publishes what the messages ask for, as a program that gets them by webhook would.
async fn publish(world: &mut World) {
    for notice in world.messages().await.iter().filter(|notice| notice.event == "validation-required") {
        for line in notice.text.lines().filter_map(|line| line.strip_prefix("TXT record ")) {
            let (name, value) = line.split_once(" with the value ").unwrap();
            world.dns.txt(name, value);
        }
    }
}

/// The payment provider tells of a payment.
async fn pay(world: &World, event: &str, customer: &CustomerId, amount: &str) {
    let body = json!({ "event": event, "customer": customer, "amount": amount }).to_string();
    let at = world.now().as_secs();
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes()), format!("{at}.{body}").as_bytes());
    let digits: String = tag.as_ref().iter().map(|octet| format!("{octet:02x}")).collect();
    let request =
        axum::http::Request::post("/api/v1/payments").header("Chancery-Signature", format!("t={at},v1={digits}"));
    let answer = tower::ServiceExt::oneshot(world.router(), request.body(axum::body::Body::from(body)).unwrap()).await;
    assert_eq!(answer.unwrap().status(), 201);
}

async fn shown(caller: &Operator, purchase: &Value) -> Value {
    caller.get(&format!("/purchases/{}", purchase.as_str().unwrap())).await.expect(200).json()
}

/// Days that pass with somebody who publishes.
async fn days(world: &mut World, count: u32) {
    for _ in 0..count {
        world.pass(DAY - HOUR).await;
        publish(world).await;
        world.pass(HOUR).await;
    }
}

/// The certificate of a purchase, and its span.
async fn certificate(world: &World, purchase: &Value) -> (Serial, Timestamp, Timestamp) {
    let serial: Serial = purchase["orders"][0]["certificate"].as_str().unwrap().parse().unwrap();
    let found = world.ra().certificate_of(&serial).await.unwrap();
    (serial, found.not_before, found.not_after)
}

#[tokio::test]
async fn three_years_without_anybody_at_a_console() {
    let mut world = World::documented_with(|config| {
        let file = config.server.data_dir.with_file_name("webhook.secret");
        std::fs::write(&file, SECRET).unwrap();
        config.billing.webhook_secret_file = Some(file);
    })
    .await;
    let (customer, caller) = buyer(&world).await;

    // The first year: credited by the operator, bought, applied for by REST.
    credit(&world, &customer, "cash", "1000.00").await;
    let first = buy(&caller, MULTI, 3, json!({ "auto_renew": true, "project": "web" })).await;
    let request = pem::encode(&pem::Pem::new("CERTIFICATE REQUEST", csr(&NAMES).0));
    caller.post("/orders", &json!({ "product": MULTI, "identifiers": NAMES, "csr": request })).await;
    publish(&mut world).await;
    world.pass(HOUR).await;
    let first = shown(&caller, &first["id"]).await;
    assert_eq!((&first["state"], &first["orders"][0]["status"]), (&json!("issued"), &json!("issued")), "{first}");

    // The second: what is left does not cover it; the customer is told (BUY-07), and pays.
    let (old, _, end) = certificate(&world, &first).await;
    world.pass((end - DAY * 29).since(world.now())).await;
    days(&mut world, 2).await;
    assert!(shown(&caller, &first["id"]).await.get("follower").is_none());
    let told = world.messages().await;
    let skipped = told.iter().find(|notice| notice.event == "auto-renewal-skipped").unwrap();
    has_parts(&skipped.text, &["732.00 USD are needed", "268.00 USD", "464.00 USD are lacking"]);
    pay(&world, "evt_second_year", &customer, "500.00").await;
    days(&mut world, 2).await;
    let second = shown(&caller, &shown(&caller, &first["id"]).await["follower"]).await;
    assert_eq!(second["orders"][0]["status"], "issued", "{second}");
    assert_eq!((&second["project"], &second["payment"]["cash"]), (&json!("web"), &json!("732.00")));
    let (new, begin, second_end) = certificate(&world, &second).await;
    // VALIDITY-06, VALIDITY-02: the days that were left are on top, and the old one works on (RENEW-01).
    assert!(new != old && second_end > end + DAY * 360 && second_end.since(begin) <= DAY * 398);
    assert!(!world.ra().certificate_of(&old).await.unwrap().is_revoked());

    // The third: paid in advance, and nobody has to be told anything but to install it (VALIDITY-05).
    pay(&world, "evt_third_year", &customer, "700.00").await;
    world.pass((second_end - DAY * 29).since(world.now())).await;
    days(&mut world, 2).await;
    let third = shown(&caller, &shown(&caller, &second["id"]).await["follower"]).await;
    assert_eq!(third["orders"][0]["status"], "issued", "{third}");
    let told = world.messages().await;
    let events: BTreeSet<&str> = told.iter().map(|notice| notice.event.as_str()).collect();
    for event in
        ["balance-credited", "payment-received", "purchase-created", "validation-required", "certificate-renewed"]
    {
        assert!(events.contains(event), "{event}: {events:?}");
    }
    assert_eq!(told.iter().filter(|notice| notice.event == "certificate-renewed").count(), 2);
    assert_eq!(balance(&caller, &customer).await["cash"], "4.00");

    // Without auto-renewal it ends there.
    let path = format!("/purchases/{}/auto-renewal", third["id"].as_str().unwrap());
    caller.send("PUT", &path, &json!({ "enabled": false })).await.expect(200);
    let (_, _, third_end) = certificate(&world, &third).await;
    world.pass((third_end - DAY * 29).since(world.now())).await;
    days(&mut world, 31).await;
    let over = shown(&caller, &third["id"]).await;
    assert_eq!((&over["state"], over.get("follower")), (&json!("used-up"), None));
    let list = caller.get("/purchases").await.expect(200).json();
    assert_eq!(list["items"].as_array().unwrap().len(), 3);
    let books = books_balance(&world).await;
    assert_eq!((&books["accounts"]["revenue"], &books["accounts"]["outside"]), (&json!("2196.00"), &json!("-2200.00")));
}
