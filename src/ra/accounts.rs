//! Accounts: creation with external binding, look-up, update, key change, deactivation.

use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::{Ra, Stop, settle};
use crate::domain::account::{Account, ExternalBinding, Standing, check_contacts};
use crate::domain::audit::Act;
use crate::domain::customer::ExternalKey;
use crate::domain::key::AccountKey;
use crate::domain::{AccountId, CustomerId, Error, Kind, Result};
use crate::store::records::{Batch, Index, Rows, Stored, target};
use crate::telemetry;

/// A request for an account, its signature verified with the key that it brings.
pub struct NewAccount<'a> {
    /// The key.
    pub key: &'a AccountKey,
    /// Contact URLs as sent.
    pub contact: Vec<String>,
    /// Whether the client agrees to the terms of service.
    pub terms_agreed: bool,
    /// Where the request comes from, for the limit on new accounts.
    pub from: Option<IpAddr>,
    /// Whether only an account that is there is wanted.
    pub only_existing: bool,
    /// The external account binding, if one was sent.
    pub external: Option<&'a dyn ExternalProof>,
}

/// A binding whose MAC can be verified once the key is known (RFC 8555 section 7.3.4).
pub trait ExternalProof: Send + Sync {
    /// The identifier of the MAC key.
    fn kid(&self) -> &str;

    /// Whether the MAC holds under this key, and the binding is about the right account key and URL.
    fn verify(&self, mac_key: &[u8]) -> Result<()>;

    /// The binding as the client sent it.
    fn as_json(&self) -> String;
}

/// An account, and whether this request made it.
pub struct Created {
    /// The account.
    pub account: Account,
    /// Whether it is new.
    pub new: bool,
}

impl Ra {
    /// The account of that id, for a request that names it: an unknown or closed one is refused (RFC 8555 sections 6.7
    /// and 7.3.6).
    pub async fn account(&self, id: &AccountId) -> Result<Stored<Account>> {
        let Some(account) = self.records.find::<Account>(id).await? else {
            return Err(Error::new(
                Kind::AccountDoesNotExist,
                format!("There is no account {id}; register with newAccount first."),
            ));
        };
        account.active()?;
        Ok(account)
    }

    /// The account as it is now, for the one that a request was signed by. If it was closed or has another key since, the
    /// request comes too late: an old key stops at once (RFC 8555 section 7.3.5).
    pub(super) async fn again(&self, signed: &Account) -> Result<Stored<Account>> {
        let account = self.account(&signed.id).await?;
        if account.key == signed.key {
            return Ok(account);
        }
        Err(Error::unauthorized(
            "The account's key was changed while this request was under way; sign with the new one.",
        ))
    }

    /// Creates an account, or finds the one that has the key (RFC 8555 section 7.3).
    pub async fn register(&self, asked: &NewAccount<'_>) -> Result<Created> {
        settle(|| self.register_once(asked)).await
    }

    async fn register_once(&self, asked: &NewAccount<'_>) -> Result<Created, Stop> {
        let spki = asked.key.spki_sha256();
        // Before the account is looked for: one that takes the key in between is found, so its key is not "given up".
        let holder = self.records.follow(&Index::AccountBySpki(&spki)).await?;
        if let Some(account) = self.account_by_key(asked.key).await? {
            account.active()?;
            return Ok(Created { account: account.into_value(), new: false });
        }
        if asked.only_existing {
            return Err(Error::new(Kind::AccountDoesNotExist, "No account has this key.").into());
        }
        self.check_terms(asked)?;
        check_contacts(&asked.contact)?;
        self.refuse_certified_key(&spki).await?;
        refuse_key_given_up(holder.as_ref(), None)?;
        let now = self.now();
        let binding = self.bind(asked).await?;
        let wants = asked.from.map(|from| self.limits.account(from)).unwrap_or_default();
        let taken = self.limits.take(wants, now)?;
        let account = Account {
            id: AccountId::random(),
            key: asked.key.clone(),
            contact: asked.contact.clone(),
            terms_agreed: asked.terms_agreed.then_some(now),
            external: binding.as_ref().map(|(_, binding)| binding.clone()),
            created: now,
            standing: Standing::Valid,
        };
        let act = Act::AccountCreated {
            account: account.id.clone(),
            thumbprint: account.key.thumbprint().to_owned(),
            customer: account.external.as_ref().map(|external| external.customer.clone()),
            terms_agreed: account.terms_agreed.is_some(),
        };
        let mut batch = Batch::of(act, now)
            .insert(&account)
            .claim(&Index::AccountByKey(account.key.thumbprint()), account.id.as_str())
            .claim(&Index::AccountBySpki(&spki), account.id.as_str())
            .absent(&Index::CertifiedKey(&spki));
        if let Some((key, binding)) = &binding {
            let used = ExternalKey { uses: key.uses + 1, ..(**key).clone() };
            batch = batch
                .replace(key, &used)
                .index(&Index::AccountOfCustomer(&binding.customer, &account.id), account.id.as_str());
        }
        self.records.commit(batch).await?;
        taken.keep();
        metrics::counter!(telemetry::ACCOUNTS_CREATED).increment(1);
        Ok(Created { account, new: true })
    }

