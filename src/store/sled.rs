//! The engine sled, inside the guard rails that its known faults ask for; no other file names it.
//!
//! - Its `flush` hands pages to the operating system with `sync_file_range` and does not survive a power cut, so `sync`
//!   follows it with `fdatasync` of the one file that holds the log.
//! - Its `flush_async` deadlocks under concurrent callers and is not used.
//! - Its blob files are never synced; rows are kept so short that no page ever becomes one (see `row`).
//! - It panics when it meets damage; every caller is `guarded`.

use std::fs::File;
use std::ops::ControlFlow;
use std::path::Path;

use bytes::Bytes;
use parking_lot::{RwLock, RwLockReadGuard};

use super::engine::{Engine, Fault, Rows, View, Visit};

/// Memory for pages; sled's own default is 1 GiB.
const CACHE_BYTES: u64 = 128 << 20;

/// An open sled database.
pub(super) struct Sled {
    db: ::sled::Db,
    log: File,
    /// Held for writing while a batch goes in, so that no view sees half of it; true after one got stuck half way.
    torn: RwLock<bool>,
}

/// Opens the database. One that was closed a moment ago is still locked until the last of its threads has ended.
fn open_unlocked(dir: &Path) -> Result<::sled::Db, ::sled::Error> {
    let mut tries = 0;
    loop {
        let opened = ::sled::Config::new().path(dir).cache_capacity(CACHE_BYTES).open();
        let locked = matches!(&opened, Err(::sled::Error::Io(error)) if error.to_string().contains("acquire lock"));
        tries += 1;
        if !locked || tries == 40 {
            return opened;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}

impl Engine for Sled {
    const NAME: &'static str = "sled";

    fn open(dir: &Path) -> Result<Self, Fault> {
        let db = open_unlocked(dir)?;
        for file in std::fs::read_dir(dir)? {
            let path = file?.path();
            // What opening has created or repaired must be on disk before anything is built on it.
            if path.is_file() {
                File::open(path)?.sync_all()?;
            }
        }
        Ok(Self { db, log: File::open(dir.join("db"))?, torn: RwLock::new(false) })
    }

    fn view(&self) -> Result<Box<dyn View + '_>, Fault> {
        let torn = self.torn.read();
        if *torn {
            return Err(Fault::Engine("an earlier batch got stuck half way".into()));
        }
        Ok(Box::new(Rest { db: &self.db, _whole: torn }))
    }

    fn apply(&self, rows: Rows) -> Result<(), Fault> {
        let mut batch = ::sled::Batch::default();
        for (name, row) in rows {
            match row {
                Some(row) => batch.insert(name, row),
                None => batch.remove(name),
            }
        }
        let mut torn = self.torn.write();
        // Stays so if the next line fails or panics.
        *torn = true;
        self.db.apply_batch(batch)?;
        *torn = false;
        Ok(())
    }

    fn sync(&self) -> Result<(), Fault> {
        self.db.flush()?;
        Ok(self.log.sync_data()?)
    }
}

/// The database between two batches.
struct Rest<'a> {
    db: &'a ::sled::Db,
    _whole: RwLockReadGuard<'a, bool>,
}

impl View for Rest<'_> {
    fn row(&self, name: &[u8]) -> Result<Option<Bytes>, Fault> {
        Ok(self.db.get(name)?.map(|row| Bytes::copy_from_slice(&row)))
    }

    fn rows(&self, from: &[u8], visit: &mut Visit<'_>) -> Result<(), Fault> {
        for pair in self.db.range(from..) {
            let (name, row) = pair?;
            if let ControlFlow::Break(()) = visit(&name, &row)? {
                break;
            }
        }
        Ok(())
    }
}

impl From<::sled::Error> for Fault {
    fn from(error: ::sled::Error) -> Self {
        match error {
            ::sled::Error::Io(source) => Self::Io(source),
            ::sled::Error::Corruption { .. } => Self::Damaged(error.to_string()),
            other => Self::Engine(other.to_string()),
        }
    }
}
