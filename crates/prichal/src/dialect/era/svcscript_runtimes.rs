//! `/rest/v1/service/svcscript_runtimes`: starts of scripts, and the records of all runs
//! (`docs/contracts/era.md §10`).

use std::sync::Arc;

use axum::{
    http::{HeaderMap, StatusCode},
    response::Response,
};
use prichal_core::{
    id::{EntityId, RunId, WorkspaceId},
    json, names,
    schema::{Field, Object, Type},
    time::Timestamp,
};
use prichal_dialect::{era::query::FieldNames, fault::either};
use prichal_store::{
    Conn, Tx, quarantine,
    run::{self, Filter, Kind, Lane, Parts, Run, Status},
};
use serde::Serialize;
use serde_json::{Map, Value, json};
use utoipa::{
    ToSchema,
    openapi::{
        Object as ObjectSchema, ObjectBuilder,
        schema::{AdditionalProperties, SchemaType},
    },
};
use uuid::Uuid;

use super::{
    caller::{Admin, Tenant},
    collection::{LIMIT, OFFSET, SHAPE, Shape, page, read_json, shape, text as entity_text},
    schemas::{text, view_of},
};
use crate::{
    app::App,
    dialect::openapi::schema::{described, parameters, words},
    domain::channel::{
        self, Loaded, queue, request,
        run::{catch_up, value},
    },
    error::{Code, Error, Result},
    http::{
        answer::json_text,
        body::Raw,
        extract::Path,
        idempotency::{IdempotencyKey, JsonAnswer, write_once_and},
        page::Query,
    },
    platform::access,
};

/// The maximum number of parameters of a start.
const MAX_PARAMS: usize = 9;
/// The vendor's name of a location. This server has only one.
pub(super) const SITE: &str = "main";
/// The vendor's name of the kind of scripts. This server has only one.
const TYPE: &str = "svc";
/// The status of a run that is under way, which is not stored.
const RUNNING: &str = "running";

/// A run of a script, or the sending of a message.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ServiceScriptRuntime)]
pub(super) struct Runtime<'a> {
    /// The id of the run.
    #[schema(value_type = String, format = "uuid")]
    id: RunId,
    /// The vendor's name of a location. This server has only one.
    site: &'static str,
    /// The node that answers.
    #[schema(value_type = String)]
    node: Uuid,
    /// The workspace's name.
    domain: &'a str,
    #[schema(schema_with = type_word)]
    r#type: &'static str,
    /// The code of the script.
    code: &'a str,
    #[schema(schema_with = kind_words)]
    kind: &'static str,
    /// The channel, if the run is one of a channel.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = "uuid", nullable = false)]
    integration_point_id: Option<EntityId>,
    #[schema(schema_with = status_words)]
    status: &'static str,
    /// The number of attempts.
    attempts: i64,
    /// The time of the next attempt.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, format = DateTime)]
    due_at: Option<String>,
    /// The time at which the last attempt began; null before the first.
    #[schema(required = true, format = DateTime)]
    started_at: Option<String>,
    /// The length of the last attempt; null before its end.
    #[schema(required = true)]
    duration_ms: Option<i64>,
    /// The lines that it wrote with `console.log`.
    #[schema(value_type = Vec<String>)]
    log: Value,
    /// The answer that it gave with `respond`, else its completion value.
    result: Value,
    /// The reason of a failure; null without one.
    #[schema(required = true)]
    error: Option<&'a str>,
}

described! {
    /// A run in the shape that `mask` and `flat` give it.
    pub(super) ServiceScriptRuntimeView = view_of::<Runtime<'_>>();
    /// The start of a script.
    pub(super) ScriptStart = start();
}

fn start() -> ObjectBuilder {
    let code = text().description(Some("The code of the script."));
    let mut start = ObjectBuilder::new()
        .property("code", code.min_length(Some(1)))
        .required("code")
        .additional_properties(Some(AdditionalProperties::FreeForm(false)))
        .examples([json!({ "code": "ws_hook", "startparam1": { "dry": true } })]);
    for n in 1..=MAX_PARAMS {
        let param = ObjectSchema::builder()
            .schema_type(SchemaType::AnyValue)
            .description(Some("A parameter of the script: any JSON."));
        start = start.property(format!("startparam{n}"), param);
    }
    start
}

