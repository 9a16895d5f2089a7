//! What a revocation list must be before it is signed, seen by an independent parse (RFC 5280 section 5, Baseline
//! Requirements 7.2).
//!
//! A list may hold a million entries, and their parsed form is ten times as large as their octets. So the list without its
//! entries is parsed as one, and each entry by itself.

use std::time::Duration;

use x509_parser::prelude::FromDer as _;
use x509_parser::revocation_list::{RevokedCertificate, TbsCertList};
use x509_parser::x509::X509Version;

use super::{AUTHORITY_KEY_IDENTIFIER, CRITICAL, Fault, ensure, fault, time};
use crate::ca::crl::{ListPlan, Revoked, shard_covers};
use crate::ca::der;
use crate::ca::hierarchy::Authority;
use crate::domain::certificate::RevocationReason;

const CRL_NUMBER: &[u8] = &[0x55, 0x1d, 0x14];
const ISSUING_DISTRIBUTION_POINT: &[u8] = &[0x55, 0x1d, 0x1c];
const REASON_CODE: &[u8] = &[0x55, 0x1d, 0x15];

/// The two explicit tags 0 of the list's extensions and of a distribution point's name.
const TAG_0: u8 = 0xa0;

/// What the list is compared with, besides its plan.
pub(in crate::ca) struct Frame<'a> {
    /// Who signs it.
    pub(in crate::ca) authority: &'a Authority,
    /// The URL that the certificates of a shard name; none for the list of all.
    pub(in crate::ca) url: Option<&'a str>,
    /// How far ahead its next update may lie.
    pub(in crate::ca) ahead: Duration,
}

/// Checks a TBSCertList against its plan.
pub(in crate::ca) fn check(tbs: &[u8], plan: &ListPlan<'_>, frame: &Frame<'_>) -> Result<(), Fault> {
    // CABF-CRL-04
    let ahead = plan.next_update.whole_second().since(plan.this_update.whole_second());
    ensure(!ahead.is_zero(), "crl_next_update", "nextUpdate is not after thisUpdate")?;
    ensure(ahead <= frame.ahead, "crl_next_update", "nextUpdate lies too far ahead")?;
    let Some((frame_octets, entries)) = taken_apart(tbs) else {
        return fault("crl_structure", "it is not one TBSCertList in DER");
    };
    check_frame(&frame_octets, plan, frame)?;
    match entries {
        None => ensure(plan.entries.is_empty(), "crl_entries", "the entries are missing"),
        // CABF-CRL-10
        Some([]) => fault("crl_entries", "an empty list of entries"),
        Some(entries) => check_entries(entries, plan),
    }
}

/// The list without its entries, as a list of its own, and the content of its entries. Every length is in its shortest form.
fn taken_apart(tbs: &[u8]) -> Option<(Vec<u8>, Option<&[u8]>)> {
    let content = der::only(tbs, der::SEQUENCE)?;
    let ([version, algorithm, issuer, this_update, next_update], mut rest) = first(content)?;
    let mut entries = None;
    let (mut last, after) = der::take(rest)?;
    if last.tag == der::SEQUENCE {
        entries = Some(last.content);
        rest = after;
        (last, rest) = der::take(rest)?;
    } else {
        rest = after;
    }
    let parts = [version, algorithm, issuer, this_update, next_update, last.whole];
    rest.is_empty().then(|| (der::encode(der::SEQUENCE, &parts), entries))
}

/// The first elements of `content`, and what follows them.
fn first<const N: usize>(mut content: &[u8]) -> Option<([&[u8]; N], &[u8])> {
    let mut found = [&[][..]; N];
    for slot in &mut found {
        let (element, rest) = der::take(content)?;
        (*slot, content) = (element.whole, rest);
    }
    Some((found, content))
}

/// Checks everything but the entries.
fn check_frame(octets: &[u8], plan: &ListPlan<'_>, frame: &Frame<'_>) -> Result<(), Fault> {
    let authority = frame.authority;
    let Ok(([], list)) = TbsCertList::from_der(octets) else {
        return fault("crl_structure", "it is not one TBSCertList in DER");
    };
    ensure(list.version == Some(X509Version(1)), "crl_version", "it is not version 2")?;
    let algorithm = authority.key.scheme().identifier();
    let named = der::take(&algorithm[2..]).is_some_and(|(name, _)| name.content == list.signature.algorithm.as_bytes());
    ensure(named, "crl_signature_algorithm", "the signature algorithm is not the one of the issuer's key")?;
    let issuer = list.issuer.as_raw() == authority.subject;
    ensure(issuer, "crl_issuer", "the issuer is not byte for byte the CA's subject")?;
    let this_update = list.this_update.to_datetime() == plan.this_update.whole_second().to_offset();
    ensure(this_update, "crl_this_update", "thisUpdate is not the planned one")?;
    let next_update = list.next_update.map(|t| t.to_datetime()) == Some(plan.next_update.whole_second().to_offset());
    ensure(next_update, "crl_next_update", "nextUpdate is not the planned one")?;

    let expected = extensions(plan, frame);
    let found = list.extensions();
    ensure(found.len() == expected.len(), "crl_extensions", "there are other extensions than those of the profile")?;
    for (extension, (lint, name, critical, value)) in found.iter().zip(&expected) {
        let same = extension.oid.as_bytes() == *name && extension.critical == *critical && extension.value == *value;
        ensure(same, lint, "the extension is not what the profile says")?;
    }
    // What the parser passes over shows here: the octets are exactly those of the parts that were just compared.
    let encoded = expected.iter().flat_map(|(_, name, critical, value)| {
        let critical: &[u8] = if *critical { &CRITICAL } else { &[] };
        let value = der::encode(der::OCTET_STRING, &[value]);
        der::encode(der::SEQUENCE, &[&der::encode(der::OBJECT_IDENTIFIER, &[name]), critical, &value])
    });
    let extensions = der::encode(TAG_0, &[&der::encode(der::SEQUENCE, &[&encoded.collect::<Vec<_>>()])]);
    let [from, to] = [time(plan.this_update), time(plan.next_update)];
    let version = der::encode(der::INTEGER, &[&[1]]);
    let whole = der::encode(der::SEQUENCE, &[&version, algorithm, &authority.subject, &from, &to, &extensions]);
    ensure(whole == octets, "crl_canonical_der", "it is not in its DER form")
}

