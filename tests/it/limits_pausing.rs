//! Pauses: a name whose validations always fail is refused until somebody looked at it.

use chancery::domain::customer::CustomerKind;
use serde_json::{Value, json};

use crate::acme_tools::DAY;
use crate::support::client::{Client, Response, challenge};
use crate::support::operator::Operator;
use crate::support::world::{BASE, World};

/// A world in which three failures over a day pause a name.
async fn strict() -> World {
    World::with(|config| {
        config.limits.pause_after = 3;
        config.limits.pause_days = 1;
    })
    .await
}

/// A client for whose names nobody answers.
async fn unserved(world: &World) -> Client {
    let mut client = world.stranger();
    client.new_account().await.expect(201);
    client
}

async fn fail(client: &Client, name: &str) {
    let placed = client.new_order(&[name]).await.expect(201).json();
    let authz = client.authorizations(&placed).await.remove(0);
    assert_eq!(client.respond(&challenge(&authz, "http-01")).await.expect(200).json()["status"], "invalid");
}

/// Fails so often, over so much time, that the name is paused.
async fn pause(world: &World, client: &Client, name: &str) {
    fail(client, name).await;
    fail(client, name).await;
    world.pass(DAY).await;
    fail(client, name).await;
}

/// The link in a refusal of paused names.
#[track_caller]
fn link(answer: &Response) -> String {
    let told = answer.expect_problem(429, "rateLimited");
    let [link] = &answer.links("help")[..] else { panic!("{answer}") };
    assert!(link.starts_with(&format!("{BASE}/acme/unpause/")), "{link}");
    assert!(told.contains("paused") && told.ends_with(&format!("Unpause them at {link}")), "{told}");
    assert_eq!(answer.json()["instance"], json!(link));
    assert_eq!(answer.header("retry-after"), None, "it does not pass by waiting");
    link.clone()
}

fn account(client: &Client) -> String {
    client.kid().rsplit('/').next().unwrap().to_owned()
}

