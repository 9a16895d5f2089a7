//! Tests of the configuration and of the files that are shipped with it.

use std::collections::{BTreeMap, BTreeSet};

use super::*;

#[test]
fn the_shipped_file_says_the_defaults() {
    let config = Config::parse(BUILT_IN, "chancery.toml").unwrap();
    let config = Config { digest: None, written: BTreeMap::new(), ..config };
    assert_eq!(format!("{config:?}"), format!("{:?}", Config::default()));
    assert!(Config::default().check().is_empty());
}

/// Serde lists the keys that it knows when it meets one that it does not.
fn keys_of(section: &str) -> Vec<String> {
    let text = format!("{}no-such-key = 1", if section.is_empty() { String::new() } else { format!("[{section}]\n") });
    let error = toml::from_str::<Config>(&text).unwrap_err();
    error.message().split('`').skip(1).step_by(2).skip(1).map(str::to_owned).collect()
}

#[test]
fn the_shipped_file_shows_every_key() {
    let mut written = BTreeSet::new();
    let mut section = String::new();
    for line in BUILT_IN.lines() {
        let line = line.strip_prefix('#').unwrap_or(line);
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            section = name.to_owned();
        } else if let Some((key, _)) = line.split_once(" = ")
            && key.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        {
            written.insert(format!("{section}.{key}"));
        }
    }
    let mut known = BTreeSet::from(["validation.localhost_names".to_owned(), "acme.website".to_owned()]);
    let mut sections = keys_of("");
    assert!(sections.len() > 8, "{sections:?}");
    let tables = ["tls", "smtp", "perspectives", "pkcs11"];
    sections.extend(["server.tls", "notices.smtp", "validation.perspectives", "ca.pkcs11"].map(str::to_owned));
    for section in sections {
        let keys = keys_of(&section);
        let plain = keys.into_iter().filter(|key| !tables.contains(&key.as_str()));
        known.extend(plain.map(|key| format!("{section}.{key}")));
    }
    assert_eq!(written, known);
}

#[test]
fn the_shipped_files_are_in_order() {
    // Cargo runs tests in the package's directory, which the files' paths are relative to.
    for file in ["config/chancery.toml", "config/internal-pki.toml", "config/pebble.toml"] {
        Config::load(Some(Path::new(file))).unwrap().load_catalog().unwrap();
    }
}

#[test]
fn every_fault_is_told_with_its_line() {
    let text = "\
[server]
listen = \"nowhere\"
public_url = \"http://localhost\"
colour = \"green\"

[server.tls]
certificate = \"a.pem\"

[validation]
localhost_names = 7
http_port = 70000

[nonsense]
a = 1
";
    let faults = Config::parse(text, "x.toml").unwrap_err();
    let mut told = faults.iter().map(|fault| (fault.line.unwrap(), fault.key.as_str())).collect::<Vec<_>>();
    told.sort_unstable();
    let expected = [
        (2, "server.listen"),
        (4, "server.colour"),
        (6, "server.tls"),
        (10, "validation.localhost_names"),
        (11, "validation.http_port"),
        (13, "nonsense"),
    ];
    assert_eq!(told, expected, "{faults:#?}");
    assert!(faults.iter().all(|fault| fault.file == "x.toml" && !fault.reason.is_empty()));
}

