//! The review desk: orders that a person must look at, what was decided, and names that were cleared for good.

use std::sync::Arc;

use super::{OrderView, Ra, settle};
use crate::domain::account::{Account, Holder};
use crate::domain::audit::Act;
use crate::domain::customer::Clearance;
use crate::domain::job::{Job, Work};
use crate::domain::order::{Order, Phase};
use crate::domain::{Error, Kind, OrderId, Problem, Result, Serial, Timestamp};
use crate::store::records::{Batch, Index, Rows, SerialEntry, clearance_id, target};
use crate::telemetry;

/// What a reviewer decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// The certificate is made, and the names are cleared for the holder.
    Approve,
    /// The order ends.
    Reject,
}

impl Ra {
    /// Up to `limit` orders that wait for a person, the one that waits longest first, behind that one.
    pub async fn reviews(&self, after: Option<&OrderId>, limit: usize) -> Result<Vec<Order>> {
        let after = match after {
            Some(id) => self.waiting_since(id).await?.map(|since| Index::InReview(since, id).id()),
            None => None,
        };
        let rows = self.records.rows(&Rows::InReview, after, limit).await?;
        let ids = rows.iter().map(|(_, id)| target::<OrderId>(id)).collect::<Result<Vec<_>, _>>()?;
        let found = self.records.find_all::<Order>(&ids).await?;
        Ok(found.into_iter().flatten().map(|order| order.into_value()).collect())
    }

    /// An order that waits, or waited, for a person.
    pub async fn review(&self, id: &OrderId) -> Result<OrderView> {
        let view = self.order_view(id).await?;
        match view.order.causes.is_empty() {
            true => Err(Error::not_found(format!("Order {id} needs no review."))),
            false => Ok(view),
        }
    }

    async fn waiting_since(&self, id: &OrderId) -> Result<Option<Timestamp>> {
        Ok(match self.order_view(id).await?.order.phase {
            Phase::Review { since, .. } => Some(since),
            _ => None,
        })
    }

    /// Decides an order that waits; approval has it issued.
    pub async fn decide(self: &Arc<Self>, id: &OrderId, decision: Decision, note: &str) -> Result<OrderView> {
        let note = noted(note)?;
        let job = settle(|| async {
            let view = self.order_view(id).await?;
            let Phase::Review { since, .. } = view.order.phase else {
                return Err(Error::new(Kind::Conflict, format!("Order {id} is not waiting for a review.")).into());
            };
            let now = self.now();
            let act =
                Act::ReviewDecided { order: id.clone(), approved: decision == Decision::Approve, note: note.clone() };
            let batch = Batch::of(act, now).unindex(&Index::InReview(since, id));
            let order = (*view.order).clone();
            match decision {
                Decision::Reject => {
                    // REVIEW-11: the cause is told.
                    let problem = Problem::new(Kind::Unauthorized, format!("Review refused: {note}"));
                    let rejected = order.reject(problem, now)?;
                    self.records.commit(batch.replace(&view.order, &rejected)).await?;
                    metrics::counter!(telemetry::ORDERS_FAILED).increment(1);
                    Ok(None)
                }
                Decision::Approve => {
                    let holder = self.account(&order.account).await?.holder();
                    let (serial, job) = (Serial::random(), Job::new(Work::Issue { order: id.clone() }, now));
                    let approved = order.approve(serial, job.id.clone(), now)?;
                    let mut batch = batch
                        .replace(&view.order, &approved)
                        .insert(&SerialEntry { serial, purpose: id.to_string(), at: now })
                        .insert(&job);
                    for cause in &approved.causes {
                        let clearance =
                            Clearance { holder: holder.clone(), name: cause.name.clone(), at: now, note: note.clone() };
                        batch = batch.put(&clearance);
                    }
                    self.records.commit(batch).await?;
                    Ok(Some(job))
                }
            }
        })
        .await?;
        if let Some(job) = job {
            let waited_for = job.id.clone();
            self.start(job);
            self.worker.wait(&waited_for, self.challenge_wait()).await;
        }
        self.order_view(id).await
    }

    /// Clears a name for a holder: no word in it stands in the way any more (WORD-04).
    pub async fn clear_name(&self, holder: &Holder, name: &str, note: &str) -> Result<Clearance> {
        let name = crate::domain::DnsName::parse(name)?;
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
        settle(|| async {
            let found = self.records.find::<Clearance>(clearance_id(holder, name)).await?;
            let found = found.ok_or_else(|| Error::not_found("There is no such clearance."))?;
            let act = Act::ClearanceWithdrawn { holder: holder.clone(), name: found.name.clone() };
            Ok(self.records.commit(Batch::of(act, self.now()).remove(&found)).await?)
        })
        .await
    }

    /// Up to `limit` clearances of a holder, behind that name.
    pub async fn clearances(&self, holder: &Holder, after: Option<&str>, limit: usize) -> Result<Vec<Clearance>> {
        let after = after.map(|name| clearance_id(holder, name));
        let found = self.records.list::<Clearance>(&clearance_id(holder, ""), after, limit).await?;
        Ok(found.into_iter().map(|clearance| clearance.into_value()).collect())
    }

    /// Whether there is such a holder.
    pub(super) async fn known_holder(&self, holder: &Holder) -> Result<()> {
        match holder {
            Holder::Customer(id) => drop(self.customer(id).await?),
            Holder::Account(id) => drop::<crate::store::records::Stored<Account>>(self.account(id).await?),
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
