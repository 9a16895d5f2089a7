//! The look over HTTPS that goes with http-01, against loopback web servers (VAL-22, VAL-23).

use chancery::domain::Kind;
use chancery::domain::plan::Method::Http01;
use chancery::va::{HttpsProbe, Outcome, Settings, Task, Va};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use tokio::net::TcpListener;

use crate::support::dns::Dns;
use crate::support::target::{AlpnTarget, Target};
use crate::va_world::{KEY_AUTHORIZATION, TOKEN, accepted, bounded, refused, settings, task, validate};

const NAME: &str = "www.example.com";
const UNUSABLE: &str = "HTTPS on this host is not usable for validation: ";

/// A CA that the validator is told to trust, and a site with both schemes, which shows the file over HTTP.
struct World {
    _dns: Dns,
    web: Target,
    secure: Target,
    settings: Settings,
    root: rcgen::Certificate,
    issuer: Issuer<'static, KeyPair>,
}

async fn world() -> World {
    let (dns, web, secure) = (Dns::start().await, Target::start().await, Target::start_tls().await);
    dns.a(NAME, "127.0.0.1");
    web.serve(TOKEN, KEY_AUTHORIZATION);
    secure.serve(TOKEN, &format!("{KEY_AUTHORIZATION}\n"));
    let settings =
        Settings { http_port: web.port(), tls_port: secure.port(), https_probe: HttpsProbe::Warn, ..settings(&dns) };
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, "Root");
    let key = KeyPair::generate().unwrap();
    let root = params.self_signed(&key).unwrap();
    let world = World { _dns: dns, web, secure, settings, root, issuer: Issuer::new(params, key) };
    world.present(NAME, |_| {});
    world
}

impl World {
    /// Shows a certificate of the trusted CA over HTTPS.
    fn present(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let leaf = params.signed_by(&key, &self.issuer).unwrap();
        self.secure.present(vec![leaf.der().to_vec()], &key);
    }

    async fn validate(&self, task: &Task) -> Outcome {
        self.validate_with(self.settings.clone(), task).await
    }

    async fn validate_with(&self, settings: Settings, task: &Task) -> Outcome {
        let va = Va::new(settings).unwrap().trusting(&self.root.pem()).unwrap();
        bounded(va.validate(task)).await
    }

    /// With "warn" a hint, with "enforce" a refusal of that kind, in the same words.
    async fn deviates(&self, kind: Kind, parts: &[&str]) {
        let warned = self.validate(&task(NAME, Http01)).await;
        accepted(&warned);
        let [hint] = warned.hints.as_slice() else { panic!("{:?}", warned.hints) };
        assert!(parts.iter().all(|part| hint.contains(part)), "{parts:?}: {hint}");
        assert!(!hint.contains(['{', '}', '[', ']']), "{hint}");
        assert!(warned.evidence.contains(&format!("hint: {hint}")), "{:?}", warned.evidence);
        let enforce = Settings { https_probe: HttpsProbe::Enforce, ..self.settings.clone() };
        let enforced = self.validate_with(enforce, &task(NAME, Http01)).await;
        assert_eq!(&refused(&enforced, kind, parts).detail, hint);
        assert!(enforced.may_heal && enforced.hints.is_empty());
    }
}

#[track_caller]
fn without_hint(outcome: &Outcome) {
    accepted(outcome);
    assert_eq!(outcome.hints, [""; 0], "{:#?}", outcome.evidence);
}

#[tokio::test]
async fn the_same_file_under_a_good_certificate_leaves_nothing_to_say() {
    let world = world().await;
    for https_probe in [HttpsProbe::Warn, HttpsProbe::Enforce] {
        let outcome =
            world.validate_with(Settings { https_probe, ..world.settings.clone() }, &task(NAME, Http01)).await;
        without_hint(&outcome);
        assert!(outcome.evidence.join("\n").contains("200, 88 bytes; the certificate is trusted"), "{outcome:#?}");
    }
    let request = world.secure.requests().swap_remove(0);
    assert_eq!(request.line, format!("GET /.well-known/acme-challenge/{TOKEN}"));
    assert_eq!((request.header("host"), request.header("user-agent")), (NAME, "chancery"));
    // The address of the first look serves the second.
    assert_eq!(world._dns.queries().iter().filter(|query| **query == format!("A {NAME}")).count(), 2);
}

