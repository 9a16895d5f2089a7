//! Requests for revocation by the rules of the product: begun, looked at, decided (REVOKE; section 21.1, "After issue").

use std::sync::Arc;
use std::time::Duration;

use super::revocation::{Standing, block, revoked};
use super::{Ra, Stop, settle};
use crate::domain::account::Account;
use crate::domain::audit::Act;
use crate::domain::certificate::{Certificate, RevocationReason};
use crate::domain::id::random_token;
use crate::domain::job::Work;
use crate::domain::notice::{Notice, Topic};
use crate::domain::plan::Method;
use crate::domain::revocation::{LETTER_LASTS, NameProof, RevocationRequest, Stage};
use crate::domain::{CustomerId, Error, Identifier, Kind, Result, RevocationId, Serial, Timestamp};
use crate::policy::applications;
use crate::policy::catalog::{Catalog, days};
use crate::policy::revocation::{GONE, Route, letter};
use crate::store::records::{Batch, Index, Stored, target};

/// How often somebody looks for a proof while it is awaited.
pub(super) const LOOK_EVERY: Duration = Duration::from_secs(3600);

/// Most characters of a reason in words.
const LONGEST_GROUNDS: usize = 1000;

/// A wish to have a certificate revoked by the rules of its product.
#[derive(Debug, Clone)]
pub struct NewRevocation {
    /// The certificate.
    pub serial: Serial,
    /// The reason that will stand in the list.
    pub reason: RevocationReason,
    /// Why, in words; some products ask for it (REVOKE-10).
    pub grounds: String,
}

/// A request for revocation with its certificate.
#[derive(Debug)]
pub struct RevocationView {
    /// The request.
    pub request: RevocationRequest,
    /// The certificate.
    pub certificate: Certificate,
    /// What to do next, for people.
    pub next: String,
}

impl Ra {
    /// Begins a revocation as its product's rules want it; what they ask nothing for is revoked at once.
    pub async fn request_revocation(self: &Arc<Self>, asked: &NewRevocation) -> Result<RevocationView> {
        let id = settle(|| self.begin_revocation(asked)).await?;
        self.revocation(&id).await
    }

    async fn begin_revocation(&self, asked: &NewRevocation) -> Result<RevocationId, Stop> {
        let named = self.records.find::<Certificate>(&asked.serial).await?;
        // REVOKE-04
        let unknown = "There is no certificate of that serial. What another CA issued is revoked there: ask the CA that \
                       issued it (REVOKE-04).";
        let named = named.ok_or_else(|| Error::not_found(unknown))?;
        if let Err(over) = self.in_force(&named) {
            self.heed(&named, asked.reason, Standing::Owner, &format!("account {}", named.account)).await?;
            return Err(over.into());
        }
        // Of a pair both are revoked by the one request, which is about the first.
        let key = named.spki_sha256;
        let face = self.face_of(&asked.serial).await?;
        let read = match face == asked.serial {
            true => named,
            false => self.records.find::<Certificate>(&face).await?.ok_or_else(|| Error::not_found(unknown))?,
        };
        let row = self.records.follow(&Index::RevocationOf(&read.serial)).await?;
        let earlier = match &row {
            Some(row) => self.records.find::<RevocationRequest>(&target::<RevocationId>(row)?).await?,
            None => None,
        };
        // Baseline Requirements 4.9.1.1: a compromised key waits for nobody, and ends what is under way.
        let waits = asked.reason != RevocationReason::KeyCompromise;
        if let Some(open) = earlier.as_ref().filter(|earlier| waits && earlier.is_open()) {
            return Err(Error::new(
                Kind::Conflict,
                format!("Revocation {} is under way, and can't be taken back (REVOKE-02).", open.id),
            )
            .into());
        }
        let (now, catalog) = (self.now(), self.catalog());
        let route = self.route_of(&catalog, &read, asked.reason, &read.account).await?;
        let grounds = grounds(&asked.grounds, &route)?;
        let account = self.closed(&read.account).await?.0;
        let request = RevocationRequest {
            id: RevocationId::random(),
            serial: read.serial,
            account: read.account.clone(),
            customer: account.holder().customer().cloned(),
            reason: asked.reason,
            grounds,
            created: now,
            earlier: earlier.map(|earlier| earlier.id.clone()),
            stage: self.first_stage(&route, &read, &account).await?,
        };
        let id = request.id.clone();
        let act = Act::RevocationRequested {
            revocation: id.clone(),
            serial: request.serial,
            reason: request.reason,
            stage: request.stage.as_str().to_owned(),
        };
        let batch = Batch::of(act, now).point(&Index::RevocationOf(&request.serial), row.as_ref(), id.as_str());
        let batch = match key == read.spki_sha256 {
            true => batch,
            false => block(batch, key, asked.reason, Standing::Owner, now),
        };
        if let Route::AtOnce = route {
            self.revoke_as_asked(batch.check(&read), request, None).await?;
            return Ok(id);
        }
        let begun = begun(&request, &catalog, &read);
        let batch = match &request.stage {
            Stage::AwaitingProof { .. } => {
                batch.later(now + LOOK_EVERY, Work::ProveRevocation { revocation: id.clone(), hourly: true })
            }
            stage => match stage.deadline() {
                Some(deadline) => batch.later(deadline, Work::LapseRevocation { revocation: id.clone() }),
                None => self.on_the_desk(batch, &request),
            },
        };
        let batch = tell(batch.check(&read).insert(&request), &request, "revocation-begun", &begun, now);
        self.records.commit(batch).await?;
        Ok(id)
    }

