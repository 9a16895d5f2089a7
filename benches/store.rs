//! Durable commits a second, their CPU time and latency, for each embedded engine with 1, 16 and 64 writers.
//!
//! Then what the chain over the audit events adds to a commit: the same sets with their event in the space that is linked and
//! in another, in turns.
//!
//! `cargo bench --bench store [-- sled|redb]`, in the system's temporary directory or in `CHANCERY_BENCH_DIR`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use chancery::store::{self, EngineName, Guard, Key, Kv, Settings, WriteSet};

const RUN: Duration = Duration::from_secs(4);
const RECORD_BYTES: usize = 600;

fn main() {
    println!(
        "{:8} {:>8} {:>12} {:>14} {:>10} {:>10}",
        "engine", "writers", "commits/s", "cpu us/commit", "p50 us", "p99 us"
    );
    // cargo adds an argument of its own.
    let one = std::env::args().skip(1).find(|argument| !argument.starts_with("--"));
    for engine in [EngineName::Sled, EngineName::Redb] {
        if one.as_ref().is_some_and(|one| !format!("{engine:?}").eq_ignore_ascii_case(one)) {
            continue;
        }
        for writers in [1, 16, 64] {
            measure(engine, writers);
        }
        for writers in [1, 16, 64] {
            compare(engine, writers);
        }
    }
}

/// Rounds of commits whose event is linked, and rounds whose is not, by turns on two stores: CPU time for each.
fn compare(engine: EngineName, writers: u64) {
    const ROUNDS: u64 = 12;
    let parent = std::env::var_os("CHANCERY_BENCH_DIR").map_or_else(std::env::temp_dir, Into::into);
    let dir = tempfile::tempdir_in(parent).expect("a directory");
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let each = 3_000 / ROUNDS * (4 * writers).min(64) / writers;
    let mut spent = [Duration::ZERO; 2];
    let spaces = [89, 90];
    let stores = spaces.map(|space| {
        let path = dir.path().join(space.to_string());
        store::open(&Settings { engine, path, url: None }).expect("the store opens")
    });
    for round in 0..ROUNDS * 2 {
        let which = (round % 2) as usize;
        let cpu = cpu_time();
        runtime.block_on(async {
            let tasks: Vec<_> = (0..writers)
                .map(|writer| {
                    let (store, from) = (stores[which].clone(), (round * writers + writer) * each);
                    tokio::spawn(async move {
                        for n in from..from + each {
                            store.commit(use_case(n, spaces[which])).await.expect("committed");
                        }
                    })
                })
                .collect();
            for task in tasks {
                task.await.expect("the writer ends");
            }
        });
        spent[which] += cpu_time() - cpu;
    }
    let [plain, linked] = spent.map(|spent| spent.as_secs_f64() * 1e6 / (ROUNDS * writers * each) as f64);
    let ratio = linked / plain;
    println!(
        "{:8} {writers:8} an event: {plain:.1} us, linked: {linked:.1} us, ratio {ratio:.3}",
        format!("{engine:?}")
    );
}

/// What a use case writes: two records, an index row, an event.
fn use_case(n: u64, events: u8) -> WriteSet {
    let spread = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let id = format!("{spread:016x}{n:06x}").into_bytes();
    let record = |space| (Key { space, id: id.clone() }, "r".repeat(RECORD_BYTES).into());
    let event = [n.to_be_bytes(), spread.to_be_bytes()].concat();
    let puts = vec![
        record(1),
        record(2),
        (Key { space: 100, id: id.clone() }, format!("\"{n}\"").into()),
        (Key { space: events, id: event }, "e".repeat(250).into()),
    ];
    let checks = vec![(Key { space: 1, id }, Guard::Absent)];
    WriteSet { checks, puts, ..WriteSet::default() }
}

fn measure(engine: EngineName, writers: u64) {
    let parent = std::env::var_os("CHANCERY_BENCH_DIR").map_or_else(std::env::temp_dir, Into::into);
    let dir = tempfile::tempdir_in(parent).expect("a directory");
    let settings = Settings { engine, path: dir.path().to_owned(), url: None };
    let store = store::open(&settings).expect("the store opens");
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let next = Arc::new(AtomicU64::new(0));
    let (begin, cpu) = (Instant::now(), cpu_time());
    let mut latencies: Vec<Duration> = runtime.block_on(async {
        let tasks: Vec<_> = (0..writers).map(|_| tokio::spawn(write(store.clone(), next.clone(), begin))).collect();
        let mut latencies = Vec::new();
        for task in tasks {
            latencies.extend(task.await.expect("the writer ends"));
        }
        latencies
    });
    let (wall, cpu) = (begin.elapsed(), cpu_time() - cpu);
    drop(store);
    let reopening = Instant::now();
    drop(store::open(&settings).expect("the store opens again"));
    let reopened = reopening.elapsed();
    latencies.sort();
    let commits = latencies.len() as f64;
    println!(
        "{:8} {writers:8} {:12.0} {:14.1} {:10} {:10} {:10}",
        format!("{engine:?}"),
        commits / wall.as_secs_f64(),
        cpu.as_secs_f64() * 1e6 / commits,
        latencies[latencies.len() / 2].as_micros(),
        latencies[latencies.len() * 99 / 100].as_micros(),
        reopened.as_millis(),
    );
}

/// New records under spread ids, one after the other, until the time is up.
async fn write(store: Arc<dyn Kv>, next: Arc<AtomicU64>, begin: Instant) -> Vec<Duration> {
    let mut latencies = Vec::new();
    while begin.elapsed() < RUN {
        let n = next.fetch_add(1, Ordering::Relaxed);
        let id = format!("{:016x}{n:06x}", n.wrapping_mul(0x9e37_79b9_7f4a_7c15)).into_bytes();
        let key = Key { space: 1, id };
        let value = format!("{{\"n\":{n},\"text\":\"{}\"}}", "x".repeat(RECORD_BYTES - 30));
        let checks = vec![(key.clone(), Guard::Absent)];
        let set = WriteSet { checks, puts: vec![(key, value.into())], ..WriteSet::default() };
        let asked = Instant::now();
        store.commit(set).await.expect("committed");
        latencies.push(asked.elapsed());
    }
    latencies
}

/// CPU time of this process so far, in user and system mode, as Linux counts it in hundredths of a second.
fn cpu_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux");
    let after_name = stat.rsplit(')').next().expect("the name is in parentheses");
    let ticks: u64 = after_name.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}
