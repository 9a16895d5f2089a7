//! Orders, from the request to the certificate, through the real router.

use crate::support::client::csr;
use crate::support::world::World;

#[tokio::test]
async fn a_name_proven_by_http_01_gets_its_certificate_in_the_answer_to_finalize() {
    let world = World::new().await;
    let client = world.client().await;
    let (_, order) = world.ready_order(&client, &["www.example.com"]).await;
    let done = client.finalize(&order, &csr(&["www.example.com"]).0).await.expect(200);
    assert_eq!(done.json()["status"], "valid");
    let chain = client.certificate(&done.json()).await;
    assert_eq!(chain.matches("BEGIN CERTIFICATE").count(), 2);
}

#[tokio::test]
async fn a_wildcard_is_proven_by_dns_01_beside_its_base_name() {
    let world = World::new().await;
    let client = world.client().await;
    let (order, _) = world.certificate(&client, &["example.com", "*.example.com"]).await;
    assert_eq!(order["identifiers"].as_array().unwrap().len(), 2);
}
