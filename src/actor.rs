//! Who acts, and from where: the audit log's answer to "by whom". Set once where a request or a job enters, read where the
//! audit event is written.

use std::cell::RefCell;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// Who acts, and from where.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    /// Who: `server`, `operator`, `reviewer ..`, `customer ..`, `account ..`, `key ..`, or `anonymous` before they are known.
    pub who: String,
    /// The address that the request came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<IpAddr>,
}

tokio::task_local! {
    static ACTOR: RefCell<Actor>;
}

/// Carries something out on behalf of somebody.
pub async fn acting<T>(actor: Actor, work: impl Future<Output = T>) -> T {
    ACTOR.scope(RefCell::new(actor), work).await
}

/// Says who it is that acts, once that is known: a request is in the hands of nobody until its signature is verified.
pub fn identified(who: String) {
    // Outside of any request it is the server that acts, and remains so.
    let _ = ACTOR.try_with(|actor| actor.borrow_mut().who = who);
}

/// Who acts now: the server itself unless somebody was named.
pub fn current() -> Actor {
    ACTOR.try_with(|actor| actor.borrow().clone()).unwrap_or_else(|_| Actor { who: "server".to_owned(), from: None })
}
