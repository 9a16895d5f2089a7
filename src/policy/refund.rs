//! Refunds: when a purchase may be refunded, and what goes back where (REFUND-01 to REFUND-08).

use crate::domain::ledger::{LedgerAccount, signed};
use crate::domain::purchase::{Payment, PaymentMethod, Purchase, Standing};
use crate::domain::{Error, Kind, Money, Result};

/// What the buyer is told before the purchase (REFUND-03, REFUND-08).
pub const IN_QUOTES: &str = "Discounts and vouchers are not refunded (REFUND-03).";

/// The same of purchases for several years.
pub const IN_QUOTES_OF_YEARS: &str = "A purchase for several years is not refunded in part (REFUND-08).";

/// How far the terms of a purchase have come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// How many certificates were issued.
    pub issued: u32,
    /// Whether an application is under way.
    pub open: bool,
    /// Whether an application failed, was refused or was canceled.
    pub failed: bool,
}

/// What goes back (REFUND-05, REFUND-06).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shares {
    /// To the cash balance.
    pub cash: Money,
    /// To the balance of gifts.
    pub gift: Money,
    /// To packages of benefit points.
    pub points: Money,
    /// To whoever paid outside of this server, by the operator.
    pub outside: Money,
    /// What is kept: discount and vouchers.
    pub kept: Money,
}

/// Whether a purchase may be canceled: nothing was issued, and it is in force (REFUND-02).
pub fn cancel(purchase: &Purchase, progress: Progress) -> Result<()> {
    still_there(purchase)?;
    match purchase.standing {
        Standing::Canceled { at } => Err(conflict(format!("The purchase was canceled at {at}; have it refunded."))),
        _ => nothing_issued(purchase, progress),
    }
}

/// Whether a purchase may be refunded now, and what goes back.
pub fn refund(purchase: &Purchase, progress: Progress, consent: bool) -> Result<Shares> {
    still_there(purchase)?;
    nothing_issued(purchase, progress)?;
    // REFUND-02: what is under way, or was never begun, is given up first.
    let stopped = matches!(purchase.standing, Standing::Canceled { .. }) || progress.failed;
    if progress.open || !stopped {
        return Err(conflict("Cancel the application first, then have the purchase refunded (REFUND-02)."));
    }
    if !consent {
        return Err(Error::new(
            Kind::UserActionRequired,
            "Consent is required: agree to the refund policy with \"consent\": true. Cash and gifts go back in the shares paid, \
             points to their package; discounts and vouchers are not refunded, and a refund can't be undone (REFUND-07, \
             REFUND-03, REFUND-04).",
        ));
    }
    Ok(shares(&purchase.payment, purchase.price))
}

/// REFUND-04
fn still_there(purchase: &Purchase) -> Result<()> {
    match purchase.standing {
        Standing::Refunded { at } => {
            Err(conflict(format!("The purchase was refunded at {at}; that is final (REFUND-04).")))
        }
        Standing::InForce | Standing::Canceled { .. } => Ok(()),
    }
}

/// REFUND-01, REFUND-08
fn nothing_issued(purchase: &Purchase, progress: Progress) -> Result<()> {
    match (progress.issued, purchase.years) {
        (0, _) => Ok(()),
        (_, 1) => Err(conflict("Issued certificates are not refunded (REFUND-01).")),
        (issued, years) => Err(conflict(format!(
            "Issued certificates are not refunded (REFUND-01): of {years} years {issued} have theirs. No partial refund is given \
             for the others (REFUND-08)."
        ))),
    }
}

fn conflict(told: impl Into<String>) -> Error {
    Error::new(Kind::Conflict, told)
}

/// REFUND-05, REFUND-06: what each balance paid goes back to it. REFUND-03: but for discount and vouchers.
pub fn shares(payment: &Payment, price: Money) -> Shares {
    match payment.method {
        PaymentMethod::Outside => {
            Shares { cash: Money::ZERO, gift: Money::ZERO, points: Money::ZERO, outside: price, kept: Money::ZERO }
        }
        PaymentMethod::Balance => Shares {
            cash: payment.cash,
            gift: payment.gift,
            points: payment.point(),
            outside: Money::ZERO,
            kept: payment.discount + payment.voucher(),
        },
    }
}

/// What a refund moves in the books: from the house's revenue to the balances that paid. What is kept of the price is no
/// revenue either: nothing was sold, so discounts and vouchers are given back to the house that granted them.
pub fn postings(payment: &Payment, price: Money) -> Vec<(LedgerAccount, i64)> {
    let shares = shares(payment, price);
    let mut moves = vec![
        (LedgerAccount::Revenue, -signed(price)),
        (LedgerAccount::Owed, signed(shares.outside)),
        (LedgerAccount::Cash, signed(shares.cash)),
        (LedgerAccount::Gift, signed(shares.gift)),
    ];
    let points = payment.points.iter();
    moves.extend(points.map(|share| (LedgerAccount::Points { coupon: share.coupon.clone() }, signed(share.amount))));
    if payment.is_from_balance() {
        moves.push((LedgerAccount::Discounts, signed(payment.discount)));
        moves.push((LedgerAccount::VouchersGranted, signed(payment.voucher())));
    }
    moves
}
