//! Help texts, for everybody.

use axum::Json;
use serde::Serialize;
use utoipa::ToSchema;

use super::{Answer, List, Path};
use crate::domain::Error;
use crate::policy::help::{self, Topic};

/// A help text.
#[derive(Serialize, ToSchema)]
pub(super) struct TopicObject {
    /// As in `DIAG-02`, which findings and refusals cite.
    id: &'static str,
    title: &'static str,
    text: &'static str,
    /// What to do.
    #[serde(skip_serializing_if = "str::is_empty")]
    remedy: &'static str,
}

impl From<&Topic> for TopicObject {
    fn from(&Topic { id, title, text, remedy }: &Topic) -> Self {
        Self { id, title, text, remedy }
    }
}

/// All help texts.
#[utoipa::path(get, path = "/help", tag = "help", responses((status = 200, body = List<TopicObject>)))]
pub(super) async fn list() -> Json<List<TopicObject>> {
    Json(List { items: help::TOPICS.iter().map(TopicObject::from).collect(), next: None })
}

/// One help text.
#[utoipa::path(get, path = "/help/{id}", tag = "help", params(("id" = String, Path)), responses((status = 200, body = TopicObject)))]
pub(super) async fn show(Path(text): Path<String>) -> Answer<Json<TopicObject>> {
    let shown = || text.chars().take(40).collect::<String>().escape_debug().to_string();
    let found =
        help::topic(&text).ok_or_else(|| Error::not_found(format!("There is no help text \"{}\".", shown())))?;
    Ok(Json(found.into()))
}
