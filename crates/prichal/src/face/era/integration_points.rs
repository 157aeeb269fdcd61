//! `/rest/v1/service/integration_points`: the channels of a workspace (`reference/era.md` §4).

use axum::{
    extract::{FromRequestParts, State},
    http::{HeaderMap, Method, StatusCode, request::Parts},
    response::{IntoResponse as _, Response},
};
use prichal_core::{
    channel::{Channel, Selection, Shape, Tokens},
    event::{Entity, EntityKind, NewEvent},
    id::{EntityId, EventId, WorkspaceId},
    schema::{self, Object},
};
use prichal_store::{
    Conn, Tx,
    channel::{self, Channel as Row},
    entity,
};
use serde_json::Value;
use utoipa::ToSchema;
use utoipa_axum::router::{UtoipaMethodRouter, UtoipaMethodRouterExt as _};

use super::{
    caller::{Admin, Tenant},
    words::LOOKUP_FAILED,
};
use crate::{
    app::App,
    error::{Error, Result},
    face::{
        Raw, json_text,
        once::{IdempotencyKey, JsonAnswer, write_once},
        parse_json,
    },
    page::Query,
    vault::{Vault, fill_random, hex, sha256_hex},
};

/// How many channels a workspace may have.
const MOST: i64 = 10_000;
/// How many a list shows when nothing is said, and at the most.
const LIMIT: i64 = 100;
const LONGEST: i64 = 1000;

/// A channel. What is not set is the empty text.
#[derive(ToSchema)]
#[schema(as = IntegrationPoint)]
#[expect(
    dead_code,
    reason = "describes the entity that `prichal_core::channel` puts together"
)]
struct IntegrationPoint {
    id: String,
    code: String,
    r#type: String,
    /// What outside systems show to be let in. Made by the server, and never changed.
    token_local: String,
    token_remote: String,
    token_remote2: String,
    url: String,
    /// The script that is run for an HTTP request that comes in.
    recv_svcscriptcode: String,
    /// The script that takes messages of a websocket.
    recv_svcscriptcode_ws: String,
    /// The script that sends a message to the outside system.
    send_svcscriptcode: String,
    /// The same over a websocket.
    send_svcscriptcode_ws: String,
    /// `title`, `comment`, `allow_files_api`, `issync`; once set also `recv_timeout`, `roles`, `userid`,
    /// `ip_mask`, `filter_capabilities`.
    opts: Object,
    /// `ct` and `lwt`, when it was made and changed, and whatever clients add.
    ext: Object,
}

/// The id in the path. What is no id is not there.
pub(super) struct InPath(EntityId);

impl<S: Send + Sync> FromRequestParts<S> for InPath {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self> {
        let text = parts.uri.path().rsplit('/').next().unwrap_or_default();
        let shown: String = text.chars().take(64).collect();
        EntityId::parse(text)
            .map(Self)
            .ok_or_else(|| missing(&shown))
    }
}

fn missing(id: &str) -> Error {
    Error::NotFound(format!("Integration point {id}"))
}

/// A channel as it is kept, opened.
fn open(vault: &Vault, row: &Row) -> Result<Channel> {
    let tokens = vault
        .open(&row.tokens)
        .ok_or_else(|| Error::internal("a channel's tokens were sealed with another master key"))?;
    let tokens: Tokens = serde_json::from_slice(&tokens).map_err(Error::internal)?;
    Ok(Channel {
        id: row.id.0,
        tokens,
        members: serde_json::from_str(&row.members).map_err(Error::internal)?,
        created_at: row.created_at,
        updated_at: row.updated_at,
    })
}

fn close(vault: &Vault, workspace: WorkspaceId, channel: &Channel) -> Result<Row> {
    let tokens = serde_json::to_vec(&channel.tokens).map_err(Error::internal)?;
    Ok(Row {
        workspace,
        id: EntityId(channel.id),
        code: channel.code().to_owned(),
        token_hash: sha256_hex(channel.tokens.local.as_bytes()),
        tokens: vault.seal(&tokens),
        members: serde_json::to_string(&channel.members).map_err(Error::internal)?,
        created_at: channel.created_at,
        updated_at: channel.updated_at,
        deleted_at: None,
    })
}

fn of_feed(channel: &Channel) -> Entity {
    (EntityKind::IntegrationPoint, channel.id)
}

/// The verb LOOKUP, which no description language knows.
pub(super) fn with_lookup(routes: UtoipaMethodRouter<App>) -> UtoipaMethodRouter<App> {
    routes.map(|routes| routes.fallback(other_verb))
}

async fn other_verb(
    State(_): State<App>,
    method: Method,
    admin: Admin,
    body: Raw,
) -> Result<Response> {
    if method.as_str() == "LOOKUP" {
        look_up(&admin.0, &body.0).await
    } else {
        Err(Error::WrongMethod)
    }
}

