//! Verifying the chains of a whole store, and the anchors that hold them together.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::{EVENTS, HEADS, Hash, LINKS, Link, OperationsHead, Tip};
use super::{chained, encode, from_hex, node_of, parse, place_of, sum, to_hex};
use crate::domain::Timestamp;
use crate::domain::audit::ChainHead;
use crate::store::Entry;
use crate::store::engine::Fault;

/// No more faults are told one by one.
const FAULTS_TOLD: usize = 100;

/// The operation log of a store that is being checked: fed all records, it tells what is wrong with the chains.
#[derive(Default)]
pub(in crate::store) struct Audit {
    events: BTreeMap<Vec<u8>, Event>,
    /// By node and number, each with the version of its row.
    links: BTreeMap<(u16, u64), (u64, Option<Link>)>,
    heads: BTreeMap<u16, Result<Tip, Fault>>,
    /// The hashes of the links that can be read.
    hashes: BTreeMap<(u16, u64), Hash>,
    /// Events that are anchors, with the heads that they tell.
    anchors: Vec<(Vec<u8>, Anchor)>,
    faults: Vec<String>,
}

struct Event {
    version: u64,
    sum: Hash,
    linked: bool,
}

/// An anchor as far as a check needs it.
#[derive(Deserialize)]
struct Anchor {
    #[serde(default)]
    node: u16,
    act: Anchoring,
}

#[derive(Deserialize)]
struct Anchoring {
    act: String,
    heads: Vec<ChainHead>,
}

impl Audit {
    /// Takes in a record.
    pub(in crate::store) fn see(&mut self, entry: &Entry) {
        let Entry { key, value, version } = entry;
        match key.space {
            EVENTS => {
                let event = Event { version: *version, sum: sum(value), linked: false };
                self.events.insert(key.id.clone(), event);
                self.anchors.extend(anchor(value).map(|anchor| (key.id.clone(), anchor)));
            }
            LINKS => match place_of(key) {
                Some(place) => {
                    self.links.insert(place, (*version, serde_json::from_slice(value).ok()));
                }
                None => self.faults.push(format!("a link with the unknown name {:02x?}", key.id)),
            },
            HEADS => match node_of(key) {
                Some(node) => {
                    self.heads.insert(node, Tip::read_head(value));
                }
                None => self.faults.push(format!("a head with the unknown name {:02x?}", key.id)),
            },
            _ => {}
        }
    }

    /// The heads of all chains by their nodes, and what is wrong.
    pub(in crate::store) fn verdict(mut self) -> (BTreeMap<u16, OperationsHead>, Vec<String>) {
        let links = std::mem::take(&mut self.links);
        let mut tips: BTreeMap<u16, (Option<Tip>, u64)> = BTreeMap::new();
        for ((node, sequence), (_, link)) in &links {
            let (tip, last) = tips.entry(*node).or_insert((Some(Tip::default()), 0));
            if *sequence != *last + 1 {
                self.fault(*node, format!("{} missing", stretch(*last + 1, sequence - 1)));
                *tip = None;
            }
            *tip = self.follow(*tip, *node, *sequence, link.as_ref());
            *last = *sequence;
        }
        let nodes: BTreeSet<u16> = tips.keys().chain(self.heads.keys()).copied().collect();
        let mut heads = BTreeMap::new();
        for node in nodes {
            let (tip, last) = tips.get(&node).copied().unwrap_or((Some(Tip::default()), 0));
            heads.extend(self.judge_head(node, tip, last).map(|head| (node, head)));
        }
        self.judge_anchors();
        let firsts = links.iter().filter(|((_, sequence), _)| *sequence == 1).map(|(_, link)| link);
        let earliest = links.values().next().into_iter().chain(firsts);
        let first = earliest.map(|(version, link)| self.first_version(link.as_ref()).unwrap_or(*version)).min();
        if let Some(first) = first {
            self.find_unlinked(first);
        }
        let more = self.faults.len().saturating_sub(FAULTS_TOLD);
        self.faults.truncate(FAULTS_TOLD);
        if more > 0 {
            self.faults.push(format!("and {more} more"));
        }
        (heads, self.faults.into_iter().map(|fault| format!("operation log: {fault}")).collect())
    }

