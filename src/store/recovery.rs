//! Opening a store: find out what can be trusted, and bring the engine to where the journal ends.
//!
//! Why nothing that was acknowledged is lost:
//!
//! 1. A group is in the journal, and the journal's file synced, before the engine hears of it. So whatever a caller was
//!    told, and whatever a reader saw, is in the journal or in the snapshot that replaced its older logs.
//! 2. An engine is trusted only if it proves that it holds exactly the rows of the sequence that it says it is at: every
//!    row's checksum is right and the sum of all marks is the digest in the meta row, which each batch carries with it.
//!    A lost, stale or half-applied batch shows, even if the engine itself noticed nothing.
//! 3. Every frame names the sequence it starts from and the one it leads to. Doing the frames again from the engine's
//!    sequence on, none missing between, leads to the state at the journal's end.
//! 4. An engine that is not trusted, or has fallen behind the snapshot, is moved aside and a new one filled from the
//!    snapshot and the logs behind it. A snapshot is not of one moment (see `snapshot`), but the logs from its number on,
//!    all done again, lead from it to the same end. A new engine does not say that it is at any sequence before the whole
//!    snapshot is in, so that being interrupted only means beginning again.
//! 5. If the journal cannot rebuild, nothing is moved and the store does not open.

use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::committer::GROUP_SETS;
use super::engine::{Engine, Fault, guarded};
use super::group::Group;
use super::journal::{Chain, Frame, Journal, Op, sync_dir, whole_frames};
use super::row::{self, Item, Meta};
use super::snapshot;
use super::{ENGINE_DIRS, OpenError};
use crate::clock::{Clock, SystemClock};

/// Frames are done again in batches of about so many bytes.
const BATCH_BYTES: usize = 1 << 20;

/// This file is in the store while an import is under way.
pub(super) const IMPORT_MARK: &str = "import-unfinished";

/// A store that is ready to be written to.
pub(super) struct Opened<E> {
    pub engine: Arc<E>,
    pub meta: Meta,
    pub journal: Journal,
    pub snapshot_bytes: u64,
    /// The journal alone could not rebuild the engine: a snapshot is wanted at once.
    pub incomplete: bool,
    /// Keeps other processes out as long as it lives.
    pub lock: File,
}

impl<E: Engine> Opened<E> {
    /// Writes a frame of an import: to the journal first, like everything.
    pub(super) fn load(&mut self, frame: Frame) -> Result<(), Fault> {
        self.journal.append(&frame)?;
        self.meta = apply(&*self.engine, self.meta, vec![frame])?;
        Ok(())
    }
}

/// Opens the store in `path`, or creates it.
pub(super) fn open<E: Engine>(path: &Path) -> Result<Opened<E>, OpenError> {
    let failed = |fault: Fault| OpenError::Failed(path.to_owned(), Box::new(fault));
    let journal_dir = path.join("journal");
    create_dir(&journal_dir).map_err(failed)?;
    let lock = lock(path)?;
    if path.join(IMPORT_MARK).exists() {
        return Err(OpenError::HalfImported(path.to_owned()));
    }
    let (chain, journal) = begin_journal(path, &journal_dir).map_err(|e| failed(e.into()))?;

    let (engine, replayed) = match trusted::<E>(path, &chain) {
        Ok(opened) => opened,
        Err(fault) if fault.is_circumstance() => return Err(failed(fault)),
        Err(fault) => rebuilt(path, &chain, &fault)?,
    };
    if replayed.incomplete {
        tracing::error!(path = %path.display(), "the store's journal does not reach back or has gaps; the engine is whole, \
            and a new snapshot is being written");
    }
    let snapshot_bytes = chain.snapshot_bytes().map_err(|e| failed(e.into()))?;
    let Replayed { meta, incomplete } = replayed;
    Ok(Opened { engine: Arc::new(engine), meta, journal, snapshot_bytes, incomplete, lock })
}

/// Tidies the journal up and begins its next log, and that before the engine's first file: so a store that has an engine
/// and no log is not a new one, but one that has lost its journal.
fn begin_journal(path: &Path, dir: &Path) -> io::Result<(Chain, Journal)> {
    let mut chain = Chain::find(dir)?;
    chain.sync_logs()?;
    chain.remove_outdated()?;
    if chain.logs.is_empty() && chain.snapshot.is_none() {
        chain.lost = ENGINE_DIRS.iter().any(|engine| path.join(engine).exists());
    }
    let journal = Journal::begin(dir, &chain)?;
    Ok((Chain::find(dir)?, journal))
}

