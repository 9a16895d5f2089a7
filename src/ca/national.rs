//! What is signed with SM2: root, intermediates and pairs of leaves of the Chinese national standard, requests and CRLs. rcgen knows
//! nothing of SM2, so these are written with the types of x509-cert, and `lint::sm2` writes the leaves down a second time.
//!
//! None of them names a policy: SM2 is outside of the Baseline Requirements (6.1.5, 7.1.3), and so is this hierarchy.

use std::time::Duration;

use x509_cert::attr::AttributeTypeAndValue;
use x509_cert::der::asn1::{Any, GeneralizedTime, Ia5String, ObjectIdentifier, OctetString, UtcTime};
use x509_cert::der::{Encode, Tag};
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::crl::dp::DistributionPoint;
use x509_cert::ext::pkix::name::{DistributionPointName, GeneralName};
use x509_cert::ext::pkix::{
    AccessDescription, AuthorityInfoAccessSyntax, AuthorityKeyIdentifier, BasicConstraints, CrlDistributionPoints,
    ExtendedKeyUsage, KeyUsage, KeyUsages, SubjectAltName, SubjectKeyIdentifier,
};
use x509_cert::name::{RdnSequence, RelativeDistinguishedName};
use x509_cert::time::Time;

use super::hierarchy::Authority;
use super::request::Generated;
use super::signer::{Key, KeyKind, Scheme};
use super::spki::PublicKey;
use super::{Ca, LeafPlan, MAX_COMMON_NAME, Prepared, Urls, crl, der, lint, signer};
use crate::domain::organisation::EvSubject;
use crate::domain::{Error, Identifier, Result, Serial, Timestamp};

const COUNTRY: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.6");
const STATE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.8");
const LOCALITY: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.7");
const POSTAL_CODE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.17");
const STREET: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.9");
const ORGANIZATION: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.10");
const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");
const BUSINESS_CATEGORY: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.15");
const REGISTRATION_NUMBER: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.5");
const JURISDICTION_LOCALITY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.311.60.2.1.1");
const JURISDICTION_STATE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.311.60.2.1.2");
const JURISDICTION_COUNTRY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.311.60.2.1.3");

const AUTHORITY_KEY_IDENTIFIER: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.35");
const SUBJECT_KEY_IDENTIFIER: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.14");
const KEY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.15");
const BASIC_CONSTRAINTS: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.19");
const SUBJECT_ALT_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.17");
const EXTENDED_KEY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.37");
const CRL_DISTRIBUTION_POINTS: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.31");
const AUTHORITY_INFORMATION_ACCESS: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.1.1");
const OCSP: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.48.1");
const CA_ISSUERS: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.48.2");
const SERVER_AUTH: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.1");
const EXTENSION_REQUEST: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.14");

/// Which of the two certificates of a pair it is (KEY-11).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    /// For signatures: the subscriber made its key.
    Signature,
    /// For encryption: the key management centre made its key.
    Encryption,
}

impl Ca {
    /// Builds and lints the second certificate of an SM2 pair, that for encryption, as `prepare` does the first.
    pub fn prepare_encryption(&self, plan: &LeafPlan) -> Result<Prepared> {
        self.prepare_national(plan, Use::Encryption)
    }

    pub(super) fn prepare_national(&self, plan: &LeafPlan, usage: Use) -> Result<Prepared> {
        let authority = self.authority(&plan.issuer, plan.key)?;
        let tbs = leaf(plan, usage, authority, &self.urls, self.settings.crl_shards)?;
        let linted = lint::sm2::check(&tbs, plan, usage, authority, &self.urls, self.settings.crl_shards, self.scope());
        linted.map_err(Error::internal)?;
        Ok(Prepared { tbs, authority: authority.clone() })
    }
}

/// A TBSCertificate without what is the same in all.
struct Template<'a> {
    serial: Serial,
    issuer: &'a [u8],
    not_before: Timestamp,
    not_after: Timestamp,
    subject: &'a [u8],
    spki: &'a [u8],
    extensions: Vec<Extension>,
}

