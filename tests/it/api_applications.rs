//! Applications over REST: what is shown at each stage, entity tags, names, and what is taken over.

use axum::body::Body;
use axum::http::Request;
use serde_json::json;
use tower::ServiceExt as _;

use crate::acme_tools::has_parts;
use crate::desk_tools::{Company, PDF, application, approve, reviewer, with_role};
use crate::support::operator::Operator;
use crate::support::world::World;

const OV: &str = "trustasia-ov-single";
const NAMES: [&str; 1] = ["shop.zone-one.cn"];

#[tokio::test]
async fn each_stage_is_shown_in_the_words_of_the_documents() {
    let world = World::documented().await;
    let company = Company::new(&world).await;
    let desk = reviewer(&world, "Wang").await;
    let purchase = company.buy_names(&world, "trustasia-ov-multi", 3).await;
    let shown = company.application(&purchase).await;
    // BUY-03, BUY-09, BUY-10
    assert_eq!((&shown["status"], &shown["stage"]), (&json!("pending-submission"), &json!("information")));
    assert_eq!(shown["stages"].as_array().unwrap().len(), 5);
    has_parts(shown["takes"].as_str().unwrap(), &["Takes 3 names", "BUY-10"]);
    assert!(shown.get("id").is_none());
    let review = company.apply(&purchase).await["id"].as_str().unwrap().to_owned();
    assert_eq!(company.application(&purchase).await["stage"], "information");
    company.upload(&purchase, PDF).await.expect(204);
    let names = ["a.zone-one.cn", "b.zone-one.cn", "c.zone-one.cn"];
    let product = "trustasia-ov-multi";
    let placed = company.place(product, &names).await.expect(201);
    let shown = company.application(&purchase).await;
    assert_eq!((&shown["status"], &shown["stage"]), (&json!("pending-validation"), &json!("choice of method")));
    let (_, order) = company.ready(&world, product, &names).await;
    assert_eq!(company.application(&purchase).await["stage"], "waiting for the CA");
    company.finalize(&order, &names).await.expect(200);
    let shown = company.application(&purchase).await;
    assert_eq!((&shown["status"], &shown["stage"]), (&json!("pending-issue"), &json!("waiting for the CA")));
    assert!(placed.location().ends_with(shown["order"].as_str().unwrap()));
    approve(&desk, &review).await.expect(200);
    let shown = company.application(&purchase).await;
    assert_eq!((&shown["status"], &shown["stage"]), (&json!("issued"), &json!("issue")));
    let events: Vec<&str> =
        shown["history"].as_array().unwrap().iter().map(|one| one["event"].as_str().unwrap()).collect();
    assert_eq!(events, ["submitted", "letter-uploaded", "approved"]);
    // Who of the desk agreed is no business of customers.
    assert_eq!(shown["history"][2].get("note"), None);
    let operator = Operator::of(&world).get(&format!("/purchases/{purchase}/application")).await.expect(200).json();
    has_parts(operator["history"][2]["note"].as_str().unwrap(), &["(Wang)"]);
}

#[tokio::test]
async fn an_edit_of_what_has_changed_meanwhile_is_refused() {
    let world = World::documented().await;
    let company = Company::new(&world).await;
    let purchase = company.buy(&world, OV).await;
    let path = format!("/purchases/{purchase}/application");
    let tag = |answer: &crate::support::client::Response| answer.header("etag").unwrap().to_owned();
    let none = tag(&company.rest.get(&path).await.expect(200));
    let first = tag(&company.apply_with(&purchase, &application()).await.expect(200));
    assert_ne!(none, first);
    let made = with_role(&world, json!({ "name": "x", "role": "customer", "customer": company.id })).await;
    drop(made);
    let token = Operator::of(&world).post("/tokens", &json!({ "name": "y", "role": "operator" })).await;
    let put = |seen: String| {
        let request = Request::builder().method("PUT").uri(format!("/api/v1{path}"));
        let request = request.header("authorization", format!("Bearer {}", token["token"].as_str().unwrap()));
        let request = request.header("content-type", "application/json").header("if-match", seen);
        world.router().oneshot(request.body(Body::from(application().to_string())).unwrap())
    };
    assert_eq!(put(none).await.unwrap().status(), 412);
    assert_eq!(put(first).await.unwrap().status(), 200);
}

