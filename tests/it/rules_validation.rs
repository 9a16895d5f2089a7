//! The rules of the family VAL that are the validator's, with the texts of DIAG, through the server; each row names its
//! rule.

use std::time::Duration;

use chancery::domain::audit::Act;
use chancery::va::{HttpsProbe, Settings};
use rcgen::KeyPair;
use serde_json::{Value, json};

use crate::acme_tools::{ders, look, order_of, order_one, problem, url};
use crate::support::client::{Client, challenge, csr};
use crate::support::dns::Failure;
use crate::support::signer::b64;
use crate::support::target::Target;
use crate::support::world::World;

/// The challenge of that type in a new order for a name, with the order's and the authorization's URL.
async fn offer(client: &Client, name: &str, kind: &str) -> (Value, String, String) {
    let (order, _, authz_url, authz) = order_one(client, name).await;
    (challenge(&authz, kind), order, authz_url)
}

/// What the TXT record of a challenge must hold.
fn digest(client: &Client, offer: &Value) -> String {
    let proof = client.key_authorization(url(offer, "token"));
    b64(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, proof.as_bytes()))
}

#[tokio::test]
async fn methods_that_cannot_prove_a_name_are_not_offered() {
    let world = World::new().await;
    let client = world.client().await;
    for (rule, product, name, offered) in [
        // VAL-08, X-08: never a file for a wildcard, whatever the product.
        ("VAL-08", "any", "*.a.example", &["dns-01"][..]),
        ("VAL-08", "any", "a.example", &["http-01", "dns-01", "tls-alpn-01"]),
        ("VAL-08", "single", "b.example", &["http-01"]),
        ("VAL-08", "any", "127.0.0.1", &["http-01", "tls-alpn-01"]),
        // VAL-27, X-28: a file may be asked of an account that has bought nothing.
        ("X-28", "single", "c.example", &["http-01"]),
    ] {
        let kind = if name.parse::<std::net::IpAddr>().is_ok() { "ip" } else { "dns" };
        let payload = json!({ "identifiers": [{ "type": kind, "value": name }], "profile": product });
        let order = client.new_order_of(payload).await.expect(201).json();
        let authz = client.authorizations(&order).await.swap_remove(0);
        let found: Vec<&str> = authz["challenges"].as_array().unwrap().iter().map(|offer| url(offer, "type")).collect();
        assert_eq!(found, offered, "{rule}, {name}");
        // What is not offered can't be answered either.
        let first = url(&authz["challenges"][0], "url");
        let base = first.strip_suffix(offered[0]).unwrap();
        for kind in ["http-01", "dns-01", "tls-alpn-01"].iter().filter(|kind| !offered.contains(kind)) {
            client.post(&format!("{base}{kind}"), &json!({})).await.expect_problem(404, "malformed");
        }
    }
}

#[tokio::test]
async fn a_file_proves_the_host_that_serves_it_and_no_other() {
    let world = World::new().await;
    let client = world.client().await;
    // VAL-09: neither the names below it nor those above, nor a sibling.
    world.ready_order(&client, &["host.example"]).await;
    for (name, status) in [("host.example", "ready"), ("www.host.example", "pending"), ("*.host.example", "pending")] {
        assert_eq!(client.new_order(&[name]).await.expect(201).json()["status"], status, "VAL-09, {name}");
    }
    world.ready_order(&client, &["deep.www.below.example"]).await;
    for name in ["www.below.example", "below.example", "other.www.below.example"] {
        assert_eq!(client.new_order(&[name]).await.expect(201).json()["status"], "pending", "VAL-09, {name}");
    }
    // Each host is asked itself.
    world.ready_order(&client, &["one.example", "two.example"]).await;
    let hosts: Vec<String> = world.web.requests().iter().map(|request| request.header("host").to_owned()).collect();
    assert!(hosts.contains(&"one.example".to_owned()) && hosts.contains(&"two.example".to_owned()), "{hosts:?}");
}

