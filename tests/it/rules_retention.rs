//! The catalogue's side of domain validation (family VAL): which methods a product offers, how long there is for a proof, and
//! how long one is retained.

use std::time::Duration;

use chancery::domain::customer::CustomerKind;
use chancery::domain::order::Purpose;
use chancery::domain::{CustomerId, Serial, Timestamp};
use chancery::policy::catalog::Catalog;
use chancery::policy::lifecycle::reuse_days;
use serde_json::{Value, json};

use crate::acme_tools::{DAY, HOUR, has_parts, look, problem};
use crate::rules_tools::{SECOND, issue, make_ready, of, place};
use crate::support::client::{Client, challenge, csr};
use crate::support::operator::Operator;
use crate::support::world::World;

const FREE: &str = "trustasia-dv-free";
const MULTI: &str = "trustasia-dv-multi";
const SM_DV: &str = "dnspod-sm-dv";
const SM_OV: &str = "dnspod-sm-ov";

/// Sets prices for products that have none.
const PRICED: [(&str, &str); 3] = [
    ("title = \"DNSPod GM (SM2) DV, one name\"", "title = \"DNSPod GM (SM2) DV, one name\"\nprice = { base = 100 }"),
    (
        "title = \"DNSPod GM (SM2) OV, several names\"",
        "title = \"DNSPod GM (SM2) OV, several names\"\nprice = { base = 200, included = 2 }",
    ),
    (
        "title = \"WoTrus OV, several names\"",
        "title = \"WoTrus OV, several names\"\nprice = { base = 200, included = 1 }",
    ),
];
const PUBLIC: (&str, &str) = ("validity_schedule = \"documented\"", "validity_schedule = \"baseline-requirements\"");

/// A company that has bought these products for so many names each, and its client.
async fn company(world: &World, bought: &[(&str, u32)]) -> (CustomerId, Client) {
    let customer = world.customer(CustomerKind::Enterprise).await;
    for (product, names) in bought {
        world.buy(&customer, product, *names, 1).await;
    }
    let client = world.client_of(&customer).await;
    (customer, client)
}

/// The types of the challenges of an order's authorizations.
async fn offers(client: &Client, order: &Value) -> Vec<Vec<String>> {
    let types = |authz: &Value| {
        let offers = authz["challenges"].as_array().unwrap().iter();
        offers.map(|offer| offer["type"].as_str().unwrap().to_owned()).collect()
    };
    client.authorizations(order).await.iter().map(types).collect()
}

#[tokio::test]
async fn each_product_offers_its_methods() {
    let world = World::documented_but(&PRICED).await;
    let bought = [
        (MULTI, 1),
        ("trustasia-dv-wildcard", 1),
        ("geotrust-ov-single", 1),
        ("wotrus-ov", 1),
        ("trustasia-ov-single", 1),
    ];
    let (customer, client) = company(&world, &bought).await;
    world.buy(&customer, "trustasia-dv-multiwildcard", 1, 1).await;
    world.buy(&customer, "trustasia-dv-wildcard", 1, 3).await;
    let both = &["http-01", "dns-01"][..];
    let dns = &["dns-01"][..];
    for (rule, product, name, methods) in [
        ("VAL-04", FREE, "a.zone-one.cn", both),
        ("VAL-02", MULTI, "a.zone-one.cn", both),
        ("VAL-01", "geotrust-ov-single", "a.zone-one.cn", both),
        ("VAL-05", "wotrus-ov", "a.zone-one.cn", both),
        // VAL-08: never a file.
        ("VAL-08", "trustasia-dv-wildcard", "*.zone-one.cn", dns),
        ("VAL-08", "trustasia-dv-multiwildcard", "*.zone-one.cn", dns),
        // VAL-03, X-08: of three years, with records that a standing alias answers.
        ("VAL-03", "trustasia-dv-wildcard", "*.zone-two.cn", dns),
        // RFC 8738 section 7.
        ("VAL-01", "trustasia-ov-single", "8.8.8.8", &["http-01"]),
    ] {
        let kind = if name.starts_with('8') { "ip" } else { "dns" };
        let asked = json!({ "identifiers": [{ "type": kind, "value": name }], "profile": product });
        let order = client.new_order_of(asked).await.expect(201).json();
        assert_eq!(offers(&client, &order).await, [methods], "{rule}: {product}");
        // What is not offered is not there.
        let authz = client.authorizations(&order).await.remove(0);
        let url = authz["challenges"][0]["url"].as_str().unwrap().to_owned();
        for missing in ["http-01", "dns-01", "tls-alpn-01"].iter().filter(|method| !methods.contains(method)) {
            let url = url.replace(methods[0], missing);
            client.post(&url, &json!({})).await.expect_problem(404, "malformed");
        }
    }
    // A name that comes free with a wildcard is proven on its own (SAN-09), and a wildcard beside it still by dns-01 alone.
    world.buy(&customer, "trustasia-dv-wildcard", 1, 1).await;
    let both_names =
        place(&client, &["*.zone-three.cn", "zone-three.cn"], of("trustasia-dv-wildcard")).await.expect(201);
    assert_eq!(offers(&client, &both_names.json()).await, [dns, dns], "VAL-09");
}

