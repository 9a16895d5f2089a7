//! Requests that may be sent again: each is carried out once, and its answer is kept for a day.

use aws_lc_rs::digest::{SHA256, digest};

use super::{Ra, settle};
use crate::domain::audit::Act;
use crate::domain::job::Work;
use crate::domain::repeat::{Repeat, RepeatState};
use crate::domain::{Error, Kind, Result};
use crate::policy::catalog::days;
use crate::store::records::{Batch, Stored};

pub use crate::domain::repeat::StoredAnswer;

/// A request that may come again.
#[derive(Debug, Clone, Copy)]
pub struct Repeatable<'a> {
    /// Who sends it: the same key of two callers are two keys.
    pub caller: &'a str,
    /// What the caller calls it.
    pub key: &'a str,
    /// What it asks for, octet by octet.
    pub request: &'a [u8],
}

/// The right to carry a request out.
#[derive(Debug)]
pub struct Claim {
    key: [u8; 32],
}

/// What became of a claim.
#[derive(Debug)]
pub enum Claimed {
    /// It is the first request with that key.
    Now(Claim),
    /// An earlier one was carried out; its answer, unless that was shown once.
    Before(Option<StoredAnswer>),
}

impl Ra {
    /// Claims the right to carry a request out, or gives the answer of the one that was.
    pub async fn claim(&self, asked: &Repeatable<'_>) -> Result<Claimed> {
        let key = hash(&[asked.caller.as_bytes(), b"\0", asked.key.as_bytes()].concat());
        let request = hash(asked.request);
        settle(|| async {
            if let Some(known) = self.records.find::<Repeat>(key).await? {
                return Ok(earlier(&known, &request)?);
            }
            let now = self.now();
            let repeat = Repeat { key, request, at: now, state: RepeatState::Begun };
            let batch = Batch::of(Act::RequestClaimed {}, now).insert(&repeat);
            self.records.commit(batch.later(now + days(1), Work::Forget { key: hex(&key) })).await?;
            Ok(Claimed::Now(Claim { key }))
        })
        .await
    }

    /// Keeps the answer of a request that was carried out.
    pub async fn keep_answer(&self, claim: Claim, answer: Option<StoredAnswer>) -> Result<()> {
        let now = self.now();
        let Some(begun) = self.records.find::<Repeat>(claim.key).await? else { return Ok(()) };
        let done = Repeat { state: RepeatState::Done { answer }, ..(*begun).clone() };
        Ok(self.records.commit(Batch::of(Act::RequestAnswered {}, now).replace(&begun, &done)).await?)
    }

    /// Gives a claim up: the request was refused and changed nothing.
    pub async fn give_up_claim(&self, claim: Claim) -> Result<()> {
        let Some(begun) = self.records.find::<Repeat>(claim.key).await? else { return Ok(()) };
        Ok(self.records.commit(Batch::of(Act::RequestAnswered {}, self.now()).remove(&begun)).await?)
    }

    /// The job that forgets an answer after its day.
    pub(super) async fn forget_repeat(
        &self,
        job: &Stored<crate::domain::job::Job>,
        key: &str,
    ) -> Result<super::worker::Next> {
        let found = match crate::domain::certificate::hex32::decode(key) {
            Some(key) => self.records.find::<Repeat>(key).await?,
            None => None,
        };
        let now = self.now();
        // A claim that was given up leaves its day behind; a later one of the same key has a day of its own.
        let found = found.filter(|repeat| repeat.at + days(1) <= now);
        let batch = Batch::of(Act::RequestForgotten {}, now).remove(job);
        let batch = found.iter().fold(batch, |batch, repeat| batch.remove(repeat));
        self.records.commit(batch).await?;
        Ok(super::worker::Next::Done)
    }
}

fn earlier(known: &Repeat, request: &[u8; 32]) -> Result<Claimed> {
    if known.request != *request {
        let told = "This Idempotency-Key was used for another request; a key is for one request and its repetitions.";
        return Err(Error::new(Kind::Unprocessable, told));
    }
    match &known.state {
        RepeatState::Done { answer } => Ok(Claimed::Before(answer.clone())),
        RepeatState::Begun => Err(Error::new(
            Kind::Conflict,
            format!(
                "The first request with this Idempotency-Key came at {} and has no answer yet. If it stays like this, the \
                 server failed in the middle: look whether it was carried out, and use another key.",
                known.at
            ),
        )),
    }
}

fn hash(octets: &[u8]) -> [u8; 32] {
    digest(&SHA256, octets).as_ref().try_into().expect("SHA-256 has 32 octets")
}

fn hex(octets: &[u8]) -> String {
    crate::domain::certificate::hex32::encode(octets)
}
