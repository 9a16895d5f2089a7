//! What ACME clients are told of incidents, and what is easier for whoever does what they ask (RFC 9773); windows by product.

use chancery::domain::Timestamp;
use chancery::domain::customer::CustomerKind;
use serde_json::{Value, json};

use crate::acme_tools::{DAY, HOUR, cert_id, has_parts, leaf, order_of, parsed};
use crate::support::client::{Client, Response, csr};
use crate::support::operator::Operator;
use crate::support::world::{BASE, World};

const PAGE: &str = "https://status.example/incident/7";

async fn issued(world: &World, client: &Client, names: &[&str]) -> Vec<u8> {
    world.web.serve_any(&client.thumbprint());
    leaf(&world.certificate(client, names).await.1)
}

async fn ask(world: &World, der: &[u8]) -> Response {
    world.stranger().get(&format!("{BASE}/acme/renewal-info/{}", cert_id(der))).await.expect(200)
}

fn window(answer: &Response) -> (Timestamp, Timestamp) {
    let window = &answer.json()["suggestedWindow"];
    let [start, end] =
        ["start", "end"].map(|member| Timestamp::parse_rfc3339(window[member].as_str().unwrap()).unwrap());
    assert!(start < end, "{answer}");
    (start, end)
}

/// An incident about certificates with that name, to be renewed within a day.
async fn open(world: &World, name: &str, page: Option<&str>) -> Value {
    let asked = json!({
        "selection": { "names": [name] },
        "reason": "The validation of these names was faulty.",
        "explanation_url": page,
        "renew_by": (world.now() + DAY).to_string(),
    });
    Operator::of(world).post("/incidents", &asked).await
}

async fn close(world: &World, incident: &Value) {
    let path = format!("/incidents/{}/close", incident["id"].as_str().unwrap());
    assert_eq!(Operator::of(world).send("POST", &path, &json!({})).await.expect(200).json()["state"], "closed");
}

fn replacing(names: &[&str], der: &[u8]) -> Value {
    order_of(names, json!({ "replaces": cert_id(der) }))
}

#[tokio::test]
async fn clients_of_marked_certificates_are_told_to_renew_at_once_until_the_incident_is_closed() {
    let mut world = World::new().await;
    let client = world.client().await;
    let marked = issued(&world, &client, &["marked.example", "other.example"]).await;
    let other = issued(&world, &client, &["unmarked.example"]).await;
    let usual = window(&ask(&world, &marked).await);
    let opened = world.now();
    let incident = open(&world, "marked.example", Some(PAGE)).await;
    assert_eq!(incident["matched"], 1);
    // One that is issued after that is in order.
    world.clock.advance(HOUR);
    let later = issued(&world, &client, &["www.marked.example"]).await;
    for restart in [false, true] {
        if restart {
            world.restart().await;
        }
        let answer = ask(&world, &marked).await;
        assert_eq!(window(&answer), (opened, opened + DAY));
        assert_eq!((answer.header("retry-after"), &answer.json()["explanationURL"]), (Some("3600"), &json!(PAGE)));
        for unmarked in [&other, &later] {
            let answer = ask(&world, unmarked).await;
            assert!(window(&answer).0 > world.now() + 50 * DAY, "{answer}");
            assert_eq!((answer.header("retry-after"), answer.json().get("explanationURL")), (Some("21600"), None));
        }
    }
    // Of two incidents the one that ends sooner; who is late renews at once.
    world.pass(12 * HOUR).await;
    let second = open(&world, "other.example", None).await;
    assert_eq!(window(&ask(&world, &marked).await).1, opened + DAY);
    world.pass(2 * DAY).await;
    assert!(window(&ask(&world, &marked).await).1 < world.now());
    close(&world, &incident).await;
    let answer = ask(&world, &marked).await;
    assert_eq!(answer.json().get("explanationURL"), None);
    assert!(window(&answer).0 > opened, "{answer}");
    close(&world, &second).await;
    let answer = ask(&world, &marked).await;
    assert_eq!((window(&answer), answer.header("retry-after")), (usual, Some("21600")));
}

#[tokio::test]
async fn what_an_incident_asks_for_is_held_up_by_no_limit_of_orders() {
    let world = World::with(|config| config.limits.orders_per_hour = 1).await;
    let client = world.client().await;
    let der = issued(&world, &client, &["marked.example"]).await;
    let names = ["marked.example"];
    open(&world, "marked.example", None).await;
    client.new_order(&["free.example"]).await.expect_problem(429, "rateLimited");
    client.new_order(&names).await.expect_problem(429, "rateLimited");
    client.new_order_of(replacing(&names, &der)).await.expect(201);
}

