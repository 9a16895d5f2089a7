//! What an order is charged to: nothing, a slot of the free quota, or a term of a purchase.

use std::collections::BTreeSet;

use super::placing::{Precedent, names_digest};
use super::quotas::{Reservation, primary_domain};
use super::{Ra, Settings, Stop};
use crate::domain::account::{Account, Holder};
use crate::domain::audit::Act;
use crate::domain::certificate::Certificate;
use crate::domain::customer::{Clearance, Customer};
use crate::domain::hand_order::HandOrder;
use crate::domain::order::{Order, OrderStatus, Phase, Purpose};
use crate::domain::plan::Plan;
use crate::domain::purchase::{LastTerm, Purchase};
use crate::domain::{CustomerId, Error, Identifier, Kind, OrderId, Problem, PurchaseId, Result, Timestamp};
use crate::policy::admission::{self, Offer, Request, Terms};
use crate::policy::catalog::{Catalog, Product, Sale};
use crate::policy::lifecycle::same_names;
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

/// A purchase with a term left, or whose last term's order is not settled.
struct OpenPurchase {
    purchase: Stored<Purchase>,
    last: LastTerm,
}

impl OpenPurchase {
    /// Whether no term of it has begun.
    fn is_unused(&self) -> bool {
        self.purchase.begun(&self.last) == 0
    }

    /// The purchase after an order of its last term gave way.
    fn without(&self, order: Option<&Stored<Order>>) -> Self {
        let gone = matches!((&self.last, order), (LastTerm::Open { order, .. }, Some(gone)) if *order == gone.id);
        let last = if gone { LastTerm::Failed } else { self.last.clone() };
        Self { purchase: self.purchase.clone(), last }
    }

    /// The charge of an order that uses a term of it.
    fn charge(&self, order: &OrderId, gives_way: Option<Stored<Order>>) -> Charge {
        let held = (*self.purchase).clone().with_term(order.clone(), &self.last);
        Charge::Term { read: Box::new(self.purchase.clone()), held: Box::new(held), gives_way: gives_way.map(Box::new) }
    }

    fn has_term_left(&self) -> bool {
        self.purchase.has_term_left(&self.last)
    }
}

/// What an order takes with it.
pub(super) enum Charge {
    Nothing,
    /// Nothing more than what was paid with that purchase.
    Paid(PurchaseId),
    /// A slot of the free quota.
    Slot(Box<Reservation>),
    /// A term of a purchase.
    Term {
        read: Box<Stored<Purchase>>,
        held: Box<Purchase>,
        /// The order of the server's own that it takes the place of.
        gives_way: Option<Box<Stored<Order>>>,
    },
}

impl Charge {
    /// The purchase that it uses.
    pub(super) fn purchase(&self) -> Option<PurchaseId> {
        match self {
            Self::Term { held, .. } => Some(held.id.clone()),
            Self::Paid(purchase) => Some(purchase.clone()),
            Self::Nothing | Self::Slot(_) => None,
        }
    }

    /// Adds what it changes to the order's batch, so that both happen or neither.
    pub(super) fn write(self, batch: Batch, now: Timestamp) -> Batch {
        match self {
            Self::Nothing | Self::Paid(_) => batch,
            Self::Slot(reservation) => reservation.write(batch),
            Self::Term { read, held, gives_way } => {
                let batch = batch.replace(&read, &held);
                gives_way.iter().fold(batch, |batch, order| given_way(batch, order, now))
            }
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
            advise: true,
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
        let found = found.ok_or_else(|| Error::internal(format!("customer {id} is gone")))?;
        found.checked()?;
        standing.customer = Some(found);
        standing.open = self.open_purchases(id, request.product.as_deref()).await?;
        let unused = standing.open.iter().filter(|open| open.is_unused());
        standing.offers =
            unused.map(|open| Offer { product: open.purchase.product.clone(), names: open.purchase.names }).collect();
        if request.product.is_none() {
            standing.held = self.held_product(&standing, names).await?;
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
            Identifier::Dns(name) => catalog.sensitive_word(name).map(|_| name.as_str()),
            Identifier::Ip(_) => None,
        });
        let ids: Vec<Vec<u8>> = flagged.map(|name| clearance_id(holder, name)).collect();
        if ids.is_empty() {
            return Ok(BTreeSet::new());
        }
        let found = self.records.find_all::<Clearance>(&ids).await?;
        Ok(found.into_iter().flatten().map(|clearance| clearance.into_value().name).collect())
    }

