//! A plan: what was found admissible and is to be written into an order, and the methods of showing control.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Identifier, Timestamp};

/// What an order is to hold, after the catalogue has judged the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The chosen product.
    pub product: String,
    /// The names, without repetition.
    pub identifiers: Vec<Identifier>,
    /// First moment of validity, if one was asked for.
    pub not_before: Option<Timestamp>,
    /// Last moment of validity, if one was asked for.
    pub not_after: Option<Timestamp>,
    /// When the order ends if it is not fulfilled.
    pub expires: Timestamp,
    /// How many of the names are charged (SAN-08).
    pub chargeable: u32,
    /// Why a person must look at the order; none: nobody needs to.
    pub causes: Vec<super::order::ReviewCause>,
}

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

    /// Whether it can show control of such a name: wildcards by dns-01 only (RFC 8555 section 7.1.3), addresses by
    /// anything but dns-01 (RFC 8738 section 7).
    pub fn suits(self, identifier: &Identifier) -> bool {
        match identifier {
            Identifier::Dns(name) => !name.is_wildcard() || self == Self::Dns01,
            Identifier::Ip(_) => self != Self::Dns01,
        }
    }
}

/// How CAA records are judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum CaaMode {
    /// As RFC 8659 section 4 says: `issue` decides for ordinary names, `issuewild` (else `issue`) for wildcards.
    #[default]
    #[serde(rename = "rfc8659")]
    Rfc8659,
    /// Where records restrict at all, both tags must name the issuer, for ordinary names and wildcards alike (CAA-03).
    #[serde(rename = "seed-both-tags")]
    BothTags,
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
