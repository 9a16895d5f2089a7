//! Tests of free names: the documented cases, and what holds for every list.

use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::sample::subsequence;

use super::*;

const NEUTRAL: FreeNames = FreeNames { www: false, parent: false, neutral: true };
const PARENT: FreeNames = FreeNames { parent: true, ..NEUTRAL };
const BOTH: FreeNames = FreeNames { www: true, ..PARENT };

fn parse(names: &[&str]) -> Vec<Identifier> {
    names.iter().map(|name| Identifier::parse(if name.ends_with('1') { "ip" } else { "dns" }, name).unwrap()).collect()
}

#[test]
fn names_are_free_as_documented() {
    use ParentRule::{Level3Plus, WwwAndSecondLevelWildcard as Narrow};
    use Shape::{Multi, MultiWildcard, Single, Wildcard};
    type Row<'a> = (&'a str, FreeNames, ParentRule, Shape, &'a [&'a str], &'a [&'a str]);
    let rows: &[Row<'_>] = &[
        ("SAN-01", BOTH, Level3Plus, Single, &["zone.cn", "www.zone.cn"], &["www.zone.cn"]),
        ("SAN-01", PARENT, Level3Plus, Single, &["zone.cn", "www.zone.cn"], &[]),
        ("SAN-06", NEUTRAL, Level3Plus, Single, &["zone.cn", "www.zone.cn"], &[]),
        ("SAN-01", BOTH, Level3Plus, Multi, &["zone.cn", "a.zone.cn", "www.zone.cn"], &["zone.cn"]),
        ("SAN-01", BOTH, Level3Plus, Multi, &["www.zone.cn", "zone.cn"], &["www.zone.cn"]),
        ("SAN-01", BOTH, Level3Plus, Single, &["a.zone.cn", "www.a.zone.cn"], &[]),
        ("SAN-01", PARENT, Level3Plus, Multi, &["zone.cn", "www.zone.cn"], &[]),
        ("SAN-02", PARENT, Level3Plus, Multi, &["www.zone.cn", "zone.cn"], &["zone.cn"]),
        ("SAN-02", BOTH, Level3Plus, Single, &["a.zone.cn", "zone.cn"], &["zone.cn"]),
        ("SAN-02", BOTH, Level3Plus, Single, &["b.a.zone.cn", "a.zone.cn"], &["a.zone.cn"]),
        ("SAN-02", BOTH, Level3Plus, Single, &["b.a.zone.cn", "zone.cn"], &[]),
        ("SAN-02", BOTH, Level3Plus, Multi, &["zone.cn", "b.a.zone.cn", "a.zone.cn"], &["a.zone.cn"]),
        ("SAN-02", PARENT, Level3Plus, Multi, &["zone.cn", "a.zone.cn", "b.zone.cn"], &["zone.cn"]),
        ("SAN-02", PARENT, Level3Plus, MultiWildcard, &["*.a.zone.cn", "a.zone.cn"], &["a.zone.cn"]),
        ("SAN-02", PARENT, Level3Plus, Wildcard, &["*.a.zone.cn", "a.zone.cn"], &["a.zone.cn"]),
        ("SAN-03", BOTH, Level3Plus, Multi, &["me.github.io", "github.io"], &[]),
        ("SAN-04", NEUTRAL, Level3Plus, Single, &["www.zone.cn", "zone.cn"], &["zone.cn"]),
        ("SAN-04", NEUTRAL, Level3Plus, Single, &["www.a.zone.cn", "a.zone.cn"], &[]),
        ("SAN-04", NEUTRAL, Level3Plus, Multi, &["www.zone.cn", "zone.cn"], &[]),
        ("SAN-05", NEUTRAL, Level3Plus, Wildcard, &["zone.cn", "*.zone.cn"], &["zone.cn"]),
        ("SAN-05", NEUTRAL, Level3Plus, Wildcard, &["*.a.zone.cn", "a.zone.cn"], &[]),
        ("SAN-05", NEUTRAL, Level3Plus, MultiWildcard, &["*.zone.cn", "zone.cn"], &[]),
        ("SAN-07", BOTH, Level3Plus, Single, &["zone.cn", "ssl.zone.cn"], &[]),
        ("SAN-07", BOTH, Level3Plus, Single, &["ssl.zone.cn", "zone.cn"], &["zone.cn"]),
        ("X-13", BOTH, Narrow, Single, &["a.zone.cn", "zone.cn"], &[]),
        ("X-13", BOTH, Narrow, Single, &["www.zone.cn", "zone.cn"], &["zone.cn"]),
        ("X-13", BOTH, Narrow, Wildcard, &["*.zone.cn", "zone.cn"], &["zone.cn"]),
        ("X-13", BOTH, Narrow, Wildcard, &["*.a.zone.cn", "a.zone.cn"], &[]),
        ("SAN-08", BOTH, Level3Plus, Multi, &["1.1.1.1", "a.zone.cn", "zone.cn"], &["zone.cn"]),
    ];
    for (rule, rules, parents, shape, names, free) in rows {
        let counted = count(&parse(names), *rules, *parents, *shape);
        assert_eq!(counted.free, parse(free), "{rule} {names:?}");
        assert_eq!(counted.charged.len() + counted.free.len(), names.len(), "{rule} {names:?}");
    }
}

