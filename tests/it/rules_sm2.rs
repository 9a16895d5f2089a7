//! Products of the national standard: pairs of SM2 certificates from the application to the revocation (CAT-13, KEY-01, KEY-11,
//! REVIEW-06, UPLOAD-05, X-09, X-20).

use std::collections::{BTreeMap, BTreeSet};

use chancery::ca::certificate::serial_of;
use chancery::config::Config;
use chancery::domain::Serial;
use chancery::domain::audit::Act;
use serde_json::{Value, json};
use tempfile::TempDir;
use x509_parser::prelude::{CertificateRevocationList, FromDer as _};

use crate::acme_tools::{ders, has_parts, look, parsed};
use crate::ca_sm2::{DISTID, sm2_request, verify};
use crate::ca_tools::{RSA2048, openssl, openssl_request, pem};
use crate::desk_tools::{Company, GIF, MINUTE, PDF, PRICED, approve, reviewer};
use crate::ocsp_tools::{SEQUENCE, der, elements};
use crate::paper_keystores::files_of;
use crate::portfolio_tools::run;
use crate::support::client::Client;
use crate::support::operator::Operator;
use crate::support::world::World;

const OV: &str = "dnspod-sm-ov";
const NAMES: [&str; 1] = ["shop.zone-one.cn"];
const SIGNED: [&str; 2] = ["-sigopt", DISTID];

/// The tag of a BIT STRING.
const BITS: u8 = 3;

/// A company whose application for an OV certificate was approved, with an order that only lacks its CSR.
async fn approved(world: &World, product: &str) -> (Company, Value) {
    let desk = reviewer(world, "Wang").await;
    let company = Company::new(world).await;
    let purchase = company.buy(world, product).await;
    let review = company.apply(&purchase).await["id"].as_str().unwrap().to_owned();
    company.upload(&purchase, PDF).await.expect(204);
    approve(&desk, &review).await.expect(200);
    let (_, order) = company.ready(world, product, &NAMES).await;
    (company, order)
}

/// A request of a key that the company keeps here.
async fn kept(company: &Company) -> Vec<u8> {
    let made = company.rest.post("/csrs", &json!({ "names": NAMES, "key": "sm2" })).await;
    pem::parse(made["csr"].as_str().unwrap()).unwrap().into_contents()
}

/// The certificate for signatures of a finalized order, with its chain, DER.
async fn chain(company: &Company, done: &Value) -> Vec<Vec<u8>> {
    assert_eq!(done["status"], "valid", "{done}");
    ders(&company.acme.certificate(done).await)
}

async fn at_pki(world: &World, path: &str) -> Vec<u8> {
    let base = &world.config.pki.public_url;
    Client::new(world.pki(), base).get(&format!("{base}{path}")).await.expect(200).body.to_vec()
}

async fn bundle(company: &Company, serial: &Serial, headers: &[(&str, &str)]) -> BTreeMap<String, Vec<u8>> {
    let path = format!("/certificates/{serial}/bundle?format=nginx");
    files_of(&company.rest.get_with(&path, headers).await.expect(200).body)
}

/// The subject public keys of a certificate and of a private key, as openssl writes them.
fn keys(directory: &TempDir, certificate: &[u8], key: &[u8], password: &str) -> [String; 2] {
    std::fs::write(directory.path().join("one.crt"), certificate).unwrap();
    std::fs::write(directory.path().join("one.key"), key).unwrap();
    let of_key = ["pkey", "-in", "one.key", "-passin", &format!("pass:{password}"), "-pubout"];
    [
        run(directory.path(), "openssl", &["x509", "-in", "one.crt", "-noout", "-pubkey"]),
        run(directory.path(), "openssl", &of_key),
    ]
}

