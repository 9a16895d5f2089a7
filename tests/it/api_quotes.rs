//! Products and quotes over REST: for everybody, to the cent of the price list.

use serde_json::{Value, json};

use crate::acme_tools::has_parts;
use crate::support::client::Response;
use crate::support::operator::Operator;
use crate::support::world::World;

/// What whoever has no token is told.
struct Visitor(Operator);

impl Visitor {
    fn of(world: &World) -> Self {
        Self(Operator::with(world, None))
    }

    async fn quote(&self, product: &str, names: u32, years: u32) -> Response {
        self.0.get(&format!("/quotes?product={product}&names={names}&years={years}")).await
    }

    async fn quote_of(&self, body: Value) -> Response {
        self.0.send("POST", "/quotes", &body).await
    }
}

#[track_caller]
fn refused(answer: &Response, status: u16, parts: &[&str]) -> Value {
    assert_eq!(answer.status, status, "{answer}");
    assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{answer}");
    has_parts(answer.json()["detail"].as_str().unwrap(), parts);
    answer.json()
}

fn values(names: &Value) -> Vec<&str> {
    names.as_array().unwrap().iter().map(|name| name["value"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn every_product_is_shown_with_its_price_and_its_rules() {
    let world = World::documented().await;
    let visitor = Visitor::of(&world);
    let all = visitor.0.get("/products").await.expect(200).json();
    let all = all["items"].as_array().unwrap();
    assert_eq!(all.iter().filter(|product| product["sold"] == true).count(), 29, "CAT-02");
    // (rule, id, members)
    for (rule, id, members) in [
        (
            "PRICE-17",
            "trustasia-dv-multi",
            json!({
                "brand": "TrustAsia", "type": "dv", "shape": "multi", "sale": "paid", "sold": true, "years": [1],
                "price": { "base": "732.00", "included": 5, "extra": "142.00", "currency": "USD" },
                "max_names": 100, "wildcard": false, "ip": false, "keys": ["rsa-2048", "p-256"],
                "methods": ["http-01", "dns-01"], "validity_days": 397, "renewed_validity_days": 398, "term_days": 365,
                "caa_identities": ["sectigo.com"], "review": "sensitive-words", "basis": ["PRICE-17"],
            }),
        ),
        (
            "PRICE-14",
            "trustasia-dv-free",
            json!({ "type": "dv-free", "shape": "single", "sale": "free", "sold": true, "price": null, "review": "none" }),
        ),
        ("PRICE-20", "trustasia-dv-wildcard", json!({ "shape": "wildcard", "wildcard": true, "years": [1, 2, 3] })),
        (
            "PRICE-04",
            "securesite-evpro-single",
            json!({ "type": "ev-pro", "price": { "base": "2507.00", "included": 1, "currency": "USD" }, "review": "all" }),
        ),
        ("PRICE-23", "trustasia-ov-multiwildcard", json!({ "shape": "multi-wildcard", "type": "ov" })),
        ("IP-01", "trustasia-ov-single", json!({ "ip": true })),
    ] {
        let shown = visitor.0.get(&format!("/products/{id}")).await.expect(200).json();
        assert!(all.contains(&shown), "{rule}: {id} is in the list as it is shown alone");
        for (member, value) in members.as_object().unwrap() {
            assert_eq!(shown[member], *value, "{rule}: {id}.{member}");
        }
    }
    // CAT-02: what has no price is known, and marked.
    let unsold = all.iter().find(|product| product["sale"] == "unpriced").expect("an unpriced product");
    assert_eq!((&unsold["sold"], &unsold["price"]), (&json!(false), &Value::Null));
}

#[tokio::test]
async fn quotes_are_to_the_cent_of_the_price_list() {
    let world = World::documented().await;
    let visitor = Visitor::of(&world);
    // (rule, product, names, years, total)
    for (rule, product, names, years, total) in [
        ("PRICE-31", "securesite-ov-multi", 5, 1, "4180.00"),
        ("PRICE-31", "geotrust-ev-multi", 6, 1, "3134.00"),
        ("PRICE-31", "trustasia-dv-multi", 7, 1, "1016.00"),
        ("PRICE-31", "trustasia-ov-multiwildcard", 3, 1, "6044.00"),
        ("PRICE-31", "globalsign-ev-multi", 4, 1, "2809.00"),
        ("PRICE-32", "securesite-ov-multi", 2, 1, "1672.00"),
        ("PRICE-32", "securesite-ov-multi", 3, 1, "2508.00"),
        ("PRICE-33", "geotrust-ev-multi", 5, 1, "2686.00"),
        ("PRICE-33", "trustasia-dv-multi", 5, 1, "732.00"),
        ("PRICE-33", "trustasia-dv-multi", 6, 1, "874.00"),
        ("PRICE-34", "trustasia-dv-free", 1, 1, "0.00"),
        ("PRICE-35", "trustasia-dv-multi", 1, 1, "732.00"),
        ("PRICE-36", "trustasia-dv-multiwildcard", 3, 1, "1493.00"),
        ("BUY-08", "trustasia-dv-wildcard", 1, 3, "897.00"),
    ] {
        let quote = visitor.quote(product, names, years).await.expect(200).json();
        assert_eq!(quote["total"], total, "{rule}: {quote}");
        assert_eq!((&quote["names"], &quote["years"]), (&json!(names), &json!(years)), "{rule}");
        // PRICE-30: for one year, in USD.
        assert_eq!(quote["currency"], "USD");
        let asked = json!({ "product": product, "names": names, "years": years });
        assert_eq!(visitor.quote_of(asked).await.expect(200).json(), quote, "{rule}");
    }
    let quote = visitor.quote("geotrust-ev-multi", 7, 1).await.expect(200).json();
    assert_eq!(
        [&quote["base"], &quote["included"], &quote["additional"], &quote["extra"], &quote["yearly"]],
        [&json!("2686.00"), &json!(5), &json!(2), &json!("448.00"), &json!("3582.00")]
    );
}

#[tokio::test]
async fn what_the_buyer_should_know_is_noted() {
    let world = World::documented().await;
    let visitor = Visitor::of(&world);
    for (rule, product, names, years, note) in [
        ("PRICE-35", "geotrust-ev-multi", 2, 1, Some("The base price includes 5 names.")),
        (
            "PRICE-36",
            "trustasia-dv-multiwildcard",
            3,
            1,
            Some("3 separate certificates of \"trustasia-dv-wildcard\" would cost 897.00 USD a year."),
        ),
        ("BUY-08", "trustasia-dv-wildcard", 1, 2, Some("2 certificates of one year each")),
        ("PRICE-35", "geotrust-ov-single", 1, 1, None),
    ] {
        let quote = visitor.quote(product, names, years).await.expect(200).json();
        let notes = quote["notes"].as_array().unwrap();
        match note {
            Some(note) => assert!(notes.iter().any(|said| said.as_str().unwrap().contains(note)), "{rule}: {quote}"),
            // What every purchase says.
            None => assert!(notes.len() == 1 && notes[0].as_str().unwrap().contains("REFUND-03"), "{rule}: {quote}"),
        }
    }
    // Without years, for the fewest that are sold.
    let quote = visitor.0.get("/quotes?product=trustasia-dv-wildcard&names=1").await.expect(200).json();
    assert_eq!((&quote["years"], &quote["total"]), (&json!(1), &json!("299.00")));
}

#[tokio::test]
async fn what_is_not_sold_has_no_quote() {
    let world = World::documented().await;
    let visitor = Visitor::of(&world);
    for (rule, product, names, years, status, parts) in [
        ("BUY-06", "trustasia-dv-multi", 1, 2, 400, &["sold for a term of 1 year(s), not for 2", "BUY-06"][..]),
        ("BUY-06", "trustasia-dv-wildcard", 1, 4, 400, &["sold for a term of 1 or 2 or 3 year(s), not for 4"]),
        ("BUY-06", "trustasia-dv-wildcard", 1, 0, 400, &["not for 0"]),
        ("DOM-01", "geotrust-ov-single", 2, 1, 400, &["takes one name", "2 names exceed what it sells"]),
        ("DOM-03", "trustasia-dv-multi", 101, 1, 400, &["at most 100 names"]),
        ("PRICE-31", "trustasia-dv-multi", 0, 1, 400, &["at least one name"]),
        ("CAT-01", "nobody-dv-single", 1, 1, 404, &["no product \"nobody-dv-single\""]),
    ] {
        let answer = visitor.quote(product, names, years).await;
        assert_eq!(answer.status, status, "{rule}: {answer}");
        refused(&answer, status, parts);
    }
    let all = visitor.0.get("/products").await.expect(200).json();
    let mut unsold = all["items"].as_array().unwrap().iter().filter(|product| product["sold"] == false);
    let unsold = unsold.next().unwrap()["id"].as_str().unwrap();
    refused(&visitor.quote(unsold, 1, 1).await, 400, &["No price is set", "CAT-02"]);
    for query in
        ["", "product=trustasia-dv-multi", "names=1", "product=trustasia-dv-multi&names=-1", "product=a&names=1&x=2"]
    {
        refused(&visitor.0.get(&format!("/quotes?{query}")).await, 400, &[]);
    }
}

#[tokio::test]
async fn names_are_told_apart_into_charged_and_free_ones() {
    let world = World::documented().await;
    let visitor = Visitor::of(&world);
    // (rule, product, names, charged, free, total)
    for (rule, product, names, charged, free, total) in [
        (
            "SAN-01",
            "trustasia-dv-multi",
            &["zone.cn", "www.zone.cn", "mail.b.cn"][..],
            &["mail.b.cn", "zone.cn"][..],
            &["www.zone.cn"][..],
            "732.00",
        ),
        ("SAN-02", "trustasia-dv-wildcard", &["*.zone.cn", "zone.cn"], &["*.zone.cn"], &["zone.cn"], "299.00"),
        ("SAN-08", "trustasia-dv-multi", &["A.zone.cn", "a.zone.cn"], &["a.zone.cn"], &[], "732.00"),
        (
            "IP-01",
            "trustasia-ov-multi",
            &["zone.cn", "93.184.216.34", "b.cn"],
            &["zone.cn", "93.184.216.34", "b.cn"],
            &[],
            "1269.00",
        ),
    ] {
        let quote = visitor.quote_of(json!({ "product": product, "identifiers": names })).await.expect(200).json();
        let sorted = |names: &[&str]| {
            let mut names = names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
            names.sort();
            names
        };
        assert_eq!(sorted(&values(&quote["free"])), sorted(free), "{rule}: {quote}");
        assert_eq!(sorted(&values(&quote["charged"])), sorted(charged), "{rule}: {quote}");
        assert_eq!((&quote["names"], &quote["total"]), (&json!(charged.len()), &json!(total)), "{rule}");
    }
}

#[tokio::test]
async fn names_without_a_product_are_quoted_by_all_that_take_them_the_cheapest_first() {
    let world = World::documented().await;
    let visitor = Visitor::of(&world);
    let list = visitor.quote_of(json!({ "identifiers": ["zone.cn"] })).await.expect(200).json();
    let quotes = list["items"].as_array().unwrap();
    assert_eq!((&quotes[0]["product"], &quotes[0]["total"]), (&json!("trustasia-dv-free"), &json!("0.00")), "PRICE-34");
    assert_eq!((&quotes[1]["product"], &quotes[1]["total"]), (&json!("geotrust-ov-single"), &json!("415.00")));
    let totals: Vec<f64> = quotes.iter().map(|quote| quote["total"].as_str().unwrap().parse().unwrap()).collect();
    assert!(totals.is_sorted(), "{totals:?}");
    assert!(quotes.iter().all(|quote| !quote["product"].as_str().unwrap().contains("wildcard")), "DOM-09");
    // Two wildcards: only what takes several.
    let list = visitor.quote_of(json!({ "identifiers": ["*.zone.cn", "*.b.cn"] })).await.expect(200).json();
    let products: Vec<&str> =
        list["items"].as_array().unwrap().iter().map(|quote| quote["product"].as_str().unwrap()).collect();
    assert_eq!(products, ["trustasia-dv-multiwildcard", "globalsign-ov-multiwildcard", "trustasia-ov-multiwildcard"]);
    // Two years are sold for the TrustAsia DV wildcard alone.
    let list = visitor.quote_of(json!({ "identifiers": ["*.zone.cn"], "years": 2 })).await.expect(200).json();
    assert_eq!(list["items"].as_array().unwrap().len(), 1, "{list}");
    assert_eq!(list["items"][0]["total"], "598.00");
}

#[tokio::test]
async fn names_that_would_be_refused_when_ordered_have_no_quote() {
    let world = World::documented().await;
    let visitor = Visitor::of(&world);
    for (rule, body, parts) in [
        ("TLD-01", json!({ "product": "trustasia-dv-multi", "identifiers": ["zone.ru"] }), &["zone.ru", "TLD-01"][..]),
        ("TLD-01", json!({ "identifiers": ["zone.ru"] }), &["No product", "zone.ru", "TLD-01"]),
        ("WORD-01", json!({ "product": "trustasia-dv-free", "identifiers": ["pay.zone.cn"] }), &["'pay'"]),
        ("DOM-16", json!({ "product": "trustasia-dv-multi", "identifiers": ["*.zone.cn"] }), &["DOM-16"]),
        ("DOM-09", json!({ "identifiers": ["*.zone.cn", "b.cn"] }), &["No product that is sold takes these names"]),
        ("DOM-05", json!({ "identifiers": ["*.*.zone.cn"] }), &["asterisk"]),
        ("request", json!({ "identifiers": [] }), &["empty"]),
        ("request", json!({ "product": "trustasia-dv-multi" }), &["\"identifiers\""]),
        ("request", json!({ "names": 2 }), &["\"identifiers\""]),
        ("request", json!({ "product": "trustasia-dv-multi", "names": 1, "identifiers": ["a.cn"] }), &["Give"]),
        ("request", json!({ "identifiers": vec!["zone.cn"; 201] }), &["201", "at most 100"]),
        ("request", json!({ "identifiers": "zone.cn" }), &["can't be read"]),
    ] {
        let answer = visitor.quote_of(body).await;
        assert_eq!(answer.status, 400, "{rule}: {answer}");
        refused(&answer, 400, parts);
    }
    // Several bad names are told one by one.
    let body = json!({ "product": "trustasia-dv-multi", "identifiers": ["zone.ru", "a..cn", "zone.cn"] });
    let told = refused(&visitor.quote_of(body).await, 400, &["2 problems"]);
    let named: Vec<&str> = told["subproblems"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["identifier"]["value"].as_str().unwrap())
        .collect();
    assert_eq!(named, ["a..cn", "zone.ru"]);
    // WORD-05, design decision 5: a paid name with a word is sold, and looked at.
    let body = json!({ "product": "trustasia-dv-multi", "identifiers": ["pay.zone.cn"] });
    let quote = visitor.quote_of(body).await.expect(200).json();
    has_parts(&quote["notes"].to_string(), &["A person looks at pay.zone.cn first", "WORD-01"]);
}
