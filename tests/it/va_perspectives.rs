//! Corroboration by remote perspectives that see worlds of their own.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::http::StatusCode;
use chancery::config::Monitor;
use chancery::domain::Kind;
use chancery::domain::plan::Method::{Dns01, Http01, TlsAlpn01};
use chancery::va::perspectives::quorum::Region::{self, Apnic, Arin, RipeNcc};
use chancery::va::perspectives::settings::{Mode, Settings as Asked, trust_anchors};
use chancery::va::perspectives::wire;
use chancery::va::{Outcome, Settings, Task, Va};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};

use crate::perspectives_world::Around;
use crate::support::dns::{Dns, Failure};
use crate::support::signer::b64;
use crate::support::target::{AlpnTarget, Target};
use crate::va_world::{KEY_AUTHORIZATION, TOKEN, accepted, bounded, hasty, identifier, refused, settings, task, terms};

const THREE: [Region; 3] = [Apnic, Arin, RipeNcc];
const NAME: &str = "www.example.com";

/// Publishes the record that dns-01 looks for.
fn publish(dns: &Dns) {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, KEY_AUTHORIZATION.as_bytes());
    dns.txt(&format!("_acme-challenge.{NAME}"), &b64(digest));
}

/// A primary that sees the record, and asks.
struct Primary {
    dns: Dns,
    settings: Settings,
}

impl Primary {
    async fn asking(asked: Asked) -> Self {
        let dns = Dns::start().await;
        publish(&dns);
        let settings = Settings { perspectives: asked, ..settings(&dns) };
        Self { dns, settings }
    }

    fn va(&self) -> Va {
        Va::new(self.settings.clone()).unwrap()
    }

    async fn validates(&self, task: &Task) -> Outcome {
        bounded(self.va().validate(task)).await
    }
}

#[track_caller]
fn noted(outcome: &Outcome, parts: &[&str]) {
    for part in parts {
        assert!(outcome.evidence.iter().any(|line| line.contains(part)), "no {part:?} in {:#?}", outcome.evidence);
    }
}

#[tokio::test]
async fn what_all_see_is_valid_and_every_answer_is_logged() {
    let alpn = AlpnTarget::start().await;
    let around = Around::with(&THREE, |config| config.validation.tls_port = alpn.port()).await;
    let mut primary = Primary::asking(around.asked(Mode::Enforce)).await;
    let web = Target::start().await;
    primary.dns.default_address("127.0.0.1");
    primary.settings.http_port = web.port();
    primary.settings.tls_port = alpn.port();
    alpn.prove(NAME, KEY_AUTHORIZATION);
    web.serve(TOKEN, KEY_AUTHORIZATION);
    for seat in &around.seats {
        publish(&seat.dns);
        seat.web.serve(TOKEN, KEY_AUTHORIZATION);
    }
    for method in [Dns01, Http01, TlsAlpn01] {
        let outcome = primary.validates(&task(NAME, method)).await;
        accepted(&outcome);
        noted(
            &outcome,
            &[
                "perspective p0 (apnic) on www.example.com: corroborates",
                "perspective p1 (arin) on www.example.com: corroborates",
                "perspective p2 (ripe-ncc) on www.example.com: corroborates",
                "p1: CAA www.example.com",
                "quorum 3/3 on www.example.com (validate): met (at most 1 may fail",
            ],
        );
    }
    for seat in &around.seats {
        assert!(seat.dns.queries().contains(&format!("TXT _acme-challenge.{NAME}")), "it looked for itself");
        assert_eq!(seat.web.requests().len(), 1);
    }
}

#[tokio::test]
async fn one_of_three_may_see_something_else_and_two_may_not() {
    let around = Around::start(&THREE).await;
    let primary = Primary::asking(around.asked(Mode::Enforce)).await;
    around.seats[..2].iter().for_each(|seat| publish(&seat.dns));
    let outcome = primary.validates(&task(NAME, Dns01)).await;
    accepted(&outcome);
    noted(&outcome, &["perspective p2 (ripe-ncc) on www.example.com: does not corroborate", "quorum 2/3"]);

    around.seats[1].dns.clear(&format!("_acme-challenge.{NAME}"));
    let outcome = primary.validates(&task(NAME, Dns01)).await;
    let own = bounded(Va::new(settings(&around.seats[1].dns)).unwrap().validate(&task(NAME, Dns01))).await;
    let problem = own.result.unwrap_err();
    let told = format!("During secondary validation: {}", problem.detail);
    refused(&outcome, problem.kind, &[&told, "1 of 3 remote perspectives", "3.2.2.9"]);
    assert!(outcome.may_heal, "the record may still be on its way to the others");
    noted(&outcome, &["perspective p0 (apnic) on www.example.com: corroborates", "p1: ", "quorum 1/3", ": missed"]);
}

