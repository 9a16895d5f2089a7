//! What allowed each certificate: told for every way to one, and found to be at fault wherever somebody tampered with it.

use std::sync::Arc;

use chancery::domain::Serial;
use chancery::domain::customer::CustomerKind;
use chancery::ra::{CertificateEvidence, Checker};
use chancery::store::records::Records;
use chancery::store::{Kv, Range, WriteSet};
use serde_json::{Value, json};

use crate::acme_tools::{DAY, HOUR, look};
use crate::desk_tools::{Company, PDF, PRICED, approve, reviewer, with_role};
use crate::rules_tools::{issue, make_ready, of, place};
use crate::store_support::{delete, key, put};
use crate::support::client::{challenge, csr};
use crate::support::operator::Operator;
use crate::support::world::World;

pub const MULTI: &str = "trustasia-dv-multi";

const CERTIFICATES: u8 = 5;
const SERIALS: u8 = 6;
pub const EVENTS: u8 = 90;
pub const OF_SUBJECT: u8 = 157;
pub const ABOUT: u8 = 180;

/// What a walk over a store finds.
async fn walked(kv: &Arc<dyn Kv>) -> Vec<CertificateEvidence> {
    let mut found = Vec::new();
    let checker = Checker::reading(Records::new(kv.clone())).await.unwrap();
    let totals = checker.walk(|evidence| found.push(evidence.clone())).await.unwrap();
    assert_eq!(totals.certificates, found.len() as u64);
    assert_eq!(totals.faulty, found.iter().filter(|evidence| !evidence.faults.is_empty()).count() as u64);
    found
}

/// The evidence for all certificates, each without a fault.
async fn sound(world: &mut World) -> Vec<CertificateEvidence> {
    let found = world.with_store(async |kv| walked(&kv).await).await;
    for evidence in &found {
        assert!(evidence.faults.is_empty(), "{evidence:#?}");
        let signature = evidence.signature.as_ref().unwrap();
        let shown: Vec<&String> = evidence.names.iter().map(|name| &name.name).collect();
        assert_eq!(shown, signature.names.iter().collect::<Vec<_>>());
    }
    found
}

fn with_name<'e>(all: &'e [CertificateEvidence], name: &str) -> &'e CertificateEvidence {
    all.iter().find(|evidence| evidence.names.iter().any(|found| found.name == name)).unwrap()
}

#[tokio::test]
async fn what_allowed_a_certificate_is_told_for_each_method() {
    let mut world = World::new().await;
    let client = world.client().await;
    world.dns.caa("example.com", 0, "issue", "ca.test");
    world.certificate(&client, &["www.example.com", "*.example.com"]).await;
    let placed = client.new_order(&["tls.example"]).await.expect(201);
    let authz = client.authorizations(&placed.json()).await.remove(0);
    let offer = challenge(&authz, "tls-alpn-01");
    world.tls.prove("tls.example", &client.key_authorization(offer["token"].as_str().unwrap()));
    client.respond(&offer).await.expect(200);
    client.finalize(&placed.json(), &csr(&["tls.example"]).0).await.expect(200);
    // The proof serves another order, whose CAA is looked at anew.
    world.pass(9 * HOUR).await;
    world.certificate(&client, &["www.example.com"]).await;
    let all = sound(&mut world).await;
    assert_eq!(all.len(), 3);

    let both = all.iter().find(|evidence| evidence.names.len() == 2).unwrap();
    let of = |name: &str| both.names.iter().find(|found| found.name == name).unwrap();
    let http = of("www.example.com");
    assert_eq!((http.method.as_deref(), http.reused, http.age_days), (Some("http-01"), false, 0));
    let seen = http.seen.join("\n");
    assert!(seen.contains("A www.example.com: 127.0.0.1") && seen.contains("/.well-known/acme-challenge/"), "{seen}");
    let caa = http.caa.as_ref().unwrap();
    assert_eq!((caa.look.as_str(), caa.at), ("validation", http.validated.unwrap()));
    let said = caa.seen.join("\n");
    assert!(said.contains("CAA www.example.com: none") || said.contains("CAA www.example.com: no such name"), "{said}");
    assert!(said.contains("CAA example.com: 0 issue \"ca.test\""), "{said}");
    assert!(said.contains("CAA at example.com permits; DNSSEC is not validated"), "{said}");
    let dns = of("*.example.com");
    assert_eq!(dns.method.as_deref(), Some("dns-01"));
    assert!(dns.seen.join("\n").contains("TXT _acme-challenge.example.com"), "{dns:?}");
    let tls = with_name(&all, "tls.example");
    assert_eq!(tls.names[0].method.as_deref(), Some("tls-alpn-01"));
    assert!(tls.names[0].seen.join("\n").contains("acme-tls/1, a certificate of SHA-256"), "{tls:?}");
    assert!(tls.names[0].caa.as_ref().unwrap().seen.join("\n").contains("no records at tls.example and above"));

    let again = all.iter().find(|one| one.names.len() == 1 && one.names[0].name == "www.example.com").unwrap();
    let name = &again.names[0];
    assert_eq!((name.reused, &name.authorization, &name.seen), (true, &http.authorization, &http.seen));
    let caa = name.caa.as_ref().unwrap();
    assert_eq!((caa.look.as_str(), caa.at), ("order", again.signed.unwrap()));
    assert!(caa.seen.join("\n").contains("CAA at example.com permits"), "{caa:?}");
    let signature = again.signature.as_ref().unwrap();
    assert_eq!(
        (signature.issuer.as_str(), signature.issuer_key.len(), signature.charge.as_str()),
        ("chancery", 40, "nothing")
    );
}

