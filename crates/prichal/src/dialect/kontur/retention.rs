//! `/api/v1/{ws}/retention`: how long the workspace keeps its history.

use axum::response::Response;

use super::caller::Admin;
use crate::{
    dialect::retention::{self, OwnRetention, Retention, Side},
    error::Result,
    http::body::Json,
    platform::security::{self, Event},
};

/// Read how long the workspace keeps its history, and how long it may.
#[utoipa::path(get, path = "/api/v1/{ws}/retention", tag = "settings", params(Admin),
    responses((status = 200, body = Retention)))]
pub(super) async fn get_retention(Admin(member): Admin) -> Result<Response> {
    retention::show(&member.app, member.workspace_id()).await
}

/// Set how long the workspace keeps its history, within what the operator allows. The time of the audit log is the
/// operator's alone.
///
/// Older history is removed within an hour.
#[utoipa::path(put, path = "/api/v1/{ws}/retention", tag = "settings", params(Admin),
    request_body = OwnRetention, responses((status = 200, body = Retention)))]
pub(super) async fn put_retention(Admin(member): Admin, Json(body): Json) -> Result<Response> {
    let workspace = member.workspace_id();
    let answer = retention::put(&member.app, workspace, Side::Workspace, &body).await?;
    security::record(Event::SettingsChanged, Some(workspace), "retention");
    Ok(answer)
}