#[tokio::test]
async fn each_rule_on_dns_records_accepts_and_refuses() {
    let world = World::new().await;
    let client = world.client().await;
    let missing = [
        "If your DNS panel appends the zone, enter the host without it.",
        "New records show within seconds, changed ones after their TTL (DIAG-08).",
    ];
    let made_up = [
        "at _acme-challenge.made-up.example holds \"parked\", expected \"",
        "Your DNS answers names that do not exist. Add the record at exactly _acme-challenge.made-up.example;",
        "earlier answers can be ignored (DIAG-10).",
    ];
    let edited = [
        "at _acme-challenge.edited.example holds \"old\", expected \"",
        "Add a second value instead of editing (DIAG-09).",
    ];
    let failing = ["SERVFAIL", "_acme-challenge.failing.example", "limits on queries (DIAG-11)."];
    // Rule, name, what the error is and says; without an error it is accepted.
    let rows: &[(&str, &str, &str, &[&str])] = &[
        // TXT at _acme-challenge.
        ("X-17", "right.example", "", &[]),
        ("VAL-12", "none.example", "unauthorized", &["No TXT record at _acme-challenge.none.example, expected \""]),
        ("VAL-12", "appended.example", "unauthorized", &missing),
        ("VAL-16", "added.example", "", &[]),
        ("VAL-16", "edited.example", "unauthorized", &edited),
        ("VAL-17", "failing.example", "dns", &failing),
        ("VAL-18", "made-up.example", "unauthorized", &made_up),
        ("VAL-18", "exact.example", "", &[]),
    ];
    for (rule, name, error, parts) in rows {
        let (offer, order, _) = offer(&client, name, "dns-01").await;
        let (place, right) = (format!("_acme-challenge.{name}"), digest(&client, &offer));
        match *name {
            "right.example" => drop(world.dns.txt(&place, &right)),
            "appended.example" => drop(world.dns.txt(&format!("{place}.{name}"), &right)),
            "added.example" => drop(world.dns.txt(&place, "old").txt(&place, &right)),
            "edited.example" => drop(world.dns.txt(&place, "old")),
            "failing.example" => drop(world.dns.fail(&place, Failure::ServFail)),
            "made-up.example" => drop(world.dns.txt("*.made-up.example", "parked")),
            "exact.example" => drop(world.dns.txt("*.exact.example", "parked").txt(&place, &right)),
            _ => {}
        }
        let seen = client.respond(&offer).await.expect(200).json();
        if error.is_empty() {
            assert_eq!(seen["status"], "valid", "{rule}, {name}: {seen}");
        } else {
            assert_eq!(seen["status"], "invalid", "{rule}, {name}: {seen}");
            problem(&seen["error"], error, parts);
            problem(&look(&client, &order).await["error"], error, parts);
        }
    }
}

