//! Subjects of OV and EV certificates: what openssl reads in them, and what is never signed.

use chancery::ca::LeafPlan;
use chancery::domain::organisation::{EvSubject, Subject};

use crate::ca_tools::{P256, TestCa, names, openssl, pem, plan, request};

fn organisation() -> Subject {
    Subject {
        organisation: "深圳市例子有限公司".to_owned(),
        street: Some("1 Example Road".to_owned()),
        locality: Some("Shenzhen".to_owned()),
        state: Some("Guangdong".to_owned()),
        postal_code: Some("518000".to_owned()),
        country: "CN".to_owned(),
        ev: None,
    }
}

fn registered() -> EvSubject {
    EvSubject {
        business_category: "Private Organization".to_owned(),
        jurisdiction_country: "CN".to_owned(),
        jurisdiction_state: Some("Guangdong".to_owned()),
        jurisdiction_locality: Some("Shenzhen".to_owned()),
        registration_number: "91440300MA5EXAMPLE".to_owned(),
    }
}

fn planned(subject: Subject) -> LeafPlan {
    let plan = plan(&request(P256), &["www.example.com", "example.com"]);
    LeafPlan { common_name: Some(plan.names[0].clone()), subject: Some(subject), ..plan }
}

fn openssl_says(test: &TestCa, plan: &LeafPlan) -> String {
    let file = test.file("leaf.pem", pem(&test.issue(plan).der).as_bytes());
    let extensions = "certificatePolicies,subjectAltName";
    let arguments = ["x509", "-in", &file, "-noout", "-subject", "-nameopt", "oneline,utf8,-esc_msb,show_type"];
    openssl(&[&arguments[..], &["-ext", extensions]].concat()).unwrap()
}

fn lint_of(test: &TestCa, tbs: &[u8], plan: &LeafPlan) -> String {
    let found = test.ca.lint(tbs, plan).err().map(|error| std::error::Error::source(&error).unwrap().to_string());
    found.unwrap_or_default()
}

fn refusal(test: &TestCa, plan: &LeafPlan) -> String {
    std::error::Error::source(&test.ca.prepare(plan).err().expect("refused")).unwrap().to_string()
}

#[test]
fn an_ov_subject_names_the_organisation_in_the_order_of_the_baseline_requirements() {
    let test = TestCa::new();
    let said = openssl_says(&test, &planned(organisation()));
    let subject = "subject=C = PRINTABLESTRING:CN, ST = UTF8STRING:Guangdong, L = UTF8STRING:Shenzhen, postalCode = \
                   UTF8STRING:518000, street = UTF8STRING:1 Example Road, O = UTF8STRING:深圳市例子有限公司, CN = \
                   UTF8STRING:www.example.com\n";
    assert!(said.contains(subject), "{said}");
    assert!(said.contains("Policy: 2.23.140.1.2.2\n") && said.matches("Policy: ").count() == 1, "{said}");
    assert!(said.contains("X509v3 Subject Alternative Name: \n"), "{said}");
}

#[test]
fn an_ev_subject_names_its_register_too() {
    let test = TestCa::new();
    let said = openssl_says(&test, &planned(Subject { ev: Some(registered()), ..organisation() }));
    let tail = "O = UTF8STRING:深圳市例子有限公司, CN = UTF8STRING:www.example.com, businessCategory = \
                UTF8STRING:Private Organization, jurisdictionC = PRINTABLESTRING:CN, jurisdictionST = \
                UTF8STRING:Guangdong, jurisdictionL = UTF8STRING:Shenzhen, serialNumber = \
                PRINTABLESTRING:91440300MA5EXAMPLE\n";
    assert!(said.contains(tail), "{said}");
    assert!(said.contains("Policy: 2.23.140.1.1\n") && said.matches("Policy: ").count() == 1, "{said}");
}

#[test]
fn what_is_not_known_is_left_out_and_a_subject_without_common_name_is_not_empty() {
    let test = TestCa::new();
    let least = Subject { street: None, state: None, postal_code: None, ..organisation() };
    let least = LeafPlan { common_name: None, ..planned(least) };
    let said = openssl_says(&test, &least);
    let subject = "subject=C = PRINTABLESTRING:CN, L = UTF8STRING:Shenzhen, O = UTF8STRING:深圳市例子有限公司\n";
    assert!(said.contains(subject), "{said}");
    assert!(said.contains("X509v3 Subject Alternative Name: \n"), "{said}");
}

