//! The key directory: made once, kept, and refused when something in it does not fit.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use chancery::ca::{Ca, Settings};
use chancery::domain::Timestamp;
use chancery::domain::csr::SubjectKey;
use rcgen::{CertificateParams, DnType, IsCa, KeyPair, KeyUsagePurpose};
use tempfile::TempDir;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::ca_tools::{DAY, NOW, P256, PKI, TestCa, one_issuer, openssl, plan, request};

fn mode(path: &std::path::Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

fn refusal(test: &TestCa) -> String {
    test.reopen(&test.settings, NOW).err().expect("refused")
}

#[test]
fn keys_are_for_the_owner_alone_and_readable_by_openssl() {
    let test = TestCa::with(Settings { alternate_roots: 1, ..one_issuer() });
    assert_eq!(mode(&test.keys()), 0o700);
    let mut files: Vec<String> =
        fs::read_dir(test.keys()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    files.sort();
    let expected = "chancery-rsa.key chancery-rsa.pem chancery-rsa.root-2.pem chancery.key chancery.pem \
                    chancery.root-2.pem root-2.key root-2.pem root.key root.pem";
    assert_eq!(files.join(" "), expected);
    for file in &files {
        let path = test.keys().join(file);
        assert_eq!(mode(&path), 0o600, "{file}");
        let path = path.to_str().unwrap();
        match file.ends_with(".key") {
            true => openssl(&["pkey", "-in", path, "-check", "-noout"]).unwrap(),
            false => openssl(&["x509", "-in", path, "-noout"]).unwrap(),
        };
    }
}

#[test]
fn the_hierarchy_has_the_profiles_of_the_baseline_requirements() {
    let test = TestCa::with(Settings {
        issuers: vec!["chancery".into(), "blue-sky".into()],
        country: "DE".into(),
        ..Settings::default()
    });
    let text = |name: &str| {
        let path = test.keys().join(format!("{name}.pem"));
        openssl(&["x509", "-in", path.to_str().unwrap(), "-noout", "-text", "-nameopt", "oneline"]).unwrap()
    };
    let (root, intermediate) = (text("root"), text("blue-sky"));
    for part in [
        "Subject: C = DE, O = Chancery, CN = Chancery Root R1",
        "X509v3 Basic Constraints: critical\n                CA:TRUE\n",
        "X509v3 Key Usage: critical\n                Certificate Sign, CRL Sign\n",
        "X509v3 Subject Key Identifier",
        "X509v3 Authority Key Identifier",
        "Signature Algorithm: ecdsa-with-SHA384",
        "Not Before: Nov 21 12:00:00 2026 GMT",
        "Not After : Nov 16 11:59:59 2046 GMT",
    ] {
        assert!(root.contains(part), "{part}\n{root}");
    }
    for absent in ["Extended Key Usage", "Certificate Policies", "CRL Distribution"] {
        assert!(!root.contains(absent), "{absent}");
    }
    for part in [
        "Issuer: C = DE, O = Chancery, CN = Chancery Root R1",
        "Subject: C = DE, O = Chancery, CN = Chancery Blue Sky TLS CA 1",
        "X509v3 Basic Constraints: critical\n                CA:TRUE, pathlen:0\n",
        "X509v3 Key Usage: critical\n                Certificate Sign, CRL Sign\n",
        "X509v3 Extended Key Usage: \n                TLS Web Server Authentication\n",
        "Policy: X509v3 Any Policy\n",
        "CA Issuers - URI:http://pki.chancery.test:14080/issuer/root.cer\n",
        "URI:http://pki.chancery.test:14080/crl/root/0.crl\n",
        "ASN1 OID: prime256v1",
    ] {
        assert!(intermediate.contains(part), "{part}\n{intermediate}");
    }
    assert!(text("chancery-rsa").contains("Public-Key: (2048 bit)"));
    for der in ["root", "blue-sky"].map(|name| test.ca.issuer_der(name).unwrap()) {
        let (_, certificate) = X509Certificate::from_der(der).unwrap();
        assert_eq!((certificate.raw_serial().len(), certificate.raw_serial()[0] & 0xc0), (20, 0x40));
    }
    let root_pem = test.file("anchor.pem", test.ca.root_pem().as_bytes());
    for name in test.ca.issuer_names() {
        let path = test.keys().join(format!("{name}.pem"));
        openssl(&["verify", "-x509_strict", "-no_check_time", "-CAfile", &root_pem, path.to_str().unwrap()]).unwrap();
    }
}

#[test]
fn everything_survives_a_reopening() {
    let test = TestCa::with(Settings { alternate_roots: 1, ..one_issuer() });
    let later = NOW + 100 * DAY;
    let again = test.reopen(&test.settings, later).unwrap();
    for name in ["root", "root-2", "chancery", "chancery-rsa"] {
        assert_eq!(test.ca.issuer_der(name), again.issuer_der(name));
    }
    assert_eq!(test.ca.chains("chancery"), again.chains("chancery"));
    assert_eq!(test.ca.root_pem(), again.root_pem());
    again.sign(again.prepare(&plan(&request(P256), &["example.com"])).unwrap()).unwrap();
}

#[test]
fn what_new_settings_name_is_made_and_what_they_no_longer_name_is_kept() {
    let test = TestCa::new();
    let more =
        Settings { issuers: vec!["second".into()], rsa_issuers: true, alternate_roots: 1, ..Settings::default() };
    let again = test.reopen(&more, NOW + DAY).unwrap();
    assert_eq!(again.issuer_names().collect::<Vec<_>>(), ["second", "second-rsa", "chancery"]);
    assert_eq!(again.chains("second").unwrap().len(), 2);
    assert_eq!(again.issuer_der("chancery"), test.ca.issuer_der("chancery"));
    assert!(again.issuer_not_after("second", SubjectKey::P256).is_ok());
    assert!(again.issuer_not_after("chancery", SubjectKey::P256).is_err(), "a retired issuer issues nothing");
    assert!(again.crl("chancery", 0, 1, NOW, NOW + DAY, &[]).is_ok());

    // Once it has expired nobody asks for it any more, and it does not keep the server from starting.
    let end = test.ca.issuer_not_after("chancery", SubjectKey::P256).unwrap();
    let fresh = Settings { issuers: vec!["third".into()], rsa_issuers: false, ..one_issuer() };
    assert_eq!(test.reopen(&fresh, end + 2 * DAY).unwrap().issuer_names().collect::<Vec<_>>(), ["third"]);
}

#[test]
fn an_expired_certificate_keeps_the_server_from_starting() {
    let test = TestCa::new();
    let end = test.ca.issuer_not_after("chancery", SubjectKey::P256).unwrap();
    assert!(test.reopen(&test.settings, end).is_ok());
    let why = test.reopen(&test.settings, end + Duration::from_secs(1)).err().unwrap();
    assert!(why.contains("chancery.pem expired at 2036-11-18T11:59:59Z"), "{why}");
}

#[test]
fn an_intermediate_never_outlives_its_root() {
    let test = TestCa::with(Settings { root_days: 2922, intermediate_days: 2922, rsa_issuers: false, ..one_issuer() });
    let again = Settings { issuers: vec!["late".into()], ..test.settings.clone() };
    let late = test.reopen(&again, NOW + 2000 * DAY).unwrap();
    let end = test.ca.issuer_not_after("chancery", SubjectKey::P256).unwrap();
    assert_eq!(late.issuer_not_after("late", SubjectKey::P256).unwrap(), end);
}

#[test]
fn files_that_others_can_read_are_refused() {
    for (file, bits, wanted) in
        [("root.key", 0o640, "0600"), ("chancery.key", 0o604, "0600"), ("", 0o750, "0700"), ("", 0o705, "0700")]
    {
        let test = TestCa::new();
        fs::set_permissions(test.keys().join(file), fs::Permissions::from_mode(bits)).unwrap();
        let why = refusal(&test);
        assert!(why.contains(&format!("has mode {bits:04o}")) && why.contains(&format!("chmod {wanted}")), "{why}");
    }
}

#[test]
fn keys_and_certificates_that_do_not_fit_are_refused() {
    let change = |change: &dyn Fn(&std::path::Path)| {
        let test = TestCa::with(Settings { rsa_issuers: false, alternate_roots: 1, ..one_issuer() });
        change(&test.keys());
        refusal(&test)
    };
    let copy = |from: &'static str, to: &'static str| {
        change(&move |keys| {
            fs::copy(keys.join(from), keys.join(to)).unwrap();
        })
    };
    let gone = |file: &'static str| change(&move |keys| fs::remove_file(keys.join(file)).unwrap());
    let filled =
        |file: &'static str, text: &'static str| change(&move |keys| fs::write(keys.join(file), text).unwrap());
    for (why, part) in [
        (copy("root.key", "chancery.key"), "chancery.key is not the key of the certificate chancery.pem"),
        (copy("chancery.key", "root.key"), "root.key is not the key of the certificate root.pem"),
        (copy("chancery.pem", "chancery.root-2.pem"), "chancery.root-2.pem was not signed by root-2.pem"),
        (copy("chancery.root-2.pem", "chancery.pem"), "chancery.pem was not signed by root.pem"),
        (gone("chancery.key"), "holds chancery.pem but not chancery.key"),
        (gone("root.key"), "not root.key"),
        (gone("root-2.key"), "holds root-2.pem but not root-2.key"),
        (filled("chancery.key", "nonsense"), "chancery.key holds no private key"),
        (filled("chancery.pem", "nonsense"), "chancery.pem holds no certificate"),
    ] {
        assert!(why.contains(part), "{part}: {why}");
    }
}

#[test]
fn a_certificate_lost_is_made_again_for_its_key() {
    let test = TestCa::new();
    fs::remove_file(test.keys().join("chancery.pem")).unwrap();
    let again = test.reopen(&test.settings, NOW).unwrap();
    assert_eq!(again.key_identifier("chancery"), test.ca.key_identifier("chancery"));
    assert_ne!(again.issuer_der("chancery"), test.ca.issuer_der("chancery"));
}

/// A foreign CA, put into the key directory, whose name the certificate builder would write in another way.
#[test]
fn a_ca_name_that_would_not_be_repeated_exactly_is_refused() {
    let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, "Example");
    params.distinguished_name.push(DnType::CustomDnType(vec![2, 5, 4, 97]), "Example Root");
    params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.not_before = NOW.to_offset();
    params.not_after = (NOW + 3000 * DAY).to_offset();
    let der = params.self_signed(&key).unwrap().der().to_vec();
    // Two organizations: 2.5.4.97 becomes 2.5.4.10 in issuer and subject, and the whole is signed anew.
    let tbs_end = usize::from(u16::from_be_bytes([der[6], der[7]])) + 8;
    let mut tbs = der[4..tbs_end].to_vec();
    for place in 0..tbs.len() - 3 {
        if tbs[place..place + 3] == [0x55, 0x04, 0x61] {
            tbs[place + 2] = 0x0a;
        }
    }
    let signature = rcgen::SigningKey::sign(&key, &tbs).unwrap();
    let algorithm = [0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x03];
    let rest = [&algorithm[..], &[0x03, signature.len() as u8 + 1, 0], &signature].concat();
    let length = ((tbs.len() + rest.len()) as u16).to_be_bytes();
    let der = [&[0x30, 0x82, length[0], length[1]], &tbs[..], &rest].concat();

    let directory = TempDir::new().unwrap();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let write = |file: &str, text: String| {
        fs::write(directory.path().join(file), text).unwrap();
        fs::set_permissions(directory.path().join(file), fs::Permissions::from_mode(0o600)).unwrap();
    };
    write("root.key", key.serialize_pem());
    write("root.pem", crate::ca_tools::pem(&der));
    let why = Ca::open(directory.path(), &Settings::default(), PKI, NOW).err().unwrap().to_string();
    assert!(why.contains("would be written differently as issuer"), "{why}");
}

#[test]
fn settings_that_make_no_ca_are_refused_by_their_key() {
    let open = |settings: Settings, url: &str| {
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("keys");
        let why = Ca::open(&path, &settings, url, Timestamp::from_secs(0)).err().expect("refused").to_string();
        assert!(!path.exists());
        why
    };
    let good = Settings::default;
    for (settings, key) in [
        (Settings { organization: String::new(), ..good() }, "organization"),
        (Settings { organization: "x".repeat(60), ..good() }, "organization, issuers"),
        (Settings { country: "cn".into(), ..good() }, "country"),
        (Settings { country: "CHN".into(), ..good() }, "country"),
        (Settings { root_days: 2921, ..good() }, "root_days"),
        (Settings { root_days: 9133, ..good() }, "root_days"),
        (Settings { intermediate_days: 0, ..good() }, "intermediate_days"),
        (Settings { intermediate_days: 7301, ..good() }, "intermediate_days"),
        (Settings { issuers: vec![], ..good() }, "issuers"),
        (Settings { issuers: vec!["root".into()], ..good() }, "issuers"),
        (Settings { issuers: vec!["a-rsa".into()], ..good() }, "issuers"),
        (Settings { issuers: vec!["../a".into()], ..good() }, "issuers"),
        (Settings { issuers: vec!["A".into()], ..good() }, "issuers"),
        (Settings { issuers: vec!["-a".into()], ..good() }, "issuers"),
        (Settings { issuers: vec!["a".into(), "a".into()], ..good() }, "issuers"),
        (Settings { crl_shards: 0, ..good() }, "crl_shards"),
        (Settings { crl_shards: 3, ..good() }, "crl_shards"),
        (Settings { crl_shards: 2048, ..good() }, "crl_shards"),
        (Settings { crl_hours: 0, ..good() }, "crl_hours"),
        (Settings { crl_hours: 97, ..good() }, "crl_hours"),
        (Settings { crl_days: 0, ..good() }, "crl_days"),
        (Settings { crl_days: 11, ..good() }, "crl_days"),
        (Settings { crl_hours: 25, crl_days: 2, ..good() }, "crl_days"),
        (Settings { rsa_bits: 1024, ..good() }, "rsa_bits"),
        (Settings { alternate_roots: 9, ..good() }, "alternate_roots"),
    ] {
        let why = open(settings, PKI);
        assert!(why.starts_with(key), "{key}: {why}");
    }
    for url in ["https://pki.test", "http://", "pki.test", "http://pki test"] {
        assert!(open(good(), url).contains("http:// URL"), "{url}");
    }
}
