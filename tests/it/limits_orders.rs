//! Rate limits through the front door: what is counted, what is given back, what a refusal says, and who has another rate.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use axum::Extension;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chancery::config::Config;
use chancery::domain::customer::CustomerKind;
use chancery::domain::limit::{Limit, Rate};
use chancery::http::Peer;
use chancery::ra::NewExternalKey;
use chancery::ra::limits::Written;
use serde_json::{Value, json};

use crate::acme_tools::{cert_id, leaf, order_of};
use crate::support::client::{Client, Response, challenge};
use crate::support::dns::Failure;
use crate::support::operator::Operator;
use crate::support::world::{BASE, World};

const HOUR: u32 = 3600;

fn rate(count: u32, per_s: u32) -> Written {
    Written(Rate::of(count, per_s))
}

/// Somebody without an account, who calls from there.
fn from(world: &World, address: &str) -> Client {
    let address: IpAddr = address.parse().unwrap();
    Client::new(world.router().layer(Extension(Peer(SocketAddr::new(address, 50_000)))), BASE)
}

/// That a refusal tells which limit it is, its value, when to come back, and where more is said: the seconds to wait.
#[track_caller]
fn refused(answer: &Response, limit: &str, value: &str) -> u64 {
    let told = answer.expect_problem(429, "rateLimited");
    assert!(told.contains(&format!("\"{limit}\", {value}")), "RL-01: {told}");
    let wait: u64 = answer.header("retry-after").expect("RL-02").parse().unwrap();
    assert!(told.contains(&format!("try again in {wait} s")), "{told}");
    assert_eq!(answer.links("help"), [format!("{BASE}/api/v1/help/LIMITS")], "RL-03");
    wait
}

async fn wait_for(world: &World, wait: u64) {
    world.pass(Duration::from_secs(wait)).await;
}

#[tokio::test]
async fn requests_are_counted_by_address() {
    let world = World::with(|config| config.limits.requests_per_address = rate(4, 60)).await;
    let (one, other) = (from(&world, "192.0.2.1"), from(&world, "192.0.2.2"));
    let url = one.resource("newNonce").await;
    for _ in 0..4 {
        one.get(&url).await.expect(204);
    }
    let wait = refused(&one.get(&url).await, "requests_per_address", "4 requests in 1 min for address 192.0.2.1");
    assert_eq!(wait, 15);
    // A request that is refused is not looked at, but has its nonce for the next one (RFC 8555 section 6.5).
    let answer = one.raw(&format!("{BASE}/acme/new-order"), "{}", "application/jose+json").await;
    refused(&answer, "requests_per_address", "4 requests");
    assert!(answer.header("replay-nonce").is_some());
    // The directory is free, and so is where the limit is explained.
    one.directory().await;
    one.get(&format!("{BASE}/api/v1/help/LIMITS")).await.expect(200);
    other.get(&url).await.expect(204);
    wait_for(&world, wait - 1).await;
    refused(&one.get(&url).await, "requests_per_address", "4 requests");
    wait_for(&world, 1).await;
    one.get(&url).await.expect(204);
    refused(&one.get(&url).await, "requests_per_address", "4 requests");
}

#[tokio::test]
async fn new_accounts_are_counted_by_address_and_network_and_known_ones_are_not() {
    let world = World::with(|config| {
        config.limits.accounts_per_address = rate(2, HOUR);
        config.limits.accounts_per_network = rate(3, HOUR);
    })
    .await;
    let register = async |address: &str| {
        let mut client = from(&world, address);
        (client.new_account().await, client)
    };
    let (first, mut client) = register("2001:db8:1:1::1").await;
    first.expect(201);
    register("2001:db8:1:1::2").await.0.expect(201);
    let third = register("2001:db8:1:1::3").await.0;
    refused(&third, "accounts_per_address", "2 new accounts in 1 h for address 2001:db8:1:1::/64");
    client.new_account().await.expect(200);
    register("2001:db8:1:2::1").await.0.expect(201);
    refused(&register("2001:db8:1:3::1").await.0, "accounts_per_network", "3 new accounts");
    register("2001:db8:2:1::1").await.0.expect(201);
    // Who is refused for another reason has lost nothing.
    for _ in 0..5 {
        let mut client = from(&world, "192.0.2.9");
        client.new_account_of(json!({ "contact": ["gopher:x"] })).await.expect(400);
    }
    register("192.0.2.9").await.0.expect(201);
}