#[tokio::test]
async fn failed_attempts_are_told_too() {
    let mut world = World::with(|config| {
        config.acme.validation_tries = 2;
        config.acme.validation_retry_ms = 5_000;
    })
    .await;
    let client = world.client().await;
    world.web.forget("none");
    let placed = client.new_order(&["slow.example"]).await.expect(201);
    let authz = client.authorizations(&placed.json()).await.remove(0);
    let offer = challenge(&authz, "http-01");
    world.web.status(offer["token"].as_str().unwrap(), 404, "nothing here");
    let (answer, ()) = tokio::join!(client.respond(&offer), async {});
    answer.ok();
    world.web.forget(offer["token"].as_str().unwrap());
    world.pass(6 * crate::rules_tools::SECOND).await;
    let order = look(&client, placed.location()).await;
    assert_eq!(order["status"], "ready", "{order}");
    client.finalize(&order, &csr(&["slow.example"]).0).await.expect(200);
    let all = sound(&mut world).await;
    assert_eq!(all[0].names[0].failed_attempts, 1);
    let events = world.audit().await;
    let retried = events.iter().find_map(|act| match act {
        chancery::domain::audit::Act::ValidationRetried { evidence, .. } => Some(evidence.join("\n")),
        _ => None,
    });
    assert!(retried.as_ref().is_some_and(|seen| seen.contains("404")), "{retried:?}");
}

#[tokio::test]
async fn reissues_renewals_and_orders_by_hand_have_their_evidence() {
    let mut world = World::documented().await;
    let customer = world.customer(CustomerKind::Individual).await;
    world.buy(&customer, MULTI, 1, 1).await;
    world.buy(&customer, MULTI, 1, 1).await;
    let client = world.client_of(&customer).await;
    let first = issue(&world, &client, &["shop.zone-one.cn"], of(MULTI)).await;
    world.pass(DAY).await;
    issue(&world, &client, &["shop.zone-one.cn"], of(MULTI)).await;
    world.pass(first.last.since(world.now()) - 20 * DAY).await;
    issue(&world, &client, &["shop.zone-one.cn"], of(MULTI)).await;
    let operator = Operator::of(&world);
    let request = pem::encode(&pem::Pem::new("CERTIFICATE REQUEST", csr(&["hand.zone-one.cn"]).0));
    let asked = json!({ "customer": customer, "identifiers": ["hand.zone-one.cn"], "csr": request });
    let order = operator.post("/orders", &asked).await;
    let id = order["id"].as_str().unwrap();
    let records = operator.get(&format!("/orders/{id}/validation-records")).await.expect(200).json();
    world.dns.txt("_acme-challenge.hand.zone-one.cn", records["records"][0]["value"].as_str().unwrap());
    world.pass(HOUR).await;
    let all = sound(&mut world).await;
    assert_eq!(all.len(), 4);
    let mut charges: Vec<(String, String)> = all
        .iter()
        .map(|evidence| {
            let signature = evidence.signature.as_ref().unwrap();
            (json!(signature.purpose)["is"].as_str().unwrap().to_owned(), signature.charge.clone())
        })
        .collect();
    charges.sort();
    let told = |one: &str, other: &str| (one.to_owned(), other.to_owned());
    assert_eq!(
        charges,
        [told("new", "purchase"), told("new", "quota"), told("reissue", "purchase"), told("renewal", "purchase")]
    );
    assert_eq!(with_name(&all, "hand.zone-one.cn").names[0].method.as_deref(), Some("dns-01"));
}

