//! Tests of the catalogue's reading: faults with their keys and lines, ceilings, the shipped files, and text of any kind.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

const SHIPPED: &str = include_str!("../../../config/catalog.toml");
const SHIPPED_NAMES: &str = include_str!("../../../config/names.toml");

const GOOD: &str = r#"
[[products]]
id = "one"
title = "One"
issuer = "chancery"
names = { max = 1 }
keys = ["p-256"]
methods = ["http-01"]
validity_days = 90
validation_reuse_days = 30
caa_identities = ["ca.example"]
"#;

/// The shipped catalogue with a change.
fn shipped_but(from: &str, to: &str) -> String {
    assert!(SHIPPED.contains(from), "{from}");
    SHIPPED.replacen(from, to, 1)
}

fn told(text: &str) -> Vec<(usize, String)> {
    let faults = Catalog::parse(text).unwrap_err();
    assert!(faults.iter().all(|fault| !fault.reason.is_empty()));
    faults.into_iter().map(|fault| (fault.line.unwrap_or_default(), fault.key)).collect()
}

#[test]
fn a_fault_is_told_with_its_key_and_line() {
    assert_eq!(Catalog::parse(GOOD).unwrap().products().count(), 1);
    for (from, to, line, key) in [
        ("\"one\"", "\"One!\"", 3, "products[0].id"),
        ("max = 1", "max = 0", 6, "products[0].names.max"),
        ("max = 1", "max = 1, wildcard = true", 8, "products[0].methods"),
        ("= 90", "= 9000", 9, "products[0].validity_days"),
        ("= 90", "= 0", 9, "products[0].validity_days"),
        ("validity_days = 90\n", "", 2, "products[0].validity_days"),
        ("= 30", "= 399", 10, "products[0].validation_reuse_days"),
        ("ca.example", "CA.example", 11, "products[0].caa_identities"),
        ("keys = [\"p-256\"]", "keys = []", 7, "products[0].keys"),
        ("keys = [\"p-256\"]", "keys = [\"rsa-1024\"]", 7, "products[0].keys[0]"),
        ("title", "titel", 4, "products[0].titel"),
        ("issuer = \"chancery\"\n", "", 2, "products[0].issuer"),
        ("issuer = \"chancery\"", "issuer = \"chancery\"\nbrand = \"gold\"", 6, "products[0].brand"),
        ("issuer = \"chancery\"", "issuer = \"chancery\"\nshape = \"multi\"", 6, "products[0].shape"),
        ("issuer = \"chancery\"", "issuer = \"chancery\"\nshape = \"round\"", 6, "products[0].shape"),
        ("issuer = \"chancery\"", "issuer = \"chancery\"\ntype = \"gold\"", 6, "products[0].type"),
        ("issuer = \"chancery\"", "issuer = \"chancery\"\nprice = { base = -1 }", 6, "products[0].price.base"),
        ("issuer = \"chancery\"", "issuer = \"chancery\"\nprice = { base = 0 }", 6, "products[0].price.base"),
        ("[[products]]", "[products]", 2, "products"),
        ("[[products]]", "[[producs]]", 2, "producs"),
        ("[[products]]", "[[products]", 2, ""),
    ] {
        let faults = told(&GOOD.replacen(from, to, 1));
        assert_eq!(faults[0], (line, key.to_owned()), "{to}");
    }
    assert_eq!(told(&GOOD.repeat(2)), [(14, "products[1].id".to_owned())]);
    assert_eq!(told(""), [(0, "products".to_owned())]);
}

#[test]
fn all_faults_are_told_at_once_and_what_is_not_there_is_not_missed_twice() {
    let text = shipped_but("ip_matrix = \"faq\"", "ip_matrix = \"faq\"\ncolour = \"green\"")
        .replacen("dns_record_deadline_days = 3", "dns_record_deadline_days = 99", 1)
        .replacen("title = \"SecureSite OV, one name\"", "title = 7", 1)
        .replacen("base = 1342", "base = \"much\"", 1)
        .replacen("[ip_matrices.faq]", "[ip_matrices.faq]\ngold = []", 1)
        .replacen("[[letters]]", "[[letters]]\nsize = 1", 1);
    let keys: Vec<String> = told(&text).into_iter().map(|(_, key)| key).collect();
    let expected = [
        "settings.colour",
        "letters[0].size",
        "products[0].title",
        "products[1].price.base",
        "settings.dns_record_deadline_days",
    ];
    assert_eq!(keys, expected);
    // References are looked at once everything can be read.
    let text = shipped_but("[ip_matrices.faq]", "[ip_matrices.faq]\ngold = []")
        .replacen("quota_variant = \"2024-03\"", "quota_variant = \"2025\"", 1)
        .replacen("review_flow = \"wotrus\"", "review_flow = \"quick\"", 1);
    let keys: Vec<String> = told(&text).into_iter().map(|(_, key)| key).collect();
    assert_eq!(
        keys,
        ["ip_matrices.faq.gold", "settings.quota_variant", "products[30].brand", "products[31].brand"],
        "{keys:?}"
    );
}

