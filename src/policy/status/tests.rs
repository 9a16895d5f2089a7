//! The tables of section 21, row by row.

use super::*;
use crate::domain::authz::Attempt;
use crate::domain::certificate::RevocationReason;
use crate::domain::csr::SubjectKey;
use crate::domain::limit::Allowance;
use crate::domain::order::Purpose;
use crate::domain::plan::{CaaMode, Method};
use crate::domain::{AccountId, AuthzId, DnsName, Identifier, JobId, OrderId, Problem, Serial};
use crate::policy::catalog::Catalog;

const NOW: Timestamp = Timestamp::from_secs(1_795_262_400);
const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(86_400);

fn problem(kind: Kind) -> Problem {
    Problem::new(kind, "because")
}

fn order(phase: Phase) -> Order {
    Order {
        earlier: None,
        id: OrderId::random(),
        account: AccountId::random(),
        product: "one".to_owned(),
        identifiers: vec![Identifier::Dns(DnsName::parse("zone.cn").unwrap())],
        authorizations: Vec::new(),
        not_before: None,
        not_after: None,
        replaces: None,
        purpose: Purpose::New,
        purchase: None,
        application: None,
        allowance: Allowance::Whole,
        causes: Vec::new(),
        created: NOW - DAY,
        expires: NOW + DAY,
        phase,
    }
}

fn authz(state: AuthzState) -> Authorization {
    Authorization {
        review_days: 0,
        deadline_days: None,
        id: AuthzId::random(),
        account: AccountId::random(),
        identifier: Identifier::Dns(DnsName::parse("zone.cn").unwrap()),
        wildcard: false,
        token: String::new(),
        methods: vec![Method::Dns01],
        caa_identities: Vec::new(),
        caa_mode: CaaMode::Rfc8659,
        kept_days: 0,
        created: NOW - DAY,
        expires: NOW + DAY * 2,
        state,
    }
}

fn pending() -> AuthzState {
    AuthzState::Pending { attempt: None }
}

fn tried(failures: Vec<Problem>) -> AuthzState {
    let attempt = Attempt {
        method: Method::Dns01,
        started: NOW,
        key_authorization: String::new(),
        job: JobId::random(),
        failures,
    };
    AuthzState::Pending { attempt: Some(attempt) }
}

fn valid() -> AuthzState {
    AuthzState::Valid { method: Method::Dns01, validated: NOW - DAY, caa_checked: None, hints: Vec::new() }
}

fn invalid() -> AuthzState {
    AuthzState::Invalid { method: Method::Dns01, problem: problem(Kind::Dns), at: NOW }
}

fn review() -> Phase {
    Phase::Review { csr: Vec::new(), since: NOW }
}

fn issuing() -> Phase {
    Phase::Issuing { csr: Vec::new(), serial: Serial::random(), job: JobId::random(), since: NOW }
}

fn issued() -> Phase {
    Phase::Issued { csr: Vec::new(), serial: Serial::random() }
}

fn failed(kind: Kind) -> Phase {
    Phase::Failed { problem: problem(kind), at: NOW }
}

fn certificate(days_left: u32, standing: CertificateStanding) -> Certificate {
    Certificate {
        paid_until: None,
        serial: Serial::random(),
        issuer: String::new(),
        account: AccountId::random(),
        order: OrderId::random(),
        product: String::new(),
        identifiers: Vec::new(),
        key: SubjectKey::P256,
        spki_sha256: [0; 32],
        not_before: NOW - DAY * 365,
        not_after: NOW + days(days_left),
        der: Vec::new(),
        issued: NOW - DAY * 365,
        standing,
    }
}

/// A product of that type.
fn product(class: &str) -> Product {
    let text = include_str!("../../../config/catalog.toml");
    let catalog = Catalog::parse(text).unwrap();
    let id = match class {
        "dv-free" => "trustasia-dv-free",
        "dv" => "trustasia-dv-multi",
        _ => "trustasia-ov-single",
    };
    catalog.product(id).unwrap().clone()
}

fn facts<'a>(order: &'a Order, authzs: &'a [Authorization], certificate: Option<&'a Certificate>) -> Facts<'a> {
    Facts {
        order,
        authzs,
        certificate,
        product: None,
        application: None,
        account_closed: false,
        under_way: None,
        renewal_window_days: 30,
        now: NOW,
    }
}

