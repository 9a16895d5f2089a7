//! Deploying certificates to resources of providers, and hosting: having later certificates replace them there (HOST).

use std::collections::BTreeSet;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::certificates::seen;
use super::{Answer, Asked, Body, Caller, Path, Shared};
use crate::domain::portfolio::{Delivery, HostingTarget, Resource};
use crate::domain::{Error, Result};
use crate::ra::{Listed, WantedResource};

/// The resources that use a certificate.
#[derive(Serialize, ToSchema)]
pub(super) struct DeploymentsObject {
    certificate: String,
    resources: Vec<TargetObject>,
    /// What hosting is, and is not.
    notes: [&'static str; 2],
}

#[derive(Serialize, ToSchema)]
struct TargetObject {
    r#type: String,
    id: String,
    url: String,
    /// Whether a later certificate replaces this one there.
    hosted: bool,
    /// What became of the last message: `pending`, `delivered` or `failed`.
    delivery: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<String>,
    /// What messages to it are signed with; shown once, when the resource is new.
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
}

/// HOST-03, HOST-04
const NOTES: [&str; 2] = [
    "Hosting is free of charge (HOST-03).",
    "Nothing is installed on servers of your own: install it there yourself, from its bundle (HOST-04).",
];

fn target(listed: &Listed, target: HostingTarget, fresh: bool) -> TargetObject {
    let (delivery, failure) = match target.delivery {
        Delivery::Pending { .. } => ("pending", None),
        Delivery::Delivered { .. } => ("delivered", None),
        Delivery::Failed { reason, .. } => ("failed", Some(reason)),
    };
    TargetObject {
        hosted: listed.portfolio.hosted.contains(&target.resource),
        r#type: target.resource.kind,
        id: target.resource.id,
        url: target.url,
        delivery,
        failure,
        secret: fresh.then(|| target.secret.to_string()),
    }
}

async fn shown(api: &super::Api, listed: &Listed) -> Result<DeploymentsObject> {
    let found = api.ra.targets_of(listed).await?;
    let resources = found.into_iter().map(|one| target(listed, one, false)).collect();
    Ok(DeploymentsObject { certificate: listed.certificate.reference().to_string(), resources, notes: NOTES })
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ResourcesRequest {
    resources: Vec<ResourceRequest>,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ResourceRequest {
    /// load-balancer, cdn, waf, gateway or storage (HOST-06).
    r#type: String,
    id: String,
    /// The webhook that takes certificates over; needed for a resource that is new here.
    url: Option<String>,
}

impl ResourceRequest {
    fn resource(&self) -> Result<Resource> {
        Resource::new(&self.r#type, &self.id)
    }
}

/// Deploys a certificate to resources: each is told by its webhook, signed (INSTALL-08, HOST-05 to HOST-07).
#[utoipa::path(post, path = "/certificates/{serial}/deployments", tag = "hosting", params(("serial" = String, Path)), request_body = ResourcesRequest, responses((status = 201, body = DeploymentsObject)))]
pub(super) async fn deploy(
    State(api): Shared,
    caller: Caller,
    Path(text): Path<String>,
    Body(asked): Body<ResourcesRequest>,
) -> Answer<Response> {
    let (reference, _) = seen(&api, &caller, &text).await?;
    let wanted = |one: &ResourceRequest| Ok(WantedResource { resource: one.resource()?, url: one.url.clone() });
    let wanted = asked.resources.iter().map(wanted).collect::<Result<Vec<_>>>()?;
    let made = api.ra.deploy_certificate(&reference, &wanted).await?;
    let listed = api.ra.listed(&reference).await?;
    let resources = made.into_iter().map(|one| target(&listed, one.target, one.fresh)).collect();
    let object = DeploymentsObject { certificate: reference.to_string(), resources, notes: NOTES };
    Ok((StatusCode::CREATED, [(header::CACHE_CONTROL, "no-store")], Json(object)).into_response())
}

/// The resources that use a certificate.
#[utoipa::path(get, path = "/certificates/{serial}/deployments", tag = "hosting", params(("serial" = String, Path)), responses((status = 200, body = DeploymentsObject)))]
pub(super) async fn list(
    State(api): Shared,
    caller: Caller,
    Path(text): Path<String>,
) -> Answer<Json<DeploymentsObject>> {
    let (_, listed) = seen(&api, &caller, &text).await?;
    Ok(Json(shown(&api, &listed).await?))
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Unbound {
    /// The type of the one resource that is meant; without it, all are.
    r#type: Option<String>,
    /// Its id.
    id: Option<String>,
}

/// Unbinds a certificate from resources, so that it can be revoked or deleted (REVOKE-09, DELETE-05).
#[utoipa::path(delete, path = "/certificates/{serial}/deployments", tag = "hosting", params(("serial" = String, Path), Unbound), responses((status = 200, body = DeploymentsObject)))]
pub(super) async fn unbind(
    State(api): Shared,
    caller: Caller,
    Path(text): Path<String>,
    Asked(asked): Asked<Unbound>,
) -> Answer<Json<DeploymentsObject>> {
    let (reference, _) = seen(&api, &caller, &text).await?;
    let resource = match (asked.r#type, asked.id) {
        (Some(kind), Some(id)) => Some(Resource::new(&kind, &id)?),
        (None, None) => None,
        _ => {
            return Err(
                Error::malformed("\"type\" and \"id\" name one resource together; leave both out for all.").into()
            );
        }
    };
    let listed = api.ra.unbind(&reference, resource.as_ref()).await?;
    Ok(Json(shown(&api, &listed).await?))
}

/// Has later certificates of the same names replace this one on these resources, and on no others (HOST-01, HOST-02,
/// HOST-05).
#[utoipa::path(put, path = "/certificates/{serial}/hosting", tag = "hosting", params(("serial" = String, Path)), request_body = ResourcesRequest, responses((status = 200, body = DeploymentsObject)))]
pub(super) async fn host(
    State(api): Shared,
    caller: Caller,
    Path(text): Path<String>,
    Body(asked): Body<ResourcesRequest>,
) -> Answer<Json<DeploymentsObject>> {
    let (reference, _) = seen(&api, &caller, &text).await?;
    let resources = asked.resources.iter().map(ResourceRequest::resource).collect::<Result<BTreeSet<_>>>()?;
    let listed = api.ra.host(&reference, &resources).await?;
    Ok(Json(shown(&api, &listed).await?))
}
