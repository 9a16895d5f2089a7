//! Orders: looking at them, listing them.

use super::Ra;
use crate::domain::account::Account;
use crate::domain::authz::Authorization;
use crate::domain::order::{Order, OrderStatus, Phase};
use crate::domain::purchase::LastTerm;
use crate::domain::{Error, OrderId, Result, Timestamp};
use crate::store::records::{Rows, Stored, target};

/// An order with its authorizations, at a moment.
#[derive(Debug)]
pub struct OrderView {
    /// The order.
    pub order: Stored<Order>,
    /// Its authorizations, in the order of its names.
    pub authzs: Vec<Stored<Authorization>>,
    /// The moment.
    pub now: Timestamp,
}

/// A page of an account's orders.
#[derive(Debug)]
pub struct OrderPage {
    /// Orders that are not invalid, oldest first.
    pub orders: Vec<OrderId>,
    /// Where the next page begins; none on the last.
    pub next: Option<String>,
}

impl OrderView {
    /// The order's status.
    pub fn status(&self) -> OrderStatus {
        self.order.status(&self.plain_authzs(), self.now)
    }

    /// Whether its certificate is being made, which nothing but its own job ends.
    pub(super) fn is_being_issued(&self) -> bool {
        matches!(self.order.phase, Phase::Issuing { .. })
    }

    /// Why the order is invalid, if it is.
    pub fn problem(&self) -> Option<crate::domain::Problem> {
        self.order.problem(&self.plain_authzs(), self.now)
    }

    /// What it is to the purchase that pays for it.
    pub fn as_last_term(&self) -> LastTerm {
        match self.status() {
            OrderStatus::Valid => LastTerm::Settled,
            OrderStatus::Invalid => LastTerm::Failed,
            OrderStatus::Pending | OrderStatus::Ready | OrderStatus::Processing => {
                LastTerm::Open { order: self.order.id.clone(), until: self.order.expires }
            }
        }
    }

    /// The authorizations without their versions.
    pub fn plain_authzs(&self) -> Vec<Authorization> {
        self.authzs.iter().map(|authz| (**authz).clone()).collect()
    }
}

impl Ra {
    /// An order and its authorizations.
    pub(super) async fn order_view(&self, id: &OrderId) -> Result<OrderView> {
        let order = self.records.find::<Order>(id).await?.ok_or_else(|| no_order(id))?;
        let found = self.records.find_all::<Authorization>(&order.authorizations).await?;
        let lost = || Error::internal(format!("order {id} has lost an authorization"));
        let authzs = found.into_iter().map(|authz| authz.ok_or_else(lost)).collect::<Result<_>>()?;
        Ok(OrderView { order, authzs, now: self.now() })
    }

    /// An order of that account; other accounts' orders are not shown (RFC 8555 section 10.5).
    pub(super) async fn own_order(&self, account: &Account, id: &OrderId) -> Result<OrderView> {
        let view = self.order_view(id).await?;
        if view.order.account == account.id { Ok(view) } else { Err(no_order(id)) }
    }

    /// An order for its owner. While it is being issued, the answer waits a moment for the outcome.
    pub async fn order(&self, account: &Account, id: &OrderId) -> Result<OrderView> {
        let view = self.own_order(account, id).await?;
        let Phase::Issuing { job, .. } = &view.order.phase else { return Ok(view) };
        if self.worker.wait(job, self.challenge_wait()).await { self.own_order(account, id).await } else { Ok(view) }
    }

    /// A page of the account's orders that are not invalid (RFC 8555 section 7.1.2.1), behind a cursor of an earlier
    /// page.
    pub async fn orders(&self, account: &Account, cursor: Option<&str>) -> Result<OrderPage> {
        const PAGE: usize = 100;
        let after = cursor.map(parse_cursor).transpose()?;
        let after = after.map(|tail| [account.id.as_str().as_bytes(), &tail].concat());
        let rows = self.records.rows(&Rows::OrdersOfAccount(&account.id), after, PAGE).await?;
        let next = (rows.len() == PAGE).then(|| rows.last()).flatten();
        let next = next.map(|(row, _)| crate::domain::certificate::hex32::encode(&row[account.id.as_str().len()..]));
        let mut orders = Vec::with_capacity(rows.len());
        let now = self.now();
        let ids = rows.iter().map(|(_, id)| target::<OrderId>(id)).collect::<Result<Vec<_>, _>>()?;
        for order in self.records.find_all::<Order>(&ids).await?.into_iter().flatten() {
            // Only an order that is not being issued depends on its authorizations.
            let status = match order.phase {
                Phase::Open | Phase::Review { .. } if now < order.expires => self.order_view(&order.id).await?.status(),
                _ => order.status(&[], now),
            };
            if status != OrderStatus::Invalid {
                orders.push(order.id.clone());
            }
        }
        Ok(OrderPage { orders, next })
    }
}

/// The same words whether it is not there or another account's.
fn no_order(id: &OrderId) -> Error {
    Error::not_found(format!("There is no order {id}."))
}

/// What stands behind the account in the name of an order's row: moment and id, as the digits that `orders` wrote.
fn parse_cursor(text: &str) -> Result<Vec<u8>> {
    let digits: Option<Vec<u8>> = text.chars().map(|c| c.to_digit(16).map(|digit| digit as u8)).collect();
    match digits {
        Some(digits) if digits.len() == 60 => Ok(digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect()),
        _ => Err(Error::malformed("The cursor is not one that this server gave out.")),
    }
}
