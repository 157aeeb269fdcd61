//! `/rest/v1/service/integration_points`: the channels of a workspace (`docs/contracts/era.md §4`).

use axum::{
    http::{HeaderMap, StatusCode},
    response::Response,
};
use prichal_core::{
    channel::{Channel, Tokens},
    event::{EntityKind, NewEvent, Origin},
    id::{self, EntityId, EventId, IntegrationId, WorkspaceId},
    schema::{Fault, Object},
    time::Timestamp,
};
use prichal_dialect::era::{names, query::FieldNames};
use prichal_store::{
    Conn, Tx, channel,
    delivery::{self, Attempt, AttemptFilter, STATUSES},
    entity,
    job::{BATCH_ROWS, Kind as JobKind},
    kv, resource,
};
use serde_json::{Value, json, value::RawValue};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    caller::Admin,
    collection::{self, Resource},
};
use crate::{
    app::App,
    domain::{
        channel::{close, closed, new_token, open, queue, request, type_of},
        job,
    },
    error::{Code, Error, Result},
    http::{
        answer::json_text,
        body::{Raw, overlap},
        extract::Path,
        idempotency::{IdempotencyKey, JsonAnswer, write_once_and},
        page::Query,
    },
    platform::{
        access::Caller,
        reading,
        security::{self, Event},
        vault::{Vault, sha256_hex},
    },
};

/// A channel. A field that is not set is the empty text.
#[derive(ToSchema)]
#[schema(as = IntegrationPoint)]
#[expect(
    dead_code,
    reason = "describes the entity that `prichal_core::channel` puts together"
)]
pub(super) struct IntegrationPoint {
    id: String,
    code: String,
    r#type: String,
    /// The token of outside systems. The server creates it; `rotate_token` replaces it.
    token_local: String,
    token_remote: String,
    token_remote2: String,
    url: String,
    /// The script that is run for an incoming HTTP request.
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
    /// `ct` and `lwt`, the times of creation and of the last change, and members that clients add.
    ext: Object,
}

