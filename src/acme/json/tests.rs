//! What strict JSON takes and refuses.

use super::*;
use crate::domain::Kind;
use proptest::prelude::*;
use serde::Deserialize;
use serde_json::{Map, Value};

fn read(json: &str) -> Result<Map<String, Value>> {
    object(json.as_bytes(), "payload")
}

#[test]
fn one_object_is_read_as_serde_reads_it() {
    #[derive(Debug, PartialEq, Deserialize)]
    struct Wire {
        a: u8,
        b: Vec<String>,
    }
    let wire: Wire = object(br#" {"a": 1, "b": ["x", "\u00e9"], "c": {"a": null, "d": [1.5, -2, true]}} "#, "payload")
        .expect("well-formed; unknown members are the type's business");
    assert_eq!(wire, Wire { a: 1, b: vec!["x".into(), "\u{e9}".into()] });
    assert!(object::<Wire>(br#"{"a": 256, "b": []}"#, "payload").is_err());
}

#[test]
fn what_parsers_disagree_about_is_malformed() {
    let deep = |depth: usize| format!("{}{}{}", "{\"a\":".repeat(depth - 1), "{}", "}".repeat(depth - 1));
    let flat_and_deep = format!("{{\"a\":{}{}}}", "[".repeat(16), "]".repeat(16));
    assert!(read(&deep(16)).is_ok());
    let rows: &[(&str, &str)] = &[
        (r#"{"a":1,"a":1}"#, "TR-17: \"a\" stands there twice"),
        (r#"{"b":[{"c":1,"d":2,"c":3}]}"#, "TR-17: \"c\" stands there twice"),
        (r#"{"a":1,"\u0061":1}"#, "TR-17: \"a\" stands there twice"),
        (r#"{"":1,"":1}"#, "TR-17: \"\" stands there twice"),
        ("{} {}", "8259-2: trailing characters"),
        ("{}x", "8259-2: trailing characters"),
        ("{}\0", "8259-2: trailing characters"),
        (&deep(17), "8259-9: nested more than 16 deep"),
        (&flat_and_deep, "8259-9: nested more than 16 deep"),
        (&"[".repeat(100_000), "8259-9: expected a JSON object"),
        ("[1]", "8555-6.2: expected a JSON object"),
        ("\"text\"", "8555-6.2: expected a JSON object"),
        ("null", "8555-6.2: expected a JSON object"),
        ("", "8259-2: EOF"),
        ("{", "8259-2: EOF"),
        ("\u{feff}{}", "8259-8.1: expected value"),
        (r#"{"a":1,}"#, "8259-4: trailing comma"),
        ("{a:1}", "8259-4: key must be a string"),
        (r#"{"a":01}"#, "8259-6: invalid number"),
        (r#"{"a":NaN}"#, "8259-6: expected value"),
        (r#"{"a":1e999}"#, "8259-6: number out of range"),
        (r#"{"a":"\ud800"}"#, "8259-8.2: unexpected end of hex escape"),
    ];
    for (json, row) in rows {
        let problem = read(json).expect_err(row).into_problem();
        let (_, expected) = row.split_once(": ").expect("rule id: reason");
        assert_eq!(problem.kind, Kind::Malformed);
        assert!(problem.detail.contains(expected), "{row}: {}", problem.detail);
        assert!(problem.detail.starts_with("The payload cannot be read: "), "{}", problem.detail);
    }
    assert!(object::<Map<String, Value>>(b"{\"a\":\"\xff\"}", "payload").is_err(), "8259-8.1: not UTF-8");
}

#[test]
fn refusals_do_not_send_back_what_was_sent() {
    #[derive(Debug, Deserialize)]
    struct Wire {
        #[serde(rename = "a")]
        _a: u8,
    }
    let long = format!("{{\"a\":\"{}\"}}", "\u{e9}".repeat(10_000));
    let detail = object::<Wire>(long.as_bytes(), "payload").expect_err("not a number").into_problem().detail;
    assert!(detail.len() < 600, "{}", detail.len());
    let long = format!("{{\"{0}\":1,\"{0}\":2}}", "x".repeat(10_000));
    assert!(read(&long).expect_err("twice").problem().detail.len() < 300);
}

/// JSON values of every shape, within the depth.
fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<i32>().prop_map(|quarters| Value::from(f64::from(quarters) / 4.0)),
        ".{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 48, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map(".{0,4}", inner, 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn every_object_with_distinct_names_is_read_unchanged(value in values()) {
        let text = format!("{{\"value\": {value}}}");
        prop_assert_eq!(&read(&text).expect("well-formed")["value"], &value);
    }

    #[test]
    fn a_name_that_stands_there_twice_is_found_at_every_depth(
        value in values(), depth in 0..8_usize, name in "[a-z\u{e9}]{0,6}",
    ) {
        let mut text = format!("{{\"{name}\":1,\"other name\":{value},\"{name}\":2}}");
        for level in 0..depth {
            text = if level % 2 == 0 { format!("[0,{text}]") } else { format!("{{\"x\":{text}}}") };
        }
        let refused = read(&format!("{{\"value\":{text}}}")).is_err();
        prop_assert!(refused);
    }

    #[test]
    fn no_octets_make_the_reader_panic(octets in prop::collection::vec(any::<u8>(), 0..200), text in "[\\[\\]{}:,\"0-9a\\\\]{0,60}") {
        let _ = object::<Value>(&octets, "payload");
        if let Ok(value) = object::<Value>(text.as_bytes(), "payload") {
            prop_assert!(value.is_object());
        }
    }
}
