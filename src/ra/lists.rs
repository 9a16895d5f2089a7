//! What is revoked, in memory: the entries of each issuer's lists, and the lists that were signed last.
//!
//! A million entries take 40 MB. They are read from the store once, when the server starts; after that only the rows behind
//! the moment up to which they were read (`Rows::RevokedOf`), which other nodes write too. Signed lists are kept nowhere else:
//! a start signs all of them anew, under numbers that rise because the store keeps the last one (`ListState`). Were they kept
//! on a disk, a start would have to prove that they are the newest ones and whole, and would save a second.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};

use super::Ra;
use crate::ca::Ca;
use crate::ca::crl::{Revoked, shard_covers, shard_of};
use crate::domain::certificate::RevocationReason;
use crate::domain::{Error, Result, Serial, Timestamp};
use crate::store::records::{Index, ListState, Revocation, Rows, SerialEntry};

/// How far behind the last look rows are read again: a row may be committed so much later than its moment says, and clocks of
/// nodes may differ by so much.
const OVERLAP: Duration = Duration::from_secs(300);

/// How long nobody who asks has lists made after a try that failed: at first, then twice as long each time, and at most.
const REST: Duration = Duration::from_secs(1);
const LONGEST_REST: Duration = Duration::from_secs(60);

/// Records that are read at a time.
const PAGE: usize = 5_000;

/// The lists of all issuers.
pub(super) struct Lists {
    issuers: HashMap<String, Arc<IssuerLists>>,
}

/// The lists of an issuer.
pub(super) struct IssuerLists {
    /// Its name.
    pub(super) issuer: String,
    /// What it has revoked; held while lists are made of it, so that they are made one after the other.
    pub(super) model: tokio::sync::Mutex<Model>,
    signed: RwLock<HashMap<u16, Arc<SignedList>>>,
    /// Held while lists are made because somebody asks: whoever else asks waits for the same try.
    pub(super) asking: tokio::sync::Mutex<()>,
    /// The tries that failed since the last one that did not; none if that was the last.
    failed: Mutex<Option<Failed>>,
    /// Whether all lists that there are were signed since the start: before that a missing one may still come.
    complete: AtomicBool,
}

/// Tries to make lists that failed, one after the other.
struct Failed {
    count: u32,
    last: Timestamp,
}

/// A list, DER.
pub(super) struct SignedList {
    pub(super) der: Bytes,
    /// A tag of its content, for caches.
    pub(super) tag: String,
    pub(super) this_update: Timestamp,
    pub(super) next_update: Timestamp,
    /// Whether the one before it had the same `thisUpdate`, so that this does not tell them apart.
    pub(super) same_second: bool,
}

/// What an issuer has revoked.
#[derive(Default)]
pub(super) struct Model {
    /// In the order of the serials.
    entries: Vec<Entry>,
    /// Up to when rows were read; none before everything was read.
    read_until: Option<Timestamp>,
    /// The lists that have to be there.
    lists: Vec<u16>,
    /// The numbers of shards that these follow from.
    pub(super) shards: Vec<u16>,
    /// Those whose entries changed since they were signed.
    pub(super) changed: BTreeSet<u16>,
    /// When all lists were made together last, by whichever node, as far as is known here.
    pub(super) regular: Timestamp,
    /// When this process made all of them together last.
    pub(super) all_signed: Option<Timestamp>,
}

/// An entry, and when it may leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Entry {
    revoked: Revoked,
    not_after: Timestamp,
}

impl Lists {
    /// The lists that a CA owes.
    pub(super) fn of(ca: &Ca) -> Self {
        let lists = |issuer: &str| IssuerLists {
            issuer: issuer.to_owned(),
            model: tokio::sync::Mutex::default(),
            signed: RwLock::default(),
            asking: tokio::sync::Mutex::default(),
            failed: Mutex::default(),
            complete: AtomicBool::default(),
        };
        let issuers = ca.list_issuers().map(|issuer| (issuer.to_owned(), Arc::new(lists(issuer)))).collect();
        Self { issuers }
    }