#[tokio::test]
async fn an_order_gives_a_certificate_for_signatures_and_one_for_encryption() {
    // KEY-11, UPLOAD-05, REVIEW-06
    let mut world = World::documented_but(&PRICED).await;
    let desk = reviewer(&world, "Wang").await;
    let company = Company::new(&world).await;
    let purchase = company.buy(&world, OV).await;
    let review = company.apply(&purchase).await["id"].as_str().unwrap().to_owned();
    let (url, order) = company.ready(&world, OV, &NAMES).await;
    let csr = kept(&company).await;
    company.acme.finalize(&order, &csr).await.expect_problem(403, "userActionRequired");
    company.upload(&purchase, PDF).await.expect(204);
    assert_eq!(company.acme.finalize(&order, &csr).await.expect(200).json()["status"], "processing");
    approve(&desk, &review).await.expect(200);
    let chain = chain(&company, &look(&company.acme, &url).await).await;
    let first = serial_of(&chain[0]).unwrap();

    let directory = TempDir::new().unwrap();
    let files = bundle(&company, &first, &[]).await;
    assert_eq!(files.len(), 5, "two certificates, two keys, advice: {:?}", files.keys());
    let text = |name: &str| String::from_utf8(files[name].clone()).unwrap();
    let root = pem(&at_pki(&world, "/issuer/root-sm2.cer").await);
    let parts = [
        ("1_shop.zone-one.cn_cert.crt", "2_shop.zone-one.cn.key"),
        ("3_shop.zone-one.cn_encryption_cert.crt", "4_shop.zone-one.cn_encryption.key"),
    ];
    let mut found = Vec::new();
    for (certificate, key) in parts {
        let chain = ders(&text(certificate));
        assert_eq!(chain.len(), 2);
        assert_eq!(chain[1], at_pki(&world, "/issuer/chancery-d-sm2.cer").await);
        verify(directory.path(), &root, &pem(&chain[1]), &pem(&chain[0])).unwrap();
        let [of_certificate, of_key] = keys(&directory, text(certificate).as_bytes(), &files[key], "");
        assert_eq!(of_certificate, of_key, "{key}");
        found.push(chain[0].clone());
    }
    assert_eq!(found[0], chain[0], "what ACME gives is the one for signatures");
    let second = serial_of(&found[1]).unwrap();
    let [signature, encryption] = [parsed(&found[0]), parsed(&found[1])];
    assert_eq!(signature.subject().as_raw(), encryption.subject().as_raw());
    assert!(signature.subject().to_string().contains("O=Shenzhen Zone Trading Co., Ltd."));
    assert_eq!(signature.validity(), encryption.validity());
    let usage = |certificate: &x509_parser::certificate::X509Certificate<'_>| {
        certificate.key_usage().unwrap().unwrap().value.flags
    };
    assert_eq!((usage(&signature), usage(&encryption)), (0b11, 0b11100));
    assert_ne!(signature.public_key().raw, encryption.public_key().raw);

    // RFC 8555 alone leads to both certificates.
    let answer = company.acme.post_as_get(look(&company.acme, &url).await["certificate"].as_str().unwrap()).await;
    let related = answer.links("related").remove(0);
    let answer = company.acme.post_as_get(&related).await.expect(200);
    assert_eq!(ders(&answer.text()), ders(&text(parts[1].0)));
    assert!(answer.links("related").is_empty());
    let stranger = world.client().await;
    stranger.post_as_get(&related).await.expect_problem(404, "malformed");

    // The key leaves the vault locked, where its owner gives a password.
    let locked = bundle(&company, &first, &[("chancery-key-password", "Zq7-hedgehog")]).await;
    let [certificate, key] = [&locked["3_shop.zone-one.cn_encryption_cert.crt"], &locked[parts[1].1]];
    assert!(key.starts_with(b"-----BEGIN ENCRYPTED PRIVATE KEY"));
    let [of_certificate, of_key] = keys(&directory, certificate, key, "Zq7-hedgehog");
    assert_eq!(of_certificate, of_key);
    // Operators get no private keys, as everywhere, and the list shows the pair as the one thing that it is.
    let path = format!("/certificates/{first}/bundle?format=nginx");
    let operators = Operator::of(&world).get(&path).await.expect(200);
    assert_eq!(files_of(&operators.body).len(), 2);
    let listed = company.rest.get("/certificates").await.expect(200).json();
    assert_eq!(listed["items"].as_array().unwrap().len(), 1, "{listed}");

    world.restart().await;
    let again = bundle(&company, &first, &[]).await;
    assert_eq!(again[parts[1].1], files[parts[1].1]);
    // The second serial was recorded too, and both certificates are in the log.
    let acts = world.audit().await;
    let is_there = |test: &dyn Fn(&Act) -> bool| acts.iter().any(test);
    assert!(is_there(&|act| matches!(act, Act::SecondSerialRecorded { serial, .. } if *serial == second)));
    for wanted in [first, second] {
        assert!(is_there(&|act| matches!(act, Act::CertificateIssued { serial, .. } if *serial == wanted)));
    }
    assert_eq!(world.checked().await.faults, Vec::<String>::new());
}

