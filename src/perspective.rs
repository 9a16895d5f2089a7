//! A remote perspective (Baseline Requirements 3.2.2.9): a validator behind three routes. It knows no orders, no accounts
//! and no keys of the CA, keeps nothing, and looks at the world on behalf of one primary.

pub mod credentials;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::domain::Identifier;
use crate::telemetry;
use crate::va::perspectives::quorum::Region;
use crate::va::perspectives::settings::check_name;
use crate::va::perspectives::wire::{self, Answer, CaaQuestion};
use crate::va::{Outcome, Task, Va};

/// `[perspective]` of a perspective's configuration.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Where to listen.
    pub listen: SocketAddr,
    /// What it is called, here and in the configuration of the primary.
    pub name: String,
    /// The Regional Internet Registry in whose region it and its resolvers lie.
    pub region: Region,
    /// PEM file: the chain that it shows, leaf first.
    pub certificate: PathBuf,
    /// PEM file: the leaf's private key.
    pub key: PathBuf,
    /// PEM file: the CA that clients' certificates must come from.
    pub ca: PathBuf,
    /// How many questions are looked into at once; further ones are told that it is busy.
    #[serde(default = "most_questions")]
    pub max_questions: usize,
}

/// A status, and why.
type Refusal = (StatusCode, String);

/// The validator with its name, as the routes need it.
pub struct Seat {
    va: Va,
    name: String,
    region: Region,
    free: Semaphore,
}

impl Settings {
    /// What is wrong with the values: the key, and why.
    pub fn faults(&self) -> Vec<(&'static str, String)> {
        let mut faults = Vec::new();
        if let Err(reason) = check_name(&self.name) {
            faults.push(("name", reason));
        }
        if !(1..=10_000).contains(&self.max_questions) {
            faults.push(("max_questions", format!("{} is not between 1 and 10000", self.max_questions)));
        }
        faults
    }
}

impl Seat {
    /// A perspective after its settings, which looks with this validator.
    pub fn new(settings: &Settings, va: Va) -> Self {
        let free = Semaphore::new(settings.max_questions);
        Self { va, name: settings.name.clone(), region: settings.region, free }
    }

    /// Whether it takes another question; else why not.
    pub fn check_ready(&self) -> Result<(), String> {
        let busy = || "as many questions as this perspective takes at once are being looked into".to_owned();
        self.free.try_acquire().map(drop).map_err(|_| busy())
    }

    /// Reads a question and takes a place for it; else the refusal.
    fn admit<Q: DeserializeOwned>(
        &self,
        asked: &'static str,
        body: &[u8],
        fits: impl Fn(&Q) -> Result<(), String>,
    ) -> Result<(Q, SemaphorePermit<'_>), Refusal> {
        let question = wire::read(body).and_then(|question| fits(&question).map(|()| question));
        let question = question.map_err(|why| {
            count(asked, "malformed");
            (StatusCode::BAD_REQUEST, why)
        })?;
        // Nobody waits here: the primary has its time-out, and counts this as no answer.
        let place = self.free.try_acquire().map_err(|_| {
            count(asked, "busy");
            (StatusCode::SERVICE_UNAVAILABLE, "this perspective is busy".to_owned())
        })?;
        Ok((question, place))
    }

    /// What was seen, as it is told.
    fn tell(&self, asked: &'static str, identifier: &Identifier, outcome: Outcome) -> Result<Response, Refusal> {
        let seen = outcome.result.as_ref().map_or_else(ToString::to_string, |()| "ok".to_owned());
        let counted = if outcome.result.is_ok() { "corroborated" } else { "differed" };
        if outcome.resolver_failed {
            count(asked, "failed");
            tracing::warn!(%identifier, seen, "nothing was seen, because no resolver answers");
            return Err((StatusCode::SERVICE_UNAVAILABLE, "no resolver answers here".to_owned()));
        }
        tracing::info!(%identifier, seen, "a question was answered");
        match wire::write(&Answer::of(&self.name, self.region, outcome)) {
            Ok(answer) => {
                count(asked, counted);
                Ok(([(header::CONTENT_TYPE, "application/json")], answer).into_response())
            }
            Err(error) => {
                count(asked, "failed");
                tracing::error!(%error, "an answer could not be written");
                Err((StatusCode::INTERNAL_SERVER_ERROR, "the answer could not be written".to_owned()))
            }
        }
    }
}

/// Its routes. Who may ask is judged by TLS before anything comes here.
pub fn router(seat: Arc<Seat>) -> Router {
    Router::new()
        .route("/v1/validate", post(validate))
        .route("/v1/prove", post(prove))
        .route("/v1/caa", post(caa))
        .with_state(seat)
}

async fn validate(State(seat): State<Arc<Seat>>, body: Bytes) -> Result<Response, Refusal> {
    let (task, _place) = seat.admit("validate", &body, check_task)?;
    seat.tell("validate", &task.identifier, seat.va.validate(&task).await)
}

async fn prove(State(seat): State<Arc<Seat>>, body: Bytes) -> Result<Response, Refusal> {
    let (task, _place) = seat.admit("prove", &body, check_task)?;
    seat.tell("prove", &task.identifier, seat.va.prove(&task).await)
}

async fn caa(State(seat): State<Arc<Seat>>, body: Bytes) -> Result<Response, Refusal> {
    let (asked, _place) = seat.admit("caa", &body, |_: &CaaQuestion| Ok(()))?;
    seat.tell("caa", &asked.identifier, seat.va.check_caa(&asked.identifier, asked.wildcard, &asked.terms).await)
}

fn count(asked: &'static str, outcome: &'static str) {
    metrics::counter!(telemetry::PERSPECTIVE_QUESTIONS, "question" => asked, "outcome" => outcome).increment(1);
}

/// A token goes into URLs, and is what the primary makes: base64url (RFC 8555 section 8.1).
fn check_task(task: &Task) -> Result<(), String> {
    let plain = |text: &str, more: &str| {
        text.len() <= 512 && text.bytes().all(|b| b.is_ascii_alphanumeric() || more.bytes().any(|other| other == b))
    };
    if plain(&task.token, "-_") && plain(&task.key_authorization, "-_.") {
        return Ok(());
    }
    Err("token and key authorization are base64url, of 512 characters at most".to_owned())
}

fn most_questions() -> usize {
    1_000
}
