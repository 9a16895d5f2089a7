//! Incidents: certificates that have to be renewed before their time, told to ACME clients by renewal information (RFC 9773)
//! and to customers by messages.
//!
//! The incidents that are open are in memory, so that an answer costs no look at the store; another node's show after a
//! minute at the latest.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::portfolio::customer_behind;
use super::worker::Next;
use super::{Ra, Stop, settle};
use crate::domain::audit::Act;
use crate::domain::certificate::{Certificate, hex32};
use crate::domain::incident::{Incident, MAX_OPEN, Selection, SerialsPart};
use crate::domain::job::{Job, Work};
use crate::domain::notice::{Notice, Topic};
use crate::domain::{CustomerId, Error, IncidentId, Result, Serial, Timestamp};
use crate::store::StoreError;
use crate::store::records::{Batch, Index, Rows, Stored, serials_part_id, target};

/// Certificates that are read at a time.
const PAGE: usize = 500;

/// What an operator says of an incident.
#[derive(Debug, Clone)]
pub struct NewIncident {
    /// Which certificates.
    pub selection: Selection,
    /// What happened.
    pub reason: String,
    /// A page about it.
    pub explanation_url: Option<String>,
    /// By when the certificates should be renewed.
    pub renew_by: Timestamp,
}

impl Ra {
    /// How many certificates in force an incident would be about, if it were opened now. Changes nothing.
    pub async fn try_incident(&self, asked: NewIncident) -> Result<Incident> {
        let mut incident = self.incident_of(asked)?;
        incident.matched = self.marked_by(&incident).await?.values().map(|found| found.1).sum();
        Ok(incident)
    }

    /// Opens an incident: from now on clients that ask are told to renew, and a job tells the customers.
    pub async fn open_incident(self: &Arc<Self>, asked: NewIncident) -> Result<Incident> {
        let incident = self.try_incident(asked).await?;
        let job = Job::new(Work::TellIncident { incident: incident.id.clone() }, incident.opened);
        settle(|| async {
            if self.open_incidents().await?.len() >= MAX_OPEN {
                return Err(Stop::Refused(Error::malformed(format!(
                    "{MAX_OPEN} incidents are open; close those that are over."
                ))));
            }
            let act = Act::IncidentOpened {
                incident: incident.id.clone(),
                reason: incident.reason.clone(),
                matched: incident.matched,
            };
            let (record, parts) = incident.clone().in_parts();
            let batch = Batch::of(act, incident.opened).insert(&record).insert(&job);
            let batch = parts.iter().fold(batch, Batch::insert);
            self.records.commit(batch.index(&Index::OpenIncident(&incident.id), incident.id.as_str())).await?;
            Ok(())
        })
        .await?;
        self.look_at_incidents().await?;
        self.start(job);
        Ok(incident)
    }

    /// Closes an incident: the renewal of its certificates is as usual again. A second time changes nothing.
    pub async fn close_incident(&self, id: &IncidentId) -> Result<Incident> {
        let closed = settle(|| async {
            let read = self.stored_incident(id).await?;
            if read.closed.is_some() {
                return self.whole(read.into_value()).await.map_err(Into::into);
            }
            let closed = (*read).clone().close(self.now());
            let act = Act::IncidentClosed { incident: id.clone() };
            let batch = Batch::of(act, self.now()).replace(&read, &closed).unindex(&Index::OpenIncident(id));
            self.records.commit(batch).await?;
            Ok::<_, Stop>(self.whole(closed).await?)
        })
        .await?;
        self.look_at_incidents().await?;
        Ok(closed)
    }

    /// An incident.
    pub async fn incident(&self, id: &IncidentId) -> Result<Incident> {
        self.whole(self.stored_incident(id).await?.into_value()).await
    }

    /// Up to `limit` incidents behind the one of that id, without serials that are too many for their records.
    pub async fn incidents(&self, after: Option<&IncidentId>, limit: usize) -> Result<Vec<Incident>> {
        let found = self.records.list::<Incident>(b"", after.map(|id| id.as_str().into()), limit).await?;
        Ok(found.into_iter().map(Stored::into_value).collect())
    }

    /// The open incident that wants a certificate renewed the soonest.
    pub(super) fn incident_about(&self, certificate: &Certificate) -> Option<Arc<Incident>> {
        let open = self.incidents.load();
        open.iter().filter(|incident| incident.marks(certificate)).min_by_key(|incident| incident.renew_by).cloned()
    }

    /// Takes the open incidents from the store into memory.
    pub(super) async fn look_at_incidents(&self) -> Result<()> {
        let known = self.incidents.load_full();
        let mut open = Vec::new();
        for incident in self.open_incidents().await? {
            // What an incident is about never changes, so long lists are read once.
            open.push(match known.iter().find(|known| known.id == incident.id) {
                Some(known) => known.clone(),
                None => Arc::new(self.whole(incident).await?),
            });
        }
        self.incidents.store(Arc::new(open));
        Ok(())
    }

    /// An incident with all its serials.
    async fn whole(&self, incident: Incident) -> Result<Incident> {
        let ids = (0..incident.parts).map(|number| serials_part_id(&incident.id, number));
        let parts: Option<Vec<_>> = self.records.find_all::<SerialsPart>(ids).await?.into_iter().collect();
        let lost = || StoreError::Failed(format!("incident {} has lost a part", incident.id).into());
        Ok(incident.clone().of_parts(parts.ok_or_else(lost)?.into_iter().map(Stored::into_value)))
    }

