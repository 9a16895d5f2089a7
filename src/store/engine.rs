//! What the store asks of an engine: an ordered map of bytes that takes atomic batches.

use std::any::Any;
use std::fmt;
use std::io;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use bytes::Bytes;

/// Rows to write, and with no content to remove, all at once.
pub(super) type Rows = Vec<(Vec<u8>, Option<Vec<u8>>)>;

/// What `View::rows` calls for each row: its name and its content.
pub(super) type Visit<'a> = dyn FnMut(&[u8], &[u8]) -> Result<ControlFlow<()>, Fault> + 'a;

/// An embedded engine. The committer is the only one that writes.
pub(super) trait Engine: Sized + Send + Sync + 'static {
    /// Its name, and that of its directory in the store's.
    const NAME: &'static str;

    /// Opens what is in `dir`, or begins anew in an empty directory.
    fn open(dir: &Path) -> Result<Self, Fault>;

    /// The rows as they are after one `apply` and before the next. Short-lived: writers may wait for it.
    fn view(&self) -> Result<Box<dyn View + '_>, Fault>;

    /// Writes all of `rows` or none; views made from now on see them. Not yet durable.
    fn apply(&self, rows: Rows) -> Result<(), Fault>;

    /// Makes everything that was applied durable against a power cut.
    fn sync(&self) -> Result<(), Fault>;
}

/// A consistent look at all rows.
pub(super) trait View {
    /// The content of a row.
    fn row(&self, name: &[u8]) -> Result<Option<Bytes>, Fault>;

    /// Visits the rows from the name `from` on, in order of their names, until told to stop.
    fn rows(&self, from: &[u8], visit: &mut Visit<'_>) -> Result<(), Fault>;
}

/// What is wrong with an engine or its files.
#[derive(Debug)]
pub(super) enum Fault {
    /// The contents are not what was written.
    Damaged(String),
    /// The operating system refused.
    Io(io::Error),
    /// The engine gave up, with an error or a panic.
    Engine(String),
}

impl Fault {
    /// Whether the machine is to blame and not the files: no right, no room, no file handles. Such a fault is mended
    /// from outside, and never by replacing files.
    pub(super) fn is_circumstance(&self) -> bool {
        use io::ErrorKind as K;
        // ENFILE and EMFILE have no kind of their own.
        matches!(self, Self::Io(e) if matches!(e.raw_os_error(), Some(23 | 24)) || matches!(e.kind(),
            K::PermissionDenied | K::StorageFull | K::QuotaExceeded | K::ReadOnlyFilesystem | K::OutOfMemory
            | K::WouldBlock | K::ResourceBusy | K::Interrupted))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Damaged(what) => write!(f, "damaged: {what}"),
            Self::Io(source) => write!(f, "input/output: {source}"),
            Self::Engine(what) => write!(f, "engine: {what}"),
        }
    }
}

impl std::error::Error for Fault {}

impl From<io::Error> for Fault {
    fn from(source: io::Error) -> Self {
        Self::Io(source)
    }
}

/// Runs `work` on an engine and turns a panic in it into a fault: sled panics when it meets damage. State that the
/// panic left half done is the engine's alone, and nobody writes to an engine that has failed once.
pub(super) fn guarded<T>(work: impl FnOnce() -> Result<T, Fault>) -> Result<T, Fault> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| Err(Fault::Engine(panic_text(&*panic))))
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("panic: {}", text.unwrap_or("without a message"))
}
