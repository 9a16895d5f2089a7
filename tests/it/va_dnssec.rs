//! DNSSEC validation against a signed zone.

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chancery::domain::Kind;
use chancery::domain::plan::Method::{Dns01, Http01};
use chancery::va::Settings;
use hickory_server::proto::rr::rdata::{A, CAA, CNAME, TXT};
use hickory_server::proto::rr::{Name, RData, RecordType};

use crate::support::dns::{Dns, Failure};
use crate::support::dnssec::{Cutter, SignedDns};
use crate::support::target::Target;
use crate::va_world::{KEY_AUTHORIZATION, TOKEN, accepted, bounded, refused, settings, task, validate};

const PLACE: &str = "_acme-challenge.example.com";

fn proof() -> RData {
    RData::TXT(TXT::new(vec![URL_SAFE_NO_PAD.encode(digest(&SHA256, KEY_AUTHORIZATION.as_bytes()))]))
}

fn strict(dns: &SignedDns) -> Settings {
    Settings {
        resolvers: vec![dns.addr()],
        dnssec: true,
        trust_anchor: Some(dns.trust_anchor()),
        allow_private_addresses: true,
        ..Settings::default()
    }
}

#[tokio::test]
async fn signed_answers_and_proven_absences_are_taken() {
    let alias = RData::CNAME(CNAME(Name::from_ascii("x.example.net.").unwrap()));
    let records = [("x.example.net", proof()), (PLACE, alias), ("example.org", RData::A(A::new(127, 0, 0, 1)))];
    let dns = SignedDns::start(&records, &[]).await;
    accepted(&bounded(validate(strict(&dns), &task("example.com", Dns01))).await);
    let target = Target::start().await;
    target.serve(TOKEN, KEY_AUTHORIZATION);
    let settings = Settings { http_port: target.port(), ..strict(&dns) };
    accepted(&bounded(validate(settings.clone(), &task("example.org", Http01))).await);
    let outcome = bounded(validate(settings, &task("missing.example.org", Http01))).await;
    refused(&outcome, Kind::Dns, &["NXDOMAIN"]);
}

#[tokio::test]
async fn a_record_without_its_signature_is_refused() {
    let dns = SignedDns::start(&[("other.example.com", proof())], &[(PLACE, proof())]).await;
    let outcome = bounded(validate(strict(&dns), &task("example.com", Dns01))).await;
    refused(&outcome, Kind::Dns, &[PLACE, "DNSSEC validation failed"]);
    // Whoever does not validate takes it.
    let settings = Settings { dnssec: false, trust_anchor: None, ..strict(&dns) };
    accepted(&bounded(validate(settings, &task("example.com", Dns01))).await);
}

#[tokio::test]
async fn a_zone_signed_with_another_key_is_refused() {
    let dns = SignedDns::start(&[(PLACE, proof())], &[]).await;
    let other = SignedDns::start(&[], &[]).await;
    for trust_anchor in [Some(other.trust_anchor()), None] {
        let settings = Settings { trust_anchor, ..strict(&dns) };
        let outcome = bounded(validate(settings, &task("example.com", Dns01))).await;
        refused(&outcome, Kind::Dns, &[PLACE, "DNSSEC validation failed"]);
    }
}

#[tokio::test]
async fn a_caa_record_cut_out_of_an_answer_is_missed() {
    let mut caa = CAA::new_issue(false, None, Vec::new());
    caa.value = b";".to_vec();
    let alias = RData::CNAME(CNAME(Name::from_ascii("host.example.net.").unwrap()));
    let records = [("www.example.com", alias), ("host.example.net", RData::CAA(caa))];
    let dns = SignedDns::start(&records, &[]).await;
    let check = async |settings: Settings, name: &str| {
        let va = chancery::va::Va::new(settings).unwrap();
        bounded(va.check_caa(&crate::va_world::identifier(name), false, &crate::va_world::terms(Http01))).await
    };
    refused(&check(strict(&dns), "www.example.com").await, Kind::Caa, &["www.example.com"]);
    let cutter = Cutter::start(dns.addr(), RecordType::CAA).await;
    let settings = Settings { resolvers: vec![cutter.addr()], ..strict(&dns) };
    for name in ["host.example.net", "www.example.com"] {
        let outcome = check(settings.clone(), name).await;
        refused(&outcome, Kind::Dns, &[name, "DNSSEC validation failed"]);
    }
}

#[tokio::test]
async fn an_unsigned_resolver_proves_neither_records_nor_their_absence() {
    let (dns, signed) = (Dns::start().await, SignedDns::start(&[], &[]).await);
    let settings = Settings { dnssec: true, trust_anchor: Some(signed.trust_anchor()), ..settings(&dns) };
    let RData::TXT(txt) = proof() else { unreachable!("made as TXT") };
    dns.txt(PLACE, std::str::from_utf8(&txt.txt_data[0]).unwrap());
    refused(&bounded(validate(settings.clone(), &task("example.com", Dns01))).await, Kind::Dns, &["example.com"]);
    let outcome = chancery::va::Va::new(settings.clone()).unwrap();
    let terms = crate::va_world::terms(Dns01);
    let name = crate::va_world::identifier("example.com");
    refused(&bounded(outcome.check_caa(&name, false, &terms)).await, Kind::Dns, &["CAA", "example.com"]);
    // Nor does it help to withhold what the proof needs.
    dns.fail_type("", "DNSKEY", Failure::ServFail).fail_type("com", "DS", Failure::ServFail);
    refused(&bounded(validate(settings, &task("example.com", Dns01))).await, Kind::Dns, &["example.com"]);
}

#[tokio::test]
async fn a_trust_anchor_that_cannot_be_read_stops_the_start() {
    let signed = SignedDns::start(&[], &[]).await;
    std::fs::write(signed.trust_anchor(), "this is no key\n").unwrap();
    let error = chancery::va::Va::new(strict(&signed)).err().unwrap().to_string();
    assert!(error.contains(signed.trust_anchor().to_str().unwrap()), "{error}");
    let settings = Settings { trust_anchor: Some("/nowhere/root.key".into()), ..strict(&signed) };
    assert!(chancery::va::Va::new(settings).is_err());
}
