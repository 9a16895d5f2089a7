//! tls-alpn-01 against a loopback TLS server.

use chancery::domain::Kind;
use chancery::domain::plan::Method::TlsAlpn01;
use chancery::va::Settings;

use crate::support::dns::Dns;
use crate::support::target::{AlpnCertificate, AlpnTarget, Hello, Target};
use crate::va_world::{KEY_AUTHORIZATION, accepted, bounded, hasty, refused, settings, task, validate};

const NAME: &str = "www.example.com";

async fn world() -> (Dns, AlpnTarget, Settings) {
    let (dns, target) = (Dns::start().await, AlpnTarget::start().await);
    dns.a(NAME, "127.0.0.1");
    let settings = Settings { tls_port: target.port(), ..settings(&dns) };
    (dns, target, settings)
}

fn right() -> AlpnCertificate {
    AlpnCertificate::right(NAME, KEY_AUTHORIZATION)
}

#[tokio::test]
async fn the_right_certificate_proves_control() {
    let (_dns, target, settings) = world().await;
    target.prove(NAME, KEY_AUTHORIZATION);
    let outcome = validate(settings, &task(NAME, TlsAlpn01)).await;
    accepted(&outcome);
    let hello = Hello { sni: Some(NAME.to_owned()), alpn: vec!["acme-tls/1".to_owned()] };
    assert_eq!(target.hellos(), [hello]);
    assert!(outcome.evidence.join("\n").contains(&target.addr().to_string()), "{:?}", outcome.evidence);
}

#[tokio::test]
async fn names_are_compared_without_regard_to_case() {
    let (_dns, target, settings) = world().await;
    target.show(NAME, &AlpnCertificate { names: vec!["WWW.Example.com".to_owned()], ..right() });
    accepted(&validate(settings, &task(NAME, TlsAlpn01)).await);
}

#[tokio::test]
async fn tls_1_2_is_enough() {
    let (dns, target) = (Dns::start().await, AlpnTarget::with_tls_1_2().await);
    dns.a(NAME, "127.0.0.1");
    target.prove(NAME, KEY_AUTHORIZATION);
    let settings = Settings { tls_port: target.port(), ..settings(&dns) };
    accepted(&validate(settings, &task(NAME, TlsAlpn01)).await);
}

#[tokio::test]
async fn an_address_is_asked_for_by_its_reverse_name() {
    let (dns, target, settings) = world().await;
    target.prove("127.0.0.1", KEY_AUTHORIZATION);
    accepted(&validate(settings.clone(), &task("127.0.0.1", TlsAlpn01)).await);
    assert_eq!(target.hellos()[0].sni.as_deref(), Some("1.0.0.127.in-addr.arpa"));
    assert_eq!(dns.queries(), [""; 0]);
    let named = AlpnCertificate { names: vec!["1.0.0.127.in-addr.arpa".to_owned()], ..right() };
    target.show("127.0.0.1", &named);
    let outcome = validate(settings, &task("127.0.0.1", TlsAlpn01)).await;
    refused(&outcome, Kind::Unauthorized, &["1.0.0.127.in-addr.arpa", "instead of 127.0.0.1"]);
}

