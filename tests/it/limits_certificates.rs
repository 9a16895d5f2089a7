//! Limits on certificates: orders that are open at the same time don't pass them together.

use std::time::Duration;

use chancery::domain::limit::Rate;
use chancery::ra::limits::Written;
use tokio::task::JoinSet;

use crate::acme_tools::{HOUR, look};
use crate::desk_tools::{Company, PDF, approve, reviewer};
use crate::support::client::{Client, Response, csr};
use crate::support::dns::Failure;
use crate::support::world::World;

/// A world in which so many certificates are issued for a domain in an hour.
async fn world(count: u32) -> World {
    World::with(|config| config.limits.certificates_per_domain = Written(Rate::hourly(count))).await
}

/// That the limit refuses, and how long to wait.
#[track_caller]
fn refused(answer: &Response) -> Duration {
    let told = answer.expect_problem(429, "rateLimited");
    assert!(told.contains("\"certificates_per_domain\""), "{told}");
    Duration::from_secs(answer.header("retry-after").expect("RL-02").parse().unwrap())
}

async fn finalize(client: &Client, url: &str, name: &str) -> Response {
    let order = look(client, url).await;
    client.finalize(&order, &csr(&[name]).0).await
}

#[tokio::test]
async fn orders_that_were_open_already_are_counted_when_they_are_finalized() {
    let world = world(2).await;
    let client = world.client().await;
    let names = ["a.example.com", "b.example.com", "c.example.com"];
    let mut open = Vec::new();
    for name in names {
        open.push(world.ready_order(&client, &[name]).await.0);
    }
    for (url, name) in open.iter().zip(names).take(2) {
        assert_eq!(finalize(&client, url, name).await.expect(200).json()["status"], "valid");
    }
    let wait = refused(&finalize(&client, &open[2], names[2]).await);
    assert_eq!(look(&client, &open[2]).await["status"], "ready");
    // Whoever is refused has taken nothing, and one who comes back in time gets the certificate.
    world.pass(wait).await;
    assert_eq!(finalize(&client, &open[2], names[2]).await.expect(200).json()["status"], "valid");
    refused(&client.new_order(&["d.example.com"]).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_orders_that_are_finalized_at_once_no_more_are_issued_than_the_limit_says() {
    let world = world(3).await;
    let mut ready = Vec::new();
    for number in 0..8 {
        let client = world.client().await;
        let name = format!("n{number}.example.com");
        let (url, order) = world.ready_order(&client, &[&name]).await;
        ready.push((client, name, url, order));
    }
    let mut finals = JoinSet::new();
    for (client, name, _, order) in ready.clone() {
        finals.spawn(async move { client.finalize(&order, &csr(&[&name]).0).await });
    }
    let answers = finals.join_all().await;
    let (done, others): (Vec<&Response>, Vec<&Response>) = answers.iter().partition(|answer| answer.status == 200);
    assert_eq!(done.len(), 3);
    for answer in others {
        refused(answer);
    }
    let mut statuses = Vec::new();
    for (client, _, url, _) in &ready {
        statuses.push(look(client, url).await["status"].as_str().unwrap().to_owned());
    }
    assert_eq!(statuses.iter().filter(|status| *status == "valid").count(), 3, "{statuses:?}");
    assert_eq!(statuses.iter().filter(|status| *status == "ready").count(), 5, "{statuses:?}");
}

#[tokio::test]
async fn the_same_csr_again_takes_nothing() {
    let world = world(1).await;
    let client = world.client().await;
    let (_, order) = world.ready_order(&client, &["a.example.com"]).await;
    let csr = csr(&["a.example.com"]).0;
    for _ in 0..3 {
        assert_eq!(client.finalize(&order, &csr).await.expect(200).json()["status"], "valid");
    }
}

#[tokio::test]
async fn an_order_that_fails_after_its_csr_gives_its_certificate_back() {
    let world = world(1).await;
    let client = world.client().await;
    let (one, _) = world.ready_order(&client, &["a.example.com"]).await;
    let (other, _) = world.ready_order(&client, &["b.example.com"]).await;
    // CAA is looked at anew after eight hours, and forbids it now.
    world.pass(9 * HOUR).await;
    world.dns.caa("a.example.com", 0, "issue", "other.test");
    finalize(&client, &one, "a.example.com").await.expect(200);
    assert_eq!(look(&client, &one).await["status"], "invalid");
    assert_eq!(finalize(&client, &other, "b.example.com").await.expect(200).json()["status"], "valid");
    refused(&client.new_order(&["c.example.com"]).await);
}

#[tokio::test]
async fn an_order_that_fails_late_gives_back_nothing_that_came_back_by_itself() {
    let world = World::with(|config| {
        config.limits.certificates_per_domain = Written(Rate::hourly(1));
        config.acme.finalize_wait_ms = 0;
    })
    .await;
    let client = world.client().await;
    let (one, _) = world.ready_order(&client, &["a.example.com"]).await;
    let (other, _) = world.ready_order(&client, &["b.example.com"]).await;
    world.pass(9 * HOUR).await;
    // CAA can't be read, so the job looks again.
    world.dns.fail_type("a.example.com", "CAA", Failure::ServFail);
    finalize(&client, &one, "a.example.com").await.expect(200);
    world.clock.advance(2 * HOUR);
    finalize(&client, &other, "b.example.com").await.expect(200);
    for _ in 0..5 {
        world.pass(Duration::from_secs(10)).await;
    }
    assert_eq!(look(&client, &one).await["status"], "invalid");
    assert_eq!(look(&client, &other).await["status"], "valid");
    refused(&client.new_order(&["c.example.com"]).await);
}

#[tokio::test]
async fn what_a_person_looks_at_is_counted_when_it_is_approved() {
    let world = World::documented_with(|config| config.limits.certificates_per_domain = Written(Rate::hourly(1))).await;
    let (desk, company) = (reviewer(&world, "Wang").await, Company::new(&world).await);
    let (product, names) = ("trustasia-ov-single", ["shop.zone-one.cn"]);
    let purchase = company.buy(&world, product).await;
    let review = company.apply(&purchase).await["id"].as_str().unwrap().to_owned();
    company.upload(&purchase, PDF).await.expect(204);
    let (url, order) = company.ready(&world, product, &names).await;
    assert_eq!(company.finalize(&order, &names).await.expect(200).json()["status"], "processing");
    // Nothing is kept for it: who is ready before takes what there is.
    let other = world.client().await;
    let (early, _) = world.ready_order(&other, &["a.zone-one.cn"]).await;
    assert_eq!(finalize(&other, &early, "a.zone-one.cn").await.expect(200).json()["status"], "valid");
    approve(&desk, &review).await.expect(200);
    assert_eq!(look(&company.acme, &url).await["status"], "valid", "what people approved is not refused");
    let next = world.client().await;
    let wait = refused(&next.new_order(&["b.zone-one.cn"]).await);
    assert_eq!(wait, HOUR, "it is full, and no fuller");
}

#[tokio::test]
async fn a_csr_that_would_have_to_wait_for_a_person_in_vain_is_refused() {
    let world = World::documented_with(|config| config.limits.certificates_per_domain = Written(Rate::hourly(1))).await;
    let company = Company::new(&world).await;
    let (product, names) = ("trustasia-ov-single", ["shop.zone-one.cn"]);
    let purchase = company.buy(&world, product).await;
    company.apply(&purchase).await;
    company.upload(&purchase, PDF).await.expect(204);
    let (url, order) = company.ready(&world, product, &names).await;
    world.certificate(&world.client().await, &["a.zone-one.cn"]).await;
    world.web.serve_any(&company.acme.thumbprint());
    let wait = refused(&company.finalize(&order, &names).await);
    assert_eq!(look(&company.acme, &url).await["status"], "ready");
    world.pass(wait).await;
    assert_eq!(company.finalize(&order, &names).await.expect(200).json()["status"], "processing");
}
