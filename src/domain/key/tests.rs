//! One key has one spelling, and bad keys have none.

use super::*;
use proptest::prelude::*;

/// Keys made by `openssl genpkey`, in canonical form, each with its algorithm and the SHA-256 of what
/// `openssl pkey -pubout -outform DER` writes.
const KEYS: [(&str, &str, &str); 5] = [
    (
        r#"{"crv":"P-256","kty":"EC","x":"VQd1CCweavSHpo6Q-ZTaFt_mKqeq28G4nOcuOsNOnyg","y":"FXSwC9YLBiCUknWlEb9OOCq7M2ho2J4dnRLq6CuD9k8"}"#,
        "ES256",
        "c6b09fc6b0554c94e6943c315ea7f4ae1061e087ffecf69a58ab033001c305df",
    ),
    (
        r#"{"crv":"P-384","kty":"EC","x":"3h_YpY0d6X408ihX2VbK238jz8sSQ7bj1n82u4cqzKyJOnf5zMo6zxgeE-QE_vEO","y":"rYHkTMDmOB0nHnEnFXHrhLpRcTlROZBn4Bjbv1Wn5r8YYQLJQF79kfi9UX7FMByX"}"#,
        "ES384",
        "30926dd0e876d97db05fcbc704e5fd180a71f606d2c16d15e0278f33dd124870",
    ),
    (
        r#"{"crv":"P-521","kty":"EC","x":"ANCp6PoIHCaaVRK6WKY_93njOMzyzStQFv5kglQxUnvV7oWexDMOKMu8swa7-tt4dd5INzuljuoSabQUvmccrkWk","y":"AHb3mfTnNljpswfQk_11s-osZ3-7wIeohWh6HhIqDGTYuBRx9hPnoHr_-YY5uhb4Jl4_bpJqwgdGitCj0UU761rc"}"#,
        "ES512",
        "8682e8dc8e6dd003534ddb7092870766724749dc25aa8080f01f6153e23597c0",
    ),
    (
        r#"{"crv":"Ed25519","kty":"OKP","x":"sA9XlW9SUtwJoMUbtYdQt027PbNlznuB-3IHzK3lmdU"}"#,
        "EdDSA",
        "1ba6305ba66514944fbb5fafb6c3c8f7ba084c38b13e786f69353fadd2e31ee2",
    ),
    (
        r#"{"e":"AQAB","kty":"RSA","n":"12n8VyIG_JF9WZFBJSoniwswm9x9OU9Tb1QoC00cjM-V_By4RKqSELotFeQo5UEfsThDYqRVJL0lfmXYK3sctNCeandh4Lmuo_d_Rsf7pT4cfK6G4dLxFQYffBFYAy4CXu39brrYhfk8yN88Me_2zbry0gExRrPpaMDh_9uS-U_8qsKdemjOvIrNmdI8a5EtFszrCF5_ciW9lE2V3zeHiOlayTSEpDwn9_fSDtkc1DIDZ5PADZ6lCpWVDqzJWl2LpTHR_M85luCfFH054LF46k27Z_GXSL1vs4eTvndndemWY1I8GtrW7hXwn8zdrCO8BqgFK3MPsT8cO8cVaYPYQw"}"#,
        "RS256",
        "8ac6465e140713dcb1a8b03284834b52cd488ab54473d503712c7c313bf5cc2c",
    ),
];

fn members(json: &str) -> Map<String, Value> {
    serde_json::from_str(json).expect("a JSON object")
}

/// Key number `index` with one member set.
fn with(index: usize, name: &str, value: impl Into<Value>) -> String {
    let mut members = members(KEYS[index].0);
    members.insert(name.to_owned(), value.into());
    Value::Object(members).to_string()
}

fn refusal(json: &str) -> (Kind, String) {
    let problem = AccountKey::from_jwk(json).expect_err(json).into_problem();
    (problem.kind, problem.detail)
}

#[test]
fn every_kind_of_key_is_read_and_hashed_as_openssl_hashes_it() {
    for (json, algorithm, spki) in KEYS {
        let key = AccountKey::from_jwk(json).expect(algorithm);
        assert_eq!(key.jwk(), json);
        assert_eq!(key.algorithm().name(), algorithm);
        let hash: String = key.spki_sha256().iter().map(|octet| format!("{octet:02x}")).collect();
        assert_eq!(hash, spki, "{algorithm}");
        let stored = serde_json::to_string(&key).expect("keys are stored as JSON");
        assert_eq!(serde_json::from_str::<AccountKey>(&stored).expect("and read again"), key);
    }
}

