//! The review desk over REST: orders with a sensitive word in a paid name wait there for a person (WORD-05).

use std::time::Duration;

use chancery::domain::CustomerId;
use chancery::domain::audit::Act;
use chancery::domain::customer::CustomerKind;
use rcgen::KeyPair;
use serde_json::{Value, json};

use crate::acme_tools::{DAY, HOUR, has_parts, leaf, look, order_of, parsed, problem};
use crate::support::client::{Client, Response, csr, csr_with};
use crate::support::dns::Failure;
use crate::support::operator::Operator;
use crate::support::signer::Signer;
use crate::support::world::World;

const MULTI: &str = "trustasia-dv-multi";
const NAME: &str = "pay.zone-one.cn";

/// An order at the desk, and whose it is.
struct Waiting {
    customer: CustomerId,
    client: Client,
    place: String,
    order: Value,
    csr: Vec<u8>,
}

impl Waiting {
    /// An order of a new customer for this name.
    async fn new(world: &World, name: &str) -> Self {
        let customer = world.customer(CustomerKind::Individual).await;
        let client = world.client_of(&customer).await;
        world.buy(&customer, MULTI, 1, 1).await;
        Self::of(world, customer, client, name).await
    }

    async fn of(world: &World, customer: CustomerId, client: Client, name: &str) -> Self {
        let (place, order) = world.ready_order(&client, &[name]).await;
        let csr = csr(&[name]).0;
        let done = client.finalize(&order, &csr).await.expect(200);
        assert_eq!(done.json()["status"], "processing", "{done}");
        Self { customer, client, place, order, csr }
    }

    fn id(&self) -> &str {
        self.place.rsplit('/').next().unwrap()
    }

    /// The order as its owner sees it.
    async fn look(&self) -> Value {
        look(&self.client, &self.place).await
    }

    /// The order as the operator sees it.
    async fn shown(&self, operator: &Operator) -> Value {
        operator.get(&format!("/orders/{}", self.id())).await.expect(200).json()
    }

    /// The state of the customer's only purchase.
    async fn purchase(&self, operator: &Operator) -> Value {
        let found = operator.get(&format!("/purchases?customer={}", self.customer)).await.expect(200).json();
        assert_eq!(found["items"].as_array().unwrap().len(), 1);
        found["items"][0]["state"].clone()
    }

    async fn decide(&self, operator: &Operator, decision: &str, note: &str) -> Response {
        let body = json!({ "decision": decision, "note": note });
        operator.send("POST", &format!("/reviews/{}/decision", self.id()), &body).await
    }

    async fn approve(&self, operator: &Operator) -> Value {
        self.decide(operator, "approve", "a shop").await.expect(200).json()
    }
}

