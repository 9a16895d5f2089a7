//! A purchase: what a customer has paid for, one certificate a year of its term (BUY-08).

use serde::{Deserialize, Serialize};

use super::money::Money;
use super::{CouponId, CustomerId, Error, OrderId, PurchaseId, Result, Timestamp};

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
    /// How it was paid.
    #[serde(default)]
    pub payment: Payment,
    /// Words that the customer finds it by (BUY-02).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// The customer's project that it belongs to (BUY-02).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// Whether it is bought again by itself when its last certificate is about to end (BUY-07).
    #[serde(default)]
    pub auto_renew: bool,
    /// The purchase that follows it, bought by itself or by hand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub follower: Option<PurchaseId>,
    /// Whether it is in force.
    #[serde(default)]
    pub standing: Standing,
}

/// How a purchase was paid: the shares sum to its price.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payment {
    /// By which way.
    pub method: PaymentMethod,
    /// Let off the price by the customer's discount.
    pub discount: Money,
    /// Paid with a voucher.
    pub vouchers: Vec<Share>,
    /// Paid with benefit points.
    pub points: Vec<Share>,
    /// Paid from gifts.
    pub gift: Money,
    /// Paid from cash.
    pub cash: Money,
}

/// The way of a payment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PaymentMethod {
    /// Between operator and customer, outside of this server.
    #[default]
    Outside,
    /// From the balances of the customer.
    Balance,
}

/// What a coupon paid.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    /// Which.
    pub coupon: CouponId,
    /// How much.
    pub amount: Money,
}

/// Whether a purchase is in force.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "lowercase")]
pub enum Standing {
    /// It entitles to certificates.
    #[default]
    InForce,
    /// Its application was given up before anything was issued; it can be refunded (REFUND-02).
    Canceled {
        /// When.
        at: Timestamp,
    },
    /// What was paid went back; that is final (REFUND-04).
    Refunded {
        /// When.
        at: Timestamp,
    },
}

impl Payment {
    /// Whether it was paid from the customer's balances.
    pub fn is_from_balance(&self) -> bool {
        self.method == PaymentMethod::Balance
    }

    /// What vouchers paid.
    pub fn voucher(&self) -> Money {
        self.vouchers.iter().map(|share| share.amount).sum()
    }

    /// What benefit points paid.
    pub fn point(&self) -> Money {
        self.points.iter().map(|share| share.amount).sum()
    }

    /// The sum of all shares: for what was paid from balances, the price.
    pub fn total(&self) -> Money {
        self.discount + self.voucher() + self.point() + self.gift + self.cash
    }
}

/// Refuses tags and projects that can't be listed (BUY-02).
pub fn check_labels(tags: &[String], project: Option<&str>) -> Result<()> {
    let good = |text: &str| (1..=64).contains(&text.chars().count()) && !text.chars().any(char::is_control);
    if tags.len() > 20 {
        return Err(Error::malformed(format!("{} tags are given; a purchase has at most 20 (BUY-02).", tags.len())));
    }
    match tags.iter().map(String::as_str).chain(project).find(|text| !good(text)) {
        Some(bad) => {
            let shown: String = bad.chars().take(70).collect();
            let told = "tags and projects have 1 to 64 characters and no control characters (BUY-02).";
            Err(Error::malformed(format!("\"{}\" is none: {told}", shown.escape_debug())))
        }
        None => Ok(()),
    }
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

    /// Whether it entitles to certificates: it is neither canceled nor refunded.
    pub fn is_in_force(&self) -> bool {
        self.standing == Standing::InForce
    }

    /// Whether a term can be begun now: one is left, and the last one's order is settled.
    pub fn has_term_left(&self, last: &LastTerm) -> bool {
        self.is_in_force() && !matches!(last, LastTerm::Open { .. }) && self.begun(last) < self.years as usize
    }

    /// The purchase with `order` in its first free term.
    #[must_use]
    pub fn with_term(mut self, order: OrderId, last: &LastTerm) -> Self {
        self.terms.truncate(self.begun(last));
        self.terms.push(order);
        self
    }
}
