//! The review desk: everything that a person must decide, in one queue, and the decisions (REVIEW, ORG-07, ORG-08).

use std::sync::Arc;

use super::applications::{ApplicationReport, in_force};
use super::reviews::noted;
use super::{OrderReport, Ra, RevocationView, settle};
use crate::domain::account::Holder;
use crate::domain::application::{Application, Task};
use crate::domain::audit::Act;
use crate::domain::customer::Customer;
use crate::domain::document::Document;
use crate::domain::notice::{Notice, Topic};
use crate::domain::order::{Order, Phase};
use crate::domain::organisation::{Organisation, Person};
use crate::domain::review::{Approval, CaseFile, Matter, Note};
use crate::domain::revocation::{RevocationRequest, Stage};
use crate::domain::{CustomerId, Error, JobId, Kind, Result, Timestamp};
use crate::policy::applications::{self, Expected};
use crate::policy::calendar;
use crate::store::records::{Batch, Index, Rows, Stored};

/// Most matters that are sorted by their due date at once.
const SORTED: usize = 10_000;

/// What a reviewer decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// It goes on.
    Approve,
    /// It ends.
    Reject,
}

/// A reviewer's decision about a matter.
#[derive(Debug, Clone)]
pub struct Verdict {
    /// Who decides.
    pub by: String,
    /// What.
    pub decision: Decision,
    /// Why; of a refusal the customer is told.
    pub note: String,
    /// What it rests on.
    pub evidence: Vec<String>,
    /// The round of review that they looked at; none: whichever there is.
    pub round: Option<Timestamp>,
}

/// A place in the queue of the desk: behind whoever came before that moment, and of those who came then behind that one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// When the matter came to the desk.
    pub since: Timestamp,
    /// The matter's id.
    pub id: String,
}

/// How the queue is sorted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sort {
    /// Who waits longest comes first.
    Age,
    /// What is due first comes first; profiles that nobody has paid for come last (ORG-08).
    Due,
}

/// A place in the queue as it is sorted by due date.
pub type DuePlace = (bool, u64, String);

/// A matter as a reviewer sees it.
#[derive(Debug)]
pub struct Case {
    /// What it is.
    pub matter: Matter,
    /// All that is known of it.
    pub details: Details,
    /// Whose it is; none for an account that is bound to no customer.
    pub customer: Option<Customer>,
    /// Since when it waits; none if it does not, or not any more.
    pub since: Option<Timestamp>,
    /// The round of review, by its beginning: what was approved in an earlier one counts no more.
    pub round: Option<Timestamp>,
    /// When it is expected to be decided.
    pub expected: Option<Expected>,
    /// Whether it is a profile that nothing paid needs: others come first (ORG-08).
    pub can_wait: bool,
    /// What reviewers wrote.
    pub file: CaseFile,
    /// How many reviewers must approve.
    pub approvers: usize,
    /// The moment.
    pub now: Timestamp,
}

/// What is known of a matter.
#[derive(Debug)]
pub enum Details {
    /// Of an order.
    Order(Box<OrderReport>),
    /// Of an organisation profile.
    Organisation(Box<Organisation>),
    /// Of an administrator profile.
    Administrator(Box<Person>),
    /// Of an application.
    Application(Box<ApplicationReport>),
    /// Of a request for revocation.
    Revocation(Box<RevocationView>),
}

impl Case {
    /// Where it stands in the queue by age.
    pub fn place(&self) -> Option<Place> {
        self.since.map(|since| Place { since, id: self.matter.id().to_owned() })
    }

    /// Where it stands in the queue by due date.
    pub fn due_place(&self) -> DuePlace {
        let due = self.expected.map_or(u64::MAX, |expected| expected.last.as_millis());
        (self.can_wait, due, self.matter.id().to_owned())
    }
}

/// What a verdict comes to, with the file that it is written into.
pub(super) struct Judged {
    read: Option<Stored<CaseFile>>,
    file: CaseFile,
    act: Act,
    /// Whether it decides: a refusal does, an approval when enough reviewers agree.
    pub(super) decides: bool,
}

