//! RFC 8555 on the wire. Knows requests and answers, and of the rest of the house only `ra` and the domain.

#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod handlers;
pub mod json;
pub mod jws;
mod links;
pub mod nonce;
mod pairs;
pub mod problem;
mod signed;
mod unpause;
mod wire;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};

pub use links::Links;

use crate::actor::{Actor, acting};
use crate::domain::{Error, Kind};
use crate::http::event::shown_path;
use crate::http::{Dress, Peer};
use crate::ra::Ra;
use jws::Verifiers;
use nonce::Nonces;
use problem::Refusal;

/// What the handlers share.
pub struct Acme {
    ra: Arc<Ra>,
    links: Links,
    nonces: Nonces,
    verifiers: Verifiers,
    website: Option<String>,
}

impl Acme {
    /// The wire over `ra`, with URLs below `links` and the number of this node for its nonces.
    pub fn new(ra: Arc<Ra>, links: Links, website: Option<String>, node: u16) -> Arc<Self> {
        Arc::new(Self { ra, links, nonces: Nonces::new(node), verifiers: Verifiers::default(), website })
    }
}

/// Every ACME resource.
pub fn router(acme: Arc<Acme>) -> Router {
    use handlers as h;
    let directory = || get(h::directory).post(h::directory_signed);
    Router::new()
        .route("/directory", directory())
        .route("/dir", directory())
        .route("/product/{product}/directory", get(h::product_directory).post(h::product_directory_signed))
        .route("/acme/new-nonce", get(h::new_nonce).post(h::new_nonce_signed))
        .route("/acme/new-account", post(h::new_account))
        .route("/acme/account/{account}", post(h::account))
        .route("/acme/account/{account}/orders", post(h::orders))
        .route("/acme/key-change", post(h::key_change))
        .route("/acme/new-order", post(h::new_order))
        .route("/acme/product/{product}/new-order", post(h::new_product_order))
        .route("/acme/new-authz", post(h::new_authz))
        .route("/acme/product/{product}/new-authz", post(h::new_product_authz))
        .route("/acme/order/{order}", post(h::order))
        .route("/acme/order/{order}/finalize", post(h::finalize))
        .route("/acme/authz/{authz}", post(h::authz))
        .route("/acme/challenge/{authz}/{method}", post(h::challenge))
        .route("/acme/certificate/{serial}", post(h::certificate))
        .route("/acme/certificate/{serial}/{chain}", post(h::alternate_certificate))
        .route("/acme/encryption-key/{serial}", post(pairs::encryption_key))
        .route("/acme/revoke-cert", post(h::revoke_cert))
        .route("/acme/renewal-info/{certificate}", get(h::renewal_info))
        .route("/acme/unpause/{token}", get(unpause::show).post(unpause::submit))
        .route("/root.pem", get(h::root))
        .method_not_allowed_fallback(method_not_allowed)
        .fallback(no_such_resource)
        .layer(from_fn_with_state(acme.clone(), finish))
        .with_state(acme)
}

async fn no_such_resource(request: Request) -> Refusal {
    let path: String = shown_path(&request).chars().take(200).collect();
    Refusal(Error::not_found(format!(
        "There is no resource \"{}\" here; start from the directory.",
        path.escape_debug()
    )))
}

async fn method_not_allowed(method: Method) -> Refusal {
    // RFC 8555 section 6.3: a GET of what is to be fetched by POST-as-GET is answered with 405 and "malformed".
    Refusal(Error::new(
        Kind::MethodNotAllowed,
        format!("{method} is not for this resource. Fetch it with POST-as-GET (RFC 8555 section 6.3)."),
    ))
}

/// Gives every answer what RFC 8555 wants on it: the problem document of a refusal, a nonce on every answer to a POST
/// (section 6.5), the link to the directory (section 7.1), and leave for scripts in browsers (section 6.1).
async fn finish(State(acme): State<Arc<Acme>>, request: Request, next: Next) -> Response {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let answer = if method == Method::OPTIONS {
        StatusCode::NO_CONTENT.into_response()
    } else {
        let from = request.extensions().get::<Peer>().map(|peer| peer.0.ip());
        // What costs nothing to answer is not counted: so the directory, and how a limit is told.
        let counted = from.filter(|_| method == Method::POST || path == "/acme/new-nonce");
        let answer = match counted.map_or(Ok(()), |from| acme.ra.admit_request(from)) {
            Ok(()) => acting(Actor { who: "anonymous".to_owned(), from }, next.run(request)).await,
            Err(refused) => Refusal(refused).into_response(),
        };
        problem::render(answer, &acme)
    };
    dress(&acme, &method, &path, answer)
}

/// The same for answers that the listener gives in place of a resource: bodies that are too large or too slow, panics.
pub fn dresser(acme: Arc<Acme>) -> Dress {
    Arc::new(move |method, path, answer| match path.starts_with("/api/") {
        true => answer,
        false => dress(&acme, method, path, answer),
    })
}

fn dress(acme: &Acme, method: &Method, path: &str, mut answer: Response) -> Response {
    let is_directory = path.ends_with("/directory") || path == "/dir";
    let headers = answer.headers_mut();
    if *method == Method::POST {
        headers.insert("replay-nonce", header_value(&acme.nonces.issue()));
        headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    }
    if !is_directory {
        headers.append(header::LINK, header_value(&format!("<{}>;rel=\"index\"", acme.links.directory())));
    }
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    if *method == Method::OPTIONS {
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, HEAD, POST"));
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("content-type"));
        headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("86400"));
    } else {
        headers.insert(
            header::ACCESS_CONTROL_EXPOSE_HEADERS,
            HeaderValue::from_static("Link, Location, Replay-Nonce, Retry-After"),
        );
    }
    answer
}

/// A header's value. URLs and ids are printable ASCII; whatever should not be becomes an empty value, not a panic.
fn header_value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static(""))
}