/// One row for each ceiling in the code: what stands in the shipped file, what an operator might write, whose fault it is.
const CEILINGS: &[(&str, &str, &str, &str)] = &[
    ("VAL-08", "wildcard_allows_file = false", "wildcard_allows_file = true", "settings.wildcard_allows_file"),
    ("X-03", "dns_record_deadline_days = 3", "dns_record_deadline_days = 31", "settings.dns_record_deadline_days"),
    ("VALIDITY-01", "max_validity_days = 397", "max_validity_days = 399", "settings.max_validity_days"),
    ("VALIDITY-02", "days_renewed = 398", "days_renewed = 399", "settings.max_validity_days_renewed"),
    ("VALIDITY-06", "rollover_extra_days = 90", "rollover_extra_days = 91", "settings.rollover_extra_days"),
    ("VAL-35", "reissue_fresh_days = 3", "reissue_fresh_days = 31", "settings.reissue_fresh_days"),
    ("VAL-34", "validation_reuse_days = 397", "validation_reuse_days = 399", "settings.validation_reuse_days"),
    ("X-18", "renewal_window_days = 30", "renewal_window_days = 91", "settings.renewal_window_days"),
    ("X-30", "reminder_day_offset = 1", "reminder_day_offset = 31", "settings.expiry_reminder_day_offset"),
    ("REISSUE-02", "free_reissue_limit = 1", "free_reissue_limit = 101", "settings.free_reissue_limit"),
    ("DOC-02", "letter_max_bytes = 1400000", "letter_max_bytes = 10000001", "settings.letter_max_bytes"),
    ("REVOKE-07", "\"2020-03-25\"", "\"2020-02-30\"", "settings.revocation_cutoff_date"),
    ("DOM-11", "name_max_chars = 64", "name_max_chars = 254", "settings.name_max_chars"),
    ("DOM-02", "name_max_levels = 100", "name_max_levels = 128", "settings.name_max_levels"),
    ("WORD-01", "dv-free = \"refuse\", dv", "private = \"refuse\", dv", "settings.word_scope"),
    ("WORD-03", "word_extra = [\"pay\"]", "word_extra = [\"a\", \"Pay\"]", "settings.word_extra[1]"),
    ("IP-05", "globalsign = []", "globalsign = [\"dv-free\"]", "ip_matrices.faq.globalsign"),
    ("VALIDITY-03", "validity_days = 365", "validity_days = 398", "types.dv-free.validity_days"),
    ("VALIDITY-09", "term_days = 365", "term_days = 398", "types.dv-free.term_days"),
    ("VAL-32", "retained_days = 397", "retained_days = 399", "brands[5].retained_days"),
    ("CAA-10", "\"sectigo.com\"", "\"Sectigo.com\"", "brands[2].caa_identities"),
    ("REVIEW-01", "ov = [3, 5]", "ov = [3, 61]", "review.business_days.ov"),
    ("REVIEW-02", "ev = [5, 7]", "ev = [7, 5]", "review.business_days.ev"),
    ("REVIEW-04", "[10, 4320]", "[10, 9]", "review.flows.wotrus.pre_review_minutes"),
    (
        "REVIEW-08",
        "steps = [\"letter\", \"validation\", \"review\"]",
        "steps = [\"letter\", \"validation\"]",
        "review.flows.other.steps",
    ),
    ("VAL-40", "steps = [\"pre-review\", \"validation\",", "steps = [\"pre-review\",", "review.flows.wotrus.steps"),
    ("DOC-02", "formats = [\"jpg\", \"png\", \"pdf\"]", "formats = []", "letters[0].formats"),
    ("DOC-05", "never_exempt = [\"globalsign\"]", "never_exempt = [\"gold\"]", "letters[0].never_exempt"),
    ("REMIND-04", "ev = 96,", "ev = 721,", "reminder.wait_hours.ev"),
    (
        "REMIND-06",
        "geotrust = [\"ov\", \"ev\"]\ntrustasia = [\"ov\", \"dv\", \"ev\"]",
        "geotrust = [\"dv-free\"]",
        "reminder.brands.geotrust",
    ),
    ("REMIND-01", "trustasia = [\"ov\", \"dv\", \"ev\"]", "gold = []", "reminder.brands.gold"),
    (
        "DOM-03",
        "title = \"SecureSite OV, several names\"",
        "names = { max = 101 }\ntitle = \"x\"",
        "products[4].names.max",
    ),
    ("DOM-01", "title = \"SecureSite OV, one name\"", "names = { max = 2 }\ntitle = \"x\"", "products[0].names.max"),
    (
        "IP-02",
        "title = \"SecureSite OV, one name\"",
        "names = { max = 1, ip = true }\ntitle = \"x\"",
        "products[0].names",
    ),
    ("CAT-09", "type = \"ev\"\nshape = \"multi\"", "type = \"ev\"\nshape = \"multi-wildcard\"", "products[6].shape"),
    ("CAT-07", "type = \"dv-free\"\nshape = \"single\"", "type = \"dv-free\"\nshape = \"multi\"", "products[13].shape"),
    ("CAT-06", "type = \"ov\"\nshape = \"single\"", "type = \"ov\"", "products[0].shape"),
    ("CAT-01", "brand = \"securesite\"", "brand = \"cfca\"", "products[0].brand"),
    ("PRICE-14", "type = \"dv-free\"", "price = { base = 1 }\ntype = \"dv-free\"", "products[13].price"),
    ("PRICE-01", "base = 836 }", "base = 836, extra = 1 }", "products[0].price.extra"),
    ("PRICE-05", "base = 1672, included = 2", "base = 1672, included = 101", "products[4].price.included"),
    ("BUY-06", "years = [1, 2, 3]", "years = [1, 4]", "products[19].years"),
    (
        "VALIDITY-01",
        "title = \"SecureSite OV, one name\"",
        "validity_days = 398\ntitle = \"x\"",
        "products[0].validity_days",
    ),
    ("VAL-08", "methods = [\"dns-01\"]", "methods = [\"http-01\"]", "products[8].methods"),
    ("KEY-01", "keys = [\"rsa-2048\", \"p-256\"]", "keys = [\"rsa-1024\", \"p-256\"]", "types.dv-free.keys[0]"),
];

