//! The family DIAG: each finding with real name and web servers behind it, and the help texts (DIAG, FAQ, INSTALL).

use std::time::Duration;

use chancery::domain::customer::CustomerKind;
use chancery::policy::help::TOPICS;
use serde_json::{Value, json};

use crate::acme_tools::{DAY, order_of, url};
use crate::support::client::{Client, challenge, csr};
use crate::support::dns::{Dns, Failure};
use crate::support::operator::Operator;
use crate::support::signer::b64;
use crate::support::target::Target;
use crate::support::world::World;

const FREE: &str = "trustasia-dv-free";
const DV: &str = "trustasia-dv-multi";

/// An order for one name: its id, and its authorization.
async fn placed(client: &Client, name: &str, product: &str) -> (String, Value) {
    let placed = client.new_order_of(order_of(&[name], json!({ "profile": product }))).await.expect(201);
    let authz = client.authorizations(&placed.json()).await.swap_remove(0);
    (id_of(placed.location()), authz)
}

fn id_of(url: &str) -> String {
    url.rsplit('/').next().unwrap().to_owned()
}

async fn diagnosed(caller: &Operator, asked: Value) -> Value {
    caller.send("POST", "/diagnoses", &asked).await.expect(200).json()
}

/// The findings of that method (none: of no method), as rules.
fn rules(diagnosis: &Value, method: Option<&str>) -> Vec<String> {
    let findings = diagnosis["findings"].as_array().unwrap().iter();
    let of_method = findings.filter(|finding| finding["method"].as_str() == method);
    of_method.map(|finding| finding["rule"].as_str().unwrap().to_owned()).collect()
}

/// The finding of that rule, which must have these parts in its text, and what to do.
#[track_caller]
fn told(diagnosis: &Value, rule: &str, parts: &[&str]) {
    let findings = diagnosis["findings"].as_array().unwrap();
    let finding = findings.iter().find(|finding| finding["rule"] == rule);
    let finding = finding.unwrap_or_else(|| panic!("{rule} is not found: {diagnosis:#}"));
    let text = finding["text"].as_str().unwrap();
    assert!(parts.iter().all(|part| text.contains(part)), "{rule}: {text}");
    let topic = TOPICS.iter().find(|topic| topic.id == rule).unwrap();
    assert_eq!(finding["remedy"], topic.remedy, "{rule}");
}

/// A customer's, reviewer's or operator's own token.
async fn token(world: &World, asked: Value) -> Operator {
    let made = Operator::of(world).post("/tokens", &asked).await;
    Operator::with(world, Some(format!("Bearer {}", made["token"].as_str().unwrap())))
}

#[tokio::test]
async fn each_finding_of_dns_and_web_servers_is_told_with_its_rule_and_remedy() {
    let world = World::with(|config| {
        config.validation.timeout_ms = 2_000;
        config.validation.source_addresses = vec!["64.78.193.238".parse().unwrap()];
        config.limits.diagnoses_per_hour = 0;
    })
    .await;
    let operator = Operator::of(&world);
    let mut client = world.stranger();
    client.new_account().await.expect(201);
    let (file, record, any) = (Some("http-01"), Some("dns-01"), None);
    // Rule, name, found by, parts of what is said.
    let rows: &[(&str, &str, Option<&str>, &[&str])] = &[
        ("DIAG-02", "status.example", file, &["returned status 403; 200 is needed"]),
        ("DIAG-03", "moved.example", file, &["redirects (302) to \"/elsewhere\"", "wget -S"]),
        ("DIAG-04", "content.example", file, &["it is \"something else\" instead of"]),
        ("DIAG-05", "half.example", any, &["not reachable at 127.0.0.3:", "1 of its 2 addresses", "pause the CDN"]),
        ("DIAG-06", "closed.example", file, &["Allow 64.78.193.238 on firewall and data centre"]),
        ("DIAG-06", "nowhere.example", file, &["Connecting to http://nowhere.example/"]),
        ("DIAG-08", "none.example", record, &["No TXT record at _acme-challenge.none.example"]),
        ("DIAG-09", "edited.example", record, &["holds \"old\", expected \"", "Add a second value"]),
        ("DIAG-10", "made-up.example", record, &["answers names that do not exist"]),
        ("DIAG-11", "failing.example", record, &["SERVFAIL", "limits on queries"]),
        ("DIAG-13", "slow.example", file, &["Timed out after 2 s while fetching http://slow.example/"]),
        ("DIAG-14", "caa.example", any, &["CAA at caa.example permits only \"other.test\"", "0 issuewild \"ca.test\""]),
        ("DIAG-15", "unread.example", any, &["CAA of unread.example could not be read"]),
    ];
    for (rule, name, method, parts) in rows {
        let (order, authz) = placed(&client, name, "any").await;
        let offer = challenge(&authz, "http-01");
        let (token, place) = (url(&offer, "token"), format!("_acme-challenge.{name}"));
        match *name {
            "status.example" => drop(world.web.status(token, 403, "no")),
            "moved.example" => drop(world.web.redirect_with(token, 302, "/elsewhere")),
            "content.example" => drop(world.web.serve(token, "something else")),
            "half.example" => drop(world.dns.a(name, "127.0.0.1").a(name, "127.0.0.3")),
            "closed.example" | "nowhere.example" => drop(world.dns.a(name, "127.0.0.3")),
            "edited.example" => drop(world.dns.txt(&place, "old")),
            "made-up.example" => drop(world.dns.txt("*.made-up.example", "parked")),
            "failing.example" => drop(world.dns.fail(&place, Failure::ServFail)),
            "slow.example" => drop(world.web.hang(token)),
            "caa.example" => drop(world.dns.caa(name, 0, "issue", "other.test")),
            "unread.example" => drop(world.dns.fail_type(name, "CAA", Failure::ServFail)),
            _ => {}
        }
        let seen = diagnosed(&operator, json!({ "order": order })).await;
        assert_eq!(rules(&seen, *method), [*rule], "{name}: {seen:#}");
        told(&seen, rule, parts);
        let evidence = seen["seen"][0]["evidence"].as_array().unwrap();
        assert!(evidence.iter().any(|line| line.as_str().unwrap().contains(name)), "{name}: {seen:#}");
        // Nothing was changed by it.
        assert_eq!(client.authorizations(&json!({ "authorizations": [url_of(&authz)] })).await[0]["status"], "pending");
    }
}

