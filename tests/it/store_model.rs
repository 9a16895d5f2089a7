//! Random write sets, some waiting together, some over a reopening or a rebuild, against a model in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use chancery::store::{self, EngineName, Guard, Key, Kv, StoreError, WriteSet};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::store_support::*;

/// So small that snapshots are written all the time.
const JOURNAL_LIMIT: u64 = 20_000;

#[derive(Debug, Clone)]
enum Step {
    /// Sets that are handed over one behind the other, before the first is answered.
    Commit(Vec<Set>),
    /// The store is closed and opened.
    Reopen,
    /// The store is closed, its engine's files are lost, and it is opened.
    Rebuild,
}

/// A write set in small numbers: keys are `n`, values lengths.
#[derive(Debug, Clone)]
struct Set {
    checks: Vec<(u8, Check)>,
    deltas: Vec<(u8, i64, i64)>,
    puts: BTreeMap<u8, usize>,
    deletes: BTreeSet<u8>,
}

#[derive(Debug, Clone, Copy)]
enum Check {
    Absent,
    /// As it was before the sets that wait together.
    AsRead,
    Stale,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => vec(set(), 1..6).prop_map(Step::Commit),
        1 => Just(Step::Reopen),
        1 => Just(Step::Rebuild),
    ]
}

fn set() -> impl Strategy<Value = Set> {
    let check = prop_oneof![1 => Just(Check::Absent), 3 => Just(Check::AsRead), 1 => Just(Check::Stale)];
    let len = prop_oneof![4 => 0..300_usize, 1 => Just(4080), 1 => Just(4081), 1 => 4000..20_000_usize];
    let delta = (0..3_u8, -3..4_i64, prop_oneof![3 => Just(0), 1 => Just(-5_i64), 1 => Just(i64::MIN)]);
    let written = (proptest::collection::btree_map(0..8_u8, len, 0..3), proptest::collection::btree_set(0..8_u8, 0..2));
    (prop_oneof![2 => Just(vec![]), 1 => vec((0..8_u8, check), 1..3)], vec(delta, 0..3), written).prop_map(
        |(checks, deltas, (puts, deletes))| {
            let deletes = deletes.into_iter().filter(|n| !puts.contains_key(n)).collect();
            Set { checks, deltas, puts, deletes }
        },
    )
}

#[derive(Default)]
struct Model {
    values: BTreeMap<u8, Vec<u8>>,
    counters: BTreeMap<u8, i64>,
    /// The highest version ever seen of a record.
    versions: BTreeMap<u8, u64>,
    /// Makes every value another.
    serial: u8,
}

fn record(n: u8) -> Key {
    // Two spaces, and ids of which one begins another.
    key(n % 2, vec![b'r'; usize::from(n / 2)])
}

impl Model {
    /// Whether the set holds on top of those before it; `read` is what was read before the first, `written` what changed.
    fn judge(&self, set: &Set, read: &BTreeMap<u8, u64>, written: &BTreeSet<u8>) -> Result<BTreeMap<u8, i64>, ()> {
        for (n, check) in &set.checks {
            let holds = match check {
                Check::Absent => !self.values.contains_key(n),
                Check::AsRead => read.contains_key(n) && !written.contains(n),
                Check::Stale => false,
            };
            if !holds {
                return Err(());
            }
        }
        let mut counters = self.counters.clone();
        for (n, by, floor) in &set.deltas {
            let counter = counters.entry(*n).or_default();
            *counter += by;
            if *counter < *floor {
                return Err(());
            }
        }
        Ok(counters)
    }

