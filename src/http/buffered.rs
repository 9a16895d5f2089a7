//! Bodies of requests that are on their way take so much memory together, and so much of it from one address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::domain::limit::Network;

/// What one address may take of it all.
const SHARE: usize = 4;

/// The octets of bodies that have come and are not whole yet.
pub(super) struct Buffered {
    most: usize,
    held: Mutex<(usize, HashMap<Network, usize>)>,
}

/// What one body holds; given back when dropped.
pub(super) struct Held {
    buffered: Arc<Buffered>,
    place: Option<Network>,
    octets: usize,
}

impl Buffered {
    pub(super) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most, held: Mutex::default() })
    }

    /// For a body from that address, nothing of which has come.
    pub(super) fn begin(self: &Arc<Self>, from: Option<IpAddr>) -> Held {
        Held { buffered: self.clone(), place: from.map(Network::place), octets: 0 }
    }
}

impl Held {
    /// Whether so many more octets may be kept.
    pub(super) fn grow(&mut self, octets: usize) -> bool {
        let Buffered { most, held } = &*self.buffered;
        let (total, of) = &mut *held.lock();
        let own = self.place.and_then(|place| of.get(&place).copied()).unwrap_or_default();
        if *total + octets > *most || (self.place.is_some() && own + octets > *most / SHARE) {
            return false;
        }
        *total += octets;
        self.octets += octets;
        if let Some(place) = self.place {
            of.insert(place, own + octets);
        }
        true
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if self.octets == 0 {
            return;
        }
        let (total, of) = &mut *self.buffered.held.lock();
        *total -= self.octets;
        let Some(place) = self.place else { return };
        if let Some(own) = of.get_mut(&place) {
            *own -= self.octets;
            if *own == 0 {
                of.remove(&place);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_is_bounded_in_all_and_for_one_address_and_comes_back() {
        let buffered = Buffered::new(1000);
        let from = |last: u8| Some(IpAddr::from([192, 0, 2, last]));
        let mut one = buffered.begin(from(1));
        assert!(one.grow(250) && !one.grow(1));
        let mut same = buffered.begin(from(1));
        assert!(!same.grow(1));
        let others: Vec<Held> = (2..=4)
            .map(|last| {
                let mut held = buffered.begin(from(last));
                assert!(held.grow(250));
                held
            })
            .collect();
        let mut late = buffered.begin(from(5));
        assert!(!late.grow(1));
        drop(one);
        assert!(late.grow(250) && !same.grow(1));
        drop((late, others, same));
        let (total, of) = &*buffered.held.lock();
        assert!(*total == 0 && of.is_empty());
    }
}
