//! The catalogue and its prices, for everybody.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::{Answer, List, Path, Shared};
use crate::domain::csr::SubjectKey;
use crate::domain::money::CURRENCY;
use crate::domain::{Error, Money};
use crate::policy::catalog::{Catalog, Class, Product, Sale, Shape};
use crate::policy::settings::WordOutcome;

#[derive(Serialize, ToSchema)]
pub(super) struct ProductObject {
    id: String,
    title: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    brand: Option<String>,
    r#type: Class,
    shape: Shape,
    /// `open`, `free`, `paid` or `unpriced`.
    sale: &'static str,
    /// Whether it can be had (CAT-02).
    sold: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    price: Option<PriceObject>,
    years: Vec<u32>,
    max_names: usize,
    wildcard: bool,
    ip: bool,
    keys: Vec<SubjectKey>,
    methods: Vec<&'static str>,
    validity_days: u32,
    renewed_validity_days: u32,
    term_days: u32,
    caa_identities: Vec<String>,
    /// Which orders people look at before they are issued: `all`, `sensitive-words` or `none`.
    review: &'static str,
    /// What buyers should know (CAT-16, CAT-17, CAT-22).
    notices: Vec<String>,
    basis: Vec<String>,
}

/// For one year (PRICE-30).
#[derive(Serialize, ToSchema)]
struct PriceObject {
    base: Money,
    included: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    extra: Option<Money>,
    currency: &'static str,
}

impl ProductObject {
    fn of(catalog: &Catalog, product: &Product) -> Self {
        let (sale, price) = match product.sale {
            Sale::Open => ("open", None),
            Sale::Free => ("free", None),
            Sale::Paid(price) => ("paid", Some(price)),
            Sale::Unpriced => ("unpriced", None),
        };
        Self {
            id: product.id.clone(),
            title: product.title.clone(),
            brand: product.brand.as_ref().map(|_| catalog.brand_name(product).to_owned()),
            r#type: product.class,
            shape: product.shape,
            sale,
            sold: product.is_sold(),
            price: price.map(|price| PriceObject {
                base: price.base,
                included: price.included,
                extra: price.extra,
                currency: CURRENCY,
            }),
            years: product.years.clone(),
            max_names: product.names.max,
            wildcard: product.names.wildcard,
            ip: product.names.ip,
            keys: product.keys.clone(),
            methods: product.methods.iter().map(|method| method.as_str()).collect(),
            validity_days: product.validity_days,
            renewed_validity_days: product.renewed_validity_days,
            term_days: product.term_days,
            caa_identities: product.caa_identities.clone(),
            review: match product.words {
                _ if product.class.needs_organisation() => "all",
                WordOutcome::Review => "sensitive-words",
                WordOutcome::Refuse | WordOutcome::None => "none",
            },
            notices: product.notices.clone(),
            basis: product.basis.clone(),
        }
    }
}

/// Every product of the catalogue (CAT-02).
#[utoipa::path(get, path = "/products", tag = "catalogue", responses((status = 200, body = List<ProductObject>)))]
pub(super) async fn list(State(api): Shared) -> Json<List<ProductObject>> {
    let catalog = api.ra.catalog();
    let items = catalog.products().map(|product| ProductObject::of(&catalog, product)).collect();
    Json(List { items, next: None })
}

/// One product with all its rules.
#[utoipa::path(get, path = "/products/{id}", tag = "catalogue", params(("id" = String, Path, description = "Its id")), responses((status = 200, body = ProductObject)))]
pub(super) async fn show(State(api): Shared, Path(id): Path<String>) -> Answer<Json<ProductObject>> {
    let catalog = api.ra.catalog();
    let found = catalog.product(&id).ok_or_else(|| Error::not_found("There is no such product."))?;
    Ok(Json(ProductObject::of(&catalog, found)))
}
