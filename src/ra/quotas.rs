//! Quotas of free certificates: reserving a slot with the order. A slot is never given back by a write: whether it counts
//! follows from its order, its certificate and the clock (`domain/quota.rs`).

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use super::entitlements::Standing;
use super::telling::is_nearly_exhausted;
use super::{Ra, Stop};
use crate::domain::account::Holder;
use crate::domain::certificate::Certificate;
use crate::domain::customer::{Customer, CustomerKind, Tier};
use crate::domain::error::Help;
use crate::domain::notice::Notice;
use crate::domain::order::{Order, OrderStatus, Phase, Purpose};
use crate::domain::plan::Plan;
use crate::domain::quota::{DomainLedger, HolderLedger, Pool, Slot};
use crate::domain::{CustomerId, Error, Identifier, Kind, OrderId, Result, Serial};
use crate::policy::catalog::{Product, QuotaRules, Sale};
use crate::policy::domains;
use crate::policy::quota::{self, Asker, DomainUsage, Fate, Held, HolderUsage};
use crate::store::records::{Batch, Index, Stored, target};
use crate::telemetry;

/// Where no limit of a primary domain bounds its ledger: at so many slots the older half is forgotten. Those that are left
/// are more than any limit that may hold later.
const UNBOUNDED: usize = 4_000;

/// An order that is being signed when it ends holds its slot for at least so long.
const SIGNING: Duration = Duration::from_secs(60);

/// A slot that an order takes, in the ledgers of its holder and of its primary domain.
pub(super) struct Reservation {
    holder: (Option<Stored<HolderLedger>>, HolderLedger),
    domain: (Option<Stored<DomainLedger>>, DomainLedger),
    /// What its customer is told of the quota, if anything.
    notice: Option<Notice>,
}

impl Reservation {
    /// Adds the ledgers to the order's batch; whoever wrote one of them meanwhile wins.
    pub(super) fn write(self, batch: Batch) -> Batch {
        let (holder, domain) = (self.holder, self.domain);
        let batch = batch.set(holder.0.as_ref(), &holder.1).set(domain.0.as_ref(), &domain.1);
        self.notice.iter().fold(batch, Batch::notice)
    }
}

/// What orders came to; while nobody has looked, each counts for good.
pub(super) struct Fates(Option<HashMap<OrderId, Fate>>);

impl Fates {
    pub(super) fn of(&self, order: &OrderId) -> Fate {
        let lasting = Held::Until(crate::domain::Timestamp::MAX);
        match &self.0 {
            None => Fate { account: lasting, domain: lasting, issued: false },
            // An order that is gone holds nothing.
            Some(known) => {
                known.get(order).copied().unwrap_or(Fate { account: Held::Free, domain: Held::Free, issued: false })
            }
        }
    }

    /// Takes what does not count any more off a holder's ledger.
    pub(super) fn clear_holder(&self, ledger: &mut HolderLedger) {
        let slots = std::mem::take(&mut ledger.slots);
        ledger.slots = quota::prune(slots, |order| self.of(order).account);
        ledger.packages.iter_mut().for_each(|package| quota::settle_package(package, |order| self.of(order)));
    }

    /// Takes what does not count any more off a domain's ledger.
    pub(super) fn clear_domain(&self, ledger: &mut DomainLedger) {
        let slots = std::mem::take(&mut ledger.slots);
        ledger.slots = quota::prune(slots, |order| self.of(order).domain);
    }
}

