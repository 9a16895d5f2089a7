//! What makes a POST a request (RFC 8555 section 6): its JWS, its signer, its URL, its body.

use axum::body::Body;
use serde_json::{Value, json};

use crate::support::client::{Client, JOSE};
use crate::support::resources::resources;
use crate::support::signer::{ALGORITHMS, Signer, b64, mac_jws};
use crate::support::world::{BASE, World};

#[tokio::test]
async fn keys_of_every_algorithm_register_order_and_fetch() {
    let world = World::new().await;
    for alg in ALGORITHMS {
        let client = world.client_with(Signer::generate(alg)).await;
        client.post_as_get(client.kid()).await.expect(200);
        client.new_order(&["www.example.com"]).await.expect(201);
        // A key that another client made is none of this account's.
        let mut header = client.header(client.kid()).await;
        let forged = Signer::generate(alg).jws(&header, b"");
        client.send(client.kid(), &forged).await.expect_problem(400, "malformed");
        header["nonce"] = json!(client.nonce().await);
        client.send(client.kid(), &client.signer.jws(&header, b"")).await.expect(200);
    }
    // JWS-14: the fully specified name of RFC 9864.
    let client = world.client_with(Signer::generate("EdDSA")).await;
    let mut header = client.header(client.kid()).await;
    header["alg"] = json!("Ed25519");
    client.send(client.kid(), &client.signer.jws(&header, b"")).await.expect(200);
}

