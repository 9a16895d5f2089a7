//! Deployment and hosting (HOST-01 to HOST-07, REVOKE-09, DELETE-05, KEY-06, CSR-11).

use std::time::Duration;

use aws_lc_rs::hmac;
use chancery::domain::certificate::RevocationReason;
use chancery::ra::Authority;
use serde_json::{Value, json};

use crate::acme_tools::DAY;
use crate::portfolio_tools::Owner;
use crate::rules_uploads::{EC, Elsewhere};
use crate::support::mailbox::{Call, Receiver};
use crate::support::world::World;

/// A world whose webhooks may lead to this machine.
pub async fn open_world() -> World {
    World::documented_with(|config| config.notices.allow_private_addresses = true).await
}

/// Such a world, a resource's webhook, and somebody with a certificate for www.zone.cn whose key is kept here: its id.
async fn scene() -> (World, Receiver, Owner, String) {
    let (world, receiver) = (open_world().await, Receiver::start().await);
    let owner = Owner::new(&world).await;
    let id = owner.kept(&world, &["www.zone.cn"]).await;
    (world, receiver, owner, id)
}

fn balancer(url: Option<&str>) -> Value {
    let mut resource = json!({ "type": "load-balancer", "id": "lb-1" });
    if let Some(url) = url {
        resource["url"] = json!(url);
    }
    json!({ "resources": [resource] })
}

fn told(calls: &[Call]) -> Vec<String> {
    calls.iter().map(|call| call.json()["certificate"].as_str().unwrap().to_owned()).collect()
}

/// Deploys a certificate to a load balancer and has it hosted there.
async fn hosted(world: &World, owner: &Owner, receiver: &Receiver, id: &str) -> Value {
    let path = format!("/certificates/{id}");
    let made = owner.api.post(&format!("{path}/deployments"), &balancer(Some(&receiver.url()))).await;
    world.ra().drain().await.unwrap();
    owner.api.send("PUT", &format!("{path}/hosting"), &balancer(None)).await.expect(200);
    made
}

#[tokio::test]
async fn a_certificate_is_deployed_by_a_signed_message_to_the_resource() {
    let (world, receiver, owner, id) = scene().await;
    let path = format!("/certificates/{id}/deployments");
    let made = owner.api.post(&path, &balancer(Some(&receiver.url()))).await;
    // HOST-03, HOST-04, HOST-06
    let notes = made["notes"].to_string();
    assert!(
        notes.contains("free of charge (HOST-03)")
            && notes.contains("servers of your own")
            && notes.contains("(HOST-04)")
    );
    world.ra().drain().await.unwrap();
    let calls = receiver.calls();
    assert_eq!(told(&calls), [id.as_str()]);
    let message = calls[0].json();
    assert_eq!(message["resource"], json!({ "type": "load-balancer", "id": "lb-1" }));
    assert_eq!(message["bundle"], format!("/api/v1/certificates/{id}/bundle?format=nginx"));
    let secret = made["resources"][0]["secret"].as_str().unwrap();
    let (time, tag) = calls[0].header("chancery-signature").split_once(",v1=").unwrap();
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let expected = hmac::sign(&key, format!("{}.{}", &time[2..], calls[0].body).as_bytes());
    let digits: String = expected.as_ref().iter().map(|octet| format!("{octet:02x}")).collect();
    assert_eq!(tag, digits);
    let shown = owner.api.get(&path).await.expect(200).json();
    assert_eq!((&shown["resources"][0]["delivery"], shown["resources"][0].get("secret")), (&json!("delivered"), None));
    assert_eq!(owner.shown(&id).await["deployed"], json!([{ "type": "load-balancer", "id": "lb-1" }]));
    for (resource, rule) in [("server", "(HOST-04)"), ("toaster", "(HOST-06)")] {
        let wanted = json!({ "resources": [{ "type": resource, "id": "x", "url": "https://example.com/" }] });
        assert!(owner.refusal("POST", &path, wanted, 400).await.contains(rule), "{rule}");
    }
    let private = json!({ "resources": [{ "type": "cdn", "id": "x", "url": "ftp://example.com/" }] });
    owner.refusal("POST", &path, private, 400).await;
    let without = json!({ "resources": [{ "type": "cdn", "id": "new" }] });
    assert!(owner.refusal("POST", &path, without, 400).await.contains("\"url\" of its webhook"));
}

