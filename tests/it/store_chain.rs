//! The chain over the audit events: what is removed, changed, put in or cut off shows, wherever the store has been since.

use std::fs;
use std::io::Cursor;
use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chancery::store::{self, EngineName, Guard, Kv, OperationsHead, WriteSet};
use serde_json::{Value, json};

use crate::store_support::*;

const EVENTS: u8 = 90;
const LINKS: u8 = 91;
const HEADS: u8 = 92;

/// The row of an event: a moment and a number.
fn event(n: u64) -> Vec<u8> {
    [(1_795_262_400_000 + n).to_be_bytes(), n.to_be_bytes()].concat()
}

/// What a use case commits: a record, and what was done.
fn act(n: u64) -> WriteSet {
    let mut set = put(key(1, format!("record {n}")), format!("{n}"));
    set.puts.push((key(EVENTS, event(n)), format!(r#"{{"at":{n},"act":{{"act":"test"}}}}"#).into()));
    set
}

fn acts(store: &Arc<dyn Kv>, numbers: std::ops::Range<u64>) {
    numbers.for_each(|n| commit(store, act(n)).expect("committed"));
}

/// The head and the faults that a check of a closed store tells.
fn checked(engine: EngineName, path: &Path) -> (Option<OperationsHead>, Vec<String>) {
    let report = unlocked(|| store::check(&settings(engine, path))).expect("it can be looked at");
    (report.operations, report.faults)
}

/// The number of the last link of a store whose chain is whole.
fn sound(engine: EngineName, path: &Path) -> u64 {
    let (head, faults) = checked(engine, path);
    assert!(faults.is_empty(), "{engine:?}: {faults:?}");
    head.map_or(0, |head| head.sequence)
}

/// An export as its lines, of which a test may change some.
struct Export(Vec<Value>);

impl Export {
    fn of(engine: EngineName, path: &Path) -> Self {
        let text = unlocked(|| {
            let mut text = Vec::new();
            store::export(&settings(engine, path), &mut text).map(|_| text)
        });
        let text = text.expect("exported");
        let lines = std::str::from_utf8(&text).expect("text").lines();
        Self(lines.map(|line| serde_json::from_str(line).expect("JSON")).collect())
    }

    /// The records of a space, in order.
    fn records(&mut self, space: u8) -> Vec<&mut Value> {
        self.0.iter_mut().filter(|line| line["kind"] == "record" && line["space"] == space).collect()
    }

    /// Takes a record out.
    fn remove(&mut self, space: u8, nth: usize) {
        let id = self.records(space)[nth]["id"].clone();
        self.0.retain(|line| line["space"] != space || line["id"] != id);
    }

    /// Puts an event in.
    fn insert(&mut self, n: u64, version: u64) {
        let id = URL_SAFE_NO_PAD.encode(event(n));
        let line = json!({ "kind": "record", "space": EVENTS, "id": id, "value": "{}", "version": version });
        self.0.insert(1, line);
    }

    fn import(mut self, engine: EngineName, path: &Path) {
        let records = self.0.iter().filter(|line| line["kind"] == "record").count();
        let end = self.0.last_mut().expect("the end");
        end["records"] = json!(records);
        let text: Vec<String> = self.0.iter().map(Value::to_string).collect();
        let import = || store::import(&settings(engine, path), &mut Cursor::new(text.join("\n")));
        unlocked(import).expect("imported");
    }
}

#[test]
fn every_commit_with_events_is_one_link_behind_the_other_across_restarts() {
    each_engine(|engine, path| {
        assert!(store::check(&settings(engine, path)).is_err());
        drop(open(engine, path));
        assert_eq!(checked(engine, path), (None, vec![]), "{engine:?}: nothing was done yet");
        for round in 0..4 {
            acts(&open(engine, path), round * 5..round * 5 + 5);
            assert_eq!(sound(engine, path), round * 5 + 5, "{engine:?}");
        }
        let store = open(engine, path);
        commit(&store, put(key(1, "no event"), "x")).expect("committed");
        commit(&store, check(act(100), key(1, "record 0"), Guard::Absent)).expect_err("a set that is refused");
        drop(store);
        assert_eq!(sound(engine, path), 20, "{engine:?}: no event, no link");
    });
}

#[test]
fn sets_that_are_committed_together_share_a_link_and_lose_no_event() {
    each_engine(|engine, path| {
        let store = open(engine, path);
        block_on(async {
            let mut commits = tokio::task::JoinSet::new();
            for n in 0..200 {
                let store = store.clone();
                commits.spawn(async move { store.commit(act(n)).await });
            }
            assert!(commits.join_all().await.iter().all(Result::is_ok), "{engine:?}");
        });
        let links = all(&store, LINKS);
        let linked: usize = links
            .iter()
            .map(|link| serde_json::from_slice::<Value>(&link.value).expect("JSON")["events"].as_array().unwrap().len())
            .sum();
        assert_eq!(linked, 200, "{engine:?}");
        drop(store);
        assert_eq!(sound(engine, path), links.len() as u64, "{engine:?}");
    });
}

#[test]
fn whatever_is_done_to_the_log_shows_with_its_place() {
    type Tamper = fn(&mut Export);
    let cases: [(&str, Tamper, &[&str]); 11] = [
        ("nothing", |_| {}, &[]),
        ("an event removed", |log| log.remove(EVENTS, 2), &["event 2026-11-21T12:00:00Z (", "of link 3 was removed"]),
        (
            "an event changed",
            |log| {
                let line = &mut log.records(EVENTS)[4];
                line["value"] = json!(line["value"].as_str().unwrap().replace("test", "tess"));
            },
            &["of link 5 was changed"],
        ),
        ("an event put in", |log| log.insert(7_000, 9), &["event 2026-11-21T12:00:07Z", "has no link"]),
        ("a link removed", |log| log.remove(LINKS, 3), &["link 4 is missing", "has no link"]),
        ("the first links removed", |log| (0..2).for_each(|_| log.remove(LINKS, 0)), &["links 1 to 2 are missing"]),
        (
            "an event moved into a link",
            |log| {
                log.insert(7_000, 9);
                let sum = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, b"{}");
                let name = format!("{}.{}", URL_SAFE_NO_PAD.encode(event(7_000)), URL_SAFE_NO_PAD.encode(sum));
                let line = &mut log.records(LINKS)[6];
                let mut link: Value = serde_json::from_str(line["value"].as_str().unwrap()).unwrap();
                link["events"].as_array_mut().unwrap().push(json!(name));
                line["value"] = json!(link.to_string());
            },
            &["link 7 does not follow"],
        ),
        (
            "the end cut off",
            |log| {
                for space in [LINKS, EVENTS] {
                    (0..3).for_each(|_| log.remove(space, 7));
                }
            },
            &["links 8 to 10 are missing: the end was cut off"],
        ),
        ("the head removed", |log| log.remove(HEADS, 0), &["the head is missing; the last link is 10"]),
        (
            "the head set back",
            |log| {
                let head = json!({ "sequence": 9, "hash": "00".repeat(32) }).to_string();
                log.records(HEADS)[0]["value"] = json!(head);
            },
            &["the head says that 9 is the last link; it is 10"],
        ),
        (
            "the head's hash changed",
            |log| {
                let head = json!({ "sequence": 10, "hash": "00".repeat(32) }).to_string();
                log.records(HEADS)[0]["value"] = json!(head);
            },
            &["the head has another hash than link 10"],
        ),
    ];
    each_engine(|engine, path| {
        acts(&open(engine, path), 0..10);
        for (nth, (case, tamper, expected)) in cases.iter().enumerate() {
            let mut export = Export::of(engine, path);
            tamper(&mut export);
            let other = path.with_extension(format!("{nth}"));
            export.import(engine, &other);
            let (_, faults) = checked(engine, &other);
            let told = faults.join("\n");
            assert_eq!(faults.is_empty(), expected.is_empty(), "{engine:?}: {case}: {told}");
            assert!(expected.iter().all(|part| told.contains(part)), "{engine:?}: {case}: {told}");
            assert!(faults.iter().all(|fault| fault.starts_with("operation log: ")), "{engine:?}: {case}: {told}");
        }
    });
}

#[test]
fn the_command_fails_where_the_chain_is_broken_and_tells_the_head_where_it_is_whole() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let at = |name: &str| dir.path().join(name).join("store");
    fs::create_dir_all(dir.path().join("whole")).expect("a directory");
    acts(&open(EngineName::Sled, &at("whole")), 0..3);
    let mut export = Export::of(EngineName::Sled, &at("whole"));
    export.remove(EVENTS, 1);
    fs::create_dir_all(dir.path().join("broken")).expect("a directory");
    export.import(EngineName::Sled, &at("broken"));
    for (name, code, part) in [("whole", 0, "[]"), ("broken", 1, "of link 2 was removed")] {
        let check = std::process::Command::new(env!("CARGO_BIN_EXE_chancery"))
            .args(["store", "check", "--json", "--data-dir", dir.path().join(name).to_str().expect("text")])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()
            .expect("it runs");
        assert_eq!(check.status.code(), Some(code), "{name}: {check:?}");
        let report: Value = serde_json::from_slice(&check.stdout).expect("JSON");
        assert_eq!(report["operations"]["sequence"], 3, "{name}: {report}");
        let told = report["faults"].to_string();
        assert!(told.contains(part), "{name}: {told}");
    }
}

#[test]
fn an_event_that_the_server_itself_writes_anew_is_told_as_changed() {
    each_engine(|engine, path| {
        let store = open(engine, path);
        acts(&store, 0..3);
        commit(&store, put(key(EVENTS, event(1)), "{}")).expect("committed");
        drop(store);
        let (head, faults) = checked(engine, path);
        assert_eq!(head.map(|head| head.sequence), Some(4), "{engine:?}");
        assert!(faults.len() == 1 && faults[0].contains("of link 2 was changed"), "{engine:?}: {faults:?}");
    });
}

#[test]
fn events_from_before_the_first_link_are_taken_as_they_are() {
    each_engine(|engine, path| {
        acts(&open(engine, path), 0..5);
        let mut older = Export::of(engine, path);
        older.0.retain(|line| line["space"] != LINKS && line["space"] != HEADS);
        let other = path.with_extension("older");
        older.import(engine, &other);
        assert_eq!(checked(engine, &other), (None, vec![]), "{engine:?}");
        acts(&open(engine, &other), 5..8);
        assert_eq!(sound(engine, &other), 3, "{engine:?}");
    });
}

#[test]
fn the_chain_goes_on_after_a_crash_and_in_the_other_engine() {
    each_engine(|engine, path| {
        acts(&open(engine, path), 0..5);
        let behind = path.with_extension("behind");
        copy_dir(&engine_dir(engine, path), &behind);
        acts(&open(engine, path), 5..12);
        // The engine as a power cut leaves it: the journal alone knows the rest.
        fs::remove_dir_all(engine_dir(engine, path)).expect("removed");
        copy_dir(&behind, &engine_dir(engine, path));
        acts(&open(engine, path), 12..13);
        assert_eq!(sound(engine, path), 13, "{engine:?}");
        fs::remove_dir_all(engine_dir(engine, path)).expect("removed");
        acts(&open(engine, path), 13..14);
        assert_eq!(sound(engine, path), 14, "{engine:?}: filled from the journal");
        let other = ENGINES.into_iter().find(|other| *other != engine).expect("there are two");
        let moved = path.with_extension("moved");
        Export::of(engine, path).import(other, &moved);
        acts(&open(other, &moved), 14..15);
        assert_eq!(sound(other, &moved), 15, "{engine:?} to {other:?}");
    });
}

#[test]
fn a_snapshot_holds_the_chain() {
    each_engine(|engine, path| {
        let store = store::open_with(&settings(engine, path), 20_000).expect("the store opens");
        acts(&store, 0..150);
        drop(store);
        fs::remove_dir_all(engine_dir(engine, path)).expect("removed");
        drop(open(engine, path));
        assert_eq!(sound(engine, path), 150, "{engine:?}");
    });
}

#[test]
fn a_lost_head_leads_to_no_link_being_written_over() {
    each_engine(|engine, path| {
        acts(&open(engine, path), 0..5);
        for (nth, set) in [
            delete(key(HEADS, [0, 0])),
            put(key(HEADS, [0, 0]), json!({ "sequence": 2, "hash": "00".repeat(32) }).to_string()),
        ]
        .into_iter()
        .enumerate()
        {
            commit(&open(engine, path), set).expect("committed");
            assert_eq!(checked(engine, path).1.len(), 1, "{engine:?}");
            acts(&open(engine, path), 5 + nth as u64..6 + nth as u64);
            assert_eq!(sound(engine, path), 6 + nth as u64, "{engine:?}");
        }
    });
}

fn copy_dir(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a directory");
    for file in fs::read_dir(from).expect("a directory") {
        let file = file.expect("a file").path();
        let to = to.join(file.file_name().expect("it has a name"));
        if file.is_dir() { copy_dir(&file, &to) } else { assert!(fs::copy(&file, &to).is_ok()) }
    }
}
