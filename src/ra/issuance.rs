//! From the CSR to the certificate: finalize, the issuing job, the download.

use std::sync::Arc;
use std::time::Duration;

use super::worker::Next;
use super::{OrderView, Ra, Stop, settle, telling};
use crate::ca::{self, LeafPlan, Signed};
use crate::domain::account::{Account, Holder};
use crate::domain::audit::Act;
use crate::domain::authz::{Authorization, AuthzState, AuthzStatus};
use crate::domain::certificate::{Certificate, CertificateStanding};
use crate::domain::csr::{Csr, SubjectKey};
use crate::domain::customer::Clearance;
use crate::domain::job::{Job, Work};
use crate::domain::order::{Order, Phase, Purpose};
use crate::domain::{Error, Identifier, JobId, Kind, OrderId, Problem, Result, Serial};
use crate::policy::catalog::{Product, Sale};
use crate::policy::{admission, applications, keys, validity};
use crate::store::records::{Batch, BlockedKey, Index, SerialEntry, Stored, clearance_id, target};
use crate::telemetry;

/// How long a CAA answer may be used (Baseline Requirements 4.2.2.1: 8 hours).
pub(super) const CAA_LASTS: Duration = Duration::from_secs(8 * 3600);

/// How often the issuing job looks again when CAA can't be looked up, and how long it rests between.
const ISSUE_TRIES: u32 = 3;
const ISSUE_RETRY: Duration = Duration::from_secs(2);

/// How long an order waits at first for keys that can't be reached; then longer and longer, up to about five minutes.
const KEYS_RETRY: Duration = Duration::from_secs(10);

/// What finalize hands to the first run of the issuing job: the CSR it has parsed, and with it the certainty that the
/// recorded serial was never signed. It is not stored, so every later run takes a fresh serial.
pub(super) struct Ticket {
    csr: Csr,
}

impl Ticket {
    /// For the first run of a job whose serial is recorded in the same commit.
    pub(super) fn of(csr: &[u8]) -> Result<Self> {
        Ok(Self { csr: ca::csr::parse(csr)? })
    }
}

/// What became of a CSR.
enum Accepted {
    /// It was accepted by this request, which starts the job.
    Now(Job, Box<Ticket>),
    /// It was accepted by an earlier request, whose job may still be under way.
    Before(Option<JobId>),
}

/// A certificate for its owner.
#[derive(Debug)]
pub struct Download {
    /// The leaf, DER.
    pub leaf: Vec<u8>,
    /// The chain asked for, from the intermediate upwards without the root, DER.
    pub chain: Vec<Vec<u8>>,
    /// How many chains there are.
    pub chains: usize,
    /// The certificate for encryption that goes with it, if it is the first of an SM2 pair.
    pub encryption: Option<Serial>,
}

impl Ra {
    /// Accepts a CSR for a ready order (RFC 8555 section 7.4), and waits a while for the certificate. The same CSR a
    /// second time changes nothing.
    pub async fn finalize(self: &Arc<Self>, account: &Account, id: &OrderId, csr: &[u8]) -> Result<OrderView> {
        let longest = Duration::from_millis(self.settings.finalize_wait_ms);
        match settle(|| self.accept_csr(account, id, csr)).await? {
            Accepted::Now(job, ticket) => {
                let waited_for = job.id.clone();
                self.start_with(job, Some(*ticket));
                self.worker.wait(&waited_for, longest).await;
            }
            Accepted::Before(Some(job)) => {
                self.worker.wait(&job, longest).await;
            }
            Accepted::Before(None) => {}
        }
        self.own_order(account, id).await
    }

