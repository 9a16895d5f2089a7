//! Whether another free certificate may be had, and what it is deducted from (QUOTA-01 to QUOTA-16).

use super::catalog::{QuotaRules, TierQuota};
use crate::domain::customer::{CustomerKind, Tier};
use crate::domain::quota::{DomainLedger, HolderLedger, Pool, Slot};
use crate::domain::{Error, Kind, OrderId, Result, Timestamp};

/// Until when a slot counts, as its order, its certificate and the clock say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Held {
    /// It does not count any more.
    Free,
    /// It counts until that moment: the order's end while it is unfinished, then the certificate's.
    Until(Timestamp),
}

/// What became of an order, as far as quotas go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fate {
    /// For the holder: free on revocation and expiry (QUOTA-05).
    pub account: Held,
    /// For the primary domain: free on expiry alone (QUOTA-06).
    pub domain: Held,
    /// Whether it led to a certificate, which uses a package up for good.
    pub issued: bool,
}

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asker {
    /// A person or an organisation.
    pub kind: CustomerKind,
    /// Its standing.
    pub tier: Tier,
}

/// How much of a quota is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// What counts.
    pub used: u32,
    /// How many there may be; none for no limit.
    pub total: Option<u32>,
    /// When the next slot returns.
    pub next: Option<Timestamp>,
}

impl Usage {
    /// Whether nothing is left.
    pub fn is_exhausted(&self) -> bool {
        self.total.is_some_and(|total| self.used >= total)
    }
}

/// How much of each quota a holder uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HolderUsage {
    /// For domains of any registrar.
    pub any: Usage,
    /// For domains registered with the provider; none where there is no such quota.
    pub provider: Option<Usage>,
    /// What is left in packages.
    pub packages: u32,
}

/// A ledger without what does not count any more.
#[must_use]
pub fn prune(mut slots: Vec<Slot>, counts: impl Fn(&OrderId) -> Held) -> Vec<Slot> {
    slots.retain(|slot| counts(&slot.order) != Held::Free);
    slots
}

/// How much a holder uses, of a ledger in which everything counts.
pub fn holder_usage(
    rules: &QuotaRules,
    asker: Asker,
    ledger: &HolderLedger,
    fate: impl Fn(&OrderId) -> Fate,
    now: Timestamp,
) -> HolderUsage {
    let usage = |pool: Pool, total: u32| {
        let held = ledger.slots.iter().filter(|slot| slot.pool == pool);
        let ends: Vec<Timestamp> = held.filter_map(|slot| until(fate(&slot.order).account)).collect();
        Usage { used: ends.len() as u32, total: Some(total), next: ends.into_iter().min() }
    };
    HolderUsage {
        any: usage(Pool::Any, allowance(&rules.any, asker)),
        provider: rules.provider.as_ref().map(|provider| usage(Pool::Provider, allowance(provider, asker))),
        packages: ledger
            .packages
            .iter()
            .filter(|package| package.until.is_none_or(|end| now < end))
            .map(|package| package.size.saturating_sub(package.orders.len() as u32))
            .sum(),
    }
}

/// How much of a primary domain's quota is used, of a ledger in which everything counts.
pub fn domain_usage(
    rules: &QuotaRules,
    ledger: &DomainLedger,
    fate: impl Fn(&OrderId) -> Fate,
    now: Timestamp,
) -> Usage {
    let slots = ledger.slots.iter().filter_map(|slot| until(fate(&slot.order).domain)).map(|end| (1, end));
    // QUOTA-04: those of other platforms count until they expire.
    let elsewhere = ledger.elsewhere.iter().filter(|other| now < other.not_after);
    let held: Vec<(u32, Timestamp)> = slots.chain(elsewhere.map(|other| (other.count, other.not_after))).collect();
    Usage {
        used: held.iter().map(|(count, _)| count).sum(),
        total: rules.primary_domain,
        next: held.iter().map(|(_, end)| *end).min(),
    }
}

/// What the next free certificate is deducted from; or the refusal, with how many are used and when the next slot returns
/// (DIAG-27).
pub fn deduct(holder: &HolderUsage, domain: &Usage, ledger: &DomainLedger, now: Timestamp) -> Result<Pool> {
    // QUOTA-02, QUOTA-06
    if domain.is_exhausted() {
        let shown = format!(
            "{} of {} free certificates of \"{}\" are in use. Slots of a primary domain return on expiry only",
            domain.used,
            domain.total.unwrap_or_default(),
            ledger.domain
        );
        return Err(used_up(&shown, "QUOTA-02", domain.next, now));
    }
    // QUOTA-10: of a domain registered with the provider, that quota first; QUOTA-07: a package last.
    let own = holder.provider.filter(|_| ledger.provider_since.is_some());
    if own.is_some_and(|own| !own.is_exhausted()) {
        return Ok(Pool::Provider);
    }
    if !holder.any.is_exhausted() {
        return Ok(Pool::Any);
    }
    if holder.packages > 0 {
        return Ok(Pool::Package);
    }
    let next = [holder.any.next, own.and_then(|own| own.next)].into_iter().flatten().min();
    let (used, total) = (holder.any.used, holder.any.total.unwrap_or_default());
    let shown = match (&holder.provider, own) {
        // QUOTA-08: the rest is for domains registered with the provider.
        (Some(provider), None) if !provider.is_exhausted() => format!(
            "{used} of {total} free certificates for domains registered elsewhere are in use. Account slots return on \
             revocation or expiry"
        ),
        _ => format!(
            "{used} of {total} free certificates are in use. Account slots return on revocation or expiry, domain slots on \
             expiry only"
        ),
    };
    Err(used_up(&shown, "QUOTA-01", next, now))
}

fn used_up(shown: &str, rule: &str, next: Option<Timestamp>, now: Timestamp) -> Error {
    match next {
        Some(next) => {
            Error::new(Kind::RateLimited, format!("{shown}, the next at {next} ({rule}).")).retry_after(next.since(now))
        }
        None => Error::new(Kind::RateLimited, format!("{shown} ({rule}).")),
    }
}

/// How many certificates a kind of customer may hold.
fn allowance(quota: &TierQuota, asker: Asker) -> u32 {
    match (asker.kind, asker.tier) {
        (CustomerKind::Individual, Tier::V2) => quota.individual_v2,
        (CustomerKind::Individual, _) => quota.individual,
        (CustomerKind::Enterprise, Tier::Kept) => quota.enterprise_kept,
        (CustomerKind::Enterprise, _) => quota.enterprise,
    }
}

fn until(held: Held) -> Option<Timestamp> {
    match held {
        Held::Free => None,
        Held::Until(end) => Some(end),
    }
}
