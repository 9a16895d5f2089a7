//! Diagnoses: why a name can't be proven or certified, in the documents' words. They look at the outside world on request,
//! as jobs do else, but change nothing and commit nothing.

use std::sync::Arc;

use tokio::task::JoinSet;

use super::{OrderView, Ra};
use crate::domain::account::Holder;
use crate::domain::authz::{Authorization, AuthzState, AuthzStatus};
use crate::domain::order::{OrderStatus, Phase};
use crate::domain::plan::Method;
use crate::domain::{AccountId, CustomerId, Error, Identifier, Kind, OrderId, Problem, Result};
use crate::policy::catalog::{Catalog, Class, Product};
use crate::policy::{admission, domains, help, quota};
use crate::va::{CaaTerms, Diagnosis, Task};

/// What is wrong, and what to do about it.
#[derive(Debug, Clone)]
pub struct Finding {
    /// The text that explains it, as in `DIAG-02`.
    pub rule: &'static str,
    /// The name that it is about; none: the whole order.
    pub name: Option<String>,
    /// The method that it was found by.
    pub method: Option<Method>,
    /// What was found.
    pub text: String,
    /// What to do.
    pub remedy: &'static str,
}

/// What a diagnosis saw of a name.
#[derive(Debug, Clone)]
pub struct NameSeen {
    /// The name, as ordered.
    pub name: String,
    /// The methods whose proof is in place now.
    pub met: Vec<Method>,
    /// One line for each thing that was looked up, where, and what came back.
    pub evidence: Vec<String>,
}

/// What a diagnosis came to.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// What is wrong.
    pub findings: Vec<Finding>,
    /// What was seen.
    pub names: Vec<NameSeen>,
}

/// One name to look at.
struct Look {
    name: String,
    task: Task,
    /// The methods to try; none: what can be said ahead of an order.
    methods: Option<Vec<Method>>,
}

impl Ra {
    /// Looks why an order does not get on. All names are looked at at once, so that it ends within 30 s (DIAG-13). So many
    /// an hour for each caller.
    pub async fn diagnose_order(self: &Arc<Self>, id: &OrderId, caller: &str) -> Result<Report> {
        let view = self.order_view(id).await?;
        self.admit_diagnosis(caller)?;
        let (account, _) = self.closed(&view.order.account).await?;
        let catalog = self.catalog();
        let mut report = Report { findings: self.standing_findings(&catalog, &view), names: Vec::new() };
        let thumbprint = account.key.thumbprint();
        let open = matches!(view.status(), OrderStatus::Pending | OrderStatus::Ready | OrderStatus::Invalid);
        let unproven = view.authzs.iter().filter(|authz| open && authz.status(view.now) != AuthzStatus::Valid);
        let looks = unproven.map(|authz| self.look_of(authz, thumbprint)).collect();
        self.look(looks, &mut report).await;
        Ok(report)
    }

    /// Looks whether a name could be certified by a product, ahead of any order.
    pub async fn diagnose_name(
        self: &Arc<Self>,
        name: &str,
        product: Option<&str>,
        customer: Option<&CustomerId>,
        caller: &str,
    ) -> Result<Report> {
        self.admit_diagnosis(caller)?;
        let catalog = self.catalog();
        let product = self.product_of(&catalog, product.unwrap_or(&self.settings.default_product))?;
        let identifier = match parse(name) {
            Ok(identifier) => identifier,
            // DIAG-18: of a name that is none, there is nothing to look at.
            Err(error) => return Ok(Report { findings: vec![unreadable(name, error)], names: Vec::new() }),
        };
        let findings = self.objections(&catalog, &product, &identifier, customer).await?;
        let mut report = Report { findings, ..Report::default() };
        let look = Look { name: identifier.to_string(), task: self.task_ahead(&identifier, &product), methods: None };
        self.look(vec![look], &mut report).await;
        Ok(report)
    }

    /// What is known of an order without looking at the world.
    fn standing_findings(&self, catalog: &Catalog, view: &OrderView) -> Vec<Finding> {
        let mut findings = Vec::new();
        for authz in &view.authzs {
            let told = match &authz.state {
                _ if matches!(view.order.phase, Phase::Issued { .. } | Phase::Issuing { .. }) => None,
                AuthzState::Pending { .. } if authz.status(view.now) == AuthzStatus::Invalid => {
                    Some(authz.lapse().detail)
                }
                // DIAG-13: what the last look came to, and when the next is.
                AuthzState::Pending { attempt: Some(attempt) } => {
                    attempt.failures.last().map(|problem| problem.detail.clone())
                }
                _ => None,
            };
            findings.extend(told.map(|text| finding(Some(authz.ordered_name()), None, text, Kind::Unauthorized)));
        }
        let about = |id: &'static str| help::topic(id).into_iter().map(general);
        let waits = matches!(view.status(), OrderStatus::Pending | OrderStatus::Ready);
        let free = catalog.product(&view.order.product).is_some_and(|product| product.class == Class::DvFree);
        match view.order.phase {
            Phase::Issuing { .. } | Phase::Review { .. } => findings.extend(about("DIAG-26")),
            Phase::Issued { .. } => findings.extend(about("DIAG-28")),
            // ISSUE-03
            Phase::Open if waits && free && view.now.since(view.order.created) >= crate::policy::status::USUAL_FREE => {
                findings.extend(about("DIAG-25"));
            }
            Phase::Open | Phase::Failed { .. } => {}
        }
        findings
    }

