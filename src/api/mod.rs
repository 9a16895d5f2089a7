//! REST under `/api/v1`: what the command line speaks. Knows nothing of store, validator and CA.

mod problem;
mod quotas;
mod token;

use std::sync::Arc;

use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Query, Request, State};
use axum::http::request::Parts;
use axum::http::{Method, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

pub use token::OperatorToken;

use crate::domain::certificate::{Certificate, CertificateStanding, RevocationReason};
use crate::domain::customer::{Customer, CustomerKind, ExternalKey, Tier};
use crate::domain::{CustomerId, Error, Identifier, Kind, Serial, Timestamp};
use crate::policy::catalog::Product;
use crate::ra::{Authority, NewCustomer, NewExternalKey, Ra};
use problem::Refusal;

/// What the handlers share.
pub struct Api {
    ra: Arc<Ra>,
    operator: OperatorToken,
}

impl Api {
    /// The API over `ra`, for whoever has the operator's token.
    pub fn new(ra: Arc<Ra>, operator: OperatorToken) -> Arc<Self> {
        Arc::new(Self { ra, operator })
    }
}

type Shared = State<Arc<Api>>;
type Answer<T> = Result<T, Refusal>;

/// Every resource.
pub fn router(api: Arc<Api>) -> Router {
    Router::new()
        .route("/customers", get(customers).post(create_customer))
        .route("/customers/{id}", get(customer))
        .route("/external-account-keys", get(external_keys).post(create_external_key))
        .route("/external-account-keys/{kid}", axum::routing::delete(revoke_external_key))
        .route("/products", get(products))
        .route("/products/{id}", get(product))
        .route("/certificates", get(certificates))
        .route("/certificates/{serial}", get(certificate))
        .route("/certificates/{serial}/revoke", post(revoke_certificate))
        .route("/quotas", get(quotas::quota))
        .route("/packages", get(quotas::packages).post(quotas::grant_package))
        .route("/domains/{domain}", get(quotas::domain).put(quotas::set_registrar))
        .route("/domains/{domain}/elsewhere", post(quotas::count_elsewhere).delete(quotas::forget_elsewhere))
        .method_not_allowed_fallback(method_not_allowed)
        .fallback(|| async { Refusal(nothing_here()) })
        .layer(from_fn_with_state(api.clone(), authorize))
        .with_state(api)
}

/// Lets nobody in without the operator's token.
async fn authorize(State(api): Shared, request: Request, next: Next) -> Response {
    let given = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    // RFC 9110 section 11.1: the scheme's case does not matter.
    let given = given.and_then(|value| value.split_once(' '));
    if given.is_some_and(|(scheme, token)| scheme.eq_ignore_ascii_case("Bearer") && api.operator.is(token)) {
        return next.run(request).await;
    }
    problem::unauthenticated()
}

fn nothing_here() -> Error {
    Error::not_found("There is no such resource.")
}

async fn method_not_allowed(method: Method) -> Refusal {
    Refusal(Error::new(Kind::MethodNotAllowed, format!("{method} is not for this resource; see the header Allow.")))
}

/// The variable segments of the path. Those that are not UTF-8 name nothing here.
struct Path<T>(T);

impl<T: DeserializeOwned + Send> FromRequestParts<Arc<Api>> for Path<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, api: &Arc<Api>) -> Result<Self, Refusal> {
        let read = axum::extract::Path::from_request_parts(parts, api).await;
        read.map(|axum::extract::Path(segments)| Self(segments)).map_err(|fault| nothing_here().because(fault).into())
    }
}

/// A JSON object as the body; what can't be read is told as a problem document.
struct Body<T>(T);

