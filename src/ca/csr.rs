//! PKCS#10 requests (RFC 2986): read strictly, their signature verified, their names taken out.

use std::collections::BTreeSet;
use std::net::IpAddr;

use aws_lc_rs::digest;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::cri_attributes::ParsedCriAttribute;
use x509_parser::extensions::{GeneralName, ParsedExtension, X509Extension};
use x509_parser::oid_registry as oid;
use x509_parser::prelude::FromDer;
use x509_parser::x509::X509Name;

use super::spki::PublicKey;
use super::{der, weak};
use crate::domain::csr::Csr;
use crate::domain::{DnsName, Error, Identifier, Kind, Result};

/// Longest request that is looked at: a thousand long names fit.
pub const MAX_BYTES: usize = 64 * 1024;

/// id-pe-tlsfeature (RFC 7633).
const TLS_FEATURE: [u8; 8] = [0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x01, 0x18];

/// Reads a request and verifies its signature. Whatever is wrong with it is `badCSR`, with the value at fault; which
/// names and which kind of key an order may have is judged elsewhere.
pub fn parse(der: &[u8]) -> Result<Csr> {
    let (info, request) = read(der)?;
    let key = PublicKey::read(info[2].whole)?;
    key.check_strength()?;
    if request.signature_value.unused_bits != 0 {
        return refuse("The CSR's signature is no whole number of octets.");
    }
    let signed = request.certification_request_info.raw;
    key.verify(&request.signature_algorithm, signed, &request.signature_value.data)?;
    content(der, info[2].whole, key, &request)
}

/// What a request whose signature was verified says.
fn content(der: &[u8], spki: &[u8], key: PublicKey<'_>, request: &X509CertificationRequest<'_>) -> Result<Csr> {
    let extensions = requested_extensions(request)?;
    refuse_authority(&extensions)?;
    let common_name = common_name(&request.certification_request_info.subject)?;
    let mut names = alternative_names(&extensions)?;
    if let Some(name) = &common_name {
        let identifier = identifier(name)?;
        // RFC 8738 section 3: an address is asked for by an iPAddress in subjectAltName.
        if matches!(identifier, Identifier::Ip(_)) && !names.contains(&identifier) {
            return refuse(format!("The CSR has the address {name} in its common name, but not in subjectAltName."));
        }
        names.insert(identifier);
    }
    let mut spki_sha256 = [0; 32];
    spki_sha256.copy_from_slice(digest::digest(&digest::SHA256, spki).as_ref());
    Ok(Csr {
        der: der.to_vec(),
        spki: spki.to_vec(),
        key: key.kind,
        spki_sha256,
        debian_fingerprint: key.modulus().map(weak::debian_fingerprint),
        names,
        common_name,
        must_staple: extensions.iter().any(|extension| asks_for_stapling(extension)),
    })
}

/// The same without a look at the signature, past which few octets of a fuzzer come.
#[cfg(any(test, fuzzing))]
pub(crate) fn parse_unverified(der: &[u8]) -> Result<Csr> {
    let (info, request) = read(der)?;
    let key = PublicKey::read(info[2].whole)?;
    key.check_strength()?;
    content(der, info[2].whole, key, &request)
}

fn bad(detail: impl Into<String>) -> Error {
    Error::new(Kind::BadCsr, detail)
}

fn refuse<T>(detail: impl Into<String>) -> Result<T> {
    Err(bad(detail))
}

/// The four parts of CertificationRequestInfo, and the request as x509-parser sees it. That parser passes over octets
/// left at the end of a SEQUENCE, so the shape is walked strictly beside it.
fn read(der: &[u8]) -> Result<([der::Element<'_>; 4], X509CertificationRequest<'_>)> {
    if der.len() > MAX_BYTES {
        return refuse(format!("The CSR has {} octets; at most {MAX_BYTES} are accepted.", der.len()));
    }
    if der.starts_with(b"-----BEGIN") {
        return refuse("The CSR is PEM text; RFC 8555 section 7.4 wants its DER, base64url-encoded.");
    }
    let unreadable = |why: &str| bad(format!("The CSR is not a PKCS#10 request in DER (RFC 2986): {why}."));
    let (rest, request) = X509CertificationRequest::from_der(der)
        .map_err(|error| unreadable("it can't be parsed").because(error.to_string()))?;
    if !rest.is_empty() {
        return Err(unreadable("something follows its end"));
    }
    let info = der::only(der, der::SEQUENCE)
        .and_then(der::elements::<3>)
        .filter(|[_, algorithm, signature]| {
            let name = der::only(algorithm.whole, der::SEQUENCE).and_then(der::take);
            name.is_some_and(|(name, _)| name.tag == der::OBJECT_IDENTIFIER) && signature.tag == der::BIT_STRING
        })
        .and_then(|[info, ..]| der::only(info.whole, der::SEQUENCE))
        .and_then(der::elements::<4>)
        .filter(|[version, ..]| version.whole == [der::INTEGER, 1, 0])
        .ok_or_else(|| unreadable("its parts are not those of version 1"))?;
    Ok((info, request))
}

/// All requested extensions, each of which may be asked for once (RFC 5280 section 4.2).
fn requested_extensions<'r>(request: &'r X509CertificationRequest<'_>) -> Result<Vec<&'r X509Extension<'r>>> {
    let mut extensions: Vec<&X509Extension<'_>> = Vec::new();
    for attribute in request.certification_request_info.iter_attributes() {
        let ParsedCriAttribute::ExtensionRequest(requested) = attribute.parsed_attribute() else { continue };
        for extension in &requested.extensions {
            if extensions.iter().any(|seen| seen.oid == extension.oid) {
                return refuse(format!("The CSR asks for the extension {} twice.", extension.oid));
            }
            extensions.push(extension);
        }
    }
    Ok(extensions)
}