#[tokio::test]
async fn files_can_be_taken_from_the_documented_products() {
    //
    let change = ("file_needs_cloud_resource = false", "file_needs_cloud_resource = true");
    let world = World::documented_but(&[change]).await;
    let client = world.client().await;
    let order = place(&client, &["a.zone-one.cn"], json!({})).await.expect(201).json();
    assert_eq!(offers(&client, &order).await, [["dns-01"]]);
}

#[tokio::test]
async fn a_proof_must_be_there_within_three_days_and_a_new_order_has_three_new_ones() {
    let world = World::documented().await;
    let (_, client) = company(&world, &[(MULTI, 2)]).await;
    // VAL-13, VAL-14, VAL-30, DIAG-12
    for (product, names) in [(FREE, &["a.zone-one.cn"][..]), (MULTI, &["a.zone-one.cn", "b.zone-one.cn"])] {
        let placed = place(&client, names, of(product)).await.expect(201);
        let order = placed.json();
        let end = (world.now() + 3 * DAY).to_string();
        assert_eq!(order["expires"], end);
        let authzs = client.authorizations(&order).await;
        assert!(authzs.iter().all(|authz| authz["expires"] == end), "{authzs:?}");
        // One of two names is proven, the other not in time.
        if names.len() > 1 {
            world.prove(&client, &authzs[1]).await.expect(200);
        }
        world.pass(3 * DAY - SECOND).await;
        assert_eq!(look(&client, placed.location()).await["status"], "pending");
        world.pass(SECOND).await;
        let told = ["No record within 3 days. Submit again and add it within 3 days.", "a.zone-one.cn", &end, "VAL-13"];
        let over = look(&client, placed.location()).await;
        assert_eq!(over["status"], "invalid");
        problem(&over["error"], "unauthorized", &told);
        let authz = client.authorizations(&order).await.remove(0);
        assert_eq!(authz["status"], "invalid");
        for offer in authz["challenges"].as_array().unwrap() {
            assert_eq!(offer["status"], "invalid");
            problem(&offer["error"], "unauthorized", &told);
        }
        let late = client.respond(&challenge(&authz, "http-01")).await;
        has_parts(&late.expect_problem(400, "malformed"), &told[..1]);
        client.finalize(&order, &csr(names).0).await.expect_problem(403, "orderNotReady");
        // VAL-14: the slot or purchase is there again, and so are three days.
        let again = place(&client, names, of(product)).await.expect(201);
        assert_ne!(again.location(), placed.location());
        assert_eq!(again.json()["expires"], (world.now() + 3 * DAY).to_string());
        let anew = client.authorizations(&again.json()).await.remove(0);
        assert_ne!(anew["challenges"][0]["token"], authz["challenges"][0]["token"]);
        let (_, order) = make_ready(&world, &client, &again).await;
        assert_eq!(client.finalize(&order, &csr(names).0).await.expect(200).json()["status"], "valid");
    }
}

