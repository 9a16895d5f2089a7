//! What allowed a certificate: put together from the operation log and the records, and judged.

mod basis;
mod index;
mod judge;

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Serialize, Serializer};

use index::{Part, Unindexed};

use super::Ra;
use crate::domain::audit::{Act, AuditEvent, Signature};
use crate::domain::certificate::Certificate;
use crate::domain::{AccountId, AuthzId, Error, OrderId, Result, Serial, Timestamp};
use crate::store::records::{Records, Rows, Stored};
pub use crate::va::perspectives::for_customers;

/// No more events are read for one order, authorization or certificate.
const MOST: usize = 5_000;
/// So many certificates, or events, at a time.
const PAGE: usize = 200;
/// How often a proof may have been taken over from another account.
const HANDS: usize = 16;

/// What allowed a certificate, and what is wrong with that.
#[derive(Debug, Clone, Serialize)]
pub struct CertificateEvidence {
    /// The certificate.
    pub serial: Serial,
    /// Whether it is still among the records; if not, this is what the log alone says.
    pub recorded: bool,
    /// When it was signed.
    #[serde(serialize_with = "maybe_text")]
    pub signed: Option<Timestamp>,
    /// The event of its signature, by its id in the log.
    pub event: Option<String>,
    /// The node that wrote that event.
    pub node: Option<u16>,
    /// The order.
    pub order: Option<OrderId>,
    /// When that was placed.
    #[serde(serialize_with = "maybe_text")]
    pub placed: Option<Timestamp>,
    /// What it was signed on, as the event says: moments are milliseconds since 1970 there.
    pub signature: Option<Signature>,
    /// What proved each name.
    pub names: Vec<NameEvidence>,
    /// What people decided, oldest first: about the application, and about the order.
    pub decisions: Vec<DecisionEvidence>,
    /// What is wrong; empty if everything is as it must be.
    pub faults: Vec<String>,
}

/// What proved a name.
#[derive(Debug, Clone, Default, Serialize)]
pub struct NameEvidence {
    /// The name as it stands in the certificate.
    pub name: String,
    /// The authorization that the order had.
    pub authorization: Option<AuthzId>,
    /// The authorization that was validated, where the proof was taken over from another account of the customer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub taken_from: Option<AuthzId>,
    /// Whose the order is.
    pub account: Option<AccountId>,
    /// How it was validated.
    pub method: Option<String>,
    /// When.
    #[serde(serialize_with = "maybe_text")]
    pub validated: Option<Timestamp>,
    /// Days since then, when it was signed.
    pub age_days: u64,
    /// Whether it had been validated for an earlier order.
    pub reused: bool,
    /// Attempts that failed before.
    pub failed_attempts: usize,
    /// What was looked up, where, and what came back.
    pub seen: Vec<String>,
    /// The look at CAA that counts; none for addresses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub caa: Option<CaaEvidence>,
}

/// A look at CAA.
#[derive(Debug, Clone, Serialize)]
pub struct CaaEvidence {
    /// When.
    #[serde(serialize_with = "text")]
    pub at: Timestamp,
    /// Which look it was: `validation`, or `order` for the one just before the signature.
    pub look: String,
    /// What was seen.
    pub seen: Vec<String>,
}

/// What somebody decided.
#[derive(Debug, Clone, Serialize)]
pub struct DecisionEvidence {
    /// When.
    #[serde(serialize_with = "text")]
    pub at: Timestamp,
    /// About what: `application:id`, `order:id`.
    pub matter: String,
    /// By whom.
    pub by: String,
    /// Whether they agreed.
    pub approved: bool,
    /// Why.
    pub note: String,
    /// What they rest on.
    pub evidence: Vec<String>,
}

/// What a walk over all certificates came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Walked {
    /// Certificates that were looked at.
    pub certificates: u64,
    /// Those with a fault.
    pub faulty: u64,
}

impl CertificateEvidence {
    /// Takes out what is no business of customers: which of the desk's people decided and why they agreed, and which
    /// perspectives looked.
    pub fn hide_internals(&mut self) {
        for name in &mut self.names {
            name.seen = for_customers(&name.seen);
            if let Some(caa) = &mut name.caa {
                caa.seen = for_customers(&caa.seen);
            }
        }
        for decision in &mut self.decisions {
            decision.by = decision.by.split(' ').next().unwrap_or_default().to_owned();
            decision.evidence.clear();
            if decision.approved {
                decision.note.clear();
            }
        }
        if let Some(vetting) = self.signature.as_mut().and_then(|signature| signature.vetting.as_mut()) {
            vetting.by = vetting.by.split(' ').next().unwrap_or_default().to_owned();
        }
        // They tell names of reviewers.
        self.faults.clear();
    }
}

/// Puts together what allowed each certificate. Reads, and changes nothing.
pub struct Checker {
    records: Records,
    unindexed: Unindexed,
}

/// The events of a certificate and its order, as they were read.
struct Material {
    certificate: Option<Stored<Certificate>>,
    signed: Option<(Vec<u8>, AuditEvent)>,
    /// How many signatures the log has of this serial.
    signatures: usize,
    order_events: Vec<AuditEvent>,
}

impl Checker {
    /// Over these records, by the index of the log.
    fn new(records: Records) -> Self {
        Self { records, unindexed: Unindexed::default() }
    }

    /// Over these records, after the whole log was read: what the index does not lead to is found all the same.
    pub async fn reading(records: Records) -> Result<Self> {
        let unindexed = Unindexed::read(&records, Part::Whole).await?;
        Ok(Self { records, unindexed })
    }

