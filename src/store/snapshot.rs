//! Snapshots: all records and counters in one file, so that the logs before it can go.
//!
//! A snapshot is written while commits go on, and so is not of one moment: a record in it is as it was at some time after
//! log N was begun. That is enough. Whatever changed since then is in log N or later, as absolute values, and doing those
//! logs again from their beginning brings every record to its last state, wherever the snapshot found it.

use std::fs::{self, File};
use std::io::{BufReader, BufWriter, Write};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use super::engine::{Engine, Fault, guarded};
use super::journal::{Chain, Frame, Op, next_frame, sync_dir};
use super::row::{self, Item};

/// A page of a snapshot ends when it has so many bytes; commits of sled wait while a page is read.
const PAGE_BYTES: usize = 256 << 10;

/// A snapshot in the making, in a thread of its own.
pub(super) struct Compaction {
    thread: JoinHandle<Result<u64, Fault>>,
    stop: Arc<AtomicBool>,
}

impl Compaction {
    /// Begins snapshot `number`: `engine` has everything of the logs before `number`, whose last sequence is `base`.
    pub(super) fn begin<E: Engine>(engine: Arc<E>, dir: &Path, number: u32, base: u64) -> Result<Self, Fault> {
        let (dir, stop) = (dir.to_owned(), Arc::new(AtomicBool::new(false)));
        let stopped = stop.clone();
        let work = move || guarded(|| compact(&*engine, &dir, number, base, &stopped));
        let thread = std::thread::Builder::new().name("store-snapshot".into()).spawn(work)?;
        Ok(Self { thread, stop })
    }

    /// Whether `finish` would not wait.
    pub(super) fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }

    /// The length of the snapshot.
    pub(super) fn finish(self) -> Result<u64, Fault> {
        self.thread.join().unwrap_or_else(|_| Err(Fault::Engine("the snapshot's thread panicked".into())))
    }

    /// Gives up; the logs are still all there.
    pub(super) fn abandon(self) {
        self.stop.store(true, Ordering::Relaxed);
        // Whether it was finished or not, the files on disk are right.
        drop(self.thread.join());
    }
}

fn compact<E: Engine>(engine: &E, dir: &Path, number: u32, base: u64, stop: &AtomicBool) -> Result<u64, Fault> {
    let unfinished = dir.join(format!("{number:08}.unfinished"));
    let len = write(engine, &unfinished, base, stop)?;
    fs::rename(&unfinished, dir.join(format!("{number:08}.snapshot")))?;
    sync_dir(dir)?;
    // Only now may the logs go: the name of what replaces them is on disk.
    Chain::find(dir)?.remove_outdated()?;
    Ok(len)
}

/// Writes the file, ending with a frame that holds nothing, and syncs it.
fn write<E: Engine>(engine: &E, path: &Path, base: u64, stop: &AtomicBool) -> Result<u64, Fault> {
    let mut file = BufWriter::new(File::create(path)?);
    let mut from = row::first_name();
    loop {
        let (ops, last) = page(engine, &from)?;
        let end = ops.is_empty();
        file.write_all(&Frame { from: base, to: base, ops }.encode())?;
        if end {
            break;
        }
        if stop.load(Ordering::Relaxed) {
            return Err(Fault::Engine("the snapshot was given up".into()));
        }
        from = last;
        from.push(0);
    }
    let file = file.into_inner().map_err(|e| Fault::Io(e.into_error()))?;
    file.sync_all()?;
    Ok(file.metadata()?.len())
}

/// Some items from the row `from` on, and the name of the last.
fn page<E: Engine>(engine: &E, from: &[u8]) -> Result<(Vec<Op>, Vec<u8>), Fault> {
    let (mut ops, mut last, mut bytes) = (Vec::new(), Vec::new(), 0);
    let view = engine.view()?;
    row::walk(&*view, from, &mut |name, item| {
        last = name;
        let op = match item {
            Item::Counter(key, value) => Op::Count(key, value),
            Item::Record(entry) => Op::Put(entry.key, entry.version, entry.value),
        };
        bytes += op.encoded_len();
        ops.push(op);
        Ok(if bytes < PAGE_BYTES { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
    })?;
    Ok((ops, last))
}

/// Reads a snapshot: every frame goes to `visit`; gives the sequence that the logs go on from.
pub(super) fn read(path: &Path, visit: &mut dyn FnMut(Frame) -> Result<(), Fault>) -> Result<u64, Fault> {
    let mut file = BufReader::with_capacity(1 << 20, File::open(path)?);
    while let Some(frame) = next_frame(&mut file)? {
        if frame.ops.is_empty() {
            return Ok(frame.to);
        }
        visit(frame)?;
    }
    Err(Fault::Damaged(format!("the snapshot {} is cut short", path.display())))
}

/// The sequence that the logs behind this snapshot go on from.
pub(super) fn base(path: &Path) -> Result<u64, Fault> {
    let mut file = BufReader::new(File::open(path)?);
    let first = next_frame(&mut file)?;
    first.map(|frame| frame.to).ok_or_else(|| Fault::Damaged(format!("the snapshot {} is empty", path.display())))
}
