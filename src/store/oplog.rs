//! The chain over the audit events of a node: what is taken out, put in or changed afterwards shows.
//!
//! With each group that holds audit events the committer writes a link, in the same batch: which events they are, the
//! SHA-256 of each, and a hash over the link before it and all of that. A head row says where the chain ends, so that a
//! cut end shows too. Whoever rewrites events, links and head alike is found out by a copy of the head that was kept
//! outside: the server writes it to its log. Events from before the first link stand unlinked, and stay as they are.
//!
//! Each node has a chain of its own, with links and a head that no other node writes, so that nodes never wait for one
//! another. What holds the chains together are anchors: events of one node that tell the heads of all others.

mod check;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry as Place;
use std::ops::ControlFlow;

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::engine::{Fault, View};
use super::row::{self, Name};
use super::{Entry, Key};

pub(super) use check::Audit;

/// The space of audit events, ordered by time.
pub(super) const EVENTS: u8 = 90;
/// The space of links: node and sequence.
pub(super) const LINKS: u8 = 91;
/// The space of heads: one for each node.
pub(super) const HEADS: u8 = 92;

type Hash = [u8; 32];

/// Where a chain ends.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperationsHead {
    /// The number of the last link; the first is 1.
    pub sequence: u64,
    /// Its hash, in hexadecimal digits.
    pub hash: String,
}

/// A link as it is stored.
#[derive(Serialize, Deserialize)]
struct Link {
    hash: String,
    /// For each event the name of its row and the SHA-256 of its content, both base64url, with a dot between.
    events: Vec<String>,
}

/// The end of the chain in memory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Tip {
    sequence: u64,
    hash: Hash,
}

/// The ends of all chains in memory.
#[derive(Debug, Default)]
pub(super) struct Tips(BTreeMap<u16, Tip>);

/// A link of a chain as readers want it.
#[derive(Debug, Clone)]
pub(super) struct ReadLink {
    pub node: u16,
    pub sequence: u64,
    pub hash: String,
    /// The names of its events' rows, in their order.
    pub events: Vec<Vec<u8>>,
}

/// The row of a node's head.
pub(super) fn head_key(node: u16) -> Key {
    Key { space: HEADS, id: node.to_be_bytes().to_vec() }
}

/// The row of a link.
pub(super) fn link_key(node: u16, sequence: u64) -> Key {
    Key { space: LINKS, id: [&node.to_be_bytes()[..], &sequence.to_be_bytes()].concat() }
}

/// A head as it stands in its row, with its node.
pub(super) fn read_head_row(entry: &Entry) -> Option<(u16, OperationsHead)> {
    Some((node_of(&entry.key)?, serde_json::from_slice(&entry.value).ok()?))
}

/// A link as it stands in its row.
pub(super) fn read_link_row(entry: &Entry) -> Option<ReadLink> {
    let (node, sequence) = place_of(&entry.key)?;
    let link: Link = serde_json::from_slice(&entry.value).ok()?;
    let events = link.events.iter().map(|text| Some(parse(text)?.0)).collect::<Option<_>>()?;
    Some(ReadLink { node, sequence, hash: link.hash, events })
}

impl Tips {
    /// The ends of all chains that have a head.
    pub(super) fn load(view: &dyn View) -> Result<Self, Fault> {
        let mut nodes = Vec::new();
        view.rows(&row::record_start(HEADS, &[]), &mut |name, _| {
            let Name::Record(key) = row::parse_name(name)? else { return Ok(ControlFlow::Break(())) };
            if key.space != HEADS {
                return Ok(ControlFlow::Break(()));
            }
            nodes.extend(node_of(&key));
            Ok(ControlFlow::Continue(()))
        })?;
        let loaded = nodes.into_iter().map(|node| Ok((node, Tip::load(view, node)?)));
        Ok(Self(loaded.collect::<Result<_, Fault>>()?))
    }

    /// The end of a node's chain; looked for in the store at the node's first event.
    pub(super) fn of(&mut self, view: &dyn View, node: u16) -> Result<&mut Tip, Fault> {
        Ok(match self.0.entry(node) {
            Place::Occupied(place) => place.into_mut(),
            Place::Vacant(place) => place.insert(Tip::load(view, node)?),
        })
    }
}

impl Tip {
    /// Where the chain goes on. A head that lags behind the links, which no crash leaves, is told, and does not lead to
    /// links being written over.
    fn load(view: &dyn View, node: u16) -> Result<Self, Fault> {
        let key = head_key(node);
        let head = match view.row(&row::record_name(&key))? {
            Some(row) => Self::read_head(&row::decode_record(view, key, &row)?.1.value)?,
            None => Self::default(),
        };
        let last = Self::last_link(view, node, head.sequence)?.unwrap_or(head);
        if last.sequence != head.sequence {
            let (head, links) = (head.sequence, last.sequence);
            tracing::error!(
                node,
                head,
                links,
                "the head of the operation log does not tell its last link: look at `store check`"
            );
        }
        Ok(last)
    }

