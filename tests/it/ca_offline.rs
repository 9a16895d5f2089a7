//! What a server with an offline root never does, and what ceremonies refuse to do to one.

use std::fs::{self, File, FileTimes};
use std::path::Path;
use std::time::Duration;

use chancery::ca::{Ca, Settings};
use chancery::config::Config;
use chancery::domain::certificate::RevocationReason;
use tempfile::TempDir;

use crate::acme_tools::{DAY, has_parts};
use crate::ca_ceremony::{
    NOON, Place, Rite, fetch, files, names, offline_world, refused, said, serve, server_sections,
};
use crate::ca_tools::PKI;
use crate::support::target::Target;

/// Writes other content of the same length into a file, which then looks as old as before.
fn disguise(path: &Path, content: &[u8]) {
    let written = fs::metadata(path).unwrap().modified().unwrap();
    fs::write(path, content).unwrap();
    File::options().write(true).open(path).unwrap().set_times(FileTimes::new().set_modified(written)).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_is_read_when_its_file_changed_and_no_other_shard_is_looked_for() {
    let (world, rite) = offline_world().await;
    let path = rite.keys.join("root.crl");
    let list = fs::read(&path).unwrap();
    assert_eq!(fetch(&world, "/crl/root/0.crl").await, (200, list.clone()));
    disguise(&path, &vec![0; list.len()]);
    assert_eq!(fetch(&world, "/crl/root/0.crl").await, (200, list.clone()));
    // What changed is verified before anybody gets it.
    fs::write(&path, vec![0; list.len() + 1]).unwrap();
    assert_eq!(fetch(&world, "/crl/root/0.crl").await.0, 500);
    fs::remove_file(&path).unwrap();
    assert_eq!(fetch(&world, "/crl/root/0.crl").await.0, 500);
    assert_eq!(fetch(&world, "/crl/root/1.crl").await.0, 404);
    fs::write(&path, &list).unwrap();
    assert_eq!(fetch(&world, "/crl/root/0.crl").await, (200, list));
}

/// The configuration of a server in a directory, with one issuer.
fn server(directory: &TempDir) -> Config {
    let mut config = Config::default();
    config.ca.issuers = vec!["chancery".to_owned()];
    config.ca.rsa_issuers = false;
    config.server.data_dir = directory.path().join("data");
    config
}

#[test]
fn a_certificate_of_a_ca_is_revoked_for_a_reason_alone() {
    // Baseline Requirements 7.2.2
    let place = Place::new("");
    said(&place.step("all --out @offline --passphrase-file @phrase"));
    let revoke = "crl --root @offline --passphrase-file @phrase --revoke @data/keys/chancery.pem";
    has_parts(&refused(&place.step(revoke)), &["--reason", "7.2.2"]);
    for reason in [0, 2, 6, 9, 77] {
        let told = refused(&place.step(&format!("{revoke} --reason {reason}")));
        has_parts(&told, &[&format!("--reason {reason}"), "1 (", "3 (", "4 (", "5 (", "7.2.2"]);
    }
    let alone = place.step("crl --root @offline --passphrase-file @phrase --reason 4");
    assert_eq!(alone.status.code(), Some(2), "{alone:?}");
    said(&place.step(&format!("{revoke} --reason 5")));
}

#[test]
fn a_list_goes_on_from_the_one_in_place_or_is_not_installed() {
    let here = TempDir::new().unwrap();
    let config = server(&here);
    let rite = Rite::of(&config, NOON);
    rite.all();
    let roots = rite.path("roots");
    let first = fs::read(roots.join("root.crl")).unwrap();
    let sign = |rite: &Rite, revoke: bool| {
        let revoked = [rite.keys.join("chancery.pem")];
        let revoked = if revoke { &revoked[..] } else { &[] };
        rite.ceremony.list(&roots, 1, Some(&rite.passphrase), revoked, RevocationReason::Superseded, 30).unwrap();
    };
    let install = |rite: &Rite| {
        let done = rite.ceremony.install(&rite.keys, &[roots.join("root.crl")]);
        done.err().map(|error| error.to_string())
    };
    let rite = rite.later(&config, NOON + DAY);
    sign(&rite, true);
    assert_eq!(install(&rite), None);
    let installed = fs::read(rite.keys.join("root.crl")).unwrap();
    // Another list of the same number, and a later one, by somebody who went on from an old copy.
    for (moment, parts) in
        [(NOON + DAY, &["older", "same number"][..]), (NOON + 2 * DAY, &["lacks", "revoked", "chancery ceremony crl"])]
    {
        let rite = Rite::of(&config, moment);
        fs::write(roots.join("root.crl"), &first).unwrap();
        sign(&rite, false);
        let why = install(&rite).expect("refused");
        has_parts(&why, &parts[..1]);
        assert!(parts[1..].iter().any(|part| why.contains(part)), "{why}");
        assert_eq!(fs::read(rite.keys.join("root.crl")).unwrap(), installed);
    }
    // Once the certificate has expired nobody asks for it.
    let rite = Rite::of(&config, NOON + 3651 * DAY);
    sign(&rite, false);
    assert_eq!(install(&rite), None);
    // What is in place already may be given again.
    assert_eq!(install(&rite), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_root_is_taken_away_beneath_a_server_that_runs() {
    let web = Target::start().await;
    let place = Place::new(&server_sections(&web));
    let (server, _) = serve(&place, None);
    let told = refused(&place.step("all --out @offline --passphrase-file @phrase"));
    has_parts(&told, &["a server runs", "stop it first"]);
    assert!(place.path("data/keys/root.key").exists() && !place.path("offline").exists());
    // What adds to the keys is done while it runs.
    said(&place.step("request --name chancery --out @requests"));
    drop(server);
    said(&place.step("all --out @offline --passphrase-file @phrase"));
    assert!(!place.path("data/keys/root.key").exists());
}

#[test]
fn a_request_that_is_there_is_taken_up_if_it_is_the_one_meant() {
    let place = Place::new("");
    said(&place.step("request --out @requests"));
    let request = fs::read(place.path("requests/chancery.csr")).unwrap();
    said(&place.step("request --out @requests"));
    assert_eq!(fs::read(place.path("requests/chancery.csr")).unwrap(), request);
    // One of another machine, and a broken one.
    let other = Place::new("");
    said(&other.step("request --out @requests"));
    for theirs in [fs::read(other.path("requests/chancery.csr")).unwrap(), b"broken".to_vec()] {
        fs::write(place.path("requests/chancery.csr"), &theirs).unwrap();
        let told = refused(&place.step("request --out @requests"));
        has_parts(&told, &["chancery.csr is there already", "take it away", "--out"]);
        assert_eq!(fs::read(place.path("requests/chancery.csr")).unwrap(), theirs);
    }
}

#[test]
fn beside_an_offline_root_no_other_root_is_made() {
    let here = TempDir::new().unwrap();
    let config = server(&here);
    let rite = Rite::of(&config, NOON);
    let national = Settings { sm2_issuers: vec!["chancery".to_owned()], ..config.ca.clone() };
    let mut wanted = config.clone();
    wanted.ca = national.clone();
    let open = |settings: &Settings| Ca::open(&rite.keys, settings, PKI, NOON + Duration::from_secs(1));
    let parts = ["sm2_issuers", "no root-sm2.key", "chancery-sm2", "sm2_issuers = []"];
    // A ceremony says so before it makes anything that no server could start with.
    let early = Rite::of(&wanted, NOON);
    fs::create_dir_all(rite.keys.parent().unwrap()).unwrap();
    let why = early.ceremony.all(&rite.keys, &early.path("roots"), &early.passphrase).err().unwrap().to_string();
    has_parts(&why, &parts);
    assert_eq!(files(&rite.keys), names(&[]));
    rite.all();
    let before = files(&rite.keys);
    has_parts(&open(&national).err().unwrap().to_string(), &parts);
    assert_eq!(files(&rite.keys), before);
    open(&config.ca).unwrap();
    // Where the hierarchy was there before, it stays.
    let there = TempDir::new().unwrap();
    let mut config = server(&there);
    config.ca = national.clone();
    let rite = Rite::of(&config, NOON);
    fs::create_dir_all(rite.keys.parent().unwrap()).unwrap();
    Ca::open(&rite.keys, &national, PKI, NOON).unwrap();
    rite.all();
    let ca = Ca::open(&rite.keys, &national, PKI, NOON).unwrap();
    let places: Vec<String> = ca.loaded().into_iter().map(|key| format!("{} {}", key.name, key.place)).collect();
    assert_eq!(places, ["root away", "root-sm2 file", "chancery file", "chancery-sm2 file"]);
}
