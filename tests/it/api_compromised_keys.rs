//! The REST API for keys that are reported compromised.

use std::collections::BTreeSet;
use std::time::Duration;

use chancery::domain::audit::Act;
use rcgen::{CertificateParams, KeyPair, PublicKeyData as _};
use serde_json::{Value, json};

use crate::acme_tools::{DAY, leaf};
use crate::ca_tools::{openssl, pem};
use crate::support::client::{Client, csr_with};
use crate::support::operator::Operator;
use crate::support::world::World;

const KEYS: &str = "/compromised-keys";

fn hash(key: &KeyPair) -> String {
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &key.subject_public_key_info());
    hash.as_ref().iter().map(|octet| format!("{octet:02x}")).collect()
}

async fn certify(world: &World, client: &Client, key: &KeyPair, name: &str) -> (String, Vec<u8>) {
    let (_, order) = world.ready_order(client, &[name]).await;
    let done = client.finalize(&order, &csr_with(key, &[name])).await.expect(200).json();
    let der = leaf(&client.certificate(&done).await);
    (chancery::ca::certificate::serial_of(&der).unwrap().to_string(), der)
}

fn serials(report: &Value) -> BTreeSet<String> {
    let serials = report["live_certificates"].as_array().unwrap();
    serials.iter().map(|serial| serial.as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_key_is_reported_by_hash_by_public_key_or_by_certificate() {
    let mut world = World::new().await;
    let operator = Operator::of(&world);
    let key = || KeyPair::generate().unwrap();
    let (by_hash, by_key, by_certificate) = (key(), key(), key());
    let foreign =
        CertificateParams::new(vec!["other.example".to_owned()]).unwrap().self_signed(&by_certificate).unwrap();
    let since = world.now().to_string();
    for (reported, body) in [
        (&by_hash, json!({ "spki_sha256": hash(&by_hash).to_uppercase() })),
        (&by_key, json!({ "public_key": by_key.public_key_pem() })),
        (&by_certificate, json!({ "certificate": format!("a comment\n{}", foreign.pem()) })),
    ] {
        let told = operator.post(KEYS, &body).await;
        assert_eq!(told, json!({ "spki_sha256": hash(reported), "since": since, "live_certificates": [] }));
    }
    world.clock.advance(Duration::from_secs(60));
    for known in [&by_hash, &by_key, &by_certificate] {
        let again =
            operator.send("POST", KEYS, &json!({ "public_key": known.public_key_pem() })).await.expect(200).json();
        assert_eq!((&again["spki_sha256"], &again["since"]), (&json!(hash(known)), &json!(since)), "a report is kept");
    }
    let expected = BTreeSet::from([hash(&by_hash), hash(&by_key), hash(&by_certificate)]);
    let listed = operator.get(KEYS).await.expect(200).json()["items"].take();
    let listed = listed.as_array().unwrap().iter().map(|item| item["spki_sha256"].as_str().unwrap().to_owned());
    assert_eq!(listed.collect::<BTreeSet<_>>(), expected);
    let acts = world.audit().await;
    let audited = acts.iter().filter_map(|act| match act {
        Act::KeyReported { spki_sha256 } => Some(spki_sha256.clone()),
        _ => None,
    });
    let audited: Vec<String> = audited.collect();
    assert_eq!((audited.len(), audited.into_iter().collect::<BTreeSet<_>>()), (3, expected), "one event for each key");
}

#[tokio::test]
async fn a_report_names_every_certificate_in_force_with_that_key() {
    let world = World::new().await;
    let (operator, client) = (Operator::of(&world), world.client().await);
    let (key, other) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    certify(&world, &client, &key, "expired.example").await;
    world.pass(60 * DAY).await;
    let (one, der) = certify(&world, &client, &key, "one.example").await;
    let (two, _) = certify(&world, &client, &key, "two.example").await;
    let (revoked, _) = certify(&world, &client, &key, "revoked.example").await;
    certify(&world, &client, &other, "other.example").await;
    operator.send("POST", &format!("/certificates/{revoked}/revoke"), &json!({})).await.expect(200);
    world.pass(31 * DAY).await;

    let report = operator.post(KEYS, &json!({ "certificate": pem(&der) })).await;
    assert_eq!(report["spki_sha256"], hash(&key));
    assert_eq!(serials(&report), BTreeSet::from([one.clone(), two.clone()]));
    // One report is enough for all of them.
    operator.send("POST", &format!("/certificates/{one}/revoke"), &json!({ "reason": 1 })).await.expect(200);
    let again = operator.send("POST", KEYS, &json!({ "spki_sha256": hash(&key) })).await.expect(200).json();
    assert_eq!(serials(&again), BTreeSet::new(), "nothing is left to revoke");
}

#[tokio::test]
async fn a_revocation_for_key_compromise_is_a_report_too() {
    let world = World::new().await;
    let (operator, client) = (Operator::of(&world), world.client().await);
    let key = KeyPair::generate().unwrap();
    let (_, der) = certify(&world, &client, &key, "example.com").await;
    assert_eq!(operator.get(KEYS).await.expect(200).json(), json!({ "items": [] }));
    client.revoke_with(&key, &der, Some(1)).await.expect(200);
    let listed = operator.get(KEYS).await.expect(200).json();
    assert_eq!(listed["items"], json!([{ "spki_sha256": hash(&key), "since": world.now().to_string() }]));
}

#[tokio::test]
async fn what_is_no_report_is_refused_and_a_private_key_never_taken() {
    let world = World::new().await;
    let operator = Operator::of(&world);
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["a.example".to_owned()]).unwrap().self_signed(&key).unwrap().pem();
    let private = key.serialize_pem();
    let secret = private.lines().nth(1).unwrap();
    let directory = tempfile::TempDir::new().unwrap();
    let file = directory.path().join("rsa.pem");
    openssl(&["genrsa", "-traditional", "-out", file.to_str().unwrap(), "2048"]).unwrap();
    let rsa = std::fs::read_to_string(file).unwrap();
    let cases = [
        (json!({}), "expected"),
        (json!({ "spki_sha256": hash(&key), "public_key": key.public_key_pem() }), "can't be read"),
        (json!({ "spki": hash(&key) }), "spki_sha256"),
        (json!({ "spki_sha256": "" }), "64 hexadecimal digits"),
        (json!({ "spki_sha256": &hash(&key)[1..] }), "64 hexadecimal digits"),
        (json!({ "spki_sha256": format!("{}0", hash(&key)) }), "64 hexadecimal digits"),
        (json!({ "spki_sha256": format!("{}g", &hash(&key)[1..]) }), "64 hexadecimal digits"),
        (json!({ "spki_sha256": null }), "can't be read"),
        (json!({ "public_key": "" }), "SubjectPublicKeyInfo"),
        (json!({ "public_key": "hello" }), "SubjectPublicKeyInfo"),
        (json!({ "public_key": certificate }), "PUBLIC KEY"),
        (json!({ "public_key": "-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----\n" }), "SubjectPublicKeyInfo"),
        (json!({ "public_key": "-----BEGIN PUBLIC KEY-----\nAAAA" }), "0 blocks"),
        (json!({ "certificate": key.public_key_pem() }), "CERTIFICATE"),
        (json!({ "certificate": certificate.repeat(2) }), "2 blocks"),
        (json!({ "public_key": private }), "private key"),
        (json!({ "certificate": private }), "private key"),
        (json!({ "certificate": format!("{certificate}{private}") }), "private key"),
        (json!({ "public_key": rsa }), "private key"),
        (json!({ "private_key": private }), "private_key"),
    ];
    for (body, part) in cases {
        let answer = operator.send("POST", KEYS, &body).await.expect(400);
        assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{body}");
        let detail = answer.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains(part) && !detail.contains(secret), "{body}: {detail}");
    }
    assert_eq!(operator.get(KEYS).await.expect(200).json(), json!({ "items": [] }));
}

