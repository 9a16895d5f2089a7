//! What proves the names of an order: authorizations that may serve again, or new ones.

use std::collections::HashMap;
use std::time::Duration;

use super::{Ra, Stop};
use crate::domain::account::{Account, Holder};
use crate::domain::audit::Act;
use crate::domain::authz::{Authorization, AuthzState};
use crate::domain::certificate::Certificate;
use crate::domain::id::random_token;
use crate::domain::order::Purpose;
use crate::domain::plan::{Method, Plan};
use crate::domain::{AuthzId, Identifier, Result, Timestamp};
use crate::policy::catalog::{Catalog, Class, Product, days};
use crate::policy::{lifecycle, validity};
use crate::store::records::{Batch, Index, Stored, target};

/// Days that a proof lasts for an order that people review.
const REVIEW_DAYS: u32 = 30;

/// What earlier proofs do for an order.
#[derive(Default)]
pub(super) struct Prior {
    /// Days for which they serve; 0: all names are validated anew.
    days: u32,
    /// The method that a new proof of a name is bound to (REISSUE-15).
    methods: HashMap<String, Method>,
}

impl Prior {
    /// Days for which they serve; 0: all names are validated anew.
    pub(super) fn reuse_days(&self) -> u32 {
        self.days
    }
}

/// Where an order's proof of a name comes from.
pub(super) enum Proof {
    /// An authorization of the account that may be used until that moment.
    Reused(Stored<Authorization>, Timestamp),
    /// What another account of the same customer has proven, as an authorization of this account.
    Taken(Box<Taken>),
    Opened(Authorization),
}

/// A proof that one account takes over from another of the same customer.
pub(super) struct Taken {
    of: Stored<Authorization>,
    own: Authorization,
    until: Timestamp,
}

impl Proof {
    pub(super) fn authz(&self) -> &Authorization {
        match self {
            Self::Reused(authz, _) => authz,
            Self::Taken(taken) => &taken.own,
            Self::Opened(authz) => authz,
        }
    }

    /// The end of its use, or of the wait for it.
    pub(super) fn until(&self) -> Timestamp {
        match self {
            Self::Reused(_, until) => *until,
            Self::Taken(taken) => taken.until,
            Self::Opened(authz) => authz.expires,
        }
    }

    /// Adds what it needs to the order's batch.
    pub(super) fn write(&self, batch: Batch) -> Batch {
        match self {
            Self::Reused(authz, _) => batch.check(authz),
            Self::Taken(taken) => {
                let Taken { of, own, .. } = &**taken;
                let name = own.ordered_name();
                let batch = batch.check(of).insert(own).index(&Index::Proven(&own.account, &name), own.id.as_str());
                let (authz, of, account) = (own.id.clone(), of.id.clone(), own.account.clone());
                batch.and(Act::AuthorizationTaken { authz, of, account, name }, own.created)
            }
            Self::Opened(authz) => batch.insert(authz),
        }
    }
}

impl Ra {
    /// What earlier proofs do for an order of that purpose. `earlier` is the certificate that it follows, `original` when
    /// the first of its line of reissues was issued.
    pub(super) async fn prior(
        &self,
        catalog: &Catalog,
        product: &Product,
        purpose: Purpose,
        earlier: Option<(&Certificate, Timestamp)>,
    ) -> Result<Prior> {
        let original = earlier.map_or(Timestamp::default(), |(_, original)| original);
        // Whoever revoked it may hold the names now: then nothing that was proven before says who does.
        let days = match earlier {
            Some((earlier, _)) if earlier.is_revoked() => product.validation_reuse_days,
            _ => lifecycle::reuse_days(catalog.settings(), product, purpose, original, self.now()),
        };
        let methods = match (purpose, earlier) {
            (Purpose::Reissue { .. }, Some((earlier, _))) if product.class == Class::DvFree => {
                self.methods_of(earlier).await?
            }
            _ => HashMap::new(),
        };
        Ok(Prior { days, methods })
    }

    /// By which methods the names of a certificate were proven, as far as that is still known.
    pub(super) async fn methods_of(&self, certificate: &Certificate) -> Result<HashMap<String, Method>> {
        let view = self.order_view(&certificate.order).await?;
        let proven = view.authzs.iter().filter_map(|authz| match &authz.state {
            AuthzState::Valid { method, .. } => Some((authz.ordered_name(), *method)),
            _ => None,
        });
        Ok(proven.collect())
    }

