//! Looking at the world: a `Task` in, an `Outcome` out. Knows nothing of orders, accounts, store or catalogue.

mod caa;
mod diagnosis;
mod dns;
mod dns01;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod http01;
mod https;
pub mod perspectives;
mod reach;
mod tlsalpn01;
mod trail;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::domain::plan::{CaaMode, Method};
use crate::domain::{Identifier, Kind, Problem, Timestamp};
pub use diagnosis::{Diagnosis, Found};
use perspectives::{Perspectives, Question};
use trail::{Fault, Trail};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// `[validation]` of the configuration.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// DNS servers to ask; empty: the system's.
    pub resolvers: Vec<SocketAddr>,
    /// Port that http-01 dials.
    pub http_port: u16,
    /// Port that tls-alpn-01 and the look over HTTPS dial.
    pub tls_port: u16,
    /// What the look over HTTPS that goes with http-01 is good for (VAL-22, VAL-23).
    pub https_probe: HttpsProbe,
    /// Whether private, loopback and link-local addresses may be dialled.
    pub allow_private_addresses: bool,
    /// Whether http-01 follows redirects (at most 10, each hop checked anew).
    pub follow_redirects: bool,
    /// Whether DNS answers must pass DNSSEC validation; a bogus answer fails the lookup.
    pub dnssec: bool,
    /// File of DNSKEY records that DNSSEC validation begins at; none: the keys of the DNS root.
    pub trust_anchor: Option<PathBuf>,
    /// Whether questions are asked in random upper and lower case, which makes forging answers harder (0x20). Some
    /// servers don't repeat the case, and are then asked over TCP.
    pub randomize_case: bool,
    /// Names at or below these suffixes are answered with the given address and never looked up; for trying things out.
    pub static_names: std::collections::BTreeMap<String, IpAddr>,
    /// The addresses that validations come from, for the advice after a failed connection (VAL-26, DIAG-06).
    pub source_addresses: Vec<IpAddr>,
    /// Most milliseconds that one DNS question may take, retries included.
    pub dns_timeout_ms: u64,
    /// Most milliseconds that one validation may take as a whole (VAL-29).
    pub timeout_ms: u64,
    /// Who must see the same from elsewhere.
    pub perspectives: perspectives::settings::Settings,
}

/// What is made of a host that answers HTTPS, but not with the same file under a certificate that browsers take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HttpsProbe {
    /// Nobody looks.
    Off,
    /// It is a hint beside a validation that succeeds: a first certificate has no valid HTTPS yet.
    #[default]
    Warn,
    /// The validation fails, as the products document it.
    Enforce,
}

/// A question to the world.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Task {
    /// The name without `*.`, or the address.
    pub identifier: Identifier,
    /// Whether it is about the wildcard below the name.
    pub wildcard: bool,
    /// How to look.
    pub method: Method,
    /// The challenge's token.
    pub token: String,
    /// Token, dot, thumbprint of the account's key (RFC 8555 section 8.1).
    pub key_authorization: String,
    /// Whose CAA permission is needed.
    pub caa: CaaTerms,
    /// The moment, for the dates of certificates.
    pub now: Timestamp,
}

/// What CAA must permit (RFC 8659, RFC 8657).
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CaaTerms {
    /// The issuer domain names that the product's brand answers to, lower case; none: any restricting record refuses.
    pub identities: Vec<String>,
    /// The account's URL, for the parameter `accounturi`.
    pub account_uri: String,
    /// The method used, for the parameter `validationmethods`.
    pub method: Method,
    /// How the records are judged.
    pub mode: CaaMode,
}

/// What was seen.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// Whether the challenge is met and CAA permits issuance; else the problem that the client is told.
    pub result: Result<(), Problem>,
    /// Whether the same question may have another answer soon (time-outs, connection and DNS failures, wrong answers);
    /// not so for a CAA refusal or a forbidden address.
    pub may_heal: bool,
    /// Sentences on what should be put right although the challenge is met; they are in the evidence too.
    pub hints: Vec<String>,
    /// One line for each thing that was looked up, where, and what came back: for the audit log.
    pub evidence: Vec<String>,
    /// Whether the DNS failed here while the resolvers of this server answered nothing at all, which says nothing of the
    /// name. While they answer anything, a name whose questions fail does so by the fault of its own servers.
    pub resolver_failed: bool,
}

