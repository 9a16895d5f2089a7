//! Applications for certificates that name an organisation: submitted, edited, carried over to the next term.

use std::sync::Arc;

use super::profiles::{organisation_kept, person_kept, requeued};
use super::reports::OrderReport;
use super::{Ra, Stop, settle};
use crate::domain::application::{Application, Form, Known, Stage, Subject, Task};
use crate::domain::audit::Act;
use crate::domain::customer::CustomerKind;
use crate::domain::notice::{Notice, Topic};
use crate::domain::order::OrderStatus;
use crate::domain::organisation::{Organisation, OrganisationFacts, Person, PersonFacts, Role};
use crate::domain::purchase::{LastTerm, Purchase, Standing};
use crate::domain::review::{CaseFile, Matter};
use crate::domain::{ApplicationId, Error, Identifier, Kind, OrganisationId, PersonId, PurchaseId, Result, Timestamp};
use crate::policy::applications::{self, Expected, Facts};
use crate::policy::catalog::{Letter, Product};
use crate::policy::form::{self, Stages};
use crate::policy::{reminders, status};
use crate::store::records::{Batch, Index, Stored, target};

/// One of the customer's profiles, or new data (ORG-01, ORG-04).
#[derive(Debug, Clone)]
pub enum Pick<I, F> {
    /// The profile of that id.
    Existing(I),
    /// What is kept as a new profile.
    New(F),
}

/// What a customer sends for an application.
#[derive(Debug, Clone)]
pub struct ApplicationRequest {
    /// For whom the certificate is (ORG-10).
    pub applicant: CustomerKind,
    /// The organisation.
    pub organisation: Option<Pick<OrganisationId, OrganisationFacts>>,
    /// The administrator.
    pub administrator: Option<Pick<PersonId, PersonFacts>>,
    /// The contact; none: the administrator (ORG-03).
    pub contact: Option<Pick<PersonId, PersonFacts>>,
    /// The names, if they are known already.
    pub names: Vec<Identifier>,
    /// The purchase whose application is continued: what is left out here is taken over from there (RENEW-05).
    pub renews: Option<PurchaseId>,
    /// Whether support sends it.
    pub support: bool,
}

/// An application as its customer and reviewers see it.
#[derive(Debug)]
pub struct ApplicationReport {
    /// What was paid.
    pub purchase: Purchase,
    /// The product.
    pub product: Arc<Product>,
    /// Which year of it.
    pub term: u32,
    /// What was submitted; none while nothing was (BUY-03).
    pub application: Option<Application>,
    /// The organisation of it.
    pub organisation: Option<Organisation>,
    /// Its administrator.
    pub administrator: Option<Person>,
    /// Its contact.
    pub contact: Option<Person>,
    /// The order of the term, if it is begun.
    pub order: Option<OrderReport>,
    /// Where it stands.
    pub status: status::Status,
    /// The stage that it has reached (BUY-09).
    pub stages: Stages,
    /// How many names of which kind it takes (BUY-10).
    pub takes: String,
    /// When people are expected to be done.
    pub expected: Option<Expected>,
    /// The letter that it needs, if it needs one.
    pub letter: Option<Letter>,
    /// What reviewers wrote.
    pub file: CaseFile,
    /// From when on reviewers may be reminded; none: never, or of nothing.
    pub reminder_opens: Option<Timestamp>,
    /// What its customer should know.
    pub hints: Vec<String>,
}

/// The profiles of an application, of which some may be new.
struct Profiles {
    organisation: (Organisation, Option<u16>),
    administrator: (Person, Option<u16>),
    contact: Option<(Person, Option<u16>)>,
}

impl Profiles {
    fn form(&self, names: Vec<Identifier>) -> Form {
        let administrator = self.administrator.0.id.clone();
        // ORG-03
        let contact = self.contact.as_ref().map_or_else(|| administrator.clone(), |(person, _)| person.id.clone());
        Form { organisation: self.organisation.0.id.clone(), administrator, contact, names }
    }

