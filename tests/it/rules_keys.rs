//! The rules of CSRs and subject keys (families CSR and KEY), each at finalize through the real router.

use std::time::Duration;

use chancery::ca::csr;
use chancery::config::Config;
use chancery::policy::weak_keys::WeakKeys;
use proptest::prelude::*;
use rcgen::{DnType, DnValue, KeyPair};
use serde_json::{Value, json};

use crate::acme_tools::{HOUR, csr_for, has_parts, look, order_of, problem};
use crate::ca_tools::{P256, P384, RSA2048, openssl, openssl_request};
use crate::support::client::{Client, certificate_signer, csr_of, csr_with};
use crate::support::dns::Failure;
use crate::support::operator::Operator;
use crate::support::world::World;

const RSA1024: &[&str] = &["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024"];
const RSA4096: &[&str] = &["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:4096"];
const P521: &[&str] = &["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-521"];
const SM2: &[&str] = &["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:SM2"];
const ED25519: &[&str] = &["genpkey", "-algorithm", "ED25519"];

/// Requests with weak keys, for weak.example; testdata/README.md says how they were made.
const WEAK: &str = "testdata/weak-keys";
const BLACKLIST: &str = "testdata/weak-keys/blacklist.RSA-2048";

/// What the text of a weak key ends in.
const REMEDY: &str = "Make a new key pair with a current version of OpenSSL or of your ACME client";

/// A request with a new key for one name.
fn request(key: &[&str], name: &str, further: &[&str]) -> Vec<u8> {
    openssl_request(key, &[&["-addext", &format!("subjectAltName=DNS:{name}")], further].concat())
}

fn weak(file: &str) -> Vec<u8> {
    let text = std::fs::read_to_string(format!("{WEAK}/{file}.csr")).unwrap();
    pem::parse(text).unwrap().into_contents()
}

/// Adds a product that takes RSA 2048 alone, as X-09's strict reading has it.
fn rsa_only(config: &mut Config) {
    let mut catalog = std::fs::read_to_string(&config.catalog.products).unwrap();
    catalog += "\n[[products]]\nid = \"rsa-only\"\ntitle = \"RSA 2048\"\nissuer = \"chancery\"\nnames = { max = 1 }\n\
                keys = [\"rsa-2048\"]\nmethods = [\"http-01\"]\nvalidity_days = 10\nvalidation_reuse_days = 5\n\
                caa_identities = []\n";
    std::fs::write(&config.catalog.products, catalog).unwrap();
}

/// A ready order of a product, the one that is open already if there is one: its URL and itself.
async fn ready(world: &World, client: &Client, product: &str, names: &[&str]) -> (String, Value) {
    let placed = client.new_order_of(order_of(names, json!({ "profile": product }))).await.expect(201);
    for authz in client.authorizations(&placed.json()).await {
        if authz["status"] == "pending" {
            world.prove(client, &authz).await.expect(200);
        }
    }
    (placed.location().to_owned(), look(client, placed.location()).await)
}