    async fn accept_csr(&self, account: &Account, id: &OrderId, der: &[u8]) -> Result<Accepted, Stop> {
        let account = &self.again(account).await?;
        let view = self.own_order(account, id).await?;
        if view.order.accepted_csr(der) {
            return Ok(Accepted::Before(match &view.order.phase {
                Phase::Issuing { job, .. } => Some(job.clone()),
                _ => None,
            }));
        }
        let now = self.now();
        let serial = Serial::random();
        let job = Job::new(Work::Issue { order: id.clone() }, now);
        let authzs = view.plain_authzs();
        // The state is judged before the CSR, so that a client that is too early learns just that.
        let order = (*view.order).clone().finalize(der, serial, job.id.clone(), &authzs, now)?;
        let product = self.product_of(&self.catalog(), &order.product)?;
        let csr = ca::csr::parse(der)?;
        keys::accept_csr(&csr, &order, &product, self.catalog().weak_keys())?;
        self.check_subject_key(account, &csr).await?;
        self.check_key_reuse(&account.holder(), &order, &csr, &product).await?;
        let application = self.application_to_finalize(&view.order, &product).await?;
        let claim = self.claim_of(&view.order).await?;
        let checked = |batch: Batch| {
            let batch = view.authzs.iter().fold(batch.check(account), |batch, authz| batch.check(authz));
            claim.iter().fold(batch, |batch, claim| claim.guard(batch))
        };
        let undecided = application.as_ref().filter(|application| !application.serves(now));
        let cleared = self.is_cleared(&account.holder(), &order).await?;
        let taken = self.take_certificate(account, &order)?;
        if undecided.is_some() || !cleared {
            // Design decision 5: a person looks at it first.
            let waiting = (*view.order).clone().submit(der, &authzs, now)?;
            let act = Act::ReviewBegun { order: id.clone(), causes: waiting.causes.clone() };
            let mut batch = Batch::of(act, now).replace(&view.order, &waiting);
            if !cleared {
                batch = batch.index(&Index::InReview(now, id.as_str()), id.as_str());
            }
            if let Some(application) = undecided {
                batch = self.wait_for(batch, application, id)?;
            }
            self.records.commit(checked(batch)).await?;
            return Ok(Accepted::Before(None));
        }
        let batch = Batch::of(Act::OrderFinalized { order: id.clone(), serial }, now)
            .replace(&view.order, &order)
            .insert(&SerialEntry { serial, purpose: id.to_string(), at: now })
            .insert(&job);
        let batch = application.iter().fold(batch, |batch, application| batch.check(application));
        self.records.commit(checked(batch)).await?;
        taken.keep();
        Ok(Accepted::Now(job, Box::new(Ticket { csr })))
    }

    /// Whether nothing about the order's names needs a person's look, or a person has cleared it meanwhile.
    pub(super) async fn is_cleared(&self, holder: &Holder, order: &Order) -> Result<bool> {
        let ids = order.causes.iter().map(|cause| clearance_id(holder, &cause.name));
        let found = self.records.find_all::<Clearance>(ids).await?;
        Ok(found.iter().all(Option::is_some))
    }

    /// CSR-04, design decision 4: a key serves one order, except where the same customer renews or reissues for the same
    /// names. Gives the row of the key as it was read.
    async fn check_key_reuse(
        &self,
        holder: &Holder,
        order: &Order,
        csr: &Csr,
        product: &Product,
    ) -> Result<Option<Stored<String>>> {
        if !product.unique_keys {
            return Ok(None);
        }
        let row = self.records.follow(&Index::CertifiedKey(&csr.spki_sha256)).await?;
        let earlier = match &row {
            Some(row) => self.records.find::<Certificate>(&target::<Serial>(row)?).await?,
            None => None,
        };
        if let Some(earlier) = earlier.filter(|earlier| earlier.order != order.id) {
            let theirs = self.records.find::<Account>(&earlier.account).await?;
            let same_holder = theirs.is_some_and(|account| account.holder() == *holder);
            keys::accept_reuse(self.catalog().settings(), order, &earlier, same_holder)?;
        }
        Ok(row)
    }

    /// Refuses a CSR that could not finalize such an order, before anybody pays for one.
    pub(super) async fn check_csr(&self, account: &Account, order: &Order, der: &[u8]) -> Result<()> {
        let product = self.product_of(&self.catalog(), &order.product)?;
        let csr = ca::csr::parse(der)?;
        keys::accept_csr(&csr, order, &product, self.catalog().weak_keys())?;
        self.check_subject_key(account, &csr).await?;
        self.check_key_reuse(&account.holder(), order, &csr, &product).await.map(drop)
    }

