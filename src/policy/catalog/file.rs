//! `catalog.toml` as it is written: sections that inherit from each other, settled into a `Catalog`, with every fault.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use toml::{Table, Value};

use super::{Brand, Catalog, Class, FreeNames, NameRules, Price, Product, QuotaRules, Sale, Shape, ceiling};
use crate::domain::csr::SubjectKey;
use crate::domain::plan::Method;
use crate::domain::{DnsName, Identifier};
use crate::policy::fault::{Fault, toml_fault};
use crate::policy::settings::{KeyPolicy, Settings, WordOutcome};

/// What a type of certificate has in common.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct TypeForm {
    #[serde(default)]
    keys: Vec<SubjectKey>,
    #[serde(default)]
    methods: Vec<Method>,
    /// Most days, where the settings say more (VALIDITY-03).
    #[serde(default)]
    validity_days: Option<u32>,
    #[serde(default)]
    term_days: Option<u32>,
    /// Whether a retained validation serves a reissue (VAL-34).
    #[serde(default)]
    retained_for_reissue: bool,
    #[serde(default)]
    common_name: bool,
}

/// A product as it is written; what is left out comes from brand, type and settings.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ProductForm {
    id: String,
    title: String,
    url: Option<String>,
    brand: Option<String>,
    #[serde(default, rename = "type")]
    class: Class,
    #[serde(default)]
    shape: Shape,
    price: Option<Price>,
    #[serde(default = "one_year")]
    years: Vec<u32>,
    issuer: Option<String>,
    #[serde(default)]
    bound_accounts_only: bool,
    names: Option<NameRules>,
    keys: Option<Vec<SubjectKey>>,
    methods: Option<Vec<Method>>,
    validity_days: Option<u32>,
    validation_reuse_days: Option<u32>,
    caa_identities: Option<Vec<String>>,
    common_name: Option<bool>,
    #[serde(default)]
    basis: Vec<String>,
}

fn one_year() -> Vec<u32> {
    vec![1]
}

/// For each brand the types that take IP addresses.
type Matrix = BTreeMap<String, BTreeSet<Class>>;

/// The sections as they were read.
#[derive(Default)]
struct Sections {
    settings: Settings,
    brands: BTreeMap<String, Brand>,
    types: BTreeMap<Class, TypeForm>,
    matrices: BTreeMap<String, Matrix>,
}

/// Reads a catalogue, with every fault that it has.
pub(super) fn parse(text: &str) -> Result<Catalog, Vec<Fault>> {
    let mut file: Table = toml::from_str(text).map_err(|fault| vec![toml_fault(text, &fault)])?;
    let mut faults = Vec::new();
    let mut take = |key: &str| file.remove(key);
    let settings: Settings = section(take("settings"), "settings", &mut faults);
    faults.extend(settings.faults());
    let brands = brands(take("brands"), &mut faults);
    let types = section(take("types"), "types", &mut faults);
    let matrices = section(take("ip_matrices"), "ip_matrices", &mut faults);
    let quotas: BTreeMap<String, QuotaRules> = section(take("quotas"), "quotas", &mut faults);
    let forms = list::<ProductForm>(take("products"), "products", &mut faults);
    for key in file.keys() {
        faults.push(Fault { key: key.clone(), reason: "there is no such section".to_owned() });
    }
    if forms.is_empty() && faults.is_empty() {
        faults.push(Fault { key: "products".to_owned(), reason: "there are none; name at least one".to_owned() });
    }
    let sections = Sections { settings, brands, types, matrices };
    sections.check(&quotas, &forms, &mut faults);
    let mut products = BTreeMap::new();
    for (place, form) in forms {
        let product = sections.settle(form, place, &mut faults);
        faults.extend(product.faults(place));
        if let Some(twin) = products.insert(product.id.clone(), product) {
            let reason = format!("\"{}\" stands there twice", twin.id);
            faults.push(Fault { key: format!("products[{place}].id"), reason });
        }
    }
    if !faults.is_empty() {
        return Err(faults);
    }
    let Sections { settings, brands, .. } = sections;
    Ok(Catalog { products, brands, settings, quotas, ..Catalog::default() })
}