async fn names_paused(rest: &Operator, query: &str) -> Vec<String> {
    let listed = rest.get(&format!("/paused{query}")).await.expect(200).json();
    listed["items"].as_array().unwrap().iter().map(|item| item["name"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_name_that_always_fails_is_paused_and_unpaused_by_the_link_in_the_refusal() {
    let mut world = strict().await;
    let client = unserved(&world).await;
    for _ in 0..5 {
        fail(&client, "a.example.com").await;
    }
    world.pass(DAY).await;
    fail(&client, "a.example.com").await;
    pause(&world, &client, "b.example.com").await;

    let refused = client.new_order(&["a.example.com", "b.example.com", "*.b.example.com", "ok.example.com"]).await;
    link(&refused);
    let problem = refused.json();
    let told: Vec<&Value> = problem["subproblems"].as_array().unwrap().iter().collect();
    let named: Vec<&str> = told.iter().map(|sub| sub["identifier"]["value"].as_str().unwrap()).collect();
    assert_eq!(named, ["a.example.com", "b.example.com", "*.b.example.com"]);
    assert!(told[0]["detail"].as_str().unwrap().contains("6 validations in a row"), "{problem}");
    assert!(problem["detail"].as_str().unwrap().contains("Not paused: ok.example.com"), "{problem}");
    let pre = json!({ "identifier": { "type": "dns", "value": "a.example.com" } });
    link(&client.post(&client.resource("newAuthz").await, &pre).await);

    // Other names, and the same name of another account, are not.
    client.new_order(&["ok.example.com"]).await.expect(201);
    unserved(&world).await.new_order(&["a.example.com"]).await.expect(201);

    world.restart().await;
    client.forget_nonce();
    let url = link(&client.new_order(&["a.example.com"]).await);
    let person = world.stranger();
    let page = person.get(&url).await.expect(200);
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.contains("default-src 'none'") && policy.contains("form-action 'self'"), "{policy}");
    let text = page.text();
    assert!(
        text.contains("<li>a.example.com</li><li>b.example.com</li>") && text.contains("method=\"post\""),
        "{text}"
    );
    // Looking changes nothing.
    link(&client.new_order(&["a.example.com"]).await);
    let done = person.raw(&url, "", "application/x-www-form-urlencoded").await.expect(200).text();
    assert!(done.contains("Unpaused: 2 names"), "{done}");
    client.new_order(&["a.example.com", "b.example.com"]).await.expect(201);
    assert!(person.get(&url).await.expect(200).text().contains("No names are paused"));
    let acts = serde_json::to_string(&world.audit().await).unwrap();
    for act in ["name-paused", "name-unpaused", "names-unpaused-by-hand"] {
        assert!(acts.contains(act), "{act}");
    }
}

#[tokio::test]
async fn links_are_good_for_their_account_and_their_time_alone() {
    let world = strict().await;
    let (one, other) = (unserved(&world).await, unserved(&world).await);
    pause(&world, &one, "a.example.com").await;
    pause(&world, &other, "a.example.com").await;
    let person = world.stranger();
    let url = link(&one.new_order(&["a.example.com"]).await);
    for wrong in [format!("{url}x"), url[..url.len() - 4].to_owned(), format!("{BASE}/acme/unpause/AAAA")] {
        let page = person.get(&wrong).await.expect(404);
        assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
        person.raw(&wrong, "", "text/plain").await.expect(404);
    }
    person.raw(&url, "", "text/plain").await.expect(200);
    one.new_order(&["a.example.com"]).await.expect(201);
    let url = link(&other.new_order(&["a.example.com"]).await);
    world.pass(14 * DAY).await;
    assert!(person.raw(&url, "", "text/plain").await.expect(404).text().contains("expired"));
    link(&other.new_order(&["a.example.com"]).await);
}

#[tokio::test]
async fn a_success_ends_the_row() {
    let world = strict().await;
    let client = unserved(&world).await;
    fail(&client, "a.example.com").await;
    fail(&client, "a.example.com").await;
    world.web.serve_any(&client.thumbprint());
    let placed = client.new_order(&["a.example.com"]).await.expect(201).json();
    let authz = client.authorizations(&placed).await.remove(0);
    world.prove(&client, &authz).await.expect(200);
    let url = placed["authorizations"][0].as_str().unwrap();
    client.post(url, &json!({ "status": "deactivated" })).await.expect(200);
    world.web.serve_any("nobody");
    world.pass(DAY).await;
    // The third failure of all is the first of its row.
    fail(&client, "a.example.com").await;
    client.new_order(&["a.example.com"]).await.expect(201);
}

#[tokio::test]
async fn a_success_ends_the_pause() {
    let world = strict().await;
    let client = unserved(&world).await;
    let early = client.new_order(&["a.example.com", "x.example.com"]).await.expect(201).json();
    let authz = client.authorizations(&early).await.remove(0);
    pause(&world, &client, "a.example.com").await;
    link(&client.new_order(&["a.example.com"]).await);
    world.web.serve_any(&client.thumbprint());
    world.prove(&client, &authz).await.expect(200);
    client.new_order(&["a.example.com"]).await.expect(201);
    assert_eq!(names_paused(&Operator::of(&world), "").await, [""; 0]);
}

#[tokio::test]
async fn customers_and_operators_list_and_unpause_over_rest() {
    let world = strict().await;
    let operator = Operator::of(&world);
    let mut rest = Vec::new();
    let mut customers = Vec::new();
    for _ in 0..2 {
        let customer = world.customer(CustomerKind::Individual).await;
        let made = operator.post("/tokens", &json!({ "name": "t", "role": "customer", "customer": customer })).await;
        rest.push(Operator::with(&world, Some(format!("Bearer {}", made["token"].as_str().unwrap()))));
        customers.push(customer);
    }
    let client = world.client_of(&customers[0]).await;
    let alone = unserved(&world).await;
    world.web.serve_any("nobody");
    pause(&world, &client, "a.example.com").await;
    pause(&world, &client, "b.example.com").await;
    pause(&world, &alone, "c.example.com").await;

    assert_eq!(names_paused(&rest[0], "").await, ["a.example.com", "b.example.com"]);
    assert_eq!(names_paused(&rest[0], &format!("?account={}", account(&client))).await.len(), 2);
    assert_eq!(names_paused(&rest[1], "").await, [""; 0]);
    rest[1].get(&format!("/paused?account={}", account(&client))).await.expect(404);
    rest[0].get(&format!("/paused?account={}", account(&alone))).await.expect(404);
    assert_eq!(names_paused(&operator, "").await.len(), 3);
    assert_eq!(names_paused(&operator, &format!("?account={}", account(&alone))).await, ["c.example.com"]);
    assert_eq!(names_paused(&operator, &format!("?customer={}", customers[0])).await.len(), 2);
    let first = rest[0].get("/paused?limit=1").await.expect(200).json();
    let next = first["next"].as_str().unwrap();
    assert_eq!(names_paused(&rest[0], &format!("?limit=1&after={next}")).await, ["b.example.com"]);

    let path = |client: &Client, name: &str| format!("/paused/{}/{name}", account(client));
    rest[1].request("DELETE", &path(&client, "a.example.com"), "", "").await.expect(404);
    link(&client.new_order(&["a.example.com"]).await);
    rest[0].request("DELETE", &path(&client, "a.example.com"), "", "").await.expect(204);
    rest[0].request("DELETE", &path(&client, "a.example.com"), "", "").await.expect(404);
    client.new_order(&["a.example.com"]).await.expect(201);
    link(&client.new_order(&["b.example.com"]).await);
    operator.request("DELETE", &path(&alone, "c.example.com"), "", "").await.expect(204);
    alone.new_order(&["c.example.com"]).await.expect(201);
    assert_eq!(names_paused(&operator, "").await, ["b.example.com"]);
}

#[tokio::test]
async fn failures_of_so_many_names_are_kept_and_no_more() {
    let world = World::with(|config| {
        config.limits.pause_after = 2;
        config.limits.pause_days = 0;
        config.limits.pauses_per_account = 2;
    })
    .await;
    let client = unserved(&world).await;
    for name in ["a.example.com", "b.example.com", "c.example.com"] {
        fail(&client, name).await;
        world.pass(DAY).await;
    }
    // The first was forgotten for the third, so its next failure is its first.
    fail(&client, "b.example.com").await;
    link(&client.new_order(&["b.example.com"]).await);
    fail(&client, "a.example.com").await;
    client.new_order(&["a.example.com"]).await.expect(201);
    link(&client.new_order(&["b.example.com"]).await);
}

#[tokio::test]
async fn room_for_further_names_is_made_for_several_at_once_and_the_paused_stay() {
    let world = World::with(|config| {
        config.limits.pause_after = 2;
        config.limits.pause_days = 0;
        config.limits.pauses_per_account = 16;
    })
    .await;
    let client = unserved(&world).await;
    let name = |number: usize| format!("n{number}.example.com");
    fail(&client, &name(0)).await;
    for number in 0..16 {
        fail(&client, &name(number)).await;
        world.pass(DAY).await;
    }
    link(&client.new_order(&[&name(0)]).await);
    // The next one takes the place of the two that failed longest ago and are not paused; their next failure is a first one.
    fail(&client, &name(16)).await;
    for number in [2, 1] {
        fail(&client, &name(number)).await;
        client.new_order(&[&name(number)]).await.expect(201);
    }
    // For those two again two had to go, and no more.
    for number in [0, 6, 7, 15, 16] {
        if number > 0 {
            fail(&client, &name(number)).await;
        }
        link(&client.new_order(&[&name(number)]).await);
    }
}

#[tokio::test]
async fn nothing_is_paused_where_that_is_switched_off() {
    let world = World::with(|config| (config.limits.pause_after, config.limits.pause_days) = (0, 0)).await;
    let client = unserved(&world).await;
    for _ in 0..4 {
        fail(&client, "a.example.com").await;
    }
    client.new_order(&["a.example.com"]).await.expect(201);
}
