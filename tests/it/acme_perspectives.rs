//! Remote perspectives through the server: what a client sees of them, and what the audit log keeps.

use std::time::Duration;

use chancery::domain::audit::Act;
use chancery::va::perspectives::quorum::Region;
use chancery::va::perspectives::settings::Mode;

use crate::acme_tools::{HOUR, look, problem};
use crate::perspectives_world::Around;
use crate::support::client::{Client, challenge, csr};
use crate::support::world::World;

/// A server whose three perspectives see what the client serves.
async fn world() -> (World, Around, Client) {
    let around = Around::start(&[Region::Apnic, Region::Arin, Region::RipeNcc]).await;
    let world = World::with(|config| config.validation.perspectives = around.asked(Mode::Enforce)).await;
    let client = world.client().await;
    for seat in &around.seats {
        seat.web.serve_any(&client.thumbprint());
    }
    (world, around, client)
}

#[tokio::test]
async fn a_certificate_is_made_when_all_see_the_same_and_the_audit_log_says_who_did() {
    let (mut world, _around, client) = world().await;
    world.certificate(&client, &["www.example.com"]).await;
    let acts = world.audit().await;
    let settled = acts.iter().find_map(|act| match act {
        Act::ValidationSettled { name, evidence, .. } => Some((name, evidence)),
        _ => None,
    });
    let (name, evidence) = settled.unwrap();
    assert_eq!(name, "www.example.com");
    for perspective in ["p0 (apnic)", "p1 (arin)", "p2 (ripe-ncc)"] {
        let line = format!("perspective {perspective} on www.example.com: corroborates");
        assert!(evidence.contains(&line), "{evidence:#?}");
    }
    assert!(evidence.last().unwrap().starts_with("quorum 3/3 on www.example.com (validate): met"), "{evidence:#?}");
}

#[tokio::test]
async fn whoever_misleads_this_server_alone_gets_no_certificate() {
    let (mut world, around, client) = world().await;
    // Where the others look, the holder's web server answers, which knows nothing of the attacker's account.
    for seat in &around.seats[1..] {
        seat.web.serve_any("somebody-else");
    }
    let placed = client.new_order(&["www.example.com"]).await.expect(201);
    let authz = client.authorizations(&placed.json()).await.swap_remove(0);
    let answer = client.respond(&challenge(&authz, "http-01")).await.expect(200).json();
    assert_eq!(answer["status"], "invalid");
    problem(
        &answer["error"],
        "incorrectResponse",
        &[
            "During secondary validation: ",
            "1 of 3 remote perspectives",
            "not seen (arin, ripe-ncc): push the file to the CDN nodes there",
            "(DIAG-05)",
        ],
    );
    assert_eq!(look(&client, placed.location()).await["status"], "invalid");
    let refused = world.audit().await.into_iter().find_map(|act| match act {
        Act::ValidationSettled { problem: Some(problem), evidence, .. } => Some((problem, evidence)),
        _ => None,
    });
    let (_, evidence) = refused.unwrap();
    assert!(evidence.iter().any(|line| line.contains("perspective p2 (ripe-ncc) on www.example.com: does not")));
    assert!(evidence.last().unwrap().starts_with("quorum 1/3"), "{evidence:#?}");
}

#[tokio::test]
async fn caa_before_the_certificate_goes_by_quorum_too() {
    let (mut world, around, client) = world().await;
    let (place, order) = world.ready_order(&client, &["www.example.com"]).await;
    // What was seen eight hours ago is too old (Baseline Requirements 4.2.2.1).
    world.pass(9 * HOUR).await;
    for seat in &around.seats[..2] {
        seat.dns.caa("example.com", 0, "issue", ";");
    }
    client.finalize(&order, &csr(&["www.example.com"]).0).await.ok();
    world.pass(Duration::ZERO).await;
    let order = look(&client, &place).await;
    assert_eq!(order["status"], "invalid", "{order}");
    problem(&order["error"], "caa", &["During secondary validation: CAA at example.com permits nobody"]);
    let checked = world.audit().await.into_iter().find_map(|act| match act {
        Act::CaaChecked { evidence, .. } => Some(evidence),
        _ => None,
    });
    assert!(checked.unwrap().last().unwrap().starts_with("quorum 1/3 on www.example.com (caa): missed"));
}
