//! `/api/v1/{ws}/webhooks/{id}/state`: how a source of calls is doing (`docs/contracts/prichal.md §6.4`).

use axum::{http::StatusCode, response::Response};
use prichal_store::{
    Conn,
    webhook::{self, Source},
};
use serde_json::json;

use super::{
    caller::Observer,
    webhooks::{InPath, find_seen, not_found},
};
use crate::{delivery::state::SourceState, error::Result, http::answer::json_text};

/// Read how a source is doing: its state, what it has yet to deliver, its last calls, and figures of the last day.
///
/// On several nodes, figures of a source that works may be a minute old.
#[utoipa::path(get, path = "/api/v1/{ws}/webhooks/{id}/state", tag = "webhooks", params(Observer, InPath),
    responses((status = 200, body = SourceState)))]
pub(super) async fn get_webhook_state(observer: Observer, at: InPath) -> Result<Response> {
    let (app, workspace) = (observer.0.app.clone(), observer.0.workspace_id());
    // Its parts have to agree with each other.
    let read = move |conn: &mut Conn| {
        conn.snapshot(|conn| match find_seen(conn, &observer, &at)? {
            Source::Webhook(key) | Source::DocumentHook(key) => {
                let row = webhook::find(conn, key)?.ok_or_else(|| not_found(at.id))?;
                SourceState::of_hook(&observer.0.app, conn, &row, observer.0.now)
            }
            Source::Channel(id) => SourceState::of_channel(conn, workspace, id, observer.0.now),
        })
    };
    let state = app.db.read(read).await?;
    Ok(json_text(StatusCode::OK, json!(state).to_string()))
}
