//! What the audit log says of the server itself: when it started and stopped, what it ran on, and what changed.

use std::path::Path;
use std::sync::Arc;

use chancery::app;
use chancery::clock::SystemClock;
use chancery::config::Config;
use chancery::domain::audit::Act;
use chancery::store::records::Records;
use tempfile::TempDir;

use crate::documents::{CATALOG, NAMES};
use crate::support::world::unlocked;

fn configuration(directory: &Path, more: &str) -> Config {
    let at = |name: &str| directory.join(name).display().to_string();
    let text = format!(
        "[server]\nlisten = \"127.0.0.1:0\"\npublic_url = \"https://localhost:0\"\ndata_dir = \"{}\"\n[pki]\n\
         listen = \"127.0.0.1:0\"\npublic_url = \"http://localhost:0\"\n[monitor]\nlisten = \"127.0.0.1:0\"\n[ca]\n\
         rsa_issuers = false\n[catalog]\nproducts = \"{}\"\nnames = \"{}\"\n{more}",
        at("data"),
        at("catalog.toml"),
        at("names.toml")
    );
    Config::parse(&text, "chancery.toml").unwrap()
}

fn sha256(text: &str) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
    digest.as_ref().iter().map(|octet| format!("{octet:02x}")).collect()
}

/// The acts that concern the server itself, in the order in which they were committed.
async fn acts(config: &Config) -> Vec<Act> {
    let records = Records::new(unlocked(|| chancery::store::open(&config.store_settings()).map_err(Into::into)).await);
    let ids: Vec<Vec<u8>> = records.audit(None, 10_000).await.unwrap().into_iter().map(|(id, _)| id).collect();
    let events = records.audit_rows(ids).await.unwrap();
    events.into_iter().map(|(_, event)| event.act).collect()
}

/// What was told of changes: the thing, and whether it was there before and is now.
fn changes(acts: &[Act]) -> Vec<Vec<(String, bool, bool)>> {
    let told = acts.iter().filter_map(|act| match act {
        Act::ConfigurationChanged { what } => Some(what),
        _ => None,
    });
    told.map(|what| {
        what.iter().map(|one| (one.what.clone(), one.before.is_some(), one.after.is_some())).collect::<Vec<_>>()
    })
    .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn start_and_stop_and_every_change_of_what_the_server_runs_on_are_logged() {
    let directory = TempDir::new().unwrap();
    let write = |name: &str, text: &str| std::fs::write(directory.path().join(name), text).unwrap();
    let name = |name: &str| directory.path().join(name).display().to_string();
    write("catalog.toml", CATALOG);
    write("names.toml", NAMES);
    let config = configuration(directory.path(), "");
    for _ in 0..2 {
        app::start(config.clone(), Arc::new(SystemClock)).await.unwrap().stop().await.unwrap();
    }
    let told = acts(&config).await;
    let started: Vec<_> = told
        .iter()
        .filter_map(|act| match act {
            Act::ServerStarted(state) => Some(state),
            _ => None,
        })
        .collect();
    assert_eq!(started.len(), 2);
    assert_eq!(started[0], started[1]);
    assert_eq!(started[0].version, env!("CARGO_PKG_VERSION"));
    let digests = &started[0].digests;
    assert_eq!(digests[&name("catalog.toml")], sha256(CATALOG));
    assert_eq!(digests[&name("names.toml")], sha256(NAMES));
    assert_eq!(digests["chancery.toml"].len(), 64);
    assert_eq!(digests["key chancery"].len(), 40);
    assert!(matches!(told.last(), Some(Act::ServerStopped {})), "{told:?}");
    assert_eq!(told.iter().filter(|act| matches!(act, Act::ServerStopped {})).count(), 2);
    assert!(told.iter().any(|act| matches!(act, Act::OwnCertificateSigned { sha256, .. } if sha256.len() == 64)));
    assert!(changes(&told).is_empty(), "nothing changed");

    // While it runs, and while it does not.
    let running = app::start(config.clone(), Arc::new(SystemClock)).await.unwrap();
    let changed = NAMES.replacen("words = [", "words = [\n  \"zebra\",", 1);
    write("names.toml", &changed);
    running.reload().await.unwrap();
    running.reload().await.unwrap();
    running.stop().await.unwrap();
    let other = configuration(directory.path(), "weak_keys = []\n");
    write("names.toml", NAMES);
    app::start(other.clone(), Arc::new(SystemClock)).await.unwrap().stop().await.unwrap();
    let told = acts(&other).await;
    let of = |what: &str| (what.to_owned(), true, true);
    let new = ("catalog.weak_keys".to_owned(), false, true);
    assert_eq!(
        changes(&told),
        [vec![of(&name("names.toml"))], vec![of(&name("names.toml")), new, of("chancery.toml")]]
    );
    let text = format!("{told:?}");
    assert!(text.contains(&sha256(&changed)), "the digest of what was in force is told");
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_the_operators_token_and_the_files_that_are_trusted_are_told_when_they_changed() {
    let directory = TempDir::new().unwrap();
    let place = |name: &str| directory.path().join(name);
    let write = |name: &str, text: &str| std::fs::write(place(name), text).unwrap();
    write("catalog.toml", CATALOG);
    write("names.toml", NAMES);
    write("ca.pem", "one");
    let with = |tries: u32| {
        let ca = place("ca.pem").display().to_string();
        let more = format!("[acme]\nvalidation_tries = {tries}\n[validation.perspectives]\nca = \"{ca}\"\n");
        configuration(directory.path(), &more)
    };
    let run = async |config: &Config| {
        let running = app::start(config.clone(), Arc::new(SystemClock)).await.unwrap();
        // What the catalogue is read from is looked at anew, and the rest is what it was.
        running.reload().await.unwrap();
        running.stop().await.unwrap();
    };
    run(&with(2)).await;
    let token = "f".repeat(64);
    write("data/operator.token", &token);
    write("ca.pem", "other");
    run(&with(3)).await;
    let told = acts(&with(3)).await;
    let all: Vec<_> = told
        .iter()
        .filter_map(|act| match act {
            Act::ConfigurationChanged { what } => Some(what),
            _ => None,
        })
        .collect();
    assert_eq!(all.len(), 1, "{all:#?}");
    let before_and_after = |what: &str| {
        let found = all[0].iter().find(|change| change.what == what).unwrap_or_else(|| panic!("{what}: {all:#?}"));
        (found.before.clone().unwrap(), found.after.clone().unwrap())
    };
    assert_eq!(before_and_after("acme.validation_tries"), ("2".to_owned(), "3".to_owned()));
    assert_eq!(before_and_after(&place("ca.pem").display().to_string()), (sha256("one"), sha256("other")));
    assert_eq!(before_and_after("operator.token").1, sha256(&token));
    assert_eq!(before_and_after("chancery.toml").1.len(), 64);
    assert_eq!(all[0].len(), 4, "{all:#?}");
    assert!(!format!("{told:?}").contains(&token));
}
