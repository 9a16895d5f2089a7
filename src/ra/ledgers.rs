//! Quotas as operators see and change them: how many free certificates are in use, packages, and what is known of primary
//! domains.

use super::quotas::asker;
use super::{Ra, settle};
use crate::domain::account::{Account, Holder};
use crate::domain::audit::Act;
use crate::domain::quota::{DomainLedger, Elsewhere, HolderLedger, Package};
use crate::domain::{AccountId, DnsName, Error, PackageId, Result, Timestamp};
use crate::policy::catalog::{Catalog, QuotaRules, days};
use crate::policy::domains;
use crate::policy::quota::{self, DomainUsage, Held, HolderUsage};
use crate::store::records::{Batch, Stored};

/// A holder's free certificates, told.
#[derive(Debug)]
pub struct QuotaView {
    /// How much is used.
    pub usage: HolderUsage,
    /// What counts, each with the moment at which it does not any more, and the packages.
    pub ledger: HolderLedger,
    /// Until when each of the ledger's slots counts, in their order.
    pub until: Vec<Timestamp>,
}

/// A primary domain's free certificates, told.
#[derive(Debug)]
pub struct DomainView {
    /// How much is used.
    pub usage: DomainUsage,
    /// What counts.
    pub ledger: DomainLedger,
    /// Until when each of the ledger's slots counts, in their order.
    pub until: Vec<Timestamp>,
}

impl Ra {
    /// Who stands behind an account, open or closed.
    pub async fn holder_of(&self, account: &AccountId) -> Result<Holder> {
        let found = self.records.find::<Account>(account).await?;
        Ok(found.ok_or_else(|| Error::not_found(format!("There is no account {account}.")))?.holder())
    }

    /// How many free certificates a holder has and may have (QUOTA-15).
    pub async fn quota_of(&self, holder: &Holder) -> Result<QuotaView> {
        let catalog = self.catalog();
        let rules = rules(&catalog)?;
        let customer = match holder {
            Holder::Customer(id) => Some(self.customer(id).await?),
            Holder::Account(_) => None,
        };
        let found = self.records.find::<HolderLedger>(holder.as_key()).await?;
        let mut ledger = found.map_or_else(|| HolderLedger::empty(holder.clone()), Stored::into_value);
        let fates = self.fates(&ledger, &DomainLedger::empty(String::new())).await?;
        fates.clear_holder(&mut ledger);
        let usage = quota::holder_usage(rules, asker(customer.as_ref()), &ledger, |id| fates.of(id), self.now());
        let until = ledger.slots.iter().map(|slot| end(fates.of(&slot.order).account)).collect();
        Ok(QuotaView { usage, ledger, until })
    }

    /// How many free certificates a primary domain has and may have (QUOTA-02).
    pub async fn domain_quota(&self, domain: &str) -> Result<DomainView> {
        let catalog = self.catalog();
        let rules = rules(&catalog)?;
        let domain = registrable(domain)?;
        let found = self.records.find::<DomainLedger>(&domain).await?;
        let mut ledger = found.map_or_else(|| DomainLedger::empty(domain), Stored::into_value);
        let nobody = HolderLedger::empty(Holder::Account(AccountId::random()));
        let fates = self.fates(&nobody, &ledger).await?;
        fates.clear_domain(&mut ledger);
        let now = self.now();
        ledger.elsewhere.retain(|other| now < quota::over(other.not_after));
        let usage = quota::domain_usage(rules, &ledger, |id| fates.of(id), now);
        let until = ledger.slots.iter().map(|slot| end(fates.of(&slot.order).domain)).collect();
        Ok(DomainView { usage, ledger, until })
    }