    fn commit(&mut self, store: &Arc<dyn Kv>, sets: &[Set]) {
        let read: BTreeMap<u8, u64> =
            (0..8).filter_map(|n| super::store_support::read(store, record(n)).map(|e| (n, e.version))).collect();
        let (mut written, mut expected, mut waiting) = (BTreeSet::new(), Vec::new(), Vec::new());
        for set in sets {
            let values: BTreeMap<u8, Vec<u8>> =
                set.puts.iter().map(|(n, len)| (*n, vec![self.serial.wrapping_add(*n); *len])).collect();
            self.serial = self.serial.wrapping_add(1);
            waiting.push(write_set(set, &values, &read));
            let judged = self.judge(set, &read, &written);
            expected.push(judged.is_ok());
            if let Ok(counters) = judged {
                written.extend(values.keys().chain(&set.deletes));
                set.deletes.iter().for_each(|n| drop(self.values.remove(n)));
                self.values.extend(values);
                self.counters = counters;
            }
        }
        assert_eq!(together(store, waiting), expected);
        for n in 0..8 {
            let Some(entry) = super::store_support::read(store, record(n)) else { continue };
            let last = self.versions.insert(n, entry.version).unwrap_or(0);
            assert_eq!(entry.version > last, written.contains(&n), "version {} of {n} after {last}", entry.version);
        }
    }

    fn compare(&self, store: &Arc<dyn Kv>) {
        for space in 0..2 {
            let stored: BTreeMap<_, _> = all(store, space).into_iter().map(|e| (e.key, e.value.to_vec())).collect();
            let expected =
                self.values.iter().map(|(n, value)| (record(*n), value.clone())).filter(|(key, _)| key.space == space);
            assert_eq!(stored, expected.collect());
        }
        for n in 0..3 {
            assert_eq!(counter(store, &key(0, [n])), self.counters.get(&n).copied().unwrap_or(0));
        }
    }
}

fn write_set(set: &Set, values: &BTreeMap<u8, Vec<u8>>, read: &BTreeMap<u8, u64>) -> WriteSet {
    let guard = |n: &u8, check: &Check| match check {
        Check::Absent => Guard::Absent,
        Check::AsRead => Guard::At(read.get(n).copied().unwrap_or(u64::MAX)),
        Check::Stale => Guard::At(read.get(n).map_or(0, |version| version - 1)),
    };
    WriteSet {
        checks: set.checks.iter().map(|(n, check)| (record(*n), guard(n, check))).collect(),
        deltas: set.deltas.iter().flat_map(|(n, by, floor)| add(key(0, [*n]), *by, *floor).deltas).collect(),
        puts: values.iter().map(|(n, value)| (record(*n), value.clone().into())).collect(),
        deletes: set.deletes.iter().map(|n| record(*n)).collect(),
        ..WriteSet::default()
    }
}

/// Hands all sets over, in order, before waiting for the first answer.
fn together(store: &Arc<dyn Kv>, sets: Vec<WriteSet>) -> Vec<bool> {
    block_on(async {
        // One thread runs spawned tasks in the order in which they were spawned.
        let commit = |set| {
            let store = store.clone();
            tokio::spawn(async move {
                match store.commit(set).await {
                    Ok(()) => true,
                    Err(StoreError::Conflict(_) | StoreError::Floor(_)) => false,
                    Err(other) => panic!("{other}"),
                }
            })
        };
        let mut answers = Vec::new();
        for task in sets.into_iter().map(commit).collect::<Vec<_>>() {
            answers.push(task.await.expect("the commit ends"));
        }
        answers
    })
}

fn run(engine: EngineName, steps: &[Step]) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path: &Path = dir.path();
    let open = || store::open_with(&settings(engine, path), JOURNAL_LIMIT).expect("the store opens");
    let (mut store, mut model) = (open(), Model::default());
    for step in steps {
        match step {
            Step::Commit(sets) => model.commit(&store, sets),
            Step::Reopen => {
                drop(store);
                store = open();
            }
            Step::Rebuild => {
                drop(store);
                std::fs::remove_dir_all(engine_dir(engine, path)).expect("the engine's files are removed");
                store = open();
            }
        }
        model.compare(&store);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, max_shrink_iters: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn sled_does_what_the_model_does(steps in vec(step(), 1..40)) {
        run(EngineName::Sled, &steps);
    }

    #[test]
    fn redb_does_what_the_model_does(steps in vec(step(), 1..40)) {
        run(EngineName::Redb, &steps);
    }
}
