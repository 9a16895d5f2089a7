//! What every engine promises: guards, floors, all or nothing, versions, ranges, and the forms that are refused.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use chancery::store::{self, EngineName, Guard, Kv, OpenError, Range, Settings, StoreError, WriteSet};

use crate::store_support::*;

fn version(store: &Arc<dyn Kv>, id: &str) -> u64 {
    read(store, key(1, id)).expect("the record is there").version
}

#[test]
fn a_set_is_read_back_and_survives_reopening() {
    each_engine(|engine, path| {
        let store = open(engine, path);
        commit(&store, put(key(1, "a"), "one")).expect("committed");
        commit(&store, add(key(1, "a"), 3, 0)).expect("committed");
        let before = read(&store, key(1, "a")).expect("the record is there");
        assert_eq!(before.value, "one");
        drop(store);
        let store = open(engine, path);
        assert_eq!(read(&store, key(1, "a")), Some(before));
        assert_eq!(counter(&store, &key(1, "a")), 3, "counters and records of one name are two things");
        assert_eq!(read(&store, key(2, "a")), None);
        assert_eq!(counter(&store, &key(2, "a")), 0);
    });
}

#[test]
fn guards_hold_or_refuse() {
    each_engine(|engine, path| {
        let store = open(engine, path);
        let a = || key(1, "a");
        commit(&store, check(put(a(), "one"), a(), Guard::Absent)).expect("absent");
        let first = version(&store, "a");
        let rows = [
            ("absent, and it is there", Guard::Absent, false),
            ("at an older version", Guard::At(first - 1), false),
            ("at a newer version", Guard::At(first + 1), false),
            ("as it was read", Guard::At(first), true),
            ("as it was read before the last write", Guard::At(first), false),
        ];
        for (case, guard, holds) in rows {
            match commit(&store, check(put(a(), case), a(), guard)) {
                Ok(()) => assert!(holds, "{engine:?}: {case}"),
                Err(StoreError::Conflict(at)) => assert!(!holds && at == a(), "{engine:?}: {case}"),
                Err(other) => panic!("{engine:?}: {case}: {other}"),
            }
        }
        let second = version(&store, "a");
        assert!(second > first);
        commit(&store, check(delete(a()), a(), Guard::At(second))).expect("deleted");
        let gone = commit(&store, check(put(a(), "x"), a(), Guard::At(second)));
        assert!(matches!(gone, Err(StoreError::Conflict(_))), "{gone:?}");
        commit(&store, check(put(key(1, "b"), "x"), a(), Guard::Absent)).expect("a guard on what is not written");
        assert!(commit(&store, check(WriteSet::default(), key(1, "b"), Guard::Absent)).is_err(), "a guard alone");
    });
}

#[test]
fn counters_stop_at_their_floor() {
    each_engine(|engine, path| {
        let store = open(engine, path);
        let c = || key(9, "quota");
        // by, floor, the value after it if it is accepted
        let rows = [
            (-1, 0, None),
            (5, 0, Some(5)),
            (-5, 0, Some(0)),
            (-1, 0, None),
            (-3, -3, Some(-3)),
            (1, 0, None),
            (i64::MAX, i64::MIN, Some(i64::MAX - 3)),
            (i64::MAX, i64::MIN, None),
        ];
        let mut value = 0;
        for (by, floor, after) in rows {
            let outcome = commit(&store, add(c(), by, floor));
            assert_eq!(outcome.is_ok(), after.is_some(), "{engine:?}: {value} by {by} with floor {floor}: {outcome:?}");
            value = after.unwrap_or(value);
            assert_eq!(counter(&store, &c()), value);
        }
        let mut twice = add(key(9, "other"), 2, 0);
        twice.deltas.extend(add(key(9, "other"), -1, 0).deltas);
        commit(&store, twice).expect("deltas of one counter add up");
        assert_eq!(counter(&store, &key(9, "other")), 1);
    });
}

