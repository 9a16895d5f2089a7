//! Balances of customers and the ledger behind them: every amount moves by an entry, in one batch with the balances.

use aws_lc_rs::digest::{SHA256, digest};

use super::{Ra, Stop, settle};
use crate::domain::audit::Act;
use crate::domain::ledger::{
    Books, Coupon, CouponKind, Entry, LedgerAccount, MOST, Occasion, Reason, TrialBalance, Wallet, signed,
};
use crate::domain::notice::{Notice, Topic};
use crate::domain::{CouponId, CustomerId, EntryId, Error, Kind, Money, Result, Timestamp};
use crate::store::records::{Batch, Index, Rows, Stored, target};

/// How many records are read at once.
const AT_ONCE: usize = 500;

/// What an operator credits to a customer.
#[derive(Debug, Clone)]
pub struct NewCredit {
    /// Whose.
    pub customer: CustomerId,
    /// What.
    pub kind: CreditKind,
    /// How much; of points, a hundredth of how many.
    pub amount: Money,
    /// Why, in the operator's words.
    pub note: String,
}

/// What is credited.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CreditKind {
    /// Money that was paid outside.
    Cash,
    /// A gift card.
    Gift,
    /// A voucher or a package of benefit points.
    Coupon {
        /// Which of the two.
        kind: CouponKind,
        /// The only product that it pays for.
        product: Option<String>,
        /// When it lapses.
        expires: Option<Timestamp>,
    },
}

/// A payment that a provider tells of.
#[derive(Debug, Clone)]
pub struct NewPayment {
    /// The provider's id of the event, by which it is known when it comes again.
    pub event: String,
    /// Who paid.
    pub customer: CustomerId,
    /// How much.
    pub amount: Money,
}

/// The balances of a customer as they were read.
pub(super) struct BooksRead {
    wallet: Option<Stored<Wallet>>,
    coupons: Vec<Stored<Coupon>>,
    pub(super) books: Books,
}

impl BooksRead {
    /// Adds an entry to a batch, and what it makes of the balances, which must still be as they were read.
    pub(super) fn post(&self, batch: Batch, entry: &Entry) -> Result<Batch> {
        let after = self.books.clone().post(entry)?;
        let mut batch = record(batch, entry);
        if after.wallet != self.books.wallet {
            batch = batch.set(self.wallet.as_ref(), &after.wallet);
        }
        for (read, coupon) in self.coupons.iter().zip(&after.coupons) {
            if **read != *coupon {
                batch = batch.replace(read, coupon);
            }
        }
        Ok(batch)
    }
}

/// Adds an entry that moves no balance of a customer.
pub(super) fn record(batch: Batch, entry: &Entry) -> Batch {
    let row = Index::EntryOfCustomer(&entry.customer, entry.at, &entry.id);
    batch.insert(entry).index(&row, entry.id.as_str())
}

impl Ra {
    /// The balances of a customer, to be changed.
    pub(super) async fn books(&self, customer: &CustomerId) -> Result<BooksRead> {
        let wallet = self.records.find::<Wallet>(customer).await?;
        let mut coupons: Vec<Stored<Coupon>> = Vec::new();
        loop {
            let after = coupons.last().map(|last| [last.customer.as_str(), last.id.as_str()].concat().into_bytes());
            let page = self.records.list::<Coupon>(customer.as_str().as_bytes(), after, AT_ONCE).await?;
            let last = page.len() < AT_ONCE;
            coupons.extend(page);
            if last {
                break;
            }
        }
        let books = Books {
            wallet: wallet.as_deref().cloned().unwrap_or_else(|| Wallet::empty(customer.clone())),
            coupons: coupons.iter().map(|coupon| (**coupon).clone()).collect(),
        };
        Ok(BooksRead { wallet, coupons, books })
    }

    /// The balances of a customer.
    pub async fn balance(&self, customer: &CustomerId) -> Result<Books> {
        self.customer(customer).await?;
        Ok(self.books(customer).await?.books)
    }

    /// Up to `limit` entries that move a customer's balances, behind the one of that id, oldest first.
    pub async fn ledger(&self, customer: &CustomerId, after: Option<&EntryId>, limit: usize) -> Result<Vec<Entry>> {
        self.customer(customer).await?;
        let after = match after {
            Some(id) => {
                let last = self.records.find::<Entry>(id).await?.filter(|entry| entry.customer == *customer);
                let last = last.ok_or_else(|| Error::not_found(format!("There is no entry {id}.")))?;
                Some(Index::EntryOfCustomer(customer, last.at, id).id())
            }
            None => None,
        };
        let rows = self.records.rows(&Rows::EntriesOfCustomer(customer), after, limit).await?;
        let ids = rows.iter().map(|(_, id)| target::<EntryId>(id)).collect::<Result<Vec<_>, _>>()?;
        let found = self.records.find_all::<Entry>(&ids).await?;
        Ok(found.into_iter().flatten().map(Stored::into_value).collect())
    }

