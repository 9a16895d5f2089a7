//! Multi-perspective corroboration (Baseline Requirements 3.2.2.9): what this server saw is only believed if enough
//! perspectives elsewhere in the world see it too.

mod lines;
pub mod quorum;
pub mod settings;
mod shown;
pub mod wire;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, Response, StatusCode, redirect};
use rustls::ClientConfig;
use serde::Serialize;
use tokio::task::JoinSet;

use super::trail::{clean, root_cause, seconds};
use super::{BoxError, CaaTerms, Outcome, Task, Va};
use crate::domain::identifier::is_special_purpose;
use crate::domain::plan::Method;
use crate::domain::{Identifier, Kind, Problem};
use crate::telemetry;
use lines::{CONNECTIONS, Lines};
use quorum::Region;
use settings::{Mode, Remote, Settings};
pub use shown::for_customers;
use wire::{Answer, CaaQuestion};

/// What a question takes beyond the validation itself: the way there and back.
const MARGIN: Duration = Duration::from_secs(2);

/// A perspective that takes no connection for so long is down.
const CONNECT: Duration = Duration::from_secs(5);

/// A connection that is silent for so long is asked whether it lives, and has as long to say so.
const ALIVE: Duration = Duration::from_secs(5);

/// The perspectives, and how their answers are judged.
pub(super) struct Perspectives {
    /// How each is reached, in the order of the settings.
    lines: Vec<Arc<Lines>>,
    settings: Settings,
    patience: Duration,
}

/// A question to every perspective.
#[derive(Debug, Clone, Copy)]
pub(super) enum Question<'t> {
    /// Whether the challenge is met and CAA permits.
    Validate(&'t Task),
    /// Whether the challenge is met.
    Prove(&'t Task),
    /// Whether CAA permits.
    Caa(&'t Identifier, bool, &'t CaaTerms),
}

/// What came from one perspective.
struct Vote {
    remote: Remote,
    /// Its answer, or why there is none.
    answer: Result<Answer, String>,
}

impl Va {
    /// What the primary saw, if enough perspectives see it too. Those are asked only when it is good: a challenge that the
    /// primary sees unmet fails whatever others see, and its holder's servers are then looked at once, not N times.
    pub(super) async fn corroborated(&self, primary: Outcome, question: Question<'_>) -> Outcome {
        let Some(perspectives) = &self.perspectives else { return primary };
        if primary.result.is_err() {
            return primary;
        }
        match self.known_here_alone(question.identifier()) {
            Some(why) => primary.noting(format!("not corroborated by other perspectives: {why}")),
            None => perspectives.corroborate(primary, question).await,
        }
    }

    /// Why nobody elsewhere can see an identifier: it was not seen here either, or is of this network alone.
    fn known_here_alone(&self, identifier: &Identifier) -> Option<String> {
        match identifier {
            Identifier::Dns(name) if self.dns.is_static(name.base()) => {
                Some(format!("the configuration says where {name} is"))
            }
            Identifier::Ip(ip) if is_special_purpose(*ip) => Some(format!("{ip} is an address of this network alone")),
            Identifier::Dns(_) | Identifier::Ip(_) => None,
        }
    }
}

impl<'t> Question<'t> {
    fn identifier(self) -> &'t Identifier {
        match self {
            Self::Validate(task) | Self::Prove(task) => &task.identifier,
            Self::Caa(identifier, ..) => identifier,
        }
    }

    /// The last part of its path, which is its name in metrics too.
    fn name(self) -> &'static str {
        match self {
            Self::Validate(_) => "validate",
            Self::Prove(_) => "prove",
            Self::Caa(..) => "caa",
        }
    }

    fn method(self) -> Option<Method> {
        match self {
            Self::Validate(task) | Self::Prove(task) => Some(task.method),
            Self::Caa(..) => None,
        }
    }

    fn written(self) -> serde_json::Result<Vec<u8>> {
        fn message(content: &impl Serialize) -> serde_json::Result<Vec<u8>> {
            wire::write(content)
        }
        match self {
            Self::Validate(task) | Self::Prove(task) => message(task),
            Self::Caa(identifier, wildcard, terms) => {
                message(&CaaQuestion { identifier: identifier.clone(), wildcard, terms: terms.clone() })
            }
        }
    }
}

impl Perspectives {
    /// Those of the settings; none where nobody is to be asked. Fails when a file of theirs can't be used.
    pub fn new(validation: &super::Settings) -> Result<Option<Self>, BoxError> {
        let settings = validation.perspectives.clone();
        if settings.mode == Mode::Off {
            return Ok(None);
        }
        let tls = settings.tls()?;
        let clients = (0..CONNECTIONS).map(|_| client(tls.clone())).collect::<Result<Vec<_>, _>>()?;
        let lines = settings.remotes.iter().map(|_| Arc::new(Lines::new(&clients))).collect();
        Ok(Some(Self { lines, settings, patience: validation.timeout() + MARGIN }))
    }

