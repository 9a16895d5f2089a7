//! The rules of validity (family VALIDITY) and of renewal's dates, at newOrder and in the certificates.

use chancery::domain::Timestamp;
use chancery::domain::customer::CustomerKind;
use serde_json::{Value, json};

use crate::acme_tools::{DAY, HOUR, has_parts, look, problem};
use crate::rules_tools::{Issued, SECOND, dated, issue, issued, make_ready, of, place, with};
use crate::support::client::{Client, csr};
use crate::support::world::{BASE, World};

const FREE: &str = "trustasia-dv-free";
const MULTI: &str = "trustasia-dv-multi";
const WILDCARD: &str = "trustasia-dv-wildcard";
const PUBLIC: (&str, &str) = ("validity_schedule = \"documented\"", "validity_schedule = \"baseline-requirements\"");

fn at(text: &str) -> Timestamp {
    Timestamp::parse_rfc3339(text).unwrap()
}

/// A world, and a client whose customer has bought one certificate for that many names.
async fn buyer(changes: &[(&str, &str)], product: &str, names: u32, years: u32) -> (World, Client) {
    let world = World::documented_but(changes).await;
    let customer = world.customer(CustomerKind::Individual).await;
    let client = world.client_of(&customer).await;
    world.buy(&customer, product, names, years).await;
    (world, client)
}

/// Another purchase by the customer of a client.
async fn buy_again(world: &World, product: &str, names: u32) {
    let customers = world.ra().purchases(None, None, 1).await.unwrap();
    world.buy(&customers[0].purchase.customer, product, names, 1).await;
}

/// Moves the clock to a moment.
async fn pass_to(world: &World, moment: Timestamp) {
    world.pass(moment.since(world.now())).await;
}

#[tokio::test]
async fn a_certificate_lasts_the_term_of_its_product_and_its_early_beginning_does_not_exceed_the_cap() {
    let (world, client) = buyer(&[], MULTI, 1, 1).await;
    let now = world.now();
    for (rule, product, life, last) in [
        // A year in all, the hour before its signing included.
        ("VALIDITY-03", FREE, 365 * DAY, now - HOUR + 365 * DAY - SECOND),
        // A year from now; the hour comes on top, since the cap is 397 days.
        ("VALIDITY-09", MULTI, 365 * DAY + HOUR, now + 365 * DAY - SECOND),
    ] {
        let made = issue(&world, &client, &["shop.zone-one.cn"], of(product)).await;
        assert_eq!((made.life(), made.first, made.last), (life, now - HOUR, last), "{rule}");
    }
}

#[tokio::test]
async fn an_end_that_is_asked_for_is_kept_to_the_second_up_to_the_cap_and_refused_beyond_it() {
    let (world, client) = buyer(&[], MULTI, 1, 1).await;
    let now = world.now();
    for (rule, product, start, end, told) in [
        ("VALIDITY-01", MULTI, None, now + 397 * DAY, "at most 397 days"),
        ("VALIDITY-01", MULTI, Some(now + DAY), now + 398 * DAY, "at most 397 days"),
        ("VALIDITY-01", MULTI, Some(now - HOUR), now + 397 * DAY - HOUR, "at most 397 days"),
        ("VALIDITY-01", MULTI, None, now + 730 * DAY, "at most 397 days"),
        // VALIDITY-08: none is for ever.
        ("VALIDITY-01", MULTI, None, at("9999-12-31T23:59:59Z"), "at most 397 days"),
        ("VALIDITY-03", FREE, None, now + 365 * DAY, "at most 365 days"),
        ("VALIDITY-03", FREE, Some(now + 2 * HOUR), now + 2 * HOUR + 365 * DAY, "at most 365 days"),
        ("VALIDITY-03", FREE, None, now + 397 * DAY - SECOND, "at most 365 days"),
    ] {
        let asked = with(of(product), dated(start, Some(end)));
        let refused = place(&client, &["a.zone-one.cn"], asked).await;
        has_parts(&refused.expect_problem(400, "malformed"), &[told, rule, product]);
    }
    for (rule, product, start, end) in [
        ("VALIDITY-01", MULTI, None, now + 397 * DAY - SECOND),
        ("VALIDITY-03", FREE, None, now + 365 * DAY - SECOND),
        ("VALIDITY-03", FREE, Some(now + 2 * HOUR), now + 2 * HOUR + 365 * DAY - SECOND),
        ("VALIDITY-03", FREE, Some(now - HOUR), now + DAY),
    ] {
        let asked = with(of(product), dated(start, Some(end)));
        let made = issue(&world, &client, &["a.zone-one.cn"], asked).await;
        assert_eq!(made.last, end, "{rule}");
        assert_eq!(made.first, start.unwrap_or(made.first), "{rule}");
        assert!(made.life() <= (if product == FREE { 365 } else { 397 }) * DAY, "{rule}: {:?}", made.life());
    }
}

