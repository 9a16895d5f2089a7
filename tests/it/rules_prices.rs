//! What certificates cost (PRICE-01 to PRICE-36, BUY-03, BUY-06), to the cent of the price list.

use chancery::domain::customer::CustomerKind;
use chancery::domain::{Kind, Money};
use chancery::ra::Quote;

use crate::acme_tools::has_parts;
use crate::documents::{order_for, price_list};
use crate::support::world::World;

fn dollars(whole: u64) -> Money {
    Money::from_cents(whole * 100)
}

fn quote(world: &World, product: &str, names: u32, years: u32) -> chancery::domain::Result<Quote> {
    world.ra().quote(product, names, Some(years))
}

#[tokio::test]
async fn every_row_of_the_price_list_is_quoted_to_the_cent() {
    let world = World::documented().await;
    for [id, rule, _, _, shape, base, included, extra, ..] in price_list() {
        let (base, included): (u64, u32) = (base.parse().unwrap(), included.parse().unwrap());
        // PRICE-31, PRICE-35
        for names in 1..=included {
            let quote = quote(&world, id, names, 1).unwrap();
            let shown = (quote.yearly, quote.total, quote.base, quote.included, quote.additional);
            assert_eq!(shown, (dollars(base), dollars(base), dollars(base), included, 0), "{rule} with {names}");
        }
        let more = quote(&world, id, included + 3, 1);
        match extra.parse::<u64>() {
            Ok(extra) => {
                let quote = more.unwrap();
                assert_eq!((quote.total, quote.additional), (dollars(base + 3 * extra), 3), "{rule}");
                assert_eq!(quote.extra, Some(dollars(extra)), "{rule}");
            }
            Err(_) => {
                let error = more.unwrap_err();
                let part = if shape == "wildcard" { "takes one wildcard name" } else { "takes one name" };
                assert_eq!(error.kind(), Kind::InvalidProfile, "{rule}");
                has_parts(&error.problem().detail, &[id, part, "4 names exceed what it sells"]);
            }
        }
    }
}

#[tokio::test]
async fn quotes_are_those_that_the_documents_work_out() {
    let world = World::documented().await;
    for (rule, product, names, years, total) in [
        ("PRICE-31", "securesite-ov-multi", 5, 1, 4180),
        ("PRICE-31", "geotrust-ev-multi", 6, 1, 3134),
        ("PRICE-31", "trustasia-dv-multi", 7, 1, 1016),
        ("PRICE-31", "trustasia-ov-multiwildcard", 3, 1, 6044),
        ("PRICE-31", "globalsign-ev-multi", 4, 1, 2809),
        ("PRICE-32", "securesite-ov-multi", 2, 1, 2 * 836),
        ("PRICE-32", "securesite-ovpro-multi", 3, 1, 3 * 1342),
        ("PRICE-32", "securesite-ev-multi", 4, 1, 4 * 1342),
        ("PRICE-32", "securesite-evpro-multi", 100, 1, 100 * 2507),
        ("PRICE-33", "trustasia-dv-multi", 5, 1, 732),
        ("PRICE-33", "globalsign-ov-multi", 2, 1, 852),
        ("PRICE-34", "trustasia-dv-free", 1, 1, 0),
        ("PRICE-35", "trustasia-dv-multi", 1, 1, 732),
        ("PRICE-36", "trustasia-dv-multiwildcard", 2, 1, 1194),
        ("PRICE-36", "trustasia-dv-multiwildcard", 4, 1, 1194 + 2 * 299),
        ("BUY-08", "trustasia-dv-wildcard", 1, 3, 3 * 299),
        ("PRICE-30", "trustasia-dv-wildcard", 1, 1, 299),
    ] {
        assert_eq!(quote(&world, product, names, years).unwrap().total, dollars(total), "{rule} {product} {names}");
    }
    for (rule, product, names, years, note) in [
        ("PRICE-35", "trustasia-dv-multi", 4, 1, "includes 5 names"),
        (
            "PRICE-36",
            "trustasia-dv-multiwildcard",
            2,
            1,
            "2 separate certificates of \"trustasia-dv-wildcard\" would cost 598.00 USD",
        ),
        ("BUY-08", "trustasia-dv-wildcard", 1, 2, "paid at once"),
    ] {
        let notes = quote(&world, product, names, years).unwrap().notes;
        assert!(notes.iter().any(|told| told.contains(note)), "{rule}: {notes:?}");
    }
    let notes = quote(&world, "trustasia-dv-multi", 5, 1).unwrap().notes;
    assert!(notes.iter().all(|told| told.contains("REFUND-03")), "PRICE-36: {notes:?}");
}

