//! `/admin/v1/workspaces/{ws}/usage` and `…/quota`: the bytes that a workspace uses, and its quotas.

use axum::{extract::State, http::StatusCode, response::Response};
use prichal_core::id::WorkspaceId;
use prichal_store::{
    Conn, Tx,
    usage::{self, KINDS, Kind},
};
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use super::{caller::Administrator, workspaces::find};
use crate::{
    app::App,
    error::{Error, Result},
    http::{answer::json_text, body::Json, extract::Path},
    platform::{
        quota,
        security::{self, Event},
    },
};

/// Bytes of one kind.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
#[expect(dead_code, reason = "describes the text that is put together below")]
struct Used {
    used: i64,
    /// Null if there is no limit.
    allowed: Option<i64>,
}

#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the text that is put together below")]
struct UsageModel {
    entities: Used,
    files: Used,
    events: Used,
    runs: Used,
    /// All other stored data: calls, links, documents, channels, scripts and their storage, attempts, first answers.
    records: Used,
}

/// Quotas of a workspace in bytes. 0 means no limit. The server's setting holds for a quota that is null or left out.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the body that `read` takes")]
struct Quota {
    entities: Option<i64>,
    files: Option<i64>,
    events: Option<i64>,
    runs: Option<i64>,
    records: Option<i64>,
}

/// Read the usage and the quotas of a workspace.
#[utoipa::path(get, path = "/admin/v1/workspaces/{ws}/usage", tag = "administration", params(("ws" = String, Path)),
    responses((status = 200, body = UsageModel)))]
pub(super) async fn get_usage(
    State(app): State<App>,
    _: Administrator,
    Path(ws): Path<String>,
) -> Result<Response> {
    let workspace = find(&app, &ws).await?.id;
    answer(&app, workspace).await
}

async fn answer(app: &App, workspace: WorkspaceId) -> Result<Response> {
    let read = move |conn: &mut Conn| usage::find(conn, workspace);
    let found = app.db.read::<_, Error>(move |conn| Ok(read(conn)?)).await?;
    let shown = Kind::ALL.map(|kind| {
        let allowed = quota::allowed(&app.config.quotas, &found, kind);
        let used = json!({ "used": found.used.get(kind), "allowed": allowed });
        (kind.name().to_owned(), used)
    });
    let text = Value::Object(Map::from_iter(shown)).to_string();
    Ok(json_text(StatusCode::OK, text))
}

/// Set quotas of a workspace.
#[utoipa::path(put, path = "/admin/v1/workspaces/{ws}/quota", tag = "administration", params(("ws" = String, Path)),
    request_body = Quota, responses((status = 200, body = UsageModel)))]
pub(super) async fn put_quota(
    State(app): State<App>,
    _: Administrator,
    Path(ws): Path<String>,
    Json(body): Json,
) -> Result<Response> {
    let workspace = find(&app, &ws).await?.id;
    let quotas = read(&body)?;
    let write = move |tx: &mut Tx<'_>| usage::set_quotas(tx, workspace, quotas);
    app.db.write(workspace, write).await?;
    app.quotas.forget(workspace);
    security::record(Event::QuotaChanged, Some(workspace), "");
    answer(&app, workspace).await
}

fn read(body: &Value) -> Result<[Option<i64>; KINDS]> {
    let body = body
        .as_object()
        .ok_or_else(|| Error::invalid("", "The request body must be a JSON object."))?;
    let names = Kind::ALL.map(Kind::name);
    if let Some(name) = body.keys().find(|name| !names.contains(&name.as_str())) {
        let shown: String = name.chars().take(64).collect();
        return Err(Error::invalid(
            &shown,
            format!("There is no quota `{shown}`: {}.", names.join(", ")),
        ));
    }
    let mut quotas = [None; KINDS];
    for (quota, name) in quotas.iter_mut().zip(names) {
        *quota = match body.get(name) {
            None | Some(Value::Null) => None,
            Some(value) => Some(value.as_i64().filter(|bytes| *bytes >= 0).ok_or_else(|| {
                let given = value.to_string().chars().take(64).collect::<String>();
                let why = format!(
                    "The {name} must be a whole number of bytes, at least 0, or null, not {given}."
                );
                Error::invalid(name, why)
            })?),
        };
    }
    Ok(quotas)
}
