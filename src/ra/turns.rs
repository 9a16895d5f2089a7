//! Turns: those who would write the same record queue up instead of overtaking each other. Only a matter of speed: what
//! decides are the guards of each commit, which hold between several processes too.

use std::hash::{BuildHasher, Hash, RandomState};

use tokio::sync::{Mutex, MutexGuard};

use crate::domain::account::Holder;

/// Queues for all holders and for all primary domains; a few share one.
#[derive(Default)]
pub(super) struct Turns {
    holders: Queues,
    domains: Queues,
}

/// One's turn, which ends when this is dropped.
#[derive(Default)]
pub(super) struct Turn<'a> {
    _holder: Option<MutexGuard<'a, ()>>,
    _domain: Option<MutexGuard<'a, ()>>,
}

struct Queues {
    queues: Vec<Mutex<()>>,
    hasher: RandomState,
}

impl Default for Queues {
    fn default() -> Self {
        Self { queues: (0..256).map(|_| Mutex::new(())).collect(), hasher: RandomState::new() }
    }
}

impl Turns {
    /// Waits for its turn with the ledgers and purchases of a holder, and with the ledger of a primary domain. Everybody
    /// queues for the holder first, so that nobody waits in a circle.
    pub(super) async fn take(&self, holder: Option<&Holder>, domain: Option<&str>) -> Turn<'_> {
        let _holder = match holder {
            Some(holder) => Some(self.holders.wait(holder).await),
            None => None,
        };
        let _domain = match domain {
            Some(domain) => Some(self.domains.wait(domain).await),
            None => None,
        };
        Turn { _holder, _domain }
    }
}

impl Queues {
    async fn wait(&self, who: impl Hash) -> MutexGuard<'_, ()> {
        let place = self.hasher.hash_one(who) as usize % self.queues.len();
        self.queues[place].lock().await
    }
}