impl<T: DeserializeOwned> FromRequest<Arc<Api>> for Body<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, api: &Arc<Api>) -> Result<Self, Refusal> {
        let read: Result<Json<Box<RawValue>>, JsonRejection> = Json::from_request(request, api).await;
        let Json(body) = read.map_err(|fault| {
            let kind = match fault.status() {
                StatusCode::UNSUPPORTED_MEDIA_TYPE => Kind::UnsupportedMediaType,
                StatusCode::PAYLOAD_TOO_LARGE => Kind::PayloadTooLarge,
                _ => Kind::Malformed,
            };
            Refusal(Error::new(kind, fault.body_text()))
        })?;
        // serde would take an array for an object whose members stand in their order.
        if !body.get().starts_with('{') {
            return Err(Refusal(Error::malformed("The body is not a JSON object.")));
        }
        serde_json::from_str(body.get()).map(Self).map_err(|fault| {
            let shown: String = fault.to_string().chars().take(200).collect();
            Refusal(Error::malformed(format!("The body can't be read: {shown}.")))
        })
    }
}

/// Which page of a list.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    after: Option<String>,
    limit: Option<usize>,
}

struct Page {
    after: Option<String>,
    limit: usize,
}

impl FromRequestParts<Arc<Api>> for Page {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, api: &Arc<Api>) -> Result<Self, Refusal> {
        let read: Result<Query<Wanted>, QueryRejection> = Query::from_request_parts(parts, api).await;
        let Query(wanted) = read.map_err(|fault| Refusal(Error::malformed(fault.body_text())))?;
        let limit = wanted.limit.unwrap_or(100);
        if !(1..=1000).contains(&limit) {
            return Err(Refusal(Error::malformed(format!("\"limit\" is {limit}; it must be between 1 and 1000."))));
        }
        Ok(Self { after: wanted.after, limit })
    }
}

