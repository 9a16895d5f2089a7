//! Typed records over `Kv`: which space holds what, the envelope with its version, and the batch that `ra` commits.

use std::ops::Deref;
use std::sync::Arc;

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{Entry, Guard, Key, Kv, Range, StoreError, WriteSet};
use crate::domain::account::{Account, Holder};
use crate::domain::audit::{Act, AuditEvent};
use crate::domain::authz::Authorization;
use crate::domain::certificate::{Certificate, RevocationReason};
use crate::domain::customer::{Clearance, Customer, ExternalKey};
use crate::domain::id::random_bytes;
use crate::domain::job::Job;
use crate::domain::order::Order;
use crate::domain::purchase::Purchase;
use crate::domain::quota::{DomainLedger, HolderLedger};
use crate::domain::{AccountId, CustomerId, OrderId, PurchaseId, Serial, Timestamp};

/// Something that is kept as one record.
pub trait Record: Serialize + DeserializeOwned + Send + Sync {
    /// The space it lives in; never reused for something else.
    const SPACE: u8;
    /// The form of its fields; a reader refuses what is newer than itself.
    const FORM: u8 = 1;

    /// Its name within the space.
    fn id(&self) -> Vec<u8>;
}

macro_rules! records {
    ($($kind:ty = $space:literal, |$value:ident| $id:expr;)*) => {$(
        impl Record for $kind {
            const SPACE: u8 = $space;

            fn id(&self) -> Vec<u8> {
                let $value = self;
                $id
            }
        }
    )*};
}

records! {
    Account = 1, |r| r.id.as_str().into();
    Order = 2, |r| r.id.as_str().into();
    Authorization = 3, |r| r.id.as_str().into();
    Job = 4, |r| r.id.as_str().into();
    Certificate = 5, |r| r.serial.as_bytes().into();
    SerialEntry = 6, |r| r.serial.as_bytes().into();
    Customer = 7, |r| r.id.as_str().into();
    ExternalKey = 8, |r| r.kid.as_bytes().into();
    BlockedKey = 9, |r| r.spki_sha256.into();
    Revocation = 10, |r| r.id_bytes();
    HolderLedger = 11, |r| r.holder.as_key().into();
    DomainLedger = 12, |r| r.domain.as_bytes().into();
    Purchase = 13, |r| r.id.as_str().into();
    Clearance = 14, |r| clearance_id(&r.holder, &r.name);
}

/// A serial number that was given out, recorded before anything is signed with it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SerialEntry {
    /// The serial.
    pub serial: Serial,
    /// What it was given out for: an order's id, or `server`.
    pub purpose: String,
    /// When.
    pub at: Timestamp,
}

/// A key that is known to be compromised: no certificate is issued for it again (Baseline Requirements 6.1.1.3).
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct BlockedKey {
    /// SHA-256 of the SubjectPublicKeyInfo.
    #[serde(with = "crate::domain::certificate::hex32")]
    pub spki_sha256: [u8; 32],
    /// When it became known.
    pub at: Timestamp,
}

/// An entry of a revocation list, kept by the issuer that signed the certificate.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Revocation {
    /// The issuer's name.
    pub issuer: String,
    /// The certificate.
    pub serial: Serial,
    /// When it was revoked.
    pub at: Timestamp,
    /// Why.
    pub reason: RevocationReason,
    /// When the certificate would have ended.
    pub not_after: Timestamp,
}

impl Revocation {
    /// What the names of an issuer's entries begin with.
    pub fn prefix(issuer: &str) -> Vec<u8> {
        [issuer.as_bytes(), b"/"].concat()
    }

    fn id_bytes(&self) -> Vec<u8> {
        [&Self::prefix(&self.issuer)[..], self.serial.as_bytes()].concat()
    }
}

/// The name of a clearance.
pub fn clearance_id(holder: &Holder, name: &str) -> Vec<u8> {
    [holder.as_key().as_bytes(), b"/", name.as_bytes()].concat()
}