/// A started script.
#[derive(Serialize, ToSchema)]
#[schema(as = StartedScript)]
pub(super) struct Started<'a> {
    /// The id of the run.
    #[schema(value_type = String, format = "uuid")]
    id: RunId,
    /// The vendor's name of a location.
    site: &'static str,
    /// The node that answers.
    #[schema(value_type = String)]
    node: Uuid,
    /// The workspace's name.
    domain: &'a str,
    #[schema(schema_with = type_word)]
    r#type: &'static str,
    /// The code of the script.
    code: &'a str,
}

fn type_word() -> ObjectSchema {
    words(
        &[TYPE],
        "The vendor's name of the kind of scripts. This server has only one.",
    )
}

fn kind_words() -> ObjectSchema {
    words(&names!(Kind), "The cause of the run.")
}

fn status_words() -> ObjectSchema {
    let meaning = "The progress. `running` is shown by the node that runs it, `deferred` has failed and is tried again.";
    words(&[&[RUNNING], &names!(Status)[..]].concat(), meaning)
}

/// The fields that `mask` may name. Members of a script's values are not among them.
static NAMES: FieldNames = FieldNames {
    known: &[
        "id",
        "site",
        "node",
        "domain",
        "type",
        "code",
        "kind",
        "integrationPointId",
        "status",
        "attempts",
        "dueAt",
        "startedAt",
        "durationMs",
        "log",
        "result",
        "error",
    ],
    aliases: &[],
    seldom: &[],
    kinds: &[],
};

fn model(app: &App, domain: &str, run: &Run) -> Result<Object> {
    let state = &run.state;
    let log: Value = serde_json::from_str(&state.log).unwrap_or_else(|_| json!([]));
    // The start of a run that is under way is known only on its own node.
    let since = app.channels.queue.running_since(run.id);
    let status = if since.is_some() {
        RUNNING
    } else {
        state.status.name()
    };
    let runtime = Runtime {
        id: run.id,
        site: SITE,
        node: app.node,
        domain,
        r#type: TYPE,
        code: &run.code,
        kind: run.kind.name(),
        integration_point_id: run.channel,
        status,
        attempts: state.attempts,
        due_at: state.due_at.map(Timestamp::to_centiseconds),
        started_at: since.or(state.started_at).map(Timestamp::to_centiseconds),
        duration_ms: state.duration_ms,
        log,
        result: value(state.result.as_deref()),
        error: state.error.as_deref(),
    };
    match serde_json::to_value(runtime).map_err(Error::internal)? {
        Value::Object(members) => Ok(members),
        _ => Ok(Object::new()),
    }
}

async fn domain(tenant: &Tenant) -> Result<String> {
    let id = tenant.workspace.to_string();
    let found = access::find_workspace(&tenant.app, &id).await?;
    Ok(found.map_or_else(String::new, |workspace| workspace.name.clone()))
}

fn missing(id: &str) -> Error {
    let shown: String = id.chars().take(64).collect();
    Error::NotFound(format!("Service script runtime {shown}"))
}

/// Start a script. It runs in the background; read the run to see its result.
#[utoipa::path(post, path = "/rest/v1/service/svcscript_runtimes", tag = "channels",
    params(IdempotencyKey), request_body = ScriptStart, responses((status = 200, body = Started)))]
pub(super) async fn start_svcscript(
    Admin(tenant): Admin,
    key: IdempotencyKey,
    headers: HeaderMap,
    Raw(body): Raw,
) -> Result<JsonAnswer> {
    let given = read_json(&headers, &body)?;
    let given = prichal_core::schema::object(&given)?;
    let (code, params) = read_start(given, MAX_PARAMS)?;
    let unknown = given
        .keys()
        .find(|name| *name != "code" && !name.starts_with("startparam"));
    if let Some(name) = unknown {
        let shown: String = name.chars().take(64).collect();
        let why =
            format!("There is no field `{shown}`: code, startparam1 to startparam{MAX_PARAMS}.");
        return Err(Error::invalid(shown, why));
    }
    let loaded = load(&tenant.app, tenant.workspace, &code).await?;
    let domain = domain(&tenant).await?;
    let (app, workspace, now) = (tenant.app.clone(), tenant.workspace, tenant.now);
    let run = request::start(&app.vault, workspace, &loaded.script, params, now)?;
    let started = Started {
        id: run.id,
        site: SITE,
        node: app.node,
        domain: &domain,
        r#type: TYPE,
        code: &run.code,
    };
    let text = serde_json::to_string(&started).map_err(Error::internal)?;
    let at = app.clone();
    let work = async move {
        let place = at.channels.queue.reserve(run);
        let (run, owner) = (place.run().clone(), place.owner(&at));
        let write = move |tx: &mut Tx<'_>| {
            run::insert(tx, &run, owner);
            Ok((JsonAnswer::ok(text.clone()), ()))
        };
        let (answer, is_new) = write_once_and(&tenant, key, &body, write).await?;
        if is_new.is_some() {
            place.take(&at);
        }
        Ok(answer)
    };
    queue::enqueue(&app, work).await
}

