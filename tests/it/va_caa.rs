//! CAA against a loopback DNS.

use chancery::domain::Kind;
use chancery::domain::plan::Method::{self, Dns01, Http01};
use chancery::va::{CaaTerms, Outcome, Settings, Va};

use crate::support::dns::{Dns, Failure};
use crate::support::target::Target;
use crate::va_world::{
    ACCOUNT, KEY_AUTHORIZATION, TOKEN, accepted, bounded, hasty, identifier, refused, settings, task, terms, validate,
};

async fn check(dns: &Dns, name: &str) -> Outcome {
    check_for(dns, name, terms(Http01)).await
}

async fn check_for(dns: &Dns, name: &str, terms: CaaTerms) -> Outcome {
    bounded(Va::new(settings(dns)).unwrap().check_caa(&identifier(name), name.starts_with("*."), &terms)).await
}

#[tokio::test]
async fn without_caa_records_issuance_is_permitted() {
    let dns = Dns::start().await;
    accepted(&check(&dns, "a.b.example.com").await);
    let asked = ["CAA a.b.example.com", "CAA b.example.com", "CAA example.com", "CAA com"];
    assert_eq!(dns.queries(), asked, "up to the top-level domain, and not the root");
}

#[tokio::test]
async fn the_nearest_ancestor_with_records_decides() {
    let dns = Dns::start().await;
    dns.caa("com", 0, "issue", ";").caa("example.com", 0, "issue", "ca.example");
    accepted(&check(&dns, "a.b.example.com").await);
    dns.caa("b.example.com", 0, "issue", "elsewhere.example");
    let outcome = check(&dns, "a.b.example.com").await;
    let parts = [
        "CAA at b.example.com permits only \"elsewhere.example\"",
        "a.b.example.com is refused",
        "0 issue \"elsewhere.example\"",
        "Add `0 issue \"ca.example\"` and `0 issuewild \"ca.example\"` at b.example.com",
        "or remove the record (DIAG-14).",
    ];
    refused(&outcome, Kind::Caa, &parts);
    assert!(!outcome.may_heal);
    assert!(
        outcome.evidence.join("\n").contains("CAA b.example.com: 0 issue \"elsewhere.example\""),
        "{:?}",
        outcome.evidence
    );
    // Records that restrict nothing end the climb too.
    dns.clear("b.example.com").caa("b.example.com", 0, "iodef", "mailto:a@example.com").clear("example.com");
    accepted(&check(&dns, "a.b.example.com").await);
}

#[tokio::test]
async fn records_at_the_top_level_domain_count() {
    let dns = Dns::start().await;
    dns.caa("example", 0, "issue", ";");
    refused(&check(&dns, "name.example").await, Kind::Caa, &["CAA at example permits nobody", "forbids everyone"]);
}

#[tokio::test]
async fn wildcards_go_by_issuewild() {
    let dns = Dns::start().await;
    dns.caa("example.com", 0, "issue", "ca.example").caa("example.com", 0, "issuewild", ";");
    accepted(&check(&dns, "example.com").await);
    let outcome = check(&dns, "*.example.com").await;
    refused(&outcome, Kind::Caa, &["*.example.com", "0 issuewild \";\"", "0 issuewild \"ca.example\""]);
    dns.caa("example.com", 0, "issuewild", "ca.example");
    accepted(&check(&dns, "*.example.com").await);
    assert!(!dns.queries().iter().any(|query| query.contains('*')), "{:?}", dns.queries());
}

#[tokio::test]
async fn unknown_critical_properties_forbid_and_reserved_flags_do_not() {
    let dns = Dns::start().await;
    dns.caa("example.com", 0, "issue", "ca.example").caa("example.com", 127, "tbs", "Unknown");
    accepted(&check(&dns, "example.com").await);
    dns.caa("example.com", 128, "tbs", "Unknown");
    refused(&check(&dns, "example.com").await, Kind::Caa, &["`128 tbs \"Unknown\"`", "critical"]);
}

#[tokio::test]
async fn malformed_values_forbid() {
    let dns = Dns::start().await;
    dns.caa("example.com", 0, "issue", "%%%%%");
    refused(&check(&dns, "example.com").await, Kind::Caa, &["%%%%%", "malformed"]);
    dns.clear("example.com").caa("example.com", 0, "issue", "ca.example\u{0}\n");
    refused(&check(&dns, "example.com").await, Kind::Caa, &["malformed"]);
}

#[tokio::test]
async fn aliases_are_followed_and_their_targets_parents_are_not_asked() {
    let dns = Dns::start().await;
    dns.cname("www.example.com", "host.example.net").caa("host.example.net", 0, "issue", ";");
    refused(&check(&dns, "www.example.com").await, Kind::Caa, &["CAA at www.example.com permits nobody"]);
    dns.clear("host.example.net").caa("example.net", 0, "issue", ";");
    accepted(&check(&dns, "www.example.com").await);
    dns.leave_aliases_to_the_stub().caa("host.example.net", 0, "issue", ";");
    refused(&check(&dns, "www.example.com").await, Kind::Caa, &["CAA at www.example.com permits nobody"]);
}

