//! REST under `/api/v1`: what the command line, programs and the console speak. Knows nothing of store, validator and CA.

mod access;
mod alarms;
mod applications;
mod audit;
mod billing;
mod certificates;
mod channels;
mod clearances;
mod compromised_keys;
mod csrs;
mod customers;
mod diagnoses;
mod edit;
mod help;
mod hosting;
mod idempotency;
mod incidents;
mod keys;
mod letters;
mod limits;
mod notices;
mod openapi;
mod operations;
mod orders;
mod paused;
mod payments;
mod problem;
mod products;
mod profiles;
mod purchases;
mod quotas;
mod quotes;
mod recommendations;
mod refunds;
mod reissues;
mod reminders;
mod renewals;
mod reviews;
mod revocations;
mod schema;
mod subscriptions;
mod token;
mod tokens;
mod upgrades;
mod uploads;

use std::str::FromStr;
use std::sync::Arc;

use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{DefaultBodyLimit, FromRequest, FromRequestParts, Query, Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, Method, StatusCode};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::get;
use axum::{Json, Router};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub use access::large_bodies;
pub use payments::WebhookSecret;
pub use token::OperatorToken;

use crate::domain::{Error, Kind};
use crate::ra::Ra;
use access::Caller;
use edit::{Tag, Tagged};
use problem::Refusal;

/// What the handlers share.
pub struct Api {
    ra: Arc<Ra>,
    operator: OperatorToken,
    /// What payment providers sign with; none: no payments are taken.
    payments: Option<WebhookSecret>,
}

impl Api {
    /// The API over `ra`, for whoever has the operator's token.
    pub fn new(ra: Arc<Ra>, operator: OperatorToken, payments: Option<WebhookSecret>) -> Arc<Self> {
        Arc::new(Self { ra, operator, payments })
    }
}

const JSON: [(HeaderName, HeaderValue); 1] = [(CONTENT_TYPE, HeaderValue::from_static("application/json"))];

type Shared = State<Arc<Api>>;
type Answer<T> = Result<T, Refusal>;

/// Every resource, and the document that describes them (OpenAPI 3.1), which is made from the handlers.
pub fn router(api: Arc<Api>) -> Router {
    let (open, open_document) = open().split_for_parts();
    let (closed, closed_document) = closed().split_for_parts();
    let document = openapi::document(open_document, closed_document);
    let open = open
        .route("/openapi.json", get(move || async move { (JSON, document.clone()) }))
        .method_not_allowed_fallback(method_not_allowed);
    let closed = closed
        .method_not_allowed_fallback(method_not_allowed)
        .fallback(|| async { Refusal(nothing_here()) })
        .layer(from_fn_with_state(api.clone(), idempotency::repeatable))
        .layer(from_fn_with_state(api.clone(), access::authorize));
    open.merge(closed)
        .layer(from_fn(openapi::closed_to_sniffing))
        // The listener has judged the length of each body; this is only more than any of them.
        .layer(DefaultBodyLimit::max(incidents::MOST_OCTETS))
        .with_state(api)
}

/// What everybody may ask for.
fn open() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new()
        .routes(routes!(products::list))
        .routes(routes!(products::show))
        .routes(routes!(quotes::of_product, quotes::of_names))
        .routes(routes!(recommendations::create))
        .routes(routes!(payments::take))
        .routes(routes!(help::list))
        .routes(routes!(help::show))
}