#[tokio::test]
async fn each_rule_on_files_accepts_and_refuses() {
    let world = World::with(|config| {
        // VAL-26: the documented addresses.
        config.validation.timeout_ms = 30_000;
        config.validation.source_addresses = vec!["64.78.193.238".parse().unwrap(), "216.168.247.9".parse().unwrap()];
    })
    .await;
    let client = world.client().await;
    world.dns.a("closed.example", "127.0.0.3");
    let moved = [
        "redirects (301) to \"https://moved.example/\"; redirects are not followed, the content must come directly.",
        "`wget -S http://moved.example/.well-known/acme-challenge/",
        "(DIAG-03).",
    ];
    let content = [
        "Content of http://content.example/.well-known/acme-challenge/",
        "does not equal the expected value: it is \"something else\" instead of the key authorization",
        "(DIAG-04).",
    ];
    let closed = [
        "Connecting to http://closed.example/",
        "127.0.0.3",
        "Allow 64.78.193.238 and 216.168.247.9 on firewall and data centre (DIAG-06).",
    ];
    let rows: &[(&str, &str, &str, &[&str])] = &[
        ("VAL-19", "root.example", "", &[]),
        ("VAL-20", "ok.example", "", &[]),
        ("VAL-20", "created.example", "incorrectResponse", &["returned status 201; 200 is needed", "(DIAG-02)."]),
        ("VAL-20", "moved.example", "incorrectResponse", &moved),
        ("VAL-20", "found.example", "incorrectResponse", &["redirects (302)", "(DIAG-03)."]),
        ("VAL-20", "temporary.example", "incorrectResponse", &["redirects (307)", "(DIAG-03)."]),
        ("VAL-21", "content.example", "incorrectResponse", &content),
        ("VAL-21", "empty.example", "incorrectResponse", &["it is \"\" instead of the key", "(DIAG-04)."]),
        ("VAL-24", "closed.example", "connection", &closed),
        ("VAL-25", "missing.example", "incorrectResponse", &["returned status 404; 200 is needed", "(DIAG-02)."]),
        ("VAL-25", "broken.example", "incorrectResponse", &["returned status 500; 200 is needed", "(DIAG-02)."]),
    ];
    for (rule, name, error, parts) in rows {
        let (offer, order, _) = offer(&client, name, "http-01").await;
        let token = url(&offer, "token");
        let right = client.key_authorization(token);
        match *name {
            "ok.example" => drop(world.web.serve(token, &format!("{right}\r\n"))),
            "created.example" => drop(world.web.status(token, 201, &right)),
            "moved.example" => drop(world.web.redirect_with(token, 301, "https://moved.example/")),
            "found.example" => drop(world.web.redirect_with(token, 302, "/elsewhere")),
            "temporary.example" => drop(world.web.redirect_with(token, 307, "/elsewhere")),
            "content.example" => drop(world.web.serve(token, "something else")),
            "empty.example" => drop(world.web.serve(token, "")),
            "missing.example" => drop(world.web.status(token, 404, &right)),
            "broken.example" => drop(world.web.status(token, 500, &right)),
            _ => {}
        }
        let seen = client.respond(&offer).await.expect(200).json();
        if error.is_empty() {
            assert_eq!(seen["status"], "valid", "{rule}, {name}: {seen}");
            assert_eq!(seen.get("hints"), None, "{rule}, {name}");
            let asked = world.web.requests().pop().unwrap();
            assert_eq!(asked.line, format!("GET /.well-known/acme-challenge/{token}"), "{rule}");
        } else {
            assert_eq!(seen["status"], "invalid", "{rule}, {name}: {seen}");
            problem(&seen["error"], error, parts);
            problem(&look(&client, &order).await["error"], error, parts);
        }
    }
    // VAL-20: no redirect was followed.
    assert!(!world.web.requests().iter().any(|request| request.line.contains("elsewhere")));
}

/// A world whose sites answer HTTPS too, at first as a site does that knows nothing of the challenge.
async fn with_https(https_probe: HttpsProbe) -> (World, Target) {
    let secure = Target::start_tls().await;
    let world = World::with(|config| {
        config.validation.tls_port = secure.port();
        config.validation.https_probe = https_probe;
        config.validation.timeout_ms = 30_000;
    })
    .await;
    (world, secure)
}

