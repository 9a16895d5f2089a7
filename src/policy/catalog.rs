//! The catalogue: brands and products as data in a closed vocabulary, read from `config/catalog.toml`.

pub mod ceiling;
mod file;
mod paperwork;
mod settle;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::fault::Fault;
use super::names::Names;
use super::renewal::WindowRule;
use super::settings::{Settings, WordOutcome};
use super::weak_keys::WeakKeys;
use super::words::WordFilter;
use crate::domain::csr::SubjectKey;
use crate::domain::plan::{CaaMode, Method};
use crate::domain::{DnsName, Identifier, Money};

pub use paperwork::{
    CountsFrom, Day, Exemption, Flow, Format, Letter, Paperwork, Purpose, Reminder, Reminders, Reupload, Review, Step,
};

/// All brands and products.
#[derive(Debug, Clone, Default)]
pub struct Catalog {
    products: BTreeMap<String, Arc<Product>>,
    brands: BTreeMap<String, Brand>,
    settings: Settings,
    quotas: BTreeMap<String, QuotaRules>,
    paperwork: Paperwork,
    caa_identities: Vec<String>,
    names: Names,
    words: WordFilter,
    weak_keys: WeakKeys,
}

/// What a server's configuration demands of its catalogue.
#[derive(Debug, Clone, Copy)]
pub struct Demands<'a> {
    /// The issuers that there are (`[ca] issuers`).
    pub issuers: &'a [String],
    /// Those of them that certify SM2 keys (`[ca] sm2_issuers`); a build without SM2 has none.
    pub sm2_issuers: &'a [&'a String],
    /// The product of orders that ask for none (`acme.default_product`).
    pub default_product: &'a str,
}

/// A brand line (CAT-01).
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Brand {
    /// Its id.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// The issuer family that signs its certificates, one of `[ca] issuers` (CAT-12, design decision 11).
    pub issuer: String,
    /// The issuer domain names that CAA records may name for it; none: every restricting record refuses (CAA-10).
    #[serde(default)]
    pub caa_identities: Vec<String>,
    /// Which names it gives free; none: only what no brand is named for (SAN-06).
    #[serde(default)]
    pub free_names: Option<FreeNames>,
    /// Days that a validation is retained for the same name and the same customer (VAL-32, VAL-33).
    #[serde(default)]
    pub retained_days: u32,
    /// Whether reissues of its OV and EV certificates are not validated anew in the first days (VAL-35).
    #[serde(default)]
    pub fresh_reissues: bool,
    /// The root that the documents say it stands under; told to people, never in a certificate (CAT-12).
    #[serde(default)]
    pub root: Option<String>,
    /// Highest compensation (CAT-18).
    #[serde(default)]
    pub compensation: Option<Money>,
    /// Whether it follows the national encryption standard (CAT-13).
    #[serde(default)]
    pub national_standard: bool,
    /// How its OV and EV applications are reviewed: one of `[review.flows]` (REVIEW-05 to REVIEW-07).
    #[serde(default)]
    pub review_flow: Option<String>,
    /// What buyers of any of its products should know.
    #[serde(default)]
    pub notices: Vec<String>,
}

/// A product: what may be ordered, and what comes of it. Its id is its ACME profile. Everything is settled here that brand,
/// type and settings decide.
#[derive(Debug, Clone)]
pub struct Product {
    /// Its id: lower-case letters, digits and hyphens.
    pub id: String,
    /// What people call it.
    pub title: String,
    /// Where it is described; shown in the directory. Without one, the title stands there as a `data:` URL.
    pub url: Option<String>,
    /// The brand; none for a private CA's product.
    pub brand: Option<String>,
    /// The type (CAT-05).
    pub class: Class,
    /// The shape of its names (CAT-06).
    pub shape: Shape,
    /// On what terms it is had.
    pub sale: Sale,
    /// Whether this server cannot sign what it is: a product of the national standard without an SM2 issuer (CAT-13).
    pub unsignable: bool,
    /// The product of the same brand and type for one such name, and its price a year: what the names cost as
    /// certificates of their own (PRICE-36).
    pub separate: Option<(String, Money)>,
    /// The issuer family that signs it, one of `[ca] issuers`.
    pub issuer: String,
    /// Whether an ACME account needs an external account binding to order it.
    pub bound_accounts_only: bool,
    /// What names it takes.
    pub names: NameRules,
    /// Which names come free.
    pub free_names: FreeNames,
    /// Kinds of keys it certifies.
    pub keys: Vec<SubjectKey>,
    /// Whether a key serves one order only (CSR-04).
    pub unique_keys: bool,
    /// How control of a name may be shown.
    pub methods: Vec<Method>,
    /// Days for showing control of all names; none: what `[acme]` says (VAL-13).
    pub deadline_days: Option<u32>,
    /// Days that a certificate is valid unless something else is asked for (VALIDITY-09).
    pub term_days: u32,
    /// Days that a fresh certificate is valid at most (VALIDITY-01, VALIDITY-03).
    pub validity_days: u32,
    /// Days that a renewed certificate is valid at most (VALIDITY-02).
    pub renewed_validity_days: u32,
    /// Years that can be bought at once (BUY-06).
    pub years: Vec<u32>,
    /// Days that a proof of control may be used again for this product.
    pub validation_reuse_days: u32,
    /// Days that a proof of control may be used again for a reissue (VAL-34).
    pub reissue_reuse_days: u32,
    /// Days after the original was issued in which its reissue is not validated anew; 0: it always is (VAL-35).
    pub reissue_fresh_days: u32,
    /// The issuer domain names that CAA records may name (RFC 8659 section 4.2).
    pub caa_identities: Vec<String>,
    /// How those records are read.
    pub caa_mode: CaaMode,
    /// Whether the first name that fits becomes the common name; else the subject stays empty.
    pub common_name: bool,
    /// What becomes of an order with a sensitive word.
    pub words: WordOutcome,
    /// What buyers should know (CAT-16, CAT-17, CAT-22).
    pub notices: Vec<String>,
    /// When its certificates are best renewed (RFC 9773); none: around two thirds of their life.
    pub renewal: Option<WindowRule>,
    /// The rules and standards that these figures rest on.
    pub basis: Vec<String>,
}