    /// RFC 8555 section 11.1: no account's key is certified. Baseline Requirements 6.1.1.3: nor a compromised one.
    async fn check_subject_key(&self, account: &Account, csr: &Csr) -> Result<()> {
        let refuse = |why: &str| Err(Error::new(Kind::BadCsr, format!("The CSR's key {why}; make a new key pair.")));
        let own = account.key.spki_sha256() == csr.spki_sha256;
        if own || self.records.follow(&Index::AccountBySpki(&csr.spki_sha256)).await?.is_some() {
            return refuse("is the key of an ACME account");
        }
        if self.records.find::<BlockedKey>(csr.spki_sha256).await?.is_some() {
            return refuse("is known to be compromised");
        }
        Ok(())
    }

    /// The issuing job: CAA again where that is due, then lint, sign and store.
    pub(super) async fn issue(&self, job: &Stored<Job>, id: &OrderId, ticket: Option<Ticket>) -> Result<Next> {
        let view = self.order_view(id).await?;
        if !matches!(&view.order.phase, Phase::Issuing { job: own, .. } if *own == job.id) {
            return self.drop_job(job).await;
        }
        let refused = match self.recheck(&view).await? {
            Ok(()) => match self.sign(job, id, ticket).await {
                Ok(next) => return Ok(next),
                Err(Stop::Overtaken) => return Ok(Next::At(self.now())),
                // Keys that can't be reached, as those of a token that was taken out: the order waits, until its own end.
                Err(Stop::Refused(error)) if error.kind() == Kind::Unavailable => {
                    tracing::error!(order = %id, error = ?error, "a certificate could not be made now and is tried again");
                    let pause = KEYS_RETRY * 2_u32.pow(job.waits.min(5));
                    let later = (**job).clone().wait(self.now() + pause);
                    return self.put_off(job, id, later).await;
                }
                Err(Stop::Refused(error)) => {
                    if error.kind() == Kind::ServerInternal {
                        tracing::error!(order = %id, error = ?error, "a certificate could not be made");
                    }
                    error.into_problem()
                }
            },
            Err((_, true)) if job.tries + 1 < ISSUE_TRIES => {
                let later = (**job).clone().put_off(self.now() + ISSUE_RETRY);
                return self.put_off(job, id, later).await;
            }
            Err((problem, _)) => problem,
        };
        settle(|| self.fail_order(job, id, refused.clone())).await
    }

    /// Whether an order may still be fulfilled: its own end, the authorizations, the product. Gives the product.
    async fn entitlement(&self, view: &OrderView) -> Result<Arc<Product>> {
        // A job that was taken up late, after the server stood still: the order's end is that of what it rests on.
        if view.now >= view.order.expires {
            return Err(Error::malformed(format!("The order expired at {}; place a new one.", view.order.expires)));
        }
        let catalog = self.catalog();
        let product = self.product_of(&catalog, &view.order.product)?;
        // The lists may have grown since the order was placed (Baseline Requirements 4.2.1).
        let refused = |name| admission::refusal(&catalog, &product, name).map(|reason| (name, reason));
        if let Some((name, reason)) = view.order.identifiers.iter().find_map(refused) {
            return Err(Problem::new(Kind::RejectedIdentifier, format!("{name}: {reason}")).into());
        }
        // The public calendar may have made a proof too old since the order was placed.
        let longest = validity::longest_reuse(catalog.settings(), &product, view.now);
        let serves = |authz: &Authorization| match &authz.state {
            AuthzState::Valid { validated, .. } => {
                authz.status(view.now) == AuthzStatus::Valid && view.now < *validated + longest
            }
            _ => false,
        };
        match view.authzs.iter().find(|authz| !serves(authz)) {
            Some(authz) => Err(no_longer_valid(authz)),
            None => Ok(product),
        }
    }