    /// A fault of a chain. The chain of a node that is alone needs no name.
    fn fault(&mut self, node: u16, told: String) {
        self.faults.push(if node == 0 { told } else { format!("node {node}: {told}") });
    }

    /// Looks at a link and its events. `tip` is the link before, none if that is not known; gives this one.
    fn follow(&mut self, tip: Option<Tip>, node: u16, sequence: u64, link: Option<&Link>) -> Option<Tip> {
        let sums: Option<Vec<(Vec<u8>, Hash)>> =
            link.and_then(|link| link.events.iter().map(|text| parse(text)).collect());
        let hash = link.and_then(|link| from_hex(&link.hash));
        let (Some(sums), Some(hash)) = (sums, hash) else {
            self.fault(node, format!("link {sequence} can't be read"));
            return None;
        };
        self.hashes.insert((node, sequence), hash);
        let mut faults = Vec::new();
        for (id, sum) in &sums {
            let place = || format!("event {} of link {sequence}", shown(id));
            match self.events.get_mut(id) {
                None => faults.push(format!("{} was removed", place())),
                Some(event) => {
                    event.linked = true;
                    if event.sum != *sum {
                        faults.push(format!("{} was changed", place()));
                    }
                }
            }
        }
        let named: Vec<(&[u8], Hash)> = sums.iter().map(|(id, sum)| (id.as_slice(), *sum)).collect();
        if let Some(before) = tip
            && chained(&Tip { sequence, ..before }, &named) != hash
        {
            faults.push(format!("link {sequence} does not follow from the one before it and its events"));
        }
        faults.into_iter().for_each(|fault| self.fault(node, fault));
        Some(Tip { sequence, hash })
    }

    fn judge_head(&mut self, node: u16, tip: Option<Tip>, last: u64) -> Option<OperationsHead> {
        let head = match self.heads.remove(&node) {
            None => {
                self.fault(node, format!("the head is missing; the last link is {last}"));
                return None;
            }
            Some(Err(fault)) => {
                self.fault(node, fault.to_string());
                return None;
            }
            Some(Ok(head)) => head,
        };
        if head.sequence > last {
            self.fault(node, format!("{} missing: the end was cut off", stretch(last + 1, head.sequence)));
        } else if head.sequence < last {
            self.fault(node, format!("the head says that {} is the last link; it is {last}", head.sequence));
        } else if tip.is_some_and(|tip| tip.hash != head.hash) {
            self.fault(node, format!("the head has another hash than link {last}"));
        }
        Some(OperationsHead { sequence: head.sequence, hash: to_hex(&head.hash) })
    }

    /// A head that another node told is a link of its chain: who rewrote that chain, or cut its end and set its head back,
    /// would have to rewrite the chains of all others too.
    fn judge_anchors(&mut self) {
        for (id, anchor) in std::mem::take(&mut self.anchors) {
            for ChainHead { node, sequence, hash } in &anchor.act.heads {
                let why = match self.hashes.get(&(*node, *sequence)) {
                    Some(found) if to_hex(found) == *hash => continue,
                    Some(_) => "which has another hash: that chain was written anew",
                    None => "which is not there: that chain was cut",
                };
                let place = shown(&id);
                self.fault(anchor.node, format!("the anchor {place} names link {sequence} of node {node}, {why}"));
            }
        }
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

/// The anchor that an event is, if it is one.
fn anchor(value: &[u8]) -> Option<Anchor> {
    // Few events are anchors, and a store has many events.
    const WORD: &[u8] = b"\"anchored\"";
    if !value.windows(WORD.len()).any(|part| part == WORD) {
        return None;
    }
    let anchor: Anchor = serde_json::from_slice(value).ok()?;
    (anchor.act.act == "anchored").then_some(anchor)
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