#[test]
fn a_refused_set_leaves_nothing_behind() {
    each_engine(|engine, path| {
        let store = open(engine, path);
        commit(&store, put(key(1, "there"), "x")).expect("committed");
        let whole = || WriteSet {
            checks: vec![],
            deltas: add(key(2, "n"), 1, 0).deltas,
            puts: put(key(1, "new"), "y").puts,
            deletes: vec![key(1, "there")],
            ..WriteSet::default()
        };
        let mut floor = whole();
        floor.deltas.extend(add(key(2, "m"), -1, 0).deltas);
        assert!(matches!(commit(&store, floor), Err(StoreError::Floor(at)) if at == key(2, "m")));
        let conflict = check(whole(), key(1, "there"), Guard::Absent);
        assert!(matches!(commit(&store, conflict), Err(StoreError::Conflict(at)) if at == key(1, "there")));
        assert_eq!(all(&store, 1).len(), 1);
        assert_eq!(counter(&store, &key(2, "n")), 0);
        commit(&store, whole()).expect("committed");
        assert_eq!(all(&store, 1).iter().map(|e| e.key.clone()).collect::<Vec<_>>(), [key(1, "new")]);
        assert_eq!(counter(&store, &key(2, "n")), 1);
    });
}

#[test]
fn forms_that_no_engine_should_bear_are_refused_and_hurt_nobody() {
    each_engine(|engine, path| {
        let store = open(engine, path);
        let long = "k".repeat(store::MAX_ID + 1);
        let mut twice = put(key(1, "a"), "x");
        twice.deletes.push(key(1, "a"));
        let mib = vec![b'v'; store::MAX_VALUE];
        let many = (0..17).map(|n| (key(1, [n]), mib.clone().into())).collect();
        let rows = [
            ("513 bytes", put(key(1, &long), "x")),
            ("513 bytes", delete(key(1, &long))),
            ("513 bytes", add(key(1, &long), 1, 0)),
            ("513 bytes", check(put(key(1, "a"), "x"), key(1, &long), Guard::Absent)),
            ("1048577 bytes", put(key(1, "a"), vec![b'v'; store::MAX_VALUE + 1])),
            ("twice", twice),
            ("16777216", WriteSet { puts: many, ..WriteSet::default() }),
        ];
        for (says, set) in rows {
            let refused = commit(&store, set).expect_err(says).to_string();
            assert!(refused.contains(says), "{engine:?}: {refused}");
        }
        assert_eq!(read(&store, key(1, &long)), None);
        let longest = key(1, "k".repeat(store::MAX_ID));
        commit(&store, put(longest.clone(), &mib)).expect("the longest id and value");
        assert!(read(&store, longest).is_some_and(|entry| entry.value == mib));
    });
}

#[test]
fn values_of_every_length_come_back_and_leave_no_pieces() {
    each_engine(|engine, path| {
        let store = open(engine, path);
        let lengths = [0, 1, 4079, 4080, 4081, 4096, 8191, 8192, 8193, 60_000, 1 << 20, 5000, 100_000, 10];
        let value = |len: usize| (0..len).map(|n| (n % 251) as u8).collect::<Vec<_>>();
        for len in lengths {
            commit(&store, put(key(1, "one"), value(len))).expect("overwritten");
            commit(&store, put(key(2, [len as u8, (len >> 8) as u8, (len >> 16) as u8]), value(len))).expect("kept");
            assert!(read(&store, key(1, "one")).is_some_and(|entry| entry.value == value(len)), "{engine:?}: {len}");
        }
        assert_eq!(all(&store, 2).len(), lengths.len());
        for entry in all(&store, 2) {
            assert_eq!(entry.value, value(entry.value.len()));
            commit(&store, delete(entry.key)).expect("deleted");
        }
        drop(store);
        // Opening verifies that there is no piece without its record.
        let report = store::check(&settings(engine, path)).expect("it opens");
        assert_eq!((report.faults, report.records), (vec![], [(1, 1)].into()));
    });
}

