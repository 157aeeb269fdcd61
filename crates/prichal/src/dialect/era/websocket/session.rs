//! One websocket from its opening to its end.
//!
//! At first only `setup`, `login` and `connection_info` work; `setup` opens capabilities, and they the other methods.
//! An unreadable frame is answered, and the connection stays. A breach of the protocol ends it.

use std::{collections::BTreeSet, net::IpAddr, sync::Arc, time::Duration};

use futures_util::{FutureExt as _, SinkExt as _, StreamExt as _, future::BoxFuture};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use prichal_core::{
    event::{ChangeType, EntityKind, EventType},
    id::{EntityId, UserId},
    schema::Object,
    time::Timestamp,
};
use prichal_script::Outcome;
use prichal_store::{Conn, Tx, entity, event, run::Kind, socket, tenant};
use serde::Serialize;
use serde_json::{Value, value::RawValue};
use tokio::{
    sync::{
        mpsc::{self, error::TrySendError},
        oneshot, watch,
    },
    task::JoinSet,
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{Error as SocketError, Message, error::CapacityError},
};
use tokio_util::sync::CancellationToken;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    close::CloseReason,
    frame::{self, Content, Done, Qid, ScriptResult, answered, unreadable},
    in_flight::InFlight,
    inbox::{InboundFrame, MAX_QUEUED_FRAMES, run_all},
    params::{CAPABILITIES, CAPABILITY_KEY, MAX_PARAMS, MAX_SCRIPT_TIMEOUT_MS, TIMEOUT, WORDS},
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

/// The time between pings. A client that has answered neither of the last two counts as gone.
const PING_INTERVAL: Duration = Duration::from_secs(30);
const MAX_MISSED_PINGS: u32 = 2;
/// The time that the sending of a frame may take.
const SEND_TIMEOUT: Duration = Duration::from_secs(30);
/// The bytes before the payload of a client's control frame.
const CONTROL_FRAME_HEAD: usize = 6;
/// The maximum number of events that a statement reads.
const MAX_EVENTS_PER_READ: i64 = 256;
const DEFAULT_SCRIPT_TIMEOUT: Duration = Duration::from_secs(10);
/// The time after which rights are read again, because another node may have changed them.
const RIGHTS_TTL: Duration = Duration::from_secs(1);

const ACCESS_DENIED: &str = "Access denied by IAM (route not found)";

type Socket = WebSocketStream<Counted<TokioIo<Upgraded>>>;
type Closed = oneshot::Receiver<Close>;

/// The capabilities that a client asks for, in its order.
#[derive(Serialize, ToSchema)]
#[schema(as = SetupResult)]
pub(super) struct SetUpResult {
    /// The capabilities that were asked for.
    capabilities: Vec<SetUp>,
}

#[derive(Serialize, ToSchema)]
#[serde(untagged)]
#[schema(as = SetupCapability)]
enum SetUp {
    Open(Opened),
    Closed(NotOpened),
}

/// A capability that is open.
#[derive(Serialize, ToSchema)]
#[schema(as = OpenedCapability)]
struct Opened {
    /// The name of the capability.
    key: String,
    /// The outcome.
    result: frame::Success,
}

/// A capability that is not open.
#[derive(Serialize, ToSchema)]
#[schema(as = RefusedCapability)]
struct NotOpened {
    /// The name of the capability.
    key: String,
    /// The outcome.
    result: frame::Failure,
    /// The reason, for people.
    #[schema(examples("Unknown capability"))]
    errormsg: &'static str,
}

/// The state of a connection.
#[derive(Serialize, ToSchema)]
pub(super) struct ConnectionInfo {
    /// The outcome.
    result: frame::Success,
    /// The location.
    site: &'static str,
    /// The kind of credentials.
    ownertype: &'static str,
    /// The name of the workspace.
    #[schema(required)]
    domain: Option<String>,
    /// The id of the connection.
    sessionid: Uuid,
    /// The same id.
    connectionid: Uuid,
    /// The capabilities that are open.
    capabilities: Vec<&'static str>,
    /// The time of the server.
    #[schema(format = DateTime)]
    datetime: String,
    /// The same in milliseconds since 1970.
    timestamp: i64,
    /// The id of the channel.
    #[schema(format = "uuid")]
    integration_point_id: String,
    /// The code of the channel's type.
    integration_point_type: String,
    /// The names of the channel's roles.
    roles: Vec<String>,
    /// The token with which the client has connected.
    #[schema(required)]
    token: Option<String>,
}

