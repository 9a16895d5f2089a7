//! The whole server under load, killed again and again: whatever it has answered stays true.

mod check;
mod ledger;
mod load;
mod ruins;

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chancery::domain::Serial;
use chancery::domain::id::random_bytes;
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::support::client::{Client, csr};
use crate::support::dns::{Dns, Failure};
use crate::support::server::{Installation, Process, announce};
use crate::support::target::Target;
use crate::support::wire::{About, PATIENCE, Traffic, Version, Wire};
use check::{all_answers_hold, all_orders_can_be_finished};
use load::{Actor, Rng, Session};
use ruins::Ruins;

/// How often the server is killed, all on one data directory.
const KILLS: usize = 54;

/// How many clients ask at once.
const ACTORS: usize = 6;

/// What kills fall into, in turn; none is the start of the server. Issuance has most to lose.
const MOMENTS: [Option<About>; 10] = [
    None,
    Some(About::Finalize),
    Some(About::NewAccount),
    Some(About::NewOrder),
    Some(About::Challenge),
    Some(About::Finalize),
    Some(About::Certificate),
    Some(About::Revocation),
    Some(About::KeyChange),
    Some(About::Account),
];

/// The longest time from the request that a kill is aimed at to the kill: such a request takes some tens of
/// milliseconds, so that kills fall before, into and behind what it does.
const AIM: Duration = Duration::from_millis(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_was_answered_stays_true_however_often_the_server_is_killed() {
    let began = Instant::now();
    let mut ordeal = Ordeal::new().await;
    for kill in 0..KILLS {
        // The first start, which makes the keys, is the longest and is cut short more than once.
        let moment = if kill < 3 { None } else { MOMENTS[kill % MOMENTS.len()] };
        match moment {
            None => ordeal.kill_the_start().await,
            Some(about) => ordeal.kill_at_work(about).await,
        }
        ordeal.look_at_the_ruins().await;
    }
    let certificates = ordeal.end().await;
    announce(&format!(
        "crash: seed {}, {KILLS} kills, {} signed requests answered, {certificates} certificates, {} serials \
         caught by a kill, {:.0?}; asked and unanswered at a kill: {:?}",
        ordeal.seed,
        ordeal.answers,
        ordeal.suspended.len(),
        began.elapsed(),
        ordeal.unanswered,
    ));
}

/// One data directory and what its server goes through.
struct Ordeal {
    installation: Installation,
    web: Arc<Target>,
    _dns: Dns,
    actors: Vec<Actor>,
    seed: u64,
    rng: Rng,
    /// How long the last start took.
    start: Duration,
    /// Serials that a killed process may have signed without recording the certificate.
    suspended: Vec<Serial>,
    answers: usize,
    unanswered: BTreeMap<About, usize>,
}

impl Ordeal {
    async fn new() -> Self {
        let seed = match std::env::var("CRASH_SEED") {
            Ok(seed) => seed.parse().expect("CRASH_SEED is a number"),
            Err(_) => u64::from(u32::from_le_bytes(random_bytes())),
        };
        println!("CRASH_SEED={seed} draws the same again");
        let (dns, web) = (Dns::start().await, Arc::new(Target::start().await));
        dns.default_address("127.0.0.1");
        Self {
            installation: Installation::new(&dns, &web),
            web,
            _dns: dns,
            actors: (0..ACTORS).map(|_| Actor::default()).collect(),
            seed,
            rng: Rng(seed),
            start: Duration::from_millis(500),
            suspended: Vec::new(),
            answers: 0,
            unanswered: BTreeMap::new(),
        }
    }

    async fn kill_the_start(&mut self) {
        let mut process = self.installation.spawn();
        tokio::time::sleep(self.start.mul_f64(self.rng.below(1100) as f64 / 1000.0)).await;
        process.kill();
    }

    async fn kill_at_work(&mut self, about: About) {
        let (mut process, wire) = self.start().await;
        self.check(&wire, false).await;

        let traffic = Arc::new(Traffic::default());
        let mut clients = JoinSet::new();
        for (number, actor) in self.actors.iter().enumerate() {
            let version = if number % 2 == 0 { Version::Http1 } else { Version::Http2 };
            let session = Session::new(&wire, version, &traffic, &self.web);
            clients.spawn(actor.clone().work(session, Rng(self.rng.next()), Some(about)));
        }
        while_at_work(&mut clients, Self::moment(&mut self.rng, &traffic, about)).await;
        let unanswered = traffic.breaks_off();
        process.kill();
        // Answers that were on their way are still written down.
        while_at_work(&mut clients, traffic.has_lost(ACTORS)).await;
        clients.shutdown().await;
        self.answers += traffic.answers();
        for (about, count) in unanswered {
            *self.unanswered.entry(about).or_default() += count;
        }
    }

    /// When to kill: as soon as an answer is there, which must not have been given too early, or at any time after a
    /// request went out.
    async fn moment(rng: &mut Rng, traffic: &Traffic, about: About) {
        let count = 1 + rng.below(4) as usize;
        if rng.below(3) == 0 {
            return traffic.has_answered(about, count).await;
        }
        let aim = AIM.mul_f64(rng.below(1000) as f64 / 1000.0);
        traffic.reaches(about, count).await;
        tokio::time::sleep(aim).await;
    }

    async fn start(&mut self) -> (Process, Wire) {
        let began = Instant::now();
        let started = self.installation.start().await;
        self.start = began.elapsed();
        started
    }

    /// Checks what was told: everything, or what was asked for since the last check and a part of the rest.
    async fn check(&mut self, wire: &Wire, everything: bool) {
        let traffic = Arc::new(Traffic::default());
        let session = || Session::new(wire, Version::Http2, &traffic, &self.web);
        let part = self.rng.below(8);
        // Accounts are allocated anywhere, which is as good as a draw.
        let turn = move |account: &ledger::Known| Arc::as_ptr(account) as u64 / 64 % 8 == part;
        let due = move |account: &ledger::Known| everything || account.lock().touched || turn(account);
        in_time(all_answers_hold(&self.actors, session, due)).await;
        if everything {
            in_time(all_orders_can_be_finished(&session(), &self.actors)).await;
        }
        self.answers += traffic.answers();
    }

    async fn look_at_the_ruins(&mut self) {
        let store = self.installation.store();
        if store.exists() {
            let ruins = Ruins::of_copy(&store).await;
            ruins.nothing_waits_in_vain();
            self.suspended.extend(ruins.suspended());
        }
    }

    /// Checks everything, finishes what can be finished, stops the server in order, and reads its books. How many
    /// certificates there are.
    async fn end(&mut self) -> usize {
        let (mut process, wire) = self.start().await;
        self.check(&wire, true).await;
        self.check(&wire, true).await;
        process.terminate();
        assert_eq!(process.end().await.code(), Some(0));
        let ruins = Ruins::of(&self.installation.store()).await;
        ruins.nothing_waits_in_vain();
        ruins.serials_were_used_once(&self.suspended);
        ruins.agree_with(&self.actors);
        ruins.certificates()
    }
}

/// Waits for something while clients work; none of them ever ends but by finding a fault.
async fn while_at_work(clients: &mut JoinSet<()>, event: impl Future<Output = ()>) {
    tokio::select! {
        () = in_time(event) => {}
        Some(ended) = clients.join_next() => match ended {
            Err(fault) => std::panic::resume_unwind(fault.into_panic()),
            Ok(()) => unreachable!("clients work without end"),
        },
    }
}

async fn in_time<T>(event: impl Future<Output = T>) -> T {
    timeout(PATIENCE, event).await.expect("in time")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_first_start_that_was_killed_is_made_good_by_the_next() {
    let (dns, web) = (Dns::start().await, Target::start().await);
    let mut rng = Rng(u64::from(u32::from_le_bytes(random_bytes())));
    let mut first_start = Duration::from_millis(700);
    for _ in 0..8 {
        let installation = Installation::new(&dns, &web);
        let mut process = installation.spawn();
        tokio::time::sleep(first_start.mul_f64(rng.below(1000) as f64 / 1000.0)).await;
        process.kill();
        let began = Instant::now();
        let (_process, wire) = installation.start().await;
        first_start = began.elapsed();
        Client::new(wire.router(Version::Http1, &Arc::default()), &wire.base).new_account().await.expect(201);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_lets_a_finalize_end_that_has_begun_and_the_server_exits_with_0() {
    let (dns, web) = (Dns::start().await, Target::start().await);
    dns.default_address("127.0.0.1");
    let installation = Installation::new(&dns, &web);
    let (mut process, wire) = installation.start().await;
    let mut client = Client::new(wire.router(Version::Http2, &Arc::default()), &wire.base);
    client.new_account().await.expect(201);
    web.serve_any(&client.thumbprint());
    let names = ["www.example.com"];
    let order = client.new_order(&names).await.expect(201).json();
    for authz in client.authorizations(&order).await {
        client.respond(&crate::support::client::challenge(&authz, "http-01")).await.expect(200);
    }

    // Another CAA identity: finalize looks at CAA again, and waits for a DNS server that keeps silent.
    dns.fail_type(names[0], "CAA", Failure::Drop);
    let asked = dns.queries().len();
    let other = json!({ "identifiers": [{ "type": "dns", "value": names[0] }], "profile": "other" });
    let placed = client.new_order_of(other).await.expect(201);
    assert_eq!(placed.json()["status"], "ready");
    let finalize = tokio::spawn({
        let (client, order) = (client.clone(), placed.json());
        async move { client.finalize(&order, &csr(&["www.example.com"]).0).await }
    });
    in_time(async {
        while dns.queries().len() == asked {
            tokio::task::yield_now().await;
        }
    })
    .await;
    process.terminate();
    dns.clear(names[0]);

    let answer = in_time(finalize).await.unwrap().expect(200).json();
    assert_eq!(answer["status"], "valid", "{answer}");
    assert_eq!(in_time(process.end()).await.code(), Some(0));
}
