//! From a free certificate to a paid one for the same name (UPGRADE-01 to UPGRADE-04).

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::certificates::seen;
use super::{Answer, Body, Caller, Path, Shared};
use crate::domain::money::CURRENCY;
use crate::domain::{Error, Money, PurchaseId};
use crate::policy::catalog::Shape;
use crate::ra::{Pay, Proposal, Upgrade, UpgradeWish};

#[derive(Serialize, ToSchema)]
pub(super) struct UpgradeObject {
    /// The bound name, which stays (UPGRADE-01).
    name: String,
    proposals: Vec<ProposalObject>,
    /// The other way (UPGRADE-03).
    otherwise: &'static str,
    /// What paid and free certificates have (UPGRADE-04).
    comparison: Vec<ComparisonObject>,
    /// The purchase, if `buy` was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    purchase: Option<PurchaseId>,
}

#[derive(Serialize, ToSchema)]
struct ProposalObject {
    product: String,
    brand: String,
    domain_type: Shape,
    names: Vec<String>,
    years: u32,
    price: Money,
    currency: &'static str,
}

#[derive(Serialize, ToSchema)]
struct ComparisonObject {
    what: &'static str,
    paid: String,
    free: String,
}

impl From<Proposal> for ProposalObject {
    fn from(proposal: Proposal) -> Self {
        let quote = proposal.quote.quote;
        Self {
            product: quote.product,
            brand: proposal.brand,
            domain_type: proposal.shape,
            names: proposal.names,
            years: quote.years,
            price: quote.total,
            currency: CURRENCY,
        }
    }
}

impl UpgradeObject {
    fn of(upgrade: Upgrade, purchase: Option<PurchaseId>) -> Self {
        let comparison = upgrade.comparison.into_iter();
        Self {
            name: upgrade.name,
            proposals: upgrade.proposals.into_iter().map(ProposalObject::from).collect(),
            otherwise: upgrade.otherwise,
            comparison: comparison.map(|(what, paid, free)| ComparisonObject { what, paid, free }).collect(),
            purchase,
        }
    }
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct UpgradeRequest {
    /// The product; none for all that fit.
    product: Option<String>,
    /// Years; none for the fewest that are sold.
    years: Option<u32>,
    /// The names, which must be those of the certificate.
    names: Option<Vec<String>>,
    /// Whether to buy `product`, from the customer's balances; else it is only proposed.
    #[serde(default)]
    buy: bool,
}

/// Proposes paid products for the name of a free certificate, with their prices, and buys one if asked to.
#[utoipa::path(post, path = "/certificates/{serial}/upgrades", tag = "certificates", params(("serial" = String, Path)), request_body = UpgradeRequest, responses((status = 200, body = UpgradeObject), (status = 201, body = UpgradeObject)))]
pub(super) async fn create(
    State(api): Shared,
    caller: Caller,
    Path(text): Path<String>,
    Body(asked): Body<UpgradeRequest>,
) -> Answer<Response> {
    let (reference, _) = seen(&api, &caller, &text).await?;
    if asked.buy && asked.product.is_none() {
        return Err(Error::malformed("Name the \"product\" that is to be bought.").into());
    }
    let wish = UpgradeWish { product: asked.product, years: asked.years, names: asked.names };
    let upgrade = api.ra.upgrade(&reference, &wish).await?;
    if !asked.buy {
        return Ok(Json(UpgradeObject::of(upgrade, None)).into_response());
    }
    let pay = if caller.operator().is_ok() { Pay::Outside } else { Pay::Balance { coupons: None } };
    let purchase = api.ra.buy_upgrade(&upgrade, pay).await?;
    Ok((StatusCode::CREATED, Json(UpgradeObject::of(upgrade, Some(purchase)))).into_response())
}
