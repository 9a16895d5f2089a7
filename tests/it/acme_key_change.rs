//! Changing an account's key (RFC 8555 section 7.3.5).

use serde_json::{Value, json};

use crate::support::client::{Client, Response, csr};
use crate::support::signer::{ALGORITHMS, Signer};
use crate::support::world::{BASE, World};

#[tokio::test]
async fn the_new_key_signs_from_now_on_and_the_old_one_no_more() {
    let world = World::new().await;
    let mut client = world.client().await;
    let url = client.kid().to_owned();
    for alg in ALGORITHMS {
        let mut old = client.clone();
        let changed = client.change_key(Signer::generate(alg)).await.expect(200);
        assert_eq!(changed.json()["status"], "valid", "KEY-11");
        assert_eq!(changed.location(), url, "KEY-11");
        let refused = old.post_as_get(&url).await;
        let kind = if old.signer.alg() == alg { "malformed" } else { "badSignatureAlgorithm" };
        refused.expect_problem(400, kind);
        old.new_account_of(json!({ "onlyReturnExisting": true })).await.expect_problem(400, "accountDoesNotExist");
        let found = client.new_account_of(json!({ "onlyReturnExisting": true })).await.expect(200);
        assert_eq!(found.location(), url, "KEY-11");
    }
}

#[tokio::test]
async fn contacts_and_terms_stay_as_they_were() {
    let world = World::new().await;
    let mut client = world.stranger();
    let terms = json!({ "contact": ["mailto:a@example.com"], "termsOfServiceAgreed": true });
    let before = client.new_account_of(terms).await.expect(201).json();
    assert_eq!(client.change_key(Signer::generate("ES256")).await.expect(200).json(), before);
}

/// What a row may alter: the protected header and the payload of the inner JWS.
type Alter = fn(&mut Value, &mut Value);

#[tokio::test]
async fn inner_requests_that_break_a_rule_change_nothing() {
    let world = World::new().await;
    let mut client = world.client().await;
    let url = client.resource("keyChange").await;
    let rows: &[(&str, Alter, u16, &str, &str)] = &[
        ("KEY-03: no jwk", |h, _| drop(h.as_object_mut().unwrap().remove("jwk")), 400, "malformed", "jwk"),
        (
            "KEY-03: kid instead",
            |h, p| {
                h.as_object_mut().unwrap().remove("jwk");
                h["kid"] = p["account"].clone();
            },
            400,
            "malformed",
            "\"jwk\"",
        ),
        ("JWS-23: both", |h, p| h["kid"] = p["account"].clone(), 400, "malformed", "both"),
        ("KEY-04: another key", |h, _| h["jwk"] = Signer::generate("ES256").jwk(), 400, "malformed", "inner"),
        ("KEY-05: other url", |h, p| h["url"] = p["account"].clone(), 403, "unauthorized", "inner"),
        ("KEY-05: no url", |h, _| drop(h.as_object_mut().unwrap().remove("url")), 400, "malformed", "\"url\""),
        ("KEY-06: nonce", |h, _| h["nonce"] = json!("AAAA"), 400, "malformed", "\"nonce\""),
        ("KEY-06: nonce null", |h, _| h["nonce"] = Value::Null, 400, "malformed", "\"nonce\""),
        ("KEY-06: nonce empty", |h, _| h["nonce"] = json!(""), 400, "malformed", "\"nonce\""),
        ("JWS-11: none", |h, _| h["alg"] = json!("none"), 400, "badSignatureAlgorithm", "inner"),
        ("JWS-11: HS256", |h, _| h["alg"] = json!("HS256"), 400, "badSignatureAlgorithm", "inner"),
        ("JWS-18: alg of another key", |h, _| h["alg"] = json!("RS256"), 400, "badPublicKey", "RS256"),
        ("JWS-09: crit", |h, _| h["crit"] = json!([]), 400, "malformed", "\"crit\""),
        ("KEY-10: off the curve", |h, _| h["jwk"]["x"] = h["jwk"]["y"].clone(), 400, "badPublicKey", "not a point"),
        ("KEY-10: private", |h, _| h["jwk"]["d"] = json!("AAAA"), 400, "badPublicKey", "private"),
        ("KEY-07: other account", |_, p| append(p, "x"), 400, "malformed", "\"account\""),
        ("KEY-07: query", |_, p| append(p, "?"), 400, "malformed", "\"account\""),
        ("KEY-07: none", |_, p| drop(p.as_object_mut().unwrap().remove("account")), 400, "malformed", "account"),
        ("KEY-07: no text", |_, p| p["account"] = json!(1), 400, "malformed", "inner"),
        ("KEY-08: another key", |_, p| p["oldKey"] = Signer::generate("ES256").jwk(), 400, "malformed", "\"oldKey\""),
        ("KEY-08: none", |_, p| drop(p.as_object_mut().unwrap().remove("oldKey")), 400, "malformed", "oldKey"),
        ("KEY-08: no key", |_, p| p["oldKey"] = json!({}), 400, "badPublicKey", "oldKey"),
        ("KEY-08: text", |_, p| p["oldKey"] = json!("x"), 400, "malformed", "inner"),
        ("KEY-02: payload is no object", |_, p| *p = json!([]), 400, "malformed", "inner"),
    ];
    for (row, alter, status, kind, told) in rows {
        let new = Signer::generate("ES256");
        let mut header = json!({ "alg": "ES256", "jwk": new.jwk(), "url": url });
        let mut payload = json!({ "account": client.kid(), "oldKey": client.jwk() });
        alter(&mut header, &mut payload);
        let answer = client.post(&url, &new.jws(&header, payload.to_string().as_bytes())).await;
        assert_eq!(answer.status, *status, "{row}: {answer}");
        let detail = answer.expect_problem(*status, kind);
        assert!(detail.contains(told), "{row}: {detail}");
        assert_eq!(kind == &"badSignatureAlgorithm", answer.json()["algorithms"].is_array(), "JWS-16: {row}");
        Client::with_key(world.router(), BASE, new)
            .new_account_of(json!({ "onlyReturnExisting": true }))
            .await
            .expect_problem(400, "accountDoesNotExist");
    }
    client.change_key(Signer::generate("ES256")).await.expect(200);
}

