//! A purchase: what a customer has paid for, one certificate a year of its term (BUY-08).

use serde::{Deserialize, Serialize};

use super::money::Money;
use super::{CustomerId, OrderId, PurchaseId, Timestamp};

/// A purchase.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Purchase {
    /// Its id.
    pub id: PurchaseId,
    /// Who bought.
    pub customer: CustomerId,
    /// The product.
    pub product: String,
    /// Chargeable names of each certificate (BUY-05).
    pub names: u32,
    /// Terms of one year each.
    pub years: u32,
    /// What was paid for all of it.
    pub price: Money,
    /// When.
    pub created: Timestamp,
    /// The order of each term that was begun, oldest first; an order that ended without a certificate gives its term back.
    pub terms: Vec<OrderId>,
}

/// What became of the order of the term that was begun last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LastTerm {
    /// There is none, or it has its certificate.
    Settled,
    /// It came to nothing: its term is there again.
    Failed,
    /// It is open, until that moment at the latest.
    Open {
        /// The order.
        order: OrderId,
        /// When it ends if it is not fulfilled.
        until: Timestamp,
    },
}

impl Purchase {
    /// Terms that were begun and not given back.
    pub fn begun(&self, last: &LastTerm) -> usize {
        self.terms.len().saturating_sub(usize::from(*last == LastTerm::Failed))
    }

    /// Whether a term can be begun now: one is left, and the last one's order is settled.
    pub fn has_term_left(&self, last: &LastTerm) -> bool {
        !matches!(last, LastTerm::Open { .. }) && self.begun(last) < self.years as usize
    }

    /// The purchase with `order` in its first free term.
    #[must_use]
    pub fn with_term(mut self, order: OrderId, last: &LastTerm) -> Self {
        self.terms.truncate(self.begun(last));
        self.terms.push(order);
        self
    }
}