#[tokio::test]
async fn what_is_not_the_same_everywhere_is_told_with_the_number_of_places() {
    let abroad = Dns::start().await;
    abroad.default_address("127.0.0.1");
    let place = abroad.addr();
    let world = World::with(|config| config.validation.resolvers.push(place)).await;
    let operator = Operator::of(&world);
    let mut client = world.stranger();
    client.new_account().await.expect(201);
    let record = |client: &Client, authz: &Value| {
        let proof = client.key_authorization(url(&challenge(authz, "dns-01"), "token"));
        b64(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, proof.as_bytes()))
    };
    let (order, authz) = placed(&client, "here.example", "any").await;
    world.dns.txt("_acme-challenge.here.example", &record(&client, &authz));
    abroad.fail_type("here.example", "CAA", Failure::ServFail);
    let seen = diagnosed(&operator, json!({ "order": order })).await;
    assert_eq!((rules(&seen, Some("dns-01")), rules(&seen, None)), (vec!["DIAG-11".into()], vec!["DIAG-15".into()]));
    told(&seen, "DIAG-11", &["is seen from 1 of 2 places", &place.to_string(), "servers abroad and query limits"]);
    told(&seen, "DIAG-15", &["CAA of here.example could not be read from 1 of 2 places", "check the zone"]);
    // With the same record in both places it is met, and with none in either it is simply missing.
    abroad.clear("here.example").txt("_acme-challenge.here.example", &record(&client, &authz));
    let seen = diagnosed(&operator, json!({ "order": order })).await;
    assert_eq!((&seen["findings"], &seen["seen"][0]["met"]), (&json!([]), &json!(["dns-01"])), "{seen:#}");
    let (order, _) = placed(&client, "nowhere.example", "any").await;
    let seen = diagnosed(&operator, json!({ "order": order })).await;
    assert_eq!(rules(&seen, Some("dns-01")), ["DIAG-08"], "{seen:#}");
}

/// The URL of an authorization, of which a challenge's is made.
fn url_of(authz: &Value) -> String {
    let challenge = url(&authz["challenges"][0], "url");
    challenge.rsplit_once('/').unwrap().0.replace("/challenge/", "/authz/")
}

#[tokio::test]
async fn a_proof_that_is_in_place_leaves_nothing_to_say_but_what_https_shows() {
    let secure = Target::start_tls().await;
    let world = World::with(|config| {
        config.validation.tls_port = secure.port();
        config.validation.timeout_ms = 30_000;
    })
    .await;
    let (operator, client) = (Operator::of(&world), world.client().await);
    let (order, _) = placed(&client, "site.example", "single").await;
    let seen = diagnosed(&operator, json!({ "order": order })).await;
    assert_eq!(rules(&seen, Some("http-01")), ["DIAG-07", "DIAG-01"], "{seen:#}");
    told(&seen, "DIAG-01", &["File served over HTTP only", "returned status 404", "or switch HTTPS off"]);
    told(&seen, "DIAG-07", &["HTTPS on this host is not usable for validation", "is self-signed"]);
    assert_eq!(seen["seen"][0]["met"], json!(["http-01"]));
    // A record in place makes up for a file that is not.
    let (order, authz) = placed(&client, "record.example", "any").await;
    let offer = challenge(&authz, "dns-01");
    let proof = client.key_authorization(url(&offer, "token"));
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, proof.as_bytes());
    world.dns.txt("_acme-challenge.record.example", &b64(digest));
    world.web.status(url(&offer, "token"), 404, "");
    let seen = diagnosed(&operator, json!({ "order": order })).await;
    assert_eq!((&seen["findings"], &seen["seen"][0]["met"]), (&json!([]), &json!(["dns-01"])), "{seen:#}");
    // What was answered is looked at by the method that was chosen, also once it has failed.
    client.respond(&challenge(&authz, "http-01")).await.expect(200);
    let seen = diagnosed(&operator, json!({ "order": order })).await;
    assert_eq!(rules(&seen, Some("http-01")), ["DIAG-02"], "{seen:#}");
}

