//! What clients were told, written down as it is told. Whatever contradicts an earlier answer ends the test.

use std::collections::BTreeMap;
use std::sync::Arc;

use chancery::domain::Serial;
use parking_lot::Mutex;
use serde_json::Value;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::support::client::Response;
use crate::support::signer::Signer;

/// An account that clients and checks share. Locked for moments alone, never while an answer is awaited.
pub type Known = Arc<Mutex<Account>>;

/// What became of a step that can be taken once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Nobody asked for it.
    Untaken,
    /// It was asked for, and there was no answer: it may have happened or not.
    Asked,
    /// It was asked for and confirmed.
    Done,
}

/// An account as its client knows it. URLs are kept without the server's base, which is another one after each start.
pub struct Account {
    /// Where it is; none as long as no answer said so.
    pub path: Option<String>,
    /// The key last confirmed.
    pub key: Arc<Signer>,
    /// The key before that.
    pub old_key: Option<Arc<Signer>>,
    /// A key that was asked for without an answer.
    pub next_key: Option<Arc<Signer>>,
    /// Deactivation.
    pub closed: Step,
    /// Its orders by their paths.
    pub orders: BTreeMap<String, Order>,
    /// Whether anything was asked since the last check.
    pub touched: bool,
}

/// An order as its client knows it.
pub struct Order {
    /// Its names.
    pub names: Vec<String>,
    /// The status last seen.
    pub status: Status,
    /// Whether its challenges are met: then it never becomes invalid.
    pub honest: bool,
    /// Its authorizations.
    pub authzs: BTreeMap<String, Proof>,
    /// The CSR, once finalize was tried.
    pub csr: Option<Vec<u8>>,
    /// Where the certificate is.
    pub certificate: Option<String>,
    /// The chain as it was downloaded, PEM.
    pub chain: Option<String>,
    /// Revocation of the certificate.
    pub revoked: Step,
}

/// The status of an order (RFC 8555 section 7.1.6), in the sequence in which it may change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Status {
    Pending,
    Ready,
    Processing,
    Valid,
    Invalid,
}

/// What an authorization's client knows of it, in the sequence in which it may change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Proof {
    /// Its challenge was not answered, or nobody knows whether the answer arrived.
    Open,
    /// The server confirmed that the challenge was answered: it owes an outcome.
    Answered,
    Valid,
    Invalid,
}

impl Account {
    /// One that does not exist yet.
    pub fn new(key: Signer) -> Self {
        Self {
            path: None,
            key: Arc::new(key),
            old_key: None,
            next_key: None,
            closed: Step::Untaken,
            orders: BTreeMap::new(),
            touched: true,
        }
    }

    /// Its URL came in an answer.
    pub fn is_at(&mut self, path: &str) {
        let known = self.path.get_or_insert_with(|| path.to_owned());
        assert_eq!(known, path, "an account moved");
    }

    /// The server took the new key.
    pub fn key_changed(&mut self) {
        let next = self.next_key.take().expect("asked for before");
        self.old_key = Some(std::mem::replace(&mut self.key, next));
    }

    /// The order at this path, which is new if it is not known.
    pub fn order(&mut self, path: &str) -> &mut Order {
        self.orders.entry(path.to_owned()).or_insert_with(Order::new)
    }
}

impl Order {
    fn new() -> Self {
        Self {
            names: Vec::new(),
            status: Status::Pending,
            honest: true,
            authzs: BTreeMap::new(),
            csr: None,
            certificate: None,
            chain: None,
            revoked: Step::Untaken,
        }
    }

    /// The order object came in an answer from the server at `base`.
    pub fn seen(&mut self, base: &str, object: &Value) {
        let names: Vec<String> =
            list(&object["identifiers"]).iter().map(|identifier| text(&identifier["value"])).collect();
        if self.names.is_empty() {
            self.names = names;
        } else {
            assert_eq!(self.names, names, "an order's names changed: {object}");
        }
        self.advance(Status::of(object), object);
        for authz in list(&object["authorizations"]) {
            self.authzs.entry(path(base, authz.as_str().unwrap()).to_owned()).or_insert(Proof::Open);
        }
        if let Some(url) = object["certificate"].as_str() {
            let path = path(base, url);
            assert_eq!(self.certificate.get_or_insert_with(|| path.to_owned()), path, "a certificate moved");
        }
        assert_eq!(self.certificate.is_some(), self.status == Status::Valid, "a certificate and its status: {object}");
    }

    fn advance(&mut self, now: Status, object: &Value) {
        let settled = matches!(self.status, Status::Valid | Status::Invalid);
        assert!(now == self.status || (!settled && now > self.status), "from {:?} back to {object}", self.status);
        assert!(!self.honest || now != Status::Invalid, "an honest order failed: {object}");
        self.status = now;
    }

    /// The authorization object came in an answer.
    pub fn proof_seen(&mut self, path: &str, object: &Value) {
        let challenges = list(&object["challenges"]);
        let now = match object["status"].as_str() {
            Some("valid") => Proof::Valid,
            Some("invalid") => Proof::Invalid,
            _ if challenges.iter().any(|challenge| challenge["status"] == "processing") => Proof::Answered,
            _ => Proof::Open,
        };
        let known = self.authzs.get_mut(path).expect("an authorization of the order");
        let settled = matches!(known, Proof::Valid | Proof::Invalid);
        assert!(now == *known || (!settled && now > *known), "from {known:?} back to {object}");
        *known = now;
    }

    /// The certificate was downloaded.
    pub fn downloaded(&mut self, chain: &str) {
        let path = self.certificate.as_deref().expect("where it was downloaded from");
        assert_eq!(self.chain.get_or_insert_with(|| chain.to_owned()), chain, "{path} changed");
        assert!(path.ends_with(&format!("/{}", self.serial())), "{path} is not named after {}", self.serial());
    }

    /// The downloaded certificate, DER.
    pub fn leaf(&self) -> Vec<u8> {
        let chain = self.chain.as_deref().expect("a downloaded chain");
        pem::parse_many(chain).unwrap().remove(0).into_contents()
    }

    /// The downloaded certificate's serial.
    pub fn serial(&self) -> Serial {
        let leaf = self.leaf();
        let (_, leaf) = X509Certificate::from_der(&leaf).unwrap();
        Serial::from_der(leaf.raw_serial()).expect("a serial of this CA")
    }
}

impl Status {
    /// Of an order object.
    pub fn of(object: &Value) -> Self {
        match object["status"].as_str() {
            Some("pending") => Self::Pending,
            Some("ready") => Self::Ready,
            Some("processing") => Self::Processing,
            Some("valid") => Self::Valid,
            Some("invalid") => Self::Invalid,
            _ => panic!("no status in {object}"),
        }
    }
}

/// A URL of the server without its base.
pub fn path<'u>(base: &str, url: &'u str) -> &'u str {
    url.strip_prefix(base).unwrap_or_else(|| panic!("{url} is not below {base}"))
}

/// The path in an answer's `Location`.
pub fn location<'r>(base: &str, response: &'r Response) -> &'r str {
    path(base, response.location())
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}
