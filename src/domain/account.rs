//! An ACME account (RFC 8555 section 7.1.2) and its life.

use serde::{Deserialize, Serialize};

use super::key::AccountKey;
use super::{AccountId, CustomerId, Error, Kind, Result, Timestamp};

/// An account: the holder of a key.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Account {
    /// Part of the account's URL; never changes.
    pub id: AccountId,
    /// The key that signs this account's requests.
    pub key: AccountKey,
    /// `mailto:` URLs, checked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub contact: Vec<String>,
    /// When the terms of service were agreed to; none if never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub terms_agreed: Option<Timestamp>,
    /// The external account binding that was verified when the account was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external: Option<ExternalBinding>,
    /// When it was made.
    pub created: Timestamp,
    /// Where it stands in its life.
    pub standing: Standing,
}

/// A verified external account binding (RFC 8555 section 7.3.4).
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ExternalBinding {
    /// The customer that the MAC key was given to.
    pub customer: CustomerId,
    /// The identifier of the MAC key.
    pub kid: String,
    /// The only product that accounts bound by this key may order, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub product: Option<String>,
    /// The only domains for which accounts bound by this key may order; none for all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub domains: Vec<String>,
    /// The binding as the client sent it, shown in the account object: a flattened JWS as JSON text.
    pub jws: String,
}

/// The life of an account: `valid` until its holder or the server ends it, for good (RFC 8555 section 7.1.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "lowercase")]
pub enum Standing {
    /// In use.
    Valid,
    /// Closed by its holder.
    Deactivated {
        /// When.
        at: Timestamp,
    },
    /// Closed by the server.
    Revoked {
        /// When.
        at: Timestamp,
    },
}

/// Who quotas, purchases and clearances belong to: the customer that an account is bound to, or the account itself,
/// which is then its own individual customer (ACCT-02).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Holder {
    /// A customer with all its accounts.
    Customer(CustomerId),
    /// An account that is bound to none.
    Account(AccountId),
}

impl Holder {
    /// The customer, if it is one.
    pub fn customer(&self) -> Option<&CustomerId> {
        match self {
            Self::Customer(id) => Some(id),
            Self::Account(_) => None,
        }
    }

    /// The holder as a name in the store: never a prefix of another.
    pub fn as_key(&self) -> String {
        match self {
            Self::Customer(id) => format!("c{id}"),
            Self::Account(id) => format!("a{id}"),
        }
    }
}

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Customer(id) => write!(f, "customer {id}"),
            Self::Account(id) => write!(f, "account {id}"),
        }
    }
}

impl Account {
    /// Who stands behind the account.
    pub fn holder(&self) -> Holder {
        match &self.external {
            Some(external) => Holder::Customer(external.customer.clone()),
            None => Holder::Account(self.id.clone()),
        }
    }

    /// The account, if it may act; a closed account is refused (RFC 8555 section 7.3.6).
    pub fn active(&self) -> Result<&Self> {
        let how = match self.standing {
            Standing::Valid => return Ok(self),
            Standing::Deactivated { .. } => "deactivated",
            Standing::Revoked { .. } => "revoked",
        };
        Err(Error::new(Kind::AccountClosed, format!("Account {} is {how} and can do nothing more.", self.id)))
    }

    /// Closes the account for good (RFC 8555 section 7.3.6).
    pub fn deactivate(mut self, now: Timestamp) -> Result<Self> {
        self.active()?;
        self.standing = Standing::Deactivated { at: now };
        Ok(self)
    }

    /// Closes an account for the server (RFC 8555 section 7.1.6).
    pub fn revoke(mut self, now: Timestamp) -> Result<Self> {
        self.active()?;
        self.standing = Standing::Revoked { at: now };
        Ok(self)
    }

    /// The account with another key (RFC 8555 section 7.3.5).
    pub fn with_key(mut self, key: AccountKey) -> Result<Self> {
        self.active()?;
        self.key = key;
        Ok(self)
    }

    /// The account with other contacts (RFC 8555 section 7.3.2).
    pub fn with_contact(mut self, contact: Vec<String>) -> Result<Self> {
        self.active()?;
        self.contact = contact;
        Ok(self)
    }
}

/// Checks contact URLs (RFC 8555 section 7.3): `mailto:` with one address and no header fields.
pub fn check_contacts(contacts: &[String]) -> Result<()> {
    if contacts.len() > 10 {
        return Err(Error::new(
            Kind::InvalidContact,
            format!("{} contacts were given; at most 10 are kept.", contacts.len()),
        ));
    }
    contacts.iter().try_for_each(|contact| check_contact(contact))
}

fn check_contact(contact: &str) -> Result<()> {
    let shown: String = contact.chars().take(100).collect();
    let invalid =
        |why: &str| Err(Error::new(Kind::InvalidContact, format!("The contact \"{}\" {why}.", shown.escape_debug())));
    let Some((scheme, address)) = contact.split_once(':') else {
        return invalid("is not a URL; write mailto:someone@example.com");
    };
    if !scheme.eq_ignore_ascii_case("mailto") {
        return Err(Error::new(
            Kind::UnsupportedContact,
            format!(
                "The contact \"{}\" is of a scheme that is not supported; mailto: is the only one.",
                shown.escape_debug()
            ),
        ));
    }
    if address.contains('?') {
        return invalid("has header fields (after \"?\"), which RFC 8555 forbids");
    }
    if address.contains(',') || address.to_ascii_lowercase().contains("%2c") {
        return invalid("names more than one address; give one URL for each");
    }
    if contact.len() > 320 || !address.bytes().all(|b| b.is_ascii_graphic()) {
        return invalid("holds characters that do not belong into a URL, or is too long");
    }
    match address.rsplit_once('@') {
        Some((local, domain))
            if !local.is_empty()
                && !local.contains('@')
                && super::DnsName::parse(domain).is_ok_and(|d| !d.is_wildcard()) =>
        {
            Ok(())
        }
        _ => invalid("is not an e-mail address"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contacts_are_single_mail_addresses() {
        let check = |contact: &str| check_contacts(&[contact.to_owned()]).map_err(|e| e.kind());
        assert_eq!(check("mailto:admin@example.com"), Ok(()));
        assert_eq!(check("MAILTO:a+b@mail.example.com"), Ok(()));
        assert_eq!(check("tel:+123"), Err(Kind::UnsupportedContact));
        for bad in [
            "mailto:",
            "mailto:a",
            "mailto:a@b",
            "mailto:a@b.c,d@e.f",
            "mailto:a@b.c?subject=x",
            "a@b.c",
            "mailto:a b@c.de",
        ] {
            assert_eq!(check(bad), Err(Kind::InvalidContact), "{bad}");
        }
    }
}
