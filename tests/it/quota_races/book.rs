//! What clients know while they race: which slots are certainly held, and which possibly are. Kept from their requests and
//! the answers alone.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chancery::domain::Timestamp;
use rcgen::KeyPair;

/// A count: of a holder or of a primary domain, by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    Holder(usize),
    Domain(usize),
}

/// An order that a client knows of.
#[derive(Debug, Clone)]
pub struct Known {
    pub url: String,
    pub account: usize,
    pub holder: usize,
    pub domain: usize,
    pub name: String,
    /// The key that it is finalized with.
    pub key: Arc<KeyPair>,
    /// When it ends if it is not fulfilled; or when its certificate does, once all has been quiet.
    pub expires: Timestamp,
    /// The certificate that it reissues, as `replaces` names it.
    pub replaces: Option<String>,
    pub stage: Stage,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stage {
    /// As far as its owner knows.
    Open,
    Issued(Vec<u8>),
    Over,
}

/// What there is of one count.
#[derive(Debug, Default)]
struct Held {
    certainly: BTreeSet<String>,
    possibly: BTreeSet<String>,
}

/// A request for an order that is under way: the least that was certainly held since it began, and the most that was
/// possibly held by others.
#[derive(Debug)]
struct Watch {
    scopes: [Scope; 2],
    least: [usize; 2],
    most: [usize; 2],
}

/// What all clients know together.
#[derive(Debug, Default)]
pub struct Book {
    pub orders: Vec<Known>,
    /// Certificates, as `replaces` names them, that somebody revokes or reissues just now: not both at once.
    pub busy: BTreeSet<String>,
    held: BTreeMap<Scope, Held>,
    watches: BTreeMap<String, Watch>,
    /// Orders that somebody has begun to end.
    ending: BTreeSet<String>,
    /// Names that an account has begun to give its proof of up: that ends every order of its which rests on the proof.
    giving_up: BTreeSet<(usize, String)>,
    requests: usize,
    /// How many answers of which kind there were.
    pub tally: BTreeMap<String, usize>,
}

/// How notes about certificates issued elsewhere begin.
pub const ELSEWHERE: &str = "elsewhere ";

/// What a refusal says to be in use, and of how many: of the account, of the domain.
pub type Shown = [Option<(usize, usize)>; 2];

/// Reads "n of m free certificates" and "n of m free certificates of "domain"" out of a refusal.
pub fn shown(detail: &str) -> Shown {
    let mut shown = [None, None];
    for (place, found) in detail.match_indices(" free certificates") {
        let figures: Vec<&str> = detail[..place].rsplitn(4, ' ').collect();
        let (used, total) = (figures[2].parse().unwrap(), figures[0].parse().unwrap());
        let of_domain = detail[place + found.len()..].starts_with(" of \"");
        shown[usize::from(of_domain)] = Some((used, total));
    }
    shown
}

impl Book {
    /// Counts an answer.
    pub fn note(&mut self, what: &str) {
        *self.tally.entry(what.to_owned()).or_default() += 1;
    }

    /// A request for an order begins, which possibly takes a slot: its name here.
    pub fn begin(&mut self, holder: usize, domain: usize) -> String {
        self.requests += 1;
        let request = format!("request {}", self.requests);
        let scopes = [Scope::Holder(holder), Scope::Domain(domain)];
        let least = scopes.map(|scope| self.of(scope).certainly.len());
        let most = scopes.map(|scope| self.of(scope).possibly.len());
        self.watches.insert(request.clone(), Watch { scopes, least, most });
        for scope in scopes {
            self.of(scope).possibly.insert(request.clone());
        }
        self.look(Some(&request));
        request
    }

    /// The request was answered with an order.
    pub fn accepted(&mut self, request: &str, order: Known, now: Timestamp, most: [usize; 2]) {
        self.end(request, &order.url.clone());
        let scopes = [Scope::Holder(order.holder), Scope::Domain(order.domain)];
        let known = self.orders.iter().any(|known| known.url == order.url);
        let given_up = self.giving_up.contains(&(order.account, order.name.clone()));
        if now < order.expires && !known && !given_up && !self.ending.contains(&order.url) {
            for (scope, most) in scopes.into_iter().zip(most) {
                let held = self.of(scope);
                held.certainly.insert(order.url.clone());
                // The limit holds at every moment, not only when all is quiet. What operators count in is on top.
                let orders = held.certainly.iter().filter(|what| !what.starts_with(ELSEWHERE)).count();
                assert!(orders <= most, "{scope:?}: more than {most} are held: {held:#?}");
            }
        }
        if !known {
            self.orders.push(order);
        }
        self.look(None);
    }