    fn check_terms(&self, asked: &NewAccount<'_>) -> Result<()> {
        match &self.settings.terms_of_service {
            Some(terms) if !asked.terms_agreed => Err(Error::new(
                Kind::UserActionRequired,
                format!("Read the terms of service at {terms} and send \"termsOfServiceAgreed\": true."),
            )),
            _ => Ok(()),
        }
    }

    /// Verifies the external account binding, or sees that none is needed (RFC 8555 section 7.3.4).
    async fn bind(&self, asked: &NewAccount<'_>) -> Result<Option<(Stored<ExternalKey>, ExternalBinding)>, Stop> {
        let Some(proof) = asked.external else {
            if self.settings.external_account_required {
                return Err(Error::new(
                    Kind::ExternalAccountRequired,
                    "A new account needs an external account binding: a key identifier and MAC key from this service.",
                )
                .into());
            }
            return Ok(None);
        };
        let failures = asked.from.map(|from| self.limits.failed_binding(from)).unwrap_or_default();
        self.limits.check(failures.clone(), self.now())?;
        let failed = |error: Error| {
            if error.kind() != Kind::ServerInternal {
                self.limits.count(&failures, self.now());
            }
            error
        };
        let kid: String = proof.kid().chars().take(100).collect();
        let refused = || {
            failed(Error::unauthorized(format!(
                "The external account key \"{}\" is unknown, expired, used up or withdrawn; ask the service for another.",
                kid.escape_debug()
            )))
        };
        let key = self.records.find::<ExternalKey>(proof.kid()).await?.ok_or_else(refused)?;
        if !key.usable(self.now()) {
            return Err(refused().into());
        }
        let mac_key = URL_SAFE_NO_PAD.decode(key.hmac_key.as_bytes()).map_err(Error::internal)?;
        proof.verify(&mac_key).map_err(failed)?;
        let binding = ExternalBinding {
            customer: key.customer.clone(),
            kid: key.kid.clone(),
            product: key.product.clone(),
            domains: key.domains.clone(),
            jws: proof.as_json(),
        };
        Ok(Some((key, binding)))
    }

    /// Replaces the contacts (RFC 8555 section 7.3.2).
    pub async fn update_contact(&self, account: &Stored<Account>, contact: Vec<String>) -> Result<Account> {
        check_contacts(&contact)?;
        settle(|| async {
            let read = self.again(account).await?;
            let updated = (*read).clone().with_contact(contact.clone())?;
            let act = Act::AccountUpdated { account: updated.id.clone() };
            self.records.commit(Batch::of(act, self.now()).replace(&read, &updated)).await?;
            Ok(updated)
        })
        .await
    }

    /// Closes an account for good (RFC 8555 section 7.3.6). What it left open is refused from now on, because every
    /// request and every job looks at the account.
    pub async fn deactivate_account(&self, id: &AccountId) -> Result<Account> {
        let closed = settle(|| async {
            let read = self.account(id).await?;
            let now = self.now();
            let closed = (*read).clone().deactivate(now)?;
            let act = Act::AccountDeactivated { account: closed.id.clone() };
            self.records.commit(Batch::of(act, now).replace(&read, &closed)).await?;
            Ok(closed)
        })
        .await?;
        // The account is closed, whatever comes of this: its orders also leave the desk when somebody looks at it.
        if let Err(error) = self.cancel_reviews_of(id).await {
            tracing::error!(account = %id, error = ?error, "orders of a closed account stay on the review desk for now");
        }
        Ok(closed)
    }

