//! The invariants of the house that the compiler does not know, asserted by reading the sources.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// A file below `src/`.
struct Source {
    /// Its path below `src/`, with slashes.
    path: String,
    text: String,
    /// The text without comments and without unit tests; empty for a file of tests.
    code: String,
}

impl Source {
    /// The top-level module that it belongs to.
    fn module(&self) -> &str {
        self.path.split('/').next().unwrap().trim_end_matches(".rs")
    }

    /// `path:line: code` of each line of code in which `test` finds something.
    fn lines_where(&self, test: impl Fn(&str) -> bool) -> Vec<String> {
        let found = self.code.lines().enumerate().filter(|(_, line)| test(line));
        found.map(|(number, line)| format!("{}:{}: {}", self.path, number + 1, line.trim())).collect()
    }
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn files_below(directory: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(directory) else { return };
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() { files_below(&path, found) } else { found.push(path) }
    }
}

fn sources() -> Vec<Source> {
    let src = root().join("src");
    let mut paths = Vec::new();
    files_below(&src, &mut paths);
    paths.retain(|path| path.extension().is_some_and(|ending| ending == "rs"));
    paths.sort();
    let texts: Vec<(PathBuf, String)> =
        paths.into_iter().map(|path| (path.clone(), fs::read_to_string(path).unwrap())).collect();
    let tests: BTreeSet<PathBuf> = texts.iter().flat_map(|(path, text)| test_modules(path, text)).collect();
    let is_test = |path: &Path| path.ancestors().any(|above| tests.contains(&above.with_extension("")));
    let read = |(path, text): (PathBuf, String)| {
        let code = if is_test(&path) { String::new() } else { without_tests(&without_comments(&text)) };
        let path = path.strip_prefix(&src).unwrap().to_str().unwrap().replace('\\', "/");
        Source { path, text, code }
    };
    texts.into_iter().map(read).collect()
}

/// Where the modules are that a file declares as `#[cfg(test)] mod name;`, without `.rs`.
fn test_modules(path: &Path, text: &str) -> Vec<PathBuf> {
    let directory = match path.file_stem().and_then(|stem| stem.to_str()) {
        Some("mod" | "lib" | "main") => path.parent().unwrap().to_owned(),
        _ => path.with_extension(""),
    };
    let lines: Vec<&str> = text.lines().collect();
    let declared = lines.windows(2).filter(|pair| pair[0].trim() == "#[cfg(test)]");
    let name = |pair: &[&str]| pair[1].trim().strip_prefix("mod ")?.strip_suffix(';').map(str::to_owned);
    declared.filter_map(name).map(|name| directory.join(name)).collect()
}

/// Everything before the unit tests, which stand last in a file.
fn without_tests(code: &str) -> String {
    let end = code.find("\n#[cfg(test)]\nmod ").unwrap_or(code.len());
    code[..end].to_owned()
}

/// The text with comments blanked, strings and line numbers kept.
fn without_comments(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = if rest.starts_with("//") {
            let end = rest.find('\n').unwrap_or(rest.len());
            rest = &rest[end..];
            continue;
        } else if rest.starts_with("'\"'") || rest.starts_with("b'\"'") {
            rest.find("\"'").unwrap() + 2
        } else if let Some((hashes, start)) = raw_string(rest) {
            let end = format!("\"{hashes}");
            start + rest[start..].find(&end).unwrap() + end.len()
        } else if first == '"' {
            string_length(rest)
        } else {
            first.len_utf8()
        };
        code.push_str(&rest[..length]);
        rest = &rest[length..];
    }
    code
}

/// For `r"`, `r#"`, `br##"` and so on: the hashes, and where the content begins.
fn raw_string(text: &str) -> Option<(String, usize)> {
    let after = text.strip_prefix("br").or_else(|| text.strip_prefix('r'))?;
    let hashes: String = after.chars().take_while(|c| *c == '#').collect();
    after[hashes.len()..].starts_with('"').then(|| (hashes.clone(), text.len() - after.len() + hashes.len() + 1))
}

fn string_length(text: &str) -> usize {
    let mut escaped = false;
    for (place, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return place + 1,
            _ => {}
        }
    }
    text.len()
}

/// The top-level modules that code names: `crate::a::b`, `crate::{a, b::{c, d}}`.
fn named_modules(code: &str) -> BTreeSet<String> {
    let ident = |text: &str| text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let mut named = BTreeSet::new();
    for (place, _) in code.match_indices("crate::") {
        let after = &code[place + "crate::".len()..];
        let Some(group) = after.strip_prefix('{') else {
            named.insert(ident(after));
            continue;
        };
        let mut depth = 0;
        let mut expects_name = true;
        for (place, c) in group.char_indices() {
            match c {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => expects_name = true,
                c if depth == 0 && expects_name && !c.is_whitespace() => {
                    named.insert(ident(&group[place..]));
                    expects_name = false;
                }
                _ => {}
            }
        }
    }
    named.remove("");
    named
}

