//! Issued certificates, looked at with openssl.

use std::time::Duration;

use chancery::ca::Settings;
use chancery::domain::Identifier;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::ca_tools::{DAY, NOW, P256, P384, RSA2048, TestCa, names, openssl, pem, plan, request};

fn text(test: &TestCa, der: &[u8]) -> String {
    let file = test.file("leaf.pem", pem(der).as_bytes());
    openssl(&["x509", "-in", &file, "-noout", "-text", "-nameopt", "oneline"]).unwrap()
}

/// Verifies as a TLS client would at NOW, with the chain numbered `chain` under the root of that name.
fn verify(test: &TestCa, der: &[u8], issuer: &str, chain: usize, root: &str) -> Result<String, String> {
    let leaf = test.file("leaf.pem", pem(der).as_bytes());
    let above: String = test.ca.chains(issuer).unwrap()[chain].iter().map(|der| pem(der)).collect();
    let above = test.file("chain.pem", above.as_bytes());
    let root = test.file("root.pem", pem(test.ca.issuer_der(root).unwrap()).as_bytes());
    let at = NOW.as_secs().to_string();
    openssl(&[
        "verify",
        "-x509_strict",
        "-purpose",
        "sslserver",
        "-policy_check",
        "-attime",
        &at,
        "-CAfile",
        &root,
        "-untrusted",
        &above,
        &leaf,
    ])
}

