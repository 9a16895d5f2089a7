//! Quotas of free certificates: reserving a slot with the order, and telling how many are used. A slot is never given back
//! by a write: whether it counts follows from its order, its certificate and the clock (`domain/quota.rs`).

use std::collections::HashMap;

use super::entitlements::Standing;
use super::{Ra, Stop, settle};
use crate::domain::account::Holder;
use crate::domain::audit::Act;
use crate::domain::customer::{Customer, CustomerKind, Tier};
use crate::domain::order::{Order, OrderStatus, Phase, Purpose};
use crate::domain::plan::Plan;
use crate::domain::quota::{DomainLedger, Elsewhere, HolderLedger, Package, Pool, Slot};
use crate::domain::{DnsName, Error, Identifier, OrderId, PackageId, Result, Serial, Timestamp};
use crate::policy::catalog::{QuotaRules, days};
use crate::policy::domains;
use crate::policy::quota::{self, Asker, Fate, Held, HolderUsage, Usage};
use crate::store::records::{Batch, Index, Stored, target};

/// A slot that an order takes, in the ledgers of its holder and of its primary domain.
pub(super) struct Reservation {
    holder: (Option<Stored<HolderLedger>>, HolderLedger),
    domain: (Option<Stored<DomainLedger>>, DomainLedger),
}

impl Reservation {
    /// Adds the ledgers to the order's batch; whoever wrote one of them meanwhile wins.
    pub(super) fn write(self, batch: Batch) -> Batch {
        let (holder, domain) = (self.holder, self.domain);
        batch.set(holder.0.as_ref(), &holder.1).set(domain.0.as_ref(), &domain.1)
    }
}

/// What an order came to; those that are not known count as long as possible.
struct Fates(Option<HashMap<OrderId, Fate>>);

impl Fates {
    fn of(&self, order: &OrderId) -> Fate {
        let lasting = Held::Until(Timestamp::MAX);
        match &self.0 {
            None => Fate { account: lasting, domain: lasting, issued: false },
            // An order that is gone holds nothing.
            Some(known) => {
                known.get(order).copied().unwrap_or(Fate { account: Held::Free, domain: Held::Free, issued: false })
            }
        }
    }
}

/// A holder's free certificates, told.
#[derive(Debug)]
pub struct QuotaView {
    /// Whose.
    pub holder: Holder,
    /// How much is used.
    pub usage: HolderUsage,
    /// What counts, or is in a package.
    pub ledger: HolderLedger,
}

/// A primary domain's free certificates, told.
#[derive(Debug)]
pub struct DomainView {
    /// How much is used.
    pub usage: Usage,
    /// What counts.
    pub ledger: DomainLedger,
}

impl Ra {
    /// Takes a slot for an order of a free product, or refuses it (QUOTA-01, QUOTA-02).
    pub(super) async fn reserve_slot(
        &self,
        standing: &Standing,
        plan: &Plan,
        order: &OrderId,
    ) -> Result<Reservation, Stop> {
        let catalog = self.catalog();
        let Some(rules) = catalog.quota() else {
            return Err(Error::internal("a free product without a quota table passed the catalogue's check").into());
        };
        let domain = primary_domain(plan)?;
        let asker = asker(standing.customer.as_deref());
        let read_holder = self.records.find::<HolderLedger>(standing.holder.as_key()).await?;
        let read_domain = self.records.find::<DomainLedger>(&domain).await?;
        let mut holder = match &read_holder {
            Some(ledger) => (**ledger).clone(),
            None => HolderLedger::empty(standing.holder.clone()),
        };
        let mut ledger = match &read_domain {
            Some(ledger) => (**ledger).clone(),
            None => DomainLedger::empty(domain.clone()),
        };
        // While there is room even if all that was ever noted still counts, nobody needs to look.
        let all_count = Fates(None);
        let pool = match self.deduct(rules, asker, (&holder, &ledger), &all_count) {
            Ok(pool) if pool != Pool::Package => pool,
            _ => {
                let fates = self.fates(&holder, &ledger).await?;
                clear(&mut holder, &mut ledger, &fates);
                self.deduct(rules, asker, (&holder, &ledger), &fates)?
            }
        };
        let now = self.now();
        let slot = Slot { order: order.clone(), domain, pool, since: now };
        if pool == Pool::Package
            && let Some(package) = holder.packages.iter_mut().find(|package| is_open(package, now))
        {
            package.orders.push(order.clone());
        }
        holder.slots.push(slot.clone());
        ledger.slots.push(slot);
        Ok(Reservation { holder: (read_holder, holder), domain: (read_domain, ledger) })
    }

    fn deduct(
        &self,
        rules: &QuotaRules,
        asker: Asker,
        (holder, domain): (&HolderLedger, &DomainLedger),
        fates: &Fates,
    ) -> Result<Pool> {
        let now = self.now();
        let holder = quota::holder_usage(rules, asker, holder, |order| fates.of(order), now);
        let used = quota::domain_usage(rules, domain, |order| fates.of(order), now);
        quota::deduct(&holder, &used, domain, now)
    }

