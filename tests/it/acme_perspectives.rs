//! Remote perspectives through the server: what a client sees of them, and what the audit log keeps.

use std::collections::BTreeSet;
use std::time::Duration;

use chancery::domain::audit::Act;
use chancery::domain::customer::CustomerKind;
use chancery::va::perspectives::quorum::Region;
use chancery::va::perspectives::settings::Mode;
use serde_json::json;
use tokio::task::JoinSet;

use crate::acme_tools::{HOUR, look, problem};
use crate::desk_tools::with_role;
use crate::perspectives_world::Around;
use crate::support::client::{Client, challenge, csr};
use crate::support::dns::Failure;
use crate::support::operator::Operator;
use crate::support::world::World;
use crate::va_world::bounded;

const REGIONS: [Region; 3] = [Region::Apnic, Region::Arin, Region::RipeNcc];

/// A server whose three perspectives see what the client serves.
async fn world() -> (World, Around, Client) {
    world_of(Around::start(&REGIONS).await).await
}

async fn world_of(around: Around) -> (World, Around, Client) {
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

#[tokio::test]
async fn customers_see_how_many_corroborated_and_not_who_and_where_they_are() {
    // A name that no random id has in it.
    let (world, around, _) = world_of(Around::called("inner-seat-", &REGIONS, |_| {}).await).await;
    let customer = world.customer(CustomerKind::Individual).await;
    let client = world.client_of(&customer).await;
    for seat in &around.seats[1..] {
        seat.web.serve_any(&client.thumbprint());
    }
    let placed = client.new_order(&["www.example.com"]).await.expect(201);
    world.web.serve_any(&client.thumbprint());
    let (place, order) = (placed.location().to_owned(), placed.json());
    for authz in client.authorizations(&order).await {
        client.respond(&challenge(&authz, "http-01")).await.expect(200);
    }
    // Too old for the signature, so that CAA is looked at once more.
    world.pass(9 * HOUR).await;
    client.finalize(&order, &csr(&["www.example.com"]).0).await.expect(200);
    let done = look(&client, &place).await;
    assert_eq!(done["status"], "valid", "{done}");
    let serial = done["certificate"].as_str().unwrap().rsplit('/').next().unwrap();
    let order = place.rsplit('/').next().unwrap();
    let rest = with_role(&world, json!({ "name": "x", "role": "customer", "customer": customer })).await;
    for path in [format!("/certificates/{serial}/evidence"), format!("/orders/{order}/events")] {
        let seen = rest.get(&path).await.expect(200).text();
        for internal in ["inner-seat", "apnic", "arin", "ripe-ncc", "quorum", "at most 1 may fail"] {
            assert!(!seen.contains(internal), "{internal} in {seen}");
        }
        assert!(seen.contains("A www.example.com: 127.0.0.1"), "{seen}");
        // The challenge, and CAA before the signature.
        assert_eq!(seen.matches("\"corroborated by 2 of 3 remote perspectives\"").count(), 1, "{seen}");
        assert_eq!(seen.matches("\"corroborated by 3 of 3 remote perspectives\"").count(), 1, "{seen}");
        let seen = Operator::of(&world).get(&path).await.expect(200).text();
        assert!(seen.contains("perspective inner-seat-1 (arin) on www.example.com: corroborates"), "{seen}");
    }
}

#[tokio::test]
async fn names_that_are_slow_elsewhere_hold_up_their_own_account_alone() {
    const NAMES: usize = 150;
    let patient = |validation: &mut chancery::va::Settings| {
        validation.timeout_ms = 120_000;
        validation.dns_timeout_ms = 120_000;
    };
    let around = Around::with(&REGIONS, |config| {
        config.perspective.max_questions = 1_000;
        patient(&mut config.validation);
    })
    .await;
    let world = World::with(|config| {
        config.validation.perspectives = around.asked(Mode::Enforce);
        patient(&mut config.validation);
        config.acme.challenge_wait_ms = 1;
    })
    .await;
    let slow = world.client().await;
    world.web.serve_any(&slow.thumbprint());
    let names: Vec<String> = (0..NAMES).map(|n| format!("s{n}.example.com")).collect();
    for seat in &around.seats {
        for name in &names {
            seat.dns.fail(name, Failure::Drop);
        }
    }
    let mut asked = JoinSet::new();
    for part in names.chunks(NAMES / 2) {
        let part: Vec<&str> = part.iter().map(String::as_str).collect();
        let order = slow.new_order(&part).await.expect(201).json();
        for authz in slow.authorizations(&order).await {
            let client = slow.apart();
            asked.spawn(async move { drop(client.respond(&challenge(&authz, "http-01")).await.expect(200)) });
        }
    }
    asked.join_all().await;
    let slow_ones = || {
        let queries = around.seats[0].dns.queries();
        let name = |query: &String| query.split(' ').nth(1).filter(|name| name.starts_with('s')).map(str::to_owned);
        queries.iter().filter_map(name).collect::<BTreeSet<String>>().len()
    };
    bounded(async {
        while slow_ones() < 64 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    // What another asks now is answered, although none of those is.
    let client = world.client().await;
    world.web.serve_any(&client.thumbprint());
    for seat in &around.seats {
        seat.web.serve_any(&client.thumbprint());
    }
    let placed = client.new_order(&["www.example.com"]).await.expect(201);
    let authz = client.authorizations(&placed.json()).await.swap_remove(0);
    client.respond(&challenge(&authz, "http-01")).await.expect(200);
    bounded(async {
        while look(&client, placed.location()).await["status"] == "pending" {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(look(&client, placed.location()).await["status"], "ready");
    assert_eq!(slow_ones(), 64, "and so many of one account are asked about at once");
}

#[tokio::test]
async fn metrics_count_the_answers_of_each_perspective_by_question_and_result() {
    let recorder = chancery::telemetry::recorder();
    let quorums = |result: &str| -> u64 {
        let line = format!("chancery_quorums_total{{question=\"validate\",result=\"{result}\"}} ");
        recorder.render().lines().find_map(|text| text.strip_prefix(&line)?.parse().ok()).unwrap_or(0)
    };
    let missed = quorums("missed");
    let mut around = Around::called("metered", &REGIONS, |_| {}).await;
    around.stop(2).await;
    let world = World::with(|config| config.validation.perspectives = around.asked(Mode::Log)).await;
    let client = world.client().await;
    around.seats[0].web.serve_any(&client.thumbprint());
    for name in ["one.example.com", "two.example.com"] {
        world.certificate(&client, &[name]).await;
    }
    let text = recorder.render();
    for (perspective, result) in [("metered0", "corroborates"), ("metered1", "differs"), ("metered2", "none")] {
        let labels = format!("perspective=\"{perspective}\",question=\"validate\",result=\"{result}\"");
        let line = format!("chancery_perspective_answers_total{{{labels}}} 2");
        assert!(text.lines().any(|found| found == line), "no {line} in {text}");
        assert_eq!(text.matches(&format!("answers_total{{perspective=\"{perspective}\"")).count(), 1, "{text}");
        let line = format!("chancery_perspective_seconds_count{{perspective=\"{perspective}\"}} 2");
        assert!(text.lines().any(|found| found == line), "no {line} in {text}");
    }
    // Other tests count on the same counters.
    assert!(quorums("missed") >= missed + 2, "{text}");
}
