//! One websocket from its opening to its end.
//!
//! At first only `setup`, `login` and `connection_info` work; `setup` opens capabilities, and they the rest.
//! A frame that cannot be read is answered, and the connection stays; what breaks the protocol ends it.

use std::{collections::BTreeSet, net::IpAddr, sync::Arc, time::Duration};

use futures_util::{SinkExt as _, StreamExt as _};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use prichal_core::{
    event::{ChangeType, EntityKind, EventType},
    id::{EntityId, UserId},
    schema::Object,
    time::Timestamp,
};
use prichal_store::{Conn, Tx, entity, event, run::Kind, socket, tenant};
use serde_json::{Value, json, value::RawValue};
use tokio::{
    sync::{
        mpsc::{self, error::TrySendError},
        oneshot, watch,
    },
    task::JoinSet,
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Error as Broken, Message,
        error::CapacityError,
        protocol::{CloseFrame, frame::coding::CloseCode},
    },
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{
    frame::{self, Qid, answered, framed, unreadable},
    in_flight::Going,
    inbox::{Asked, INBOX, read_all},
    received::{Counted, Received},
    rest::{self, Answer, said},
    rights::Rights,
    subscriptions::Subscriptions,
};
use crate::{
    app::App,
    dialect::era::svcscript_runtimes::{SITE, load, read_start},
    domain::{
        channel::{
            self,
            request::{Request, START},
            run::{ImmediateRun, run_now, value},
            sockets::{Close, Frame},
        },
        document,
    },
    error::{Error, Result},
    http::body::weight,
    platform::{
        access::{self, Caller, ChannelHandle},
        memory::{Hold, Payer, Use},
        security::{self, Actor, Event},
        writes,
    },
};

/// How often the client is asked whether it is there; it may miss that twice.
const PING: Duration = Duration::from_secs(30);
const MISSES: u32 = 2;
/// How long a frame may take to be sent.
const SEND: Duration = Duration::from_secs(30);
/// The head of a client's frame that is of no message.
const HEAD: usize = 6;
/// How many events are read at once.
const EVENTS: i64 = 256;
/// How many parameters a script may be started with, and how long it may run.
const PARAMS: usize = 20;
const TIME: Duration = Duration::from_secs(10);
const LONGEST: u64 = 60_000;
/// How long rights are good for where they may be changed on another node.
const GOOD_FOR: Duration = Duration::from_secs(1);

/// The capabilities there are.
const CAPABILITIES: [&str; 5] = ["rest", "subscr", "svcscript", "msg", "test"];
const DENIED: &str = "Access denied by IAM (route not found)";

type Socket = WebSocketStream<Counted<TokioIo<Upgraded>>>;
type Closed = oneshot::Receiver<Close>;

/// The other end of a websocket.
pub(super) struct Client {
    pub(super) id: Uuid,
    pub(super) standing: Standing,
    /// The account that its frames are on.
    pub(super) payer: Payer,
    pub(super) received: Received,
    /// The address that it was opened from.
    pub(super) address: Option<IpAddr>,
}

/// The rights that a websocket has, and when they were looked at.
pub(super) struct Standing {
    pub(super) rights: Rights,
    /// The number of [`channel::sockets::Sockets::rights`] before that.
    pub(super) version: u64,
    pub(super) looked_at: Timestamp,
}

/// Why the conversation is over.
enum End {
    /// The client has closed it, or is not there any more.
    Gone,
    /// The client has closed it, as one should.
    Answered,
    Close(CloseCode, &'static str),
}

pub(super) async fn run(app: App, handle: Arc<ChannelHandle>, client: Client, mut socket: Socket) {
    let (lane, id) = (handle.lane(), client.id);
    let at = app.clone();
    let hears = may(&handle, &client.standing.rights, "msg");
    let payer = client.payer.clone();
    let hash = &handle.token_hash;
    let Some(mut place) = at.channels.sockets.enter(lane, id, hash, hears, payer) else {
        let end = End::Close(CloseCode::Again, "there are too many websockets");
        return finish(&mut socket, end).await;
    };
    let node = app.node;
    let noted = move |tx: &mut Tx<'_>| {
        socket::insert(tx, lane.workspace, lane.id, id, node);
        Ok::<_, Error>(())
    };
    // Known to other nodes before the client may count on it.
    if app.db.write_deferred(lane.workspace, noted).await.is_err() {
        let end = End::Close(CloseCode::Again, "the server cannot reach its storage");
        return finish(&mut socket, end).await;
    }
    let mut session = Session::new(app.clone(), handle, client);
    let seen = session.seen();
    let end = seen.by(session.converse(&mut socket, &mut place)).await;
    session.stop();
    drop(place);
    finish(&mut socket, end).await;
    let forget = move |tx: &mut Tx<'_>| socket::remove(tx, lane.workspace, lane.id, id);
    if let Err(error) = app.db.write_deferred(lane.workspace, forget).await {
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            "a websocket that has ended is still noted as open"
        );
    }
}

