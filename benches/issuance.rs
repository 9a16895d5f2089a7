//! Whole issuances against a child server: how many a second, and what each costs the server.
//!
//! Every certificate is ordered over HTTPS with an ES256 account, validated by http-01 and CAA over loopback DNS, and
//! signed for a fresh P-256 key; every commit is flushed. The load shares the machine with the server, so what the load
//! costs is part of the rate; the server's own CPU time is read from the kernel. `cargo bench --bench issuance`.

mod issuing;
#[expect(dead_code, reason = "each bench uses its own part of the load")]
mod load;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use issuing::{dns_server, issue, web_server};
use load::{Account, Server};
use parking_lot::Mutex;

fn main() {
    // `cargo bench` and `cargo test --benches` pass flags of their own.
    let seconds = std::env::var("CHANCERY_BENCH_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(10);
    let engine = std::env::var("CHANCERY_BENCH_ENGINE").unwrap_or_else(|_| "sled".to_owned());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(run(Duration::from_secs(seconds), &engine));
}

async fn run(length: Duration, engine: &str) {
    let thumbprints: Arc<Mutex<HashMap<String, String>>> = Arc::default();
    let web = web_server(thumbprints.clone()).await;
    let dns = dns_server().await;
    let catalog = concat!(env!("CARGO_MANIFEST_DIR"), "/config/pebble-catalog.toml");
    let validation = format!("http_port = {}\nresolvers = [\"{dns}\"]\nallow_private_addresses = true", web.port());
    let server = Server::start(catalog.as_ref(), "default_product = \"default\"", &validation, engine);
    println!("engine {engine}, {} s each, load and server on the same cores", length.as_secs());
    println!("{:<34} {:>10} {:>12} {:>9} {:>9}", "load", "issued/s", "server CPU", "p50", "p99");
    for (clients, shared) in [(1, false), (8, false), (64, false), (64, true)] {
        let mut accounts = Vec::new();
        for number in 0..if shared { 1 } else { clients } {
            let account = Account::register(&server).await;
            thumbprints.lock().insert(format!("a{number}"), account.thumbprint.clone());
            accounts.push(Arc::new(account));
        }
        let label = match shared {
            true => format!("{clients} at once, one account"),
            false => format!("{clients} clients, an account each"),
        };
        measure(&server, &accounts, clients, length, &label).await;
    }
}

async fn measure(server: &Server, accounts: &[Arc<Account>], clients: usize, length: Duration, label: &str) {
    let issued = Arc::new(AtomicUsize::new(0));
    let times: Arc<Mutex<Vec<Duration>>> = Arc::default();
    let (cpu, began) = (server.cpu(), Instant::now());
    let load = (0..clients).map(|client| {
        let (issued, times) = (issued.clone(), times.clone());
        let number = client % accounts.len();
        let account = accounts[number].clone();
        tokio::spawn(async move {
            let mut session = account.session();
            while began.elapsed() < length {
                let name = format!("n{}.a{number}.bench.test", issued.fetch_add(1, Ordering::Relaxed));
                let start = Instant::now();
                issue(&mut session, &name).await;
                times.lock().push(start.elapsed());
            }
        })
    });
    let load: Vec<_> = load.collect();
    for task in load {
        task.await.expect("an issuance failed");
    }
    let (cpu, wall) = (server.cpu() - cpu, began.elapsed());
    let mut times = std::mem::take(&mut *times.lock());
    times.sort();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
    println!(
        "{label:<34} {:>10.0} {:>9.2} ms {:>6.1} ms {:>6.1} ms",
        times.len() as f64 / wall.as_secs_f64(),
        cpu.as_secs_f64() * 1e3 / times.len() as f64,
        at(0.5),
        at(0.99),
    );
}
