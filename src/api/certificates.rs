//! Certificates, issued and uploaded: lists, details, what their owners keep about them, deletion.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{Answer, Asked, Body, Caller, List, Page, Path, Shared, Tag, Tagged, id};
use crate::domain::certificate::{CertificateStanding, RevocationReason};
use crate::domain::portfolio::{CertificateRef, Resource};
use crate::domain::{CustomerId, Error, Identifier, OrderId, Serial};
use crate::ra::{Authority, Description, Filter, Kept, Listed};

/// A certificate as lists and details show it (META-04).
#[derive(Serialize, ToSchema)]
pub(super) struct CertificateObject {
    /// Its id: the serial of one that was issued here, the id of an upload.
    id: String,
    serial: String,
    /// Its type: that of its product, or `uploaded` (META-04).
    r#type: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    product: Option<String>,
    names: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    identifiers: Vec<Identifier>,
    issuer: String,
    /// What its key is: `P-256`, `RSA 2048`, `SM2`.
    key: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    customer: Option<CustomerId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    account: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    order: Option<String>,
    not_before: String,
    /// When it expires (NOTIFY-06).
    not_after: String,
    /// Whether that is within the days of the renewal window.
    expiring: bool,
    /// `valid`, `expired`, `revoking`, `revoked` or `uploaded`.
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    revoked: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<RevocationReason>,
    /// What its owner calls it (META-01).
    name: String,
    /// Keys and values (META-02).
    tags: BTreeMap<String, String>,
    /// The project it belongs to (META-03).
    project: String,
    /// Since when its messages are ignored (NOTIFY-01).
    #[serde(skip_serializing_if = "Option::is_none")]
    muted: Option<String>,
    /// The resources that use it.
    deployed: Vec<ResourceObject>,
    /// Those on which its successor replaces it (HOST-01).
    hosted: Vec<ResourceObject>,
}

/// A resource of a provider (HOST-06).
#[derive(Serialize, ToSchema)]
pub(super) struct ResourceObject {
    r#type: String,
    id: String,
}