#[tokio::test]
async fn keys_are_those_that_the_catalogue_says() {
    // CAT-13, KEY-01, X-09
    let world = World::documented_but(&PRICED).await;
    let (company, order) = approved(&world, OV).await;
    let san = "DNS:shop.zone-one.cn";
    for other in [&[][..], &["-sigopt", "distid:ALICE123@YAHOO.COM"]] {
        let refused = company.acme.finalize(&order, &sm2_request(san, other)).await;
        has_parts(&refused.expect_problem(400, "badCSR"), &["1234567812345678", "another identifier"]);
    }
    let done = company.acme.finalize(&order, &sm2_request(san, &SIGNED)).await.expect(200).json();
    let issued = chain(&company, &done).await;
    assert_eq!(issued[1], at_pki(&world, "/issuer/chancery-d-sm2.cer").await);
    // Whose signature key is elsewhere gets three parts.
    let files = bundle(&company, &serial_of(&issued[0]).unwrap(), &[]).await;
    assert_eq!(files.len(), 4, "{:?}", files.keys());
    // Keys of the international standard are taken too, and give one certificate of that.
    let (company, order) = approved(&world, OV).await;
    let rsa = openssl_request(RSA2048, &["-addext", &format!("subjectAltName={san}")]);
    let done = company.acme.finalize(&order, &rsa).await.expect(200).json();
    let issued = chain(&company, &done).await;
    assert_eq!(issued[1], at_pki(&world, "/issuer/chancery-d.cer").await);
    assert_eq!(bundle(&company, &serial_of(&issued[0]).unwrap(), &[]).await.len(), 2);
    // Others take no SM2 keys.
    let (company, order) = approved(&world, "trustasia-ov-single").await;
    let refused = company.acme.finalize(&order, &sm2_request(san, &SIGNED)).await.expect_problem(400, "badCSR");
    has_parts(&refused, &["The key is SM2", "SM2 keys need a DNSPod GM product", "(CAT-13)"]);
}

#[tokio::test]
async fn both_certificates_of_a_pair_are_revoked_together() {
    for by_second in [false, true] {
        let mut world = World::documented_but(&PRICED).await;
        let (company, order) = approved(&world, OV).await;
        let done = company.acme.finalize(&order, &kept(&company).await).await.expect(200).json();
        let first = chain(&company, &done).await.remove(0);
        let serial = serial_of(&first).unwrap();
        let files = bundle(&company, &serial, &[]).await;
        let second = ders(std::str::from_utf8(&files["3_shop.zone-one.cn_encryption_cert.crt"]).unwrap()).remove(0);
        let both = [serial, serial_of(&second).unwrap()];
        assert_eq!(on_list(&world).await, Vec::<Vec<u8>>::new());
        let named = if by_second { &second } else { &first };
        company.acme.revoke(named, Some(1)).await.expect(200);
        let mut expected: Vec<Vec<u8>> = both.iter().map(|serial| serial.as_bytes().to_vec()).collect();
        expected.sort();
        assert_eq!(on_list(&world).await, expected);
        for der in [&first, &second] {
            company.acme.revoke(der, None).await.expect_problem(400, "alreadyRevoked");
        }
        let path = format!("/certificates/{serial}/bundle?format=nginx");
        company.rest.get(&path).await.expect(409);
        let acts = world.audit().await;
        for wanted in both {
            let revoked = |act: &&Act| matches!(act, Act::CertificateRevoked { serial, .. } if *serial == wanted);
            assert_eq!(acts.iter().filter(revoked).count(), 1);
        }
    }
}

