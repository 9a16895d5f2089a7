//! Who takes how much, by groups of addresses, and who of the group that takes the most makes room first.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use tokio::time::Instant;

use crate::domain::limit::Network;

/// Groups of addresses with what they take. Whoever goes next is found without a look at all of them.
#[derive(Default)]
pub(super) struct Groups {
    groups: HashMap<Network, Group>,
    /// The groups with something to spare by how much they take; of as much, first the one that spares the oldest.
    weights: BTreeMap<usize, BTreeSet<(Instant, Network)>>,
}

/// What a group takes.
#[derive(Default)]
pub(super) struct Group {
    /// How much.
    pub(super) weight: usize,
    /// What can be taken from it, by numbers, oldest first.
    pub(super) spare: BTreeSet<(Instant, u64)>,
}

impl Group {
    /// Where the group stands among the others; nowhere while it has nothing to spare.
    fn standing(&self) -> Option<(usize, Instant)> {
        self.spare.first().map(|(oldest, _)| (self.weight, *oldest))
    }
}

impl Groups {
    /// How much a group takes.
    pub(super) fn weight(&self, of: Network) -> usize {
        self.groups.get(&of).map_or(0, |group| group.weight)
    }

    /// Changes what a group takes and spares; one that takes nothing more is forgotten.
    pub(super) fn change(&mut self, of: Network, change: impl FnOnce(&mut Group)) {
        let group = self.groups.entry(of).or_default();
        let before = group.standing();
        change(group);
        let after = group.standing();
        if group.weight == 0 && group.spare.is_empty() {
            self.groups.remove(&of);
        }
        if before == after {
            return;
        }
        if let Some((weight, oldest)) = before
            && let Some(same) = self.weights.get_mut(&weight)
        {
            same.remove(&(oldest, of));
            if same.is_empty() {
                self.weights.remove(&weight);
            }
        }
        if let Some((weight, oldest)) = after {
            self.weights.entry(weight).or_default().insert((oldest, of));
        }
    }

    /// The oldest of what a group spares.
    pub(super) fn oldest_of(&self, of: Network) -> Option<(Instant, u64)> {
        self.groups.get(&of)?.spare.first().copied()
    }

    /// The oldest of what the groups spare, that of the group that takes the most first: how much that group takes, since
    /// when, and the number.
    pub(super) fn oldest_of_each_weight(&self) -> impl Iterator<Item = (usize, Instant, u64)> {
        self.weights.iter().rev().filter_map(|(weight, same)| {
            let (_, network) = same.first()?;
            self.oldest_of(*network).map(|(since, number)| (*weight, since, number))
        })
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.groups.is_empty() && self.weights.is_empty()
    }
}
