//! Which names of an order are charged, and which come free with them (SAN-01 to SAN-09).

use std::collections::{BTreeMap, BTreeSet};

use super::catalog::{FreeNames, Shape};
use super::domains;
use super::settings::ParentRule;
use crate::domain::{DnsName, Identifier};

/// The names of an order, told apart.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counted {
    /// Those that are charged, in the order asked for.
    pub charged: Vec<Identifier>,
    /// Those that come free.
    pub free: Vec<Identifier>,
}

/// Tells charged and free names apart such that as few as possible are charged. Only a charged name gives another: what is
/// free gives nothing.
pub fn count(identifiers: &[Identifier], rules: FreeNames, parents: ParentRule, shape: Shape) -> Counted {
    let giving = Giving { rules, parents, shape, places: places(identifiers) };
    let mut names: Vec<&DnsName> = identifiers.iter().filter_map(dns).collect();
    // The deepest first, because names are given by what lies below them; `www` behind its neighbours.
    names.sort_by_key(|name| (std::cmp::Reverse(domains::levels(name.as_str())), www_of(name).is_some()));
    let mut free = BTreeSet::new();
    for name in names {
        if free.contains(name.as_str()) {
            continue;
        }
        // SAN-01: the primary name is charged and gives its `www`, unless the primary name comes free with another.
        if let Some(primary) = www_of(name)
            && rules.www
            && giving.places.contains_key(primary)
            && !free.contains(primary)
        {
            free.insert(name.as_str());
            continue;
        }
        free.extend(giving.by(name));
    }
    let is_free = |identifier: &&Identifier| dns(identifier).is_some_and(|name| free.contains(name.as_str()));
    let (free, charged) = identifiers.iter().partition::<Vec<_>, _>(is_free);
    Counted { charged: charged.into_iter().cloned().collect(), free: free.into_iter().cloned().collect() }
}

struct Giving<'a> {
    rules: FreeNames,
    parents: ParentRule,
    shape: Shape,
    places: BTreeMap<&'a str, usize>,
}

impl<'a> Giving<'a> {
    /// The name of the order, if any, that the charged `name` gives.
    fn by(&self, name: &DnsName) -> Option<&'a str> {
        let (_, parent) = name.as_str().split_once('.')?;
        let (parent, place) = self.places.get_key_value(parent)?;
        let primary = domains::primary(parent) == Some(*parent);
        let www = www_of(name).is_some();
        // SAN-03: of a name of the second level, the parent is the registry's.
        let by_brand =
            self.rules.parent && self.parents == ParentRule::Level3Plus && !domains::is_public_suffix(parent);
        // SAN-04, SAN-05: stated without naming a brand, for the one name of a single or wildcard certificate.
        let neutral = self.rules.neutral
            && primary
            && ((www && self.shape == Shape::Single) || (name.is_wildcard() && self.shape == Shape::Wildcard));
        // SAN-01: where `www` is a name of its own, whoever lists the primary name first has ordered that, and `www` beside.
        let listed_beside = www && !self.rules.www && place < self.places.get(name.as_str())?;
        ((by_brand || neutral) && !listed_beside).then_some(parent)
    }
}

/// The primary name whose `www` this is.
fn www_of(name: &DnsName) -> Option<&str> {
    let base = name.as_str().strip_prefix("www.")?;
    (domains::primary(base) == Some(base)).then_some(base)
}

fn dns(identifier: &Identifier) -> Option<&DnsName> {
    match identifier {
        Identifier::Dns(name) => Some(name),
        Identifier::Ip(_) => None,
    }
}

fn places(identifiers: &[Identifier]) -> BTreeMap<&str, usize> {
    identifiers.iter().enumerate().filter_map(|(place, name)| Some((dns(name)?.as_str(), place))).collect()
}
