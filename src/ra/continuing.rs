//! The certificate that follows a paid one: seen to by the server from 30 days before its end on (VALIDITY-04, BUY-07), or
//! asked for by its holder (RENEW-05).

use std::sync::Arc;
use std::time::Duration;

use super::placing::names_digest;
use super::worker::Next;
use super::{NewApplication, NewPurchase, OrderView, Pay, Ra, Stop, settle};
use crate::domain::account::Account;
use crate::domain::audit::Act;
use crate::domain::authz::AuthzState;
use crate::domain::certificate::Certificate;
use crate::domain::hand_order::HandOrder;
use crate::domain::job::{Job, Work};
use crate::domain::notice::{Notice, Topic};
use crate::domain::order::{Order, OrderStatus, Phase, Purpose};
use crate::domain::plan::Method;
use crate::domain::purchase::{LastTerm, Purchase};
use crate::domain::{CustomerId, Error, Kind, OrderId, PurchaseId, Result, Serial, Timestamp};
use crate::policy::catalog::{Sale, days};
use crate::policy::succession::{self, Follower, Situation, Step, Successor};
use crate::store::records::{Batch, Index, Stored, target};

/// How long the server rests between two looks at what is to follow.
const DAY: Duration = Duration::from_secs(86_400);

/// On every so manieth day its holder is told again why nothing follows yet.
const TOLD_EVERY: u32 = 7;

/// A renewal that a holder asks for (RENEW-06).
#[derive(Debug, Clone)]
pub struct NewRenewal {
    /// Whether the data that is taken over is right (RENEW-05).
    pub confirmed: bool,
    /// Another CSR, DER; none: that of the certificate that ends.
    pub csr: Option<Vec<u8>>,
    /// How control of the names is shown; none: as before.
    pub method: Option<Method>,
    /// Years; none: the fewest that are sold.
    pub years: Option<u32>,
    /// How it is paid, if it is to be paid.
    pub pay: Pay,
}

/// What a renewal came to.
#[derive(Debug)]
pub struct Renewed {
    /// The order of the new certificate.
    pub order: OrderView,
    /// The purchase that pays for it.
    pub purchase: Option<PurchaseId>,
    /// What comes next (RENEW-07 to RENEW-11).
    pub next: &'static str,
}

/// A certificate whose end is near, and what belongs to it.
struct Ending {
    certificate: Certificate,
    order: Order,
    account: Account,
    customer: CustomerId,
}

impl Ra {
    /// The job of a day near a certificate's end.
    pub(super) async fn see_to_follower(
        self: &Arc<Self>,
        job: &Stored<Job>,
        purchase: &PurchaseId,
        serial: &Serial,
    ) -> Result<Next> {
        let Some(read) = self.records.find::<Purchase>(purchase).await? else { return self.drop_job(job).await };
        let ending = self.ending(serial).await?;
        let (step, failed) = self.due_step(&read, &ending).await?;
        let outcome = match step {
            Step::Nothing => return self.drop_job(job).await,
            Step::Wait => self.take_up(&ending).await,
            Step::Apply | Step::Buy => self.carry_on(step, &read.id, &ending).await,
        };
        let applied = matches!(step, Step::Apply | Step::Buy);
        let told = match &outcome {
            Err(error) if error.kind() == Kind::ServerInternal => return outcome.map(|_| Next::Done),
            Err(error) => Some(not_continued(&read, &ending, step, error, self.now())),
            Ok(_) => failed.filter(|_| applied).map(|why| applied_again(&read, &ending, &why, self.now())),
        };
        let Work::Continue { tries, besides, .. } = job.work else { return self.drop_job(job).await };
        let told = told.filter(|_| besides || tries.is_multiple_of(TOLD_EVERY) || outcome.is_ok());
        let outcome = outcome.map_or_else(|error| error.problem().detail.clone(), str::to_owned);
        settle(|| self.look_tomorrow(job, told.clone(), &outcome)).await
    }

