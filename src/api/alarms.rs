//! Alarm policies and notification templates (NOTIFY-07 to NOTIFY-11).

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::notices::Whose;
use super::{Answer, Asked, Body, Caller, List, Path, Shared, Tag, Tagged, id};
use crate::domain::alarm::{AlarmPolicy, Objects, Template};
use crate::domain::{AlarmId, ChannelId, CustomerId, Error, TemplateId};
use crate::ra::PolicyTerms;

#[derive(Serialize, ToSchema)]
pub(super) struct TemplateObject {
    id: TemplateId,
    customer: CustomerId,
    name: String,
    /// The channels that alarms go to. A webhook among them may set further automation in motion (NOTIFY-11).
    recipients: Vec<ChannelId>,
    created: String,
}

impl From<Template> for TemplateObject {
    fn from(template: Template) -> Self {
        let created = template.created.to_string();
        let Template { id, customer, name, recipients, .. } = template;
        Self { id, customer, name, recipients, created }
    }
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TemplateRequest {
    /// The customer; only operators need to say.
    customer: Option<String>,
    name: Option<String>,
    /// Ids of channels.
    recipients: Option<Vec<String>>,
}

impl TemplateRequest {
    fn channels(&self) -> Result<Option<Vec<ChannelId>>, Error> {
        self.recipients.as_ref().map(|all| all.iter().map(|text| id("channel", text)).collect()).transpose()
    }
}

/// What a member of a body is, which must be there.
fn present<T>(member: Option<T>, name: &str) -> Result<T, Error> {
    member.ok_or_else(|| Error::malformed(format!("Field \"{name}\" is missing (NOTIFY-09).")))
}

/// Makes a template: whom alarms go to.
#[utoipa::path(post, path = "/notification-templates", tag = "alarms", request_body = TemplateRequest, responses((status = 201, body = TemplateObject)))]
pub(super) async fn create_template(
    State(api): Shared,
    caller: Caller,
    Body(asked): Body<TemplateRequest>,
) -> Answer<Response> {
    let to = present(asked.channels()?, "recipients")?;
    let customer = Whose { customer: asked.customer }.of(&caller)?;
    let made = api.ra.create_template(&customer, &present(asked.name, "name")?, &to).await?;
    Ok((StatusCode::CREATED, tagged_template(made)).into_response())
}

fn tagged_template(read: crate::ra::Stored<Template>) -> Tagged<TemplateObject> {
    Tagged(read.version(), read.into_value().into())
}

/// A customer's templates.
#[utoipa::path(get, path = "/notification-templates", tag = "alarms", params(Whose), responses((status = 200, body = List<TemplateObject>)))]
pub(super) async fn templates(
    State(api): Shared,
    caller: Caller,
    Asked(whose): Asked<Whose>,
) -> Answer<Json<List<TemplateObject>>> {
    let found = api.ra.templates(&whose.of(&caller)?).await?;
    Ok(Json(List { items: found.into_iter().map(TemplateObject::from).collect(), next: None }))
}

/// One template.
#[utoipa::path(get, path = "/notification-templates/{id}", tag = "alarms", params(("id" = String, Path)), responses((status = 200, body = TemplateObject)))]
pub(super) async fn template(State(api): Shared, caller: Caller, Path(text): Path<String>) -> Answer<Response> {
    let read = api.ra.template(&id("notification template", &text)?).await?;
    caller.sees(&read.customer)?;
    Ok(tagged_template(read).into_response())
}

/// Changes a template; what is left out stays as it is.
#[utoipa::path(patch, path = "/notification-templates/{id}", tag = "alarms", params(("id" = String, Path)), request_body = TemplateRequest, responses((status = 200, body = TemplateObject)))]
pub(super) async fn edit_template(
    State(api): Shared,
    caller: Caller,
    Path(text): Path<String>,
    tag: Tag,
    Body(asked): Body<TemplateRequest>,
) -> Answer<Response> {
    let template = id("notification template", &text)?;
    let read = api.ra.template(&template).await?;
    caller.sees(&read.customer)?;
    tag.demand(read.version())?;
    let to = asked.channels()?;
    let changed = api.ra.change_template(&template, asked.name.as_deref(), to.as_deref()).await?;
    Ok(tagged_template(changed).into_response())
}

/// Removes a template that no policy uses.
#[utoipa::path(delete, path = "/notification-templates/{id}", tag = "alarms", params(("id" = String, Path)), responses((status = 204)))]
pub(super) async fn delete_template(
    State(api): Shared,
    caller: Caller,
    Path(text): Path<String>,
) -> Answer<StatusCode> {
    let read = api.ra.template(&id("notification template", &text)?).await?;
    caller.sees(&read.customer)?;
    api.ra.delete_template(&read.id).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Serialize, ToSchema)]
