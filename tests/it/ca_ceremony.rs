//! Key ceremonies: the commands from nothing to a server without its root's key, and chains while keys roll over.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use chancery::ca::ceremony::{Ceremony, Passphrase, list_faults};
use chancery::ca::{Ca, Settings};
use chancery::clock::{Clock as _, SystemClock};
use chancery::config::Config;
use chancery::domain::Timestamp;
use chancery::domain::certificate::RevocationReason;
use tempfile::TempDir;
use zeroize::Zeroizing;

use crate::acme_tools::{DAY, look};
use crate::ca_tools::{PKI, one_issuer, openssl, pem};
use crate::support::client::{Client, csr};
use crate::support::target::Target;
use crate::support::world::World;
use crate::token_tools::{own_process, private};

pub const PASSPHRASE: &str = "a long phrase of several words";

/// Noon of the day on which the worlds of the tests begin.
pub const NOON: Timestamp = Timestamp::from_secs(1_795_262_400);

/// One product, of the one issuer.
const CATALOG: &str = r#"
[[products]]
id = "any"
title = "Takes names below localhost"
issuer = "chancery"
names = { max = 2 }
keys = ["p-256"]
methods = ["http-01"]
validity_days = 90
validation_reuse_days = 30
caa_identities = ["ca.test"]
"#;

fn chancery(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_chancery"))
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap()
}

#[track_caller]
pub fn said(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[track_caller]
pub fn refused(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    String::from_utf8(output.stderr.clone()).unwrap()
}

pub fn files(directory: &Path) -> BTreeSet<String> {
    let names = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| !name.starts_with("transcript-")).collect()
}

pub fn names(texts: &[&str]) -> BTreeSet<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

/// A place for the files of a ceremony by commands.
pub struct Place {
    directory: TempDir,
}