#[tokio::test]
async fn those_that_agree_lie_in_two_regions() {
    let around = Around::start(&[Arin, Arin, Apnic]).await;
    let primary = Primary::asking(around.asked(Mode::Enforce)).await;
    around.seats[..2].iter().for_each(|seat| publish(&seat.dns));
    let outcome = primary.validates(&task(NAME, Dns01)).await;
    assert!(outcome.result.is_err(), "two of three, and both in one region");
    noted(&outcome, &["quorum 2/3", ": missed", "2 regions must agree"]);
    publish(&around.seats[2].dns);
    around.seats[0].dns.clear(&format!("_acme-challenge.{NAME}"));
    accepted(&primary.validates(&task(NAME, Dns01)).await);
}

#[tokio::test]
async fn the_operator_may_allow_fewer_failures() {
    let around = Around::start(&THREE).await;
    around.seats[..2].iter().for_each(|seat| publish(&seat.dns));
    let asked = Asked { allowed_failures: Some(0), ..around.asked(Mode::Enforce) };
    let primary = Primary::asking(asked).await;
    assert!(primary.validates(&task(NAME, Dns01)).await.result.is_err());
    publish(&around.seats[2].dns);
    accepted(&primary.validates(&task(NAME, Dns01)).await);
}

#[tokio::test]
async fn a_perspective_that_is_down_counts_against_the_quorum() {
    let mut around = Around::start(&THREE).await;
    around.seats.iter().for_each(|seat| publish(&seat.dns));
    let primary = Primary::asking(around.asked(Mode::Enforce)).await;
    around.stop(1).await;
    let outcome = primary.validates(&task(NAME, Dns01)).await;
    accepted(&outcome);
    noted(&outcome, &["perspective p1 (arin) on www.example.com: no answer: ", "quorum 2/3"]);
    around.stop(2).await;
    let outcome = primary.validates(&task(NAME, Dns01)).await;
    refused(&outcome, Kind::ServerInternal, &["During secondary validation: 1 of 3", "did not answer", "Try again"]);
    assert!(outcome.may_heal);
}

#[tokio::test]
async fn a_perspective_without_a_resolver_has_seen_nothing() {
    let around = Around::with(&THREE, |config| {
        if config.perspective.region != Apnic {
            config.validation = hasty(config.validation.clone());
        }
    })
    .await;
    around.seats.iter().for_each(|seat| publish(&seat.dns));
    let primary = Primary::asking(around.asked(Mode::Enforce)).await;
    for seat in &around.seats[1..] {
        seat.dns.fail_everything(Some(Failure::Drop));
    }
    let outcome = primary.validates(&task(NAME, Dns01)).await;
    refused(&outcome, Kind::ServerInternal, &["During secondary validation: 1 of 3", "did not answer", "Try again"]);
    // A zone that answers them no question is another matter.
    around.seats[1..].iter().for_each(|seat| {
        seat.dns.fail_everything(None).fail(&format!("_acme-challenge.{NAME}"), Failure::Drop);
    });
    let outcome = primary.validates(&task(NAME, Dns01)).await;
    refused(&outcome, Kind::Dns, &["During secondary validation: ", "1 of 3"]);
    assert!(!outcome.resolver_failed);
}

#[tokio::test]
async fn nobody_waits_for_ever_for_a_perspective_that_hangs() {
    let mut around = Around::start(&THREE).await;
    around.seats.iter().for_each(|seat| publish(&seat.dns));
    around.replace(0, Router::new().fallback(std::future::pending::<()>)).await;
    let mut primary = Primary::asking(around.asked(Mode::Enforce)).await;
    primary.settings.timeout_ms = 5_000;
    let outcome = primary.validates(&task(NAME, Dns01)).await;
    noted(&outcome, &["perspective p0 (apnic) on www.example.com: no answer: nothing within 7 s"]);
}

