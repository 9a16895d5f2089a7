//! Orders and purchases for the operator: where they stand, in the documents' words (section 21 of the rules).

use super::placing::names_digest;
use super::{OrderView, Ra};
use crate::domain::account::{Account, Holder};
use crate::domain::certificate::Certificate;
use crate::domain::order::{Order, OrderStatus, Phase};
use crate::domain::purchase::Purchase;
use crate::domain::{AccountId, CustomerId, Error, OrderId, Problem, Result};
use crate::policy::applications;
use crate::policy::form::{self, Stages};
use crate::policy::promise::{self, Promise};
use crate::policy::status::{self, Facts, PurchaseFacts, PurchaseState, Status, TermOutcome};
use crate::store::records::{Index, Rows, Stored, target};

/// An order as an operator sees it.
#[derive(Debug)]
pub struct OrderReport {
    /// The order and its authorizations.
    pub view: OrderView,
    /// Who ordered.
    pub holder: Holder,
    /// Its certificate, if it has one.
    pub certificate: Option<Certificate>,
    /// Where it stands.
    pub status: Status,
    /// Where each of its names stands, in their order.
    pub names: Vec<Status>,
    /// Why it is over, if that is without a certificate.
    pub problem: Option<Problem>,
    /// What to look at when it waits longer than usual.
    pub hint: Option<&'static str>,
    /// What is promised of its time to issue, as long as it is not settled.
    pub promise: Option<Promise>,
    /// The stages of the application, if the catalogue still has the product (BUY-09).
    pub stages: Option<Stages>,
}

impl OrderReport {
    /// Whether it waits for a person.
    pub fn waits_for_review(&self) -> bool {
        self.status == Status::PendingIssue && matches!(self.view.order.phase, Phase::Review { .. })
    }
}

/// A purchase as an operator sees it.
#[derive(Debug)]
pub struct PurchaseReport {
    /// The purchase.
    pub purchase: Purchase,
    /// Where it stands.
    pub state: PurchaseState,
    /// The order of each term that was begun.
    pub orders: Vec<OrderReport>,
    /// How many names of which kind it takes, if the catalogue still has the product (BUY-10).
    pub takes: Option<String>,
}

impl Ra {
    /// The order of that id.
    pub async fn order_report(&self, id: &OrderId) -> Result<OrderReport> {
        self.report(self.order_view(id).await?).await
    }

    /// Up to `limit` orders behind the one of that id; of one account, oldest first, or of all.
    pub async fn order_reports(
        &self,
        account: Option<&AccountId>,
        after: Option<&OrderId>,
        limit: usize,
    ) -> Result<Vec<OrderReport>> {
        let ids: Vec<OrderId> = match account {
            Some(account) => self.order_ids(account, after, limit).await?,
            None => {
                let found = self.records.list::<Order>(b"", after.map(|id| id.as_str().into()), limit).await?;
                found.into_iter().map(|order| order.id.clone()).collect()
            }
        };
        let mut reports = Vec::with_capacity(ids.len());
        for id in &ids {
            reports.push(self.order_report(id).await?);
        }
        Ok(reports)
    }

    /// Up to `limit` orders of a customer's accounts behind the one of that id: account by account, each oldest first.
    pub async fn customer_order_reports(
        &self,
        customer: &CustomerId,
        after: Option<&OrderId>,
        limit: usize,
    ) -> Result<Vec<OrderReport>> {
        let mut begin = match after {
            Some(id) => Some(self.order_view(id).await?.order.account.clone()),
            None => None,
        };
        let (mut reports, mut after, mut accounts_after) = (Vec::new(), after.cloned(), None);
        while reports.len() < limit {
            let accounts = self.accounts_of(customer, accounts_after.as_ref(), 100).await?;
            let Some(last) = accounts.last() else { break };
            accounts_after = Some(last.id.clone());
            for account in accounts {
                if begin.as_ref().is_some_and(|begin| account.id < *begin) {
                    continue;
                }
                // Only the account at which the page before ended goes on behind that page's last order.
                let behind = if begin.as_ref() == Some(&account.id) { after.take() } else { None };
                begin = begin.filter(|begin| *begin > account.id);
                let left = limit - reports.len();
                reports.extend(self.order_reports(Some(&account.id), behind.as_ref(), left).await?);
            }
        }
        Ok(reports)
    }