/// Nobody becomes a certificate authority here; saying so beats leaving the wish out silently. Other extensions than
/// the ones looked at in this file are passed over: none is ever copied into a certificate.
fn refuse_authority(extensions: &[&X509Extension<'_>]) -> Result<()> {
    for extension in extensions {
        match extension.parsed_extension() {
            ParsedExtension::BasicConstraints(constraints) if constraints.ca => {
                return refuse("The CSR asks for basicConstraints CA:TRUE; only server certificates are issued here.");
            }
            ParsedExtension::KeyUsage(usage) if usage.key_cert_sign() => {
                return refuse("The CSR asks for keyUsage keyCertSign; only server certificates are issued here.");
            }
            ParsedExtension::ParseError { .. } if extension.oid == oid::OID_X509_EXT_BASIC_CONSTRAINTS => {
                return refuse("The CSR's basicConstraints cannot be read.");
            }
            ParsedExtension::ParseError { .. } if extension.oid == oid::OID_X509_EXT_KEY_USAGE => {
                return refuse("The CSR's keyUsage cannot be read.");
            }
            _ => {}
        }
    }
    Ok(())
}

/// The common name; an empty one is none.
fn common_name(subject: &X509Name<'_>) -> Result<Option<String>> {
    let mut found = None;
    for attribute in subject.iter_common_name() {
        let text = str::from_utf8(attribute.attr_value().data)
            .map_err(|_| bad("The CSR's common name is not UTF-8 text. (CSR-03)"))?;
        if !text.is_empty() && found.replace(text.to_owned()).is_some() {
            return refuse("The CSR has more than one common name; put further names into subjectAltName.");
        }
    }
    Ok(found)
}

/// The names of subjectAltName: DNS names and addresses, nothing else (RFC 8555 section 7.4).
fn alternative_names(extensions: &[&X509Extension<'_>]) -> Result<BTreeSet<Identifier>> {
    let Some(extension) = extensions.iter().find(|e| e.oid == oid::OID_X509_EXT_SUBJECT_ALT_NAME) else {
        return Ok(BTreeSet::new());
    };
    let ParsedExtension::SubjectAlternativeName(alternative) = extension.parsed_extension() else {
        return refuse("The CSR's subjectAltName cannot be read.");
    };
    alternative.general_names.iter().map(general_name).collect()
}

fn general_name(name: &GeneralName<'_>) -> Result<Identifier> {
    let kind = match name {
        GeneralName::DNSName(text) => return dns(text),
        GeneralName::IPAddress(octets) => return address(octets),
        GeneralName::RFC822Name(text) => format!("the e-mail address \"{}\"", shown(text)),
        GeneralName::URI(text) => format!("the URI \"{}\"", shown(text)),
        GeneralName::DirectoryName(_) => "a directoryName".to_owned(),
        GeneralName::OtherName(..) => "an otherName".to_owned(),
        _ => "a name of a kind that is not supported".to_owned(),
    };
    refuse(format!("The CSR's subjectAltName holds {kind}; only DNS names and IP addresses can be certified."))
}

/// A common name: an address if it reads as one, else a DNS name.
fn identifier(text: &str) -> Result<Identifier> {
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Ok(Identifier::Ip(ip));
    }
    DnsName::parse(text).map(Identifier::Dns).map_err(|error| {
        bad(format!(
            "The common name of the CSR cannot be certified: {}. Put one of the ordered names there, or leave it empty. \
             (CSR-05)",
            error.problem().detail
        ))
    })
}

/// CSR-17: the format of names is judged in a CSR as it is in an order.
fn dns(text: &str) -> Result<Identifier> {
    DnsName::parse(text)
        .map(Identifier::Dns)
        .map_err(|error| bad(format!("A name in the CSR cannot be certified: {}. (CSR-17)", error.problem().detail)))
}

fn address(octets: &[u8]) -> Result<Identifier> {
    if let Ok(v4) = <[u8; 4]>::try_from(octets) {
        return Ok(Identifier::Ip(v4.into()));
    }
    match <[u8; 16]>::try_from(octets) {
        Ok(v6) => Ok(Identifier::Ip(v6.into())),
        Err(_) => refuse(format!("An iPAddress in the CSR has {} octets instead of 4 or 16.", octets.len())),
    }
}

/// Whether the TLS features asked for hold status_request, number 5 (RFC 7633 section 4.2.3.1).
fn asks_for_stapling(extension: &X509Extension<'_>) -> bool {
    if extension.oid.as_bytes() != TLS_FEATURE {
        return false;
    }
    let mut features = der::only(extension.value, der::SEQUENCE).unwrap_or_default();
    while let Some((feature, rest)) = der::take(features) {
        if feature.whole == [der::INTEGER, 1, 5] {
            return true;
        }
        features = rest;
    }
    false
}

fn shown(text: &str) -> String {
    text.chars().take(200).collect::<String>().escape_debug().to_string()
}