#[test]
fn long_values_and_long_ids_never_become_blob_files() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let store = open(EngineName::Sled, dir.path());
    for n in 0..40_u8 {
        let puts = (0..30_u8).map(|m| (key(1, [vec![b'k'; 500], vec![n, m]].concat()), vec![m; 4080].into()));
        let set = WriteSet { puts: puts.collect(), ..put(key(2, [n]), vec![n; 400_000]) };
        commit(&store, set).expect("committed");
    }
    drop(store);
    let blobs = std::fs::read_dir(engine_dir(EngineName::Sled, dir.path()).join("blobs")).expect("sled's directory");
    assert_eq!(blobs.count(), 0, "sled never syncs blob files");
}

#[test]
fn ranges_are_ordered_and_paged() {
    each_engine(|engine, path| {
        let store = open(engine, path);
        let ids: [&[u8]; 8] = [b"", b"a", b"a\0", b"a\0b", b"ab", b"a\xff", b"b", b"\xff\xff"];
        for id in ids {
            commit(&store, put(key(7, id), "x")).expect("committed");
        }
        commit(&store, put(key(6, b"\xff\xff"), "x")).expect("a neighbour");
        commit(&store, put(key(8, b""), "x")).expect("a neighbour");
        let ids_of = |prefix: &[u8], after: Option<&[u8]>, limit| {
            let range = Range { space: 7, prefix: prefix.to_vec(), after: after.map(<[u8]>::to_vec), limit };
            scan(&store, range).into_iter().map(|entry| entry.key.id).collect::<Vec<_>>()
        };
        assert_eq!(ids_of(b"", None, 100), ids);
        assert_eq!(ids_of(b"a", None, 100), ids[1..6]);
        assert_eq!(ids_of(b"a", Some(b"a\0"), 100), ids[3..6]);
        assert_eq!(ids_of(b"a", Some(b""), 2), ids[1..3], "after an id before the prefix");
        assert_eq!(ids_of(b"a", Some(b"b"), 100), ids[..0], "after an id behind the prefix");
        assert_eq!(ids_of(b"", Some(b"a\0a"), 2), ids[3..5], "after an id that is not there");
        assert_eq!(ids_of(b"\xff", None, 100), ids[7..]);
        assert_eq!(ids_of(b"", None, 0), ids[..0]);
        let (mut paged, mut after) = (Vec::new(), None);
        while let Some(id) = ids_of(b"", after.as_deref(), 1).pop() {
            paged.push(id.clone());
            after = Some(id);
        }
        assert_eq!(paged, ids);
    });
}

#[test]
fn versions_grow_across_deletion_and_reopening() {
    each_engine(|engine, path| {
        let mut last = 0;
        for round in 0..3 {
            let store = open(engine, path);
            for n in 0..3 {
                commit(&store, put(key(1, "a"), format!("{round} {n}"))).expect("put");
                let now = version(&store, "a");
                assert!(now > last, "{engine:?}: {now} after {last}");
                last = now;
                commit(&store, delete(key(1, "a"))).expect("deleted");
            }
        }
    });
}

#[test]
fn many_writers_share_one_counter_exactly_once() {
    each_engine(|engine, path| {
        let store = open(engine, path);
        commit(&store, add(key(2, "quota"), 500, 0)).expect("committed");
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).build().expect("a runtime");
        let won = runtime.block_on(async {
            let writer = |n: u32| {
                let store = store.clone();
                tokio::spawn(async move {
                    let mut won = 0;
                    for m in 0..20 {
                        let set = WriteSet {
                            deltas: add(key(2, "quota"), -1, 0).deltas,
                            ..put(key(1, format!("{n}/{m}")), "a slot")
                        };
                        match store.commit(set).await {
                            Ok(()) => won += 1,
                            Err(StoreError::Floor(_)) => {}
                            Err(other) => panic!("{other}"),
                        }
                    }
                    won
                })
            };
            let mut won = 0;
            for task in (0..40).map(writer).collect::<Vec<_>>() {
                won += task.await.expect("the writer ends");
            }
            won
        });
        assert_eq!(won, 500);
        assert_eq!(all(&store, 1).len(), 500);
        assert_eq!(counter(&store, &key(2, "quota")), 0);
    });
}

