//! The catalogue: products as data in a closed vocabulary, read from `config/catalog.toml`.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;

use super::fault::{Fault, toml_fault};
use super::names::Names;
use super::weak_keys::WeakKeys;
use crate::domain::csr::SubjectKey;
use crate::domain::plan::Method;

/// All products, by id.
#[derive(Debug, Clone, Default)]
pub struct Catalog {
    products: BTreeMap<String, Product>,
    names: Names,
    weak_keys: WeakKeys,
}

/// A product: what may be ordered, and what comes of it. Its id is its ACME profile.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Product {
    /// Its id: lower-case letters, digits and hyphens.
    pub id: String,
    /// What people call it.
    pub title: String,
    /// Where it is described; shown in the directory. Without one, the title stands there as a `data:` URL.
    pub url: Option<String>,
    /// The issuer family that signs it, one of `[ca] issuers`.
    pub issuer: String,
    /// Whether an ACME account needs an external account binding to order it.
    #[serde(default)]
    pub bound_accounts_only: bool,
    /// What names it takes.
    pub names: NameRules,
    /// Kinds of keys it certifies.
    pub keys: Vec<SubjectKey>,
    /// How control of a name may be shown.
    pub methods: Vec<Method>,
    /// Days that a certificate is valid at most, and unless less is asked for.
    pub validity_days: u32,
    /// Days that a proof of control may be used again for this product.
    pub validation_reuse_days: u32,
    /// The issuer domain names that CAA records may name (RFC 8659 section 4.2).
    pub caa_identities: Vec<String>,
    /// Whether the first name that fits becomes the common name; else the subject stays empty.
    #[serde(default)]
    pub common_name: bool,
    /// The rules and standards that these figures rest on.
    #[serde(default)]
    pub basis: Vec<String>,
}

/// What names a product takes.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NameRules {
    /// Most names in one certificate.
    pub max: usize,
    /// Whether wildcard names are taken.
    #[serde(default)]
    pub wildcard: bool,
    /// Whether IP addresses are taken.
    #[serde(default)]
    pub ip: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    products: Vec<Product>,
}

/// Ceilings that a file can only tighten.
mod ceiling {
    /// Names in one certificate: what clients and the lints can take.
    pub const NAMES: usize = 100;
    /// Baseline Requirements 6.3.2 before 2026-03-15 plus the renewal bonus of the documented rules; private products
    /// may go up to this too.
    pub const VALIDITY_DAYS: u32 = 825;
    /// Baseline Requirements 4.2.1 before 2026-03-15.
    pub const REUSE_DAYS: u32 = 398;
}

impl Catalog {
    /// Reads a catalogue from TOML, with every fault that it has.
    pub fn parse(text: &str) -> Result<Self, Vec<Fault>> {
        let file: File = toml::from_str(text).map_err(|fault| vec![toml_fault(text, &fault)])?;
        let mut faults = Vec::new();
        let mut products = BTreeMap::new();
        if file.products.is_empty() {
            faults.push(Fault { key: "products".to_owned(), reason: "there are none; name at least one".to_owned() });
        }
        for (place, product) in file.products.into_iter().enumerate() {
            faults.extend(product.faults(place));
            if let Some(twin) = products.insert(product.id.clone(), product) {
                let reason = format!("\"{}\" stands there twice", twin.id);
                faults.push(Fault { key: format!("products[{place}].id"), reason });
            }
        }
        if faults.is_empty() { Ok(Self { products, ..Self::default() }) } else { Err(faults) }
    }

    /// The same catalogue with names for which nothing is issued.
    #[must_use]
    pub fn with_names(self, names: Names) -> Self {
        Self { names, ..self }
    }

    /// Names for which nothing is issued.
    pub fn names(&self) -> &Names {
        &self.names
    }

    /// The same catalogue with keys that nothing is issued for.
    #[must_use]
    pub fn with_weak_keys(self, weak_keys: WeakKeys) -> Self {
        Self { weak_keys, ..self }
    }

    /// Keys that nothing is issued for.
    pub fn weak_keys(&self) -> &WeakKeys {
        &self.weak_keys
    }

    /// The product of that id.
    pub fn product(&self, id: &str) -> Option<&Product> {
        self.products.get(id)
    }

    /// All products, by their ids.
    pub fn products(&self) -> impl Iterator<Item = &Product> {
        self.products.values()
    }

    /// All issuer domain names of all products, without repetition: `meta.caaIdentities`.
    pub fn caa_identities(&self) -> Vec<String> {
        let mut all: Vec<String> = self.products().flat_map(|product| product.caa_identities.clone()).collect();
        all.sort();
        all.dedup();
        all
    }
}

impl Product {
    /// The longest validity.
    pub fn validity(&self) -> Duration {
        days(self.validity_days)
    }

    /// How long a proof may be used again.
    pub fn validation_reuse(&self) -> Duration {
        days(self.validation_reuse_days)
    }

    fn faults(&self, place: usize) -> Vec<Fault> {
        let mut faults = Vec::new();
        let mut demand = |holds: bool, key: &str, reason: String| {
            if !holds {
                faults.push(Fault { key: format!("products[{place}].{key}"), reason });
            }
        };
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        demand(
            !self.id.is_empty() && self.id.len() <= 64 && self.id.bytes().all(plain),
            "id",
            format!("\"{}\" is not 1 to 64 lower-case letters, digits and hyphens", self.id),
        );
        demand(
            (1..=ceiling::NAMES).contains(&self.names.max),
            "names.max",
            format!("{} is not between 1 and {}", self.names.max, ceiling::NAMES),
        );
        demand(!self.keys.is_empty(), "keys", "name at least one kind of key".to_owned());
        demand(!self.methods.is_empty(), "methods", "name at least one validation method".to_owned());
        demand(
            !self.names.wildcard || self.methods.contains(&Method::Dns01),
            "methods",
            "wildcard names need dns-01".to_owned(),
        );
        demand(
            !self.names.ip || self.methods.iter().any(|method| *method != Method::Dns01),
            "methods",
            "IP addresses need http-01 or tls-alpn-01".to_owned(),
        );
        demand(
            (1..=ceiling::VALIDITY_DAYS).contains(&self.validity_days),
            "validity_days",
            format!("{} is not between 1 and {}", self.validity_days, ceiling::VALIDITY_DAYS),
        );
        demand(
            self.validation_reuse_days <= ceiling::REUSE_DAYS,
            "validation_reuse_days",
            format!("{} is more than {}", self.validation_reuse_days, ceiling::REUSE_DAYS),
        );
        for identity in &self.caa_identities {
            demand(
                crate::domain::DnsName::parse(identity)
                    .is_ok_and(|name| name.as_str() == identity && !name.is_wildcard()),
                "caa_identities",
                format!("\"{identity}\" is not a lower-case domain name"),
            );
        }
        faults
    }
}

/// So many days of 86,400 seconds (Baseline Requirements 1.6.1).
pub fn days(count: u32) -> Duration {
    Duration::from_secs(u64::from(count) * 86_400)
}

#[cfg(test)]
mod tests {
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
            ("keys = [\"p-256\"]", "keys = [\"rsa-1024\"]", "line 7"),
            ("title", "titel", "line 4"),
        ] {
            let faults = Catalog::parse(&GOOD.replacen(from, to, 1)).unwrap_err();
            assert_eq!(faults[0].key, key, "{faults:?}");
        }
        assert_eq!(Catalog::parse(&GOOD.repeat(2)).unwrap_err()[0].key, "products[1].id");
        assert_eq!(Catalog::parse("").unwrap_err()[0].key, "products");
    }
}
