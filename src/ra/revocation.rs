//! Revocation: one use case for everybody who may ask for it (RFC 8555 section 7.6), a lost key being a reason (KEY-08).

use std::collections::BTreeSet;
use std::time::Duration;

use super::lists::row_text;
use super::{Ra, Stop, settle};
use crate::domain::account::Account;
use crate::domain::audit::Act;
use crate::domain::authz::{Authorization, AuthzState, AuthzStatus};
use crate::domain::certificate::{Certificate, RevocationReason};
use crate::domain::hand_order::HandOrder;
use crate::domain::job::Job;
use crate::domain::key::AccountKey;
use crate::domain::portfolio::CertificateRef;
use crate::domain::{AccountId, AuthzId, Error, Identifier, Kind, Result, RevocationId, Serial, Timestamp};
use crate::policy::catalog::Catalog;
use crate::policy::revocation::{self, Case, Route};
use crate::store::records::{Batch, BlockedKey, Index, Revocation, Stored, target};
use crate::telemetry;

/// How long a proof of a name lets its holder revoke others' certificates: names change hands, and some proofs are kept for
/// reissues much longer (VAL-34).
const PROOF_LASTS: Duration = Duration::from_secs(30 * 86_400);

/// On whose authority a certificate is revoked.
#[derive(Debug, Clone, Copy)]
pub enum Authority<'a> {
    /// An account: the one it was issued to, or one that holds valid authorizations for all its names.
    Account(&'a Account),
    /// Whoever holds the certificate's private key.
    CertificateKey(&'a AccountKey),
    /// The operator of this server.
    Operator,
}

/// How whoever has a certificate revoked stands to it: what goes along with it follows from that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// The customer whose certificate it is.
    Owner,
    /// Whoever holds its key, or the operator, who speaks for whoever reported it.
    KeyHolder,
    /// Whoever holds its names, and never had the key.
    NameHolder,
}

impl Standing {
    /// Whether this tells of a compromised key. An account that only holds the names may revoke, but says nothing about a key
    /// that it never had.
    fn reports_the_key(self, reason: RevocationReason) -> bool {
        reason == RevocationReason::KeyCompromise && self != Self::NameHolder
    }
}

impl Ra {
    /// Revokes the certificate that this is (DER).
    pub async fn revoke(&self, authority: Authority<'_>, der: &[u8], reason: RevocationReason) -> Result<()> {
        // REVOKE-04
        let unknown =
            || Error::not_found("This certificate was not issued by this CA. Ask the CA that issued it (REVOKE-04).");
        let serial = crate::ca::certificate::serial_of(der).ok_or_else(unknown)?;
        let issued = self.records.find::<Certificate>(serial).await?;
        if issued.is_none_or(|issued| issued.der != der) {
            return Err(unknown());
        }
        self.revoke_serial(authority, &serial, reason).await
    }

    /// Revokes the certificate of that serial.
    pub async fn revoke_serial(
        &self,
        authority: Authority<'_>,
        serial: &Serial,
        reason: RevocationReason,
    ) -> Result<()> {
        settle(|| self.revoke_once(authority, serial, reason)).await
    }

    async fn revoke_once(
        &self,
        authority: Authority<'_>,
        serial: &Serial,
        reason: RevocationReason,
    ) -> Result<(), Stop> {
        let read = self.records.find::<Certificate>(serial).await?;
        let read = read.ok_or_else(|| Error::not_found("There is no certificate of that serial."))?;
        let (told, standing) = self.entitled(authority, &read).await?;
        if let Err(over) = self.in_force(&read) {
            // CABF-CRL-12: what the list says of it changes, so this was no request in vain.
            let changed = self.heed(&read, reason, standing, &told).await?;
            return if changed { Ok(()) } else { Err(over.into()) };
        }
        // REVOKE-09; a compromised key waits for nothing (Baseline Requirements 4.9.1.1).
        if matches!(authority, Authority::Operator) && reason != RevocationReason::KeyCompromise {
            let portfolio = self.portfolio(&CertificateRef::Issued(self.face_of(serial).await?)).await?;
            portfolio.unbound("revoking it", "REVOKE-09, DIAG-23")?;
        }
        if standing == Standing::Owner {
            self.follows_the_rules(authority, &read, reason).await?;
        }
        let lost = self.going_along(&read, reason, standing).await?;
        let now = self.now();
        let all: Vec<Stored<Certificate>> = std::iter::once(read).chain(lost).collect();
        let key = all[0].spki_sha256;
        let mut batch = Batch::of(revoked(&all[0], reason, &told), now);
        for other in &all[1..] {
            batch = batch.and(revoked(other, reason, &told), now);
        }
        let batch = block(batch, key, reason, standing, now);
        let batch = self.withdraw(batch, &all, reason, None, now).await?;
        self.records.commit(batch).await?;
        self.withdrawn(&all).await;
        Ok(self.sweep(&key, reason, standing, &told).await?)
    }

