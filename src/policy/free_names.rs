//! Which names of an order are charged, and which come free with them (SAN-01 to SAN-09).
//!
//! What an ACME client sends is a list of names; what the documents speak of is a name that is ordered, and others that come
//! with it. The reading of such a list:
//!
//! - A product for one name: the name that is listed first is the one ordered, and the others must come free with it. So
//!   `zone.cn, www.zone.cn` is an order for `zone.cn` (SAN-01 decides over the `www`), `www.zone.cn, zone.cn` one for
//!   `www.zone.cn` (SAN-02, SAN-04 give the parent), `ssl.zone.cn, zone.cn` one for `ssl.zone.cn` with its parent, and
//!   `zone.cn, ssl.zone.cn` is refused: an order for `zone.cn` covers no name below it but `www` (SAN-07).
//! - Any other product: as few names as possible are charged, in whatever order they are listed. One case depends on the
//!   order: where the brand charges `www` as a name of its own (SAN-01), `zone.cn` listed before `www.zone.cn` was ordered
//!   itself, and both are charged; listed behind, it comes free as the parent (SAN-02).
//! - Only a charged name gives another: what is free gives nothing.

#[cfg(test)]
mod tests;

use std::cmp::Reverse;
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
    /// Those that come free, in the order asked for (SAN-08: they are not counted).
    pub free: Vec<Identifier>,
}

/// Tells charged and free names apart. `identifiers` holds no name twice.
pub fn count(identifiers: &[Identifier], rules: FreeNames, parents: ParentRule, shape: Shape) -> Counted {
    let giving = Giving { rules, parents, shape, places: places(identifiers) };
    let free = match shape {
        Shape::Single => giving.with_the_first(identifiers),
        _ => giving.at_most(identifiers),
    };
    let is_free = |identifier: &&Identifier| dns(identifier).is_some_and(|name| free.contains(name.as_str()));
    let (free, charged) = identifiers.iter().partition::<Vec<_>, _>(is_free);
    Counted { charged: charged.into_iter().cloned().collect(), free: free.into_iter().cloned().collect() }
}

/// The primary name whose `www` this is.
pub(super) fn www_of(name: &DnsName) -> Option<&str> {
    let base = name.as_str().strip_prefix("www.")?;
    (domains::primary(base) == Some(base)).then_some(base)
}

struct Giving<'a> {
    rules: FreeNames,
    parents: ParentRule,
    shape: Shape,
    places: BTreeMap<&'a str, usize>,
}

impl<'a> Giving<'a> {
    /// What comes free with the name that is listed first.
    fn with_the_first(&self, identifiers: &'a [Identifier]) -> BTreeSet<&'a str> {
        let Some(first) = identifiers.first().and_then(dns) else { return BTreeSet::new() };
        self.parent_of(first).into_iter().chain(self.www_beside(first)).collect()
    }

    /// What comes free when as few names as possible are charged.
    fn at_most(&self, identifiers: &'a [Identifier]) -> BTreeSet<&'a str> {
        let mut names: Vec<&DnsName> = identifiers.iter().filter_map(dns).collect();
        // The deepest first, because names are given by what lies below them; `www` behind its neighbours.
        names.sort_by_cached_key(|name| (Reverse(domains::levels(name.as_str())), www_of(name).is_some()));
        let mut free = BTreeSet::new();
        for name in names {
            if free.contains(name.as_str()) {
                continue;
            }
            match www_of(name).and_then(|primary| self.places.get_key_value(primary)) {
                // SAN-01: the primary name is charged and gives its `www`, unless it comes free with another itself.
                Some((primary, _)) if self.rules.www && !free.contains(primary) => {
                    free.insert(name.as_str());
                }
                // SAN-01: where `www` is a name of its own, whoever lists the primary name first has ordered that.
                Some((_, place)) if !self.rules.www && Some(place) < self.places.get(name.as_str()) => {}
                _ => free.extend(self.parent_of(name)),
            }
        }
        free
    }

    /// The parent that the charged `name` gives, if it is listed.
    fn parent_of(&self, name: &DnsName) -> Option<&'a str> {
        let (_, parent) = name.as_str().split_once('.')?;
        let (parent, _) = self.places.get_key_value(parent)?;
        // SAN-03: of a name of the second level, the parent is the registry's.
        let by_brand =
            self.rules.parent && self.parents == ParentRule::Level3Plus && !domains::is_public_suffix(parent);
        // SAN-04, SAN-05: stated without naming a brand, for the one name of a single or wildcard certificate.
        let neutral = self.rules.neutral
            && match self.shape {
                Shape::Single => www_of(name).is_some(),
                Shape::Wildcard => name.is_wildcard() && domains::primary(parent) == Some(*parent),
                Shape::Any | Shape::Multi | Shape::MultiWildcard => false,
            };
        (by_brand || neutral).then_some(*parent)
    }

    /// The `www` of the charged primary `name`, if the brand gives it and it is listed (SAN-01).
    fn www_beside(&self, name: &DnsName) -> Option<&'a str> {
        let primary = self.rules.www && domains::primary(name.as_str()) == Some(name.as_str());
        let (www, _) = self.places.get_key_value(format!("www.{name}").as_str()).filter(|_| primary)?;
        Some(*www)
    }
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