#[test]
fn thumbprints_are_those_of_rfc_7638_and_rfc_8037() {
    let rsa = concat!(
        r#"{"kty": "RSA", "n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECP"#,
        "ebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgn",
        "Yb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-c",
        r#"sFCur-kEgU8awapJzKnqDKgw", "e": "AQAB", "alg": "RS256", "kid": "2011-04-29"}"#,
    );
    let ed = r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
    for (jwk, thumbprint) in
        [(rsa, "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"), (ed, "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k")]
    {
        assert_eq!(AccountKey::from_jwk(jwk).expect("an RFC's example").thumbprint(), thumbprint);
    }
}

#[test]
fn what_a_jwk_says_besides_the_key_makes_no_other_key() {
    let plain = AccountKey::from_jwk(KEYS[0].0).expect("a key");
    for (name, value) in [
        ("alg", serde_json::json!("ES256")),
        ("use", serde_json::json!("sig")),
        ("kid", serde_json::json!("anything")),
        ("key_ops", serde_json::json!(["verify"])),
        ("x5c", serde_json::json!(["AAAA"])),
        ("x5t#S256", serde_json::json!("AAAA")),
        ("ext", serde_json::json!(true)),
    ] {
        assert_eq!(AccountKey::from_jwk(&with(0, name, value)).expect(name), plain, "{name}");
    }
    let escaped = KEYS[0].0.replace("VQd1", r"\u0056Qd1");
    assert_eq!(AccountKey::from_jwk(&escaped).expect("the same text"), plain);
}

