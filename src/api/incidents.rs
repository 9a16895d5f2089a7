//! Incidents: certificates that have to be renewed before their time.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use url::Url;
use utoipa::ToSchema;

use super::{Answer, Body, Caller, List, Page, Path, Shared, id};
use crate::domain::certificate::hex32;
use crate::domain::incident::{Incident, Selection};
use crate::domain::{Error, Identifier, IncidentId, Result, Serial, Timestamp};
use crate::ra::NewIncident;

/// The largest body of a request for an incident, in octets: room for `MAX_SERIALS` serials of 43 octets with what stands
/// around them, and `MAX_NAMES` names.
pub(super) const MOST_OCTETS: usize = 4_718_592;

/// Which certificates: those that meet all that is said. At least one member is needed.
#[derive(Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SelectionObject {
    /// The intermediate that signed them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    issuer: Option<String>,
    /// The product that they were ordered as.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    product: Option<String>,
    /// Domain names and IP addresses: a certificate is meant that has one of them, or a name below one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    names: Vec<String>,
    /// Serials, 40 hexadecimal digits each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    serials: Vec<String>,
    /// Signed then or later (RFC 3339).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    issued_from: Option<String>,
    /// Signed then or earlier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    issued_until: Option<String>,
    /// SHA-256 of the SubjectPublicKeyInfo, 64 hexadecimal digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key_sha256: Option<String>,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct IncidentRequest {
    selection: SelectionObject,
    /// What happened, in a sentence or two: customers read it.
    reason: String,
    /// A page about it, which ACME clients show.
    explanation_url: Option<String>,
    /// By when the certificates should be renewed (RFC 3339).
    renew_by: String,
    /// Only count the certificates.
    #[serde(default)]
    dry_run: bool,
}

#[derive(Serialize, ToSchema)]
pub(super) struct IncidentObject {
    /// None for a dry run.
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<IncidentId>,
    state: &'static str,
    selection: SelectionObject,
    reason: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    explanation_url: Option<String>,
    renew_by: String,
    opened: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    closed: Option<String>,
    /// How many certificates in force it was about when it was opened.
    matched: usize,
}

impl SelectionObject {
    fn read(self) -> Result<Selection> {
        let Self { issuer, product, names, serials, issued_from, issued_until, key_sha256 } = self;
        let serial = |text: &String| text.parse::<Serial>().map_err(|()| no_serial(text));
        let key_sha256 = key_sha256.map(|digits| digits.to_ascii_lowercase());
        if key_sha256.as_ref().is_some_and(|digits| hex32::decode(digits).is_none()) {
            return Err(Error::malformed("Field \"key_sha256\" has 64 hexadecimal digits."));
        }
        Ok(Selection {
            issuer,
            product,
            names: names.iter().map(|text| name(text)).collect::<Result<_>>()?,
            serials: serials.iter().map(serial).collect::<Result<_>>()?,
            issued_from: issued_from.map(|text| moment("issued_from", &text)).transpose()?,
            issued_until: issued_until.map(|text| moment("issued_until", &text)).transpose()?,
            key_sha256,
        })
    }
}

impl From<Selection> for SelectionObject {
    fn from(selection: Selection) -> Self {
        Self {
            issuer: selection.issuer,
            product: selection.product,
            names: selection.names.iter().map(ToString::to_string).collect(),
            serials: selection.serials.iter().map(ToString::to_string).collect(),
            issued_from: selection.issued_from.map(|moment| moment.to_string()),
            issued_until: selection.issued_until.map(|moment| moment.to_string()),
            key_sha256: selection.key_sha256,
        }
    }
}

impl From<Incident> for IncidentObject {
    fn from(incident: Incident) -> Self {
        Self {
            state: if incident.closed.is_some() { "closed" } else { "open" },
            id: Some(incident.id),
            selection: incident.selection.into(),
            reason: incident.reason,
            explanation_url: incident.explanation_url,
            renew_by: incident.renew_by.to_string(),
            opened: incident.opened.to_string(),
            closed: incident.closed.map(|moment| moment.to_string()),
            matched: incident.matched,
        }
    }
}

/// The start of a text that somebody sent, fit to be shown.
fn shown(text: &str) -> String {
    text.chars().take(60).collect::<String>().escape_debug().to_string()
}

