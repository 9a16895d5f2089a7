//! The audit log for operators: as a whole, as lines of JSON that outside programs can verify; and what allowed a certificate.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use hyper::body::Frame;
use serde::Deserialize;
use tokio::sync::mpsc;
use utoipa::IntoParams;

use super::operations::moment;
use super::{Answer, Asked, Caller, Path, Shared, id};
use crate::domain::{Error, Serial};
use crate::ra::{CertificateEvidence, LogRange};

/// So many pages of an export wait for a slow reader.
const PAGES_AHEAD: usize = 2;

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Wanted {
    /// Not earlier (RFC 3339).
    since: Option<String>,
    /// Earlier than this (RFC 3339).
    until: Option<String>,
    /// The chain of this node alone.
    node: Option<u16>,
}

/// Pages of lines as a body. Whoever stops reading ends the export.
struct Lines(mpsc::Receiver<Result<Bytes, Error>>);

impl hyper::body::Body for Lines {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.0.poll_recv(context).map(|page| page.map(|page| page.map(Frame::data)))
    }
}

/// The audit log, each event a line of JSON with its place in the chain of its node; docs/audit.md says how to verify it.
#[utoipa::path(get, path = "/audit", tag = "operations", params(Wanted), responses((status = 200, body = String, content_type = "application/x-ndjson")))]
pub(super) async fn export(State(api): Shared, caller: Caller, Asked(asked): Asked<Wanted>) -> Answer<Response> {
    caller.operator()?;
    let read = |name: &str, text: Option<&String>| text.map(|text| moment(name, text)).transpose();
    let (from, to) = (read("since", asked.since.as_ref())?, read("until", asked.until.as_ref())?);
    let mut export = api.ra.log_export(LogRange { from, to, node: asked.node });
    let (pages, waiting) = mpsc::channel(PAGES_AHEAD);
    tokio::spawn(async move {
        loop {
            let page = match export.next_lines().await {
                Ok(None) => return,
                Ok(Some(text)) if text.is_empty() => continue,
                Ok(Some(text)) => Ok(Bytes::from(text)),
                Err(error) => Err(error),
            };
            let failed = page.is_err();
            if pages.send(page).await.is_err() || failed {
                return;
            }
        }
    });
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], Body::new(Lines(waiting))).into_response())
}

/// What allowed a certificate, and what is wrong with that: what proved each name, how and when, what CAA said, what people
/// decided. Who decided, and which perspectives looked, is for reviewers
/// and operators alone.
#[utoipa::path(get, path = "/certificates/{serial}/evidence", tag = "certificates", params(("serial" = String, Path)), responses((status = 200, body = serde_json::Value)))]
pub(super) async fn evidence(
    State(api): Shared,
    caller: Caller,
    Path(text): Path<String>,
) -> Answer<Json<CertificateEvidence>> {
    let serial: Serial = id("certificate", &text)?;
    if caller.reviewer().is_ok() {
        return Ok(Json(api.ra.certificate_evidence(&serial).await?));
    }
    super::certificates::seen(&api, &caller, &text).await?;
    let mut evidence = api.ra.certificate_evidence(&serial).await?;
    evidence.hide_internals();
    Ok(Json(evidence))
}
