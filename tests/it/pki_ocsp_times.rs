//! How long answers of OCSP are kept, by the server, by its nodes and by caches, and how long responders serve.

use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use chancery::domain::Serial;
use chancery::domain::audit::Act;
use chancery::store::EngineName;
use rcgen::KeyPair;
use serde_json::Value;

use crate::acme_tools::{DAY, HOUR, has_parts, leaf, parsed};
use crate::ocsp_tools::*;
use crate::quota_races::cluster::Cluster;
use crate::support::client::{challenge, csr_with};
use crate::support::world::World;

const NAME: &str = "www.example.com";

#[tokio::test]
async fn answers_are_kept_to_half_of_their_time_and_responders_to_half_of_theirs() {
    let mut world = world().await;
    let client = world.client().await;
    let certificate = issued(&world, &client, &[NAME]).await;
    let request = request(&[id_of(&world, "chancery", &certificate)]);
    let begin = world.now();
    let first = get(&world.pki(), &request).await.1;
    let seen = Answer::read(&first);
    assert_eq!(seen.singles[0].this_update, generalized(begin));
    assert_eq!((&seen.produced, &seen.singles[0].next_update), (&generalized(begin), &generalized(begin + 4 * DAY)));
    let second = Duration::from_secs(1);
    world.clock.advance(2 * DAY - second);
    assert_eq!(get(&world.pki(), &request).await.1, first);
    world.clock.advance(second);
    let next = Answer::read(&get(&world.pki(), &request).await.1);
    assert_eq!(next.singles[0].this_update, generalized(begin + 2 * DAY));
    assert_eq!(next.certificates, seen.certificates);
    // A clock that is set back: nobody is given an answer from the future.
    world.clock.set_back(HOUR);
    assert_eq!(ask(&world.pki(), &request).await.produced, generalized(begin + 2 * DAY - HOUR));
    // Half of the responder's time: another one, of another key, signs on.
    world.clock.advance(5 * DAY + HOUR);
    let renewed = get(&world.pki(), &request).await.1;
    let seen = Answer::read(&renewed);
    assert_ne!((&seen.certificates, &seen.by_key), (&next.certificates, &next.by_key));
    let party = RelyingParty::of(&world, "chancery", &certificate);
    party.request(&["-no_nonce"]);
    has_parts(&party.verify(&renewed), &["Cert Status: good"]);
    let acts = world.audit().await;
    let certified: Vec<&Serial> = acts
        .iter()
        .filter_map(|act| match act {
            Act::ResponderCertified { serial, issuer } if issuer == "chancery" => Some(serial),
            _ => None,
        })
        .collect();
    assert_eq!(certified.len(), 2);
    assert_eq!(certified[1].as_bytes(), parsed(&seen.certificates[0]).raw_serial());
}

#[tokio::test]
async fn what_is_asked_for_is_made_anew_before_anybody_asks() {
    let world = world().await;
    let client = world.client().await;
    let [wanted, unwanted] =
        [issued(&world, &client, &[NAME]).await, issued(&world, &client, &["b.example.com"]).await]
            .map(|certificate| request(&[id_of(&world, "chancery", &certificate)]));
    let router = world.pki();
    for request in [&wanted, &unwanted, &wanted] {
        get(&router, request).await;
    }
    world.clock.advance(2 * DAY);
    world.ra().keep_statuses().await.unwrap();
    let made = world.now();
    world.clock.advance(HOUR);
    let produced = async |request: &[u8]| Answer::read(&get(&router, request).await.1).produced;
    assert_eq!(produced(&wanted).await, generalized(made));
    assert_eq!(produced(&unwanted).await, generalized(made + HOUR));
    // A revocation that happened in between is in what is made anew.
    world.clock.advance(2 * DAY);
    world.ra().keep_statuses().await.unwrap();
    assert_eq!(produced(&wanted).await, generalized(made + 2 * DAY + HOUR));
}

