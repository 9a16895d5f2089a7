//! Messages to customers: the message centre, and the stored deliveries to everybody who is to have them. A delivery is
//! marked in the batch that ends its job, so none is lost; it has one name, so what comes twice is known as the same.

use std::sync::Arc;

use serde_json::json;

use super::worker::Next;
use super::{Ra, Stop, settle};
use crate::domain::audit::Act;
use crate::domain::channel::{Channel, Way};
use crate::domain::customer::Customer;
use crate::domain::delivery::{Delivery, DeliveryState, Recipient, recipients};
use crate::domain::job::{Job, Work};
use crate::domain::notice::Notice;
use crate::domain::{CustomerId, Error, NoticeId, Result};
use crate::post::{Mail, Outcome, Webhook};
use crate::store::StoreError;
use crate::store::records::{Batch, Index, Rows, Stored, target};
use crate::telemetry;

/// A message, and what became of its deliveries.
#[derive(Debug)]
pub struct NoticeView {
    /// The message.
    pub notice: Notice,
    /// Its deliveries; none before it is sent, or when nobody is to have it.
    pub deliveries: Vec<Delivery>,
}

impl Ra {
    /// Up to `limit` messages of a customer, the newest first, behind that one.
    pub async fn notices(&self, customer: &CustomerId, after: Option<&NoticeId>, limit: usize) -> Result<Vec<Notice>> {
        let after = match after {
            Some(id) => {
                let notice = self.notice_of(id).await?;
                Some(Index::NoticeOfCustomer(customer, notice.at, id).id())
            }
            None => None,
        };
        let rows = self.records.rows(&Rows::NoticesOfCustomer(customer), after, limit).await?;
        let ids = rows.iter().map(|(_, id)| target::<NoticeId>(id)).collect::<Result<Vec<_>, _>>()?;
        Ok(self.records.find_all::<Notice>(&ids).await?.into_iter().flatten().map(Stored::into_value).collect())
    }

    /// The message of that id.
    pub async fn notice(&self, id: &NoticeId) -> Result<NoticeView> {
        let notice = self.notice_of(id).await?.into_value();
        let found = self.records.list::<Delivery>(format!("{id}/").as_bytes(), None, 100).await?;
        Ok(NoticeView { notice, deliveries: found.into_iter().map(Stored::into_value).collect() })
    }

    async fn notice_of(&self, id: &NoticeId) -> Result<Stored<Notice>> {
        let found = self.records.find::<Notice>(id).await?;
        found.ok_or_else(|| Error::not_found(format!("There is no message {id}.")))
    }

    /// Notes that the customer has read a message; a second time changes nothing.
    pub async fn mark_read(&self, id: &NoticeId) -> Result<Notice> {
        settle(|| async {
            let read = self.notice_of(id).await?;
            if read.read.is_some() {
                return Ok(read.into_value());
            }
            let now = self.now();
            let notice = Notice { read: Some(now), ..(*read).clone() };
            let act = Act::NoticeRead { notice: id.clone() };
            self.records.commit(Batch::of(act, now).replace(&read, &notice)).await?;
            Ok(notice)
        })
        .await
    }

    /// The job that sends a message: in one commit it becomes a delivery, and a job, for each recipient.
    pub(super) async fn notify(self: &Arc<Self>, job: &Stored<Job>, id: &NoticeId) -> Result<Next> {
        let Some(notice) = self.records.find::<Notice>(id).await? else { return self.drop_job(job).await };
        let to = self.recipients(&notice).await?;
        let now = self.now();
        let mut batch = Batch::of(Act::NoticeSent { notice: id.clone(), recipients: to.len() }, now).remove(job);
        let mut jobs = Vec::with_capacity(to.len());
        for to in to {
            let next = Job::new(Work::Deliver { notice: id.clone(), to: to.clone() }, now);
            let row = Index::Waiting(id, &to);
            batch = batch.insert(&next).index(&row, id.as_str()).insert(&Delivery::new(id, to.clone(), now));
            jobs.push(next);
        }
        match self.records.commit(batch).await {
            Ok(()) => jobs.into_iter().for_each(|job| self.start(job)),
            // Another node was first: then the job is gone.
            Err(StoreError::Conflict(_)) => return Ok(Next::At(now)),
            Err(error) => return Err(error.into()),
        }
        Ok(Next::Done)
    }

    async fn recipients(&self, notice: &Notice) -> Result<Vec<Recipient>> {
        let channels = self.channels(&notice.customer).await?;
        let subscription = self.subscription(&notice.customer).await?.value;
        let customer = self.records.find::<Customer>(&notice.customer).await?;
        let email = customer.and_then(|customer| customer.into_value().email);
        Ok(recipients(notice, &subscription, &channels, email.as_deref()))
    }

