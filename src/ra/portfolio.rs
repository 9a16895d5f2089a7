//! Customers' lists of certificates, issued here or uploaded: what they are called, silence, deletion.

use std::collections::BTreeMap;

use super::{Ra, Stop, settle};
use crate::domain::account::{Account, Holder};
use crate::domain::audit::Act;
use crate::domain::certificate::{Certificate, CertificateStanding};
use crate::domain::order::{Order, Phase};
use crate::domain::portfolio::{CertificateRef, Portfolio};
use crate::domain::upload::Upload;
use crate::domain::{CustomerId, Error, Kind, OrderId, Result, Timestamp};
use crate::policy::catalog::days;
use crate::store::records::{Batch, Index, Rows, Stored, target};

/// A certificate of a list.
#[derive(Debug)]
pub struct Listed {
    /// The certificate.
    pub certificate: Kept,
    /// Whose it is; none if its account is bound to no customer.
    pub customer: Option<CustomerId>,
    /// What its owner keeps about it.
    pub portfolio: Portfolio,
    /// The version of that, for editing.
    pub version: u64,
    /// Whether it ends within the days of the renewal window (NOTIFY-02).
    pub expiring: bool,
    /// Where it stands.
    pub status: CertificateStatus,
}

/// A certificate that was issued here, or uploaded.
#[derive(Debug)]
pub enum Kept {
    /// Issued here.
    Issued(Box<Certificate>),
    /// Uploaded.
    Uploaded(Box<Upload>),
}

/// Where a certificate stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CertificateStatus {
    /// Issued, and good.
    Valid,
    /// Issued, and over.
    Expired,
    /// Issued, and being revoked (REVOKE-01).
    Revoking,
    /// Withdrawn.
    Revoked,
    /// Of another CA.
    Uploaded,
}

impl CertificateStatus {
    /// As the API writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Valid => "valid",
            Self::Expired => "expired",
            Self::Revoking => "revoking",
            Self::Revoked => "revoked",
            Self::Uploaded => "uploaded",
        }
    }
}

/// Which certificates of a list are wanted; what is none is not asked for.
#[derive(Debug, Default)]
pub struct Filter {
    /// Of this project.
    pub project: Option<String>,
    /// With this tag, whatever its value, or with this one.
    pub tag: Option<(String, Option<String>)>,
    /// With this status.
    pub status: Option<String>,
    /// Which end soon, or which do not.
    pub expiring: Option<bool>,
}

impl Filter {
    fn takes(&self, listed: &Listed) -> bool {
        let held = &listed.portfolio;
        let tagged = |(key, value): &(String, Option<String>)| {
            held.tags.get(key).is_some_and(|held| value.as_ref().is_none_or(|value| value == held))
        };
        self.project.as_ref().is_none_or(|project| *project == held.project)
            && self.tag.as_ref().is_none_or(tagged)
            && self.status.as_ref().is_none_or(|status| status == listed.status.as_str())
            && self.expiring.is_none_or(|expiring| expiring == listed.expiring)
    }
}

/// A change of what is kept about a certificate; none leaves what there is.
#[derive(Debug, Default)]
pub struct Description {
    /// Its name (META-01).
    pub name: Option<String>,
    /// Its tags, all of them (META-02).
    pub tags: Option<BTreeMap<String, String>>,
    /// Its project (META-03).
    pub project: Option<String>,
}

impl Kept {
    /// What it is called in lists.
    pub fn reference(&self) -> CertificateRef {
        match self {
            Self::Issued(certificate) => CertificateRef::Issued(certificate.serial),
            Self::Uploaded(upload) => CertificateRef::Uploaded(upload.id.clone()),
        }
    }

    /// Its last second.
    pub fn not_after(&self) -> Timestamp {
        match self {
            Self::Issued(certificate) => certificate.not_after,
            Self::Uploaded(upload) => upload.not_after,
        }
    }

    /// Its names, as text.
    pub fn names(&self) -> Vec<String> {
        match self {
            Self::Issued(certificate) => certificate.identifiers.iter().map(ToString::to_string).collect(),
            Self::Uploaded(upload) => upload.names.clone(),
        }
    }

    /// Since when it is here.
    fn since(&self) -> Timestamp {
        match self {
            Self::Issued(certificate) => certificate.issued,
            Self::Uploaded(upload) => upload.uploaded,
        }
    }

