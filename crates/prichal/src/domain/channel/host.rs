//! The functions that the server offers to a running script.
//!
//! Reads are answered at once. Changes are collected, shown to the script as if they were stored already, and written
//! in the transaction that ends the run. So a run that fails changes nothing, and a retried run changes everything
//! once.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::http::{HeaderMap, HeaderName, HeaderValue, Method};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use futures_util::{FutureExt as _, future::BoxFuture};
use prichal_core::{
    entity::rights::Authority,
    event::{Author, EntityKind, NewEvent, Origin},
    id::{EntityId, EventId, WorkspaceId},
    json,
    patch::{self, Operation},
    schema::{self, Object},
    time::Timestamp,
};
use prichal_store::{Conn, Tx, delivery::Exchange, entity::Entity, kv, run};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokio::sync::OwnedMutexGuard;
use uuid::Uuid;

use super::{request, send};
use crate::platform::access::ChannelHandle;
use crate::{
    domain::{
        Domain,
        entity::{self, EntityRef, draft::Draft, edit, link},
        script::Host,
    },
    error::{Code, Error, Result},
    platform::{
        outgoing::{
            Outgoing, connections::Connections, names::Requester, post::exchange, target::Target,
        },
        security, settings,
    },
};

/// The maximum number of changes of one run.
const MAX_EFFECTS: usize = 1000;
/// The maximum number of bytes of a run's changes, together with the values that it has read to make them.
const MAX_EFFECT_BYTES: usize = 8 << 20;
const MAX_MESSAGES: usize = 100;
const MAX_FETCHES: usize = 50;
/// The maximum number of bytes of request bodies that a run sends at the same time.
const MAX_CONCURRENT_BODY_BYTES: usize = 8 << 20;
/// The maximum number of fetches of a run at the same time.
const MAX_CONCURRENT_FETCHES: usize = 8;
/// The maximum number of bytes of an answer that a script is given; the rest is cut off.
const MAX_FETCHED_BYTES: usize = 1 << 20;
/// The longest key in characters, the longest value in bytes, and the maximum number of values of a channel.
const MAX_KEY_CHARS: usize = 256;
const MAX_VALUE_BYTES: usize = 64 << 10;
const MAX_KEYS: i64 = 10_000;
/// The longest event that a script may publish, in bytes.
const MAX_EVENT_BYTES: usize = 64 << 10;
/// The longest delay of a message.
const MAX_SEND_DELAY: Duration = Duration::from_hours(30 * 24);
/// The longest chain of runs, each started by a message of the one before.
const MAX_SEND_DEPTH: u32 = 16;

/// The host of one run.
pub struct RunHost {
    app: Domain,
    workspace: WorkspaceId,
    handle: Option<Arc<ChannelHandle>>,
    author: Author,
    /// The websocket that the run's frame came over.
    connection: Option<Uuid>,
    depth: u32,
    effects: Effects,
    entities: HashMap<EntityRef, (Entity, Vec<Uuid>)>,
    connections: Arc<Connections>,
    fetching: Arc<tokio::sync::Semaphore>,
    fetched: usize,
    underway: Arc<AtomicUsize>,
    /// The last call that has posted a message.
    pub posted: LastCall,
}

/// The last call of the channel's own address, for the delivery log.
#[derive(Clone, Debug, Default)]
pub struct LastCall(Arc<Mutex<Called>>);

/// The status and the beginning of the answer to a message, and what was sent and received.
#[derive(Clone, Debug, Default)]
pub struct Called {
    pub http_status: Option<u16>,
    pub answer: Option<String>,
    pub exchange: Exchange,
}

