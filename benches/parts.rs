//! What the parts of an issuance cost: verifying a request, reading a CSR, making a certificate. The store's part has
//! a bench of its own.
//!
//! Each figure is CPU time of one thread, the least of five rounds. `cargo bench --bench parts`.

use std::time::{Duration, Instant};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chancery::acme::jws::{Jws, KeyRef, Verifiers};
use chancery::ca::{Ca, LeafPlan, Settings, csr};
use chancery::domain::{Identifier, Serial, Timestamp};

fn main() {
    println!("{:<44} {:>10}", "part", "CPU");
    requests();
    certificates();
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
    let directory = tempfile::tempdir().unwrap();
    let now = Timestamp::from_secs(1_795_262_400);
    let ca = Ca::open(&directory.path().join("keys"), &Settings::default(), "http://ca.test", now).unwrap();
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(["www.example.com".to_owned()]).unwrap();
    params.distinguished_name = rcgen::DistinguishedName::new();
    let der = params.serialize_request(&key).unwrap().der().to_vec();
    time("CSR, P-256: parse and verify", || csr::parse(&der).unwrap());
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
    time("certificate, P-256: build and lint", || ca.prepare(&plan()).unwrap());
    time("certificate, P-256: build, lint and sign", || ca.sign(ca.prepare(&plan()).unwrap()).unwrap());
}