    /// Whether the order may still be fulfilled, and CAA permits it. If not, why, and whether that may pass.
    async fn recheck(&self, view: &OrderView) -> Result<Result<(), (Problem, bool)>> {
        let entitled = async {
            self.account(&view.order.account).await?;
            self.entitlement(view).await
        };
        let product = match entitled.await {
            Ok(product) => product,
            Err(error) if error.kind() == Kind::ServerInternal => return Err(error),
            Err(error) => return Ok(Err((error.into_problem(), false))),
        };
        for authz in &view.authzs {
            let AuthzState::Valid { method, caa_checked, .. } = &authz.state else {
                return Ok(Err((no_longer_valid(authz).into_problem(), false)));
            };
            let recent = caa_checked.is_some_and(|at| at <= view.now && view.now.since(at) < CAA_LASTS);
            if matches!(authz.identifier, Identifier::Ip(_))
                || (recent && authz.caa_identities == product.caa_identities && authz.caa_mode == product.caa_mode)
            {
                continue;
            }
            let terms = self.caa_terms(authz, &product.caa_identities, product.caa_mode, *method);
            let outcome = self.va.check_caa(&authz.identifier, authz.wildcard, &terms).await;
            let problem = outcome.result.as_ref().err().cloned();
            let (order, name) = (view.order.id.clone(), authz.ordered_name());
            let act = Act::CaaChecked { order, name, problem, evidence: outcome.evidence };
            self.records.commit(Batch::of(act, view.now)).await?;
            if let Err(problem) = outcome.result {
                return Ok(Err((problem.of(&authz.identifier), outcome.may_heal)));
            }
        }
        Ok(Ok(()))
    }