impl Resource for Channel {
    const NOUN: &'static str = "Integration point";
    const MAX_COUNT: i64 = 10_000;
    const NAMES: &'static FieldNames = &names::CHANNEL;
    const SEALED: &'static [&'static str] = &["token_local", "token_remote", "token_remote2"];
    type Row = channel::Channel;

    fn read(body: &Object, id: Uuid, now: Timestamp) -> Result<Self, Vec<Fault>> {
        Self::read(body, id, new_token(), now)
    }

    fn patched(&self, body: &Object) -> Result<Self, Vec<Fault>> {
        self.patched(body)
    }

    fn id(&self) -> EntityId {
        EntityId(self.id)
    }

    fn code(&self) -> &str {
        self.code()
    }

    fn created_at(&self) -> Timestamp {
        self.created_at
    }

    fn set_updated_at(&mut self, at: Timestamp) {
        self.updated_at = at;
    }

    fn entity(&self) -> Object {
        self.entity()
    }

    /// Masks the tokens of other channels over a websocket, because those may have other rights, and those of the
    /// channel itself if the websocket was opened with a previous token, which may end sooner.
    fn shown(&self, caller: &Caller) -> Object {
        match caller {
            Caller::Channel(handle)
                if handle.channel.id != self.id
                    || handle.token_hash != sha256_hex(self.tokens.local.as_bytes()) =>
            {
                self.masked()
            }
            _ => self.entity(),
        }
    }

    /// Any change of a channel with rights. Of any other channel, a change of its tokens, its url or its scripts: a new
    /// url or script could learn the tokens.
    fn needs_admin(before: Option<&Self>, after: Option<&Self>) -> bool {
        let mut both = before.into_iter().chain(after);
        let leads_elsewhere = before
            .zip(after)
            .is_some_and(|(before, after)| !before.has_same_destinations(after));
        leads_elsewhere || both.any(|channel| !channel.rights().is_empty())
    }

    fn snapshot(&self) -> Option<(EntityKind, String)> {
        Some((EntityKind::IntegrationPoint, self.snapshot()))
    }

    fn check_in_transaction(
        &mut self,
        _: &Vault,
        tx: &mut Tx<'_>,
        origin: &Origin,
        given: &Object,
        before: Option<&Self>,
    ) -> Result<()> {
        check_user(tx, origin.workspace, self)?;
        let name = self.text("type").to_owned();
        let kind = resource::Kind::ChannelType;
        let Some(row) = resource::find_by_code(tx.conn()?, origin.workspace, kind, &name)? else {
            return Ok(());
        };
        let kind = type_of(&row)?;
        self.bind(&kind, given)?;
        let is_new = before.is_none_or(|before| before.text("type") != name);
        if let Some(quota) = kind.quota().filter(|_| is_new)
            && channel::count_of(tx.conn()?, origin.workspace, &name)? >= quota
        {
            let what = format!("The type {name} allows {quota} channels, and there are as many");
            return Err(Error::refused(Code::LimitReached, what));
        }
        Ok(())
    }

    fn delete(
        &self,
        vault: &Vault,
        tx: &mut Tx<'_>,
        workspace: WorkspaceId,
        at: Timestamp,
    ) -> Result<()> {
        let emptied = Self {
            tokens: Tokens::default(),
            ..self.clone()
        };
        let tokens = close(vault, workspace, &emptied)?.tokens;
        channel::delete(tx, workspace, EntityId(self.id), &tokens, at)?;
        // Most channels have fewer values than a batch, so no job is needed.
        let id = EntityId(self.id);
        let gone = kv::remove_some(tx, workspace, id, BATCH_ROWS)?;
        if i64::try_from(gone).is_ok_and(|gone| gone < BATCH_ROWS) {
            return Ok(());
        }
        let kind = JobKind::ClearValues;
        job::begin(tx, workspace, kind, &id.to_string(), &())
    }

    fn forget(app: &App, _: WorkspaceId) {
        app.channels.forget_channels();
    }

    /// Deletes the values that its scripts have stored.
    fn job(&self) -> Option<(JobKind, String)> {
        Some((JobKind::ClearValues, EntityId(self.id).to_string()))
    }

    fn insert(&self, vault: &Vault, tx: &mut Tx<'_>, workspace: WorkspaceId) -> Result<bool> {
        Ok(channel::insert(tx, &close(vault, workspace, self)?)?)
    }

    fn update(&self, vault: &Vault, tx: &mut Tx<'_>, workspace: WorkspaceId) -> Result<()> {
        Ok(channel::update(tx, &close(vault, workspace, self)?)?)
    }

    fn find(
        vault: &Vault,
        conn: &mut Conn,
        workspace: WorkspaceId,
        id: EntityId,
    ) -> Result<Option<(Self, bool)>> {
        let row = channel::find(conn, workspace, id)?;
        row.map(|row| Ok((open(vault, &row)?, row.deleted_at.is_some())))
            .transpose()
    }

    fn find_for_update(
        vault: &Vault,
        tx: &mut Tx<'_>,
        workspace: WorkspaceId,
        id: EntityId,
    ) -> Result<Option<(Self, bool)>> {
        let row = channel::find_for_update(tx, workspace, id)?;
        row.map(|row| Ok((open(vault, &row)?, row.deleted_at.is_some())))
            .transpose()
    }

    fn rows(
        conn: &mut Conn,
        workspace: WorkspaceId,
        offset: i64,
        limit: i64,
    ) -> Result<Vec<Self::Row>> {
        Ok(channel::list(conn, workspace, offset, limit)?)
    }

    fn open(vault: &Vault, row: &Self::Row) -> Result<Self> {
        open(vault, row)
    }

    fn closed(row: &Self::Row) -> Result<Self> {
        closed(row)
    }

    fn extent(conn: &mut Conn, workspace: WorkspaceId) -> Result<(i64, i64)> {
        Ok(channel::extent(conn, workspace)?)
    }

    fn look_up(conn: &mut Conn, workspace: WorkspaceId, key: &str) -> Result<Vec<EntityId>> {
        let hash = sha256_hex(key.as_bytes());
        let id = EntityId::parse(key);
        Ok(channel::lookup(conn, workspace, id, key, &hash)?)
    }
}