/// Has an order fulfilled, and gives the certificate for signatures and the one for encryption, DER.
async fn pair(company: &Company, order: &Value, csr: &[u8]) -> [Vec<u8>; 2] {
    let done = company.acme.finalize(order, csr).await.expect(200).json();
    let first = chain(company, &done).await.remove(0);
    let files = bundle(company, &serial_of(&first).unwrap(), &[]).await;
    let second = files.iter().find(|(name, _)| name.ends_with("_encryption_cert.crt")).unwrap().1;
    [first, ders(std::str::from_utf8(second).unwrap()).remove(0)]
}

#[tokio::test]
async fn a_pair_in_use_is_revoked_by_neither_of_its_certificates() {
    // REVOKE-09
    for deployed in [0, 1] {
        let world = World::documented_but(&PRICED).await;
        let (company, order) = approved(&world, OV).await;
        let both = pair(&company, &order, &kept(&company).await).await;
        let serials = [0, 1].map(|half| serial_of(&both[half]).unwrap());
        let cdn = json!({ "resources": [{ "type": "cdn", "id": "cdn-1", "url": "https://cdn.zone-one.cn/" }] });
        let made = company.rest.post(&format!("/certificates/{}/deployments", serials[deployed]), &cdn).await;
        assert_eq!(made["certificate"], serials[0].to_string(), "a pair is one thing to its owner");
        for half in [0, 1] {
            let told = company.acme.revoke(&both[half], Some(5)).await.expect_problem(403, "unauthorized");
            has_parts(&told, &["in use by cdn cdn-1", "REVOKE-09"]);
            let path = format!("/certificates/{}/revocations", serials[half]);
            let refused = company.rest.send("POST", &path, &json!({ "grounds": "Closed" })).await.expect(403).json();
            has_parts(refused["detail"].as_str().unwrap(), &["in use by cdn cdn-1", "REVOKE-09"]);
            let path = format!("/certificates/{}/revoke", serials[half]);
            let refused = Operator::of(&world).send("POST", &path, &json!({ "reason": 5 })).await.expect(409).json();
            has_parts(refused["detail"].as_str().unwrap(), &["cdn cdn-1", "REVOKE-09"]);
        }
        assert_eq!(on_list(&world).await, Vec::<Vec<u8>>::new());
    }
}

#[tokio::test]
async fn the_reissues_of_a_pair_go_with_it_whichever_certificate_is_named() {
    // REVOKE-01, REVOKE-06
    let world = World::documented_but(&PRICED).await;
    let desk = reviewer(&world, "Zhao").await;
    let (company, order) = approved(&world, OV).await;
    let original = pair(&company, &order, &kept(&company).await).await;
    let (_, order) = company.ready(&world, OV, &NAMES).await;
    let reissue = pair(&company, &order, &kept(&company).await).await;
    let [named, other] = [&original[1], &original[0]].map(|der| serial_of(der).unwrap());
    for half in &reissue {
        let told = company.acme.revoke(half, Some(5)).await.expect_problem(403, "userActionRequired");
        has_parts(&told, &["Revoke the original", "REVOKE-06"]);
    }
    let asked = json!({ "reason": "cessationOfOperation", "grounds": "The shop is closed" });
    let begun = company.rest.post(&format!("/certificates/{named}/revocations"), &asked).await;
    assert_eq!(begun["certificate"], other.to_string());
    for serial in [named, other, serial_of(&reissue[1]).unwrap()] {
        let path = format!("/certificates/{serial}/bundle?format=nginx");
        let refused = company.rest.get(&path).await.expect(403).json();
        has_parts(refused["detail"].as_str().unwrap(), &["REVOKE-01"]);
    }
    for serial in [named, other] {
        let path = format!("/certificates/{serial}/revocations");
        let listed = company.rest.get(&path).await.expect(200).json();
        assert_eq!(listed["items"].as_array().unwrap().len(), 1, "{listed}");
        company.rest.send("POST", &path, &asked).await.expect(409);
    }
    let letter = format!("/revocations/{}/letter", begun["id"].as_str().unwrap());
    company.rest.request("PUT", &letter, "application/pdf", PDF.to_vec()).await.expect(200);
    approve(&desk, begun["id"].as_str().unwrap()).await.expect(200);
    let all = original.iter().chain(&reissue).map(|der| serial_of(der).unwrap().as_bytes().to_vec());
    assert_eq!(on_list(&world).await, all.collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>());
}

