//! The CA's private keys: made, read and used for signing; they live in the crypto library, which wipes them.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest;
use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
};
use rcgen::{PublicKeyData, SignatureAlgorithm, SigningKey};
use zeroize::Zeroizing;

use super::token::{Found, TokenKey};
use super::{der, sm2, spki};
use crate::domain::Error;

/// When a token that did not answer may be asked again.
const TOKEN_RETRY: Duration = Duration::from_secs(10);

/// Kinds of keys that this CA makes for itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KeyKind {
    P256,
    P384,
    Rsa(u16),
    Sm2,
}

/// A private key of the CA.
pub(super) struct Key {
    pair: Pair,
    scheme: Scheme,
    public: Vec<u8>,
}

/// How a key signs: ECDSA keys with the hash of their curve's size, RSA keys with SHA-256 (CABF-SUB-03).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scheme {
    EcdsaSha256,
    EcdsaSha384,
    RsaSha256,
    /// SM2 with SM3, under the identifier of RFC 8998 section 3.2.1.
    Sm2WithSm3,
}

enum Pair {
    Ecdsa(EcdsaKeyPair),
    Rsa(RsaKeyPair),
    Sm2(sm2::Pair),
    Token(TokenKey),
    /// The key is kept elsewhere, as that of an offline root is.
    Away,
}

/// A stand-in for a key that says which key it is and signs nothing: what is built with it can be linted before the
/// real key comes into play (CABF-LNT-02).
pub(super) struct Unsigned(pub(super) Arc<Key>);

