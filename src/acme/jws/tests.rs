//! What a JWS must be, and what it must not.

use proptest::prelude::*;
use serde_json::json;

use super::*;

#[path = "../../../tests/it/support/signer.rs"]
mod signer;

use signer::{ALGORITHMS, Signer, b64, mac_jws};

const URL: &str = "https://localhost:14000/acme/new-account";
const KID: &str = "https://localhost:14000/acme/account/evOfKhNU60wg";
const MAC_KEY: &[u8] = &[7; 64];

fn text(value: &Value) -> Vec<u8> {
    value.to_string().into_bytes()
}

/// The header of a request that names its key by `jwk`.
fn header(signer: &Signer) -> Value {
    json!({ "alg": signer.alg(), "jwk": signer.jwk(), "nonce": "AAAA", "url": URL })
}

/// The same with one member set, or taken out when `value` is null.
fn header_with(signer: &Signer, name: &str, value: Value) -> Value {
    let mut header = header(signer);
    match value {
        Value::Null => header.as_object_mut().expect("an object").remove(name),
        value => header.as_object_mut().expect("an object").insert(name.to_owned(), value),
    };
    header
}

fn account_key(signer: &Signer) -> AccountKey {
    AccountKey::from_jwk(&signer.jwk().to_string()).expect("a key")
}

/// What a server does with a request: reads it, and verifies it with the key in `jwk` or with `known`.
fn accept(body: &[u8], known: &AccountKey) -> Result<Jws> {
    let jws = Jws::parse(body)?;
    let key = match &jws.header.key {
        KeyRef::Jwk(key) => key,
        KeyRef::Kid(_) => known,
    };
    Verifiers::new(10).verify(&jws, key)?;
    Ok(jws)
}

/// The kind and detail of a refusal.
fn refusal<T: std::fmt::Debug>(result: Result<T>) -> (Kind, String) {
    let problem = result.expect_err("to be refused").into_problem();
    (problem.kind, problem.detail)
}

fn assert_refused<T: std::fmt::Debug>(result: Result<T>, expected: Kind, row: &str) {
    let (rule, words) = row.split_once(": ").expect("rule id: words");
    let (kind, detail) = refusal(result);
    assert_eq!(kind, expected, "{rule}: {detail}");
    assert!(detail.contains(words), "{rule}: {words:?} is not in {detail:?}");
}

#[test]
fn requests_of_all_algorithms_are_accepted_by_jwk_and_by_kid() {
    let verifiers = Verifiers::default();
    for alg in ALGORITHMS {
        let signer = Signer::generate(alg);
        let key = account_key(&signer);
        assert_eq!(key.thumbprint(), signer.thumbprint());

        let jws = Jws::parse(&text(&signer.jws(&header(&signer), b"{}"))).expect(alg);
        assert_eq!(jws.header.key, KeyRef::Jwk(key.clone()));
        assert_eq!((jws.header.required_nonce().ok(), jws.header.url.as_str()), (Some("AAAA"), URL));
        assert_eq!(jws.payload(), b"{}");
        verifiers.verify(&jws, &key).expect(alg);

        let header = json!({ "alg": alg, "kid": KID, "nonce": "AAAA", "url": URL, "unknown": {} });
        let jws = Jws::parse(&text(&signer.jws(&header, b""))).expect(alg);
        assert_eq!(jws.header.key, KeyRef::Kid(KID.to_owned()));
        assert_eq!(jws.payload(), b"", "URL-06");
        for _ in 0..2 {
            verifiers.verify(&jws, &key).expect("first with the key read, then with the verifier kept");
        }
    }
}

#[test]
fn ed25519_is_another_name_of_eddsa() {
    let signer = Signer::generate("EdDSA");
    let jws = signer.jws(&header_with(&signer, "alg", json!("Ed25519")), b"{}");
    accept(&text(&jws), &account_key(&signer)).expect("JWS-14");
}

