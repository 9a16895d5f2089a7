//! External account keys: what binds ACME accounts to customers (RFC 8555 section 7.3.4).

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{Answer, Asked, Body, Caller, List, Page, Path, Shared, id};
use crate::domain::customer::ExternalKey;
use crate::domain::{CustomerId, Timestamp};
use crate::ra::NewExternalKey;

#[derive(Serialize, ToSchema)]
pub(super) struct ExternalKeyObject {
    kid: String,
    /// Shown once, when the key is made.
    #[serde(skip_serializing_if = "Option::is_none")]
    hmac_key: Option<String>,
    customer: CustomerId,
    /// The only product that accounts bound with it may order.
    #[serde(skip_serializing_if = "Option::is_none")]
    product: Option<String>,
    /// The only domains for which accounts bound with it may order; none for all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    domains: Vec<String>,
    /// How many accounts it has bound.
    uses: u32,
    /// How many it may bind; none for any number.
    #[serde(skip_serializing_if = "Option::is_none")]
    most_uses: Option<u32>,
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
            domains: key.domains,
            uses: key.uses,
            most_uses: key.most_uses,
            created: key.created.to_string(),
            expires: text(key.expires),
            revoked: text(key.revoked),
        }
    }
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ExternalKeyRequest {
    /// Whose; a customer's own need not be named.
    customer: Option<String>,
    product: Option<String>,
    /// Domains, each with everything below it.
    #[serde(default)]
    domains: Vec<String>,
    most_uses: Option<u32>,
    expires_days: Option<u32>,
}

/// Makes an external account key. Its secret is shown this once.
#[utoipa::path(post, path = "/external-account-keys", tag = "access", request_body = ExternalKeyRequest, responses((status = 201, body = ExternalKeyObject)))]
pub(super) async fn create(
    State(api): Shared,
    caller: Caller,
    Body(asked): Body<ExternalKeyRequest>,
) -> Answer<Response> {
    let customer = asked.customer.map(|text| id("customer", &text)).transpose()?;
    let made = api
        .ra
        .create_external_key(NewExternalKey {
            customer: caller.acts_for(customer)?,
            product: asked.product,
            domains: asked.domains,
            most_uses: asked.most_uses,
            days: asked.expires_days,
        })
        .await?;
    let object = Json(ExternalKeyObject::of(made, true));
    Ok((StatusCode::CREATED, [(header::CACHE_CONTROL, "no-store")], object).into_response())
}

/// External account keys, without what is secret: a customer's own, or all.
#[utoipa::path(get, path = "/external-account-keys", tag = "access", params(super::Wanted), responses((status = 200, body = List<ExternalKeyObject>)))]
pub(super) async fn list(State(api): Shared, caller: Caller, page: Page) -> Answer<Json<List<ExternalKeyObject>>> {
    let found = match caller.scope(None)? {
        Some(customer) => api.ra.external_keys_of(&customer, page.after.as_deref(), page.limit).await?,
        None => api.ra.external_keys(page.after.as_deref(), page.limit).await?,
    };
    let items: Vec<_> = found.into_iter().map(|key| ExternalKeyObject::of(key, false)).collect();
    Ok(List::of(items, page.limit, |item| item.kid.clone()))
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Withdrawal {
    /// Whether the accounts that it bound are closed too.
    #[serde(default)]
    accounts: bool,
}

/// Withdraws a key: it binds no further account.
#[utoipa::path(delete, path = "/external-account-keys/{kid}", tag = "access", params(("kid" = String, Path), Withdrawal), responses((status = 200, body = ExternalKeyObject)))]
pub(super) async fn revoke(
    State(api): Shared,
    caller: Caller,
    Path(kid): Path<String>,
    Asked(asked): Asked<Withdrawal>,
) -> Answer<Json<ExternalKeyObject>> {
    caller.sees(&api.ra.external_key(&kid).await?.customer)?;
    Ok(Json(ExternalKeyObject::of(api.ra.revoke_external_key(&kid, asked.accounts).await?, false)))
}