#[tokio::test]
async fn a_failed_look_does_not_use_up_the_three_days() {
    let world = World::documented().await;
    let client = world.client().await;
    let names = ["a.zone-one.cn"];
    // VAL-30, rules section 25.4: a new order within these days starts afresh, and no slot is lost.
    for _ in 0..3 {
        let placed = place(&client, &names, json!({})).await.expect(201);
        let authz = client.authorizations(&placed.json()).await.remove(0);
        client.respond(&challenge(&authz, "dns-01")).await.expect(200);
        assert_eq!(look(&client, placed.location()).await["status"], "invalid");
    }
    issue(&world, &client, &names, json!({})).await;
    let domain = world.ra().domain_quota("zone-one.cn").await.unwrap();
    assert_eq!(domain.usage.usage.used, 1);
}

#[tokio::test]
async fn the_days_for_a_proof_are_a_setting_and_not_for_a_private_ca() {
    //
    for (days, told) in [(7, "within 7 days"), (1, "within 1 day.")] {
        let change = format!("dns_record_deadline_days = {days}");
        let world = World::documented_but(&[("dns_record_deadline_days = 3", &change)]).await;
        let client = world.client().await;
        let placed = place(&client, &["a.zone-one.cn"], json!({})).await.expect(201);
        assert_eq!(placed.json()["expires"], (world.now() + days * DAY).to_string());
        world.pass(days * DAY).await;
        problem(&look(&client, placed.location()).await["error"], "unauthorized", &[told]);
    }
    let world = World::new().await;
    let client = world.client().await;
    let placed = place(&client, &["a.example"], json!({})).await.expect(201);
    assert_eq!(placed.json()["expires"], (world.now() + 7 * DAY).to_string());
    world.pass(7 * DAY).await;
    problem(&look(&client, placed.location()).await["error"], "unauthorized", &["a.example expired at"]);
}

/// Whether an order for these names is ready from birth. It is canceled then, so that the next one can be placed (REISSUE-04).
async fn retained_for_once(world: &World, client: &Client, names: &[&str], further: Value) -> bool {
    let placed = place(client, names, further).await.expect(201);
    let id = placed.location().rsplit('/').next().unwrap().to_owned();
    Operator::of(world).send("POST", &format!("/orders/{id}/cancellation"), &json!({})).await.expect(200);
    placed.json()["status"] == "ready"
}

/// Whether an order for these names is ready from birth, and until when its first authorization is good.
async fn retained(client: &Client, names: &[&str], further: Value) -> (bool, Value) {
    let order = place(client, names, further).await.expect(201).json();
    let authz = client.authorizations(&order).await.remove(0);
    assert_eq!(order["status"] == "ready", authz["status"] == "valid", "{order}");
    (order["status"] == "ready", authz["expires"].clone())
}

#[tokio::test]
async fn a_validation_for_the_sm2_line_serves_the_same_customer_for_13_months() {
    let world = World::documented_but(&PRICED).await;
    let (customer, client) = company(&world, &[(SM_DV, 1), (SM_DV, 1), (MULTI, 1)]).await;
    let names = ["shop.zone-one.cn"];
    let begun = world.now();
    issue(&world, &client, &names, of(SM_DV)).await;
    let end = json!((begun + 397 * DAY).to_string());
    // VAL-32: also for what follows the certificate after its end, until an hour is left of the 13 months.
    world.pass(397 * DAY - HOUR - SECOND).await;
    assert_eq!(retained(&client, &names, of(SM_DV)).await, (true, end.clone()), "VAL-32");
    // The same company, by another account; not for another name, another company or another brand's fresh order.
    world.buy(&customer, SM_DV, 1, 1).await;
    let colleague = world.client_of(&customer).await;
    let (_, stranger) = company(&world, &[(SM_DV, 1)]).await;
    assert!(!retained(&client, &["b.zone-one.cn"], of(SM_DV)).await.0, "VAL-32: another name");
    assert!(!retained(&stranger, &names, of(SM_DV)).await.0, "VAL-32: another company");
    assert!(!retained(&client, &names, of(MULTI)).await.0, "RENEW-08: another brand");
    assert!(!retained(&colleague, &names, of(FREE)).await.0, "RENEW-11: a free one");
}

