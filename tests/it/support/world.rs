//! A whole server in a temporary directory, with the world around it: the real router, store, CA and validator, a clock
//! that stands, DNS and web servers on loopback.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chancery::app::{App, Failure};
use chancery::clock::{Clock as _, TestClock};
use chancery::config::Config;
use chancery::domain::audit::Act;
use chancery::domain::customer::CustomerKind;
use chancery::domain::notice::Notice;
use chancery::domain::organisation::{BusinessCategory, Jurisdiction, OrganisationFacts, PersonFacts, Registration};
use chancery::domain::purchase::Purchase;
use chancery::domain::{CustomerId, Timestamp};
use chancery::http::Site;
use chancery::policy::status::Status;
use chancery::ra::{ApplicationRequest, Decision, NewCustomer, NewExternalKey, NewPurchase, Pick, Ra, Verdict};
use chancery::store::records::{Records, Stored};
use chancery::store::{Kv, OpenError};
use parking_lot::Mutex;
use serde_json::Value;
use tempfile::TempDir;
use tower::ServiceExt as _;

use super::client::{Client, Response, challenge, csr};
use super::dns::Dns;
use super::in_time;
use super::signer::{Signer, b64};
use super::target::{AlpnTarget, Target};

/// Where the server believes it is.
pub const BASE: &str = "https://ca.test:14000";

/// Noon of the day the tests play on.
const NOON: u64 = 1_795_262_400;

/// Products that take everything, and some that don't.
const CATALOG: &str = r#"
[[products]]
id = "any"
title = "Takes every name and key"
issuer = "chancery"
names = { max = 100, wildcard = true, ip = true }
keys = ["rsa-2048", "rsa-3072", "rsa-4096", "p-256", "p-384"]
methods = ["http-01", "dns-01", "tls-alpn-01"]
validity_days = 90
validation_reuse_days = 30
caa_identities = ["ca.test"]
common_name = true

[[products]]
id = "single"
title = "One name, P-256, by http-01, no reuse"
issuer = "chancery"
names = { max = 1 }
keys = ["p-256"]
methods = ["http-01"]
validity_days = 10
validation_reuse_days = 0
caa_identities = ["single.ca.test"]

[[products]]
id = "bound"
title = "For bound accounts"
issuer = "chancery"
bound_accounts_only = true
names = { max = 2, wildcard = true }
keys = ["p-256"]
methods = ["dns-01"]
validity_days = 397
validation_reuse_days = 30
caa_identities = ["ca.test"]
"#;

/// The world.
pub struct World {
    /// Its web server, which http-01 reaches at every name.
    pub web: Target,
    /// Its tls-alpn-01 responder.
    pub tls: AlpnTarget,
    /// Its DNS server; every name without records of its own is 127.0.0.1.
    pub dns: Dns,
    /// The time.
    pub clock: Arc<TestClock>,
    /// The configuration of the server.
    pub config: Config,
    app: Option<App>,
    /// What the routers that were given out lead to: those of the server that runs, or to nothing.
    main: Arc<Mutex<Router>>,
    pki: Arc<Mutex<Router>>,
    directory: TempDir,
}

impl World {
    /// A world with a fresh server.
    pub async fn new() -> Self {
        Self::with(|_| {}).await
    }

    /// A world with a fresh server whose configuration was changed.
    pub async fn with(change: impl FnOnce(&mut Config)) -> Self {
        let (web, tls, dns) = (Target::start().await, AlpnTarget::start().await, Dns::start().await);
        dns.default_address("127.0.0.1");
        let directory = TempDir::new().unwrap();
        let catalog = directory.path().join("catalog.toml");
        std::fs::write(&catalog, CATALOG).unwrap();
        let mut config = Config::default();
        config.server.public_url = BASE.to_owned();
        config.server.data_dir = directory.path().join("data");
        config.catalog.products = catalog;
        config.ca.issuers = vec!["chancery".to_owned()];
        config.ca.crl_shards = 1;
        // Its names and addresses are those of documentation and of this machine.
        config.ca.private = true;
        config.acme.default_product = "any".to_owned();
        config.acme.validation_tries = 1;
        // A test that must see the outcome of a job drains it; none should depend on how quick this machine is.
        config.acme.challenge_wait_ms = 20_000;
        config.acme.finalize_wait_ms = 20_000;
        config.validation.resolvers = vec![dns.addr()];
        config.validation.allow_private_addresses = true;
        config.validation.http_port = web.port();
        config.validation.tls_port = tls.port();
        config.validation.dns_timeout_ms = 2_000;
        config.validation.timeout_ms = 5_000;
        change(&mut config);
        let clock = Arc::new(TestClock::at(Timestamp::from_secs(NOON)));
        let (main, pki) = Default::default();
        let mut world = Self { web, tls, dns, clock, config, app: None, main, pki, directory };
        world.start().await;
        world
    }