impl Scheme {
    /// The AlgorithmIdentifier, DER, as it stands in what was signed so (Baseline Requirements 7.1.3.2).
    pub(super) fn identifier(self) -> &'static [u8] {
        match self {
            Self::EcdsaSha256 => &[0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02],
            Self::EcdsaSha384 => &[0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x03],
            Self::RsaSha256 => {
                &[0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0b, 0x05, 0x00]
            }
            Self::Sm2WithSm3 => &[0x30, 0x0a, 0x06, 0x08, 0x2a, 0x81, 0x1c, 0xcf, 0x55, 0x01, 0x83, 0x75],
        }
    }

    fn of_rcgen(self) -> &'static SignatureAlgorithm {
        match self {
            Self::EcdsaSha256 => &rcgen::PKCS_ECDSA_P256_SHA256,
            Self::EcdsaSha384 => &rcgen::PKCS_ECDSA_P384_SHA384,
            Self::RsaSha256 => &rcgen::PKCS_RSA_SHA256,
            // rcgen has no name for it. It is never asked for one in earnest: an SM2 key refuses to sign for rcgen.
            Self::Sm2WithSm3 => &rcgen::PKCS_ECDSA_P256_SHA256,
        }
    }
}

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
            KeyKind::Sm2 => sm2::generate(),
        }
    }

    /// Reads PKCS#8 DER; none for anything but a P-256, P-384, RSA or SM2 key.
    pub(super) fn from_pkcs8(der: &[u8]) -> Option<Self> {
        let ecdsa = |pair: EcdsaKeyPair, scheme| {
            let public = pair.public_key().as_ref().to_vec();
            Self { pair: Pair::Ecdsa(pair), scheme, public }
        };
        if let Ok(pair) = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, der) {
            return Some(ecdsa(pair, Scheme::EcdsaSha256));
        }
        if let Ok(pair) = EcdsaKeyPair::from_pkcs8(&ECDSA_P384_SHA384_ASN1_SIGNING, der) {
            return Some(ecdsa(pair, Scheme::EcdsaSha384));
        }
        if let Some(pair) = sm2::Pair::from_pkcs8(der) {
            return Some(Self { public: pair.point(), pair: Pair::Sm2(pair), scheme: Scheme::Sm2WithSm3 });
        }
        let pair = RsaKeyPair::from_pkcs8(der).ok()?;
        let public = pair.public_key().as_ref().to_vec();
        Some(Self { pair: Pair::Rsa(pair), scheme: Scheme::RsaSha256, public })
    }

    /// A key that a token holds.
    pub(super) fn on_token(found: Found) -> Self {
        Self { pair: Pair::Token(found.key), scheme: found.scheme, public: found.public }
    }

    /// The key of a certificate that is not here: all is known of it, and it signs nothing. None for a kind that is not
    /// in use here.
    pub(super) fn away(spki: &[u8]) -> Option<Self> {
        use crate::domain::csr::SubjectKey;
        let key = spki::PublicKey::read(spki).ok()?;
        let scheme = match key.kind {
            SubjectKey::P256 => Scheme::EcdsaSha256,
            SubjectKey::P384 => Scheme::EcdsaSha384,
            SubjectKey::Rsa2048 | SubjectKey::Rsa3072 | SubjectKey::Rsa4096 => Scheme::RsaSha256,
            SubjectKey::Sm2 => Scheme::Sm2WithSm3,
        };
        Some(Self { pair: Pair::Away, scheme, public: key.bits.to_vec() })
    }

    /// Whether it is of that kind.
    pub(super) fn is_of(&self, kind: KeyKind) -> bool {
        match kind {
            KeyKind::P256 => self.scheme == Scheme::EcdsaSha256,
            KeyKind::P384 => self.scheme == Scheme::EcdsaSha384,
            KeyKind::Sm2 => self.scheme == Scheme::Sm2WithSm3,
            // RSAPublicKey is the modulus and a few octets.
            KeyKind::Rsa(bits) => {
                self.scheme == Scheme::RsaSha256 && self.public.len().abs_diff(usize::from(bits) / 8) < 64
            }
        }
    }

    /// Whether the private key is not on this machine.
    pub(super) fn is_away(&self) -> bool {
        matches!(self.pair, Pair::Away)
    }

    /// Whether a signature waits for a device, so that no thread which others wait for may make it.
    pub(super) fn waits(&self) -> bool {
        matches!(self.pair, Pair::Token(_))
    }

    /// Where the key is, for people.
    pub(super) fn place(&self) -> String {
        match &self.pair {
            Pair::Token(key) => key.place(),
            Pair::Away => "away".to_owned(),
            _ => "file".to_owned(),
        }
    }

    /// How it signs.
    pub(super) fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// A signature over a message: the content of `signatureValue`.
    pub(super) fn signature(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        match &self.pair {
            Pair::Sm2(pair) => pair.sign(message).ok_or_else(|| Error::internal("an SM2 key could not sign")),
            // A token may come back: whoever can try again later, should.
            Pair::Token(key) => key.sign(message).map_err(|cause| {
                Error::unavailable("The certificates' signing keys cannot be reached just now.", TOKEN_RETRY)
                    .because(cause)
            }),
            _ => self.sign(message).map_err(Error::internal),
        }
    }

    /// A to-be-signed structure with its signature around it, DER: what certificates, CRLs and basic OCSP answers are
    /// (RFC 5280 section 4.1).
    pub(super) fn signed(&self, tbs: &[u8]) -> Result<Vec<u8>, Error> {
        let signature = der::encode(der::BIT_STRING, &[&[0], &self.signature(tbs)?]);
        Ok(der::encode(der::SEQUENCE, &[tbs, self.scheme.identifier(), &signature]))
    }

    /// The SubjectPublicKeyInfo, DER.
    pub(super) fn spki(&self) -> Vec<u8> {
        match self.scheme {
            Scheme::Sm2WithSm3 => spki::of_point(&self.public),
            _ => self.subject_public_key_info(),
        }
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
        self.scheme.of_rcgen()
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
            Pair::Sm2(_) => Err(rcgen::Error::UnsupportedSignatureAlgorithm),
            Pair::Token(key) => key.sign(message).map_err(|error| {
                tracing::error!(%error, "the token made no signature");
                rcgen::Error::RemoteKeyError
            }),
            Pair::Away => Err(rcgen::Error::RemoteKeyError),
        }
    }
}

impl PublicKeyData for Unsigned {
    fn der_bytes(&self) -> &[u8] {
        self.0.der_bytes()
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        self.0.algorithm()
    }
}

impl SigningKey for Unsigned {
    fn sign(&self, _: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        Ok(vec![0])
    }
}
