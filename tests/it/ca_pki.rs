//! The plain-HTTP routes over a CA.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, Response, StatusCode};
use chancery::domain::Error;
use chancery::pki::{Source, router};
use chancery::ra::CurrentList;
use tower::ServiceExt as _;

use crate::ca_tools::{DAY, NOW, TestCa};

async fn get(test: &Arc<TestCa>, path: &str, tag: Option<&str>) -> Response<Body> {
    let (certificates, lists) = (test.clone(), test.clone());
    let source = Source {
        issuer_certificate: Box::new(move |name| certificates.ca.issuer_der(name).map(<[u8]>::to_vec)),
        crl: Box::new(move |issuer, shard| {
            let test = lists.clone();
            Box::pin(async move {
                match shard {
                    7 => Err(Error::unavailable("busy", Duration::from_secs(5))),
                    _ => test.ca.crl(&issuer, shard, 1, NOW, NOW + DAY, &[]).map(list),
                }
            })
        }),
        ocsp: Box::new(|_| unreachable!("nobody asks for a status")),
    };
    let request = Request::get(path);
    let request = match tag {
        Some(tag) => request.header("if-none-match", tag),
        None => request,
    };
    router(Arc::new(source)).oneshot(request.body(Body::empty()).unwrap()).await.unwrap()
}

fn list(der: Vec<u8>) -> CurrentList {
    CurrentList {
        der: der.into(),
        tag: "tag".to_owned(),
        this_update: NOW,
        next_update: NOW + DAY,
        datable: true,
        now: NOW,
        fresh: Duration::from_secs(300),
    }
}

async fn body(response: Response<Body>) -> Vec<u8> {
    axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap().to_vec()
}

fn header<'r>(response: &'r Response<Body>, name: &str) -> &'r str {
    response.headers().get(name).map_or("", |value| value.to_str().unwrap())
}

#[tokio::test]
async fn issuers_and_lists_are_served_with_their_media_types() {
    let test = Arc::new(TestCa::new());
    for name in ["root", "chancery"] {
        let response = get(&test, &format!("/issuer/{name}.cer"), None).await;
        assert_eq!(header(&response, "content-type"), "application/pkix-cert");
        assert_eq!(body(response).await, test.ca.issuer_der(name).unwrap());
    }
    let response = get(&test, "/crl/root/0.crl", None).await;
    assert_eq!(header(&response, "content-type"), "application/pkix-crl");
    assert_eq!(header(&response, "cache-control"), "public, max-age=300");
    assert_eq!(body(response).await[0], 0x30);
}

#[tokio::test]
async fn what_a_client_has_is_not_sent_again() {
    let test = Arc::new(TestCa::new());
    let path = "/issuer/chancery.cer";
    let tag = header(&get(&test, path, None).await, "etag").to_owned();
    assert!(tag.starts_with('"') && tag.ends_with('"'));
    for known in [tag.clone(), format!("\"x\", W/{tag}"), "*".to_owned()] {
        let response = get(&test, path, Some(&known)).await;
        assert_eq!(response.status(), StatusCode::NOT_MODIFIED);
        assert_eq!(header(&response, "etag"), tag);
        assert!(body(response).await.is_empty());
    }
    assert_eq!(get(&test, path, Some("\"x\"")).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn what_is_not_there_is_not_found() {
    let test = Arc::new(TestCa::new());
    for path in [
        "/issuer/nobody.cer",
        "/issuer/chancery",
        "/issuer/chancery.pem",
        "/issuer/..%2Froot.cer",
        "/crl/chancery/x.crl",
        "/crl/chancery/+0.crl",
        "/crl/chancery/00.crl",
        "/crl/chancery/65536.crl",
        "/crl/chancery/5000.crl",
        "/crl/nobody/0.crl",
        "/crl/chancery/0",
        "/",
    ] {
        assert_eq!(get(&test, path, None).await.status(), StatusCode::NOT_FOUND, "{path}");
    }
    let busy = get(&test, "/crl/chancery/7.crl", None).await;
    assert_eq!((busy.status(), header(&busy, "retry-after")), (StatusCode::SERVICE_UNAVAILABLE, "5"));
}