    /// DOC-04
    fn are_approved(&self) -> bool {
        self.organisation.0.standing.is_approved() && self.administrator.0.standing.is_approved()
    }

    fn write(&self, mut batch: Batch) -> Batch {
        if let (made, Some(number)) = &self.organisation {
            batch = organisation_kept(batch, made, *number);
        }
        for person in [Some(&self.administrator), self.contact.as_ref()].into_iter().flatten() {
            if let (made, Some(number)) = person {
                batch = person_kept(batch, made, *number);
            }
        }
        batch
    }
}

impl Ra {
    /// Submits the application for the next term of a purchase, or changes it (BUY-03, REVIEW-11).
    pub async fn submit_application(
        &self,
        purchase: &PurchaseId,
        asked: ApplicationRequest,
    ) -> Result<ApplicationReport> {
        // ORG-10
        if asked.applicant == CustomerKind::Individual {
            let told = "Individuals can order DV only; an application names an organisation (CAT-15, ORG-10).";
            return Err(Error::new(Kind::UserActionRequired, told));
        }
        settle(|| self.submit_application_once(purchase, asked.clone())).await?;
        self.application_report(purchase).await
    }

    async fn submit_application_once(&self, purchase: &PurchaseId, asked: ApplicationRequest) -> Result<(), Stop> {
        let purchase = self.stored_purchase(purchase).await?;
        let product = self.product_of(&self.catalog(), &purchase.product)?;
        in_force(&purchase)?;
        let catalog = self.catalog();
        applications::flow(&catalog, &product)?;
        let term = self.term_due(&purchase).await?;
        let read = self.application_of(&purchase.id, term).await?;
        let base = match &asked.renews {
            Some(earlier) => Some(self.continued(&purchase, earlier).await?),
            None => None,
        };
        self.accept_names(&purchase, &product, &asked.names)?;
        let names = asked.names.clone();
        let profiles = self.pick(&purchase, asked, base.as_ref()).await?;
        applications::accept_organisation(&product, &profiles.organisation.0)?;
        let form = profiles.form(names);
        let before = match (base, read.as_ref().and_then(|read| read.renews.as_ref())) {
            (None, Some(before)) => Some(self.stored_application(before).await?.into_value()),
            (base, _) => base,
        };
        // RENEW-05: others' data are taken over too, but what nobody approved renews nothing, and needs its own letter.
        let renews = before.filter(|before| before.is_renewed_by(&form)).map(|before| before.id);
        let facts = Facts {
            renewal: renews.is_some(),
            approved_profile: profiles.are_approved(),
            same_data: self.same_data(&form, &product).await?,
        };
        let route = applications::route(&catalog, &product, &facts)?;
        let now = self.now();
        let made = match &read {
            Some(read) => Application { renews, ..(**read).clone().resubmit(form, route, now)? },
            None => Application::submit(subject(&purchase, term, renews), form, route, now),
        };
        // Nothing is applied for with what is canceled meanwhile.
        let batch = profiles.write(Batch::of(submitted(&made), now)).check(&purchase);
        self.records.commit(self.keep_application(batch, read.as_ref(), &made, &product)).await?;
        Ok(())
    }

    /// Has a batch keep an application that was made or changed: its rows, its place in the queue, and word to its customer.
    pub(super) fn keep_application(
        &self,
        batch: Batch,
        read: Option<&Stored<Application>>,
        made: &Application,
        product: &Product,
    ) -> Batch {
        let matter = Matter::Application(made.id.clone());
        let mut batch = batch.set(read, made);
        if read.is_none() {
            batch = batch.claim(&Index::ApplicationOf(&made.purchase, made.term), made.id.as_str());
        }
        if let Some(before) = read.filter(|read| read.form.organisation != made.form.organisation) {
            batch = batch.unindex(&Index::ApplicationFor(&before.form.organisation, &made.id));
        }
        batch = batch.index(&Index::ApplicationFor(&made.form.organisation, &made.id), made.id.as_str());
        batch = requeued(batch, &matter, read.and_then(|read| read.waits_since()), made.waits_since());
        match self.word_of(made, product) {
            Some(notice) => batch.notice(&notice),
            None => batch,
        }
    }