impl LastCall {
    fn set(&self, called: Called) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = called;
    }

    pub fn take(&self) -> Called {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Marks the headers that may hold a secret, by their names, since a script may have it from anywhere.
fn hide_secrets(headers: &mut HeaderMap) {
    const PARTS: [&str; 6] = ["auth", "cookie", "key", "password", "secret", "token"];
    for (name, value) in headers.iter_mut() {
        let is_secret = PARTS.iter().any(|part| name.as_str().contains(part));
        value.set_sensitive(is_secret || value.is_sensitive());
    }
}

/// The changes of a run, in the order in which the script made them.
#[derive(Clone, Default)]
pub struct Effects {
    /// The rights that the run acts with.
    authority: Authority,
    list: Vec<Effect>,
    bytes: usize,
    sent: usize,
    /// The channel's values that the run has read, to find out whether another run has changed them since.
    seen: HashMap<String, Option<String>>,
    /// The lock on the channel's values, held until the changes are written.
    turn: Option<Arc<OwnedMutexGuard<()>>>,
    /// The creation of the channel, which differs from that of a later channel with its id.
    channel_created_at: Option<Timestamp>,
}

#[derive(Clone)]
enum Effect {
    Keep {
        key: String,
        value: Option<String>,
    },
    Send(Box<run::Run>),
    Create(Box<Draft>),
    Patch {
        entity_ref: EntityRef,
        operations: Vec<Operation>,
        settings: Arc<Object>,
    },
    Link([prichal_core::event::Entity; 2]),
    Publish {
        name: String,
        data: Value,
    },
}

impl Effects {
    /// The size of the changes in bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// True if the run sends messages.
    pub fn sends(&self) -> bool {
        self.sent > 0
    }

    /// Writes the changes in the channel's name, and returns the entities whose rights they have changed.
    pub fn write(
        &self,
        app: &Domain,
        tx: &mut Tx<'_>,
        origin: &Origin,
        channel: Option<EntityId>,
    ) -> Result<Vec<EntityRef>> {
        let (workspace, mut changed) = (origin.workspace, Vec::new());
        let mut has_more = false;
        let channel = self.living(tx, workspace, channel)?;
        if let Some(channel) = channel.filter(|_| !self.seen.is_empty() && !self.list.is_empty()) {
            self.check_seen(tx, workspace, channel)?;
        }
        for effect in &self.list {
            match effect {
                Effect::Keep { key, value } => {
                    let Some(channel) = channel else { continue };
                    match value {
                        None => kv::remove(tx, workspace, channel, key)?,
                        Some(value) => has_more |= kv::put(tx, workspace, channel, key, value)?,
                    }
                }
                Effect::Send(run) => run::insert(tx, run, None),
                Effect::Create(draft) => {
                    changed.extend(draft.write(tx, origin, self.authority)?.rights);
                }
                Effect::Patch {
                    entity_ref,
                    operations,
                    settings,
                } => {
                    let (check, authority) = (app.config.identifier_check, self.authority);
                    let done = edit::patch(
                        tx,
                        origin,
                        check,
                        *entity_ref,
                        operations,
                        settings,
                        authority,
                    )?;
                    changed.extend(done.rights);
                }
                Effect::Link(ends) => {
                    changed.extend(link::link(tx, *ends, origin, self.authority)?);
                }
                Effect::Publish { name, data } => {
                    let Some(channel) = channel else { continue };
                    let about = (EntityKind::IntegrationPoint, channel.0);
                    let event = json!({ "name": name, "data": data });
                    let new = json!({ "id": channel, "event": event }).to_string();
                    let id = EventId::generate(origin.at);
                    tx.append(NewEvent::published(id, origin, about, new));
                }
            }
        }
        // Checked once for all changes, since it reads the key of each value.
        if let Some(channel) = channel.filter(|_| has_more)
            && kv::count(tx.conn()?, workspace, channel)? > MAX_KEYS
        {
            let what = format!("A channel may keep at most {MAX_KEYS} values");
            return Err(Error::refused(Code::LimitReached, what));
        }
        Ok(changed)
    }
}

impl Effects {
    /// The channel, locked if the changes concern it. `None` if it was deleted: its values and its events go with it, also
    /// if there is another channel with its id.
    fn living(
        &self,
        tx: &mut Tx<'_>,
        workspace: WorkspaceId,
        channel: Option<EntityId>,
    ) -> Result<Option<EntityId>> {
        let concerns =
            |effect: &Effect| matches!(effect, Effect::Keep { .. } | Effect::Publish { .. });
        let Some(id) = channel.filter(|_| self.list.iter().any(concerns)) else {
            return Ok(channel);
        };
        let found = prichal_store::channel::find_for_update(tx, workspace, id)?;
        let found = found.filter(|found| {
            found.deleted_at.is_none() && Some(found.created_at) == self.channel_created_at
        });
        Ok(found.map(|_| id))
    }

    /// Refuses if another node has changed the values since they were read. Runs of one node hold a lock instead.
    fn check_seen(&self, tx: &mut Tx<'_>, workspace: WorkspaceId, channel: EntityId) -> Result<()> {
        prichal_store::channel::find_for_update(tx, workspace, channel)?;
        for (key, seen) in &self.seen {
            if kv::find(tx.conn()?, workspace, channel, key)? != *seen {
                let what = "Another run has changed the values of the channel meanwhile";
                return Err(Error::refused(Code::Overtaken, what));
            }
        }
        Ok(())
    }
}

impl RunHost {
    pub fn new(
        app: Domain,
        workspace: WorkspaceId,
        handle: Option<Arc<ChannelHandle>>,
        author: Author,
        depth: u32,
    ) -> Self {
        let effects = Effects {
            channel_created_at: handle.as_ref().map(|handle| handle.channel.created_at),
            ..Effects::default()
        };
        Self {
            app,
            workspace,
            handle,
            author,
            connection: None,
            depth,
            effects,
            entities: HashMap::new(),
            connections: Arc::new(Connections::new(
                MAX_CONCURRENT_FETCHES,
                Requester::Workspace(workspace),
            )),
            fetching: Arc::new(tokio::sync::Semaphore::new(MAX_CONCURRENT_FETCHES)),
            fetched: 0,
            underway: Arc::default(),
            posted: LastCall::default(),
        }
    }

    /// Sets the websocket that the run's frame came over.
    #[must_use]
    pub fn over(self, connection: Option<Uuid>) -> Self {
        Self { connection, ..self }
    }

    /// Sets the rights that the run changes entities with. The default is a member's.
    #[must_use]
    pub fn with(mut self, authority: Authority) -> Self {
        self.effects.authority = authority;
        self
    }

    pub fn into_effects(self) -> Effects {
        self.effects
    }

    fn origin(&self) -> Origin {
        Origin {
            workspace: self.workspace,
            author: self.author.clone(),
            at: self.app.clock.now(),
        }
    }

    fn handle(&self) -> Result<&Arc<ChannelHandle>> {
        self.handle
            .as_ref()
            .ok_or_else(|| Error::refused(Code::Conflict, "This run belongs to no channel"))
    }

    /// Counts bytes of changes and of values that were read. Fails above [`MAX_EFFECT_BYTES`].
    fn take_room(&mut self, bytes: usize) -> Result<()> {
        self.effects.bytes += bytes;
        if self.effects.bytes > MAX_EFFECT_BYTES {
            let what = format!(
                "The changes of a run may have at most {} MiB",
                MAX_EFFECT_BYTES >> 20
            );
            return Err(Error::refused(Code::LimitReached, what));
        }
        Ok(())
    }

    fn change(&mut self, effect: Effect) -> Result<()> {
        if self.effects.list.len() >= MAX_EFFECTS {
            let what = format!("A run may make at most {MAX_EFFECTS} changes");
            return Err(Error::refused(Code::LimitReached, what));
        }
        self.effects.list.push(effect);
        Ok(())
    }

    async fn answer(&mut self, name: &str, argument: &str) -> Result<Option<String>> {
        // Reads, and frames that are sent at once, are not collected.
        let is_remembered = !matches!(
            name,
            "clock" | "kv.get" | "entities.get" | "channel.websocket.send"
        );
        if is_remembered {
            self.take_room(argument.len())?;
        }
        match name {
            "clock" => Ok(Some(self.app.clock.now().secs().to_string())),
            "kv.get" => self.kv_get(read(argument)?).await,
            "kv.set" => self.kv_set(read(argument)?).await.map(|()| None),
            "channel.send" => self.send(read(argument)?).map(Some),
            "channel.websocket.send" => self.send_to_sockets(read(argument)?).map(Some),
            "entities.get" => self.get(read(argument)?).await,
            "entities.create" => self.create(read(argument)?).await.map(Some),
            "entities.patch" => self.patch(read(argument)?).await.map(Some),
            "entities.link" => self.link(&read::<Ids>(argument)?).await.map(|()| None),
            "events.publish" => self.publish(read(argument)?).map(|()| None),
            _ => Err(Error::refused(
                Code::Conflict,
                format!("There is no function `{name}`"),
            )),
        }
    }

    /// Locks the values of the channel, so that no other run changes a value between a read and the write that
    /// depends on it.
    async fn take_turn(&mut self) -> Result<()> {
        let lane = self.handle()?.lane();
        if self.effects.turn.is_none() {
            let turn = self.app.channels.turn(lane).lock_owned().await;
            self.effects.turn = Some(Arc::new(turn));
        }
        Ok(())
    }

    async fn kv_get(&mut self, Key { key }: Key) -> Result<Option<String>> {
        self.take_turn().await?;
        let lane = self.handle()?.lane();
        let kept = self
            .effects
            .list
            .iter()
            .rev()
            .find_map(|effect| match effect {
                Effect::Keep { key: known, value } if *known == key => Some(value.clone()),
                _ => None,
            });
        if let Some(kept) = kept {
            return Ok(kept);
        }
        let wanted = key.clone();
        let read = move |conn: &mut Conn| kv::find(conn, lane.workspace, lane.id, &wanted);
        let found = self.app.db.read(read).await?;
        if !self.effects.seen.contains_key(&key) {
            self.take_room(key.len() + found.as_ref().map_or(0, String::len))?;
        }
        self.effects.seen.insert(key, found.clone());
        Ok(found)
    }

    async fn kv_set(&mut self, Pair { key, value }: Pair) -> Result<()> {
        self.take_turn().await?;
        if key.is_empty() || key.chars().count() > MAX_KEY_CHARS || key.contains('\0') {
            return Err(Error::invalid(
                "key",
                "A key must have 1 to 256 characters.",
            ));
        }
        let value = (!value.is_null()).then(|| value.to_string());
        if value
            .as_ref()
            .is_some_and(|value| value.len() > MAX_VALUE_BYTES)
        {
            return Err(Error::invalid(
                "value",
                "A value must not be longer than 64 KiB.",
            ));
        }
        self.change(Effect::Keep { key, value })
    }

    /// Queues a message, as if it had been posted to the channel's `/send`.
    fn send(&mut self, Message { body, options }: Message) -> Result<String> {
        let handle = self.handle()?.clone();
        if !request::can_send(&handle.channel) {
            return Err(Error::refused(
                Code::Conflict,
                "The channel has neither a `url` nor a script that sends",
            ));
        }
        if self.effects.sent >= MAX_MESSAGES {
            let what = format!("A run may send at most {MAX_MESSAGES} messages");
            return Err(Error::refused(Code::LimitReached, what));
        }
        if self.depth >= MAX_SEND_DEPTH {
            let what = format!("A chain of messages may have at most {MAX_SEND_DEPTH} runs");
            return Err(Error::refused(Code::LimitReached, what));
        }
        let delay = match options.delay {
            None => Duration::ZERO,
            Some(delay) => Duration::try_from_secs_f64(delay)
                .ok()
                .filter(|delay| *delay <= MAX_SEND_DELAY)
                .ok_or_else(|| {
                    Error::invalid("delay", "The delay must be 0 to 2592000 seconds.")
                })?,
        };
        let due = self.app.clock.now() + delay;
        let (workspace, channel) = (handle.workspace, &handle.channel);
        let depth = self.depth + 1;
        let run = request::message(&self.app, workspace, channel, body.to_string(), due, depth)?;
        let id = run.id;
        self.change(Effect::Send(Box::new(run)))?;
        self.effects.sent += 1;
        Ok(json!({ "id": id }).to_string())
    }

    /// Sends a frame at once, to the websocket that the run's own frame came over or to all of the channel's.
    fn send_to_sockets(&self, Frame { code, body }: Frame) -> Result<String> {
        let lane = self.handle()?.lane();
        let text = json!([code, body]).to_string();
        let sent = self
            .app
            .channels
            .sockets
            .send(&self.app, lane, self.connection, text)?;
        Ok(json!({ "sent": sent }).to_string())
    }

    /// Publishes an event. Readers of the feed must not learn the channel's tokens, so these are masked.
    fn publish(&mut self, Event { name, data }: Event) -> Result<()> {
        let tokens = self.handle()?.channel.tokens.clone();
        let (name, data) = (tokens.mask_text(name), tokens.mask(data));
        let size = name.len() + data.to_string().len();
        if name.is_empty() || name.chars().count() > MAX_KEY_CHARS || size > MAX_EVENT_BYTES {
            return Err(Error::invalid(
                "name",
                "An event must have a name of 1 to 256 characters and data of at most 64 KiB.",
            ));
        }
        self.change(Effect::Publish { name, data })
    }

    async fn find(&self, entity_ref: EntityRef) -> Result<(Entity, Vec<Uuid>)> {
        if let Some(known) = self.entities.get(&entity_ref) {
            return Ok(known.clone());
        }
        let workspace = self.workspace;
        let read = move |conn: &mut Conn| {
            let found = entity::find(conn, workspace, entity_ref)?;
            let links = entity::links_inside(conn, &found)?;
            Ok::<_, Error>((found, links))
        };
        self.app.db.read(read).await
    }

    async fn get(&self, At { collection, id }: At) -> Result<Option<String>> {
        let entity_ref = entity_ref(&collection, &id)?;
        match self.find(entity_ref).await {
            Ok((found, links)) => Ok(Some(entity::model(&found, &links))),
            Err(Error::NotFound(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn create(&mut self, New { collection, model }: New) -> Result<String> {
        let kind = kind(&collection)?;
        let settings = settings::of(&self.app, self.workspace).await?;
        let check = self.app.config.identifier_check;
        let model = schema::object(&model)?;
        let draft = Draft::read(kind, model, &settings, check, &self.origin())?;
        draft.permit(self.effects.authority)?;
        let (made, links) = (draft.entity().clone(), draft.links());
        self.change(Effect::Create(Box::new(draft)))?;
        let text = entity::model(&made, &links);
        self.take_room(text.len())?;
        let entity_ref = EntityRef { kind, id: made.id };
        self.entities.insert(entity_ref, (made, links));
        Ok(text)
    }

    async fn patch(&mut self, change: Change) -> Result<String> {
        let Change {
            collection,
            id,
            operations,
        } = change;
        let entity_ref = entity_ref(&collection, &id)?;
        let operations = match operations {
            Value::Array(_) => json!({ "operations": operations }),
            whole => whole,
        };
        let operations = patch::parse(&operations)?;
        let (mut found, links) = self.find(entity_ref).await?;
        let (origin, authority) = (self.origin(), self.effects.authority);
        let shown = edit::preview(&found, &links, &operations, &origin, authority)?;
        found.members = entity::members_text(&shown.members)?;
        if shown.changed {
            found.update_info = found.update_info.changed(&origin);
        }
        let links = match shown.links {
            None => links,
            Some(wanted) => wanted.into_iter().map(|(_, id)| id).collect(),
        };
        let settings = settings::of(&self.app, self.workspace).await?;
        self.change(Effect::Patch {
            entity_ref,
            operations,
            settings,
        })?;
        let text = entity::model(&found, &links);
        self.take_room(text.len())?;
        self.entities.insert(entity_ref, (found, links));
        Ok(text)
    }

    async fn link(&mut self, Ids { ids }: &Ids) -> Result<()> {
        let ends = link::read(ids)?;
        link::permit(self.effects.authority, ends)?;
        let made = |(kind, id): &prichal_core::event::Entity| {
            let id = EntityId(*id);
            self.entities.contains_key(&EntityRef { kind: *kind, id })
        };
        let others: Vec<_> = ends.iter().copied().filter(|end| !made(end)).collect();
        let workspace = self.workspace;
        let check = move |conn: &mut Conn| link::check(conn, workspace, &others);
        self.app.db.read(check).await?;
        self.change(Effect::Link(ends))
    }

    fn fetch(&mut self, argument: &str) -> Result<BoxFuture<'static, Result<String, String>>> {
        let Fetch {
            url,
            method,
            headers,
            body,
            base64,
            form,
            json,
        } = read(argument)?;
        if self.fetched >= MAX_FETCHES {
            let what = format!("A run may fetch at most {MAX_FETCHES} times");
            return Err(Error::refused(Code::LimitReached, what));
        }
        self.fetched += 1;
        let own = self
            .handle
            .as_ref()
            .map(|handle| handle.channel.text("url"));
        let is_own = own.is_some_and(|own| !own.is_empty() && own == url);
        let is_https = url
            .get(..8)
            .is_some_and(|head| head.eq_ignore_ascii_case("https://"));
        if !is_own && !is_https {
            return Err(Error::refused(
                Code::Conflict,
                "Only https addresses and the channel's own `url` can be fetched",
            ));
        }
        let target =
            Target::parse(&url).map_err(|error| Error::invalid("url", error.to_string()))?;
        let method = read_method(&method)?;
        let body = match base64 {
            Some(base64) => STANDARD
                .decode(base64)
                .map_err(|_| Error::invalid("body", "The body is not base64."))?,
            None => body.unwrap_or_default().into_bytes(),
        };
        let underway = BodyReservation::take(&self.underway, body.len())?;
        let kind = match (json, form) {
            (true, _) => Some("application/json; charset=utf-8"),
            (_, true) => Some("application/x-www-form-urlencoded;charset=UTF-8"),
            _ => None,
        };
        let mut headers = outgoing_headers(headers, kind)?;
        hide_secrets(&mut headers);
        let request = Outgoing {
            method,
            headers,
            body: Bytes::from(body),
            keep: MAX_FETCHED_BYTES,
        };
        let (app, connections, turn) = (
            self.app.clone(),
            self.connections.clone(),
            self.fetching.clone(),
        );
        let posted = is_own.then(|| self.posted.clone());
        let work = async move {
            let _underway = underway;
            let _turn = turn.acquire().await;
            let body = posted.is_some().then(|| request.body.clone());
            let timeout = app.config.delivery_timeout;
            let (called, mut exchange) =
                exchange(&app, &connections, &target, timeout, request).await;
            exchange.body = body.and_then(|body| send::logged_body(&body));
            if let Some(posted) = posted {
                let answer = called.as_ref().ok();
                posted.set(Called {
                    http_status: answer.map(|answer| answer.status),
                    answer: answer.and_then(|answer| send::head(&answer.body)),
                    exchange,
                });
            }
            let answer = called.map_err(|error| error.to_string())?;
            let failure = match &answer.broken {
                Some(broken) => Some(broken.to_string()),
                None => answer
                    .truncated
                    .then(|| "the answer is longer than 1 MiB".to_owned()),
            };
            let mut headers = Map::new();
            for (name, value) in &answer.headers {
                let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
                headers.insert(name.as_str().to_owned(), value.into());
            }
            let body = String::from_utf8_lossy(&answer.body);
            let mut shown = json!({ "status": answer.status, "headers": headers, "body": body, "failure": failure });
            if body.as_bytes() != answer.body {
                shown["base64"] = STANDARD.encode(&answer.body).into();
            }
            Ok(shown.to_string())
        };
        Ok(work.boxed())
    }
}

/// The memory that a request body takes until it is sent.
struct BodyReservation(Arc<AtomicUsize>, usize);

impl BodyReservation {
    fn take(all: &Arc<AtomicUsize>, bytes: usize) -> Result<Self> {
        let taken = Self(all.clone(), bytes);
        if all.fetch_add(bytes, Ordering::Relaxed) + bytes > MAX_CONCURRENT_BODY_BYTES {
            let what = format!(
                "The bodies that a run sends at the same time may have at most {} MiB",
                MAX_CONCURRENT_BODY_BYTES >> 20
            );
            return Err(Error::refused(Code::LimitReached, what));
        }
        Ok(taken)
    }
}

impl Drop for BodyReservation {
    fn drop(&mut self) {
        self.0.fetch_sub(self.1, Ordering::Relaxed);
    }
}

impl Host for RunHost {
    async fn ask(&mut self, name: &str, argument: &str) -> Result<String, String> {
        let answer = self.answer(name, argument).await;
        answer
            .map(Option::unwrap_or_default)
            .inspect_err(|error| security::refused(error, Some(self.workspace)))
            .map_err(|error| self.app.channels.thrown(self.workspace, &error))
    }

    fn begin(&mut self, name: &str, argument: &str) -> BoxFuture<'static, Result<String, String>> {
        let begun = match name {
            "fetch" => self.fetch(argument),
            _ => Err(Error::refused(
                Code::Conflict,
                format!("There is no function `{name}`"),
            )),
        };
        match begun {
            Ok(work) => work,
            Err(error) => {
                std::future::ready(Err(self.app.channels.thrown(self.workspace, &error))).boxed()
            }
        }
    }
}

fn entity_ref(collection: &str, id: &str) -> Result<EntityRef> {
    let shown: String = id.chars().take(64).collect();
    let id = EntityId::parse(id)
        .ok_or_else(|| Error::invalid("id", format!("The value '{shown}' is not a valid id.")))?;
    Ok(EntityRef {
        kind: kind(collection)?,
        id,
    })
}

fn kind(collection: &str) -> Result<EntityKind> {
    EntityKind::from_collection(collection).ok_or_else(|| {
        let shown: String = collection.chars().take(64).collect();
        let known = EntityKind::collections().collect::<Vec<_>>().join(", ");
        let why = format!("There is no collection `{shown}`: {known}.");
        Error::invalid("collection", why)
    })
}

fn read_method(name: &str) -> Result<Method> {
    let method = Method::from_bytes(name.to_ascii_uppercase().as_bytes());
    let method = method.ok().filter(|method| *method != Method::CONNECT);
    method.ok_or_else(|| {
        let shown: String = name.chars().take(64).collect();
        let why = format!("`{shown}` is not a valid HTTP method, such as GET or POST.");
        Error::invalid("method", why)
    })
}

/// Headers that belong to the connection.
const RESERVED: [&str; 5] = [
    "host",
    "content-length",
    "connection",
    "transfer-encoding",
    "upgrade",
];

fn outgoing_headers(given: Map<String, Value>, kind: Option<&'static str>) -> Result<HeaderMap> {
    let mut headers = HeaderMap::new();
    for (name, value) in given {
        let shown: String = name.chars().take(64).collect();
        let bad = || Error::invalid("headers", format!("The header {shown} cannot be sent."));
        let value = match &value {
            Value::String(value) => value.clone(),
            Value::Null => continue,
            Value::Number(_) | Value::Bool(_) => value.to_string(),
            _ => return Err(bad()),
        };
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| bad())?;
        if RESERVED.contains(&name.as_str()) {
            let why = format!("The header {name} cannot be sent, it belongs to the connection.");
            return Err(Error::invalid("headers", why));
        }
        headers.insert(name, HeaderValue::try_from(value).map_err(|_| bad())?);
    }
    if let Some(kind) = kind {
        let kind = HeaderValue::from_static(kind);
        headers.entry("content-type").or_insert(kind);
    }
    headers.entry("user-agent").or_insert(send::USER_AGENT);
    Ok(headers)
}

fn read<'a, T: Deserialize<'a>>(argument: &'a str) -> Result<T> {
    json::parse(argument.as_bytes())
        .map_err(|error| Error::invalid("", format!("The arguments are invalid: {error}.")))
}

#[derive(Deserialize)]
struct Key {
    key: String,
}

#[derive(Deserialize)]
struct Pair {
    key: String,
    value: Value,
}

#[derive(Deserialize)]
struct Message {
    body: Value,
    options: SendOptions,
}

#[derive(Deserialize)]
struct SendOptions {
    /// In seconds.
    delay: Option<f64>,
}

#[derive(Deserialize)]
struct Frame {
    code: String,
    body: Value,
}

#[derive(Deserialize)]
struct Event {
    name: String,
    data: Value,
}

#[derive(Deserialize)]
struct At {
    collection: String,
    id: String,
}

#[derive(Deserialize)]
struct New {
    collection: String,
    model: Value,
}

#[derive(Deserialize)]
struct Change {
    collection: String,
    id: String,
    operations: Value,
}

#[derive(Deserialize)]
struct Ids {
    ids: Value,
}

#[derive(Deserialize)]
struct Fetch {
    url: String,
    method: String,
    headers: Map<String, Value>,
    body: Option<String>,
    /// A body of bytes.
    base64: Option<String>,
    #[serde(default)]
    form: bool,
    json: bool,
}

/// The author of a run's changes: its channel, or the system for a run without one.
pub fn author_of(handle: Option<&ChannelHandle>) -> Author {
    handle.map_or_else(Author::system, ChannelHandle::author)
}

/// The origin of all changes of a run.
pub fn origin(workspace: WorkspaceId, author: Author, at: Timestamp) -> Origin {
    Origin {
        workspace,
        author,
        at,
    }
}
