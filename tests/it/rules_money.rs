//! How a price is paid from what a customer has, and that money is neither made nor lost.

use chancery::domain::customer::CustomerKind;
use serde_json::{Value, json};

use crate::acme_tools::{DAY, has_parts};
use crate::money_tools::{MULTI, WILDCARD, balance, books_balance, buy, buyer, credit, order_to, refusal};
use crate::support::operator::Operator;
use crate::support::world::World;

#[tokio::test]
async fn discount_voucher_points_gift_and_cash_pay_in_this_sequence() {
    // (rule, discount, voucher, points, gift, cash; what each pays of 732.00)
    for (rule, percent, has, pays) in [
        ("BUY-07", 0, ["", "", "", "732.00"], ["0.00", "0.00", "0.00", "0.00", "732.00"]),
        ("BUY-01", 10, ["100.00", "50.00", "8.80", "1000.00"], ["73.20", "100.00", "50.00", "8.80", "500.00"]),
        ("BUY-01", 0, ["800.00", "50.00", "", ""], ["0.00", "732.00", "0.00", "0.00", "0.00"]),
        ("BUY-01", 0, ["", "731.99", "0.02", "1.00"], ["0.00", "0.00", "731.99", "0.01", "0.00"]),
        ("BUY-01", 100, ["", "", "", ""], ["732.00", "0.00", "0.00", "0.00", "0.00"]),
        // What is less than a cent is not let off.
        ("BUY-01", 33, ["", "", "1000.00", ""], ["241.56", "0.00", "0.00", "490.44", "0.00"]),
    ] {
        let world = World::documented().await;
        let (customer, caller) = buyer(&world).await;
        let operator = Operator::of(&world);
        operator
            .send("PUT", &format!("/customers/{customer}/discount"), &json!({ "percent": percent }))
            .await
            .expect(200);
        for (kind, amount) in ["voucher", "points", "gift", "cash"].into_iter().zip(has) {
            if !amount.is_empty() {
                credit(&world, &customer, kind, amount).await;
            }
        }
        let made = buy(&caller, MULTI, 1, json!({})).await;
        let paid = &made["payment"];
        let shares = ["discount", "voucher", "points", "gift", "cash"].map(|share| paid[share].as_str().unwrap());
        assert_eq!(shares, pays, "{rule}");
        assert_eq!(made["price"], "732.00");
        books_balance(&world).await;
    }
}

#[tokio::test]
async fn a_balance_that_is_too_low_is_told_with_what_is_lacking() {
    let world = World::documented().await;
    let (customer, caller) = buyer(&world).await;
    credit(&world, &customer, "cash", "700.00").await;
    credit(&world, &customer, "gift", "31.99").await;
    let asked = json!({ "product": MULTI, "names": 1, "payment": "balance" });
    let detail = refusal(&caller.send("POST", "/purchases", &asked).await, 403);
    has_parts(&detail, &["too low", "732.00 USD are needed", "731.99 USD", "0.01 USD are lacking"]);
    let kept = balance(&caller, &customer).await;
    assert_eq!((&kept["cash"], &kept["gift"]), (&json!("700.00"), &json!("31.99")));
    credit(&world, &customer, "cash", "0.01").await;
    buy(&caller, MULTI, 1, json!({})).await;
    // Customers don't pay outside by their own word.
    let outside = json!({ "product": MULTI, "names": 1, "payment": "outside" });
    caller.send("POST", "/purchases", &outside).await.expect(403);
    // Without a word customers pay from the balance, operators outside.
    caller.send("POST", "/purchases", &json!({ "product": MULTI, "names": 1 })).await.expect(403);
    let by_operator = json!({ "customer": customer, "product": MULTI, "names": 1 });
    assert_eq!(Operator::of(&world).post("/purchases", &by_operator).await["payment"]["method"], "outside");
    let books = books_balance(&world).await;
    assert_eq!((&books["accounts"]["revenue"], &books["accounts"]["outside"]), (&json!("1464.00"), &json!("-1432.01")));
}

#[tokio::test]
async fn coupons_pay_for_their_product_until_they_lapse() {
    let world = World::documented().await;
    let (customer, caller) = buyer(&world).await;
    let operator = Operator::of(&world);
    let grant = async |kind: &str, amount: &str, further: Value| {
        let mut asked = json!({ "kind": kind, "amount": amount, "note": "n" });
        asked.as_object_mut().unwrap().extend(further.as_object().unwrap().clone());
        let entry = operator.post(&format!("/customers/{customer}/credits"), &asked).await;
        entry["postings"][1]["coupon"].as_str().unwrap().to_owned()
    };
    credit(&world, &customer, "cash", "5000.00").await;
    let other = grant("voucher", "10.00", json!({ "product": WILDCARD })).await;
    let lapsing = grant("voucher", "20.00", json!({ "expires": (world.now() + DAY).to_string() })).await;
    let lasting = grant("voucher", "40.00", json!({})).await;
    let points = grant("points", "80.00", json!({ "product": MULTI })).await;
    // Those that fit are used by themselves, and a coupon that isn't used up is there again.
    let made = buy(&caller, WILDCARD, 1, json!({ "coupons": [other, other] })).await;
    assert_eq!((&made["payment"]["voucher"], &made["payment"]["cash"]), (&json!("10.00"), &json!("289.00")));
    let made = buy(&caller, MULTI, 1, json!({ "coupons": [] })).await;
    assert_eq!(made["payment"]["cash"], "732.00");
    for (coupons, status, word) in [
        (json!([other]), 403, "for \"trustasia-dv-wildcard\" only"),
        (json!(["AAAAAAAAAAAAAAAAAAAAAA"]), 404, "no coupon"),
        (json!(["x"]), 404, "no coupon"),
    ] {
        let asked = json!({ "product": MULTI, "names": 1, "payment": "balance", "coupons": coupons });
        has_parts(&refusal(&caller.send("POST", "/purchases", &asked).await, status), &[word]);
    }
    world.pass(DAY * 2).await;
    let asked = json!({ "product": MULTI, "names": 1, "payment": "balance", "coupons": [lapsing] });
    has_parts(&refusal(&caller.send("POST", "/purchases", &asked).await, 403), &["lapsed at"]);
    let made = buy(&caller, MULTI, 1, json!({})).await;
    assert_eq!((&made["payment"]["voucher"], &made["payment"]["points"]), (&json!("40.00"), &json!("80.00")));
    assert_eq!(balance(&caller, &customer).await["vouchers"], json!([]), "{lasting} {points}");
    books_balance(&world).await;
    // Coupons of others are as if they were not there.
    let (_, stranger) = buyer(&world).await;
    let asked = json!({ "product": MULTI, "names": 1, "payment": "balance", "coupons": [lasting] });
    stranger.send("POST", "/purchases", &asked).await.expect(404);
}