impl Judged {
    /// A batch that writes the file.
    pub(super) fn batch(&self, now: Timestamp) -> Batch {
        Batch::of(self.act.clone(), now).set(self.read.as_ref(), &self.file)
    }
}

impl Ra {
    /// Up to `limit` matters that wait for a person, the one that waits longest first, behind that place. Orders that can't
    /// be decided any more leave the desk.
    pub async fn cases(&self, after: Option<&Place>, limit: usize) -> Result<Vec<Case>> {
        let mut after = after.map(|place| Index::InReview(place.since, &place.id).id());
        let mut found = Vec::new();
        while found.len() < limit {
            let rows = self.records.rows(&Rows::InReview, after.take(), limit - found.len()).await?;
            let Some((last, _)) = rows.last() else { break };
            after = Some(last.clone());
            for (_, row) in &rows {
                let matter = row.parse().map_err(|()| Error::internal(format!("the queue holds \"{row}\"")))?;
                if let Some(case) = self.waiting_case(matter).await? {
                    found.push(case);
                }
            }
        }
        Ok(found)
    }

    /// The same, what is due first before the others.
    pub async fn cases_by_due(&self, after: Option<&DuePlace>, limit: usize) -> Result<Vec<Case>> {
        let mut all = self.cases(None, SORTED).await?;
        all.sort_by_cached_key(Case::due_place);
        let behind = |case: &Case| after.is_none_or(|after| case.due_place() > *after);
        Ok(all.into_iter().filter(behind).take(limit).collect())
    }

    /// A matter of the queue, if it still waits.
    async fn waiting_case(&self, matter: Matter) -> Result<Option<Case>> {
        if let Matter::Order(id) = &matter
            && self.settle_lapsed(id).await?.is_some()
        {
            return Ok(None);
        }
        // It may have been decided this very moment.
        Ok(Some(self.case_of(matter).await?).filter(|case| case.since.is_some()))
    }

    /// The matter of that id.
    pub async fn case(&self, id: &str) -> Result<Case> {
        self.case_of(self.matter(id).await?).await
    }

    /// What has that id and can be before reviewers.
    async fn matter(&self, id: &str) -> Result<Matter> {
        let none = || {
            Error::not_found({
                let shown = id.chars().take(40).collect::<String>().escape_debug().to_string();
                format!("There is no order, application or profile \"{shown}\" to review.")
            })
        };
        if let Ok(order) = id.parse()
            && self.records.find::<Order>(&order).await?.is_some()
        {
            return Ok(Matter::Order(order));
        }
        if let Ok(application) = id.parse()
            && self.records.find::<Application>(&application).await?.is_some()
        {
            return Ok(Matter::Application(application));
        }
        if let Ok(organisation) = id.parse()
            && self.records.find::<Organisation>(&organisation).await?.is_some()
        {
            return Ok(Matter::Organisation(organisation));
        }
        let person = id.parse().map_err(|()| none())?;
        match self.records.find::<Person>(&person).await? {
            Some(_) => Ok(Matter::Administrator(person)),
            None => self.revocation_matter(id).await?.ok_or_else(none),
        }
    }

