//! Rules that hold for every leaf, whatever its plan says: a second look at what others have judged before.
//!
//! They are written down here apart from those of `policy` and `domain`, so that a fault there reaches no signature.

use std::collections::BTreeSet;
use std::time::Duration;

use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, ECDSA_P384_SHA384_ASN1, ParsedPublicKey};

use super::{Fault, LeafPlan, ensure, fault, signer, subject};
use crate::ca::hierarchy::Authority;
use crate::ca::spki::PublicKey;
use crate::ca::{MAX_COMMON_NAME, Schedule};
use crate::domain::csr::SubjectKey;
use crate::domain::identifier::is_special_purpose;
use crate::domain::{Identifier, Timestamp};

const DAY: u64 = 86_400;

/// Most days of what a private CA signs: what user agents accepted of private roots.
const PRIVATE_DAYS: u64 = 825;

/// CABF-VAL-01 to -04 (Baseline Requirements 6.3.2): since when, in seconds since 1970, and most days. The lines begin at
/// 00:00 UTC of 2026-03-15, 2027-03-15 and 2029-03-15.
const CALENDAR: [(u64, u64); 4] = [(0, 398), (1_773_532_800, 200), (1_805_068_800, 100), (1_868_227_200, 47)];

/// notBefore is that much before the moment of signing, where nobody asks for another.
const BACKDATE: u64 = 3600;

/// Names of no registry (RFC 6761, RFC 7686, RFC 9476, CABF-DCV-17), although lists of suffixes may have them.
const SPECIAL: [&str; 9] = ["arpa", "alt", "example", "internal", "invalid", "local", "localhost", "onion", "test"];

/// For whom a certificate is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::ca) enum Scope {
    /// Everybody: the Baseline Requirements hold.
    Public(Schedule),
    /// The same of a server that is being tried out and listens on this machine alone: names below `localhost` are this machine.
    TriedOut(Schedule),
    /// A private network (`[ca] private`): names that it made up, addresses of its own.
    Private,
    /// This server itself, which has the name that its operator gave it, perhaps of a single label.
    Own,
}

/// What a plan may never ask for, whoever made it.
pub(super) fn check(plan: &LeafPlan, authority: &Authority, scope: Scope) -> Result<(), Fault> {
    // CABF-SUB-01: positive, below 2^159, of at least 64 bits (the first octet of `Serial` is fixed to 0b01xxxxxx).
    ensure(plan.serial.as_bytes()[0] & 0xc0 == 0x40, "serial_entropy", "the serial was not made by this CA")?;
    check_names(plan, scope)?;
    subject::check_plan(plan)?;
    check_key(plan, authority)?;
    check_validity(plan, authority, scope)
}

fn check_names(plan: &LeafPlan, scope: Scope) -> Result<(), Fault> {
    // CABF-SUB-10.
    ensure(!plan.names.is_empty(), "names_present", "there are no names")?;
    let unique = plan.names.iter().collect::<BTreeSet<_>>().len() == plan.names.len();
    ensure(unique, "names_unique", "a name stands there twice")?;
    for name in &plan.names {
        match name {
            Identifier::Dns(name) => check_dns_name(name.as_str(), scope)?,
            // CABF-DCV-16.
            Identifier::Ip(ip) if matches!(scope, Scope::Public(_) | Scope::TriedOut(_)) && is_special_purpose(*ip) => {
                return fault("ip_reserved", format!("{ip} is an address of special purpose, and no public one"));
            }
            Identifier::Ip(_) => {}
        }
    }
    if let Some(name) = &plan.common_name {
        // CABF-SUB-08.
        ensure(plan.names.contains(name), "common_name_in_names", "the common name is none of the names")?;
        let short = name.to_string().chars().count() <= MAX_COMMON_NAME;
        ensure(short, "common_name_length", "the common name has more than 64 characters")?;
    }
    Ok(())
}

/// CABF-SUB-11: letters, digits and hyphens, as certificates and the DNS have them; and CABF-DCV-16 to -18: a name that its
/// applicant can own.
fn check_dns_name(name: &str, scope: Scope) -> Result<(), Fault> {
    let (wildcard, base) = match name.strip_prefix("*.") {
        Some(base) => (true, base),
        None => (false, name),
    };
    let is_label = |label: &str| {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        let ends = [label.bytes().next(), label.bytes().last()];
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| plain(b) || b == b'-')
            && ends.into_iter().flatten().all(plain)
            && (label.as_bytes().get(2..4) != Some(b"--") || label.starts_with("xn--"))
    };
    let labels: Vec<&str> = base.split('.').collect();
    let last = labels.last().copied().unwrap_or_default();
    let spelt = name.len() <= 253 && labels.iter().all(|label| is_label(label));
    if !spelt || last.bytes().all(|b| b.is_ascii_digit()) {
        return fault(
            "dns_name",
            format!("\"{}\" is not a host name of letters, digits and hyphens", name.escape_debug()),
        );
    }
    if scope != Scope::Own && labels.len() < 2 {
        return fault("dns_name", format!("\"{name}\" is not a fully qualified name"));
    }
    match scope {
        Scope::Private | Scope::Own => return Ok(()),
        Scope::TriedOut(_) if last == "localhost" => return Ok(()),
        Scope::Public(_) | Scope::TriedOut(_) => {}
    }
    let suffix = psl::suffix(base.as_bytes()).filter(|suffix| suffix.is_known());
    let Some(suffix) = suffix.filter(|_| !SPECIAL.contains(&last)) else {
        return fault("dns_name_public", format!("\"{name}\" lies below no public top-level domain"));
    };
    let is_registry = suffix.typ() == Some(psl::Type::Icann) && suffix.as_bytes() == base.as_bytes();
    match wildcard && is_registry {
        true => fault("wildcard_of_suffix", format!("\"{name}\" would be everything that is registered below {base}")),
        false => Ok(()),
    }
}