#[tokio::test]
async fn nobody_spends_the_same_money_twice() {
    let world = World::documented().await;
    let (customer, caller) = buyer(&world).await;
    // Enough for three.
    credit(&world, &customer, "cash", "900.00").await;
    let asked = json!({ "product": WILDCARD, "names": 1, "payment": "balance" });
    let one = || caller.send("POST", "/purchases", &asked);
    let (a, b, c, d, e, f) = tokio::join!(one(), one(), one(), one(), one(), one());
    let made = [a, b, c, d, e, f].iter().filter(|answer| answer.status == 201).count();
    assert_eq!(made, 3);
    assert_eq!(balance(&caller, &customer).await["cash"], "3.00");
    books_balance(&world).await;
}

/// The next number of a sequence that is the same in every run (Knuth's linear congruence).
fn roll(state: &mut u64, below: u64) -> u64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*state >> 33) % below
}

#[tokio::test]
async fn whatever_is_done_the_books_balance_and_refunds_give_back_the_shares() {
    let world = World::documented().await;
    let operator = Operator::of(&world);
    let buyers = [buyer(&world).await, buyer(&world).await];
    let (mut state, mut bought, mut refunds) = (20_261_121, Vec::new(), 0);
    for _ in 0..160 {
        let (customer, caller) = &buyers[roll(&mut state, 2) as usize];
        match roll(&mut state, 8) {
            kind @ 0..4 => {
                let kind = ["cash", "gift", "voucher", "points"][kind as usize];
                let amount = 1 + roll(&mut state, 80_000);
                credit(&world, customer, kind, &format!("{}.{:02}", amount / 100, amount % 100)).await;
            }
            4 => {
                let percent = json!({ "percent": roll(&mut state, 60) });
                operator.send("PUT", &format!("/customers/{customer}/discount"), &percent).await.expect(200);
            }
            5 | 6 => {
                let product = [MULTI, WILDCARD][roll(&mut state, 2) as usize];
                let asked = json!({ "product": product, "names": 1, "payment": "balance" });
                let answer = caller.send("POST", "/purchases", &asked).await;
                match answer.status.as_u16() {
                    201 => bought.push((customer.clone(), answer.json())),
                    status => assert_eq!(status, 403, "{answer}"),
                }
            }
            _ if bought.is_empty() => {}
            _ => {
                let place = roll(&mut state, bought.len() as u64) as usize;
                let (customer, purchase) = bought.swap_remove(place);
                let path = format!("/purchases/{}", purchase["id"].as_str().unwrap());
                let before = balance(&operator, &customer).await;
                order_to(&operator, &format!("{path}/cancellation")).await.expect(200);
                let back = operator.post(&format!("{path}/refunds"), &json!({ "consent": true })).await;
                let after = balance(&operator, &customer).await;
                for share in ["cash", "gift", "points"] {
                    assert_eq!(back[share], purchase["payment"][share], "REFUND-05, REFUND-06");
                }
                let cents = |value: &Value| value.as_str().unwrap().replace('.', "").parse::<u64>().unwrap();
                assert_eq!(cents(&after["cash"]), cents(&before["cash"]) + cents(&back["cash"]));
                assert_eq!(cents(&after["gift"]), cents(&before["gift"]) + cents(&back["gift"]));
                refunds += 1;
            }
        }
        books_balance(&world).await;
    }
    assert!(refunds > 5, "the sequence refunds too little to show anything");
}

#[tokio::test]
async fn individuals_buy_no_organisation_validation_from_the_balance_either() {
    let world = World::documented().await;
    let (customer, caller) = buyer(&world).await;
    credit(&world, &customer, "cash", "100000.00").await;
    let asked = json!({ "product": "geotrust-ov-single", "names": 1, "payment": "balance" });
    has_parts(&refusal(&caller.send("POST", "/purchases", &asked).await, 403), &["CAT-15"]);
    let company = world.customer(CustomerKind::Enterprise).await;
    let foreign = json!({ "customer": company, "product": MULTI, "names": 1, "payment": "balance" });
    caller.send("POST", "/purchases", &foreign).await.expect(404);
    assert_eq!(balance(&caller, &customer).await["cash"], "100000.00");
}
