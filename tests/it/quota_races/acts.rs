//! What clients and operators do at the same time, and what they write down of it.

use std::sync::Arc;
use std::time::Duration;

use chancery::clock::{Clock as _, TestClock};
use chancery::domain::account::Holder;
use chancery::domain::quota::Elsewhere;
use chancery::domain::{Kind, Timestamp};
use chancery::ra::Ra;
use parking_lot::Mutex;
use rcgen::KeyPair;
use serde_json::{Value, json};

use super::Rng;
use super::book::{Book, ELSEWHERE, Known, Stage, shown};
use crate::acme_tools::{DAY, cert_id, leaf, order_of, parsed};
use crate::support::client::{Client, Response, challenge, csr_with};
use crate::support::target::Target;

/// Hosts of a primary domain: so few that the same order is asked for again and again.
const HOSTS: u64 = 5;

/// An account, of one node, of a holder.
#[derive(Clone)]
pub struct Actor {
    pub number: usize,
    pub client: Client,
    pub holder: usize,
}

/// Who holds quotas.
#[derive(Debug, Clone)]
pub struct Party {
    pub holder: Holder,
    /// How many certificates packages give beyond the quota, in all.
    pub packages: usize,
    /// How many of these an operator was told to be granted.
    pub granted: usize,
}

/// Certificates of another platform that an operator counts in.
#[derive(Debug, Clone)]
pub struct Noted {
    pub domain: usize,
    pub note: String,
    pub over: Timestamp,
    /// Whether the operator was told that they count.
    pub told: bool,
}

/// The world as those who act in it see it.
#[derive(Clone)]
pub struct Scene {
    pub book: Arc<Mutex<Book>>,
    pub parties: Arc<Mutex<Vec<Party>>>,
    pub elsewhere: Arc<Mutex<Vec<Noted>>>,
    pub web: Arc<Target>,
    pub clock: Arc<TestClock>,
    pub limits: [usize; 2],
    pub domains: usize,
}

/// The primary domain of that number.
pub fn zone(domain: usize) -> String {
    format!("zone-{domain}.cn")
}

/// An answer that is no fault of the server.
#[track_caller]
fn sound(answer: Response) -> Response {
    assert!(answer.status.as_u16() < 500, "{answer}");
    answer
}

/// A moment in an object.
#[track_caller]
pub fn moment(value: &Value) -> Timestamp {
    Timestamp::parse_rfc3339(value.as_str().unwrap()).unwrap()
}

/// The moment from which a certificate is over.
pub fn over(der: &[u8]) -> Timestamp {
    Timestamp::from_secs(u64::try_from(parsed(der).validity().not_after.timestamp()).unwrap() + 1)
}

impl Scene {
    /// Some of what an account may do.
    pub async fn act(self, actor: Actor, mut rng: Rng) {
        for _ in 0..1 + rng.below(3) {
            match rng.below(20) {
                0..8 => self.order(&actor, &mut rng).await,
                8..13 => self.fulfil(&actor, &mut rng).await,
                13..15 => self.revoke(&actor, &mut rng).await,
                15 => self.abandon(&actor, &mut rng).await,
                16 => self.fail(&actor, &mut rng).await,
                _ => self.reissue(&actor, &mut rng).await,
            }
        }
    }

    /// Anything that an operator may do, or time.
    pub async fn happen(self, ra: Arc<Ra>, mut rng: Rng) {
        match rng.below(4) {
            0 => self.grant(&ra, &mut rng).await,
            1 => self.count_elsewhere(&ra, &mut rng).await,
            _ => self.jump(&mut rng),
        }
    }

    async fn order(&self, actor: &Actor, rng: &mut Rng) {
        let domain = rng.below(self.domains as u64) as usize;
        let name = format!("h{}.{}", rng.below(HOSTS), zone(domain));
        self.ask(actor, domain, &name).await;
    }

    /// Asks for an order, and writes down what comes of it. Whether it was accepted.
    pub async fn ask(&self, actor: &Actor, domain: usize, name: &str) -> Response {
        let request = self.book.lock().begin(actor.holder, domain);
        let answer = sound(actor.client.new_order(&[name]).await);
        // A package granted meanwhile may have served.
        let packages = self.parties.lock()[actor.holder].packages;
        let mut book = self.book.lock();
        match answer.status.as_u16() {
            201 => {
                book.note("orders");
                let order = self.known(actor, domain, name, &answer);
                let most = [self.limits[0] + packages, self.limits[1]];
                book.accepted(&request, order, self.clock.now(), most);
            }
            _ => {
                let shown = shown(&answer.expect_problem(429, "rateLimited"));
                assert!(shown.iter().any(Option::is_some), "{answer}");
                for (shown, limit) in shown.iter().zip(["account", "domain"]) {
                    if shown.is_some() {
                        book.note(&format!("refused for the {limit}"));
                    }
                }
                book.refused(&request, shown, packages > 0);
            }
        }
        drop(book);
        answer
    }

