//! Delegated OCSP responders: a key in memory and a short-lived certificate for each issuer (RFC 6960 section 4.2.2.2,
//! Baseline Requirements 7.1.2.8).

use std::sync::Arc;

use aws_lc_rs::digest;
use time::OffsetDateTime;

use super::hierarchy::Authority;
use super::signer::{Key, KeyKind, Scheme};
use super::{Ca, MAX_COMMON_NAME, der, lint, ocsp};
use crate::domain::{Error, Result, Serial, Timestamp};

/// What a responder's common name ends in; what stands before it is the issuer's.
const SUFFIX: &str = " OCSP";

const COMMON_NAME: [u8; 3] = [0x55, 0x04, 0x03];
const PRINTABLE_STRING: u8 = 0x13;
const UTF8_STRING: u8 = 0x0c;

/// The octets of extensions as they stand in every responder's certificate.
const KEY_USAGE: [u8; 16] =
    [0x30, 0x0e, 0x06, 0x03, 0x55, 0x1d, 0x0f, 0x01, 0x01, 0xff, 0x04, 0x04, 0x03, 0x02, 0x07, 0x80];
const EXTENDED_KEY_USAGE: [u8; 21] = [
    0x30, 0x13, 0x06, 0x03, 0x55, 0x1d, 0x25, 0x04, 0x0c, 0x30, 0x0a, 0x06, 0x08, 0x2b, 0x06, 0x01, 0x05, 0x05, 0x07,
    0x03, 0x09,
];
const NO_CHECK: [u8; 17] =
    [0x30, 0x0f, 0x06, 0x09, 0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x30, 0x01, 0x05, 0x04, 0x02, 0x05, 0x00];
const SUBJECT_KEY_IDENTIFIER: [u8; 5] = [0x06, 0x03, 0x55, 0x1d, 0x0e];
const AUTHORITY_KEY_IDENTIFIER: [u8; 5] = [0x06, 0x03, 0x55, 0x1d, 0x23];

/// The kind of key that an issuer's responder has: that of the issuer's own, so that who can verify its certificates
/// can verify answers too.
#[derive(Debug, Clone, Copy)]
pub struct ResponderKeyKind(KeyKind);

/// A responder's private key. It is never written anywhere: a restart makes another.
pub struct ResponderKey(Key);

/// A responder that is to be certified.
pub struct ResponderPlan {
    /// The name of the intermediate that it will answer for.
    pub issuer: String,
    /// The recorded serial of its certificate.
    pub serial: Serial,
    /// Its key.
    pub key: ResponderKey,
    /// First second of its certificate's validity.
    pub not_before: Timestamp,
    /// Last second of it.
    pub not_after: Timestamp,
}

/// A responder's to-be-signed certificate that was linted; signing uses it up.
pub struct PreparedResponder {
    tbs: Vec<u8>,
    plan: ResponderPlan,
    authority: Arc<Authority>,
}

/// A responder that signs answers about the certificates of one issuer.
pub struct Responder {
    key: Key,
    key_hash: Vec<u8>,
    certificate: Vec<u8>,
    not_after: Timestamp,
}

impl ResponderKeyKind {
    /// Makes a key, which takes its time for RSA.
    pub fn generate(self) -> Result<ResponderKey> {
        let der = Key::generate(self.0).map_err(Error::internal)?;
        Key::from_pkcs8(&der).map(ResponderKey).ok_or_else(|| Error::internal("a key just made cannot be read"))
    }
}

impl Ca {
    /// Whether leaves name the OCSP responder.
    pub fn names_responder(&self) -> bool {
        self.settings.ocsp
    }

    /// The kind of key for the responder of the intermediate of that name.
    pub fn responder_key_kind(&self, issuer: &str) -> Result<ResponderKeyKind> {
        Ok(ResponderKeyKind(match self.status_authority(issuer)?.key.scheme() {
            Scheme::EcdsaSha256 | Scheme::EcdsaSha384 => KeyKind::P256,
            // A key for two weeks needs no more, however long the issuer's is, and signs in a fifth of the time.
            Scheme::RsaSha256 => KeyKind::Rsa(2048),
            Scheme::Sm2WithSm3 => KeyKind::Sm2,
        }))
    }

    /// Last second that the certificate of a responder of that intermediate may be valid.
    pub fn responder_end(&self, issuer: &str) -> Result<Timestamp> {
        Ok(self.status_authority(issuer)?.not_after)
    }

