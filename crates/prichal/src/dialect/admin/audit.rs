//! `/admin/v1/audit`: the audit log of the server and of all workspaces.

use axum::{extract::State, http::HeaderMap, response::Response};

use super::{caller::Administrator, workspaces::find};
use crate::{
    app::App,
    dialect::audit::list::{self, AuditList, AuditQuery, RecordModel},
    error::Result,
    http::page::Query,
};

/// List who has done what: on the server and in all workspaces.
///
/// `Accept: application/x-ndjson` exports all records that match, a line each. A page with filters that match little looks
/// at a part of the log only, and may be empty although there is a next one.
#[utoipa::path(get, path = "/admin/v1/audit", tag = "administration", params(AuditQuery),
    responses((status = 200, content((AuditList<'static> = "application/json"), (RecordModel<'static> = "application/x-ndjson")))))]
pub(super) async fn list_audit(
    State(app): State<App>,
    _: Administrator,
    query: Query,
    headers: HeaderMap,
) -> Result<Response> {
    let workspace = match list::workspace_of(&query) {
        Some(name) => Some(find(&app, name).await?.id),
        None => None,
    };
    list::answer(&app, &query, &headers, workspace).await
}
