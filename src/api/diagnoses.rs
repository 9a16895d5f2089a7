//! Diagnoses: what stands in the way of an order or a name, and what to do about it.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Answer, Body, Caller, Shared, id};
use crate::domain::Error;
use crate::ra::{Diagnosed, Finding, NameSeen};

/// What to look at: an order, or a name ahead of one.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    /// The order.
    order: Option<String>,
    /// Instead of an order: the name.
    name: Option<String>,
    /// The product for that name; the default one if none is said.
    product: Option<String>,
}

/// What is wrong, and what to do about it.
#[derive(Serialize, ToSchema)]
pub(super) struct FindingObject {
    /// The help text that explains it, as in `DIAG-02`.
    rule: &'static str,
    /// The name that it is about; none: all of the order.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    /// The method of proving the name that it was found by.
    #[serde(skip_serializing_if = "Option::is_none")]
    method: Option<&'static str>,
    text: String,
    remedy: &'static str,
}

/// What was seen of a name.
#[derive(Serialize, ToSchema)]
pub(super) struct SeenObject {
    name: String,
    /// The methods whose proof is in place now.
    met: Vec<&'static str>,
    /// One line for each thing that was looked up, where, and what came back.
    evidence: Vec<String>,
}

#[derive(Serialize, ToSchema)]
pub(super) struct DiagnosisObject {
    /// Empty if nothing is wrong.
    findings: Vec<FindingObject>,
    seen: Vec<SeenObject>,
}

impl From<Diagnosed> for DiagnosisObject {
    fn from(Diagnosed { findings, names }: Diagnosed) -> Self {
        Self {
            findings: findings.into_iter().map(FindingObject::from).collect(),
            seen: names.into_iter().map(SeenObject::from).collect(),
        }
    }
}

impl From<Finding> for FindingObject {
    fn from(Finding { rule, name, method, text, remedy }: Finding) -> Self {
        Self { rule, name, method: method.map(|method| method.as_str()), text, remedy }
    }
}

impl From<NameSeen> for SeenObject {
    fn from(NameSeen { name, met, evidence }: NameSeen) -> Self {
        Self { name, met: met.into_iter().map(|method| method.as_str()).collect(), evidence }
    }
}

/// Looks at DNS, CAA and web servers now, and says what stands in the way. Nothing is changed by it.
#[utoipa::path(post, path = "/diagnoses", tag = "diagnoses", request_body = Asked, responses((status = 200, body = DiagnosisObject)))]
pub(super) async fn create(
    State(api): Shared,
    caller: Caller,
    Body(asked): Body<Asked>,
) -> Answer<Json<DiagnosisObject>> {
    let found = match asked {
        Asked { order: Some(order), name: None, product: None } => {
            let order = id("order", &order)?;
            caller.sees_of(api.ra.order_report(&order).await?.holder.customer())?;
            api.ra.diagnose_order(&order, &caller.name).await?
        }
        Asked { order: None, name: Some(name), product } => {
            let customer = caller.scope(None)?;
            api.ra.diagnose_name(&name, product.as_deref(), customer.as_ref(), &caller.name).await?
        }
        _ => {
            return Err(
                Error::malformed("Name either an \"order\", or a \"name\" with or without a \"product\".").into()
            );
        }
    };
    Ok(Json(found.into()))
}
