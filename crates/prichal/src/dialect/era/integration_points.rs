//! `/rest/v1/service/integration_points`: the channels of a workspace (`docs/contracts/era.md §4`).

use axum::{
    http::{HeaderMap, StatusCode},
    response::Response,
};
use prichal_core::{
    channel::{Channel, FIELDS, MADE, REMOTE, Tokens},
    event::{EntityKind, NewEvent, Origin},
    id::{self, EntityId, EventId, IntegrationId, RunId, WorkspaceId},
    schema::{Fault, Field, Object, Type, Words},
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
use serde::Serialize;
use serde_json::{json, value::RawValue};
use utoipa::{ToSchema, openapi::ObjectBuilder};
use uuid::Uuid;

use super::{
    caller::Admin,
    collection::{self, LIMIT, Listing, Override, Resource, Shape},
    schemas::{self, LookupAnswer, LookupKey, changes, entity_or_ids, entity_or_key, text, view},
};
use crate::{
    app::App,
    delivery::attempt::status_words,
    dialect::openapi::schema::{self, described, parameters},
    domain::{
        channel::{close, closed, new_token, open, queue, request, type_of},
        job,
    },
    error::{Code, Error, Result},
    http::{
        answer::json_text,
        body::{Raw, overlap, overlap_field},
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

/// The tables of a channel.
const TABLES: &[&[Field]] = &[FIELDS, REMOTE];

fn new() -> ObjectBuilder {
    with_token("Ignored: the server makes the token.")
}

fn changed() -> ObjectBuilder {
    with_token("The present token, which `rotate_token` replaces. No other is accepted.")
}

/// A channel as it is sent, with this meaning of its token.
fn with_token(meaning: &str) -> ObjectBuilder {
    schemas::new(TABLES).property("token_local", text().description(Some(meaning)))
}

fn entity() -> ObjectBuilder {
    schemas::entity(&[FIELDS, REMOTE, MADE]).required("token_local")
}

described! {
    /// A new channel.
    pub(super) NewIntegrationPoint = new();
    /// A new channel, or the key of a look-up.
    pub(super) NewIntegrationPointOrKey = entity_or_key::<NewIntegrationPoint>(), with NewIntegrationPoint, LookupKey;
    /// A change of a channel. `opts` and `ext` are merged key by key.
    pub(super) IntegrationPointChanges = changes(changed(), json!({ "opts": { "title": "Chat of the shop" } }));
    /// A channel. A text that is not set is empty.
    pub(super) IntegrationPoint = entity();
    /// A new channel, or the ids that a key means.
    pub(super) IntegrationPointOrIds = entity_or_ids::<IntegrationPoint>(), with IntegrationPoint, LookupAnswer;
    /// A channel in the shape that `mask` and `flat` give it.
    pub(super) IntegrationPointView = view(entity());
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

    /// Masks the tokens for a viewer. Over a websocket, masks those of other channels, because those may have other
    /// rights, and those of the channel itself if the websocket was opened with a previous token, which may end sooner.
    fn shown(&self, caller: &Caller) -> Object {
        match caller {
            viewer if viewer.is_viewer() => self.masked(),
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
    params(Override, IdempotencyKey),
    request_body = NewIntegrationPointOrKey, responses((status = 200, body = IntegrationPointOrIds)))]
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
    params(Listing),
    responses((status = 200, body = Vec<IntegrationPointView>)))]
pub(super) async fn list_integration_points(admin: Admin, query: Query) -> Result<Response> {
    collection::list::<Channel>(admin, query).await
}

/// Read a channel.
#[utoipa::path(get, path = "/rest/v1/service/integration_points/{id}", tag = "channels",
    params(("id" = Uuid, Path, description = "The id of the channel"), Shape),
    responses((status = 200, body = IntegrationPointView)))]
pub(super) async fn get_integration_point(
    admin: Admin,
    id: Path<String>,
    query: Query,
) -> Result<Response> {
    collection::get::<Channel>(admin, id, query).await
}

/// Change a channel. `opts` and `ext` are merged key by key; `id` and `token_local` stay.
#[utoipa::path(patch, path = "/rest/v1/service/integration_points/{id}", tag = "channels",
    params(("id" = Uuid, Path, description = "The id of the channel")), request_body = IntegrationPointChanges, responses((status = 200, body = IntegrationPoint)))]
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
    params(("id" = Uuid, Path, description = "The id of the channel")), responses((status = 204)))]
pub(super) async fn delete_integration_point(admin: Admin, id: Path<String>) -> Result<Response> {
    collection::delete::<Channel>(admin, id).await
}

/// The member of a rotation.
const OVERLAP: &str = "overlap_seconds";

described! {
    /// The exchange of a channel's token.
    pub(super) ChannelTokenRotation = schema::body(&[overlap_field(OVERLAP)]);
}