async fn finish(socket: &mut Socket, end: End) {
    let said = async {
        match end {
            End::Gone => Ok(()),
            // The answer to the client's frame is ready (RFC 6455 §5.5.1).
            End::Answered => socket.flush().await,
            End::Close(code, reason) => {
                let reason = reason.into();
                socket.close(Some(CloseFrame { code, reason })).await
            }
        }
    };
    // Whoever is not there any more does not hear it.
    let _ = tokio::time::timeout(SEND, said).await;
}

struct Session {
    app: App,
    /// The channel as it is now.
    handle: Arc<ChannelHandle>,
    /// The token that let the client in.
    token: String,
    standing: Standing,
    id: Uuid,
    payer: Payer,
    received: Received,
    address: Option<IpAddr>,
    open: BTreeSet<&'static str>,
    subscriptions: Subscriptions,
    /// Everything up to this number of the log has been told.
    seen: i64,
    news: Option<watch::Receiver<u64>>,
    going: Going,
    /// Frames for the receiving script, and whoever has it run.
    inbox: Option<mpsc::Sender<Asked>>,
    reading: JoinSet<()>,
    /// Ends the receiving script with the connection.
    closed: CancellationToken,
}

impl Session {
    fn new(app: App, handle: Arc<ChannelHandle>, client: Client) -> Self {
        Self {
            app,
            token: handle.channel.tokens.local.clone(),
            handle,
            standing: client.standing,
            id: client.id,
            payer: client.payer,
            received: client.received,
            address: client.address,
            open: BTreeSet::new(),
            subscriptions: Subscriptions::default(),
            seen: 0,
            news: None,
            going: Going::default(),
            inbox: None,
            reading: JoinSet::new(),
            closed: CancellationToken::new(),
        }
    }

    /// Whether nothing goes on that the client waits for.
    fn is_idle(&self) -> bool {
        self.going.is_empty() && self.reading.is_empty()
    }

    fn stop(&self) {
        self.closed.cancel();
        self.going.stop();
    }