    async fn sign(&self, job: &Stored<Job>, id: &OrderId, ticket: Option<Ticket>) -> Result<Next, Stop> {
        // Looking at CAA took its time: what counts is how things stand now (RFC 8555 section 7.5.2).
        let view = self.order_view(id).await?;
        let account = self.account(&view.order.account).await?;
        let product = self.entitlement(&view).await?;
        let Phase::Issuing { csr: der, .. } = &view.order.phase else {
            return Err(Error::internal("an order that is not being issued reached the signer").into());
        };
        let (order, csr) = match ticket {
            Some(ticket) => (view.order.clone(), ticket.csr),
            None => (self.renumber(&view.order).await?, ca::csr::parse(der)?),
        };
        let Phase::Issuing { serial, .. } = order.phase else {
            return Err(Error::internal("an order lost its serial").into());
        };
        self.check_subject_key(&account, &csr).await?;
        self.check_slot(&account.holder(), &order, &product).await?;
        let claim = self.claim_of(&order).await?;
        let purchase = self.check_term(&order).await?;
        let vetted = self.vetted(&order, &product).await?;
        let key_row = self.check_key_reuse(&account.holder(), &order, &csr, &product).await?;
        let now = self.now();
        let (span, earlier) = self.span(&order, &product, csr.key).await?;
        let window = validity::window(&span, order.not_before, order.not_after, now)?;
        let plan = LeafPlan {
            serial,
            issuer: product.issuer.clone(),
            names: order.identifiers.clone(),
            subject: vetted.as_ref().map(|(_, found)| found.subject(applications::is_extended(&product))),
            common_name: product.common_name.then(|| common_name(&order)).flatten(),
            spki: csr.spki,
            key: csr.key,
            not_before: window.not_before,
            not_after: window.not_after,
        };
        let prepared = self.ca.prepare(&plan)?;
        let second = self.second(&order, &account.holder(), &plan, now).await?;
        let Signed { der, issuer } = self.signed(prepared).await?;
        let certificate = Certificate {
            serial,
            issuer,
            account: order.account.clone(),
            order: order.id.clone(),
            product: order.product.clone(),
            identifiers: plan.names,
            key: csr.key,
            spki_sha256: csr.spki_sha256,
            not_before: window.not_before,
            not_after: window.not_after,
            paid_until: window.paid_until,
            der,
            issued: now,
            standing: CertificateStanding::Good,
        };
        let fulfilled = (*order).clone().fulfil(serial)?;
        let organisation = vetted.as_ref().map(|(application, _)| &**application);
        let signature = self.signature(&order, &certificate, &account, &view.authzs, organisation, &product);
        let act =
            Act::CertificateIssued { serial, order: order.id.clone(), signature: Some(Box::new(signature.clone())) };
        let batch = Batch::of(act, now)
            .replace(&order, &fulfilled)
            .insert(&certificate)
            .index(&Index::CertificateOfKey(&certificate.spki_sha256, &serial), &serial.to_string())
            .without::<BlockedKey>(certificate.spki_sha256)
            .absent(&Index::AccountBySpki(&certificate.spki_sha256))
            .check(&account)
            .remove(job);
        let batch = view.authzs.iter().fold(batch, |batch, authz| batch.check(authz));
        // What it reissues is not revoked meanwhile: then the slot of both would be free already (QUOTA-05, QUOTA-14).
        let batch = earlier.iter().fold(batch, |batch, earlier| batch.check(earlier));
        // Nor is it reissued twice, or the slot of one of the two would be lost with the original.
        let batch = claim.iter().fold(batch, |batch, claim| claim.guard(batch));
        // Of two orders that must not share a key and are signed at once, the second is overtaken here and judged again.
        let (key, target) = (Index::CertifiedKey(&certificate.spki_sha256), serial.to_string());
        let batch = match product.unique_keys {
            true => batch.point(&key, key_row.as_ref(), &target),
            false => batch.index(&key, &target),
        };
        let batch = purchase.iter().fold(batch, |batch, purchase| batch.check(purchase));
        let batch = match &vetted {
            // REVIEW-09: what was obtained with these data.
            Some((application, organisation)) => batch
                .check(application)
                .check(organisation)
                .index(&Index::ObtainedWith(&organisation.id, product.class.id()), application.id.as_str()),
            None => batch,
        };
        let batch = match second {
            Some(second) => self.pair(batch, second, (&certificate, signature), now)?,
            None => batch,
        };
        let batch = self.settle_purchase(&account.holder(), &fulfilled, &certificate, batch).await?;
        let batch = telling::tell_issued(batch, &account, &certificate);
        let batch = self.enter_into_portfolio(&account.holder(), &certificate, batch).await?;
        self.records.commit(batch).await?;
        let (product, issuer) = (certificate.product, certificate.issuer);
        metrics::counter!(telemetry::CERTIFICATES_ISSUED, "product" => product, "issuer" => issuer).increment(1);
        Ok(Next::Done)
    }

    /// How long the certificate of an order may be valid with a key of that kind, and the one that it follows.
    async fn span(
        &self,
        order: &Order,
        product: &Product,
        key: SubjectKey,
    ) -> Result<(validity::Span, Option<Stored<Certificate>>)> {
        let earlier = match order.purpose {
            Purpose::New => None,
            Purpose::Renewal { of } | Purpose::Reissue { of } => {
                let found = self.records.find::<Certificate>(&of).await?;
                Some(found.ok_or_else(|| Error::internal(format!("certificate {of} is gone")))?)
            }
        };
        // QUOTA-05: with its revocation a free certificate gave its slot back, which a reissue would use once more.
        if let (Purpose::Reissue { of }, Some(original)) = (order.purpose, &earlier)
            && matches!(product.sale, Sale::Free)
            && original.is_revoked()
        {
            return Err(Error::malformed(format!(
                "The certificate {of}, which this order reissues, was revoked; place a new order."
            )));
        }
        let issuer_end = self.ca.issuer_not_after(&product.issuer, key)?;
        let (catalog, now) = (self.catalog(), self.now());
        let span = validity::span(catalog.settings(), product, order.purpose, earlier.as_deref(), issuer_end, now);
        Ok((span, earlier))
    }