    /// The other certificates in force that are revoked with this one.
    pub(super) async fn going_along(
        &self,
        certificate: &Certificate,
        reason: RevocationReason,
        standing: Standing,
    ) -> Result<Vec<Stored<Certificate>>> {
        let mut found = match (standing, reason) {
            // Baseline Requirements 4.9.1.1: whoever else uses the key, their certificates are as bad.
            (Standing::Owner | Standing::KeyHolder, RevocationReason::KeyCompromise) => {
                self.in_force_with(&certificate.spki_sha256).await?
            }
            // Only that key is compromised: what was reissued with another one stays.
            (Standing::NameHolder, RevocationReason::KeyCompromise) => {
                let line = self.reissues_of(certificate).await?;
                line.into_iter().filter(|other| other.spki_sha256 == certificate.spki_sha256).collect()
            }
            // What took its place stays: the reason says that something did.
            (Standing::Owner, RevocationReason::Superseded) => Vec::new(),
            // REVOKE-06
            (Standing::Owner, _) => self.reissues_of(certificate).await?,
            (Standing::KeyHolder | Standing::NameHolder, _) => Vec::new(),
        };
        found.retain(|other| other.serial != certificate.serial);
        self.with_other_halves(found, Some(certificate)).await
    }

    /// The certificates in force with a key.
    async fn in_force_with(&self, spki_sha256: &[u8; 32]) -> Result<Vec<Stored<Certificate>>> {
        let serials = self.records.certificates_of(spki_sha256).await?;
        let found = self.records.find_all::<Certificate>(&serials).await?;
        Ok(found.into_iter().flatten().filter(|found| self.in_force(found).is_ok()).collect())
    }

    /// A key that is reported with a certificate that is over is compromised all the same: it is blocked, what is in force
    /// with it is revoked, and it is the reason now for what was revoked for another one. Whether this one is of the latter.
    pub(super) async fn heed(
        &self,
        certificate: &Certificate,
        reason: RevocationReason,
        standing: Standing,
        told: &str,
    ) -> Result<bool> {
        if !standing.reports_the_key(reason) {
            return Ok(false);
        }
        self.block_key(certificate.spki_sha256).await?;
        self.sweep(&certificate.spki_sha256, reason, standing, told).await?;
        Ok(self.blame_key(&certificate.spki_sha256, told).await?.contains(&certificate.serial))
    }

    /// Revokes what is in force with a key that was reported and is blocked now: what was signed just before that, too.
    pub(super) async fn sweep(
        &self,
        spki_sha256: &[u8; 32],
        reason: RevocationReason,
        standing: Standing,
        told: &str,
    ) -> Result<()> {
        if !standing.reports_the_key(reason) {
            return Ok(());
        }
        settle(|| async {
            let all = self.with_other_halves(self.in_force_with(spki_sha256).await?, None).await?;
            let now = self.now();
            let Some((first, others)) = all.split_first() else { return Ok(()) };
            let batch = Batch::of(revoked(first, reason, told), now);
            let batch = others.iter().fold(batch, |batch, other| batch.and(revoked(other, reason, told), now));
            self.records.commit(self.withdraw(batch, &all, reason, None, now).await?).await?;
            self.withdrawn(&all).await;
            Ok(())
        })
        .await
    }

    /// Refuses what is over already.
    pub(super) fn in_force(&self, certificate: &Certificate) -> Result<()> {
        // RFC 8555 section 7.6
        if certificate.is_revoked() {
            return Err(Error::new(Kind::AlreadyRevoked, "Certificate already revoked"));
        }
        if certificate.not_after < self.now() {
            return Err(Error::malformed(format!("The certificate expired at {}.", certificate.not_after)));
        }
        Ok(())
    }

    /// Has a batch revoke certificates and end the requests for it, save the one that the batch ends itself.
    pub(super) async fn withdraw(
        &self,
        mut batch: Batch,
        certificates: &[Stored<Certificate>],
        reason: RevocationReason,
        save: Option<&RevocationId>,
        now: Timestamp,
    ) -> Result<Batch> {
        for read in certificates {
            let revoked = (**read).clone().revoke(reason, now)?;
            let (issuer, serial) = (read.issuer.clone(), read.serial);
            let entry = Revocation { issuer, serial, at: now, reason, not_after: read.not_after };
            batch = listed_at(batch.replace(read, &revoked).insert(&entry), &entry, now);
            // No request begins meanwhile that would wait for what was done.
            let row = self.records.follow(&Index::RevocationOf(&serial)).await?;
            batch = batch.still(&Index::RevocationOf(&serial), row.as_ref());
            let open = self.open_at(row.as_ref()).await?;
            if let Some(open) = open.filter(|open| save != Some(&open.id)) {
                let ended = (*open).clone().carried_out(now)?;
                batch = self.off_the_desk(batch, &open).replace(&open, &ended);
            }
        }
        Ok(to_publish(batch, certificates, now))
    }