#[tokio::test]
async fn a_proof_that_was_taken_over_leads_to_the_account_that_gave_it() {
    const SM_DV: &str = "dnspod-sm-dv";
    let title = "title = \"DNSPod GM (SM2) DV, one name\"";
    let priced = format!("{title}\nprice = {{ base = 100 }}");
    let mut world = World::documented_but(&[(title, &priced)]).await;
    let customer = world.customer(CustomerKind::Enterprise).await;
    world.buy(&customer, SM_DV, 1, 1).await;
    let client = world.client_of(&customer).await;
    let names = ["shop.zone-one.cn"];
    issue(&world, &client, &names, of(SM_DV)).await;
    world.pass(HOUR).await;
    let colleague = world.client_of(&customer).await;
    let placed = place(&colleague, &names, of(SM_DV)).await.expect(201);
    let (_, order) = make_ready(&world, &colleague, &placed).await;
    // What its giver does with it afterwards is no matter any more.
    colleague.finalize(&order, &csr(&names).0).await.expect(200);
    let all = sound(&mut world).await;
    assert_eq!(all.len(), 2);
    let given = all.iter().find(|one| one.names[0].taken_from.is_none()).unwrap();
    let taken = all.iter().find(|one| one.names[0].taken_from.is_some()).unwrap();
    assert_eq!(taken.names[0].taken_from, given.names[0].authorization);
    assert_eq!(taken.names[0].seen, given.names[0].seen);
    assert_ne!(taken.names[0].account, given.names[0].account);
    assert_eq!(taken.names[0].caa.as_ref().unwrap().look, "order");
}

/// An EV certificate that two people approved.
async fn reviewed() -> (World, Company, String) {
    let changes: Vec<(&str, &str)> = PRICED.into_iter().chain([("approvers = {}", "approvers = { ov = 2 }")]).collect();
    let world = World::documented_but(&changes).await;
    let company = Company::new(&world).await;
    let purchase = company.buy(&world, "trustasia-ov-single").await;
    let applied = company.apply(&purchase).await;
    company.upload(&purchase, PDF).await.expect(204);
    let (url, order) = company.ready(&world, "trustasia-ov-single", &["shop.zone-one.cn"]).await;
    company.finalize(&order, &["shop.zone-one.cn"]).await.expect(200);
    for name in ["Wang", "Li"] {
        world.clock.advance(HOUR);
        approve(&reviewer(&world, name).await, applied["id"].as_str().unwrap()).await.expect(200);
    }
    world.pass(HOUR).await;
    let done = look(&company.acme, &url).await;
    assert_eq!(done["status"], "valid", "{done}");
    let serial = done["certificate"].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
    (world, company, serial)
}

