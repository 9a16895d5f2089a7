//! A plan: everything that the chosen product lays down for an order, written into the order when it is opened.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How control of a name is shown (RFC 8555 section 8, RFC 8737).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Method {
    /// A file on the name's web server.
    #[serde(rename = "http-01")]
    Http01,
    /// A TXT record below the name.
    #[serde(rename = "dns-01")]
    Dns01,
    /// A certificate shown to ALPN protocol `acme-tls/1`.
    #[serde(rename = "tls-alpn-01")]
    TlsAlpn01,
}

impl Method {
    /// All of them, in the order in which challenges are offered.
    pub const ALL: [Method; 3] = [Method::Http01, Method::Dns01, Method::TlsAlpn01];

    /// The name in the registry of validation methods, which URLs and CAA records use too.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http01 => "http-01",
            Self::Dns01 => "dns-01",
            Self::TlsAlpn01 => "tls-alpn-01",
        }
    }

    /// The method of that name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|method| method.as_str() == text)
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
