//! No octet of a root or an intermediate escapes its lint, and each rule refuses what breaks it.

use std::time::Duration;

use rcgen::{BasicConstraints, DistinguishedName, ExtendedKeyUsagePurpose, IsCa, KeyUsagePurpose};
use tempfile::TempDir;

use super::*;
use crate::ca::hierarchy::{Hierarchy, Opening};
use crate::ca::keys::Vault;
use crate::domain::Serial;

/// 2026-11-21T12:00:00Z.
const NOW: Timestamp = Timestamp::from_secs(1_795_262_400);
const DAYS: Duration = Duration::from_secs(86_400);

/// A hierarchy of one root, one intermediate and its keys.
struct House {
    settings: Settings,
    urls: Urls,
    hierarchy: Hierarchy,
    _directory: TempDir,
}

impl House {
    fn new() -> Self {
        let directory = TempDir::new().unwrap();
        let settings = Settings { issuers: vec!["chancery".to_owned()], rsa_issuers: false, ..Settings::default() };
        let urls = Urls::new("http://pki.ca.test", true).unwrap();
        let vault = Vault::open(&directory.path().join("keys")).unwrap();
        let hierarchy = Opening { vault: &vault, settings: &settings, urls: &urls, now: NOW }.hierarchy().unwrap();
        Self { settings, urls, hierarchy, _directory: directory }
    }

    fn place(&self, of_root: bool) -> Place<'_> {
        let root = &self.hierarchy.roots[0];
        let (key, root) = if of_root { (&root.key, None) } else { (&self.hierarchy.intermediates[0].key, Some(root)) };
        Place { key, root, links: false, settings: &self.settings, urls: &self.urls, now: NOW }
    }

    /// What a root or an intermediate looks like, apart from what each test changes.
    fn params(&self, of_root: bool) -> CertificateParams {
        let Self { settings, urls, hierarchy, .. } = self;
        let mut params = CertificateParams::default();
        let mut name = DistinguishedName::new();
        name.push(DnType::CountryName, DnValue::PrintableString("CN".try_into().unwrap()));
        name.push(DnType::OrganizationName, settings.organization.as_str());
        name.push(DnType::CommonName, if of_root { "Chancery Root R1" } else { "Chancery TLS CA 1" });
        params.distinguished_name = name;
        params.serial_number = Some(Serial::random().as_bytes().to_vec().into());
        params.not_before = NOW.to_offset();
        let days = if of_root { 7300 } else { 3650 };
        params.not_after = (NOW + days * DAYS - Duration::from_secs(1)).to_offset();
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.use_authority_key_identifier_extension = true;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = self.place(of_root).key;
        params.key_identifier_method = rcgen::KeyIdMethod::PreSpecified(key.identifier());
        if !of_root {
            let root = &hierarchy.roots[0].name;
            params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
            params.crl_distribution_points = vec![rcgen::CrlDistributionPoint { uris: vec![urls.crl(root, 0)] }];
            params.custom_extensions = vec![
                crate::ca::leaf::authority_information_access(None, &urls.certificate(root)),
                crate::ca::leaf::certificate_policies(&[2, 5, 29, 32, 0]),
            ];
        }
        params
    }

    /// The octets that would be signed.
    fn tbs(&self, params: &CertificateParams, of_root: bool) -> Vec<u8> {
        let place = self.place(of_root);
        let built = match place.root {
            None => params.self_signed(&StandIn(place.key)).unwrap(),
            Some(root) => params.signed_by(place.key, root.unsigned.as_ref().unwrap()).unwrap(),
        };
        der::take(der::only(built.der(), der::SEQUENCE).unwrap()).unwrap().0.whole.to_vec()
    }

    /// What the lint says of what comes of these parameters.
    fn found(&self, of_root: bool, change: impl FnOnce(&mut CertificateParams)) -> String {
        let mut params = self.params(of_root);
        change(&mut params);
        let found = check(&self.tbs(&params, of_root), &params, &self.place(of_root));
        found.err().map(|fault| fault.to_string()).unwrap_or_default()
    }
}

