//! Quotas of free certificates (QUOTA-01 to QUOTA-16, DIAG-27, X-02): every rule accepted and refused, through newOrder.

use std::time::Duration;

use chancery::domain::account::Holder;
use chancery::domain::customer::{CustomerKind, Tier};
use chancery::domain::quota::Elsewhere;
use chancery::domain::{CustomerId, Timestamp};
use chancery::ra::{NewCustomer, QuotaView};
use serde_json::json;

use crate::acme_tools::{DAY, HOUR, cert_id, has_parts, leaf, look, order_of, parsed, url};
use crate::support::client::{Client, Response, challenge, csr};
use crate::support::world::{BASE, World};

pub const SHIPPED: &str = "[quotas.2024-03]\n\
    any = { individual = 20, individual-v2 = 20, enterprise = 20, enterprise-kept = 20 }\n\
    primary_domain = 20";

/// A world whose quota is so many free certificates of a root account, and of a primary domain.
pub async fn with_quota(account: u32, domain: u32) -> World {
    World::documented_but(&[(SHIPPED, &figures(account, domain))]).await
}

pub fn figures(account: u32, domain: u32) -> String {
    let any =
        ["individual", "individual-v2", "enterprise", "enterprise-kept"].map(|kind| format!("{kind} = {account}"));
    format!("[quotas.2024-03]\nany = {{ {} }}\nprimary_domain = {domain}", any.join(", "))
}

/// A customer, and a client of theirs.
pub async fn buyer(world: &World, kind: CustomerKind, tier: Tier) -> (CustomerId, Client) {
    let asked = NewCustomer { tier, ..NewCustomer::new("Buyer", kind) };
    let customer = world.ra().create_customer(asked).await.unwrap().id;
    let client = world.client_of(&customer).await;
    (customer, client)
}

/// A certificate for a name, DER.
pub async fn issued(world: &World, client: &Client, name: &str) -> Vec<u8> {
    world.web.serve_any(&client.thumbprint());
    leaf(&world.certificate(client, &[name]).await.1)
}

/// The moment from which a certificate is over.
pub fn over(der: &[u8]) -> Timestamp {
    let not_after = parsed(der).validity().not_after.timestamp();
    Timestamp::from_secs(u64::try_from(not_after).unwrap() + 1)
}

pub async fn accepted(client: &Client, name: &str) -> String {
    client.new_order(&[name]).await.expect(201).location().to_owned()
}

/// A refusal that says these things, and that an order may succeed from that moment.
#[track_caller]
pub fn refused(world: &World, answer: &Response, parts: &[&str], from: Option<Timestamp>) {
    let detail = answer.expect_problem(429, "rateLimited");
    has_parts(&detail, parts);
    let wait = from.map(|from| from.since(world.now()).as_millis().div_ceil(1000).to_string());
    assert_eq!(answer.header("retry-after"), wait.as_deref(), "{detail}");
    if let Some(from) = from {
        has_parts(&detail, &[&from.to_string()]);
    }
    assert_eq!(answer.links("help"), [format!("{BASE}/api/v1/products/trustasia-dv-free")]);
}

pub async fn quota(world: &World, customer: &CustomerId) -> QuotaView {
    world.ra().quota_of(&Holder::Customer(customer.clone())).await.unwrap()
}

pub async fn domain_used(world: &World, domain: &str) -> u32 {
    world.ra().domain_quota(domain).await.unwrap().usage.usage.used
}