#[tokio::test]
async fn what_one_account_of_a_customer_proved_is_retained_for_the_others() {
    let world = World::documented_but(&PRICED).await;
    let (customer, client) = company(&world, &[(SM_DV, 1)]).await;
    let names = ["shop.zone-one.cn"];
    let begun = world.now();
    issue(&world, &client, &names, of(SM_DV)).await;
    world.pass(HOUR).await;
    let colleague = world.client_of(&customer).await;
    // A reissue by another account: VAL-32 with design decision 6.
    let placed = place(&colleague, &names, of(SM_DV)).await.expect(201);
    let order = placed.json();
    assert_eq!(order["status"], "ready");
    let authz = colleague.authorizations(&order).await.remove(0);
    assert_eq!((&authz["status"], &authz["expires"]), (&json!("valid"), &json!((begun + 397 * DAY).to_string())));
    // CAA is looked at again before it is issued, however recently it was for the other account.
    world.dns.caa("zone-one.cn", 0, "issue", "other-ca.cn");
    colleague.finalize(&order, &csr(&names).0).await.expect(200);
    problem(&look(&colleague, placed.location()).await["error"], "caa", &["zone-one.cn"]);
    world.dns.clear("zone-one.cn");
    issue(&world, &colleague, &names, of(SM_DV)).await;
    // A proof that was given up serves nobody any more, and what was taken over is the other's own.
    let theirs = order["authorizations"][0].as_str().unwrap().to_owned();
    client.post_as_get(&theirs).await.expect_problem(404, "malformed");
    let third = world.client_of(&customer).await;
    let own = place(&client, &names, of(SM_DV)).await.expect(201).json();
    client.post(own["authorizations"][0].as_str().unwrap(), &json!({ "status": "deactivated" })).await.expect(200);
    assert!(!retained_for_once(&world, &third, &names, of(SM_DV)).await);
    assert!(retained(&colleague, &names, of(SM_DV)).await.0);
}

#[tokio::test]
async fn a_validation_for_sm2_organisation_certificates_is_retained_too() {
    let world = World::documented_but(&PRICED).await;
    let (_, client) = company(&world, &[(SM_OV, 2), (SM_OV, 2), (SM_OV, 2), ("wotrus-ov", 1), ("wotrus-ov", 1)]).await;
    let placed = place(&client, &["a.zone-one.cn", "b.zone-one.cn"], of(SM_OV)).await.expect(201);
    make_ready(&world, &client, &placed).await;
    // VAL-33: within 13 months, and not after.
    world.pass(396 * DAY).await;
    assert!(retained(&client, &["a.zone-one.cn", "b.zone-one.cn"], of(SM_OV)).await.0, "VAL-33");
    world.pass(DAY).await;
    assert!(!retained(&client, &["b.zone-one.cn", "c.zone-one.cn"], of(SM_OV)).await.0, "VAL-33");
    // Other brands retain nothing for an application of its own.
    let placed = place(&client, &["d.zone-one.cn"], of("wotrus-ov")).await.expect(201);
    make_ready(&world, &client, &placed).await;
    world.pass(4 * DAY).await;
    assert!(!retained(&client, &["d.zone-one.cn"], of("wotrus-ov")).await.0, "VAL-05");
}

