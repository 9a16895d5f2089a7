//! Reminders: a customer asks reviewers to hurry (REMIND-01 to REMIND-06).

use super::applications::waiting;
use super::{Ra, Stop, settle};
use crate::domain::audit::Act;
use crate::domain::order::Phase;
use crate::domain::review::{CaseFile, Matter};
use crate::domain::{OrderId, PurchaseId, Result, Timestamp};
use crate::policy::catalog::Product;
use crate::policy::reminders::{self, Waiting};
use crate::store::records::Batch;

/// A reminder that was sent.
#[derive(Debug, Clone)]
pub struct Reminder {
    /// Of what.
    pub matter: Matter,
    /// When.
    pub at: Timestamp,
    /// From when on the next one may be sent.
    pub next: Option<Timestamp>,
}

impl Ra {
    /// Reminds the reviewers of a purchase's application.
    pub async fn remind_of_purchase(&self, purchase: &PurchaseId) -> Result<Reminder> {
        settle(|| async {
            let (purchase, product) = self.purchase_and_product(purchase).await?;
            if !product.class.needs_organisation() {
                return match purchase.terms.last() {
                    Some(order) => self.remind_of(Matter::Order(order.clone()), &product).await,
                    None => Err(nothing(self, &product)),
                };
            }
            let term = self.term_due(&purchase).await?;
            match self.application_of(&purchase.id, term).await? {
                Some(application) => self.remind_of(Matter::Application(application.id.clone()), &product).await,
                None => Err(nothing(self, &product)),
            }
        })
        .await
    }

    /// Reminds the reviewers of an order, or of the application that it waits for.
    pub async fn remind_of_order(&self, order: &OrderId) -> Result<Reminder> {
        settle(|| async {
            let view = self.order_view(order).await?;
            let product = self.product_of(&self.catalog(), &view.order.product)?;
            let matter = match &view.order.application {
                Some(application) => Matter::Application(application.clone()),
                None => Matter::Order(order.clone()),
            };
            self.remind_of(matter, &product).await
        })
        .await
    }

    async fn remind_of(&self, matter: Matter, product: &Product) -> Result<Reminder, Stop> {
        let read = self.case_file(matter.id()).await?;
        let mut file = read.as_ref().map_or_else(|| CaseFile::of(matter.id()), |read| (**read).clone());
        let waits = self.before_reviewers(&matter, &file).await?;
        let (catalog, now) = (self.catalog(), self.now());
        reminders::accept(&catalog, product, waits.as_ref(), now)?;
        file.reminders.push(now);
        let act = Act::ReviewersReminded { matter: matter.to_string() };
        self.records.commit(Batch::of(act, now).set(read.as_ref(), &file)).await?;
        let again = waits.map(|waits| Waiting { reminded: Some(now), ..waits });
        let next = again.and_then(|waits| reminders::opens(&catalog, product, &waits).ok());
        Ok(Reminder { matter, at: now, next })
    }

    /// What reviewers have of a matter before them, if they do.
    async fn before_reviewers(&self, matter: &Matter, file: &CaseFile) -> Result<Option<Waiting>> {
        match matter {
            Matter::Application(id) => Ok(waiting(&*self.stored_application(id).await?, file)),
            Matter::Order(id) => {
                let report = self.order_report(id).await?;
                let order = &report.view.order;
                // REMIND-02: the data of a DV application are those of its order.
                let waits = matches!(order.phase, Phase::Review { .. }) && report.waits_for_review();
                let reminded = file.reminders.last().copied();
                Ok(waits.then_some(Waiting { submitted: order.created, letter: None, reminded }))
            }
            Matter::Organisation(_) | Matter::Administrator(_) | Matter::Revocation(_) => Ok(None),
        }
    }
}

/// REMIND-06, unless the product has no reminders at all.
fn nothing(ra: &Ra, product: &Product) -> Stop {
    match reminders::accept(&ra.catalog(), product, None, ra.now()) {
        Err(error) => error.into(),
        Ok(()) => Stop::Overtaken,
    }
}
