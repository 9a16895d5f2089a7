//! An independent look at what is about to be signed: parsed anew, and compared field by field with plan and profile.
//!
//! The expected octets are written down here a second time, without the library that built the certificate, so that
//! neither a fault of that library nor one of `leaf` reaches a signature (CABF-LNT-01).

pub(super) mod authority;
pub(super) mod crl;
pub(super) mod responder;
pub(super) mod rules;
pub(super) mod sm2;
mod subject;

use std::borrow::Cow;

use time::OffsetDateTime;
use x509_parser::certificate::TbsCertificateParser;
use x509_parser::nom::Parser as _;
use x509_parser::prelude::TbsCertificate;
use x509_parser::x509::X509Version;

use super::hierarchy::Authority;
use super::spki::PublicKey;
use super::{LeafPlan, Urls, der, signer};
use crate::domain::csr::SubjectKey;
use crate::domain::{Identifier, Timestamp};
use rules::Scope;

const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const CRITICAL: [u8; 3] = [0x01, 0x01, 0xff];

const AUTHORITY_KEY_IDENTIFIER: &[u8] = &[0x55, 0x1d, 0x23];
const SUBJECT_KEY_IDENTIFIER: &[u8] = &[0x55, 0x1d, 0x0e];
const SUBJECT_ALT_NAME: &[u8] = &[0x55, 0x1d, 0x11];
const KEY_USAGE: &[u8] = &[0x55, 0x1d, 0x0f];
const EXTENDED_KEY_USAGE: &[u8] = &[0x55, 0x1d, 0x25];
const BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 0x13];
const CRL_DISTRIBUTION_POINTS: &[u8] = &[0x55, 0x1d, 0x1f];
const CERTIFICATE_POLICIES: &[u8] = &[0x55, 0x1d, 0x20];
const AUTHORITY_INFORMATION_ACCESS: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x01, 0x01];

/// SEQUENCE { id-kp-serverAuth }.
const SERVER_AUTH: [u8; 12] = [0x30, 0x0a, 0x06, 0x08, 0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x01];
/// SEQUENCE { SEQUENCE { policy } } with 2.23.140.1.2.1, 2.23.140.1.2.2 and 2.23.140.1.1.
const DOMAIN_VALIDATED: &[u8] = &[0x30, 0x0a, 0x30, 0x08, 0x06, 0x06, 0x67, 0x81, 0x0c, 0x01, 0x02, 0x01];
const ORGANIZATION_VALIDATED: &[u8] = &[0x30, 0x0a, 0x30, 0x08, 0x06, 0x06, 0x67, 0x81, 0x0c, 0x01, 0x02, 0x02];
const EXTENDED_VALIDATED: &[u8] = &[0x30, 0x09, 0x30, 0x07, 0x06, 0x05, 0x67, 0x81, 0x0c, 0x01, 0x01];
const OCSP: [u8; 10] = [0x06, 0x08, 0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x30, 0x01];
const CA_ISSUERS: [u8; 10] = [0x06, 0x08, 0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x30, 0x02];
/// BIT STRING digitalSignature, and the same with keyEncipherment.
const DIGITAL_SIGNATURE: [u8; 4] = [0x03, 0x02, 0x07, 0x80];
const SIGNATURE_AND_ENCIPHERMENT: [u8; 4] = [0x03, 0x02, 0x05, 0xa0];

/// CABF-SUB-03 (Baseline Requirements 7.1.3.2): the only encodings of the signature algorithms in use here.
const RSA_SHA256: &[u8] = &[0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0b, 0x05, 0x00];
const ECDSA_SHA256: &[u8] = &[0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];
const ECDSA_SHA384: &[u8] = &[0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x03];

/// A lint that found a fault, by its name, with what it found.
#[derive(Debug)]
pub(super) struct Fault {
    lint: &'static str,
    found: Cow<'static, str>,
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "lint {}: {}", self.lint, self.found)
    }
}

impl std::error::Error for Fault {}

fn fault<T>(lint: &'static str, found: impl Into<Cow<'static, str>>) -> Result<T, Fault> {
    Err(Fault { lint, found: found.into() })
}

fn ensure(holds: bool, lint: &'static str, otherwise: &'static str) -> Result<(), Fault> {
    if holds { Ok(()) } else { fault(lint, otherwise) }
}

/// An extension as the profile wants it.
struct Expected {
    lint: &'static str,
    name: &'static [u8],
    critical: bool,
    value: Vec<u8>,
}

/// Checks a TBSCertificate against its plan, and the plan against the rules that hold for all.
pub(super) fn check(
    tbs: &[u8],
    plan: &LeafPlan,
    authority: &Authority,
    urls: &Urls,
    shards: u16,
    scope: Scope,
) -> Result<(), Fault> {
    rules::check(plan, authority, scope)?;
    let key = match PublicKey::read(&plan.spki) {
        Ok(key) => key,
        Err(_) => return fault("subject_key", "the subject's key is of no accepted kind"),
    };
    let expected = extensions(plan, key, authority, urls, shards);
    compare(tbs, &Fields::expected(plan, authority)?, &expected)
}

