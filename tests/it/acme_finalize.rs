//! Finalize: which CSRs are taken, and that an order gives one certificate, through the real router.

use std::collections::BTreeSet;
use std::time::Duration;

use chancery::domain::audit::Act;
use rcgen::{CertificateParams, DnType, KeyPair};
use serde_json::{Value, json};
use x509_parser::prelude::GeneralName;

use crate::acme_tools::{HOUR, add_product, csr_for, has_parts, leaf, look, order_of, order_one, parsed, problem, url};
use crate::ca_tools::{P384, RSA2048, openssl_request};
use crate::support::client::{Client, certificate_signer, challenge, csr, csr_of, csr_with};
use crate::support::dns::Failure;
use crate::support::signer::Signer;
use crate::support::world::World;

const P521: &[&str] = &["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-521"];
const RSA1024: &[&str] = &["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024"];
const ED25519: &[&str] = &["genpkey", "-algorithm", "ED25519"];
const SAN: &str = "subjectAltName=DNS:example.com";

/// A request by `openssl req` for example.com.
fn openssl_csr(key: &[&str], further: &[&str]) -> Vec<u8> {
    openssl_request(key, &[&["-addext", SAN], further].concat())
}

/// Hands in CSRs that must be refused and leave the order ready; then a good one, which must be taken.
async fn refused(world: &World, client: &Client, names: &[&str], cases: &[(&str, Vec<u8>, &[&str])]) {
    let (place, order) = world.ready_order(client, names).await;
    for (what, csr, parts) in cases {
        let answer = client.finalize(&order, csr).await;
        assert_eq!(answer.status, 400, "{what}: {answer}");
        has_parts(&answer.expect_problem(400, "badCSR"), parts);
        assert_eq!(look(client, &place).await, order, "{what}");
    }
    let done = client.finalize(&order, &csr(names).0).await.expect(200).json();
    assert_eq!(done["status"], "valid");
}

#[tokio::test]
async fn a_csr_must_name_exactly_what_was_ordered() {
    let world = World::new().await;
    let client = world.client().await;
    let key = KeyPair::generate().unwrap();
    let email = csr_of(&key, &["a.example", "b.example"], |params| {
        params.subject_alt_names.push(rcgen::SanType::Rfc822Name("a@a.example".try_into().unwrap()));
    });
    let several = csr_of(&key, &["a.example", "b.example"], |params| {
        params.subject_alt_names.push(rcgen::SanType::IpAddress("127.0.0.1".parse().unwrap()));
    });
    let names = |names: &[&str]| csr_with(&key, names);
    refused(
        &world,
        &client,
        &["a.example", "b.example"],
        &[
            ("one is missing", names(&["a.example"]), &["lacks", "b.example"]),
            ("all are missing", csr_with(&key, &[]), &["lacks", "a.example", "b.example"]),
            ("one is too many", names(&["a.example", "b.example", "c.example"]), &["c.example"]),
            ("another one", names(&["a.example", "c.example"]), &["b.example", "c.example"]),
            ("a wildcard instead", names(&["a.example", "*.b.example"]), &["*.b.example"]),
            (
                "a common name that was not ordered",
                csr_for(&key, "c.example", &["a.example", "b.example"]),
                &["c.example"],
            ),
            ("a common name that is no name", csr_for(&key, "A Company", &["a.example", "b.example"]), &["A Company"]),
            ("an e-mail address besides", email, &["a@a.example"]),
            ("an address besides", several, &["127.0.0.1"]),
        ],
    )
    .await;
}

#[tokio::test]
async fn a_csr_may_name_what_was_ordered_in_other_ways() {
    let world = World::new().await;
    let client = world.client().await;
    let key = || KeyPair::generate().unwrap();
    for (names, csr) in [
        (&["a.example", "b.example"][..], csr_with(&key(), &["B.Example", "A.EXAMPLE"])),
        (&["a.example", "b.example"], csr_for(&key(), "b.example", &["a.example"])),
        (&["a.example", "b.example"], csr_for(&key(), "A.example", &["a.example", "b.example"])),
        (&["c.example"], csr_for(&key(), "c.example", &[])),
        (&["*.d.example"], csr_for(&key(), "*.d.example", &[])),
        (&["127.0.0.1"], csr_with(&key(), &["127.0.0.1"])),
    ] {
        let (_, order) = world.ready_order(&client, names).await;
        let done = client.finalize(&order, &csr).await.expect(200).json();
        assert_eq!(done["status"], "valid", "{done}");
        // The names are written as they were ordered.
        let der = leaf(&client.certificate(&done).await);
        let found = parsed(&der).subject_alternative_name().unwrap().unwrap().value.general_names.clone();
        let dns = found.iter().filter_map(|name| match name {
            GeneralName::DNSName(name) => Some(*name),
            _ => None,
        });
        let ordered: Vec<&str> = names.iter().copied().filter(|name| *name != "127.0.0.1").collect();
        assert_eq!(dns.collect::<Vec<_>>(), ordered);
        assert_eq!(found.len(), names.len());
    }
}

