//! Who may see and ask what: owners, others, and closed accounts (RFC 8555 sections 6.3, 7.3.6 and 10.5).

use serde_json::json;

use crate::support::client::{Client, Response};
use crate::support::resources::{objects, resources};
use crate::support::world::{BASE, World};

#[tokio::test]
async fn what_an_account_owns_is_shown_to_no_other() {
    let world = World::new().await;
    let owner = world.client().await;
    let all = objects(&world, &owner).await;
    let other = world.client().await;
    let mut stranger = Client::new(world.router(), BASE);
    stranger.account = other.account.clone();
    for resource in &all {
        let answer = resource.ask(&other).await;
        let status = if resource.url.starts_with(owner.kid()) { 403 } else { 404 };
        let kind = if status == 403 { "unauthorized" } else { "malformed" };
        assert_eq!(answer.status, status, "URL-10, ACU-04: {}: {answer}", resource.name);
        answer.expect_problem(status, kind);
        assert_shows_nothing(&answer);
        // Nor to one who only knows the owner's URL, and not even whether it is there.
        stranger.account = owner.account.clone();
        let answer = resource.ask(&stranger).await;
        answer.expect_problem(400, "malformed");
        assert_shows_nothing(&answer);
    }
    for resource in all.iter().filter(|resource| resource.payload.is_none()) {
        resource.ask(&owner).await.expect(200);
    }
}

fn assert_shows_nothing(answer: &Response) {
    let text = answer.text();
    for secret in ["example.com", "BEGIN", "token"] {
        assert!(!text.contains(secret), "URL-10: {secret} in {text}");
    }
    assert_eq!(answer.header("location"), None);
}

#[tokio::test]
async fn a_closed_account_is_refused_whatever_it_asks() {
    let world = World::new().await;
    let client = world.client().await;
    let all = resources(&world, &client).await;
    assert_eq!(client.deactivate().await.expect(200).json()["status"], "deactivated", "DEA-01");
    for resource in &all {
        if resource.name == "newAccount" {
            client.post_jwk(&resource.url, &json!({})).await.expect_problem(401, "unauthorized");
            client.post_jwk(&resource.url, &json!({ "onlyReturnExisting": true })).await.expect(401);
            continue;
        }
        let answer = resource.ask(&client).await;
        assert_eq!(answer.status, 401, "JWS-30, DEA-02: {}: {answer}", resource.name);
        let detail = answer.expect_problem(401, "unauthorized");
        assert!(detail.contains("deactivated"), "{detail}");
        assert!(answer.header("replay-nonce").is_some(), "NON-02");
    }
    client.post_as_get(&client.resource("newNonce").await).await.expect(401);
    client.post_as_get(&format!("{BASE}/directory")).await.expect(401);
}
