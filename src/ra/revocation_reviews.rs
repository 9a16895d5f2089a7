//! Revocations at the review desk (REVOKE-10, REVOKE-11, REVOKE-17).

use super::desk::{Decision, Details, Verdict};
use super::profiles::requeued;
use super::{Ra, Stop};
use crate::domain::application::Task;
use crate::domain::review::Matter;
use crate::domain::revocation::{RevocationRequest, Stage};
use crate::domain::{CustomerId, Error, Kind, Result, RevocationId, Timestamp};
use crate::policy::applications::{self, Expected};
use crate::store::records::Batch;

/// What the desk shows of a matter: whose it is, since when it waits, when it is expected to be decided, how many reviewers
/// must approve, and what is known of it.
pub(super) type Shown = (Option<CustomerId>, Option<Timestamp>, Option<Expected>, usize, Details);

impl Ra {
    /// The request for revocation of that id, if there is one.
    pub(super) async fn revocation_matter(&self, id: &str) -> Result<Option<Matter>> {
        let Ok(id) = id.parse::<RevocationId>() else { return Ok(None) };
        Ok(self.records.find::<RevocationRequest>(&id).await?.map(|_| Matter::Revocation(id)))
    }

    /// A request for revocation as reviewers see it.
    pub(super) async fn revocation_case(&self, id: &RevocationId) -> Result<Shown> {
        let view = self.revocation(id).await?;
        let (since, catalog) = (view.request.waits_since(), self.catalog());
        let product = catalog.product(&view.certificate.product);
        let expected = product
            .zip(since)
            .and_then(|(product, since)| applications::expected(&catalog, product, Task::Review, since));
        let approvers = product.map_or(1, |product| applications::approvers(&catalog, product.class));
        Ok((view.request.customer.clone(), since, expected, approvers, Details::Revocation(Box::new(view))))
    }

    /// A person decides. Refused, the certificate is issued as before.
    pub(super) async fn decide_revocation(&self, matter: &Matter, verdict: &Verdict) -> Result<(), Stop> {
        let Matter::Revocation(id) = matter else { return Err(Stop::Overtaken) };
        let read = self.revocation_request(id).await?;
        let since = match (&read.stage, verdict.decision) {
            // Who waits for a letter that nobody will send may be told so.
            (Stage::AwaitingReview { since, .. }, _) | (Stage::AwaitingLetter { since }, Decision::Reject) => *since,
            (stage, _) => {
                let told = format!("The revocation is not waiting for a review: it is {}.", stage.as_str());
                return Err(Error::new(Kind::Conflict, told).into());
            }
        };
        let approvers = self.revocation_case(id).await?.3;
        let judged = self.judged(matter, since, verdict, approvers).await?;
        let now = self.now();
        if !judged.decides {
            self.records.commit(judged.batch(now).check(&read)).await?;
            return Ok(());
        }
        let batch = self.off_the_desk(judged.batch(now), &read);
        match verdict.decision {
            Decision::Approve => self.revoke_as_asked(batch, (*read).clone(), Some(&read)).await,
            Decision::Reject => {
                self.give_up(batch, &read, &format!("The revocation was refused: {}.", verdict.note)).await
            }
        }
    }

    /// Takes a request off the desk, if it is there.
    pub(super) fn off_the_desk(&self, batch: Batch, request: &RevocationRequest) -> Batch {
        requeued(batch, &Matter::Revocation(request.id.clone()), request.waits_since(), None)
    }

    /// Puts a request on the desk, if it waits for a person.
    pub(super) fn on_the_desk(&self, batch: Batch, request: &RevocationRequest) -> Batch {
        requeued(batch, &Matter::Revocation(request.id.clone()), None, request.waits_since())
    }
}
