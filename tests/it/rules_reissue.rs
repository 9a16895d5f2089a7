//! The rules of reissues (family REISSUE) and of what follows a certificate: which of both an order is, what it may change,
//! what it costs, and which key it may have (CSR-04, CSR-13 to CSR-15).

use chancery::domain::Timestamp;
use chancery::domain::account::Holder;
use chancery::domain::customer::CustomerKind;
use chancery::domain::{AccountId, CustomerId};
use rcgen::KeyPair;
use serde_json::{Value, json};

use crate::acme_tools::{DAY, HOUR, has_parts, look, problem};
use crate::rules_tools::{Issued, SECOND, dated, issue, issue_for, make_ready, of, place, with};
use crate::support::client::{Client, challenge, csr_with};
use crate::support::world::World;

const FREE: &str = "trustasia-dv-free";
const MULTI: &str = "trustasia-dv-multi";
const NAMES: [&str; 2] = ["shop.zone-one.cn", "mail.zone-one.cn"];

/// A customer with one purchase for two names, and their client.
async fn buyer(world: &World) -> (CustomerId, Client) {
    let customer = world.customer(CustomerKind::Individual).await;
    world.buy(&customer, MULTI, 2, 1).await;
    let client = world.client_of(&customer).await;
    (customer, client)
}

fn replacing(made: &Issued) -> Value {
    json!({ "replaces": made.id() })
}

async fn pass_to(world: &World, moment: Timestamp) {
    world.pass(moment.since(world.now())).await;
}

/// Free certificates that count for an unbound client's account.
async fn slots(world: &World, client: &Client) -> u32 {
    let account: AccountId = client.kid().rsplit('/').next().unwrap().parse().unwrap();
    let view = world.ra().quota_of(&Holder::Account(account)).await.unwrap();
    view.usage.any.used
}

#[tokio::test]
async fn the_same_names_of_a_paid_product_are_a_reissue_with_the_same_end_that_costs_nothing() {
    let world = World::documented().await;
    let (_, client) = buyer(&world).await;
    let mut newest = issue(&world, &client, &NAMES, of(MULTI)).await;
    let last = newest.last;
    let backwards = [NAMES[1], NAMES[0]];
    // Design decision 6, REISSUE-05, REISSUE-07: told or not, and up to the last moment of REISSUE-01.
    for (rule, names, told, moment) in [
        ("REISSUE-05", NAMES, false, world.now() + DAY),
        ("REISSUE-05", backwards, false, world.now() + 100 * DAY),
        ("REISSUE-07", NAMES, true, world.now() + 200 * DAY),
        ("REISSUE-01", NAMES, false, last - 30 * DAY - SECOND),
    ] {
        pass_to(&world, moment).await;
        let further = if told { with(of(MULTI), replacing(&newest)) } else { json!({}) };
        let again = issue(&world, &client, &names, further).await;
        assert_eq!((again.last, &again.order["profile"]), (last, &json!(MULTI)), "{rule}");
        assert_ne!(again.der, newest.der);
        newest = again;
    }
    // REISSUE-01, RENEW-02: with 30 days left it is a renewal, which costs.
    pass_to(&world, last - 30 * DAY).await;
    for further in [of(MULTI), json!({}), with(of(MULTI), replacing(&newest))] {
        let refused = place(&client, &NAMES, further).await.expect_problem(403, "userActionRequired");
        has_parts(&refused, &["732.00 USD", MULTI, "BUY-03"]);
    }
    // An application of its own costs too (REISSUE-07).
    let other = ["a.zone-one.cn", "b.zone-one.cn"];
    place(&client, &other, of(MULTI)).await.expect_problem(403, "userActionRequired");
}

#[tokio::test]
async fn a_renewal_uses_a_purchase_that_was_made_for_it() {
    let world = World::documented().await;
    let (customer, client) = buyer(&world).await;
    let old = issue(&world, &client, &NAMES, of(MULTI)).await;
    pass_to(&world, old.last - 30 * DAY).await;
    world.buy(&customer, MULTI, 2, 1).await;
    // RENEW-02, told or not it is one renewal: what follows is a reissue of the new certificate.
    let new = issue(&world, &client, &NAMES, json!({})).await;
    assert_eq!(new.life(), 398 * DAY);
    let named_late = issue(&world, &client, &NAMES, replacing(&old)).await;
    assert_eq!(named_late.last, new.last);
    assert!(world.ra().purchases(Some(&customer), None, 9).await.unwrap().iter().all(|p| p.purchase.terms.len() == 1));
}

