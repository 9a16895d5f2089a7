//! The rules of notifications and reminders, through issuance, the clock, spool and webhooks.

use std::time::Duration;

use chancery::domain::CustomerId;
use chancery::domain::Timestamp;
use chancery::domain::customer::CustomerKind;
use serde_json::{Value, json};

use crate::notices_tools::{DAY, centre, customer, email, events, heard, rest_of, subjects, subscribe, webhook, world};
use crate::rules_tools::{Issued, issue, place};
use crate::support::mailbox::Receiver;
use crate::support::operator::Operator;
use crate::support::world::World;

const HOUR: Duration = Duration::from_secs(3600);

/// Moves the clock to a moment.
async fn go_to(world: &World, moment: Timestamp) {
    world.pass(moment.since(world.now())).await;
}

/// A free certificate of a customer.
async fn free(world: &World, customer: &CustomerId) -> Issued {
    issue(world, &world.client_of(customer).await, &["www.harbour.net"], json!({})).await
}

fn text(notice: &Value) -> &str {
    notice["text"].as_str().unwrap()
}

/// RENEW-04, NOTIFY-05, X-30: the reminder goes out on the day after the window opens.
#[tokio::test]
async fn renewal_is_told_30_days_before_the_end_again_the_next_day_and_at_the_end() {
    let world = world().await;
    let (id, rest) = customer(&world).await;
    let certificate = free(&world, &id).await;
    let opens = certificate.last - 30 * DAY;
    for (moment, told) in [
        (opens - 2 * HOUR, &[][..]),
        (opens + HOUR, &["renewal-open"]),
        (opens + DAY - 2 * HOUR, &["renewal-open"]),
        (opens + DAY + HOUR, &["renewal-reminder", "renewal-open"]),
        (opens + 20 * DAY, &["renewal-reminder", "renewal-open"]),
        (certificate.last + HOUR, &["certificate-ended", "renewal-reminder", "renewal-open"]),
        (certificate.last + 5 * DAY, &["certificate-ended", "renewal-reminder", "renewal-open"]),
    ] {
        go_to(&world, moment).await;
        assert_eq!(events(&rest, "expiry").await, told, "{moment}");
    }
}

/// FAQ-06, RENEW-01, RENEW-10, RENEW-14, VALIDITY-05
#[tokio::test]
async fn the_reminder_says_what_happens_and_what_to_do() {
    let world = world().await;
    let (id, rest) = customer(&world).await;
    let certificate = free(&world, &id).await;
    go_to(&world, certificate.last - 29 * DAY + HOUR).await;
    let told = &centre(&rest, "expiry").await[0];
    assert_eq!(told["event"], "renewal-reminder");
    for (rule, words) in [
        ("FAQ-06", "browsers warn visitors, data may be exposed, the service is interrupted"),
        ("FAQ-06", "ranks lower in searches"),
        ("RENEW-01", "A renewal is a new certificate"),
        ("RENEW-04", "Do so now"),
        ("RENEW-10", "apply for a new one, free of charge"),
        ("RENEW-14", "encryption standard and on your server's type"),
        ("VALIDITY-05", "Install it in place of the old one"),
        ("X-31", "keeps working until it ends"),
    ] {
        assert!(text(told).contains(words), "{rule}: {}", text(told));
    }
}

/// RENEW-12, RENEW-13
#[tokio::test]
async fn the_reminder_of_a_paid_certificate_speaks_of_the_order_and_its_time() {
    let world = world().await;
    let (id, rest) = customer(&world).await;
    world.buy(&id, "trustasia-dv-multi", 2, 1).await;
    let client = world.client_of(&id).await;
    let names = ["a.harbour.net", "b.harbour.net"];
    let paid = issue(&world, &client, &names, json!({ "profile": "trustasia-dv-multi" })).await;
    go_to(&world, paid.last - 29 * DAY + HOUR).await;
    let told = &centre(&rest, "expiry").await[0];
    assert!(text(told).contains("at the latest 3 to 10 business days before it ends"), "{}", text(told));
    assert!(text(told).contains("submitted for review, issued and deployed anew"), "{}", text(told));
}

