//! The TBSCertList (RFC 5280 section 5.1.2) written into one buffer whose size is known before: a list of a million
//! certificates costs one allocation.

use super::ListPlan;
use crate::ca::der;
use crate::ca::hierarchy::Authority;
use crate::domain::certificate::RevocationReason;
use crate::domain::{Serial, Timestamp};

const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
/// INTEGER 1: version 2, without which a list may not have extensions.
const VERSION_2: &[u8] = &[0x02, 0x01, 0x01];

/// id-ce-authorityKeyIdentifier, id-ce-cRLNumber, id-ce-issuingDistributionPoint (RFC 5280 section 5.2), as elements.
const AUTHORITY_KEY_IDENTIFIER: &[u8] = &[0x06, 0x03, 0x55, 0x1d, 0x23];
const CRL_NUMBER: &[u8] = &[0x06, 0x03, 0x55, 0x1d, 0x14];
const ISSUING_DISTRIBUTION_POINT: &[u8] = &[0x06, 0x03, 0x55, 0x1d, 0x1c];
/// BOOLEAN TRUE
const CRITICAL: &[u8] = &[0x01, 0x01, 0xff];

/// crlEntryExtensions with a reasonCode alone (RFC 5280 section 5.3.1), up to the number of the reason.
const REASON: &[u8] = &[0x30, 0x0c, 0x30, 0x0a, 0x06, 0x03, 0x55, 0x1d, 0x15, 0x04, 0x03, 0x0a, 0x01];

/// The octets of a serial as an element.
const SERIAL_LENGTH: usize = 2 + size_of::<Serial>();

/// The number of a reason in a list; none for the one that is said by silence (CABF-CRL-08).
fn reason_code(reason: RevocationReason) -> Option<u8> {
    Some(reason.code()).filter(|_| reason != RevocationReason::Unspecified)
}

/// The list of a plan, to be signed by that authority. `url` is where a shard is fetched; none for the whole list.
pub(super) fn tbs_cert_list(plan: &ListPlan<'_>, authority: &Authority, url: Option<&str>) -> Vec<u8> {
    let mut times = Vec::with_capacity(34);
    push_time(&mut times, plan.this_update);
    push_time(&mut times, plan.next_update);
    let algorithm = authority.key.scheme().identifier();
    let extensions = extensions(plan.number, &authority.key_identifier, url);
    let entries: usize = plan.entries.iter().map(|entry| 2 + entry_length(entry.at, entry.reason)).sum();
    // CABF-CRL-10: no list at all when nothing is revoked.
    let list = if entries == 0 { 0 } else { header_length(entries) + entries };
    let parts = [VERSION_2, algorithm, &authority.subject, &times];
    let content = parts.iter().map(|part| part.len()).sum::<usize>() + list + extensions.len();

    let mut tbs = Vec::with_capacity(header_length(content) + content);
    push_header(&mut tbs, der::SEQUENCE, content);
    parts.iter().for_each(|part| tbs.extend_from_slice(part));
    if entries > 0 {
        push_header(&mut tbs, der::SEQUENCE, entries);
        for entry in plan.entries {
            push_header(&mut tbs, der::SEQUENCE, entry_length(entry.at, entry.reason));
            push_header(&mut tbs, der::INTEGER, size_of::<Serial>());
            tbs.extend_from_slice(entry.serial.as_bytes());
            push_time(&mut tbs, entry.at);
            if let Some(code) = reason_code(entry.reason) {
                tbs.extend_from_slice(REASON);
                tbs.push(code);
            }
        }
    }
    tbs.extend_from_slice(&extensions);
    tbs
}

/// The octets of an entry's content: always fewer than 128.
fn entry_length(at: Timestamp, reason: RevocationReason) -> usize {
    let time = if is_utc_time(at) { 15 } else { 17 };
    let reason = reason_code(reason).map_or(0, |_| REASON.len() + 1);
    SERIAL_LENGTH + time + reason
}

/// crlExtensions: `[0] EXPLICIT Extensions` (CABF-CRL-05, -06).
fn extensions(number: u64, key_identifier: &[u8], url: Option<&str>) -> Vec<u8> {
    let extension = |name: &[u8], critical: &[u8], value: &[u8]| {
        der::encode(der::SEQUENCE, &[name, critical, &der::encode(der::OCTET_STRING, &[value])])
    };
    let authority = der::encode(der::SEQUENCE, &[&der::encode(0x80, &[key_identifier])]);
    let mut list = extension(AUTHORITY_KEY_IDENTIFIER, &[], &authority);
    list.extend(extension(CRL_NUMBER, &[], &integer(number)));
    if let Some(url) = url {
        let name = der::encode(0xa0, &[&der::encode(0xa0, &[&der::encode(0x86, &[url.as_bytes()])])]);
        list.extend(extension(ISSUING_DISTRIBUTION_POINT, CRITICAL, &der::encode(der::SEQUENCE, &[&name])));
    }
    der::encode(0xa0, &[&der::encode(der::SEQUENCE, &[&list])])
}

/// A number that is not negative, in the fewest octets.
fn integer(number: u64) -> Vec<u8> {
    let octets = [&[0], &number.to_be_bytes()[..]].concat();
    let zeros = octets.windows(2).take_while(|pair| pair[0] == 0 && pair[1] & 0x80 == 0).count();
    der::encode(der::INTEGER, &[&octets[zeros..]])
}

/// RFC 5280 section 5.1.2.4 (CABF-CRL-13): UTCTime through 2049, GeneralizedTime after that.
fn is_utc_time(moment: Timestamp) -> bool {
    const YEAR_2050: Timestamp = Timestamp::from_secs(2_524_608_000);
    moment < YEAR_2050
}

/// A moment as an element, with seconds, in Zulu.
fn push_time(out: &mut Vec<u8>, moment: Timestamp) {
    let t = moment.to_offset();
    let year = t.year().unsigned_abs();
    match is_utc_time(moment) {
        true => push_header(out, UTC_TIME, 13),
        false => {
            push_header(out, GENERALIZED_TIME, 15);
            push_digits(out, year / 100);
        }
    }
    push_digits(out, year % 100);
    for part in [u8::from(t.month()), t.day(), t.hour(), t.minute(), t.second()] {
        push_digits(out, part.into());
    }
    out.push(b'Z');
}

fn push_digits(out: &mut Vec<u8>, number: u32) {
    out.extend([b'0' + (number / 10 % 10) as u8, b'0' + (number % 10) as u8]);
}

/// How many octets a tag and the length of so much content take.
fn header_length(content: usize) -> usize {
    match content {
        0..=0x7f => 2,
        _ => 2 + size_of::<usize>() - content.leading_zeros() as usize / 8,
    }
}

fn push_header(out: &mut Vec<u8>, tag: u8, content: usize) {
    out.push(tag);
    match content {
        0..=0x7f => out.push(content as u8),
        _ => {
            let octets = content.to_be_bytes();
            let octets = &octets[content.leading_zeros() as usize / 8..];
            out.push(0x80 | octets.len() as u8);
            out.extend_from_slice(octets);
        }
    }
}