#[tokio::test]
async fn a_reissue_or_renewal_keeps_its_names() {
    let world = World::documented().await;
    let (_, client) = buyer(&world).await;
    let old = issue(&world, &client, &NAMES, of(MULTI)).await;
    let more = [NAMES[0], NAMES[1], "a.zone-one.cn"];
    let others = [NAMES[0], "a.zone-one.cn"];
    for (rule, left) in [("REISSUE-06", 300), ("DOM-13", 10)] {
        pass_to(&world, old.last - left * DAY).await;
        for names in [&more[..], &others, &NAMES[..1]] {
            let refused = place(&client, names, with(of(MULTI), replacing(&old))).await;
            has_parts(&refused.expect_problem(400, "malformed"), &[rule, "leave out \"replaces\"", NAMES[1]]);
        }
        // DOM-12: without it, they are an application of their own, for which nothing was bought.
        place(&client, &others, of(MULTI)).await.expect_problem(403, "userActionRequired");
    }
    // As another product they are one too, whatever is replaced.
    place(&client, &NAMES[..1], with(of(FREE), replacing(&old))).await.expect(201);
}

#[tokio::test]
async fn a_setting_lets_a_reissue_have_other_names_but_no_more_than_were_bought() {
    //
    let change = ("reissue_may_change_domains = false", "reissue_may_change_domains = true");
    let world = World::documented_but(&[change]).await;
    let (_, client) = buyer(&world).await;
    let old = issue(&world, &client, &NAMES, of(MULTI)).await;
    world.pass(DAY).await;
    let more = [NAMES[0], NAMES[1], "a.zone-one.cn"];
    let refused = place(&client, &more, with(of(MULTI), replacing(&old))).await;
    has_parts(&refused.expect_problem(400, "invalidProfile"), &["covers 2 chargeable names", "3 were given", "BUY-05"]);
    let others = [NAMES[0], "a.zone-one.cn"];
    let new = issue(&world, &client, &others, with(of(MULTI), replacing(&old))).await;
    assert_eq!(new.last, old.last);
    // DOM-13: not a renewal.
    pass_to(&world, new.last - 10 * DAY).await;
    let refused = place(&client, &NAMES, with(of(MULTI), replacing(&new))).await;
    has_parts(&refused.expect_problem(400, "malformed"), &["DOM-13"]);
}

#[tokio::test]
async fn a_free_certificate_is_reissued_once_and_then_applied_for_anew() {
    let world = World::documented().await;
    let client = world.client().await;
    let names = ["a.zone-one.cn"];
    let first = issue(&world, &client, &names, json!({})).await;
    world.pass(40 * DAY).await;
    // REISSUE-02, QUOTA-14: no further slot.
    let again = issue(&world, &client, &names, replacing(&first)).await;
    assert_eq!((again.last, slots(&world, &client).await), (first.last, 1));
    let refused = place(&client, &names, replacing(&again)).await;
    has_parts(&refused.expect_problem(429, "rateLimited"), &["REISSUE-02", "can be reissued once"]);
    assert_eq!(refused.header("retry-after"), None);
    place(&client, &names, replacing(&first)).await.expect_problem(409, "alreadyReplaced");
    // REISSUE-06
    let refused = place(&client, &["b.zone-one.cn", names[0]], replacing(&again)).await;
    refused.expect_problem(400, "malformed");
    // RENEW-10, QUOTA-14: without it, a new application with a slot and a year of its own.
    let new = issue(&world, &client, &names, json!({})).await;
    assert_eq!((new.life(), slots(&world, &client).await), (365 * DAY, 2));
    assert!(new.last > first.last);
}

#[tokio::test]
async fn a_free_certificate_is_applied_for_anew_in_its_last_30_days() {
    let world = World::documented().await;
    let client = world.client().await;
    // RENEW-03, RENEW-10, RENEW-11: to the second, named or not.
    for (name, left, slots_after, anew) in [
        ("a.zone-one.cn", 30 * DAY + SECOND, 1, false),
        ("b.zone-one.cn", 30 * DAY, 2, true),
        ("c.zone-one.cn", HOUR, 2, true),
    ] {
        let client_of_name = if name == "a.zone-one.cn" { client.clone() } else { world.client().await };
        let first = issue(&world, &client_of_name, &[name], json!({})).await;
        pass_to(&world, first.last - left).await;
        let now = world.now();
        let second = issue(&world, &client_of_name, &[name], replacing(&first)).await;
        let last = if anew { now - HOUR + 365 * DAY - SECOND } else { first.last };
        assert_eq!((second.last, slots(&world, &client_of_name).await), (last, slots_after), "{name}");
    }
}