#[tokio::test]
async fn what_people_decided_is_told_with_their_names_and_customers_see_no_names() {
    let (mut world, company, serial) = reviewed().await;
    let all = sound(&mut world).await;
    let vetting = all[0].signature.as_ref().unwrap().vetting.clone().unwrap();
    assert_eq!(vetting.approvers, 2);
    let by: Vec<&str> = all[0].decisions.iter().map(|decision| decision.by.as_str()).collect();
    assert!(by.len() == 2 && by[0].ends_with("(Wang)") && by[1].ends_with("(Li)"), "{by:?}");
    let path = format!("/certificates/{serial}/evidence");
    for caller in [Operator::of(&world), reviewer(&world, "Zhao").await] {
        let seen = caller.get(&path).await.expect(200).json();
        assert_eq!((&seen["serial"], &seen["faults"]), (&json!(serial), &json!([])));
        assert!(seen["decisions"][0]["by"].as_str().unwrap().contains("Wang"), "{seen:#}");
        assert_eq!(seen["decisions"][0]["note"], "found in the register");
    }
    let shown = company.rest.get(&path).await.expect(200).text();
    assert!(shown.contains("\"decisions\"") && !shown.contains("Wang") && !shown.contains("(Li)"), "{shown}");
    let other = world.customer(CustomerKind::Enterprise).await;
    let other = with_role(&world, json!({ "name": "x", "role": "customer", "customer": other })).await;
    other.get(&path).await.expect(404);
    Operator::of(&world).get(&format!("/certificates/{}/evidence", Serial::random())).await.expect(404);

    let faults = tampered(&mut world, |log| vec![log.remove("purchase-created", 0)]).await;
    assert!(faults.len() == 1 && faults[0].starts_with("the log has no event of purchase "), "{faults:?}");
    let faults = tampered(&mut world, |log| vec![log.remove("application-submitted", 0)]).await;
    assert!(faults.len() == 1 && faults[0].starts_with("the log has no event of application "), "{faults:?}");
    // Four eyes, and no fewer: one of the approvals is gone, or was given by the same person.
    let faults = tampered(&mut world, |log| vec![log.remove("matter-judged", 0)]).await;
    assert_eq!(faults, ["2 people had to approve the application, and the log has 1"]);
    let faults =
        tampered(&mut world, |log| vec![log.change("matter-judged", 0, |act| act["by"] = json!("reviewer x (Li)"))])
            .await;
    assert_eq!(faults, ["2 people had to approve the application, and the log has 1"]);
}

/// The store of a stopped server, for those who tamper with it.
pub struct Log {
    pub events: Vec<(Vec<u8>, Value)>,
    certificates: Vec<(Vec<u8>, Value)>,
}

impl Log {
    pub async fn of(kv: &Arc<dyn Kv>) -> Self {
        let rows = async |space| {
            let rows = kv.scan(Range { space, prefix: vec![], after: None, limit: 10_000 }).await.unwrap();
            let read = |value: &[u8]| serde_json::from_slice(value).unwrap();
            rows.iter().map(|row| (row.key.id.clone(), read(&row.value))).collect::<Vec<(Vec<u8>, Value)>>()
        };
        Self { events: rows(EVENTS).await, certificates: rows(CERTIFICATES).await }
    }

    fn event(&self, act: &str, nth: usize) -> &(Vec<u8>, Value) {
        self.events.iter().filter(|(_, event)| event["act"]["act"] == act).nth(nth).unwrap()
    }

    pub fn remove(&self, act: &str, nth: usize) -> WriteSet {
        delete(key(EVENTS, &self.event(act, nth).0))
    }

    fn change(&self, act: &str, nth: usize, change: impl FnOnce(&mut Value)) -> WriteSet {
        let (id, mut event) = self.event(act, nth).clone();
        change(&mut event["act"]);
        put(key(EVENTS, id), event.to_string())
    }

    /// Another event, in the history of something.
    fn insert(&self, space: u8, subject: &str, event: &Value) -> Vec<WriteSet> {
        let id = [&event["at"].as_u64().unwrap().to_be_bytes()[..], b"tampered"].concat();
        let row = [subject.as_bytes(), &id].concat();
        vec![put(key(EVENTS, id), event.to_string()), put(key(space, row), "\"\"")]
    }

    fn change_certificate(&self, change: impl FnOnce(&mut Value)) -> WriteSet {
        let (id, mut envelope) = self.certificates[0].clone();
        change(&mut envelope["r"]);
        put(key(CERTIFICATES, id), envelope.to_string())
    }

