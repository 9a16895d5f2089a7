//! What happens to files must not happen to records: damage, loss, torn ends, and snapshots under load.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chancery::store::{self, EngineName, Entry, Kv, OpenError, StoreError, WriteSet};

use crate::store_support::*;

/// Small enough that a few dozen commits bring a snapshot.
const SMALL_JOURNAL: u64 = 100_000;
const COUNTERS: u8 = 20;

type Contents = (Vec<Entry>, Vec<i64>);

fn contents(store: &Arc<dyn Kv>) -> Contents {
    (
        (0..4).flat_map(|space| all(store, space)).collect(),
        (0..COUNTERS).map(|n| counter(store, &key(0, [n]))).collect(),
    )
}

/// Writes, overwrites and removes records of all lengths, from the round `from` on.
fn fill(store: &Arc<dyn Kv>, rounds: std::ops::Range<u32>) {
    for round in rounds {
        let space = (round % 4) as u8;
        let len = [20, 700, 3000, 9000][round as usize / 4 % 4];
        let set = WriteSet {
            deltas: add(key(0, [(round % u32::from(COUNTERS)) as u8]), 1, 0).deltas,
            deletes: if round % 5 == 0 { vec![key(space, format!("r{}", round - round.min(20)))] } else { vec![] },
            ..put(key(space, format!("r{round}")), format!("{round} ").repeat(len / 4))
        };
        let distinct = set.deletes.first() != Some(&set.puts[0].0);
        commit(store, if distinct { set } else { WriteSet { deletes: vec![], ..set } }).expect("committed");
    }
}

/// A closed store with contents.
fn filled(engine: EngineName, path: &Path, journal_limit: u64) -> Contents {
    let store = store::open_with(&settings(engine, path), journal_limit).expect("the store opens");
    fill(&store, 0..200);
    contents(&store)
}

fn reopened(engine: EngineName, path: &Path) -> Contents {
    contents(&open(engine, path))
}

/// The file in which the engine keeps its rows.
fn main_file(engine: EngineName, path: &Path) -> PathBuf {
    engine_dir(engine, path).join(match engine {
        EngineName::Sled => "db",
        _ => "store.redb",
    })
}

fn journal_files(path: &Path, extension: &str) -> Vec<PathBuf> {
    let files = fs::read_dir(path.join("journal")).expect("the journal").map(|file| file.expect("a file").path());
    let mut files: Vec<_> = files.filter(|file| file.extension().is_some_and(|e| e == extension)).collect();
    files.sort();
    files
}

fn set_aside(path: &Path) -> usize {
    let names = fs::read_dir(path).expect("the store").map(|file| file.expect("a file").file_name());
    names.filter(|name| name.to_string_lossy().contains(".damaged-")).count()
}

fn copy_dir(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a directory");
    for file in fs::read_dir(from).expect("a directory") {
        let file = file.expect("a file").path();
        let to = to.join(file.file_name().expect("it has a name"));
        if file.is_dir() {
            copy_dir(&file, &to);
        } else {
            fs::copy(&file, &to).expect("copied");
        }
    }
}

#[test]
fn an_engine_with_damaged_files_loses_nothing() {
    type Damage = fn(&mut Vec<u8>);
    let damages: [(&str, Damage); 6] = [
        ("all but the ends overwritten", |bytes| {
            let end = bytes.len() - 4096;
            bytes[4096..end].fill(0xa5);
        }),
        ("the beginning zeroed", |bytes| bytes[..8192].fill(0)),
        ("all of it noise", |bytes| bytes.iter_mut().enumerate().for_each(|(n, b)| *b ^= (n * 7 + 13) as u8)),
        ("one bit in each 512 bytes", |bytes| bytes.iter_mut().step_by(512).for_each(|b| *b ^= 0x10)),
        ("cut in half", |bytes| bytes.truncate(bytes.len() / 2)),
        ("cut to a few bytes", |bytes| bytes.truncate(100)),
    ];
    for journal_limit in [SMALL_JOURNAL, store::JOURNAL_LIMIT] {
        each_engine(|engine, path| {
            let before = filled(engine, path, journal_limit);
            let mut kept = 0;
            for (damage, inflict) in &damages {
                let file = main_file(engine, path);
                let mut bytes = fs::read(&file).expect("the engine's file");
                inflict(&mut bytes);
                fs::write(&file, bytes).expect("damaged");
                let report = store::check(&settings(engine, path)).expect("it can be looked at");
                // sled may take damage for the end of its log and offer an older state, in which nothing is wrong; and at
                // the beginning of its file there may be nothing that is still in use.
                let older = report.sequence < report.journal;
                let unused = *damage == "the beginning zeroed";
                assert!(older || unused || !report.faults.is_empty(), "{engine:?}: {damage}: unseen");
                assert_eq!(reopened(engine, path), before, "{engine:?}: {damage}");
                kept += usize::from(!report.faults.is_empty());
                assert!(set_aside(path) >= kept, "{engine:?}: {damage}: nothing was kept");
                assert_eq!(reopened(engine, path), before, "{engine:?}: {damage}, opened again");
            }
        });
    }
}