    fn status(&self, now: Timestamp) -> CertificateStatus {
        match self {
            Self::Uploaded(_) => CertificateStatus::Uploaded,
            Self::Issued(certificate) => match certificate.standing {
                CertificateStanding::Revoked { .. } => CertificateStatus::Revoked,
                CertificateStanding::Good if certificate.not_after < now => CertificateStatus::Expired,
                CertificateStanding::Good => CertificateStatus::Valid,
            },
        }
    }
}

impl Ra {
    /// What is kept about a certificate; something empty if nothing is.
    pub(super) async fn portfolio(&self, id: &CertificateRef) -> Result<Portfolio> {
        let found = self.records.find::<Portfolio>(id.to_string()).await?;
        Ok(found.map_or_else(|| Portfolio::of(id.clone()), Stored::into_value))
    }

    /// The certificate of that id, issued or uploaded; one that its owner deleted is gone. A pair is shown as its certificate
    /// for signatures, whichever of both is named.
    pub async fn listed(&self, id: &CertificateRef) -> Result<Listed> {
        let gone = || Error::not_found(format!("There is no certificate {id}."));
        let certificate = match id {
            CertificateRef::Issued(serial) => {
                let face = self.face_of(serial).await?;
                Kept::Issued(Box::new(self.records.find::<Certificate>(face).await?.ok_or_else(gone)?.into_value()))
            }
            CertificateRef::Uploaded(upload) => {
                Kept::Uploaded(Box::new(self.records.find::<Upload>(upload).await?.ok_or_else(gone)?.into_value()))
            }
        };
        let listed = self.with_portfolio(certificate).await?;
        if listed.portfolio.deleted.is_some() { Err(gone()) } else { Ok(listed) }
    }

    async fn with_portfolio(&self, certificate: Kept) -> Result<Listed> {
        let customer = match &certificate {
            Kept::Uploaded(upload) => Some(upload.customer.clone()),
            Kept::Issued(certificate) => self.customer_of(&certificate.serial).await?,
        };
        let id = certificate.reference();
        let found = self.records.find::<Portfolio>(id.to_string()).await?;
        let version = found.as_ref().map_or(0, Stored::version);
        let portfolio = found.map_or_else(|| Portfolio::of(id), Stored::into_value);
        let (now, window) = (self.now(), days(self.catalog().settings().renewal_window_days));
        let (mut status, end) = (certificate.status(now), certificate.not_after());
        if let (CertificateStatus::Valid, Kept::Issued(issued)) = (status, &certificate)
            && self.is_revoking(&issued.serial).await?
        {
            status = CertificateStatus::Revoking;
        }
        let live = matches!(status, CertificateStatus::Valid | CertificateStatus::Uploaded) && now <= end;
        Ok(Listed { certificate, customer, portfolio, version, expiring: live && end <= now + window, status })
    }

    /// The customer that stands behind an order; none if its account is bound to none.
    pub async fn customer_of_order(&self, id: &OrderId) -> Result<Option<CustomerId>> {
        let order = self.records.find::<Order>(id).await?;
        let order = order.ok_or_else(|| Error::not_found(format!("There is no certificate {id}.")))?;
        let account = self.records.find::<Account>(&order.account).await?;
        Ok(account.and_then(|account| customer_behind(&account)))
    }

    /// Up to `limit` certificates behind the one of that id which the filter takes: of one customer, oldest first, or of
    /// all, first those that were issued.
    pub async fn portfolio_page(
        &self,
        customer: Option<&CustomerId>,
        after: Option<CertificateRef>,
        limit: usize,
        filter: &Filter,
    ) -> Result<Vec<Listed>> {
        let (mut taken, mut after) = (Vec::new(), after);
        while taken.len() < limit {
            let page = match customer {
                Some(customer) => self.kept_by(customer, after.as_ref(), limit).await?,
                None => self.kept_by_all(after.as_ref(), limit).await?,
            };
            let Some(last) = page.last() else { break };
            after = Some(last.reference());
            for certificate in page {
                let listed = self.with_portfolio(certificate).await?;
                if listed.portfolio.deleted.is_none() && filter.takes(&listed) {
                    taken.push(listed);
                }
            }
        }
        taken.truncate(limit);
        Ok(taken)
    }

