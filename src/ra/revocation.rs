//! Revocation: one use case for everybody who may ask for it (RFC 8555 section 7.6), a lost key being a reason (KEY-08).

use std::time::Duration;

use super::{Ra, Stop, settle};
use crate::domain::account::Account;
use crate::domain::audit::Act;
use crate::domain::authz::{Authorization, AuthzState, AuthzStatus};
use crate::domain::certificate::{Certificate, RevocationReason};
use crate::domain::hand_order::HandOrder;
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
        let (told, own) = self.entitled(authority, &read).await?;
        self.in_force(&read)?;
        // REVOKE-09; a compromised key waits for nothing (Baseline Requirements 4.9.1.1).
        if matches!(authority, Authority::Operator) && reason != RevocationReason::KeyCompromise {
            let portfolio = self.portfolio(&CertificateRef::Issued(*serial)).await?;
            portfolio.unbound("revoking it", "REVOKE-09, DIAG-23")?;
        }
        if own {
            self.follows_the_rules(authority, &read, reason).await?;
        }
        let lost = match (own, reason) {
            // Only that key is compromised: what was reissued with another one stays.
            (_, RevocationReason::KeyCompromise) => {
                let line = self.reissues_of(&read).await?;
                line.into_iter().filter(|other| other.spki_sha256 == read.spki_sha256).collect()
            }
            // What took its place stays: the reason says that something did.
            (true, RevocationReason::Superseded) => Vec::new(),
            // REVOKE-06
            (true, _) => self.reissues_of(&read).await?,
            (false, _) => Vec::new(),
        };
        // Baseline Requirements 6.1.1.3: a key that is reported compromised is never certified again. An account that
        // only holds the names may revoke, but says nothing about a key that it never had.
        let had_the_key = own || !matches!(authority, Authority::Account(_));
        let now = self.now();
        let all: Vec<Stored<Certificate>> = std::iter::once(read).chain(lost).collect();
        let (key, first) = (all[0].spki_sha256, all[0].serial);
        let mut batch = Batch::of(Act::CertificateRevoked { serial: first, reason, authority: told.clone() }, now);
        for other in &all[1..] {
            batch = batch.and(Act::CertificateRevoked { serial: other.serial, reason, authority: told.clone() }, now);
        }
        if reason == RevocationReason::KeyCompromise && had_the_key {
            batch = batch.put(&BlockedKey { spki_sha256: key, at: now });
        }
        let batch = self.withdraw(batch, &all, reason, None, now).await?;
        self.records.commit(batch).await?;
        self.withdrawn(&all);
        Ok(())
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
            batch = batch.replace(read, &revoked).insert(&entry);
            if let Some(open) = self.open_revocation(&serial).await?.filter(|open| save != Some(&open.id)) {
                let ended = (*open).clone().carried_out(now)?;
                batch = self.off_the_desk(batch, &open).replace(&open, &ended);
            }
        }
        Ok(batch)
    }

    /// What follows the commit of revocations.
    pub(super) fn withdrawn(&self, certificates: &[Stored<Certificate>]) {
        for certificate in certificates {
            self.lists.forget(&certificate.issuer);
            metrics::counter!(telemetry::CERTIFICATES_REVOKED).increment(1);
        }
    }

    /// Whether the authority may revoke this certificate: who it is, for the audit log, and whether it is the customer whose
    /// certificate it is.
    async fn entitled(&self, authority: Authority<'_>, certificate: &Certificate) -> Result<(String, bool)> {
        match authority {
            Authority::Operator => Ok(("operator".to_owned(), false)),
            Authority::CertificateKey(key) if key.spki_sha256() == certificate.spki_sha256 => {
                Ok(("certificate key".to_owned(), false))
            }
            Authority::CertificateKey(_) => {
                Err(Error::unauthorized("The request is not signed by the certificate's key."))
            }
            Authority::Account(account) if self.is_of_the_same(account, certificate).await? => {
                Ok((format!("account {}", account.id), true))
            }
            Authority::Account(account) => {
                self.holds_all_names(account, certificate).await?;
                Ok((format!("account {}, which holds all names", account.id), false))
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

    /// The resources that use a certificate, as a sentence has them (REVOKE-09).
    async fn in_use_by(&self, serial: &Serial) -> Result<Option<String>> {
        let portfolio = self.portfolio(&CertificateRef::Issued(*serial)).await?;
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

/// Names in a sentence.
fn listed(names: &[Identifier]) -> String {
    names.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