/// A section of its own type; absent, its default.
fn section<T: DeserializeOwned + Default>(value: Option<Value>, key: &str, faults: &mut Vec<Fault>) -> T {
    let Some(value) = value else { return T::default() };
    T::deserialize(value).unwrap_or_else(|fault| {
        faults.push(Fault { key: key.to_owned(), reason: fault.message().to_owned() });
        T::default()
    })
}

/// The members of a list that can be read, each with its place.
fn list<T: DeserializeOwned>(value: Option<Value>, key: &str, faults: &mut Vec<Fault>) -> Vec<(usize, T)> {
    let items = match value {
        None => return Vec::new(),
        Some(Value::Array(items)) => items,
        Some(_) => {
            faults.push(Fault { key: key.to_owned(), reason: format!("write it as [[{key}]]") });
            return Vec::new();
        }
    };
    let mut read = Vec::with_capacity(items.len());
    for (place, item) in items.into_iter().enumerate() {
        match T::deserialize(item) {
            Ok(item) => read.push((place, item)),
            Err(fault) => {
                faults.push(Fault { key: format!("{key}[{place}]"), reason: fault.message().to_owned() });
            }
        }
    }
    read
}

fn brands(value: Option<Value>, faults: &mut Vec<Fault>) -> BTreeMap<String, Brand> {
    let mut brands = BTreeMap::new();
    for (place, brand) in list::<Brand>(value, "brands", faults) {
        let mut fault = |key: &str, reason: String| {
            faults.push(Fault { key: format!("brands[{place}].{key}"), reason });
        };
        if !is_id(&brand.id) {
            fault("id", format!("\"{}\" is not 1 to 64 lower-case letters, digits and hyphens", brand.id));
        }
        for identity in brand.caa_identities.iter().filter(|identity| !is_domain(identity)) {
            fault("caa_identities", format!("\"{identity}\" is not a lower-case domain name"));
        }
        if brand.retained_days > ceiling::REUSE_DAYS {
            fault("retained_days", format!("{} is more than {}", brand.retained_days, ceiling::REUSE_DAYS));
        }
        if brands.contains_key(&brand.id) {
            fault("id", format!("\"{}\" stands there twice", brand.id));
        }
        brands.insert(brand.id.clone(), brand);
    }
    brands
}

impl Sections {
    /// Whether names that one section uses are there in another.
    fn check(&self, quotas: &BTreeMap<String, QuotaRules>, forms: &[(usize, ProductForm)], faults: &mut Vec<Fault>) {
        let mut demand = |holds: bool, key: &str, reason: String| {
            if !holds {
                faults.push(Fault { key: key.to_owned(), reason });
            }
        };
        let branded = !self.brands.is_empty();
        for (key, name) in [
            ("settings.ip_matrix", &self.settings.ip_matrix),
            ("settings.ip_matrix_fallback", &self.settings.ip_matrix_fallback),
        ] {
            demand(
                !branded || self.matrices.contains_key(name),
                key,
                format!("there is no table [ip_matrices.\"{name}\"]"),
            );
        }
        for (name, matrix) in &self.matrices {
            for brand in matrix.keys().filter(|brand| !self.brands.contains_key(*brand)) {
                demand(false, &format!("ip_matrices.{name}"), format!("there is no brand \"{brand}\""));
            }
        }
        for (name, rules) in quotas {
            let tiers = [Some(&rules.any), rules.provider.as_ref()].into_iter().flatten();
            let figures = tiers.flat_map(|t| [t.individual, t.individual_v2, t.enterprise, t.enterprise_kept]);
            for figure in figures.chain(rules.primary_domain).filter(|figure| *figure > ceiling::QUOTA) {
                demand(false, &format!("quotas.{name}"), format!("{figure} is more than {}", ceiling::QUOTA));
            }
        }
        let free = forms.iter().any(|(_, form)| form.class == Class::DvFree);
        let variant = &self.settings.quota_variant;
        demand(
            !free || quotas.contains_key(variant),
            "settings.quota_variant",
            format!("there is no table [quotas.\"{variant}\"]"),
        );
    }

