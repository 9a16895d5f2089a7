//! When revocation lists are made, under which numbers, and how they are served, through the real routers.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use chancery::ca::Ca;
use chancery::ca::certificate::serial_of;
use chancery::clock::TestClock;
use chancery::config::Config;
use chancery::domain::audit::Act;
use chancery::domain::certificate::{Certificate, CertificateStanding, RevocationReason};
use chancery::domain::csr::SubjectKey;
use chancery::domain::{AccountId, OrderId, Serial};
use chancery::post::Post;
use chancery::ra::{Authority, Parts, Ra};
use chancery::store::records::{Batch, ListState, Records};
use chancery::store::vault::Vault;
use chancery::va::Va;
use tempfile::TempDir;
use tower::ServiceExt as _;
use x509_parser::prelude::{CertificateRevocationList, FromDer as _};

use crate::acme_tools::{DAY, HOUR, leaf};
use crate::ca_tools::{NOW, openssl, pem};
use crate::support::client::{Client, Response, csr_with};
use crate::support::world::World;

/// A list as somebody read it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Read {
    number: u64,
    this_update: i64,
    next_update: i64,
    serials: Vec<Serial>,
}

fn read(der: &[u8]) -> Read {
    let (_, list) = CertificateRevocationList::from_der(der).unwrap();
    Read {
        number: list.crl_number().unwrap().try_into().unwrap(),
        this_update: list.last_update().timestamp(),
        next_update: list.next_update().unwrap().timestamp(),
        serials: list.iter_revoked_certificates().map(|entry| Serial::from_der(entry.raw_serial()).unwrap()).collect(),
    }
}

async fn fetch(world: &World, path: &str) -> Response {
    let base = &world.config.pki.public_url;
    Client::new(world.pki(), base).get(&format!("{base}{path}")).await
}

async fn list(world: &World, shard: u16) -> Read {
    read(&fetch(world, &format!("/crl/chancery/{shard}.crl")).await.expect(200).body)
}

async fn issued(world: &World, client: &Client, name: &str) -> Vec<u8> {
    leaf(&world.certificate(client, &[name]).await.1)
}

/// How many lists of the issuer were signed, by the audit log.
fn signed(acts: &[Act]) -> Vec<(u64, usize)> {
    let of_issuer = acts.iter().filter_map(|act| match act {
        Act::CrlSigned { issuer, number, entries, .. } if issuer == "chancery" => Some((*number, *entries)),
        _ => None,
    });
    // Those of one moment stand in no order.
    let mut signed: Vec<_> = of_issuer.collect();
    signed.sort_unstable();
    signed
}

#[tokio::test]
async fn lists_are_made_by_revocations_and_the_clock_and_not_by_whoever_asks() {
    let mut world = World::new().await;
    let client = world.client().await;
    let der = issued(&world, &client, "example.com").await;
    // The start made one, and asking makes none.
    let first = list(&world, 0).await;
    assert_eq!((list(&world, 0).await, first.serials.len()), (first.clone(), 0));
    client.revoke(&der, Some(4)).await.expect(200);
    world.pass(DAY - HOUR).await;
    world.pass(HOUR).await;
    world.pass(HOUR).await;
    // A restart makes one more, after this.
    let acts = world.audit().await;
    let signed = signed(&acts);
    assert_eq!(signed.iter().map(|(_, entries)| *entries).collect::<Vec<_>>(), [0, 1, 1], "{signed:?}");
    assert_eq!(signed[0].0, first.number);
    assert!(signed.windows(2).all(|pair| pair[0].0 < pair[1].0), "{signed:?}");
    let published = acts.iter().filter(|act| matches!(act, Act::CrlPublished { .. })).count();
    assert_eq!(published, 1);
    assert_eq!(list(&world, 0).await.serials, [serial_of(&der).unwrap()]);
}

#[tokio::test]
async fn numbers_only_grow_over_restarts_and_a_clock_that_is_set_back() {
    let mut world = World::new().await;
    let client = world.client().await;
    let mut last = list(&world, 0).await;
    for round in 0..3 {
        let der = issued(&world, &client, "example.com").await;
        client.revoke(&der, None).await.expect(200);
        client.forget_nonce();
        let next = list(&world, 0).await;
        assert!(next.number > last.number && next.serials.len() == round + 1, "{last:?} {next:?}");
        world.clock.set_back(2 * HOUR);
        world.restart().await;
        let restarted = list(&world, 0).await;
        assert!(restarted.number > next.number, "{next:?} {restarted:?}");
        assert_eq!(restarted.serials, next.serials);
        world.clock.set_back(2 * HOUR);
        world.ra().drain().await.unwrap();
        last = list(&world, 0).await;
        assert!(last.number > restarted.number, "{last:?}");
        // RFC 5280 section 5.1.2.4: nobody takes a list of the future.
        assert!(last.this_update <= world.now().as_secs() as i64);
    }
}