/// Loads the script with this code.
pub(super) async fn load(app: &App, workspace: WorkspaceId, code: &str) -> Result<Arc<Loaded>> {
    let found = channel::script(app, workspace, code).await?;
    found.ok_or_else(|| no_script(code))
}

fn no_script(code: &str) -> Error {
    let shown: String = code.chars().take(128).collect();
    Error::NotFound(format!("Service script {shown}"))
}

/// Reads `{code, startparam1, …}`.
pub(super) fn read_start(given: &Map<String, Value>, max: usize) -> Result<(String, Vec<Value>)> {
    let code = match given.get("code") {
        Some(Value::String(code)) if !code.is_empty() => code.clone(),
        None | Some(Value::Null) => {
            return Err(Error::invalid("code", "The code field is required."));
        }
        Some(_) => return Err(Error::invalid("code", "The code must be a text.")),
    };
    let name = |n: usize| format!("startparam{n}");
    let count = (1..=max).rev().find(|n| given.contains_key(&name(*n)));
    let params = (1..=count.unwrap_or(0)).map(|n| given.get(&name(n)).cloned().unwrap_or_default());
    for key in given.keys().filter(|key| key.starts_with("startparam")) {
        if !(1..=max).any(|n| *key == name(n)) {
            let shown: String = key.chars().take(64).collect();
            let why = format!("There is no {shown}: they are startparam1 to startparam{max}.");
            return Err(Error::invalid(shown, why));
        }
    }
    Ok((code, params.collect()))
}

/// The parameters of a list of runs.
const RUNS: [Field; 5] = [
    Field::new("filter", Type::Text)
        .doc("A JSON object with any of `id`, `code`, `status`, `integrationPointId`.")
        .example(r#"{"status": "failed"}"#),
    SHAPE[0],
    SHAPE[1],
    OFFSET,
    LIMIT,
];

parameters! {
    /// A page of runs.
    pub(super) Runs = &RUNS;
}

/// List runs, newest first. They are kept 30 days.
#[utoipa::path(get, path = "/rest/v1/service/svcscript_runtimes", tag = "channels",
    params(Runs), responses((status = 200, body = Vec<ServiceScriptRuntimeView>)))]
pub(super) async fn list_svcscript_runtimes(
    Admin(tenant): Admin,
    query: Query,
) -> Result<Response> {
    let filter = read_filter(query.text("filter"))?;
    let shape = shape(&NAMES, &query)?;
    if query.text("order").is_some() {
        let why = "order: leave it out, runs are always listed newest first.";
        return Err(Error::invalid("order", why));
    }
    let (offset, limit) = page(&query)?;
    let workspace = tenant.workspace;
    if let Some(code) = filter.code.clone() {
        let known = channel::script(&tenant.app, workspace, &code).await?;
        if known.is_none() {
            let of_code = Filter {
                code: Some(code.clone()),
                ..Filter::default()
            };
            let read =
                move |conn: &mut Conn| run::list(conn, workspace, &of_code, Parts::Bare, 0, 1);
            if tenant.app.db.read(read).await?.is_empty() {
                return Err(no_script(&code));
            }
        }
    }
    catch_up(&tenant.app, workspace).await?;
    let parts = if shape.wants("log") || shape.wants("result") {
        Parts::Output
    } else {
        Parts::Bare
    };
    let read = move |conn: &mut Conn| run::list(conn, workspace, &filter, parts, offset, limit);
    let found = tenant.app.db.read(read).await?;
    let domain = domain(&tenant).await?;
    let shown = found.iter().map(|run| {
        let model = model(&tenant.app, &domain, run)?;
        Ok(Value::Object(shape.show(&model, true)))
    });
    let text = Value::Array(shown.collect::<Result<_>>()?).to_string();
    Ok(json_text(StatusCode::OK, text))
}