#[tokio::test]
async fn the_caps_are_settings_that_can_be_tightened() {
    let changes = [
        ("max_validity_days = 397", "max_validity_days = 180"),
        ("max_validity_days_renewed = 398", "max_validity_days_renewed = 181"),
    ];
    let (world, client) = buyer(&changes, MULTI, 1, 1).await;
    let names = ["shop.zone-one.cn"];
    //
    for (product, days) in [(FREE, 180), (MULTI, 180)] {
        let beyond = with(of(product), dated(None, Some(world.now() + days * DAY)));
        let refused = place(&client, &names, beyond).await.expect_problem(400, "malformed");
        has_parts(&refused, &["at most 180 days"]);
        assert_eq!(issue(&world, &client, &names, of(product)).await.life(), days * DAY, "{product}");
    }
    buy_again(&world, MULTI, 1).await;
    world.pass(160 * DAY).await;
    assert_eq!(issue(&world, &client, &names, of(MULTI)).await.life(), 181 * DAY);
}

#[tokio::test]
async fn no_certificate_outlives_its_issuer() {
    let world = World::documented_with(|config| config.ca.intermediate_days = 100).await;
    let client = world.client().await;
    let ends = world.now() + 100 * DAY - SECOND;
    world.pass(2 * DAY).await;
    let made = issue(&world, &client, &["a.zone-one.cn"], json!({})).await;
    assert_eq!(made.last, ends);
    issue(&world, &client, &["b.zone-one.cn"], dated(None, Some(ends))).await;
    let refused = place(&client, &["c.zone-one.cn"], dated(None, Some(ends + SECOND))).await;
    has_parts(&refused.expect_problem(400, "malformed"), &["issuing certificate ends", &ends.to_string()]);
}

#[tokio::test]
async fn a_renewed_certificate_has_the_remaining_days_and_more_on_top_and_never_more_than_398() {
    for (rule, extra, left, days) in [
        // VALIDITY-06, X-05: 365 + left + extra.
        ("VALIDITY-06", 0, 30, 395),
        ("VALIDITY-06", 0, 12, 377),
        ("VALIDITY-06", 5, 12, 382),
        ("VALIDITY-06", 1, 1, 367),
        // 365 + 12 + 90, cut.
        ("VALIDITY-02", 90, 12, 398),
        ("VALIDITY-02", 90, 30, 398),
    ] {
        let rollover = format!("rollover_extra_days = {extra}");
        let (world, client) = buyer(&[("rollover_extra_days = 90", &rollover)], MULTI, 1, 1).await;
        buy_again(&world, MULTI, 1).await;
        let names = ["shop.zone-one.cn"];
        let old = issue(&world, &client, &names, of(MULTI)).await;
        pass_to(&world, old.last - left * DAY).await;
        let now = world.now();
        let new = issue(&world, &client, &names, of(MULTI)).await;
        // The hour before its signing comes on top where the cap leaves room.
        let expected = (now + days * DAY).min(now - HOUR + 398 * DAY) - SECOND;
        assert_eq!((new.first, new.last), (now - HOUR, expected), "{rule}: {extra} extra, {left} left");
        // RENEW-01: the old one keeps working until it ends.
        let answer = client.get(&format!("{BASE}/acme/renewal-info/{}", old.id())).await.expect(200).json();
        assert!(at(answer["suggestedWindow"]["end"].as_str().unwrap()) > now - 10 * DAY, "not revoked: {answer}");
    }
}

#[tokio::test]
async fn an_end_that_a_renewal_asks_for_is_capped_at_398_days() {
    let (world, client) = buyer(&[], MULTI, 1, 1).await;
    buy_again(&world, MULTI, 1).await;
    let names = ["shop.zone-one.cn"];
    let old = issue(&world, &client, &names, of(MULTI)).await;
    pass_to(&world, old.last - 10 * DAY).await;
    let now = world.now();
    let beyond = with(of(MULTI), dated(None, Some(now + 398 * DAY)));
    let refused = place(&client, &names, beyond).await.expect_problem(400, "malformed");
    has_parts(&refused, &["at most 398 days", "VALIDITY-02"]);
    let last = now + 398 * DAY - SECOND;
    let new = issue(&world, &client, &names, with(of(MULTI), dated(None, Some(last)))).await;
    assert_eq!((new.last, new.life() <= 398 * DAY), (last, true));
}