/// CABF-CRL-05 to -07: the extensions of the profile in their order, each with the lint that is about it.
fn extensions(plan: &ListPlan<'_>, frame: &Frame<'_>) -> Vec<(&'static str, &'static [u8], bool, Vec<u8>)> {
    let identifier = der::encode(0x80, &[&frame.authority.key_identifier]);
    let mut number = plan.number.to_be_bytes().to_vec();
    while number.len() > 1 && number[0] == 0 {
        number.remove(0);
    }
    if number[0] & 0x80 != 0 {
        number.insert(0, 0);
    }
    let mut expected = vec![
        ("crl_authority_key_identifier", AUTHORITY_KEY_IDENTIFIER, false, der::encode(der::SEQUENCE, &[&identifier])),
        ("crl_number", CRL_NUMBER, false, der::encode(der::INTEGER, &[&number])),
    ];
    if let Some(url) = frame.url {
        let name = der::encode(TAG_0, &[&der::encode(TAG_0, &[&der::encode(0x86, &[url.as_bytes()])])]);
        let point = der::encode(der::SEQUENCE, &[&name]);
        expected.push(("crl_issuing_distribution_point", ISSUING_DISTRIBUTION_POINT, true, point));
    }
    expected
}

/// Checks the entries, one after the other.
fn check_entries(mut octets: &[u8], plan: &ListPlan<'_>) -> Result<(), Fault> {
    let mut before: Option<&Revoked> = None;
    for expected in plan.entries {
        let Ok((rest, entry)) = RevokedCertificate::from_der(octets) else {
            return fault("crl_entry", "an entry is missing or is none");
        };
        let covered = shard_covers(plan.shard, &expected.serial);
        ensure(covered, "crl_entry_shard", "an entry belongs on another shard")?;
        let rises = before.is_none_or(|before| before.serial < expected.serial);
        ensure(rises, "crl_entry_order", "entries are not in the order of their serials, or twice there")?;
        check_entry(&entry, &octets[..octets.len() - rest.len()], expected)?;
        (octets, before) = (rest, Some(expected));
    }
    ensure(octets.is_empty(), "crl_entries", "there are more entries than planned")
}

fn check_entry(entry: &RevokedCertificate<'_>, octets: &[u8], expected: &Revoked) -> Result<(), Fault> {
    // CABF-CRL-08
    let serial = entry.raw_serial() == expected.serial.as_bytes();
    ensure(serial, "crl_entry_serial", "the serial is not the one in the certificate")?;
    let date = entry.revocation_date.to_datetime();
    let at = expected.at.whole_second().to_offset();
    ensure(date == at, "crl_entry_date", "revocationDate is not when it was revoked")?;
    // CABF-CRL-13
    let form = entry.revocation_date.is_utctime() == (date.year() < 2050);
    ensure(form, "crl_entry_date", "revocationDate has the form of another century")?;
    // CABF-CRL-09
    let code = match expected.reason {
        RevocationReason::Unspecified => None,
        RevocationReason::KeyCompromise => Some(1),
        RevocationReason::AffiliationChanged => Some(3),
        RevocationReason::Superseded => Some(4),
        RevocationReason::CessationOfOperation => Some(5),
    };
    let reason = match (code, entry.extensions()) {
        (None, []) => true,
        (Some(code), [reason]) => {
            reason.oid.as_bytes() == REASON_CODE && !reason.critical && reason.value == [0x0a, 0x01, code]
        }
        _ => false,
    };
    ensure(reason, "crl_entry_reason", "the reason is not the one that was given, or not in its form")?;
    // What the parser passes over, as the class of a tag, shows here.
    ensure(octets == encoded(expected, code), "crl_canonical_der", "an entry is not in its DER form")
}

/// An entry, written down a second time.
fn encoded(entry: &Revoked, code: Option<u8>) -> Vec<u8> {
    let serial = der::encode(der::INTEGER, &[entry.serial.as_bytes()]);
    let reason = code.map_or_else(Vec::new, |code| {
        let name = der::encode(der::OBJECT_IDENTIFIER, &[REASON_CODE]);
        let value = der::encode(der::OCTET_STRING, &[&[0x0a, 0x01, code]]);
        der::encode(der::SEQUENCE, &[&der::encode(der::SEQUENCE, &[&name, &value])])
    });
    der::encode(der::SEQUENCE, &[&serial, &time(entry.at), &reason])
}
