//! External account binding (RFC 8555 section 7.3.4): MAC keys from the service, accounts that bring them.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chancery::domain::customer::{CustomerKind, ExternalKey};
use chancery::ra::{NewCustomer, NewExternalKey};
use serde_json::{Value, json};

use crate::support::client::{Client, Response};
use crate::support::operator::Operator;
use crate::support::signer::{ALGORITHMS, Signer, b64, mac_jws};
use crate::support::world::{BASE, World};

const DAY: Duration = Duration::from_secs(86_400);

/// A MAC key of a new customer.
async fn external_key(world: &World, days: Option<u32>) -> (ExternalKey, Vec<u8>) {
    let customer = NewCustomer::new("Example Ltd", CustomerKind::Enterprise);
    let customer = world.ra().create_customer(customer).await.unwrap().id;
    let key = world.ra().create_external_key(NewExternalKey { days, ..NewExternalKey::of(customer) }).await.unwrap();
    let octets = URL_SAFE_NO_PAD.decode(key.hmac_key.as_bytes()).expect("EAB-11");
    (key, octets)
}

/// Registers with a binding as given.
async fn register(client: &mut Client, binding: &Value) -> Response {
    client.new_account_of(json!({ "termsOfServiceAgreed": true, "externalAccountBinding": binding })).await
}

#[tokio::test]
async fn an_account_bound_by_any_of_the_macs_shows_its_binding() {
    let world = World::new().await;
    let (key, mac) = external_key(&world, None).await;
    assert!(mac.len() >= 64 && key.kid.is_ascii(), "EAB-04, EAB-11");
    for alg in ["HS256", "HS384", "HS512"] {
        let mut client = world.stranger();
        let url = client.resource("newAccount").await;
        let binding = client.signer.external_binding(alg, &key.kid, &mac, &url);
        let created = register(&mut client, &binding).await.expect(201).json();
        assert_eq!(created["externalAccountBinding"], binding, "EAB-03, EAB-09: {alg}");
        let fetched = client.post_as_get(client.kid()).await.expect(200).json();
        assert_eq!(fetched["externalAccountBinding"], binding, "EAB-09");
        let again = client.new_account_of(json!({})).await.expect(200).json();
        assert_eq!(again["externalAccountBinding"], binding);
        let ignored = client.post(client.kid(), &json!({ "externalAccountBinding": {} })).await.expect(200).json();
        assert_eq!(ignored["externalAccountBinding"], binding, "ACU-03");
        // EAB-12: by decision a MAC key binds any number of accounts.
    }
    let text = world.client().await.new_account().await.json().to_string();
    assert!(!text.contains("externalAccountBinding"), "EAB-10: {text}");
}

#[tokio::test]
async fn keys_of_every_kind_may_be_bound() {
    let world = World::new().await;
    let (key, mac) = external_key(&world, None).await;
    for alg in ALGORITHMS {
        let mut client = Client::with_key(world.router(), BASE, Signer::generate(alg));
        client.new_bound_account(&key.kid, &mac).await.expect(201);
    }
}

