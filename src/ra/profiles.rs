//! My Profile: the organisations and people that a customer keeps on file, and the names that it has proven.

use std::collections::BTreeMap;

use super::{Ra, settle};
use crate::domain::audit::Act;
use crate::domain::authz::{Authorization, AuthzState, AuthzStatus};
use crate::domain::organisation::{Organisation, OrganisationFacts, Person, PersonFacts, Role, Standing};
use crate::domain::review::Matter;
use crate::domain::{AccountId, AuthzId, CustomerId, Error, Kind, OrganisationId, PersonId, Result, Timestamp};
use crate::store::records::{Batch, Index, Rows, Stored, target};

/// ORG-05: organisation profiles of a customer, unless support makes more.
const ORGANISATIONS: usize = 10;

/// People of a kind that a customer may keep, and organisations that support may make: what one look can load.
const MOST: usize = 200;

/// A name whose control a customer has shown (ORG-14).
#[derive(Debug, Clone)]
pub struct ProvenName {
    /// The name, as it was ordered.
    pub name: String,
    /// When control was shown.
    pub since: Option<Timestamp>,
    /// Until when that serves orders that retain it (VAL-32).
    pub until: Timestamp,
    /// Whether it still does.
    pub valid: bool,
}

impl Ra {
    /// Keeps an organisation on file, and has reviewers look at it (ORG-07). Support may go beyond the limit.
    pub async fn submit_organisation(
        &self,
        customer: &CustomerId,
        facts: OrganisationFacts,
        support: bool,
    ) -> Result<Organisation> {
        let facts = facts.checked()?;
        settle(|| async {
            let (made, number) = self.new_organisation(customer, facts.clone(), support).await?;
            let act = Act::OrganisationSubmitted { organisation: made.id.clone(), customer: customer.clone() };
            let batch = organisation_kept(Batch::of(act, made.created), &made, number);
            self.records.commit(batch).await?;
            Ok(made)
        })
        .await
    }

    /// An organisation to be kept, and its number among the customer's.
    pub(super) async fn new_organisation(
        &self,
        customer: &CustomerId,
        facts: OrganisationFacts,
        support: bool,
    ) -> Result<(Organisation, u16)> {
        let customer = self.customer(customer).await?.id;
        let held = self.records.rows(&Rows::OrganisationsOf(&customer), None, MOST).await?.len();
        let most = if support { MOST } else { ORGANISATIONS };
        if held >= most {
            return Err(Error::new(Kind::Conflict, format!("{held} of {most} profiles; contact support (ORG-05).")));
        }
        let now = self.now();
        let standing = Standing::Submitted { since: now };
        let id = OrganisationId::random();
        let number = u16::try_from(held).map_err(Error::internal)?;
        Ok((Organisation { id, customer, facts, created: now, standing }, number))
    }

    /// Keeps a person on file. Reviewers look at administrators; contacts need no approval.
    pub async fn submit_person(&self, customer: &CustomerId, role: Role, facts: PersonFacts) -> Result<Person> {
        let facts = facts.checked()?;
        settle(|| async {
            let (made, number) = self.new_person(customer, role, facts.clone()).await?;
            let act = Act::PersonSubmitted { person: made.id.clone(), customer: customer.clone() };
            self.records.commit(person_kept(Batch::of(act, made.created), &made, number)).await?;
            Ok(made)
        })
        .await
    }

    /// A person to be kept, and their number among the customer's of the kind.
    pub(super) async fn new_person(
        &self,
        customer: &CustomerId,
        role: Role,
        facts: PersonFacts,
    ) -> Result<(Person, u16)> {
        let customer = self.customer(customer).await?.id;
        let held = self.records.rows(&Rows::PeopleOf(&customer, role), None, MOST).await?.len();
        if held >= MOST {
            return Err(Error::new(Kind::Conflict, format!("{held} of {MOST} profiles; contact support.")));
        }
        let now = self.now();
        let standing = match role {
            Role::Administrator => Standing::Submitted { since: now },
            Role::Contact => {
                Standing::Approved { at: now, by: "server".to_owned(), note: "contacts need no approval".to_owned() }
            }
        };
        let number = u16::try_from(held).map_err(Error::internal)?;
        Ok((Person { id: PersonId::random(), customer, role, facts, created: now, standing }, number))
    }

    /// A customer's organisations, in the sequence in which they came.
    pub async fn organisations(&self, customer: &CustomerId) -> Result<Vec<Organisation>> {
        self.customer(customer).await?;
        let rows = self.records.rows(&Rows::OrganisationsOf(customer), None, MOST).await?;
        let ids = rows.iter().map(|(_, id)| target::<OrganisationId>(id)).collect::<Result<Vec<_>, _>>()?;
        let found = self.records.find_all::<Organisation>(&ids).await?;
        Ok(found.into_iter().flatten().map(Stored::into_value).collect())
    }

