//! What every refusal of a limit says, what counts as one place, and what a fault of this server costs nobody.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use axum::Extension;
use chancery::config::Config;
use chancery::domain::customer::CustomerKind;
use chancery::domain::limit::{Limit, Rate};
use chancery::http::Peer;
use chancery::ra::limits::{Settings, Written};
use chancery::va::perspectives::quorum::Region;
use chancery::va::perspectives::settings::Mode;
use serde_json::json;

use crate::acme_tools::{DAY, HOUR, look};
use crate::perspectives_world::Around;
use crate::support::client::{Client, Response, challenge, csr};
use crate::support::operator::Operator;
use crate::support::world::{BASE, World};

/// Somebody without an account, who calls from there.
fn from(world: &World, address: &str) -> Client {
    let address: IpAddr = address.parse().unwrap();
    Client::new(world.router().layer(Extension(Peer(SocketAddr::new(address, 50_000)))), BASE)
}

/// A new nonce, asked for from there.
async fn ask(world: &World, address: &str) -> Response {
    from(world, address).get(&format!("{BASE}/acme/new-nonce")).await
}

async fn register(world: &World, address: &str) -> Response {
    from(world, address).new_account().await
}

/// The key of a limit.
fn written(limits: &mut Settings, limit: Limit) -> &mut Written {
    match limit {
        Limit::RequestsPerAddress => &mut limits.requests_per_address,
        Limit::RequestsPerNetwork => &mut limits.requests_per_network,
        Limit::AccountsPerAddress => &mut limits.accounts_per_address,
        Limit::AccountsPerNetwork => &mut limits.accounts_per_network,
        Limit::FailedBindings => &mut limits.failed_bindings,
        Limit::OrdersPerAccount => &mut limits.orders_per_account,
        Limit::OrdersPerCustomer => &mut limits.orders_per_customer,
        Limit::PendingAuthorizations => &mut limits.pending_authorizations,
        Limit::FailedValidations => &mut limits.failed_validations,
        Limit::CertificatesPerDomain => &mut limits.certificates_per_domain,
        Limit::CertificatesPerNames => &mut limits.certificates_per_names,
        Limit::ApiRequests => &mut limits.api_requests,
        Limit::Diagnoses => &mut limits.diagnoses,
    }
}

async fn token(world: &World) -> Operator {
    let customer = world.customer(CustomerKind::Individual).await;
    let made =
        Operator::of(world).post("/tokens", &json!({ "name": "t", "role": "customer", "customer": customer })).await;
    Operator::with(world, Some(format!("Bearer {}", made["token"].as_str().unwrap())))
}

/// Orders a name and answers its challenge: that answer.
async fn try_to_prove(client: &Client, name: &str) -> Response {
    let placed = client.new_order(&[name]).await.expect(201).json();
    let authz = client.authorizations(&placed).await.remove(0);
    client.respond(&challenge(&authz, "http-01")).await
}