#[tokio::test]
async fn the_twenty_first_certificate_is_refused_until_one_is_revoked_or_expires() {
    let world = World::documented().await;
    let (customer, client) = buyer(&world, CustomerKind::Individual, Tier::Standard).await;
    let mut held = Vec::new();
    for n in 0..20 {
        held.push(issued(&world, &client, &format!("zone-{n}.cn")).await);
        world.pass(HOUR).await;
    }
    // QUOTA-01, DIAG-27
    let parts = ["20 of 20 free certificates are in use", "Account slots return on revocation or expiry", "QUOTA-01"];
    refused(&world, &client.new_order(&["zone-20.cn"]).await, &parts, Some(over(&held[0])));
    // ACCT-02: whichever account of the root account asks.
    let second = world.client_of(&customer).await;
    refused(&world, &second.new_order(&["zone-20.cn"]).await, &parts, Some(over(&held[0])));
    // QUOTA-05: revocation returns the slot at once.
    client.revoke(&held[7], None).await.expect(200);
    accepted(&second, "zone-20.cn").await;
    let end = world.now() + 3 * DAY;
    refused(&world, &client.new_order(&["zone-21.cn"]).await, &["20 of 20"], Some(end));
    world.pass(3 * DAY).await;
    accepted(&client, "zone-21.cn").await;
    // QUOTA-05: so does expiry, and Retry-After is its moment.
    issued(&world, &client, "zone-21.cn").await;
    world.pass(over(&held[0]).since(world.now()) - Duration::from_millis(1)).await;
    refused(&world, &client.new_order(&["zone-22.cn"]).await, &["20 of 20"], Some(over(&held[0])));
    world.pass(Duration::from_millis(1)).await;
    accepted(&client, "zone-22.cn").await;
    refused(&world, &client.new_order(&["zone-23.cn"]).await, &["20 of 20"], Some(over(&held[1])));
}

#[tokio::test]
async fn a_primary_domain_has_one_count_whoever_orders_and_gets_slots_back_on_expiry_only() {
    let world = with_quota(20, 3).await;
    let (_, first) = buyer(&world, CustomerKind::Individual, Tier::Standard).await;
    let (_, second) = buyer(&world, CustomerKind::Enterprise, Tier::Standard).await;
    let unbound = world.client().await;
    // QUOTA-03: the name and everything below it share one count; whoever asks.
    let one = issued(&world, &first, "zone.cn").await;
    world.pass(DAY).await;
    issued(&world, &second, "a.zone.cn").await;
    issued(&world, &unbound, "b.a.zone.cn").await;
    let parts = ["3 of 3 free certificates of \"zone.cn\" are in use", "return on expiry only", "QUOTA-02"];
    for client in [&first, &second, &unbound] {
        for name in ["zone.cn", "c.zone.cn", "d.c.b.a.zone.cn"] {
            refused(&world, &client.new_order(&[name]).await, &parts, Some(over(&one)));
        }
    }
    // The count is the registrable name's, by the public suffix list (section 27).
    for name in ["zone.com.cn", "other.com.cn", "azone.cn", "zone.net.cn"] {
        accepted(&first, name).await;
    }
    // QUOTA-06: revoking returns the account's slot and not the domain's.
    first.revoke(&one, None).await.expect(200);
    refused(&world, &first.new_order(&["c.zone.cn"]).await, &parts, Some(over(&one)));
    assert_eq!(domain_used(&world, "zone.cn").await, 3);
    world.pass(over(&one).since(world.now())).await;
    assert_eq!(domain_used(&world, "zone.cn").await, 2);
    accepted(&first, "c.zone.cn").await;
}

#[tokio::test]
async fn a_refusal_says_from_when_an_order_can_succeed() {
    let world = with_quota(2, 2).await;
    let (_, first) = buyer(&world, CustomerKind::Individual, Tier::Standard).await;
    let (_, second) = buyer(&world, CustomerKind::Individual, Tier::Standard).await;
    let early = issued(&world, &first, "one.zone-a.cn").await;
    world.pass(DAY).await;
    let late = issued(&world, &second, "one.zone-b.cn").await;
    world.pass(DAY).await;
    issued(&world, &first, "two.zone-b.cn").await;
    let account = ["2 of 2 free certificates are in use", "the next at", "QUOTA-01"];
    let domain = ["2 of 2 free certificates of \"zone-b.cn\" are in use", "expiry only", "QUOTA-02"];
    let both =
        ["2 of 2 free certificates are in use, and 2 of 2", "\"zone-b.cn\"", "can succeed from", "QUOTA-01, QUOTA-02"];
    for (rule, client, name, parts, from) in [
        ("QUOTA-01", &first, "zone-c.cn", &account[..], over(&early)),
        ("QUOTA-01", &first, "two.zone-a.cn", &account[..], over(&early)),
        ("QUOTA-02", &second, "three.zone-b.cn", &domain[..], over(&late)),
        // The later of the two.
        ("QUOTA-01, QUOTA-02", &first, "three.zone-b.cn", &both[..], over(&late)),
    ] {
        println!("{rule}: {name}");
        refused(&world, &client.new_order(&[name]).await, parts, Some(from));
    }
    // It keeps its word.
    world.pass(over(&late).since(world.now()) - Duration::from_secs(1)).await;
    refused(&world, &first.new_order(&["three.zone-b.cn"]).await, &domain, Some(over(&late)));
    world.pass(Duration::from_secs(1)).await;
    accepted(&first, "three.zone-b.cn").await;
}

