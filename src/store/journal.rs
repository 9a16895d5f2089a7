//! The journal: every committed group as a frame of a log, in order, on disk before the engine hears of it.
//!
//! A frame is `magic, length, CRC-32, from, to, operations`. `from` and `to` are the sequence before and after the
//! group, so that a reader sees whether anything is missing between two frames. Operations carry absolute values with
//! their versions; doing one again changes nothing. Files are `NNNNNNNN.log`; `NNNNNNNN.snapshot` holds, in the same
//! frames, all that the logs before that number amount to.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use bytes::{Buf, BufMut, Bytes};

use super::{Key, MAX_ID, MAX_VALUE};

/// A log file is not continued beyond this length.
const SEGMENT_BYTES: u64 = 64 << 20;
/// A log's file grows by so many bytes at a time.
const FILL_BYTES: usize = 256 << 10;
static ZEROS: [u8; FILL_BYTES] = [0; FILL_BYTES];
const MAGIC: &[u8; 4] = b"chJ1";
/// The number of the very first log of a store.
const FIRST_LOG: u32 = 1;
/// Magic, length, checksum.
const FRAME_HEADER: usize = 12;
/// `from` and `to`.
const SPAN: usize = 16;

/// What became of one record or counter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Op {
    /// Written, with this version.
    Put(Key, u64, Bytes),
    /// Removed.
    Delete(Key),
    /// A counter's new value.
    Count(Key, i64),
}

/// What one group did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Frame {
    /// The sequence before it.
    pub from: u64,
    /// The sequence after it.
    pub to: u64,
    /// One for each record and counter that changed.
    pub ops: Vec<Op>,
}

impl Frame {
    /// The bytes of the frame as they stand in a file.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(FRAME_HEADER + SPAN + self.ops.iter().map(Op::encoded_len).sum::<usize>());
        out.extend_from_slice(MAGIC);
        out.put_bytes(0, FRAME_HEADER - MAGIC.len());
        out.put_u64_le(self.from);
        out.put_u64_le(self.to);
        self.ops.iter().for_each(|op| op.encode(&mut out));
        let length = u32::try_from(out.len() - FRAME_HEADER).expect("a group is bounded far below 4 GiB");
        let crc = crc32fast::hash(&out[FRAME_HEADER..]);
        out[4..8].copy_from_slice(&length.to_le_bytes());
        out[8..12].copy_from_slice(&crc.to_le_bytes());
        out
    }

    /// The frame that `bytes` begin with, and its length; none if that is not a whole frame.
    fn parse(bytes: &Bytes) -> Option<(Self, usize)> {
        let end = FRAME_HEADER.checked_add(frame_len(bytes)?)?;
        if end > bytes.len() || crc32fast::hash(&bytes[FRAME_HEADER..end]).to_le_bytes() != bytes[8..12] {
            return None;
        }
        Some((Self::decode(bytes.slice(FRAME_HEADER..end))?, end))
    }

    fn decode(mut payload: Bytes) -> Option<Self> {
        if payload.len() < SPAN {
            return None;
        }
        let mut frame = Self { from: payload.get_u64_le(), to: payload.get_u64_le(), ops: Vec::new() };
        while !payload.is_empty() {
            frame.ops.push(Op::decode(&mut payload)?);
        }
        Some(frame)
    }
}

/// The length of a frame's payload, told by its header.
fn frame_len(header: &[u8]) -> Option<usize> {
    let (header, _) = header.split_first_chunk::<FRAME_HEADER>()?;
    let [m0, m1, m2, m3, l0, l1, l2, l3, ..] = *header;
    ([m0, m1, m2, m3] == *MAGIC).then(|| u32::from_le_bytes([l0, l1, l2, l3]) as usize)
}

impl Op {
    /// About the bytes that this takes in a frame.
    pub(super) fn encoded_len(&self) -> usize {
        match self {
            Self::Put(key, _, value) => 16 + key.id.len() + value.len(),
            Self::Delete(key) | Self::Count(key, _) => 12 + key.id.len(),
        }
    }

    /// Whether the store would have taken this from a caller.
    pub(super) fn check_form(&self) -> Result<(), String> {
        let (key, len) = match self {
            Self::Put(key, _, value) => (key, value.len()),
            Self::Delete(key) | Self::Count(key, _) => (key, 0),
        };
        if key.id.len() > MAX_ID {
            return Err(format!("its id has more than {MAX_ID} bytes"));
        }
        if len > MAX_VALUE {
            return Err(format!("its value has more than {MAX_VALUE} bytes"));
        }
        Ok(())
    }