/// Compares a TBSCertificate with what it has to be, field by field and then as a whole.
fn compare(tbs: &[u8], fields: &Fields<'_>, expected: &[Expected]) -> Result<(), Fault> {
    let parsed = TbsCertificateParser::new().with_deep_parse_extensions(false).parse(tbs);
    let Ok(([], certificate)) = parsed else {
        return fault("tbs_structure", "it is not one TBSCertificate in DER");
    };
    fields.check(&certificate)?;
    check_extensions(&certificate, expected)?;
    // What the parser passes over (octets left over inside an element, lengths not in their shortest form) shows here:
    // the octets are exactly those of the parts that were just compared.
    let ordered = certificate.extensions().iter().filter_map(|found| {
        expected.iter().find(|extension| extension.name == found.oid.as_bytes()).map(Expected::encode)
    });
    ensure(fields.encode(ordered.collect::<Vec<_>>().concat()) == tbs, "canonical_der", "it is not in its DER form")
}

/// The fields of a TBSCertificate apart from its extensions, each as its DER element.
struct Fields<'a> {
    serial: Vec<u8>,
    signature: &'static [u8],
    issuer: &'a [u8],
    not_before: Timestamp,
    not_after: Timestamp,
    subject: Vec<u8>,
    spki: &'a [u8],
}

impl<'a> Fields<'a> {
    fn expected(plan: &'a LeafPlan, authority: &'a Authority) -> Result<Self, Fault> {
        Ok(Self {
            serial: der::encode(der::INTEGER, &[plan.serial.as_bytes()]),
            signature: signature_of(&authority.spki)?,
            issuer: &authority.subject,
            not_before: plan.not_before.whole_second(),
            not_after: plan.not_after.whole_second(),
            subject: subject::expected(plan),
            spki: &plan.spki,
        })
    }

    fn check(&self, certificate: &TbsCertificate<'_>) -> Result<(), Fault> {
        ensure(certificate.version == X509Version::V3, "version", "it is not X.509 version 3")?;
        ensure(self.serial[2..] == *certificate.raw_serial(), "serial", "the serial is not the recorded one")?;
        let name = certificate.signature.algorithm.as_bytes();
        ensure(
            der::take(&self.signature[2..]).is_some_and(|(expected, _)| expected.content == name),
            "signature_algorithm",
            "the signature algorithm is not the one of the issuer's key",
        )?;
        let issuer = certificate.issuer.as_raw();
        ensure(self.issuer == issuer, "issuer", "the issuer is not byte for byte the CA's subject")?;
        let [from, to] = [certificate.validity.not_before, certificate.validity.not_after].map(|t| t.to_datetime());
        ensure(from == self.not_before.to_offset(), "validity_start", "notBefore is not the planned one")?;
        ensure(to == self.not_after.to_offset(), "validity_end", "notAfter is not the planned one")?;
        ensure(self.subject == certificate.subject.as_raw(), "subject", "the subject is not the planned one")?;
        ensure(self.spki == certificate.subject_pki.raw, "subject_public_key", "the key is not that of the request")?;
        let identifiers = certificate.issuer_uid.is_some() || certificate.subject_uid.is_some();
        ensure(!identifiers, "unique_identifiers", "it has unique identifiers")
    }

    fn encode(&self, extensions: Vec<u8>) -> Vec<u8> {
        let version = [0xa0, 0x03, 0x02, 0x01, 0x02];
        let validity = [time(self.not_before), time(self.not_after)].concat();
        let validity = der::encode(der::SEQUENCE, &[&validity]);
        let extensions = der::encode(0xa3, &[&der::encode(der::SEQUENCE, &[&extensions])]);
        der::encode(
            der::SEQUENCE,
            &[&version, &self.serial, self.signature, self.issuer, &validity, &self.subject, self.spki, &extensions],
        )
    }
}

/// How a key signs (CABF-SUB-03): by its kind alone.
fn signature_of(spki: &[u8]) -> Result<&'static [u8], Fault> {
    match PublicKey::read(spki).map(|key| key.kind) {
        Ok(SubjectKey::P256) => Ok(ECDSA_SHA256),
        Ok(SubjectKey::P384) => Ok(ECDSA_SHA384),
        Ok(SubjectKey::Rsa2048 | SubjectKey::Rsa3072 | SubjectKey::Rsa4096) => Ok(RSA_SHA256),
        Ok(SubjectKey::Sm2) | Err(_) => fault("issuer_key", "the issuer's key is of no accepted kind"),
    }
}

