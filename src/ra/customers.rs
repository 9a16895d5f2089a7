//! Customers and the MAC keys that bind ACME accounts to them.

use zeroize::Zeroizing;

use super::{Ra, settle};
use crate::domain::audit::Act;
use crate::domain::customer::{Customer, CustomerKind, ExternalKey, Tier};
use crate::domain::id::{random_text, random_token};
use crate::domain::{CustomerId, Error, Result};
use crate::policy::catalog::days;
use crate::store::records::Batch;

/// A customer to be made.
#[derive(Debug, Clone)]
pub struct NewCustomer {
    /// What it is called.
    pub name: String,
    /// A person or an organisation.
    pub kind: CustomerKind,
    /// Its standing.
    pub tier: Tier,
}

/// An external account key to be made.
#[derive(Debug, Clone)]
pub struct NewExternalKey {
    /// For whom.
    pub customer: CustomerId,
    /// The only product it may be used for.
    pub product: Option<String>,
    /// Days until it stops binding new accounts.
    pub days: Option<u32>,
}

impl Ra {
    /// Makes a customer.
    pub async fn create_customer(&self, asked: NewCustomer) -> Result<Customer> {
        let name = asked.name.trim();
        if name.is_empty() || name.len() > 200 || name.chars().any(char::is_control) {
            return Err(Error::malformed("A customer's name has 1 to 200 characters and no control characters."));
        }
        let now = self.now();
        let customer = Customer {
            id: CustomerId::random(),
            name: name.to_owned(),
            kind: asked.kind,
            tier: asked.tier,
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
        let found = self.records.find::<Customer>(id).await?;
        Ok(found.ok_or_else(|| Error::not_found(format!("There is no customer {id}.")))?.into_value())
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
            hmac_key: Zeroizing::new(random_text::<64>()),
            created: now,
            expires: asked.days.map(|count| now + days(count)),
            revoked: None,
        };
        let act = Act::ExternalKeyCreated { customer: key.customer.clone(), kid: key.kid.clone() };
        self.records.commit(Batch::of(act, now).insert(&key)).await?;
        Ok(key)
    }

    /// Up to `limit` external account keys behind the one of that identifier.
    pub async fn external_keys(&self, after: Option<&str>, limit: usize) -> Result<Vec<ExternalKey>> {
        let found = self.records.list::<ExternalKey>(b"", after.map(Into::into), limit).await?;
        Ok(found.into_iter().map(|key| key.into_value()).collect())
    }

    /// Withdraws an external account key: it binds no further account. Accounts that it bound stay.
    pub async fn revoke_external_key(&self, kid: &str) -> Result<ExternalKey> {
        settle(|| async {
            let read = self.records.find::<ExternalKey>(kid).await?;
            let read = read.ok_or_else(|| Error::not_found("There is no such external account key."))?;
            let now = self.now();
            let key = ExternalKey { revoked: read.revoked.or(Some(now)), ..(*read).clone() };
            let act = Act::ExternalKeyRevoked { kid: key.kid.clone() };
            self.records.commit(Batch::of(act, now).replace(&read, &key)).await?;
            Ok(key)
        })
        .await
    }
}
