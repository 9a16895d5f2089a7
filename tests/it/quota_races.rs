//! Quotas of free certificates while everybody does everything at once: exactly what the rules give counts, whoever
//! overtakes whom and whenever the server is killed.

mod acts;
mod book;
pub mod cluster;
mod model;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chancery::clock::Clock as _;
use chancery::domain::account::Holder;
use chancery::domain::certificate::Certificate;
use chancery::domain::id::random_bytes;
use chancery::domain::quota::Pool;
use chancery::domain::{AccountId, Timestamp};
use chancery::store::EngineName;
use parking_lot::Mutex;
use rcgen::KeyPair;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::acme_tools::{DAY, cert_id, leaf, order_of};
use crate::support::client::{Client, challenge, csr_with};
use crate::support::server::announce;
use acts::{Actor, Party, Scene, moment, over, zone};
use book::{Known, Scope, Stage, shown};
use cluster::Cluster;
use model::{Count, Model, Seen, State};

/// Free certificates of a holder, and of a primary domain: so few that limits are met all the time.
const LIMITS: [usize; 2] = [3, 4];

const DOMAINS: usize = 4;

/// Numbers that follow from a seed (SplitMix64).
pub struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_counts_is_what_the_rules_give_whoever_overtakes_whom() {
    Play::begin("one node", 1, EngineName::Sled).await.rounds(15).await;
}

/// The queues of one process are no help here: what decides are the guards of the commits.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_counts_is_what_the_rules_give_when_two_nodes_share_a_store() {
    Play::begin("two nodes", 2, EngineName::Sled).await.rounds(15).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_counts_is_what_the_rules_give_on_redb_too() {
    Play::begin("two nodes on redb", 2, EngineName::Redb).await.rounds(6).await;
}

/// However many ask at once, the limit is the only reason why one is refused.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_rush_for_one_primary_domain_is_served_in_turn() {
    const CLIENTS: u64 = 120;
    let cluster = Cluster::start(1, EngineName::Sled, 1, 100).await;
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        clients.push(cluster.client(0, None).await);
    }
    let ask = async |client: Client, number| client.new_order(&[&format!("h{number}.zone.cn")]).await.status.as_u16();
    let mut asking: JoinSet<u16> = clients.into_iter().zip(0..CLIENTS).map(|(client, n)| ask(client, n)).collect();
    let mut answers: BTreeMap<u16, usize> = BTreeMap::new();
    while let Some(answer) = asking.join_next().await {
        *answers.entry(answer.unwrap()).or_default() += 1;
    }
    assert_eq!(answers, BTreeMap::from([(201, 100), (429, 20)]));
    assert_eq!(cluster.ra().domain_quota("zone.cn").await.unwrap().usage.usage.used, 100);
}

/// The slot of an original and its reissue is one: it does not go to somebody else by the revocation of the one, and then
/// stay with the other too.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_reissue_that_meets_the_revocation_of_its_original_never_makes_two_of_one_slot() {
    const PAIRS: usize = 40;
    let cluster = Cluster::start(1, EngineName::Sled, 1, 100).await;
    let mut prepared = Vec::new();
    for number in 0..PAIRS {
        let client = cluster.client(0, None).await;
        cluster.web.serve_any(&client.thumbprint());
        let id: AccountId = client.kid().rsplit('/').next().unwrap().parse().unwrap();
        let name = format!("zone-{number}.cn");
        let (first, keys) =
            (ready(&client, order_of(&[&name], json!({}))).await, [0, 1].map(|_| KeyPair::generate().unwrap()));
        let done = client.finalize(&first, &csr_with(&keys[0], &[&name])).await.expect(200).json();
        let der = leaf(&client.certificate(&done).await);
        let again = ready(&client, order_of(&[&name], json!({ "replaces": cert_id(&der) }))).await;
        let new_order = client.resource("newOrder").await;
        prepared.push(async move {
            let (reissuing, revoking) = (client.apart(), client.apart());
            let (reissued, taken) = tokio::join!(
                async {
                    yields([0, 0, 1, 0, 2][number % 5]).await;
                    reissuing.finalize(&again, &csr_with(&keys[1], &[&name])).await.expect(200).json()
                },
                async {
                    yields([0, 1, 0, 2, 0][number % 5]).await;
                    revoking.revoke_with(&keys[0], &der, None).await.expect(200);
                    let other = order_of(&[&format!("other-{number}.cn")], json!({}));
                    revoking.post(&new_order, &other).await.status.as_u16()
                }
            );
            (Holder::Account(id), reissued, taken)
        });
    }
    let mut pairs: JoinSet<_> = prepared.into_iter().collect();
    let mut outcomes: BTreeMap<(bool, u16), usize> = BTreeMap::new();
    while let Some(ended) = pairs.join_next().await {
        let (holder, reissue, taken) = ended.unwrap();
        let id = reissue["finalize"].as_str().unwrap().rsplit('/').nth(1).unwrap().to_owned();
        let certificates = cluster.ra().certificates(None, 1000).await.unwrap();
        let good = certificates.iter().any(|made| made.order.as_str() == id && !made.is_revoked());
        assert!(good != (taken == 201), "the reissue is good: {good}; the other order: {taken}");
        *outcomes.entry((good, taken)).or_default() += 1;
        let view = cluster.ra().quota_of(&holder).await.unwrap();
        assert_eq!(view.usage.any.used, 1, "{view:#?}");
    }
    announce(&format!("quota races, reissues and revocations: {outcomes:?}"));
}