    /// Credits a balance, or grants a voucher or a package.
    pub async fn credit(&self, asked: NewCredit) -> Result<Entry> {
        let note = noted(&asked.note)?;
        let amount = within_bounds(asked.amount)?;
        if let CreditKind::Coupon { product: Some(product), .. } = &asked.kind
            && self.catalog().product(product).is_none()
        {
            return Err(Error::not_found(format!("There is no product \"{product}\".")));
        }
        settle(|| self.credit_once(&asked, amount, &note)).await
    }

    async fn credit_once(&self, asked: &NewCredit, amount: Money, note: &str) -> Result<Entry, Stop> {
        let customer = self.stored_customer(&asked.customer).await?;
        let now = self.now();
        let occasion = Occasion {
            reason: Reason::Credit,
            customer: customer.id.clone(),
            purchase: None,
            reference: note.to_owned(),
            at: now,
        };
        let (act, cents) = (|kind: &str| self.credited(&asked.customer, kind, amount, note), signed(amount));
        let read = self.books(&asked.customer).await?;
        let (batch, entry) = match &asked.kind {
            CreditKind::Cash => {
                let entry = Entry::of(occasion, [(LedgerAccount::Outside, -cents), (LedgerAccount::Cash, cents)])?;
                (read.post(Batch::of(act("cash"), now), &entry)?, entry)
            }
            CreditKind::Gift => {
                let entry = Entry::of(occasion, [(LedgerAccount::GiftsGranted, -cents), (LedgerAccount::Gift, cents)])?;
                (read.post(Batch::of(act("gift"), now), &entry)?, entry)
            }
            CreditKind::Coupon { kind, product, expires } => {
                if expires.is_some_and(|end| end <= now) {
                    return Err(Error::malformed("\"expires\" is in the past.").into());
                }
                let coupon = Coupon {
                    id: CouponId::random(),
                    customer: customer.id.clone(),
                    kind: *kind,
                    granted: amount,
                    left: amount,
                    product: product.clone(),
                    expires: *expires,
                    created: now,
                };
                let (granted, word) = match kind {
                    CouponKind::Voucher => (LedgerAccount::VouchersGranted, "voucher"),
                    CouponKind::Points => (LedgerAccount::PointsGranted, "points"),
                };
                let entry = Entry::of(occasion, [(granted, -cents), (coupon.account(), cents)])?;
                (record(Batch::of(act(word), now), &entry).insert(&coupon), entry)
            }
        };
        let told = format!("{amount} USD were credited to your balance ({}): {note}", kind_of(&asked.kind));
        let notice = Notice::new(&customer.id, (Topic::Billing, "balance-credited"), "Balance credited", told, now);
        self.records.commit(batch.check(&customer).notice(&notice)).await?;
        Ok(entry)
    }

    fn credited(&self, customer: &CustomerId, kind: &str, amount: Money, note: &str) -> Act {
        Act::BalanceCredited { customer: customer.clone(), kind: kind.to_owned(), amount, note: note.to_owned() }
    }

    /// Takes note of a payment: exactly once for each event, however often it is told. Whether it is new.
    pub async fn take_payment(&self, payment: NewPayment) -> Result<(Entry, bool)> {
        if payment.event.is_empty() || payment.event.len() > 200 || payment.event.chars().any(char::is_control) {
            return Err(Error::malformed("\"event\" has 1 to 200 characters and no control characters."));
        }
        within_bounds(payment.amount)?;
        settle(|| self.take_payment_once(&payment)).await
    }

