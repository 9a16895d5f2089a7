//! Deliveries of messages: each recipient has each message once, whatever happens between.

use std::collections::BTreeSet;
use std::time::Duration;

use chancery::domain::audit::Act;

use crate::notices_tools::{DAY, centre, customer, email, rest_of, spool, subscribe, webhook, world};
use crate::support::mailbox::Receiver;
use crate::support::world::World;

const MINUTE: Duration = Duration::from_secs(60);

/// A certificate of a customer, whose issuance is told to them; its jobs stand still.
async fn issue(world: &World, customer: &chancery::domain::CustomerId, name: &str) {
    let client = world.client_of(customer).await;
    world.certificate(&client, &[name]).await;
}

#[tokio::test]
async fn every_channel_has_a_message_once() {
    let (world, receiver) = (world().await, Receiver::start().await);
    let (id, rest) = customer(&world).await;
    email(&rest, "one@harbour.net").await;
    email(&rest, "two@harbour.net").await;
    webhook(&rest, &receiver).await;
    issue(&world, &id, "www.harbour.net").await;
    world.pass(MINUTE).await;
    world.pass(DAY).await;

    let told = centre(&rest, "issue").await;
    let [notice] = &told[..] else { panic!("{told:#?}") };
    let files = spool(&world);
    assert_eq!(files.len(), 2, "{files:?}");
    assert!(files.iter().all(|file| file.contains(notice["id"].as_str().unwrap())));
    let [call] = &receiver.calls()[..] else { panic!("{:?}", receiver.calls()) };
    assert_eq!(call.json()["id"], notice["id"]);
    assert_eq!(call.json()["certificate"], notice["certificate"]);
    assert!(call.header("chancery-delivery").starts_with(notice["id"].as_str().unwrap()));
    let shown = rest.get(&format!("/notices/{}", notice["id"].as_str().unwrap())).await.expect(200).json();
    let states: Vec<&str> =
        shown["deliveries"].as_array().unwrap().iter().map(|delivery| delivery["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["delivered"; 3], "{shown:#}");
}

#[tokio::test]
async fn a_message_that_nobody_takes_is_tried_with_growing_pauses_and_given_up() {
    let (mut world, receiver) = (world().await, Receiver::start().await);
    let (id, rest) = customer(&world).await;
    webhook(&rest, &receiver).await;
    receiver.answer("503 Busy");
    issue(&world, &id, "www.harbour.net").await;
    world.pass(Duration::ZERO).await;
    assert_eq!(receiver.calls().len(), 1);
    world.pass(Duration::from_secs(59)).await;
    assert_eq!(receiver.calls().len(), 1, "the first pause is a minute");
    world.pass(Duration::from_secs(1)).await;
    assert_eq!(receiver.calls().len(), 2);
    world.pass(Duration::from_secs(119)).await;
    assert_eq!(receiver.calls().len(), 2, "the second is twice as long");
    world.pass(Duration::from_secs(1)).await;
    assert_eq!(receiver.calls().len(), 3);
    assert_eq!(world.ra().measure_deliveries().await.unwrap(), 1);
    for _ in 0..80 {
        world.pass(Duration::from_secs(3600)).await;
    }
    let calls = receiver.calls();
    assert!((15..25).contains(&calls.len()), "{}", calls.len());
    let ids: BTreeSet<&str> = calls.iter().map(|call| call.header("chancery-delivery")).collect();
    assert_eq!(ids.len(), 1, "repetitions have the same id: {ids:?}");
    assert_eq!(world.ra().measure_deliveries().await.unwrap(), 0);
    let notice = &centre(&rest, "issue").await[0];
    let shown = rest.get(&format!("/notices/{}", notice["id"].as_str().unwrap())).await.expect(200).json();
    assert_eq!(shown["deliveries"][0]["state"], "given-up", "{shown:#}");
    assert_eq!(shown["deliveries"][0]["failure"], "the webhook answered 503");
    let given_up = world.audit().await.into_iter().filter(|act| matches!(act, Act::DeliveryGivenUp { .. })).count();
    assert_eq!(given_up, 1);
}

#[tokio::test]
async fn a_receiver_that_is_back_has_the_message_and_one_that_is_gone_for_good_is_asked_once() {
    let (world, receiver, gone) = (world().await, Receiver::start().await, Receiver::start().await);
    let (id, rest) = customer(&world).await;
    webhook(&rest, &receiver).await;
    webhook(&rest, &gone).await;
    receiver.answer("500 Oh");
    gone.answer("410 Gone");
    issue(&world, &id, "www.harbour.net").await;
    world.pass(Duration::ZERO).await;
    receiver.answer("200 Ok");
    world.pass(MINUTE).await;
    world.pass(DAY).await;
    assert_eq!(receiver.calls().len(), 2);
    assert_eq!(gone.calls().len(), 1);
}

#[tokio::test]
async fn what_is_on_its_way_to_a_channel_that_was_deleted_goes_nowhere() {
    let (world, receiver) = (world().await, Receiver::start().await);
    let (id, rest) = customer(&world).await;
    let channel = webhook(&rest, &receiver).await;
    receiver.answer("500 Oh");
    issue(&world, &id, "www.harbour.net").await;
    world.pass(Duration::ZERO).await;
    let path = format!("/channels/{}", channel["id"].as_str().unwrap());
    rest.send("DELETE", &path, &serde_json::Value::Null).await.expect(204);
    world.pass(MINUTE).await;
    assert_eq!(receiver.calls().len(), 1);
    assert_eq!(world.ra().measure_deliveries().await.unwrap(), 0);
}

/// The server is let go of at moments that differ from round to round: before the fan-out, between it and the delivery,
/// between the delivery and its commit, after it.
#[tokio::test]
async fn whenever_the_server_ends_each_recipient_has_each_message_once() {
    let (mut world, receiver) = (world().await, Receiver::start().await);
    let (id, rest) = customer(&world).await;
    email(&rest, "one@harbour.net").await;
    webhook(&rest, &receiver).await;
    subscribe(&rest).await;
    let client = world.client_of(&id).await;
    let rounds = 12;
    for round in 0..rounds {
        world.certificate(&client, &[&format!("n{round}.harbour.net")]).await;
        let ra = world.ra().clone();
        let begun = tokio::spawn(async move { ra.drain().await });
        for _ in 0..round * 4 {
            tokio::task::yield_now().await;
        }
        begun.abort();
        drop(begun.await);
        world.restart().await;
        client.forget_nonce();
    }
    world.pass(Duration::ZERO).await;
    world.pass(Duration::from_secs(3600)).await;

    let rest = rest_of(&world, &id).await;
    let mut notices = BTreeSet::new();
    for topic in ["issue", "validation", "quota"] {
        notices.extend(centre(&rest, topic).await.iter().map(|notice| notice["id"].as_str().unwrap().to_owned()));
    }
    assert!(notices.len() >= 2 * rounds, "{}", notices.len());
    assert_eq!(spool(&world).len(), notices.len(), "one file for each message");
    let calls = receiver.calls();
    let ids: BTreeSet<String> = calls.iter().map(|call| call.json()["id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(ids, notices, "each message at the webhook");
    let names: BTreeSet<&str> = calls.iter().map(|call| call.header("chancery-delivery")).collect();
    assert_eq!(names.len(), notices.len(), "under one id each");
    // A delivery is marked once, for each of the two channels.
    let marked = world.audit().await.into_iter().filter(|act| matches!(act, Act::NoticeDelivered { .. })).count();
    assert_eq!(marked, 2 * notices.len());
}