#[test]
fn each_name_of_an_order_has_a_validation_of_its_own() {
    // Section 21: the seed's words, and the facts behind them.
    for (seed_text, phase, state, word) in [
        ("Pending validation", Phase::Open, pending(), "pending-validation"),
        ("Validating", Phase::Open, tried(Vec::new()), "validating"),
        ("Validation timeout (VAL-29)", Phase::Open, tried(vec![problem(Kind::Connection)]), "validation-timeout"),
        ("Passed", Phase::Open, valid(), "validated"),
        ("Failed", Phase::Open, invalid(), "validation-failed"),
        ("Failed: given up", Phase::Open, AuthzState::Deactivated { at: NOW }, "validation-failed"),
        ("Passed: the desk comes later", review(), valid(), "validated"),
        ("Passed: whatever became of the proof", issued(), AuthzState::Deactivated { at: NOW }, "validated"),
        ("Passed: being issued", issuing(), valid(), "validated"),
    ] {
        assert_eq!(of_name(&order(phase), &authz(state), NOW).as_str(), word, "{seed_text}");
    }
    // VAL-30: the period is over.
    for state in [pending(), tried(Vec::new()), tried(vec![problem(Kind::Dns)]), valid()] {
        let late = Authorization { expires: NOW, ..authz(state) };
        assert_eq!(of_name(&order(Phase::Open), &late, NOW), Status::ValidationFailed, "{late:?}");
    }
    let over = Order { expires: NOW, ..order(Phase::Open) };
    assert_eq!(of_name(&over, &authz(pending()), NOW), Status::ValidationFailed);
    assert_eq!(of_name(&over, &authz(valid()), NOW), Status::Validated);
}

#[test]
fn an_order_has_one_canonical_word() {
    let given_up = || AuthzState::Deactivated { at: NOW };
    let timeout = || tried(vec![problem(Kind::Dns)]);
    for (seed_text, phase, states, word) in [
        ("Pending verification (STATUS-02)", Phase::Open, vec![pending()], "pending-validation"),
        ("Pending: one name is behind", Phase::Open, vec![valid(), pending(), timeout()], "pending-validation"),
        ("Validating", Phase::Open, vec![valid(), tried(Vec::new())], "validating"),
        ("Validation timeout", Phase::Open, vec![tried(Vec::new()), timeout()], "validation-timeout"),
        ("Passed", Phase::Open, vec![valid(), valid()], "validated"),
        ("Failed", Phase::Open, vec![valid(), invalid(), pending()], "validation-failed"),
        ("review canceled: an authorization was given up", Phase::Open, vec![given_up(), valid()], "canceled"),
        ("Pending issuance by CA: a person looks", review(), vec![valid()], "pending-issue"),
        ("review canceled: given up at the desk", review(), vec![given_up()], "canceled"),
        ("Pending issuance by CA: being made", issuing(), vec![valid()], "pending-issue"),
        ("Failed to pass review (REVIEW-11)", failed(Kind::Unauthorized), vec![valid()], "review-failed"),
        ("Failed to pass review: CAA", failed(Kind::Caa), vec![valid()], "review-failed"),
        ("review canceled: the account was closed", failed(Kind::AccountClosed), vec![valid()], "canceled"),
        ("Issued, the certificate not looked at", issued(), vec![valid()], "issued"),
    ] {
        let (order, authzs) = (order(phase), states.into_iter().map(authz).collect::<Vec<_>>());
        assert_eq!(of_order(&facts(&order, &authzs, None)).as_str(), word, "{seed_text}");
    }
    // An account that is closed now: what it has stays, what it left open is cancelled.
    for (phase, status) in [
        (Phase::Open, Status::Canceled),
        (review(), Status::Canceled),
        (issuing(), Status::Canceled),
        (issued(), Status::Issued),
        (failed(Kind::Caa), Status::ReviewFailed),
    ] {
        let (order, authzs) = (order(phase), [authz(valid())]);
        assert_eq!(of_order(&Facts { account_closed: true, ..facts(&order, &authzs, None) }), status);
    }
    // Past its end.
    for (phase, state, status) in [
        (Phase::Open, pending(), Status::ValidationFailed),
        (Phase::Open, valid(), Status::Canceled),
        (review(), valid(), Status::Canceled),
        (issuing(), valid(), Status::PendingIssue),
        (issued(), valid(), Status::Issued),
    ] {
        let (order, authzs) = (Order { expires: NOW, ..order(phase) }, [authz(state)]);
        assert_eq!(of_order(&facts(&order, &authzs, None)), status);
    }
}

