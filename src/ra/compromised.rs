//! Keys that are reported compromised: certified never again, and the certificates they are in named, so that those can be
//! revoked (Baseline Requirements 4.9.1.1, 4.9.12, 6.1.1.3).

use super::{Ra, Stop, settle};
use crate::ca;
use crate::domain::audit::Act;
use crate::domain::certificate::{Certificate, hex32};
use crate::domain::{Error, Result, Serial, Timestamp};
use crate::store::records::{Batch, BlockedKey};

/// How a key is reported. A private key is never taken: whoever sends one gives it away once more.
#[derive(Debug, Clone)]
pub enum ReportedKey {
    /// By the SHA-256 of its SubjectPublicKeyInfo.
    Hash([u8; 32]),
    /// By its SubjectPublicKeyInfo, PEM or DER.
    PublicKey(Vec<u8>),
    /// By a certificate for it, of this CA or another, PEM or DER.
    Certificate(Vec<u8>),
}

/// A key that no certificate is issued for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CompromisedKey {
    /// SHA-256 of its SubjectPublicKeyInfo.
    pub spki_sha256: [u8; 32],
    /// When it became known.
    pub since: Timestamp,
}

/// What came of a report.
#[derive(Debug, Clone)]
pub struct Report {
    /// The key.
    pub key: CompromisedKey,
    /// Whether it was not known before.
    pub new: bool,
    /// The certificates of this CA that are in force with that key.
    pub live_certificates: Vec<Serial>,
}

impl Ra {
    /// Records that a key is compromised. A second report of the same key changes nothing.
    pub async fn report_compromised_key(&self, reported: ReportedKey) -> Result<Report> {
        let spki_sha256 = reported.hash()?;
        let (key, new) = self.block_key(spki_sha256).await?;
        // Read after the commit, which nothing that is signed later gets past.
        let serials = self.records.certificates_of(&spki_sha256).await?;
        let now = self.now();
        let found = self.records.find_all::<Certificate>(&serials).await?;
        let live = found.iter().flatten().filter(|found| !found.is_revoked() && found.not_after >= now);
        Ok(Report { key, new, live_certificates: live.map(|certificate| certificate.serial).collect() })
    }

    /// Has a key certified never again. Whether that was not known before.
    pub(super) async fn block_key(&self, spki_sha256: [u8; 32]) -> Result<(CompromisedKey, bool)> {
        settle(|| self.block_once(spki_sha256)).await
    }

    async fn block_once(&self, spki_sha256: [u8; 32]) -> Result<(CompromisedKey, bool), Stop> {
        if let Some(known) = self.records.find::<BlockedKey>(spki_sha256).await? {
            return Ok((known.into_value().into(), false));
        }
        let now = self.now();
        let blocked = BlockedKey { spki_sha256, at: now };
        let act = Act::KeyReported { spki_sha256: hex32::encode(&spki_sha256) };
        self.records.commit(Batch::of(act, now).insert(&blocked)).await?;
        Ok((blocked.into(), true))
    }

    /// Up to `limit` compromised keys behind the one of that hash: those that were reported, and those of certificates
    /// that were revoked for key compromise.
    pub async fn compromised_keys(&self, after: Option<[u8; 32]>, limit: usize) -> Result<Vec<CompromisedKey>> {
        let found = self.records.list::<BlockedKey>(b"", after.map(Into::into), limit).await?;
        Ok(found.into_iter().map(|key| key.into_value().into()).collect())
    }
}

impl From<BlockedKey> for CompromisedKey {
    fn from(blocked: BlockedKey) -> Self {
        Self { spki_sha256: blocked.spki_sha256, since: blocked.at }
    }
}

impl ReportedKey {
    /// SHA-256 of the SubjectPublicKeyInfo that is meant. The error repeats nothing of what was sent.
    fn hash(&self) -> Result<[u8; 32]> {
        match self {
            Self::Hash(hash) => Ok(*hash),
            Self::PublicKey(text) => ca::certificate::key_hash(&contents(text, "PUBLIC KEY")?).ok_or_else(|| {
                Error::malformed("The public key is no SubjectPublicKeyInfo; \"openssl pkey -pubout\" writes one.")
            }),
            Self::Certificate(text) => ca::certificate::key_hash_of(&contents(text, "CERTIFICATE")?)
                .ok_or_else(|| Error::malformed("The certificate can't be read; send one X.509 certificate.")),
        }
    }
}

/// The DER of what is DER already, or is one block of PEM with that label.
fn contents(octets: &[u8], label: &str) -> Result<Vec<u8>> {
    let Some(text) = str::from_utf8(octets).ok().filter(|text| text.contains("-----BEGIN")) else {
        return Ok(octets.to_vec());
    };
    // Before anything else is judged, even whether it can be read.
    if text.contains("PRIVATE KEY-----") {
        return Err(Error::malformed(
            "This is a private key, which is not taken here and should be shown to nobody. Report the public key that \
             \"openssl pkey -pubout\" makes of it, or that key's SHA-256.",
        ));
    }
    let blocks =
        pem::parse_many(text).map_err(|fault| Error::malformed("The PEM text can't be read.").because(fault))?;
    match <[pem::Pem; 1]>::try_from(blocks) {
        Ok([block]) if block.tag() == label => Ok(block.into_contents()),
        Ok(_) => Err(Error::malformed(format!("The PEM text is no block with the label {label}."))),
        Err(blocks) => Err(Error::malformed(format!("There are {} blocks of PEM text; send one.", blocks.len()))),
    }
}
