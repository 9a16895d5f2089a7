//! Looking at a name for its holder: what every way to prove it would find now, CAA, and who can be reached. Settles
//! nothing.

use std::time::Duration;

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
        let result = self.within(self.look(&task, &trail, &beside), &trail).await;
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

    async fn permission(&self, task: &Task) -> Seen {
        let trail = Trail::default();
        let look = self.caa(&task.identifier, task.wildcard, &task.caa, &trail);
        let result = self.within(look, &trail).await.map(|()| Vec::new());
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
