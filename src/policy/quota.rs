//! Whether another free certificate may be had, and what it is deducted from (QUOTA-01 to QUOTA-16).

use std::time::Duration;

use super::catalog::{QuotaRules, TierQuota, days};
use crate::domain::customer::{CustomerKind, Tier};
use crate::domain::quota::{DomainLedger, Elsewhere, HolderLedger, Package, Pool, Slot};
use crate::domain::{Error, Kind, OrderId, Result, Timestamp};

/// Most entries of certificates issued elsewhere for one domain, and most characters of the note of each.
const ELSEWHERE: (usize, usize) = (500, 200);

/// Most packages of one holder that are of use at one time, and most certificates in all of them together.
const PACKAGES: (usize, u64) = (100, 10_000);

/// Until when a slot counts, as its order, its certificate and the clock say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Held {
    /// It does not count any more, and never will again.
    Free,
    /// It counts before that moment: the order's end while it is unfinished, then the certificate's.
    Until(Timestamp),
}

/// What became of an order, as far as quotas go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fate {
    /// For the holder: free on revocation and expiry (QUOTA-05).
    pub account: Held,
    /// For the primary domain: free on expiry alone (QUOTA-06).
    pub domain: Held,
    /// Whether it led to a certificate, which uses a place of a package up for good.
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
    /// When the next slot returns; none if none is used.
    pub next: Option<Timestamp>,
    /// From when another may be had, if nothing else happens: at once while there is room; none for never.
    pub open: Option<Timestamp>,
}

/// How much of each quota a holder uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HolderUsage {
    /// For domains of any registrar.
    pub any: Usage,
    /// For domains registered with the provider; none where there is no such quota.
    pub provider: Option<Usage>,
    /// Packages.
    pub packages: Places,
    /// The rule that the figures come from.
    pub rule: &'static str,
}

/// What is left of packages (QUOTA-07).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Places {
    /// How many further certificates there are in them.
    pub left: u32,
    /// When the next place returns that an unfinished order holds; none if none is held.
    pub next: Option<Timestamp>,
}

/// How much of a primary domain's quota is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DomainUsage {
    /// The domain.
    pub domain: String,
    /// Whether it is registered with the provider (QUOTA-13).
    pub provider: bool,
    /// What counts.
    pub usage: Usage,
    /// How many of those in use were issued on other platforms (QUOTA-04).
    pub elsewhere: u32,
}

impl Usage {
    /// Of holdings, each so many and until when.
    fn of(mut held: Vec<(u32, Timestamp)>, total: Option<u32>, now: Timestamp) -> Self {
        held.sort_by_key(|(_, end)| *end);
        let used: u32 = held.iter().map(|(count, _)| count).sum();
        let next = held.first().map(|(_, end)| *end);
        let open = match total {
            Some(total) if used >= total => {
                // So many must end for one more; that may be several, when the limit was lowered.
                let mut missing = used - total + 1;
                let end = held.iter().find(|(count, _)| {
                    missing = missing.saturating_sub(*count);
                    missing == 0
                });
                end.map(|(_, end)| *end)
            }
            _ => Some(now),
        };
        Self { used, total, next, open }
    }

    /// Whether nothing is left.
    pub fn is_exhausted(&self) -> bool {
        self.total.is_some_and(|total| self.used >= total)
    }
}

impl HolderUsage {
    /// The quotas that serve a domain, in the order in which they are used.
    pub fn pools(&self, provider: bool) -> impl Iterator<Item = (Pool, &Usage)> {
        // QUOTA-10: of a domain registered with the provider, that quota first.
        let own = self.provider.as_ref().filter(|_| provider).map(|own| (Pool::Provider, own));
        own.into_iter().chain([(Pool::Any, &self.any)])
    }

    /// All quotas together (QUOTA-15).
    pub fn whole(&self) -> Usage {
        let Some(own) = &self.provider else { return self.any };
        Usage {
            used: self.any.used + own.used,
            total: self.any.total.zip(own.total).map(|(any, own)| any + own),
            next: earliest([self.any.next, own.next]),
            open: earliest([self.any.open, own.open]),
        }
    }
}

/// A ledger without what does not count any more.
#[must_use]
pub fn prune(mut slots: Vec<Slot>, counts: impl Fn(&OrderId) -> Held) -> Vec<Slot> {
    slots.retain(|slot| counts(&slot.order) != Held::Free);
    slots
}

/// Tells what a package's orders came to: what led to a certificate is spent, what came to nothing is there again.
pub fn settle_package(package: &mut Package, fate: impl Fn(&OrderId) -> Fate) {
    package.spent += package.orders.iter().filter(|order| fate(order).issued).count() as u32;
    package.orders.retain(|order| !fate(order).issued && fate(order).account != Held::Free);
}

/// The moment from which a certificate with that last second is over.
pub fn over(not_after: Timestamp) -> Timestamp {
    not_after.whole_second() + Duration::from_secs(1)
}

/// Whether a package has a place.
pub fn is_open(package: &Package, now: Timestamp) -> bool {
    package.until.is_none_or(|end| now < end) && left(package) > 0
}

