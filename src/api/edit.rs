//! Editing without overwriting what others changed meanwhile: entity tags and `If-Match` (RFC 9110 section 13.1.1).

use std::sync::Arc;

use axum::Json;
use axum::extract::FromRequestParts;
use axum::http::header;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::Api;
use super::problem::Refusal;
use crate::domain::{Error, Kind};

/// What `If-Match` demands; none demands nothing.
#[derive(Debug, Clone)]
pub(super) struct Tag(Option<String>);

impl Tag {
    /// Refuses an edit of what is not any more as the caller saw it.
    pub(super) fn demand(&self, version: u64) -> Result<(), Error> {
        match &self.0 {
            Some(seen) if seen != "*" && !seen.split(',').any(|tag| tag.trim() == of(version)) => Err(Error::new(
                Kind::PreconditionFailed,
                format!("It has changed since you read it: its entity tag is {} now, not {seen}.", of(version)),
            )),
            _ => Ok(()),
        }
    }
}

impl FromRequestParts<Arc<Api>> for Tag {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<Api>) -> Result<Self, Refusal> {
        let given = parts.headers.get(header::IF_MATCH).map(|value| value.to_str().unwrap_or("\"\"").to_owned());
        Ok(Self(given))
    }
}

/// An object with its entity tag.
pub(super) struct Tagged<T>(pub(super) u64, pub(super) T);

impl<T: Serialize> IntoResponse for Tagged<T> {
    fn into_response(self) -> Response {
        ([(header::ETAG, of(self.0))], Json(self.1)).into_response()
    }
}

fn of(version: u64) -> String {
    format!("\"{version}\"")
}
