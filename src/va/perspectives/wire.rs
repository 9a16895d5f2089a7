//! What a primary and a perspective say to each other: JSON over HTTPS, each message with its version.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::super::{CaaTerms, Outcome};
use super::quorum::Region;
use crate::domain::{Identifier, Kind, Problem};

/// The version that is spoken here. One that says anything more or anything else has another number.
pub const VERSION: u32 = 1;

/// Most octets of a question. A task with names of full length is a tenth of it.
pub const MAX_QUESTION: usize = 65_536;

/// Most octets of an answer; no more is read.
pub const MAX_ANSWER: usize = 262_144;

/// Most lines of evidence that are taken from one answer, and most characters of each text.
const MAX_LINES: usize = 60;
const MAX_TEXT: usize = 600;

/// A message with its version, which is looked at before the rest.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Envelope<T> {
    version: u32,
    message: T,
}

/// Whether CAA permits: the question of `/v1/caa`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CaaQuestion {
    /// The name without `*.`.
    pub identifier: Identifier,
    /// Whether it is about the wildcard below the name.
    pub wildcard: bool,
    /// Whose permission is needed.
    pub terms: CaaTerms,
}

/// What a perspective saw.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answer {
    /// Which perspective it is.
    pub perspective: String,
    /// Where it lies.
    pub region: Region,
    /// What was wrong; none: it saw what must be seen.
    pub problem: Option<Problem>,
    /// Whether the same question may have another answer soon.
    pub may_heal: bool,
    /// What should be put right all the same.
    pub hints: Vec<String>,
    /// What was looked up, where, and what came back.
    pub evidence: Vec<String>,
}

impl Answer {
    /// An outcome as a perspective tells it.
    pub fn of(perspective: &str, region: Region, outcome: Outcome) -> Self {
        let Outcome { result, may_heal, hints, evidence, .. } = outcome;
        Self { perspective: perspective.to_owned(), region, problem: result.err(), may_heal, hints, evidence }
    }

    /// The same, fit for a log and for clients, whatever the perspective wrote: cut, without control characters. The error
    /// says why it is no answer.
    pub(super) fn judged(mut self) -> Result<Self, String> {
        if let Some(problem) = self.problem.take() {
            if !is_seen(problem.kind) {
                return Err(format!("it answered with {:?}, which is nothing that is seen", problem.kind));
            }
            self.problem = Some(Problem::new(problem.kind, plain(&problem.detail)));
        }
        self.evidence.truncate(MAX_LINES);
        self.evidence = self.evidence.iter().map(|line| plain(line)).collect();
        Ok(self)
    }
}

/// A message as it is sent.
pub fn write<T: Serialize>(message: &T) -> serde_json::Result<Vec<u8>> {
    serde_json::to_vec(&Envelope { version: VERSION, message })
}

/// Reads a message; the error says what is wrong with it, to the other side.
pub fn read<T: DeserializeOwned>(text: &[u8]) -> Result<T, String> {
    let not_understood = |error: serde_json::Error| format!("the message is not understood: {error}");
    let envelope: Envelope<&RawValue> = serde_json::from_slice(text).map_err(not_understood)?;
    if envelope.version != VERSION {
        return Err(format!("the message has version {}; only {VERSION} is spoken here", envelope.version));
    }
    serde_json::from_str(envelope.message.get()).map_err(not_understood)
}

/// Whether a look at the world can end that way.
fn is_seen(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Caa
            | Kind::Connection
            | Kind::Dns
            | Kind::IncorrectResponse
            | Kind::Malformed
            | Kind::Tls
            | Kind::Unauthorized
    )
}

fn plain(text: &str) -> String {
    let mut shown: String = text.chars().take(MAX_TEXT).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.chars().nth(MAX_TEXT).is_some() {
        shown.push_str("..");
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(kind: Kind, detail: &str, evidence: Vec<String>) -> Answer {
        let result = Err(Problem::new(kind, detail));
        let outcome = Outcome { result, may_heal: true, hints: Vec::new(), evidence, resolver_failed: false };
        Answer::of("a", Region::Arin, outcome)
    }

    #[test]
    fn what_is_written_is_read_and_other_versions_are_refused() {
        let written = write(&answer(Kind::Dns, "no", vec!["line".to_owned()])).unwrap();
        let read_back: Answer = read(&written).unwrap();
        assert_eq!((read_back.perspective.as_str(), read_back.region), ("a", Region::Arin));
        assert_eq!(read_back.problem, Some(Problem::new(Kind::Dns, "no")));
        let newer = String::from_utf8(written).unwrap().replace("\"version\":1", "\"version\":2");
        let refusal = read::<Answer>(newer.as_bytes()).unwrap_err();
        assert_eq!(refusal, "the message has version 2; only 1 is spoken here");
        for text in [
            "",
            "{}",
            "[]",
            r#"{"version":1}"#,
            r#"{"version":1,"message":{},"more":1}"#,
            r#"{"version":1,"message":{}}"#,
        ] {
            assert!(read::<Answer>(text.as_bytes()).unwrap_err().contains("not understood"), "{text}");
        }
    }

    #[test]
    fn what_a_perspective_writes_is_cut_and_cleaned() {
        let many = vec![format!("line\r\n{}", "x".repeat(5_000)); 1_000];
        let judged = answer(Kind::Tls, &"d\u{0}".repeat(5_000), many).judged().unwrap();
        assert_eq!(judged.evidence.len(), MAX_LINES);
        let texts = judged.evidence.iter().chain(judged.problem.as_ref().map(|problem| &problem.detail));
        for text in texts {
            assert!(text.chars().all(|c| !c.is_control()) && text.chars().count() == MAX_TEXT + 2, "{text}");
        }
        let told = answer(Kind::AccountDoesNotExist, "", Vec::new()).judged().unwrap_err();
        assert!(told.contains("AccountDoesNotExist"), "{told}");
    }
}
