//! JWSs that travel inside a request: the new key's consent to a key change, and external account bindings.

use aws_lc_rs::hmac;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{Flattened, Jws, KeyRef, Verifiers, header_members, json, required_text, shown};
use crate::domain::key::AccountKey;
use crate::domain::{Error, Result};

/// The inner JWS of a key change (RFC 8555 section 7.3.5), verified with the new key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyChange {
    /// The URL of the account, as the new key's holder wrote it.
    pub account: String,
    /// The key that the new key's holder believes the account has.
    pub old_key: AccountKey,
    /// The key that the account is to have.
    pub new_key: AccountKey,
}

/// An external account binding (RFC 8555 section 7.3.4), read and not yet verified.
#[derive(Debug, Clone)]
pub struct Binding {
    /// The identifier of the MAC key.
    pub kid: String,
    algorithm: hmac::Algorithm,
    url: String,
    parts: Flattened,
}

impl Verifiers {
    /// Reads and verifies the payload of a keyChange request: steps 2 to 6 of RFC 8555 section 7.3.5. `url` is that of
    /// the outer JWS. Steps 7 and 8 are [`KeyChange::check`]; step 9, the new key being nobody's, is the store's.
    pub fn key_change(&self, payload: &[u8], url: &str) -> Result<KeyChange> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Wire {
            account: String,
            old_key: Map<String, Value>,
        }
        let inner = Jws::parse(payload).map_err(|e| within("inner JWS", e))?;
        let KeyRef::Jwk(new_key) = &inner.header.key else {
            return Err(Error::malformed("The inner JWS must have the new public key in \"jwk\", and no \"kid\"."));
        };
        if inner.header.nonce.is_some() {
            return Err(Error::malformed("The inner JWS has a \"nonce\"; only the outer one has."));
        }
        self.verify(&inner, new_key).map_err(|e| within("inner JWS", e))?;
        same_url(&inner.header.url, url)?;
        let wire: Wire = json::object(inner.payload(), "payload of the inner JWS")?;
        let old_key = AccountKey::from_members(&wire.old_key).map_err(|e| within("member \"oldKey\"", e))?;
        Ok(KeyChange { account: wire.account, old_key, new_key: new_key.clone() })
    }
}

impl KeyChange {
    /// Whether both keys speak of the same account: `kid` is that of the outer JWS, `current` the account's key (steps
    /// 7 and 8 of RFC 8555 section 7.3.5).
    pub fn check(&self, kid: &str, current: &AccountKey) -> Result<()> {
        if self.account != kid {
            return Err(Error::malformed(
                "The member \"account\" of the inner JWS is not the \"kid\" of the outer JWS, letter for letter.",
            ));
        }
        if self.old_key != *current {
            return Err(Error::malformed("The member \"oldKey\" of the inner JWS is not the account's current key."));
        }
        Ok(())
    }
}

/// Reads an external account binding: the JSON text of the member `externalAccountBinding`.
pub fn external_binding(json: &str) -> Result<Binding> {
    let whole = |e| within("external account binding", e);
    let parts = Flattened::parse(json.as_bytes()).map_err(whole)?;
    let members = header_members(&parts.protected).map_err(whole)?;
    let algorithm = match required_text(&members, "alg").map_err(whole)? {
        "HS256" => hmac::HMAC_SHA256,
        "HS384" => hmac::HMAC_SHA384,
        "HS512" => hmac::HMAC_SHA512,
        other => {
            return Err(Error::malformed(format!(
                "The external account binding has \"alg\" \"{}\"; it is one of HS256, HS384 and HS512.",
                shown(other)
            )));
        }
    };
    if members.contains_key("nonce") {
        return Err(Error::malformed("The external account binding has a \"nonce\"; only the outer JWS has."));
    }
    let kid = required_text(&members, "kid").map_err(whole)?.to_owned();
    let url = required_text(&members, "url").map_err(whole)?.to_owned();
    Ok(Binding { kid, algorithm, url, parts })
}

impl Binding {
    /// Verifies it: steps 2, 4 and 5 of RFC 8555 section 7.3.4. `outer_key` is the `jwk` of the newAccount request,
    /// `url` its `url`.
    pub fn verify(&self, mac_key: &[u8], outer_key: &AccountKey, url: &str) -> Result<()> {
        same_url(&self.url, url)?;
        // RFC 7518 section 3.2: the key is at least as long as the hash.
        let least = self.algorithm.digest_algorithm().output_len();
        if mac_key.len() < least {
            return Err(Error::malformed(format!(
                "The external account binding is made with a MAC that needs a key of {least} octets; the key \"{}\" has \
                 {}. Use \"alg\" HS256.",
                shown(&self.kid),
                mac_key.len()
            )));
        }
        // By aws-lc, whose comparison takes the same time wherever the octets differ; that of the JWS library does not.
        let key = hmac::Key::new(self.algorithm, mac_key);
        hmac::verify(&key, self.parts.signing_input.as_bytes(), &self.parts.signature).map_err(|_| {
            Error::unauthorized(format!(
                "The MAC of the external account binding is not one by the key \"{}\". Check the key identifier and \
                 that the MAC key is decoded from base64url.",
                shown(&self.kid)
            ))
        })?;
        let members: Map<String, Value> = json::object(&self.parts.payload, "payload of the external account binding")?;
        let bound = AccountKey::from_members(&members).map_err(|e| within("external account binding", e))?;
        if bound == *outer_key {
            Ok(())
        } else {
            Err(Error::unauthorized("The external account binding is for another key than the one in \"jwk\"."))
        }
    }
}

/// RFC 8555 section 6.4: a request meant for one URL is not taken at another.
fn same_url(inner: &str, outer: &str) -> Result<()> {
    if inner == outer {
        return Ok(());
    }
    Err(Error::unauthorized(format!(
        "The \"url\" of the inner JWS is \"{}\", not that of the outer JWS.",
        shown(inner)
    )))
}

/// The same refusal, with the part of the request it is about.
fn within(part: &str, error: Error) -> Error {
    Error::new(error.kind(), format!("In the {part}: {}", error.problem().detail)).because(error)
}
