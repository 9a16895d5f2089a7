//! What customers are told of their orders: validation, issuance, quotas. Accounts without a customer have no messages.

use super::portfolio::customer_behind;
use super::worker::Next;
use super::{OrderView, Ra};
use crate::domain::account::Account;
use crate::domain::audit::Act;
use crate::domain::authz::{Authorization, AuthzState, AuthzStatus};
use crate::domain::certificate::Certificate;
use crate::domain::job::{Job, Work};
use crate::domain::notice::{Notice, Topic};
use crate::domain::order::Order;
use crate::domain::{CustomerId, Error, Identifier, OrderId, Problem, Result, Timestamp};
use crate::policy::quota::Usage;
use crate::store::StoreError;
use crate::store::records::{Batch, Stored};

/// A quota is nearly used up when at most one in so many is left.
const NEARLY: u32 = 10;

/// Adds to the batch of a new order: control of names is to be shown, by when; and another look when that time is over.
pub(super) fn tell_validation(
    batch: Batch,
    customer: Option<&CustomerId>,
    order: &Order,
    authzs: &[&Authorization],
    now: Timestamp,
) -> Batch {
    let open: Vec<&&Authorization> = authzs.iter().filter(|authz| authz.status(now) == AuthzStatus::Pending).collect();
    let (Some(customer), Some(until)) = (customer, open.iter().map(|authz| authz.expires).min()) else { return batch };
    let names: Vec<String> = open.iter().map(|authz| authz.ordered_name()).collect();
    // REVIEW-12, DIAG-26
    let text = format!(
        "Control of {} is to be shown by {until}, by one of the challenges of the order: a file, a DNS record or a TLS \
         answer. ACME clients do so by themselves. The order's status follows with a delay, also when a mail of the CA came \
         before; no action is needed (DIAG-26).",
        names.join(", ")
    );
    let subject = format!("Validation is required for {}", called(&order.identifiers));
    let notice =
        Notice::new(customer, (Topic::Validation, "validation-required"), subject, text, now).of_order(&order.id);
    batch.notice(&notice).later(until, Work::Lapse { order: order.id.clone() })
}

/// Adds to the batch that settles a validation: it failed, why and what to do.
pub(super) fn tell_refuted(batch: Batch, account: &Account, name: &str, problem: &Problem, now: Timestamp) -> Batch {
    let Some(customer) = customer_behind(account) else { return batch };
    let text = format!("Validation of {name} failed. {} Put it right and place a new order.", problem.detail);
    let subject = format!("Validation of {name} failed");
    batch.notice(&Notice::new(&customer, (Topic::Validation, "validation-failed"), subject, text, now))
}

/// Adds to the batch that issues: the certificate is there (REVIEW-13), and from now on its end is looked after (RENEW-04).
pub(super) fn tell_issued(batch: Batch, account: &Account, certificate: &Certificate) -> Batch {
    let Some(customer) = customer_behind(account) else { return batch };
    let serial = certificate.serial.to_string();
    let names: Vec<String> = certificate.identifiers.iter().map(ToString::to_string).collect();
    let text = format!(
        "The certificate {serial} for {} was issued and is valid until {}. Download it and install it now; if it follows \
         another, install it in place of that one.",
        names.join(", "),
        certificate.not_after
    );
    let subject = format!("The certificate for {} was issued", called(&certificate.identifiers));
    let notice = Notice::new(&customer, (Topic::Issue, "certificate-issued"), subject, text, certificate.issued)
        .of_order(&certificate.order)
        .of_certificate(certificate.serial);
    super::expiry::watch_end(batch.notice(&notice), &customer, certificate.not_after, &serial, names)
}

/// Adds to the batch that ends an order: it came to nothing, why and what to do (REVIEW-13).
pub(super) fn tell_failed(batch: Batch, account: &Account, order: &Order, problem: &Problem, now: Timestamp) -> Batch {
    let Some(customer) = customer_behind(account) else { return batch };
    let called = called(&order.identifiers);
    let text = format!("The certificate for {called} could not be issued. {} Then place a new order.", problem.detail);
    let subject = format!("The certificate for {called} could not be issued");
    let about = (Topic::Issue, "issuance-failed");
    batch.notice(&Notice::new(&customer, about, subject, text, now).of_order(&order.id))
}