    async fn case_of(&self, matter: Matter) -> Result<Case> {
        let file = self.case_file(matter.id()).await?.map_or_else(|| CaseFile::of(matter.id()), Stored::into_value);
        let catalog = self.catalog();
        let review = &catalog.paperwork().review;
        let profile_due = |since: Timestamp| {
            // ORG-07
            let last = calendar::later(since, review.profile_business_days, &review.holidays);
            Expected { first: since, last }
        };
        let mut can_wait = false;
        let (customer, since, expected, approvers, details) = match &matter {
            Matter::Order(id) => {
                let report = self.reviewed_order(id).await?;
                let since = match report.view.order.phase {
                    Phase::Review { since, .. } if report.waits_for_review() => Some(since),
                    _ => None,
                };
                let product = catalog.product(&report.view.order.product);
                let expected = product
                    .zip(since)
                    .and_then(|(product, since)| applications::expected(&catalog, product, Task::Review, since));
                let approvers = product.map_or(1, |product| applications::approvers(&catalog, product.class));
                let customer = match &report.holder {
                    Holder::Customer(id) => Some(id.clone()),
                    Holder::Account(_) => None,
                };
                (customer, since, expected, approvers, Details::Order(Box::new(report)))
            }
            Matter::Organisation(id) => {
                let organisation = self.organisation(id).await?;
                let since = organisation.standing.waits_since();
                can_wait = !self.is_for_paid(id).await?;
                let customer = Some(organisation.customer.clone());
                (customer, since, since.map(profile_due), 1, Details::Organisation(Box::new(organisation)))
            }
            Matter::Administrator(id) => {
                let person = self.person(id).await?;
                let since = person.standing.waits_since();
                (
                    Some(person.customer.clone()),
                    since,
                    since.map(profile_due),
                    1,
                    Details::Administrator(Box::new(person)),
                )
            }
            Matter::Application(id) => {
                let application = self.stored_application(id).await?.into_value();
                let (purchase, product) = self.purchase_and_product(&application.purchase).await?;
                let (customer, term) = (application.customer.clone(), application.term);
                // What was canceled waits for nobody.
                let since = application.waits_since().filter(|_| in_force(&purchase).is_ok());
                let approvers = self.approvers_of(&application)?;
                let report = self.report_application(purchase, product, term, Some(application)).await?;
                (Some(customer), since, report.expected, approvers, Details::Application(Box::new(report)))
            }
            Matter::Revocation(id) => self.revocation_case(id).await?,
        };
        let customer = match customer {
            Some(id) => Some(self.customer(&id).await?),
            None => None,
        };
        let round = match since {
            Some(since) => Some(self.round_of(&matter, since).await?),
            None => None,
        };
        Ok(Case { matter, details, customer, since, round, expected, can_wait, file, approvers, now: self.now() })
    }

    /// The round of review that a matter is in, which waits since then: it begins with the papers that it is about.
    async fn round_of(&self, matter: &Matter, since: Timestamp) -> Result<Timestamp> {
        let Matter::Revocation(id) = matter else { return Ok(since) };
        let request = self.records.find::<RevocationRequest>(id).await?;
        let Some(Stage::AwaitingReview { letter: Some(letter), .. }) = request.map(|read| read.into_value().stage)
        else {
            return Ok(since);
        };
        // Another letter leaves its place in the queue to the request (DOC-11), but nobody has approved it yet.
        let letter = self.records.find::<Document>(&letter).await?;
        Ok(letter.map_or(since, |letter| letter.at.max(since)))
    }

    /// How many reviewers must approve the task that an application is at.
    pub(super) fn approvers_of(&self, application: &Application) -> Result<usize> {
        let catalog = self.catalog();
        let product = self.product_of(&catalog, &application.product)?;
        Ok(match application.task() {
            Some(Task::PreReview) => 1,
            _ => applications::approvers(&catalog, product.class),
        })
    }

    /// Decides a matter that waits, or adds an approval where several reviewers must agree. Of two decisions at once the
    /// first counts.
    pub async fn decide(self: &Arc<Self>, id: &str, verdict: Verdict) -> Result<Case> {
        let verdict = accept_verdict(verdict)?;
        let matter = self.matter(id).await?;
        match &matter {
            Matter::Order(order) => self.decide_order(order, &verdict).await?,
            Matter::Organisation(_) => settle(|| self.decide_organisation(&matter, &verdict)).await?,
            Matter::Administrator(_) => settle(|| self.decide_person(&matter, &verdict)).await?,
            Matter::Application(_) => {
                if let Some(job) = settle(|| self.decide_application(&matter, &verdict)).await? {
                    let waited_for: JobId = job.id.clone();
                    self.start(job);
                    self.worker.wait(&waited_for, self.challenge_wait()).await;
                }
            }
            Matter::Revocation(_) => settle(|| self.decide_revocation(&matter, &verdict)).await?,
        }
        self.case_of(matter).await
    }

