//! Revocation, and the list that shows it, through the real routers.

use chancery::ca::certificate::serial_of;
use chancery::domain::audit::Act;
use chancery::domain::certificate::RevocationReason;
use rcgen::{CertificateParams, KeyPair};
use serde_json::json;
use x509_parser::prelude::{CertificateRevocationList, FromDer as _};

use crate::acme_tools::{DAY, has_parts, leaf};
use crate::support::client::{Client, Response, csr_with};
use crate::support::signer::b64;
use crate::support::world::World;

/// A certificate for these names, DER, with its key.
async fn issued(world: &World, client: &Client, names: &[&str]) -> (Vec<u8>, KeyPair) {
    world.web.serve_any(&client.thumbprint());
    let key = KeyPair::generate().unwrap();
    let (_, order) = world.ready_order(client, names).await;
    let done = client.finalize(&order, &csr_with(&key, names)).await.expect(200).json();
    (leaf(&client.certificate(&done).await), key)
}

/// The reason with which the list that the PKI listener gives out now has a certificate; none if it has it not.
async fn listed(world: &World, der: &[u8]) -> Option<Option<u8>> {
    let base = &world.config.pki.public_url;
    let list = Client::new(world.pki(), base).get(&format!("{base}/crl/chancery/0.crl")).await.expect(200).body;
    let (_, list) = CertificateRevocationList::from_der(&list).unwrap();
    let serial = serial_of(der).unwrap();
    let entry = list.iter_revoked_certificates().find(|entry| entry.raw_serial() == serial.as_bytes())?;
    Some(entry.reason_code().map(|(_, reason)| reason.0))
}

fn done(answer: &Response) {
    assert_eq!((answer.status.as_u16(), answer.body.len()), (200, 0), "{answer}");
}

#[tokio::test]
async fn an_account_revokes_what_it_ordered_and_the_list_shows_it_at_once() {
    let world = World::new().await;
    let client = world.client().await;
    for (reason, shown) in
        [(None, None), (Some(0), None), (Some(1), Some(1)), (Some(3), Some(3)), (Some(4), Some(4)), (Some(5), Some(5))]
    {
        let (der, _) = issued(&world, &client, &["example.com"]).await;
        assert_eq!(listed(&world, &der).await, None);
        done(&client.revoke(&der, reason).await);
        assert_eq!(listed(&world, &der).await, Some(shown), "{reason:?}");
    }
}

#[tokio::test]
async fn reasons_that_are_not_for_subscribers_are_refused_and_nothing_is_revoked() {
    let world = World::new().await;
    let client = world.client().await;
    let (der, key) = issued(&world, &client, &["example.com"]).await;
    for reason in [2, 6, 7, 8, 9, 10, 11, 255] {
        let answer = client.revoke(&der, Some(reason)).await;
        has_parts(
            &answer.expect_problem(400, "badRevocationReason"),
            &[&reason.to_string(), "keyCompromise", "superseded"],
        );
        client.revoke_with(&key, &der, Some(reason)).await.expect_problem(400, "badRevocationReason");
    }
    let url = client.resource("revokeCert").await;
    for reason in [json!(-1), json!("1"), json!(1.5), json!([1]), json!(true)] {
        client
            .post(&url, &json!({ "certificate": b64(&der), "reason": reason }))
            .await
            .expect_problem(400, "malformed");
    }
    assert_eq!(listed(&world, &der).await, None);
    done(&client.post(&url, &json!({ "certificate": b64(&der), "reason": null })).await);
}