fn append(payload: &mut Value, more: &str) {
    payload["account"] = json!(format!("{}{more}", payload["account"].as_str().unwrap()));
}

#[tokio::test]
async fn what_is_no_inner_jws_is_malformed() {
    let world = World::new().await;
    let client = world.client().await;
    let url = client.resource("keyChange").await;
    let new = Signer::generate("ES256");
    let good = || client.signer.key_change(&new, client.kid(), &url);
    let with = |name: &str, value: Value| {
        let mut jws = good();
        jws[name] = value;
        jws
    };
    let signatures = json!([{ "protected": good()["protected"], "signature": good()["signature"] }]);
    for payload in [
        json!({}),
        json!([good()]),
        json!(good().to_string()),
        json!({ "account": client.kid(), "oldKey": client.jwk() }),
        json!({ "payload": good()["payload"], "signatures": signatures }),
        with("header", json!({})),
        with("payload", json!("")),
        with("signature", json!("")),
        with("signature", good()["protected"].clone()),
        with("extra", json!(1)),
    ] {
        client.post(&url, &payload).await.expect_problem(400, "malformed");
    }
    client.post_as_get(&url).await.expect_problem(400, "malformed");
    let twice = good().to_string().replacen('{', r#"{"payload":"e30","#, 1);
    let answer = client.send(&url, &client.signer.jws(&client.header(&url).await, twice.as_bytes())).await;
    assert!(answer.expect_problem(400, "malformed").contains("twice"), "TR-17: {answer}");
    // One member more in what both keys signed does no harm.
    let payload = json!({ "account": client.kid(), "oldKey": client.jwk(), "extra": 1 }).to_string();
    let inner = new.jws(&json!({ "alg": "ES256", "jwk": new.jwk(), "url": url }), payload.as_bytes());
    client.post(&url, &inner).await.expect(200);
}

#[tokio::test]
async fn a_key_that_has_an_account_is_refused_with_the_place_of_that_account() {
    let world = World::new().await;
    let der = rcgen::KeyPair::generate().unwrap().serialize_der();
    let signer = || Signer::from_pkcs8("ES256", &der);
    let other = world.client_with(signer()).await;
    let mut client = world.client().await;
    for _ in 0..2 {
        let answer = client.change_key(signer()).await;
        answer.expect_problem(409, "malformed");
        assert_eq!(answer.location(), other.kid(), "KEY-09");
        client.post_as_get(client.kid()).await.expect(200);
        other.deactivate().await;
    }
    // Its own key is one that has an account, too.
    let own = client.clone();
    let url = client.resource("keyChange").await;
    let answer = client.post(&url, &own.signer.key_change(&own.signer, own.kid(), &url)).await;
    answer.expect_problem(409, "malformed");
    assert_eq!(answer.location(), client.kid(), "KEY-09");
    client.post_as_get(client.kid()).await.expect(200);
}

#[tokio::test]
async fn another_account_can_not_change_the_key() {
    let world = World::new().await;
    let (owner, thief) = (world.client().await, world.client().await);
    let url = owner.resource("keyChange").await;
    let new = Signer::generate("ES256");
    for payload in [
        owner.signer.key_change(&new, owner.kid(), &url),
        thief.signer.key_change(&new, owner.kid(), &url),
        owner.signer.key_change(&new, thief.kid(), &url),
    ] {
        thief.post(&url, &payload).await.expect_problem(400, "malformed");
        let mut header = thief.header(&url).await;
        header["kid"] = json!(owner.kid());
        let forged = thief.signer.jws(&header, payload.to_string().as_bytes());
        thief.send(&url, &forged).await.expect_problem(400, "malformed");
    }
    owner.post_as_get(owner.kid()).await.expect(200);
    // The same request as it was is not good a second time, for the old key is none any more.
    let change = owner.signer.key_change(&new, owner.kid(), &url);
    owner.post(&url, &change).await.expect(200);
    owner.post(&url, &change).await.expect_problem(400, "malformed");
}

#[tokio::test]
async fn of_two_new_keys_at_once_one_wins_and_the_other_is_nobodys() {
    let world = World::new().await;
    let client = world.client().await;
    let url = client.resource("keyChange").await;
    let mut changes = Vec::new();
    for _ in 0..6 {
        let new = Signer::generate("ES256");
        let payload = client.signer.key_change(&new, client.kid(), &url).to_string();
        let jws = client.signer.jws(&client.header(&url).await, payload.as_bytes());
        let (client, url) = (client.clone(), url.clone());
        changes.push((new, tokio::spawn(async move { client.send(&url, &jws).await })));
    }
    let mut winners = 0;
    for (new, change) in changes {
        let changed = change.await.unwrap();
        let mut holder = Client::with_key(world.router(), BASE, new);
        let found = holder.new_account_of(json!({ "onlyReturnExisting": true })).await;
        if changed.status.is_success() {
            winners += 1;
            assert_eq!(found.expect(200).location(), client.kid(), "KEY-13");
        } else {
            changed.expect_problem(400, "malformed");
            found.expect_problem(400, "accountDoesNotExist");
            holder.new_account().await.expect(201);
        }
    }
    assert_eq!(winners, 1, "KEY-13");
}

#[tokio::test]
async fn of_two_accounts_that_want_one_key_one_gets_it() {
    let world = World::new().await;
    let der = rcgen::KeyPair::generate().unwrap().serialize_der();
    let signer = || Signer::from_pkcs8("ES256", &der);
    let (one, two) = (world.client().await, world.client().await);
    let register = tokio::spawn({
        let mut client = Client::with_key(world.router(), BASE, signer());
        async move { client.new_account().await }
    });
    let answers = [spawn_change(one, signer()), spawn_change(two, signer()), register];
    let mut holders = 0;
    for answer in answers {
        let answer = answer.await.unwrap();
        if answer.status.is_success() {
            holders += 1;
        } else {
            answer.expect_problem(409, "malformed");
        }
    }
    let found = Client::with_key(world.router(), BASE, signer()).new_account().await.expect(200);
    // The one that registers finds the account of whoever was first.
    assert!((1..=2).contains(&holders), "KEY-13: {holders}, {found}");
}

fn spawn_change(mut client: Client, new: Signer) -> tokio::task::JoinHandle<Response> {
    tokio::spawn(async move { client.change_key(new).await })
}

#[tokio::test]
async fn orders_and_authorizations_go_on_with_the_new_key() {
    let world = World::new().await;
    let mut client = world.client().await;
    let (done, _) = world.certificate(&client, &["done.example.com"]).await;
    let (url, ready) = world.ready_order(&client, &["ready.example.com"]).await;
    let pending = client.new_order(&["pending.example.com"]).await.expect(201);
    client.change_key(Signer::generate("ES384")).await.expect(200);
    world.web.serve_any(&client.thumbprint());
    assert_eq!(client.post_as_get(&url).await.expect(200).json()["status"], "ready", "KEY-12");
    let finalized = client.finalize(&ready, &csr(&["ready.example.com"]).0).await.expect(200);
    assert_eq!(finalized.json()["status"], "valid", "KEY-12");
    let authz = client.authorizations(&pending.json()).await.remove(0);
    assert_eq!(world.prove(&client, &authz).await.expect(200).json()["status"], "valid", "KEY-12");
    client.certificate(&done).await;
    let list = client.post_as_get(&format!("{}/orders", client.kid())).await.expect(200).json();
    assert_eq!(list["orders"].as_array().unwrap().len(), 3, "KEY-12");
}
