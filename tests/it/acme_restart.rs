//! Everything that a client was told is still there after a restart.

use rcgen::KeyPair;
use serde_json::json;

use crate::acme_tools::{cert_id, leaf, look, order_of, order_one, url};
use crate::support::client::{challenge, csr, csr_with};
use crate::support::world::{BASE, World};

#[tokio::test]
async fn what_a_client_was_told_holds_after_a_restart() {
    let mut world = World::new().await;
    let mut client = world.client().await;
    client.post(client.kid(), &json!({ "contact": ["mailto:a@example.com"] })).await.expect(200);
    let account = look(&client, client.kid()).await;
    let (pending_place, pending, pending_authz, authz) = order_one(&client, "pending.example").await;
    let (ready_place, ready) = world.ready_order(&client, &["ready.example"]).await;
    let (failed_place, _, failed_authz, offered) = order_one(&client, "failed.example").await;
    client.respond(&challenge(&offered, "dns-01")).await.expect(200);
    let (issued, chain) = world.certificate(&client, &["issued.example"]).await;
    let (revoked, revoked_chain) = world.certificate(&client, &["revoked.example"]).await;
    client.revoke(&leaf(&revoked_chain), Some(4)).await.expect(200);
    let replaces = cert_id(&leaf(&chain));
    let replacing =
        client.new_order_of(order_of(&["issued.example"], json!({ "replaces": replaces }))).await.expect(201);
    let directory = client.directory().await;
    let root = client.get(&format!("{BASE}/root.pem")).await.text();
    let places = [
        client.kid(),
        &pending_place,
        &pending_authz,
        &ready_place,
        &failed_place,
        &failed_authz,
        replacing.location(),
        ready["authorizations"][0].as_str().unwrap(),
    ]
    .map(str::to_owned);
    let mut told = Vec::new();
    for place in &places {
        told.push(look(&client, place).await);
    }

    world.restart().await;
    client.forget_nonce();
    for (place, told) in places.iter().zip(&told) {
        assert_eq!(look(&client, place).await, *told);
    }
    for member in ["newNonce", "newAccount", "newOrder", "newAuthz", "revokeCert", "keyChange", "renewalInfo", "meta"] {
        assert_eq!(client.directory().await[member], directory[member]);
    }
    assert_eq!(client.get(&format!("{BASE}/root.pem")).await.text(), root);
    assert_eq!(client.new_account().await.expect(200).json(), account);
    assert_eq!(client.certificate(&issued).await, chain);
    assert_eq!(client.certificate(&revoked).await, revoked_chain);
    client.revoke(&leaf(&revoked_chain), Some(4)).await.expect_problem(400, "alreadyRevoked");
    let again = order_of(&["issued.example", "more.example"], json!({ "replaces": replaces }));
    client.new_order_of(again).await.expect_problem(409, "alreadyReplaced");

    // And everything goes on where it was.
    assert_eq!(client.new_order(&["pending.example"]).await.expect(201).location(), pending_place);
    world.prove(&client, &authz).await.expect(200);
    for (order, name) in [(&pending, "pending.example"), (&ready, "ready.example")] {
        let done = client.finalize(order, &csr(&[name]).0).await.expect(200).json();
        assert_eq!(done["status"], "valid", "{done}");
        assert_ne!(url(&done, "certificate"), url(&issued, "certificate"));
    }
    assert_eq!(client.new_order(&["ready.example"]).await.expect(201).json()["status"], "ready");
}

#[tokio::test]
async fn a_csr_that_was_accepted_is_known_after_a_restart() {
    let mut world = World::new().await;
    let client = world.client().await;
    let (_, order) = world.ready_order(&client, &["example.com"]).await;
    let key = KeyPair::generate().unwrap();
    let request = csr_with(&key, &["example.com"]);
    let done = client.finalize(&order, &request).await.expect(200).json();
    client.revoke_with(&key, &leaf(&client.certificate(&done).await), Some(1)).await.expect(200);
    world.restart().await;
    client.forget_nonce();
    assert_eq!(client.finalize(&order, &request).await.expect(200).json(), done);
    client.finalize(&order, &csr(&["example.com"]).0).await.expect_problem(403, "orderNotReady");
    // So is a key that was told to be compromised.
    let (_, order) = world.ready_order(&client, &["example.com"]).await;
    client.finalize(&order, &request).await.expect_problem(400, "badCSR");
}
