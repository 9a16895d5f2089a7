//! A customer who is warned of certificates that end, over weeks, on every way.

use std::time::Duration;

use serde_json::json;

use crate::notices_tools::{
    DAY, centre, customer, email, events, heard, spool, subjects, subscribe, uploaded, webhook, world,
};
use crate::rules_tools::issue;
use crate::support::mailbox::Receiver;

#[tokio::test]
async fn a_shop_learns_in_time_that_its_certificate_ends_renews_it_and_hears_no_more_of_it() {
    let (mut world, receiver) = (world().await, Receiver::start().await);
    let (id, rest) = customer(&world).await;

    // The staff reads e-mail, and a program of theirs listens.
    email(&rest, "staff@harbour.net").await;
    let hook = webhook(&rest, &receiver).await;
    subscribe(&rest).await;
    let template = json!({ "name": "Program", "recipients": [hook["id"]] });
    let template = rest.post("/notification-templates", &template).await;
    let policy = json!({
        "name": "Last week", "policy_type": "expiration-time", "days": 7, "interval_days": 1, "template": template["id"],
    });
    rest.post("/alarm-policies", &policy).await;

    let client = world.client_of(&id).await;
    let first = issue(&world, &client, &["quay.harbour.net"], json!({})).await;
    world.pass(Duration::ZERO).await;
    let until_end = first.last.since(world.now());
    let subject = |text: &str| text.to_owned();
    assert!(subjects(&world).contains(&subject("The certificate for quay.harbour.net was issued")));

    // Nothing for weeks; then the window, and the next day, also when the server was restarted meanwhile.
    let begun = (spool(&world).len(), receiver.calls().len());
    world.pass(until_end - 31 * DAY).await;
    assert_eq!((spool(&world).len(), receiver.calls().len()), begun);
    world.restart().await;
    world.pass(DAY + Duration::from_secs(3600)).await;
    world.restart().await;
    world.pass(DAY).await;
    assert_eq!(spool(&world).len(), begun.0 + 2);
    assert_eq!(heard(&receiver)[begun.1..], ["renewal-open", "renewal-reminder"]);

    // Nobody acts until the last week, when the program is warned each day, and no e-mail is sent for that.
    let quiet = spool(&world).len();
    world.pass(21 * DAY).await;
    for _ in 0..3 {
        world.pass(DAY).await;
    }
    assert_eq!(heard(&receiver)[begun.1 + 2..], ["expiry-alarm"; 3]);
    assert_eq!(spool(&world).len(), quiet);

    // They renew it, and hear no more of the old one.
    issue(&world, &world.client_of(&id).await, &["quay.harbour.net"], json!({})).await;
    world.pass(Duration::ZERO).await;
    for _ in 0..8 {
        world.pass(DAY).await;
    }
    let mut later = heard(&receiver)[begun.1 + 5..].to_vec();
    later.sort();
    assert_eq!(later, ["certificate-issued", "validation-required"]);
    assert!(centre(&rest, "expiry").await.iter().all(|notice| notice["event"] != "certificate-ended"));
}

/// NOTIFY-04: an uploaded certificate of another CA gets the same messages, and the same alarms.
#[tokio::test]
async fn an_uploaded_certificate_gets_the_same_messages_and_alarms() {
    let (world, receiver) = (world().await, Receiver::start().await);
    let (_, rest) = customer(&world).await;
    email(&rest, "staff@example.com").await;
    let hook = webhook(&rest, &receiver).await;
    subscribe(&rest).await;
    let made = rest.post("/uploaded-certificates", &uploaded(&world, "www.harbour.net", 100)).await;
    let template = json!({ "name": "Program", "recipients": [hook["id"]] });
    let template = rest.post("/notification-templates", &template).await;
    let policy = json!({
        "name": "Mine", "policy_type": "expiration-time", "days": 10, "objects": [made["id"]], "template": template["id"],
    });
    rest.post("/alarm-policies", &policy).await;
    for _ in 0..102 {
        world.pass(DAY).await;
    }
    let told = ["renewal-open", "renewal-reminder", "expiry-alarm", "certificate-ended"];
    assert_eq!(heard(&receiver), told);
    assert!(receiver.calls().iter().all(|call| call.json()["certificate"] == made["id"]));
    assert_eq!(spool(&world).len(), 3, "{:?}", subjects(&world));
    let reminder =
        centre(&rest, "expiry").await.into_iter().find(|notice| notice["event"] == "renewal-reminder").unwrap();
    assert!(reminder["text"].as_str().unwrap().contains("issued by another CA"), "{reminder}");
}

/// NOTIFY-01: messages of one certificate can be switched off, and on again.
#[tokio::test]
async fn a_certificate_that_its_owner_ignores_or_deletes_is_not_spoken_of() {
    let world = world().await;
    let (_, rest) = customer(&world).await;
    let ignored = rest.post("/uploaded-certificates", &uploaded(&world, "a.harbour.net", 31)).await;
    let deleted = rest.post("/uploaded-certificates", &uploaded(&world, "b.harbour.net", 31)).await;
    let path = |made: &serde_json::Value| format!("/certificates/{}", made["id"].as_str().unwrap());
    let text = "renewal-open";
    // Two thirds of a short life come after the window's usual beginning.
    world.pass(21 * DAY + Duration::from_secs(3600)).await;
    assert_eq!(events(&rest, "expiry").await, [text; 2]);
    rest.send("PUT", &format!("{}/mute", path(&ignored)), &json!({})).await.ok();
    rest.send("DELETE", &format!("{}?confirm=true", path(&deleted)), &json!({})).await.ok();
    world.pass(5 * DAY).await;
    assert_eq!(events(&rest, "expiry").await, [text; 2]);
    rest.send("DELETE", &format!("{}/mute", path(&ignored)), &json!({})).await.ok();
    world.pass(DAY).await;
    assert_eq!(events(&rest, "expiry").await.len(), 3, "the reminder");
}