    /// Asks all of them at once, waits for every answer within the time, and decides. Nothing is kept for another attempt.
    async fn corroborate(&self, primary: Outcome, question: Question<'_>) -> Outcome {
        let votes = match question.written() {
            Ok(body) => self.ask_all(question.name(), body).await,
            Err(error) => {
                let lost = |remote: &Remote| Vote { remote: remote.clone(), answer: Err(error.to_string()) };
                self.settings.remotes.iter().map(lost).collect()
            }
        };
        let name = question.identifier().to_string();
        let met = self.is_quorum(&votes, Vote::corroborates);
        let (seen, regions) = agreement(&votes);
        let (count, allowed) = (votes.len(), self.settings.allowed());
        // Baseline Requirements 5.4.1: each attempt with perspective, name and result, and the quorum as "3/4".
        let mut evidence: Vec<String> = votes.iter().flat_map(|vote| vote.evidence(&name)).collect();
        evidence.push(format!(
            "{}{seen}/{count} on {name} ({}): {} (at most {allowed} may fail, and {} regions must agree){}",
            shown::QUORUM,
            question.name(),
            if met { "met" } else { "missed" },
            quorum::REGIONS,
            if self.settings.mode == Mode::Log { "; only logged" } else { "" },
        ));
        let result = if met { "met" } else { "missed" };
        metrics::counter!(telemetry::QUORUMS, "question" => question.name(), "result" => result).increment(1);
        if !met {
            let dissent: Vec<String> = votes
                .iter()
                .filter(|vote| !vote.corroborates())
                .map(|vote| format!("{}: {}", vote.remote.name, vote.why()))
                .collect();
            tracing::warn!(
                identifier = name,
                question = question.name(),
                quorum = format!("{seen}/{count}"),
                regions = regions.join(", "),
                dissent = dissent.join("; "),
                enforced = self.settings.mode == Mode::Enforce,
                "perspectives do not see what this server sees"
            );
        }
        let evidence = [primary.evidence, evidence].concat();
        if met || self.settings.mode != Mode::Enforce {
            return Outcome { evidence, ..primary };
        }
        // It may heal if those whose failure may pass would be enough.
        let may_heal = self.is_quorum(&votes, |vote| vote.corroborates() || vote.may_heal());
        let result = Err(told(&votes, seen, question));
        Outcome { result, may_heal, hints: Vec::new(), evidence, resolver_failed: false }
    }

    async fn ask_all(&self, question: &'static str, body: Vec<u8>) -> Vec<Vote> {
        let mut asked = JoinSet::new();
        for (place, (remote, lines)) in self.settings.remotes.iter().zip(&self.lines).enumerate() {
            let (remote, lines, body, patience) = (remote.clone(), lines.clone(), body.clone(), self.patience);
            asked.spawn(async move { (place, ask(&lines, remote, question, body, patience).await) });
        }
        let missing = |remote: &Remote| Vote { remote: remote.clone(), answer: Err("it was not asked".to_owned()) };
        let mut votes: Vec<Vote> = self.settings.remotes.iter().map(missing).collect();
        while let Some(ended) = asked.join_next().await {
            if let Ok((place, vote)) = ended {
                votes[place] = vote;
            }
        }
        votes
    }

    fn is_quorum(&self, votes: &[Vote], counts: impl Fn(&Vote) -> bool) -> bool {
        quorum::is_met(votes.iter().map(|vote| (vote.remote.region, counts(vote))), self.settings.allowed())
    }
}

impl Vote {
    fn corroborates(&self) -> bool {
        self.answer.as_ref().is_ok_and(|answer| answer.problem.is_none())
    }

    fn problem(&self) -> Option<&Problem> {
        self.answer.as_ref().ok()?.problem.as_ref()
    }

    /// Whether it may corroborate soon; one that did not answer may.
    fn may_heal(&self) -> bool {
        self.answer.as_ref().map_or(true, |answer| answer.may_heal)
    }

    fn why(&self) -> String {
        match &self.answer {
            Ok(answer) => answer
                .problem
                .as_ref()
                .map_or_else(|| "corroborates".to_owned(), |problem| format!("does not corroborate: {problem}")),
            Err(why) => format!("no answer: {why}"),
        }
    }

    /// What is logged of it: the result, and its own evidence behind its name.
    fn evidence(&self, name: &str) -> Vec<String> {
        let Remote { name: perspective, region, .. } = &self.remote;
        let verdict = format!("{}{perspective} ({region}) on {name}: {}", shown::PERSPECTIVE, self.why());
        let seen = self.answer.iter().flat_map(|answer| &answer.evidence);
        [verdict].into_iter().chain(seen.map(|line| format!("{perspective}: {line}"))).collect()
    }
}

impl Outcome {
    fn noting(mut self, line: String) -> Self {
        self.evidence.push(line);
        self
    }
}

