//! What the tests of the life of certificates share: orders brought to an end, and what came of them.

use std::time::Duration;

use chancery::domain::Timestamp;
use rcgen::KeyPair;
use serde_json::{Value, json};

use crate::acme_tools::{cert_id, leaf, look, order_of, parsed};
use crate::support::client::{Client, Response, csr_with};
use crate::support::world::World;

pub const SECOND: Duration = Duration::from_secs(1);

/// A certificate, and the order that it fulfils.
pub struct Issued {
    pub order: Value,
    pub der: Vec<u8>,
    /// First second.
    pub first: Timestamp,
    /// Last second.
    pub last: Timestamp,
}

impl Issued {
    /// How `replaces` names it.
    pub fn id(&self) -> String {
        cert_id(&self.der)
    }

    /// How long it is valid, its last second included.
    pub fn life(&self) -> Duration {
        self.last.since(self.first) + SECOND
    }
}

/// An order for these names with further members, as the server answers it.
pub async fn place(client: &Client, names: &[&str], further: Value) -> Response {
    client.new_order_of(order_of(names, further)).await
}

/// The member that asks for a product.
pub fn of(product: &str) -> Value {
    json!({ "profile": product })
}

/// Members of two objects in one.
pub fn with(one: Value, other: Value) -> Value {
    let mut whole = one;
    whole.as_object_mut().unwrap().extend(other.as_object().unwrap().clone());
    whole
}

/// Proves every name of an order that is not proven yet: its URL and itself, ready.
pub async fn make_ready(world: &World, client: &Client, placed: &Response) -> (String, Value) {
    let url = placed.location().to_owned();
    world.web.serve_any(&client.thumbprint());
    for authz in client.authorizations(&placed.json()).await {
        if authz["status"] == "pending" {
            world.prove(client, &authz).await.ok();
        }
    }
    let order = look(client, &url).await;
    assert_eq!(order["status"], "ready", "{order}");
    (url, order)
}

/// A certificate for these names and a new key, of an order with further members.
pub async fn issue(world: &World, client: &Client, names: &[&str], further: Value) -> Issued {
    issue_for(world, client, names, further, &KeyPair::generate().unwrap()).await
}

/// The same for a key at hand.
pub async fn issue_for(world: &World, client: &Client, names: &[&str], further: Value, key: &KeyPair) -> Issued {
    let placed = place(client, names, further).await.expect(201);
    let (_, order) = make_ready(world, client, &placed).await;
    let done = client.finalize(&order, &csr_with(key, names)).await.expect(200).json();
    issued(client, done).await
}

/// What came of an order that is valid.
pub async fn issued(client: &Client, order: Value) -> Issued {
    assert_eq!(order["status"], "valid", "{order}");
    let der = leaf(&client.certificate(&order).await);
    let validity = parsed(&der).validity().clone();
    let moment = |time: x509_parser::time::ASN1Time| Timestamp::from_secs(time.timestamp().try_into().unwrap());
    Issued { order, first: moment(validity.not_before), last: moment(validity.not_after), der }
}

/// Members that ask for dates.
pub fn dated(not_before: Option<Timestamp>, not_after: Option<Timestamp>) -> Value {
    let text = |moment: Option<Timestamp>| moment.map(|moment| moment.to_string());
    json!({ "notBefore": text(not_before), "notAfter": text(not_after) })
}