    async fn kept_by(&self, customer: &CustomerId, after: Option<&CertificateRef>, limit: usize) -> Result<Vec<Kept>> {
        let after = match after {
            Some(id) => match self.certificates_named(std::slice::from_ref(id)).await?.first() {
                Some(last) => Some(Index::CertificateOfCustomer(customer, last.since(), id).id()),
                None => return Err(Error::not_found(format!("There is no certificate {id}."))),
            },
            None => None,
        };
        let rows = self.records.rows(&Rows::CertificatesOfCustomer(customer), after, limit).await?;
        let ids = rows.iter().map(|(_, id)| target::<CertificateRef>(id)).collect::<Result<Vec<_>, _>>()?;
        self.certificates_named(&ids).await
    }

    async fn certificates_named(&self, ids: &[CertificateRef]) -> Result<Vec<Kept>> {
        let mut kept = Vec::with_capacity(ids.len());
        for id in ids {
            match id {
                CertificateRef::Issued(serial) => {
                    let found = self.records.find::<Certificate>(serial).await?;
                    kept.extend(found.map(|found| Kept::Issued(Box::new(found.into_value()))));
                }
                CertificateRef::Uploaded(upload) => {
                    let found = self.records.find::<Upload>(upload).await?;
                    kept.extend(found.map(|found| Kept::Uploaded(Box::new(found.into_value()))));
                }
            }
        }
        Ok(kept)
    }

    async fn kept_by_all(&self, after: Option<&CertificateRef>, limit: usize) -> Result<Vec<Kept>> {
        if !matches!(after, Some(CertificateRef::Uploaded(_))) {
            let behind = match after {
                Some(CertificateRef::Issued(serial)) => Some(serial.as_bytes().to_vec()),
                _ => None,
            };
            let found = self.records.list::<Certificate>(b"", behind, limit).await?;
            if !found.is_empty() {
                return Ok(found.into_iter().map(|found| Kept::Issued(Box::new(found.into_value()))).collect());
            }
        }
        let behind = match after {
            Some(CertificateRef::Uploaded(id)) => Some(id.as_str().into()),
            _ => None,
        };
        let found = self.records.list::<Upload>(b"", behind, limit).await?;
        Ok(found.into_iter().map(|found| Kept::Uploaded(Box::new(found.into_value()))).collect())
    }

    /// Changes what is kept about a certificate. `unchanged` refuses a version that is not the one its caller saw.
    pub async fn describe(
        &self,
        id: &CertificateRef,
        change: &Description,
        unchanged: &(dyn Fn(u64) -> Result<()> + Sync),
    ) -> Result<Listed> {
        self.change_portfolio(id, |listed, now| {
            unchanged(listed.version)?;
            let held = listed.portfolio.clone();
            let held = held.described(change.name.as_deref(), change.tags.as_ref(), change.project.as_deref())?;
            Ok((held, Act::CertificateDescribed { certificate: id.to_string() }, now))
        })
        .await
    }

    /// Ignores a certificate's messages, or no longer does (NOTIFY-01).
    pub async fn mute(&self, id: &CertificateRef, muted: bool) -> Result<Listed> {
        self.change_portfolio(id, |listed, now| {
            // NOTIFY-02
            if muted && !listed.expiring {
                return Err(Error::new(
                    Kind::Conflict,
                    format!(
                        "Only soon-expiring certificates can be ignored: this one ends at {} (NOTIFY-02).",
                        listed.certificate.not_after()
                    ),
                ));
            }
            let held = Portfolio { muted: muted.then_some(now), ..listed.portfolio.clone() };
            Ok((held, Act::CertificateDescribed { certificate: id.to_string() }, now))
        })
        .await
    }

    async fn change_portfolio(
        &self,
        id: &CertificateRef,
        change: impl Fn(&Listed, Timestamp) -> Result<(Portfolio, Act, Timestamp)>,
    ) -> Result<Listed> {
        settle(|| async {
            let listed = self.listed(id).await?;
            let (held, act, now) = change(&listed, self.now())?;
            let batch = self.write_portfolio(Batch::of(act, now), &listed, &held).await?;
            self.records.commit(batch).await?;
            Ok(())
        })
        .await?;
        self.listed(id).await
    }