#[test]
fn values_are_judged_too() {
    let text = "\
[server]
public_url = \"http://localhost\"
max_body_bytes = 1
[pki]
listen = \"127.0.0.1:14000\"
public_url = \"https://localhost\"
[store]
engine = \"postgres\"
[acme]
order_days = 0
website = \"example\"
[ca]
country = \"China\"
issuers = [\"a\", \"a\"]
[log]
level = \"loud=very\"
";
    let faults = Config::parse(text, "x.toml").unwrap_err();
    let told = faults.iter().map(|fault| (fault.line, fault.key.as_str())).collect::<Vec<_>>();
    let expected = [
        (Some(2), "server.public_url"),
        (Some(3), "server.max_body_bytes"),
        (Some(6), "pki.public_url"),
        (None, "monitor.listen"),
        (Some(8), "store.engine"),
        (Some(7), "store.url"),
        (Some(11), "acme.website"),
        (Some(10), "acme.order_days"),
        (Some(13), "ca.country"),
        (Some(14), "ca.issuers"),
        (Some(16), "log.level"),
    ];
    assert_eq!(told, expected, "{faults:#?}");
}

#[test]
fn text_that_is_no_toml_is_refused_with_its_line() {
    let faults = Config::parse("[server]\nlisten = \n", "x.toml").unwrap_err();
    assert_eq!(faults[0].line, Some(2));
    assert!(faults[0].to_string().starts_with("x.toml:2: "), "{}", faults[0]);
}

#[test]
fn passwords_are_not_shown() {
    let mut config = Config::default();
    config.store.url = Some("postgres://u:hush@h/d".to_owned());
    assert!(!format!("{config:?}").contains("hush"));
}

#[test]
fn a_public_url_on_this_machine_follows_the_listener() {
    for (url, follows) in [
        ("https://localhost:14000", "https://localhost:15000"),
        ("https://127.0.0.1:14000", "https://127.0.0.1:15000"),
        ("https://localhost:9999", "https://localhost:9999"),
        ("https://acme.example:14000", "https://acme.example:14000"),
    ] {
        let mut config = Config::default();
        config.server.public_url = url.to_owned();
        config.listen_at(loopback(15000));
        assert_eq!(config.server.public_url, follows);
    }
}

#[test]
fn localhost_is_this_machine_only_for_a_server_that_only_this_machine_reaches() {
    let knows = |listen: &str, rule| {
        let mut config = Config { localhost_names: rule, ..Config::default() };
        config.listen_at(listen.parse().unwrap());
        config.validation_settings().static_names.contains_key("localhost")
    };
    assert!(knows("127.0.0.1:1", LocalhostNames::Auto));
    assert!(knows("[::1]:1", LocalhostNames::Auto));
    assert!(!knows("0.0.0.0:1", LocalhostNames::Auto));
    assert!(knows("0.0.0.0:1", LocalhostNames::Yes));
    assert!(!knows("127.0.0.1:1", LocalhostNames::No));
}

#[test]
fn lists_of_weak_keys_are_read_together_and_their_faults_name_the_file_and_the_line() {
    let directory = tempfile::TempDir::new().unwrap();
    let file = |name: &str, text: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let (good, other) = (file("good", "0123456789abcdef0123\n"), file("other", &"ab".repeat(32)));
    let (bad, worse) = (file("bad", "# fine\n0123\n"), file("worse", "x\ny\n"));
    let load = |files: &[&PathBuf]| {
        let mut config = Config::default();
        config.catalog.weak_keys = files.iter().map(|file| (*file).clone()).collect();
        config
            .load_catalog()
            .map(|read| read.catalog)
            .map_err(|faults| faults.iter().map(Fault::to_string).collect::<Vec<_>>())
    };
    assert!(load(&[]).unwrap().weak_keys().is_empty());
    let (one, both) = (load(&[&good]).unwrap(), load(&[&good, &other, &good]).unwrap());
    assert!(!one.weak_keys().is_empty() && one.weak_keys() != both.weak_keys());
    assert_eq!(one.weak_keys().clone().merge(load(&[&other]).unwrap().weak_keys().clone()), *both.weak_keys());
    let missing = directory.path().join("missing");
    let faults = load(&[&good, &bad, &missing, &worse]).unwrap_err();
    let begins =
        |place: usize, path: &Path, rest: &str| faults[place].starts_with(&format!("{}:{rest}", path.display()));
    assert_eq!(faults.len(), 4, "{faults:#?}");
    assert!(begins(0, &bad, "2: \"0123\"") && begins(1, &missing, " the file cannot be read"), "{faults:#?}");
    assert!(begins(2, &worse, "1: \"x\"") && begins(3, &worse, "2: \"y\""), "{faults:#?}");
}

const SHIPPED_PERSPECTIVE: &str = include_str!("../../config/perspective.toml");

#[test]
fn the_shipped_file_of_a_perspective_shows_every_key_and_the_defaults() {
    let config = PerspectiveConfig::parse(SHIPPED_PERSPECTIVE, "perspective.toml").unwrap();
    assert_eq!(format!("{:?}", config.validation), format!("{:?}", va::Settings::default()));
    assert_eq!(config.log, telemetry::Settings::default());
    let without = SHIPPED_PERSPECTIVE.replace("max_questions = 256\n", "");
    assert_eq!(PerspectiveConfig::parse(&without, "").unwrap().perspective, config.perspective);
    assert!(config.monitor.is_none());
    let shipped = SHIPPED_PERSPECTIVE.replace("#[monitor]", "[monitor]").replace("#listen = ", "listen = ");
    let monitor = PerspectiveConfig::parse(&shipped, "").unwrap().monitor.unwrap();
    assert_eq!(monitor.listen, super::Monitor::default().listen);
    let fault =
        PerspectiveConfig::parse(&shipped.replace("0.0.0.0:14443", "127.0.0.1:14090"), "").unwrap_err().remove(0);
    assert_eq!(fault.key, "monitor.listen");
    for section in ["perspective", "validation", "log"] {
        let text = format!("{SHIPPED_PERSPECTIVE}\n")
            .replace(&format!("[{section}]\n"), &format!("[{section}]\nunknown = 1\n"));
        let error = toml::from_str::<PerspectiveConfig>(&text).unwrap_err();
        let known: Vec<&str> = error.message().split('`').skip(1).step_by(2).skip(1).collect();
        assert!(known.len() > 1, "{error}");
        for key in known.into_iter().filter(|key| *key != "perspectives") {
            let shown = |line: &str| line.trim_start_matches('#').starts_with(&format!("{key} = "));
            assert!(SHIPPED_PERSPECTIVE.lines().any(shown), "{section}.{key}");
        }
    }
}

#[test]
fn faults_of_a_perspective_are_told_with_their_lines() {
    let text = "\
[perspective]
listen = \"127.0.0.1:0\"
name = \"Frankfurt am Main\"
region = \"ripe-ncc\"
certificate = \"none.pem\"
key = \"none.key\"
ca = \"none.pem\"
max_questions = 0
[validation]
http_port = 0
[validation.perspectives]
mode = \"log\"
";
    let faults = PerspectiveConfig::parse(text, "x.toml").unwrap_err();
    let told = faults.iter().map(|fault| (fault.line.unwrap(), fault.key.as_str())).collect::<Vec<_>>();
    let expected = [
        (3, "perspective.name"),
        (8, "perspective.max_questions"),
        (10, "validation.http_port"),
        (11, "validation.perspectives"),
    ];
    assert_eq!(told, expected, "{faults:#?}");
    let elsewhere = text.replace("ripe-ncc", "europe");
    let fault = PerspectiveConfig::parse(&elsewhere, "x.toml").unwrap_err().remove(0);
    assert_eq!((fault.line, fault.key.as_str()), (Some(4), "perspective.region"));
    let faults = PerspectiveConfig::parse("[perspective]\n", "x.toml").unwrap_err();
    assert!(faults[0].reason.contains("missing field"), "{faults:?}");
}

#[test]
fn perspectives_that_can_be_no_quorum_are_told_with_their_lines() {
    let text = "\
[validation.perspectives]
mode = \"enforce\"
remotes = [{ name = \"a\", url = \"https://a.example\", region = \"arin\" }, { name = \"b\", url = \"https://b.example\", region = \"arin\" }]
ca = \"a.pem\"
certificate = \"b.pem\"
key = \"c.pem\"
allowed_failures = 2
";
    let faults = Config::parse(text, "x.toml").unwrap_err();
    let told = faults.iter().map(|fault| (fault.line, fault.key.as_str())).collect::<Vec<_>>();
    let expected =
        [(Some(7), "validation.perspectives.allowed_failures"), (Some(3), "validation.perspectives.remotes")];
    assert_eq!(told, expected, "{faults:#?}");
    // In order as far as values go: then the files are missed.
    let text = text.replace("allowed_failures = 2", "").replace("region = \"arin\" }]", "region = \"apnic\" }]");
    let config = Config::parse(&text, "x.toml").unwrap();
    let fault = config.check_perspective_files().unwrap_err().remove(0);
    assert_eq!((fault.file.as_str(), fault.key.as_str()), ("a.pem", "validation.perspectives.ca"));
    assert!(fault.reason.contains("cannot be read"), "{fault}");
    assert_eq!(Config::default().check_perspective_files(), Ok(()));
}

#[test]
fn a_ceiling_of_validity_that_the_catalogue_exceeds_is_told_at_the_start() {
    let mut config = Config::default();
    assert!(config.load_catalog().is_ok());
    config.ca.validity_schedule = crate::ca::Schedule::BaselineRequirements;
    let faults = config.load_catalog().unwrap_err();
    assert!(faults[0].to_string().contains("settings.validity_schedule"), "{}", faults[0]);
    config.ca.private = true;
    assert!(config.load_catalog().is_ok());
}
