//! Somebody buys a WoTrus OV certificate: the pre-review comes before the order, no letter at all, then the call from the US.

use serde_json::json;

use crate::acme_tools::{DAY, HOUR, has_parts, look};
use crate::desk_tools::{Company, MINUTE, PDF, PRICED, approve, decide, reviewer};
use crate::support::world::World;

const PRODUCT: &str = "wotrus-ov";
const NAMES: [&str; 1] = ["shop.zone-one.cn"];

#[tokio::test]
async fn a_wotrus_certificate_from_the_pre_review_to_the_next_run_of_the_client() {
    let world = World::documented_but(&PRICED).await;
    let company = Company::new(&world).await;
    let desk = reviewer(&world, "Wang").await;
    let purchase = company.buy(&world, PRODUCT).await;

    // REVIEW-04, REVIEW-05: reviewers look first; nothing can be ordered meanwhile.
    let applied = company.apply(&purchase).await;
    assert_eq!((&applied["status"], company.state(&purchase).await), (&json!("pre-review"), json!("pre-review")));
    has_parts(&applied["hints"].to_string(), &["10 minutes to 72 hours", "REVIEW-04"]);
    let refused = company.place(PRODUCT, &NAMES).await;
    has_parts(&refused.expect_problem(403, "userActionRequired"), &["Pre-review pending since 2026-", "REVIEW-04"]);
    let review = applied["id"].as_str().unwrap().to_owned();
    let page = desk.get(&format!("/reviews/{review}")).await.expect(200).json();
    let due = (world.now() + 72 * HOUR).to_string();
    assert_eq!(
        (&page["kind"], &page["status"], &page["due"]),
        (&json!("application"), &json!("pre-review"), &json!(due))
    );

    // Refused once: edited and resubmitted, it is looked at again.
    world.pass(30 * MINUTE).await;
    decide(&desk, &review, "reject", "the register has another address").await.expect(200);
    let refused = company.place(PRODUCT, &NAMES).await;
    has_parts(&refused.expect_problem(403, "userActionRequired"), &["Review failed: the register", "REVIEW-11"]);
    assert_eq!(company.apply(&purchase).await["status"], "pre-review");

    // DOC-08: passed, and no letter is asked for or taken.
    world.pass(HOUR).await;
    let page = approve(&desk, &review).await.expect(200).json();
    assert_eq!(page["application"]["status"], "pending-validation");
    let refused = company.upload(&purchase, PDF).await.expect(409);
    has_parts(refused.json()["detail"].as_str().unwrap(), &["No letter is needed", "DOC-08"]);
    company.rest.get(&format!("/purchases/{purchase}/letter")).await.expect(409);
    // ORG-11
    has_parts(&company.application(&purchase).await["hints"].to_string(), &["calls from the US", "ORG-11"]);

    // REVIEW-08: validated is not enough.
    let (url, order) = company.ready(&world, PRODUCT, &NAMES).await;
    assert_eq!(company.finalize(&order, &NAMES).await.expect(200).json()["status"], "processing");
    // REMIND-05: nobody is reminded.
    world.pass(5 * DAY).await;
    let refused = company.rest.send("POST", &format!("/purchases/{purchase}/reminders"), &json!({})).await.expect(409);
    has_parts(refused.json()["detail"].as_str().unwrap(), &["does not take reminders", "REMIND-05"]);
    assert_eq!(look(&company.acme, &url).await["status"], "processing");
    approve(&desk, &review).await.expect(200);
    let done = look(&company.acme, &url).await;
    assert_eq!(done["status"], "valid", "{done}");
    company.acme.certificate(&done).await;
}
