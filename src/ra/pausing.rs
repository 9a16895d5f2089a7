//! Pauses: an account whose validations of a name always fail is asked to look at it before it orders that name again. Most
//! of such orders come from clients that nobody looks after.

use std::collections::HashMap;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::{Ra, settle};
use crate::domain::account::Account;
use crate::domain::audit::Act;
use crate::domain::error::Help;
use crate::domain::streak::{Patience, Streak};
use crate::domain::{AccountId, CustomerId, Error, Identifier, Kind, Problem, Result, Timestamp};
use crate::store::StoreError;
use crate::store::records::{Batch, Index, Rows, Stored};

/// What unpause links are sealed for.
const PLACE: &[u8] = b"unpause";
/// How many names one commit unpauses, or forgets.
const AT_ONCE: usize = 100;

/// What an unpause link says.
#[derive(Serialize, Deserialize)]
struct Link {
    account: AccountId,
    until: Timestamp,
}

/// An account with the names that are paused for it, for the page behind an unpause link.
#[derive(Debug)]
pub struct PausedNames {
    /// The account.
    pub account: AccountId,
    /// The names, a page's worth.
    pub names: Vec<String>,
}

/// For how many further names the failures of accounts fit, as far as this server knows without listing them. A success
/// makes more room than is known here, which does no harm.
#[derive(Default)]
pub(super) struct Rooms(Mutex<HashMap<AccountId, usize>>);

impl Rooms {
    /// Of so many accounts it is known.
    const MOST: usize = 10_000;

    /// Takes room for one; whether any was known.
    fn take(&self, account: &AccountId) -> bool {
        let mut rooms = self.0.lock();
        let left = rooms.get(account).and_then(|left| left.checked_sub(1));
        left.map(|left| rooms.insert(account.clone(), left)).is_some()
    }

    fn set(&self, account: &AccountId, left: usize) {
        let mut rooms = self.0.lock();
        // What is lost is found by listing once more.
        if rooms.len() >= Self::MOST {
            rooms.clear();
        }
        rooms.insert(account.clone(), left);
    }
}

impl Ra {
    fn patience(&self) -> Patience {
        let settings = self.limits.settings();
        let failures = if settings.enabled { settings.pause_after } else { 0 };
        Patience { failures, over: Duration::from_secs(u64::from(settings.pause_days) * 86_400) }
    }

    /// Refuses names that are paused for an account; each is named, and the refusal leads to where they are unpaused.
    pub(super) async fn refuse_paused(&self, account: &Account, names: &[Identifier]) -> Result<()> {
        if self.patience().failures == 0 {
            return Ok(());
        }
        let keys = names.iter().map(|name| Streak::key(&account.id, &name.base().to_string()));
        let streaks = self.records.find_all::<Streak>(keys).await?;
        let paused = |streak: &Option<Stored<Streak>>| streak.as_ref().is_some_and(|streak| streak.paused().is_some());
        let (mut problems, mut others) = (Vec::new(), Vec::new());
        for (name, streak) in names.iter().zip(&streaks) {
            match streak.as_ref().filter(|_| paused(streak)) {
                Some(streak) => problems.push(
                    Problem::new(
                        Kind::RateLimited,
                        format!("Paused: {} validations in a row failed since {}.", streak.failures, streak.since),
                    )
                    .of(name),
                ),
                None => others.push(name.to_string()),
            }
        }
        if problems.is_empty() {
            return Ok(());
        }
        let others = match others.len() {
            0 => String::new(),
            1..=5 => format!(" Not paused: {}.", others.join(", ")),
            count => format!(" The other {count} names are not paused."),
        };
        let detail = format!(
            "{} of the names are paused for this account, because their validations always fail. Put right what the \
             subproblems name, or take those names out of the order, then unpause them.{others}",
            problems.len()
        );
        let problem = Problem { subproblems: problems, ..Problem::new(Kind::RateLimited, detail) };
        Err(Error::from(problem).help(Help::Unpause(self.unpause_token(&account.id))))
    }

