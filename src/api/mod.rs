//! REST under `/api/v1`: what the command line speaks. Knows nothing of store, validator and CA.

mod certificates;
mod clearances;
mod compromised_keys;
mod customers;
mod orders;
mod problem;
mod products;
mod purchases;
mod quotas;
mod quotes;
mod reviews;
mod token;

use std::str::FromStr;
use std::sync::Arc;

use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Query, Request, State};
use axum::http::request::Parts;
use axum::http::{Method, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

pub use token::OperatorToken;

use crate::domain::{Error, Kind};
use crate::ra::Ra;
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
    // The price list is for everybody.
    let open = Router::new()
        .route("/products", get(products::list))
        .route("/products/{id}", get(products::show))
        .route("/quotes", get(quotes::of_product).post(quotes::of_names))
        .method_not_allowed_fallback(method_not_allowed);
    let closed = Router::new()
        .route("/customers", get(customers::list).post(customers::create))
        .route("/customers/{id}", get(customers::show))
        .route("/external-account-keys", get(customers::list_keys).post(customers::create_key))
        .route("/external-account-keys/{kid}", delete(customers::revoke_key))
        .route("/purchases", get(purchases::list).post(purchases::create))
        .route("/purchases/{id}", get(purchases::show))
        .route("/orders", get(orders::list))
        .route("/orders/{id}", get(orders::show))
        .route("/reviews", get(reviews::list))
        .route("/reviews/{order}", get(reviews::show))
        .route("/reviews/{order}/decision", post(reviews::decide))
        .route("/clearances", get(clearances::list).post(clearances::create).delete(clearances::withdraw))
        .route("/certificates", get(certificates::list))
        .route("/certificates/{serial}", get(certificates::show))
        .route("/certificates/{serial}/revoke", post(certificates::revoke))
        .route("/compromised-keys", get(compromised_keys::list).post(compromised_keys::report))
        .route("/quotas", get(quotas::quota))
        .route("/packages", get(quotas::packages).post(quotas::grant_package))
        .route("/domains/{domain}", get(quotas::domain).put(quotas::set_registrar))
        .route("/domains/{domain}/elsewhere", post(quotas::count_elsewhere).delete(quotas::forget_elsewhere))
        .method_not_allowed_fallback(method_not_allowed)
        .fallback(|| async { Refusal(nothing_here()) })
        .layer(from_fn_with_state(api.clone(), authorize));
    open.merge(closed).with_state(api)
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

/// What the query asks for; what can't be read is told as a problem document.
struct Asked<T>(T);

impl<T: DeserializeOwned> FromRequestParts<Arc<Api>> for Asked<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, api: &Arc<Api>) -> Result<Self, Refusal> {
        let read: Result<Query<T>, QueryRejection> = Query::from_request_parts(parts, api).await;
        read.map(|Query(asked)| Self(asked)).map_err(|fault| Refusal(Error::malformed(fault.body_text())))
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

impl Page {
    /// How many items a page has.
    fn size(wanted: Option<usize>) -> Result<usize, Error> {
        match wanted.unwrap_or(100) {
            limit @ 1..=1000 => Ok(limit),
            other => Err(Error::malformed(format!("\"limit\" is {other}; it must be between 1 and 1000."))),
        }
    }
}

impl FromRequestParts<Arc<Api>> for Page {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, api: &Arc<Api>) -> Result<Self, Refusal> {
        let Asked(Wanted { after, limit }) = Asked::from_request_parts(parts, api).await?;
        Ok(Self { after, limit: Self::size(limit)? })
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

/// An id as it stands in a path, a query or a body; a text that is none names nothing.
fn id<T: FromStr>(noun: &str, text: &str) -> Result<T, Error> {
    let shown = || text.chars().take(40).collect::<String>().escape_debug().to_string();
    text.parse().map_err(|_| Error::not_found(format!("There is no {noun} \"{}\".", shown())))
}
