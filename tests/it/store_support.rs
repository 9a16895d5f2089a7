//! What the tests of the store share: both embedded engines, small write sets, and a runtime.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use chancery::store::{self, Delta, EngineName, Entry, Guard, Key, Kv, Range, Settings, StoreError, WriteSet};

use crate::support::wire::PATIENCE;

/// Every engine that keeps its files itself.
pub const ENGINES: [EngineName; 2] = [EngineName::Sled, EngineName::Redb];

pub fn settings(engine: EngineName, path: &Path) -> Settings {
    Settings { engine, path: path.to_owned(), url: None }
}

pub fn open(engine: EngineName, path: &Path) -> Arc<dyn Kv> {
    unlocked(|| store::open(&settings(engine, path))).expect("the store opens")
}

/// What is done with a store that was closed a moment ago: a process that another test starts at that moment holds its lock
/// until it is itself.
pub fn unlocked<T, E: std::fmt::Display>(mut work: impl FnMut() -> Result<T, E>) -> Result<T, E> {
    let begun = Instant::now();
    loop {
        match work() {
            Err(error) if error.to_string().contains("is in use by another process") => {
                assert!(begun.elapsed() < PATIENCE, "after {PATIENCE:?} still {error}");
                std::thread::yield_now();
            }
            done => return done,
        }
    }
}

/// Runs `test` for every engine, each in a directory of its own that is gone afterwards.
pub fn each_engine(test: impl Fn(EngineName, &Path)) {
    for engine in ENGINES {
        let dir = tempfile::tempdir().expect("a temporary directory");
        test(engine, &dir.path().join("store"));
    }
}

/// The directory in the store where the engine keeps its files.
pub fn engine_dir(engine: EngineName, store: &Path) -> PathBuf {
    store.join(format!("{engine:?}").to_lowercase())
}

pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(future)
}

pub fn key(space: u8, id: impl AsRef<[u8]>) -> Key {
    Key { space, id: id.as_ref().to_vec() }
}

pub fn put(key: Key, value: impl AsRef<[u8]>) -> WriteSet {
    WriteSet { puts: vec![(key, value.as_ref().to_vec().into())], ..WriteSet::default() }
}

pub fn delete(key: Key) -> WriteSet {
    WriteSet { deletes: vec![key], ..WriteSet::default() }
}

pub fn add(key: Key, by: i64, floor: i64) -> WriteSet {
    WriteSet { deltas: vec![Delta { key, by, floor }], ..WriteSet::default() }
}

pub fn check(mut set: WriteSet, key: Key, guard: Guard) -> WriteSet {
    set.checks.push((key, guard));
    set
}

pub fn commit(store: &Arc<dyn Kv>, set: WriteSet) -> Result<(), StoreError> {
    block_on(store.commit(set))
}

pub fn read(store: &Arc<dyn Kv>, key: Key) -> Option<Entry> {
    block_on(store.read(&[key])).expect("the store reads").pop().expect("one answer for one key")
}

pub fn counter(store: &Arc<dyn Kv>, key: &Key) -> i64 {
    block_on(store.counter(key)).expect("the store reads")
}

pub fn scan(store: &Arc<dyn Kv>, range: Range) -> Vec<Entry> {
    block_on(store.scan(range)).expect("the store scans")
}

/// All records of a space.
pub fn all(store: &Arc<dyn Kv>, space: u8) -> Vec<Entry> {
    scan(store, Range { space, prefix: Vec::new(), after: None, limit: usize::MAX })
}
