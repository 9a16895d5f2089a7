//! Revocations by the rules of the product: begun, proven, with letters (REVOKE).

use axum::Json;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use http_body_util::BodyExt as _;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{Answer, Api, Asked, Body, Caller, List, Path, Shared, id};
use crate::domain::certificate::RevocationReason;
use crate::domain::revocation::{NameProof, Stage};
use crate::domain::{DocumentId, Error, Problem, RevocationId, Serial};
use crate::ra::{NewRevocation, RevocationView, SentLetter};

/// A request for revocation, and what it waits for.
#[derive(Serialize, ToSchema)]
pub(super) struct RevocationObject {
    id: RevocationId,
    certificate: Serial,
    reason: RevocationReason,
    #[serde(skip_serializing_if = "String::is_empty")]
    grounds: String,
    /// `awaiting-proof`, `awaiting-letter`, `awaiting-review`, `done` or `failed`.
    status: &'static str,
    created: String,
    /// What to do next, for people.
    next: String,
    /// By when control of the names is to be shown, or the letter uploaded.
    #[serde(skip_serializing_if = "Option::is_none")]
    deadline: Option<String>,
    /// What shows control of the names.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    records: Vec<ProofObject>,
    /// The letter that was uploaded.
    #[serde(skip_serializing_if = "Option::is_none")]
    letter: Option<DocumentId>,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    ended: Option<String>,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
}

/// What shows control of a name.
#[derive(Serialize, ToSchema)]
pub(super) struct ProofObject {
    name: String,
    method: &'static str,
    /// The name of a TXT record, or a URL.
    place: String,
    /// What must be there.
    value: String,
    /// When it was seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    proven: Option<String>,
    /// What the last look found wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<Problem>,
}

impl From<NameProof> for ProofObject {
    fn from(proof: NameProof) -> Self {
        Self {
            name: proof.identifier.to_string(),
            method: proof.method.as_str(),
            place: proof.place(),
            value: proof.value(),
            proven: proof.proven.map(|at| at.to_string()),
            problem: proof.problem,
        }
    }
}

impl From<RevocationView> for RevocationObject {
    fn from(RevocationView { request, next, .. }: RevocationView) -> Self {
        let status = request.stage.as_str();
        let deadline = request.stage.deadline().map(|deadline| deadline.to_string());
        let (mut records, mut letter, mut ended, mut why) = (Vec::new(), None, None, None);
        match request.stage {
            Stage::AwaitingProof { names, .. } => records = names.into_iter().map(ProofObject::from).collect(),
            Stage::AwaitingLetter { .. } => {}
            Stage::AwaitingReview { letter: sent, .. } => letter = sent,
            Stage::Done { at } => ended = Some(at.to_string()),
            Stage::Failed { at, why: told } => (ended, why) = (Some(at.to_string()), Some(told)),
        }
        Self {
            id: request.id,
            certificate: request.serial,
            reason: request.reason,
            grounds: request.grounds,
            status,
            created: request.created.to_string(),
            next,
            deadline,
            records,
            letter,
            ended,
            why,
        }
    }
}

/// A wish to have a certificate revoked.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewRevocationRequest {
    /// The reason that will stand in the list; `keyCompromise` revokes at once.
    #[serde(default)]
    reason: Option<RevocationReason>,
    /// Why, in words: some products ask for it (REVOKE-10).
    #[serde(default)]
    grounds: String,
}

/// Begins a revocation as the rules of the product want it. It can't be taken back (REVOKE-02).
#[utoipa::path(post, path = "/certificates/{serial}/revocations", tag = "revocations", params(("serial" = String, Path)), request_body = NewRevocationRequest, responses((status = 201, body = RevocationObject)))]
pub(super) async fn create(
    State(api): Shared,
    caller: Caller,
    Path(text): Path<String>,
    Body(asked): Body<NewRevocationRequest>,
) -> Answer<Response> {
    let serial = own_certificate(&api, &caller, &text).await?;
    let reason = asked.reason.unwrap_or(RevocationReason::Unspecified);
    let begun = api.ra.request_revocation(&NewRevocation { serial, reason, grounds: asked.grounds }).await?;
    Ok((StatusCode::CREATED, Json(RevocationObject::from(begun))).into_response())
}