#[tokio::test]
async fn an_answer_is_bounded_and_names_who_gives_it() {
    let mut around = Around::start(&THREE).await;
    around.seats.iter().for_each(|seat| publish(&seat.dns));
    around.replace(0, Router::new().fallback(|| async { "x".repeat(wire::MAX_ANSWER + 1) })).await;
    around.replace(1, Router::new().fallback(|| async { r#"{"version":7,"message":{}}"# })).await;
    around.replace(2, Router::new().fallback(|| async { StatusCode::IM_A_TEAPOT })).await;
    let primary = Primary::asking(around.asked(Mode::Log)).await;
    let outcome = primary.validates(&task(NAME, Dns01)).await;
    accepted(&outcome);
    noted(
        &outcome,
        &[
            "p0 (apnic) on www.example.com: no answer: its answer has more than 262144 octets",
            "p1 (arin) on www.example.com: no answer: the message has version 7",
            "p2 (ripe-ncc) on www.example.com: no answer: it answered 418",
        ],
    );
}

#[tokio::test]
async fn two_urls_of_one_perspective_are_one_vote() {
    let around = Around::start(&THREE).await;
    around.seats[..1].iter().for_each(|seat| publish(&seat.dns));
    let mut asked = around.asked(Mode::Enforce);
    // Both lead to the first, under whose name and region the answers come.
    asked.remotes[1].url = asked.remotes[0].url.clone();
    let outcome = Primary::asking(asked).await.validates(&task(NAME, Dns01)).await;
    assert!(outcome.result.is_err());
    noted(&outcome, &["p1 (arin) on www.example.com: no answer: it calls itself \"p0\" in apnic", "quorum 1/3"]);
}

#[tokio::test]
async fn caa_is_looked_at_from_everywhere() {
    let around = Around::start(&THREE).await;
    let primary = Primary::asking(around.asked(Mode::Enforce)).await;
    around.seats.iter().for_each(|seat| publish(&seat.dns));
    for seat in &around.seats[..2] {
        seat.dns.caa("example.com", 0, "issue", "elsewhere.example");
    }
    let outcome = primary.validates(&task(NAME, Dns01)).await;
    let parts = ["During secondary validation: CAA at example.com permits only \"elsewhere.example\"", "1 of 3"];
    refused(&outcome, Kind::Caa, &parts);
    assert!(!outcome.may_heal, "two that refuse for good are too many");

    // And when it is looked at once more, before the certificate is made.
    let check = async || bounded(primary.va().check_caa(&identifier(NAME), false, &terms(Dns01))).await;
    let outcome = check().await;
    refused(&outcome, Kind::Caa, &["During secondary validation: CAA at example.com"]);
    assert!(!outcome.may_heal);
    noted(
        &outcome,
        &["quorum 1/3 on www.example.com (caa): missed", "p0: CAA example.com: 0 issue \"elsewhere.example\""],
    );
    around.seats[0].dns.clear("example.com");
    let outcome = check().await;
    accepted(&outcome);
    noted(&outcome, &["quorum 2/3 on www.example.com (caa): met"]);
    // One refuses for good, one can't look just now: with the latter there would be a quorum.
    around.seats[0].dns.fail_type(NAME, "CAA", Failure::ServFail);
    assert!(check().await.may_heal);
}

#[tokio::test]
async fn the_proof_of_a_revocation_is_corroborated_too() {
    let around = Around::start(&THREE).await;
    let primary = Primary::asking(around.asked(Mode::Enforce)).await;
    let outcome = bounded(primary.va().prove(&task(NAME, Dns01))).await;
    assert!(outcome.result.is_err());
    noted(&outcome, &["quorum 0/3 on www.example.com (prove): missed"]);
    around.seats.iter().for_each(|seat| publish(&seat.dns));
    for seat in &around.seats {
        seat.dns.caa("example.com", 0, "issue", ";");
    }
    accepted(&bounded(primary.va().prove(&task(NAME, Dns01))).await);
}

#[tokio::test]
async fn what_this_server_does_not_see_fails_without_the_others() {
    let around = Around::start(&THREE).await;
    around.seats.iter().for_each(|seat| publish(&seat.dns));
    let primary = Primary::asking(around.asked(Mode::Enforce)).await;
    primary.dns.clear(&format!("_acme-challenge.{NAME}"));
    let outcome = primary.validates(&task(NAME, Dns01)).await;
    assert!(!outcome.result.unwrap_err().detail.contains("secondary"));
    assert!(around.seats.iter().all(|seat| seat.dns.queries().is_empty()), "nobody was asked");
}

#[tokio::test]
async fn in_log_mode_this_server_decides_alone() {
    let around = Around::start(&THREE).await;
    let primary = Primary::asking(around.asked(Mode::Log)).await;
    let outcome = primary.validates(&task(NAME, Dns01)).await;
    accepted(&outcome);
    noted(&outcome, &["p0 (apnic) on www.example.com: does not corroborate", "quorum 0/3", "; only logged"]);
}

#[tokio::test]
async fn what_is_known_in_this_network_alone_is_not_corroborated() {
    let around = Around::start(&THREE).await;
    let mut primary = Primary::asking(around.asked(Mode::Enforce)).await;
    let web = Target::start().await;
    web.serve(TOKEN, KEY_AUTHORIZATION);
    primary.settings.http_port = web.port();
    primary.settings.static_names.insert("localhost".to_owned(), "127.0.0.1".parse().unwrap());
    for name in ["a.localhost", "127.0.0.1"] {
        let outcome = primary.validates(&task(name, Http01)).await;
        accepted(&outcome);
        noted(&outcome, &["not corroborated by other perspectives: "]);
    }
    assert!(around.seats.iter().all(|seat| seat.web.requests().is_empty()), "nobody was asked");
}

#[tokio::test]
async fn only_the_primary_may_ask_and_only_its_perspectives_are_believed() {
    let (around, strangers) = (Around::start(&THREE).await, Around::start(&[]).await);
    around.seats.iter().for_each(|seat| publish(&seat.dns));
    around.enroll("server", &["127.0.0.1"]);
    let mine = around.asked(Mode::Enforce);
    accepted(&Primary::asking(mine.clone()).await.validates(&task(NAME, Dns01)).await);
    let seen = around.seats[0].dns.queries().len();
    // A client of another CA; the certificate of a perspective, which is not for asking; and a primary that believes in
    // another CA than the perspectives have.
    let pair = |of: &Around, name: &str| (Some(of.file(&format!("{name}.pem"))), Some(of.file(&format!("{name}.key"))));
    let (certificate, key) = pair(&strangers, "primary");
    let of_strangers = Asked { certificate, key, ..mine.clone() };
    let (certificate, key) = pair(&around, "server");
    let of_a_perspective = Asked { certificate, key, ..mine.clone() };
    let believing_others = Asked { ca: Some(strangers.file("ca.pem")), ..mine };
    for asked in [of_strangers, of_a_perspective, believing_others] {
        let outcome = Primary::asking(asked).await.validates(&task(NAME, Dns01)).await;
        refused(&outcome, Kind::ServerInternal, &["0 of 3", "did not answer"]);
        noted(&outcome, &["p0 (apnic) on www.example.com: no answer: "]);
    }
    assert_eq!(around.seats[0].dns.queries().len(), seen, "and nothing was looked up for them");
}

#[tokio::test]
async fn without_a_certificate_or_with_an_older_tls_nobody_gets_in() {
    let around = Around::start(&THREE[..1]).await;
    let read = |name: &str| std::fs::read(around.file(name)).unwrap();
    let status_of = async |versions: &[&'static rustls::SupportedProtocolVersion], shown: bool| {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let roots = trust_anchors(&read("ca.pem")).unwrap();
        let config = rustls::ClientConfig::builder_with_provider(provider).with_protocol_versions(versions).unwrap();
        let config = config.with_root_certificates(roots);
        let config = if shown {
            let chain = vec![CertificateDer::from_pem_slice(&read("primary.pem")).unwrap()];
            config.with_client_auth_cert(chain, PrivateKeyDer::from_pem_slice(&read("primary.key")).unwrap()).unwrap()
        } else {
            config.with_no_client_auth()
        };
        let client = reqwest::Client::builder().tls_backend_preconfigured(config).no_proxy().build().unwrap();
        let sent = bounded(client.post(format!("{}/v1/caa", around.seats[0].url)).send()).await;
        sent.ok().map(|answer| answer.status().as_u16())
    };
    let (new, old) = (&rustls::version::TLS13, &rustls::version::TLS12);
    assert_eq!(status_of(&[new], true).await, Some(400), "an empty question, of one who may ask");
    assert_eq!(status_of(&[new], false).await, None);
    assert_eq!(status_of(&[old], true).await, None);
}

/// A client of the perspectives' CA that speaks what it likes.
fn outspoken(around: &Around) -> reqwest::Client {
    let tls = around.asked(Mode::Log).tls().unwrap();
    reqwest::Client::builder().tls_backend_preconfigured(tls).http2_prior_knowledge().no_proxy().build().unwrap()
}

#[tokio::test]
async fn a_perspective_takes_bounded_and_well_formed_questions_alone() {
    let around = Around::start(&THREE[..1]).await;
    let (client, seat) = (outspoken(&around), &around.seats[0]);
    let ask = async |path: &str, body: String| {
        let sent = client.post(format!("{}{path}", seat.url)).body(body).send();
        let answer = bounded(sent).await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    let good = |version: u32| {
        let task = serde_json::to_value(task(NAME, Dns01)).unwrap();
        json!({ "version": version, "message": task })
    };
    assert_eq!(ask("/v1/validate", good(1).to_string()).await.0, 200);
    let (status, why) = ask("/v1/validate", good(2).to_string()).await;
    assert_eq!((status, why.as_str()), (400, "the message has version 2; only 1 is spoken here"));
    let mut unknown = good(1);
    unknown["message"]["restriction"] = json!(true);
    assert_eq!(ask("/v1/prove", unknown.to_string()).await.0, 400, "what is not understood may restrict");
    for token in ["../../admin", "a b", &"a".repeat(600), "a\r\nHost: b"] {
        let mut strange = good(1);
        strange["message"]["token"] = json!(token);
        assert_eq!(ask("/v1/validate", strange.to_string()).await.0, 400, "{token}");
    }
    for nonsense in ["", "{", "[]", "null"] {
        assert_eq!(ask("/v1/caa", nonsense.to_owned()).await.0, 400, "{nonsense}");
    }
    assert_eq!(ask("/v1/validate", " ".repeat(wire::MAX_QUESTION + 1)).await.0, 413);
    assert_eq!(ask("/v2/validate", String::new()).await.0, 404);
    assert_eq!(bounded(client.get(format!("{}/v1/caa", seat.url)).send()).await.unwrap().status().as_u16(), 405);
}

#[tokio::test]
async fn operators_of_a_perspective_see_what_it_was_asked_and_whether_it_is_ready() {
    let around = Around::with(&THREE[..1], |config| {
        config.perspective.max_questions = 1;
        config.monitor = Some(Monitor { listen: "127.0.0.1:0".parse().unwrap() });
    })
    .await;
    let (client, seat) = (outspoken(&around), &around.seats[0]);
    let look = async |path: &str| {
        let url = format!("http://{}{path}", seat.monitor.unwrap());
        let answer = bounded(client.get(url).send()).await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    // The recorder is that of the process, in which other perspectives are asked too.
    let count = async |outcome: &str| {
        let line = format!("chancery_perspective_questions_total{{question=\"validate\",outcome=\"{outcome}\"}} ");
        let text = look("/metrics").await.1;
        let value = text.lines().find_map(|shown| shown.strip_prefix(&line));
        value.map_or(0, |value| value.parse::<u64>().unwrap())
    };
    let ask = async |body: String| bounded(client.post(format!("{}/v1/validate", seat.url)).body(body).send()).await;
    let question = json!({ "version": 1, "message": task(NAME, Http01) }).to_string();
    let outcomes = ["corroborated", "differed", "malformed", "busy"];
    let mut before = Vec::new();
    for outcome in outcomes {
        before.push(count(outcome).await);
    }
    assert_eq!(look("/healthz").await.0, 200);
    assert_eq!(look("/readyz").await.0, 200);

    assert_eq!(ask(question.clone()).await.unwrap().status().as_u16(), 200);
    seat.web.serve(TOKEN, KEY_AUTHORIZATION);
    assert_eq!(ask(question.clone()).await.unwrap().status().as_u16(), 200);
    assert_eq!(ask("{}".to_owned()).await.unwrap().status().as_u16(), 400);
    // The zone never answers, so that the question is looked into for seconds.
    seat.dns.fail(NAME, Failure::Drop);
    let asked = seat.dns.queries().len();
    let first = tokio::spawn(client.post(format!("{}/v1/validate", seat.url)).body(question.clone()).send());
    bounded(async {
        while seat.dns.queries().len() == asked {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(look("/readyz").await.0, 503);
    assert_eq!(ask(question).await.unwrap().status().as_u16(), 503);
    first.abort();
    for (outcome, before) in outcomes.into_iter().zip(before) {
        assert!(count(outcome).await > before, "{outcome}");
    }
}

#[tokio::test]
async fn a_busy_perspective_says_so_at_once() {
    let around = Around::with(&THREE[..1], |config| config.perspective.max_questions = 1).await;
    let (client, seat) = (outspoken(&around), &around.seats[0]);
    // The zone never answers, so that the first question is looked into for seconds.
    seat.dns.fail(NAME, Failure::Drop).fail(&format!("_acme-challenge.{NAME}"), Failure::Drop);
    let question = json!({ "version": 1, "message": task(NAME, Dns01) }).to_string();
    let url = format!("{}/v1/validate", seat.url);
    let first = tokio::spawn(client.post(&url).body(question.clone()).send());
    bounded(async {
        while seat.dns.queries().is_empty() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let second = bounded(client.post(&url).body(question).send()).await.unwrap();
    assert_eq!(second.status().as_u16(), 503);
    assert_eq!(second.text().await.unwrap(), "this perspective is busy");
    first.abort();
}

/// Puts a relay before a perspective, which counts connections.
async fn counted(around: &mut Around, place: usize) -> Arc<AtomicUsize> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    let before = std::mem::replace(&mut around.seats[place].url, url);
    let connections = Arc::new(AtomicUsize::new(0));
    let count = connections.clone();
    tokio::spawn(async move {
        while let Ok((mut from, _)) = listener.accept().await {
            count.fetch_add(1, Ordering::Relaxed);
            let address = before.trim_start_matches("https://").to_owned();
            tokio::spawn(async move {
                let mut to = TcpStream::connect(address).await.unwrap();
                drop(tokio::io::copy_bidirectional(&mut from, &mut to).await);
            });
        }
    });
    connections
}

#[tokio::test]
async fn many_questions_share_connections() {
    const QUESTIONS: usize = 60;
    let mut around = Around::start(&THREE).await;
    around.seats.iter().for_each(|seat| publish(&seat.dns));
    let connections = counted(&mut around, 0).await;
    let primary = Primary::asking(around.asked(Mode::Enforce)).await;
    let va = Arc::new(primary.va());
    accepted(&bounded(va.validate(&task(NAME, Dns01))).await);
    let mut running = tokio::task::JoinSet::new();
    for _ in 0..QUESTIONS {
        let va = va.clone();
        running.spawn(async move { va.validate(&task(NAME, Dns01)).await });
    }
    while let Some(outcome) = running.join_next().await {
        let outcome = outcome.unwrap();
        accepted(&outcome);
        noted(&outcome, &["quorum 3/3"]);
    }
    // One, unless a busy machine lets it die; by no means one for each question.
    let connections = connections.load(Ordering::Relaxed);
    assert!(connections < QUESTIONS / 4, "{connections} connections");
}

#[tokio::test]
async fn where_one_connection_is_full_another_is_opened() {
    const SLOW: usize = 300;
    let patient = |settings: &mut Settings| {
        settings.timeout_ms = 120_000;
        settings.dns_timeout_ms = 120_000;
    };
    let mut around = Around::with(&THREE, |config| {
        config.perspective.max_questions = 1_000;
        patient(&mut config.validation);
    })
    .await;
    let connections = counted(&mut around, 0).await;
    let mut primary = Primary::asking(around.asked(Mode::Enforce)).await;
    patient(&mut primary.settings);
    let va = Arc::new(primary.va());
    for seat in &around.seats {
        publish(&seat.dns);
    }
    let mut running = tokio::task::JoinSet::new();
    for n in 0..SLOW {
        let (va, name) = (va.clone(), format!("s{n}.slow.example"));
        for seat in &around.seats {
            seat.dns.fail(&name, Failure::Drop);
        }
        running.spawn(async move { va.check_caa(&identifier(&name), false, &terms(Dns01)).await });
    }
    bounded(async {
        let all = || around.seats[0].dns.queries().into_iter().collect::<BTreeSet<_>>();
        while all().iter().filter(|query| query.starts_with("CAA s")).count() < SLOW {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let outcome = bounded(va.validate(&task(NAME, Dns01))).await;
    accepted(&outcome);
    noted(&outcome, &["quorum 3/3"]);
    let connections = connections.load(Ordering::Relaxed);
    assert!((3..10).contains(&connections), "{connections} connections");
}
