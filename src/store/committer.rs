//! The embedded store: readers look at the engine; one thread commits, in groups, journal first.

use std::collections::HashSet;
use std::fs::File;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;

use bytes::Bytes;
use tokio::sync::oneshot;

use super::engine::{Engine, Fault, View, guarded};
use super::group::{Group, Refusal};
use super::journal::Journal;
use super::oplog::Tips;
use super::recovery::{self, Opened};
use super::row::{self, Meta, Name};
use super::snapshot::Compaction;
use super::{BoxFuture, Entry, Key, Kv, MAX_ID, MAX_VALUE, OpenError, Range, StoreError, WriteSet};

/// Longest write set, ids and values together.
const MAX_SET: usize = 16 << 20;
/// At most so many sets go into one group,
pub(super) const GROUP_SETS: usize = 512;
/// and no more once it has so many bytes.
const GROUP_BYTES: usize = 4 << 20;

/// An engine with its committer.
pub(super) struct Embedded<E: Engine> {
    engine: Arc<E>,
    requests: Option<Sender<Request>>,
    committer: Option<JoinHandle<()>>,
    _lock: File,
}

struct Request {
    set: WriteSet,
    answer: oneshot::Sender<Result<(), StoreError>>,
}

impl<E: Engine> Embedded<E> {
    /// Opens the store in `path`. A snapshot is written whenever the journal has grown by `journal_limit` bytes, or by
    /// twice the last snapshot if that is more.
    pub(super) fn open(path: &Path, journal_limit: u64) -> Result<Self, OpenError> {
        let Opened { engine, meta, journal, snapshot_bytes, incomplete, lock } = recovery::open::<E>(path)?;
        let (requests, waiting) = channel();
        let limit = if incomplete { 0 } else { journal_limit.max(2 * snapshot_bytes) };
        let operations = guarded(|| Tips::load(&*engine.view()?));
        let operations = operations.map_err(|fault| OpenError::Failed(path.to_owned(), Box::new(fault)))?;
        let mut committer = Committer {
            engine: engine.clone(),
            journal,
            meta,
            operations,
            unsynced: false,
            failure: OnceLock::new(),
            journal_limit,
            limit,
            compaction: None,
        };
        let committer = std::thread::Builder::new()
            .name("store-committer".into())
            .spawn(move || committer.run(&waiting))
            .map_err(|e| OpenError::Failed(path.to_owned(), Box::new(e)))?;
        Ok(Self { engine, requests: Some(requests), committer: Some(committer), _lock: lock })
    }

    /// Runs `look` on one view.
    pub(super) fn look<T>(&self, look: impl FnOnce(&dyn View) -> Result<T, Fault>) -> Result<T, Fault> {
        guarded(|| look(&*self.engine.view()?))
    }
}

impl<E: Engine> Kv for Embedded<E> {
    fn read<'a>(&'a self, keys: &'a [Key]) -> BoxFuture<'a, Result<Vec<Option<Entry>>, StoreError>> {
        Box::pin(async move {
            let read = |view: &dyn View, key: &Key| match view.row(&row::record_name(key))? {
                Some(row) => row::decode_record(view, key.clone(), &row).map(|(_, entry)| Some(entry)),
                None => Ok(None),
            };
            Ok(self.look(|view| keys.iter().map(|key| read(view, key)).collect())?)
        })
    }

    fn scan(&self, range: Range) -> BoxFuture<'_, Result<Vec<Entry>, StoreError>> {
        Box::pin(async move { Ok(self.look(|view| scan(view, &range))?) })
    }

    fn counter<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<i64, StoreError>> {
        Box::pin(async move {
            let name = row::counter_name(key);
            let row = self.look(|view| view.row(&name))?;
            Ok(row.map_or(Ok(0), |row| row::decode_counter(&name, &row).map(|(_, value)| value))?)
        })
    }

    fn commit(&self, set: WriteSet) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move {
            check_form(&set).map_err(|what| StoreError::Failed(what.into()))?;
            let (answer, answered) = oneshot::channel();
            if let Some(requests) = &self.requests {
                // If the committer is gone, the answer's sender is dropped with the request, and that is the answer.
                drop(requests.send(Request { set, answer }));
            }
            answered.await.unwrap_or_else(|_| Err(StoreError::Failed("the committer is gone".into())))
        })
    }
}

impl From<Fault> for StoreError {
    fn from(fault: Fault) -> Self {
        Self::Failed(Box::new(fault))
    }
}