    /// A world whose server sells the documented products, as they are shipped.
    pub async fn documented() -> Self {
        Self::documented_with(|_| {}).await
    }

    /// The same with a configuration that was changed.
    pub async fn documented_with(change: impl FnOnce(&mut Config)) -> Self {
        Self::with(|config| {
            let shipped = Config::default();
            config.catalog = shipped.catalog;
            config.acme.default_product = shipped.acme.default_product;
            config.ca.issuers = shipped.ca.issuers;
            config.ca.private = shipped.ca.private;
            // Making RSA keys takes its time, and products are the same without.
            config.ca.rsa_issuers = false;
            change(config);
        })
        .await
    }

    /// The same with the shipped catalogue changed: each pair is a text of it and what stands in its place.
    pub async fn documented_but(changes: &[(&str, &str)]) -> Self {
        Self::documented_with(|config| {
            let mut catalog = std::fs::read_to_string(&config.catalog.products).unwrap();
            for (from, to) in changes {
                assert!(catalog.contains(from), "{from}");
                catalog = catalog.replace(from, to);
            }
            let changed = config.server.data_dir.with_file_name("changed.toml");
            std::fs::write(&changed, catalog).unwrap();
            config.catalog.products = changed;
        })
        .await
    }

    fn app(&self) -> &App {
        self.app.as_ref().unwrap()
    }

    /// The use cases.
    pub fn ra(&self) -> &Arc<Ra> {
        &self.app().ra
    }

    /// Everything behind the main listener, also after a restart.
    pub fn router(&self) -> Router {
        lead_to(&self.main)
    }

    /// What the main listener serves: the routes of the server as it runs now, with what the listener asks of them.
    pub fn site(&self) -> Site {
        self.app().site()
    }

    /// Everything behind the PKI listener, also after a restart.
    pub fn pki(&self) -> Router {
        lead_to(&self.pki)
    }

    /// The server's data directory.
    pub fn data_dir(&self) -> PathBuf {
        self.config.server.data_dir.clone()
    }

    /// A place for files of the test.
    pub fn scratch(&self) -> &Path {
        self.directory.path()
    }

    /// The operator's token.
    pub fn operator_token(&self) -> String {
        std::fs::read_to_string(self.data_dir().join("operator.token")).unwrap().trim().to_owned()
    }

    /// The current moment.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Moves the clock forward, and waits until the jobs that are due then are done.
    pub async fn pass(&self, time: Duration) {
        self.clock.advance(time);
        self.ra().drain().await.unwrap();
    }

    /// Stops the server and starts it again on the same data directory, in the middle of its jobs. Clients stay of use.
    pub async fn restart(&mut self) {
        self.stop().await;
        self.start().await;
    }

    /// The audit log, oldest first. The server is stopped for a moment, as with `restart`.
    pub async fn audit(&mut self) -> Vec<Act> {
        self.stop().await;
        let settings = self.config.store_settings();
        let records = unlocked(|| chancery::store::open(&settings).map_err(Into::into)).await;
        let records = Records::new(records);
        let events = records.audit(None, 10_000).await.unwrap();
        drop(records);
        self.start().await;
        events.into_iter().map(|(_, event)| event.act).collect()
    }

    /// Every message to customers, oldest first. The server is stopped for a moment, as with `restart`.
    pub async fn messages(&mut self) -> Vec<Notice> {
        self.stop().await;
        let settings = self.config.store_settings();
        let records = Records::new(unlocked(|| chancery::store::open(&settings).map_err(Into::into)).await);
        let found = records.list::<Notice>(b"", None, 10_000).await.unwrap();
        drop(records);
        self.start().await;
        let mut told: Vec<Notice> = found.into_iter().map(Stored::into_value).collect();
        told.sort_by_key(|notice| notice.at);
        told
    }

    /// What a customer was to be told so far. The server is stopped for a moment, as with `restart`.
    pub async fn notices_of(&mut self, customer: &CustomerId) -> Vec<Notice> {
        let mut told = self.messages().await;
        told.retain(|notice| notice.customer == *customer);
        told
    }

