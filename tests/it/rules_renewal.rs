//! What follows a certificate: the window, the renewal by hand, and what the server does by itself (RENEW, BUY-07,
//! VALIDITY-04, VALIDITY-05).

use std::time::Duration;

use chancery::domain::audit::Act;
use chancery::domain::notice::Notice;
use chancery::domain::{CustomerId, PurchaseId, Serial};
use chancery::policy::succession;
use serde_json::{Value, json};

use crate::acme_tools::{DAY, has_parts};
use crate::money_tools::{MULTI, WILDCARD, balance, books_balance, buy, buyer, credit, order_to, refusal};
use crate::rules_tools::{of, place};
use crate::support::client::{Client, csr};
use crate::support::operator::Operator;
use crate::support::world::World;

const NAMES: [&str; 1] = ["shop.zone-one.cn"];

/// A certificate of what was bought, by an ACME client: its serial.
async fn certificate(world: &World, client: &Client, names: &[&str]) -> Serial {
    let (order, _) = world.certificate(client, names).await;
    order["certificate"].as_str().unwrap().rsplit('/').next().unwrap().parse().unwrap()
}

/// To so many days before the end of a certificate.
async fn days_before_end(world: &World, serial: &Serial, days: u32) {
    let end = world.ra().certificate_of(serial).await.unwrap().not_after;
    world.pass((end - DAY * days).since(world.now())).await;
}

async fn renew(caller: &Operator, serial: &Serial, asked: Value) -> crate::support::client::Response {
    caller.send("POST", &format!("/certificates/{serial}/renewals"), &asked).await
}

async fn purchase(world: &World, id: &Value) -> Value {
    Operator::of(world).get(&format!("/purchases/{}", id.as_str().unwrap())).await.expect(200).json()
}

fn events<'a>(told: &'a [Notice], event: &str) -> Vec<&'a Notice> {
    told.iter().filter(|notice| notice.event == event).collect()
}

/// The customer sees to what the server needs: with an ACME client's account every file is served already.
async fn look_around(world: &World) {
    for _ in 0..3 {
        world.pass(Duration::from_secs(3600)).await;
    }
}

#[tokio::test]
async fn a_renewal_opens_thirty_days_before_the_end() {
    let world = World::documented().await;
    let (customer, caller) = buyer(&world).await;
    let client = world.client_of(&customer).await;
    world.buy(&customer, MULTI, 1, 1).await;
    let paid = certificate(&world, &client, &NAMES).await;
    let free = certificate(&world, &client, &["home.zone-two.cn"]).await;
    for (serial, parts) in [(&paid, ["Renewal opens on", "RENEW-02"]), (&free, ["Reapplication opens on", "RENEW-03"])]
    {
        has_parts(&refusal(&renew(&caller, serial, json!({ "confirm": true })).await, 409), &parts);
    }
    days_before_end(&world, &free, 29).await;
    // RENEW-10, RENEW-11: a new certificate, free of charge, validated anew.
    let made =
        renew(&caller, &free, json!({ "confirm": true, "csr": pem(&["home.zone-two.cn"]) })).await.expect(201).json();
    has_parts(
        made["next"].as_str().unwrap(),
        &["not renewed in the strict sense", "validated anew", "RENEW-10", "RENEW-11"],
    );
    assert!(made.get("purchase").is_none());
    let (_, stranger) = buyer(&world).await;
    renew(&stranger, &paid, json!({ "confirm": true })).await.expect(404);
    renew(&caller, &Serial::random(), json!({ "confirm": true })).await.expect(404);
}

fn pem(names: &[&str]) -> String {
    pem::encode(&pem::Pem::new("CERTIFICATE REQUEST", csr(names).0))
}