#[tokio::test]
async fn an_address_must_stand_in_subject_alt_name() {
    let world = World::new().await;
    let client = world.client().await;
    let key = KeyPair::generate().unwrap();
    refused(
        &world,
        &client,
        &["127.0.0.1"],
        &[
            // RFC 8738 section 3.
            ("in the common name alone", csr_for(&key, "127.0.0.1", &[]), &["127.0.0.1"]),
        ],
    )
    .await;
}

#[tokio::test]
async fn weak_and_unusual_keys_and_signatures_are_refused() {
    let world = World::new().await;
    let client = world.client().await;
    refused(
        &world,
        &client,
        &["example.com"],
        &[
            ("RSA 1024", openssl_csr(RSA1024, &[]), &["1024"]),
            ("P-521", openssl_csr(P521, &[]), &["P-521"]),
            ("Ed25519", openssl_csr(ED25519, &[]), &["Ed25519"]),
            ("SHA-1", openssl_csr(RSA2048, &["-sha1"]), &["SHA-1"]),
            ("CA:TRUE", openssl_csr(P384, &["-addext", "basicConstraints=critical,CA:TRUE"]), &["CA:TRUE"]),
        ],
    )
    .await;
    // A product may take fewer kinds of keys than the server.
    let (_, order) = {
        let placed = client.new_order_of(order_of(&["example.com"], json!({ "profile": "single" }))).await.expect(201);
        let authz = client.authorizations(&placed.json()).await.swap_remove(0);
        world.prove(&client, &authz).await.expect(200);
        (placed.location().to_owned(), placed.json())
    };
    for key in [P384, RSA2048] {
        let answer = client.finalize(&order, &openssl_csr(key, &[])).await;
        has_parts(&answer.expect_problem(400, "badCSR"), &["\"single\" takes P-256"]);
    }
    assert_eq!(client.finalize(&order, &csr(&["example.com"]).0).await.expect(200).json()["status"], "valid");
}

#[tokio::test]
async fn what_is_no_csr_is_refused_and_the_order_stays_ready() {
    let world = World::new().await;
    let client = world.client().await;
    let (der, key) = csr(&["example.com"]);
    let flipped = |place: usize| {
        let mut flipped = der.clone();
        flipped[place] ^= 1;
        flipped
    };
    let pem = pem::encode(&pem::Pem::new("CERTIFICATE REQUEST", der.clone())).into_bytes();
    let certificate = CertificateParams::new(vec!["example.com".to_owned()]).unwrap().self_signed(&key).unwrap();
    refused(
        &world,
        &client,
        &["example.com"],
        &[
            ("PEM", pem, &["PEM"]),
            ("nothing", Vec::new(), &["PKCS#10"]),
            ("rubbish", vec![0x30, 0x03, 0x02, 0x01, 0x00], &["PKCS#10"]),
            ("a certificate", certificate.der().to_vec(), &["PKCS#10"]),
            ("something behind it", [&der[..], &[0]].concat(), &["PKCS#10"]),
            ("cut off", der[..der.len() - 1].to_vec(), &["PKCS#10"]),
            ("another signature", flipped(der.len() - 1), &["signature"]),
            ("another key", flipped(der.len() / 3), &[]),
        ],
    )
    .await;
    let (place, order) = world.ready_order(&client, &["other.example"]).await;
    let finalize = url(&order, "finalize");
    for payload in [
        json!({}),
        json!({ "csr": null }),
        json!({ "csr": 5 }),
        json!({ "csr": "not base64url!" }),
        json!({ "csr": "AAA=" }),
        json!({ "csr": "-----BEGIN CERTIFICATE REQUEST-----" }),
        json!({ "csr": base64_standard(&[0xfb, 0xff, 0xfe]) }),
        json!([]),
    ] {
        client.post(finalize, &payload).await.expect_problem(400, "malformed");
    }
    client.post_as_get(finalize).await.expect_problem(400, "malformed");
    client.get(finalize).await.expect_problem(405, "malformed");
    assert_eq!(look(&client, &place).await, order);
}