#[tokio::test]
async fn names_are_as_many_as_were_bought() {
    let world = World::documented().await;
    let company = Company::new(&world).await;
    let purchase = company.buy_names(&world, "trustasia-ov-multi", 2).await;
    for (names, status) in [
        (json!(["a.zone-one.cn"]), 400),
        (json!(["a.zone-one.cn", "b.zone-one.cn", "c.zone-one.cn"]), 400),
        (json!(["a.zone-one.ru", "b.zone-one.cn"]), 400),
        (json!(["*.zone-one.cn", "b.zone-one.cn"]), 400),
        (json!(["a.zone-one.cn", "b.zone-one.cn"]), 200),
    ] {
        let mut form = application();
        form["names"] = names;
        let answer = company.apply_with(&purchase, &form).await.expect(status);
        if form["names"].as_array().unwrap().len() != 2 {
            has_parts(answer.json()["detail"].as_str().unwrap(), &["covers 2", "2 are required", "BUY-05"]);
        }
    }
    let shown = company.application(&purchase).await;
    assert_eq!(shown["names"][1]["value"], "b.zone-one.cn");
}

#[tokio::test]
async fn an_application_is_continued_with_another_purchase() {
    let world = World::documented().await;
    let company = Company::new(&world).await;
    let first = company.buy(&world, OV).await;
    let applied = company.apply(&first).await;
    let second = company.buy(&world, OV).await;
    let continued = json!({ "renews": first });
    // RENEW-05: the data are taken over; what nobody approved renews nothing.
    let taken = company.apply_with(&second, &continued).await.expect(200).json();
    assert_eq!(taken["organisation"]["id"], applied["organisation"]["id"]);
    assert_eq!((taken.get("renews"), &taken["status"]), (None, &json!("pending-letter")));
    company.upload(&first, PDF).await.expect(204);
    let desk = reviewer(&world, "Wang").await;
    approve(&desk, applied["id"].as_str().unwrap()).await.expect(200);
    let taken = company.apply_with(&second, &continued).await.expect(200).json();
    assert_eq!((&taken["renews"], &taken["status"]), (&applied["id"], &json!("pending-letter")));
    // Nor is it renewed for another organisation.
    let mut elsewhere = application();
    elsewhere["organisation"]["name"] = json!("Shenzhen Other Trading Co., Ltd.");
    elsewhere["renews"] = json!(first);
    let taken = company.apply_with(&second, &elsewhere).await.expect(200).json();
    assert_ne!(taken["organisation"]["id"], applied["organisation"]["id"]);
    assert_eq!((taken.get("renews"), &taken["status"]), (None, &json!("pending-letter")));
    let other = Company::new(&world).await;
    let theirs = other.buy(&world, OV).await;
    other.apply_with(&theirs, &json!({ "renews": first })).await.expect(404);
    other.rest.get(&format!("/purchases/{first}/application")).await.expect(404);
    let order = company.place(OV, &NAMES).await.expect(201);
    assert!(order.location().contains("/acme/order/"));
}

#[tokio::test]
async fn nothing_is_applied_for_with_what_was_canceled() {
    let world = World::documented().await;
    let company = Company::new(&world).await;
    let purchase = company.buy(&world, OV).await;
    company.apply(&purchase).await;
    company.rest.send("POST", &format!("/purchases/{purchase}/cancellation"), &json!({})).await.expect(200);
    assert_eq!(company.state(&purchase).await, "canceled");
    let refused = company.upload(&purchase, PDF).await.expect(409);
    has_parts(refused.json()["detail"].as_str().unwrap(), &["was canceled", "buy again"]);
    company.apply_with(&purchase, &application()).await.expect(409);
    let desk = reviewer(&world, "Wang").await;
    assert!(crate::desk_tools::queue(&desk, "").await.iter().all(|(kind, _)| kind != "application"));
}
