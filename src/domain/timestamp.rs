//! A moment, as everything in this crate counts it.

use std::fmt;
use std::ops::{Add, Sub};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// A moment: milliseconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The latest moment that an RFC 3339 string can name: the last second of the year 9999.
    pub const MAX: Timestamp = Timestamp(253_402_300_799_000);

    /// From milliseconds since 1970.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// From whole seconds since 1970.
    pub const fn from_secs(secs: u64) -> Self {
        Self(secs.saturating_mul(1000))
    }

    /// Milliseconds since 1970.
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// Whole seconds since 1970, rounded down.
    pub const fn as_secs(self) -> u64 {
        self.0 / 1000
    }

    /// The same moment with its fraction of a second cut off, as certificates and ACME objects show it.
    #[must_use]
    pub const fn whole_second(self) -> Self {
        Self::from_secs(self.as_secs())
    }

    /// Reads an RFC 3339 string (RFC 8555 section 7.1.3); none for other text and for moments before 1970.
    pub fn parse_rfc3339(text: &str) -> Option<Self> {
        let moment = OffsetDateTime::parse(text, &Rfc3339).ok()?;
        let second = u64::try_from(moment.unix_timestamp()).ok()?;
        // A smaller fraction than can be kept is still one: who can't honour fractions must be able to refuse it.
        let millis = moment.nanosecond().div_ceil(1_000_000).min(999);
        Some(Self(second.saturating_mul(1000) + u64::from(millis))).filter(|t| *t <= Self::MAX)
    }

    /// The moment as the `time` crate counts it, for the libraries that build certificates.
    pub fn to_offset(self) -> OffsetDateTime {
        let capped = self.min(Self::MAX);
        OffsetDateTime::from_unix_timestamp_nanos(i128::from(capped.0) * 1_000_000)
            .expect("MAX lies within the range of OffsetDateTime")
    }

    /// How long after `earlier` this is; zero when it is not after it.
    pub fn since(self, earlier: Timestamp) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Timestamp {
    type Output = Timestamp;

    fn add(self, by: Duration) -> Timestamp {
        Timestamp(self.0.saturating_add(u64::try_from(by.as_millis()).unwrap_or(u64::MAX)))
    }
}

impl Sub<Duration> for Timestamp {
    type Output = Timestamp;

    fn sub(self, by: Duration) -> Timestamp {
        Timestamp(self.0.saturating_sub(u64::try_from(by.as_millis()).unwrap_or(u64::MAX)))
    }
}

/// RFC 3339 in UTC with whole seconds, the form that every ACME client reads.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let t = self.whole_second().to_offset();
        write!(
            f,
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z",
            t.year(),
            u8::from(t.month()),
            t.day(),
            t.hour(),
            t.minute(),
            t.second()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc3339_round_trips_in_whole_seconds() {
        let moment = Timestamp::parse_rfc3339("2026-11-21T10:00:00.750+02:00").unwrap();
        assert_eq!(moment.to_string(), "2026-11-21T08:00:00Z");
        assert_eq!(Timestamp::parse_rfc3339(&moment.to_string()), Some(moment.whole_second()));
        assert_eq!(Timestamp::parse_rfc3339("1969-12-31T23:59:59Z"), None);
        assert_eq!(Timestamp::parse_rfc3339("1970-01-01T00:00:01.000000001Z"), Some(Timestamp(1001)));
        assert_eq!(Timestamp::parse_rfc3339("1970-01-01T00:00:01.9999999Z"), Some(Timestamp(1999)));
        assert_eq!(Timestamp::parse_rfc3339("tomorrow"), None);
        assert_eq!(Timestamp::MAX.to_string(), "9999-12-31T23:59:59Z");
    }
}