    /// Grants a holder a package of free certificates beyond the quota, for so many days or without an end (QUOTA-07).
    pub async fn grant_package(&self, holder: &Holder, size: u32, days_valid: Option<u32>) -> Result<Package> {
        self.known_holder(holder).await?;
        let _turn = self.turns.take(Some(holder), None).await;
        settle(|| async {
            let now = self.now();
            let read = self.records.find::<HolderLedger>(holder.as_key()).await?;
            let mut ledger =
                read.as_ref().map_or_else(|| HolderLedger::empty(holder.clone()), |ledger| (**ledger).clone());
            let fates = self.fates(&ledger, &DomainLedger::empty(String::new())).await?;
            fates.clear_holder(&mut ledger);
            // What is lapsed or used up makes room; the audit log keeps that it was granted.
            let of_use = |package: &Package| {
                !package.orders.is_empty() || (quota::left(package) > 0 && package.until.is_none_or(|end| now < end))
            };
            let finished = ledger.packages.iter().filter(|package| !of_use(package)).count();
            let mut surplus = finished.saturating_sub(KEPT);
            ledger.packages.retain(|package| {
                let kept = of_use(package) || surplus == 0;
                surplus -= usize::from(!kept);
                kept
            });
            let useful: Vec<Package> = ledger.packages.iter().filter(|package| of_use(package)).cloned().collect();
            quota::check_package(&useful, size, days_valid)?;
            let until = days_valid.map(|count| now + days(count));
            let package = Package { id: PackageId::random(), size, granted: now, until, spent: 0, orders: Vec::new() };
            ledger.packages.push(package.clone());
            let act = Act::PackageGranted { holder: holder.clone(), package: package.id.clone(), size };
            self.records.commit(Batch::of(act, now).set(read.as_ref(), &ledger)).await?;
            Ok(package)
        })
        .await
    }

    /// Notes that a primary domain is, or is no longer, registered with the provider (QUOTA-13).
    pub async fn set_provider_domain(&self, domain: &str, registered: bool) -> Result<()> {
        let note = if registered { "registered with the provider" } else { "registered elsewhere" };
        self.change_domain(domain, note, |ledger, now| {
            ledger.provider_since = registered.then(|| ledger.provider_since.unwrap_or(now));
            Ok(())
        })
        .await
    }

    /// Counts certificates in that were issued for a primary domain on another platform (QUOTA-04).
    pub async fn count_elsewhere(&self, domain: &str, elsewhere: Elsewhere) -> Result<()> {
        let Elsewhere { count, not_after, note } = &elsewhere;
        let told = format!("{count} issued elsewhere count until {not_after}: {note}");
        self.change_domain(domain, &told, |ledger, now| {
            ledger.elsewhere.retain(|other| now < quota::over(other.not_after));
            quota::check_elsewhere(ledger, &elsewhere, now)?;
            ledger.elsewhere.push(elsewhere.clone());
            Ok(())
        })
        .await
    }

    /// Forgets all that was counted in of other platforms, as after a mistake.
    pub async fn forget_elsewhere(&self, domain: &str) -> Result<()> {
        self.change_domain(domain, "none issued elsewhere count", |ledger, _| {
            ledger.elsewhere.clear();
            Ok(())
        })
        .await
    }

    async fn change_domain(
        &self,
        domain: &str,
        note: &str,
        change: impl Fn(&mut DomainLedger, Timestamp) -> Result<()>,
    ) -> Result<()> {
        let domain = registrable(domain)?;
        let _turn = self.turns.take(None, Some(&domain)).await;
        settle(|| async {
            let now = self.now();
            let read = self.records.find::<DomainLedger>(&domain).await?;
            let mut ledger =
                read.as_ref().map_or_else(|| DomainLedger::empty(domain.clone()), |ledger| (**ledger).clone());
            change(&mut ledger, now)?;
            let act = Act::DomainLedgerChanged { domain: domain.clone(), note: note.to_owned() };
            Ok(self.records.commit(Batch::of(act, now).set(read.as_ref(), &ledger)).await?)
        })
        .await
    }
}

/// How many packages without a further place are still shown.
const KEPT: usize = 100;

fn rules(catalog: &Catalog) -> Result<&QuotaRules> {
    catalog.quota().ok_or_else(|| Error::not_found("This catalogue has no quota of free certificates."))
}

/// When a slot of a cleared ledger stops counting.
fn end(held: Held) -> Timestamp {
    match held {
        Held::Free => Timestamp::default(),
        Held::Until(end) => end,
    }
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
