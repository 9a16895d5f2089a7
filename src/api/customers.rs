//! Customers, and the ACME accounts that are bound to them.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Answer, Body, Caller, List, Page, Path, Shared, Tag, Tagged, id};
use crate::domain::account::Standing;
use crate::domain::customer::{Customer, CustomerKind, Identity, Tier};
use crate::domain::{AccountId, CustomerId, Error};
use crate::ra::{CustomerChange, IdentityWord, NewCustomer};

#[derive(Serialize, ToSchema)]
pub(super) struct CustomerObject {
    id: CustomerId,
    name: String,
    kind: CustomerKind,
    tier: Tier,
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<String>,
    /// `pending`, `checked` or `refused` (ACCT-01).
    identity: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    identity_note: Option<String>,
    created: String,
}

impl From<Customer> for CustomerObject {
    fn from(customer: Customer) -> Self {
        let (identity, identity_note) = match customer.identity {
            Identity::Pending => ("pending", None),
            Identity::Checked { note, .. } => ("checked", note),
            Identity::Refused { note, .. } => ("refused", Some(note)),
        };
        Self {
            id: customer.id,
            name: customer.name,
            kind: customer.kind,
            tier: customer.tier,
            email: customer.email,
            identity,
            identity_note,
            created: customer.created.to_string(),
        }
    }
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CustomerRequest {
    name: String,
    kind: CustomerKind,
    #[serde(default)]
    tier: Tier,
    email: Option<String>,
    /// Whether the identity check is still to be done; else whoever makes the customer has done it.
    #[serde(default)]
    identity_pending: bool,
}

/// Makes a customer.
#[utoipa::path(post, path = "/customers", tag = "customers", request_body = CustomerRequest, responses((status = 201, body = CustomerObject)))]
pub(super) async fn create(State(api): Shared, caller: Caller, Body(asked): Body<CustomerRequest>) -> Answer<Response> {
    caller.operator()?;
    let CustomerRequest { name, kind, tier, email, identity_pending } = asked;
    let made = api.ra.create_customer(NewCustomer { name, kind, tier, email, identity_pending }).await?;
    Ok((StatusCode::CREATED, Json(CustomerObject::from(made))).into_response())
}

/// Customers; for a customer the own one.
#[utoipa::path(get, path = "/customers", tag = "customers", params(super::Wanted), responses((status = 200, body = List<CustomerObject>)))]
pub(super) async fn list(State(api): Shared, caller: Caller, page: Page) -> Answer<Json<List<CustomerObject>>> {
    if let Some(own) = caller.scope(None)? {
        let items = vec![api.ra.customer(&own).await?.into()];
        return Ok(Json(List { items, next: None }));
    }
    let after = page.after.as_deref().map(|text| id("customer", text)).transpose()?;
    let found = api.ra.customers(after.as_ref(), page.limit).await?;
    Ok(List::of(found.into_iter().map(CustomerObject::from).collect(), page.limit, |item| item.id.to_string()))
}

/// One customer.
#[utoipa::path(get, path = "/customers/{id}", tag = "customers", params(("id" = String, Path)), responses((status = 200, body = CustomerObject)))]
pub(super) async fn show(State(api): Shared, caller: Caller, Path(text): Path<String>) -> Answer<Response> {
    let customer = id("customer", &text)?;
    caller.sees(&customer)?;
    let read = api.ra.stored_customer(&customer).await?;
    Ok(Tagged(read.version(), CustomerObject::from(read.into_value())).into_response())
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CustomerEdit {
    name: Option<String>,
    email: Option<String>,
    /// For operators.
    tier: Option<Tier>,
    /// For operators: `pending`, `checked` or `refused`.
    identity: Option<IdentityState>,
    /// What the check came to; a refusal needs one.
    identity_note: Option<String>,
}

#[derive(Deserialize, ToSchema, Clone, Copy)]
#[serde(rename_all = "lowercase")]
enum IdentityState {
    Pending,
    Checked,
    Refused,
}

/// Edits a customer: the e-mail address; by operators also name, standing and identity check.
#[utoipa::path(patch, path = "/customers/{id}", tag = "customers", params(("id" = String, Path)), request_body = CustomerEdit, responses((status = 200, body = CustomerObject)))]
pub(super) async fn edit(
    State(api): Shared,
    caller: Caller,
    Path(text): Path<String>,
    tag: Tag,
    Body(asked): Body<CustomerEdit>,
) -> Answer<Response> {
    let customer = id("customer", &text)?;
    caller.sees(&customer)?;
    if asked.tier.is_some() || asked.identity.is_some() || asked.name.is_some() || asked.identity_note.is_some() {
        caller.operator()?;
    }
    let identity = asked.identity.map(|word| match word {
        IdentityState::Pending => IdentityWord::Pending,
        IdentityState::Checked => IdentityWord::Checked,
        IdentityState::Refused => IdentityWord::Refused,
    });
    let change = CustomerChange {
        name: asked.name,
        email: asked.email,
        tier: asked.tier,
        identity,
        identity_note: asked.identity_note,
    };
    let unchanged = |version| tag.demand(version);
    let read = api.ra.edit_customer(&customer, &change, &unchanged).await?;
    Ok(Tagged(read.version(), CustomerObject::from(read.into_value())).into_response())
}

#[derive(Serialize, ToSchema)]
pub(super) struct AccountObject {
    id: AccountId,
    /// The external account key that bound it.
    kid: String,
    /// `valid`, `deactivated` or `revoked`.
    status: &'static str,
    contact: Vec<String>,
    created: String,
}

/// The ACME accounts that are bound to a customer.
#[utoipa::path(get, path = "/customers/{id}/accounts", tag = "customers", params(("id" = String, Path), super::Wanted), responses((status = 200, body = List<AccountObject>)))]
pub(super) async fn accounts(
    State(api): Shared,
    caller: Caller,
    Path(text): Path<String>,
    page: Page,
) -> Answer<Json<List<AccountObject>>> {
    let customer = id("customer", &text)?;
    caller.sees(&customer)?;
    let after: Option<AccountId> = page.after.as_deref().map(|text| id("account", text)).transpose()?;
    let found = api.ra.accounts_of(&customer, after.as_ref(), page.limit).await?;
    let items = found.into_iter().map(|account| {
        let kid = account.external.as_ref().map(|external| external.kid.clone());
        Ok(AccountObject {
            kid: kid.ok_or_else(|| Error::internal("an account of a customer has no binding"))?,
            id: account.id,
            status: match account.standing {
                Standing::Valid => "valid",
                Standing::Deactivated { .. } => "deactivated",
                Standing::Revoked { .. } => "revoked",
            },
            contact: account.contact,
            created: account.created.to_string(),
        })
    });
    Ok(List::of(items.collect::<Result<_, Error>>()?, page.limit, |item: &AccountObject| item.id.to_string()))
}