#[tokio::test]
async fn a_resource_uses_one_certificate_at_a_time() {
    let (world, receiver) = (open_world().await, Receiver::start().await);
    let owner = Owner::new(&world).await;
    let (first, second) = (owner.kept(&world, &["a.zone.cn"]).await, owner.kept(&world, &["b.zone.cn"]).await);
    let of = |id: &str| json!({ "type": "cdn", "id": id, "url": receiver.url() });
    let all = json!({ "resources": [of("one"), of("two"), of("three")] });
    owner.api.post(&format!("/certificates/{first}/deployments"), &all).await;
    let two = json!({ "resources": [of("one"), of("two")] });
    let path = format!("/certificates/{second}/deployments");
    owner.api.post(&path, &two).await;
    assert_eq!(owner.shown(&first).await["deployed"], json!([{ "type": "cdn", "id": "three" }]));
    assert_eq!(owner.shown(&second).await["deployed"].as_array().unwrap().len(), 2);
    let twice = json!({ "resources": [of("one"), of("one")] });
    assert!(owner.refusal("POST", &path, twice, 400).await.contains("named twice"));
}

#[tokio::test]
async fn hosting_begins_with_a_deployment() {
    // HOST-05
    let (world, receiver, owner, id) = scene().await;
    let path = format!("/certificates/{id}/hosting");
    let detail = owner.refusal("PUT", &path, balancer(None), 409).await;
    assert!(detail.contains("Deploy once first") && detail.contains("(HOST-05)"), "{detail}");
    hosted(&world, &owner, &receiver, &id).await;
    assert_eq!(owner.shown(&id).await["hosted"], json!([{ "type": "load-balancer", "id": "lb-1" }]));
    owner.api.send("PUT", &path, &json!({ "resources": [] })).await.expect(200);
    assert_eq!(owner.shown(&id).await["hosted"], json!([]));
}

#[tokio::test]
async fn a_later_certificate_of_the_same_names_replaces_the_hosted_one() {
    // HOST-01
    let (world, receiver, owner, first) = scene().await;
    hosted(&world, &owner, &receiver, &first).await;
    let unrelated = owner.kept(&world, &["other.zone.cn"]).await;
    world.pass(340 * DAY).await;
    let second = owner.kept(&world, &["www.zone.cn"]).await;
    world.ra().drain().await.unwrap();
    assert_eq!(told(&receiver.calls()), [first.as_str(), &second]);
    let resource = json!([{ "type": "load-balancer", "id": "lb-1" }]);
    let shown = owner.shown(&second).await;
    assert_eq!((&shown["deployed"], &shown["hosted"]), (&resource, &resource));
    let shown = owner.shown(&first).await;
    assert_eq!((&shown["deployed"], &shown["hosted"]), (&json!([]), &json!([])));
    assert_eq!(owner.shown(&unrelated).await["deployed"], json!([]));
    // And so on.
    world.pass(340 * DAY).await;
    let third = owner.kept(&world, &["www.zone.cn"]).await;
    world.ra().drain().await.unwrap();
    assert_eq!(told(&receiver.calls())[2], third);
}

#[tokio::test]
async fn a_certificate_of_another_kind_or_without_its_key_is_deployed_by_hand() {
    // HOST-02, HOST-07
    let (mut world, receiver, owner, first) = scene().await;
    hosted(&world, &owner, &receiver, &first).await;
    let unkept = owner.certificate(&world, &["www.zone.cn"]).await;
    world.buy(&owner.id, "trustasia-dv-multi", 1, 1).await;
    let paid = owner.kept(&world, &["www.zone.cn"]).await;
    assert_eq!(owner.shown(&paid).await["product"], "trustasia-dv-multi");
    world.ra().drain().await.unwrap();
    assert_eq!(told(&receiver.calls()), [first.as_str()], "the resource keeps what it has");
    let notices = world.notices_of(&owner.id).await;
    let by_hand: Vec<_> = notices.iter().filter(|notice| notice.event == "hosting-by-hand").collect();
    let texts = by_hand.iter().map(|notice| notice.text.as_str()).collect::<Vec<_>>().join("\n");
    assert_eq!(by_hand.len(), 2, "{texts}");
    assert!(texts.contains("Specifications differ; deploy by hand") && texts.contains("(HOST-02)"), "{texts}");
    assert!(texts.contains("Upload the key to use hosting") && texts.contains(&unkept), "{texts}");
}

