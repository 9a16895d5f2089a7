//! What clients with bad manners get: every limit of the listener, struck through real sockets.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::routing::{get, post};
use chancery::http::Limits;
use tokio::io::AsyncWriteExt as _;
use tokio::sync::{Notify, mpsc};
use tokio::time::{interval, timeout};

use crate::http_support::{FAR_TOO_LONG, SOON, TestServer, answer_ending_in, exchange, patient, until_closed};

fn routes() -> Router {
    Router::new()
        .route("/hello", get(|| async { "hello" }))
        .route("/length", post(|body: Bytes| async move { format!("length {}", body.len()) }))
        .route(
            "/panic",
            get(|| async {
                if true {
                    panic!("this is a test")
                }
            }),
        )
}

async fn server_with(limits: Limits) -> TestServer {
    TestServer::plain(routes(), limits).await
}

#[tokio::test]
async fn a_connection_that_says_nothing_is_closed() {
    let server = server_with(Limits { header_timeout: SOON, ..patient() }).await;
    let mut stream = server.connect().await;
    assert_eq!(until_closed(&mut stream).await, "");
}

#[tokio::test]
async fn half_a_preface_of_http2_is_closed() {
    let server = server_with(Limits { header_timeout: SOON, ..patient() }).await;
    let mut stream = server.connect().await;
    assert_eq!(exchange(&mut stream, b"PRI * HTTP/2.0\r\n").await, "");
}

