//! Business days: Monday to Friday, in UTC, without the holidays of the catalogue (section 27 of the rules).

use std::collections::BTreeSet;

use super::catalog::{Day, days};
use crate::domain::Timestamp;

/// The moment so many business days later: each of them ends at the time of day at which it began.
pub fn later(from: Timestamp, count: u32, holidays: &BTreeSet<Day>) -> Timestamp {
    let (mut moment, mut left) = (from, count);
    while left > 0 && moment < Timestamp::MAX {
        moment = moment + days(1);
        left -= u32::from(is_business_day(moment, holidays));
    }
    moment
}

/// Whether people work at that moment's day.
pub fn is_business_day(moment: Timestamp, holidays: &BTreeSet<Day>) -> bool {
    let day = moment.as_secs() / 86_400;
    // 1970-01-01 was a Thursday; Monday is 0.
    (day + 3) % 7 < 5 && !holidays.contains(&Day(Timestamp::from_secs(day * 86_400)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weekends_and_holidays_are_left_out() {
        let at = |text: &str| Timestamp::parse_rfc3339(text).unwrap();
        let holidays = BTreeSet::from([Day(at("2026-10-01T00:00:00Z")), Day(at("2026-10-02T00:00:00Z"))]);
        for (from, count, to) in [
            // Saturday, Friday and Wednesday before two days off.
            ("2026-11-21T12:00:00Z", 1, "2026-11-23T12:00:00Z"),
            ("2026-11-20T12:00:00Z", 1, "2026-11-23T12:00:00Z"),
            ("2026-11-20T12:00:00Z", 5, "2026-11-27T12:00:00Z"),
            ("2026-09-30T09:30:00Z", 1, "2026-10-05T09:30:00Z"),
            ("2026-09-30T09:30:00Z", 0, "2026-09-30T09:30:00Z"),
        ] {
            assert_eq!(later(at(from), count, &holidays), at(to), "{from} and {count}");
        }
    }
}