#[tokio::test]
async fn the_key_of_a_certificate_revokes_it_without_an_account() {
    let world = World::new().await;
    let client = world.client().await;
    let (der, key) = issued(&world, &client, &["example.com"]).await;
    let (other, other_key) = issued(&world, &client, &["other.example"]).await;
    let stranger = world.stranger();
    stranger.revoke_with(&other_key, &der, None).await.expect_problem(403, "unauthorized");
    stranger.revoke_with(&KeyPair::generate().unwrap(), &der, None).await.expect_problem(403, "unauthorized");
    assert_eq!(listed(&world, &der).await, None);
    done(&stranger.revoke_with(&key, &der, Some(1)).await);
    assert_eq!(listed(&world, &der).await, Some(Some(1)));
    assert_eq!(listed(&world, &other).await, None);
    // The account's key as a key of its own proves nothing.
    let url = client.resource("revokeCert").await;
    client.post_jwk(&url, &json!({ "certificate": b64(&other) })).await.expect_problem(403, "unauthorized");
    // Not even a closed account keeps the key from it.
    client.deactivate().await.expect(200);
    client.revoke(&other, None).await.expect_problem(401, "unauthorized");
    done(&stranger.revoke_with(&other_key, &other, None).await);
}

#[tokio::test]
async fn an_account_that_holds_all_names_revokes_what_another_ordered() {
    let world = World::new().await;
    let owner = world.client().await;
    let (der, _) = issued(&world, &owner, &["a.example", "*.b.example", "127.0.0.1"]).await;
    let holder = world.client().await;
    has_parts(&holder.revoke(&der, None).await.expect_problem(403, "unauthorized"), &["a.example"]);
    world.ready_order(&holder, &["a.example", "127.0.0.1"]).await;
    has_parts(&holder.revoke(&der, None).await.expect_problem(403, "unauthorized"), &["*.b.example"]);
    // The name below which the wildcard lies is not the wildcard.
    world.ready_order(&holder, &["b.example"]).await;
    holder.revoke(&der, None).await.expect_problem(403, "unauthorized");
    let (_, order) = world.ready_order(&holder, &["*.b.example"]).await;
    // One that was given up, and one that is over, don't count.
    let authz = order["authorizations"][0].as_str().unwrap();
    holder.post(authz, &json!({ "status": "deactivated" })).await.expect(200);
    holder.revoke(&der, None).await.expect_problem(403, "unauthorized");
    world.ready_order(&holder, &["*.b.example"]).await;
    world.pass(30 * DAY).await;
    holder.revoke(&der, None).await.expect_problem(403, "unauthorized");
    assert_eq!(listed(&world, &der).await, None);
    world.ready_order(&holder, &["a.example", "*.b.example", "127.0.0.1", "more.example"]).await;
    done(&holder.revoke(&der, Some(5)).await);
    assert_eq!(listed(&world, &der).await, Some(Some(5)));
}

#[tokio::test]
async fn a_second_time_is_refused_for_those_who_may_and_tells_others_nothing() {
    let world = World::new().await;
    let client = world.client().await;
    let (der, key) = issued(&world, &client, &["example.com"]).await;
    done(&client.revoke(&der, Some(4)).await);
    let stranger = world.client().await;
    assert_eq!(client.revoke(&der, Some(4)).await.expect_problem(400, "alreadyRevoked"), "Certificate already revoked");
    for reason in [None, Some(3), Some(4)] {
        client.revoke_with(&key, &der, reason).await.expect_problem(400, "alreadyRevoked");
    }
    stranger.revoke(&der, Some(1)).await.expect_problem(403, "unauthorized");
    assert_eq!(listed(&world, &der).await, Some(Some(4)), "the reason stays");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_several_at_once_one_revokes() {
    let world = World::new().await;
    let client = world.client().await;
    for _ in 0..4 {
        let (der, key) = issued(&world, &client, &["example.com"]).await;
        let (a, b, shown) =
            tokio::join!(client.revoke(&der, Some(4)), client.revoke_with(&key, &der, Some(5)), listed(&world, &der));
        let mut statuses = [a.status.as_u16(), b.status.as_u16()];
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 400], "{a} {b}");
        let reason = if a.status == 200 { Some(4) } else { Some(5) };
        // A list that was made meanwhile may lack it, but must not be given out from now on.
        assert!(shown.is_none() || shown == Some(reason));
        assert_eq!(listed(&world, &der).await, Some(reason));
    }
}

