//! Access tokens: who may call, as what, until when.

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Answer, Body, Caller, List, Page, Path, Shared, id};
use crate::domain::token::{Role, Token};
use crate::domain::{CustomerId, Error, TokenId};
use crate::ra::NewToken;

#[derive(Serialize, ToSchema)]
pub(super) struct TokenObject {
    id: TokenId,
    name: String,
    /// `customer`, `reviewer` or `operator`.
    role: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    customer: Option<CustomerId>,
    /// What to send as `Authorization: Bearer ..`; shown once, when the token is made.
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<String>,
    created: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    revoked: Option<String>,
}

impl From<Token> for TokenObject {
    fn from(token: Token) -> Self {
        Self {
            role: token.role.as_str(),
            customer: token.role.customer().cloned(),
            id: token.id,
            name: token.name,
            token: None,
            created: token.created.to_string(),
            expires: token.expires.map(|end| end.to_string()),
            revoked: token.revoked.map(|end| end.to_string()),
        }
    }
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TokenRequest {
    /// Who gets it.
    name: String,
    role: RoleWord,
    /// Whose, for the role `customer`; a customer's own need not be named.
    customer: Option<String>,
    /// Days until it ends; none for never.
    expires_days: Option<u32>,
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum RoleWord {
    Customer,
    Reviewer,
    Operator,
}

/// Makes a token. Customers make tokens for themselves, which end with the one that makes them at the latest; operators all.
#[utoipa::path(post, path = "/tokens", tag = "access", request_body = TokenRequest, responses((status = 201, body = TokenObject)))]
pub(super) async fn create(State(api): Shared, caller: Caller, Body(asked): Body<TokenRequest>) -> Answer<Response> {
    let customer: Option<CustomerId> = asked.customer.map(|text| id("customer", &text)).transpose()?;
    let role = match (asked.role, customer) {
        (RoleWord::Customer, customer) => Role::Customer { customer: caller.acts_for(customer)? },
        (_, Some(_)) => return Err(Error::malformed("\"customer\" goes with the role \"customer\" alone.").into()),
        (RoleWord::Reviewer, None) => caller.operator().map(|()| Role::Reviewer)?,
        (RoleWord::Operator, None) => caller.operator().map(|()| Role::Operator)?,
    };
    // Customers' tokens don't prolong themselves.
    let latest = caller.ends.filter(|_| matches!(caller.role, Role::Customer { .. }));
    let asked = NewToken { name: asked.name, role, days: asked.expires_days, latest };
    let (made, text) = api.ra.create_token(asked).await?;
    let object = TokenObject { token: Some(text.to_string()), ..made.into() };
    Ok((StatusCode::CREATED, [(header::CACHE_CONTROL, "no-store")], Json(object)).into_response())
}

/// Tokens, without what is secret: a customer's own, or all.
#[utoipa::path(get, path = "/tokens", tag = "access", params(super::Wanted), responses((status = 200, body = List<TokenObject>)))]
pub(super) async fn list(State(api): Shared, caller: Caller, page: Page) -> Answer<Json<List<TokenObject>>> {
    let after: Option<TokenId> = page.after.as_deref().map(|text| id("token", text)).transpose()?;
    let found = match caller.scope(None)? {
        Some(customer) => api.ra.tokens_of(&customer, after.as_ref(), page.limit).await?,
        None => api.ra.tokens(after.as_ref(), page.limit).await?,
    };
    let items: Vec<_> = found.into_iter().map(TokenObject::from).collect();
    Ok(List::of(items, page.limit, |item| item.id.to_string()))
}

/// Withdraws a token, at once and for good.
#[utoipa::path(delete, path = "/tokens/{id}", tag = "access", params(("id" = String, Path)), responses((status = 200, body = TokenObject)))]
pub(super) async fn revoke(State(api): Shared, caller: Caller, Path(text): Path<String>) -> Answer<Json<TokenObject>> {
    let token = id("token", &text)?;
    caller.sees_of(api.ra.token(&token).await?.role.customer())?;
    Ok(Json(api.ra.revoke_token(&token).await?.into()))
}
