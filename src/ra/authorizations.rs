//! Authorizations: pre-authorization, answering a challenge, looking, giving up; and the validation job.

use std::sync::Arc;
use std::time::Duration;

use super::proofs::Prior;
use super::worker::Next;
use super::{Ra, Stop, settle, telling};
use crate::domain::account::{Account, Holder};
use crate::domain::audit::Act;
use crate::domain::authz::{Attempt, Authorization, AuthzState, AuthzStatus};
use crate::domain::job::{Job, Work};
use crate::domain::plan::{CaaMode, Method};
use crate::domain::{AccountId, AuthzId, Error, Identifier, Kind, Problem, Result, Timestamp};
use crate::policy::admission::{self, Request};
use crate::policy::catalog::days;
use crate::store::records::{Batch, Index, Stored, target};
use crate::telemetry;
use crate::va::{CaaTerms, Outcome, Task};

/// An authorization at a moment.
#[derive(Debug)]
pub struct AuthzView {
    /// The authorization.
    pub authz: Stored<Authorization>,
    /// The moment.
    pub now: Timestamp,
    /// Whether this request made it.
    pub new: bool,
    /// What its holder is told if its challenges were not met in time.
    pub lapse: Option<Problem>,
}

impl AuthzView {
    fn at(authz: Stored<Authorization>, now: Timestamp) -> Self {
        let late = matches!(authz.state, AuthzState::Pending { .. }) && authz.status(now) == AuthzStatus::Invalid;
        let lapse = late.then(|| authz.lapse());
        Self { authz, now, new: false, lapse }
    }

    /// Whether a validation is under way.
    pub fn in_progress(&self) -> bool {
        matches!(self.authz.state, AuthzState::Pending { attempt: Some(_) })
    }
}

impl Ra {
    /// Opens an authorization ahead of an order (RFC 8555 section 7.4.1); one that an order can use already is returned.
    pub async fn pre_authorize(
        &self,
        account: &Account,
        identifier: &Identifier,
        product: Option<&str>,
    ) -> Result<AuthzView> {
        settle(|| self.pre_authorize_once(account, identifier, product)).await
    }

    async fn pre_authorize_once(
        &self,
        account: &Account,
        identifier: &Identifier,
        product: Option<&str>,
    ) -> Result<AuthzView, Stop> {
        let account = &self.again(account).await?;
        let catalog = self.catalog();
        let request = Request {
            product: product.map(str::to_owned),
            identifiers: vec![identifier.clone()],
            ..Request::default()
        };
        let standing = self.standing(account, &catalog, &request).await?;
        let terms = standing.terms(self.settings(), account);
        let product = admission::admit_name(&catalog, identifier, product, &terms)?;
        let now = self.now();
        let name = identifier.to_string();
        if let Some(row) = self.records.follow(&Index::Proven(&account.id, &name)).await?
            && let Some(authz) = self.records.find::<Authorization>(&target::<AuthzId>(&row)?).await?
            && self.reusable_until(&authz, identifier, product, product.validation_reuse_days).is_some()
        {
            return Ok(AuthzView::at(authz, now));
        }
        self.refuse_paused(account, std::slice::from_ref(identifier)).await?;
        let (holder, authz) = (account.holder(), self.open_authz(account, identifier, product, &Prior::default()));
        let mut wants = self.limits.order(&account.id, holder.customer());
        wants.extend(self.limits.pending(&account.id, holder.customer(), 1));
        let taken = self.limits.take(wants, now)?;
        let act = Act::AuthorizationCreated { authz: authz.id.clone(), account: account.id.clone(), name };
        self.records.commit(Batch::of(act, now).check(account).insert(&authz)).await?;
        taken.keep();
        let view = self.own_authz(account, &authz.id).await?;
        Ok(AuthzView { new: true, ..view })
    }

    async fn own_authz(&self, account: &Account, id: &AuthzId) -> Result<AuthzView> {
        let found = self.records.find::<Authorization>(id).await?;
        let own = found.filter(|authz| authz.account == account.id);
        let authz = own.ok_or_else(|| Error::not_found(format!("This account has no authorization {id}.")))?;
        Ok(AuthzView::at(authz, self.now()))
    }

    /// An authorization for its owner. While it is being validated, the answer waits a moment for the outcome.
    pub async fn authorization(&self, account: &Account, id: &AuthzId) -> Result<AuthzView> {
        let view = self.own_authz(account, id).await?;
        let AuthzState::Pending { attempt: Some(attempt) } = &view.authz.state else { return Ok(view) };
        if self.worker.wait(&attempt.job, self.challenge_wait()).await {
            self.own_authz(account, id).await
        } else {
            Ok(view)
        }
    }

