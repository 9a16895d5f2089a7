//! What proves the names of an order: authorizations that may serve again, or new ones.

use std::time::Duration;

use super::{Ra, Stop};
use crate::domain::account::Account;
use crate::domain::authz::{Authorization, AuthzState};
use crate::domain::id::random_token;
use crate::domain::plan::Plan;
use crate::domain::{AuthzId, Identifier, Timestamp};
use crate::policy::catalog::{Product, days};
use crate::store::records::{Index, Stored, target};

/// Where an order's proof of a name comes from.
pub(super) enum Proof {
    /// An authorization that may be used until that moment.
    Reused(Stored<Authorization>, Timestamp),
    Opened(Authorization),
}

impl Proof {
    pub(super) fn authz(&self) -> &Authorization {
        match self {
            Self::Reused(authz, _) => authz,
            Self::Opened(authz) => authz,
        }
    }

    /// The end of its use, or of the wait for it.
    pub(super) fn until(&self) -> Timestamp {
        match self {
            Self::Reused(_, until) => *until,
            Self::Opened(authz) => authz.expires,
        }
    }
}

impl Ra {
    /// For each name the authorization that still proves it, seen within the last `reuse` days, or a new one.
    pub(super) async fn reuse_or_open(
        &self,
        account: &Account,
        plan: &Plan,
        product: &Product,
        reuse: u32,
    ) -> Result<Vec<Proof>, Stop> {
        let now = self.now();
        let names: Vec<String> = plan.identifiers.iter().map(ToString::to_string).collect();
        let rows: Vec<Index<'_>> = names.iter().map(|name| Index::Proven(&account.id, name)).collect();
        let ids: Vec<Option<Stored<String>>> = self.records.follow_all(&rows).await?;
        let mut proofs = Vec::with_capacity(names.len());
        for (identifier, row) in plan.identifiers.iter().zip(ids) {
            let proven = match row {
                Some(row) => self.records.find::<Authorization>(&target::<AuthzId>(&row)?).await?,
                None => None,
            };
            let until = proven.as_ref().and_then(|authz| self.reusable_until(authz, identifier, product, reuse));
            proofs.push(match (proven, until) {
                (Some(authz), Some(until)) => Proof::Reused(authz, until),
                _ => Proof::Opened(self.open_authz(account, identifier, product, now)),
            });
        }
        Ok(proofs)
    }

    /// Until when an authorization may serve another order of this product; none if it may not: it must be proven by one
    /// of the product's methods, within the last `reuse` days, and of use for at least another hour.
    pub(super) fn reusable_until(
        &self,
        authz: &Authorization,
        identifier: &Identifier,
        product: &Product,
        reuse: u32,
    ) -> Option<Timestamp> {
        let AuthzState::Valid { method, validated, .. } = &authz.state else { return None };
        let longest = days(reuse.min(self.settings.authorization_days));
        let until = authz.expires.min(*validated + longest);
        let lasts = self.now() + Duration::from_secs(3600) < until;
        (lasts && authz.covers(identifier) && product.methods.contains(method)).then_some(until)
    }

    /// A new pending authorization for a name.
    pub(super) fn open_authz(
        &self,
        account: &Account,
        identifier: &Identifier,
        product: &Product,
        now: Timestamp,
    ) -> Authorization {
        let pending = self.settings.pending_authorization_days;
        Authorization {
            id: AuthzId::random(),
            account: account.id.clone(),
            identifier: identifier.base(),
            wildcard: identifier.is_wildcard(),
            token: random_token(),
            methods: product.methods_for(identifier),
            caa_identities: product.caa_identities.clone(),
            caa_mode: product.caa_mode,
            kept_days: product.validation_reuse_days.max(product.reissue_reuse_days),
            created: now,
            // VAL-13: the proof must be there within the documented days.
            expires: now + days(product.deadline_days.map_or(pending, |deadline| deadline.min(pending))),
            state: AuthzState::Pending { attempt: None },
        }
    }
}