#[tokio::test]
async fn what_is_applied_for_anew_or_renewed_is_validated_anew() {
    let world = World::documented().await;
    let (customer, client) = company(&world, &[(MULTI, 2), (MULTI, 2)]).await;
    let names = ["a.zone-one.cn", "b.zone-one.cn"];
    let made = issue(&world, &client, &names, of(MULTI)).await;
    for (rule, names, product) in [
        // A paid product's fresh order, though a name of it was just proven.
        ("RENEW-08", &["a.zone-one.cn", "c.zone-one.cn"][..], MULTI),
        ("VAL-04", &["a.zone-one.cn"], FREE),
    ] {
        assert!(!retained(&client, names, of(product)).await.0, "{rule}");
    }
    issue(&world, &client, &["a.zone-one.cn"], of(FREE)).await;
    assert!(!retained(&client, &["a.zone-one.cn"], of(FREE)).await.0, "RENEW-11");
    world.pass(made.last.since(world.now()) - 20 * DAY).await;
    world.buy(&customer, MULTI, 2, 1).await;
    assert!(!retained(&client, &names, of(MULTI)).await.0, "RENEW-08");
}

#[tokio::test]
async fn a_reissue_of_a_paid_dv_certificate_rests_on_earlier_proofs_as_the_settings_say() {
    const SKIP: &str = "reissue_skip_validation = [\"age_lt_3_days\", \"same_csr\", \"reuse_13_months\"]";
    let names = ["a.zone-one.cn"];
    for (rule, skip, checks) in [
        // VAL-34: for 13 months, which is longer than a reissue is possible.
        ("VAL-34", "[\"reuse_13_months\"]", &[(0, true), (4, true), (330, true)][..]),
        // VAL-35: in the first three days.
        ("VAL-35", "[\"age_lt_3_days\"]", &[(0, true), (2, true), (3, false), (330, false)]),
        // VAL-36: ACME learns of the CSR after the validation.
        ("VAL-36", "[\"same_csr\"]", &[(0, false), (330, false)]),
        // REISSUE-13
        ("REISSUE-13", "[]", &[(0, false)]),
        ("X-12", "[\"age_lt_3_days\", \"same_csr\", \"reuse_13_months\"]", &[(0, true), (330, true)]),
    ] {
        let world = World::documented_but(&[(SKIP, &format!("reissue_skip_validation = {skip}"))]).await;
        let (_, client) = company(&world, &[(MULTI, 1)]).await;
        issue(&world, &client, &names, of(MULTI)).await;
        let issued = world.now();
        for (day, ready) in checks {
            world.pass((issued + *day * DAY).since(world.now())).await;
            // Each time another end, so that it is another order.
            let end = json!({ "notAfter": (world.now() + 60 * DAY).to_string(), "profile": MULTI });
            let end = if *day > 300 { of(MULTI) } else { end };
            assert_eq!(retained_for_once(&world, &client, &names, end).await, *ready, "{rule}: day {day}");
        }
    }
}

#[tokio::test]
async fn the_three_days_count_from_the_original() {
    const SKIP: &str = "reissue_skip_validation = [\"age_lt_3_days\", \"same_csr\", \"reuse_13_months\"]";
    let world = World::documented_but(&[(SKIP, "reissue_skip_validation = [\"age_lt_3_days\"]")]).await;
    let (_, client) = company(&world, &[(MULTI, 1)]).await;
    let names = ["a.zone-one.cn"];
    for (day, ready) in [(0, false), (2, true), (1, false)] {
        world.pass(day * DAY).await;
        assert_eq!(retained(&client, &names, of(MULTI)).await.0, ready, "VAL-35");
        issue(&world, &client, &names, of(MULTI)).await;
    }
}

