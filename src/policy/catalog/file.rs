//! `catalog.toml` as it is written: its sections, read and compared with each other, with every fault.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::paperwork::{Paperwork, Reminders};
use super::{Brand, Catalog, Class, Demands, NameRules, Price, QuotaRules, Sale, Shape, ceiling};
use crate::domain::DnsName;
use crate::domain::csr::SubjectKey;
use crate::domain::plan::Method;
use crate::policy::document::Document;
use crate::policy::fault::Fault;
use crate::policy::settings::Settings;

/// What a type of certificate has in common.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TypeForm {
    #[serde(default)]
    pub keys: Vec<SubjectKey>,
    #[serde(default)]
    pub methods: Vec<Method>,
    /// Most days, where the settings say more (VALIDITY-03).
    #[serde(default)]
    pub validity_days: Option<u32>,
    #[serde(default)]
    pub term_days: Option<u32>,
    /// Whether a retained validation serves a reissue (VAL-34).
    #[serde(default)]
    pub retained_for_reissue: bool,
    #[serde(default)]
    pub common_name: bool,
    #[serde(default)]
    pub notices: Vec<String>,
}

/// A product as it is written; what is left out comes from brand, type and settings.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ProductForm {
    pub id: String,
    pub title: String,
    pub url: Option<String>,
    pub brand: Option<String>,
    #[serde(default, rename = "type")]
    pub class: Class,
    #[serde(default)]
    pub shape: Shape,
    pub price: Option<Price>,
    #[serde(default = "one_year")]
    pub years: Vec<u32>,
    pub issuer: Option<String>,
    #[serde(default)]
    pub bound_accounts_only: bool,
    pub names: Option<NameRules>,
    pub keys: Option<Vec<SubjectKey>>,
    pub methods: Option<Vec<Method>>,
    pub validity_days: Option<u32>,
    pub validation_reuse_days: Option<u32>,
    pub caa_identities: Option<Vec<String>>,
    pub common_name: Option<bool>,
    pub renewal_window: Option<WindowForm>,
    #[serde(default)]
    pub basis: Vec<String>,
}

/// When clients are told to renew, in days before a certificate's end (RFC 9773).
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WindowForm {
    pub opens_days: u32,
    pub closes_days: u32,
}

fn one_year() -> Vec<u32> {
    vec![1]
}

/// For each brand the types that take IP addresses.
type Matrix = BTreeMap<String, BTreeSet<Class>>;

/// The sections as they were read.
pub(super) struct Sections {
    pub settings: Settings,
    pub brands: BTreeMap<String, Brand>,
    pub types: BTreeMap<Class, TypeForm>,
    matrices: BTreeMap<String, Matrix>,
    quotas: BTreeMap<String, QuotaRules>,
    paperwork: Paperwork,
}

/// Reads a catalogue, with every fault that it has.
pub(super) fn parse(text: &str, demands: Option<Demands<'_>>) -> Result<Catalog, Vec<Fault>> {
    let mut document = Document::parse(text)?;
    let mut faults = Vec::new();
    let settings: Settings = document.section("settings", &mut faults);
    let brands = document.list::<Brand>("brands", &mut faults);
    let letters = document.list("letters", &mut faults);
    let letter_places: Vec<usize> = letters.iter().map(|(place, _)| *place).collect();
    let reminders: Reminders = document.section("reminder", &mut faults);
    let paperwork = Paperwork {
        review: document.section("review", &mut faults),
        letters: letters.into_iter().map(|(_, letter)| letter).collect(),
        reminders,
    };
    let types = document.section("types", &mut faults);
    let matrices = document.section("ip_matrices", &mut faults);
    let quotas = document.section("quotas", &mut faults);
    let forms = document.list::<ProductForm>("products", &mut faults);
    document.refuse_others(&mut faults);
    let whole = faults.is_empty();
    faults.extend(settings.faults());
    check_brands(&brands, demands, &mut faults);
    let brands: BTreeMap<_, _> = brands.into_iter().map(|(_, brand)| (brand.id.clone(), brand)).collect();
    faults.extend(paperwork.faults(&letter_places, &brands));
    let sections = Sections { settings, brands, types, matrices, quotas, paperwork };
    // What could not be read is not also missed where others refer to it.
    if whole {
        sections.check_references(&forms, &mut faults);
    }
    let mut catalog = Catalog::default();
    for (place, form) in forms {
        let id = form.id.clone();
        let Some(product) = sections.settle(form, place, whole, &mut faults) else { continue };
        let unsignable = demands.is_some_and(|demands| sections.is_unsignable(&product, demands));
        if catalog.products.insert(id.clone(), super::Product { unsignable, ..product }.into()).is_some() {
            faults.push(Fault::new(format!("products[{place}].id"), format!("\"{id}\" stands there twice")));
        }
    }
    if whole {
        check_demands(&catalog, demands, &mut faults);
    }
    if !faults.is_empty() {
        return Err(faults.into_iter().map(|fault| document.locate(fault)).collect());
    }
    Ok(sections.assemble(catalog))
}