#[tokio::test]
async fn the_public_calendar_cuts_certificates_by_the_day_of_their_issuance() {
    let (world, client) = buyer(&[PUBLIC], MULTI, 1, 1).await;
    // Design decision 8; Baseline Requirements 6.3.2.
    for (round, (moment, days)) in [
        ("2026-11-21T12:00:00Z", 200),
        ("2027-03-14T23:59:59Z", 200),
        ("2027-03-15T00:00:00Z", 100),
        ("2029-03-14T23:59:59Z", 100),
        ("2029-03-15T00:00:00Z", 47),
        ("2031-01-01T00:00:00Z", 47),
    ]
    .into_iter()
    .enumerate()
    {
        pass_to(&world, at(moment)).await;
        let now = world.now();
        let name = format!("n{round}.zone-one.cn");
        let free = issue(&world, &client, &[&name], of(FREE)).await;
        assert_eq!(free.life(), days * DAY, "{moment}");
        for product in [FREE, MULTI] {
            let beyond = with(of(product), dated(None, Some(now + days * DAY)));
            let refused = place(&client, &[&name], beyond).await.expect_problem(400, "malformed");
            has_parts(&refused, &[&format!("at most {days} days"), "Baseline Requirements 6.3.2"]);
        }
        buy_again(&world, MULTI, 1).await;
        assert_eq!(issue(&world, &client, &[&name], of(MULTI)).await.life(), days * DAY, "{moment}");
    }
}

#[tokio::test]
async fn an_end_that_the_calendar_forbids_meanwhile_is_refused_and_not_changed() {
    let world = World::documented_but(&[PUBLIC]).await;
    let client = world.client().await;
    pass_to(&world, at("2027-03-14T12:00:00Z")).await;
    let asked = dated(None, Some(world.now() + 150 * DAY));
    let placed = place(&client, &["a.zone-one.cn"], asked).await.expect(201);
    let (url, order) = make_ready(&world, &client, &placed).await;
    world.pass(DAY).await;
    client.finalize(&order, &csr(&["a.zone-one.cn"]).0).await.expect(200);
    let over = look(&client, &url).await;
    problem(&over["error"], "malformed", &["\"notAfter\"", "place a new order"]);
}

#[tokio::test]
async fn what_the_calendar_cut_off_follows_without_being_paid_for_again() {
    let (world, client) = buyer(&[PUBLIC], MULTI, 1, 1).await;
    let names = ["shop.zone-one.cn"];
    let begun = world.now();
    let year_ends = begun + 365 * DAY - SECOND;
    let first = issue(&world, &client, &names, of(MULTI)).await;
    assert_eq!(first.last, begun - HOUR + 200 * DAY - SECOND);
    // REISSUE-05: a reissue in between keeps its end.
    world.pass(20 * DAY).await;
    let again = issue(&world, &client, &names, of(MULTI)).await;
    assert_eq!(again.last, first.last);
    // VALIDITY-09: the price bought a year, so the rest of it follows: from 2027-03-15 in pieces of 100 days.
    pass_to(&world, again.last - 25 * DAY).await;
    let second = issue(&world, &client, &names, of(MULTI)).await;
    assert_eq!((second.life(), second.last < year_ends), (100 * DAY, true));
    // Also after it ended unnoticed.
    pass_to(&world, second.last + 5 * DAY).await;
    let third = issue(&world, &client, &names, of(MULTI)).await;
    assert_eq!((third.last, third.life() < 100 * DAY), (year_ends, true));
    // The year is over: RENEW-02.
    pass_to(&world, year_ends - 29 * DAY).await;
    let refused = place(&client, &names, of(MULTI)).await.expect_problem(403, "userActionRequired");
    has_parts(&refused, &["732.00 USD"]);
    buy_again(&world, MULTI, 1).await;
    assert_eq!(issue(&world, &client, &names, of(MULTI)).await.life(), 100 * DAY);
}

/// Three years of one wildcard name, and its first certificate.
async fn three_years(changes: &[(&str, &str)]) -> (World, Client, Issued) {
    let (world, client) = buyer(changes, WILDCARD, 1, 3).await;
    let first = issue(&world, &client, &["*.zone-one.cn"], json!({})).await;
    assert_eq!(first.order["profile"], WILDCARD);
    (world, client, first)
}