/// A CSR that is refused: the rule that its text ends with, for which product, the names ordered, and what is told.
type Refused<'a> = (&'a str, &'a str, &'a [&'a str], Vec<u8>, &'a [&'a str]);

/// Each is refused as `badCSR`, told with its rule, and leaves the order as it was.
async fn refused(world: &World, client: &Client, cases: Vec<Refused<'_>>) {
    for (rule, product, names, csr, told) in cases {
        let (place, order) = ready(world, client, product, names).await;
        assert_eq!(order["status"], "ready");
        let answer = client.finalize(&order, &csr).await;
        assert_eq!(answer.status, 400, "{rule} {told:?}: {answer}");
        let detail = answer.expect_problem(400, "badCSR");
        has_parts(&detail, told);
        assert!(detail.ends_with(&format!("({rule})")), "{rule}: {detail}");
        assert_eq!(look(client, &place).await, order, "{rule}");
    }
    assert!(world.ra().certificates(None, 1).await.unwrap().is_empty());
}

#[tokio::test]
async fn keys_and_names_that_a_product_takes_are_certified() {
    let world = World::with(rsa_only).await;
    let client = world.client().await;
    let key = || KeyPair::generate().unwrap();
    let two = ["one.example", "two.example"];
    for (rule, product, names, csr) in [
        ("KEY-01, KEY-02: RSA 2048", "any", &["a.example"][..], request(RSA2048, "a.example", &[])),
        ("KEY-01, KEY-02: P-256", "any", &["b.example"], request(P256, "b.example", &[])),
        ("KEY-02: P-384 where it is taken", "any", &["c.example"], request(P384, "c.example", &[])),
        ("KEY-02: P-256 where nothing else is taken", "single", &["d.example"], request(P256, "d.example", &[])),
        ("CSR-02: RSA 2048 alone", "rsa-only", &["e.example"], request(RSA2048, "e.example", &[])),
        ("CSR-05: an ordered name in capitals", "any", &["f.example"], csr_for(&key(), "F.Example", &["f.example"])),
        ("CSR-05: no common name", "any", &two, csr_with(&key(), &two)),
        ("CSR-05: an empty one", "any", &["g.example"], csr_for(&key(), "", &["g.example"])),
        ("CSR-06: one of several names", "any", &two, csr_for(&key(), "two.example", &two)),
        ("CSR-09: the common name alone", "any", &["h.example"], csr_for(&key(), "h.example", &[])),
        ("CSR-10: RSA 2048 with SHA-256", "any", &["i.example"], request(RSA2048, "i.example", &["-sha256"])),
        ("CSR-16: SHA-384", "any", &["j.example"], request(RSA2048, "j.example", &["-sha384"])),
    ] {
        let (_, order) = ready(&world, &client, product, names).await;
        let answer = client.finalize(&order, &csr).await;
        assert_eq!((answer.status.as_u16(), &answer.json()["status"]), (200, &json!("valid")), "{rule}: {answer}");
    }
}

#[tokio::test]
async fn keys_that_a_product_does_not_take_are_refused_by_their_kinds() {
    let world = World::with(rsa_only).await;
    let client = world.client().await;
    let name = &["example.com"][..];
    let csr = |key: &[&str]| request(key, "example.com", &[]);
    let sm2 = request(SM2, "example.com", &["-sm3", "-sigopt", "distid:1234567812345678"]);
    let cases: Vec<Refused<'_>> = vec![
        ("KEY-01", "single", name, csr(RSA2048), &["The key is RSA 2048", "\"single\" takes P-256"]),
        ("KEY-02", "single", name, csr(P384), &["The key is P-384", "\"single\" takes P-256"]),
        ("CSR-02", "rsa-only", name, csr(P256), &["The key is P-256", "\"rsa-only\" takes RSA 2048"]),
        ("CSR-02", "rsa-only", name, csr(RSA4096), &["The key is RSA 4096", "\"rsa-only\" takes RSA 2048"]),
        ("KEY-02", "any", name, csr(RSA1024), &["RSA of 1024 bits", "2048, 3072 or 4096 bits"]),
        ("KEY-02", "any", name, csr(P521), &["ECDSA on P-521"]),
        ("KEY-01", "any", name, csr(ED25519), &["Ed25519"]),
        ("CAT-13", "any", name, sm2, &["The key is SM2", "SM2 keys need a DNSPod GM product"]),
    ];
    refused(&world, &client, cases).await;
}

#[tokio::test]
async fn names_of_a_csr_are_held_to_those_of_the_order() {
    let world = World::new().await;
    let client = world.client().await;
    let key = KeyPair::generate().unwrap();
    let two = &["one.example", "two.example"][..];
    let seven = &["a.example", "b.example", "c.example", "d.example", "e.example", "f.example", "g.example"][..];
    let utf16 = csr_of(&key, &["one.example"], |params| {
        params
            .distinguished_name
            .push(DnType::CommonName, DnValue::BmpString("b\u{fc}cher.example".try_into().unwrap()));
    });
    let cases: Vec<Refused<'_>> = vec![
        (
            "CSR-05",
            "any",
            two,
            csr_for(&key, "three.example", two),
            &["Common name three.example is not among the ordered names", "Use one of: one.example, two.example;"],
        ),
        ("CSR-05", "any", two, csr_for(&key, "three.example", &[]), &["Common name three.example"]),
        ("CSR-05", "any", two, csr_for(&key, "*.one.example", two), &["Common name *.one.example"]),
        (
            "CSR-05",
            "any",
            seven,
            csr_for(&key, "h.example", seven),
            &["a.example, b.example, c.example, d.example, e.example, …;"],
        ),
        ("CSR-05", "any", two, csr_for(&key, "A Company", two), &["\"A Company\"", "ordered names"]),
        ("CSR-03", "any", &["one.example"], utf16, &["not UTF-8"]),
        ("CSR-12", "any", two, csr_with(&key, &["one.example"]), &["lacks names of the order: two.example"]),
        (
            "CSR-12",
            "any",
            two,
            csr_with(&key, &[two, &["three.example"]].concat()),
            &["the order has not: three.example"],
        ),
        (
            "CSR-12",
            "any",
            two,
            csr_with(&key, &["one.example", "three.example"]),
            &["lacks", "two.example", "three.example"],
        ),
        ("CSR-17", "any", &["one.example"], request(P256, "one_two.example", &[]), &["one_two.example", "hyphens"]),
    ];
    refused(&world, &client, cases).await;
    // The refused CSRs used up nothing: the same key is certified with the right names.
    let (_, order) = ready(&world, &client, "any", two).await;
    assert_eq!(client.finalize(&order, &csr_with(&key, two)).await.expect(200).json()["status"], "valid");
}

