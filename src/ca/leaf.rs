//! The profile of server certificates: from a plan to the to-be-signed certificate (Baseline Requirements 7.1.2.7).

use rcgen::{
    CertificateParams, CrlDistributionPoint, CustomExtension, DistinguishedName, DnType, DnValue,
    ExtendedKeyUsagePurpose, IsCa, KeyIdMethod, KeyUsagePurpose, SanType, SubjectPublicKeyInfo,
};

use super::hierarchy::Authority;
use super::spki::PublicKey;
use super::{LeafPlan, Urls, crl, der, signer};
use crate::domain::{Error, Identifier, Result};

/// Baseline Requirements 7.1.6.1: domain, organisation and extended validated.
const DOMAIN_VALIDATED: &[u64] = &[2, 23, 140, 1, 2, 1];
const ORGANIZATION_VALIDATED: &[u64] = &[2, 23, 140, 1, 2, 2];
const EXTENDED_VALIDATED: &[u64] = &[2, 23, 140, 1, 1];

/// Attributes of subjects that the certificate builder has no names for.
const POSTAL_CODE: &[u64] = &[2, 5, 4, 17];
const STREET_ADDRESS: &[u64] = &[2, 5, 4, 9];
const BUSINESS_CATEGORY: &[u64] = &[2, 5, 4, 15];
const SERIAL_NUMBER: &[u64] = &[2, 5, 4, 5];
const JURISDICTION_LOCALITY: &[u64] = &[1, 3, 6, 1, 4, 1, 311, 60, 2, 1, 1];
const JURISDICTION_STATE: &[u64] = &[1, 3, 6, 1, 4, 1, 311, 60, 2, 1, 2];
const JURISDICTION_COUNTRY: &[u64] = &[1, 3, 6, 1, 4, 1, 311, 60, 2, 1, 3];

const AUTHORITY_INFORMATION_ACCESS: [u64; 9] = [1, 3, 6, 1, 5, 5, 7, 1, 1];
const OCSP: [u64; 9] = [1, 3, 6, 1, 5, 5, 7, 48, 1];
const CA_ISSUERS: [u64; 9] = [1, 3, 6, 1, 5, 5, 7, 48, 2];
const CERTIFICATE_POLICIES: [u64; 4] = [2, 5, 29, 32];

/// Builds the TBSCertificate for a plan, DER.
pub(super) fn build(plan: &LeafPlan, authority: &Authority, urls: &Urls, shards: u16) -> Result<Vec<u8>> {
    let key = SubjectPublicKeyInfo::from_der(&plan.spki).map_err(Error::internal)?;
    let params = params(plan, authority, urls, shards)?;
    let unsigned = authority.unsigned.as_ref();
    let unsigned = unsigned.ok_or_else(|| Error::internal("an SM2 issuer signs no certificate of this profile"))?;
    let certificate = params.signed_by(&key, unsigned).map_err(Error::internal)?;
    let tbs = der::only(certificate.der(), der::SEQUENCE).and_then(der::take).map(|(tbs, _)| tbs.whole.to_vec());
    tbs.ok_or_else(|| Error::internal("the certificate builder wrote no certificate"))
}

/// The DV, OV and EV profiles, CABF-SUB-01 to -21, CABF-OVE-01 and -02. subjectKeyIdentifier is not recommended there, but RFC 5280 section 4.2.1.2
/// wants it and our users asked for it.
fn params(plan: &LeafPlan, authority: &Authority, urls: &Urls, shards: u16) -> Result<CertificateParams> {
    let mut params = CertificateParams::default();
    params.serial_number = Some(plan.serial.as_bytes().to_vec().into());
    params.not_before = plan.not_before.whole_second().to_offset();
    params.not_after = plan.not_after.whole_second().to_offset();
    params.distinguished_name = distinguished_name(plan)?;
    params.subject_alt_names = plan.names.iter().map(alternative_name).collect::<Result<_>>()?;
    // CABF-SUB-15: keyEncipherment goes with RSA alone.
    params.key_usages = match plan.key.is_rsa() {
        true => vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment],
        false => vec![KeyUsagePurpose::DigitalSignature],
    };
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.is_ca = IsCa::ExplicitNoCa;
    params.use_authority_key_identifier_extension = true;
    let identifier = signer::key_identifier(PublicKey::read(&plan.spki)?.bits);
    params.key_identifier_method = KeyIdMethod::PreSpecified(identifier);
    let crl = urls.crl(&authority.name, crl::shard_of(&plan.serial, shards));
    params.crl_distribution_points = vec![CrlDistributionPoint { uris: vec![crl] }];
    let access = authority_information_access(urls.ocsp().as_deref(), &urls.certificate(&authority.name));
    params.custom_extensions = vec![access, certificate_policies(policy(plan))];
    Ok(params)
}