/// The other end of a websocket.
pub(super) struct Client {
    pub(super) id: Uuid,
    pub(super) standing: CurrentRights,
    /// The account that pays for its frames.
    pub(super) payer: Payer,
    pub(super) received: Received,
    /// The address of the client.
    pub(super) address: Option<IpAddr>,
}

/// The rights of a websocket, and when they were read.
#[derive(Clone)]
pub(super) struct CurrentRights {
    pub(super) rights: Rights,
    /// The value of [`channel::sockets::Sockets::rights`] before they were read.
    pub(super) version: u64,
    pub(super) looked_at: Timestamp,
}

/// The reason for which the conversation ends.
enum End {
    /// The client has gone without a close frame.
    Gone,
    /// The client has sent a close frame.
    Answered,
    Close(CloseReason),
}

pub(super) async fn run(app: App, handle: Arc<ChannelHandle>, client: Client, mut socket: Socket) {
    let (lane, id) = (handle.lane(), client.id);
    let at = app.clone();
    let receives_broadcasts = may(&handle, &client.standing.rights, "msg");
    let payer = client.payer.clone();
    let hash = &handle.token_hash;
    let Some(mut place) = at
        .channels
        .sockets
        .enter(lane, id, hash, receives_broadcasts, payer)
    else {
        let end = End::Close(CloseReason::TooMany);
        return finish(&mut socket, end).await;
    };
    let node = app.node;
    let noted = move |tx: &mut Tx<'_>| {
        socket::insert(tx, lane.workspace, lane.id, id, node);
        Ok::<_, Error>(())
    };
    // Other nodes must know of the connection before the client may rely on it.
    if app.db.write_deferred(lane.workspace, noted).await.is_err() {
        let end = End::Close(CloseReason::NoStorage);
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
            workspace = %lane.workspace,
            channel = %lane.id,
            websocket = %id,
            error = &error as &dyn std::error::Error,
            "websocket {id} has ended but is still stored as open"
        );
    }
}

async fn finish(socket: &mut Socket, end: End) {
    let said = async {
        match end {
            End::Gone => Ok(()),
            // The answer to the client's frame is ready (RFC 6455 §5.5.1).
            End::Answered => socket.flush().await,
            End::Close(reason) => socket.close(Some(reason.frame())).await,
        }
    };
    // The client may be gone, so a failure to send means nothing.
    let _ = tokio::time::timeout(SEND_TIMEOUT, said).await;
}

struct Session {
    app: App,
    /// The channel in its present state.
    handle: Arc<ChannelHandle>,
    /// The token with which the client connected: the local one, or the one before it.
    token: Option<String>,
    standing: CurrentRights,
    id: Uuid,
    payer: Payer,
    received: Received,
    address: Option<IpAddr>,
    open: BTreeSet<&'static str>,
    subscriptions: Subscriptions,
    /// The number of the last event of the log that was sent.
    seen: i64,
    news: Option<watch::Receiver<u64>>,
    in_flight: InFlight,
    /// The queue of frames for the receiving script, and the task that runs it.
    inbox: Option<mpsc::Sender<InboundFrame>>,
    reading: JoinSet<()>,
    /// The signal that ends the receiving script with the connection.
    closed: CancellationToken,
}

impl Session {
    fn new(app: App, handle: Arc<ChannelHandle>, client: Client) -> Self {
        Self {
            app,
            token: handle.token(),
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
            in_flight: InFlight::default(),
            inbox: None,
            reading: JoinSet::new(),
            closed: CancellationToken::new(),
        }
    }

    /// True if no request, script or frame of the client is under way.
    fn is_idle(&self) -> bool {
        self.in_flight.is_empty() && self.reading.is_empty()
    }