    /// What the customer hears of an application that came to where it is now.
    fn word_of(&self, made: &Application, product: &Product) -> Option<Notice> {
        let catalog = self.catalog();
        let title = &product.title;
        let hints = applications::hints(&catalog, product, made.task()).join(" ");
        let (event, subject, text) = match &made.stage {
            Stage::Open { task: Task::Letter, .. } => (
                "letter-missing",
                format!("{title}: upload the confirmation letter"),
                format!(
                    "Get the letter at /api/v1/purchases/{0}/letter, have it sealed and signed, and upload it there (DOC-01). {hints}",
                    made.purchase
                ),
            ),
            Stage::Open { task: Task::PreReview, .. } => {
                ("pre-review-begun", format!("{title}: the pre-review has begun"), hints)
            }
            Stage::Open { task: Task::Review, .. } => {
                ("review-begun", format!("{title}: reviewers look at your application"), hints)
            }
            Stage::Approved { .. } | Stage::Refused { .. } => return None,
        };
        let notice = Notice::new(&made.customer, (Topic::Review, event), subject, text, self.now());
        Some(notice.of_purchase(&made.purchase))
    }

    /// What was paid, and the product.
    pub(super) async fn purchase_and_product(&self, id: &PurchaseId) -> Result<(Purchase, Arc<Product>)> {
        let purchase = self.records.find::<Purchase>(id).await?;
        let purchase = purchase.ok_or_else(|| Error::not_found(format!("There is no purchase {id}.")))?.into_value();
        let product = self.product_of(&self.catalog(), &purchase.product)?;
        Ok((purchase, product))
    }

    /// The year of a purchase that an application is for: the one that is under way, else the next.
    pub(super) async fn term_due(&self, purchase: &Purchase) -> Result<u32> {
        let last = match purchase.terms.last() {
            Some(order) => self.order_view(order).await?.as_last_term(),
            None => return Ok(1),
        };
        let begun = u32::try_from(purchase.terms.len()).map_err(Error::internal)?;
        Ok(match last {
            LastTerm::Settled => (begun + 1).min(purchase.years),
            LastTerm::Open { .. } | LastTerm::Failed => begun,
        })
    }

    /// The application for a year of a purchase.
    pub(super) async fn application_of(&self, purchase: &PurchaseId, term: u32) -> Result<Option<Stored<Application>>> {
        match self.records.follow(&Index::ApplicationOf(purchase, term)).await? {
            Some(row) => Ok(Some(self.stored_application(&target(&row)?).await?)),
            None => Ok(None),
        }
    }

    pub(super) async fn stored_application(&self, id: &ApplicationId) -> Result<Stored<Application>> {
        let found = self.records.find::<Application>(id).await?;
        found.ok_or_else(|| Error::internal(format!("application {id} is gone")))
    }

    /// The application that a customer continues with another purchase.
    async fn continued(&self, purchase: &Purchase, earlier: &PurchaseId) -> Result<Application> {
        let none =
            || Error::not_found(format!("There is no application of purchase {earlier} to continue (RENEW-05)."));
        let earlier = self.records.find::<Purchase>(earlier).await?.ok_or_else(none)?;
        if earlier.customer != purchase.customer || earlier.product != purchase.product || earlier.id == purchase.id {
            return Err(none());
        }
        let term = self.term_due(&earlier).await?;
        let found = match self.application_of(&earlier.id, term).await? {
            None if term > 1 => self.application_of(&earlier.id, term - 1).await?,
            found => found,
        };
        found.map(Stored::into_value).ok_or_else(none)
    }