    fn encode(&self, out: &mut Vec<u8>) {
        let (tag, key) = match self {
            Self::Put(key, ..) => (1, key),
            Self::Delete(key) => (2, key),
            Self::Count(key, _) => (3, key),
        };
        out.put_u8(tag);
        out.put_u8(key.space);
        out.put_u16_le(u16::try_from(key.id.len()).expect("keys over 512 bytes are refused at the door"));
        out.put_slice(&key.id);
        match self {
            Self::Put(_, version, value) => {
                out.put_u64_le(*version);
                out.put_u32_le(u32::try_from(value.len()).expect("values over 1 MiB are refused at the door"));
                out.put_slice(value);
            }
            Self::Delete(_) => {}
            Self::Count(_, value) => out.put_i64_le(*value),
        }
    }

    /// None for what `encode` never writes.
    fn decode(from: &mut Bytes) -> Option<Self> {
        let tag = from.try_get_u8().ok()?;
        let space = from.try_get_u8().ok()?;
        let len = usize::from(from.try_get_u16_le().ok()?);
        let key = Key { space, id: take(from, len)?.to_vec() };
        match tag {
            1 => {
                let version = from.try_get_u64_le().ok()?;
                let len = from.try_get_u32_le().ok()? as usize;
                Some(Self::Put(key, version, take(from, len)?))
            }
            2 => Some(Self::Delete(key)),
            3 => Some(Self::Count(key, from.try_get_i64_le().ok()?)),
            _ => None,
        }
    }
}

fn take(from: &mut Bytes, len: usize) -> Option<Bytes> {
    (len <= from.len()).then(|| from.split_to(len))
}

/// The whole frames of a log. Bytes that are none are passed over. A power cut leaves such bytes at the end of a log: a
/// frame that was being written and that nobody was told of. Anywhere else they are damage, and whoever puts the frames
/// together sees from the `from` of the next that something is missing.
pub(super) fn whole_frames(log: &Path) -> io::Result<impl Iterator<Item = Frame> + use<>> {
    let bytes = Bytes::from(fs::read(log)?);
    let mut at = 0;
    Ok(std::iter::from_fn(move || {
        while at < bytes.len() {
            if let Some((frame, len)) = Frame::parse(&bytes.slice(at..)) {
                at += len;
                return Some(frame);
            }
            let rest = &bytes[at + 1..];
            at = rest.windows(MAGIC.len()).position(|four| four == MAGIC).map_or(bytes.len(), |found| at + 1 + found);
        }
        None
    }))
}

/// Reads the next frame of a snapshot, every byte of which was on disk before it got its name; none at its end.
pub(super) fn next_frame(snapshot: &mut impl Read) -> io::Result<Option<Frame>> {
    let mut header = Vec::with_capacity(FRAME_HEADER);
    if snapshot.take(FRAME_HEADER as u64).read_to_end(&mut header)? == 0 {
        return Ok(None);
    }
    let damaged = || io::Error::new(io::ErrorKind::InvalidData, "the snapshot is damaged");
    let length = frame_len(&header).ok_or_else(damaged)?;
    let mut bytes = header;
    snapshot.take(length as u64).read_to_end(&mut bytes)?;
    let (frame, _) = Frame::parse(&bytes.into()).ok_or_else(damaged)?;
    Ok(Some(frame))
}

/// The files of a journal.
#[derive(Debug, Default)]
pub(super) struct Chain {
    /// The newest snapshot: its number and its file.
    pub snapshot: Option<(u32, PathBuf)>,
    /// The logs from the snapshot's number on, in order.
    pub logs: Vec<(u32, PathBuf)>,
    /// What the snapshot has replaced.
    pub outdated: Vec<PathBuf>,
    /// There is no journal where there must have been one.
    pub lost: bool,
}