    /// Buys if that is due, and applies.
    async fn carry_on(self: &Arc<Self>, step: Step, purchase: &PurchaseId, ending: &Ending) -> Result<&'static str> {
        let application = self.application(ending, &NewRenewal::automatic(), true).await?;
        let due = match step {
            Step::Buy => settle(|| self.pay_for_follower(&ending.certificate.serial, purchase, None)).await?,
            other => other,
        };
        if due != Step::Apply {
            return Ok("waits");
        }
        self.apply(application).await?;
        Ok(if step == Step::Buy { "bought and applied" } else { "applied" })
    }

    /// One commit ends a look: what its holder must know, and the look of the next day.
    async fn look_tomorrow(&self, job: &Stored<Job>, told: Option<Notice>, outcome: &str) -> Result<Next, Stop> {
        let Work::Continue { purchase, certificate, tries, besides } = job.work.clone() else {
            return Err(Error::internal("a job that sees to no certificate looked at one").into());
        };
        let now = self.now();
        let act = Act::RenewalLookedAt { purchase: purchase.clone(), certificate, outcome: outcome.to_owned() };
        let batch = Batch::of(act, now).remove(job);
        // Each certificate has one sequence of daily looks.
        let next = Work::Continue { purchase, certificate, tries: tries + 1, besides };
        let batch = if besides { batch } else { batch.later(now + DAY, next) };
        self.records.commit(told.iter().fold(batch, Batch::notice)).await?;
        Ok(Next::Done)
    }

    /// The customer that a certificate was issued to; none if it was issued to an account of nobody's.
    pub async fn customer_of(&self, serial: &Serial) -> Result<Option<CustomerId>> {
        let certificate = self.certificate_of(serial).await?;
        Ok(self.closed(&certificate.account).await?.0.holder().customer().cloned())
    }

    async fn ending(&self, serial: &Serial) -> Result<Ending> {
        let certificate = self.certificate_of(serial).await?;
        let order = self.order_view(&certificate.order).await?.order.into_value();
        let account = self.closed(&certificate.account).await?.0.into_value();
        let customer = account.holder().customer().cloned();
        let customer = customer.ok_or_else(|| Error::not_found("The certificate is no customer's."))?;
        Ok(Ending { certificate, order, account, customer })
    }

    /// What is due, and why what was applied for came to nothing.
    async fn due_step(&self, purchase: &Purchase, ending: &Ending) -> Result<(Step, Option<String>)> {
        let (follower, failed) = self.follower(ending).await?;
        let last = match purchase.terms.last() {
            Some(order) => self.order_view(order).await?.as_last_term(),
            None => LastTerm::Settled,
        };
        let situation = Situation {
            purchase,
            begun: purchase.begun(&last),
            certificate: &ending.certificate,
            follower,
            successor: self.successor(purchase).await?,
            window_days: self.catalog().settings().renewal_window_days,
            now: self.now(),
        };
        Ok((succession::step(&situation), failed))
    }

    /// What its holder has for the names of a certificate besides it.
    async fn follower(&self, ending: &Ending) -> Result<(Follower, Option<String>)> {
        let Ending { certificate, account, .. } = ending;
        let row = Index::Held(&account.holder(), &names_digest(&certificate.identifiers), &certificate.product);
        let Some(held) = self.records.follow(&row).await? else { return Ok((Follower::None, None)) };
        let view = self.order_view(&target::<OrderId>(&held)?).await?;
        if view.order.id == certificate.order {
            return Ok((Follower::None, None));
        }
        Ok(match view.status() {
            OrderStatus::Valid => (Follower::Issued, None),
            OrderStatus::Invalid => (Follower::Failed, view.problem().map(|problem| problem.detail)),
            OrderStatus::Pending | OrderStatus::Ready | OrderStatus::Processing => (Follower::Open, None),
        })
    }

    /// What became of the purchase that follows that one.
    async fn successor(&self, purchase: &Purchase) -> Result<Successor> {
        let Some(id) = &purchase.follower else { return Ok(Successor::None) };
        let found = self.records.find::<Purchase>(id).await?;
        Ok(found.map_or(Successor::None, |found| match found.is_in_force() {
            true => Successor::InForce,
            false => Successor::GivenUp,
        }))
    }

    /// Buys what follows a purchase, if that is due by what is read here: two that ask at once buy once. What is due then.
    /// Without a holder who asks it is the server that buys (BUY-07).
    async fn pay_for_follower(
        &self,
        serial: &Serial,
        id: &PurchaseId,
        asked: Option<&NewRenewal>,
    ) -> Result<Step, Stop> {
        let (read, ending) = (self.stored_purchase(id).await?, self.ending(serial).await?);
        let wished = Purchase { auto_renew: read.auto_renew || asked.is_some(), ..(*read).clone() };
        let (step, _) = self.due_step(&wished, &ending).await?;
        if step != Step::Buy {
            return Ok(step);
        }
        let asked = asked.cloned().unwrap_or_else(NewRenewal::automatic);
        let wanted = NewPurchase {
            years: asked.years,
            pay: asked.pay,
            tags: read.tags.clone(),
            project: read.project.clone(),
            auto_renew: read.auto_renew,
            ..NewPurchase::of(read.customer.clone(), &read.product, read.names)
        };
        let (follower, batch) = self.buy(&wanted).await?;
        let followed = Purchase { follower: Some(follower.id), ..(*read).clone() };
        self.records.commit(batch.replace(&read, &followed)).await?;
        Ok(Step::Apply)
    }

    /// The application for the certificate that follows, with the data of the one that ends (RENEW-05). What could not be
    /// finalized is refused before it is paid.
    async fn application(&self, ending: &Ending, asked: &NewRenewal, automatic: bool) -> Result<NewApplication> {
        let Ending { certificate, order, account, customer } = ending;
        let csr = match &asked.csr {
            Some(csr) => csr.clone(),
            None => self.csr_again(order)?,
        };
        let purpose = Purpose::Renewal { of: certificate.serial };
        let renewal = Order { id: OrderId::random(), purpose, ..order.clone() };
        self.check_csr(account, &renewal, &csr).await?;
        let hand = self.records.find::<HandOrder>(&order.id).await?;
        let method = match asked.method {
            Some(method) => method,
            None => self.method_of(order).await?,
        };
        Ok(NewApplication {
            customer: customer.clone(),
            product: Some(certificate.product.clone()),
            names: certificate.identifiers.clone(),
            method,
            csr,
            key_pair: hand.filter(|_| asked.csr.is_none()).and_then(|hand| hand.key_pair.clone()),
            replaces: Some(certificate.serial),
            automatic,
        })
    }

    /// The CSR of an order that has its certificate, if it may serve again.
    fn csr_again(&self, order: &Order) -> Result<Vec<u8>> {
        if !self.catalog().settings().csr_reuse_on_auto_renew {
            let told = "The key of the earlier certificate may not serve again; renew with a new CSR (RENEW-06).";
            return Err(Error::new(Kind::BadCsr, told));
        }
        match &order.phase {
            Phase::Issued { csr, .. } => Ok(csr.clone()),
            _ => Err(Error::internal("an order with a certificate has no CSR")),
        }
    }

    /// Takes an order in hand that the server placed by an account of its own and, interrupted, left alone.
    async fn take_up(self: &Arc<Self>, ending: &Ending) -> Result<&'static str> {
        let row = Index::Held(
            &ending.account.holder(),
            &names_digest(&ending.certificate.identifiers),
            &ending.certificate.product,
        );
        let Some(held) = self.records.follow(&row).await? else { return Ok("waits") };
        let view = self.order_view(&target::<OrderId>(&held)?).await?;
        let left = matches!(view.status(), OrderStatus::Pending | OrderStatus::Ready)
            && self.is_of_the_house(&view.order.account, &ending.customer).await?
            && self.records.find::<HandOrder>(&view.order.id).await?.is_none();
        if !left {
            return Ok("waits");
        }
        let application = self.application(ending, &NewRenewal::automatic(), true).await?;
        settle(|| self.take_in_hand(&view.order.id, &application)).await?;
        Ok("taken in hand")
    }

    /// How control of an order's names was shown; what the server can't look for again is shown by dns-01.
    async fn method_of(&self, order: &Order) -> Result<Method> {
        let authzs = self.order_view(&order.id).await?.plain_authzs();
        let shown = authzs.iter().filter(|authz| !authz.wildcard).find_map(|authz| match authz.state {
            AuthzState::Valid { method: Method::Http01, .. } => Some(Method::Http01),
            _ => None,
        });
        Ok(shown.unwrap_or(Method::Dns01))
    }

    /// Renews a certificate for its holder (RENEW-02, RENEW-03, RENEW-05, RENEW-06): what was bought already pays, else a
    /// new purchase.
    pub async fn renew(self: &Arc<Self>, serial: &Serial, asked: NewRenewal) -> Result<Renewed> {
        let ending = self.ending(serial).await?;
        let catalog = self.catalog();
        let product = self.product_of(&catalog, &ending.certificate.product)?;
        succession::opened(&product, &ending.certificate, catalog.settings().renewal_window_days, self.now())?;
        let purchase = match (&product.sale, &ending.order.purchase) {
            (Sale::Paid(_), Some(purchase)) => Some(self.stored_purchase(purchase).await?.into_value()),
            _ => None,
        };
        if !asked.confirmed {
            return Err(self.to_be_confirmed(&ending, purchase.as_ref(), &asked));
        }
        let application = self.application(&ending, &asked, false).await?;
        if let Some(purchase) = &purchase {
            renewable(settle(|| self.pay_for_follower(serial, &purchase.id, Some(&asked))).await?)?;
        }
        let order = self.apply(application).await?;
        let purchase = order.order.purchase.clone();
        Ok(Renewed { order, purchase, next: succession::next(&catalog, &product) })
    }

    /// RENEW-05: the data that is taken over, to be confirmed and paid.
    fn to_be_confirmed(&self, ending: &Ending, purchase: Option<&Purchase>, asked: &NewRenewal) -> Error {
        let names = ending.certificate.identifiers.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let price = purchase.and_then(|bought| self.quote(&bought.product, bought.names, asked.years).ok());
        let price =
            price.map_or_else(|| "nothing".to_owned(), |quote| format!("{} USD if no year is left", quote.total));
        Error::new(
            Kind::UserActionRequired,
            format!(
                "Confirm the data that is taken over with \"confirm\": true: \"{}\" for {names}; price: {price} (RENEW-05).",
                ending.certificate.product
            ),
        )
    }

    /// Adds to the batch of a paid certificate what comes of it: a look at what is to follow, before it ends, and the word
    /// to install it where it follows another.
    pub(super) fn foresee(
        &self,
        batch: Batch,
        order: &Order,
        certificate: &Certificate,
        customer: &CustomerId,
    ) -> Batch {
        let Some(purchase) = order.purchase.clone() else { return batch };
        let opens = certificate.not_after - days(self.catalog().settings().renewal_window_days);
        let work =
            Work::Continue { purchase: purchase.clone(), certificate: certificate.serial, tries: 0, besides: false };
        let batch = batch.later(opens, work);
        match order.purpose {
            Purpose::Renewal { of } => batch.notice(&to_be_installed(customer, certificate, &purchase, &of)),
            _ => batch,
        }
    }
}

