//! What the tests of applications and reviews share: a company with its token, its client and its purchases, and reviewers.

use std::time::Duration;

use chancery::domain::CustomerId;
use chancery::domain::customer::CustomerKind;
use serde_json::{Value, json};

use crate::acme_tools::order_of;
use crate::support::client::{Client, Response, csr};
use crate::support::operator::Operator;
use crate::support::world::World;

/// Texts of the shipped catalogue that put a price on what has none.
pub const PRICED: [(&str, &str); 4] = [
    (
        "type = \"ov\"\nshape = \"multi\"\nbasis = [\"CAT-02\"]",
        "type = \"ov\"\nshape = \"multi\"\nprice = { base = 1 }\nbasis = [\"CAT-02\"]",
    ),
    (
        "type = \"ev\"\nshape = \"multi\"\nbasis = [\"CAT-02\"]",
        "type = \"ev\"\nshape = \"multi\"\nprice = { base = 1 }\nbasis = [\"CAT-02\"]",
    ),
    (
        "type = \"ev\"\nshape = \"single\"\nbasis = [\"CAT-02\"]",
        "type = \"ev\"\nshape = \"single\"\nprice = { base = 1 }\nbasis = [\"CAT-02\"]",
    ),
    (
        "type = \"dv\"\nshape = \"multi\"\nbasis = [\"CAT-02\"]",
        "type = \"dv\"\nshape = \"multi\"\nprice = { base = 1 }\nbasis = [\"CAT-02\"]",
    ),
];

/// A PDF, as far as its first octets tell.
pub const PDF: &[u8] = b"%PDF-1.7\n1 0 obj << >> endobj\ntrailer << >>\n%%EOF\n";
pub const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x06\0\0\0";
pub const GIF: &[u8] = b"GIF89a\x01\0\x01\0\x80\0\0\0\0\0\xff\xff\xff!";
pub const JPG: &[u8] = b"\xff\xd8\xff\xe0\0\x10JFIF\0\x01\x01\0\0\x01\0\x01\0\0";

/// An enterprise: its token for REST and its ACME client.
pub struct Company {
    pub id: CustomerId,
    pub rest: Operator,
    pub acme: Client,
}

impl Company {
    pub async fn new(world: &World) -> Self {
        let id = world.customer(CustomerKind::Enterprise).await;
        let rest = with_role(world, json!({ "name": "shop", "role": "customer", "customer": id })).await;
        let acme = world.client_of(&id).await;
        Self { id, rest, acme }
    }

    /// Buys without applying: the purchase's id.
    pub async fn buy(&self, world: &World, product: &str) -> String {
        self.buy_names(world, product, 1).await
    }

    pub async fn buy_names(&self, world: &World, product: &str, names: u32) -> String {
        world.buy_alone(&self.id, product, names, 1).await.id.to_string()
    }

    /// Submits an application with new data.
    pub async fn apply(&self, purchase: &str) -> Value {
        self.apply_with(purchase, &application()).await.expect(200).json()
    }

    pub async fn apply_with(&self, purchase: &str, form: &Value) -> Response {
        self.rest.send("PUT", &format!("/purchases/{purchase}/application"), form).await
    }

    pub async fn application(&self, purchase: &str) -> Value {
        self.rest.get(&format!("/purchases/{purchase}/application")).await.expect(200).json()
    }

    pub async fn upload(&self, purchase: &str, content: &[u8]) -> Response {
        let path = format!("/purchases/{purchase}/letter");
        self.rest.request("PUT", &path, "application/octet-stream", content.to_vec()).await
    }

    /// Where the purchase stands, in the words of section 21.
    pub async fn state(&self, purchase: &str) -> Value {
        self.rest.get(&format!("/purchases/{purchase}")).await.expect(200).json()["state"].clone()
    }

    /// Places an order of that product.
    pub async fn place(&self, product: &str, names: &[&str]) -> Response {
        self.acme.new_order_of(order_of(names, json!({ "profile": product }))).await
    }