#[tokio::test]
async fn answers_end_with_their_issuer() {
    let world = World::with(|config| {
        config.ca.rsa_issuers = false;
        config.ca.intermediate_days = 100;
    })
    .await;
    let client = world.client().await;
    let end = world.now() + 100 * DAY - Duration::from_secs(1);
    let certificate = issued(&world, &client, &[NAME]).await;
    let request = request(&[id_of(&world, "chancery", &certificate)]);
    world.clock.advance(99 * DAY);
    let answer = ask(&world.pki(), &request).await;
    assert_eq!(answer.singles[0].next_update, generalized(end));
    assert_eq!(parsed(&answer.certificates[0]).validity().not_after.timestamp() as u64, end.as_secs());
    world.clock.advance(DAY);
    assert_eq!(ask(&world.pki(), &request).await.code, UNAUTHORIZED);
}

#[tokio::test]
async fn caches_are_told_how_long_an_answer_may_be_kept() {
    let world = world().await;
    let client = world.client().await;
    let certificate = issued(&world, &client, &[NAME]).await;
    let ids = [id_of(&world, "chancery", &certificate)];
    let router = world.pki();
    let (response, body) = get(&router, &request(&ids)).await;
    let header = |name: &str| response.headers()[name].to_str().unwrap().to_owned();
    assert_eq!(header("cache-control"), "max-age=3600, public, no-transform, must-revalidate");
    assert_eq!(header("last-modified"), "Sat, 21 Nov 2026 12:00:00 GMT");
    assert_eq!(header("expires"), "Wed, 25 Nov 2026 12:00:00 GMT");
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &body);
    assert_eq!(header("etag").trim_matches('"'), chancery::domain::certificate::hex32::encode(digest.as_ref()));
    // What a client has is not sent again, until it is another.
    let path = format!("/ocsp/{}", pem_text(&request(&ids)));
    let conditional = || {
        let asked = Request::get(&path).header("if-none-match", header("etag"));
        send(&router, asked.body(Body::empty()).unwrap())
    };
    let (same, empty) = conditional().await;
    assert_eq!((same.status().as_u16(), empty.len()), (304, 0));
    assert_eq!(same.headers()["etag"].to_str().unwrap(), header("etag"));
    client.revoke(&certificate, None).await.expect(200);
    assert_eq!(conditional().await.0.status(), 200);
    // Close to the moment when there is another, caches are not to go beyond it.
    world.clock.advance(2 * DAY - Duration::from_secs(100));
    let (response, _) = get(&router, &request(&ids)).await;
    assert_eq!(response.headers()["cache-control"], "max-age=100, public, no-transform, must-revalidate");
    // A body is for who posted; POST is no method that caches look at.
    let asked = Request::post("/ocsp").body(Body::from(request(&ids))).unwrap();
    assert!(!send(&router, asked).await.0.headers().contains_key("etag"));
}

fn pem_text(octets: &[u8]) -> String {
    let text = pem::encode(&pem::Pem::new("X", octets));
    text.lines().filter(|line| !line.starts_with('-')).map(str::trim).collect()
}

#[tokio::test]
async fn a_revocation_on_one_node_shows_on_the_others_at_once() {
    let cluster = Cluster::start(2, EngineName::Sled, 20, 20).await;
    let client = cluster.client(0, None).await;
    cluster.web.serve_any(&client.thumbprint());
    let key = KeyPair::generate().unwrap();
    let name = ["shop.zone-one.cn"];
    let placed = client.new_order(&name).await.expect(201);
    for authz in client.authorizations(&placed.json()).await {
        client.respond(&challenge(&authz, "http-01")).await.expect(200);
    }
    let order: Value = client.post_as_get(placed.location()).await.expect(200).json();
    let done = client.finalize(&order, &csr_with(&key, &name)).await.expect(200).json();
    let certificate = leaf(&client.certificate(&done).await);
    let by = cluster.node(0).issuer_certificate("chancery").unwrap();
    let request = request(&[cert_id(&by, parsed(&certificate).raw_serial(), SHA1)]);
    let mut responders = Vec::new();
    for node in [0, 1, 0, 1] {
        let answer = Answer::read(&cluster.node(node).certificate_status(&request).await.der);
        assert_eq!(answer.statuses(), ["good"]);
        responders.push(answer.by_key);
    }
    // Each node keeps answers of a responder of its own.
    assert!(responders[0] != responders[1] && responders[..2] == responders[2..]);
    client.revoke(&certificate, Some(4)).await.expect(200);
    for node in [1, 0] {
        let answer = Answer::read(&cluster.node(node).certificate_status(&request).await.der);
        assert!(answer.statuses()[0].ends_with(" 4"), "{answer:?}");
    }
}
