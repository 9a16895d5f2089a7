//! http-01 against loopback web servers.

use chancery::domain::Kind;
use chancery::domain::plan::Method::Http01;
use chancery::va::Settings;

use crate::support::dns::{Dns, Failure};
use crate::support::target::Target;
use crate::va_world::{KEY_AUTHORIZATION, TOKEN, accepted, bounded, hasty, refused, settings, task, validate};

async fn world() -> (Dns, Target, Settings) {
    let (dns, target) = (Dns::start().await, Target::start().await);
    dns.a("www.example.com", "127.0.0.1");
    let settings = Settings { http_port: target.port(), ..settings(&dns) };
    (dns, target, settings)
}

#[tokio::test]
async fn the_key_authorization_on_the_names_server_proves_control() {
    let (dns, target, settings) = world().await;
    target.serve(TOKEN, KEY_AUTHORIZATION);
    let outcome = validate(settings, &task("www.example.com", Http01)).await;
    accepted(&outcome);
    let [request] = target.requests().try_into().unwrap();
    assert_eq!(request.line, format!("GET /.well-known/acme-challenge/{TOKEN}"));
    assert_eq!(request.header("host"), "www.example.com");
    assert_eq!(request.header("user-agent"), "chancery");
    assert_eq!(request.header("authorization"), "");
    let mut queries = dns.queries();
    queries.sort();
    assert_eq!(
        queries,
        ["A www.example.com", "AAAA www.example.com", "CAA com", "CAA example.com", "CAA www.example.com"]
    );
    let evidence = outcome.evidence.join("\n");
    for part in
        ["A www.example.com: 127.0.0.1", &target.addr().to_string(), ": 200, 87 bytes", "AAAA www.example.com: none"]
    {
        assert!(evidence.contains(part), "no {part:?} in {evidence}");
    }
}

#[tokio::test]
async fn white_space_after_the_key_authorization_is_ignored_and_before_it_not() {
    let (_dns, target, settings) = world().await;
    target.serve(TOKEN, &format!("{KEY_AUTHORIZATION} \r\n\n"));
    accepted(&validate(settings.clone(), &task("www.example.com", Http01)).await);
    target.serve(TOKEN, &format!(" {KEY_AUTHORIZATION}"));
    let outcome = validate(settings, &task("www.example.com", Http01)).await;
    refused(&outcome, Kind::IncorrectResponse, &["instead of the key authorization", "(DIAG-04)."]);
}

#[tokio::test]
async fn another_body_is_quoted_with_control_characters_escaped() {
    let (_dns, target, settings) = world().await;
    target.serve(TOKEN, "\u{1b}[31mred\r\nherring");
    let outcome = validate(settings, &task("www.example.com", Http01)).await;
    let url = format!("http://www.example.com/.well-known/acme-challenge/{TOKEN}");
    let addr = target.addr().to_string();
    let parts = [&url, &addr, "does not equal the expected value", "\\u{1b}[31mred\\r\\nherring", KEY_AUTHORIZATION];
    refused(&outcome, Kind::IncorrectResponse, &parts);
    assert!(outcome.may_heal);
}

#[tokio::test]
async fn only_status_200_counts() {
    let (_dns, target, settings) = world().await;
    for status in [201, 203, 404, 500] {
        target.status(TOKEN, status, KEY_AUTHORIZATION);
        let outcome = validate(settings.clone(), &task("www.example.com", Http01)).await;
        let parts = [&format!("returned status {status}; 200 is needed"), KEY_AUTHORIZATION, "(DIAG-02)."];
        refused(&outcome, Kind::IncorrectResponse, &parts);
    }
}

#[tokio::test]
async fn a_body_without_end_is_read_to_the_limit_only() {
    let (_dns, target, settings) = world().await;
    target.huge(TOKEN);
    let outcome = bounded(validate(settings, &task("www.example.com", Http01))).await;
    refused(&outcome, Kind::IncorrectResponse, &["more than 4096 bytes", "(DIAG-04)."]);
}

#[tokio::test]
async fn a_server_that_hangs_is_given_up_in_time() {
    let (_dns, target, settings) = world().await;
    target.hang(TOKEN);
    let outcome = bounded(validate(hasty(settings), &task("www.example.com", Http01))).await;
    let parts =
        ["Timed out after 1 s while fetching http://www.example.com/", &target.addr().to_string(), "(DIAG-13)."];
    refused(&outcome, Kind::Connection, &parts);
    assert!(outcome.may_heal);
    assert!(outcome.evidence.join("\n").contains("A www.example.com: 127.0.0.1"), "{:?}", outcome.evidence);
}

