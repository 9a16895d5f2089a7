//! How many remote perspectives must see what the primary saw (Baseline Requirements 3.2.2.9): pure functions.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::domain::Timestamp;

/// The service regions in which those that corroborate must lie: so many different ones at least.
pub const REGIONS: usize = 2;

/// From when on how many remote perspectives the Baseline Requirements demand of a public CA (3.2.2.9, "Phased
/// Implementation Timeline"), oldest first.
const DEMANDED: &[(Timestamp, usize)] = &[
    // 2025-03-15, 2026-03-15, 2026-06-15, 2026-12-15
    (Timestamp::from_secs(1_741_996_800), 2),
    (Timestamp::from_secs(1_773_532_800), 3),
    (Timestamp::from_secs(1_781_481_600), 4),
    (Timestamp::from_secs(1_797_292_800), 5),
];

/// The service region of a Regional Internet Registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Region {
    /// Africa.
    Afrinic,
    /// Asia and the Pacific.
    Apnic,
    /// Canada, the United States and parts of the Caribbean.
    Arin,
    /// Latin America and parts of the Caribbean.
    Lacnic,
    /// Europe, the Middle East and parts of Central Asia.
    RipeNcc,
}

impl Region {
    /// Its name in settings and messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Afrinic => "afrinic",
            Self::Apnic => "apnic",
            Self::Arin => "arin",
            Self::Lacnic => "lacnic",
            Self::RipeNcc => "ripe-ncc",
        }
    }
}

impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How many of so many remote perspectives may fail to corroborate: the table "Quorum Requirements" of 3.2.2.9. Fewer than
/// two are no quorum at all, and none of them may fail.
pub fn allowed_failures(remotes: usize) -> usize {
    match remotes {
        0 | 1 => 0,
        2..=5 => 1,
        _ => 2,
    }
}

/// Whether the answers are a quorum: each is the region of a remote perspective, and whether it corroborates. No more than
/// `allowed` may not, and those that do lie in at least two regions.
pub fn is_met(answers: impl IntoIterator<Item = (Region, bool)>, allowed: usize) -> bool {
    let (mut failures, mut regions) = (0, BTreeSet::new());
    for (region, corroborates) in answers {
        if corroborates {
            regions.insert(region);
        } else {
            failures += 1;
        }
    }
    failures <= allowed && regions.len() >= REGIONS
}

/// How many remote perspectives a public CA must have at a moment.
pub fn demanded(now: Timestamp) -> usize {
    DEMANDED.iter().rev().find(|(from, _)| *from <= now).map_or(0, |(_, count)| *count)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ALL: [Region; 5] = [Region::Afrinic, Region::Apnic, Region::Arin, Region::Lacnic, Region::RipeNcc];

    /// The table of 3.2.2.9 as it is printed: from how many, up to how many, allowed non-corroborations.
    const TABLE: [(usize, usize, usize); 2] = [(2, 5, 1), (6, usize::MAX, 2)];

    #[test]
    fn the_calendar_is_that_of_the_baseline_requirements() {
        for (date, count) in [
            ("2025-03-14T23:59:59Z", 0),
            ("2025-03-15T00:00:00Z", 2),
            ("2025-09-15T00:00:00Z", 2),
            ("2026-03-14T23:59:59Z", 2),
            ("2026-03-15T00:00:00Z", 3),
            ("2026-06-15T00:00:00Z", 4),
            ("2026-12-14T23:59:59Z", 4),
            ("2026-12-15T00:00:00Z", 5),
            ("2030-01-01T00:00:00Z", 5),
        ] {
            assert_eq!(demanded(Timestamp::parse_rfc3339(date).unwrap()), count, "{date}");
        }
    }

    #[test]
    fn regions_are_written_as_they_are_read() {
        for region in ALL {
            assert_eq!(serde_json::to_value(region).unwrap(), region.as_str());
        }
    }

    proptest! {
        #[test]
        fn a_quorum_is_what_the_table_says(
            answers in proptest::collection::vec((0_usize..5, any::<bool>()), 2..40),
        ) {
            let answers: Vec<(Region, bool)> = answers.into_iter().map(|(place, seen)| (ALL[place], seen)).collect();
            let remotes = answers.len();
            let (_, _, allowed) = TABLE.into_iter().find(|(from, to, _)| (*from..=*to).contains(&remotes)).unwrap();
            prop_assert_eq!(allowed_failures(remotes), allowed);
            let corroborating: Vec<Region> = answers.iter().filter(|(_, seen)| *seen).map(|(region, _)| *region).collect();
            let spread = corroborating.iter().any(|region| *region != corroborating[0]);
            let expected = remotes - corroborating.len() <= allowed && spread;
            prop_assert_eq!(is_met(answers.clone(), allowed), expected);
            // Neither the order nor one corroboration more can turn it down.
            let mut turned = answers.clone();
            turned.reverse();
            prop_assert_eq!(is_met(turned, allowed), expected);
            let better = answers.iter().map(|(region, _)| (*region, true));
            prop_assert!(!expected || is_met(better, allowed));
            // A tighter rule never lets more through.
            prop_assert!(!is_met(answers.clone(), 0) || expected);
        }
    }
}
