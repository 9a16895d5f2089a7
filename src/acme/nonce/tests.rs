//! A nonce is good once, and only here.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use proptest::prelude::*;

fn kind(result: Result<()>) -> Option<Kind> {
    result.err().map(|e| e.kind())
}

#[test]
fn a_nonce_is_good_once() {
    let nonces = Nonces::new(7);
    let (first, second) = (nonces.issue(), nonces.issue());
    assert_ne!(first, second);
    assert_eq!(kind(nonces.redeem(&second)), None);
    assert_eq!(kind(nonces.redeem(&first)), None, "the order does not matter");
    for used in [&first, &second] {
        assert_eq!(kind(nonces.redeem(used)), Some(Kind::BadNonce), "NON-10");
    }
}

#[test]
fn foreign_nonces_are_refused_in_words_that_acme_sh_knows() {
    let nonces = Nonces::new(7);
    let elsewhere = Nonces::new(8).issue();
    let before_restart = Nonces::new(7).issue();
    for nonce in [&elsewhere, &before_restart, "AAAA", "taroDvhk2H7ErEkhFCq8zux1hCbY0KzFQDEFGjMaSvQ"] {
        let problem = nonces.redeem(nonce).expect_err("NON-08").into_problem();
        assert_eq!(problem.kind, Kind::BadNonce);
        assert!(problem.detail.contains("JWS has an invalid anti-replay nonce"), "{}", problem.detail);
    }
}

#[test]
fn what_is_not_base64url_is_malformed() {
    let nonces = Nonces::new(0);
    let good = nonces.issue();
    for nonce in ["", "=", "a+b/", "A", "AA==", "AB", " ", "\u{e9}", &format!("{good}="), &format!("{good} ")] {
        assert_eq!(kind(nonces.redeem(nonce)), Some(Kind::Malformed), "NON-06: {nonce:?}");
    }
    assert_eq!(kind(nonces.redeem(&good)), None, "nothing of that used it up");
}

#[test]
fn only_the_latest_nonces_are_good() {
    let mut window = Window::new();
    for _ in 0..WINDOW + 2 {
        window.open();
    }
    assert_eq!(kind(window.close(0)), Some(Kind::BadNonce));
    assert_eq!(kind(window.close(1)), Some(Kind::BadNonce));
    assert_eq!(kind(window.close(2)), None);
    assert_eq!(kind(window.close(2)), Some(Kind::BadNonce));
    assert_eq!(kind(window.close(WINDOW + 1)), None);
    assert_eq!(kind(window.close(WINDOW + 2)), Some(Kind::BadNonce), "not issued yet");
    assert_eq!(kind(window.close(u64::MAX)), Some(Kind::BadNonce));
    assert_eq!(window.open(), WINDOW + 2, "takes the place of 2");
    assert_eq!(kind(window.close(2)), Some(Kind::BadNonce));
    assert_eq!(kind(window.close(WINDOW + 2)), None);
}

#[test]
fn of_many_redeemers_at_once_one_wins() {
    const NONCES: usize = 2000;
    const REDEEMERS: usize = 4;
    let nonces = Nonces::new(1);
    let issued: Vec<String> = (0..NONCES).map(|_| nonces.issue()).collect();
    let passed: Vec<AtomicUsize> = (0..NONCES).map(|_| AtomicUsize::new(0)).collect();
    std::thread::scope(|scope| {
        for _ in 0..REDEEMERS {
            scope.spawn(|| {
                for (nonce, passed) in issued.iter().zip(&passed) {
                    if nonces.redeem(nonce).is_ok() {
                        passed.fetch_add(1, Ordering::Relaxed);
                    }
                    nonces.issue();
                }
            });
        }
    });
    assert!(passed.iter().all(|passed| passed.load(Ordering::Relaxed) == 1), "NON-11");
}

proptest! {
    #[test]
    fn no_other_text_is_a_nonce(text in ".{0,60}", octets in prop::collection::vec(any::<u8>(), 0..60)) {
        let nonces = Nonces::new(0);
        nonces.issue();
        prop_assert!(nonces.redeem(&text).is_err());
        prop_assert!(nonces.redeem(&URL_SAFE_NO_PAD.encode(octets)).is_err());
    }

    #[test]
    fn a_changed_nonce_is_refused_and_the_true_one_stays_good(at in 0..35_usize, to in "[A-Za-z0-9_-]") {
        let nonces = Nonces::new(3);
        let nonce = nonces.issue();
        prop_assert_eq!(nonce.len(), 35);
        let changed = format!("{}{to}{}", &nonce[..at], &nonce[at + 1..]);
        prop_assume!(changed != nonce);
        prop_assert!(nonces.redeem(&changed).is_err());
        prop_assert!(nonces.redeem(&nonce).is_ok());
    }

    /// Whatever is issued and redeemed in whatever order: a nonce passes if and only if it is its first time.
    #[test]
    fn a_nonce_passes_its_first_time_only(steps in prop::collection::vec(any::<(bool, prop::sample::Index)>(), 1..200)) {
        let nonces = Nonces::new(0);
        let mut issued = vec![(nonces.issue(), false)];
        for (issue, which) in steps {
            if issue {
                issued.push((nonces.issue(), false));
                continue;
            }
            let which = which.index(issued.len());
            let (nonce, used) = &mut issued[which];
            prop_assert_eq!(nonces.redeem(nonce).is_ok(), !*used);
            *used = true;
        }
    }
}
