//! The operation log: who did what, when and from where, and whether anybody has tampered with it since.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use super::Ra;
use crate::domain::audit::AuditEvent;
use crate::domain::{OrderId, Result, Timestamp};
use crate::store::records::Rows;

/// No more events are read for one request, however few of them are wanted.
const MOST_READ: usize = 5_000;
/// So many at a time.
const PAGE: usize = 500;
/// An order's history has no more entries for each of its parts.
const MOST_OF_ONE: usize = 1_000;

/// Which operations are wanted.
#[derive(Debug, Default)]
pub struct OperationFilter {
    /// By whom: all of it (`account X`), or a word of it: the kind (`account`) or the id alone (`X`).
    pub who: Option<String>,
    /// An id or a name that the act is about.
    pub object: Option<String>,
    /// The act, as in `order-created`.
    pub act: Option<String>,
    /// Not earlier.
    pub since: Option<Timestamp>,
    /// Earlier than this.
    pub until: Option<Timestamp>,
    /// Behind the event of this id.
    pub after: Option<Vec<u8>>,
    /// At most so many.
    pub limit: usize,
}

/// An audit event with its id.
#[derive(Debug)]
pub struct Operation {
    /// The name of its row.
    pub id: Vec<u8>,
    /// The event.
    pub event: AuditEvent,
}

/// Some operations, oldest first.
#[derive(Debug)]
pub struct OperationPage {
    /// Those that were found.
    pub items: Vec<Operation>,
    /// Behind which event to go on, if the log was not read to its end: there may be no item and yet a next page.
    pub next: Option<Vec<u8>>,
}

impl Ra {
    /// The operations that are wanted, as far as one request reads.
    pub async fn operations(&self, wanted: &OperationFilter) -> Result<OperationPage> {
        let (mut items, mut read) = (Vec::new(), 0);
        let mut after = wanted.after.clone().max(wanted.since.map(just_before));
        while read < MOST_READ {
            let rows = self.records.audit(after.clone(), PAGE).await?;
            let ended = rows.len() < PAGE;
            for (id, event) in rows {
                if wanted.until.is_some_and(|until| event.at >= until) {
                    return Ok(OperationPage { items, next: None });
                }
                read += 1;
                after = Some(id.clone());
                if wanted.admits(&event) {
                    items.push(Operation { id, event });
                }
                if items.len() >= wanted.limit {
                    return Ok(OperationPage { items, next: after });
                }
            }
            if ended {
                return Ok(OperationPage { items, next: None });
            }
        }
        Ok(OperationPage { items, next: after })
    }

    /// The history of an order and of the proofs that were made for it, oldest first (STATUS-01).
    pub async fn order_events(&self, id: &OrderId) -> Result<Vec<Operation>> {
        let order = self.order_view(id).await?.order;
        let mut ids = Vec::new();
        let authzs = order.authorizations.iter().map(|authz| authz.as_str());
        for subject in std::iter::once(order.id.as_str()).chain(authzs) {
            let rows = self.records.rows(&Rows::EventsOf(subject), None, MOST_OF_ONE).await?;
            ids.extend(rows.into_iter().map(|(row, _)| row[subject.len()..].to_vec()));
        }
        // An authorization may be older than the order that it serves again.
        ids.retain(|id| *id > just_before(order.created));
        let events = self.records.audit_rows(ids).await?;
        Ok(events.into_iter().map(|(id, event)| Operation { id, event }).collect())
    }

    /// Writes the end of the chain over all operations to the server's log, where a copy of it is out of the reach of
    /// whoever can write to the store.
    pub async fn tell_operations_head(&self) -> Result<()> {
        if let Some(head) = self.records.operations_head().await? {
            tracing::info!(sequence = head.sequence, hash = head.hash, "the operation log ends here");
        }
        Ok(())
    }
}

impl OperationFilter {
    fn admits(&self, event: &AuditEvent) -> bool {
        let is_who = |asked: &String| *asked == event.who || event.who.split(' ').any(|word| word == asked);
        if !self.who.as_ref().is_none_or(is_who) {
            return false;
        }
        if self.act.is_none() && self.object.is_none() {
            return true;
        }
        let act = serde_json::to_value(&event.act).unwrap_or_default();
        self.act.as_ref().is_none_or(|asked| act["act"] == asked.as_str())
            && self.object.as_ref().is_none_or(|asked| is_about(&act, asked))
    }
}

/// Whether one of the fields of an act is this id or name, or holds it.
fn is_about(act: &Value, object: &str) -> bool {
    match act {
        Value::String(text) => text == object,
        Value::Array(items) => items.iter().any(|item| is_about(item, object)),
        Value::Object(fields) => fields.iter().any(|(key, field)| key != "act" && is_about(field, object)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// The id of an event as exports and answers write it.
pub(super) fn shown_id(id: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(id)
}

/// Behind this name the events of a moment begin.
fn just_before(moment: Timestamp) -> Vec<u8> {
    moment.as_millis().to_be_bytes().to_vec()
}
