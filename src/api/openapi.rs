//! The document that describes the REST API (OpenAPI 3.1), made from the handlers and their objects.

use axum::extract::Request;
use axum::http::{HeaderValue, header};
use axum::middleware::Next;
use axum::response::Response as Answer;
use bytes::Bytes;
use utoipa::openapi::path::{Operation, Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{
    ComponentsBuilder, ContentBuilder, InfoBuilder, OpenApi, PathItem, Ref, RefOr, Required, Response, ResponseBuilder,
    Server,
};

const PROBLEM: &str = "application/problem+json";

/// What may be wrong with any request.
const ANY: &[(&str, &str)] = &[
    ("400", "The request can't be understood, or asks for something that is not."),
    ("404", "There is no such resource, or the caller may not know of it."),
    ("405", "The resource does not have this method."),
    ("413", "The body is too large."),
    ("429", "Too many requests, or a quota is used up; see Retry-After."),
    ("500", "The server failed."),
    ("503", "The server is overloaded; see Retry-After."),
];

/// What may be wrong besides with a request that changes something.
const CHANGE: &[(&str, &str)] = &[
    ("409", "Something else holds what was asked for, or it is in another state."),
    ("412", "It has changed since the caller read it."),
    ("415", "The body is of another type."),
    ("422", "The Idempotency-Key was used for another request."),
];

/// What may be wrong besides where a token is needed.
const CLOSED: &[(&str, &str)] =
    &[("401", "No token, or none that is in use."), ("403", "The caller may not, or something must be done first.")];

/// The document as JSON, of the resources that are open and those that need a token. As a tree of objects it would take
/// a hundred times as much memory.
pub(super) fn document(mut open: OpenApi, mut closed: OpenApi) -> Bytes {
    each(&mut open, |operation, changes| complete(operation, changes, false));
    each(&mut closed, |operation, changes| complete(operation, changes, true));
    let mut document = closed;
    document.merge(open);
    document.info = InfoBuilder::new()
        .title("Chancery")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(
            "The certificate service behind the ACME server: customers, purchases, reviews, certificates.",
        ))
        .build();
    document.servers = Some(vec![Server::new("/api/v1")]);
    let components = document.components.get_or_insert_with(|| ComponentsBuilder::new().build());
    components
        .add_security_scheme("token", SecurityScheme::Http(HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build()));
    components.schemas.insert("ProblemDocument".to_owned(), problem());
    serde_json::to_vec(&document).expect("the keys of all its objects are text").into()
}

/// Answers are what their `Content-Type` says, whatever they look like.
pub(super) async fn closed_to_sniffing(request: Request, next: Next) -> Answer {
    let mut answer = next.run(request).await;
    answer.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    answer
}

/// Every operation, and whether it changes something.
fn each(document: &mut OpenApi, mut change: impl FnMut(&mut Operation, Changes)) {
    for PathItem { get, put, post, delete, patch, .. } in document.paths.paths.values_mut() {
        let all = [
            (get, Changes::Nothing),
            (put, Changes::One),
            (post, Changes::New),
            (delete, Changes::One),
            (patch, Changes::One),
        ];
        for (operation, changes) in all {
            if let Some(operation) = operation {
                change(operation, changes);
            }
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Changes {
    Nothing,
    One,
    New,
}

fn complete(operation: &mut Operation, changes: Changes, closed: bool) {
    let change = if changes == Changes::Nothing { &[][..] } else { CHANGE };
    let closed_only = if closed { CLOSED } else { &[][..] };
    for (status, what) in ANY.iter().chain(change).chain(closed_only) {
        operation.responses.responses.entry((*status).to_owned()).or_insert_with(|| RefOr::T(refusal(what)));
    }
    if closed {
        let needed = SecurityRequirement::new::<_, _, String>("token", []);
        operation.security.get_or_insert_with(|| vec![needed]);
        match changes {
            Changes::New => {
                header_parameter(operation, "Idempotency-Key", "The same key and request again are answered as before.")
            }
            Changes::One => header_parameter(operation, "If-Match", "The entity tag that the object must still have."),
            Changes::Nothing => {}
        }
    }
}

fn header_parameter(operation: &mut Operation, name: &str, what: &str) {
    let parameter: Parameter = ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some(what))
        .schema(Some(ObjectBuilder::new().schema_type(Type::String)))
        .build();
    operation.parameters.get_or_insert_with(Vec::new).push(parameter.into());
}

fn refusal(what: &str) -> Response {
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("ProblemDocument"))).build();
    ResponseBuilder::new().description(what).content(PROBLEM, content).build()
}

/// RFC 9457
fn problem() -> RefOr<utoipa::openapi::Schema> {
    let text = || ObjectBuilder::new().schema_type(Type::String);
    ObjectBuilder::new()
        .schema_type(Type::Object)
        .property("type", text())
        .property("title", text())
        .property("status", ObjectBuilder::new().schema_type(Type::Integer))
        .property("detail", text().description(Some("What was wrong, and what to do.")))
        .required("type")
        .required("title")
        .required("status")
        .required("detail")
        .into()
}