    fn stop(&self) {
        self.closed.cancel();
        self.in_flight.stop();
    }

    async fn converse(
        &mut self,
        socket: &mut Socket,
        place: &mut channel::sockets::SocketGuard<'_>,
    ) -> End {
        let (mut missed, mut was_partial) = (0, false);
        let mut next_ping = self.app.clock.now() + PING_INTERVAL;
        let clock = self.app.clock.clone();
        let (stopping, abort) = (self.app.stopping.clone(), self.app.abort.clone());
        let mut is_leaving = false;
        loop {
            if is_leaving && self.is_idle() && place.frames.is_empty() {
                return End::Close(CloseReason::Stopping);
            }
            let frame = tokio::select! {
                received = socket.next(), if !is_leaving => {
                    missed = 0;
                    match received {
                        None => return End::Gone,
                        Some(Ok(Message::Close(_))) => return End::Answered,
                        Some(Err(error)) => return end_of(&error),
                        Some(Ok(Message::Text(text))) => {
                            was_partial = false;
                            let mut hold = self.received.take();
                            // The parsed values take memory beside the text.
                            if hold.grow(weight(text.as_bytes())).await.is_err() {
                                return out_of_memory();
                            }
                            match self.take(&text, hold).await {
                                Some(frame) => Frame::from(frame),
                                None => continue,
                            }
                        }
                        Some(Ok(Message::Binary(_))) => {
                            return End::Close(CloseReason::NotText);
                        }
                        Some(Ok(control)) => {
                            self.received.forget(CONTROL_FRAME_HEAD + control.len());
                            continue;
                        }
                    }
                }
                Some(frame) = place.frames.recv() => frame,
                Some(ended) = self.in_flight.next() => match ended {
                    Some(frame) => frame,
                    None => continue,
                },
                Some(_) = self.reading.join_next() => continue,
                () = wait_for_news(self.news.as_mut()) => match self.send_events(socket, &mut place.close).await {
                    Ok(()) => continue,
                    Err(end) => return end,
                },
                () = clock.sleep_until(next_ping) => {
                    if missed >= MAX_MISSED_PINGS {
                        return End::Gone;
                    }
                    let is_partial = self.received.is_partial();
                    if is_partial && was_partial {
                        return End::Close(CloseReason::Endless);
                    }
                    was_partial = is_partial;
                    missed += 1;
                    // A failure is not reported here. If it lasts, the next frame is answered with it.
                    let _ = self.refresh_rights().await;
                    next_ping = clock.now() + PING_INTERVAL;
                    if !deliver(socket, &mut place.close, Message::Ping(Vec::new().into())).await {
                        return End::Gone;
                    }
                    continue;
                }
                why = &mut place.close => return match why {
                    Ok(Close::Slow) => End::Close(CloseReason::NotReading),
                    _ => End::Close(CloseReason::ChannelGone),
                },
                // The session accepts no more frames, and completes those that it has accepted.
                () = stopping.cancelled(), if !is_leaving => {
                    is_leaving = true;
                    self.inbox = None;
                    continue;
                }
                () = abort.cancelled() => {
                    return End::Close(CloseReason::Stopping);
                }
            };
            let (text, _hold) = frame.into_parts();
            if !deliver(socket, &mut place.close, Message::text(text)).await {
                return End::Gone;
            }
        }
    }