#[tokio::test]
async fn what_this_ca_did_not_issue_is_not_revoked() {
    let world = World::new().await;
    let client = world.client().await;
    let (der, key) = issued(&world, &client, &["example.com"]).await;
    let foreign = CertificateParams::new(vec!["example.com".to_owned()]).unwrap().self_signed(&key).unwrap();
    let mut twin = CertificateParams::new(vec!["example.com".to_owned()]).unwrap();
    twin.serial_number = Some(serial_of(&der).unwrap().as_bytes().to_vec().into());
    let twin = twin.self_signed(&key).unwrap();
    let issuer = Client::new(world.pki(), &world.config.pki.public_url);
    let issuer = issuer.get(&format!("{}/issuer/chancery.cer", world.config.pki.public_url)).await.expect(200).body;
    let mut flipped = der.clone();
    *flipped.last_mut().unwrap() ^= 1;
    for other in [foreign.der().to_vec(), twin.der().to_vec(), issuer.to_vec(), flipped, [&der[..], &[0]].concat()] {
        client.revoke(&other, None).await.expect_problem(404, "malformed");
        client.revoke_with(&key, &other, Some(1)).await.expect_problem(404, "malformed");
    }
    for rubbish in [&b""[..], b"rubbish", &[0x30, 0x80], &[0x30, 0x84, 0xff, 0xff, 0xff, 0xff], &der[..der.len() - 1]] {
        client.revoke(rubbish, None).await.expect_problem(404, "malformed");
    }
    let url = client.resource("revokeCert").await;
    let pem = crate::ca_tools::pem(&der);
    for payload in [
        json!({}),
        json!({ "certificate": 5 }),
        json!({ "certificate": pem }),
        json!({ "certificate": "AAA=" }),
        json!([]),
    ] {
        client.post(&url, &payload).await.expect_problem(400, "malformed");
    }
    assert_eq!(listed(&world, &der).await, None);
}

#[tokio::test]
async fn an_expired_certificate_is_not_revoked() {
    let world = World::new().await;
    let client = world.client().await;
    let (der, key) = issued(&world, &client, &["example.com"]).await;
    world.pass(90 * DAY).await;
    for answer in [client.revoke(&der, None).await, client.revoke_with(&key, &der, Some(1)).await] {
        has_parts(&answer.expect_problem(400, "malformed"), &["expired"]);
    }
}

#[tokio::test]
async fn a_key_that_is_reported_with_a_certificate_that_is_over_goes_out_all_the_same() {
    let world = World::new().await;
    let client = world.client().await;
    for expired in [false, true] {
        let key = KeyPair::generate().unwrap();
        let certify = async |name: &str| {
            world.web.serve_any(&client.thumbprint());
            let (_, order) = world.ready_order(&client, &[name]).await;
            let done = client.finalize(&order, &csr_with(&key, &[name])).await.expect(200).json();
            leaf(&client.certificate(&done).await)
        };
        let over = certify("over.example").await;
        let refusal = if expired {
            world.pass(60 * DAY).await;
            ("malformed", "expired")
        } else {
            done(&client.revoke(&over, Some(4)).await);
            ("alreadyRevoked", "already revoked")
        };
        let live = certify("live.example").await;
        world.pass(if expired { 30 * DAY } else { DAY }).await;
        // Who never had the key says nothing about it.
        let holder = world.client().await;
        world.ready_order(&holder, &["over.example"]).await;
        holder.revoke(&over, Some(1)).await.expect_problem(400, refusal.0);
        assert_eq!(listed(&world, &live).await, None);
        let told = client.revoke_with(&key, &over, Some(1)).await;
        match expired {
            true => has_parts(&told.expect_problem(400, refusal.0), &[refusal.1]),
            // CABF-CRL-12: the report changes the reason of a certificate that is on a list.
            false => done(&told),
        }
        assert_eq!(listed(&world, &live).await, Some(Some(1)));
        // Baseline Requirements 6.1.1.3
        world.web.serve_any(&client.thumbprint());
        let (_, order) = world.ready_order(&client, &["live.example"]).await;
        client.finalize(&order, &csr_with(&key, &["live.example"])).await.expect_problem(400, "badCSR");
    }
}