impl Ra {
    /// Takes a slot for an order of a free product, or refuses it (QUOTA-01, QUOTA-02).
    pub(super) async fn reserve_slot(
        &self,
        standing: &Standing,
        product: &Product,
        plan: &Plan,
        order: &OrderId,
    ) -> Result<Reservation, Stop> {
        let catalog = self.catalog();
        let Some(rules) = catalog.quota() else {
            return Err(Error::internal("a free product without a quota table passed the catalogue's check").into());
        };
        let domain = primary_domain(&plan.identifiers)?;
        let asker = asker(standing.customer.as_deref());
        let read_holder = self.records.find::<HolderLedger>(standing.holder.as_key()).await?;
        let read_domain = self.records.find::<DomainLedger>(domain).await?;
        let mut holder = match &read_holder {
            Some(ledger) => (**ledger).clone(),
            None => HolderLedger::empty(standing.holder.clone()),
        };
        let mut ledger = match &read_domain {
            Some(ledger) => (**ledger).clone(),
            None => DomainLedger::empty(domain.to_owned()),
        };
        let pool = match self.first_pool(rules, asker, &holder, &ledger) {
            Some(pool) if ledger.slots.len() < UNBOUNDED => pool,
            _ => {
                let fates = self.fates(&holder, &ledger).await?;
                fates.clear_holder(&mut holder);
                fates.clear_domain(&mut ledger);
                let (own, used) = self.usages(rules, asker, (&holder, &ledger), &fates);
                match quota::deduct(&own, &used, self.now()) {
                    Ok(pool) => pool,
                    Err(refusal) => {
                        let limit = if used.usage.is_exhausted() { "domain" } else { "account" };
                        metrics::counter!(telemetry::QUOTA_REFUSALS, "limit" => limit).increment(1);
                        if let Holder::Customer(customer) = &standing.holder {
                            self.tell_quota_refusal(customer, &refusal).await?;
                        }
                        return Err(refusal.help(Help::Product(product.id.clone())).into());
                    }
                }
            }
        };
        let now = self.now();
        let slot = Slot { order: order.clone(), domain: domain.to_owned(), pool, since: now };
        match pool {
            Pool::Package => match holder.packages.iter_mut().find(|package| quota::is_open(package, now)) {
                Some(package) => package.orders.push(order.clone()),
                None => return Err(Error::internal("a package that had a place has none").into()),
            },
            Pool::Any | Pool::Provider => holder.slots.push(slot.clone()),
        }
        if rules.primary_domain.is_none() && ledger.slots.len() >= UNBOUNDED {
            ledger.slots.drain(..UNBOUNDED / 2);
        }
        ledger.slots.push(slot);
        let notice = match &standing.holder {
            Holder::Customer(customer) => self.near_the_end(customer, (rules, asker), pool, (&holder, &ledger)).await?,
            Holder::Account(_) => None,
        };
        Ok(Reservation { holder: (read_holder, holder), domain: (read_domain, ledger), notice })
    }

    /// What a customer is told whose ledgers have just got another slot, out of that pool.
    async fn near_the_end(
        &self,
        customer: &CustomerId,
        (rules, asker): (&QuotaRules, Asker),
        pool: Pool,
        (holder, ledger): (&HolderLedger, &DomainLedger),
    ) -> Result<Option<Notice>> {
        let of = |own: &HolderUsage, used: &DomainUsage| {
            let taken = own.pools(used.provider).find(|(other, _)| *other == pool).map_or(own.any, |(_, usage)| *usage);
            [taken, used.usage]
        };
        let (own, used) = self.usages(rules, asker, (holder, ledger), &Fates(None));
        if !of(&own, &used).iter().any(is_nearly_exhausted) {
            return Ok(None);
        }
        let fates = self.fates(holder, ledger).await?;
        let (own, used) = self.usages(rules, asker, (holder, ledger), &fates);
        // The order is not stored yet, so its slot was not counted.
        let [mut taken, mut of_domain] = of(&own, &used);
        taken.used += u32::from(pool != Pool::Package);
        of_domain.used += 1;
        let what = format!("free certificates of {}", ledger.domain);
        self.quota_notice(customer, [(taken, "free certificates".to_owned()), (of_domain, what)]).await
    }

    /// The quota that comes first, if there is room in it even if all that was ever noted still counts: then nobody needs to
    /// look at orders and certificates.
    fn first_pool(
        &self,
        rules: &QuotaRules,
        asker: Asker,
        holder: &HolderLedger,
        domain: &DomainLedger,
    ) -> Option<Pool> {
        let (own, used) = self.usages(rules, asker, (holder, domain), &Fates(None));
        let (first, usage) = own.pools(used.provider).next()?;
        (!usage.is_exhausted() && !used.usage.is_exhausted()).then_some(first)
    }

    fn usages(
        &self,
        rules: &QuotaRules,
        asker: Asker,
        (holder, domain): (&HolderLedger, &DomainLedger),
        fates: &Fates,
    ) -> (HolderUsage, DomainUsage) {
        let (now, fate) = (self.now(), |order: &OrderId| fates.of(order));
        (quota::holder_usage(rules, asker, holder, fate, now), quota::domain_usage(rules, domain, fate, now))
    }

    /// What became of every order in the ledgers.
    pub(super) async fn fates(&self, holder: &HolderLedger, domain: &DomainLedger) -> Result<Fates> {
        let slots = holder.slots.iter().chain(&domain.slots).map(|slot| &slot.order);
        let packaged = holder.packages.iter().flat_map(|package| &package.orders);
        let ids: BTreeSet<&OrderId> = slots.chain(packaged).collect();
        let mut fates = HashMap::new();
        for order in self.records.find_all::<Order>(ids).await?.into_iter().flatten() {
            fates.insert(order.id.clone(), self.fate(&order).await?);
        }
        Ok(Fates(Some(fates)))
    }

