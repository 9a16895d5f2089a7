//! What customers keep about their certificates: name, tags, project, and silence (META, NOTIFY-01, NOTIFY-02, NOTIFY-06).

use serde_json::{Value, json};

use crate::acme_tools::DAY;
use crate::portfolio_tools::Owner;
use crate::support::operator::Operator;
use crate::support::world::World;

fn ids(page: &Value) -> Vec<&str> {
    page["items"].as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_customer_sees_its_own_certificates_with_type_and_end() {
    let world = World::documented().await;
    let (owner, other) = (Owner::new(&world).await, Owner::new(&world).await);
    let first = owner.certificate(&world, &["a.zone.cn"]).await;
    world.pass(DAY).await;
    let second = owner.certificate(&world, &["b.zone.cn"]).await;
    let foreign = other.certificate(&world, &["c.zone.cn"]).await;
    let page = owner.api.get("/certificates").await.expect(200).json();
    assert_eq!(ids(&page), [&first, &second], "oldest first");
    for item in page["items"].as_array().unwrap() {
        // META-04, NOTIFY-06
        assert_eq!(
            (&item["type"], &item["status"], &item["expiring"]),
            (&json!("dv-free"), &json!("valid"), &json!(false))
        );
        assert!(item["not_after"].as_str().unwrap().starts_with("2027-"), "{item}");
        assert!(item["id"].is_string());
    }
    let page = owner.api.get("/certificates?limit=1").await.expect(200).json();
    assert_eq!((ids(&page), &page["next"]), (vec![first.as_str()], &json!(first)));
    let page = owner.api.get(&format!("/certificates?limit=1&after={first}")).await.expect(200).json();
    assert_eq!(ids(&page), [&second]);
    owner.api.get(&format!("/certificates/{foreign}")).await.expect(404);
    owner.api.get(&format!("/certificates?customer={}", other.id)).await.expect(404);
    assert_eq!(ids(&Operator::of(&world).get("/certificates").await.expect(200).json()).len(), 3);
}

#[tokio::test]
async fn name_tags_and_project_are_kept_and_filter_the_list() {
    let world = World::documented().await;
    let owner = Owner::new(&world).await;
    let first = owner.certificate(&world, &["a.zone.cn"]).await;
    world.pass(DAY).await;
    let second = owner.certificate(&world, &["b.zone.cn"]).await;
    let path = format!("/certificates/{first}");
    let edit = json!({ "name": "Die Kasse – 收银台", "tags": { "team": "shop", "env": "live" }, "project": "retail" });
    let changed = owner.api.send("PATCH", &path, &edit).await.expect(200).json();
    for member in ["name", "tags", "project"] {
        assert_eq!(changed[member], edit[member], "META-01, META-02, META-03");
    }
    // META-03: one project, the last one.
    owner.api.send("PATCH", &path, &json!({ "project": "till" })).await.expect(200);
    let shown = owner.shown(&first).await;
    assert_eq!((&shown["project"], &shown["name"]), (&json!("till"), &edit["name"]));
    for (query, expected) in [
        ("project=till", vec![&first]),
        ("project=retail", vec![]),
        ("tag=team", vec![&first]),
        ("tag=team=shop", vec![&first]),
        ("tag=team=bank", vec![]),
        ("status=valid", vec![&first, &second]),
        ("status=revoked", vec![]),
        ("expiring=true", vec![]),
        ("expiring=false&project=till", vec![&first]),
    ] {
        let page = owner.api.get(&format!("/certificates?{query}")).await.expect(200).json();
        assert_eq!(ids(&page), expected, "{query}");
    }
    owner.api.get("/certificates?status=lost").await.expect(400);
}

#[tokio::test]
async fn what_is_too_long_or_no_tag_is_refused() {
    let world = World::documented().await;
    let owner = Owner::new(&world).await;
    let path = format!("/certificates/{}", owner.certificate(&world, &["a.zone.cn"]).await);
    let long = "界".repeat(200);
    owner.api.send("PATCH", &path, &json!({ "name": long })).await.expect(200);
    for (edit, told) in [
        (json!({ "name": format!("{long}x") }), "200 characters at most, and no control characters (META-01)"),
        (json!({ "name": "two\nlines" }), "(META-01)"),
        (json!({ "project": "p".repeat(101) }), "(META-03)"),
        (json!({ "tags": { "": "x" } }), "(META-02)"),
        (json!({ "tags": { "a=b": "x" } }), "(META-02)"),
        (json!({ "tags": { "a": "x".repeat(201) } }), "(META-02)"),
    ] {
        let detail = owner.refusal("PATCH", &path, edit, 400).await;
        assert!(detail.contains(told), "{told}: {detail}");
    }
}

#[tokio::test]
async fn of_two_edits_the_one_that_saw_an_older_state_is_refused() {
    let world = World::documented().await;
    let owner = Owner::new(&world).await;
    let path = format!("/certificates/{}", owner.certificate(&world, &["a.zone.cn"]).await);
    let seen = owner.api.get(&path).await.expect(200).header("etag").unwrap().to_owned();
    owner.api.send("PATCH", &path, &json!({ "name": "first" })).await.expect(200);
    let sees = |tag: &str, name: &str| {
        let request = axum::http::Request::builder().method("PATCH").uri(format!("/api/v1{path}"));
        let request = request.header("authorization", owner.api.authorization()).header("if-match", tag);
        request
            .header("content-type", "application/json")
            .body(axum::body::Body::from(json!({ "name": name }).to_string()))
            .unwrap()
    };
    use tower::ServiceExt as _;
    let late = world.router().oneshot(sees(&seen, "second")).await.unwrap();
    assert_eq!(late.status(), 412);
    let now = owner.api.get(&path).await.expect(200).header("etag").unwrap().to_owned();
    assert_ne!(now, seen);
    assert_eq!(world.router().oneshot(sees(&now, "third")).await.unwrap().status(), 200);
    let shown = owner.api.get(&path).await.expect(200).json();
    assert_eq!(shown["name"], "third");
}

#[tokio::test]
async fn only_certificates_that_end_soon_are_ignored_and_again_no_longer() {
    let world = World::documented().await;
    let owner = Owner::new(&world).await;
    let id = owner.certificate(&world, &["a.zone.cn"]).await;
    let mute = format!("/certificates/{id}/mute");
    let told = owner.refusal("PUT", &mute, json!({}), 409).await;
    assert!(told.contains("Only soon-expiring certificates can be ignored") && told.contains("(NOTIFY-02)"), "{told}");
    let end =
        chancery::domain::Timestamp::parse_rfc3339(owner.shown(&id).await["not_after"].as_str().unwrap()).unwrap();
    world.clock.advance((end - 30 * DAY).since(world.now()));
    assert_eq!(owner.shown(&id).await["expiring"], true);
    // NOTIFY-01
    let muted = owner.api.send("PUT", &mute, &json!({})).await.expect(200).json();
    assert!(muted["muted"].is_string(), "{muted}");
    let heard = owner.api.send("DELETE", &mute, &json!({})).await.expect(200).json();
    assert!(heard.get("muted").is_none(), "{heard}");
}
