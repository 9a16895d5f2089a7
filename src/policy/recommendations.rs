//! Which certificates fit whom (SEL-01 to SEL-10): answers about a site in, types and products with reasons out.

use serde::{Deserialize, Serialize};

use super::catalog::{Catalog, Class, Product, Sale, Shape};
use crate::domain::Money;
use crate::domain::customer::CustomerKind;

/// What a buyer answers. What is left out is taken for the most ordinary.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Answers {
    /// What the site's owner does.
    pub sector: Sector,
    /// Who the owner is; none: as the sector says.
    pub kind: Option<CustomerKind>,
    /// Whether the owner has a business licence; none: as the kind of owner has.
    pub has_licence: Option<bool>,
    /// What the site is for.
    pub purpose: Purpose,
    /// Whether names are to be added later, or all below a domain are meant.
    pub wildcard: bool,
    /// How many names there are.
    pub names: u32,
    /// Whether it may cost nothing.
    pub free: bool,
}

/// What a site's owner does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sector {
    /// A bank, an insurance, whoever takes payments for others.
    Finance,
    /// A school or university.
    Education,
    /// An authority.
    Government,
    /// An internet firm.
    Internet,
    /// A small or medium firm, or a shop.
    SmallBusiness,
    /// Any other enterprise.
    #[default]
    Enterprise,
    /// A person.
    Individual,
}

/// What a site is for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Purpose {
    /// It shows content alone.
    Content,
    /// A shop or an application.
    #[default]
    Application,
    /// It is called by mobile sites, apps or other programs.
    Interface,
    /// Money changes hands.
    Payment,
}

/// What is recommended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recommendation {
    /// The type.
    pub class: Class,
    /// The shape of its names.
    pub shape: Shape,
    /// Why, each reason with its rule.
    pub reasons: Vec<String>,
    /// The products of that type and shape that can be had, the recommended brand's first.
    pub products: Vec<String>,
}

/// What fits these answers, best first. Among products those of the same brand as the default one come first (CAT-14).
pub fn recommend(catalog: &Catalog, answers: &Answers, default_product: &str) -> Vec<Recommendation> {
    let (classes, mut reasons) = classes(answers);
    let shape = shape(answers);
    let brand = catalog.product(default_product).and_then(|product| product.brand.as_deref());
    // SEL-09
    reasons.push(
        "Among the brands, choose by their browser compatibility and by what your business needs (SEL-09).".to_owned(),
    );
    let fitting = classes.into_iter().map(|class| {
        let shape = shape_of(class, shape);
        Recommendation { class, shape, reasons: reasons.clone(), products: products(catalog, class, shape, brand) }
    });
    fitting.filter(|found| !found.products.is_empty()).collect()
}

/// SEL-08: what is recommended to whoever knows neither types nor brands, in one click.
pub fn quick(catalog: &Catalog, default_product: &str) -> Option<Recommendation> {
    let mut found = recommend(catalog, &Answers::default(), default_product).into_iter().next()?;
    let told = "This is what fits most buyers who do not know types and brands (SEL-08).";
    found.reasons.insert(0, told.to_owned());
    found.products.truncate(1);
    Some(found)
}

/// The types, best first, and why.
fn classes(answers: &Answers) -> (Vec<Class>, Vec<String>) {
    let individual = answers.sector == Sector::Individual || answers.kind == Some(CustomerKind::Individual);
    let licence = answers.has_licence.unwrap_or(!individual);
    let content = answers.purpose == Purpose::Content;
    let dv = if answers.free { vec![Class::DvFree, Class::Dv] } else { vec![Class::Dv, Class::DvFree] };
    let (classes, reason) = match (answers.sector, answers.purpose) {
        // SEL-04 goes before all others: CAT-15 lets nobody without a licence order OV or EV.
        _ if !licence => (dv, "An owner without a business licence can have DV only (SEL-04, CAT-15)."),
        (Sector::Individual, _) if content => {
            (dv, "For an individual's business or a personal site that only displays content, DV is enough (SEL-03).")
        }
        (Sector::Finance, _) => (
            vec![Class::Ev, Class::EvPro],
            "Finance and banking need EV: it names the organisation, with high security of transport (SEL-01).",
        ),
        (_, Purpose::Payment) => (
            vec![Class::Ev, Class::EvPro],
            "Who takes payments needs EV, as financial and payment enterprises do (SEL-05).",
        ),
        (Sector::Education | Sector::Government | Sector::Internet, _) => (
            vec![Class::Ov, Class::OvPro],
            "For education, government and internet firms an OV wildcard: sites get added later, and no organisation name is \
             needed in the address bar (SEL-02).",
        ),
        (_, Purpose::Interface) => (
            vec![Class::Ov, Class::OvPro, Class::Ev],
            "Addresses that mobile sites or programs call need OV or higher (SEL-07).",
        ),
        (Sector::SmallBusiness, _) => (
            vec![Class::Ov, Class::OvPro],
            "OV is the best choice for small and medium firms' applications and shops (SEL-10).",
        ),
        (Sector::Enterprise | Sector::Individual, _) => {
            (vec![Class::Ov, Class::OvPro, Class::Ev], "Ordinary enterprises need OV or a more trusted type (SEL-06).")
        }
    };
    (classes, vec![reason.to_owned()])
}

fn shape(answers: &Answers) -> Shape {
    // SEL-02: sites get added later.
    let growing = matches!(answers.sector, Sector::Education | Sector::Government | Sector::Internet);
    match (answers.wildcard || (growing && answers.purpose != Purpose::Payment), answers.names > 1) {
        (true, _) => Shape::Wildcard,
        (false, true) => Shape::Multi,
        (false, false) => Shape::Single,
    }
}

/// The nearest shape that a type has: EV has no wildcards, and a free certificate has one ordinary name.
fn shape_of(class: Class, wanted: Shape) -> Shape {
    match (class, wanted) {
        (Class::DvFree, _) => Shape::Single,
        (Class::Ev | Class::EvPro, Shape::Wildcard) => Shape::Multi,
        _ => wanted,
    }
}

/// The products of a type and shape that can be had, of the preferred brand first, then the cheapest. Where there is none for
/// one name alone, those for several serve for one too.
fn products(catalog: &Catalog, class: Class, shape: Shape, preferred: Option<&str>) -> Vec<String> {
    let sold: Vec<&Product> = catalog.sold().filter(|product| product.class == class).collect();
    let of = |shape: Shape| sold.iter().copied().filter(move |product| product.shape == shape).collect::<Vec<_>>();
    let mut found = match of(shape) {
        none if none.is_empty() && shape == Shape::Single => of(Shape::Multi),
        found => found,
    };
    found.sort_by_key(|product| (product.brand.as_deref() != preferred, base(product), product.id.clone()));
    found.into_iter().map(|product| product.id.clone()).collect()
}

fn base(product: &Product) -> Option<Money> {
    match product.sale {
        Sale::Paid(price) => Some(price.base),
        Sale::Open | Sale::Free | Sale::Unpriced => None,
    }
}
