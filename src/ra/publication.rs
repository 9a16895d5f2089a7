//! What is published for relying parties: issuer certificates and revocation lists.

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;

use super::Ra;
use crate::ca::crl::{Revoked, shard_covers};
use crate::domain::{Result, Timestamp};
use crate::store::records::Revocation;

/// How long a list is given out before it is signed anew.
const FRESH: Duration = Duration::from_secs(3600);

/// How far ahead a list promises the next one (Baseline Requirements 7.2: at most 10 days).
const NEXT_UPDATE: Duration = Duration::from_secs(7 * 86_400);

/// The lists that were signed last, until something is revoked.
#[derive(Default)]
pub(super) struct SignedLists {
    by_shard: Mutex<HashMap<(String, u16), SignedList>>,
}

/// A list, DER, and when it was signed.
struct SignedList {
    at: Timestamp,
    der: Vec<u8>,
}

impl SignedLists {
    /// Forgets an issuer's lists, because one of its certificates was revoked.
    pub(super) fn forget(&self, issuer: &str) {
        self.by_shard.lock().retain(|(of, _), _| of != issuer);
    }
}

impl Ra {
    /// The certificate of a root or intermediate, DER (RFC 5280 section 4.2.2.1, `caIssuers`).
    pub fn issuer_certificate(&self, name: &str) -> Option<Vec<u8>> {
        self.ca.issuer_der(name).map(<[u8]>::to_vec)
    }

    /// The current revocation list of an issuer's shard, DER. Signed anew after a revocation, and every hour.
    pub async fn crl(&self, issuer: &str, shard: u16) -> Result<Vec<u8>> {
        let now = self.now();
        let key = (issuer.to_owned(), shard);
        if let Some(list) = self.lists.by_shard.lock().get(&key)
            && now.since(list.at) < FRESH
        {
            return Ok(list.der.clone());
        }
        let entries = self.revoked(issuer, shard, now).await?;
        // The moment in milliseconds rises with every list, and over restarts too.
        let der = self.ca.crl(issuer, shard, now.as_millis(), now, now + NEXT_UPDATE, &entries)?;
        self.lists.by_shard.lock().insert(key, SignedList { at: now, der: der.clone() });
        Ok(der)
    }

    /// What an issuer has revoked in a shard; entries stay a while beyond the certificate's end, so that each stands on
    /// a list after it (CABF-CRL-11).
    async fn revoked(&self, issuer: &str, shard: u16, now: Timestamp) -> Result<Vec<Revoked>> {
        const PAGE: usize = 1000;
        let prefix = Revocation::prefix(issuer);
        let mut entries = Vec::new();
        let mut after = None;
        loop {
            let page = self.records.list::<Revocation>(&prefix, after.take(), PAGE).await?;
            let more = page.len() == PAGE;
            after = page.last().map(|entry| [&prefix[..], entry.serial.as_bytes()].concat());
            let current = page.iter().filter(|entry| now < entry.not_after + NEXT_UPDATE);
            let covered = current.filter(|entry| shard_covers(shard, &entry.serial));
            entries.extend(covered.map(|entry| Revoked { serial: entry.serial, at: entry.at, reason: entry.reason }));
            if !more {
                return Ok(entries);
            }
        }
    }
}