    /// The job that hands a message to one recipient. Between the handing over and its commit a crash may come: then it is
    /// handed over again, under the same name.
    pub(super) async fn deliver(&self, job: &Stored<Job>, notice: &NoticeId, to: &Recipient) -> Result<Next> {
        let delivery = self.records.find::<Delivery>(Delivery::name(notice, to)).await?;
        if delivery.is_none_or(|delivery| delivery.tries().is_none()) {
            return self.drop_job(job).await;
        }
        let outcome = self.hand_over(notice, to).await?;
        settle(|| self.settle_delivery(job, notice, to, &outcome)).await
    }

    async fn hand_over(&self, id: &NoticeId, to: &Recipient) -> Result<Outcome> {
        let notice = self.notice_of(id).await?;
        let way = match to {
            Recipient::Customer => self.customer(&notice.customer).await?.email.map(|address| Way::Email { address }),
            Recipient::Channel(id) => self.records.find::<Channel>(id).await?.map(|channel| channel.into_value().way),
        };
        let Some(way) = way else { return Ok(Outcome::Refused("the channel was removed".to_owned())) };
        let call = |url, secret: &str, body: serde_json::Value| Webhook {
            url,
            secret: secret.to_owned(),
            id: Delivery::name(id, to),
            body: body.to_string(),
        };
        Ok(match way {
            Way::Email { address } => self.post.mail(&mail(&notice, address)).await,
            Way::Webhook { url, secret } => self.post.call(&call(url, &secret, told(&notice)), self.now()).await,
            Way::SmsGateway { number, url, secret } => {
                let body = json!({ "id": notice.id, "to": number, "text": short(&notice) });
                self.post.call(&call(url, &secret, body), self.now()).await
            }
        })
    }

    async fn settle_delivery(
        &self,
        job: &Stored<Job>,
        notice: &NoticeId,
        to: &Recipient,
        outcome: &Outcome,
    ) -> Result<Next, Stop> {
        let read = self.records.find::<Delivery>(Delivery::name(notice, to)).await?;
        let Some((read, tries)) = read.and_then(|read| read.tries().map(|tries| (read, tries))) else {
            return Ok(self.drop_job(job).await?);
        };
        let now = self.now();
        let (id, recipient) = (notice.clone(), to.clone());
        let next_try = self.post.settings().next_try(read.begun, tries, now);
        let (act, state, counted) = match (outcome, next_try) {
            (Outcome::Delivered, _) => {
                (Act::NoticeDelivered { notice: id, to: recipient }, DeliveryState::Delivered { at: now }, "delivered")
            }
            (Outcome::Later(failure), Some(until)) => (
                Act::DeliveryPutOff { notice: id, to: recipient, until },
                DeliveryState::Waiting { tries: tries + 1, failure: Some(failure.clone()) },
                "put_off",
            ),
            (Outcome::Later(failure), None) | (Outcome::Refused(failure), _) => (
                Act::DeliveryGivenUp { notice: id, to: recipient, failure: failure.clone() },
                DeliveryState::GivenUp { at: now, failure: failure.clone() },
                "given_up",
            ),
        };
        let next = (*read).clone().now_in(state);
        let batch = Batch::of(act, now).replace(&read, &next).remove(job);
        let batch = match (next.tries(), next_try) {
            (Some(_), Some(until)) => batch.later(until, job.work.clone()),
            _ => batch.unindex(&Index::Waiting(notice, to)),
        };
        self.records.commit(batch).await?;
        metrics::counter!(telemetry::DELIVERIES, "outcome" => counted).increment(1);
        if let DeliveryState::GivenUp { .. } = next.state {
            // Why stands in the record: what the other side says may hold addresses.
            tracing::error!(%notice, to = to.as_str(), tries, "a message to a customer was given up");
        }
        Ok(Next::Done)
    }

    /// Counts the messages that are on their way, for operators.
    pub async fn measure_deliveries(&self) -> Result<usize> {
        let waiting = self.records.rows(&Rows::WaitingDeliveries, None, 100_000).await?.len();
        metrics::gauge!(telemetry::DELIVERIES_WAITING).set(waiting as f64);
        Ok(waiting)
    }
}

fn mail(notice: &Notice, to: String) -> Mail {
    let (id, subject, text) = (notice.id.clone(), notice.subject.clone(), notice.text.clone());
    Mail { id, to, subject, text, at: notice.at }
}

/// A message for programs.
fn told(notice: &Notice) -> serde_json::Value {
    json!({
        "id": notice.id,
        "topic": notice.topic,
        "event": notice.event,
        "subject": notice.subject,
        "text": notice.text,
        "customer": notice.customer,
        "order": notice.order,
        "certificate": notice.certificate.map(|serial| serial.to_string()).or(notice.upload.as_ref().map(ToString::to_string)),
        "purchase": notice.purchase,
        "at": notice.at.to_string(),
    })
}

/// A message as short as an SMS.
fn short(notice: &Notice) -> String {
    notice.subject.chars().take(160).collect()
}
