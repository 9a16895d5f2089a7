//! The books: a double-entry ledger of what customers pay, own and are given. An entry moves amounts between accounts of the
//! books and sums to nothing; balances are what entries made of them, and none is ever below zero.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{CouponId, CustomerId, EntryId, Error, Kind, Money, PurchaseId, Result, Timestamp};

/// Most of one credit or payment: 10 million, so that no sum leaves the range of whole cents.
pub const MOST: Money = Money::from_whole(10_000_000);

/// An account of the books. The first four are balances of the customer that an entry is about; the others are the house's.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "of", rename_all = "kebab-case")]
pub enum LedgerAccount {
    /// Money that the customer paid in.
    Cash,
    /// Money that the customer was given: gift cards.
    Gift,
    /// What is left of a voucher.
    Voucher {
        /// Which.
        coupon: CouponId,
    },
    /// What is left of a package of benefit points; a point is a cent.
    Points {
        /// Which.
        coupon: CouponId,
    },
    /// The world outside: what was paid to the house by other ways.
    Outside,
    /// What the house owes to payers outside: refunds that it hands out by the way they came.
    Owed,
    /// What the house earned.
    Revenue,
    /// What the house let off.
    Discounts,
    /// Gifts that the house granted.
    GiftsGranted,
    /// Vouchers that the house granted.
    VouchersGranted,
    /// Benefit points that the house granted.
    PointsGranted,
}

impl LedgerAccount {
    /// Its word: what lists call it.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Cash => "cash",
            Self::Gift => "gift",
            Self::Voucher { .. } => "voucher",
            Self::Points { .. } => "points",
            Self::Outside => "outside",
            Self::Owed => "owed",
            Self::Revenue => "revenue",
            Self::Discounts => "discounts",
            Self::GiftsGranted => "gifts-granted",
            Self::VouchersGranted => "vouchers-granted",
            Self::PointsGranted => "points-granted",
        }
    }

    /// The voucher or package that it is the balance of.
    pub fn coupon(&self) -> Option<&CouponId> {
        match self {
            Self::Voucher { coupon } | Self::Points { coupon } => Some(coupon),
            _ => None,
        }
    }
}

/// Why amounts moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// An operator credited a balance.
    Credit,
    /// A payment provider told of a payment.
    Payment,
    /// A purchase was paid.
    Purchase,
    /// A purchase was refunded.
    Refund,
}

impl Reason {
    /// Its word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Credit => "credit",
            Self::Payment => "payment",
            Self::Purchase => "purchase",
            Self::Refund => "refund",
        }
    }
}

/// An amount that comes to an account of the books, or leaves it if it is below zero.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Posting {
    /// The account.
    pub account: LedgerAccount,
    /// In cents.
    pub cents: i64,
}

/// An entry: written once, never changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its id.
    pub id: EntryId,
    /// When.
    pub at: Timestamp,
    /// Why.
    pub reason: Reason,
    /// The customer whose balances it moves.
    pub customer: CustomerId,
    /// What moves; the sum is zero.
    pub postings: Vec<Posting>,
    /// The purchase that it pays or refunds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub purchase: Option<PurchaseId>,
    /// What it refers to: the operator's note, the payment provider's event.
    pub reference: String,
}

/// What an entry is about, besides its postings.
#[derive(Debug, Clone)]
pub struct Occasion {
    /// Why.
    pub reason: Reason,
    /// Whose balances.
    pub customer: CustomerId,
    /// Which purchase.
    pub purchase: Option<PurchaseId>,
    /// What it refers to.
    pub reference: String,
    /// When.
    pub at: Timestamp,
}

/// An amount as postings count it.
pub fn signed(amount: Money) -> i64 {
    i64::try_from(amount.cents()).unwrap_or(i64::MAX)
}

impl Entry {
    /// An entry with these postings, those of nothing left out. One that does not sum to zero is none.
    pub fn of(occasion: Occasion, postings: impl IntoIterator<Item = (LedgerAccount, i64)>) -> Result<Self> {
        let postings: Vec<Posting> = postings
            .into_iter()
            .filter(|(_, cents)| *cents != 0)
            .map(|(account, cents)| Posting { account, cents })
            .collect();
        let sum: i128 = postings.iter().map(|posting| i128::from(posting.cents)).sum();
        if sum != 0 {
            return Err(Error::internal(format!("an entry of the ledger sums to {sum} cents instead of nothing")));
        }
        let Occasion { reason, customer, purchase, reference, at } = occasion;
        Ok(Self { id: EntryId::random(), at, reason, customer, postings, purchase, reference })
    }
}

/// What a customer has with the house, as the entries made it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wallet {
    /// Whose.
    pub customer: CustomerId,
    /// Money that was paid in.
    pub cash: Money,
    /// Money that was given.
    pub gift: Money,
    /// What the customer is let off every price, in hundredths of it.
    #[serde(default)]
    pub discount_percent: u8,
}

impl Wallet {
    /// That of somebody who has nothing yet.
    pub fn empty(customer: CustomerId) -> Self {
        Self { customer, cash: Money::ZERO, gift: Money::ZERO, discount_percent: 0 }
    }
}