/// How many places of a package nobody has taken.
pub fn left(package: &Package) -> u32 {
    package.size.saturating_sub(package.spent).saturating_sub(package.orders.len() as u32)
}

/// How much a holder uses, of a ledger whose packages are settled.
pub fn holder_usage(
    rules: &QuotaRules,
    asker: Asker,
    ledger: &HolderLedger,
    fate: impl Fn(&OrderId) -> Fate,
    now: Timestamp,
) -> HolderUsage {
    // QUOTA-08: where all may go to any domain, there is no quota for the provider's, and what an earlier scheme deducted
    // from one counts with the rest.
    let own = rules.provider.as_ref().map(|provider| allowance(provider, asker)).filter(|own| *own > 0);
    let usage = |own_pool: bool, total: u32| {
        let counted = ledger.slots.iter().filter(|slot| match slot.pool {
            Pool::Provider => own_pool || own.is_none(),
            Pool::Any => !own_pool,
            Pool::Package => false,
        });
        let held = counted.filter_map(|slot| until(fate(&slot.order).account)).map(|end| (1, end)).collect();
        Usage::of(held, Some(total), now)
    };
    let packages = ledger.packages.iter().filter(|package| package.until.is_none_or(|end| now < end));
    let returning = packages.clone().flat_map(|package| {
        let ends = package.orders.iter().filter_map(|order| until(fate(order).account));
        ends.filter(|end| package.until.is_none_or(|lapse| *end < lapse))
    });
    HolderUsage {
        any: usage(false, allowance(&rules.any, asker)),
        provider: own.map(|total| usage(true, total)),
        packages: Places { next: returning.min(), left: packages.map(left).sum() },
        rule: match (&rules.provider, asker.kind) {
            (None, _) => "QUOTA-01",
            (Some(_), CustomerKind::Individual) => "QUOTA-08",
            (Some(_), CustomerKind::Enterprise) => "QUOTA-09",
        },
    }
}

/// How much of a primary domain's quota is used.
pub fn domain_usage(
    rules: &QuotaRules,
    ledger: &DomainLedger,
    fate: impl Fn(&OrderId) -> Fate,
    now: Timestamp,
) -> DomainUsage {
    // QUOTA-04: those of other platforms count until they expire.
    let counts = |other: &&Elsewhere| now < over(other.not_after);
    let elsewhere: Vec<(u32, Timestamp)> =
        ledger.elsewhere.iter().filter(counts).map(|other| (other.count, over(other.not_after))).collect();
    let slots = ledger.slots.iter().filter_map(|slot| until(fate(&slot.order).domain)).map(|end| (1, end));
    DomainUsage {
        domain: ledger.domain.clone(),
        provider: ledger.provider_since.is_some(),
        elsewhere: elsewhere.iter().map(|(count, _)| count).sum(),
        usage: Usage::of(slots.chain(elsewhere).collect(), rules.primary_domain, now),
    }
}

/// What the next free certificate is deducted from; or the refusal, with how many are used and from when one may be had
/// (DIAG-27).
pub fn deduct(holder: &HolderUsage, domain: &DomainUsage, now: Timestamp) -> Result<Pool> {
    let pool = holder.pools(domain.provider).find(|(_, usage)| !usage.is_exhausted()).map(|(pool, _)| pool);
    // QUOTA-07: a package last.
    let pool = pool.or_else(|| (holder.packages.left > 0).then_some(Pool::Package));
    // QUOTA-02, QUOTA-06
    let full = domain.usage.is_exhausted().then(|| shown_domain(domain));
    match (pool, full) {
        (Some(pool), None) => Ok(pool),
        (Some(_), Some(full)) => {
            let told = format!("{full} are in use. Slots of a primary domain return on expiry only");
            Err(used_up(&told, ", the next at", "QUOTA-02", domain.usage.open, now))
        }
        (None, None) => {
            let told = format!("{} are in use. {RETURNS}", shown_account(holder, domain));
            Err(used_up(&told, ", the next at", holder.rule, account_open(holder, domain), now))
        }
        (None, Some(full)) => {
            let told = format!("{} are in use, and {full}. {RETURNS}", shown_account(holder, domain));
            let both = account_open(holder, domain).zip(domain.usage.open).map(|(account, domain)| account.max(domain));
            Err(used_up(&told, "; an order can succeed from", &format!("{}, QUOTA-02", holder.rule), both, now))
        }
    }
}

const RETURNS: &str = "Account slots return on revocation or expiry, domain slots on expiry only";

fn shown_account(holder: &HolderUsage, domain: &DomainUsage) -> String {
    let (usage, of) = match &holder.provider {
        // QUOTA-08: the rest is for domains registered with the provider.
        Some(_) if !domain.provider => (holder.any, " for domains registered elsewhere"),
        _ => (holder.whole(), ""),
    };
    format!("{} of {} free certificates{of}", usage.used, usage.total.unwrap_or_default())
}

