//! `/api/v1/{ws}/audit`: the audit log of a workspace, for its administrators.

use axum::{http::HeaderMap, response::Response};

use super::caller::Admin;
use crate::{
    dialect::audit::list::{self, AuditList, RecordModel, WorkspaceAuditQuery},
    error::Result,
    http::page::Query,
};

/// List who has done what in the workspace.
///
/// `Accept: application/x-ndjson` exports all records that match, a line each. A page with filters that match little looks
/// at a part of the log only, and may be empty although there is a next one.
#[utoipa::path(get, path = "/api/v1/{ws}/audit", tag = "audit", params(Admin, WorkspaceAuditQuery),
    responses((status = 200, content((AuditList<'static> = "application/json"), (RecordModel<'static> = "application/x-ndjson")))))]
pub(super) async fn list_workspace_audit(
    Admin(member): Admin,
    query: Query,
    headers: HeaderMap,
) -> Result<Response> {
    let workspace = member.workspace_id();
    list::answer(&member.app, &query, &headers, Some(workspace)).await
}