    /// What follows the commit of revocations.
    pub(super) async fn withdrawn(&self, certificates: &[Stored<Certificate>]) {
        metrics::counter!(telemetry::CERTIFICATES_REVOKED).increment(certificates.len() as u64);
        self.published(issuers(certificates)).await;
    }

    /// Makes the compromise of a key the reason for the revocations that had another one, of certificates that have not ended
    /// (CABF-CRL-12). Which these are.
    async fn blame_key(&self, spki_sha256: &[u8; 32], told: &str) -> Result<Vec<Serial>> {
        settle(|| async {
            let serials = self.records.certificates_of(spki_sha256).await?;
            let found = self.records.find_all::<Certificate>(&serials).await?;
            let now = self.now();
            // Of one that is over, and of which no list says anything any more, nothing is to be changed.
            let (mut changed, mut batch) = (Vec::new(), None);
            for read in found.into_iter().flatten().filter(|read| read.not_after >= now) {
                let Some((blamed, from)) = (*read).clone().blame_key() else { continue };
                let Some(entry) = self.records.find::<Revocation>(revocation_id(&read)).await? else { continue };
                let act = Act::RevocationReasonChanged { serial: read.serial, from, authority: told.to_owned() };
                let next = match batch {
                    None => Batch::of(act, now),
                    Some(batch) => Batch::and(batch, act, now),
                };
                let told = Revocation { reason: RevocationReason::KeyCompromise, ..(*entry).clone() };
                batch = Some(listed_at(next.replace(&read, &blamed).replace(&entry, &told), &told, now));
                changed.push(read);
            }
            let Some(batch) = batch else { return Ok(Vec::new()) };
            self.records.commit(to_publish(batch, &changed, now)).await?;
            self.published(issuers(&changed)).await;
            Ok(changed.iter().map(|certificate| certificate.serial).collect())
        })
        .await
    }

    /// Whether the authority may revoke this certificate: who it is, for the audit log, and how they
    /// stand to it.
    async fn entitled(&self, authority: Authority<'_>, certificate: &Certificate) -> Result<(String, Standing)> {
        match authority {
            Authority::Operator => Ok(("operator".to_owned(), Standing::KeyHolder)),
            Authority::CertificateKey(key) if key.spki_sha256() == certificate.spki_sha256 => {
                Ok(("certificate key".to_owned(), Standing::KeyHolder))
            }
            Authority::CertificateKey(_) => {
                Err(Error::unauthorized("The request is not signed by the certificate's key."))
            }
            Authority::Account(account) if self.is_of_the_same(account, certificate).await? => {
                Ok((format!("account {}", account.id), Standing::Owner))
            }
            Authority::Account(account) => {
                self.holds_all_names(account, certificate).await?;
                Ok((format!("account {}, which holds all names", account.id), Standing::NameHolder))
            }
        }
    }

    /// Whether the certificate is the account's, or that of another account of the same customer.
    async fn is_of_the_same(&self, account: &Account, certificate: &Certificate) -> Result<bool> {
        let own = account.id == certificate.account;
        Ok(own || self.closed(&certificate.account).await?.0.holder() == account.holder())
    }

    /// Section 25.4 of the rules: what the product asks for, told to the ACME client that can't hand it in.
    async fn follows_the_rules(
        &self,
        authority: Authority<'_>,
        certificate: &Certificate,
        reason: RevocationReason,
    ) -> Result<()> {
        let Authority::Account(account) = authority else { return Ok(()) };
        let catalog = self.catalog();
        let form = format!("POST /api/v1/certificates/{}/revocations", certificate.serial);
        let told = match self.route_of(&catalog, certificate, reason, &account.id).await? {
            Route::AtOnce => return Ok(()),
            Route::Proof { days } => format!(
                "This account's authorizations for the names are over. Prove {} again (newAuthz, or a new order), then \
                 revoke again; or ask for the revocation with {form} and show the records that it names within {days} days \
                 (REVOKE-12). The certificate's key, or reason 1 (keyCompromise), revokes at once.",
                listed(&certificate.identifiers)
            ),
            Route::Papers(_) => format!(
                "This product's revocation takes a reason and a stamped letter, and a person decides: {form} (REVOKE-11, \
                 REVOKE-17). The certificate's key, or reason 1 (keyCompromise), revokes at once."
            ),
            Route::Review => format!(
                "A person decides on this product's revocation; give your reason with {form} (REVOKE-10). The certificate's \
                 key, or reason 1 (keyCompromise), revokes at once."
            ),
        };
        Err(Error::new(Kind::UserActionRequired, told))
    }

