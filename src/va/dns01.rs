//! dns-01: a digest of the key authorization in a TXT record below the name (RFC 8555 section 8.4).

use aws_lc_rs::digest;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::Task;
use super::dns::{Answer, Dns};
use super::trail::{Fault, Trail, clean};
use crate::domain::{Identifier, Kind};

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
    Err(Fault::passing(kind, format!("{} The value expected there is \"{expected}\".", found(&place, &answer))))
}

fn found(place: &str, answer: &Answer<Vec<u8>>) -> String {
    let alias = answer.via();
    match answer.records.as_slice() {
        [] if !answer.exists => format!("There is no TXT record at {place}{alias}: no such name (NXDOMAIN)."),
        [] => format!("There is no TXT record at {place}{alias}."),
        [record] => format!("The TXT record at {place}{alias} is {}.", clean(record)),
        records => {
            let quoted: Vec<String> = records.iter().take(QUOTED).map(|record| clean(record)).collect();
            let more = if records.len() > QUOTED { ", .." } else { "" };
            format!("None of the {} TXT records at {place}{alias} is it: {}{more}.", records.len(), quoted.join(", "))
        }
    }
}
