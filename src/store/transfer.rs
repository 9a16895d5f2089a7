//! Moving a store to another engine as lines of JSON, and verifying one: the work of `chancery store`.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, BufRead, Seek, Write};
use std::ops::ControlFlow;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::engine::{Engine, Fault, guarded};
use super::journal::{Chain, Frame, Op, sync_dir};
use super::oplog::{Audit, OperationsHead};
use super::recovery::{self, IMPORT_MARK};
use super::redb::Redb;
use super::row::{self, Item};
use super::sled::Sled;
use super::{EngineName, Entry, Key, OpenError, Settings};

/// The format of an export.
const FORMAT: u32 = 1;
/// An import is written in frames of about so many bytes.
const FRAME_BYTES: usize = 1 << 20;

/// What was moved.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Records.
    pub records: u64,
    /// Counters that do not stand at 0.
    pub counters: u64,
}

/// What `check` found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The number of the last write set in the engine.
    pub sequence: u64,
    /// The number of the last write set in the journal; where it is the greater one, the next start brings the engine up.
    pub journal: u64,
    /// How many records each space has.
    pub records: BTreeMap<u8, u64>,
    /// How many counters each space has.
    pub counters: BTreeMap<u8, u64>,
    /// Where the chain over the audit events ends, that of the first node where there are several; none if it has no link
    /// yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operations: Option<OperationsHead>,
    /// Where the chains end, by their nodes.
    pub chains: BTreeMap<u16, OperationsHead>,
    /// What is wrong; empty if the store is sound.
    pub faults: Vec<String>,
}

/// Why an export or an import failed.
#[derive(Debug)]
pub enum TransferError {
    /// The store did not open.
    Open(OpenError),
    /// The store or a file failed.
    Failed(Box<dyn std::error::Error + Send + Sync>),
    /// This line of the export (from 1) is not one, for this reason. Nothing was imported.
    Line(u64, String),
    /// There is something in the store that an import would mix with.
    NotEmpty,
}

/// A line of an export. Values are JSON text, kept to the byte as a string; one that is no text stands as base64url.
#[derive(Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
enum Line {
    Begin { format: u32, sequence: u64 },
    Record { space: u8, id: String, value: String, version: u64 },
    Binary { space: u8, id: String, value: String, version: u64 },
    Counter { space: u8, id: String, value: i64 },
    End(Totals),
}

/// Writes all records and counters of a store that no server has open, as lines of JSON.
pub fn export(settings: &Settings, out: &mut dyn Write) -> Result<Totals, TransferError> {
    match settings.engine {
        EngineName::Sled => export_from::<Sled>(&settings.path, out),
        EngineName::Redb => export_from::<Redb>(&settings.path, out),
        EngineName::Postgres => Err(TransferError::Open(OpenError::NotBuilt(settings.engine))),
    }
}

/// Fills an empty store from an export, with the same versions. The export is read twice, so that nothing is written
/// from a damaged one.
pub fn import<R: BufRead + Seek>(settings: &Settings, from: &mut R) -> Result<Totals, TransferError> {
    match settings.engine {
        EngineName::Sled => import_into::<Sled>(&settings.path, from),
        EngineName::Redb => import_into::<Redb>(&settings.path, from),
        EngineName::Postgres => Err(TransferError::Open(OpenError::NotBuilt(settings.engine))),
    }
}

/// Reads everything in a store that no server has open, and mends nothing.
pub fn check(settings: &Settings) -> Result<Report, OpenError> {
    match settings.engine {
        EngineName::Sled => check_files::<Sled>(&settings.path),
        EngineName::Redb => check_files::<Redb>(&settings.path),
        EngineName::Postgres => Err(OpenError::NotBuilt(settings.engine)),
    }
}

fn export_from<E: Engine>(path: &Path, out: &mut dyn Write) -> Result<Totals, TransferError> {
    let store = recovery::open::<E>(path)?;
    let mut totals = Totals::default();
    line(out, &Line::Begin { format: FORMAT, sequence: store.meta.sequence })?;
    guarded(|| {
        row::walk(&*store.engine.view()?, &row::first_name(), &mut |_, item| {
            totals.count(&item);
            line(out, &Line::of(item))?;
            Ok(ControlFlow::Continue(()))
        })
    })?;
    line(out, &Line::End(totals))?;
    out.flush()?;
    Ok(totals)
}

fn line(out: &mut dyn Write, line: &Line) -> io::Result<()> {
    serde_json::to_writer(&mut *out, line)?;
    out.write_all(b"\n")
}

fn import_into<E: Engine>(path: &Path, from: &mut impl ExportFile) -> Result<Totals, TransferError> {
    // First without writing, to see that every line is right and that the last is the end.
    let (expected, sequence) = read_export(from, &mut |_| Ok(()))?;
    from.rewind()?;
    let mut store = recovery::open::<E>(path)?;
    if store.meta.sequence != 0 {
        return Err(TransferError::NotEmpty);
    }
    let mark = path.join(IMPORT_MARK);
    fs::write(&mark, b"")?;
    sync_dir(path)?;
    let (mut ops, mut bytes) = (Vec::new(), 0);
    read_export(from, &mut |op| {
        bytes += op.encoded_len();
        ops.push(op);
        if bytes >= FRAME_BYTES {
            bytes = 0;
            let from = store.meta.sequence;
            store.load(Frame { from, to: from + 1, ops: std::mem::take(&mut ops) })?;
        }
        Ok(())
    })?;
    let from = store.meta.sequence;
    // Versions grow on from those that were in the export.
    store.load(Frame { from, to: sequence.max(from + 1), ops })?;
    guarded(|| store.engine.sync())?;
    fs::remove_file(&mark)?;
    sync_dir(path)?;
    Ok(expected)
}