#[test]
fn unfit_keys_are_refused_as_bad_public_key_with_the_reason() {
    let b64 = |octets: &[u8]| URL_SAFE_NO_PAD.encode(octets);
    let octets = |index: usize, name: &str| {
        let text = members(KEYS[index].0)[name].as_str().map(str::to_owned).unwrap_or_default();
        URL_SAFE_NO_PAD.decode(text).expect("base64url")
    };
    let (x, n) = (octets(0, "x"), octets(4, "n"));
    let off_by_one = [&x[..31], &[x[31] ^ 1]].concat();
    let even = [&n[..255], &[n[255] ^ 1]].concat();
    let p = [&[0xed][..], &[0xff; 30], &[0x7f]].concat();
    let rows: &[(String, &str)] = &[
        (with(0, "x", b64(&x[1..])), "JWS-20: 31 octets; a coordinate on P-256 has 32"),
        (with(0, "x", b64(&[&[0][..], &x].concat())), "JWS-20: 33 octets"),
        (with(0, "x", b64(&off_by_one)), "JWS-20: not a point"),
        (with(0, "y", b64(&[0; 32])), "JWS-20: not a point"),
        (with(0, "crv", "P-384"), "JWS-20: 32 octets; a coordinate on P-384 has 48"),
        (with(2, "x", b64(&octets(2, "x")[1..])), "JWS-20: 65 octets; a coordinate on P-521 has 66"),
        (with(0, "crv", "secp256k1"), "JWS-17: curve \"secp256k1\" is not supported"),
        (with(3, "crv", "Ed448"), "JWS-17: curve \"Ed448\" is not supported"),
        (with(3, "crv", "X25519"), "JWS-17: curve \"X25519\" is not supported"),
        (with(0, "kty", "oct"), "JWS-17: key type \"oct\" is not supported"),
        (with(0, "kty", "ec"), "JWS-17: key type \"ec\" is not supported"),
        (with(0, "kty", 1), "JWS-17: \"kty\" is missing or not a string"),
        (with(0, "y", Value::Null), "JWS-17: \"y\" is missing or not a string"),
        (with(3, "x", b64(&octets(3, "x")[1..])), "8037-2: 31 octets; an Ed25519 key has 32"),
        (with(3, "x", ""), "8037-2: 0 octets; an Ed25519 key has 32"),
        (with(3, "x", b64(&p)), "8032-5.1.3: does not encode a point"),
        (with(4, "n", b64(&n[1..])), "JWS-21: 2039 bits"),
        (with(4, "n", b64(&[&[0x7f][..], &n[1..]].concat())), "JWS-21: 2047 bits"),
        (with(4, "n", b64(&[&[1], &n[..], &n[..]].concat())), "JWS-21: 4097 bits"),
        (with(4, "n", b64(&[&[0], &n[..]].concat())), "7518-6.3.1: begins with a zero octet"),
        (with(4, "n", ""), "7518-6.3.1: is empty"),
        (with(4, "n", b64(&even)), "JWS-21: modulus is even"),
        (with(4, "e", "AQ"), "JWS-21: exponent is not"),
        (with(4, "e", "Ag"), "JWS-21: exponent is not"),
        (with(4, "e", "AQAA"), "JWS-21: exponent is not"),
        (with(4, "e", "AQAAAAE"), "JWS-21: exponent is not"),
        (with(4, "e", "AAEAAQ"), "7518-6.3.1: \"e\" is empty or begins with a zero octet"),
        (with(4, "e", ""), "7518-6.3.1: \"e\" is empty"),
        (with(4, "e", "AQAB="), "TR-06: not base64url"),
        (with(4, "e", "AQ+B"), "TR-07: not base64url"),
        (with(4, "e", "A QAB"), "TR-07: not base64url"),
        (with(4, "e", "AR"), "TR-07: not base64url"),
        (with(0, "d", "AAAA"), "JWS-22: private member \"d\""),
        (with(4, "p", "AAAA"), "JWS-22: private member \"p\""),
        (with(4, "oth", Value::Null), "JWS-22: private member \"oth\""),
        (r#"{"kty":"oct","k":"AAAA"}"#.to_owned(), "JWS-22: private member \"k\""),
        (with(0, "use", "enc"), "7517-4.2: its member \"use\" says"),
        (with(0, "key_ops", serde_json::json!(["deriveKey"])), "7517-4.3: its member \"key_ops\" says"),
        (with(0, "alg", "ES384"), "7517-4.4: its member \"alg\" says that it is not for ES256"),
        ("{}".to_owned(), "JWS-17: \"kty\" is missing"),
    ];
    for (json, row) in rows {
        let (_, expected) = row.split_once(": ").expect("rule id: reason");
        let (kind, detail) = refusal(json);
        assert_eq!(kind, Kind::BadPublicKey, "{row}: {detail}");
        assert!(detail.contains(expected), "{row}: {detail}");
    }
}

#[test]
fn what_is_no_json_object_with_distinct_members_is_malformed() {
    let twice = KEYS[0].0.replace(r#""kty":"EC","#, r#""kty":"EC","kty":"EC","#);
    for json in ["", "1", "[]", "null", "{", "{}{}", "\u{feff}{}", &twice, &format!("{} x", KEYS[0].0)] {
        assert_eq!(refusal(json).0, Kind::Malformed, "{json}");
    }
}

#[test]
fn algorithms_are_known_by_their_names_alone() {
    for algorithm in SignatureAlgorithm::ALL {
        assert_eq!(SignatureAlgorithm::parse(algorithm.name()), Some(algorithm));
    }
    assert_eq!(SignatureAlgorithm::parse("Ed25519"), Some(SignatureAlgorithm::EdDsa));
    for name in ["none", "HS256", "es256", "ES256K", "PS256", "RS384", "Ed448", ""] {
        assert_eq!(SignatureAlgorithm::parse(name), None, "{name}");
    }
}

proptest! {
    #[test]
    fn no_text_makes_the_reader_panic(text in ".{0,200}") {
        let _ = AccountKey::from_jwk(&text);
    }

    /// Whatever one character of a JWK is changed to, the result is refused or is another key, never the same key
    /// spelled otherwise.
    #[test]
    fn a_changed_character_never_gives_the_same_key(index in 0..KEYS.len(), at: prop::sample::Index, to in " -~") {
        let json = KEYS[index].0;
        let at = at.index(json.len());
        let changed = format!("{}{to}{}", &json[..at], &json[at + 1..]);
        if let Ok(key) = AccountKey::from_jwk(&changed) {
            prop_assert_eq!(key.jwk() == json, changed == json);
            prop_assert_eq!(key.jwk(), changed);
        }
    }
}