    /// Rows of the index that are gone: the events, and what each is about.
    pub fn index_faults(&self) -> Vec<String> {
        self.unindexed.faults()
    }

    /// Looks at all certificates, first those among the records, then those that the log alone knows; `each` is given one
    /// after the other. What is in memory does not grow with their number.
    pub async fn walk(&self, mut each: impl FnMut(&CertificateEvidence)) -> Result<Walked> {
        let mut walked = Walked::default();
        let mut tell = |evidence: &CertificateEvidence| {
            walked.certificates += 1;
            walked.faulty += u64::from(!evidence.faults.is_empty());
            each(evidence);
        };
        let mut after = None;
        loop {
            let page = self.records.list::<Certificate>(b"", after.take(), PAGE).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.serial.as_bytes().to_vec());
            for certificate in page {
                let serial = certificate.serial;
                tell(&self.evidence_for(serial, Some(certificate)).await?);
            }
        }
        let mut after = None;
        loop {
            let (events, last) = self.records.audit_with("\"certificate-issued\"", after.take(), 5 * PAGE).await?;
            let Some(last) = last else { break };
            after = Some(last);
            for (id, event) in events {
                let Act::CertificateIssued { serial, order, .. } = &event.act else { continue };
                let recorded = self.records.find::<Certificate>(serial).await?;
                if recorded.is_some_and(|recorded| recorded.order == *order) {
                    continue;
                }
                // Of several signatures of a serial that is not recorded, the first tells of all.
                let evidence = self.evidence_for(*serial, None).await?;
                if evidence.event.as_ref().is_none_or(|first| *first == super::operations::shown_id(&id)) {
                    tell(&evidence);
                }
            }
        }
        Ok(walked)
    }

    /// What allowed the certificate of that serial.
    pub async fn evidence(&self, serial: Serial) -> Result<CertificateEvidence> {
        let certificate = self.records.find::<Certificate>(serial).await?;
        let recorded = certificate.is_some();
        let evidence = self.evidence_for(serial, certificate).await?;
        if !recorded && evidence.event.is_none() {
            return Err(Error::not_found("There is no certificate of that serial, and the log knows none."));
        }
        Ok(evidence)
    }

    async fn evidence_for(
        &self,
        serial: Serial,
        certificate: Option<Stored<Certificate>>,
    ) -> Result<CertificateEvidence> {
        let events = self.events_of(&format!("certificate:{serial}")).await?;
        let is_signature =
            |event: &AuditEvent| matches!(&event.act, Act::CertificateIssued { serial: of, .. } if *of == serial);
        let mut signatures: Vec<_> = events.into_iter().filter(|(_, event)| is_signature(event)).collect();
        let count = signatures.len();
        let signed = if signatures.is_empty() { None } else { Some(signatures.swap_remove(0)) };
        let order = match (&signed, &certificate) {
            (Some((_, AuditEvent { act: Act::CertificateIssued { order, .. }, .. })), _) => Some(order.clone()),
            (_, Some(certificate)) => Some(certificate.order.clone()),
            _ => None,
        };
        let order_events = match &order {
            Some(order) => self.events_of(order.as_str()).await?,
            None => Vec::new(),
        };
        let order_events = order_events.into_iter().map(|(_, event)| event).collect();
        let material = Material { certificate, signed, signatures: count, order_events };
        self.judge(serial, order, material).await
    }

    /// The events of an order or an authorization, or about something else as in `certificate:serial`, in the order in which
    /// they were committed. Rows that lead to events about other things count for nothing.
    async fn events_of(&self, what: &str) -> Result<Vec<(Vec<u8>, AuditEvent)>> {
        let rows = if what.contains(':') { Rows::EventsAbout(what) } else { Rows::EventsOf(what) };
        let rows = self.records.rows(&rows, None, MOST).await?;
        let ids = rows.into_iter().map(|(row, _)| row[what.len()..].to_vec());
        let ids: BTreeSet<Vec<u8>> = ids.chain(self.unindexed.about(what).iter().cloned()).collect();
        let mut events = self.records.audit_rows(ids).await?;
        events.retain(|(_, event)| event.act.indexed().iter().any(|of| of == what));
        Ok(events)
    }
}

impl Ra {
    /// What allowed a certificate. Where the index leads to too little, what an older version logged is looked through: its
    /// index was about less.
    pub async fn certificate_evidence(&self, serial: &Serial) -> Result<CertificateEvidence> {
        let found = Checker::new(self.records.clone()).evidence(*serial).await;
        if found.as_ref().is_ok_and(|evidence| evidence.faults.is_empty()) {
            return found;
        }
        let unindexed = Unindexed::read(&self.records, Part::Older).await?;
        Checker { records: self.records.clone(), unindexed }.evidence(*serial).await
    }
}

/// A moment as REST writes it (RFC 3339).
fn text<S: Serializer>(at: &Timestamp, serializer: S) -> std::result::Result<S::Ok, S::Error> {
    serializer.collect_str(at)
}

fn maybe_text<S: Serializer>(at: &Option<Timestamp>, serializer: S) -> std::result::Result<S::Ok, S::Error> {
    match at {
        Some(at) => text(at, serializer),
        None => serializer.serialize_none(),
    }
}

/// Days as a time.
fn days(days: u32) -> Duration {
    Duration::from_secs(u64::from(days) * 86_400)
}
