//! What every engine promises: guards, floors, all or nothing, versions, ranges, and the forms that are refused.

use std::sync::Arc;

use chancery::store::{self, EngineName, Guard, Kv, OpenError, Range, StoreError, WriteSet};

use crate::store_support::*;

/// Versions, as far as the outcome depends on them.
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
    });
}
