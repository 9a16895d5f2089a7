//! Deploying certificates to resources of providers, and having later ones replace them there (HOST-01 to HOST-07).

use std::collections::{BTreeMap, BTreeSet};

use aws_lc_rs::digest;
use zeroize::Zeroizing;

use super::deploying::deploy_job;
use super::placing::names_digest;
use super::worker::Next;
use super::{CertificateStatus, Kept, Listed, Ra, Stop, settle};
use crate::domain::account::Holder;
use crate::domain::audit::Act;
use crate::domain::certificate::Certificate;
use crate::domain::id::random_text;
use crate::domain::job::{Job, Work};
use crate::domain::key_pair::PrivateKey;
use crate::domain::notice::{Notice, Topic};
use crate::domain::portfolio::{CertificateRef, Delivery, HostingTarget, Portfolio, Resource};
use crate::domain::{CustomerId, Error, Kind, Result, Serial, Timestamp};
use crate::policy::catalog::Product;
use crate::store::records::{Batch, Index, Rows, Stored, hosting_target_id, target};

/// How many resources a customer has at most.
const MOST: usize = 200;

/// How many hosted certificates of the same names are looked at.
const MOST_HOSTED: usize = 100;

/// A resource to deploy to.
#[derive(Debug, Clone)]
pub struct WantedResource {
    /// Which.
    pub resource: Resource,
    /// The webhook that takes certificates over; none for the one that it has.
    pub url: Option<String>,
}

/// What a deployment came to: the resource, and the secret that messages to it are signed with if it was made now.
#[derive(Debug)]
pub struct NewDeployment {
    /// The resource.
    pub target: HostingTarget,
    /// Whether it is new, and its secret is to be shown.
    pub fresh: bool,
}

/// Certificates, and the resources that no longer use them.
type Freed = BTreeMap<CertificateRef, BTreeSet<Resource>>;

impl Ra {
    /// Deploys a certificate: each resource is told of it by a job (INSTALL-08). What used the resource before is replaced.
    pub async fn deploy_certificate(
        self: &std::sync::Arc<Self>,
        id: &CertificateRef,
        wanted: &[WantedResource],
    ) -> Result<Vec<NewDeployment>> {
        if wanted.is_empty() || wanted.len() > 50 {
            return Err(Error::malformed("Name 1 to 50 resources to deploy to."));
        }
        let (made, jobs) = settle(|| async {
            let listed = self.listed(id).await?;
            let customer = self.check_deployable(&listed).await?;
            let now = self.now();
            let (mut held, mut named) = (listed.portfolio.clone(), BTreeSet::new());
            let told = wanted.iter().map(|wanted| wanted.resource.to_string()).collect();
            let mut batch = Batch::of(Act::CertificateDeployed { certificate: id.to_string(), resources: told }, now);
            let (mut made, mut jobs, mut freed) = (Vec::new(), Vec::new(), Freed::new());
            for wanted in wanted {
                if !named.insert(&wanted.resource) {
                    return Err(Error::malformed(format!("The {} is named twice.", wanted.resource)).into());
                }
                held.deployed.insert(wanted.resource.clone());
                let (next, deployment, before) = self.retarget(batch, &customer, wanted, id, now).await?;
                if let Some(before) = before.filter(|before| before != id) {
                    freed.entry(before).or_default().insert(wanted.resource.clone());
                }
                let job = deploy_job(&customer, &wanted.resource, now);
                batch = next.insert(&job);
                made.push(deployment);
                jobs.push(job);
            }
            let fresh = made.iter().filter(|one: &&NewDeployment| one.fresh).count();
            let batch = self.make_room(batch, &customer, fresh, &named).await?;
            let batch = self.let_go(batch, freed).await?;
            let batch = self.write_portfolio(batch, &listed, &held).await?;
            self.records.commit(batch).await?;
            Ok((made, jobs))
        })
        .await?;
        jobs.into_iter().for_each(|job| self.start(job));
        Ok(made)
    }

    /// Has a batch forget resources that use no certificate any more, as far as new ones need their place.
    async fn make_room(
        &self,
        batch: Batch,
        customer: &CustomerId,
        fresh: usize,
        named: &BTreeSet<&Resource>,
    ) -> Result<Batch, Stop> {
        if fresh == 0 {
            return Ok(batch);
        }
        let known = self.records.list::<HostingTarget>(format!("{customer}/").as_bytes(), None, MOST).await?;
        let over = (known.len() + fresh).saturating_sub(MOST);
        let idle = |one: &&Stored<HostingTarget>| one.certificate.is_none() && !named.contains(&one.resource);
        let idle: Vec<_> = known.iter().filter(idle).take(over).collect();
        match idle.len() < over {
            true => Err(Error::malformed(format!(
                "A customer deploys to {MOST} resources at most; unbind certificates from those that you no longer use."
            ))
            .into()),
            false => Ok(idle.into_iter().fold(batch, Batch::remove)),
        }
    }

