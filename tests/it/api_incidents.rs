//! The REST API for incidents, and which certificates each selection is about.

use chancery::ca::certificate::serial_of;
use chancery::domain::audit::Act;
use chancery::http::Limits;
use rcgen::{KeyPair, PublicKeyData as _};
use serde_json::{Value, json};

use crate::acme_tools::{DAY, HOUR, leaf, parsed};
use crate::http_support::{TestServer, exchange};
use crate::support::client::csr_with;
use crate::support::operator::Operator;
use crate::support::world::World;

const INCIDENTS: &str = "/incidents";

fn asked(world: &World, selection: Value) -> Value {
    json!({ "selection": selection, "reason": "A fault.", "renew_by": (world.now() + DAY).to_string() })
}

#[tokio::test]
async fn an_incident_is_about_what_meets_all_that_is_said() {
    let world = World::new().await;
    let client = world.client().await;
    let operator = Operator::of(&world);
    let mut made = Vec::new();
    for (names, product) in
        [(&["a.example"][..], "any"), (&["www.b.example", "127.0.0.1"], "any"), (&["a.example"], "single")]
    {
        let key = KeyPair::generate().unwrap();
        let client =
            client.clone().with_directory(format!("{}/product/{product}/directory", crate::support::world::BASE));
        world.web.serve_any(&client.thumbprint());
        let (_, order) = world.ready_order(&client, names).await;
        let done = client.finalize(&order, &csr_with(&key, names)).await.expect(200).json();
        made.push((leaf(&client.certificate(&done).await), key, world.now()));
        world.clock.advance(HOUR);
    }
    let serial = |place: usize| serial_of(&made[place].0).unwrap().to_string();
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &made[1].1.subject_public_key_info());
    let hash: String = hash.as_ref().iter().map(|octet| format!("{octet:02X}")).collect();
    let moment = |place: usize| made[place].2.to_string();
    for (selection, matched) in [
        (json!({ "issuer": "chancery" }), 3),
        (json!({ "issuer": "chancery-rsa" }), 0),
        (json!({ "product": "any" }), 2),
        (json!({ "product": "any", "names": ["a.example"] }), 1),
        (json!({ "names": ["b.example"] }), 1),
        (json!({ "names": ["ww.b.example"] }), 0),
        (json!({ "names": ["w.b.example", "a.example", "b.example"] }), 3),
        (json!({ "names": ["127.0.0.1", "a.example"] }), 3),
        (json!({ "serials": [serial(2), serial(0), serial(0)] }), 2),
        (json!({ "serials": [serial(2), serial(0)], "product": "single" }), 1),
        (json!({ "serials": ["40".repeat(20)] }), 0),
        (json!({ "key_sha256": hash }), 1),
        (json!({ "key_sha256": hash, "product": "single" }), 0),
        (json!({ "issued_from": moment(1) }), 2),
        (json!({ "issued_until": moment(1) }), 2),
        (json!({ "issued_from": moment(1), "issued_until": moment(1) }), 1),
    ] {
        let mut body = asked(&world, selection.clone());
        body["dry_run"] = json!(true);
        let tried = operator.send("POST", INCIDENTS, &body).await.expect(200).json();
        assert_eq!((&tried["matched"], &tried["state"]), (&json!(matched), &json!("dry-run")), "{selection}");
        assert_eq!(tried.get("id"), None);
    }
    assert_eq!(operator.get(INCIDENTS).await.expect(200).json()["items"], json!([]), "a trial leaves nothing");
    // What is revoked, or over, is not to be renewed.
    client.revoke(&made[0].0, Some(4)).await.expect(200);
    world.pass(11 * DAY).await;
    assert!(parsed(&made[2].0).validity().not_after.timestamp() < world.now().as_secs() as i64);
    let opened = operator.post(INCIDENTS, &asked(&world, json!({ "issuer": "chancery" }))).await;
    assert_eq!((&opened["matched"], &opened["state"]), (&json!(1), &json!("open")));
}

#[tokio::test]
async fn incidents_are_opened_listed_shown_and_closed_with_a_record_of_each_act() {
    let mut world = World::new().await;
    let operator = Operator::of(&world);
    let mut body = asked(&world, json!({ "names": ["Example.com"], "issuer": "chancery" }));
    body["explanation_url"] = json!("https://status.example/7");
    let opened = operator.post(INCIDENTS, &body).await;
    assert_eq!(opened["selection"], json!({ "issuer": "chancery", "names": ["example.com"] }));
    let path = format!("{INCIDENTS}/{}", opened["id"].as_str().unwrap());
    assert_eq!(operator.get(&path).await.expect(200).json(), opened);
    assert_eq!(operator.get(INCIDENTS).await.expect(200).json()["items"], json!([opened]));
    world.clock.advance(HOUR);
    let closed = operator.send("POST", &format!("{path}/close"), &json!({})).await.expect(200).json();
    assert_eq!((&closed["state"], &closed["closed"]), (&json!("closed"), &json!(world.now().to_string())));
    world.clock.advance(HOUR);
    let again = operator.send("POST", &format!("{path}/close"), &json!({})).await.expect(200).json();
    assert_eq!(again, closed);
    let unknown = format!("{INCIDENTS}/{}", "A".repeat(22));
    operator.get(&unknown).await.expect(404);
    operator.send("POST", &format!("{unknown}/close"), &json!({})).await.expect(404);
    let acts = world.audit().await;
    let count = |wanted: fn(&Act) -> bool| acts.iter().filter(|act| wanted(act)).count();
    assert_eq!(count(|act| matches!(act, Act::IncidentOpened { .. })), 1);
    assert_eq!(count(|act| matches!(act, Act::IncidentClosed { .. })), 1);
}

