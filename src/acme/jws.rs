//! JSON Web Signatures as ACME has them (RFC 7515, RFC 8555 section 6.2): reading, and verifying by josekit.

mod inner;

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use josekit::jwk::Jwk;
use josekit::jws::{ES256, ES384, ES512, EdDSA, JwsVerifier, RS256};
use quick_cache::sync::Cache;
use serde_json::{Map, Value};

pub use inner::{Binding, KeyChange, external_binding};

use super::{json, nonce};
use crate::domain::key::{AccountKey, SignatureAlgorithm};
use crate::domain::{Error, Kind, Result};

/// What `badSignatureAlgorithm` lists as supported (RFC 8555 section 6.2).
pub const SUPPORTED_ALGORITHMS: &[&str] = &[
    SignatureAlgorithm::ALL[0].name(),
    SignatureAlgorithm::ALL[1].name(),
    SignatureAlgorithm::ALL[2].name(),
    SignatureAlgorithm::ALL[3].name(),
    SignatureAlgorithm::ALL[4].name(),
];

/// A request's JWS, read and not yet verified: nothing in it is to be believed before [`Verifiers::verify`].
#[derive(Debug, Clone)]
pub struct Jws {
    /// The protected header.
    pub header: Header,
    parts: Flattened,
}

/// The protected header of a request (RFC 8555 section 6.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// `alg`, supported, and fitting the key where that is in `jwk`.
    pub alg: SignatureAlgorithm,
    /// `nonce`, as it stands there.
    pub nonce: Option<String>,
    /// `url`, as it stands there.
    pub url: String,
    /// `jwk` or `kid`.
    pub key: KeyRef,
}

/// How a request names the key that signed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyRef {
    /// By the key itself: newAccount, and revokeCert with the certificate's key.
    Jwk(AccountKey),
    /// By the URL of the account that has it.
    Kid(String),
}

/// The parts of a JWS in Flattened JSON Serialization (RFC 7515 section 7.2.2), decoded.
#[derive(Debug, Clone)]
pub struct Flattened {
    /// The protected header: JSON text.
    pub protected: Vec<u8>,
    /// The payload; empty in a POST-as-GET request (RFC 8555 section 6.3).
    pub payload: Vec<u8>,
    signature: Vec<u8>,
    /// What was signed (RFC 7515 section 5.1): both, encoded as they came, with a dot between.
    signing_input: String,
}

impl Jws {
    /// Reads a request's body. Refuses as `malformed`, `badSignatureAlgorithm` or `badPublicKey` what breaks a rule of
    /// RFC 8555 section 6.2, naming the rule.
    pub fn parse(body: &[u8]) -> Result<Self> {
        let parts = Flattened::parse(body)?;
        let header = Header::parse(&parts.protected)?;
        Ok(Self { header, parts })
    }

    /// The payload's octets.
    pub fn payload(&self) -> &[u8] {
        &self.parts.payload
    }
}

impl Header {
    /// The nonce, which every request must have (RFC 8555 section 6.5): without it, `badNonce`.
    pub fn required_nonce(&self) -> Result<&str> {
        self.nonce.as_deref().ok_or_else(|| nonce::invalid("the protected header has no \"nonce\""))
    }

    fn parse(protected: &[u8]) -> Result<Self> {
        let members = header_members(protected)?;
        let alg = algorithm(&members)?;
        let key = match (members.get("jwk"), members.get("kid")) {
            (Some(Value::Object(jwk)), None) => KeyRef::Jwk(key_for(alg, jwk)?),
            (None, Some(Value::String(kid))) => KeyRef::Kid(kid.clone()),
            (Some(_), Some(_)) => {
                return Err(Error::malformed(
                    "The protected header has both \"jwk\" and \"kid\"; it must have one of them (RFC 8555 section 6.2).",
                ));
            }
            (Some(_), None) => return Err(Error::malformed("The header parameter \"jwk\" is not a JSON object.")),
            (None, Some(_)) => return Err(Error::malformed("The header parameter \"kid\" is not a string.")),
            (None, None) => {
                return Err(Error::malformed(
                    "The protected header has neither \"kid\" (the account's URL) nor \"jwk\" (the public key).",
                ));
            }
        };
        let url = required_text(&members, "url")?.to_owned();
        Ok(Self { alg, nonce: optional_text(&members, "nonce")?.map(str::to_owned), url, key })
    }
}