    async fn take_payment_once(&self, payment: &NewPayment) -> Result<(Entry, bool), Stop> {
        let hash = digest(&SHA256, payment.event.as_bytes());
        let hash: [u8; 32] = hash.as_ref().try_into().expect("SHA-256 has 32 octets, always");
        let row = Index::PaymentEvent(&hash);
        let cents = signed(payment.amount);
        let moves = [(LedgerAccount::Outside, -cents), (LedgerAccount::Cash, cents)];
        if let Some(known) = self.records.follow(&row).await? {
            let entry = self.records.find::<Entry>(target::<EntryId>(&known)?).await?;
            let entry = entry.ok_or_else(|| Error::internal("an entry of the ledger is gone"))?.into_value();
            let same = entry.customer == payment.customer
                && entry.postings.iter().map(|posting| posting.cents).eq(moves.iter().map(|(_, cents)| *cents));
            let told = || format!("The event \"{}\" was told before, with another customer or amount.", payment.event);
            return if same { Ok((entry, false)) } else { Err(Error::new(Kind::Conflict, told()).into()) };
        }
        let customer = self.stored_customer(&payment.customer).await?;
        let now = self.now();
        let occasion = Occasion {
            reason: Reason::Payment,
            customer: customer.id.clone(),
            purchase: None,
            reference: payment.event.clone(),
            at: now,
        };
        let entry = Entry::of(occasion, moves)?;
        let read = self.books(&payment.customer).await?;
        let act = self.credited(&payment.customer, "payment", payment.amount, &payment.event);
        let batch = read.post(Batch::of(act, now), &entry)?.check(&customer).claim(&row, entry.id.as_str());
        let told = format!("Your payment of {} USD ({}) was credited to your balance.", payment.amount, payment.event);
        let notice = Notice::new(&customer.id, (Topic::Billing, "payment-received"), "Payment received", told, now);
        self.records.commit(batch.notice(&notice)).await?;
        Ok((entry, true))
    }

    /// Sets what a customer is let off every price.
    pub async fn set_discount(&self, customer: &CustomerId, percent: u8) -> Result<Books> {
        if percent > 100 {
            return Err(Error::malformed(format!("\"percent\" is {percent}; it must be between 0 and 100.")));
        }
        settle(|| async {
            let known = self.stored_customer(customer).await?;
            let read = self.books(customer).await?;
            let wallet = Wallet { discount_percent: percent, ..read.books.wallet.clone() };
            let act = Act::DiscountSet { customer: customer.clone(), percent };
            let batch = Batch::of(act, self.now()).check(&known).set(read.wallet.as_ref(), &wallet);
            self.records.commit(batch).await?;
            Ok(Books { wallet, coupons: read.books.coupons })
        })
        .await
    }

    /// Adds up all entries and all balances. What is written meanwhile can make them differ for a moment, so a difference
    /// is looked at again.
    pub async fn trial_balance(&self) -> Result<TrialBalance> {
        for _ in 0..4 {
            let found = self.add_up().await?;
            if found.balanced() {
                return Ok(found);
            }
        }
        self.add_up().await
    }

    async fn add_up(&self) -> Result<TrialBalance> {
        let mut sums = TrialBalance::default();
        let mut after = None;
        loop {
            let wallets = self.records.list::<Wallet>(b"", after.take(), AT_ONCE).await?;
            let Some(last) = wallets.last() else { break };
            after = Some(last.customer.as_str().into());
            for wallet in &wallets {
                sums.hold("cash", wallet.cash);
                sums.hold("gift", wallet.gift);
            }
        }
        loop {
            let coupons = self.records.list::<Coupon>(b"", after.take(), AT_ONCE).await?;
            let Some(last) = coupons.last() else { break };
            after = Some([last.customer.as_str(), last.id.as_str()].concat().into());
            coupons.iter().for_each(|coupon| sums.hold(coupon.account().as_str(), coupon.left));
        }
        loop {
            let entries = self.records.list::<Entry>(b"", after.take(), AT_ONCE).await?;
            let Some(last) = entries.last() else { return Ok(sums) };
            after = Some(last.id.as_str().into());
            entries.iter().for_each(|entry| sums.count(entry));
        }
    }
}

fn kind_of(kind: &CreditKind) -> &'static str {
    match kind {
        CreditKind::Cash => "cash",
        CreditKind::Gift => "gift card",
        CreditKind::Coupon { kind: CouponKind::Voucher, .. } => "voucher",
        CreditKind::Coupon { kind: CouponKind::Points, .. } => "benefit points",
    }
}

fn within_bounds(amount: Money) -> Result<Money> {
    match amount > Money::ZERO && amount <= MOST {
        true => Ok(amount),
        false => Err(Error::malformed(format!("\"amount\" is {amount}; it must be between 0.01 and {MOST}."))),
    }
}

fn noted(note: &str) -> Result<String> {
    let note = note.trim();
    if note.is_empty() || note.len() > 1000 || note.chars().any(char::is_control) {
        return Err(Error::malformed("\"note\" says why, in 1 to 1000 characters without control characters."));
    }
    Ok(note.to_owned())
}
