//! The operator at the REST API.

use axum::Router;
use axum::body::Body;
use axum::http::{Request, header};
use http_body_util::BodyExt as _;
use serde_json::Value;
use tower::ServiceExt as _;

use super::client::Response;
use super::world::World;

/// Someone with a token, right or wrong.
pub struct Operator {
    router: Router,
    authorization: Option<String>,
}

impl Operator {
    /// The operator of that server.
    pub fn of(world: &World) -> Self {
        Self::with(world, Some(format!("Bearer {}", world.operator_token())))
    }

    /// Someone who sends this as `Authorization`, or nothing.
    pub fn with(world: &World, authorization: Option<String>) -> Self {
        Self { router: world.router(), authorization }
    }

    /// Any request for a path below `/api/v1`.
    pub async fn request(&self, method: &str, path: &str, content_type: &str, body: impl Into<Body>) -> Response {
        let mut request = Request::builder().method(method).uri(format!("/api/v1{path}"));
        if !content_type.is_empty() {
            request = request.header(header::CONTENT_TYPE, content_type);
        }
        self.send_request(request, body).await
    }

    /// A request with further headers and a JSON body.
    pub async fn with_headers(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &Value) -> Response {
        let mut request = Request::builder().method(method).uri(format!("/api/v1{path}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send_request(request.header(header::CONTENT_TYPE, "application/json"), body.to_string()).await
    }

    async fn send_request(&self, mut request: axum::http::request::Builder, body: impl Into<Body>) -> Response {
        if let Some(authorization) = &self.authorization {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        let answer = self.router.clone().oneshot(request.body(body.into()).unwrap()).await.unwrap();
        let (parts, body) = answer.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Response { status: parts.status, headers: parts.headers, body }
    }

    /// A GET request.
    pub async fn get(&self, path: &str) -> Response {
        self.request("GET", path, "", Body::empty()).await
    }

    /// What it sends as `Authorization`.
    pub fn authorization(&self) -> &str {
        self.authorization.as_deref().unwrap_or_default()
    }

    /// A GET request with further headers.
    pub async fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Response {
        let request =
            Request::builder().uri(format!("/api/v1{path}")).header(header::AUTHORIZATION, self.authorization());
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let answer = self.router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        let (parts, body) = answer.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Response { status: parts.status, headers: parts.headers, body }
    }

    /// A request with a JSON body.
    pub async fn send(&self, method: &str, path: &str, body: &Value) -> Response {
        self.request(method, path, "application/json", body.to_string()).await
    }

    /// What a POST made.
    pub async fn post(&self, path: &str, body: &Value) -> Value {
        self.send("POST", path, body).await.expect(201).json()
    }
}
