//! The review desk: orders that a person must look at, what was decided, and names that were cleared for good.

use std::sync::Arc;

use super::issuance::Ticket;
use super::reports::OrderReport;
use super::{OrderView, Ra, Stop, settle};
use crate::domain::account::{Account, Holder};
use crate::domain::audit::Act;
use crate::domain::customer::{Clearance, Customer};
use crate::domain::job::{Job, Work};
use crate::domain::order::{Order, OrderStatus, Phase};
use crate::domain::{AccountId, DnsName, Error, Kind, OrderId, Problem, Result, Serial, Timestamp};
use crate::store::records::{Batch, Index, Rows, SerialEntry, Stored, clearance_id, target};
use crate::telemetry;

/// What a reviewer decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// The certificate is made, and the names are cleared for the holder.
    Approve,
    /// The order ends.
    Reject,
}

/// A place in the queue of the desk: behind whoever came before that moment, and of those who came then behind that order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// When the order came to the desk.
    pub since: Timestamp,
    /// The order.
    pub order: OrderId,
}

/// An order as a reviewer sees it.
#[derive(Debug)]
pub struct Review {
    /// The order, and where it stands.
    pub report: OrderReport,
    /// Whose it is; none for an account that is bound to no customer.
    pub customer: Option<Customer>,
    /// Since when it waits; none if it does not, or not any more.
    pub since: Option<Timestamp>,
}

impl Ra {
    /// Up to `limit` orders that wait for a person, the one that waits longest first, behind that place. Orders that can't
    /// be decided any more leave the desk.
    pub async fn reviews(&self, after: Option<&Place>, limit: usize) -> Result<Vec<Review>> {
        let mut after = after.map(|place| Index::InReview(place.since, place.order.as_str()).id());
        let mut found = Vec::new();
        while found.len() < limit {
            let rows = self.records.rows(&Rows::InReview, after.take(), limit - found.len()).await?;
            let Some((last, _)) = rows.last() else { break };
            after = Some(last.clone());
            for (_, id) in &rows {
                let id = target::<OrderId>(id)?;
                if self.settle_lapsed(&id).await?.is_some() {
                    continue;
                }
                let review = self.review(&id).await?;
                // It may have been decided this very moment.
                if review.since.is_some() {
                    found.push(review);
                }
            }
        }
        Ok(found)
    }

    /// An order that waits, or waited, for a person, or will when it is finalized.
    pub async fn review(&self, id: &OrderId) -> Result<Review> {
        let report = self.report(self.order_view(id).await?).await?;
        if report.view.order.causes.is_empty() {
            return Err(Error::not_found(format!("Order {id} needs no review.")));
        }
        let customer = match &report.holder {
            Holder::Customer(id) => Some(self.customer(id).await?),
            Holder::Account(_) => None,
        };
        let since = match report.view.order.phase {
            Phase::Review { since, .. } if report.waits_for_review() => Some(since),
            _ => None,
        };
        Ok(Review { report, customer, since })
    }

    /// Takes an order off the desk if it can't be decided any more. Why, if so.
    async fn settle_lapsed(&self, id: &OrderId) -> Result<Option<Problem>> {
        settle(|| async {
            let view = self.order_view(id).await?;
            let Phase::Review { since, .. } = view.order.phase else {
                return Ok(Some(Problem::new(Kind::Conflict, "It is not waiting for a review.")));
            };
            let (_, closed) = self.closed(&view.order.account).await?;
            let now = self.now();
            let row = Index::InReview(since, id.as_str());
            if let Some(problem) = closed {
                // RFC 8555 section 7.3.6: what a closed account left open is cancelled.
                let failed = (*view.order).clone().fail(problem.clone(), now);
                let act = Act::OrderFailed { order: id.clone(), problem: problem.clone() };
                self.records.commit(Batch::of(act, now).replace(&view.order, &failed).unindex(&row)).await?;
                metrics::counter!(telemetry::ORDERS_FAILED).increment(1);
                return Ok(Some(problem));
            }
            if view.status() == OrderStatus::Processing {
                return Ok(None);
            }
            // Its status follows from the clock and its authorizations, for good; what has to go is its place in the queue.
            if self.records.follow(&row).await?.is_some() {
                let act = Act::ReviewLapsed { order: id.clone() };
                self.records.commit(Batch::of(act, now).check(&view.order).unindex(&row)).await?;
            }
            Ok(Some(view.problem().unwrap_or_else(|| Problem::new(Kind::Conflict, "It is over."))))
        })
        .await
    }