    /// Gives an authorization up (RFC 8555 section 7.5.2).
    pub async fn deactivate_authorization(&self, account: &Account, id: &AuthzId) -> Result<AuthzView> {
        settle(|| async {
            let read = self.own_authz(account, id).await?.authz;
            let now = self.now();
            let given_up = (*read).clone().deactivate(now)?;
            let act = Act::AuthorizationDeactivated { authz: id.clone() };
            self.records.commit(Batch::of(act, now).replace(&read, &given_up)).await?;
            if matches!(read.state, AuthzState::Pending { .. }) {
                self.give_back_pending(account, &read);
            }
            Ok(())
        })
        .await?;
        self.own_authz(account, id).await
    }

    /// Takes the answer to a challenge: validation begins (RFC 8555 section 7.5.1), and the answer waits a moment for
    /// its outcome. A second answer changes nothing.
    pub async fn answer_challenge(
        self: &Arc<Self>,
        account: &Account,
        id: &AuthzId,
        method: Method,
    ) -> Result<AuthzView> {
        let begun = settle(|| self.begin_validation(account, id, method)).await?;
        if let Some(job) = begun {
            self.start(job);
        }
        self.authorization(account, id).await
    }

    async fn begin_validation(&self, account: &Account, id: &AuthzId, method: Method) -> Result<Option<Job>, Stop> {
        let account = &self.again(account).await?;
        let AuthzView { authz, now, .. } = self.own_authz(account, id).await?;
        offered(&authz, method)?;
        let settled = !matches!(authz.state, AuthzState::Pending { attempt: None });
        if settled && !matches!(authz.state, AuthzState::Deactivated { .. }) {
            return Ok(None);
        }
        self.limits.check(self.limits.failure(&account.id, &authz.identifier), now)?;
        let job = Job::new(Work::Validate { authz: id.clone(), method }, now);
        let attempt = Attempt {
            method,
            started: now,
            key_authorization: format!("{}.{}", authz.token, account.key.thumbprint()),
            job: job.id.clone(),
            failures: Vec::new(),
        };
        let begun = (*authz).clone().begin(attempt, now)?;
        let batch = Batch::of(Act::ValidationBegun { authz: id.clone(), method }, now)
            .check(account)
            .replace(&authz, &begun)
            .insert(&job);
        self.records.commit(batch).await?;
        Ok(Some(job))
    }

    /// The challenge of an authorization, for its owner, as POST-as-GET asks for it.
    pub async fn challenge(&self, account: &Account, id: &AuthzId, method: Method) -> Result<AuthzView> {
        let view = self.authorization(account, id).await?;
        offered(&view.authz, method)?;
        Ok(view)
    }

    /// The validation job: looks at the world, then settles the authorization, or puts the job off.
    pub(super) async fn validate(&self, job: &Stored<Job>, id: &AuthzId, method: Method) -> Result<Next> {
        let Some(authz) = self.records.find::<Authorization>(id).await? else { return self.drop_job(job).await };
        let AuthzState::Pending { attempt: Some(attempt) } = &authz.state else { return self.drop_job(job).await };
        let caa = self.caa_terms(&authz, &authz.caa_identities, authz.caa_mode, method);
        let task = Task {
            identifier: authz.identifier.clone(),
            wildcard: authz.wildcard,
            method,
            token: authz.token.clone(),
            key_authorization: attempt.key_authorization.clone(),
            caa,
            now: self.now(),
        };
        // Nobody is asked on behalf of an account that was closed.
        let outcome = match self.closed(&authz.account).await?.1 {
            None => self.va.validate(&task).await,
            Some(problem) => Outcome {
                result: Err(problem),
                may_heal: false,
                hints: Vec::new(),
                evidence: Vec::new(),
                resolver_failed: false,
            },
        };
        settle(|| self.settle_validation(job, id, method, &outcome)).await
    }

