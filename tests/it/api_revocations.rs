//! Revocations by REST: what each product asks for, what goes on meanwhile, and how they end.

use std::time::Duration;

use chancery::ca::certificate::serial_of;
use chancery::domain::CustomerId;
use chancery::domain::customer::CustomerKind;
use serde_json::{Value, json};

use crate::acme_tools::{DAY, HOUR, has_parts};
use crate::desk_tools::{at_rest, reviewer};
use crate::rules_tools::{Issued, issue, issue_for, of, place, with};
use crate::support::client::Client;
use crate::support::operator::Operator;
use crate::support::world::World;

const FREE: &str = "trustasia-dv-free";
const NAMES: [&str; 1] = ["shop.zone-one.cn"];

/// A customer with a free certificate whose proof is over, at ACME and at REST.
async fn with_lapsed_proofs(world: &World) -> (CustomerId, Client, Operator, Issued) {
    let customer = world.customer(CustomerKind::Enterprise).await;
    let client = world.client_of(&customer).await;
    let made = issue(world, &client, &NAMES, of(FREE)).await;
    world.pass(8 * DAY).await;
    let rest = at_rest(world, &customer).await;
    (customer, client, rest, made)
}

/// A customer with a product for two names whose revocations people decide, at ACME and at REST.
async fn decided_by_people() -> (World, Client, Operator) {
    let priced = "id = \"wotrus-dv\"\nprice = { base = 10, included = 2, extra = 5 }";
    let world = World::documented_but(&[("id = \"wotrus-dv\"", priced)]).await;
    let customer = world.customer(CustomerKind::Enterprise).await;
    world.buy(&customer, "wotrus-dv", 2, 1).await;
    let (client, rest) = (world.client_of(&customer).await, at_rest(&world, &customer).await);
    (world, client, rest)
}

/// Begins a revocation: what is told of it, and where it is found.
async fn begin(rest: &Operator, made: &Issued, asked: Value) -> (Value, String) {
    let begun = rest.post(&revocations(made), &asked).await;
    let path = format!("/revocations/{}", begun["id"].as_str().unwrap());
    (begun, path)
}

fn revocations(made: &Issued) -> String {
    format!("/certificates/{}/revocations", serial_of(&made.der).unwrap())
}

/// How an issued order is told to its client, whose certificate may be downloaded or not.
async fn download(client: &Client, made: &Issued) -> crate::support::client::Response {
    client.post_as_get(made.order["certificate"].as_str().unwrap()).await
}

async fn order_status(rest: &Operator, made: &Issued) -> Value {
    let id = made.order["finalize"].as_str().unwrap().rsplit('/').nth(1).unwrap().to_owned();
    rest.get(&format!("/orders/{id}")).await.expect(200).json()["status"].clone()
}

/// Publishes what a revocation asks for.
fn publish(world: &World, revocation: &Value) {
    for record in revocation["records"].as_array().unwrap() {
        let (place, value) = (record["place"].as_str().unwrap(), record["value"].as_str().unwrap());
        match record["method"].as_str().unwrap() {
            "dns-01" => drop(world.dns.txt(place, value)),
            _ => drop(world.web.serve_any(value.split('.').next_back().unwrap())),
        }
    }
}

#[tokio::test]
async fn while_a_revocation_goes_on_the_certificate_is_not_given_out_and_nothing_takes_it_back() {
    let world = World::documented().await;
    let (_, client, rest, made) = with_lapsed_proofs(&world).await;
    download(&client, &made).await.expect(200);
    let (begun, path) = begin(&rest, &made, json!({ "reason": "superseded" })).await;
    assert_eq!(begun["status"], "awaiting-proof");
    assert_eq!(begun["deadline"], (world.now() + 3 * DAY).to_string());
    has_parts(begun["next"].as_str().unwrap(), &["REVOKE-12", "REVOKE-08"]);
    // REVOKE-12: by the order's method.
    let records = begun["records"].as_array().unwrap();
    assert!(records.iter().all(|record| record["method"] == "http-01"), "{records:?}");
    assert!(records[0]["place"].as_str().unwrap().starts_with("http://shop.zone-one.cn/.well-known/acme-challenge/"));
    assert_eq!(order_status(&rest, &made).await, "revoking");
    // REVOKE-01
    let refused = download(&client, &made).await.expect_problem(403, "unauthorized");
    has_parts(&refused, &["Revocation is under way", "REVOKE-01"]);
    let again = with(of(FREE), json!({ "replaces": made.id() }));
    let refused = place(&client, &NAMES, again).await.expect_problem(403, "unauthorized");
    has_parts(&refused, &["can't be reissued", "REVOKE-01"]);
    // REVOKE-02
    let again = rest.send("POST", &revocations(&made), &json!({})).await.expect(409).json();
    has_parts(again["detail"].as_str().unwrap(), &["under way", begun["id"].as_str().unwrap(), "REVOKE-02"]);
    rest.request("DELETE", &path, "", axum::body::Body::empty()).await.expect(405);
}