#[test]
fn an_issued_order_is_as_its_certificate_is() {
    let revoked = CertificateStanding::Revoked { at: NOW, reason: RevocationReason::Unspecified };
    let good = CertificateStanding::Good;
    let reissue = Some(UnderWay::Reissue);
    for (seed_text, days_left, standing, under_way, word) in [
        ("Issued", 31, good, None, "issued"),
        ("to be renewed (RENEW-01)", 30, good, None, "to-be-renewed"),
        ("to be renewed, to the last second", 0, good, None, "to-be-renewed"),
        ("in the reissue process", 31, good, reissue, "reissuing"),
        ("in the reissue process, close to the end", 3, good, reissue, "reissuing"),
        ("revocation submitted", 31, good, Some(UnderWay::Revocation), "revoking"),
        ("revocation submitted, close to the end", 3, good, Some(UnderWay::Revocation), "revoking"),
        ("revoked", 31, revoked, None, "revoked"),
        ("revoked, whatever came of a reissue", 31, revoked, reissue, "revoked"),
    ] {
        let (order, certificate) = (order(issued()), certificate(days_left, standing));
        let dv = product("dv");
        let facts = Facts { product: Some(&dv), under_way, ..facts(&order, &[], Some(&certificate)) };
        assert_eq!(of_order(&facts).as_str(), word, "{seed_text}");
    }
    let (order, ended) = (order(issued()), certificate(0, good));
    let dv = product("dv");
    let after = Facts { now: NOW + Duration::from_secs(1), product: Some(&dv), ..facts(&order, &[], Some(&ended)) };
    assert_eq!(of_order(&after).as_str(), "expired");
    // A private CA's certificate of a year, in its last third.
    for (days_left, status) in [(200, Status::Issued), (100, Status::ToBeRenewed)] {
        let certificate = certificate(days_left, good);
        assert_eq!(of_order(&facts(&order, &[], Some(&certificate))), status, "{days_left}");
    }
}

#[test]
fn who_waits_long_for_a_validation_is_told_what_to_look_at() {
    // DIAG-25 and ISSUE-03: 30 minutes; ISSUE-01: 24 hours; ISSUE-02: people take their days.
    for (class, status, waited, told) in [
        ("dv-free", Status::PendingValidation, MINUTE * 29, false),
        ("dv-free", Status::PendingValidation, MINUTE * 30, true),
        ("dv-free", Status::Validating, MINUTE * 30, true),
        ("dv-free", Status::ValidationTimeout, MINUTE * 30, true),
        ("dv-free", Status::Validated, MINUTE * 30, false),
        ("dv-free", Status::ValidationFailed, MINUTE * 30, false),
        ("dv-free", Status::Issued, DAY, false),
        ("dv", Status::PendingValidation, MINUTE * 30, false),
        ("dv", Status::PendingValidation, DAY - MINUTE, false),
        ("dv", Status::PendingValidation, DAY, true),
        ("dv", Status::PendingIssue, DAY * 3, false),
        ("ov", Status::PendingValidation, DAY * 3, false),
    ] {
        let order = Order { created: NOW - waited, ..order(Phase::Open) };
        let product = product(class);
        let facts = Facts { product: Some(&product), ..facts(&order, &[], None) };
        assert_eq!(hint(status, &facts).is_some(), told, "{class} {status:?} {waited:?}");
    }
    let order = order(Phase::Open);
    assert_eq!(hint(Status::PendingValidation, &facts(&order, &[], None)), None, "a product that is gone");
}

#[test]
fn a_purchase_is_used_up_when_no_term_is_left_and_nothing_is_in_force() {
    use TermOutcome::{Failed, InForce, Open, Over};
    for (years, begun, last, word) in [
        // BUY-03
        (1, 0, None, "pending-submission"),
        (1, 1, Some(Failed), "pending-submission"),
        (1, 1, Some(Open), "in-use"),
        (1, 1, Some(InForce), "issued"),
        (1, 1, Some(Over), "used-up"),
        // BUY-08
        (3, 1, Some(Over), "issued"),
        (3, 2, Some(Open), "in-use"),
        (3, 2, Some(Failed), "issued"),
        (3, 3, Some(InForce), "issued"),
        (3, 3, Some(Over), "used-up"),
    ] {
        let facts = PurchaseFacts { standing: Standing::InForce, years, begun, last, next: None };
        assert_eq!(of_purchase(&facts).as_str(), word, "{years} {begun} {last:?}");
    }
}
