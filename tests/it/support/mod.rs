//! The world around the server in tests: an ACME client, a DNS server, web servers, all on loopback.
#![allow(dead_code, reason = "each test file uses a part of it")]

pub mod client;
pub mod dns;
pub mod dnssec;
pub mod mailbox;
pub mod operator;
pub mod resources;
pub mod server;
pub mod signer;
pub mod target;
pub mod wire;
pub mod world;

/// Waits for something that comes soon; a test in which it does not has failed, and says what it waited for.
pub async fn in_time<T>(what: &str, event: impl Future<Output = T>) -> T {
    match tokio::time::timeout(wire::PATIENCE, event).await {
        Ok(done) => done,
        Err(_) => panic!("{what}: it did not come to that within {:?}", wire::PATIENCE),
    }
}
