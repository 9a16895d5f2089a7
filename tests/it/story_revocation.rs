//! The story of revocations with papers: an organisation's certificate, its letter, the reviewer, the list.

use chancery::ca::certificate::serial_of;
use chancery::domain::CustomerId;
use chancery::domain::customer::CustomerKind;
use serde_json::{Value, json};

use crate::acme_tools::{DAY, has_parts};
use crate::api_reissues::request;
use crate::desk_tools::at_rest;
use crate::rules_tools::{Issued, issue, of};
use crate::support::client::Client;
use crate::support::operator::Operator;
use crate::support::world::World;

const NAMES: [&str; 2] = ["shop.zone-one.cn", "mail.zone-one.cn"];
const PDF: &[u8] = b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\nstamped\n%%EOF\n";
const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR stamped";
const GIF: &[u8] = b"GIF89a\x01\x00\x01\x00\x00\x00\x00;";

/// A customer with a certificate that names their organisation.
struct Shop {
    customer: CustomerId,
    client: Client,
    rest: Operator,
    reviewer: Operator,
    made: Issued,
}

impl Shop {
    /// Buys, applies, sends the letter where one is needed, is approved, and orders over ACME.
    async fn open(world: &World, product: &str) -> Self {
        let customer = world.customer(CustomerKind::Enterprise).await;
        let purchase = world.buy(&customer, product, 2, 1).await;
        let rest = at_rest(world, &customer).await;
        let token = Operator::of(world).post("/tokens", &json!({ "name": "Li", "role": "reviewer" })).await;
        let reviewer = Operator::with(world, Some(format!("Bearer {}", token["token"].as_str().unwrap())));
        let person = json!({ "name": "Wang", "position": "CTO", "phone": "+86 755 1234567", "email": "w@zone-one.cn" });
        let organisation = json!({
            "name": "Example Shop Ltd", "department": "IT", "address": "1 Example Road", "locality": "Shenzhen",
            "country": "CN", "phone": "+86 755 1234567",
        });
        let form = json!({ "organisation": organisation, "administrator": person });
        rest.send("PUT", &format!("/purchases/{}/application", purchase.id), &form).await.expect(200);
        let letter = format!("/purchases/{}/letter", purchase.id);
        rest.request("PUT", &letter, "application/pdf", PDF.to_vec()).await.expect(204);
        let cases = reviewer.get("/reviews").await.expect(200).json();
        let case = cases["items"].as_array().unwrap().iter().find(|case| case["kind"] == "application").unwrap();
        let decision = json!({ "decision": "approve", "note": "They answered the telephone" });
        let path = format!("/reviews/{}/decision", case["review"].as_str().unwrap());
        reviewer.send("POST", &path, &decision).await.expect(200);
        let client = world.client_of(&customer).await;
        let made = issue(world, &client, &NAMES, of(product)).await;
        Self { customer, client, rest, reviewer, made }
    }

    fn path(&self) -> String {
        format!("/certificates/{}/revocations", serial_of(&self.made.der).unwrap())
    }

    async fn decide(&self, id: &Value, decision: &str) {
        let path = format!("/reviews/{}/decision", id.as_str().unwrap());
        let verdict = json!({ "decision": decision, "note": "We telephoned" });
        self.reviewer.send("POST", &path, &verdict).await.expect(200);
    }

    async fn order_status(&self) -> Value {
        let id = self.made.order["finalize"].as_str().unwrap().rsplit('/').nth(1).unwrap();
        self.rest.get(&format!("/orders/{id}")).await.expect(200).json()["status"].clone()
    }
}