impl Template<'_> {
    /// The TBSCertificate, DER (RFC 5280 section 4.1).
    fn encode(&self) -> Result<Vec<u8>> {
        let version = [0xa0, 3, der::INTEGER, 1, 2];
        let serial = der::encode(der::INTEGER, &[self.serial.as_bytes()]);
        let validity = [time(self.not_before)?, time(self.not_after)?].concat();
        let validity = der::encode(der::SEQUENCE, &[&validity]);
        let extensions = der::encode(0xa3, &[&octets(&self.extensions)?]);
        let algorithm = Scheme::Sm2WithSm3.identifier();
        let parts: [&[u8]; 8] =
            [&version, &serial, algorithm, self.issuer, &validity, self.subject, self.spki, &extensions];
        Ok(der::encode(der::SEQUENCE, &parts))
    }
}

/// A certificate authority to be certified.
pub(super) struct NewAuthority<'a> {
    /// Country, organisation and common name.
    pub(super) name: [&'a str; 3],
    /// Its key.
    pub(super) key: &'a Key,
    /// First second of validity.
    pub(super) not_before: Timestamp,
    /// Last second of validity (inclusive).
    pub(super) not_after: Timestamp,
}

impl NewAuthority<'_> {
    /// A certificate over its own key, DER.
    pub(super) fn self_signed(&self) -> Result<Vec<u8>> {
        let subject = self.subject()?;
        let constraints = BasicConstraints { ca: true, path_len_constraint: None };
        let extensions = self.extensions(&self.key.identifier(), constraints)?;
        self.key.signed(&self.tbs(&subject, &subject, extensions)?)
    }

    /// The certificate of an intermediate, DER, signed by a root.
    pub(super) fn signed_by(&self, root: &Authority, urls: &Urls) -> Result<Vec<u8>> {
        let constraints = BasicConstraints { ca: true, path_len_constraint: Some(0) };
        let mut extensions = self.extensions(&root.key_identifier, constraints)?;
        extensions.extend(pointers(&urls.crl(&root.name, 0), None, &urls.certificate(&root.name))?);
        root.key.signed(&self.tbs(&root.subject, &self.subject()?, extensions)?)
    }

    fn tbs(&self, issuer: &[u8], subject: &[u8], extensions: Vec<Extension>) -> Result<Vec<u8>> {
        let Self { not_before, not_after, .. } = *self;
        let spki = &self.key.spki();
        Template { serial: Serial::random(), issuer, not_before, not_after, subject, spki, extensions }.encode()
    }

    fn subject(&self) -> Result<Vec<u8>> {
        let [country, organization, common] = self.name;
        name(&[(COUNTRY, Tag::PrintableString, country), utf8(ORGANIZATION, organization), utf8(COMMON_NAME, common)])
    }

    fn extensions(&self, above: &[u8], constraints: BasicConstraints) -> Result<Vec<Extension>> {
        Ok(vec![
            authority_key_identifier(above)?,
            subject_key_identifier(&self.key.identifier())?,
            extension(KEY_USAGE, true, &KeyUsage(KeyUsages::KeyCertSign | KeyUsages::CRLSign))?,
            extension(BASIC_CONSTRAINTS, true, &constraints)?,
        ])
    }
}

