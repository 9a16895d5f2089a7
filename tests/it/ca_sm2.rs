//! The SM2 hierarchy, its pairs of certificates, requests and lists, each read by openssl.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use chancery::ca::crl::Revoked;
use chancery::ca::{LeafPlan, Settings, csr, request};
use chancery::domain::certificate::RevocationReason;
use chancery::domain::csr::{Csr, SubjectKey};
use chancery::domain::{Error, Serial, Timestamp};
use proptest::prelude::{ProptestConfig, any, prop_assert, proptest};
use x509_parser::prelude::{CertificateRevocationList, FromDer as _};

use crate::acme_tools::has_parts;
use crate::ca_tools::{DAY, NOW, P256, TestCa, names, one_issuer, openssl, openssl_request, pem, plan};

pub const SM2: &[&str] = &["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:SM2"];

/// How openssl is told the identifier of RFC 8998 section 3.2.1.
pub const DISTID: &str = "distid:1234567812345678";

/// A CA with one family, which certifies SM2 keys too.
fn national() -> TestCa {
    TestCa::with(settings())
}

fn settings() -> Settings {
    Settings { rsa_issuers: false, sm2_issuers: vec!["chancery".to_owned()], ..one_issuer() }
}

/// A request of an SM2 key for these names, signed by openssl under an identifier.
pub fn sm2_request(subject_alt_name: &str, identifier: &[&str]) -> Vec<u8> {
    openssl_request(SM2, &[&["-sm3", "-addext", &format!("subjectAltName={subject_alt_name}")], identifier].concat())
}

fn sm2_csr() -> Csr {
    csr::parse(&sm2_request("DNS:example.com", &["-sigopt", DISTID])).unwrap()
}

