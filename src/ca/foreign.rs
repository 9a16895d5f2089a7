//! Certificates of whatever CA, with their private keys, as people upload them (UPLOAD-01): read, matched, their chain followed.

mod armour;
mod private;
mod sm2;

use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::FromDer;
use zeroize::Zeroizing;

use crate::ca;
use crate::domain::{Error, Result, Timestamp};

/// Most certificates of one upload.
const MOST: usize = 10;

/// sm2sign-with-sm3 (GB/T 33560).
const SM2_SIGNATURE: &str = "1.2.156.10197.1.501";

/// The identifiers that such signatures are made with: that of RFC 8998 section 3.2.1, and none, as of OpenSSL where nobody
/// names one.
const SM2_IDENTIFIERS: [&str; 2] = [ca::sm2::IDENTIFIER, ""];

/// A certificate that was read.
pub struct Foreign {
    /// The chain, DER, the leaf first.
    pub chain: Vec<Vec<u8>>,
    /// The private key, PKCS#8, DER.
    pub key: Zeroizing<Vec<u8>>,
    /// The kind of key: `RSA 2048`, `P-256`, `SM2`.
    pub kind: String,
    /// The names in it.
    pub names: Vec<String>,
    /// Who it was issued to.
    pub subject: String,
    /// Who issued it.
    pub issuer: String,
    /// Its serial number, hexadecimal.
    pub serial: String,
    /// First second of its validity.
    pub not_before: Timestamp,
    /// Last second of its validity.
    pub not_after: Timestamp,
}

/// Reads a certificate with its chain and its key, of the international standard (UPLOAD-03).
pub fn international(certificate: &str, key: &str) -> Result<Foreign> {
    read(
        certificate,
        key,
        private::read,
        "Not a PEM key: it begins with BEGIN (RSA) PRIVATE KEY and ends likewise (UPLOAD-03)",
    )
}

/// Reads one of the two certificates of the Chinese standard with its chain and its key (UPLOAD-05, UPLOAD-06).
pub fn sm2(certificate: &str, key: &str) -> Result<Foreign> {
    read(
        certificate,
        key,
        sm2::read,
        "Not a PEM key: it begins with BEGIN EC PRIVATE KEY or BEGIN PRIVATE KEY (UPLOAD-06)",
    )
}

/// A private key that was read: its kind, its public key as in `subjectPublicKey`, and itself as PKCS#8.
struct Private {
    kind: String,
    public: Vec<u8>,
    pkcs8: Zeroizing<Vec<u8>>,
}

/// Refused with a pointer to the page that helps (UPLOAD-11).
fn unparseable(what: &str) -> Error {
    Error::malformed(format!(
        "{what}. Not parseable: check the standard (international or SM2), the PEM markers, the full chain. See \
         /api/v1/help/DIAG-24 (UPLOAD-11, DIAG-24)."
    ))
}

fn read(
    certificates: &str,
    key: &str,
    read_key: impl Fn(&str, &[u8]) -> Option<Private>,
    no_key: &str,
) -> Result<Foreign> {
    let blocks = armour::blocks(certificates);
    let ders: Vec<&[u8]> =
        blocks.iter().filter(|(label, _)| label == "CERTIFICATE").map(|(_, der)| der.as_slice()).collect();
    if ders.is_empty() || ders.len() > MOST {
        return Err(unparseable(&format!(
            "Not a PEM certificate: 1 to {MOST} blocks from BEGIN CERTIFICATE to END CERTIFICATE are expected, {} were found \
             (UPLOAD-03)",
            ders.len()
        )));
    }
    let certificates = ders.iter().map(|der| parse(der)).collect::<Result<Vec<_>>>()?;
    let keys = armour::blocks(key);
    let private = keys.iter().find_map(|(label, der)| read_key(label, der)).ok_or_else(|| unparseable(no_key))?;
    let is_leaf = |certificate: &&X509Certificate<'_>| bits(certificate) == private.public;
    let leaf = certificates.iter().find(is_leaf).ok_or_else(|| {
        Error::malformed(
            "The private key is that of none of the certificates: upload the key that the certificate was made for (UPLOAD-03).",
        )
    })?;
    let chain = follow(leaf, &certificates)?;
    let seconds = |time: i64| Timestamp::from_secs(u64::try_from(time).unwrap_or(0));
    Ok(Foreign {
        chain: chain.iter().map(|certificate| certificate.as_raw().to_vec()).collect(),
        kind: private.kind,
        key: private.pkcs8,
        names: names(leaf),
        subject: leaf.subject().to_string(),
        issuer: leaf.issuer().to_string(),
        serial: leaf.raw_serial_as_string().replace(':', ""),
        not_before: seconds(leaf.validity().not_before.timestamp()),
        not_after: seconds(leaf.validity().not_after.timestamp()),
    })
}

