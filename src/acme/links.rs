//! Every URL that is given out, and the way back from a URL to the id in it.

use crate::domain::error::Help;
use crate::domain::plan::Method;
use crate::domain::{AccountId, AuthzId, OrderId, Serial};

/// The URLs below the server's public base URL.
#[derive(Debug, Clone)]
pub struct Links {
    base: String,
}

impl Links {
    /// Below this base URL, e.g. `https://ca.example:14000`.
    pub fn new(public_url: &str) -> Self {
        Self { base: public_url.trim_end_matches('/').to_owned() }
    }

    /// The URL of a request by its path and query: what its `url` header must be, letter for letter.
    pub fn of_request(&self, path_and_query: &str) -> String {
        format!("{}{path_and_query}", self.base)
    }

    /// The directory.
    pub fn directory(&self) -> String {
        self.of_request("/directory")
    }

    /// A resource that the directory names, by its path segment.
    pub fn resource(&self, name: &str) -> String {
        format!("{}/acme/{name}", self.base)
    }

    /// The resource of that name which orders a certain product.
    pub fn product_resource(&self, product: &str, name: &str) -> String {
        format!("{}/acme/product/{product}/{name}", self.base)
    }

    /// What stands before an account's id in its URL.
    pub fn account_prefix(&self) -> String {
        self.resource("account/")
    }

    /// The page about what a refusal names as help (RFC 8555 section 6.6).
    pub fn help(&self, about: &Help) -> String {
        match about {
            Help::Product(id) => format!("{}/api/v1/products/{id}", self.base),
            Help::Quote { product, names } => {
                format!("{}/api/v1/quotes?product={product}&names={names}", self.base)
            }
            Help::Application(purchase) => format!("{}/api/v1/purchases/{purchase}/application", self.base),
            Help::Letter(purchase) => format!("{}/api/v1/purchases/{purchase}/letter", self.base),
            Help::Limits => format!("{}/api/v1/help/LIMITS", self.base),
            Help::Unpause(token) => self.resource(&format!("unpause/{token}")),
        }
    }

    /// An account: what requests carry as `kid`.
    pub fn account(&self, id: &AccountId) -> String {
        format!("{}{id}", self.account_prefix())
    }

    /// The id in an account's URL; none for every other text (RFC 8555 section 6.2: `kid` is the URL as given out).
    pub fn account_id(&self, url: &str) -> Option<AccountId> {
        url.strip_prefix(&self.account_prefix())?.parse().ok()
    }

    /// An account's orders.
    pub fn orders(&self, id: &AccountId) -> String {
        format!("{}/orders", self.account(id))
    }

    /// An order.
    pub fn order(&self, id: &OrderId) -> String {
        self.resource(&format!("order/{id}"))
    }

    /// Where an order is finalized.
    pub fn finalize(&self, id: &OrderId) -> String {
        format!("{}/finalize", self.order(id))
    }

    /// An authorization.
    pub fn authz(&self, id: &AuthzId) -> String {
        self.resource(&format!("authz/{id}"))
    }

    /// A challenge.
    pub fn challenge(&self, authz: &AuthzId, method: Method) -> String {
        self.resource(&format!("challenge/{authz}/{method}"))
    }

    /// A certificate with the default chain.
    pub fn certificate(&self, serial: &Serial) -> String {
        self.resource(&format!("certificate/{serial}"))
    }

    /// The private key for encryption of the SM2 pair that a certificate for signatures begins.
    pub fn encryption_key(&self, serial: &Serial) -> String {
        self.resource(&format!("encryption-key/{serial}"))
    }

    /// A certificate with the chain of that number, 0 being the default.
    pub fn certificate_chain(&self, serial: &Serial, chain: usize) -> String {
        match chain {
            0 => self.certificate(serial),
            other => format!("{}/{other}", self.certificate(serial)),
        }
    }
}
