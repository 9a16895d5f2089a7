//! Looking at a name for its holder: what every way to prove it would find now, CAA, and who can be reached. Settles
//! nothing.

use std::net::SocketAddr;
use std::time::Duration;

use super::dns01;
use super::trail::{Fault, Trail};
use super::{Task, Va};
use crate::domain::plan::Method;
use crate::domain::{Identifier, Kind, Problem};

/// VAL-29, DIAG-13: no look takes longer, however long validations may take.
const LONGEST: Duration = Duration::from_secs(30);

/// What was seen of one name.
#[derive(Debug, Clone, Default)]
pub struct Diagnosis {
    /// The methods whose challenge is met.
    pub met: Vec<Method>,
    /// What is wrong, or should be put right.
    pub found: Vec<Found>,
    /// One line for each thing that was looked up, where, and what came back.
    pub evidence: Vec<String>,
}

/// One thing that is wrong.
#[derive(Debug, Clone)]
pub struct Found {
    /// The method that it was found by; none: by a look that goes with all of them.
    pub method: Option<Method>,
    /// What.
    pub problem: Problem,
}

/// A look, with what it leaves behind.
struct Seen {
    method: Option<Method>,
    result: Result<Vec<Problem>, Fault>,
    evidence: Vec<String>,
}

impl Va {
    /// Looks at a name by those of the methods that are offered for it; `task.method` is of no account.
    pub async fn diagnose(&self, task: &Task, offered: &[Method]) -> Diagnosis {
        let by = |method: Method| self.try_out(task, method, offered.contains(&method));
        let (file, record, tls, reach, caa) = tokio::join!(
            by(Method::Http01),
            by(Method::Dns01),
            by(Method::TlsAlpn01),
            self.reach(task, offered.contains(&Method::Http01)),
            self.permission(task),
        );
        [file, record, tls, reach, Some(caa)].into_iter().flatten().fold(Diagnosis::default(), Diagnosis::with)
    }

    /// Looks at what a name says to everybody ahead of an order: CAA, and where it leads.
    pub async fn diagnose_ahead(&self, task: &Task) -> Diagnosis {
        let (reach, caa) = tokio::join!(self.reach(task, true), self.permission(task));
        reach.into_iter().chain([caa]).fold(Diagnosis::default(), Diagnosis::with)
    }

    /// What the challenge of that method finds now.
    async fn try_out(&self, task: &Task, method: Method, offered: bool) -> Option<Seen> {
        if !offered {
            return None;
        }
        let (trail, beside) = (Trail::default(), Trail::default());
        let task = Task { method, ..task.clone() };
        let look = async {
            match method {
                Method::Dns01 if !self.places.is_empty() => self.record_everywhere(&task, &trail).await,
                _ => self.look(&task, &trail, &beside).await,
            }
        };
        let result = self.within(look, &trail).await;
        let hints = |hints: Vec<String>| hints.into_iter().map(|hint| Problem::new(Kind::Tls, hint)).collect();
        let evidence = [trail.into_evidence(), beside.into_evidence()].concat();
        Some(Seen { method: Some(method), result: result.map(hints), evidence })
    }

    /// DIAG-05: whether each of the name's addresses takes a connection; that none does is found by the look for the file.
    async fn reach(&self, task: &Task, wanted: bool) -> Option<Seen> {
        if !wanted || task.wildcard {
            return None;
        }
        let trail = Trail::default();
        let look = self.http.deaf(&self.dns, &task.identifier, &trail);
        let result = self.within(look, &trail).await.map(|(deaf, all)| match deaf.len() {
            0 => Vec::new(),
            some if some == all => Vec::new(),
            some => {
                let shown: Vec<String> = deaf.iter().map(ToString::to_string).collect();
                let told = format!(
                    "{} is not reachable at {}, {some} of its {all} addresses. Push the file to the CDN nodes there, pause \
                     the CDN, or use DNS validation (DIAG-05).",
                    task.identifier,
                    shown.join(", ")
                );
                vec![Problem::new(Kind::Connection, told)]
            }
        });
        // A name without addresses is told by the look for the file.
        let result = result.or_else(|fault| if task.token.is_empty() { Err(fault) } else { Ok(Vec::new()) });
        Some(Seen { method: None, result, evidence: trail.into_evidence() })
    }