/// Types of certificates (CAT-05).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// Of a private CA: the documented rules for names, quotas and keys are not for it.
    #[default]
    Private,
    /// Free, domain validated: a type of its own.
    DvFree,
    /// Domain validated.
    Dv,
    /// Organisation validated.
    Ov,
    /// Organisation validated, the larger edition (CAT-08).
    OvPro,
    /// Extended validation.
    Ev,
    /// Extended validation, the larger edition.
    EvPro,
}

/// Shapes of a product's names, "domain types" in the documents (CAT-06).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Shape {
    /// Whatever `names` says; for private CAs.
    #[default]
    Any,
    /// One ordinary name (DOM-01).
    Single,
    /// Several ordinary names (DOM-03).
    Multi,
    /// One wildcard name (DOM-04).
    Wildcard,
    /// Several wildcard names (DOM-06).
    MultiWildcard,
}

/// On what terms a product is had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sale {
    /// Without charge and without quota: a private CA's.
    Open,
    /// Without charge, counted against the quota of free certificates (PRICE-14, QUOTA-01).
    Free,
    /// Bought (PRICE-01 to PRICE-29).
    Paid(Price),
    /// Nobody has set a price: it is known, and can't be had (CAT-02).
    Unpriced,
}

/// A price for one year (PRICE-30).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Price {
    /// For the included names.
    pub base: Money,
    /// Names in the base price.
    #[serde(default = "one")]
    pub included: u32,
    /// For each further name; none: further names can't be bought.
    #[serde(default)]
    pub extra: Option<Money>,
}

fn one() -> u32 {
    1
}

/// What names a product takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NameRules {
    /// Most names in one certificate; for products with a shape, most chargeable ones.
    pub max: usize,
    /// Whether wildcard names are taken.
    #[serde(default)]
    pub wildcard: bool,
    /// Whether IP addresses are taken.
    #[serde(default)]
    pub ip: bool,
}

/// Which names come free with others (SAN-01 to SAN-06).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FreeNames {
    /// `www.` before an ordered primary name (SAN-01).
    pub www: bool,
    /// The parent of an ordered name of level three or more (SAN-02, SAN-03).
    pub parent: bool,
    /// The primary name with its `www` and with the wildcard right under it (SAN-04, SAN-05).
    #[serde(skip)]
    pub neutral: bool,
}

/// A variant of the quota of free certificates. A figure of 0 is no allowance; an absent one no limit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QuotaRules {
    /// For domains of any registrar.
    pub any: TierQuota,
    /// For domains registered with the provider, used before the other (QUOTA-08, QUOTA-10).
    #[serde(default)]
    pub provider: Option<TierQuota>,
    /// Of one primary domain (QUOTA-02, QUOTA-11).
    #[serde(default)]
    pub primary_domain: Option<u32>,
}

/// How many free certificates each kind of customer may hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct TierQuota {
    /// Individuals, of the standard level or V1.
    pub individual: u32,
    /// Individuals of the level V2.
    pub individual_v2: u32,
    /// Enterprises.
    pub enterprise: u32,
    /// Enterprises that keep their earlier quota (QUOTA-09).
    pub enterprise_kept: u32,
}

impl Catalog {
    /// Reads a catalogue from TOML, with every fault that it has.
    pub fn parse(text: &str) -> Result<Self, Vec<Fault>> {
        file::parse(text, None)
    }

    /// The same, with what the server's configuration demands of it.
    pub fn parse_for(text: &str, demands: Demands<'_>) -> Result<Self, Vec<Fault>> {
        file::parse(text, Some(demands))
    }

