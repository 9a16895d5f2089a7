//! The Online Certificate Status Protocol: requests are read, answers are written and signed (RFC 6960, RFC 9919, RFC 9654).
//!
//! Everything is read by one walk over the octets: no recursion, and nothing longer or more than the bounds below.

use std::sync::Arc;

use aws_lc_rs::digest;
use time::OffsetDateTime;

use super::hierarchy::Authority;
use super::responders::Responder;
use super::{Ca, der};
use crate::domain::certificate::RevocationReason;
use crate::domain::{Error, Result, Timestamp};

/// Most octets of a request: twenty certificates by SHA-256 and the longest nonce fit.
pub const MAX_REQUEST: usize = 4096;

/// Most certificates that one request may ask about.
pub const MAX_CERTIFICATES: usize = 20;

/// Most extensions in one place of a request, and the longest nonce (RFC 9654 section 2.1).
const MAX_EXTENSIONS: usize = 16;
const MAX_NONCE: usize = 128;

/// Longest serial that is looked at; RFC 5280 section 4.1.2.2 allows 20 octets.
const MAX_SERIAL: usize = 32;

const BOOLEAN: u8 = 0x01;
const NULL: [u8; 2] = [0x05, 0x00];
const ENUMERATED: u8 = 0x0a;
const GENERALIZED_TIME: u8 = 0x18;

/// Object identifiers, their contents: the hashes of CertID, and what stands below id-pkix-ocsp (1.3.6.1.5.5.7.48.1).
const SHA1: [u8; 5] = [0x2b, 0x0e, 0x03, 0x02, 0x1a];
const SHA256: [u8; 9] = [0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01];
const BASIC: [u8; 9] = [0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x30, 0x01, 0x01];
const NONCE: [u8; 9] = [0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x30, 0x01, 0x02];
/// Acceptable responses, service locator, preferred signature algorithms: understood, and without effect here.
const WITHOUT_EFFECT: [[u8; 9]; 3] = [
    [0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x30, 0x01, 0x04],
    [0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x30, 0x01, 0x07],
    [0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x30, 0x01, 0x08],
];

/// A request for the status of certificates (OCSPRequest, RFC 6960 section 4.1.1). Its signature, if it has one, is not
/// looked at: who asks makes no difference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The certificates, one at least, `MAX_CERTIFICATES` at most.
    pub certificates: Vec<CertId>,
    /// What the answer has to show back, 1 to 128 octets (RFC 9654).
    pub nonce: Option<Vec<u8>>,
}

/// How a request names a certificate (CertID, RFC 6960 section 4.1.1).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CertId {
    whole: Vec<u8>,
    hash: Hash,
    name_hash: Vec<u8>,
    key_hash: Vec<u8>,
    serial: Vec<u8>,
}

/// By which digest a request names the issuer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Hash {
    Sha1,
    Sha256,
    Other,
}

/// What is wrong with the octets of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed(&'static str);

/// Where a certificate stands (CertStatus, RFC 6960 section 2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// It was issued, and is not revoked.
    Good,
    /// It was withdrawn.
    Revoked {
        /// When.
        at: Timestamp,
        /// Why.
        reason: RevocationReason,
    },
    /// The issuer gave out no certificate of that serial.
    Unknown,
}

/// Answers without a signature (OCSPResponseStatus, RFC 6960 section 4.2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The request is not one.
    MalformedRequest = 1,
    /// Something failed here.
    InternalError = 2,
    /// It can be answered a little later.
    TryLater = 3,
    /// The certificates are not of an issuer that is answered for here (RFC 9919 section 3.2.3).
    Unauthorized = 6,
}

/// From when to when an answer holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// When it was known, and signed.
    pub this_update: Timestamp,
    /// When there will be a newer one at the latest.
    pub next_update: Timestamp,
}

/// How requests name each of the intermediates.
pub(super) struct Issuers(Vec<IssuerHashes>);

struct IssuerHashes {
    name: String,
    sha1: [digest::Digest; 2],
    sha256: [digest::Digest; 2],
}

impl std::fmt::Display for Malformed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "no OCSPRequest in DER: {}", self.0)
    }
}

