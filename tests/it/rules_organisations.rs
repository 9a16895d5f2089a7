//! Organisations and people: what a form must tell, how many there may be, who looks at them first (ORG).

use serde_json::{Value, json};

use crate::acme_tools::{DAY, HOUR, has_parts};
use crate::desk_tools::{
    Company, PDF, application, approve, decide, organisation, person, queue, registered, reviewer,
};
use crate::support::operator::Operator;
use crate::support::world::World;

/// An object without one member, or with another value of it.
fn with(mut object: Value, member: &str, value: Value) -> Value {
    match value {
        Value::Null => drop(object.as_object_mut().unwrap().remove(member)),
        value => object[member] = value,
    }
    object
}

#[tokio::test]
async fn every_field_that_is_missing_or_wrong_is_named() {
    let world = World::documented().await;
    let company = Company::new(&world).await;
    for (rule, member, value, told) in [
        ("ORG-01", "name", Value::Null, "\"name\" is missing"),
        ("ORG-01", "department", Value::Null, "\"department\" is missing"),
        ("ORG-01", "locality", json!("  "), "\"locality\" is missing"),
        ("ORG-01", "address", Value::Null, "\"address\" is missing"),
        ("ORG-01", "phone", Value::Null, "\"phone\" is missing"),
        ("ORG-09", "phone", json!("call me"), "enter a phone on which you can be reached (ORG-09)"),
        ("ORG-09", "phone", json!("12345"), "enter a phone on which you can be reached (ORG-09)"),
        ("ORG-01", "country", json!("China"), "two letters of a country"),
        ("ORG-01", "name", json!("x".repeat(65)), "more than 64 characters"),
        ("ORG-01", "locality", json!("x".repeat(129)), "more than 128 characters"),
        ("ORG-01", "name", json!("a\nb"), "control characters"),
    ] {
        let refused = company.rest.send("POST", "/profiles/organisations", &with(organisation(), member, value)).await;
        has_parts(refused.expect(400).json()["detail"].as_str().unwrap(), &[told, "ORG-01"]);
        assert!(!rule.is_empty());
    }
    for (member, value, told) in [
        ("name", Value::Null, "\"name\" is missing"),
        ("position", Value::Null, "\"position\" is missing"),
        ("phone", Value::Null, "\"phone\" is missing"),
        ("email", Value::Null, "\"email\" is missing"),
        ("email", json!("li.wei"), "no e-mail address"),
    ] {
        let refused = company.rest.send("POST", "/profiles/administrators", &with(person(), member, value)).await;
        has_parts(refused.expect(400).json()["detail"].as_str().unwrap(), &[told, "ORG-02"]);
    }
    let nothing = company.rest.send("POST", "/profiles/organisations", &json!({})).await.expect(400).json();
    has_parts(nothing["detail"].as_str().unwrap(), &["\"name\"", "\"department\"", "\"address\"", "\"phone\""]);
}

#[tokio::test]
async fn an_application_names_profiles_or_brings_new_data_and_individuals_order_dv_only() {
    let world = World::documented().await;
    let company = Company::new(&world).await;
    let purchase = company.buy(&world, "trustasia-ev-single").await;
    let organisation_id = company.rest.post("/profiles/organisations", &registered()).await["id"].take();
    let poor = company.rest.post("/profiles/organisations", &organisation()).await["id"].take();
    let administrator = company.rest.post("/profiles/administrators", &person()).await["id"].take();
    let contact = company.rest.post("/profiles/contacts", &person()).await["id"].take();
    let stranger = Company::new(&world).await;
    let foreign = stranger.rest.post("/profiles/organisations", &registered()).await["id"].take();
    for (rule, form, status, told) in [
        ("ORG-10", with(application(), "applicant", json!("individual")), 403, "Individuals can order DV only"),
        ("ORG-01", json!({ "administrator": person() }), 400, "\"organisation\" is missing"),
        ("ORG-02", json!({ "organisation": registered() }), 400, "\"administrator\" is missing"),
        (
            "ORG-13",
            json!({ "organisation": foreign, "administrator": administrator }),
            404,
            "see /profiles/organisations",
        ),
        ("ORG-13", json!({ "organisation": poor, "administrator": administrator }), 400, "\"registration\""),
        ("ORG-13", json!({ "organisation": organisation_id, "administrator": contact }), 404, "no administrator"),
    ] {
        let refused = company.apply_with(&purchase, &form).await.expect(status);
        has_parts(refused.json()["detail"].as_str().unwrap(), &[told, rule]);
    }
    assert_eq!(company.state(&purchase).await, "pending-submission");
    // ORG-03: without a contact it is the administrator; ORG-04: existing ones are picked.
    let form = json!({ "organisation": organisation_id, "administrator": administrator });
    let applied = company.apply_with(&purchase, &form).await.expect(200).json();
    assert_eq!((&applied["organisation"]["id"], &applied["contact"]["id"]), (&organisation_id, &administrator));
    let other = with(form, "contact", contact.clone());
    assert_eq!(company.apply_with(&purchase, &other).await.expect(200).json()["contact"]["id"], contact);
    // New data become profiles.
    let purchase = company.buy(&world, "trustasia-ov-single").await;
    let applied = company.apply(&purchase).await;
    let list = company.rest.get("/profiles/organisations").await.expect(200).json();
    assert_eq!(list["items"][2]["id"], applied["organisation"]["id"]);
}

