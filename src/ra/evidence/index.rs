//! The index of the log, held against the log itself: what it should lead to and does not.

use std::collections::BTreeMap;

use serde_json::to_value;

use super::PAGE;
use crate::domain::Result;
use crate::domain::audit::AuditEvent;
use crate::ra::operations::shown_id;
use crate::store::records::Records;

/// No more missing rows are told one by one.
const ROWS_TOLD: usize = 100;

/// Which part of the log is read.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// All of it.
    Whole,
    /// What older versions wrote, which stands at its beginning: their index was about less.
    Older,
}

/// The events that the index does not lead to.
#[derive(Default)]
pub(super) struct Unindexed {
    /// Their ids, by what they are about.
    events: BTreeMap<String, Vec<Vec<u8>>>,
    faults: Vec<String>,
    untold: usize,
}

impl Unindexed {
    /// Reads the log. What is kept in memory are the rows that are not there, which are those of older versions alone
    /// unless somebody removed some.
    pub async fn read(records: &Records, part: Part) -> Result<Self> {
        let mut found = Self::default();
        let mut after = None;
        loop {
            let (events, last) = records.audit_unindexed(after, 5 * PAGE).await?;
            if last.is_none() {
                return Ok(found);
            }
            after = last;
            for one in events {
                if part == Part::Older && one.event.node.is_some() {
                    return Ok(found);
                }
                for about in one.missing {
                    found.add(about, &one.id, &one.event);
                }
            }
        }
    }

    fn add(&mut self, about: String, id: &[u8], event: &AuditEvent) {
        match (event.node, self.faults.len()) {
            (None, _) => {}
            (Some(_), ROWS_TOLD..) => self.untold += 1,
            (Some(_), _) => {
                let act = to_value(&event.act).unwrap_or_default();
                let (act, at, id) = (act["act"].as_str().unwrap_or_default(), event.at, shown_id(id));
                self.faults.push(format!(
                    "operation log: there is an event about {about}, {act} at {at} ({id}), that the index does not lead to"
                ));
            }
        }
        self.events.entry(about).or_default().push(id.to_vec());
    }

    /// The ids of the events about that.
    pub fn about(&self, what: &str) -> &[Vec<u8>] {
        self.events.get(what).map_or(&[], Vec::as_slice)
    }

    /// The rows that the server wrote and that are gone.
    pub fn faults(&self) -> Vec<String> {
        let more = (self.untold > 0).then(|| format!("operation log: and {} more such events", self.untold));
        self.faults.iter().cloned().chain(more).collect()
    }
}
