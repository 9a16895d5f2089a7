//! Alarm policies and notification templates over REST.

use chancery::domain::customer::CustomerKind;
use serde_json::{Value, json};

use crate::notices_tools::{customer, email, rest_of, world};
use crate::support::operator::Operator;

async fn template(rest: &Operator) -> Value {
    let channel = email(rest, "one@example.com").await;
    rest.post("/notification-templates", &json!({ "name": "Staff", "recipients": [channel["id"]] })).await
}

fn policy(template: &Value) -> Value {
    json!({ "name": "Ends", "policy_type": "expiration-time", "days": 10, "template": template["id"] })
}

#[tokio::test]
async fn a_policy_is_made_shown_changed_and_deleted() {
    let world = world().await;
    let (id, rest) = customer(&world).await;
    let template = template(&rest).await;
    let asked = json!({
        "name": "Ends",
        "remark": "For the staff",
        "monitoring_type": "ssl-certificate",
        "policy_type": "expiration-time",
        "project": "Shop",
        "days": 10,
        "interval_days": 2,
        "template": template["id"],
    });
    let made = rest.post("/alarm-policies", &asked).await;
    let path = format!("/alarm-policies/{}", made["id"].as_str().unwrap());
    for (member, value) in asked.as_object().unwrap() {
        assert_eq!(&made[member], value, "{member}");
    }
    assert_eq!(made["customer"], json!(id));
    let shown = rest.get(&path).await.expect(200);
    assert_eq!(shown.json(), made);
    let tag = shown.header("etag").unwrap().to_owned();
    let changed = rest.send("PATCH", &path, &json!({ "days": 5 })).await.expect(200).json();
    assert_eq!((&changed["days"], &changed["interval_days"]), (&json!(5), &json!(2)));
    assert_ne!(rest.get(&path).await.header("etag"), Some(&*tag));
    assert_eq!(rest.get("/alarm-policies").await.expect(200).json()["items"], json!([changed]));
    rest.send("DELETE", &path, &Value::Null).await.expect(204);
    rest.get(&path).await.expect(404);
}

#[tokio::test]
async fn what_a_policy_lacks_is_named() {
    let world = world().await;
    let (_, rest) = customer(&world).await;
    let template = template(&rest).await;
    let without = |member: &str| {
        let mut asked = policy(&template);
        asked.as_object_mut().unwrap().remove(member);
        asked
    };
    let with = |member: &str, value: Value| {
        let mut asked = policy(&template);
        asked[member] = value;
        asked
    };
    for (asked, why) in [
        (without("name"), "Field \"name\" is missing"),
        (without("policy_type"), "Field \"policy_type\" is missing"),
        (without("days"), "Field \"days\" is missing"),
        (without("template"), "Field \"template\" is missing"),
        (with("days", json!(0)), "NOTIFY-07"),
        (with("interval_days", json!(399)), "NOTIFY-07"),
        (with("objects", json!([])), "NOTIFY-09"),
        (with("policy_type", json!("revocation")), "there is only \"expiration-time\""),
        (with("monitoring_type", json!("load")), "there is only \"ssl-certificate\""),
    ] {
        let told = rest.send("POST", "/alarm-policies", &asked).await.expect(400).json()["detail"].to_string();
        assert!(told.replace('\\', "").contains(why), "{asked}: {told}");
    }
    let none = "AAAAAAAAAAAAAAAAAAAAAA";
    rest.send("POST", "/alarm-policies", &with("template", json!(none))).await.expect(404);
    rest.send("POST", "/alarm-policies", &with("objects", json!([none]))).await.expect(404);
    rest.post("/alarm-policies", &policy(&template)).await;
}

#[tokio::test]
async fn a_template_in_use_stays_and_its_recipients_are_the_customers_channels() {
    let world = world().await;
    let (_, rest) = customer(&world).await;
    let (_, other) = customer(&world).await;
    let template = template(&rest).await;
    let path = format!("/notification-templates/{}", template["id"].as_str().unwrap());
    let policy = rest.post("/alarm-policies", &policy(&template)).await;
    rest.send("DELETE", &path, &Value::Null).await.expect(409);
    let foreign = email(&other, "two@example.com").await;
    rest.send("PATCH", &path, &json!({ "recipients": [foreign["id"]] })).await.expect(404);
    rest.send("PATCH", &path, &json!({ "recipients": [] })).await.expect(400);
    let more = email(&rest, "three@example.com").await;
    let changed =
        rest.send("PATCH", &path, &json!({ "name": "All", "recipients": [more["id"]] })).await.expect(200).json();
    assert_eq!((&changed["name"], &changed["recipients"]), (&json!("All"), &json!([more["id"]])));
    assert_eq!(rest.get("/notification-templates").await.expect(200).json()["items"], json!([changed]));
    rest.send("DELETE", &format!("/alarm-policies/{}", policy["id"].as_str().unwrap()), &Value::Null).await.expect(204);
    rest.send("DELETE", &path, &Value::Null).await.expect(204);
}

#[tokio::test]
async fn others_see_neither_policies_nor_templates() {
    let world = world().await;
    let (_, rest) = customer(&world).await;
    let template = template(&rest).await;
    let made = rest.post("/alarm-policies", &policy(&template)).await;
    let stranger = rest_of(&world, &world.customer(CustomerKind::Individual).await).await;
    for (kind, object) in [("alarm-policies", &made), ("notification-templates", &template)] {
        let path = format!("/{kind}/{}", object["id"].as_str().unwrap());
        for method in ["GET", "PATCH", "DELETE"] {
            stranger.send(method, &path, &json!({})).await.expect(404);
        }
    }
    assert_eq!(stranger.get("/alarm-policies").await.expect(200).json()["items"], json!([]));
    stranger.send("POST", "/alarm-policies", &policy(&template)).await.expect(404);
}

#[tokio::test]
async fn a_template_that_is_deleted_while_a_policy_begins_to_use_it_is_not_lost() {
    let world = world().await;
    let (_, rest) = customer(&world).await;
    for round in 0..10 {
        let template = template(&rest).await;
        let path = format!("/notification-templates/{}", template["id"].as_str().unwrap());
        let asked = policy(&template);
        let (made, gone) =
            tokio::join!(rest.send("POST", "/alarm-policies", &asked), rest.send("DELETE", &path, &Value::Null));
        let told = (made.status.as_u16(), gone.status.as_u16());
        assert!([(201, 409), (404, 204)].contains(&told), "{round}: {told:?}");
    }
}
