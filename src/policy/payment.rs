//! How a price is paid from what a customer has: discount, voucher, benefit points, gifts, cash, in this sequence (BUY-01).

use crate::domain::ledger::{Books, Coupon, CouponKind, LedgerAccount, signed};
use crate::domain::purchase::{Payment, PaymentMethod, Share};
use crate::domain::{CouponId, Error, Kind, Money, Result, Timestamp};

/// What is to be paid, and with what.
#[derive(Debug, Clone)]
pub struct Due<'a> {
    /// The product.
    pub product: &'a str,
    /// Its price, from the quote.
    pub price: Money,
    /// The vouchers and packages to use, in this sequence; none: whatever fits, what lapses first first.
    pub coupons: Option<&'a [CouponId]>,
}

/// The shares of a price that each balance pays; a refusal says what is lacking.
pub fn split(due: &Due<'_>, books: &Books, now: Timestamp) -> Result<Payment> {
    let discount = due.price.percent(books.wallet.discount_percent.min(100));
    let usable = usable(due, books, now)?;
    let mut rest = due.price.less(discount);
    let mut take = |available: Money| {
        let share = available.min(rest);
        rest = rest.less(share);
        share
    };
    let mut shares = |kind| {
        let of_kind = usable.iter().filter(|coupon| coupon.kind == kind);
        let taken = of_kind.map(|coupon| Share { coupon: coupon.id.clone(), amount: take(coupon.left) });
        taken.filter(|share| share.amount > Money::ZERO).collect::<Vec<_>>()
    };
    let (vouchers, points) = (shares(CouponKind::Voucher), shares(CouponKind::Points));
    let gift = take(books.wallet.gift);
    let cash = take(books.wallet.cash);
    if rest > Money::ZERO {
        return Err(too_low(due, books, discount, rest));
    }
    Ok(Payment { method: PaymentMethod::Balance, discount, vouchers, points, gift, cash })
}

/// The coupons that pay, in the sequence of their use.
fn usable<'a>(due: &Due<'_>, books: &'a Books, now: Timestamp) -> Result<Vec<&'a Coupon>> {
    let Some(named) = due.coupons else {
        let mut fitting: Vec<&Coupon> =
            books.coupons.iter().filter(|coupon| coupon.pays_for(due.product, now)).collect();
        fitting.sort_by_key(|coupon| (coupon.expires.unwrap_or(Timestamp::MAX), coupon.created));
        return Ok(fitting);
    };
    let mut chosen: Vec<&Coupon> = Vec::with_capacity(named.len());
    for id in named {
        let found = books.coupons.iter().find(|coupon| coupon.id == *id);
        let coupon = found.ok_or_else(|| Error::not_found(format!("There is no coupon {id}.")))?;
        if !coupon.pays_for(due.product, now) {
            return Err(Error::new(Kind::UserActionRequired, unfit(coupon, due.product, now)));
        }
        if !chosen.iter().any(|other| other.id == coupon.id) {
            chosen.push(coupon);
        }
    }
    Ok(chosen)
}

/// Why a coupon that was named can't pay.
fn unfit(coupon: &Coupon, product: &str, now: Timestamp) -> String {
    let id = &coupon.id;
    match (&coupon.product, coupon.expires) {
        (_, Some(end)) if end <= now => format!("The coupon {id} lapsed at {end}; leave it out."),
        (Some(only), _) if only != product => {
            format!("The coupon {id} pays for \"{only}\" only, not for \"{product}\".")
        }
        _ => format!("Nothing is left of the coupon {id}; leave it out."),
    }
}

/// BUY-07: what is needed, what there is, and the way out.
fn too_low(due: &Due<'_>, books: &Books, discount: Money, lacking: Money) -> Error {
    let Due { product, price, .. } = due;
    let (cash, gift) = (books.wallet.cash, books.wallet.gift);
    let needed = price.less(discount);
    Error::new(
        Kind::UserActionRequired,
        format!(
            "The balance is too low for \"{product}\": {needed} USD are needed (price {price}, discount {discount}) and {} USD \
             are available (cash {cash}, gift {gift}, coupons that fit make up the rest); {lacking} USD are lacking. Have the \
             balance credited, or pay outside.",
            needed.less(lacking)
        ),
    )
}

/// What a purchase moves in the books: from the balances, and the discount, to the house's revenue.
pub fn postings(payment: &Payment, price: Money) -> Vec<(LedgerAccount, i64)> {
    let mut moves = vec![(LedgerAccount::Revenue, signed(price))];
    match payment.method {
        PaymentMethod::Outside => moves.push((LedgerAccount::Outside, -signed(price))),
        PaymentMethod::Balance => {
            moves.push((LedgerAccount::Discounts, -signed(payment.discount)));
            moves.extend(payment.vouchers.iter().map(|share| taken(share, CouponKind::Voucher)));
            moves.extend(payment.points.iter().map(|share| taken(share, CouponKind::Points)));
            moves.push((LedgerAccount::Gift, -signed(payment.gift)));
            moves.push((LedgerAccount::Cash, -signed(payment.cash)));
        }
    }
    moves
}

fn taken(share: &Share, kind: CouponKind) -> (LedgerAccount, i64) {
    let coupon = share.coupon.clone();
    let account = match kind {
        CouponKind::Voucher => LedgerAccount::Voucher { coupon },
        CouponKind::Points => LedgerAccount::Points { coupon },
    };
    (account, -signed(share.amount))
}
