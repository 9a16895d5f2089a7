//! Limits counted against a clock that stands: what fits, what is refused, what comes back, and for whom another rate holds.

use super::*;
use crate::domain::limit::Subject;

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_secs(1_000_000 + seconds)
}

fn limits(change: impl FnOnce(&mut Settings)) -> Limits {
    let mut settings = Settings::default();
    change(&mut settings);
    Limits::new(settings)
}

/// Takes one and keeps it.
fn take(limits: &Limits, wants: Vec<Want>, now: Timestamp) -> Result<()> {
    limits.take(wants, now).map(Taken::keep)
}

#[test]
fn an_hours_allowance_comes_back_evenly() {
    let limits = limits(|settings| settings.orders_per_hour = 3);
    let (account, other) = (AccountId::random(), AccountId::random());
    for _ in 0..3 {
        take(&limits, limits.order(&account, None), at(0)).unwrap();
    }
    let refused = take(&limits, limits.order(&account, None), at(0)).unwrap_err();
    assert_eq!((refused.kind(), refused.retry_after_hint()), (Kind::RateLimited, Some(Duration::from_secs(1200))));
    let told = &refused.problem().detail;
    assert!(told.contains("\"orders_per_account\", 3 new orders in 1 h for account"), "{told}");
    take(&limits, limits.order(&other, None), at(0)).unwrap();
    take(&limits, limits.order(&account, None), at(1200)).unwrap();
    take(&limits, limits.order(&account, None), at(1200)).unwrap_err();
}

#[test]
fn zero_is_no_limit_and_neither_is_what_is_switched_off() {
    for limits in [
        limits(|settings| settings.orders_per_account = Written(Rate::OFF)),
        limits(|settings| (settings.orders_per_hour, settings.enabled) = (1, false)),
    ] {
        let account = AccountId::random();
        for _ in 0..1000 {
            take(&limits, limits.order(&account, None), at(0)).unwrap();
        }
        assert!(limits.counters.lock().is_empty());
    }
}

#[test]
fn what_is_not_kept_is_given_back() {
    let limits = limits(|settings| settings.orders_per_hour = 1);
    let account = AccountId::random();
    for _ in 0..5 {
        drop(limits.take(limits.order(&account, None), at(0)).unwrap());
    }
    take(&limits, limits.order(&account, None), at(0)).unwrap();
    take(&limits, limits.order(&account, None), at(0)).unwrap_err();
}

#[test]
fn all_is_taken_or_nothing() {
    let limits = limits(|settings| {
        settings.orders_per_account = Written(Rate::hourly(5));
        settings.orders_per_customer = Written(Rate::hourly(1));
    });
    let (account, customer) = (AccountId::random(), CustomerId::random());
    take(&limits, limits.order(&account, Some(&customer)), at(0)).unwrap();
    for _ in 0..10 {
        let refused = take(&limits, limits.order(&account, Some(&customer)), at(0)).unwrap_err();
        assert!(refused.problem().detail.contains("orders_per_customer"));
    }
    // Of the five of the account only one is gone.
    for _ in 0..4 {
        take(&limits, limits.order(&account, None), at(0)).unwrap();
    }
    take(&limits, limits.order(&account, None), at(0)).unwrap_err();
}

#[test]
fn an_ipv6_subscriber_is_one_place_and_a_site_has_a_limit_of_its_own() {
    let limits = limits(|settings| {
        settings.accounts_per_address = Written(Rate::hourly(2));
        settings.accounts_per_network = Written(Rate::hourly(4));
    });
    let ask = |address: &str| take(&limits, limits.account(address.parse().unwrap()), at(0));
    ask("2001:db8:1:1::1").unwrap();
    ask("2001:db8:1:1:ffff::2").unwrap();
    assert!(ask("2001:db8:1:1::3").unwrap_err().problem().detail.contains("address 2001:db8:1:1::/64"));
    ask("2001:db8:1:2::1").unwrap();
    ask("2001:db8:1:3::1").unwrap();
    assert!(ask("2001:db8:1:4::1").unwrap_err().problem().detail.contains("network 2001:db8:1::/48"));
    ask("2001:db8:2:1::1").unwrap();
    ask("192.0.2.1").unwrap();
    ask("::ffff:192.0.2.1").unwrap();
    ask("192.0.2.1").unwrap_err();
    for _ in 0..10 {
        ask("127.0.0.1").unwrap();
        ask("::1").unwrap();
    }
}