#[tokio::test]
async fn a_proof_by_file_revokes_when_the_customer_asks_for_a_look() {
    let world = World::documented().await;
    let (_, client, rest, made) = with_lapsed_proofs(&world).await;
    world.web.serve_any("nobody");
    let (begun, path) = begin(&rest, &made, json!({ "reason": "cessationOfOperation" })).await;
    let looked = rest.send("POST", &format!("{path}/proof"), &json!({})).await.expect(200).json();
    assert_eq!(looked["status"], "awaiting-proof");
    assert!(looked["records"][0]["problem"]["detail"].is_string(), "{looked}");
    // REVOKE-14
    publish(&world, &begun);
    let done = rest.send("POST", &format!("{path}/proof"), &json!({})).await.expect(200).json();
    assert_eq!(done["status"], "done", "{done}");
    assert_eq!(order_status(&rest, &made).await, "revoked");
    client.revoke(&made.der, None).await.expect_problem(400, "alreadyRevoked");
    let list = rest.get(&revocations(&made)).await.expect(200).json();
    assert_eq!(list["items"][0]["reason"], "cessationOfOperation");
    rest.send("POST", &format!("{path}/proof"), &json!({})).await.expect(409);
}

#[tokio::test]
async fn a_proof_by_a_record_is_found_by_the_hourly_look() {
    let world = World::documented().await;
    let customer = world.customer(CustomerKind::Enterprise).await;
    let rest = at_rest(&world, &customer).await;
    // An order that was proven by hand, by DNS: the proof it left is nobody's automatic one (REVOKE-16).
    let names = ["hand.zone-one.cn"];
    let csr = pem::encode(&pem::Pem::new("CERTIFICATE REQUEST", crate::support::client::csr(&names).0));
    let order = rest.post("/orders", &json!({ "identifiers": names, "csr": csr })).await;
    let order = format!("/orders/{}", order["id"].as_str().unwrap());
    let wanted = rest.get(&format!("{order}/validation-records")).await.expect(200).json();
    publish(&world, &wanted);
    world.pass(HOUR).await;
    let order = rest.get(&order).await.expect(200).json();
    let path = format!("/certificates/{}/revocations", order["certificate"].as_str().unwrap());
    let begun = rest.post(&path, &json!({})).await;
    assert_eq!((&begun["status"], &begun["records"][0]["method"]), (&json!("awaiting-proof"), &json!("dns-01")));
    // REVOKE-13
    world.pass(2 * DAY).await;
    publish(&world, &begun);
    world.pass(HOUR).await;
    let list = rest.get(&path).await.expect(200).json();
    assert_eq!(list["items"][0]["status"], "done", "{list}");
}

#[tokio::test]
async fn without_a_proof_in_three_days_the_certificate_is_issued_as_before() {
    let mut world = World::documented().await;
    let (customer, client, rest, made) = with_lapsed_proofs(&world).await;
    world.web.serve_any("nobody");
    let (_, path) = begin(&rest, &made, json!({})).await;
    world.pass(3 * DAY - Duration::from_secs(1)).await;
    assert_eq!(order_status(&rest, &made).await, "revoking");
    world.pass(Duration::from_secs(1)).await;
    let failed = rest.get(&path).await.expect(200).json();
    assert_eq!(failed["status"], "failed");
    // REVOKE-14, REVOKE-08
    has_parts(failed["why"].as_str().unwrap(), &["File not found within 3 days", "REVOKE-14", "contact support"]);
    assert_eq!(order_status(&rest, &made).await, "issued");
    download(&client, &made).await.expect(200);
    // It may be begun anew; what ACME proves meanwhile counts.
    let (second, path) = begin(&rest, &made, json!({})).await;
    assert_eq!(second["status"], "awaiting-proof");
    world.web.serve_any(&client.thumbprint());
    for name in NAMES {
        let asked = json!({ "identifier": { "type": "dns", "value": name } });
        let authz = client.post(&client.resource("newAuthz").await, &asked).await.expect(201).json();
        world.prove(&client, &authz).await.expect(200);
    }
    let done = rest.send("POST", &format!("{path}/proof"), &json!({})).await.expect(200).json();
    assert_eq!(done["status"], "done", "{done}");
    let list = rest.get(&revocations(&made)).await.expect(200).json();
    assert_eq!(list["items"].as_array().unwrap().len(), 2);
    // The customer hears of each beginning and each end.
    let told = world.notices_of(&customer).await;
    for (event, count, part) in [
        ("revocation-begun", 2, "can't be taken back (REVOKE-02)"),
        ("revocation-failed", 1, "REVOKE-14"),
        ("revocation-done", 1, "REVOKE-03"),
    ] {
        let told: Vec<_> = told.iter().filter(|notice| notice.event == event).collect();
        assert_eq!(told.len(), count, "{event}");
        assert!(told.iter().all(|notice| notice.text.contains(part)), "{told:?}");
    }
}

