//! A request for revocation by the rules of the product: what it waits for, and what came of it (REVOKE).

use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use super::certificate::RevocationReason;
use super::plan::Method;
use super::{
    AccountId, CustomerId, DocumentId, Error, Identifier, Kind, Problem, Result, RevocationId, Serial, Timestamp,
};

/// How long a stamped letter is awaited.
pub const LETTER_LASTS: Duration = Duration::from_secs(30 * 86_400);

/// A request for revocation. Nobody takes it back (REVOKE-02): it ends when the certificate is revoked, or when what the
/// product asks for does not come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevocationRequest {
    /// Its id.
    pub id: RevocationId,
    /// The certificate.
    pub serial: Serial,
    /// The ACME account that the certificate was issued to.
    pub account: AccountId,
    /// Whose certificate it is; none for an account that is bound to no customer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customer: Option<CustomerId>,
    /// The reason that will stand in the list.
    pub reason: RevocationReason,
    /// Why, in the customer's words (REVOKE-10, REVOKE-18).
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub grounds: String,
    /// When it was made.
    pub created: Timestamp,
    /// The request for the same certificate before this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub earlier: Option<RevocationId>,
    /// How far it has come.
    pub stage: Stage,
}

/// How far a request for revocation has come (section 21.1 of the rules, "After issue").
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "kebab-case")]
pub enum Stage {
    /// Control of every name is to be shown (REVOKE-12).
    AwaitingProof {
        /// By then (REVOKE-13, REVOKE-14).
        deadline: Timestamp,
        /// The names.
        names: Vec<NameProof>,
    },
    /// A stamped letter is to be uploaded (REVOKE-11, REVOKE-17).
    AwaitingLetter {
        /// Since when.
        since: Timestamp,
    },
    /// A person decides (REVOKE-10).
    AwaitingReview {
        /// Since when.
        since: Timestamp,
        /// The letter, where one is asked for.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        letter: Option<DocumentId>,
    },
    /// The certificate is revoked (REVOKE-03).
    Done {
        /// When.
        at: Timestamp,
    },
    /// It came to nothing: the certificate is issued, as before.
    Failed {
        /// When.
        at: Timestamp,
        /// Why.
        why: String,
    },
}

/// What shows control of a name, and whether it was seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NameProof {
    /// The name, as it stands in the certificate.
    pub identifier: Identifier,
    /// The method of the order (REVOKE-12).
    pub method: Method,
    /// The token: part of a file's name.
    pub token: String,
    /// What the file says; a DNS record holds its digest (RFC 8555 section 8).
    pub key_authorization: String,
    /// When control was seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proven: Option<Timestamp>,
    /// What the last look found wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
}

impl Stage {
    /// By when the customer must have done what it asks for; none if it asks for nothing.
    pub fn deadline(&self) -> Option<Timestamp> {
        match self {
            Self::AwaitingProof { deadline, .. } => Some(*deadline),
            Self::AwaitingLetter { since } => Some(*since + LETTER_LASTS),
            Self::AwaitingReview { .. } | Self::Done { .. } | Self::Failed { .. } => None,
        }
    }

    /// The word.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::AwaitingProof { .. } => "awaiting-proof",
            Self::AwaitingLetter { .. } => "awaiting-letter",
            Self::AwaitingReview { .. } => "awaiting-review",
            Self::Done { .. } => "done",
            Self::Failed { .. } => "failed",
        }
    }
}

impl NameProof {
    /// Where it must be: the name of a TXT record, or a URL (RFC 8555 sections 8.3 and 8.4).
    pub fn place(&self) -> String {
        match self.method {
            Method::Http01 => {
                format!("http://{}/.well-known/acme-challenge/{}", self.identifier.base(), self.token)
            }
            Method::Dns01 | Method::TlsAlpn01 => format!("_acme-challenge.{}", self.identifier.base()),
        }
    }

    /// What must be there.
    pub fn value(&self) -> String {
        match self.method {
            Method::Http01 => self.key_authorization.clone(),
            Method::Dns01 | Method::TlsAlpn01 => {
                URL_SAFE_NO_PAD.encode(digest(&SHA256, self.key_authorization.as_bytes()))
            }
        }
    }

    /// Notes what a look found.
    fn looked(&mut self, found: Result<(), Problem>, now: Timestamp) {
        match found {
            Ok(()) => (self.proven, self.problem) = (Some(now), None),
            Err(problem) => self.problem = Some(problem),
        }
    }
}

impl RevocationRequest {
    /// Whether it goes on: then the certificate is being revoked (REVOKE-01).
    pub fn is_open(&self) -> bool {
        !matches!(self.stage, Stage::Done { .. } | Stage::Failed { .. })
    }

    /// Since when it waits for a person; none if it does not.
    pub fn waits_since(&self) -> Option<Timestamp> {
        match self.stage {
            Stage::AwaitingReview { since, .. } => Some(since),
            _ => None,
        }
    }

    /// The names whose control was not seen yet, by their place.
    pub fn unproven(&self) -> Vec<(usize, &NameProof)> {
        match &self.stage {
            Stage::AwaitingProof { names, .. } => {
                names.iter().enumerate().filter(|(_, name)| name.proven.is_none()).collect()
            }
            _ => Vec::new(),
        }
    }

