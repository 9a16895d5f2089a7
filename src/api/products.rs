//! The catalogue.

use axum::Json;
use axum::extract::State;
use serde::Serialize;

use super::{Answer, List, Path, Shared};
use crate::domain::Error;
use crate::policy::catalog::Product;

#[derive(Serialize)]
pub(super) struct ProductObject {
    id: String,
    title: String,
    max_names: usize,
    wildcard: bool,
    ip: bool,
    validity_days: u32,
    methods: Vec<&'static str>,
    caa_identities: Vec<String>,
}

impl From<&Product> for ProductObject {
    fn from(product: &Product) -> Self {
        Self {
            id: product.id.clone(),
            title: product.title.clone(),
            max_names: product.names.max,
            wildcard: product.names.wildcard,
            ip: product.names.ip,
            validity_days: product.validity_days,
            methods: product.methods.iter().map(|method| method.as_str()).collect(),
            caa_identities: product.caa_identities.clone(),
        }
    }
}

pub(super) async fn list(State(api): Shared) -> Json<List<ProductObject>> {
    Json(List { items: api.ra.catalog().products().map(ProductObject::from).collect(), next: None })
}

pub(super) async fn show(State(api): Shared, Path(id): Path<String>) -> Answer<Json<ProductObject>> {
    let catalog = api.ra.catalog();
    let found = catalog.product(&id).ok_or_else(|| Error::not_found("There is no such product."))?;
    Ok(Json(found.into()))
}
