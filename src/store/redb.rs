//! The engine redb, the second one beside sled; no other file names it.

use std::fs::File;
use std::ops::ControlFlow;
use std::path::Path;

use ::redb::{Database, ReadOnlyTable, ReadableDatabase, TableDefinition};
use bytes::Bytes;

use super::engine::{Engine, Fault, Rows, View, Visit};

const ROWS: TableDefinition<'static, &'static [u8], &'static [u8]> = TableDefinition::new("rows");
/// Memory for pages; redb's own default is 1 GiB.
const CACHE_BYTES: usize = 128 << 20;

/// An open redb database.
pub(super) struct Redb(Database);

impl Engine for Redb {
    const NAME: &'static str = "redb";

    fn open(dir: &Path) -> Result<Self, Fault> {
        let file = dir.join("store.redb");
        let db = Database::builder().set_cache_size(CACHE_BYTES).create(&file).map_err(::redb::Error::from)?;
        // Views open the table without creating it.
        let begin = || {
            let writing = db.begin_write()?;
            writing.open_table(ROWS)?;
            Ok::<_, ::redb::Error>(writing.commit()?)
        };
        begin()?;
        File::open(file)?.sync_all()?;
        Ok(Self(db))
    }

    fn view(&self) -> Result<Box<dyn View + '_>, Fault> {
        let open = || Ok::<_, ::redb::Error>(self.0.begin_read()?.open_table(ROWS)?);
        Ok(Box::new(Moment(open()?)))
    }

    fn apply(&self, rows: Rows) -> Result<(), Fault> {
        let write = || {
            let writing = self.0.begin_write()?;
            let mut table = writing.open_table(ROWS)?;
            for (name, row) in &rows {
                match row {
                    Some(row) => table.insert(name.as_slice(), row.as_slice())?,
                    None => table.remove(name.as_slice())?,
                };
            }
            drop(table);
            Ok::<_, ::redb::Error>(writing.commit()?)
        };
        Ok(write()?)
    }

    fn sync(&self) -> Result<(), Fault> {
        // A commit is durable when it returns.
        Ok(())
    }
}

/// The database as of one commit.
struct Moment(ReadOnlyTable<&'static [u8], &'static [u8]>);

impl View for Moment {
    fn row(&self, name: &[u8]) -> Result<Option<Bytes>, Fault> {
        let row = self.0.get(name).map_err(::redb::Error::from)?;
        Ok(row.map(|row| Bytes::copy_from_slice(row.value())))
    }

    fn rows(&self, from: &[u8], visit: &mut Visit<'_>) -> Result<(), Fault> {
        for pair in self.0.range(from..).map_err(::redb::Error::from)? {
            let (name, row) = pair.map_err(::redb::Error::from)?;
            if let ControlFlow::Break(()) = visit(name.value(), row.value())? {
                break;
            }
        }
        Ok(())
    }
}

impl From<::redb::Error> for Fault {
    fn from(error: ::redb::Error) -> Self {
        match error {
            ::redb::Error::Io(source) => Self::Io(source),
            ::redb::Error::Corrupted(what) => Self::Damaged(what),
            other => Self::Engine(other.to_string()),
        }
    }
}
