//! The spool: a directory of messages, each a file that is there as a whole or not at all.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use super::Outcome;

/// Puts a message there: under another name first, synced, then renamed, so that whoever takes files that end in `.eml` never
/// sees half a message, and a second write of the same message changes nothing.
pub(super) async fn write(directory: PathBuf, name: String, message: Vec<u8>) -> Outcome {
    let written = tokio::task::spawn_blocking(move || keep(&directory, &name, &message)).await;
    match written.map_err(io::Error::other).flatten() {
        Ok(()) => Outcome::Delivered,
        Err(error) => Outcome::Later(format!("the spool can't be written to: {error}")),
    }
}

fn keep(directory: &Path, name: &str, message: &[u8]) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    let unfinished = directory.join(format!(".{name}.tmp"));
    let mut file = File::create(&unfinished)?;
    file.write_all(message)?;
    file.sync_all()?;
    fs::rename(&unfinished, directory.join(format!("{name}.eml")))?;
    File::open(directory)?.sync_all()
}
