//! What requests and orders take of the limits (RFC 8555 section 6.6), and what takes nothing.

use std::net::IpAddr;

use super::Ra;
use super::limits::{Taken, Want};
use super::placing::Precedent;
use crate::domain::account::Account;
use crate::domain::authz::Authorization;
use crate::domain::certificate::Certificate;
use crate::domain::limit::Allowance;
use crate::domain::order::{Order, Phase};
use crate::domain::{CustomerId, Identifier, Kind, Problem, Result};
use crate::policy::lifecycle::same_names;
use crate::store::records::Stored;

impl Ra {
    /// Counts an ACME request from an address, or refuses it.
    pub fn admit_request(&self, from: IpAddr) -> Result<()> {
        self.limits.take(self.limits.request(from), self.now()).map(Taken::keep)
    }

    /// Counts a request to the REST API by a caller, or refuses it.
    pub fn admit_api_request(&self, caller: &str, customer: Option<&CustomerId>) -> Result<()> {
        let wants = self.limits.api_request(caller, customer);
        self.limits.take(wants, self.now()).map(Taken::keep)
    }

    /// Counts a diagnosis of a caller, or refuses it.
    pub(super) fn admit_diagnosis(&self, caller: &str) -> Result<()> {
        self.limits.take(self.limits.diagnosis(caller), self.now()).map(Taken::keep)
    }

    /// What an order for these names takes. `claim`: the certificate that it says it replaces, with the row that says by
    /// which order that was tried before.
    ///
    /// Nothing takes what renews a certificate in force, for exactly its names, at the first try (RFC 9773 section 5): of one
    /// certificate comes one such order, else whoever has one could place and give up orders without end. What an incident
    /// asks for is neither refused because its certificate was revoked nor at a second try (ARI-13).
    pub(super) fn allowance(
        &self,
        names: &[Identifier],
        precedent: &Precedent,
        claim: Option<(&Certificate, &Option<Stored<String>>)>,
    ) -> Allowance {
        let renews = |(old, tried): (&Certificate, &Option<Stored<String>>)| {
            same_names(names, &old.identifiers)
                && self.now() <= old.not_after
                && (self.incident_about(old).is_some() || (!old.is_revoked() && tried.is_none()))
        };
        let follows = |earlier: &Certificate| same_names(names, &earlier.identifiers);
        match claim {
            Some(claim) if renews(claim) => Allowance::Nothing,
            _ if !precedent.purpose.is_new() && precedent.earlier.as_deref().is_some_and(follows) => Allowance::Order,
            _ => Allowance::Whole,
        }
    }

    /// What an order takes when it is placed.
    pub(super) fn order_wants(&self, account: &Account, allowance: Allowance) -> Vec<Want> {
        match allowance {
            Allowance::Whole | Allowance::Order => self.limits.order(&account.id, account.holder().customer()),
            Allowance::Nothing => Vec::new(),
        }
    }

    /// Takes what the certificate of an order takes, when its CSR is accepted; dropped, it is given back.
    ///
    /// It is taken here, in one step with the look whether it may be, and not when it is signed: so orders that are open at
    /// once can't pass the limit together, and who is refused still has an order that is ready. An order that a person
    /// looks at first is refused here too, but takes nothing before the approval, which may come in weeks.
    pub(super) fn take_certificate(&self, account: &Account, order: &Order) -> Result<Taken<'_>> {
        self.limits.take(self.certificate_wants(account, order.allowance, &order.identifiers), self.now())
    }

    /// Counts the certificate of an order that a person approved, whatever is left.
    pub(super) fn count_certificate(&self, account: &Account, order: &Order) {
        self.limits.count(&self.certificate_wants(account, order.allowance, &order.identifiers), self.now());
    }

    /// Gives back what an order took that failed after its CSR was accepted: its certificate is not made. Its place among the
    /// orders comes back if this server is to blame, whose failures cost the client nothing.
    pub(super) fn give_back_order(&self, account: &Account, order: &Order, problem: &Problem) {
        let now = self.now();
        if let Phase::Issuing { since, .. } = order.phase {
            let wants = self.certificate_wants(account, order.allowance, &order.identifiers);
            self.limits.give_back(&wants, since, now);
        }
        if matches!(problem.kind, Kind::ServerInternal | Kind::Unavailable) {
            self.limits.give_back(&self.order_wants(account, order.allowance), order.created, now);
        }
    }

    /// What its certificate takes.
    pub(super) fn certificate_wants(&self, account: &Account, allowance: Allowance, names: &[Identifier]) -> Vec<Want> {
        match allowance {
            Allowance::Whole => self.limits.certificate(&account.id, account.holder().customer(), names),
            Allowance::Order | Allowance::Nothing => Vec::new(),
        }
    }

    /// Takes what so many pending authorizations of an order take. Those of one that takes nothing are counted, because they
    /// are given back like others, and never refused.
    pub(super) fn take_pending(&self, account: &Account, allowance: Allowance, count: usize) -> Result<Taken<'_>> {
        let wants = self.limits.pending(&account.id, account.holder().customer(), count);
        match allowance {
            Allowance::Whole | Allowance::Order => self.limits.take(wants, self.now()),
            Allowance::Nothing => Ok(self.limits.take_anyway(wants, self.now())),
        }
    }

    /// Gives back what an authorization took that is not pending any more.
    pub(super) fn give_back_pending(&self, account: &Account, authz: &Authorization) {
        let wants = self.limits.pending(&account.id, account.holder().customer(), 1);
        self.limits.give_back(&wants, authz.created, self.now());
    }
}
