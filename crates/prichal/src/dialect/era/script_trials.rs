//! `/rest/v1/service/svcscripts/{id}/try` and `…/versions`: scripts tried without effect, and their earlier versions. These
//! are our own.

use axum::{
    http::{HeaderMap, StatusCode},
    response::Response,
};
use prichal_core::{
    id::EntityId,
    schema::{self, Field, Object, Type},
    script::Script,
    time::Timestamp,
};
use prichal_store::{
    Conn,
    run::{Run, Status},
    script_version::{self, ScriptVersion},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::{ToSchema, openapi::Object as ObjectSchema};

use super::{
    caller::{Admin, Tenant},
    collection::{self, Resource as _, read_json},
    svcscript_runtimes::find as find_run,
};
use crate::{
    dialect::openapi::schema::{body, described, words},
    domain::channel::{
        request::{Request, request_of},
        run::value,
        trial::{self, TrialEffect},
    },
    error::{Code, Error, Result},
    http::{answer::json_text, body::Raw, extract::Path},
};

/// The maximum number of headers and the maximum length of the body of a request that is written for a trial.
const MAX_HEADERS: usize = 100;
const MAX_BODY: usize = 1 << 20;

const REQUEST: &[Field] = &[
    Field::new("method", Type::Text).doc("The method; `POST` unless given."),
    Field::new("url", Type::Text)
        .doc("Path and query.")
        .example("/hook/updates?a=1"),
    Field::new("headers", Type::Values).doc("Pairs of a name and a value."),
    Field::new("body", Type::Text).doc("The body, as text."),
];

const TRIAL: &[Field] = &[
    Field::new("source", Type::Text).doc("The program to try; the script's own unless given."),
    Field::new("runtimeId", Type::Guid).doc("The run whose request and channel the script gets. Its request is kept until the run succeeds."),
    Field::new("request", Type::Object(REQUEST)).doc("Without `runtimeId`: the request that the script gets."),
    Field::new("integrationPointId", Type::Guid).doc("Without `runtimeId`: the channel that the script belongs to."),
];

described! {
    /// A trial of a script.
    pub(super) TrialOfScript = body(TRIAL).examples([json!({
        "source": "console.log(request.body.order)",
        "request": { "method": "POST", "url": "/hook", "headers": [["content-type", "application/json"]], "body": "{\"order\":1}" },
    })]);
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Given {
    #[serde(default)]
    source: Option<String>,
    #[serde(default)]
    runtime_id: Option<String>,
    #[serde(default)]
    request: Option<GivenRequest>,
    #[serde(default)]
    integration_point_id: Option<String>,
}

#[derive(Deserialize)]
struct GivenRequest {
    #[serde(default)]
    method: Option<String>,
    #[serde(default)]
    url: String,
    #[serde(default)]
    headers: Vec<(String, String)>,
    #[serde(default)]
    body: String,
}

fn status_words() -> ObjectSchema {
    words(&["finished", "failed"], "The outcome of the run.")
}

/// The outcome of a trial.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ScriptTrial)]
pub(super) struct TriedScript {
    #[schema(schema_with = status_words)]
    status: &'static str,
    /// The time that it took.
    duration_ms: i64,
    /// The lines that it wrote with `console.log`.
    #[schema(value_type = Vec<String>)]
    log: Value,
    /// The answer that it gave with `respond`, else its completion value.
    result: Value,
    /// The reason of a failure; null without one.
    #[schema(required = true)]
    error: Option<String>,
    /// The changes that it would have made and the frames that it would have sent, at most 200.
    effects: Vec<TrialEffect>,
}

/// Run a script without effect, on the request of a past run or on a given one.
///
/// It reads real values. Its changes are told instead of written, `fetch` throws, and no frame is sent. Nothing of it is
/// stored. Only an administrator may do this.
#[utoipa::path(post, path = "/rest/v1/service/svcscripts/{id}/try", tag = "channels",
    params(("id" = Uuid, Path, description = "The id of the script")), request_body = TrialOfScript,
    responses((status = 200, body = TriedScript)))]
pub(super) async fn try_svcscript(
    Admin(tenant): Admin,
    Path(id): Path<String>,
    headers: HeaderMap,
    Raw(body): Raw,
) -> Result<Response> {
    if !tenant.caller.is_admin() {
        return Err(Error::Forbidden(
            "Only an administrator of the workspace may try scripts",
        ));
    }
    let given = read(&headers, &body)?;
    let stored: Script = collection::find_in_path(&tenant, &id).await?;
    let script = match &given.source {
        None => stored,
        Some(source) => {
            let change = json!({ "scriptdata": { "language": "javascript", "source": source } });
            let script = stored.patched(schema::object(&change)?)?;
            script.check(&tenant.app, tenant.workspace).await?;
            script
        }
    };
    let (request, channel) = subject(&tenant, given).await?;
    let tried = trial::run(&tenant.app, tenant.workspace, &script, channel, &request).await?;
    let state = tried.state;
    let answer = TriedScript {
        status: state.status.name(),
        duration_ms: state.duration_ms.unwrap_or(0),
        log: serde_json::from_str(&state.log).unwrap_or_else(|_| json!([])),
        result: value(state.result.as_deref()),
        error: state.error.filter(|_| state.status == Status::Failed),
        effects: tried.effects,
    };
    let text = serde_json::to_string(&answer).map_err(Error::internal)?;
    Ok(json_text(StatusCode::OK, text))
}

