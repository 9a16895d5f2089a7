//! Somebody buys an OV certificate: letter, reminder, rejection, resubmission, approval, and the certificate at their client's
//! next run.

use serde_json::json;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::acme_tools::{DAY, HOUR, has_parts, leaf, look, problem};
use crate::desk_tools::{Company, PDF, PNG, approve, decide, queue, reviewer};
use crate::support::world::World;

const PRODUCT: &str = "trustasia-ov-single";
const NAMES: [&str; 1] = ["shop.zone-one.cn"];

#[tokio::test]
async fn an_ov_certificate_from_the_purchase_to_the_next_run_of_the_client() {
    let world = World::documented().await;
    let company = Company::new(&world).await;
    let desk = reviewer(&world, "Wang").await;

    // BUY-03: bought, and nothing can be ordered before the data are there.
    let purchase = company.buy(&world, PRODUCT).await;
    assert_eq!(company.state(&purchase).await, "pending-submission");
    let refused = company.place(PRODUCT, &NAMES).await;
    has_parts(&refused.expect_problem(403, "userActionRequired"), &["Submit the application data first", "BUY-03"]);
    let help = format!("/purchases/{purchase}/application");
    assert!(refused.header("link").is_some_and(|link| link.contains(&help)), "{refused}");

    // DOC-01: then the letter is missing; the client may begin, and not end.
    let applied = company.apply(&purchase).await;
    assert_eq!(
        (&applied["status"], company.state(&purchase).await),
        (&json!("pending-letter"), json!("pending-letter"))
    );
    let (url, order) = company.ready(&world, PRODUCT, &NAMES).await;
    let refused = company.finalize(&order, &NAMES).await;
    has_parts(&refused.expect_problem(403, "userActionRequired"), &["Upload the confirmation letter", "DOC-01"]);
    assert_eq!(look(&company.acme, &url).await["status"], "ready");
    let template = company.rest.get(&format!("/purchases/{purchase}/letter")).await.expect(200);
    assert!(template.body.starts_with(b"%PDF-"));
    company.upload(&purchase, PDF).await.expect(204);

    // REVIEW-07: reviewers have it; the client is told to come back.
    let waiting = company.finalize(&order, &NAMES).await.expect(200);
    assert_eq!((&waiting.json()["status"], waiting.header("retry-after")), (&json!("processing"), Some("3600")));
    let review = applied["id"].as_str().unwrap().to_owned();
    assert!(queue(&desk, "").await.contains(&("application".to_owned(), review.clone())));

    // REMIND-03: nobody answers; from the fourth day on the company may remind.
    world.pass(3 * DAY - HOUR).await;
    company.rest.send("POST", &format!("/purchases/{purchase}/reminders"), &json!({})).await.expect(429);
    world.pass(HOUR).await;
    company.rest.send("POST", &format!("/purchases/{purchase}/reminders"), &json!({})).await.expect(201);
    let page = desk.get(&format!("/reviews/{review}")).await.expect(200).json();
    assert_eq!(page["reminders"], 1);
    let document = page["application"]["letter"]["document"].as_str().unwrap();
    let letter = desk.get(&format!("/documents/{document}")).await.expect(200);
    assert_eq!((&letter.body[..], letter.header("x-content-type-options")), (PDF, Some("nosniff")));

    // REVIEW-11: the letter is not good; the order ends with the cause, which is told.
    decide(&desk, &review, "reject", "the seal can't be read").await.expect(200);
    let over = look(&company.acme, &url).await;
    assert_eq!(over["status"], "invalid");
    problem(&over["error"], "unauthorized", &["Review refused: the seal can't be read"]);
    assert_eq!(company.state(&purchase).await, "review-failed");
    let refused = company.place(PRODUCT, &NAMES).await;
    has_parts(&refused.expect_problem(403, "userActionRequired"), &["Review failed: the seal", "edit and resubmit"]);

    // Resubmitted with the same profiles and another letter; the client runs again by itself.
    let form = json!({
        "organisation": applied["organisation"]["id"], "administrator": applied["administrator"]["id"],
    });
    let again = company.apply_with(&purchase, &form).await.expect(200).json();
    assert_eq!((&again["status"], &again["id"]), (&json!("pending-letter"), &applied["id"]));
    company.upload(&purchase, PNG).await.expect(204);
    let (url, order) = company.ready(&world, PRODUCT, &NAMES).await;
    let csr = crate::support::client::csr(&NAMES).0;
    assert_eq!(company.acme.finalize(&order, &csr).await.expect(200).json()["status"], "processing");
    world.pass(2 * DAY).await;
    let page = approve(&desk, &review).await.expect(200).json();
    assert_eq!(page["application"]["status"], "issued");

    // The next run finds the same order, valid, and its certificate names the organisation.
    let done = look(&company.acme, &url).await;
    assert_eq!(done["status"], "valid", "{done}");
    let der = leaf(&company.acme.certificate(&done).await);
    let (_, certificate) = X509Certificate::from_der(&der).unwrap();
    let subject = certificate.subject().to_string();
    has_parts(&subject, &["O=Shenzhen Zone Trading Co., Ltd.", "C=CN", "L=Shenzhen", "ST=Guangdong"]);
    assert!(!subject.contains("OU="), "{subject}");
    assert_eq!(company.state(&purchase).await, "issued");

    // Design decision 7: who lost the key orders again and has it at once.
    world.pass(10 * DAY).await;
    let (_, order) = company.ready(&world, PRODUCT, &NAMES).await;
    assert_eq!(company.finalize(&order, &NAMES).await.expect(200).json()["status"], "valid");
}