/// Refuses a channel whose `opts.userid` names no user.
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

/// Create a channel.
///
/// With the header `X-HTTP-Method-Override: LOOKUP` the body is a key instead, and the answer the ids of
/// the channels it means: an id, a code or a local token.
#[utoipa::path(post, path = "/rest/v1/service/integration_points", tag = "channels",
    params(("X-HTTP-Method-Override" = Option<String>, Header), ("Idempotency-Key" = Option<String>, Header)),
    request_body = IntegrationPoint, responses((status = 200, body = IntegrationPoint)))]
pub(super) async fn create_integration_point(
    admin: Admin,
    key: IdempotencyKey,
    headers: HeaderMap,
    body: Raw,
) -> Result<Response> {
    collection::create::<Channel>(admin, key, headers, body).await
}

/// List the channels, by default in the order of their creation.
#[utoipa::path(get, path = "/rest/v1/service/integration_points", tag = "channels",
    params(("filter" = Option<String>, Query, description = "A JSON object: fields and the values they must have"),
        ("mask" = Option<String>, Query, description = "The fields to show, with commas between"),
        ("offset" = Option<i64>, Query), ("limit" = Option<i64>, Query),
        ("order" = Option<String>, Query, description = "A JSON array of fields, or of objects such as {\"code\": \"desc\"}"),
        ("flat" = Option<bool>, Query, description = "Nested fields under dotted names")),
    responses((status = 200, body = Vec<IntegrationPoint>)))]
pub(super) async fn list_integration_points(admin: Admin, query: Query) -> Result<Response> {
    collection::list::<Channel>(admin, query).await
}

/// Read a channel.
#[utoipa::path(get, path = "/rest/v1/service/integration_points/{id}", tag = "channels",
    params(("id" = String, Path), ("mask" = Option<String>, Query), ("flat" = Option<bool>, Query)),
    responses((status = 200, body = IntegrationPoint)))]
pub(super) async fn get_integration_point(
    admin: Admin,
    id: Path<String>,
    query: Query,
) -> Result<Response> {
    collection::get::<Channel>(admin, id, query).await
}

/// Change a channel. `opts` and `ext` are merged key by key; `id` and `token_local` stay.
#[utoipa::path(patch, path = "/rest/v1/service/integration_points/{id}", tag = "channels",
    params(("id" = String, Path)), request_body = IntegrationPoint, responses((status = 200, body = IntegrationPoint)))]
pub(super) async fn patch_integration_point(
    admin: Admin,
    id: Path<String>,
    headers: HeaderMap,
    body: Raw,
) -> Result<Response> {
    collection::patch::<Channel>(admin, id, headers, body).await
}

/// Delete a channel. Its token becomes invalid, and its websockets are closed.
#[utoipa::path(delete, path = "/rest/v1/service/integration_points/{id}", tag = "channels",
    params(("id" = String, Path)), responses((status = 204)))]
pub(super) async fn delete_integration_point(admin: Admin, id: Path<String>) -> Result<Response> {
    collection::delete::<Channel>(admin, id).await
}

/// The exchange of a channel's token.
#[derive(ToSchema)]
#[schema(as = TokenRotation)]
#[expect(dead_code, reason = "describes the body that is read below")]
pub(super) struct Rotation {
    /// The seconds for which the previous token stays valid: 0 to 2592000, by default those of `--token-overlap`.
    overlap_seconds: Option<u64>,
}