#[tokio::test]
async fn an_application_that_comes_to_nothing_frees_both_counts() {
    let world = with_quota(1, 1).await;
    let (customer, client) = buyer(&world, CustomerKind::Individual, Tier::Standard).await;
    let full = ["1 of 1 free certificates are in use, and 1 of 1"];
    let free = async || {
        assert_eq!(quota(&world, &customer).await.usage.any.used, 0);
        assert_eq!(domain_used(&world, "zone.cn").await, 0);
    };
    for how in ["given up", "failed validation", "expired", "failed at issuing"] {
        println!("section 27: {how}");
        let (order, authz) = match how {
            "failed at issuing" => {
                let (order, object) = world.ready_order(&client, &["d.zone.cn"]).await;
                (order, object["authorizations"][0].as_str().unwrap().to_owned())
            }
            _ => {
                let placed = client.new_order(&["a.zone.cn"]).await.expect(201);
                (placed.location().to_owned(), placed.json()["authorizations"][0].as_str().unwrap().to_owned())
            }
        };
        let end = look(&client, &order).await["expires"].as_str().map(|end| Timestamp::parse_rfc3339(end).unwrap());
        refused(&world, &client.new_order(&["b.zone.cn"]).await, &full, end);
        match how {
            "given up" => drop(client.post(&authz, &json!({ "status": "deactivated" })).await.expect(200)),
            "failed validation" => {
                let offer = challenge(&look(&client, &authz).await, "http-01");
                world.web.serve(offer["token"].as_str().unwrap(), "something else");
                client.respond(&offer).await.expect(200);
            }
            "expired" => world.pass(3 * DAY).await,
            _ => {
                // CAA is looked at again after eight hours, and forbids it by then.
                world.pass(9 * HOUR).await;
                world.dns.caa("zone.cn", 0, "issue", "other.ca");
                let object = look(&client, &order).await;
                client.finalize(&object, &csr(&["d.zone.cn"]).0).await.expect(200);
                world.pass(HOUR).await;
            }
        }
        assert_eq!(look(&client, &order).await["status"], "invalid");
        free().await;
    }
}

#[tokio::test]
async fn an_identical_request_keeps_its_slot() {
    let world = with_quota(1, 1).await;
    let (customer, client) = buyer(&world, CustomerKind::Individual, Tier::Standard).await;
    let order = accepted(&client, "zone.cn").await;
    for after in [Duration::ZERO, DAY, 2 * DAY - HOUR / 2] {
        // In its last half hour too, when another order would be of more use if the quota had room for two.
        world.pass(after).await;
        assert_eq!(accepted(&client, "zone.cn").await, order);
        assert_eq!(quota(&world, &customer).await.usage.any.used, 1);
        assert_eq!(domain_used(&world, "zone.cn").await, 1);
    }
    world.pass(HOUR).await;
    assert_ne!(accepted(&client, "zone.cn").await, order);
    assert_eq!(quota(&world, &customer).await.usage.any.used, 1);
}

#[tokio::test]
async fn a_reissue_takes_no_slot_and_keeps_that_of_its_original() {
    let world = with_quota(1, 1).await;
    let (customer, client) = buyer(&world, CustomerKind::Individual, Tier::Standard).await;
    let (_, order) = world.ready_order(&client, &["zone.cn"]).await;
    let (request, key) = csr(&["zone.cn"]);
    let done = client.finalize(&order, &request).await.expect(200).json();
    let original = leaf(&client.certificate(&done).await);
    // QUOTA-14: the quota is used up, and a reissue is had all the same.
    let reissue = order_of(&["zone.cn"], json!({ "replaces": cert_id(&original) }));
    let placed = client.new_order_of(reissue).await.expect(201);
    let again = finish(&world, &client, placed.location(), "zone.cn").await;
    assert_eq!(over(&again), over(&original));
    assert_eq!(quota(&world, &customer).await.usage.any.used, 1);
    let full = ["1 of 1 free certificates are in use"];
    refused(&world, &client.new_order(&["zone-b.cn"]).await, &full, Some(over(&original)));
    // One slot stands for both, so it stays for as long as one of them is good.
    client.revoke_with(&key, &original, Some(1)).await.expect(200);
    refused(&world, &client.new_order(&["zone-b.cn"]).await, &full, Some(over(&original)));
    client.revoke(&again, None).await.expect(200);
    accepted(&client, "zone-b.cn").await;
    assert_eq!((domain_used(&world, "zone.cn").await, domain_used(&world, "zone-b.cn").await), (1, 1));
}

