//! Canceling and refunding: REFUND-01 to REFUND-08, DELETE-03.

use chancery::domain::customer::CustomerKind;
use serde_json::{Value, json};

use crate::acme_tools::{DAY, has_parts};
use crate::money_tools::{MULTI, WILDCARD, balance, books_balance, buy, buyer, credit, order_to, refusal};
use crate::rules_tools::of;
use crate::support::client::{Response, csr};
use crate::support::operator::Operator;
use crate::support::world::World;

fn path(purchase: &Value) -> String {
    format!("/purchases/{}", purchase["id"].as_str().unwrap())
}

async fn refund(caller: &Operator, purchase: &Value, consent: bool) -> Response {
    caller.send("POST", &format!("{}/refunds", path(purchase)), &json!({ "consent": consent })).await
}

async fn cancel(caller: &Operator, purchase: &Value) -> Response {
    order_to(caller, &format!("{}/cancellation", path(purchase))).await
}

fn order_id(placed: &Response) -> String {
    placed.location().rsplit('/').next().unwrap().to_owned()
}

#[tokio::test]
async fn what_was_paid_goes_back_in_its_shares_but_for_discount_and_voucher() {
    let mut world = World::documented().await;
    let (customer, caller) = buyer(&world).await;
    let operator = Operator::of(&world);
    operator.send("PUT", &format!("/customers/{customer}/discount"), &json!({ "percent": 10 })).await.expect(200);
    for (kind, amount) in [("voucher", "100.00"), ("points", "50.00"), ("gift", "200.00"), ("cash", "1000.00")] {
        credit(&world, &customer, kind, amount).await;
    }
    let made = buy(&caller, MULTI, 1, json!({})).await;
    // REFUND-02: what was not submitted is canceled first.
    has_parts(&refusal(&refund(&caller, &made, true).await, 409), &["Cancel the application first", "REFUND-02"]);
    let canceled = cancel(&caller, &made).await.expect(200).json();
    assert_eq!(
        (&canceled["state"], canceled["next"].as_str().unwrap().contains("REFUND-02")),
        (&json!("canceled"), true)
    );
    has_parts(&refusal(&cancel(&caller, &made).await, 409), &["was canceled at"]);
    // REFUND-07
    for without in [json!({}), json!({ "consent": false })] {
        let answer = caller.send("POST", &format!("{}/refunds", path(&made)), &without).await;
        has_parts(&refusal(&answer, 403), &["Consent is required", "REFUND-07"]);
    }
    let back = refund(&caller, &made, true).await.expect(201).json();
    // REFUND-05, REFUND-06, REFUND-03
    for (member, amount) in [("cash", "308.80"), ("gift", "200.00"), ("points", "50.00"), ("not_refunded", "173.20")] {
        assert_eq!(back[member], amount, "{member}");
    }
    let now = balance(&caller, &customer).await;
    assert_eq!((&now["cash"], &now["gift"]), (&json!("1000.00"), &json!("200.00")));
    assert_eq!((&now["points"][0]["left"], &now["vouchers"]), (&json!("50.00"), &json!([])));
    // REFUND-04
    has_parts(&refusal(&refund(&caller, &made, true).await, 409), &["final", "REFUND-04"]);
    has_parts(&refusal(&cancel(&caller, &made).await, 409), &["REFUND-04"]);
    let renewal = caller.send("PUT", &format!("{}/auto-renewal", path(&made)), &json!({ "enabled": true })).await;
    has_parts(&refusal(&renewal, 409), &["canceled or refunded"]);
    assert_eq!(caller.get(&path(&made)).await.json()["state"], "refunded");
    let books = books_balance(&world).await;
    assert!(books["accounts"].get("revenue").is_none_or(|revenue| revenue == "0.00"), "{books}");
    // Nobody else may.
    let (_, stranger) = buyer(&world).await;
    refund(&stranger, &made, true).await.expect(404);
    cancel(&stranger, &made).await.expect(404);
    let told = world.messages().await;
    let refunded = told.iter().find(|notice| notice.event == "purchase-refunded").unwrap();
    has_parts(&refunded.text, &["308.80 USD", "not refunded (REFUND-03)", "REFUND-04"]);
    has_parts(&format!("{:?}", world.audit().await), &["PurchaseCanceled", "PurchaseRefunded"]);
}

#[tokio::test]
async fn the_quote_tells_what_is_not_refunded() {
    let world = World::documented().await;
    let notes = async |query: &str| {
        let quote = Operator::with(&world, None).get(&format!("/quotes?{query}")).await.expect(200).json();
        quote["notes"].to_string()
    };
    let (one, three) = ("product=trustasia-dv-multi&names=1", "product=trustasia-dv-wildcard&names=1&years=3");
    has_parts(&notes(one).await, &["not refunded (REFUND-03)"]);
    assert!(!notes(one).await.contains("REFUND-08"));
    has_parts(&notes(three).await, &["REFUND-03", "not refunded in part (REFUND-08)"]);
    assert!(!notes("product=trustasia-dv-free&names=1").await.contains("REFUND"));
}