    async fn first_stage(&self, route: &Route<'_>, certificate: &Certificate, account: &Account) -> Result<Stage> {
        let now = self.now();
        Ok(match route {
            Route::AtOnce | Route::Review => Stage::AwaitingReview { since: now, letter: None },
            Route::Papers(_) => Stage::AwaitingLetter { since: now },
            Route::Proof { days: count } => {
                let methods = self.methods_of(certificate).await?;
                let proof = |name: &Identifier| {
                    let token = random_token();
                    NameProof {
                        identifier: name.clone(),
                        method: method_for(name, methods.get(&name.to_string()).copied()),
                        key_authorization: format!("{token}.{}", account.key.thumbprint()),
                        token,
                        proven: None,
                        problem: None,
                    }
                };
                let names = certificate.identifiers.iter().map(proof).collect();
                Stage::AwaitingProof { deadline: now + days(*count), names }
            }
        })
    }

    /// Revokes what a request is about, with what goes along (REVOKE-06), and ends it. `read` is the request as it is stored.
    pub(super) async fn revoke_as_asked(
        &self,
        mut batch: Batch,
        request: RevocationRequest,
        read: Option<&Stored<RevocationRequest>>,
    ) -> Result<(), Stop> {
        let (now, reason, id) = (self.now(), request.reason, request.id.clone());
        let certificate = self.records.find::<Certificate>(&request.serial).await?;
        let certificate = certificate.ok_or_else(|| Error::internal("a certificate that is being revoked is gone"))?;
        let along = self.going_along(&certificate, reason, Standing::Owner).await?;
        let (key, told, count) = (certificate.spki_sha256, format!("revocation {id}"), along.len());
        // What somebody else revoked meanwhile is what was asked for.
        let first = Some(certificate).filter(|certificate| !certificate.is_revoked());
        let all: Vec<Stored<Certificate>> = first.into_iter().chain(along).collect();
        for other in &all {
            batch = batch.and(revoked(other, reason, &told), now);
        }
        let batch = block(batch, key, reason, Standing::Owner, now);
        let batch = self.withdraw(batch, &all, reason, Some(&id), now).await?;
        let done = request.carried_out(now)?;
        let others = match count {
            0 => String::new(),
            count if reason == RevocationReason::KeyCompromise => {
                format!(" Others with the same key went with it: {count}.")
            }
            count => format!(" {count} of its reissues went with it (REVOKE-06)."),
        };
        let text = format!(
            "Certificate {} is revoked; browsers stop trusting it (REVOKE-03).{others} Take it off your servers.",
            done.serial
        );
        let batch = tell(batch.set(read, &done), &done, "revocation-done", &text, now);
        self.records.commit(batch).await?;
        self.withdrawn(&all).await;
        Ok(self.sweep(&key, reason, Standing::Owner, &told).await?)
    }

