//! The same look at the certificates of intermediates and links between roots, before a root signs them
//! (Baseline Requirements 7.1.2.6 and 7.1.2.2, CABF-SCA-05 to -07).

use x509_parser::certificate::TbsCertificateParser;
use x509_parser::nom::Parser as _;
use x509_parser::x509::X509Version;

use super::{
    AUTHORITY_INFORMATION_ACCESS, AUTHORITY_KEY_IDENTIFIER, BASIC_CONSTRAINTS, CA_ISSUERS, CERTIFICATE_POLICIES,
    CRL_DISTRIBUTION_POINTS, EXTENDED_KEY_USAGE, Fault, KEY_USAGE, SERVER_AUTH, SUBJECT_KEY_IDENTIFIER,
    check_extensions, ensure, fault,
};
use crate::ca::hierarchy::Authority;
use crate::ca::signer::Key;
use crate::ca::{Urls, der};

/// BIT STRING keyCertSign, cRLSign.
const CERT_AND_CRL_SIGN: [u8; 4] = [0x03, 0x02, 0x01, 0x06];
/// SEQUENCE { SEQUENCE { anyPolicy } }.
const ANY_POLICY: &[u8] = &[0x30, 0x08, 0x30, 0x06, 0x06, 0x04, 0x55, 0x1d, 0x20, 0x00];

/// What the certificate is to be.
pub(in crate::ca) struct Expected<'a> {
    /// Whose key it certifies.
    pub(in crate::ca) key: &'a Key,
    /// Who signs it.
    pub(in crate::ca) root: &'a Authority,
    /// Where root certificate and list are.
    pub(in crate::ca) urls: &'a Urls,
    /// How many CAs may stand below it; none: any number.
    pub(in crate::ca) path_length: Option<u8>,
}

/// Checks the octets of a TBSCertificate.
pub(in crate::ca) fn check(tbs: &[u8], expected: &Expected<'_>) -> Result<(), Fault> {
    use rcgen::PublicKeyData as _;
    let parsed = TbsCertificateParser::new().with_deep_parse_extensions(false).parse(tbs);
    let Ok(([], certificate)) = parsed else {
        return fault("tbs_structure", "it is not one TBSCertificate in DER");
    };
    let root = expected.root;
    ensure(certificate.version == X509Version::V3, "version", "it is not X.509 version 3")?;
    let serial = certificate.raw_serial();
    ensure(serial.len() == 20 && serial[0] & 0xc0 == 0x40, "serial_entropy", "the serial was not made by this CA")?;
    let algorithm = der::take(&root.key.scheme().identifier()[2..]).map(|(name, _)| name.content);
    let named = certificate.signature.algorithm.as_bytes();
    ensure(
        algorithm == Some(named),
        "signature_algorithm",
        "the signature algorithm is not the one of the root's key",
    )?;
    ensure(
        certificate.issuer.as_raw() == root.subject,
        "issuer",
        "the issuer is not byte for byte the root's subject",
    )?;
    ensure(certificate.subject.iter_common_name().count() == 1, "subject", "it has not one common name")?;
    ensure(certificate.subject.iter_organization().count() == 1, "subject", "it has not one organization")?;
    ensure(certificate.subject.iter_country().count() == 1, "subject", "it has not one country")?;
    let (from, to) = (certificate.validity.not_before, certificate.validity.not_after);
    ensure(from.timestamp() < to.timestamp(), "validity_order", "it ends before it begins")?;
    let end = i64::try_from(root.not_after.as_secs()).unwrap_or(i64::MAX);
    ensure(to.timestamp() <= end, "validity_within_issuer", "it would end after its root")?;
    let spki = expected.key.subject_public_key_info();
    ensure(certificate.subject_pki.raw == spki, "subject_public_key", "the key is not that of the request")?;
    let identifiers = certificate.issuer_uid.is_some() || certificate.subject_uid.is_some();
    ensure(!identifiers, "unique_identifiers", "it has unique identifiers")?;
    check_extensions(&certificate, &extensions(expected))
}

fn extensions(expected: &Expected<'_>) -> [super::Expected; 8] {
    let (root, urls) = (expected.root, expected.urls);
    let sequence = |content: &[u8]| der::encode(der::SEQUENCE, &[content]);
    let extension = |lint, name, critical, value| super::Expected { lint, name, critical, value };
    let length = expected.path_length.map(|length| der::encode(der::INTEGER, &[&[length]])).unwrap_or_default();
    let url = urls.crl(&root.name, 0);
    let point = der::encode(0xa0, &[&der::encode(0xa0, &[&der::encode(0x86, &[url.as_bytes()])])]);
    let certificate = der::encode(0x86, &[urls.certificate(&root.name).as_bytes()]);
    [
        extension(
            "authority_key_identifier",
            AUTHORITY_KEY_IDENTIFIER,
            false,
            sequence(&der::encode(0x80, &[&root.key_identifier])),
        ),
        extension(
            "subject_key_identifier",
            SUBJECT_KEY_IDENTIFIER,
            false,
            der::encode(der::OCTET_STRING, &[&expected.key.identifier()]),
        ),
        extension("key_usage", KEY_USAGE, true, CERT_AND_CRL_SIGN.to_vec()),
        extension("extended_key_usage", EXTENDED_KEY_USAGE, false, SERVER_AUTH.to_vec()),
        // TRUE, then the length.
        extension("basic_constraints", BASIC_CONSTRAINTS, true, sequence(&[&[0x01, 0x01, 0xff], &length[..]].concat())),
        extension("crl_distribution_points", CRL_DISTRIBUTION_POINTS, false, sequence(&sequence(&point))),
        extension("certificate_policies", CERTIFICATE_POLICIES, false, ANY_POLICY.to_vec()),
        extension(
            "authority_information_access",
            AUTHORITY_INFORMATION_ACCESS,
            false,
            sequence(&sequence(&[&CA_ISSUERS[..], &certificate].concat())),
        ),
    ]
}
