//! Reminders: whose reviewers may be reminded, and from when (REMIND).

use serde_json::json;

use crate::acme_tools::{HOUR, has_parts};
use crate::desk_tools::{Company, PDF, PRICED, approve, reviewer};
use crate::support::client::Response;
use crate::support::world::World;

async fn remind(company: &Company, purchase: &str) -> Response {
    company.rest.send("POST", &format!("/purchases/{purchase}/reminders"), &json!({})).await
}

#[tokio::test]
async fn reviewers_are_reminded_after_the_hours_of_their_type() {
    let world = World::documented_but(&PRICED).await;
    let desk = reviewer(&world, "Wang").await;
    for (rule, product, hours) in [
        ("REMIND-03", "trustasia-ov-single", 72),
        ("REMIND-03", "geotrust-ov-single", 72),
        ("REMIND-03", "globalsign-ov-single", 72),
        ("REMIND-03", "securesite-ov-single", 72),
        ("REMIND-03", "securesite-ovpro-single", 72),
        ("REMIND-04", "securesite-ev-single", 96),
        ("REMIND-04", "securesite-evpro-single", 96),
        ("REMIND-04", "geotrust-ev-single", 96),
    ] {
        let company = Company::new(&world).await;
        let purchase = company.buy(&world, product).await;
        // REMIND-06: nothing was submitted, or nobody has it.
        has_parts(
            remind(&company, &purchase).await.expect(409).json()["detail"].as_str().unwrap(),
            &["Nothing to remind of"],
        );
        let review = company.apply(&purchase).await["id"].as_str().unwrap().to_owned();
        has_parts(remind(&company, &purchase).await.expect(409).json()["detail"].as_str().unwrap(), &["REMIND-06"]);
        // The wait begins with the letter.
        world.pass(10 * HOUR).await;
        company.upload(&purchase, PDF).await.expect(204);
        let opens = (world.now() + hours * HOUR).to_string();
        assert_eq!(company.application(&purchase).await["reminder_opens"], opens, "{rule} {product}");
        world.pass((hours - 1) * HOUR).await;
        let early = remind(&company, &purchase).await.expect(429);
        assert_eq!(early.header("retry-after"), Some("3600"), "{rule} {product}");
        has_parts(early.json()["detail"].as_str().unwrap(), &[&format!("Reminder opens at {opens}"), rule]);
        world.pass(HOUR).await;
        let made = remind(&company, &purchase).await.expect(201).json();
        assert_eq!(
            (&made["review"], &made["next"]),
            (&json!(review), &json!((world.now() + hours * HOUR).to_string()))
        );
        let page = desk.get(&format!("/reviews/{review}")).await.expect(200).json();
        assert_eq!((&page["reminders"], &page["reminded"][0]), (&json!(1), &made["at"]), "{rule} {product}");
        // Not twice in a row, and of nothing that was decided.
        remind(&company, &purchase).await.expect(429);
        approve(&desk, &review).await.expect(200);
        remind(&company, &purchase).await.expect(409);
    }
}

#[tokio::test]
async fn without_a_letter_the_wait_begins_with_the_submission() {
    let world = World::documented().await;
    let desk = reviewer(&world, "Wang").await;
    let company = Company::new(&world).await;
    let (organisation, administrator) = company.approved_profile(&desk).await;
    let purchase = company.buy(&world, "trustasia-ov-single").await;
    let form = json!({ "organisation": organisation, "administrator": administrator });
    let applied = company.apply_with(&purchase, &form).await.expect(200).json();
    // Section 27.
    assert_eq!(applied["reminder_opens"], json!((world.now() + 72 * HOUR).to_string()));
}

#[tokio::test]
async fn some_brands_take_no_reminders() {
    let world = World::documented_but(&PRICED).await;
    let company = Company::new(&world).await;
    // REMIND-01, REMIND-05
    for product in ["dnspod-sm-ov", "dnspod-sm-ev", "wotrus-ov", "wotrus-ev"] {
        let purchase = company.buy(&world, product).await;
        company.apply(&purchase).await;
        if product.starts_with("dnspod") {
            company.upload(&purchase, PDF).await.expect(204);
        }
        world.pass(200 * HOUR).await;
        let refused = remind(&company, &purchase).await.expect(409);
        has_parts(refused.json()["detail"].as_str().unwrap(), &["does not take reminders", "Just wait", "REMIND-05"]);
    }
}

#[tokio::test]
async fn an_order_of_dv_at_the_desk_is_reminded_of_after_a_day() {
    let world = World::documented().await;
    let company = Company::new(&world).await;
    let desk = reviewer(&world, "Wang").await;
    company.buy(&world, "trustasia-dv-multi").await;
    let names = ["pay.zone-one.cn"];
    let (url, order) = company.ready(&world, "trustasia-dv-multi", &names).await;
    let id = url.rsplit('/').next().unwrap();
    let path = format!("/orders/{id}/reminders");
    // Nobody but the applicant has anything to do.
    company.rest.send("POST", &path, &json!({})).await.expect(409);
    company.finalize(&order, &names).await.expect(200);
    // REMIND-02
    world.pass(23 * HOUR).await;
    let early = company.rest.send("POST", &path, &json!({})).await.expect(429);
    has_parts(early.json()["detail"].as_str().unwrap(), &["Reminder opens at", "REMIND-02"]);
    world.pass(HOUR).await;
    company.rest.send("POST", &path, &json!({})).await.expect(201);
    assert_eq!(desk.get(&format!("/reviews/{id}")).await.expect(200).json()["reminders"], 1);
    // REMIND-06: what is not bought has none.
    let free = world.client().await;
    let placed = free.new_order(&["b.zone-one.cn"]).await.expect(201);
    let path = format!("/orders/{}/reminders", placed.location().rsplit('/').next().unwrap());
    let refused = crate::support::operator::Operator::of(&world).send("POST", &path, &json!({})).await.expect(409);
    has_parts(refused.json()["detail"].as_str().unwrap(), &["is not bought", "REMIND-06"]);
    let other = Company::new(&world).await;
    other.rest.send("POST", &path, &json!({})).await.expect(404);
}
