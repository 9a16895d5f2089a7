//! What a customer keeps about a certificate: name, tags, project, silence, and the resources that use it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{CustomerId, Error, Result, Serial, Timestamp, UploadId};

/// A certificate in a customer's list: issued here, or uploaded.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CertificateRef {
    /// Issued here; its id is its serial (META-04).
    Issued(Serial),
    /// Of another CA.
    Uploaded(UploadId),
}

impl fmt::Display for CertificateRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Issued(serial) => serial.fmt(f),
            Self::Uploaded(id) => id.fmt(f),
        }
    }
}

impl FromStr for CertificateRef {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        text.parse().map(Self::Issued).or_else(|()| text.parse().map(Self::Uploaded))
    }
}

impl Serialize for CertificateRef {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for CertificateRef {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|()| serde::de::Error::custom("neither a serial nor the id of an upload"))
    }
}

/// What its owner keeps about a certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Portfolio {
    /// The certificate.
    pub certificate: CertificateRef,
    /// What its owner calls it (META-01).
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Keys and values (META-02).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    /// The project that it belongs to, one (META-03); empty for none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub project: String,
    /// Since when nobody wants messages about it (NOTIFY-01).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub muted: Option<Timestamp>,
    /// Resources that it was deployed to (HOST-05).
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub deployed: BTreeSet<Resource>,
    /// Those of them on which a later certificate replaces it (HOST-01).
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub hosted: BTreeSet<Resource>,
    /// When its owner deleted it: it is in no list any more (DELETE-04).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deleted: Option<Timestamp>,
}

/// A resource of a provider that uses certificates: a load balancer, a CDN (HOST-06).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Resource {
    /// Its type, one of `RESOURCE_KINDS`.
    pub kind: String,
    /// What its owner calls it.
    pub id: String,
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.id)
    }
}

/// Types of resources (HOST-06, DELETE-05).
pub const RESOURCE_KINDS: [&str; 5] = ["load-balancer", "cdn", "waf", "gateway", "storage"];

impl Resource {
    /// Checks a resource as it was written.
    pub fn new(kind: &str, id: &str) -> Result<Self> {
        let shown = |text: &str| text.chars().take(40).collect::<String>().escape_debug().to_string();
        if ["server", "host"].contains(&kind) {
            return Err(Error::malformed(
                "Nothing is installed on servers of your own: install it there yourself, from its bundle (HOST-04).",
            ));
        }
        if !RESOURCE_KINDS.contains(&kind) {
            let known = RESOURCE_KINDS.join(", ");
            return Err(Error::malformed(format!(
                "\"{}\" is no type of resource; there are: {known} (HOST-06).",
                shown(kind)
            )));
        }
        if id.is_empty() || id.len() > 100 || !id.bytes().all(|b| b.is_ascii_graphic() && b != b'/') {
            return Err(Error::malformed(format!(
                "\"{}\" is no id of a resource: 1 to 100 printable ASCII characters without blanks and slashes.",
                shown(id)
            )));
        }
        Ok(Self { kind: kind.to_owned(), id: id.to_owned() })
    }
}

/// A resource that certificates are deployed to, and where it is told of them.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct HostingTarget {
    /// Whose it is.
    pub customer: CustomerId,
    /// Which.
    pub resource: Resource,
    /// The webhook that takes certificates over.
    pub url: String,
    /// What messages to it are signed with.
    pub secret: Zeroizing<String>,
    /// The certificate that it uses; none when it was unbound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<CertificateRef>,
    /// What became of the last message.
    pub delivery: Delivery,
}

/// What became of a message to a resource.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "lowercase")]
pub enum Delivery {
    /// It is under way.
    Pending {
        /// Since when.
        since: Timestamp,
    },
    /// The resource took it.
    Delivered {
        /// When.
        at: Timestamp,
    },
    /// It was given up.
    Failed {
        /// When.
        at: Timestamp,
        /// Why.
        reason: String,
    },
}

impl Portfolio {
    /// For a certificate about which nothing is kept yet.
    pub fn of(certificate: CertificateRef) -> Self {
        Self {
            certificate,
            name: String::new(),
            tags: BTreeMap::new(),
            project: String::new(),
            muted: None,
            deployed: BTreeSet::new(),
            hosted: BTreeSet::new(),
            deleted: None,
        }
    }

    /// With another name, other tags or another project; none leaves what there is.
    pub fn described(
        mut self,
        name: Option<&str>,
        tags: Option<&BTreeMap<String, String>>,
        project: Option<&str>,
    ) -> Result<Self> {
        if let Some(name) = name {
            self.name = checked(name, "name", 200, "META-01")?;
        }
        if let Some(project) = project {
            self.project = checked(project, "project", 100, "META-03")?;
        }
        if let Some(tags) = tags {
            self.tags = checked_tags(tags)?;
        }
        Ok(self)
    }

    /// Demands that no resource uses it (REVOKE-09, DELETE-05).
    pub fn unbound(&self, so_that: &str, rule: &str) -> Result<()> {
        if self.deployed.is_empty() {
            return Ok(());
        }
        let users: Vec<String> = self.deployed.iter().map(ToString::to_string).collect();
        Err(Error::new(
            super::Kind::Conflict,
            format!(
                "The certificate is in use by {}: {so_that} may interrupt them. Unbind it first (DELETE \
                 /certificates/{}/deployments), then try again ({rule}).",
                users.join(", "),
                self.certificate
            ),
        ))
    }
}

fn checked(text: &str, what: &str, most: usize, rule: &str) -> Result<String> {
    let text = text.trim();
    if text.chars().count() > most || text.chars().any(char::is_control) {
        return Err(Error::malformed(format!(
            "A certificate's {what} has {most} characters at most, and no control characters ({rule})."
        )));
    }
    Ok(text.to_owned())
}

fn checked_tags(tags: &BTreeMap<String, String>) -> Result<BTreeMap<String, String>> {
    if tags.len() > 50 {
        return Err(Error::malformed("A certificate has 50 tags at most (META-02)."));
    }
    let checked_tag = |(key, value): (&String, &String)| {
        if key.trim().is_empty() || key.contains('=') {
            return Err(Error::malformed(
                "A tag is a key and a value; the key is not empty and has no \"=\" (META-02).",
            ));
        }
        Ok((checked(key, "tag key", 100, "META-02")?, checked(value, "tag value", 200, "META-02")?))
    };
    tags.iter().map(checked_tag).collect()
}