    pub(super) async fn give_up(&self, batch: Batch, read: &Stored<RevocationRequest>, why: &str) -> Result<(), Stop> {
        let now = self.now();
        let failed = (**read).clone().failed(why, now)?;
        let batch = batch.and(Act::RevocationFailed { revocation: read.id.clone(), why: why.to_owned() }, now);
        let text = format!(
            "{why} Certificate {} is issued, as before. Begin the revocation anew when you can do what it asks for.",
            read.serial
        );
        self.records.commit(tell(batch.replace(read, &failed), &failed, "revocation-failed", &text, now)).await?;
        Ok(())
    }

    /// The customer that stands behind a certificate, if one does; none if there is no such certificate.
    pub async fn customer_behind(&self, serial: &Serial) -> Result<Option<Option<CustomerId>>> {
        let Some(certificate) = self.records.find::<Certificate>(serial).await? else { return Ok(None) };
        Ok(Some(self.closed(&certificate.account).await?.0.holder().customer().cloned()))
    }

    /// A request for revocation.
    pub async fn revocation(&self, id: &RevocationId) -> Result<RevocationView> {
        let request = self.revocation_request(id).await?.into_value();
        let certificate = self.certificate_of(&request.serial).await?;
        let next = next_step(&request, &self.catalog(), &certificate);
        Ok(RevocationView { request, certificate, next })
    }

    /// All requests for the revocation of a certificate, the newest first.
    pub async fn revocations_of(&self, serial: &Serial) -> Result<Vec<RevocationView>> {
        let mut found = Vec::new();
        let face = self.face_of(serial).await?;
        let mut next = self.records.follow(&Index::RevocationOf(&face)).await?;
        let mut id = next.take().map(|row| target::<RevocationId>(&row)).transpose()?;
        while let Some(this) = id {
            let view = self.revocation(&this).await?;
            id = view.request.earlier.clone();
            found.push(view);
        }
        Ok(found)
    }

    pub(super) async fn revocation_request(&self, id: &RevocationId) -> Result<Stored<RevocationRequest>> {
        let found = self.records.find::<RevocationRequest>(id).await?;
        found.ok_or_else(|| Error::not_found(format!("There is no revocation {id}.")))
    }

    /// The request by which a certificate is being revoked; none if it is not.
    pub(super) async fn open_revocation(&self, serial: &Serial) -> Result<Option<Stored<RevocationRequest>>> {
        let face = self.face_of(serial).await?;
        self.open_at(self.records.follow(&Index::RevocationOf(&face)).await?.as_ref()).await
    }

    /// The request that a row leads to, if it goes on.
    pub(super) async fn open_at(&self, row: Option<&Stored<String>>) -> Result<Option<Stored<RevocationRequest>>> {
        let Some(row) = row else { return Ok(None) };
        let found = self.records.find::<RevocationRequest>(&target::<RevocationId>(row)?).await?;
        Ok(found.filter(|found| found.is_open()))
    }

    /// Whether a certificate is being revoked.
    pub async fn is_revoking(&self, serial: &Serial) -> Result<bool> {
        Ok(self.open_revocation(serial).await?.is_some())
    }

    /// The request by which a certificate is being revoked, or an original whose reissues go with it (REVOKE-06).
    pub(super) async fn revocation_over(&self, serial: &Serial) -> Result<Option<Stored<RevocationRequest>>> {
        let mut of = *serial;
        loop {
            let takes = |open: &Stored<RevocationRequest>| of == *serial || open.reason != RevocationReason::Superseded;
            if let Some(open) = self.open_revocation(&of).await?.filter(takes) {
                return Ok(Some(open));
            }
            let Some(before) = self.reissued_from(&of).await? else { return Ok(None) };
            of = before;
        }
    }