fn read(headers: &HeaderMap, body: &[u8]) -> Result<Given> {
    let given = read_json(headers, body)?;
    let given: &Object = schema::object(&given)?;
    let unknown = given
        .keys()
        .find(|name| TRIAL.iter().all(|field| field.name != *name));
    if let Some(name) = unknown {
        let shown: String = name.chars().take(64).collect();
        let why =
            format!("There is no field `{shown}`: source, runtimeId, request, integrationPointId.");
        return Err(Error::invalid(shown, why));
    }
    let given = Given::deserialize(Value::Object(given.clone()))
        .map_err(|error| Error::invalid("", format!("The trial is invalid: {error}.")))?;
    if let Some(request) = &given.request
        && (request.headers.len() > MAX_HEADERS || request.body.len() > MAX_BODY)
    {
        let why = format!(
            "The request may have at most {MAX_HEADERS} headers and {} MiB of body.",
            MAX_BODY >> 20
        );
        return Err(Error::invalid("request", why));
    }
    Ok(given)
}

/// The request and the channel of a trial.
async fn subject(tenant: &Tenant, given: Given) -> Result<(Request, Option<EntityId>)> {
    if let Some(id) = &given.runtime_id {
        let run = find_run(tenant, id).await?;
        let request = kept_request(tenant, &run)?;
        return Ok((request, run.channel));
    }
    let channel = match &given.integration_point_id {
        None => None,
        Some(id) => {
            let channel: prichal_core::channel::Channel =
                collection::find_in_path(tenant, id).await?;
            Some(channel.id())
        }
    };
    let Some(given) = given.request else {
        return Ok((Request::default(), channel));
    };
    let headers = given.headers.into_iter();
    let mut request = Request {
        method: given.method.unwrap_or_else(|| "POST".to_owned()),
        url: given.url,
        headers: headers
            .map(|(name, value)| (name.to_ascii_lowercase(), value))
            .collect(),
        ip: "127.0.0.1".to_owned(),
        protocol: "HTTP/1.1".to_owned(),
        ..Request::default()
    };
    request.set_body(given.body.as_bytes());
    Ok((request, channel))
}

/// The request of a run. Refuses a run whose request is not kept.
pub(super) fn kept_request(tenant: &Tenant, run: &Run) -> Result<Request> {
    request_of(&tenant.app, run).ok_or_else(|| {
        Error::refused(
            Code::Conflict,
            "The request of this run is not kept: it is until a run succeeds",
        )
    })
}

/// An earlier version of a script.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ServiceScriptVersion)]
pub(super) struct Version {
    /// From 1 on.
    number: i64,
    /// The time at which another source replaced it.
    #[schema(value_type = String, format = DateTime)]
    replaced_at: Timestamp,
    /// The length of the source in bytes.
    size: i64,
    /// The program. The list leaves it out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    source: Option<String>,
}

impl Version {
    fn new(version: &ScriptVersion, source: Option<String>) -> Self {
        Self {
            number: version.number,
            replaced_at: version.replaced_at,
            size: version.size,
            source,
        }
    }
}

/// List the earlier versions of a script, newest first. The last 20 are kept.
#[utoipa::path(get, path = "/rest/v1/service/svcscripts/{id}/versions", tag = "channels",
    params(("id" = Uuid, Path, description = "The id of the script")),
    responses((status = 200, body = Vec<Version>)))]
pub(super) async fn list_svcscript_versions(
    Admin(tenant): Admin,
    Path(id): Path<String>,
) -> Result<Response> {
    let script: Script = collection::find_in_path(&tenant, &id).await?;
    let (workspace, id) = (tenant.workspace, script.id());
    let read = move |conn: &mut Conn| script_version::list(conn, workspace, id);
    let found = tenant.app.db.read(read).await?;
    let found: Vec<Version> = found.iter().map(|one| Version::new(one, None)).collect();
    let text = serde_json::to_string(&found).map_err(Error::internal)?;
    Ok(json_text(StatusCode::OK, text))
}

/// Read an earlier version of a script.
#[utoipa::path(get, path = "/rest/v1/service/svcscripts/{id}/versions/{number}", tag = "channels",
    params(("id" = Uuid, Path, description = "The id of the script"), ("number" = i64, Path, description = "The number of the version")),
    responses((status = 200, body = Version)))]
pub(super) async fn get_svcscript_version(
    Admin(tenant): Admin,
    Path((id, number)): Path<(String, String)>,
) -> Result<Response> {
    let script: Script = collection::find_in_path(&tenant, &id).await?;
    let (workspace, id) = (tenant.workspace, script.id());
    let shown: String = number.chars().take(20).collect();
    let missing = || Error::NotFound(format!("Service script version {shown}"));
    let number: i64 = number.parse().map_err(|_| missing())?;
    let read = move |conn: &mut Conn| script_version::find(conn, workspace, id, number);
    let found = tenant.app.db.read(read).await?;
    let (version, source) = found.ok_or_else(missing)?;
    let text = serde_json::to_string(&Version::new(&version, Some(source)));
    Ok(json_text(StatusCode::OK, text.map_err(Error::internal)?))
}