    /// Notes what was found of names, by their place; what was seen once stays seen.
    #[must_use]
    pub fn looked(mut self, found: Vec<(usize, Result<(), Problem>)>, now: Timestamp) -> Self {
        if let Stage::AwaitingProof { names, .. } = &mut self.stage {
            for (place, found) in found {
                if let Some(name) = names.get_mut(place).filter(|name| name.proven.is_none()) {
                    name.looked(found, now);
                }
            }
        }
        self
    }

    /// Whether control of every name was seen.
    pub fn is_proven(&self) -> bool {
        matches!(self.stage, Stage::AwaitingProof { .. }) && self.unproven().is_empty()
    }

    /// Whether what was asked for did not come in time.
    pub fn is_late(&self, now: Timestamp) -> bool {
        self.stage.deadline().is_some_and(|deadline| deadline <= now)
    }

    /// Takes the letter: a person decides next. `again` says whether another may take its place (DOC-10, DOC-11).
    pub fn with_letter(mut self, document: DocumentId, again: bool, now: Timestamp) -> Result<Self> {
        self.stage = match self.stage {
            Stage::AwaitingLetter { .. } => Stage::AwaitingReview { since: now, letter: Some(document) },
            Stage::AwaitingReview { since, letter: Some(_) } if again => {
                Stage::AwaitingReview { since, letter: Some(document) }
            }
            Stage::AwaitingReview { letter: Some(_), .. } => {
                return Err(conflict("The letter was uploaded, and only one upload is taken (DOC-10)."));
            }
            stage => return Err(conflict(format!("No letter is asked for: the revocation is {}.", stage.as_str()))),
        };
        Ok(self)
    }

    /// The certificate is revoked.
    pub fn carried_out(mut self, now: Timestamp) -> Result<Self> {
        self.open()?;
        self.stage = Stage::Done { at: now };
        Ok(self)
    }

    /// It comes to nothing.
    pub fn failed(mut self, why: impl Into<String>, now: Timestamp) -> Result<Self> {
        self.open()?;
        self.stage = Stage::Failed { at: now, why: why.into() };
        Ok(self)
    }

    fn open(&self) -> Result<()> {
        if self.is_open() {
            return Ok(());
        }
        Err(conflict(format!("The revocation is over: it is {}.", self.stage.as_str())))
    }
}

fn conflict(told: impl Into<String>) -> Error {
    Error::new(Kind::Conflict, told)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_secs(seconds)
    }

    fn request(stage: Stage) -> RevocationRequest {
        RevocationRequest {
            id: RevocationId::random(),
            serial: Serial::random(),
            account: AccountId::random(),
            customer: None,
            reason: RevocationReason::Superseded,
            grounds: String::new(),
            created: at(1),
            earlier: None,
            stage,
        }
    }

    fn awaiting_proof() -> Stage {
        let name = |name: &str| NameProof {
            identifier: Identifier::parse("dns", name).unwrap(),
            method: Method::Dns01,
            token: "token".to_owned(),
            key_authorization: "token.print".to_owned(),
            proven: None,
            problem: None,
        };
        Stage::AwaitingProof { deadline: at(100), names: vec![name("a.example"), name("b.example")] }
    }

    #[test]
    fn what_was_seen_once_stays_seen() {
        let wrong = || Problem::new(Kind::Dns, "No record");
        let begun = request(awaiting_proof());
        let half = begun.looked(vec![(0, Ok(())), (1, Err(wrong()))], at(2));
        assert_eq!((half.is_proven(), half.unproven().len()), (false, 1));
        assert_eq!(half.unproven()[0].1.problem, Some(wrong()));
        let whole = half.looked(vec![(0, Err(wrong())), (1, Ok(()))], at(3));
        assert!(whole.is_proven() && whole.is_late(at(100)) && !whole.is_late(at(99)));
    }

    #[test]
    fn a_stage_leads_only_to_those_that_the_rules_name() {
        let document = DocumentId::random;
        let stages = [
            (awaiting_proof(), false, true),
            (Stage::AwaitingLetter { since: at(1) }, true, true),
            (Stage::AwaitingReview { since: at(1), letter: None }, false, true),
            (Stage::AwaitingReview { since: at(1), letter: Some(document()) }, true, true),
            (Stage::Done { at: at(1) }, false, false),
            (Stage::Failed { at: at(1), why: String::new() }, false, false),
        ];
        for (stage, takes_letter, is_open) in stages {
            let request = request(stage);
            let told = request.stage.as_str();
            assert_eq!(request.clone().with_letter(document(), true, at(2)).is_ok(), takes_letter, "{told}");
            assert_eq!(request.is_open(), is_open, "{told}");
            assert_eq!(request.clone().carried_out(at(2)).is_ok(), is_open, "{told}");
            assert_eq!(request.failed("why", at(2)).is_ok(), is_open, "{told}");
        }
        // DOC-10: one upload only.
        let sent = request(Stage::AwaitingReview { since: at(1), letter: Some(document()) });
        assert!(sent.with_letter(document(), false, at(2)).unwrap_err().to_string().contains("DOC-10"));
    }
}
