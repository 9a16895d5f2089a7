//! One log event and one set of metrics for each request.

use std::io::Write;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use axum::routing::get;
use chancery::http::{Field, Limits, RequestEvent, with_layers};
use chancery::telemetry;
use serde_json::Value;
use tower::ServiceExt as _;

use crate::support::world::World;

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Log {
    fn events(&self) -> Vec<Value> {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

async fn ask(path: &str) -> (Log, axum::response::Response) {
    let router = Router::new()
        .route(
            "/orders/{id}",
            get(|event: RequestEvent| async move {
                event.note(Field::Order, "order-1");
                let told = RequestEvent::default();
                told.note(Field::Error, "Malformed");
                (StatusCode::BAD_REQUEST, told, "no")
            }),
        )
        .route(
            "/panic",
            get(|| async {
                if true {
                    panic!("this is a test")
                }
            }),
        );
    ask_of(with_layers(router, &Limits::default()), path).await
}

async fn ask_of(router: Router, path: &str) -> (Log, axum::response::Response) {
    telemetry::recorder();
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().json().flatten_event(true).with_writer(move || writer.clone()).finish();
    let request = Request::get(path).body(Body::empty()).unwrap();
    let guard = tracing::subscriber::set_default(subscriber);
    let answer = router.oneshot(request).await.unwrap();
    drop(guard);
    (log, answer)
}

#[tokio::test]
async fn a_request_is_one_event_with_what_handler_and_renderer_noted() {
    let (log, answer) = ask("/orders/7?secret=1").await;
    let events = log.events();
    assert_eq!(events.len(), 1, "{events:#?}");
    let event = &events[0];
    assert_eq!(event["request_id"], answer.headers()["x-request-id"].to_str().unwrap());
    for (key, value) in [
        ("method", "GET"),
        ("path", "/orders/7"),
        ("route", "/orders/{id}"),
        ("order", "order-1"),
        ("error", "Malformed"),
        ("level", "INFO"),
        ("target", "chancery::request"),
    ] {
        assert_eq!(event[key], value, "{key}");
    }
    assert_eq!(event["status"], 400);
    assert_eq!(event["bytes"], 2);
    assert!(event.get("account").is_none() && event.get("detail").is_none());
}

#[tokio::test]
async fn a_panic_is_told_in_the_event_and_not_to_the_client() {
    let (log, answer) = ask("/panic").await;
    assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR);
    let events = log.events();
    assert_eq!(events.len(), 1, "{events:#?}");
    assert_eq!(events[0]["source"], "this is a test");
    assert_eq!(events[0]["level"], "ERROR");
}

#[tokio::test]
async fn metrics_name_routes_and_never_paths() {
    ask("/orders/metrics-test").await;
    ask("/not-a-route").await;
    let text = telemetry::recorder().render();
    assert!(text.contains(r#"chancery_http_requests_total{method="GET",route="/orders/{id}",status="400"}"#), "{text}");
    assert!(text.contains(r#"route="none",status="404""#), "{text}");
    assert!(!text.contains("metrics-test") && !text.contains("not-a-route"), "{text}");
    assert!(text.contains("chancery_http_request_seconds_bucket"), "{text}");
}

#[tokio::test]
async fn what_a_link_holds_as_a_secret_is_not_told() {
    let world = World::new().await;
    let router = with_layers(world.site(), &Limits::default());
    // As long as they are.
    let secret = "c2VjcmV0".repeat(14);
    for (path, told) in [
        (format!("/acme/unpause/{secret}"), "/acme/unpause/{token}"),
        // Links that somebody cut out of a message with what stands around them.
        (format!("/acme/unpause/{secret}/"), "/acme/unpause/[redacted]/"),
        (format!("/acme/unpause/{secret}/x"), "/acme/unpause/[redacted]/x"),
        (format!("//acme/unpause/{secret}"), "//acme/unpause/[redacted]"),
        ("/acme/order/7/x".to_owned(), "/acme/order/7/x"),
    ] {
        let (log, answer) = ask_of(router.clone(), &path).await;
        assert_eq!(answer.status(), StatusCode::NOT_FOUND);
        let events = log.events();
        assert_eq!(events.len(), 1, "{events:#?}");
        assert_eq!(events[0]["path"], told);
        assert!(!events[0].to_string().contains(&secret[..20]), "{events:#?}");
    }
}

#[tokio::test]
async fn the_monitor_tells_health_readiness_and_metrics() {
    let get = async |ready: Result<(), String>, path: &str| {
        let monitor = telemetry::monitor(Arc::new(move || Box::pin(std::future::ready(ready.clone()))));
        let answer = monitor.oneshot(Request::get(path).body(Body::empty()).unwrap()).await.unwrap();
        let status = answer.status();
        let body = axum::body::to_bytes(answer.into_body(), 1 << 20).await.unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    };
    let not_ready = || Err("store: no space left on device".to_owned());
    assert_eq!(get(not_ready(), "/healthz").await, (StatusCode::OK, "alive\n".to_owned()));
    assert_eq!(get(Ok(()), "/readyz").await.0, StatusCode::OK);
    let (status, reasons) = get(not_ready(), "/readyz").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(reasons, "store: no space left on device\n");
    assert_eq!(get(Ok(()), "/metrics").await.0, StatusCode::OK);
}