    /// A product with everything that brand, type and settings decide. What is missing becomes a fault.
    fn settle(&self, form: ProductForm, place: usize, faults: &mut Vec<Fault>) -> Product {
        let mut missing = |key: &str, reason: String| {
            faults.push(Fault { key: format!("products[{place}].{key}"), reason });
        };
        let documented = form.class != Class::Private;
        let brand = form.brand.as_ref().and_then(|id| self.brands.get(id));
        if let (Some(id), None) = (&form.brand, brand) {
            missing("brand", format!("there is no brand \"{id}\"; it is one of {}", ids(self.brands.keys())));
        }
        if documented && form.brand.is_none() {
            missing("brand", format!("a product of type {} needs a brand", form.class));
        }
        if documented && form.shape == Shape::Any {
            missing("shape", "a product with a type needs one: single, multi, wildcard or multi-wildcard".to_owned());
        }
        let none = TypeForm::default();
        let kind = self.types.get(&form.class).unwrap_or(&none);
        let issuer = form.issuer.or_else(|| brand.map(|brand| brand.issuer.clone()));
        if issuer.is_none() {
            missing("issuer", "name one of [ca] issuers".to_owned());
        }
        let settings = &self.settings;
        let cap = |days: u32| if documented { days.min(settings.max_validity_days) } else { days };
        let stated_days = form.validity_days.or(kind.validity_days.map(cap));
        let validity_days = match stated_days {
            Some(days) if documented && days > settings.max_validity_days => {
                missing("validity_days", format!("{days} is more than {}", settings.max_validity_days));
                days
            }
            // VALIDITY-03
            Some(days) if form.class == Class::DvFree && days > ceiling::FREE_DAYS => {
                let most = ceiling::FREE_DAYS;
                missing("validity_days", format!("{days} is more than {most}: a free certificate runs one year"));
                days
            }
            Some(days) => days,
            None if form.class == Class::DvFree => cap(ceiling::FREE_DAYS),
            None if documented => settings.max_validity_days,
            None => {
                missing("validity_days", "say how many days its certificates are valid".to_owned());
                1
            }
        };
        let retained = brand.map_or(0, |brand| brand.retained_days);
        let mut keys = form.keys.unwrap_or_else(|| kind.keys.clone());
        if documented && settings.key_policy == KeyPolicy::Rsa2048Only {
            keys.retain(|key| *key == SubjectKey::Rsa2048);
        }
        let mut methods = form.methods.unwrap_or_else(|| kind.methods.clone());
        let wildcards = matches!(form.shape, Shape::Wildcard | Shape::MultiWildcard);
        // where files need a cloud resource, nobody has one here.
        if documented && settings.file_needs_cloud_resource {
            methods.retain(|method| *method != Method::Http01);
        }
        let names = match form.shape {
            Shape::Any => form.names.unwrap_or_else(|| {
                missing("names", "say what names it takes, as in { max = 1 }".to_owned());
                NameRules { max: 1, wildcard: false, ip: false }
            }),
            shape => NameRules {
                max: match shape {
                    Shape::Single | Shape::Wildcard => 1,
                    _ => form.names.map_or(ceiling::NAMES, |names| names.max),
                },
                wildcard: wildcards,
                // without files nothing proves an address (RFC 8738 section 7).
                ip: !wildcards
                    && !settings.file_needs_cloud_resource
                    && brand.is_some_and(|brand| self.takes_ip(brand, form.class)),
            },
        };
        let sale = match (form.class, form.price) {
            (Class::Private, None) => Sale::Open,
            (Class::DvFree, _) => Sale::Free,
            (_, Some(price)) => Sale::Paid(price),
            (_, None) => Sale::Unpriced,
        };
        if form.class == Class::DvFree && form.shape != Shape::Single {
            missing("shape", "the free type is for a single name (CAT-07)".to_owned());
        }
        if form.class == Class::DvFree && form.price.is_some_and(|price| price.base.cents() > 0) {
            missing("price", "the free type has no price (PRICE-14)".to_owned());
        }
        Product {
            id: form.id,
            title: form.title,
            url: form.url,
            class: form.class,
            shape: form.shape,
            sale,
            issuer: issuer.unwrap_or_default(),
            // Design decision 1: what is paid for needs a customer.
            bound_accounts_only: form.bound_accounts_only || matches!(sale, Sale::Paid(_)),
            names,
            free_names: FreeNames {
                neutral: documented,
                ..brand.and_then(|brand| brand.free_names).unwrap_or_default()
            },
            keys,
            unique_keys: documented && settings.csr_unique_per_order,
            methods,
            deadline_days: documented.then_some(settings.dns_record_deadline_days),
            term_days: cap(kind.term_days.unwrap_or(validity_days).min(validity_days)),
            validity_days,
            renewed_validity_days: match (form.class, stated_days) {
                (Class::Private | Class::DvFree, _) | (_, Some(_)) => validity_days,
                (_, None) => settings.max_validity_days_renewed,
            },
            years: form.years,
            validation_reuse_days: form.validation_reuse_days.unwrap_or(retained),
            reissue_reuse_days: if kind.retained_for_reissue { settings.validation_reuse_days } else { retained },
            reissue_fresh_days: match form.class {
                // VAL-35: paid DV of all brands, OV and EV of some.
                Class::Private | Class::DvFree => 0,
                Class::Dv => settings.reissue_fresh_days,
                _ if brand.is_some_and(|brand| brand.fresh_reissues) => settings.reissue_fresh_days,
                _ => 0,
            },
            caa_identities: form
                .caa_identities
                .unwrap_or_else(|| brand.map(|brand| brand.caa_identities.clone()).unwrap_or_default()),
            caa_mode: if documented { settings.caa_mode } else { Default::default() },
            common_name: form.common_name.unwrap_or(kind.common_name),
            words: match documented {
                true => settings.word_scope.get(&form.class).copied().unwrap_or(WordOutcome::None),
                false => WordOutcome::None,
            },
            basis: form.basis,
            brand: form.brand,
        }
    }

