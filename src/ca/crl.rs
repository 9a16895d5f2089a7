//! Certificate revocation lists (RFC 5280 section 5, Baseline Requirements 7.2).

use std::path::Path;
use std::time::Duration;

use rcgen::{
    CertificateRevocationListParams, CrlDistributionPoint, CrlIssuingDistributionPoint, KeyIdMethod, RevokedCertParams,
};

use x509_parser::prelude::{ASN1Time, CertificateRevocationList, FromDer as _};
use x509_parser::x509::SubjectPublicKeyInfo;

use super::hierarchy::Authority;
use super::{Ca, MAX_SHARDS, Refusal, Urls, der, hex};
use crate::domain::certificate::RevocationReason;
use crate::domain::{Error, Result, Serial, Timestamp};

/// CABF-CRL-04: the latest next update, for CRLs of leaves and for those of intermediates.
const MAX_AHEAD: Duration = Duration::from_secs(10 * 86_400);
const MAX_AHEAD_OF_ROOT: Duration = Duration::from_secs(365 * 86_400);

/// A revoked certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Revoked {
    /// Its serial.
    pub serial: Serial,
    /// When it was revoked.
    pub at: Timestamp,
    /// Why.
    pub reason: RevocationReason,
}

/// The shard of a serial when there are `shards` of them, a power of two. Shards are numbered like the nodes of a
/// binary tree: 0 is everything, 1 and 2 its halves, 3 to 6 the quarters. So a certificate keeps its shard when the
/// number of shards changes, and the shard still says which serials it covers.
pub(super) fn shard_of(serial: &Serial, shards: u16) -> u16 {
    // The last octets of a serial are as random as any, and its form fixes none of their bits.
    let [.., high, low] = serial.as_bytes() else { return 0 };
    shards - 1 + u16::from_be_bytes([*high, *low]) % shards
}

/// Whether a certificate with that serial belongs on that shard of its issuer's CRL.
pub fn shard_covers(shard: u16, serial: &Serial) -> bool {
    shard < highest_shard_end() && shard_of(serial, 1 << (shard + 1).ilog2()) == shard
}

fn highest_shard_end() -> u16 {
    2 * MAX_SHARDS - 1
}

impl Ca {
    /// The shard whose CRL a certificate of that serial names, if it is issued now.
    pub fn crl_shard(&self, serial: &Serial) -> u16 {
        shard_of(serial, self.settings.crl_shards)
    }

    /// Whether an issuer's CRL has such a shard; another name or shard is `notFound`.
    pub fn check_crl(&self, issuer: &str, shard: u16) -> Result<()> {
        self.crl_signer(issuer, shard).map(|_| ())
    }

    /// Who signs a shard of an issuer's CRL, and for how long at most.
    fn crl_signer(&self, issuer: &str, shard: u16) -> Result<(&Authority, Duration)> {
        let root = self.roots.iter().find(|authority| authority.name == issuer);
        let (authority, shards, ahead) = match (root, self.intermediate(issuer)) {
            (Some(root), _) => (root, 1, MAX_AHEAD_OF_ROOT),
            (None, Some(intermediate)) => (intermediate, highest_shard_end(), MAX_AHEAD),
            (None, None) => return Err(Error::not_found(format!("There is no issuer \"{issuer}\"."))),
        };
        if shard < shards {
            return Ok((authority, ahead));
        }
        Err(Error::not_found(format!("The CRL of \"{issuer}\" has no shard {shard}.")))
    }

