//! Proofs for revocations: looked for every hour and when the customer asks, until the deadline (REVOKE-12 to REVOKE-16).

use std::sync::Arc;

use super::authorizations::is_ours;
use super::revocation_requests::{LOOK_EVERY, RevocationView};
use super::worker::Next;
use super::{Ra, Stop, settle};
use crate::domain::audit::Act;
use crate::domain::job::{Job, Work};
use crate::domain::plan::{CaaMode, Method};
use crate::domain::revocation::{NameProof, RevocationRequest, Stage};
use crate::domain::{Error, Kind, Result, RevocationId};
use crate::policy::revocation::no_proof;
use crate::store::records::{Batch, Stored};
use crate::va::{CaaTerms, Outcome, Task};

impl Ra {
    /// Looks now whether control of the names is shown, and waits a moment for the outcome.
    pub async fn look_for_proof(self: &Arc<Self>, id: &RevocationId) -> Result<RevocationView> {
        let request = self.revocation_request(id).await?;
        let Stage::AwaitingProof { .. } = request.stage else {
            let told = format!("No proof is awaited: the revocation is {}.", request.stage.as_str());
            return Err(Error::new(Kind::Conflict, told));
        };
        let now = self.now();
        if let Some((_, name)) = request.unproven().first() {
            self.limits.check(self.limits.failure(&request.account, &name.identifier), now)?;
        }
        let job = Job::new(Work::ProveRevocation { revocation: id.clone(), hourly: false }, now);
        let act = Act::RevocationLookAsked { revocation: id.clone() };
        self.records.commit(Batch::of(act, now).insert(&job)).await?;
        let waited_for = job.id.clone();
        self.start(job);
        self.worker.wait(&waited_for, self.challenge_wait()).await;
        self.revocation(id).await
    }

    /// The job: looks at every name whose control was not seen yet.
    pub(super) async fn prove_revocation(
        self: &Arc<Self>,
        job: &Stored<Job>,
        id: &RevocationId,
        hourly: bool,
    ) -> Result<Next> {
        let Some(request) = self.records.find::<RevocationRequest>(id).await? else { return self.drop_job(job).await };
        // One after the other: a place among the looks is for one question at a time.
        let mut seen = Vec::new();
        for (place, name) in request.unproven() {
            seen.push((place, self.look_at(&request, name).await?));
        }
        settle(|| self.settle_looks(job, id, hourly, &seen)).await
    }

    /// Whether control of a name is shown: by what the request names, or by an authorization since it was made.
    async fn look_at(&self, request: &RevocationRequest, name: &NameProof) -> Result<Outcome> {
        let proven = self.proof_of(&request.account, &name.identifier).await?;
        if let Some(at) = proven.filter(|at| request.created <= *at) {
            let evidence = vec![format!("{} was proven over ACME at {at}", name.identifier)];
            return Ok(Outcome {
                result: Ok(()),
                may_heal: false,
                hints: Vec::new(),
                evidence,
                resolver_failed: false,
            });
        }
        let caa = CaaTerms {
            identities: Vec::new(),
            account_uri: String::new(),
            method: name.method,
            mode: CaaMode::default(),
        };
        let task = Task {
            identifier: name.identifier.base(),
            wildcard: name.identifier.is_wildcard(),
            method: name.method,
            token: name.token.clone(),
            key_authorization: name.key_authorization.clone(),
            caa,
            now: self.now(),
        };
        Ok(self.va.prove(&task).await)
    }

    async fn settle_looks(
        &self,
        job: &Stored<Job>,
        id: &RevocationId,
        hourly: bool,
        seen: &[(usize, Outcome)],
    ) -> Result<Next, Stop> {
        let read = self.revocation_request(id).await?;
        let refuted = |outcome: &Outcome| outcome.result.is_err() && !is_ours(outcome);
        for (place, name) in read.unproven().into_iter().filter(|_| !hourly) {
            if seen.iter().any(|(other, outcome)| *other == place && refuted(outcome)) {
                self.limits.count(&self.limits.failure(&read.account, &name.identifier), self.now());
            }
        }
        let Stage::AwaitingProof { deadline, .. } = read.stage else { return Ok(self.drop_job(job).await?) };
        let now = self.now();
        let found = seen.iter().map(|(place, outcome)| (*place, outcome.result.clone())).collect();
        let evidence = seen.iter().flat_map(|(_, outcome)| outcome.evidence.clone()).collect();
        let looked = (*read).clone().looked(found, now);
        let act = Act::RevocationLookedAt { revocation: id.clone(), evidence };
        let batch = Batch::of(act, now).remove(job);
        if looked.is_proven() {
            self.revoke_as_asked(batch, looked, Some(&read)).await?;
        } else if looked.is_late(now) {
            // REVOKE-13, REVOKE-14
            let unproven = looked.unproven();
            let method = unproven.first().map_or(Method::Dns01, |(_, name)| name.method);
            let period = deadline.since(looked.created).as_secs() / 86_400;
            let why = no_proof(method, u32::try_from(period).unwrap_or(u32::MAX));
            self.give_up(batch, &read, &why).await?;
        } else {
            let batch = batch.replace(&read, &looked);
            let batch = match hourly {
                true => batch
                    .later(deadline.min(now + LOOK_EVERY), Work::ProveRevocation { revocation: id.clone(), hourly }),
                false => batch,
            };
            self.records.commit(batch).await?;
        }
        Ok(Next::Done)
    }
}