#[tokio::test]
async fn an_ov_certificate_is_revoked_with_letter_and_review() {
    let world = World::documented().await;
    let shop = Shop::open(&world, "trustasia-ov-multi").await;
    // Over ACME the client is told where the form is (REVOKE-17).
    let told = shop.client.revoke(&shop.made.der, Some(5)).await.expect_problem(403, "userActionRequired");
    has_parts(&told, &["/revocations"]);
    // DOC-11: while its client keeps up automatic validation, no letter is needed.
    let grounds = json!({ "reason": "cessationOfOperation", "grounds": "The shop is closed" });
    let begun = shop.rest.post(&shop.path(), &grounds).await;
    assert_eq!(begun["status"], "awaiting-review");
    shop.decide(&begun["id"], "reject").await;
    assert_eq!(shop.order_status().await, "issued");

    for authz in shop.made.order["authorizations"].as_array().unwrap() {
        let given_up = json!({ "status": "deactivated" });
        shop.client.post(authz.as_str().unwrap(), &given_up).await.expect(200);
    }
    let told = shop.client.revoke(&shop.made.der, Some(5)).await.expect_problem(403, "userActionRequired");
    has_parts(&told, &["stamped letter", "REVOKE-17"]);
    let refused = shop.rest.send("POST", &shop.path(), &json!({})).await.expect(400).json();
    has_parts(refused["detail"].as_str().unwrap(), &["Enter a reason"]);
    let begun = shop.rest.post(&shop.path(), &grounds).await;
    assert_eq!(begun["status"], "awaiting-letter");
    assert_eq!(shop.order_status().await, "revoking");
    let letter = format!("/revocations/{}/letter", begun["id"].as_str().unwrap());
    let form = shop.rest.get(&letter).await.expect(200);
    assert!(form.body.starts_with(b"%PDF-"));
    // DOC-11: JPG, PNG or PDF by content, at most 1.4 MB.
    for (content, status) in [(GIF.to_vec(), 415), (b"<html>%PDF-".to_vec(), 415), (vec![b' '; 1_400_001], 413)] {
        let refused = shop.rest.request("PUT", &letter, "application/pdf", content).await.expect(status).json();
        has_parts(refused["detail"].as_str().unwrap(), &["JPG, PNG or PDF up to 1.4 MB", "DOC-11"]);
    }
    shop.rest.request("PUT", &letter, "application/pdf", PDF.to_vec()).await.expect(200);
    // It may be replaced until it is decided, and then who looked at the first looks again.
    let review = format!("/reviews/{}", begun["id"].as_str().unwrap());
    let seen = shop.reviewer.get(&review).await.expect(200).json()["round"].take();
    world.pass(DAY).await;
    let sent = shop.rest.request("PUT", &letter, "text/html", PNG.to_vec()).await.expect(200).json();
    assert_eq!(sent["status"], "awaiting-review");
    // The reviewer sees request and letter at the one desk.
    let case = shop.reviewer.get(&format!("/reviews/{}", begun["id"].as_str().unwrap())).await.expect(200).json();
    assert_eq!((&case["kind"], &case["revocation"]["letter"]), (&json!("revocation"), &sent["letter"]));
    let document = format!("/documents/{}", sent["letter"].as_str().unwrap());
    assert_eq!(&shop.reviewer.get(&document).await.expect(200).body[..], PNG);
    let queue = shop.reviewer.get("/reviews").await.expect(200).json();
    assert!(queue["items"].as_array().unwrap().iter().any(|item| item["review"] == begun["id"]), "{queue}");
    let hasty = json!({ "decision": "approve", "note": "We telephoned", "round": seen });
    shop.reviewer.send("POST", &format!("{review}/decision"), &hasty).await.expect(409);
    world.pass(2 * DAY).await;
    shop.decide(&begun["id"], "approve").await;
    // REVOKE-03
    assert_eq!(shop.order_status().await, "revoked");
    shop.client.revoke(&shop.made.der, None).await.expect_problem(400, "alreadyRevoked");
    let queue = shop.reviewer.get("/reviews").await.expect(200).json();
    assert!(!queue["items"].as_array().unwrap().iter().any(|item| item["review"] == begun["id"]), "{queue}");
    let again = json!({ "decision": "approve", "note": "Twice" });
    let path = format!("/reviews/{}/decision", begun["id"].as_str().unwrap());
    shop.reviewer.send("POST", &path, &again).await.expect(409);
    assert_eq!(shop.rest.get(&format!("/customers/{}", shop.customer)).await.status, 200);
}

#[tokio::test]
async fn a_sm2_organisation_sends_one_application_and_no_other() {
    // REVOKE-11, DOC-10
    let id = "id = \"dnspod-sm-ov\"";
    let priced = format!("{id}\nprice = {{ base = 10, included = 2, extra = 5 }}");
    let world = World::documented_but(&[(id, &priced)]).await;
    let shop = Shop::open(&world, "dnspod-sm-ov").await;
    let told = shop.client.revoke(&shop.made.der, Some(5)).await.expect_problem(403, "userActionRequired");
    has_parts(&told, &["stamped letter", "REVOKE-11"]);
    let begun = shop.rest.post(&shop.path(), &json!({ "grounds": "No longer safe" })).await;
    assert_eq!(begun["status"], "awaiting-letter");
    has_parts(begun["next"].as_str().unwrap(), &["JPG, GIF or PDF", "A clear photo", "DOC-12"]);
    let letter = format!("/revocations/{}/letter", begun["id"].as_str().unwrap());
    let refused = shop.rest.request("PUT", &letter, "image/png", PNG.to_vec()).await.expect(415).json();
    has_parts(refused["detail"].as_str().unwrap(), &["JPG, GIF or PDF up to 1.4 MB", "DOC-10"]);
    shop.rest.request("PUT", &letter, "image/gif", GIF.to_vec()).await.expect(200);
    let refused = shop.rest.request("PUT", &letter, "image/gif", GIF.to_vec()).await.expect(409).json();
    has_parts(refused["detail"].as_str().unwrap(), &["only one upload", "DOC-10"]);
    shop.decide(&begun["id"], "approve").await;
    assert_eq!(shop.order_status().await, "revoked");
}

