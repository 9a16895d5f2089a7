//! The chains of several nodes over one store: each its own, anchored in one another, so that one that is cut or written
//! anew is found out by the others.

use std::path::Path;
use std::sync::Arc;

use chancery::domain::audit::{Act, ChainHead};
use chancery::domain::{CustomerId, Timestamp};
use chancery::ra::OperationFilter;
use chancery::store::records::{Batch, Records};
use chancery::store::{self, EngineName, Key, Kv, Range};
use serde_json::{Value, json};

use crate::acme_tools::HOUR;
use crate::quota_races::cluster::Cluster;
use crate::store_support::*;
use crate::support::operator::Operator;
use crate::support::world::World;

const EVENTS: u8 = 90;
const LINKS: u8 = 91;
const HEADS: u8 = 92;

fn moment(n: u64) -> Timestamp {
    Timestamp::from_millis(1_795_262_400_000 + n)
}

/// What nodes do.
async fn act(records: &Records, n: u64) {
    let batch = Batch::of(Act::CustomerCreated { customer: CustomerId::random() }, moment(n));
    records.commit(batch).await.expect("committed");
}

/// The heads of all other nodes, as this one tells them.
async fn anchor(records: &Records, n: u64) {
    let mut heads = records.heads().await.expect("read");
    heads.retain(|head| head.node != records.node());
    records.commit(Batch::of(Act::Anchored { heads }, moment(n))).await.expect("committed");
}

fn faults(engine: EngineName, path: &Path) -> Vec<String> {
    unlocked(|| store::check(&settings(engine, path))).expect("it can be looked at").faults
}

fn node_key(space: u8, node: u16, sequence: u64) -> Key {
    key(space, [&node.to_be_bytes()[..], &sequence.to_be_bytes()].concat())
}

/// Takes the links of a node from that number on out of the store, with their events, and sets its head back, as somebody
/// would who knows how the chain is made.
async fn cut(store: &Arc<dyn Kv>, node: u16, from: u64) {
    let range = Range { space: LINKS, prefix: node.to_be_bytes().to_vec(), after: None, limit: 1000 };
    let links = store.scan(range).await.expect("read");
    for link in links.iter().skip(usize::try_from(from).unwrap() - 1) {
        let value: Value = serde_json::from_slice(&link.value).expect("JSON");
        for event in value["events"].as_array().unwrap() {
            use base64::Engine as _;
            let id = event.as_str().unwrap().split('.').next().unwrap();
            let id = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(id).unwrap();
            store.commit(delete(key(EVENTS, id))).await.expect("removed");
        }
        store.commit(delete(link.key.clone())).await.expect("removed");
    }
    let last: Value = serde_json::from_slice(&links[usize::try_from(from).unwrap() - 2].value).expect("JSON");
    let head = json!({ "sequence": from - 1, "hash": last["hash"] });
    store.commit(put(key(HEADS, node.to_be_bytes()), head.to_string())).await.expect("set back");
}

#[test]
fn each_node_has_its_own_chain_and_no_row_is_written_by_two() {
    each_engine(|engine, path| {
        let kv = open(engine, path);
        let records = Records::new(kv.clone());
        block_on(async {
            let mut commits = tokio::task::JoinSet::new();
            for n in 0..150 {
                let node = records.clone().on((n % 3) as u16 * 7);
                commits.spawn(async move { act(&node, n).await });
            }
            commits.join_all().await;
        });
        let nodes: Vec<u16> = block_on(records.heads()).expect("read").iter().map(|head| head.node).collect();
        assert_eq!(nodes, [0, 7, 14], "{engine:?}");
        let mut linked = [0; 3];
        for link in all(&kv, LINKS) {
            let node = u16::from_be_bytes([link.key.id[0], link.key.id[1]]);
            let value: Value = serde_json::from_slice(&link.value).expect("JSON");
            linked[usize::from(node / 7)] += value["events"].as_array().unwrap().len();
        }
        assert_eq!(linked, [50, 50, 50], "{engine:?}: every event is on the chain of its node");
        let told: Vec<u64> = all(&kv, EVENTS)
            .iter()
            .map(|event| serde_json::from_slice::<Value>(&event.value).expect("JSON")["node"].as_u64().unwrap())
            .collect();
        assert_eq!(told.iter().filter(|node| **node == 14).count(), 50, "{engine:?}: events say whose they are");
        drop((records, kv));
        assert_eq!(faults(engine, path), [""; 0], "{engine:?}");
        // After a restart each chain goes on where it was.
        let records = Records::new(open(engine, path)).on(7);
        let before = head_of(&records, 7);
        block_on(act(&records, 200));
        assert_eq!(head_of(&records, 7).sequence, before.sequence + 1, "{engine:?}");
        drop(records);
        let report = unlocked(|| store::check(&settings(engine, path))).expect("it can be looked at");
        assert_eq!((report.faults, report.chains.len()), (vec![], 3), "{engine:?}");
    });
}

fn head_of(records: &Records, node: u16) -> ChainHead {
    let heads = block_on(records.heads()).expect("read");
    heads.into_iter().find(|head| head.node == node).expect("it has a chain")
}