    /// The request was refused because a quota is used up, and the refusal showed these figures.
    pub fn refused(&mut self, request: &str, shown: Shown, packages: bool) {
        let watch = self.end(request, "");
        for (place, shown) in shown.into_iter().enumerate() {
            let Some((used, total)) = shown else { continue };
            let (scope, least, most) = (watch.scopes[place], watch.least[place], watch.most[place]);
            assert!(used >= total, "{scope:?} was refused with {used} of {total}");
            assert!(used <= most, "{scope:?} was refused with {used} of {total}, and at most {most} were held");
            // What is deducted from a package is held, and not of the quota.
            let packaged = packages && matches!(scope, Scope::Holder(_));
            assert!(used >= least || packaged, "{scope:?} was refused with {used}, and at least {least} were held");
        }
    }

    /// The request is over; what it possibly took is the order of this URL, if it took anything.
    fn end(&mut self, request: &str, order: &str) -> Watch {
        let watch = self.watches.remove(request).unwrap();
        for scope in watch.scopes {
            let held = self.of(scope);
            held.possibly.remove(request);
            if !order.is_empty() {
                held.possibly.insert(order.to_owned());
            }
        }
        watch
    }

    /// An order has come to that stage.
    pub fn set(&mut self, url: &str, stage: &Stage) {
        for order in self.orders.iter_mut().filter(|order| order.url == url) {
            order.stage = stage.clone();
        }
    }

    /// Somebody begins to end an order, for both counts or, by revocation, for the holder's alone.
    pub fn ending(&mut self, order: &str, both: bool) {
        self.ending.insert(order.to_owned());
        for (scope, held) in &mut self.held {
            if both || matches!(scope, Scope::Holder(_)) {
                held.certainly.remove(order);
            }
        }
        self.look(None);
    }

    /// Somebody begins to end the proof of an order's name, and with it every order of the account that rests on it.
    pub fn giving_up(&mut self, order: &Known) {
        self.giving_up.insert((order.account, order.name.clone()));
        let alike = |other: &&Known| other.account == order.account && other.name == order.name;
        let urls: Vec<String> = self.orders.iter().filter(alike).map(|other| other.url.clone()).collect();
        for url in urls {
            self.ending(&url, true);
        }
    }

    /// An order has certainly ended, likewise.
    pub fn ended(&mut self, order: &str, both: bool) {
        for (scope, held) in &mut self.held {
            if both || matches!(scope, Scope::Holder(_)) {
                held.possibly.remove(order);
            }
        }
    }

    /// The clock is about to be set to that moment.
    pub fn jump(&mut self, to: Timestamp) {
        let over: Vec<String> =
            self.orders.iter().filter(|order| order.expires <= to).map(|order| order.url.clone()).collect();
        for order in over {
            self.ending(&order, true);
        }
        for held in self.held.values_mut() {
            held.certainly.retain(|what| !what.starts_with(ELSEWHERE));
        }
        self.look(None);
    }

    /// Something was issued on another platform, or an operator is about to say so.
    pub fn elsewhere(&mut self, domain: usize, note: &str, certain: bool) {
        let held = self.of(Scope::Domain(domain));
        held.possibly.insert(note.to_owned());
        if certain {
            held.certainly.insert(note.to_owned());
        }
        self.look(None);
    }

    /// All is quiet: what is held is known for sure.
    pub fn settle(&mut self, held: impl IntoIterator<Item = (Scope, String)>) {
        self.held.clear();
        self.watches.clear();
        self.ending.clear();
        self.giving_up.clear();
        self.busy.clear();
        for (scope, what) in held {
            let of = self.of(scope);
            of.certainly.insert(what.clone());
            of.possibly.insert(what);
        }
    }

    fn of(&mut self, scope: Scope) -> &mut Held {
        self.held.entry(scope).or_default()
    }

    /// Has every request that is under way notice how things stand, but not what itself possibly takes.
    fn look(&mut self, except: Option<&str>) {
        for (request, watch) in &mut self.watches {
            if except == Some(request) {
                continue;
            }
            for (place, scope) in watch.scopes.into_iter().enumerate() {
                if let Some(held) = self.held.get(&scope) {
                    watch.least[place] = watch.least[place].min(held.certainly.len());
                    let others = held.possibly.len() - usize::from(held.possibly.contains(request));
                    watch.most[place] = watch.most[place].max(others);
                }
            }
        }
    }
}