/// Find the ids of the channels that a JSON text means: an id, a code or a local token.
async fn look_up(tenant: &Tenant, body: &[u8]) -> Result<Response> {
    let key = parse_json(body)?;
    let key = key.as_str().ok_or_else(|| {
        Error::invalid(
            "",
            "The key must be a JSON string: an id, a code or a token_local.",
        )
    })?;
    let (workspace, id, code) = (tenant.workspace, EntityId::parse(key), key.to_owned());
    let hash = sha256_hex(key.as_bytes());
    let found = tenant
        .app
        .db
        .read(move |conn| channel::lookup(conn, workspace, id, &code, &hash))
        .await?;
    if found.is_empty() {
        return Err(Error::refused(LOOKUP_FAILED, "Lookup failed"));
    }
    let ids: Vec<String> = found.iter().map(ToString::to_string).collect();
    let text = serde_json::to_string(&ids).map_err(Error::internal)?;
    Ok(json_text(StatusCode::OK, text))
}

/// Create a channel.
///
/// With the header `X-HTTP-Method-Override: LOOKUP` the body is a key instead, and the answer the ids of
/// the channels it means: an id, a code or a local token.
#[utoipa::path(post, path = "/rest/v1/service/integration_points", tag = "channels",
    params(("X-HTTP-Method-Override" = Option<String>, Header), ("Idempotency-Key" = Option<String>, Header)),
    request_body = IntegrationPoint, responses((status = 200, body = IntegrationPoint)))]
pub(super) async fn create_integration_point(
    Admin(tenant): Admin,
    key: IdempotencyKey,
    headers: HeaderMap,
    Raw(body): Raw,
) -> Result<Response> {
    let verb = headers.get("x-http-method-override");
    if verb.is_some_and(|verb| verb.as_bytes().eq_ignore_ascii_case(b"LOOKUP")) {
        return look_up(&tenant, &body).await;
    }
    let read = parse_json(&body)?;
    let token = {
        let mut random = [0; 16];
        fill_random(&mut random);
        hex(&random)
    };
    let id = EntityId::generate(tenant.now).0;
    let made = Channel::read(schema::object(&read)?, id, token, tenant.now)?;
    let row = close(&tenant.app.vault, tenant.workspace, &made)?;
    let (origin, event) = (tenant.origin(), EventId::generate(tenant.now));
    let work = move |tx: &mut Tx<'_>| {
        check_user(tx, origin.workspace, &made)?;
        if channel::count(tx.conn()?, origin.workspace)? >= MOST {
            return Err(Error::refused(
                "tooMany",
                format!("A workspace has at most {MOST} channels"),
            ));
        }
        if !channel::insert(tx, &row)? {
            return Err(Error::refused(
                "taken",
                format!(
                    "An integration point with this id or the code {} is there already",
                    row.code
                ),
            ));
        }
        tx.append(NewEvent::create(
            event,
            &origin,
            of_feed(&made),
            made.snapshot(),
        ));
        Ok(Value::Object(made.entity()).to_string())
    };
    let answer: JsonAnswer = write_once(&tenant, key, &body, work).await?;
    Ok(answer.into_response())
}

/// The user whose rights a channel has must be there.
fn check_user(tx: &mut Tx<'_>, workspace: WorkspaceId, channel: &Channel) -> Result<()> {
    let Some(user) = channel.user() else {
        return Ok(());
    };
    let found = entity::find(tx.conn()?, workspace, EntityKind::User, EntityId(user))?;
    if found.is_some_and(|found| found.deleted_at.is_none()) {
        return Ok(());
    }
    Err(Error::invalid(
        "opts.userid",
        "The opts.userid is not a user of this workspace.",
    ))
}

fn shape(query: &Query) -> Result<Shape> {
    let flat = query.read("flat", "true or false", |text| match text {
        "true" | "1" => Some(true),
        "false" | "0" => Some(false),
        _ => None,
    })?;
    Ok(Shape::read(query.text("mask"), flat.unwrap_or(false))?)
}

/// List the channels, by default in the order of their making.
#[utoipa::path(get, path = "/rest/v1/service/integration_points", tag = "channels",
    params(("filter" = Option<String>, Query, description = "A JSON object: fields and the values they must have"),
        ("mask" = Option<String>, Query, description = "The fields to show, with commas between"),
        ("offset" = Option<i64>, Query), ("limit" = Option<i64>, Query),
        ("order" = Option<String>, Query, description = "A JSON array of fields, or of objects such as {\"code\": \"desc\"}"),
        ("flat" = Option<bool>, Query, description = "Nested fields under dotted names")),
    responses((status = 200, body = Vec<IntegrationPoint>)))]