fn check_brands(brands: &[(usize, Brand)], demands: Option<Demands<'_>>, faults: &mut Vec<Fault>) {
    let mut seen = BTreeSet::new();
    for (place, brand) in brands {
        let mut demand = |holds: bool, key: &str, reason: String| {
            if !holds {
                faults.push(Fault::new(format!("brands[{place}].{key}"), reason));
            }
        };
        demand(is_id(&brand.id), "id", format!("\"{}\" {NO_ID}", brand.id));
        demand(seen.insert(&brand.id), "id", format!("\"{}\" stands there twice", brand.id));
        for identity in brand.caa_identities.iter().filter(|identity| !is_domain(identity)) {
            demand(false, "caa_identities", format!("\"{identity}\" is not a lower-case domain name"));
        }
        demand(
            brand.retained_days <= ceiling::REUSE_DAYS,
            "retained_days",
            format!("{} is more than {}", brand.retained_days, ceiling::REUSE_DAYS),
        );
        demand(
            demands.is_none_or(|demands| demands.issuers.contains(&brand.issuer)),
            "issuer",
            format!("\"{}\" is not one of ca.issuers", brand.issuer),
        );
    }
}

fn check_demands(catalog: &Catalog, demands: Option<Demands<'_>>, faults: &mut Vec<Fault>) {
    if catalog.products.is_empty() {
        faults.push(Fault::new("products", "there are none; name at least one"));
        return;
    }
    let Some(Demands { default_product, .. }) = demands else { return };
    if catalog.product(default_product).is_some_and(|product| product.unsignable) {
        let told = format!("\"{default_product}\", which acme.default_product names, needs SM2 (CAT-13)");
        return faults.push(Fault::new("products", told));
    }
    let reason = match catalog.product(default_product).map(|product| product.sale) {
        None => format!("there is no product \"{default_product}\", which acme.default_product names"),
        Some(Sale::Unpriced) => {
            format!("\"{default_product}\", which acme.default_product names, has no price and is not sold (CAT-02)")
        }
        Some(Sale::Open | Sale::Free | Sale::Paid(_)) => return,
    };
    faults.push(Fault::new("products", reason));
}

