//! Lists of the audit log, for the server's administrator and for those of workspaces.

use std::time::Duration;

use axum::{
    body::Body,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::Response,
};
use bytes::Bytes;
use futures_util::{Stream, TryStreamExt as _, stream};
use prichal_core::{
    id::{self, UserId, WorkspaceId},
    schema::{Field, Type, Words},
    time::Timestamp,
};
use prichal_store::{
    Conn,
    audit::{self, ActorKind, Filter, Outcome, Page, Record},
};
use serde::Serialize;
use utoipa::{ToSchema, openapi::Object};
use uuid::Uuid;

use crate::{
    app::App,
    dialect::openapi::schema::{parameters, words},
    error::{Error, Result},
    http::{
        answer::json_text,
        page::{LIMIT, Query},
    },
    platform::{self, Platform},
};

/// The maximum number of rows that one page looks at.
const MAX_ROWS: i64 = 8192;
/// The number of records that an export reads at once.
const EXPORTED_AT_ONCE: i64 = 1000;
/// The age from which records are listed oldest first. Records of all nodes are committed within this time, so that a
/// reader who follows the log misses none.
const SETTLED: Duration = Duration::from_secs(10);
/// The media type of an export.
const NDJSON: &str = "application/x-ndjson";

static ACTOR_KINDS: Words = Words {
    name: "actorKind",
    words: ActorKind::NAMES,
};
static RESULTS: Words = Words {
    name: "auditResult",
    words: Outcome::NAMES,
};

static ORDERS: Words = Words {
    name: "order",
    words: &["desc", "asc"],
};

const FROM: Field = Field::new("from", Type::Moment).doc("The records made at this time or later.");
const TO: Field = Field::new("to", Type::Moment).doc("The records made before this time.");
const ACTOR_KIND: Field =
    Field::new("actorKind", Type::Enum(&ACTOR_KINDS)).doc("The acts of this kind of actor only.");
const ACTOR: Field = Field::new("actorId", Type::Guid)
    .doc("The acts of this token, integration, channel or node only.");
const USER: Field = Field::new("userId", Type::Guid).doc("The acts of this user only.");
const ACTION: Field = Field::new("action", Type::Text)
    .doc("The records of this action, or of those that begin so with `*` behind.")
    .example("webhooks.*");
const OBJECT_KIND: Field = Field::new("objectKind", Type::Text)
    .doc("The acts on objects of this kind only.")
    .example("token");
const OBJECT: Field =
    Field::new("objectId", Type::Text).doc("The acts on the object with this id only.");
const RESULT: Field =
    Field::new("result", Type::Enum(&RESULTS)).doc("The acts with this result only.");
const ADDRESS: Field = Field::new("address", Type::Text)
    .doc("The acts from this address only.")
    .example("192.0.2.7");
const ORDER: Field = Field::new("order", Type::Enum(&ORDERS))
    .doc("`desc`, the newest first, unless given. `asc` has records that are at least ten seconds old, so that a reader who follows `next` misses none.");
const CURSOR: Field = Field::new("cursor", Type::Guid).doc("The `next` of the page before.");
const WORKSPACE: Field = Field::new("workspace", Type::Text)
    .doc("The name or the id of a workspace, to list only its records.");

parameters! {
    /// The records of a workspace to list.
    pub WorkspaceAuditQuery = &[
        FROM, TO, ACTOR_KIND, ACTOR, USER, ACTION, OBJECT_KIND, OBJECT, RESULT, ADDRESS, ORDER, CURSOR, LIMIT,
    ];
    /// The records to list.
    pub AuditQuery = &[
        WORKSPACE, FROM, TO, ACTOR_KIND, ACTOR, USER, ACTION, OBJECT_KIND, OBJECT, RESULT, ADDRESS, ORDER, CURSOR, LIMIT,
    ];
}

/// The originator of an act.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = AuditActor)]
struct ActorModel<'a> {
    #[schema(schema_with = kind_words)]
    kind: &'static str,
    /// The id of the token, integration, channel or node. Absent for the operator.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = "uuid", nullable = false)]
    id: Option<Uuid>,
    /// The name of the credentials at the time of the act.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    name: Option<&'a str>,
    /// The id of the user behind the credentials.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = "uuid", nullable = false)]
    user_id: Option<UserId>,
}

fn kind_words() -> Object {
    words(
        ActorKind::NAMES,
        "The kind of credentials: the admin token, a token, a session at the console, an integration's access key, a channel's token, or a node by itself.",
    )
}

/// The object of an act.
#[derive(Serialize, ToSchema)]
#[schema(as = AuditObject)]
struct ObjectModel<'a> {
    /// The kind of the object, such as `webhook`.
    kind: &'a str,
    /// The id of the object, or its name where it has no id. Absent if it is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    id: Option<&'a str>,
}

/// A record of the audit log.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = AuditRecord)]
pub struct RecordModel<'a> {
    /// The id of the record. Ids are in the order of time.
    #[schema(value_type = String, format = "uuid")]
    id: Uuid,
    /// The time of the act.
    #[schema(value_type = String, format = "date-time")]
    at: Timestamp,
    /// The id of the workspace. Absent for an act on the server itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = "uuid", nullable = false)]
    workspace_id: Option<WorkspaceId>,
    actor: ActorModel<'a>,
    /// The operation: its group in the API's description, a dot, and its `operationId`.
    #[schema(example = "webhooks.patch_webhook")]
    action: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    object: Option<ObjectModel<'a>>,
    /// The address that the request came from.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    address: Option<&'a str>,
    /// The name of the client, `User-Agent`, cut to 200 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    user_agent: Option<&'a str>,
    /// The `X-Request-Id` of the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = "uuid", nullable = false)]
    request_id: Option<Uuid>,
    #[schema(schema_with = result_words)]
    result: &'static str,
    /// The status of the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    status: Option<i64>,
}

