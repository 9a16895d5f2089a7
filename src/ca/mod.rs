//! Signing: values in, DER out. Knows nothing of accounts, orders, ACME, store or HTTP.

pub mod certificate;
/// stub
pub mod csr {
    /// stub
    pub fn parse(_: &[u8]) -> crate::domain::Result<crate::domain::csr::Csr> {
        unreachable!()
    }
}

use std::path::Path;

use serde::Deserialize;

use crate::domain::csr::SubjectKey;
use crate::domain::{Identifier, Result, Serial, Timestamp};

/// `[ca]` of the configuration.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// `organizationName` of root and intermediates.
    pub organization: String,
    /// `countryName` of root and intermediates, two capital letters.
    pub country: String,
    /// Days that the root is valid, 2922 to 9132 (Baseline Requirements 7.1.2.1.1).
    pub root_days: u32,
    /// Days that intermediates are valid.
    pub intermediate_days: u32,
    /// Names of the ECDSA issuing intermediates; products name one of them as their `issuer`.
    pub issuers: Vec<String>,
    /// Whether subjects with RSA keys are signed by an RSA intermediate (of the same name with `-rsa`).
    pub rsa_issuers: bool,
    /// How many further roots cross-sign the intermediates; each gives an alternate chain.
    pub alternate_roots: u8,
    /// How many shards each issuer's CRL has.
    pub crl_shards: u16,
}

/// What is to be certified.
#[derive(Debug, Clone)]
pub struct LeafPlan {
    /// The recorded serial.
    pub serial: Serial,
    /// The issuer family of the product, one of `Settings::issuers`.
    pub issuer: String,
    /// subjectAltName, in this order.
    pub names: Vec<Identifier>,
    /// The name that becomes the common name, one of `names`; none for an empty subject.
    pub common_name: Option<Identifier>,
    /// The subject's public key: SubjectPublicKeyInfo, DER.
    pub spki: Vec<u8>,
    /// Its kind.
    pub key: SubjectKey,
    /// First second of validity.
    pub not_before: Timestamp,
    /// Last second of validity (inclusive).
    pub not_after: Timestamp,
}

/// A to-be-signed certificate that was linted; only `Ca::prepare` makes one, and signing uses it up.
pub struct Prepared {
    _tbs: Vec<u8>,
}

/// A signed certificate.
#[derive(Debug, Clone)]
pub struct Signed {
    /// The certificate, DER.
    pub der: Vec<u8>,
    /// The name of the intermediate that signed it, e.g. `trustasia` or `trustasia-rsa`.
    pub issuer: String,
}

/// The certificate authority: its roots, intermediates and their keys.
pub struct Ca {}

impl Default for Settings {
    fn default() -> Self {
        Self {
            organization: "Chancery".to_owned(),
            country: "CN".to_owned(),
            root_days: 7300,
            intermediate_days: 3650,
            issuers: vec!["chancery".to_owned()],
            rsa_issuers: true,
            alternate_roots: 0,
            crl_shards: 1,
        }
    }
}

impl Ca {
    /// Opens the keys in `directory` (mode 0700, files 0600), creating what is not there yet. `pki_url` is the base of
    /// the URLs in AIA and CRL distribution points. Refuses to start with keys and certificates that don't fit.
    pub fn open(
        directory: &Path,
        settings: &Settings,
        pki_url: &str,
        now: Timestamp,
    ) -> std::result::Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        let _ = (directory, settings, pki_url, now);
        unreachable!("the CA is being written")
    }

    /// Builds the to-be-signed certificate and lints it by an independent parse against its profile.
    pub fn prepare(&self, plan: &LeafPlan) -> Result<Prepared> {
        let _ = plan;
        unreachable!("the CA is being written")
    }

    /// Signs what was prepared.
    pub fn sign(&self, prepared: Prepared) -> Result<Signed> {
        let _ = prepared;
        unreachable!("the CA is being written")
    }

    /// Last second that a leaf of that issuer family may be valid for such a key.
    pub fn issuer_not_after(&self, issuer: &str, key: SubjectKey) -> Result<Timestamp> {
        let _ = (issuer, key);
        unreachable!("the CA is being written")
    }

    /// The chains above a leaf signed by the intermediate of that name, each from the intermediate upwards without the
    /// root, DER: first the default, then the alternates. None for an unknown intermediate.
    pub fn chains(&self, signed_by: &str) -> Option<&[Vec<Vec<u8>>]> {
        let _ = signed_by;
        unreachable!("the CA is being written")
    }

    /// Key identifier (SKI) of the intermediate of that name.
    pub fn key_identifier(&self, signed_by: &str) -> Option<&[u8]> {
        let _ = signed_by;
        unreachable!("the CA is being written")
    }

    /// The name of the intermediate with that key identifier, for renewal information (RFC 9773).
    pub fn by_key_identifier(&self, key_identifier: &[u8]) -> Option<&str> {
        let _ = key_identifier;
        unreachable!("the CA is being written")
    }

    /// The trust anchor, PEM.
    pub fn root_pem(&self) -> &str {
        unreachable!("the CA is being written")
    }

    /// The certificate of an intermediate or root by its name, DER, for AIA's `caIssuers`.
    pub fn issuer_der(&self, name: &str) -> Option<&[u8]> {
        let _ = name;
        unreachable!("the CA is being written")
    }
}