    fn signed(&self) -> &Value {
        &self.event("certificate-issued", 0).1
    }
}

/// What a walk finds at fault after somebody tampered with the store of a world with one certificate. All is put back
/// afterwards.
async fn tampered(world: &mut World, tamper: impl FnOnce(&Log) -> Vec<WriteSet>) -> Vec<String> {
    world
        .with_store(async |kv| {
            let sets = tamper(&Log::of(&kv).await);
            let keys: Vec<_> =
                sets.iter().flat_map(|set| set.puts.iter().map(|(key, _)| key).chain(&set.deletes)).cloned().collect();
            let before = kv.read(&keys).await.unwrap();
            for set in sets {
                kv.commit(set).await.unwrap();
            }
            let found = walked(&kv).await;
            for (key, entry) in keys.into_iter().zip(before) {
                let back = entry.map_or_else(|| delete(key.clone()), |entry| put(key.clone(), entry.value));
                kv.commit(back).await.unwrap();
            }
            assert_eq!(found.len(), 1, "{found:#?}");
            found.into_iter().next().unwrap().faults
        })
        .await
}

/// A tampering, and what must be found.
type Case = (&'static str, fn(&Log) -> Vec<WriteSet>, &'static [&'static str]);

const CASES: [Case; 20] = [
    ("nothing", |_| vec![], &[]),
    ("no signature", |log| vec![log.remove("certificate-issued", 0)], &["the log has no event of its signature"]),
    (
        "a signature that says nothing",
        |log| vec![log.change("certificate-issued", 0, |act| drop(act.as_object_mut().unwrap().remove("signature")))],
        &["the event of its signature does not say what it rests on"],
    ),
    ("no order", |log| vec![log.remove("order-created", 0)], &["the log has no event of its order"]),
    (
        "another order",
        |log| vec![log.change("order-created", 0, |act| act["names"] = json!(["b.example"]))],
        &["it has other names than its order"],
    ),
    (
        "no validation",
        |log| vec![log.remove("validation-settled", 0)],
        &["a.example: the log has no validation of authorization", "a.example: nobody looked at CAA within 8 hours"],
    ),
    (
        "a validation of another name",
        |log| vec![log.change("validation-settled", 0, |act| act["name"] = json!("b.example"))],
        &["a.example: authorization", "was validated for b.example"],
    ),
    (
        "another method",
        |log| vec![log.change("validation-settled", 0, |act| act["method"] = json!("dns-01"))],
        &["a.example: it was validated by dns-01 at"],
    ),
    (
        "a validation that failed",
        |log| {
            let problem = json!({ "kind": "dns", "detail": "no" });
            vec![log.change("validation-settled", 0, |act| act["problem"] = problem)]
        },
        &["a.example: the log has no validation of authorization"],
    ),
    (
        "an old validation",
        |log| {
            let old = log.signed()["at"].as_u64().unwrap() - 900 * 86_400_000;
            vec![log.change("certificate-issued", 0, |act| act["signature"]["proofs"][0]["validated"] = json!(old))]
        },
        &["days are the most", "not as the signature says"],
    ),
    (
        "an old look at CAA",
        |log| {
            let old = log.signed()["at"].as_u64().unwrap() - 8 * 3_600_000;
            vec![log.change("certificate-issued", 0, |act| act["signature"]["proofs"][0]["caa_checked"] = json!(old))]
        },
        &["a.example: nobody looked at CAA within 8 hours before the signature"],
    ),
    (
        "a proof that is missing",
        |log| vec![log.change("certificate-issued", 0, |act| act["signature"]["proofs"] = json!([]))],
        &["a.example: nothing proves it"],
    ),
    (
        "an authorization that was given up",
        |log| {
            let authz = log.event("validation-settled", 0).1["act"]["authz"].as_str().unwrap().to_owned();
            let at = log.signed()["at"].as_u64().unwrap() - 1;
            let act = json!({ "act": "authorization-deactivated", "authz": authz });
            log.insert(OF_SUBJECT, &authz, &json!({ "at": at, "act": act, "who": "x" }))
        },
        &["a.example: authorization", "was deactivated at"],
    ),
    (
        "the same, and the index does not lead to it",
        |log| {
            let authz = log.event("validation-settled", 0).1["act"]["authz"].as_str().unwrap().to_owned();
            let at = log.signed()["at"].as_u64().unwrap() - 1;
            let act = json!({ "act": "authorization-deactivated", "authz": authz });
            let mut sets = log.insert(OF_SUBJECT, &authz, &json!({ "at": at, "act": act, "who": "x", "node": 0 }));
            sets.truncate(1);
            sets
        },
        &["a.example: authorization", "was deactivated at"],
    ),
    (
        "a validation of another authorization in its place",
        |log| {
            let (id, event) = log.event("validation-settled", 0);
            let authz = event["act"]["authz"].as_str().unwrap();
            vec![
                log.change("validation-settled", 0, |act| act["authz"] = json!("A".repeat(22))),
                put(key(OF_SUBJECT, [authz.as_bytes(), id].concat()), "\"\""),
            ]
        },
        &["a.example: the log has no validation of authorization"],
    ),
    (
        "a serial that was signed twice",
        |log| {
            let mut event = log.signed().clone();
            event["at"] = json!(event["at"].as_u64().unwrap() + 1);
            let about = format!("certificate:{}", event["act"]["serial"].as_str().unwrap());
            log.insert(ABOUT, &about, &event)
        },
        &["the serial was signed 2 times"],
    ),
    (
        "a serial that was not recorded",
        |log| vec![delete(key(SERIALS, &log.certificates[0].0))],
        &["its serial was not recorded before it was signed"],
    ),
    (
        "another certificate",
        |log| {
            vec![log.change_certificate(|record| {
                let der = record["der"].as_str().unwrap();
                let last = if der.ends_with("AA==") { "AQ==" } else { "AA==" };
                record["der"] = json!(format!("{}{last}", &der[..der.len() - 4]));
            })]
        },
        &["the stored certificate has SHA-256"],
    ),
    (
        "a record with other names",
        |log| vec![log.change_certificate(|record| record["identifiers"] = json!([]))],
        &["the record has other names than the signed certificate"],
    ),
    (
        "a record of another account",
        |log| vec![log.change_certificate(|record| record["account"] = json!("AAAAAAAAAAAAAAAAAAAAAA"))],
        &["the record says that it is of account AAAAAAAAAAAAAAAAAAAAAA"],
    ),
];

#[tokio::test]
async fn whatever_is_missing_or_not_as_it_was_is_told() {
    let mut world = World::new().await;
    let client = world.client().await;
    world.pass(HOUR).await;
    world.certificate(&client, &["a.example"]).await;
    for (case, tamper, parts) in CASES {
        let faults = tampered(&mut world, tamper).await;
        let told = faults.join("\n");
        assert_eq!(faults.is_empty(), parts.is_empty(), "{case}: {told}");
        for part in parts {
            assert!(told.contains(part), "{case}: no {part:?} in {told}");
        }
    }
}

#[tokio::test]
async fn the_log_alone_tells_what_allowed_a_certificate_whose_records_are_gone() {
    let mut world = World::new().await;
    let client = world.client().await;
    world.certificate(&client, &["a.example"]).await;
    world.certificate(&client, &["b.example"]).await;
    let before = sound(&mut world).await;
    world
        .with_store(async |kv| {
            // Certificates, orders, authorizations, serials.
            for space in [CERTIFICATES, 2, 3, SERIALS] {
                let rows = kv.scan(Range { space, prefix: vec![], after: None, limit: 1_000 }).await.unwrap();
                for row in rows {
                    kv.commit(delete(row.key)).await.unwrap();
                }
            }
        })
        .await;
    let after = sound(&mut world).await;
    assert_eq!(after.len(), 2);
    for evidence in after {
        assert!(!evidence.recorded);
        let known = before.iter().find(|known| known.serial == evidence.serial).unwrap();
        assert_eq!(json!(known.names), json!(evidence.names));
    }
}