fn assert_none(found: &[String], rule: &str) {
    assert!(found.is_empty(), "{rule}:\n{}", found.join("\n"));
}

/// Which module may name which others. ARCHITECTURE.md says why.
const MAY_NAME: &[(&str, &[&str])] = &[
    ("domain", &[]),
    ("clock", &["domain"]),
    ("telemetry", &[]),
    ("policy", &["domain"]),
    ("actor", &[]),
    ("store", &["actor", "domain", "clock", "telemetry"]),
    ("paper", &["domain"]),
    ("post", &["domain", "telemetry"]),
    ("va", &["domain", "telemetry"]),
    ("ca", &["domain", "telemetry"]),
    ("ra", &["actor", "domain", "clock", "telemetry", "policy", "store", "va", "ca", "paper", "post"]),
    ("http", &["domain", "telemetry"]),
    ("acme", &["actor", "domain", "telemetry", "http", "ra"]),
    ("api", &["actor", "domain", "telemetry", "http", "ra", "policy"]),
    ("console", &["domain", "telemetry", "http", "ra", "policy"]),
    ("pki", &["domain", "telemetry", "http", "ra"]),
    ("perspective", &["domain", "telemetry", "va"]),
    ("config", &["domain", "telemetry", "http", "ra", "policy", "store", "va", "ca", "acme", "post", "perspective"]),
    (
        "app",
        &[
            "domain",
            "clock",
            "telemetry",
            "config",
            "http",
            "ra",
            "policy",
            "store",
            "va",
            "ca",
            "post",
            "acme",
            "api",
            "console",
            "pki",
            "perspective",
        ],
    ),
    ("cli", &["app", "ca", "clock", "config", "domain", "store", "telemetry"]),
    ("main", &["cli"]),
    ("lib", &[]),
    // For the fuzzer and the tests alone.
    ("fuzzing", &["acme", "ca", "domain", "paper", "policy", "va"]),
];

#[test]
fn modules_name_only_what_lies_below_them() {
    let allowed: BTreeMap<&str, &[&str]> = MAY_NAME.iter().copied().collect();
    let mut found = Vec::new();
    for source in sources() {
        let module = source.module();
        let Some(allowed) = allowed.get(module) else {
            found.push(format!("{} is of a module without rules; add it to MAY_NAME", source.path));
            continue;
        };
        for named in named_modules(&source.code) {
            if named != module && !allowed.contains(&named.as_str()) {
                found.push(format!("{} names {named}", source.path));
            }
        }
    }
    assert_none(&found, "these files name modules that they must not know");
}

#[test]
fn the_domain_neither_waits_nor_reads_nor_writes() {
    let found = sources()
        .iter()
        .filter(|source| matches!(source.module(), "domain" | "policy"))
        .flat_map(|source| {
            source.lines_where(|line| {
                ["async ", ".await", "tokio::", "std::fs", "TcpStream", "UdpSocket"].iter().any(|w| line.contains(w))
            })
        })
        .collect::<Vec<_>>();
    assert_none(&found, "domain and policy are pure");
}

/// Words of code that only some files may hold.
const KEPT_IN: &[(&str, &[&str])] = &[
    (".commit(", &["ra/", "store/", "store.rs"]),
    ("urn:ietf:params:acme", &["acme/", "http/refusal.rs"]),
    ("Jws", &["acme/"]),
    ("jws::", &["acme/"]),
    ("SystemTime::now", &["clock.rs"]),
    ("now_utc", &["clock.rs"]),
    ("now_local", &["clock.rs"]),
    ("Instant::now", &["http/", "telemetry.rs"]),
    ("std::env::", &["config.rs"]),
    ("\"chancery_", &["telemetry.rs"]),
];

#[test]
fn some_words_stay_in_their_place() {
    let mut found = Vec::new();
    for source in sources() {
        for (word, places) in KEPT_IN {
            if !places.iter().any(|place| source.path.starts_with(place)) {
                found.extend(source.lines_where(|line| line.contains(word)));
            }
        }
    }
    assert_none(&found, "these words belong elsewhere (KEPT_IN)");
}