    /// Adds to the batch of a failed validation what it is in the row of failures.
    pub(super) async fn add_failure(
        &self,
        batch: Batch,
        account: &Account,
        name: &Identifier,
        now: Timestamp,
    ) -> Result<Batch, StoreError> {
        let patience = self.patience();
        if patience.failures == 0 {
            return Ok(batch);
        }
        let name = name.base().to_string();
        let read = self.records.find::<Streak>(Streak::key(&account.id, &name)).await?;
        let streak = match &read {
            Some(read) => (**read).clone().fail(now, patience),
            None => Streak::begin(account.id.clone(), name, now, patience),
        };
        let batch = match &read {
            Some(read) => batch.replace(read, &streak),
            None => self.make_room_for(batch.insert(&streak), &account.id).await?,
        };
        let newly = streak.paused().filter(|_| read.as_ref().is_none_or(|read| read.paused().is_none()));
        let Some(_) = newly else { return Ok(batch) };
        let act = Act::NamePaused {
            account: account.id.clone(),
            name: streak.name.clone(),
            failures: streak.failures,
            since: streak.since,
        };
        let batch = batch.and(act, now).index(&Index::Paused(&account.id, &streak.name), "");
        Ok(match account.holder().customer() {
            Some(customer) => batch.index(&Index::PausedOf(customer, &account.id, &streak.name), ""),
            None => batch,
        })
    }

    /// Of an account's failures so many names are kept. Where there is no room for another, those are forgotten that failed
    /// longest ago, first among those that are not paused: an eighth, so that they are listed for every so many names only.
    async fn make_room_for(&self, mut batch: Batch, account: &AccountId) -> Result<Batch, StoreError> {
        if self.rooms.take(account) {
            return Ok(batch);
        }
        let most = self.limits.settings().pauses_per_account as usize;
        // Other servers over the same store may have added some.
        let mut kept = self.records.list::<Streak>(&Streak::prefix(account), None, 2 * most).await?;
        let surplus = match kept.len().checked_sub(most) {
            None => 0,
            Some(over) => (over + (most / 8).max(1)).min(AT_ONCE),
        };
        kept.sort_by_key(|streak| (streak.paused().is_some(), streak.last));
        for oldest in kept.iter().take(surplus) {
            batch = self.forget(batch, oldest, None).await?;
        }
        self.rooms.set(account, most.saturating_sub(kept.len() - surplus + 1));
        Ok(batch)
    }

    /// Adds to the batch of a validation that succeeded that the row of failures has ended.
    pub(super) async fn end_failures(
        &self,
        batch: Batch,
        account: &Account,
        name: &Identifier,
    ) -> Result<Batch, StoreError> {
        if self.patience().failures == 0 {
            return Ok(batch);
        }
        let key = Streak::key(&account.id, &name.base().to_string());
        match self.records.find::<Streak>(key).await? {
            Some(streak) => self.forget(batch, &streak, account.holder().customer()).await,
            None => Ok(batch),
        }
    }

    /// Removes a row of failures, and the pause with it.
    async fn forget(
        &self,
        batch: Batch,
        streak: &Stored<Streak>,
        customer: Option<&CustomerId>,
    ) -> Result<Batch, StoreError> {
        let batch = batch.remove(streak);
        if streak.paused().is_none() {
            return Ok(batch);
        }
        let customer = match customer {
            Some(customer) => Some(customer.clone()),
            None => {
                let account = self.records.find::<Account>(&streak.account).await?;
                account.and_then(|account| account.holder().customer().cloned())
            }
        };
        let act = Act::NameUnpaused { account: streak.account.clone(), name: streak.name.clone() };
        let batch = batch.and(act, self.now()).unindex(&Index::Paused(&streak.account, &streak.name));
        Ok(match &customer {
            Some(customer) => batch.unindex(&Index::PausedOf(customer, &streak.account, &streak.name)),
            None => batch,
        })
    }

    /// Up to `limit` paused names: all, a customer's, or an account's; behind the one of that account and name.
    pub async fn paused(
        &self,
        of: (Option<&CustomerId>, Option<&AccountId>),
        after: Option<(&AccountId, &str)>,
        limit: usize,
    ) -> Result<Vec<Streak>> {
        let (rows, strip) = match of {
            (Some(customer), None) => (Rows::PausedOf(customer), customer.as_str().len()),
            (Some(customer), Some(account)) => {
                self.own_account(customer, account).await?;
                (Rows::Paused(Some(account)), 0)
            }
            (None, account) => (Rows::Paused(account), 0),
        };
        let after = after.map(|(account, name)| match (of, &rows) {
            ((Some(customer), _), Rows::PausedOf(_)) => Index::PausedOf(customer, account, name).id(),
            _ => Index::Paused(account, name).id(),
        });
        let found = self.records.rows(&rows, after, limit).await?;
        // What is behind a customer's id in the one index is the name of the row in the other, and of the record.
        let keys = found.iter().filter_map(|(row, _)| row.get(strip..)).map(<[u8]>::to_vec);
        let streaks = self.records.find_all::<Streak>(keys.collect::<Vec<_>>()).await?;
        Ok(streaks.into_iter().flatten().map(Stored::into_value).collect())
    }

