//! The lists of offline roots, which were signed ahead and lie beside their certificates.

use std::fs::{File, Metadata};
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::time::SystemTime;

use aws_lc_rs::digest::{SHA256, digest};
use bytes::Bytes;
use parking_lot::Mutex;
use x509_parser::prelude::{ASN1Time, CertificateRevocationList, FromDer as _};
use x509_parser::x509::SubjectPublicKeyInfo;

use super::Revoked;
use crate::ca::hierarchy::Authority;
use crate::ca::{Ca, Refusal, hex};
use crate::domain::certificate::RevocationReason;
use crate::domain::{Error, Result, Timestamp};

/// A list that was signed ahead, as it is given out.
#[derive(Clone)]
pub struct PresignedList {
    /// The list, DER.
    pub der: Bytes,
    /// The SHA-256 of it, hexadecimal.
    pub sha256: String,
    /// When it was made.
    pub this_update: Timestamp,
    /// Until when it holds.
    pub next_update: Timestamp,
}

/// The file with the list of an offline root, and what was read from it last.
pub(in crate::ca) struct ListFile {
    path: PathBuf,
    last: Mutex<Option<(Stamp, PresignedList)>>,
}

/// What of a file changes with its content: when it was written, its length in octets, and which file it is.
type Stamp = (SystemTime, u64, u64);

impl ListFile {
    /// The file at that path, which is read when somebody asks for it.
    pub(in crate::ca) fn at(path: PathBuf) -> Self {
        Self { path, last: Mutex::default() }
    }

    /// The list in the file, which is read and verified only if the file is another one than at the last look.
    fn read(&self, root: &Authority) -> std::result::Result<PresignedList, Refusal> {
        let told = |error: std::io::Error| format!("{}: {error}", self.path.display());
        let mut file = File::open(&self.path).map_err(told)?;
        let stamp = stamp(&file.metadata().map_err(told)?).map_err(told)?;
        let mut last = self.last.lock();
        if let Some((_, list)) = last.as_ref().filter(|(held, _)| *held == stamp) {
            return Ok(list.clone());
        }
        let mut der = Vec::new();
        file.read_to_end(&mut der).map_err(told)?;
        let Presigned { this_update, next_update, .. } = Presigned::read(&der, root)?;
        let sha256 = hex(digest(&SHA256, &der).as_ref());
        let list = PresignedList { der: der.into(), sha256, this_update, next_update };
        *last = Some((stamp, list.clone()));
        Ok(list)
    }
}

fn stamp(file: &Metadata) -> std::io::Result<Stamp> {
    Ok((file.modified()?, file.len(), file.ino()))
}

impl Ca {
    /// Whether that is an offline root, whose one list comes from a file.
    pub fn signs_ahead(&self, issuer: &str) -> bool {
        self.roots.iter().any(|root| root.name == issuer && root.list.is_some())
    }

    /// The list that an offline root signed ahead; `notFound` for an issuer that signs its own. An old one is given out too: it
    /// still tells what was revoked. Looks at the file, so it may block.
    pub fn presigned_list(&self, issuer: &str) -> Result<PresignedList> {
        let root = self.roots.iter().find(|root| root.name == issuer);
        let Some((root, file)) = root.and_then(|root| Some((root, root.list.as_ref()?))) else {
            return Err(Error::not_found(format!("\"{issuer}\" is no offline root.")));
        };
        file.read(root).map_err(Error::internal)
    }

    /// The lists that offline roots signed ahead: the root's name, and until when its list holds (none: it is gone, or not
    /// of that root). Looks at the files, so it may block.
    pub fn presigned_lists(&self) -> Vec<(String, Option<Timestamp>)> {
        let away = self.roots.iter().filter_map(|root| Some((root, root.list.as_ref()?)));
        away.map(|(root, file)| (root.name.clone(), file.read(root).ok().map(|list| list.next_update))).collect()
    }
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