/// Index rows: a name that leads to the name of a record, or only exists.
#[derive(Debug, Clone)]
pub enum Index<'a> {
    /// RFC 7638 thumbprint of an account key to the account.
    AccountByKey(&'a str),
    /// SHA-256 of an account key's SubjectPublicKeyInfo to the account.
    AccountBySpki(&'a [u8; 32]),
    /// An account's orders by their age.
    OrderOfAccount(&'a AccountId, Timestamp, &'a OrderId),
    /// What makes two requests for an order identical to the order that is open for it.
    OpenOrder(&'a [u8; 32]),
    /// An account and a name as ordered to the authorization that last proved it.
    Proven(&'a AccountId, &'a str),
    /// A holder and a name as ordered to the authorization that last proved it, by whichever account (VAL-32).
    Retained(&'a Holder, &'a str),
    /// A certificate that is being or was replaced to the order that says so (RFC 9773 section 5).
    Replaced(&'a Serial),
    /// A certified key to one of its certificates.
    CertifiedKey(&'a [u8; 32]),
    /// A customer's purchases that have a term left, or whose last term has no certificate yet.
    OpenPurchase(&'a CustomerId, &'a PurchaseId),
    /// A customer's purchases by their age.
    PurchaseOfCustomer(&'a CustomerId, Timestamp, &'a PurchaseId),
    /// A holder and a set of names, by its digest, and a paid product to the order that last fulfilled it, or is to begin.
    Held(&'a Holder, &'a [u8; 32], &'a str),
    /// Orders that wait for a person, by their age.
    InReview(Timestamp, &'a OrderId),
    /// A certified key and each of its certificates to that certificate.
    CertificateOfKey(&'a [u8; 32], &'a Serial),
}

/// Where index rows of one kind begin.
#[derive(Debug, Clone)]
pub enum Rows<'a> {
    /// An account's orders.
    OrdersOfAccount(&'a AccountId),
    /// A customer's purchases that have a term left, or whose last term has no certificate yet.
    OpenPurchases(&'a CustomerId),
    /// A customer's purchases.
    PurchasesOfCustomer(&'a CustomerId),
    /// What a holder has for a set of names, whatever the product.
    Held(&'a Holder, &'a [u8; 32]),
    /// Orders that wait for a person.
    InReview,
    /// A certified key's certificates.
    CertificatesOfKey(&'a [u8; 32]),
}

impl Rows<'_> {
    fn prefix(&self) -> Key {
        let (space, id) = match self {
            Self::OrdersOfAccount(account) => (102, account.as_str().into()),
            Self::OpenPurchases(customer) => (107, customer.as_str().into()),
            Self::PurchasesOfCustomer(customer) => (108, customer.as_str().into()),
            Self::Held(holder, names) => (109, [holder.as_key().as_bytes(), *names].concat()),
            Self::InReview => (110, Vec::new()),
            Self::CertificatesOfKey(hash) => (111, hash.to_vec()),
        };
        Key { space, id }
    }
}

impl Index<'_> {
    /// The row's name in its space: where a list goes on.
    pub fn id(&self) -> Vec<u8> {
        self.key().id
    }

    fn key(&self) -> Key {
        let (space, id) = match self {
            Self::AccountByKey(thumbprint) => (100, thumbprint.as_bytes().to_vec()),
            Self::AccountBySpki(hash) => (101, hash.to_vec()),
            Self::OrderOfAccount(account, at, order) => {
                (102, [account.as_str().as_bytes(), &at.as_millis().to_be_bytes(), order.as_str().as_bytes()].concat())
            }
            Self::OpenOrder(hash) => (103, hash.to_vec()),
            Self::Proven(account, name) => (104, [account.as_str().as_bytes(), name.as_bytes()].concat()),
            Self::Retained(holder, name) => (121, [holder.as_key().as_bytes(), b"/", name.as_bytes()].concat()),
            Self::Replaced(serial) => (105, serial.as_bytes().to_vec()),
            Self::CertifiedKey(hash) => (106, hash.to_vec()),
            Self::OpenPurchase(customer, purchase) => {
                (107, [customer.as_str().as_bytes(), purchase.as_str().as_bytes()].concat())
            }
            Self::PurchaseOfCustomer(customer, at, id) => {
                (108, [customer.as_str().as_bytes(), &at.as_millis().to_be_bytes(), id.as_str().as_bytes()].concat())
            }
            Self::Held(holder, names, product) => {
                (109, [holder.as_key().as_bytes(), *names, product.as_bytes()].concat())
            }
            Self::InReview(at, order) => (110, [&at.as_millis().to_be_bytes(), order.as_str().as_bytes()].concat()),
            Self::CertificateOfKey(hash, serial) => (111, [&hash[..], serial.as_bytes()].concat()),
        };
        Key { space, id }
    }
}

/// The space of audit events, ordered by time.
const AUDIT: u8 = 90;

/// A record as it was read, with the version that a later write is guarded by.
#[derive(Debug, Clone)]
pub struct Stored<T> {
    value: T,
    version: u64,
}

impl<T> Stored<T> {
    /// The value alone.
    pub fn into_value(self) -> T {
        self.value
    }
}

impl<T> Deref for Stored<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

#[derive(Serialize, Deserialize)]
struct Envelope<T> {
    /// The form of `r`.
    v: u8,
    r: T,
}

fn encode<T: Record>(record: &T) -> Bytes {
    let envelope = Envelope { v: T::FORM, r: record };
    serde_json::to_vec(&envelope).expect("records hold no maps with keys that are not strings").into()
}

fn decode<T: Record>(entry: Entry) -> Result<Stored<T>, StoreError> {
    let envelope: Envelope<T> = serde_json::from_slice(&entry.value)
        .map_err(|fault| StoreError::Failed(format!("record {:?} can't be read: {fault}", entry.key).into()))?;
    if envelope.v > T::FORM {
        let told =
            format!("record {:?} has form {}, written by a newer version of this program", entry.key, envelope.v);
        return Err(StoreError::Failed(told.into()));
    }
    Ok(Stored { value: envelope.r, version: entry.version })
}

/// Typed access to an engine.
#[derive(Clone)]
pub struct Records {
    kv: Arc<dyn Kv>,
}

impl Records {
    /// Over this engine.
    pub fn new(kv: Arc<dyn Kv>) -> Self {
        Self { kv }
    }

    /// The record of that name.
    pub async fn find<T: Record>(&self, id: impl AsRef<[u8]>) -> Result<Option<Stored<T>>, StoreError> {
        let key = Key { space: T::SPACE, id: id.as_ref().to_vec() };
        let entry = self.kv.read(std::slice::from_ref(&key)).await?.pop().flatten();
        entry.map(decode).transpose()
    }

    /// The records of those names, each none if absent, in the same order.
    pub async fn find_all<T: Record>(
        &self,
        ids: impl IntoIterator<Item = impl AsRef<[u8]>>,
    ) -> Result<Vec<Option<Stored<T>>>, StoreError> {
        let keys: Vec<Key> = ids.into_iter().map(|id| Key { space: T::SPACE, id: id.as_ref().to_vec() }).collect();
        self.kv.read(&keys).await?.into_iter().map(|entry| entry.map(decode).transpose()).collect()
    }

    /// Where index rows lead, each none if absent, in the same order.
    pub async fn follow_all(&self, rows: &[Index<'_>]) -> Result<Vec<Option<Stored<String>>>, StoreError> {
        let keys: Vec<Key> = rows.iter().map(Index::key).collect();
        let entries = self.kv.read(&keys).await?;
        entries.into_iter().map(|entry| entry.map(decode_row).transpose()).collect()
    }

    /// Where an index row leads.
    pub async fn follow(&self, row: &Index<'_>) -> Result<Option<Stored<String>>, StoreError> {
        Ok(self.follow_all(std::slice::from_ref(row)).await?.pop().flatten())
    }

    /// Up to `limit` records whose name begins with `prefix` and comes behind `after`.
    pub async fn list<T: Record>(
        &self,
        prefix: &[u8],
        after: Option<Vec<u8>>,
        limit: usize,
    ) -> Result<Vec<Stored<T>>, StoreError> {
        let range = Range { space: T::SPACE, prefix: prefix.to_vec(), after, limit };
        self.kv.scan(range).await?.into_iter().map(decode).collect()
    }

    /// Up to `limit` index rows behind the one called `after`, in order: the name of each, and where it leads.
    pub async fn rows(
        &self,
        of: &Rows<'_>,
        after: Option<Vec<u8>>,
        limit: usize,
    ) -> Result<Vec<(Vec<u8>, String)>, StoreError> {
        let Key { space, id: prefix } = of.prefix();
        let rows = self.kv.scan(Range { space, prefix, after, limit }).await?;
        rows.into_iter().map(|row| Ok((row.key.id.clone(), decode_row(row)?.into_value()))).collect()
    }

    /// The serials of all certificates for a key, in their order.
    pub async fn certificates_of(&self, spki_sha256: &[u8; 32]) -> Result<Vec<Serial>, StoreError> {
        let (mut serials, mut after) = (Vec::new(), None);
        loop {
            let rows = self.rows(&Rows::CertificatesOfKey(spki_sha256), after, 1000).await?;
            let Some((last, _)) = rows.last() else { return Ok(serials) };
            after = Some(last.clone());
            for (_, serial) in rows {
                serials.push(target(&serial)?);
            }
        }
    }

    /// Up to `limit` audit events behind the row called `after`, oldest first, each with the name of its row.
    pub async fn audit(&self, after: Option<Vec<u8>>, limit: usize) -> Result<Vec<(Vec<u8>, AuditEvent)>, StoreError> {
        let rows = self.kv.scan(Range { space: AUDIT, prefix: Vec::new(), after, limit }).await?;
        let read = |row: Entry| {
            let event = serde_json::from_slice(&row.value).map_err(|fault| StoreError::Failed(fault.into()))?;
            Ok((row.key.id, event))
        };
        rows.into_iter().map(read).collect()
    }

    /// Whether the engine takes commits: carries out an empty set.
    pub async fn probe(&self) -> Result<(), StoreError> {
        self.kv.commit(WriteSet::default()).await
    }

    /// Commits a batch: all of it or nothing, durable when this returns.
    pub async fn commit(&self, batch: Batch) -> Result<(), StoreError> {
        self.kv.commit(batch.set).await
    }
}

fn decode_row(entry: Entry) -> Result<Stored<String>, StoreError> {
    let value = String::from_utf8(entry.value.to_vec())
        .map_err(|_| StoreError::Failed(format!("index row {:?} is not text", entry.key).into()))?;
    Ok(Stored { value: value.trim_matches('"').to_owned(), version: entry.version })
}

/// What one use case writes. It begins with the act it carries out, so no state changes without its audit event.
#[must_use]
pub struct Batch {
    set: WriteSet,
}

impl Batch {
    /// A batch for one act.
    pub fn of(act: Act, now: Timestamp) -> Self {
        Self { set: WriteSet::default() }.and(act, now)
    }

    /// One more act in the same batch.
    pub fn and(mut self, act: Act, now: Timestamp) -> Self {
        let event = AuditEvent { at: now, act };
        let text = serde_json::to_vec(&event).expect("audit events hold no maps with keys that are not strings");
        let id = [&now.as_millis().to_be_bytes()[..], &random_bytes::<8>()].concat();
        self.set.puts.push((Key { space: AUDIT, id }, text.into()));
        self
    }

    /// Adds a record that must not be there yet.
    pub fn insert<T: Record>(mut self, record: &T) -> Self {
        let key = Key { space: T::SPACE, id: record.id() };
        self.set.checks.push((key.clone(), Guard::Absent));
        self.set.puts.push((key, encode(record)));
        self
    }

    /// Writes a record whether or not it is there.
    pub fn put<T: Record>(mut self, record: &T) -> Self {
        self.set.puts.push((Key { space: T::SPACE, id: record.id() }, encode(record)));
        self
    }

    /// Replaces a record that must still be as it was read.
    pub fn replace<T: Record>(self, read: &Stored<T>, record: &T) -> Self {
        let mut batch = self.check(read);
        batch.set.puts.push((Key { space: T::SPACE, id: record.id() }, encode(record)));
        batch
    }

    /// Writes a record that must still be as it was read, or still not be there.
    pub fn set<T: Record>(self, read: Option<&Stored<T>>, record: &T) -> Self {
        match read {
            Some(read) => self.replace(read, record),
            None => self.insert(record),
        }
    }

    /// Demands that a record still is as it was read.
    pub fn check<T: Record>(mut self, read: &Stored<T>) -> Self {
        self.set.checks.push((Key { space: T::SPACE, id: read.id() }, Guard::At(read.version)));
        self
    }

    /// Removes a record that must still be as it was read.
    pub fn remove<T: Record>(self, read: &Stored<T>) -> Self {
        let mut batch = self.check(read);
        batch.set.deletes.push(Key { space: T::SPACE, id: read.id() });
        batch
    }

    /// Adds an index row that must not be there yet.
    pub fn claim(self, row: &Index<'_>, target: &str) -> Self {
        self.point(row, None, target)
    }

    /// Sets an index row that must still be as it was read.
    pub fn point(mut self, row: &Index<'_>, read: Option<&Stored<String>>, target: &str) -> Self {
        let guard = read.map_or(Guard::Absent, |row| Guard::At(row.version));
        self.set.checks.push((row.key(), guard));
        self.index(row, target)
    }

    /// Sets an index row whatever it held.
    pub fn index(mut self, row: &Index<'_>, target: &str) -> Self {
        self.set.puts.push((row.key(), format!("\"{target}\"").into()));
        self
    }

    /// Demands that there is no such index row.
    pub fn absent(mut self, row: &Index<'_>) -> Self {
        self.set.checks.push((row.key(), Guard::Absent));
        self
    }

    /// Demands that there is no record of that name.
    pub fn without<T: Record>(mut self, id: impl AsRef<[u8]>) -> Self {
        self.set.checks.push((Key { space: T::SPACE, id: id.as_ref().to_vec() }, Guard::Absent));
        self
    }

    /// Removes an index row.
    pub fn unindex(mut self, row: &Index<'_>) -> Self {
        self.set.deletes.push(row.key());
        self
    }
}

/// Reads an id out of an index row's target.
pub fn target<T: std::str::FromStr>(row: &str) -> Result<T, StoreError> {
    row.parse().map_err(|_| StoreError::Failed(format!("index row leads to \"{row}\", which is no id").into()))
}