    /// Whose certificate it is, if it may be deployed (HOST-07, KEY-06, CSR-11, REVOKE-01).
    pub(super) async fn check_deployable(&self, listed: &Listed) -> Result<CustomerId> {
        self.usable(listed).await?;
        if listed.status == CertificateStatus::Expired {
            return Err(Error::new(Kind::Conflict, "The certificate has expired; deploy its successor."));
        }
        let customer = listed.customer.clone().ok_or_else(|| {
            Error::new(
                Kind::UserActionRequired,
                "Only certificates of a customer are deployed: bind the account to one.",
            )
        })?;
        if let Kept::Issued(certificate) = &listed.certificate {
            let key = self.key_of(&customer, &certificate.spki_sha256).await?;
            let key = key.map_or(PrivateKey::Elsewhere, |key| key.private);
            if let Some(obstacle) = key.obstacle() {
                return Err(Error::new(Kind::UserActionRequired, obstacle));
            }
        }
        Ok(customer)
    }

    /// Has a batch point a resource to a certificate; gives the one that it used before too.
    async fn retarget(
        &self,
        batch: Batch,
        customer: &CustomerId,
        wanted: &WantedResource,
        id: &CertificateRef,
        now: Timestamp,
    ) -> Result<(Batch, NewDeployment, Option<CertificateRef>), Stop> {
        let found = self.records.find::<HostingTarget>(hosting_target_id(customer, &wanted.resource)).await?;
        if let Some(url) = &wanted.url {
            crate::post::check_url(url, self.post.settings()).map_err(Error::malformed)?;
        }
        let delivery = Delivery::Pending { since: now };
        let Some(read) = found else {
            let url = wanted.url.clone().ok_or_else(|| {
                Error::malformed(format!(
                    "The resource {} is new here: give the \"url\" of its webhook.",
                    wanted.resource
                ))
            })?;
            let target = HostingTarget {
                customer: customer.clone(),
                resource: wanted.resource.clone(),
                url,
                secret: Zeroizing::new(random_text::<32>()),
                certificate: Some(id.clone()),
                delivery,
            };
            return Ok((batch.insert(&target), NewDeployment { target, fresh: true }, None));
        };
        let target = HostingTarget {
            url: wanted.url.clone().unwrap_or_else(|| read.url.clone()),
            certificate: Some(id.clone()),
            delivery,
            ..(*read).clone()
        };
        Ok((batch.replace(&read, &target), NewDeployment { target, fresh: false }, read.certificate.clone()))
    }

    /// Has a batch note that resources no longer use the certificates that they used.
    async fn let_go(&self, mut batch: Batch, freed: Freed) -> Result<Batch, Stop> {
        for (id, resources) in freed {
            let Some(listed) = there(self.listed(&id).await)? else { continue };
            let mut held = listed.portfolio.clone();
            held.deployed.retain(|resource| !resources.contains(resource));
            held.hosted.retain(|resource| !resources.contains(resource));
            batch = self.write_portfolio(self.settle_hosting(batch, &listed, &held)?, &listed, &held).await?;
        }
        Ok(batch)
    }

    /// Unbinds a certificate from a resource, or from all: it may then be revoked or deleted (REVOKE-09, DELETE-05).
    pub async fn unbind(&self, id: &CertificateRef, resource: Option<&Resource>) -> Result<Listed> {
        settle(|| async {
            let listed = self.listed(id).await?;
            let mut held = listed.portfolio.clone();
            let gone: BTreeSet<Resource> =
                held.deployed.iter().filter(|used| resource.is_none_or(|one| one == *used)).cloned().collect();
            if gone.is_empty() {
                return Err(Error::not_found("No such resource uses this certificate.").into());
            }
            let now = self.now();
            let told = gone.iter().map(ToString::to_string).collect();
            let mut batch = Batch::of(Act::CertificateUnbound { certificate: id.to_string(), resources: told }, now);
            for resource in &gone {
                held.deployed.remove(resource);
                held.hosted.remove(resource);
                batch = self.forget_target(batch, &listed, resource).await?;
            }
            let batch = self.settle_hosting(batch, &listed, &held)?;
            let batch = self.write_portfolio(batch, &listed, &held).await?;
            self.records.commit(batch).await?;
            Ok(())
        })
        .await?;
        self.listed(id).await
    }

    async fn forget_target(&self, batch: Batch, listed: &Listed, resource: &Resource) -> Result<Batch> {
        let Some(customer) = &listed.customer else { return Ok(batch) };
        let found = self.records.find::<HostingTarget>(hosting_target_id(customer, resource)).await?;
        Ok(match found {
            Some(read) => batch.replace(&read, &HostingTarget { certificate: None, ..(*read).clone() }),
            None => batch,
        })
    }