/// What can be read twice.
trait ExportFile: BufRead + Seek {}
impl<T: BufRead + Seek> ExportFile for T {}

/// Gives every record and counter of an export to `take`; gives their number, and the sequence that covers all versions.
fn read_export(
    from: &mut impl BufRead,
    take: &mut dyn FnMut(Op) -> Result<(), Fault>,
) -> Result<(Totals, u64), TransferError> {
    let (mut totals, mut sequence, mut end) = (Totals::default(), 0, None);
    let mut number = 0;
    for text in from.lines() {
        number += 1;
        let wrong = |why: String| TransferError::Line(number, why);
        let line = serde_json::from_str::<Line>(&text?).map_err(|e| wrong(e.to_string()))?;
        if end.is_some() || (number == 1) != matches!(line, Line::Begin { .. }) {
            return Err(wrong("it does not belong here".into()));
        }
        match line {
            Line::Begin { format, .. } if format != FORMAT => return Err(wrong(format!("format {format} is unknown"))),
            Line::Begin { sequence: begin, .. } => sequence = begin,
            Line::End(said) => end = Some(said),
            line => {
                let op = line.into_op().map_err(wrong)?;
                match &op {
                    Op::Put(_, version, _) => (totals.records, sequence) = (totals.records + 1, sequence.max(*version)),
                    _ => totals.counters += 1,
                }
                take(op)?;
            }
        }
    }
    match end {
        Some(said) if said == totals => Ok((totals, sequence)),
        Some(_) => Err(TransferError::Line(number, "the export has lost lines before it".into())),
        None => Err(TransferError::Line(number + 1, "the export is cut short".into())),
    }
}

fn check_files<E: Engine>(path: &Path) -> Result<Report, OpenError> {
    let failed = |e: io::Error| OpenError::Failed(path.to_owned(), Box::new(e));
    let dir = path.join(E::NAME);
    fs::metadata(&dir).map_err(failed)?;
    let _lock = recovery::lock(path)?;
    let mut report = Report::default();
    let (mut records, mut counters) = (BTreeMap::new(), BTreeMap::new());
    let mut operations = Audit::default();
    let opened = recovery::open_verified::<E>(&dir, &mut |item| match item {
        Item::Record(entry) => {
            operations.see(entry);
            *records.entry(entry.key.space).or_default() += 1;
        }
        Item::Counter(key, _) => *counters.entry(key.space).or_default() += 1,
    });
    (report.records, report.counters) = (records, counters);
    match opened {
        Ok((_, meta)) => {
            report.sequence = meta.sequence;
            (report.chains, report.faults) = operations.verdict();
            report.operations = report.chains.values().next().cloned();
        }
        Err(fault) => report.faults.push(format!("{}: {fault}", E::NAME)),
    }
    match Chain::find(&path.join("journal")).map_err(Fault::Io).and_then(|chain| recovery::verify_chain(&chain)) {
        Ok(span) => report.journal = span.end,
        Err(fault) => report.faults.push(format!("journal: {fault}")),
    }
    if report.faults.is_empty() && report.journal < report.sequence {
        report.faults.push(format!("journal: it ends at {}, the engine is at {}", report.journal, report.sequence));
    }
    Ok(report)
}

impl Totals {
    fn count(&mut self, item: &Item) {
        match item {
            Item::Record(_) => self.records += 1,
            Item::Counter(..) => self.counters += 1,
        }
    }
}

impl Line {
    fn of(item: Item) -> Self {
        let id = |key: &Key| URL_SAFE_NO_PAD.encode(&key.id);
        match item {
            Item::Counter(key, value) => Self::Counter { space: key.space, id: id(&key), value },
            Item::Record(Entry { key, value, version }) => match std::str::from_utf8(&value) {
                Ok(text) => Self::Record { space: key.space, id: id(&key), value: text.to_owned(), version },
                Err(_) => {
                    Self::Binary { space: key.space, id: id(&key), value: URL_SAFE_NO_PAD.encode(&value), version }
                }
            },
        }
    }

    fn into_op(self) -> Result<Op, String> {
        let decode = |text: &str| URL_SAFE_NO_PAD.decode(text).map_err(|e| format!("{text:?} is no base64url: {e}"));
        let key = |space: u8, id: &str| Ok::<_, String>(Key { space, id: decode(id)? });
        let op = match self {
            Self::Record { space, id, value, version } => Op::Put(key(space, &id)?, version, value.into()),
            Self::Binary { space, id, value, version } => {
                Op::Put(key(space, &id)?, version, Bytes::from(decode(&value)?))
            }
            Self::Counter { space, id, value } => Op::Count(key(space, &id)?, value),
            Self::Begin { .. } | Self::End(_) => return Err("it does not belong here".into()),
        };
        op.check_form().map(|()| op)
    }
}

impl std::fmt::Display for TransferError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Open(source) => source.fmt(f),
            Self::Failed(source) => source.fmt(f),
            Self::Line(number, why) => write!(f, "line {number} of the export is wrong: {why}. Nothing was imported."),
            Self::NotEmpty => write!(f, "the store has been written to; an import needs an empty one"),
        }
    }
}

impl std::error::Error for TransferError {}

impl From<OpenError> for TransferError {
    fn from(source: OpenError) -> Self {
        Self::Open(source)
    }
}

impl From<Fault> for TransferError {
    fn from(source: Fault) -> Self {
        Self::Failed(Box::new(source))
    }
}

impl From<io::Error> for TransferError {
    fn from(source: io::Error) -> Self {
        Self::Failed(Box::new(source))
    }
}
