//! Certificates of the CA itself: built without a signature, linted by an independent parse, and only then signed, once each.

use rcgen::{CertificateParams, DnType, DnValue, PublicKeyData, SignatureAlgorithm, SigningKey};

use super::{
    AUTHORITY_INFORMATION_ACCESS, AUTHORITY_KEY_IDENTIFIER, BASIC_CONSTRAINTS, CA_ISSUERS, CERTIFICATE_POLICIES,
    CRL_DISTRIBUTION_POINTS, EXTENDED_KEY_USAGE, KEY_USAGE, SERVER_AUTH, SUBJECT_KEY_IDENTIFIER,
};
use super::{Expected, Fault, Fields, compare, ensure, fault, signature_of};
use crate::ca::hierarchy::Authority;
use crate::ca::signer::{Key, key_identifier};
use crate::ca::spki::PublicKey;
use crate::ca::{MAX_COMMON_NAME, Refusal, Settings, Urls, der};
use crate::domain::Timestamp;
use crate::domain::country;

const UTF8_STRING: u8 = 0x0c;
const PRINTABLE_STRING: u8 = 0x13;

/// SEQUENCE { SEQUENCE { anyPolicy } }.
const ANY_POLICY: [u8; 10] = [0x30, 0x08, 0x30, 0x06, 0x06, 0x04, 0x55, 0x1d, 0x20, 0x00];
/// BIT STRING keyCertSign, cRLSign.
const SIGNS_CERTIFICATES_AND_CRLS: [u8; 4] = [0x03, 0x02, 0x01, 0x06];
/// cA TRUE; the same with pathLenConstraint 0.
const CA: [u8; 5] = [0x30, 0x03, 0x01, 0x01, 0xff];
const CA_OF_LEAVES: [u8; 8] = [0x30, 0x06, 0x01, 0x01, 0xff, 0x02, 0x01, 0x00];

/// CABF-SCA-03 (Baseline Requirements 7.1.2.1.1), in days.
const ROOT_DAYS: std::ops::RangeInclusive<u64> = 2922..=9132;
const DAY: u64 = 86_400;

/// Whose certificate it is, and where it stands.
pub(in crate::ca) struct Place<'a> {
    /// The key that is certified.
    pub(in crate::ca) key: &'a Key,
    /// The root that signs it; none for a root itself.
    pub(in crate::ca) root: Option<&'a Authority>,
    /// Whether it is a root too whose key is certified: then any number of CAs may stand below it.
    pub(in crate::ca) links: bool,
    pub(in crate::ca) settings: &'a Settings,
    pub(in crate::ca) urls: &'a Urls,
    pub(in crate::ca) now: Timestamp,
}

/// Says which key it is, and signs nothing.
struct StandIn<'k>(&'k Key);

/// Makes the certificate, DER: what is signed are the octets that were linted (CABF-LNT-01, -02).
pub(in crate::ca) fn issue(params: &CertificateParams, place: &Place<'_>) -> Result<Vec<u8>, Refusal> {
    let unsigned = match place.root {
        None => params.self_signed(&StandIn(place.key))?,
        Some(root) => {
            let issuer = root.unsigned.as_ref().ok_or("an SM2 root certifies SM2 intermediates alone")?;
            params.signed_by(place.key, issuer)?
        }
    };
    let tbs = der::only(unsigned.der(), der::SEQUENCE).and_then(der::take).map(|(tbs, _)| tbs.whole);
    let tbs = tbs.ok_or("the certificate builder wrote no certificate")?;
    check(tbs, params, place)?;
    let signer = place.root.map_or(place.key, |root| &root.key);
    Ok(signer.signed(tbs)?)
}

/// Checks the TBSCertificate of a root or an intermediate against what was planned, and the plan against the Baseline
/// Requirements (CABF-SCA-01 to -07).
pub(super) fn check(tbs: &[u8], params: &CertificateParams, place: &Place<'_>) -> Result<(), Fault> {
    let spki = place.key.spki();
    let Ok(key) = PublicKey::read(&spki) else {
        return fault("authority_key", "the key is of no accepted kind");
    };
    ensure(key.check_strength().is_ok(), "authority_key", "the key is known to be weak")?;
    let serial = params.serial_number.as_ref().map(|serial| serial.to_bytes()).unwrap_or_default();
    // CABF-SCA-01: as `Serial` makes them.
    let made_here = serial.len() == 20 && serial[0] & 0xc0 == 0x40;
    ensure(made_here, "authority_serial", "the serial was not made by this CA")?;
    let (not_before, not_after) = validity(params, place)?;
    let subject = subject(params, place.settings)?;
    let issuer = place.root.map_or(subject.as_slice(), |root| &root.subject);
    let own_name = place.root.is_some() && issuer == subject.as_slice();
    ensure(!own_name, "authority_subject", "an intermediate has the name of its root")?;
    let fields = Fields {
        serial: der::encode(der::INTEGER, &[&serial]),
        signature: signature_of(place.root.map_or(&spki, |root| &root.spki))?,
        issuer,
        not_before,
        not_after,
        subject: subject.clone(),
        spki: &spki,
    };
    compare(tbs, &fields, &extensions(key, place)?)
}