#[tokio::test]
async fn a_letter_that_does_not_come_is_not_awaited_forever() {
    // REVOKE-11
    let id = "id = \"dnspod-sm-ov\"";
    let priced = format!("{id}\nprice = {{ base = 10, included = 2, extra = 5 }}");
    let world = World::documented_but(&[(id, &priced)]).await;
    let shop = Shop::open(&world, "dnspod-sm-ov").await;
    let begun = shop.rest.post(&shop.path(), &json!({ "grounds": "No longer safe" })).await;
    let deadline = (world.now() + 30 * DAY).to_string();
    assert_eq!((&begun["status"], &begun["deadline"]), (&json!("awaiting-letter"), &json!(deadline)));
    has_parts(begun["next"].as_str().unwrap(), &[&deadline]);
    world.pass(30 * DAY - crate::rules_tools::SECOND).await;
    assert_eq!(shop.order_status().await, "revoking");
    world.pass(crate::rules_tools::SECOND).await;
    let path = format!("/revocations/{}", begun["id"].as_str().unwrap());
    let failed = shop.rest.get(&path).await.expect(200).json();
    assert_eq!((&failed["status"], shop.order_status().await), (&json!("failed"), json!("issued")));
    has_parts(failed["why"].as_str().unwrap(), &["letter did not come in time", "REVOKE-11"]);
    // The desk need not wait for it; but what has no letter is not approved.
    let begun = shop.rest.post(&shop.path(), &json!({ "grounds": "No longer safe" })).await;
    let review = format!("/reviews/{}/decision", begun["id"].as_str().unwrap());
    let approve = json!({ "decision": "approve", "note": "We telephoned" });
    shop.reviewer.send("POST", &review, &approve).await.expect(409);
    shop.decide(&begun["id"], "reject").await;
    assert_eq!(shop.order_status().await, "issued");
    // A letter that came ends the wait.
    let begun = shop.rest.post(&shop.path(), &json!({ "grounds": "No longer safe" })).await;
    let letter = format!("/revocations/{}/letter", begun["id"].as_str().unwrap());
    shop.rest.request("PUT", &letter, "image/gif", GIF.to_vec()).await.expect(200);
    world.pass(31 * DAY).await;
    assert_eq!(shop.order_status().await, "revoking");
}

#[tokio::test]
async fn who_lost_the_key_of_an_ov_certificate_has_it_reissued_at_once() {
    // Story of a reissue: REISSUE-08, REISSUE-10 to REISSUE-12, REISSUE-16, design decision 7.
    let world = World::documented().await;
    let shop = Shop::open(&world, "trustasia-ov-multi").await;
    world.pass(100 * DAY).await;
    let serial = serial_of(&shop.made.der).unwrap();
    let asked = json!({ "grounds": "The key is lost", "csr": request(&NAMES) });
    let order = shop.rest.post(&format!("/certificates/{serial}/reissues"), &asked).await;
    world.pass(std::time::Duration::ZERO).await;
    let order = shop.rest.get(&format!("/orders/{}", order["id"].as_str().unwrap())).await.expect(200).json();
    assert_eq!((&order["purpose"], &order["status"]), (&json!("reissue"), &json!("issued")), "{order}");
    let fresh = order["certificate"].as_str().unwrap();
    let of = async |serial: &str| Operator::of(&world).get(&format!("/certificates/{serial}")).await.expect(200).json();
    assert_eq!(of(fresh).await["not_after"], of(&serial.to_string()).await["not_after"]);
    // The lost key's certificate goes; what was reissued with another key stays.
    shop.client.revoke(&shop.made.der, Some(1)).await.expect(200);
    assert_eq!(of(fresh).await["status"], "valid");
}