    /// Closes an account on the service's word.
    pub async fn revoke_account(&self, id: &AccountId) -> Result<()> {
        settle(|| async {
            let read = self.account(id).await?;
            let now = self.now();
            let closed = (*read).clone().revoke(now)?;
            let act = Act::AccountRevoked { account: id.clone() };
            Ok(self.records.commit(Batch::of(act, now).replace(&read, &closed)).await?)
        })
        .await?;
        self.cancel_reviews_of(id).await
    }

    /// Up to `limit` ACME accounts of a customer, behind that one.
    pub async fn accounts_of(
        &self,
        customer: &CustomerId,
        after: Option<&AccountId>,
        limit: usize,
    ) -> Result<Vec<Account>> {
        self.customer(customer).await?;
        let after = after.map(|account| Index::AccountOfCustomer(customer, account).id());
        let rows = self.records.rows(&Rows::AccountsOfCustomer(customer), after, limit).await?;
        let ids = rows.iter().map(|(_, id)| target::<AccountId>(id)).collect::<Result<Vec<_>, _>>()?;
        let found = self.records.find_all::<Account>(&ids).await?;
        Ok(found.into_iter().flatten().map(Stored::into_value).collect())
    }

    /// Gives an account another key; orders and authorizations go on (RFC 8555 section 7.3.5).
    pub async fn change_key(&self, id: &AccountId, old: &AccountKey, new: &AccountKey) -> Result<Account> {
        settle(|| self.change_key_once(id, old, new)).await
    }

    async fn change_key_once(&self, id: &AccountId, old: &AccountKey, new: &AccountKey) -> Result<Account, Stop> {
        let read = self.account(id).await?;
        if read.key != *old {
            return Err(Error::malformed("\"oldKey\" is not the account's current key.").into());
        }
        let spki = new.spki_sha256();
        let held = self.records.follow(&Index::AccountBySpki(&spki)).await?;
        if let Some(holder) = self.records.follow(&Index::AccountByKey(new.thumbprint())).await? {
            return Err(Error::new(Kind::Conflict, "The new key already belongs to an account.")
                .conflicting(holder.into_value())
                .into());
        }
        self.refuse_certified_key(&spki).await?;
        refuse_key_given_up(held.as_ref(), Some(id))?;
        let changed = (*read).clone().with_key(new.clone())?;
        let act = Act::AccountKeyChanged { account: id.clone(), thumbprint: new.thumbprint().to_owned() };
        let batch = Batch::of(act, self.now())
            .replace(&read, &changed)
            .claim(&Index::AccountByKey(new.thumbprint()), id.as_str())
            .unindex(&Index::AccountByKey(old.thumbprint()))
            .point(&Index::AccountBySpki(&spki), held.as_ref(), id.as_str())
            .absent(&Index::CertifiedKey(&spki));
        self.records.commit(batch).await?;
        Ok(changed)
    }

    /// RFC 8555 section 11.1: a key that is certified is never an account key.
    async fn refuse_certified_key(&self, spki_sha256: &[u8; 32]) -> Result<()> {
        match self.records.follow(&Index::CertifiedKey(spki_sha256)).await? {
            None => Ok(()),
            Some(_) => Err(Error::new(
                Kind::BadPublicKey,
                "This key is in a certificate; use another one for the account (RFC 8555 section 11.1).",
            )),
        }
    }

    /// The account that has a key, whatever its standing.
    pub(super) async fn account_by_key(&self, key: &AccountKey) -> Result<Option<Stored<Account>>> {
        let Some(row) = self.records.follow(&Index::AccountByKey(key.thumbprint())).await? else { return Ok(None) };
        Ok(self.records.find::<Account>(&target::<AccountId>(&row)?).await?)
    }
}

/// RFC 8555 section 11.1: no key serves two accounts, so one that an account gave up is good for that account alone. Else
/// whoever stole it could register with it, and answer for every name whose server still vouches for that key. `holder` is
/// the account that had the key last, read before the account was looked for that has it now.
fn refuse_key_given_up(holder: Option<&Stored<String>>, by: Option<&AccountId>) -> Result<()> {
    match holder {
        Some(holder) if by.is_none_or(|id| id.as_str() != holder.as_str()) => Err(Error::new(
            Kind::BadPublicKey,
            "This key belonged to another account before; make a new one (RFC 8555 section 11.1).",
        )),
        _ => Ok(()),
    }
}