#[tokio::test]
async fn bindings_that_fail_are_counted_by_address() {
    let world = World::with(|config| config.limits.failed_bindings = rate(2, HOUR)).await;
    let customer = world.customer(CustomerKind::Individual).await;
    let key = world.ra().create_external_key(NewExternalKey::of(customer)).await.unwrap();
    let mac = URL_SAFE_NO_PAD.decode(key.hmac_key.as_bytes()).unwrap();
    let bind = async |address: &str, kid: &str, mac: &[u8]| from(&world, address).new_bound_account(kid, mac).await;
    assert!(bind("192.0.2.1", &key.kid, b"a wrong key of 32 octets at least").await.status.is_client_error());
    assert!(bind("192.0.2.1", "unknown", &mac).await.status.is_client_error());
    let wait = refused(&bind("192.0.2.1", &key.kid, &mac).await, "failed_bindings", "2 failed account bindings in 1 h");
    bind("192.0.2.2", &key.kid, &mac).await.expect(201);
    wait_for(&world, wait).await;
    let again = world.ra().create_external_key(NewExternalKey::of(world.customer(CustomerKind::Individual).await));
    let again = again.await.unwrap();
    let mac = URL_SAFE_NO_PAD.decode(again.hmac_key.as_bytes()).unwrap();
    bind("192.0.2.1", &again.kid, &mac).await.expect(201);
}

#[tokio::test]
async fn orders_are_counted_by_account_and_what_makes_no_order_takes_nothing() {
    let world = World::with(|config| config.limits.orders_per_account = rate(2, HOUR)).await;
    let client = world.client().await;
    let first = client.new_order(&["a.example.com"]).await.expect(201);
    for _ in 0..5 {
        let same = client.new_order(&["a.example.com"]).await.expect(201);
        assert_eq!(same.location(), first.location());
        assert!(client.new_order(&["not a name"]).await.status.is_client_error());
    }
    client.new_order(&["b.example.com"]).await.expect(201);
    let wait =
        refused(&client.new_order(&["c.example.com"]).await, "orders_per_account", "2 new orders in 1 h for account");
    assert_eq!(wait, 1800);
    let identifier = json!({ "identifier": { "type": "dns", "value": "d.example.com" } });
    let authz = client.post(&client.resource("newAuthz").await, &identifier).await;
    refused(&authz, "orders_per_account", "2 new orders");
    world.client().await.new_order(&["c.example.com"]).await.expect(201);
}

#[tokio::test]
async fn orders_are_counted_by_customer_over_all_accounts() {
    let world = World::with(|config| config.limits.orders_per_customer = rate(2, HOUR)).await;
    let customer = world.customer(CustomerKind::Individual).await;
    let (one, two) = (world.client_of(&customer).await, world.client_of(&customer).await);
    one.new_order(&["a.example.com"]).await.expect(201);
    two.new_order(&["b.example.com"]).await.expect(201);
    for client in [&one, &two] {
        refused(&client.new_order(&["c.example.com"]).await, "orders_per_customer", "2 new orders in 1 h for customer");
    }
    world.client().await.new_order(&["c.example.com"]).await.expect(201);
}

