//! The catalogue against the documents' figures (CAT, PRICE-01 to PRICE-29, IP-01 to IP-09, SAN-01 to SAN-06), and the
//! choice of a product.

use std::collections::{BTreeMap, BTreeSet};

use chancery::domain::customer::CustomerKind;
use chancery::domain::{Identifier, Money};
use chancery::policy::catalog::{Catalog, Class, CountsFrom, Product, Purpose, Reupload, Sale, Shape, Step};
use serde_json::json;

use crate::acme_tools::{has_parts, order_of};
use crate::documents;
use crate::support::operator::Operator;
use crate::support::world::{BASE, World};

fn shape_id(shape: Shape) -> &'static str {
    match shape {
        Shape::Any => "any",
        Shape::Single => "single",
        Shape::Multi => "multi",
        Shape::Wildcard => "wildcard",
        Shape::MultiWildcard => "multi-wildcard",
    }
}

fn usd(text: &str) -> Option<Money> {
    Money::parse(text)
}

fn of<'a>(catalog: &'a Catalog, brand: &'a str) -> impl Iterator<Item = &'a Product> {
    catalog.products().filter(move |product| product.brand.as_deref() == Some(brand))
}

#[test]
fn the_shipped_catalogue_has_the_29_rows_of_the_price_list_and_sells_nothing_else() {
    let catalog = documents::catalog();
    let list = documents::price_list();
    assert_eq!(list.len(), 29);
    for [id, rule, brand, class, shape, base, included, extra, years, most, renewed] in &list {
        let product = catalog.product(id).unwrap_or_else(|| panic!("{rule}: {id}"));
        let shown = (product.brand.as_deref().unwrap(), product.class.id(), shape_id(product.shape));
        assert_eq!(shown, (*brand, *class, *shape), "{rule}");
        match product.sale {
            Sale::Paid(price) => {
                assert_eq!((Some(price.base), price.extra), (usd(base), usd(extra)), "{rule}");
                assert_eq!(price.included.to_string(), *included, "{rule}");
            }
            Sale::Free => assert_eq!((*base, *rule), ("0", "PRICE-14")),
            sale => panic!("{rule}: {sale:?}"),
        }
        let terms: Vec<String> = product.years.iter().map(u32::to_string).collect();
        assert_eq!(terms.join("/"), *years, "{rule}, BUY-06, X-21");
        assert_eq!(product.validity_days.to_string(), *most, "{rule}, VALIDITY-01, VALIDITY-03");
        let renewed = if renewed.is_empty() { most } else { renewed };
        assert_eq!(product.renewed_validity_days.to_string(), *renewed, "{rule}, VALIDITY-02");
        assert!(product.basis.iter().any(|basis| basis == rule), "{rule}");
    }
    let sold: BTreeSet<&str> = catalog.sold().map(|product| product.id.as_str()).collect();
    assert_eq!(sold, list.iter().map(|row| row[0]).collect(), "CAT-02");
    let unsold: Vec<&str> =
        catalog.products().filter(|product| product.sale == Sale::Unpriced).map(|product| &*product.id).collect();
    let known = "dnspod-sm-dv dnspod-sm-ev dnspod-sm-ov dnspod-std-dv dnspod-std-ev dnspod-std-ov wotrus-dv wotrus-ev wotrus-ov";
    assert_eq!(unsold, known.split(' ').collect::<Vec<_>>(), "CAT-02");
}

