//! `docs/lints.md` is complete and true: every row of the CA/Browser Forum's rules that concerns what is signed stands there once,
//! the lints and tests that are named exist, and no lint of the sources is missing.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use crate::rules_listed::{known_tests, quoted, root, rows_of};

/// The families that concern certificates, CRLs, OCSP answers and their issuers, and how many rows each has, from 1.
const FAMILIES: [(&str, usize); 9] =
    [("VAL", 16), ("KEY", 9), ("SUB", 22), ("OVE", 5), ("PRE", 5), ("LNT", 4), ("SCA", 8), ("CRL", 13), ("OCS", 14)];

/// Rows of another family that concern names in certificates.
const FURTHER: [&str; 3] = ["CABF-DCV-16", "CABF-DCV-17", "CABF-DCV-18"];

struct Row {
    id: String,
    lints: Vec<String>,
    files: Vec<String>,
    tests: Vec<String>,
    remark: String,
}

fn rows() -> Vec<Row> {
    let row = |cells: Vec<String>| Row {
        id: cells[0].clone(),
        lints: quoted(&cells[1]),
        files: quoted(&cells[2]),
        tests: quoted(&cells[3]),
        remark: cells[4].clone(),
    };
    rows_of("docs/lints.md", 5, |cell| cell.starts_with("CABF-")).into_iter().map(row).collect()
}

/// The code of the lints, by file, without unit tests.
fn sources() -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut waiting = vec![root().join("src/ca/lint.rs"), root().join("src/ca/lint")];
    while let Some(path) = waiting.pop() {
        if path.is_dir() {
            waiting.extend(fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
        } else if path.file_name().is_some_and(|name| name != "tests.rs") {
            let text = fs::read_to_string(&path).unwrap();
            let code = text.split("#[cfg(test)]").next().unwrap().to_owned();
            found.insert(name_of(&path), code);
        }
    }
    found
}

fn name_of(path: &Path) -> String {
    path.strip_prefix(root()).unwrap().to_str().unwrap().replace('\\', "/")
}

/// The names of lints in some code: literals of lower-case words with underscores between them.
fn lints_in(code: &str) -> BTreeSet<String> {
    let is_name = |text: &&str| {
        text.contains('_') && text.bytes().all(|b| b.is_ascii_lowercase() || b == b'_') && !text.starts_with('_')
    };
    let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
    lines.flat_map(|line| line.split('"').skip(1).step_by(2)).filter(is_name).map(str::to_owned).collect()
}

#[test]
fn every_row_that_concerns_what_is_signed_stands_there_once() {
    let mut listed = BTreeMap::new();
    for row in rows() {
        *listed.entry(row.id).or_insert(0) += 1;
    }
    let numbered = FAMILIES.iter().flat_map(|(name, count)| (1..=*count).map(move |n| format!("CABF-{name}-{n:02}")));
    let known = numbered.chain(FURTHER.map(str::to_owned));
    assert_eq!(listed, known.map(|id| (id, 1)).collect());
}

#[test]
fn a_row_has_a_lint_and_a_test_or_says_why_not() {
    for Row { id, lints, files, tests, remark } in rows() {
        match (lints.is_empty(), files.is_empty(), tests.is_empty()) {
            (false, false, false) | (true, false, false) => {}
            (true, true, true) => assert!(remark.len() >= 40, "{id} has no lint, and no reason for that"),
            _ => panic!("{id}: name the lint, its file and the test that shows it, or none of them"),
        }
        if lints.is_empty() {
            assert!(!remark.is_empty(), "{id} has no lint, and no reason for that");
        }
    }
}

#[test]
fn the_lints_that_are_named_stand_in_the_sources_and_the_tests_exist() {
    let (sources, known) = (sources(), known_tests());
    let all: String = sources.values().cloned().collect();
    for Row { id, lints, files, tests, .. } in rows() {
        for file in &files {
            assert!(root().join(file).is_file(), "{id}: there is no {file}");
        }
        for lint in &lints {
            let literal = format!("\"{lint}\"");
            assert!(all.contains(&literal), "{id}: there is no lint {lint}");
        }
        for test in &tests {
            assert!(known.contains(test), "{id}: there is no test {test}");
        }
    }
}

#[test]
fn no_lint_is_missing_from_the_list() {
    let list = fs::read_to_string(root().join("docs/lints.md")).unwrap();
    for (file, code) in sources() {
        for lint in lints_in(&code) {
            assert!(list.contains(&format!("`{lint}`")), "{lint} of {file} is not in docs/lints.md");
        }
    }
}

#[test]
fn the_reader_of_names_works() {
    let code = "ensure(x, \"a_lint\", \"it is not\")?; // \"not_this\"\n// \"nor_this\"\nfault(\"other_one\", y)";
    assert_eq!(lints_in(code).into_iter().collect::<Vec<_>>(), ["a_lint", "not_this", "other_one"]);
}