/// A row of a table: what it is about, how the protected header is altered, and how the request is refused.
type HeaderRow = (&'static str, fn(&mut Value), u16, &'static str, &'static str);

#[tokio::test]
async fn protected_headers_that_break_a_rule_are_refused_without_effect() {
    let world = World::new().await;
    let client = world.client().await;
    let rows: &[HeaderRow] = &[
        ("JWS-10: no alg", |h| drop(take(h, "alg")), 400, "malformed", "no \"alg\""),
        ("JWS-10: alg is a number", |h| h["alg"] = json!(256), 400, "malformed", "\"alg\""),
        ("JWS-11: none", |h| h["alg"] = json!("none"), 400, "badSignatureAlgorithm", "\"none\""),
        ("JWS-11: None", |h| h["alg"] = json!("None"), 400, "badSignatureAlgorithm", "\"None\""),
        ("JWS-11: HS256", |h| h["alg"] = json!("HS256"), 400, "badSignatureAlgorithm", "\"HS256\""),
        ("JWS-11: HS512", |h| h["alg"] = json!("HS512"), 400, "badSignatureAlgorithm", "\"HS512\""),
        ("JWS-16: lower case", |h| h["alg"] = json!("es256"), 400, "badSignatureAlgorithm", "\"es256\""),
        ("JWS-16: empty", |h| h["alg"] = json!(""), 400, "badSignatureAlgorithm", "\"\""),
        ("JWS-16: PS256", |h| h["alg"] = json!("PS256"), 400, "badSignatureAlgorithm", "ES256"),
        ("JWS-16: ES256K", |h| h["alg"] = json!("ES256K"), 400, "badSignatureAlgorithm", "ES256K"),
        ("JWS-18: of another key", |h| h["alg"] = json!("RS256"), 400, "badSignatureAlgorithm", "RS256"),
        ("JWS-18: of another curve", |h| h["alg"] = json!("ES384"), 400, "badSignatureAlgorithm", "ES384"),
        ("JWS-10: neither jwk nor kid", |h| drop(take(h, "kid")), 400, "malformed", "neither"),
        ("JWS-23: both", |h| h["jwk"] = Signer::generate("ES256").jwk(), 400, "malformed", "both"),
        ("JWS-23: both, jwk null", |h| h["jwk"] = Value::Null, 400, "malformed", "both"),
        ("JWS-27: kid is no text", |h| h["kid"] = json!([h["kid"]]), 400, "malformed", "\"kid\""),
        ("JWS-09: crit of something", |h| h["crit"] = json!(["exp"]), 400, "malformed", "\"crit\""),
        ("JWS-09: crit of what is there", |h| h["crit"] = json!(["nonce"]), 400, "malformed", "\"crit\""),
        ("JWS-09: crit empty", |h| h["crit"] = json!([]), 400, "malformed", "\"crit\""),
        ("JWS-09: crit null", |h| h["crit"] = Value::Null, 400, "malformed", "\"crit\""),
        ("JWS-08: b64 false", |h| h["b64"] = json!(false), 400, "malformed", "\"b64\""),
        ("JWS-08: b64 true", |h| h["b64"] = json!(true), 400, "malformed", "\"b64\""),
        ("URL-04: no url", |h| drop(take(h, "url")), 400, "malformed", "no \"url\""),
        ("URL-04: url is no text", |h| h["url"] = json!(7), 400, "malformed", "\"url\""),
        ("NON-09: no nonce", |h| drop(take(h, "nonce")), 400, "badNonce", "JWS has an invalid anti-replay nonce"),
        ("NON-06: nonce is no text", |h| h["nonce"] = json!(7), 400, "malformed", "\"nonce\""),
        ("NON-06: nonce null", |h| h["nonce"] = Value::Null, 400, "malformed", "\"nonce\""),
        ("TR-05: padded nonce", |h| append(h, "nonce", "="), 400, "malformed", "base64url"),
        ("TR-07: foreign character", |h| h["nonce"] = json!("a+b/"), 400, "malformed", "base64url"),
        ("TR-07: white space", |h| append(h, "nonce", " "), 400, "malformed", "base64url"),
        ("NON-06: empty nonce", |h| h["nonce"] = json!(""), 400, "malformed", "base64url"),
        ("NON-08: unknown nonce", |h| h["nonce"] = json!("AAAA"), 400, "badNonce", "anti-replay nonce"),
    ];
    for (row, alter, status, kind, told) in rows {
        let mut header = client.header(client.kid()).await;
        alter(&mut header);
        let jws = client.signer.jws(&header, br#"{"contact":["mailto:forged@example.com"]}"#);
        let answer = client.send(client.kid(), &jws).await;
        assert_eq!(answer.status, *status, "{row}: {answer}");
        let detail = answer.expect_problem(*status, kind);
        assert!(detail.contains(told), "{row}: {detail}");
        assert!(answer.header("replay-nonce").is_some(), "NON-02: {row}");
    }
    let account = client.post_as_get(client.kid()).await.expect(200).json();
    assert_eq!(account["contact"], json!([]), "JWS-29");
}

#[tokio::test]
async fn a_kid_is_the_accounts_url_letter_for_letter() {
    let world = World::new().await;
    let client = world.client().await;
    let kid = client.kid().to_owned();
    let id = kid.rsplit('/').next().unwrap();
    for bad in [
        id.to_owned(),
        format!("/acme/account/{id}"),
        format!("{kid}/"),
        format!("{kid}?x"),
        format!("{kid}#x"),
        format!(" {kid}"),
        format!("https://other.test:14000/acme/account/{id}"),
        format!("https://ca.test/acme/account/{id}"),
        format!("http://ca.test:14000/acme/account/{id}"),
        format!("https://CA.test:14000/acme/account/{id}"),
        format!("{BASE}/acme/../acme/account/{id}"),
        format!("{BASE}/acme/Account/{id}"),
        format!("{BASE}/acme/account/%{:02x}{}", id.as_bytes()[0], &id[1..]),
        format!("{BASE}/acme/account/AAAAAAAAAAAAAAAAAAAAAA"),
        format!("{BASE}/acme/account/"),
        String::new(),
        "x".repeat(30_000),
    ] {
        let mut header = client.header(&kid).await;
        header["kid"] = json!(bad);
        let answer = client.send(&kid, &client.signer.jws(&header, b"")).await;
        let detail = answer.expect_problem(400, "accountDoesNotExist");
        assert!(detail.len() < 1000, "JWS-27, JWS-28: {detail}");
    }
}

#[tokio::test]
async fn accounts_sign_by_kid_and_new_keys_by_jwk() {
    let world = World::new().await;
    let client = world.client().await;
    for resource in resources(&world, &client).await {
        let payload = resource.payload.as_ref().map(Value::to_string).unwrap_or_default();
        let (header, row) = match resource.name {
            "newAccount" => (client.header(&resource.url).await, "JWS-24"),
            // The other kind of signature is tried with revocation itself.
            "revokeCert" => continue,
            _ => (client.header_jwk(&resource.url).await, "JWS-26"),
        };
        let answer = client.send(&resource.url, &client.signer.jws(&header, payload.as_bytes())).await;
        let detail = answer.expect_problem(400, "malformed");
        assert!(detail.contains("\"kid\"") && detail.contains("\"jwk\""), "{row}: {}: {detail}", resource.name);
    }
}

#[tokio::test]
async fn bodies_that_are_no_flattened_jws_are_malformed() {
    let world = World::new().await;
    let client = world.client().await;
    let kid = client.kid().to_owned();
    let good = || async { client.signer.jws(&client.header(&kid).await, b"") };
    let mut rows: Vec<(&str, Vec<u8>)> = vec![
        ("JWS-01: nothing", Vec::new()),
        ("JWS-01: an object", b"{}".to_vec()),
        ("JWS-01: a payload", br#"{"contact":[]}"#.to_vec()),
        ("JWS-01: null", b"null".to_vec()),
        ("TR-04: no UTF-8", b"{\"protected\":\"\xff\"}".to_vec()),
        ("JWS-01: deep", [b"[".repeat(60_000), b"]".to_vec()].concat()),
    ];
    let jws = good().await;
    let text = |name: &str| jws[name].as_str().unwrap();
    rows.push((
        "JWS-04: compact",
        format!("{}.{}.{}", text("protected"), text("payload"), text("signature")).into_bytes(),
    ));
    let mut add = |row, jws: &Value| rows.push((row, jws.to_string().into_bytes()));
    for count in [1, 2] {
        let jws = good().await;
        let one = json!({ "protected": jws["protected"], "signature": jws["signature"] });
        add("JWS-04, JWS-05: general", &json!({ "payload": jws["payload"], "signatures": vec![one; count] }));
    }
    let mut jws = good().await;
    jws["signatures"] = json!([]);
    add("JWS-04: both forms", &jws);
    for header in [json!({}), json!({ "kid": kid }), json!({ "alg": "ES256" }), Value::Null] {
        let mut jws = good().await;
        jws["header"] = header;
        add("JWS-06: unprotected header", &jws);
    }
    for name in ["protected", "payload", "signature"] {
        for value in [json!(null), json!(7), json!({}), json!("a="), json!("a+/b"), json!("ab cd"), json!("AB")] {
            let mut jws = good().await;
            jws[name] = value;
            add("JWS-07, TR-05 to TR-07: no base64url text", &jws);
        }
        let mut jws = good().await;
        take(&mut jws, name);
        add("JWS-07: a part is missing", &jws);
        let mut jws = good().await;
        append(&mut jws, name, "=");
        add("TR-06: padded", &jws);
    }
    let mut jws = good().await;
    jws["extra"] = json!(1);
    add("JWS-04: another member", &jws);
    add("JWS-01: in an array", &json!([good().await]));
    let twice = good().await.to_string().replacen('{', r#"{"payload":"e30","#, 1);
    rows.push(("TR-17: payload twice", twice.into_bytes()));
    let twice = good().await.to_string().replacen('{', r#"{"paylo\u0061d":"","#, 1);
    rows.push(("TR-17: payload twice, once escaped", twice.into_bytes()));
    rows.push(("JWS-01: something after it", format!("{} {{}}", good().await).into_bytes()));
    rows.push(("TR-04: a byte order mark", format!("\u{feff}{}", good().await).into_bytes()));
    for (row, body) in rows {
        let answer = client.raw(&kid, body, JOSE).await;
        assert_eq!(answer.status, 400, "{row}: {answer}");
        answer.expect_problem(400, "malformed");
        assert!(answer.header("replay-nonce").is_some(), "NON-02: {row}");
    }
}

#[tokio::test]
async fn headers_and_payloads_with_a_member_twice_are_malformed() {
    let world = World::new().await;
    let client = world.client().await;
    let url = client.kid().to_owned();
    for member in [r#""alg":"ES256""#, r#""alg":"none""#, r#""kid":"x""#, r#""url":"x""#, r#""nonce":"AAAA""#] {
        let header = client.header(&url).await.to_string().replacen('{', &format!("{{{member},"), 1);
        let answer = client.send(&url, &client.signer.jws_of_text(&header, b"")).await;
        assert!(answer.expect_problem(400, "malformed").contains("twice"), "TR-17: {member}");
    }
    for payload in [
        r#"{"contact":["mailto:a@example.com"],"contact":[]}"#,
        r#"{"x":{"a":1,"a":2}}"#,
        r#"{"contact":[],"c\u006fntact":[]}"#,
    ] {
        let jws = client.signer.jws(&client.header(&url).await, payload.as_bytes());
        assert!(client.send(&url, &jws).await.expect_problem(400, "malformed").contains("twice"), "TR-17: {payload}");
    }
    for payload in ["[]", "null", "7", "\"\"", "{", "{}x", "{} {}", " ", "\u{feff}{}", r#"{"contact":"x"}"#] {
        let jws = client.signer.jws(&client.header(&url).await, payload.as_bytes());
        client.send(&url, &jws).await.expect_problem(400, "malformed");
    }
    let jws = client.signer.jws(&client.header(&url).await, b"{\"contact\":[\"\xff\"]}");
    client.send(&url, &jws).await.expect_problem(400, "malformed");
}

#[tokio::test]
async fn a_public_key_is_no_secret_to_sign_with() {
    let world = World::new().await;
    let client = world.client_with(Signer::generate("RS256")).await;
    let url = client.kid().to_owned();
    let jwk = client.jwk();
    let modulus = base64_decode(jwk["n"].as_str().unwrap());
    for (alg, secret) in [
        ("HS256", jwk.to_string().into_bytes()),
        ("HS256", modulus),
        ("HS512", client.thumbprint().into_bytes()),
        ("none", Vec::new()),
    ] {
        for name in [alg, "RS256"] {
            let mut header = client.header(&url).await;
            header["alg"] = json!(name);
            let mut jws = mac_jws(alg, &secret, &header, b"");
            if alg == "none" {
                jws["signature"] = json!("");
            }
            let kind = if name == "RS256" { "malformed" } else { "badSignatureAlgorithm" };
            client.send(&url, &jws).await.expect_problem(400, kind);
        }
    }
}

/// How a JWK is altered, for which algorithm, and what the refusal says.
type KeyRow = (&'static str, &'static str, fn(&mut Value), &'static str);

#[tokio::test]
async fn keys_that_are_unfit_or_spelt_in_another_way_are_refused() {
    let world = World::new().await;
    let rows: &[KeyRow] = &[
        ("JWS-20: short x", "ES256", |k| k["x"] = json!(shortened(&k["x"])), "has 31 octets"),
        ("JWS-20: long y", "ES256", |k| k["y"] = json!(zero_before(&k["y"])), "has 33 octets"),
        ("JWS-20: long x", "ES512", |k| k["x"] = json!(zero_before(&k["x"])), "has 67 octets"),
        ("JWS-20: off the curve", "ES384", |k| k["x"] = k["y"].clone(), "not a point"),
        ("JWS-20: at infinity", "ES256", |k| zero_point(k), "not a point"),
        ("JWS-18: another curve", "ES256", |k| k["crv"] = json!("P-384"), "48"),
        ("JWS-18: Koblitz", "ES256", |k| k["crv"] = json!("secp256k1"), "secp256k1"),
        ("JWS-18: Ed448", "EdDSA", |k| k["crv"] = json!("Ed448"), "Ed448"),
        ("JWS-18: X25519", "EdDSA", |k| k["crv"] = json!("X25519"), "X25519"),
        ("JWS-17: not reduced", "EdDSA", |k| k["x"] = json!(b64([0xff; 32])), "Ed25519"),
        ("JWS-17: short", "EdDSA", |k| k["x"] = json!(shortened(&k["x"])), "31 octets"),
        ("JWS-17: symmetric", "ES256", |k| *k = json!({ "kty": "oct", "k": "AAAA" }), "private member"),
        ("JWS-17: no type", "ES256", |k| drop(take(k, "kty")), "\"kty\""),
        ("JWS-17: no y", "ES256", |k| drop(take(k, "y")), "\"y\""),
        ("JWS-17: y is no text", "ES256", |k| k["y"] = json!(1), "\"y\""),
        ("JWS-21: zero before n", "RS256", |k| k["n"] = json!(zero_before(&k["n"])), "zero octet"),
        ("JWS-21: short n", "RS256", |k| k["n"] = json!(shortened(&k["n"])), "bits"),
        ("JWS-21: huge n", "RS256", |k| k["n"] = json!(b64([0xff; 1024])), "8192 bits"),
        ("JWS-21: even n", "RS256", |k| k["n"] = json!(b64([0xfe; 256])), "even"),
        ("JWS-21: e is 1", "RS256", |k| k["e"] = json!("AQ"), "exponent"),
        ("JWS-21: e is 2", "RS256", |k| k["e"] = json!("Ag"), "exponent"),
        ("JWS-21: zero before e", "RS256", |k| k["e"] = json!("AAEAAQ"), "zero octet"),
        ("JWS-21: huge e", "RS256", |k| k["e"] = k["n"].clone(), "exponent"),
        ("TR-06: padded", "ES256", |k| append(k, "x", "="), "base64url"),
        ("JWS-22: d", "ES256", |k| k["d"] = json!("AAAA"), "private member \"d\""),
        ("JWS-22: p", "RS256", |k| k["p"] = json!("AAAA"), "private member \"p\""),
        ("JWS-17: for encryption", "RS256", |k| k["use"] = json!("enc"), "\"use\""),
        ("JWS-17: for another algorithm", "ES256", |k| k["alg"] = json!("ES384"), "\"alg\""),
        ("JWS-17: to sign alone", "ES256", |k| k["key_ops"] = json!(["sign"]), "\"key_ops\""),
    ];
    for (row, alg, alter, told) in rows {
        let client = Client::with_key(world.router(), BASE, Signer::generate(alg));
        let url = client.resource("newAccount").await;
        let mut header = client.header_jwk(&url).await;
        alter(&mut header["jwk"]);
        let answer = client.send(&url, &client.signer.jws(&header, b"{}")).await;
        assert_eq!(answer.status, 400, "{row}: {answer}");
        let detail = answer.expect_problem(400, "badPublicKey");
        assert!(detail.contains(told), "{row}: {detail}");
        client.post_jwk(&url, &json!({ "onlyReturnExisting": true })).await.expect_problem(400, "accountDoesNotExist");
    }
    for (alg, other) in [("ES256", "ES384"), ("RS256", "ES256"), ("EdDSA", "RS256"), ("ES512", "EdDSA")] {
        let client = Client::with_key(world.router(), BASE, Signer::generate(alg));
        let url = client.resource("newAccount").await;
        let mut header = client.header_jwk(&url).await;
        header["alg"] = json!(other);
        let answer = client.send(&url, &client.signer.jws(&header, b"{}")).await;
        assert!(answer.expect_problem(400, "badPublicKey").contains(other), "JWS-18: {alg} as {other}");
    }
}

#[tokio::test]
async fn what_a_jwk_says_besides_the_key_makes_no_other_account() {
    let world = World::new().await;
    let client = world.client().await;
    let url = client.resource("newAccount").await;
    for extra in [
        json!({ "kid": "mine" }),
        json!({ "use": "sig", "alg": "ES256", "key_ops": ["verify"] }),
        json!({ "x5c": ["AAAA"], "anything": { "a": [1] } }),
    ] {
        let mut header = client.header_jwk(&url).await;
        header["jwk"].as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        let answer = client.send(&url, &client.signer.jws(&header, b"{}")).await.expect(200);
        assert_eq!(answer.location(), client.kid(), "ACC-09: {extra}");
    }
    // Further header parameters are no matter either.
    let mut header = client.header(client.kid()).await;
    header["typ"] = json!("JOSE");
    header["cty"] = json!("x");
    client.send(client.kid(), &client.signer.jws(&header, b"")).await.expect(200);
}

#[tokio::test]
async fn content_types_other_than_that_of_jose_are_refused() {
    let world = World::new().await;
    let client = world.client().await;
    let url = client.kid().to_owned();
    let ask = |content_type: &'static str| {
        let (client, url) = (client.clone(), url.clone());
        async move {
            let jws = client.signer.jws(&client.header(&url).await, b"");
            client.raw(&url, jws.to_string(), content_type).await
        }
    };
    for good in [
        "application/jose+json",
        "application/jose+json; charset=utf-8",
        "application/jose+json;charset=UTF-8",
        "Application/JOSE+JSON",
        " application/jose+json ; x=y",
    ] {
        ask(good).await.expect(200);
    }
    for bad in [
        "",
        "application/json",
        "application/jose",
        "application/jose+jso",
        "application/jose+jsonx",
        "text/plain; application/jose+json",
        "application/jose+json, text/plain",
        "application/x-www-form-urlencoded",
    ] {
        let answer = ask(bad).await;
        answer.expect_problem(415, "malformed");
        assert!(answer.header("replay-nonce").is_some(), "NON-02: {bad}");
    }
    let jws = client.signer.jws(&client.header(&url).await, b"").to_string();
    let answer = client.request(axum::http::Method::POST, &url, None, Body::from(jws)).await;
    answer.expect_problem(415, "malformed");
}

#[tokio::test]
async fn a_body_may_have_64_kib_and_no_more() {
    const MOST: usize = 65_536;
    let world = World::new().await;
    let client = world.client().await;
    let url = client.kid().to_owned();
    let padded = |length: usize| {
        let (client, url) = (client.clone(), url.clone());
        async move {
            let jws = client.signer.jws(&client.header(&url).await, b"").to_string();
            let padding = " ".repeat(length - jws.len());
            client.raw(&url, format!("{jws}{padding}"), JOSE).await
        }
    };
    padded(MOST).await.expect(200);
    let answer = padded(MOST + 1).await;
    assert!(answer.expect_problem(413, "malformed").contains("65536"), "TR-16: {answer}");
    assert!(answer.header("replay-nonce").is_some(), "NON-02");
    padded(4 << 20).await.expect_problem(413, "malformed");
}

#[tokio::test]
async fn what_is_fetched_takes_no_payload_and_what_is_asked_takes_one() {
    let world = World::new().await;
    let client = world.client().await;
    for resource in resources(&world, &client).await {
        let answer = match (&resource.payload, resource.name) {
            (None, "account" | "authorization" | "challenge") | (Some(_), "newAccount") => continue,
            (None, _) => client.post(&resource.url, &json!({})).await,
            // These may be fetched as well.
            (Some(_), "account update" | "authorization update" | "challenge answer") => {
                client.post_as_get(&resource.url).await.expect(200)
            }
            (Some(_), _) => client.post_as_get(&resource.url).await,
        };
        if !answer.status.is_success() {
            assert_eq!(answer.status, 400, "URL-06, URL-08: {}: {answer}", resource.name);
            answer.expect_problem(400, "malformed");
        }
    }
    // An empty object on an account changes nothing; on a challenge it is the answer.
    client.post(client.kid(), &json!({})).await.expect(200);
    let order = client.new_order(&["fetched.example.com"]).await.expect(201).json();
    let authz = client.authorizations(&order).await.remove(0);
    let url = authz["challenges"][0]["url"].as_str().unwrap();
    assert_eq!(client.post_as_get(url).await.expect(200).json()["status"], "pending", "URL-07");
    assert_eq!(client.post(url, &json!({})).await.expect(200).json()["status"], "valid", "URL-08");
}

fn take(object: &mut Value, name: &str) -> Value {
    object.as_object_mut().unwrap().remove(name).unwrap_or_else(|| panic!("no {name}"))
}

fn append(object: &mut Value, name: &str, more: &str) {
    object[name] = json!(format!("{}{more}", object[name].as_str().unwrap()));
}

fn base64_decode(text: &str) -> Vec<u8> {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(text).unwrap()
}

/// A number without its last octet.
fn shortened(number: &Value) -> String {
    let octets = base64_decode(number.as_str().unwrap());
    b64(&octets[..octets.len() - 1])
}

/// The same number, spelt with a zero octet before it.
fn zero_before(number: &Value) -> String {
    b64([vec![0], base64_decode(number.as_str().unwrap())].concat())
}

fn zero_point(key: &mut Value) {
    key["x"] = json!(b64([0; 32]));
    key["y"] = json!(b64([0; 32]));
}