    /// The same catalogue with the lists of names.
    #[must_use]
    pub fn with_names(self, names: Names) -> Self {
        Self { words: names.word_filter(&self.settings), names, ..self }
    }

    /// Words, suffixes and names for which rules of their own hold.
    pub fn names(&self) -> &Names {
        &self.names
    }

    /// The first sensitive word that a name holds (WORD-01).
    pub fn sensitive_word(&self, name: &DnsName) -> Option<&str> {
        self.words.find(name)
    }

    /// The settings.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The quota that holds; none if the catalogue has none, as a private CA's.
    pub fn quota(&self) -> Option<&QuotaRules> {
        self.quotas.get(&self.settings.quota_variant)
    }

    /// Reviews, letters and reminders.
    pub fn paperwork(&self) -> &Paperwork {
        &self.paperwork
    }

    /// How a product's applications are reviewed; none where nobody does (REVIEW-03).
    pub fn review_flow(&self, product: &Product) -> Option<&Flow> {
        let brand = self.brand(product.brand.as_deref()?)?;
        let flow = self.paperwork.review.flows.get(brand.review_flow.as_deref()?);
        flow.filter(|_| product.class.needs_organisation())
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
        self.products.get(id).map(Arc::as_ref)
    }

    /// The same, to be kept when the catalogue is replaced.
    pub fn shared_product(&self, id: &str) -> Option<Arc<Product>> {
        self.products.get(id).cloned()
    }

    /// All products, by their ids.
    pub fn products(&self) -> impl Iterator<Item = &Product> {
        self.products.values().map(Arc::as_ref)
    }

    /// The products that can be had, by their ids: the ACME profiles (CAT-02, CAT-13).
    pub fn sold(&self) -> impl Iterator<Item = &Product> {
        self.products().filter(|product| product.is_sold())
    }

    /// The brand of that id.
    pub fn brand(&self, id: &str) -> Option<&Brand> {
        self.brands.get(id)
    }

    /// All brands, by their ids.
    pub fn brands(&self) -> impl Iterator<Item = &Brand> {
        self.brands.values()
    }

    /// What people call the brand of a product; the product's id if it has none.
    pub fn brand_name<'a>(&'a self, product: &'a Product) -> &'a str {
        product.brand.as_deref().and_then(|id| self.brand(id)).map_or(&product.id, |brand| &brand.name)
    }

    /// All issuer domain names of all products that can be had, without repetition: `meta.caaIdentities`.
    pub fn caa_identities(&self) -> &[String] {
        &self.caa_identities
    }
}

impl Product {
    /// Whether it can be had.
    pub fn is_sold(&self) -> bool {
        self.sale != Sale::Unpriced && !self.unsignable
    }

    /// Whether the documented rules for names, words, keys and deadlines are for it.
    pub fn is_documented(&self) -> bool {
        self.class != Class::Private
    }

    /// The longest validity of a fresh certificate.
    pub fn validity(&self) -> Duration {
        days(self.validity_days)
    }

    /// How long a proof may be used again by an order of its own.
    pub fn validation_reuse(&self) -> Duration {
        days(self.validation_reuse_days)
    }

    /// How control of that name may be shown.
    pub fn methods_for(&self, identifier: &Identifier) -> Vec<Method> {
        Method::ALL.into_iter().filter(|method| self.methods.contains(method) && method.suits(identifier)).collect()
    }
}

impl Class {
    /// As the catalogue writes it.
    pub fn id(self) -> &'static str {
        match self {
            Self::Private => "private",
            Self::DvFree => "dv-free",
            Self::Dv => "dv",
            Self::Ov => "ov",
            Self::OvPro => "ov-pro",
            Self::Ev => "ev",
            Self::EvPro => "ev-pro",
        }
    }

    /// Whether it is one of the types that are bought.
    pub fn is_paid(self) -> bool {
        !matches!(self, Self::Private | Self::DvFree)
    }

    /// Whether an organisation stands behind the certificate, which people vet (CAT-15).
    pub fn needs_organisation(self) -> bool {
        matches!(self, Self::Ov | Self::OvPro | Self::Ev | Self::EvPro)
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Private => "private",
            Self::DvFree => "free DV",
            Self::Dv => "DV",
            Self::Ov => "OV",
            Self::OvPro => "OV Pro",
            Self::Ev => "EV",
            Self::EvPro => "EV Pro",
        })
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Any => "any names",
            Self::Single => "one name",
            Self::Multi => "several names",
            Self::Wildcard => "one wildcard name",
            Self::MultiWildcard => "several wildcard names",
        })
    }
}

/// So many days of 86,400 seconds (Baseline Requirements 1.6.1).
pub fn days(count: u32) -> Duration {
    Duration::from_secs(u64::from(count) * 86_400)
}
