//! What the tests of messages share: a customer at the REST API, the spool, subscriptions.

use std::time::Duration;

use chancery::domain::customer::CustomerKind;
use chancery::domain::{CustomerId, Timestamp};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use serde_json::{Value, json};

use crate::support::mailbox::Receiver;
use crate::support::operator::Operator;
use crate::support::world::World;

pub const DAY: Duration = Duration::from_secs(86_400);

/// A world whose webhooks may lead to this machine.
pub async fn world() -> World {
    World::documented_with(|config| config.notices.allow_private_addresses = true).await
}

/// A new customer, and their token's view of the REST API.
pub async fn customer(world: &World) -> (CustomerId, Operator) {
    let customer = world.silent_customer(CustomerKind::Individual).await;
    let rest = rest_of(world, &customer).await;
    (customer, rest)
}

/// A customer's view of the REST API.
pub async fn rest_of(world: &World, customer: &CustomerId) -> Operator {
    let asked = json!({ "name": "a program", "role": "customer", "customer": customer });
    let made = Operator::of(world).post("/tokens", &asked).await;
    Operator::with(world, Some(format!("Bearer {}", made["token"].as_str().unwrap())))
}

/// Has everything sent, messages about expiry too (NOTIFY-03).
pub async fn subscribe(rest: &Operator) {
    let topics = ["validation", "review", "issue", "expiry", "quota", "billing", "revocation", "service"];
    let wanted = json!({
        "ssl_certificate_notifications": true,
        "product_service_notifications": true,
        "topics": topics,
    });
    rest.send("PUT", "/subscriptions", &wanted).await.expect(200);
}

/// A channel for e-mail.
pub async fn email(rest: &Operator, address: &str) -> Value {
    rest.post("/channels", &json!({ "kind": "email", "name": "Mail", "address": address })).await
}

/// A channel to a receiver.
pub async fn webhook(rest: &Operator, receiver: &Receiver) -> Value {
    rest.post("/channels", &json!({ "kind": "webhook", "name": "Hook", "url": receiver.url() })).await
}

/// An upload of another CA's certificate for a name, valid from now on for so many days.
pub fn uploaded(world: &World, name: &str, days: u32) -> Value {
    let at = |moment: Timestamp| moment.to_offset();
    let (ca_key, key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let mut ca = CertificateParams::new(Vec::new()).unwrap();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    ca.distinguished_name.push(DnType::CommonName, "Another CA");
    (ca.not_before, ca.not_after) = (at(world.now() - DAY), at(world.now() + 1000 * DAY));
    let root = ca.self_signed(&ca_key).unwrap();
    let mut leaf = CertificateParams::new(vec![name.to_owned()]).unwrap();
    (leaf.not_before, leaf.not_after) = (at(world.now()), at(world.now() + days * DAY));
    let leaf = leaf.signed_by(&key, &Issuer::new(ca, ca_key)).unwrap();
    json!({
        "standard": "international", "name": "From elsewhere",
        "certificate": leaf.pem() + &root.pem(), "private_key": key.serialize_pem(),
    })
}

/// The messages in the spool, each as its text.
pub fn spool(world: &World) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(world.data_dir().join("spool")) else { return Vec::new() };
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    names.sort();
    names.iter().map(|path| std::fs::read_to_string(path).unwrap()).collect()
}

/// The subjects in the spool, sorted.
pub fn subjects(world: &World) -> Vec<String> {
    let subject = |text: String| {
        let head = text.split("\r\n\r\n").next().unwrap().replace("\r\n ", " ");
        head.lines().find_map(|line| line.strip_prefix("Subject: ")).unwrap().to_owned()
    };
    let mut all: Vec<String> = spool(world).into_iter().map(subject).collect();
    all.sort();
    all
}

/// The message centre: all messages about that, the newest first.
pub async fn centre(rest: &Operator, topic: &str) -> Vec<Value> {
    let list = rest.get("/notices").await.expect(200).json();
    let items = list["items"].as_array().unwrap().clone();
    items.into_iter().filter(|notice| notice["topic"] == topic).collect()
}

/// What happened, of each of those messages.
pub async fn events(rest: &Operator, topic: &str) -> Vec<String> {
    centre(rest, topic).await.iter().map(|notice| notice["event"].as_str().unwrap().to_owned()).collect()
}

/// What a receiver heard, without trials: the events.
pub fn heard(receiver: &Receiver) -> Vec<String> {
    receiver.calls().iter().map(|call| call.json()["event"].as_str().unwrap().to_owned()).collect()
}
