//! Sensitive words (WORD-01 to WORD-09) and suffixes (TLD-01 to TLD-05), through newOrder on the shipped lists and changed
//! ones.

use chancery::domain::account::Holder;
use chancery::domain::audit::Act;
use chancery::domain::customer::CustomerKind;
use serde_json::{Value, json};

use crate::acme_tools::has_parts;
use crate::documents::Expect::{Refused, Taken};
use crate::documents::{order_for, try_orders};
use crate::support::client::{Client, csr};
use crate::support::world::World;

/// WORD-01, and WORD-03 for the last.
const WORDS: &str = "alpha amazon android apple banc bank credit discover ebay example financial free google hp live lv pal pw \
                     root scp test trust visa wordpress pay";

const FREE: &str = "trustasia-dv-free";
const DV: &str = "trustasia-dv-multi";
const OV: &str = "trustasia-ov-single";

/// Words are refused in these words (WORD-01, WORD-06, WORD-07).
const SECURITY: &[&str] = &[
    "Refused by the CA's security check: the name contains '",
    "anti-phishing",
    "Change the host part and resubmit, choose a paid product, or use another primary domain",
];

#[tokio::test]
async fn every_word_of_the_list_is_refused_on_the_free_product_with_the_reason_and_the_ways_out() {
    let world = World::documented().await;
    let client = world.client().await;
    let words: Vec<&str> = WORDS.split_whitespace().collect();
    assert_eq!(words.len(), 25);
    for word in words {
        let name = format!("{word}-shop.zone-one.cn");
        let detail = client.new_order(&[&name]).await.expect_problem(400, "rejectedIdentifier");
        has_parts(&detail, SECURITY);
        has_parts(&detail, &[&format!("contains '{word}'"), "WORD-01"]);
    }
}

#[tokio::test]
async fn a_word_counts_wherever_it_stands_but_as_the_exempt_top_level_label() {
    let world = World::documented().await;
    let no = || Refused(400, "rejectedIdentifier", SECURITY);
    try_orders(
        &world,
        &[
            ("WORD-01", FREE, &["shop.zone-one.cn"], Taken(1)),
            ("WORD-01", FREE, &["mybank.cn"], no()),
            ("WORD-01", FREE, &["a.bank.zone-one.cn"], no()),
            // WORD-09: matching is "contained in".
            ("WORD-01", FREE, &["php.zone-one.cn"], no()),
            ("WORD-01", FREE, &["solve.zone-one.cn"], no()),
            ("WORD-01", FREE, &["latest.zone-one.cn"], no()),
            ("WORD-01", FREE, &["palace.zone-one.cn"], no()),
            ("WORD-01", FREE, &["example.com"], no()),
            ("WORD-01", FREE, &["zone-one.test"], no()),
            ("WORD-01", FREE, &["zone-one.lv"], no()),
            // In an A-label, by its letters and by what it stands for.
            ("WORD-01", FREE, &["xn--bank-joa.zone-one.cn"], no()),
            // WORD-05: people look at OV and EV.
            ("WORD-05", OV, &["bank.zone-one.cn"], Taken(1)),
            ("WORD-05", "geotrust-ev-single", &["apple.zone-one.cn"], Taken(1)),
            // Design decision 5: a paid DV goes to review.
            ("WORD-01", DV, &["bank.zone-one.cn"], Taken(1)),
            // WORD-02
            ("WORD-02", DV, &["zone-one.live"], Taken(1)),
        ],
    )
    .await;
}

/// What becomes of an order for one name when its CSR is handed in.
async fn finalized(world: &World, client: &Client, profile: &str, name: &str) -> Value {
    let placed = client.new_order_of(order_for(Some(profile), &[name])).await.expect(201).json();
    for authz in client.authorizations(&placed).await {
        world.prove(client, &authz).await.expect(200);
    }
    client.finalize(&placed, &csr(&[name]).0).await.expect(200).json()
}

