//! Places for connections: so many in all, so many for one address; and whose connection goes when all places are taken.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::timeout;

use super::Limits;
use super::activity::Activity;
use crate::domain::limit::Network;
use crate::telemetry;

/// While no connection can be closed for a newcomer, it is looked again so often.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// The places of a listener.
pub(super) struct Places {
    most: usize,
    /// 0: as many as there are.
    most_of_one: usize,
    spare_after: Duration,
    taken: Mutex<Taken>,
    freed: Notify,
}

#[derive(Default)]
struct Taken {
    number: u64,
    seats: HashMap<u64, Sitting>,
    of: HashMap<Network, usize>,
}

struct Sitting {
    place: Network,
    activity: Arc<Activity>,
    /// Whether it was told to go; then it counts no longer for its address.
    leaving: bool,
}

/// A place that is taken until this is dropped.
pub(super) struct Seat {
    number: u64,
    places: Arc<Places>,
    /// What its connection does.
    pub(super) activity: Arc<Activity>,
}

impl Places {
    pub(super) fn new(limits: &Limits) -> Arc<Self> {
        Arc::new(Self {
            most: limits.max_connections,
            most_of_one: limits.max_connections_per_address,
            spare_after: limits.spare_after,
            taken: Mutex::default(),
            freed: Notify::new(),
        })
    }

    /// Waits until there is a place; connections that are of no use to anybody now are closed for it.
    pub(super) async fn room(&self) {
        loop {
            let freed = self.freed.notified();
            {
                let mut taken = self.taken.lock();
                if taken.seats.len() < self.most {
                    return;
                }
                // Several at once, so that a flood of newcomers does not have the list looked through for each.
                let wanted = (self.most / 64).clamp(1, 64);
                let leaving = taken.seats.values().filter(|seat| seat.leaving).count();
                taken.close_idle(wanted.saturating_sub(leaving), self.spare_after, None);
            }
            // Whether one was freed or the time passed, it is looked again.
            let _ = timeout(LOOK_AGAIN, freed).await;
        }
    }

    /// Takes a place for a connection from an address; none when that address has as many as one may have, and uses them.
    pub(super) fn sit(self: &Arc<Self>, from: IpAddr) -> Option<Seat> {
        let place = Network::place(from);
        let mut taken = self.taken.lock();
        let full = self.most_of_one > 0 && taken.of.get(&place).is_some_and(|count| *count >= self.most_of_one);
        if full && taken.close_idle(1, self.spare_after, Some(place)) == 0 {
            metrics::counter!(telemetry::HTTP_CONNECTIONS_REFUSED).increment(1);
            return None;
        }
        let number = taken.number;
        taken.number += 1;
        let activity = Arc::new(Activity::begin());
        taken.seats.insert(number, Sitting { place, activity: activity.clone(), leaving: false });
        *taken.of.entry(place).or_default() += 1;
        Some(Seat { number, places: self.clone(), activity })
    }
}

impl Taken {
    /// Tells up to `count` connections to go that have nothing under way for `spare_after`: those of the address that has
    /// the most of them, first those that have had an answer, then those that were quiet longest. How many it told.
    fn close_idle(&mut self, count: usize, spare_after: Duration, only: Option<Network>) -> usize {
        if count == 0 {
            return 0;
        }
        let spare = |(number, seat): (&u64, &Sitting)| {
            let quiet = seat.activity.quiet_for().filter(|quiet| !seat.leaving && *quiet >= spare_after)?;
            let wanted = only.is_none_or(|place| place == seat.place);
            let of_one = self.of.get(&seat.place).copied().unwrap_or_default();
            wanted.then_some((of_one, seat.activity.has_asked(), quiet, *number))
        };
        let mut spare: Vec<_> = self.seats.iter().filter_map(spare).collect();
        let count = count.min(spare.len());
        if count == 0 {
            return 0;
        }
        spare.select_nth_unstable_by(count - 1, |one, other| other.cmp(one));
        for (.., number) in &spare[..count] {
            let Some(seat) = self.seats.get_mut(number) else { continue };
            seat.leaving = true;
            let place = seat.place;
            seat.activity.leave();
            self.release(place);
        }
        metrics::counter!(telemetry::HTTP_CONNECTIONS_SPARED).increment(count as u64);
        count
    }

    fn release(&mut self, place: Network) {
        if let Some(count) = self.of.get_mut(&place) {
            *count -= 1;
            if *count == 0 {
                self.of.remove(&place);
            }
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.places.taken.lock();
        if let Some(seat) = taken.seats.remove(&self.number)
            && !seat.leaving
        {
            taken.release(seat.place);
        }
        drop(taken);
        self.places.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(most: usize, most_of_one: usize, spare_after: Duration) -> Arc<Places> {
        Places::new(&Limits {
            max_connections: most,
            max_connections_per_address: most_of_one,
            spare_after,
            ..Limits::default()
        })
    }

    fn address(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    #[test]
    fn one_address_has_so_many_places_and_its_quiet_connections_make_room() {
        let places = places(10, 2, Duration::ZERO);
        let (first, second) = (places.sit(address(1)).unwrap(), places.sit(address(1)).unwrap());
        let (one, two) = (first.activity.running(), second.activity.running());
        assert!(places.sit(address(1)).is_none());
        let other = places.sit(address(2)).unwrap();
        drop(two);
        let third = places.sit(address(1)).unwrap();
        let three = third.activity.running();
        assert_eq!([&first, &second, &other].map(|seat| seat.activity.is_leaving()), [false, true, false]);
        assert!(places.sit(address(1)).is_none(), "the first and the third have requests under way");
        drop((one, three));
        drop((second, third));
        drop(places.sit(address(1)).unwrap());
        drop((first, other));
        let taken = places.taken.lock();
        assert!(taken.seats.is_empty() && taken.of.is_empty());
    }

    #[test]
    fn a_connection_that_was_quiet_for_a_moment_only_stays() {
        let places = places(1, 1, Duration::from_secs(3600));
        let only = places.sit(address(1)).unwrap();
        assert!(places.sit(address(1)).is_none() && !only.activity.is_leaving());
    }

    #[tokio::test]
    async fn when_all_places_are_taken_the_address_with_the_most_gives_way() {
        let places = places(6, 0, Duration::ZERO);
        let honest = places.sit(address(1)).unwrap();
        let mut flood: Vec<Seat> = (0..5).map(|_| places.sit(address(2)).unwrap()).collect();
        let seats = || std::iter::once(&honest).chain(&flood);
        let under_way: Vec<_> = seats().map(|seat| seat.activity.running()).collect();
        tokio::select! {
            biased;
            () = places.room() => panic!("everybody has a request under way"),
            () = std::future::ready(()) => {}
        }
        drop(under_way);
        let waiting = tokio::spawn({
            let places = places.clone();
            async move { places.room().await }
        });
        while flood.len() == 5 {
            tokio::task::yield_now().await;
            flood.retain(|seat| !seat.activity.is_leaving());
        }
        assert_eq!(flood.len(), 4);
        waiting.await.unwrap();
        assert!(!honest.activity.is_leaving());
    }
}