    /// What a check of the store finds. The server is stopped for a moment, as with `restart`.
    pub async fn checked(&mut self) -> chancery::store::Report {
        self.stop().await;
        let settings = self.config.store_settings();
        let report = unlocked(|| chancery::store::check(&settings).map_err(Into::into)).await;
        self.start().await;
        report
    }

    /// Does something with the store of the stopped server, which then starts again.
    pub async fn with_store<T>(&mut self, work: impl AsyncFnOnce(Arc<dyn Kv>) -> T) -> T {
        self.stop().await;
        let settings = self.config.store_settings();
        let done = work(unlocked(|| chancery::store::open(&settings).map_err(Into::into)).await).await;
        self.start().await;
        done
    }

    /// Where the store is, for whoever looks at it while the server does not run.
    pub fn store_settings(&self) -> chancery::store::Settings {
        self.config.store_settings()
    }

    /// Does something while the server does not run.
    pub async fn while_stopped<T>(&mut self, work: impl FnOnce(&Path) -> T) -> T {
        self.stop().await;
        let settings = self.config.store_settings();
        drop(unlocked(|| chancery::store::open(&settings).map_err(Into::into)).await);
        let done = work(&self.config.server.data_dir);
        self.start().await;
        done
    }

    async fn stop(&mut self) {
        let old = self.app.take().unwrap();
        old.ra.abandon_jobs();
        for router in [&self.main, &self.pki] {
            *router.lock() = Router::new();
        }
        let ra = Arc::downgrade(&old.ra);
        drop(old);
        // Jobs hold the use cases, and these the store, which only one server can have open.
        let let_go = async {
            while ra.upgrade().is_some() {
                tokio::task::yield_now().await;
            }
        };
        in_time("every job of the stopped server lets go of it", let_go).await;
    }

    async fn start(&mut self) {
        let app = unlocked(|| App::build(&self.config, self.clock.clone())).await;
        app.ra.resume().await.unwrap();
        *self.main.lock() = app.main.clone();
        *self.pki.lock() = app.pki.clone();
        self.app = Some(app);
    }

    /// A client without an account.
    pub fn stranger(&self) -> Client {
        Client::new(self.router(), BASE)
    }

    /// A client with an account, whose http-01 challenges are met at every name.
    pub async fn client(&self) -> Client {
        self.client_with(Signer::generate("ES256")).await
    }

    /// The same with this account key.
    pub async fn client_with(&self, signer: Signer) -> Client {
        let mut client = Client::with_key(self.router(), BASE, signer);
        client.new_account().await.expect(201);
        self.web.serve_any(&client.thumbprint());
        client
    }

    /// A new customer.
    pub async fn customer(&self, kind: CustomerKind) -> CustomerId {
        let email = Some("buyer@zone-one.cn".to_owned());
        self.ra().create_customer(NewCustomer { email, ..NewCustomer::new("Buyer", kind) }).await.unwrap().id
    }

    /// A new customer without an e-mail address.
    pub async fn silent_customer(&self, kind: CustomerKind) -> CustomerId {
        self.ra().create_customer(NewCustomer::new("Buyer", kind)).await.unwrap().id
    }

    /// A client whose account is bound to a customer, and whose http-01 challenges are met at every name.
    pub async fn client_of(&self, customer: &CustomerId) -> Client {
        let key = self.ra().create_external_key(NewExternalKey::of(customer.clone())).await.unwrap();
        let mut client = self.stranger();
        client.new_bound_account(&key.kid, &URL_SAFE_NO_PAD.decode(key.hmac_key.as_bytes()).unwrap()).await.expect(201);
        self.web.serve_any(&client.thumbprint());
        client
    }

    /// Has a customer buy, and apply where the product names an organisation.
    pub async fn buy(&self, customer: &CustomerId, product: &str, names: u32, years: u32) -> Purchase {
        let bought = self.buy_alone(customer, product, names, years).await;
        if self.ra().catalog().product(product).unwrap().class.needs_organisation() {
            self.apply(&bought).await;
        }
        bought
    }

    /// Has a customer buy, and no more.
    pub async fn buy_alone(&self, customer: &CustomerId, product: &str, names: u32, years: u32) -> Purchase {
        let asked = NewPurchase { years: Some(years), ..NewPurchase::of(customer.clone(), product, names) };
        self.ra().create_purchase(asked).await.unwrap()
    }