#[tokio::test]
async fn what_is_revoked_within_its_paid_year_is_reissued_until_the_end_of_it() {
    let world = World::documented().await;
    let (_, client) = buyer(&world).await;
    let first = issue(&world, &client, &NAMES, of(MULTI)).await;
    // REISSUE-16: a compromised key is a ground; twice, each time from the newest, named or not.
    let mut newest = first;
    let last = newest.last;
    for named in [false, true] {
        world.pass(50 * DAY).await;
        client.revoke(&newest.der, Some(1)).await.expect(200);
        let further = if named { with(of(MULTI), replacing(&newest)) } else { json!({}) };
        let again = issue(&world, &client, &NAMES, further).await;
        assert_eq!((again.last, &again.order["profile"]), (last, &json!(MULTI)));
        newest = again;
    }
    // Other names are a new application, also if they name what was revoked.
    client.revoke(&newest.der, Some(4)).await.expect(200);
    let others = [NAMES[0], "a.zone-one.cn"];
    place(&client, &others, with(of(MULTI), replacing(&newest))).await.expect_problem(403, "userActionRequired");
    // In the last 30 days the next year is due, revoked or not.
    pass_to(&world, last - 20 * DAY).await;
    place(&client, &NAMES, of(MULTI)).await.expect_problem(403, "userActionRequired");
}

#[tokio::test]
async fn a_reissue_that_is_open_while_its_original_is_revoked_is_carried_out() {
    let world = World::documented().await;
    let (_, client) = buyer(&world).await;
    let first = issue(&world, &client, &NAMES, of(MULTI)).await;
    let placed = place(&client, &NAMES, of(MULTI)).await.expect(201);
    let (url, order) = make_ready(&world, &client, &placed).await;
    client.revoke(&first.der, Some(1)).await.expect(200);
    client.finalize(&order, &csr_with(&KeyPair::generate().unwrap(), &NAMES)).await.expect(200);
    assert_eq!(look(&client, &url).await["status"], "valid");
    // QUOTA-05: a free one gave its slot back with its revocation.
    let free = issue(&world, &client, &["a.zone-two.cn"], of(FREE)).await;
    let placed = place(&client, &["a.zone-two.cn"], with(of(FREE), replacing(&free))).await.expect(201);
    let (url, order) = make_ready(&world, &client, &placed).await;
    client.revoke(&free.der, Some(1)).await.expect(200);
    client.finalize(&order, &csr_with(&KeyPair::generate().unwrap(), &["a.zone-two.cn"])).await.expect(200);
    problem(&look(&client, &url).await["error"], "malformed", &["was revoked", "place a new order"]);
}

#[tokio::test]
async fn a_revoked_free_certificate_is_applied_for_anew() {
    let world = World::documented().await;
    let client = world.client().await;
    let names = ["a.zone-one.cn"];
    let first = issue(&world, &client, &names, json!({})).await;
    world.pass(40 * DAY).await;
    client.revoke(&first.der, Some(1)).await.expect(200);
    let second = issue(&world, &client, &names, replacing(&first)).await;
    // QUOTA-05: of two, one counts.
    assert_eq!((second.life(), slots(&world, &client).await), (365 * DAY, 1));
}

#[tokio::test]
async fn a_reissue_may_end_earlier_and_takes_nothing_of_the_year_away() {
    let world = World::documented().await;
    let (_, client) = buyer(&world).await;
    let first = issue(&world, &client, &NAMES, of(MULTI)).await;
    let end = world.now() + 15 * DAY;
    let brief = issue(&world, &client, &NAMES, with(of(MULTI), dated(None, Some(end)))).await;
    assert_eq!(brief.last, end);
    // REISSUE-05: not later than the original.
    let beyond = with(of(MULTI), dated(None, Some(first.last + SECOND)));
    let refused = place(&client, &NAMES, beyond).await.expect_problem(400, "malformed");
    has_parts(&refused, &["REISSUE-05", &first.last.to_string()]);
    world.pass(10 * DAY).await;
    let again = issue(&world, &client, &NAMES, json!({})).await;
    assert_eq!(again.last, first.last);
}

