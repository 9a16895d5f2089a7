//! Orders, and where they stand.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{Answer, Asked, Caller, List, Page, Path, Shared, id};
use crate::domain::account::Holder;
use crate::domain::authz::{Authorization, AuthzState};
use crate::domain::order::{Purpose, ReviewCause};
use crate::domain::{AccountId, CustomerId, Identifier, OrderId, Problem, PurchaseId, Serial, Timestamp};
use crate::policy::status::Status;
use crate::ra::OrderReport;

#[derive(Serialize, ToSchema)]
pub(super) struct OrderObject {
    id: OrderId,
    account: AccountId,
    #[serde(skip_serializing_if = "Option::is_none")]
    customer: Option<CustomerId>,
    product: String,
    identifiers: Vec<Identifier>,
    /// In the documents' words (STATUS-01).
    status: &'static str,
    /// Whom it waits for: `review`.
    #[serde(skip_serializing_if = "Option::is_none")]
    waits_for: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<Problem>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<&'static str>,
    /// `new`, `renewal` or `reissue`.
    purpose: &'static str,
    /// The certificate that it renews or reissues.
    #[serde(skip_serializing_if = "Option::is_none")]
    follows: Option<Serial>,
    #[serde(skip_serializing_if = "Option::is_none")]
    purchase: Option<PurchaseId>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    causes: Vec<ReviewCause>,
    #[serde(skip_serializing_if = "Option::is_none")]
    certificate: Option<Serial>,
    created: String,
    expires: String,
    validations: Vec<ValidationObject>,
}

/// The validation of one name (STATUS-03).
#[derive(Serialize, ToSchema)]
pub(super) struct ValidationObject {
    name: String,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    method: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    validated: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    caa_checked: Option<String>,
    expires: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<Problem>,
    /// What the holder should know although it passed (VAL-22).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    hints: Vec<String>,
}

impl From<OrderReport> for OrderObject {
    fn from(report: OrderReport) -> Self {
        let waits_for = report.waits_for_review().then_some("review");
        let validations = validations(&report);
        let order = report.view.order.into_value();
        let (purpose, follows) = match order.purpose {
            Purpose::New => ("new", None),
            Purpose::Renewal { of } => ("renewal", Some(of)),
            Purpose::Reissue { of } => ("reissue", Some(of)),
        };
        Self {
            id: order.id,
            account: order.account,
            customer: match report.holder {
                Holder::Customer(id) => Some(id),
                Holder::Account(_) => None,
            },
            product: order.product,
            identifiers: order.identifiers,
            status: report.status.as_str(),
            waits_for,
            problem: report.problem,
            hint: report.hint,
            purpose,
            follows,
            purchase: order.purchase,
            causes: order.causes,
            certificate: report.certificate.map(|certificate| certificate.serial),
            created: order.created.to_string(),
            expires: order.expires.to_string(),
            validations,
        }
    }
}

/// The validation of each name of an order.
pub(super) fn validations(report: &OrderReport) -> Vec<ValidationObject> {
    report.view.authzs.iter().zip(&report.names).map(|(authz, status)| ValidationObject::of(authz, *status)).collect()
}

impl ValidationObject {
    fn of(authz: &Authorization, status: Status) -> Self {
        let text = |moment: Timestamp| moment.to_string();
        let (method, validated, caa_checked, problem) = match &authz.state {
            AuthzState::Pending { attempt: Some(attempt) } => {
                (Some(attempt.method), None, None, attempt.failures.last().cloned())
            }
            AuthzState::Valid { method, validated, caa_checked, .. } => {
                (Some(*method), Some(*validated), *caa_checked, None)
            }
            AuthzState::Invalid { method, problem, .. } => (Some(*method), None, None, Some(problem.clone())),
            AuthzState::Pending { attempt: None } | AuthzState::Deactivated { .. } => (None, None, None, None),
        };
        Self {
            name: authz.ordered_name(),
            status: status.as_str(),
            method: method.map(|method| method.as_str()),
            validated: validated.map(text),
            caa_checked: caa_checked.map(text),
            expires: text(authz.expires),
            problem,
            hints: match &authz.state {
                AuthzState::Valid { hints, .. } => hints.clone(),
                _ => Vec::new(),
            },
        }
    }
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Wanted {
    account: Option<String>,
    after: Option<String>,
    limit: Option<usize>,
}

/// Orders.
#[utoipa::path(get, path = "/orders", tag = "orders", params(Wanted), responses((status = 200, body = List<OrderObject>)))]
pub(super) async fn list(
    State(api): Shared,
    caller: Caller,
    Asked(asked): Asked<Wanted>,
) -> Answer<Json<List<OrderObject>>> {
    caller.operator()?;
    let limit = Page::size(asked.limit)?;
    let account: Option<AccountId> = asked.account.map(|text| id("account", &text)).transpose()?;
    let after: Option<OrderId> = asked.after.map(|text| id("order", &text)).transpose()?;
    let found = api.ra.order_reports(account.as_ref(), after.as_ref(), limit).await?;
    Ok(List::of(found.into_iter().map(OrderObject::from).collect(), limit, |item| item.id.to_string()))
}

/// One order, and where it stands.
#[utoipa::path(get, path = "/orders/{id}", tag = "orders", params(("id" = String, Path)), responses((status = 200, body = OrderObject)))]
pub(super) async fn show(State(api): Shared, caller: Caller, Path(text): Path<String>) -> Answer<Json<OrderObject>> {
    let found = api.ra.order_report(&id("order", &text)?).await?;
    caller.sees_of(found.holder.customer())?;
    Ok(Json(found.into()))
}