impl Flattened {
    /// Takes a JWS apart. Refuses as `malformed` every other serialization, unprotected headers, detached payloads,
    /// members that do not belong there, and text that is not strict base64url.
    pub fn parse(body: &[u8]) -> Result<Self> {
        let members: Map<String, Value> = json::object(body, "JWS (a request is one in Flattened JSON Serialization)")?;
        if let Some(name) = members.keys().find(|name| !matches!(name.as_str(), "protected" | "payload" | "signature"))
        {
            return Err(foreign_member(name));
        }
        let part = |name: &str| match members.get(name) {
            Some(Value::String(part)) => Ok(part.as_str()),
            Some(_) => Err(Error::malformed(format!("The member \"{name}\" of the JWS is not a string."))),
            // RFC 8555 section 6.2: not detached. A POST-as-GET has "payload": "" (section 6.3).
            None => Err(Error::malformed(format!("The JWS has no member \"{name}\"."))),
        };
        let (protected, payload, signature) = (part("protected")?, part("payload")?, part("signature")?);
        Ok(Self {
            protected: decode("protected", protected)?,
            payload: decode("payload", payload)?,
            signature: decode("signature", signature)?,
            signing_input: [protected, ".", payload].concat(),
        })
    }
}

/// Verifies signatures. To make a verifier of a key costs more than to verify a signature with it, so the verifiers of
/// the keys in use are kept.
pub struct Verifiers {
    by_thumbprint: Cache<String, Arc<dyn JwsVerifier>>,
}

impl Verifiers {
    /// Keeps the verifiers of about `most` keys, those of the keys used most.
    pub fn new(most: usize) -> Self {
        Self { by_thumbprint: Cache::new(most) }
    }

    /// Verifies a request with the key of the account it names, or with the key in its `jwk`.
    ///
    /// An `alg` that is not the key's is `badSignatureAlgorithm`; a signature that does not fit is `malformed`.
    pub fn verify(&self, jws: &Jws, key: &AccountKey) -> Result<()> {
        // RFC 7518 section 3: each algorithm goes with one kind of key. A jwk was compared when it was read.
        if jws.header.alg != key.algorithm() {
            return Err(Error::new(
                Kind::BadSignatureAlgorithm,
                format!("\"alg\" is {}; the account's key signs with {}.", jws.header.alg, key.algorithm()),
            ));
        }
        let kept = self.by_thumbprint.get(key.thumbprint());
        let verifier = match &kept {
            Some(verifier) => verifier.clone(),
            None => verifier_of(key)?,
        };
        let parts = &jws.parts;
        verifier.verify(parts.signing_input.as_bytes(), &parts.signature).map_err(|e| {
            Error::malformed(
                "JWS verification error: the signature is not one of this request by this key. Check that the request \
                 is signed with the key of the account in \"kid\", or with that in \"jwk\".",
            )
            .because(e)
        })?;
        // Only now, so that requests without a good signature push nobody's verifier out.
        if kept.is_none() {
            self.by_thumbprint.insert(key.thumbprint().to_owned(), verifier);
        }
        Ok(())
    }
}

impl Default for Verifiers {
    /// Room for 20,000 keys, some 45 MB.
    fn default() -> Self {
        Self::new(20_000)
    }
}

/// The nonce in a body that is refused for something else: it has appeared in a request.
pub fn nonce_in(body: &[u8]) -> Option<String> {
    let protected = Flattened::parse(body).ok()?.protected;
    let members: Map<String, Value> = json::object(&protected, "protected header").ok()?;
    members.get("nonce").and_then(Value::as_str).map(str::to_owned)
}