#[tokio::test]
async fn other_certificates_prove_nothing() {
    let (_dns, target, settings) = world().await;
    let extension = right().extension.unwrap();
    let altered = |change: fn(&mut Vec<u8>)| {
        let mut extension = extension.clone();
        change(&mut extension);
        Some(extension)
    };
    let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
    for (certificate, part) in [
        (AlpnCertificate { critical: false, ..right() }, "not critical"),
        (AlpnCertificate { extension: None, ..right() }, "exactly one acmeIdentifier"),
        (AlpnCertificate::right(NAME, "another key authorization"), "as its acmeIdentifier instead of 0420"),
        (AlpnCertificate { extension: altered(|e| e.push(0)), ..right() }, "acmeIdentifier instead of"),
        (AlpnCertificate { extension: altered(|e| e.truncate(33)), ..right() }, "acmeIdentifier instead of"),
        // The digest bare, and the length in a form that is BER but not DER.
        (AlpnCertificate { extension: altered(|e| drop(e.drain(..2))), ..right() }, "acmeIdentifier instead of"),
        (AlpnCertificate { extension: altered(|e| e.insert(1, 0x81)), ..right() }, "acmeIdentifier instead of"),
        (AlpnCertificate { names: names(&[NAME, "other.example.com"]), ..right() }, "has 2 names"),
        (AlpnCertificate { names: names(&[NAME, "127.0.0.1"]), ..right() }, "has 2 names"),
        (AlpnCertificate { names: names(&[NAME, NAME]), ..right() }, "has 2 names"),
        (AlpnCertificate { names: names(&[]), ..right() }, "has 0 names"),
        (AlpnCertificate { names: names(&["other.example.com"]), ..right() }, "\"other.example.com\" instead of"),
        (AlpnCertificate { names: names(&["*.example.com"]), ..right() }, "\"*.example.com\" instead of"),
        (AlpnCertificate { names: names(&["127.0.0.1"]), ..right() }, "the address 7f000001 instead of"),
    ] {
        target.show(NAME, &certificate);
        let outcome = validate(settings.clone(), &task(NAME, TlsAlpn01)).await;
        refused(&outcome, Kind::Unauthorized, &[NAME, &target.addr().to_string(), part]);
        assert!(outcome.may_heal);
    }
}

#[tokio::test]
async fn a_server_that_does_not_speak_the_protocol_is_a_tls_problem() {
    for protocols in [&[][..], &["h2", "http/1.1"]] {
        let (dns, target) = (Dns::start().await, AlpnTarget::speaking(protocols).await);
        dns.a(NAME, "127.0.0.1");
        target.prove(NAME, KEY_AUTHORIZATION);
        let settings = Settings { tls_port: target.port(), ..settings(&dns) };
        refused(&validate(settings, &task(NAME, TlsAlpn01)).await, Kind::Tls, &["acme-tls/1"]);
    }
}

#[tokio::test]
async fn a_handshake_that_fails_is_a_tls_problem() {
    let (_dns, target, settings) = world().await;
    // No certificate for the name.
    let outcome = validate(settings, &task(NAME, TlsAlpn01)).await;
    refused(&outcome, Kind::Tls, &[NAME, &target.addr().to_string(), "handshake"]);
    assert!(outcome.may_heal);
}

#[tokio::test]
async fn a_server_that_hangs_or_is_not_there_is_given_up_in_time() {
    let (dns, silent) = (Dns::start().await, Target::start().await);
    dns.a(NAME, "127.0.0.1");
    let settings = hasty(Settings { tls_port: silent.port(), ..settings(&dns) });
    let outcome = bounded(validate(settings.clone(), &task(NAME, TlsAlpn01))).await;
    refused(&outcome, Kind::Tls, &["Timed out after 1 s", NAME, "(DIAG-13)."]);
    drop(silent);
    let outcome = bounded(validate(settings, &task(NAME, TlsAlpn01))).await;
    refused(&outcome, Kind::Connection, &["refused"]);
}

#[tokio::test]
async fn ipv4_takes_over_when_nothing_takes_the_connection_over_ipv6() {
    let (dns, target, settings) = world().await;
    dns.aaaa(NAME, "::1");
    target.prove(NAME, KEY_AUTHORIZATION);
    accepted(&validate(settings, &task(NAME, TlsAlpn01)).await);
}

#[tokio::test]
async fn private_addresses_and_wildcards_are_refused() {
    let (_dns, target, settings) = world().await;
    target.prove(NAME, KEY_AUTHORIZATION);
    let mut wildcard = task(NAME, TlsAlpn01);
    wildcard.wildcard = true;
    refused(&validate(settings.clone(), &wildcard).await, Kind::Malformed, &["wildcard"]);
    let settings = Settings { allow_private_addresses: false, ..settings };
    refused(&validate(settings, &task(NAME, TlsAlpn01)).await, Kind::Connection, &["127.0.0.1", "special-purpose"]);
    assert_eq!(target.hellos(), []);
}
