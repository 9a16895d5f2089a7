//! What an order is charged to: nothing, a slot of the free quota, or a term of a purchase.

use std::collections::BTreeSet;

use super::placing::names_digest;
use super::quotas::{Reservation, primary_domain};
use super::{Ra, Settings, Stop};
use crate::domain::account::{Account, Holder};
use crate::domain::customer::{Clearance, Customer};
use crate::domain::order::{Order, OrderStatus, Phase, Purpose};
use crate::domain::plan::Plan;
use crate::domain::purchase::Purchase;
use crate::domain::{CustomerId, Error, Identifier, OrderId, PurchaseId, Result, Serial};
use crate::policy::admission::{self, Offer, Request, Terms};
use crate::policy::catalog::{Catalog, Product, Sale};
use crate::store::records::{Batch, Index, Rows, Stored, clearance_id, target};

/// How many open purchases of a customer are looked at.
const OPEN_PURCHASES: usize = 500;

/// How an account stands: who is behind it, what they have bought, which names are cleared.
pub(super) struct Standing {
    pub(super) holder: Holder,
    pub(super) customer: Option<Stored<Customer>>,
    open: Vec<OpenPurchase>,
    offers: Vec<Offer>,
    cleared: BTreeSet<String>,
    held: Option<String>,
}

/// A purchase with a term left.
struct OpenPurchase {
    purchase: Stored<Purchase>,
    /// Whether its last term's order came to nothing.
    last_failed: bool,
}

impl OpenPurchase {
    /// Whether no term of it has begun.
    fn is_unused(&self) -> bool {
        self.purchase.terms.len() == usize::from(self.last_failed)
    }
}

/// What an order takes with it.
pub(super) enum Charge {
    Nothing,
    /// A slot of the free quota.
    Slot(Box<Reservation>),
    /// A term of a purchase.
    Term {
        read: Box<Stored<Purchase>>,
        held: Purchase,
    },
}

impl Charge {
    /// The purchase that it uses.
    pub(super) fn purchase(&self) -> Option<PurchaseId> {
        match self {
            Self::Term { held, .. } => Some(held.id.clone()),
            Self::Nothing | Self::Slot(_) => None,
        }
    }

    /// Adds what it changes to the order's batch, so that both happen or neither.
    pub(super) fn write(self, batch: Batch) -> Batch {
        match self {
            Self::Nothing => batch,
            Self::Slot(reservation) => reservation.write(batch),
            Self::Term { read, held } => batch.replace(&read, &held),
        }
    }
}

impl Standing {
    /// What the judgement depends on besides the request.
    pub(super) fn terms<'a>(&'a self, settings: &'a Settings, account: &'a Account) -> Terms<'a> {
        Terms {
            default_product: &settings.default_product,
            order_days: settings.order_days,
            customer: self.customer.as_ref().map(|customer| customer.kind),
            only: account.external.as_ref().and_then(|external| external.product.as_deref()),
            held: self.held.as_deref(),
            offers: &self.offers,
            cleared: &self.cleared,
        }
    }
}

impl Ra {
    /// How an account stands as far as a request for these names needs to know.
    pub(super) async fn standing(&self, account: &Account, catalog: &Catalog, request: &Request) -> Result<Standing> {
        let holder = account.holder();
        let names = &request.identifiers;
        let mut standing = Standing {
            cleared: self.cleared(&holder, catalog, names).await?,
            holder,
            customer: None,
            open: Vec::new(),
            offers: Vec::new(),
            held: None,
        };
        let Holder::Customer(id) = &standing.holder else { return Ok(standing) };
        let found = self.records.find::<Customer>(id).await?;
        standing.customer = Some(found.ok_or_else(|| Error::internal(format!("customer {id} is gone")))?);
        standing.open = self.open_purchases(id).await?;
        let unused = standing.open.iter().filter(|open| open.is_unused());
        standing.offers =
            unused.map(|open| Offer { product: open.purchase.product.clone(), names: open.purchase.names }).collect();
        if request.product.is_none() {
            standing.held = self.held_product(&standing.holder, names).await?;
        }
        Ok(standing)
    }

    /// Those of the names that hold a sensitive word and that an operator has cleared for the holder.
    pub(super) async fn cleared(
        &self,
        holder: &Holder,
        catalog: &Catalog,
        names: &[Identifier],
    ) -> Result<BTreeSet<String>> {
        let flagged = names.iter().filter_map(|name| match name {
            Identifier::Dns(name) => catalog.names().sensitive_word(name, catalog.settings()).map(|_| name.as_str()),
            Identifier::Ip(_) => None,
        });
        let ids: Vec<Vec<u8>> = flagged.map(|name| clearance_id(holder, name)).collect();
        if ids.is_empty() {
            return Ok(BTreeSet::new());
        }
        let found = self.records.find_all::<Clearance>(&ids).await?;
        Ok(found.into_iter().flatten().map(|clearance| clearance.into_value().name).collect())
    }