/// Names that are related in every way that matters.
const POOL: &[&str] = &[
    "zone.cn",
    "www.zone.cn",
    "a.zone.cn",
    "b.zone.cn",
    "www.a.zone.cn",
    "b.a.zone.cn",
    "c.b.a.zone.cn",
    "a.www.zone.cn",
    "*.zone.cn",
    "*.a.zone.cn",
    "*.b.a.zone.cn",
    "zone.com.cn",
    "www.zone.com.cn",
    "github.io",
    "me.github.io",
    "1.1.1.1",
];

/// Whether `giver` would give `name`, were it charged, in a product for several names.
fn gives(rules: FreeNames, giver: &str, name: &str) -> bool {
    let parent = rules.parent && giver.split_once('.').is_some_and(|(_, parent)| parent == name);
    let www = rules.www && name.strip_prefix("www.") == Some(giver) && domains::primary(giver) == Some(giver);
    (parent && !domains::is_public_suffix(name) && !giver.ends_with('1')) || www
}

/// The fewest names that must be charged, found by trying all.
fn fewest(rules: FreeNames, names: &[&str]) -> usize {
    let is_enough = |chosen: u32| {
        let is_in = |place: usize| chosen & (1 << place) != 0;
        (0..names.len()).all(|place| {
            is_in(place) || (0..names.len()).any(|giver| is_in(giver) && gives(rules, names[giver], names[place]))
        })
    };
    (0..1 << names.len()).filter(|chosen| is_enough(*chosen)).map(u32::count_ones).min().unwrap() as usize
}

proptest! {
    #[test]
    fn what_is_free_has_a_charged_giver_and_nothing_gets_lost(
        names in subsequence(POOL, 0..=POOL.len()).prop_shuffle(),
        www in any::<bool>(),
        parent in any::<bool>(),
        shape in prop::sample::select(&[Shape::Single, Shape::Multi, Shape::Wildcard, Shape::MultiWildcard][..]),
    ) {
        let rules = FreeNames { www, parent, neutral: true };
        let counted = count(&parse(&names), rules, ParentRule::Level3Plus, shape);
        let all: BTreeSet<Identifier> = counted.charged.iter().chain(&counted.free).cloned().collect();
        prop_assert_eq!(all, parse(&names).into_iter().collect::<BTreeSet<_>>());
        prop_assert_eq!(counted.charged.len() + counted.free.len(), names.len());
        for free in &counted.free {
            let free = free.to_string();
            let neutral = |giver: &str| giver.split_once('.').is_some_and(|(_, parent)| parent == free);
            let given = counted.charged.iter().map(ToString::to_string).any(|giver| gives(rules, &giver, &free) || neutral(&giver));
            prop_assert!(given, "{} of {:?}", free, names);
        }
    }

    #[test]
    fn as_few_as_possible_are_charged_in_whatever_order_they_are_listed(
        names in subsequence(POOL, 0..=10).prop_shuffle(),
        www in any::<bool>(),
        parent in any::<bool>(),
    ) {
        let rules = FreeNames { www, parent, neutral: true };
        // SAN-01: where www is a name of its own, what is listed first matters.
        let is_www = |name: &&str| name.strip_prefix("www.").is_some_and(|primary| names.contains(&primary));
        let names: Vec<&str> = names.iter().filter(|name| www || !is_www(name)).copied().collect();
        let counted = count(&parse(&names), rules, ParentRule::Level3Plus, Shape::Multi);
        prop_assert_eq!(counted.charged.len(), fewest(rules, &names), "{:?}", names);
    }

    #[test]
    fn where_www_is_a_name_of_its_own_the_order_decides_over_it_alone(
        names in subsequence(POOL, 0..=10).prop_shuffle(),
    ) {
        let counted = count(&parse(&names), PARENT, ParentRule::Level3Plus, Shape::Multi);
        let least = fewest(PARENT, &names);
        let pairs = names.iter().filter(|name| {
            name.strip_prefix("www.").is_some_and(|primary| names.contains(&primary))
        });
        prop_assert!((least..=least + pairs.count()).contains(&counted.charged.len()), "{:?}", names);
    }
}