/// The validator.
pub struct Va {
    dns: dns::Dns,
    /// Each of several resolvers by itself: diagnoses compare what they see.
    places: Vec<(SocketAddr, dns::Dns)>,
    http: http01::Http,
    https: https::Https,
    https_probe: HttpsProbe,
    tls: tlsalpn01::Tls,
    timeout: Duration,
    /// Who must see the same from elsewhere; none: nobody is asked.
    perspectives: Option<Perspectives>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            resolvers: Vec::new(),
            http_port: 80,
            tls_port: 443,
            https_probe: HttpsProbe::Warn,
            allow_private_addresses: false,
            follow_redirects: false,
            dnssec: false,
            trust_anchor: None,
            randomize_case: false,
            static_names: std::collections::BTreeMap::new(),
            source_addresses: Vec::new(),
            dns_timeout_ms: 5_000,
            timeout_ms: 30_000,
            perspectives: perspectives::settings::Settings::default(),
        }
    }
}

impl Settings {
    /// `timeout_ms` as a duration.
    pub fn timeout(&self) -> Duration {
        Duration::from_millis(self.timeout_ms)
    }
    /// How long one address may take to accept a connection, so that a second one has its chance too.
    fn connect_timeout(&self) -> Duration {
        self.timeout() / 3
    }
}

impl Va {
    /// A validator; fails when there is no resolver to ask, or the DNSSEC trust anchor or a file for the perspectives can't
    /// be read.
    pub fn new(settings: Settings) -> Result<Self, BoxError> {
        Ok(Self {
            dns: dns::Dns::new(&settings)?,
            places: places(&settings)?,
            http: http01::Http::new(&settings)?,
            https: https::Https::new(&settings)?,
            https_probe: settings.https_probe,
            tls: tlsalpn01::Tls::new(&settings)?,
            timeout: settings.timeout(),
            perspectives: Perspectives::new(&settings)?,
        })
    }

    /// The same validator, to which certificates below these trust anchors (PEM) are as good as those that browsers
    /// take; fails when one can't be read.
    pub fn trusting(mut self, roots: &str) -> Result<Self, BoxError> {
        self.https.trust(roots)?;
        Ok(self)
    }

    /// Looks whether the challenge is met and, for DNS names, whether CAA permits issuance; and has it corroborated.
    pub async fn validate(&self, task: &Task) -> Outcome {
        self.corroborated(self.validate_here(task).await, Question::Validate(task)).await
    }

    async fn validate_here(&self, task: &Task) -> Outcome {
        let (seen, beside, allowed) = (Trail::default(), Trail::default(), Trail::default());
        let answered = self.dns.answered();
        // CAA-04, VAL-40, CAA-08: with every method, and never left out.
        let (method, caa) = tokio::join!(
            self.in_time(self.look(task, &seen, &beside), &seen),
            self.in_time(self.caa(&task.identifier, task.wildcard, &task.caa, &allowed), &allowed),
        );
        let (method, hints) = match method {
            Ok(hints) => (Ok(()), hints),
            Err(fault) => (Err(fault), Vec::new()),
        };
        let result = match (method, caa) {
            // What can't heal is told first: the client would wait for the other in vain.
            (Err(passing), Err(lasting)) if passing.may_heal && !lasting.may_heal => Err(lasting),
            (Err(fault), _) | (Ok(()), Err(fault)) => Err(fault),
            (Ok(()), Ok(())) => Ok(()),
        };
        let told = hints.iter().map(|hint| format!("hint: {hint}")).collect();
        let evidence = [seen.into_evidence(), beside.into_evidence(), allowed.into_evidence(), told].concat();
        Outcome { hints, ..self.outcome(result, evidence, answered).await }
    }

    /// Looks whether the challenge is met, whatever CAA says: who wants a certificate revoked asks for none.
    pub async fn prove(&self, task: &Task) -> Outcome {
        let (seen, beside, answered) = (Trail::default(), Trail::default(), self.dns.answered());
        let result = self.in_time(self.look(task, &seen, &beside), &seen).await;
        let evidence = [seen.into_evidence(), beside.into_evidence()].concat();
        let outcome = self.outcome(result.map(|_| ()), evidence, answered).await;
        // Whoever misleads this server alone must not have others' certificates revoked either.
        self.corroborated(outcome, Question::Prove(task)).await
    }