/// Takes the lock of the store, so that no second server opens it.
pub(super) fn lock(path: &Path) -> Result<File, OpenError> {
    let file = path.join("lock");
    let failed = |e| OpenError::Failed(file.clone(), Box::new(Fault::Io(e)));
    let lock = File::options().create(true).truncate(false).write(true).open(&file).map_err(failed)?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(OpenError::Locked(path.to_owned())),
        Err(TryLockError::Error(e)) => Err(failed(e)),
    }
}

fn create_dir(dir: &Path) -> Result<(), Fault> {
    // Records hold personal data and secrets of accounts.
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    Ok(dir.parent().map_or(Ok(()), sync_dir)?)
}

/// What came of doing the journal again.
struct Replayed {
    meta: Meta,
    incomplete: bool,
}

/// The engine as it is, if it can be trusted, with what the journal has beyond it.
fn trusted<E: Engine>(path: &Path, chain: &Chain) -> Result<(E, Replayed), Fault> {
    let dir = path.join(E::NAME);
    if is_virgin(&dir)? && chain.snapshot.is_some() {
        return Err(Fault::Damaged("it has no files".into()));
    }
    create_dir(&dir)?;
    let (engine, meta) = open_verified::<E>(&dir, &mut |_| ())?;
    sync_dir(&dir)?;
    let base = match &chain.snapshot {
        Some((_, file)) => snapshot::base(file),
        None => Ok(0),
    };
    // A snapshot that cannot be read is of no use, and does no harm to a trusted engine.
    let incomplete = base.is_err() || !chain.has_beginning();
    let base = base.unwrap_or(0);
    if meta.sequence == 0 && !chain.has_beginning() {
        return Err(Fault::Damaged("it is empty".into()));
    }
    if meta.sequence < base {
        return Err(Fault::Damaged(format!("it is at sequence {}, the snapshot at {base}", meta.sequence)));
    }
    let mut replayed = replay(&engine, meta, base, chain)?;
    replayed.incomplete |= incomplete;
    Ok((engine, replayed))
}

/// Opens an engine and reads all of it; `count` sees every item.
pub(super) fn open_verified<E: Engine>(dir: &Path, count: &mut dyn FnMut(&Item)) -> Result<(E, Meta), Fault> {
    guarded(|| {
        let engine = E::open(dir)?;
        let meta = row::verify(&*engine.view()?, count)?;
        Ok((engine, meta))
    })
}

/// Does again what the logs have beyond `meta`. `base` is the sequence that the first log should go on from.
fn replay<E: Engine>(engine: &E, meta: Meta, base: u64, chain: &Chain) -> Result<Replayed, Fault> {
    let mut replay = Replay { engine, meta, frames: Vec::new(), bytes: 0, end: meta.sequence };
    let (mut reached, mut gap) = (base, false);
    for (_, log) in &chain.logs {
        for frame in whole_frames(log)? {
            gap |= frame.from != reached;
            reached = frame.to;
            if frame.to > replay.end {
                replay.take(frame)?;
            }
        }
    }
    replay.flush()?;
    if replay.end > meta.sequence {
        // An interrupted commit leaves an engine one group behind. If it is more, the engine has lost what it had.
        if replay.end - meta.sequence > GROUP_SETS as u64 {
            tracing::error!(
                from = meta.sequence,
                to = replay.end,
                "the store's engine offered an old state; it was \
                brought up to its journal"
            );
        } else {
            tracing::info!(from = meta.sequence, to = replay.end, "the store's engine was brought up to its journal");
        }
        guarded(|| engine.sync())?;
    }
    Ok(Replayed { meta: replay.meta, incomplete: gap || reached != replay.end })
}

struct Replay<'e, E> {
    engine: &'e E,
    meta: Meta,
    frames: Vec<Frame>,
    bytes: usize,
    end: u64,
}

impl<E: Engine> Replay<'_, E> {
    fn take(&mut self, frame: Frame) -> Result<(), Fault> {
        if frame.from != self.end {
            return Err(Fault::Damaged(format!("the journal has nothing between {} and {}", self.end, frame.from)));
        }
        self.end = frame.to;
        self.bytes += frame.ops.iter().map(Op::encoded_len).sum::<usize>();
        self.frames.push(frame);
        if self.bytes >= BATCH_BYTES { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), Fault> {
        self.bytes = 0;
        self.meta = apply(self.engine, self.meta, std::mem::take(&mut self.frames))?;
        Ok(())
    }
}

