//! A story: free DV from the first order to the 21st refusal and the release of a slot, by REST and with an ACME client.

use chancery::domain::Timestamp;
use serde_json::{Value, json};

use crate::acme_tools::{DAY, HOUR, has_parts, leaf, parsed};
use crate::money_tools::buyer;
use crate::support::client::csr;
use crate::support::operator::Operator;
use crate::support::world::World;

async fn used(caller: &Operator) -> Value {
    caller.get("/quotas").await.expect(200).json()
}

#[tokio::test]
async fn free_certificates_from_the_first_to_the_twenty_first_and_on() {
    let world = World::documented().await;
    let (customer, caller) = buyer(&world).await;
    let client = world.client_of(&customer).await;

    // No payment step (BUY-04): applied for, validated, issued.
    let names = ["shop.zone-0.cn"];
    let placed = client.new_order(&names).await.expect(201);
    let id = placed.location().rsplit('/').next().unwrap().to_owned();
    let shown = caller.get(&format!("/orders/{id}")).await.expect(200).json();
    assert_eq!(
        (&shown["status"], &shown["stages"]),
        (&json!("pending-validation"), &json!(["application", "domain validation"]))
    );
    let (_, order) = world.ready_order(&client, &names).await;
    client.finalize(&order, &csr(&names).0).await.expect(200);
    let shown = caller.get(&format!("/orders/{id}")).await.expect(200).json();
    assert_eq!(shown["status"], "issued", "{shown}");
    let first = shown["certificate"].as_str().unwrap().to_owned();

    // Nineteen more; the twenty-first is refused, and told from when on it is not (QUOTA-01).
    let mut last = Vec::new();
    for n in 1..20 {
        world.pass(HOUR).await;
        last = leaf(&world.certificate(&client, &[&format!("shop.zone-{n}.cn")]).await.1);
    }
    has_parts(&used(&caller).await.to_string(), &["20"]);
    let end = world.ra().certificate_of(&first.parse().unwrap()).await.unwrap().not_after;
    let refused = client.new_order(&["shop.zone-20.cn"]).await;
    let detail = refused.expect_problem(429, "rateLimited");
    has_parts(&detail, &["20 of 20 free certificates", "QUOTA-01"]);

    // What is canceled, or revoked, gives its slot back (QUOTA-05).
    client.revoke(&last, None).await.expect(200);
    let twentieth = client.new_order(&["shop.zone-20.cn"]).await.expect(201);
    client.new_order(&["shop.zone-21.cn"]).await.expect_problem(429, "rateLimited");
    let id = twentieth.location().rsplit('/').next().unwrap().to_owned();
    let canceled = caller.request("POST", &format!("/orders/{id}/cancellation"), "", axum::body::Body::empty()).await;
    assert_eq!(canceled.expect(200).json()["status"], "canceled");
    world.certificate(&client, &["shop.zone-21.cn"]).await;

    // A month before the end it may be applied for anew (RENEW-03), which needs a slot like any other (RENEW-10).
    let path = format!("/certificates/{first}/renewals");
    has_parts(&caller.send("POST", &path, &json!({ "confirm": true })).await.expect(409).text(), &["RENEW-03"]);
    world.pass((end - DAY * 29).since(world.now())).await;
    has_parts(&caller.send("POST", &path, &json!({ "confirm": true })).await.expect(429).text(), &["QUOTA-01"]);

    // With the end of the first a slot is released, and its name is applied for again.
    world.pass((end - DAY).since(world.now())).await;
    client.new_order(&["shop.zone-0.cn"]).await.expect_problem(429, "rateLimited");
    world.pass((end + HOUR).since(world.now())).await;
    let again = leaf(&world.certificate(&client, &names).await.1);
    let until = parsed(&again).validity().not_after.timestamp();
    assert!(Timestamp::from_secs(until.try_into().unwrap()) > world.now() + DAY * 360);
}
