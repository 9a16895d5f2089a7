//! Reviews: how long they take, who must agree, what a refusal and an approval come to (REVIEW).

use std::time::Duration;

use serde_json::{Value, json};

use crate::acme_tools::{DAY, HOUR, has_parts, look, problem};
use crate::desk_tools::{Company, PDF, PRICED, application, approve, decide, queue, reviewer};
use crate::support::operator::Operator;
use crate::support::world::World;

const OV: &str = "trustasia-ov-single";
const NAMES: [&str; 1] = ["shop.zone-one.cn"];

/// An application that reviewers have before them: its purchase, and its review.
async fn in_review(world: &World, company: &Company, product: &str) -> (String, String) {
    let purchase = company.buy(world, product).await;
    let review = company.apply(&purchase).await["id"].as_str().unwrap().to_owned();
    company.upload(&purchase, PDF).await.expect(204);
    (purchase, review)
}

#[tokio::test]
async fn reviews_are_due_in_business_days_without_weekends_and_holidays() {
    let changes = [PRICED[0], ("holidays = []", "holidays = [\"2026-11-25\"]")];
    let world = World::documented_but(&changes).await;
    let desk = reviewer(&world, "Wang").await;
    let company = Company::new(&world).await;
    // The world begins on a Saturday at noon.
    for (rule, product, first, last) in [
        ("REVIEW-01", OV, "2026-11-26T12:00:00Z", "2026-11-30T12:00:00Z"),
        ("REVIEW-02", "trustasia-ev-single", "2026-11-30T12:00:00Z", "2026-12-02T12:00:00Z"),
        ("REVIEW-02", "securesite-evpro-single", "2026-11-30T12:00:00Z", "2026-12-02T12:00:00Z"),
    ] {
        let (purchase, review) = in_review(&world, &company, product).await;
        let shown = company.application(&purchase).await;
        assert_eq!(shown["expected"], json!([first, last]), "{rule} {product}");
        has_parts(&shown["hints"].to_string(), &["business days", "REVIEW-12", "E-mails of the CA can arrive before"]);
        assert_eq!(desk.get(&format!("/reviews/{review}")).await.expect(200).json()["due"], last);
    }
    // REVIEW-03: of DV nobody sends data.
    let dv = company.buy(&world, "trustasia-dv-multi").await;
    let refused = company.apply_with(&dv, &application()).await.expect(409);
    has_parts(refused.json()["detail"].as_str().unwrap(), &["its order is the application", "REVIEW-03"]);
}

#[tokio::test]
async fn the_queue_is_sorted_by_age_or_by_what_is_due() {
    let world = World::documented().await;
    let desk = reviewer(&world, "Wang").await;
    let company = Company::new(&world).await;
    let (_, ev) = in_review(&world, &company, "trustasia-ev-single").await;
    world.pass(HOUR).await;
    let (_, ov) = in_review(&world, &company, OV).await;
    let applications = |queue: Vec<(String, String)>| -> Vec<String> {
        queue.into_iter().filter(|(kind, _)| kind == "application").map(|(_, id)| id).collect()
    };
    assert_eq!(applications(queue(&desk, "").await), [ev.clone(), ov.clone()]);
    assert_eq!(applications(queue(&desk, "?sort=age").await), [ev.clone(), ov.clone()]);
    assert_eq!(applications(queue(&desk, "?sort=due").await), [ov.clone(), ev.clone()]);
    let (mut seen, mut path) = (Vec::new(), "/reviews?sort=due&limit=1".to_owned());
    loop {
        let page = desk.get(&path).await.expect(200).json();
        seen.extend(page["items"].as_array().unwrap().iter().map(|item| item["review"].clone()));
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/reviews?sort=due&limit=1&after={next}");
    }
    let all: Vec<Value> = queue(&desk, "?sort=due").await.into_iter().map(|(_, id)| json!(id)).collect();
    assert_eq!(seen, all);
    for path in ["/reviews?sort=size", "/reviews?sort=due&after=x", "/reviews?sort=due&after=0.1.x"] {
        desk.get(path).await.expect(400);
    }
    company.rest.get("/reviews").await.expect(403);
}