/// A page of a list.
#[derive(Serialize)]
struct List<T> {
    items: Vec<T>,
    /// What `after` must be for the next page; none on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

impl<T> List<T> {
    fn of(items: Vec<T>, limit: usize, name: impl Fn(&T) -> String) -> Json<Self> {
        let next = if items.len() == limit { items.last().map(name) } else { None };
        Json(Self { items, next })
    }
}

#[derive(Serialize)]
struct CustomerObject {
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
struct CustomerRequest {
    name: String,
    kind: CustomerKind,
    #[serde(default)]
    tier: Tier,
}

async fn create_customer(State(api): Shared, Body(asked): Body<CustomerRequest>) -> Answer<Response> {
    let made = api.ra.create_customer(NewCustomer { name: asked.name, kind: asked.kind, tier: asked.tier }).await?;
    Ok((StatusCode::CREATED, Json(CustomerObject::from(made))).into_response())
}

async fn customers(State(api): Shared, page: Page) -> Answer<Json<List<CustomerObject>>> {
    let after = page.after.as_deref().map(customer_id).transpose()?;
    let found = api.ra.customers(after.as_ref(), page.limit).await?;
    Ok(List::of(found.into_iter().map(CustomerObject::from).collect(), page.limit, |item| item.id.to_string()))
}

async fn customer(State(api): Shared, Path(id): Path<String>) -> Answer<Json<CustomerObject>> {
    Ok(Json(api.ra.customer(&customer_id(&id)?).await?.into()))
}

fn customer_id(text: &str) -> Result<CustomerId, Error> {
    let shown = || text.chars().take(40).collect::<String>().escape_debug().to_string();
    text.parse().map_err(|()| Error::not_found(format!("There is no customer \"{}\".", shown())))
}

#[derive(Serialize)]
struct ExternalKeyObject {
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
struct ExternalKeyRequest {
    customer: String,
    product: Option<String>,
    expires_days: Option<u32>,
}

async fn create_external_key(State(api): Shared, Body(asked): Body<ExternalKeyRequest>) -> Answer<Response> {
    let customer = customer_id(&asked.customer)?;
    let made = api
        .ra
        .create_external_key(NewExternalKey { customer, product: asked.product, days: asked.expires_days })
        .await?;
    Ok((StatusCode::CREATED, Json(ExternalKeyObject::of(made, true))).into_response())
}

async fn external_keys(State(api): Shared, page: Page) -> Answer<Json<List<ExternalKeyObject>>> {
    let found = api.ra.external_keys(page.after.as_deref(), page.limit).await?;
    let items = found.into_iter().map(|key| ExternalKeyObject::of(key, false)).collect();
    Ok(List::of(items, page.limit, |item| item.kid.clone()))
}

async fn revoke_external_key(State(api): Shared, Path(kid): Path<String>) -> Answer<Json<ExternalKeyObject>> {
    Ok(Json(ExternalKeyObject::of(api.ra.revoke_external_key(&kid).await?, false)))
}

#[derive(Serialize)]
struct ProductObject {
    id: String,
    title: String,
    max_names: usize,
    wildcard: bool,
    ip: bool,
    validity_days: u32,
    methods: Vec<&'static str>,
    caa_identities: Vec<String>,
}

impl From<&Product> for ProductObject {
    fn from(product: &Product) -> Self {
        Self {
            id: product.id.clone(),
            title: product.title.clone(),
            max_names: product.names.max,
            wildcard: product.names.wildcard,
            ip: product.names.ip,
            validity_days: product.validity_days,
            methods: product.methods.iter().map(|method| method.as_str()).collect(),
            caa_identities: product.caa_identities.clone(),
        }
    }
}

async fn products(State(api): Shared) -> Json<List<ProductObject>> {
    Json(List { items: api.ra.catalog().products().map(ProductObject::from).collect(), next: None })
}

async fn product(State(api): Shared, Path(id): Path<String>) -> Answer<Json<ProductObject>> {
    let catalog = api.ra.catalog();
    let found = catalog.product(&id).ok_or_else(|| Error::not_found("There is no such product."))?;
    Ok(Json(found.into()))
}

#[derive(Serialize)]
struct CertificateObject {
    serial: Serial,
    product: String,
    identifiers: Vec<Identifier>,
    issuer: String,
    account: String,
    order: String,
    not_before: String,
    not_after: String,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    revoked: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<RevocationReason>,
}

impl CertificateObject {
    fn of(certificate: Certificate, now: Timestamp) -> Self {
        let (status, revoked, reason) = match certificate.standing {
            CertificateStanding::Revoked { at, reason } => ("revoked", Some(at.to_string()), Some(reason)),
            CertificateStanding::Good if certificate.not_after < now => ("expired", None, None),
            CertificateStanding::Good => ("valid", None, None),
        };
        Self {
            serial: certificate.serial,
            product: certificate.product,
            identifiers: certificate.identifiers,
            issuer: certificate.issuer,
            account: certificate.account.to_string(),
            order: certificate.order.to_string(),
            not_before: certificate.not_before.to_string(),
            not_after: certificate.not_after.to_string(),
            status,
            revoked,
            reason,
        }
    }
}

async fn certificates(State(api): Shared, page: Page) -> Answer<Json<List<CertificateObject>>> {
    let after = page.after.as_deref().map(serial).transpose()?;
    let now = api.ra.now();
    let found = api.ra.certificates(after.as_ref(), page.limit).await?;
    let items = found.into_iter().map(|certificate| CertificateObject::of(certificate, now)).collect();
    Ok(List::of(items, page.limit, |item| item.serial.to_string()))
}

async fn certificate(State(api): Shared, Path(text): Path<String>) -> Answer<Json<CertificateObject>> {
    let found = api.ra.certificate_of(&serial(&text)?).await?;
    Ok(Json(CertificateObject::of(found, api.ra.now())))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RevocationRequest {
    #[serde(default)]
    reason: u64,
}

async fn revoke_certificate(
    State(api): Shared,
    Path(text): Path<String>,
    Body(asked): Body<RevocationRequest>,
) -> Answer<Json<CertificateObject>> {
    let serial = serial(&text)?;
    let reason = RevocationReason::from_code(asked.reason)?;
    api.ra.revoke_serial(Authority::Operator, &serial, reason).await?;
    Ok(Json(CertificateObject::of(api.ra.certificate_of(&serial).await?, api.ra.now())))
}

fn serial(text: &str) -> Result<Serial, Error> {
    text.parse().map_err(|()| Error::not_found("There is no certificate of that serial (40 hexadecimal digits)."))
}
