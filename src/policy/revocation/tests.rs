//! Every documented product's way of revocation, and the limits on it, each row with its rule.

use std::time::Duration;

use super::*;
use crate::domain::certificate::CertificateStanding;
use crate::domain::csr::SubjectKey;
use crate::domain::{AccountId, OrderId};

const SHIPPED: &str = include_str!("../../../config/catalog.toml");
const NOW: Timestamp = Timestamp::from_secs(1_795_262_400);

fn certificate(days_left: u32) -> Certificate {
    Certificate {
        serial: Serial::random(),
        issuer: String::new(),
        account: AccountId::random(),
        order: OrderId::random(),
        product: String::new(),
        identifiers: Vec::new(),
        key: SubjectKey::P256,
        spki_sha256: [0; 32],
        not_before: NOW - days(60),
        not_after: NOW + days(days_left),
        paid_until: None,
        der: Vec::new(),
        issued: NOW - days(60),
        standing: CertificateStanding::Good,
    }
}

fn case<'a>(catalog: &'a Catalog, product: &str, certificate: &'a Certificate) -> Case<'a> {
    Case {
        product: Some(catalog.product(product).expect(product)),
        certificate,
        reason: RevocationReason::Superseded,
        original: None,
        in_use_by: None,
        proven: false,
    }
}

fn route_word(catalog: &Catalog, case: &Case<'_>) -> String {
    match route(catalog, case, NOW).unwrap() {
        Route::AtOnce => "at once".to_owned(),
        Route::Proof { days } => format!("proof in {days} days"),
        Route::Papers(letter) => letter.id.clone(),
        Route::Review => "review".to_owned(),
    }
}

#[test]
fn each_product_is_revoked_in_its_documented_way() {
    let (catalog, good) = (Catalog::parse(SHIPPED).unwrap(), certificate(200));
    for (rule, product, by_hand, automatic) in [
        ("REVOKE-12", "trustasia-dv-free", "proof in 3 days", "at once"),
        ("REVOKE-13", "trustasia-dv-multi", "proof in 3 days", "at once"),
        ("REVOKE-15", "trustasia-dv-wildcard", "proof in 3 days", "at once"),
        ("REVOKE-14", "dnspod-std-dv", "proof in 3 days", "at once"),
        ("REVOKE-10", "dnspod-sm-dv", "review", "review"),
        ("REVOKE-10", "wotrus-dv", "review", "review"),
        ("REVOKE-10", "wotrus-ov", "review", "review"),
        ("REVOKE-10", "wotrus-ev", "review", "review"),
        ("REVOKE-11, DOC-10", "dnspod-sm-ov", "dnspod-sm-revocation", "dnspod-sm-revocation"),
        ("REVOKE-11, DOC-10", "dnspod-sm-ev", "dnspod-sm-revocation", "dnspod-sm-revocation"),
        ("REVOKE-17, DOC-11", "securesite-ov-single", "other-revocation", "review"),
        ("REVOKE-17, DOC-11", "geotrust-ev-single", "other-revocation", "review"),
        ("REVOKE-17, DOC-11", "trustasia-ov-multi", "other-revocation", "review"),
        ("REVOKE-17, DOC-11", "globalsign-ev-single", "other-revocation", "review"),
        ("REVOKE-17, DOC-11", "dnspod-std-ov", "other-revocation", "review"),
    ] {
        let case = case(&catalog, product, &good);
        assert_eq!(route_word(&catalog, &case), by_hand, "{rule} {product}");
        assert_eq!(route_word(&catalog, &Case { proven: true, ..case }), automatic, "{rule} {product}");
        // Baseline Requirements 4.9.1.1: whatever else holds.
        let late = certificate(1);
        let compromised = Case {
            reason: RevocationReason::KeyCompromise,
            original: Some(good.serial),
            in_use_by: Some("lb-1"),
            certificate: &late,
            ..case
        };
        assert_eq!(route_word(&catalog, &compromised), "at once", "{product}");
    }
}

#[test]
fn what_is_of_no_documented_product_is_revoked_at_once() {
    let (catalog, good) = (Catalog::parse(SHIPPED).unwrap(), certificate(1));
    let gone = Case { product: None, original: Some(good.serial), ..case(&catalog, "trustasia-ov-multi", &good) };
    assert_eq!(route_word(&catalog, &gone), "at once");
}

#[test]
fn the_limits_bind_whom_the_setting_says() {
    let other_scope = SHIPPED.replace("= \"all-but-wotrus-international\"", "= \"all-but-wotrus-and-dnspod-sm\"");
    let (first, second) = (Catalog::parse(SHIPPED).unwrap(), Catalog::parse(&other_scope).unwrap());
    // the product, and whether the first and the second reading bind it.
    for (product, bound) in [
        ("trustasia-dv-free", [true, true]),
        ("trustasia-ov-multi", [true, true]),
        ("dnspod-std-dv", [true, true]),
        ("dnspod-sm-dv", [true, false]),
        ("wotrus-dv", [false, false]),
        ("wotrus-ev", [false, false]),
    ] {
        for (catalog, bound) in [&first, &second].into_iter().zip(bound) {
            let (late, good) = (certificate(30), certificate(200));
            let old = Certificate { issued: Timestamp::from_secs(1_585_094_399), ..good.clone() };
            let original = Some(late.serial);
            for (rule, kind, case) in [
                ("REVOKE-05", Kind::Unauthorized, case(catalog, product, &late)),
                ("REVOKE-06", Kind::UserActionRequired, Case { original, ..case(catalog, product, &good) }),
                ("REVOKE-07", Kind::Unauthorized, case(catalog, product, &old)),
            ] {
                match (bound, route(catalog, &case, NOW)) {
                    (true, Err(refusal)) => {
                        assert_eq!(refusal.kind(), kind, "{rule} {product}");
                        assert!(refusal.to_string().contains(rule), "{refusal}");
                    }
                    (false, Ok(_)) => {}
                    (bound, found) => panic!("{rule} {product}: bound {bound}, found {found:?}"),
                }
            }
            // REVOKE-09, DIAG-23 bind everybody.
            let used = Case { in_use_by: Some("load balancer lb-1"), ..case(catalog, product, &good) };
            let refusal = route(catalog, &used, NOW).unwrap_err().to_string();
            assert!(refusal.contains("in use by load balancer lb-1") && refusal.contains("REVOKE-09"), "{refusal}");
        }
    }
}

#[test]
fn the_last_30_days_begin_to_the_second() {
    let catalog = Catalog::parse(SHIPPED).unwrap();
    let mut certificate = certificate(30);
    assert!(route(&catalog, &case(&catalog, "trustasia-dv-free", &certificate), NOW).is_err());
    certificate.not_after = certificate.not_after + Duration::from_secs(1);
    assert!(route(&catalog, &case(&catalog, "trustasia-dv-free", &certificate), NOW).is_ok());
    // REVOKE-07: to the second too.
    certificate.issued = catalog.settings().revocation_cutoff_date.0;
    assert!(route(&catalog, &case(&catalog, "trustasia-dv-free", &certificate), NOW).is_ok());
}

#[test]
fn who_shows_nothing_in_time_is_told_what_was_missing() {
    for (method, rule) in [(Method::Dns01, "REVOKE-13"), (Method::Http01, "REVOKE-14")] {
        let told = no_proof(method, 3);
        assert!(told.contains(rule) && told.contains("within 3 days") && told.contains("REVOKE-08"), "{told}");
    }
}