    /// Takes the orders of a closed account off the desk, so that what they were charged to is there again at once.
    pub(super) async fn cancel_reviews_of(&self, account: &AccountId) -> Result<()> {
        const PAGE: usize = 500;
        let mut after = None;
        loop {
            let rows = self.records.rows(&Rows::InReview, after.take(), PAGE).await?;
            let Some((last, _)) = rows.last() else { return Ok(()) };
            after = Some(last.clone());
            let ids = rows.iter().map(|(_, id)| target::<OrderId>(id)).collect::<Result<Vec<_>, _>>()?;
            for order in self.records.find_all::<Order>(&ids).await?.into_iter().flatten() {
                if order.account == *account {
                    self.settle_lapsed(&order.id).await?;
                }
            }
        }
    }

    /// Decides an order that waits. Approval clears the names that brought it to the desk, and has it issued; of two
    /// decisions at once the first counts.
    pub async fn decide(self: &Arc<Self>, id: &OrderId, decision: Decision, note: &str) -> Result<Review> {
        let note = noted(note)?;
        if let Some(problem) = self.settle_lapsed(id).await? {
            let detail = format!("Order {id} can't be decided: {}", problem.detail);
            return Err(Error::new(Kind::Conflict, detail));
        }
        let job = match decision {
            Decision::Reject => {
                settle(|| self.reject(id, &note)).await?;
                None
            }
            Decision::Approve => Some(settle(|| self.approve(id, &note)).await?),
        };
        if let Some((job, ticket)) = job {
            let waited_for = job.id.clone();
            self.start_with(job, Some(ticket));
            self.worker.wait(&waited_for, self.challenge_wait()).await;
        }
        self.review(id).await
    }

    async fn reject(&self, id: &OrderId, note: &str) -> Result<(), Stop> {
        let (view, since) = self.at_the_desk(id).await?;
        let now = self.now();
        // REVIEW-11: the cause is told.
        let problem = Problem::new(Kind::Unauthorized, format!("Review refused: {note}"));
        let rejected = (*view.order).clone().reject(problem, now)?;
        let act = Act::ReviewDecided { order: id.clone(), approved: false, note: note.to_owned() };
        let batch = Batch::of(act, now).replace(&view.order, &rejected).unindex(&Index::InReview(since, id.as_str()));
        self.records.commit(batch).await?;
        metrics::counter!(telemetry::ORDERS_FAILED).increment(1);
        Ok(())
    }

    async fn approve(&self, id: &OrderId, note: &str) -> Result<(Job, Ticket), Stop> {
        let (view, since) = self.at_the_desk(id).await?;
        let now = self.now();
        let account = self.account(&view.order.account).await?;
        let (serial, job) = (Serial::random(), Job::new(Work::Issue { order: id.clone() }, now));
        let approved = (*view.order).clone().approve(serial, job.id.clone(), &view.plain_authzs(), now)?;
        let act = Act::ReviewDecided { order: id.clone(), approved: true, note: note.to_owned() };
        let ticket = match &approved.phase {
            Phase::Issuing { csr, .. } => Ticket::of(csr)?,
            _ => return Err(Error::internal(format!("order {id} was approved and is not being issued")).into()),
        };
        let mut batch = Batch::of(act, now)
            .and(Act::OrderFinalized { order: id.clone(), serial }, now)
            .check(&account)
            .replace(&view.order, &approved)
            .unindex(&Index::InReview(since, id.as_str()))
            .insert(&SerialEntry { serial, purpose: id.to_string(), at: now })
            .insert(&job);
        batch = view.authzs.iter().fold(batch, |batch, authz| batch.check(authz));
        for cause in &approved.causes {
            // WORD-04: what a person found harmless once needs no second look.
            let (holder, name) = (account.holder(), cause.name.clone());
            let act = Act::NameCleared { holder: holder.clone(), name: name.clone(), note: note.to_owned() };
            batch = batch.and(act, now).put(&Clearance { holder, name, at: now, note: note.to_owned() });
        }
        self.records.commit(batch).await?;
        Ok((job, ticket))
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

/// What a person wrote about a decision.
fn noted(note: &str) -> Result<String> {
    let note = note.trim();
    if note.is_empty() || note.len() > 1000 || note.chars().any(char::is_control) {
        return Err(Error::malformed("Say why, in 1 to 1000 characters without control characters."));
    }
    Ok(note.to_owned())
}
