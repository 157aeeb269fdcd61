//! `/admin/v1/workspaces/{ws}/usage` and `…/quota`: the bytes that a workspace uses, and its quotas.

use axum::extract::State;
use prichal_core::id::WorkspaceId;
use prichal_store::{
    Conn, Tx,
    usage::{self, KINDS, Kind},
};
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::{
    ToSchema,
    openapi::{
        ObjectBuilder,
        schema::{AdditionalProperties, SchemaType, Type},
    },
};

use super::{caller::Administrator, workspaces::find};
use crate::{
    app::App,
    dialect::openapi::schema::described,
    error::{Error, Result},
    http::{body::Json, extract::Path, idempotency::JsonAnswer},
    platform::{
        quota,
        security::{self, Event},
    },
};

/// The bytes of one kind.
#[derive(Serialize, ToSchema)]
#[schema(as = UsedBytes)]
struct Used {
    /// The bytes that are used.
    used: i64,
    /// The quota; null if there is none.
    #[schema(required = true)]
    allowed: Option<i64>,
}

/// The bytes that a workspace uses.
#[derive(Serialize, ToSchema)]
#[schema(as = WorkspaceUsage)]
struct UsageModel {
    /// The models of entities, deleted ones included.
    entities: Used,
    /// The contents of files, each counted once.
    files: Used,
    /// The events of the log.
    events: Used,
    /// The requests, logs and results of script runs.
    runs: Used,
    /// All other stored data: calls, links, documents, channels, scripts and their storage, attempts, first answers.
    records: Used,
    /// The requests that the workspace may make in a second; null if there is no limit.
    #[serde(rename = "requestsPerSecond")]
    #[schema(required = true)]
    requests_per_second: Option<i64>,
}

described! {
    /// Quotas of a workspace: bytes, and requests in a second. 0 means no limit. The server's setting holds for a quota that is null or left out.
    WorkspaceQuotas = quotas();
}

/// The quota of requests.
const REQUESTS: &str = "requestsPerSecond";

fn quotas() -> ObjectBuilder {
    let mut quotas =
        ObjectBuilder::new().additional_properties(Some(AdditionalProperties::FreeForm(false)));
    for kind in Kind::ALL {
        let bytes = ObjectBuilder::new()
            .schema_type(SchemaType::from_iter([Type::Integer, Type::Null]))
            .minimum(Some(0))
            .description(Some(format!("The quota of {}.", kind.name())));
        quotas = quotas.property(kind.name(), bytes);
    }
    let requests = ObjectBuilder::new()
        .schema_type(SchemaType::from_iter([Type::Integer, Type::Null]))
        .minimum(Some(0))
        .description(Some(
            "The requests in a second. Each node counts for itself.",
        ));
    quotas
        .property(REQUESTS, requests)
        .examples([json!({ "files": 1 << 30, REQUESTS: 200 })])
}

/// Read the usage and the quotas of a workspace.
#[utoipa::path(get, path = "/admin/v1/workspaces/{ws}/usage", tag = "administration", params(("ws" = String, Path, description = "The name or the id of the workspace")),
    responses((status = 200, body = UsageModel)))]
pub(super) async fn get_usage(
    State(app): State<App>,
    _: Administrator,
    Path(ws): Path<String>,
) -> Result<JsonAnswer> {
    let workspace = find(&app, &ws).await?.id;
    answer(&app, workspace).await
}

async fn answer(app: &App, workspace: WorkspaceId) -> Result<JsonAnswer> {
    let read = move |conn: &mut Conn| usage::find(conn, workspace);
    let found = app.db.read::<_, Error>(move |conn| Ok(read(conn)?)).await?;
    let used = |kind| Used {
        used: found.used.get(kind),
        allowed: quota::allowed(&app.config.quotas, &found, kind),
    };
    let usage = UsageModel {
        entities: used(Kind::Entities),
        files: used(Kind::Files),
        events: used(Kind::Events),
        runs: used(Kind::Runs),
        records: used(Kind::Records),
        requests_per_second: quota::requests(&app.config.quotas, &found),
    };
    let text = serde_json::to_string(&usage).map_err(Error::internal)?;
    Ok(JsonAnswer::ok(text))
}

/// Set quotas of a workspace.
#[utoipa::path(put, path = "/admin/v1/workspaces/{ws}/quota", tag = "administration", params(("ws" = String, Path, description = "The name or the id of the workspace")),
    request_body = WorkspaceQuotas, responses((status = 200, body = UsageModel)))]
pub(super) async fn put_quota(
    State(app): State<App>,
    _: Administrator,
    Path(ws): Path<String>,
    Json(body): Json,
) -> Result<JsonAnswer> {
    let workspace = find(&app, &ws).await?.id;
    let (quotas, requests) = read(&body)?;
    let write = move |tx: &mut Tx<'_>| usage::set_quotas(tx, workspace, quotas, requests);
    app.db.write(workspace, write).await?;
    app.quotas.forget(workspace);
    security::record(Event::QuotaChanged, Some(workspace), "");
    answer(&app, workspace).await
}

fn read(body: &Value) -> Result<([Option<i64>; KINDS], Option<i64>)> {
    let body = body
        .as_object()
        .ok_or_else(|| Error::invalid("", "The request body must be a JSON object."))?;
    let bytes = Kind::ALL.map(Kind::name);
    let names: Vec<&str> = bytes.into_iter().chain([REQUESTS]).collect();
    if let Some(name) = body.keys().find(|name| !names.contains(&name.as_str())) {
        let shown: String = name.chars().take(64).collect();
        return Err(Error::invalid(
            &shown,
            format!("There is no quota `{shown}`: {}.", names.join(", ")),
        ));
    }
    let number = |name: &str, unit: &str| match body.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => {
            let number = value.as_i64().filter(|number| *number >= 0);
            let number = number.ok_or_else(|| {
                let given = value.to_string().chars().take(64).collect::<String>();
                let why = format!(
                    "The {name} must be a whole number of {unit}, at least 0, or null, not {given}."
                );
                Error::invalid(name, why)
            });
            number.map(Some)
        }
    };
    let mut quotas = [None; KINDS];
    for (quota, name) in quotas.iter_mut().zip(bytes) {
        *quota = number(name, "bytes")?;
    }
    Ok((quotas, number(REQUESTS, "requests")?))
}
