//! Deleting certificates (DELETE-01 to DELETE-06).

use serde_json::json;

use crate::acme_tools::DAY;
use crate::portfolio_tools::Owner;
use crate::support::operator::Operator;
use crate::support::world::World;

#[tokio::test]
async fn a_valid_certificate_is_revoked_before_it_is_deleted() {
    let world = World::documented().await;
    let owner = Owner::new(&world).await;
    let id = owner.certificate(&world, &["a.zone.cn"]).await;
    let path = format!("/certificates/{id}");
    let told = owner.refusal("DELETE", &format!("{path}?confirm=true"), json!({}), 409).await;
    assert!(told.contains("revoke it first (DELETE-01, DELETE-02)"), "{told}");
    let operator = Operator::of(&world);
    operator.send("POST", &format!("{path}/revoke"), &json!({})).await.expect(200);
    // DELETE-04
    let told = owner.refusal("DELETE", &path, json!({}), 403).await;
    assert!(told.contains("Deleting is permanent") && told.contains("(DELETE-04)"), "{told}");
    owner.api.send("DELETE", &format!("{path}?confirm=true"), &json!({})).await.expect(204);
    owner.api.get(&path).await.expect(404);
    owner.api.send("DELETE", &format!("{path}?confirm=true"), &json!({})).await.expect(404);
    for list in [owner.api.get("/certificates").await, operator.get("/certificates").await] {
        assert_eq!(list.expect(200).json()["items"], json!([]), "it is in no list");
    }
    // The CA's own record stays.
    assert!(world.ra().certificate_of(&id.parse().unwrap()).await.unwrap().is_revoked());
}

#[tokio::test]
async fn an_expired_certificate_is_deleted_and_its_domain_gets_no_slot_back_for_that() {
    // DELETE-01, DELETE-06
    let world = World::documented().await;
    let owner = Owner::new(&world).await;
    let id = owner.certificate(&world, &["a.zone.cn"]).await;
    let operator = Operator::of(&world);
    operator.send("POST", &format!("/certificates/{id}/revoke"), &json!({})).await.expect(200);
    let used = || async { operator.get("/domains/zone.cn").await.expect(200).json()["used"].clone() };
    let before = used().await;
    assert_eq!(before, json!(1), "a revoked one counts until it expires (QUOTA-06)");
    owner.api.send("DELETE", &format!("/certificates/{id}?confirm=true"), &json!({})).await.expect(204);
    assert_eq!(used().await, before, "DELETE-06");
    let second = owner.certificate(&world, &["b.zone.cn"]).await;
    world.pass(400 * DAY).await;
    assert_eq!(owner.shown(&second).await["status"], "expired");
    owner.api.send("DELETE", &format!("/certificates/{second}?confirm=true"), &json!({})).await.expect(204);
}

#[tokio::test]
async fn an_application_is_canceled_before_it_is_deleted() {
    // DELETE-03
    let world = World::documented().await;
    let owner = Owner::new(&world).await;
    let placed = owner.acme.new_order(&["a.zone.cn"]).await.expect(201);
    let order = placed.location().rsplit('/').next().unwrap().to_owned();
    let told = owner.refusal("DELETE", &format!("/certificates/{order}?confirm=true"), json!({}), 409).await;
    assert_eq!(told, "Cancel the application first (DELETE-03).");
    // INSTALL-08
    let told = owner.refusal("GET", &format!("/certificates/{order}/bundle?format=nginx"), json!({}), 409).await;
    assert!(told.contains("Not issued yet") && told.contains("(INSTALL-08)"), "{told}");
    let stranger = Owner::new(&world).await;
    stranger.api.send("DELETE", &format!("/certificates/{order}?confirm=true"), &json!({})).await.expect(404);
}