/// Carries an order through to its certificate, DER.
async fn finish(world: &World, client: &Client, order: &str, name: &str) -> Vec<u8> {
    world.web.serve_any(&client.thumbprint());
    let object = look(client, order).await;
    for authz in client.authorizations(&object).await {
        if authz["status"] == "pending" {
            world.prove(client, &authz).await.expect(200);
        }
    }
    let done = client.finalize(&object, &csr(&[name]).0).await.expect(200).json();
    assert_eq!(done["status"], "valid", "{done}");
    leaf(&client.certificate(&done).await)
}

#[tokio::test]
async fn an_open_reissue_ends_with_its_original() {
    let world = with_quota(1, 2).await;
    let (customer, client) = buyer(&world, CustomerKind::Individual, Tier::Standard).await;
    let original = issued(&world, &client, "zone.cn").await;
    let placed =
        client.new_order_of(order_of(&["zone.cn"], json!({ "replaces": cert_id(&original) }))).await.expect(201);
    client.revoke(&original, None).await.expect(200);
    // QUOTA-05: the slot is free at once, and somebody has it.
    accepted(&client, "zone-b.cn").await;
    let object = look(&client, placed.location()).await;
    for authz in client.authorizations(&object).await {
        world.prove(&client, &authz).await.ok();
    }
    client.finalize(&object, &csr(&["zone.cn"]).0).await.expect(200);
    world.pass(HOUR).await;
    assert_eq!(look(&client, placed.location()).await["status"], "invalid");
    assert_eq!(quota(&world, &customer).await.usage.any.used, 1);
}

#[tokio::test]
async fn a_reapplication_takes_another_slot() {
    let world = with_quota(1, 2).await;
    let (customer, client) = buyer(&world, CustomerKind::Individual, Tier::Standard).await;
    let old = issued(&world, &client, "zone.cn").await;
    // QUOTA-14, X-06: in the window it is an application of its own, whatever it replaces.
    world.pass(over(&old).since(world.now()) - 10 * DAY).await;
    for further in [json!({}), json!({ "replaces": cert_id(&old) })] {
        let answer = client.new_order_of(order_of(&["zone.cn"], further)).await;
        refused(&world, &answer, &["1 of 1 free certificates are in use"], Some(over(&old)));
    }
    world.pass(10 * DAY).await;
    issued(&world, &client, "zone.cn").await;
    assert_eq!(quota(&world, &customer).await.usage.any.used, 1);
    refused(&world, &client.new_order(&["zone-b.cn"]).await, &["1 of 1"], Some(world.now() + 365 * DAY - HOUR));
}

#[tokio::test]
async fn accounts_without_a_customer_have_a_quota_each() {
    let world = with_quota(1, 20).await;
    for _ in 0..2 {
        let client = world.client().await;
        accepted(&client, "one.zone.cn").await;
        let end = Some(world.now() + 3 * DAY);
        refused(&world, &client.new_order(&["two.zone.cn"]).await, &["1 of 1", "QUOTA-01"], end);
    }
}