#[test]
fn certificates_are_counted_by_registered_domain_and_by_their_exact_names() {
    let limits = limits(|settings| {
        settings.certificates_per_domain = Written(Rate::hourly(3));
        settings.certificates_per_names = Written(Rate::hourly(2));
    });
    let account = AccountId::random();
    let ask = |names: &[&str]| {
        let names: Vec<Identifier> = names.iter().map(|name| Identifier::parse("dns", name).unwrap()).collect();
        take(&limits, limits.certificate(&account, None, &names), at(0))
    };
    ask(&["a.example.co.uk", "b.example.co.uk"]).unwrap();
    ask(&["b.example.co.uk", "a.example.co.uk"]).unwrap();
    let told = ask(&["a.example.co.uk", "b.example.co.uk"]).unwrap_err();
    assert!(told.problem().detail.contains("certificates_per_names"), "{told}");
    ask(&["c.example.co.uk"]).unwrap();
    let told = ask(&["*.example.co.uk", "other.example"]).unwrap_err();
    assert!(told.problem().detail.contains("domain example.co.uk"), "{told}");
    ask(&["other.co.uk"]).unwrap();
}

#[test]
fn the_most_particular_override_holds() {
    let (account, customer) = (AccountId::random(), CustomerId::random());
    let exception = |subject: String, count| Exception {
        limit: Limit::OrdersPerAccount,
        subject: subject.parse().unwrap(),
        rate: Written(Rate::hourly(count)),
    };
    let mut limits = limits(|settings| {
        settings.orders_per_hour = 1;
        settings.overrides =
            vec![exception(format!("customer:{customer}"), 2), exception(format!("account:{account}"), 3)];
    });
    let most = |limits: &Limits, account: &AccountId, customer: Option<&CustomerId>| {
        (0..10).take_while(|_| take(limits, limits.order(account, customer), at(0)).is_ok()).count()
    };
    assert_eq!(most(&limits, &account, Some(&customer)), 3);
    assert_eq!(most(&limits, &AccountId::random(), Some(&customer)), 2);
    assert_eq!(most(&limits, &AccountId::random(), None), 1);

    let range = |text: &str, count| Exception {
        limit: Limit::RequestsPerAddress,
        subject: Subject::Addresses(text.parse().unwrap()),
        rate: Written(Rate::hourly(count)),
    };
    limits.settings.overrides = vec![range("10.1.0.0/16", 4), range("10.0.0.0/8", 7), range("10.1.1.0/24", 0)];
    let limits = Limits::new(limits.settings);
    let most = |address: &str| {
        let address = address.parse().unwrap();
        (0..20).take_while(|_| take(&limits, limits.request(address), at(0)).is_ok()).count()
    };
    assert_eq!([most("10.2.0.1"), most("10.1.0.1"), most("10.1.1.1")], [7, 4, 20]);
}

#[test]
fn ever_new_addresses_cost_no_more_than_the_counters_allow() {
    let limits = limits(|settings| {
        settings.counters = 1_000;
        settings.accounts_per_address = Written(Rate::hourly(2));
    });
    let busy = "192.0.2.1".parse().unwrap();
    take(&limits, limits.account(busy), at(0)).unwrap();
    take(&limits, limits.account(busy), at(0)).unwrap();
    for n in 0..20_000_u32 {
        let from = IpAddr::from(0x0a00_0000_u32.wrapping_add(n).to_be_bytes());
        take(&limits, limits.account(from), at(1)).unwrap();
        assert!(limits.counters.lock().len() <= 1_000);
    }
    // Those who use nothing but one each are thrown out before the one who has used up everything.
    take(&limits, limits.account(busy), at(2)).unwrap_err();
    // What is at rest goes first: an hour later there is nothing but what was counted since.
    for n in 0..1_001_u32 {
        take(&limits, limits.account(IpAddr::from(n.to_be_bytes())), at(10_000)).unwrap();
    }
    assert!(limits.counters.lock().len() <= 1_001);
}

#[test]
fn what_happened_already_is_counted_even_when_nothing_is_left() {
    let limits = limits(|settings| settings.failed_validations_per_hour = 2);
    let (account, name) = (AccountId::random(), Identifier::parse("dns", "a.example").unwrap());
    for _ in 0..50 {
        limits.count(&limits.failure(&account, &name), at(0));
    }
    let refused = limits.check(limits.failure(&account, &name), at(0)).unwrap_err();
    assert_eq!(refused.retry_after_hint(), Some(Duration::from_secs(1800)), "it never lies further ahead than an hour");
    limits.give_back(&limits.failure(&account, &name), at(0), at(0));
    limits.check(limits.failure(&account, &name), at(0)).unwrap();
}

#[test]
fn what_came_back_by_itself_is_not_given_back_once_more() {
    let limits = limits(|settings| settings.orders_per_hour = 1);
    let account = AccountId::random();
    take(&limits, limits.order(&account, None), at(0)).unwrap();
    take(&limits, limits.order(&account, None), at(3600)).unwrap();
    limits.give_back(&limits.order(&account, None), at(0), at(3600));
    limits.check(limits.order(&account, None), at(3600)).unwrap_err();
    limits.give_back(&limits.order(&account, None), at(3600), at(3601));
    limits.check(limits.order(&account, None), at(3601)).unwrap();
}