/// The revocations of a certificate that were begun, the newest first.
#[utoipa::path(get, path = "/certificates/{serial}/revocations", tag = "revocations", params(("serial" = String, Path)), responses((status = 200, body = List<RevocationObject>)))]
pub(super) async fn list(
    State(api): Shared,
    caller: Caller,
    Path(text): Path<String>,
) -> Answer<Json<List<RevocationObject>>> {
    let serial = own_certificate(&api, &caller, &text).await?;
    let found = api.ra.revocations_of(&serial).await?;
    Ok(List::of(found.into_iter().map(RevocationObject::from).collect(), usize::MAX, |item| item.id.to_string()))
}

/// One revocation, and what it waits for.
#[utoipa::path(get, path = "/revocations/{id}", tag = "revocations", params(("id" = String, Path)), responses((status = 200, body = RevocationObject)))]
pub(super) async fn show(
    State(api): Shared,
    caller: Caller,
    Path(text): Path<String>,
) -> Answer<Json<RevocationObject>> {
    Ok(Json(own(&api, &caller, &text).await?.into()))
}

/// The records are published: the server looks at once.
#[utoipa::path(post, path = "/revocations/{id}/proof", tag = "revocations", params(("id" = String, Path)), responses((status = 200, body = RevocationObject)))]
pub(super) async fn prove(
    State(api): Shared,
    caller: Caller,
    Path(text): Path<String>,
) -> Answer<Json<RevocationObject>> {
    let found = own(&api, &caller, &text).await?;
    Ok(Json(api.ra.look_for_proof(&found.request.id).await?.into()))
}

/// The letter to print, stamp and upload.
#[utoipa::path(get, path = "/revocations/{id}/letter", tag = "revocations", params(("id" = String, Path)), responses((status = 200, content_type = "application/pdf", body = Vec<u8>)))]
pub(super) async fn form(State(api): Shared, caller: Caller, Path(text): Path<String>) -> Answer<Response> {
    let found = own(&api, &caller, &text).await?;
    let letter = api.ra.revocation_form(&found.request.id).await?;
    Ok(([(header::CONTENT_TYPE, "application/pdf")], letter).into_response())
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Named {
    /// What the file is called.
    name: Option<String>,
}

/// Takes the stamped letter; what kind of file it is, its content says (DOC-10, DOC-11).
#[utoipa::path(put, path = "/revocations/{id}/letter", tag = "revocations", params(("id" = String, Path), Named), request_body(content = Vec<u8>, content_type = "application/octet-stream"), responses((status = 200, body = RevocationObject)))]
pub(super) async fn send(
    State(api): Shared,
    caller: Caller,
    Path(text): Path<String>,
    Asked(Named { name }): Asked<Named>,
    request: Request,
) -> Answer<Json<RevocationObject>> {
    let found = own(&api, &caller, &text).await?;
    // The body is in memory already.
    let content = request.into_body().collect().await;
    let content = content.map_err(|fault| Error::malformed("The body broke off.").because(fault))?.to_bytes();
    let name: String = name.as_deref().unwrap_or("letter").chars().filter(|c| !c.is_control()).take(200).collect();
    let sent = SentLetter { name: &name, content: &content };
    Ok(Json(api.ra.send_revocation_letter(&found.request.id, sent).await?.into()))
}

/// A revocation that the caller may look at.
async fn own(api: &Api, caller: &Caller, text: &str) -> Result<RevocationView, Error> {
    let found = api.ra.revocation(&id("revocation", text)?).await?;
    caller.sees_of(found.request.customer.as_ref())?;
    Ok(found)
}

/// The serial of a certificate that the caller may look at.
pub(super) async fn own_certificate(api: &Api, caller: &Caller, text: &str) -> Result<Serial, Error> {
    // REVOKE-04
    let none = || {
        Error::not_found(
            "There is no certificate of that serial (40 hexadecimal digits). What was uploaded is revoked elsewhere: ask the \
             CA that issued it (REVOKE-04).",
        )
    };
    let serial: Serial = text.parse().map_err(|()| none())?;
    let customer = api.ra.customer_behind(&serial).await?.ok_or_else(none)?;
    caller.sees_of(customer.as_ref())?;
    Ok(serial)
}