    fn known(&self, actor: &Actor, domain: usize, name: &str, answer: &Response) -> Known {
        let object = answer.json();
        Known {
            url: answer.location().to_owned(),
            account: actor.number,
            holder: actor.holder,
            domain,
            name: name.to_owned(),
            key: Arc::new(KeyPair::generate().unwrap()),
            expires: moment(&object["expires"]),
            replaces: object["replaces"].as_str().map(str::to_owned),
            stage: Stage::Open,
        }
    }

    /// An order of an account, at that stage.
    fn pick(&self, actor: &Actor, rng: &mut Rng, fits: impl Fn(&Stage) -> bool) -> Option<Known> {
        let book = self.book.lock();
        let own: Vec<&Known> =
            book.orders.iter().filter(|order| order.account == actor.number && fits(&order.stage)).collect();
        if own.is_empty() { None } else { Some(own[rng.below(own.len() as u64) as usize].clone()) }
    }

    async fn authorizations(&self, actor: &Actor, url: &str) -> Option<(Value, Vec<Value>)> {
        let order = sound(actor.client.post_as_get(url).await).ok().json();
        let mut authzs = Vec::new();
        for authz in order["authorizations"].as_array().unwrap() {
            let url = authz.as_str().unwrap();
            let mut object = sound(actor.client.post_as_get(url).await).ok().json();
            object["url"] = json!(url);
            authzs.push(object);
        }
        Some((order, authzs))
    }

    /// Meets the challenges of an order and finalizes it.
    async fn fulfil(&self, actor: &Actor, rng: &mut Rng) {
        let Some(known) = self.pick(actor, rng, |stage| *stage == Stage::Open) else { return };
        let Some((order, authzs)) = self.authorizations(actor, &known.url).await else { return };
        for authz in authzs.iter().filter(|authz| authz["status"] == "pending") {
            let offer = challenge(authz, "http-01");
            let token = offer["token"].as_str().unwrap();
            self.web.serve(token, &actor.client.key_authorization(token));
            sound(actor.client.respond(&offer).await);
        }
        let done = sound(actor.client.finalize(&order, &csr_with(&known.key, &[&known.name])).await);
        // It may have been given up, or have expired, or have been finalized by somebody else.
        if done.status != 200 || done.json()["status"] != "valid" {
            return;
        }
        let der = leaf(&actor.client.certificate(&done.json()).await);
        let mut book = self.book.lock();
        book.note(if known.replaces.is_some() { "reissues" } else { "certificates" });
        if book.orders.iter().any(|order| order.url == known.url && order.stage == Stage::Open) {
            book.set(&known.url, &Stage::Issued(der));
        }
    }

    /// Revokes a certificate with its own key: that is never refused (design decision 10).
    async fn revoke(&self, actor: &Actor, rng: &mut Rng) {
        let Some(known) = self.pick(actor, rng, |stage| matches!(stage, Stage::Issued(_))) else { return };
        let Some((name, der)) = self.claim(&known) else { return };
        let reissued = {
            let mut book = self.book.lock();
            book.ending(&known.url, false);
            book.orders.iter().any(|order| order.replaces.as_deref() == Some(&*name))
        };
        let answer = sound(actor.client.revoke_with(&known.key, &der, None).await);
        let mut book = self.book.lock();
        if answer.status == 200 {
            book.note("revocations");
            book.set(&known.url, &Stage::Over);
            if !reissued {
                book.ended(&known.url, false);
            }
        }
        book.busy.remove(&name);
    }

    /// Has a certificate for itself, so that nobody else revokes or reissues it at the same time: how `replaces` names it,
    /// and itself, DER.
    fn claim(&self, known: &Known) -> Option<(String, Vec<u8>)> {
        let mut book = self.book.lock();
        let Stage::Issued(der) = book.orders.iter().find(|order| order.url == known.url)?.stage.clone() else {
            return None;
        };
        let name = cert_id(&der);
        book.busy.insert(name.clone()).then_some((name, der))
    }

