//! My Profile: organisations, administrators, contacts and proven names (ORG-01 to ORG-08, ORG-13, ORG-14).

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{Answer, Api, Asked, Body, Caller, List, Path, Shared, id};
use crate::domain::organisation::{Organisation, OrganisationFacts, Person, PersonFacts, Registration, Role, Standing};
use crate::domain::token::Role as TokenRole;
use crate::domain::{CustomerId, Error, OrganisationId, PersonId};
use crate::ra::ProvenName;

/// An organisation, as it was told.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct OrganisationForm {
    /// For whom; a customer's own need not be named.
    customer: Option<String>,
    /// Full name, as it is registered.
    #[serde(default)]
    name: String,
    #[serde(default)]
    department: String,
    /// Street and number.
    #[serde(default)]
    address: String,
    /// City or place.
    #[serde(default)]
    locality: String,
    state: Option<String>,
    postal_code: Option<String>,
    /// Two letters (ISO 3166).
    #[serde(default)]
    country: String,
    /// Landline on which somebody can be reached (ORG-09).
    #[serde(default)]
    phone: String,
    /// Where and as what it is registered: for EV.
    #[schema(value_type = Option<Object>)]
    registration: Option<Registration>,
}

impl OrganisationForm {
    pub(super) fn facts(self) -> OrganisationFacts {
        OrganisationFacts {
            name: self.name,
            department: self.department,
            address: self.address,
            locality: self.locality,
            state: self.state,
            postal_code: self.postal_code,
            country: self.country,
            phone: self.phone,
            registration: self.registration,
        }
    }
}

/// A person, as they were told.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PersonForm {
    /// For whom; a customer's own need not be named.
    customer: Option<String>,
    #[serde(default)]
    name: String,
    #[serde(default)]
    position: String,
    #[serde(default)]
    phone: String,
    #[serde(default)]
    email: String,
}

impl PersonForm {
    pub(super) fn facts(self) -> PersonFacts {
        PersonFacts { name: self.name, position: self.position, phone: self.phone, email: self.email }
    }
}

/// What reviewers found of a profile.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct StandingObject {
    /// `submitted`, `approved` or `refused`.
    standing: &'static str,
    /// Since when it waits, or when it was decided.
    at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

impl From<&Standing> for StandingObject {
    fn from(standing: &Standing) -> Self {
        let (at, reason) = match standing {
            Standing::Submitted { since } => (since, None),
            Standing::Approved { at, .. } => (at, None),
            Standing::Refused { at, reason, .. } => (at, Some(reason.clone())),
        };
        Self { standing: standing.as_str(), at: at.to_string(), reason }
    }
}

/// An organisation on file.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct OrganisationObject {
    id: OrganisationId,
    customer: CustomerId,
    name: String,
    department: String,
    address: String,
    locality: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    postal_code: Option<String>,
    country: String,
    phone: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    registration: Option<Registration>,
    created: String,
    #[serde(flatten)]
    standing: StandingObject,
}

impl From<Organisation> for OrganisationObject {
    fn from(organisation: Organisation) -> Self {
        let facts = organisation.facts;
        Self {
            id: organisation.id,
            customer: organisation.customer,
            name: facts.name,
            department: facts.department,
            address: facts.address,
            locality: facts.locality,
            state: facts.state,
            postal_code: facts.postal_code,
            country: facts.country,
            phone: facts.phone,
            registration: facts.registration,
            created: organisation.created.to_string(),
            standing: StandingObject::from(&organisation.standing),
        }
    }
}

/// A person on file.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PersonObject {
    id: PersonId,
    customer: CustomerId,
    role: &'static str,
    name: String,
    position: String,
    phone: String,
    email: String,
    created: String,
    #[serde(flatten)]
    standing: StandingObject,
}

impl From<Person> for PersonObject {
    fn from(person: Person) -> Self {
        Self {
            id: person.id,
            customer: person.customer,
            role: person.role.as_str(),
            name: person.facts.name,
            position: person.facts.position,
            phone: person.facts.phone,
            email: person.facts.email,
            created: person.created.to_string(),
            standing: StandingObject::from(&person.standing),
        }
    }
}

/// A name whose control was shown.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct DomainObject {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    validated: Option<String>,
    /// Until when that serves orders that retain it (VAL-32).
    until: String,
    valid: bool,
}

