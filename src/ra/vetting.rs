//! What an order that names an organisation rests on: its application, from the placing to the signature.

use super::applications::{subject, submitted};
use super::profiles::requeued;
use super::{Ra, Stop};
use crate::domain::application::{Application, Form, Stage};
use crate::domain::audit::Act;
use crate::domain::certificate::Certificate;
use crate::domain::error::Help;
use crate::domain::order::Order;
use crate::domain::organisation::{Organisation, Standing};
use crate::domain::purchase::Purchase;
use crate::domain::review::Matter;
use crate::domain::{Error, Kind, OrderId, Result};
use crate::policy::applications::{self, Facts};
use crate::policy::catalog::Product;
use crate::store::records::{Batch, Index, Stored};

impl Ra {
    /// The application on which an order that needs an organisation may be placed. One that is continued is carried over
    /// first, and the order judged again.
    pub(super) async fn application_for_order(
        &self,
        product: &Product,
        (purchase, term): (&Purchase, u32),
        earlier: Option<&Certificate>,
        reissue: bool,
    ) -> Result<Stored<Application>, Stop> {
        let before = match earlier {
            Some(earlier) => self.application_behind(earlier).await?,
            None => None,
        };
        // Design decision 7: a reissue rests on the application of what it reissues.
        let found = match before {
            Some(ref of_original) if reissue => Some(self.stored_application(&of_original.id).await?),
            _ => self.application_of(&purchase.id, term).await?,
        };
        if let Some(found) = found {
            return match applications::stops_order(&found) {
                Some(error) => Err(error.help(Help::Application(purchase.id.clone())).into()),
                None => Ok(found),
            };
        }
        let before = match before {
            None if term > 1 => self.application_of(&purchase.id, term - 1).await?,
            before => before,
        };
        match before {
            Some(before) => {
                self.carry_over(product, purchase, term, &before).await?;
                Err(Stop::Overtaken)
            }
            // BUY-03
            None => Err(Error::new(
                Kind::UserActionRequired,
                format!(
                    "Submit the application data first: PUT /api/v1/purchases/{}/application (BUY-03).",
                    purchase.id
                ),
            )
            .help(Help::Application(purchase.id.clone()))
            .into()),
        }
    }

    async fn application_behind(&self, certificate: &Certificate) -> Result<Option<Stored<Application>>> {
        let order = self.records.find::<Order>(&certificate.order).await?;
        match order.as_ref().and_then(|order| order.application.as_ref()) {
            Some(id) => Ok(Some(self.stored_application(id).await?)),
            None => Ok(None),
        }
    }

    /// RENEW-05: the next term takes over the data of the last one, and starts where its brand's flow says (RENEW-07,
    /// RENEW-09).
    async fn carry_over(
        &self,
        product: &Product,
        purchase: &Purchase,
        term: u32,
        before: &Application,
    ) -> Result<(), Stop> {
        let catalog = self.catalog();
        let facts =
            Facts { renewal: true, approved_profile: true, same_data: self.same_data(&before.form, product).await? };
        let route = applications::route(&catalog, product, &facts)?;
        let now = self.now();
        let of = subject(purchase, term, Some(before.id.clone()));
        let made = Application::submit(of, Form { names: Vec::new(), ..before.form.clone() }, route, now);
        let batch = Batch::of(submitted(&made), now);
        self.records.commit(self.keep_application(batch, None, &made, product)).await?;
        Ok(())
    }

    /// The application of an order that names an organisation, if everything for it was handed in; none for other orders.
    pub(super) async fn application_to_finalize(
        &self,
        order: &Order,
        product: &Product,
    ) -> Result<Option<Stored<Application>>, Stop> {
        if !product.class.needs_organisation() {
            return Ok(None);
        }
        // ORG-10, VAL-38: what names an organisation needs one that was vetted; of DV a validated order is issued.
        let Some(id) = &order.application else {
            return Err(Error::new(
                Kind::UserActionRequired,
                format!(
                    "\"{}\" needs an organisation that was vetted, and none is on file for this customer. The order stays \
                     ready; finalize it again when there is one (CAT-15).",
                    product.id
                ),
            )
            .into());
        };
        let application = self.stored_application(id).await?;
        match applications::stops_finalize(&application) {
            Some(error) => Err(error.help(Help::Letter(application.purchase.clone())).into()),
            None => Ok(Some(application)),
        }
    }

    /// Has a batch keep an order until its application is decided; one whose approval is too old goes before reviewers again.
    pub(super) fn wait_for(&self, batch: Batch, application: &Stored<Application>, order: &OrderId) -> Result<Batch> {
        let batch = batch.index(&Index::WaitsFor(&application.id, order), order.as_str());
        let Stage::Approved { .. } = application.stage else { return Ok(batch.check(application)) };
        let now = self.now();
        let reopened = (**application).clone().reopen(now)?;
        let act = Act::ApplicationReopened { application: application.id.clone() };
        let matter = Matter::Application(application.id.clone());
        Ok(requeued(batch.and(act, now).replace(application, &reopened), &matter, None, Some(now)))
    }

    /// The application on which an order is signed, and what certificates say of its organisation: never what the CSR says.
    pub(super) async fn vetted(
        &self,
        order: &Order,
        product: &Product,
    ) -> Result<Option<(Stored<Application>, Stored<Organisation>)>> {
        if !product.class.needs_organisation() {
            return Ok(None);
        }
        let none = || Error::unauthorized("The application was not approved; place a new order (REVIEW-08).");
        let id = order.application.as_ref().ok_or_else(none)?;
        let application = self.stored_application(id).await?;
        if !application.serves(self.now()) {
            return Err(none());
        }
        let organisation = self.stored_organisation(&application.form.organisation).await?;
        match &organisation.standing {
            Standing::Refused { .. } => Err(none()),
            Standing::Approved { .. } | Standing::Submitted { .. } => Ok(Some((application, organisation))),
        }
    }
}
