//! Customers and the keys that bind ACME accounts to them.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

use super::{Answer, Body, List, Page, Path, Shared, id};
use crate::domain::customer::{Customer, CustomerKind, ExternalKey, Tier};
use crate::domain::{CustomerId, Timestamp};
use crate::ra::{NewCustomer, NewExternalKey};

#[derive(Serialize)]
pub(super) struct CustomerObject {
    id: CustomerId,
    name: String,
    kind: CustomerKind,
    tier: Tier,
    created: String,
}

impl From<Customer> for CustomerObject {
    fn from(customer: Customer) -> Self {
        Self {
            id: customer.id,
            name: customer.name,
            kind: customer.kind,
            tier: customer.tier,
            created: customer.created.to_string(),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CustomerRequest {
    name: String,
    kind: CustomerKind,
    #[serde(default)]
    tier: Tier,
}

pub(super) async fn create(State(api): Shared, Body(asked): Body<CustomerRequest>) -> Answer<Response> {
    let made = api.ra.create_customer(NewCustomer { name: asked.name, kind: asked.kind, tier: asked.tier }).await?;
    Ok((StatusCode::CREATED, Json(CustomerObject::from(made))).into_response())
}

pub(super) async fn list(State(api): Shared, page: Page) -> Answer<Json<List<CustomerObject>>> {
    let after = page.after.as_deref().map(|text| id("customer", text)).transpose()?;
    let found = api.ra.customers(after.as_ref(), page.limit).await?;
    Ok(List::of(found.into_iter().map(CustomerObject::from).collect(), page.limit, |item| item.id.to_string()))
}

pub(super) async fn show(State(api): Shared, Path(text): Path<String>) -> Answer<Json<CustomerObject>> {
    Ok(Json(api.ra.customer(&id("customer", &text)?).await?.into()))
}

#[derive(Serialize)]
pub(super) struct ExternalKeyObject {
    kid: String,
    /// Shown once, when the key is made.
    #[serde(skip_serializing_if = "Option::is_none")]
    hmac_key: Option<String>,
    customer: CustomerId,
    #[serde(skip_serializing_if = "Option::is_none")]
    product: Option<String>,
    created: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    revoked: Option<String>,
}

impl ExternalKeyObject {
    fn of(key: ExternalKey, show_secret: bool) -> Self {
        let text = |moment: Option<Timestamp>| moment.map(|moment| moment.to_string());
        Self {
            hmac_key: show_secret.then(|| key.hmac_key.to_string()),
            kid: key.kid,
            customer: key.customer,
            product: key.product,
            created: key.created.to_string(),
            expires: text(key.expires),
            revoked: text(key.revoked),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ExternalKeyRequest {
    customer: String,
    product: Option<String>,
    expires_days: Option<u32>,
}

pub(super) async fn create_key(State(api): Shared, Body(asked): Body<ExternalKeyRequest>) -> Answer<Response> {
    let customer = id("customer", &asked.customer)?;
    let made = api
        .ra
        .create_external_key(NewExternalKey { customer, product: asked.product, days: asked.expires_days })
        .await?;
    Ok((StatusCode::CREATED, Json(ExternalKeyObject::of(made, true))).into_response())
}

pub(super) async fn list_keys(State(api): Shared, page: Page) -> Answer<Json<List<ExternalKeyObject>>> {
    let found = api.ra.external_keys(page.after.as_deref(), page.limit).await?;
    let items = found.into_iter().map(|key| ExternalKeyObject::of(key, false)).collect();
    Ok(List::of(items, page.limit, |item| item.kid.clone()))
}

pub(super) async fn revoke_key(State(api): Shared, Path(kid): Path<String>) -> Answer<Json<ExternalKeyObject>> {
    Ok(Json(ExternalKeyObject::of(api.ra.revoke_external_key(&kid).await?, false)))
}
