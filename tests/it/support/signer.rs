//! A client's private keys, and the JWSs it makes with them: well-formed ones and, on demand, others.

#![allow(dead_code, reason = "whoever includes it uses a part of it")]

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{self, EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair as _, RsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

/// The algorithms a server is to know.
pub const ALGORITHMS: [&str; 5] = ["ES256", "ES384", "ES512", "EdDSA", "RS256"];

/// A private key.
pub struct Signer {
    alg: &'static str,
    key: Key,
}

enum Key {
    Ec(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    Rsa(Box<RsaKeyPair>),
}

impl Signer {
    /// A new key for one of `ALGORITHMS`.
    pub fn generate(alg: &'static str) -> Self {
        let key = match alg {
            "EdDSA" => Key::Ed25519(Ed25519KeyPair::generate().expect("a key")),
            "RS256" => Key::Rsa(Box::new(RsaKeyPair::generate(KeySize::Rsa2048).expect("a key"))),
            ec => Key::Ec(EcdsaKeyPair::generate(curve(ec)).expect("a key")),
        };
        Self { alg, key }
    }

    /// The key in a PKCS#8 file, such as that of a certificate.
    pub fn from_pkcs8(alg: &'static str, der: &[u8]) -> Self {
        let key = match alg {
            "EdDSA" => Key::Ed25519(Ed25519KeyPair::from_pkcs8(der).expect("an Ed25519 key")),
            "RS256" => Key::Rsa(Box::new(RsaKeyPair::from_pkcs8(der).expect("an RSA key"))),
            ec => Key::Ec(EcdsaKeyPair::from_pkcs8(curve(ec), der).expect("an EC key")),
        };
        Self { alg, key }
    }

    /// Its algorithm's name.
    pub fn alg(&self) -> &'static str {
        self.alg
    }

    /// The public key: the required members alone, in the order of their names.
    pub fn jwk(&self) -> Value {
        match &self.key {
            Key::Ec(key) => {
                let (x, y) = key.public_key().as_ref()[1..].split_at(key.public_key().as_ref().len() / 2);
                let crv = match self.alg {
                    "ES256" => "P-256",
                    "ES384" => "P-384",
                    _ => "P-521",
                };
                json!({ "crv": crv, "kty": "EC", "x": b64(x), "y": b64(y) })
            }
            Key::Ed25519(key) => json!({ "crv": "Ed25519", "kty": "OKP", "x": b64(key.public_key()) }),
            Key::Rsa(key) => {
                let numbers = |r: &mut yasna::BERReaderSeq<'_, '_>| {
                    Ok((r.next().read_bigint_bytes()?.0, r.next().read_bigint_bytes()?.0))
                };
                let (n, e) =
                    yasna::parse_der(key.public_key().as_ref(), |r| r.read_sequence(numbers)).expect("n and e");
                let significant = |octets: Vec<u8>| b64(&octets[usize::from(octets[0] == 0)..]);
                json!({ "e": significant(e), "kty": "RSA", "n": significant(n) })
            }
        }
    }

    /// RFC 7638, of which `jwk` gives the form.
    pub fn thumbprint(&self) -> String {
        b64(digest(&SHA256, self.jwk().to_string().as_bytes()))
    }

    /// RFC 8555 section 8.1.
    pub fn key_authorization(&self, token: &str) -> String {
        format!("{token}.{}", self.thumbprint())
    }

    /// A signature in the form of JWS.
    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match &self.key {
            Key::Ec(key) => key.sign(&random, message).expect("a signature").as_ref().to_vec(),
            Key::Ed25519(key) => key.sign(message).as_ref().to_vec(),
            Key::Rsa(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(&signature::RSA_PKCS1_SHA256, &random, message, &mut signature).expect("a signature");
                signature
            }
        }
    }

    /// A flattened JWS over a header and a payload as they are given.
    pub fn jws(&self, protected: &Value, payload: &[u8]) -> Value {
        self.jws_of_text(&protected.to_string(), payload)
    }

    /// A flattened JWS over a header that need not be JSON.
    pub fn jws_of_text(&self, protected: &str, payload: &[u8]) -> Value {
        let (protected, payload) = (b64(protected), b64(payload));
        let signature = self.sign(format!("{protected}.{payload}").as_bytes());
        json!({ "protected": protected, "payload": payload, "signature": b64(signature) })
    }

    /// The payload of a keyChange request from this key to another (RFC 8555 section 7.3.5).
    pub fn key_change(&self, new: &Signer, account: &str, url: &str) -> Value {
        let payload = json!({ "account": account, "oldKey": self.jwk() }).to_string();
        new.jws(&json!({ "alg": new.alg, "jwk": new.jwk(), "url": url }), payload.as_bytes())
    }

    /// An `externalAccountBinding` for this key (RFC 8555 section 7.3.4); `alg` is HS256, HS384 or HS512.
    pub fn external_binding(&self, alg: &str, kid: &str, mac_key: &[u8], url: &str) -> Value {
        let protected = json!({ "alg": alg, "kid": kid, "url": url });
        mac_jws(alg, mac_key, &protected, self.jwk().to_string().as_bytes())
    }
}

/// A flattened JWS whose signature is a MAC.
pub fn mac_jws(alg: &str, mac_key: &[u8], protected: &Value, payload: &[u8]) -> Value {
    let algorithm = match alg {
        "HS256" => hmac::HMAC_SHA256,
        "HS384" => hmac::HMAC_SHA384,
        _ => hmac::HMAC_SHA512,
    };
    let (protected, payload) = (b64(protected.to_string()), b64(payload));
    let mac = hmac::sign(&hmac::Key::new(algorithm, mac_key), format!("{protected}.{payload}").as_bytes());
    json!({ "protected": protected, "payload": payload, "signature": b64(mac) })
}

/// base64url without padding.
pub fn b64(octets: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(octets)
}

fn curve(alg: &str) -> &'static EcdsaSigningAlgorithm {
    match alg {
        "ES256" => &signature::ECDSA_P256_SHA256_FIXED_SIGNING,
        "ES384" => &signature::ECDSA_P384_SHA384_FIXED_SIGNING,
        "ES512" => &signature::ECDSA_P521_SHA512_FIXED_SIGNING,
        other => panic!("no algorithm {other}"),
    }
}