/// How many corroborate, and in which regions.
fn agreement(votes: &[Vote]) -> (usize, Vec<&'static str>) {
    let seeing = || votes.iter().filter(|vote| vote.corroborates());
    let regions: BTreeSet<Region> = seeing().map(|vote| vote.remote.region).collect();
    (seeing().count(), regions.into_iter().map(Region::as_str).collect())
}

/// What the client is told: the problem of a perspective that did not see it, those first that can't heal, and from which
/// regions it was not seen. Which perspectives there are, and how they are reached, is in the log alone.
fn told(votes: &[Vote], seen: usize, question: Question<'_>) -> Problem {
    let refuting = || votes.iter().filter(|vote| vote.problem().is_some());
    let first = refuting().find(|vote| !vote.may_heal()).or_else(|| refuting().next());
    let counted = format!(
        "{seen} of {} remote perspectives saw what this server saw, which is too few (Baseline Requirements 3.2.2.9)",
        votes.len()
    );
    let Some(problem) = first.and_then(Vote::problem) else {
        // Nobody saw anything wrong: it is this CA that can't look.
        let detail = format!("During secondary validation: {counted}; the others did not answer. Try again later.");
        return Problem::new(Kind::ServerInternal, detail);
    };
    let regions: BTreeSet<Region> = refuting().map(|vote| vote.remote.region).collect();
    let regions: Vec<&str> = regions.into_iter().map(Region::as_str).collect();
    let way_out = match question.method() {
        Some(Method::Http01) => "push the file to the CDN nodes there, pause the CDN, or use DNS validation (DIAG-05)",
        Some(Method::TlsAlpn01) => "let all servers of the name answer alike",
        Some(Method::Dns01) | None => "let all DNS servers of the zone answer alike",
    };
    let detail = format!(
        "During secondary validation: {} {counted}. Where it was not seen ({}): {way_out}.",
        problem.detail,
        regions.join(", ")
    );
    Problem::new(problem.kind, detail)
}

/// A client of one connection to each perspective, which its questions share.
fn client(tls: ClientConfig) -> reqwest::Result<Client> {
    Client::builder()
        .tls_backend_preconfigured(tls)
        .http2_prior_knowledge()
        .http2_keep_alive_interval(ALIVE)
        .http2_keep_alive_timeout(ALIVE)
        .connect_timeout(CONNECT)
        .redirect(redirect::Policy::none())
        .no_proxy()
        .user_agent("chancery")
        .build()
}

async fn ask(lines: &Lines, remote: Remote, question: &'static str, body: Vec<u8>, patience: Duration) -> Vote {
    let stopwatch = telemetry::Stopwatch::start();
    let answer = match tokio::time::timeout(patience, put(lines, &remote, question, body)).await {
        Ok(answer) => answer,
        Err(_) => Err(format!("nothing within {}", seconds(patience))),
    };
    let vote = Vote { remote, answer };
    let result = match &vote.answer {
        Ok(answer) if answer.problem.is_none() => "corroborates",
        Ok(_) => "differs",
        Err(_) => "none",
    };
    let name = vote.remote.name.clone();
    metrics::counter!(telemetry::PERSPECTIVE_ANSWERS, "perspective" => name.clone(), "question" => question, "result" => result)
        .increment(1);
    metrics::histogram!(telemetry::PERSPECTIVE_SECONDS, "perspective" => name).record(stopwatch.seconds());
    vote
}

/// Puts the question; the error says why there is no answer to it.
async fn put(lines: &Lines, remote: &Remote, question: &str, body: Vec<u8>) -> Result<Answer, String> {
    let (client, _place) = lines.take().await.ok_or("there is no way to it")?;
    let url = format!("{}/v1/{question}", remote.url);
    let sent = client.post(url).header(CONTENT_TYPE, "application/json").body(body).send().await;
    let mut response = sent.map_err(|error| root_cause(&error))?;
    let text = whole(&mut response).await?;
    match response.status() {
        StatusCode::OK => {}
        // A busy one among them.
        status => return Err(format!("it answered {status}: {}", clean(&text))),
    }
    let answer = wire::read::<Answer>(&text)?.judged()?;
    // Two URLs that lead to one perspective would give it two votes.
    if answer.perspective != remote.name || answer.region != remote.region {
        let (name, region) = (clean(answer.perspective.as_bytes()), answer.region);
        return Err(format!("it calls itself {name} in {region}, which is not what the configuration says"));
    }
    Ok(answer)
}

/// The body of an answer, as far as it may go.
async fn whole(response: &mut Response) -> Result<Vec<u8>, String> {
    let mut text = Vec::new();
    while let Some(piece) = response.chunk().await.map_err(|error| root_cause(&error))? {
        if text.len() + piece.len() > wire::MAX_ANSWER {
            return Err(format!("its answer has more than {} octets", wire::MAX_ANSWER));
        }
        text.extend_from_slice(&piece);
    }
    Ok(text)
}