#[tokio::test]
async fn a_renewal_takes_the_data_over_and_only_needs_confirmation_and_payment() {
    let mut world = World::documented().await;
    let (customer, caller) = buyer(&world).await;
    let client = world.client_of(&customer).await;
    credit(&world, &customer, "cash", "1000.00").await;
    let first = buy(&caller, MULTI, 1, json!({ "tags": ["shop"] })).await;
    let old = certificate(&world, &client, &NAMES).await;
    days_before_end(&world, &old, 20).await;
    // RENEW-05: told what is taken over, and what it costs.
    let told = refusal(&renew(&caller, &old, json!({})).await, 403);
    has_parts(&told, &["Confirm the data", "shop.zone-one.cn", "732.00 USD", "RENEW-05"]);
    has_parts(
        &refusal(&renew(&caller, &old, json!({ "confirm": true })).await, 403),
        &["too low", "732.00 USD are needed"],
    );
    credit(&world, &customer, "cash", "464.00").await;
    let made = renew(&caller, &old, json!({ "confirm": true })).await.expect(201).json();
    // RENEW-06, RENEW-08
    assert_eq!(made["steps"], json!(["confirm", "csr", "period", "payment", "purchase"]), "RENEW-06");
    has_parts(made["next"].as_str().unwrap(), &["Pending validation", "RENEW-08"]);
    // RENEW-01, RENEW-12, RENEW-13, RENEW-14, VALIDITY-05
    let advice = made["advice"].to_string();
    has_parts(
        &advice,
        &["3 to 10 business days", "RENEW-12", "keeps working until it ends", "RENEW-01", "VALIDITY-05"],
    );
    has_parts(
        &advice,
        &["reviewed and issued on its own", "RENEW-13", "by encryption standard and type of server", "RENEW-14"],
    );
    assert_eq!(balance(&caller, &customer).await["cash"], "0.00");
    let follower = purchase(&world, &made["purchase"]).await;
    assert_eq!(
        (&follower["tags"], &purchase(&world, &first["id"]).await["follower"]),
        (&json!(["shop"]), &made["purchase"])
    );
    let again = refusal(&renew(&caller, &old, json!({ "confirm": true })).await, 409);
    has_parts(&again, &["already"]);
    look_around(&world).await;
    let order = caller.get(&format!("/orders/{}", made["order"].as_str().unwrap())).await.expect(200).json();
    assert_eq!((&order["status"], &order["purpose"]), (&json!("issued"), &json!("renewal")), "{order}");
    // RENEW-01: the old one works until it ends.
    let kept = world.ra().certificate_of(&old).await.unwrap();
    assert!(!kept.is_revoked() && world.now() < kept.not_after);
    let told = world.messages().await;
    let install = events(&told, "certificate-renewed");
    assert_eq!(install.len(), 1);
    has_parts(&install[0].text, &["must be installed in its place", "VALIDITY-05", &old.to_string()]);
    books_balance(&world).await;
}

