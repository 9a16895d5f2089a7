//! Bodies of requests that are on their way take so much memory together, and so much of it from one group of addresses.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::groups::Groups;
use crate::domain::limit::Network;

/// What one group of addresses may take of it all.
const SHARE: usize = 4;

/// The octets of bodies that have come and are not whole yet.
pub(super) struct Buffered {
    most: usize,
    bodies: Mutex<Bodies>,
}

#[derive(Default)]
struct Bodies {
    number: u64,
    octets: usize,
    held: HashMap<u64, Body>,
    groups: Groups,
}

struct Body {
    group: Network,
    since: Instant,
    octets: usize,
    given_up: Arc<Notify>,
}

/// What one body holds; given back when dropped.
pub(super) struct Held {
    buffered: Arc<Buffered>,
    number: u64,
    given_up: Arc<Notify>,
}

impl Buffered {
    pub(super) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most, bodies: Mutex::default() })
    }

    /// For a body from that address, nothing of which has come.
    pub(super) fn begin(self: &Arc<Self>, from: IpAddr) -> Held {
        let (group, since, given_up) = (Network::group(from), Instant::now(), Arc::<Notify>::default());
        let mut bodies = self.bodies.lock();
        let number = bodies.number;
        bodies.number += 1;
        bodies.held.insert(number, Body { group, since, octets: 0, given_up: given_up.clone() });
        Held { buffered: self.clone(), number, given_up }
    }
}

impl Held {
    /// Whether so many more octets may be kept. When there is no room for them, bodies are given up of whoever holds the
    /// most, as long as that is more than this one's group holds.
    pub(super) fn grow(&mut self, octets: usize) -> bool {
        let most = self.buffered.most;
        let mut bodies = self.buffered.bodies.lock();
        let Some(group) = bodies.held.get(&self.number).map(|body| body.group) else { return false };
        let own = bodies.groups.weight(group) + octets;
        if own > most / SHARE {
            return false;
        }
        while bodies.octets + octets > most {
            let heaviest = bodies.groups.oldest_of_each_weight().next();
            let Some((_, _, other)) = heaviest.filter(|(weight, ..)| *weight > own) else { return false };
            if let Some(given_up) = bodies.end(other) {
                given_up.notify_one();
            }
        }
        bodies.grow(self.number, octets);
        true
    }

    /// Waits until the body is given up for others.
    pub(super) async fn given_up(&self) {
        self.given_up.notified().await;
    }
}

impl Bodies {
    fn grow(&mut self, number: u64, octets: usize) {
        let Some(body) = self.held.get_mut(&number) else { return };
        body.octets += octets;
        self.octets += octets;
        let since = body.since;
        self.groups.change(body.group, |group| {
            group.weight += octets;
            group.spare.insert((since, number));
        });
    }

    /// Gives back what a body holds, unless that has been done: who is to be told that it was given up.
    fn end(&mut self, number: u64) -> Option<Arc<Notify>> {
        let Body { group, since, octets, given_up } = self.held.remove(&number)?;
        self.octets -= octets;
        self.groups.change(group, |group| {
            group.weight -= octets;
            group.spare.remove(&(since, number));
        });
        Some(given_up)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.buffered.bodies.lock().end(self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    #[test]
    fn what_is_held_is_bounded_in_all_and_for_one_address_and_comes_back() {
        let buffered = Buffered::new(1000);
        let mut one = buffered.begin(address(1));
        assert!(one.grow(0) && one.grow(250) && !one.grow(1));
        assert!(buffered.begin(address(6)).grow(0), "an empty part leaves nothing behind");
        let mut same = buffered.begin(address(1));
        assert!(!same.grow(1));
        let others: Vec<Held> = (2..=4)
            .map(|last| {
                let mut held = buffered.begin(address(last));
                assert!(held.grow(250));
                held
            })
            .collect();
        let mut late = buffered.begin(address(5));
        assert!(!late.grow(250), "nobody holds more than it would");
        drop(one);
        assert!(late.grow(250));
        drop((late, others, same));
        let bodies = buffered.bodies.lock();
        assert!(bodies.octets == 0 && bodies.held.is_empty() && bodies.groups.is_empty());
    }

    #[tokio::test]
    async fn whoever_holds_the_most_gives_up_the_oldest_for_others() {
        let buffered = Buffered::new(1000);
        let mut held: Vec<Held> = Vec::new();
        for last in [1, 2, 3, 4, 1, 2, 3, 4] {
            held.push(buffered.begin(address(last)));
            assert!(held.last_mut().unwrap().grow(120));
        }
        let mut honest = buffered.begin(address(5));
        assert!(honest.grow(150) && honest.grow(10));
        tokio::select! {
            biased;
            () = held[0].given_up() => {}
            () = std::future::ready(()) => panic!("the oldest of the first address gives way"),
        }
        assert!(!held[0].grow(1), "it holds nothing more");
        drop((held, honest));
        let bodies = buffered.bodies.lock();
        assert!(bodies.octets == 0 && bodies.held.is_empty() && bodies.groups.is_empty());
    }

    #[test]
    fn the_addresses_of_a_site_share_their_part() {
        let buffered = Buffered::new(1000);
        let at = |text: &str| buffered.begin(text.parse().unwrap());
        let mut first = at("2001:db8:1:1::1");
        assert!(first.grow(200));
        assert!(!at("2001:db8:1:2::1").grow(51) && at("2001:db8:2:1::1").grow(51));
    }
}
