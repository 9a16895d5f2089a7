//! What is looked at before the certificate of an OCSP responder is signed (Baseline Requirements 7.1.2.8, CABF-OCS-07).

use x509_parser::certificate::TbsCertificateParser;
use x509_parser::nom::Parser as _;
use x509_parser::x509::X509Name;

use super::{
    AUTHORITY_KEY_IDENTIFIER, DIGITAL_SIGNATURE, EXTENDED_KEY_USAGE, Expected, Fault, Fields, KEY_USAGE,
    SUBJECT_KEY_IDENTIFIER, check_extensions, ensure, fault,
};
use crate::ca::hierarchy::Authority;
use crate::ca::responders::ResponderPlan;
use crate::ca::{MAX_COMMON_NAME, der, ocsp, signer};

const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
const UTF8_STRING: u8 = 0x0c;

const NO_CHECK: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x30, 0x01, 0x05];

/// SEQUENCE { id-kp-OCSPSigning }.
const OCSP_SIGNING: [u8; 12] = [0x30, 0x0a, 0x06, 0x08, 0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x09];

/// Checks the TBSCertificate of a responder against its plan.
pub(in crate::ca) fn check(tbs: &[u8], plan: &ResponderPlan, authority: &Authority) -> Result<(), Fault> {
    ensure(plan.serial.as_bytes()[0] & 0xc0 == 0x40, "serial_entropy", "the serial was not made by this CA")?;
    ensure(plan.not_before < plan.not_after, "validity_order", "it ends before it begins")?;
    ensure(plan.not_after <= authority.not_after, "validity_within_issuer", "it would end after its issuer")?;
    let parsed = TbsCertificateParser::new().with_deep_parse_extensions(false).parse(tbs);
    let Ok(([], certificate)) = parsed else {
        return fault("tbs_structure", "it is not one TBSCertificate in DER");
    };
    let spki = plan.spki();
    let fields = Fields {
        serial: der::encode(der::INTEGER, &[plan.serial.as_bytes()]),
        signature: authority.key.scheme().identifier(),
        issuer: &authority.subject,
        not_before: plan.not_before.whole_second(),
        not_after: plan.not_after.whole_second(),
        subject: subject(&certificate.issuer),
        spki: &spki,
    };
    fields.check(&certificate)?;
    ensure(spki != authority.spki, "own_key", "the key is the issuer's own")?;
    let expected = extensions(&spki, authority);
    check_extensions(&certificate, &expected)?;
    let ordered = certificate.extensions().iter().filter_map(|found| {
        expected.iter().find(|extension| extension.name == found.oid.as_bytes()).map(Expected::encode)
    });
    ensure(fields.encode(ordered.collect::<Vec<_>>().concat()) == tbs, "canonical_der", "it is not in its DER form")
}

/// The subject: what the issuer's says (Baseline Requirements 7.1.2.10.2), with a common name of 1 to 64 characters in the place
/// of the issuer's. Names with several values in one place do not reach this: no CA with such a name starts.
fn subject(issuer: &X509Name<'_>) -> Vec<u8> {
    let relative = |name: &[u8], tag: u8, value: &[u8]| {
        let name = der::encode(der::OBJECT_IDENTIFIER, &[name]);
        der::encode(der::SET, &[&der::encode(der::SEQUENCE, &[&name, &der::encode(tag, &[value])])])
    };
    let (names, others): (Vec<_>, Vec<_>) =
        issuer.iter_attributes().partition(|value| value.attr_type().as_bytes() == COMMON_NAME);
    let base = names.last().and_then(|name| name.as_str().ok()).unwrap_or_default();
    let base = base.char_indices().nth(MAX_COMMON_NAME - 5).map_or(base, |(end, _)| &base[..end]);
    let name = if base.is_empty() { "OCSP".to_owned() } else { format!("{base} OCSP") };
    let others = others.iter().flat_map(|value| {
        let tag = u8::try_from(value.attr_value().tag().0).unwrap_or(0);
        relative(value.attr_type().as_bytes(), tag, value.as_slice())
    });
    der::encode(der::SEQUENCE, &[&others.collect::<Vec<_>>(), &relative(COMMON_NAME, UTF8_STRING, name.as_bytes())])
}

/// These, and no others: no SAN, no CDP, no name constraints, no AIA, no policies.
fn extensions(spki: &[u8], authority: &Authority) -> [Expected; 5] {
    let expected = |lint, name, critical, value| Expected { lint, name, critical, value };
    let issuer_key = der::encode(der::SEQUENCE, &[&der::encode(0x80, &[&authority.key_identifier])]);
    let own_key = der::encode(der::OCTET_STRING, &[&signer::key_identifier(ocsp::key_bits(spki))]);
    [
        expected("authority_key_identifier", AUTHORITY_KEY_IDENTIFIER, false, issuer_key),
        expected("subject_key_identifier", SUBJECT_KEY_IDENTIFIER, false, own_key),
        expected("key_usage", KEY_USAGE, true, DIGITAL_SIGNATURE.to_vec()),
        expected("extended_key_usage", EXTENDED_KEY_USAGE, false, OCSP_SIGNING.to_vec()),
        expected("ocsp_no_check", NO_CHECK, false, vec![0x05, 0x00]),
    ]
}