#[tokio::test]
async fn weak_keys_are_refused_with_the_weakness_and_the_remedy() {
    let world = World::with(|config| config.catalog.weak_keys = vec![BLACKLIST.into()]).await;
    let client = world.client().await;
    let name = &["weak.example"][..];
    let cases: Vec<Refused<'_>> = vec![
        ("Baseline Requirements 6.1.6", "any", name, weak("small-factor"), &["divisible by 751", REMEDY]),
        ("Baseline Requirements 6.1.1.3", "any", name, weak("roca"), &["ROCA", "CVE-2017-15361", REMEDY]),
        ("Baseline Requirements 6.1.1.3", "any", name, weak("close-primes"), &["Fermat", "CVE-2022-26320", REMEDY]),
        ("Baseline Requirements 6.1.1.3", "any", name, weak("listed"), &["Debian", "CVE-2008-0166", REMEDY]),
    ];
    refused(&world, &client, cases).await;
}

#[tokio::test]
async fn a_key_is_refused_only_by_the_list_that_it_stands_on() {
    // By another's fingerprint, in another's list, and with no list at all.
    let world = World::new().await;
    let client = world.client().await;
    let (_, order) = ready(&world, &client, "any", &["weak.example"]).await;
    assert_eq!(client.finalize(&order, &weak("listed")).await.expect(200).json()["status"], "valid");

    let key = KeyPair::generate().unwrap();
    let digits: String = key_hash(&csr_with(&key, &[]));
    let world = World::with(|config| {
        let list = config.catalog.products.with_file_name("compromised.txt");
        std::fs::write(&list, format!("# told by its owner\n{digits}\n")).unwrap();
        config.catalog.weak_keys = vec![BLACKLIST.into(), list];
    })
    .await;
    let client = world.client().await;
    let name = &["example.com"][..];
    let cases: Vec<Refused<'_>> = vec![(
        "Baseline Requirements 6.1.1.3",
        "any",
        name,
        csr_with(&key, name),
        &["list of compromised keys", "Make a new key pair"],
    )];
    refused(&world, &client, cases).await;
    let (_, order) = ready(&world, &client, "any", name).await;
    let other = csr_with(&KeyPair::generate().unwrap(), name);
    assert_eq!(client.finalize(&order, &other).await.expect(200).json()["status"], "valid");
}

fn key_hash(der: &[u8]) -> String {
    chancery::domain::certificate::hex32::encode(&csr::parse(der).unwrap().spki_sha256)
}

#[test]
fn weak_requests_are_in_order_but_for_their_keys() {
    for file in ["close-primes", "roca", "small-factor", "listed"] {
        let told = openssl(&["req", "-verify", "-noout", "-in", &format!("{WEAK}/{file}.csr")]).unwrap();
        assert!(told.contains("verify OK"), "{file}: {told}");
    }
}

#[test]
fn fingerprints_of_rsa_keys_are_what_openssl_says_of_their_moduli() {
    let listed = csr::parse(&weak("listed")).unwrap().debian_fingerprint.unwrap();
    let modulus = openssl(&["req", "-noout", "-modulus", "-in", &format!("{WEAK}/listed.csr")]).unwrap();
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY, modulus.as_bytes());
    assert_eq!(listed, hash.as_ref()[10..]);
    let digits: String = listed.iter().map(|octet| format!("{octet:02x}")).collect();
    assert!(std::fs::read_to_string(BLACKLIST).unwrap().lines().any(|line| line == digits));
    assert_eq!(csr::parse(&openssl_request(P256, &[])).unwrap().debian_fingerprint, None);
}