/// Lets others go first so many times.
async fn yields(count: u64) {
    for _ in 0..count {
        tokio::task::yield_now().await;
    }
}

/// An order whose names are proven.
async fn ready(client: &Client, asked: Value) -> Value {
    let order = client.new_order_of(asked).await.expect(201);
    for authz in client.authorizations(&order.json()).await {
        client.respond(&challenge(&authz, "http-01")).await.expect(200);
    }
    client.post_as_get(order.location()).await.expect(200).json()
}

struct Play {
    what: &'static str,
    cluster: Cluster,
    scene: Scene,
    actors: Vec<Actor>,
    seed: u64,
    rng: Rng,
    /// For each order that was ever seen to count, whether it was deducted from a package.
    packaged: BTreeMap<String, bool>,
    probes: usize,
    kills: usize,
    began: Instant,
}

/// What must have happened for a play to show anything.
const KINDS: [&str; 3] = ["certificates", "refused for the account", "refused for the domain"];

impl Play {
    async fn begin(what: &'static str, nodes: usize, engine: EngineName) -> Self {
        let seed = match std::env::var("QUOTA_SEED") {
            Ok(seed) => seed.parse().expect("QUOTA_SEED is a number"),
            Err(_) => u64::from(u32::from_le_bytes(random_bytes())),
        };
        println!("QUOTA_SEED={seed} draws the same again");
        let began = Instant::now();
        let [account, domain] = LIMITS.map(|limit| limit as u32);
        let cluster = Cluster::start(nodes, engine, account, domain).await;
        let (mut actors, mut parties) = (Vec::new(), Vec::new());
        let mut join = |client, holder| actors.push(Actor { number: actors.len(), client, holder });
        let unbound = cluster.client(0, None).await;
        let id = unbound.kid().rsplit('/').next().unwrap().parse().unwrap();
        parties.push(Party { holder: Holder::Account(id), packages: 0, granted: 0 });
        join(unbound, 0);
        for number in 1..4 {
            let customer = cluster.customer().await;
            // Accounts of one customer ask different nodes.
            for node in 0..2 {
                join(cluster.client(node, Some(&customer)).await, number);
            }
            parties.push(Party { holder: Holder::Customer(customer), packages: 0, granted: 0 });
        }
        let scene = Scene {
            book: Arc::default(),
            parties: Arc::new(Mutex::new(parties)),
            elsewhere: Arc::default(),
            web: cluster.web.clone(),
            clock: cluster.clock.clone(),
            limits: LIMITS,
            domains: DOMAINS,
        };
        let packaged = BTreeMap::new();
        Self { what, cluster, scene, actors, seed, rng: Rng(seed), packaged, probes: 0, kills: 0, began }
    }