#[tokio::test]
async fn a_preface_of_http2_with_nothing_after_it_is_closed() {
    let server = server_with(Limits { header_timeout: SOON, ..patient() }).await;
    let mut stream = server.connect().await;
    exchange(&mut stream, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00").await;
}

#[tokio::test]
async fn a_trickled_header_is_closed() {
    let server = server_with(Limits { header_timeout: SOON, ..patient() }).await;
    let (mut read, mut write) = server.connect().await.into_split();
    let trickle = tokio::spawn(async move {
        write.write_all(b"GET /hello HTTP/1.1\r\nHost: localhost\r\nX-Slow: ").await.unwrap();
        let mut pace = interval(Duration::from_millis(10));
        while write.write_all(b"a").await.is_ok() {
            pace.tick().await;
        }
    });
    let said = until_closed(&mut read).await;
    assert!(!said.contains("200 OK"), "{said}");
    trickle.await.unwrap();
}

#[tokio::test]
async fn a_trickled_header_of_a_second_request_is_closed() {
    let server = server_with(Limits { header_timeout: SOON, ..patient() }).await;
    let mut stream = server.connect().await;
    stream.write_all(b"GET /hello HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    answer_ending_in(&mut stream, "hello").await;
    let said = exchange(&mut stream, b"GET /hello HTTP/1.1\r\nHost").await;
    assert!(!said.contains("200 OK"), "{said}");
}

#[tokio::test]
async fn an_idle_connection_is_closed() {
    let server = server_with(Limits { idle_timeout: SOON, ..patient() }).await;
    let mut stream = server.connect().await;
    stream.write_all(b"GET /hello HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    answer_ending_in(&mut stream, "hello").await;
    assert_eq!(until_closed(&mut stream).await, "");
}

#[tokio::test]
async fn a_slow_body_is_answered_with_408() {
    let server = server_with(Limits { body_timeout: SOON, ..patient() }).await;
    let mut stream = server.connect().await;
    let request = b"POST /length HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nnot all";
    let answer = exchange(&mut stream, request).await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(answer.contains("application/problem+json"), "{answer}");
}

#[tokio::test]
async fn a_large_header_is_answered_with_431() {
    let server = server_with(patient()).await;
    let mut stream = server.connect().await;
    let request = format!("GET /hello HTTP/1.1\r\nHost: localhost\r\nX-Large: {}\r\n\r\n", "a".repeat(17_000));
    let answer = exchange(&mut stream, request.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
}

#[tokio::test]
async fn too_many_header_lines_are_answered_with_431() {
    let server = server_with(patient()).await;
    let mut stream = server.connect().await;
    let lines = (0..70).map(|n| format!("X-{n}: a\r\n")).collect::<String>();
    let request = format!("GET /hello HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n");
    let answer = exchange(&mut stream, request.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
}

#[tokio::test]
async fn a_body_that_says_it_is_too_large_is_answered_with_413_before_it_is_sent() {
    let server = server_with(patient()).await;
    let mut stream = server.connect().await;
    let request = b"POST /length HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1001\r\n\r\n";
    let answer = exchange(&mut stream, request).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert!(answer.contains("application/problem+json"), "{answer}");
    assert!(answer.contains("urn:ietf:params:acme:error:malformed"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_too_large_is_answered_with_413_over_http2_too() {
    let server = server_with(patient()).await;
    let scratch = tempfile::TempDir::new().unwrap();
    let body = scratch.path().join("body");
    for length in [1_001, 100_000, 1_500_000] {
        std::fs::write(&body, vec![b'a'; length]).unwrap();
        // curl tells a stream that was reset from one that was answered; hyper's client does not.
        let curl = std::process::Command::new("curl")
            .args([
                "--silent",
                "--show-error",
                "--http2-prior-knowledge",
                "--write-out",
                " %{http_code}",
                "--data-binary",
            ])
            .arg(format!("@{}", body.display()))
            .arg(format!("http://{}/length", server.address))
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&curl.stdout);
        assert!(told.ends_with(" 413") && told.contains("1000"), "{length}: {told} {curl:?}");
    }
}

#[tokio::test]
async fn a_chunked_body_that_grows_too_large_is_answered_with_413() {
    let server = server_with(patient()).await;
    let mut stream = server.connect().await;
    let chunk = format!("1f4\r\n{}\r\n", "a".repeat(500));
    let request = format!(
        "POST /length HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n{chunk}{chunk}{chunk}0\r\n\r\n"
    );
    let answer = exchange(&mut stream, request.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
}

#[tokio::test]
async fn a_body_of_the_allowed_size_arrives_whole() {
    let server = server_with(patient()).await;
    let mut stream = server.connect().await;
    let request = format!(
        "POST /length HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 1000\r\n\r\n{}",
        "a".repeat(1000)
    );
    let answer = exchange(&mut stream, request.as_bytes()).await;
    assert!(answer.ends_with("length 1000"), "{answer}");
}

#[tokio::test]
async fn a_connection_over_the_cap_waits_until_one_is_free() {
    let server = server_with(Limits { max_connections: 1, ..patient() }).await;
    let mut first = server.connect().await;
    first.write_all(b"GET /hello HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    answer_ending_in(&mut first, "hello").await;

    let mut second = server.connect().await;
    second.write_all(b"GET /hello HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    for _ in 0..3 {
        first.write_all(b"GET /hello HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
        answer_ending_in(&mut first, "hello").await;
    }
    let nothing = second.try_read(&mut [0; 16]).unwrap_err();
    assert_eq!(nothing.kind(), std::io::ErrorKind::WouldBlock);

    drop(first);
    answer_ending_in(&mut second, "hello").await;
}

#[tokio::test]
async fn a_panic_is_answered_with_a_problem_and_the_connection_goes_on() {
    let server = server_with(patient()).await;
    let mut stream = server.connect().await;
    stream.write_all(b"GET /panic HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    let answer = answer_ending_in(&mut stream, "}").await;
    assert!(answer.starts_with("HTTP/1.1 500 "), "{answer}");
    assert!(answer.contains("urn:ietf:params:acme:error:serverInternal"), "{answer}");
    assert!(!answer.contains("this is a test"), "{answer}");
    stream.write_all(b"GET /hello HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    answer_ending_in(&mut stream, "hello").await;
}

/// A route that says when it has begun and ends when it is told to.
fn gated() -> (Router, mpsc::UnboundedReceiver<()>, Arc<Notify>) {
    let (begun, has_begun) = mpsc::unbounded_channel();
    let gate = Arc::new(Notify::new());
    let wait = Arc::clone(&gate);
    let router = routes().route(
        "/gated",
        get(move || {
            let (begun, wait) = (begun.clone(), Arc::clone(&wait));
            async move {
                begun.send(()).unwrap();
                wait.notified().await;
                "gated"
            }
        }),
    );
    (router, has_begun, gate)
}

#[tokio::test]
async fn stopping_closes_idle_connections_and_finishes_requests() {
    let (router, mut has_begun, gate) = gated();
    let server = TestServer::plain(router, patient()).await;
    let mut idle = server.connect().await;
    idle.write_all(b"GET /hello HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    answer_ending_in(&mut idle, "hello").await;
    let mut busy = server.connect().await;
    busy.write_all(b"GET /gated HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    has_begun.recv().await.unwrap();

    server.stop.send(true).unwrap();
    assert_eq!(until_closed(&mut idle).await, "");
    let refused = timeout(FAR_TOO_LONG, async {
        while tokio::net::TcpStream::connect(server.address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    });
    refused.await.expect("new connections are refused");
    assert!(!server.served.is_finished());

    gate.notify_one();
    let answer = until_closed(&mut busy).await;
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("gated"), "{answer}");
    timeout(FAR_TOO_LONG, server.served).await.expect("the server ends").unwrap().unwrap();
}

#[tokio::test]
async fn stopping_cuts_requests_that_do_not_end() {
    let (router, mut has_begun, _gate) = gated();
    let server = TestServer::plain(router, Limits { stop_timeout: SOON, ..patient() }).await;
    let mut busy = server.connect().await;
    busy.write_all(b"GET /gated HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    has_begun.recv().await.unwrap();
    server.stop.send(true).unwrap();
    timeout(FAR_TOO_LONG, server.served).await.expect("the server ends").unwrap().unwrap();
    assert_eq!(until_closed(&mut busy).await, "");
}
