//! What is published for relying parties: issuer certificates and revocation lists.

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;

use super::Ra;
use crate::ca::crl::{Revoked, shard_covers};
use crate::domain::{Error, Result, Timestamp};
use crate::store::records::Revocation;

/// How long a list is given out before it is signed anew.
const FRESH: Duration = Duration::from_secs(3600);

/// How far ahead a list promises the next one (Baseline Requirements 7.2: at most 10 days).
const NEXT_UPDATE: Duration = Duration::from_secs(7 * 86_400);

/// The lists that were signed last, until something is revoked.
#[derive(Default)]
pub(super) struct SignedLists {
    lists: Mutex<Lists>,
    /// Held while a list is looked up or made, so that many who ask at once cost one list.
    making: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Lists {
    by_shard: HashMap<(String, u16), SignedList>,
    /// How often lists were forgotten: one that was begun before the last time is out of date.
    forgotten: u64,
    /// The number of the list that was signed last.
    number: u64,
}

/// A list, DER, and when it was signed.
struct SignedList {
    at: Timestamp,
    der: Vec<u8>,
}

impl SignedLists {
    /// Forgets an issuer's lists, because one of its certificates was revoked.
    pub(super) fn forget(&self, issuer: &str) {
        let mut lists = self.lists.lock();
        lists.forgotten += 1;
        lists.by_shard.retain(|(of, _), _| of != issuer);
    }
}

impl Ra {
    /// The certificate of a root or intermediate, DER (RFC 5280 section 4.2.2.1, `caIssuers`).
    pub fn issuer_certificate(&self, name: &str) -> Option<Vec<u8>> {
        self.ca.issuer_der(name).map(<[u8]>::to_vec)
    }

    /// The current revocation list of an issuer's shard, DER. Signed anew after a revocation, and every hour.
    pub async fn crl(&self, issuer: &str, shard: u16) -> Result<Vec<u8>> {
        // Before any work, because everybody may ask.
        self.ca.check_crl(issuer, shard)?;
        let _one_at_a_time = self.lists.making.lock().await;
        let now = self.now();
        let key = (issuer.to_owned(), shard);
        let forgotten = {
            let lists = self.lists.lists.lock();
            if let Some(list) = lists.by_shard.get(&key).filter(|list| list.at <= now && now.since(list.at) < FRESH) {
                return Ok(list.der.clone());
            }
            lists.forgotten
        };
        let entries = self.revoked(issuer, shard, now).await?;
        // The moment in milliseconds rises over restarts too, unless the clock is set back between them.
        let number = {
            let mut lists = self.lists.lists.lock();
            lists.number = now.as_millis().max(lists.number + 1);
            lists.number
        };
        let der = match self.ca.waits(issuer) {
            false => self.ca.crl(issuer, shard, number, now, now + NEXT_UPDATE, &entries)?,
            true => {
                let (ca, issuer) = (self.ca.clone(), issuer.to_owned());
                let sign = move || ca.crl(&issuer, shard, number, now, now + NEXT_UPDATE, &entries);
                tokio::task::spawn_blocking(sign).await.map_err(Error::internal)??
            }
        };
        let mut lists = self.lists.lists.lock();
        if lists.forgotten == forgotten {
            lists.by_shard.insert(key, SignedList { at: now, der: der.clone() });
        }
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