    /// What became of every order in the ledgers.
    async fn fates(&self, holder: &HolderLedger, domain: &DomainLedger) -> Result<Fates> {
        let slots = holder.slots.iter().chain(&domain.slots).map(|slot| &slot.order);
        let packaged = holder.packages.iter().flat_map(|package| &package.orders);
        let mut fates = HashMap::new();
        for id in slots.chain(packaged) {
            if !fates.contains_key(id)
                && let Some(order) = self.records.find::<Order>(id).await?
            {
                fates.insert(id.clone(), self.fate(&order).await?);
            }
        }
        Ok(Fates(Some(fates)))
    }

    async fn fate(&self, order: &Order) -> Result<Fate> {
        let now = self.now();
        let Phase::Issued { serial, .. } = &order.phase else {
            let view = self.order_view(&order.id).await?;
            // A failed or abandoned application frees both counts (section 27).
            let held = match view.status() {
                OrderStatus::Invalid => Held::Free,
                _ => Held::Until(order.expires),
            };
            return Ok(Fate { account: held, domain: held, issued: false });
        };
        let certificate = self.certificate_of(serial).await?;
        let end = certificate.not_after;
        let lives = now <= end;
        let held = |counts: bool| if counts { Held::Until(end) } else { Held::Free };
        // QUOTA-05, QUOTA-06: revocation returns the account's slot, only expiry the domain's.
        let account = lives && (!certificate.is_revoked() || self.is_reissued(serial).await?);
        Ok(Fate { account: held(account), domain: held(lives), issued: true })
    }

    /// Whether a reissue of the certificate is good: the slot of both is the original's (QUOTA-14).
    async fn is_reissued(&self, serial: &Serial) -> Result<bool> {
        let mut original = *serial;
        while let Some(row) = self.records.follow(&Index::Replaced(&original)).await? {
            let by = self.records.find::<Order>(target::<OrderId>(&row)?).await?;
            let Some(Order { purpose: Purpose::Reissue { .. }, phase: Phase::Issued { serial, .. }, .. }) =
                by.map(Stored::into_value)
            else {
                return Ok(false);
            };
            if !self.certificate_of(&serial).await?.is_revoked() {
                return Ok(true);
            }
            original = serial;
        }
        Ok(false)
    }

    /// How many free certificates a holder has and may have (QUOTA-15); none if the catalogue has no quota.
    pub async fn quota_of(&self, holder: &Holder) -> Result<Option<QuotaView>> {
        let catalog = self.catalog();
        let Some(rules) = catalog.quota() else { return Ok(None) };
        let customer = match holder {
            Holder::Customer(id) => Some(self.customer(id).await?),
            Holder::Account(id) => {
                self.account(id).await?;
                None
            }
        };
        let found = self.records.find::<HolderLedger>(holder.as_key()).await?;
        let mut ledger = found.map_or_else(|| HolderLedger::empty(holder.clone()), Stored::into_value);
        let mut none = DomainLedger::empty(String::new());
        let fates = self.fates(&ledger, &none).await?;
        clear(&mut ledger, &mut none, &fates);
        let usage = quota::holder_usage(rules, asker(customer.as_ref()), &ledger, |id| fates.of(id), self.now());
        Ok(Some(QuotaView { holder: holder.clone(), usage, ledger }))
    }

    /// How many free certificates a primary domain has and may have (QUOTA-02); none if the catalogue has no quota.
    pub async fn domain_quota(&self, domain: &str) -> Result<Option<DomainView>> {
        let catalog = self.catalog();
        let Some(rules) = catalog.quota() else { return Ok(None) };
        let domain = registrable(domain)?;
        let found = self.records.find::<DomainLedger>(&domain).await?;
        let mut ledger = found.map_or_else(|| DomainLedger::empty(domain), Stored::into_value);
        let mut nobody = HolderLedger::empty(Holder::Account(crate::domain::AccountId::random()));
        let fates = self.fates(&nobody, &ledger).await?;
        clear(&mut nobody, &mut ledger, &fates);
        let usage = quota::domain_usage(rules, &ledger, |id| fates.of(id), self.now());
        Ok(Some(DomainView { usage, ledger }))
    }

