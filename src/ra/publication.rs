//! What is published for relying parties: issuer certificates and revocation lists.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::lists::{IssuerLists, Model, SignedList};
use super::worker::Next;
use super::{Ra, Stop, settle};
use crate::ca::crl::{ListPlan, PreparedList, PresignedList, Revoked};
use crate::domain::audit::Act;
use crate::domain::certificate::hex32;
use crate::domain::job::Job;
use crate::domain::{Error, Result, Timestamp};
use crate::store::StoreError;
use crate::store::records::{Batch, ListState, Stored};
use crate::telemetry;

/// How long caches may keep a list: what is revoked shows with whoever asks through one after that.
const FRESH: Duration = Duration::from_secs(300);

/// Lists whose numbers are taken in one commit; so many, and no more, are in memory twice.
const AT_ONCE: usize = 8;

/// A list as it is given out.
#[derive(Debug, Clone)]
pub struct CurrentList {
    /// The list, DER.
    pub der: Bytes,
    /// A tag of its content, without quotation marks: an equal tag is an equal list.
    pub tag: String,
    /// When it was made.
    pub this_update: Timestamp,
    /// When the next one is there at the latest.
    pub next_update: Timestamp,
    /// Whether `this_update`, in seconds, tells it from the one before it.
    pub datable: bool,
    /// The moment of asking.
    pub now: Timestamp,
    /// How long caches may keep it: never beyond `next_update`.
    pub fresh: Duration,
}

impl Ra {
    /// The certificate of a root or intermediate, DER (RFC 5280 section 4.2.2.1, `caIssuers`).
    pub fn issuer_certificate(&self, name: &str) -> Option<Vec<u8>> {
        self.ca.issuer_der(name).map(<[u8]>::to_vec)
    }

    /// The current revocation list of an issuer's shard. It was signed when something was revoked last, or on schedule: nothing
    /// is made because somebody asks, unless there is none that is still good.
    pub async fn crl(self: &Arc<Self>, issuer: &str, shard: u16) -> Result<CurrentList> {
        let now = self.now();
        if self.ca.signs_ahead(issuer) {
            // A root has one list alone.
            if shard > 0 {
                return Err(Error::not_found(format!("The CRL of \"{issuer}\" has no shard {shard}.")));
            }
            let (ca, issuer) = (self.ca.clone(), issuer.to_owned());
            return Ok(presigned(apart(move || ca.presigned_list(&issuer)).await?, now));
        }
        let lists = self.lists.of_issuer(issuer)?;
        let list = match lists.current(shard, now)? {
            Some(list) => list,
            None => {
                self.publish_for_asker(lists, shard).await?;
                let wait = Duration::from_secs(60);
                let late = || Error::unavailable("The list of revoked certificates is being made.", wait);
                lists.current(shard, self.now())?.ok_or_else(late)?
            }
        };
        let (this_update, next_update) = (list.this_update, list.next_update);
        Ok(CurrentList {
            der: list.der.clone(),
            tag: list.tag.clone(),
            this_update,
            next_update,
            datable: !list.same_second,
            now,
            fresh: FRESH.min(next_update.since(now)),
        })
    }

    /// Signs the lists that are due: all of an issuer when their time has come, and those that what other nodes revoked
    /// belongs on. Whether all went well; what did not is told in the log.
    pub(super) async fn keep_lists(self: &Arc<Self>) -> bool {
        let mut issuers = tokio::task::JoinSet::new();
        for lists in self.lists.all() {
            let (ra, lists) = (self.clone(), lists.clone());
            issuers.spawn(async move {
                let published = ra.publish(&lists).await;
                if let Err(error) = &published {
                    tracing::error!(issuer = lists.issuer, error = ?error, "revocation lists could not be signed");
                }
                published.is_ok()
            });
        }
        let mut well = true;
        while let Some(published) = issuers.join_next().await {
            well &= published.unwrap_or(false);
        }
        well
    }

    /// Signs the lists that what was revoked belongs on: the job that every revocation leaves, many of them together.
    pub(super) async fn publish_revocations(self: &Arc<Self>, job: &Stored<Job>, issuer: &str) -> Result<Next> {
        // An issuer whose key was taken away owes nothing any more.
        if let Ok(lists) = self.lists.of_issuer(issuer) {
            self.publish(lists).await?;
        }
        let now = self.now();
        let act = Act::CrlPublished { issuer: issuer.to_owned() };
        match self.records.commit(Batch::of(act, now).remove(job)).await {
            Ok(()) => Ok(Next::Done),
            // More was revoked meanwhile.
            Err(StoreError::Conflict(_)) => Ok(Next::At(now)),
            Err(error) => Err(error.into()),
        }
    }

    /// Waits until the lists show what was just revoked, at most as long as finalize waits for a certificate.
    pub(super) async fn published(&self, issuers: impl IntoIterator<Item = String>) {
        let Some(ra) = self.own.upgrade() else { return };
        let longest = Duration::from_millis(self.settings.finalize_wait_ms);
        for issuer in issuers {
            let job = Job::publication(&issuer, self.now());
            ra.start(job.clone());
            let until_done = async {
                ra.worker.wait(&job.id, longest).await;
                // The last run of the job may have ended just before the revocation left it anew.
                while let Ok(Some(_)) = ra.records.find::<Job>(&job.id).await {
                    ra.start(job.clone());
                    ra.worker.wait(&job.id, longest).await;
                }
            };
            // Whoever does not see it in time sees it later: the job stays.
            drop(tokio::time::timeout(longest, until_done).await);
        }
    }