    /// Those of an issuer; another name is `notFound`.
    pub(super) fn of_issuer(&self, issuer: &str) -> Result<&Arc<IssuerLists>> {
        self.issuers.get(issuer).ok_or_else(|| Error::not_found(format!("There is no issuer \"{issuer}\".")))
    }

    /// All of them.
    pub(super) fn all(&self) -> impl Iterator<Item = &Arc<IssuerLists>> {
        self.issuers.values()
    }
}

impl IssuerLists {
    /// The list of a shard; `notFound` for one that no certificate names, none while there is none that may be given out.
    pub(super) fn current(&self, shard: u16, now: Timestamp) -> Result<Option<Arc<SignedList>>> {
        let signed = self.signed.read();
        match signed.get(&shard) {
            // RFC 5280 section 5.1.2.5: never after its next update.
            Some(list) => Ok(Some(list.clone()).filter(|list| now < list.next_update)),
            None if !self.complete.load(Ordering::Acquire) => Ok(None),
            None => Err(Error::not_found(format!("The CRL of \"{}\" has no shard {shard}.", self.issuer))),
        }
    }

    /// Notes how a try to make lists ended.
    pub(super) fn tried(&self, well: bool, now: Timestamp) {
        let mut failed = self.failed.lock();
        let count = failed.as_ref().map_or(1, |failed| failed.count.saturating_add(1));
        *failed = (!well).then_some(Failed { count, last: now });
    }

    /// How long nobody who asks has lists made any more: each try takes a number and leaves an audit event. None if there is
    /// no need to rest.
    pub(super) fn rest(&self, now: Timestamp) -> Option<Duration> {
        let failed = self.failed.lock();
        // One of the future was before the clock was set back.
        let failed = failed.as_ref().filter(|failed| failed.last <= now)?;
        let rest = (REST * 2_u32.pow((failed.count - 1).min(6))).min(LONGEST_REST);
        Some((failed.last + rest).since(now)).filter(|left| !left.is_zero())
    }

    /// All lists that there are were signed.
    pub(super) fn completed(&self) {
        self.complete.store(true, Ordering::Release);
    }

    /// Gives out another list from now on.
    pub(super) fn replace(&self, shard: u16, mut list: SignedList) {
        let mut signed = self.signed.write();
        list.same_second =
            signed.get(&shard).is_some_and(|before| before.this_update.as_secs() == list.this_update.as_secs());
        signed.insert(shard, Arc::new(list));
    }
}

impl Model {
    /// The lists that have to be signed at that moment: all if they are due, else those that changed.
    pub(super) fn due(&self, every: Duration, now: Timestamp) -> (bool, Vec<u16>) {
        // With a clock that was set back they would not be valid yet.
        let all = self.all_signed.is_none_or(|last| now < last || last + every <= now);
        (all, if all { self.lists.clone() } else { self.changed.iter().copied().collect() })
    }

    /// What a shard covers.
    pub(super) fn entries_of(&self, shard: u16) -> Vec<Revoked> {
        self.entries.iter().map(|entry| entry.revoked).filter(|entry| shard_covers(shard, &entry.serial)).collect()
    }

    /// Has entries leave that were on a regular list after their certificate's end (CABF-CRL-11).
    pub(super) fn forget_ended(&mut self, regular: Timestamp) {
        if regular > self.regular {
            self.regular = regular;
            self.entries.retain(|entry| !has_left(entry.not_after, regular));
        }
    }

    /// Takes up what is new, and notes which lists it changes.
    fn merge(&mut self, mut found: Vec<Entry>) {
        found.retain(|entry| !has_left(entry.not_after, self.regular));
        // Of two rows about one certificate the later one holds.
        found.reverse();
        found.sort_by_key(|entry| entry.revoked.serial);
        found.dedup_by_key(|entry| entry.revoked.serial);
        let known = self.entries.len();
        for entry in found {
            let serial = entry.revoked.serial;
            match self.entries[..known].binary_search_by_key(&serial, |known| known.revoked.serial) {
                Ok(place) if self.entries[place] == entry => continue,
                Ok(place) => self.entries[place] = entry,
                Err(_) => self.entries.push(entry),
            }
            self.changed.extend(self.shards.iter().map(|shards| shard_of(&serial, *shards)));
        }
        // Two runs that are in order already: this merges them.
        self.entries.sort_by_key(|entry| entry.revoked.serial);
    }
}