#[tokio::test]
async fn who_asks_for_an_early_end_of_a_new_certificate_has_it_renewed_in_its_last_30_days() {
    let world = World::documented().await;
    let (customer, client) = buyer(&world).await;
    let end = world.now() + 20 * DAY;
    issue(&world, &client, &NAMES, with(of(MULTI), dated(None, Some(end)))).await;
    place(&client, &NAMES, of(MULTI)).await.expect_problem(403, "userActionRequired");
    world.buy(&customer, MULTI, 2, 1).await;
    let renewed = issue(&world, &client, &NAMES, of(MULTI)).await;
    assert_eq!(renewed.life(), 398 * DAY);
}

#[tokio::test]
async fn another_account_of_the_same_customer_reissues_and_another_customer_buys() {
    let world = World::documented().await;
    let (customer, client) = buyer(&world).await;
    let first = issue(&world, &client, &NAMES, of(MULTI)).await;
    world.pass(DAY).await;
    let second = world.client_of(&customer).await;
    assert_eq!(issue(&world, &second, &NAMES, json!({})).await.last, first.last);
    let (_, stranger) = buyer(&world).await;
    let theirs = issue(&world, &stranger, &NAMES, json!({})).await;
    assert!(theirs.last > first.last);
}

#[tokio::test]
async fn a_free_reissue_is_validated_by_the_method_of_the_first_application() {
    let world = World::documented().await;
    let client = world.client().await;
    // REISSUE-15
    for (name, method) in [("a.zone-one.cn", "http-01"), ("b.zone-two.cn", "dns-01")] {
        let placed = place(&client, &[name], json!({})).await.expect(201);
        let authz = client.authorizations(&placed.json()).await.remove(0);
        assert_eq!(authz["challenges"].as_array().unwrap().len(), 2, "VAL-04");
        let offer = challenge(&authz, method);
        let proof = client.key_authorization(offer["token"].as_str().unwrap());
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, proof.as_bytes());
        world.dns.txt(&format!("_acme-challenge.{name}"), &crate::support::signer::b64(digest));
        client.respond(&offer).await.expect(200);
        let order = look(&client, placed.location()).await;
        let done = client.finalize(&order, &csr_with(&KeyPair::generate().unwrap(), &[name])).await.expect(200).json();
        let first = crate::rules_tools::issued(&client, done).await;
        let placed = place(&client, &[name], replacing(&first)).await.expect(201);
        let authz = client.authorizations(&placed.json()).await.remove(0);
        let offered: Vec<&str> =
            authz["challenges"].as_array().unwrap().iter().map(|offer| offer["type"].as_str().unwrap()).collect();
        assert_eq!((&authz["status"], &offered[..]), (&json!("pending"), &[method][..]));
        // What is applied for anew has the choice again (RENEW-11).
        let placed = place(&client, &[name], json!({})).await.expect(201);
        let authz = client.authorizations(&placed.json()).await.remove(0);
        assert_eq!(authz["challenges"].as_array().unwrap().len(), 2, "{authz}");
    }
}

/// A CSR for an order of these names, with this key: the answer.
async fn finalize(
    world: &World,
    client: &Client,
    names: &[&str],
    further: Value,
    key: &KeyPair,
) -> crate::support::client::Response {
    let placed = place(client, names, further).await.expect(201);
    let (_, order) = make_ready(world, client, &placed).await;
    client.finalize(&order, &csr_with(key, names)).await
}