/// Builds the TBSCertificate of one of a pair, DER. Names, subject and pointers are those of the other products; a policy there is
/// not, and the key usages are those of the pair.
fn leaf(plan: &LeafPlan, usage: Use, authority: &Authority, urls: &Urls, shards: u16) -> Result<Vec<u8>> {
    let usages = match usage {
        Use::Signature => KeyUsages::DigitalSignature | KeyUsages::NonRepudiation,
        Use::Encryption => KeyUsages::KeyEncipherment | KeyUsages::DataEncipherment | KeyUsages::KeyAgreement,
    };
    let identifier = signer::key_identifier(PublicKey::read(&plan.spki)?.bits);
    let names: Vec<GeneralName> = plan.names.iter().map(alternative_name).collect::<Result<_>>()?;
    let mut extensions = vec![
        authority_key_identifier(&authority.key_identifier)?,
        subject_key_identifier(&identifier)?,
        extension(KEY_USAGE, true, &KeyUsage(usages))?,
        extension(BASIC_CONSTRAINTS, true, &BasicConstraints { ca: false, path_len_constraint: None })?,
        extension(SUBJECT_ALT_NAME, plan.has_empty_subject(), &SubjectAltName(names))?,
        extension(EXTENDED_KEY_USAGE, false, &ExtendedKeyUsage(vec![SERVER_AUTH]))?,
    ];
    let list = urls.crl(&authority.name, crl::shard_of(&plan.serial, shards));
    extensions.extend(pointers(&list, urls.ocsp().as_deref(), &urls.certificate(&authority.name))?);
    let template = Template {
        serial: plan.serial,
        issuer: &authority.subject,
        not_before: plan.not_before.whole_second(),
        not_after: plan.not_after.whole_second(),
        subject: &subject(plan)?,
        spki: &plan.spki,
        extensions,
    };
    template.encode()
}

/// The attributes of the subject in the order of the other products' (`leaf`).
fn subject(plan: &LeafPlan) -> Result<Vec<u8>> {
    let text = |kind, text: &String| (kind, Tag::Utf8String, text.clone());
    let mut found = Vec::new();
    if let Some(subject) = &plan.subject {
        found.push((COUNTRY, Tag::PrintableString, subject.country.clone()));
        found.extend(subject.state.as_ref().map(|state| text(STATE, state)));
        found.extend(subject.locality.as_ref().map(|town| text(LOCALITY, town)));
        found.extend(subject.postal_code.as_ref().map(|code| text(POSTAL_CODE, code)));
        found.extend(subject.street.as_ref().map(|street| text(STREET, street)));
        found.push(text(ORGANIZATION, &subject.organisation));
    }
    found.extend(plan.common_name.as_ref().map(|common| text(COMMON_NAME, &common.to_string())));
    found.extend(plan.subject.iter().filter_map(|subject| subject.ev.as_ref()).flat_map(of_ev));
    name(&found.iter().map(|(kind, tag, text)| (*kind, *tag, text.as_str())).collect::<Vec<_>>())
}

fn of_ev(ev: &EvSubject) -> Vec<(ObjectIdentifier, Tag, String)> {
    let text = |kind, text: &String| (kind, Tag::Utf8String, text.clone());
    let mut found = vec![
        text(BUSINESS_CATEGORY, &ev.business_category),
        (JURISDICTION_COUNTRY, Tag::PrintableString, ev.jurisdiction_country.clone()),
    ];
    found.extend(ev.jurisdiction_state.as_ref().map(|state| text(JURISDICTION_STATE, state)));
    found.extend(ev.jurisdiction_locality.as_ref().map(|town| text(JURISDICTION_LOCALITY, town)));
    found.push((REGISTRATION_NUMBER, Tag::PrintableString, ev.registration_number.clone()));
    found
}

fn utf8(kind: ObjectIdentifier, text: &str) -> (ObjectIdentifier, Tag, &str) {
    (kind, Tag::Utf8String, text)
}

/// A distinguished name of these attributes, one in each relative name, DER.
fn name(attributes: &[(ObjectIdentifier, Tag, &str)]) -> Result<Vec<u8>> {
    let mut names = RdnSequence::default();
    for (oid, tag, text) in attributes {
        let value = Any::new(*tag, text.as_bytes()).map_err(Error::internal)?;
        let mut relative = RelativeDistinguishedName::default();
        relative.insert(AttributeTypeAndValue { oid: *oid, value }).map_err(Error::internal)?;
        names.push(relative);
    }
    octets(&names)
}

fn octets(value: &impl Encode) -> Result<Vec<u8>> {
    value.to_der().map_err(Error::internal)
}

fn extension(extn_id: ObjectIdentifier, critical: bool, value: &impl Encode) -> Result<Extension> {
    let extn_value = OctetString::new(octets(value)?).map_err(Error::internal)?;
    Ok(Extension { extn_id, critical, extn_value })
}

