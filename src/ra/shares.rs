//! Fair shares: of the places for jobs of a kind no account has more than its share at once, so that whoever's servers are
//! slow holds up nobody else.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};

use crate::domain::AccountId;

/// Places for jobs of a kind.
pub(super) struct Places {
    all: Semaphore,
    share: usize,
    /// The shares of the accounts that have jobs.
    shares: Mutex<HashMap<AccountId, Arc<Semaphore>>>,
}

/// A place, until it is dropped.
pub(super) struct Place<'a> {
    _all: SemaphorePermit<'a>,
    _share: Option<Share<'a>>,
}

/// A place in the share of an account.
struct Share<'a> {
    places: &'a Places,
    account: &'a AccountId,
    place: Option<OwnedSemaphorePermit>,
}

impl Places {
    /// So many places, and so many of them for one account.
    pub fn new(all: usize, share: usize) -> Self {
        Self { all: Semaphore::new(all), share, shares: Mutex::default() }
    }

    /// Waits for a place, first in the share of the account if the job is one's. None when there are none any more.
    pub async fn take<'a>(&'a self, account: Option<&'a AccountId>) -> Option<Place<'a>> {
        let _share = match account {
            Some(account) => Some(self.share_of(account).await?),
            None => None,
        };
        Some(Place { _all: self.all.acquire().await.ok()?, _share })
    }

    async fn share_of<'a>(&'a self, account: &'a AccountId) -> Option<Share<'a>> {
        let share = {
            let mut shares = self.shares.lock();
            shares.entry(account.clone()).or_insert_with(|| Arc::new(Semaphore::new(self.share))).clone()
        };
        Some(Share { places: self, account, place: Some(share.acquire_owned().await.ok()?) })
    }
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        let mut shares = self.places.shares.lock();
        drop(self.place.take());
        // Whoever holds a place or waits for one holds the semaphore too.
        if shares.get(self.account).is_some_and(|share| Arc::strong_count(share) == 1) {
            shares.remove(self.account);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn no_account_has_more_than_its_share_and_nothing_is_kept_of_it() {
        let places = Places::new(3, 2);
        let (one, other) = (AccountId::random(), AccountId::random());
        let mut taken = vec![places.take(Some(&one)).await, places.take(Some(&one)).await];
        let waits = tokio::time::timeout(std::time::Duration::ZERO, places.take(Some(&one))).await;
        assert!(waits.is_err(), "two are its share");
        taken.push(places.take(Some(&other)).await);
        let waits = tokio::time::timeout(std::time::Duration::ZERO, places.take(None)).await;
        assert!(waits.is_err(), "and three are all");
        taken.remove(0);
        taken.push(places.take(Some(&one)).await);
        assert!(taken.iter().all(Option::is_some));
        taken.clear();
        assert!(places.shares.lock().is_empty());
    }
}