    async fn converse(
        &mut self,
        socket: &mut Socket,
        place: &mut channel::sockets::SocketGuard<'_>,
    ) -> End {
        let (mut missed, mut was_partial) = (0, false);
        let mut next_ping = self.app.clock.now() + PING;
        let clock = self.app.clock.clone();
        let (stopping, abort) = (self.app.stopping.clone(), self.app.abort.clone());
        let mut is_leaving = false;
        loop {
            if is_leaving && self.is_idle() && place.frames.is_empty() {
                return End::Close(CloseCode::Away, "the server stops");
            }
            let frame = tokio::select! {
                received = socket.next(), if !is_leaving => {
                    missed = 0;
                    match received {
                        None => return End::Gone,
                        Some(Ok(Message::Close(_))) => return End::Answered,
                        Some(Err(error)) => return broken(&error),
                        Some(Ok(Message::Text(text))) => {
                            was_partial = false;
                            let mut hold = self.received.take();
                            // With what is made of it while it is read.
                            if hold.grow(weight(text.as_bytes())).await.is_err() {
                                return full();
                            }
                            match self.take(&text, hold).await {
                                Some(frame) => Frame::from(frame),
                                None => continue,
                            }
                        }
                        Some(Ok(Message::Binary(_))) => {
                            return End::Close(CloseCode::Unsupported, "frames are text");
                        }
                        Some(Ok(control)) => {
                            self.received.forget(HEAD + control.len());
                            continue;
                        }
                    }
                }
                Some(frame) = place.frames.recv() => frame,
                Some(ended) = self.going.next() => match ended {
                    Some(frame) => frame,
                    None => continue,
                },
                Some(_) = self.reading.join_next() => continue,
                () = heard(self.news.as_mut()) => match self.tell(socket, &mut place.close).await {
                    Ok(()) => continue,
                    Err(end) => return end,
                },
                () = clock.sleep_until(next_ping) => {
                    if missed >= MISSES {
                        return End::Gone;
                    }
                    let is_partial = self.received.is_partial();
                    if is_partial && was_partial {
                        return End::Close(CloseCode::Policy, "a message does not end");
                    }
                    was_partial = is_partial;
                    missed += 1;
                    // A failure is met again with the next frame, and answered there.
                    let _ = self.renew().await;
                    next_ping = clock.now() + PING;
                    if !deliver(socket, &mut place.close, Message::Ping(Vec::new().into())).await {
                        return End::Gone;
                    }
                    continue;
                }
                why = &mut place.close => return match why {
                    Ok(Close::Slow) => End::Close(CloseCode::Policy, "the client does not read"),
                    _ => End::Close(CloseCode::Policy, "the channel is gone"),
                },
                // Nothing more is taken; what was taken is brought to its end.
                () = stopping.cancelled(), if !is_leaving => {
                    is_leaving = true;
                    self.inbox = None;
                    continue;
                }
                () = abort.cancelled() => {
                    return End::Close(CloseCode::Away, "the server stops");
                }
            };
            let (text, _hold) = frame.into_parts();
            if !deliver(socket, &mut place.close, Message::text(text)).await {
                return End::Gone;
            }
        }
    }

    /// Takes a frame, and says what to answer at once. What goes on with it goes on to hold its memory.
    async fn take(&mut self, text: &str, hold: Hold) -> Option<String> {
        let Some(frame) = frame::read(text) else {
            return Some(unreadable());
        };
        let (method, known, qid) = (frame.method(), frame.params(), frame.qid());
        let empty = Object::new();
        let asked = known.unwrap_or(&empty);
        let result = |answer| Some(answered(method, qid.as_deref(), answer));
        if let Err(error) = self.renew().await {
            return result(Err(said(&error)));
        }
        match method {
            "login" => return result(Ok(Vec::new())),
            "setup" => return Some(self.setup(asked, qid.as_deref())),
            "connection_info" => return result(self.info().await),
            _ => {}
        }
        let capability = match method {
            "rest" => "rest",
            "subscribe" => "subscr",
            "start_svcscript" | "abort_svcscript" => "svcscript",
            "test" => "test",
            _ => "msg",
        };
        if !self.open.contains(capability) {
            let why = format!("The capability {capability} is not set up");
            return result(Err((1403, why)));
        }
        if known.is_none() && capability != "msg" {
            return result(Err((1400, "The parameters must be an object".to_owned())));
        }
        match method {
            "test" => result(Ok(Vec::new())),
            "subscribe" => {
                let done = self.subscribe(asked).await;
                let done = done.inspect_err(|error| security::refused(error, None));
                result(done.map(|()| Vec::new()).map_err(|error| said(&error)))
            }
            "abort_svcscript" => result(self.going.abort(qid.as_deref()).map(|()| Vec::new())),
            "rest" => self.rest(asked.clone(), qid, hold),
            "start_svcscript" => match self.start(asked, qid.clone(), hold).await {
                Ok(()) => None,
                Err(error) => result(Err(error)),
            },
            _ => self.receive(Asked {
                method: method.to_owned(),
                text: frame.to_json(),
                qid,
                hold,
            }),
        }
    }

    /// Brings the rights up to what they are now. What they do not open any more is closed.
    async fn renew(&mut self) -> Result<()> {
        let sockets = &self.app.channels.sockets;
        let (version, now) = (sockets.rights(), self.app.clock.now());
        let standing = &self.standing;
        if version == standing.version && now.since(standing.looked_at) < GOOD_FOR {
            return Ok(());
        }
        let lane = self.handle.lane();
        let found = channel::by_id_uncached(&self.app, lane).await?;
        let admits = |found: &Arc<ChannelHandle>| {
            let admits = |address| found.channel.admits(address);
            self.address.is_none_or(admits)
        };
        let rights = match found.filter(admits) {
            Some(found) => {
                self.handle = found;
                Rights::of(&self.app, &self.handle).await?
            }
            // Gone, or closed to this address.
            None => Rights::default(),
        };
        let may = |capability: &str| may(&self.handle, &rights, capability);
        self.open.retain(|capability| may(capability));
        sockets.set_hears(lane, self.id, may("msg"));
        if !self.open.contains("subscr") || self.handle.channel.user().is_none() {
            self.subscriptions = Subscriptions::default();
            self.news = None;
        }
        self.standing = Standing {
            rights,
            version,
            looked_at: now,
        };
        Ok(())
    }

