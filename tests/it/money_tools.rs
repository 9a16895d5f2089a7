//! What the tests of money share: customers with tokens, credits, purchases from the balance.

use chancery::domain::CustomerId;
use chancery::domain::customer::CustomerKind;
use serde_json::{Value, json};

use crate::desk_tools::at_rest;
use crate::support::operator::Operator;
use crate::support::world::World;

pub const MULTI: &str = "trustasia-dv-multi";
pub const WILDCARD: &str = "trustasia-dv-wildcard";

/// A customer, and somebody with its token.
pub async fn buyer(world: &World) -> (CustomerId, Operator) {
    let customer = world.customer(CustomerKind::Individual).await;
    let caller = at_rest(world, &customer).await;
    (customer, caller)
}

/// Has the operator credit something to a customer. The entry.
pub async fn credit(world: &World, customer: &CustomerId, kind: &str, amount: &str) -> Value {
    let asked = json!({ "kind": kind, "amount": amount, "note": "for the test" });
    Operator::of(world).post(&format!("/customers/{customer}/credits"), &asked).await
}

/// What a customer has.
pub async fn balance(caller: &Operator, customer: &CustomerId) -> Value {
    caller.get(&format!("/customers/{customer}/balance")).await.expect(200).json()
}

/// A purchase from the balance.
pub async fn buy(caller: &Operator, product: &str, names: u32, further: Value) -> Value {
    let mut asked = json!({ "product": product, "names": names, "payment": "balance" });
    asked.as_object_mut().unwrap().extend(further.as_object().unwrap().clone());
    caller.post("/purchases", &asked).await
}

/// A POST without an object.
pub async fn order_to(caller: &Operator, path: &str) -> crate::support::client::Response {
    caller.request("POST", path, "", axum::body::Body::empty()).await
}

/// The detail of a refusal with that status.
pub fn refusal(answer: &crate::support::client::Response, status: u16) -> String {
    assert_eq!(answer.status, status, "{answer}");
    answer.json()["detail"].as_str().unwrap().to_owned()
}

/// The books balance: every entry sums to nothing, every balance is what entries made it.
pub async fn books_balance(world: &World) -> Value {
    let found = Operator::of(world).get("/ledger/trial-balance").await.expect(200).json();
    assert_eq!(found["balanced"], true, "{found}");
    found
}
