//! dns-01: a digest of the key authorization in a TXT record below the name (RFC 8555 section 8.4).

use aws_lc_rs::digest;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::Task;
use super::dns::{Answer, Dns};
use super::trail::{Fault, Trail, clean};
use crate::domain::{Identifier, Kind, id};

/// Most records that a problem quotes.
const QUOTED: usize = 3;

/// Looks whether one of the TXT records is the one expected. There may be several: the name and its wildcard are proven
/// by one record each.
pub(super) async fn look(dns: &Dns, task: &Task, trail: &Trail) -> Result<(), Fault> {
    // RFC 8738 section 7.
    let Identifier::Dns(name) = &task.identifier else {
        let detail = format!("dns-01 can't prove control of the address {}.", task.identifier);
        return Err(Fault::lasting(Kind::Malformed, detail));
    };
    let place = format!("_acme-challenge.{}", name.base());
    let expected = URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, task.key_authorization.as_bytes()));
    let answer = dns.txt(&place, trail).await?;
    if answer.records.iter().any(|record| record == expected.as_bytes()) {
        return Ok(());
    }
    let kind = if answer.exists { Kind::Unauthorized } else { Kind::Dns };
    let found = found(&place, &answer);
    let way_out = if is_made_up(dns, name.base(), &answer, trail).await {
        // VAL-18
        format!(
            "Your DNS answers names that do not exist. Add the record at exactly {place}; earlier answers can be \
             ignored (DIAG-10)."
        )
    } else if answer.records.is_empty() {
        // VAL-12, VAL-16
        "If your DNS panel appends the zone, enter the host without it. New records show within seconds, changed ones \
         after their TTL (DIAG-08)."
            .to_owned()
    } else {
        // VAL-16: an edited record is hidden by its old TTL.
        "Add a second value instead of editing (DIAG-09).".to_owned()
    };
    Err(Fault::passing(kind, format!("{found}, expected \"{expected}\". {way_out}")))
}

fn found(place: &str, answer: &Answer<Vec<u8>>) -> String {
    let alias = answer.via();
    match answer.records.as_slice() {
        [] if !answer.exists => format!("No TXT record at {place}{alias}: no such name (NXDOMAIN)"),
        [] => format!("No TXT record at {place}{alias}"),
        [record] => format!("TXT record at {place}{alias} holds {}", clean(record)),
        records => {
            let quoted: Vec<String> = records.iter().take(QUOTED).map(|record| clean(record)).collect();
            let more = if records.len() > QUOTED { ", .." } else { "" };
            format!("The {} TXT records at {place}{alias} hold {}{more}", records.len(), quoted.join(", "))
        }
    }
}

/// Whether a name beside the one in question, which nobody can have thought of, has the same answer: the zone (or a
/// name server that makes answers up) gives it to everyone, and there is no record at the place itself (VAL-18).
/// Without records or an alias there is nothing made up, and nobody asks.
async fn is_made_up(dns: &Dns, base: &str, answer: &Answer<Vec<u8>>, trail: &Trail) -> bool {
    if answer.records.is_empty() && answer.alias.is_none() {
        return false;
    }
    let label: String = id::random_bytes::<8>().iter().map(|byte| format!("{byte:02x}")).collect();
    let sorted = |answer: &Answer<Vec<u8>>| {
        let mut records = answer.records.clone();
        records.sort_unstable();
        records
    };
    match dns.txt(&format!("_{label}.{base}"), trail).await {
        Ok(other) => other.alias == answer.alias && sorted(&other) == sorted(answer),
        Err(_) => false,
    }
}