#[tokio::test]
async fn an_ev_pair_is_decided_at_the_desk_by_two_and_revoked_there() {
    // KEY-11, REVIEW-06, REVOKE-11
    let changes: Vec<(&str, &str)> = PRICED.into_iter().chain([("approvers = {}", "approvers = { ev = 2 }")]).collect();
    let world = World::documented_but(&changes).await;
    let desks = [reviewer(&world, "Wang").await, reviewer(&world, "Zhao").await];
    let company = Company::new(&world).await;
    let purchase = company.buy(&world, "dnspod-sm-ev").await;
    let review = company.apply(&purchase).await["id"].as_str().unwrap().to_owned();
    company.upload(&purchase, PDF).await.expect(204);
    let (url, order) = company.ready(&world, "dnspod-sm-ev", &NAMES).await;
    let csr = kept(&company).await;
    assert_eq!(company.acme.finalize(&order, &csr).await.expect(200).json()["status"], "processing");
    for (desk, status) in desks.iter().zip(["processing", "valid"]) {
        approve(desk, &review).await.expect(200);
        world.pass(MINUTE).await;
        assert_eq!(look(&company.acme, &url).await["status"], status);
    }
    let both = pair(&company, &order, &csr).await;
    for der in &both {
        let subject = parsed(der).subject().to_string();
        has_parts(&subject, &["O=Shenzhen Zone Trading Co., Ltd.", "91440300708461136T", "Private Organization"]);
    }
    assert_eq!(on_list(&world).await, Vec::<Vec<u8>>::new());

    let serials = [0, 1].map(|half| serial_of(&both[half]).unwrap());
    for der in &both {
        let told = company.acme.revoke(der, Some(5)).await.expect_problem(403, "userActionRequired");
        has_parts(&told, &["stamped letter", "REVOKE-11"]);
    }
    let asked = json!({ "reason": "cessationOfOperation", "grounds": "The shop is closed" });
    let begun = company.rest.post(&format!("/certificates/{}/revocations", serials[1]), &asked).await;
    let id = begun["id"].as_str().unwrap();
    company.rest.request("PUT", &format!("/revocations/{id}/letter"), "image/gif", GIF.to_vec()).await.expect(200);
    for desk in &desks {
        approve(desk, id).await;
    }
    let expected: BTreeSet<Vec<u8>> = serials.iter().map(|serial| serial.as_bytes().to_vec()).collect();
    assert_eq!(on_list(&world).await, expected.into_iter().collect::<Vec<_>>());
    for serial in serials {
        let shown = company.rest.get(&format!("/certificates/{serial}")).await.expect(200).json();
        assert_eq!((&shown["status"], &shown["reason"]), (&json!("revoked"), &json!("cessationOfOperation")));
    }
}