/// Carries frames out on an engine in one batch.
fn apply<E: Engine>(engine: &E, meta: Meta, frames: Vec<Frame>) -> Result<Meta, Fault> {
    if frames.is_empty() {
        return Ok(meta);
    }
    guarded(|| {
        let view = engine.view()?;
        let mut group = Group::new(&*view, meta);
        frames.into_iter().try_for_each(|frame| group.carry_out(frame))?;
        let outcome = group.close();
        drop(view);
        engine.apply(outcome.rows)?;
        Ok(outcome.meta)
    })
}

/// A new engine, filled from the snapshot and the logs; the untrusted one is kept aside.
fn rebuilt<E: Engine>(path: &Path, chain: &Chain, why: &Fault) -> Result<(E, Replayed), OpenError> {
    let failed = |fault: Fault| OpenError::Failed(path.to_owned(), Box::new(fault));
    let Span { base, .. } = verify_chain(chain).map_err(|journal| OpenError::Damaged {
        path: path.to_owned(),
        engine: why.to_string(),
        journal: journal.to_string(),
    })?;
    match move_aside(path, E::NAME).map_err(failed)? {
        Some(aside) => tracing::error!(engine = E::NAME, fault = %why, aside = %aside.display(),
            "THE STORE'S ENGINE IS NOT WHOLE: its files were moved aside and it is being rebuilt from the journal"),
        None => {
            tracing::warn!(engine = E::NAME, "the store's engine has no files; it is being filled from the journal")
        }
    }
    let fill = || {
        let dir = path.join(E::NAME);
        create_dir(&dir)?;
        let (engine, mut meta) = open_verified::<E>(&dir, &mut |_| ())?;
        sync_dir(&dir)?;
        if let Some((_, file)) = &chain.snapshot {
            snapshot::read(file, &mut |frame| {
                meta = apply(&engine, meta, vec![Frame { from: 0, to: 0, ops: frame.ops }])?;
                Ok(())
            })?;
            meta = apply(&engine, meta, vec![Frame { from: 0, to: base, ops: Vec::new() }])?;
        }
        let replayed = replay(&engine, meta, base, chain)?;
        guarded(|| engine.sync())?;
        Ok((engine, replayed))
    };
    let (engine, replayed) = fill().map_err(failed)?;
    tracing::warn!(engine = E::NAME, sequence = replayed.meta.sequence, "the store was rebuilt; nothing is missing");
    Ok((engine, replayed))
}

/// From the sequence of the snapshot, or 0, to that of the last frame.
pub(super) struct Span {
    pub base: u64,
    pub end: u64,
}

/// Whether the journal can rebuild all: it has its beginning, the snapshot is whole, and nothing is missing between two
/// frames.
pub(super) fn verify_chain(chain: &Chain) -> Result<Span, Fault> {
    if !chain.has_beginning() {
        return Err(Fault::Damaged("the journal has lost its beginning".into()));
    }
    let base = chain.snapshot.as_ref().map_or(Ok(0), |(_, file)| snapshot::read(file, &mut |_| Ok(())))?;
    let mut end = base;
    for (_, log) in &chain.logs {
        for frame in whole_frames(log)? {
            if frame.from != end {
                return Err(Fault::Damaged(format!("the journal has nothing between {end} and {}", frame.from)));
            }
            end = frame.to;
        }
    }
    Ok(Span { base, end })
}

/// Renames the engine's directory; none if there was nothing in it.
fn move_aside(path: &Path, name: &str) -> Result<Option<PathBuf>, Fault> {
    let dir = path.join(name);
    if is_virgin(&dir)? {
        return Ok(None);
    }
    let seconds = SystemClock.now().as_millis() / 1000;
    let aside = (seconds..)
        .map(|seconds| path.join(format!("{name}.damaged-{seconds}")))
        .find(|aside| !aside.exists())
        .expect("some number is not in use");
    fs::rename(dir, &aside)?;
    sync_dir(path)?;
    Ok(Some(aside))
}

