//! Account keys: a public JWK, strictly read, with its RFC 7638 thumbprint.

use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ECDSA_P521_SHA512_FIXED, ParsedPublicKey, VerificationAlgorithm,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jose_jwk::{EcCurves, Key, OkpCurves};
use serde::de::{Deserializer, Error as _, MapAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use yasna::models::ObjectIdentifier;

use super::{Error, Kind, Result};

/// A public key that may sign ACME requests. Two spellings of one key are one value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountKey {
    /// The required members in lexical order without white space (RFC 7638 section 3.2): also a valid JWK.
    jwk: String,
    /// base64url(SHA-256(jwk)).
    thumbprint: String,
}

/// Signature algorithms of requests (RFC 7518, RFC 8037), each belonging to one kind of key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SignatureAlgorithm {
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// ECDSA on P-384 with SHA-384.
    Es384,
    /// ECDSA on P-521 with SHA-512.
    Es512,
    /// EdDSA on Ed25519.
    EdDsa,
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
}

impl AccountKey {
    /// Reads a JWK (JSON text). Refuses as `badPublicKey`, saying why: key types and curves that are not supported,
    /// members of the wrong length or with needless leading zeros, points off the curve, RSA keys that are not 2048 to
    /// 4096 bits or whose exponent or modulus is unfit, and JWKs with private members. Text that is no JSON object, or
    /// one with a member twice, is `malformed`.
    pub fn from_jwk(json: &str) -> Result<Self> {
        let DistinctMembers(members) =
            serde_json::from_str(json).map_err(|e| Error::malformed(format!("The JWK cannot be read: {e}.")))?;
        Self::from_members(&members)
    }

    /// Reads a JWK whose JSON has been parsed, no member name standing there twice; refuses as `from_jwk` does.
    pub fn from_members(members: &Map<String, Value>) -> Result<Self> {
        refuse_private_members(members)?;
        let material = Material::read(members)?;
        material.check()?;
        check_purpose(members, material.algorithm())?;
        let jwk = material.canonical();
        let thumbprint = URL_SAFE_NO_PAD.encode(digest(&SHA256, jwk.as_bytes()));
        Ok(Self { jwk, thumbprint })
    }

    /// The canonical JWK.
    pub fn jwk(&self) -> &str {
        &self.jwk
    }

    /// The RFC 7638 thumbprint, base64url.
    pub fn thumbprint(&self) -> &str {
        &self.thumbprint
    }

