//! Which names a product takes (DOM-01 to DOM-17) and which come free (SAN-01 to SAN-09): through newOrder on the shipped
//! catalogue, each row with its rule.

use chancery::domain::customer::CustomerKind;
use serde_json::{Value, json};

use crate::acme_tools::{DAY, cert_id, has_parts, leaf, order_of};
use crate::documents::Expect::{Refused, Taken};
use crate::documents::{order_for, try_orders};
use crate::support::client::{challenge, csr};
use crate::support::world::World;

#[tokio::test]
async fn names_are_of_the_number_and_kind_that_the_product_is_for() {
    let world = World::documented().await;
    let many: Vec<String> = (0..101).map(|n| format!("n{n}.zone-one.cn")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let shape = |parts| Refused(400, "invalidProfile", parts);
    let malformed = |parts| Refused(400, "malformed", parts);
    try_orders(
        &world,
        &[
            ("DOM-01", "securesite-ov-single", &["zone-one.cn"], Taken(1)),
            ("DOM-01", "trustasia-dv-free", &["a.b.c.zone-one.cn"], Taken(1)),
            (
                "DOM-01",
                "geotrust-ov-single",
                &["a.zone-one.cn", "b.zone-one.cn"],
                shape(&["takes one name", "b.zone-one.cn"]),
            ),
            ("DOM-01", "securesite-ev-single", &["*.zone-one.cn"], shape(&["wildcard name"])),
            (
                "CAT-07",
                "trustasia-dv-free",
                &["a.zone-one.cn", "b.zone-one.cn"],
                shape(&["one ordinary name", "b.zone-one.cn"]),
            ),
            ("DOM-03", "trustasia-dv-multi", &many[..100], Taken(100)),
            ("DOM-03", "trustasia-dv-multi", &many, shape(&["at most 100 names", "101 were asked for"])),
            ("DOM-03", "securesite-ov-multi", &["zone-one.cn", "zone-two.cn", "a.zone-one.cn"], Taken(3)),
            ("DOM-04", "trustasia-dv-wildcard", &["*.zone-one.cn"], Taken(1)),
            ("DOM-04", "trustasia-dv-wildcard", &["*.a.b.zone-one.cn"], Taken(1)),
            (
                "DOM-04",
                "trustasia-dv-wildcard",
                &["*.zone-one.cn", "*.zone-two.cn"],
                shape(&["one wildcard name", "*.zone-two.cn"]),
            ),
            (
                "DOM-10",
                "trustasia-dv-wildcard",
                &["*.a.zone-one.cn", "*.b.zone-one.cn"],
                shape(&["multi-wildcard product"]),
            ),
            (
                "DOM-05",
                "trustasia-dv-wildcard",
                &["*.*.zone-one.cn"],
                malformed(&["only one wildcard label is allowed", "*.*.zone-one.cn"]),
            ),
            (
                "DOM-05",
                "trustasia-dv-multiwildcard",
                &["*.a.*.zone-one.cn"],
                malformed(&["only one wildcard label is allowed"]),
            ),
            ("DOM-06", "trustasia-dv-multiwildcard", &["*.zone-one.cn", "*.a.zone-two.cn"], Taken(2)),
            (
                "DOM-06",
                "trustasia-dv-multiwildcard",
                &["*.zone-one.cn", "mail.zone-two.cn"],
                shape(&["exactly one wildcard label", "mail.zone-two.cn"]),
            ),
            ("DOM-07", "globalsign-ov-multiwildcard", &["*.zone-one.cn", "*.a.zone-one.cn", "*.zone-two.cn"], Taken(3)),
            ("DOM-09", "trustasia-dv-wildcard", &["*.zone-one.cn", "zone-one.cn"], Taken(1)),
            (
                "DOM-09",
                "trustasia-dv-wildcard",
                &["mail.zone-one.cn"],
                shape(&["single or multi product", "mail.zone-one.cn"]),
            ),
            (
                "DOM-09",
                "geotrust-ov-wildcard",
                &["*.zone-one.cn", "mail.zone-one.cn"],
                shape(&["single or multi product"]),
            ),
            (
                "DOM-16",
                "trustasia-dv-multi",
                &["mail.zone-one.cn", "*.zone-one.cn"],
                shape(&["multi-wildcard product", "*.zone-one.cn"]),
            ),
            ("DOM-15", "trustasia-dv-free", &["zone-one.com.cn"], Taken(1)),
            ("DOM-15", "trustasia-dv-free", &["com.cn"], Refused(400, "rejectedIdentifier", &["second-level name"])),
            ("DOM-15", "trustasia-dv-free", &["github.io"], Refused(400, "rejectedIdentifier", &["second-level name"])),
            ("DOM-01", "trustasia-dv-multi", &["com.cn"], Refused(400, "rejectedIdentifier", &["public suffix"])),
            ("DOM-01", "trustasia-dv-multi", &["github.io"], Taken(1)),
            ("DOM-17", "trustasia-dv-free", &["webhost"], malformed(&["fully qualified name", "webhost"])),
            ("DOM-17", "trustasia-dv-wildcard", &["*.cn"], malformed(&["fully qualified name"])),
        ],
    )
    .await;
}

#[tokio::test]
async fn names_are_of_the_length_and_the_characters_that_the_documents_allow() {
    let world = World::documented().await;
    let of_length = |length: usize| format!("{}.a2345678.zone-one.cn", "n".repeat(length - 21));
    let (longest, too_long) = (of_length(64), of_length(65));
    assert_eq!((longest.len(), too_long.len()), (64, 65));
    let wild = format!("*.{}", &longest[2..]);
    let wild_too_long = format!("*.{}", &longest[1..]);
    try_orders(
        &world,
        &[
            ("DOM-11", "trustasia-dv-free", &[&longest], Taken(1)),
            ("DOM-11", "trustasia-dv-wildcard", &[&wild], Taken(1)),
            (
                "DOM-11",
                "trustasia-dv-free",
                &[&too_long],
                Refused(400, "rejectedIdentifier", &["65 characters, 64 allowed", "letters, digits and hyphens"]),
            ),
            (
                "DOM-11",
                "trustasia-dv-wildcard",
                &[&wild_too_long],
                Refused(400, "rejectedIdentifier", &["65 characters"]),
            ),
            (
                "DOM-11",
                "trustasia-dv-free",
                &["a_b.zone-one.cn"],
                Refused(400, "malformed", &["letters, digits and hyphens"]),
            ),
            (
                "DOM-11",
                "trustasia-dv-free",
                &["a b.zone-one.cn"],
                Refused(400, "malformed", &["letters, digits and hyphens"]),
            ),
            // RFC 8555 section 7.1.4: internationalised names come as A-labels.
            ("", "trustasia-dv-free", &["b\u{fc}cher.cn"], Refused(400, "malformed", &["A-labels"])),
            ("DOM-11", "trustasia-dv-free", &["xn--bcher-kva.cn"], Taken(1)),
            ("DOM-11", "trustasia-dv-free", &["XN--BCHER-KVA.zone-two.cn"], Taken(1)),
        ],
    )
    .await;
    // with the longest names of DNS the number of levels decides.
    let world = World::documented_but(&[("name_max_chars = 64", "name_max_chars = 253")]).await;
    let levels = |count: usize| format!("{}zone-one.cn", "a.".repeat(count - 2));
    let (deepest, too_deep) = (levels(100), levels(101));
    let wild = format!("*.{}", levels(99));
    try_orders(
        &world,
        &[
            ("DOM-02", "trustasia-dv-free", &[&deepest], Taken(1)),
            ("DOM-02", "trustasia-dv-wildcard", &[&wild], Taken(1)),
            (
                "DOM-02",
                "trustasia-dv-free",
                &[&too_deep],
                Refused(400, "rejectedIdentifier", &["101 levels", "more than 100 levels"]),
            ),
        ],
    )
    .await;
}

#[tokio::test]
async fn free_names_are_given_by_each_brand_as_documented() {
    let world = World::documented().await;
    let shape = |parts| Refused(400, "invalidProfile", parts);
    try_orders(
        &world,
        &[
            ("SAN-01", "trustasia-dv-free", &["zone-one.cn", "www.zone-one.cn"], Taken(1)),
            ("SAN-01", "trustasia-ov-single", &["zone-one.cn", "www.zone-one.cn"], Taken(1)),
            ("SAN-01", "geotrust-ev-single", &["zone-one.cn", "www.zone-one.cn"], Taken(1)),
            ("SAN-01", "trustasia-dv-multi", &["zone-one.cn", "www.zone-one.cn", "zone-two.cn"], Taken(2)),
            (
                "SAN-01",
                "globalsign-ov-single",
                &["zone-one.cn", "www.zone-one.cn"],
                shape(&["GlobalSign charges www as a name of its own"]),
            ),
            ("SAN-01", "globalsign-ov-multi", &["zone-one.cn", "www.zone-one.cn"], Taken(2)),
            ("SAN-02", "globalsign-ov-multi", &["www.zone-one.cn", "zone-one.cn"], Taken(1)),
            ("SAN-02", "globalsign-ov-single", &["a.zone-one.cn", "zone-one.cn"], Taken(1)),
            ("SAN-02", "trustasia-dv-free", &["a.zone-two.cn", "zone-two.cn"], Taken(1)),
            ("SAN-02", "geotrust-ev-multi", &["zone-one.cn", "a.zone-one.cn", "b.zone-one.cn"], Taken(2)),
            ("SAN-02", "geotrust-ov-wildcard", &["*.a.zone-one.cn", "a.zone-one.cn"], Taken(1)),
            ("SAN-02", "trustasia-ov-multiwildcard", &["*.a.zone-one.cn", "a.zone-one.cn", "*.zone-two.cn"], Taken(2)),
            (
                "SAN-02",
                "securesite-ov-single",
                &["a.zone-one.cn", "zone-one.cn"],
                shape(&["SecureSite does not give the parent", "SAN-06"]),
            ),
            ("SAN-03", "trustasia-dv-multi", &["me.github.io", "github.io"], Taken(2)),
            (
                "SAN-03",
                "trustasia-ov-single",
                &["me.github.io", "github.io"],
                shape(&["parent of a second-level name is not included"]),
            ),
            ("SAN-04", "securesite-ov-single", &["www.zone-one.cn", "zone-one.cn"], Taken(1)),
            ("SAN-04", "globalsign-ev-single", &["www.zone-one.cn", "zone-one.cn"], Taken(1)),
            ("SAN-05", "securesite-ov-wildcard", &["*.zone-one.cn", "zone-one.cn"], Taken(1)),
            ("DOM-09", "securesite-ov-wildcard", &["*.a.zone-one.cn", "a.zone-one.cn"], shape(&["comes free"])),
            ("SAN-01", "securesite-ov-single", &["zone-one.cn", "www.zone-one.cn"], shape(&["SecureSite charges www"])),
            ("SAN-06", "securesite-ov-multi", &["www.zone-one.cn", "zone-one.cn"], Taken(2)),
            (
                "SAN-07",
                "trustasia-dv-free",
                &["zone-one.cn", "ssl.zone-one.cn"],
                shape(&["order the other name separately", "list \"ssl.zone-one.cn\" first"]),
            ),
            (
                "SAN-07",
                "geotrust-ov-single",
                &["zone-one.cn", "a.b.zone-one.cn"],
                shape(&["covers no other name below it"]),
            ),
            (
                "SAN-08",
                "trustasia-ev-multi",
                &["a.zone-one.cn", "zone-one.cn", "a.zone-two.cn", "zone-two.cn"],
                Taken(2),
            ),
        ],
    )
    .await;
    // the other reading of the documents.
    let narrow = "parent_free_rule = \"www-and-second-level-wildcard\"";
    let world = World::documented_but(&[("parent_free_rule = \"level3plus\"", narrow)]).await;
    try_orders(
        &world,
        &[
            ("SAN-04", "trustasia-dv-free", &["www.zone-one.cn", "zone-one.cn"], Taken(1)),
            ("SAN-02", "trustasia-dv-free", &["a.zone-one.cn", "zone-one.cn"], shape(&["does not give the parent"])),
            ("SAN-05", "trustasia-dv-wildcard", &["*.zone-one.cn", "zone-one.cn"], Taken(1)),
            ("DOM-09", "trustasia-dv-wildcard", &["*.a.zone-one.cn", "a.zone-one.cn"], shape(&["a.zone-one.cn"])),
        ],
    )
    .await;
}

#[tokio::test]
async fn a_free_name_is_proven_like_any_other() {
    let world = World::documented().await;
    let client = world.client().await;
    let names = ["zone-one.cn", "www.zone-one.cn"];
    let placed = client.new_order(&names).await.expect(201);
    let authzs = client.authorizations(&placed.json()).await;
    client.respond(&challenge(&authzs[0], "http-01")).await.expect(200);
    // SAN-09
    let early = client.finalize(&placed.json(), &csr(&names).0).await;
    early.expect_problem(403, "orderNotReady");
    client.respond(&challenge(&authzs[1], "http-01")).await.expect(200);
    let done = client.finalize(&placed.json(), &csr(&names).0).await.expect(200).json();
    assert_eq!(done["status"], "valid", "{done}");
}

#[tokio::test]
async fn a_purchase_is_for_as_many_names_as_were_bought_and_for_those_that_were_named_first() {
    let world = World::documented().await;
    let customer = world.customer(CustomerKind::Individual).await;
    let client = world.client_of(&customer).await;
    world.buy(&customer, "trustasia-dv-multiwildcard", 2, 1).await;
    let profile = "trustasia-dv-multiwildcard";
    let three = order_for(Some(profile), &["*.zone-one.cn", "*.a.zone-one.cn", "*.zone-two.cn"]);
    let refused = client.new_order_of(three).await.expect_problem(400, "invalidProfile");
    has_parts(&refused, &["3 wildcard names exceed the 2 bought", "DOM-07", "BUY-05"]);
    let refused = client.new_order_of(order_for(Some(profile), &["*.zone-one.cn"])).await;
    has_parts(&refused.expect_problem(400, "invalidProfile"), &["2 are required", "BUY-05"]);

    world.buy(&customer, "trustasia-dv-multi", 2, 1).await;
    let names = ["a.zone-one.cn", "b.zone-one.cn"];
    let (_, chain) = world.certificate(&client, &names).await;
    world.pass(DAY).await;
    // DOM-12: other names need a purchase of their own.
    let others = ["a.zone-one.cn", "c.zone-one.cn"];
    let refused = client.new_order_of(order_for(Some("trustasia-dv-multi"), &others)).await;
    has_parts(&refused.expect_problem(403, "userActionRequired"), &["no unused purchase", "BUY-03"]);
    // DOM-13: a reissue or renewal keeps its names.
    let replacing = json!({ "profile": "trustasia-dv-multi", "replaces": cert_id(&leaf(&chain)) });
    let refused = client.new_order_of(order_of(&others, replacing.clone())).await;
    has_parts(&refused.expect_problem(400, "malformed"), &["keeps its names", "DOM-13"]);
    client.new_order_of(order_of(&names, replacing)).await.expect(201);
}

#[tokio::test]
async fn all_bad_names_of_an_order_are_told_together_each_with_its_rule() {
    let world = World::documented().await;
    let client = world.client().await;
    let long = format!("{}.zone-one.cn", "n".repeat(60));
    let names = [
        "good.zone-one.cn",
        "pay.zone-one.cn",
        "zone-one.ru",
        "*.zone-one.cn",
        "10.0.0.1",
        &long,
        "zone-one.org",
        "com.cn",
        "b.zone-one.cn",
    ];
    let answer = client.new_order_of(order_for(Some("trustasia-dv-free"), &names)).await;
    answer.expect_problem(400, "compound");
    let told = |answer: &Value| -> Vec<(String, String, String)> {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let parts = answer["subproblems"].as_array().unwrap();
        parts.iter().map(|p| (text(&p["identifier"]["value"]), text(&p["type"]), text(&p["detail"]))).collect()
    };
    let found = told(&answer.json());
    for (name, kind, rule) in [
        ("pay.zone-one.cn", "rejectedIdentifier", "(WORD-01)"),
        ("zone-one.ru", "rejectedIdentifier", "(TLD-01)"),
        ("*.zone-one.cn", "invalidProfile", "(CAT-07)"),
        ("10.0.0.1", "rejectedIdentifier", "(IP-04)"),
        ("10.0.0.1", "invalidProfile", "(IP-05)"),
        (long.as_str(), "rejectedIdentifier", "(DOM-11)"),
        ("zone-one.org", "rejectedIdentifier", "(TLD-02)"),
        ("com.cn", "rejectedIdentifier", "(DOM-15)"),
        ("b.zone-one.cn", "invalidProfile", "(CAT-07)"),
    ] {
        let is_it = |(value, urn, detail): &(String, String, String)| {
            value == name && urn.ends_with(&format!(":{kind}")) && detail.contains(rule)
        };
        assert!(found.iter().any(is_it), "{name} {rule}: {found:#?}");
    }
    assert!(found.iter().all(|(name, _, _)| name != "good.zone-one.cn"), "{found:#?}");
    // Names that can't be read stand beside those that are refused.
    let names = ["a_b.zone-one.cn", "pay.zone-one.cn", "*.*.zone-one.cn", "webhost"];
    let answer = client.new_order_of(order_for(None, &names)).await;
    answer.expect_problem(400, "compound");
    let found = told(&answer.json());
    let rules = ["DOM-11", "DOM-05", "DOM-17", "WORD-01"];
    assert_eq!(found.len(), rules.len(), "{found:#?}");
    assert!(rules.iter().all(|rule| found.iter().any(|(_, _, detail)| detail.contains(rule))), "{found:#?}");
}
