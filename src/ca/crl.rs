//! Certificate revocation lists (RFC 5280 section 5, Baseline Requirements 7.2).

use std::sync::Arc;
use std::time::Duration;

use super::hierarchy::Authority;
use super::lint;
use super::signer::Key;
use super::{Ca, MAX_SHARDS};
use crate::domain::certificate::RevocationReason;
use crate::domain::{Error, Result, Serial, Timestamp};

mod encode;
mod presigned;

pub use presigned::PresignedList;
pub(super) use presigned::{ListFile, Presigned};

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

/// A list that is to be signed.
#[derive(Debug, Clone, Copy)]
pub struct ListPlan<'a> {
    /// The name of an intermediate, or of a root, which has shard 0 alone.
    pub issuer: &'a str,
    /// Which part of its certificates.
    pub shard: u16,
    /// Has to rise with every list of the issuer's (RFC 5280 section 5.2.3).
    pub number: u64,
    /// When it is made.
    pub this_update: Timestamp,
    /// When the next one is there at the latest.
    pub next_update: Timestamp,
    /// What the shard covers of that which is revoked, in the order of the serials.
    pub entries: &'a [Revoked],
}

/// A to-be-signed list that was linted; only `Ca::prepare_list` makes one, and signing uses it up.
pub struct PreparedList {
    tbs: Vec<u8>,
    key: Arc<Key>,
}

/// The shard of a serial when there are `shards` of them, a power of two. Shards are numbered like the nodes of a
/// binary tree: 0 is everything, 1 and 2 its halves, 3 to 6 the quarters. So a certificate keeps its shard when the
/// number of shards changes, and the shard still says which serials it covers.
pub fn shard_of(serial: &Serial, shards: u16) -> u16 {
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

    /// Every issuer whose lists are signed here: the roots that are not offline, and all intermediates.
    pub fn list_issuers(&self) -> impl Iterator<Item = &str> {
        self.roots
            .iter()
            .filter(|root| root.list.is_none())
            .map(|authority| authority.name.as_str())
            .chain(self.issuer_names())
    }

    /// Into how many shards the list of an issuer is cut for certificates that are issued now.
    pub fn shards_now(&self, issuer: &str) -> u16 {
        if self.intermediate(issuer).is_some() { self.settings.crl_shards } else { 1 }
    }

    /// How long a list is given out before it is made anew, if nothing is revoked meanwhile.
    pub fn list_every(&self) -> Duration {
        Duration::from_secs(u64::from(self.settings.crl_hours) * 3600)
    }

    /// How far ahead a list promises the next one.
    pub fn list_ahead(&self) -> Duration {
        Duration::from_secs(u64::from(self.settings.crl_days) * 86_400)
    }

    /// Builds a list and lints it by an independent parse. An unknown issuer or shard is `notFound`.
    pub fn prepare_list(&self, plan: &ListPlan<'_>) -> Result<PreparedList> {
        let (authority, ahead) = self.crl_signer(plan.issuer, plan.shard)?;
        // CABF-CRL-06, -07: a part of a list names the URI under which it is fetched; the whole has no need to, and
        // without it stays good for certificates from before a change of the URLs.
        let url = (plan.shard > 0).then(|| self.urls.crl(plan.issuer, plan.shard));
        prepare(authority, plan, url.as_deref(), ahead)
    }

    /// Checks the octets of a TBSCertList against a plan, as `prepare_list` does. The source of the error names the lint.
    pub fn lint_list(&self, tbs: &[u8], plan: &ListPlan<'_>) -> Result<()> {
        let (authority, ahead) = self.crl_signer(plan.issuer, plan.shard)?;
        let url = (plan.shard > 0).then(|| self.urls.crl(plan.issuer, plan.shard));
        let frame = lint::crl::Frame { authority, url: url.as_deref(), ahead };
        lint::crl::check(tbs, plan, &frame).map_err(Error::internal)
    }

    /// Prepares and signs a list. Of `entries`, in any order, those that the shard does not cover are left out. DER.
    pub fn crl(
        &self,
        issuer: &str,
        shard: u16,
        number: u64,
        now: Timestamp,
        next_update: Timestamp,
        entries: &[Revoked],
    ) -> Result<Vec<u8>> {
        let mut covered: Vec<Revoked> =
            entries.iter().filter(|entry| shard_covers(shard, &entry.serial)).copied().collect();
        covered.sort_by_key(|entry| entry.serial);
        let plan = ListPlan { issuer, shard, number, this_update: now, next_update, entries: &covered };
        self.prepare_list(&plan)?.sign()
    }
}

/// Prepares and signs the list of a root, at the place where its key is. DER.
pub(super) fn sign_as_root(root: &Authority, plan: &ListPlan<'_>) -> Result<Vec<u8>> {
    prepare(root, plan, None, MAX_AHEAD_OF_ROOT)?.sign()
}

fn prepare(authority: &Authority, plan: &ListPlan<'_>, url: Option<&str>, ahead: Duration) -> Result<PreparedList> {
    let tbs = encode::tbs_cert_list(plan, authority, url);
    let frame = lint::crl::Frame { authority, url, ahead };
    lint::crl::check(&tbs, plan, &frame).map_err(Error::internal)?;
    Ok(PreparedList { tbs, key: authority.key.clone() })
}

impl PreparedList {
    /// The octets that will be signed.
    pub fn tbs(&self) -> &[u8] {
        &self.tbs
    }

    /// Signs what was prepared: exactly those octets. DER.
    pub fn sign(self) -> Result<Vec<u8>> {
        self.key.signed(&self.tbs)
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