    /// A customer's people of a kind, in the sequence in which they came.
    pub async fn people(&self, customer: &CustomerId, role: Role) -> Result<Vec<Person>> {
        self.customer(customer).await?;
        let rows = self.records.rows(&Rows::PeopleOf(customer, role), None, MOST).await?;
        let ids = rows.iter().map(|(_, id)| target::<PersonId>(id)).collect::<Result<Vec<_>, _>>()?;
        let found = self.records.find_all::<Person>(&ids).await?;
        Ok(found.into_iter().flatten().map(Stored::into_value).collect())
    }

    /// The organisation of that id.
    pub async fn organisation(&self, id: &OrganisationId) -> Result<Organisation> {
        Ok(self.stored_organisation(id).await?.into_value())
    }

    pub(super) async fn stored_organisation(&self, id: &OrganisationId) -> Result<Stored<Organisation>> {
        let found = self.records.find::<Organisation>(id).await?;
        found.ok_or_else(|| {
            Error::not_found(format!("There is no organisation {id}; see /profiles/organisations (ORG-13)."))
        })
    }

    /// The person of that id.
    pub async fn person(&self, id: &PersonId) -> Result<Person> {
        Ok(self.stored_person(id).await?.into_value())
    }

    pub(super) async fn stored_person(&self, id: &PersonId) -> Result<Stored<Person>> {
        let found = self.records.find::<Person>(id).await?;
        found
            .ok_or_else(|| Error::not_found(format!("There is no person {id}; see /profiles/administrators (ORG-13).")))
    }

    /// The names that a customer's accounts have proven, each with the proof that lasts longest (ORG-14).
    pub async fn proven_names(&self, customer: &CustomerId) -> Result<Vec<ProvenName>> {
        let customer = self.customer(customer).await?.id;
        let mut names: BTreeMap<String, ProvenName> = BTreeMap::new();
        for (_, account) in self.records.rows(&Rows::AccountsOfCustomer(&customer), None, MOST).await? {
            for authz in self.proofs_of(&target(&account)?).await? {
                let found = proven(&authz, self.now());
                match names.get(&found.name) {
                    Some(other) if (found.valid, found.until) <= (other.valid, other.until) => {}
                    _ => drop(names.insert(found.name.clone(), found)),
                }
            }
        }
        Ok(names.into_values().collect())
    }

    async fn proofs_of(&self, account: &AccountId) -> Result<Vec<Authorization>> {
        let rows = self.records.rows(&Rows::ProvenBy(account), None, 1000).await?;
        let ids = rows.iter().map(|(_, id)| target::<AuthzId>(id)).collect::<Result<Vec<_>, _>>()?;
        let found = self.records.find_all::<Authorization>(&ids).await?;
        Ok(found.into_iter().flatten().map(Stored::into_value).collect())
    }

    /// Whether an organisation belongs to something that was paid (ORG-08).
    pub(super) async fn is_for_paid(&self, organisation: &OrganisationId) -> Result<bool> {
        Ok(!self.records.rows(&Rows::ApplicationsFor(organisation), None, 1).await?.is_empty())
    }
}

fn proven(authz: &Authorization, now: Timestamp) -> ProvenName {
    let since = match &authz.state {
        AuthzState::Valid { validated, .. } => Some(*validated),
        _ => None,
    };
    let valid = authz.status(now) == AuthzStatus::Valid;
    ProvenName { name: authz.ordered_name(), since, until: authz.expires, valid }
}

/// Has a batch keep an organisation and put it before reviewers.
pub(super) fn organisation_kept(batch: Batch, made: &Organisation, number: u16) -> Batch {
    let matter = Matter::Organisation(made.id.clone());
    let batch = batch.insert(made).claim(&Index::OrganisationOfCustomer(&made.customer, number), made.id.as_str());
    requeued(batch, &matter, None, made.standing.waits_since())
}

/// Has a batch keep a person and put an administrator before reviewers.
pub(super) fn person_kept(batch: Batch, made: &Person, number: u16) -> Batch {
    let row = Index::PersonOfCustomer(&made.customer, made.role, number);
    let batch = batch.insert(made).claim(&row, made.id.as_str());
    requeued(batch, &Matter::Administrator(made.id.clone()), None, made.standing.waits_since())
}

/// Has a batch take a matter from the place in the queue that it had to the one that it has.
pub(super) fn requeued(batch: Batch, matter: &Matter, had: Option<Timestamp>, has: Option<Timestamp>) -> Batch {
    let batch = match had {
        Some(since) if has != had => batch.unindex(&Index::InReview(since, matter.id())),
        _ => batch,
    };
    match has {
        Some(since) => batch.index(&Index::InReview(since, matter.id()), &matter.to_string()),
        None => batch,
    }
}
