//! The chain over the audit events of a node: what is taken out, put in or changed afterwards shows.
//!
//! With each group that holds audit events the committer writes a link, in the same batch: which events they are, the
//! SHA-256 of each, and a hash over the link before it and all of that. A head row says where the chain ends, so that a
//! cut end shows too. Whoever rewrites events, links and head alike is found out by a copy of the head that was kept
//! outside: the server writes it to its log. Events from before the first link stand unlinked, and stay as they are.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::engine::{Fault, View};
use super::row::{self, Name};
use super::{Entry, Key};
use crate::domain::Timestamp;

/// The space of audit events, ordered by time.
pub(super) const EVENTS: u8 = 90;
/// The space of links: node and sequence.
const LINKS: u8 = 91;
/// The space of heads: one for each node.
const HEADS: u8 = 92;
/// The node of an embedded engine, which has one process alone.
const NODE: u16 = 0;
/// No more faults are told one by one.
const FAULTS_TOLD: usize = 100;

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

/// The row of the head that this process writes.
pub(super) fn head_key() -> Key {
    Key { space: HEADS, id: NODE.to_be_bytes().to_vec() }
}

fn link_key(sequence: u64) -> Key {
    Key { space: LINKS, id: [&NODE.to_be_bytes()[..], &sequence.to_be_bytes()].concat() }
}

