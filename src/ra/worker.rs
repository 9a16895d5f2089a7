//! Stored jobs: started when committed, taken up again after a restart, put off after a failed try.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use super::Ra;
use super::issuance::Ticket;
use super::shares::Places;
use crate::domain::audit::Act;
use crate::domain::authz::Authorization;
use crate::domain::job::{Job, Work};
use crate::domain::order::Order;
use crate::domain::revocation::RevocationRequest;
use crate::domain::{AccountId, Error, JobId, Result, Timestamp};
use crate::store::records::{Batch, Stored};
use crate::telemetry;

/// How many validations are under way at once, and how many issuances: names that answer slowly hold up validations
/// alone, and those of their own account.
const VALIDATIONS: usize = 512;
const ISSUANCES: usize = 256;

/// How many of either are of one account.
const SHARE: usize = 64;

/// How many orders that the server carries through, and proofs of revocations, are looked at at once: their names may answer
/// slowly too, and messages and revocation lists don't wait for them. Of one account they are a quarter.
const LOOKS: usize = 64;

/// How many messages are sent, and other things done, at once.
const OTHERS: usize = 64;

/// No job is put off for longer.
const FURTHEST: Duration = Duration::from_secs(900);

/// How long a job rests after a fault of the server itself.
const REST: Duration = Duration::from_secs(10);

/// The jobs that this process has in hand.
pub(super) struct Worker {
    in_hand: Mutex<HashMap<JobId, watch::Sender<()>>>,
    validations: Places,
    issuances: Places,
    looks: Places,
    others: Places,
    nudge: Notify,
    stop: watch::Sender<bool>,
}

/// What comes after a run of a job.
pub(super) enum Next {
    /// The job is done and removed.
    Done,
    /// The job is to be run again then.
    At(Timestamp),
}

impl Default for Worker {
    fn default() -> Self {
        Self {
            in_hand: Mutex::default(),
            validations: Places::new(VALIDATIONS, SHARE),
            issuances: Places::new(ISSUANCES, SHARE),
            looks: Places::new(LOOKS, LOOKS / 4),
            others: Places::new(OTHERS, OTHERS),
            nudge: Notify::new(),
            stop: watch::channel(false).0,
        }
    }
}

impl Worker {
    /// Waits until a job is out of hand, or for so long. Whether it is.
    pub(super) async fn wait(&self, job: &JobId, longest: Duration) -> bool {
        let Some(mut done) = self.in_hand.lock().get(job).map(watch::Sender::subscribe) else { return true };
        // The sender says nothing and is dropped when the job is done.
        tokio::time::timeout(longest, async { while done.changed().await.is_ok() {} }).await.is_ok()
    }

    /// Takes a job in hand, unless it is in hand already.
    fn take(&self, job: &JobId) -> bool {
        let mut in_hand = self.in_hand.lock();
        if in_hand.contains_key(job) {
            return false;
        }
        in_hand.insert(job.clone(), watch::channel(()).0);
        metrics::gauge!(telemetry::JOBS).increment(1);
        true
    }
}

/// Lets go of a job when its task ends, in whatever way.
struct InHand {
    ra: Arc<Ra>,
    job: JobId,
}

impl Drop for InHand {
    fn drop(&mut self) {
        self.ra.worker.in_hand.lock().remove(&self.job);
        metrics::gauge!(telemetry::JOBS).decrement(1);
    }
}

impl Ra {
    /// Takes up the jobs that an earlier run of the server left behind. How many they are.
    pub async fn resume(self: &Arc<Self>) -> Result<usize> {
        self.read_limits().await?;
        self.look_each_minute().await;
        let mut count = 0;
        let mut after = None;
        loop {
            let jobs = self.records.list::<Job>(b"", after.take(), 500).await?;
            let Some(last) = jobs.last() else { return Ok(count) };
            after = Some(last.id.as_str().into());
            count += jobs.len();
            jobs.into_iter().for_each(|job| self.start(job.into_value()));
        }
    }

    /// Has every waiting job look at the clock again, and waits until all that are due are done: for tests, whose clock
    /// jumps.
    pub async fn drain(self: &Arc<Self>) -> Result<()> {
        loop {
            self.wake().await?;
            self.worker.nudge.notify_waiters();
            let jobs = self.records.list::<Job>(b"", None, 10_000).await?;
            let now = self.now();
            let Some(due) = jobs.iter().find(|job| job.due <= now) else { return Ok(()) };
            self.start((**due).clone());
            self.worker.wait(&due.id, Duration::from_millis(5)).await;
        }
    }

    /// Runs a stored job in a task of its own.
    pub(super) fn start(self: &Arc<Self>, job: Job) {
        self.start_with(job, None);
    }

