//! Rate limits (RFC 8555 section 6.6): what has been counted in this process, and the refusals that follow. What a limit is
//! and for whom another rate holds are values (`domain::limit`); the counting itself is pure (`gcra`).

mod gcra;
mod overrides;
mod settings;

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::time::Duration;

use arc_swap::ArcSwap;
use parking_lot::Mutex;

use crate::domain::error::Help;
use crate::domain::limit::{Limit, Network, Rate};
use crate::domain::{AccountId, CustomerId, Error, Identifier, Kind, Result, Timestamp};
use crate::policy::domains;
use crate::telemetry;
use gcra::Cell;
use overrides::Overrides;
pub use settings::{Exception, Settings, Written};

/// Whom something is counted for. Overrides are found by its parts.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Whose<'a> {
    pub(super) address: Option<IpAddr>,
    pub(super) account: Option<&'a AccountId>,
    pub(super) customer: Option<&'a CustomerId>,
    /// A domain or a validated name, in lower case.
    pub(super) name: Option<&'a str>,
}

/// What is wanted of an allowance.
#[derive(Debug, Clone)]
pub(super) struct Want {
    limit: Limit,
    rate: Rate,
    count: u32,
    /// For whom, as the refusal says it.
    subject: String,
    key: CounterKey,
}

/// A counter's name: its hash, under keys that nobody outside knows, so that long names cost no more than short ones.
type CounterKey = [u64; 2];

/// The counters of this process, and the rates that hold.
pub(super) struct Limits {
    settings: Settings,
    overrides: ArcSwap<Overrides>,
    hashers: [RandomState; 2],
    counters: Mutex<HashMap<CounterKey, Cell>>,
}

/// What was taken of allowances. Dropped, it is given back; whoever carried out what it was taken for keeps it.
#[must_use]
pub(super) struct Taken<'a> {
    limits: &'a Limits,
    wants: Vec<Want>,
    at: Timestamp,
}

impl Limits {
    /// Limits with these figures, nothing counted yet.
    pub(super) fn new(settings: Settings) -> Self {
        let overrides = ArcSwap::from_pointee(Overrides::of(&settings, &[]));
        Self { settings, overrides, hashers: Default::default(), counters: Mutex::default() }
    }

    /// The settings.
    pub(super) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// One of what a limit counts, for a subject. None where nothing limits it.
    fn want(&self, limit: Limit, subject: impl Into<String>, whose: Whose<'_>) -> Option<Want> {
        let exempt = |range: &Network| whose.address.is_some_and(|address| range.contains(address));
        if !self.settings.enabled || self.settings.exempt_addresses.iter().any(exempt) {
            return None;
        }
        let rate = self.overrides.load().rate(limit, whose).unwrap_or_else(|| self.settings.rate(limit));
        let subject = subject.into();
        // Another rate begins with nothing used, so that whoever is helped with one is helped now.
        let key = [0, 1].map(|half: usize| self.hashers[half].hash_one((limit, rate, &subject)));
        rate.is_on().then_some(Want { limit, rate, count: 1, subject, key })
    }

    /// What a request from an address takes.
    pub(super) fn request(&self, from: IpAddr) -> Vec<Want> {
        self.by_place(from, Limit::RequestsPerAddress, Limit::RequestsPerNetwork)
    }

    /// What a new account from an address takes.
    pub(super) fn account(&self, from: IpAddr) -> Vec<Want> {
        self.by_place(from, Limit::AccountsPerAddress, Limit::AccountsPerNetwork)
    }

    fn by_place(&self, from: IpAddr, narrow: Limit, wide: Limit) -> Vec<Want> {
        let whose = Whose { address: Some(from), ..Whose::default() };
        let near = self.want(narrow, format!("address {}", Network::place(from)), whose);
        let far = Network::site(from).and_then(|site| self.want(wide, format!("network {site}"), whose));
        near.into_iter().chain(far).collect()
    }