#[test]
fn the_brands_are_those_of_the_documents() {
    let catalog = documents::catalog();
    let told: Vec<_> = catalog
        .brands()
        .map(|brand| {
            let cents = brand.compensation.map(Money::cents);
            (&*brand.id, brand.root.as_deref().unwrap(), &*brand.caa_identities, cents, brand.national_standard)
        })
        .collect();
    let sectigo = ["sectigo.com".to_owned()];
    // CAT-01, CAT-12, CAA-10, CAT-18, CAT-13
    let expected: &[(&str, &str, &[String], Option<u64>, bool)] = &[
        ("dnspod-sm", "WoTrus root", &[], None, true),
        ("dnspod-std", "WoTrus root", &[], None, false),
        ("geotrust", "GeoTrust root", &[], Some(150_000_000), false),
        ("globalsign", "GlobalSign root", &[], None, false),
        ("securesite", "SecureSite root", &[], Some(175_000_000), false),
        ("trustasia", "Sectigo root", &sectigo, None, false),
        ("wotrus", "Sectigo root", &[], None, false),
    ];
    assert_eq!(told, expected);
    assert_eq!(catalog.caa_identities(), sectigo);
    for product in catalog.products() {
        let brand = catalog.brand(product.brand.as_deref().unwrap()).unwrap();
        assert_eq!(product.caa_identities, brand.caa_identities, "CAA-03, CAA-10: {}", product.id);
        assert_eq!(product.issuer, brand.issuer, "CAT-12: {}", product.id);
        let retained = if brand.id == "dnspod-sm" { 397 } else { 0 };
        assert_eq!(product.validation_reuse_days, retained, "VAL-32, VAL-33: {}", product.id);
        let pro = matches!(product.class, Class::OvPro | Class::EvPro);
        let wildcard = matches!(product.shape, Shape::Wildcard | Shape::MultiWildcard);
        assert!(!pro || (brand.id == "securesite" && !wildcard), "CAT-08: {}", product.id);
        let extended = matches!(product.class, Class::Ev | Class::EvPro);
        assert!(!(extended && wildcard), "CAT-09: {}", product.id);
        assert_eq!(
            product.notices.is_empty(),
            !brand.national_standard && product.class != Class::DvFree,
            "CAT-16, CAT-17, CAT-22"
        );
    }
    // CAT-10
    for brand in ["securesite", "geotrust", "globalsign"] {
        assert!(of(&catalog, brand).all(|product| !matches!(product.class, Class::Dv | Class::DvFree)), "{brand}");
    }
    assert!(of(&catalog, "geotrust").all(|product| (product.class, product.shape) != (Class::Ov, Shape::Multi)));
    for brand in ["securesite", "geotrust"] {
        assert!(of(&catalog, brand).all(|product| product.shape != Shape::MultiWildcard), "{brand}");
    }
    let singles = of(&catalog, "trustasia").filter(|product| product.shape == Shape::Single);
    assert_eq!(singles.filter(|product| product.class == Class::Dv).count(), 0, "CAT-10");
    // CAT-07
    let free: Vec<&Product> = catalog.products().filter(|product| product.class == Class::DvFree).collect();
    assert_eq!(free.len(), 1);
    assert_eq!((free[0].brand.as_deref(), free[0].shape), (Some("trustasia"), Shape::Single));
    assert_eq!((free[0].names.max, free[0].names.wildcard, free[0].names.ip), (1, false, false));
}

#[test]
fn free_names_are_given_as_the_table_says() {
    let catalog = documents::catalog();
    for [brand, class, www, parent] in documents::free_names() {
        let products: Vec<&Product> =
            of(&catalog, brand).filter(|product| class.is_empty() || product.class.id() == class).collect();
        assert!(!products.is_empty(), "{brand} {class}");
        for product in products {
            let rules = product.free_names;
            let shown = (rules.www.to_string(), rules.parent.to_string(), rules.neutral);
            assert_eq!(shown, (www.to_owned(), parent.to_owned(), true), "SAN-01, SAN-02, SAN-06: {}", product.id);
        }
    }
}

/// The shipped catalogue, with a product of every brand, type and shape in the place of its own.
fn with_every_product(matrix: &str) -> Catalog {
    let (head, _) = documents::CATALOG.split_once("[[products]]").unwrap();
    let mut text = head.replacen("ip_matrix = \"faq\"", &format!("ip_matrix = \"{matrix}\""), 1);
    for [table, brand, ..] in documents::ip_matrix() {
        for class in ["ov", "ov-pro", "dv", "dv-free", "ev", "ev-pro"] {
            for shape in ["single", "multi", "wildcard", "multi-wildcard"] {
                let possible = match class {
                    "dv-free" => shape == "single",
                    "ev" | "ev-pro" => !shape.contains("wildcard"),
                    _ => true,
                };
                if table == "guide" && possible {
                    text += &format!(
                        "[[products]]\nid = \"{brand}-{class}-{shape}\"\ntitle = \"x\"\nbrand = \"{brand}\"\n\
                         type = \"{class}\"\nshape = \"{shape}\"\n"
                    );
                }
            }
        }
    }
    documents::catalog_of(&text)
}