    /// IP-02, IP-03: by the chosen matrix, for brands that it does not list by the other.
    fn takes_ip(&self, brand: &Brand, class: Class) -> bool {
        let row = |matrix: &String| self.matrices.get(matrix).and_then(|matrix| matrix.get(&brand.id));
        row(&self.settings.ip_matrix)
            .or_else(|| row(&self.settings.ip_matrix_fallback))
            .is_some_and(|types| types.contains(&class) && class != Class::DvFree)
    }
}

impl Product {
    fn faults(&self, place: usize) -> Vec<Fault> {
        let mut faults = Vec::new();
        let mut demand = |holds: bool, key: &str, reason: String| {
            if !holds {
                faults.push(Fault { key: format!("products[{place}].{key}"), reason });
            }
        };
        demand(is_id(&self.id), "id", format!("\"{}\" is not 1 to 64 lower-case letters, digits and hyphens", self.id));
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
        let address = Identifier::Ip(std::net::Ipv4Addr::LOCALHOST.into());
        demand(
            !self.names.ip || !self.methods_for(&address).is_empty(),
            "methods",
            "IP addresses need http-01 or tls-alpn-01".to_owned(),
        );
        let most = if self.is_documented() { ceiling::PUBLIC_DAYS } else { ceiling::VALIDITY_DAYS };
        demand(
            (1..=most).contains(&self.validity_days),
            "validity_days",
            format!("{} is not between 1 and {most}", self.validity_days),
        );
        demand(
            self.validation_reuse_days <= ceiling::REUSE_DAYS,
            "validation_reuse_days",
            format!("{} is more than {}", self.validation_reuse_days, ceiling::REUSE_DAYS),
        );
        demand(
            !self.years.is_empty() && self.years.iter().all(|years| (1..=ceiling::YEARS).contains(years)),
            "years",
            format!("{:?} is not a list of 1 to {}", self.years, ceiling::YEARS),
        );
        if let Sale::Paid(price) = &self.sale {
            demand(price.base.cents() > 0, "price.base", "a paid product costs something".to_owned());
            demand(price.included >= 1, "price.included", "at least one name is included".to_owned());
            let several = matches!(self.shape, Shape::Multi | Shape::MultiWildcard | Shape::Any);
            demand(
                several || (price.included == 1 && price.extra.is_none()),
                "price",
                format!("a product for {} has one included name and no further ones", self.shape),
            );
        }
        for identity in &self.caa_identities {
            demand(is_domain(identity), "caa_identities", format!("\"{identity}\" is not a lower-case domain name"));
        }
        faults
    }
}

fn is_id(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    !text.is_empty() && text.len() <= 64 && text.bytes().all(plain)
}

fn is_domain(text: &str) -> bool {
    DnsName::parse(text).is_ok_and(|name| name.as_str() == text && !name.is_wildcard())
}

fn ids<'a>(ids: impl Iterator<Item = &'a String>) -> String {
    ids.map(String::as_str).collect::<Vec<_>>().join(", ")
}