    /// What a product, and the quota of a free one, have against a name.
    async fn objections(
        &self,
        catalog: &Catalog,
        product: &Product,
        identifier: &Identifier,
        customer: Option<&CustomerId>,
    ) -> Result<Vec<Finding>> {
        let holder = customer.map_or_else(|| Holder::Account(AccountId::random()), |id| Holder::Customer(id.clone()));
        let cleared = self.cleared(&holder, catalog, std::slice::from_ref(identifier)).await?;
        let told = |text| finding(Some(identifier.to_string()), None, text, Kind::RejectedIdentifier);
        let against = admission::objections(catalog, product, identifier, &cleared);
        let mut findings: Vec<Finding> = against.into_iter().map(told).collect();
        if let (Class::DvFree, Some(_), Identifier::Dns(name)) = (product.class, catalog.quota(), identifier)
            && let Some(domain) = domains::primary(name.base())
        {
            let (mine, domain) = (self.quota_of(&holder).await?.usage, self.domain_quota(domain).await?.usage);
            let refused = quota::deduct(&mine, &domain, self.now()).err();
            findings.extend(refused.map(|error| told(error.into_problem().detail)));
        }
        Ok(findings)
    }

    fn look_of(&self, authz: &Authorization, thumbprint: &str) -> Look {
        let (chosen, proof) = match &authz.state {
            AuthzState::Pending { attempt: Some(attempt) } => {
                (Some(attempt.method), Some(attempt.key_authorization.clone()))
            }
            AuthzState::Invalid { method, .. } => (Some(*method), None),
            _ => (None, None),
        };
        let methods = chosen.map_or_else(|| authz.methods.clone(), |method| vec![method]);
        let method = methods.first().copied().unwrap_or(Method::Dns01);
        let task = Task {
            identifier: authz.identifier.clone(),
            wildcard: authz.wildcard,
            method,
            token: authz.token.clone(),
            key_authorization: proof.unwrap_or_else(|| format!("{}.{thumbprint}", authz.token)),
            caa: self.caa_terms(authz, &authz.caa_identities, authz.caa_mode, method),
            now: self.now(),
        };
        Look { name: authz.ordered_name(), task, methods: Some(methods) }
    }

    fn task_ahead(&self, identifier: &Identifier, product: &Product) -> Task {
        let method = product.methods.first().copied().unwrap_or(Method::Dns01);
        // Which account will order, and how it will be proven, is not known yet.
        let caa = CaaTerms {
            identities: product.caa_identities.clone(),
            account_uri: String::new(),
            method,
            mode: product.caa_mode,
        };
        let (token, key_authorization) = (String::new(), String::new());
        let (wildcard, identifier) = (identifier.is_wildcard(), identifier.base());
        Task { identifier, wildcard, method, token, key_authorization, caa, now: self.now() }
    }

    /// Looks at all of the names at once.
    async fn look(self: &Arc<Self>, looks: Vec<Look>, report: &mut Report) {
        let mut seen: Vec<Option<(String, Diagnosis)>> = looks.iter().map(|_| None).collect();
        let mut under_way = JoinSet::new();
        for (nth, Look { name, task, methods }) in looks.into_iter().enumerate() {
            let ra = self.clone();
            under_way.spawn(async move {
                let diagnosis = match methods {
                    Some(methods) => ra.va.diagnose(&task, &methods).await,
                    None => ra.va.diagnose_ahead(&task).await,
                };
                (nth, name, diagnosis)
            });
        }
        while let Some(ended) = under_way.join_next().await {
            let Ok((nth, name, diagnosis)) = ended else { continue };
            seen[nth] = Some((name, diagnosis));
        }
        for (name, diagnosis) in seen.into_iter().flatten() {
            report.take(name, diagnosis);
        }
    }
}

impl Report {
    fn take(&mut self, name: String, diagnosis: Diagnosis) {
        let Diagnosis { met, found, evidence } = diagnosis;
        // Where one proof is in place, nobody misses the others.
        let counts = |method: Option<Method>| method.is_none_or(|method| met.is_empty() || met.contains(&method));
        for crate::va::Found { method, problem } in found.into_iter().filter(|found| counts(found.method)) {
            let Problem { kind, detail, .. } = problem;
            let found = finding(Some(name.clone()), method, detail, kind);
            if !self.findings.iter().any(|known| known.name == found.name && known.text == found.text) {
                self.findings.push(found);
            }
        }
        self.names.push(NameSeen { name, met, evidence });
    }
}

fn parse(name: &str) -> Result<Identifier> {
    let kind = if name.parse::<std::net::IpAddr>().is_ok() { "ip" } else { "dns" };
    Identifier::parse(kind, name)
}

fn unreadable(name: &str, error: Error) -> Finding {
    let shown: String = name.chars().take(80).collect();
    let problem = error.into_problem();
    let text = format!("{} (DIAG-18)", problem.detail);
    finding(Some(shown), None, text, Kind::RejectedIdentifier)
}

/// A finding under the rule that its sentence cites; one that cites none stands under the rule for its kind.
fn finding(name: Option<String>, method: Option<Method>, text: String, kind: Kind) -> Finding {
    let by_kind = || {
        help::topic(match kind {
            Kind::Caa => "DIAG-14",
            Kind::Dns => "DIAG-11",
            Kind::Connection => "DIAG-06",
            Kind::Tls => "DIAG-07",
            Kind::IncorrectResponse => "DIAG-02",
            Kind::Unauthorized => "DIAG-12",
            _ => "DIAG-18",
        })
    };
    let topic = help::topic_of(&text).or_else(by_kind);
    let (rule, remedy) = topic.map_or(("DIAG", ""), |topic| (topic.id, topic.remedy));
    Finding { rule, name, method, text, remedy }
}

/// A finding that holds of every order in that place.
fn general(topic: &'static help::Topic) -> Finding {
    Finding { rule: topic.id, name: None, method: None, text: topic.text.to_owned(), remedy: topic.remedy }
}
