//! An incident: certificates that have to be renewed before their time, and until when (RFC 9773 section 4.2).

use serde::{Deserialize, Serialize};

use super::certificate::Certificate;
use super::{Error, Identifier, IncidentId, Result, Serial, Timestamp};

/// Most serials that one incident lists, and most names.
pub const MAX_SERIALS: usize = 100_000;
pub const MAX_NAMES: usize = 1_000;

/// Most serials in one record; those of longer lists stand in records of their own.
const SERIALS_OF_RECORD: usize = 10_000;

/// Most incidents that are open at once: each is compared with every certificate whose renewal is asked about.
pub const MAX_OPEN: usize = 100;

/// An incident.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Incident {
    /// Its id.
    pub id: IncidentId,
    /// Which certificates it is about. It is never about one that was issued after it was opened.
    pub selection: Selection,
    /// What happened, for the people who have to renew.
    pub reason: String,
    /// A page that explains it to them, which ACME clients show (RFC 9773 section 4.2).
    pub explanation_url: Option<String>,
    /// By when they should be renewed.
    pub renew_by: Timestamp,
    /// When it was opened.
    pub opened: Timestamp,
    /// How many certificates in force it was about then.
    pub matched: usize,
    /// When it was closed; their renewal is as usual since then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed: Option<Timestamp>,
    /// In how many parts its serials are kept beside it, because there are too many for its record.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub parts: u32,
}

/// A part of the serials of an incident: the store takes no record of any length.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SerialsPart {
    /// Which incident.
    pub incident: IncidentId,
    /// Which part, from 0 on.
    pub number: u32,
    /// The serials, in order.
    pub serials: Vec<Serial>,
}

/// Which certificates an incident is about: those that meet all of it. What is left out, or empty, every certificate meets.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Selection {
    /// The intermediate that signed it.
    pub issuer: Option<String>,
    /// The product that it was ordered as.
    pub product: Option<String>,
    /// A name of it is one of these, or lies below one.
    pub names: Vec<Identifier>,
    /// Its serial is one of these; in order.
    pub serials: Vec<Serial>,
    /// It was signed then or later.
    pub issued_from: Option<Timestamp>,
    /// It was signed then or earlier.
    pub issued_until: Option<Timestamp>,
    /// SHA-256 of its SubjectPublicKeyInfo, in hexadecimal digits.
    pub key_sha256: Option<String>,
}

impl Selection {
    /// The selection with its lists in order, if it is one: everything at once is nobody's intent.
    pub fn checked(mut self) -> Result<Self> {
        if self == Self::default() {
            return Err(Error::malformed(
                "Say which certificates: issuer, product, names, serials, issued_from, issued_until or key_sha256.",
            ));
        }
        let listed = [("names", self.names.len(), MAX_NAMES), ("serials", self.serials.len(), MAX_SERIALS)];
        if let Some((member, count, most)) = listed.into_iter().find(|(_, count, most)| count > most) {
            return Err(Error::malformed(format!("Field \"{member}\" lists {count}; at most {most}.")));
        }
        if let (Some(from), Some(until)) = (self.issued_from, self.issued_until)
            && until < from
        {
            return Err(Error::malformed(format!("\"issued_until\" ({until}) is before \"issued_from\" ({from}).")));
        }
        self.serials.sort_unstable();
        self.serials.dedup();
        Ok(self)
    }

    /// Whether a certificate meets all of it.
    pub fn matches(&self, certificate: &Certificate) -> bool {
        let named = |wanted: &Identifier| certificate.identifiers.iter().any(|name| lies_at(name, wanted));
        self.issuer.as_ref().is_none_or(|issuer| *issuer == certificate.issuer)
            && self.product.as_ref().is_none_or(|product| *product == certificate.product)
            && (self.serials.is_empty() || self.serials.binary_search(&certificate.serial).is_ok())
            && self.issued_from.is_none_or(|from| from <= certificate.issued)
            && self.issued_until.is_none_or(|until| certificate.issued <= until)
            && self
                .key_sha256
                .as_ref()
                .is_none_or(|key| *key == super::certificate::hex32::encode(&certificate.spki_sha256))
            && (self.names.is_empty() || self.names.iter().any(named))
    }
}

/// Whether a name is the wanted one or lies below it; a wildcard lies below its domain.
fn lies_at(name: &Identifier, wanted: &Identifier) -> bool {
    match (name, wanted) {
        (Identifier::Dns(name), Identifier::Dns(wanted)) => {
            let (name, wanted) = (name.as_str(), wanted.as_str());
            name.strip_suffix(wanted).is_some_and(|before| before.is_empty() || before.ends_with('.'))
        }
        _ => name == wanted,
    }
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

impl Incident {
    /// The incident as its record holds it, and its serials where they are too many for that.
    #[must_use]
    pub fn in_parts(mut self) -> (Self, Vec<SerialsPart>) {
        if self.selection.serials.len() <= SERIALS_OF_RECORD {
            return (self, Vec::new());
        }
        let serials = std::mem::take(&mut self.selection.serials);
        let part = |(number, serials): (u32, &[Serial])| SerialsPart {
            incident: self.id.clone(),
            number,
            serials: serials.to_vec(),
        };
        let parts: Vec<SerialsPart> = (0..).zip(serials.chunks(SERIALS_OF_RECORD)).map(part).collect();
        self.parts = u32::try_from(parts.len()).unwrap_or(u32::MAX);
        (self, parts)
    }

    /// The incident with all its serials, from its record and their parts.
    #[must_use]
    pub fn of_parts(mut self, parts: impl IntoIterator<Item = SerialsPart>) -> Self {
        self.selection.serials.extend(parts.into_iter().flat_map(|part| part.serials));
        self
    }

    /// Whether it asks for the renewal of a certificate.
    pub fn marks(&self, certificate: &Certificate) -> bool {
        self.closed.is_none() && certificate.issued <= self.opened && self.selection.matches(certificate)
    }

    /// The same incident, closed; a second time changes nothing.
    #[must_use]
    pub fn close(mut self, now: Timestamp) -> Self {
        self.closed = self.closed.or(Some(now));
        self
    }
}
