//! The review desk: orders that a person must look at, what was decided, and names that were cleared for good.

use std::sync::Arc;

use super::desk::{Decision, Verdict};
use super::issuance::Ticket;
use super::reports::OrderReport;
use super::worker::Next;
use super::{OrderView, Ra, Stop, settle};
use crate::domain::account::{Account, Holder};
use crate::domain::application::Stage;
use crate::domain::audit::Act;
use crate::domain::customer::Clearance;
use crate::domain::job::{Job, Work};
use crate::domain::order::{Order, OrderStatus, Phase};
use crate::domain::review::Matter;
use crate::domain::{AccountId, ApplicationId, DnsName, Error, Kind, OrderId, Problem, Result, Serial, Timestamp};
use crate::policy::applications;
use crate::store::records::{Batch, Index, Rows, SerialEntry, Stored, clearance_id, target};
use crate::telemetry;

impl Ra {
    /// An order that waits, or waited, for a person, or will when it is finalized.
    pub(super) async fn reviewed_order(&self, id: &OrderId) -> Result<OrderReport> {
        let report = self.report(self.order_view(id).await?).await?;
        if report.view.order.causes.is_empty() {
            return Err(Error::not_found(format!("Order {id} needs no review.")));
        }
        Ok(report)
    }

    /// Takes an order off the desk if it can't be decided any more. Why, if so.
    pub(super) async fn settle_lapsed(&self, id: &OrderId) -> Result<Option<Problem>> {
        settle(|| async {
            let view = self.order_view(id).await?;
            let Phase::Review { since, .. } = view.order.phase else {
                return Ok(Some(Problem::new(Kind::Conflict, "It is not waiting for a review.")));
            };
            let (_, closed) = self.closed(&view.order.account).await?;
            let now = self.now();
            if let Some(problem) = closed {
                // RFC 8555 section 7.3.6: what a closed account left open is cancelled.
                let failed = (*view.order).clone().fail(problem.clone(), now);
                let act = Act::OrderFailed { order: id.clone(), problem: problem.clone() };
                let batch = Batch::of(act, now).replace(&view.order, &failed);
                self.records.commit(off_the_desk(batch, &view.order, since)).await?;
                metrics::counter!(telemetry::ORDERS_FAILED).increment(1);
                return Ok(Some(problem));
            }
            if view.status() == OrderStatus::Processing {
                return Ok(None);
            }
            // Its status follows from the clock and its authorizations, for good; what has to go is its place in the queue.
            if self.is_on_the_desk(&view.order, since).await? {
                let act = Act::ReviewLapsed { order: id.clone() };
                let batch = Batch::of(act, now).check(&view.order);
                self.records.commit(off_the_desk(batch, &view.order, since)).await?;
            }
            Ok(Some(view.problem().unwrap_or_else(|| Problem::new(Kind::Conflict, "It is over."))))
        })
        .await
    }

    /// Whether an order waits for a person, by the rows that say so.
    async fn is_on_the_desk(&self, order: &Order, since: Timestamp) -> Result<bool> {
        let own = Index::InReview(since, order.id.as_str());
        let waits = order.application.as_ref().map(|application| Index::WaitsFor(application, &order.id));
        let rows: Vec<Index<'_>> = std::iter::once(own).chain(waits).collect();
        Ok(self.records.follow_all(&rows).await?.iter().any(Option::is_some))
    }