    /// REVOKE-01: what is being revoked is neither downloaded nor deployed.
    pub(super) async fn refuse_while_revoking(&self, serial: &Serial) -> Result<()> {
        match self.revocation_over(serial).await? {
            None => Ok(()),
            Some(open) => Err(Error::unauthorized(format!(
                "Revocation is under way ({}): certificate {serial} can be neither downloaded nor deployed (REVOKE-01).",
                open.id
            ))),
        }
    }
}

/// Some products want to know why (REVOKE-10, REVOKE-11, REVOKE-17).
fn grounds(given: &str, route: &Route<'_>) -> Result<String> {
    let given = given.trim();
    let needed = matches!(route, Route::Papers(_) | Route::Review);
    if needed && given.is_empty() {
        return Err(Error::malformed(
            "Enter a reason: say in \"grounds\" why the certificate is to be revoked, e.g. that it is no longer needed, or \
             no longer safe to use (REVOKE-10, REVOKE-18).",
        ));
    }
    if given.chars().count() > LONGEST_GROUNDS {
        return Err(Error::malformed(format!("\"grounds\" has more than {LONGEST_GROUNDS} characters.")));
    }
    Ok(given.to_owned())
}

/// REVOKE-12, REVOKE-16: the method of the order; where that can't be shown by hand, a DNS record.
fn method_for(name: &Identifier, of_order: Option<Method>) -> Method {
    match (name, of_order) {
        (Identifier::Ip(_), _) => Method::Http01,
        (name, Some(Method::Http01)) if !name.is_wildcard() => Method::Http01,
        _ => Method::Dns01,
    }
}

/// What the customer reads when a revocation has begun.
fn begun(request: &RevocationRequest, catalog: &Catalog, certificate: &Certificate) -> String {
    format!(
        "The revocation of certificate {} has begun. From now on it can be neither downloaded nor deployed (REVOKE-01), and \
         this can't be taken back (REVOKE-02). {}",
        request.serial,
        next_step(request, catalog, certificate)
    )
}

/// What to do next.
fn next_step(request: &RevocationRequest, catalog: &Catalog, certificate: &Certificate) -> String {
    let letter = catalog.product(&certificate.product).and_then(|product| letter(catalog, product));
    match (&request.stage, letter) {
        (Stage::AwaitingProof { deadline, .. }, _) => format!(
            "Show control of every name by {deadline}: add the records that the revocation names (REVOKE-12). Otherwise it \
             fails. {GONE}"
        ),
        (Stage::AwaitingLetter { since }, letter) => {
            let deadline = *since + LETTER_LASTS;
            let files = letter.map(|letter| applications::letter_files(catalog, letter)).unwrap_or_default();
            let photo = match letter.filter(|letter| letter.photo) {
                Some(_) => " A clear photo is as good as a scan (DOC-12).",
                None => "",
            };
            format!(
                "Print the letter, stamp it and upload it by {deadline}, or the revocation fails; a person decides after \
                 that (REVOKE-11, REVOKE-17). {files}.{photo}"
            )
        }
        (Stage::AwaitingReview { .. }, _) => "A person decides (REVOKE-10).".to_owned(),
        (Stage::Done { .. }, _) => "Take the certificate off your servers (REVOKE-03).".to_owned(),
        (Stage::Failed { .. }, _) => {
            "The certificate is issued, as before; the revocation may be begun anew.".to_owned()
        }
    }
}

/// Adds a message to the customer, if there is one.
fn tell(batch: Batch, request: &RevocationRequest, event: &str, text: &str, now: Timestamp) -> Batch {
    let Some(customer) = &request.customer else { return batch };
    let subject = match event {
        "revocation-begun" => format!("Revocation of certificate {} has begun", request.serial),
        "revocation-done" => format!("Certificate {} is revoked", request.serial),
        _ => format!("Revocation of certificate {} failed", request.serial),
    };
    let notice = Notice::new(customer, (Topic::Revocation, event), subject, text, now).of_certificate(request.serial);
    batch.notice(&notice)
}