#[tokio::test]
async fn a_paid_name_with_a_word_waits_for_a_person_and_one_without_does_not() {
    let world = World::documented().await;
    for (rule, name, status) in [
        ("WORD-01", "mybank.cn", "processing"),
        ("WORD-02", "zone-one.live", "valid"),
        ("WORD-02", "live.zone-one.cn", "processing"),
        ("WORD-03", "repay.zone-one.cn", "processing"),
        ("WORD-09", "mail.zone-one.cn", "valid"),
    ] {
        let customer = world.customer(CustomerKind::Individual).await;
        world.buy(&customer, DV, 1, 1).await;
        let done = finalized(&world, &world.client_of(&customer).await, DV, name).await;
        assert_eq!(done["status"], status, "{rule} {name}: {done}");
    }
}

#[tokio::test]
async fn an_operator_clears_a_name_for_a_customer_and_that_is_remembered() {
    let mut world = World::documented().await;
    let customer = world.customer(CustomerKind::Individual).await;
    let (client, stranger) = (world.client_of(&customer).await, world.client().await);
    let name = "testing.zone-one.cn";
    client.new_order(&[name]).await.expect_problem(400, "rejectedIdentifier");
    let holder = Holder::Customer(customer);
    world.ra().clear_name(&holder, name, "their own test site").await.unwrap();
    client.new_order(&[name]).await.expect(201);
    // For this customer and this name alone.
    stranger.new_order(&[name]).await.expect_problem(400, "rejectedIdentifier");
    client.new_order(&["testing.zone-two.cn"]).await.expect_problem(400, "rejectedIdentifier");
    world.restart().await;
    client.forget_nonce();
    client.new_order(&["testing.zone-one.cn", "www.testing.zone-one.cn"]).await.expect_problem(400, "compound");
    let acts = world.audit().await;
    let is_it = |act: &&Act| matches!(act, Act::NameCleared { name: cleared, .. } if cleared == name);
    assert_eq!(acts.iter().filter(is_it).count(), 1, "{acts:?}");
}

#[tokio::test]
async fn settings_say_for_whom_words_count_and_how_they_are_matched() {
    let no = || Refused(400, "rejectedIdentifier", SECURITY);
    let changed = async |from, to| World::documented_but(&[(from, to)]).await;
    let world = changed("word_match = \"substring\"", "word_match = \"token\"").await;
    try_orders(
        &world,
        &[("WORD-09", FREE, &["php.zone-one.cn"], Taken(1)), ("WORD-01", FREE, &["my-bank.zone-one.cn"], no())],
    )
    .await;
    let world = changed("word_match = \"substring\"", "word_match = \"label\"").await;
    try_orders(
        &world,
        &[("WORD-09", FREE, &["my-bank.zone-one.cn"], Taken(1)), ("WORD-01", FREE, &["bank.zone-one.cn"], no())],
    )
    .await;
    let world = changed("word_extra = [\"pay\"]", "word_extra = [\"zebra\"]").await;
    try_orders(
        &world,
        &[("WORD-03", FREE, &["pay.zone-one.cn"], Taken(1)), ("WORD-01", FREE, &["zebra.zone-one.cn"], no())],
    )
    .await;
    let scope = "word_scope = { dv-free = \"review\", ov = \"refuse\" }";
    let world = changed("word_scope = { dv-free = \"refuse\", dv = \"review\" }", scope).await;
    try_orders(
        &world,
        &[("X-14", FREE, &["bank.zone-one.cn"], Taken(1)), ("WORD-01", OV, &["bank.zone-one.cn"], no())],
    )
    .await;
    let done = finalized(&world, &world.client().await, FREE, "bank.zone-two.cn").await;
    assert_eq!(done["status"], "processing", "X-14: {done}");
}