    async fn rounds(mut self, rounds: usize) {
        // Some more, if a drawing has left something out.
        for round in 0..rounds + 6 {
            if round >= rounds && self.has_seen_all() {
                break;
            }
            self.at_once().await;
            self.all_counts_hold().await;
            for _ in 0..3 {
                self.probe().await;
            }
            // Not too often: the CA's own certificates have an end too.
            if round % 3 == 2 {
                self.cluster.clock.advance((250 + self.rng.below(150) as u32) * DAY);
                self.all_counts_hold().await;
            }
        }
        self.end().await;
    }

    fn has_seen_all(&self) -> bool {
        let book = self.scene.book.lock();
        KINDS.iter().all(|kind| book.tally.contains_key(*kind))
    }

    /// Clients, operators and time at once; and often the end of the server amidst them.
    async fn at_once(&mut self) {
        let mut acts = JoinSet::new();
        let count = 20 + self.rng.below(20);
        for _ in 0..count {
            let (scene, rng) = (self.scene.clone(), Rng(self.rng.next()));
            if self.rng.chance(10) {
                acts.spawn(scene.happen(self.cluster.ra().clone(), rng));
            } else {
                let actor = &self.actors[self.rng.below(self.actors.len() as u64) as usize];
                acts.spawn(scene.act(Actor { client: actor.client.apart(), ..actor.clone() }, rng));
            }
        }
        let kill = self.rng.chance(40);
        let lasts = if kill { self.rng.below(count) } else { count };
        for _ in 0..lasts {
            acts.join_next().await.unwrap().unwrap();
        }
        if kill {
            yields(self.rng.below(200)).await;
            acts.abort_all();
            while let Some(ended) = acts.join_next().await {
                assert!(ended.is_ok() || ended.is_err_and(|ended| ended.is_cancelled()), "an act failed");
            }
            self.kills += 1;
            self.cluster.kill().await;
            self.actors.iter().for_each(|actor| actor.client.forget_nonce());
        }
        self.cluster.ra().drain().await.unwrap();
    }

    /// Looks at every order and certificate, and compares what the rules give with what the server says.
    async fn all_counts_hold(&mut self) -> Model {
        let model = self.look().await;
        let mut held = Vec::new();
        let parties = self.scene.parties.lock().clone();
        for (number, party) in parties.iter().enumerate() {
            let count = model.holder(number, LIMITS[0]);
            assert!(count.used <= LIMITS[0], "{party:?} has {count:?}");
            let view = self.cluster.ra().quota_of(&party.holder).await.unwrap();
            let any = view.usage.any;
            let told = Count { used: any.used as usize, next: any.next, open: any.open };
            assert_eq!(told, count, "{party:?}: {model:#?}\n{:#?}", view.ledger);
            let packages = &view.ledger.packages;
            let size: usize = packages.iter().map(|package| package.size as usize).sum();
            assert!((party.granted..=party.packages).contains(&size), "{party:?}: {packages:?}");
            let used = packages.iter().map(|package| package.spent as usize).sum();
            let reserved = packages.iter().map(|package| package.orders.len()).sum();
            assert_eq!((used, reserved), model.packaged(number), "{party:?}: {model:#?}\n{packages:#?}");
            let mut parties = self.scene.parties.lock();
            (parties[number].packages, parties[number].granted) = (size, size);
        }
        for domain in 0..DOMAINS {
            let count = model.domain(domain, LIMITS[1]);
            let view = self.cluster.ra().domain_quota(&zone(domain)).await.unwrap();
            let usage = view.usage.usage;
            let told = Count { used: usage.used as usize, next: usage.next, open: usage.open };
            assert_eq!(told, count, "{}: {model:#?}\n{:#?}", zone(domain), view.ledger);
            // Operators count in what there is, whatever the limit.
            let orders = count.used - view.usage.elsewhere as usize;
            assert!(orders <= LIMITS[1], "{}: {count:?}", zone(domain));
            held.extend(view.ledger.elsewhere.into_iter().map(|other| (Scope::Domain(domain), other.note)));
        }
        for order in &model.orders {
            let of_holder = model.on_holder(order).map(|_| (Scope::Holder(order.holder), order.url.clone()));
            let of_domain = model.on_domain(order).map(|_| (Scope::Domain(order.domain), order.url.clone()));
            held.extend(of_holder.into_iter().chain(of_domain));
        }
        self.scene.book.lock().settle(held);
        model
    }