impl std::error::Error for Malformed {}

impl Request {
    /// Reads a request, strictly: DER and nothing behind it, within the bounds of this module, no critical extension
    /// that is not known here (RFC 6960 section 4.4).
    pub fn parse(octets: &[u8]) -> std::result::Result<Self, Malformed> {
        if octets.len() > MAX_REQUEST {
            return Err(Malformed("it is too long"));
        }
        let mut request = Parts(der::only(octets, der::SEQUENCE).ok_or(Malformed("it is not one SEQUENCE"))?);
        let mut tbs = request.sequence("there is no TBSRequest")?;
        request.optional(0xa0);
        request.end("something follows the signature")?;
        // DER leaves the default out, yet some clients write it.
        if tbs.optional(0xa0).is_some_and(|version| version != [der::INTEGER, 1, 0]) {
            return Err(Malformed("its version is not 1"));
        }
        tbs.optional(0xa1);
        let mut list = tbs.sequence("there is no list of requests")?;
        let mut nonce = None;
        for extension in tbs.extensions(0xa2)? {
            match extension.name == NONCE {
                true if nonce.is_some() => return Err(Malformed("it has two nonces")),
                true => nonce = Some(read_nonce(extension.value)?),
                false => extension.check()?,
            }
        }
        tbs.end("something follows the extensions")?;
        let mut certificates = Vec::new();
        while !list.0.is_empty() {
            if certificates.len() == MAX_CERTIFICATES {
                return Err(Malformed("it asks about too many certificates"));
            }
            let mut single = list.sequence("there is no Request in its list")?;
            certificates.push(CertId::read(&mut single)?);
            single.extensions(0xa0)?.iter().try_for_each(Extension::check)?;
            single.end("something follows the extensions of a certificate")?;
        }
        if certificates.is_empty() {
            return Err(Malformed("it asks about no certificate"));
        }
        Ok(Self { certificates, nonce })
    }
}

impl CertId {
    fn read(parts: &mut Parts<'_>) -> std::result::Result<Self, Malformed> {
        let no_id = Malformed("there is no CertID");
        let (element, rest) = der::take(parts.0).filter(|(element, _)| element.tag == der::SEQUENCE).ok_or(no_id)?;
        parts.0 = rest;
        let [algorithm, name, key, serial] = der::elements(element.content).ok_or(no_id)?;
        let tags = [algorithm.tag, name.tag, key.tag, serial.tag];
        if tags != [der::SEQUENCE, der::OCTET_STRING, der::OCTET_STRING, der::INTEGER] {
            return Err(no_id);
        }
        let (hash, octets) = match der::take(algorithm.content) {
            Some((name, parameters)) if name.tag == der::OBJECT_IDENTIFIER => match name.content {
                known if known == SHA1 && (parameters.is_empty() || parameters == NULL) => (Hash::Sha1, Some(20)),
                known if known == SHA256 && (parameters.is_empty() || parameters == NULL) => (Hash::Sha256, Some(32)),
                _ => (Hash::Other, None),
            },
            _ => return Err(Malformed("there is no hash algorithm")),
        };
        if octets.is_some_and(|octets| name.content.len() != octets || key.content.len() != octets) {
            return Err(Malformed("the hashes are not as long as their algorithm makes them"));
        }
        // X.690 section 8.3.2: the first nine bits are not all the same.
        let is_shortest = match serial.content {
            [] => false,
            [0, next, ..] => *next >= 0x80,
            [0xff, next, ..] => *next < 0x80,
            _ => true,
        };
        if !is_shortest || serial.content.len() > MAX_SERIAL {
            return Err(Malformed("the serial is no INTEGER in its shortest form, or too long"));
        }
        Ok(Self {
            whole: element.whole.to_vec(),
            hash,
            name_hash: name.content.to_vec(),
            key_hash: key.content.to_vec(),
            serial: serial.content.to_vec(),
        })
    }

    /// The content octets of the serial's INTEGER.
    pub fn serial(&self) -> &[u8] {
        &self.serial
    }
}

/// Elements that are yet to be read.
struct Parts<'a>(&'a [u8]);

