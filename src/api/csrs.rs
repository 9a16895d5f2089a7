//! Certificate requests and key pairs that customers keep here (CSR-01, KEY-04 to KEY-07).

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use zeroize::Zeroizing;

use super::{Answer, Asked, Body, Caller, List, Page, Path, Shared, id};
use crate::domain::csr::SubjectKey;
use crate::domain::key_pair::KeyPair;
use crate::domain::{CustomerId, DnsName, Error, Identifier, KeyPairId};
use crate::ra::{NewKeyPair, PastedCsr};

#[derive(Serialize, ToSchema)]
pub(super) struct CsrObject {
    id: KeyPairId,
    customer: CustomerId,
    name: String,
    identifiers: Vec<Identifier>,
    key: SubjectKey,
    /// PEM.
    csr: String,
    /// Where its private key is: `kept` here, `locked` here with a password that only its owner knows, or `elsewhere`.
    private_key: &'static str,
    /// Why certificates for it can't be deployed and hosted here, if they can't (KEY-06, CSR-11).
    #[serde(skip_serializing_if = "Option::is_none")]
    hosting: Option<&'static str>,
    created: String,
}

impl From<KeyPair> for CsrObject {
    fn from(held: KeyPair) -> Self {
        Self {
            private_key: held.private.as_str(),
            hosting: held.private.obstacle(),
            csr: pem::encode(&pem::Pem::new("CERTIFICATE REQUEST", held.csr)),
            id: held.id,
            customer: held.customer,
            name: held.name,
            identifiers: held.identifiers,
            key: held.key,
            created: held.created.to_string(),
        }
    }
}

/// Either `names` and `key`, to have a key pair made, or `csr`, made elsewhere.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CsrRequest {
    /// For whom; a customer's self need not be named.
    customer: Option<String>,
    /// What its owner calls it.
    #[serde(default)]
    name: String,
    /// The names of the request: DNS names and IP addresses.
    names: Option<Vec<String>>,
    /// The kind of key to be made; `p-256` unless another one is asked for.
    key: Option<SubjectKey>,
    /// What locks the private key. It is not kept and cannot be recovered (KEY-04); leave it out for hosting (KEY-06).
    #[schema(value_type = Option<String>)]
    password: Option<Zeroizing<String>>,
    /// A request that was made elsewhere, PEM.
    csr: Option<String>,
    /// Its private key, PEM, which hosting needs (CSR-11).
    #[schema(value_type = Option<String>)]
    private_key: Option<Zeroizing<String>>,
}

/// Has a key pair and a CSR made, or keeps a CSR that was made elsewhere.
#[utoipa::path(post, path = "/csrs", tag = "csrs", request_body = CsrRequest, responses((status = 201, body = CsrObject)))]
pub(super) async fn create(State(api): Shared, caller: Caller, Body(asked): Body<CsrRequest>) -> Answer<Response> {
    let customer = caller.acts_for(asked.customer.map(|text| id("customer", &text)).transpose()?)?;
    let made = match (asked.names, asked.csr) {
        (Some(names), None) if asked.private_key.is_none() => {
            let identifiers = names.iter().map(|name| identifier(name)).collect::<Result<_, _>>()?;
            let key = asked.key.unwrap_or(SubjectKey::P256);
            let new = NewKeyPair { customer, name: asked.name, identifiers, key, password: asked.password };
            api.ra.create_key_pair(new).await?
        }
        (None, Some(csr)) if asked.key.is_none() && asked.password.is_none() => {
            let pasted = PastedCsr { customer, name: asked.name, csr, private_key: asked.private_key };
            api.ra.store_csr(pasted).await?
        }
        _ => {
            let told = "Give \"names\", and perhaps \"key\" and \"password\", to have a key pair made; or \"csr\", and perhaps \
                        \"private_key\", to keep one that was made elsewhere (CSR-01).";
            return Err(Error::malformed(told).into());
        }
    };
    Ok((StatusCode::CREATED, Json(CsrObject::from(made))).into_response())
}

fn identifier(text: &str) -> Result<Identifier, Error> {
    text.parse().map(Identifier::Ip).or_else(|_| DnsName::parse(text).map(Identifier::Dns))
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Wanted {
    customer: Option<String>,
    after: Option<String>,
    limit: Option<usize>,
}

/// CSRs, oldest first: a customer's own, or all.
#[utoipa::path(get, path = "/csrs", tag = "csrs", params(Wanted), responses((status = 200, body = List<CsrObject>)))]
pub(super) async fn list(
    State(api): Shared,
    caller: Caller,
    Asked(asked): Asked<Wanted>,
) -> Answer<Json<List<CsrObject>>> {
    let limit = Page::size(asked.limit)?;
    let customer = caller.scope(asked.customer.map(|text| id("customer", &text)).transpose()?)?;
    let after: Option<KeyPairId> = asked.after.map(|text| id("CSR", &text)).transpose()?;
    let found = api.ra.key_pairs(customer.as_ref(), after.as_ref(), limit).await?;
    Ok(List::of(found.into_iter().map(CsrObject::from).collect(), limit, |item| item.id.to_string()))
}

async fn seen(api: &super::Api, caller: &Caller, text: &str) -> Result<KeyPair, Error> {
    let found = api.ra.key_pair(&id("CSR", text)?).await?;
    caller.sees(&found.customer)?;
    Ok(found)
}

/// One CSR, without its private key.
#[utoipa::path(get, path = "/csrs/{id}", tag = "csrs", params(("id" = String, Path)), responses((status = 200, body = CsrObject)))]
pub(super) async fn show(State(api): Shared, caller: Caller, Path(text): Path<String>) -> Answer<Json<CsrObject>> {
    Ok(Json(seen(&api, &caller, &text).await?.into()))
}

/// Its private key, PEM, for its customer alone; locked if it was made with a password.
#[utoipa::path(get, path = "/csrs/{id}/private-key", tag = "csrs", params(("id" = String, Path)), responses((status = 200, content_type = "application/x-pem-file", body = String)))]
pub(super) async fn private_key(State(api): Shared, caller: Caller, Path(text): Path<String>) -> Answer<Response> {
    let found = seen(&api, &caller, &text).await?;
    if caller.scope(None)?.is_none() {
        return Err(Error::unauthorized("A private key is given to its customer alone, not to operators.").into());
    }
    let key = api.ra.private_key_file(&found).await?;
    let told = [
        (header::CONTENT_TYPE, "application/x-pem-file"),
        (header::CACHE_CONTROL, "no-store"),
        (header::CONTENT_DISPOSITION, "attachment; filename=\"private.key\""),
    ];
    Ok((told, key.to_string()).into_response())
}

/// Deletes a CSR for good, with its private key.
#[utoipa::path(delete, path = "/csrs/{id}", tag = "csrs", params(("id" = String, Path)), responses((status = 204)))]
pub(super) async fn delete(State(api): Shared, caller: Caller, Path(text): Path<String>) -> Answer<StatusCode> {
    let found = seen(&api, &caller, &text).await?;
    api.ra.delete_key_pair(&found.id).await?;
    Ok(StatusCode::NO_CONTENT)
}