    /// Handles a frame, and returns the answer if there is one at once. Work that goes on keeps the frame's memory.
    async fn take(&mut self, text: &str, hold: Hold) -> Option<String> {
        let Some(frame) = frame::read(text) else {
            return Some(unreadable());
        };
        let (method, known, qid) = (frame.method(), frame.params(), frame.qid());
        let empty = Object::new();
        let asked = known.unwrap_or(&empty);
        let result = |answer: Result<Done, _>| Some(answered(method, qid.as_deref(), answer));
        if let Err(error) = self.refresh_rights().await {
            return result(Err(said(&error)));
        }
        match method {
            "login" => return result(Ok(Done::default())),
            "setup" => return Some(self.setup(asked, qid.as_deref())),
            "connection_info" => return Some(answered(method, qid.as_deref(), self.info().await)),
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
            return result(Err(not_set_up(capability)));
        }
        if known.is_none() && capability != "msg" {
            return result(Err((1400, "The parameters must be an object".to_owned())));
        }
        match method {
            "test" => result(Ok(Done::default())),
            "subscribe" => {
                let done = self.subscribe(asked).await;
                let done = done.inspect_err(|error| security::refused(error, None));
                result(done.map(|()| Done::default()).map_err(|error| said(&error)))
            }
            "abort_svcscript" => {
                let aborted = self.in_flight.abort(qid.as_deref());
                result(aborted.map(|()| Done::default()))
            }
            "rest" => self.rest(asked.clone(), qid, hold),
            "start_svcscript" => match self.start(asked, qid.clone(), hold).await {
                Ok(()) => None,
                Err(error) => result(Err(error)),
            },
            _ => self.receive(InboundFrame {
                method: method.to_owned(),
                text: frame.to_json(),
                qid,
                hold,
            }),
        }
    }

    /// Reads the rights again if they may have changed, and closes the capabilities that they no longer open.
    async fn refresh_rights(&mut self) -> Result<()> {
        let again = self
            .standing
            .read_again(&self.app, &self.handle, self.address);
        let Some((found, standing)) = again.await? else {
            return Ok(());
        };
        if let Some(found) = found {
            self.handle = found;
        }
        let may = |capability: &str| may(&self.handle, &standing.rights, capability);
        self.open.retain(|capability| may(capability));
        let sockets = &self.app.channels.sockets;
        sockets.set_receives_broadcasts(self.handle.lane(), self.id, may("msg"));
        if !self.open.contains("subscr") || self.handle.channel.user().is_none() {
            self.subscriptions = Subscriptions::default();
            self.news = None;
        }
        self.standing = standing;
        Ok(())
    }

