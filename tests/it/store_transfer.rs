//! Exports and imports: between engines, to the byte, all or nothing; and the check of a store.

use std::fs;
use std::io::Cursor;
use std::path::Path;

use chancery::store::{self, EngineName, Report, Totals, TransferError, WriteSet};

use crate::store_support::*;

fn filled(engine: EngineName, path: &Path) {
    let store = open(engine, path);
    for n in 0..300_u32 {
        let set = WriteSet {
            deltas: add(key(3, [(n % 7) as u8]), i64::from(n), 0).deltas,
            ..put(
                key((n % 5) as u8, format!("id {n}")),
                format!(r#"{{"n":{n},"text":"a \"line\"\n{}"}}"#, "x".repeat(n as usize * 40)),
            )
        };
        commit(&store, set).expect("committed");
    }
    commit(&store, put(key(255, [0, 255, 128]), [0xff, 0x00, 0xfe])).expect("a value that is no text");
    commit(&store, delete(key(0, "id 5"))).expect("deleted");
    commit(&store, add(key(3, "minus"), i64::MIN, i64::MIN)).expect("counted");
}

fn exported(engine: EngineName, path: &Path) -> (Vec<u8>, Totals) {
    let mut out = Vec::new();
    let totals = store::export(&settings(engine, path), &mut out).expect("exported");
    (out, totals)
}

#[test]
fn an_export_moves_everything_to_another_engine() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let at = |name: &str| dir.path().join(name);
    filled(EngineName::Sled, &at("a"));
    let (export, totals) = exported(EngineName::Sled, &at("a"));
    assert_eq!(totals, Totals { records: 300, counters: 8 });
    let lines = std::str::from_utf8(&export).expect("text").lines();
    assert!(lines.clone().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()));
    assert_eq!(lines.count(), 1 + 308 + 1);
    let imported = store::import(&settings(EngineName::Redb, &at("b")), &mut Cursor::new(&export)).expect("imported");
    assert_eq!(imported, totals);
    assert_eq!(exported(EngineName::Redb, &at("b")).0, export);
    let imported = store::import(&settings(EngineName::Sled, &at("c")), &mut Cursor::new(&export)).expect("imported");
    assert_eq!(imported, totals);
    let (from, to) = (open(EngineName::Sled, &at("a")), open(EngineName::Sled, &at("c")));
    for space in 0..=255 {
        assert_eq!(all(&from, space), all(&to, space));
    }
    assert_eq!(counter(&to, &key(3, "minus")), i64::MIN);
    let last = all(&to, 255)[0].version;
    commit(&to, put(key(255, [0, 255, 128]), "x")).expect("committed");
    assert!(all(&to, 255)[0].version > last, "versions grow on");
    drop(to);
    fs::remove_dir_all(engine_dir(EngineName::Sled, &at("c"))).expect("removed");
    let to = open(EngineName::Sled, &at("c"));
    assert_eq!(all(&to, 1), all(&from, 1), "an import is in the journal like everything");
}

#[test]
fn an_export_that_is_not_whole_is_not_imported() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    filled(EngineName::Redb, &dir.path().join("a"));
    let (export, _) = exported(EngineName::Redb, &dir.path().join("a"));
    let text = String::from_utf8(export).expect("text");
    let lines: Vec<&str> = text.lines().collect();
    let long = format!(r#"{{"kind":"counter","space":1,"id":"{}","value":1}}"#, "A".repeat(800));
    let wrong: [(&str, Vec<&str>, u64); 8] = [
        ("nothing", vec![], 1),
        ("cut", lines[..200].to_vec(), 201),
        ("a lost line", [&lines[..100], &lines[101..]].concat(), 309),
        ("a line twice", [&lines[..100], &lines[99..]].concat(), 311),
        ("no beginning", lines[1..].to_vec(), 1),
        ("something behind the end", [&lines[..], &lines[5..6]].concat(), 311),
        ("no JSON", [&lines[..50], &["{"], &lines[50..]].concat(), 51),
        ("an id too long", [&lines[..50], &[long.as_str()], &lines[50..]].concat(), 51),
    ];
    for (case, lines, at) in wrong {
        let path = dir.path().join("b");
        let refused = store::import(&settings(EngineName::Redb, &path), &mut Cursor::new(lines.join("\n")));
        assert!(matches!(&refused, Err(TransferError::Line(line, _)) if *line == at), "{case}: {refused:?}");
        assert!(!path.exists(), "{case}");
    }
}

#[test]
fn an_import_needs_an_empty_store_and_is_all_or_nothing() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let at = |name: &str| dir.path().join(name);
    filled(EngineName::Redb, &at("a"));
    let (export, _) = exported(EngineName::Redb, &at("a"));
    let again = store::import(&settings(EngineName::Redb, &at("a")), &mut Cursor::new(&export));
    assert!(matches!(again, Err(TransferError::NotEmpty)), "{again:?}");
    // What is left when an import is interrupted.
    fs::create_dir_all(at("b")).expect("a directory");
    fs::write(at("b").join("import-unfinished"), b"").expect("written");
    let refused = store::open(&settings(EngineName::Redb, &at("b"))).err().expect("it does not open").to_string();
    assert!(refused.contains("was not finished"), "{refused}");
}

#[test]
fn a_check_counts_and_changes_nothing() {
    each_engine(|engine, path| {
        assert!(store::check(&settings(engine, path)).is_err(), "there is no store");
        assert!(!path.exists());
        filled(engine, path);
        let report = store::check(&settings(engine, path)).expect("it opens");
        let expected = Report {
            sequence: 303,
            journal: 303,
            records: [(0, 59), (1, 60), (2, 60), (3, 60), (4, 60), (255, 1)].into(),
            counters: [(3, 8)].into(),
            operations: None,
            faults: vec![],
            ..Report::default()
        };
        assert_eq!(report, expected, "{engine:?}");
        let open = open(engine, path);
        assert!(store::check(&settings(engine, path)).is_err_and(|e| e.to_string().contains("in use")), "{engine:?}");
        drop(open);
        let log = path.join("journal/00000001.log");
        let mut bytes = fs::read(&log).expect("the log");
        bytes[1000..1050].fill(0);
        fs::write(&log, bytes).expect("damaged");
        let faults = store::check(&settings(engine, path)).expect("it opens").faults;
        assert!(faults.len() == 1 && faults[0].starts_with("journal: damaged"), "{engine:?}: {faults:?}");
    });
}
