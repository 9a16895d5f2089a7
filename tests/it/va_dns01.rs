//! dns-01 against a loopback DNS.

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chancery::domain::Kind;
use chancery::domain::plan::Method::Dns01;
use chancery::va::Settings;

use crate::support::dns::{Dns, Failure};
use crate::va_world::{KEY_AUTHORIZATION, accepted, bounded, hasty, refused, settings, task, validate};

const PLACE: &str = "_acme-challenge.example.com";

fn expected() -> String {
    URL_SAFE_NO_PAD.encode(digest(&SHA256, KEY_AUTHORIZATION.as_bytes()))
}

#[tokio::test]
async fn the_digest_in_a_txt_record_proves_control() {
    let dns = Dns::start().await;
    dns.txt(PLACE, &expected());
    let outcome = validate(settings(&dns), &task("example.com", Dns01)).await;
    accepted(&outcome);
    assert!(outcome.evidence.contains(&format!("TXT {PLACE}: \"{}\"", expected())), "{:?}", outcome.evidence);
}

#[tokio::test]
async fn wildcards_are_proven_at_the_base_name() {
    let dns = Dns::start().await;
    dns.txt(PLACE, &expected());
    let mut task = task("example.com", Dns01);
    task.wildcard = true;
    accepted(&validate(settings(&dns), &task).await);
}

#[tokio::test]
async fn any_matching_record_among_several_suffices() {
    let dns = Dns::start().await;
    dns.txt(PLACE, "something else").txt(PLACE, &expected()).txt(PLACE, "");
    accepted(&validate(settings(&dns), &task("example.com", Dns01)).await);
}

#[tokio::test]
async fn the_strings_of_a_record_are_joined() {
    let dns = Dns::start().await;
    let expected = expected();
    let (start, end) = expected.split_at(10);
    dns.txt_pieces(PLACE, &[start, "", end]);
    accepted(&validate(settings(&dns), &task("example.com", Dns01)).await);
    dns.clear_txt(PLACE).txt(PLACE, start).txt(PLACE, end);
    let outcome = validate(settings(&dns), &task("example.com", Dns01)).await;
    refused(&outcome, Kind::Unauthorized, &["The 2 TXT records", "(DIAG-09)."]);
}

#[tokio::test]
async fn a_record_set_too_big_for_udp_is_fetched_over_tcp() {
    let dns = Dns::start().await;
    for n in 0..40 {
        dns.txt(PLACE, &format!("{n:0100}"));
    }
    dns.txt(PLACE, &expected());
    accepted(&validate(settings(&dns), &task("example.com", Dns01)).await);
    assert!(dns.queries().contains(&format!("TXT {PLACE} over TCP")), "{:?}", dns.queries());
}

#[tokio::test]
async fn a_delegated_challenge_name_is_followed() {
    let dns = Dns::start().await;
    dns.cname(PLACE, "x.challenges.example.net").txt("x.challenges.example.net", &expected());
    accepted(&validate(settings(&dns), &task("example.com", Dns01)).await);
    dns.leave_aliases_to_the_stub();
    accepted(&validate(settings(&dns), &task("example.com", Dns01)).await);
    dns.clear("x.challenges.example.net").txt("x.challenges.example.net", "stale");
    let outcome = validate(settings(&dns), &task("example.com", Dns01)).await;
    refused(&outcome, Kind::Unauthorized, &["\"stale\"", "an alias of x.challenges.example.net"]);
}

#[tokio::test]
async fn aliases_in_a_circle_are_a_dns_problem() {
    let dns = Dns::start().await;
    dns.cname(PLACE, "b.example.com").cname("b.example.com", PLACE).leave_aliases_to_the_stub();
    let outcome = bounded(validate(settings(&dns), &task("example.com", Dns01))).await;
    refused(&outcome, Kind::Dns, &[PLACE, "aliases"]);
}

#[tokio::test]
async fn a_changed_record_is_seen_at_once() {
    let dns = Dns::start().await;
    let va = chancery::va::Va::new(settings(&dns)).unwrap();
    let task = task("example.com", Dns01);
    refused(&va.validate(&task).await, Kind::Dns, &["NXDOMAIN"]);
    dns.txt(PLACE, "wrong");
    refused(&va.validate(&task).await, Kind::Unauthorized, &["\"wrong\""]);
    dns.clear_txt(PLACE).txt(PLACE, &expected());
    accepted(&va.validate(&task).await);
    dns.clear_txt(PLACE);
    refused(&va.validate(&task).await, Kind::Dns, &["NXDOMAIN"]);
}

#[tokio::test]
async fn the_problem_says_where_it_looked_what_it_found_and_what_it_wanted() {
    let dns = Dns::start().await;
    dns.txt(PLACE, "first\u{7}").txt(PLACE, &"long".repeat(300)).txt(PLACE, "third").txt(PLACE, "fourth");
    let outcome = validate(settings(&dns), &task("example.com", Dns01)).await;
    let parts = ["The 4 TXT records", PLACE, "first\\u{7}", "longlong", "third", ", ..", &expected()];
    let problem = refused(&outcome, Kind::Unauthorized, &parts);
    assert!(!problem.detail.contains("fourth"));
    assert!(outcome.may_heal);
}

