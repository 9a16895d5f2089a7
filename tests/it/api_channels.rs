//! Channels, subscriptions and the message centre over REST.

use chancery::domain::customer::CustomerKind;
use serde_json::{Value, json};

use crate::notices_tools::{centre, customer, email, rest_of, spool, webhook, world};
use crate::support::mailbox::Receiver;
use crate::support::operator::Operator;
use crate::support::world::World;

fn path(kind: &str, object: &Value) -> String {
    format!("/{kind}/{}", object["id"].as_str().unwrap())
}

#[tokio::test]
async fn a_channel_shows_its_secret_once() {
    let (world, receiver) = (world().await, Receiver::start().await);
    let (_, rest) = customer(&world).await;
    let made = webhook(&rest, &receiver).await;
    assert_eq!(made["secret"].as_str().unwrap().len(), 43, "{made}");
    let shown = rest.get(&path("channels", &made)).await.expect(200).json();
    assert_eq!((&shown["secret"], &shown["kind"]), (&Value::Null, &json!("webhook")));
    let list = rest.get("/channels").await.expect(200).json();
    assert_eq!(list["items"], json!([shown]));
    rest.send("DELETE", &path("channels", &made), &Value::Null).await.expect(204);
    rest.get(&path("channels", &made)).await.expect(404);
    assert_eq!(rest.get("/channels").await.expect(200).json()["items"], json!([]));
}

#[tokio::test]
async fn a_trial_goes_to_the_channel_alone_and_tells_what_became_of_it() {
    let (world, receiver, other) = (world().await, Receiver::start().await, Receiver::start().await);
    let (_, rest) = customer(&world).await;
    let made = webhook(&rest, &receiver).await;
    webhook(&rest, &other).await;
    let told = rest.send("POST", &format!("{}/test", path("channels", &made)), &json!({})).await.expect(200).json();
    assert_eq!(told["deliveries"][0]["state"], "delivered", "{told:#}");
    assert_eq!(receiver.calls()[0].json()["event"], "channel-test");
    assert!(other.calls().is_empty());
    let path = format!("{}/test", path("channels", &made));
    rest.send("POST", &path, &json!({})).await.expect(429);
    world.pass(std::time::Duration::from_secs(60)).await;
    receiver.answer("500 Oh");
    let told = rest.send("POST", &path, &json!({})).await.expect(200).json();
    assert_eq!(told["deliveries"][0]["state"], "waiting", "{told:#}");
    assert_eq!(told["deliveries"][0]["failure"], "the webhook answered 500");
    assert_eq!(centre(&rest, "service").await.len(), 2);
}

/// Otherwise a channel that is made anew for each stranger would be a relay for e-mail.
#[tokio::test]
async fn trials_are_counted_by_customer_and_say_nothing_that_the_customer_wrote() {
    let world = world().await;
    let (_, rest) = customer(&world).await;
    let asked = json!({ "kind": "email", "name": "Buy at http://shop.test", "address": "one@example.com" });
    let (made, other) = (rest.post("/channels", &asked).await, email(&rest, "two@example.com").await);
    let trial = async |channel: &Value| {
        let answer = rest.send("POST", &format!("{}/test", path("channels", channel)), &json!({})).await;
        answer.status.as_u16()
    };
    let (one, two) = tokio::join!(trial(&made), trial(&made));
    assert_eq!([one.min(two), one.max(two)], [200, 429], "two at once");
    assert_eq!(trial(&other).await, 429);
    rest.send("DELETE", &path("channels", &made), &Value::Null).await.expect(204);
    let again = rest.post("/channels", &asked).await;
    assert_eq!(trial(&again).await, 429);
    let sent = spool(&world);
    assert_eq!(sent.len(), 1);
    assert!(!sent[0].contains("shop.test"), "{}", sent[0]);
}

/// SMS goes through a gateway: this server speaks to no telephone network itself.
#[tokio::test]
async fn an_sms_gateway_gets_the_number_and_a_short_text() {
    let (world, receiver) = (world().await, Receiver::start().await);
    let (_, rest) = customer(&world).await;
    let asked = json!({ "kind": "sms-gateway", "name": "Phone", "number": "+8613800000000", "url": receiver.url() });
    let made = rest.post("/channels", &asked).await;
    rest.send("POST", &format!("{}/test", path("channels", &made)), &json!({})).await.expect(200);
    let heard = receiver.calls()[0].json();
    assert_eq!((&heard["to"], &heard["text"]), (&json!("+8613800000000"), &json!("A trial message")));
}