impl NewRenewal {
    /// The renewal that nobody has to ask for.
    fn automatic() -> Self {
        Self { confirmed: true, csr: None, method: None, years: None, pay: Pay::Balance { coupons: None } }
    }
}

/// Refuses a renewal of which nothing is to be done.
fn renewable(step: Step) -> Result<()> {
    let told = match step {
        Step::Apply | Step::Buy => return Ok(()),
        Step::Wait => "The next certificate is applied for already; see the orders of its purchase.",
        Step::Nothing => {
            "The certificate is renewed already, has ended or was revoked, or the purchase that follows was canceled or \
             refunded: nothing of it is to be renewed. Buy anew, and order for the same names (BUY-03)."
        }
    };
    Err(Error::new(Kind::Conflict, told))
}

/// VALIDITY-05, RENEW-01
fn to_be_installed(customer: &CustomerId, certificate: &Certificate, purchase: &PurchaseId, old: &Serial) -> Notice {
    let text = format!("The certificate {} follows {old}. {}", certificate.serial, succession::ADVICE[1..].join(" "));
    let subject = "Install the renewed certificate in place of the old one";
    Notice::new(customer, (Topic::Issue, "certificate-renewed"), subject, text, certificate.issued)
        .of_order(&certificate.order)
        .of_certificate(certificate.serial)
        .of_purchase(purchase)
}