#[tokio::test]
async fn a_renewal_that_says_what_it_replaces_takes_nothing() {
    let world = World::with(|config| {
        config.limits.orders_per_account = rate(1, HOUR);
        config.limits.certificates_per_names = rate(1, 24 * HOUR);
    })
    .await;
    let client = world.client().await;
    let names = ["a.example.com"];
    let mut certified = leaf(&world.certificate(&client, &names).await.1);
    refused(&client.new_order(&["b.example.com"]).await, "orders_per_account", "1 new orders");
    for _ in 0..3 {
        let renewal = order_of(&names, json!({ "replaces": cert_id(&certified) }));
        let placed = client.new_order_of(renewal).await.expect(201);
        let order = prepared(&world, &client, &placed).await;
        let done = client.finalize(&order, &crate::support::client::csr(&names).0).await.expect(200).json();
        certified = leaf(&client.certificate(&done).await);
    }
    wait_for(&world, u64::from(HOUR)).await;
    refused(&client.new_order(&names).await, "certificates_per_names", "1 certificates in 1 d");
}

/// The order, with all of its names proven.
async fn prepared(world: &World, client: &Client, placed: &Response) -> Value {
    for authz in client.authorizations(&placed.json()).await {
        if authz["status"] == "pending" {
            world.prove(client, &authz).await.ok();
        }
    }
    client.post_as_get(placed.location()).await.expect(200).json()
}

#[tokio::test]
async fn certificates_are_counted_by_registered_domain_when_they_are_issued() {
    let world = World::with(|config| config.limits.certificates_per_domain = rate(2, HOUR)).await;
    let client = world.client().await;
    for _ in 0..5 {
        // Orders without a certificate don't count.
        let placed = client.new_order(&["open.example.com"]).await.expect(201).json();
        for url in placed["authorizations"].as_array().unwrap() {
            client.post(url.as_str().unwrap(), &json!({ "status": "deactivated" })).await.expect(200);
        }
    }
    world.certificate(&client, &["a.example.com"]).await;
    world.certificate(&world.client().await, &["b.example.com"]).await;
    let told = world.client().await.new_order(&["c.example.com", "other.test"]).await;
    refused(&told, "certificates_per_domain", "2 certificates in 1 h for domain example.com");
    client.new_order(&["a.example.org"]).await.expect(201);
}

/// A client for whose names nobody answers.
async fn unserved(world: &World) -> Client {
    let mut client = world.stranger();
    client.new_account().await.expect(201);
    client
}

/// Orders a name and fails to prove it: the answer to the challenge.
async fn fail(client: &Client, name: &str) -> Response {
    let placed = client.new_order(&[name]).await.expect(201).json();
    let authz = client.authorizations(&placed).await.remove(0);
    client.respond(&challenge(&authz, "http-01")).await
}

#[tokio::test]
async fn failed_validations_are_counted_by_account_and_name() {
    let world = World::with(|config| config.limits.failed_validations = rate(2, HOUR)).await;
    let client = unserved(&world).await;
    for _ in 0..2 {
        assert_eq!(fail(&client, "a.example.com").await.expect(200).json()["status"], "invalid");
    }
    let value = "2 failed validations in 1 h for account";
    let wait = refused(&fail(&client, "a.example.com").await, "failed_validations", value);
    assert_eq!(wait, 1800);
    fail(&client, "b.example.com").await.expect(200);
    fail(&unserved(&world).await, "a.example.com").await.expect(200);
    wait_for(&world, wait).await;
    fail(&client, "a.example.com").await.expect(200);
}

#[tokio::test]
async fn a_zone_that_never_answers_fails_by_its_own_fault() {
    let world = World::with(|config| config.limits.failed_validations = rate(1, HOUR)).await;
    let client = unserved(&world).await;
    for (name, failure) in
        [("a.example.com", Failure::Drop), ("b.example.com", Failure::ServFail), ("c.example.com", Failure::Refused)]
    {
        world.dns.fail(name, failure);
        assert_eq!(fail(&client, name).await.expect(200).json()["status"], "invalid", "{name}");
        refused(&fail(&client, name).await, "failed_validations", "1 failed validations");
    }
    // So does one that lets only CAA go unanswered.
    world.dns.fail_type("d.example.com", "CAA", Failure::Drop);
    world.web.serve_any(&client.thumbprint());
    assert_eq!(fail(&client, "d.example.com").await.expect(200).json()["status"], "invalid");
    refused(&fail(&client, "d.example.com").await, "failed_validations", "1 failed validations");
}

