//! Giving up what nothing was issued for: canceling an application or a purchase, and the refund.

use super::buying::occasion;
use super::profiles::requeued;
use super::reviews::off_the_desk;
use super::{OrderView, Ra, Stop, settle};
use crate::domain::application::{Application, Stage};
use crate::domain::audit::Act;
use crate::domain::ledger::{Entry, Reason};
use crate::domain::notice::{Notice, Topic};
use crate::domain::order::{Order, OrderStatus, Phase};
use crate::domain::purchase::{Purchase, Standing};
use crate::domain::review::Matter;
use crate::domain::{Error, Kind, OrderId, Problem, PurchaseId, Result, Timestamp};
use crate::policy::refund::{self, Progress, Shares};
use crate::store::records::{Batch, Index, Stored};
use crate::telemetry;

impl Ra {
    /// Cancels an application before anything is issued (DELETE-03, REFUND-02). What paid for it is free again.
    pub async fn cancel_order(&self, id: &OrderId) -> Result<()> {
        settle(|| async {
            let view = self.order_view(id).await?;
            cancelable(&view)?;
            let now = self.now();
            let batch = give_up(Batch::of(Act::OrderCanceled { order: id.clone() }, now), &view.order, now);
            self.records.commit(batch).await?;
            metrics::counter!(telemetry::ORDERS_FAILED).increment(1);
            Ok(())
        })
        .await
    }

    /// Cancels what a purchase was made for, its open application with it (REFUND-02): what is left is the refund.
    pub async fn cancel_purchase(&self, id: &PurchaseId) -> Result<()> {
        settle(|| self.cancel_purchase_once(id)).await
    }

    async fn cancel_purchase_once(&self, id: &PurchaseId) -> Result<(), Stop> {
        let read = self.stored_purchase(id).await?;
        let views = self.term_views(&read).await?;
        let application = self.application_due(&read).await?;
        refund::cancel(&read, progress(&views, application.as_deref()))?;
        let now = self.now();
        let canceled = Purchase { standing: Standing::Canceled { at: now }, ..(*read).clone() };
        let mut batch = Batch::of(Act::PurchaseCanceled { purchase: id.clone() }, now)
            .replace(&read, &canceled)
            .unindex(&Index::OpenPurchase(&read.customer, &read.product, id));
        if let Some(read) = application {
            let (had, matter) = (read.waits_since(), Matter::Application(read.id.clone()));
            batch = requeued(batch.replace(&read, &(*read).clone().cancel(now)), &matter, had, None);
        }
        for view in &views {
            batch = match view.status() {
                OrderStatus::Invalid | OrderStatus::Valid => batch.check(&view.order),
                _ => {
                    cancelable(view)?;
                    give_up(batch.and(Act::OrderCanceled { order: view.order.id.clone() }, now), &view.order, now)
                }
            };
        }
        let told = format!(
            "The purchase of \"{}\" was canceled; it entitles to nothing any more. Have it refunded to get back what was \
             paid, but for discounts and vouchers (REFUND-03).",
            read.product
        );
        let notice = Notice::new(&read.customer, (Topic::Billing, "purchase-canceled"), "Purchase canceled", told, now);
        Ok(self.records.commit(batch.notice(&notice.of_purchase(id))).await?)
    }

    /// Refunds a purchase for which nothing was issued (REFUND-01 to REFUND-08). What went back where.
    pub async fn refund_purchase(&self, id: &PurchaseId, consent: bool) -> Result<Shares> {
        settle(|| self.refund_purchase_once(id, consent)).await
    }