    /// What the rules ask of the customer who wants a certificate revoked, and asks by that account.
    pub(super) async fn route_of<'c>(
        &self,
        catalog: &'c Catalog,
        certificate: &Certificate,
        reason: RevocationReason,
        asker: &AccountId,
    ) -> Result<Route<'c>> {
        let in_use_by = self.in_use_by(&certificate.serial).await?;
        let case = Case {
            product: catalog.product(&certificate.product),
            certificate,
            reason,
            original: self.original_of(certificate).await?,
            in_use_by: in_use_by.as_deref(),
            proven: self.is_automatic(certificate, asker).await?,
        };
        revocation::route(catalog, &case, self.now())
    }

    /// The resources that use a certificate, or the pair that it belongs to, as a sentence has them (REVOKE-09).
    async fn in_use_by(&self, serial: &Serial) -> Result<Option<String>> {
        let portfolio = self.portfolio(&CertificateRef::Issued(self.face_of(serial).await?)).await?;
        let users: Vec<String> = portfolio.deployed.iter().map(ToString::to_string).collect();
        Ok((!users.is_empty()).then(|| users.join(", ")))
    }

    /// Whether an ACME client keeps up valid authorizations for all names of a certificate: that is what the documents call
    /// automatic validation (REVOKE-15, DOC-11). What the server had in hand was proven by hand.
    async fn is_automatic(&self, certificate: &Certificate, asker: &AccountId) -> Result<bool> {
        if self.records.find::<HandOrder>(&certificate.order).await?.is_some() {
            return Ok(false);
        }
        for name in &certificate.identifiers {
            let own = self.proof_of(asker, name).await?;
            if own.is_none() && self.proof_of(&certificate.account, name).await?.is_none() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// When an account last proved a name, if that still holds.
    pub(super) async fn proof_of(&self, account: &AccountId, identifier: &Identifier) -> Result<Option<Timestamp>> {
        let name = identifier.to_string();
        let Some(row) = self.records.follow(&Index::Proven(account, &name)).await? else { return Ok(None) };
        let Some(authz) = self.records.find::<Authorization>(&target::<AuthzId>(&row)?).await? else {
            return Ok(None);
        };
        Ok(match authz.state {
            AuthzState::Valid { validated, .. }
                if authz.status(self.now()) == AuthzStatus::Valid && authz.covers(identifier) =>
            {
                Some(validated)
            }
            _ => None,
        })
    }

    async fn holds_all_names(&self, account: &Account, certificate: &Certificate) -> Result<()> {
        let now = self.now();
        for identifier in &certificate.identifiers {
            let proven = self.proof_of(&account.id, identifier).await?;
            if proven.is_none_or(|validated| validated + PROOF_LASTS <= now) {
                return Err(Error::unauthorized(format!(
                    "This account did not order the certificate and holds no valid authorization for {identifier}."
                )));
            }
        }
        Ok(())
    }
}

/// The issuers of certificates, each once.
fn issuers(certificates: &[Stored<Certificate>]) -> BTreeSet<String> {
    certificates.iter().map(|certificate| certificate.issuer.clone()).collect()
}

/// Has the lists read a revocation, or what changed about it.
fn listed_at(batch: Batch, entry: &Revocation, now: Timestamp) -> Batch {
    batch.index(&Index::RevokedAt(&entry.issuer, now, &entry.serial), &row_text(entry))
}

/// Has the lists signed that show what a batch does to certificates.
fn to_publish(batch: Batch, certificates: &[Stored<Certificate>], now: Timestamp) -> Batch {
    issuers(certificates).iter().fold(batch, |batch, issuer| batch.put(&Job::publication(issuer, now)))
}

/// The name of a certificate's entry.
fn revocation_id(certificate: &Certificate) -> Vec<u8> {
    [&Revocation::prefix(&certificate.issuer)[..], certificate.serial.as_bytes()].concat()
}

/// The act of revoking a certificate.
pub(super) fn revoked(certificate: &Certificate, reason: RevocationReason, told: &str) -> Act {
    Act::CertificateRevoked { serial: certificate.serial, reason, authority: told.to_owned() }
}

/// Baseline Requirements 6.1.1.3: has a batch see to it that a key that is reported compromised is never certified again.
pub(super) fn block(
    batch: Batch,
    key: [u8; 32],
    reason: RevocationReason,
    standing: Standing,
    now: Timestamp,
) -> Batch {
    match standing.reports_the_key(reason) {
        true => batch.put(&BlockedKey { spki_sha256: key, at: now }),
        false => batch,
    }
}

/// Names in a sentence.
fn listed(names: &[Identifier]) -> String {
    names.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
