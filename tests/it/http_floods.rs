//! Floods: what an attacker sends is cut, and another client is served meanwhile.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::routing::{get, post};
use chancery::http::Limits;
use hyper::Request;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::{Notify, mpsc};
use tokio::time::timeout;

use crate::http_support::{FAR_TOO_LONG, SOON, TestServer, answer_ending_in, exchange, patient, until_closed};
use crate::support::client::Client;
use crate::support::in_time;
use crate::support::operator::Operator;
use crate::support::world::World;

const HELLO: &[u8] = b"GET /hello HTTP/1.1\r\nHost: localhost\r\n\r\n";
/// Far more than the kernel keeps for a reader who does not read.
const BIG: usize = 64 << 20;

fn routes() -> Router {
    Router::new()
        .route("/hello", get(|| async { "hello" }))
        .route("/length", post(|body: Bytes| async move { format!("length {}", body.len()) }))
        .route("/big", get(|| async { Bytes::from(vec![b'a'; BIG]) }))
}

/// A connection from this address of the loopback network.
async fn connect_from(last: u8, server: &TestServer) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from(([127, 0, 0, last], 0))).unwrap();
    socket.connect(server.address).await.unwrap()
}

/// A client that asks like everybody.
async fn is_served(server: &TestServer) {
    let mut client = server.connect().await;
    client.write_all(HELLO).await.unwrap();
    answer_ending_in(&mut client, "hello").await;
}

/// Frames of HTTP/2 (RFC 9113), as few as floods need.
mod frames {
    pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    pub const END_STREAM: u8 = 1;
    pub const END_HEADERS: u8 = 4;

    pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
    }

    pub fn settings(parameters: &[(u16, u32)]) -> Vec<u8> {
        let payload: Vec<u8> =
            parameters.iter().flat_map(|(id, value)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat()).collect();
        frame(4, 0, 0, &payload)
    }

    /// The header of a GET request (RFC 7541: methods and schemes from the static table, the rest as it is).
    pub fn header(path: &str) -> Vec<u8> {
        let text = |text: &str| [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
        [&[0x82, 0x86, 0x04][..], &text(path), &[0x01], &text("localhost")].concat()
    }

    pub fn get(stream: u32, path: &str) -> Vec<u8> {
        frame(1, END_STREAM | END_HEADERS, stream, &header(path))
    }

    pub fn reset(stream: u32) -> Vec<u8> {
        frame(3, 0, stream, &8_u32.to_be_bytes())
    }
}

/// Writes without end, until the other side has closed the connection.
async fn flood(server: &TestServer, opening: Vec<u8>, mut next: impl FnMut(u32) -> Vec<u8> + Send + 'static) {
    let (mut read, mut write) = connect_from(2, server).await.into_split();
    let flooding = tokio::spawn(async move {
        let mut sent = write.write_all(&opening).await;
        let mut number = 0;
        while sent.is_ok() {
            sent = write.write_all(&next(number)).await;
            number += 1;
        }
    });
    // What is told meanwhile does not matter, as long as it ends.
    let mut told = vec![0; 65_536];
    let ended = timeout(FAR_TOO_LONG, async { while matches!(read.read(&mut told).await, Ok(1..)) {} });
    ended.await.expect("the flood is cut");
    drop(read);
    timeout(FAR_TOO_LONG, flooding).await.expect("nothing more is taken").unwrap();
    is_served(server).await;
}

