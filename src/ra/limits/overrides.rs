//! Other rates for somebody: from the configuration, and set by operators, who need no restart for it.

use std::collections::HashMap;
use std::sync::Arc;

use super::{Settings, Whose};
use crate::domain::audit::Act;
use crate::domain::limit::{Limit, Network, Override, Rate, Subject};
use crate::domain::{Error, Kind, Result};
use crate::ra::{Ra, settle};
use crate::store::records::{Batch, Stored};

/// Most overrides that operators may set.
const MOST: usize = 10_000;

/// The overrides that hold, by what finds them.
#[derive(Default)]
pub(super) struct Overrides {
    of: HashMap<(Limit, Subject), Rate>,
    ranges: Vec<(Limit, Network, Rate)>,
}

impl Overrides {
    /// Those of the configuration and of operators; where both speak, the operators.
    pub(super) fn of(settings: &Settings, set: &[Override]) -> Self {
        let written = settings.overrides.iter().map(|one| (one.limit, one.subject.clone(), one.rate.0));
        let set = set.iter().map(|one| (one.limit, one.subject.clone(), one.rate));
        let mut overrides = Self::default();
        for (limit, subject, rate) in written.chain(set) {
            match subject {
                Subject::Addresses(range) => overrides.add_range(limit, range, rate),
                subject => drop(overrides.of.insert((limit, subject), rate)),
            }
        }
        overrides
    }

    fn add_range(&mut self, limit: Limit, range: Network, rate: Rate) {
        self.ranges.retain(|(known, at, _)| (*known, *at) != (limit, range));
        self.ranges.push((limit, range, rate));
    }

    /// The rate of a limit for somebody, if another holds for them: for the account before the customer, before the
    /// name, before the narrowest range of addresses.
    pub(super) fn rate(&self, limit: Limit, whose: Whose<'_>) -> Option<Rate> {
        let subjects = [
            whose.account.cloned().map(Subject::Account),
            whose.customer.cloned().map(Subject::Customer),
            whose.name.map(|name| Subject::Name(name.to_owned())),
        ];
        if !self.of.is_empty() {
            let found = subjects.into_iter().flatten().find_map(|subject| self.of.get(&(limit, subject)));
            if let Some(rate) = found {
                return Some(*rate);
            }
        }
        let address = whose.address?;
        let around = self.ranges.iter().filter(|(known, range, _)| *known == limit && range.contains(address));
        around.max_by_key(|(_, range, _)| range.bits()).map(|(_, _, rate)| *rate)
    }
}

impl Ra {
    /// Sets another rate of a limit for somebody, in the place of the one that was set before.
    pub async fn set_limit(&self, limit: Limit, subject: &Subject, rate: Rate, note: &str) -> Result<Override> {
        if let Some(fault) = rate.fault() {
            return Err(Error::malformed(format!("The rate can't hold: {fault}.")));
        }
        let note: String = note.trim().to_owned();
        if note.is_empty() || note.len() > 1_000 {
            return Err(Error::malformed("Say in \"note\" why, in 1000 characters at most."));
        }
        let set = Override { limit, subject: subject.clone(), rate, note, at: self.now() };
        let known = self.records.find::<Override>(Override::name(limit, subject)).await?;
        if known.is_none() && self.records.list::<Override>(b"", None, MOST).await?.len() >= MOST {
            return Err(Error::new(Kind::Conflict, format!("There are {MOST} other rates already; withdraw some.")));
        }
        let act = Act::LimitSet {
            limit: limit.to_string(),
            subject: subject.to_string(),
            rate: rate.to_string(),
            note: set.note.clone(),
        };
        self.records.commit(Batch::of(act, set.at).put(&set)).await?;
        self.read_limits().await?;
        Ok(set)
    }

    /// Withdraws a rate that an operator set: the usual one holds again.
    pub async fn withdraw_limit(&self, limit: Limit, subject: &Subject) -> Result<()> {
        settle(|| async {
            let found = self.records.find::<Override>(Override::name(limit, subject)).await?;
            let none = || Error::not_found(format!("No other rate of \"{limit}\" is set for {subject}."));
            let found = found.ok_or_else(none)?;
            let act = Act::LimitWithdrawn { limit: limit.to_string(), subject: subject.to_string() };
            Ok(self.records.commit(Batch::of(act, self.now()).remove(&found)).await?)
        })
        .await?;
        self.read_limits().await
    }

    /// Up to `limit` rates that operators set, behind the one of that name (`Override::name`).
    pub async fn limits_set(&self, after: Option<&str>, limit: usize) -> Result<Vec<Override>> {
        let after = after.map(|name| name.as_bytes().to_vec());
        let found = self.records.list::<Override>(b"", after, limit).await?;
        Ok(found.into_iter().map(Stored::into_value).collect())
    }

    /// Every limit with the rate that holds for everybody.
    pub fn usual_limits(&self) -> Vec<(Limit, Rate)> {
        let settings = self.limits.settings();
        let rate = |limit| if settings.enabled { settings.rate(limit) } else { Rate::OFF };
        Limit::ALL.iter().map(|limit| (*limit, rate(*limit))).collect()
    }

    /// Reads what operators set, on this node or another, and has it hold.
    pub(in crate::ra) async fn read_limits(&self) -> Result<()> {
        let set = self.limits_set(None, MOST).await?;
        self.limits.overrides.store(Arc::new(Overrides::of(&self.limits.settings, &set)));
        Ok(())
    }
}