/// NOTIFY-03: by e-mail and SMS only with both of them selected; the message centre has them all.
#[tokio::test]
async fn without_both_subscriptions_nothing_is_sent_about_expiry() {
    for (ssl, product, sent) in [(false, false, 0), (true, false, 0), (false, true, 0), (true, true, 2)] {
        let (world, receiver) = (world().await, Receiver::start().await);
        let (id, rest) = customer(&world).await;
        email(&rest, "one@harbour.net").await;
        let sms = json!({ "kind": "sms-gateway", "name": "Phone", "number": "+8613800000000", "url": receiver.url() });
        rest.post("/channels", &sms).await;
        let wanted = json!({
            "ssl_certificate_notifications": ssl,
            "product_service_notifications": product,
            "topics": ["expiry"],
        });
        let shown = rest.send("PUT", "/subscriptions", &wanted).await.expect(200).json();
        let unsubscribed = shown["expiry"].as_str().unwrap().starts_with("You are not subscribed");
        assert_eq!(unsubscribed, sent == 0, "{shown}");
        let certificate = free(&world, &id).await;
        go_to(&world, certificate.last - 30 * DAY + HOUR).await;
        go_to(&world, certificate.last - 29 * DAY + HOUR).await;
        assert_eq!(centre(&rest, "expiry").await.len(), 2);
        assert_eq!((subjects(&world).len(), receiver.calls().len()), (sent, sent), "{ssl} {product}");
    }
}

/// REVIEW-13: results of a free application are told by SMS, e-mail and in-site message.
#[tokio::test]
async fn results_of_a_free_application_are_told_on_every_way() {
    let (world, receiver) = (world().await, Receiver::start().await);
    let (id, rest) = customer(&world).await;
    email(&rest, "one@harbour.net").await;
    let sms = json!({ "kind": "sms-gateway", "name": "Phone", "number": "+8613800000000", "url": receiver.url() });
    rest.post("/channels", &sms).await;
    let certificate = free(&world, &id).await;
    world.pass(Duration::ZERO).await;
    let subject = "The certificate for www.harbour.net was issued";
    assert_eq!(subjects(&world), [subject]);
    assert_eq!(receiver.calls()[0].json()["text"], subject);
    let told = &centre(&rest, "issue").await[0];
    assert_eq!((&told["event"], &told["subject"]), (&json!("certificate-issued"), &json!(subject)));
    assert!(certificate.der.len() > 100 && told["certificate"].as_str().unwrap().len() == 40);

    // And one that fails: CAA forbids it between validation and issuance, eight hours later.
    let client = world.client_of(&id).await;
    let (_, order) = world.ready_order(&client, &["other.harbour.net"]).await;
    world.dns.caa("other.harbour.net", 0, "issue", "other.test");
    world.pass(9 * HOUR).await;
    client.finalize(&order, &crate::support::client::csr(&["other.harbour.net"]).0).await.expect(200);
    world.pass(Duration::ZERO).await;
    let told = &centre(&rest, "issue").await[0];
    assert_eq!(told["event"], "issuance-failed", "{told}");
    assert!(text(told).contains("Then place a new order"), "{}", text(told));
    assert_eq!(subjects(&world).len(), 2);
}

/// REVIEW-12: the status follows later; nothing is to be done.
#[tokio::test]
async fn a_customer_is_told_to_show_control_that_it_failed_and_that_time_is_over() {
    let world = world().await;
    let (id, rest) = customer(&world).await;
    let client = world.client_of(&id).await;
    place(&client, &["www.harbour.net"], json!({})).await.expect(201);
    let told = &centre(&rest, "validation").await[0];
    assert_eq!(told["event"], "validation-required");
    assert!(text(told).contains("status follows with a delay"), "REVIEW-12, DIAG-26: {}", text(told));
    // VAL-13, DIAG-12
    world.pass(4 * DAY).await;
    let told = &centre(&rest, "validation").await[0];
    assert_eq!(told["event"], "validation-timed-out");
    assert!(text(told).contains("No record within 3 days"), "{}", text(told));

    let placed = place(&client, &["bad.harbour.net"], json!({})).await.expect(201);
    let authz = &client.authorizations(&placed.json()).await[0];
    world.pass(Duration::from_secs(1)).await;
    world.web.serve_any("nothing of the kind");
    client.respond(&crate::support::client::challenge(authz, "http-01")).await.ok();
    world.pass(HOUR).await;
    let told = &centre(&rest, "validation").await[0];
    assert_eq!(told["event"], "validation-failed", "{told}");
    // What was met in time is not told to be late.
    free(&world, &id).await;
    world.pass(4 * DAY).await;
    let late = events(&rest, "validation").await.iter().filter(|event| *event == "validation-timed-out").count();
    assert_eq!(late, 1);
}

