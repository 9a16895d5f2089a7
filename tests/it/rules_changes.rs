//! What changes hands or changes its rules between an order and its certificate: names, certificates, lists.

use chancery::domain::customer::CustomerKind;
use chancery::policy::names::Names;

use crate::acme_tools::{DAY, has_parts, look};
use crate::rules_tools::{issue, issued, make_ready, of, place};
use crate::support::client::csr;
use crate::support::world::World;

const FREE: &str = "trustasia-dv-free";
const MULTI: &str = "trustasia-dv-multi";
const NAMES: [&str; 2] = ["shop.zone-one.cn", "mail.zone-one.cn"];

#[tokio::test]
async fn after_a_revocation_nothing_that_was_proven_before_serves_a_reissue() {
    let world = World::documented().await;
    let customer = world.customer(CustomerKind::Individual).await;
    world.buy(&customer, MULTI, 2, 1).await;
    let client = world.client_of(&customer).await;
    let first = issue(&world, &client, &NAMES, of(MULTI)).await;
    world.pass(DAY).await;
    // VAL-34, VAL-35
    assert_eq!(place(&client, &NAMES, of(MULTI)).await.expect(201).json()["status"], "ready");
    world.pass(4 * DAY).await;
    client.revoke(&first.der, Some(4)).await.expect(200);
    assert_eq!(place(&client, &NAMES, of(MULTI)).await.expect(201).json()["status"], "pending");
}

#[tokio::test]
async fn an_old_proof_revokes_nobody_elses_certificate() {
    let world = World::documented().await;
    let customer = world.customer(CustomerKind::Individual).await;
    world.buy(&customer, MULTI, 2, 1).await;
    let before = world.client_of(&customer).await;
    issue(&world, &before, &NAMES, of(MULTI)).await;
    // The names have another holder now.
    let after = world.client().await;
    let mut certificates = Vec::new();
    for name in NAMES {
        certificates.push(issue(&world, &after, &[name], of(FREE)).await);
    }
    before.revoke(&certificates[0].der, Some(4)).await.expect(200);
    world.pass(31 * DAY).await;
    let refused = before.revoke(&certificates[1].der, Some(4)).await.expect_problem(403, "unauthorized");
    has_parts(&refused, &[NAMES[1]]);
}

#[tokio::test]
async fn a_reissue_that_is_finished_late_hides_no_renewal() {
    let world = World::documented().await;
    let customer = world.customer(CustomerKind::Individual).await;
    world.buy(&customer, MULTI, 2, 1).await;
    let (one, other) = (world.client_of(&customer).await, world.client_of(&customer).await);
    let first = issue(&world, &one, &NAMES, of(MULTI)).await;
    world.pass(first.last.since(world.now()) - 31 * DAY).await;
    let (_, late) = make_ready(&world, &one, &place(&one, &NAMES, of(MULTI)).await.expect(201)).await;
    world.pass(2 * DAY).await;
    world.buy(&customer, MULTI, 2, 1).await;
    let renewed = issue(&world, &other, &NAMES, of(MULTI)).await;
    let finished = issued(&one, one.finalize(&late, &csr(&NAMES).0).await.expect(200).json()).await;
    assert!(finished.last < renewed.last);
    // What the customer has for these names is the renewal: it is reissued, and nothing more is charged.
    world.pass(4 * DAY).await;
    assert_eq!(issue(&world, &one, &NAMES, of(MULTI)).await.last, renewed.last);
}

#[tokio::test]
async fn names_that_are_refused_meanwhile_are_not_certified() {
    let world = World::documented().await;
    let client = world.client().await;
    let (url, order) = make_ready(&world, &client, &place(&client, &[NAMES[0]], of(FREE)).await.expect(201)).await;
    let names = Names::parse("refused = [\"zone-one.cn\"]").unwrap();
    let catalog = (*world.ra().catalog()).clone().with_names(names);
    world.ra().replace_catalog(catalog, "another").await.unwrap();
    client.finalize(&order, &csr(&[NAMES[0]]).0).await.ok();
    let ended = look(&client, &url).await;
    assert_eq!(ended["status"], "invalid", "{ended}");
    assert_eq!(ended["error"]["type"], "urn:ietf:params:acme:error:rejectedIdentifier", "{ended}");
}