#[tokio::test]
async fn a_purchase_of_three_years_gives_a_certificate_a_year_and_then_wants_another() {
    let (world, client, first) = three_years(&[]).await;
    let names = ["*.zone-one.cn"];
    // VALIDITY-04: a reissue on the way takes no year, and the year that follows is found from it.
    world.pass(100 * DAY).await;
    let again = issue(&world, &client, &names, json!({})).await;
    assert_eq!(again.last, first.last);
    let mut last = again.last;
    for _ in 2..=3 {
        pass_to(&world, last - 20 * DAY).await;
        let next = issue(&world, &client, &names, json!({})).await;
        assert_eq!((next.life(), &next.order["profile"]), (398 * DAY, &json!(WILDCARD)), "VALIDITY-02");
        last = next.last;
    }
    pass_to(&world, last - 20 * DAY).await;
    let refused = place(&client, &names, json!({})).await.expect_problem(403, "userActionRequired");
    has_parts(&refused, &["299.00 USD", WILDCARD]);
}

#[tokio::test]
async fn a_year_is_not_lost_by_coming_late_for_it() {
    let (world, client, first) = three_years(&[]).await;
    let names = ["*.zone-one.cn"];
    // VALIDITY-04, BUY-08: paid is paid. What is not there any more can't be rolled over.
    let mut last = first.last;
    for _ in 2..=3 {
        pass_to(&world, last + 40 * DAY).await;
        let now = world.now();
        let next = issue(&world, &client, &names, json!({})).await;
        assert_eq!(next.last, now + 365 * DAY - SECOND);
        last = next.last;
    }
    pass_to(&world, last + 40 * DAY).await;
    place(&client, &names, of(WILDCARD)).await.expect_problem(403, "userActionRequired");
}

#[tokio::test]
async fn the_years_of_a_purchase_are_for_the_names_of_the_first() {
    let (world, client, first) = three_years(&[]).await;
    // DOM-12: in the window, after the end, and before.
    for moment in [first.last - 100 * DAY, first.last - 20 * DAY, first.last + DAY] {
        pass_to(&world, moment).await;
        let refused = place(&client, &["*.zone-two.cn"], of(WILDCARD)).await;
        has_parts(&refused.expect_problem(403, "userActionRequired"), &["299.00 USD"]);
    }
    issue(&world, &client, &["*.zone-one.cn"], json!({})).await;
}

#[tokio::test]
async fn a_year_whose_order_came_to_nothing_is_there_again_and_not_before() {
    let (world, client, first) = three_years(&[]).await;
    let names = ["*.zone-one.cn"];
    for round in 0..3 {
        pass_to(&world, first.last - (20 - 5 * round) * DAY).await;
        let placed = place(&client, &names, json!({})).await.expect(201);
        // The same request meets the same order; other dates are no reason to use up another year. The server's own order, placed
        // when the window opened, gives way to the client's.
        assert_eq!(place(&client, &names, of(WILDCARD)).await.expect(201).location(), placed.location());
        let other = dated(None, Some(world.now() + 100 * DAY));
        let refused = place(&client, &names, other).await;
        has_parts(&refused.expect_problem(429, "rateLimited"), &["used by order", "BUY-05"]);
        assert_eq!(refused.header("retry-after"), Some("259200"));
        world.pass(3 * DAY).await;
        assert_eq!(look(&client, placed.location()).await["status"], "invalid");
    }
    // Two years are left, as before.
    let second = issue(&world, &client, &names, json!({})).await;
    pass_to(&world, second.last - DAY).await;
    let third = issue(&world, &client, &names, json!({})).await;
    pass_to(&world, third.last - DAY).await;
    place(&client, &names, json!({})).await.expect_problem(403, "userActionRequired");
}

#[tokio::test]
async fn a_reissue_that_is_finished_late_does_not_close_the_purchase_under_an_open_renewal() {
    let (world, client) = buyer(&[], WILDCARD, 1, 2).await;
    let names = ["*.zone-one.cn"];
    let first = issue(&world, &client, &names, of(WILDCARD)).await;
    pass_to(&world, first.last - 30 * DAY - HOUR).await;
    let reissue = place(&client, &names, json!({})).await.expect(201);
    let (_, ready) = make_ready(&world, &client, &reissue).await;
    world.pass(2 * HOUR).await;
    // The last year is begun, and then the certificate of this one is made once more.
    let renewal = place(&client, &names, json!({ "replaces": first.id() })).await.expect(201);
    let done = client.finalize(&ready, &csr(&names).0).await.expect(200).json();
    assert_eq!(issued(&client, done).await.last, first.last);
    let other = dated(None, Some(world.now() + 100 * DAY));
    place(&client, &names, other.clone()).await.expect_problem(429, "rateLimited");
    world.pass(3 * DAY).await;
    assert_eq!(look(&client, renewal.location()).await["status"], "invalid");
    place(&client, &names, other).await.expect(201);
}