/// Has openssl verify a certificate by the one above it, PEM. It hands the identifier to the certificate that is asked about alone,
/// not to those on the way to the root, so each step is verified by itself.
pub fn verify_step(directory: &Path, above: &str, below: &str) -> Result<String, String> {
    let file = |name: &str, content: &str| {
        let path = directory.join(name);
        fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (above, below) = (file("above.pem", above), file("below.pem", below));
    let moment = NOW.as_secs().to_string();
    let options = ["verify", "-attime", &moment, "-vfyopt", DISTID, "-x509_strict", "-partial_chain"];
    openssl(&[&options[..], &["-CAfile", &above, &below]].concat())
}

/// Has openssl verify a leaf up to an SM2 root; all PEM.
pub fn verify(directory: &Path, root: &str, intermediate: &str, leaf: &str) -> Result<String, String> {
    verify_step(directory, root, intermediate)?;
    verify_step(directory, intermediate, leaf)
}

/// Both certificates of a pair for a plan, DER.
fn pair(test: &TestCa, first: &LeafPlan) -> [Vec<u8>; 2] {
    let (_, spki) = request::sm2_key().unwrap();
    let second = LeafPlan { serial: Serial::random(), spki, ..first.clone() };
    let prepared = [test.ca.prepare(first).unwrap(), test.ca.prepare_encryption(&second).unwrap()];
    prepared.map(|prepared| test.ca.sign(prepared).unwrap().der)
}

fn told<T>(result: Result<T, Error>) -> String {
    result.err().expect("refused").problem().detail.clone()
}

fn text(test: &TestCa, der: &[u8]) -> String {
    openssl(&["x509", "-in", &test.file("shown.pem", pem(der).as_bytes()), "-noout", "-text"]).unwrap()
}

#[test]
fn the_sm2_hierarchy_is_one_of_its_own() {
    let test = national();
    let read = |name: &str| fs::read_to_string(test.keys().join(name)).unwrap();
    for name in ["root-sm2", "chancery-sm2"] {
        let path = test.keys().join(format!("{name}.key"));
        let shown = openssl(&["pkey", "-in", path.to_str().unwrap(), "-check", "-noout", "-text"]).unwrap();
        assert!(shown.contains("ASN1 OID: SM2"), "{shown}");
    }
    let shown = |name: &str| {
        let path = test.keys().join(name);
        openssl(&["x509", "-in", path.to_str().unwrap(), "-noout", "-text", "-nameopt", "oneline"]).unwrap()
    };
    let (root, intermediate) = (shown("root-sm2.pem"), shown("chancery-sm2.pem"));
    let both = [
        "Issuer: C = CN, O = Chancery, CN = Chancery SM2 Root R1",
        "Signature Algorithm: SM2-with-SM3",
        "X509v3 Key Usage: critical\n                Certificate Sign, CRL Sign\n",
        "Not Before: Nov 21 12:00:00 2026 GMT",
    ];
    has_parts(&root, &both);
    has_parts(&root, &["CA:TRUE\n", "Not After : Nov 16 11:59:59 2046 GMT"]);
    has_parts(&intermediate, &both);
    has_parts(
        &intermediate,
        &[
            "Subject: C = CN, O = Chancery, CN = Chancery TLS SM2 CA 1",
            "CA:TRUE, pathlen:0",
            "CA Issuers - URI:http://pki.chancery.test:14080/issuer/root-sm2.cer\n",
            "URI:http://pki.chancery.test:14080/crl/root-sm2/0.crl\n",
        ],
    );
    assert!(!root.contains("Policies") && !intermediate.contains("Policies"));
    verify_step(test.directory.path(), &read("root-sm2.pem"), &read("chancery-sm2.pem")).unwrap();
    verify_step(test.directory.path(), &read("root.pem"), &read("chancery-sm2.pem")).unwrap_err();
    assert_eq!(pem::parse(read("root-sm2.pem")).unwrap().contents(), test.ca.issuer_der("root-sm2").unwrap());
    assert!(!test.ca.root_pem().contains(&read("root-sm2.pem")), "the trust anchor is the other one");
}

#[test]
fn both_certificates_of_a_pair_have_their_profiles() {
    let test = national();
    let first = plan(&sm2_csr(), &["example.com", "*.example.com", "192.0.2.7", "2001:db8::7"]);
    let both = pair(&test, &first);
    let root = fs::read_to_string(test.keys().join("root-sm2.pem")).unwrap();
    let above = pem(&test.ca.chains("chancery-sm2").unwrap()[0][0]);
    let usages = ["Digital Signature, Non Repudiation", "Key Encipherment, Data Encipherment, Key Agreement"];
    for (der, usage) in both.iter().zip(usages) {
        verify(test.directory.path(), &root, &above, &pem(der)).unwrap();
        let shown = text(&test, der);
        has_parts(
            &shown,
            &[
                "Signature Algorithm: SM2-with-SM3",
                "ASN1 OID: SM2",
                &format!("X509v3 Key Usage: critical\n                {usage}\n"),
                "X509v3 Basic Constraints: critical\n                CA:FALSE\n",
                "TLS Web Server Authentication",
                "X509v3 Subject Alternative Name: critical\n                DNS:example.com, DNS:*.example.com, \
                 IP Address:192.0.2.7, IP Address:2001:DB8:0:0:0:0:0:7\n",
                "URI:http://pki.chancery.test:14080/crl/chancery-sm2/0.crl\n",
                "CA Issuers - URI:http://pki.chancery.test:14080/issuer/chancery-sm2.cer\n",
            ],
        );
        // Nothing of the Baseline Requirements.
        assert!(!shown.contains("Policies"), "{shown}");
        let mut forged = der.clone();
        *forged.last_mut().unwrap() ^= 1;
        verify(test.directory.path(), &root, &above, &pem(&forged)).unwrap_err();
    }
}

#[test]
fn nothing_is_signed_that_is_not_of_the_profile() {
    let test = national();
    let first = plan(&sm2_csr(), &["example.com"]);
    let tbs = test.ca.prepare(&first).unwrap().tbs().to_vec();
    test.ca.lint(&tbs, &first).unwrap();
    for at in 0..tbs.len() {
        let mut other = tbs.clone();
        other[at] ^= 1;
        test.ca.lint(&other, &first).unwrap_err();
    }
    test.ca.lint(&[&tbs[..], &[0]].concat(), &first).unwrap_err();
    // The other one of the pair is not this one, nor a key of another kind.
    let second = test.ca.prepare_encryption(&first).unwrap();
    test.ca.lint(second.tbs(), &first).unwrap_err();
    let p256 = csr::parse(&openssl_request(P256, &[])).unwrap();
    assert!(test.ca.prepare(&LeafPlan { spki: p256.spki.clone(), ..first.clone() }).is_err());
    assert!(test.ca.prepare(&LeafPlan { key: SubjectKey::P256, ..first.clone() }).is_err());
    let late = LeafPlan { not_after: NOW + 4000 * DAY, ..first };
    assert!(test.ca.prepare(&late).is_err());
}

#[test]
fn requests_are_signed_under_the_one_identifier() {
    let good = sm2_csr();
    assert_eq!((good.key, good.names), (SubjectKey::Sm2, BTreeSet::from_iter(names(&["example.com"]))));
    for other in [&[][..], &["-sigopt", "distid:ALICE123@YAHOO.COM"]] {
        let refused = told(csr::parse(&sm2_request("DNS:example.com", other)));
        has_parts(&refused, &["does not verify", "1234567812345678", "another identifier", "-sigopt distid:"]);
    }
    // With SHA-256 instead of SM3 it is no signature of that kind.
    let made = sm2_request("DNS:example.com", &["-sigopt", DISTID]);
    let algorithm = [0x2a, 0x81, 0x1c, 0xcf, 0x55, 0x01, 0x83, 0x75];
    let at = made.windows(8).rposition(|window| window == algorithm).unwrap();
    let mut other = made.clone();
    other[at + 7] = 0x76;
    has_parts(&told(csr::parse(&other)), &["not signed with SM2 and SM3"]);
    // A point beside the curve, and a compressed one.
    let curve = [0x2a, 0x81, 0x1c, 0xcf, 0x55, 0x01, 0x82, 0x2d];
    let key = made.windows(8).position(|window| window == curve).unwrap() + 8;
    let mut beside = made.clone();
    beside[key + 4] ^= 1;
    has_parts(&told(csr::parse(&beside)), &["SM2 with a point that is not on the curve"]);
    let mut compressed = made;
    compressed[key + 3] = 2;
    has_parts(&told(csr::parse(&compressed)), &["SM2 with a compressed point"]);
}

#[test]
fn requests_that_are_made_here_are_read_by_openssl() {
    let test = national();
    let made = request::generate(SubjectKey::Sm2, &names(&["example.com", "192.0.2.7"])).unwrap();
    let parsed = csr::parse(&made.csr).unwrap();
    assert!(request::is_key_of(&made.key, &parsed.spki));
    let path = test.file("made.csr", &made.csr);
    let shown = openssl(&["req", "-inform", "DER", "-in", &path, "-verify", "-vfyopt", DISTID, "-text", "-noout"]);
    has_parts(&shown.unwrap(), &["Subject: CN = example.com", "DNS:example.com, IP Address:192.0.2.7", "verify OK"]);
}

#[test]
fn the_list_of_an_sm2_issuer_is_signed_with_sm2() {
    let test = TestCa::with(Settings { crl_shards: 2, ..settings() });
    let entries: Vec<Revoked> = [RevocationReason::Unspecified, RevocationReason::KeyCompromise]
        .map(|reason| Revoked { serial: Serial::random(), at: NOW, reason })
        .to_vec();
    for (issuer, shard) in [("chancery-sm2", 0), ("chancery-sm2", 1), ("root-sm2", 0)] {
        let der = test.ca.crl(issuer, shard, 300, NOW, NOW + 7 * DAY, &entries).unwrap();
        let path = test.file("list.crl", &der);
        let shown = openssl(&["crl", "-inform", "DER", "-in", &path, "-noout", "-text"]).unwrap();
        has_parts(&shown, &["Signature Algorithm: SM2-with-SM3", "X509v3 CRL Number: \n                300"]);
        if shard == 0 {
            let serials = entries.iter().map(|entry| entry.serial.to_string().to_uppercase());
            assert!(serials.into_iter().all(|serial| shown.contains(&serial)), "{shown}");
            assert_eq!(shown.matches("Key Compromise").count(), 1);
        } else {
            has_parts(&shown, &["Issuing Distribution Point: critical", "/crl/chancery-sm2/1.crl"]);
        }
        // openssl takes no identifier for lists, so what was signed is verified by itself.
        let (_, list) = CertificateRevocationList::from_der(&der).unwrap();
        let tbs = test.file("list.tbs", list.tbs_cert_list.as_ref());
        let signature = test.file("list.sig", &list.signature_value.data);
        let issuer = test.file("issuer.cer", test.ca.issuer_der(issuer).unwrap());
        let key = openssl(&["x509", "-inform", "DER", "-in", &issuer, "-noout", "-pubkey"]).unwrap();
        let key = test.file("issuer.pub", key.as_bytes());
        let verify = ["pkeyutl", "-verify", "-pubin", "-inkey", &key, "-rawin", "-digest", "sm3", "-pkeyopt", DISTID];
        openssl(&[&verify[..], &["-in", &tbs, "-sigfile", &signature]].concat()).unwrap();
    }
}

#[test]
fn keys_are_kept_over_restarts_and_missed_when_they_are_gone() {
    let test = national();
    let before = test.ca.issuer_der("chancery-sm2").unwrap().to_vec();
    let leaf = plan(&sm2_csr(), &["example.com"]);
    let TestCa { ca, directory, settings } = test;
    drop(ca);
    let keys = directory.path().join("keys");
    let open = |settings: &Settings, now: Timestamp| {
        chancery::ca::Ca::open(&keys, settings, crate::ca_tools::PKI, now).map_err(|refusal| refusal.to_string())
    };
    let again = open(&settings, NOW + DAY).unwrap();
    assert_eq!(again.issuer_der("chancery-sm2").unwrap(), before);
    drop(again);
    // An issuer that the settings no longer name owes its list, and issues nothing.
    let retired = open(&Settings { sm2_issuers: Vec::new(), ..settings.clone() }, NOW).unwrap();
    retired.crl("chancery-sm2", 0, 1, NOW, NOW + DAY, &[]).unwrap();
    assert!(retired.prepare(&leaf).is_err());
    drop(retired);
    fs::rename(keys.join("root-sm2.key"), keys.join("root-sm2.away")).unwrap();
    has_parts(&open(&settings, NOW).err().unwrap(), &["root-sm2.key", "restore it from a back-up"]);
    fs::rename(keys.join("root-sm2.away"), keys.join("root-sm2.key")).unwrap();
    // A certificate that another root signed does not pass.
    fs::copy(keys.join("chancery.pem"), keys.join("chancery-sm2.pem")).unwrap();
    assert!(open(&settings, NOW).is_err());
}

#[test]
fn settings_name_families_that_there_are() {
    let faults = |settings: &Settings| settings.faults().join("\n");
    let with = |names: &[&str]| Settings { sm2_issuers: names.iter().map(|n| (*n).to_owned()).collect(), ..settings() };
    assert_eq!(faults(&with(&["chancery"])), "");
    // What the defaults say stands beside other families.
    assert_eq!(faults(&one_issuer()), "");
    has_parts(&faults(&with(&["gone"])), &["sm2_issuers: \"gone\" is not one of issuers"]);
    has_parts(&faults(&with(&["chancery", "chancery"])), &["sm2_issuers: each name once"]);
    let taken = Settings { issuers: vec!["x-sm2".to_owned()], ..settings() };
    has_parts(&faults(&taken), &["issuers: \"x-sm2\"", "-sm2"]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    #[test]
    fn a_flipped_bit_of_a_request_is_found(at in any::<u32>()) {
        let made = request::generate(SubjectKey::Sm2, &names(&["example.com"])).unwrap();
        csr::parse(&made.csr).unwrap();
        let mut other = made.csr.clone();
        let bit = at as usize % (other.len() * 8);
        other[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(csr::parse(&other).is_err());
    }
}