#[tokio::test]
async fn a_file_that_is_missing_over_https_is_told() {
    let world = world().await;
    let parts =
        ["File served over HTTP only", "returned status", "or switch HTTPS off until validation is done (DIAG-01)."];
    for status in [404, 403, 500, 204] {
        world.secure.status(TOKEN, status, "");
        world.deviates(Kind::IncorrectResponse, &parts).await;
    }
    // VAL-20 holds for both schemes: no redirect of any kind.
    world.secure.redirect(TOKEN, &format!("http://{NAME}/.well-known/acme-challenge/{TOKEN}"));
    world.deviates(Kind::IncorrectResponse, &[&parts[..], &["status 302"]].concat()).await;
}

#[tokio::test]
async fn other_content_over_https_is_told_without_quoting_it() {
    let world = world().await;
    world.secure.serve(TOKEN, "{\"type\":\"http-01\"}");
    world.deviates(Kind::IncorrectResponse, &[UNUSABLE, "shows other content", "(DIAG-07)."]).await;
    world.secure.huge(TOKEN);
    world.deviates(Kind::IncorrectResponse, &[UNUSABLE, "shows other content", "(DIAG-07)."]).await;
    world.secure.raw(TOKEN, b"SSH-2.0-OpenSSH_9.9\r\n");
    world.deviates(Kind::Tls, &[UNUSABLE, "gave no HTTP answer", "(DIAG-07)."]).await;
}

#[tokio::test]
async fn a_certificate_that_browsers_refuse_is_told() {
    let world = world().await;
    world.present("other.example.com", |_| {});
    world.deviates(Kind::Tls, &[UNUSABLE, "does not name www.example.com", "(DIAG-07)."]).await;
    world.present(NAME, |params| params.not_after = date_time_ymd(2026, 11, 20));
    world.deviates(Kind::Tls, &[UNUSABLE, "has expired"]).await;
    world.present(NAME, |params| params.not_before = date_time_ymd(2026, 11, 23));
    world.deviates(Kind::Tls, &[UNUSABLE, "is not valid yet"]).await;
    let key = KeyPair::generate().unwrap();
    let own = CertificateParams::new(vec![NAME.to_owned()]).unwrap().self_signed(&key).unwrap();
    world.secure.present(vec![own.der().to_vec()], &key);
    world.deviates(Kind::Tls, &[UNUSABLE, "is self-signed"]).await;
    // Without being told of the CA, nobody trusts it.
    world.present(NAME, |_| {});
    let outcome = validate(world.settings.clone(), &task(NAME, Http01)).await;
    assert!(outcome.hints[0].contains("leads to no CA that browsers know"), "{:?}", outcome.hints);
    // Two faults are two hints.
    world.present("other.example.com", |_| {});
    world.secure.forget(TOKEN);
    let outcome = world.validate(&task(NAME, Http01)).await;
    let told: Vec<_> = outcome.hints.iter().map(|hint| (hint.contains("DIAG-07"), hint.contains("DIAG-01"))).collect();
    assert_eq!(told, [(true, false), (false, true)], "{:?}", outcome.hints);
}

#[tokio::test]
async fn a_host_without_https_for_the_name_has_nothing_to_put_right() {
    let world = world().await;
    let gone = Target::start().await.port();
    let strict = AlpnTarget::start().await;
    strict.prove(NAME, KEY_AUTHORIZATION);
    world.secure.present_none();
    for (port, what) in
        [(gone, "nobody listens"), (world.secure.port(), "no certificate for the name"), (strict.port(), "tls-alpn-01")]
    {
        for https_probe in [HttpsProbe::Warn, HttpsProbe::Enforce] {
            let settings = Settings { tls_port: port, https_probe, ..world.settings.clone() };
            let outcome = world.validate_with(settings, &task(NAME, Http01)).await;
            accepted(&outcome);
            assert_eq!(outcome.hints, [""; 0], "{what}: {:#?}", outcome.evidence);
            assert!(outcome.evidence.iter().any(|line| line.starts_with("HTTPS at ")), "{what}");
        }
    }
}

