//! What the operation log is told about the server itself: start, stop, what it runs on; and how its chains are anchored
//! in one another.

use std::collections::BTreeMap;

use super::{Ra, Stop, settle};
use crate::domain::Result;
use crate::domain::audit::{Act, Observation};
use crate::domain::certificate::hex32;
use crate::store::records::{Batch, Observed};

impl Ra {
    /// What the server runs on: its version, these settings, the digests of these files, the keys of its CA.
    pub fn observation(&self, files: BTreeMap<String, String>, settings: BTreeMap<String, String>) -> Observation {
        let key = |name: &str| {
            let identifier = hex32::encode(self.ca.key_identifier(name).unwrap_or_default());
            (format!("key {name}"), identifier)
        };
        let digests = files.into_iter().chain(self.ca.issuer_names().map(key)).collect();
        Observation { version: env!("CARGO_PKG_VERSION").to_owned(), digests, settings }
    }

    /// Notes that the server has started, and what it runs on is not what it ran on before.
    pub async fn started(&self, state: Observation) -> Result<()> {
        settle(|| self.note_state(Some(Act::ServerStarted(Box::new(state.clone()))), &state)).await?;
        *self.hour_anchored.lock() = Some(self.hour());
        self.anchor().await
    }

    /// Anchors the chains of other nodes, unless that was done in this hour. What goes wrong is told in the log, and tried
    /// again.
    pub(super) async fn anchor_each_hour(&self) {
        let hour = self.hour();
        if self.hour_anchored.lock().replace(hour) == Some(hour) {
            return;
        }
        if let Err(error) = self.anchor().await {
            *self.hour_anchored.lock() = None;
            tracing::error!(error = ?error, "the chains of other nodes could not be anchored");
        }
    }

    fn hour(&self) -> u64 {
        self.now().as_secs() / 3_600
    }

    /// Notes what has changed while the server runs.
    pub async fn observe(&self, state: Observation) -> Result<()> {
        settle(|| self.note_state(None, &state)).await
    }

    async fn note_state(&self, begin: Option<Act>, state: &Observation) -> Result<(), Stop> {
        let (node, now) = (self.records.node(), self.now());
        let read = self.records.find::<Observed>(node.to_be_bytes()).await?;
        let what = read.as_ref().map(|read| state.changes_since(&read.state)).unwrap_or_default();
        let change = (!what.is_empty()).then_some(Act::ConfigurationChanged { what });
        let mut acts = begin.into_iter().chain(change);
        let Some(first) = acts.next() else { return Ok(()) };
        let batch = acts.fold(Batch::of(first, now), |batch, act| batch.and(act, now));
        self.records.commit(batch.set(read.as_ref(), &Observed { node, state: state.clone() })).await?;
        Ok(())
    }

    /// Notes that the server stops.
    pub async fn stopped(&self) -> Result<()> {
        self.anchor().await?;
        self.records.commit(Batch::of(Act::ServerStopped {}, self.now())).await?;
        Ok(())
    }

    /// Tells on this node's chain where the chains of all others end: whoever cuts or rewrites one of them is found out.
    /// Where there are no others there is nothing to tell.
    pub async fn anchor(&self) -> Result<()> {
        let mut heads = self.records.heads().await?;
        heads.retain(|head| head.node != self.records.node());
        if heads.is_empty() {
            return Ok(());
        }
        self.records.commit(Batch::of(Act::Anchored { heads }, self.now())).await?;
        Ok(())
    }
}