    /// DIAG-11: whether every one of several resolvers sees the record.
    async fn record_everywhere(&self, task: &Task, trail: &Trail) -> Result<Vec<String>, Fault> {
        let mut missed = Vec::new();
        for (place, dns) in &self.places {
            trail.note(format!("asking the resolver {place}"));
            if let Err(fault) = dns01::look(dns, task, trail).await {
                missed.push((*place, fault));
            }
        }
        let told = |seen: usize, all: usize, missed: &str| {
            format!(
                "The record at _acme-challenge.{} is seen from {seen} of {all} places, not from {missed}. Check DNS servers \
                 abroad and query limits of your own servers (DIAG-11).",
                task.identifier
            )
        };
        self.compared(missed, told)
    }

    /// DIAG-15: whether every one of several resolvers can read CAA.
    async fn permission_everywhere(&self, task: &Task, trail: &Trail) -> Result<Vec<String>, Fault> {
        let Identifier::Dns(name) = &task.identifier else { return Ok(Vec::new()) };
        let mut missed = Vec::new();
        for (place, dns) in &self.places {
            trail.note(format!("asking the resolver {place}"));
            match super::caa::look(dns, name.base(), task.wildcard, &task.caa, trail).await {
                // What was read and refuses is the answer, wherever it was read.
                Err(fault) if fault.problem.kind == Kind::Caa => return Err(fault),
                Err(fault) => missed.push((*place, fault)),
                Ok(()) => {}
            }
        }
        let told = |seen: usize, all: usize, missed: &str| {
            let failed = all - seen;
            format!(
                "CAA of {name} could not be read from {failed} of {all} places ({missed}); check the zone (DIAG-15)."
            )
        };
        self.compared(missed, told)
    }

    /// What comes of a look from several places: what all missed is told as one of them does.
    fn compared(
        &self,
        mut missed: Vec<(SocketAddr, Fault)>,
        told: impl Fn(usize, usize, &str) -> String,
    ) -> Result<Vec<String>, Fault> {
        let all = self.places.len();
        if missed.len() == all {
            return missed.pop().map_or(Ok(Vec::new()), |(_, fault)| Err(fault));
        }
        let places: Vec<String> = missed.iter().map(|(place, _)| place.to_string()).collect();
        match places.is_empty() {
            true => Ok(Vec::new()),
            false => Err(Fault::passing(Kind::Dns, told(all - missed.len(), all, &places.join(", ")))),
        }
    }

    async fn permission(&self, task: &Task) -> Seen {
        let trail = Trail::default();
        let look = async {
            match self.places.is_empty() {
                true => self.caa(&task.identifier, task.wildcard, &task.caa, &trail).await.map(|()| Vec::new()),
                false => self.permission_everywhere(task, &trail).await,
            }
        };
        let result = self.within(look, &trail).await.map(|_| Vec::new());
        let evidence = match task.identifier {
            Identifier::Dns(_) => trail.into_evidence(),
            Identifier::Ip(_) => vec![format!("CAA {}: addresses have none (RFC 8738)", task.identifier)],
        };
        Seen { method: None, result, evidence }
    }

    async fn within<T>(&self, look: impl Future<Output = Result<T, Fault>>, trail: &Trail) -> Result<T, Fault> {
        let limit = self.timeout.min(LONGEST);
        tokio::time::timeout(limit, look).await.unwrap_or_else(|_| Err(trail.out_of_time(limit)))
    }
}

impl Diagnosis {
    fn with(mut self, seen: Seen) -> Self {
        let Seen { method, result, evidence } = seen;
        let (problems, met) = match result {
            Ok(hints) => (hints, method),
            Err(fault) => (vec![fault.problem], None),
        };
        self.met.extend(met);
        self.found.extend(problems.into_iter().map(|problem| Found { method, problem }));
        self.evidence.extend(evidence);
        self
    }
}
