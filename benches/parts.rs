//! What the parts of an issuance cost: verifying a request, reading a CSR, making a certificate. The store's part has
//! a bench of its own.
//!
//! Each figure is CPU time of one thread, the least of five rounds. `cargo bench --bench parts`.

use std::process::Command;
use std::time::{Duration, Instant};

use aws_lc_rs::digest::{self, SHA1_FOR_LEGACY_USE_ONLY};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chancery::acme::jws::{Jws, KeyRef, Verifiers};
use chancery::app::App;
use chancery::ca::ocsp::{Request, Span, Status};
use chancery::ca::responders::ResponderPlan;
use chancery::ca::{Ca, LeafPlan, Settings, csr};
use chancery::clock::TestClock;
use chancery::config::Config;
use chancery::domain::{Identifier, Serial, Timestamp};
use x509_parser::prelude::{FromDer as _, X509Certificate};

fn main() {
    if std::env::var_os("SOFTHSM2_CONF").is_some() {
        return token();
    }
    println!("{:<44} {:>10}", "part", "CPU");
    requests();
    certificates();
    statuses();
    token();
}

/// Times a piece of work done again and again for a while on this thread.
fn time<T>(label: &str, mut work: impl FnMut() -> T) {
    let mut best = f64::MAX;
    for _ in 0..5 {
        let (began, cpu, mut count) = (Instant::now(), cpu_time(), 0_u32);
        while began.elapsed() < Duration::from_millis(300) {
            std::hint::black_box(work());
            count += 1;
        }
        best = best.min((cpu_time() - cpu).as_secs_f64() / f64::from(count));
    }
    println!("{label:<44} {:>7.1} us", best * 1e6);
}

/// CPU time of this thread so far, from the kernel's own account.
fn cpu_time() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(text.split_whitespace().next().unwrap().parse().unwrap())
}

fn b64(octets: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(octets)
}