#[tokio::test]
async fn a_compromised_key_ends_a_revocation_that_goes_on() {
    let world = World::documented().await;
    let (_, client, rest, made) = with_lapsed_proofs(&world).await;
    let (_, path) = begin(&rest, &made, json!({})).await;
    client.revoke(&made.der, Some(1)).await.expect(200);
    assert_eq!(rest.get(&path).await.expect(200).json()["status"], "done");
    world.pass(4 * DAY).await;
    assert_eq!(order_status(&rest, &made).await, "revoked");
}

#[tokio::test]
async fn what_needs_nothing_is_done_at_once() {
    let world = World::documented().await;
    let (_, _, rest, made) = with_lapsed_proofs(&world).await;
    let done = rest.post(&revocations(&made), &json!({ "reason": "keyCompromise" })).await;
    assert_eq!(done["status"], "done");
    let refused = rest.send("POST", &revocations(&made), &json!({})).await.expect(409).json();
    has_parts(refused["detail"].as_str().unwrap(), &["already revoked"]);
}

#[tokio::test]
async fn a_person_decides_where_the_product_wants_it() {
    let (world, client, rest) = decided_by_people().await;
    let names = ["shop.zone-one.cn", "mail.zone-one.cn"];
    let made = issue(&world, &client, &names, of("wotrus-dv")).await;
    // REVOKE-10, REVOKE-18
    let refused = rest.send("POST", &revocations(&made), &json!({ "grounds": " " })).await.expect(400).json();
    has_parts(refused["detail"].as_str().unwrap(), &["Enter a reason", "REVOKE-10", "REVOKE-18"]);
    for (approved, status, order) in [(false, "failed", "issued"), (true, "done", "revoked")] {
        let begun = rest.post(&revocations(&made), &json!({ "grounds": "The shop is closed" })).await;
        assert_eq!(
            (&begun["status"], order_status(&rest, &made).await),
            (&json!("awaiting-review"), json!("revoking"))
        );
        let id = begun["id"].as_str().unwrap();
        let path = format!("/reviews/{id}/decision");
        let decision = if approved { "approve" } else { "reject" };
        let verdict = |note: &str| json!({ "decision": decision, "note": note });
        let desk = Operator::of(&world);
        let waiting = async || desk.get("/reviews").await.expect(200).json()["items"].as_array().unwrap().len();
        assert_eq!(waiting().await, 1);
        desk.send("POST", &path, &verdict(" ")).await.expect(400);
        desk.send("POST", &path, &verdict("We called them")).await.expect(200);
        desk.send("POST", &path, &verdict("Twice")).await.expect(409);
        assert_eq!(waiting().await, 0);
        let ended = rest.get(&format!("/revocations/{id}")).await.expect(200).json();
        assert_eq!((&ended["status"], order_status(&rest, &made).await), (&json!(status), json!(order)));
        if !approved {
            has_parts(ended["why"].as_str().unwrap(), &["refused", "We called them"]);
        }
    }
}

#[tokio::test]
async fn others_see_nothing_of_a_revocation() {
    let world = World::documented().await;
    let (_, _, rest, made) = with_lapsed_proofs(&world).await;
    let (_, path) = begin(&rest, &made, json!({})).await;
    let stranger = at_rest(&world, &world.customer(CustomerKind::Individual).await).await;
    for path in [revocations(&made), path.clone(), format!("{path}/letter")] {
        stranger.get(&path).await.expect(404);
    }
    stranger.send("POST", &revocations(&made), &json!({})).await.expect(404);
    stranger.send("POST", &format!("{path}/proof"), &json!({})).await.expect(404);
    stranger.request("PUT", &format!("{path}/letter"), "image/png", "x").await.expect(404);
    reviewer(&world, "r").await.get(&path).await.expect(403);
    Operator::of(&world).get(&path).await.expect(200);
    // No letter is asked for.
    rest.get(&format!("{path}/letter")).await.expect(409);
    rest.request("PUT", &format!("{path}/letter"), "image/png", "x").await.expect(409);
    // REVOKE-04: what is not this CA's.
    for unknown in ["00".repeat(20), "AAAAAAAAAAAAAAAAAAAAAA".to_owned()] {
        let refused = rest.send("POST", &format!("/certificates/{unknown}/revocations"), &json!({})).await;
        has_parts(refused.expect(404).json()["detail"].as_str().unwrap(), &["ask the CA that issued it", "REVOKE-04"]);
    }
}