    /// BUY-05: the number given equals the number bought.
    fn accept_names(&self, purchase: &Purchase, product: &Product, names: &[Identifier]) -> Result<()> {
        if names.is_empty() {
            return Ok(());
        }
        let counted = self.count_names(product, names)?;
        match counted == purchase.names {
            true => Ok(()),
            false => Err(Error::malformed(format!(
                "This purchase covers {0} chargeable names; {0} are required, and {counted} were given, free names not \
                 counted (BUY-05).",
                purchase.names
            ))),
        }
    }

    async fn pick(&self, of: &Purchase, asked: ApplicationRequest, base: Option<&Application>) -> Result<Profiles> {
        let base = base.map(|base| &base.form);
        let organisation = asked.organisation.or_else(|| base.map(|form| Pick::Existing(form.organisation.clone())));
        let administrator = asked.administrator.or_else(|| base.map(|form| Pick::Existing(form.administrator.clone())));
        let contact = asked.contact.or_else(|| base.map(|form| Pick::Existing(form.contact.clone())));
        let missing = |field: &str, rule: &str| Error::malformed(format!("Field \"{field}\" is missing ({rule})."));
        let organisation = match organisation.ok_or_else(|| missing("organisation", "ORG-01"))? {
            Pick::Existing(id) => (self.own_organisation(of, &id).await?, None),
            Pick::New(facts) => {
                let (made, number) = self.new_organisation(&of.customer, facts.checked()?, asked.support).await?;
                (made, Some(number))
            }
        };
        let administrator = administrator.ok_or_else(|| missing("administrator", "ORG-02"))?;
        let administrator = self.pick_person(of, Role::Administrator, administrator).await?;
        let contact = match contact {
            Some(contact) => Some(self.pick_person(of, Role::Contact, contact).await?),
            None => None,
        };
        Ok(Profiles { organisation, administrator, contact })
    }

    /// ORG-04; another customer's is told as if it were not there.
    async fn own_organisation(&self, of: &Purchase, id: &OrganisationId) -> Result<Organisation> {
        let found = self.records.find::<Organisation>(id).await?.filter(|found| found.customer == of.customer);
        let found = found.ok_or_else(|| {
            Error::not_found(format!("There is no organisation {id}; see /profiles/organisations (ORG-13)."))
        })?;
        Ok(found.into_value())
    }

    async fn pick_person(
        &self,
        of: &Purchase,
        role: Role,
        pick: Pick<PersonId, PersonFacts>,
    ) -> Result<(Person, Option<u16>)> {
        match pick {
            Pick::New(facts) => {
                let (made, number) = self.new_person(&of.customer, role, facts.checked()?).await?;
                Ok((made, Some(number)))
            }
            Pick::Existing(id) => {
                // An administrator may be the contact too (ORG-03), not the other way round.
                let fits = |person: &Stored<Person>| {
                    person.customer == of.customer && (person.role == role || role == Role::Contact)
                };
                let found = self.records.find::<Person>(&id).await?.filter(fits);
                let none = || Error::not_found(format!("There is no {} {id}; see /profiles (ORG-13).", role.as_str()));
                Ok((found.ok_or_else(none)?.into_value(), None))
            }
        }
    }

    /// The approval of an application with the same organisation and administrator on which a certificate of the same type
    /// and brand was issued (REVIEW-09, X-23).
    pub(super) async fn same_data(&self, form: &Form, product: &Product) -> Result<Option<Known>> {
        let row = Index::ObtainedWith(&form.organisation, product.class.id());
        let Some(row) = self.records.follow(&row).await? else { return Ok(None) };
        let earlier = self.stored_application(&target(&row)?).await?;
        let catalog = self.catalog();
        let same_kind = |of: &Product| of.class == product.class && of.brand == product.brand;
        if earlier.form.administrator != form.administrator || !catalog.product(&earlier.product).is_some_and(same_kind)
        {
            return Ok(None);
        }
        let by = format!("the same data as application {}", earlier.id);
        Ok(match earlier.stage {
            Stage::Approved { until, .. } if self.now() < until => Some(Known { by, until }),
            _ => None,
        })
    }