/// An extension of a request.
struct Extension<'a> {
    name: &'a [u8],
    critical: bool,
    value: &'a [u8],
}

impl<'a> Parts<'a> {
    fn sequence(&mut self, otherwise: &'static str) -> std::result::Result<Self, Malformed> {
        self.optional(der::SEQUENCE).map(Parts).ok_or(Malformed(otherwise))
    }

    /// The content of the next element, if it has that tag.
    fn optional(&mut self, tag: u8) -> Option<&'a [u8]> {
        let (element, rest) = der::take(self.0).filter(|(element, _)| element.tag == tag)?;
        self.0 = rest;
        Some(element.content)
    }

    fn end(&self, otherwise: &'static str) -> std::result::Result<(), Malformed> {
        if self.0.is_empty() { Ok(()) } else { Err(Malformed(otherwise)) }
    }

    /// The extensions in the next element, if it has that tag.
    fn extensions(&mut self, tag: u8) -> std::result::Result<Vec<Extension<'a>>, Malformed> {
        let Some(content) = self.optional(tag) else { return Ok(Vec::new()) };
        let bad = Malformed("its extensions cannot be read");
        let mut list = Parts(der::only(content, der::SEQUENCE).filter(|list| !list.is_empty()).ok_or(bad)?);
        let mut found = Vec::new();
        while !list.0.is_empty() {
            if found.len() == MAX_EXTENSIONS {
                return Err(Malformed("it has too many extensions"));
            }
            let mut extension = list.sequence(bad.0)?;
            let name = extension.optional(der::OBJECT_IDENTIFIER).ok_or(bad)?;
            let critical = match extension.optional(BOOLEAN) {
                None => false,
                Some([0xff]) => true,
                Some(_) => return Err(bad),
            };
            let value = extension.optional(der::OCTET_STRING).ok_or(bad)?;
            extension.end(bad.0)?;
            found.push(Extension { name, critical, value });
        }
        Ok(found)
    }
}

impl Extension<'_> {
    /// An extension that is not known here may be passed over unless it is critical.
    fn check(&self) -> std::result::Result<(), Malformed> {
        match self.critical && !WITHOUT_EFFECT.iter().any(|known| known == self.name) {
            true => Err(Malformed("a critical extension is not known here")),
            false => Ok(()),
        }
    }
}

/// RFC 9654 section 2.1: an OCTET STRING of 1 to 128 octets; what is shorter or longer is refused.
fn read_nonce(value: &[u8]) -> std::result::Result<Vec<u8>, Malformed> {
    match der::only(value, der::OCTET_STRING) {
        Some(nonce) if (1..=MAX_NONCE).contains(&nonce.len()) => Ok(nonce.to_vec()),
        _ => Err(Malformed("the nonce has not 1 to 128 octets")),
    }
}

impl Refusal {
    /// The OCSPResponse that says so, DER.
    pub fn response(self) -> Vec<u8> {
        der::encode(der::SEQUENCE, &[&[ENUMERATED, 1, self as u8]])
    }
}

impl Issuers {
    pub(super) fn of(intermediates: &[Arc<Authority>]) -> Self {
        let hashes = |authority: &Arc<Authority>| {
            let both =
                |with| [digest::digest(with, &authority.subject), digest::digest(with, key_bits(&authority.spki))];
            let [sha1, sha256] = [&digest::SHA1_FOR_LEGACY_USE_ONLY, &digest::SHA256].map(both);
            IssuerHashes { name: authority.name.clone(), sha1, sha256 }
        };
        Self(intermediates.iter().map(hashes).collect())
    }
}

/// The content of `subjectPublicKey` without the octet that counts unused bits, which is what OCSP hashes.
pub(super) fn key_bits(spki: &[u8]) -> &[u8] {
    let parts = der::only(spki, der::SEQUENCE).and_then(der::elements::<2>);
    parts.and_then(|[_, key]| key.content.split_first()).map_or(&[], |(_, bits)| bits)
}