#[tokio::test]
async fn a_second_purchase_is_not_begun_while_the_order_of_the_first_is_open() {
    let (world, client) = buyer(&[], MULTI, 1, 1).await;
    buy_again(&world, MULTI, 1).await;
    let names = ["shop.zone-one.cn"];
    let placed = place(&client, &names, of(MULTI)).await.expect(201);
    let other = with(of(MULTI), dated(None, Some(world.now() + 100 * DAY)));
    place(&client, &names, other.clone()).await.expect_problem(429, "rateLimited");
    // Other names are another matter.
    place(&client, &["b.zone-one.cn"], of(MULTI)).await.expect(201);
    // Giving up an authorization ends the order, and its purchase is free.
    let authz = placed.json()["authorizations"][0].as_str().unwrap().to_owned();
    client.post(&authz, &json!({ "status": "deactivated" })).await.expect(200);
    place(&client, &names, other).await.expect(201);
}

/// The suggested window of a certificate.
async fn suggested(client: &Client, made: &Issued) -> (Timestamp, Timestamp) {
    let answer = client.get(&format!("{BASE}/acme/renewal-info/{}", made.id())).await.expect(200).json();
    let moment = |member: &str| at(answer["suggestedWindow"][member].as_str().unwrap());
    (moment("start"), moment("end"))
}

#[tokio::test]
async fn the_suggested_window_is_from_30_days_to_3_business_days_before_the_end() {
    let world = World::documented().await;
    let client = world.client().await;
    for (rule, last, start, end) in [
        // RENEW-03; RENEW-12: Monday to Wednesday, Thursday to Monday, Saturday to Wednesday.
        ("RENEW-12", "2027-11-15T10:00:00Z", "2027-10-16T10:00:00Z", "2027-11-10T10:00:00Z"),
        ("RENEW-12", "2027-11-18T10:00:00Z", "2027-10-19T10:00:00Z", "2027-11-15T10:00:00Z"),
        ("RENEW-12", "2027-11-20T10:00:00Z", "2027-10-21T10:00:00Z", "2027-11-17T10:00:00Z"),
    ] {
        let made = issue(&world, &client, &["a.zone-one.cn"], dated(None, Some(at(last)))).await;
        assert_eq!(suggested(&client, &made).await, (at(start), at(end)), "{rule}");
    }
    // A short one is not to be renewed from its birth on, and the window of the shortest is not empty.
    for days in [40, 20, 4, 1] {
        let made = issue(&world, &client, &["b.zone-one.cn"], dated(None, Some(world.now() + days * DAY))).await;
        let (start, end) = suggested(&client, &made).await;
        assert!(made.first + made.life() * 3 / 5 < start && start < end && end < made.last, "{days}: {start} to {end}");
    }
    //
    let world = World::documented_but(&[("renewal_window_days = 30", "renewal_window_days = 20")]).await;
    let client = world.client().await;
    let made = issue(&world, &client, &["a.zone-one.cn"], json!({})).await;
    assert_eq!(suggested(&client, &made).await.0, made.last - 20 * DAY);
    // A revoked one is to be renewed at once.
    client.revoke(&made.der, Some(4)).await.expect(200);
    assert!(suggested(&client, &made).await.1 < world.now());
}

#[tokio::test]
async fn a_client_that_follows_the_suggested_window_renews_and_does_not_reissue() {
    let (world, client) = buyer(&[], WILDCARD, 1, 2).await;
    let names = ["*.zone-one.cn"];
    let first = issue(&world, &client, &names, of(WILDCARD)).await;
    // RENEW-02
    pass_to(&world, suggested(&client, &first).await.0).await;
    let replacing: Value = json!({ "replaces": first.id() });
    let second = issue(&world, &client, &names, replacing.clone()).await;
    assert!(second.last > first.last + 300 * DAY);
    assert_eq!(second.order["replaces"], first.id());
    place(&client, &names, replacing).await.expect_problem(409, "alreadyReplaced");
    let done = issued(&client, second.order.clone()).await;
    assert_eq!(done.der, second.der);
}
