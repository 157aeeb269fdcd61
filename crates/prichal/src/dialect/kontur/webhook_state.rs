//! `/api/v1/{ws}/webhooks/{id}/state`: how a source of calls is doing (`docs/contracts/prichal.md §6.4`).

use axum::{http::StatusCode, response::Response};
use prichal_store::{
    Conn,
    webhook::{self, Source},
};
use serde_json::json;

use super::{
    caller::Admin,
    webhooks::{InPath, find, not_found},
};
use crate::{delivery::state::SourceState, error::Result, http::answer::json_text};

/// Read how a source is doing: its state, what it has yet to deliver, its last calls, and figures of the last day.
///
/// On several nodes, figures of a source that works may be a minute old.
#[utoipa::path(get, path = "/api/v1/{ws}/webhooks/{id}/state", tag = "webhooks", params(Admin, InPath),
    responses((status = 200, body = SourceState)))]
pub(super) async fn get_webhook_state(Admin(member): Admin, at: InPath) -> Result<Response> {
    let (app, workspace) = (member.app.clone(), member.workspace_id());
    let read = move |conn: &mut Conn| match find(conn, workspace, &at)? {
        Source::Webhook(key) | Source::DocumentHook(key) => {
            let row = webhook::find(conn, key)?.ok_or_else(|| not_found(at.id))?;
            SourceState::of_hook(&member.app, conn, &row, member.now)
        }
        Source::Channel(id) => SourceState::of_channel(conn, workspace, id, member.now),
    };
    let state = app.db.read(read).await?;
    Ok(json_text(StatusCode::OK, json!(state).to_string()))
}
