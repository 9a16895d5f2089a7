//! Redirects of http-01.

use chancery::domain::Kind;
use chancery::domain::plan::Method::Http01;
use chancery::va::Settings;

use crate::support::dns::Dns;
use crate::support::target::{AlpnTarget, Target};
use crate::va_world::{KEY_AUTHORIZATION, TOKEN, accepted, refused, settings, task, validate};

async fn world() -> (Dns, Target, Settings) {
    let (dns, target) = (Dns::start().await, Target::start().await);
    dns.a("www.example.com", "127.0.0.1").a("other.example.com", "127.0.0.1");
    let settings = Settings { http_port: target.port(), follow_redirects: true, ..settings(&dns) };
    (dns, target, settings)
}

fn path(token: &str) -> String {
    format!("/.well-known/acme-challenge/{token}")
}

#[tokio::test]
async fn redirects_are_not_followed_by_default() {
    let (_dns, target, settings) = world().await;
    target.redirect(TOKEN, &format!("http://other.example.com{}", path("t"))).serve("t", KEY_AUTHORIZATION);
    let settings = Settings { follow_redirects: Settings::default().follow_redirects, ..settings };
    let outcome = validate(settings, &task("www.example.com", Http01)).await;
    let parts = [
        "redirects (302) to \"http://other.example.com/.well-known",
        "not followed",
        "must come directly",
        &format!("`wget -S http://www.example.com{}`", path(TOKEN)),
        "(DIAG-03).",
    ];
    refused(&outcome, Kind::IncorrectResponse, &parts);
    assert_eq!(target.requests().len(), 1);
}

#[tokio::test]
async fn redirects_are_followed_to_other_names_and_paths_when_switched_on() {
    let (_dns, target, settings) = world().await;
    for status in [301, 302, 307, 308] {
        target.redirect_with(TOKEN, status, &format!("http://other.example.com{}#part", path("t")));
        target.redirect_with("t", status, &path("end")).serve("end", KEY_AUTHORIZATION);
        accepted(&validate(settings.clone(), &task("www.example.com", Http01)).await);
        let hosts: Vec<_> = target.requests().iter().map(|r| r.header("host").to_owned()).collect();
        assert_eq!(hosts[hosts.len() - 3..], ["www.example.com", "other.example.com", "other.example.com"]);
        assert!(target.requests().iter().all(|request| request.header("referer").is_empty()));
    }
}

#[tokio::test]
async fn other_kinds_of_redirect_are_not_followed() {
    let (_dns, target, settings) = world().await;
    for status in [300, 303, 304] {
        target.redirect_with(TOKEN, status, &path("t")).serve("t", KEY_AUTHORIZATION);
        let outcome = validate(settings.clone(), &task("www.example.com", Http01)).await;
        refused(&outcome, Kind::Unauthorized, &[&format!("answered {status}"), "301, 302, 307 or 308"]);
    }
    target.raw(TOKEN, b"HTTP/1.1 302 Elsewhere\r\nContent-Length: 0\r\n\r\n");
    refused(&validate(settings, &task("www.example.com", Http01)).await, Kind::IncorrectResponse, &["Location"]);
}

#[tokio::test]
async fn a_redirect_to_https_is_followed_whatever_the_certificate() {
    let (_dns, target, settings) = world().await;
    let secure = Target::start_tls().await;
    target.redirect(TOKEN, &format!("https://other.example.com{}", path("t")));
    secure.serve("t", KEY_AUTHORIZATION);
    let settings = Settings { tls_port: secure.port(), ..settings };
    accepted(&validate(settings.clone(), &task("www.example.com", Http01)).await);
    target.redirect(TOKEN, &format!("https://{}{}", secure.addr(), path("t")));
    accepted(&validate(settings, &task("www.example.com", Http01)).await);
    let hosts: Vec<_> = secure.requests().iter().map(|r| r.header("host").to_owned()).collect();
    assert_eq!(hosts, ["other.example.com", "127.0.0.1"]);
}