#[tokio::test]
async fn another_protocol_on_the_port_of_https_is_told() {
    let world = world().await;
    let settings = Settings { tls_port: world.web.port(), ..world.settings.clone() };
    let outcome = world.validate_with(settings, &task(NAME, Http01)).await;
    accepted(&outcome);
    // The web server waits for the end of a header that never comes, as long as the look has time.
    assert!(outcome.hints[0].starts_with(UNUSABLE), "{:?}", outcome.hints);
}

#[tokio::test]
async fn https_that_hangs_is_given_up_long_before_the_validation() {
    let world = world().await;
    world.secure.hang(TOKEN);
    let settings = Settings { timeout_ms: 1_500, dns_timeout_ms: 1_000, ..world.settings.clone() };
    let outcome = world.validate_with(settings, &task(NAME, Http01)).await;
    accepted(&outcome);
    assert!(outcome.hints[0].contains("did not answer within 200 ms"), "{:?}", outcome.hints);
    // A port that takes connections and says nothing is no better; and three seconds are the most (`bounded`).
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let settings = Settings { tls_port: silent.local_addr().unwrap().port(), ..world.settings.clone() };
    let outcome = world.validate_with(settings, &task(NAME, Http01)).await;
    accepted(&outcome);
    assert!(outcome.hints[0].contains("did not answer within 2 s"), "{:?}", outcome.hints);
}

#[tokio::test]
async fn nobody_waits_for_https_when_the_file_is_not_there_over_http() {
    let world = world().await;
    world.web.forget(TOKEN);
    world.secure.hang(TOKEN);
    // Whoever had waited would have noted that nothing came within the time.
    for https_probe in [HttpsProbe::Warn, HttpsProbe::Enforce] {
        let outcome =
            world.validate_with(Settings { https_probe, ..world.settings.clone() }, &task(NAME, Http01)).await;
        refused(&outcome, Kind::IncorrectResponse, &["http://", "returned status 404"]);
        assert!(outcome.hints.is_empty() && !outcome.evidence.join("\n").contains("within"), "{:?}", outcome.evidence);
    }
}

#[tokio::test]
async fn nothing_is_dialled_when_it_is_off_or_the_address_is_private() {
    let world = world().await;
    let off = Settings { https_probe: HttpsProbe::Off, ..world.settings.clone() };
    without_hint(&world.validate_with(off, &task(NAME, Http01)).await);
    let public = Settings { allow_private_addresses: false, ..world.settings.clone() };
    let outcome = world.validate_with(public, &task(NAME, Http01)).await;
    refused(&outcome, Kind::Connection, &["special-purpose"]);
    assert_eq!(world.secure.connections(), 0);
    without_hint(&world.validate(&task(NAME, Http01)).await);
    assert_eq!(world.secure.connections(), 1);
}

#[tokio::test]
async fn where_redirects_are_followed_a_file_found_elsewhere_needs_no_https_here() {
    let world = world().await;
    world.web.redirect(TOKEN, "/.well-known/acme-challenge/t").serve("t", KEY_AUTHORIZATION);
    world.secure.forget(TOKEN);
    for https_probe in [HttpsProbe::Warn, HttpsProbe::Enforce] {
        let settings = Settings { follow_redirects: true, https_probe, ..world.settings.clone() };
        without_hint(&world.validate_with(settings, &task(NAME, Http01)).await);
    }
}

#[tokio::test]
async fn addresses_are_looked_at_too() {
    let world = world().await;
    world.present("127.0.0.1", |_| {});
    without_hint(&world.validate(&task("127.0.0.1", Http01)).await);
    assert_eq!(world.secure.requests()[0].header("host"), "127.0.0.1");
    world.present(NAME, |_| {});
    let outcome = world.validate(&task("127.0.0.1", Http01)).await;
    assert!(outcome.hints[0].contains("does not name 127.0.0.1"), "{:?}", outcome.hints);
}