#[tokio::test]
async fn names_are_judged_ahead_of_an_order() {
    let world = World::documented().await;
    let operator = Operator::of(&world);
    world.dns.caa("zone-caa.cn", 0, "issue", "other.test");
    world.dns.fail_type("zone-fail.cn", "CAA", Failure::ServFail);
    let long = format!("{}.{}.zone-one.cn", "a".repeat(30), "b".repeat(30));
    for (rule, name, product, parts) in [
        ("DIAG-14", "www.zone-caa.cn", FREE, &["CAA at zone-caa.cn permits only \"other.test\""][..]),
        ("DIAG-15", "www.zone-fail.cn", FREE, &["CAA of zone-fail.cn could not be read"]),
        ("DIAG-16", "bank.zone-one.cn", FREE, &["contains 'bank'", "choose a paid product"]),
        ("DIAG-16", "bank.zone-one.cn", DV, &["contains 'bank'"]),
        ("DIAG-17", "www.zone-one.ru", FREE, &["TLD-01"]),
        ("DIAG-18", &long, FREE, &["64 allowed", "DOM-11"]),
        ("DIAG-18", "not a name", FREE, &["not a name"]),
    ] {
        told(&diagnosed(&operator, json!({ "name": name, "product": product })).await, rule, parts);
    }
    let seen = diagnosed(&operator, json!({ "name": "*.zone-one.cn", "product": DV })).await;
    assert_eq!(seen["findings"], json!([]), "{seen:#}");
    for asked in [json!({}), json!({ "product": FREE }), json!({ "name": "a.zone-one.cn", "order": "x" })] {
        operator.send("POST", "/diagnoses", &asked).await.expect(400);
    }
    operator.send("POST", "/diagnoses", &json!({ "name": "a.zone-one.cn", "product": "x" })).await.expect(400);
}

#[tokio::test]
async fn what_is_known_of_an_order_is_told_without_a_look() {
    let world = World::documented().await;
    let operator = Operator::of(&world);
    let customer = world.customer(CustomerKind::Individual).await;
    let client = world.client_of(&customer).await;
    world.buy(&customer, DV, 1, 1).await;
    let (order, _) = placed(&client, "www.zone-one.cn", FREE).await;
    assert_eq!(rules(&diagnosed(&operator, json!({ "order": order })).await, None), [""; 0]);
    world.pass(Duration::from_secs(30 * 60)).await;
    told(&diagnosed(&operator, json!({ "order": order })).await, "DIAG-25", &["30 minutes"]);
    world.pass(DAY * 3).await;
    told(&diagnosed(&operator, json!({ "order": order })).await, "DIAG-12", &["No record within 3 days", "VAL-13"]);
    // A person looks at a name with a word in it.
    let waits = client.new_order_of(order_of(&["mybank.cn"], json!({ "profile": DV }))).await.expect(201);
    let authz = client.authorizations(&waits.json()).await.swap_remove(0);
    world.prove(&client, &authz).await.expect(200);
    client.finalize(&waits.json(), &csr(&["mybank.cn"]).0).await.expect(200);
    let seen = diagnosed(&operator, json!({ "order": id_of(waits.location()) })).await;
    told(&seen, "DIAG-26", &["follows with a delay"]);
    assert_eq!(seen["seen"], json!([]), "nothing is looked at");
    let (issued, _) = world.certificate(&client, &["www.zone-two.cn"]).await;
    let id = id_of(issued["finalize"].as_str().unwrap().strip_suffix("/finalize").unwrap());
    told(&diagnosed(&operator, json!({ "order": id })).await, "DIAG-28", &["plain HTTP", "cached the expired"]);
}