fn parse(der: &[u8]) -> Result<X509Certificate<'_>> {
    match X509Certificate::from_der(der) {
        Ok(([], certificate)) => Ok(certificate),
        _ => Err(unparseable("A block between BEGIN CERTIFICATE and END CERTIFICATE is no certificate")),
    }
}

fn bits<'c>(certificate: &'c X509Certificate<'_>) -> &'c [u8] {
    &certificate.public_key().subject_public_key.data
}

/// The chain from the leaf upwards, in whatever order its certificates stand.
fn follow<'c, 'd>(
    leaf: &'c X509Certificate<'d>,
    all: &'c [X509Certificate<'d>],
) -> Result<Vec<&'c X509Certificate<'d>>> {
    let mut chain = vec![leaf];
    loop {
        let last = *chain.last().expect("the chain begins with its leaf and only grows");
        if last.subject() == last.issuer() || chain.len() > all.len() {
            return Ok(chain);
        }
        let above = all.iter().find(|other| other.subject() == last.issuer() && !chain.contains(other));
        let Some(above) = above else { break };
        check_signature(last, above)?;
        chain.push(above);
    }
    if chain.len() < 2 {
        return Err(Error::malformed(format!(
            "Intermediate certificates are missing: append the certificate of \"{}\", which issued this one (UPLOAD-04).",
            leaf.issuer()
        )));
    }
    Ok(chain)
}

/// Whether one signed the other. A build without SM2 compares only the names of such certificates.
fn check_signature(below: &X509Certificate<'_>, above: &X509Certificate<'_>) -> Result<()> {
    let refused = || {
        unparseable(&format!("The certificate of \"{}\" was not signed by \"{}\"", below.subject(), above.subject()))
    };
    if below.signature_algorithm.algorithm.to_id_string() == SM2_SIGNATURE {
        let (message, signature) = (below.tbs_certificate.as_ref(), &below.signature_value.data);
        let is_of = |identifier: &&str| ca::sm2::verify(bits(above), identifier, message, signature);
        let known = !ca::sm2::IS_BUILT_IN || SM2_IDENTIFIERS.iter().any(is_of);
        return if known { Ok(()) } else { Err(refused()) };
    }
    below.verify_signature(Some(above.public_key())).map_err(|fault| refused().because(fault))
}

/// Its DNS names and addresses; without any, its common name.
fn names(leaf: &X509Certificate<'_>) -> Vec<String> {
    let mut names = Vec::new();
    for extension in leaf.extensions() {
        let ParsedExtension::SubjectAlternativeName(alternatives) = extension.parsed_extension() else { continue };
        names.extend(alternatives.general_names.iter().filter_map(|name| match name {
            GeneralName::DNSName(name) => Some((*name).to_owned()),
            GeneralName::IPAddress(octets) => address(octets),
            _ => None,
        }));
    }
    if names.is_empty() {
        names.extend(leaf.subject().iter_common_name().filter_map(|name| name.as_str().ok()).map(str::to_owned));
    }
    names
}

fn address(octets: &[u8]) -> Option<String> {
    let four = <[u8; 4]>::try_from(octets).map(|octets| std::net::IpAddr::from(octets).to_string());
    four.or_else(|_| <[u8; 16]>::try_from(octets).map(|octets| std::net::IpAddr::from(octets).to_string())).ok()
}

/// Reads a private key alone, PKCS#8 (DER), from PEM.
pub fn private_key(text: &str) -> Result<Zeroizing<Vec<u8>>> {
    let read = |label: &str, der: &[u8]| private::read(label, der).or_else(|| sm2::read(label, der));
    let found = armour::blocks(text).into_iter().find_map(|(label, der)| read(&label, &der));
    Ok(found.ok_or_else(|| unparseable("Not a PEM key without a password"))?.pkcs8)
}