/// The subject: its attributes in the order of Baseline Requirements 7.1.4.2, one in each relative name (CABF-SUB-09).
fn distinguished_name(plan: &LeafPlan) -> Result<DistinguishedName> {
    let mut name = DistinguishedName::new();
    if let Some(subject) = &plan.subject {
        name.push(DnType::CountryName, printable(&subject.country)?);
        let texts = [
            (DnType::StateOrProvinceName, subject.state.as_ref()),
            (DnType::LocalityName, subject.locality.as_ref()),
            (DnType::from_oid(POSTAL_CODE), subject.postal_code.as_ref()),
            (DnType::from_oid(STREET_ADDRESS), subject.street.as_ref()),
            (DnType::OrganizationName, Some(&subject.organisation)),
        ];
        push_texts(&mut name, texts);
    }
    if let Some(common) = &plan.common_name {
        name.push(DnType::CommonName, common.to_string());
    }
    if let Some(ev) = plan.subject.as_ref().and_then(|subject| subject.ev.as_ref()) {
        name.push(DnType::from_oid(BUSINESS_CATEGORY), ev.business_category.clone());
        name.push(DnType::from_oid(JURISDICTION_COUNTRY), printable(&ev.jurisdiction_country)?);
        let texts = [
            (DnType::from_oid(JURISDICTION_STATE), ev.jurisdiction_state.as_ref()),
            (DnType::from_oid(JURISDICTION_LOCALITY), ev.jurisdiction_locality.as_ref()),
        ];
        push_texts(&mut name, texts);
        name.push(DnType::from_oid(SERIAL_NUMBER), printable(&ev.registration_number)?);
    }
    Ok(name)
}

fn push_texts<const N: usize>(name: &mut DistinguishedName, texts: [(DnType, Option<&String>); N]) {
    for (kind, text) in texts {
        if let Some(text) = text {
            name.push(kind, text.clone());
        }
    }
}

fn printable(text: &str) -> Result<DnValue> {
    Ok(DnValue::PrintableString(text.try_into().map_err(Error::internal)?))
}

/// CABF-SUB-13: exactly one of the reserved policies.
fn policy(plan: &LeafPlan) -> &'static [u64] {
    match &plan.subject {
        None => DOMAIN_VALIDATED,
        Some(subject) if subject.ev.is_none() => ORGANIZATION_VALIDATED,
        Some(_) => EXTENDED_VALIDATED,
    }
}

fn alternative_name(name: &Identifier) -> Result<SanType> {
    Ok(match name {
        Identifier::Dns(name) => SanType::DnsName(name.as_str().try_into().map_err(Error::internal)?),
        Identifier::Ip(ip) => SanType::IpAddress(*ip),
    })
}

/// authorityInfoAccess with `ocsp`, where that is said, and `caIssuers` (CABF-SUB-17).
pub(super) fn authority_information_access(ocsp: Option<&str>, issuer: &str) -> CustomExtension {
    let content = yasna::construct_der(|writer| {
        writer.write_sequence(|writer| {
            for (method, url) in ocsp.map(|url| (&OCSP, url)).into_iter().chain([(&CA_ISSUERS, issuer)]) {
                writer.next().write_sequence(|writer| {
                    writer.next().write_oid(&yasna::models::ObjectIdentifier::from_slice(method));
                    let uri = yasna::Tag::context(6);
                    writer.next().write_tagged_implicit(uri, |writer| writer.write_ia5_string(url));
                });
            }
        });
    });
    CustomExtension::from_oid_content(&AUTHORITY_INFORMATION_ACCESS, content)
}

/// certificatePolicies with one policy and no qualifiers (CABF-SUB-13).
pub(super) fn certificate_policies(policy: &[u64]) -> CustomExtension {
    let content = yasna::construct_der(|writer| {
        writer.write_sequence(|writer| {
            writer.next().write_sequence(|writer| {
                writer.next().write_oid(&yasna::models::ObjectIdentifier::from_slice(policy));
            });
        });
    });
    CustomExtension::from_oid_content(&CERTIFICATE_POLICIES, content)
}