#[test]
fn an_engine_with_lost_files_is_filled_from_the_journal() {
    for journal_limit in [SMALL_JOURNAL, store::JOURNAL_LIMIT] {
        each_engine(|engine, path| {
            let before = filled(engine, path, journal_limit);
            fs::remove_file(main_file(engine, path)).expect("removed");
            assert_eq!(reopened(engine, path), before, "{engine:?}: its main file");
            fs::remove_dir_all(engine_dir(engine, path)).expect("removed");
            assert_eq!(reopened(engine, path), before, "{engine:?}: its directory");
        });
    }
}

#[test]
fn an_engine_from_an_older_copy_is_brought_up_to_the_journal() {
    for journal_limit in [SMALL_JOURNAL, store::JOURNAL_LIMIT] {
        each_engine(|engine, path| {
            filled(engine, path, journal_limit);
            let copy = path.with_extension("copy");
            copy_dir(&engine_dir(engine, path), &copy);
            let store = store::open_with(&settings(engine, path), journal_limit).expect("the store opens");
            fill(&store, 200..400);
            let before = contents(&store);
            drop(store);
            fs::remove_dir_all(engine_dir(engine, path)).expect("removed");
            copy_dir(&copy, &engine_dir(engine, path));
            assert_eq!(reopened(engine, path), before, "{engine:?}");
        });
    }
}

#[test]
fn the_other_engine_takes_over_from_the_journal() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let before = filled(EngineName::Sled, dir.path(), SMALL_JOURNAL);
    assert_eq!(reopened(EngineName::Redb, dir.path()), before);
    fill(&open(EngineName::Redb, dir.path()), 200..300);
    let before = reopened(EngineName::Redb, dir.path());
    assert_eq!(reopened(EngineName::Sled, dir.path()), before);
}

#[test]
fn a_torn_end_of_the_journal_is_no_damage() {
    each_engine(|engine, path| {
        let mut before = filled(engine, path, store::JOURNAL_LIMIT);
        let begun = fs::read(&journal_files(path, "log")[0]).expect("the log");
        // A power cut leaves the beginning of a frame, or a frame of the right length with holes in it.
        let mut holes = begun[..500].to_vec();
        holes[40..].fill(0);
        for (nth, torn) in [&b"chJ1"[..], &begun[..11], &begun[..40], &holes, &[0; 4096]].into_iter().enumerate() {
            let log = journal_files(path, "log").pop().expect("a log");
            fs::OpenOptions::new().append(true).open(log).and_then(|mut log| log.write_all(torn)).expect("torn");
            fs::remove_dir_all(engine_dir(engine, path)).expect("removed");
            let store = open(engine, path);
            assert_eq!(contents(&store), before, "{engine:?}: {nth}");
            fill(&store, 1000 + 10 * nth as u32..1003 + 10 * nth as u32);
            before = contents(&store);
        }
    });
}

#[test]
fn frames_that_the_engine_has_not_seen_are_carried_out() {
    each_engine(|engine, path| {
        let store = open(engine, path);
        fill(&store, 0..50);
        // What the disk holds if the machine stops between the journal and the engine.
        let copy = path.with_extension("copy");
        drop(store);
        copy_dir(&engine_dir(engine, path), &copy);
        fill(&open(engine, path), 50..53);
        let before = reopened(engine, path);
        fs::remove_dir_all(engine_dir(engine, path)).expect("removed");
        copy_dir(&copy, &engine_dir(engine, path));
        assert_eq!(reopened(engine, path), before, "{engine:?}");
        assert_eq!(set_aside(path), 0, "{engine:?}: an engine that is behind is not a damaged one");
    });
}

