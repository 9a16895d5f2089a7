//! Which certificate fits: questions about a site answered, types and products recommended.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Answer, Body, Shared};
use crate::domain::customer::CustomerKind;
use crate::policy::catalog::{Class, Shape};
use crate::policy::recommendations::{self, Answers, Purpose, Recommendation, Sector};

/// What a buyer answers; every answer can be left out.
#[derive(Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[derive(Default)]
pub(super) struct Asked {
    /// One click: what fits most buyers, whatever else is answered.
    quick: bool,
    /// `finance`, `education`, `government`, `internet`, `small-business`, `enterprise` or `individual`.
    #[schema(value_type = Option<String>)]
    sector: Option<Sector>,
    kind: Option<CustomerKind>,
    /// Whether there is a business licence.
    has_licence: Option<bool>,
    /// `content`, `application`, `interface` or `payment`.
    #[schema(value_type = Option<String>)]
    purpose: Option<Purpose>,
    /// Whether all names below a domain are meant, those that get added later among them.
    wildcard: bool,
    /// How many names there are.
    names: Option<u32>,
    /// Whether it is to cost nothing.
    free: bool,
}

#[derive(Serialize, ToSchema)]
pub(super) struct RecommendationObject {
    /// The type.
    class: Class,
    /// The shape of its names.
    shape: Shape,
    /// Why, each with its rule.
    reasons: Vec<String>,
    /// Ids of products, best first.
    products: Vec<String>,
}

#[derive(Serialize, ToSchema)]
pub(super) struct Recommendations {
    /// Best first.
    recommended: Vec<RecommendationObject>,
}

impl From<Recommendation> for RecommendationObject {
    fn from(Recommendation { class, shape, reasons, products }: Recommendation) -> Self {
        Self { class, shape, reasons, products }
    }
}

impl From<Asked> for Answers {
    fn from(asked: Asked) -> Self {
        Self {
            sector: asked.sector.unwrap_or_default(),
            kind: asked.kind,
            has_licence: asked.has_licence,
            purpose: asked.purpose.unwrap_or_default(),
            wildcard: asked.wildcard,
            names: asked.names.unwrap_or(1),
            free: asked.free,
        }
    }
}

/// Recommends types and products.
#[utoipa::path(post, path = "/recommendations", tag = "products", request_body = Asked, responses((status = 200, body = Recommendations)))]
pub(super) async fn create(State(api): Shared, Body(asked): Body<Asked>) -> Answer<Json<Recommendations>> {
    let (catalog, default_product) = (api.ra.catalog(), &api.ra.settings().default_product);
    let found = match asked.quick {
        true => recommendations::quick(&catalog, default_product).into_iter().collect(),
        false => recommendations::recommend(&catalog, &asked.into(), default_product),
    };
    Ok(Json(Recommendations { recommended: found.into_iter().map(RecommendationObject::from).collect() }))
}