    /// For each name the authorization that still proves it, or a new one.
    pub(super) async fn reuse_or_open(
        &self,
        account: &Account,
        plan: &Plan,
        product: &Product,
        prior: &Prior,
    ) -> Result<Vec<Proof>, Stop> {
        let names: Vec<String> = plan.identifiers.iter().map(ToString::to_string).collect();
        let open = |identifier| Proof::Opened(self.open_authz(account, identifier, product, prior));
        let mut proofs: Vec<Proof> = plan.identifiers.iter().map(open).collect();
        if prior.days == 0 {
            return Ok(proofs);
        }
        let usable = |authz: Option<Stored<Authorization>>, identifier| {
            let authz = authz?;
            let until = self.reusable_until(&authz, identifier, product, prior.days)?;
            Some((authz, until))
        };
        let rows: Vec<Index<'_>> = names.iter().map(|name| Index::Proven(&account.id, name)).collect();
        let own = self.authorizations_at(&rows).await?;
        for ((identifier, authz), proof) in plan.identifiers.iter().zip(own).zip(&mut proofs) {
            if let Some((authz, until)) = usable(authz, identifier) {
                *proof = Proof::Reused(authz, until);
            }
        }
        // VAL-32, VAL-33, VAL-34: retained for the customer, who may have several accounts.
        let holder = account.holder();
        let lacking = proofs.iter().any(|proof| matches!(proof, Proof::Opened(_)));
        if matches!(holder, Holder::Customer(_)) && lacking {
            let rows: Vec<Index<'_>> = names.iter().map(|name| Index::Retained(&holder, name)).collect();
            let theirs = self.authorizations_at(&rows).await?;
            for ((identifier, authz), proof) in plan.identifiers.iter().zip(theirs).zip(&mut proofs) {
                let found = usable(authz, identifier);
                if let (Some((of, until)), Proof::Opened(opened)) = (found, &*proof) {
                    *proof = Proof::Taken(Box::new(Taken { own: taken_over(&of, opened), of, until }));
                }
            }
        }
        Ok(proofs)
    }

    /// The authorizations that rows lead to, each none if it is absent.
    async fn authorizations_at(&self, rows: &[Index<'_>]) -> Result<Vec<Option<Stored<Authorization>>>> {
        let mut found = Vec::with_capacity(rows.len());
        for row in self.records.follow_all(rows).await? {
            found.push(match row {
                Some(row) => self.records.find::<Authorization>(&target::<AuthzId>(&row)?).await?,
                None => None,
            });
        }
        Ok(found)
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
        let now = self.now();
        let longest = days(reuse.min(self.settings.authorization_days));
        let longest = longest.min(validity::longest_reuse(self.catalog().settings(), product, now));
        let until = authz.expires.min(*validated + longest);
        let lasts = now + Duration::from_secs(3600) < until;
        (lasts && authz.covers(identifier) && product.methods.contains(method)).then_some(until)
    }

    /// A new pending authorization for a name.
    pub(super) fn open_authz(
        &self,
        account: &Account,
        identifier: &Identifier,
        product: &Product,
        prior: &Prior,
    ) -> Authorization {
        let now = self.now();
        let pending = self.settings.pending_authorization_days;
        let deadline = product.deadline_days.map(|deadline| deadline.min(pending));
        let mut methods = product.methods_for(identifier);
        if let Some(bound) = prior.methods.get(&identifier.to_string()).filter(|bound| methods.contains(bound)) {
            methods = vec![*bound];
        }
        Authorization {
            id: AuthzId::random(),
            account: account.id.clone(),
            identifier: identifier.base(),
            wildcard: identifier.is_wildcard(),
            token: random_token(),
            methods,
            caa_identities: product.caa_identities.clone(),
            caa_mode: product.caa_mode,
            kept_days: self.kept_days(product),
            review_days: self.review_days(product),
            deadline_days: deadline,
            created: now,
            // VAL-13: the proof must be there within the documented days.
            expires: now + days(deadline.unwrap_or(pending)),
            state: AuthzState::Pending { attempt: None },
        }
    }

    /// Days that a proof made for a product is kept, for further orders and for reissues.
    fn kept_days(&self, product: &Product) -> u32 {
        let catalog = self.catalog();
        // VAL-35: a reissue in the first days rests on what proved its original, which a review may have kept waiting.
        let fresh = if product.reissue_fresh_days > 0 { catalog.settings().validation_reuse_days } else { 0 };
        let kept = product.validation_reuse_days.max(product.reissue_reuse_days).max(fresh);
        kept.min(self.longest_days(product))
    }

    /// Days that a proof serves the very order that it was made for while people review the organisation: they may take 7
    /// business days (REVIEW-02), and more where papers are sent again.
    fn review_days(&self, product: &Product) -> u32 {
        let reviewed = if product.class.needs_organisation() { REVIEW_DAYS } else { 0 };
        reviewed.min(self.longest_days(product))
    }

    /// Days for which a proof may be used at all.
    fn longest_days(&self, product: &Product) -> u32 {
        let longest = validity::longest_reuse(self.catalog().settings(), product, self.now()).as_secs() / 86_400;
        u32::try_from(longest).unwrap_or(u32::MAX)
    }
}

/// An authorization in the place of `opened` that rests on what another account of the same customer has proven. CAA is
/// looked up anew before issuance, since records may name accounts (RFC 8657).
fn taken_over(of: &Authorization, opened: &Authorization) -> Authorization {
    let mut state = of.state.clone();
    if let AuthzState::Valid { caa_checked, .. } = &mut state {
        *caa_checked = None;
    }
    Authorization { kept_days: of.kept_days, expires: of.expires, state, ..opened.clone() }
}
