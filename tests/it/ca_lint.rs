//! The lints that stand between a certificate and its signature: each is provoked, and no octet escapes them.

use std::error::Error as _;
use std::time::Duration;

use chancery::ca::{LeafPlan, Schedule, Settings};
use chancery::domain::csr::SubjectKey;
use chancery::domain::organisation::{EvSubject, Subject};
use chancery::domain::{Serial, Timestamp};

use crate::ca_tools::{DAY, NOW, P256, RSA2048, TestCa, names, one_issuer, plan, request};

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

/// The CA that everybody relies on, unlike `TestCa::new`.
fn public(settings: Settings) -> TestCa {
    TestCa::exactly(Settings { rsa_issuers: false, ..settings })
}

/// What is said of a plan when its certificate is to be made.
fn refusal(test: &TestCa, plan: &LeafPlan) -> String {
    match test.ca.prepare(plan) {
        Ok(_) => String::new(),
        Err(error) => error.source().expect("a cause").to_string(),
    }
}

#[test]
fn names_and_addresses_that_nobody_can_own_are_for_private_networks_alone() {
    let key = request(P256);
    let (public, private) = (public(one_issuer()), TestCa::new());
    for name in
        ["zone-one.cn", "*.zone-one.cn", "xn--bcher-kva.de", "a.github.io", "*.github.io", "9.9.9.9", "2620:fe::fe"]
    {
        assert_eq!(refusal(&public, &plan(&key, &[name])), "", "{name}");
    }
    for (lint, name) in [
        ("dns_name_public", "host.corp"),
        ("dns_name_public", "www.example"),
        ("dns_name_public", "printer.local"),
        ("dns_name_public", "a.test"),
        ("dns_name_public", "abc.onion"),
        ("dns_name_public", "1.2.0.192.in-addr.arpa"),
        ("wildcard_of_suffix", "*.co.uk"),
        ("wildcard_of_suffix", "*.com.cn"),
        ("ip_reserved", "192.168.1.1"),
        ("ip_reserved", "192.0.2.1"),
        ("ip_reserved", "127.0.0.1"),
        ("ip_reserved", "fd00::1"),
        ("ip_reserved", "2001:db8::1"),
    ] {
        let plan = plan(&key, &["zone-one.cn", name]);
        let found = refusal(&public, &plan);
        assert!(found.starts_with(&format!("lint {lint}:")), "{name}: {found}");
        assert_eq!(refusal(&private, &plan), "", "{name}");
    }
}

#[test]
fn no_validity_exceeds_its_ceiling() {
    let key = request(P256);
    let of = |test: &TestCa, from: u64, days: u32| {
        let not_before = Timestamp::from_secs(from);
        let not_after = not_before + days * DAY - Duration::from_secs(1);
        let plan = LeafPlan { not_before, not_after, ..plan(&key, &["zone-one.cn"]) };
        let longer = LeafPlan { not_after: not_after + Duration::from_secs(1), ..plan.clone() };
        assert_eq!(refusal(test, &plan), "", "{from}, {days} days");
        let found = refusal(test, &longer);
        assert!(found.starts_with("lint validity_ceiling:"), "{from}, {days} days and a second: {found}");
    };
    let now = NOW.as_secs();
    of(&public(one_issuer()), now, 398);
    of(&TestCa::new(), now, 825);
    let calendar = public(Settings { validity_schedule: Schedule::BaselineRequirements, ..one_issuer() });
    // Each line of the calendar begins at midnight; notBefore is an hour before the signature.
    for (from, days) in [
        (now, 200),
        (1_805_068_800 - 3601, 200),
        (1_805_068_800 - 3600, 100),
        (1_868_227_200 - 3601, 100),
        (1_868_227_200 - 3600, 47),
        (1_773_532_800 - 3601, 398),
    ] {
        of(&calendar, from, days);
    }
}