#[tokio::test]
async fn a_key_serves_one_order_unless_the_same_customer_follows_up_the_same_names() {
    let world = World::documented().await;
    let (customer, client) = buyer(&world).await;
    let colleague = world.client_of(&customer).await;
    let (_, stranger) = buyer(&world).await;
    let key = KeyPair::generate().unwrap();
    let first = issue_for(&world, &client, &NAMES, of(MULTI), &key).await;
    // Refused; the order stays ready, and a new key is taken.
    for (who, names, product) in [
        (&client, &NAMES[..1], FREE),
        (&client, &["a.zone-two.cn"][..], FREE),
        (&colleague, &["b.zone-two.cn"], FREE),
        (&stranger, &NAMES, MULTI),
        (&stranger, &NAMES[..1], FREE),
    ] {
        let refused = finalize(&world, who, names, of(product), &key).await;
        has_parts(&refused.expect_problem(400, "badCSR"), &["This CSR already served", "CSR-04", "DIAG-19"]);
        let order = first.order["finalize"].as_str().unwrap().rsplit('/').nth(1).unwrap().to_owned();
        let theirs = who.account == stranger.account;
        assert_eq!(refused.json()["detail"].as_str().unwrap().contains(&order), !theirs, "{refused}");
        finalize(&world, who, names, of(product), &KeyPair::generate().unwrap()).await.expect(200);
    }
    // CSR-15, CSR-14, design decision 4: reissue, by any account of the customer; renewal.
    issue_for(&world, &client, &NAMES, of(MULTI), &key).await;
    issue_for(&world, &colleague, &NAMES, of(MULTI), &key).await;
    pass_to(&world, first.last - 5 * DAY).await;
    world.buy(&customer, MULTI, 2, 1).await;
    issue_for(&world, &client, &NAMES, of(MULTI), &key).await;
    // A free certificate is applied for anew with it too.
    let key = KeyPair::generate().unwrap();
    for _ in 0..2 {
        issue_for(&world, &client, &["c.zone-two.cn"], of(FREE), &key).await;
    }
}