    /// Opens capabilities.
    fn setup(&mut self, asked: &Object, qid: Option<&RawValue>) -> String {
        let wanted = asked.get("capabilities").and_then(Value::as_array);
        let keys = wanted.map(|wanted| wanted.iter().map(|one| one.get("key")?.as_str()));
        let Some(keys) = keys.and_then(Iterator::collect::<Option<Vec<&str>>>) else {
            let why = "The capabilities must be a list of objects with a key".to_owned();
            return answered("setup", qid, Err((1400, why)));
        };
        let mut shown = Vec::new();
        for key in keys.into_iter().take(64) {
            let known = CAPABILITIES.into_iter().find(|known| *known == key);
            let error = match known {
                None => Some("Unknown capability"),
                Some(known) if !may(&self.handle, &self.standing.rights, known) => {
                    let object = format!("/ws#{known}");
                    security::record(Event::Forbidden, None, &object);
                    Some(DENIED)
                }
                Some(known) => {
                    self.open.insert(known);
                    None
                }
            };
            shown.push(match error {
                None => json!({ "key": key, "result": "ok" }),
                Some(error) => json!({ "key": key, "result": "error", "errormsg": error }),
            });
        }
        let body = Object::from_iter([("capabilities".to_owned(), shown.into())]);
        framed("setup", qid, body)
    }

    async fn info(&self) -> Result<Vec<(&'static str, Value)>, (i64, String)> {
        let channel = &self.handle.channel;
        let id = self.handle.workspace.to_string();
        let workspace = access::find_workspace(&self.app, &id).await;
        let workspace = workspace.map_err(|error| said(&error))?;
        let now = self.app.clock.now();
        Ok(vec![
            ("site", SITE.into()),
            ("ownertype", "token".into()),
            ("domain", workspace.map(|found| found.name.clone()).into()),
            ("sessionid", self.id.to_string().into()),
            ("connectionid", self.id.to_string().into()),
            ("capabilities", self.open.iter().copied().collect()),
            ("datetime", millis(now).into()),
            ("timestamp", (now.micros() / 1000).into()),
            ("integration_point_id", channel.id.to_string().into()),
            ("integration_point_type", channel.text("type").into()),
            ("roles", channel.roles().collect()),
            ("token", self.token.as_str().into()),
        ])
    }

    fn seen(&self) -> Seen {
        Seen::of(&self.app, self.address, &self.handle)
    }

    fn rest(&mut self, asked: Object, qid: Qid, hold: Hold) -> Option<String> {
        let (app, handle) = (self.app.clone(), self.handle.clone());
        let rights = self.standing.rights.clone();
        let (again, payer) = (qid.clone(), self.payer.clone());
        let work = async move {
            let answer: Answer = rest::ask(app, handle, rights, payer.clone(), &asked).await;
            drop(hold);
            let answer = answer.map(|content| vec![("content", content)]);
            let text = answered("rest", qid.as_deref(), answer);
            Some(paid("rest", qid.as_deref(), text, &payer))
        };
        let seen = self.seen();
        match self.going.begin(async move { seen.by(work).await }) {
            Ok(()) => None,
            Err(error) => Some(answered("rest", again.as_deref(), Err(error))),
        }
    }

    /// Whether the channel's user is there and not deleted.
    async fn has_user(&self) -> Result<bool> {
        let Some(id) = self.handle.channel.user() else {
            return Ok(false);
        };
        let (workspace, kind, id) = (self.handle.workspace, EntityKind::User, EntityId(id));
        let read = move |conn: &mut Conn| entity::find(conn, workspace, kind, id);
        let found = self.app.db.read(read).await?;
        Ok(found.is_some_and(|user| user.deleted_at.is_none()))
    }

