//! `chancery audit check`: what it tells of a log that is in order, of one that somebody tampered with, and of one that an
//! earlier version wrote.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use chancery::domain::Serial;
use chancery::domain::customer::CustomerKind;
use chancery::store::{Kv, Range};
use serde_json::{Value, json};

use crate::acme_tools::HOUR;
use crate::audit_evidence::{ABOUT, EVENTS, Log, MULTI, OF_SUBJECT};
use crate::rules_tools::{issue, make_ready, of, place};
use crate::store_support::{delete, key, put};
use crate::support::client::csr;
use crate::support::operator::Operator;
use crate::support::world::World;

const LINKS: u8 = 91;
const HEADS: u8 = 92;

/// Runs `chancery audit check ..` on the data directory of a stopped server: the exit code, and what it tells.
fn run(data: &Path, further: &[&str]) -> (i32, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_chancery"))
        .args(["audit", "check", "--data-dir", data.to_str().unwrap()])
        .args(further)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    let told = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    (output.status.code().unwrap(), told)
}

#[tokio::test]
async fn the_command_tells_all_certificates_and_fails_where_one_is_at_fault() {
    let mut world = World::new().await;
    let client = world.client().await;
    let (done, _) = world.certificate(&client, &["a.example"]).await;
    let serial = done["certificate"].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
    let (code, told) = world.while_stopped(|data| run(data, &[])).await;
    assert_eq!(code, 0, "{told}");
    for part in
        [&serial, "a.example: http-01 at 2026-11-21T12:00:00Z (0 days), authorization", "A a.example: 127.0.0.1"]
    {
        assert!(told.contains(part), "no {part:?} in {told}");
    }
    let (code, told) = world.while_stopped(|data| run(data, &["--certificate", &serial, "--json"])).await;
    let lines: Vec<Value> = told.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((code, lines.len()), (0, 2), "{told}");
    assert_eq!((&lines[0]["names"][0]["name"], &lines[1]["faulty"]), (&json!("a.example"), &json!(0)));
    let other = Serial::random().to_string();
    let (code, told) = world.while_stopped(|data| run(data, &["--certificate", &other])).await;
    assert!(code == 1 && told.contains("the log knows none"), "{told}");
    world
        .with_store(async |kv| {
            let log = Log::of(&kv).await;
            kv.commit(log.remove("validation-settled", 0)).await.unwrap();
        })
        .await;
    let (code, told) = world.while_stopped(|data| run(data, &[])).await;
    assert_eq!(code, 1, "{told}");
    for part in
        ["FAULT: a.example: the log has no validation", "was removed", "1 certificate with faults, 1 fault of the log"]
    {
        assert!(told.contains(part), "no {part:?} in {told}");
    }
}

/// Removes all rows of a space.
async fn empty(kv: &Arc<dyn Kv>, space: u8) {
    for row in kv.scan(Range { space, prefix: vec![], after: None, limit: 100_000 }).await.unwrap() {
        kv.commit(delete(row.key)).await.unwrap();
    }
}

#[tokio::test]
async fn rows_of_the_index_that_are_gone_are_told_and_hide_nothing() {
    let mut world = World::new().await;
    let client = world.client().await;
    world.certificate(&client, &["a.example"]).await;
    for space in [OF_SUBJECT, ABOUT] {
        world.with_store(async |kv| empty(&kv, space).await).await;
        let (code, told) = world.while_stopped(|data| run(data, &[])).await;
        assert_eq!(code, 1, "{told}");
        assert!(told.contains("a.example: http-01 at") && !told.contains("FAULT"), "{told}");
        assert!(
            told.contains("that the index does not lead to") && told.contains("0 certificates with faults"),
            "{told}"
        );
    }
    let (code, told) = world.while_stopped(|data| run(data, &["--json"])).await;
    let last: Value = serde_json::from_str(told.lines().rfind(|line| line.starts_with('{')).unwrap()).unwrap();
    let rows: Vec<&str> = last["log"].as_array().unwrap().iter().map(|fault| fault.as_str().unwrap()).collect();
    assert_eq!(code, 1);
    for part in ["order-created", "validation-settled", "certificate-issued", "about certificate:"] {
        assert!(rows.iter().any(|row| row.contains(part)), "no {part:?} in {rows:#?}");
    }
}

/// Makes of the log what an earlier version wrote: its events don't say their node nor what certificates rest on, its index
/// is about orders and authorizations alone, and it has no chain.
async fn as_an_earlier_version_wrote_it(kv: &Arc<dyn Kv>) {
    for (id, mut event) in Log::of(kv).await.events {
        event.as_object_mut().unwrap().remove("node");
        let act = event["act"].as_object_mut().unwrap();
        let since = if act["act"] == "caa-checked" { vec!["name", "problem"] } else { vec!["signature", "reuse_days"] };
        since.into_iter().for_each(|member| drop(act.remove(member)));
        kv.commit(put(key(EVENTS, id), event.to_string())).await.unwrap();
    }
    for space in [ABOUT, LINKS, HEADS] {
        empty(kv, space).await;
    }
}

#[tokio::test]
async fn what_an_earlier_version_logged_is_judged_by_what_it_knew() {
    let mut world = World::documented().await;
    let customer = world.customer(CustomerKind::Individual).await;
    world.buy(&customer, MULTI, 1, 1).await;
    world.buy(&customer, MULTI, 1, 1).await;
    let client = world.client_of(&customer).await;
    issue(&world, &client, &["old.zone-one.cn"], of(MULTI)).await;
    world.pass(9 * HOUR).await;
    // Both the proof and the purchase of this one are older than the version that signs it.
    let placed = place(&client, &["shop.zone-one.cn"], of(MULTI)).await.expect(201);
    let (_, order) = make_ready(&world, &client, &placed).await;
    world.with_store(async |kv| as_an_earlier_version_wrote_it(&kv).await).await;
    client.apart().finalize(&order, &csr(&["shop.zone-one.cn"]).0).await.expect(200);
    let (code, told) = world.while_stopped(|data| run(data, &[])).await;
    assert_eq!(code, 0, "{told}");
    for part in [
        "old.zone-one.cn: http-01 at 2026-11-21T12:00:00Z",
        "A old.zone-one.cn: 127.0.0.1",
        "shop.zone-one.cn: http-01",
    ] {
        assert!(told.contains(part), "no {part:?} in {told}");
    }
    let operator = Operator::of(&world);
    let certificates = operator.get("/certificates").await.expect(200).json();
    let serials: Vec<&str> =
        certificates["items"].as_array().unwrap().iter().map(|item| item["serial"].as_str().unwrap()).collect();
    assert_eq!(serials.len(), 2, "{certificates}");
    for serial in serials {
        let seen = operator.get(&format!("/certificates/{serial}/evidence")).await.expect(200).json();
        assert_eq!(seen["faults"], json!([]), "{seen:#}");
        assert_eq!(seen["names"].as_array().unwrap().len(), 1, "{seen:#}");
    }
    // What is not there at all is missing all the same.
    world
        .with_store(async |kv| {
            let log = Log::of(&kv).await;
            kv.commit(log.remove("validation-settled", 0)).await.unwrap();
        })
        .await;
    let (code, told) = world.while_stopped(|data| run(data, &[])).await;
    assert!(code == 1 && told.contains("FAULT: old.zone-one.cn: the log has no validation of authorization"), "{told}");
    assert!(told.contains("1 certificate with faults, 0 faults of the log"), "{told}");
}