impl From<&Resource> for ResourceObject {
    fn from(resource: &Resource) -> Self {
        Self { r#type: resource.kind.clone(), id: resource.id.clone() }
    }
}

impl CertificateObject {
    pub(super) fn of(listed: Listed, kind_of: impl Fn(&str) -> String) -> Self {
        let held = listed.portfolio;
        let names = listed.certificate.names();
        let reference = listed.certificate.reference();
        let mut object = Self {
            id: reference.to_string(),
            serial: String::new(),
            r#type: "uploaded".to_owned(),
            product: None,
            names,
            identifiers: Vec::new(),
            issuer: String::new(),
            key: String::new(),
            customer: listed.customer,
            account: None,
            order: None,
            not_before: String::new(),
            not_after: listed.certificate.not_after().to_string(),
            expiring: listed.expiring,
            status: listed.status.as_str(),
            revoked: None,
            reason: None,
            name: held.name,
            tags: held.tags,
            project: held.project,
            muted: held.muted.map(|since| since.to_string()),
            deployed: held.deployed.iter().map(ResourceObject::from).collect(),
            hosted: held.hosted.iter().map(ResourceObject::from).collect(),
        };
        match listed.certificate {
            Kept::Uploaded(upload) => {
                object.serial = upload.serial;
                object.issuer = upload.issuer;
                object.key = upload.key;
                object.not_before = upload.not_before.to_string();
            }
            Kept::Issued(certificate) => {
                object.serial = certificate.serial.to_string();
                object.r#type = kind_of(&certificate.product);
                object.issuer = certificate.issuer;
                object.key = certificate.key.to_string();
                object.not_before = certificate.not_before.to_string();
                object.identifiers = certificate.identifiers;
                object.account = Some(certificate.account.to_string());
                object.order = Some(certificate.order.to_string());
                object.product = Some(certificate.product);
                if let CertificateStanding::Revoked { at, reason } = certificate.standing {
                    (object.revoked, object.reason) = (Some(at.to_string()), Some(reason));
                }
            }
        }
        object
    }
}

/// An object of what was found.
pub(super) fn object(api: &super::Api, listed: Listed) -> CertificateObject {
    let catalog = api.ra.catalog();
    let class = |product: &str| catalog.product(product).map_or("gone", |product| product.class.id()).to_owned();
    CertificateObject::of(listed, class)
}

/// The certificate of that id, if the caller may see it.
pub(super) async fn seen(api: &super::Api, caller: &Caller, text: &str) -> Result<(CertificateRef, Listed), Error> {
    let reference: CertificateRef = id("certificate", text)?;
    let listed = api.ra.listed(&reference).await?;
    caller.sees_of(listed.customer.as_ref())?;
    // Of a pair it may have been the other certificate that was named.
    Ok((listed.certificate.reference(), listed))
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Wanted {
    /// For operators: whose.
    customer: Option<String>,
    /// Only of this project.
    project: Option<String>,
    /// Only with this tag: `key` or `key=value`.
    tag: Option<String>,
    /// Only with this status.
    status: Option<String>,
    /// Only those that end within the renewal window, or do not.
    expiring: Option<bool>,
    /// Behind which item it begins: `next` of the page before.
    after: Option<String>,
    /// How many items it has at most.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<usize>,
}

/// Certificates, issued and uploaded: a customer's own, or all.
#[utoipa::path(get, path = "/certificates", tag = "certificates", params(Wanted), responses((status = 200, body = List<CertificateObject>)))]
pub(super) async fn list(
    State(api): Shared,
    caller: Caller,
    Asked(asked): Asked<Wanted>,
) -> Answer<Json<List<CertificateObject>>> {
    let limit = Page::size(asked.limit)?;
    let customer: Option<CustomerId> = asked.customer.map(|text| id("customer", &text)).transpose()?;
    let customer = caller.scope(customer)?;
    let after = asked.after.map(|text| id("certificate", &text)).transpose()?;
    let tag = asked.tag.map(|text| match text.split_once('=') {
        Some((key, value)) => (key.to_owned(), Some(value.to_owned())),
        None => (text, None),
    });
    if let Some(status) = asked.status.as_deref().filter(|status| !STATUSES.contains(status)) {
        let shown: String = status.chars().take(40).collect();
        let known = STATUSES.join(", ");
        return Err(Error::malformed(format!(
            "No certificate has the status \"{}\"; there are: {known}.",
            shown.escape_debug()
        ))
        .into());
    }
    let filter = Filter { project: asked.project, tag, status: asked.status, expiring: asked.expiring };
    let found = api.ra.portfolio_page(customer.as_ref(), after, limit, &filter).await?;
    let items = found.into_iter().map(|listed| object(&api, listed)).collect();
    Ok(List::of(items, limit, |item: &CertificateObject| item.id.clone()))
}

const STATUSES: [&str; 5] = ["valid", "expired", "revoking", "revoked", "uploaded"];

/// One certificate.
#[utoipa::path(get, path = "/certificates/{serial}", tag = "certificates", params(("serial" = String, Path, description = "Its id: serial or upload")), responses((status = 200, body = CertificateObject)))]
pub(super) async fn show(State(api): Shared, caller: Caller, Path(text): Path<String>) -> Answer<Response> {
    let (_, listed) = seen(&api, &caller, &text).await?;
    Ok(Tagged(listed.version, object(&api, listed)).into_response())
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CertificateEdit {
    /// At most 200 characters (META-01).
    #[schema(max_length = 200)]
    name: Option<String>,
    /// All tags, keys and values (META-02).
    tags: Option<BTreeMap<String, String>>,
    /// The one project it belongs to (META-03); empty for none.
    project: Option<String>,
}

/// Changes what its owner keeps about a certificate: name, tags, project.
#[utoipa::path(patch, path = "/certificates/{serial}", tag = "certificates", params(("serial" = String, Path)), request_body = CertificateEdit, responses((status = 200, body = CertificateObject)))]
pub(super) async fn edit(
    State(api): Shared,
    caller: Caller,
    Path(text): Path<String>,
    tag: Tag,
    Body(asked): Body<CertificateEdit>,
) -> Answer<Response> {
    let (reference, _) = seen(&api, &caller, &text).await?;
    let change = Description { name: asked.name, tags: asked.tags, project: asked.project };
    let unchanged = |version| tag.demand(version);
    let listed = api.ra.describe(&reference, &change, &unchanged).await?;
    Ok(Tagged(listed.version, object(&api, listed)).into_response())
}

/// Ignores the messages of a certificate that is close to its end (NOTIFY-01, NOTIFY-02).
#[utoipa::path(put, path = "/certificates/{serial}/mute", tag = "certificates", params(("serial" = String, Path)), responses((status = 200, body = CertificateObject)))]
pub(super) async fn mute(
    State(api): Shared,
    caller: Caller,
    Path(text): Path<String>,
) -> Answer<Json<CertificateObject>> {
    let (reference, _) = seen(&api, &caller, &text).await?;
    Ok(Json(object(&api, api.ra.mute(&reference, true).await?)))
}

/// No longer ignores them (NOTIFY-01).
#[utoipa::path(delete, path = "/certificates/{serial}/mute", tag = "certificates", params(("serial" = String, Path)), responses((status = 200, body = CertificateObject)))]
pub(super) async fn unmute(
    State(api): Shared,
    caller: Caller,
    Path(text): Path<String>,
) -> Answer<Json<CertificateObject>> {
    let (reference, _) = seen(&api, &caller, &text).await?;
    Ok(Json(object(&api, api.ra.mute(&reference, false).await?)))
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Confirmation {
    /// Must be true: deleting is permanent (DELETE-04).
    #[serde(default)]
    confirm: bool,
}

/// Deletes a certificate from its owner's list, for good (DELETE-01 to DELETE-06).
#[utoipa::path(delete, path = "/certificates/{serial}", tag = "certificates", params(("serial" = String, Path), Confirmation), responses((status = 204)))]
pub(super) async fn delete(
    State(api): Shared,
    caller: Caller,
    Path(text): Path<String>,
    Asked(Confirmation { confirm }): Asked<Confirmation>,
) -> Answer<StatusCode> {
    let seen = seen(&api, &caller, &text).await;
    // What is in the list as an application is not a certificate yet (DELETE-03).
    if let (Err(_), Ok(order)) = (&seen, text.parse::<OrderId>()) {
        caller.sees_of(api.ra.customer_of_order(&order).await?.as_ref())?;
        api.ra.refuse_to_delete_order(&order).await?;
    }
    api.ra.delete_certificate(&seen?.0, confirm).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct BundleWanted {
    /// The server: nginx, apache, iis, tomcat, tomcat-pfx, tomcat-jks, tomcat-pem, glassfish, jboss, jetty, weblogic, pem,
    /// other.
    format: String,
}

/// The header with the password of a key store, which has no place in a URL.
const PASSWORD: &str = "chancery-key-password";

/// An archive (zip) with the certificate, its chain, and its key where that is kept here (INSTALL-01 to INSTALL-08). The
/// header `Chancery-Key-Password` has the password of a key store, and opens a key that was locked; without it one is made.
#[utoipa::path(get, path = "/certificates/{serial}/bundle", tag = "certificates", params(("serial" = String, Path), BundleWanted, ("Chancery-Key-Password" = Option<String>, Header)), responses((status = 200, content_type = "application/zip", body = Vec<u8>)))]
pub(super) async fn bundle(
    State(api): Shared,
    caller: Caller,
    Path(text): Path<String>,
    Asked(BundleWanted { format }): Asked<BundleWanted>,
    headers: HeaderMap,
) -> Answer<Response> {
    // INSTALL-08
    if let Ok(order) = text.parse::<OrderId>()
        && text.parse::<Serial>().is_err()
        && let Ok(customer) = api.ra.customer_of_order(&order).await
    {
        caller.sees_of(customer.as_ref())?;
        return Err(Error::new(
            crate::domain::Kind::Conflict,
            "Not issued yet: this is an order, see its certificate (INSTALL-08).",
        )
        .into());
    }
    let (reference, _) = seen(&api, &caller, &text).await?;
    let password = match headers.get(PASSWORD) {
        Some(value) => Some(value.to_str().map_err(|_| Error::malformed("The password is not printable ASCII."))?),
        None => None,
    };
    // Operators get no private keys.
    let owner = caller.scope(None)?.is_some();
    let archive = api.ra.bundle(&reference, &format, password, owner).await?;
    let disposition = format!("attachment; filename=\"{reference}.zip\"");
    let told = [
        (header::CONTENT_TYPE, "application/zip"),
        (header::CACHE_CONTROL, "no-store"),
        (header::CONTENT_DISPOSITION, disposition.as_str()),
    ];
    Ok((told, archive).into_response())
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RevocationRequest {
    #[serde(default)]
    reason: u64,
}

/// Revokes at once, on the operator's authority.
#[utoipa::path(post, path = "/certificates/{serial}/revoke", tag = "certificates", params(("serial" = String, Path)), request_body = RevocationRequest, responses((status = 200, body = CertificateObject)))]
pub(super) async fn revoke(
    State(api): Shared,
    caller: Caller,
    Path(text): Path<String>,
    Body(asked): Body<RevocationRequest>,
) -> Answer<Json<CertificateObject>> {
    caller.operator()?;
    let serial = serial(&text)?;
    let reason = RevocationReason::from_code(asked.reason)?;
    api.ra.revoke_serial(Authority::Operator, &serial, reason).await?;
    Ok(Json(object(&api, api.ra.listed(&CertificateRef::Issued(serial)).await?)))
}

pub(super) fn serial(text: &str) -> Result<Serial, Error> {
    // REVOKE-04
    if text.parse::<crate::domain::UploadId>().is_ok() {
        return Err(Error::malformed(
            "An uploaded certificate is not revoked here: ask the CA that issued it (REVOKE-04).",
        ));
    }
    text.parse().map_err(|()| Error::not_found("There is no certificate of that serial (40 hexadecimal digits)."))
}