#[tokio::test]
async fn a_list_is_made_anew_in_time_and_never_given_out_after_its_next_update() {
    let world = World::with(|config| {
        config.ca.crl_hours = 48;
        config.ca.crl_days = 3;
    })
    .await;
    let first = list(&world, 0).await;
    assert_eq!(first.next_update - first.this_update, 3 * 86_400);
    world.pass(47 * HOUR).await;
    assert_eq!(list(&world, 0).await, first);
    world.pass(HOUR).await;
    let second = list(&world, 0).await;
    assert!(second.number > first.number);
    assert_eq!(second.this_update, world.now().as_secs() as i64);
    // Nobody looks after it: whoever asks is the first.
    world.clock.advance(3 * DAY - Duration::from_secs(1));
    assert_eq!(list(&world, 0).await, second);
    world.clock.advance(Duration::from_secs(1));
    let third = list(&world, 0).await;
    assert!(third.number > second.number);
    assert_eq!(third.this_update, world.now().as_secs() as i64);
    // The roots' lists have the same schedule.
    let root = read(&fetch(&world, "/crl/root/0.crl").await.expect(200).body);
    assert_eq!(root.serials, []);
    assert!(root.next_update > world.now().as_secs() as i64);
}

#[tokio::test]
async fn an_entry_leaves_after_one_list_beyond_the_certificates_end() {
    let mut world = World::new().await;
    let client = world.client().await;
    let der = issued(&world, &client, "example.com").await;
    client.revoke(&der, Some(5)).await.expect(200);
    let serial = serial_of(&der).unwrap();
    // 90 days, less the hour that it was dated back.
    world.pass(90 * DAY - 2 * HOUR).await;
    assert_eq!(list(&world, 0).await.serials, [serial]);
    // It ended an hour ago, and no list was made since then.
    world.pass(2 * HOUR).await;
    world.restart().await;
    let beyond = list(&world, 0).await;
    assert_eq!(beyond.serials, [serial]);
    assert!(beyond.this_update >= world.now().as_secs() as i64);
    world.pass(DAY).await;
    assert_eq!(list(&world, 0).await.serials, []);
    world.restart().await;
    assert_eq!(list(&world, 0).await.serials, []);
}

#[tokio::test]
async fn revocations_of_one_act_are_one_list() {
    let mut world = World::new().await;
    let client = world.client().await;
    let key = rcgen::KeyPair::generate().unwrap();
    let mut made = Vec::new();
    for name in ["one.example", "two.example", "three.example"] {
        let (_, order) = world.ready_order(&client, &[name]).await;
        let done = client.finalize(&order, &csr_with(&key, &[name])).await.expect(200).json();
        made.push(leaf(&client.certificate(&done).await));
    }
    client.revoke(&made[0], Some(1)).await.expect(200);
    let entries: Vec<usize> = signed(&world.audit().await).iter().map(|(_, entries)| *entries).collect();
    assert_eq!(entries, [0, 3]);
}

#[tokio::test]
async fn a_certificate_keeps_its_shard_when_their_number_changes() {
    let mut world = World::new().await;
    let client = world.client().await;
    let before = issued(&world, &client, "before.example").await;
    world.config.ca.crl_shards = 4;
    world.restart().await;
    client.forget_nonce();
    let after = issued(&world, &client, "after.example").await;
    for der in [&before, &after] {
        let listed = |read: Read| read.serials.contains(&serial_of(der).unwrap());
        client.revoke(der, Some(4)).await.expect(200);
        assert!(listed(list(&world, 0).await));
        let mut shards = 0;
        for shard in 3..7 {
            shards += usize::from(listed(list(&world, shard).await));
        }
        assert_eq!(shards, 1);
    }
    // The certificate of that time names one of them.
    let text = String::from_utf8_lossy(&after).into_owned();
    assert!((3..7).any(|shard| text.contains(&format!("/crl/chancery/{shard}.crl"))));
    // Of those that no certificate names there is none.
    for path in ["/crl/chancery/1.crl", "/crl/chancery/2.crl", "/crl/chancery/7.crl", "/crl/root/1.crl"] {
        fetch(&world, path).await.expect(404);
    }
    // What was in use stays in use after the next change too.
    world.config.ca.crl_shards = 2;
    world.restart().await;
    assert_eq!(list(&world, 0).await.serials.len(), 2);
    assert_eq!(list(&world, 1).await.serials.len() + list(&world, 2).await.serials.len(), 2);
    list(&world, 6).await;
}

