//! Statuses (STATUS): canonical words and the documents' own, order and names apart, entries of their own.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chancery::domain::customer::CustomerKind;
use chancery::policy::status::Status;
use serde_json::Value;

use crate::support::operator::Operator;
use crate::support::world::World;

const DAY: Duration = Duration::from_secs(86_400);

/// The table of section 21: the documents' texts, and the canonical word.
const TEXTS: &[(&str, &str)] = &[
    ("Pending Submission", "pending-submission"),
    ("Pending confirmation letter upload", "pending-letter"),
    ("Pre-Review", "pre-review"),
    ("Pending validation", "pending-validation"),
    ("Validating", "validating"),
    ("Validation timeout", "validation-timeout"),
    ("Passed", "validated"),
    ("Failed", "validation-failed"),
    ("Pending issuance by CA", "pending-issue"),
    ("Issued", "issued"),
    ("Failed to pass review", "review-failed"),
    ("review canceled", "canceled"),
    ("to be renewed", "to-be-renewed"),
    ("in the reissue process", "reissuing"),
    ("revoked", "revoked"),
    ("expired", "expired"),
];

const ALL: &[Status] = &[
    Status::PendingSubmission,
    Status::PendingLetter,
    Status::PreReview,
    Status::PendingValidation,
    Status::Validating,
    Status::ValidationTimeout,
    Status::Validated,
    Status::ValidationFailed,
    Status::PendingIssue,
    Status::Issued,
    Status::ReviewFailed,
    Status::Canceled,
    Status::ToBeRenewed,
    Status::Reissuing,
    Status::Revoking,
    Status::Revoked,
    Status::Expired,
];

#[test]
fn every_text_of_the_documents_has_one_canonical_word() {
    // STATUS-01, STATUS-02: one status for "Pending verification", "Pending validation" and "Waiting for DNS verification".
    let known: BTreeMap<&str, String> = ALL.iter().map(|s| (s.as_str(), s.text().to_lowercase())).collect();
    assert_eq!(known.len(), ALL.len());
    for (text, word) in TEXTS {
        assert_eq!(known.get(word), Some(&text.to_lowercase()), "{word}");
    }
    let texts: BTreeSet<&String> = known.values().collect();
    assert_eq!(texts.len(), ALL.len(), "two statuses have one text");
}

async fn order(operator: &Operator, url: &str) -> Value {
    let id = url.rsplit('/').next().unwrap();
    operator.get(&format!("/orders/{id}")).await.expect(200).json()
}

#[tokio::test]
async fn an_order_has_a_status_and_each_of_its_names_one_of_its_own() {
    let world = World::documented().await;
    let operator = Operator::of(&world);
    let customer = world.customer(CustomerKind::Individual).await;
    let client = world.client_of(&customer).await;
    world.buy(&customer, "trustasia-dv-multi", 2, 1).await;
    let placed = client.new_order(&["a.zone-one.cn", "b.zone-two.cn"]).await.expect(201);
    let shown = order(&operator, placed.location()).await;
    assert_eq!((&shown["status"], &shown["status_text"]), (&"pending-validation".into(), &"Pending validation".into()));
    // STATUS-03: one machine for each name.
    let authzs = client.authorizations(&placed.json()).await;
    world.prove(&client, &authzs[0]).await.expect(200);
    let shown = order(&operator, placed.location()).await;
    assert_eq!(shown["status"], "pending-validation");
    let names: Vec<&str> =
        shown["validations"].as_array().unwrap().iter().map(|name| name["status"].as_str().unwrap()).collect();
    assert_eq!(names, ["validated", "pending-validation"]);
}

#[tokio::test]
async fn a_renewal_is_an_entry_of_its_own_and_the_old_one_keeps_its_status() {
    let world = World::documented().await;
    let operator = Operator::of(&world);
    let customer = world.customer(CustomerKind::Individual).await;
    let client = world.client_of(&customer).await;
    world.buy(&customer, "trustasia-dv-multi", 1, 1).await;
    world.certificate(&client, &["a.zone-one.cn"]).await;
    let list = operator.get(&format!("/orders?customer={customer}")).await.json();
    let old = list["items"][0]["id"].as_str().unwrap().to_owned();
    world.pass(340 * DAY).await;
    assert_eq!(order(&operator, &old).await["status"], "to-be-renewed");
    world.buy(&customer, "trustasia-dv-multi", 1, 1).await;
    let placed = client.new_order(&["a.zone-one.cn"]).await.expect(201);
    // STATUS-04
    let renewal = order(&operator, placed.location()).await;
    assert_eq!((&renewal["purpose"], &renewal["status"]), (&"renewal".into(), &"pending-validation".into()));
    assert_ne!(renewal["id"], old.as_str());
    assert_eq!(order(&operator, &old).await["status"], "to-be-renewed");
}