    async fn fate(&self, read: &Order) -> Result<Fate> {
        if let Phase::Issued { serial, .. } = &read.phase {
            return self.fate_of_issued(serial).await;
        }
        // Once more: its certificate may have been made since it was read.
        let view = self.order_view(&read.id).await?;
        let (order, now) = (&view.order, view.now);
        let Phase::Issued { serial, .. } = &order.phase else {
            let held = match view.status() {
                // A failed or abandoned application frees both counts (section 27).
                OrderStatus::Invalid => Held::Free,
                // What is being signed may come to be after the order's end: only its job gives the slot free.
                _ if view.is_being_issued() => Held::Until(order.expires.max(now + SIGNING)),
                _ => Held::Until(order.expires),
            };
            return Ok(Fate { account: held, domain: held, issued: false });
        };
        self.fate_of_issued(serial).await
    }

    async fn fate_of_issued(&self, serial: &Serial) -> Result<Fate> {
        let now = self.now();
        let certificate = self.recorded(serial).await?;
        let end = quota::over(certificate.not_after);
        let held = |counts: bool| if counts { Held::Until(end) } else { Held::Free };
        let lives = now < end;
        // QUOTA-05, QUOTA-06: revocation returns the account's slot, only expiry the domain's.
        let account = lives && (!certificate.is_revoked() || self.is_reissued(serial).await?);
        Ok(Fate { account: held(account), domain: held(lives), issued: true })
    }

    /// Whether a reissue of the certificate is good: the slot of both is the original's (QUOTA-14). Reissues of free
    /// certificates are those that name it (`policy::lifecycle::purpose`), so the rows of RFC 9773 lead to them.
    async fn is_reissued(&self, serial: &Serial) -> Result<bool> {
        let mut original = *serial;
        while let Some(row) = self.records.follow(&Index::Replaced(&original)).await? {
            let by = self.records.find::<Order>(target::<OrderId>(&row)?).await?;
            let Some(Order { purpose: Purpose::Reissue { .. }, phase: Phase::Issued { serial, .. }, .. }) =
                by.map(Stored::into_value)
            else {
                return Ok(false);
            };
            if !self.recorded(&serial).await?.is_revoked() {
                return Ok(true);
            }
            original = serial;
        }
        Ok(false)
    }

    /// The certificate of an order that is issued.
    async fn recorded(&self, serial: &Serial) -> Result<Certificate> {
        let found = self.records.find::<Certificate>(serial).await?;
        Ok(found.ok_or_else(|| Error::internal(format!("certificate {serial} is gone")))?.into_value())
    }

    /// Whether an order of a free product that is about to be signed still has its slot. An order that was over, if only for
    /// a moment between two steps of its own, may have lost it to another.
    pub(super) async fn check_slot(&self, holder: &Holder, order: &Order, product: &Product) -> Result<()> {
        let catalog = self.catalog();
        let (Sale::Free, Some(rules)) = (product.sale, catalog.quota()) else { return Ok(()) };
        if let Purpose::Reissue { .. } = order.purpose {
            return Ok(());
        }
        let own = self.records.find::<HolderLedger>(holder.as_key()).await?;
        let has = |slots: &[Slot]| slots.iter().any(|slot| slot.order == order.id);
        let packaged = |own: &HolderLedger| own.packages.iter().any(|package| package.orders.contains(&order.id));
        let mut kept = own.is_some_and(|own| has(&own.slots) || packaged(&own));
        if rules.primary_domain.is_some() {
            let domain = self.records.find::<DomainLedger>(primary_domain(&order.identifiers)?).await?;
            kept &= domain.is_some_and(|domain| has(&domain.slots));
        }
        if kept {
            return Ok(());
        }
        let told =
            "The order was over for a moment, and its slot of the quota went to another; place a new one (QUOTA-01).";
        Err(Error::new(Kind::RateLimited, told))
    }
}

/// Who a holder is, as far as quotas go.
pub(super) fn asker(customer: Option<&Customer>) -> Asker {
    match customer {
        Some(customer) => Asker { kind: customer.kind, tier: customer.tier },
        // Design decision 1: an unbound account is its own individual customer.
        None => Asker { kind: CustomerKind::Individual, tier: Tier::Standard },
    }
}

/// The primary domain of the names of a free order: they are one name and what comes free with it (QUOTA-03).
pub(super) fn primary_domain(names: &[Identifier]) -> Result<&str> {
    let mut domains = names.iter().map(|name| match name {
        Identifier::Dns(name) => domains::primary(name.base()),
        Identifier::Ip(_) => None,
    });
    match domains.next().flatten() {
        Some(first) if domains.all(|other| other == Some(first)) => Ok(first),
        _ => Err(Error::internal(format!("a free order for {names:?}, not of one primary domain, was admitted"))),
    }
}