impl From<ProvenName> for DomainObject {
    fn from(proven: ProvenName) -> Self {
        Self {
            name: proven.name,
            validated: proven.since.map(|since| since.to_string()),
            until: proven.until.to_string(),
            valid: proven.valid,
        }
    }
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Whose {
    /// Whose; a customer sees the own ones.
    customer: Option<String>,
}

/// The customer that something is done for.
fn whom(caller: &Caller, named: Option<&String>) -> Result<CustomerId, Error> {
    caller.acts_for(named.map(|text| id("customer", text)).transpose()?)
}

/// Organisations on file, oldest first.
#[utoipa::path(get, path = "/profiles/organisations", tag = "profiles", params(Whose), responses((status = 200, body = List<OrganisationObject>)))]
pub(super) async fn organisations(
    State(api): Shared,
    caller: Caller,
    Asked(asked): Asked<Whose>,
) -> Answer<Json<List<OrganisationObject>>> {
    let found = api.ra.organisations(&whom(&caller, asked.customer.as_ref())?).await?;
    Ok(Json(List { items: found.into_iter().map(OrganisationObject::from).collect(), next: None }))
}

/// Keeps an organisation on file. It is never changed or deleted: make another one, and have it reviewed (ORG-06).
#[utoipa::path(post, path = "/profiles/organisations", tag = "profiles", request_body = OrganisationForm, responses((status = 201, body = OrganisationObject)))]
pub(super) async fn submit_organisation(
    State(api): Shared,
    caller: Caller,
    Body(asked): Body<OrganisationForm>,
) -> Answer<Response> {
    let customer = whom(&caller, asked.customer.as_ref())?;
    let support = caller.role == TokenRole::Operator;
    let made = api.ra.submit_organisation(&customer, asked.facts(), support).await?;
    Ok((StatusCode::CREATED, Json(OrganisationObject::from(made))).into_response())
}

/// One organisation on file.
#[utoipa::path(get, path = "/profiles/organisations/{id}", tag = "profiles", params(("id" = String, Path)), responses((status = 200, body = OrganisationObject)))]
pub(super) async fn organisation(
    State(api): Shared,
    caller: Caller,
    Path(text): Path<String>,
) -> Answer<Json<OrganisationObject>> {
    let found = api.ra.organisation(&id("organisation", &text)?).await?;
    caller.sees(&found.customer)?;
    Ok(Json(found.into()))
}

async fn people(api: &Api, caller: &Caller, role: Role, asked: &Whose) -> Answer<Json<List<PersonObject>>> {
    let found = api.ra.people(&whom(caller, asked.customer.as_ref())?, role).await?;
    Ok(Json(List { items: found.into_iter().map(PersonObject::from).collect(), next: None }))
}

async fn submit_person(api: &Api, caller: &Caller, role: Role, asked: PersonForm) -> Answer<Response> {
    let customer = whom(caller, asked.customer.as_ref())?;
    let made = api.ra.submit_person(&customer, role, asked.facts()).await?;
    Ok((StatusCode::CREATED, Json(PersonObject::from(made))).into_response())
}

async fn person(api: &Api, caller: &Caller, role: Role, text: &str) -> Answer<Json<PersonObject>> {
    let found = api.ra.person(&id("person", text)?).await?;
    caller.sees(&found.customer)?;
    match found.role == role {
        true => Ok(Json(found.into())),
        false => Err(super::nothing_here().into()),
    }
}

/// Administrators on file, oldest first.
#[utoipa::path(get, path = "/profiles/administrators", tag = "profiles", params(Whose), responses((status = 200, body = List<PersonObject>)))]
pub(super) async fn administrators(
    State(api): Shared,
    caller: Caller,
    Asked(asked): Asked<Whose>,
) -> Answer<Json<List<PersonObject>>> {
    people(&api, &caller, Role::Administrator, &asked).await
}

/// Keeps an administrator on file, whom reviewers look at (DOC-04).
#[utoipa::path(post, path = "/profiles/administrators", tag = "profiles", request_body = PersonForm, responses((status = 201, body = PersonObject)))]
pub(super) async fn submit_administrator(
    State(api): Shared,
    caller: Caller,
    Body(asked): Body<PersonForm>,
) -> Answer<Response> {
    submit_person(&api, &caller, Role::Administrator, asked).await
}

/// One administrator on file.
#[utoipa::path(get, path = "/profiles/administrators/{id}", tag = "profiles", params(("id" = String, Path)), responses((status = 200, body = PersonObject)))]
pub(super) async fn administrator(
    State(api): Shared,
    caller: Caller,
    Path(text): Path<String>,
) -> Answer<Json<PersonObject>> {
    person(&api, &caller, Role::Administrator, &text).await
}

/// Contacts on file, oldest first.
#[utoipa::path(get, path = "/profiles/contacts", tag = "profiles", params(Whose), responses((status = 200, body = List<PersonObject>)))]
pub(super) async fn contacts(
    State(api): Shared,
    caller: Caller,
    Asked(asked): Asked<Whose>,
) -> Answer<Json<List<PersonObject>>> {
    people(&api, &caller, Role::Contact, &asked).await
}

/// Keeps a contact on file.
#[utoipa::path(post, path = "/profiles/contacts", tag = "profiles", request_body = PersonForm, responses((status = 201, body = PersonObject)))]
pub(super) async fn submit_contact(
    State(api): Shared,
    caller: Caller,
    Body(asked): Body<PersonForm>,
) -> Answer<Response> {
    submit_person(&api, &caller, Role::Contact, asked).await
}

/// One contact on file.
#[utoipa::path(get, path = "/profiles/contacts/{id}", tag = "profiles", params(("id" = String, Path)), responses((status = 200, body = PersonObject)))]
pub(super) async fn contact(
    State(api): Shared,
    caller: Caller,
    Path(text): Path<String>,
) -> Answer<Json<PersonObject>> {
    person(&api, &caller, Role::Contact, &text).await
}

/// The names that the customer's accounts have proven, and until when that serves (ORG-14).
#[utoipa::path(get, path = "/profiles/domains", tag = "profiles", params(Whose), responses((status = 200, body = List<DomainObject>)))]
pub(super) async fn domains(
    State(api): Shared,
    caller: Caller,
    Asked(asked): Asked<Whose>,
) -> Answer<Json<List<DomainObject>>> {
    let found = api.ra.proven_names(&whom(&caller, asked.customer.as_ref())?).await?;
    Ok(Json(List { items: found.into_iter().map(DomainObject::from).collect(), next: None }))
}