    /// The incidents that are open, as `incidents` gives them.
    async fn open_incidents(&self) -> Result<Vec<Incident>> {
        // Nodes that open one at the same moment may exceed the limit by a few.
        let rows = self.records.rows(&Rows::OpenIncidents, None, 2 * MAX_OPEN).await?;
        let ids = rows.iter().map(|(_, id)| target::<IncidentId>(id)).collect::<Result<Vec<_>, _>>()?;
        let found = self.records.find_all::<Incident>(&ids).await?;
        Ok(found.into_iter().flatten().map(Stored::into_value).collect())
    }

    async fn stored_incident(&self, id: &IncidentId) -> Result<Stored<Incident>> {
        let found = self.records.find::<Incident>(id).await?;
        found.ok_or_else(|| Error::not_found(format!("There is no incident \"{id}\".")))
    }

    fn incident_of(&self, asked: NewIncident) -> Result<Incident> {
        let now = self.now();
        let NewIncident { selection, reason, explanation_url, renew_by } = asked;
        let selection = selection.checked()?;
        let known = |issuer: &String| self.ca.issuer_names().any(|name| name == issuer);
        if let Some(issuer) = selection.issuer.as_ref().filter(|issuer| !known(issuer)) {
            return Err(Error::malformed(format!("There is no issuer \"{issuer}\".")));
        }
        if renew_by <= now {
            return Err(Error::malformed(format!("\"renew_by\" ({renew_by}) is over; it is {now}.")));
        }
        let id = IncidentId::random();
        Ok(Incident {
            id,
            selection,
            reason,
            explanation_url,
            renew_by,
            opened: now,
            matched: 0,
            closed: None,
            parts: 0,
        })
    }

    /// The certificates in force that an incident is about, by their customers: one of each, and how many.
    async fn marked_by(&self, incident: &Incident) -> Result<BTreeMap<Option<CustomerId>, (Serial, usize)>> {
        let mut found = BTreeMap::new();
        let serials = match (&incident.selection.serials[..], &incident.selection.key_sha256) {
            ([], None) => None,
            ([], Some(key)) => match hex32::decode(key) {
                Some(hash) => Some(self.records.certificates_of(&hash).await?),
                None => return Err(Error::malformed("\"key_sha256\" has 64 hexadecimal digits.")),
            },
            (serials, _) => Some(serials.to_vec()),
        };
        if let Some(serials) = serials {
            for page in serials.chunks(PAGE) {
                let read = self.records.find_all::<Certificate>(page).await?;
                self.count_marked(incident, read.iter().flatten().map(|read| &**read), &mut found).await?;
            }
            return Ok(found);
        }
        let mut after = None;
        loop {
            let page = self.records.list::<Certificate>(b"", after.take(), PAGE).await?;
            let Some(last) = page.last() else { return Ok(found) };
            after = Some(last.serial.as_bytes().to_vec());
            self.count_marked(incident, page.iter().map(|read| &**read), &mut found).await?;
            tokio::task::yield_now().await;
        }
    }

    async fn count_marked(
        &self,
        incident: &Incident,
        certificates: impl Iterator<Item = &Certificate>,
        found: &mut BTreeMap<Option<CustomerId>, (Serial, usize)>,
    ) -> Result<()> {
        for certificate in certificates {
            if incident.marks(certificate) && self.in_force(certificate).is_ok() {
                let customer = customer_behind(&self.closed(&certificate.account).await?.0);
                found.entry(customer).or_insert((certificate.serial, 0)).1 += 1;
            }
        }
        Ok(())
    }

    /// Tells each customer of an incident once, however many certificates it is about.
    pub(super) async fn tell_incident(self: &Arc<Self>, job: &Stored<Job>, id: &IncidentId) -> Result<Next> {
        let incident = self.incident(id).await?;
        for (customer, (serial, count)) in self.marked_by(&incident).await? {
            let Some(customer) = customer else { continue };
            let notice = told(&incident, &customer, count, self.now());
            let notice = if count == 1 { notice.of_certificate(serial) } else { notice };
            let act = Act::IncidentTold { incident: id.clone(), customer };
            match self.records.commit(Batch::of(act, notice.at).notice(&notice)).await {
                // It was told before the job was interrupted.
                Ok(()) | Err(StoreError::Conflict(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.drop_job(job).await
    }
}

/// What a customer is told.
fn told(incident: &Incident, customer: &CustomerId, count: usize, now: Timestamp) -> Notice {
    let certificates = if count == 1 { "a certificate".to_owned() } else { format!("{count} certificates") };
    let more = incident.explanation_url.as_ref().map(|url| format!(" More about it: {url}")).unwrap_or_default();
    let text = format!(
        "{} Renew {certificates} of yours by {}. ACME clients that ask for renewal information (RFC 9773) do so by \
         themselves; the order replaces the certificate and costs nothing more.{more}",
        incident.reason, incident.renew_by
    );
    let subject = format!("Renew {certificates} by {}", incident.renew_by);
    Notice::new(customer, (Topic::Revocation, "certificates-to-renew"), subject, text, now).once_of(&[
        "incident",
        incident.id.as_str(),
        customer.as_str(),
    ])
}