impl Ca {
    /// The intermediate that a request names as the issuer of a certificate, also one that no longer issues.
    pub fn status_issuer(&self, certificate: &CertId) -> Option<&str> {
        let named = self.status_issuers.0.iter().find(|issuer| {
            let [name, key] = match certificate.hash {
                Hash::Sha1 => &issuer.sha1,
                Hash::Sha256 => &issuer.sha256,
                Hash::Other => return false,
            };
            name.as_ref() == certificate.name_hash && key.as_ref() == certificate.key_hash
        });
        named.map(|issuer| issuer.name.as_str())
    }
}

impl Responder {
    /// The signed answer about certificates of this responder's issuer, with the nonce that was asked for: an OCSPResponse,
    /// DER. An answer that would hold beyond the responder's own certificate is an internal error.
    pub fn answer(&self, statuses: &[(&CertId, Status)], nonce: Option<&[u8]>, span: Span) -> Result<Vec<u8>> {
        if span.next_update > self.not_after() || span.next_update <= span.this_update {
            return Err(Error::internal(format!("an OCSP answer may not hold until {}", span.next_update)));
        }
        let sequence = |parts: &[&[u8]]| der::encode(der::SEQUENCE, parts);
        let this_update = generalized_time(span.this_update);
        let next_update = der::encode(0xa0, &[&generalized_time(span.next_update)]);
        let singles = statuses.iter().flat_map(|(certificate, status)| {
            sequence(&[&certificate.whole, &cert_status(*status), &this_update, &next_update])
        });
        let singles = sequence(&[&singles.collect::<Vec<u8>>()]);
        // RFC 9919 section 3.2.2: byKey.
        let by_key = der::encode(0xa2, &[&der::encode(der::OCTET_STRING, &[self.key_hash()])]);
        let extensions = nonce.map(|nonce| {
            let value = der::encode(der::OCTET_STRING, &[&der::encode(der::OCTET_STRING, &[nonce])]);
            let extension = sequence(&[&der::encode(der::OBJECT_IDENTIFIER, &[&NONCE]), &value]);
            der::encode(0xa1, &[&sequence(&[&extension])])
        });
        let tbs = sequence(&[&by_key, &this_update, &singles, extensions.as_deref().unwrap_or_default()]);
        let signed = self.key().signed(&tbs)?;
        let parts = der::only(&signed, der::SEQUENCE).ok_or_else(|| Error::internal("a signature came out of form"))?;
        // RFC 9919 section 3.2.2: the certificate of a delegated responder goes with the answer.
        let basic = sequence(&[parts, &der::encode(0xa0, &[&sequence(&[self.certificate()])])]);
        let response = der::encode(der::OCTET_STRING, &[&basic]);
        let octets = sequence(&[&der::encode(der::OBJECT_IDENTIFIER, &[&BASIC]), &response]);
        Ok(sequence(&[&[ENUMERATED, 1, 0], &der::encode(0xa0, &[&octets])]))
    }
}

fn cert_status(status: Status) -> Vec<u8> {
    match status {
        Status::Good => vec![0x80, 0],
        Status::Revoked { at, reason } => {
            let reason = match reason {
                // As on the CRL, unspecified is said by silence (CABF-OCS-08, CABF-CRL-08).
                RevocationReason::Unspecified => None,
                RevocationReason::KeyCompromise => Some(1),
                RevocationReason::AffiliationChanged => Some(3),
                RevocationReason::Superseded => Some(4),
                RevocationReason::CessationOfOperation => Some(5),
            };
            let reason = reason.map(|code| der::encode(0xa0, &[&[ENUMERATED, 1, code]])).unwrap_or_default();
            der::encode(0xa1, &[&generalized_time(at), &reason])
        }
        Status::Unknown => vec![0x82, 0],
    }
}

/// RFC 9919 section 3.2.4: with seconds, without fractions, in Zulu.
fn generalized_time(moment: Timestamp) -> Vec<u8> {
    let t: OffsetDateTime = moment.to_offset();
    let (month, day) = (u8::from(t.month()), t.day());
    let text = format!("{:04}{month:02}{day:02}{:02}{:02}{:02}Z", t.year(), t.hour(), t.minute(), t.second());
    der::encode(GENERALIZED_TIME, &[text.as_bytes()])
}