#[tokio::test]
async fn an_answer_that_is_not_http_is_a_connection_problem() {
    let (_dns, target, settings) = world().await;
    for bytes in [b"SSH-2.0-OpenSSH_9.9\r\n".as_slice(), b"", b"HTTP/1.1 200 OK\r\nContent-Length: 87\r\n\r\nshort"] {
        target.raw(TOKEN, bytes);
        let outcome = bounded(validate(settings.clone(), &task("www.example.com", Http01))).await;
        refused(&outcome, Kind::Connection, &["Fetching http://www.example.com/", "failed", "(VAL-20)."]);
    }
}

#[tokio::test]
async fn a_port_that_nobody_listens_on_is_a_connection_problem() {
    let (_dns, target, settings) = world().await;
    drop(target);
    let outcome = validate(settings, &task("www.example.com", Http01)).await;
    refused(&outcome, Kind::Connection, &["127.0.0.1:", "refused", "Allow our validation addresses", "(DIAG-06)."]);
    assert!(outcome.may_heal);
}

#[tokio::test]
async fn ipv6_is_dialled_first() {
    let (dns, target) = (Dns::start().await, Target::start_dual().await);
    dns.a("www.example.com", "127.0.0.1").aaaa("www.example.com", "::1");
    target.serve(TOKEN, KEY_AUTHORIZATION);
    let settings = Settings { http_port: target.port(), ..settings(&dns) };
    accepted(&validate(settings, &task("www.example.com", Http01)).await);
    let dialled: Vec<_> = target.requests().iter().map(|request| request.dialled.to_string()).collect();
    assert_eq!(dialled, ["::1"]);
}

#[tokio::test]
async fn ipv4_takes_over_when_nothing_takes_the_connection_over_ipv6() {
    let (dns, target, settings) = world().await;
    dns.aaaa("www.example.com", "::1");
    target.serve(TOKEN, KEY_AUTHORIZATION);
    let outcome = validate(settings, &task("www.example.com", Http01)).await;
    accepted(&outcome);
    assert!(outcome.evidence.join("\n").contains("[::1]"), "{:?}", outcome.evidence);
}

#[tokio::test]
async fn ipv4_does_not_take_over_when_the_server_on_ipv6_answers_wrongly() {
    let (dns, target) = (Dns::start().await, Target::start_dual().await);
    dns.a("www.example.com", "127.0.0.1").aaaa("www.example.com", "::1");
    let settings = Settings { http_port: target.port(), ..settings(&dns) };
    let outcome = validate(settings, &task("www.example.com", Http01)).await;
    refused(&outcome, Kind::IncorrectResponse, &["404", "[::1]"]);
    assert_eq!(target.requests().len(), 1);
}

#[tokio::test]
async fn an_address_is_dialled_itself_and_named_in_the_host_header() {
    let (dns, target) = (Dns::start().await, Target::start_dual().await);
    target.serve(TOKEN, KEY_AUTHORIZATION);
    let settings = Settings { http_port: target.port(), ..settings(&dns) };
    for (ip, host) in [("127.0.0.1", "127.0.0.1"), ("::1", "[::1]")] {
        accepted(&validate(settings.clone(), &task(ip, Http01)).await);
        assert_eq!(target.requests().last().unwrap().header("host"), host);
    }
    assert_eq!(dns.queries(), [""; 0]);
}

#[tokio::test]
async fn private_addresses_are_not_dialled_unless_allowed() {
    let (dns, target, settings) = world().await;
    let settings = Settings { allow_private_addresses: false, ..settings };
    target.serve(TOKEN, KEY_AUTHORIZATION);
    let outcome = validate(settings.clone(), &task("www.example.com", Http01)).await;
    refused(&outcome, Kind::Connection, &["www.example.com", "127.0.0.1", "special-purpose"]);
    assert!(!outcome.may_heal);
    dns.clear("www.example.com").aaaa("www.example.com", "::ffff:127.0.0.1");
    let outcome = validate(settings.clone(), &task("www.example.com", Http01)).await;
    refused(&outcome, Kind::Connection, &["::ffff:127.0.0.1"]);
    let outcome = validate(settings, &task("127.0.0.1", Http01)).await;
    refused(&outcome, Kind::Connection, &["127.0.0.1"]);
    assert!(target.requests().is_empty());
}