    /// Opens capabilities.
    fn setup<'a>(&mut self, asked: &'a Object, qid: Option<&RawValue>) -> String {
        let wanted = asked.get(CAPABILITIES.name).and_then(Value::as_array);
        let key = |one: &'a Value| one.get(CAPABILITY_KEY.name)?.as_str();
        let keys = wanted.map(|wanted| wanted.iter().map(key));
        let Some(keys) = keys.and_then(Iterator::collect::<Option<Vec<&str>>>) else {
            let why = "The capabilities must be a list of objects with a key".to_owned();
            return answered("setup", qid, Err::<Done, _>((1400, why)));
        };
        let mut capabilities = Vec::new();
        for key in keys.into_iter().take(64) {
            let known = WORDS.words.iter().copied().find(|known| *known == key);
            let error = match known {
                None => Some("Unknown capability"),
                Some(known) if !may(&self.handle, &self.standing.rights, known) => {
                    let object = format!("/ws#{known}");
                    security::record(Event::Forbidden, None, &object);
                    Some(ACCESS_DENIED)
                }
                Some(known) => {
                    self.open.insert(known);
                    None
                }
            };
            let key = key.to_owned();
            capabilities.push(match error {
                None => SetUp::Open(Opened {
                    key,
                    result: frame::Success::Ok,
                }),
                Some(errormsg) => SetUp::Closed(NotOpened {
                    key,
                    result: frame::Failure::Error,
                    errormsg,
                }),
            });
        }
        answered("setup", qid, Ok(SetUpResult { capabilities }))
    }

    async fn info(&self) -> Result<ConnectionInfo, (i64, String)> {
        let channel = &self.handle.channel;
        let id = self.handle.workspace.to_string();
        let workspace = access::find_workspace(&self.app, &id).await;
        let workspace = workspace.map_err(|error| said(&error))?;
        let now = self.app.clock.now();
        Ok(ConnectionInfo {
            result: frame::Success::Ok,
            site: SITE,
            ownertype: "token",
            domain: workspace.map(|found| found.name.clone()),
            sessionid: self.id,
            connectionid: self.id,
            capabilities: self.open.iter().copied().collect(),
            datetime: millis(now),
            timestamp: now.micros() / 1000,
            integration_point_id: channel.id.to_string(),
            integration_point_type: channel.text("type").to_owned(),
            roles: channel.roles().map(str::to_owned).collect(),
            token: self.token.clone(),
        })
    }

    fn seen(&self) -> Attribution {
        Attribution::of(&self.app, self.address, &self.handle)
    }

    fn queued(&self, capability: &'static str) -> Queued {
        Queued {
            app: self.app.clone(),
            handle: self.handle.clone(),
            standing: self.standing.clone(),
            address: self.address,
            capability,
        }
    }

    fn rest(&mut self, asked: Object, qid: Qid, hold: Hold) -> Option<String> {
        let (app, mut queued) = (self.app.clone(), self.queued("rest"));
        let (again, payer) = (qid.clone(), self.payer.clone());
        let work = async move {
            let answer: Answer = match queued.refresh().await {
                Ok(()) => {
                    let (handle, rights) = (queued.handle, queued.standing.rights);
                    rest::ask(app, handle, rights, payer.clone(), &asked).await
                }
                Err(refused) => Err(refused),
            };
            drop(hold);
            let text = answered("rest", qid.as_deref(), answer.map(Content::of));
            Some(answer_frame("rest", qid.as_deref(), text, &payer))
        };
        let seen = self.seen();
        match self
            .in_flight
            .spawn_request(async move { seen.by(work).await })
        {
            Ok(()) => None,
            Err(error) => Some(answered("rest", again.as_deref(), Err::<Done, _>(error))),
        }
    }

    /// True if the channel has a user who is not deleted.
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
            // The listener precedes the read of the log's end, so that no event between them is missed.
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

    /// Sends the events since the last one sent.
    async fn send_events(&mut self, socket: &mut Socket, close: &mut Closed) -> Result<(), End> {
        if self.refresh_rights().await.is_err() {
            // The next event leads here again.
            return Ok(());
        }
        let workspace = self.handle.workspace;
        while self.news.is_some() {
            let after = self.seen;
            let user = self.handle.channel.user();
            let read = move |conn: &mut Conn| {
                let mut events = event::list(conn, workspace, after, MAX_EVENTS_PER_READ)?;
                let last = events.last().map(|last| last.seq);
                document::hide_events(conn, workspace, user.map(UserId), &mut events)?;
                Ok::<_, Error>((events, last))
            };
            let Ok((events, last)) = self.app.db.read(read).await else {
                // The next event leads here again.
                return Ok(());
            };
            let Some(last) = last else {
                return Ok(());
            };
            self.seen = last;
            let mut hold = self.payer.hold(Use::Frame);
            let bytes = events.iter().map(|event| event.body.len()).sum();
            if hold.grow(bytes).await.is_err() {
                return Err(out_of_memory());
            }
            let now = self.app.clock.now();
            let user = user.map(|id| (EntityKind::User, id));
            for event in &events {
                let is_deleted = event.head.kind == EventType::Change(ChangeType::Delete);
                if is_deleted && event.entities().first().copied() == user {
                    // Without its user the channel has no right to events.
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
        let (code, params) = read_start(asked, MAX_PARAMS).map_err(|error| said(&error))?;
        let time = match asked.get(TIMEOUT.name) {
            None | Some(Value::Null) => DEFAULT_SCRIPT_TIMEOUT,
            Some(given) => given
                .as_u64()
                .filter(|millis| (1..=MAX_SCRIPT_TIMEOUT_MS.unsigned_abs()).contains(millis))
                .map(Duration::from_millis)
                .ok_or_else(|| {
                    let why =
                        format!("The timeout must be 1 to {MAX_SCRIPT_TIMEOUT_MS} milliseconds");
                    (1400, why)
                })?,
        };
        let loaded = load(&self.app, self.handle.workspace, &code)
            .await
            .map_err(|error| said(&error))?;
        let (abort, again) = (CancellationToken::new(), qid.clone());
        let payer = self.payer.clone();
        let (app, stop, id) = (self.app.clone(), abort.clone(), self.id);
        let mut queued = self.queued("svcscript");
        let work = async move {
            if let Err(error) = queued.refresh().await {
                let refused = Err::<Done, _>(error);
                let text = answered("start_svcscript", qid.as_deref(), refused);
                return Some(answer_frame(
                    "start_svcscript",
                    qid.as_deref(),
                    text,
                    &payer,
                ));
            }
            let handle = queued.handle.clone();
            let may_repeat = || queued.still_may();
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
                may_repeat: Some(&may_repeat),
            };
            let outcome = run_now(&app, now, stop.cancelled()).await;
            drop(hold);
            if stop.is_cancelled() {
                return None;
            }
            let answer = match outcome {
                Err(error) => Err(said(&error)),
                Ok(Outcome {
                    failure: Some(failure),
                    ..
                }) => Err((
                    if failure.stopped { 1504 } else { 1500 },
                    failure.to_string(),
                )),
                Ok(outcome) => Ok(ScriptResult::of(value(outcome.variables.as_deref()))),
            };
            let text = answered("start_svcscript", qid.as_deref(), answer);
            Some(answer_frame(
                "start_svcscript",
                qid.as_deref(),
                text,
                &payer,
            ))
        };
        let seen = self.seen();
        let work = async move { seen.by(Box::pin(work)).await };
        self.in_flight.spawn_script(&again, abort, work)
    }

    /// Starts the task that runs the channel's own script.
    fn start_inbox(&mut self) -> mpsc::Sender<InboundFrame> {
        let (inbox, frames) = mpsc::channel(MAX_QUEUED_FRAMES);
        let queued = self.queued("msg");
        let work = Box::pin(run_all(queued, self.id, frames, self.closed.clone()));
        let seen = self.seen();
        let work = async move { seen.by(work).await };
        let workspace = Some(self.handle.workspace);
        self.reading.spawn(tenant::scope(workspace, work));
        inbox
    }

    /// Queues a frame for the channel's own script, which takes one at a time.
    fn receive(&mut self, asked: InboundFrame) -> Option<String> {
        if let Err(error) = writes::admit(&self.app, self.handle.workspace) {
            let qid = asked.qid.as_deref();
            return Some(answered(&asked.method, qid, Err::<Done, _>(said(&error))));
        }
        let inbox = match self.inbox.take() {
            Some(inbox) => inbox,
            None => self.start_inbox(),
        };
        let sent = self.inbox.insert(inbox).try_send(asked);
        let TrySendError::Full(asked) = sent.err()? else {
            return None;
        };
        let why = format!("More than {MAX_QUEUED_FRAMES} frames wait for the script");
        Some(answered(
            &asked.method,
            asked.qid.as_deref(),
            Err::<Done, _>((1503, why)),
        ))
    }
}

impl CurrentRights {
    /// The channel and its rights as they are now. `None` if they were read a short time ago and nothing tells of a
    /// change since. There is no channel if it was deleted, or no longer admits the address.
    async fn read_again(
        &self,
        app: &App,
        handle: &ChannelHandle,
        address: Option<IpAddr>,
    ) -> Result<Option<(Option<Arc<ChannelHandle>>, Self)>> {
        let (version, now) = (app.channels.sockets.rights(), app.clock.now());
        if version == self.version && now.since(self.looked_at) < RIGHTS_TTL {
            return Ok(None);
        }
        let found = channel::by_id_uncached(app, handle.lane()).await?;
        let found = found
            .filter(|found| address.is_none_or(|address| found.channel.admits(address)))
            .map(|found| {
                Arc::new(ChannelHandle {
                    // The connection remains one of its own token.
                    token_hash: handle.token_hash.clone(),
                    ..Arc::unwrap_or_clone(found)
                })
            });
        let rights = match &found {
            Some(found) => Rights::of(app, found).await?,
            None => Rights::default(),
        };
        let standing = Self {
            rights,
            version,
            looked_at: now,
        };
        Ok(Some((found, standing)))
    }
}

/// The sender of a request that waits for its turn, or of several. The rights may be lost meanwhile.
#[derive(Clone)]
pub(super) struct Queued {
    pub(super) app: App,
    pub(super) handle: Arc<ChannelHandle>,
    standing: CurrentRights,
    address: Option<IpAddr>,
    capability: &'static str,
}

impl Queued {
    /// Reads channel and rights again if they may have changed. Fails if they do not open the capability any more.
    pub(super) async fn refresh(&mut self) -> Result<(), (i64, String)> {
        let again = self
            .standing
            .read_again(&self.app, &self.handle, self.address);
        if let Some((found, standing)) = again.await.map_err(|error| said(&error))? {
            self.standing = standing;
            self.handle = found.ok_or_else(|| not_set_up(self.capability))?;
        }
        if !may(&self.handle, &self.standing.rights, self.capability) {
            return Err(not_set_up(self.capability));
        }
        Ok(())
    }

    /// Tells if the sender may still run scripts.
    pub(super) fn still_may(&self) -> BoxFuture<'static, bool> {
        let mut again = self.clone();
        async move { again.refresh().await.is_ok() }.boxed()
    }
}