fn base64_standard(octets: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(octets)
}

#[tokio::test]
async fn an_account_key_is_never_certified() {
    let world = World::new().await;
    let (own, others, former, closed) = (
        KeyPair::generate().unwrap(),
        KeyPair::generate().unwrap(),
        KeyPair::generate().unwrap(),
        KeyPair::generate().unwrap(),
    );
    let mut changed = world.client_with(certificate_signer(&former)).await;
    changed.change_key(Signer::generate("ES256")).await.expect(200);
    world.client_with(certificate_signer(&closed)).await.deactivate().await.expect(200);
    world.client_with(certificate_signer(&others)).await;
    let client = world.client_with(certificate_signer(&own)).await;
    let csr = |key: &KeyPair| csr_with(key, &["example.com"]);
    refused(
        &world,
        &client,
        &["example.com"],
        &[
            ("its own", csr(&own), &["ACME account"]),
            ("another's", csr(&others), &["ACME account"]),
            ("one that was changed", csr(&former), &["ACME account"]),
            ("that of a closed account", csr(&closed), &["ACME account"]),
        ],
    )
    .await;
}

#[tokio::test]
async fn a_certified_key_never_becomes_an_account_key() {
    let world = World::new().await;
    let mut client = world.client().await;
    let (der, key) = csr(&["example.com"]);
    let (_, order) = world.ready_order(&client, &["example.com"]).await;
    client.finalize(&order, &der).await.expect(200);
    let mut newcomer = Client::with_key(world.router(), crate::support::world::BASE, certificate_signer(&key));
    newcomer.new_account().await.expect_problem(400, "badPublicKey");
    client.change_key(certificate_signer(&key)).await.expect_problem(400, "badPublicKey");
}

#[tokio::test]
async fn an_order_that_is_not_ready_takes_no_csr() {
    let world = World::new().await;
    let client = world.client().await;
    let (place, order, authz_url, authz) = order_one(&client, "example.com").await;
    let (der, _) = csr(&["example.com"]);
    let refused = client.finalize(&order, &der).await;
    has_parts(&refused.expect_problem(403, "orderNotReady"), &["pending", "challenge"]);
    // The state is told even if the CSR is no good either.
    client.finalize(&order, b"rubbish").await.expect_problem(403, "orderNotReady");
    client.respond(&challenge(&authz, "dns-01")).await.expect(200);
    let refused = client.finalize(&order, &der).await;
    has_parts(&refused.expect_problem(403, "orderNotReady"), &["invalid", "new order"]);
    assert_eq!(look(&client, &place).await["status"], "invalid");
    assert_eq!(look(&client, &authz_url).await["status"], "invalid");
}