#[test]
fn bodies_that_are_no_flattened_jws_are_malformed() {
    let signer = Signer::generate("ES256");
    let good = signer.jws(&header(&signer), b"{}");
    let with = |name: &str, value: Value| {
        let mut jws = good.clone();
        jws[name] = value;
        text(&jws)
    };
    let without = |name: &str| {
        let mut jws = good.clone();
        jws.as_object_mut().expect("an object").remove(name);
        text(&jws)
    };
    let part = |name: &str| good[name].as_str().expect("text").to_owned();
    let compact = [part("protected"), part("payload"), part("signature")].join(".");
    let twice = good.to_string().replacen('{', r#"{"payload":"","#, 1);
    let rows: &[(Vec<u8>, &str)] = &[
        (Vec::new(), "JWS-01: cannot be read"),
        (b"{}".to_vec(), "JWS-01: no member \"protected\""),
        (b"csr=AAAA".to_vec(), "JWS-01: cannot be read"),
        (compact.clone().into_bytes(), "JWS-04: cannot be read"),
        (format!("\"{compact}\"").into_bytes(), "JWS-04: cannot be read"),
        (format!("[{good}]").into_bytes(), "JWS-04: cannot be read"),
        (with("signatures", json!([])), "JWS-05: General JSON Serialization"),
        (with("header", json!({})), "JWS-06: unprotected \"header\""),
        (with("header", Value::Null), "JWS-06: unprotected \"header\""),
        (with("extra", json!(1)), "JWS-04: a member \"extra\""),
        (without("payload"), "JWS-07: no member \"payload\""),
        (without("signature"), "JWS-04: no member \"signature\""),
        (with("payload", Value::Null), "JWS-07: \"payload\" of the JWS is not a string"),
        (with("payload", json!("e30=")), "TR-06: \"payload\" of the JWS is not base64url"),
        (with("payload", json!("e31")), "TR-07: \"payload\" of the JWS is not base64url"),
        (with("signature", json!(part("signature") + " ")), "TR-07: \"signature\" of the JWS is not base64url"),
        (with("protected", json!("a+b/")), "TR-07: \"protected\" of the JWS is not base64url"),
        (twice.into_bytes(), "TR-17: \"payload\" stands there twice"),
        (format!("{good}{good}").into_bytes(), "TR-17: trailing characters"),
    ];
    for (body, row) in rows {
        assert_refused(Jws::parse(body), Kind::Malformed, row);
    }
}

#[test]
fn headers_that_break_rfc_8555_section_6_2_are_refused() {
    let signer = Signer::generate("ES256");
    let rows: &[(&str, Value, Kind, &str)] = &[
        ("alg", Value::Null, Kind::Malformed, "JWS-10: no \"alg\""),
        ("alg", json!(7), Kind::Malformed, "JWS-10: \"alg\" is not a string"),
        ("alg", json!("none"), Kind::BadSignatureAlgorithm, "JWS-11: \"none\" are not supported; ES256, RS256"),
        ("alg", json!("HS256"), Kind::BadSignatureAlgorithm, "JWS-11: \"HS256\" are not supported"),
        ("alg", json!("es256"), Kind::BadSignatureAlgorithm, "JWS-16: \"es256\" are not supported"),
        ("alg", json!("PS256"), Kind::BadSignatureAlgorithm, "JWS-16: \"PS256\" are not supported"),
        ("alg", json!("ES384"), Kind::BadPublicKey, "JWS-18: signs with ES256"),
        ("alg", json!("RS256"), Kind::BadPublicKey, "JWS-17: signs with ES256"),
        ("jwk", Value::Null, Kind::Malformed, "JWS-10: neither \"kid\""),
        ("jwk", json!("AAAA"), Kind::Malformed, "JWS-10: \"jwk\" is not a JSON object"),
        ("jwk", json!({ "kty": "OKP", "crv": "Ed448", "x": "AA" }), Kind::BadPublicKey, "JWS-17: Ed448"),
        ("jwk", json!({ "kty": "oct", "k": "AAAA" }), Kind::BadPublicKey, "JWS-22: private member"),
        ("kid", json!(KID), Kind::Malformed, "JWS-23: both \"jwk\" and \"kid\""),
        ("url", Value::Null, Kind::Malformed, "URL-04: no \"url\""),
        ("url", json!([URL]), Kind::Malformed, "URL-04: \"url\" is not a string"),
        ("nonce", json!(1), Kind::Malformed, "NON-06: \"nonce\" is not a string"),
        ("crit", json!(["exp"]), Kind::Malformed, "JWS-09: \"crit\""),
        ("crit", json!([]), Kind::Malformed, "JWS-09: \"crit\""),
        ("b64", json!(false), Kind::Malformed, "JWS-08: \"b64\""),
        ("b64", json!(true), Kind::Malformed, "JWS-08: \"b64\""),
    ];
    for (name, value, kind, row) in rows {
        let jws = signer.jws(&header_with(&signer, name, value.clone()), b"{}");
        assert_refused(Jws::parse(&text(&jws)), *kind, row);
    }
    let twice = header(&signer).to_string().replacen('{', r#"{"alg":"none","#, 1);
    assert_refused(
        Jws::parse(&text(&signer.jws_of_text(&twice, b""))),
        Kind::Malformed,
        "TR-17: \"alg\" stands there twice",
    );
    let no_key = json!({ "alg": "ES256", "kid": 1, "nonce": "AAAA", "url": URL });
    assert_refused(Jws::parse(&text(&signer.jws(&no_key, b""))), Kind::Malformed, "JWS-10: \"kid\" is not a string");
}

#[test]
fn a_request_without_nonce_is_a_bad_nonce() {
    let signer = Signer::generate("ES256");
    let jws = Jws::parse(&text(&signer.jws(&header_with(&signer, "nonce", Value::Null), b""))).expect("readable");
    assert_refused(jws.header.required_nonce(), Kind::BadNonce, "NON-09: JWS has an invalid anti-replay nonce");
}

#[test]
fn signatures_of_other_keys_lengths_and_forms_are_refused() {
    for alg in ALGORITHMS {
        let signer = Signer::generate(alg);
        let key = account_key(&signer);
        let good = signer.jws(&header(&signer), b"{}");
        let other = Signer::generate(alg).jws(&header(&signer), b"{}");
        let octets = URL_SAFE_NO_PAD.decode(good["signature"].as_str().expect("text")).expect("base64url");
        let half = octets.len() / 2;
        let in_der = yasna::construct_der(|w| {
            w.write_sequence(|w| {
                w.next().write_bigint_bytes(&octets[..half], true);
                w.next().write_bigint_bytes(&octets[half..], true);
            });
        });
        let signatures = [
            Vec::new(),
            vec![0; octets.len()],
            vec![0xff; octets.len()],
            octets[1..].to_vec(),
            octets[..octets.len() - 1].to_vec(),
            [&[0], &octets[..]].concat(),
            [&octets[..], &[0]].concat(),
            [&octets[..half], &vec![0; half]].concat(),
            [&octets[half..], &octets[..half]].concat(),
            in_der,
        ];
        for signature in signatures {
            let mut jws = good.clone();
            jws["signature"] = b64(&signature).into();
            assert_refused(accept(&text(&jws), &key), Kind::Malformed, "JWS-19: JWS verification error");
        }
        assert_refused(accept(&text(&other), &key), Kind::Malformed, "JWS-29: JWS verification error");
        accept(&text(&good), &key).expect("the true one");
    }
}

#[test]
fn the_algorithm_is_that_of_the_accounts_key() {
    let (ec, rsa) = (Signer::generate("ES256"), Signer::generate("RS256"));
    let jws = Jws::parse(&text(&ec.jws(&json!({ "alg": "ES256", "kid": KID, "nonce": "", "url": URL }), b"")))
        .expect("readable");
    let verified = Verifiers::default().verify(&jws, &account_key(&rsa));
    assert_refused(
        verified,
        Kind::BadSignatureAlgorithm,
        "JWS-18: \"alg\" is ES256; the account's key signs with RS256",
    );
}

#[test]
fn a_verifier_is_kept_only_after_a_good_signature_and_only_for_its_key() {
    let verifiers = Verifiers::new(10);
    let (one, two) = (Signer::generate("ES256"), Signer::generate("ES256"));
    let by = |signer: &Signer| Jws::parse(&text(&signer.jws(&header(&one), b"{}"))).expect("readable");
    assert!(verifiers.verify(&by(&two), &account_key(&one)).is_err());
    assert_eq!(verifiers.by_thumbprint.len(), 0);
    verifiers.verify(&by(&one), &account_key(&one)).expect("its own");
    assert_eq!(verifiers.by_thumbprint.len(), 1);
    assert!(verifiers.verify(&by(&two), &account_key(&one)).is_err());
    assert!(verifiers.verify(&by(&one), &account_key(&two)).is_err());
}

#[test]
fn a_key_change_needs_the_consent_of_the_new_key() {
    let verifiers = Verifiers::default();
    for alg in ALGORITHMS {
        let (old, new) = (Signer::generate("ES256"), Signer::generate(alg));
        let change = verifiers.key_change(&text(&old.key_change(&new, KID, URL)), URL).expect(alg);
        assert_eq!(change.new_key, account_key(&new));
        change.check(KID, &account_key(&old)).expect(alg);
        assert_refused(change.check("kid", &account_key(&old)), Kind::Malformed, "KEY-07: \"account\"");
        assert_refused(change.check(KID, &account_key(&new)), Kind::Malformed, "KEY-08: \"oldKey\"");
    }
    let (old, new) = (Signer::generate("ES256"), Signer::generate("ES256"));
    let keys = json!({ "account": KID, "oldKey": old.jwk() });
    let inner = |header: Value, payload: &Value| text(&new.jws(&header, payload.to_string().as_bytes()));
    let plain = || json!({ "alg": "ES256", "jwk": new.jwk(), "url": URL });
    let rows: &[(Vec<u8>, Kind, &str)] = &[
        (b"{}".to_vec(), Kind::Malformed, "KEY-02: In the inner JWS: "),
        (text(&keys), Kind::Malformed, "KEY-02: In the inner JWS: "),
        (
            inner(json!({ "alg": "ES256", "kid": KID, "url": URL }), &keys),
            Kind::Malformed,
            "KEY-03: new public key in \"jwk\"",
        ),
        (inner(header(&new), &keys), Kind::Malformed, "KEY-06: has a \"nonce\""),
        (text(&old.jws(&plain(), &text(&keys))), Kind::Malformed, "KEY-04: JWS verification error"),
        (
            inner(json!({ "alg": "ES256", "jwk": new.jwk(), "url": KID }), &keys),
            Kind::Unauthorized,
            "KEY-05: not that of the outer",
        ),
        (inner(plain(), &json!({ "account": KID })), Kind::Malformed, "KEY-07: missing field `oldKey`"),
        (
            inner(plain(), &json!({ "account": KID, "oldKey": {} })),
            Kind::BadPublicKey,
            "KEY-08: In the member \"oldKey\"",
        ),
        (inner(plain(), &json!([KID, old.jwk()])), Kind::Malformed, "KEY-07: expected a JSON object"),
    ];
    for (payload, kind, row) in rows {
        assert_refused(verifiers.key_change(payload, URL), *kind, row);
    }
}

#[test]
fn an_external_binding_holds_for_its_key_url_and_mac_alone() {
    let signer = Signer::generate("ES256");
    let key = account_key(&signer);
    for alg in ["HS256", "HS384", "HS512"] {
        let binding = signer.external_binding(alg, "kid-1", MAC_KEY, URL).to_string();
        let binding = external_binding(&binding).expect(alg);
        assert_eq!(binding.kid, "kid-1");
        binding.verify(MAC_KEY, &key, URL).expect(alg);
        assert_refused(
            binding.verify(&[8; 64], &key, URL),
            Kind::Unauthorized,
            "EAB-07: is not one by the key \"kid-1\"",
        );
        assert_refused(binding.verify(MAC_KEY, &key, KID), Kind::Unauthorized, "EAB-06: \"url\" of the inner JWS");
        let other = account_key(&Signer::generate("ES256"));
        assert_refused(binding.verify(MAC_KEY, &other, URL), Kind::Unauthorized, "EAB-02: for another key");
    }
    let binding = signer.external_binding("HS512", "kid-1", &MAC_KEY[..32], URL).to_string();
    let verified = external_binding(&binding).and_then(|binding| binding.verify(&MAC_KEY[..32], &key, URL));
    assert_refused(verified, Kind::Malformed, "7518-3.2: needs a key of 64 octets");
    // EAB-02: the same key spelled otherwise is the same key.
    let mut jwk = signer.jwk();
    jwk["kid"] = json!("mine");
    let protected = json!({ "alg": "HS256", "kid": "kid-1", "url": URL });
    let binding = mac_jws("HS256", MAC_KEY, &protected, &text(&jwk)).to_string();
    external_binding(&binding).and_then(|binding| binding.verify(MAC_KEY, &key, URL)).expect("EAB-02");
}

#[test]
fn external_bindings_that_break_their_rules_are_malformed() {
    let signer = Signer::generate("ES256");
    let with = |header: Value| mac_jws("HS256", MAC_KEY, &header, &text(&signer.jwk())).to_string();
    let rows: &[(String, &str)] = &[
        ("7".to_owned(), "EAB-02: In the external account binding: "),
        ("{}".to_owned(), "EAB-02: no member \"protected\""),
        (signer.jws(&json!({ "alg": "ES256", "kid": "k", "url": URL }), b"").to_string(), "EAB-03: \"ES256\""),
        (with(json!({ "alg": "none", "kid": "k", "url": URL })), "EAB-03: \"none\""),
        (with(json!({ "kid": "k", "url": URL })), "EAB-03: no \"alg\""),
        (with(json!({ "alg": "HS256", "url": URL })), "EAB-04: no \"kid\""),
        (with(json!({ "alg": "HS256", "kid": "k" })), "EAB-06: no \"url\""),
        (with(json!({ "alg": "HS256", "kid": "k", "url": URL, "nonce": "AAAA" })), "EAB-05: has a \"nonce\""),
        (with(json!({ "alg": "HS256", "kid": "k", "url": URL, "crit": [] })), "JWS-09: \"crit\""),
    ];
    for (json, row) in rows {
        assert_refused(external_binding(json), Kind::Malformed, row);
    }
}

/// One request for each algorithm, and its key: made once, because RSA keys take long.
fn requests() -> &'static [(Vec<u8>, AccountKey)] {
    static REQUESTS: std::sync::OnceLock<Vec<(Vec<u8>, AccountKey)>> = std::sync::OnceLock::new();
    REQUESTS.get_or_init(|| {
        let request = |alg| {
            let signer = Signer::generate(alg);
            let by_kid = json!({ "alg": alg, "kid": KID, "nonce": "AAAA", "url": URL });
            let header = if alg == "ES256" { by_kid } else { header(&signer) };
            (text(&signer.jws(&header, br#"{"identifiers":[]}"#)), account_key(&signer))
        };
        ALGORITHMS.map(request).into()
    })
}

proptest! {
    #[test]
    fn any_changed_octet_of_a_request_is_refused(which in 0..5_usize, at: prop::sample::Index, to in any::<u8>()) {
        let (body, key) = &requests()[which];
        let mut changed = body.clone();
        let at = at.index(body.len());
        prop_assume!(changed[at] != to);
        changed[at] = to;
        prop_assert!(accept(&changed, key).is_err(), "octet {at}");
    }

    #[test]
    fn a_request_cut_short_or_with_octets_put_in_is_refused(
        which in 0..5_usize, at: prop::sample::Index, more in prop::collection::vec(33..=126_u8, 1..6),
    ) {
        let (body, key) = &requests()[which];
        let at = at.index(body.len());
        prop_assert!(accept(&body[..at], key).is_err());
        let longer = [&body[..at], &more, &body[at..]].concat();
        prop_assert!(accept(&longer, key).is_err());
    }

    #[test]
    fn no_octets_make_the_readers_panic(
        octets in prop::collection::vec(any::<u8>(), 0..300), text in ".{0,200}", payload in ".{0,100}",
    ) {
        let _ = Jws::parse(&octets);
        let _ = external_binding(&text);
        let _ = Verifiers::new(1).key_change(text.as_bytes(), URL);
        let wrapped = json!({ "protected": b64(&text), "payload": b64(payload), "signature": b64(&octets) });
        let _ = Jws::parse(wrapped.to_string().as_bytes());
        let _ = external_binding(&wrapped.to_string());
    }
}

/// Every single octet, every single bit: the property above with nothing left to chance.
#[test]
fn every_flipped_bit_of_a_request_is_refused() {
    let (body, key) = &requests()[0];
    for at in 0..body.len() {
        for bit in 0..8 {
            let mut changed = body.clone();
            changed[at] ^= 1 << bit;
            assert!(accept(&changed, key).is_err(), "bit {bit} of octet {at}");
        }
    }
}
