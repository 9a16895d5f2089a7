//! What is looked at before the certificate of an OCSP responder is signed (Baseline Requirements 7.1.2.8, CABF-OCS-07).

use x509_parser::certificate::TbsCertificateParser;
use x509_parser::nom::Parser as _;
use x509_parser::x509::{AttributeTypeAndValue, X509Name};

use super::{
    AUTHORITY_KEY_IDENTIFIER, DIGITAL_SIGNATURE, EXTENDED_KEY_USAGE, Expected, Fault, Fields, KEY_USAGE,
    SUBJECT_KEY_IDENTIFIER, check_extensions, ensure, fault,
};
use crate::ca::hierarchy::Authority;
use crate::ca::responders::ResponderPlan;
use crate::ca::{MAX_COMMON_NAME, der, ocsp, signer};

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
    check_subject(&certificate.subject, &certificate.issuer)?;
    let spki = plan.spki();
    let fields = Fields {
        serial: der::encode(der::INTEGER, &[plan.serial.as_bytes()]),
        signature: authority.key.scheme().identifier(),
        issuer: &authority.subject,
        not_before: plan.not_before.whole_second(),
        not_after: plan.not_after.whole_second(),
        subject: certificate.subject.as_raw().to_vec(),
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

/// Baseline Requirements 7.1.2.10.2: country, organisation and a common name; and a name that is not the issuer's, of the
/// same organisation.
fn check_subject(subject: &X509Name<'_>, issuer: &X509Name<'_>) -> Result<(), Fault> {
    ensure(subject.as_raw() != issuer.as_raw(), "subject", "the subject is the issuer's")?;
    let values = |name: &X509Name<'_>| {
        let others = name.iter_attributes().filter(|value| !is_common_name(value));
        let parts = |value: &AttributeTypeAndValue<'_>| {
            let header = &value.attr_value().header;
            let (tag, class, constructed) = (header.tag(), header.class(), header.constructed());
            (value.attr_type().to_id_string(), tag, class, constructed, value.as_slice().to_vec())
        };
        others.map(parts).collect::<Vec<_>>()
    };
    ensure(values(subject) == values(issuer), "subject", "the subject is of another organisation than the issuer")?;
    let mut names = subject.iter_attributes().filter(|value| is_common_name(value));
    let name = names.next().and_then(|name| name.as_str().ok()).unwrap_or_default();
    ensure(names.next().is_none(), "subject", "the subject has two common names")?;
    ensure(name.chars().count() <= MAX_COMMON_NAME, "subject", "the common name has more than 64 characters")?;
    let of_issuer = issuer.iter_common_name().last().and_then(|name| name.as_str().ok()).unwrap_or_default();
    let base = name.strip_suffix("OCSP").map(str::trim_end);
    ensure(
        base.is_some_and(|base| of_issuer.starts_with(base) && (base.len() == of_issuer.len() || name.len() >= 60)),
        "subject",
        "the common name is not the issuer's with OCSP behind it",
    )
}

fn is_common_name(value: &AttributeTypeAndValue<'_>) -> bool {
    value.attr_type().as_bytes() == [0x55, 0x04, 0x03]
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