#[tokio::test]
async fn a_packed_body_is_refused_and_never_unpacked() {
    let server = TestServer::plain(routes(), patient()).await;
    for coding in ["gzip", "br", "identity, gzip", "zstd"] {
        let mut stream = server.connect().await;
        let request = format!(
            "POST /length HTTP/1.1\r\nHost: localhost\r\nContent-Encoding: {coding}\r\nContent-Length: 4\r\n\r\nabcd"
        );
        let answer = exchange(&mut stream, request.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 415 "), "{answer}");
        assert!(answer.contains("accept-encoding: identity") && answer.contains("problem+json"), "{answer}");
    }
    let mut stream = server.connect().await;
    let plain = b"POST /length HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Encoding: Identity\r\nContent-Length: 4\r\n\r\nabcd";
    assert!(exchange(&mut stream, plain).await.ends_with("length 4"));
}

#[tokio::test]
async fn one_address_has_so_many_connections_and_others_have_theirs() {
    let server = TestServer::plain(routes(), Limits { max_connections_per_address: 3, ..patient() }).await;
    let mut flood = Vec::new();
    for _ in 0..3 {
        let mut stream = connect_from(2, &server).await;
        stream.write_all(HELLO).await.unwrap();
        answer_ending_in(&mut stream, "hello").await;
        flood.push(stream);
    }
    for _ in 0..10 {
        assert_eq!(until_closed(&mut connect_from(2, &server).await).await, "");
    }
    is_served(&server).await;
    // Who was there first stays.
    for stream in &mut flood {
        stream.write_all(HELLO).await.unwrap();
        answer_ending_in(stream, "hello").await;
    }
    drop(flood);
    let mut again = connect_from(2, &server).await;
    let answered = async {
        while again.write_all(HELLO).await.is_err() || until_answer(&mut again).await.is_none() {
            again = connect_from(2, &server).await;
        }
    };
    in_time("the address has its places again", answered).await;
}

/// The answer to a request, if the connection is not closed.
async fn until_answer(stream: &mut TcpStream) -> Option<String> {
    let mut buffer = [0; 1024];
    match timeout(FAR_TOO_LONG, stream.read(&mut buffer)).await.expect("an answer or an end") {
        Ok(count @ 1..) => Some(String::from_utf8_lossy(&buffer[..count]).into_owned()),
        _ => None,
    }
}

#[tokio::test]
async fn when_all_places_are_taken_quiet_connections_make_room() {
    let limits = Limits { max_connections: 8, spare_after: Duration::ZERO, ..patient() };
    let server = TestServer::plain(routes(), limits).await;
    let mut flood = Vec::new();
    for n in 0..8 {
        let mut stream = connect_from(2, &server).await;
        // Some say nothing, some are idle, some have begun a header.
        match n % 3 {
            0 => {}
            1 => {
                stream.write_all(HELLO).await.unwrap();
                answer_ending_in(&mut stream, "hello").await;
            }
            _ => stream.write_all(b"GET /hello HTTP/1.1\r\nHost: lo").await.unwrap(),
        }
        flood.push(stream);
    }
    for _ in 0..20 {
        is_served(&server).await;
    }
}

#[tokio::test]
async fn a_request_under_way_never_makes_room() {
    let (begun, mut has_begun) = mpsc::unbounded_channel();
    let gate = Arc::new(Notify::new());
    let wait = gate.clone();
    let gated = get(move || {
        let (begun, wait) = (begun.clone(), wait.clone());
        async move {
            begun.send(()).unwrap();
            wait.notified().await;
            "gated"
        }
    });
    let limits = Limits { max_connections: 2, spare_after: Duration::ZERO, ..patient() };
    let server = TestServer::plain(routes().route("/gated", gated), limits).await;
    let mut busy = connect_from(2, &server).await;
    busy.write_all(b"GET /gated HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await.unwrap();
    has_begun.recv().await.unwrap();
    let mut idle = connect_from(2, &server).await;
    for _ in 0..5 {
        is_served(&server).await;
    }
    assert_eq!(until_closed(&mut idle).await, "");
    gate.notify_one();
    assert!(until_closed(&mut busy).await.ends_with("gated"));
}

#[tokio::test]
async fn a_client_that_does_not_take_its_answer_is_cut() {
    let limits = Limits { max_connections: 1, idle_timeout: SOON, ..patient() };
    let server = TestServer::plain(routes(), limits).await;
    let mut slow = connect_from(2, &server).await;
    slow.write_all(b"GET /big HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    // The only place is free again once it is cut.
    is_served(&server).await;
    let mut got = Vec::new();
    let _ = timeout(FAR_TOO_LONG, slow.read_to_end(&mut got)).await.expect("it is closed");
    assert!(got.len() < BIG, "{}", got.len());
}

#[tokio::test]
async fn a_client_that_never_opens_its_window_is_cut_though_it_keeps_asking() {
    let server = TestServer::plain(routes(), Limits { answer_timeout: SOON, ..patient() }).await;
    // SETTINGS_INITIAL_WINDOW_SIZE of 0: no octet of any answer may be sent.
    let opening = [frames::PREFACE, &frames::settings(&[(4, 0)]), &frames::get(1, "/big")].concat();
    flood(&server, opening, |_| frames::frame(6, 0, 0, &[0; 8])).await;
}

#[tokio::test]
async fn streams_that_are_opened_and_reset_without_end_are_cut() {
    let server = TestServer::plain(routes(), patient()).await;
    let opening = [frames::PREFACE, &frames::settings(&[])].concat();
    let many = |number: u32| {
        let streams = (0..100).map(|n| 2 * (100 * number + n) + 1);
        streams.flat_map(|stream| [frames::get(stream, "/hello"), frames::reset(stream)].concat()).collect()
    };
    flood(&server, opening, many).await;
}

#[tokio::test]
async fn a_header_that_is_continued_without_end_is_cut() {
    let server = TestServer::plain(routes(), patient()).await;
    let begun = frames::frame(1, frames::END_STREAM, 1, &frames::header("/hello"));
    let opening = [frames::PREFACE, &frames::settings(&[]), &begun].concat();
    // Literal headers that are not indexed: a name of one letter and a value of 100.
    let line = [&[0x00, 1, b'x', 100][..], &[b'a'; 100]].concat();
    flood(&server, opening, move |_| frames::frame(9, 0, 1, &line.repeat(100))).await;
}

#[tokio::test]
async fn pings_don_t_keep_a_connection_that_asks_nothing() {
    // Long enough for the client that is served at the end.
    let server = TestServer::plain(routes(), Limits { header_timeout: 10 * SOON, ..patient() }).await;
    let opening = [frames::PREFACE, &frames::settings(&[])].concat();
    flood(&server, opening, |_| frames::frame(6, 0, 0, &[0; 8])).await;
}

#[tokio::test]
async fn what_a_connection_gave_up_counts_as_long_as_it_runs() {
    let (begun, mut has_begun) = mpsc::unbounded_channel();
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    let wait = gate.clone();
    let gated = get(move || {
        let (begun, wait) = (begun.clone(), wait.clone());
        async move {
            begun.send(()).unwrap();
            wait.acquire().await.unwrap().forget();
            "gated"
        }
    });
    let server = TestServer::plain(routes().route("/gated", gated), patient()).await;
    let stream = TokioIo::new(server.connect().await);
    let (mut client, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), stream).await.unwrap();
    let connection = tokio::spawn(connection);
    let ask = |path: &str| Request::get(format!("http://localhost{path}")).body(Body::empty()).unwrap();
    let mut given_up = Vec::new();
    for _ in 0..128 {
        client.ready().await.unwrap();
        given_up.push(tokio::spawn(client.send_request(ask("/gated"))));
        timeout(FAR_TOO_LONG, has_begun.recv()).await.unwrap().unwrap();
    }
    for request in &given_up {
        request.abort();
    }
    for request in given_up {
        assert!(request.await.unwrap_err().is_cancelled());
    }
    let refused = timeout(FAR_TOO_LONG, client.send_request(ask("/hello"))).await.unwrap().unwrap();
    assert_eq!((refused.status().as_u16(), &refused.headers()["retry-after"]), (503, &"1".parse().unwrap()));
    is_served(&server).await;
    gate.add_permits(128);
    // They end in their own time; then there is room again.
    let served = async { while client.send_request(ask("/hello")).await.unwrap().status() != 200 {} };
    in_time("the connection has room again", served).await;
    connection.abort();
}

#[tokio::test]
async fn bodies_on_their_way_take_no_more_than_their_share() {
    let server = TestServer::plain(routes(), Limits { max_buffered_bytes: 2_000, ..patient() }).await;
    let mut slow = connect_from(2, &server).await;
    let begun = format!("POST /length HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n{}", "a".repeat(400));
    slow.write_all(begun.as_bytes()).await.unwrap();
    let whole = format!(
        "POST /length HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 400\r\n\r\n{}",
        "a".repeat(400)
    );
    // As soon as what the slow one has sent is counted.
    let refused = timeout(FAR_TOO_LONG, async {
        loop {
            let answer = exchange(&mut connect_from(2, &server).await, whole.as_bytes()).await;
            if !answer.starts_with("HTTP/1.1 200 ") {
                return answer;
            }
        }
    });
    let refused = refused.await.unwrap();
    assert!(refused.starts_with("HTTP/1.1 503 ") && refused.contains("retry-after: 1"), "{refused}");
    assert!(exchange(&mut connect_from(1, &server).await, whole.as_bytes()).await.ends_with("length 400"));
    drop(slow);
    let taken = async {
        while !exchange(&mut connect_from(2, &server).await, whole.as_bytes()).await.ends_with("length 400") {}
    };
    in_time("the address has its share again", taken).await;
}

#[tokio::test]
async fn bodies_that_never_end_keep_no_places() {
    // Nobody gives way for having been quiet so long: only addresses with many connections do.
    let long = 10 * FAR_TOO_LONG;
    let limits = Limits { max_connections: 20, spare_after: long, body_timeout: long, ..patient() };
    let server = TestServer::plain(routes(), limits).await;
    let mut slow = Vec::new();
    for last in 2..12 {
        slow.push(slow_body(last, 4, &server).await);
        slow.push(slow_body(last, 4, &server).await);
    }
    for _ in 0..5 {
        let mut honest = server.connect().await;
        honest.write_all(&body_of(400, 100)).await.unwrap();
        honest.write_all(&[b'a'; 300]).await.unwrap();
        answer_ending_in(&mut honest, "length 400").await;
        slow.push(slow_body(2, 4, &server).await);
    }
}

#[tokio::test]
async fn bodies_that_never_end_keep_no_memory_from_others() {
    // All of it is held by four addresses, each with its share.
    let limits = Limits { max_buffered_bytes: 4_000, body_timeout: 10 * FAR_TOO_LONG, ..patient() };
    let server = TestServer::plain(routes(), limits).await;
    let mut slow = Vec::new();
    for _ in 0..10 {
        for last in 2..6 {
            slow.push(slow_body(last, 990, &server).await);
        }
        let mut honest = server.connect().await;
        honest.write_all(&body_of(400, 400)).await.unwrap();
        answer_ending_in(&mut honest, "length 400").await;
    }
}

/// A request with so long a body, of which so much is there.
fn body_of(length: usize, there: usize) -> Vec<u8> {
    let header = format!("POST /length HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n");
    [header.as_bytes(), &b"a".repeat(there)].concat()
}

/// A connection whose request has a body that never ends.
async fn slow_body(last: u8, there: usize, server: &TestServer) -> TcpStream {
    let mut stream = connect_from(last, server).await;
    stream.write_all(&body_of(1_000, there)).await.unwrap();
    stream
}

#[tokio::test]
async fn packed_acme_requests_are_refused_before_anything_is_read() {
    let world = World::new().await;
    let server = TestServer::plain(world.router(), Limits { max_body_bytes: 131_072, ..patient() }).await;
    for path in ["/acme/new-order", "/api/v1/customers"] {
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/jose+json\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{{}}"
        );
        let answer = exchange(&mut server.connect().await, request.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 415 ") && answer.contains("acme:error:malformed"), "{answer}");
    }
}

/// Payloads that are made to cost more than they should.
fn monsters() -> Vec<String> {
    let digits = "9".repeat(20_000);
    vec![
        "[".repeat(40_000),
        "{\"identifiers\":".repeat(2_000),
        format!("{{\"identifiers\":{}{}}}", "[".repeat(10_000), "]".repeat(10_000)),
        format!("{{\"notBefore\":{digits}}}"),
        format!("{{\"reason\":1e{digits}}}"),
        format!("{{\"identifiers\":[{}]}}", vec![r#"{"type":"dns","value":"a.example"}"#; 1_000].join(",")),
        format!("{{\"identifiers\":[{{\"type\":\"dns\",\"value\":\"{}\"}}]}}", "a".repeat(40_000)),
        format!("{{\"contact\":[{}]}}", vec!["\"mailto:a@b.example\""; 1_500].join(",")),
        format!("{{{}}}", (0..3_000).map(|n| format!("\"m{}\":1", n % 2_999)).collect::<Vec<_>>().join(",")),
        format!("{{\"profile\":\"{}\"}}", "\\u0000".repeat(5_000)),
    ]
}

#[tokio::test]
async fn monstrous_json_is_refused_with_a_short_answer() {
    let world = World::new().await;
    let client = world.client().await;
    for resource in ["newOrder", "newAuthz", "revokeCert"] {
        let url = client.resource(resource).await;
        for monster in monsters() {
            let jws = client.signer.jws(&client.header(&url).await, monster.as_bytes());
            let answer = client.send(&url, &jws).await;
            assert!(answer.status.is_client_error() && answer.body.len() < 4_096, "{resource}: {}", answer.status);
        }
    }
    let url = client.resource("newAccount").await;
    for monster in monsters() {
        let stranger = Client::new(world.router(), crate::support::world::BASE);
        let jws = stranger.signer.jws(&stranger.header_jwk(&url).await, monster.as_bytes());
        let answer = stranger.send(&url, &jws).await;
        assert!(answer.body.len() < 4_096 && !answer.status.is_server_error(), "{}", answer.status);
    }
    // The same in the JWS around it, and in its header.
    let mut header = client.header(&url).await;
    header["kid"] = json!("k".repeat(40_000));
    let answer = client.send(&url, &client.signer.jws(&header, b"")).await;
    assert!(answer.status.is_client_error() && answer.body.len() < 4_096, "{}", answer.status);
    for monster in monsters() {
        let answer = client.raw(&url, monster, "application/jose+json").await;
        assert!(answer.status.is_client_error() && answer.body.len() < 4_096, "{}", answer.status);
    }
    client.new_order(&["a.example.com"]).await.expect(201);
}

#[tokio::test]
async fn monstrous_json_is_refused_by_the_rest_api_too() {
    let world = World::new().await;
    let operator = Operator::of(&world);
    for path in ["/customers", "/orders", "/quotes", "/limits/overrides"] {
        for monster in monsters() {
            let method = if path.ends_with("overrides") { "PUT" } else { "POST" };
            let answer = operator.request(method, path, "application/json", monster).await;
            assert!(answer.status.is_client_error() && answer.body.len() < 4_096, "{path}: {}", answer.status);
        }
    }
    let nested = format!("{{\"name\":\"n\",\"kind\":{}\"individual\"{}}}", "[".repeat(100), "]".repeat(100));
    operator.request("POST", "/customers", "application/json", nested).await.expect(400);
    operator.post("/customers", &json!({ "name": "n", "kind": "individual" })).await;
}