#[test]
fn the_first_days_of_a_reissue_are_for_the_products_that_the_rule_names() {
    let mut shipped = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/config/catalog.toml")).unwrap();
    let now = Timestamp::from_secs(1_800_000_000);
    let reissue = Purpose::Reissue { of: Serial::random() };
    let days = |text: &str, product: &str, purpose: Purpose, age: Duration| {
        let catalog = Catalog::parse(text).unwrap();
        reuse_days(catalog.settings(), catalog.product(product).unwrap(), purpose, now - age, now)
    };
    for (rule, product, new, early, late) in [
        ("VAL-35", "wotrus-ov", 0, 397, 0),
        ("VAL-35", "wotrus-ev", 0, 397, 0),
        ("VAL-35", "dnspod-std-ov", 0, 397, 0),
        ("VAL-34", "wotrus-dv", 0, 397, 397),
        ("VAL-34", MULTI, 0, 397, 397),
        ("VAL-33", "dnspod-sm-ev", 397, 397, 397),
        ("VAL-32", SM_DV, 397, 397, 397),
        // REISSUE-12: the CA checks these by phone and mail, and their names anew.
        ("VAL-35", "trustasia-ov-single", 0, 0, 0),
        ("VAL-35", "geotrust-ev-multi", 0, 0, 0),
        ("VAL-35", FREE, 0, 0, 0),
    ] {
        let found = [
            days(&shipped, product, Purpose::New, Duration::ZERO),
            days(&shipped, product, reissue, 3 * DAY - SECOND),
            days(&shipped, product, reissue, 3 * DAY),
        ];
        assert_eq!(found, [new, early, late], "{rule}: {product}");
    }
    shipped = shipped.replace("reissue_fresh_days = 3", "reissue_fresh_days = 5");
    assert_eq!(days(&shipped, "wotrus-ov", reissue, 4 * DAY), 397, "VAL-35 is a setting");
}

#[tokio::test]
async fn the_public_calendar_limits_how_old_a_validation_may_be() {
    // Design decision 8; Baseline Requirements 4.2.1: 200 days, 100 from 2027-03-15, 10 from 2029-03-15.
    for (start, age, ready) in [
        ("2026-11-21T12:00:00Z", 100, true),
        // 2027-03-11 and 2027-03-21: the limit falls in between.
        ("2026-11-21T12:00:00Z", 110, true),
        ("2026-11-21T12:00:00Z", 120, false),
        ("2027-05-01T00:00:00Z", 99, true),
        ("2027-05-01T00:00:00Z", 100, false),
        ("2029-05-01T00:00:00Z", 9, true),
        ("2029-05-01T00:00:00Z", 10, false),
    ] {
        let changes: Vec<(&str, &str)> = PRICED.into_iter().chain([PUBLIC]).collect();
        let world = World::documented_but(&changes).await;
        world.pass(Timestamp::parse_rfc3339(start).unwrap().since(world.now())).await;
        let (_, client) = company(&world, &[(SM_OV, 2), (SM_OV, 2)]).await;
        let placed = place(&client, &["a.zone-one.cn", "b.zone-one.cn"], of(SM_OV)).await.expect(201);
        make_ready(&world, &client, &placed).await;
        world.pass(age * DAY).await;
        let order = place(&client, &["a.zone-one.cn", "c.zone-one.cn"], of(SM_OV)).await.expect(201).json();
        let status = client.authorizations(&order).await[0]["status"].clone();
        assert_eq!(status == "valid", ready, "{start}: {age} days");
    }
}

#[tokio::test]
async fn a_proof_that_the_calendar_made_too_old_meanwhile_carries_no_certificate() {
    let changes: Vec<(&str, &str)> = PRICED.into_iter().chain([PUBLIC]).collect();
    let world = World::documented_but(&changes).await;
    let (_, client) = company(&world, &[(SM_DV, 1)]).await;
    let names = ["a.zone-one.cn"];
    issue(&world, &client, &names, of(SM_DV)).await;
    // Placed under the limit of 200 days, finalized under that of 100.
    world.pass(Timestamp::parse_rfc3339("2027-03-14T12:00:00Z").unwrap().since(world.now())).await;
    let placed = place(&client, &names, of(SM_DV)).await.expect(201);
    assert_eq!(placed.json()["status"], "ready");
    world.pass(DAY).await;
    client.finalize(&placed.json(), &csr(&names).0).await.expect(200);
    problem(&look(&client, placed.location()).await["error"], "unauthorized", &["no longer valid", "new order"]);
}
