//! The CA's private keys: made, read and used for signing; they live in the crypto library, which wipes them.

use std::sync::Arc;

use aws_lc_rs::digest;
use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
};
use rcgen::{PublicKeyData, SignatureAlgorithm, SigningKey};
use zeroize::Zeroizing;

/// Kinds of keys that this CA makes for itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KeyKind {
    P256,
    P384,
    Rsa(u16),
}

/// A private key of the CA. ECDSA keys sign with the hash of their curve's size, RSA keys with SHA-256 (CABF-SUB-03).
pub(super) struct Key {
    pair: Pair,
    algorithm: &'static SignatureAlgorithm,
    public: Vec<u8>,
}

enum Pair {
    Ecdsa(EcdsaKeyPair),
    Rsa(RsaKeyPair),
}

/// A stand-in for a key that says which key it is and signs nothing: what is built with it can be linted before the
/// real key comes into play (CABF-LNT-02).
pub(super) struct Unsigned(pub(super) Arc<Key>);

impl Key {
    /// Makes a key; returns it as PKCS#8 DER (RFC 5958).
    pub(super) fn generate(kind: KeyKind) -> Result<Zeroizing<Vec<u8>>, String> {
        let failed = |what: &str| format!("a {kind:?} key could not be {what}");
        match kind {
            KeyKind::P256 | KeyKind::P384 => {
                let algorithm = match kind {
                    KeyKind::P256 => &ECDSA_P256_SHA256_ASN1_SIGNING,
                    _ => &ECDSA_P384_SHA384_ASN1_SIGNING,
                };
                let pair = EcdsaKeyPair::generate(algorithm).map_err(|_| failed("made"))?;
                let pkcs8 = pair.to_pkcs8v1().map_err(|_| failed("written"))?;
                Ok(Zeroizing::new(pkcs8.as_ref().to_vec()))
            }
            KeyKind::Rsa(bits) => {
                let size = match bits {
                    4096 => KeySize::Rsa4096,
                    3072 => KeySize::Rsa3072,
                    _ => KeySize::Rsa2048,
                };
                let pair = RsaKeyPair::generate(size).map_err(|_| failed("made"))?;
                let pkcs8 = pair.as_der().map_err(|_| failed("written"))?;
                Ok(Zeroizing::new(pkcs8.as_ref().to_vec()))
            }
        }
    }

    /// Reads PKCS#8 DER; none for anything but a P-256, P-384 or RSA key.
    pub(super) fn from_pkcs8(der: &[u8]) -> Option<Self> {
        let ecdsa = |pair: EcdsaKeyPair, algorithm| {
            let public = pair.public_key().as_ref().to_vec();
            Self { pair: Pair::Ecdsa(pair), algorithm, public }
        };
        if let Ok(pair) = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, der) {
            return Some(ecdsa(pair, &rcgen::PKCS_ECDSA_P256_SHA256));
        }
        if let Ok(pair) = EcdsaKeyPair::from_pkcs8(&ECDSA_P384_SHA384_ASN1_SIGNING, der) {
            return Some(ecdsa(pair, &rcgen::PKCS_ECDSA_P384_SHA384));
        }
        let pair = RsaKeyPair::from_pkcs8(der).ok()?;
        let public = pair.public_key().as_ref().to_vec();
        Some(Self { pair: Pair::Rsa(pair), algorithm: &rcgen::PKCS_RSA_SHA256, public })
    }

    /// The key identifier: the leftmost 160 bits of the SHA-256 of the public key (RFC 7093 section 2, method 1).
    pub(super) fn identifier(&self) -> Vec<u8> {
        key_identifier(&self.public)
    }
}

/// RFC 7093 section 2, method 1, over the content of `subjectPublicKey`.
pub(super) fn key_identifier(bits: &[u8]) -> Vec<u8> {
    digest::digest(&digest::SHA256, bits).as_ref()[..20].to_vec()
}

impl PublicKeyData for Key {
    fn der_bytes(&self) -> &[u8] {
        &self.public
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        self.algorithm
    }
}

impl SigningKey for Key {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        let random = SystemRandom::new();
        match &self.pair {
            Pair::Ecdsa(pair) => {
                let signature = pair.sign(&random, message).map_err(|_| rcgen::Error::RemoteKeyError)?;
                Ok(signature.as_ref().to_vec())
            }
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature)
                    .map_err(|_| rcgen::Error::RemoteKeyError)?;
                Ok(signature)
            }
        }
    }
}

impl PublicKeyData for Unsigned {
    fn der_bytes(&self) -> &[u8] {
        self.0.der_bytes()
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        self.0.algorithm
    }
}

impl SigningKey for Unsigned {
    fn sign(&self, _: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        Ok(vec![0])
    }
}