#[tokio::test]
async fn wildcards_are_not_proven_by_http() {
    let (_dns, target, settings) = world().await;
    target.serve(TOKEN, KEY_AUTHORIZATION);
    let mut task = task("www.example.com", Http01);
    task.wildcard = true;
    let outcome = validate(settings, &task).await;
    refused(&outcome, Kind::Malformed, &["wildcard", "need dns-01 (VAL-08)."]);
    assert!(!outcome.may_heal);
    assert!(target.requests().is_empty());
}

#[tokio::test]
async fn names_of_the_configuration_have_their_address_without_the_dns() {
    let (dns, target, settings) = world().await;
    target.serve_any(KEY_AUTHORIZATION.split_once('.').unwrap().1);
    let static_names = [("test".to_owned(), "127.0.0.1".parse().unwrap())].into();
    let settings = Settings { allow_private_addresses: false, static_names, ..settings };
    accepted(&validate(settings.clone(), &task("www.example.test", Http01)).await);
    assert_eq!(dns.queries(), [""; 0]);
    let outcome = validate(settings, &task("contest.example", Http01)).await;
    refused(&outcome, Kind::Dns, &["contest.example"]);
}

#[tokio::test]
async fn localhost_is_never_looked_up() {
    let (dns, target, settings) = world().await;
    target.serve(TOKEN, KEY_AUTHORIZATION);
    let outcome = validate(settings.clone(), &task("www.localhost", Http01)).await;
    refused(&outcome, Kind::Dns, &["www.localhost", "never looked up"]);
    assert!(!outcome.may_heal);
    assert_eq!(dns.queries(), [""; 0]);
    dns.cname("alias.example.com", "localhost").leave_aliases_to_the_stub();
    let outcome = validate(settings, &task("alias.example.com", Http01)).await;
    refused(&outcome, Kind::Dns, &["alias.example.com", "localhost"]);
}

#[tokio::test]
async fn dns_failures_are_told_apart() {
    let (dns, _target, settings) = world().await;
    dns.fail("servfail.example", Failure::ServFail).fail("refused.example", Failure::Refused);
    dns.fail("silent.example", Failure::Drop).txt("empty.example", "no address");
    for (name, part) in [
        ("www.missing.example", "NXDOMAIN"),
        ("empty.example", "no A or AAAA record"),
        ("servfail.example", "SERVFAIL"),
        ("refused.example", "REFUSED"),
        ("silent.example", "answer"),
    ] {
        let settings = if name == "silent.example" { hasty(settings.clone()) } else { settings.clone() };
        let outcome = bounded(validate(settings, &task(name, Http01))).await;
        refused(&outcome, Kind::Dns, &[name, part]);
        assert!(outcome.may_heal, "{name}");
    }
}

#[tokio::test]
async fn one_address_family_is_enough_when_the_other_fails() {
    let (dns, target, settings) = world().await;
    dns.fail_type("www.example.com", "AAAA", Failure::ServFail);
    target.serve(TOKEN, KEY_AUTHORIZATION);
    accepted(&validate(settings, &task("www.example.com", Http01)).await);
}

#[tokio::test]
async fn aliases_are_followed_by_the_resolver_or_by_us() {
    let (dns, target, settings) = world().await;
    target.serve(TOKEN, KEY_AUTHORIZATION);
    dns.cname("a.example", "b.example").cname("b.example", "www.example.com");
    accepted(&validate(settings.clone(), &task("a.example", Http01)).await);
    dns.leave_aliases_to_the_stub();
    accepted(&validate(settings.clone(), &task("a.example", Http01)).await);
    for hop in 0..9 {
        dns.cname(&format!("{hop}.long.example"), &format!("{}.long.example", hop + 1));
    }
    dns.a("9.long.example", "127.0.0.1");
    accepted(&validate(settings.clone(), &task("1.long.example", Http01)).await);
    let outcome = validate(settings, &task("0.long.example", Http01)).await;
    refused(&outcome, Kind::Dns, &["more than 8 aliases"]);
}