#[tokio::test]
async fn a_compromised_key_is_told_by_rest_while_a_revocation_goes_on() {
    let world = World::documented().await;
    let (_, client, rest, made) = with_lapsed_proofs(&world).await;
    let (_, path) = begin(&rest, &made, json!({ "reason": "superseded" })).await;
    // Baseline Requirements 4.9.1.1: it waits for nobody, and ends what goes on.
    let done = rest.post(&revocations(&made), &json!({ "reason": "keyCompromise" })).await;
    assert_eq!((&done["status"], &done["reason"]), (&json!("done"), &json!("keyCompromise")));
    assert_eq!(rest.get(&path).await.expect(200).json()["status"], "done");
    let list = rest.get(&revocations(&made)).await.expect(200).json();
    assert_eq!(list["items"].as_array().unwrap().len(), 2);
    world.pass(4 * DAY).await;
    assert_eq!(order_status(&rest, &made).await, "revoked");
    client.revoke(&made.der, None).await.expect_problem(400, "alreadyRevoked");
}

#[tokio::test]
async fn a_key_that_is_told_compromised_by_rest_takes_along_what_has_it_and_nothing_else() {
    let world = World::documented().await;
    let customer = world.customer(CustomerKind::Enterprise).await;
    let (client, rest) = (world.client_of(&customer).await, at_rest(&world, &customer).await);
    world.buy(&customer, "trustasia-dv-multi", 2, 1).await;
    let key = rcgen::KeyPair::generate().unwrap();
    let names = ["shop.zone-one.cn", "mail.zone-one.cn"];
    let first = issue_for(&world, &client, &names, of("trustasia-dv-multi"), &key).await;
    let same = issue_for(&world, &client, &names, of("trustasia-dv-multi"), &key).await;
    let fresh = issue(&world, &client, &names, of("trustasia-dv-multi")).await;
    let done = rest.post(&revocations(&first), &json!({ "reason": "keyCompromise" })).await;
    assert_eq!(done["status"], "done", "{done}");
    let standing = async |made: &Issued| {
        let path = format!("/certificates/{}", serial_of(&made.der).unwrap());
        Operator::of(&world).get(&path).await.expect(200).json()["status"].clone()
    };
    assert_eq!(standing(&first).await, "revoked");
    assert_eq!(standing(&same).await, "revoked");
    assert_ne!(standing(&fresh).await, "revoked");
    // Baseline Requirements 6.1.1.3
    let known = Operator::of(&world).get("/compromised-keys").await.expect(200).json();
    assert_eq!(known["items"].as_array().unwrap().len(), 1, "{known}");
}

#[tokio::test]
async fn while_an_original_is_revoked_its_reissues_are_not_given_out_either() {
    let (world, client, rest) = decided_by_people().await;
    let names = ["shop.zone-one.cn", "mail.zone-one.cn"];
    let first = issue(&world, &client, &names, of("wotrus-dv")).await;
    let second = issue(&world, &client, &names, with(of("wotrus-dv"), json!({ "replaces": first.id() }))).await;
    // REVOKE-01, REVOKE-06; what took the place of a superseded certificate stays.
    for (reason, goes) in [("cessationOfOperation", true), ("superseded", false)] {
        let begun = rest.post(&revocations(&first), &json!({ "reason": reason, "grounds": "Closed" })).await;
        assert_eq!(begun["status"], "awaiting-review");
        download(&client, &first).await.expect_problem(403, "unauthorized");
        match goes {
            true => {
                let refused = download(&client, &second).await.expect_problem(403, "unauthorized");
                has_parts(&refused, &["Revocation is under way", begun["id"].as_str().unwrap(), "REVOKE-01"]);
            }
            false => drop(download(&client, &second).await.expect(200)),
        }
        let path = format!("/reviews/{}/decision", begun["id"].as_str().unwrap());
        let verdict = json!({ "decision": "reject", "note": "We called them" });
        Operator::of(&world).send("POST", &path, &verdict).await.expect(200);
        download(&client, &second).await.expect(200);
    }
}
