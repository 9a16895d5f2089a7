//! The audit log as lines of JSON, which a program that knows nothing of Chancery verifies.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chancery::domain::CustomerId;
use chancery::domain::audit::Act;
use chancery::store::records::{Batch, Records};
use serde_json::{Value, json};

use crate::acme_tools::HOUR;
use crate::support::operator::Operator;
use crate::support::world::World;

/// Runs `chancery audit ..` on the data directory of a stopped server.
fn run(data: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_chancery"))
        .args(["audit"].iter().chain(arguments))
        .args(["--data-dir", data.to_str().unwrap()])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap()
}

/// What the script of the documentation says about an export: whether it is whole, and what it tells.
fn verified(file: &Path, text: &str) -> (bool, String) {
    std::fs::write(file, text).unwrap();
    let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs/verify-audit.py");
    let output = Command::new("python3").args([script.as_path(), file]).output().expect("python3 is installed");
    let told = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(told).unwrap())
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// What somebody does to the lines of an export.
type Change = Box<dyn Fn(&mut Vec<String>)>;

/// Writes the chain of a node anew after lines of it were changed, as somebody would who knows how it is made: each link with
/// the hash that follows from the one before and from its events.
fn write_anew(all: &mut [String], node: u64) {
    let digest = |octets: &[u8]| aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, octets).as_ref().to_vec();
    let row_of = |line: &str| serde_json::from_str::<Value>(line).unwrap();
    let mut before = vec![0; 32];
    let mut of_node: Vec<&mut String> = all.iter_mut().filter(|line| row_of(line)["node"] == node).collect();
    for lines in of_node.chunk_by_mut(|one, other| row_of(one)["link"] == row_of(other)["link"]) {
        let row = row_of(lines[0]);
        let mut text = [&before[..], &row["link"].as_u64().unwrap().to_be_bytes()].concat();
        for line in lines.iter() {
            let id = URL_SAFE_NO_PAD.decode(row_of(line)["id"].as_str().unwrap()).unwrap();
            let event = line.split_once(",\"event\":").unwrap().1.strip_suffix('}').unwrap();
            text.extend((id.len() as u64).to_be_bytes());
            text.extend(&id);
            text.extend(digest(event.as_bytes()));
        }
        let hash = digest(&text);
        for line in lines {
            let hex = |octets: &[u8]| chancery::domain::certificate::hex32::encode(octets);
            **line = line.replace(row["previous"].as_str().unwrap(), &hex(&before));
            **line = line.replace(row["hash"].as_str().unwrap(), &hex(&hash));
        }
        before = hash;
    }
}

/// A world in which something was done, also by another node that knows the first.
async fn busy() -> World {
    let mut world = World::new().await;
    let client = world.client().await;
    world.certificate(&client, &["www.example.com", "*.example.com"]).await;
    world
        .with_store(async |kv| {
            let records = Records::new(kv).on(4);
            let now = chancery::domain::Timestamp::from_secs(1_795_262_500);
            let act = Act::Anchored { heads: records.heads().await.unwrap() };
            records.commit(Batch::of(act, now)).await.unwrap();
            records.commit(Batch::of(Act::CustomerCreated { customer: CustomerId::random() }, now)).await.unwrap();
        })
        .await;
    world.clock.advance(HOUR);
    for name in ["Buyer", "B\u{fc}yer, \"event\":{}\n"] {
        Operator::of(&world).post("/customers", &json!({ "name": name, "kind": "individual" })).await;
    }
    world
}

#[tokio::test]
async fn an_export_is_verified_from_the_file_alone_and_a_changed_line_is_found() {
    let mut world = busy().await;
    let file = world.scratch().join("export.jsonl");
    let out = world.scratch().join("out.jsonl");
    let settings = world.store_settings();
    // Both at one stop: each start signs revocation lists, which is logged.
    let (output, heads) = world
        .while_stopped(|data| {
            let output = run(data, &["export", "--out", out.to_str().unwrap()]);
            (output, chancery::store::check(&settings).unwrap().chains)
        })
        .await;
    assert!(output.status.success(), "{output:?}");
    let text = std::fs::read_to_string(&out).unwrap();
    let rows = lines(&text);
    assert_eq!(String::from_utf8(output.stdout).unwrap(), format!("{} events\n", rows.len()));
    assert!(rows.iter().any(|row| row["event"]["act"]["act"] == "certificate-issued"), "{text}");
    assert!(rows.iter().all(|row| row["node"] == row["event"]["node"]), "{text}");
    let (whole, told) = verified(&file, &text);
    assert!(whole, "{told}");
    for (node, head) in heads {
        let end = format!("node {node} ends with link {}, {}", head.sequence, head.hash);
        assert!(told.contains(&end), "{end} is not in {told}");
    }

    let all: Vec<&str> = text.lines().collect();
    let settled = all.iter().position(|line| line.contains("validation-settled")).unwrap();
    let cases: [(&str, Change, &str); 7] = [
        (
            "a changed word",
            Box::new(move |all| all[settled] = all[settled].replace("http-01", "dns-01")),
            "its hash is",
        ),
        (
            "a changed blank",
            Box::new(move |all| all[settled] = all[settled].replace("\"event\":{", "\"event\":{ ")),
            "its hash",
        ),
        ("a line removed", Box::new(move |all| drop(all.remove(settled))), "link"),
        (
            "a line put twice",
            Box::new(move |all| all.insert(settled, all[settled].clone())),
            "events are missing or in",
        ),
        ("no JSON", Box::new(move |all| all[settled].truncate(40)), "can't be read"),
        (
            "a chain written anew",
            Box::new(move |all| {
                all[settled] = all[settled].replace("http-01", "dns-01");
                write_anew(all, 0);
            }),
            "of node 0 with another hash",
        ),
        (
            "the end cut off",
            Box::new(|all| {
                let node = |line: &String| serde_json::from_str::<Value>(line).unwrap()["node"].clone();
                let anchored = all.iter().position(|line| line.contains("\"anchored\"")).unwrap();
                let head = serde_json::from_str::<Value>(&all[anchored]).unwrap();
                let head = head["event"]["act"]["heads"][0]["sequence"].as_u64().unwrap();
                all.retain(|line| {
                    let row = serde_json::from_str::<Value>(line).unwrap();
                    node(line) != 0 || row["link"].as_u64().unwrap() < head
                });
            }),
            "the anchor names link",
        ),
    ];
    for (case, change, part) in cases {
        let mut changed: Vec<String> = all.iter().map(|line| (*line).to_owned()).collect();
        change(&mut changed);
        let (whole, told) = verified(&file, &(changed.join("\n") + "\n"));
        assert!(!whole && told.contains(part), "{case}: {told}");
    }
    // Written anew without a change it is the same, so it is the anchor alone that finds the change.
    let mut same: Vec<String> = all.iter().map(|line| (*line).to_owned()).collect();
    write_anew(&mut same, 0);
    assert_eq!(same, all);
    // What is there already is not written over.
    let output = world.while_stopped(|data| run(data, &["export", "--out", out.to_str().unwrap()])).await;
    assert_eq!(output.status.code(), Some(1), "{output:?}");
}