fn no_serial(text: &str) -> Error {
    Error::malformed(format!("\"{}\" is no serial: 40 lower-case hexadecimal digits.", shown(text)))
}

fn name(text: &str) -> Result<Identifier> {
    match text.parse() {
        Ok(ip) => Ok(Identifier::Ip(ip)),
        Err(_) => Identifier::parse("dns", text).map_err(|fault| {
            Error::malformed(format!("\"{}\" is no domain name and no IP address.", shown(text))).because(fault)
        }),
    }
}

fn moment(member: &str, text: &str) -> Result<Timestamp> {
    let wrong = || Error::malformed(format!("Field \"{member}\" is \"{}\"; write it as in RFC 3339.", shown(text)));
    Timestamp::parse_rfc3339(text).ok_or_else(wrong)
}

/// RFC 9773 section 4.2: a URL of a page for people.
fn page_about_it(text: String) -> Result<String> {
    let fits = Url::parse(&text).is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    match fits && text.len() <= 500 {
        true => Ok(text),
        false => Err(Error::malformed(format!("Field \"explanation_url\" is \"{}\", no URL of a page.", shown(&text)))),
    }
}

fn reason(text: String) -> Result<String> {
    let fits = !text.trim().is_empty() && text.chars().count() <= 1_000 && !text.chars().any(char::is_control);
    let wrong = || Error::malformed("Field \"reason\" says in 1 to 1000 characters, on one line, what happened.");
    fits.then_some(text).ok_or_else(wrong)
}

/// Opens an incident (201), or with `dry_run` only counts its certificates (200).
#[utoipa::path(post, path = "/incidents", tag = "incidents", request_body = IncidentRequest, responses((status = 201, body = IncidentObject), (status = 200, body = IncidentObject)))]
pub(super) async fn create(State(api): Shared, caller: Caller, Body(asked): Body<IncidentRequest>) -> Answer<Response> {
    caller.operator()?;
    let incident = NewIncident {
        selection: asked.selection.read()?,
        reason: reason(asked.reason)?,
        explanation_url: asked.explanation_url.map(page_about_it).transpose()?,
        renew_by: moment("renew_by", &asked.renew_by)?,
    };
    if asked.dry_run {
        let tried = api.ra.try_incident(incident).await?;
        let object = IncidentObject { id: None, state: "dry-run", ..tried.into() };
        return Ok((StatusCode::OK, Json(object)).into_response());
    }
    let opened = api.ra.open_incident(incident).await?;
    Ok((StatusCode::CREATED, Json(IncidentObject::from(opened))).into_response())
}

/// All incidents.
#[utoipa::path(get, path = "/incidents", tag = "incidents", params(super::Wanted), responses((status = 200, body = List<IncidentObject>)))]
pub(super) async fn list(State(api): Shared, caller: Caller, page: Page) -> Answer<Json<List<IncidentObject>>> {
    caller.operator()?;
    let after = page.after.as_deref().map(|text| id::<IncidentId>("incident", text)).transpose()?;
    let found = api.ra.incidents(after.as_ref(), page.limit).await?;
    let items = found.into_iter().map(IncidentObject::from).collect();
    Ok(List::of(items, page.limit, |item: &IncidentObject| {
        item.id.as_ref().map(ToString::to_string).unwrap_or_default()
    }))
}

/// One incident.
#[utoipa::path(get, path = "/incidents/{id}", tag = "incidents", params(("id" = String, Path)), responses((status = 200, body = IncidentObject)))]
pub(super) async fn show(State(api): Shared, caller: Caller, Path(text): Path<String>) -> Answer<Json<IncidentObject>> {
    caller.operator()?;
    Ok(Json(api.ra.incident(&id("incident", &text)?).await?.into()))
}

/// Closes an incident: the renewal of its certificates is as usual again.
#[utoipa::path(post, path = "/incidents/{id}/close", tag = "incidents", params(("id" = String, Path)), responses((status = 200, body = IncidentObject)))]
pub(super) async fn close(
    State(api): Shared,
    caller: Caller,
    Path(text): Path<String>,
) -> Answer<Json<IncidentObject>> {
    caller.operator()?;
    Ok(Json(api.ra.close_incident(&id("incident", &text)?).await?.into()))
}