#[tokio::test]
async fn the_next_year_of_a_purchase_is_applied_for_by_the_server() {
    let mut world = World::documented().await;
    let (customer, caller) = buyer(&world).await;
    let client = world.client_of(&customer).await;
    let made = world.buy(&customer, WILDCARD, 1, 2).await;
    let old = certificate(&world, &client, &["*.zone-one.cn"]).await;
    days_before_end(&world, &old, 31).await;
    assert_eq!(purchase(&world, &json!(made.id)).await["orders"].as_array().unwrap().len(), 1);
    days_before_end(&world, &old, 29).await;
    // VALIDITY-04: applied for, and the customer is told what to publish.
    let shown = purchase(&world, &json!(made.id)).await;
    assert_eq!((&shown["state"], &shown["orders"][1]["status"]), (&json!("in-use"), &json!("pending-validation")));
    let order = shown["orders"][1]["order"].as_str().unwrap().to_owned();
    let told = world.messages().await;
    let wanted = events(&told, "validation-required");
    assert!(wanted.iter().any(|notice| notice.text.contains("TXT record _acme-challenge.zone-one.cn")), "{wanted:?}");
    // By hand it can't be begun a second time.
    has_parts(&refusal(&renew(&caller, &old, json!({ "confirm": true })).await, 409), &["applied for already"]);
    // Nobody publishes anything for three days: it fails, is told, and is applied for again.
    for _ in 0..5 {
        world.pass(DAY).await;
    }
    let told = world.messages().await;
    let failed = events(&told, "renewal-failed");
    assert_eq!(failed.len(), 1, "VALIDITY-04");
    has_parts(&failed[0].text, &["VALIDITY-04", "ends at"]);
    let shown = purchase(&world, &json!(made.id)).await;
    let second = shown["orders"][1]["order"].as_str().unwrap();
    assert_ne!(second, order);
    let records = caller.get(&format!("/orders/{second}/validation-records")).await.expect(200).json();
    world.dns.txt("_acme-challenge.zone-one.cn", records["records"][0]["value"].as_str().unwrap());
    look_around(&world).await;
    let shown = purchase(&world, &json!(made.id)).await;
    assert_eq!(shown["orders"][1]["status"], "issued", "{shown}");
    // Nothing more comes of it.
    for _ in 0..40 {
        world.pass(DAY).await;
    }
    assert_eq!(purchase(&world, &json!(made.id)).await["orders"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn a_client_that_has_renewed_is_left_alone() {
    let mut world = World::documented().await;
    let (customer, _) = buyer(&world).await;
    let client = world.client_of(&customer).await;
    credit(&world, &customer, "cash", "5000.00").await;
    let made = Operator::of(&world)
        .post(
            "/purchases",
            &json!({ "customer": customer, "product": WILDCARD, "names": 1, "years": 2, "auto_renew": true }),
        )
        .await;
    let old = certificate(&world, &client, &["*.zone-one.cn"]).await;
    // Midnight passes between the client's renewal and the server's look.
    let end = world.ra().certificate_of(&old).await.unwrap().not_after;
    world.clock.advance((end - DAY * 30).since(world.now()));
    certificate(&world, &client, &["*.zone-one.cn"]).await;
    for _ in 0..32 {
        world.pass(DAY).await;
    }
    let shown = purchase(&world, &made["id"]).await;
    assert_eq!(shown["orders"].as_array().unwrap().len(), 2);
    assert!(shown.get("follower").is_none());
    let told = world.messages().await;
    assert!(events(&told, "renewal-failed").is_empty() && events(&told, "auto-renewal-skipped").is_empty());
}

#[tokio::test]
async fn auto_renewal_runs_only_with_enough_balance() {
    let mut world = World::documented().await;
    let (customer, caller) = buyer(&world).await;
    let client = world.client_of(&customer).await;
    credit(&world, &customer, "cash", "1463.99").await;
    let made = buy(&caller, MULTI, 1, json!({})).await;
    let path = format!("/purchases/{}/auto-renewal", made["id"].as_str().unwrap());
    assert_eq!(caller.send("PUT", &path, &json!({ "enabled": true })).await.expect(200).json()["auto_renew"], true);
    let (_, stranger) = buyer(&world).await;
    stranger.send("PUT", &path, &json!({ "enabled": false })).await.expect(404);
    let old = certificate(&world, &client, &NAMES).await;
    days_before_end(&world, &old, 29).await;
    for _ in 0..8 {
        world.pass(DAY).await;
    }
    // BUY-07: with the amounts; told on the first day, and again after a week.
    let told = world.messages().await;
    let skipped = events(&told, "auto-renewal-skipped");
    assert_eq!(skipped.len(), 2, "{skipped:?}");
    assert_eq!(skipped[0].subject, "Auto-renewal skipped: balance too low");
    has_parts(
        &skipped[0].text,
        &["732.00 USD are needed", "731.99 USD", "0.01 USD are lacking", "every day", "BUY-07"],
    );
    assert_eq!(balance(&caller, &customer).await["cash"], "731.99");
    // Once it covers the price, it goes on.
    credit(&world, &customer, "gift", "0.01").await;
    world.pass(DAY).await;
    look_around(&world).await;
    let follower = purchase(&world, &made["id"]).await["follower"].clone();
    let follower = purchase(&world, &follower).await;
    assert_eq!(
        (&follower["orders"][0]["status"], &follower["auto_renew"]),
        (&json!("issued"), &json!(true)),
        "{follower}"
    );
    assert_eq!(follower["payment"]["gift"], "0.01");
    assert_eq!(balance(&caller, &customer).await["cash"], "0.00");
    for _ in 0..25 {
        world.pass(DAY).await;
    }
    let list = caller.get("/purchases").await.expect(200).json();
    assert_eq!(list["items"].as_array().unwrap().len(), 2, "bought once");
    books_balance(&world).await;
}

#[tokio::test]
async fn auto_renewal_that_is_switched_on_late_still_runs() {
    let world = World::documented().await;
    let (customer, caller) = buyer(&world).await;
    let client = world.client_of(&customer).await;
    credit(&world, &customer, "cash", "1464.00").await;
    let made = buy(&caller, MULTI, 1, json!({})).await;
    let old = certificate(&world, &client, &NAMES).await;
    let path = format!("/purchases/{}/auto-renewal", made["id"].as_str().unwrap());
    // Long before the end it changes nothing yet.
    caller.send("PUT", &path, &json!({ "enabled": true })).await.expect(200);
    caller.send("PUT", &path, &json!({ "enabled": false })).await.expect(200);
    world.pass(DAY).await;
    assert_eq!(balance(&caller, &customer).await["cash"], "732.00");
    days_before_end(&world, &old, 20).await;
    assert_eq!(balance(&caller, &customer).await["cash"], "732.00");
    caller.send("PUT", &path, &json!({ "enabled": true })).await.expect(200);
    look_around(&world).await;
    assert_eq!(balance(&caller, &customer).await["cash"], "0.00");
    assert!(purchase(&world, &made["id"]).await["follower"].is_string());
}

#[tokio::test]
async fn without_auto_renewal_nothing_is_bought() {
    let mut world = World::documented().await;
    let (customer, caller) = buyer(&world).await;
    let client = world.client_of(&customer).await;
    credit(&world, &customer, "cash", "5000.00").await;
    buy(&caller, MULTI, 1, json!({})).await;
    let old = certificate(&world, &client, &NAMES).await;
    days_before_end(&world, &old, 29).await;
    for _ in 0..31 {
        world.pass(DAY).await;
    }
    assert_eq!(balance(&caller, &customer).await["cash"], "4268.00");
    assert!(events(&world.messages().await, "auto-renewal-skipped").is_empty());
    let over = refusal(&renew(&caller, &old, json!({ "confirm": true })).await, 409);
    has_parts(&over, &["has ended or was revoked"]);
}

#[tokio::test]
async fn a_renewal_survives_a_restart_between_its_steps() {
    let mut world = World::documented().await;
    let (customer, caller) = buyer(&world).await;
    let client = world.client_of(&customer).await;
    credit(&world, &customer, "cash", "1464.00").await;
    let made = buy(&caller, MULTI, 1, json!({ "auto_renew": true })).await;
    let old = certificate(&world, &client, &NAMES).await;
    world.restart().await;
    days_before_end(&world, &old, 29).await;
    world.restart().await;
    look_around(&world).await;
    let follower: PurchaseId = purchase(&world, &made["id"]).await["follower"].as_str().unwrap().parse().unwrap();
    assert_eq!(purchase(&world, &json!(follower)).await["orders"][0]["status"], "issued");
    assert_eq!(balance(&caller, &customer).await["cash"], "0.00");
    let _: CustomerId = customer;
}

#[tokio::test]
async fn what_comes_after_a_renewal_depends_on_brand_and_type() {
    let world = World::documented().await;
    let catalog = world.ra().catalog();
    for (rule, product, parts) in [
        ("RENEW-07", "geotrust-ov-single", ["upload the confirmation letter", "RENEW-07"]),
        ("RENEW-07", "securesite-ev-single", ["upload the confirmation letter", "RENEW-07"]),
        ("RENEW-08", "trustasia-dv-multi", ["Pending validation", "RENEW-08"]),
        ("RENEW-09", "wotrus-ov", ["no new confirmation letter", "RENEW-09"]),
        ("RENEW-09", "dnspod-sm-ov", ["no new confirmation letter", "RENEW-09"]),
        ("RENEW-10", "trustasia-dv-free", ["free of charge", "RENEW-10"]),
    ] {
        let product = catalog.product(product).unwrap_or_else(|| panic!("{rule}: {product}"));
        has_parts(succession::next(&catalog, product), &parts);
    }
}

#[tokio::test]
async fn a_follower_that_was_given_back_is_not_bought_again() {
    let world = World::documented().await;
    let (customer, caller) = buyer(&world).await;
    let client = world.client_of(&customer).await;
    credit(&world, &customer, "cash", "5000.00").await;
    let made = buy(&caller, WILDCARD, 1, json!({ "auto_renew": true })).await;
    let old = certificate(&world, &client, &["*.zone-one.cn"]).await;
    days_before_end(&world, &old, 29).await;
    let follower = purchase(&world, &made["id"]).await["follower"].as_str().unwrap().to_owned();
    assert_eq!(balance(&caller, &customer).await["cash"], "4402.00");
    order_to(&caller, &format!("/purchases/{follower}/cancellation")).await.expect(200);
    caller.post(&format!("/purchases/{follower}/refunds"), &json!({ "consent": true })).await;
    for _ in 0..5 {
        world.pass(DAY).await;
    }
    assert_eq!(balance(&caller, &customer).await["cash"], "4701.00", "BUY-07");
    let by_hand = refusal(&renew(&caller, &old, json!({ "confirm": true })).await, 409);
    has_parts(&by_hand, &["canceled or refunded", "Buy anew"]);
    assert_eq!(balance(&caller, &customer).await["cash"], "4701.00");
    books_balance(&world).await;
}

#[tokio::test]
async fn two_that_renew_at_once_buy_once() {
    let world = World::documented().await;
    let (customer, caller) = buyer(&world).await;
    let client = world.client_of(&customer).await;
    credit(&world, &customer, "cash", "5000.00").await;
    buy(&caller, MULTI, 1, json!({})).await;
    let old = certificate(&world, &client, &NAMES).await;
    days_before_end(&world, &old, 20).await;
    let one = || renew(&caller, &old, json!({ "confirm": true }));
    let (a, b, c) = tokio::join!(one(), one(), one());
    assert!([&a, &b, &c].iter().any(|answer| answer.status == 201), "{a} {b} {c}");
    assert!([&a, &b, &c].iter().all(|answer| [201, 409].contains(&answer.status.as_u16())), "{a} {b} {c}");
    assert_eq!(balance(&caller, &customer).await["cash"], "3536.00", "RENEW-06");
    books_balance(&world).await;
}

#[tokio::test]
async fn a_csr_that_could_not_be_finalized_costs_nothing() {
    for (rule, change, asked, part) in [
        ("CSR-12", "csr_reuse_on_auto_renew = true", json!({ "confirm": true, "csr": pem(&["other.cn"]) }), "CSR-12"),
        ("RENEW-06", "csr_reuse_on_auto_renew = false", json!({ "confirm": true }), "renew with a new CSR"),
    ] {
        let mut world = World::documented_but(&[("csr_reuse_on_auto_renew = true", change)]).await;
        let (customer, caller) = buyer(&world).await;
        let client = world.client_of(&customer).await;
        credit(&world, &customer, "cash", "5000.00").await;
        let made = buy(&caller, MULTI, 1, json!({})).await;
        let old = certificate(&world, &client, &NAMES).await;
        days_before_end(&world, &old, 20).await;
        has_parts(&refusal(&renew(&caller, &old, asked).await, 400), &[part]);
        assert_eq!(balance(&caller, &customer).await["cash"], "4268.00", "{rule}");
        let path = format!("/purchases/{}/auto-renewal", made["id"].as_str().unwrap());
        caller.send("PUT", &path, &json!({ "enabled": true })).await.expect(200);
        world.pass(DAY).await;
        let bought = balance(&caller, &customer).await["cash"] == "3536.00";
        assert_eq!(bought, rule == "CSR-12", "{rule}: by itself it is renewed with the old CSR, if that may be");
        assert_eq!(events(&world.messages().await, "renewal-failed").is_empty(), bought, "{rule}");
    }
}

#[tokio::test]
async fn auto_renewal_that_is_switched_to_and_fro_looks_once_a_day() {
    let mut world = World::documented().await;
    let (customer, caller) = buyer(&world).await;
    let client = world.client_of(&customer).await;
    credit(&world, &customer, "cash", "732.00").await;
    let made = buy(&caller, MULTI, 1, json!({ "auto_renew": true })).await;
    let old = certificate(&world, &client, &NAMES).await;
    days_before_end(&world, &old, 25).await;
    let path = format!("/purchases/{}/auto-renewal", made["id"].as_str().unwrap());
    for enabled in [false, true, false, true] {
        caller.send("PUT", &path, &json!({ "enabled": enabled })).await.expect(200);
        world.pass(Duration::from_secs(60)).await;
    }
    let looks = async |world: &mut World| {
        let acts = world.audit().await;
        acts.iter().filter(|act| matches!(act, Act::RenewalLookedAt { .. })).count()
    };
    let before = looks(&mut world).await;
    for _ in 0..4 {
        world.pass(DAY).await;
    }
    assert_eq!(looks(&mut world).await - before, 4, "BUY-07");
    // Switched off it is still looked at, so that switching it on late needs nothing more.
    caller.send("PUT", &path, &json!({ "enabled": false })).await.expect(200);
    world.pass(DAY).await;
    assert_eq!(looks(&mut world).await - before, 5);
}

#[tokio::test]
async fn what_a_customer_ordered_by_rest_does_not_give_way() {
    let world = World::documented().await;
    let (customer, caller) = buyer(&world).await;
    let client = world.client_of(&customer).await;
    world.buy(&customer, MULTI, 1, 1).await;
    let asked = json!({ "product": MULTI, "identifiers": NAMES, "csr": pem(&NAMES) });
    let order = caller.post("/orders", &asked).await["id"].as_str().unwrap().to_owned();
    let refused = place(&client, &NAMES, of(MULTI)).await;
    has_parts(&refused.expect_problem(429, "rateLimited"), &["used by order", &order]);
    let kept = caller.get(&format!("/orders/{order}")).await.expect(200).json();
    assert_eq!(kept["status"], "pending-validation", "VALIDITY-04");
}