#[test]
fn of_two_racing_commits_on_one_version_exactly_one_wins() {
    each_engine(|engine, path| {
        let store = open(engine, path);
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).build().expect("a runtime");
        commit(&store, put(key(1, "a"), "begin")).expect("committed");
        for round in 0..100 {
            let at = Guard::At(version(&store, "a"));
            let race = |name: &str| {
                let (store, value) = (store.clone(), format!("{round} {name}"));
                let set = check(put(key(1, "a"), &value), key(1, "a"), at);
                runtime.spawn(async move { store.commit(set).await.is_ok().then_some(value) })
            };
            let racers = [race("left"), race("right")];
            let winners: Vec<_> =
                racers.into_iter().filter_map(|racer| runtime.block_on(racer).expect("the racer ends")).collect();
            assert_eq!(winners.len(), 1, "{engine:?}");
            assert!(read(&store, key(1, "a")).is_some_and(|entry| entry.value == winners[0]));
        }
    });
}

#[test]
fn readers_never_see_half_of_a_set() {
    each_engine(|engine, path| {
        let store = open(engine, path);
        let ids = ["a", "m", "z"];
        let set = |n: u32| WriteSet {
            puts: ids.iter().map(|id| (key(1, id), format!("{n} {}", "x".repeat(5000)).into())).collect(),
            ..WriteSet::default()
        };
        commit(&store, set(0)).expect("committed");
        let done = AtomicBool::new(false);
        std::thread::scope(|threads| {
            for _ in 0..2 {
                threads.spawn(|| {
                    while !done.load(Ordering::Relaxed) {
                        let keys = ids.map(|id| key(1, id));
                        let read = block_on(store.read(&keys)).expect("the store reads");
                        let read: BTreeSet<_> = read.into_iter().map(|e| e.map(|e| (e.value, e.version))).collect();
                        let scanned: BTreeSet<_> = all(&store, 1).into_iter().map(|e| (e.value, e.version)).collect();
                        assert_eq!((read.len(), scanned.len()), (1, 1), "{engine:?}: three records of one set");
                    }
                });
            }
            (1..200).for_each(|n| commit(&store, set(n)).expect("committed"));
            done.store(true, Ordering::Relaxed);
        });
    });
}

#[test]
fn an_acknowledged_set_is_seen_by_the_next_read() {
    each_engine(|engine, path| {
        let store = open(engine, path);
        for n in 0..200 {
            commit(&store, put(key(1, "a"), n.to_string())).expect("committed");
            assert!(read(&store, key(1, "a")).is_some_and(|entry| entry.value == n.to_string()));
        }
    });
}

#[test]
fn a_store_opens_once_at_a_time() {
    each_engine(|engine, path| {
        let store = open(engine, path);
        let second = store::open(&settings(engine, path)).err().expect("it is locked");
        assert!(matches!(second, OpenError::Locked(_)), "{second}");
        assert!(second.to_string().ends_with("is in use by another process"), "{second}");
        drop(store);
        open(engine, path);
    });
}

#[test]
fn settings_take_the_documented_keys_alone() {
    let parse = |text: &str| toml::from_str::<Settings>(text);
    assert_eq!(parse("").expect("defaults").engine, EngineName::Sled);
    assert_eq!(parse("engine = 'redb'\npath = 'p'").expect("redb"), settings(EngineName::Redb, "p".as_ref()));
    for wrong in ["engine = 'Sled'", "engine = 'mysql'", "motor = 'sled'"] {
        assert!(parse(wrong).is_err(), "{wrong}");
    }
    let postgres = parse("engine = 'postgres'\nurl = 'postgres://u:secret@h'").expect("postgres");
    assert!(!format!("{postgres:?}").contains("secret"));
    let refused = store::open(&postgres).err().expect("not there yet");
    assert!(refused.to_string().contains("not part of this build yet"), "{refused}");
}