#[test]
fn no_bit_of_a_subject_can_be_flipped() {
    let test = TestCa::new();
    let plan = planned(Subject { ev: Some(registered()), ..organisation() });
    let tbs = test.ca.prepare(&plan).unwrap().tbs().to_vec();
    assert_eq!(lint_of(&test, &tbs, &plan), "");
    for (place, bit) in (0..tbs.len()).flat_map(|place| (0..8).map(move |bit| (place, bit))) {
        let mut flipped = tbs.clone();
        flipped[place] ^= 1 << bit;
        assert!(lint_of(&test, &flipped, &plan).starts_with("lint "), "bit {bit} of octet {place}");
    }
}

#[test]
fn a_subject_other_than_the_planned_one_is_refused() {
    let test = TestCa::new();
    let plan = planned(Subject { ev: Some(registered()), ..organisation() });
    let tbs = test.ca.prepare(&plan).unwrap().tbs().to_vec();
    type Change<'a> = &'a dyn Fn(&mut Subject);
    let changes: [Change<'_>; 7] = [
        &|subject| subject.organisation = "Another".to_owned(),
        &|subject| subject.country = "HK".to_owned(),
        &|subject| subject.state = None,
        &|subject| subject.street = None,
        &|subject| subject.ev.as_mut().unwrap().registration_number = "2".to_owned(),
        &|subject| subject.ev.as_mut().unwrap().jurisdiction_locality = None,
        &|subject| subject.ev.as_mut().unwrap().business_category = "Business Entity".to_owned(),
    ];
    for (place, change) in changes.into_iter().enumerate() {
        let mut other = plan.clone();
        change(other.subject.as_mut().unwrap());
        assert!(lint_of(&test, &tbs, &other).starts_with("lint subject: "), "change {place}");
    }
    // The policy says what was vetted.
    let ov = test.ca.prepare(&planned(organisation())).unwrap().tbs().to_vec();
    let place = ov.windows(6).position(|part| part == [0x67, 0x81, 0x0c, 0x01, 0x02, 0x02]).unwrap();
    let mut as_dv = ov.clone();
    as_dv[place + 5] = 1;
    let dv = LeafPlan { subject: None, ..plan };
    assert!(lint_of(&test, &as_dv, &dv).starts_with("lint "));
}

#[test]
fn a_plan_that_the_profile_does_not_permit_is_never_signed() {
    let test = TestCa::new();
    let ov = planned(organisation());
    let ev = planned(Subject { ev: Some(registered()), ..organisation() });
    type Change<'a> = &'a dyn Fn(&mut Subject);
    let cases: [(&str, Change<'_>); 10] = [
        ("subject_place", &|subject| (subject.state, subject.locality) = (None, None)),
        ("countryName (\"China\") is no country of ISO 3166-1", &|subject| subject.country = "China".to_owned()),
        ("countryName (\"cn\")", &|subject| subject.country = "cn".to_owned()),
        ("organizationName", &|subject| subject.organisation = "长".repeat(65)),
        ("localityName (\"-\") says nothing", &|subject| subject.locality = Some("-".to_owned())),
        ("postalCode", &|subject| subject.postal_code = Some(" 1".to_owned())),
        ("streetAddress", &|subject| subject.street = Some("a\nb".to_owned())),
        ("stateOrProvinceName (\"\") says nothing", &|subject| subject.state = Some(String::new())),
        ("streetAddress", &|subject| subject.street = Some("x".repeat(129))),
        ("postalCode", &|subject| subject.postal_code = Some("1".repeat(41))),
    ];
    for (expected, change) in cases {
        let mut plan = ov.clone();
        change(plan.subject.as_mut().unwrap());
        let found = refusal(&test, &plan);
        assert!(found.contains(expected), "{expected}: {found}");
    }
    type EvChange<'a> = &'a dyn Fn(&mut EvSubject);
    let cases: [(&str, EvChange<'_>); 4] = [
        ("subject_business_category", &|ev| ev.business_category = "Private".to_owned()),
        ("jurisdictionCountry", &|ev| ev.jurisdiction_country = "C".to_owned()),
        ("PrintableString", &|ev| ev.registration_number = "编号".to_owned()),
        ("jurisdictionState", &|ev| ev.jurisdiction_state = Some("x".repeat(129))),
    ];
    for (expected, change) in cases {
        let mut plan = ev.clone();
        change(plan.subject.as_mut().unwrap().ev.as_mut().unwrap());
        let found = refusal(&test, &plan);
        assert!(found.contains(expected), "{expected}: {found}");
    }
    let mut wildcard = ev;
    wildcard.names = names(&["www.example.com", "*.example.com"]);
    assert!(refusal(&test, &wildcard).contains("ev_names"));
    let mut longest = ov;
    longest.subject.as_mut().unwrap().organisation = "长".repeat(64);
    test.issue(&longest);
}