/// RFC 5280 section 4.1.2.5: UTCTime through 2049, GeneralizedTime after that, with seconds, in Zulu.
fn time(moment: Timestamp) -> Vec<u8> {
    let t: OffsetDateTime = moment.to_offset();
    let rest = format!("{:02}{:02}{:02}{:02}{:02}Z", u8::from(t.month()), t.day(), t.hour(), t.minute(), t.second());
    match t.year() {
        ..2050 => der::encode(UTC_TIME, &[format!("{:02}{rest}", t.year() % 100).as_bytes()]),
        year => der::encode(GENERALIZED_TIME, &[format!("{year:04}{rest}").as_bytes()]),
    }
}

/// The extensions of the profile: these, and no others.
fn extensions(plan: &LeafPlan, key: PublicKey<'_>, authority: &Authority, urls: &Urls, shards: u16) -> [Expected; 9] {
    let sequence = |content: &[u8]| der::encode(der::SEQUENCE, &[content]);
    let usage = if key.kind.is_rsa() { SIGNATURE_AND_ENCIPHERMENT } else { DIGITAL_SIGNATURE };
    let names: Vec<u8> = plan.names.iter().flat_map(general_name).collect();
    let crl = urls.crl(&authority.name, super::crl::shard_of(&plan.serial, shards));
    let point = der::encode(0xa0, &[&der::encode(0xa0, &[&der::encode(0x86, &[crl.as_bytes()])])]);
    let described = |method: &[u8], url: String| sequence(&[method, &der::encode(0x86, &[url.as_bytes()])].concat());
    let responder = urls.ocsp().map(|url| described(&OCSP, url)).unwrap_or_default();
    let access = [responder, described(&CA_ISSUERS, urls.certificate(&authority.name))].concat();
    let expected = |lint, name, critical, value| Expected { lint, name, critical, value };
    [
        expected(
            "authority_key_identifier",
            AUTHORITY_KEY_IDENTIFIER,
            false,
            sequence(&der::encode(0x80, &[&authority.key_identifier])),
        ),
        expected(
            "subject_key_identifier",
            SUBJECT_KEY_IDENTIFIER,
            false,
            der::encode(der::OCTET_STRING, &[&signer::key_identifier(key.bits)]),
        ),
        // CABF-SUB-10: critical if and only if the subject is empty.
        expected("subject_alt_name", SUBJECT_ALT_NAME, plan.has_empty_subject(), sequence(&names)),
        expected("key_usage", KEY_USAGE, true, usage.to_vec()),
        expected("extended_key_usage", EXTENDED_KEY_USAGE, false, SERVER_AUTH.to_vec()),
        expected("basic_constraints", BASIC_CONSTRAINTS, true, sequence(&[])),
        expected("crl_distribution_points", CRL_DISTRIBUTION_POINTS, false, sequence(&sequence(&point))),
        expected("certificate_policies", CERTIFICATE_POLICIES, false, policy(plan).to_vec()),
        expected("authority_information_access", AUTHORITY_INFORMATION_ACCESS, false, sequence(&access)),
    ]
}

/// CABF-SUB-13: the policy follows from what the subject names.
fn policy(plan: &LeafPlan) -> &'static [u8] {
    match plan.subject.as_ref().map(|subject| &subject.ev) {
        None => DOMAIN_VALIDATED,
        Some(None) => ORGANIZATION_VALIDATED,
        Some(Some(_)) => EXTENDED_VALIDATED,
    }
}

fn general_name(name: &Identifier) -> Vec<u8> {
    match name {
        Identifier::Dns(name) => der::encode(0x82, &[name.as_str().as_bytes()]),
        Identifier::Ip(std::net::IpAddr::V4(ip)) => der::encode(0x87, &[&ip.octets()]),
        Identifier::Ip(std::net::IpAddr::V6(ip)) => der::encode(0x87, &[&ip.octets()]),
    }
}

fn check_extensions(certificate: &TbsCertificate<'_>, expected: &[Expected]) -> Result<(), Fault> {
    let found = certificate.extensions();
    for extension in found {
        if !expected.iter().any(|known| known.name == extension.oid.as_bytes()) {
            return fault("extension_unexpected", format!("extension {} is not of the profile", extension.oid));
        }
    }
    for known in expected {
        let mut same = found.iter().filter(|extension| extension.oid.as_bytes() == known.name);
        let Some(extension) = same.next() else { return fault(known.lint, "the extension is missing") };
        ensure(same.next().is_none(), known.lint, "the extension is there twice")?;
        ensure(extension.critical == known.critical, known.lint, "the extension's criticality is wrong")?;
        ensure(extension.value == known.value, known.lint, "the extension's content is not what the profile says")?;
    }
    Ok(())
}

impl Expected {
    fn encode(&self) -> Vec<u8> {
        let name = der::encode(der::OBJECT_IDENTIFIER, &[self.name]);
        let critical: &[u8] = if self.critical { &CRITICAL } else { &[] };
        der::encode(der::SEQUENCE, &[&name, critical, &der::encode(der::OCTET_STRING, &[&self.value])])
    }
}
