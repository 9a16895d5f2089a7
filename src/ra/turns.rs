//! Turns: those who would write the same record queue up instead of overtaking each other. Only a matter of speed: what
//! decides are the guards of each commit, which hold between several processes too.

use std::hash::{BuildHasher, RandomState};

use tokio::sync::{Mutex, MutexGuard};

use crate::domain::account::Holder;

/// Queues for all holders; a few holders share one.
pub(super) struct Turns {
    queues: Vec<Mutex<()>>,
    hasher: RandomState,
}

impl Default for Turns {
    fn default() -> Self {
        Self { queues: (0..256).map(|_| Mutex::new(())).collect(), hasher: RandomState::new() }
    }
}

impl Turns {
    /// Waits for its turn, which ends when the guard is dropped.
    pub(super) async fn take(&self, holder: &Holder) -> MutexGuard<'_, ()> {
        let place = self.hasher.hash_one(holder) as usize % self.queues.len();
        self.queues[place].lock().await
    }
}