#[test]
fn a_key_that_gives_itself_away_is_not_certified() {
    let test = TestCa::new();
    let good = plan(&request(P256), &["example.com"]);
    let mut off_curve = good.clone();
    *off_curve.spki.last_mut().unwrap() ^= 1;
    assert!(refusal(&test, &off_curve).starts_with("lint subject_key_point:"));
    // The modulus is the last but one number in it: an even one is divisible by two.
    let mut even = plan(&request(RSA2048), &["example.com"]);
    let place = even.spki.len() - 6;
    even.spki[place] &= 0xfe;
    assert!(refusal(&test, &even).starts_with("lint subject_key_strength:"), "{}", refusal(&test, &even));
    let (_, issuer) = x509_parser::parse_x509_certificate(test.ca.issuer_der("chancery").unwrap()).unwrap();
    let own = LeafPlan { spki: issuer.public_key().raw.to_vec(), ..good };
    assert!(refusal(&test, &own).starts_with("lint subject_key_of_issuer:"));
}

#[test]
fn subjects_say_something_and_their_countries_exist() {
    let test = TestCa::new();
    let subject = |change: fn(&mut Subject)| {
        let mut subject = Subject {
            organisation: "Zone Ltd".to_owned(),
            street: Some("1 Keji Road".to_owned()),
            locality: Some("Shenzhen".to_owned()),
            state: Some("Guangdong".to_owned()),
            postal_code: Some("518057".to_owned()),
            country: "CN".to_owned(),
            ev: Some(EvSubject {
                business_category: "Private Organization".to_owned(),
                jurisdiction_country: "CN".to_owned(),
                jurisdiction_state: None,
                jurisdiction_locality: None,
                registration_number: "91440300708461136T".to_owned(),
            }),
        };
        change(&mut subject);
        subject
    };
    let key = request(P256);
    let of = |names: &[&str], change| {
        let plan = plan(&key, names);
        refusal(&test, &LeafPlan { common_name: Some(plan.names[0].clone()), subject: Some(subject(change)), ..plan })
    };
    assert_eq!(of(&["example.com"], |_| {}), "");
    type Change = fn(&mut Subject);
    let cases: [(&str, Change); 12] = [
        ("subject_attribute", |subject| subject.country = "ZZ".to_owned()),
        ("subject_attribute", |subject| subject.country = "cn".to_owned()),
        ("subject_attribute", |subject| subject.organisation = "-".to_owned()),
        ("subject_attribute", |subject| subject.organisation = "x".repeat(65)),
        ("subject_attribute", |subject| subject.street = Some("N/A".to_owned())),
        ("subject_attribute", |subject| subject.postal_code = Some("None".to_owned())),
        ("subject_attribute", |subject| subject.state = Some(" Guangdong".to_owned())),
        ("subject_attribute", |subject| subject.locality = Some("x".repeat(129))),
        ("subject_place", |subject| (subject.state, subject.locality) = (None, None)),
        ("subject_business_category", |subject| subject.ev.as_mut().unwrap().business_category = "Club".to_owned()),
        ("subject_attribute", |subject| subject.ev.as_mut().unwrap().jurisdiction_country = "EU".to_owned()),
        ("subject_attribute", |subject| subject.ev.as_mut().unwrap().registration_number = "1".repeat(65)),
    ];
    for (lint, change) in cases {
        let found = of(&["example.com"], change);
        assert!(found.starts_with(&format!("lint {lint}:")), "{lint}: {found}");
    }
    assert!(of(&["*.example.com"], |_| {}).starts_with("lint ev_names:"));
}

#[test]
fn a_common_name_is_one_of_the_names_and_short() {
    let test = TestCa::new();
    let plan = plan(&request(P256), &["example.com"]);
    let other = LeafPlan { common_name: names(&["example.org"]).pop(), ..plan.clone() };
    assert!(refusal(&test, &other).starts_with("lint common_name_in_names:"));
    let long = names(&[&format!("{}.example.com", "x".repeat(60))]);
    let long = LeafPlan { common_name: long.first().cloned(), names: long, ..plan.clone() };
    assert!(refusal(&test, &long).starts_with("lint common_name_length:"));
    let late = LeafPlan { not_before: NOW + 3600 * DAY, not_after: NOW + 3660 * DAY, ..plan };
    assert!(refusal(&test, &late).starts_with("lint validity_within_issuer:"));
}