/// CABF-KEY-01 to -06: of an accepted kind, a point on its curve, no modulus that gives the private key away.
fn check_key(plan: &LeafPlan, authority: &Authority) -> Result<(), Fault> {
    let Ok(key) = PublicKey::read(&plan.spki) else {
        return fault("subject_key", "the subject's key is of no accepted kind");
    };
    ensure(key.kind == plan.key, "subject_key", "the subject's key is not of the kind that the plan says")?;
    ensure(key.check_strength().is_ok(), "subject_key_strength", "the subject's key is known to be weak")?;
    let on_curve = match key.kind {
        SubjectKey::P256 => ParsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, key.bits).is_ok(),
        SubjectKey::P384 => ParsedPublicKey::new(&ECDSA_P384_SHA384_ASN1, key.bits).is_ok(),
        // Points on the curve of SM2 alone are read.
        SubjectKey::Rsa2048 | SubjectKey::Rsa3072 | SubjectKey::Rsa4096 | SubjectKey::Sm2 => true,
    };
    ensure(on_curve, "subject_key_point", "the subject's key is no point on its curve")?;
    let own = signer::key_identifier(key.bits) == authority.key_identifier;
    ensure(!own, "subject_key_of_issuer", "the subject's key is that of its issuer")
}

fn check_validity(plan: &LeafPlan, authority: &Authority, scope: Scope) -> Result<(), Fault> {
    ensure(plan.not_before < plan.not_after, "validity_order", "it ends before it begins")?;
    // CABF-VAL-05: both ends count.
    let length = plan.not_after.whole_second().since(plan.not_before.whole_second()) + Duration::from_secs(1);
    let most = most_days(plan.not_before, scope);
    if length > Duration::from_secs(most * DAY) {
        return fault(
            "validity_ceiling",
            format!("it would be valid for {} s, more than {most} days", length.as_secs()),
        );
    }
    if plan.not_after > authority.not_after {
        // CABF-VAL-16.
        let (name, end) = (&authority.name, authority.not_after);
        return fault(
            "validity_within_issuer",
            format!("it would end at {}, after its issuer {name}, which ends at {end}", plan.not_after),
        );
    }
    Ok(())
}

/// CABF-VAL-01 to -04; the documented products have the ceiling of before 2026-03-15 (design decision: `[ca]
/// validity_schedule`).
fn most_days(not_before: Timestamp, scope: Scope) -> u64 {
    let [(_, longest), ..] = CALENDAR;
    match scope {
        Scope::Private => PRIVATE_DAYS,
        Scope::Own | Scope::Public(Schedule::Documented) | Scope::TriedOut(Schedule::Documented) => longest,
        Scope::Public(Schedule::BaselineRequirements) | Scope::TriedOut(Schedule::BaselineRequirements) => {
            let signed = not_before.as_secs() + BACKDATE;
            let lines = CALENDAR.iter().filter(|(since, _)| *since <= signed);
            lines.map(|(_, days)| *days).next_back().unwrap_or(longest)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `DnsName` lets none of these be; the lint does not rely on it.
    #[test]
    fn names_that_are_no_host_names_are_refused_whoever_let_them_pass() {
        let public = Scope::Public(Schedule::Documented);
        let long = ["a"; 127].join(".");
        for name in ["zone-one.cn", "*.zone-one.cn", "xn--bcher-kva.de", &format!("{}.com", "x".repeat(63))] {
            assert!(check_dns_name(name, public).is_ok(), "{name}");
        }
        for name in [
            "",
            ".",
            "com.",
            "a_b.com",
            "A.com",
            "-a.com",
            "a-.com",
            "ab--cd.com",
            "a..com",
            "a.*.com",
            "*a.com",
            "*.*.com",
            "*.",
            "*",
            "localhost",
            "b\u{fc}cher.de",
            "a b.com",
            "10.0.0.1",
            &format!("{}.com", "x".repeat(64)),
            &format!("{long}.com"),
        ] {
            for scope in [public, Scope::Private] {
                let found = check_dns_name(name, scope).map_err(|fault| fault.to_string());
                assert!(found.as_ref().is_err_and(|found| found.starts_with("lint dns_name:")), "{name}: {found:?}");
            }
        }
        assert!(check_dns_name("localhost", Scope::Own).is_ok());
    }
}