#[test]
fn a_certificate_holds_what_was_planned_and_verifies() {
    let test = TestCa::new();
    let plan = plan(&request(P256), &["a.example.com", "*.b.example.com", "192.0.2.7", "2001:db8::7"]);
    let signed = test.issue(&plan);
    assert_eq!(signed.issuer, "chancery");
    verify(&test, &signed.der, "chancery", 0, "root").unwrap();
    let text = text(&test, &signed.der);
    for part in [
        "Issuer: C = CN, O = Chancery, CN = Chancery TLS CA 1",
        "Subject: \n",
        "X509v3 Subject Alternative Name: critical\n                DNS:a.example.com, DNS:*.b.example.com, \
         IP Address:192.0.2.7, IP Address:2001:DB8:0:0:0:0:0:7",
        "X509v3 Key Usage: critical\n                Digital Signature\n",
        "X509v3 Extended Key Usage: \n                TLS Web Server Authentication\n",
        "X509v3 Basic Constraints: critical\n                CA:FALSE\n",
        "CA Issuers - URI:http://pki.chancery.test:14080/issuer/chancery.cer\n",
        "URI:http://pki.chancery.test:14080/crl/chancery/0.crl\n",
        "Policy: 2.23.140.1.2.1\n",
        "Signature Algorithm: ecdsa-with-SHA256",
        "Not Before: Nov 21 12:00:00 2026 GMT",
        "Not After : Feb 19 11:59:59 2027 GMT",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
    let (_, certificate) = X509Certificate::from_der(&signed.der).unwrap();
    assert_eq!(certificate.raw_serial(), plan.serial.as_bytes());
    assert_eq!(certificate.public_key().raw, plan.spki);
    assert_eq!(certificate.extensions().len(), 9);
}

#[test]
fn a_common_name_is_one_of_the_names_and_makes_the_alternative_names_uncritical() {
    let test = TestCa::new();
    let mut plan = plan(&request(P384), &["www.example.com", "example.com"]);
    plan.common_name = Some(plan.names[1].clone());
    let signed = test.issue(&plan);
    verify(&test, &signed.der, "chancery", 0, "root").unwrap();
    let text = text(&test, &signed.der);
    assert!(text.contains("Subject: CN = example.com"), "{text}");
    assert!(text.contains("X509v3 Subject Alternative Name: \n"), "{text}");

    plan.common_name = Some(names(&["other.example.com"])[0].clone());
    assert!(fault(&test, &plan).contains("common_name_in_names"));
    let long = format!("{}.example.com", "a".repeat(60));
    plan.names = names(&[&long]);
    plan.common_name = Some(plan.names[0].clone());
    assert!(fault(&test, &plan).contains("common_name_length"));
}

fn fault(test: &TestCa, plan: &chancery::ca::LeafPlan) -> String {
    let error = test.ca.prepare(plan).err().expect("refused");
    assert_eq!(error.kind(), chancery::domain::Kind::ServerInternal);
    std::error::Error::source(&error).unwrap().to_string()
}

#[test]
fn rsa_subjects_are_signed_by_the_rsa_intermediate_if_there_is_one() {
    let csr = request(RSA2048);
    let test = TestCa::with(Settings::default());
    let signed = test.issue(&plan(&csr, &["example.com"]));
    assert_eq!(signed.issuer, "chancery-rsa");
    verify(&test, &signed.der, "chancery-rsa", 0, "root").unwrap();
    let rsa = text(&test, &signed.der);
    assert!(rsa.contains("Digital Signature, Key Encipherment\n"), "{rsa}");
    assert!(rsa.contains("Signature Algorithm: sha256WithRSAEncryption"), "{rsa}");
    assert!(rsa.contains("CN = Chancery TLS RSA CA 1"), "{rsa}");
    assert_eq!(test.issue(&plan(&request(P256), &["example.com"])).issuer, "chancery");

    let test = TestCa::new();
    let signed = test.issue(&plan(&csr, &["example.com"]));
    assert_eq!(signed.issuer, "chancery");
    verify(&test, &signed.der, "chancery", 0, "root").unwrap();
}

#[test]
fn alternate_chains_verify_under_their_roots_alone() {
    let test = TestCa::with(Settings { alternate_roots: 2, rsa_issuers: false, ..Settings::default() });
    let signed = test.issue(&plan(&request(P256), &["example.com"]));
    assert_eq!(test.ca.chains("chancery").unwrap().len(), 3);
    assert!(test.ca.chains("nobody").is_none());
    for (chain, root) in ["root", "root-2", "root-3"].into_iter().enumerate() {
        verify(&test, &signed.der, "chancery", chain, root).unwrap();
    }
    assert!(verify(&test, &signed.der, "chancery", 1, "root").is_err());
}

#[test]
fn a_leaf_never_outlives_its_issuer() {
    let test = TestCa::new();
    let mut plan = plan(&request(P256), &["example.com"]);
    let end = test.ca.issuer_not_after("chancery", plan.key).unwrap();
    (plan.not_before, plan.not_after) = (end - 90 * DAY, end);
    test.issue(&plan);
    plan.not_after = end + Duration::from_secs(1);
    assert!(fault(&test, &plan).contains("validity_within_issuer"));
}

#[test]
fn an_unknown_issuer_is_named() {
    let test = TestCa::new();
    let mut plan = plan(&request(P256), &["example.com"]);
    plan.issuer = "nobody".to_owned();
    assert!(fault(&test, &plan).contains("nobody"));
    plan.issuer = "root".to_owned();
    assert!(fault(&test, &plan).contains("root"));
}

#[test]
fn validity_is_as_planned_to_the_second_also_beyond_2049() {
    let test =
        TestCa::with(Settings { root_days: 9132, intermediate_days: 9132, rsa_issuers: false, ..Settings::default() });
    let mut plan = plan(&request(P256), &["example.com"]);
    for (from, to) in [(0, 0), (3600, 1), (8300 * 86_400, 8800 * 86_400)] {
        plan.not_before = NOW.whole_second() + Duration::from_secs(from);
        plan.not_after = plan.not_before.max(NOW.whole_second() + Duration::from_secs(to)) + DAY;
        let signed = test.issue(&plan);
        let (_, certificate) = X509Certificate::from_der(&signed.der).unwrap();
        let validity = certificate.validity();
        assert_eq!(validity.not_before.timestamp() as u64, plan.not_before.as_secs());
        assert_eq!(validity.not_after.timestamp() as u64, plan.not_after.as_secs());
        assert_eq!(validity.not_after.is_utctime(), validity.not_after.to_datetime().year() < 2050);
    }
}

#[test]
fn many_names_fit() {
    let test = TestCa::new();
    let mut plan = plan(&request(P256), &["example.com"]);
    plan.names = (0..500).map(|n| Identifier::parse("dns", &format!("host-{n}.example.com")).unwrap()).collect();
    let signed = test.issue(&plan);
    verify(&test, &signed.der, "chancery", 0, "root").unwrap();
}