/// Whether an engine never had this directory.
fn is_virgin(dir: &Path) -> Result<bool, Fault> {
    match fs::read_dir(dir) {
        Ok(mut files) => Ok(files.next().is_none()),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(e) => Err(e.into()),
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::super::engine::{Rows, View};
    use super::super::redb::Redb;
    use super::super::sled::Sled;
    use super::super::{Entry, Key};
    use super::*;

    fn key(id: &str) -> Key {
        Key { space: 1, id: id.into() }
    }

    fn put(id: &str, version: u64, value: &str) -> Op {
        Op::Put(key(id), version, Bytes::copy_from_slice(value.as_bytes()))
    }

    fn items<E: Engine>(engine: &E) -> Vec<Item> {
        let mut items = Vec::new();
        row::verify(&*engine.view().expect("a view"), &mut |item| items.push(item.clone())).expect("whole");
        items
    }

    /// Opens a store in which `tamper` changed rows behind its back; gives what was in it before and what is then.
    fn after_tampering<E: Engine>(tamper: &dyn Fn(&dyn View) -> Rows) -> (Vec<Item>, Vec<Item>, bool) {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mut store = open::<E>(dir.path()).expect("it opens");
        let long = "x".repeat(10_000);
        let ops = vec![put("a", 1, "one"), put("long", 1, &long), Op::Count(key("n"), 5)];
        store.load(Frame { from: 0, to: 1, ops }).expect("loaded");
        store.load(Frame { from: 1, to: 2, ops: vec![put("a", 2, "two"), Op::Count(key("n"), 6)] }).expect("loaded");
        let before = items(&*store.engine);
        let rows = tamper(&*store.engine.view().expect("a view"));
        store.engine.apply(rows).expect("applied");
        store.engine.sync().expect("synced");
        drop(store);
        let store = open::<E>(dir.path()).expect("it opens");
        let names = fs::read_dir(dir.path()).expect("the store").map(|file| file.expect("a file").file_name());
        let aside = names.filter(|name| name.to_string_lossy().contains(".damaged-")).count();
        (before, items(&*store.engine), aside == 1)
    }

    #[test]
    fn rows_that_an_engine_lost_kept_or_made_up_are_found_out() {
        type Tamper = fn(&dyn View) -> Rows;
        let cases: [(&str, Tamper); 8] = [
            ("a lost record", |_| vec![(row::record_name(&key("a")), None)]),
            ("a stale record", |_| {
                let rows = row::encode_record(&key("a"), 1, &Bytes::from_static(b"one")).1;
                rows.into_iter().map(|(name, row)| (name, Some(row))).collect()
            }),
            ("a record too many", |_| {
                let rows = row::encode_record(&key("b"), 1, &Bytes::from_static(b"one")).1;
                rows.into_iter().map(|(name, row)| (name, Some(row))).collect()
            }),
            ("a record under another's name", |view| {
                let row = view.row(&row::record_name(&key("a"))).expect("read").expect("there");
                vec![(row::record_name(&key("b")), Some(row.to_vec()))]
            }),
            ("a stale counter", |_| {
                let name = row::counter_name(&key("n"));
                let (_, row) = row::encode_counter(&name, 5);
                vec![(name, Some(row))]
            }),
            ("a lost piece", |_| vec![(row::piece_name(&key("long"), 1), None)]),
            ("a piece too many", |_| vec![(row::piece_name(&key("a"), 0), Some(vec![1]))]),
            ("no meta row", |_| vec![(row::meta_name(), None)]),
        ];
        for (case, tamper) in cases {
            let (before, after, aside) = after_tampering::<Sled>(&tamper);
            assert!(before == after && aside, "sled: {case}: {after:?}");
            let (before, after, aside) = after_tampering::<Redb>(&tamper);
            assert!(before == after && aside, "redb: {case}: {after:?}");
        }
        let (before, after, aside) = after_tampering::<Sled>(&|_| Rows::new());
        assert!(before == after && !aside, "nothing was changed");
        assert!(before.contains(&Item::Record(Entry { key: key("a"), value: "two".into(), version: 2 })));
    }

    #[test]
    fn a_rebuild_that_was_interrupted_begins_again() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mut store = open::<Sled>(dir.path()).expect("it opens");
        for n in 1..=20 {
            let ops = vec![put(&format!("r{n}"), n, "x"), Op::Count(key("n"), n.cast_signed())];
            store.load(Frame { from: n - 1, to: n, ops }).expect("loaded");
        }
        let number = store.journal.turn().expect("turned");
        let (engine, sequence) = (store.engine.clone(), store.meta.sequence);
        let snapshot = snapshot::Compaction::begin(engine, store.journal.dir(), number, sequence).expect("begun");
        snapshot.finish().expect("a snapshot");
        let before = items(&*store.engine);
        drop(store);
        // An engine that has a part of the snapshot, all of it in order.
        fs::remove_dir_all(dir.path().join(Sled::NAME)).expect("removed");
        let (engine, meta) = open_verified::<Sled>(&dir.path().join(Sled::NAME), &mut |_| ()).expect("a new engine");
        let part = Frame { from: 0, to: 0, ops: vec![put("r1", 1, "x"), put("r2", 2, "x")] };
        apply(&engine, meta, vec![part]).expect("applied");
        engine.sync().expect("synced");
        drop(engine);
        let store = open::<Sled>(dir.path()).expect("it opens");
        assert_eq!(items(&*store.engine), before);
        assert_eq!(store.meta.sequence, 20);
    }
}