    /// Submits an application for a purchase, such that it can be ordered on.
    async fn apply(&self, purchase: &Purchase) {
        let asked = ApplicationRequest {
            applicant: CustomerKind::Enterprise,
            organisation: Some(Pick::New(organisation_facts())),
            administrator: Some(Pick::New(person_facts())),
            contact: None,
            names: Vec::new(),
            renews: None,
            support: true,
        };
        let report = self.ra().submit_application(&purchase.id, asked).await.unwrap();
        if report.status == Status::PreReview {
            let (by, note) = ("tester".to_owned(), "is registered".to_owned());
            let verdict = Verdict { by, decision: Decision::Approve, note, evidence: Vec::new(), round: None };
            self.ra().decide(report.application.unwrap().id.as_str(), verdict).await.unwrap();
        }
    }

    /// A ready order for these names: placed, and every authorization proven by http-01 (wildcards by dns-01).
    pub async fn ready_order(&self, client: &Client, names: &[&str]) -> (String, Value) {
        let placed = client.new_order(names).await.expect(201);
        let url = placed.location().to_owned();
        for authz in client.authorizations(&placed.json()).await {
            if authz["status"] == "pending" {
                self.prove(client, &authz).await.ok();
            }
        }
        let order = client.post_as_get(&url).await.expect(200).json();
        assert_eq!(order["status"], "ready", "{order}");
        (url, order)
    }

    /// Answers a challenge of a pending authorization such that it is met.
    pub async fn prove(&self, client: &Client, authz: &Value) -> Response {
        if authz["wildcard"] == true {
            let offer = challenge(authz, "dns-01");
            let name = format!("_acme-challenge.{}", authz["identifier"]["value"].as_str().unwrap());
            let proof = client.key_authorization(offer["token"].as_str().unwrap());
            let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, proof.as_bytes());
            self.dns.txt(&name, &b64(digest));
            return client.respond(&offer).await;
        }
        client.respond(&challenge(authz, "http-01")).await
    }

    /// A certificate for these names: the order as it is in the end, and the chain, PEM.
    pub async fn certificate(&self, client: &Client, names: &[&str]) -> (Value, String) {
        let (_, order) = self.ready_order(client, names).await;
        let done = client.finalize(&order, &csr(names).0).await.expect(200).json();
        assert_eq!(done["status"], "valid", "{done}");
        let chain = client.certificate(&done).await;
        (done, chain)
    }
}

/// An organisation that tests apply for.
pub fn organisation_facts() -> OrganisationFacts {
    OrganisationFacts {
        name: "Shenzhen Zone Trading Co., Ltd.".to_owned(),
        department: "IT".to_owned(),
        address: "1 Keji Road".to_owned(),
        locality: "Shenzhen".to_owned(),
        state: Some("Guangdong".to_owned()),
        postal_code: Some("518057".to_owned()),
        country: "CN".to_owned(),
        phone: "+86 755 1234 5678".to_owned(),
        registration: Some(Registration {
            business_category: BusinessCategory::Private,
            jurisdiction: Jurisdiction {
                country: "CN".to_owned(),
                state: Some("Guangdong".to_owned()),
                locality: Some("Shenzhen".to_owned()),
            },
            registration_number: "91440300708461136T".to_owned(),
        }),
    }
}

fn person_facts() -> PersonFacts {
    PersonFacts {
        name: "Li Wei".to_owned(),
        position: "Head of IT".to_owned(),
        phone: "+86 755 1234 5679".to_owned(),
        email: "li.wei@zone-one.cn".to_owned(),
    }
}

/// What opens a store that was closed a moment ago: whoever held it last may still be letting go of it on another thread.
pub async fn unlocked<T>(mut open: impl FnMut() -> Result<T, Failure>) -> T {
    let opened = async {
        loop {
            match open() {
                Err(failure) if matches!(failure.downcast_ref::<OpenError>(), Some(OpenError::Locked(_))) => {
                    tokio::task::yield_now().await;
                }
                opened => return opened.unwrap(),
            }
        }
    };
    in_time("the store is free again", opened).await
}

/// A router that leads to the one that is there at the time of each request.
fn lead_to(current: &Arc<Mutex<Router>>) -> Router {
    let current = current.clone();
    Router::new().fallback(move |request: Request| {
        let router = current.lock().clone();
        async move { router.oneshot(request).await }
    })
}