#[tokio::test]
async fn a_part_of_the_log_is_verified_too() {
    let mut world = busy().await;
    let file = world.scratch().join("part.jsonl");
    let later = (world.now()).to_string();
    for (arguments, acts) in [
        (vec!["export", "--from", &later], vec!["customer-created", "customer-created"]),
        (vec!["export", "--node", "4"], vec!["anchored", "customer-created"]),
        (vec!["export", "--node", "4", "--from", &later], vec![]),
        (vec!["export", "--node", "77"], vec![]),
    ] {
        let output = world.while_stopped(|data| run(data, &arguments)).await;
        assert!(output.status.success(), "{output:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        let found: Vec<Value> = lines(&text).iter().map(|row| row["event"]["act"]["act"].clone()).collect();
        assert_eq!(found, acts, "{arguments:?}");
        let (whole, told) = verified(&file, &text);
        assert!(whole, "{arguments:?}: {told}");
    }
    let output = world.while_stopped(|data| run(data, &["export", "--to", &later])).await;
    let until = String::from_utf8(output.stdout).unwrap();
    let made = lines(&until).iter().filter(|row| row["event"]["act"]["act"] == "customer-created").count();
    assert!(until.contains("certificate-issued") && made == 1, "{until}");
    let output = world.while_stopped(|data| run(data, &["export", "--to", "yesterday"])).await;
    assert!(
        String::from_utf8(output.stderr).unwrap().contains("\"yesterday\" is no moment as in"),
        "{:?}",
        output.stdout
    );
}

#[tokio::test]
async fn operators_have_the_same_lines_over_rest() {
    let mut world = busy().await;
    let operator = Operator::of(&world);
    world.ra().drain().await.unwrap();
    let answer = operator.get("/audit").await.expect(200);
    assert_eq!(answer.header("content-type"), Some("application/x-ndjson"));
    let exported = world.while_stopped(|data| run(data, &["export"])).await;
    assert_eq!(answer.text(), String::from_utf8(exported.stdout).unwrap());
    let (whole, told) = verified(&world.scratch().join("rest.jsonl"), &answer.text());
    assert!(whole, "{told}");
    let operator = Operator::of(&world);
    let part = operator.get(&format!("/audit?since={}", world.now())).await.expect(200);
    let created = |text: &str| text.matches("\"act\":\"customer-created\"").count();
    assert_eq!(created(&part.text()), 2, "{part}");
    assert!(created(&answer.text()) > 2 && lines(&part.text()).len() < lines(&answer.text()).len(), "{part}");
    assert_eq!(lines(&operator.get("/audit?node=4").await.expect(200).text()).len(), 2);
    operator.get("/audit?since=yesterday").await.expect(400);
}

#[tokio::test]
async fn an_export_of_many_pages_is_whole() {
    let mut world = World::new().await;
    world
        .with_store(async |kv| {
            let records = Records::new(kv);
            for n in 0..450 {
                let act = Act::CustomerCreated { customer: CustomerId::random() };
                let now = chancery::domain::Timestamp::from_secs(1_795_262_400 + n);
                records.commit(Batch::of(act, now)).await.unwrap();
            }
        })
        .await;
    let answer = Operator::of(&world).get("/audit").await.expect(200);
    let created = answer.text().matches("\"act\":\"customer-created\"").count();
    assert_eq!(created, 450);
    let (whole, told) = verified(&world.scratch().join("long.jsonl"), &answer.text());
    assert!(whole && told.starts_with("node 0 ends with link 4"), "{told}");
}