/// The refusal of a request for a capability that is not open.
fn not_set_up(capability: &str) -> (i64, String) {
    (1403, format!("The capability {capability} is not set up"))
}

/// The client as the security log and the limit of guesses name it. Each frame counts as a request.
struct Attribution {
    app: App,
    address: Option<IpAddr>,
    actor: Actor,
}

impl Attribution {
    fn of(app: &App, address: Option<IpAddr>, handle: &Arc<ChannelHandle>) -> Self {
        Self {
            app: app.clone(),
            address,
            actor: Actor::from(&Caller::Channel(handle.clone())),
        }
    }

    fn by<F: Future>(self, work: F) -> impl Future<Output = F::Output> {
        security::by(&self.app, self.address, Some(self.actor), work)
    }
}

/// The end for lack of memory for what the client sends or receives.
fn out_of_memory() -> End {
    End::Close(CloseReason::NoMemory)
}

/// An answer on the client's account, or a short error if the account lacks the memory.
fn answer_frame(method: &str, qid: Option<&RawValue>, text: String, payer: &Payer) -> Frame {
    Frame::paid(text, payer).unwrap_or_else(|| {
        metrics::counter!("prichal_memory_refused_total").increment(1);
        let why = "The server has no memory for the answer now".to_owned();
        answered(method, qid, Err::<Done, _>((1503, why))).into()
    })
}

