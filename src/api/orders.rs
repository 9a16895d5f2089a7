//! Orders, and where they stand.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{Answer, Api, Asked, Body, Caller, List, Page, Path, Shared, id};
use crate::domain::account::Holder;
use crate::domain::authz::{Authorization, AuthzState};
use crate::domain::order::{Purpose, ReviewCause};
use crate::domain::plan::Method;
use crate::domain::{AccountId, CustomerId, Error, Identifier, OrderId, Problem, PurchaseId, Serial, Timestamp};
use crate::policy::status::Status;
use crate::ra::{HandOrderView, NewApplication, OrderReport, ValidationRecord};

#[derive(Serialize, ToSchema)]
pub(super) struct OrderObject {
    id: OrderId,
    account: AccountId,
    #[serde(skip_serializing_if = "Option::is_none")]
    customer: Option<CustomerId>,
    product: String,
    identifiers: Vec<Identifier>,
    /// The canonical word (STATUS-01).
    status: &'static str,
    /// In the documents' words, for people.
    status_text: &'static str,
    /// The stages of the application (BUY-09).
    #[serde(skip_serializing_if = "Option::is_none")]
    stages: Option<&'static [&'static str]>,
    /// The stage that it is in.
    #[serde(skip_serializing_if = "Option::is_none")]
    stage: Option<&'static str>,
    /// Whom it waits for: `review`.
    #[serde(skip_serializing_if = "Option::is_none")]
    waits_for: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<Problem>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<&'static str>,
    /// What is promised of the time to issue (ISSUE-01 to ISSUE-06).
    #[serde(skip_serializing_if = "Option::is_none")]
    promise: Option<String>,
    /// From when on `POST /diagnoses` is worth asking.
    #[serde(skip_serializing_if = "Option::is_none")]
    diagnosis_from: Option<String>,
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
            status_text: report.status.text(),
            stages: report.stages.map(|stages| stages.all),
            stage: report.stages.map(|stages| stages.at),
            waits_for,
            problem: report.problem,
            hint: report.hint,
            diagnosis_from: report.promise.as_ref().and_then(|promise| promise.diagnosis_from).map(|at| at.to_string()),
            promise: report.promise.map(|promise| promise.text),
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
    /// Whose; a customer sees the own ones alone.
    customer: Option<String>,
    /// Of which ACME account; for operators.
    account: Option<String>,
    after: Option<String>,
    limit: Option<usize>,
}

/// Orders: of a customer, of an ACME account, or all.
#[utoipa::path(get, path = "/orders", tag = "orders", params(Wanted), responses((status = 200, body = List<OrderObject>)))]
pub(super) async fn list(
    State(api): Shared,
    caller: Caller,
    Asked(asked): Asked<Wanted>,
) -> Answer<Json<List<OrderObject>>> {
    let limit = Page::size(asked.limit)?;
    let after: Option<OrderId> = asked.after.map(|text| id("order", &text)).transpose()?;
    let account: Option<AccountId> = asked.account.map(|text| id("account", &text)).transpose()?;
    let customer: Option<CustomerId> = asked.customer.map(|text| id("customer", &text)).transpose()?;
    let found = match (caller.scope(customer)?, account) {
        (Some(customer), None) => {
            if let Some(after) = &after {
                caller.sees_of(api.ra.order_report(after).await?.holder.customer())?;
            }
            api.ra.customer_order_reports(&customer, after.as_ref(), limit).await?
        }
        (None, account) => api.ra.order_reports(account.as_ref(), after.as_ref(), limit).await?,
        (Some(_), Some(_)) => {
            return Err(Error::malformed("\"account\" is for operators, and without \"customer\".").into());
        }
    };
    Ok(List::of(found.into_iter().map(OrderObject::from).collect(), limit, |item| item.id.to_string()))
}

/// One order, and where it stands.
#[utoipa::path(get, path = "/orders/{id}", tag = "orders", params(("id" = String, Path)), responses((status = 200, body = OrderObject)))]
pub(super) async fn show(State(api): Shared, caller: Caller, Path(text): Path<String>) -> Answer<Json<OrderObject>> {
    Ok(Json(seen(&api, &caller, &text).await?.into()))
}

