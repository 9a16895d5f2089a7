//! Failures in a row: how often an account failed to prove a name since it last did, and whether the name is paused for it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{AccountId, Timestamp};

/// The failures of an account for a name since its last success.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Streak {
    /// The account.
    pub account: AccountId,
    /// The name without `*.`, or the address.
    pub name: String,
    /// How many validations failed in a row.
    pub failures: u32,
    /// When the first of them failed.
    pub since: Timestamp,
    /// When the last of them failed.
    pub last: Timestamp,
    /// What follows from it.
    pub standing: Standing,
}

/// What follows from failures in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "lowercase")]
pub enum Standing {
    /// Nothing yet.
    Counted,
    /// The account's orders for the name are refused until somebody unpauses it.
    Paused {
        /// Since when.
        at: Timestamp,
    },
}

/// When failures in a row pause a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// So many failures; 0 is never.
    pub failures: u32,
    /// Over so much time at least.
    pub over: Duration,
}

impl Streak {
    /// What the names of an account's streaks begin with.
    pub fn prefix(account: &AccountId) -> Vec<u8> {
        format!("{account}/").into_bytes()
    }

    /// The name of a streak.
    pub fn key(account: &AccountId, name: &str) -> Vec<u8> {
        format!("{account}/{name}").into_bytes()
    }

    /// A first failure.
    pub fn begin(account: AccountId, name: String, now: Timestamp, patience: Patience) -> Self {
        let none = Self { account, name, failures: 0, since: now, last: now, standing: Standing::Counted };
        none.fail(now, patience)
    }

    /// One more failure.
    #[must_use]
    pub fn fail(self, now: Timestamp, patience: Patience) -> Self {
        let failures = self.failures.saturating_add(1);
        let enough = patience.failures > 0 && failures >= patience.failures && now.since(self.since) >= patience.over;
        let standing = match self.standing {
            Standing::Counted if enough => Standing::Paused { at: now },
            other => other,
        };
        Self { failures, last: now, standing, ..self }
    }

    /// Since when the name is paused for the account, if it is.
    pub fn paused(&self) -> Option<Timestamp> {
        match self.standing {
            Standing::Counted => None,
            Standing::Paused { at } => Some(at),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_paused_by_enough_failures_over_enough_time_and_not_before() {
        const DAY: Duration = Duration::from_secs(86_400);
        let patience = Patience { failures: 3, over: DAY };
        let start = Timestamp::from_secs(1_000_000);
        let failed = |mut streak: Streak, moments: &[Duration], patience| {
            for moment in moments {
                streak = streak.fail(start + *moment, patience);
            }
            streak
        };
        let begun = |patience| Streak::begin(AccountId::random(), "a.example".to_owned(), start, patience);
        let quick = failed(begun(patience), &[Duration::ZERO; 10], patience);
        assert_eq!((quick.failures, quick.paused()), (11, None));
        assert_eq!(failed(quick, &[DAY], patience).paused(), Some(start + DAY));
        let seldom = failed(begun(patience), &[DAY], patience);
        assert_eq!(seldom.paused(), None);
        let paused = failed(seldom, &[DAY * 2, DAY * 3], patience);
        assert_eq!((paused.failures, paused.paused()), (4, Some(start + DAY * 2)));
        let never = Patience { failures: 0, over: Duration::ZERO };
        assert_eq!(failed(begun(never), &[DAY; 100], never).paused(), None);
    }
}