impl<E: Engine> Drop for Embedded<E> {
    fn drop(&mut self) {
        // Without senders the committer ends, having served all who wait; then the lock may go.
        self.requests = None;
        if let Some(committer) = self.committer.take() {
            drop(committer.join());
        }
    }
}

fn scan(view: &dyn View, range: &Range) -> Result<Vec<Entry>, Fault> {
    let mut from = row::record_start(range.space, &range.prefix);
    if let Some(after) = range.after.as_ref().filter(|after| after.as_slice() >= range.prefix.as_slice()) {
        from = row::record_start(range.space, after);
        from.push(0);
    }
    let mut found = Vec::new();
    if range.limit == 0 {
        return Ok(found);
    }
    view.rows(&from, &mut |name, row| {
        let Name::Record(key) = row::parse_name(name)? else { return Ok(ControlFlow::Break(())) };
        if key.space != range.space || !key.id.starts_with(&range.prefix) {
            return Ok(ControlFlow::Break(()));
        }
        let (_, entry) = row::decode_record(view, key, &Bytes::copy_from_slice(row))?;
        found.push(entry);
        Ok(if found.len() < range.limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
    })?;
    Ok(found)
}

/// What no engine should have to bear, said by the caller's own thread.
fn check_form(set: &WriteSet) -> Result<(), String> {
    let checked = set.checks.iter().map(|(key, _)| key);
    let counted = set.deltas.iter().map(|delta| &delta.key);
    let written = || set.puts.iter().map(|(key, _)| key).chain(&set.deletes);
    if let Some(key) = checked.chain(counted).chain(written()).find(|key| key.id.len() > MAX_ID) {
        return Err(format!("a key of {} bytes in space {} where {MAX_ID} are the most", key.id.len(), key.space));
    }
    if let Some((key, value)) = set.puts.iter().find(|(_, value)| value.len() > MAX_VALUE) {
        return Err(format!("a value of {} bytes for {key:?} where {MAX_VALUE} are the most", value.len()));
    }
    let mut seen = HashSet::new();
    if let Some(key) = written().find(|key| !seen.insert(*key)) {
        return Err(format!("a set that writes {key:?} twice"));
    }
    let bytes = size(set);
    if bytes > MAX_SET {
        return Err(format!("a set of {bytes} bytes where {MAX_SET} are the most"));
    }
    Ok(())
}

fn size(set: &WriteSet) -> usize {
    let keys = set.deltas.iter().map(|delta| delta.key.id.len()).chain(set.deletes.iter().map(|key| key.id.len()));
    keys.chain(set.puts.iter().map(|(key, value)| key.id.len() + value.len())).sum()
}

/// The one thread that writes.
struct Committer<E> {
    engine: Arc<E>,
    journal: Journal,
    meta: Meta,
    /// The ends of the operation log's chains.
    operations: Tips,
    /// The engine has been given more than it was told to sync.
    unsynced: bool,
    /// Set by the first fault: from then on the store takes no commit, because the state of its files is not known.
    failure: OnceLock<String>,
    journal_limit: u64,
    /// The journal's length at which the next snapshot is due.
    limit: u64,
    compaction: Option<Compaction>,
}

impl<E: Engine> Committer<E> {
    /// Serves until nobody can ask any more.
    fn run(&mut self, waiting: &Receiver<Request>) {
        loop {
            if self.failure.get().is_none()
                && let Err(fault) = self.compact_if_due()
            {
                self.fail(&fault);
            }
            let Ok(first) = waiting.recv() else { break };
            self.serve(gather(first, waiting));
        }
        if let Some(compaction) = self.compaction.take() {
            compaction.abandon();
        }
    }

    /// Commits a group and answers everyone in it.
    fn serve(&mut self, group: Vec<Request>) {
        let (sets, answers): (Vec<_>, Vec<_>) = group.into_iter().map(|request| (request.set, request.answer)).unzip();
        let verdicts = match self.failure.get() {
            Some(_) => None,
            None => guarded(|| self.commit(sets)).map_err(|fault| self.fail(&fault)).ok(),
        };
        let mut verdicts = verdicts.map(Vec::into_iter);
        for answer in answers {
            let failed = || Err(StoreError::Failed(self.failure.get().cloned().unwrap_or_default().into()));
            let verdict = verdicts.as_mut().and_then(Iterator::next).unwrap_or_else(failed);
            // Whoever does not wait any more does not want to know.
            drop(answer.send(verdict));
        }
        // The callers need not wait for this: the group is durable in the journal, and an engine that a power cut throws
        // back to the group before is brought up from there. It is done for each group all the same, so that an engine
        // never has more at stake than one.
        if std::mem::take(&mut self.unsynced)
            && let Err(fault) = guarded(|| self.engine.sync())
        {
            self.fail(&fault);
        }
    }

    /// Judges the sets one by one, writes those that hold, and gives the verdicts once all is durable and seen.
    fn commit(&mut self, sets: Vec<WriteSet>) -> Result<Vec<Result<(), StoreError>>, Fault> {
        let view = self.engine.view()?;
        let mut group = Group::new(&*view, self.meta);
        let mut verdicts = Vec::with_capacity(sets.len());
        for set in sets {
            verdicts.push(match group.admit(set) {
                Ok(()) => Ok(()),
                Err(Refusal::Set(refusal)) => Err(refusal),
                Err(Refusal::Engine(fault)) => return Err(fault),
            });
        }
        if group.is_empty() {
            return Ok(verdicts);
        }
        group.link(&mut self.operations)?;
        let outcome = group.close();
        drop(view);
        // The order is the recovery argument's: first the journal, durable; only then may anyone see it.
        self.journal.append(&outcome.frame)?;
        self.engine.apply(outcome.rows)?;
        self.meta = outcome.meta;
        self.unsynced = true;
        Ok(verdicts)
    }

    /// Takes no commit any more.
    fn fail(&self, fault: &Fault) {
        tracing::error!(%fault, "the store failed and takes no more commits until it is opened anew");
        let why = format!("the store takes no commits since an earlier fault: {fault}");
        // Only the first fault counts.
        drop(self.failure.set(why));
    }

    /// Begins a snapshot when the journal has grown enough; looks after the one that is being written.
    fn compact_if_due(&mut self) -> Result<(), Fault> {
        if let Some(compaction) = self.compaction.take_if(|compaction| compaction.is_finished()) {
            match compaction.finish() {
                Ok(len) => self.limit = self.journal_limit.max(2 * len),
                Err(fault) => {
                    tracing::error!(%fault, "a snapshot of the store failed; its journal is kept and grows");
                    self.limit = self.journal_limit;
                }
            }
        }
        if self.compaction.is_none() && self.journal.since_snapshot >= self.limit {
            let number = self.journal.turn()?;
            let (engine, dir) = (self.engine.clone(), self.journal.dir());
            self.compaction = Some(Compaction::begin(engine, dir, number, self.meta.sequence)?);
            self.journal.since_snapshot = 0;
        }
        Ok(())
    }
}

/// The first request and those that already wait behind it.
fn gather(first: Request, waiting: &Receiver<Request>) -> Vec<Request> {
    let mut total = size(&first.set);
    let mut group = vec![first];
    while group.len() < GROUP_SETS && total < GROUP_BYTES {
        let Ok(next) = waiting.try_recv() else { break };
        total += size(&next.set);
        group.push(next);
    }
    group
}

#[cfg(test)]
mod tests {
    use super::super::redb::Redb;
    use super::super::sled::Sled;
    use super::*;

    /// A store that meets a damaged row on its way.
    async fn closes_on_damage<E: Engine>() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let key = |id: &str| Key { space: 1, id: id.into() };
        let put = |id: &str| WriteSet { puts: vec![(key(id), "value".into())], ..WriteSet::default() };
        let store = Embedded::<E>::open(dir.path(), 1 << 20).expect("it opens");
        store.commit(put("a")).await.expect("committed");
        store.commit(put("b")).await.expect("committed");
        let name = row::record_name(&key("a"));
        store.engine.apply(vec![(name, Some(b"no envelope at all".to_vec()))]).expect("damaged");
        for id in ["a", "b", "c"] {
            let refused = store.commit(put(id)).await.expect_err("refused").to_string();
            assert!(refused.contains("takes no commits since an earlier fault: damaged"), "{refused}");
        }
        assert!(store.read(&[key("a")]).await.is_err(), "damage is never handed out");
        assert!(store.read(&[key("b")]).await.is_ok_and(|read| read[0].is_some()));
        drop(store);
        let store = Embedded::<E>::open(dir.path(), 1 << 20).expect("it opens, rebuilt");
        assert!(store.read(&[key("a")]).await.is_ok_and(|read| read[0].is_some()));
        store.commit(put("c")).await.expect("committed");
    }

    #[tokio::test]
    async fn a_store_that_meets_damage_takes_no_commits_until_it_is_opened_anew() {
        closes_on_damage::<Sled>().await;
        closes_on_damage::<Redb>().await;
    }
}