/// Give a channel a new local token. The previous one stays valid for a while; then its websockets are closed.
#[utoipa::path(post, path = "/rest/v1/service/integration_points/{id}/rotate_token", tag = "channels",
    params(("id" = String, Path), ("Idempotency-Key" = Option<String>, Header)), request_body = Rotation,
    responses((status = 200, body = IntegrationPoint)))]
pub(super) async fn rotate_token(
    Admin(tenant): Admin,
    Path(id): Path<String>,
    key: IdempotencyKey,
    Raw(body): Raw,
) -> Result<JsonAnswer> {
    let channel: Channel = collection::find_in_path(&tenant, &id).await?;
    let overlap = overlap(&body, "overlap_seconds")?.unwrap_or(tenant.app.config.token_overlap);
    let (app, origin, id) = (tenant.app.clone(), tenant.origin(), EntityId(channel.id));
    let caller = tenant.caller.clone();
    let write = move |tx: &mut Tx<'_>| {
        let found = Channel::find_for_update(&app.vault, tx, origin.workspace, id)?;
        let Some((before, false)) = found else {
            return Err(collection::missing::<Channel>(&id.to_string()));
        };
        let after = Channel {
            tokens: before.tokens.rotated(new_token()),
            updated_at: origin.at,
            ..before.clone()
        };
        collection::permit(&caller, Some(&before), Some(&after))?;
        let row = close(&app.vault, origin.workspace, &after)?;
        let previous = sha256_hex(before.tokens.local.as_bytes());
        if !channel::rotate(tx, &row, &previous, origin.at + overlap)? {
            return Err(Error::Busy);
        }
        tx.append(NewEvent::patch(
            EventId::generate(origin.at),
            &origin,
            (EntityKind::IntegrationPoint, after.id),
            before.snapshot(),
            after.snapshot(),
        ));
        Ok((JsonAnswer::ok(collection::text(after.shown(&caller))), ()))
    };
    let (answer, done) = write_once_and(&tenant, key, &body, write).await?;
    if done.is_some() {
        Channel::forget(&tenant.app, tenant.workspace);
        // Closes the websockets of a token that is no longer valid.
        tenant
            .app
            .channels
            .sockets
            .workspace_changed(tenant.workspace);
        let object = format!("channel:{id}");
        security::record(Event::ChannelTokenRotated, Some(tenant.workspace), &object);
    }
    Ok(answer)
}

/// The text of a message as it came if it is strict JSON, else written anew.
fn message_text(headers: &HeaderMap, body: &[u8]) -> Result<String> {
    let meant = collection::read_json(headers, body)?;
    let is_whole = !reading::has_lone_surrogate(body);
    let came = serde_json::from_slice::<&RawValue>(body).ok();
    let came = came.filter(|_| is_whole);
    Ok(came.map_or_else(|| meant.to_string(), |came| came.get().to_owned()))
}

/// A message that is queued.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the text that is put together below")]
pub(super) struct Sent {
    /// The id of the message, of its attempts and, with a script, of its run.
    id: String,
}

/// Send a message by a channel.
///
/// The body is the message. It is run through the channel's `send_svcscriptcode`, over a live websocket
/// through `send_svcscriptcode_ws`, or posted to its `url` when there is no script; and tried again like a
/// webhook when that fails.
#[utoipa::path(post, path = "/rest/v1/service/integration_points/{id}/send", tag = "channels",
    params(("id" = String, Path), ("Idempotency-Key" = Option<String>, Header)),
    request_body = Value, responses((status = 200, body = Sent)))]