/// The answers to two requests of which a limit of one allows the first alone.
async fn two(world: &World, limit: Limit) -> [Response; 2] {
    match limit {
        Limit::RequestsPerAddress => [ask(world, "192.0.2.1").await, ask(world, "192.0.2.1").await],
        Limit::RequestsPerNetwork => [ask(world, "2001:db8:1:1::1").await, ask(world, "2001:db8:1:2::1").await],
        Limit::AccountsPerAddress => [register(world, "192.0.2.1").await, register(world, "192.0.2.1").await],
        Limit::AccountsPerNetwork => {
            [register(world, "2001:db8:1:1::1").await, register(world, "2001:db8:1:2::1").await]
        }
        Limit::FailedBindings => {
            let bind = async || from(world, "192.0.2.1").new_bound_account("unknown", &[7; 32]).await;
            [bind().await, bind().await]
        }
        Limit::OrdersPerAccount | Limit::PendingAuthorizations => {
            let client = world.client().await;
            [client.new_order(&["a.example.com"]).await, client.new_order(&["b.example.com"]).await]
        }
        Limit::OrdersPerCustomer => {
            let client = world.client_of(&world.customer(CustomerKind::Individual).await).await;
            [client.new_order(&["a.example.com"]).await, client.new_order(&["b.example.com"]).await]
        }
        Limit::FailedValidations => {
            let mut client = world.stranger();
            client.new_account().await.expect(201);
            [try_to_prove(&client, "a.example.com").await, try_to_prove(&client, "a.example.com").await]
        }
        Limit::CertificatesPerDomain | Limit::CertificatesPerNames => {
            let client = world.client().await;
            let (_, order) = world.ready_order(&client, &["a.example.com"]).await;
            let done = client.finalize(&order, &csr(&["a.example.com"]).0).await;
            [done, client.new_order(&["a.example.com"]).await]
        }
        Limit::ApiRequests => {
            let rest = token(world).await;
            [rest.get("/orders").await, rest.get("/orders").await]
        }
        Limit::Diagnoses => {
            let rest = token(world).await;
            let asked = json!({ "name": "a.example.com" });
            [rest.send("POST", "/diagnoses", &asked).await, rest.send("POST", "/diagnoses", &asked).await]
        }
    }
}

#[tokio::test]
async fn each_limit_says_when_to_come_back() {
    for limit in Limit::ALL.iter().copied() {
        let world = World::with(|config| *written(&mut config.limits, limit) = Written(Rate::hourly(1))).await;
        let [first, second] = two(&world, limit).await;
        assert_ne!(first.status, 429, "{limit}: {first}");
        let told = second.json()["detail"].as_str().unwrap_or_default().to_owned();
        assert!(second.status == 429 && told.contains(&format!("\"{limit}\", 1 ")), "{limit}: {second}");
        assert_eq!(second.header("retry-after"), Some("3600"), "{limit}");
        assert!(told.contains("try again in 3600 s"), "{limit}: {told}");
    }
}

#[tokio::test]
async fn an_ipv6_site_is_one_place_whatever_networks_it_calls_from() {
    let world = World::with(|config| {
        config.limits.requests_per_address = Written(Rate::hourly(2));
        config.limits.requests_per_network = Written(Rate::hourly(3));
    })
    .await;
    ask(&world, "2001:db8:1:1::1").await.expect(204);
    ask(&world, "2001:db8:1:1:ffff::9").await.expect(204);
    let refused = ask(&world, "2001:db8:1:1::3").await.expect_problem(429, "rateLimited");
    assert!(refused.contains("\"requests_per_address\"") && refused.contains("address 2001:db8:1:1::/64"), "{refused}");
    ask(&world, "2001:db8:1:ffff::1").await.expect(204);
    let refused = ask(&world, "2001:db8:1:8000::1").await.expect_problem(429, "rateLimited");
    assert!(refused.contains("\"requests_per_network\"") && refused.contains("network 2001:db8:1::/48"), "{refused}");
    // The site next door.
    ask(&world, "2001:db8:2::1").await.expect(204);
}

#[tokio::test]
async fn ipv4_written_as_ipv6_is_ipv4() {
    let world = World::with(|config| {
        config.limits.requests_per_address = Written(Rate::hourly(2));
        config.limits.requests_per_network = Written(Rate::hourly(2));
        let range = "198.51.100.0/24".parse().unwrap();
        config.limits.exempt_addresses.push(range);
    })
    .await;
    ask(&world, "192.0.2.1").await.expect(204);
    ask(&world, "::ffff:192.0.2.1").await.expect(204);
    for same in ["192.0.2.1", "::ffff:192.0.2.1"] {
        let refused = ask(&world, same).await.expect_problem(429, "rateLimited");
        assert!(refused.contains("for address 192.0.2.1,") || refused.contains("address 192.0.2.1 "), "{refused}");
    }
    // All of IPv4 is one /64 and one /48 in that notation, and yet not one place.
    ask(&world, "::ffff:192.0.2.2").await.expect(204);
    for _ in 0..5 {
        ask(&world, "::ffff:198.51.100.7").await.expect(204);
    }
}