#[tokio::test]
async fn a_purchase_whose_application_failed_can_be_refunded_and_one_that_was_issued_can_not() {
    let world = World::documented().await;
    let (customer, caller) = buyer(&world).await;
    let client = world.client_of(&customer).await;
    credit(&world, &customer, "cash", "3000.00").await;
    let failed = buy(&caller, MULTI, 1, json!({})).await;
    let names = ["shop.zone-one.cn"];
    client.new_order(&names).await.expect(201);
    // While it is under way, it is canceled first.
    has_parts(&refusal(&refund(&caller, &failed, true).await, 409), &["REFUND-02"]);
    world.pass(DAY * 4).await;
    // REFUND-01: validation failed.
    assert_eq!(refund(&caller, &failed, true).await.expect(201).json()["cash"], "732.00");
    // REFUND-04: it entitles to nothing any more.
    client.new_order_of(crate::acme_tools::order_of(&names, of(MULTI))).await.expect_problem(403, "userActionRequired");

    let issued = buy(&caller, MULTI, 1, json!({})).await;
    world.certificate(&client, &names).await;
    for answer in [refund(&caller, &issued, true).await, cancel(&caller, &issued).await] {
        has_parts(&refusal(&answer, 409), &["Issued certificates are not refunded", "REFUND-01"]);
    }
    // REFUND-08: nor the years that are left of several.
    let years = buy(&caller, WILDCARD, 1, json!({ "years": 3 })).await;
    world.certificate(&client, &["*.zone-two.cn"]).await;
    let detail = refusal(&refund(&caller, &years, true).await, 409);
    has_parts(&detail, &["REFUND-01", "of 3 years 1", "No partial refund", "REFUND-08"]);
    let part = caller.send("POST", &format!("{}/refunds", path(&years)), &json!({ "consent": true, "years": 1 })).await;
    part.expect(400);
    books_balance(&world).await;
}

#[tokio::test]
async fn an_application_is_canceled_before_anything_is_issued() {
    let world = World::documented().await;
    let (customer, caller) = buyer(&world).await;
    let client = world.client_of(&customer).await;
    let made =
        Operator::of(&world).post("/purchases", &json!({ "customer": customer, "product": MULTI, "names": 1 })).await;
    let names = ["shop.zone-one.cn"];
    let placed = client.new_order(&names).await.expect(201);
    let canceled = order_to(&caller, &format!("/orders/{}/cancellation", order_id(&placed))).await.expect(200).json();
    assert_eq!(canceled["status"], "canceled", "DELETE-03");
    has_parts(canceled["problem"]["detail"].as_str().unwrap(), &["canceled by its holder"]);
    // RFC 8555 section 7.1.6
    assert_eq!(client.post_as_get(placed.location()).await.expect(200).json()["status"], "invalid");
    let again = order_to(&caller, &format!("/orders/{}/cancellation", order_id(&placed))).await;
    has_parts(&refusal(&again, 409), &["over already"]);
    // The term is there again, and the purchase may be refunded or used.
    assert_eq!(caller.get(&path(&made)).await.json()["state"], "pending-submission");
    let (order, _) = world.certificate(&client, &names).await;
    let id = order["finalize"].as_str().unwrap().split('/').rev().nth(1).unwrap().to_owned();
    let issued = order_to(&caller, &format!("/orders/{id}/cancellation")).await;
    has_parts(&refusal(&issued, 409), &["has its certificate", "revoke", "DELETE-02"]);
    // Free ones give their slot back.
    let free = client.new_order_of(crate::acme_tools::order_of(&["a.zone-two.cn"], of("trustasia-dv-free"))).await;
    order_to(&caller, &format!("/orders/{}/cancellation", order_id(&free))).await.expect(200);
    let (_, stranger) = buyer(&world).await;
    order_to(&stranger, &format!("/orders/{}/cancellation", order_id(&free))).await.expect(404);
}

#[tokio::test]
async fn what_waits_for_a_person_leaves_the_desk_when_its_purchase_is_canceled() {
    let world = World::documented().await;
    let (customer, caller) = buyer(&world).await;
    let client = world.client_of(&customer).await;
    credit(&world, &customer, "gift", "732.00").await;
    let made = buy(&caller, MULTI, 1, json!({})).await;
    let names = ["pay.zone-one.cn"];
    let (url, order) = world.ready_order(&client, &names).await;
    client.finalize(&order, &csr(&names).0).await.expect(200);
    let operator = Operator::of(&world);
    assert_eq!(operator.get("/reviews").await.json()["items"].as_array().unwrap().len(), 1);
    assert_eq!(cancel(&caller, &made).await.expect(200).json()["orders"][0]["status"], "canceled");
    assert_eq!(operator.get("/reviews").await.json()["items"], json!([]));
    assert_eq!(client.post_as_get(&url).await.json()["status"], "invalid");
    assert_eq!(refund(&caller, &made, true).await.expect(201).json()["gift"], "732.00");
}

