//! Revocation: one use case for everybody who may ask for it (RFC 8555 section 7.6), a lost key being a reason (KEY-08).

use std::time::Duration;

use super::{Ra, Stop, settle};
use crate::domain::account::Account;
use crate::domain::audit::Act;
use crate::domain::authz::{Authorization, AuthzState, AuthzStatus};
use crate::domain::certificate::{Certificate, RevocationReason};
use crate::domain::key::AccountKey;
use crate::domain::{AuthzId, Error, Result, Serial};
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
        let unknown = || Error::not_found("This certificate was not issued by this CA.");
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
        let told = self.entitled(authority, &read).await?;
        let now = self.now();
        // REVOKE-09; a compromised key waits for nothing (Baseline Requirements 4.9.1.1).
        if reason != RevocationReason::KeyCompromise && !matches!(authority, Authority::CertificateKey(_)) {
            self.refuse_while_bound(serial).await?;
        }
        if read.not_after < now {
            return Err(Error::malformed(format!("The certificate expired at {}.", read.not_after)).into());
        }
        let revoked = (*read).clone().revoke(reason, now)?;
        let entry =
            Revocation { issuer: read.issuer.clone(), serial: read.serial, at: now, reason, not_after: read.not_after };
        let mut batch = Batch::of(Act::CertificateRevoked { serial: read.serial, reason, authority: told }, now)
            .replace(&read, &revoked)
            .insert(&entry);
        // Baseline Requirements 6.1.1.3: a key that is reported compromised is never certified again. An account that
        // only holds the names may revoke, but says nothing about a key that it never had.
        let had_the_key = match authority {
            Authority::Account(account) => account.id == read.account,
            Authority::CertificateKey(_) | Authority::Operator => true,
        };
        if reason == RevocationReason::KeyCompromise && had_the_key {
            batch = batch.put(&BlockedKey { spki_sha256: read.spki_sha256, at: now });
        }
        self.records.commit(batch).await?;
        self.lists.forget(&read.issuer);
        metrics::counter!(telemetry::CERTIFICATES_REVOKED).increment(1);
        Ok(())
    }

    /// Whether the authority may revoke this certificate; who it is, for the audit log.
    async fn entitled(&self, authority: Authority<'_>, certificate: &Certificate) -> Result<String> {
        match authority {
            Authority::Operator => Ok("operator".to_owned()),
            Authority::CertificateKey(key) if key.spki_sha256() == certificate.spki_sha256 => {
                Ok("certificate key".to_owned())
            }
            Authority::CertificateKey(_) => {
                Err(Error::unauthorized("The request is not signed by the certificate's key."))
            }
            Authority::Account(account) if account.id == certificate.account => Ok(format!("account {}", account.id)),
            Authority::Account(account) => {
                self.holds_all_names(account, certificate).await?;
                Ok(format!("account {}, which holds all names", account.id))
            }
        }
    }

    async fn holds_all_names(&self, account: &Account, certificate: &Certificate) -> Result<()> {
        let now = self.now();
        for identifier in &certificate.identifiers {
            let name = identifier.to_string();
            let row = self.records.follow(&Index::Proven(&account.id, &name)).await?;
            let proven = match row {
                Some(row) => self.records.find::<Authorization>(&target::<AuthzId>(&row)?).await?,
                None => None,
            };
            let shows = |authz: Stored<Authorization>| match authz.state {
                AuthzState::Valid { validated, .. } => {
                    authz.status(now) == AuthzStatus::Valid && now < validated + PROOF_LASTS && authz.covers(identifier)
                }
                _ => false,
            };
            if !proven.is_some_and(shows) {
                return Err(Error::unauthorized(format!(
                    "This account did not order the certificate and holds no valid authorization for {name}."
                )));
            }
        }
        Ok(())
    }
}
