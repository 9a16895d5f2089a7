//! The lints that stand between a certificate and its signature: each is provoked, and no octet escapes them.

use std::error::Error as _;
use std::time::Duration;

use chancery::ca::{LeafPlan, Settings};
use chancery::domain::Serial;
use chancery::domain::csr::SubjectKey;

use crate::ca_tools::{P256, RSA2048, TestCa, names, plan, request};

/// What the lints say of these octets: nothing, or a lint and its reason.
fn found(test: &TestCa, tbs: &[u8], plan: &LeafPlan) -> String {
    match test.ca.lint(tbs, plan) {
        Ok(()) => String::new(),
        Err(error) => error.source().expect("a cause").to_string(),
    }
}

fn prepared(test: &TestCa, plan: &LeafPlan) -> Vec<u8> {
    let prepared = test.ca.prepare(plan).unwrap();
    assert_eq!(found(test, prepared.tbs(), plan), "");
    prepared.tbs().to_vec()
}

#[test]
fn no_bit_of_a_certificate_can_be_flipped() {
    let test = TestCa::with(Settings::default());
    for (key, common_name) in [(P256, false), (RSA2048, true)] {
        let mut plan = plan(&request(key), &["example.com", "*.example.com", "192.0.2.1", "2001:db8::1"]);
        plan.common_name = common_name.then(|| plan.names[0].clone());
        let tbs = prepared(&test, &plan);
        for place in 0..tbs.len() {
            for bit in 0..8 {
                let mut flipped = tbs.clone();
                flipped[place] ^= 1 << bit;
                assert!(found(&test, &flipped, &plan).starts_with("lint "), "bit {bit} of octet {place}");
            }
        }
        for length in 0..tbs.len() {
            assert!(found(&test, &tbs[..length], &plan).starts_with("lint tbs_structure"), "{length}");
        }
        assert!(found(&test, &[&tbs[..], &[5, 0]].concat(), &plan).starts_with("lint tbs_structure"));
    }
}