/// A row: what it is about, the binding, and how it is refused.
type Row = (&'static str, Value, u16, &'static str, &'static str);

#[tokio::test]
async fn bindings_that_do_not_hold_make_no_account() {
    let world = World::new().await;
    let (key, mac) = external_key(&world, None).await;
    let (_, other_mac) = external_key(&world, None).await;
    let client = world.stranger();
    let (kid, jwk, alg) = (&key.kid, client.jwk().to_string(), "HS256");
    let url = client.resource("newAccount").await;
    let signer = &client.signer;
    let header = || json!({ "alg": alg, "kid": kid, "url": url });
    let with = |name: &str, value: Value| {
        let mut header = header();
        header[name] = value;
        mac_jws(alg, &mac, &header, jwk.as_bytes())
    };
    let without = |name: &str| {
        let mut header = header();
        header.as_object_mut().unwrap().remove(name);
        mac_jws(alg, &mac, &header, jwk.as_bytes())
    };
    let about = |payload: &[u8]| mac_jws(alg, &mac, &header(), payload);
    let good = || about(jwk.as_bytes());
    let changed = |name: &str, value: Value| {
        let mut jws = good();
        jws[name] = value;
        jws
    };
    let mut padded: Value = client.jwk();
    padded["x"] = json!(b64([1; 33]));
    let short = good()["signature"].as_str().unwrap()[..20].to_owned();
    let rows: Vec<Row> = vec![
        ("EAB-07: other MAC key", signer.external_binding(alg, kid, &other_mac, &url), 403, "unauthorized", "MAC"),
        ("EAB-07: empty MAC key", signer.external_binding(alg, kid, &[], &url), 403, "unauthorized", "MAC"),
        (
            "EAB-07: MAC key as text",
            signer.external_binding(alg, kid, key.hmac_key.as_bytes(), &url),
            403,
            "unauthorized",
            "base64url",
        ),
        ("EAB-07: no MAC", changed("signature", json!("")), 403, "unauthorized", "MAC"),
        ("EAB-07: MAC cut short", changed("signature", json!(short)), 403, "unauthorized", "MAC"),
        ("EAB-04: unknown kid", signer.external_binding(alg, "nobody", &mac, &url), 403, "unauthorized", "\"nobody\""),
        ("EAB-04: empty kid", signer.external_binding(alg, "", &mac, &url), 403, "unauthorized", "\"\""),
        ("EAB-04: long kid", signer.external_binding(alg, &"k".repeat(5000), &mac, &url), 403, "unauthorized", "kkk"),
        (
            "EAB-04: no ASCII",
            signer.external_binding(alg, "b\u{fc}\n\u{202e}", &mac, &url),
            403,
            "unauthorized",
            "unknown",
        ),
        (
            "EAB-04: kid of another case",
            signer.external_binding(alg, &swapped(kid), &mac, &url),
            403,
            "unauthorized",
            "unknown",
        ),
        ("EAB-04: no kid", without("kid"), 400, "malformed", "\"kid\""),
        ("EAB-04: kid is no text", with("kid", json!(1)), 400, "malformed", "\"kid\""),
        ("EAB-06: other url", with("url", json!(format!("{BASE}/acme/new-order"))), 403, "unauthorized", "new-order"),
        (
            "EAB-06: url of another server",
            with("url", json!("https://other.test/acme/new-account")),
            403,
            "unauthorized",
            "other.test",
        ),
        ("EAB-06: no url", without("url"), 400, "malformed", "\"url\""),
        ("EAB-05: nonce", with("nonce", json!("AAAA")), 400, "malformed", "\"nonce\""),
        ("EAB-05: nonce null", with("nonce", Value::Null), 400, "malformed", "\"nonce\""),
        ("EAB-03: none", with("alg", json!("none")), 400, "malformed", "\"none\""),
        (
            "EAB-03: a signature",
            signer.jws(&json!({ "alg": "ES256", "kid": kid, "url": url }), jwk.as_bytes()),
            400,
            "malformed",
            "\"ES256\"",
        ),
        ("EAB-03: another MAC than made", with("alg", json!("HS512")), 403, "unauthorized", "MAC"),
        ("EAB-03: no alg", without("alg"), 400, "malformed", "\"alg\""),
        ("JWS-09: crit", with("crit", json!(["x"])), 400, "malformed", "\"crit\""),
        ("JWS-08: b64", with("b64", json!(false)), 400, "malformed", "\"b64\""),
        (
            "EAB-02: other key",
            about(Signer::generate("ES256").jwk().to_string().as_bytes()),
            403,
            "unauthorized",
            "another key",
        ),
        ("EAB-02: no key", about(b"{}"), 400, "badPublicKey", "binding"),
        ("EAB-02: key spelt otherwise", about(padded.to_string().as_bytes()), 400, "badPublicKey", "33 octets"),
        ("EAB-02: no payload", about(b""), 400, "malformed", "binding"),
        ("EAB-02: thumbprint", about(format!("\"{}\"", client.thumbprint()).as_bytes()), 400, "malformed", "binding"),
        ("EAB-02: unprotected header", changed("header", json!({ "kid": kid })), 400, "malformed", "\"header\""),
        ("EAB-02: no object", json!("x"), 400, "malformed", "binding"),
        ("EAB-02: empty object", json!({}), 400, "malformed", "\"protected\""),
        ("EAB-02: array", json!([good()]), 400, "malformed", "binding"),
        ("EAB-02: false", json!(false), 400, "malformed", "binding"),
    ];
    for (row, binding, status, kind, told) in rows {
        let answer = register(&mut client.clone(), &binding).await;
        assert_eq!(answer.status, status, "{row}: {answer}");
        let detail = answer.expect_problem(status, kind);
        assert!(detail.contains(told) && detail.len() < 600, "{row}: {detail}");
        assert!(!detail.contains(&**key.hmac_key) && !detail.contains('\u{202e}'), "{row}: {detail}");
        let existing = client.clone().new_account_of(json!({ "onlyReturnExisting": true })).await;
        existing.expect_problem(400, "accountDoesNotExist");
    }
    register(&mut client.clone(), &good()).await.expect(201);
}

fn swapped(text: &str) -> String {
    let swap = |c: char| if c.is_ascii_lowercase() { c.to_ascii_uppercase() } else { c.to_ascii_lowercase() };
    text.chars().map(swap).collect()
}

#[tokio::test]
async fn expired_and_withdrawn_keys_bind_no_more_and_what_they_bound_stays() {
    let world = World::new().await;
    let (lasting, lasting_mac) = external_key(&world, Some(2)).await;
    let (withdrawn, withdrawn_mac) = external_key(&world, None).await;
    let mut bound = world.stranger();
    bound.new_bound_account(&lasting.kid, &lasting_mac).await.expect(201);
    let mut bound_too = world.stranger();
    bound_too.new_bound_account(&withdrawn.kid, &withdrawn_mac).await.expect(201);
    world.ra().revoke_external_key(&withdrawn.kid, false).await.unwrap();
    world.clock.advance(2 * DAY - Duration::from_secs(1));
    world.stranger().new_bound_account(&lasting.kid, &lasting_mac).await.expect(201);
    world.clock.advance(Duration::from_secs(1));
    for (key, mac) in [(&lasting, &lasting_mac), (&withdrawn, &withdrawn_mac)] {
        let refused = world.stranger().new_bound_account(&key.kid, mac).await;
        assert!(refused.expect_problem(403, "unauthorized").contains(&key.kid), "EAB-07: {refused}");
    }
    for client in [&mut bound, &mut bound_too] {
        client.post_as_get(client.kid()).await.expect(200);
        client.new_account_of(json!({ "onlyReturnExisting": true })).await.expect(200);
    }
    // Clients send their binding each time they look their account up.
    bound_too.new_bound_account(&withdrawn.kid, &withdrawn_mac).await.expect(200);
}

#[tokio::test]
async fn a_service_that_demands_bindings_takes_no_account_without() {
    let world = World::with(|config| config.acme.external_account_required = true).await;
    let (key, mac) = external_key(&world, None).await;
    let mut client = world.stranger();
    for payload in [json!({}), json!({ "termsOfServiceAgreed": true, "externalAccountBinding": null })] {
        client.new_account_of(payload).await.expect_problem(403, "externalAccountRequired");
    }
    client.new_account_of(json!({ "onlyReturnExisting": true })).await.expect_problem(400, "accountDoesNotExist");
    client.new_bound_account(&key.kid, &mac).await.expect(201);
    // ACC-07: whoever has an account needs no binding to find it.
    client.new_account_of(json!({})).await.expect(200);
    client.change_key(Signer::generate("ES256")).await.expect(200);
    client.new_order(&["www.example.com"]).await.expect(201);
}

#[tokio::test]
async fn products_for_bound_accounts_are_refused_to_others() {
    let world = World::new().await;
    let (key, mac) = external_key(&world, None).await;
    let order = json!({ "identifiers": [{ "type": "dns", "value": "www.example.com" }], "profile": "bound" });
    let authz = json!({ "identifier": { "type": "dns", "value": "www.example.com" } });
    let directory = || format!("{BASE}/product/bound/directory");
    let free = world.client().await;
    for answer in [
        free.new_order_of(order.clone()).await,
        free.clone().with_directory(directory()).new_order(&["www.example.com"]).await,
        free.post(&free.clone().with_directory(directory()).resource("newAuthz").await, &authz).await,
    ] {
        assert!(answer.expect_problem(400, "invalidProfile").contains("\"bound\""), "PRO-02: {answer}");
    }
    let mut bound = world.stranger();
    bound.new_bound_account(&key.kid, &mac).await.expect(201);
    assert_eq!(bound.new_order_of(order).await.expect(201).json()["profile"], "bound");
    bound.post(&bound.clone().with_directory(directory()).resource("newAuthz").await, &authz).await.expect(201);
    // The binding goes along when the key changes.
    bound.change_key(Signer::generate("EdDSA")).await.expect(200);
    bound.clone().with_directory(directory()).new_order(&["more.example.com"]).await.expect(201);
}

#[tokio::test]
async fn a_key_made_through_the_rest_api_binds_an_account() {
    let world = World::new().await;
    let operator = Operator::of(&world);
    let customer = operator.post("/customers", &json!({ "name": "Example", "kind": "individual" })).await;
    let asked = json!({ "customer": customer["id"], "expires_days": 30 });
    let key = operator.post("/external-account-keys", &asked).await;
    let mac = URL_SAFE_NO_PAD.decode(key["hmac_key"].as_str().unwrap()).expect("EAB-11");
    let mut client = world.stranger();
    client.new_bound_account(key["kid"].as_str().unwrap(), &mac).await.expect(201);
}

#[tokio::test]
async fn a_large_binding_is_kept_whole() {
    let world = World::new().await;
    let (key, mac) = external_key(&world, None).await;
    let mut client = world.stranger();
    let mut jwk = client.jwk();
    jwk["note"] = json!("n".repeat(20_000));
    let header = json!({ "alg": "HS256", "kid": key.kid, "url": client.resource("newAccount").await });
    let binding = mac_jws("HS256", &mac, &header, jwk.to_string().as_bytes());
    register(&mut client, &binding).await.expect(201);
    assert_eq!(client.post_as_get(client.kid()).await.expect(200).json()["externalAccountBinding"], binding);
}

#[tokio::test]
async fn one_key_bound_twice_at_once_has_one_account() {
    let world = World::new().await;
    let (key, mac) = external_key(&world, None).await;
    let client = world.stranger();
    let requests: Vec<_> = (0..4)
        .map(|_| {
            let (mut client, kid, mac) = (client.clone(), key.kid.clone(), mac.clone());
            tokio::spawn(async move { client.new_bound_account(&kid, &mac).await.ok().location().to_owned() })
        })
        .collect();
    let mut urls = std::collections::BTreeSet::new();
    for request in requests {
        urls.insert(request.await.unwrap());
    }
    assert_eq!(urls.len(), 1, "ACC-09");
}