#[tokio::test]
async fn the_lists_are_an_operators_to_change() {
    let list = "\
refused = [\"zone-bad.cn\"]
words = [\"zebra\", \"\u{652f}\u{4ed8}\"]
[[suffixes]]
of = [\"gov.cn\", \"cm\"]
types = [\"dv-free\", \"dv\"]
reason = \"domains under .{suffix} do not pass the security check\"
rule = \"TLD-04\"
";
    let world = World::documented_with(|config| {
        let names = config.server.data_dir.with_file_name("names.toml");
        std::fs::write(&names, list).unwrap();
        config.catalog.names = names;
    })
    .await;
    let no = |parts| Refused(400, "rejectedIdentifier", parts);
    try_orders(
        &world,
        &[
            ("WORD-04", FREE, &["bank.zone-one.cn"], Taken(1)),
            ("WORD-01", FREE, &["zebras.zone-one.cn"], no(&["'zebra'"])),
            ("WORD-01", FREE, &["xn--bnq818boic.zone-one.cn"], no(&["'\u{652f}\u{4ed8}'"])),
            ("TLD-04", FREE, &["zone-one.gov.cn"], no(&[".gov.cn", "do not pass the security check"])),
            ("TLD-04", DV, &["zone-one.cm"], no(&[".cm"])),
            ("TLD-04", OV, &["zone-one.cm"], Taken(1)),
            ("", OV, &["www.zone-bad.cn"], no(&["zone-bad.cn"])),
            ("", FREE, &["*.zone-bad.cn"], Refused(400, "compound", &["zone-bad.cn"])),
        ],
    )
    .await;
}

#[tokio::test]
async fn suffixes_are_refused_for_the_products_that_the_documents_name() {
    let world = World::documented().await;
    let no = |parts| Refused(400, "rejectedIdentifier", parts);
    let special = || no(&["not available for free certificates; buy a paid one"]);
    let pw = || no(&["domains under .pw do not pass the security check"]);
    let ru = || no(&[".ru names cannot be bound"]);
    try_orders(
        &world,
        &[
            ("TLD-01", FREE, &["zone-one.ru"], ru()),
            ("TLD-01", DV, &["a.b.zone-one.ru"], ru()),
            ("TLD-01", OV, &["zone-one.ru"], ru()),
            ("TLD-01", "securesite-ov-wildcard", &["*.zone-one.ru"], ru()),
            ("TLD-01", "geotrust-ev-single", &["zone-one.ru"], ru()),
            ("TLD-01", FREE, &["ru.zone-one.cn"], Taken(1)),
            ("TLD-02", FREE, &["zone-one.edu"], special()),
            ("TLD-02", FREE, &["zone-one.gov"], special()),
            ("TLD-02", FREE, &["zone-one.jp"], special()),
            ("TLD-02", FREE, &["zone-one.co.jp"], special()),
            ("TLD-02", FREE, &["zone-one.live"], special()),
            ("TLD-02", FREE, &["zone-one.nuclear"], special()),
            ("TLD-02", FREE, &["zone-one.org"], special()),
            // Section 27: only the final label.
            ("TLD-02", FREE, &["zone-one.gov.cn"], Taken(1)),
            ("TLD-02", DV, &["zone-one.org"], Taken(1)),
            ("TLD-02", OV, &["zone-one.bank"], Taken(1)),
            ("TLD-03", FREE, &["zone-one.pw"], pw()),
            ("TLD-03", DV, &["mail.zone-one.pw"], pw()),
            ("TLD-03", "trustasia-dv-wildcard", &["*.zone-one.pw"], pw()),
            ("TLD-03", OV, &["zone-one.pw"], Taken(1)),
            ("TLD-05", FREE, &["zone-one.com"], Taken(1)),
            ("TLD-05", DV, &["zone-one.net"], Taken(1)),
        ],
    )
    .await;
    // These two are words of the list as well, and both reasons are told.
    let client = world.client().await;
    for suffix in ["bank", "pay"] {
        let answer = client.new_order(&[&format!("zone-one.{suffix}")]).await;
        answer.expect_problem(400, "rejectedIdentifier");
        let told = answer.json()["subproblems"]
            .as_array()
            .unwrap()
            .iter()
            .map(|p| p["detail"].to_string())
            .collect::<String>();
        has_parts(&told, &["TLD-02", "WORD-01"]);
        assert_eq!(
            answer.json()["subproblems"][0]["identifier"],
            json!({ "type": "dns", "value": format!("zone-one.{suffix}") })
        );
    }
}
