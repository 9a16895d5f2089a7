//! Rate limits (RFC 8555 section 6.6): so many of a thing an hour, spread evenly, counted in memory.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use parking_lot::Mutex;
use serde::Deserialize;

use crate::domain::{AccountId, Error, Identifier, Kind, Result, Timestamp};

const HOUR: Duration = Duration::from_secs(3600);

/// How many counters are kept at least before those that are at rest are thrown out.
const CROWDED: usize = 100_000;

/// `[limits]` of the configuration; 0 is off.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// New accounts an hour from one address.
    pub accounts_per_hour: u32,
    /// New orders and pre-authorizations an hour of one account.
    pub orders_per_hour: u32,
    /// Failed validations an hour of one account for one name.
    pub failed_validations_per_hour: u32,
    /// Diagnoses an hour of one caller.
    pub diagnoses_per_hour: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self { accounts_per_hour: 0, orders_per_hour: 0, failed_validations_per_hour: 0, diagnoses_per_hour: 60 }
    }
}

/// What is counted.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Counted {
    Accounts(IpAddr),
    Orders(AccountId),
    Failures(AccountId, Identifier),
    Diagnoses(String),
}

/// The counters of this process. Each is a moment (the generic cell rate algorithm): how far ahead of the clock it
/// lies says how much of the allowance is used.
#[derive(Default)]
pub(super) struct Limits {
    settings: Settings,
    counters: Mutex<Counters>,
}

#[derive(Default)]
struct Counters {
    used_until: HashMap<Counted, Timestamp>,
    /// How many counters there must be for the next sweep.
    sweep_at: usize,
}

impl Limits {
    /// Limits with these figures, nothing counted yet.
    pub(super) fn new(settings: Settings) -> Self {
        Self { settings, counters: Mutex::default() }
    }

    /// Counts a new account from an address, or refuses it.
    pub(super) fn account(&self, from: IpAddr, now: Timestamp) -> Result<()> {
        let most = self.settings.accounts_per_hour;
        self.take(Counted::Accounts(place(from)), most, now, || format!("{most} new accounts an hour from {from}"))
    }

    /// Counts a new order or pre-authorization of an account, or refuses it.
    pub(super) fn order(&self, account: &AccountId, now: Timestamp) -> Result<()> {
        let most = self.settings.orders_per_hour;
        self.take(Counted::Orders(account.clone()), most, now, || format!("{most} new orders an hour of one account"))
    }

    /// Counts a diagnosis of a caller, or refuses it.
    pub(super) fn diagnosis(&self, caller: &str, now: Timestamp) -> Result<()> {
        let most = self.settings.diagnoses_per_hour;
        self.take(Counted::Diagnoses(caller.to_owned()), most, now, || {
            format!("{most} diagnoses an hour of one caller")
        })
    }

    /// Refuses a challenge response while too many for that name have failed.
    pub(super) fn challenge(&self, account: &AccountId, name: &Identifier, now: Timestamp) -> Result<()> {
        let most = self.settings.failed_validations_per_hour;
        let counted = Counted::Failures(account.clone(), name.clone());
        match self.counters.lock().wait(&counted, most, now) {
            None => Ok(()),
            Some(wait) => Err(refusal(&format!("{most} failed validations an hour for {name}"), wait)),
        }
    }

    /// Counts a failed validation.
    pub(super) fn failed(&self, account: &AccountId, name: &Identifier, now: Timestamp) {
        let most = self.settings.failed_validations_per_hour;
        if most > 0 {
            self.counters.lock().count(Counted::Failures(account.clone(), name.clone()), most, now);
        }
    }

    /// Counts one more, or refuses it.
    fn take(&self, counted: Counted, most: u32, now: Timestamp, limit: impl FnOnce() -> String) -> Result<()> {
        if most == 0 {
            return Ok(());
        }
        let mut counters = self.counters.lock();
        match counters.wait(&counted, most, now) {
            Some(wait) => Err(refusal(&limit(), wait)),
            None => {
                counters.count(counted, most, now);
                Ok(())
            }
        }
    }
}

impl Counters {
    /// How long until one more is allowed; none if it is now.
    fn wait(&self, counted: &Counted, most: u32, now: Timestamp) -> Option<Duration> {
        let used_until = *self.used_until.get(counted).filter(|_| most > 0)?;
        // Never further ahead than the whole allowance, so that a clock that was set back does not lock anybody out.
        let allowed = used_until.min(now + HOUR) + HOUR / most;
        (allowed > now + HOUR).then(|| allowed.since(now + HOUR))
    }

    fn count(&mut self, counted: Counted, most: u32, now: Timestamp) {
        if self.used_until.len() >= self.sweep_at {
            self.used_until.retain(|_, until| *until > now);
            self.sweep_at = (2 * self.used_until.len()).max(CROWDED);
        }
        let until = self.used_until.entry(counted).or_insert(now);
        *until = (*until).clamp(now, now + HOUR) + HOUR / most;
    }
}

/// What counts as one place: an IPv6 customer has a /64 to himself.
fn place(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(ip) => IpAddr::V6((u128::from(ip) >> 64 << 64).into()),
    }
}

fn refusal(limit: &str, wait: Duration) -> Error {
    let seconds = wait.as_millis().div_ceil(1000).max(1);
    Error::new(Kind::RateLimited, format!("The limit of {limit} is reached; try again in {seconds} s."))
        .retry_after(wait)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hours_allowance_comes_back_evenly() {
        let limits = Limits::new(Settings { orders_per_hour: 3, ..Settings::default() });
        let (account, other) = (AccountId::random(), AccountId::random());
        let mut now = Timestamp::from_secs(1_000_000);
        for _ in 0..3 {
            limits.order(&account, now).unwrap();
        }
        let refused = limits.order(&account, now).unwrap_err();
        assert_eq!((refused.kind(), refused.retry_after_hint()), (Kind::RateLimited, Some(HOUR / 3)));
        limits.order(&other, now).unwrap();
        now = now + HOUR / 3;
        limits.order(&account, now).unwrap();
        limits.order(&account, now).unwrap_err();
    }

    #[test]
    fn zero_is_no_limit() {
        let limits = Limits::new(Settings::default());
        let account = AccountId::random();
        for _ in 0..1000 {
            limits.order(&account, Timestamp::from_secs(1)).unwrap();
        }
    }
}