    /// Gives an order a fresh serial, because the one recorded may have been signed by a run that ended early: a serial
    /// is signed at most once.
    async fn renumber(&self, read: &Stored<Order>) -> Result<Stored<Order>, Stop> {
        let Phase::Issuing { serial: old, .. } = read.phase else {
            return Err(Error::internal("only an order that is being issued has a serial to give up").into());
        };
        let now = self.now();
        let serial = Serial::random();
        let order = (**read).clone().renumber(serial)?;
        let batch = Batch::of(Act::SerialAbandoned { order: order.id.clone(), serial: old }, now)
            .replace(read, &order)
            .insert(&SerialEntry { serial, purpose: order.id.to_string(), at: now });
        self.records.commit(batch).await?;
        Ok(self.order_view(&order.id).await?.order)
    }

    /// Puts a job off: `later` is what becomes of it.
    async fn put_off(&self, job: &Stored<Job>, order: &OrderId, later: Job) -> Result<Next> {
        let act = Act::IssuancePutOff { order: order.clone(), until: later.due };
        self.records.commit(Batch::of(act, self.now()).replace(job, &later)).await?;
        Ok(Next::At(later.due))
    }

    async fn fail_order(&self, job: &Stored<Job>, id: &OrderId, problem: Problem) -> Result<Next, Stop> {
        let view = self.order_view(id).await?;
        let now = self.now();
        let failed = (*view.order).clone().fail(problem.clone(), now);
        let batch = Batch::of(Act::OrderFailed { order: id.clone(), problem: problem.clone() }, now)
            .replace(&view.order, &failed);
        let (account, _) = self.closed(&view.order.account).await?;
        let batch = telling::tell_failed(batch.remove(job), &account, &view.order, &problem, now);
        self.records.commit(batch).await?;
        self.give_back_order(&account, &view.order, &problem);
        metrics::counter!(telemetry::ORDERS_FAILED).increment(1);
        Ok(Next::Done)
    }

    /// Up to `limit` certificates behind the one of that serial.
    pub async fn certificates(&self, after: Option<&Serial>, limit: usize) -> Result<Vec<Certificate>> {
        let after = after.map(|serial| serial.as_bytes().to_vec());
        let found = self.records.list::<Certificate>(b"", after, limit).await?;
        Ok(found.into_iter().map(Stored::into_value).collect())
    }

    /// The certificate of that serial, for the operator.
    pub async fn certificate_of(&self, serial: &Serial) -> Result<Certificate> {
        let found = self.records.find::<Certificate>(serial).await?;
        Ok(found.ok_or_else(|| Error::not_found("There is no certificate of that serial."))?.into_value())
    }

    /// A certificate for its owner, with the chain of that number (RFC 8555 section 7.4.2).
    pub async fn certificate(&self, account: &Account, serial: &Serial, chain: usize) -> Result<Download> {
        let none = || Error::not_found("This account has no such certificate.");
        let found = self.records.find::<Certificate>(serial).await?;
        let certificate = found.filter(|found| found.account == account.id).ok_or_else(none)?;
        self.refuse_while_revoking(serial).await?;
        let chains = self.ca.chains(&certificate.issuer).ok_or_else(|| {
            Error::internal(format!("the issuer \"{}\" of certificate {serial} is not configured", certificate.issuer))
        })?;
        let wanted = chains.get(chain).ok_or_else(none)?;
        let pair = self.pair_of(&certificate).await?.filter(|pair| pair.signature == *serial);
        Ok(Download {
            leaf: certificate.der.clone(),
            chain: wanted.clone(),
            chains: chains.len(),
            encryption: pair.map(|pair| pair.encryption),
        })
    }
}

fn no_longer_valid(authz: &Authorization) -> Error {
    Error::unauthorized(format!(
        "The authorization for {} is no longer valid; place a new order.",
        authz.ordered_name()
    ))
}

/// The first name that fits into a common name: 64 characters at most (RFC 5280 appendix A.1).
fn common_name(order: &Order) -> Option<Identifier> {
    order.identifiers.iter().find(|name| name.to_string().len() <= 64).cloned()
}
