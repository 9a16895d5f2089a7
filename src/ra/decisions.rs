//! What reviewers decide about profiles and applications, and what it changes.

use super::applications::in_force;
use super::desk::{Decision, Verdict};
use super::profiles::requeued;
use super::{Ra, Stop};
use crate::domain::application::{Application, Stage, Task};
use crate::domain::job::{Job, Work};
use crate::domain::notice::{Notice, Topic};
use crate::domain::organisation::{Organisation, Person, Standing};
use crate::domain::review::Matter;
use crate::domain::{CustomerId, Error, Kind, Result, Timestamp};
use crate::policy::applications;
use crate::policy::catalog::days;
use crate::store::records::Batch;

impl Ra {
    pub(super) async fn decide_organisation(&self, matter: &Matter, verdict: &Verdict) -> Result<(), Stop> {
        let Matter::Organisation(id) = matter else { return Err(Stop::Overtaken) };
        let read = self.stored_organisation(id).await?;
        let (standing, since) = self.ruled(&read.standing, verdict)?;
        let judged = self.judged(matter, since, verdict, 1).await?;
        let made = Organisation { standing, ..(*read).clone() };
        let batch = requeued(judged.batch(self.now()).replace(&read, &made), matter, Some(since), None);
        let about = format!("organisation profile \"{}\"", read.facts.name);
        self.records.commit(batch.notice(&self.ruling(&read.customer, &about, verdict))).await?;
        Ok(())
    }

    pub(super) async fn decide_person(&self, matter: &Matter, verdict: &Verdict) -> Result<(), Stop> {
        let Matter::Administrator(id) = matter else { return Err(Stop::Overtaken) };
        let read = self.stored_person(id).await?;
        let (standing, since) = self.ruled(&read.standing, verdict)?;
        let judged = self.judged(matter, since, verdict, 1).await?;
        let made = Person { standing, ..(*read).clone() };
        let batch = requeued(judged.batch(self.now()).replace(&read, &made), matter, Some(since), None);
        let about = format!("administrator profile \"{}\"", read.facts.name);
        self.records.commit(batch.notice(&self.ruling(&read.customer, &about, verdict))).await?;
        Ok(())
    }

    /// The standing of a profile after a verdict, and since when it had waited.
    fn ruled(&self, standing: &Standing, verdict: &Verdict) -> Result<(Standing, Timestamp)> {
        let (now, before) = (self.now(), standing.waits_since());
        let after = match verdict.decision {
            Decision::Approve => standing.clone().approve(&verdict.by, &verdict.note, now)?,
            Decision::Reject => standing.clone().refuse(&verdict.by, &verdict.note, now)?,
        };
        let since = before.ok_or_else(|| Error::internal("a profile was decided that did not wait"))?;
        Ok((after, since))
    }

    pub(super) async fn decide_application(&self, matter: &Matter, verdict: &Verdict) -> Result<Option<Job>, Stop> {
        let Matter::Application(id) = matter else { return Err(Stop::Overtaken) };
        let read = self.stored_application(id).await?;
        let not_waiting = || Error::new(Kind::Conflict, "The application is not waiting for a review.");
        let since = read.waits_since().ok_or_else(not_waiting)?;
        let (purchase, product) = self.purchase_and_product(&read.purchase).await?;
        in_force(&purchase)?;
        let judged = self.judged(matter, since, verdict, self.approvers_of(&read)?).await?;
        let now = self.now();
        if !judged.decides {
            self.records.commit(judged.batch(now).check(&read)).await?;
            return Ok(None);
        }
        let made = match (verdict.decision, read.task()) {
            (Decision::Reject, _) => (*read).clone().refuse(&verdict.by, &verdict.note, now)?,
            (Decision::Approve, Some(Task::PreReview)) => (*read).clone().pass(&verdict.by, now)?,
            (Decision::Approve, _) => {
                (*read).clone().approve(&verdict.by, now + days(applications::APPROVAL_DAYS), now)?
            }
        };
        let batch = requeued(judged.batch(now).replace(&read, &made), matter, Some(since), made.waits_since());
        let batch = match made.stage {
            Stage::Approved { .. } => self.approve_profiles(batch, &made, verdict).await?,
            _ => batch,
        };
        let job = Job::new(Work::Release { application: made.id.clone() }, now);
        let about = match read.task() {
            Some(Task::PreReview) => format!("pre-review of {}", product.title),
            _ => format!("application for {}", product.title),
        };
        let notice = self.ruling(&made.customer, &about, verdict).of_purchase(&made.purchase);
        self.records.commit(batch.insert(&job).notice(&notice)).await?;
        Ok(Some(job))
    }

    /// Who vetted an application vetted its organisation and administrator too: they become approved entries (DOC-04).
    async fn approve_profiles(&self, batch: Batch, made: &Application, verdict: &Verdict) -> Result<Batch, Stop> {
        let (now, by) = (self.now(), &verdict.by);
        let organisation = self.stored_organisation(&made.form.organisation).await?;
        let administrator = self.stored_person(&made.form.administrator).await?;
        if let Standing::Refused { reason, .. } = &organisation.standing {
            let told = format!("The organisation profile was refused: {reason}. Reject the application too.");
            return Err(Error::new(Kind::Conflict, told).into());
        }
        let mut batch = batch.check(&organisation).check(&administrator);
        if let Some(since) = organisation.standing.waits_since() {
            let standing = organisation.standing.clone().approve(by, &verdict.note, now)?;
            let approved = Organisation { standing, ..(*organisation).clone() };
            let matter = Matter::Organisation(approved.id.clone());
            batch = requeued(batch.put(&approved), &matter, Some(since), None);
        }
        if let Some(since) = administrator.standing.waits_since() {
            let standing = administrator.standing.clone().approve(by, &verdict.note, now)?;
            let approved = Person { standing, ..(*administrator).clone() };
            let matter = Matter::Administrator(approved.id.clone());
            batch = requeued(batch.put(&approved), &matter, Some(since), None);
        }
        Ok(batch)
    }

    /// What a customer hears of a decision.
    pub(super) fn ruling(&self, customer: &CustomerId, about: &str, verdict: &Verdict) -> Notice {
        let (event, subject, text) = match verdict.decision {
            Decision::Approve => {
                ("review-passed", format!("Approved: {about}"), "Your client's next run goes on from here.".to_owned())
            }
            // REVIEW-11
            Decision::Reject => {
                ("review-failed", format!("Review failed: {about}"), applications::review_failed(&verdict.note))
            }
        };
        Notice::new(customer, (Topic::Review, event), subject, text, self.now())
    }
}
