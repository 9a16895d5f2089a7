//! Certificates that end: once an hour all of them are looked at, and their customers told what is due. What was told
//! follows from the messages themselves, whose ids follow from their occasions, so nothing is told twice.

use aws_lc_rs::digest::{SHA256, digest};

use super::Ra;
use super::portfolio::{CertificateStatus, Kept};
use crate::domain::alarm::{AlarmPolicy, Template};
use crate::domain::audit::Act;
use crate::domain::notice::{Notice, Topic, once};
use crate::domain::portfolio::CertificateRef;
use crate::domain::{CustomerId, Kind, NoticeId, Result, Timestamp};
use crate::policy::catalog::{Catalog, Sale, days};
use crate::policy::endings::{Ending, Renewal, Stage};
use crate::policy::renewal::{self, WindowRule};
use crate::store::StoreError;
use crate::store::records::{Batch, Index, Rows, target};

/// How long a certificate that ended is still looked at, in case the server stood still.
const AFTERWARDS: u32 = 3;

/// Rows that are read at a time.
const PAGE: usize = 1_000;

/// A certificate of a customer, as the row says that leads to it.
#[derive(Debug, Clone)]
pub(super) struct EndingRow {
    /// Its serial, or the id of an uploaded one.
    pub certificate: String,
    /// Its last second.
    pub not_after: Timestamp,
    /// The digest of its names.
    pub names: String,
}

/// A certificate, as far as messages about its end go.
struct Watched {
    names: Vec<String>,
    renewal: Renewal,
    opens: Timestamp,
    not_after: Timestamp,
    issued: Timestamp,
    /// Whether it was not revoked.
    good: bool,
    /// Whether its owner wants no messages about it.
    muted: bool,
}

/// Has a customer told before a certificate ends, and by alarms (RENEW-04, NOTIFY-04): whatever issues or uploads one adds
/// this to its batch.
pub(super) fn watch_end(
    batch: Batch,
    customer: &CustomerId,
    not_after: Timestamp,
    certificate: &str,
    names: impl IntoIterator<Item = String>,
) -> Batch {
    batch.index(&Index::Ending(customer, not_after, certificate), &names_digest(names))
}

fn names_digest(names: impl IntoIterator<Item = String>) -> String {
    let mut names: Vec<String> = names.into_iter().map(|name| name.to_ascii_lowercase()).collect();
    names.sort();
    names.dedup();
    digest(&SHA256, names.join("\n").as_bytes()).as_ref()[..16].iter().map(|b| format!("{b:02x}")).collect()
}

impl Ra {
    /// Tells customers what is due about certificates that end, at most once an hour.
    pub(super) async fn look_at_endings(&self) -> Result<()> {
        let hour = self.now().as_secs() / 3600;
        if *self.endings_seen.lock() == Some(hour) {
            return Ok(());
        }
        let mut after = None;
        while let Some((row, _)) = self.records.rows(&Rows::Endings, after.take(), 1).await?.pop() {
            let Some(customer) = row.get(..22).and_then(|id| std::str::from_utf8(id).ok()) else { break };
            let customer = target::<CustomerId>(customer)?;
            // What is wrong with one customer's records keeps no other from their messages.
            if let Err(error) = self.look_at_endings_of(&customer).await {
                tracing::error!(%customer, ?error, "a customer's certificates that end could not be looked at");
            }
            // Behind all rows of this customer.
            after = Some([customer.as_str().as_bytes(), &[0xff; 9]].concat());
        }
        *self.endings_seen.lock() = Some(hour);
        Ok(())
    }

    /// Has all certificates looked at anew at the next occasion.
    pub(super) fn look_again(&self) {
        *self.endings_seen.lock() = None;
    }