    /// Has later certificates replace this one on these resources, to each of which it was deployed before (HOST-05).
    pub async fn host(&self, id: &CertificateRef, resources: &BTreeSet<Resource>) -> Result<Listed> {
        settle(|| async {
            let listed = self.listed(id).await?;
            if !resources.is_empty() {
                self.check_deployable(&listed).await?;
            }
            if let Some(new) = resources.iter().find(|resource| !listed.portfolio.deployed.contains(resource)) {
                return Err(Error::new(
                    Kind::Conflict,
                    format!("Deploy once first: this certificate was not deployed to the {new} yet (HOST-05)."),
                )
                .into());
            }
            let held = Portfolio { hosted: resources.clone(), ..listed.portfolio.clone() };
            let told = resources.iter().map(ToString::to_string).collect();
            let act = Act::HostingChanged { certificate: id.to_string(), resources: told };
            let batch = self.settle_hosting(Batch::of(act, self.now()), &listed, &held)?;
            let batch = self.write_portfolio(batch, &listed, &held).await?;
            self.records.commit(batch).await?;
            Ok(())
        })
        .await?;
        self.listed(id).await
    }

    /// Has a batch keep the row that a later certificate of the same names finds this one by; there may be several.
    fn settle_hosting(&self, batch: Batch, listed: &Listed, held: &Portfolio) -> Result<Batch> {
        let Some(customer) = &listed.customer else { return Ok(batch) };
        let digest = digest_of(&listed.certificate);
        let row = Index::Hosted(customer, &digest, &held.certificate);
        Ok(match (held.hosted.is_empty(), listed.portfolio.hosted.is_empty()) {
            (false, _) => batch.index(&row, &held.certificate.to_string()),
            (true, false) => batch.unindex(&row),
            (true, true) => batch,
        })
    }

    /// The resources that use a certificate, with what became of the last message to each.
    pub async fn targets_of(&self, listed: &Listed) -> Result<Vec<HostingTarget>> {
        let Some(customer) = &listed.customer else { return Ok(Vec::new()) };
        let ids = listed.portfolio.deployed.iter().map(|resource| hosting_target_id(customer, resource));
        let found = self.records.find_all::<HostingTarget>(ids).await?;
        Ok(found.into_iter().flatten().map(Stored::into_value).collect())
    }

    /// Puts a new certificate into its customer's list, and has it replace a hosted one of the same names.
    pub(super) async fn enter_into_portfolio(
        &self,
        holder: &Holder,
        certificate: &Certificate,
        batch: Batch,
    ) -> Result<Batch> {
        let Holder::Customer(customer) = holder else { return Ok(batch) };
        let reference = CertificateRef::Issued(certificate.serial);
        let row = Index::CertificateOfCustomer(customer, certificate.issued, &reference);
        let batch = batch.index(&row, &reference.to_string());
        let names = names_digest(&certificate.identifiers);
        Ok(match self.records.rows(&Rows::HostedFor(customer, &names), None, 1).await?.is_empty() {
            false => {
                let work = Work::Rehost { certificate: certificate.serial };
                batch.insert(&Job::new(work, certificate.issued))
            }
            true => batch,
        })
    }

    /// The job that has a new certificate replace the hosted one of its names (HOST-01).
    pub(super) async fn rehost(self: &std::sync::Arc<Self>, job: &Stored<Job>, serial: &Serial) -> Result<Next> {
        let jobs = settle(|| async {
            let new = CertificateRef::Issued(*serial);
            let done = Batch::of(Act::JobDropped { job: job.id.clone() }, self.now()).remove(job);
            let Some((batch, jobs)) = self.replacement(done, &new).await? else {
                let dropped = Batch::of(Act::JobDropped { job: job.id.clone() }, self.now()).remove(job);
                self.records.commit(dropped).await?;
                return Ok(Vec::new());
            };
            self.records.commit(batch).await?;
            Ok(jobs)
        })
        .await?;
        jobs.into_iter().for_each(|job| self.start(job));
        Ok(Next::Done)
    }

