//! Nodes of a server over one store, in one process, with the world around them: what a kill leaves is what is in the
//! store.

use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chancery::acme::{self, Acme, Links};
use chancery::ca::Ca;
use chancery::clock::TestClock;
use chancery::config::Config;
use chancery::domain::customer::CustomerKind;
use chancery::domain::{CustomerId, Timestamp};
use chancery::post::Post;
use chancery::ra::{NewCustomer, NewExternalKey, Parts, Ra};
use chancery::store::records::Records;
use chancery::store::vault::Vault;
use chancery::store::{self, EngineName};
use chancery::va::Va;
use parking_lot::Mutex;
use tempfile::TempDir;
use tower::ServiceExt as _;

use crate::rules_quota::{SHIPPED, figures};
use crate::support::client::Client;
use crate::support::dns::Dns;
use crate::support::in_time;
use crate::support::target::Target;
use crate::support::world::{BASE, unlocked};

/// Noon of the day it begins on.
const NOON: u64 = 1_795_262_400;

/// What there is.
pub struct Cluster {
    pub web: Arc<Target>,
    pub clock: Arc<TestClock>,
    config: Config,
    nodes: Vec<Arc<Ra>>,
    /// What clients speak to: the nodes that run, or nothing.
    routers: Vec<Arc<Mutex<Router>>>,
    _dns: Dns,
    _directory: TempDir,
}

impl Cluster {
    /// So many nodes over a fresh store, which sell free certificates within this quota.
    pub async fn start(nodes: usize, engine: EngineName, account: u32, domain: u32) -> Self {
        let (web, dns) = (Target::start().await, Dns::start().await);
        dns.default_address("127.0.0.1");
        let directory = TempDir::new().unwrap();
        let mut config = Config::default();
        config.server.public_url = BASE.to_owned();
        config.server.data_dir = directory.path().join("data");
        std::fs::create_dir_all(&config.server.data_dir).unwrap();
        config.store.engine = engine;
        config.ca.rsa_issuers = false;
        config.acme.validation_tries = 1;
        config.acme.challenge_wait_ms = 20_000;
        config.acme.finalize_wait_ms = 20_000;
        config.validation.resolvers = vec![dns.addr()];
        config.validation.allow_private_addresses = true;
        config.validation.http_port = web.port();
        let shipped = std::fs::read_to_string(&config.catalog.products).unwrap();
        assert!(shipped.contains(SHIPPED));
        let changed: PathBuf = directory.path().join("catalog.toml");
        std::fs::write(&changed, shipped.replace(SHIPPED, &figures(account, domain))).unwrap();
        config.catalog.products = changed;
        let mut cluster = Self {
            web: Arc::new(web),
            clock: Arc::new(TestClock::at(Timestamp::from_secs(NOON))),
            config,
            nodes: Vec::new(),
            routers: (0..nodes).map(|_| Arc::default()).collect(),
            _dns: dns,
            _directory: directory,
        };
        cluster.go_on().await;
        cluster
    }

    /// The use cases, as one of the nodes has them.
    pub fn ra(&self) -> &Arc<Ra> {
        &self.nodes[0]
    }

    /// The use cases, as the node of that number has them.
    pub fn node(&self, number: usize) -> &Arc<Ra> {
        &self.nodes[number]
    }

    async fn go_on(&mut self) {
        let config = &self.config;
        let kv = unlocked(|| store::open(&config.store_settings()).map_err(Into::into)).await;
        let records = Records::new(kv);
        for (number, router) in self.routers.iter().enumerate() {
            let now = chancery::clock::Clock::now(&*self.clock);
            let links = Links::new(BASE);
            // It makes the directory that the vault's key is in too.
            let ca = Ca::open(&config.server.data_dir.join("keys"), &config.ca, &config.pki.public_url, now).unwrap();
            let ra = Ra::new(Parts {
                records: records.clone().on(number as u16),
                vault: Vault::open(&config.server.data_dir.join("keys").join("vault.key")).unwrap(),
                va: Va::new(config.validation_settings()).unwrap(),
                post: Post::new(config.post_settings(), "").unwrap(),
                ca,
                catalog: config.load_catalog().unwrap().catalog,
                clock: self.clock.clone(),
                settings: config.acme.clone(),
                limits: config.limits.clone(),
                account_url: links.account_prefix(),
            });
            *router.lock() = acme::router(Acme::new(ra.clone(), links, None, number as u16));
            self.nodes.push(ra);
        }
        self.ra().resume().await.unwrap();
    }

    /// Kills all nodes wherever their jobs are, and starts them again. Whoever asks them must have been cut off before.
    pub async fn kill(&mut self) {
        for router in &self.routers {
            *router.lock() = Router::new();
        }
        let left: Vec<_> = std::mem::take(&mut self.nodes)
            .into_iter()
            .map(|node| {
                node.abandon_jobs();
                Arc::downgrade(&node)
            })
            .collect();
        // Jobs hold the use cases, and these the store, which can be open only once.
        let let_go = async {
            while left.iter().any(|node| node.strong_count() > 0) {
                tokio::task::yield_now().await;
            }
        };
        in_time("every job of the stopped nodes lets go of them", let_go).await;
        self.go_on().await;
    }

    /// A new customer.
    pub async fn customer(&self) -> CustomerId {
        let asked = NewCustomer::new("Buyer", CustomerKind::Individual);
        self.ra().create_customer(asked).await.unwrap().id
    }

    /// A client of that node, with an account: bound to a customer, or to none.
    pub async fn client(&self, node: usize, customer: Option<&CustomerId>) -> Client {
        let router = self.routers[node % self.routers.len()].clone();
        let leads_on = Router::new().fallback(move |request: axum::extract::Request| {
            let router = router.lock().clone();
            async move { router.oneshot(request).await }
        });
        let mut client = Client::new(leads_on, BASE);
        match customer {
            None => client.new_account().await.expect(201),
            Some(customer) => {
                let asked = NewExternalKey::of(customer.clone());
                let key = self.ra().create_external_key(asked).await.unwrap();
                let secret = URL_SAFE_NO_PAD.decode(key.hmac_key.as_bytes()).unwrap();
                client.new_bound_account(&key.kid, &secret).await.expect(201)
            }
        };
        client
    }
}