pub(super) async fn list_integration_points(
    Admin(tenant): Admin,
    query: Query,
) -> Result<Response> {
    let (shape, selection) = (
        shape(&query)?,
        Selection::read(query.text("filter"), query.text("order"))?,
    );
    let number = |name: &str, default: i64, least: i64, most: i64| {
        let given = query.number(name)?.unwrap_or(default);
        if (least..=most).contains(&given) {
            usize::try_from(given).map_err(Error::internal)
        } else {
            Err(Error::invalid(
                name,
                format!("The value of '{name}' must be {least} to {most}."),
            ))
        }
    };
    let (offset, limit) = (
        number("offset", 0, 0, i64::from(i32::MAX))?,
        number("limit", LIMIT, 0, LONGEST)?,
    );
    let (workspace, app) = (tenant.workspace, tenant.app.clone());
    let read = move |conn: &mut Conn| {
        let rows = channel::list(conn, workspace)?;
        let entities = rows.iter().map(|row| Ok(open(&app.vault, row)?.entity()));
        let mut found = entities.collect::<Result<Vec<Object>>>()?;
        found.retain(|entity| selection.wants(entity));
        selection.sort(&mut found);
        let page = found.iter().skip(offset).take(limit);
        let shown: Vec<Value> = page
            .map(|entity| Value::Object(shape.show(entity, true)))
            .collect();
        Ok::<_, Error>(Value::Array(shown).to_string())
    };
    Ok(json_text(StatusCode::OK, tenant.app.db.read(read).await?))
}

/// Read a channel.
#[utoipa::path(get, path = "/rest/v1/service/integration_points/{id}", tag = "channels",
    params(("id" = String, Path), ("mask" = Option<String>, Query), ("flat" = Option<bool>, Query)),
    responses((status = 200, body = IntegrationPoint)))]
pub(super) async fn get_integration_point(
    Admin(tenant): Admin,
    InPath(id): InPath,
    query: Query,
) -> Result<Response> {
    let (shape, workspace, app) = (shape(&query)?, tenant.workspace, tenant.app.clone());
    let read = move |conn: &mut Conn| {
        let found = channel::find(conn, workspace, id)?.filter(|row| row.deleted_at.is_none());
        let found = found.ok_or_else(|| missing(&id.to_string()))?;
        let entity = open(&app.vault, &found)?.entity();
        Ok::<_, Error>(Value::Object(shape.show(&entity, false)).to_string())
    };
    Ok(json_text(StatusCode::OK, tenant.app.db.read(read).await?))
}

/// Change a channel. `opts` and `ext` are merged key by key; `id` and `token_local` stay.
#[utoipa::path(patch, path = "/rest/v1/service/integration_points/{id}", tag = "channels",
    params(("id" = String, Path)), request_body = IntegrationPoint, responses((status = 200, body = IntegrationPoint)))]
pub(super) async fn patch_integration_point(
    Admin(tenant): Admin,
    InPath(id): InPath,
    Raw(body): Raw,
) -> Result<Response> {
    let read = parse_json(&body)?;
    let body = schema::object(&read)?.clone();
    let (app, origin) = (tenant.app.clone(), tenant.origin());
    let write = move |tx: &mut Tx<'_>| {
        let row = channel::find_for_update(tx, origin.workspace, id)?;
        let row = row
            .filter(|row| row.deleted_at.is_none())
            .ok_or_else(|| missing(&id.to_string()))?;
        let before = open(&app.vault, &row)?;
        let mut after = before.patched(&body)?;
        if after == before {
            return Ok(Value::Object(before.entity()).to_string());
        }
        check_user(tx, origin.workspace, &after)?;
        if channel::is_taken(tx.conn()?, origin.workspace, after.code(), id)? {
            return Err(Error::refused(
                "taken",
                format!(
                    "An integration point with the code {} is there already",
                    after.code()
                ),
            ));
        }
        after.updated_at = origin.at;
        channel::update(tx, &close(&app.vault, origin.workspace, &after)?)?;
        tx.append(NewEvent::patch(
            EventId::generate(origin.at),
            &origin,
            of_feed(&after),
            before.snapshot(),
            after.snapshot(),
        ));
        Ok::<_, Error>(Value::Object(after.entity()).to_string())
    };
    let text = tenant.app.db.write(tenant.workspace, write).await?;
    Ok(json_text(StatusCode::OK, text))
}

/// Delete a channel: its token is good for nothing any more.
#[utoipa::path(delete, path = "/rest/v1/service/integration_points/{id}", tag = "channels",
    params(("id" = String, Path)), responses((status = 204)))]
pub(super) async fn delete_integration_point(
    Admin(tenant): Admin,
    InPath(id): InPath,
) -> Result<Response> {
    let (app, origin) = (tenant.app.clone(), tenant.origin());
    let write = move |tx: &mut Tx<'_>| {
        let row = channel::find_for_update(tx, origin.workspace, id)?;
        let mut row = row.ok_or_else(|| missing(&id.to_string()))?;
        if row.deleted_at.is_none() {
            let gone = open(&app.vault, &row)?;
            row.deleted_at = Some(origin.at);
            channel::update(tx, &row)?;
            let event = EventId::generate(origin.at);
            tx.append(NewEvent::delete(
                event,
                &origin,
                of_feed(&gone),
                gone.snapshot(),
            ));
        }
        Ok::<_, Error>(())
    };
    tenant.app.db.write(tenant.workspace, write).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
