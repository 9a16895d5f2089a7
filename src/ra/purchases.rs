//! Purchases: what a customer has paid for, and what it would cost.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::reports::PurchaseReport;
use super::{Ra, Request};
use crate::domain::customer::CustomerKind;
use crate::domain::purchase::Purchase;
use crate::domain::{CustomerId, Error, Identifier, Problem, PurchaseId, Result};
use crate::policy::admission::{self, Terms};
use crate::policy::catalog::{Catalog, Product};
use crate::policy::free_names::Counted;
use crate::policy::price::{self, Quote};
use crate::store::records::{Index, Rows, Stored, target};

/// Names that somebody wants to know the price of.
#[derive(Debug, Clone)]
pub struct QuotedNames {
    /// Those that could be read.
    pub identifiers: Vec<Identifier>,
    /// What is wrong with the others, each with its name.
    pub unread: Vec<Problem>,
    /// Years; none: the fewest that are sold.
    pub years: Option<u32>,
}

/// A quote for certain names.
#[derive(Debug)]
pub struct NamesQuote {
    /// The quote.
    pub quote: Quote,
    /// Which of the names are charged, and which come free with them.
    pub counted: Counted,
}

impl Ra {
    /// What so many chargeable names of a product cost for so many years; without years for the fewest that are sold.
    pub fn quote(&self, product: &str, names: u32, years: Option<u32>) -> Result<Quote> {
        quote(&*self.product_named(product)?, names, years)
    }

    /// What certificates for these names cost: of one product, or of each that takes them, the cheapest first. Names that
    /// would be refused when ordered are refused here.
    pub fn quote_names(&self, product: Option<&str>, asked: &QuotedNames) -> Result<Vec<NamesQuote>> {
        let catalog = self.catalog();
        if let Some(product) = product {
            return Ok(vec![self.quote_names_of(&catalog, &*self.product_named(product)?, asked)?]);
        }
        let (mut quotes, mut refusals) = (Vec::new(), Vec::new());
        for product in catalog.sold() {
            match self.quote_names_of(&catalog, product, asked) {
                Ok(quote) => quotes.push(quote),
                Err(refusal) => refusals.push(refusal),
            }
        }
        quotes.sort_by(|a, b| (a.quote.total, &a.quote.product).cmp(&(b.quote.total, &b.quote.product)));
        match refusals.into_iter().min_by_key(|refusal| refusal.problem().subproblems.len()) {
            // What the product that comes closest finds wrong.
            Some(closest) if quotes.is_empty() => {
                let problem = closest.into_problem();
                let detail = format!("No product that is sold takes these names. {}", problem.detail);
                Err(Problem { detail, ..problem }.into())
            }
            _ => Ok(quotes),
        }
    }

    fn quote_names_of(&self, catalog: &Catalog, product: &Product, asked: &QuotedNames) -> Result<NamesQuote> {
        let judged = self.judge_names(catalog, product, asked)?;
        let mut quote = quote(product, judged.chargeable(), asked.years)?;
        // WORD-05, design decision 5
        let looks =
            judged.causes.iter().map(|cause| format!("A person looks at {} first: {}", cause.name, cause.reason));
        quote.notes.extend(looks);
        Ok(NamesQuote { quote, counted: judged.counted })
    }

    /// How many of these names a product charges; names that would be refused when ordered are refused.
    pub(super) fn count_names(&self, product: &Product, names: &[Identifier]) -> Result<u32> {
        let asked = QuotedNames { identifiers: names.to_vec(), unread: Vec::new(), years: None };
        Ok(self.judge_names(&self.catalog(), product, &asked)?.chargeable())
    }

    fn judge_names(&self, catalog: &Catalog, product: &Product, asked: &QuotedNames) -> Result<admission::Judged> {
        // As an enterprise would order it that has bought nothing yet: whoever asks may become one.
        let terms = Terms {
            default_product: &product.id,
            order_days: self.settings().order_days,
            customer: Some(CustomerKind::Enterprise),
            only: None,
            held: None,
            offers: &[],
            cleared: &BTreeSet::new(),
            // Who asks without naming a product learns of all that fit.
            advise: false,
        };
        let request = Request {
            product: Some(product.id.clone()),
            identifiers: asked.identifiers.clone(),
            unread: asked.unread.clone(),
            ..Request::default()
        };
        admission::judge(catalog, product, request, &terms)
    }

    /// The purchase of that id, and where it stands.
    pub async fn purchase(&self, id: &PurchaseId) -> Result<PurchaseReport> {
        self.purchase_report(self.stored_purchase(id).await?.into_value()).await
    }

    /// The same, to be changed.
    pub(super) async fn stored_purchase(&self, id: &PurchaseId) -> Result<Stored<Purchase>> {
        let found = self.records.find::<Purchase>(id).await?;
        found.ok_or_else(|| Error::not_found(format!("There is no purchase {id}.")))
    }

    /// Up to `limit` purchases behind the one of that id; of one customer, oldest first, or of all.
    pub async fn purchases(
        &self,
        customer: Option<&CustomerId>,
        after: Option<&PurchaseId>,
        limit: usize,
    ) -> Result<Vec<PurchaseReport>> {
        let found: Vec<Purchase> = match customer {
            Some(customer) => self.purchases_of(customer, after, limit).await?,
            None => {
                let found = self.records.list::<Purchase>(b"", after.map(|id| id.as_str().into()), limit).await?;
                found.into_iter().map(|purchase| purchase.into_value()).collect()
            }
        };
        let mut reports = Vec::with_capacity(found.len());
        for purchase in found {
            reports.push(self.purchase_report(purchase).await?);
        }
        Ok(reports)
    }

    async fn purchases_of(
        &self,
        customer: &CustomerId,
        after: Option<&PurchaseId>,
        limit: usize,
    ) -> Result<Vec<Purchase>> {
        self.customer(customer).await?;
        let after = match after {
            Some(id) => {
                let last = self.stored_purchase(id).await?;
                Some(Index::PurchaseOfCustomer(customer, last.created, id).id())
            }
            None => None,
        };
        let rows = self.records.rows(&Rows::PurchasesOfCustomer(customer), after, limit).await?;
        let ids = rows.iter().map(|(_, id)| target::<PurchaseId>(id)).collect::<Result<Vec<_>, _>>()?;
        let found = self.records.find_all::<Purchase>(&ids).await?;
        Ok(found.into_iter().flatten().map(|purchase| purchase.into_value()).collect())
    }

    pub(super) fn product_named(&self, id: &str) -> Result<Arc<Product>> {
        let shown = || id.chars().take(64).collect::<String>().escape_debug().to_string();
        let found = self.catalog().shared_product(id);
        found.ok_or_else(|| Error::not_found(format!("There is no product \"{}\".", shown())))
    }
}

/// What a product costs; without years for the fewest that are sold.
pub(super) fn quote(product: &Product, names: u32, years: Option<u32>) -> Result<Quote> {
    let fewest = product.years.iter().min().copied().unwrap_or(1);
    price::quote(product, names, years.unwrap_or(fewest))
}
