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