#[tokio::test]
async fn what_fails_while_no_resolver_answers_anything_is_no_failure_of_the_client() {
    let world = World::with(|config| {
        config.limits.failed_validations = rate(1, HOUR);
        (config.limits.pause_after, config.limits.pause_days) = (1, 0);
    })
    .await;
    let client = unserved(&world).await;
    for failure in [Failure::Drop, Failure::ServFail, Failure::Refused] {
        world.dns.fail_everything(Some(failure));
        for _ in 0..2 {
            let answer = fail(&client, "a.example.com").await.expect(200).json();
            assert_eq!(answer["status"], "invalid", "{answer}");
        }
    }
    world.dns.fail_everything(None);
    fail(&client, "a.example.com").await.expect(200);
    client.new_order(&["a.example.com"]).await.expect_problem(429, "rateLimited");
}

#[tokio::test]
async fn pending_authorizations_are_given_back_when_they_are_settled() {
    let world = World::with(|config| config.limits.pending_authorizations = rate(3, 7 * 24 * HOUR)).await;
    let client = world.client().await;
    let two = client.new_order(&["a.example.com", "b.example.com"]).await.expect(201);
    let refusal = client.new_order(&["c.example.com", "d.example.com"]).await;
    refused(&refusal, "pending_authorizations", "3 pending authorizations in 7 d");
    let one = client.new_order(&["c.example.com"]).await.expect(201);
    refused(&client.new_order(&["d.example.com"]).await, "pending_authorizations", "3 pending authorizations");
    prepared(&world, &client, &two).await;
    client.new_order(&["d.example.com", "e.example.com"]).await.expect(201);
    let authz = one.json()["authorizations"][0].as_str().unwrap().to_owned();
    client.post(&authz, &json!({ "status": "deactivated" })).await.expect(200);
    client.new_order(&["f.example.com"]).await.expect(201);
    refused(&client.new_order(&["g.example.com"]).await, "pending_authorizations", "3 pending authorizations");
    // What is proven opens nothing.
    client.new_order(&["a.example.com"]).await.expect(201);
}

#[tokio::test]
async fn requests_to_the_rest_api_are_counted_by_token_and_the_operators_own_is_free() {
    let world = World::with(|config| config.limits.api_requests = rate(3, 60)).await;
    let operator = Operator::of(&world);
    let customer = world.customer(CustomerKind::Individual).await;
    let asked = json!({ "name": "cron", "role": "customer", "customer": customer });
    let mut tokens = Vec::new();
    for _ in 0..2 {
        let made = operator.post("/tokens", &asked).await;
        tokens.push(Operator::with(&world, Some(format!("Bearer {}", made["token"].as_str().unwrap()))));
    }
    for _ in 0..3 {
        tokens[0].get("/orders").await.expect(200);
    }
    let refused = tokens[0].get("/orders").await.expect(429);
    assert_eq!(refused.header("retry-after"), Some("20"));
    assert!(refused.json()["detail"].as_str().unwrap().contains("\"api_requests\", 3 requests"), "{refused}");
    tokens[1].get("/orders").await.expect(200);
    for _ in 0..10 {
        operator.get("/orders").await.expect(200);
    }
}

