//! Telling resources of the certificates that they are to use: the job, its tries, and what they come to (INSTALL-08).

use serde_json::json;

use super::Ra;
use super::hosting::of_certificate;
use super::worker::Next;
use crate::domain::audit::Act;
use crate::domain::job::{Job, Work};
use crate::domain::notice::{Notice, Topic, once};
use crate::domain::portfolio::{CertificateRef, Delivery, HostingTarget, Resource};
use crate::domain::{CustomerId, Kind, Result, Timestamp};
use crate::post::{Outcome, Webhook};
use crate::store::StoreError;
use crate::store::records::{Batch, Stored, hosting_target_id};

/// How often a resource is told at most.
const MOST_TRIES: u32 = 12;

impl Ra {
    /// The job that tells a resource of the certificate that it is to use.
    pub(super) async fn deploy(
        &self,
        job: &Stored<Job>,
        customer: &CustomerId,
        resource: &Resource,
        tries: u32,
    ) -> Result<Next> {
        let place = hosting_target_id(customer, resource);
        let Some(target) = self.records.find::<HostingTarget>(&place).await? else { return self.drop_job(job).await };
        let Some(id) = target.certificate.clone() else { return self.drop_job(job).await };
        // Another job has told it meanwhile.
        let Delivery::Pending { since } = target.delivery else { return self.drop_job(job).await };
        let outcome = self.announce(&target, &id, since).await?;
        let now = self.now();
        let (delivery, failure) = match outcome {
            Outcome::Delivered => (Delivery::Delivered { at: now }, None),
            Outcome::Later(reason) => match self.post.settings().next_try(since, tries, now) {
                Some(next) if tries < MOST_TRIES => return self.retry_deployment(job, &target, reason, next).await,
                _ => (Delivery::Failed { at: now, reason: reason.clone() }, Some(reason)),
            },
            Outcome::Refused(reason) => (Delivery::Failed { at: now, reason: reason.clone() }, Some(reason)),
        };
        let act = Act::DeploymentSettled {
            certificate: id.to_string(),
            resource: resource.to_string(),
            failure: failure.clone(),
        };
        let batch = Batch::of(act, now).remove(job).replace(&target, &HostingTarget { delivery, ..(*target).clone() });
        let batch = match failure {
            Some(reason) => batch.notice(&undelivered(customer, &id, resource, &reason, now)),
            None => batch,
        };
        self.settle_deployment(batch).await
    }

    /// Calls the resource's webhook, if the certificate still is one to use: it may have been revoked since (REVOKE-01).
    async fn announce(&self, target: &HostingTarget, id: &CertificateRef, since: Timestamp) -> Result<Outcome> {
        let fit = match self.listed(id).await {
            Ok(listed) => self.check_deployable(&listed).await.map(drop),
            Err(error) => Err(error),
        };
        match fit {
            Ok(()) => {}
            Err(error) if error.kind() == Kind::ServerInternal => return Err(error),
            Err(error) => return Ok(Outcome::Refused(error.into_problem().detail)),
        }
        let hook = Webhook {
            url: target.url.clone(),
            secret: target.secret.to_string(),
            // The same at each try.
            id: once(&[&target.resource.to_string(), &id.to_string(), &since.to_string()]).to_string(),
            body: message(target, id),
        };
        Ok(self.post.call(&hook, self.now()).await)
    }

    /// Has the resource told again then: by a timer, as a job would not wait for hours.
    async fn retry_deployment(
        &self,
        job: &Stored<Job>,
        target: &Stored<HostingTarget>,
        reason: String,
        next: Timestamp,
    ) -> Result<Next> {
        let act = Act::DeploymentSettled {
            certificate: target.certificate.as_ref().map(ToString::to_string).unwrap_or_default(),
            resource: target.resource.to_string(),
            failure: Some(format!("{reason}; tried again at {next}")),
        };
        let work = job.work.clone().tried_again();
        self.settle_deployment(Batch::of(act, self.now()).check(target).remove(job).later(next, work)).await
    }

    async fn settle_deployment(&self, batch: Batch) -> Result<Next> {
        match self.records.commit(batch).await {
            Ok(()) => Ok(Next::Done),
            // Somebody deployed another one meanwhile: that is what is to be told.
            Err(StoreError::Conflict(_)) => Ok(Next::At(self.now())),
            Err(error) => Err(error.into()),
        }
    }
}

/// The job that tells a resource for the first time.
pub(super) fn deploy_job(customer: &CustomerId, resource: &Resource, now: Timestamp) -> Job {
    Job::new(Work::Deploy { customer: customer.clone(), resource: resource.clone(), tries: 0 }, now)
}

/// What a resource is told: which certificate, and where it is fetched.
fn message(target: &HostingTarget, id: &CertificateRef) -> String {
    json!({
        "event": "certificate-deployed",
        "resource": { "type": target.resource.kind, "id": target.resource.id },
        "certificate": id.to_string(),
        "bundle": format!("/api/v1/certificates/{id}/bundle?format=nginx"),
    })
    .to_string()
}

fn undelivered(
    customer: &CustomerId,
    id: &CertificateRef,
    resource: &Resource,
    reason: &str,
    now: Timestamp,
) -> Notice {
    let text = format!(
        "The {resource} did not take over the certificate {id}: {reason}. See to its webhook, then deploy again (POST \
         /certificates/{id}/deployments)."
    );
    let notice =
        Notice::new(customer, (Topic::Issue, "deployment-failed"), "A certificate was not deployed", text, now);
    of_certificate(notice, id)
}