#[tokio::test]
async fn compromised_keys_come_in_pages_and_to_the_operator_alone() {
    let world = World::new().await;
    let operator = Operator::of(&world);
    let mut reported = BTreeSet::new();
    for _ in 0..5 {
        let digits = hash(&KeyPair::generate().unwrap());
        operator.post(KEYS, &json!({ "spki_sha256": digits })).await;
        reported.insert(digits);
    }
    let (mut seen, mut path) = (Vec::new(), format!("{KEYS}?limit=2"));
    loop {
        let page = operator.get(&path).await.expect(200).json();
        seen.extend(
            page["items"].as_array().unwrap().iter().map(|item| item["spki_sha256"].as_str().unwrap().to_owned()),
        );
        let Some(next) = page["next"].as_str() else { break };
        path = format!("{KEYS}?limit=2&after={next}");
    }
    assert_eq!((seen.len(), seen.into_iter().collect()), (5, reported));
    operator.get(&format!("{KEYS}?after=x")).await.expect(400);
    let stranger = Operator::with(&world, None);
    stranger.get(KEYS).await.expect(401);
    stranger.send("POST", KEYS, &json!({ "spki_sha256": "0".repeat(64) })).await.expect(401);
    let answer = operator.send("DELETE", KEYS, &json!({})).await.expect(405);
    assert_eq!(answer.header("allow"), Some("GET,HEAD,POST"));
}