    /// A customer's open purchases; of one who has very many those of the product asked for.
    async fn open_purchases(&self, customer: &CustomerId, product: Option<&str>) -> Result<Vec<OpenPurchase>> {
        let mut rows = self.records.rows(&Rows::OpenPurchases(customer, None), None, OPEN_PURCHASES).await?;
        if product.is_some() && rows.len() == OPEN_PURCHASES {
            rows = self.records.rows(&Rows::OpenPurchases(customer, product), None, OPEN_PURCHASES).await?;
        }
        let ids = rows.iter().map(|(_, id)| target::<PurchaseId>(id)).collect::<Result<Vec<_>, _>>()?;
        let mut open = Vec::with_capacity(ids.len());
        for purchase in self.records.find_all::<Purchase>(&ids).await?.into_iter().flatten() {
            // REFUND-04: what went back, or is to go back, entitles to nothing.
            if !purchase.is_in_force() {
                continue;
            }
            let last = match purchase.terms.last() {
                Some(order) => self.order_view(order).await?.as_last_term(),
                None => LastTerm::Settled,
            };
            open.push(OpenPurchase { purchase, last });
        }
        // What was bought first is offered first.
        open.sort_by_key(|open| open.purchase.created);
        Ok(open)
    }

    /// The product of what the holder has for exactly these names: an open order, a certificate whose term lasts, or one that
    /// has ended and whose purchase has a term left.
    async fn held_product(&self, standing: &Standing, names: &[Identifier]) -> Result<Option<String>> {
        let mut lapsed = None;
        for (_, order) in self.records.rows(&Rows::Held(&standing.holder, &names_digest(names)), None, 100).await? {
            let view = self.order_view(&target(&order)?).await?;
            let product = &view.order.product;
            if !matches!(view.status(), OrderStatus::Valid | OrderStatus::Invalid) {
                return Ok(Some(product.clone()));
            }
            let Some(certificate) = self.certificate_behind(&view.order).await? else { continue };
            if view.now < certificate.term_end() {
                return Ok(Some(product.clone()));
            }
            let purchase = self.purchase_behind(&certificate).await?;
            if standing.open.iter().any(|open| Some(&open.purchase.id) == purchase.as_ref()) {
                lapsed.get_or_insert(product.clone());
            }
        }
        Ok(lapsed)
    }

    /// The purchase that paid for a certificate.
    async fn purchase_behind(&self, certificate: &Certificate) -> Result<Option<PurchaseId>> {
        let order = self.records.find::<Order>(&certificate.order).await?;
        Ok(order.and_then(|order| order.purchase.clone()))
    }