fn verifier_of(key: &AccountKey) -> Result<Arc<dyn JwsVerifier>> {
    let jwk = Jwk::from_bytes(key.jwk()).map_err(Error::internal)?;
    let verifier: Result<Arc<dyn JwsVerifier>, _> = match key.algorithm() {
        SignatureAlgorithm::Es256 => ES256.verifier_from_jwk(&jwk).map(|v| Arc::new(v) as _),
        SignatureAlgorithm::Es384 => ES384.verifier_from_jwk(&jwk).map(|v| Arc::new(v) as _),
        SignatureAlgorithm::Es512 => ES512.verifier_from_jwk(&jwk).map(|v| Arc::new(v) as _),
        SignatureAlgorithm::EdDsa => EdDSA.verifier_from_jwk(&jwk).map(|v| Arc::new(v) as _),
        SignatureAlgorithm::Rs256 => RS256.verifier_from_jwk(&jwk).map(|v| Arc::new(v) as _),
    };
    // What AccountKey lets pass and OpenSSL does not, such as octets that are no point of Ed25519.
    verifier.map_err(|e| Error::new(Kind::BadPublicKey, "The key cannot be used to verify signatures.").because(e))
}

/// Reads a protected header and refuses extensions, none of which is understood here.
fn header_members(protected: &[u8]) -> Result<Map<String, Value>> {
    let members: Map<String, Value> = json::object(protected, "protected header")?;
    // RFC 7515 section 4.1.11: extensions named here must be understood, and an empty list is not allowed.
    if members.contains_key("crit") {
        return Err(Error::malformed("The protected header has \"crit\"; no critical extension is supported."));
    }
    // RFC 8555 section 6.2: the unencoded payload option (RFC 7797) is not used.
    if members.contains_key("b64") {
        return Err(Error::malformed("The protected header has \"b64\", which RFC 8555 section 6.2 forbids."));
    }
    Ok(members)
}

/// RFC 8555 section 6.2: never "none", never a MAC, nothing that is not supported.
fn algorithm(members: &Map<String, Value>) -> Result<SignatureAlgorithm> {
    let name = required_text(members, "alg")?;
    SignatureAlgorithm::parse(name).ok_or_else(|| {
        let supported = SUPPORTED_ALGORITHMS.join(", ");
        let detail = format!("Signatures with \"alg\" \"{}\" are not supported; {supported} are.", shown(name));
        Error::new(Kind::BadSignatureAlgorithm, detail)
    })
}

/// RFC 8555 section 6.2: a supported algorithm with a key that does not go with it is `badPublicKey`.
fn key_for(alg: SignatureAlgorithm, jwk: &Map<String, Value>) -> Result<AccountKey> {
    let key = AccountKey::from_members(jwk)?;
    if key.algorithm() == alg {
        return Ok(key);
    }
    let detail = format!("\"alg\" is {alg}, but the key in \"jwk\" signs with {}.", key.algorithm());
    Err(Error::new(Kind::BadPublicKey, detail))
}

fn foreign_member(name: &str) -> Error {
    Error::malformed(match name {
        "header" => "The JWS has an unprotected \"header\", which RFC 8555 section 6.2 forbids.".to_owned(),
        "signatures" => {
            "The JWS is in General JSON Serialization (\"signatures\"); RFC 8555 section 6.2 demands the flattened one \
             with a single \"signature\"."
                .to_owned()
        }
        other => format!(
            "The JWS has a member \"{}\"; only \"protected\", \"payload\" and \"signature\" belong there.",
            shown(other)
        ),
    })
}

/// RFC 8555 section 6.1: base64url without padding; RFC 4648 section 3.5: no bits left over.
fn decode(name: &str, text: &str) -> Result<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).map_err(|e| {
        Error::malformed(format!("The member \"{name}\" of the JWS is not base64url without padding: {e}."))
    })
}

fn required_text<'a>(members: &'a Map<String, Value>, name: &str) -> Result<&'a str> {
    let missing = || Error::malformed(format!("The protected header has no \"{name}\"."));
    optional_text(members, name)?.ok_or_else(missing)
}

fn optional_text<'a>(members: &'a Map<String, Value>, name: &str) -> Result<Option<&'a str>> {
    match members.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(Error::malformed(format!("The header parameter \"{name}\" is not a string."))),
    }
}

/// What a client wrote, fit to be quoted to it.
fn shown(text: &str) -> String {
    text.chars().take(100).collect::<String>().escape_debug().to_string()
}

#[cfg(test)]
mod tests;