    async fn subscribe(&mut self, asked: &Object) -> Result<()> {
        let workspace = self.handle.workspace;
        if !self.has_user().await? {
            return Err(Error::Forbidden(
                "The channel has no user whose rights a subscription could have",
            ));
        }
        if self.news.is_none() {
            // Whatever is committed from here on is heard of.
            let news = self.app.channels.sockets.logs.listen(workspace);
            let read = move |conn: &mut Conn| event::last(conn, workspace);
            self.seen = self.app.db.read(read).await?;
            self.news = Some(news);
        }
        let changed = self.subscriptions.change(asked, self.app.clock.now());
        if self.subscriptions.is_empty() {
            self.news = None;
        }
        changed
    }

    /// Tells what has happened since the last time.
    async fn tell(&mut self, socket: &mut Socket, close: &mut Closed) -> Result<(), End> {
        if self.renew().await.is_err() {
            // The next news brings it.
            return Ok(());
        }
        let workspace = self.handle.workspace;
        while self.news.is_some() {
            let after = self.seen;
            let user = self.handle.channel.user();
            let read = move |conn: &mut Conn| {
                let mut events = event::list(conn, workspace, after, EVENTS)?;
                let last = events.last().map(|last| last.seq);
                document::hide(conn, workspace, user.map(UserId), &mut events)?;
                Ok::<_, Error>((events, last))
            };
            let Ok((events, last)) = self.app.db.read(read).await else {
                // The next news brings it.
                return Ok(());
            };
            let Some(last) = last else {
                return Ok(());
            };
            self.seen = last;
            let mut hold = self.payer.hold(Use::Frame);
            let bytes = events.iter().map(|event| event.body.len()).sum();
            if hold.grow(bytes).await.is_err() {
                return Err(full());
            }
            let now = self.app.clock.now();
            let user = user.map(|id| (EntityKind::User, id));
            for event in &events {
                let is_deleted = event.head.kind == EventType::Change(ChangeType::Delete);
                if is_deleted && event.entities().first().copied() == user {
                    // With its user the channel has lost the rights.
                    self.subscriptions = Subscriptions::default();
                    self.news = None;
                    return Ok(());
                }
                for frame in self.subscriptions.frames(event, now) {
                    if !deliver(socket, close, Message::text(frame)).await {
                        return Err(End::Gone);
                    }
                }
            }
        }
        Ok(())
    }

    async fn start(&mut self, asked: &Object, qid: Qid, hold: Hold) -> Result<(), (i64, String)> {
        let admitted = writes::admit(&self.app, self.handle.workspace);
        admitted.map_err(|error| said(&error))?;
        let (code, params) = read_start(asked, PARAMS).map_err(|error| said(&error))?;
        let time = match asked.get("timeout") {
            None | Some(Value::Null) => TIME,
            Some(given) => given
                .as_u64()
                .filter(|millis| (1..=LONGEST).contains(millis))
                .map(Duration::from_millis)
                .ok_or_else(|| {
                    let why = format!("The timeout must be 1 to {LONGEST} milliseconds");
                    (1400, why)
                })?,
        };
        let loaded = load(&self.app, self.handle.workspace, &code)
            .await
            .map_err(|error| said(&error))?;
        let (abort, again) = (CancellationToken::new(), qid.clone());
        let payer = self.payer.clone();
        let (app, handle, stop, id) = (
            self.app.clone(),
            self.handle.clone(),
            abort.clone(),
            self.id,
        );
        let work = async move {
            let now = ImmediateRun {
                handle: Some(&handle),
                workspace: handle.workspace,
                kind: Kind::Socket,
                loaded: &loaded,
                request: Request {
                    method: START.to_owned(),
                    params,
                    ..Request::default()
                },
                connection: Some(id),
                author: handle.author(),
                time,
            };
            let (_, outcome) = run_now(&app, now, stop.cancelled()).await;
            drop(hold);
            if stop.is_cancelled() {
                return None;
            }
            let answer = match outcome.failure {
                None => {
                    let variables = value(outcome.variables.as_deref());
                    Ok(vec![("data", json!({ "variables": variables }))])
                }
                Some(failure) if failure.stopped => Err((1504, failure.to_string())),
                Some(failure) => Err((1500, failure.to_string())),
            };
            let text = answered("start_svcscript", qid.as_deref(), answer);
            Some(paid("start_svcscript", qid.as_deref(), text, &payer))
        };
        let seen = self.seen();
        let work = async move { seen.by(Box::pin(work)).await };
        self.going.start(&again, abort, work)
    }