#[tokio::test]
async fn a_marked_free_certificate_is_reissued_although_it_was_before() {
    let world = World::documented().await;
    let client = world.client().await;
    let names = ["shop.zone-one.cn"];
    let first = issued(&world, &client, &names).await;
    let reissued = async |der: &[u8]| {
        world.web.serve_any(&client.thumbprint());
        let placed = client.new_order_of(replacing(&names, der)).await.expect(201);
        for authz in client.authorizations(&placed.json()).await {
            if authz["status"] == "pending" {
                world.prove(&client, &authz).await.ok();
            }
        }
        let order = client.post_as_get(placed.location()).await.expect(200).json();
        let done = client.finalize(&order, &csr(&names).0).await.expect(200).json();
        leaf(&client.certificate(&done).await)
    };
    let second = reissued(&first).await;
    let refused = client.new_order_of(replacing(&names, &second)).await.expect_problem(429, "rateLimited");
    has_parts(&refused, &["REISSUE-02"]);
    open(&world, "zone-one.cn", None).await;
    world.clock.advance(HOUR);
    let third = reissued(&second).await;
    let ends = |der: &[u8]| parsed(der).validity().not_after.timestamp();
    assert_eq!(ends(&third), ends(&first), "a reissue keeps the end");
    // That one is in order, and no more is asked for.
    client.new_order_of(replacing(&names, &third)).await.expect_problem(429, "rateLimited");
}

#[tokio::test]
async fn each_customer_is_told_once_of_an_incident() {
    let mut world = World::new().await;
    let customer = world.customer(CustomerKind::Enterprise).await;
    let other = world.customer(CustomerKind::Enterprise).await;
    let (client, stranger) = (world.client_of(&customer).await, world.client_of(&other).await);
    for name in ["a.marked.example", "b.marked.example"] {
        issued(&world, &client, &[name]).await;
    }
    issued(&world, &stranger, &["unmarked.example"]).await;
    let incident = open(&world, "marked.example", Some(PAGE)).await;
    assert_eq!(incident["matched"], 2);
    world.ra().drain().await.unwrap();
    world.restart().await;
    world.pass(DAY).await;
    let told = |notices: Vec<chancery::domain::notice::Notice>| -> Vec<String> {
        notices.into_iter().filter(|notice| notice.event == "certificates-to-renew").map(|notice| notice.text).collect()
    };
    let texts = told(world.notices_of(&customer).await);
    let [text] = &texts[..] else { panic!("{texts:?}") };
    has_parts(text, &["2 certificates", "The validation of these names was faulty.", PAGE]);
    assert_eq!(told(world.notices_of(&other).await), Vec::<String>::new());
}

#[tokio::test]
async fn a_product_says_when_its_certificates_are_renewed() {
    let with = |line: &'static str| {
        move |config: &mut chancery::config::Config| {
            let text = std::fs::read_to_string(&config.catalog.products).unwrap();
            let changed = text.replace("validity_days = 90", &format!("validity_days = 90\n{line}"));
            std::fs::write(&config.catalog.products, changed).unwrap();
        }
    };
    let world = World::with(with("renewal_window = { opens_days = 20, closes_days = 5 }")).await;
    let client = world.client().await;
    let der = issued(&world, &client, &["example.com"]).await;
    let ends = Timestamp::from_secs(u64::try_from(parsed(&der).validity().not_after.timestamp()).unwrap());
    assert_eq!(window(&ask(&world, &der).await), (ends - 20 * DAY, ends - 5 * DAY));
    // An order that asks for less than the window has none of it.
    let not_after = (world.now() + 10 * DAY).to_string();
    let short = order_of(&["example.com"], json!({ "notAfter": not_after }));
    let placed = client.new_order_of(short).await.expect(201).json();
    let done = client.finalize(&placed, &csr(&["example.com"]).0).await.expect(200).json();
    let der = leaf(&client.certificate(&done).await);
    let (start, _) = window(&ask(&world, &der).await);
    assert!(world.now() + 6 * DAY < start, "{start}");
    for (line, told) in [
        ("renewal_window = { opens_days = 5, closes_days = 5 }", "opens 5 days"),
        ("renewal_window = { opens_days = 90, closes_days = 5 }", "validity_days"),
        ("renewal_window = { opens_days = 20 }", "closes_days"),
        ("renewal_window = { opens = 20, closes_days = 1 }", "opens"),
    ] {
        let mut config = world.config.clone();
        let path = world.scratch().join("faulty.toml");
        std::fs::copy(&config.catalog.products, &path).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let text = text.replace("renewal_window = { opens_days = 20, closes_days = 5 }", line);
        std::fs::write(&path, text).unwrap();
        config.catalog.products = path;
        let faults = config.load_catalog().unwrap_err();
        let all: Vec<String> = faults.iter().map(ToString::to_string).collect();
        has_parts(&all.join("\n"), &["faulty.toml", told]);
    }
}
