//! The lists of offline roots, which were signed ahead and lie beside their certificates.

use std::path::Path;

use x509_parser::prelude::{ASN1Time, CertificateRevocationList, FromDer as _};
use x509_parser::x509::SubjectPublicKeyInfo;

use super::Revoked;
use crate::ca::hierarchy::Authority;
use crate::ca::{Ca, Refusal, hex};
use crate::domain::certificate::RevocationReason;
use crate::domain::{Error, Result, Timestamp};

/// A list that was signed ahead, as it is given out.
pub struct PresignedList {
    /// The list, DER.
    pub der: Vec<u8>,
    /// When it was made.
    pub this_update: Timestamp,
    /// Until when it holds.
    pub next_update: Timestamp,
}

impl Ca {
    /// The list that an offline root signed ahead; none for an issuer that signs its own. An old one is given out too: it still
    /// tells what was revoked.
    pub fn presigned_list(&self, issuer: &str, now: Timestamp) -> Option<Result<PresignedList>> {
        let root = self.roots.iter().find(|root| root.name == issuer)?;
        Some(presigned(root, root.list.as_ref()?, now))
    }

    /// The lists that offline roots signed ahead: the root's name, and until when its list holds (none: it is gone, or not
    /// of that root).
    pub fn presigned_lists(&self) -> Vec<(String, Option<Timestamp>)> {
        let away = self.roots.iter().filter_map(|root| Some((root, root.list.as_ref()?)));
        away.map(|(root, path)| {
            let read = std::fs::read(path).ok().and_then(|der| Presigned::read(&der, root).ok());
            (root.name.clone(), read.map(|list| list.next_update))
        })
        .collect()
    }
}

fn presigned(root: &Authority, path: &Path, now: Timestamp) -> Result<PresignedList> {
    let name = &root.name;
    let der = std::fs::read(path).map_err(|error| Error::internal(format!("{}: {error}", path.display())))?;
    let Presigned { this_update, next_update, .. } = Presigned::read(&der, root).map_err(Error::internal)?;
    if now >= next_update {
        tracing::error!(root = %name, ended = %next_update, "the revocation list of an offline root is out of date");
    }
    Ok(PresignedList { der, this_update, next_update })
}

/// What a root's list says.
pub(in crate::ca) struct Presigned {
    pub(in crate::ca) number: num_bigint::BigUint,
    pub(in crate::ca) this_update: Timestamp,
    pub(in crate::ca) next_update: Timestamp,
    pub(in crate::ca) entries: Vec<Revoked>,
}

impl Presigned {
    /// Reads a list and checks that this root signed it.
    pub(in crate::ca) fn read(der: &[u8], root: &Authority) -> std::result::Result<Self, Refusal> {
        let file = format!("{}.crl", root.name);
        let (rest, list) =
            CertificateRevocationList::from_der(der).map_err(|_| format!("{file} is not a revocation list in DER"))?;
        let (_, key) = SubjectPublicKeyInfo::from_der(&root.spki)?;
        if !rest.is_empty() || list.issuer().as_raw() != root.subject || list.verify_signature(&key).is_err() {
            return Err(format!("{file} was not signed by {}.pem", root.name).into());
        }
        let number = list.crl_number().cloned().ok_or_else(|| format!("{file} has no number"))?;
        let next_update = list.next_update().ok_or_else(|| format!("{file} does not say when the next comes"))?;
        let entries = list.iter_revoked_certificates().map(|entry| {
            let serial = hex(entry.raw_serial()).parse().map_err(|()| format!("{file} has a serial of another CA"))?;
            let reason = match entry.reason_code().map(|(_, reason)| reason.0) {
                Some(1 | 2) => RevocationReason::KeyCompromise,
                Some(3) => RevocationReason::AffiliationChanged,
                Some(4) => RevocationReason::Superseded,
                Some(5) => RevocationReason::CessationOfOperation,
                _ => RevocationReason::Unspecified,
            };
            Ok(Revoked { serial, at: moment(entry.revocation_date), reason })
        });
        let entries = entries.collect::<std::result::Result<_, String>>()?;
        Ok(Self {
            number: num_bigint::BigUint::from_bytes_be(&number.to_bytes_be()),
            this_update: moment(list.last_update()),
            next_update: moment(next_update),
            entries,
        })
    }
}

fn moment(time: ASN1Time) -> Timestamp {
    Timestamp::from_secs(u64::try_from(time.timestamp()).unwrap_or(0))
}