/// A voucher, or a package of benefit points.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Coupon {
    /// Its id.
    pub id: CouponId,
    /// Whose.
    pub customer: CustomerId,
    /// Which of the two.
    pub kind: CouponKind,
    /// What it was worth.
    pub granted: Money,
    /// What is left.
    pub left: Money,
    /// The only product that it pays for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub product: Option<String>,
    /// When what is left lapses; none for never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
    /// When it was granted.
    pub created: Timestamp,
}

/// What a coupon is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CouponKind {
    /// Reduces the price; is not refunded (REFUND-03).
    Voucher,
    /// A package of benefit points; they go back to it (REFUND-06).
    Points,
}

impl Coupon {
    /// Its account in the books.
    pub fn account(&self) -> LedgerAccount {
        match self.kind {
            CouponKind::Voucher => LedgerAccount::Voucher { coupon: self.id.clone() },
            CouponKind::Points => LedgerAccount::Points { coupon: self.id.clone() },
        }
    }

    /// Whether something of it can pay for that product now.
    pub fn pays_for(&self, product: &str, now: Timestamp) -> bool {
        self.left > Money::ZERO
            && self.product.as_deref().is_none_or(|only| only == product)
            && self.expires.is_none_or(|end| now < end)
    }
}

/// The balances of a customer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Books {
    /// Cash and gifts.
    pub wallet: Wallet,
    /// Vouchers and packages.
    pub coupons: Vec<Coupon>,
}

impl Books {
    /// The balances after an entry. None of them goes below zero.
    pub fn post(mut self, entry: &Entry) -> Result<Self> {
        for Posting { account, cents } in &entry.postings {
            match account {
                LedgerAccount::Cash => self.wallet.cash = moved(account, self.wallet.cash, *cents)?,
                LedgerAccount::Gift => self.wallet.gift = moved(account, self.wallet.gift, *cents)?,
                LedgerAccount::Voucher { coupon } | LedgerAccount::Points { coupon } => {
                    let found = self.coupons.iter_mut().find(|known| known.id == *coupon);
                    let found = found.ok_or_else(|| Error::not_found(format!("There is no coupon {coupon}.")))?;
                    found.left = moved(account, found.left, *cents)?;
                }
                _ => {}
            }
        }
        Ok(self)
    }
}

fn moved(account: &LedgerAccount, balance: Money, cents: i64) -> Result<Money> {
    let after = signed(balance).checked_add(cents).and_then(|after| u64::try_from(after).ok());
    after.map(Money::from_cents).ok_or_else(|| {
        let lacking = format!("The balance ({}) is {balance}; it can't change by {cents} cents.", account.as_str());
        Error::new(Kind::Conflict, lacking)
    })
}

/// What the books say as a whole: the sum of all entries for each account, beside the balances that are kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrialBalance {
    /// How many entries were added up.
    pub entries: u64,
    /// For each account the sum of its postings, in cents.
    pub accounts: BTreeMap<&'static str, i64>,
    /// What stands on the balances of customers: the sums of `cash`, `gift`, `voucher` and `points`.
    pub balances: BTreeMap<&'static str, i64>,
}

impl TrialBalance {
    /// Adds an entry.
    pub fn count(&mut self, entry: &Entry) {
        self.entries += 1;
        for Posting { account, cents } in &entry.postings {
            *self.accounts.entry(account.as_str()).or_default() += cents;
        }
    }

    /// Adds a balance.
    pub fn hold(&mut self, account: &'static str, balance: Money) {
        *self.balances.entry(account).or_default() += signed(balance);
    }

    /// Whether all entries sum to nothing and every balance is what entries made it.
    pub fn balanced(&self) -> bool {
        let sum = |account: &str| self.accounts.get(account).copied().unwrap_or(0);
        let kept = |account: &str| self.balances.get(account).copied().unwrap_or(0);
        self.accounts.values().sum::<i64>() == 0
            && ["cash", "gift", "voucher", "points"].into_iter().all(|account| sum(account) == kept(account))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn occasion(customer: &CustomerId) -> Occasion {
        Occasion {
            reason: Reason::Credit,
            customer: customer.clone(),
            purchase: None,
            reference: "test".to_owned(),
            at: Timestamp::default(),
        }
    }

    #[test]
    fn an_entry_sums_to_nothing_or_is_none() {
        let customer = CustomerId::random();
        let entry = Entry::of(
            occasion(&customer),
            [(LedgerAccount::Outside, -500), (LedgerAccount::Cash, 500), (LedgerAccount::Gift, 0)],
        );
        assert_eq!(entry.unwrap().postings.len(), 2);
        for postings in [vec![(LedgerAccount::Cash, 1)], vec![(LedgerAccount::Outside, -2), (LedgerAccount::Cash, 1)]] {
            Entry::of(occasion(&customer), postings).unwrap_err();
        }
    }

    #[test]
    fn no_balance_goes_below_zero() {
        let customer = CustomerId::random();
        let wallet = Wallet { cash: Money::from_cents(100), ..Wallet::empty(customer.clone()) };
        let books = Books { wallet, coupons: Vec::new() };
        let spend = |cents: i64| {
            let moves = [(LedgerAccount::Cash, -cents), (LedgerAccount::Revenue, cents)];
            books.clone().post(&Entry::of(occasion(&customer), moves).unwrap())
        };
        assert_eq!(spend(100).unwrap().wallet.cash, Money::ZERO);
        assert_eq!(spend(101).unwrap_err().kind(), Kind::Conflict);
    }
}