#[test]
fn ip_addresses_are_taken_cell_by_cell_of_the_table_that_holds() {
    let tables: BTreeMap<(&str, &str), [&str; 6]> = documents::ip_matrix()
        .into_iter()
        .map(|[table, brand, ov, ov_pro, dv, dv_free, ev, ev_pro]| {
            ((table, brand), [ov, ov_pro, dv, dv_free, ev, ev_pro])
        })
        .collect();
    for matrix in ["faq", "guide"] {
        let catalog = with_every_product(matrix);
        for product in catalog.products() {
            let brand = product.brand.as_deref().unwrap();
            // IP-03: the other table for brands that this one does not list.
            let row = tables.get(&(matrix, brand)).unwrap_or_else(|| &tables[&("guide", brand)]);
            let class = [Class::Ov, Class::OvPro, Class::Dv, Class::DvFree, Class::Ev, Class::EvPro];
            let cell = row[class.iter().position(|class| *class == product.class).unwrap()];
            // IP-01, IP-02, IP-05, IP-09, CAT-11
            let taken = match cell {
                "single+multi" | "yes" => matches!(product.shape, Shape::Single | Shape::Multi),
                "no" | "not_sold" => false,
                other => panic!("{other}"),
            };
            assert_eq!(product.names.ip, taken, "{matrix}: {}", product.id);
            let address: Identifier = Identifier::parse("ip", "1.1.1.1").unwrap();
            assert!(!taken || !product.methods_for(&address).is_empty(), "{}", product.id);
        }
    }
    let taking = |text: &str| -> Vec<String> {
        let catalog = documents::catalog_of(text);
        catalog.sold().filter(|product| product.names.ip).map(|product| product.id.clone()).collect()
    };
    assert_eq!(taking(documents::CATALOG), ["trustasia-ov-multi", "trustasia-ov-single"], "IP-03");
    let guide = documents::CATALOG.replacen("ip_matrix = \"faq\"", "ip_matrix = \"guide\"", 1);
    let all = "geotrust-ov-single globalsign-ov-multi globalsign-ov-single securesite-ov-multi securesite-ov-single \
               securesite-ovpro-multi securesite-ovpro-single trustasia-ov-multi trustasia-ov-single";
    assert_eq!(taking(&guide), all.split_whitespace().collect::<Vec<_>>(), "IP-02");
}

