//! Revocation lists, read and verified by openssl.

use std::sync::LazyLock;

use chancery::ca::Settings;
use chancery::ca::crl::{ListPlan, Revoked, shard_covers, shard_of};
use chancery::domain::certificate::RevocationReason::{self, *};
use chancery::domain::{Kind, Serial, Timestamp};
use proptest::prelude::*;
use x509_parser::prelude::{CertificateRevocationList, FromDer, X509Certificate};

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
    let test = TestCa::with(Settings { alternate_roots: 1, crl_shards: 1, ..Settings::default() });
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

#[test]
fn numbers_and_times_stand_in_their_shortest_form_and_that_of_their_century() {
    let test = TestCa::new();
    let new_year = Timestamp::from_secs(2_524_608_000);
    let second = std::time::Duration::from_secs(1);
    for (number, digits) in [(0, "00"), (127, "7F"), (128, "80"), (65_536, "010000"), (u64::MAX, "FFFFFFFFFFFFFFFF")] {
        let entries =
            [revoked(Serial::random(), Unspecified), Revoked { at: new_year, ..revoked(Serial::random(), Superseded) }];
        let der = test.ca.crl("chancery", 0, number, new_year - second, new_year, &entries).unwrap();
        for part in [&b"\x17\x0d491231235959Z"[..], b"\x18\x0f20500101000000Z", b"\x17\x0d261121120000Z"] {
            assert!(der.windows(part.len()).any(|found| found == part));
        }
        let path = test.file("number.crl", &der);
        let told = openssl(&["crl", "-inform", "DER", "-in", &path, "-noout", "-crlnumber"]).unwrap();
        assert!(told.contains(&format!("0x{digits}")), "{told}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn another_parser_reads_every_list_as_it_was_meant(
        shard in prop_oneof![Just(0u16), 1u16..15],
        number in any::<u64>(),
        made in proptest::collection::vec((0u64..4_102_444_800, 0usize..5), 0..40),
    ) {
        static CA: LazyLock<TestCa> = LazyLock::new(TestCa::new);
        let reasons = [Unspecified, KeyCompromise, AffiliationChanged, Superseded, CessationOfOperation];
        let entries: Vec<Revoked> = made
            .iter()
            .map(|(at, reason)| Revoked { serial: Serial::random(), at: Timestamp::from_secs(*at), reason: reasons[*reason] })
            .collect();
        let der = CA.ca.crl("chancery", shard, number, NOW, NOW + DAY, &entries).unwrap();
        let (rest, list) = CertificateRevocationList::from_der(&der).unwrap();
        prop_assert!(rest.is_empty());
        let issuer = CA.ca.issuer_der("chancery").unwrap();
        let (_, issuer) = X509Certificate::from_der(issuer).unwrap();
        list.verify_signature(issuer.public_key()).unwrap();
        prop_assert_eq!(list.issuer().as_raw(), issuer.subject().as_raw());
        prop_assert_eq!(list.crl_number().unwrap(), &number.into());
        let mut expected: Vec<&Revoked> = entries.iter().filter(|entry| shard_covers(shard, &entry.serial)).collect();
        expected.sort_by_key(|entry| entry.serial);
        prop_assert_eq!(list.iter_revoked_certificates().count(), expected.len());
        for (found, meant) in list.iter_revoked_certificates().zip(expected) {
            prop_assert_eq!(found.raw_serial(), meant.serial.as_bytes());
            prop_assert_eq!(found.revocation_date.timestamp(), meant.at.as_secs() as i64);
            prop_assert_eq!(found.revocation_date.is_utctime(), meant.at.as_secs() < 2_524_608_000);
            let reason = found.reason_code().map(|(critical, reason)| (critical, reason.0));
            let code = Some((false, meant.reason.code())).filter(|_| meant.reason != Unspecified);
            prop_assert_eq!(reason, code);
        }
    }
}

#[test]
fn the_lint_refuses_every_other_octet() {
    let test = TestCa::new();
    let shard = shard_of(&Serial::random(), 4);
    let mut entries: Vec<Revoked> = Vec::new();
    while entries.len() < 3 {
        let entry = Revoked {
            serial: Serial::random(),
            at: NOW,
            reason: [KeyCompromise, Unspecified, Superseded][entries.len()],
        };
        entries.extend(Some(entry).filter(|entry| shard_covers(shard, &entry.serial)));
    }
    entries.sort_by_key(|entry| entry.serial);
    for (shard, entries) in [(shard, &entries[..]), (0, &[])] {
        let plan =
            ListPlan { issuer: "chancery", shard, number: 300, this_update: NOW, next_update: NOW + DAY, entries };
        let tbs = test.ca.prepare_list(&plan).unwrap().tbs().to_vec();
        test.ca.lint_list(&tbs, &plan).unwrap();
        for place in 0..tbs.len() {
            for flip in [0x01, 0x20, 0x80] {
                let mut other = tbs.clone();
                other[place] ^= flip;
                assert!(test.ca.lint_list(&other, &plan).is_err(), "octet {place} of {tbs:02x?} with {flip:#x}");
            }
        }
        for other in [&tbs[..tbs.len() - 1], &[&tbs[..], &[0]].concat()] {
            assert!(test.ca.lint_list(other, &plan).is_err());
        }
        let number = ListPlan { number: 301, ..plan };
        assert!(test.ca.lint_list(&tbs, &number).is_err());
    }
    // Twice the same, not in order, on a shard of others.
    let fits = |shard, entries: &[Revoked]| {
        let (this_update, next_update) = (NOW, NOW + DAY);
        let plan = ListPlan { issuer: "chancery", shard, number: 1, this_update, next_update, entries };
        test.ca.prepare_list(&plan).is_ok()
    };
    let [first, second, _] = entries[..] else { unreachable!("three were made") };
    let other_shard = if shard == 3 { 4 } else { 3 };
    assert_eq!([fits(0, &[first, second]), fits(shard, &[first])], [true; 2]);
    assert_eq!([fits(0, &[first, first]), fits(0, &[second, first]), fits(other_shard, &[first])], [false; 3]);
}