#[tokio::test]
async fn a_key_that_was_reported_compromised_is_refused_in_every_order() {
    let world = World::new().await;
    let (client, operator) = (world.client().await, Operator::of(&world));
    let key = KeyPair::generate().unwrap();
    let name = &["example.com"][..];
    let csr = csr_with(&key, name);
    let report = operator.post("/compromised-keys", &json!({ "spki_sha256": key_hash(&csr) })).await;
    assert_eq!(report["live_certificates"], json!([]));
    let (place, order) = ready(&world, &client, "any", name).await;
    let refused = client.finalize(&order, &csr).await;
    has_parts(&refused.expect_problem(400, "badCSR"), &["known to be compromised", "new key pair"]);
    assert_eq!(look(&client, &place).await, order);
}

#[tokio::test]
async fn a_report_stops_the_issuance_that_is_under_way() {
    let world = World::with(|config| config.acme.finalize_wait_ms = 0).await;
    let (client, operator) = (world.client().await, Operator::of(&world));
    let name = &["example.com"][..];
    let csr = csr_with(&KeyPair::generate().unwrap(), name);
    let (place, order) = ready(&world, &client, "any", name).await;
    // CAA is due again, and is not answered.
    world.pass(9 * HOUR).await;
    world.dns.fail_type("example.com", "CAA", Failure::Drop);
    assert_eq!(client.finalize(&order, &csr).await.expect(200).json()["status"], "processing");
    operator.post("/compromised-keys", &json!({ "spki_sha256": key_hash(&csr) })).await;
    world.dns.clear("example.com");
    world.pass(HOUR).await;
    let over = look(&client, &place).await;
    assert_eq!(over["status"], "invalid");
    problem(&over["error"], "badCSR", &["compromised"]);
    assert!(world.ra().certificates(None, 1).await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_report_and_an_issuance_at_once_neither_overlooks_the_other() {
    // The answer to finalize does not wait, so that the report meets the job that signs.
    let world = World::with(|config| config.acme.finalize_wait_ms = 0).await;
    let (client, operator) = (world.client().await, Operator::of(&world));
    for round in 0..12 {
        let name = format!("n{round}.example");
        let names = &[name.as_str()][..];
        let csr = csr_with(&KeyPair::generate().unwrap(), names);
        let (place, order) = ready(&world, &client, "any", names).await;
        let reported = json!({ "spki_sha256": key_hash(&csr) });
        client.finalize(&order, &csr).await.expect(200);
        let report = operator.post("/compromised-keys", &reported).await;
        world.pass(Duration::ZERO).await;
        let over = look(&client, &place).await;
        // What is signed after the report would be missing in its answer.
        let live = report["live_certificates"].as_array().unwrap().len();
        assert_eq!(live, usize::from(over["status"] == "valid"), "round {round}: {report} {over}");
        assert_ne!(over["status"], "processing");
    }
}

#[tokio::test]
async fn an_account_key_is_refused_as_a_subject_key() {
    let world = World::new().await;
    let key = KeyPair::generate().unwrap();
    let client = world.client_with(certificate_signer(&key)).await;
    let (place, order) = ready(&world, &client, "any", &["example.com"]).await;
    let refused = client.finalize(&order, &csr_with(&key, &["example.com"])).await;
    has_parts(&refused.expect_problem(400, "badCSR"), &["the key of an ACME account"]);
    assert_eq!(look(&client, &place).await, order);
}

proptest! {
    #[test]
    fn any_text_is_a_list_of_keys_or_has_faults(text in "\\PC*|([0-9a-fA-F]{20}|[0-9a-f]{64}|[#\r\n \t0-9a-zé-]{0,70}\n)*") {
        match WeakKeys::parse(&text) {
            Ok(keys) => prop_assert_eq!(keys.clone().merge(keys.clone()), keys),
            Err(faults) => {
                let lines = text.lines().count();
                prop_assert!(!faults.is_empty() && faults.len() <= lines);
                for fault in faults {
                    let line = fault.line.unwrap();
                    prop_assert!((1..=lines).contains(&line), "{fault:?}");
                }
            }
        }
    }

    #[test]
    fn lists_of_good_lines_are_read(lines in proptest::collection::vec("([0-9a-fA-F]{20}|[0-9a-f]{64})?( *#.*)?", 0..20)) {
        let text = lines.join("\n");
        let keys = WeakKeys::parse(&text);
        prop_assert!(keys.is_ok(), "{keys:?}");
        let empty = lines.iter().all(|line| line.trim_start().is_empty() || line.trim_start().starts_with('#'));
        prop_assert_eq!(keys.unwrap().is_empty(), empty);
    }
}