    /// Signs one shard of an issuer's CRL. `issuer` is the name of an intermediate, or of a root, which has shard 0
    /// alone; another name or shard is `notFound`. Of `entries` those that the shard does not cover are left out.
    /// `number` has to rise with every CRL of the shard. DER.
    pub fn crl(
        &self,
        issuer: &str,
        shard: u16,
        number: u64,
        now: Timestamp,
        next_update: Timestamp,
        entries: &[Revoked],
    ) -> Result<Vec<u8>> {
        let (authority, ahead) = self.crl_signer(issuer, shard)?;
        if let Some(path) = &authority.list {
            return presigned(authority, path, now);
        }
        if next_update.since(now) > ahead {
            return Err(Error::internal(format!("a CRL of {issuer} may not hold until {next_update}")));
        }
        let issued = Issued { shard, number, at: now, next_update };
        sign(authority, &self.urls, &issued, entries)
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

/// Which list it is, and when it is made.
pub(super) struct Issued {
    pub(super) shard: u16,
    pub(super) number: u64,
    pub(super) at: Timestamp,
    pub(super) next_update: Timestamp,
}

/// Builds and signs a list.
pub(super) fn sign(authority: &Authority, urls: &Urls, list: &Issued, entries: &[Revoked]) -> Result<Vec<u8>> {
    let shard = list.shard;
    let distribution_point = CrlDistributionPoint { uris: vec![urls.crl(&authority.name, shard)] };
    let params = CertificateRevocationListParams {
        this_update: list.at.whole_second().to_offset(),
        next_update: list.next_update.whole_second().to_offset(),
        crl_number: list.number.into(),
        // CABF-CRL-06, -07: a part of a CRL names the URI under which it is fetched; the whole has no need to, and
        // without it stays good for certificates from before a change of the URLs.
        issuing_distribution_point: (shard > 0)
            .then_some(CrlIssuingDistributionPoint { distribution_point, scope: None }),
        revoked_certs: entries.iter().filter(|entry| shard_covers(shard, &entry.serial)).map(params).collect(),
        key_identifier_method: KeyIdMethod::PreSpecified(authority.key_identifier.clone()),
    };
    let crl = params.signed_by(&authority.unsigned).map_err(Error::internal)?;
    let tbs = der::only(crl.der(), der::SEQUENCE).and_then(der::take).map(|(tbs, _)| tbs.whole);
    authority.key.signed(tbs.ok_or_else(|| Error::internal("the builder of lists wrote none"))?)
}

/// The list that an offline root signed ahead. An old one is given out too: it still tells what was revoked.
fn presigned(authority: &Authority, path: &Path, now: Timestamp) -> Result<Vec<u8>> {
    let name = &authority.name;
    let der = std::fs::read(path).map_err(|error| Error::internal(format!("{}: {error}", path.display())))?;
    let list = Presigned::read(&der, authority).map_err(Error::internal)?;
    if now >= list.next_update {
        tracing::error!(root = %name, ended = %list.next_update, "the revocation list of an offline root is out of date");
    }
    Ok(der)
}

/// What a root's list says.
pub(super) struct Presigned {
    pub(super) number: num_bigint::BigUint,
    pub(super) next_update: Timestamp,
    pub(super) entries: Vec<Revoked>,
}

impl Presigned {
    /// Reads a list and checks that this root signed it.
    pub(super) fn read(der: &[u8], root: &Authority) -> std::result::Result<Self, Refusal> {
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
            next_update: moment(next_update),
            entries,
        })
    }
}

fn moment(time: ASN1Time) -> Timestamp {
    Timestamp::from_secs(u64::try_from(time.timestamp()).unwrap_or(0))
}

fn params(entry: &Revoked) -> RevokedCertParams {
    let reason_code = match entry.reason {
        // CABF-CRL-08: unspecified is said by silence.
        RevocationReason::Unspecified => None,
        RevocationReason::KeyCompromise => Some(rcgen::RevocationReason::KeyCompromise),
        RevocationReason::AffiliationChanged => Some(rcgen::RevocationReason::AffiliationChanged),
        RevocationReason::Superseded => Some(rcgen::RevocationReason::Superseded),
        RevocationReason::CessationOfOperation => Some(rcgen::RevocationReason::CessationOfOperation),
    };
    RevokedCertParams {
        serial_number: entry.serial.as_bytes().to_vec().into(),
        revocation_time: entry.at.to_offset(),
        reason_code,
        invalidity_date: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_serial_has_one_shard_at_each_number_of_shards() {
        for _ in 0..200 {
            let serial = Serial::random();
            for shards in (0..=10).map(|power| 1 << power) {
                let covering: Vec<u16> =
                    (shards - 1..2 * shards - 1).filter(|shard| shard_covers(*shard, &serial)).collect();
                assert_eq!(covering, [shard_of(&serial, shards)]);
            }
            assert!(!shard_covers(2 * MAX_SHARDS - 1, &serial));
            assert!(!shard_covers(u16::MAX, &serial));
        }
    }

    #[test]
    fn shards_share_the_load() {
        let counts = (0..4000).fold([0; 4], |mut counts, _| {
            counts[usize::from(shard_of(&Serial::random(), 4) - 3)] += 1;
            counts
        });
        assert!(counts.iter().all(|count| (800..1200).contains(count)), "{counts:?}");
    }
}