#[test]
fn no_bit_of_an_authority_can_be_flipped() {
    let house = House::new();
    for of_root in [true, false] {
        let (params, place) = (house.params(of_root), house.place(of_root));
        let tbs = house.tbs(&params, of_root);
        check(&tbs, &params, &place).unwrap();
        for at in 0..tbs.len() {
            for bit in 0..8 {
                let mut flipped = tbs.clone();
                flipped[at] ^= 1 << bit;
                assert!(check(&flipped, &params, &place).is_err(), "bit {bit} of octet {at}");
            }
        }
        assert!(check(&tbs[..tbs.len() - 1], &params, &place).is_err());
        assert!(check(&[&tbs[..], &[5, 0]].concat(), &params, &place).is_err());
    }
}

type Change = fn(&mut CertificateParams);

#[test]
fn each_rule_of_roots_and_intermediates_refuses_what_breaks_it() {
    let house = House::new();
    let unit: Change = |params| params.distinguished_name.push(DnType::OrganizationalUnitName, "x");
    let common: [(&str, Change); 9] = [
        ("authority_serial", |params| params.serial_number = Some(vec![1].into())),
        ("authority_serial", |params| params.serial_number = Some(vec![0x80; 20].into())),
        ("authority_validity_start", |params| params.not_before = (NOW - 2 * DAYS).to_offset()),
        ("authority_validity_start", |params| params.not_before = (NOW + DAYS).to_offset()),
        ("authority_validity_order", |params| params.not_after = params.not_before),
        ("authority_subject", |params| params.distinguished_name.remove(DnType::CommonName).then_some(()).unwrap()),
        ("key_usage", |params| params.key_usages.push(KeyUsagePurpose::DigitalSignature)),
        ("basic_constraints", |params| params.is_ca = IsCa::Ca(BasicConstraints::Constrained(1))),
        ("authority_key_identifier", |params| params.use_authority_key_identifier_extension = false),
    ];
    for of_root in [true, false] {
        assert_eq!(house.found(of_root, |_| {}), "");
        for (lint, change) in common {
            let found = house.found(of_root, change);
            assert!(found.starts_with(&format!("lint {lint}:")), "{lint}: {found}");
        }
    }
    let of_root: [(&str, Change); 4] = [
        ("issuer", unit),
        ("root_validity", |params| params.not_after = (NOW + 2920 * DAYS).to_offset()),
        ("root_validity", |params| params.not_after = (NOW + 9132 * DAYS).to_offset()),
        ("extension_unexpected", |params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth]),
    ];
    for (lint, change) in of_root {
        let found = house.found(true, change);
        assert!(found.starts_with(&format!("lint {lint}:")), "{lint}: {found}");
    }
    let of_intermediate: [(&str, Change); 7] = [
        ("subject", unit),
        ("authority_validity_within_root", |params| params.not_after = (NOW + 7300 * DAYS).to_offset()),
        ("extended_key_usage", |params| params.extended_key_usages.push(ExtendedKeyUsagePurpose::ClientAuth)),
        ("extended_key_usage", |params| params.extended_key_usages.clear()),
        ("crl_distribution_points", |params| params.crl_distribution_points.clear()),
        ("authority_information_access", |params| drop(params.custom_extensions.remove(0))),
        ("certificate_policies", |params| {
            params.custom_extensions[1] = crate::ca::leaf::certificate_policies(&[2, 23, 140, 1, 2, 1]);
        }),
    ];
    for (lint, change) in of_intermediate {
        let found = house.found(false, change);
        assert!(found.starts_with(&format!("lint {lint}:")), "{lint}: {found}");
    }
}

#[test]
fn names_of_the_settings_are_judged_too() {
    let mut house = House::new();
    house.settings.country = "ZZ".to_owned();
    assert!(house.found(true, |_| {}).starts_with("lint authority_country:"));
    house.settings.country = "CN".to_owned();
    house.settings.organization = "Other".to_owned();
    assert!(house.found(true, |_| {}).starts_with("lint authority_subject:"));
}

#[test]
fn a_fault_comes_before_the_signature() {
    let house = House::new();
    let mut params = house.params(false);
    params.extended_key_usages.clear();
    let refused = issue(&params, &house.place(false)).unwrap_err().to_string();
    assert!(refused.starts_with("lint extended_key_usage:"), "{refused}");
}