    async fn open_purchases(&self, customer: &CustomerId) -> Result<Vec<OpenPurchase>> {
        let rows = self.records.rows(&Rows::OpenPurchases(customer), None, OPEN_PURCHASES).await?;
        let ids = rows.iter().map(|(_, id)| target::<PurchaseId>(id)).collect::<Result<Vec<_>, _>>()?;
        let mut open = Vec::with_capacity(ids.len());
        for purchase in self.records.find_all::<Purchase>(&ids).await?.into_iter().flatten() {
            let last_failed = match purchase.terms.last() {
                Some(order) => self.order_view(order).await?.status() == OrderStatus::Invalid,
                None => false,
            };
            open.push(OpenPurchase { purchase, last_failed });
        }
        Ok(open)
    }

    /// The product of what the holder has for exactly these names: an open order, or a certificate.
    async fn held_product(&self, holder: &Holder, names: &[Identifier]) -> Result<Option<String>> {
        for (_, order) in self.records.rows(&Rows::Held(holder, &names_digest(names)), None, 100).await? {
            let view = self.order_view(&target(&order)?).await?;
            let live = match &view.order.phase {
                Phase::Issued { serial, .. } => {
                    let certificate = self.certificate_of(serial).await?;
                    !certificate.is_revoked() && view.now < certificate.not_after
                }
                _ => view.status() != OrderStatus::Invalid,
            };
            if live {
                return Ok(Some(view.order.product.clone()));
            }
        }
        Ok(None)
    }

    /// What an order of that purpose is charged to.
    pub(super) async fn charge(
        &self,
        standing: &Standing,
        product: &Product,
        plan: &Plan,
        purpose: Purpose,
        order: &OrderId,
    ) -> Result<Charge, Stop> {
        match (product.sale, purpose) {
            // a reissue whose names changed counts on its new primary domain.
            (Sale::Free, Purpose::Reissue { of }) if self.moves(plan, &of).await? => {
                Ok(Charge::Slot(Box::new(self.reserve_slot(standing, product, plan, order).await?)))
            }
            // QUOTA-14, REISSUE-07: a reissue costs nothing. QUOTA-16: nor does anything but the free product use the quota.
            (Sale::Open | Sale::Unpriced, _) | (_, Purpose::Reissue { .. }) => Ok(Charge::Nothing),
            (Sale::Free, _) => Ok(Charge::Slot(Box::new(self.reserve_slot(standing, product, plan, order).await?))),
            (Sale::Paid(_), Purpose::Renewal { of }) => {
                let old = self.certificate_of(&of).await?;
                let old = self.records.find::<Order>(&old.order).await?;
                let purchase = old.and_then(|order| order.purchase.clone());
                let next = standing.open.iter().find(|open| {
                    Some(&open.purchase.id) == purchase.as_ref() && open.purchase.has_term_left(open.last_failed)
                });
                // VALIDITY-04: the next year of the same purchase, else a new one.
                let next = next.or_else(|| fitting(standing, product, plan.chargeable));
                term(standing, next, product, plan, order)
            }
            (Sale::Paid(_), Purpose::New) => {
                term(standing, fitting(standing, product, plan.chargeable), product, plan, order)
            }
        }
    }

    /// Whether an order's names are of another primary domain than those of a certificate.
    async fn moves(&self, plan: &Plan, of: &Serial) -> Result<bool> {
        let old = self.certificate_of(of).await?;
        Ok(primary_domain(&plan.identifiers)? != primary_domain(&old.identifiers)?)
    }

    /// The rows that an issued order of a paid product changes: it can be found by its names, and a purchase without a
    /// further term is closed.
    pub(super) async fn settle_purchase(&self, holder: &Holder, order: &Order, batch: Batch) -> Result<Batch> {
        let names = names_digest(&order.identifiers);
        let mut batch = batch;
        if order.purchase.is_some() || !order.purpose.is_new() {
            batch = batch.index(&Index::Held(holder, &names, &order.product), order.id.as_str());
        }
        let Some(id) = &order.purchase else { return Ok(batch) };
        if let Some(purchase) = self.records.find::<Purchase>(id).await?
            && purchase.terms.len() >= purchase.years as usize
        {
            batch = batch.unindex(&Index::OpenPurchase(&purchase.customer, id));
        }
        Ok(batch)
    }
}

/// A purchase of that product for so many names of which no term has begun; the oldest.
fn fitting<'a>(standing: &'a Standing, product: &Product, names: u32) -> Option<&'a OpenPurchase> {
    let fits =
        |open: &&OpenPurchase| open.is_unused() && open.purchase.product == product.id && open.purchase.names == names;
    standing.open.iter().filter(fits).min_by_key(|open| open.purchase.created)
}

fn term(
    standing: &Standing,
    open: Option<&OpenPurchase>,
    product: &Product,
    plan: &Plan,
    order: &OrderId,
) -> Result<Charge, Stop> {
    let Some(open) = open else {
        let of_product = standing.open.iter().filter(|open| open.is_unused() && open.purchase.product == product.id);
        let bought: Vec<u32> = of_product.map(|open| open.purchase.names).collect();
        return Err(admission::no_purchase(product, plan.chargeable, &bought).into());
    };
    let held = (*open.purchase).clone().with_term(order.clone(), open.last_failed);
    Ok(Charge::Term { read: Box::new(open.purchase.clone()), held })
}
