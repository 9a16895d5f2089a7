//! What the size of the catalogue costs newOrder: server CPU for an order of the free product, with that product alone and
//! with the whole catalogue, in turns on two servers at once, so that a noisy machine is as noisy for either.
//! `cargo bench --bench orders`.

#[expect(dead_code, reason = "each bench uses its own part of the load")]
mod load;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use load::{Account, Server, text};

/// Orders of one account: as many as its quota has (QUOTA-01).
const ORDERS: usize = 20;
const PRODUCT: &str = "trustasia-dv-free";

fn main() {
    let rounds = std::env::var("CHANCERY_BENCH_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(12);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(run(rounds));
}

async fn run(rounds: usize) {
    let scratch = tempfile::Builder::new().prefix("bench").tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let whole = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/config/catalog.toml"));
    let single = scratch.path().join("single.toml");
    std::fs::write(&single, with_one_product(&whole)).unwrap();
    let servers = [&single, &whole].map(|catalog| {
        Server::start(catalog, &format!("default_product = \"{PRODUCT}\""), "allow_private_addresses = true", "sled")
    });
    let mut ratios = Vec::new();
    let mut totals = [Duration::ZERO; 2];
    for round in 0..rounds + 1 {
        let mut spent = [Duration::ZERO; 2];
        // Each server goes first as often as the other.
        for place in [round % 2, (round + 1) % 2] {
            spent[place] = orders(&servers[place], round).await;
        }
        // The first round warms up.
        if round > 0 {
            ratios.push(spent[1].as_secs_f64() / spent[0].as_secs_f64());
            totals.iter_mut().zip(spent).for_each(|(total, spent)| *total += spent);
        }
    }
    ratios.sort_by(f64::total_cmp);
    let each = |total: Duration| total.as_secs_f64() * 1e6 / (rounds * ACCOUNTS * ORDERS) as f64;
    println!("{} rounds of {} orders on each server", rounds, ACCOUNTS * ORDERS);
    println!("{:<24} {:>8.1} us of server CPU an order", "one product", each(totals[0]));
    println!("{:<24} {:>8.1} us of server CPU an order", "the whole catalogue", each(totals[1]));
    println!(
        "ratio {:.3}; by round: least {:.3}, median {:.3}, most {:.3}",
        totals[1].as_secs_f64() / totals[0].as_secs_f64(),
        ratios[0],
        ratios[ratios.len() / 2],
        ratios[ratios.len() - 1]
    );
}

/// Accounts that order at the same time.
const ACCOUNTS: usize = 24;

/// Server CPU for so many newOrder requests; accounts and their first nonces are made before.
async fn orders(server: &Server, round: usize) -> Duration {
    let mut sessions = Vec::new();
    for _ in 0..ACCOUNTS {
        let mut session = Arc::new(Account::register(server).await).session();
        let kid = session.account.kid().to_owned();
        session.json(&kid, "").await;
        sessions.push(session);
    }
    let before = server.cpu();
    let load = sessions.into_iter().enumerate().map(|(number, mut session)| {
        tokio::spawn(async move {
            let url = text(&session.account.directory["newOrder"]).to_owned();
            for order in 0..ORDERS {
                // Each order has a primary domain of its own.
                let name = format!("shop.zone-{round}-{number}-{order}.cn");
                session.json(&url, &format!(r#"{{"identifiers":[{{"type":"dns","value":"{name}"}}]}}"#)).await;
            }
        })
    });
    for task in load.collect::<Vec<_>>() {
        task.await.expect("an order failed");
    }
    server.cpu() - before
}

/// The catalogue with all its sections, and of the products that one.
fn with_one_product(catalog: &Path) -> String {
    let text = std::fs::read_to_string(catalog).unwrap();
    let mut parts = text.split("[[products]]");
    let head = parts.next().unwrap().to_owned();
    let wanted = format!("id = \"{PRODUCT}\"");
    let product = parts.find(|part| part.contains(&wanted)).expect("the product is there");
    format!("{head}[[products]]{product}")
}