#[tokio::test]
async fn what_is_not_sold_has_no_quote() {
    let world = World::documented().await;
    for (rule, product, names, years, kind, parts) in [
        ("CAT-02", "wotrus-dv", 1, 1, Kind::InvalidProfile, &["No price is set", "CAT-02"][..]),
        ("BUY-06", "trustasia-dv-multi", 5, 2, Kind::InvalidProfile, &["not for 2", "BUY-06"]),
        ("BUY-06", "trustasia-dv-wildcard", 1, 4, Kind::InvalidProfile, &["1 or 2 or 3", "BUY-06"]),
        ("DOM-03", "trustasia-dv-multi", 101, 1, Kind::InvalidProfile, &["at most 100 names", "101 names exceed"]),
        ("DOM-01", "trustasia-dv-free", 2, 1, Kind::InvalidProfile, &["takes one name"]),
        ("PRICE-31", "trustasia-dv-multi", 0, 1, Kind::Malformed, &["at least one name"]),
        ("CAT-01", "cfca-ov", 1, 1, Kind::NotFound, &["no product"]),
    ] {
        let error = quote(&world, product, names, years).unwrap_err();
        assert_eq!(error.kind(), kind, "{rule}: {error:?}");
        has_parts(&error.problem().detail, parts);
    }
    // A price that has no further names, though the product is for several.
    let world = World::documented_but(&[("included = 2, extra = 836", "included = 2")]).await;
    let error = quote(&world, "securesite-ov-multi", 3, 1).unwrap_err();
    has_parts(&error.problem().detail, &["no further names beyond the 2 included"]);
}

#[tokio::test]
async fn who_has_bought_nothing_is_told_the_price_of_the_names() {
    let world = World::documented().await;
    let customer = world.customer(CustomerKind::Enterprise).await;
    let client = world.client_of(&customer).await;
    let seven: Vec<String> = (0..7).map(|n| format!("n{n}.zone-one.cn")).collect();
    let seven: Vec<&str> = seven.iter().map(String::as_str).collect();
    for (rule, product, names, price) in [
        ("PRICE-31", "trustasia-dv-multi", &seven[..], "1016.00 USD"),
        ("SAN-08", "trustasia-dv-multi", &["zone-one.cn", "www.zone-one.cn"], "732.00 USD"),
        ("PRICE-04", "securesite-evpro-single", &["zone-one.cn"], "2507.00 USD"),
        (
            "PRICE-23",
            "trustasia-ov-multiwildcard",
            &["*.zone-one.cn", "*.zone-two.cn", "*.a.zone-one.cn"],
            "6044.00 USD",
        ),
    ] {
        let refused = client.new_order_of(order_for(Some(product), names)).await;
        let detail = refused.expect_problem(403, "userActionRequired");
        assert!(detail.contains(price) && detail.contains("BUY-03"), "{rule}: {detail}");
    }
    // PRICE-34: a free certificate needs no purchase, the second no more than the first.
    client.new_order(&["a.zone-one.cn"]).await.expect(201);
    client.new_order(&["b.zone-one.cn"]).await.expect(201);
}