fn result_words() -> Object {
    words(
        Outcome::NAMES,
        "`refused` for a status of 400 to 499, `failed` for one of 500 and more.",
    )
}

/// A page of the audit log.
#[derive(Serialize, ToSchema)]
pub struct AuditList<'a> {
    /// The number of records on the page. It may be below the limit, or zero, although there is a next page.
    count: usize,
    /// The records.
    items: Vec<RecordModel<'a>>,
    /// The value of `cursor` for the next page. Absent at the end of the log.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = "uuid", nullable = false)]
    next: Option<Uuid>,
}

fn model(record: &Record) -> RecordModel<'_> {
    RecordModel {
        id: record.id,
        at: record.at(),
        workspace_id: record.workspace,
        actor: ActorModel {
            kind: record.actor.kind.name(),
            id: record.actor.id,
            name: record.actor.name.as_deref(),
            user_id: record.actor.user,
        },
        action: &record.action,
        object: record.object.as_ref().map(|object| ObjectModel {
            kind: &object.kind,
            id: object.id.as_deref(),
        }),
        address: record.address.as_deref(),
        user_agent: record.agent.as_deref(),
        request_id: record.request,
        result: record.outcome.name(),
        status: record.status,
    }
}

/// The name of the parameter with the workspace.
pub fn workspace_of(query: &Query) -> Option<&str> {
    query.text(WORKSPACE.name)
}

fn read_filter(query: &Query, workspace: Option<WorkspaceId>, now: Timestamp) -> Result<Filter> {
    let guid = |field: &Field| query.read(field.name, "a GUID", id::parse_any);
    let moment = |field: &Field| query.read(field.name, "an ISO-8601 time", Timestamp::parse);
    let word = |field: &Field, words: &'static [&'static str]| {
        let what = format!("one of {}", words.join(", "));
        let known = |text: &str| {
            let mut words = words.iter();
            words.position(|word| word.eq_ignore_ascii_case(text))
        };
        query.read(field.name, &what, known)
    };
    let text = |field: &Field| query.text(field.name).map(str::to_owned);
    let is_ascending = word(&ORDER, ORDERS.words)? == Some(1);
    let to = moment(&TO)?;
    let settled = now - SETTLED;
    Ok(Filter {
        workspace,
        actor_kind: word(&ACTOR_KIND, ActorKind::NAMES)?.map(|n| ActorKind::ALL[n]),
        actor: guid(&ACTOR)?,
        user: guid(&USER)?.map(UserId),
        action: text(&ACTION),
        object_kind: text(&OBJECT_KIND),
        object: text(&OBJECT).map(|text| id::parse_any(&text).map_or(text, |id| id.to_string())),
        outcome: word(&RESULT, Outcome::NAMES)?.map(|n| Outcome::ALL[n]),
        address: text(&ADDRESS),
        from: moment(&FROM)?,
        to: if is_ascending {
            Some(to.map_or(settled, |to| to.min(settled)))
        } else {
            to
        },
        after: guid(&CURSOR)?,
        is_ascending,
    })
}

/// Answers a page, or all of the log as lines of JSON to a client that accepts them.
pub async fn answer(
    app: &App,
    query: &Query,
    headers: &HeaderMap,
    workspace: Option<WorkspaceId>,
) -> Result<Response> {
    // The reader sees what it did before.
    platform::audit::flush(app).await?;
    let filter = read_filter(query, workspace, app.clock.now())?;
    let wants_lines = headers.get_all(header::ACCEPT).iter().any(|accept| {
        let accept = accept.to_str().unwrap_or_default();
        accept.split(',').any(|one| {
            one.split(';')
                .next()
                .is_some_and(|kind| kind.trim() == NDJSON)
        })
    });
    if wants_lines {
        let most = query.text(LIMIT.name).map(|_| query.limit()).transpose()?;
        let lines = lines(app.platform.clone(), filter, most);
        let mut response = Response::new(Body::from_stream(lines));
        let kind = HeaderValue::from_static(NDJSON);
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        return Ok(response);
    }
    let page = read(app, filter, query.limit()?).await?;
    let list = AuditList {
        count: page.items.len(),
        items: page.items.iter().map(model).collect(),
        next: page.next,
    };
    let text = serde_json::to_string(&list).map_err(Error::internal)?;
    Ok(json_text(StatusCode::OK, text))
}

async fn read(app: &Platform, filter: Filter, limit: i64) -> Result<Page> {
    let read = move |conn: &mut Conn| audit::list(conn, &filter, limit, MAX_ROWS);
    Ok(app.db.read(read).await?)
}

/// The records as lines, a bounded number at a time.
fn lines(app: Platform, filter: Filter, most: Option<i64>) -> impl Stream<Item = Result<Bytes>> {
    let next = |(app, filter, left): (Platform, Option<Filter>, i64)| async move {
        let Some(mut filter) = filter.filter(|_| left > 0) else {
            return Ok(None);
        };
        let page = read(&app, filter.clone(), left.min(EXPORTED_AT_ONCE)).await?;
        let mut text = Vec::new();
        for record in &page.items {
            serde_json::to_writer(&mut text, &model(record)).map_err(Error::internal)?;
            text.push(b'\n');
        }
        let found = i64::try_from(page.items.len()).unwrap_or(i64::MAX);
        filter.after = page.next;
        let rest = page.next.map(|_| filter);
        Ok(Some((Bytes::from(text), (app, rest, left - found))))
    };
    let lines = stream::try_unfold((app, Some(filter), most.unwrap_or(i64::MAX)), next);
    lines.try_filter(|lines: &Bytes| std::future::ready(!lines.is_empty()))
}