#[test]
fn reviews_letters_and_reminders_are_those_of_the_documents() {
    let catalog = documents::catalog();
    let paperwork = catalog.paperwork();
    let days = |class| paperwork.review.business_days[&class];
    for (rule, class, expected) in [
        ("REVIEW-01", Class::Ov, [3, 5]),
        ("REVIEW-01", Class::OvPro, [3, 5]),
        ("REVIEW-02", Class::Ev, [5, 7]),
        ("REVIEW-02", Class::EvPro, [5, 7]),
        ("ISSUE-06", Class::Dv, [1, 1]),
    ] {
        assert_eq!(days(class), expected, "{rule}");
    }
    assert_eq!(paperwork.review.profile_business_days, 1, "ORG-07");
    let flow = |id: &str| catalog.review_flow(catalog.product(id).unwrap());
    let (letter, validation) = (Step::Letter, Step::Validation);
    for (rule, id, steps) in [
        ("REVIEW-07", "securesite-evpro-multi", vec![letter, validation, Step::Review]),
        ("REVIEW-07", "globalsign-ov-wildcard", vec![letter, validation, Step::Review]),
        ("REVIEW-06", "dnspod-sm-ov", vec![letter, validation, Step::Review]),
        ("REVIEW-05", "wotrus-ev", vec![Step::PreReview, validation, Step::Review]),
    ] {
        assert_eq!(flow(id).unwrap().steps, steps, "{rule}, REVIEW-08");
    }
    for id in ["trustasia-dv-free", "trustasia-dv-multi", "wotrus-dv", "dnspod-sm-dv"] {
        assert_eq!(flow(id), None, "REVIEW-03: {id}");
    }
    assert_eq!(flow("wotrus-ov").unwrap().pre_review_minutes, Some([10, 4320]), "REVIEW-04");
    assert!(flow("dnspod-sm-ev").unwrap().same_data_skips_review, "REVIEW-09");
    assert!(!flow("trustasia-ev-single").unwrap().same_data_skips_review, "REVIEW-09");

    let formats = |flow, purpose| {
        let letter = paperwork.letter(flow, purpose)?;
        let formats: Vec<String> = letter.formats.iter().map(|format| format!("{format:?}").to_lowercase()).collect();
        Some((formats.join(" "), letter.reupload == Reupload::WhileInReview, letter.exempt.is_some(), letter.photo))
    };
    for (rule, flow, purpose, expected) in [
        ("DOC-02, DOC-03, DOC-04", "other", Purpose::Application, Some(("jpg png pdf", true, true, false))),
        ("DOC-07, DOC-12", "dnspod-sm", Purpose::Application, Some(("jpg gif pdf", false, false, true))),
        ("DOC-08", "wotrus", Purpose::Application, None),
        ("DOC-09", "other", Purpose::Renewal, Some(("jpg png pdf", true, false, false))),
        ("DOC-09", "wotrus", Purpose::Renewal, None),
        ("DOC-09", "dnspod-sm", Purpose::Renewal, None),
        ("DOC-10", "dnspod-sm", Purpose::Revocation, Some(("jpg gif pdf", false, false, true))),
        ("DOC-11", "other", Purpose::Revocation, Some(("jpg png pdf", true, true, true))),
        ("REVOKE-10", "wotrus", Purpose::Revocation, None),
    ] {
        let expected = expected.map(|(formats, again, exempt, photo)| (formats.to_owned(), again, exempt, photo));
        assert_eq!(formats(flow, purpose), expected, "{rule}");
    }
    let always = &paperwork.letter("other", Purpose::Application).unwrap().never_exempt;
    assert_eq!(always.iter().collect::<Vec<_>>(), ["globalsign"], "DOC-05");
    assert_eq!(catalog.settings().letter_max_bytes, 1_400_000, "DOC-02");
    assert_eq!(catalog.settings().revocation_cutoff_date.0.to_string(), "2020-03-25T00:00:00Z", "REVOKE-07");

    let reminder = |id: &str| {
        let reminder = paperwork.reminder(catalog.product(id).unwrap())?;
        Some((reminder.wait_hours, reminder.counts_from == CountsFrom::Letter))
    };
    for (rule, id, expected) in [
        ("REMIND-02", "trustasia-dv-multi", Some((24, false))),
        ("REMIND-03", "geotrust-ov-single", Some((72, true))),
        ("REMIND-03", "securesite-ovpro-multi", Some((72, true))),
        ("REMIND-04", "globalsign-ev-multi", Some((96, true))),
        ("REMIND-04", "securesite-evpro-single", Some((96, true))),
        ("REMIND-05", "wotrus-ov", None),
        ("REMIND-05", "dnspod-sm-ev", None),
        ("X-19", "trustasia-dv-free", None),
        ("REMIND-01", "dnspod-std-ov", None),
    ] {
        assert_eq!(reminder(id), expected, "{rule}: {id}");
    }
}

