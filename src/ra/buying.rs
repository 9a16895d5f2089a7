//! Buying: a purchase at the price of the quote, paid outside or from the customer's balances, with its entry in the ledger.

use super::billing::record;
use super::purchases::quote;
use super::{Ra, Stop, settle};
use crate::domain::audit::Act;
use crate::domain::customer::CustomerKind;
use crate::domain::job::Work;
use crate::domain::ledger::{Entry, Occasion, Reason};
use crate::domain::notice::{Notice, Topic};
use crate::domain::order::Phase;
use crate::domain::purchase::{Payment, Purchase, Standing, check_labels};
use crate::domain::{CouponId, CustomerId, Error, Kind, PurchaseId, Result, Serial, Timestamp};
use crate::policy::catalog::{Product, Sale};
use crate::policy::payment::{self, Due};
use crate::store::records::{Batch, Index};

/// A purchase to be made.
#[derive(Debug, Clone)]
pub struct NewPurchase {
    /// Who buys.
    pub customer: CustomerId,
    /// The product.
    pub product: String,
    /// Chargeable names of each certificate.
    pub names: u32,
    /// Terms of one year each; none: the fewest that are sold.
    pub years: Option<u32>,
    /// How it is paid.
    pub pay: Pay,
    /// Words that the customer finds it by (BUY-02).
    pub tags: Vec<String>,
    /// The project that it belongs to (BUY-02).
    pub project: Option<String>,
    /// Whether it is bought again by itself (BUY-07).
    pub auto_renew: bool,
}

/// How a purchase is to be paid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pay {
    /// Outside of this server.
    Outside,
    /// From the customer's balances.
    Balance {
        /// The vouchers and packages to use, in this sequence; none: those that fit.
        coupons: Option<Vec<CouponId>>,
    },
}

impl NewPurchase {
    /// So many names of a product for the fewest years that are sold, paid outside.
    pub fn of(customer: CustomerId, product: &str, names: u32) -> Self {
        Self {
            customer,
            product: product.to_owned(),
            names,
            years: None,
            pay: Pay::Outside,
            tags: Vec::new(),
            project: None,
            auto_renew: false,
        }
    }
}

impl Ra {
    /// Buys: the price is that of the quote, charged once in full (BUY-01 to BUY-08).
    pub async fn create_purchase(&self, asked: NewPurchase) -> Result<Purchase> {
        check_labels(&asked.tags, asked.project.as_deref())?;
        settle(|| async {
            let (purchase, batch) = self.buy(&asked).await?;
            self.records.commit(batch).await?;
            Ok(purchase)
        })
        .await
    }

    /// A purchase, and the batch that makes it.
    pub(super) async fn buy(&self, asked: &NewPurchase) -> Result<(Purchase, Batch)> {
        let product = self.product_named(&asked.product)?;
        let customer = self.stored_customer(&asked.customer).await?;
        // CAT-15
        if product.class.needs_organisation() && customer.kind == CustomerKind::Individual {
            return Err(Error::new(
                Kind::UserActionRequired,
                format!("\"{}\" needs a registered organisation; individuals can order DV only (CAT-15).", product.id),
            ));
        }
        let quote = quote(&product, asked.names, asked.years)?;
        if !matches!(product.sale, Sale::Paid(_)) {
            return Err(Error::new(
                Kind::InvalidProfile,
                format!("\"{}\" is free; order it without a purchase (BUY-04).", product.id),
            ));
        }
        let now = self.now();
        let books = self.books(&asked.customer).await?;
        let payment = match &asked.pay {
            Pay::Outside => Payment::default(),
            Pay::Balance { coupons } => {
                let due = Due { product: &product.id, price: quote.total, coupons: coupons.as_deref() };
                payment::split(&due, &books.books, now)?
            }
        };
        let purchase = Purchase {
            id: PurchaseId::random(),
            customer: customer.id.clone(),
            product: product.id.clone(),
            names: quote.names,
            years: quote.years,
            price: quote.total,
            created: now,
            terms: Vec::new(),
            payment,
            tags: asked.tags.clone(),
            project: asked.project.clone(),
            auto_renew: asked.auto_renew,
            follower: None,
            standing: Standing::InForce,
        };
        let act = Act::PurchaseCreated {
            purchase: purchase.id.clone(),
            customer: purchase.customer.clone(),
            product: purchase.product.clone(),
            price: purchase.price,
        };
        let entry =
            Entry::of(occasion(&purchase, Reason::Purchase, now), payment::postings(&purchase.payment, quote.total))?;
        let batch = Batch::of(act, now)
            .insert(&purchase)
            .index(&Index::OpenPurchase(&purchase.customer, &purchase.product, &purchase.id), purchase.id.as_str())
            .index(&Index::PurchaseOfCustomer(&purchase.customer, now, &purchase.id), purchase.id.as_str())
            .notice(&bought(&purchase, &product, now));
        let batch = match purchase.payment.is_from_balance() {
            true => books.post(batch, &entry)?,
            false => record(batch, &entry),
        };
        Ok((purchase, batch))
    }