    /// Unpauses a name for an account; for a customer only an account of theirs.
    pub async fn unpause(&self, customer: Option<&CustomerId>, account: &AccountId, name: &str) -> Result<()> {
        if let Some(customer) = customer {
            self.own_account(customer, account).await?;
        }
        settle(|| async {
            let found = self.records.find::<Streak>(Streak::key(account, name)).await?;
            let none = || Error::not_found("This name is not paused for this account.");
            let streak = found.filter(|streak| streak.paused().is_some()).ok_or_else(none)?;
            self.unpause_all(&[streak]).await.map_err(Into::into)
        })
        .await
    }

    async fn unpause_all(&self, streaks: &[Stored<Streak>]) -> Result<(), StoreError> {
        let Some((first, rest)) = streaks.split_first() else { return Ok(()) };
        let act = Act::NamesUnpausedByHand { account: first.account.clone(), names: streaks.len() };
        let mut batch = self.forget(Batch::of(act, self.now()), first, None).await?;
        for streak in rest {
            batch = self.forget(batch, streak, None).await?;
        }
        self.records.commit(batch).await
    }

    async fn own_account(&self, customer: &CustomerId, account: &AccountId) -> Result<()> {
        let row = self.records.follow(&Index::AccountOfCustomer(customer, account)).await?;
        row.map(drop).ok_or_else(|| Error::not_found(format!("There is no account {account}.")))
    }

    /// What stands in an unpause link: sealed, so that it speaks for the account to whom it was given.
    fn unpause_token(&self, account: &AccountId) -> String {
        let days = u64::from(self.limits.settings().unpause_link_days);
        let link = Link { account: account.clone(), until: self.now() + Duration::from_secs(days * 86_400) };
        let text = serde_json::to_vec(&link).expect("an id and a moment are plain JSON");
        URL_SAFE_NO_PAD.encode(self.vault.seal(PLACE, &text))
    }

    fn read_unpause_token(&self, token: &str) -> Result<AccountId> {
        let unknown = || Error::not_found("This link is not one of this server, or it is not whole.");
        let sealed = URL_SAFE_NO_PAD.decode(token).map_err(|_| unknown())?;
        let text = self.vault.unseal(PLACE, &sealed).map_err(|_| unknown())?;
        let link: Link = serde_json::from_slice(&text).map_err(|_| unknown())?;
        if link.until <= self.now() {
            return Err(Error::not_found("This link has expired; the next refused order brings a new one."));
        }
        Ok(link.account)
    }

    /// Whose names an unpause link is about, and which they are.
    pub async fn behind_unpause_link(&self, token: &str) -> Result<PausedNames> {
        let account = self.read_unpause_token(token)?;
        let streaks = self.paused((None, Some(&account)), None, AT_ONCE).await?;
        Ok(PausedNames { account, names: streaks.into_iter().map(|streak| streak.name).collect() })
    }

    /// Unpauses all names of the account behind an unpause link. How many they were.
    pub async fn follow_unpause_link(&self, token: &str) -> Result<usize> {
        let account = self.read_unpause_token(token)?;
        crate::actor::identified(format!("account {account}"));
        let mut count = 0;
        loop {
            let done = settle(|| async {
                let rows = self.records.rows(&Rows::Paused(Some(&account)), None, AT_ONCE).await?;
                let keys: Vec<Vec<u8>> = rows.into_iter().map(|(row, _)| row).collect();
                let streaks: Vec<_> = self.records.find_all::<Streak>(keys).await?.into_iter().flatten().collect();
                self.unpause_all(&streaks).await?;
                Ok(streaks.len())
            })
            .await?;
            if done == 0 {
                return Ok(count);
            }
            count += done;
        }
    }
}