    /// What there is: answers that clients got, and a look at what they can't know because the server was killed.
    async fn look(&mut self) -> Model {
        let certificates = self.cluster.ra().certificates(None, 1000).await.unwrap();
        assert!(certificates.len() < 1000);
        let certificates: BTreeMap<String, Certificate> =
            certificates.into_iter().map(|certificate| (certificate.order.to_string(), certificate)).collect();
        for domain in 0..DOMAINS {
            for slot in self.cluster.ra().domain_quota(&zone(domain)).await.unwrap().ledger.slots {
                let packaged = slot.pool == Pool::Package;
                assert_eq!(*self.packaged.entry(slot.order.to_string()).or_insert(packaged), packaged);
            }
        }
        let mut orders = Vec::new();
        for actor in self.actors.clone() {
            let found = self.orders_of(&actor).await;
            for known in found {
                let id = known.url.rsplit('/').next().unwrap().to_owned();
                let certificate = certificates.get(&id);
                if certificate.is_some_and(Certificate::is_revoked) {
                    // By a request whose answer was lost.
                    self.scene.book.lock().set(&known.url, &Stage::Over);
                }
                let state = match (&known.stage, certificate) {
                    (_, Some(certificate)) => State::Issued {
                        name: cert_id(&certificate.der),
                        over: over(&certificate.der),
                        revoked: certificate.is_revoked(),
                    },
                    (Stage::Open, None) => State::Open { expires: known.expires },
                    (Stage::Issued(_) | Stage::Over, None) => continue,
                };
                let packaged = self.packaged.get(&id).copied().unwrap_or(false);
                let Known { url, holder, domain, replaces, .. } = known;
                orders.push(Seen { url, holder, domain, replaces, packaged, state });
            }
        }
        Model { now: self.cluster.clock.now(), orders, elsewhere: self.elsewhere().await }
    }

    /// An account's orders, each as far as it has come; those of which it learned nothing are found in its list.
    async fn orders_of(&self, actor: &Actor) -> Vec<Known> {
        let client = &actor.client;
        let mut list = format!("{}/orders", client.kid());
        let mut urls: Vec<String> = Vec::new();
        loop {
            let page = client.post_as_get(&list).await.expect(200);
            urls.extend(page.json()["orders"].as_array().unwrap().iter().map(|url| url.as_str().unwrap().to_owned()));
            match page.links("next").pop() {
                Some(next) => list = next,
                None => break,
            }
        }
        let known: Vec<Known> = {
            let book = self.scene.book.lock();
            book.orders.iter().filter(|order| order.account == actor.number).cloned().collect()
        };
        let unknown = urls.into_iter().filter(|url| !known.iter().any(|known| known.url == *url));
        let unknown: Vec<String> = unknown.collect();
        let open = known.iter().filter(|known| known.stage == Stage::Open).map(|known| known.url.clone());
        let mut all: BTreeMap<String, Known> = known.iter().map(|known| (known.url.clone(), known.clone())).collect();
        for url in open.chain(unknown) {
            let object = client.post_as_get(&url).await.expect(200).json();
            let known = all.entry(url.clone()).or_insert_with(|| self.found(actor, &url, &object));
            known.stage = match object["status"].as_str().unwrap() {
                "pending" | "ready" | "processing" => Stage::Open,
                "invalid" => Stage::Over,
                _ => {
                    let der = leaf(&client.certificate(&object).await);
                    known.expires = over(&der);
                    Stage::Issued(der)
                }
            };
        }
        let mut book = self.scene.book.lock();
        book.orders.retain(|order| order.account != actor.number);
        book.orders.extend(all.values().cloned());
        all.into_values().collect()
    }