#[tokio::test]
async fn without_its_key_or_with_a_locked_one_nothing_is_deployed() {
    // HOST-07, KEY-06, CSR-11
    let world = open_world().await;
    let owner = Owner::new(&world).await;
    let unkept = owner.certificate(&world, &["a.zone.cn"]).await;
    let wanted = balancer(Some("https://example.com/hook"));
    let detail = owner.refusal("POST", &format!("/certificates/{unkept}/deployments"), wanted.clone(), 403).await;
    assert!(detail.contains("(CSR-11, HOST-07)"), "{detail}");
    let asked = json!({ "names": ["b.zone.cn"], "password": "Correct-Horse-7" });
    let made = owner.api.post("/csrs", &asked).await;
    let csr = pem::parse(made["csr"].as_str().unwrap()).unwrap().into_contents();
    let locked = owner.certificate_for(&world, &["b.zone.cn"], &csr).await;
    let detail = owner.refusal("POST", &format!("/certificates/{locked}/deployments"), wanted, 403).await;
    assert!(
        detail.contains("Remove the key password to deploy here") && detail.contains("(KEY-06, KEY-07, HOST-07)"),
        "{detail}"
    );
}

#[tokio::test]
async fn a_bound_certificate_is_unbound_before_it_is_deleted_or_its_key_is() {
    // DELETE-05
    let (world, receiver) = (open_world().await, Receiver::start().await);
    let owner = Owner::new(&world).await;
    let made = owner.api.post("/uploaded-certificates", &Elsewhere::new(&EC).upload()).await;
    let id = made["id"].as_str().unwrap();
    // UPLOAD-10
    hosted(&world, &owner, &receiver, id).await;
    let path = format!("/certificates/{id}");
    let detail = owner.refusal("DELETE", &format!("{path}?confirm=true"), json!({}), 409).await;
    assert!(detail.contains("in use by load-balancer lb-1") && detail.contains("(DELETE-05)"), "{detail}");
    let kept = owner.kept(&world, &["www.zone.cn"]).await;
    owner.api.post(&format!("/certificates/{kept}/deployments"), &balancer(None)).await;
    assert_eq!(owner.shown(id).await["deployed"], json!([]), "another one took its place");
    let csr = owner.api.get("/csrs").await.expect(200).json()["items"][0]["id"].as_str().unwrap().to_owned();
    let detail = owner.refusal("DELETE", &format!("/csrs/{csr}"), json!({}), 409).await;
    assert!(detail.contains("in use by"), "{detail}");
    let one = format!("/certificates/{kept}/deployments?type=load-balancer&id=lb-1");
    owner.api.send("DELETE", &one, &json!({})).await.expect(200);
    owner.api.send("DELETE", &one, &json!({})).await.expect(404);
    owner.api.send("DELETE", &format!("/csrs/{csr}"), &json!({})).await.expect(204);
    owner.api.send("DELETE", &format!("{path}?confirm=true"), &json!({})).await.expect(204);
}

#[tokio::test]
async fn a_certificate_in_use_is_not_revoked_until_it_is_unbound() {
    // REVOKE-09, DIAG-23
    let (world, receiver, owner, id) = scene().await;
    hosted(&world, &owner, &receiver, &id).await;
    let revoke = format!("/certificates/{id}/revocations");
    let detail = owner.refusal("POST", &revoke, json!({}), 403).await;
    assert!(detail.contains("in use by load-balancer lb-1") && detail.contains("REVOKE-09"), "{detail}");
    owner.api.send("DELETE", &format!("/certificates/{id}/deployments"), &json!({})).await.expect(200);
    let begun = owner.api.post(&revoke, &json!({})).await;
    assert_eq!(begun["status"], "done", "its account still holds the names: {begun}");
}

#[tokio::test]
async fn a_resource_that_does_not_answer_is_called_again_and_its_owner_told_in_the_end() {
    let (mut world, receiver, owner, id) = scene().await;
    let path = format!("/certificates/{id}/deployments");
    receiver.answer("503 Busy");
    owner.api.post(&path, &balancer(Some(&receiver.url()))).await;
    world.ra().drain().await.unwrap();
    assert_eq!(owner.api.get(&path).await.expect(200).json()["resources"][0]["delivery"], "pending");
    receiver.answer("204 Taken");
    world.pass(DAY).await;
    assert_eq!(owner.api.get(&path).await.expect(200).json()["resources"][0]["delivery"], "delivered");
    receiver.answer("410 Gone");
    owner.api.post(&path, &balancer(None)).await;
    world.ra().drain().await.unwrap();
    let shown = owner.api.get(&path).await.expect(200).json();
    assert_eq!(shown["resources"][0]["delivery"], "failed");
    assert!(shown["resources"][0]["failure"].as_str().unwrap().contains("410"), "{shown}");
    let notices = world.notices_of(&owner.id).await;
    assert!(notices.iter().any(|notice| notice.event == "deployment-failed" && notice.text.contains(&id)));
}

