//! One websocket from its opening to its end.
//!
//! At first only `setup`, `login` and `connection_info` work; `setup` opens capabilities, and they the other methods.
//! An unreadable frame is answered, and the connection stays. A breach of the protocol ends it.

mod events;
mod requests;
mod setup;
mod standing;

use std::{collections::BTreeSet, net::IpAddr, sync::Arc, time::Duration};

use futures_util::{FutureExt as _, SinkExt as _, StreamExt as _, future::BoxFuture};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use prichal_core::{schema::Object, time::Timestamp};
use prichal_store::{Tx, socket};
use serde::Serialize;
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinSet,
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{Error as SocketError, Message, error::CapacityError},
};
use tokio_util::sync::CancellationToken;
use utoipa::ToSchema;
use uuid::Uuid;

use events::wait_for_news;
use standing::Attribution;

use super::{
    close::CloseReason,
    frame::{self, Done, answered, unreadable},
    in_flight::InFlight,
    inbox::InboundFrame,
    received::{Counted, Received},
    rest::said,
    rights::Rights,
    subscriptions::Subscriptions,
};
use crate::{
    app::App,
    domain::channel::{
        self,
        sockets::{Close, Frame},
    },
    error::{Error, Result},
    http::body::weight,
    platform::{
        access::ChannelHandle,
        memory::{Hold, Payer},
        security,
    },
};

/// The time between pings. A client that has answered neither of the last two counts as gone.
const PING_INTERVAL: Duration = Duration::from_secs(30);
const MAX_MISSED_PINGS: u32 = 2;
/// The time that the sending of a frame may take.
const SEND_TIMEOUT: Duration = Duration::from_secs(30);
/// The bytes before the payload of a client's control frame.
const CONTROL_FRAME_HEAD: usize = 6;

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

/// The end for lack of memory for what the client sends or receives.
fn out_of_memory() -> End {
    End::Close(CloseReason::NoMemory)
}

/// True if the channel's connections may set a capability up.
fn may(handle: &ChannelHandle, rights: &Rights, capability: &str) -> bool {
    handle.channel.has_capability(capability)
        && rights.allow("WEBSOCKET", &format!("/ws#{capability}"))
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