    async fn order_ids(&self, account: &AccountId, after: Option<&OrderId>, limit: usize) -> Result<Vec<OrderId>> {
        if self.records.find::<Account>(account).await?.is_none() {
            return Err(Error::not_found(format!("There is no account {account}.")));
        }
        let after = match after {
            Some(id) => {
                let last = self.order_view(id).await?.order;
                Some(Index::OrderOfAccount(account, last.created, id).id())
            }
            None => None,
        };
        let rows = self.records.rows(&Rows::OrdersOfAccount(account), after, limit).await?;
        Ok(rows.iter().map(|(_, id)| target::<OrderId>(id)).collect::<Result<Vec<_>, _>>()?)
    }

    /// Where an order stands.
    pub(super) async fn report(&self, view: OrderView) -> Result<OrderReport> {
        let (account, closed) = self.closed(&view.order.account).await?;
        let (certificate, under_way) = match &view.order.phase {
            Phase::Issued { serial, .. } => (Some(self.certificate_of(serial).await?), self.under_way(serial).await?),
            _ => (None, None),
        };
        let application = match &view.order.application {
            Some(id) => Some(self.stored_application(id).await?.into_value()),
            None => None,
        };
        let (authzs, catalog) = (view.plain_authzs(), self.catalog());
        let facts = Facts {
            order: &view.order,
            authzs: &authzs,
            certificate: certificate.as_ref(),
            product: catalog.product(&view.order.product),
            application: application.as_ref(),
            account_closed: closed.is_some(),
            under_way,
            renewal_window_days: catalog.settings().renewal_window_days,
            now: view.now,
        };
        let status = status::of_order(&facts);
        let names = authzs.iter().map(|authz| status::of_name(&view.order, authz, view.now)).collect();
        let hint = status::hint(status, &facts);
        let promise = match view.status() {
            OrderStatus::Valid | OrderStatus::Invalid => None,
            _ => facts.product.and_then(|product| promise::of(&catalog, product, view.order.created)),
        };
        let problem = view.problem().or(if status == Status::Canceled { closed } else { None });
        let stages = catalog.product(&view.order.product).map(|product| form::stages(product, status));
        Ok(OrderReport { holder: account.holder(), certificate, status, names, problem, hint, promise, stages, view })
    }

    /// Where a purchase stands.
    pub(super) async fn purchase_report(&self, purchase: Purchase) -> Result<PurchaseReport> {
        let mut orders = Vec::with_capacity(purchase.terms.len());
        for order in &purchase.terms {
            orders.push(self.order_report(order).await?);
        }
        let last = match orders.last() {
            Some(report) => Some(self.last_term(report).await?),
            None => None,
        };
        let application = self.application_of(&purchase.id, self.term_due(&purchase).await?).await?;
        let next = application.map(|application| applications::status(Some(&application)));
        let facts =
            PurchaseFacts { standing: purchase.standing, years: purchase.years, begun: orders.len(), last, next };
        let state = status::of_purchase(&facts);
        let takes = self.catalog().product(&purchase.product).map(|product| form::takes(product, purchase.names));
        Ok(PurchaseReport { purchase, state, orders, takes })
    }

    async fn last_term(&self, report: &OrderReport) -> Result<TermOutcome> {
        match report.view.status() {
            OrderStatus::Invalid => return Ok(TermOutcome::Failed),
            OrderStatus::Pending | OrderStatus::Ready | OrderStatus::Processing => return Ok(TermOutcome::Open),
            OrderStatus::Valid => {}
        }
        let now = report.view.now;
        let in_force = |certificate: &Certificate| !certificate.is_revoked() && now <= certificate.not_after;
        if report.certificate.as_ref().is_some_and(in_force) {
            return Ok(TermOutcome::InForce);
        }
        // A reissue stands in for a certificate that was revoked.
        let order = &report.view.order;
        let held = Index::Held(&report.holder, &names_digest(&order.identifiers), &order.product);
        let Some(row) = self.records.follow(&held).await? else { return Ok(TermOutcome::Over) };
        let other = self.records.find::<Order>(&target::<OrderId>(&row)?).await?.map(Stored::into_value);
        let Some(Order { phase: Phase::Issued { serial, .. }, .. }) = other else { return Ok(TermOutcome::Over) };
        let other = self.certificate_of(&serial).await?;
        Ok(if in_force(&other) { TermOutcome::InForce } else { TermOutcome::Over })
    }
}