    /// A customer's certificates that have not ended, or only a short while ago.
    pub(super) async fn endings_of(&self, customer: &CustomerId) -> Result<Vec<EndingRow>> {
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let rows = self.records.rows(&Rows::EndingsOfCustomer(customer), after.take(), PAGE).await?;
            let Some((last, _)) = rows.last() else { return Ok(found) };
            after = Some(last.clone());
            found.extend(rows.into_iter().filter_map(|(row, names)| read(&row, names)));
        }
    }

    async fn look_at_endings_of(&self, customer: &CustomerId) -> Result<()> {
        let (rows, policies) = (self.endings_of(customer).await?, self.alarms(customer).await?);
        let (now, window) = (self.now(), days(self.catalog().settings().renewal_window_days));
        let alarming = |row: &EndingRow| policies.iter().any(|policy| policy.due(row.not_after, now).is_some());
        for row in rows.iter().filter(|row| row.not_after - window <= now || alarming(row)) {
            if row.not_after + days(AFTERWARDS) < now {
                self.forget_ending(customer, row).await?;
                continue;
            }
            let due = self.due(row, &policies).await?;
            if due.is_empty() {
                continue;
            }
            let Some(watched) = self.watched(&row.certificate).await? else { continue };
            if !watched.good || watched.muted || self.is_replaced(row, &watched, &rows).await? {
                continue;
            }
            for occasion in due {
                self.tell_ending(customer, row, &watched, occasion).await?;
            }
        }
        Ok(())
    }

    /// Which occasions there may be to tell of a certificate that was not told of yet.
    async fn due<'p>(&self, row: &EndingRow, policies: &'p [AlarmPolicy]) -> Result<Vec<Occasion<'p>>> {
        let now = self.now();
        let mut occasions: Vec<Occasion<'p>> = vec![Occasion::Stages];
        for policy in policies.iter().filter(|policy| policy.is_for(&row.certificate)) {
            occasions.extend(policy.due(row.not_after, now).map(|at| Occasion::Alarm(policy, at)));
        }
        let ids = occasions.iter().map(|occasion| match occasion {
            // Before the end there is nothing to tell after the reminder.
            Occasion::Stages if now <= row.not_after => stage_id(&row.certificate, Stage::Reminder),
            Occasion::Stages => stage_id(&row.certificate, Stage::Ended),
            Occasion::Alarm(policy, at) => alarm_id(&row.certificate, policy, *at),
        });
        let told = self.records.find_all::<Notice>(ids).await?;
        Ok(occasions.into_iter().zip(told).filter(|(_, told)| told.is_none()).map(|(occasion, _)| occasion).collect())
    }

    async fn tell_ending(
        &self,
        customer: &CustomerId,
        row: &EndingRow,
        watched: &Watched,
        occasion: Occasion<'_>,
    ) -> Result<()> {
        let (now, certificate) = (self.now(), row.certificate.clone());
        let ending = Ending {
            names: &watched.names,
            certificate: &row.certificate,
            renewal: watched.renewal,
            not_after: watched.not_after,
        };
        let (act, notice) = match occasion {
            Occasion::Stages => {
                let offset = self.catalog().settings().expiry_reminder_day_offset;
                let Some(stage) = Stage::at(watched.opens, watched.not_after, offset, now) else { return Ok(()) };
                let about = (Topic::Expiry, stage.event());
                let notice = Notice::new(customer, about, ending.subject(stage), ending.text(Some(stage)), now);
                let act = Act::ExpiryTold { certificate, event: stage.event().to_owned() };
                (act, Notice { id: stage_id(&row.certificate, stage), ..notice })
            }
            Occasion::Alarm(policy, at) => {
                // The template says whom, whatever the subscription says (NOTIFY-09).
                let Some(template) = self.records.find::<Template>(&policy.template).await? else {
                    tracing::error!(policy = %policy.id, template = %policy.template, "the template of an alarm is gone");
                    return Ok(());
                };
                let text = format!("Alarm policy \"{}\".\n\n{}", policy.name, ending.text(None));
                let about = (Topic::Expiry, "expiry-alarm");
                let notice = Notice::new(customer, about, ending.alarm_subject(now), text, now);
                let act = Act::AlarmRaised { policy: policy.id.clone(), certificate };
                let id = alarm_id(&row.certificate, policy, at);
                (act, Notice { id, ..notice.only_to(&template.recipients) })
            }
        };
        if self.records.find::<Notice>(&notice.id).await?.is_some() {
            return Ok(());
        }
        let notice = match (row.certificate.parse(), row.certificate.parse()) {
            (Ok(serial), _) => notice.of_certificate(serial),
            (_, Ok(upload)) => notice.of_upload(&upload),
            _ => notice,
        };
        match self.records.commit(Batch::of(act, now).notice(&notice)).await {
            // Another node was first.
            Ok(()) | Err(StoreError::Conflict(_)) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    async fn forget_ending(&self, customer: &CustomerId, row: &EndingRow) -> Result<()> {
        let act = Act::ExpiryForgotten { certificate: row.certificate.clone() };
        let index = Index::Ending(customer, row.not_after, &row.certificate);
        Ok(self.records.commit(Batch::of(act, self.now()).unindex(&index)).await?)
    }

    /// Whether the customer has a certificate for the same names that lasts longer, or is newer.
    async fn is_replaced(&self, row: &EndingRow, watched: &Watched, all: &[EndingRow]) -> Result<bool> {
        let same = |other: &&EndingRow| {
            other.names == row.names && other.not_after >= row.not_after && other.certificate != row.certificate
        };
        for other in all.iter().filter(same) {
            let Some(other) = self.watched(&other.certificate).await? else { continue };
            if other.good && (watched.not_after, watched.issued) < (other.not_after, other.issued) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// A certificate that is there, issued or uploaded (NOTIFY-04); none that its owner deleted.
    async fn watched(&self, certificate: &str) -> Result<Option<Watched>> {
        let Ok(reference) = certificate.parse::<CertificateRef>() else { return Ok(None) };
        let listed = match self.listed(&reference).await {
            Ok(listed) => listed,
            Err(error) if error.kind() == Kind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let catalog = self.catalog();
        let opens_days = catalog.settings().renewal_window_days;
        let (renewal, opens, issued) = match &listed.certificate {
            Kept::Issued(found) => (
                renewal_of(&catalog, &found.product),
                renewal::window(found, Some(WindowRule::Documented(opens_days))).start,
                found.issued,
            ),
            Kept::Uploaded(found) => {
                let two_thirds = found.not_before + found.not_after.since(found.not_before) * 2 / 3;
                let opens = (found.not_after - days(opens_days)).max(two_thirds);
                (Renewal::Elsewhere, opens, found.not_before)
            }
        };
        Ok(Some(Watched {
            names: listed.certificate.names(),
            renewal,
            opens,
            not_after: listed.certificate.not_after(),
            issued,
            good: listed.status != CertificateStatus::Revoked,
            // NOTIFY-01
            muted: listed.portfolio.muted.is_some(),
        }))
    }
}

/// What may be told of a certificate.
enum Occasion<'p> {
    /// What everybody is told.
    Stages,
    /// An alarm of a policy, due at that moment.
    Alarm(&'p AlarmPolicy, Timestamp),
}

fn stage_id(certificate: &str, stage: Stage) -> NoticeId {
    once(&["expiry", certificate, stage.event()])
}

/// The occasion is the step of the policy: one message for each (NOTIFY-07).
fn alarm_id(certificate: &str, policy: &AlarmPolicy, at: Timestamp) -> NoticeId {
    once(&["alarm", policy.id.as_str(), certificate, &at.as_secs().to_string()])
}

fn renewal_of(catalog: &Catalog, product: &str) -> Renewal {
    match catalog.product(product).map(|product| product.sale) {
        Some(Sale::Paid(_) | Sale::Unpriced) => Renewal::Paid,
        Some(Sale::Free) => Renewal::Free,
        Some(Sale::Open) | None => Renewal::Order,
    }
}

/// The name of a row: customer, end, certificate.
fn read(row: &[u8], names: String) -> Option<EndingRow> {
    let millis = u64::from_be_bytes(row.get(22..30)?.try_into().ok()?);
    let certificate = std::str::from_utf8(row.get(30..)?).ok()?.to_owned();
    Some(EndingRow { certificate, not_after: Timestamp::from_millis(millis), names })
}