    /// The algorithm that goes with this key.
    pub fn algorithm(&self) -> SignatureAlgorithm {
        let of = |start: &str| self.jwk.starts_with(start);
        match () {
            () if of(r#"{"crv":"P-256""#) => SignatureAlgorithm::Es256,
            () if of(r#"{"crv":"P-384""#) => SignatureAlgorithm::Es384,
            () if of(r#"{"crv":"P-521""#) => SignatureAlgorithm::Es512,
            () if of(r#"{"crv":"Ed25519""#) => SignatureAlgorithm::EdDsa,
            () => SignatureAlgorithm::Rs256,
        }
    }

    /// SHA-256 of the key as SubjectPublicKeyInfo, DER: to see whether a CSR holds an account's key.
    pub fn spki_sha256(&self) -> [u8; 32] {
        let key = serde_json::from_str::<Key>(&self.jwk).ok().and_then(|key| Material::try_from(key).ok());
        let material = key.expect("jwk is what Material::canonical wrote of a key that was read and checked");
        let mut hash = [0; 32];
        hash.copy_from_slice(digest(&SHA256, &material.spki()).as_ref());
        hash
    }
}

impl SignatureAlgorithm {
    /// All of them, the most usual first.
    pub const ALL: [Self; 5] = [Self::Es256, Self::Rs256, Self::Es384, Self::EdDsa, Self::Es512];

    /// The name in the `alg` member of a protected header.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::Es512 => "ES512",
            Self::EdDsa => "EdDSA",
            Self::Rs256 => "RS256",
        }
    }

    /// The algorithm of that name, if it is supported. Names are case-sensitive.
    pub fn parse(name: &str) -> Option<Self> {
        // RFC 9864 section 2.2: "Ed25519" is the fully specified name of what "EdDSA" means here.
        let name = if name == "Ed25519" { "EdDSA" } else { name };
        Self::ALL.into_iter().find(|algorithm| algorithm.name() == name)
    }
}

impl fmt::Display for SignatureAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a public key is made of, big-endian.
enum Material {
    Ec { curve: Curve, x: Box<[u8]>, y: Box<[u8]> },
    Ed25519 { x: Box<[u8]> },
    Rsa { n: Box<[u8]>, e: Box<[u8]> },
}

/// A curve for ECDSA.
struct Curve {
    name: &'static str,
    /// Octets of a coordinate (RFC 7518 section 6.2.1.2).
    octets: usize,
    /// Its object identifier (RFC 5480 section 2.1.1.1).
    oid: &'static [u64],
    algorithm: SignatureAlgorithm,
    /// What reads a point of it.
    reader: &'static dyn VerificationAlgorithm,
}

const P256: Curve = Curve {
    name: "P-256",
    octets: 32,
    oid: &[1, 2, 840, 10045, 3, 1, 7],
    algorithm: SignatureAlgorithm::Es256,
    reader: &ECDSA_P256_SHA256_FIXED,
};
const P384: Curve = Curve {
    name: "P-384",
    octets: 48,
    oid: &[1, 3, 132, 0, 34],
    algorithm: SignatureAlgorithm::Es384,
    reader: &ECDSA_P384_SHA384_FIXED,
};
const P521: Curve = Curve {
    name: "P-521",
    octets: 66,
    oid: &[1, 3, 132, 0, 35],
    algorithm: SignatureAlgorithm::Es512,
    reader: &ECDSA_P521_SHA512_FIXED,
};

impl Material {
    /// Takes the members that make the key, and no others, so that what a JWK may also say is never looked at here.
    fn read(members: &Map<String, Value>) -> Result<Self> {
        let kty = text(members, "kty")?;
        let required: &[&str] = match kty {
            "EC" => &["crv", "x", "y"],
            "OKP" => &["crv", "x"],
            "RSA" => &["n", "e"],
            other => return Err(unsupported("key type", other)),
        };
        let mut key = Map::new();
        for name in ["kty"].iter().chain(required) {
            key.insert((*name).to_owned(), text(members, name)?.into());
        }
        match (kty, key.get("crv").and_then(Value::as_str)) {
            ("EC", Some("P-256" | "P-384" | "P-521")) | ("OKP", Some("Ed25519")) | ("RSA", None) => {}
            (_, crv) => return Err(unsupported("curve", crv.unwrap_or_default())),
        }
        // jose-b64 is strict as RFC 8555 section 6.1 demands: no padding, no bits left over.
        let key: Result<Key> = serde_json::from_value(Value::Object(key)).map_err(|_| {
            bad_key(format!("one of its members {} is not base64url without padding", required.join(", ")))
        });
        Self::try_from(key?)
    }

    /// RFC 8555 section 6.2, RFC 7518 sections 3.3 and 6, RFC 8037 section 2: what makes a key fit for signatures, and
    /// the one spelling of its numbers on which thumbprints depend (RFC 7638 section 7).
    fn check(&self) -> Result<()> {
        match self {
            Self::Ec { curve, x, y } => check_point(curve, x, y),
            Self::Ed25519 { x } => check_ed25519(x),
            Self::Rsa { n, e } => check_rsa(n, e),
        }
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        match self {
            Self::Ec { curve, .. } => curve.algorithm,
            Self::Ed25519 { .. } => SignatureAlgorithm::EdDsa,
            Self::Rsa { .. } => SignatureAlgorithm::Rs256,
        }
    }

    /// RFC 7638 section 3: required members only, ordered by name, no white space.
    fn canonical(&self) -> String {
        let b64 = |octets: &[u8]| URL_SAFE_NO_PAD.encode(octets);
        match self {
            Self::Ec { curve, x, y } => {
                format!(r#"{{"crv":"{}","kty":"EC","x":"{}","y":"{}"}}"#, curve.name, b64(x), b64(y))
            }
            Self::Ed25519 { x } => format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{}"}}"#, b64(x)),
            Self::Rsa { n, e } => format!(r#"{{"e":"{}","kty":"RSA","n":"{}"}}"#, b64(e), b64(n)),
        }
    }

    /// SubjectPublicKeyInfo, DER (RFC 5480 section 2, RFC 8410 section 4, RFC 3279 section 2.3.1).
    fn spki(&self) -> Vec<u8> {
        let oid = |arcs: &[u64]| ObjectIdentifier::from_slice(arcs);
        let key = match self {
            Self::Ec { x, y, .. } => uncompressed(x, y),
            Self::Ed25519 { x } => x.to_vec(),
            Self::Rsa { n, e } => yasna::construct_der(|w| {
                w.write_sequence(|w| {
                    w.next().write_bigint_bytes(n, true);
                    w.next().write_bigint_bytes(e, true);
                });
            }),
        };
        yasna::construct_der(|w| {
            w.write_sequence(|w| {
                w.next().write_sequence(|w| match self {
                    Self::Ec { curve, .. } => {
                        w.next().write_oid(&oid(&[1, 2, 840, 10045, 2, 1]));
                        w.next().write_oid(&oid(curve.oid));
                    }
                    Self::Ed25519 { .. } => w.next().write_oid(&oid(&[1, 3, 101, 112])),
                    Self::Rsa { .. } => {
                        w.next().write_oid(&oid(&[1, 2, 840, 113_549, 1, 1, 1]));
                        w.next().write_null();
                    }
                });
                w.next().write_bitvec_bytes(&key, key.len() * 8);
            });
        })
    }
}

impl TryFrom<Key> for Material {
    type Error = Error;

    fn try_from(key: Key) -> Result<Self> {
        match key {
            Key::Ec(ec) => {
                let curve = match ec.crv {
                    EcCurves::P256 => P256,
                    EcCurves::P384 => P384,
                    EcCurves::P521 => P521,
                    other => return Err(unsupported("curve", &format!("{other:?}"))),
                };
                Ok(Self::Ec { curve, x: ec.x.to_vec().into(), y: ec.y.to_vec().into() })
            }
            Key::Okp(okp) if okp.crv == OkpCurves::Ed25519 => Ok(Self::Ed25519 { x: okp.x.to_vec().into() }),
            Key::Rsa(rsa) => Ok(Self::Rsa { n: rsa.n.to_vec().into(), e: rsa.e.to_vec().into() }),
            _ => Err(unsupported("key type", "of this JWK")),
        }
    }
}

/// A point in the uncompressed form of SEC 1 section 2.3.3.
fn uncompressed(x: &[u8], y: &[u8]) -> Vec<u8> {
    [&[4], x, y].concat()
}

fn check_point(curve: &Curve, x: &[u8], y: &[u8]) -> Result<()> {
    // RFC 7518 section 6.2.1.2: the length of a coordinate is the full size of the field, leading zeros included.
    for (name, coordinate) in [("x", x), ("y", y)] {
        if coordinate.len() != curve.octets {
            let (is, must) = (coordinate.len(), curve.octets);
            return Err(bad_key(format!("\"{name}\" has {is} octets; a coordinate on {} has {must}", curve.name)));
        }
    }
    let on_curve = ParsedPublicKey::new(curve.reader, uncompressed(x, y)).is_ok();
    if on_curve { Ok(()) } else { Err(bad_key(format!("(x, y) is not a point of the curve {}", curve.name))) }
}

fn check_ed25519(x: &[u8]) -> Result<()> {
    let Some((last, rest)) = x.split_last().filter(|_| x.len() == 32) else {
        return Err(bad_key(format!("\"x\" has {} octets; an Ed25519 key has 32", x.len())));
    };
    // RFC 8032 section 5.1.3: y is below p = 2^255 - 19, little-endian; else a key would have two spellings.
    let reduced = last & 0x7f != 0x7f || rest[0] < 0xed || rest[1..].iter().any(|octet| *octet != 0xff);
    if reduced { Ok(()) } else { Err(bad_key("\"x\" does not encode a point of Ed25519")) }
}

fn check_rsa(n: &[u8], e: &[u8]) -> Result<()> {
    // RFC 7518 section 6.3.1 (Base64urlUInt): the least number of octets, so that a key has one spelling.
    for (name, number) in [("n", n), ("e", e)] {
        if number.first().is_none_or(|octet| *octet == 0) {
            return Err(bad_key(format!("\"{name}\" is empty or begins with a zero octet")));
        }
    }
    // RFC 7518 section 3.3: 2048 bits or more. The upper limit keeps one request from costing much.
    let bits = n.len() * 8 - n[0].leading_zeros() as usize;
    if !(2048..=4096).contains(&bits) {
        return Err(bad_key(format!("its modulus has {bits} bits; 2048 to 4096 are accepted")));
    }
    if n[n.len() - 1] & 1 == 0 {
        return Err(bad_key("its modulus is even"));
    }
    let exponent = e.iter().try_fold(0_u32, |sum, octet| sum.checked_mul(256).map(|sum| sum | u32::from(*octet)));
    match exponent {
        Some(exponent) if exponent >= 3 && exponent & 1 == 1 => Ok(()),
        _ => Err(bad_key("its exponent is not an odd number from 3 to 2^32 - 1; use 65537")),
    }
}

/// RFC 7517 section 9.2, RFC 7518 sections 6.2.2 and 6.3.2: what only the holder may know.
fn refuse_private_members(members: &Map<String, Value>) -> Result<()> {
    match ["d", "p", "q", "dp", "dq", "qi", "oth", "k"].iter().find(|name| members.contains_key(**name)) {
        Some(name) => Err(bad_key(format!(
            "it has the private member \"{name}\"; send the public key alone, and make a new key, because this one has \
             left its holder"
        ))),
        None => Ok(()),
    }
}

/// RFC 7517 section 4: what a JWK says of its own purpose may not speak against signatures; the rest is not looked at.
fn check_purpose(members: &Map<String, Value>, algorithm: SignatureAlgorithm) -> Result<()> {
    let says = |name: &str, fits: &dyn Fn(&Value) -> bool| match members.get(name) {
        Some(value) if !fits(value) => {
            Err(bad_key(format!("its member \"{name}\" says that it is not for {algorithm} signatures")))
        }
        _ => Ok(()),
    };
    says("use", &|value| value == "sig")?;
    says("key_ops", &|value| value.as_array().is_some_and(|ops| ops.iter().any(|op| op == "verify")))?;
    says("alg", &|value| value.as_str().and_then(SignatureAlgorithm::parse) == Some(algorithm))
}

fn text<'a>(members: &'a Map<String, Value>, name: &str) -> Result<&'a str> {
    let missing = || bad_key(format!("its member \"{name}\" is missing or not a string"));
    members.get(name).and_then(Value::as_str).ok_or_else(missing)
}

/// RFC 8555 section 6.2: the detail says why a key is rejected.
fn bad_key(why: impl fmt::Display) -> Error {
    Error::new(Kind::BadPublicKey, format!("The key in the JWK is not accepted: {why}."))
}

fn unsupported(what: &str, which: &str) -> Error {
    let which: String = which.chars().take(40).collect();
    bad_key(format!(
        "the {what} \"{}\" is not supported; EC keys on P-256, P-384 or P-521, RSA keys and OKP keys on Ed25519 are",
        which.escape_debug()
    ))
}

/// A JSON object in which no name stands twice (RFC 7517 section 4 lets a reader refuse others).
struct DistinctMembers(Map<String, Value>);

impl<'de> Deserialize<'de> for DistinctMembers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = DistinctMembers;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<DistinctMembers, A::Error> {
                let mut members = Map::new();
                while let Some((name, value)) = access.next_entry::<String, Value>()? {
                    if members.insert(name, value).is_some() {
                        return Err(A::Error::custom("a member stands there twice"));
                    }
                }
                Ok(DistinctMembers(members))
            }
        }
        deserializer.deserialize_map(Members)
    }
}

#[cfg(test)]
mod tests;