#[tokio::test]
async fn the_same_csr_again_is_harmless_and_another_is_refused() {
    let world = World::new().await;
    let client = world.client().await;
    let (place, order) = world.ready_order(&client, &["example.com"]).await;
    let (der, key) = csr(&["example.com"]);
    let first = client.finalize(&order, &der).await.expect(200);
    for _ in 0..2 {
        let again = client.finalize(&order, &der).await.expect(200);
        assert_eq!((again.location(), again.json()), (place.as_str(), first.json()));
    }
    for other in [csr(&["example.com"]).0, csr_for(&key, "example.com", &["example.com"]), b"rubbish".to_vec()] {
        let refused = client.finalize(&order, &other).await;
        has_parts(&refused.expect_problem(403, "orderNotReady"), &["valid", "another CSR"]);
    }
    assert_eq!(look(&client, &place).await, first.json());
    assert_eq!(world.ra().certificates(None, 100).await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_finalizers_at_once_make_one_certificate() {
    let mut world = World::new().await;
    let client = world.client().await;
    let rounds = 6;
    for round in 0..rounds {
        let name = format!("n{round}.example");
        let names = [name.as_str()];
        let (place, order) = world.ready_order(&client, &names).await;
        let (one, two) = (csr(&names).0, csr(&names).0);
        // Half of the rounds race with the same CSR, half with two.
        let other = if round % 2 == 0 { &one } else { &two };
        let (a, b, c) =
            tokio::join!(client.finalize(&order, &one), client.finalize(&order, other), client.finalize(&order, &one));
        let answers = [a, b, c];
        let taken: Vec<&str> =
            answers.iter().filter(|answer| answer.status == 200).map(|answer| answer.location()).collect();
        assert!(!taken.is_empty() && taken.iter().all(|location| *location == place));
        for refused in answers.iter().filter(|answer| answer.status != 200) {
            refused.expect_problem(403, "orderNotReady");
        }
        match round % 2 {
            0 => assert_eq!(taken.len(), 3),
            _ => assert!(taken.len() < 3, "two CSRs were accepted"),
        }
        assert_eq!(look(&client, &place).await["status"], "valid");
    }
    assert_eq!(world.ra().certificates(None, 100).await.unwrap().len(), rounds);
    let acts = world.audit().await;
    let serials = |pick: fn(&Act) -> Option<String>| acts.iter().filter_map(pick).collect::<BTreeSet<_>>();
    let recorded = serials(|act| match act {
        Act::OrderFinalized { serial, .. } => Some(serial.to_string()),
        _ => None,
    });
    let signed = serials(|act| match act {
        Act::CertificateIssued { serial, .. } => Some(serial.to_string()),
        _ => None,
    });
    assert_eq!((recorded.len(), &recorded), (rounds, &signed));
    assert!(!acts.iter().any(|act| matches!(act, Act::SerialAbandoned { .. })));
}

#[tokio::test]
async fn a_product_that_is_gone_is_no_longer_issued() {
    let passing = "validation_reuse_days = 5\ncaa_identities = [\"ca.test\"]";
    let mut world = World::with(|config| add_product(config, "passing", passing)).await;
    let client = world.client().await;
    world.ready_order(&client, &["example.com"]).await;
    let payload = order_of(&["example.com"], json!({ "profile": "passing" }));
    let order = client.new_order_of(payload.clone()).await.expect(201);
    assert_eq!(order.json()["status"], "ready");
    let catalog = std::fs::read_to_string(&world.config.catalog.products).unwrap();
    std::fs::write(&world.config.catalog.products, catalog.replace("\"passing\"", "\"other\"")).unwrap();
    world.restart().await;
    client.forget_nonce();
    let refused = client.finalize(&order.json(), &csr(&["example.com"]).0).await;
    has_parts(&refused.expect_problem(400, "invalidProfile"), &["\"passing\"", "no longer"]);
    client.new_order_of(payload).await.expect_problem(400, "invalidProfile");
    assert!(world.ra().certificates(None, 100).await.unwrap().is_empty());
}

/// An order whose certificate waits for the DNS: proven nine hours ago, so that CAA is looked up again.
async fn waiting_order(world: &World, client: &Client, name: &str) -> (String, Value) {
    let (place, order) = world.ready_order(client, &[name]).await;
    world.pass(9 * HOUR).await;
    world.dns.fail_type(name, "CAA", Failure::Drop);
    let answer = client.finalize(&order, &csr(&[name]).0).await.expect(200);
    assert_eq!((answer.location(), answer.header("retry-after")), (place.as_str(), Some("1")));
    assert_eq!(answer.json()["status"], "processing");
    assert_eq!(answer.json().get("certificate"), None);
    (place, answer.json())
}

#[tokio::test]
async fn an_order_that_takes_long_is_processing_until_it_is_valid() {
    let world = World::with(|config| (config.acme.finalize_wait_ms, config.acme.challenge_wait_ms) = (0, 0)).await;
    let client = world.client().await;
    let placed = client.new_order(&["example.com"]).await.expect(201);
    let authz = client.authorizations(&placed.json()).await.swap_remove(0);
    world.prove(&client, &authz).await.expect(200);
    world.pass(Duration::ZERO).await;
    world.pass(9 * HOUR).await;
    let (place, order) = (placed.location(), look(&client, placed.location()).await);
    assert_eq!(order["status"], "ready");
    world.dns.fail_type("example.com", "CAA", Failure::Drop);
    let (der, _) = csr(&["example.com"]);
    let answer = client.finalize(&order, &der).await.expect(200);
    assert_eq!((answer.location(), answer.header("retry-after")), (place, Some("1")));
    assert_eq!((&answer.json()["status"], answer.json().get("certificate")), (&json!("processing"), None));
    // The same CSR is a poll; another one comes too late; so does the identical order.
    assert_eq!(client.finalize(&order, &der).await.expect(200).json()["status"], "processing");
    let late = client.finalize(&order, &csr(&["example.com"]).0).await;
    has_parts(&late.expect_problem(403, "orderNotReady"), &["processing", "another CSR"]);
    assert_eq!(client.new_order(&["example.com"]).await.expect(201).location(), place);
    world.dns.clear("example.com");
    // The first look may have been lost on the way; then it is repeated.
    world.pass(HOUR).await;
    let done = client.post_as_get(place).await.expect(200);
    assert_eq!((&done.json()["status"], done.header("retry-after")), (&json!("valid"), None));
    client.certificate(&done.json()).await;
}

#[tokio::test]
async fn an_order_that_a_restart_cut_off_gets_its_certificate_under_a_fresh_serial() {
    let mut world = World::with(|config| config.acme.finalize_wait_ms = 0).await;
    let client = world.client().await;
    let (place, _) = waiting_order(&world, &client, "example.com").await;
    world.restart().await;
    client.forget_nonce();
    world.dns.clear("example.com");
    world.pass(HOUR).await;
    let done = look(&client, &place).await;
    assert_eq!(done["status"], "valid");
    let signed = parsed(&leaf(&client.certificate(&done).await)).raw_serial_as_string().replace(':', "");
    let acts = world.audit().await;
    let of = |pick: fn(&Act) -> Option<String>| acts.iter().filter_map(pick).collect::<Vec<_>>();
    let recorded = of(|act| if let Act::OrderFinalized { serial, .. } = act { Some(serial.to_string()) } else { None });
    let abandoned =
        of(|act| if let Act::SerialAbandoned { serial, .. } = act { Some(serial.to_string()) } else { None });
    assert_eq!(recorded, abandoned, "who knows whether the first was signed");
    assert!(!abandoned.contains(&signed), "{abandoned:?} {signed}");
    assert_eq!(world.ra().certificates(None, 100).await.unwrap().len(), 1);
}

#[tokio::test]
async fn what_is_given_up_while_an_order_is_processing_is_not_certified() {
    for closes in [false, true] {
        let world = World::with(|config| config.acme.finalize_wait_ms = 0).await;
        let client = world.client().await;
        let (place, order) = waiting_order(&world, &client, "example.com").await;
        let authz = order["authorizations"][0].as_str().unwrap();
        match closes {
            true => drop(client.deactivate().await.expect(200)),
            false => drop(client.post(authz, &json!({ "status": "deactivated" })).await.expect(200)),
        }
        world.dns.clear("example.com");
        world.pass(HOUR).await;
        assert!(world.ra().certificates(None, 100).await.unwrap().is_empty());
        if !closes {
            let over = look(&client, &place).await;
            assert_eq!(over["status"], "invalid");
            problem(&over["error"], "unauthorized", &["example.com", "no longer valid"]);
        }
    }
}

#[tokio::test]
async fn a_key_that_was_told_to_be_compromised_is_never_certified_again() {
    let world = World::new().await;
    let client = world.client().await;
    let key = KeyPair::generate().unwrap();
    let (_, order) = world.ready_order(&client, &["example.com"]).await;
    let done = client.finalize(&order, &csr_with(&key, &["example.com"])).await.expect(200).json();
    let der = leaf(&client.certificate(&done).await);
    client.revoke_with(&key, &der, Some(1)).await.expect(200);
    refused(
        &world,
        &client,
        &["example.com"],
        &[
            ("its own name", csr_with(&key, &["example.com"]), &["compromised"]),
            (
                "in other words",
                csr_of(&key, &["example.com"], |params| {
                    params.distinguished_name.push(DnType::CommonName, "example.com")
                }),
                &["compromised"],
            ),
        ],
    )
    .await;
    let other = world.client().await;
    refused(
        &world,
        &other,
        &["other.example"],
        &[("by another", csr_with(&key, &["other.example"]), &["compromised"])],
    )
    .await;
}