    /// What an external account binding that fails takes.
    pub(super) fn failed_binding(&self, from: IpAddr) -> Vec<Want> {
        let whose = Whose { address: Some(from), ..Whose::default() };
        self.want(Limit::FailedBindings, format!("address {}", Network::place(from)), whose).into_iter().collect()
    }

    /// What a new order or pre-authorization of an account takes.
    pub(super) fn order(&self, account: &AccountId, customer: Option<&CustomerId>) -> Vec<Want> {
        let whose = Whose { account: Some(account), customer, ..Whose::default() };
        let own = self.want(Limit::OrdersPerAccount, format!("account {account}"), whose);
        let all = customer.and_then(|id| self.want(Limit::OrdersPerCustomer, format!("customer {id}"), whose));
        own.into_iter().chain(all).collect()
    }

    /// What so many authorizations of an account take that wait for an answer.
    pub(super) fn pending(&self, account: &AccountId, customer: Option<&CustomerId>, count: usize) -> Vec<Want> {
        let whose = Whose { account: Some(account), customer, ..Whose::default() };
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        let want = self.want(Limit::PendingAuthorizations, format!("account {account}"), whose);
        want.into_iter().filter(|_| count > 0).map(|want| Want { count, ..want }).collect()
    }

    /// What a failed validation takes; a wildcard is validated as the name below its `*.`.
    pub(super) fn failure(&self, account: &AccountId, name: &Identifier) -> Vec<Want> {
        let name = name.base().to_string();
        let whose = Whose { account: Some(account), name: Some(&name), ..Whose::default() };
        self.want(Limit::FailedValidations, format!("account {account} and {name}"), whose).into_iter().collect()
    }

    /// What a certificate takes: of each registered domain in it, and of exactly these names.
    pub(super) fn certificate(
        &self,
        account: &AccountId,
        customer: Option<&CustomerId>,
        names: &[Identifier],
    ) -> Vec<Want> {
        let whose = Whose { account: Some(account), customer, ..Whose::default() };
        let mut domains: Vec<String> = names.iter().map(registered).collect();
        domains.sort();
        domains.dedup();
        let mut wants = Vec::new();
        for domain in &domains {
            let whose = Whose { name: Some(domain), ..whose };
            wants.extend(self.want(Limit::CertificatesPerDomain, format!("domain {domain}"), whose));
        }
        let mut set: Vec<String> = names.iter().map(ToString::to_string).collect();
        set.sort();
        set.dedup();
        let whose = Whose { name: set.first().map(String::as_str), ..whose };
        wants.extend(self.want(Limit::CertificatesPerNames, format!("the names {}", set.join(", ")), whose));
        wants
    }

    /// What a request to the REST API takes.
    pub(super) fn api_request(&self, caller: &str, customer: Option<&CustomerId>) -> Vec<Want> {
        let whose = Whose { customer, ..Whose::default() };
        self.want(Limit::ApiRequests, caller, whose).into_iter().collect()
    }

    /// What a diagnosis takes.
    pub(super) fn diagnosis(&self, caller: &str) -> Vec<Want> {
        self.want(Limit::Diagnoses, caller, Whose::default()).into_iter().collect()
    }

