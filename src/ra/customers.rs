//! Customers and the MAC keys that bind ACME accounts to them.

use zeroize::Zeroizing;

use super::{Ra, settle};
use crate::domain::account::check_contacts;
use crate::domain::audit::Act;
use crate::domain::customer::{Customer, CustomerKind, ExternalKey, Identity, Tier};
use crate::domain::id::{random_text, random_token};
use crate::domain::{AccountId, CustomerId, DnsName, Error, Result, Timestamp};
use crate::policy::catalog::days;
use crate::store::records::{Batch, Index, Rows, Stored};

/// A customer to be made.
#[derive(Debug, Clone)]
pub struct NewCustomer {
    /// What it is called.
    pub name: String,
    /// A person or an organisation.
    pub kind: CustomerKind,
    /// Its standing.
    pub tier: Tier,
    /// Where messages go.
    pub email: Option<String>,
    /// Whether its identity check is still to be done (ACCT-01).
    pub identity_pending: bool,
}

impl NewCustomer {
    /// An ordinary customer whose identity whoever makes it has checked.
    pub fn new(name: impl Into<String>, kind: CustomerKind) -> Self {
        Self { name: name.into(), kind, tier: Tier::Standard, email: None, identity_pending: false }
    }
}

/// What is to be different about a customer; none stays as it is.
#[derive(Debug, Clone, Default)]
pub struct CustomerChange {
    /// What it is called.
    pub name: Option<String>,
    /// Where messages go.
    pub email: Option<String>,
    /// Its standing.
    pub tier: Option<Tier>,
    /// What the identity check came to.
    pub identity: Option<IdentityWord>,
    /// What that rests on.
    pub identity_note: Option<String>,
}

/// What an identity check came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdentityWord {
    /// It is to be done.
    Pending,
    /// It is who it says it is.
    Checked,
    /// It is not.
    Refused,
}

/// An external account key to be made.
#[derive(Debug, Clone)]
pub struct NewExternalKey {
    /// For whom.
    pub customer: CustomerId,
    /// The only product it may be used for.
    pub product: Option<String>,
    /// The only domains it may be used for; none for all.
    pub domains: Vec<String>,
    /// How many accounts it may bind; none for any number.
    pub most_uses: Option<u32>,
    /// Days until it stops binding new accounts.
    pub days: Option<u32>,
}

impl NewExternalKey {
    /// A key of that customer without limits.
    pub fn of(customer: CustomerId) -> Self {
        Self { customer, product: None, domains: Vec::new(), most_uses: None, days: None }
    }
}

impl Ra {
    /// Makes a customer.
    pub async fn create_customer(&self, asked: NewCustomer) -> Result<Customer> {
        let now = self.now();
        let customer = Customer {
            id: CustomerId::random(),
            name: named("customer", &asked.name)?,
            kind: asked.kind,
            tier: asked.tier,
            email: asked.email.as_deref().map(address).transpose()?,
            identity: match asked.identity_pending {
                true => Identity::Pending,
                false => Identity::Checked { at: Some(now), note: None },
            },
            created: now,
        };
        let act = Act::CustomerCreated { customer: customer.id.clone() };
        self.records.commit(Batch::of(act, now).insert(&customer)).await?;
        Ok(customer)
    }

    /// Up to `limit` customers behind the one of that id.
    pub async fn customers(&self, after: Option<&CustomerId>, limit: usize) -> Result<Vec<Customer>> {
        let after = after.map(|id| id.as_str().into());
        let found = self.records.list::<Customer>(b"", after, limit).await?;
        Ok(found.into_iter().map(|customer| customer.into_value()).collect())
    }

    /// The customer of that id.
    pub async fn customer(&self, id: &CustomerId) -> Result<Customer> {
        Ok(self.stored_customer(id).await?.into_value())
    }

    /// The customer of that id, as it was read.
    pub async fn stored_customer(&self, id: &CustomerId) -> Result<Stored<Customer>> {
        let found = self.records.find::<Customer>(id).await?;
        found.ok_or_else(|| Error::not_found(format!("There is no customer {id}.")))
    }

    /// Edits a customer, if `unchanged` agrees with the version that it is at.
    pub async fn edit_customer(
        &self,
        id: &CustomerId,
        change: &CustomerChange,
        unchanged: &(impl Fn(u64) -> Result<()> + Sync),
    ) -> Result<Stored<Customer>> {
        settle(|| async {
            let read = self.stored_customer(id).await?;
            unchanged(read.version())?;
            let now = self.now();
            let edited = change.applied(&read, now)?;
            let act = Act::CustomerChanged { customer: id.clone(), what: change.what() };
            Ok(self.records.commit(Batch::of(act, now).replace(&read, &edited)).await?)
        })
        .await?;
        self.stored_customer(id).await
    }

    /// Makes an external account key: 512 random bits, enough for HS512 (RFC 7518 section 3.2).
    pub async fn create_external_key(&self, asked: NewExternalKey) -> Result<ExternalKey> {
        let customer = self.customer(&asked.customer).await?;
        if let Some(product) = &asked.product
            && self.catalog().product(product).is_none()
        {
            return Err(Error::not_found(format!("There is no product \"{product}\".")));
        }
        let now = self.now();
        let key = ExternalKey {
            kid: random_token(),
            customer: customer.id,
            product: asked.product,
            domains: asked.domains.iter().map(|domain| domain_name(domain)).collect::<Result<_>>()?,
            uses: 0,
            most_uses: asked.most_uses,
            hmac_key: Zeroizing::new(random_text::<64>()),
            created: now,
            expires: asked.days.map(|count| now + days(count)),
            revoked: None,
        };
        let act = Act::ExternalKeyCreated { customer: key.customer.clone(), kid: key.kid.clone() };
        let row = Index::KeyOfCustomer(&key.customer, &key.kid);
        self.records.commit(Batch::of(act, now).insert(&key).index(&row, &key.kid)).await?;
        Ok(key)
    }

