//! Judging write sets one behind the other, and what they come to together: rows for the engine, a frame for the journal.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::engine::{Fault, Rows, View};
use super::journal::{Frame, Op};
use super::oplog::{self, Tips};
use super::row::{self, Head, Meta};
use super::{Guard, Key, StoreError, WriteSet};

/// Sets that will be written in one batch. Each sees the effects of those before it.
pub(super) struct Group<'v> {
    view: &'v dyn View,
    before: Meta,
    sequence: u64,
    records: BTreeMap<Key, RecordSlot>,
    counters: BTreeMap<Key, CounterSlot>,
    /// The audit events of all sets by their nodes: one link of the node's chain will hold them.
    events: BTreeMap<u16, Vec<(Vec<u8>, Bytes)>>,
}

/// Why a set is not in the group.
pub(super) enum Refusal {
    /// The set is at fault; the others are not concerned.
    Set(StoreError),
    /// The engine is.
    Engine(Fault),
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        Self::Engine(fault)
    }
}

/// A group's outcome.
pub(super) struct Outcome {
    pub meta: Meta,
    pub rows: Rows,
    pub frame: Frame,
}

struct RecordSlot {
    stored: Option<Head>,
    change: Change,
}

enum Change {
    None,
    Put(u64, Bytes),
    Delete,
}

struct CounterSlot {
    stored: Option<u32>,
    value: i64,
    changed: bool,
}

impl RecordSlot {
    fn version(&self) -> Option<u64> {
        match &self.change {
            Change::None => self.stored.map(|head| head.version),
            Change::Put(version, _) => Some(*version),
            Change::Delete => None,
        }
    }
}

impl<'v> Group<'v> {
    /// An empty group on top of `meta`, which `view` is at.
    pub(super) fn new(view: &'v dyn View, meta: Meta) -> Self {
        let (records, counters) = (BTreeMap::new(), BTreeMap::new());
        Self { view, before: meta, sequence: meta.sequence, records, counters, events: BTreeMap::new() }
    }

    /// Takes a set in if its guards and floors hold, and else leaves the group as it was.
    pub(super) fn admit(&mut self, set: WriteSet) -> Result<(), Refusal> {
        for (key, guard) in &set.checks {
            let version = self.record(key)?.version();
            let holds = match guard {
                Guard::Absent => version.is_none(),
                Guard::At(read) => version == Some(*read),
            };
            if !holds {
                return Err(Refusal::Set(StoreError::Conflict(key.clone())));
            }
        }
        let counters = self.counted(&set)?;
        if set.puts.is_empty() && set.deletes.is_empty() && counters.is_empty() {
            return Ok(());
        }
        self.sequence += 1;
        for (key, value) in counters {
            self.count(key, value)?;
        }
        for (key, value) in set.puts {
            if key.space == oplog::EVENTS {
                self.events.entry(set.node).or_default().push((key.id.clone(), value.clone()));
            }
            self.record(&key)?.change = Change::Put(self.sequence, value);
        }
        for key in set.deletes {
            self.record(&key)?.change = Change::Delete;
        }
        Ok(())
    }

    /// What the counters of a set come to; its deltas are added in their order.
    fn counted(&mut self, set: &WriteSet) -> Result<BTreeMap<Key, i64>, Refusal> {
        let mut counted = BTreeMap::new();
        for delta in &set.deltas {
            let now = match counted.get(&delta.key) {
                Some(value) => *value,
                None => self.counter(&delta.key)?.value,
            };
            let Some(then) = now.checked_add(delta.by) else {
                let what = format!("counter {:?} would leave the range of 64 bits", delta.key);
                return Err(Refusal::Set(StoreError::Failed(what.into())));
            };
            if then < delta.floor {
                return Err(Refusal::Set(StoreError::Floor(delta.key.clone())));
            }
            counted.insert(delta.key.clone(), then);
        }
        Ok(counted)
    }

