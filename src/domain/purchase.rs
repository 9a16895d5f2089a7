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

impl Purchase {
    /// The purchase with `order` in its first free term, given that the last term's order came to nothing or not.
    #[must_use]
    pub fn with_term(mut self, order: OrderId, last_failed: bool) -> Self {
        if last_failed {
            self.terms.pop();
        }
        self.terms.push(order);
        self
    }

    /// Whether a term is left, given that the last term's order came to nothing or not.
    pub fn has_term_left(&self, last_failed: bool) -> bool {
        self.terms.len() - usize::from(last_failed && !self.terms.is_empty()) < self.years as usize
    }
}