    fn read_head(value: &[u8]) -> Result<Self, Fault> {
        let head: Option<OperationsHead> = serde_json::from_slice(value).ok();
        head.and_then(|head| Some(Self { sequence: head.sequence, hash: from_hex(&head.hash)? }))
            .ok_or_else(|| Fault::Damaged("the head of the operation log can't be read".into()))
    }

    /// The last link behind the one of this number.
    fn last_link(view: &dyn View, node: u16, behind: u64) -> Result<Option<Self>, Fault> {
        let mut from = row::record_start(LINKS, &link_key(node, behind).id);
        from.push(0);
        let mut last = None;
        view.rows(&from, &mut |name, row| {
            let Name::Record(key) = row::parse_name(name)? else { return Ok(ControlFlow::Break(())) };
            let Some((_, sequence)) = place_of(&key).filter(|(of, _)| *of == node) else {
                return Ok(ControlFlow::Break(()));
            };
            let (_, entry) = row::decode_record(view, key, &Bytes::copy_from_slice(row))?;
            let link: Option<Link> = serde_json::from_slice(&entry.value).ok();
            let hash = link.and_then(|link| from_hex(&link.hash));
            let hash =
                hash.ok_or_else(|| Fault::Damaged(format!("link {sequence} of the operation log can't be read")))?;
            last = Some(Self { sequence, hash });
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(last)
    }

    /// Goes on by a link over these events, each the name of its row and its content: the rows of link and head.
    pub(super) fn extend(&mut self, node: u16, events: &[(Vec<u8>, Bytes)]) -> [(Key, Bytes); 2] {
        let sums: Vec<(&[u8], Hash)> = events.iter().map(|(id, value)| (id.as_slice(), sum(value))).collect();
        self.sequence += 1;
        self.hash = chained(self, &sums);
        let hash = to_hex(&self.hash);
        let events = sums.iter().map(|(id, sum)| format!("{}.{}", encode(id), encode(sum))).collect();
        let head = OperationsHead { sequence: self.sequence, hash: hash.clone() };
        [(link_key(node, self.sequence), written(&Link { hash, events })), (head_key(node), written(&head))]
    }
}

/// The hash of link `tip.sequence` behind the hash that `tip` still has. Names are told with their lengths, so that no two
/// lists of events read the same.
fn chained(tip: &Tip, sums: &[(&[u8], Hash)]) -> Hash {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(&tip.hash);
    context.update(&tip.sequence.to_be_bytes());
    for (id, sum) in sums {
        context.update(&(id.len() as u64).to_be_bytes());
        context.update(id);
        context.update(sum);
    }
    array(context.finish().as_ref())
}

fn sum(value: &[u8]) -> Hash {
    array(digest::digest(&digest::SHA256, value).as_ref())
}

fn array(hash: &[u8]) -> Hash {
    hash.try_into().expect("SHA-256 has 32 octets, and so has every text that was measured before")
}

fn written(row: &impl Serialize) -> Bytes {
    serde_json::to_vec(row).expect("texts and numbers can always be written as JSON").into()
}

fn encode(octets: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(octets)
}

fn to_hex(hash: &Hash) -> String {
    hash.iter().map(|octet| format!("{octet:02x}")).collect()
}

fn from_hex(text: &str) -> Option<Hash> {
    let digits: Option<Vec<u8>> = text.chars().map(|c| c.to_digit(16).map(|digit| digit as u8)).collect();
    let octets: Vec<u8> =
        digits?.chunks(2).map(|pair| pair.iter().fold(0, |octet, digit| octet << 4 | digit)).collect();
    octets.try_into().ok()
}

/// The node of a head.
fn node_of(key: &Key) -> Option<u16> {
    key.id.as_slice().try_into().ok().map(u16::from_be_bytes)
}

/// The node and the number of a link.
fn place_of(key: &Key) -> Option<(u16, u64)> {
    let (node, number) = key.id.split_first_chunk::<2>().filter(|_| key.space == LINKS)?;
    Some((u16::from_be_bytes(*node), number.try_into().ok().map(u64::from_be_bytes)?))
}

fn parse(text: &str) -> Option<(Vec<u8>, Hash)> {
    let (id, sum) = text.split_once('.')?;
    let decode = |text: &str| URL_SAFE_NO_PAD.decode(text).ok();
    Some((decode(id)?, decode(sum)?.try_into().ok()?))
}
