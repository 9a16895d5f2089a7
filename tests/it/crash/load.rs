//! Clients that ask for everything a client can ask for, until the server does not answer any more.

use std::sync::Arc;

use parking_lot::Mutex;

use super::ledger::{Account, Known, Proof, Status, Step, location, path};
use crate::support::client::{Client, challenge, csr};
use crate::support::signer::Signer;
use crate::support::target::Target;
use crate::support::wire::{About, Traffic, Version, Wire};

/// Numbers that follow from a seed (SplitMix64).
pub struct Rng(pub u64);

impl Rng {
    /// The next number.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

/// A connection of one client to one run of the server.
#[derive(Clone)]
pub struct Session {
    /// What all its clients are made of; they hand on the nonces.
    template: Client,
    /// The server's public URL.
    pub base: String,
    web: Arc<Target>,
}

impl Session {
    /// To that server; `web` is where every name leads to.
    pub fn new(wire: &Wire, version: Version, traffic: &Arc<Traffic>, web: &Arc<Target>) -> Self {
        let template = Client::new(wire.router(version, traffic), &wire.base);
        Self { template, base: wire.base.clone(), web: web.clone() }
    }

    /// The account's client, with its present key.
    pub fn client(&self, account: &Known) -> Client {
        let account = account.lock();
        self.client_with(account.key.clone(), account.path.as_deref())
    }

    /// A client with this key and account.
    pub fn client_with(&self, key: Arc<Signer>, account: Option<&str>) -> Client {
        let mut client = self.template.clone();
        client.signer = key;
        client.account = account.map(|path| self.url(path));
        client
    }

    /// The URL at a path.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// Goes on with an order as far as it goes, from wherever it is.
    pub async fn fulfil(&self, account: &Known, order: &str) {
        self.prove(account, order).await;
        if self.look(account, order).await == Status::Ready {
            self.finalize(account, order).await;
        }
        while self.look(account, order).await == Status::Processing {}
        if self.look(account, order).await == Status::Valid {
            self.download(account, order).await;
        }
    }

    /// The status of an order.
    pub async fn look(&self, account: &Known, order: &str) -> Status {
        let object = self.client(account).post_as_get(&self.url(order)).await.expect(200).json();
        let mut account = account.lock();
        account.order(order).seen(&self.base, &object);
        account.order(order).status
    }

    /// Answers the challenges that are open, and waits for all outcomes.
    async fn prove(&self, account: &Known, order: &str) {
        let authzs: Vec<String> = account.lock().order(order).authzs.keys().cloned().collect();
        for authz in authzs {
            if self.look_at_proof(account, order, &authz).await == Proof::Open {
                self.answer(account, order, &authz).await;
            }
            while self.look_at_proof(account, order, &authz).await == Proof::Answered {}
        }
    }

    /// How far an authorization is.
    pub async fn look_at_proof(&self, account: &Known, order: &str, authz: &str) -> Proof {
        let object = self.client(account).post_as_get(&self.url(authz)).await.expect(200).json();
        let mut account = account.lock();
        account.order(order).proof_seen(authz, &object);
        account.order(order).authzs[authz]
    }

    async fn answer(&self, account: &Known, order: &str, authz: &str) {
        let client = self.client(account);
        let object = client.post_as_get(&self.url(authz)).await.expect(200).json();
        let offer = challenge(&object, "http-01");
        let token = offer["token"].as_str().unwrap();
        match account.lock().order(order).honest {
            true => self.web.serve(token, &client.key_authorization(token)),
            false => self.web.serve(token, "something else"),
        };
        client.respond(&offer).await.expect(200);
        let mut account = account.lock();
        let known = account.order(order).authzs.get_mut(authz).unwrap();
        *known = Proof::Answered.max(*known);
    }

    /// Hands in a CSR: always the same one, whatever became of an earlier try.
    async fn finalize(&self, account: &Known, order: &str) {
        let (csr, finalize) = {
            let mut account = account.lock();
            let order_known = account.order(order);
            let names: Vec<&str> = order_known.names.iter().map(String::as_str).collect();
            let csr = order_known.csr.clone().unwrap_or_else(|| csr(&names).0);
            order_known.csr = Some(csr.clone());
            (csr, serde_json::json!({ "finalize": self.url(&format!("{order}/finalize")) }))
        };
        let answer = self.client(account).finalize(&finalize, &csr).await.expect(200).json();
        account.lock().order(order).seen(&self.base, &answer);
    }

