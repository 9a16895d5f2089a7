//! Whether the evidence for a certificate is what it must be.

use std::collections::BTreeSet;

use aws_lc_rs::digest::{SHA256, digest};

use super::basis::Basis;
use super::{CaaEvidence, CertificateEvidence, Checker, DecisionEvidence, HANDS, Material, NameEvidence, days};
use crate::domain::audit::{Act, AuditEvent, Proof, Signature, Vetting};
use crate::domain::certificate::{Certificate, hex32};
use crate::domain::review::is_same_person;
use crate::domain::{AuthzId, OrderId, PurchaseId, Result, Serial, Timestamp};
use crate::policy::validity;
use crate::ra::issuance::CAA_LASTS;
use crate::ra::operations::shown_id;
use crate::store::records::SerialEntry;

impl Checker {
    /// Puts everything about a certificate together, and compares it.
    pub(super) async fn judge(
        &self,
        serial: Serial,
        order: Option<OrderId>,
        material: Material,
    ) -> Result<CertificateEvidence> {
        let Material { certificate, signed, signatures, order_events } = material;
        let signature = signed.as_ref().and_then(|(_, event)| match &event.act {
            Act::CertificateIssued { signature, .. } => signature.as_deref().cloned(),
            _ => None,
        });
        let mut evidence = CertificateEvidence {
            serial,
            recorded: certificate.is_some(),
            signed: signed.as_ref().map(|(_, event)| event.at),
            event: signed.as_ref().map(|(id, _)| shown_id(id)),
            node: signed.as_ref().map(|(_, event)| event.node.unwrap_or_default()),
            placed: None,
            signature: signature.clone(),
            names: Vec::new(),
            decisions: Vec::new(),
            faults: Vec::new(),
            order: order.clone(),
        };
        match (&signed, &signature) {
            (None, _) => evidence.faults.push("the log has no event of its signature".to_owned()),
            // An older version did not write it; what it did write is judged below.
            (Some((_, event)), None) if event.node.is_none() => {}
            (Some(_), None) => {
                evidence.faults.push("the event of its signature does not say what it rests on".to_owned())
            }
            (Some(_), Some(_)) => {}
        }
        let signed_by_older = signed.as_ref().is_some_and(|(_, event)| event.node.is_none());
        if signatures > 1 {
            evidence.faults.push(format!("the serial was signed {signatures} times"));
        }
        if let Some(certificate) = &certificate {
            evidence.faults.extend(compare(certificate, order.as_ref(), signature.as_ref()));
            if self.records.find::<SerialEntry>(serial).await?.is_none() {
                evidence.faults.push("its serial was not recorded before it was signed".to_owned());
            }
        }
        let signed = evidence.signed.unwrap_or_default();
        let basis = match &signature {
            Some(signature) => Some(Basis::of(signature)),
            None if signed_by_older => {
                self.older_basis(signed, certificate.as_deref(), order.as_ref(), &order_events).await?
            }
            None => return Ok(evidence),
        };
        let Some(basis) = basis else {
            evidence.faults.push("the log has no event of its order".to_owned());
            return Ok(evidence);
        };
        judge_order(&mut evidence, &order_events, &basis);
        self.judge_review(&mut evidence, signed).await?;
        if let Some(signature) = &signature
            && signature.public_calendar
            && signature.reuse_days > validity::public_reuse_days(signed)
        {
            let (said, most) = (signature.reuse_days, validity::public_reuse_days(signed));
            evidence.faults.push(format!("validations of {said} days were accepted where {most} are the most"));
        }
        for name in &basis.names {
            let Some(proof) = basis.proofs.iter().find(|proof| proof.name == *name) else {
                evidence.faults.push(format!("{name}: nothing proves it"));
                continue;
            };
            let found = self.judge_name(proof, &basis, &evidence, &order_events).await?;
            evidence.faults.extend(found.1.into_iter().map(|fault| format!("{name}: {fault}")));
            evidence.names.push(found.0);
        }
        let Some(signature) = signature else { return Ok(evidence) };
        if let Some(vetting) = &signature.vetting {
            self.judge_vetting(&mut evidence, vetting, signed).await?;
        }
        if let Some(purchase) = &signature.purchase {
            self.judge_purchase(&mut evidence, purchase).await?;
        }
        Ok(evidence)
    }