#[test]
fn a_chain_that_was_cut_or_written_anew_is_found_out_by_the_anchors_of_the_others() {
    each_engine(|engine, path| {
        let kv = open(engine, path);
        let records = Records::new(kv.clone());
        block_on(async {
            for n in 0..8 {
                act(&records.clone().on(1), n).await;
                act(&records.clone().on(2), n).await;
            }
            anchor(&records.clone().on(2), 100).await;
            act(&records.clone().on(1), 101).await;
        });
        drop((records, kv));
        assert_eq!(faults(engine, path), [""; 0], "{engine:?}");
        // What came after the anchor can be cut unseen by it: therefore anchors are written again and again.
        let kv = open(engine, path);
        block_on(cut(&kv, 1, 9));
        drop(kv);
        assert_eq!(faults(engine, path), [""; 0], "{engine:?}");
        let kv = open(engine, path);
        block_on(cut(&kv, 1, 6));
        drop(kv);
        let told = faults(engine, path);
        assert_eq!(told.len(), 1, "{engine:?}: {told:?}");
        assert!(told[0].contains("node 2: the anchor 2026-11-21T12:00:00"), "{engine:?}: {told:?}");
        assert!(told[0].ends_with("names link 8 of node 1, which is not there: that chain was cut"), "{told:?}");
        // The chain grows again, another one, and is found out all the same.
        let records = Records::new(open(engine, path)).on(1);
        block_on(async {
            for n in 300..305 {
                act(&records, n).await;
            }
        });
        drop(records);
        let told = faults(engine, path);
        assert_eq!(told.len(), 1, "{engine:?}: {told:?}");
        assert!(told[0].ends_with("link 8 of node 1, which has another hash: that chain was written anew"), "{told:?}");
        assert_eq!(node_key(LINKS, 1, 8).id.len(), 10);
    });
}

#[test]
fn faults_say_on_which_chain_they_are() {
    each_engine(|engine, path| {
        let kv = open(engine, path);
        let records = Records::new(kv.clone());
        block_on(async {
            for n in 0..4 {
                act(&records.clone().on(5), n).await;
            }
            kv.commit(delete(node_key(LINKS, 5, 2))).await.expect("removed");
        });
        drop((records, kv));
        let told = faults(engine, path).join("\n");
        assert!(told.contains("operation log: node 5: link 2 is missing"), "{engine:?}: {told}");
    });
}

#[tokio::test]
async fn a_server_anchors_the_chains_of_all_other_nodes_and_says_which_node_it_is() {
    let mut world = World::with(|config| config.server.node = 3).await;
    let operator = Operator::of(&world);
    operator.post("/customers", &json!({ "name": "Buyer", "kind": "individual" })).await;
    world.ra().anchor().await.unwrap();
    let seen = operator.get("/operations").await.expect(200).json();
    assert_eq!(seen["items"][0]["node"], 3, "{seen}");
    let anchors = |seen: &Value| {
        let items = seen["items"].as_array().unwrap().iter();
        items.filter(|item| item["act"] == "anchored").cloned().collect::<Vec<_>>()
    };
    assert!(anchors(&seen).is_empty(), "it is alone: {seen}");
    let others = world
        .with_store(async |kv| {
            for node in [1, 9] {
                act(&Records::new(kv.clone()).on(node), 1).await;
            }
            let mut heads = Records::new(kv).heads().await.unwrap();
            heads.retain(|head| head.node != 3);
            heads
        })
        .await;
    assert_eq!(others.len(), 2);
    world.ra().anchor().await.unwrap();
    let seen = Operator::of(&world).get("/operations?act=anchored").await.expect(200).json();
    assert_eq!(anchors(&seen)[0]["about"]["heads"], json!(others), "{seen}");
    let report = world.checked().await;
    assert_eq!((report.faults, report.chains.len()), (vec![], 3));
    world.with_store(async |kv| kv.commit(delete(node_key(LINKS, 9, 1))).await.unwrap()).await;
    let told = world.checked().await.faults.join("\n");
    assert!(told.contains("names link 1 of node 9, which is not there"), "{told}");
}

/// The heads that a node told in its anchors, oldest first.
async fn anchors_of(cluster: &Cluster, node: u16) -> Vec<ChainHead> {
    let wanted = OperationFilter { act: Some("anchored".to_owned()), limit: 1_000, ..OperationFilter::default() };
    let found = cluster.ra().operations(&wanted).await.unwrap().items;
    let heads = found.into_iter().filter_map(|operation| match operation.event.act {
        Act::Anchored { heads } if operation.event.node == Some(node) => Some(heads),
        _ => None,
    });
    heads.flatten().collect()
}

#[tokio::test]
async fn nodes_anchor_the_chains_of_one_another_each_hour() {
    let cluster = Cluster::start(2, EngineName::Redb, 20, 20).await;
    let drain = async || {
        for node in 0..2 {
            cluster.node(node).drain().await.unwrap();
        }
    };
    cluster.customer().await;
    drain().await;
    // The second node had nothing to say until now, and then the first has a chain to anchor.
    let begin = [anchors_of(&cluster, 0).await.len(), anchors_of(&cluster, 1).await.len()];
    assert_eq!(begin, [0, 1]);
    for hour in 1..4 {
        cluster.clock.advance(HOUR / 2);
        drain().await;
        cluster.clock.advance(HOUR / 2);
        drain().await;
        drain().await;
        for (node, other) in [(0, 1), (1, 0)] {
            let told = anchors_of(&cluster, node).await;
            assert_eq!(told.len(), begin[usize::from(node)] + hour, "hour {hour}: {told:#?}");
            assert!(told.iter().all(|head| head.node == other), "{told:#?}");
            assert!(told.windows(2).all(|pair| pair[0].sequence < pair[1].sequence), "{told:#?}");
        }
    }
}
