//! Quotas of free certificates: how many are in use, packages, and what is known of primary domains.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{Answer, Api, Asked, Body, Caller, List, Path, Shared, id};
use crate::domain::account::Holder;
use crate::domain::quota::{Elsewhere, Package, Pool, Slot};
use crate::domain::{Error, OrderId, PackageId, Timestamp};
use crate::policy::quota;
use crate::ra::{DomainView, QuotaView, Usage};

/// Whose quota or packages: a customer's, or those of whoever stands behind an ACME account.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Whose {
    customer: Option<String>,
    account: Option<String>,
}

impl Whose {
    async fn holder(&self, api: &Api, caller: &Caller) -> Result<Holder, Error> {
        if let Some(own) = caller.role.customer()
            && self.account.is_none()
            && self.customer.as_deref().is_none_or(|asked| asked == own.as_str())
        {
            return Ok(Holder::Customer(own.clone()));
        }
        caller.operator()?;
        match (&self.customer, &self.account) {
            (Some(customer), None) => Ok(Holder::Customer(api.ra.customer(&id("customer", customer)?).await?.id)),
            (None, Some(account)) => api.ra.holder_of(&id("account", account)?).await,
            _ => Err(Error::malformed("Name either \"customer\" or \"account\", by its id.")),
        }
    }
}

#[derive(Serialize, ToSchema)]
struct UsageObject {
    used: u32,
    /// None for no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    total: Option<u32>,
    /// When the next slot returns, if nothing else happens; none if none is used.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_return: Option<String>,
}

impl From<Usage> for UsageObject {
    fn from(usage: Usage) -> Self {
        Self { used: usage.used, total: usage.total, next_return: usage.next.map(|next| next.to_string()) }
    }
}

#[derive(Serialize, ToSchema)]
struct SlotObject {
    order: OrderId,
    domain: String,
    pool: Pool,
    since: String,
    /// When it returns, if nothing else happens.
    returns: String,
}

fn slots(slots: Vec<Slot>, until: Vec<Timestamp>) -> Vec<SlotObject> {
    let told = |(slot, until): (Slot, Timestamp)| SlotObject {
        order: slot.order,
        domain: slot.domain,
        pool: slot.pool,
        since: slot.since.to_string(),
        returns: until.to_string(),
    };
    slots.into_iter().zip(until).map(told).collect()
}

#[derive(Serialize, ToSchema)]
pub(super) struct QuotaObject {
    holder: Holder,
    #[serde(flatten)]
    whole: UsageObject,
    /// Of that, for domains of any registrar (QUOTA-15).
    any: UsageObject,
    /// Of that, for domains registered with the provider; none where there is no such quota.
    #[serde(skip_serializing_if = "Option::is_none")]
    provider: Option<UsageObject>,
    /// What packages have room for beyond that.
    packages_left: u32,
    slots: Vec<SlotObject>,
}

impl From<QuotaView> for QuotaObject {
    fn from(view: QuotaView) -> Self {
        Self {
            whole: view.usage.whole().into(),
            any: view.usage.any.into(),
            provider: view.usage.provider.map(UsageObject::from),
            packages_left: view.usage.packages.left,
            slots: slots(view.ledger.slots, view.until),
            holder: view.ledger.holder,
        }
    }
}

/// How many free certificates are in use (QUOTA-01).
#[utoipa::path(get, path = "/quotas", tag = "quotas", params(Whose), responses((status = 200, body = QuotaObject)))]
pub(super) async fn quota(State(api): Shared, caller: Caller, Asked(whose): Asked<Whose>) -> Answer<Json<QuotaObject>> {
    Ok(Json(api.ra.quota_of(&whose.holder(&api, &caller).await?).await?.into()))
}

#[derive(Serialize, ToSchema)]
pub(super) struct PackageObject {
    id: PackageId,
    size: u32,
    /// How many led to a certificate.
    used: u32,
    /// How many an unfinished order holds.
    reserved: u32,
    /// How many can still be had; none of a package that has lapsed.
    left: u32,
    granted: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<String>,
}

impl PackageObject {
    fn of(package: &Package, now: Timestamp) -> Self {
        Self {
            id: package.id.clone(),
            size: package.size,
            used: package.spent,
            reserved: package.orders.len() as u32,
            left: if quota::is_open(package, now) { quota::left(package) } else { 0 },
            granted: package.granted.to_string(),
            until: package.until.map(|until| until.to_string()),
        }
    }
}