#[tokio::test]
async fn a_resource_that_does_not_answer_is_left_in_peace_between_tries() {
    let (world, receiver, owner, id) = scene().await;
    receiver.answer("503 Busy");
    owner.api.post(&format!("/certificates/{id}/deployments"), &balancer(Some(&receiver.url()))).await;
    world.ra().drain().await.unwrap();
    for (minutes, calls) in [(0, 1), (1, 2), (2, 3), (4, 4), (8, 5), (15, 5), (1, 6), (31, 6), (1, 7)] {
        world.pass(Duration::from_secs(60 * minutes)).await;
        assert_eq!(receiver.calls().len(), calls, "{minutes} minutes later");
    }
}

#[tokio::test]
async fn a_certificate_that_was_revoked_between_two_tries_is_not_announced() {
    // REVOKE-01
    let (mut world, receiver, owner, id) = scene().await;
    let path = format!("/certificates/{id}/deployments");
    receiver.answer("503 Busy");
    owner.api.post(&path, &balancer(Some(&receiver.url()))).await;
    world.ra().drain().await.unwrap();
    let serial = id.parse().unwrap();
    let reason = RevocationReason::KeyCompromise;
    world.ra().revoke_serial(Authority::Operator, &serial, reason).await.unwrap();
    receiver.answer("204 Taken");
    world.pass(DAY).await;
    assert_eq!(receiver.calls().len(), 1);
    let shown = owner.api.get(&path).await.expect(200).json();
    assert_eq!(shown["resources"][0]["delivery"], "failed");
    let notices = world.notices_of(&owner.id).await;
    assert!(notices.iter().any(|notice| notice.event == "deployment-failed" && notice.text.contains("was revoked")));
}

#[tokio::test]
async fn two_certificates_of_the_same_names_are_both_replaced_where_they_are_hosted() {
    // HOST-01
    let (world, receiver) = (open_world().await, Receiver::start().await);
    let owner = Owner::new(&world).await;
    let (first, second) = (owner.kept(&world, &["www.zone.cn"]).await, owner.kept(&world, &["www.zone.cn"]).await);
    for (id, resource) in [(&first, "one"), (&second, "two")] {
        let there = json!({ "resources": [{ "type": "cdn", "id": resource, "url": receiver.url() }] });
        owner.api.post(&format!("/certificates/{id}/deployments"), &there).await;
        let there = json!({ "resources": [{ "type": "cdn", "id": resource }] });
        owner.api.send("PUT", &format!("/certificates/{id}/hosting"), &there).await.expect(200);
    }
    let third = owner.kept(&world, &["www.zone.cn"]).await;
    world.ra().drain().await.unwrap();
    let both = json!([{ "type": "cdn", "id": "one" }, { "type": "cdn", "id": "two" }]);
    let shown = owner.shown(&third).await;
    assert_eq!((&shown["deployed"], &shown["hosted"]), (&both, &both));
    assert_eq!(told(&receiver.calls()[2..]), [third.as_str(), &third]);
    // Unbound, it is no longer replaced.
    owner.api.send("DELETE", &format!("/certificates/{third}/deployments"), &json!({})).await.expect(200);
    let fourth = owner.kept(&world, &["www.zone.cn"]).await;
    world.ra().drain().await.unwrap();
    assert_eq!(owner.shown(&fourth).await["hosted"], json!([]));
}

#[tokio::test]
async fn a_customer_has_two_hundred_resources_and_room_for_others_once_some_are_unbound() {
    let (_world, receiver, owner, id) = scene().await;
    let path = format!("/certificates/{id}/deployments");
    let some = |from: usize, count: usize| {
        let one = |number| json!({ "type": "cdn", "id": format!("r{number}"), "url": receiver.url() });
        json!({ "resources": (from..from + count).map(one).collect::<Vec<_>>() })
    };
    for from in [0, 50, 100, 150] {
        owner.api.post(&path, &some(from, 50)).await;
    }
    let detail = owner.refusal("POST", &path, some(200, 1), 400).await;
    assert!(detail.contains("200 resources at most; unbind"), "{detail}");
    owner.api.post(&path, &some(150, 50)).await;
    owner.api.send("DELETE", &format!("{path}?type=cdn&id=r7"), &json!({})).await.expect(200);
    owner.refusal("POST", &path, some(200, 2), 400).await;
    owner.api.post(&path, &some(200, 1)).await;
}