#[tokio::test]
async fn the_directory_offers_what_is_sold_and_the_rest_is_refused_with_its_rule() {
    let world = World::documented().await;
    let client = world.client().await;
    let meta = client.directory().await["meta"].clone();
    let offered: BTreeSet<&str> = meta["profiles"].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(offered, documents::price_list().iter().map(|row| row[0]).collect(), "CAT-02");
    assert_eq!(meta["caaIdentities"], json!(["sectigo.com"]), "CAA-10");
    let person = world.client_of(&world.customer(CustomerKind::Individual).await).await;
    let firm = world.client_of(&world.customer(CustomerKind::Enterprise).await).await;
    for (rule, buyer, profile, names, status, error, parts) in [
        ("CAT-02", &firm, "wotrus-ov", &["zone.cn"][..], 400, "invalidProfile", &["not sold", "no price is set"][..]),
        ("CAT-02", &firm, "dnspod-sm-ev", &["zone.cn"], 400, "invalidProfile", &["dnspod-sm-ev", "CAT-02"]),
        (
            "CAT-01",
            &firm,
            "digicert-ov-single",
            &["zone.cn"],
            400,
            "invalidProfile",
            &["no profile", "geotrust-ov-single"],
        ),
        (
            "CAT-04",
            &firm,
            "cfca-ov-single",
            &["zone.cn"],
            400,
            "invalidProfile",
            &["no profile", "securesite-ov-single"],
        ),
        ("CAT-08", &firm, "geotrust-ovpro-single", &["zone.cn"], 400, "invalidProfile", &["no profile"]),
        ("CAT-09", &firm, "trustasia-ev-wildcard", &["*.zone.cn"], 400, "invalidProfile", &["no profile"]),
        ("CAT-10", &firm, "geotrust-ov-multi", &["zone.cn"], 400, "invalidProfile", &["no profile"]),
        ("CAT-05", &firm, "trustasia-xv-single", &["zone.cn"], 400, "invalidProfile", &["no profile"]),
        ("CAT-06", &firm, "trustasia-ov-triple", &["zone.cn"], 400, "invalidProfile", &["no profile"]),
        (
            "CAT-07",
            &client,
            "trustasia-dv-free",
            &["*.zone.cn"],
            400,
            "invalidProfile",
            &["one ordinary name", "CAT-07"],
        ),
        (
            "CAT-07",
            &client,
            "trustasia-dv-free",
            &["a.cn", "b.cn"],
            400,
            "invalidProfile",
            &["one ordinary name", "CAT-07"],
        ),
        ("CAT-15", &person, "trustasia-ov-single", &["zone.cn"], 403, "userActionRequired", &["individuals", "CAT-15"]),
        ("CAT-15", &person, "geotrust-ev-single", &["zone.cn"], 403, "userActionRequired", &["organisation", "CAT-15"]),
        ("BUY-03", &client, "trustasia-dv-multi", &["zone.cn"], 403, "userActionRequired", &["binding", "BUY-03"]),
    ] {
        let answer = buyer.new_order_of(order_of(names, json!({ "profile": profile }))).await;
        let detail = answer.expect_problem(status, error);
        assert!(parts.iter().all(|part| detail.contains(part)), "{rule}: {detail}");
    }
    client.new_order_of(order_of(&["zone.cn"], json!({ "profile": "trustasia-dv-free" }))).await.expect(201);
}

#[tokio::test]
async fn a_product_is_chosen_by_profile_directory_purchase_and_default_in_this_order() {
    let world = World::documented().await;
    let customer = world.customer(CustomerKind::Individual).await;
    let client = world.client_of(&customer).await;
    let product = async |names: &[&str], further| {
        let order = client.new_order_of(order_of(names, further)).await.expect(201).json();
        order["profile"].as_str().unwrap().to_owned()
    };
    // Design decision 2: nothing bought, so the default.
    assert_eq!(product(&["a.zone-one.cn"], json!({})).await, "trustasia-dv-free");
    world.buy(&customer, "trustasia-dv-wildcard", 1, 1).await;
    world.buy(&customer, "trustasia-dv-multi", 2, 1).await;
    world.buy(&customer, "trustasia-dv-multi", 1, 1).await;
    assert_eq!(product(&["a.zone-two.cn", "b.zone-two.cn"], json!({})).await, "trustasia-dv-multi");
    assert_eq!(product(&["*.zone-two.cn", "zone-two.cn"], json!({})).await, "trustasia-dv-wildcard");
    // A profile goes before the purchase that fits, and the directory of a product is a profile.
    assert_eq!(product(&["a.zone-three.cn"], json!({ "profile": "trustasia-dv-free" })).await, "trustasia-dv-free");
    let preset = client.clone().with_directory(format!("{BASE}/product/trustasia-dv-free/directory"));
    let order = preset.new_order(&["b.zone-three.cn"]).await.expect(201).json();
    assert_eq!(order["profile"], "trustasia-dv-free");
    assert_eq!(product(&["c.zone-three.cn"], json!({})).await, "trustasia-dv-multi");
}