    /// Up to `limit` external account keys behind the one of that identifier.
    pub async fn external_keys(&self, after: Option<&str>, limit: usize) -> Result<Vec<ExternalKey>> {
        let found = self.records.list::<ExternalKey>(b"", after.map(Into::into), limit).await?;
        Ok(found.into_iter().map(|key| key.into_value()).collect())
    }

    /// Up to `limit` external account keys of a customer behind the one of that identifier.
    pub async fn external_keys_of(
        &self,
        customer: &CustomerId,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<ExternalKey>> {
        let after = after.map(|kid| Index::KeyOfCustomer(customer, kid).id());
        let rows = self.records.rows(&Rows::KeysOfCustomer(customer), after, limit).await?;
        let found = self.records.find_all::<ExternalKey>(rows.into_iter().map(|(_, kid)| kid)).await?;
        Ok(found.into_iter().flatten().map(Stored::into_value).collect())
    }

    /// The external account key of that identifier.
    pub async fn external_key(&self, kid: &str) -> Result<ExternalKey> {
        let found = self.records.find::<ExternalKey>(kid).await?;
        Ok(found.ok_or_else(|| Error::not_found("There is no such external account key."))?.into_value())
    }

    /// Withdraws an external account key: it binds no further account. Accounts that it bound stay, unless they are to go
    /// too.
    pub async fn revoke_external_key(&self, kid: &str, accounts: bool) -> Result<ExternalKey> {
        let key = settle(|| async {
            let read = self.records.find::<ExternalKey>(kid).await?;
            let read = read.ok_or_else(|| Error::not_found("There is no such external account key."))?;
            let now = self.now();
            let key = ExternalKey { revoked: read.revoked.or(Some(now)), ..(*read).clone() };
            let act = Act::ExternalKeyRevoked { kid: key.kid.clone() };
            self.records.commit(Batch::of(act, now).replace(&read, &key)).await?;
            Ok(key)
        })
        .await?;
        if accounts {
            self.revoke_accounts_of_key(&key).await?;
        }
        Ok(key)
    }

    /// Closes the accounts that a key bound. The key binds no more, so none is missed.
    async fn revoke_accounts_of_key(&self, key: &ExternalKey) -> Result<()> {
        let mut after: Option<AccountId> = None;
        loop {
            let found = self.accounts_of(&key.customer, after.as_ref(), 500).await?;
            let Some(last) = found.last() else { return Ok(()) };
            after = Some(last.id.clone());
            for account in found {
                let bound = account.external.as_ref().is_some_and(|external| external.kid == key.kid);
                if bound && account.active().is_ok() {
                    self.revoke_account(&account.id).await?;
                }
            }
        }
    }
}

impl CustomerChange {
    fn applied(&self, customer: &Customer, now: Timestamp) -> Result<Customer> {
        let note = self.identity_note.as_deref().map(|note| named("note", note)).transpose()?;
        let identity = match (self.identity, note) {
            (None, None) => customer.identity.clone(),
            (None, Some(_)) => return Err(Error::malformed("\"identity_note\" goes with \"identity\".")),
            (Some(IdentityWord::Pending), _) => Identity::Pending,
            (Some(IdentityWord::Checked), note) => Identity::Checked { at: Some(now), note },
            (Some(IdentityWord::Refused), Some(note)) => Identity::Refused { at: now, note },
            (Some(IdentityWord::Refused), None) => {
                return Err(Error::malformed("Say in \"identity_note\" why the identity check failed."));
            }
        };
        Ok(Customer {
            name: self.name.as_deref().map_or_else(|| Ok(customer.name.clone()), |name| named("customer", name))?,
            email: self.email.as_deref().map_or_else(|| Ok(customer.email.clone()), |text| address(text).map(Some))?,
            tier: self.tier.unwrap_or(customer.tier),
            identity,
            ..customer.clone()
        })
    }

    /// The names of what is to be different.
    fn what(&self) -> Vec<String> {
        let all = [
            ("name", self.name.is_some()),
            ("email", self.email.is_some()),
            ("tier", self.tier.is_some()),
            ("identity", self.identity.is_some()),
        ];
        all.into_iter().filter(|(_, changed)| *changed).map(|(what, _)| what.to_owned()).collect()
    }
}

/// A name that people gave something.
pub(super) fn named(what: &str, text: &str) -> Result<String> {
    let text = text.trim();
    if text.is_empty() || text.len() > 200 || text.chars().any(char::is_control) {
        return Err(Error::malformed(format!(
            "The name of a {what} has 1 to 200 characters and no control characters."
        )));
    }
    Ok(text.to_owned())
}

/// An e-mail address.
pub(super) fn address(text: &str) -> Result<String> {
    check_contacts(&[format!("mailto:{}", text.trim())])?;
    Ok(text.trim().to_owned())
}

/// A domain that an external account key is for.
fn domain_name(text: &str) -> Result<String> {
    let name = DnsName::parse(text)?;
    match name.is_wildcard() {
        true => Err(Error::malformed(format!("\"{name}\": name the domain alone, which holds everything below it."))),
        false => Ok(name.as_str().to_owned()),
    }
}
