//! What acts rest on, where that is more than a few words.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::super::order::Purpose;
use super::super::plan::Method;
use super::super::{AccountId, ApplicationId, AuthzId, CustomerId, OrganisationId, PurchaseId, Timestamp};

/// Most octets of the evidence of one event, and of a line of it.
const MOST: usize = 64 << 10;
const LONGEST_LINE: usize = 4 << 10;

/// Where the chain of a node ends, or ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChainHead {
    /// The node.
    pub node: u16,
    /// The number of the last link.
    pub sequence: u64,
    /// Its hash, in hexadecimal digits.
    pub hash: String,
}

/// What a certificate was signed on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signature {
    /// The intermediate that signed.
    pub issuer: String,
    /// The key identifier of its key, in hexadecimal digits.
    pub issuer_key: String,
    /// SHA-256 of the certificate, in hexadecimal digits.
    pub sha256: String,
    /// SHA-256 of the certified SubjectPublicKeyInfo, in hexadecimal digits.
    pub spki_sha256: String,
    /// Who it was issued to.
    pub account: AccountId,
    /// The customer behind the account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customer: Option<CustomerId>,
    /// What was ordered.
    pub product: String,
    /// What the order was to earlier certificates.
    pub purpose: Purpose,
    /// The names.
    pub names: Vec<String>,
    /// First second of its validity.
    pub not_before: Timestamp,
    /// Last second of its validity.
    pub not_after: Timestamp,
    /// Most days that a validation could be old when it was signed (Baseline Requirements 4.2.1).
    pub reuse_days: u32,
    /// Whether the public calendar says how many.
    pub public_calendar: bool,
    /// What proved the names, in their order.
    pub proofs: Vec<Proof>,
    /// What says that the organisation is what it says it is; none where none is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vetting: Option<Vetting>,
    /// What paid for it: `purchase`, `quota`, or `nothing` where the product costs nothing.
    pub charge: String,
    /// The purchase.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub purchase: Option<PurchaseId>,
}

impl Signature {
    /// The same for the second certificate of a pair (KEY-11), by its digest and that of its key: it rests on the same evidence.
    pub fn of_second(self, sha256: String, spki_sha256: String) -> Self {
        Self { sha256, spki_sha256, ..self }
    }
}

/// What proved a name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    /// The name as it stands in the certificate.
    pub name: String,
    /// The authorization.
    pub authz: AuthzId,
    /// How it was proven, by the label that RFC 8555 registers.
    pub method: Method,
    /// When.
    pub validated: Timestamp,
    /// When CAA was looked at together with the proof; the look just before the signature is an event of the order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caa_checked: Option<Timestamp>,
}

/// An approved application.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vetting {
    /// The application.
    pub application: ApplicationId,
    /// The organisation.
    pub organisation: OrganisationId,
    /// When it was approved.
    pub approved: Timestamp,
    /// By whom, at last; for an application that begins approved, why.
    pub by: String,
    /// Until when the approval served.
    pub until: Timestamp,
    /// How many people had to approve; 0 where the same data were approved before (REVIEW-09).
    pub approvers: u32,
}

/// What a server runs on: settings, and digests of the rest.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observation {
    /// The version of the server.
    pub version: String,
    /// SHA-256 of configuration, catalogue, word lists, certificates and trust anchors by their files, that of the operator's
    /// token (`operator.token`), and the key identifiers of the CA's keys by their names (`key chancery`), all in
    /// hexadecimal digits.
    pub digests: BTreeMap<String, String>,
    /// What the configuration says, by its keys (`validation.dnssec`); none in events of older versions.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub settings: BTreeMap<String, String>,
}

/// Something that is not as it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changed {
    /// The file, the key of the CA, the key of the configuration, or `version`.
    pub what: String,
    /// What it was; none if it was not there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// What it is; none if it is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

impl Observation {
    /// What is not as it was before.
    pub fn changes_since(&self, before: &Self) -> Vec<Changed> {
        let all = |of: &Self| {
            let version = [("version".to_owned(), of.version.clone())];
            of.digests.clone().into_iter().chain(of.settings.clone()).chain(version).collect::<BTreeMap<_, _>>()
        };
        let (before, after) = (all(before), all(self));
        let names: std::collections::BTreeSet<&String> = before.keys().chain(after.keys()).collect();
        let changed = names.into_iter().filter(|name| before.get(*name) != after.get(*name));
        let told = changed.map(|what| Changed {
            what: what.clone(),
            before: before.get(what).cloned(),
            after: after.get(what).cloned(),
        });
        told.collect()
    }
}

/// Shortens evidence to what one event may hold, and says by how much.
pub(super) fn cut(lines: &mut Vec<String>) {
    for line in lines.iter_mut().filter(|line| line.len() > LONGEST_LINE) {
        let end = (0..=LONGEST_LINE).rev().find(|end| line.is_char_boundary(*end)).unwrap_or(0);
        let more = line.len() - end;
        line.truncate(end);
        line.push_str(&format!(" [{more} more octets]"));
    }
    let mut octets = 0;
    let kept = lines.iter().take_while(|line| {
        octets += line.len();
        octets <= MOST
    });
    let kept = kept.count();
    if kept < lines.len() {
        let gone = lines.split_off(kept);
        let octets: usize = gone.iter().map(String::len).sum();
        lines.push(format!("[{} more lines of {octets} octets]", gone.len()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_evidence_is_cut_and_says_by_how_much() {
        let mut short = vec!["A x: 192.0.2.1".to_owned(); 3];
        cut(&mut short);
        assert_eq!(short, ["A x: 192.0.2.1"; 3]);
        let mut long = vec!["\u{e4}".repeat(3000)];
        cut(&mut long);
        assert_eq!(long[0].len(), LONGEST_LINE + " [1904 more octets]".len());
        assert!(long[0].ends_with(" [1904 more octets]"), "{}", &long[0][4000..]);
        let mut many = vec!["x".repeat(1024); 100];
        cut(&mut many);
        assert_eq!(many.len(), 65);
        assert_eq!(many[64], "[36 more lines of 36864 octets]");
    }

    #[test]
    fn a_change_is_told_with_what_was_and_what_is() {
        let state = |version: &str, digests: &[(&str, &str)], node: &str| Observation {
            version: version.to_owned(),
            digests: digests.iter().map(|(name, digest)| ((*name).to_owned(), (*digest).to_owned())).collect(),
            settings: BTreeMap::from([("server.node".to_owned(), node.to_owned())]),
        };
        let before = state("1", &[("a", "x"), ("b", "y"), ("c", "z")], "1");
        assert_eq!(before.changes_since(&before), []);
        let after = state("2", &[("a", "x"), ("b", "w"), ("d", "v")], "2");
        let told: Vec<_> = after.changes_since(&before);
        let plain: Vec<_> =
            told.iter().map(|change| (&change.what[..], change.before.as_deref(), change.after.as_deref())).collect();
        assert_eq!(
            plain,
            [
                ("b", Some("y"), Some("w")),
                ("c", Some("z"), None),
                ("d", None, Some("v")),
                ("server.node", Some("1"), Some("2")),
                ("version", Some("1"), Some("2"))
            ]
        );
    }
}
