//! The functions that the server offers to a running script.
//!
//! Reads are answered at once. Changes are collected, shown to the script as if they were stored already, and written
//! in the transaction that ends the run. So a run that fails changes nothing, and a retried run changes everything
//! once.

mod effects;
mod entities;
mod fetch;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, atomic::AtomicUsize},
    time::Duration,
};

use futures_util::{FutureExt as _, future::BoxFuture};
use prichal_core::{
    entity::rights::Authority,
    event::{Author, Origin},
    id::WorkspaceId,
    json,
    patch::Operation,
    schema::Object,
    time::Timestamp,
};
use prichal_store::{Conn, delivery::Exchange, entity::Entity, kv, run};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::OwnedMutexGuard;
use uuid::Uuid;

use entities::Ids;

use super::request;
use crate::{
    domain::{
        Domain,
        entity::{EntityRef, draft::Draft},
        script::Host,
    },
    error::{Code, Error, Result},
    platform::{
        access::ChannelHandle,
        outgoing::{connections::Connections, names::Requester},
        security,
    },
};

/// The maximum number of changes of one run.
const MAX_EFFECTS: usize = 1000;
/// The maximum number of bytes of a run's changes, together with the values that it has read to make them.
const MAX_EFFECT_BYTES: usize = 8 << 20;
const MAX_MESSAGES: usize = 100;
/// The maximum number of fetches of a run at the same time.
const MAX_CONCURRENT_FETCHES: usize = 8;
/// The longest key in characters, and the longest value in bytes.
const MAX_KEY_CHARS: usize = 256;
const MAX_VALUE_BYTES: usize = 64 << 10;
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