    /// Takes the orders of a closed account off the desk, so that what they were charged to is there again at once.
    pub(super) async fn cancel_reviews_of(&self, account: &AccountId) -> Result<()> {
        const PAGE: usize = 500;
        for queue in [Rows::InReview, Rows::Waiting] {
            let mut after = None;
            loop {
                let rows = self.records.rows(&queue, after.take(), PAGE).await?;
                let Some((last, _)) = rows.last() else { break };
                after = Some(last.clone());
                let orders = rows.iter().filter_map(|(_, row)| match row.parse() {
                    Ok(Matter::Order(order)) => Some(order),
                    _ => None,
                });
                for order in self.records.find_all::<Order>(orders).await?.into_iter().flatten() {
                    if order.account == *account {
                        self.settle_lapsed(&order.id).await?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Decides an order that waits. Approval clears the names that brought it to the desk, and has it issued unless its
    /// application waits too; of two decisions at once the first counts.
    pub(super) async fn decide_order(self: &Arc<Self>, id: &OrderId, verdict: &Verdict) -> Result<()> {
        self.reviewed_order(id).await?;
        if let Some(problem) = self.settle_lapsed(id).await? {
            let detail = format!("Order {id} can't be decided: {}", problem.detail);
            return Err(Error::new(Kind::Conflict, detail));
        }
        let issued = match verdict.decision {
            Decision::Reject => {
                settle(|| self.reject(id, verdict)).await?;
                None
            }
            Decision::Approve => settle(|| self.approve(id, verdict)).await?,
        };
        if let Some((job, ticket)) = issued {
            let waited_for = job.id.clone();
            self.start_with(job, Some(ticket));
            self.worker.wait(&waited_for, self.challenge_wait()).await;
        }
        Ok(())
    }

    async fn reject(&self, id: &OrderId, verdict: &Verdict) -> Result<(), Stop> {
        let (view, since) = self.at_the_desk(id).await?;
        let judged = self.judged(&Matter::Order(id.clone()), since, verdict, 1).await?;
        let now = self.now();
        let batch = self.rejected(judged.batch(now), &view.order, since, &verdict.note)?;
        let batch = self.tell_of_order(batch, &view.order, verdict).await?;
        self.records.commit(batch).await?;
        metrics::counter!(telemetry::ORDERS_FAILED).increment(1);
        Ok(())
    }

    /// Has a batch end an order that a person refused.
    fn rejected(&self, batch: Batch, order: &Stored<Order>, since: Timestamp, note: &str) -> Result<Batch> {
        // REVIEW-11: the cause is told.
        let rejected = (**order).clone().reject(refusal(note), self.now())?;
        let act = Act::ReviewDecided { order: order.id.clone(), approved: false, note: note.to_owned() };
        Ok(off_the_desk(batch.and(act, self.now()).replace(order, &rejected), order, since))
    }

    async fn approve(&self, id: &OrderId, verdict: &Verdict) -> Result<Option<(Job, Ticket)>, Stop> {
        let (view, since) = self.at_the_desk(id).await?;
        let product = self.product_of(&self.catalog(), &view.order.product)?;
        let approvers = applications::approvers(&self.catalog(), product.class);
        let judged = self.judged(&Matter::Order(id.clone()), since, verdict, approvers).await?;
        let now = self.now();
        let account = self.account(&view.order.account).await?;
        let mut batch = judged.batch(now).check(&account);
        if !judged.decides {
            self.records.commit(batch.check(&view.order)).await?;
            return Ok(None);
        }
        let note = &verdict.note;
        for cause in &view.order.causes {
            // WORD-04: what a person found harmless once needs no second look.
            let (holder, name) = (account.holder(), cause.name.clone());
            let act = Act::NameCleared { holder: holder.clone(), name: name.clone(), note: note.clone() };
            batch = batch.and(act, now).put(&Clearance { holder, name, at: now, note: note.clone() });
        }
        batch = batch.and(Act::ReviewDecided { order: id.clone(), approved: true, note: note.clone() }, now);
        batch = self.tell_of_order(batch, &view.order, verdict).await?;
        if let Some(application) = &view.order.application {
            let application = self.stored_application(application).await?;
            batch = batch.check(&application);
            if !application.serves(now) {
                // The application is before reviewers too: the order goes on waiting for that.
                self.records.commit(batch.check(&view.order).unindex(&Index::InReview(since, id.as_str()))).await?;
                return Ok(None);
            }
        }
        let (batch, job, ticket) = self.approved(batch, &view, since)?;
        self.records.commit(batch).await?;
        self.count_certificate(&account, &view.order);
        Ok(Some((job, ticket)))
    }

    /// Has a batch issue an order that waited.
    fn approved(&self, batch: Batch, view: &OrderView, since: Timestamp) -> Result<(Batch, Job, Ticket)> {
        let (id, now) = (&view.order.id, self.now());
        let (serial, job) = (Serial::random(), Job::new(Work::Issue { order: id.clone() }, now));
        let approved = (*view.order).clone().approve(serial, job.id.clone(), &view.plain_authzs(), now)?;
        let ticket = match &approved.phase {
            Phase::Issuing { csr, .. } => Ticket::of(csr)?,
            _ => return Err(Error::internal(format!("order {id} was approved and is not being issued"))),
        };
        let batch = batch
            .and(Act::OrderFinalized { order: id.clone(), serial }, now)
            .replace(&view.order, &approved)
            .insert(&SerialEntry { serial, purpose: id.to_string(), at: now })
            .insert(&job);
        let batch = view.authzs.iter().fold(batch, |batch, authz| batch.check(authz));
        Ok((off_the_desk(batch, &view.order, since), job, ticket))
    }

    /// Has a batch tell the customer, if the order is one's.
    async fn tell_of_order(&self, batch: Batch, order: &Order, verdict: &Verdict) -> Result<Batch> {
        let account = self.records.find::<Account>(&order.account).await?;
        let Some(Holder::Customer(customer)) = account.map(|account| account.holder()) else { return Ok(batch) };
        let names = order.identifiers.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        Ok(batch.notice(&self.ruling(&customer, &format!("order for {names}"), verdict).of_order(&order.id)))
    }

    /// Goes on with the orders that waited for an application to be decided: an approved one issues them, a refused one
    /// ends them.
    pub(super) async fn release(self: &Arc<Self>, job: &Stored<Job>, id: &ApplicationId) -> Result<Next> {
        let mut after = None;
        loop {
            let rows = self.records.rows(&Rows::WaitingFor(id), after.take(), 100).await?;
            let Some((last, _)) = rows.last() else { return self.drop_job(job).await };
            after = Some(last.clone());
            for (_, row) in &rows {
                let order = target::<OrderId>(row)?;
                if self.settle_lapsed(&order).await?.is_some() {
                    continue;
                }
                if let Some((job, ticket)) = settle(|| self.release_order(&order, id)).await? {
                    let waited_for = job.id.clone();
                    self.start_with(job, Some(ticket));
                    self.worker.wait(&waited_for, self.challenge_wait()).await;
                }
            }
        }
    }

    async fn release_order(&self, id: &OrderId, application: &ApplicationId) -> Result<Option<(Job, Ticket)>, Stop> {
        let view = self.order_view(id).await?;
        let Phase::Review { since, .. } = view.order.phase else { return Ok(None) };
        let application = self.stored_application(application).await?;
        let now = self.now();
        if let Stage::Refused { reason, .. } = &application.stage {
            let batch = Batch::of(Act::OrderFailed { order: id.clone(), problem: refusal(reason) }, now);
            let batch = self.rejected(batch.check(&application), &view.order, since, reason)?;
            self.records.commit(batch).await?;
            metrics::counter!(telemetry::ORDERS_FAILED).increment(1);
            return Ok(None);
        }
        let account = self.account(&view.order.account).await?;
        // A sensitive word in it is decided for itself (WORD-05).
        if !application.serves(now) || !self.is_cleared(&account.holder(), &view.order).await? {
            return Ok(None);
        }
        let act =
            Act::ReviewDecided { order: id.clone(), approved: true, note: format!("application {}", application.id) };
        let batch = Batch::of(act, now).check(&account).check(&application);
        let (batch, job, ticket) = self.approved(batch, &view, since)?;
        self.records.commit(batch).await?;
        self.count_certificate(&account, &view.order);
        Ok(Some((job, ticket)))
    }

    /// An order that waits, and since when.
    async fn at_the_desk(&self, id: &OrderId) -> Result<(OrderView, Timestamp)> {
        let view = self.order_view(id).await?;
        match view.order.phase {
            Phase::Review { since, .. } => Ok((view, since)),
            _ => Err(Error::new(Kind::Conflict, format!("Order {id} is not waiting for a review."))),
        }
    }

    /// Clears a name for a holder: no word in it stands in the way any more (WORD-04).
    pub async fn clear_name(&self, holder: &Holder, name: &str, note: &str) -> Result<Clearance> {
        let name = DnsName::parse(name)?;
        self.known_holder(holder).await?;
        let now = self.now();
        let clearance =
            Clearance { holder: holder.clone(), name: name.as_str().to_owned(), at: now, note: noted(note)? };
        let act =
            Act::NameCleared { holder: holder.clone(), name: clearance.name.clone(), note: clearance.note.clone() };
        self.records.commit(Batch::of(act, now).put(&clearance)).await?;
        Ok(clearance)
    }

    /// Takes a clearance back, for orders that come.
    pub async fn withdraw_clearance(&self, holder: &Holder, name: &str) -> Result<()> {
        let name = DnsName::parse(name)?;
        settle(|| async {
            let found = self.records.find::<Clearance>(clearance_id(holder, name.as_str())).await?;
            let found = found.ok_or_else(|| Error::not_found("There is no such clearance."))?;
            let act = Act::ClearanceWithdrawn { holder: holder.clone(), name: found.name.clone() };
            Ok(self.records.commit(Batch::of(act, self.now()).remove(&found)).await?)
        })
        .await
    }

    /// Up to `limit` clearances of a holder, behind that name.
    pub async fn clearances(&self, holder: &Holder, after: Option<&str>, limit: usize) -> Result<Vec<Clearance>> {
        self.known_holder(holder).await?;
        let after = after.map(|name| clearance_id(holder, name));
        let found = self.records.list::<Clearance>(&clearance_id(holder, ""), after, limit).await?;
        Ok(found.into_iter().map(|clearance| clearance.into_value()).collect())
    }

    /// Whether there is such a holder.
    pub(super) async fn known_holder(&self, holder: &Holder) -> Result<()> {
        match holder {
            Holder::Customer(id) => drop(self.customer(id).await?),
            Holder::Account(id) => drop::<Stored<Account>>(self.account(id).await?),
        }
        Ok(())
    }
}

/// Has a batch take an order off the desk.
pub(super) fn off_the_desk(batch: Batch, order: &Order, since: Timestamp) -> Batch {
    let batch = batch.unindex(&Index::InReview(since, order.id.as_str()));
    match &order.application {
        Some(application) => batch.unindex(&Index::WaitsFor(application, &order.id)),
        None => batch,
    }
}

fn refusal(reason: &str) -> Problem {
    Problem::new(Kind::Unauthorized, format!("Review refused: {reason}"))
}

/// What a person wrote about a decision.
pub(super) fn noted(note: &str) -> Result<String> {
    let note = note.trim();
    if note.is_empty() || note.len() > 1000 || note.chars().any(char::is_control) {
        return Err(Error::malformed("Say why, in 1 to 1000 characters without control characters."));
    }
    Ok(note.to_owned())
}