    /// Runs a stored job, with what its first run may use.
    pub(super) fn start_with(self: &Arc<Self>, job: Job, ticket: Option<Ticket>) {
        if self.worker.take(&job.id) {
            let held = InHand { ra: self.clone(), job: job.id.clone() };
            let mut stop = self.worker.stop.subscribe();
            tokio::spawn(async move {
                tokio::select! {
                    () = held.ra.carry_out(job, ticket) => {}
                    _ = stop.wait_for(|stop| *stop) => {}
                }
            });
        }
    }

    /// Lets go of all jobs, wherever they are, as the end of the process does: they stay in the store, and the next
    /// start takes them up.
    pub fn abandon_jobs(&self) {
        self.worker.stop.send_replace(true);
    }

    async fn carry_out(self: &Arc<Self>, job: Job, mut ticket: Option<Ticket>) {
        let mut due = job.due;
        loop {
            self.sleep_until(due).await;
            let account = self.account_of(&job.work).await;
            let places = match job.work {
                Work::Validate { .. } => &self.worker.validations,
                Work::Issue { .. } => &self.worker.issuances,
                Work::Attend { .. } | Work::ProveRevocation { .. } => &self.worker.looks,
                _ => &self.worker.others,
            };
            let Some(_place) = places.take(account.as_ref()).await else { return };
            due = match self.run(&job.id, ticket.take()).await {
                Ok(Next::Done) => return,
                Ok(Next::At(later)) => later,
                Err(error) => {
                    tracing::error!(job = %job.id, work = ?job.work, error = ?error, "a job failed and rests");
                    self.now() + REST
                }
            };
        }
    }

    /// The account whose names a job looks at; none where it looks at none, or can't be told now.
    async fn account_of(&self, work: &Work) -> Option<AccountId> {
        match work {
            Work::Validate { authz, .. } => {
                let authz = self.records.find::<Authorization>(authz).await.ok()??;
                Some(authz.account.clone())
            }
            Work::Issue { order } | Work::Attend { order } => {
                let order = self.records.find::<Order>(order).await.ok()??;
                Some(order.account.clone())
            }
            Work::ProveRevocation { revocation, .. } => {
                let request = self.records.find::<RevocationRequest>(revocation).await.ok()??;
                Some(request.account.clone())
            }
            _ => None,
        }
    }

    async fn sleep_until(&self, due: Timestamp) {
        loop {
            let nudged = self.worker.nudge.notified();
            let now = self.now();
            // A due time that far ahead was set before the clock was set back.
            if now >= due || due.since(now) > FURTHEST {
                return;
            }
            tokio::select! {
                () = tokio::time::sleep(due.since(now)) => {}
                () = nudged => {}
            }
        }
    }

    async fn run(self: &Arc<Self>, id: &JobId, ticket: Option<Ticket>) -> Result<Next> {
        let Some(job) = self.records.find::<Job>(id).await? else { return Ok(Next::Done) };
        match &job.work {
            Work::Validate { authz, method } => self.validate(&job, authz, *method).await,
            Work::Issue { order } => self.issue(&job, order, ticket).await,
            Work::Release { application } => self.release(&job, application).await,
            Work::Attend { order } => self.attend(&job, order).await,
            Work::Forget { key } => self.forget_repeat(&job, key).await,
            Work::ProveRevocation { revocation, hourly } => self.prove_revocation(&job, revocation, *hourly).await,
            Work::Continue { purchase, certificate, .. } => self.see_to_follower(&job, purchase, certificate).await,
            Work::LapseRevocation { revocation } => self.lapse_revocation(&job, revocation).await,
            Work::Deploy { customer, resource, tries } => self.deploy(&job, customer, resource, *tries).await,
            Work::Rehost { certificate } => self.rehost(&job, certificate).await,
            Work::Notify { notice } => self.notify(&job, notice).await,
            Work::Deliver { notice, to } => self.deliver(&job, notice, to).await,
            Work::Lapse { order } => self.tell_lapse(&job, order).await,
            Work::ForgetDocument { document } => self.forget_document(&job, document).await,
            Work::PublishLists { issuer } => self.publish_revocations(&job, issuer).await,
            Work::TellIncident { incident } => self.tell_incident(&job, incident).await,
        }
    }

    /// Removes a job whose object no longer wants it.
    pub(super) async fn drop_job(&self, job: &Stored<Job>) -> Result<Next> {
        let act = Act::JobDropped { job: job.id.clone() };
        match self.records.commit(Batch::of(act, self.now()).remove(job)).await {
            Ok(()) | Err(crate::store::StoreError::Conflict(_)) => Ok(Next::Done),
            Err(error) => Err(Error::internal(error)),
        }
    }
}