impl Place {
    pub fn new(config: &str) -> Self {
        let place = Self { directory: TempDir::new().unwrap() };
        let catalog = place.text("catalog.toml");
        let config = format!(
            "[catalog]\nproducts = \"{catalog}\"\n[acme]\ndefault_product = \"any\"\n[ca]\nissuers = [\"chancery\"]\n\
             rsa_issuers = false\n{config}"
        );
        fs::write(place.path("chancery.toml"), config).unwrap();
        fs::write(catalog, CATALOG).unwrap();
        private(&place.path("phrase"), &format!("{PASSPHRASE}\n"));
        place
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    /// Runs a step with the configuration and the data directory of the server. `@` stands for a file of this place.
    pub fn step(&self, line: &str) -> Output {
        let mut arguments = vec!["ceremony".to_owned()];
        arguments.extend(line.split(' ').map(|word| match word.strip_prefix('@') {
            Some(name) => self.text(name),
            None => word.to_owned(),
        }));
        let more = ["--config", "@chancery.toml", "--data-dir", "@data", "--by", "Ann", "--by", "Bob"];
        arguments
            .extend(more.map(|word| word.strip_prefix('@').map_or_else(|| word.to_owned(), |name| self.text(name))));
        chancery(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
    }
}

/// Issues over ACME from a server in a process of its own. Gives the chain, PEM.
async fn issue(url: &str, root: &Path, web: &Target) -> String {
    use instant_acme::{Account, ChallengeType, Identifier, NewAccount, NewOrder, OrderStatus, RetryPolicy};
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let retries = RetryPolicy::new().initial_delay(Duration::from_millis(50));
    let new = NewAccount { contact: &[], terms_of_service_agreed: true, only_return_existing: false };
    let (account, _) = Account::builder_with_root(root).unwrap().create(&new, url.to_owned(), None).await.unwrap();
    let names = [Identifier::Dns("shop.localhost".to_owned())];
    let mut order = account.new_order(&NewOrder::new(&names)).await.unwrap();
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization.unwrap();
        let mut challenge = authorization.challenge(ChallengeType::Http01).unwrap();
        web.serve(&challenge.token, challenge.key_authorization().as_str());
        challenge.set_ready().await.unwrap();
    }
    assert_eq!(order.poll_ready(&retries).await.unwrap(), OrderStatus::Ready);
    let (request, _) = csr(&["shop.localhost"]);
    order.finalize_csr(&request).await.unwrap();
    order.poll_certificate(&retries).await.unwrap()
}

/// A server that does not stay behind, whatever comes of its test.
pub struct Served(std::process::Child);

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts the server of a place, issues from it and stops it. Gives the chain, PEM.
async fn serve_and_issue(place: &Place, web: &Target, environment: Option<PathBuf>) -> String {
    let (_server, url) = serve(place, environment);
    issue(&url, &place.path("data/root.pem"), web).await
}

/// Starts the server of a place. Gives the URL of its directory.
pub fn serve(place: &Place, environment: Option<PathBuf>) -> (Served, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_chancery"));
    command.current_dir(env!("CARGO_MANIFEST_DIR")).stdout(Stdio::piped());
    command.args([
        "--config",
        &place.text("chancery.toml"),
        "--data-dir",
        &place.text("data"),
        "--listen",
        "127.0.0.1:0",
    ]);
    if let Some(conf) = environment {
        command.env("SOFTHSM2_CONF", conf);
    }
    let mut server = Served(command.spawn().unwrap());
    let mut ready = String::new();
    BufReader::new(server.0.stdout.take().unwrap()).read_line(&mut ready).unwrap();
    let url = ready.trim_end().strip_prefix("ready ").unwrap_or_else(|| panic!("not ready: {ready:?}")).to_owned();
    (server, url)
}

pub fn server_sections(web: &Target) -> String {
    format!(
        "[pki]\nlisten = \"127.0.0.1:0\"\n[monitor]\nlisten = \"127.0.0.1:0\"\n[log]\nlevel = \"warn\"\n[validation]\n\
         http_port = {}\nallow_private_addresses = true\n",
        web.port()
    )
}

/// Checks a chain, leaf first, against a root alone.
fn verify(chain: &str, root: &Path) -> Result<String, String> {
    let directory = TempDir::new().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let mut blocks = pem::parse_many(chain).unwrap();
    let leaf = blocks.remove(0);
    fs::write(path("leaf.pem"), pem::encode(&leaf)).unwrap();
    fs::write(path("above.pem"), blocks.iter().map(pem::encode).collect::<String>()).unwrap();
    let root = root.to_str().unwrap();
    let line = [
        "verify",
        "-x509_strict",
        "-no_check_time",
        "-CAfile",
        root,
        "-untrusted",
        &path("above.pem"),
        &path("leaf.pem"),
    ];
    openssl(&line)
}

fn subject(der: &[u8]) -> String {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("one.pem");
    fs::write(&path, pem(der)).unwrap();
    openssl(&["x509", "-in", path.to_str().unwrap(), "-noout", "-subject", "-issuer", "-nameopt", "oneline"]).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_commands_lead_to_a_server_that_never_had_the_roots_key() {
    let web = Target::start().await;
    let place = Place::new(&server_sections(&web));
    // On the offline machine.
    let told = said(&place.step("root --out @offline --passphrase-file @phrase"));
    assert!(told.contains("by:       Ann, Bob") && told.contains("CN=Chancery Root R1"), "{told}");
    assert_eq!(files(&place.path("offline")), names(&["root.crl", "root.key.enc", "root.pem"]));
    let print =
        openssl(&["x509", "-in", &place.text("offline/root.pem"), "-noout", "-fingerprint", "-sha256"]).unwrap();
    let print = print.trim().rsplit('=').next().unwrap().replace(':', "").to_lowercase();
    assert!(told.contains(&print), "{told}\n{print}");
    assert!(refused(&place.step("root --out @offline --passphrase-file @phrase")).contains("holds root already"));
    // The sealed key is one that OpenSSL opens, and with no other passphrase.
    let phrase = format!("file:{}", place.text("phrase"));
    let sealed = place.text("offline/root.key.enc");
    let opened = openssl(&["pkcs8", "-in", &sealed, "-passin", &phrase]).unwrap();
    assert!(opened.contains("BEGIN PRIVATE KEY"));
    assert!(openssl(&["pkcs8", "-in", &sealed, "-passin", "pass:another phrase of words"]).is_err());
    let structure = openssl(&["asn1parse", "-in", &sealed]).unwrap();
    assert!(structure.contains("aes-256-cbc") && structure.contains("scrypt"), "{structure}");
    // On the server, and back.
    said(&place.step("request --out @requests"));
    assert!(!place.path("data/keys/root.key").exists());
    let early = chancery(&[
        "--config",
        &place.text("chancery.toml"),
        "--data-dir",
        &place.text("data"),
        "--listen",
        "127.0.0.1:0",
    ]);
    assert!(refused(&early).contains("chancery ceremony install"));
    said(&place.step("sign --root @offline --passphrase-file @phrase --out @certificates @requests/chancery.csr"));
    let again = place.step("sign --root @offline --passphrase-file @phrase --out @certificates @requests/chancery.csr");
    assert!(refused(&again).contains("already"));
    said(&place.step("install @offline/root.pem @offline/root.crl @certificates"));
    assert_eq!(files(&place.path("data/keys")), names(&["chancery.key", "chancery.pem", "root.crl", "root.pem"]));
    let chain = serve_and_issue(&place, &web, None).await;
    verify(&chain, &place.path("offline/root.pem")).unwrap();
    let above = pem::parse_many(&chain).unwrap().remove(1);
    assert!(subject(above.contents()).contains("CN = Chancery TLS CA 1"));
    // The next list, on which the intermediate stands; it is taken up without anything else.
    let next = "crl --root @offline --passphrase-file @phrase --revoke @certificates/chancery.pem --reason 4 --days 90";
    said(&place.step(next));
    said(&place.step("install @offline/root.crl"));
    let list = ["crl", "-inform", "DER", "-in", &place.text("data/keys/root.crl"), "-noout", "-text"];
    let list = openssl(&list).unwrap();
    assert!(list.contains("Superseded") && list.contains("Signature Algorithm: ecdsa-with-SHA384"), "{list}");
    assert!(refused(&place.step(next)).contains("revoked already"));
    let days = "crl --root @offline --passphrase-file @phrase --days 366";
    assert!(refused(&place.step(days)).contains("1 to 365 days"));
    let check =
        || chancery(&["check-config", "--config", &place.text("chancery.toml"), "--data-dir", &place.text("data")]);
    assert_eq!(said(&check()), "");
    said(&place.step("crl --root @offline --passphrase-file @phrase --days 10"));
    said(&place.step("install @offline/root.crl"));
    let near = check();
    assert!(refused(&near).contains("1 fault"), "{near:?}");
    assert!(String::from_utf8_lossy(&near.stdout).contains("root.crl is good until"), "{near:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_command_does_it_all_with_keys_on_a_token_and_takes_up_what_was_broken_off() {
    let test = "ca_ceremony::one_command_does_it_all_with_keys_on_a_token_and_takes_up_what_was_broken_off";
    let Some(hsm) = own_process(test) else { return };
    let web = Target::start().await;
    let place = Place::new(&(hsm.section() + &server_sections(&web)));
    private(&place.path("short"), "fifteen letters");
    assert!(refused(&place.step("all --out @offline --passphrase-file @short")).contains("at least 16"));
    let told = said(&place.step("all --json --out @offline --passphrase-file @phrase"));
    let told: serde_json::Value = serde_json::from_str(&told).unwrap();
    assert_eq!(told["by"], serde_json::json!(["Ann", "Bob"]));
    let made = |name: &str, what: &str| {
        let all = told["made"].as_array().unwrap();
        all.iter()
            .find(|made| made["name"] == name && made["what"] == what)
            .unwrap_or_else(|| panic!("{name} {what}"))
            .clone()
    };
    assert_eq!(made("chancery", "key")["place"], "token ca-keys");
    assert_eq!(made("chancery", "key")["key_identifier"], made("chancery", "certificate")["key_identifier"]);
    assert_eq!(made("root", "key")["place"], "root.key.enc");
    assert_eq!(files(&place.path("data/keys")), names(&["chancery.pem", "root.crl", "root.pem"]));
    assert_eq!(files(&place.path("offline")), names(&["root.crl", "root.key.enc", "root.pem"]));
    let transcripts = fs::read_dir(place.path("offline")).unwrap().flatten();
    assert_eq!(transcripts.filter(|file| file.file_name().to_str().unwrap().starts_with("transcript-")).count(), 2);
    let chain = serve_and_issue(&place, &web, Some(hsm.conf())).await;
    verify(&chain, &place.path("offline/root.pem")).unwrap();
    // Broken off before the intermediate was certified, and before its list was in place: begun again it ends the same.
    let root = fs::read(place.path("data/keys/root.pem")).unwrap();
    fs::remove_file(place.path("data/keys/chancery.pem")).unwrap();
    fs::remove_file(place.path("data/keys/root.crl")).unwrap();
    private(&place.path("wrong"), "another phrase of several words");
    assert!(refused(&place.step("all --out @offline --passphrase-file @wrong")).contains("does not open"));
    said(&place.step("all --out @offline --passphrase-file @phrase"));
    assert_eq!(fs::read(place.path("data/keys/root.pem")).unwrap(), root);
    assert_eq!(files(&place.path("data/keys")), names(&["chancery.pem", "root.crl", "root.pem", "vault.key"]));
    verify(&serve_and_issue(&place, &web, Some(hsm.conf())).await, &place.path("offline/root.pem")).unwrap();
}

#[test]
fn a_root_that_the_server_made_is_taken_offline() {
    let place = Place::new("alternate_roots = 1\n");
    let keys = place.path("data/keys");
    fs::create_dir(place.path("data")).unwrap();
    let settings = Settings { rsa_issuers: false, alternate_roots: 1, ..one_issuer() };
    let before = Ca::open(&keys, &settings, PKI, SystemClock.now()).unwrap();
    let told = said(&place.step("all --out @offline --passphrase-file @phrase"));
    assert!(told.contains("removed root (root.key)") && told.contains("removed root-2 (root-2.key)"), "{told}");
    let expected =
        ["chancery.key", "chancery.pem", "chancery.root-2.pem", "root-2.crl", "root-2.pem", "root.crl", "root.pem"];
    assert_eq!(files(&keys), names(&expected));
    let after = Ca::open(&keys, &settings, PKI, SystemClock.now()).unwrap();
    assert_eq!(before.root_pem(), after.root_pem());
    assert_eq!(before.chains("chancery"), after.chains("chancery"));
    let places: Vec<String> = after.loaded().into_iter().map(|key| format!("{} {}", key.name, key.place)).collect();
    assert_eq!(places, ["root away", "root-2 away", "chancery file"]);
    // An issuer more is not made behind the root's back.
    let more = Settings { issuers: vec!["chancery".into(), "second".into()], ..settings.clone() };
    let why = Ca::open(&keys, &more, PKI, SystemClock.now()).err().unwrap().to_string();
    assert!(why.contains("no certificate second.pem") && why.contains("chancery ceremony request"), "{why}");
    let more = Settings { alternate_roots: 2, ..settings };
    let why = Ca::open(&keys, &more, PKI, SystemClock.now()).err().unwrap().to_string();
    assert!(why.contains("no root-3.pem"), "{why}");
}

/// A ceremony by the calls that the commands make, at a moment of the test's.
pub struct Rite {
    pub ceremony: Ceremony,
    pub passphrase: Passphrase,
    pub offline: TempDir,
    pub keys: PathBuf,
}

impl Rite {
    pub fn of(config: &Config, now: Timestamp) -> Self {
        let by = ["Ann".to_owned()];
        let ceremony = Ceremony::new(&config.ca, &config.pki.public_url, now, &by).unwrap();
        let passphrase = Passphrase::new(Zeroizing::new(PASSPHRASE.to_owned())).unwrap();
        Self { ceremony, passphrase, offline: TempDir::new().unwrap(), keys: config.server.data_dir.join("keys") }
    }

    /// The same keys and directories on another day.
    pub fn later(self, config: &Config, now: Timestamp) -> Self {
        Self { offline: self.offline, ..Self::of(config, now) }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.offline.path().join(name)
    }

    pub fn all(&self) {
        fs::create_dir_all(self.keys.parent().unwrap()).unwrap();
        self.ceremony.all(&self.keys, &self.path("roots"), &self.passphrase).unwrap();
    }

    pub fn sign(&self, number: u8, request: &str, out: &str) {
        let request = [self.path(request)];
        self.ceremony.sign(&self.path("roots"), number, Some(&self.passphrase), &request, &self.path(out)).unwrap();
    }

    pub fn install(&self, from: &[&str]) {
        let from: Vec<PathBuf> = from.iter().map(|name| self.path(name)).collect();
        self.ceremony.install(&self.keys, &from).unwrap();
    }
}

/// A world whose root is offline from the beginning.
pub async fn offline_world() -> (World, Rite) {
    let mut rite = None;
    let world = World::with(|config| {
        config.ca.rsa_issuers = false;
        let made = Rite::of(config, NOON);
        made.all();
        rite = Some(made);
    })
    .await;
    (world, rite.unwrap())
}

/// Issues, and gives the chains that are offered, the default one first.
async fn chains(world: &World, client: &Client, name: &str) -> Vec<String> {
    // The server may have been started again meanwhile.
    client.forget_nonce();
    let (place, order) = world.ready_order(client, &[name]).await;
    client.finalize(&order, &csr(&[name]).0).await.expect(200);
    let order = look(client, &place).await;
    let answer = client.post_as_get(order["certificate"].as_str().unwrap()).await.expect(200);
    let alternates = answer.links("alternate");
    let mut found = vec![answer.text()];
    for url in alternates {
        found.push(client.post_as_get(&url).await.expect(200).text());
    }
    found
}

pub async fn fetch(world: &World, path: &str) -> (u16, Vec<u8>) {
    use tower::ServiceExt as _;
    let request = axum::http::Request::get(path).body(axum::body::Body::empty()).unwrap();
    let answer = world.pki().oneshot(request).await.unwrap();
    let status = answer.status().as_u16();
    (status, axum::body::to_bytes(answer.into_body(), usize::MAX).await.unwrap().to_vec())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_list_of_an_offline_root_is_served_watched_and_replaced_while_the_server_runs() {
    let (mut world, rite) = offline_world().await;
    let keys = rite.keys.clone();
    let first = fs::read(rite.path("roots/root.crl")).unwrap();
    assert_eq!(fetch(&world, "/crl/root/0.crl").await, (200, first.clone()));
    assert_eq!(fetch(&world, "/crl/root/1.crl").await.0, 404);
    assert_eq!(fetch(&world, "/crl/chancery/0.crl").await.0, 200);
    assert_eq!(list_faults(&keys, NOON), Vec::<String>::new());
    let near = list_faults(&keys, NOON + 340 * DAY);
    assert!(near.len() == 1 && near[0].contains("root.crl is good until 2027-11-21"), "{near:?}");
    assert!(list_faults(&keys, NOON + 366 * DAY)[0].contains("out of date"));

    world.clock.advance(340 * DAY);
    let recorder = chancery::telemetry::recorder();
    world.ra().watch_root_lists().await;
    assert!(recorder.render().contains("chancery_root_crl_seconds{root=\"root\"}"));
    let rite = rite.later(&world.config, world.now());
    let revoked = [rite.keys.join("chancery.pem")];
    let (roots, phrase) = (rite.path("roots"), Some(&rite.passphrase));
    rite.ceremony.list(&roots, 1, phrase, &revoked, RevocationReason::Superseded, 30).unwrap();
    rite.install(&["roots/root.crl"]);
    let (status, list) = fetch(&world, "/crl/root/0.crl").await;
    assert_eq!(status, 200);
    assert!(list != first && list == fs::read(rite.path("roots/root.crl")).unwrap());
    // An older one does not come back.
    fs::create_dir(rite.path("old")).unwrap();
    fs::write(rite.path("old/root.crl"), &first).unwrap();
    let why = rite.ceremony.install(&rite.keys, &[rite.path("old")]).err().unwrap().to_string();
    assert!(why.contains("older than the one in place"), "{why}");
    // What says which keys there are.
    world.ra().record_keys().await.unwrap();
    let acts = format!("{:?}", world.audit().await);
    assert!(acts.contains("root: away, key identifier") && acts.contains("chancery: file"), "{acts}");
    // Without its list an offline root can't be told from one whose key was lost.
    let copied = Command::new("cp").args(["-a", keys.to_str().unwrap(), rite.path("keys").to_str().unwrap()]).status();
    assert!(copied.unwrap().success());
    let keys = rite.path("keys");
    fs::remove_file(keys.join("root.crl")).unwrap();
    let why = Ca::open(&keys, &world.config.ca, PKI, world.now()).err().unwrap().to_string();
    assert!(why.contains("not root.key") && why.contains("root.crl"), "{why}");
    // Nor does a list of another root do.
    let other = Rite::of(&world.config, world.now());
    other.ceremony.root(&other.path("roots"), 1, Some(&other.passphrase)).unwrap();
    fs::copy(other.path("roots/root.crl"), keys.join("root.crl")).unwrap();
    let why = Ca::open(&keys, &world.config.ca, PKI, world.now()).err().unwrap().to_string();
    assert!(why.contains("root.crl was not signed by root.pem"), "{why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_generation_issues_and_the_last_one_still_tells_what_it_revoked() {
    let (mut world, rite) = offline_world().await;
    let client = world.client().await;
    let old = chains(&world, &client, "old.test").await;
    rite.ceremony.rollover(&rite.keys, "chancery", Some(&rite.path("requests"))).unwrap();
    // A generation that is only asked for changes nothing.
    world.restart().await;
    let between = chains(&world, &client, "between.test").await;
    assert_eq!(pem::parse_many(&old[0]).unwrap()[1], pem::parse_many(&between[0]).unwrap()[1]);
    rite.sign(1, "requests/chancery-2.csr", "certificates");
    rite.install(&["certificates"]);
    world.restart().await;

    let new = chains(&world, &client, "new.test").await;
    let root = rite.path("roots/root.pem");
    assert_eq!(new.len(), 1);
    verify(&new[0], &root).unwrap();
    verify(&old[0], &root).unwrap();
    let blocks = pem::parse_many(&new[0]).unwrap();
    assert!(subject(blocks[1].contents()).contains("CN = Chancery TLS CA 2"));
    let partial = rite.keys.join("chancery-2.pem");
    let leaf = rite.path("leaf.pem");
    fs::write(&leaf, pem::encode(&blocks[0])).unwrap();
    let line =
        ["verify", "-partial_chain", "-no_check_time", "-CAfile", partial.to_str().unwrap(), leaf.to_str().unwrap()];
    openssl(&line).unwrap();
    let told = openssl(&["x509", "-in", leaf.to_str().unwrap(), "-noout", "-text"]).unwrap();
    assert!(told.contains("/crl/chancery-2/0.crl") && told.contains("/issuer/chancery-2.cer"), "{told}");

    // The old one is retired: its certificate and its list are there, and a leaf of its is revoked on it.
    assert_eq!(fetch(&world, "/issuer/chancery.cer").await.0, 200);
    assert_eq!(fetch(&world, "/issuer/chancery-2.cer").await.0, 200);
    let leaf = pem::parse_many(&old[0]).unwrap().remove(0).into_contents();
    client.revoke(&leaf, Some(4)).await.expect(200);
    let revoked = |list: Vec<u8>| {
        let path = rite.path("list.crl");
        fs::write(&path, list).unwrap();
        let told = openssl(&["crl", "-inform", "DER", "-in", path.to_str().unwrap(), "-noout", "-text"]).unwrap();
        told.matches("Serial Number:").count()
    };
    assert_eq!(revoked(fetch(&world, "/crl/chancery/0.crl").await.1), 1);
    assert_eq!(revoked(fetch(&world, "/crl/chancery-2/0.crl").await.1), 0);
    // And again, from the one command where the root's key is at hand.
    let why = rite.ceremony.rollover(&rite.keys, "chancery", None).err().unwrap().to_string();
    assert!(why.contains("--out"), "{why}");
    let why = rite.ceremony.rollover(&rite.keys, "nobody", None).err().unwrap().to_string();
    assert!(why.contains("\"nobody\" is no issuer"), "{why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_roots_key_is_at_hand_one_command_rolls_over() {
    let mut world = World::new().await;
    let client = world.client().await;
    chains(&world, &client, "old.test").await;
    let rite = Rite::of(&world.config, NOON);
    rite.ceremony.rollover(&rite.keys, "chancery", None).unwrap();
    world.restart().await;
    let new = chains(&world, &client, "new.test").await;
    verify(&new[0], &rite.keys.join("root.pem")).unwrap();
    assert!(subject(pem::parse_many(&new[0]).unwrap()[1].contents()).contains("Chancery TLS CA 2"));
    // RSA keys too.
    assert!(rite.keys.join("chancery-rsa-2.pem").exists());
    assert_eq!(fetch(&world, "/crl/chancery-rsa/0.crl").await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn while_a_root_rolls_over_chains_to_both_roots_are_offered() {
    let (mut world, rite) = offline_world().await;
    let client = world.client().await;
    let (roots, phrase) = (rite.path("roots"), Some(&rite.passphrase));
    rite.ceremony.root(&roots, 2, phrase).unwrap();
    let (first, second) = (rite.path("roots/root.pem"), rite.path("roots/root-2.pem"));
    rite.ceremony.link(&roots, 1, phrase, &second, &rite.path("link")).unwrap();
    // A new generation is signed by the new root alone, for which the old one vouches.
    rite.ceremony.rollover(&rite.keys, "chancery", Some(&rite.path("requests"))).unwrap();
    rite.sign(2, "requests/chancery-2.csr", "certificates");
    rite.install(&["roots/root-2.pem", "roots/root-2.crl", "link", "certificates"]);
    world.restart().await;
    let offered = chains(&world, &client, "both.test").await;
    assert_eq!(offered.len(), 2);
    assert_eq!(offered.iter().map(|chain| pem::parse_many(chain).unwrap().len()).collect::<Vec<_>>(), [3, 2]);
    verify(&offered[0], &first).unwrap();
    verify(&offered[1], &second).unwrap();
    assert!(verify(&offered[1], &first).is_err());
    assert_eq!(fetch(&world, "/crl/root-2/0.crl").await.0, 200);

    // The same key certified by the old root, too: then each root has a chain of its own.
    rite.sign(1, "requests/chancery-2.csr", "again");
    rite.install(&["again"]);
    world.restart().await;
    let offered = chains(&world, &client, "each.test").await;
    assert_eq!(offered.iter().map(|chain| pem::parse_many(chain).unwrap().len()).collect::<Vec<_>>(), [2, 2]);
    verify(&offered[0], &first).unwrap();
    verify(&offered[1], &second).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_is_issued_again_for_the_same_key_is_offered_beside_the_first() {
    let (mut world, rite) = offline_world().await;
    let client = world.client().await;
    world.clock.advance(100 * DAY);
    let rite = rite.later(&world.config, world.now());
    rite.ceremony.request(&rite.keys, &rite.path("requests"), &["chancery".to_owned()]).unwrap();
    rite.sign(1, "requests/chancery.csr", "again");
    rite.install(&["again"]);
    // Once more does nothing.
    rite.install(&["again"]);
    world.restart().await;
    let offered = chains(&world, &client, "again.test").await;
    assert_eq!(offered.len(), 2);
    let above = offered.iter().map(|chain| pem::parse_many(chain).unwrap()[1].contents().to_vec()).collect::<Vec<_>>();
    assert_ne!(above[0], above[1]);
    // The later one comes first.
    let again = pem::parse(fs::read(rite.path("again/chancery.pem")).unwrap()).unwrap();
    assert_eq!(above[0], again.contents());
    for chain in &offered {
        verify(chain, &rite.path("roots/root.pem")).unwrap();
    }
}

#[test]
fn what_does_not_fit_is_not_signed_and_not_installed() {
    let (here, there) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let mut config = Config::default();
    config.ca.issuers = vec!["chancery".to_owned()];
    config.ca.rsa_issuers = false;
    config.server.data_dir = here.path().join("data");
    let rite = Rite::of(&config, NOON);
    rite.all();
    let keys = |directory: &TempDir| directory.path().join("data").join("keys");
    let mut other = config.clone();
    other.ca.organization = "Another".to_owned();
    other.server.data_dir = there.path().join("data");
    let stranger = Rite::of(&other, NOON);
    stranger.all();

    let sign = |request: &Path| {
        let out = rite.path("refused");
        let done = rite.ceremony.sign(&rite.path("roots"), 1, Some(&rite.passphrase), &[request.to_owned()], &out);
        done.err().map(|error| error.to_string()).expect("refused")
    };
    // A request of another organization, of an issuer that the settings do not know, and one that is broken.
    stranger.ceremony.request(&keys(&there), &rite.path("theirs"), &["chancery".to_owned()]).unwrap();
    let why = sign(&rite.path("theirs/chancery.csr"));
    assert!(why.contains("Another") && why.contains("settings the same"), "{why}");
    fs::copy(rite.path("theirs/chancery.csr"), rite.path("theirs/nobody.csr")).unwrap();
    assert!(sign(&rite.path("theirs/nobody.csr")).contains("no issuer of these settings"));
    let mut broken = pem::parse(fs::read(rite.path("theirs/chancery.csr")).unwrap()).unwrap().into_contents();
    *broken.last_mut().unwrap() ^= 1;
    fs::write(rite.path("theirs/chancery.csr"), pem::encode(&pem::Pem::new("CERTIFICATE REQUEST", broken))).unwrap();
    assert!(sign(&rite.path("theirs/chancery.csr")).contains("signature"));

    let install = |from: PathBuf| rite.ceremony.install(&keys(&here), &[from]).err().map(|error| error.to_string());
    let before = files(&keys(&here));
    // Another root under the same name, a certificate by another root, a certificate for another key.
    assert!(install(stranger.path("roots/root.pem")).unwrap().contains("another root.pem in place"));
    assert!(install(keys(&there).join("chancery.pem")).unwrap().contains("was not signed by root.pem"));
    assert!(install(stranger.path("roots/root.crl")).unwrap().contains("was not signed by root.pem"));
    fs::rename(keys(&here).join("chancery.key"), here.path().join("away")).unwrap();
    assert!(install(keys(&here).join("chancery.pem")).unwrap().contains("key of \"chancery\" is not here"));
    fs::rename(here.path().join("away"), keys(&here).join("chancery.key")).unwrap();
    assert_eq!(files(&keys(&here)), before);
    let why = rite.ceremony.request(&keys(&here), &keys(&here), &["chancery".to_owned()]).err().unwrap().to_string();
    assert!(why.contains("own key directory"), "{why}");
}