/// Packages of free certificates (QUOTA-07).
#[utoipa::path(get, path = "/packages", tag = "quotas", params(Whose), responses((status = 200, body = List<PackageObject>)))]
pub(super) async fn packages(
    State(api): Shared,
    caller: Caller,
    Asked(whose): Asked<Whose>,
) -> Answer<Json<List<PackageObject>>> {
    let view = api.ra.quota_of(&whose.holder(&api, &caller).await?).await?;
    let now = api.ra.now();
    let items = view.ledger.packages.iter().map(|package| PackageObject::of(package, now)).collect();
    Ok(Json(List { items, next: None }))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PackageRequest {
    customer: Option<String>,
    account: Option<String>,
    size: u32,
    /// Days until what is left lapses; none for never.
    days: Option<u32>,
}

/// Grants a package.
#[utoipa::path(post, path = "/packages", tag = "quotas", request_body = PackageRequest, responses((status = 201, body = PackageObject)))]
pub(super) async fn grant_package(
    State(api): Shared,
    caller: Caller,
    Body(asked): Body<PackageRequest>,
) -> Answer<Response> {
    caller.operator()?;
    let holder = Whose { customer: asked.customer, account: asked.account }.holder(&api, &caller).await?;
    let granted = api.ra.grant_package(&holder, asked.size, asked.days).await?;
    Ok((StatusCode::CREATED, Json(PackageObject::of(&granted, api.ra.now()))).into_response())
}

#[derive(Serialize, ToSchema)]
struct ElsewhereObject {
    count: u32,
    not_after: String,
    note: String,
}

#[derive(Serialize, ToSchema)]
pub(super) struct DomainObject {
    domain: String,
    #[serde(flatten)]
    usage: UsageObject,
    /// Since when it is known to be registered with the provider; none if it is not (QUOTA-13).
    #[serde(skip_serializing_if = "Option::is_none")]
    provider_since: Option<String>,
    slots: Vec<SlotObject>,
    /// Issued on other platforms (QUOTA-04).
    elsewhere: Vec<ElsewhereObject>,
}

impl From<DomainView> for DomainObject {
    fn from(view: DomainView) -> Self {
        let told = |other: Elsewhere| ElsewhereObject {
            count: other.count,
            not_after: other.not_after.to_string(),
            note: other.note,
        };
        Self {
            domain: view.ledger.domain,
            usage: view.usage.usage.into(),
            provider_since: view.ledger.provider_since.map(|since| since.to_string()),
            slots: slots(view.ledger.slots, view.until),
            elsewhere: view.ledger.elsewhere.into_iter().map(told).collect(),
        }
    }
}

async fn shown(api: &Api, domain: &str) -> Answer<Json<DomainObject>> {
    Ok(Json(api.ra.domain_quota(domain).await?.into()))
}

/// How many free certificates a primary domain has (QUOTA-02).
#[utoipa::path(get, path = "/domains/{domain}", tag = "quotas", params(("domain" = String, Path)), responses((status = 200, body = DomainObject)))]
pub(super) async fn domain(
    State(api): Shared,
    caller: Caller,
    Path(domain): Path<String>,
) -> Answer<Json<DomainObject>> {
    caller.operator()?;
    shown(&api, &domain).await
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RegistrarRequest {
    provider: bool,
}

/// Says whether it is registered with the provider (QUOTA-13).
#[utoipa::path(put, path = "/domains/{domain}", tag = "quotas", params(("domain" = String, Path)), request_body = RegistrarRequest, responses((status = 200, body = DomainObject)))]
pub(super) async fn set_registrar(
    State(api): Shared,
    caller: Caller,
    Path(domain): Path<String>,
    Body(asked): Body<RegistrarRequest>,
) -> Answer<Json<DomainObject>> {
    caller.operator()?;
    api.ra.set_provider_domain(&domain, asked.provider).await?;
    shown(&api, &domain).await
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ElsewhereRequest {
    count: u32,
    not_after: String,
    note: String,
}

/// Counts certificates of other platforms (QUOTA-04).
#[utoipa::path(post, path = "/domains/{domain}/elsewhere", tag = "quotas", params(("domain" = String, Path)), request_body = ElsewhereRequest, responses((status = 201, body = DomainObject)))]
pub(super) async fn count_elsewhere(
    State(api): Shared,
    caller: Caller,
    Path(domain): Path<String>,
    Body(asked): Body<ElsewhereRequest>,
) -> Answer<Response> {
    caller.operator()?;
    let not_after = Timestamp::parse_rfc3339(&asked.not_after).ok_or_else(|| {
        let shown: String = asked.not_after.chars().take(40).collect();
        Error::malformed(format!("\"not_after\" is \"{}\", not a moment of RFC 3339.", shown.escape_debug()))
    })?;
    api.ra.count_elsewhere(&domain, Elsewhere { count: asked.count, not_after, note: asked.note }).await?;
    Ok((StatusCode::CREATED, shown(&api, &domain).await?).into_response())
}

/// Forgets what was counted of other platforms.
#[utoipa::path(delete, path = "/domains/{domain}/elsewhere", tag = "quotas", params(("domain" = String, Path)), responses((status = 200, body = DomainObject)))]
pub(super) async fn forget_elsewhere(
    State(api): Shared,
    caller: Caller,
    Path(domain): Path<String>,
) -> Answer<Json<DomainObject>> {
    caller.operator()?;
    api.ra.forget_elsewhere(&domain).await?;
    shown(&api, &domain).await
}