#[tokio::test]
async fn what_is_no_incident_is_refused_with_what_is_wrong() {
    let world = World::new().await;
    let operator = Operator::of(&world);
    let change = |member: &str, value: Value| {
        let mut body = asked(&world, json!({ "product": "any" }));
        body[member] = value;
        body
    };
    for (body, told) in [
        (change("selection", json!({})), "Say which certificates"),
        (change("selection", json!({ "isuer": "chancery" })), "isuer"),
        (change("selection", json!({ "issuer": "nobody" })), "nobody"),
        (change("selection", json!({ "names": ["-"] })), "no domain name"),
        (change("selection", json!({ "serials": ["12"] })), "12"),
        (change("selection", json!({ "serials": vec!["40".repeat(20); 100_001] })), "100001"),
        (change("selection", json!({ "key_sha256": "zz" })), "64 hexadecimal digits"),
        (change("selection", json!({ "issued_from": "yesterday" })), "yesterday"),
        (
            change(
                "selection",
                json!({ "issued_from": "2026-11-02T00:00:00Z", "issued_until": "2026-11-01T00:00:00Z" }),
            ),
            "issued_until",
        ),
        (change("reason", json!("  ")), "reason"),
        (change("reason", json!("a\nb")), "reason"),
        (change("reason", json!("x".repeat(1_001))), "reason"),
        (change("explanation_url", json!("javascript:alert(1)")), "explanation_url"),
        (change("renew_by", json!("soon")), "soon"),
        (change("renew_by", json!(world.now().to_string())), "is over"),
    ] {
        let refused = operator.send("POST", INCIDENTS, &body).await.expect(400);
        assert!(refused.text().contains(told), "{told}: {refused}");
    }
    assert_eq!(operator.get(INCIDENTS).await.expect(200).json()["items"], json!([]));
}

/// A POST of an incident with these header lines.
fn posted(lines: &str, body: &str) -> String {
    format!(
        "POST /api/v1{INCIDENTS} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n\
         {lines}\r\n\r\n{body}"
    )
}

#[tokio::test]
async fn an_incident_may_list_more_serials_than_other_bodies_have_room_for() {
    let world = World::new().await;
    let server = TestServer::start(world.site(), Limits::default(), None).await;
    let operator = format!("Authorization: Bearer {}\r\n", world.operator_token());
    let serials: Vec<String> = (0..20_000).map(|n| format!("40{n:038x}")).collect();
    let body = asked(&world, json!({ "serials": serials })).to_string();
    assert!(body.len() > 6 * Limits::default().max_body_bytes);
    let request = posted(&format!("{operator}Content-Length: {}", body.len()), &body);
    let answer = exchange(&mut server.connect().await, request.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 201 "), "{}", &answer[..answer.len().min(500)]);
    let rest = Operator::of(&world);
    // Lists leave out what makes them so long.
    let listed = rest.get(INCIDENTS).await.expect(200).json();
    assert_eq!(listed["items"][0]["selection"], json!({}));
    let path = format!("{INCIDENTS}/{}", listed["items"][0]["id"].as_str().unwrap());
    assert_eq!(rest.get(&path).await.expect(200).json()["selection"]["serials"], json!(serials));
    // Without a length at the start it is the same.
    let chunk = format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    let request = posted(&format!("{operator}Transfer-Encoding: chunked"), &chunk);
    let answer = exchange(&mut server.connect().await, request.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 201 "), "{}", &answer[..answer.len().min(500)]);
    // There is an end to it, and other resources have no more room than before.
    let larger = posted(&format!("{operator}Content-Length: 5000000"), "");
    let answer = exchange(&mut server.connect().await, larger.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    let elsewhere = larger.replace(INCIDENTS, "/customers").replace("5000000", "500000");
    let answer = exchange(&mut server.connect().await, elsewhere.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
}

#[tokio::test]
async fn whoever_may_not_open_incidents_is_refused_before_a_long_body_is_read() {
    let world = World::new().await;
    let server = TestServer::start(world.site(), Limits::default(), None).await;
    let reviewer = Operator::of(&world).post("/tokens", &json!({ "name": "Rita", "role": "reviewer" })).await;
    let reviewer = format!("Authorization: Bearer {}\r\n", reviewer["token"].as_str().unwrap());
    let letter = "PUT /api/v1/purchases/7/letter HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 1000000\r\n";
    let answer = exchange(&mut server.connect().await, format!("{letter}\r\n").as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
    let whole = format!("{letter}{reviewer}\r\n{}", "a".repeat(1_000_000));
    let answer = exchange(&mut server.connect().await, whole.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 404 "), "it is read, and there is no such purchase: {answer}");
    for (who, status) in [("", 401), ("Authorization: Bearer wrong\r\n", 401), (&reviewer, 403)] {
        // Nothing of the body is sent, or so much that it is known to be long.
        let nothing = posted(&format!("{who}Content-Length: 4000000"), "");
        let some = posted(&format!("{who}Transfer-Encoding: chunked"), &format!("40000\r\n{}", "a".repeat(131_073)));
        for request in [nothing, some] {
            let answer = exchange(&mut server.connect().await, request.as_bytes()).await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{who}: {answer}");
            assert!(answer.contains("application/problem+json"), "{answer}");
        }
    }
}