/// What needs a token; the handlers say whose.
fn closed() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new()
        .routes(routes!(tokens::list, tokens::create))
        .routes(routes!(tokens::revoke))
        .routes(routes!(customers::list, customers::create))
        .routes(routes!(customers::show, customers::edit))
        .routes(routes!(customers::accounts))
        .routes(routes!(billing::balance))
        .routes(routes!(billing::ledger))
        .routes(routes!(billing::credit))
        .routes(routes!(billing::discount))
        .routes(routes!(billing::trial_balance))
        .routes(routes!(keys::list, keys::create))
        .routes(routes!(keys::revoke))
        .routes(routes!(purchases::list, purchases::create))
        .routes(routes!(purchases::show))
        .routes(routes!(purchases::set_auto_renewal))
        .routes(routes!(refunds::cancel_purchase))
        .routes(routes!(refunds::refund))
        .routes(routes!(applications::show, applications::submit))
        .routes(routes!(letters::template, letters::upload))
        .routes(routes!(letters::template_of_order, letters::upload_of_order))
        .routes(routes!(letters::document))
        .routes(routes!(reminders::of_purchase))
        .routes(routes!(reminders::of_order))
        .routes(routes!(profiles::organisations, profiles::submit_organisation))
        .routes(routes!(profiles::organisation))
        .routes(routes!(profiles::administrators, profiles::submit_administrator))
        .routes(routes!(profiles::administrator))
        .routes(routes!(profiles::contacts, profiles::submit_contact))
        .routes(routes!(profiles::contact))
        .routes(routes!(profiles::domains))
        .routes(routes!(orders::list, orders::create))
        .routes(routes!(orders::show))
        .routes(routes!(refunds::cancel_order))
        .routes(routes!(orders::validation_records))
        .routes(routes!(orders::validate))
        .routes(routes!(operations::of_order))
        .routes(routes!(operations::list))
        .routes(routes!(audit::export))
        .routes(routes!(audit::evidence))
        .routes(routes!(diagnoses::create))
        .routes(routes!(reviews::list))
        .routes(routes!(reviews::show))
        .routes(routes!(reviews::decide))
        .routes(routes!(reviews::note))
        .routes(routes!(clearances::list, clearances::create, clearances::withdraw))
        .routes(routes!(certificates::list))
        .routes(routes!(certificates::show, certificates::edit, certificates::delete))
        .routes(routes!(certificates::mute, certificates::unmute))
        .routes(routes!(certificates::bundle))
        .routes(routes!(hosting::list, hosting::deploy, hosting::unbind))
        .routes(routes!(hosting::host))
        .routes(routes!(upgrades::create))
        .routes(routes!(uploads::create))
        .routes(routes!(csrs::list, csrs::create))
        .routes(routes!(csrs::show, csrs::delete))
        .routes(routes!(csrs::private_key))
        .routes(routes!(certificates::revoke))
        .routes(routes!(reissues::create))
        .routes(routes!(revocations::list, revocations::create))
        .routes(routes!(revocations::show))
        .routes(routes!(revocations::prove))
        .routes(routes!(revocations::form, revocations::send))
        .routes(routes!(renewals::create))
        .routes(routes!(compromised_keys::list, compromised_keys::report))
        .routes(routes!(incidents::list, incidents::create))
        .routes(routes!(incidents::show))
        .routes(routes!(incidents::close))
        .routes(routes!(notices::list))
        .routes(routes!(notices::show))
        .routes(routes!(notices::mark_read))
        .routes(routes!(subscriptions::show, subscriptions::change))
        .routes(routes!(channels::list, channels::create))
        .routes(routes!(channels::show, channels::delete))
        .routes(routes!(channels::test))
        .routes(routes!(alarms::templates, alarms::create_template))
        .routes(routes!(alarms::template, alarms::edit_template, alarms::delete_template))
        .routes(routes!(alarms::list, alarms::create))
        .routes(routes!(alarms::proposal))
        .routes(routes!(alarms::show, alarms::edit, alarms::delete))
        .routes(routes!(limits::list))
        .routes(routes!(limits::overrides, limits::set, limits::withdraw))
        .routes(routes!(paused::list))
        .routes(routes!(paused::unpause))
        .routes(routes!(quotas::quota))
        .routes(routes!(quotas::packages, quotas::grant_package))
        .routes(routes!(quotas::domain, quotas::set_registrar))
        .routes(routes!(quotas::count_elsewhere, quotas::forget_elsewhere))
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
            Refusal(Error::new(kind, shown(&fault.body_text())))
        })?;
        // serde would take an array for an object whose members stand in their order.
        if !body.get().starts_with('{') {
            return Err(Refusal(Error::malformed("The body is not a JSON object.")));
        }
        serde_json::from_str(body.get()).map(Self).map_err(|fault| {
            Refusal(Error::malformed(format!("The body can't be read: {}.", shown(&fault.to_string()))))
        })
    }
}

/// What the query asks for; what can't be read is told as a problem document.
struct Asked<T>(T);

impl<T: DeserializeOwned> FromRequestParts<Arc<Api>> for Asked<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, api: &Arc<Api>) -> Result<Self, Refusal> {
        let read: Result<Query<T>, QueryRejection> = Query::from_request_parts(parts, api).await;
        read.map(|Query(asked)| Self(asked)).map_err(|fault| Refusal(Error::malformed(shown(&fault.body_text()))))
    }
}

/// What can be shown of a text that repeats what somebody sent.
fn shown(text: &str) -> String {
    text.chars().take(300).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Which page of a list.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Wanted {
    /// Behind which item it begins: `next` of the page before.
    after: Option<String>,
    /// How many items it has at most.
    #[param(minimum = 1, maximum = 1000, default = 100)]
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
#[derive(Serialize, ToSchema)]
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