#[tokio::test]
async fn settings_say_whose_key_may_be_kept() {
    for (rule, change, reissue, renewal, other) in [
        ("X-10", ("csr_reuse_on_reissue = true", "csr_reuse_on_reissue = false"), 400, 200, 400),
        ("CSR-13", ("csr_reuse_on_auto_renew = true", "csr_reuse_on_auto_renew = false"), 200, 400, 400),
        ("CSR-04", ("csr_unique_per_order = true", "csr_unique_per_order = false"), 200, 200, 200),
    ] {
        let world = World::documented_but(&[change]).await;
        let (customer, client) = buyer(&world).await;
        let key = KeyPair::generate().unwrap();
        let first = issue_for(&world, &client, &NAMES, of(MULTI), &key).await;
        let answer = finalize(&world, &client, &NAMES, of(MULTI), &key).await;
        assert_eq!(answer.status, reissue, "{rule}: {answer}");
        let answer = finalize(&world, &client, &["a.zone-two.cn"], of(FREE), &key).await;
        assert_eq!(answer.status, other, "{rule}: {answer}");
        pass_to(&world, first.last - 5 * DAY).await;
        world.buy(&customer, MULTI, 2, 1).await;
        let answer = finalize(&world, &client, &NAMES, of(MULTI), &key).await;
        assert_eq!(answer.status, renewal, "{rule}: {answer}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_orders_finalized_at_once_with_one_key_one_is_certified() {
    // The answer to finalize does not wait, so that both are accepted before either is signed.
    let world = World::documented_with(|config| config.acme.finalize_wait_ms = 0).await;
    let client = world.client().await;
    for round in 0..6 {
        let key = KeyPair::generate().unwrap();
        let names = [format!("a{round}.zone-one.cn"), format!("b{round}.zone-one.cn")];
        let mut orders = Vec::new();
        for name in &names {
            let placed = place(&client, &[name], json!({})).await.expect(201);
            orders.push(make_ready(&world, &client, &placed).await);
        }
        let csrs = names.each_ref().map(|name| csr_with(&key, &[name]));
        let (one, two) = tokio::join!(client.finalize(&orders[0].1, &csrs[0]), client.finalize(&orders[1].1, &csrs[1]));
        world.pass(std::time::Duration::ZERO).await;
        let mut valid = 0;
        for (answer, (url, _)) in [&one, &two].into_iter().zip(&orders) {
            let order = look(&client, url).await;
            match order["status"].as_str().unwrap() {
                "valid" => valid += 1,
                "invalid" => problem(&order["error"], "badCSR", &["CSR-04"]),
                // It came too late to be accepted at all.
                _ => has_parts(&answer.expect_problem(400, "badCSR"), &["CSR-04"]),
            }
        }
        assert_eq!(valid, 1, "round {round}: {one} {two}");
    }
}

#[tokio::test]
async fn one_reissue_runs_at_a_time_in_a_primary_domain() {
    let world = World::documented().await;
    let client = world.client().await;
    let first = issue(&world, &client, &["a.zone-one.cn"], of(FREE)).await;
    let sibling = issue(&world, &client, &["b.zone-one.cn"], of(FREE)).await;
    let elsewhere = issue(&world, &client, &["a.zone-two.cn"], of(FREE)).await;
    let open = place(&client, &["a.zone-one.cn"], replacing(&first)).await.expect(201);
    let id = open.location().rsplit('/').next().unwrap().to_owned();
    // REISSUE-03: certificates of sibling names wait, and are told for what.
    let refused = place(&client, &["b.zone-one.cn"], replacing(&sibling)).await;
    has_parts(&refused.expect_problem(429, "rateLimited"), &[&id, "zone-one.cn", "is running", "REISSUE-03"]);
    assert!(refused.header("retry-after").is_some());
    // REISSUE-04: the same again is the same order.
    assert_eq!(place(&client, &["a.zone-one.cn"], replacing(&first)).await.location(), open.location());
    // Another domain, another holder and a new application don't wait.
    place(&client, &["a.zone-two.cn"], replacing(&elsewhere)).await.expect(201);
    place(&client, &["c.zone-one.cn"], of(FREE)).await.expect(201);
    let other = world.client().await;
    let theirs = issue(&world, &other, &["d.zone-one.cn"], of(FREE)).await;
    place(&other, &["d.zone-one.cn"], replacing(&theirs)).await.expect(201);
    // It is given up, or issued, or over: then the next may follow.
    let authz = open.json()["authorizations"][0].as_str().unwrap().to_owned();
    client.post(&authz, &json!({ "status": "deactivated" })).await.expect(200);
    let next = place(&client, &["b.zone-one.cn"], replacing(&sibling)).await.expect(201);
    place(&client, &["a.zone-one.cn"], replacing(&first)).await.expect_problem(429, "rateLimited");
    let (_, order) = make_ready(&world, &client, &next).await;
    client.finalize(&order, &csr_with(&KeyPair::generate().unwrap(), &["b.zone-one.cn"])).await.expect(200);
    place(&client, &["a.zone-one.cn"], replacing(&first)).await.expect(201);
    world.pass(4 * DAY).await;
    place(&client, &["a.zone-two.cn"], replacing(&elsewhere)).await.expect(201);
}

#[tokio::test]
async fn a_certificate_that_is_being_reissued_is_not_reissued_again_and_its_order_says_so() {
    let world = World::documented().await;
    let (customer, client) = buyer(&world).await;
    let made = issue(&world, &client, &NAMES, of(MULTI)).await;
    world.pass(DAY).await;
    let open = place(&client, &NAMES, of(MULTI)).await.expect(201);
    // REISSUE-04, by another account and with other dates too.
    let second = world.client_of(&customer).await;
    let shorter = with(of(MULTI), dated(None, Some(made.last - 90 * DAY)));
    for refused in [place(&second, &NAMES, of(MULTI)).await, place(&client, &NAMES, shorter).await] {
        has_parts(&refused.expect_problem(429, "rateLimited"), &["Reissue already running", "REISSUE-04"]);
    }
    // Section 21.1, whether or not the client names it.
    let status = async |made: &Value| {
        let id = made["finalize"].as_str().unwrap().rsplit('/').nth(1).unwrap().to_owned();
        let operator = crate::support::operator::Operator::of(&world);
        operator.get(&format!("/orders/{id}")).await.expect(200).json()["status"].clone()
    };
    assert_eq!(status(&made.order).await, "reissuing");
    let (_, order) = make_ready(&world, &client, &open).await;
    client.finalize(&order, &csr_with(&KeyPair::generate().unwrap(), &NAMES)).await.expect(200);
    assert_eq!(status(&made.order).await, "issued");
}

#[tokio::test]
async fn a_wildcard_of_several_years_is_reissued_without_another_proof() {
    // REISSUE-13, REISSUE-14: its client keeps up the authorizations, which is what automatic validation is.
    let world = World::documented().await;
    let customer = world.customer(CustomerKind::Enterprise).await;
    world.buy(&customer, "trustasia-dv-wildcard", 1, 3).await;
    let client = world.client_of(&customer).await;
    let names = ["*.zone-one.cn"];
    let first = issue(&world, &client, &names, of("trustasia-dv-wildcard")).await;
    world.pass(200 * DAY).await;
    let placed = place(&client, &names, of("trustasia-dv-wildcard")).await.expect(201);
    assert_eq!(placed.json()["status"], "ready");
    let done = client.finalize(&placed.json(), &csr_with(&KeyPair::generate().unwrap(), &names)).await.expect(200);
    assert_eq!(crate::rules_tools::issued(&client, done.json()).await.last, first.last);
}