    /// What a verdict comes to about a matter that waits since then.
    pub(super) async fn judged(
        &self,
        matter: &Matter,
        since: Timestamp,
        verdict: &Verdict,
        approvers: usize,
    ) -> Result<Judged> {
        let round = self.round_of(matter, since).await?;
        if verdict.round.is_some_and(|seen| seen != round) {
            let told = "It has changed since you looked; look at it again and decide then.";
            return Err(Error::new(Kind::Conflict, told));
        }
        let read = self.case_file(matter.id()).await?;
        let file = read.as_ref().map_or_else(|| CaseFile::of(matter.id()), |read| (**read).clone());
        let (at, by, note) = (self.now(), verdict.by.clone(), verdict.note.clone());
        let approved = verdict.decision == Decision::Approve;
        let (file, decides) = match verdict.decision {
            Decision::Approve => {
                let evidence = verdict.evidence.clone();
                let (file, count) = file.approve(Approval { by, at, note, evidence, round, spent: false })?;
                (file, count >= approvers)
            }
            Decision::Reject => {
                let mut file = file;
                file.notes.push(Note { by, at, text: format!("Refused: {note}"), unreachable: false });
                (file, true)
            }
        };
        let file = if decides { file.decided() } else { file };
        let act = Act::MatterJudged {
            matter: matter.to_string(),
            approved,
            decided: decides,
            by: verdict.by.clone(),
            note: verdict.note.clone(),
            evidence: verdict.evidence.clone(),
            approvers,
        };
        Ok(Judged { read, file, act, decides })
    }

    pub(super) async fn case_file(&self, id: &str) -> Result<Option<Stored<CaseFile>>> {
        Ok(self.records.find::<CaseFile>(id).await?)
    }

    /// Has a reviewer note something; that a customer could not be reached is told to them (ORG-12).
    pub async fn note(&self, id: &str, by: &str, text: &str, unreachable: bool) -> Result<Case> {
        let text = noted(text)?;
        let case = self.case(id).await?;
        let matter = case.matter;
        settle(|| async {
            let read = self.case_file(matter.id()).await?;
            let mut file = read.as_ref().map_or_else(|| CaseFile::of(matter.id()), |read| (**read).clone());
            let now = self.now();
            file.notes.push(Note { by: by.to_owned(), at: now, text: text.clone(), unreachable });
            let act = Act::MatterNoted { matter: matter.to_string(), by: by.to_owned(), note: text.clone() };
            let mut batch = Batch::of(act, now).set(read.as_ref(), &file);
            if let Some(customer) = case.customer.as_ref().filter(|_| unreachable) {
                batch = batch.notice(&unreached(&customer.id, &text, now));
            }
            Ok(self.records.commit(batch).await?)
        })
        .await?;
        self.case_of(matter).await
    }
}

/// ORG-12
fn unreached(customer: &CustomerId, text: &str, now: Timestamp) -> Notice {
    Notice::new(
        customer,
        (Topic::Review, "reviewer-could-not-reach-you"),
        "Reviewer could not reach you",
        format!(
            "A reviewer tried the telephone and e-mail of your application: {text} Watch them; without an answer the review \
             fails (ORG-09, ORG-12)."
        ),
        now,
    )
}

fn accept_verdict(verdict: Verdict) -> Result<Verdict> {
    let note = noted(&verdict.note)?;
    if verdict.evidence.len() > 20 {
        return Err(Error::malformed("\"evidence\" has more than 20 entries."));
    }
    let evidence = verdict.evidence.iter().map(|entry| noted(entry)).collect::<Result<_>>()?;
    Ok(Verdict { note, evidence, ..verdict })
}