fn requests() {
    let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let point = key.public_key().as_ref();
    let header = format!(
        r#"{{"alg":"ES256","jwk":{{"crv":"P-256","kty":"EC","x":"{}","y":"{}"}},"nonce":"AAAA","url":"https://ca.test/acme/new-order"}}"#,
        b64(&point[1..33]),
        b64(&point[33..])
    );
    let (protected, payload) = (b64(header), b64(r#"{"identifiers":[{"type":"dns","value":"www.example.com"}]}"#));
    let signature = key.sign(&SystemRandom::new(), format!("{protected}.{payload}").as_bytes()).unwrap();
    let body = format!(r#"{{"protected":"{protected}","payload":"{payload}","signature":"{}"}}"#, b64(signature));
    let verifiers = Verifiers::default();
    time("JWS, ES256: parse and verify, key known", || {
        let jws = Jws::parse(body.as_bytes()).unwrap();
        let KeyRef::Jwk(key) = &jws.header.key else { unreachable!("the header has a jwk") };
        verifiers.verify(&jws, key).unwrap();
    });
}

fn certificates() {
    issue(&Settings::default(), "");
}

/// `place` says where the issuer's key is.
fn issue(settings: &Settings, place: &str) {
    let directory = tempfile::tempdir().unwrap();
    let now = Timestamp::from_secs(1_795_262_400);
    let ca = Ca::open(&directory.path().join("keys"), settings, "http://ca.test", now).unwrap();
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(["www.example.com".to_owned()]).unwrap();
    params.distinguished_name = rcgen::DistinguishedName::new();
    let der = params.serialize_request(&key).unwrap().der().to_vec();
    let csr = csr::parse(&der).unwrap();
    let plan = || LeafPlan {
        subject: None,
        serial: Serial::random(),
        issuer: "chancery".to_owned(),
        names: vec![Identifier::parse("dns", "www.example.com").unwrap()],
        common_name: None,
        spki: csr.spki.clone(),
        key: csr.key,
        not_before: now,
        not_after: now + Duration::from_secs(90 * 86_400 - 1),
    };
    if place.is_empty() {
        time("CSR, P-256: parse and verify", || csr::parse(&der).unwrap());
        time("certificate, P-256: build and lint", || ca.prepare(&plan()).unwrap());
    }
    let label = format!("certificate, P-256{place}: build, lint and sign");
    time(&label, || ca.sign(ca.prepare(&plan()).unwrap()).unwrap());
}

/// A certificate signed by a key on a software token, if there is one on this machine. SoftHSM works in this
/// thread, so that its CPU time counts; a real token takes the time that its maker says, and next to no CPU.
fn token() {
    let module = std::path::Path::new("/usr/lib/softhsm/libsofthsm2.so");
    let directory = tempfile::tempdir().unwrap();
    let tokens = directory.path().join("tokens");
    let (conf, pin) = (directory.path().join("softhsm2.conf"), directory.path().join("pin"));
    // The library reads where its tokens are from the environment, which is set before the process begins.
    if std::env::var_os("SOFTHSM2_CONF").is_none() {
        std::fs::create_dir(&tokens).unwrap();
        std::fs::write(&conf, format!("directories.tokendir = {}\n", tokens.display())).unwrap();
        let arguments = ["--init-token", "--free", "--label", "bench", "--so-pin", "12345678", "--pin", "12345678"];
        let made = Command::new("softhsm2-util").args(arguments).env("SOFTHSM2_CONF", &conf).output();
        if !module.exists() || !made.is_ok_and(|made| made.status.success()) {
            println!("{:<44} skipped: SoftHSM is not installed", "certificate, P-256 on a token");
            return;
        }
        let again = Command::new(std::env::current_exe().unwrap()).env("SOFTHSM2_CONF", &conf).status();
        assert!(again.unwrap().success());
        return;
    }
    std::fs::write(&pin, "12345678").unwrap();
    std::fs::set_permissions(&pin, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let settings = Settings {
        pkcs11: Some(chancery::ca::token::Settings {
            module: module.to_owned(),
            token: "bench".to_owned(),
            pin_file: pin,
            sessions: 1,
            keys: vec!["*".to_owned()],
        }),
        ..Settings::default()
    };
    issue(&settings, " on a token");
}

/// Answers about a certificate: signed for the ask, for both kinds of issuer, and kept from an earlier one.
fn statuses() {
    let directory = tempfile::tempdir().unwrap();
    let now = Timestamp::from_secs(1_795_262_400);
    let ca = Ca::open(&directory.path().join("keys"), &Settings::default(), "http://ca.test", now).unwrap();
    for (issuer, kind) in [("chancery", "P-256"), ("chancery-rsa", "RSA 2048")] {
        let plan = ResponderPlan {
            issuer: issuer.to_owned(),
            serial: Serial::random(),
            key: ca.responder_key_kind(issuer).unwrap().generate().unwrap(),
            not_before: now,
            not_after: now + Duration::from_secs(14 * 86_400),
        };
        let responder = ca.certify_responder(ca.prepare_responder(plan).unwrap()).unwrap();
        let octets = status_request(ca.issuer_der(issuer).unwrap(), Serial::random().as_bytes());
        let span = Span { this_update: now, next_update: now + Duration::from_secs(86_400) };
        time(&format!("OCSP, {kind}: parse, build and sign"), || {
            let request = Request::parse(&octets).unwrap();
            assert!(ca.status_issuer(&request.certificates[0]).is_some());
            responder.answer(&[(&request.certificates[0], Status::Good)], None, span).unwrap()
        });
    }
    let mut config = Config::default();
    config.server.data_dir = directory.path().join("data");
    config.ca.rsa_issuers = false;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let app = App::build(&config, std::sync::Arc::new(TestClock::at(now))).unwrap();
    let names = vec![Identifier::parse("dns", "ca.test").unwrap()];
    let own = runtime.block_on(app.ra.issue_server_certificate(names, "chancery")).unwrap().chain.swap_remove(0);
    let (_, own) = X509Certificate::from_der(&own).unwrap();
    let octets = status_request(&app.ra.issuer_certificate("chancery").unwrap(), own.raw_serial());
    time("OCSP: a kept answer, with its look at the store", || {
        assert!(runtime.block_on(app.ra.certificate_status(&octets)).is_signed);
    });
}

/// An OCSPRequest for a serial of an issuer, by SHA-1, as clients send it.
fn status_request(issuer: &[u8], serial: &[u8]) -> Vec<u8> {
    let (_, issuer) = X509Certificate::from_der(issuer).unwrap();
    let element = |tag: u8, parts: &[&[u8]]| {
        let content = parts.concat();
        assert!(content.len() < 128, "lengths of one octet are all that is needed here");
        [&[tag, content.len() as u8], &content[..]].concat()
    };
    let hashed = |octets: &[u8]| element(4, &[digest::digest(&SHA1_FOR_LEGACY_USE_ONLY, octets).as_ref()]);
    let algorithm = [0x30, 0x09, 0x06, 0x05, 0x2b, 0x0e, 0x03, 0x02, 0x1a, 0x05, 0x00];
    let (name, key) = (issuer.subject().as_raw(), &issuer.public_key().subject_public_key.data);
    let id = element(0x30, &[&algorithm, &hashed(name), &hashed(key), &element(2, &[serial])]);
    (0..4).fold(id, |inner, _| element(0x30, &[&inner]))
}