#[test]
fn one_file_each_knows_an_engine_the_resolver_and_the_signature_library() {
    for library in ["sled::", "redb::", "tokio_postgres", "hickory_", "josekit"] {
        // A module of our own may have the library's name; the library itself is never reached through a path.
        let names = |line: &str| {
            line.match_indices(library).any(|(place, _)| {
                let before = line[..place].chars().next_back();
                !before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':') || line[..place].ends_with(" ::")
            })
        };
        let own = library.trim_end_matches("::");
        let files: Vec<String> = sources()
            .iter()
            .filter(|source| !source.lines_where(names).is_empty())
            // `sled::open` in the file that declares `mod sled;` is our own module.
            .filter(|source| !source.code.contains(&format!("mod {own};")))
            .map(|source| source.path.clone())
            .collect();
        assert!(files.len() <= 1, "{library} is named in {files:?}");
    }
}

#[test]
fn nothing_panics_without_a_proof() {
    let mut found = Vec::new();
    for source in sources() {
        found.extend(source.lines_where(|line| {
            [".unwrap()", ".unwrap_err()", "todo!", "unimplemented!", "panic!(", "dbg!("]
                .iter()
                .any(|w| line.contains(w))
        }));
        for (place, _) in source.code.match_indices(".expect(") {
            let argument = source.code[place + ".expect(".len()..].trim_start();
            if !argument.starts_with('"') || string_length(argument) < 22 {
                let line = source.code[..place].lines().count();
                found.push(format!("{}:{line}: expect without a proof of at least 20 characters", source.path));
            }
        }
    }
    assert_none(&found, "a request never reaches a panic; expect says why it can't happen");
}

#[test]
fn files_say_what_they_own_and_are_short() {
    let mut found = Vec::new();
    for source in sources() {
        if !source.text.starts_with("//! ") || source.text.starts_with("//! \n") || source.text.len() < 15 {
            found.push(format!("{} does not begin with a line //! that says what it owns", source.path));
        }
        let lines = source.text.lines().count();
        // One list from top to bottom, in which nobody reads but looks up.
        let most = if source.path == "domain/audit/act.rs" { 700 } else { 500 };
        if lines > most {
            found.push(format!("{} has {lines} lines, more than {most}", source.path));
        }
        found.extend(source.lines_where(|line| line.contains("fn get_")));
    }
    assert_none(&found, "house style");
}

#[test]
fn no_test_is_switched_off_and_no_path_is_of_one_machine() {
    // Spelled so that this file does not find itself.
    let words = ["#[igno", "#[cfg(any())", "/wo", "/ho", "/ro", "/Use"];
    let ends = ["re", "]", "rk/", "me/", "ot/", "rs/"];
    let words: Vec<String> = words.iter().zip(ends).map(|(start, end)| format!("{start}{end}")).collect();
    let mut paths = Vec::new();
    for place in ["src", "tests", "config", "docs", "benches", ".ci", "testdata"] {
        files_below(&root().join(place), &mut paths);
    }
    paths.extend(["README.md", "ARCHITECTURE.md", "Cargo.toml"].map(|name| root().join(name)));
    let mut found = Vec::new();
    for path in paths {
        let Ok(text) = fs::read_to_string(&path) else { continue };
        for (number, line) in text.lines().enumerate() {
            // Only whole paths: a URL may have such a part.
            let names = |word: &String| {
                line.match_indices(word.as_str()).any(|(place, _)| {
                    let before = line[..place].chars().next_back();
                    !before.is_some_and(|c| c.is_alphanumeric() || "._-~}".contains(c))
                })
            };
            if words.iter().any(names) {
                found.push(format!("{}:{}: {}", path.display(), number + 1, line.trim()));
            }
        }
    }
    assert_none(&found, "switched-off tests, or paths of one machine");
}

#[test]
fn every_metric_is_written_somewhere() {
    let sources = sources();
    let list = sources.iter().find(|source| source.path == "telemetry.rs").unwrap();
    let names: Vec<&str> = list
        .code
        .lines()
        .filter_map(|line| line.trim().split_once(" = "))
        .filter(|(_, rest)| ["Counter ", "Gauge ", "Seconds "].iter().any(|kind| rest.starts_with(kind)))
        .map(|(name, _)| name)
        .collect();
    assert!(!names.is_empty());
    for name in names {
        let used = sources.iter().any(|source| source.path != "telemetry.rs" && source.code.contains(name));
        assert!(used, "{name} is in the list of metrics, and nothing writes it");
    }
}

#[test]
fn the_readers_of_this_file_work() {
    let code =
        "use crate::{a, b::{c, d}, e};\nuse crate::f::g; // crate::h\nlet x = \"// crate::i\"; let y = '\"'; // z";
    let named = named_modules(&without_comments(code)).into_iter().collect::<Vec<_>>();
    assert_eq!(named, ["a", "b", "e", "f", "i"]);
    assert_eq!(without_comments("r#\"a // \" b\"# // c"), "r#\"a // \" b\"# ");
    assert_eq!(without_comments("\"\\\"//\" // c"), "\"\\\"//\" ");
}