/// The orders in the queue.
async fn queue(operator: &Operator) -> Vec<String> {
    let list = operator.get("/reviews").await.expect(200).json();
    list["items"].as_array().unwrap().iter().map(|item| item["order"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn the_queue_is_in_the_order_of_waiting_and_comes_in_pages() {
    let world = World::documented().await;
    let operator = Operator::of(&world);
    let mut waiting = Vec::new();
    for n in 0..5 {
        waiting.push(Waiting::new(&world, &format!("pay{n}.zone-one.cn")).await);
        world.clock.advance(HOUR);
    }
    let list = operator.get("/reviews").await.expect(200).json();
    for (n, (item, one)) in list["items"].as_array().unwrap().iter().zip(&waiting).enumerate() {
        assert_eq!(item["order"], one.id());
        assert_eq!(item["age_seconds"], json!((5 - n as u64) * 3600));
        assert_eq!((&item["product"], &item["customer"]["id"]), (&json!(MULTI), &json!(one.customer.as_str())));
        assert_eq!(item["identifiers"][0]["value"], format!("pay{n}.zone-one.cn"));
        has_parts(item["causes"][0]["reason"].as_str().unwrap(), &["'pay'", "WORD-01"]);
    }
    let (mut seen, mut path) = (Vec::new(), "/reviews?limit=2".to_owned());
    loop {
        let page = operator.get(&path).await.expect(200).json();
        seen.extend(page["items"].as_array().unwrap().iter().map(|item| item["order"].as_str().unwrap().to_owned()));
        let Some(next) = page["next"].as_str() else { break };
        // What was decided meanwhile does not shift the rest.
        if seen.len() == 2 {
            waiting[1].approve(&operator).await;
        }
        path = format!("/reviews?limit=2&after={next}");
    }
    assert_eq!(seen, waiting.iter().map(Waiting::id).collect::<Vec<_>>());
    for (path, status) in [
        ("/reviews?after=x", 400),
        ("/reviews?after=1.x", 400),
        ("/reviews?limit=0", 400),
        ("/reviews/x", 404),
        ("/reviews/AAAAAAAAAAAAAAAAAAAAAA", 404),
    ] {
        operator.get(path).await.expect(status);
    }
}

#[tokio::test]
async fn a_reviewer_sees_all_that_is_known_of_an_order() {
    let world = World::documented().await;
    let operator = Operator::of(&world);
    let one = Waiting::new(&world, NAME).await;
    world.clock.advance(HOUR);
    let page = operator.get(&format!("/reviews/{}", one.id())).await.expect(200).json();
    assert_eq!((&page["order"], &page["status"]), (&json!(one.id()), &json!("pending-issue")));
    assert_eq!((&page["age_seconds"], &page["product"]), (&json!(3600), &json!(MULTI)));
    assert_eq!((&page["customer"]["kind"], &page["customer"]["name"]), (&json!("individual"), &json!("Buyer")));
    assert_eq!(page["causes"][0]["name"], NAME);
    let evidence = &page["evidence"][0];
    assert_eq!(
        (&evidence["name"], &evidence["method"], &evidence["status"]),
        (&json!(NAME), &json!("http-01"), &json!("validated"))
    );
    assert_eq!(evidence["validated"], page["since"]);
    // The order itself says whom it waits for.
    let order = one.shown(&operator).await;
    assert_eq!((&order["status"], &order["waits_for"]), (&json!("pending-issue"), &json!("review")));
    assert_eq!(order["causes"], page["causes"]);
    assert_eq!(one.purchase(&operator).await, "in-use");
    // An order without a sensitive word is none of the desk's.
    let plain = world.client().await;
    let place = plain.new_order(&["www.zone-two.cn"]).await.expect(201).location().to_owned();
    let none = operator.get(&format!("/reviews/{}", place.rsplit('/').next().unwrap())).await.expect(404);
    has_parts(none.json()["detail"].as_str().unwrap(), &["needs no review"]);
}

#[tokio::test]
async fn a_client_is_told_to_come_back_in_an_hour() {
    let world = World::documented().await;
    let operator = Operator::of(&world);
    let one = Waiting::new(&world, NAME).await;
    // ISSUE (section 25.3)
    for answer in [
        one.client.finalize(&one.order, &one.csr).await.expect(200),
        one.client.post_as_get(&one.place).await.expect(200),
        one.client.new_order(&[NAME]).await.expect(201),
    ] {
        assert_eq!((answer.location(), answer.header("retry-after")), (one.place.as_str(), Some("3600")));
        assert_eq!(answer.json()["status"], "processing");
    }
    let other = one.client.finalize(&one.order, &csr(&[NAME]).0).await;
    has_parts(&other.expect_problem(403, "orderNotReady"), &["another CSR"]);
    one.approve(&operator).await;
    let done = one.client.post_as_get(&one.place).await.expect(200);
    assert_eq!((&done.json()["status"], done.header("retry-after")), (&json!("valid"), None));
}

#[tokio::test]
async fn an_approved_order_is_issued_and_its_names_are_cleared_for_good() {
    let mut world = World::documented().await;
    let operator = Operator::of(&world);
    let one = Waiting::new(&world, NAME).await;
    let page = one.approve(&operator).await;
    assert_eq!((&page["status"], page.get("since")), (&json!("issued"), None));
    assert_eq!(queue(&operator).await, Vec::<String>::new());
    let done = one.look().await;
    let chain = one.client.certificate(&done).await;
    assert!(page["certificate"].as_str().is_some_and(|serial| done["certificate"].as_str().unwrap().ends_with(serial)));
    assert_eq!(one.purchase(&operator).await, "issued");
    let cleared = operator.get(&format!("/clearances?customer={}", one.customer)).await.expect(200).json();
    assert_eq!((&cleared["items"][0]["name"], &cleared["items"][0]["note"]), (&json!(NAME), &json!("a shop")));
    // Design decision 7: who lost the key orders again and has it at once, as a reissue with the same end.
    world.pass(DAY).await;
    let (again, chain_again) = world.certificate(&one.client, &[NAME]).await;
    assert_ne!(again["certificate"], done["certificate"]);
    let end = |chain: &str| parsed(&leaf(chain)).validity().not_after;
    assert_eq!(end(&chain), end(&chain_again));
    // WORD-05: another word, and another customer, are looked at anew.
    world.buy(&one.customer, MULTI, 1, 1).await;
    Waiting::of(&world, one.customer.clone(), one.client.clone(), "bank.zone-one.cn").await;
    Waiting::new(&world, NAME).await;
    assert_eq!(queue(&operator).await.len(), 2);
    let acts = world.audit().await;
    let begun = acts.iter().filter(|act| matches!(act, Act::ReviewBegun { .. })).count();
    let approved = |act: &&Act| matches!(act, Act::ReviewDecided { approved: true, note, .. } if note == "a shop");
    let cleared = |act: &&Act| matches!(act, Act::NameCleared { name, .. } if name == NAME);
    let abandoned = acts.iter().filter(|act| matches!(act, Act::SerialAbandoned { .. })).count();
    assert_eq!(
        (begun, acts.iter().filter(approved).count(), acts.iter().filter(cleared).count(), abandoned),
        (3, 1, 1, 0)
    );
}

#[tokio::test]
async fn a_rejected_order_ends_with_the_cause_and_gives_its_term_back() {
    let world = World::documented().await;
    let operator = Operator::of(&world);
    let one = Waiting::new(&world, NAME).await;
    let page = one.decide(&operator, "reject", "imitates a bank").await.expect(200).json();
    assert_eq!(page["status"], "review-failed");
    has_parts(page["problem"]["detail"].as_str().unwrap(), &["imitates a bank"]);
    assert_eq!(queue(&operator).await, Vec::<String>::new());
    // REVIEW-11
    let over = one.look().await;
    assert_eq!(over["status"], "invalid");
    problem(&over["error"], "unauthorized", &["Review refused: imitates a bank"]);
    let cleared = operator.get(&format!("/clearances?customer={}", one.customer)).await.expect(200).json();
    assert_eq!(cleared["items"], json!([]));
    // BUY-03: what was paid is there again, for these names, which are looked at again, or for others.
    assert_eq!(one.purchase(&operator).await, "pending-submission");
    let again = Waiting::of(&world, one.customer.clone(), one.client.clone(), NAME).await;
    assert_ne!(again.place, one.place);
    again.decide(&operator, "reject", "still").await.expect(200);
    let (done, _) = world.certificate(&one.client, &["shop.zone-one.cn"]).await;
    assert_eq!(done["profile"], MULTI);
    assert_eq!(one.purchase(&operator).await, "issued");
}

#[tokio::test]
async fn what_can_not_be_decided_is_refused() {
    let world = World::documented().await;
    let operator = Operator::of(&world);
    let one = Waiting::new(&world, NAME).await;
    for body in [
        json!({}),
        json!({ "decision": "approve" }),
        json!({ "decision": "approve", "note": " " }),
        json!({ "decision": "approve", "note": "a\nb" }),
        json!({ "decision": "approve", "note": "x".repeat(1001) }),
        json!({ "decision": "maybe", "note": "x" }),
        json!({ "decision": "approve", "note": "x", "by": "me" }),
    ] {
        operator.send("POST", &format!("/reviews/{}/decision", one.id()), &body).await.expect(400);
    }
    let body = json!({ "decision": "approve", "note": "x" });
    for order in ["x", "AAAAAAAAAAAAAAAAAAAAAA"] {
        operator.send("POST", &format!("/reviews/{order}/decision"), &body).await.expect(404);
    }
    assert_eq!(queue(&operator).await, [one.id()]);
    one.approve(&operator).await;
    for decision in ["approve", "reject"] {
        let late = one.decide(&operator, decision, "late").await.expect(409);
        has_parts(late.json()["detail"].as_str().unwrap(), &["not waiting for a review"]);
    }
    assert_eq!(one.look().await["status"], "valid");
}

#[tokio::test]
async fn of_decisions_at_once_one_counts() {
    let world = World::documented().await;
    let operator = Operator::of(&world);
    for decisions in [["approve", "approve"], ["approve", "reject"], ["reject", "reject"]] {
        let one = Waiting::new(&world, &format!("pay.{}-{}.cn", decisions[0], decisions[1])).await;
        let [first, second] = decisions;
        let (a, b) = tokio::join!(one.decide(&operator, first, "x"), one.decide(&operator, second, "y"));
        let mut statuses = [a.status.as_u16(), b.status.as_u16()];
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 409], "{decisions:?}: {a} {b}");
        let winner = if a.status == 200 { first } else { second };
        let status = if winner == "approve" { "valid" } else { "invalid" };
        assert_eq!(one.look().await["status"], status, "{decisions:?}");
    }
    let issued = world.ra().certificates(None, 100).await.unwrap().len();
    assert!((1..=2).contains(&issued), "{issued}");
}

#[tokio::test]
async fn the_order_of_an_account_that_is_closed_leaves_the_desk_and_gives_its_term_back() {
    let mut world = World::documented().await;
    let operator = Operator::of(&world);
    let one = Waiting::new(&world, NAME).await;
    let stays = Waiting::new(&world, "pay.zone-two.cn").await;
    one.client.deactivate().await.expect(200);
    assert_eq!(queue(&operator).await, [stays.id()]);
    let order = one.shown(&operator).await;
    assert_eq!((&order["status"], order.get("waits_for")), (&json!("canceled"), None));
    let late = one.decide(&operator, "approve", "late").await.expect(409);
    has_parts(late.json()["detail"].as_str().unwrap(), &["not waiting"]);
    assert_eq!(one.purchase(&operator).await, "pending-submission");
    // Another account of the customer uses what was paid.
    let other = world.client_of(&one.customer).await;
    Waiting::of(&world, one.customer.clone(), other, NAME).await;
    let acts = world.audit().await;
    let failed = |act: &&Act| matches!(act, Act::OrderFailed { order, .. } if order.as_str() == one.id());
    assert_eq!(acts.iter().filter(failed).count(), 1);
}

#[tokio::test]
async fn a_change_of_the_accounts_key_changes_nothing_for_what_waits() {
    let world = World::documented().await;
    let operator = Operator::of(&world);
    let mut one = Waiting::new(&world, NAME).await;
    one.client.change_key(Signer::generate("ES256")).await.expect(200);
    assert_eq!(one.look().await["status"], "processing");
    one.approve(&operator).await;
    let done = one.look().await;
    assert_eq!(done["status"], "valid");
    one.client.certificate(&done).await;
}

#[tokio::test]
async fn a_csr_key_that_became_the_accounts_key_meanwhile_is_not_certified() {
    let world = World::documented().await;
    let operator = Operator::of(&world);
    let customer = world.customer(CustomerKind::Individual).await;
    let mut client = world.client_of(&customer).await;
    world.buy(&customer, MULTI, 1, 1).await;
    let (place, order) = world.ready_order(&client, &[NAME]).await;
    let key = KeyPair::generate().unwrap();
    client.finalize(&order, &csr_with(&key, &[NAME])).await.expect(200);
    client.change_key(Signer::from_pkcs8("ES256", &key.serialize_der())).await.expect(200);
    let body = json!({ "decision": "approve", "note": "x" });
    let order = place.rsplit('/').next().unwrap();
    let page = operator.send("POST", &format!("/reviews/{order}/decision"), &body).await.expect(200).json();
    assert_eq!(page["status"], "review-failed");
    problem(&look(&client, &place).await["error"], "badCSR", &["ACME account"]);
}

#[tokio::test]
async fn an_order_whose_authorization_is_given_up_leaves_the_desk() {
    let mut world = World::documented().await;
    let operator = Operator::of(&world);
    let one = Waiting::new(&world, NAME).await;
    let authz = one.order["authorizations"][0].as_str().unwrap();
    one.client.post(authz, &json!({ "status": "deactivated" })).await.expect(200);
    // RFC 8555 section 7.1.6
    let over = one.look().await;
    assert_eq!(over["status"], "invalid");
    problem(&over["error"], "unauthorized", &[NAME, "deactivated"]);
    assert_eq!(one.shown(&operator).await["status"], "canceled");
    assert_eq!(one.purchase(&operator).await, "pending-submission");
    let orders = one.client.post_as_get(&format!("{}/orders", one.client.kid())).await.expect(200).json();
    assert_eq!(orders["orders"], json!([]));
    let late = one.decide(&operator, "approve", "late").await.expect(409);
    has_parts(late.json()["detail"].as_str().unwrap(), &["can't be decided", "deactivated"]);
    for _ in 0..2 {
        assert_eq!(queue(&operator).await, Vec::<String>::new());
    }
    let acts = world.audit().await;
    let lapsed = |act: &&Act| matches!(act, Act::ReviewLapsed { order } if order.as_str() == one.id());
    assert_eq!(acts.iter().filter(lapsed).count(), 1, "it left the queue once");
}

#[tokio::test]
async fn an_order_that_expires_at_the_desk_leaves_it() {
    let mut world = World::documented().await;
    let operator = Operator::of(&world);
    let one = Waiting::new(&world, NAME).await;
    // Design decision 7: it lives as long as its proofs, beyond the days of an open order.
    world.pass(DAY * 30).await;
    assert_eq!(queue(&operator).await, [one.id()]);
    assert_eq!(one.look().await["status"], "processing");
    let end = one.shown(&operator).await["expires"].as_str().unwrap().to_owned();
    let end = chancery::domain::Timestamp::parse_rfc3339(&end).unwrap();
    world.pass(end.since(world.now()) - Duration::from_secs(1)).await;
    assert_eq!(queue(&operator).await, [one.id()]);
    world.pass(Duration::from_secs(1)).await;
    assert_eq!(queue(&operator).await, Vec::<String>::new());
    assert_eq!(one.shown(&operator).await["status"], "canceled");
    assert_eq!(one.purchase(&operator).await, "pending-submission");
    has_parts(
        one.decide(&operator, "approve", "late").await.expect(409).json()["detail"].as_str().unwrap(),
        &["can't be decided", "expired"],
    );
    assert_eq!(one.look().await["status"], "invalid");
    let acts = world.audit().await;
    let lapsed = |act: &&Act| matches!(act, Act::ReviewLapsed { .. });
    assert_eq!(acts.iter().filter(lapsed).count(), 1);
}

#[tokio::test]
async fn what_waits_and_what_was_approved_survives_a_restart() {
    let mut world = World::documented_with(|config| config.acme.challenge_wait_ms = 0).await;
    let customer = world.customer(CustomerKind::Individual).await;
    let client = world.client_of(&customer).await;
    world.buy(&customer, MULTI, 1, 1).await;
    let placed = client.new_order(&[NAME]).await.expect(201);
    let authz = client.authorizations(&placed.json()).await.swap_remove(0);
    world.prove(&client, &authz).await.expect(200);
    // The proof is there before the hours pass, after which CAA is due again.
    world.pass(Duration::ZERO).await;
    world.pass(9 * HOUR).await;
    let one = Waiting::of(&world, customer, client, NAME).await;
    world.restart().await;
    one.client.forget_nonce();
    let operator = Operator::of(&world);
    assert_eq!(queue(&operator).await, [one.id()]);
    // CAA is due again and can't be looked up, so that the job is cut off by the next restart.
    world.dns.fail_type(NAME, "CAA", Failure::Drop);
    assert_eq!(one.approve(&operator).await["status"], "pending-issue");
    assert_eq!(queue(&operator).await, Vec::<String>::new());
    world.restart().await;
    one.client.forget_nonce();
    world.dns.clear(NAME);
    world.pass(HOUR).await;
    assert_eq!(one.look().await["status"], "valid");
    assert_eq!(world.ra().certificates(None, 100).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_cleared_name_is_not_looked_at() {
    let world = World::documented().await;
    let operator = Operator::of(&world);
    let customer = world.customer(CustomerKind::Individual).await;
    let client = world.client_of(&customer).await;
    world.buy(&customer, MULTI, 1, 1).await;
    world.buy(&customer, MULTI, 1, 1).await;
    let asked = json!({ "customer": customer.as_str(), "name": "PAY.zone-one.cn", "note": "a shop" });
    let made = operator.post("/clearances", &asked).await;
    assert_eq!((&made["customer"], &made["name"]), (&json!(customer.as_str()), &json!(NAME)));
    // WORD-04, WORD-05
    let (done, _) = world.certificate(&client, &[NAME]).await;
    assert_eq!(done["profile"], MULTI);
    // Below it, and for a free certificate without a clearance, all is as ever.
    Waiting::of(&world, customer.clone(), client.clone(), "a.pay.zone-one.cn").await;
    let stranger = world.client().await;
    let free = || order_of(&[NAME], json!({ "profile": "trustasia-dv-free" }));
    stranger.new_order_of(free()).await.expect_problem(400, "rejectedIdentifier");
    let account = stranger.kid().rsplit('/').next().unwrap();
    operator.post("/clearances", &json!({ "account": account, "name": NAME, "note": "known" })).await;
    stranger.new_order_of(free()).await.expect(201);
    // Taken back, it stands no longer.
    let list = operator.get(&format!("/clearances?account={account}")).await.expect(200).json();
    assert_eq!(list["items"][0]["account"], account);
    let path = format!("/clearances?account={account}&name={NAME}");
    operator.request("DELETE", &path, "", "").await.expect(204);
    operator.request("DELETE", &path, "", "").await.expect(404);
    let other = world.client().await;
    other.new_order_of(free()).await.expect_problem(400, "rejectedIdentifier");
}

#[tokio::test]
async fn clearances_that_make_no_sense_are_refused() {
    let world = World::documented().await;
    let operator = Operator::of(&world);
    let customer = world.customer(CustomerKind::Individual).await;
    for (body, status) in [
        (json!({ "name": NAME, "note": "x" }), 400),
        (json!({ "customer": customer.as_str(), "account": "AAAAAAAAAAAAAAAAAAAAAA", "name": NAME, "note": "x" }), 400),
        (json!({ "customer": customer.as_str(), "name": "no name", "note": "x" }), 400),
        (json!({ "customer": customer.as_str(), "name": NAME, "note": "" }), 400),
        (json!({ "customer": customer.as_str(), "name": NAME }), 400),
        (json!({ "customer": "AAAAAAAAAAAAAAAAAAAAAA", "name": NAME, "note": "x" }), 404),
        (json!({ "account": "AAAAAAAAAAAAAAAAAAAAAA", "name": NAME, "note": "x" }), 404),
    ] {
        operator.send("POST", "/clearances", &body).await.expect(status);
    }
    for (path, status) in [
        ("/clearances".to_owned(), 400),
        ("/clearances?customer=x".to_owned(), 404),
        ("/clearances?customer=AAAAAAAAAAAAAAAAAAAAAA".to_owned(), 404),
        (format!("/clearances?customer={customer}&limit=0"), 400),
    ] {
        operator.get(&path).await.expect(status);
    }
    let mut made = Vec::new();
    for n in 0..5 {
        let name = format!("pay{n}.zone-one.cn");
        operator.post("/clearances", &json!({ "customer": customer.as_str(), "name": name, "note": "x" })).await;
        made.push(name);
    }
    let (mut seen, mut path) = (Vec::new(), format!("/clearances?customer={customer}&limit=2"));
    loop {
        let page = operator.get(&path).await.expect(200).json();
        seen.extend(page["items"].as_array().unwrap().iter().map(|item| item["name"].as_str().unwrap().to_owned()));
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/clearances?customer={customer}&limit=2&after={next}");
    }
    assert_eq!(seen, made);
}

#[tokio::test]
async fn a_free_order_waits_too_where_the_setting_says_so() {
    //
    let world = World::documented_but(&[("dv-free = \"refuse\"", "dv-free = \"review\"")]).await;
    let operator = Operator::of(&world);
    let client = world.client().await;
    let (place, order) = world.ready_order(&client, &[NAME]).await;
    assert_eq!(client.finalize(&order, &csr(&[NAME]).0).await.expect(200).json()["status"], "processing");
    let list = operator.get("/reviews").await.expect(200).json();
    let id = place.rsplit('/').next().unwrap();
    assert_eq!((&list["items"][0]["order"], list["items"][0].get("customer")), (&json!(id), None));
    let body = json!({ "decision": "approve", "note": "x" });
    let page = operator.send("POST", &format!("/reviews/{id}/decision"), &body).await.expect(200).json();
    assert_eq!(page["status"], "issued");
    let account = client.kid().rsplit('/').next().unwrap();
    let cleared = operator.get(&format!("/clearances?account={account}")).await.expect(200).json();
    assert_eq!(cleared["items"][0]["name"], NAME);
}