#[test]
fn without_engine_and_without_a_whole_journal_nothing_opens_and_nothing_is_touched() {
    each_engine(|engine, path| {
        let before = filled(engine, path, store::JOURNAL_LIMIT);
        let log = journal_files(path, "log").remove(0);
        let whole = fs::read(&log).expect("the log");
        let mut damaged = whole.clone();
        let middle = damaged.len() / 2;
        damaged[middle..middle + 100].fill(0xff);
        fs::write(&log, &damaged).expect("damaged");
        let file = main_file(engine, path);
        let rows = fs::read(&file).expect("the engine's file");
        fs::write(&file, vec![0xff; rows.len()]).expect("damaged");
        let refused = store::open(&settings(engine, path)).err().expect("it does not open");
        assert!(matches!(refused, OpenError::Damaged { .. }), "{refused}");
        assert_eq!(set_aside(path), 0);
        fs::write(&log, &whole).expect("restored");
        assert_eq!(reopened(engine, path), before, "{engine:?}: with the journal restored");
    });
}

/// Commits until a snapshot newer than those in `old` is there; gives the next free round.
fn fill_until_snapshot(store: &Arc<dyn Kv>, path: &Path, old: &[PathBuf], from: u32) -> u32 {
    let mut round = from;
    while journal_files(path, "snapshot").iter().all(|file| old.contains(file)) {
        assert!(round < from + 100_000, "no snapshot after 100,000 commits");
        fill(store, round..round + 1);
        round += 1;
    }
    round
}

#[test]
fn a_damaged_or_lost_journal_is_replaced_by_a_snapshot() {
    type Damage = fn(&Path);
    let damages: [(&str, Damage); 3] = [
        ("lost", |path| fs::remove_dir_all(path.join("journal")).expect("removed")),
        ("cut", |path| {
            let log = fs::OpenOptions::new().write(true).open(&journal_files(path, "log")[0]).expect("the log");
            log.set_len(1000).expect("cut");
        }),
        ("damaged", |path| {
            let log = &journal_files(path, "log")[0];
            let mut bytes = fs::read(log).expect("the log");
            bytes[5000..5100].fill(0xff);
            fs::write(log, bytes).expect("damaged");
        }),
    ];
    for (damage, inflict) in damages {
        each_engine(|engine, path| {
            let before = filled(engine, path, store::JOURNAL_LIMIT);
            inflict(path);
            let store = open(engine, path);
            assert_eq!(contents(&store), before, "{engine:?}: {damage}");
            fill_until_snapshot(&store, path, &[], 5000);
            let before = contents(&store);
            drop(store);
            fs::remove_dir_all(engine_dir(engine, path)).expect("removed");
            assert_eq!(reopened(engine, path), before, "{engine:?}: {damage}");
        });
    }
}

#[test]
fn snapshots_under_load_replace_the_logs_and_rebuild_everything() {
    each_engine(|engine, path| {
        let store = store::open_with(&settings(engine, path), SMALL_JOURNAL).expect("the store opens");
        let mut round = 0;
        for _ in 0..5 {
            let old = journal_files(path, "snapshot");
            round = fill_until_snapshot(&store, path, &old, round);
        }
        let before = contents(&store);
        drop(store);
        assert!(!path.join("journal/00000001.log").exists(), "{engine:?}: the first log is still there");
        assert!(journal_files(path, "snapshot").len() <= 2);
        fs::remove_dir_all(engine_dir(engine, path)).expect("removed");
        assert_eq!(reopened(engine, path), before, "{engine:?}");
        // A snapshot that was being written when the power went is only in the way.
        fs::write(path.join("journal/99999999.unfinished"), b"chJ1").expect("written");
        assert_eq!(reopened(engine, path), before, "{engine:?}");
        assert!(journal_files(path, "unfinished").is_empty());
    });
}

#[test]
fn a_store_whose_journal_fails_takes_no_more_commits_and_still_reads() {
    each_engine(|engine, path| {
        let store = store::open_with(&settings(engine, path), SMALL_JOURNAL).expect("the store opens");
        fill(&store, 0..3);
        // The next log cannot be begun.
        fs::remove_dir_all(path.join("journal")).expect("removed");
        let failed = (3..10_000)
            .find_map(|n| commit(&store, put(key(1, format!("n{n}")), vec![b'x'; 1000])).err().map(|error| (n, error)));
        let (last, error) = failed.expect("the store notices");
        assert!(matches!(&error, StoreError::Failed(_)), "{error}");
        assert!(error.to_string().contains("takes no commits since an earlier fault"), "{error}");
        let again = commit(&store, put(key(1, "after"), "x")).expect_err("it is closed");
        assert!(matches!(again, StoreError::Failed(_)));
        let before = contents(&store);
        assert!(
            before.0.iter().any(|entry| entry.key == key(1, format!("n{}", last - 1))),
            "the last acknowledged one"
        );
        drop(store);
        assert_eq!(reopened(engine, path), before, "{engine:?}");
    });
}