impl Sections {
    /// Whether names that one section uses are there in another, and the ceilings of types.
    fn check_references(&self, forms: &[(usize, ProductForm)], faults: &mut Vec<Fault>) {
        let mut demand = |holds: bool, key: &str, reason: String| {
            if !holds {
                faults.push(Fault::new(key, reason));
            }
        };
        let branded = !self.brands.is_empty();
        for (key, name) in [
            ("settings.ip_matrix", &self.settings.ip_matrix),
            ("settings.ip_matrix_fallback", &self.settings.ip_matrix_fallback),
        ] {
            let there = !branded || self.matrices.contains_key(name);
            demand(there, key, format!("there is no table [ip_matrices.{name}]"));
        }
        for (name, matrix) in &self.matrices {
            for (brand, types) in matrix {
                let key = format!("ip_matrices.{name}.{brand}");
                demand(self.brands.contains_key(brand), &key, format!("there is no brand \"{brand}\""));
                for class in types.iter().filter(|class| !class.is_paid()) {
                    demand(false, &key, format!("{class} certificates never take an IP address by a matrix (IP-05)"));
                }
            }
        }
        for (name, rules) in &self.quotas {
            let tiers = [Some(&rules.any), rules.provider.as_ref()].into_iter().flatten();
            let figures = tiers.flat_map(|t| [t.individual, t.individual_v2, t.enterprise, t.enterprise_kept]);
            for figure in figures.chain(rules.primary_domain).filter(|figure| *figure > ceiling::QUOTA) {
                demand(false, &format!("quotas.{name}"), format!("{figure} is more than {}", ceiling::QUOTA));
            }
        }
        let free = forms.iter().any(|(_, form)| form.class == Class::DvFree);
        let variant = &self.settings.quota_variant;
        demand(
            !free || self.quotas.contains_key(variant),
            "settings.quota_variant",
            format!("there is no table [quotas.{variant}]"),
        );
        for (class, form) in &self.types {
            let key = |key: &str| format!("types.{}.{key}", class.id());
            if *class == Class::Private {
                demand(false, "types.private", "products of a private CA say everything themselves".to_owned());
            }
            // Where the settings allow less, they win.
            let most = super::settle::most_days(*class);
            for (name, days) in [("validity_days", form.validity_days), ("term_days", form.term_days)] {
                let fits = days.is_none_or(|days| (1..=most).contains(&days));
                demand(fits, &key(name), format!("{} is not between 1 and {most}", days.unwrap_or_default()));
            }
        }
    }

    /// IP-02, IP-03: by the chosen matrix, for brands that it does not list by the other.
    pub(super) fn takes_ip(&self, brand: &Brand, class: Class) -> bool {
        let row = |matrix: &String| self.matrices.get(matrix).and_then(|matrix| matrix.get(&brand.id));
        row(&self.settings.ip_matrix)
            .or_else(|| row(&self.settings.ip_matrix_fallback))
            .is_some_and(|types| types.contains(&class))
    }

    /// Section 25 of the rules: profiles for SM2 are advertised only by a server that can sign SM2.
    fn is_unsignable(&self, product: &super::Product, demands: Demands<'_>) -> bool {
        let brand = product.brand.as_ref().and_then(|id| self.brands.get(id));
        brand.is_some_and(|brand| brand.national_standard)
            && !demands.sm2_issuers.iter().any(|issuer| **issuer == product.issuer)
    }

    /// Whether there is such a table of `[review.flows]`.
    pub(super) fn has_flow(&self, name: &str) -> bool {
        self.paperwork.review.flows.contains_key(name)
    }

    fn assemble(self, catalog: Catalog) -> Catalog {
        let Self { settings, brands, quotas, paperwork, .. } = self;
        let mut caa_identities: Vec<String> =
            catalog.sold().flat_map(|product| product.caa_identities.iter().cloned()).collect();
        caa_identities.sort();
        caa_identities.dedup();
        let separate = super::settle::separate_products(&catalog);
        let products = catalog.products.into_iter().map(|(id, product)| {
            let separate = separate.get(&id).cloned();
            (id, super::Product { separate, ..std::sync::Arc::unwrap_or_clone(product) }.into())
        });
        let products = products.collect();
        let catalog = Catalog { products, brands, settings, quotas, paperwork, caa_identities, ..catalog };
        // The settings may add words to an empty list.
        let names = catalog.names.clone();
        catalog.with_names(names)
    }
}

/// What ids that are none are told.
pub(super) const NO_ID: &str = "is not 1 to 64 lower-case letters, digits and hyphens";

pub(super) fn is_id(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    !text.is_empty() && text.len() <= 64 && text.bytes().all(plain)
}

pub(super) fn is_domain(text: &str) -> bool {
    DnsName::parse(text).is_ok_and(|name| name.as_str() == text && !name.is_wildcard())
}