/// BUY-07, VALIDITY-04: why nothing follows yet.
fn not_continued(purchase: &Purchase, ending: &Ending, step: Step, error: &Error, now: Timestamp) -> Notice {
    let (event, subject) = match (step, error.kind()) {
        (Step::Buy, Kind::UserActionRequired) => {
            ("auto-renewal-skipped", "Auto-renewal skipped: balance too low".to_owned())
        }
        _ => (
            "renewal-failed",
            format!("The follow-up of certificate {} could not be applied for", ending.certificate.serial),
        ),
    };
    let text = format!(
        "{} The certificate ends at {}; the server tries again every day until then (VALIDITY-04, BUY-07).",
        error.problem().detail,
        ending.certificate.not_after
    );
    Notice::new(&purchase.customer, (Topic::Billing, event), subject, text, now)
        .of_certificate(ending.certificate.serial)
        .of_purchase(&purchase.id)
}

/// VALIDITY-04: what was applied for came to nothing, and was applied for again.
fn applied_again(purchase: &Purchase, ending: &Ending, why: &str, now: Timestamp) -> Notice {
    let subject =
        format!("The follow-up of certificate {} failed and was applied for again", ending.certificate.serial);
    let text = format!("{why} The certificate ends at {} (VALIDITY-04).", ending.certificate.not_after);
    Notice::new(&purchase.customer, (Topic::Issue, "renewal-failed"), subject, text, now)
        .of_certificate(ending.certificate.serial)
        .of_purchase(&purchase.id)
}