    /// Looks whether CAA permits issuance for a name. Addresses have no CAA (RFC 8738 section 8).
    pub async fn check_caa(&self, identifier: &Identifier, wildcard: bool, terms: &CaaTerms) -> Outcome {
        let (trail, answered) = (Trail::default(), self.dns.answered());
        let result = self.in_time(self.caa(identifier, wildcard, terms, &trail), &trail).await;
        let outcome = self.outcome(result, trail.into_evidence(), answered).await;
        match identifier {
            Identifier::Dns(_) => self.corroborated(outcome, Question::Caa(identifier, wildcard, terms)).await,
            // There is nothing to see.
            Identifier::Ip(_) => outcome,
        }
    }

    /// Looks whether the challenge is met, and gives the hints that came with it. `beside` collects what was seen
    /// while looking for those.
    async fn look(&self, task: &Task, trail: &Trail, beside: &Trail) -> Result<Vec<String>, Fault> {
        if (task.wildcard || task.identifier.is_wildcard()) && task.method != Method::Dns01 {
            // VAL-08, Baseline Requirements 3.2.2.4: only the DNS proves control of everything below a name.
            let detail = format!(
                "{} can't prove control of the wildcard of {}; wildcard names need dns-01 (VAL-08).",
                task.method,
                task.identifier.base()
            );
            return Err(Fault::lasting(Kind::Malformed, detail));
        }
        match task.method {
            Method::Http01 => self.look_for_file(task, trail, beside).await,
            Method::Dns01 => dns01::look(&self.dns, task, trail).await.map(|()| Vec::new()),
            Method::TlsAlpn01 => self.tls.look(&self.dns, task, trail).await.map(|()| Vec::new()),
        }
    }

    /// http-01, and at the same time the look over HTTPS (VAL-22, VAL-23). HTTP decides; where it does not show the
    /// file, nobody waits for HTTPS.
    async fn look_for_file(&self, task: &Task, trail: &Trail, beside: &Trail) -> Result<Vec<String>, Fault> {
        let place = self.http.locate(&self.dns, task, trail).await?;
        let https = async {
            Ok(match self.https_probe {
                HttpsProbe::Off => Vec::new(),
                HttpsProbe::Warn | HttpsProbe::Enforce => self.https.look(&place, task, beside).await,
            })
        };
        let (redirects, deviations) = tokio::try_join!(self.http.look(&self.dns, task, &place, trail), https)?;
        // Whoever has redirects followed has the file elsewhere, over HTTPS for the most part.
        if redirects > 0 {
            return Ok(Vec::new());
        }
        match (self.https_probe, deviations.first()) {
            (HttpsProbe::Enforce, Some(first)) => Err(first.clone()),
            _ => Ok(deviations.into_iter().map(|fault| fault.problem.detail).collect()),
        }
    }

    async fn caa(&self, identifier: &Identifier, wildcard: bool, terms: &CaaTerms, trail: &Trail) -> Result<(), Fault> {
        match identifier {
            Identifier::Dns(name) => {
                let wildcard = wildcard || name.is_wildcard();
                caa::look(&self.dns, name.base(), wildcard, terms, trail).await
            }
            Identifier::Ip(_) => Ok(()),
        }
    }

    /// What a look came to that began when so many questions were answered.
    async fn outcome(&self, result: Result<(), Fault>, mut evidence: Vec<String>, answered: u64) -> Outcome {
        let may_heal = matches!(&result, Err(fault) if fault.may_heal);
        // What is refused for good was refused by what this server knows, or by an answer.
        let of_dns = may_heal && matches!(&result, Err(fault) if fault.problem.kind == Kind::Dns);
        let resolver_failed = of_dns && !self.dns.works_since(answered).await;
        if resolver_failed {
            evidence.push("no resolver of this server answers anything, the root's name servers included".to_owned());
        }
        let result = result.map_err(|fault| fault.problem);
        Outcome { result, may_heal, hints: Vec::new(), evidence, resolver_failed }
    }

    async fn in_time<T>(&self, look: impl Future<Output = Result<T, Fault>>, trail: &Trail) -> Result<T, Fault> {
        match tokio::time::timeout(self.timeout, look).await {
            Ok(result) => result,
            Err(_) => Err(trail.out_of_time(self.timeout)),
        }
    }
}

/// None where there are not several to compare.
fn places(settings: &Settings) -> Result<Vec<(SocketAddr, dns::Dns)>, BoxError> {
    let several = settings.resolvers.iter().filter(|_| settings.resolvers.len() > 1);
    let alone = |resolver: &SocketAddr| {
        let settings = Settings { resolvers: vec![*resolver], ..settings.clone() };
        Ok((*resolver, dns::Dns::new(&settings)?))
    };
    several.map(alone).collect()
}