    /// The batch that moves the resources of each hosted certificate to its successor, or says why not; none if there is
    /// nothing to move.
    async fn replacement(&self, batch: Batch, id: &CertificateRef) -> Result<Option<(Batch, Vec<Job>)>, Stop> {
        let new = self.listed(id).await?;
        let Some(customer) = &new.customer else { return Ok(None) };
        let (now, olds) = (self.now(), self.hosted_besides(customer, &new).await?);
        if olds.is_empty() {
            return Ok(None);
        }
        let (mut batch, mut held, mut jobs) = (batch, new.portfolio.clone(), Vec::new());
        for old in olds {
            if let Some(why) = self.unlike(&old, &new).await? {
                batch = batch.notice(&by_hand(customer, &old, &new, &why, now));
                continue;
            }
            let mut left = old.portfolio.clone();
            for resource in std::mem::take(&mut left.hosted) {
                let job = deploy_job(customer, &resource, now);
                batch = self.point_target(batch, customer, &resource, id, now).await?.insert(&job);
                jobs.push(job);
                left.deployed.remove(&resource);
                held.deployed.insert(resource.clone());
                held.hosted.insert(resource);
            }
            batch = self.write_portfolio(self.settle_hosting(batch, &old, &left)?, &old, &left).await?;
        }
        if jobs.is_empty() {
            return Ok(Some((batch, jobs)));
        }
        let told = held.hosted.iter().map(ToString::to_string).collect();
        let batch = batch.and(Act::CertificateDeployed { certificate: id.to_string(), resources: told }, now);
        let batch = self.write_portfolio(self.settle_hosting(batch, &new, &held)?, &new, &held).await?;
        Ok(Some((batch, jobs)))
    }

    /// The other certificates of the same names that are hosted.
    async fn hosted_besides(&self, customer: &CustomerId, new: &Listed) -> Result<Vec<Listed>> {
        let names = digest_of(&new.certificate);
        let (mut found, own) = (Vec::new(), new.certificate.reference());
        for (_, row) in self.records.rows(&Rows::HostedFor(customer, &names), None, MOST_HOSTED).await? {
            let id = target::<CertificateRef>(&row)?;
            if id != own {
                found.extend(there(self.listed(&id).await)?.filter(|old| !old.portfolio.hosted.is_empty()));
            }
        }
        Ok(found)
    }

    async fn point_target(
        &self,
        batch: Batch,
        customer: &CustomerId,
        resource: &Resource,
        id: &CertificateRef,
        now: Timestamp,
    ) -> Result<Batch> {
        let found = self.records.find::<HostingTarget>(hosting_target_id(customer, resource)).await?;
        let read = found.ok_or_else(|| Error::internal(format!("the resource {resource} is gone")))?;
        let target = HostingTarget {
            certificate: Some(id.clone()),
            delivery: Delivery::Pending { since: now },
            ..(*read).clone()
        };
        Ok(batch.replace(&read, &target))
    }

    /// Why a certificate can't replace another one by itself (HOST-02, HOST-07); none: it can.
    async fn unlike(&self, old: &Listed, new: &Listed) -> Result<Option<String>> {
        let catalog = self.catalog();
        let product = |listed: &Listed| match &listed.certificate {
            Kept::Issued(certificate) => catalog.shared_product(&certificate.product),
            Kept::Uploaded(_) => None,
        };
        let alike = |a: &Product, b: &Product| (a.shape, a.class, &a.brand) == (b.shape, b.class, &b.brand);
        if !matches!((product(old), product(new)), (Some(a), Some(b)) if alike(&a, &b)) {
            return Ok(Some(
                "Specifications differ; deploy by hand: domain type, certificate type and brand must be those of the \
                 original (HOST-02)."
                    .to_owned(),
            ));
        }
        Ok(self.check_deployable(new).await.err().map(|error| error.into_problem().detail))
    }
}

/// What was found, if it is there.
fn there(found: Result<Listed>) -> Result<Option<Listed>> {
    match found {
        Err(error) if error.kind() == Kind::NotFound => Ok(None),
        found => found.map(Some),
    }
}

/// The set of names of a certificate, as one value.
fn digest_of(certificate: &Kept) -> [u8; 32] {
    match certificate {
        Kept::Issued(certificate) => names_digest(&certificate.identifiers),
        Kept::Uploaded(upload) => {
            let names: BTreeSet<String> = upload.names.iter().map(|name| name.to_ascii_lowercase()).collect();
            let text = names.into_iter().collect::<Vec<_>>().join("\n");
            let hash = digest::digest(&digest::SHA256, text.as_bytes());
            hash.as_ref().try_into().expect("SHA-256 has 32 octets")
        }
    }
}

fn by_hand(customer: &CustomerId, old: &Listed, new: &Listed, why: &str, now: Timestamp) -> Notice {
    let resources: Vec<String> = old.portfolio.hosted.iter().map(ToString::to_string).collect();
    let id = new.certificate.reference();
    let text = format!(
        "The new certificate {id} does not replace {} on {}. {why}",
        old.certificate.reference(),
        resources.join(", ")
    );
    let notice =
        Notice::new(customer, (Topic::Issue, "hosting-by-hand"), "Deploy your new certificate by hand", text, now);
    of_certificate(notice, &id)
}

pub(super) fn of_certificate(notice: Notice, id: &CertificateRef) -> Notice {
    match id {
        CertificateRef::Issued(serial) => notice.of_certificate(*serial),
        CertificateRef::Uploaded(_) => notice,
    }
}