    /// Builds a responder's to-be-signed certificate and lints it by an independent parse.
    pub fn prepare_responder(&self, plan: ResponderPlan) -> Result<PreparedResponder> {
        let authority = self.status_authority(&plan.issuer)?.clone();
        let tbs = build(&plan, &authority)?;
        lint::responder::check(&tbs, &plan, &authority).map_err(Error::internal)?;
        Ok(PreparedResponder { tbs, plan, authority })
    }

    /// Signs what was prepared: exactly those octets.
    pub fn certify_responder(&self, prepared: PreparedResponder) -> Result<Responder> {
        let PreparedResponder { tbs, plan, authority } = prepared;
        let certificate = authority.key.signed(&tbs)?;
        let key = plan.key.0;
        let spki = key.spki();
        // RFC 6960 section 4.2.1: a KeyHash is SHA-1, whatever else is.
        let hash = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, ocsp::key_bits(&spki));
        Ok(Responder { key, key_hash: hash.as_ref().to_vec(), certificate, not_after: plan.not_after })
    }

    fn status_authority(&self, issuer: &str) -> Result<&Arc<Authority>> {
        let found = self.intermediates.iter().find(|authority| authority.name == issuer);
        found.ok_or_else(|| Error::internal(format!("there is no intermediate \"{issuer}\"")))
    }
}

impl ResponderPlan {
    /// Its SubjectPublicKeyInfo, DER.
    pub(super) fn spki(&self) -> Vec<u8> {
        self.key.0.spki()
    }
}

impl Responder {
    /// Its certificate, DER.
    pub fn certificate(&self) -> &[u8] {
        &self.certificate
    }

    /// Last second that answers signed by it may hold.
    pub fn not_after(&self) -> Timestamp {
        self.not_after
    }

    /// How answers name it: SHA-1 of its public key.
    pub(super) fn key_hash(&self) -> &[u8] {
        &self.key_hash
    }

    /// Its key.
    pub(super) fn key(&self) -> &Key {
        &self.key
    }
}

/// The TBSCertificate of a responder (CABF-OCS-07), DER.
fn build(plan: &ResponderPlan, authority: &Authority) -> Result<Vec<u8>> {
    let sequence = |parts: &[&[u8]]| der::encode(der::SEQUENCE, parts);
    let extension = |name: &[u8], value: &[u8]| sequence(&[name, &der::encode(der::OCTET_STRING, &[value])]);
    let issuer_key = sequence(&[&der::encode(0x80, &[&authority.key_identifier])]);
    let own_key = der::encode(der::OCTET_STRING, &[&plan.key.0.identifier()]);
    let extensions = sequence(&[
        &extension(&AUTHORITY_KEY_IDENTIFIER, &issuer_key),
        &extension(&SUBJECT_KEY_IDENTIFIER, &own_key),
        &KEY_USAGE,
        &EXTENDED_KEY_USAGE,
        &NO_CHECK,
    ]);
    let subject = subject(&authority.subject).ok_or_else(|| Error::internal("an issuer's subject cannot be read"))?;
    Ok(sequence(&[
        &[0xa0, 0x03, der::INTEGER, 0x01, 0x02],
        &der::encode(der::INTEGER, &[plan.serial.as_bytes()]),
        authority.key.scheme().identifier(),
        &authority.subject,
        &sequence(&[&time(plan.not_before), &time(plan.not_after)]),
        &subject,
        &plan.spki(),
        &der::encode(0xa3, &[&extensions]),
    ]))
}

/// The issuer's subject with a common name of the responder's own in the place of the issuer's.
fn subject(issuer: &[u8]) -> Option<Vec<u8>> {
    let mut rest = der::only(issuer, der::SEQUENCE)?;
    let (mut others, mut base) = (Vec::new(), "");
    while !rest.is_empty() {
        let (relative, after) = der::take(rest)?;
        rest = after;
        match common_name(relative) {
            Some(name) => base = name,
            None => others.extend_from_slice(relative.whole),
        }
    }
    let name: String = base.chars().take(MAX_COMMON_NAME - SUFFIX.len()).chain(SUFFIX.chars()).collect();
    let name = if base.is_empty() { SUFFIX.trim_start() } else { &name };
    let kind = der::encode(der::OBJECT_IDENTIFIER, &[&COMMON_NAME]);
    let value = der::encode(UTF8_STRING, &[name.as_bytes()]);
    let relative = der::encode(der::SET, &[&der::encode(der::SEQUENCE, &[&kind, &value])]);
    Some(der::encode(der::SEQUENCE, &[&others, &relative]))
}

