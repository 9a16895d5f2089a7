//! What a signature rests on: as its event says, or, where an older version wrote that, as order and authorizations tell.

use super::Checker;
use crate::domain::audit::{Act, AuditEvent, Proof, Signature};
use crate::domain::authz::{Authorization, AuthzState};
use crate::domain::certificate::Certificate;
use crate::domain::order::Order;
use crate::domain::{AccountId, AuthzId, OrderId, Result, Timestamp};
use crate::policy::catalog::ceiling;

/// What the names of a certificate are judged by.
pub(super) struct Basis {
    pub account: AccountId,
    pub names: Vec<String>,
    /// Most days that a validation could be old.
    pub reuse_days: u32,
    pub proofs: Vec<Proof>,
}

impl Basis {
    /// As the event of the signature says.
    pub fn of(signature: &Signature) -> Self {
        Self {
            account: signature.account.clone(),
            names: signature.names.clone(),
            reuse_days: signature.reuse_days,
            proofs: signature.proofs.clone(),
        }
    }
}

impl Checker {
    /// As far as it can be told without the event: the names are those of the certificate, or of the order; each was proven
    /// by the authorization that the order has for it. None where neither certificate nor order is known.
    pub(super) async fn older_basis(
        &self,
        signed: Timestamp,
        certificate: Option<&Certificate>,
        order: Option<&OrderId>,
        order_events: &[AuditEvent],
    ) -> Result<Option<Basis>> {
        let ordered = order_events.iter().find_map(|event| match &event.act {
            Act::OrderCreated { account, names, .. } => Some((account.clone(), names.clone())),
            _ => None,
        });
        let certified = certificate.map(|found| {
            (found.account.clone(), found.identifiers.iter().map(ToString::to_string).collect::<Vec<_>>())
        });
        let Some((account, names)) = certified.or(ordered) else { return Ok(None) };
        let order = match order {
            Some(order) => self.records.find::<Order>(order).await?,
            None => None,
        };
        let mut proofs = Vec::new();
        for authz in order.iter().flat_map(|order| &order.authorizations) {
            proofs.extend(self.older_proof(authz, signed).await?);
        }
        Ok(Some(Basis { account, names, reuse_days: ceiling::REUSE_DAYS, proofs }))
    }

    /// The last validation of an authorization before the signature; without an event of one, what its record says.
    async fn older_proof(&self, id: &AuthzId, signed: Timestamp) -> Result<Option<Proof>> {
        let Some(authz) = self.records.find::<Authorization>(id).await? else { return Ok(None) };
        let events = self.events_of(id.as_str()).await?;
        let settled = events.iter().rev().find_map(|(_, event)| match &event.act {
            Act::ValidationSettled { problem: None, method, .. } if event.at <= signed => Some((*method, event.at)),
            _ => None,
        });
        let recorded = match &authz.state {
            AuthzState::Valid { method, validated, .. } => Some((*method, *validated)),
            AuthzState::Pending { .. } | AuthzState::Invalid { .. } | AuthzState::Deactivated { .. } => None,
        };
        let proof = |(method, validated)| Proof {
            name: authz.ordered_name(),
            authz: id.clone(),
            method,
            validated,
            // CAA was always looked at together with the proof.
            caa_checked: Some(validated),
        };
        Ok(settled.or(recorded).map(proof))
    }
}