#[tokio::test]
async fn what_was_paid_outside_is_owed_outside() {
    let world = World::documented().await;
    let (customer, caller) = buyer(&world).await;
    let operator = Operator::of(&world);
    let made = operator.post("/purchases", &json!({ "customer": customer, "product": MULTI, "names": 1 })).await;
    cancel(&caller, &made).await.expect(200);
    let back = refund(&operator, &made, true).await.expect(201).json();
    assert_eq!((&back["outside"], &back["cash"]), (&json!("732.00"), &json!("0.00")));
    let books = books_balance(&world).await;
    assert_eq!((&books["accounts"]["owed"], &books["accounts"]["outside"]), (&json!("732.00"), &json!("-732.00")));
}

#[tokio::test]
async fn a_refund_and_an_order_at_once_do_not_both_get_the_purchase() {
    let (mut refunds, mut orders) = (0, 0);
    for _ in 0..6 {
        let world = World::documented().await;
        let (customer, caller) = buyer(&world).await;
        let client = world.client_of(&customer).await;
        credit(&world, &customer, "cash", "732.00").await;
        let made = buy(&caller, MULTI, 1, json!({})).await;
        let names = ["shop.zone-one.cn"];
        let placed = client.new_order(&names).await.expect(201);
        for authz in client.authorizations(&placed.json()).await {
            world.prove(&client, &authz).await.ok();
        }
        let order = client.post_as_get(placed.location()).await.json();
        let (request, _) = csr(&names);
        let (done, canceled) = tokio::join!(client.finalize(&order, &request), cancel(&caller, &made));
        let refunded = refund(&caller, &made, true).await.status == 201;
        let issued = done.status == 200 && client.post_as_get(placed.location()).await.json()["status"] == "valid";
        assert!(refunded != issued, "{done} {canceled}");
        let cash = balance(&caller, &customer).await["cash"].clone();
        assert_eq!(cash, if refunded { "732.00" } else { "0.00" });
        books_balance(&world).await;
        (refunds, orders) = (refunds + u32::from(refunded), orders + u32::from(issued));
    }
    assert_eq!(refunds + orders, 6);
}

#[tokio::test]
async fn a_purchase_is_refunded_once_however_often_it_is_asked_for_at_once() {
    let world = World::documented().await;
    let (customer, caller) = buyer(&world).await;
    credit(&world, &customer, "cash", "732.00").await;
    let made = buy(&caller, MULTI, 1, json!({})).await;
    cancel(&caller, &made).await.expect(200);
    let one = || refund(&caller, &made, true);
    let (a, b, c, d) = tokio::join!(one(), one(), one(), one());
    let mut statuses = [a, b, c, d].map(|answer| answer.status.as_u16());
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 409, 409, 409]);
    assert_eq!(balance(&caller, &customer).await["cash"], "732.00");
}

#[tokio::test]
async fn an_application_that_reviewers_refused_is_refunded_and_one_that_they_have_is_canceled_first() {
    let world = World::documented().await;
    let customer = world.customer(CustomerKind::Enterprise).await;
    let operator = Operator::of(&world);
    credit(&world, &customer, "cash", "50000.00").await;
    let form = json!({
        "organisation": {
            "name": "Shenzhen Zone Trading Co., Ltd.", "department": "IT", "address": "1 Keji Road",
            "locality": "Shenzhen", "state": "Guangdong", "country": "CN", "phone": "+86 755 1234 5678",
        },
        "administrator": {
            "name": "Li Wei", "position": "Head of IT", "phone": "+86 755 1234 5679", "email": "li.wei@zone-one.cn",
        },
    });
    let reviews = async || {
        let list = operator.get("/reviews").await.expect(200).json();
        let mut items = list["items"].as_array().unwrap().clone();
        items.retain(|item| item["kind"] == "application");
        items
    };
    for (refused, letter) in [(true, true), (false, true), (false, false)] {
        let asked = json!({ "customer": customer, "product": "geotrust-ov-single", "names": 1, "payment": "balance" });
        let made = operator.post("/purchases", &asked).await;
        operator.send("PUT", &format!("{}/application", path(&made)), &form).await.expect(200);
        if letter {
            let sealed = b"%PDF-1.7\n1 0 obj << >> endobj\ntrailer << >>\n%%EOF\n".to_vec();
            let place = format!("{}/letter", path(&made));
            operator.request("PUT", &place, "application/octet-stream", sealed).await.ok();
            assert_eq!(reviews().await.len(), 1);
        }
        if refused {
            let review = reviews().await[0]["review"].as_str().unwrap().to_owned();
            let no = json!({ "decision": "reject", "note": "not in the register" });
            operator.send("POST", &format!("/reviews/{review}/decision"), &no).await.expect(200);
        } else {
            // REFUND-02, DELETE-03
            has_parts(&refusal(&refund(&operator, &made, true).await, 409), &["Cancel the application first"]);
            assert_eq!(cancel(&operator, &made).await.expect(200).json()["state"], "canceled");
        }
        // REFUND-01
        assert_eq!(refund(&operator, &made, true).await.expect(201).json()["cash"], made["price"]);
        assert_eq!(reviews().await, Vec::<Value>::new());
        let again = operator.send("PUT", &format!("{}/application", path(&made)), &form).await;
        has_parts(&refusal(&again, 409), &["canceled or refunded", "REFUND-04"]);
    }
    books_balance(&world).await;
}