#[tokio::test]
async fn ten_profiles_are_kept_and_none_is_changed_or_deleted() {
    let world = World::documented().await;
    let company = Company::new(&world).await;
    let mut first = Value::Null;
    for _ in 0..10 {
        let made = company.rest.post("/profiles/organisations", &organisation()).await;
        first = if first.is_null() { made["id"].clone() } else { first };
    }
    // ORG-05
    let refused = company.rest.send("POST", "/profiles/organisations", &organisation()).await.expect(409);
    has_parts(refused.json()["detail"].as_str().unwrap(), &["10 of 10 profiles; contact support", "ORG-05"]);
    let purchase = company.buy(&world, "trustasia-ov-single").await;
    company.apply_with(&purchase, &application()).await.expect(409);
    let more = with(organisation(), "customer", json!(company.id));
    Operator::of(&world).post("/profiles/organisations", &more).await;
    let list = company.rest.get("/profiles/organisations").await.expect(200).json();
    assert_eq!(list["items"].as_array().unwrap().len(), 11);
    // ORG-06
    let path = format!("/profiles/organisations/{}", first.as_str().unwrap());
    for method in ["PUT", "PATCH", "DELETE"] {
        company.rest.send(method, &path, &organisation()).await.expect(405);
    }
    let desk = reviewer(&world, "Wang").await;
    approve(&desk, first.as_str().unwrap()).await.expect(200);
    let late = decide(&desk, first.as_str().unwrap(), "reject", "x").await.expect(409);
    has_parts(late.json()["detail"].as_str().unwrap(), &["it is approved", "ORG-06"]);
}

#[tokio::test]
async fn profiles_are_due_in_a_business_day_and_paid_ones_come_first() {
    let world = World::documented().await;
    let company = Company::new(&world).await;
    let desk = reviewer(&world, "Wang").await;
    let idle = company.rest.post("/profiles/organisations", &organisation()).await["id"].take();
    world.pass(HOUR).await;
    let purchase = company.buy(&world, "trustasia-ov-single").await;
    let paid = company.apply(&purchase).await["organisation"]["id"].take();
    // ORG-07: a Saturday noon; the business day after it is Monday.
    let page = desk.get(&format!("/reviews/{}", idle.as_str().unwrap())).await.expect(200).json();
    assert_eq!((&page["kind"], &page["due"]), (&json!("organisation"), &json!("2026-11-23T12:00:00Z")));
    // ORG-08
    let kinds = |queue: Vec<(String, String)>| queue.into_iter().filter(|(kind, _)| kind == "organisation");
    let ids: Vec<Value> = kinds(queue(&desk, "?sort=due").await).map(|(_, id)| json!(id)).collect();
    assert_eq!(ids, [paid.clone(), idle.clone()]);
    let ids: Vec<Value> = kinds(queue(&desk, "").await).map(|(_, id)| json!(id)).collect();
    assert_eq!(ids, [idle.clone(), paid]);
    // A refused one can't be applied with.
    decide(&desk, idle.as_str().unwrap(), "reject", "is dissolved").await.expect(200);
    let shown =
        company.rest.get(&format!("/profiles/organisations/{}", idle.as_str().unwrap())).await.expect(200).json();
    assert_eq!((&shown["standing"], &shown["reason"]), (&json!("refused"), &json!("is dissolved")));
    let purchase = company.buy(&world, "trustasia-ov-single").await;
    let refused = company.apply_with(&purchase, &json!({ "organisation": idle, "administrator": person() })).await;
    has_parts(refused.expect(400).json()["detail"].as_str().unwrap(), &["was refused: is dissolved", "ORG-06"]);
}

#[tokio::test]
async fn an_applicant_who_can_not_be_reached_is_told() {
    let world = World::documented().await;
    let company = Company::new(&world).await;
    let desk = reviewer(&world, "Wang").await;
    let purchase = company.buy(&world, "trustasia-ov-single").await;
    let review = company.apply(&purchase).await["id"].as_str().unwrap().to_owned();
    company.upload(&purchase, PDF).await.expect(204);
    let hints = company.application(&purchase).await["hints"].to_string();
    has_parts(&hints, &["Watch the telephone and the e-mail", "ORG-12"]);
    let note = json!({ "text": "Nobody answers the telephone.", "unreachable": true });
    let page = desk.send("POST", &format!("/reviews/{review}/notes"), &note).await.expect(200).json();
    assert_eq!((&page["notes"][0]["text"], &page["notes"][0]["unreachable"]), (&note["text"], &json!(true)));
    // ORG-12
    let notices = company.notices().await;
    let told = notices.iter().find(|notice| notice["event"] == "reviewer-could-not-reach-you").unwrap();
    assert_eq!(told["subject"], "Reviewer could not reach you");
    has_parts(told["text"].as_str().unwrap(), &["Nobody answers the telephone.", "ORG-09"]);
    // What is noted for colleagues is told to nobody else.
    let note = json!({ "text": "The register is closed today." });
    desk.send("POST", &format!("/reviews/{review}/notes"), &note).await.expect(200);
    assert_eq!(company.notices().await.len(), notices.len());
    company.rest.send("POST", &format!("/reviews/{review}/notes"), &note).await.expect(403);
}

#[tokio::test]
async fn proven_names_are_shown_with_their_end() {
    let world = World::documented().await;
    let company = Company::new(&world).await;
    let purchase = company.buy(&world, "trustasia-ov-single").await;
    company.apply(&purchase).await;
    assert_eq!(company.rest.get("/profiles/domains").await.expect(200).json()["items"], json!([]));
    company.ready(&world, "trustasia-ov-single", &["shop.zone-one.cn"]).await;
    world.pass(DAY).await;
    // ORG-14
    let list = company.rest.get("/profiles/domains").await.expect(200).json();
    let item = &list["items"][0];
    assert_eq!((&item["name"], &item["valid"]), (&json!("shop.zone-one.cn"), &json!(true)));
    assert!(
        item["validated"].is_string() && item["until"].as_str().unwrap() > world.now().to_string().as_str(),
        "{item}"
    );
}