    async fn settle_validation(
        &self,
        job: &Stored<Job>,
        id: &AuthzId,
        method: Method,
        outcome: &Outcome,
    ) -> Result<Next, Stop> {
        let lost = || Error::internal(format!("authorization {id} is gone"));
        let read = self.records.find::<Authorization>(id).await?.ok_or_else(lost)?;
        if !matches!(read.state, AuthzState::Pending { attempt: Some(_) }) {
            return Ok(self.drop_job(job).await?);
        }
        // RFC 8555 section 7.3.6: what a closed account left open is cancelled, also when it was closed meanwhile.
        let (account, closed) = self.closed(&read.account).await?;
        let now = self.now();
        let authz = (*read).clone();
        // What fails because of this server, or for an account that was closed, is no failure of the client's.
        let at_fault = closed.is_none() && !is_ours(outcome);
        let problem = match &outcome.result {
            Ok(()) if closed.is_some() => closed,
            Ok(()) if now < authz.expires => None,
            Ok(()) => Some(authz.lapse()),
            Err(problem) => Some(problem.clone()),
        };
        if let Some(mut problem) = problem.clone().filter(|_| outcome.may_heal && self.tries_left(job)) {
            let evidence = outcome.evidence.clone();
            let later = (**job).clone().put_off(now + Duration::from_millis(self.settings.validation_retry_ms));
            // VAL-29, DIAG-13: the client is told when it is tried again.
            problem.detail += &format!(" Next try at {}.", later.due);
            let act = Act::ValidationRetried { authz: id.clone(), method, problem: problem.clone(), evidence };
            let batch = Batch::of(act, now).replace(&read, &authz.retry(problem)).replace(job, &later);
            self.records.commit(batch).await?;
            count(method, "retried");
            return Ok(Next::At(later.due));
        }
        let act = Act::ValidationSettled {
            authz: id.clone(),
            name: read.ordered_name(),
            method,
            problem: problem.clone(),
            evidence: outcome.evidence.clone(),
        };
        let batch = Batch::of(act, now).remove(job);
        let batch = match problem {
            Some(problem) => {
                let batch = telling::tell_refuted(batch, &account, &read.ordered_name(), &problem, now);
                let batch = match at_fault {
                    true => self.add_failure(batch, &account, &read.identifier, now).await?,
                    false => batch,
                };
                batch.replace(&read, &authz.refute(method, problem, now))
            }
            None => {
                let caa_checked = matches!(authz.identifier, Identifier::Dns(_)).then_some(now);
                let reuse = self.kept(&read);
                let proven = authz.prove(method, now, caa_checked, now + reuse, outcome.hints.clone());
                let (name, holder) = (read.ordered_name(), account.holder());
                let batch = self.end_failures(batch, &account, &read.identifier).await?;
                let batch = batch
                    .check(&account)
                    .replace(&read, &proven)
                    .index(&Index::Proven(&read.account, &name), id.as_str());
                // VAL-32: what is kept is kept for the customer, whichever of their accounts proved it.
                match holder {
                    Holder::Customer(_) if read.kept_days > 0 => {
                        batch.index(&Index::Retained(&holder, &name), id.as_str())
                    }
                    Holder::Customer(_) | Holder::Account(_) => batch,
                }
            }
        };
        self.records.commit(batch).await?;
        count(method, if outcome.result.is_ok() { "valid" } else { "invalid" });
        self.give_back_pending(&account, &read);
        if outcome.result.is_err() && at_fault {
            self.limits.count(&self.limits.failure(&read.account, &read.identifier), now);
        }
        Ok(Next::Done)
    }

    /// An account, and the problem with it if it was closed.
    pub(super) async fn closed(&self, id: &AccountId) -> Result<(Stored<Account>, Option<Problem>)> {
        let found = self.records.find::<Account>(id).await?;
        let account = found.ok_or_else(|| Error::internal(format!("account {id} is gone")))?;
        let problem = account.active().err().map(Error::into_problem);
        Ok((account, problem))
    }

    fn tries_left(&self, job: &Job) -> bool {
        job.tries + 1 < self.settings.validation_tries
    }

    /// How long a proof is kept: as the product that it was made for says, within the configuration. The order that it was
    /// made for can always use it, also after the review of the organisation; whether others may is judged when they come.
    fn kept(&self, authz: &Authorization) -> Duration {
        days(authz.kept_days.max(authz.review_days).min(self.settings.authorization_days))
            .max(days(self.settings.order_days))
    }

    /// What CAA must permit for the holder of an authorization.
    pub(super) fn caa_terms(
        &self,
        authz: &Authorization,
        identities: &[String],
        mode: CaaMode,
        method: Method,
    ) -> CaaTerms {
        CaaTerms { identities: identities.to_vec(), account_uri: self.account_uri(&authz.account), method, mode }
    }
}

fn count(method: Method, outcome: &'static str) {
    metrics::counter!(telemetry::VALIDATIONS, "method" => method.as_str(), "outcome" => outcome).increment(1);
}

/// Whether a look failed because of this server, not because of what it looked at.
pub(super) fn is_ours(outcome: &Outcome) -> bool {
    let kind = outcome.result.as_ref().err().map(|problem| problem.kind);
    outcome.resolver_failed || matches!(kind, Some(Kind::ServerInternal | Kind::Unavailable))
}

/// Whether the authorization has a challenge of that type.
fn offered(authz: &Authorization, method: Method) -> Result<()> {
    if authz.methods.contains(&method) {
        return Ok(());
    }
    Err(Error::not_found(format!("The authorization for {} has no challenge of type {method}.", authz.ordered_name())))
}