    /// Places an order and proves its names: its URL and itself.
    pub async fn ready(&self, world: &World, product: &str, names: &[&str]) -> (String, Value) {
        let placed = self.place(product, names).await.expect(201);
        world.web.serve_any(&self.acme.thumbprint());
        for authz in self.acme.authorizations(&placed.json()).await {
            if authz["status"] == "pending" {
                world.prove(&self.acme, &authz).await.expect(200);
            }
        }
        let order = self.acme.post_as_get(placed.location()).await.expect(200).json();
        (placed.location().to_owned(), order)
    }

    pub async fn finalize(&self, order: &Value, names: &[&str]) -> Response {
        self.acme.finalize(order, &csr(names).0).await
    }

    /// An approved organisation and administrator on file: their ids.
    pub async fn approved_profile(&self, desk: &Operator) -> (String, String) {
        let organisation = self.rest.post("/profiles/organisations", &organisation()).await;
        let administrator = self.rest.post("/profiles/administrators", &person()).await;
        for made in [&organisation, &administrator] {
            approve(desk, made["id"].as_str().unwrap()).await.expect(200);
        }
        let id = |made: &Value| made["id"].as_str().unwrap().to_owned();
        (id(&organisation), id(&administrator))
    }

    /// The events that the company was told, oldest first.
    pub async fn events(&self) -> Vec<String> {
        self.notices().await.iter().map(|notice| notice["event"].as_str().unwrap().to_owned()).collect()
    }

    pub async fn notices(&self) -> Vec<Value> {
        let list = self.rest.get("/notices").await.expect(200).json();
        list["items"].as_array().unwrap().clone()
    }
}

/// Somebody with a token of their own.
pub async fn with_role(world: &World, asked: Value) -> Operator {
    let made = Operator::of(world).post("/tokens", &asked).await;
    Operator::with(world, Some(format!("Bearer {}", made["token"].as_str().unwrap())))
}

/// A customer at the REST API.
pub async fn at_rest(world: &World, customer: &CustomerId) -> Operator {
    with_role(world, json!({ "name": "test", "role": "customer", "customer": customer })).await
}

pub async fn reviewer(world: &World, name: &str) -> Operator {
    with_role(world, json!({ "name": name, "role": "reviewer" })).await
}

pub async fn decide(desk: &Operator, review: &str, decision: &str, note: &str) -> Response {
    let body = json!({ "decision": decision, "note": note });
    desk.send("POST", &format!("/reviews/{review}/decision"), &body).await
}

pub async fn approve(desk: &Operator, review: &str) -> Response {
    decide(desk, review, "approve", "found in the register").await
}

pub fn organisation() -> Value {
    json!({
        "name": "Shenzhen Zone Trading Co., Ltd.", "department": "IT", "address": "1 Keji Road", "locality": "Shenzhen",
        "state": "Guangdong", "country": "CN", "phone": "+86 755 1234 5678",
    })
}

/// The same with what EV certificates say besides.
pub fn registered() -> Value {
    let mut organisation = organisation();
    organisation["registration"] = json!({
        "business_category": "Private Organization",
        "jurisdiction": { "country": "CN", "state": "Guangdong", "locality": "Shenzhen" },
        "registration_number": "91440300708461136T",
    });
    organisation
}

pub fn person() -> Value {
    json!({
        "name": "Li Wei", "position": "Head of IT", "phone": "+86 755 1234 5679", "email": "li.wei@zone-one.cn",
    })
}

/// A form with new data.
pub fn application() -> Value {
    json!({ "organisation": registered(), "administrator": person() })
}

/// The kinds and ids of what is in the queue.
pub async fn queue(desk: &Operator, query: &str) -> Vec<(String, String)> {
    let list = desk.get(&format!("/reviews{query}")).await.expect(200).json();
    let text = |item: &Value, member: &str| item[member].as_str().unwrap().to_owned();
    list["items"].as_array().unwrap().iter().map(|item| (text(item, "kind"), text(item, "review"))).collect()
}

pub const MINUTE: Duration = Duration::from_secs(60);