#[tokio::test]
async fn operators_set_other_rates_that_outlast_a_restart() {
    let mut world = World::with(|config| config.limits.orders_per_account = rate(1, HOUR)).await;
    let client = world.client().await;
    let account = client.kid().rsplit('/').next().unwrap().to_owned();
    client.new_order(&["a.example.com"]).await.expect(201);
    refused(&client.new_order(&["b.example.com"]).await, "orders_per_account", "1 new orders");
    let subject = format!("account:{account}");
    let set = |count: u32| json!({ "limit": "orders_per_account", "subject": subject, "count": count, "per_s": 3600, "note": "a migration" });
    let operator = Operator::of(&world);
    let made = operator.send("PUT", "/limits/overrides", &set(3)).await.expect(200).json();
    assert_eq!((&made["subject"], &made["count"]), (&json!(subject), &json!(3)));
    // A rate that was changed begins with nothing used.
    client.new_order(&["b.example.com"]).await.expect(201);
    world.restart().await;
    client.forget_nonce();
    let operator = Operator::of(&world);
    let listed = operator.get("/limits/overrides").await.expect(200).json();
    assert_eq!(listed["items"], json!([made]));
    for name in ["c.example.com", "d.example.com", "e.example.com"] {
        client.new_order(&[name]).await.expect(201);
    }
    refused(&client.new_order(&["f.example.com"]).await, "orders_per_account", "3 new orders");
    operator.send("PUT", "/limits/overrides", &set(0)).await.expect(200);
    client.new_order(&["f.example.com"]).await.expect(201);
    let path = format!("/limits/overrides?limit=orders_per_account&subject={subject}");
    operator.send("DELETE", &path, &json!({})).await.expect(204);
    operator.send("DELETE", &path, &json!({})).await.expect(404);
    client.new_order(&["g.example.com"]).await.expect(201);
    refused(&client.new_order(&["h.example.com"]).await, "orders_per_account", "1 new orders");
    for bad in [
        json!({ "limit": "nonsense", "subject": subject, "count": 1, "per_s": 60, "note": "n" }),
        json!({ "limit": "orders_per_account", "subject": "nobody", "count": 1, "per_s": 60, "note": "n" }),
        json!({ "limit": "orders_per_account", "subject": "addresses:10.0.0.1/8", "count": 1, "per_s": 60, "note": "n" }),
        json!({ "limit": "orders_per_account", "subject": subject, "count": 1, "per_s": 0, "note": "n" }),
        json!({ "limit": "orders_per_account", "subject": subject, "count": 1, "per_s": 60, "note": " " }),
    ] {
        operator.send("PUT", "/limits/overrides", &bad).await.expect(400);
    }
    let audit = serde_json::to_string(&world.audit().await).unwrap();
    assert!(audit.contains("limit-set") && audit.contains("limit-withdrawn"));
}

#[tokio::test]
async fn the_shipped_presets_have_no_limits_and_bad_ones_are_found() {
    for file in ["config/pebble.toml", "config/internal-pki.toml"] {
        assert!(!Config::load(Some(file.as_ref())).unwrap().limits.enabled, "{file}");
    }
    let text =
        "[limits]\norders_per_account = { count = 300, per = \"3h\" }\naccounts_per_hour = 7\napi_requests = 9\n";
    let limits = Config::parse(text, "x.toml").unwrap().limits;
    assert_eq!(limits.rate(Limit::OrdersPerAccount), Rate::of(300, 10_800));
    assert_eq!(limits.rate(Limit::AccountsPerAddress), Rate::hourly(7));
    assert_eq!(limits.rate(Limit::ApiRequests), Rate::hourly(9));
    for bad in [
        "orders_per_account = { count = 300, per = \"3 weeks\" }",
        "orders_per_account = { count = 300 }",
        "orders_per_account = -1",
        "orders_per_account = { count = 300, per = \"0s\" }",
        "overrides = [{ limit = \"nonsense\", subject = \"name:a.example\", rate = 1 }]",
        "exempt_addresses = [\"10.0.0.1/8\"]",
        "counters = 1",
    ] {
        let faults = Config::parse(&format!("[limits]\n{bad}\n"), "x.toml").unwrap_err();
        assert!(faults.iter().all(|fault| fault.key.starts_with("limits.")), "{bad}: {faults:?}");
    }
}
