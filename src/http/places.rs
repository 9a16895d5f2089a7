//! Places for connections: so many in all, so many for one group of addresses; and whose connection goes when all places
//! are taken.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

use super::Limits;
use super::activity::Activity;
use super::groups::Groups;
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
    /// How many of them were told to go. These count no longer for their groups.
    leaving: usize,
    /// Who has how many of the others, and which of these are quiet.
    groups: Groups,
}

struct Sitting {
    group: Network,
    state: Sits,
    leave: Arc<Notify>,
}

enum Sits {
    /// A request of it is whole and being answered.
    Busy,
    QuietSince(Instant),
    Leaving,
}

/// A place that is taken until this is dropped.
pub(super) struct Seat {
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

    /// Waits until there is a place for a connection from an address that has waited since then; connections that are of no
    /// use to anybody now are closed for it.
    pub(super) async fn room(&self, newcomer: IpAddr, since: Instant) {
        loop {
            let freed = self.freed.notified();
            if self.has_room(Network::group(newcomer), since.elapsed()) {
                return;
            }
            // Whether one was freed or the time passed, it is looked again.
            let _ = timeout(LOOK_AGAIN, freed).await;
        }
    }

    /// Whether there is a place. If there is none, connections are told to go, so that there will be.
    fn has_room(&self, newcomer: Network, waited: Duration) -> bool {
        let mut taken = self.taken.lock();
        if taken.seats.len() < self.most {
            return true;
        }
        // Several at once, because each takes its time to go.
        let wanted = (self.most / 64).clamp(1, 64);
        while taken.leaving < wanted {
            let mut oldest = taken.groups.oldest_of_each_weight();
            let Some((.., number)) = oldest.find(|(_, since, _)| since.elapsed() >= self.spare_after) else { break };
            drop(oldest);
            taken.send_away(number);
        }
        // All who are not busy have been quiet for a moment only. Then whoever has more than the newcomer would have gives way
        // at once, and others when it has waited as long as they may be quiet.
        if taken.leaving == 0 {
            let own = taken.groups.weight(newcomer) + 1;
            let oldest = taken.groups.oldest_of_each_weight().next();
            if let Some((.., number)) = oldest.filter(|(has, ..)| *has > own || waited >= self.spare_after) {
                taken.send_away(number);
            }
        }
        false
    }

    /// Takes a place for a connection from an address; none when its group has as many as one may have, and uses them.
    pub(super) fn sit(self: &Arc<Self>, from: IpAddr) -> Option<Seat> {
        let (group, now) = (Network::group(from), Instant::now());
        let mut taken = self.taken.lock();
        if self.most_of_one > 0 && taken.groups.weight(group) >= self.most_of_one {
            let oldest = taken.groups.oldest_of(group);
            let Some((_, number)) = oldest.filter(|(since, _)| since.elapsed() >= self.spare_after) else {
                metrics::counter!(telemetry::HTTP_CONNECTIONS_REFUSED).increment(1);
                return None;
            };
            taken.send_away(number);
        }
        let number = taken.number;
        taken.number += 1;
        let leave = Arc::<Notify>::default();
        taken.seats.insert(number, Sitting { group, state: Sits::QuietSince(now), leave: leave.clone() });
        taken.groups.change(group, |group| {
            group.weight += 1;
            group.spare.insert((now, number));
        });
        Some(Seat { places: self.clone(), activity: Arc::new(Activity::begin(number, self.clone(), now, leave)) })
    }

    /// Notes since when a connection has been quiet; none while it is not.
    pub(super) fn note(&self, number: u64, quiet_since: Option<Instant>) {
        let mut taken = self.taken.lock();
        let Taken { seats, groups, .. } = &mut *taken;
        let Some(seat) = seats.get_mut(&number) else { return };
        let before = match seat.state {
            Sits::Leaving => return,
            Sits::QuietSince(before) => Some(before),
            Sits::Busy => None,
        };
        seat.state = quiet_since.map_or(Sits::Busy, Sits::QuietSince);
        groups.change(seat.group, |group| {
            before.map(|before| group.spare.remove(&(before, number)));
            quiet_since.map(|since| group.spare.insert((since, number)));
        });
    }