#[tokio::test]
async fn a_package_serves_when_the_quota_is_used_up() {
    let world = with_quota(1, 20).await;
    let (customer, client) = buyer(&world, CustomerKind::Individual, Tier::Standard).await;
    let holder = Holder::Customer(customer.clone());
    world.ra().grant_package(&holder, 2, Some(30)).await.unwrap();
    let left = async || quota(&world, &customer).await.usage.packages.left;
    // QUOTA-07: the quota first.
    let der = issued(&world, &client, "one.zone.cn").await;
    assert_eq!(left().await, 2);
    // An order that comes to nothing gives its place back.
    let order = client.new_order(&["two.zone.cn"]).await.expect(201).json();
    assert_eq!(left().await, 1);
    client.post(order["authorizations"][0].as_str().unwrap(), &json!({ "status": "deactivated" })).await.expect(200);
    assert_eq!(left().await, 2);
    // A certificate uses its place up, revoked or not.
    let packaged = issued(&world, &client, "two.zone.cn").await;
    client.revoke(&packaged, None).await.expect(200);
    assert_eq!(left().await, 1);
    accepted(&client, "three.zone.cn").await;
    // The place that an unfinished order holds is the first to return.
    refused(&world, &client.new_order(&["four.zone.cn"]).await, &["1 of 1"], Some(world.now() + 3 * DAY));
    // The quota first, also when it has room again.
    client.revoke(&der, None).await.expect(200);
    accepted(&client, "five.zone.cn").await;
    assert_eq!((left().await, quota(&world, &customer).await.usage.any.used), (0, 1));
    // QUOTA-02 holds for certificates from packages too.
    assert_eq!(domain_used(&world, "zone.cn").await, 4);
    world.pass(3 * DAY).await;
    assert_eq!(left().await, 1);
    issued(&world, &client, "six.zone.cn").await;
    // What is left lapses.
    world.pass(27 * DAY).await;
    assert_eq!(left().await, 0);
    let end = over(&issued_last(&world, &customer).await);
    refused(&world, &client.new_order(&["seven.zone.cn"]).await, &["1 of 1"], Some(end));
}

/// The certificate of the only slot that a customer uses, DER.
async fn issued_last(world: &World, customer: &CustomerId) -> Vec<u8> {
    let order = quota(world, customer).await.ledger.slots[0].order.clone();
    let all = world.ra().certificates(None, 100).await.unwrap();
    all.into_iter().find(|certificate| certificate.order == order).unwrap().der
}

#[tokio::test]
async fn a_package_whose_certificates_are_used_up_stays_so() {
    let world = with_quota(0, 20).await;
    let (customer, client) = buyer(&world, CustomerKind::Individual, Tier::Standard).await;
    refused(&world, &client.new_order(&["zone.cn"]).await, &["0 of 0", "QUOTA-01"], None);
    world.ra().grant_package(&Holder::Customer(customer.clone()), 2, None).await.unwrap();
    for name in ["a.zone.cn", "b.zone.cn"] {
        issued(&world, &client, name).await;
    }
    // QUOTA-07: used up, not lent.
    world.pass(400 * DAY).await;
    assert_eq!(quota(&world, &customer).await.usage.packages.left, 0);
    refused(&world, &client.new_order(&["c.zone.cn"]).await, &["0 of 0", "QUOTA-01"], None);
}

#[tokio::test]
async fn certificates_issued_elsewhere_count_on_their_domain() {
    let world = with_quota(20, 3).await;
    let (_, client) = buyer(&world, CustomerKind::Individual, Tier::Standard).await;
    let elsewhere = |count, after: Duration| Elsewhere {
        count,
        not_after: (world.now() + after).whole_second(),
        note: "another seller".to_owned(),
    };
    // QUOTA-04
    world.ra().count_elsewhere("zone.cn", elsewhere(1, 10 * DAY)).await.unwrap();
    world.ra().count_elsewhere("zone.cn", elsewhere(2, 20 * DAY)).await.unwrap();
    let end = world.now() + 10 * DAY + Duration::from_secs(1);
    let told = ["3 of 3 free certificates of \"zone.cn\" (3 of them issued elsewhere, QUOTA-04)", "QUOTA-02"];
    refused(&world, &client.new_order(&["www.zone.cn"]).await, &told, Some(end));
    accepted(&client, "zone-b.cn").await;
    world.pass(end.since(world.now())).await;
    accepted(&client, "www.zone.cn").await;
    let told = ["3 of 3", "(2 of them issued elsewhere"];
    refused(&world, &client.new_order(&["a.zone.cn"]).await, &told, Some(world.now() + 3 * DAY));
    world.ra().forget_elsewhere("zone.cn").await.unwrap();
    accepted(&client, "a.zone.cn").await;
    assert_eq!(domain_used(&world, "zone.cn").await, 2);
}

