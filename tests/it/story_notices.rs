//! A customer who is warned of certificates that end, over weeks, on every way.

use std::time::Duration;

use serde_json::json;

use crate::notices_tools::{DAY, centre, customer, email, heard, spool, subjects, subscribe, webhook, world};
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
