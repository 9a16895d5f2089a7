//! The operation log as lines of JSON that an outside program can verify (docs/audit.md).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use serde_json::value::RawValue;

use super::Ra;
use crate::domain::{Error, Result, Timestamp};
use crate::store::records::{ChainEvent, ChainLink, Records};

/// So many links are read at a time.
const PAGE: usize = 200;

/// Which part of the log is wanted.
#[derive(Debug, Clone, Copy, Default)]
pub struct LogRange {
    /// Not earlier.
    pub from: Option<Timestamp>,
    /// Earlier than this.
    pub to: Option<Timestamp>,
    /// The chain of this node alone.
    pub node: Option<u16>,
}

/// An export under way: the chains one behind the other, each link whole or not at all.
pub struct LogExport {
    records: Records,
    range: LogRange,
    /// The last link that was looked at.
    place: Option<(u16, u64)>,
    /// Its hash.
    hash: String,
    ended: bool,
}

/// A line: `event` is last, so that its octets are what stands between `"event":` and the last brace.
#[derive(Serialize)]
struct Line<'a> {
    node: u16,
    link: u64,
    hash: &'a str,
    previous: &'a str,
    place: usize,
    of: usize,
    id: String,
    /// The octets of an event that is not JSON on one line, base64url: somebody has changed it.
    #[serde(skip_serializing_if = "Option::is_none")]
    octets: Option<String>,
    event: Option<&'a RawValue>,
}

impl LogExport {
    /// Of this store.
    pub fn new(records: Records, range: LogRange) -> Self {
        let place = range.node.map(|node| (node, 0));
        Self { records, range, place, hash: String::new(), ended: false }
    }

    /// The next lines, each with its end; none at the end. There may be no line and yet more to come.
    pub async fn next_lines(&mut self) -> Result<Option<String>> {
        if self.ended {
            return Ok(None);
        }
        let LogRange { from, to, node } = self.range;
        let wanted = |millis: u64| {
            let at = Timestamp::from_millis(millis);
            from.is_none_or(|from| at >= from) && to.is_none_or(|to| at < to)
        };
        let links = self.records.links(self.place, PAGE, wanted).await?;
        self.ended = links.len() < PAGE;
        let mut text = String::new();
        for link in links {
            if node.is_some_and(|node| link.node != node) {
                self.ended = true;
                break;
            }
            if link.sequence == 1 || self.place.is_none_or(|(node, _)| node != link.node) {
                self.hash = "0".repeat(64);
            }
            for (place, event) in link.events.iter().enumerate() {
                text.push_str(&line(&link, place, event, &self.hash)?);
                text.push('\n');
            }
            self.place = Some((link.node, link.sequence));
            self.hash = link.hash;
        }
        Ok(Some(text))
    }
}

impl Ra {
    /// Begins an export of the operation log.
    pub fn log_export(&self, range: LogRange) -> LogExport {
        LogExport::new(self.records.clone(), range)
    }
}

fn line(link: &ChainLink, place: usize, event: &ChainEvent, previous: &str) -> Result<String> {
    let octets = event.octets.as_deref();
    let raw = octets.and_then(|octets| serde_json::from_slice::<&RawValue>(octets).ok());
    // White space around it, which nobody but a stranger writes, would be lost.
    let exact = raw.filter(|raw| Some(raw.get().len()) == octets.map(<[u8]>::len) && !raw.get().contains('\n'));
    let line = Line {
        node: link.node,
        link: link.sequence,
        hash: &link.hash,
        previous,
        place: place + 1,
        of: link.events.len(),
        id: URL_SAFE_NO_PAD.encode(&event.id),
        octets: octets.filter(|_| exact.is_none()).map(|octets| URL_SAFE_NO_PAD.encode(octets)),
        event: exact,
    };
    serde_json::to_string(&line).map_err(Error::internal)
}