#[tokio::test]
async fn https_that_shows_something_else_is_a_hint_that_stays_with_the_authorization() {
    let (mut world, secure) = with_https(Settings::default().https_probe).await;
    let client = world.client().await;
    let (offered, order, authz) = offer(&client, "site.example", "http-01").await;
    let seen = client.respond(&offered).await.expect(200).json();
    assert_eq!(seen["status"], "valid");
    // VAL-23 for the certificate, VAL-22 for the file.
    let [certificate, file] = seen["hints"].as_array().unwrap().as_slice() else { panic!("{seen}") };
    let certificate = certificate.as_str().unwrap();
    assert!(certificate.starts_with("HTTPS on this host is not usable for validation: the certificate at 127.0.0.1:"));
    assert!(certificate.ends_with(" is self-signed. Switch it off for now (DIAG-07)."), "{certificate}");
    let file = file.as_str().unwrap();
    assert!(file.starts_with("File served over HTTP only: https://site.example/.well-known/acme-challenge/"), "{file}");
    assert!(file.contains("returned status 404. Put it on HTTPS as well") && file.ends_with("(DIAG-01)."), "{file}");
    assert_eq!(look(&client, &order).await["status"], "ready");
    // They are in the audit log, and shown as long as the authorization lasts.
    let audit = world.audit().await;
    let settled = audit.iter().find_map(|act| match act {
        Act::ValidationSettled { evidence, problem: None, .. } => Some(evidence.clone()),
        _ => None,
    });
    let told: Vec<String> = settled.unwrap().into_iter().filter(|line| line.starts_with("hint: ")).collect();
    assert_eq!(told, [format!("hint: {certificate}"), format!("hint: {file}")]);
    client.forget_nonce();
    assert_eq!(look(&client, &authz).await["challenges"], json!([seen]));
    // With the file there too, and a certificate that visitors trust, nothing is left to say (and VAL-22 is met).
    let names = ["site.example"];
    let (csr, key) = csr(&names);
    let done = client.finalize(&look(&client, &order).await, &csr).await.expect(200).json();
    show(&secure, &client.certificate(&done).await, &key);
    secure.serve_any(&client.thumbprint());
    let again = client.new_order_of(order_of(&names, json!({ "profile": "single" }))).await.expect(201).json();
    let authz = client.authorizations(&again).await.swap_remove(0);
    let seen = client.respond(&challenge(&authz, "http-01")).await.expect(200).json();
    assert_eq!((&seen["status"], seen.get("hints")), (&json!("valid"), None), "{seen}");
    assert!(secure.requests().last().unwrap().header("host").starts_with("site.example"));
}

fn show(secure: &Target, chain: &str, key: &KeyPair) {
    secure.present(ders(chain), key);
}

#[tokio::test]
async fn https_that_shows_something_else_is_refused_where_the_rule_is_enforced() {
    let (world, secure) = with_https(HttpsProbe::Enforce).await;
    let client = world.client().await;
    let (offered, order, _) = offer(&client, "untrusted.example", "http-01").await;
    secure.serve(url(&offered, "token"), &client.key_authorization(url(&offered, "token")));
    let seen = client.respond(&offered).await.expect(200).json();
    assert_eq!((&seen["status"], seen.get("hints")), (&json!("invalid"), None));
    let parts = ["HTTPS on this host is not usable for validation", "self-signed", "(DIAG-07)."];
    problem(&seen["error"], "tls", &parts);
    problem(&look(&client, &order).await["error"], "tls", &parts);
    // VAL-22: "or switch HTTPS off meanwhile". Then a certificate can be had, and with it on HTTPS the file must be there
    // too.
    secure.present_none();
    let (csr, key) = csr(&["site.example"]);
    let (_, ready) = world.ready_order(&client, &["site.example"]).await;
    let done = client.finalize(&ready, &csr).await.expect(200).json();
    show(&secure, &client.certificate(&done).await, &key);
    for (served, status) in [(false, "invalid"), (true, "valid")] {
        if served {
            secure.serve_any(&client.thumbprint());
        }
        let payload = order_of(&["site.example"], json!({ "profile": "single" }));
        let order = client.new_order_of(payload).await.expect(201).json();
        let authz = client.authorizations(&order).await.swap_remove(0);
        let seen = client.respond(&challenge(&authz, "http-01")).await.expect(200).json();
        assert_eq!(seen["status"], status, "VAL-22: {seen}");
        if !served {
            problem(&seen["error"], "incorrectResponse", &["File served over HTTP only", "status 404", "(DIAG-01)."]);
        }
    }
}