    /// Keeps a connection that was told to go when a request of it was whole already: it counts as any other again, and can be
    /// told once more when it is quiet.
    pub(super) fn stay(&self, number: u64) {
        let mut taken = self.taken.lock();
        let Taken { seats, groups, leaving, .. } = &mut *taken;
        let Some(seat) = seats.get_mut(&number) else { return };
        if let Sits::Leaving = seat.state {
            seat.state = Sits::Busy;
            *leaving -= 1;
            groups.change(seat.group, |group| group.weight += 1);
        }
    }
}

impl Taken {
    /// Tells a quiet connection to go.
    fn send_away(&mut self, number: u64) {
        let Some(seat) = self.seats.get_mut(&number) else { return };
        if let Sits::QuietSince(since) = std::mem::replace(&mut seat.state, Sits::Leaving) {
            self.groups.change(seat.group, |group| {
                group.weight -= 1;
                group.spare.remove(&(since, number));
            });
            self.leaving += 1;
            seat.leave.notify_one();
            metrics::counter!(telemetry::HTTP_CONNECTIONS_SPARED).increment(1);
        }
    }

    fn free(&mut self, number: u64) {
        let Some(Sitting { group, state, .. }) = self.seats.remove(&number) else { return };
        let quiet_since = match state {
            Sits::Leaving => {
                self.leaving -= 1;
                return;
            }
            Sits::QuietSince(since) => Some(since),
            Sits::Busy => None,
        };
        self.groups.change(group, |group| {
            group.weight -= 1;
            quiet_since.map(|since| group.spare.remove(&(since, number)));
        });
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.places.taken.lock().free(self.activity.number());
        self.places.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::super::activity::Asking;
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

    /// A request of the connection that is whole.
    fn running(seat: &Seat) -> Asking {
        let mut asking = seat.activity.asking();
        asking.whole();
        asking
    }

    fn is_leaving(seat: &Seat) -> bool {
        let taken = seat.places.taken.lock();
        matches!(taken.seats[&seat.activity.number()].state, Sits::Leaving)
    }

    #[test]
    fn one_address_has_so_many_places_and_its_quiet_connections_make_room() {
        let places = places(10, 2, Duration::ZERO);
        let (first, second) = (places.sit(address(1)).unwrap(), places.sit(address(1)).unwrap());
        let (one, two) = (running(&first), running(&second));
        assert!(places.sit(address(1)).is_none());
        let other = places.sit(address(2)).unwrap();
        drop(two);
        let third = places.sit(address(1)).unwrap();
        let three = running(&third);
        assert_eq!([&first, &second, &other].map(is_leaving), [false, true, false]);
        assert!(places.sit(address(1)).is_none(), "the first and the third have requests under way");
        drop((one, three));
        drop((second, third));
        drop(places.sit(address(1)).unwrap());
        drop((first, other));
        let taken = places.taken.lock();
        assert!(taken.seats.is_empty() && taken.groups.is_empty() && taken.leaving == 0);
    }

    #[test]
    fn a_connection_that_was_quiet_for_a_moment_only_stays() {
        let places = places(1, 1, Duration::from_secs(3600));
        let only = places.sit(address(1)).unwrap();
        assert!(places.sit(address(1)).is_none() && !is_leaving(&only));
    }

    #[test]
    fn a_connection_whose_request_is_whole_when_it_is_told_to_go_stays_and_can_be_told_again() {
        let places = places(2, 0, Duration::ZERO);
        let (first, second) = (places.sit(address(1)).unwrap(), places.sit(address(1)).unwrap());
        let group = Network::group(address(1));
        let _other = running(&second);
        assert!(!places.has_room(Network::group(address(2)), Duration::ZERO));
        assert!(is_leaving(&first) && places.taken.lock().groups.weight(group) == 1);
        let asking = running(&first);
        assert!(first.activity.stays() && !is_leaving(&first));
        {
            let taken = places.taken.lock();
            assert_eq!((taken.leaving, taken.groups.weight(group)), (0, 2));
        }
        drop(asking);
        assert!(!places.has_room(Network::group(address(2)), Duration::ZERO));
        assert!(is_leaving(&first) && !first.activity.stays());
    }

    #[test]
    fn newcomers_are_refused_without_a_look_at_every_place() {
        let places = places(5_000, 500, Duration::ZERO);
        let seats: Vec<Seat> = (0..5_000).map(|n| places.sit(address((n % 10) as u8)).unwrap()).collect();
        let under_way: Vec<_> = seats.iter().map(running).collect();
        let begun = std::time::Instant::now();
        for _ in 0..10_000 {
            for last in 0..10 {
                assert!(places.sit(address(last)).is_none());
            }
        }
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
        drop(under_way);
    }

    #[tokio::test]
    async fn when_all_places_are_taken_the_address_with_the_most_gives_way() {
        let places = places(6, 0, Duration::ZERO);
        let honest = places.sit(address(1)).unwrap();
        let mut flood: Vec<Seat> = (0..5).map(|_| places.sit(address(2)).unwrap()).collect();
        let seats = || std::iter::once(&honest).chain(&flood);
        let under_way: Vec<_> = seats().map(running).collect();
        tokio::select! {
            biased;
            () = places.room(address(3), Instant::now()) => panic!("everybody has a request under way"),
            () = std::future::ready(()) => {}
        }
        drop(under_way);
        let waiting = tokio::spawn({
            let places = places.clone();
            async move { places.room(address(3), Instant::now()).await }
        });
        while flood.len() == 5 {
            tokio::task::yield_now().await;
            flood.retain(|seat| !is_leaving(seat));
        }
        assert_eq!(flood.len(), 4);
        waiting.await.unwrap();
        assert!(!is_leaving(&honest));
    }

    /// Who of these is told to go for a newcomer from that address that has waited so long.
    fn makes_room(places: &Places, newcomer: IpAddr, waited: Duration, seats: &[&Seat]) -> Vec<bool> {
        assert!(!places.has_room(Network::group(newcomer), waited));
        seats.iter().map(|seat| is_leaving(seat)).collect()
    }

    #[test]
    fn a_connection_whose_request_still_comes_makes_room_and_one_that_is_answered_does_not() {
        let places = places(3, 0, Duration::ZERO);
        let seats: Vec<Seat> = (1..4).map(|last| places.sit(address(last)).unwrap()).collect();
        let answered = running(&seats[0]);
        let (first, second) = (seats[1].activity.asking(), seats[2].activity.asking());
        let all = [&seats[0], &seats[1], &seats[2]];
        assert_eq!(makes_room(&places, address(4), Duration::ZERO, &all), [false, true, false]);
        drop((answered, first, second));
    }

    #[test]
    fn requests_that_are_begun_and_given_up_gain_no_time() {
        let places = places(2, 0, Duration::ZERO);
        let (first, second) = (places.sit(address(1)).unwrap(), places.sit(address(2)).unwrap());
        drop(first.activity.asking());
        drop(running(&second));
        for _ in 0..3 {
            drop(first.activity.asking());
        }
        assert_eq!(makes_room(&places, address(3), Duration::ZERO, &[&first, &second]), [true, false]);
    }

    #[test]
    fn who_has_more_than_a_newcomer_gives_way_at_once_and_others_when_it_has_waited() {
        let hour = Duration::from_secs(3600);
        let places = places(3, 0, hour);
        let at = |text: &str| places.sit(text.parse().unwrap()).unwrap();
        // Two networks of one site count together.
        let seats = [at("192.0.2.1"), at("2001:db8:1:1::1"), at("2001:db8:1:2::1")];
        let all = [&seats[0], &seats[1], &seats[2]];
        let own = "2001:db8:1:3::1".parse().unwrap();
        assert_eq!(makes_room(&places, own, Duration::ZERO, &all), [false, false, false]);
        assert_eq!(makes_room(&places, address(2), Duration::ZERO, &all), [false, true, false]);
        drop(seats);
        let seats = [at("192.0.2.1"), at("192.0.2.2"), at("192.0.2.3")];
        let all = [&seats[0], &seats[1], &seats[2]];
        assert_eq!(makes_room(&places, address(4), hour / 2, &all), [false, false, false]);
        assert_eq!(makes_room(&places, address(4), hour, &all), [true, false, false]);
    }
}
