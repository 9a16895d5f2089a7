//! Confirmation letters: the template, the upload, and the file again for its owner and reviewers (DOC-01 to DOC-12).

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::applications::seen_purchase;
use super::{Answer, Api, Caller, Path, Shared, id, nothing_here};
use crate::domain::document::DocumentKind;
use crate::domain::{Error, PurchaseId};

/// A file that no browser shows in this place, whatever is in it.
fn file(media_type: &str, name: &str, content: Vec<u8>) -> Response {
    let headers = [
        (header::CONTENT_TYPE, media_type.to_owned()),
        (header::CONTENT_DISPOSITION, format!("attachment; filename=\"{name}\"")),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned()),
        (header::CACHE_CONTROL, "no-store".to_owned()),
    ];
    (headers, content).into_response()
}

/// The purchase of an order, if the caller may see it.
async fn purchase_of_order(api: &Api, caller: &Caller, text: &str) -> Result<PurchaseId, Error> {
    let report = api.ra.order_report(&id("order", text)?).await?;
    caller.sees_of(report.holder.customer())?;
    api.ra.purchase_of_order(&report.view.order.id).await
}

/// The largest body of a request that uploads a letter, in octets. The catalogue bounds letters further (`letter_max_bytes`).
pub(super) const MOST_OCTETS: usize = 2_097_152;

/// The letter, filled in, to be sealed and signed: PDF (DOC-01).
#[utoipa::path(get, path = "/purchases/{id}/letter", tag = "purchases", params(("id" = String, Path)), responses((status = 200, content_type = "application/pdf", body = Vec<u8>)))]
pub(super) async fn template(State(api): Shared, caller: Caller, Path(text): Path<String>) -> Answer<Response> {
    let purchase = seen_purchase(&api, &caller, &text).await?;
    Ok(file("application/pdf", "confirmation-letter.pdf", api.ra.letter_template(&purchase).await?))
}

/// Uploads the letter: the file itself as the body. What it is decides its content (DOC-02, DOC-07).
#[utoipa::path(put, path = "/purchases/{id}/letter", tag = "purchases", params(("id" = String, Path)), request_body(content = Vec<u8>, content_type = "application/octet-stream"), responses((status = 204)))]
pub(super) async fn upload(
    State(api): Shared,
    caller: Caller,
    Path(text): Path<String>,
    content: Bytes,
) -> Answer<StatusCode> {
    let purchase = seen_purchase(&api, &caller, &text).await?;
    api.ra.upload_letter(&purchase, &content).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The same by the order that the letter is for.
#[utoipa::path(get, path = "/orders/{id}/letter", tag = "orders", params(("id" = String, Path)), responses((status = 200, content_type = "application/pdf", body = Vec<u8>)))]
pub(super) async fn template_of_order(
    State(api): Shared,
    caller: Caller,
    Path(text): Path<String>,
) -> Answer<Response> {
    let purchase = purchase_of_order(&api, &caller, &text).await?;
    Ok(file("application/pdf", "confirmation-letter.pdf", api.ra.letter_template(&purchase).await?))
}

/// Uploads the letter by the order that it is for.
#[utoipa::path(put, path = "/orders/{id}/letter", tag = "orders", params(("id" = String, Path)), request_body(content = Vec<u8>, content_type = "application/octet-stream"), responses((status = 204)))]
pub(super) async fn upload_of_order(
    State(api): Shared,
    caller: Caller,
    Path(text): Path<String>,
    content: Bytes,
) -> Answer<StatusCode> {
    let purchase = purchase_of_order(&api, &caller, &text).await?;
    api.ra.upload_letter(&purchase, &content).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A letter that was uploaded, for its owner and reviewers.
#[utoipa::path(get, path = "/documents/{id}", tag = "review", params(("id" = String, Path)), responses((status = 200, content_type = "application/octet-stream", body = Vec<u8>)))]
pub(super) async fn document(State(api): Shared, caller: Caller, Path(text): Path<String>) -> Answer<Response> {
    let (document, content) = api.ra.read_document(&id("document", &text)?).await?;
    if caller.reviewer().is_err() {
        caller.sees(&document.customer)?;
    }
    match document.kind {
        DocumentKind::Letter => Ok(file(&document.media_type, &document.name, content.to_vec())),
        // Private keys have ways of their own.
        _ => Err(nothing_here().into()),
    }
}
