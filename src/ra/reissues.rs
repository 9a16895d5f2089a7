//! Lines of reissues: which certificate stands in for which, and what is under way (REISSUE-03, REISSUE-04, REVOKE-06).

use std::collections::BTreeSet;

use super::{OrderView, Ra};
use crate::domain::account::Holder;
use crate::domain::certificate::Certificate;
use crate::domain::order::{Order, OrderStatus, Phase, Purpose};
use crate::domain::{Error, Identifier, Kind, OrderId, Result, Serial};
use crate::policy::status::UnderWay;
use crate::policy::{domains, lifecycle};
use crate::store::records::{Batch, Index, Rows, Stored, target};

/// The rows that say what is being reissued, as they were read: of two orders at once, one is overtaken.
pub(super) struct Claimed {
    holder: Holder,
    of: Serial,
    domains: Vec<(String, Option<Stored<String>>)>,
}

impl Claimed {
    /// Adds the rows to the order's batch.
    pub(super) fn write(&self, mut batch: Batch, order: &OrderId) -> Batch {
        batch = batch.index(&Index::ReissueOf(&self.of, order), order.as_str());
        for (domain, row) in &self.domains {
            batch = batch.point(&Index::ReissueIn(&self.holder, domain), row.as_ref(), order.as_str());
        }
        batch
    }
}

impl Ra {
    /// REISSUE-03, REISSUE-04: whether nothing else is being reissued in the primary domains of the names. Whether an order is
    /// under way follows from its status, so nothing needs to be given back. `ending`: an identical order that is about to expire.
    pub(super) async fn claim_reissue(
        &self,
        holder: &Holder,
        purpose: Purpose,
        names: &[Identifier],
        ending: Option<&OrderView>,
    ) -> Result<Option<Claimed>> {
        let Purpose::Reissue { of } = purpose else { return Ok(None) };
        if self.revocation_over(&of).await?.is_some() {
            return Err(Error::unauthorized(format!(
                "Revocation is under way: certificate {of} can't be reissued (REVOKE-01)."
            )));
        }
        let mut claimed = Claimed { holder: holder.clone(), of, domains: Vec::new() };
        for domain in primary_domains(names) {
            let row = self.records.follow(&Index::ReissueIn(holder, &domain)).await?;
            // An identical order that is about to expire may be placed again.
            if let Some(row) =
                row.as_ref().filter(|row| ending.is_none_or(|ending| ***row != *ending.order.id.as_str()))
            {
                self.not_under_way(&self.order_view(&target(row)?).await?, &domain, names)?;
            }
            claimed.domains.push((domain, row));
        }
        Ok(Some(claimed))
    }

    fn not_under_way(&self, other: &OrderView, domain: &str, names: &[Identifier]) -> Result<()> {
        if matches!(other.status(), OrderStatus::Valid | OrderStatus::Invalid) {
            return Ok(());
        }
        let id = &other.order.id;
        let told = match lifecycle::same_names(&other.order.identifiers, names) {
            true => format!("Reissue already running: order {id} (REISSUE-04)."),
            false => {
                format!("Reissue {id} under this domain, {domain}, is running; the next may follow it (REISSUE-03).")
            }
        };
        let way_out = "Finalize that order, or deactivate one of its authorizations to give it up.";
        Err(Error::new(Kind::RateLimited, format!("{told} {way_out}"))
            .retry_after(other.order.expires.since(self.now())))
    }

    /// What is under way with a certificate in force.
    pub(super) async fn under_way(&self, serial: &Serial) -> Result<Option<UnderWay>> {
        if self.is_revoking(serial).await? {
            return Ok(Some(UnderWay::Revocation));
        }
        Ok(self.reissuing(serial).await?.then_some(UnderWay::Reissue))
    }

    /// Whether a reissue of the certificate is under way.
    async fn reissuing(&self, serial: &Serial) -> Result<bool> {
        for order in self.reissue_orders(serial).await? {
            if !matches!(self.order_view(&order.id).await?.status(), OrderStatus::Valid | OrderStatus::Invalid) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The orders that reissue, or were to reissue, a certificate, or the other one of its pair.
    async fn reissue_orders(&self, serial: &Serial) -> Result<Vec<Order>> {
        let mut rows = Vec::new();
        for half in self.halves_of(serial).await? {
            rows.extend(self.records.rows(&Rows::ReissuesOf(&half), None, 1000).await?);
        }
        let ids = rows.iter().map(|(_, id)| target::<OrderId>(id)).collect::<Result<Vec<_>, _>>()?;
        let found = self.records.find_all::<Order>(&ids).await?;
        Ok(found.into_iter().flatten().map(Stored::into_value).collect())
    }

    /// The certificates in force that are reissues of this one, or reissues of these.
    pub(super) async fn reissues_of(&self, certificate: &Certificate) -> Result<Vec<Stored<Certificate>>> {
        let (mut found, mut left) = (Vec::new(), vec![certificate.serial]);
        while let Some(serial) = left.pop() {
            for order in self.reissue_orders(&serial).await? {
                let Phase::Issued { serial, .. } = order.phase else { continue };
                left.push(serial);
                let reissue = self.records.find::<Certificate>(&serial).await?;
                found.extend(reissue.filter(|reissue| !reissue.is_revoked() && self.now() <= reissue.not_after));
            }
        }
        Ok(found)
    }

    /// The certificate of which that one is a reissue; none if it is none.
    pub(super) async fn reissued_from(&self, serial: &Serial) -> Result<Option<Serial>> {
        let Some(certificate) = self.records.find::<Certificate>(serial).await? else { return Ok(None) };
        Ok(match self.records.find::<Order>(&certificate.order).await?.map(|order| order.purpose) {
            Some(Purpose::Reissue { of }) => Some(of),
            _ => None,
        })
    }

    /// The first certificate of a line of reissues that is in force; none if that is this one.
    pub(super) async fn original_of(&self, certificate: &Certificate) -> Result<Option<Serial>> {
        let (mut original, mut order) = (None, certificate.order.clone());
        loop {
            let found = self.records.find::<Order>(&order).await?;
            let Some(Purpose::Reissue { of }) = found.map(|order| order.purpose) else { return Ok(original) };
            let Some(before) = self.records.find::<Certificate>(&of).await? else { return Ok(original) };
            if !before.is_revoked() && self.now() <= before.not_after {
                original = Some(of);
            }
            order = before.order.clone();
        }
    }
}

/// The primary domains of names; an address and a name without one stand for themselves.
fn primary_domains(names: &[Identifier]) -> BTreeSet<String> {
    let of = |name: &Identifier| match name {
        Identifier::Dns(dns) => domains::primary(dns.base()).unwrap_or_else(|| dns.base()).to_owned(),
        Identifier::Ip(ip) => ip.to_string(),
    };
    names.iter().map(of).collect()
}