/// An order that the caller may look at.
async fn seen(api: &Api, caller: &Caller, text: &str) -> Result<OrderReport, Error> {
    let found = api.ra.order_report(&id("order", text)?).await?;
    caller.sees_of(found.holder.customer())?;
    Ok(found)
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct OrderRequest {
    /// For whom; a customer's own need not be named.
    customer: Option<String>,
    /// The product; without one, what was bought for such names, else the default product.
    product: Option<String>,
    identifiers: Vec<String>,
    /// How control of the names is shown: `dns-01` or `http-01`; wildcards always by `dns-01`.
    method: Option<String>,
    /// A CSR, PEM.
    csr: String,
}

/// Places an order that the server carries through: publish what its validation records say, and it is issued (VAL-13).
#[utoipa::path(post, path = "/orders", tag = "orders", request_body = OrderRequest, responses((status = 201, body = OrderObject)))]
pub(super) async fn create(State(api): Shared, caller: Caller, Body(asked): Body<OrderRequest>) -> Answer<Response> {
    let customer = asked.customer.map(|text| id("customer", &text)).transpose()?;
    let made = api
        .ra
        .apply(NewApplication {
            customer: caller.acts_for(customer)?,
            product: asked.product,
            names: identifiers(&asked.identifiers)?,
            method: method(asked.method.as_deref())?,
            csr: pem_request(&asked.csr)?,
            key_pair: None,
            replaces: None,
            automatic: false,
        })
        .await?;
    let made = api.ra.order_report(&made.order.id).await?;
    Ok((StatusCode::CREATED, Json(OrderObject::from(made))).into_response())
}

/// Names as people write them: what is an address is one.
pub(super) fn identifiers(texts: &[String]) -> Result<Vec<Identifier>, Error> {
    if texts.is_empty() || texts.len() > 100 {
        return Err(Error::malformed(format!("{} identifiers are given; 1 to 100 can be ordered.", texts.len())));
    }
    let kind = |text: &str| if text.parse::<std::net::IpAddr>().is_ok() { "ip" } else { "dns" };
    texts.iter().map(|text| Identifier::parse(kind(text), text)).collect()
}

/// A method that people can carry out by hand.
pub(super) fn method(text: Option<&str>) -> Result<Method, Error> {
    match text.map(Method::parse) {
        None => Ok(Method::Dns01),
        Some(Some(method @ (Method::Dns01 | Method::Http01))) => Ok(method),
        Some(_) => Err(Error::malformed("\"method\" is dns-01 or http-01.")),
    }
}

/// The DER of a CSR in PEM.
pub(super) fn pem_request(text: &str) -> Result<Vec<u8>, Error> {
    let block = pem::parse(text).map_err(|fault| {
        Error::malformed("\"csr\" is no PEM text that begins with BEGIN CERTIFICATE REQUEST.").because(fault)
    })?;
    match block.tag() {
        "CERTIFICATE REQUEST" | "NEW CERTIFICATE REQUEST" => Ok(block.into_contents()),
        other => Err(Error::malformed(format!("\"csr\" is PEM of the kind \"{}\".", other.escape_debug()))),
    }
}

#[derive(Serialize, ToSchema)]
pub(super) struct ValidationRecordObject {
    name: String,
    method: &'static str,
    /// The name of a TXT record, or a URL.
    place: String,
    /// What must be there.
    value: String,
    until: String,
}

#[derive(Serialize, ToSchema)]
pub(super) struct ValidationRecords {
    order: OrderId,
    /// What must be published for names that are still to be shown.
    records: Vec<ValidationRecordObject>,
    /// What the server found wrong when it looked last.
    findings: Vec<String>,
    /// When it looks next; none for an order of an ACME client, which says itself when it is ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_look: Option<String>,
}

impl From<HandOrderView> for ValidationRecords {
    fn from(HandOrderView { view, hand, records }: HandOrderView) -> Self {
        let record = |record: ValidationRecord| ValidationRecordObject {
            name: record.name,
            method: record.method.as_str(),
            place: record.place,
            value: record.value,
            until: record.until.to_string(),
        };
        Self {
            order: view.order.id.clone(),
            records: records.into_iter().map(record).collect(),
            next_look: hand.as_ref().map(|hand| hand.next_look.to_string()),
            findings: hand.map(|hand| hand.findings).unwrap_or_default(),
        }
    }
}

/// What must be published so that control of the names of an order is shown.
#[utoipa::path(get, path = "/orders/{id}/validation-records", tag = "orders", params(("id" = String, Path)), responses((status = 200, body = ValidationRecords)))]
pub(super) async fn validation_records(
    State(api): Shared,
    caller: Caller,
    Path(text): Path<String>,
) -> Answer<Json<ValidationRecords>> {
    let order = seen(&api, &caller, &text).await?.view.order.id.clone();
    Ok(Json(api.ra.hand_order(&order).await?.into()))
}

/// Everything is published: the server looks at once.
#[utoipa::path(post, path = "/orders/{id}/validations", tag = "orders", params(("id" = String, Path)), responses((status = 200, body = ValidationRecords)))]
pub(super) async fn validate(
    State(api): Shared,
    caller: Caller,
    Path(text): Path<String>,
) -> Answer<Json<ValidationRecords>> {
    let order = seen(&api, &caller, &text).await?.view.order.id.clone();
    Ok(Json(api.ra.look_now(&order).await?.into()))
}