/// Whether an entry was on a list of all after the end of its certificate. Another node may have revoked it just before
/// that, unseen by the list.
fn has_left(not_after: Timestamp, regular: Timestamp) -> bool {
    not_after + OVERLAP < regular
}

/// What a row says of a revocation; its name has the serial.
pub(super) fn row_text(revocation: &Revocation) -> String {
    let reason = revocation.reason.code();
    format!("{reason} {} {}", revocation.at.as_millis(), revocation.not_after.as_millis())
}

fn entry_of_row(name: &[u8], text: &str) -> Result<Entry> {
    let read = || {
        let serial = Serial::from_der(name.last_chunk::<20>()?)?;
        let mut numbers = text.split(' ').map(|number| number.parse::<u64>().ok());
        let reason = RevocationReason::from_code(numbers.next()??).ok()?;
        let [at, not_after] = [numbers.next()??, numbers.next()??].map(Timestamp::from_millis);
        Some(Entry { revoked: Revoked { serial, at, reason }, not_after })
    };
    read().ok_or_else(|| Error::internal(format!("the row {name:?} says \"{text}\", which is no revocation")))
}

impl From<&Revocation> for Entry {
    fn from(record: &Revocation) -> Self {
        let Revocation { serial, at, reason, not_after, .. } = *record;
        Self { revoked: Revoked { serial, at, reason }, not_after }
    }
}

impl Ra {
    /// Reads what was revoked since the last look, or everything at the first one.
    pub(super) async fn catch_up(&self, issuer: &str, model: &mut Model) -> Result<()> {
        let now = self.now();
        match model.read_until {
            None => self.read_all(issuer, model).await?,
            Some(until) => {
                let found = self.revoked_since(issuer, until.min(now) - OVERLAP).await?;
                model.merge(found);
            }
        }
        model.read_until = Some(now);
        Ok(())
    }

    async fn read_all(&self, issuer: &str, model: &mut Model) -> Result<()> {
        let state = self.records.find::<ListState>(issuer).await?;
        let mut shards = state.as_ref().map(|state| state.shards.clone()).unwrap_or_default();
        // Before this was written down every list was whole unless somebody chose otherwise.
        if state.is_none() && !self.records.list::<SerialEntry>(b"", None, 1).await?.is_empty() {
            shards.push(1);
        }
        shards.push(self.ca.shards_now(issuer));
        shards.sort_unstable();
        shards.dedup();
        let lists = shards.iter().flat_map(|count| count - 1..2 * count - 1).collect();
        let regular = state.map(|state| state.regular).unwrap_or_default();
        *model = Model { lists, shards, regular, ..Model::default() };
        let prefix = Revocation::prefix(issuer);
        let mut after = None;
        loop {
            // They come in the order of their serials.
            let page = self.records.list::<Revocation>(&prefix, after.take(), PAGE).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = Some([&prefix[..], last.serial.as_bytes()].concat());
            let current = page.iter().filter(|entry| !has_left(entry.not_after, regular));
            model.entries.extend(current.map(|record| Entry::from(&**record)));
        }
    }

    async fn revoked_since(&self, issuer: &str, since: Timestamp) -> Result<Vec<Entry>> {
        let mut before_all = Index::RevokedAt(issuer, since, &Serial::random()).id();
        before_all.truncate(before_all.len() - 20);
        let mut after = Some(before_all);
        let mut found = Vec::new();
        loop {
            let rows = self.records.rows(&Rows::RevokedOf(issuer), after.take(), PAGE).await?;
            let Some((last, _)) = rows.last() else { return Ok(found) };
            after = Some(last.clone());
            for (name, text) in &rows {
                found.push(entry_of_row(name, text)?);
            }
        }
    }
}