    /// An order that was placed although nobody was told.
    fn found(&self, actor: &Actor, url: &str, object: &Value) -> Known {
        let name = object["identifiers"][0]["value"].as_str().unwrap().to_owned();
        let domain = (0..DOMAINS).find(|domain| name.ends_with(&zone(*domain))).unwrap();
        Known {
            url: url.to_owned(),
            account: actor.number,
            holder: actor.holder,
            domain,
            name,
            key: Arc::new(KeyPair::generate().unwrap()),
            expires: moment(&object["expires"]),
            replaces: object["replaces"].as_str().map(str::to_owned),
            stage: Stage::Open,
        }
    }

    /// What was issued elsewhere: all that operators were told to be counted, and nothing that they did not ask for.
    async fn elsewhere(&self) -> Vec<(usize, Timestamp)> {
        let now = self.cluster.clock.now();
        let mut noted = self.scene.elsewhere.lock().clone();
        noted.retain(|noted| now < noted.over);
        let mut counted = Vec::new();
        for domain in 0..DOMAINS {
            let there = self.cluster.ra().domain_quota(&zone(domain)).await.unwrap().ledger.elsewhere;
            for noted in noted.iter().filter(|noted| noted.domain == domain && noted.told) {
                assert!(there.iter().any(|other| other.note == noted.note), "{noted:?} is lost");
            }
            for other in there {
                let noted = noted.iter().find(|noted| noted.note == other.note);
                counted.push((domain, noted.unwrap_or_else(|| panic!("{other:?} is of nobody")).over));
            }
        }
        counted
    }

    /// Asks for one order while nothing else happens: the answer follows from the rules alone.
    async fn probe(&mut self) {
        let model = self.all_counts_hold().await;
        let actor = self.actors[self.rng.below(self.actors.len() as u64) as usize].clone();
        let domain = self.rng.below(DOMAINS as u64) as usize;
        self.probes += 1;
        let (own, ours) = (model.holder(actor.holder, LIMITS[0]), model.domain(domain, LIMITS[1]));
        let (spent, reserved) = model.packaged(actor.holder);
        let left = self.scene.parties.lock()[actor.holder].packages - spent - reserved;
        let (account, full) = (own.used >= LIMITS[0] && left == 0, ours.used >= LIMITS[1]);
        let name = format!("p{}.{}", self.probes, zone(domain));
        let answer = self.scene.ask(&actor, domain, &name).await;
        if !account && !full {
            answer.expect(201);
            return;
        }
        let detail = answer.expect_problem(429, "rateLimited");
        let expected = [account.then_some((own.used, LIMITS[0])), full.then_some((ours.used, LIMITS[1]))];
        assert_eq!(shown(&detail), expected, "{detail}: {model:#?}");
        let returning = model.orders.iter().filter(|order| order.packaged && order.holder == actor.holder);
        let returning = returning.filter_map(|order| match order.state {
            State::Open { expires } => Some(expires),
            State::Issued { .. } => None,
        });
        let own = own.open.into_iter().chain(returning).min().filter(|_| account);
        let from = own.into_iter().chain(ours.open.filter(|_| full)).max().unwrap();
        let wait = from.since(model.now).as_secs().max(1).to_string();
        assert_eq!(answer.header("retry-after"), Some(&*wait), "{detail}: {model:#?}");
    }

    /// When all has expired, all is there again.
    async fn end(mut self) {
        self.cluster.clock.advance(Duration::from_secs(500 * 86_400));
        let model = self.all_counts_hold().await;
        for holder in 0..4 {
            assert_eq!(model.holder(holder, LIMITS[0]).used, 0);
        }
        for domain in 0..DOMAINS {
            assert_eq!(model.domain(domain, LIMITS[1]).used, 0);
        }
        for (n, actor) in [0, 1, 3, 5].into_iter().cycle().take(4 * LIMITS[0]).enumerate() {
            let domain = n / LIMITS[1];
            let name = format!("end-{n}.{}", zone(domain));
            self.scene.ask(&self.actors[actor].clone(), domain, &name).await.expect(201);
        }
        self.all_counts_hold().await;
        let tally = self.scene.book.lock().tally.clone();
        announce(&format!(
            "quota races, {}: seed {}, {} kills, {:.0?}, {tally:?}",
            self.what,
            self.seed,
            self.kills,
            self.began.elapsed()
        ));
        assert!(self.has_seen_all(), "something of {KINDS:?} was not seen: {tally:?}");
    }
}