pub(super) async fn send_message(
    Admin(tenant): Admin,
    Path(id): Path<String>,
    key: IdempotencyKey,
    headers: HeaderMap,
    Raw(body): Raw,
) -> Result<JsonAnswer> {
    let channel: Channel = collection::find_in_path(&tenant, &id).await?;
    let message = message_text(&headers, &body)?;
    if !request::can_send(&channel) {
        return Err(Error::invalid(
            "url",
            "The channel can send nothing: it has neither a url nor a script that sends.",
        ));
    }
    let (app, workspace, now) = (tenant.app.clone(), tenant.workspace, tenant.now);
    let run = request::message(&app, workspace, &channel, message, now, 0)?;
    let id = run.id;
    let at = app.clone();
    let work = async move {
        let place = at.channels.queue.reserve(run);
        let (run, owner) = (place.run().clone(), place.owner(&at));
        let write = move |tx: &mut Tx<'_>| {
            prichal_store::run::insert(tx, &run, owner);
            Ok((JsonAnswer::ok(json!({ "id": id }).to_string()), ()))
        };
        let (answer, is_new) = write_once_and(&tenant, key, &body, write).await?;
        if is_new.is_some() {
            place.take(&at);
        }
        Ok(answer)
    };
    queue::enqueue(&app, work).await
}

/// One attempt at a message.
#[derive(ToSchema)]
#[schema(as = MessageAttempt, rename_all = "camelCase")]
#[expect(dead_code, reason = "describes what `attempt` puts together")]
pub(super) struct AttemptModel {
    id: String,
    /// The id of the message.
    event_id: String,
    attempt: i64,
    /// `delivered`, `deferred` (it will be tried again) or `exhausted` (it will not).
    status: String,
    http_status: Option<i64>,
    duration_ms: i64,
    error: Option<String>,
    /// The first KiB of the answer.
    answer: Option<String>,
    started_at: String,
}

fn attempt(attempt: &Attempt) -> Value {
    let mut model = json!({
        "id": attempt.id,
        "eventId": attempt.event,
        "attempt": attempt.attempt,
        "status": attempt.status,
        "httpStatus": attempt.http_status,
        "durationMs": attempt.duration_ms,
        "error": attempt.error,
        "answer": attempt.answer,
        "startedAt": attempt.started_at,
    });
    if let Some(members) = model.as_object_mut() {
        members.retain(|_, value| !value.is_null());
    }
    model
}

#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the text that is put together below")]
pub(super) struct AttemptList {
    /// The number of attempts on the page.
    count: i64,
    items: Vec<AttemptModel>,
}

/// List the attempts to send a channel's messages, newest first.
///
/// For the next page, give the last attempt's id as `before`. Attempts are kept 30 days.
#[utoipa::path(get, path = "/rest/v1/service/integration_points/{id}/deliveries", tag = "channels",
    params(("id" = String, Path), ("eventId" = Option<String>, Query), ("status" = Option<String>, Query),
        ("before" = Option<String>, Query), ("limit" = Option<i64>, Query)),
    responses((status = 200, body = AttemptList)))]
pub(super) async fn list_message_attempts(
    Admin(tenant): Admin,
    Path(id): Path<String>,
    query: Query,
) -> Result<Response> {
    let channel: Channel = collection::find_in_path(&tenant, &id).await?;
    let status = |text: &str| STATUSES.contains(&text).then(|| text.to_owned());
    let filter = AttemptFilter {
        webhook: None,
        event: query.read("eventId", "a GUID", EventId::parse)?,
        status: query.read("status", "delivered, deferred or exhausted", status)?,
        before: query.read("before", "the id of an attempt", id::parse)?,
    };
    let (_, limit) = collection::page(&query)?;
    let workspace = tenant.workspace;
    let of = IntegrationId(channel.id);
    let read = move |conn: &mut Conn| {
        Ok::<_, Error>(delivery::list_attempts(
            conn, workspace, of, &filter, limit,
        )?)
    };
    let found = tenant.app.db.read(read).await?;
    let items: Vec<Value> = found.iter().map(attempt).collect();
    let text = json!({ "count": items.len(), "items": items }).to_string();
    Ok(json_text(StatusCode::OK, text))
}