#[tokio::test]
async fn several_reviewers_agree_where_the_catalogue_says_so() {
    let world = World::documented_but(&[("approvers = {}", "approvers = { ev = 2 }")]).await;
    let (first, second) = (reviewer(&world, "Wang").await, reviewer(&world, "Zhang").await);
    let company = Company::new(&world).await;
    let (purchase, review) = in_review(&world, &company, "trustasia-ev-single").await;
    let (url, order) = company.ready(&world, "trustasia-ev-single", &NAMES).await;
    company.finalize(&order, &NAMES).await.expect(200);
    // A customer never.
    approve(&company.rest, &review).await.expect(403);
    let body =
        json!({ "decision": "approve", "note": "in the register", "evidence": ["called +86 755, spoke with Li Wei"] });
    let page = first.send("POST", &format!("/reviews/{review}/decision"), &body).await.expect(200).json();
    assert_eq!((&page["approvers"], &page["approved"]), (&json!(2), &json!(1)));
    assert_eq!(page["approvals"][0]["evidence"], body["evidence"]);
    assert_eq!(look(&company.acme, &url).await["status"], "processing");
    let again = approve(&first, &review).await.expect(409);
    has_parts(again.json()["detail"].as_str().unwrap(), &["approved already", "another reviewer"]);
    let page = approve(&second, &review).await.expect(200).json();
    assert_eq!(page["application"]["status"], "issued");
    assert_eq!(look(&company.acme, &url).await["status"], "valid");
    let by: Vec<&str> = page["approvals"].as_array().unwrap().iter().map(|one| one["by"].as_str().unwrap()).collect();
    assert!(by[0].contains("Wang") && by[1].contains("Zhang"), "{by:?}");
    assert_eq!(company.state(&purchase).await, "issued");
    // One refusal suffices, and an approval of an earlier round does not count in the next.
    let (purchase, review) = in_review(&world, &company, "trustasia-ev-single").await;
    approve(&first, &review).await.expect(200);
    decide(&second, &review, "reject", "is not registered").await.expect(200);
    assert_eq!(company.state(&purchase).await, "review-failed");
    company.apply(&purchase).await;
    world.pass(HOUR).await;
    company.upload(&purchase, PDF).await.expect(204);
    assert_eq!(approve(&second, &review).await.expect(200).json()["approved"], 1);
    approve(&first, &review).await.expect(200);
    assert_eq!(company.state(&purchase).await, "pending-validation");
}

#[tokio::test]
async fn an_order_in_review_outlives_the_days_of_other_orders() {
    let world = World::documented().await;
    let desk = reviewer(&world, "Wang").await;
    let company = Company::new(&world).await;
    // REVIEW-02: 7 business days are 9 days and more.
    let product = "trustasia-ev-single";
    let (purchase, review) = in_review(&world, &company, product).await;
    let (url, order) = company.ready(&world, product, &NAMES).await;
    assert_eq!(company.finalize(&order, &NAMES).await.expect(200).json()["status"], "processing");
    world.pass(10 * DAY).await;
    assert_eq!(look(&company.acme, &url).await["status"], "processing");
    approve(&desk, &review).await.expect(200);
    assert_eq!(look(&company.acme, &url).await["status"], "valid");
    assert_eq!(company.state(&purchase).await, "issued");
}

#[tokio::test]
async fn nobody_approves_a_letter_that_they_have_not_seen() {
    let world = World::documented_but(&[("approvers = {}", "approvers = { ev = 2 }")]).await;
    let (first, second) = (reviewer(&world, "Wang").await, reviewer(&world, "Zhang").await);
    let company = Company::new(&world).await;
    let (purchase, review) = in_review(&world, &company, "trustasia-ev-single").await;
    let seen = approve(&first, &review).await.expect(200).json();
    assert_eq!(seen["approved"], 1);
    // DOC-03: also within the same moment.
    company.upload(&purchase, PDF).await.expect(204);
    let page = second.get(&format!("/reviews/{review}")).await.expect(200).json();
    assert_eq!(page["approved"], 0);
    assert_ne!(page["round"], seen["round"]);
    let in_round = |round: &Value| json!({ "decision": "approve", "note": "in the register", "round": round });
    let path = format!("/reviews/{review}/decision");
    let late = second.send("POST", &path, &in_round(&seen["round"])).await.expect(409);
    has_parts(late.json()["detail"].as_str().unwrap(), &["It has changed since you looked"]);
    assert_eq!(second.send("POST", &path, &in_round(&page["round"])).await.expect(200).json()["approved"], 1);
    let waits = |queued: Vec<(String, String)>| queued.iter().any(|(_, id)| *id == review);
    assert!(waits(queue(&first, "").await));
    // Who approved the letter before approves this one too; without a round whichever there is counts.
    approve(&first, &review).await.expect(200);
    assert_eq!(company.state(&purchase).await, "pending-validation");
    assert!(!waits(queue(&first, "").await));
}