#[tokio::test]
async fn the_key_for_encryption_comes_in_an_envelope_that_the_key_for_signatures_opens() {
    // GM/T 0009: SM2EnvelopedKey, opened by openssl.
    let mut world = World::documented_but(&PRICED).await;
    let (company, order) = approved(&world, OV).await;
    let csr = kept(&company).await;
    let both = pair(&company, &order, &csr).await;
    let serials = [0, 1].map(|half| serial_of(&both[half]).unwrap());
    let done = company.acme.finalize(&order, &csr).await.expect(200).json();
    let answer = company.acme.post_as_get(done["certificate"].as_str().unwrap()).await.expect(200);
    let link = answer.links("urn:chancery:encryption-key").remove(0);
    let answer = company.acme.post_as_get(&link).await.expect(200);
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let [(SEQUENCE, parts)] = elements(&answer.body)[..] else { panic!("{:02x?}", answer.body) };
    let [(SEQUENCE, algorithm), (SEQUENCE, sealed_key), (BITS, public), (BITS, sealed)] = elements(parts)[..] else {
        panic!("{parts:02x?}")
    };
    // sm4-ecb, as openssl lists it: 1.2.156.10197.1.104.1
    assert_eq!(algorithm, [6, 8, 0x2a, 0x81, 0x1c, 0xcf, 0x55, 1, 0x68, 1]);
    assert_eq!(public[1..], *parsed(&both[1]).public_key().subject_public_key.data);
    let directory = TempDir::new().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let files = bundle(&company, &serials[0], &[]).await;
    let (sign, decrypt) = (&files["2_shop.zone-one.cn.key"], &files["4_shop.zone-one.cn_encryption.key"]);
    for (name, content) in [("sign", &sign[..]), ("decrypt", decrypt), ("sealed", &sealed[1..])] {
        std::fs::write(path(name), content).unwrap();
    }
    std::fs::write(path("sealed-key"), der(SEQUENCE, &[sealed_key])).unwrap();
    let opened_by = |key: &str| {
        let line = ["pkeyutl", "-decrypt", "-inkey", &path(key), "-in", &path("sealed-key"), "-out", &path("key")];
        openssl(&line).map(|_| std::fs::read(path("key")).unwrap())
    };
    let key: String = opened_by("sign").unwrap().iter().map(|octet| format!("{octet:02x}")).collect();
    assert_eq!(key.len(), 32);
    let line = ["enc", "-d", "-sm4-ecb", "-nopad", "-K", &key, "-in", &path("sealed"), "-out", &path("number")];
    openssl(&line).unwrap();
    let number = std::fs::read(path("number")).unwrap();
    let private = pem::parse(decrypt).unwrap().into_contents();
    assert!(number.len() == 32 && private.windows(32).any(|part| part == number));
    assert!(opened_by("decrypt").is_err());
    // Each envelope is another one; either certificate names it, and nobody else gets it.
    let by_second = link.replace(&serials[0].to_string(), &serials[1].to_string());
    assert_ne!(company.acme.post_as_get(&by_second).await.expect(200).body, answer.body);
    world.client().await.post_as_get(&link).await.expect_problem(404, "malformed");
    company.acme.get(&link).await.expect(405);
    let asked = json!({ "grounds": "The shop is closed" });
    company.rest.post(&format!("/certificates/{}/revocations", serials[0]), &asked).await;
    has_parts(&company.acme.post_as_get(&link).await.expect_problem(403, "unauthorized"), &["REVOKE-01"]);
    company.acme.revoke(&both[0], Some(1)).await.expect(200);
    company.acme.post_as_get(&link).await.expect_problem(400, "alreadyRevoked");
    let read = |act: &Act| matches!(act, Act::PrivateKeyRead { of } if *of == serials[0].to_string());
    // The two archives and the two envelopes.
    assert_eq!(world.audit().await.iter().filter(|act| read(act)).count(), 4);
}

/// The serials on the list of the SM2 issuer, sorted.
async fn on_list(world: &World) -> Vec<Vec<u8>> {
    let list = at_pki(world, "/crl/chancery-d-sm2/0.crl").await;
    let (_, list) = CertificateRevocationList::from_der(&list).unwrap();
    let mut serials: Vec<Vec<u8>> = list.iter_revoked_certificates().map(|entry| entry.raw_serial().to_vec()).collect();
    serials.sort();
    serials
}

async fn profiles(client: &Client) -> Vec<String> {
    let directory = client.directory().await;
    directory["meta"]["profiles"].as_object().unwrap().keys().cloned().collect()
}

