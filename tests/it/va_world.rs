//! What the tests of the validator share: a loopback DNS, a validator that asks it, and tasks for it.

use std::time::Duration;

use chancery::domain::plan::{CaaMode, Method};
use chancery::domain::{Identifier, Kind, Problem, Timestamp};
use chancery::va::{CaaTerms, HttpsProbe, Outcome, Settings, Task, Va};

use crate::support::dns::Dns;

pub const TOKEN: &str = "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA";
pub const KEY_AUTHORIZATION: &str =
    "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA.9jg46WB3rR_AHD-EBXdN7cBkH1WOu0tA3M9fm21mqTI";
pub const ACCOUNT: &str = "https://ca.example/acme/acct/1";

/// What all tasks take for the present: a moment in November 2026.
pub const NOW: Timestamp = Timestamp::from_secs(1_795_262_400);

/// Settings for loopback: private addresses are dialled, and HTTPS only where a test is about it. The time-outs are the
/// default ones, far from what a busy machine needs.
pub fn settings(dns: &Dns) -> Settings {
    Settings {
        resolvers: vec![dns.addr()],
        allow_private_addresses: true,
        https_probe: HttpsProbe::Off,
        ..Settings::default()
    }
}

/// The same settings with time-outs that a test can wait for.
pub fn hasty(settings: Settings) -> Settings {
    Settings { dns_timeout_ms: 400, timeout_ms: 1_000, ..settings }
}

pub fn terms(method: Method) -> CaaTerms {
    let identities = vec!["ca.example".to_owned()];
    CaaTerms { identities, account_uri: ACCOUNT.to_owned(), method, mode: CaaMode::Rfc8659 }
}

pub fn identifier(text: &str) -> Identifier {
    let kind = if text.parse::<std::net::IpAddr>().is_ok() { "ip" } else { "dns" };
    Identifier::parse(kind, text).unwrap()
}

pub fn task(name: &str, method: Method) -> Task {
    Task {
        identifier: identifier(name),
        wildcard: false,
        method,
        token: TOKEN.to_owned(),
        key_authorization: KEY_AUTHORIZATION.to_owned(),
        caa: terms(method),
        now: NOW,
    }
}

pub async fn validate(settings: Settings, task: &Task) -> Outcome {
    Va::new(settings).unwrap().validate(task).await
}

/// The outcome must be a failure of this kind, whose text has all these parts.
#[track_caller]
pub fn refused(outcome: &Outcome, kind: Kind, parts: &[&str]) -> Problem {
    let problem = outcome.result.clone().expect_err("this should have failed");
    assert_eq!(problem.kind, kind, "{problem}");
    for part in parts {
        assert!(problem.detail.contains(part), "no {part:?} in {:?}", problem.detail);
    }
    assert!(problem.detail.chars().all(|c| !c.is_control()), "{:?}", problem.detail);
    assert!(problem.detail.len() < 1_000, "{:?}", problem.detail);
    problem
}

#[track_caller]
pub fn accepted(outcome: &Outcome) {
    assert_eq!(outcome.result, Ok(()), "{:#?}", outcome.evidence);
    assert!(!outcome.may_heal);
}

/// Fails if a future does not end by itself: everything here has a time-out of its own, a second or less.
pub async fn bounded<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(12), future).await.expect("this should be over by itself")
}