#[tokio::test]
async fn a_refusal_tells_which_products_would_fit_the_names_and_their_price() {
    let world = World::documented().await;
    let client = world.client().await;
    let customer = world.customer(CustomerKind::Individual).await;
    let person = world.client_of(&customer).await;
    let rows: &[(&[&str], &[&str], &str)] = &[
        (
            &["a.zone.cn", "b.zone.cn"],
            &["CAT-07", "trustasia-dv-multi (732.00 USD a year)", "globalsign-ov-multi (852.00", " more"],
            "wildcard (",
        ),
        (
            &["*.zone.cn"],
            &["trustasia-dv-wildcard (299.00", "geotrust-ov-wildcard (1086.00", "trustasia-dv-multiwildcard (1194.00"],
            "dv-free (",
        ),
        (&["*.a.cn", "*.b.cn", "*.c.cn"], &["trustasia-dv-multiwildcard (1493.00 USD"], "dv-wildcard ("),
        (&["1.1.1.1"], &["IP-05", "trustasia-ov-single (672.00", "trustasia-ov-multi (970.00"], "dv-multi ("),
        (&["zone.org"], &["TLD-02", "trustasia-dv-multi (732.00"], "dv-free ("),
        (&["pay.zone.cn"], &["WORD-01", "trustasia-dv-multi (732.00"], "dv-free ("),
        // Nothing takes these, or not together.
        (&["zone.ru"], &["TLD-01"], "USD"),
        (&["*.zone.cn", "a.zone.cn"], &["CAT-07"], "USD"),
    ];
    for (names, told, not_told) in rows {
        let answer = client.new_order(names).await;
        assert_eq!(answer.status.as_u16(), 400, "{answer}");
        let detail = answer.json()["detail"].as_str().unwrap().to_owned();
        has_parts(&detail, told);
        assert!(!detail.contains(not_told), "{not_told} in {detail}");
    }
    // SEL-04: who can't have OV is not told of it; what is bought already is told.
    let refused = person.new_order(&["a.zone.cn", "b.zone.cn"]).await.expect_problem(400, "invalidProfile");
    has_parts(&refused, &["For these names: trustasia-dv-multi (732.00 USD a year)."]);
    world.buy(&customer, "trustasia-dv-multi", 3, 1).await;
    let refused = person.new_order(&["a.zone.cn", "b.zone.cn"]).await.expect_problem(400, "invalidProfile");
    has_parts(&refused, &["\"trustasia-dv-multi\" is for 3 chargeable names, and these are 2 (BUY-05)"]);
}

#[tokio::test]
async fn what_buyers_should_know_is_shown_with_the_product() {
    let world = World::documented().await;
    let visitor = Operator::with(&world, None);
    for (product, notices) in [
        ("trustasia-dv-free", &["without human support", "testing and personal sites"][..]),
        ("dnspod-sm-ov", &["do not work in mini programs"]),
        ("trustasia-dv-multi", &[]),
        ("dnspod-std-ov", &[]),
    ] {
        let shown = visitor.get(&format!("/products/{product}")).await.expect(200).json()["notices"].clone();
        let shown: Vec<&str> = shown.as_array().unwrap().iter().map(|notice| notice.as_str().unwrap()).collect();
        assert_eq!(shown.len(), notices.len(), "CAT-16, CAT-17, CAT-22: {product}");
        assert!(shown.iter().zip(notices).all(|(told, part)| told.contains(part)), "{product}: {shown:?}");
    }
}