#[test]
fn a_certificate_that_is_not_of_its_plan_is_named_by_its_field() {
    let test = TestCa::with(Settings { issuers: vec!["chancery".into(), "other".into()], ..Settings::default() });
    let planned = plan(&request(P256), &["example.com", "www.example.com"]);
    let tbs = prepared(&test, &planned);
    let second = Duration::from_secs(1);
    type Change<'a> = &'a dyn Fn(&mut LeafPlan);
    let other_key = request(P256).spki;
    let cases: [(&str, Change<'_>); 13] = [
        ("serial", &|plan| plan.serial = Serial::random()),
        ("serial_entropy", &|plan| plan.serial = "00".repeat(20).parse().unwrap()),
        ("issuer", &|plan| plan.issuer = "other".to_owned()),
        ("validity_start", &|plan| plan.not_before = plan.not_before + second),
        ("validity_end", &|plan| plan.not_after = plan.not_after + second),
        ("validity_order", &|plan| plan.not_after = plan.not_before),
        ("subject", &|plan| plan.common_name = Some(plan.names[0].clone())),
        ("subject_public_key", &|plan| plan.spki = other_key.clone()),
        ("subject_key", &|plan| plan.key = SubjectKey::P384),
        ("subject_key", &|plan| plan.spki = vec![0x30, 0]),
        ("subject_alt_name", &|plan| plan.names.reverse()),
        ("names_present", &|plan| plan.names.clear()),
        ("names_unique", &|plan| plan.names = names(&["example.com", "example.com"])),
    ];
    for (lint, change) in cases {
        let mut plan = planned.clone();
        change(&mut plan);
        let found = found(&test, &tbs, &plan);
        assert!(found.starts_with(&format!("lint {lint}:")), "{lint}: {found}");
    }
}

#[test]
fn each_field_and_extension_has_its_lint() {
    let test = TestCa::new();
    let plan = plan(&request(P256), &["example.com"]);
    let tbs = prepared(&test, &plan);
    // The place to change is `offset` octets after the end of the pattern.
    for (lint, pattern, offset) in [
        ("version", &[0xa0, 0x03, 0x02, 0x01][..], 0),
        ("signature_algorithm", &[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03], 0),
        ("issuer", b"Chancery TLS CA ", 0),
        ("validity_start", b"\x17\x0d26", 0),
        ("validity_end", b"\x17\x0d27", 0),
        ("authority_key_identifier", &[0x55, 0x1d, 0x23], 6),
        ("subject_key_identifier", &[0x55, 0x1d, 0x0e], 6),
        ("subject_alt_name", b"example.c", 0),
        ("subject_alt_name", &[0x55, 0x1d, 0x11, 0x01, 0x01], 0),
        ("key_usage", &[0x55, 0x1d, 0x0f, 0x01, 0x01, 0xff, 0x04, 0x04, 0x03, 0x02, 0x07], 0),
        ("extended_key_usage", &[0x55, 0x1d, 0x25], 13),
        ("basic_constraints", &[0x55, 0x1d, 0x13, 0x01, 0x01], 0),
        ("crl_distribution_points", b"/crl/chancery/", 0),
        ("certificate_policies", &[0x67, 0x81, 0x0c, 0x01, 0x02], 0),
        ("authority_information_access", b"/issuer/chancery.", 0),
        ("extension_unexpected", &[0x55, 0x1d], 0),
    ] {
        let place = tbs.windows(pattern.len()).rposition(|part| part == pattern).expect(lint) + pattern.len() + offset;
        let mut changed = tbs.clone();
        changed[place] ^= if lint == "version" { 0x03 } else { 0x01 };
        if pattern.ends_with(&[0x01, 0x01]) {
            // A BOOLEAN FALSE where TRUE stood.
            changed[place] = 0;
        }
        let found = found(&test, &changed, &plan);
        assert!(found.starts_with(&format!("lint {lint}:")), "{lint}: {found}");
    }
}

/// The extensions of a TBSCertificate, and the octets before them.
fn taken_apart(tbs: &[u8]) -> (Vec<u8>, Vec<Vec<u8>>) {
    let start = tbs.windows(3).rposition(|part| part == [0x55, 0x1d, 0x23]).unwrap() - 4;
    let explicit = tbs[..start].iter().rposition(|octet| *octet == 0xa3).unwrap();
    let mut rest = &tbs[start..];
    let mut extensions = Vec::new();
    while !rest.is_empty() {
        let (extension, after) = rest.split_at(usize::from(rest[1]) + 2);
        extensions.push(extension.to_vec());
        rest = after;
    }
    (tbs[4..explicit].to_vec(), extensions)
}

fn put_together(fields: &[u8], extensions: &[Vec<u8>]) -> Vec<u8> {
    let element = |tag: u8, content: Vec<u8>| {
        let length = (content.len() as u16).to_be_bytes();
        [&[tag, 0x82, length[0], length[1]], &content[..]].concat()
    };
    let extensions = element(0xa3, element(0x30, extensions.concat()));
    element(0x30, [fields, &extensions].concat())
}

#[test]
fn every_extension_stands_exactly_once_and_no_other_does() {
    let test = TestCa::new();
    let plan = plan(&request(P256), &["example.com"]);
    let tbs = prepared(&test, &plan);
    let (fields, extensions) = taken_apart(&tbs);
    assert_eq!(extensions.len(), 9);
    assert_eq!(put_together(&fields, &extensions), tbs);
    for place in 0..extensions.len() {
        let mut fewer = extensions.clone();
        fewer.remove(place);
        assert!(found(&test, &put_together(&fields, &fewer), &plan).contains("is missing"));
        let mut more = extensions.clone();
        more.push(extensions[place].clone());
        assert!(found(&test, &put_together(&fields, &more), &plan).contains("there twice"));
    }
    let mut more = extensions.clone();
    more.push(vec![0x30, 0x0c, 0x06, 0x03, 0x2a, 0x03, 0x04, 0x04, 0x05, 0x0c, 0x03, b'x', b'y', b'z']);
    let found_in = found(&test, &put_together(&fields, &more), &plan);
    assert!(found_in.starts_with("lint extension_unexpected: extension 1.2.3.4"), "{found_in}");

    let unique = [&fields[..], &[0x81, 0x02, 0x00, 0x01]].concat();
    assert!(found(&test, &put_together(&unique, &extensions), &plan).starts_with("lint unique_identifiers"));

    // What a parser may pass over: octets after the last field of an element. Validity is SEQUENCE of 30 octets.
    let place = fields.windows(4).position(|part| part == [0x30, 0x1e, 0x17, 0x0d]).unwrap();
    let mut loose = fields.clone();
    loose[place + 1] += 2;
    loose.splice(place + 32..place + 32, [5, 0]);
    assert!(found(&test, &put_together(&loose, &extensions), &plan).starts_with("lint canonical_der"));
}