impl Tip {
    /// Where the chain goes on. A head that lags behind the links, which no crash leaves, is told, and does not lead to
    /// links being written over.
    pub(super) fn load(view: &dyn View) -> Result<Self, Fault> {
        let head = match view.row(&row::record_name(&head_key()))? {
            Some(row) => Self::read_head(&row::decode_record(view, head_key(), &row)?.1.value)?,
            None => Self::default(),
        };
        let last = Self::last_link(view, head.sequence)?.unwrap_or(head);
        if last.sequence != head.sequence {
            let (head, links) = (head.sequence, last.sequence);
            tracing::error!(
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
    fn last_link(view: &dyn View, behind: u64) -> Result<Option<Self>, Fault> {
        let mut from = row::record_start(LINKS, &link_key(behind).id);
        from.push(0);
        let mut last = None;
        view.rows(&from, &mut |name, row| {
            let Name::Record(key) = row::parse_name(name)? else { return Ok(ControlFlow::Break(())) };
            let Some(sequence) = sequence_of(&key) else { return Ok(ControlFlow::Break(())) };
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
    pub(super) fn extend(&mut self, events: &[(Vec<u8>, Bytes)]) -> [(Key, Bytes); 2] {
        let sums: Vec<(&[u8], Hash)> = events.iter().map(|(id, value)| (id.as_slice(), sum(value))).collect();
        self.sequence += 1;
        self.hash = chained(self, &sums);
        let hash = to_hex(&self.hash);
        let events = sums.iter().map(|(id, sum)| format!("{}.{}", encode(id), encode(sum))).collect();
        let head = OperationsHead { sequence: self.sequence, hash: hash.clone() };
        [(link_key(self.sequence), written(&Link { hash, events })), (head_key(), written(&head))]
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

/// The number of a link of this node.
fn sequence_of(key: &Key) -> Option<u64> {
    let number = key.id.strip_prefix(&NODE.to_be_bytes()[..])?;
    if key.space == LINKS { number.try_into().ok().map(u64::from_be_bytes) } else { None }
}

/// The operation log of a store that is being checked: fed all records, it tells what is wrong with the chain.
#[derive(Default)]
pub(super) struct Audit {
    events: BTreeMap<Vec<u8>, Event>,
    links: Vec<(u64, u64, Option<Link>)>,
    head: Option<Result<Tip, Fault>>,
    faults: Vec<String>,
}

struct Event {
    version: u64,
    sum: Hash,
    linked: bool,
}

impl Audit {
    /// Takes in a record, in the order of their names.
    pub(super) fn see(&mut self, entry: &Entry) {
        let Entry { key, value, version } = entry;
        match key.space {
            EVENTS => {
                let event = Event { version: *version, sum: sum(value), linked: false };
                self.events.insert(key.id.clone(), event);
            }
            LINKS => match sequence_of(key) {
                Some(sequence) => self.links.push((sequence, *version, serde_json::from_slice(value).ok())),
                None => self.faults.push(format!("a link with the unknown name {:02x?}", key.id)),
            },
            HEADS if *key == head_key() => self.head = Some(Tip::read_head(value)),
            _ => {}
        }
    }

    /// The head, and what is wrong.
    pub(super) fn verdict(mut self) -> (Option<OperationsHead>, Vec<String>) {
        let links = std::mem::take(&mut self.links);
        let mut tip = Some(Tip::default());
        let mut last = 0;
        for (sequence, _, link) in &links {
            if *sequence != last + 1 {
                self.faults.push(format!("{} missing", stretch(last + 1, sequence - 1)));
                tip = None;
            }
            tip = self.follow(tip, *sequence, link.as_ref());
            last = *sequence;
        }
        let head = self.judge_head(tip, last);
        if let Some((_, version, link)) = links.first() {
            self.find_unlinked(self.first_version(link.as_ref()).unwrap_or(*version));
        }
        let more = self.faults.len().saturating_sub(FAULTS_TOLD);
        self.faults.truncate(FAULTS_TOLD);
        if more > 0 {
            self.faults.push(format!("and {more} more"));
        }
        (head, self.faults.into_iter().map(|fault| format!("operation log: {fault}")).collect())
    }

    /// Looks at a link and its events. `tip` is the link before, none if that is not known; gives this one.
    fn follow(&mut self, tip: Option<Tip>, sequence: u64, link: Option<&Link>) -> Option<Tip> {
        let sums: Option<Vec<(Vec<u8>, Hash)>> =
            link.and_then(|link| link.events.iter().map(|text| parse(text)).collect());
        let hash = link.and_then(|link| from_hex(&link.hash));
        let (Some(sums), Some(hash)) = (sums, hash) else {
            self.faults.push(format!("link {sequence} can't be read"));
            return None;
        };
        for (id, sum) in &sums {
            let place = || format!("event {} of link {sequence}", shown(id));
            match self.events.get_mut(id) {
                None => self.faults.push(format!("{} was removed", place())),
                Some(event) => {
                    event.linked = true;
                    if event.sum != *sum {
                        self.faults.push(format!("{} was changed", place()));
                    }
                }
            }
        }
        let named: Vec<(&[u8], Hash)> = sums.iter().map(|(id, sum)| (id.as_slice(), *sum)).collect();
        if let Some(before) = tip
            && chained(&Tip { sequence, ..before }, &named) != hash
        {
            self.faults.push(format!("link {sequence} does not follow from the one before it and its events"));
        }
        Some(Tip { sequence, hash })
    }

    fn judge_head(&mut self, tip: Option<Tip>, last: u64) -> Option<OperationsHead> {
        let head = match self.head.take() {
            None if last == 0 => return None,
            None => {
                self.faults.push(format!("the head is missing; the last link is {last}"));
                return None;
            }
            Some(Err(fault)) => {
                self.faults.push(fault.to_string());
                return None;
            }
            Some(Ok(head)) => head,
        };
        if head.sequence > last {
            self.faults.push(format!("{} missing: the end was cut off", stretch(last + 1, head.sequence)));
        } else if head.sequence < last {
            self.faults.push(format!("the head says that {} is the last link; it is {last}", head.sequence));
        } else if tip.is_some_and(|tip| tip.hash != head.hash) {
            self.faults.push(format!("the head has another hash than link {last}"));
        }
        Some(OperationsHead { sequence: head.sequence, hash: to_hex(&head.hash) })
    }

    /// The version of the first event that was ever linked.
    fn first_version(&self, link: Option<&Link>) -> Option<u64> {
        let events = link?.events.iter().filter_map(|text| self.events.get(&parse(text)?.0));
        events.map(|event| event.version).min()
    }

    /// Events of an older program have no link: those alone that were written before the first one.
    fn find_unlinked(&mut self, first: u64) {
        let unlinked = self.events.iter().filter(|(_, event)| !event.linked && event.version >= first);
        self.faults.extend(unlinked.map(|(id, _)| format!("event {} has no link", shown(id))));
    }
}

fn parse(text: &str) -> Option<(Vec<u8>, Hash)> {
    let (id, sum) = text.split_once('.')?;
    let decode = |text: &str| URL_SAFE_NO_PAD.decode(text).ok();
    Some((decode(id)?, decode(sum)?.try_into().ok()?))
}

fn stretch(first: u64, last: u64) -> String {
    if first == last { format!("link {first} is") } else { format!("links {first} to {last} are") }
}

/// An event by its moment and the name of its row.
fn shown(id: &[u8]) -> String {
    match id.first_chunk::<8>() {
        Some(millis) => format!("{} ({})", Timestamp::from_millis(u64::from_be_bytes(*millis)), encode(id)),
        None => encode(id),
    }
}