/// Give a channel a new local token. The previous one stays valid for a while; then its websockets are closed.
#[utoipa::path(post, path = "/rest/v1/service/integration_points/{id}/rotate_token", tag = "channels",
    params(("id" = Uuid, Path, description = "The id of the channel"), IdempotencyKey), request_body(content = Option<ChannelTokenRotation>, example = json!({"overlap_seconds": 3600})),
    responses((status = 200, body = IntegrationPoint)))]
pub(super) async fn rotate_token(
    Admin(tenant): Admin,
    Path(id): Path<String>,
    key: IdempotencyKey,
    Raw(body): Raw,
) -> Result<JsonAnswer> {
    let channel: Channel = collection::find_in_path(&tenant, &id).await?;
    let overlap = overlap(&body, OVERLAP)?.unwrap_or(tenant.app.config.token_overlap);
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
#[derive(Serialize, ToSchema)]
#[schema(as = QueuedMessage)]
pub(super) struct Sent {
    /// The id of the message, of its attempts and, with a script, of its run.
    #[schema(value_type = String, format = "uuid")]
    id: RunId,
}

/// Send a message by a channel.
///
/// The body is the message. It is run through the channel's `send_svcscriptcode`, over a live websocket
/// through `send_svcscriptcode_ws`, or posted to its `url` when there is no script; and tried again like a
/// webhook when that fails.
#[utoipa::path(post, path = "/rest/v1/service/integration_points/{id}/send", tag = "channels",
    params(("id" = Uuid, Path, description = "The id of the channel"), IdempotencyKey),
    request_body(content = Value, description = "The message: any JSON", example = json!({"text": "Your order is ready"})), responses((status = 200, body = Sent)))]
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
    let text = serde_json::to_string(&Sent { id: run.id }).map_err(Error::internal)?;
    let at = app.clone();
    let work = async move {
        let place = at.channels.queue.reserve(run);
        let (run, owner) = (place.run().clone(), place.owner(&at));
        let write = move |tx: &mut Tx<'_>| {
            prichal_store::run::insert(tx, &run, owner);
            Ok((JsonAnswer::ok(text.as_str()), ()))
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
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct MessageAttempt<'a> {
    /// The id of the attempt.
    #[schema(format = "uuid")]
    id: String,
    /// The id of the message.
    #[schema(format = "uuid")]
    event_id: String,
    /// The number of the attempt, from 1.
    attempt: i64,
    #[schema(schema_with = status_words)]
    status: &'a str,
    /// The status of the answer, if there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    http_status: Option<i64>,
    /// The time until the answer, or until the failure.
    duration_ms: i64,
    /// The reason of a failure.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    error: Option<&'a str>,
    /// The first KiB of the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    answer: Option<&'a str>,
    /// The time of the call.
    #[schema(format = DateTime)]
    started_at: String,
}

impl<'a> From<&'a Attempt> for MessageAttempt<'a> {
    fn from(attempt: &'a Attempt) -> Self {
        Self {
            id: attempt.id.to_string(),
            event_id: attempt.event.to_string(),
            attempt: attempt.attempt,
            status: attempt.status,
            http_status: attempt.http_status,
            duration_ms: attempt.duration_ms,
            error: attempt.error.as_deref(),
            answer: attempt.answer.as_deref(),
            started_at: attempt.started_at.to_string(),
        }
    }
}

/// A page of attempts.
#[derive(Serialize, ToSchema)]
pub(super) struct MessageAttemptList<'a> {
    /// The number of attempts on the page.
    count: usize,
    /// The attempts, newest first.
    items: Vec<MessageAttempt<'a>>,
    /// The value of `before` for the next page, if this one has looked at a part of the log only, and so has fewer
    /// attempts than asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = "uuid", nullable = false)]
    next: Option<Uuid>,
}

parameters! {
    /// A page of attempts.
    pub(super) Attempts = &[
        Field::new("eventId", Type::Guid).doc("The id of a message, to list only its attempts."),
        Field::new("status", Type::Enum(&ATTEMPT_STATUSES)).doc("The status of the attempts to list."),
        Field::new("before", Type::Guid).doc("The id of the last attempt of the page before."),
        LIMIT,
    ];
}

static ATTEMPT_STATUSES: Words = Words {
    name: "status",
    words: &STATUSES,
};

/// List the attempts to send a channel's messages, newest first.
///
/// For the next page, give `next` as `before`, or else the last attempt's id. Attempts are kept 30 days.
#[utoipa::path(get, path = "/rest/v1/service/integration_points/{id}/deliveries", tag = "channels",
    params(("id" = Uuid, Path, description = "The id of the channel"), Attempts),
    responses((status = 200, body = MessageAttemptList)))]
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
        since: None,
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
    let page = MessageAttemptList {
        count: found.items.len(),
        items: found.items.iter().map(Into::into).collect(),
        next: found.next,
    };
    let text = serde_json::to_string(&page).map_err(Error::internal)?;
    Ok(json_text(StatusCode::OK, text))
}