    /// Has a batch write what is kept about a certificate, as long as that is as it was read.
    pub(super) async fn write_portfolio(&self, batch: Batch, read: &Listed, held: &Portfolio) -> Result<Batch, Stop> {
        let now_there = self.records.find::<Portfolio>(held.certificate.to_string()).await?;
        match now_there {
            Some(stored) if stored.version() == read.version => Ok(batch.replace(&stored, held)),
            None if read.version == 0 => Ok(batch.insert(held)),
            _ => Err(Stop::Overtaken),
        }
    }

    /// Deletes a certificate from its owner's list for good (DELETE-01, DELETE-04). The record of one that was issued here
    /// stays for the audit and for the quota, where it goes on to count (DELETE-06).
    pub async fn delete_certificate(&self, id: &CertificateRef, confirmed: bool) -> Result<()> {
        settle(|| async {
            let listed = self.listed(id).await?;
            deletable(&listed)?;
            // DELETE-05
            listed.portfolio.unbound("deleting it", "DELETE-05")?;
            if !confirmed {
                return Err(Error::new(
                    Kind::UserActionRequired,
                    "Deleting is permanent: repeat the request with ?confirm=true (DELETE-04).",
                )
                .into());
            }
            let now = self.now();
            let batch = Batch::of(Act::CertificateDeleted { certificate: id.to_string() }, now);
            let batch = match &listed.certificate {
                Kept::Issued(certificate) => {
                    let held = Portfolio { deleted: Some(now), ..listed.portfolio.clone() };
                    let batch = self.write_portfolio(batch, &listed, &held).await?;
                    match &listed.customer {
                        Some(customer) => {
                            batch.unindex(&Index::CertificateOfCustomer(customer, certificate.issued, id))
                        }
                        None => batch,
                    }
                }
                Kept::Uploaded(upload) => self.remove_upload(batch, upload, now).await?,
            };
            self.records.commit(batch).await?;
            Ok(())
        })
        .await
    }

    async fn remove_upload(&self, batch: Batch, upload: &Upload, now: Timestamp) -> Result<Batch, Stop> {
        let stored = self.records.find::<Upload>(&upload.id).await?.ok_or(Stop::Overtaken)?;
        let id = CertificateRef::Uploaded(upload.id.clone());
        let mut batch = batch
            .remove(&stored)
            .unindex(&Index::UploadOfCustomer(&upload.customer, &upload.id))
            .unindex(&Index::CertificateOfCustomer(&upload.customer, upload.uploaded, &id));
        if let Some(held) = self.records.find::<Portfolio>(id.to_string()).await? {
            batch = batch.remove(&held);
        }
        for pair in std::iter::once(&upload.pair).chain(&upload.encryption) {
            batch = self.drop_document(batch, &pair.key, now).await?;
        }
        Ok(batch)
    }

    /// Why an application, which is not a certificate yet or never became one, can't be deleted (DELETE-03).
    pub async fn refuse_to_delete_order(&self, id: &OrderId) -> Result<()> {
        let order = self.records.find::<Order>(id).await?;
        let order = order.ok_or_else(|| Error::not_found(format!("There is no certificate {id}.")))?;
        Err(match &order.phase {
            Phase::Issued { serial, .. } => {
                Error::new(Kind::Conflict, format!("The order has the certificate {serial}: delete that one."))
            }
            Phase::Failed { .. } => Error::new(Kind::Conflict, "The application is over; there is nothing to delete."),
            _ => Error::new(Kind::Conflict, "Cancel the application first (DELETE-03)."),
        })
    }
}

pub(super) fn customer_behind(account: &Account) -> Option<CustomerId> {
    match account.holder() {
        Holder::Customer(customer) => Some(customer),
        Holder::Account(_) => None,
    }
}

fn deletable(listed: &Listed) -> Result<()> {
    match listed.status {
        // UPLOAD-10, DELETE-01
        CertificateStatus::Uploaded | CertificateStatus::Expired | CertificateStatus::Revoked => Ok(()),
        CertificateStatus::Valid | CertificateStatus::Revoking => Err(Error::new(
            Kind::Conflict,
            format!(
                "The certificate is valid until {}: revoke it first (DELETE-01, DELETE-02).",
                listed.certificate.not_after()
            ),
        )),
    }
}