    /// What proved a name, and what is wrong with it.
    async fn judge_name(
        &self,
        proof: &Proof,
        basis: &Basis,
        of: &CertificateEvidence,
        order_events: &[AuditEvent],
    ) -> Result<(NameEvidence, Vec<String>)> {
        let signed = of.signed.unwrap_or_default();
        let mut faults = Vec::new();
        let mut found = NameEvidence {
            name: proof.name.clone(),
            authorization: Some(proof.authz.clone()),
            account: Some(basis.account.clone()),
            method: Some(proof.method.as_str().to_owned()),
            validated: Some(proof.validated),
            age_days: signed.since(proof.validated).as_secs() / 86_400,
            reused: of.placed.is_some_and(|placed| proof.validated < placed),
            ..NameEvidence::default()
        };
        let settled = self.settled(&proof.authz, signed, &mut found, &mut faults).await?;
        match &settled {
            None => faults.push(format!("the log has no validation of authorization {}", proof.authz)),
            Some((event, name, method)) => {
                if *name != proof.name {
                    faults.push(format!("authorization {} was validated for {name}", proof.authz));
                }
                if *method != proof.method.as_str() || event.at != proof.validated {
                    faults.push(format!("it was validated by {method} at {}, not as the signature says", event.at));
                }
            }
        }
        if proof.validated + days(basis.reuse_days) <= signed || proof.validated > signed {
            let most = basis.reuse_days;
            faults.push(format!("it was validated at {}, and {most} days are the most", proof.validated));
        }
        let placed = order_events.iter().find_map(|event| match &event.act {
            Act::OrderCreated { reuse_days: Some(reuse), .. } => Some((event.at, *reuse)),
            _ => None,
        });
        if let Some((placed, reuse)) = placed
            && proof.validated < placed
            && proof.validated + days(reuse) < placed
        {
            faults
                .push(format!("it was validated at {}, and proofs of {reuse} days served the order", proof.validated));
        }
        let is_address = proof.name.parse::<std::net::IpAddr>().is_ok();
        found.caa = if is_address { None } else { caa(proof, signed, order_events, settled.as_ref(), &found.seen) };
        if found.caa.is_none() && !is_address {
            faults.push("nobody looked at CAA within 8 hours before the signature".to_owned());
        }
        Ok((found, faults))
    }

    /// The event by which an authorization was validated, with name and method; also one that it was taken over from.
    async fn settled(
        &self,
        authz: &AuthzId,
        used: Timestamp,
        found: &mut NameEvidence,
        faults: &mut Vec<String>,
    ) -> Result<Option<(AuditEvent, String, String)>> {
        let (mut authz, mut used) = (authz.clone(), used);
        for _ in 0..HANDS {
            let (mut proven, mut taken) = (None, None);
            for (_, event) in self.events_of(authz.as_str()).await? {
                match &event.act {
                    Act::AuthorizationDeactivated { .. } if event.at < used => {
                        faults
                            .push(format!("authorization {authz} was deactivated at {}, before it was used", event.at));
                    }
                    Act::ValidationRetried { .. } => found.failed_attempts += 1,
                    Act::ValidationSettled { problem: None, name, method, evidence, .. } => {
                        found.seen.clone_from(evidence);
                        proven = Some((event.clone(), name.clone(), method.as_str().to_owned()));
                    }
                    Act::AuthorizationTaken { of, .. } => taken = Some((of.clone(), event.at)),
                    _ => {}
                }
            }
            match (proven, taken) {
                (Some(proven), _) => return Ok(Some(proven)),
                (None, Some((of, at))) => (authz, used) = (of, at),
                (None, None) => return Ok(None),
            }
            found.taken_from = Some(authz.clone());
        }
        Ok(None)
    }

    /// Whether as many people approved the application as had to.
    async fn judge_vetting(
        &self,
        evidence: &mut CertificateEvidence,
        vetting: &Vetting,
        signed: Timestamp,
    ) -> Result<()> {
        let matter = format!("application:{}", vetting.application);
        let events = self.events_of(&matter).await?;
        if !events.iter().any(|(_, event)| matches!(event.act, Act::ApplicationSubmitted { .. })) {
            evidence.faults.push(format!("the log has no event of application {}", vetting.application));
        }
        let (decisions, rounds) = rounds(events.into_iter().map(|(_, event)| event));
        evidence.decisions.extend(decisions);
        let needed = vetting.approvers as usize;
        let round = rounds.iter().find(|round| round.at == vetting.approved);
        let approvers = round.map_or(0, |round| round.approvers);
        if approvers < needed {
            evidence
                .faults
                .push(format!("{needed} people had to approve the application, and the log has {approvers}"));
        }
        if vetting.until <= signed || vetting.approved > signed {
            let (approved, until) = (vetting.approved, vetting.until);
            evidence.faults.push(format!("its application was approved from {approved} to {until} only"));
        }
        Ok(())
    }

    /// Whether as many people approved the order as had to, where somebody had to look at it.
    async fn judge_review(&self, evidence: &mut CertificateEvidence, signed: Timestamp) -> Result<()> {
        let Some(order) = &evidence.order else { return Ok(()) };
        let events = self.events_of(&format!("order:{order}")).await?;
        let (decisions, rounds) = rounds(events.into_iter().map(|(_, event)| event));
        evidence.decisions.extend(decisions);
        if let Some(Round { approvers, needed, .. }) = rounds.iter().rfind(|round| round.at <= signed)
            && approvers < needed
        {
            evidence.faults.push(format!("{needed} people had to approve the order, and the log has {approvers}"));
        }
        Ok(())
    }

