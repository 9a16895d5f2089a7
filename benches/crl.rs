//! Revocation lists with very many entries: size, and time to load, to build and sign, to revoke one more and publish, to
//! fetch; memory.
//!
//! `cargo bench --bench crl [-- 1000000]`, in the system's temporary directory or in `CHANCERY_BENCH_DIR`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::Request;
use chancery::app::App;
use chancery::clock::{Clock as _, SystemClock};
use chancery::config::Config;
use chancery::domain::audit::Act;
use chancery::domain::certificate::{Certificate, CertificateStanding, RevocationReason};
use chancery::domain::csr::SubjectKey;
use chancery::domain::{AccountId, OrderId, Serial, Timestamp};
use chancery::ra::Authority;
use chancery::store::records::{Batch, ListState, Records, Revocation};
use tower::ServiceExt as _;

const ISSUER: &str = "chancery";
const DAY: Duration = Duration::from_secs(86_400);

fn main() {
    // cargo adds an argument of its own.
    let count = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(1_000_000);
    let parent = std::env::var_os("CHANCERY_BENCH_DIR").map_or_else(std::env::temp_dir, Into::into);
    let directory = tempfile::tempdir_in(parent).expect("a directory");
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let mut config = Config::default();
    config.server.data_dir = directory.path().to_owned();
    config.ca.rsa_issuers = false;
    let default = config.ca.crl_shards;
    let ready = runtime.block_on(fill(&config, count));
    println!("{count} revoked, written to the store in {:.1} s", ready.as_secs_f64());
    for shards in [1, default] {
        config.ca.crl_shards = shards;
        runtime.block_on(measure(&config, shards));
    }
}

/// A store in which so many certificates are revoked, and one is not.
async fn fill(config: &Config, count: usize) -> Duration {
    let begun = Instant::now();
    let records = Records::new(chancery::store::open(&config.store_settings()).expect("the store opens"));
    let now = SystemClock.now();
    let reasons = [RevocationReason::KeyCompromise, RevocationReason::Superseded, RevocationReason::Unspecified];
    let mut left = count;
    while left > 0 {
        let mut batch = Batch::of(Act::CrlPublished { issuer: ISSUER.to_owned() }, now);
        for number in 0..left.min(1_000) {
            let reason = reasons[number % reasons.len()];
            let (issuer, serial) = (ISSUER.to_owned(), Serial::random());
            batch = batch.put(&Revocation { issuer, serial, at: now, reason, not_after: now + 90 * DAY });
        }
        records.commit(batch).await.expect("committed");
        left -= left.min(1_000);
    }
    for _ in 0..2 {
        let good = good_certificate(now);
        let act = Act::CertificateIssued { serial: good.serial, order: good.order.clone(), signature: None };
        records.commit(Batch::of(act, now).insert(&good)).await.expect("committed");
    }
    begun.elapsed()
}

fn good_certificate(now: Timestamp) -> Certificate {
    Certificate {
        serial: Serial::random(),
        issuer: ISSUER.to_owned(),
        account: AccountId::random(),
        order: OrderId::random(),
        product: "trustasia-dv-free".to_owned(),
        identifiers: Vec::new(),
        key: SubjectKey::P256,
        spki_sha256: [0; 32],
        not_before: now,
        not_after: now + 90 * DAY,
        paid_until: None,
        der: Vec::new(),
        issued: now,
        standing: CertificateStanding::Good,
    }
}

async fn measure(config: &Config, shards: u16) {
    let opened = Instant::now();
    let (good, forgotten) = {
        let records = Records::new(chancery::store::open(&config.store_settings()).expect("the store opens"));
        let all = records.list::<Certificate>(b"", None, 10).await.expect("read");
        let good = all.iter().find(|found| !found.is_revoked()).expect("two were made").serial;
        // So that only this number of shards counts.
        (good, records.find::<ListState>(ISSUER).await.expect("read"))
    };
    if let Some(state) = forgotten {
        let records = Records::new(chancery::store::open(&config.store_settings()).expect("the store opens"));
        let act = Act::CrlPublished { issuer: ISSUER.to_owned() };
        let next = ListState { shards: Vec::new(), ..(*state).clone() };
        records.commit(Batch::of(act, SystemClock.now()).replace(&state, &next)).await.expect("committed");
    }
    println!("--- {shards} shards; the store opens in {:.1} s", opened.elapsed().as_secs_f64());
    let before = memory();
    let app = App::build(config, Arc::new(SystemClock)).expect("the server starts");
    let timed = Instant::now();
    app.ra.resume().await.expect("resumed");
    println!("load, build, lint and sign all lists: {:.2} s", timed.elapsed().as_secs_f64());
    println!("memory: {} MB more, {} MB at most so far", memory().0.saturating_sub(before.0), memory().1);

    let shard = shards - 1;
    let fetch = async || {
        let path = format!("/crl/{ISSUER}/{shard}.crl");
        let request = Request::get(path).body(Body::empty()).expect("a request");
        let answer = app.pki.clone().oneshot(request).await.expect("an answer");
        assert_eq!(answer.status(), 200);
        axum::body::to_bytes(answer.into_body(), usize::MAX).await.expect("a body")
    };
    println!("size of a list: {} octets", fetch().await.len());
    let timed = Instant::now();
    for _ in 0..1_000 {
        fetch().await;
    }
    println!("GET, without a network: {:.1} us", timed.elapsed().as_secs_f64() * 1e3);

    let timed = Instant::now();
    app.ra.revoke_serial(Authority::Operator, &good, RevocationReason::Superseded).await.expect("revoked");
    println!("revoke one more and publish: {:.3} s", timed.elapsed().as_secs_f64());
    println!("memory: {} MB, {} MB at most", memory().0, memory().1);
    let timed = Instant::now();
    app.ra.drain().await.expect("drained");
    println!("a look for what other nodes revoked: {:.4} s", timed.elapsed().as_secs_f64());
    app.ra.abandon_jobs();
    let ra = Arc::downgrade(&app.ra);
    drop(app);
    while ra.upgrade().is_some() {
        tokio::task::yield_now().await;
    }
}

/// Resident memory of this process now, and at most, in MB.
fn memory() -> (u64, u64) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = |name: &str| {
        let found = status.lines().find_map(|line| line.strip_prefix(name)?.trim().strip_suffix(" kB")?.parse().ok());
        found.unwrap_or(0u64) / 1024
    };
    (line("VmRSS:"), line("VmHWM:"))
}
