//! How records and counters lie in an engine: names of rows, their envelope with its checksum, and pieces of long values.
//!
//! A record is one row; a value over `INLINE_MAX` is cut into rows of its own ("pieces"), because sled 0.34 moves pages
//! over 128 KiB to files that it never syncs, and a page holds up to 20 rows. Every checksum covers the row's name.

use std::ops::ControlFlow;

use bytes::{Bytes, BytesMut};

use super::engine::{Fault, View};
use super::{Entry, Key};

/// No row is longer than this.
const ROW_MAX: usize = 4096;
/// Checksum, version, length.
const ENVELOPE: usize = 4 + 8 + 4;
/// Longest value that stands in its record's own row.
pub(super) const INLINE_MAX: usize = ROW_MAX - ENVELOPE;

const META: u8 = 0;
const COUNTER: u8 = 1;
const RECORD: u8 = 2;
const PIECE: u8 = 3;

/// A row's name and content.
type Row = (Vec<u8>, Vec<u8>);

/// What the store knows of itself, rewritten in every batch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Meta {
    /// The number of the last set that was written; the versions of its records.
    pub sequence: u64,
    /// The sum of the marks of all rows: proves that the rows are those of this sequence, none lost, none stale.
    pub digest: u64,
}

/// The envelope of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    pub crc: u32,
    pub version: u64,
    pub len: usize,
}

impl Head {
    /// How many rows the value has besides the record's own.
    pub(super) fn pieces(&self) -> usize {
        if self.len > INLINE_MAX { self.len.div_ceil(ROW_MAX) } else { 0 }
    }
}

/// A row as its name tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Name {
    Meta,
    Counter(Key),
    Record(Key),
    Piece,
}

pub(super) fn meta_name() -> Vec<u8> {
    vec![META]
}

pub(super) fn counter_name(key: &Key) -> Vec<u8> {
    plain_name(COUNTER, key.space, &key.id)
}

pub(super) fn record_name(key: &Key) -> Vec<u8> {
    plain_name(RECORD, key.space, &key.id)
}

fn plain_name(tag: u8, space: u8, id: &[u8]) -> Vec<u8> {
    [&[tag, space], id].concat()
}

/// Where a scan of a space from the id `from` on begins.
pub(super) fn record_start(space: u8, from: &[u8]) -> Vec<u8> {
    plain_name(RECORD, space, from)
}

/// Where the counters and, behind them, the records begin.
pub(super) fn first_name() -> Vec<u8> {
    vec![COUNTER]
}

pub(super) fn piece_name(key: &Key, piece: usize) -> Vec<u8> {
    let len = u16::try_from(key.id.len()).expect("keys over 512 bytes are refused at the door");
    let piece = u16::try_from(piece).expect("values over 1 MiB are refused at the door");
    [&[PIECE, key.space], &len.to_be_bytes()[..], &key.id, &piece.to_be_bytes()].concat()
}

/// Reads a name.
pub(super) fn parse_name(name: &[u8]) -> Result<Name, Fault> {
    match name {
        [META] => Ok(Name::Meta),
        [COUNTER, space, id @ ..] => Ok(Name::Counter(Key { space: *space, id: id.to_vec() })),
        [RECORD, space, id @ ..] => Ok(Name::Record(Key { space: *space, id: id.to_vec() })),
        [PIECE, ..] => Ok(Name::Piece),
        _ => Err(Fault::Damaged(format!("a row with the unknown name {name:02x?}"))),
    }
}

/// A row's share in the digest: its checksum, spread so that sums do not cancel (the finalizer of splitmix64).
pub(super) fn mark(crc: u32) -> u64 {
    let mut z = u64::from(crc).wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Puts the checksum into the first four bytes of `row`, which were left free for it.
fn seal(name: &[u8], mut row: Vec<u8>) -> (u32, Vec<u8>) {
    let crc = checksum(name, &row[4..]);
    row[..4].copy_from_slice(&crc.to_le_bytes());
    (crc, row)
}

fn checksum(name: &[u8], rest: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(name);
    hasher.update(rest);
    hasher.finalize()
}

/// Splits a row into its checksum, which is right, and the rest, which has at least `least` bytes.
fn unseal<'r>(name: &[u8], row: &'r [u8], least: usize) -> Result<(u32, &'r [u8]), Fault> {
    let (crc, rest) = row.split_first_chunk::<4>().ok_or_else(|| damaged(name, "is cut short"))?;
    let crc = u32::from_le_bytes(*crc);
    if rest.len() < least {
        return Err(damaged(name, "is cut short"));
    }
    if checksum(name, rest) != crc {
        return Err(damaged(name, "has a wrong checksum"));
    }
    Ok((crc, rest))
}

