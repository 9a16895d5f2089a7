//! The same independent look at the two certificates of an SM2 pair: all octets of both are written down here a second time.

use super::rules::{self, Scope};
use super::{Fault, ensure, fault, general_name, subject, time};
use crate::ca::hierarchy::Authority;
use crate::ca::national::Use;
use crate::ca::spki::PublicKey;
use crate::ca::{LeafPlan, Urls, crl, der, signer};
use crate::domain::csr::SubjectKey;

/// SEQUENCE { 1.2.156.10197.1.501 }, without parameters.
const SM2_WITH_SM3: [u8; 12] = [0x30, 0x0a, 0x06, 0x08, 0x2a, 0x81, 0x1c, 0xcf, 0x55, 0x01, 0x83, 0x75];
/// BIT STRING digitalSignature and nonRepudiation; keyEncipherment, dataEncipherment and keyAgreement.
const FOR_SIGNATURES: [u8; 4] = [0x03, 0x02, 0x06, 0xc0];
const FOR_ENCRYPTION: [u8; 4] = [0x03, 0x02, 0x03, 0x38];

/// Checks the TBSCertificate of one of a pair against its plan, element by element.
pub(in crate::ca) fn check(
    tbs: &[u8],
    plan: &LeafPlan,
    usage: Use,
    authority: &Authority,
    urls: &Urls,
    shards: u16,
    scope: Scope,
) -> Result<(), Fault> {
    rules::check(plan, authority, scope)?;
    let sm2 = |spki| PublicKey::read(spki).ok().filter(|key| key.kind == SubjectKey::Sm2);
    let Some(key) = sm2(&plan.spki).filter(|key| key.kind == plan.key) else {
        return fault("subject_key", "the subject's key is no SM2 key");
    };
    ensure(sm2(&authority.spki).is_some(), "issuer_key", "the issuer's key is no SM2 key")?;
    let Some(mut rest) = der::only(tbs, der::SEQUENCE) else {
        return fault("tbs_structure", "it is not one TBSCertificate in DER");
    };
    let validity = [time(plan.not_before.whole_second()), time(plan.not_after.whole_second())].concat();
    let fields: [(&'static str, Vec<u8>); 7] = [
        ("version", vec![0xa0, 0x03, 0x02, 0x01, 0x02]),
        ("serial", der::encode(der::INTEGER, &[plan.serial.as_bytes()])),
        ("signature_algorithm", SM2_WITH_SM3.to_vec()),
        ("issuer", authority.subject.clone()),
        ("validity", der::encode(der::SEQUENCE, &[&validity])),
        ("subject", subject::expected(plan)),
        ("subject_public_key", plan.spki.clone()),
    ];
    for (lint, expected) in &fields {
        rest = expect(rest, lint, expected)?;
    }
    let Some(mut rest) = der::only(rest, 0xa3).and_then(|list| der::only(list, der::SEQUENCE)) else {
        return fault("extensions", "its extensions are not all that follows its key");
    };
    for (lint, expected) in &extensions(plan, key.bits, usage, authority, urls, shards) {
        rest = expect(rest, lint, expected)?;
    }
    ensure(rest.is_empty(), "extension_unexpected", "it has an extension that is not of the profile")
}

/// What follows the element that is expected next.
fn expect<'a>(rest: &'a [u8], lint: &'static str, expected: &[u8]) -> Result<&'a [u8], Fault> {
    match rest.strip_prefix(expected) {
        Some(rest) => Ok(rest),
        None => fault(lint, "it is not what plan and profile say"),
    }
}

/// The extensions of the profile in their order; no policy is among them.
fn extensions(
    plan: &LeafPlan,
    point: &[u8],
    usage: Use,
    authority: &Authority,
    urls: &Urls,
    shards: u16,
) -> [(&'static str, Vec<u8>); 8] {
    let sequence = |parts: &[&[u8]]| der::encode(der::SEQUENCE, parts);
    let extension = |last: u8, critical: bool, value: &[u8]| {
        let critical: &[u8] = if critical { &[0x01, 0x01, 0xff] } else { &[] };
        sequence(&[&[0x06, 0x03, 0x55, 0x1d, last], critical, &der::encode(der::OCTET_STRING, &[value])])
    };
    let usages = if usage == Use::Signature { FOR_SIGNATURES } else { FOR_ENCRYPTION };
    let names: Vec<u8> = plan.names.iter().flat_map(general_name).collect();
    let list = urls.crl(&authority.name, crl::shard_of(&plan.serial, shards));
    let list = der::encode(0xa0, &[&der::encode(0xa0, &[&der::encode(0x86, &[list.as_bytes()])])]);
    let described = |last: u8, url: String| {
        let method = [0x06, 0x08, 0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x30, last];
        sequence(&[&method, &der::encode(0x86, &[url.as_bytes()])])
    };
    let responder = urls.ocsp().map(|url| described(1, url)).unwrap_or_default();
    let issuers = sequence(&[&responder, &described(2, urls.certificate(&authority.name))]);
    let access = [0x06, 0x08, 0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x01, 0x01];
    let identifier = der::encode(der::OCTET_STRING, &[&signer::key_identifier(point)]);
    let above = sequence(&[&der::encode(0x80, &[&authority.key_identifier])]);
    let server = [0x30, 0x0a, 0x06, 0x08, 0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x01];
    [
        ("authority_key_identifier", extension(0x23, false, &above)),
        ("subject_key_identifier", extension(0x0e, false, &identifier)),
        ("key_usage", extension(0x0f, true, &usages)),
        ("basic_constraints", extension(0x13, true, &[0x30, 0x00])),
        ("subject_alt_name", extension(0x11, plan.has_empty_subject(), &sequence(&[&names]))),
        ("extended_key_usage", extension(0x25, false, &server)),
        ("crl_distribution_points", extension(0x1f, false, &sequence(&[&sequence(&[&list])]))),
        ("authority_information_access", sequence(&[&access, &der::encode(der::OCTET_STRING, &[&issuers])])),
    ]
}