#[tokio::test]
async fn a_name_that_exists_without_txt_is_unauthorized_and_one_that_does_not_is_a_dns_problem() {
    let dns = Dns::start().await;
    let outcome = validate(settings(&dns), &task("example.com", Dns01)).await;
    let advice = ["If your DNS panel appends the zone, enter the host without it.", "after their TTL (DIAG-08)."];
    refused(&outcome, Kind::Dns, &[&["NXDOMAIN", PLACE, &expected()], &advice[..]].concat());
    dns.a(PLACE, "127.0.0.1");
    let outcome = validate(settings(&dns), &task("example.com", Dns01)).await;
    refused(&outcome, Kind::Unauthorized, &[&["No TXT record", PLACE, &expected()], &advice[..]].concat());
}

#[tokio::test]
async fn failures_of_the_lookup_are_dns_problems() {
    let dns = Dns::start().await;
    for (failure, part) in [(Failure::ServFail, "SERVFAIL"), (Failure::Refused, "REFUSED"), (Failure::Drop, "answer")] {
        dns.fail(PLACE, failure);
        let settings = if failure == Failure::Drop { hasty(settings(&dns)) } else { settings(&dns) };
        let outcome = bounded(validate(settings, &task("example.com", Dns01))).await;
        refused(&outcome, Kind::Dns, &[PLACE, part, "(DIAG-11)."]);
        assert!(outcome.may_heal);
    }
}

#[tokio::test]
async fn an_answer_that_every_name_has_is_made_up() {
    let dns = Dns::start().await;
    let task = task("example.com", Dns01);
    let advice = "Your DNS answers names that do not exist. Add the record at exactly _acme-challenge.example.com;";
    let asked = || dns.queries().iter().filter(|query| query.starts_with("TXT ")).count();
    for wildcard in ["txt", "cname"] {
        match wildcard {
            "txt" => dns.txt("*.example.com", "v=spf1 -all").txt("*.example.com", "parked"),
            _ => dns.clear("*.example.com").cname("*.example.com", "parking.example.net"),
        };
        let outcome = validate(settings(&dns), &task).await;
        let problem = outcome.result.clone().unwrap_err();
        assert!(problem.detail.contains(advice) && problem.detail.ends_with("(DIAG-10)."), "{problem}");
    }
    // One more question each time, for a name that is another each time.
    assert_eq!(asked(), 4);
    let others = dns.queries().into_iter().filter(|query| query.starts_with("TXT _") && !query.contains("acme"));
    assert_eq!(others.collect::<std::collections::BTreeSet<_>>().len(), 2);
    // The name's own record is not made up, whether it is right or wrong.
    dns.txt(PLACE, "its own");
    refused(&validate(settings(&dns), &task).await, Kind::Unauthorized, &["\"its own\"", "(DIAG-09)."]);
    dns.clear_txt(PLACE).txt(PLACE, &expected());
    accepted(&validate(settings(&dns), &task).await);
    // Nothing to make up: nobody asks. A name server that fails for other names has made nothing up either.
    let before = asked();
    dns.clear("*.example.com").clear(PLACE);
    refused(&validate(settings(&dns), &task).await, Kind::Dns, &["NXDOMAIN", "(DIAG-08)."]);
    assert_eq!(asked() - before, 1);
}

#[tokio::test]
async fn a_resolver_that_is_not_there_is_a_dns_problem() {
    let dns = Dns::start().await;
    let settings = hasty(settings(&dns));
    drop(dns);
    let outcome = bounded(validate(settings, &task("example.com", Dns01))).await;
    refused(&outcome, Kind::Dns, &[PLACE]);
    assert!(outcome.may_heal);
}

#[tokio::test]
async fn addresses_are_not_proven_by_the_dns() {
    let dns = Dns::start().await;
    let outcome = validate(settings(&dns), &task("127.0.0.1", Dns01)).await;
    refused(&outcome, Kind::Malformed, &["127.0.0.1"]);
    assert!(!outcome.may_heal);
    assert_eq!(dns.queries(), [""; 0]);
}

#[tokio::test]
async fn random_case_is_asked_for_when_switched_on_and_survives_servers_that_fold_it() {
    let dns = Dns::start().await;
    dns.txt(PLACE, &expected());
    let settings = Settings { randomize_case: true, ..settings(&dns) };
    accepted(&validate(settings.clone(), &task("example.com", Dns01)).await);
    assert!(dns.spellings().iter().any(|name| name.contains(char::is_uppercase)), "{:?}", dns.spellings());
    dns.lower_case_of_questions();
    accepted(&validate(settings, &task("example.com", Dns01)).await);
    assert!(dns.queries().contains(&format!("TXT {PLACE} over TCP")), "{:?}", dns.queries());
}