    /// Has lists made because somebody asks for one that is not there. However many ask, there is one try at a time, and a rest
    /// after each that failed.
    async fn publish_for_asker(self: &Arc<Self>, lists: &Arc<IssuerLists>, shard: u16) -> Result<()> {
        let _one_at_a_time = lists.asking.lock().await;
        let now = self.now();
        if lists.current(shard, now)?.is_some() {
            return Ok(());
        }
        match lists.rest(now) {
            Some(rest) => Err(Error::unavailable("The list of revoked certificates can't be made now.", rest)),
            None => self.publish(lists).await,
        }
    }

    /// Signs the lists of an issuer that are due, and notes whether that went well.
    async fn publish(self: &Arc<Self>, lists: &Arc<IssuerLists>) -> Result<()> {
        let published = self.publish_due(lists).await;
        lists.tried(published.is_ok(), self.now());
        published
    }

    /// Reads what was revoked, and signs the lists of an issuer that are due.
    async fn publish_due(self: &Arc<Self>, lists: &Arc<IssuerLists>) -> Result<()> {
        let mut model = lists.model.lock().await;
        self.catch_up(&lists.issuer, &mut model).await?;
        let begun = self.now();
        let (all, due) = model.due(self.ca.list_every(), begun);
        for shards in due.chunks(AT_ONCE) {
            self.sign_lists(lists, &mut model, shards).await?;
            model.changed.retain(|shard| !shards.contains(shard));
        }
        if all {
            // It is written down with the next number: entries that ended stay a list too long rather than one too short.
            model.all_signed = Some(begun);
            lists.completed();
            model.forget_ended(begun);
        }
        Ok(())
    }

    /// Takes a number, then signs those lists and gives them out.
    async fn sign_lists(self: &Arc<Self>, lists: &IssuerLists, model: &mut Model, shards: &[u16]) -> Result<()> {
        let issuer = &lists.issuer;
        let entries: Vec<(u16, Vec<Revoked>)> = shards.iter().map(|shard| (*shard, model.entries_of(*shard))).collect();
        let entries = Arc::new(entries);
        let regular = model.regular;
        let shards_used = model.shards.clone();
        let (prepared, this_update) = settle(|| async {
            let read = self.records.find::<ListState>(issuer).await?;
            let now = self.now();
            // Also above the numbers of a store that was brought back from an older copy.
            let number = read.as_ref().map_or(0, |state| state.number + 1).max(now.as_millis());
            let prepared = self.prepare_lists(issuer, number, now, &entries).await?;
            let mut used = shards_used.clone();
            used.extend(read.iter().flat_map(|state| &state.shards));
            used.sort_unstable();
            used.dedup();
            let known = read.as_ref().map_or(regular, |state| state.regular.max(regular));
            let state = ListState { issuer: issuer.clone(), number, regular: known, shards: used };
            let signed = |(shard, listed): &(u16, Vec<Revoked>)| Act::CrlSigned {
                issuer: issuer.clone(),
                shard: *shard,
                number,
                entries: listed.len(),
            };
            let Some((first, others)) = entries.split_first() else { return Ok((prepared, now)) };
            let batch = others.iter().fold(Batch::of(signed(first), now), |batch, next| batch.and(signed(next), now));
            // Before anything is signed with the number (CABF-LOG-02, CABF-CRL-05).
            self.records.commit(batch.set(read.as_ref(), &state)).await?;
            Ok::<_, Stop>((prepared, now))
        })
        .await?;
        let next_update = this_update + self.ca.list_ahead();
        let signed = apart(move || prepared.into_iter().map(sign).collect::<Result<Vec<_>>>()).await?;
        for ((shard, _), (der, tag)) in entries.iter().zip(signed) {
            lists.replace(*shard, SignedList { der, tag, this_update, next_update, same_second: false });
            metrics::counter!(telemetry::CRLS_SIGNED, "issuer" => issuer.clone()).increment(1);
        }
        Ok(())
    }

    async fn prepare_lists(
        self: &Arc<Self>,
        issuer: &str,
        number: u64,
        now: Timestamp,
        entries: &Arc<Vec<(u16, Vec<Revoked>)>>,
    ) -> Result<Vec<PreparedList>> {
        let (ra, issuer, entries) = (self.clone(), issuer.to_owned(), entries.clone());
        let next_update = now + self.ca.list_ahead();
        apart(move || {
            let prepare = |(shard, entries): &(u16, Vec<Revoked>)| {
                let shard = *shard;
                ra.ca.prepare_list(&ListPlan { issuer: &issuer, shard, number, this_update: now, next_update, entries })
            };
            entries.iter().map(prepare).collect()
        })
        .await
    }
}

/// The list of an offline root: it comes from a file, which a ceremony replaces.
fn presigned(list: PresignedList, now: Timestamp) -> CurrentList {
    let PresignedList { der, sha256: tag, this_update, next_update } = list;
    let fresh = FRESH.min(next_update.since(now));
    CurrentList { der, tag, this_update, next_update, datable: true, now, fresh }
}

/// Signs a list, and makes its tag.
fn sign(prepared: PreparedList) -> Result<(Bytes, String)> {
    let der = prepared.sign()?;
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &der);
    Ok((der.into(), hex32::encode(digest.as_ref())))
}

/// Has long work done where it holds up no request.
async fn apart<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(Error::internal)?
}