/// A server whose perspectives, all but one, are down as soon as they are told to be.
async fn watched(change: impl FnOnce(&mut Config)) -> (World, Around, Client) {
    let around = Around::start(&[Region::Apnic, Region::Arin, Region::RipeNcc]).await;
    let world = World::with(|config| {
        config.validation.perspectives = around.asked(Mode::Enforce);
        change(config);
    })
    .await;
    let client = world.client().await;
    for seat in &around.seats {
        seat.web.serve_any(&client.thumbprint());
    }
    (world, around, client)
}

#[tokio::test]
async fn what_fails_by_a_fault_of_this_server_is_no_failure_of_the_client() {
    let (world, mut around, client) = watched(|config| {
        config.limits.failed_validations = Written(Rate::hourly(1));
        (config.limits.pause_after, config.limits.pause_days) = (1, 0);
    })
    .await;
    around.stop(1).await;
    around.stop(2).await;
    for _ in 0..3 {
        let answer = try_to_prove(&client, "a.example.com").await.expect(200).json();
        assert_eq!(answer["error"]["type"], "urn:ietf:params:acme:error:serverInternal", "{answer}");
    }
    // The same with a web server that has no file for it.
    world.web.serve_any("nobody");
    let answer = try_to_prove(&client, "a.example.com").await.expect(200).json();
    assert_eq!(answer["status"], "invalid", "{answer}");
    client.new_order(&["a.example.com"]).await.expect_problem(429, "rateLimited");
}

#[tokio::test]
async fn an_order_that_fails_by_a_fault_of_this_server_takes_nothing() {
    let (world, mut around, client) = watched(|config| {
        config.limits.orders_per_account = Written(Rate::of(1, 30 * 86_400));
        config.limits.certificates_per_domain = Written(Rate::of(1, 30 * 86_400));
        config.acme.finalize_wait_ms = 0;
    })
    .await;
    let (url, order) = world.ready_order(&client, &["a.example.com"]).await;
    client.new_order(&["b.example.com"]).await.expect_problem(429, "rateLimited");
    // CAA is looked at anew, and corroborated anew, after eight hours.
    world.pass(9 * HOUR).await;
    around.stop(1).await;
    around.stop(2).await;
    client.finalize(&order, &csr(&["a.example.com"]).0).await.expect(200);
    for _ in 0..5 {
        world.pass(Duration::from_secs(10)).await;
    }
    let failed = look(&client, &url).await;
    assert_eq!(failed["error"]["type"], "urn:ietf:params:acme:error:serverInternal", "{failed}");
    // The job gives back after its commit, which shows a moment before.
    let mut placed = client.new_order(&["b.example.com"]).await;
    for _ in 0..1000 {
        if placed.status != 429 {
            break;
        }
        tokio::task::yield_now().await;
        placed = client.new_order(&["b.example.com"]).await;
    }
    placed.expect(201);
    client.new_order(&["c.example.com"]).await.expect_problem(429, "rateLimited");
}

#[tokio::test]
async fn an_order_that_fails_by_its_own_fault_has_taken_its_place() {
    let world = World::with(|config| {
        config.limits.orders_per_account = Written(Rate::of(1, 30 * 86_400));
        config.limits.certificates_per_domain = Written(Rate::of(1, 30 * 86_400));
    })
    .await;
    let client = world.client().await;
    let (url, order) = world.ready_order(&client, &["a.example.com"]).await;
    world.pass(9 * HOUR).await;
    world.dns.caa("a.example.com", 0, "issue", "other.test");
    client.finalize(&order, &csr(&["a.example.com"]).0).await.expect(200);
    assert_eq!(look(&client, &url).await["status"], "invalid");
    let refused = client.new_order(&["b.example.com"]).await.expect_problem(429, "rateLimited");
    assert!(refused.contains("\"orders_per_account\""), "{refused}");
    world.pass(30 * DAY).await;
    client.new_order(&["b.example.com"]).await.expect(201);
}