fn shown_domain(domain: &DomainUsage) -> String {
    let elsewhere = match domain.elsewhere {
        0 => String::new(),
        count => format!(" ({count} of them issued elsewhere, QUOTA-04)"),
    };
    let Usage { used, total, .. } = domain.usage;
    format!("{used} of {} free certificates of \"{}\"{elsewhere}", total.unwrap_or_default(), domain.domain)
}

/// From when a holder may have another for such a domain, if nothing else happens.
fn account_open(holder: &HolderUsage, domain: &DomainUsage) -> Option<Timestamp> {
    earliest(holder.pools(domain.provider).map(|(_, usage)| usage.open).chain([holder.packages.next]))
}

fn used_up(told: &str, when: &str, rules: &str, from: Option<Timestamp>, now: Timestamp) -> Error {
    match from {
        Some(from) => {
            Error::new(Kind::RateLimited, format!("{told}{when} {from} ({rules}).")).retry_after(from.since(now))
        }
        None => Error::new(Kind::RateLimited, format!("{told} ({rules}).")),
    }
}

/// Judges what an operator counts in of other platforms (QUOTA-04).
pub fn check_elsewhere(ledger: &DomainLedger, elsewhere: &Elsewhere, now: Timestamp) -> Result<()> {
    let (entries, length) = ELSEWHERE;
    let Elsewhere { count, not_after, note } = elsewhere;
    if !(1..=1000).contains(count) {
        return Err(Error::malformed(format!("\"count\" is {count}; 1 to 1000 certificates are counted in at once.")));
    }
    if over(*not_after) <= now {
        return Err(Error::malformed(format!("\"not_after\" is {not_after}; what is expired counts no more.")));
    }
    let longest = now + days(super::catalog::ceiling::PUBLIC_DAYS);
    if *not_after > longest {
        return Err(Error::malformed(format!(
            "\"not_after\" is {not_after}; no public certificate of today lasts beyond {longest}."
        )));
    }
    if note.trim().is_empty() || note.chars().count() > length || note.chars().any(char::is_control) {
        return Err(Error::malformed(format!(
            "\"note\" says where they come from, in 1 to {length} characters without control characters."
        )));
    }
    if ledger.elsewhere.len() >= entries {
        return Err(Error::malformed(format!(
            "{entries} entries are noted for \"{}\" already; sum them up in fewer.",
            ledger.domain
        )));
    }
    Ok(())
}

/// Judges a package that is to be granted, beside those that are of use (QUOTA-07).
pub fn check_package(packages: &[Package], size: u32, days_valid: Option<u32>) -> Result<()> {
    let (count, places) = PACKAGES;
    if let Some(days) = days_valid.filter(|days| !(1..=3660).contains(days)) {
        return Err(Error::malformed(format!(
            "A package lasts 1 to 3660 days, not {days}; leave them out for no end."
        )));
    }
    if size == 0 {
        return Err(Error::malformed("A package holds at least one certificate, not 0."));
    }
    let there: u64 = packages.iter().map(|package| u64::from(package.size.saturating_sub(package.spent))).sum();
    if packages.len() >= count || there + u64::from(size) > places {
        return Err(Error::malformed(format!(
            "A holder's packages have {places} places in all, and there are at most {count} packages; {there} places in {} \
             packages are of use already.",
            packages.len()
        )));
    }
    Ok(())
}

/// How many certificates a kind of customer may hold.
fn allowance(quota: &TierQuota, asker: Asker) -> u32 {
    match (asker.kind, asker.tier) {
        (CustomerKind::Individual, Tier::V2) => quota.individual_v2,
        (CustomerKind::Individual, _) => quota.individual,
        // QUOTA-09
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

fn earliest(moments: impl IntoIterator<Item = Option<Timestamp>>) -> Option<Timestamp> {
    moments.into_iter().flatten().min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_may_be_had_when_enough_have_ended() {
        let at = Timestamp::from_secs;
        let held = |held: &[(u32, u64)]| held.iter().map(|(count, end)| (*count, at(*end))).collect::<Vec<_>>();
        for (rule, slots, total, used, next, open) in [
            ("nothing is held", &[][..], Some(2), 0, None, Some(5)),
            ("there is room", &[(1, 30)], Some(2), 1, Some(30), Some(5)),
            ("no limit", &[(9, 30)], None, 9, Some(30), Some(5)),
            ("QUOTA-01", &[(1, 30), (1, 20)], Some(2), 2, Some(20), Some(20)),
            ("X-02: the limit was lowered", &[(1, 40), (1, 30), (1, 20), (1, 10)], Some(2), 4, Some(10), Some(30)),
            ("QUOTA-04: several end at once", &[(1, 10), (3, 20), (1, 30)], Some(3), 5, Some(10), Some(20)),
            ("none may be had", &[(1, 10)], Some(0), 1, Some(10), None),
        ] {
            let expected = Usage { used, total, next: next.map(at), open: open.map(at) };
            assert_eq!(Usage::of(held(slots), total, at(5)), expected, "{rule}");
        }
    }
}