#[tokio::test]
async fn a_used_up_quota_is_told_ahead_of_the_order() {
    let world = World::documented().await;
    let operator = Operator::of(&world);
    let customer = world.customer(CustomerKind::Individual).await;
    let caller = token(&world, json!({ "name": "me", "role": "customer", "customer": customer.to_string() })).await;
    let asked = json!({ "name": "www.zone-full.cn", "product": FREE });
    assert_eq!(diagnosed(&caller, asked.clone()).await["findings"], json!([]));
    let elsewhere = json!({ "count": 20, "not_after": "2027-06-01T00:00:00Z", "note": "another seller's" });
    operator.post("/domains/zone-full.cn/elsewhere", &elsewhere).await;
    told(&diagnosed(&caller, asked).await, "DIAG-27", &["20 of 20 free certificates of \"zone-full.cn\"", "QUOTA-02"]);
}

#[tokio::test]
async fn a_diagnosis_is_for_the_orders_customer_and_operators_and_so_many_an_hour() {
    let world = World::documented_with(|config| config.limits.diagnoses_per_hour = 3).await;
    let (mine, other) =
        (world.customer(CustomerKind::Individual).await, world.customer(CustomerKind::Individual).await);
    let of = |customer: &str| json!({ "name": "me", "role": "customer", "customer": customer });
    let (me, stranger) = (token(&world, of(&mine.to_string())).await, token(&world, of(&other.to_string())).await);
    let reviewer = token(&world, json!({ "name": "r", "role": "reviewer" })).await;
    let client = world.client_of(&mine).await;
    let (order, _) = placed(&client, "www.zone-one.cn", FREE).await;
    let asked = json!({ "order": order });
    stranger.send("POST", "/diagnoses", &asked).await.expect(404);
    reviewer.send("POST", "/diagnoses", &asked).await.expect(403);
    reviewer.send("POST", "/diagnoses", &json!({ "name": "a.zone-one.cn" })).await.expect(403);
    Operator::with(&world, None).send("POST", "/diagnoses", &asked).await.expect(401);
    for _ in 0..3 {
        diagnosed(&me, asked.clone()).await;
    }
    let refused = me.send("POST", "/diagnoses", &asked).await.expect(429);
    assert!(refused.headers.contains_key("retry-after"));
    diagnosed(&Operator::of(&world), asked).await;
}

#[tokio::test]
async fn help_texts_are_there_for_everybody() {
    let world = World::documented().await;
    let anybody = Operator::with(&world, None);
    let all = anybody.get("/help").await.expect(200).json();
    let ids: Vec<&str> = all["items"].as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap()).collect();
    let numbered = |family: &str, numbers: &mut dyn Iterator<Item = u32>| -> Vec<String> {
        numbers.map(|n| format!("{family}-{n:02}")).collect()
    };
    let wanted = [
        numbered("DIAG", &mut (1..=28)),
        numbered("FAQ", &mut (1..=10)),
        numbered("INSTALL", &mut [7].into_iter().chain(9..=13)),
        vec!["LIMITS".to_owned()],
    ];
    assert_eq!(ids, wanted.concat());
    // Rule, and what its text must say.
    for (rule, parts) in [
        ("DIAG-05", &["CDN", "DNS validation"][..]),
        ("DIAG-19", &["new key and CSR for each order"]),
        ("DIAG-20", &["one of the ordered names"]),
        ("DIAG-21", &["2048"]),
        ("DIAG-22", &["phone", "submit again"]),
        ("DIAG-23", &["bound to resources", "Unbind"]),
        ("DIAG-24", &["international or SM2", "PEM markers", "chain is complete"]),
        ("FAQ-01", &["Renew the plan", "A record"]),
        ("FAQ-02", &["plain HTTP", "relatively or without scheme"]),
        ("FAQ-03", &["port 443", "security group"]),
        ("FAQ-04", &["configuration file", "*:443:name"]),
        ("FAQ-05", &["Clear the browser's cache"]),
        ("FAQ-06", &["Browsers warn", "exposed", "interrupted", "search engines"]),
        ("FAQ-07", &["opens over https", "lock"]),
        ("FAQ-08", &["certificate path"]),
        ("FAQ-09", &["119.29.29.29", "curl -k -v", "wget -S"]),
        ("FAQ-10", &["certificate revocation list (CRL)"]),
        ("INSTALL-07", &["2019-05-27", "Windows 7", "cross certificate", "last block", "restart"]),
        ("INSTALL-09", &["No region limits"]),
        ("INSTALL-10", &["address does not matter while the bound name still resolves"]),
        ("INSTALL-11", &["on the server", "provider's cloud"]),
        ("INSTALL-12", &["WebSocket"]),
        ("INSTALL-13", &["can be bought elsewhere"]),
    ] {
        let topic = anybody.get(&format!("/help/{}", rule.to_lowercase())).await.expect(200).json();
        let text = format!("{} {}", topic["text"].as_str().unwrap(), topic["remedy"].as_str().unwrap_or_default());
        assert!(topic["id"] == rule && parts.iter().all(|part| text.contains(part)), "{rule}: {topic}");
    }
    anybody.get("/help/DIAG-99").await.expect(404);
}