#[tokio::test]
async fn tls_that_fails_on_a_redirect_is_a_tls_problem() {
    let (_dns, target, settings) = world().await;
    // A server that has no certificate for the name.
    let broken = AlpnTarget::start().await;
    target.redirect(TOKEN, &format!("https://other.example.com{}", path("t")));
    let settings = Settings { tls_port: broken.port(), ..settings };
    let outcome = validate(settings, &task("www.example.com", Http01)).await;
    refused(&outcome, Kind::Tls, &["https://other.example.com"]);
    assert_eq!(broken.hellos()[0].sni.as_deref(), Some("other.example.com"));
}

#[tokio::test]
async fn redirects_end_after_ten() {
    let (_dns, target, settings) = world().await;
    target.redirect(TOKEN, &path(TOKEN));
    let outcome = validate(settings.clone(), &task("www.example.com", Http01)).await;
    refused(&outcome, Kind::Connection, &["more than 10 redirects"]);
    assert_eq!(target.requests().len(), 11);
    target.redirect(TOKEN, &path("1")).serve("10", KEY_AUTHORIZATION);
    for hop in 1..10 {
        target.redirect(&hop.to_string(), &path(&(hop + 1).to_string()));
    }
    accepted(&validate(settings, &task("www.example.com", Http01)).await);
}

#[tokio::test]
async fn redirects_to_other_ports_and_schemes_are_refused() {
    let (_dns, target, settings) = world().await;
    let elsewhere = Target::start().await;
    for (location, part) in [
        (format!("http://other.example.com:{}{}", elsewhere.port(), path("t")), format!("port {}", elsewhere.port())),
        ("http://other.example.com:22/".to_owned(), "port 22".to_owned()),
        ("ftp://other.example.com/".to_owned(), "ftp".to_owned()),
        ("file:///etc/passwd".to_owned(), "file".to_owned()),
        ("gopher://other.example.com:70/_".to_owned(), "gopher".to_owned()),
        ("http://user:password@other.example.com/".to_owned(), "user name".to_owned()),
        ("http://[bad".to_owned(), "not a URL".to_owned()),
        (format!("http://other.example.com/{}", "x".repeat(3000)), "too long".to_owned()),
    ] {
        target.redirect(TOKEN, &location);
        let outcome = validate(settings.clone(), &task("www.example.com", Http01)).await;
        let problem = outcome.result.unwrap_err();
        assert!(problem.detail.contains(&part), "{location}: {}", problem.detail);
        assert!(problem.detail.len() < 1000);
    }
    assert!(elsewhere.requests().is_empty());
}

#[tokio::test]
async fn redirects_to_inner_addresses_are_refused_however_they_are_spelt() {
    let (dns, target) = (Dns::start().await, Target::start().await);
    // The first hop is a name of the configuration, the rest must pass the rules for everyone.
    let static_names = [("start.test".to_owned(), "127.0.0.1".parse().unwrap())].into();
    let settings = Settings {
        http_port: target.port(),
        tls_port: target.port(),
        follow_redirects: true,
        allow_private_addresses: false,
        static_names,
        ..settings(&dns)
    };
    dns.a("inner.example.com", "10.0.0.1").aaaa("inner6.example.com", "::ffff:7f00:1");
    dns.cname("cloud.example.com", "metadata.example.com").a("metadata.example.com", "169.254.169.254");
    target.serve("t", KEY_AUTHORIZATION);
    for host in [
        "127.0.0.1",
        "2130706433",
        "0x7f.1",
        "0177.0.0.1",
        "127.1",
        "0",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[0:0:0:0:0:ffff:7f00:1]",
        "[fe80::1]",
        "%31%32%37.0.0.1",
        "１２７.0.0.1",
        "169.254.169.254",
        "inner.example.com",
        "inner6.example.com",
        "cloud.example.com",
    ] {
        for scheme in ["http", "https"] {
            target.redirect(TOKEN, &format!("{scheme}://{host}{}", path("t")));
            let outcome = validate(settings.clone(), &task("start.test", Http01)).await;
            refused(&outcome, Kind::Connection, &["special-purpose"]);
            assert!(!outcome.may_heal, "{host}");
        }
    }
    for host in ["localhost", "www.localhost", "localhost.", "inner.example.com.", "a_b.example.com"] {
        target.redirect(TOKEN, &format!("http://{host}{}", path("t")));
        refused(&validate(settings.clone(), &task("start.test", Http01)).await, Kind::Dns, &[]);
    }
    assert!(target.requests().iter().all(|request| request.line.ends_with(TOKEN)), "an inner page was fetched");
}