    /// Does again what a journal, a snapshot or an export says.
    pub(super) fn carry_out(&mut self, frame: Frame) -> Result<(), Fault> {
        for op in frame.ops {
            match op {
                Op::Put(key, version, value) => self.record(&key)?.change = Change::Put(version, value),
                Op::Delete(key) => self.record(&key)?.change = Change::Delete,
                Op::Count(key, value) => self.count(key, value)?,
            }
        }
        self.sequence = frame.to;
        Ok(())
    }

    /// Adds for each node the link over its audit events in the group, behind the end of its chain.
    pub(super) fn link(&mut self, tips: &mut Tips) -> Result<(), Fault> {
        for (node, events) in std::mem::take(&mut self.events) {
            for (key, value) in tips.of(self.view, node)?.extend(node, &events) {
                self.record(&key)?.change = Change::Put(self.sequence, value);
            }
        }
        Ok(())
    }

    /// Whether there is nothing to write.
    pub(super) fn is_empty(&self) -> bool {
        self.sequence == self.before.sequence
    }

    /// What is to be written. The batch carries the rows, and the meta row that proves them, together.
    pub(super) fn close(self) -> Outcome {
        let mut frame = Frame { from: self.before.sequence, to: self.sequence, ops: Vec::new() };
        let mut rows = Rows::new();
        let mut digest = self.before.digest;
        for (key, slot) in self.counters {
            if !slot.changed {
                continue;
            }
            digest = digest.wrapping_sub(slot.stored.map_or(0, row::mark));
            let name = row::counter_name(&key);
            // An absent counter stands at 0, so one at 0 needs no row.
            let row = (slot.value != 0).then(|| row::encode_counter(&name, slot.value));
            digest = digest.wrapping_add(row.as_ref().map_or(0, |(crc, _)| row::mark(*crc)));
            rows.push((name, row.map(|(_, row)| row)));
            frame.ops.push(Op::Count(key, slot.value));
        }
        for (key, slot) in self.records {
            let stored = slot.stored;
            let head = match slot.change {
                Change::None => continue,
                Change::Put(version, value) => {
                    let (head, written) = row::encode_record(&key, version, &value);
                    rows.extend(written.into_iter().map(|(name, row)| (name, Some(row))));
                    frame.ops.push(Op::Put(key.clone(), version, value));
                    Some(head)
                }
                Change::Delete => {
                    rows.push((row::record_name(&key), None));
                    frame.ops.push(Op::Delete(key.clone()));
                    None
                }
            };
            let stale = head.map_or(0, |head| head.pieces())..stored.map_or(0, |head| head.pieces());
            rows.extend(stale.map(|piece| (row::piece_name(&key, piece), None)));
            digest = digest.wrapping_sub(stored.map_or(0, |head| row::mark(head.crc)));
            digest = digest.wrapping_add(head.map_or(0, |head| row::mark(head.crc)));
        }
        let meta = Meta { sequence: self.sequence, digest };
        rows.push((row::meta_name(), Some(meta.encode())));
        Outcome { meta, rows, frame }
    }

    fn record(&mut self, key: &Key) -> Result<&mut RecordSlot, Fault> {
        if !self.records.contains_key(key) {
            let name = row::record_name(key);
            let head = |row: Bytes| row::decode_head(&name, &row).map(|(head, _)| head);
            let slot = RecordSlot { stored: self.view.row(&name)?.map(head).transpose()?, change: Change::None };
            self.records.insert(key.clone(), slot);
        }
        Ok(self.records.get_mut(key).expect("inserted above if it was not there"))
    }

    fn counter(&mut self, key: &Key) -> Result<&mut CounterSlot, Fault> {
        if !self.counters.contains_key(key) {
            let name = row::counter_name(key);
            let stored = self.view.row(&name)?.map(|row| row::decode_counter(&name, &row)).transpose()?;
            let value = stored.map_or(0, |(_, value)| value);
            let slot = CounterSlot { stored: stored.map(|(crc, _)| crc), value, changed: false };
            self.counters.insert(key.clone(), slot);
        }
        Ok(self.counters.get_mut(key).expect("inserted above if it was not there"))
    }

    fn count(&mut self, key: Key, value: i64) -> Result<(), Fault> {
        let slot = self.counter(&key)?;
        slot.value = value;
        slot.changed = true;
        Ok(())
    }
}
