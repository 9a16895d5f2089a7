//! What a look at the world leaves behind: the evidence for the audit log, and how it failed.

use std::time::Duration;

use parking_lot::Mutex;

use crate::domain::{Kind, Problem};

/// Why a look failed.
#[derive(Debug, Clone)]
pub(super) struct Fault {
    /// What the client is told.
    pub problem: Problem,
    /// Whether the same look may end otherwise soon.
    pub may_heal: bool,
}

impl Fault {
    /// A failure that may pass.
    pub fn passing(kind: Kind, detail: impl Into<String>) -> Self {
        Self { problem: Problem::new(kind, detail), may_heal: true }
    }

    /// A failure that stays until someone changes something.
    pub fn lasting(kind: Kind, detail: impl Into<String>) -> Self {
        Self { problem: Problem::new(kind, detail), may_heal: false }
    }
}

/// Collects evidence while a look goes on, and knows what it is waiting for, should its time run out.
#[derive(Debug, Default)]
pub(super) struct Trail(Mutex<Steps>);

#[derive(Debug, Default)]
struct Steps {
    evidence: Vec<String>,
    waiting: Option<(Kind, String)>,
}

impl Trail {
    /// Says what comes next: the sentence part that follows "while", and the kind of failure if it never ends.
    pub fn begin(&self, kind: Kind, doing: String) {
        self.0.lock().waiting = Some((kind, doing));
    }

    /// Notes what was looked up, where, and what came back.
    pub fn note(&self, line: String) {
        self.0.lock().evidence.push(line);
    }

    /// The failure of a look whose time ran out.
    pub fn out_of_time(&self, limit: Duration) -> Fault {
        let (kind, doing) = self.0.lock().waiting.take().unwrap_or_else(|| (Kind::Connection, "starting".to_owned()));
        // VAL-29; the time of the next try, if there is one, is known to those who decide on it.
        let detail = format!("Timed out after {} while {doing} (DIAG-13).", seconds(limit));
        self.note(detail.clone());
        Fault::passing(kind, detail)
    }

    /// The evidence, in the order in which it came.
    pub fn into_evidence(self) -> Vec<String> {
        self.0.into_inner().evidence
    }
}

/// A time as people say it: in seconds where it is whole ones.
pub(super) fn seconds(time: Duration) -> String {
    match time.as_millis() {
        ms if ms.is_multiple_of(1000) => format!("{} s", ms / 1000),
        ms => format!("{ms} ms"),
    }
}

/// Foreign bytes as they may stand in a problem or a log: cut, and with control characters escaped.
pub(super) fn clean(bytes: &[u8]) -> String {
    const SHOWN: usize = 200;
    // Four bytes make at most one character, so that the rest of a long answer is never decoded.
    let start = &bytes[..bytes.len().min(4 * SHOWN)];
    let text = String::from_utf8_lossy(start);
    let shown: String = text.chars().take(SHOWN).flat_map(char::escape_debug).collect();
    let cut = if start.len() < bytes.len() || text.chars().nth(SHOWN).is_some() { ".." } else { "" };
    format!("\"{shown}{cut}\"")
}

/// The innermost cause of an error, without the operating system's number for it.
pub(super) fn root_cause(error: &(dyn std::error::Error + 'static)) -> String {
    let mut cause = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    let text = cause.to_string();
    let text = text.split_once(" (os error").map_or(text.as_str(), |(text, _)| text);
    clean(text.as_bytes()).trim_matches('"').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_is_cut_and_escaped() {
        assert_eq!(clean(b"plain"), "\"plain\"");
        assert_eq!(clean(b"a\r\n\x1b[31m\"b\""), "\"a\\r\\n\\u{1b}[31m\\\"b\\\"\"");
        assert_eq!(clean(b"\xff"), "\"\u{fffd}\"");
        assert_eq!(clean(&[b'x'; 5000]), format!("\"{}..\"", "x".repeat(200)));
        assert_eq!(clean(&[b'x'; 200]), format!("\"{}\"", "x".repeat(200)));
    }

    #[test]
    fn time_running_out_is_told_with_what_was_under_way() {
        let trail = Trail::default();
        trail.begin(Kind::Dns, "asking for TXT".to_owned());
        let fault = trail.out_of_time(Duration::from_millis(1500));
        assert_eq!(fault.problem.kind, Kind::Dns);
        assert_eq!(fault.problem.detail, "Timed out after 1500 ms while asking for TXT (DIAG-13).");
        assert!(fault.may_heal);
        assert_eq!(trail.into_evidence(), [fault.problem.detail]);
        let early = Trail::default().out_of_time(Duration::from_secs(30));
        assert_eq!(early.problem.detail, "Timed out after 30 s while starting (DIAG-13).");
    }
}