    async fn judge_purchase(&self, evidence: &mut CertificateEvidence, purchase: &PurchaseId) -> Result<()> {
        let events = self.events_of(&format!("purchase:{purchase}")).await?;
        if !events.iter().any(|(_, event)| matches!(event.act, Act::PurchaseCreated { .. })) {
            evidence.faults.push(format!("the log has no event of purchase {purchase}"));
        }
        Ok(())
    }
}

/// A round of review that ended with a yes.
struct Round {
    at: Timestamp,
    approvers: usize,
    needed: usize,
}

/// What people decided about a matter, and how many of them approved it in each round. Other papers begin a round anew.
fn rounds(events: impl Iterator<Item = AuditEvent>) -> (Vec<DecisionEvidence>, Vec<Round>) {
    let (mut decisions, mut rounds) = (Vec::new(), Vec::new());
    let mut yes: Vec<String> = Vec::new();
    for AuditEvent { at, act, .. } in events {
        let Act::MatterJudged { matter, approved, decided, by, note, evidence, approvers: needed } = act else {
            if let Act::LetterUploaded { .. } | Act::ApplicationReopened { .. } = act {
                yes.clear();
            }
            continue;
        };
        if approved && !yes.iter().any(|earlier| is_same_person(earlier, &by)) {
            yes.push(by.clone());
        }
        if decided {
            let approvers = std::mem::take(&mut yes).len();
            rounds.extend(approved.then_some(Round { at, approvers, needed }));
        }
        decisions.push(DecisionEvidence { at, matter, by, approved, note, evidence });
    }
    (decisions, rounds)
}

/// The order, and what people decided about it.
fn judge_order(evidence: &mut CertificateEvidence, events: &[AuditEvent], basis: &Basis) {
    let (mut placed, mut undecided) = (false, false);
    let signed = evidence.signed.unwrap_or_default();
    for event in events.iter().filter(|event| event.at <= signed) {
        match &event.act {
            Act::OrderCreated { account, names, .. } => {
                placed = true;
                evidence.placed = Some(event.at);
                let (asked, signed): (BTreeSet<_>, BTreeSet<_>) =
                    (names.iter().collect(), basis.names.iter().collect());
                if asked != signed {
                    evidence.faults.push("it has other names than its order".to_owned());
                }
                if *account != basis.account {
                    evidence.faults.push(format!("its order is of another account, {account}"));
                }
            }
            Act::ReviewBegun { .. } => undecided = true,
            Act::ReviewDecided { approved: true, .. } => undecided = false,
            Act::ReviewDecided { approved: false, .. } => {
                evidence.faults.push(format!("its order was refused by {} at {}", event.who, event.at));
            }
            _ => {}
        }
    }
    if !placed {
        evidence.faults.push("the log has no event of its order".to_owned());
    }
    if undecided {
        evidence.faults.push("people had to look at its order, and the log has no approval".to_owned());
    }
}

/// Whether a record is what the log says was signed.
fn compare(certificate: &Certificate, order: Option<&OrderId>, signature: Option<&Signature>) -> Vec<String> {
    let mut faults = Vec::new();
    if order.is_some_and(|order| *order != certificate.order) {
        faults.push(format!("the record says that order {} was fulfilled by it", certificate.order));
    }
    let Some(signature) = signature else { return faults };
    let stored = hex32::encode(digest(&SHA256, &certificate.der).as_ref());
    if stored != signature.sha256 {
        faults.push(format!("the stored certificate has SHA-256 {stored}, the signed one {}", signature.sha256));
    }
    let names: BTreeSet<String> = certificate.identifiers.iter().map(ToString::to_string).collect();
    if names != signature.names.iter().cloned().collect() {
        faults.push("the record has other names than the signed certificate".to_owned());
    }
    if certificate.account != signature.account {
        faults.push(format!("the record says that it is of account {}", certificate.account));
    }
    if certificate.issuer != signature.issuer {
        faults.push(format!("the record says that \"{}\" signed it", certificate.issuer));
    }
    faults
}

/// The look at CAA on which a signature rests: that of the order if there was one, else that of the validation.
fn caa(
    proof: &Proof,
    signed: Timestamp,
    order_events: &[AuditEvent],
    settled: Option<&(AuditEvent, String, String)>,
    seen: &[String],
) -> Option<CaaEvidence> {
    let recent = |at: Timestamp| at <= signed && signed.since(at) < CAA_LASTS;
    let looks = order_events.iter().rev().filter_map(|event| match &event.act {
        // Events of older versions say no name.
        Act::CaaChecked { name, problem: None, evidence, .. }
            if (*name == proof.name || name.is_empty()) && recent(event.at) =>
        {
            Some(CaaEvidence { at: event.at, look: "order".to_owned(), seen: evidence.clone() })
        }
        _ => None,
    });
    let about_caa = |seen: &[String]| seen.iter().filter(|line| line.starts_with("CAA")).cloned().collect();
    let (event, ..) = settled?;
    let validation = proof.caa_checked.filter(|at| recent(*at) && event.at == *at);
    let validation = validation.map(|at| CaaEvidence { at, look: "validation".to_owned(), seen: about_caa(seen) });
    looks.into_iter().next().or(validation)
}