#[test]
fn a_file_can_only_tighten_what_the_code_says() {
    for (rule, from, to, key) in CEILINGS {
        let text = shipped_but(from, to);
        let faults = told(&text);
        let (line, found) = &faults[0];
        assert_eq!(found, key, "{rule}: {faults:?}");
        let (table, name) = key.rsplit_once('.').unwrap();
        let name = name.split('[').next().unwrap();
        // A key that stands in another table is told at the nearest one above it.
        let shown = text.lines().nth(line - 1).unwrap();
        let near = shown.starts_with(name) || shown.contains(&format!("{name} = ")) || shown.starts_with('[');
        assert!(near || shown.starts_with(table.rsplit('.').next().unwrap()), "{rule}: {key} is told at {shown}");
    }
}

#[test]
fn what_the_server_demands_of_its_catalogue_is_told_too() {
    let issuers = ["chancery", "chancery-s", "chancery-d"].map(str::to_owned);
    let keys = |default_product: &str| {
        let faults =
            Catalog::parse_for(SHIPPED, Demands { issuers: &issuers, sm2_issuers: &[], default_product }).unwrap_err();
        faults.into_iter().map(|fault| (fault.key, fault.reason)).collect::<Vec<_>>()
    };
    let issuer = ("brands[3].issuer".to_owned(), "\"chancery-g\" is not one of ca.issuers".to_owned());
    assert_eq!(keys("trustasia-dv-free"), std::slice::from_ref(&issuer));
    for (default, part) in [("gold", "there is no product \"gold\""), ("wotrus-dv", "has no price")] {
        let told = keys(default);
        assert_eq!((&told[0], told[1].0.as_str()), (&issuer, "products"));
        assert!(told[1].1.contains(part), "{told:?}");
    }
}

#[test]
fn the_shipped_catalogue_says_the_default_of_every_setting() {
    assert_eq!(Catalog::parse(SHIPPED).unwrap().settings(), &Settings::default());
    let section = SHIPPED.split("\n[").find_map(|section| section.strip_prefix("settings]")).unwrap();
    let keys = |lines: &str| -> BTreeSet<String> {
        lines.lines().filter_map(|line| line.split_once(" = ")).map(|(key, _)| key.to_owned()).collect()
    };
    let shown: BTreeSet<String> = keys(section).into_iter().filter(|key| !key.starts_with('#')).collect();
    // Serde lists the keys that it knows when it meets one that it does not.
    let faults = Catalog::parse(&shipped_but("ip_matrix = \"faq\"", "no-such-key = 1")).unwrap_err();
    let known = faults[0].reason.split('`').skip(1).step_by(2).skip(1).map(str::to_owned).collect();
    assert_eq!(shown, known);
}

proptest! {
    #[test]
    fn no_text_makes_a_parser_panic(text in "\\PC{0,200}") {
        let _ = Catalog::parse(&text);
        let _ = Names::parse(&text);
    }

    #[test]
    fn no_change_of_the_shipped_files_makes_a_parser_panic(
        start in any::<prop::sample::Index>(),
        length in 0_usize..200,
        put in "[\\[\\]{}=\"a-z0-9.,\n -]{0,20}",
    ) {
        for (text, is_catalog) in [(SHIPPED, true), (SHIPPED_NAMES, false)] {
            let start = start.index(text.len());
            let end = (start + length).min(text.len());
            let changed = format!("{}{put}{}", &text[..start], &text[end..]);
            let faults = match is_catalog {
                true => Catalog::parse(&changed).err(),
                false => Names::parse(&changed).err(),
            };
            let lines = changed.lines().count();
            for fault in faults.into_iter().flatten() {
                prop_assert!(!fault.reason.is_empty() && fault.line.is_none_or(|line| line <= lines + 1), "{fault:?}");
            }
        }
    }
}