#[tokio::test]
async fn data_that_were_changed_in_the_pre_review_are_looked_at_again() {
    let world = World::documented_but(&PRICED).await;
    let desk = reviewer(&world, "Wang").await;
    let company = Company::new(&world).await;
    let purchase = company.buy(&world, "wotrus-ov").await;
    let review = company.apply(&purchase).await["id"].as_str().unwrap().to_owned();
    let seen = desk.get(&format!("/reviews/{review}")).await.expect(200).json();
    company.apply(&purchase).await;
    let body = json!({ "decision": "approve", "note": "in the register", "round": seen["round"] });
    desk.send("POST", &format!("/reviews/{review}/decision"), &body).await.expect(409);
    assert_eq!(company.application(&purchase).await["status"], "pre-review");
    let in_queue = queue(&desk, "").await.into_iter().filter(|(_, id)| *id == review).count();
    assert_eq!(in_queue, 1);
    approve(&desk, &review).await.expect(200);
    assert_ne!(company.application(&purchase).await["status"], "pre-review");
}

#[tokio::test]
async fn an_application_that_was_approved_before_is_issued_at_once() {
    let world = World::documented().await;
    let desk = reviewer(&world, "Wang").await;
    let company = Company::new(&world).await;
    let (purchase, review) = in_review(&world, &company, OV).await;
    assert_eq!(company.application(&purchase).await["stage"], "choice of method");
    approve(&desk, &review).await.expect(200);
    // The profiles that were vetted with it are approved entries (DOC-04).
    let applied = company.application(&purchase).await;
    assert_eq!(
        (&applied["organisation"]["standing"], &applied["administrator"]["standing"]),
        (&json!("approved"), &json!("approved"))
    );
    assert!(queue(&desk, "").await.is_empty());
    // REVIEW-08: nothing is issued before the domain is validated too.
    let placed = company.place(OV, &NAMES).await.expect(201);
    company.finalize(&placed.json(), &NAMES).await.expect_problem(403, "orderNotReady");
    let (_, order) = company.ready(&world, OV, &NAMES).await;
    assert_eq!(company.finalize(&order, &NAMES).await.expect(200).json()["status"], "valid");
    let late = approve(&desk, &review).await.expect(409);
    has_parts(late.json()["detail"].as_str().unwrap(), &["not waiting for a review"]);
}

#[tokio::test]
async fn an_sm2_certificate_waits_for_letter_validation_and_approval() {
    let world = World::documented_but(&PRICED).await;
    let desk = reviewer(&world, "Wang").await;
    let company = Company::new(&world).await;
    // REVIEW-06
    let purchase = company.buy(&world, "dnspod-sm-ov").await;
    let review = company.apply(&purchase).await["id"].as_str().unwrap().to_owned();
    let (url, order) = company.ready(&world, "dnspod-sm-ov", &NAMES).await;
    company.finalize(&order, &NAMES).await.expect_problem(403, "userActionRequired");
    company.upload(&purchase, PDF).await.expect(204);
    // REVIEW-08
    has_parts(&company.application(&purchase).await["hints"].to_string(), &["domain validation and manual approval"]);
    assert_eq!(company.finalize(&order, &NAMES).await.expect(200).json()["status"], "processing");
    approve(&desk, &review).await.expect(200);
    assert_eq!(look(&company.acme, &url).await["status"], "valid");
}