#[tokio::test]
async fn a_certificate_that_was_renewed_or_revoked_is_no_longer_spoken_of() {
    let world = world().await;
    let (id, rest) = customer(&world).await;
    let client = world.client_of(&id).await;
    let renewed = issue(&world, &client, &["a.harbour.net", "www.a.harbour.net"][..1], json!({})).await;
    let revoked = issue(&world, &client, &["b.harbour.net"], json!({})).await;
    client.revoke(&revoked.der, None).await.expect(200);
    go_to(&world, renewed.last - 40 * DAY).await;
    // A new application without a word about the old certificate (RENEW-10).
    let newer = issue(&world, &world.client_of(&id).await, &["a.harbour.net"], json!({})).await;
    go_to(&world, renewed.last - 20 * DAY).await;
    go_to(&world, renewed.last + HOUR).await;
    assert_eq!(events(&rest, "expiry").await, [""; 0]);
    go_to(&world, newer.last - 20 * DAY).await;
    assert_eq!(events(&rest, "expiry").await, ["renewal-reminder"]);
}

/// Accounts without a customer have nobody to tell.
#[tokio::test]
async fn nobody_is_told_of_certificates_of_accounts_without_a_customer() {
    let mut world = world().await;
    let certificate = issue(&world, &world.client().await, &["www.harbour.net"], json!({})).await;
    go_to(&world, certificate.last - 20 * DAY).await;
    go_to(&world, certificate.last + HOUR).await;
    let told = world.audit().await.into_iter().any(|act| {
        use chancery::domain::audit::Act;
        matches!(act, Act::NoticeSent { .. } | Act::ExpiryTold { .. })
    });
    assert!(!told);
}

async fn alarm(rest: &Operator, channel: &Value, days: u32, interval_days: u32, objects: Option<Value>) -> Value {
    let template = json!({ "name": "Staff", "recipients": [channel["id"]] });
    let template = rest.post("/notification-templates", &template).await;
    let mut asked = json!({
        "name": "Ends",
        "policy_type": "expiration-time",
        "days": days,
        "interval_days": interval_days,
        "template": template["id"],
    });
    if let Some(objects) = objects {
        asked["objects"] = objects;
    }
    rest.post("/alarm-policies", &asked).await
}

/// NOTIFY-07, NOTIFY-11: days and interval are free to choose; a webhook may set further automation in motion. What the
/// subscription says does not matter: the template names the recipients.
#[tokio::test]
async fn an_alarm_is_raised_once_for_each_interval() {
    let (world, receiver) = (world().await, Receiver::start().await);
    let (id, rest) = customer(&world).await;
    let certificate = free(&world, &id).await;
    world.pass(Duration::ZERO).await;
    let channel = webhook(&rest, &receiver).await;
    alarm(&rest, &channel, 10, 3, None).await;
    for (days_left, raised) in [(11, 0), (10, 1), (9, 1), (8, 1), (7, 2), (5, 2), (4, 3), (3, 3), (1, 4), (0, 4)] {
        go_to(&world, certificate.last - days_left * DAY + HOUR / 2).await;
        world.pass(Duration::ZERO).await;
        assert_eq!(heard(&receiver), vec!["expiry-alarm"; raised], "{days_left} days left");
    }
    assert!(receiver.calls()[0].json()["subject"].as_str().unwrap().starts_with("9 days left"));
}

