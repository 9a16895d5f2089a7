//! Purchases: what a customer has paid for.

use std::sync::Arc;

use super::Ra;
use crate::domain::audit::Act;
use crate::domain::customer::CustomerKind;
use crate::domain::purchase::Purchase;
use crate::domain::{CustomerId, Error, Kind, PurchaseId, Result};
use crate::policy::catalog::{Product, Sale};
use crate::policy::price::{self, Quote};
use crate::store::records::{Batch, Index, Rows, target};

/// A purchase to be made.
#[derive(Debug, Clone)]
pub struct NewPurchase {
    /// Who buys.
    pub customer: CustomerId,
    /// The product.
    pub product: String,
    /// Chargeable names of each certificate.
    pub names: u32,
    /// Terms of one year each.
    pub years: u32,
}

impl Ra {
    /// What so many chargeable names of a product cost for so many years.
    pub fn quote(&self, product: &str, names: u32, years: u32) -> Result<Quote> {
        let product = self.product_named(product)?;
        price::quote(&product, names, years)
    }

    /// Buys: the price is that of the quote (BUY-01 to BUY-08).
    pub async fn create_purchase(&self, asked: NewPurchase) -> Result<Purchase> {
        let product = self.product_named(&asked.product)?;
        let customer = self.customer(&asked.customer).await?;
        // CAT-15
        if product.class.needs_organisation() && customer.kind == CustomerKind::Individual {
            return Err(Error::new(
                Kind::UserActionRequired,
                format!("\"{}\" needs a registered organisation; individuals can order DV only (CAT-15).", product.id),
            ));
        }
        let quote = price::quote(&product, asked.names, asked.years)?;
        if !matches!(product.sale, Sale::Paid(_)) {
            return Err(Error::new(
                Kind::InvalidProfile,
                format!("\"{}\" is free; order it without a purchase (BUY-04).", product.id),
            ));
        }
        let now = self.now();
        let purchase = Purchase {
            id: PurchaseId::random(),
            customer: customer.id,
            product: product.id.clone(),
            names: quote.names,
            years: quote.years,
            price: quote.total,
            created: now,
            terms: Vec::new(),
        };
        let act = Act::PurchaseCreated {
            purchase: purchase.id.clone(),
            customer: purchase.customer.clone(),
            product: purchase.product.clone(),
            price: purchase.price,
        };
        let batch = Batch::of(act, now)
            .insert(&purchase)
            .index(&Index::OpenPurchase(&purchase.customer, &purchase.id), purchase.id.as_str())
            .index(&Index::PurchaseOfCustomer(&purchase.customer, now, &purchase.id), purchase.id.as_str());
        self.records.commit(batch).await?;
        Ok(purchase)
    }

    /// The purchase of that id.
    pub async fn purchase(&self, id: &PurchaseId) -> Result<Purchase> {
        let found = self.records.find::<Purchase>(id).await?;
        Ok(found.ok_or_else(|| Error::not_found(format!("There is no purchase {id}.")))?.into_value())
    }

    /// Up to `limit` purchases behind the one of that id; of one customer, oldest first, or of all.
    pub async fn purchases(
        &self,
        customer: Option<&CustomerId>,
        after: Option<&PurchaseId>,
        limit: usize,
    ) -> Result<Vec<Purchase>> {
        let Some(customer) = customer else {
            let after = after.map(|id| id.as_str().into());
            let found = self.records.list::<Purchase>(b"", after, limit).await?;
            return Ok(found.into_iter().map(|purchase| purchase.into_value()).collect());
        };
        let after = match after {
            Some(id) => {
                let last = self.purchase(id).await?;
                Some(Index::PurchaseOfCustomer(customer, last.created, id).id())
            }
            None => None,
        };
        let rows = self.records.rows(&Rows::PurchasesOfCustomer(customer), after, limit).await?;
        let ids = rows.iter().map(|(_, id)| target::<PurchaseId>(id)).collect::<Result<Vec<_>, _>>()?;
        let found = self.records.find_all::<Purchase>(&ids).await?;
        Ok(found.into_iter().flatten().map(|purchase| purchase.into_value()).collect())
    }

    fn product_named(&self, id: &str) -> Result<Arc<Product>> {
        let shown = || id.chars().take(64).collect::<String>().escape_debug().to_string();
        let found = self.catalog().shared_product(id);
        found.ok_or_else(|| Error::not_found(format!("There is no product \"{}\".", shown())))
    }
}
