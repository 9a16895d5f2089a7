//! A customer brings a certificate of another CA along: it is uploaded, hosted, warned of, ignored, and in the end deleted.

use chancery::domain::Timestamp;
use serde_json::json;

use crate::acme_tools::DAY;
use crate::portfolio_tools::Owner;
use crate::rules_hosting::open_world;
use crate::rules_uploads::{EC, Elsewhere};
use crate::support::mailbox::Receiver;

#[tokio::test]
async fn a_certificate_of_another_ca_is_kept_used_and_deleted() {
    let (world, receiver) = (open_world().await, Receiver::start().await);
    let owner = Owner::new(&world).await;
    let made = owner.api.post("/uploaded-certificates", &Elsewhere::new(&EC).upload()).await;
    let id = made["id"].as_str().unwrap();
    let path = format!("/certificates/{id}");
    // HOST-05, HOST-06: deployed first, then hosted.
    let resource = json!({ "resources": [{ "type": "cdn", "id": "edge", "url": receiver.url() }] });
    owner.api.post(&format!("{path}/deployments"), &resource).await;
    world.ra().drain().await.unwrap();
    assert_eq!(receiver.calls()[0].json()["certificate"], id);
    let hosting = json!({ "resources": [{ "type": "cdn", "id": "edge" }] });
    owner.api.send("PUT", &format!("{path}/hosting"), &hosting).await.expect(200);
    // NOTIFY-02, NOTIFY-06: it is shown when it ends, and may be ignored when that is soon.
    let end = Timestamp::parse_rfc3339(made["not_after"].as_str().unwrap()).unwrap();
    owner.api.send("PUT", &format!("{path}/mute"), &json!({})).await.expect(409);
    // NOTIFY-04: it is warned of like one that was issued here.
    world.pass((end - 20 * DAY).since(world.now())).await;
    let told = owner.api.get("/notices").await.expect(200).json();
    let told = told["items"].as_array().unwrap().iter().filter(|notice| notice["certificate"] == id);
    let told: Vec<&str> = told.map(|notice| notice["topic"].as_str().unwrap()).collect();
    assert_eq!(told, ["expiry"]);
    let soon = owner.api.get("/certificates?expiring=true").await.expect(200).json();
    assert_eq!(soon["items"][0]["id"], id);
    owner.api.send("PUT", &format!("{path}/mute"), &json!({})).await.expect(200);
    // DELETE-05: it goes when nothing uses it any more.
    owner.api.send("DELETE", &format!("{path}?confirm=true"), &json!({})).await.expect(409);
    let left = owner.api.send("DELETE", &format!("{path}/deployments"), &json!({})).await.expect(200).json();
    assert_eq!(left["resources"], json!([]));
    owner.api.send("DELETE", &format!("{path}?confirm=true"), &json!({})).await.expect(204);
    assert_eq!(owner.api.get("/certificates").await.expect(200).json()["items"], json!([]));
}