pub(super) struct AlarmObject {
    /// None for the proposal.
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<AlarmId>,
    customer: CustomerId,
    name: String,
    remark: String,
    /// `ssl-certificate`.
    monitoring_type: &'static str,
    /// `expiration-time`.
    policy_type: &'static str,
    project: String,
    /// Serials of issued certificates, ids of uploaded ones; none for all.
    #[serde(skip_serializing_if = "Option::is_none")]
    objects: Option<Vec<String>>,
    /// With fewer days left than these an alarm is raised.
    days: u32,
    /// Days between alarms for one certificate; 0: one message only.
    interval_days: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    template: Option<TemplateId>,
}

impl AlarmObject {
    fn of(customer: CustomerId, id: Option<AlarmId>, terms: PolicyTerms) -> Self {
        Self {
            id,
            customer,
            name: terms.name,
            remark: terms.remark,
            monitoring_type: "ssl-certificate",
            policy_type: "expiration-time",
            project: terms.project,
            objects: match terms.objects {
                Objects::All => None,
                Objects::These(these) => Some(these),
            },
            days: terms.days,
            interval_days: terms.interval_days,
            template: terms.template,
        }
    }
}

fn tagged(read: crate::ra::Stored<AlarmPolicy>) -> Tagged<AlarmObject> {
    Tagged(read.version(), AlarmObject::from(read.into_value()))
}