    /// Grants a holder a package of free certificates beyond the quota (QUOTA-07).
    pub async fn grant_package(&self, holder: &Holder, size: u32, days_valid: Option<u32>) -> Result<Package> {
        if !(1..=10_000).contains(&size) {
            return Err(Error::malformed(format!("A package holds 1 to 10000 certificates, not {size}.")));
        }
        match holder {
            Holder::Customer(id) => drop(self.customer(id).await?),
            Holder::Account(id) => drop(self.account(id).await?),
        }
        settle(|| async {
            let now = self.now();
            let read = self.records.find::<HolderLedger>(holder.as_key()).await?;
            let mut ledger =
                read.as_ref().map_or_else(|| HolderLedger::empty(holder.clone()), |ledger| (**ledger).clone());
            let until = days_valid.map(|count| now + days(count));
            let package = Package { id: PackageId::random(), size, granted: now, until, orders: Vec::new() };
            ledger.packages.push(package.clone());
            let act = Act::PackageGranted { holder: holder.clone(), package: package.id.clone(), size };
            self.records.commit(Batch::of(act, now).set(read.as_ref(), &ledger)).await?;
            Ok(package)
        })
        .await
    }

    /// Notes that a primary domain is, or is no longer, registered with the provider (QUOTA-13).
    pub async fn set_provider_domain(&self, domain: &str, registered: bool) -> Result<DomainLedger> {
        let note = if registered { "registered with the provider" } else { "registered elsewhere" };
        self.change_domain(domain, note, |ledger, now| {
            ledger.provider_since = registered.then(|| ledger.provider_since.unwrap_or(now));
            Ok(())
        })
        .await
    }

    /// Counts certificates in that were issued for a primary domain on another platform (QUOTA-04).
    pub async fn count_elsewhere(&self, domain: &str, elsewhere: Elsewhere) -> Result<DomainLedger> {
        if !(1..=1000).contains(&elsewhere.count) {
            let count = elsewhere.count;
            return Err(Error::malformed(format!("1 to 1000 certificates can be counted in at once, not {count}.")));
        }
        if elsewhere.not_after <= self.now() {
            let end = elsewhere.not_after;
            return Err(Error::malformed(format!("These certificates expired at {end}; they count no more.")));
        }
        self.change_domain(domain, &elsewhere.note.clone(), |ledger, now| {
            ledger.elsewhere.retain(|other| now < other.not_after);
            if ledger.elsewhere.len() >= 1000 {
                return Err(Error::malformed("1000 entries are noted for this domain already; sum them up in fewer."));
            }
            ledger.elsewhere.push(elsewhere.clone());
            Ok(())
        })
        .await
    }

    async fn change_domain(
        &self,
        domain: &str,
        note: &str,
        change: impl Fn(&mut DomainLedger, Timestamp) -> Result<()>,
    ) -> Result<DomainLedger> {
        let domain = registrable(domain)?;
        settle(|| async {
            let now = self.now();
            let read = self.records.find::<DomainLedger>(&domain).await?;
            let mut ledger =
                read.as_ref().map_or_else(|| DomainLedger::empty(domain.clone()), |ledger| (**ledger).clone());
            change(&mut ledger, now)?;
            let act = Act::DomainLedgerChanged { domain: domain.clone(), note: note.to_owned() };
            self.records.commit(Batch::of(act, now).set(read.as_ref(), &ledger)).await?;
            Ok(ledger)
        })
        .await
    }
}

/// Takes what does not count any more off the ledgers.
fn clear(holder: &mut HolderLedger, domain: &mut DomainLedger, fates: &Fates) {
    let slots = std::mem::take(&mut holder.slots);
    holder.slots = quota::prune(slots, |order| fates.of(order).account);
    let slots = std::mem::take(&mut domain.slots);
    domain.slots = quota::prune(slots, |order| fates.of(order).domain);
    for package in &mut holder.packages {
        // What led to a certificate is used up; what did not is there again.
        package.orders.retain(|order| fates.of(order).issued || fates.of(order).account != Held::Free);
    }
}

fn is_open(package: &Package, now: Timestamp) -> bool {
    package.until.is_none_or(|end| now < end) && (package.orders.len() as u32) < package.size
}

fn asker(customer: Option<&Customer>) -> Asker {
    match customer {
        Some(customer) => Asker { kind: customer.kind, tier: customer.tier },
        // Design decision 1: an unbound account is its own individual customer.
        None => Asker { kind: CustomerKind::Individual, tier: Tier::Standard },
    }
}

/// The primary domain of the names of a free order: they are one name and what comes free with it (QUOTA-03).
fn primary_domain(plan: &Plan) -> Result<String> {
    let name = plan.identifiers.iter().find_map(|name| match name {
        Identifier::Dns(name) => domains::primary(name.base()),
        Identifier::Ip(_) => None,
    });
    Ok(name.ok_or_else(|| Error::internal("a free order without a primary domain was admitted"))?.to_owned())
}

/// A primary domain as an operator writes it.
fn registrable(text: &str) -> Result<String> {
    let name = DnsName::parse(text)?;
    match domains::primary(name.as_str()) {
        Some(primary) if primary == name.as_str() => Ok(primary.to_owned()),
        Some(primary) => Err(Error::malformed(format!("\"{name}\" is not a primary domain; \"{primary}\" is."))),
        None => Err(Error::malformed(format!("\"{name}\" is a public suffix, not a primary domain."))),
    }
}