    /// The application for the term of a purchase that is due, and where it stands; also while there is none.
    pub async fn application_report(&self, purchase: &PurchaseId) -> Result<ApplicationReport> {
        let (purchase, product) = self.purchase_and_product(purchase).await?;
        let mut term = self.term_due(&purchase).await?;
        let mut found = self.application_of(&purchase.id, term).await?;
        if found.is_none() && term > 1 && purchase.terms.len() < term as usize {
            // The term before is done, and nothing was sent for the next.
            if let Some(before) = self.application_of(&purchase.id, term - 1).await? {
                (term, found) = (term - 1, Some(before));
            }
        }
        self.report_application(purchase, product, term, found.map(Stored::into_value)).await
    }

    pub(super) async fn report_application(
        &self,
        purchase: Purchase,
        product: Arc<Product>,
        term: u32,
        application: Option<Application>,
    ) -> Result<ApplicationReport> {
        let catalog = self.catalog();
        let (mut organisation, mut administrator, mut contact) = (None, None, None);
        let mut file = CaseFile::default();
        let mut letter = None;
        if let Some(application) = &application {
            let form = &application.form;
            organisation = Some(self.organisation(&form.organisation).await?);
            administrator = Some(self.person(&form.administrator).await?);
            contact = Some(self.person(&form.contact).await?);
            file = self.case_file(application.id.as_str()).await?.map_or(file, Stored::into_value);
            letter = self.letter_rules(application, &product)?;
        }
        let order = match purchase.terms.get(term as usize - 1) {
            Some(order) => Some(self.order_report(order).await?),
            None => None,
        };
        let open = order.as_ref().filter(|order| order.view.status() != OrderStatus::Invalid);
        let task = application.as_ref().and_then(|application| Some((application.task()?, application.waits_since()?)));
        let waiting = application.as_ref().and_then(|application| waiting(application, &file));
        let status = open.map_or_else(|| applications::status(application.as_ref()), |order| order.status);
        Ok(ApplicationReport {
            status,
            stages: form::stages(&product, status),
            takes: form::takes(&product, purchase.names),
            expected: task.and_then(|(task, since)| applications::expected(&catalog, &product, task, since)),
            reminder_opens: waiting.and_then(|waiting| reminders::opens(&catalog, &product, &waiting).ok()),
            hints: applications::hints(&catalog, &product, application.as_ref().and_then(Application::task)),
            purchase,
            product,
            term,
            application,
            organisation,
            administrator,
            contact,
            order,
            letter,
            file,
        })
    }
}

/// Nothing is applied for with what was canceled or refunded.
pub(super) fn in_force(purchase: &Purchase) -> Result<()> {
    match purchase.standing {
        Standing::InForce => Ok(()),
        Standing::Canceled { .. } | Standing::Refunded { .. } => Err(Error::new(
            Kind::Conflict,
            format!("Purchase {} was canceled; buy again to apply (REFUND-04).", purchase.id),
        )),
    }
}

/// What reviewers have of an application before them, as reminders count it.
pub(super) fn waiting(application: &Application, file: &CaseFile) -> Option<reminders::Waiting> {
    application.waits_since().map(|_| reminders::Waiting {
        submitted: application.submitted,
        letter: application.letter.as_ref().map(|letter| letter.at),
        reminded: file.reminders.last().copied(),
    })
}

pub(super) fn subject(purchase: &Purchase, term: u32, renews: Option<ApplicationId>) -> Subject {
    Subject {
        customer: purchase.customer.clone(),
        purchase: purchase.id.clone(),
        term,
        product: purchase.product.clone(),
        renews,
    }
}

pub(super) fn submitted(made: &Application) -> Act {
    Act::ApplicationSubmitted { application: made.id.clone(), purchase: made.purchase.clone(), term: made.term }
}