    /// Sets whether a purchase is bought again by itself (BUY-07).
    pub async fn set_auto_renewal(&self, id: &PurchaseId, enabled: bool) -> Result<Purchase> {
        settle(|| async {
            let read = self.stored_purchase(id).await?;
            if !read.is_in_force() {
                return Err(Stop::Refused(Error::new(
                    Kind::Conflict,
                    "The purchase was canceled or refunded: nothing of it is renewed (BUY-07).",
                )));
            }
            let purchase = Purchase { auto_renew: enabled, ..(*read).clone() };
            let now = self.now();
            let act = Act::AutoRenewalSet { purchase: id.clone(), enabled };
            let batch = Batch::of(act, now).replace(&read, &purchase);
            // In the last days of a certificate it is looked at once more than every day.
            let batch = match self.last_certificate(&read).await? {
                Some(certificate) if enabled && !read.auto_renew => {
                    batch.later(now, Work::Continue { purchase: id.clone(), certificate, tries: 0, besides: true })
                }
                _ => batch,
            };
            self.records.commit(batch).await?;
            Ok(purchase)
        })
        .await
    }

    /// The certificate of the term of a purchase that was begun last.
    async fn last_certificate(&self, purchase: &Purchase) -> Result<Option<Serial>> {
        let Some(order) = purchase.terms.last() else { return Ok(None) };
        Ok(match self.order_view(order).await?.order.phase {
            Phase::Issued { serial, .. } => Some(serial),
            _ => None,
        })
    }
}

/// What an entry about a purchase says of it.
pub(super) fn occasion(purchase: &Purchase, reason: Reason, at: Timestamp) -> Occasion {
    Occasion {
        reason,
        customer: purchase.customer.clone(),
        purchase: Some(purchase.id.clone()),
        reference: purchase.product.clone(),
        at,
    }
}

/// BUY-03: what was bought and what comes next.
fn bought(purchase: &Purchase, product: &Product, now: Timestamp) -> Notice {
    let Purchase { names, years, price, payment, .. } = purchase;
    let paid = match payment.is_from_balance() {
        true => format!(
            "{price} USD were paid: discount {}, vouchers {}, points {}, gift {}, cash {}.",
            payment.discount,
            payment.voucher(),
            payment.point(),
            payment.gift,
            payment.cash
        ),
        false => format!("{price} USD were paid outside of this server."),
    };
    let text = format!(
        "You bought \"{}\" for {names} chargeable name(s) and {years} year(s). {paid} Submit the application data first: order \
         with an ACME client and the profile \"{}\" (BUY-03); give as many names as you bought (BUY-05).",
        product.id, product.id
    );
    Notice::new(&purchase.customer, (Topic::Billing, "purchase-created"), "Purchase made", text, now)
        .of_purchase(&purchase.id)
}