#[tokio::test]
async fn a_compromised_key_takes_along_every_certificate_that_has_it() {
    let world = World::new().await;
    let client = world.client().await;
    let key = KeyPair::generate().unwrap();
    let mut made = Vec::new();
    for name in ["one.example", "two.example"] {
        world.web.serve_any(&client.thumbprint());
        let (_, order) = world.ready_order(&client, &[name]).await;
        let done = client.finalize(&order, &csr_with(&key, &[name])).await.expect(200).json();
        made.push(leaf(&client.certificate(&done).await));
    }
    // Who holds the names alone may be wrong about the key.
    let holder = world.client().await;
    world.ready_order(&holder, &["one.example"]).await;
    done(&holder.revoke(&made[0], Some(1)).await);
    assert_eq!(listed(&world, &made[1]).await, None);
    done(&client.revoke(&made[1], Some(1)).await);
    let third = issued(&world, &client, &["three.example"]).await.0;
    assert_eq!((listed(&world, &made[1]).await, listed(&world, &third).await), (Some(Some(1)), None));
}

#[tokio::test]
async fn later_evidence_of_compromise_changes_the_reason_and_leaves_the_date() {
    let mut world = World::new().await;
    let client = world.client().await;
    let (der, key) = issued(&world, &client, &["example.com"]).await;
    let (other, _) = issued(&world, &client, &["other.example"]).await;
    done(&client.revoke(&der, Some(4)).await);
    done(&client.revoke(&other, Some(5)).await);
    let date = async |world: &World| {
        let base = &world.config.pki.public_url;
        let list = Client::new(world.pki(), base).get(&format!("{base}/crl/chancery/0.crl")).await.expect(200).body;
        let (_, list) = CertificateRevocationList::from_der(&list).unwrap();
        let serial = serial_of(&der).unwrap();
        let found = list.iter_revoked_certificates().find(|entry| entry.raw_serial() == serial.as_bytes()).unwrap();
        found.revocation_date.timestamp()
    };
    let revoked_at = date(&world).await;
    world.pass(DAY).await;
    // Another certificate's key is no evidence, and neither is a holder of the names.
    let holder = world.client().await;
    world.ready_order(&holder, &["example.com"]).await;
    holder.revoke(&der, Some(1)).await.expect_problem(400, "alreadyRevoked");
    assert_eq!(listed(&world, &der).await, Some(Some(4)));
    done(&client.revoke_with(&key, &der, Some(1)).await);
    assert_eq!((listed(&world, &der).await, listed(&world, &other).await), (Some(Some(1)), Some(Some(5))));
    assert_eq!(date(&world).await, revoked_at);
    client.revoke_with(&key, &der, Some(1)).await.expect_problem(400, "alreadyRevoked");
    // The operator speaks for whoever reported the other one.
    let serial = serial_of(&other).unwrap();
    let operator = chancery::ra::Authority::Operator;
    world.ra().revoke_serial(operator, &serial, RevocationReason::KeyCompromise).await.unwrap();
    assert_eq!(listed(&world, &other).await, Some(Some(1)));
    let acts = world.audit().await;
    let changed = acts.iter().filter(|act| matches!(act, Act::RevocationReasonChanged { .. })).count();
    assert_eq!(changed, 2);
    // A start reads it from the store again.
    assert_eq!(listed(&world, &der).await, Some(Some(1)));
}