#[tokio::test]
async fn openssl_verifies_what_is_served_and_finds_the_revoked_one() {
    let world = World::with(|config| config.ca.crl_shards = 4).await;
    let client = world.client().await;
    let [bad, good] = ["bad.example", "good.example"];
    let (bad, good) = (issued(&world, &client, bad).await, issued(&world, &client, good).await);
    client.revoke(&bad, Some(1)).await.expect(200);
    let file = |name: &str, content: &[u8]| {
        let path = world.scratch().join(name);
        std::fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let issuer = fetch(&world, "/issuer/chancery.cer").await.expect(200).body;
    let issuer = file("issuer.pem", pem(&issuer).as_bytes());
    let mut lists = String::new();
    for path in
        ["/crl/root/0.crl", "/crl/chancery/3.crl", "/crl/chancery/4.crl", "/crl/chancery/5.crl", "/crl/chancery/6.crl"]
    {
        let der = fetch(&world, path).await.expect(200).body;
        lists += &pem::encode(&pem::Pem::new("X509 CRL", der.to_vec()));
        if path.contains("chancery") {
            let der = file("list.crl", &der);
            let told =
                openssl(&["crl", "-verify", "-inform", "DER", "-in", &der, "-CAfile", &issuer, "-noout"]).unwrap();
            assert!(told.contains("verify OK"), "{told}");
        }
    }
    let lists = file("lists.pem", lists.as_bytes());
    let root = file("root.pem", world.ra().root_pem().as_bytes());
    let at = world.now().as_secs().to_string();
    let verify = |der: &[u8]| {
        let leaf = file("leaf.pem", pem(der).as_bytes());
        let options =
            ["verify", "-crl_check_all", "-extended_crl", "-attime", &at, "-CAfile", &root, "-untrusted", &issuer];
        openssl(&[&options[..], &["-CRLfile", &lists, &leaf]].concat())
    };
    verify(&good).unwrap();
    let why = verify(&bad).unwrap_err();
    assert!(why.contains("certificate revoked"), "{why}");
}

#[tokio::test]
async fn caches_are_told_what_they_may_keep() {
    let world = World::new().await;
    let client = world.client().await;
    let der = issued(&world, &client, "example.com").await;
    let send = async |method: &str, headers: &[(&str, &str)]| {
        let mut request = Request::builder().method(method).uri("/crl/chancery/0.crl");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = world.pki().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        let (parts, body) = answer.into_parts();
        (parts.status, parts.headers, axum::body::to_bytes(body, usize::MAX).await.unwrap())
    };
    let (status, headers, body) = send("GET", &[]).await;
    let header = |name: &str| headers[name].to_str().unwrap().to_owned();
    assert_eq!((status, header("content-type")), (StatusCode::OK, "application/pkix-crl".to_owned()));
    assert_eq!(header("cache-control"), "public, max-age=300");
    assert_eq!(header("last-modified"), "Sat, 21 Nov 2026 12:00:00 GMT");
    assert_eq!(header("expires"), "Sat, 21 Nov 2026 12:05:00 GMT");
    let (tag, date) = (header("etag"), header("last-modified"));
    let (status, headers, nothing) = send("HEAD", &[]).await;
    assert_eq!((status, nothing.len()), (StatusCode::OK, 0));
    assert_eq!(headers["content-length"], body.len().to_string());
    assert_eq!(headers["etag"], tag);
    for (headers, known) in [
        (vec![("if-none-match", tag.as_str())], true),
        (vec![("if-none-match", "\"x\"")], false),
        (vec![("if-modified-since", date.as_str())], true),
        (vec![("if-modified-since", "Sat, 21 Nov 2026 12:00:01 GMT")], true),
        (vec![("if-modified-since", "Sat, 21 Nov 2026 11:59:59 GMT")], false),
        (vec![("if-modified-since", "yesterday")], false),
        // A tag speaks before a date.
        (vec![("if-none-match", "\"x\""), ("if-modified-since", &date)], false),
    ] {
        let (status, answer, sent) = send("GET", &headers).await;
        let expected = if known { StatusCode::NOT_MODIFIED } else { StatusCode::OK };
        assert_eq!((status, sent.is_empty()), (expected, known), "{headers:?}");
        assert_eq!(answer["etag"], tag, "{headers:?}");
    }
    // Another list of the same second has another tag, and its date is none to go by.
    client.revoke(&der, None).await.expect(200);
    let (_, headers, other) = send("GET", &[("if-none-match", &tag)]).await;
    assert_ne!((headers["etag"].to_str().unwrap(), &other), (tag.as_str(), &body));
    assert_eq!(headers["last-modified"].to_str().unwrap(), date);
    assert_eq!(send("GET", &[("if-modified-since", &date)]).await.0, StatusCode::OK);
    // Nobody may keep a list beyond its next update.
    world.clock.advance(7 * DAY - Duration::from_secs(10));
    let (_, headers, _) = send("GET", &[]).await;
    assert_eq!(headers["cache-control"], "public, max-age=10");
    assert_eq!(headers["expires"], "Sat, 28 Nov 2026 12:00:00 GMT");
    for method in ["POST", "PUT", "DELETE"] {
        assert_eq!(send(method, &[]).await.0, StatusCode::METHOD_NOT_ALLOWED);
    }
}

/// Two servers' use cases over one store.
struct Nodes {
    nodes: [Arc<Ra>; 2],
    records: Records,
    clock: Arc<TestClock>,
    _directory: TempDir,
}

impl Nodes {
    async fn start() -> Self {
        let directory = TempDir::new().unwrap();
        let mut config = Config::default();
        config.server.data_dir = directory.path().to_owned();
        config.ca.rsa_issuers = false;
        config.ca.crl_shards = 2;
        let clock = Arc::new(TestClock::at(NOW));
        let records = Records::new(chancery::store::open(&config.store_settings()).unwrap());
        let node = || {
            let keys = directory.path().join("keys");
            let ca = Ca::open(&keys, &config.ca, &config.pki.public_url, NOW).unwrap();
            Ra::new(Parts {
                records: records.clone(),
                vault: Vault::open(&keys.join("vault.key")).unwrap(),
                va: Va::new(config.validation_settings()).unwrap(),
                post: Post::new(config.post_settings(), "").unwrap(),
                ca,
                catalog: config.load_catalog().unwrap().catalog,
                clock: clock.clone(),
                settings: config.acme.clone(),
                limits: config.limits.clone(),
                account_url: String::new(),
            })
        };
        let nodes = [node(), node()];
        for node in &nodes {
            node.resume().await.unwrap();
        }
        Self { nodes, records, clock, _directory: directory }
    }

    /// A certificate in the store, as far as its revocation goes.
    async fn certificate(&self) -> Serial {
        let serial = Serial::random();
        let record = Certificate {
            serial,
            issuer: "chancery".to_owned(),
            account: AccountId::random(),
            order: OrderId::random(),
            product: "any".to_owned(),
            identifiers: Vec::new(),
            key: SubjectKey::P256,
            spki_sha256: [0; 32],
            not_before: NOW,
            not_after: NOW + 90 * DAY,
            paid_until: None,
            der: Vec::new(),
            issued: NOW,
            standing: CertificateStanding::Good,
        };
        let act = Act::CertificateIssued { serial, order: record.order.clone(), signature: None };
        self.records.commit(Batch::of(act, NOW).insert(&record)).await.unwrap();
        serial
    }

    /// What a node gives out, over both shards: the numbers, and all serials in order.
    async fn lists(&self, node: usize) -> (Vec<u64>, Vec<Serial>) {
        let (mut numbers, mut serials) = (Vec::new(), Vec::new());
        for shard in [1, 2] {
            let found = read(&self.nodes[node].crl("chancery", shard).await.unwrap().der);
            numbers.push(found.number);
            serials.extend(found.serials);
        }
        serials.sort();
        (numbers, serials)
    }

    async fn minute(&self) {
        self.clock.advance(Duration::from_secs(60));
        for node in &self.nodes {
            node.drain().await.unwrap();
        }
    }
}

#[tokio::test]
async fn what_one_node_revokes_the_other_lists_within_a_minute_and_no_number_is_taken_twice() {
    let cluster = Nodes::start().await;
    let mut revoked = Vec::new();
    let mut given = Vec::new();
    for round in 0..4 {
        for _ in 0..3 {
            let serial = cluster.certificate().await;
            let reason = RevocationReason::Superseded;
            cluster.nodes[round % 2].revoke_serial(Authority::Operator, &serial, reason).await.unwrap();
            revoked.push(serial);
            revoked.sort();
            assert_eq!(cluster.lists(round % 2).await.1, revoked, "on the node itself at once");
            given.extend(cluster.lists(round % 2).await.0);
        }
        let before = cluster.lists((round + 1) % 2).await.0;
        cluster.minute().await;
        for node in [0, 1] {
            assert_eq!(cluster.lists(node).await.1, revoked, "node {node}");
        }
        let after = cluster.lists((round + 1) % 2).await.0;
        assert!(before.iter().zip(&after).all(|(before, after)| before <= after), "{before:?} {after:?}");
    }
    let events = cluster.records.audit(None, 10_000).await.unwrap();
    let mut numbers: Vec<(u64, u16)> = Vec::new();
    for (_, event) in &events {
        if let Act::CrlSigned { issuer, number, shard, .. } = &event.act
            && issuer == "chancery"
        {
            assert!(!numbers.contains(&(*number, *shard)), "{number} is there twice");
            numbers.push((*number, *shard));
        }
    }
    assert!(given.iter().all(|given| numbers.iter().any(|(number, _)| number == given)));
    let state = cluster.records.find::<ListState>("chancery").await.unwrap().unwrap();
    assert_eq!(Some(state.number), numbers.iter().map(|(number, _)| *number).max());
}
