//! `/admin/v1/workspaces/{ws}/retention`: how long a workspace may keep its history.

use axum::{extract::State, response::Response};
use prichal_core::id::WorkspaceId;

use super::{caller::Administrator, workspaces::find};
use crate::{
    app::App,
    dialect::retention::{self, AllowedRetention, Retention, Side},
    error::Result,
    http::{body::Json, extract::Path},
    platform::security::{self, Event},
};

/// Read how long a workspace keeps its history, and how long it may.
#[utoipa::path(get, path = "/admin/v1/workspaces/{ws}/retention", tag = "administration", params(("ws" = String, Path, description = "The name or the id of the workspace")),
    responses((status = 200, body = Retention)))]
pub(super) async fn get_allowed_retention(
    State(app): State<App>,
    _: Administrator,
    Path(ws): Path<String>,
) -> Result<Response> {
    let workspace: WorkspaceId = find(&app, &ws).await?.id;
    retention::show(&app, workspace).await
}

/// Set how long a workspace may keep its history. A longer time than the server's setting is allowed, too.
///
/// Older history is removed within an hour.
#[utoipa::path(put, path = "/admin/v1/workspaces/{ws}/retention", tag = "administration", params(("ws" = String, Path, description = "The name or the id of the workspace")),
    request_body = AllowedRetention, responses((status = 200, body = Retention)))]
pub(super) async fn put_allowed_retention(
    State(app): State<App>,
    _: Administrator,
    Path(ws): Path<String>,
    Json(body): Json,
) -> Result<Response> {
    let workspace = find(&app, &ws).await?.id;
    let answer = retention::put(&app, workspace, Side::Operator, &body).await?;
    security::record(Event::SettingsChanged, Some(workspace), "retention");
    Ok(answer)
}