/// The text of a relative name that is a common name and nothing else; empty where it is in no form that is read here.
fn common_name(relative: der::Element<'_>) -> Option<&str> {
    let [kind, value] = der::elements(der::only(relative.content, der::SEQUENCE)?)?;
    let is_name = relative.tag == der::SET && kind.tag == der::OBJECT_IDENTIFIER && kind.content == COMMON_NAME;
    let is_text = matches!(value.tag, PRINTABLE_STRING | UTF8_STRING);
    is_name.then(|| std::str::from_utf8(value.content).ok().filter(|_| is_text).unwrap_or_default())
}

/// RFC 5280 section 4.1.2.5: UTCTime through 2049, GeneralizedTime after that.
fn time(moment: Timestamp) -> Vec<u8> {
    let t: OffsetDateTime = moment.to_offset();
    let rest = format!("{:02}{:02}{:02}{:02}{:02}Z", u8::from(t.month()), t.day(), t.hour(), t.minute(), t.second());
    let (tag, text) = match t.year() {
        ..2050 => (0x17, format!("{:02}{rest}", t.year() % 100)),
        year => (0x18, format!("{year:04}{rest}")),
    };
    der::encode(tag, &[text.as_bytes()])
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::ca::Settings;

    const NOW: Timestamp = Timestamp::from_secs(1_795_262_400);

    fn plan(ca: &Ca) -> ResponderPlan {
        ResponderPlan {
            issuer: "chancery".to_owned(),
            serial: Serial::random(),
            key: ca.responder_key_kind("chancery").unwrap().generate().unwrap(),
            not_before: NOW,
            not_after: NOW + Duration::from_secs(14 * 86_400),
        }
    }

    #[test]
    fn no_octet_is_signed_that_is_not_of_the_plan() {
        let directory = tempfile::tempdir().unwrap();
        let settings = Settings { rsa_issuers: false, issuers: vec!["chancery".to_owned()], ..Settings::default() };
        let ca = Ca::open(&directory.path().join("keys"), &settings, "http://ca.test", NOW).unwrap();
        let authority = ca.status_authority("chancery").unwrap();
        let good = plan(&ca);
        let tbs = build(&good, authority).unwrap();
        assert!(lint::responder::check(&tbs, &good, authority).is_ok());
        for at in 0..tbs.len() {
            for flip in [0x01, 0x80] {
                let mut changed = tbs.clone();
                changed[at] ^= flip;
                assert!(lint::responder::check(&changed, &good, authority).is_err(), "octet {at} ^ {flip}");
            }
        }
        for cut in [&tbs[..tbs.len() - 1], &[&tbs[..], &[0]].concat()] {
            assert!(lint::responder::check(cut, &good, authority).is_err());
        }
        // Another plan than the one it was built from; one that outlives its issuer; one that ends before it begins.
        assert!(lint::responder::check(&tbs, &plan(&ca), authority).is_err());
        let beyond = authority.not_after + Duration::from_secs(1);
        assert!(ca.prepare_responder(ResponderPlan { not_after: beyond, ..plan(&ca) }).is_err());
        assert!(ca.prepare_responder(ResponderPlan { not_after: NOW, ..plan(&ca) }).is_err());
        assert!(ca.prepare_responder(ResponderPlan { issuer: "root".to_owned(), ..plan(&ca) }).is_err());
    }

    #[test]
    fn long_and_missing_common_names_become_names_of_responders() {
        let relative = |kind: &[u8], value: &str| {
            let kind = der::encode(der::OBJECT_IDENTIFIER, &[kind]);
            let value = der::encode(UTF8_STRING, &[value.as_bytes()]);
            der::encode(der::SET, &[&der::encode(der::SEQUENCE, &[&kind, &value])])
        };
        let organisation = relative(&[0x55, 0x04, 0x0a], "Chancery");
        for (issuer, own) in [
            ("Chancery TLS CA 1".to_owned(), "Chancery TLS CA 1 OCSP".to_owned()),
            ("\u{4e2d}".repeat(64), "\u{4e2d}".repeat(59) + " OCSP"),
            (String::new(), "OCSP".to_owned()),
        ] {
            let name = der::encode(der::SEQUENCE, &[&organisation, &relative(&COMMON_NAME, &issuer)]);
            let expected = der::encode(der::SEQUENCE, &[&organisation, &relative(&COMMON_NAME, &own)]);
            assert_eq!(subject(&name), Some(expected));
        }
        let without = der::encode(der::SEQUENCE, &[&organisation]);
        let expected = der::encode(der::SEQUENCE, &[&organisation, &relative(&COMMON_NAME, "OCSP")]);
        assert_eq!(subject(&without), Some(expected));
    }
}