/// NOTIFY-08: fewer than 30 days left, one message only.
#[tokio::test]
async fn the_sample_policy_sends_one_message() {
    let (world, receiver) = (world().await, Receiver::start().await);
    let (id, rest) = customer(&world).await;
    let certificate = free(&world, &id).await;
    world.pass(Duration::ZERO).await;
    let channel = webhook(&rest, &receiver).await;
    let template = json!({ "name": "Staff", "recipients": [channel["id"]] });
    rest.post("/notification-templates", &template).await;
    let mut proposal = rest.get("/alarm-policies/proposal").await.expect(200).json();
    assert_eq!((&proposal["days"], &proposal["interval_days"]), (&json!(30), &json!(0)));
    assert!(proposal["remark"].as_str().unwrap().contains("static threshold"), "{proposal}");
    assert!(proposal["id"].is_null());
    proposal.as_object_mut().unwrap().remove("customer");
    rest.post("/alarm-policies", &proposal).await;
    for days_left in [31, 30, 29, 20, 10, 1] {
        go_to(&world, certificate.last - days_left * DAY + HOUR / 2).await;
    }
    assert_eq!(heard(&receiver), ["expiry-alarm"]);
}

/// NOTIFY-09: a policy may be for certain certificates, those of the customer.
#[tokio::test]
async fn an_alarm_is_raised_for_the_objects_of_its_policy_alone() {
    let (world, receiver) = (world().await, Receiver::start().await);
    let (id, rest) = customer(&world).await;
    let client = world.client_of(&id).await;
    let one = issue(&world, &client, &["one.harbour.net"], json!({})).await;
    let serial = centre(&rest, "issue").await[0]["certificate"].clone();
    issue(&world, &client, &["two.harbour.net"], json!({})).await;
    world.pass(Duration::ZERO).await;
    let channel = webhook(&rest, &receiver).await;
    alarm(&rest, &channel, 10, 0, Some(json!([serial]))).await;
    go_to(&world, one.last - 5 * DAY).await;
    assert_eq!(heard(&receiver), ["expiry-alarm"]);
    assert_eq!(receiver.calls()[0].json()["certificate"], serial);

    let stranger = rest_of(&world, &world.silent_customer(CustomerKind::Individual).await).await;
    let channel = email(&stranger, "other@harbour.net").await;
    let template = json!({ "name": "Staff", "recipients": [channel["id"]] });
    let template = stranger.post("/notification-templates", &template).await;
    let asked = json!({
        "name": "Ends", "policy_type": "expiration-time", "days": 5, "objects": [serial], "template": template["id"],
    });
    stranger.send("POST", "/alarm-policies", &asked).await.expect(404);
}

/// NOTIFY-10
#[tokio::test]
async fn without_a_template_one_is_to_be_created_first() {
    let world = world().await;
    let (_, rest) = customer(&world).await;
    let asked = json!({ "name": "Ends", "policy_type": "expiration-time", "days": 30 });
    let told = rest.send("POST", "/alarm-policies", &asked).await.expect(400).json();
    assert!(told["detail"].as_str().unwrap().starts_with("Create a template first"), "{told}");
}

#[tokio::test]
async fn a_quota_that_runs_out_is_told_once_a_day() {
    let world = World::documented_but(&[]).await;
    let (id, rest) = customer(&world).await;
    subscribe(&rest).await;
    let client = world.client_of(&id).await;
    let mut placed = 0;
    while events(&rest, "quota").await.is_empty() {
        place(&client, &[&format!("n{placed}.harbour.net")], json!({})).await.expect(201);
        placed += 1;
        assert!(placed < 1_000, "no quota is nearly used up");
    }
    assert_eq!(events(&rest, "quota").await, ["quota-nearly-used-up"]);
    loop {
        assert!(placed < 1_000, "no quota is used up");
        let answer = place(&client, &[&format!("n{placed}.harbour.net")], json!({})).await;
        if answer.status == 429 {
            break;
        }
        world.pass(Duration::from_secs(1)).await;
        placed += 1;
    }
    assert_eq!(events(&rest, "quota").await, ["quota-used-up", "quota-nearly-used-up"], "after {placed}");
    place(&client, &["again.harbour.net"], json!({})).await.expect(429);
    assert_eq!(events(&rest, "quota").await.len(), 2, "not more than once a day");
    world.pass(DAY).await;
    place(&client, &["again.harbour.net"], json!({})).await.expect(429);
    assert_eq!(events(&rest, "quota").await.len(), 3);
}