    /// Takes all that is wanted, or nothing and refuses.
    pub(super) fn take(&self, wants: Vec<Want>, now: Timestamp) -> Result<Taken<'_>> {
        if !wants.is_empty() {
            let mut counters = self.counters.lock();
            let cell = |want: &Want| counters.get(&want.key).copied().unwrap_or_else(|| Cell::at_rest(now));
            let taken =
                wants.iter().map(|want| cell(want).take(want.rate, want.count, now).map_err(|wait| (want, wait)));
            // The longest wait is told: whoever comes back after it is not sent away again.
            let (taken, refused): (Vec<_>, Vec<_>) = taken.partition(Result::is_ok);
            let refused = refused.into_iter().filter_map(Result::err).max_by_key(|(_, wait)| *wait);
            if let Some((want, wait)) = refused {
                return Err(refusal(want, wait));
            }
            for (want, cell) in wants.iter().zip(taken.into_iter().flatten()) {
                counters.insert(want.key, cell);
            }
            self.make_room(&mut counters, now);
        }
        Ok(Taken { limits: self, wants, at: now })
    }

    /// Refuses while not all that is wanted could be taken; takes nothing.
    pub(super) fn check(&self, wants: Vec<Want>, now: Timestamp) -> Result<()> {
        self.take(wants, now).map(drop)
    }

    /// Takes all that is wanted, allowed or not.
    pub(super) fn take_anyway(&self, wants: Vec<Want>, now: Timestamp) -> Taken<'_> {
        self.count(&wants, now);
        Taken { limits: self, wants, at: now }
    }

    /// Counts what has happened already, allowed or not.
    pub(super) fn count(&self, wants: &[Want], now: Timestamp) {
        if wants.is_empty() {
            return;
        }
        let mut counters = self.counters.lock();
        for want in wants {
            let cell = counters.get(&want.key).copied().unwrap_or_else(|| Cell::at_rest(now));
            counters.insert(want.key, cell.charge_up(want.rate, want.count, now));
        }
        self.make_room(&mut counters, now);
    }

    /// Gives back what was taken at `since`. What has come back by itself meanwhile is not given back once more, which would
    /// let others have what they used.
    pub(super) fn give_back(&self, wants: &[Want], since: Timestamp, now: Timestamp) {
        if wants.is_empty() {
            return;
        }
        let mut counters = self.counters.lock();
        for want in wants.iter().filter(|want| now.since(since) < want.rate.per()) {
            if let Some(cell) = counters.get_mut(&want.key) {
                *cell = cell.give_back(want.rate, want.count);
            }
        }
    }

    /// Throws out counters that are at rest, which say nothing, when there are too many; and if that does not help, those
    /// that are nearest to it. So whoever comes from ever new addresses costs no more memory than this.
    fn make_room(&self, counters: &mut HashMap<CounterKey, Cell>, now: Timestamp) {
        let most = self.settings.counters;
        if counters.len() <= most {
            return;
        }
        counters.retain(|_, cell| !cell.rests(now));
        let kept = most - most / 4;
        if counters.len() > kept {
            let mut cells: Vec<Cell> = counters.values().copied().collect();
            let thrown_out = counters.len() - kept;
            let (_, last, _) = cells.select_nth_unstable(thrown_out - 1);
            let last = *last;
            counters.retain(|_, cell| *cell > last);
        }
        metrics::counter!(telemetry::LIMIT_SWEEPS).increment(1);
    }
}

impl Taken<'_> {
    /// What it was taken for was carried out.
    pub(super) fn keep(mut self) {
        self.wants.clear();
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        self.limits.give_back(&self.wants, self.at, self.at);
    }
}

/// The registered domain that a name counts for; an address, and a name that is a public suffix itself, for itself.
fn registered(name: &Identifier) -> String {
    match name {
        Identifier::Dns(name) => domains::primary(name.base()).unwrap_or(name.base()).to_owned(),
        Identifier::Ip(_) => name.to_string(),
    }
}

fn refusal(Want { limit, rate, subject, .. }: &Want, wait: Duration) -> Error {
    metrics::counter!(telemetry::LIMIT_REFUSALS, "limit" => limit.name()).increment(1);
    let seconds = wait.as_millis().div_ceil(1000).max(1);
    let subject: String = subject.chars().take(300).collect();
    let (count, per) = (rate.count, rate.period());
    let what = limit.what();
    let detail =
        format!("The limit \"{limit}\", {count} {what} in {per} for {subject}, is reached; try again in {seconds} s.");
    Error::new(Kind::RateLimited, detail).retry_after(wait).help(Help::Limits)
}

#[cfg(test)]
mod tests;