impl From<AlarmPolicy> for AlarmObject {
    fn from(policy: AlarmPolicy) -> Self {
        Self::of(policy.customer.clone(), Some(policy.id.clone()), PolicyTerms::of(&policy))
    }
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AlarmRequest {
    /// The customer; only operators need to say.
    customer: Option<String>,
    name: Option<String>,
    remark: Option<String>,
    /// `ssl-certificate`, which is the only one.
    monitoring_type: Option<String>,
    /// `expiration-time`, which is the only one.
    policy_type: Option<String>,
    project: Option<String>,
    /// Serials of issued certificates, ids of uploaded ones; left out for all.
    objects: Option<Vec<String>>,
    days: Option<u32>,
    interval_days: Option<u32>,
    template: Option<String>,
}

impl AlarmRequest {
    /// What the policy is to say, where the request is silent what it said before.
    fn over(self, before: PolicyTerms) -> Result<PolicyTerms, Error> {
        only(self.monitoring_type.as_deref(), "monitoring_type", "ssl-certificate")?;
        only(self.policy_type.as_deref(), "policy_type", "expiration-time")?;
        let template = self.template.map(|text| id("notification template", &text)).transpose()?;
        Ok(PolicyTerms {
            name: self.name.unwrap_or(before.name),
            remark: self.remark.unwrap_or(before.remark),
            project: self.project.unwrap_or(before.project),
            objects: self.objects.map_or(before.objects, Objects::These),
            days: self.days.unwrap_or(before.days),
            interval_days: self.interval_days.unwrap_or(before.interval_days),
            template: template.or(before.template),
        })
    }
}

fn only(given: Option<&str>, field: &str, word: &str) -> Result<(), Error> {
    match given {
        Some(other) if other != word => {
            let shown: String = other.chars().take(40).collect();
            Err(Error::malformed(format!("\"{field}\" is \"{}\"; there is only \"{word}\".", shown.escape_debug())))
        }
        _ => Ok(()),
    }
}

/// Makes a policy. Name and days must be given; what else is left out is as in the proposal.
#[utoipa::path(post, path = "/alarm-policies", tag = "alarms", request_body = AlarmRequest, responses((status = 201, body = AlarmObject)))]
pub(super) async fn create(State(api): Shared, caller: Caller, Body(asked): Body<AlarmRequest>) -> Answer<Response> {
    present(asked.name.as_ref(), "name")?;
    present(asked.policy_type.as_ref(), "policy_type")?;
    present(asked.days, "days")?;
    let customer = Whose { customer: asked.customer.clone() }.of(&caller)?;
    let terms = asked.over(PolicyTerms { remark: String::new(), ..PolicyTerms::sample() })?;
    let made = api.ra.create_alarm(&customer, terms).await?;
    Ok((StatusCode::CREATED, tagged(made)).into_response())
}

/// A customer's policies.
#[utoipa::path(get, path = "/alarm-policies", tag = "alarms", params(Whose), responses((status = 200, body = List<AlarmObject>)))]
pub(super) async fn list(
    State(api): Shared,
    caller: Caller,
    Asked(whose): Asked<Whose>,
) -> Answer<Json<List<AlarmObject>>> {
    let found = api.ra.alarms(&whose.of(&caller)?).await?;
    Ok(Json(List { items: found.into_iter().map(AlarmObject::from).collect(), next: None }))
}

/// A policy to begin with (NOTIFY-08): fewer than 30 days left, one message only. Nothing is made.
#[utoipa::path(get, path = "/alarm-policies/proposal", tag = "alarms", params(Whose), responses((status = 200, body = AlarmObject)))]
pub(super) async fn proposal(
    State(api): Shared,
    caller: Caller,
    Asked(whose): Asked<Whose>,
) -> Answer<Json<AlarmObject>> {
    let customer = whose.of(&caller)?;
    let template = api.ra.templates(&customer).await?.into_iter().next().map(|template| template.id);
    Ok(Json(AlarmObject::of(customer, None, PolicyTerms { template, ..PolicyTerms::sample() })))
}

/// One policy.
#[utoipa::path(get, path = "/alarm-policies/{id}", tag = "alarms", params(("id" = String, Path)), responses((status = 200, body = AlarmObject)))]
pub(super) async fn show(State(api): Shared, caller: Caller, Path(text): Path<String>) -> Answer<Response> {
    let read = api.ra.alarm(&id("alarm policy", &text)?).await?;
    caller.sees(&read.customer)?;
    Ok(tagged(read).into_response())
}

/// Changes a policy; what is left out stays as it is.
#[utoipa::path(patch, path = "/alarm-policies/{id}", tag = "alarms", params(("id" = String, Path)), request_body = AlarmRequest, responses((status = 200, body = AlarmObject)))]
pub(super) async fn edit(
    State(api): Shared,
    caller: Caller,
    Path(text): Path<String>,
    tag: Tag,
    Body(asked): Body<AlarmRequest>,
) -> Answer<Response> {
    let read = api.ra.alarm(&id("alarm policy", &text)?).await?;
    caller.sees(&read.customer)?;
    tag.demand(read.version())?;
    let terms = asked.over(PolicyTerms::of(&read))?;
    Ok(tagged(api.ra.change_alarm(&read.id, terms).await?).into_response())
}

/// Removes a policy.
#[utoipa::path(delete, path = "/alarm-policies/{id}", tag = "alarms", params(("id" = String, Path)), responses((status = 204)))]
pub(super) async fn delete(State(api): Shared, caller: Caller, Path(text): Path<String>) -> Answer<StatusCode> {
    let read = api.ra.alarm(&id("alarm policy", &text)?).await?;
    caller.sees(&read.customer)?;
    api.ra.delete_alarm(&read.id).await?;
    Ok(StatusCode::NO_CONTENT)
}