impl Ra {
    /// The job that looks at an order when the time for showing control is over.
    pub(super) async fn tell_lapse(&self, job: &Stored<Job>, id: &OrderId) -> Result<Next> {
        let view = self.order_view(id).await?;
        let account = self.records.find::<Account>(&view.order.account).await?;
        let customer = account.as_deref().and_then(customer_behind);
        let (Some(customer), Some(late)) = (customer, lapsed(&view)) else { return self.drop_job(job).await };
        let text = format!("Control of {} was not shown in time. {}", late.ordered_name(), late.lapse().detail);
        let subject = format!("Validation of {} timed out", late.ordered_name());
        let about = (Topic::Validation, "validation-timed-out");
        let notice = Notice::new(&customer, about, subject, text, view.now).of_order(id);
        let batch = Batch::of(Act::LapseTold { order: id.clone() }, view.now).remove(job).notice(&notice);
        match self.records.commit(batch).await {
            Ok(()) | Err(StoreError::Conflict(_)) => Ok(Next::Done),
            Err(error) => Err(error.into()),
        }
    }

    /// What is to be told of quotas of which another slot was just taken, the holder's and the domain's; at most one message a
    /// day.
    pub(super) async fn quota_notice(
        &self,
        customer: &CustomerId,
        usages: [(Usage, String); 2],
    ) -> Result<Option<Notice>> {
        let Some((usage, what)) = usages
            .into_iter()
            .filter(|(usage, _)| is_nearly_exhausted(usage))
            .max_by_key(|(usage, _)| usage.is_exhausted())
        else {
            return Ok(None);
        };
        let text = format!(
            "{} {what} are in use, of {}. A certificate that ends, and for your account one that is revoked, makes room again; \
             a package of free certificates or a paid product does too.",
            usage.used,
            usage.total.unwrap_or_default()
        );
        let (event, subject) = match usage.is_exhausted() {
            true => ("quota-used-up", "The quota of free certificates is used up"),
            false => ("quota-nearly-used-up", "The quota of free certificates is nearly used up"),
        };
        self.once_a_day(Notice::new(customer, (Topic::Quota, event), subject, text, self.now())).await
    }

    /// Tells a customer that an order was refused because a quota is used up; at most once a day.
    pub(super) async fn tell_quota_refusal(&self, customer: &CustomerId, refusal: &Error) -> Result<()> {
        let text = format!("An order was refused. {}", refusal.problem().detail);
        let about = (Topic::Quota, "quota-used-up");
        let notice = Notice::new(customer, about, "The quota of free certificates is used up", text, self.now());
        let Some(notice) = self.once_a_day(notice).await? else { return Ok(()) };
        let act = Act::QuotaTold { customer: customer.clone() };
        match self.records.commit(Batch::of(act, notice.at).notice(&notice)).await {
            Ok(()) | Err(StoreError::Conflict(_)) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// The message, unless one of its kind was told on the same day.
    async fn once_a_day(&self, notice: Notice) -> Result<Option<Notice>> {
        let day = (notice.at.as_secs() / 86_400).to_string();
        let event = notice.event.clone();
        let customer = notice.customer.clone();
        let notice = notice.once_of(&["quota", customer.as_str(), &event, &day]);
        let told = self.records.find::<Notice>(&notice.id).await?;
        Ok(told.is_none().then_some(notice))
    }
}

/// An authorization of the order that was not proven in time.
fn lapsed(view: &OrderView) -> Option<&Authorization> {
    let late = |authz: &&Stored<Authorization>| {
        matches!(authz.state, AuthzState::Pending { .. }) && authz.status(view.now) == AuthzStatus::Invalid
    };
    view.authzs.iter().find(late).map(|authz| &**authz)
}

/// Whether little is left of a quota.
pub(super) fn is_nearly_exhausted(usage: &Usage) -> bool {
    usage.total.is_some_and(|total| total.saturating_sub(usage.used) <= total / NEARLY)
}

/// The first name, and how many others there are.
fn called(names: &[Identifier]) -> String {
    match names {
        [] => "no name".to_owned(),
        [one] => one.to_string(),
        [first, others @ ..] => format!("{first} and {} more", others.len()),
    }
}
