//! The outside world that tests run against: a DNS server, web servers, a tls-alpn-01 responder, all on loopback.
#![allow(dead_code, reason = "each test file uses a part of it")]

pub mod dns;
pub mod dnssec;
pub mod target;
