//! Durability: an ordered key-value store of three calls, which knows nothing of what its records mean.

pub mod records;
pub mod vault;

use std::fmt;
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use serde::Deserialize;

mod committer;
mod engine;
mod group;
mod journal;
mod oplog;
mod recovery;
mod redb;
mod row;
mod sled;
mod snapshot;
mod transfer;

pub use oplog::OperationsHead;
pub use transfer::{Report, Totals, TransferError, check, export, import};

/// Longest id of a key, in bytes.
pub const MAX_ID: usize = 512;
/// Longest value, in bytes.
pub const MAX_VALUE: usize = 1 << 20;

/// A boxed future, so that engines can stand behind `dyn Kv`.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The name of a record: a space (a table, so to speak) and an id in it. Ordered by space, then bytewise by id.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// The table.
    pub space: u8,
    /// The record in it; at most 512 bytes.
    pub id: Vec<u8>,
}

/// A record with the version that its last write gave it. Versions of one key only ever grow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The record's name.
    pub key: Key,
    /// What was last put: JSON text, of any size up to 1 MiB.
    pub value: Bytes,
    /// Greater than at any earlier write of this key.
    pub version: u64,
}

/// What a commit demands of a key before it writes anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Guard {
    /// There is no such record.
    Absent,
    /// The record is still as it was read.
    At(u64),
}

/// A change of a counter: counters are records of their own kind, absent ones stand at 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delta {
    /// The counter.
    pub key: Key,
    /// What to add.
    pub by: i64,
    /// The commit is refused if the counter would fall below this.
    pub floor: i64,
}

/// A set of writes: all of it happens, or nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WriteSet {
    /// What must hold.
    pub checks: Vec<(Key, Guard)>,
    /// Counters to change.
    pub deltas: Vec<Delta>,
    /// Records to write.
    pub puts: Vec<(Key, Bytes)>,
    /// Records to remove.
    pub deletes: Vec<Key>,
    /// The node that writes: its audit events go on that node's chain.
    pub node: u16,
}

/// A stretch of a space: the records whose id begins with `prefix`, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Range {
    /// The table.
    pub space: u8,
    /// What every id begins with.
    pub prefix: Vec<u8>,
    /// Begin behind this id; none for the beginning.
    pub after: Option<Vec<u8>>,
    /// At most so many records.
    pub limit: usize,
}

/// Why a call failed.
#[derive(Debug)]
pub enum StoreError {
    /// A guard did not hold: somebody else wrote in between. Nothing was written.
    Conflict(Key),
    /// A counter would have fallen below its floor. Nothing was written.
    Floor(Key),
    /// The engine failed; whether the set was written is not known.
    Failed(Box<dyn std::error::Error + Send + Sync>),
}

/// An engine.
pub trait Kv: Send + Sync + 'static {
    /// The records of these keys, each none if absent, in the order of `keys`.
    fn read<'a>(&'a self, keys: &'a [Key]) -> BoxFuture<'a, Result<Vec<Option<Entry>>, StoreError>>;

    /// The records of a range.
    fn scan(&self, range: Range) -> BoxFuture<'_, Result<Vec<Entry>, StoreError>>;

    /// The value of a counter.
    fn counter<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<i64, StoreError>>;

    /// Carries out a set. When it returns `Ok`, the set is durable against a power cut and seen by every later call.
    fn commit(&self, set: WriteSet) -> BoxFuture<'_, Result<(), StoreError>>;
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Conflict(key) => write!(f, "record {key:?} was changed by somebody else"),
            Self::Floor(key) => write!(f, "counter {key:?} is exhausted"),
            Self::Failed(source) => write!(f, "the store failed: {source}"),
        }
    }
}

impl std::error::Error for StoreError {}

/// The section `[store]` of the configuration.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Which engine.
    pub engine: EngineName,
    /// The directory of an embedded engine; empty in the configuration, for `store` in the data directory.
    pub path: PathBuf,
    /// Where PostgreSQL is, with user and password.
    pub url: Option<String>,
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { engine, path, url } = self;
        // The URL has a password in it.
        let url = url.as_ref().map(|_| "[redacted]");
        f.debug_struct("Settings").field("engine", engine).field("path", path).field("url", &url).finish()
    }
}

/// An engine by its name in the configuration.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EngineName {
    /// Embedded, the default.
    #[default]
    Sled,
    /// Embedded.
    Redb,
    /// A server of its own, for several machines.
    Postgres,
}

/// Why a store did not open.
#[derive(Debug)]
pub enum OpenError {
    /// Another process has it open.
    Locked(PathBuf),
    /// This build does not have the engine.
    NotBuilt(EngineName),
    /// The engine's files are damaged, and so is the journal that would rebuild them. Nothing was changed.
    Damaged {
        /// The store.
        path: PathBuf,
        /// What is wrong with the engine.
        engine: String,
        /// What is wrong with the journal.
        journal: String,
    },
    /// An import was interrupted; what there is of it is no store.
    HalfImported(PathBuf),
    /// A file could not be read or written, or the engine gave up for a reason outside of its files.
    Failed(PathBuf, Box<dyn std::error::Error + Send + Sync>),
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Locked(path) => write!(f, "the store {} is in use by another process", path.display()),
            Self::NotBuilt(engine) => write!(f, "the store engine {engine:?} is not part of this build yet"),
            Self::Damaged { path, engine, journal } => {
                let path = path.display();
                write!(f, "the store {path} cannot be opened ({engine}) nor rebuilt ({journal}): restore a back-up")
            }
            Self::HalfImported(path) => {
                let path = path.display();
                write!(f, "the import into the store {path} was not finished: remove that directory and import again")
            }
            Self::Failed(path, source) => write!(f, "the store {} does not open: {source}", path.display()),
        }
    }
}

impl std::error::Error for OpenError {}

/// Where in a store the files of embedded engines are.
const ENGINE_DIRS: [&str; 2] = [<sled::Sled as engine::Engine>::NAME, <redb::Redb as engine::Engine>::NAME];

/// How long the journal of an embedded store may grow before a snapshot replaces it, in bytes, unless the snapshot is
/// so large that twice its length is more.
pub const JOURNAL_LIMIT: u64 = 256 << 20;

/// Opens the store, or creates it. Blocks while everything in it is verified, and if need be rebuilt.
pub fn open(settings: &Settings) -> Result<Arc<dyn Kv>, OpenError> {
    open_with(settings, JOURNAL_LIMIT)
}

/// `open`, with another limit for the journal.
pub fn open_with(settings: &Settings, journal_limit: u64) -> Result<Arc<dyn Kv>, OpenError> {
    if settings.engine != EngineName::Postgres && settings.path.as_os_str().is_empty() {
        return Err(OpenError::Failed(PathBuf::new(), "no directory is named".into()));
    }
    match settings.engine {
        EngineName::Sled => Ok(Arc::new(committer::Embedded::<sled::Sled>::open(&settings.path, journal_limit)?)),
        EngineName::Redb => Ok(Arc::new(committer::Embedded::<redb::Redb>::open(&settings.path, journal_limit)?)),
        EngineName::Postgres => Err(OpenError::NotBuilt(settings.engine)),
    }
}
