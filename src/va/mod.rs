//! Looking at the world: a `Task` in, an `Outcome` out. Knows nothing of orders, accounts, store or catalogue.

use std::net::SocketAddr;
use std::time::Duration;

use serde::Deserialize;

use crate::domain::plan::Method;
use crate::domain::{Identifier, Problem};

/// `[validation]` of the configuration.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// DNS servers to ask; empty: the system's.
    pub resolvers: Vec<SocketAddr>,
    /// Port that http-01 dials.
    pub http_port: u16,
    /// Port that tls-alpn-01 dials.
    pub tls_port: u16,
    /// Whether private, loopback and link-local addresses may be dialled.
    pub allow_private_addresses: bool,
    /// Whether http-01 follows redirects (at most 10, each hop checked anew).
    pub follow_redirects: bool,
    /// Whether DNS answers must pass DNSSEC validation; a bogus answer fails the lookup.
    pub dnssec: bool,
    /// Names at or below these suffixes are answered with the given address and never looked up; for trying things out.
    pub static_names: std::collections::BTreeMap<String, std::net::IpAddr>,
    /// Most milliseconds that one DNS question may take, retries included.
    pub dns_timeout_ms: u64,
    /// Most milliseconds that one validation may take as a whole.
    pub timeout_ms: u64,
}

/// A question to the world.
#[derive(Debug, Clone)]
pub struct Task {
    /// The name without `*.`, or the address.
    pub identifier: Identifier,
    /// Whether it is about the wildcard below the name.
    pub wildcard: bool,
    /// How to look.
    pub method: Method,
    /// The challenge's token.
    pub token: String,
    /// Token, dot, thumbprint of the account's key (RFC 8555 section 8.1).
    pub key_authorization: String,
    /// Whose CAA permission is needed.
    pub caa: CaaTerms,
}

/// What CAA must permit (RFC 8659, RFC 8657).
#[derive(Debug, Clone)]
pub struct CaaTerms {
    /// The issuer domain names that the product's brand answers to, lower case; none: any restricting record refuses.
    pub identities: Vec<String>,
    /// The account's URL, for the parameter `accounturi`.
    pub account_uri: String,
    /// The method used, for the parameter `validationmethods`.
    pub method: Method,
}

/// What was seen.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// Whether the challenge is met and CAA permits issuance; else the problem that the client is told.
    pub result: Result<(), Problem>,
    /// Whether the same question may have another answer soon (time-outs, connection and DNS failures, wrong answers);
    /// not so for a CAA refusal or a forbidden address.
    pub may_heal: bool,
    /// One line for each thing that was looked up, where, and what came back: for the audit log.
    pub evidence: Vec<String>,
}

/// The validator.
pub struct Va {
    _settings: Settings,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            resolvers: Vec::new(),
            http_port: 80,
            tls_port: 443,
            allow_private_addresses: false,
            follow_redirects: false,
            dnssec: false,
            static_names: std::collections::BTreeMap::new(),
            dns_timeout_ms: 5_000,
            timeout_ms: 15_000,
        }
    }
}

impl Settings {
    /// `timeout_ms` as a duration.
    pub fn timeout(&self) -> Duration {
        Duration::from_millis(self.timeout_ms)
    }
}

impl Va {
    /// A validator; fails when the system's resolver configuration can't be read.
    pub fn new(settings: Settings) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        Ok(Self { _settings: settings })
    }

    /// Looks whether the challenge is met and then, for DNS names, whether CAA permits issuance.
    pub async fn validate(&self, task: &Task) -> Outcome {
        let _ = task;
        unreachable!("the validator is being written")
    }

    /// Looks whether CAA permits issuance for a name. Addresses have no CAA (RFC 8738 section 8).
    pub async fn check_caa(&self, identifier: &Identifier, wildcard: bool, terms: &CaaTerms) -> Outcome {
        let _ = (identifier, wildcard, terms);
        unreachable!("the validator is being written")
    }
}