fn read_filter(text: Option<&str>) -> Result<Filter> {
    let mut filter = Filter::default();
    let Some(text) = text else { return Ok(filter) };
    let given = json::parse::<Map<String, Value>>(text.as_bytes());
    let given = given.map_err(|_| {
        Error::invalid(
            "filter",
            "filter must be a JSON object of fields and values.",
        )
    })?;
    for (name, value) in given {
        let shown: String = name.chars().take(64).collect();
        let wrong = |why: &str| Error::invalid("filter", format!("filter: the {shown} {why}."));
        let text = value.as_str().ok_or_else(|| wrong("must be a text"))?;
        match name.as_str() {
            "id" => {
                let id = RunId::parse(text).ok_or_else(|| wrong("is no id"))?;
                filter.id = Some(id);
            }
            "code" => filter.code = Some(text.to_owned()),
            "status" => {
                let status = Status::from_name(text);
                let known = || format!("must be {}", either(&names!(Status)));
                let status = status.ok_or_else(|| wrong(&known()))?;
                filter.status = Some(status);
            }
            "integrationPointId" => {
                let id = EntityId::parse(text).ok_or_else(|| wrong("is no id"))?;
                filter.channel = Some(id);
            }
            _ => {
                let why = format!(
                    "filter: there is no field `{shown}`: id, code, status, integrationPointId."
                );
                return Err(Error::invalid("filter", why));
            }
        }
    }
    Ok(filter)
}

pub(super) async fn find(tenant: &Tenant, id: &str) -> Result<Run> {
    let parsed = RunId::parse(id).ok_or_else(|| missing(id))?;
    let workspace = tenant.workspace;
    catch_up(&tenant.app, workspace).await?;
    let read = move |conn: &mut Conn| run::find(conn, workspace, parsed);
    tenant.app.db.read(read).await?.ok_or_else(|| missing(id))
}

/// Read a run.
#[utoipa::path(get, path = "/rest/v1/service/svcscript_runtimes/{id}", tag = "channels",
    params(("id" = Uuid, Path, description = "The id of the run"), Shape),
    responses((status = 200, body = ServiceScriptRuntimeView)))]
pub(super) async fn get_svcscript_runtime(
    Admin(tenant): Admin,
    Path(id): Path<String>,
    query: Query,
) -> Result<Response> {
    let shape = shape(&NAMES, &query)?;
    let run = find(&tenant, &id).await?;
    let domain = domain(&tenant).await?;
    let shown = shape.show(&model(&tenant.app, &domain, &run)?, false);
    Ok(json_text(StatusCode::OK, entity_text(shown)))
}

/// Run a failed run again, with the present source of its script.
#[utoipa::path(post, path = "/rest/v1/service/svcscript_runtimes/{id}/retry", tag = "channels",
    params(("id" = Uuid, Path, description = "The id of the run")), responses((status = 200, body = Runtime)))]
pub(super) async fn retry_svcscript_runtime(
    Admin(tenant): Admin,
    Path(id): Path<String>,
) -> Result<Response> {
    let run = find(&tenant, &id).await?;
    if run.kind == Kind::Socket || run.request.is_none() {
        return Err(Error::refused(
            Code::Conflict,
            "Only a failed hook, message or start can be run again",
        ));
    }
    let Lane { workspace, .. } = run.lane;
    let (id, now, node) = (run.id, tenant.now, tenant.app.node);
    let item = queue::item(&run);
    let write = move |tx: &mut Tx<'_>| {
        if !run::try_again(tx, node, now, workspace, id)? {
            let what = if quarantine::is_held(tx.conn()?, item)? {
                "The run is held because the server died during each of its attempts; the server's operator can release it"
            } else {
                "The run has not failed, or an attempt is under way"
            };
            return Err(Error::refused(Code::Conflict, what));
        }
        run::find(tx.conn()?, workspace, id)?.ok_or_else(|| missing(&id.to_string()))
    };
    let again = tenant.app.db.write(workspace, write).await?;
    tenant.app.channels.queue.wake(run.lane, now);
    let domain = domain(&tenant).await?;
    Ok(json_text(
        StatusCode::OK,
        entity_text(model(&tenant.app, &domain, &again)?),
    ))
}
