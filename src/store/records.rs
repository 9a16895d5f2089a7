//! Typed records over `Kv`: the envelope with its version, and the batch that `ra` commits. `spaces` says which space holds
//! what, `index` which rows lead to it.

mod index;
mod log;
mod spaces;

use std::ops::Deref;
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

pub use index::{Index, Rows};
pub use log::{ChainEvent, ChainLink, Unindexed};
pub use spaces::{
    BlockedKey, ListState, Observed, Record, Revocation, SerialEntry, clearance_id, document_part_id,
    hosting_target_id, serials_part_id,
};

use super::oplog::EVENTS;
use super::{Entry, Guard, Key, Kv, Range, StoreError, WriteSet};
use crate::actor::{self, Actor};
use crate::domain::audit::{Act, AuditEvent};
use crate::domain::id::random_bytes;
use crate::domain::job::{Job, Timer, Work};
use crate::domain::notice::Notice;
use crate::domain::{Serial, Timestamp};

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

    /// Which of its writings it is.
    pub fn version(&self) -> u64 {
        self.version
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
    node: u16,
}

impl Records {
    /// Over this engine, as node 0.
    pub fn new(kv: Arc<dyn Kv>) -> Self {
        Self { kv, node: 0 }
    }

    /// The same for another node: its audit events say so, and go on a chain of their own.
    #[must_use]
    pub fn on(self, node: u16) -> Self {
        Self { node, ..self }
    }

    /// The node that commits here.
    pub fn node(&self) -> u16 {
        self.node
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
        let rows = self.kv.scan(Range { space: EVENTS, prefix: Vec::new(), after, limit }).await?;
        rows.into_iter().map(read_event).collect()
    }

    /// The audit events of those rows, in the order in which they were committed; one that is gone is left out.
    pub async fn audit_rows(
        &self,
        ids: impl IntoIterator<Item = Vec<u8>>,
    ) -> Result<Vec<(Vec<u8>, AuditEvent)>, StoreError> {
        let keys: Vec<Key> = ids.into_iter().map(|id| Key { space: EVENTS, id }).collect();
        let mut rows: Vec<Entry> = self.kv.read(&keys).await?.into_iter().flatten().collect();
        // Within a millisecond the names of rows stand in no order.
        rows.sort_by(|one, other| (one.version, &one.key).cmp(&(other.version, &other.key)));
        rows.into_iter().map(read_event).collect()
    }

    /// Whether the engine takes commits: carries out an empty set.
    pub async fn probe(&self) -> Result<(), StoreError> {
        self.kv.commit(WriteSet::default()).await
    }

    /// Commits a batch: all of it or nothing, durable when this returns.
    pub async fn commit(&self, batch: Batch) -> Result<(), StoreError> {
        let Batch { mut set, events } = batch;
        set.node = self.node;
        set.puts.extend(events.into_iter().map(|(id, event)| {
            let event = AuditEvent { node: Some(self.node), ..event };
            let text = serde_json::to_vec(&event).expect("audit events hold no maps with keys that are not strings");
            (Key { space: EVENTS, id }, text.into())
        }));
        self.kv.commit(set).await
    }
}

fn read_event(row: Entry) -> Result<(Vec<u8>, AuditEvent), StoreError> {
    let event = serde_json::from_slice(&row.value).map_err(|fault| StoreError::Failed(fault.into()))?;
    Ok((row.key.id, event))
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
    events: Vec<(Vec<u8>, AuditEvent)>,
}

impl Batch {
    /// A batch for one act.
    pub fn of(act: Act, now: Timestamp) -> Self {
        Self { set: WriteSet::default(), events: Vec::new() }.and(act, now)
    }

    /// One more act in the same batch.
    pub fn and(mut self, act: Act, now: Timestamp) -> Self {
        let Actor { who, from } = actor::current();
        let event = AuditEvent { at: now, act: act.bounded(), who, from, node: None };
        let id = [&now.as_millis().to_be_bytes()[..], &random_bytes::<8>()].concat();
        if let Some(subject) = event.act.subject() {
            self = self.index(&Index::EventOf(subject, &id), "");
        }
        for about in event.act.about() {
            self = self.index(&Index::EventAbout(&about, &id), "");
        }
        self.events.push((id, event));
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

    /// Has something done later.
    pub fn later(self, at: Timestamp, work: Work) -> Self {
        self.insert(&Timer::new(at, work))
    }

    /// Tells a customer: a job sends the message.
    pub fn notice(self, notice: &Notice) -> Self {
        let job = Job::new(Work::Notify { notice: notice.id.clone() }, notice.at);
        let row = Index::NoticeOfCustomer(&notice.customer, notice.at, &notice.id);
        self.insert(notice).insert(&job).index(&row, notice.id.as_str())
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

    /// Demands that an index row still is as it was read, or still not there.
    pub fn still(mut self, row: &Index<'_>, read: Option<&Stored<String>>) -> Self {
        let guard = read.map_or(Guard::Absent, |row| Guard::At(row.version));
        self.set.checks.push((row.key(), guard));
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
