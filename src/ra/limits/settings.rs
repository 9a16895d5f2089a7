//! `[limits]` of the configuration.

use std::fmt;

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error as _, MapAccess, Visitor};

use crate::domain::limit::{Limit, Network, Rate, Subject, parse_period};

/// `[limits]` of the configuration; 0 is off.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Whether there are limits and pauses at all.
    pub enabled: bool,
    /// ACME requests from one address; of IPv6 from one /64.
    pub requests_per_address: Written,
    /// The same of an IPv6 /48.
    pub requests_per_network: Written,
    /// New accounts from one address; of IPv6 from one /64.
    pub accounts_per_address: Written,
    /// The same of an IPv6 /48.
    pub accounts_per_network: Written,
    /// External account bindings that fail, by address.
    pub failed_bindings: Written,
    /// New orders and pre-authorizations of an account.
    pub orders_per_account: Written,
    /// The same of all accounts of a customer.
    pub orders_per_customer: Written,
    /// Authorizations of an account that wait for an answer.
    pub pending_authorizations: Written,
    /// Failed validations of an account for a name.
    pub failed_validations: Written,
    /// Certificates for names below a registered domain; renewals are not counted.
    pub certificates_per_domain: Written,
    /// Certificates for exactly the same names; renewals are not counted.
    pub certificates_per_names: Written,
    /// Requests to the REST API with a token; the operator's own is free.
    pub api_requests: Written,
    /// Diagnoses of a caller.
    pub diagnoses: Written,
    /// `accounts_per_address` by the hour; 0: what that one says.
    pub accounts_per_hour: u32,
    /// `orders_per_account` by the hour; 0: what that one says.
    pub orders_per_hour: u32,
    /// `failed_validations` by the hour; 0: what that one says.
    pub failed_validations_per_hour: u32,
    /// Diagnoses of a caller by the hour; 0 is off. `diagnoses` goes first.
    pub diagnoses_per_hour: u32,
    /// Addresses for which nothing is counted.
    pub exempt_addresses: Vec<Network>,
    /// Other rates for somebody.
    pub overrides: Vec<Exception>,
    /// How many counters are kept at most.
    pub counters: usize,
    /// Failed validations in a row after which an account's name is paused; 0 is never.
    pub pause_after: u32,
    /// Days over which they must stretch.
    pub pause_days: u32,
    /// Most names of one account whose failures are kept.
    pub pauses_per_account: u32,
    /// Days for which the link in a refusal unpauses.
    pub unpause_link_days: u32,
}

/// A rate as the configuration writes it: a number an hour, or `{ count = 300, per = "3h" }`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written(pub Rate);

/// Another rate for somebody, in the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exception {
    /// The limit.
    pub limit: Limit,
    /// For whom.
    pub subject: Subject,
    /// The rate in its place.
    pub rate: Written,
}

impl Default for Settings {
    fn default() -> Self {
        let loopback = ["127.0.0.0/8", "::1"].map(|range| range.parse().expect("this is a range of addresses"));
        Self {
            enabled: true,
            requests_per_address: Written(Rate::of(6_000, 60)),
            requests_per_network: Written(Rate::of(60_000, 60)),
            accounts_per_address: Written(Rate::of(100, 10_800)),
            accounts_per_network: Written(Rate::of(1_000, 10_800)),
            failed_bindings: Written(Rate::hourly(60)),
            orders_per_account: Written(Rate::of(6_000, 10_800)),
            orders_per_customer: Written(Rate::OFF),
            pending_authorizations: Written(Rate::of(10_000, 604_800)),
            failed_validations: Written(Rate::hourly(60)),
            certificates_per_domain: Written(Rate::OFF),
            certificates_per_names: Written(Rate::OFF),
            api_requests: Written(Rate::of(6_000, 60)),
            diagnoses: Written(Rate::OFF),
            accounts_per_hour: 0,
            orders_per_hour: 0,
            failed_validations_per_hour: 0,
            diagnoses_per_hour: 60,
            // A proxy on this machine stands for everybody behind it.
            exempt_addresses: loopback.into(),
            overrides: Vec::new(),
            counters: 200_000,
            pause_after: 50,
            pause_days: 7,
            pauses_per_account: 1_000,
            unpause_link_days: 14,
        }
    }
}