fn authority_key_identifier(identifier: &[u8]) -> Result<Extension> {
    let identifier = AuthorityKeyIdentifier {
        key_identifier: Some(OctetString::new(identifier).map_err(Error::internal)?),
        ..AuthorityKeyIdentifier::default()
    };
    extension(AUTHORITY_KEY_IDENTIFIER, false, &identifier)
}

fn subject_key_identifier(identifier: &[u8]) -> Result<Extension> {
    let identifier = SubjectKeyIdentifier(OctetString::new(identifier).map_err(Error::internal)?);
    extension(SUBJECT_KEY_IDENTIFIER, false, &identifier)
}

/// Where the list is that revokes it, and the certificate of its issuer.
fn pointers(list: &str, ocsp: Option<&str>, issuer: &str) -> Result<[Extension; 2]> {
    let described = |access_method, url| Ok(AccessDescription { access_method, access_location: uri(url)? });
    let responder = ocsp.map(|url| (OCSP, url));
    let access = responder.into_iter().chain([(CA_ISSUERS, issuer)]).map(|(method, url)| described(method, url));
    let access = access.collect::<Result<Vec<_>>>()?;
    Ok([
        extension(
            CRL_DISTRIBUTION_POINTS,
            false,
            &CrlDistributionPoints(vec![DistributionPoint {
                distribution_point: Some(DistributionPointName::FullName(vec![uri(list)?])),
                reasons: None,
                crl_issuer: None,
            }]),
        )?,
        extension(AUTHORITY_INFORMATION_ACCESS, false, &AuthorityInfoAccessSyntax(access))?,
    ])
}

fn uri(text: &str) -> Result<GeneralName> {
    Ok(GeneralName::UniformResourceIdentifier(Ia5String::new(text).map_err(Error::internal)?))
}

fn alternative_name(name: &Identifier) -> Result<GeneralName> {
    Ok(match name {
        Identifier::Dns(name) => GeneralName::DnsName(Ia5String::new(name.as_str()).map_err(Error::internal)?),
        Identifier::Ip(std::net::IpAddr::V4(ip)) => address(&ip.octets())?,
        Identifier::Ip(std::net::IpAddr::V6(ip)) => address(&ip.octets())?,
    })
}

fn address(octets: &[u8]) -> Result<GeneralName> {
    Ok(GeneralName::IpAddress(OctetString::new(octets).map_err(Error::internal)?))
}

/// RFC 5280 section 4.1.2.5: UTCTime through 2049, GeneralizedTime after that.
fn time(moment: Timestamp) -> Result<Vec<u8>> {
    let since = Duration::from_secs(moment.as_secs());
    let time = match UtcTime::from_unix_duration(since) {
        Ok(time) => Time::UtcTime(time),
        Err(_) => Time::GeneralTime(GeneralizedTime::from_unix_duration(since).map_err(Error::internal)?),
    };
    octets(&time)
}

/// A key pair and a request (RFC 2986) for these names; the first that fits is the common name.
pub(super) fn request(names: &[Identifier]) -> Result<Generated> {
    let private = Key::generate(KeyKind::Sm2).map_err(Error::internal)?;
    let key = Key::from_pkcs8(&private).ok_or_else(|| Error::internal("a key that was just made can't be read"))?;
    let common = names.iter().map(Identifier::to_string).find(|name| name.len() <= MAX_COMMON_NAME);
    let subject = name(&common.iter().map(|common| utf8(COMMON_NAME, common)).collect::<Vec<_>>())?;
    let names: Vec<GeneralName> = names.iter().map(alternative_name).collect::<Result<_>>()?;
    let extensions = octets(&vec![extension(SUBJECT_ALT_NAME, false, &SubjectAltName(names))?])?;
    let asked = der::encode(der::SEQUENCE, &[&octets(&EXTENSION_REQUEST)?, &der::encode(der::SET, &[&extensions])]);
    let version = [der::INTEGER, 1, 0];
    let info = der::encode(der::SEQUENCE, &[&version, &subject, &key.spki(), &der::encode(0xa0, &[&asked])]);
    Ok(Generated { csr: key.signed(&info)?, key: private })
}
