//! Fuzz targets of this module; see `crate::fuzzing`.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;

use super::jws::{self, Jws, KeyRef, Verifiers};
use crate::domain::key::AccountKey;

/// A key whose account the requests claim to be of (RFC 7515 appendix A.3).
const KEY: &str = r#"{"crv":"P-256","kty":"EC","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x0iSAR1kCrUyQ27ZLMOYJ__mJsPoXl0zHMzYxEvQMHY"}"#;

/// A request's body; and, so that a fuzzer need not learn base64url, three parts with zero octets between them, which are
/// encoded here.
pub fn jws(octets: &[u8]) {
    for body in [octets.to_vec(), encoded(octets)] {
        let nonce = jws::nonce_in(&body);
        let verifiers = Verifiers::new(4);
        let _ = verifiers.key_change(&body, "https://ca.test/acme/key-change");
        let Ok(jws) = Jws::parse(&body) else { continue };
        assert_eq!(jws.header.nonce, nonce, "a nonce is used up whatever becomes of its request");
        let key = match &jws.header.key {
            KeyRef::Jwk(key) => Some(key.clone()),
            KeyRef::Kid(_) => AccountKey::from_jwk(KEY).ok(),
        };
        if let Some(key) = key {
            let _ = verifiers.verify(&jws, &key);
            let again = AccountKey::from_jwk(key.jwk()).ok();
            assert_eq!(again.as_ref(), Some(&key), "the canonical form is read back");
        }
    }
}

/// The member `externalAccountBinding`, in the same two forms.
pub fn external_binding(octets: &[u8]) {
    let Ok(key) = AccountKey::from_jwk(KEY) else { return };
    for body in [octets.to_vec(), encoded(octets)] {
        let Ok(text) = str::from_utf8(&body) else { continue };
        let Ok(binding) = jws::external_binding(text) else { continue };
        let taken = binding.verify(&[7; 64], &key, "https://ca.test/acme/new-account");
        assert!(taken.is_err(), "nobody makes a MAC without the key");
    }
}

fn encoded(octets: &[u8]) -> Vec<u8> {
    let mut parts = octets.splitn(3, |octet| *octet == 0);
    let mut next = || URL_SAFE_NO_PAD.encode(parts.next().unwrap_or_default());
    json!({ "protected": next(), "payload": next(), "signature": next() }).to_string().into_bytes()
}