    /// What an order is charged to, given what it is to an earlier certificate.
    pub(super) async fn charge(
        &self,
        standing: &Standing,
        product: &Product,
        plan: &Plan,
        precedent: &Precedent,
        order: &OrderId,
    ) -> Result<Charge, Stop> {
        let earlier = precedent.earlier.as_deref();
        let purchase = match (product.sale, earlier) {
            (Sale::Paid(_), Some(earlier)) => self.purchase_behind(earlier).await?,
            _ => None,
        };
        match (product.sale, precedent.purpose) {
            (Sale::Open | Sale::Unpriced, _) => Ok(Charge::Nothing),
            // a reissue whose names changed counts on its new primary domain.
            (Sale::Free, Purpose::Reissue { .. }) if moves(plan, earlier)? => {
                Ok(Charge::Slot(Box::new(self.reserve_slot(standing, product, plan, order).await?)))
            }
            // QUOTA-14, REISSUE-07: a reissue costs nothing. QUOTA-16: nor does anything but the free product use the quota.
            (_, Purpose::Reissue { .. }) => {
                let Some(id) = purchase else { return Ok(Charge::Nothing) };
                // with other names it still covers as many as were bought (BUY-05).
                let bought = self.purchase(&id).await?.purchase.names;
                let same = earlier.is_some_and(|earlier| same_names(&earlier.identifiers, &plan.identifiers));
                if !same && bought != plan.chargeable {
                    return Err(admission::no_purchase(product, plan.chargeable, &[bought]).into());
                }
                Ok(Charge::Paid(id))
            }
            (Sale::Free, _) => Ok(Charge::Slot(Box::new(self.reserve_slot(standing, product, plan, order).await?))),
            // VALIDITY-04: the next year of the same purchase, else a new one. Who was late loses no year: the names are the
            // same (DOM-12), only the roll-over is gone.
            (Sale::Paid(_), Purpose::New | Purpose::Renewal { .. }) => {
                let same = standing.open.iter().find(|open| Some(&open.purchase.id) == purchase.as_ref());
                // One term at a time: a client that asks for other dates than before does not use up a second.
                let mut gives_way = None;
                for last in [Some(&precedent.last), same.map(|same| &same.last)].into_iter().flatten() {
                    match self.gives_way(last).await? {
                        Some(order) => gives_way = Some(order),
                        None => self.refuse_while_open(product, last)?,
                    }
                }
                let next = same.map(|same| same.without(gives_way.as_ref())).filter(OpenPurchase::has_term_left);
                match next.or_else(|| fitting(standing, product, plan.chargeable, gives_way.as_ref())) {
                    Some(open) => Ok(open.charge(order, gives_way)),
                    None => Err(self.nothing_bought(standing, product, plan.chargeable).into()),
                }
            }
        }
    }

    /// The open order of a term, if it is one that the server placed itself (VALIDITY-04): it gives way to whoever orders the
    /// same names, who has the key and will fetch the certificate.
    async fn gives_way(&self, last: &LastTerm) -> Result<Option<Stored<Order>>> {
        let LastTerm::Open { order, .. } = last else { return Ok(None) };
        let hand = self.records.find::<HandOrder>(order).await?;
        // What the customer placed by REST is the customer's own.
        if !hand.is_some_and(|hand| hand.automatic) {
            return Ok(None);
        }
        let order = self.order_view(order).await?.order;
        Ok(matches!(order.phase, Phase::Open).then_some(order))
    }

    fn refuse_while_open(&self, product: &Product, last: &LastTerm) -> Result<()> {
        match last {
            LastTerm::Open { order, until } => Err(admission::purchase_in_use(product, order, *until, self.now())),
            LastTerm::Settled | LastTerm::Failed => Ok(()),
        }
    }

    /// Why no purchase pays for so many names: the one that would is in use, or there is none.
    fn nothing_bought(&self, standing: &Standing, product: &Product, names: u32) -> Error {
        let of_product = || standing.open.iter().filter(|open| open.purchase.product == product.id);
        let first_terms = of_product().filter(|open| open.purchase.terms.len() == 1 && open.purchase.names == names);
        let in_use = first_terms.map(|open| self.refuse_while_open(product, &open.last)).find_map(Result::err);
        in_use.unwrap_or_else(|| {
            let unused = of_product().filter(|open| open.is_unused());
            admission::no_purchase(product, names, &unused.map(|open| open.purchase.names).collect::<Vec<_>>())
        })
    }