    async fn refund_purchase_once(&self, id: &PurchaseId, consent: bool) -> Result<Shares, Stop> {
        let read = self.stored_purchase(id).await?;
        let views = self.term_views(&read).await?;
        let application = self.application_due(&read).await?;
        let shares = refund::refund(&read, progress(&views, application.as_deref()), consent)?;
        let now = self.now();
        // REFUND-04: no way leads back from here.
        let refunded = Purchase { standing: Standing::Refunded { at: now }, ..(*read).clone() };
        let postings = refund::postings(&read.payment, read.price);
        let entry = Entry::of(occasion(&read, Reason::Refund, now), postings)?;
        let act = Act::PurchaseRefunded {
            purchase: id.clone(),
            cash: shares.cash,
            gift: shares.gift,
            points: shares.points,
            outside: shares.outside,
        };
        // Neither the purchase nor an application of it has changed: none of them was issued meanwhile.
        let batch = views.iter().fold(Batch::of(act, now), |batch, view| batch.check(&view.order));
        let batch = application.iter().fold(batch, Batch::check);
        let batch = batch.replace(&read, &refunded).unindex(&Index::OpenPurchase(&read.customer, &read.product, id));
        let batch = self.books(&read.customer).await?.post(batch, &entry)?;
        self.records.commit(batch.notice(&told(&read, &shares, now))).await?;
        Ok(shares)
    }

    /// The application for the term of a purchase that is due.
    async fn application_due(&self, purchase: &Purchase) -> Result<Option<Stored<Application>>> {
        self.application_of(&purchase.id, self.term_due(purchase).await?).await
    }

    /// The orders of a purchase's terms.
    async fn term_views(&self, purchase: &Purchase) -> Result<Vec<OrderView>> {
        let mut views = Vec::with_capacity(purchase.terms.len());
        for order in &purchase.terms {
            views.push(self.order_view(order).await?);
        }
        Ok(views)
    }
}

/// How far the terms of a purchase have come; also an application without an order is under way, or failed (REFUND-01).
fn progress(views: &[OrderView], application: Option<&Application>) -> Progress {
    let begun = match application.map(|application| &application.stage) {
        Some(Stage::Open { .. }) => Progress { open: true, ..Progress::default() },
        Some(Stage::Refused { .. }) => Progress { failed: true, ..Progress::default() },
        Some(Stage::Approved { .. }) | None => Progress::default(),
    };
    views.iter().fold(begun, |progress, view| match view.status() {
        OrderStatus::Valid => Progress { issued: progress.issued + 1, ..progress },
        OrderStatus::Invalid => Progress { failed: true, ..progress },
        OrderStatus::Pending | OrderStatus::Ready | OrderStatus::Processing => Progress { open: true, ..progress },
    })
}

/// Nothing can be canceled once it is issued, or is about to be.
fn cancelable(view: &OrderView) -> Result<()> {
    let refuse = |told: &str| Err(Error::new(Kind::Conflict, format!("Order {} {told}", view.order.id)));
    match (&view.order.phase, view.status()) {
        (Phase::Issued { .. }, _) => refuse("has its certificate; revoke that instead (DELETE-02)."),
        (Phase::Issuing { .. }, _) => refuse("is being issued at this moment; it can't be canceled any more."),
        (_, OrderStatus::Invalid) => refuse("is over already."),
        _ => Ok(()),
    }
}

/// Ends an order in the words that stand for a canceled one (section 21.1).
fn give_up(batch: Batch, read: &Stored<Order>, now: Timestamp) -> Batch {
    let problem = Problem::new(Kind::Canceled, "The application was canceled by its holder; place a new order.");
    let batch = match read.phase {
        Phase::Review { since, .. } => off_the_desk(batch, read, since),
        _ => batch,
    };
    batch.replace(read, &(**read).clone().fail(problem, now))
}

/// REFUND-05, REFUND-06: what went back where.
fn told(purchase: &Purchase, shares: &Shares, now: Timestamp) -> Notice {
    let Shares { cash, gift, points, outside, kept } = shares;
    let back = match purchase.payment.is_from_balance() {
        true => format!(
            "To your cash balance {cash} USD, to your gift balance {gift} USD, to your benefit packages {points} USD in points. \
             Discount and vouchers ({kept} USD) are not refunded (REFUND-03)."
        ),
        false => format!("{outside} USD come back by the way they were paid."),
    };
    let text = format!("The purchase of \"{}\" was refunded. {back} That is final (REFUND-04).", purchase.product);
    Notice::new(&purchase.customer, (Topic::Billing, "purchase-refunded"), "Purchase refunded", text, now)
        .of_purchase(&purchase.id)
}