impl Settings {
    /// No limits and no pauses.
    pub fn off() -> Self {
        Self { enabled: false, ..Self::default() }
    }

    /// The rate of a limit for everybody.
    pub fn rate(&self, limit: Limit) -> Rate {
        let hourly = |count: u32, otherwise: Written| match count {
            0 => otherwise,
            count => Written(Rate::hourly(count)),
        };
        let Written(rate) = match limit {
            Limit::RequestsPerAddress => self.requests_per_address,
            Limit::RequestsPerNetwork => self.requests_per_network,
            Limit::AccountsPerAddress => hourly(self.accounts_per_hour, self.accounts_per_address),
            Limit::AccountsPerNetwork => self.accounts_per_network,
            Limit::FailedBindings => self.failed_bindings,
            Limit::OrdersPerAccount => hourly(self.orders_per_hour, self.orders_per_account),
            Limit::OrdersPerCustomer => self.orders_per_customer,
            Limit::PendingAuthorizations => self.pending_authorizations,
            Limit::FailedValidations => hourly(self.failed_validations_per_hour, self.failed_validations),
            Limit::CertificatesPerDomain => self.certificates_per_domain,
            Limit::CertificatesPerNames => self.certificates_per_names,
            Limit::ApiRequests => self.api_requests,
            Limit::Diagnoses if self.diagnoses.0.is_on() => self.diagnoses,
            Limit::Diagnoses => Written(Rate::hourly(self.diagnoses_per_hour)),
        };
        rate
    }

    /// What is wrong, each with its key.
    pub fn faults(&self) -> Vec<(String, String)> {
        let of = |limit: &Limit| Some((limit.name().to_owned(), self.rate(*limit).fault()?));
        let mut faults: Vec<_> = Limit::ALL.iter().filter_map(of).collect();
        for exception in &self.overrides {
            if let Some(fault) = exception.rate.0.fault() {
                faults
                    .push(("overrides".to_owned(), format!("{} for {}: {fault}", exception.limit, exception.subject)));
            }
        }
        let mut within = |key: &str, value: usize, least: usize, most: usize| {
            if !(least..=most).contains(&value) {
                faults.push((key.to_owned(), format!("{value} is not between {least} and {most}")));
            }
        };
        within("counters", self.counters, 1_000, 10_000_000);
        within("pause_days", self.pause_days as usize, 0, 365);
        within("pauses_per_account", self.pauses_per_account as usize, 1, 10_000);
        within("unpause_link_days", self.unpause_link_days as usize, 1, 365);
        faults
    }
}

impl<'de> Deserialize<'de> for Written {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Form)
    }
}

struct Form;

impl<'de> Visitor<'de> for Form {
    type Value = Written;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number an hour, or { count = 300, per = \"3h\" }")
    }

    fn visit_u64<E: serde::de::Error>(self, count: u64) -> Result<Written, E> {
        let count = u32::try_from(count).map_err(|_| E::custom(format!("{count} is too large")))?;
        Ok(Written(Rate::hourly(count)))
    }

    fn visit_i64<E: serde::de::Error>(self, count: i64) -> Result<Written, E> {
        self.visit_u64(u64::try_from(count).map_err(|_| E::custom(format!("{count} is below zero")))?)
    }

    fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<Written, A::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Table {
            count: u32,
            per: String,
        }
        let Table { count, per } = Table::deserialize(MapAccessDeserializer::new(members))?;
        Ok(Written(Rate::of(count, parse_period(&per).map_err(A::Error::custom)?)))
    }
}