    /// Hands a frame to the channel's own script. They are taken one after the other.
    fn receive(&mut self, asked: Asked) -> Option<String> {
        if let Err(error) = writes::admit(&self.app, self.handle.workspace) {
            let qid = asked.qid.as_deref();
            return Some(answered(&asked.method, qid, Err(said(&error))));
        }
        let inbox = self.inbox.get_or_insert_with(|| {
            let (inbox, frames) = mpsc::channel(INBOX);
            let (app, handle) = (self.app.clone(), self.handle.clone());
            let workspace = Some(self.handle.workspace);
            let work = Box::pin(read_all(app, handle, self.id, frames, self.closed.clone()));
            let seen = Seen::of(&self.app, self.address, &self.handle);
            let work = async move { seen.by(work).await };
            self.reading.spawn(tenant::scope(workspace, work));
            inbox
        });
        let TrySendError::Full(asked) = inbox.try_send(asked).err()? else {
            return None;
        };
        let why = format!("More than {INBOX} frames wait for the script");
        Some(answered(
            &asked.method,
            asked.qid.as_deref(),
            Err((1503, why)),
        ))
    }
}

/// The client, as the security log and the count of guesses see it. Each frame is a request of its own.
struct Seen {
    app: App,
    address: Option<IpAddr>,
    actor: Actor,
}

impl Seen {
    fn of(app: &App, address: Option<IpAddr>, handle: &Arc<ChannelHandle>) -> Self {
        Self {
            app: app.clone(),
            address,
            actor: Actor::of(&Caller::Channel(handle.clone())),
        }
    }

    async fn by<T>(self, work: impl Future<Output = T>) -> T {
        security::by(&self.app, self.address, Some(self.actor), work).await
    }
}

/// The end where there is no memory for what a client sends or wants to hear.
fn full() -> End {
    End::Close(CloseCode::Again, "the server has no memory for it now")
}

/// An answer, or that there is no memory for it.
fn paid(method: &str, qid: Option<&RawValue>, text: String, payer: &Payer) -> Frame {
    Frame::paid(text, payer).unwrap_or_else(|| {
        metrics::counter!("prichal_memory_refused_total").increment(1);
        let why = "The server has no memory for the answer now".to_owned();
        answered(method, qid, Err((1503, why))).into()
    })
}

/// Whether a connection of a channel may have a capability.
fn may(handle: &ChannelHandle, rights: &Rights, capability: &str) -> bool {
    handle.channel.has_capability(capability)
        && rights.allow("WEBSOCKET", &format!("/ws#{capability}"))
}

/// Waits for news of the log, for ever when nobody asks for it.
async fn heard(news: Option<&mut watch::Receiver<u64>>) {
    let is_news = match news {
        Some(news) => news.changed().await.is_ok(),
        None => false,
    };
    if !is_news {
        std::future::pending::<()>().await;
    }
}

/// Sends a frame. False when the client is not there, or does not read: then nothing more can be said.
async fn deliver(socket: &mut Socket, close: &mut Closed, message: Message) -> bool {
    tokio::select! {
        sent = tokio::time::timeout(SEND, socket.send(message)) => sent.is_ok_and(|sent| sent.is_ok()),
        _ = close => false,
    }
}

fn broken(error: &Broken) -> End {
    match error {
        Broken::Io(error) if error.kind() == std::io::ErrorKind::OutOfMemory => full(),
        Broken::Capacity(CapacityError::MessageTooLong { .. }) => {
            End::Close(CloseCode::Size, "a message is longer than 1 MiB")
        }
        Broken::Utf8(_) => End::Close(CloseCode::Invalid, "a frame is not UTF-8"),
        Broken::Protocol(_) => End::Close(CloseCode::Protocol, "this is not the protocol"),
        _ => End::Gone,
    }
}

/// RFC 3339 with three digits of a second.
fn millis(at: Timestamp) -> String {
    at.to_millis()
}