    /// Gives an authorization of an unfinished order up.
    async fn abandon(&self, actor: &Actor, rng: &mut Rng) {
        let Some(known) = self.pick(actor, rng, |stage| *stage == Stage::Open) else { return };
        let Some((order, authzs)) = self.authorizations(actor, &known.url).await else { return };
        if order["status"] == "valid" {
            return;
        }
        self.book.lock().giving_up(&known);
        let url = authzs[0]["url"].as_str().unwrap();
        sound(actor.client.post(url, &json!({ "status": "deactivated" })).await);
        self.look_again(actor, &known, "abandoned").await;
    }

    /// Has the validation of an unfinished order fail.
    async fn fail(&self, actor: &Actor, rng: &mut Rng) {
        let Some(known) = self.pick(actor, rng, |stage| *stage == Stage::Open) else { return };
        let Some((order, authzs)) = self.authorizations(actor, &known.url).await else { return };
        if order["status"] != "pending" {
            return;
        }
        self.book.lock().giving_up(&known);
        let offer = challenge(&authzs[0], "http-01");
        self.web.serve(offer["token"].as_str().unwrap(), "something else");
        sound(actor.client.respond(&offer).await);
        self.look_again(actor, &known, "failed").await;
    }

    /// Looks whether an order is over now. Another may have finalized it first.
    async fn look_again(&self, actor: &Actor, known: &Known, how: &str) {
        let order = sound(actor.client.post_as_get(&known.url).await).ok().json();
        if order["status"] == "invalid" {
            let mut book = self.book.lock();
            book.set(&known.url, &Stage::Over);
            book.note(how);
            book.ended(&known.url, true);
        }
    }

    /// Asks for a reissue, well before the window of renewal, of what nobody revokes just now.
    async fn reissue(&self, actor: &Actor, rng: &mut Rng) {
        let Some(known) = self.pick(actor, rng, |stage| matches!(stage, Stage::Issued(_))) else { return };
        let Some((name, der)) = self.claim(&known) else { return };
        if known.replaces.is_some() || self.clock.now() + 60 * DAY > over(&der) {
            self.book.lock().busy.remove(&name);
            return;
        }
        let asked = order_of(&[&known.name], json!({ "replaces": name }));
        let answer = sound(actor.client.new_order_of(asked).await);
        let mut book = self.book.lock();
        book.busy.remove(&name);
        match answer.status.as_u16() {
            201 => {
                let order = self.known(actor, known.domain, &known.name, &answer);
                assert_eq!(order.replaces.as_deref(), Some(&*name));
                if !book.orders.iter().any(|known| known.url == order.url) {
                    book.orders.push(order);
                }
            }
            // Another one is under way in the domain.
            429 => assert!(answer.expect_problem(429, "rateLimited").contains("(REISSUE-0"), "{answer}"),
            // Reissued before.
            _ => drop(answer.expect_problem(409, "alreadyReplaced")),
        }
    }

    async fn grant(&self, ra: &Ra, rng: &mut Rng) {
        // The last party alone has packages, so that the others' counts are exact.
        let (party, size) = (self.parties.lock().len() - 1, 1 + rng.below(2) as u32);
        let holder = {
            let mut parties = self.parties.lock();
            parties[party].packages += size as usize;
            parties[party].holder.clone()
        };
        ra.grant_package(&holder, size, None).await.unwrap();
        self.parties.lock()[party].granted += size as usize;
        self.book.lock().note("packages");
    }

    async fn count_elsewhere(&self, ra: &Ra, rng: &mut Rng) {
        let domain = rng.below(self.domains as u64) as usize;
        let not_after = (self.clock.now() + 5 * DAY).whole_second();
        let note = format!("{ELSEWHERE}{}", rng.next());
        let over = not_after + Duration::from_secs(1);
        self.book.lock().elsewhere(domain, &note, false);
        self.elsewhere.lock().push(Noted { domain, note: note.clone(), over, told: false });
        let entry = Elsewhere { count: 1, not_after, note: note.clone() };
        match ra.count_elsewhere(&zone(domain), entry).await {
            Ok(()) => {
                let mut book = self.book.lock();
                if self.clock.now() < over {
                    book.elsewhere(domain, &note, true);
                }
                book.note("elsewhere");
                self.elsewhere.lock().iter_mut().filter(|noted| noted.note == note).for_each(|noted| noted.told = true);
            }
            // The clock has passed them meanwhile.
            Err(error) => assert_eq!(error.kind(), Kind::Malformed, "{error}"),
        }
    }

    /// Some hours pass.
    fn jump(&self, rng: &mut Rng) {
        let hours = Duration::from_secs(3600 * (1 + rng.below(30)));
        let mut book = self.book.lock();
        let to = self.clock.now() + hours;
        book.jump(to);
        self.clock.advance(hours);
        book.note("jumps");
    }
}
