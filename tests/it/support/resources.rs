//! Every resource that takes POST alone, with a good request for each.

use serde_json::{Value, json};

use super::client::{Client, Response, csr};
use super::signer::{Signer, b64};
use super::world::World;

/// A resource, and what a client may ask of it.
pub struct Resource {
    /// What it is called in the directory, or in RFC 8555.
    pub name: &'static str,
    /// Where it is.
    pub url: String,
    /// What to send; none: it is fetched.
    pub payload: Option<Value>,
}

impl Resource {
    /// Asks for it as the client's account.
    pub async fn ask(&self, client: &Client) -> Response {
        match &self.payload {
            Some(payload) => client.post(&self.url, payload).await,
            None => client.post_as_get(&self.url).await,
        }
    }
}

/// What the directory names, and what an account with a certificate, a pending order and a pending authorization owns.
/// Requests for newAccount are signed by a key, not by an account, so `ask` is refused there.
pub async fn resources(world: &World, client: &Client) -> Vec<Resource> {
    let mut all = objects(world, client).await;
    let order = json!({ "identifiers": [{ "type": "dns", "value": "new.example.com" }] });
    let authz = json!({ "identifier": { "type": "dns", "value": "new.example.com" } });
    let of_product = client.clone().with_directory(format!("{}/product/any/directory", super::world::BASE));
    let key_change = client.resource("keyChange").await;
    let change = client.signer.key_change(&Signer::generate("ES256"), client.kid(), &key_change);
    let certificate = json!({ "certificate": b64([0x30, 0]) });
    let mut add = |name, url, payload| all.push(Resource { name, url, payload: Some(payload) });
    add("newAccount", client.resource("newAccount").await, json!({}));
    add("newOrder", client.resource("newOrder").await, order.clone());
    add("newAuthz", client.resource("newAuthz").await, authz.clone());
    add("newOrder of a product", of_product.resource("newOrder").await, order);
    add("newAuthz of a product", of_product.resource("newAuthz").await, authz);
    add("revokeCert", client.resource("revokeCert").await, certificate);
    add("keyChange", key_change, change);
    all
}

/// What an account owns.
pub async fn objects(world: &World, client: &Client) -> Vec<Resource> {
    let names = ["owned.example.com"];
    let (valid, _) = world.certificate(client, &names).await;
    let (ready_url, ready) = world.ready_order(client, &["ready.example.com"]).await;
    let pending = client.new_order(&["pending.example.com"]).await.expect(201);
    let authz_url = pending.json()["authorizations"][0].as_str().unwrap().to_owned();
    let authz = client.post_as_get(&authz_url).await.expect(200).json();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let fetch = |name, url| Resource { name, url, payload: None };
    let post = |name, url, payload| Resource { name, url, payload: Some(payload) };
    let account = client.kid().to_owned();
    vec![
        fetch("orders", format!("{account}/orders")),
        fetch("account", account.clone()),
        post("account update", account, json!({ "contact": ["mailto:new@example.com"] })),
        fetch("order", ready_url),
        fetch("pending order", pending.location().to_owned()),
        post("finalize", text(&ready["finalize"]), json!({ "csr": b64(csr(&["ready.example.com"]).0) })),
        fetch("authorization", authz_url.clone()),
        post("authorization update", authz_url, json!({ "status": "deactivated" })),
        fetch("challenge", text(&authz["challenges"][0]["url"])),
        post("challenge answer", text(&authz["challenges"][0]["url"]), json!({})),
        fetch("certificate", text(&valid["certificate"])),
        fetch("certificate with another chain", format!("{}/0", text(&valid["certificate"]))),
    ]
}