impl Chain {
    /// Looks what is in `dir`.
    pub(super) fn find(dir: &Path) -> io::Result<Self> {
        let (mut logs, mut snapshots, mut outdated) = (Vec::new(), Vec::new(), Vec::new());
        for file in fs::read_dir(dir)? {
            let path = file?.path();
            let number = path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse::<u32>().ok());
            match (number, path.extension().and_then(|extension| extension.to_str())) {
                (Some(number), Some("log")) => logs.push((number, path)),
                (Some(number), Some("snapshot")) => snapshots.push((number, path)),
                (Some(_), Some("unfinished")) => outdated.push(path),
                _ => {}
            }
        }
        logs.sort();
        snapshots.sort();
        let snapshot = snapshots.pop();
        let first = snapshot.as_ref().map_or(0, |(number, _)| *number);
        let begin = logs.partition_point(|(number, _)| *number < first);
        outdated.extend(logs.drain(..begin).chain(snapshots).map(|(_, path)| path));
        Ok(Self { snapshot, logs, outdated, lost: false })
    }

    /// The number of the log to write next: that of the last one if nothing was ever written to it, else a new one. Logs
    /// of earlier runs are not continued: their ends may be torn.
    fn next_number(&self) -> io::Result<u32> {
        match (self.logs.last(), &self.snapshot) {
            (Some((number, log)), _) => Ok(if fs::metadata(log)?.len() == 0 { *number } else { number + 1 }),
            (None, Some((number, _))) => Ok(number + 1),
            (None, None) if self.lost => Ok(FIRST_LOG + 1),
            (None, None) => Ok(FIRST_LOG),
        }
    }

    /// Whether the files begin where the store did, or with all that it held since.
    pub(super) fn has_beginning(&self) -> bool {
        self.snapshot.is_some() || self.logs.first().is_some_and(|(number, _)| *number == FIRST_LOG)
    }

    /// Puts on disk what an earlier run may have written without.
    pub(super) fn sync_logs(&self) -> io::Result<()> {
        self.logs.iter().try_for_each(|(_, log)| File::open(log)?.sync_all())
    }

    /// The length of the logs.
    pub(super) fn log_bytes(&self) -> io::Result<u64> {
        self.logs.iter().map(|(_, path)| Ok(fs::metadata(path)?.len())).sum()
    }

    /// The length of the snapshot.
    pub(super) fn snapshot_bytes(&self) -> io::Result<u64> {
        self.snapshot.as_ref().map_or(Ok(0), |(_, path)| Ok(fs::metadata(path)?.len()))
    }

    /// Removes what the snapshot has replaced.
    pub(super) fn remove_outdated(&self) -> io::Result<()> {
        self.outdated.iter().try_for_each(fs::remove_file)
    }
}

/// The end of the journal, where it is written.
pub(super) struct Journal {
    dir: PathBuf,
    number: u32,
    log: File,
    /// Where the next frame goes.
    at: u64,
    /// How far the log's file is filled, with zeros behind `at`.
    filled: u64,
    /// Bytes of all logs since the last snapshot was begun.
    pub since_snapshot: u64,
}

impl Journal {
    /// Begins the next log behind `chain`.
    pub(super) fn begin(dir: &Path, chain: &Chain) -> io::Result<Self> {
        let number = chain.next_number()?;
        let log = create(dir, number)?;
        Ok(Self { dir: dir.to_owned(), number, log, at: 0, filled: 0, since_snapshot: chain.log_bytes()? })
    }

    /// The directory.
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Writes a frame; when this returns it is durable.
    pub(super) fn append(&mut self, frame: &Frame) -> io::Result<()> {
        let bytes = frame.encode();
        let len = bytes.len() as u64;
        if self.at + len > SEGMENT_BYTES && self.at > 0 {
            self.turn()?;
        }
        if self.at + len > self.filled {
            self.fill(self.at + len)?;
        }
        self.log.write_all_at(&bytes, self.at)?;
        self.at += len;
        self.since_snapshot += len;
        self.log.sync_data()
    }

    /// Makes room for frames up to `least`, and more, with zeros on disk: a file that does not grow and has all its blocks
    /// is synced with one write, where one that grows needs its inode and its block map written too.
    fn fill(&mut self, least: u64) -> io::Result<()> {
        let end = least.next_multiple_of(FILL_BYTES as u64);
        while self.filled < end {
            self.log.write_all_at(&ZEROS, self.filled)?;
            self.filled += FILL_BYTES as u64;
        }
        self.log.sync_all()
    }

    /// Goes on in a new log, and gives its number.
    pub(super) fn turn(&mut self) -> io::Result<u32> {
        self.log.set_len(self.at)?;
        self.log = create(&self.dir, self.number + 1)?;
        self.number += 1;
        (self.at, self.filled) = (0, 0);
        Ok(self.number)
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        // For tidiness alone: readers pass over the zeros.
        drop(self.log.set_len(self.at));
    }
}

fn create(dir: &Path, number: u32) -> io::Result<File> {
    let log = File::options().write(true).create(true).truncate(false).open(dir.join(format!("{number:08}.log")))?;
    log.sync_all()?;
    sync_dir(dir)?;
    Ok(log)
}

/// Makes the names in a directory durable.
pub(super) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}
