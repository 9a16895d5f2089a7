//! Revocation lists, read and verified by openssl.

use chancery::ca::Settings;
use chancery::ca::crl::{Revoked, shard_covers};
use chancery::domain::certificate::RevocationReason::{self, *};
use chancery::domain::{Kind, Serial};
use x509_parser::prelude::{CertificateRevocationList, FromDer};

use crate::ca_tools::{DAY, NOW, P256, TestCa, openssl, pem, plan, request};

fn revoked(serial: Serial, reason: RevocationReason) -> Revoked {
    Revoked { serial, at: NOW, reason }
}

fn text(test: &TestCa, crl: &[u8], issuer: &str) -> String {
    let crl = test.file("list.crl", crl);
    let issuer = test.file("issuer.pem", pem(test.ca.issuer_der(issuer).unwrap()).as_bytes());
    openssl(&["crl", "-inform", "DER", "-in", &crl, "-CAfile", &issuer, "-noout", "-text"]).unwrap()
}

#[test]
fn a_list_names_serials_and_reasons_and_verifies() {
    let test = TestCa::new();
    let entries: Vec<Revoked> = [Unspecified, KeyCompromise, AffiliationChanged, Superseded, CessationOfOperation]
        .map(|reason| revoked(Serial::random(), reason))
        .into();
    let der = test.ca.crl("chancery", 0, 300, NOW, NOW + 7 * DAY, &entries).unwrap();
    let text = text(&test, &der, "chancery");
    for part in [
        "verify OK",
        "Version 2",
        "Signature Algorithm: ecdsa-with-SHA256",
        "Last Update: Nov 21 12:00:00 2026 GMT",
        "Next Update: Nov 28 12:00:00 2026 GMT",
        "X509v3 CRL Number: \n                300",
        "X509v3 Authority Key Identifier: \n",
        "Key Compromise",
        "Affiliation Changed",
        "Superseded",
        "Cessation Of Operation",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
    assert!(!text.contains("Unspecified") && !text.contains("Issuing Distribution Point"), "{text}");
    for entry in &entries {
        assert!(text.contains(&entry.serial.to_string().to_uppercase()), "{}\n{text}", entry.serial);
    }
}

#[test]
fn an_empty_list_has_no_list_of_entries() {
    let test = TestCa::with(Settings { alternate_roots: 1, ..Settings::default() });
    for issuer in ["chancery", "chancery-rsa", "root", "root-2"] {
        let der = test.ca.crl(issuer, 0, 1, NOW, NOW + DAY, &[]).unwrap();
        assert!(text(&test, &der, issuer).contains("No Revoked Certificates"), "{issuer}");
        // After nextUpdate (UTCTime of 13 octets) come the extensions at once, no empty SEQUENCE (CABF-CRL-10).
        let next_update = der.windows(13).position(|part| part == b"261122120000Z").unwrap();
        assert_eq!(der[next_update + 13], 0xa0);
    }
}

#[test]
fn the_shards_of_a_list_cover_each_certificate_under_its_own_url() {
    let test = TestCa::with(Settings { crl_shards: 4, rsa_issuers: false, ..Settings::default() });
    let csr = request(P256);
    let plans: Vec<_> = (0..40).map(|_| plan(&csr, &["example.com"])).collect();
    let entries: Vec<Revoked> = plans.iter().map(|plan| revoked(plan.serial, KeyCompromise)).collect();
    let mut listed = 0;
    for shard in 3..7 {
        let der = test.ca.crl("chancery", shard, 1, NOW, NOW + DAY, &entries).unwrap();
        let (_, crl) = CertificateRevocationList::from_der(&der).unwrap();
        let url = format!("http://pki.chancery.test:14080/crl/chancery/{shard}.crl");
        let text = text(&test, &der, "chancery");
        assert!(text.contains("X509v3 Issuing Distribution Point: critical"), "{text}");
        assert!(text.contains(&format!("URI:{url}\n")), "{text}");
        for entry in crl.iter_revoked_certificates() {
            let plan = plans.iter().find(|plan| plan.serial.as_bytes() == entry.raw_serial()).unwrap();
            assert_eq!(test.ca.crl_shard(&plan.serial), shard);
            let tbs = test.ca.prepare(plan).unwrap().tbs().to_vec();
            assert!(tbs.windows(url.len()).any(|part| part == url.as_bytes()));
            listed += 1;
        }
    }
    assert_eq!(listed, 40);
    // The lists of the time when there was one shard, or two, stay whole.
    let count = |shard| {
        let der = test.ca.crl("chancery", shard, 1, NOW, NOW + DAY, &entries).unwrap();
        CertificateRevocationList::from_der(&der).unwrap().1.iter_revoked_certificates().count()
    };
    assert_eq!((count(0), count(1) + count(2)), (40, 40));
    assert!(entries.iter().all(|entry| shard_covers(0, &entry.serial)));
}

#[test]
fn openssl_sees_the_revocation_through_the_distribution_point() {
    for shards in [1, 4] {
        let test = TestCa::with(Settings { crl_shards: shards, rsa_issuers: false, ..Settings::default() });
        let csr = request(P256);
        let [bad, good] = [(); 2].map(|()| plan(&csr, &["example.com"]));
        let lists: String = (shards - 1..2 * shards - 1)
            .map(|shard| {
                let entries = [revoked(bad.serial, KeyCompromise)];
                let der = test.ca.crl("chancery", shard, 1, NOW, NOW + DAY, &entries).unwrap();
                pem::encode(&pem::Pem::new("X509 CRL", der))
            })
            .collect();
        let root_list = test.ca.crl("root", 0, 1, NOW, NOW + DAY, &[]).unwrap();
        let lists = lists + &pem::encode(&pem::Pem::new("X509 CRL", root_list));
        let lists = test.file("lists.pem", lists.as_bytes());
        let root = test.file("root.pem", test.ca.root_pem().as_bytes());
        let above = test.file("above.pem", pem(test.ca.issuer_der("chancery").unwrap()).as_bytes());
        let verify = |der: &[u8]| {
            let leaf = test.file("leaf.pem", pem(der).as_bytes());
            let at = NOW.as_secs().to_string();
            openssl(&[
                "verify",
                "-crl_check_all",
                "-extended_crl",
                "-attime",
                &at,
                "-CAfile",
                &root,
                "-untrusted",
                &above,
                "-CRLfile",
                &lists,
                &leaf,
            ])
        };
        verify(&test.issue(&good).der).unwrap();
        let why = verify(&test.issue(&bad).der).unwrap_err();
        assert!(why.contains("certificate revoked"), "{why}");
    }
}

#[test]
fn lists_that_nobody_should_have_are_refused() {
    let test = TestCa::new();
    let kind = |issuer: &str, shard, days: u32| {
        test.ca.crl(issuer, shard, 1, NOW, NOW + days * DAY, &[]).err().map(|error| error.kind())
    };
    assert_eq!(kind("chancery", 0, 10), None);
    assert_eq!(kind("chancery", 2046, 10), None);
    assert_eq!(kind("chancery", 2047, 10), Some(Kind::NotFound));
    assert_eq!(kind("nobody", 0, 10), Some(Kind::NotFound));
    assert_eq!(kind("root", 1, 10), Some(Kind::NotFound));
    assert_eq!(kind("root", 0, 365), None);
    assert_eq!(kind("root", 0, 366), Some(Kind::ServerInternal));
    assert_eq!(kind("chancery", 0, 11), Some(Kind::ServerInternal));
    assert_eq!(kind("chancery", 0, 0), Some(Kind::ServerInternal));
}