fn damaged(name: &[u8], what: &str) -> Fault {
    Fault::Damaged(format!("the row {name:02x?} {what}"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut eight = [0; 8];
    eight.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(eight)
}

impl Meta {
    pub(super) fn encode(&self) -> Vec<u8> {
        let row = [&[0; 4], &self.sequence.to_le_bytes()[..], &self.digest.to_le_bytes()].concat();
        seal(&meta_name(), row).1
    }

    fn decode(row: &[u8]) -> Result<Self, Fault> {
        let (_, rest) = unseal(&meta_name(), row, 16)?;
        Ok(Self { sequence: u64_at(rest, 0), digest: u64_at(rest, 8) })
    }

    /// What the store says of itself; all zero if nothing was ever written.
    pub(super) fn load(view: &dyn View) -> Result<Self, Fault> {
        view.row(&meta_name())?.map_or(Ok(Self::default()), |row| Self::decode(&row))
    }
}

/// A counter's row and its checksum.
pub(super) fn encode_counter(name: &[u8], value: i64) -> (u32, Vec<u8>) {
    seal(name, [&[0; 4], &value.to_le_bytes()[..]].concat())
}

/// A counter's checksum and value.
pub(super) fn decode_counter(name: &[u8], row: &[u8]) -> Result<(u32, i64), Fault> {
    let (crc, rest) = unseal(name, row, 8)?;
    Ok((crc, u64_at(rest, 0).cast_signed()))
}

/// A record's checksum and rows.
pub(super) fn encode_record(key: &Key, version: u64, value: &Bytes) -> (Head, Vec<Row>) {
    let name = record_name(key);
    let len = u32::try_from(value.len()).expect("values over 1 MiB are refused at the door");
    let mut row = Vec::with_capacity(ENVELOPE + value.len().min(INLINE_MAX));
    row.extend_from_slice(&[0; 4]);
    row.extend_from_slice(&version.to_le_bytes());
    row.extend_from_slice(&len.to_le_bytes());
    let long = value.len() > INLINE_MAX;
    if long {
        row.extend_from_slice(&crc32fast::hash(value).to_le_bytes());
    } else {
        row.extend_from_slice(value);
    }
    let (crc, row) = seal(&name, row);
    let mut rows = vec![(name, row)];
    if long {
        rows.extend(value.chunks(ROW_MAX).enumerate().map(|(n, piece)| (piece_name(key, n), piece.to_vec())));
    }
    (Head { crc, version, len: value.len() }, rows)
}

/// The envelope of a record, and what follows it.
pub(super) fn decode_head<'r>(name: &[u8], row: &'r [u8]) -> Result<(Head, &'r [u8]), Fault> {
    let (crc, rest) = unseal(name, row, ENVELOPE - 4)?;
    let version = u64_at(rest, 0);
    let (len, body) = rest[8..].split_first_chunk::<4>().ok_or_else(|| damaged(name, "is cut short"))?;
    let len = u32::from_le_bytes(*len) as usize;
    Ok((Head { crc, version, len }, body))
}

/// The whole record of a row, its pieces fetched and verified.
pub(super) fn decode_record(view: &dyn View, key: Key, row: &Bytes) -> Result<(Head, Entry), Fault> {
    let name = record_name(&key);
    let (head, body) = decode_head(&name, row)?;
    let value = if head.pieces() == 0 {
        row.slice_ref(body)
    } else {
        let mut value = BytesMut::with_capacity(head.len);
        for piece in 0..head.pieces() {
            let piece = view.row(&piece_name(&key, piece))?;
            value.extend_from_slice(&piece.ok_or_else(|| damaged(&name, "has lost a piece of its value"))?);
        }
        if crc32fast::hash(&value).to_le_bytes() != body {
            return Err(damaged(&name, "has a value with a wrong checksum"));
        }
        value.freeze()
    };
    if value.len() != head.len {
        return Err(damaged(&name, "has a value of another length than it says"));
    }
    Ok((head, Entry { key, value, version: head.version }))
}

/// A counter or a record, on a walk through all of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Item {
    Counter(Key, i64),
    Record(Entry),
}

/// Walks through the counters and records whose rows are named `from` or higher, verifying each; `visit` says when to
/// stop. Gives the sum of their marks and the number of pieces that belong to them.
pub(super) fn walk(
    view: &dyn View,
    from: &[u8],
    visit: &mut dyn FnMut(Vec<u8>, Item) -> Result<ControlFlow<()>, Fault>,
) -> Result<(u64, usize), Fault> {
    let (mut digest, mut pieces) = (0_u64, 0);
    view.rows(from, &mut |name, row| {
        let (crc, item) = match parse_name(name)? {
            Name::Meta => return Ok(ControlFlow::Continue(())),
            Name::Piece => return Ok(ControlFlow::Break(())),
            Name::Counter(key) => {
                let (crc, value) = decode_counter(name, row)?;
                (crc, Item::Counter(key, value))
            }
            Name::Record(key) => {
                let (head, entry) = decode_record(view, key, &Bytes::copy_from_slice(row))?;
                pieces += head.pieces();
                (head.crc, Item::Record(entry))
            }
        };
        digest = digest.wrapping_add(mark(crc));
        visit(name.to_vec(), item)
    })?;
    Ok((digest, pieces))
}

/// Reads everything: every row decodes, no piece is without its record, and the rows together are those of the
/// sequence that the store says it is at.
pub(super) fn verify(view: &dyn View, count: &mut dyn FnMut(&Item)) -> Result<Meta, Fault> {
    let meta = Meta::load(view)?;
    let (digest, pieces) = walk(view, &first_name(), &mut |_, item| {
        count(&item);
        Ok(ControlFlow::Continue(()))
    })?;
    if digest != meta.digest {
        return Err(Fault::Damaged(format!("the records are not those of sequence {}", meta.sequence)));
    }
    let mut found = 0;
    view.rows(&[PIECE], &mut |name, _| {
        parse_name(name)?;
        found += 1;
        Ok(ControlFlow::Continue(()))
    })?;
    if found != pieces {
        return Err(Fault::Damaged(format!("{found} pieces of long values where there should be {pieces}")));
    }
    Ok(meta)
}