/// True if the channel's connections may set a capability up.
fn may(handle: &ChannelHandle, rights: &Rights, capability: &str) -> bool {
    handle.channel.has_capability(capability)
        && rights.allow("WEBSOCKET", &format!("/ws#{capability}"))
}

/// Waits for new events in the log; forever if there is no subscription.
async fn wait_for_news(news: Option<&mut watch::Receiver<u64>>) {
    let is_news = match news {
        Some(news) => news.changed().await.is_ok(),
        None => false,
    };
    if !is_news {
        std::future::pending::<()>().await;
    }
}

/// Sends a frame. Returns false if the client is gone or does not read.
async fn deliver(socket: &mut Socket, close: &mut Closed, message: Message) -> bool {
    tokio::select! {
        sent = tokio::time::timeout(SEND_TIMEOUT, socket.send(message)) => sent.is_ok_and(|sent| sent.is_ok()),
        _ = close => false,
    }
}

fn end_of(error: &SocketError) -> End {
    match error {
        SocketError::Io(error) if error.kind() == std::io::ErrorKind::OutOfMemory => {
            out_of_memory()
        }
        SocketError::Capacity(CapacityError::MessageTooLong { .. }) => {
            End::Close(CloseReason::TooLong)
        }
        SocketError::Utf8(_) => End::Close(CloseReason::NotUtf8),
        SocketError::Protocol(_) => End::Close(CloseReason::NotProtocol),
        _ => End::Gone,
    }
}

/// A time as RFC 3339 with milliseconds.
fn millis(at: Timestamp) -> String {
    at.to_millis()
}