/// First and last second, within what the Baseline Requirements and the issuer leave.
fn validity(params: &CertificateParams, place: &Place<'_>) -> Result<(Timestamp, Timestamp), Fault> {
    let seconds = |moment: time::OffsetDateTime| u64::try_from(moment.unix_timestamp()).unwrap_or(0);
    let (from, to) = (seconds(params.not_before), seconds(params.not_after));
    let now = place.now.as_secs();
    // CABF-SCA-01: at most a day before it is signed; nor does it begin later.
    ensure(from <= now && now - from <= DAY, "authority_validity_start", "notBefore is not the day of its signature")?;
    ensure(from < to, "authority_validity_order", "it ends before it begins")?;
    match place.root {
        None => {
            let within = ROOT_DAYS.contains(&(to + 1 - from).div_ceil(DAY));
            ensure(within, "root_validity", "a root is valid for 2922 to 9132 days")?;
        }
        Some(root) => {
            let within = to <= root.not_after.as_secs();
            ensure(within, "authority_validity_within_root", "it would end after its root")?;
        }
    }
    Ok((Timestamp::from_secs(from), Timestamp::from_secs(to)))
}

/// CABF-SCA-02: country, organisation and common name, and nothing else.
fn subject(params: &CertificateParams, settings: &Settings) -> Result<Vec<u8>, Fault> {
    let common_name = match params.distinguished_name.get(&DnType::CommonName) {
        Some(DnValue::Utf8String(text)) => text.as_str(),
        _ => return fault("authority_subject", "there is no common name"),
    };
    let fits = |text: &str| (1..=MAX_COMMON_NAME).contains(&text.chars().count()) && text.trim() == text;
    let named = common_name.starts_with(&settings.organization) && fits(common_name) && fits(&settings.organization);
    ensure(named, "authority_subject", "organisation or common name are empty, too long, or do not go together")?;
    ensure(country::is_assigned(&settings.country), "authority_country", "the country is none of ISO 3166-1")?;
    let attribute = |kind: u8, tag: u8, text: &str| {
        let kind = der::encode(der::OBJECT_IDENTIFIER, &[&[0x55, 0x04, kind]]);
        let text = der::encode(tag, &[text.as_bytes()]);
        der::encode(der::SET, &[&der::encode(der::SEQUENCE, &[&kind, &text])])
    };
    let (country, organisation) = (settings.country.as_str(), settings.organization.as_str());
    let names = [
        attribute(6, PRINTABLE_STRING, country),
        attribute(10, UTF8_STRING, organisation),
        attribute(3, UTF8_STRING, common_name),
    ];
    Ok(der::encode(der::SEQUENCE, &[&names.concat()]))
}

/// The extensions of the profiles: CABF-SCA-04 of a root, CABF-SCA-05 to -07 of an intermediate.
fn extensions(key: PublicKey<'_>, place: &Place<'_>) -> Result<Vec<Expected>, Fault> {
    let sequence = |content: &[u8]| der::encode(der::SEQUENCE, &[content]);
    let expected = |lint, name, critical, value| Expected { lint, name, critical, value };
    let own = key_identifier(key.bits);
    let above = place.root.map_or(own.as_slice(), |root| &root.key_identifier);
    let differ = place.root.is_none() || own != above;
    ensure(differ, "authority_key_identifier", "an intermediate has the key of its root")?;
    let constraints = if place.root.is_none() || place.links { CA.to_vec() } else { CA_OF_LEAVES.to_vec() };
    let above = sequence(&der::encode(0x80, &[above]));
    let mut wanted = vec![
        expected("authority_key_identifier", AUTHORITY_KEY_IDENTIFIER, false, above),
        expected("subject_key_identifier", SUBJECT_KEY_IDENTIFIER, false, der::encode(der::OCTET_STRING, &[&own])),
        expected("key_usage", KEY_USAGE, true, SIGNS_CERTIFICATES_AND_CRLS.to_vec()),
        expected("basic_constraints", BASIC_CONSTRAINTS, true, constraints),
    ];
    if let Some(root) = place.root {
        let crl = place.urls.crl(&root.name, 0);
        let point = der::encode(0xa0, &[&der::encode(0xa0, &[&der::encode(0x86, &[crl.as_bytes()])])]);
        let issuer = der::encode(0x86, &[place.urls.certificate(&root.name).as_bytes()]);
        let access = sequence(&sequence(&[&CA_ISSUERS[..], &issuer].concat()));
        wanted.extend([
            expected("extended_key_usage", EXTENDED_KEY_USAGE, false, SERVER_AUTH.to_vec()),
            expected("crl_distribution_points", CRL_DISTRIBUTION_POINTS, false, sequence(&sequence(&point))),
            expected("certificate_policies", CERTIFICATE_POLICIES, false, ANY_POLICY.to_vec()),
            expected("authority_information_access", AUTHORITY_INFORMATION_ACCESS, false, access),
        ]);
    }
    Ok(wanted)
}

impl PublicKeyData for StandIn<'_> {
    fn der_bytes(&self) -> &[u8] {
        self.0.der_bytes()
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        PublicKeyData::algorithm(self.0)
    }
}

impl SigningKey for StandIn<'_> {
    fn sign(&self, _: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        Ok(vec![0])
    }
}

#[cfg(test)]
mod tests;
