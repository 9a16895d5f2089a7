//! `docs/rules.md` is complete and true: every rule of the families has its row, the file that is named cites the rule, and
//! the tests that are named exist.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The families, and how many rules each has, numbered from 1.
const FAMILIES: [(&str, usize); 35] = [
    ("CAT", 22),
    ("DOM", 17),
    ("SAN", 9),
    ("PRICE", 36),
    ("IP", 9),
    ("WORD", 9),
    ("TLD", 5),
    ("QUOTA", 16),
    ("VAL", 41),
    ("CAA", 10),
    ("CSR", 17),
    ("KEY", 11),
    ("VALIDITY", 9),
    ("DIAG", 28),
    ("SEL", 10),
    ("BUY", 10),
    ("ACCT", 5),
    ("ORG", 14),
    ("DOC", 12),
    ("REVIEW", 14),
    ("REMIND", 6),
    ("ISSUE", 6),
    ("RENEW", 14),
    ("REISSUE", 16),
    ("REVOKE", 18),
    ("DELETE", 6),
    ("REFUND", 8),
    ("HOST", 7),
    ("UPLOAD", 11),
    ("NOTIFY", 11),
    ("META", 4),
    ("INSTALL", 13),
    ("UPGRADE", 4),
    ("STATUS", 4),
    ("FAQ", 10),
];

/// A row of the list.
struct Row {
    rule: String,
    files: Vec<String>,
    tests: Vec<String>,
    remark: String,
}

/// Where the package lies.
pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// What stands between backquotes.
pub fn quoted(cell: &str) -> Vec<String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// The rows of a list of the documentation that begin with such a cell, each with so many cells.
pub fn rows_of(list: &str, cells: usize, is_first: impl Fn(&str) -> bool) -> Vec<Vec<String>> {
    let list = fs::read_to_string(root().join(list)).unwrap();
    let rows = list.lines().filter(|line| line.starts_with("| "));
    let rows = rows.map(|row| row.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>());
    let rows: Vec<_> = rows.filter(|row| is_first(&row[0])).collect();
    assert!(rows.iter().all(|row| row.len() == cells), "a row of {cells} cells has another number of them");
    rows
}

fn rows() -> Vec<Row> {
    let is_rule = |cell: &str| cell.rsplit_once('-').is_some_and(|(family, _)| FAMILIES.iter().any(|f| f.0 == family));
    let row = |cells: Vec<String>| Row {
        rule: cells[0].clone(),
        files: quoted(&cells[1]),
        tests: quoted(&cells[2]),
        remark: cells[3].clone(),
    };
    rows_of("docs/rules.md", 4, is_rule).into_iter().map(row).collect()
}

#[test]
fn every_rule_of_the_families_has_one_row() {
    let mut listed = BTreeMap::new();
    for row in rows() {
        *listed.entry(row.rule).or_insert(0) += 1;
    }
    let known = FAMILIES.iter().flat_map(|(family, count)| (1..=*count).map(move |n| (format!("{family}-{n:02}"), 1)));
    assert_eq!(listed, known.collect());
}

#[test]
fn a_rule_is_enforced_and_shown_or_its_row_says_why_not() {
    for Row { rule, files, tests, remark } in rows() {
        match (files.is_empty(), tests.is_empty()) {
            (false, false) => {}
            (true, true) => assert!(remark.len() >= 20, "{rule} has neither file nor test, nor a reason for that"),
            _ => panic!("{rule}: name both the file that enforces it and the test that shows it, or neither"),
        }
    }
}

#[test]
fn the_files_that_are_named_cite_the_rule() {
    for Row { rule, files, .. } in rows() {
        for file in files {
            let text = fs::read_to_string(root().join(&file)).unwrap_or_else(|_| panic!("{rule}: there is no {file}"));
            assert!(cites(&text, &rule), "{file} does not cite {rule}");
        }
    }
}

/// Whether a text names the rule, also within a range such as `PRICE-01 to PRICE-29`.
fn cites(text: &str, rule: &str) -> bool {
    let (family, number) = rule.rsplit_once('-').unwrap();
    let number: usize = number.parse().unwrap();
    let begin = format!("{family}-");
    let mut ranges = text.match_indices(&begin).filter_map(|(place, _)| {
        let rest = &text[place + family.len() + 1..];
        let first: usize = rest.get(..2)?.parse().ok()?;
        let last = rest[2..].strip_prefix(&format!(" to {family}-")).and_then(|rest| rest.get(..2)?.parse().ok());
        Some(first..=last.unwrap_or(first))
    });
    ranges.any(|range| range.contains(&number))
}

#[test]
fn the_tests_that_are_named_exist() {
    let known = known_tests();
    let clients = fs::read_to_string(root().join("tests/clients/suites/products.py")).unwrap();
    for Row { rule, tests, .. } in rows() {
        for test in tests {
            let exists = match test.strip_prefix("clients::") {
                Some(step) => clients.contains(&format!("def {step}(")),
                None => known.contains(&test),
            };
            assert!(exists, "{rule}: there is no test {test}");
        }
    }
}

/// The tests of this package, as `module::function`; unit tests begin with `chancery::`.
pub fn known_tests() -> BTreeSet<String> {
    let mut known = BTreeSet::new();
    for (directory, prefix) in [("tests/it", ""), ("src", "chancery::")] {
        collect(&root().join(directory), &root().join(directory), prefix, &mut known);
    }
    known
}

/// The tests of all files below a directory as `module::function`.
fn collect(directory: &Path, root: &Path, prefix: &str, known: &mut BTreeSet<String>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, root, prefix, known);
            continue;
        }
        if path.extension().is_none_or(|ending| ending != "rs") {
            continue;
        }
        let module = path.strip_prefix(root).unwrap().with_extension("");
        let module = module.to_str().unwrap().replace('/', "::");
        let module = module.trim_end_matches("::mod").trim_end_matches("::tests");
        let text = fs::read_to_string(&path).unwrap();
        let mut is_test = false;
        for line in text.lines().map(str::trim) {
            let name = ["async fn ", "fn "].iter().find_map(|begin| line.strip_prefix(begin)?.split('(').next());
            match name {
                Some(name) if is_test => drop(known.insert(format!("{prefix}{module}::{name}"))),
                _ => {}
            }
            // Attributes stand right above the function; inside proptest! too.
            is_test = line.starts_with("#[test]")
                || line.starts_with("#[tokio::test")
                || (is_test && (line.starts_with("#[") || line.starts_with("//")));
        }
    }
}
