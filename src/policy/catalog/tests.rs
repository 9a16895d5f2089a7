//! Tests of the catalogue's reading.

use super::*;

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

#[test]
fn every_fault_is_told_with_its_key() {
    assert_eq!(Catalog::parse(GOOD).unwrap().products().count(), 1);
    for (from, to, key) in [
        ("\"one\"", "\"One!\"", "products[0].id"),
        ("max = 1", "max = 0", "products[0].names.max"),
        ("max = 1", "max = 1, wildcard = true", "products[0].methods"),
        ("= 90", "= 9000", "products[0].validity_days"),
        ("= 30", "= 399", "products[0].validation_reuse_days"),
        ("ca.example", "CA.example", "products[0].caa_identities"),
        ("keys = [\"p-256\"]", "keys = []", "products[0].keys"),
        ("keys = [\"p-256\"]", "keys = [\"rsa-1024\"]", "products[0]"),
        ("title", "titel", "products[0]"),
    ] {
        let faults = Catalog::parse(&GOOD.replacen(from, to, 1)).unwrap_err();
        assert_eq!(faults[0].key, key, "{faults:?}");
    }
    assert_eq!(Catalog::parse(&GOOD.repeat(2)).unwrap_err()[0].key, "products[1].id");
    assert_eq!(Catalog::parse("").unwrap_err()[0].key, "products");
}
