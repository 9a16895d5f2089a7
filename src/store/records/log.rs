//! The operation log as a whole: its chains, link by link.

use super::{AuditEvent, Index, Records, read_event};
use crate::domain::audit::ChainHead;
use crate::store::oplog::{EVENTS, HEADS, LINKS, head_key, link_key, read_head_row, read_link_row};
use crate::store::{Entry, Key, OperationsHead, Range, StoreError};

/// A link of a chain with its events.
#[derive(Debug, Clone)]
pub struct ChainLink {
    /// Whose chain it is.
    pub node: u16,
    /// Its number, from 1.
    pub sequence: u64,
    /// Its hash, in hexadecimal digits.
    pub hash: String,
    /// Its events, in the order in which the hash takes them in.
    pub events: Vec<ChainEvent>,
}

/// An event as it is stored.
#[derive(Debug, Clone)]
pub struct ChainEvent {
    /// The name of its row: its moment in milliseconds (8 octets, big-endian) and 8 random ones.
    pub id: Vec<u8>,
    /// The octets that the link holds; none if the event is gone.
    pub octets: Option<bytes::Bytes>,
}

/// An event, and what the index does not lead to it from although it should.
#[derive(Debug)]
pub struct Unindexed {
    /// The name of its row.
    pub id: Vec<u8>,
    /// The event.
    pub event: AuditEvent,
    /// Orders and authorizations by their ids, other things as in `certificate:serial`.
    pub missing: Vec<String>,
}

impl Records {
    /// Where the chain of this node over its audit events ends; none if it has no link yet.
    pub async fn operations_head(&self) -> Result<Option<OperationsHead>, StoreError> {
        let row = self.kv.read(&[head_key(self.node)]).await?.pop().flatten();
        let read = |row: Entry| serde_json::from_slice(&row.value).map_err(|fault| StoreError::Failed(fault.into()));
        row.map(read).transpose()
    }

    /// Where the chains of all nodes end, by their nodes.
    pub async fn heads(&self) -> Result<Vec<ChainHead>, StoreError> {
        let rows = self.kv.scan(Range { space: HEADS, prefix: Vec::new(), after: None, limit: 1 << 16 }).await?;
        let head = |row: &Entry| {
            let unreadable = || StoreError::Failed(format!("the head {:?} can't be read", row.key).into());
            let (node, head) = read_head_row(row).ok_or_else(unreadable)?;
            Ok(ChainHead { node, sequence: head.sequence, hash: head.hash })
        };
        rows.iter().map(head).collect()
    }

    /// Up to `limit` links behind the link of that node and number, those of a node one behind the other. Only events
    /// that `wanted` takes by a moment of theirs (milliseconds since 1970) have their links read in full; other links
    /// have no events here.
    pub async fn links(
        &self,
        after: Option<(u16, u64)>,
        limit: usize,
        wanted: impl Fn(u64) -> bool,
    ) -> Result<Vec<ChainLink>, StoreError> {
        let after = after.map(|(node, sequence)| link_key(node, sequence).id);
        let rows = self.kv.scan(Range { space: LINKS, prefix: Vec::new(), after, limit }).await?;
        let mut links = Vec::with_capacity(rows.len());
        for row in rows {
            let unreadable = || StoreError::Failed(format!("the link {:?} can't be read", row.key).into());
            let link = read_link_row(&row).ok_or_else(unreadable)?;
            let moment = |id: &Vec<u8>| id.first_chunk::<8>().map_or(0, |millis| u64::from_be_bytes(*millis));
            let mut events = Vec::new();
            if link.events.iter().any(|id| wanted(moment(id))) {
                let keys: Vec<Key> = link.events.iter().map(|id| Key { space: EVENTS, id: id.clone() }).collect();
                let found = self.kv.read(&keys).await?;
                let named = link.events.into_iter().zip(found);
                events = named.map(|(id, entry)| ChainEvent { id, octets: entry.map(|entry| entry.value) }).collect();
            }
            links.push(ChainLink { node: link.node, sequence: link.sequence, hash: link.hash, events });
        }
        Ok(links)
    }

    /// Up to `limit` audit events behind the row called `after` that have this word in them, and the name of the last row
    /// that was looked at; none at the end of the log. Most are told apart without being read as JSON.
    #[allow(clippy::type_complexity)]
    pub async fn audit_with(
        &self,
        word: &str,
        after: Option<Vec<u8>>,
        limit: usize,
    ) -> Result<(Vec<(Vec<u8>, AuditEvent)>, Option<Vec<u8>>), StoreError> {
        let rows = self.kv.scan(Range { space: EVENTS, prefix: Vec::new(), after, limit }).await?;
        let last = rows.last().map(|row| row.key.id.clone());
        let has = |row: &Entry| row.value.windows(word.len()).any(|part| part == word.as_bytes());
        Ok((rows.into_iter().filter(has).map(read_event).collect::<Result<_, _>>()?, last))
    }

    /// Up to `limit` audit events behind the row called `after`, each with what the index should lead to it from and does
    /// not; and the name of the last row that was looked at, none at the end of the log.
    pub async fn audit_unindexed(
        &self,
        after: Option<Vec<u8>>,
        limit: usize,
    ) -> Result<(Vec<Unindexed>, Option<Vec<u8>>), StoreError> {
        let rows = self.kv.scan(Range { space: EVENTS, prefix: Vec::new(), after, limit }).await?;
        let last = rows.last().map(|row| row.key.id.clone());
        // One that can't be read was changed, which the chain tells.
        let events: Vec<_> = rows.into_iter().filter_map(|row| read_event(row).ok()).collect();
        let (mut keys, mut places) = (Vec::new(), Vec::new());
        for (place, (id, event)) in events.iter().enumerate() {
            let subject = event.act.subject().map(|subject| (subject.to_owned(), Index::EventOf(subject, id).key()));
            let about = event.act.about().into_iter().map(|what| {
                let row = Index::EventAbout(&what, id).key();
                (what, row)
            });
            for (from, row) in subject.into_iter().chain(about) {
                keys.push(row);
                places.push((place, from));
            }
        }
        let found = self.kv.read(&keys).await?;
        let mut missing: Vec<Vec<String>> = vec![Vec::new(); events.len()];
        for ((place, from), _) in places.into_iter().zip(found).filter(|(_, row)| row.is_none()) {
            missing[place].push(from);
        }
        let read = events.into_iter().zip(missing).map(|((id, event), missing)| Unindexed { id, event, missing });
        Ok((read.collect(), last))
    }
}