#[tokio::test]
async fn an_approval_lasts_398_days() {
    let changes = (
        "type = \"ov\"\nshape = \"single\"\nprice = { base = 672 }",
        "type = \"ov\"\nshape = \"single\"\nyears = [2]\nprice = { base = 672 }",
    );
    let world = World::documented_but(&[changes]).await;
    let desk = reviewer(&world, "Wang").await;
    let company = Company::new(&world).await;
    let purchase = world.buy_alone(&company.id, OV, 1, 2).await.id.to_string();
    let review = company.apply(&purchase).await["id"].as_str().unwrap().to_owned();
    company.upload(&purchase, PDF).await.expect(204);
    approve(&desk, &review).await.expect(200);
    let until = company.application(&purchase).await["approved_until"].take();
    assert_eq!(until, json!((world.now() + 398 * DAY).to_string()));
    // The order comes when it is too old: reviewers look again.
    world.pass(399 * DAY).await;
    let (url, order) = company.ready(&world, OV, &NAMES).await;
    assert_eq!(company.finalize(&order, &NAMES).await.expect(200).json()["status"], "processing");
    assert!(queue(&desk, "").await.contains(&("application".to_owned(), review.clone())));
    approve(&desk, &review).await.expect(200);
    assert_eq!(look(&company.acme, &url).await["status"], "valid");
    // The second year has an application of its own, taken over from the first (RENEW-05, RENEW-07).
    world.pass(345 * DAY).await;
    company.ready(&world, OV, &NAMES).await;
    let next = company.application(&purchase).await;
    assert_eq!(
        (&next["term"], &next["status"], &next["renews"]),
        (&json!(2), &json!("pending-letter"), &json!(review))
    );
}

#[tokio::test]
async fn a_refused_application_ends_its_order_and_tells_the_cause() {
    let world = World::documented().await;
    let desk = reviewer(&world, "Wang").await;
    let company = Company::new(&world).await;
    let (purchase, review) = in_review(&world, &company, OV).await;
    let (url, order) = company.ready(&world, OV, &NAMES).await;
    company.finalize(&order, &NAMES).await.expect(200);
    // While it is being reviewed nothing is changed, and the purchase is not used twice (section 25.3).
    let refused = company.apply_with(&purchase, &application()).await.expect(409);
    has_parts(refused.json()["detail"].as_str().unwrap(), &["being reviewed", "REVIEW-11"]);
    let second = company.place(OV, &["other.zone-one.cn"]).await;
    assert!(second.header("retry-after").is_some());
    second.expect_problem(429, "rateLimited");
    // An identical request meets the same order.
    assert_eq!(company.place(OV, &NAMES).await.expect(201).location(), url);
    decide(&desk, &review, "reject", "nobody knows Li Wei").await.expect(200);
    // REVIEW-11
    problem(&look(&company.acme, &url).await["error"], "unauthorized", &["Review refused: nobody knows Li Wei"]);
    let shown = company.application(&purchase).await;
    assert_eq!((&shown["status"], &shown["stage"]), (&json!("review-failed"), &json!("information")));
    has_parts(shown["problem"].as_str().unwrap(), &["Review failed: nobody knows Li Wei", "edit and resubmit"]);
    let notices = company.notices().await;
    let told = notices.iter().find(|notice| notice["event"] == "review-failed").unwrap();
    has_parts(told["text"].as_str().unwrap(), &["nobody knows Li Wei", "REVIEW-11"]);
    let events = company.events().await;
    assert!(["letter-missing", "review-begun"].iter().all(|event| events.iter().any(|e| e == event)), "{events:?}");
}

#[tokio::test]
async fn an_account_that_is_closed_takes_its_order_out_of_the_wait() {
    let world = World::documented().await;
    let desk = reviewer(&world, "Wang").await;
    let company = Company::new(&world).await;
    let (purchase, review) = in_review(&world, &company, OV).await;
    let (_, order) = company.ready(&world, OV, &NAMES).await;
    company.finalize(&order, &NAMES).await.expect(200);
    assert_eq!(company.state(&purchase).await, "in-use");
    company.acme.deactivate().await.expect(200);
    assert_eq!(company.state(&purchase).await, "pending-validation");
    // The application stays, and another account orders on it.
    approve(&desk, &review).await.expect(200);
    let acme = world.client_of(&company.id).await;
    let company = Company { acme, ..company };
    let (_, order) = company.ready(&world, OV, &NAMES).await;
    assert_eq!(company.finalize(&order, &NAMES).await.expect(200).json()["status"], "valid");
}

#[tokio::test]
async fn a_restart_between_approval_and_issuance_loses_nothing() {
    let mut world = World::documented().await;
    let company = Company::new(&world).await;
    let (purchase, review) = in_review(&world, &company, OV).await;
    let (_, order) = company.ready(&world, OV, &NAMES).await;
    company.finalize(&order, &NAMES).await.expect(200);
    world.restart().await;
    approve(&Operator::of(&world), &review).await.expect(200);
    world.restart().await;
    world.pass(Duration::from_secs(60)).await;
    assert_eq!(company.state(&purchase).await, "issued");
}