#[tokio::test]
async fn a_server_that_cannot_sign_sm2_does_not_offer_it() {
    // Section 25 of the rules, CAT-13.
    let without = |config: &mut Config| {
        config.ca.sm2_issuers = Vec::new();
        let mut catalog = std::fs::read_to_string(&config.catalog.products).unwrap();
        for (text, priced) in PRICED {
            catalog = catalog.replace(text, priced);
        }
        config.catalog.products = config.server.data_dir.with_file_name("changed.toml");
        std::fs::write(&config.catalog.products, catalog).unwrap();
    };
    let world = World::documented_with(without).await;
    let company = Company::new(&world).await;
    let offered = profiles(&company.acme).await;
    assert!(!offered.iter().any(|id| id.starts_with("dnspod-sm")), "{offered:?}");
    assert!(offered.iter().any(|id| id == "dnspod-std-ov"), "{offered:?}");
    let refused = company.place(OV, &NAMES).await.expect_problem(400, "invalidProfile");
    has_parts(&refused, &["dnspod-sm-ov", "cannot sign SM2", "CAT-13"]);
    let refused = company.rest.send("POST", "/csrs", &json!({ "names": NAMES, "key": "sm2" })).await.expect(400);
    has_parts(refused.json()["detail"].as_str().unwrap(), &["No product takes SM2 keys"]);
    let base = &world.config.pki.public_url;
    Client::new(world.pki(), base).get(&format!("{base}/issuer/root-sm2.cer")).await.expect(404);
}

#[tokio::test]
async fn sm2_dv_is_off_until_an_operator_prices_it() {
    //
    let world = World::documented_but(&PRICED).await;
    let company = Company::new(&world).await;
    let offered = profiles(&company.acme).await;
    assert!(!offered.iter().any(|id| id == "dnspod-sm-dv") && offered.iter().any(|id| id == OV), "{offered:?}");
    let refused = company.place("dnspod-sm-dv", &NAMES).await.expect_problem(400, "invalidProfile");
    has_parts(&refused, &["is not sold"]);
    let title = "title = \"DNSPod GM (SM2) DV, one name\"";
    let world = World::documented_but(&[(title, &format!("{title}\nprice = {{ base = 100 }}"))]).await;
    let company = Company::new(&world).await;
    company.buy(&world, "dnspod-sm-dv").await;
    let (_, order) = company.ready(&world, "dnspod-sm-dv", &NAMES).await;
    let done = company.acme.finalize(&order, &kept(&company).await).await.expect(200).json();
    let issued = chain(&company, &done).await;
    assert_eq!(bundle(&company, &serial_of(&issued[0]).unwrap(), &[]).await.len(), 5);
}

#[tokio::test]
async fn restarts_at_any_point_leave_one_pair() {
    let mut world = World::documented_but(&PRICED).await;
    let company = Company::new(&world).await;
    let purchase = company.buy(&world, OV).await;
    let review = company.apply(&purchase).await["id"].as_str().unwrap().to_owned();
    company.upload(&purchase, PDF).await.expect(204);
    let (url, order) = company.ready(&world, OV, &NAMES).await;
    let csr = sm2_request("DNS:shop.zone-one.cn", &SIGNED);
    assert_eq!(company.acme.finalize(&order, &csr).await.expect(200).json()["status"], "processing");
    world.restart().await;
    approve(&Operator::of(&world), &review).await.expect(200);
    world.restart().await;
    world.pass(MINUTE).await;
    company.acme.forget_nonce();
    let issued = chain(&company, &look(&company.acme, &url).await).await;
    assert_eq!(bundle(&company, &serial_of(&issued[0]).unwrap(), &[]).await.len(), 4);
    // However many runs there were, each took a serial of its own for the second certificate, and one pair is there.
    let acts = world.audit().await;
    let second = |act: &Act| match act {
        Act::SecondSerialRecorded { serial, .. } => Some(*serial),
        _ => None,
    };
    let recorded: Vec<Serial> = acts.iter().filter_map(second).collect();
    let distinct: BTreeSet<String> = recorded.iter().map(ToString::to_string).collect();
    assert!(!recorded.is_empty() && distinct.len() == recorded.len());
    assert_eq!(acts.iter().filter(|act| matches!(act, Act::CertificateIssued { .. })).count(), 2);
    assert_eq!(world.ra().certificates(None, 10).await.unwrap().len(), 2);
}