#[tokio::test]
async fn a_failing_lookup_forbids_even_at_a_parent() {
    let dns = Dns::start().await;
    for failure in [Failure::ServFail, Failure::Refused, Failure::Drop] {
        let settings = if failure == Failure::Drop { hasty(settings(&dns)) } else { settings(&dns) };
        let va = Va::new(settings).unwrap();
        for at in ["www.example.com", "example.com", "com"] {
            dns.fail_type(at, "CAA", failure);
            let outcome = bounded(va.check_caa(&identifier("www.example.com"), false, &terms(Http01))).await;
            refused(&outcome, Kind::Dns, &[&format!("CAA of {at} could not be read: "), "Check the zone (DIAG-15)."]);
            assert!(outcome.may_heal);
            dns.clear(at);
        }
    }
    dns.caa("www.example.com", 0, "issue", "ca.example").fail("example.com", Failure::ServFail);
    accepted(&check(&dns, "www.example.com").await);
}

#[tokio::test]
async fn a_chain_of_aliases_without_end_forbids() {
    let dns = Dns::start().await;
    for hop in 0..12 {
        dns.cname(&format!("{hop}.example.com"), &format!("{}.example.com", hop + 1));
    }
    refused(&check(&dns, "0.example.com").await, Kind::Dns, &["more than 8 aliases"]);
    dns.leave_aliases_to_the_stub();
    refused(&check(&dns, "0.example.com").await, Kind::Dns, &["more than 8 aliases"]);
}

#[tokio::test]
async fn accounts_and_methods_can_be_pinned() {
    let dns = Dns::start().await;
    dns.caa("example.com", 0, "issue", &format!("ca.example; accounturi={ACCOUNT}; validationmethods=http-01,dns-01"));
    accepted(&check(&dns, "example.com").await);
    accepted(&check_for(&dns, "example.com", terms(Dns01)).await);
    let outcome = check_for(&dns, "example.com", terms(Method::TlsAlpn01)).await;
    refused(&outcome, Kind::Caa, &["other validation methods than tls-alpn-01"]);
    let other = CaaTerms { account_uri: format!("{ACCOUNT}0"), ..terms(Http01) };
    refused(&check_for(&dns, "example.com", other).await, Kind::Caa, &["another account", &format!("{ACCOUNT}0")]);
}

#[tokio::test]
async fn without_identities_the_problem_says_that_no_record_helps() {
    let dns = Dns::start().await;
    dns.caa("example.com", 0, "issue", "ca.example");
    let nobody = CaaTerms { identities: Vec::new(), ..terms(Http01) };
    refused(
        &check_for(&dns, "example.com", nobody).await,
        Kind::Caa,
        &["no CAA issuer name yet", "operator", "(CAA-10)."],
    );
}

#[tokio::test]
async fn addresses_have_no_caa() {
    let dns = Dns::start().await;
    accepted(&check(&dns, "127.0.0.1").await);
    assert_eq!(dns.queries(), [""; 0]);
}

#[tokio::test]
async fn many_records_are_read_over_tcp_and_told_in_short() {
    let dns = Dns::start().await;
    for n in 0..60 {
        dns.caa("example.com", 0, "issue", &format!("ca{n}.elsewhere.example"));
    }
    refused(&check(&dns, "example.com").await, Kind::Caa, &["and 57 more"]);
    dns.caa("example.com", 0, "issue", "ca.example");
    accepted(&check(&dns, "example.com").await);
}

#[tokio::test]
async fn a_met_challenge_is_of_no_use_where_caa_forbids() {
    let (dns, target) = (Dns::start().await, Target::start().await);
    dns.a("example.com", "127.0.0.1").caa("example.com", 0, "issue", ";");
    target.serve(TOKEN, KEY_AUTHORIZATION);
    let settings = Settings { http_port: target.port(), ..settings(&dns) };
    let outcome = validate(settings.clone(), &task("example.com", Http01)).await;
    refused(&outcome, Kind::Caa, &["CAA at example.com permits nobody"]);
    // A refusal is told before a failure that may pass.
    target.forget(TOKEN);
    let outcome = validate(settings.clone(), &task("example.com", Http01)).await;
    refused(&outcome, Kind::Caa, &["CAA at example.com permits nobody"]);
    assert!(!outcome.may_heal);
    assert!(outcome.evidence.join("\n").contains("404"), "{:?}", outcome.evidence);
    // Between failures that may pass, the challenge's comes first.
    dns.clear("example.com").a("example.com", "127.0.0.1").fail_type("example.com", "CAA", Failure::ServFail);
    refused(&validate(settings, &task("example.com", Http01)).await, Kind::IncorrectResponse, &["404"]);
}