    /// The rows that an issued order of a paid product changes: it can be found by its names, and a purchase without a
    /// further term is closed.
    pub(super) async fn settle_purchase(
        &self,
        holder: &Holder,
        order: &Order,
        certificate: &Certificate,
        batch: Batch,
    ) -> Result<Batch> {
        let names = names_digest(&order.identifiers);
        let Some(id) = &order.purchase else { return Ok(batch) };
        let row = Index::Held(holder, &names, &order.product);
        let read = self.records.follow(&row).await?;
        let outlived = match &read {
            Some(read) => self.outlives(&target::<OrderId>(read)?, certificate).await?,
            None => false,
        };
        let mut batch = if outlived { batch } else { batch.point(&row, read.as_ref(), order.id.as_str()) };
        // While the last term's order may still come to nothing, its term may come back.
        if let Some(purchase) = self.records.find::<Purchase>(id).await?
            && purchase.terms.len() >= purchase.years as usize
            && purchase.terms.last() == Some(&order.id)
        {
            batch = batch.unindex(&Index::OpenPurchase(&purchase.customer, &purchase.product, id));
        }
        if let Some(customer) = holder.customer() {
            batch = self.foresee(batch, order, certificate, customer);
        }
        Ok(batch)
    }

    /// Whether an order is what its holder has for the names rather than that certificate: a renewal that is open or issued
    /// when a reissue of the certificate before is finished late.
    async fn outlives(&self, order: &OrderId, certificate: &Certificate) -> Result<bool> {
        if *order == certificate.order {
            return Ok(false);
        }
        let view = self.order_view(order).await?;
        match &view.order.phase {
            Phase::Issued { serial, .. } => {
                let other = self.certificate_of(serial).await?;
                Ok(!other.is_revoked() && certificate.term_end() < other.term_end())
            }
            _ => Ok(view.status() != OrderStatus::Invalid),
        }
    }

    /// The purchase that pays for an order, which still has the order among its terms: one that was over for a moment may
    /// have lost its term to another (BUY-08).
    pub(super) async fn check_term(&self, order: &Order) -> Result<Option<Stored<Purchase>>> {
        let (Some(id), Purpose::New | Purpose::Renewal { .. }) = (&order.purchase, order.purpose) else {
            return Ok(None);
        };
        let purchase = self.records.find::<Purchase>(id).await?;
        if purchase.as_ref().is_some_and(|purchase| !purchase.is_in_force()) {
            let told = "The purchase that paid for the order was canceled or refunded; buy again (REFUND-04).";
            return Err(Error::new(Kind::UserActionRequired, told));
        }
        let kept = purchase.filter(|purchase| purchase.terms.contains(&order.id));
        let told =
            "The order was over for a moment, and its term of the purchase went to another; place a new one (BUY-08).";
        kept.map(Some).ok_or_else(|| Error::new(Kind::RateLimited, told))
    }
}

/// Whether an order's names are of another primary domain than those of the certificate that it follows.
fn moves(plan: &Plan, earlier: Option<&Certificate>) -> Result<bool> {
    let Some(earlier) = earlier else { return Ok(false) };
    Ok(primary_domain(&plan.identifiers)? != primary_domain(&earlier.identifiers)?)
}

/// A purchase of that product for so many names of which no term has begun, or only with the order that gives way; the oldest.
fn fitting(
    standing: &Standing,
    product: &Product,
    names: u32,
    gives_way: Option<&Stored<Order>>,
) -> Option<OpenPurchase> {
    let fits =
        |open: &OpenPurchase| open.is_unused() && open.purchase.product == product.id && open.purchase.names == names;
    let open = standing.open.iter().map(|open| open.without(gives_way));
    open.filter(fits).min_by_key(|open| open.purchase.created)
}

/// Ends an order of the server's own, because its holder's own order takes its place.
fn given_way(batch: Batch, read: &Stored<Order>, now: Timestamp) -> Batch {
    let told = "Another order of the same customer for the same names took its place.";
    let problem = Problem::new(Kind::Canceled, told);
    let act = Act::OrderFailed { order: read.id.clone(), problem: problem.clone() };
    batch.and(act, now).replace(read, &(**read).clone().fail(problem, now))
}
