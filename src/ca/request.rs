//! Key pairs and requests made for customers (CSR-01).

use rcgen::{CertificateParams, DistinguishedName, DnType, SanType};
use x509_parser::prelude::{FromDer as _, X509Certificate};
use zeroize::Zeroizing;

use super::signer::{Key, KeyKind};
use super::spki::PublicKey;
use super::{MAX_COMMON_NAME, national, sm2};
use crate::domain::csr::SubjectKey;
use crate::domain::{Error, Identifier, Result};

/// A key pair that was made here.
pub struct Generated {
    /// The private key, PKCS#8, DER.
    pub key: Zeroizing<Vec<u8>>,
    /// The request for its names, DER.
    pub csr: Vec<u8>,
}

/// Makes a key pair and a request for these names; the first that fits is the common name (CSR-05, CSR-06). Takes a while
/// for RSA.
pub fn generate(kind: SubjectKey, names: &[Identifier]) -> Result<Generated> {
    let kind = match kind {
        SubjectKey::Rsa2048 => KeyKind::Rsa(2048),
        SubjectKey::Rsa3072 => KeyKind::Rsa(3072),
        SubjectKey::Rsa4096 => KeyKind::Rsa(4096),
        SubjectKey::P256 => KeyKind::P256,
        SubjectKey::P384 => KeyKind::P384,
        SubjectKey::Sm2 => return national::request(names),
    };
    let der = Key::generate(kind).map_err(Error::internal)?;
    let key = Key::from_pkcs8(&der).ok_or_else(|| Error::internal("a key that was just made can't be read"))?;
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    if let Some(name) = names.iter().find(|name| name.to_string().len() <= MAX_COMMON_NAME) {
        params.distinguished_name.push(DnType::CommonName, name.to_string());
    }
    params.subject_alt_names = names.iter().map(alternative).collect::<Result<_>>()?;
    let request = params.serialize_request(&key).map_err(Error::internal)?;
    Ok(Generated { key: der, csr: request.der().to_vec() })
}

fn alternative(name: &Identifier) -> Result<SanType> {
    match name {
        Identifier::Dns(name) => {
            Ok(SanType::DnsName(name.as_str().try_into().map_err(|fault: rcgen::Error| Error::internal(fault))?))
        }
        Identifier::Ip(address) => Ok(SanType::IpAddress(*address)),
    }
}

/// Makes an SM2 key alone: itself, PKCS#8, DER, and its SubjectPublicKeyInfo, DER.
pub fn sm2_key() -> Result<(Zeroizing<Vec<u8>>, Vec<u8>)> {
    let der = Key::generate(KeyKind::Sm2).map_err(Error::internal)?;
    let key = Key::from_pkcs8(&der).ok_or_else(|| Error::internal("a key that was just made can't be read"))?;
    Ok((der, key.spki()))
}

/// An SM2 key (PKCS#8, DER) as the holder of the key of that certificate (DER), which is of SM2 too, can open it:
/// SM2EnvelopedKey, DER (GM/T 0009).
pub fn enveloped(private: &[u8], certificate: &[u8]) -> Result<Vec<u8>> {
    let (_, holder) = X509Certificate::from_der(certificate).map_err(Error::internal)?;
    let sealed = sm2::enveloped(private, &holder.public_key().subject_public_key.data);
    sealed.ok_or_else(|| Error::internal("an envelope takes two SM2 keys"))
}

/// Whether a private key (PKCS#8, DER) is that of a SubjectPublicKeyInfo (DER).
pub fn is_key_of(private: &[u8], spki: &[u8]) -> bool {
    let (Some(key), Ok(public)) = (Key::from_pkcs8(private), PublicKey::read(spki)) else { return false };
    rcgen::PublicKeyData::der_bytes(&key) == public.bits
}