#[tokio::test]
async fn a_channel_that_can_not_be_is_refused() {
    let world = World::documented().await;
    let (_, rest) = customer(&world).await;
    for (asked, why) in [
        (json!({ "kind": "email", "name": "Mail", "address": "nobody" }), "is not an e-mail address"),
        (json!({ "kind": "email", "name": "", "address": "a@example.com" }), "name of a channel"),
        (json!({ "kind": "webhook", "name": "Hook", "url": "http://example.com/" }), "begins with https"),
        (json!({ "kind": "webhook", "name": "Hook", "url": "https://127.0.0.1/" }), "address is not public"),
        (
            json!({ "kind": "sms-gateway", "name": "SMS", "number": "13800", "url": "https://example.com/" }),
            "country code",
        ),
        (json!({ "kind": "fax", "name": "Fax" }), "unknown variant"),
    ] {
        let told = rest.send("POST", "/channels", &asked).await.expect(400).text();
        assert!(told.contains(why), "{asked}: {told}");
    }
    for count in 0..20 {
        email(&rest, &format!("n{count}@example.com")).await;
    }
    let asked = json!({ "kind": "email", "name": "Mail", "address": "more@example.com" });
    rest.send("POST", "/channels", &asked).await.expect(400);
}

#[tokio::test]
async fn others_see_neither_channels_nor_messages() {
    let world = world().await;
    let (id, rest) = customer(&world).await;
    let made = email(&rest, "one@example.com").await;
    let told = rest.send("POST", &format!("{}/test", path("channels", &made)), &json!({})).await.expect(200).json();
    let stranger = rest_of(&world, &world.customer(CustomerKind::Individual).await).await;
    for (method, of) in [
        ("GET", path("channels", &made)),
        ("DELETE", path("channels", &made)),
        ("POST", format!("{}/test", path("channels", &made))),
        ("GET", path("notices", &told)),
        ("PUT", format!("{}/read", path("notices", &told))),
        ("GET", format!("/channels?customer={id}")),
        ("GET", format!("/notices?customer={id}")),
        ("GET", format!("/subscriptions?customer={id}")),
    ] {
        stranger.send(method, &of, &json!({})).await.expect(404);
    }
    let operator = Operator::of(&world);
    assert_eq!(
        operator.get(&format!("/channels?customer={id}")).await.expect(200).json()["items"][0]["id"],
        made["id"]
    );
    operator.get("/channels").await.expect(400);
}

#[tokio::test]
async fn the_message_centre_is_paged_newest_first_and_notes_what_was_read() {
    let world = world().await;
    let (_, rest) = customer(&world).await;
    let made = email(&rest, "one@example.com").await;
    let mut sent = Vec::new();
    for _ in 0..3 {
        let told = rest.send("POST", &format!("{}/test", path("channels", &made)), &json!({})).await.expect(200).json();
        sent.insert(0, told["id"].clone());
        world.pass(std::time::Duration::from_secs(60)).await;
    }
    let first = rest.get("/notices?limit=2").await.expect(200).json();
    let second =
        rest.get(&format!("/notices?limit=2&after={}", first["next"].as_str().unwrap())).await.expect(200).json();
    let both = first["items"].as_array().unwrap().iter().chain(second["items"].as_array().unwrap());
    assert_eq!(both.map(|notice| notice["id"].clone()).collect::<Vec<_>>(), sent);
    let path = format!("/notices/{}", sent[0].as_str().unwrap());
    assert_eq!(rest.get(&path).await.expect(200).json()["read"], Value::Null);
    let read = rest.send("PUT", &format!("{path}/read"), &json!({})).await.expect(200).json()["read"].clone();
    world.pass(std::time::Duration::from_secs(60)).await;
    let again = rest.send("PUT", &format!("{path}/read"), &json!({})).await.expect(200).json()["read"].clone();
    assert_eq!((read.is_string(), &again), (true, &read));
    assert_eq!(spool(&world).len(), 3);
}

#[tokio::test]
async fn a_subscription_is_edited_without_overwriting_what_others_changed() {
    let world = world().await;
    let (_, rest) = customer(&world).await;
    let first = rest.get("/subscriptions").await.expect(200);
    assert_eq!(first.header("etag"), Some("\"0\""));
    assert!(!first.json()["topics"].as_array().unwrap().contains(&json!("validation")), "clients see it themselves");
    let changed = rest.send("PUT", "/subscriptions", &json!({ "topics": ["quota", "issue"] })).await.expect(200);
    assert_eq!(changed.json()["topics"], json!(["issue", "quota"]));
    assert_ne!(changed.header("etag"), Some("\"0\""));
    assert_eq!(rest.get("/subscriptions").await.expect(200).json(), changed.json());
    rest.send("PUT", "/subscriptions", &json!({ "topics": ["weather"] })).await.expect(400);
}