#[tokio::test]
async fn https_is_left_alone_when_the_look_is_switched_off_and_by_other_methods() {
    let (world, secure) = with_https(HttpsProbe::Off).await;
    let client = world.client().await;
    let (offered, ..) = offer(&client, "off.example", "http-01").await;
    let seen = client.respond(&offered).await.expect(200).json();
    assert_eq!((&seen["status"], seen.get("hints")), (&json!("valid"), None));
    assert_eq!(secure.connections(), 0);
    let (world, secure) = with_https(HttpsProbe::Enforce).await;
    let client = world.client().await;
    let (offered, ..) = offer(&client, "dns.example", "dns-01").await;
    world.dns.txt("_acme-challenge.dns.example", &digest(&client, &offered));
    assert_eq!(client.respond(&offered).await.expect(200).json()["status"], "valid");
    assert_eq!(secure.connections(), 0);
}

#[tokio::test]
async fn a_check_that_takes_too_long_is_tried_again_while_the_challenge_is_processing() {
    // VAL-29: a check ends after 30 seconds; here after two, and nobody can wait less for one.
    assert_eq!(Settings::default().timeout_ms, 30_000);
    let world = World::with(|config| {
        config.acme.validation_tries = 3;
        config.acme.validation_retry_ms = 60_000;
        config.acme.challenge_wait_ms = 1;
        config.validation.timeout_ms = 2_000;
    })
    .await;
    let client = world.client().await;
    // VAL-28: Pending validation.
    let (offered, order, authz) = offer(&client, "slow.example", "http-01").await;
    assert_eq!(offered["status"], "pending");
    world.web.hang(url(&offered, "token"));
    // Validating.
    let begun = client.respond(&offered).await.expect(200).json();
    assert_eq!((&begun["status"], begun.get("error")), (&json!("processing"), None));
    world.pass(Duration::ZERO).await;
    // Validation timeout, told with the time of the next try (DIAG-13).
    let answer = client.post_as_get(url(&offered, "url")).await.expect(200);
    assert_eq!((&answer.json()["status"], answer.header("retry-after")), (&json!("processing"), Some("1")));
    let again = chancery::domain::Timestamp::from_secs(world.now().as_secs() + 60);
    let next = format!("(DIAG-13). Next try at {again}.");
    problem(&answer.json()["error"], "connection", &["Timed out after 2 s while fetching http://slow.example/", &next]);
    // VAL-30: one check that failed is not the end.
    assert_eq!(look(&client, &authz).await["status"], "pending");
    assert_eq!(look(&client, &order).await["status"], "pending");
    // Another failure is told in its stead, with its own next try.
    world.web.forget(url(&offered, "token")).status(url(&offered, "token"), 503, "starting");
    world.pass(Duration::from_secs(60)).await;
    let second = look(&client, url(&offered, "url")).await;
    problem(&second["error"], "incorrectResponse", &["returned status 503", "(DIAG-02). Next try at "]);
    // Passed.
    world.web.forget(url(&offered, "token"));
    world.pass(Duration::from_secs(60)).await;
    let over = look(&client, url(&offered, "url")).await;
    assert_eq!((&over["status"], over.get("error")), (&json!("valid"), None));
    assert_eq!(look(&client, &order).await["status"], "ready");
    // Failed: when no try is left, and then no next one is promised.
    let (offered, order, _) = offer(&client, "failed.example", "http-01").await;
    world.web.status(url(&offered, "token"), 404, "");
    client.respond(&offered).await.expect(200);
    for _ in 0..3 {
        world.pass(Duration::from_secs(60)).await;
    }
    let over = look(&client, url(&offered, "url")).await;
    assert_eq!(over["status"], "invalid");
    let told = over["error"]["detail"].as_str().unwrap();
    assert!(told.contains("returned status 404") && told.ends_with("(DIAG-02)."), "{told}");
    assert_eq!(look(&client, &order).await["status"], "invalid");
}