#[tokio::test]
async fn only_free_certificates_have_a_quota() {
    let private = "[[products]]\nid = \"inside\"\ntitle = \"Private\"\nissuer = \"chancery\"\nnames = { max = 5 }\n\
        keys = [\"p-256\"]\nmethods = [\"http-01\"]\nvalidity_days = 90\n\n";
    let free = "[[products]]\nid = \"trustasia-dv-free\"";
    let world = World::documented_but(&[(SHIPPED, &figures(1, 1)), (free, &format!("{private}{free}"))]).await;
    let (customer, client) = buyer(&world, CustomerKind::Individual, Tier::Standard).await;
    accepted(&client, "zone.cn").await;
    for n in 0..3 {
        // QUOTA-16
        world.buy(&customer, "trustasia-dv-multi", 1, 1).await;
        for profile in ["trustasia-dv-multi", "inside"] {
            let order = order_of(&[&format!("h{n}.zone.cn")], json!({ "profile": profile }));
            assert_eq!(client.new_order_of(order).await.expect(201).json()["profile"], profile);
        }
    }
    assert_eq!((quota(&world, &customer).await.usage.any.used, domain_used(&world, "zone.cn").await), (1, 1));
    let both = client.new_order_of(order_of(&["a.zone.cn"], json!({ "profile": "trustasia-dv-free" }))).await;
    refused(&world, &both, &["1 of 1"], Some(world.now() + 3 * DAY));
}

#[tokio::test]
async fn the_names_of_a_free_order_are_of_one_primary_domain() {
    let world = with_quota(20, 20).await;
    let (customer, client) = buyer(&world, CustomerKind::Individual, Tier::Standard).await;
    for (rule, names, primary) in [
        ("SAN-01", &["zone.cn", "www.zone.cn"][..], Some("zone.cn")),
        ("SAN-02", &["a.b.zone.com.cn", "b.zone.com.cn"], Some("zone.com.cn")),
        ("QUOTA-03", &["one.zone.cn", "two.zone.cn"], None),
        ("CAT-07", &["zone-a.cn", "zone-b.cn"], None),
        ("CAT-07", &["www.zone-a.cn", "zone-b.cn"], None),
        // The parent is a public suffix: others are at home there.
        ("DOM-15", &["zone.com.cn", "com.cn"], None),
        ("DOM-15", &["mine.github.io", "github.io"], None),
    ] {
        let before = quota(&world, &customer).await.usage.any.used;
        let answer = client.new_order(names).await;
        let Some(primary) = primary else {
            assert_eq!(answer.status, 400, "{rule}: {answer}");
            assert_eq!(quota(&world, &customer).await.usage.any.used, before, "{rule}");
            continue;
        };
        answer.expect(201);
        let slots = quota(&world, &customer).await.ledger.slots;
        assert_eq!((slots.len() as u32, &*slots.last().unwrap().domain), (before + 1, primary), "{rule}");
    }
}

#[tokio::test]
async fn a_clock_that_is_set_back_gives_nobody_more_than_the_quota() {
    let world = with_quota(1, 1).await;
    let (customer, client) = buyer(&world, CustomerKind::Individual, Tier::Standard).await;
    let (order, object) = world.ready_order(&client, &["a.zone.cn"]).await;
    world.pass(4 * DAY).await;
    // Its slot is another's now.
    issued(&world, &client, "b.zone.cn").await;
    let back = u64::try_from((4 * DAY).as_millis()).unwrap();
    world.clock.advance(Duration::from_millis(back.wrapping_neg()));
    assert_eq!(look(&client, &order).await["status"], "ready");
    client.finalize(&object, &csr(&["a.zone.cn"]).0).await.expect(200);
    world.pass(Duration::from_secs(60)).await;
    let ended = look(&client, &order).await;
    assert_eq!(ended["status"], "invalid", "{ended}");
    has_parts(ended["error"]["detail"].as_str().unwrap(), &["slot of the quota went to another", "QUOTA-01"]);
    assert_eq!(quota(&world, &customer).await.usage.any.used, 1);
    assert!(url(&ended, "finalize").starts_with(BASE));
}
