//! The generic cell rate algorithm, pure: a counter is a moment, and how far ahead of the clock it lies says how much of the
//! allowance is used. Counted in microseconds.

use std::time::Duration;

use crate::domain::Timestamp;
use crate::domain::limit::Rate;

/// A counter: the moment at which it is at rest again, microseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Cell(u64);

impl Cell {
    /// A counter at rest.
    pub(super) fn at_rest(now: Timestamp) -> Self {
        Self(micros(now))
    }

    /// Whether nothing of the allowance is used.
    pub(super) fn rests(self, now: Timestamp) -> bool {
        self.0 <= micros(now)
    }

    /// The counter with `count` more taken; or how long until they can be.
    pub(super) fn take(self, rate: Rate, count: u32, now: Timestamp) -> Result<Self, Duration> {
        let taken = self.charge(rate, count, now);
        let full = micros(now) + period(rate);
        match taken.0.checked_sub(full) {
            None | Some(0) => Ok(taken),
            Some(over) => Err(Duration::from_micros(over)),
        }
    }

    /// The counter with `count` more taken, allowed or not: it is full at most.
    pub(super) fn charge_up(self, rate: Rate, count: u32, now: Timestamp) -> Self {
        let Self(taken) = self.charge(rate, count, now);
        Self(taken.min(micros(now) + period(rate)))
    }

    fn charge(self, rate: Rate, count: u32, now: Timestamp) -> Self {
        let now = micros(now);
        // Never further ahead than the whole allowance, so that a clock that was set back does not lock anybody out.
        Self(self.0.clamp(now, now + period(rate)) + u64::from(count) * interval(rate))
    }

    /// The counter with `count` given back.
    pub(super) fn give_back(self, rate: Rate, count: u32) -> Self {
        Self(self.0.saturating_sub(u64::from(count) * interval(rate)))
    }
}

fn micros(moment: Timestamp) -> u64 {
    moment.as_millis().saturating_mul(1000)
}

fn period(rate: Rate) -> u64 {
    u64::from(rate.per_s) * 1_000_000
}

/// The time in which one comes back; rounded down, so that the whole allowance fits into its period.
fn interval(rate: Rate) -> u64 {
    period(rate) / u64::from(rate.count.max(1))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The naive model: a bucket whose level, counted in parts of one, runs out evenly.
    struct Bucket {
        level: u64,
        seen: u64,
    }

    impl Bucket {
        const PARTS: u64 = 1_000_000;

        fn flow(&mut self, rate: Rate, now: u64) {
            let out = (now - self.seen) * 1000 * u64::from(rate.count) / u64::from(rate.per_s);
            self.level = self.level.saturating_sub(out);
            self.seen = now;
        }

        fn take(&mut self, rate: Rate, count: u32) -> bool {
            let wanted = u64::from(count) * Self::PARTS;
            let fits = self.level + wanted <= u64::from(rate.count) * Self::PARTS;
            self.level += if fits { wanted } else { 0 };
            fits
        }
    }

    #[derive(Debug, Clone)]
    enum Step {
        Pass(u64),
        Take(u32),
        GiveBack,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step =
            prop_oneof![(0_u64..20_000).prop_map(Step::Pass), (1_u32..4).prop_map(Step::Take), Just(Step::GiveBack),];
        proptest::collection::vec(step, 1..200)
    }

    proptest! {
        // Rates whose interval is a whole number of microseconds, so that the model needs no rounding.
        #[test]
        fn it_does_what_a_leaking_bucket_does(
            steps in steps(),
            count in prop::sample::select(vec![1_u32, 2, 4, 5, 8, 10, 20]),
            per_s in prop::sample::select(vec![1_u32, 10, 100]),
        ) {
            let rate = Rate::of(count, per_s);
            let mut now = 1_000_000_u64;
            let mut cell = Cell::at_rest(Timestamp::from_millis(now));
            let mut bucket = Bucket { level: 0, seen: now };
            for step in steps {
                match step {
                    Step::Pass(millis) => now += millis,
                    Step::Take(wanted) => {
                        let moment = Timestamp::from_millis(now);
                        bucket.flow(rate, now);
                        let taken = cell.take(rate, wanted, moment);
                        prop_assert_eq!(taken.is_ok(), bucket.take(rate, wanted));
                        if let Ok(taken) = taken {
                            cell = taken;
                        }
                    }
                    Step::GiveBack => {
                        bucket.flow(rate, now);
                        // Only what was taken is given back.
                        if bucket.level >= Bucket::PARTS {
                            bucket.level -= Bucket::PARTS;
                            cell = cell.give_back(rate, 1);
                        }
                    }
                }
            }
        }

        #[test]
        fn the_wait_is_exact(count in 1_u32..500, per_s in 1_u32..100_000, used in 0_u32..600) {
            let rate = Rate::of(count, per_s);
            let now = Timestamp::from_secs(1_000_000);
            let mut cell = Cell::at_rest(now);
            let mut allowed = 0;
            for _ in 0..used {
                if let Ok(taken) = cell.take(rate, 1, now) {
                    cell = taken;
                    allowed += 1;
                }
            }
            prop_assert!(allowed <= count && allowed == used.min(count));
            if let Err(wait) = cell.take(rate, 1, now) {
                prop_assert!(wait <= rate.per());
                let millis = wait.as_micros().div_ceil(1000) as u64;
                cell.take(rate, 1, now + Duration::from_millis(millis)).unwrap();
                if millis > 1 {
                    cell.take(rate, 1, now + Duration::from_millis(millis - 1)).unwrap_err();
                }
            }
        }

        #[test]
        fn a_clock_set_back_locks_nobody_out_for_longer_than_the_period(
            count in 1_u32..100,
            back in 0_u64..10_000_000,
        ) {
            let rate = Rate::hourly(count);
            let now = Timestamp::from_secs(20_000_000);
            let mut cell = Cell::at_rest(now);
            for _ in 0..count {
                cell = cell.take(rate, 1, now).unwrap();
            }
            let earlier = Timestamp::from_secs(20_000_000 - back);
            if let Err(wait) = cell.take(rate, 1, earlier) {
                prop_assert!(wait <= rate.per());
            }
        }
    }
}