    /// Fetches the certificate of a valid order.
    pub async fn download(&self, account: &Known, order: &str) {
        let certificate = account.lock().order(order).certificate.clone().unwrap();
        let chain = self.client(account).post_as_get(&self.url(&certificate)).await.expect(200).text();
        account.lock().order(order).downloaded(&chain);
    }
}

/// A client with all the accounts it ever had.
#[derive(Clone, Default)]
pub struct Actor {
    accounts: Arc<Mutex<Vec<Known>>>,
}

impl Actor {
    /// Its accounts.
    pub fn accounts(&self) -> Vec<Known> {
        self.accounts.lock().clone()
    }

    /// Takes away an account that was never made.
    pub fn forget(&self, account: &Known) {
        self.accounts.lock().retain(|known| !Arc::ptr_eq(known, account));
    }

    /// Asks for one thing after another, most of all for what the kill is to fall into.
    pub async fn work(self, session: Session, mut rng: Rng, about: Option<About>) {
        let wanted = |kind: About, percent: u64| if about == Some(kind) { 100 } else { percent };
        loop {
            let account = self.account(&session, &mut rng, wanted(About::NewAccount, 25)).await;
            account.lock().touched = true;
            let order = self.order(&session, &account, &mut rng).await;
            session.fulfil(&account, &order).await;
            if account.lock().order(&order).chain.is_some() && rng.chance(wanted(About::Revocation, 40)) {
                revoke(&session, &account, &order).await;
            }
            if rng.chance(wanted(About::KeyChange, 30)) {
                change_key(&session, &account).await;
            }
            if rng.chance(wanted(About::Account, 15)) {
                deactivate(&session, &account).await;
            }
        }
    }

    /// One of its accounts, or a new one.
    async fn account(&self, session: &Session, rng: &mut Rng, fresh: u64) -> Known {
        let mut usable = self.accounts();
        usable.retain(|account| account.lock().closed == Step::Untaken);
        if !usable.is_empty() && !rng.chance(fresh) {
            return usable.swap_remove(rng.below(usable.len() as u64) as usize);
        }
        let account = Arc::new(Mutex::new(Account::new(Signer::generate("ES256"))));
        self.accounts.lock().push(account.clone());
        let answer = session.client(&account).new_account().await.expect(201);
        account.lock().is_at(location(&session.base, &answer));
        account
    }

    /// An order that was left unfinished, or a new one.
    async fn order(&self, session: &Session, account: &Known, rng: &mut Rng) -> String {
        let open = |order: &super::ledger::Order| !matches!(order.status, Status::Valid | Status::Invalid);
        let left = account.lock().orders.iter().find(|(_, order)| open(order)).map(|(path, _)| path.clone());
        if let Some(left) = left {
            return left;
        }
        let names: Vec<String> = (0..=rng.below(2)).map(|_| format!("w{:016x}.example", rng.next())).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let honest = !rng.chance(15);
        let answer = session.client(account).new_order(&names).await.expect(201);
        let path = location(&session.base, &answer).to_owned();
        let mut account = account.lock();
        account.order(&path).honest = honest;
        account.order(&path).seen(&session.base, &answer.json());
        path
    }
}

async fn revoke(session: &Session, account: &Known, order: &str) {
    let leaf = {
        let mut account = account.lock();
        let known = account.order(order);
        if known.revoked != Step::Untaken {
            return;
        }
        known.revoked = Step::Asked;
        known.leaf()
    };
    session.client(account).revoke(&leaf, Some(4)).await.expect(200);
    account.lock().order(order).revoked = Step::Done;
}

async fn change_key(session: &Session, account: &Known) {
    let mut client = session.client(account);
    let next = Arc::new(Signer::generate("ES256"));
    account.lock().next_key = Some(next.clone());
    let url = client.resource("keyChange").await;
    let payload = client.signer.key_change(&next, client.kid(), &url);
    client.post(&url, &payload).await.expect(200);
    client.signer = next;
    account.lock().key_changed();
    let answer = client.post_as_get(client.kid()).await.expect(200);
    assert_eq!(Some(path(&session.base, answer.location())), account.lock().path.as_deref());
}

async fn deactivate(session: &Session, account: &Known) {
    account.lock().closed = Step::Asked;
    session.client(account).deactivate().await.expect(200);
    account.lock().closed = Step::Done;
}
