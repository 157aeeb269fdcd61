//! The open websockets of this node, and the frames that are sent over them from elsewhere.
//!
//! Each websocket has a bounded queue, and is closed if its client does not read. Deleting a channel closes its
//! websockets on every node: on this one at once, on others as soon as the bus tells them.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{
            AtomicU64,
            Ordering::{Acquire, Release},
        },
    },
    time::Duration,
};

use prichal_core::{
    event::{ChangeType, EntityKind, EventType},
    id::{EntityId, WorkspaceId},
};
use prichal_store::{Conn, Engine, LoggedEvent, channel, run::Lane};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    domain::{Domain, listeners::Listeners},
    error::{Error, Result},
    platform::{
        bus,
        memory::{Hold, Payer, Use},
        share::{FairShare, Permit},
    },
};

/// The maximum number of websockets of a node.
const MAX_SOCKETS: usize = 10_000;
/// The maximum number of websockets of one workspace on a node.
const MAX_SOCKETS_PER_WORKSPACE: usize = 5_000;
/// The maximum number of frames that wait for a client.
const MAX_QUEUED_FRAMES: usize = 64;
/// The longest frame that scripts may send, in bytes. It has to fit into a message of the bus.
const MAX_FRAME_BYTES: usize = 900 << 10;
/// The interval between reads of the store if other nodes write to it.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// The interval if no other node shares the store.
const SINGLE_NODE_POLL_INTERVAL: Duration = Duration::from_secs(30);

/// The kinds of entity that the rights of channels depend on.
const RIGHTS: [EntityKind; 3] = [
    EntityKind::Role,
    EntityKind::IntegrationPoint,
    EntityKind::User,
];

/// The reason why the server closes a websocket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Close {
    /// The channel, or its workspace, is gone.
    Gone,
    /// The client does not read what is sent to it.
    Slow,
}

/// A frame for a client, with the memory that is counted for it until it is sent.
pub struct Frame {
    pub text: String,
    hold: Option<Hold>,
}

impl Frame {
    /// A frame whose memory is counted. `None` if there is no memory for it.
    pub fn paid(text: String, payer: &Payer) -> Option<Self> {
        let mut hold = payer.hold(Use::Frame);
        let is_paid = hold.try_grow(text.len());
        is_paid.then_some(Self {
            text,
            hold: Some(hold),
        })
    }

    /// The text, and the hold on its memory that has to be kept until the frame is sent.
    pub fn into_parts(self) -> (String, Option<Hold>) {
        (self.text, self.hold)
    }
}

/// A short frame, for which no memory is counted.
impl From<String> for Frame {
    fn from(text: String) -> Self {
        Self { text, hold: None }
    }
}

pub struct Sockets {
    open: Mutex<HashMap<Lane, HashMap<Uuid, Handle>>>,
    places: FairShare,
    /// The workspaces whose channels have to be read again.
    changed_workspaces: Mutex<BTreeSet<WorkspaceId>>,
    changed: Notify,
    /// A counter of possible changes of channels' rights.
    rights: AtomicU64,
    /// Logs that subscriptions follow.
    pub logs: Listeners,
}

impl Default for Sockets {
    fn default() -> Self {
        Self {
            open: Mutex::default(),
            places: FairShare::new(MAX_SOCKETS, MAX_SOCKETS_PER_WORKSPACE),
            changed_workspaces: Mutex::default(),
            changed: Notify::new(),
            rights: AtomicU64::new(0),
            logs: Listeners::default(),
        }
    }
}

struct Handle {
    /// True if the websocket receives frames that a script sends to all websockets of the channel.
    receives_broadcasts: bool,
    /// The hash of the token that the client has connected with.
    token_hash: String,
    frames: mpsc::Sender<Frame>,
    payer: Payer,
    close: Option<oneshot::Sender<Close>>,
}

/// An open websocket of this node. It is removed when this is dropped.
pub struct SocketGuard<'a> {
    sockets: &'a Sockets,
    lane: Lane,
    id: Uuid,
    _room: Permit,
    pub frames: mpsc::Receiver<Frame>,
    pub close: oneshot::Receiver<Close>,
}

impl Drop for SocketGuard<'_> {
    fn drop(&mut self) {
        let mut open = self.sockets.lock();
        if let Some(channel) = open.get_mut(&self.lane) {
            channel.remove(&self.id);
            if channel.is_empty() {
                open.remove(&self.lane);
            }
        }
    }
}

impl Sockets {
    /// Adds a websocket. `None` if there are too many, in all or of the workspace. Only a websocket that
    /// `receives_broadcasts` gets the frames that scripts send to all websockets of the channel.
    pub fn enter(
        &self,
        lane: Lane,
        id: Uuid,
        token_hash: &str,
        receives_broadcasts: bool,
        payer: Payer,
    ) -> Option<SocketGuard<'_>> {
        let room = self.places.try_take(lane.workspace, 1)?;
        let (frames, to_client) = mpsc::channel(MAX_QUEUED_FRAMES);
        let (close, closed) = oneshot::channel();
        let handle = Handle {
            receives_broadcasts,
            token_hash: token_hash.to_owned(),
            frames,
            payer,
            close: Some(close),
        };
        self.lock().entry(lane).or_default().insert(id, handle);
        Some(SocketGuard {
            sockets: self,
            lane,
            id,
            _room: room,
            frames: to_client,
            close: closed,
        })
    }

    /// The number of open websockets.
    pub fn count(&self) -> usize {
        MAX_SOCKETS - self.places.free()
    }

    /// Sends over all websockets of a channel or over one, on all nodes. Returns the number of those on this node.
    pub fn send(
        &self,
        app: &Domain,
        lane: Lane,
        connection: Option<Uuid>,
        text: String,
    ) -> Result<usize> {
        if text.len() > MAX_FRAME_BYTES {
            return Err(Error::TooLarge {
                limit: MAX_FRAME_BYTES as u64,
            });
        }
        let sent = self.send_here(lane, connection, &text);
        if connection.is_none() || sent == 0 {
            app.bus.pass_on(bus::Frame {
                lane,
                connection,
                text,
            });
        }
        Ok(sent)
    }

    /// Sends over the websockets of this node.
    pub fn send_here(&self, lane: Lane, connection: Option<Uuid>, text: &str) -> usize {
        let mut open = self.lock();
        let Some(channel) = open.get_mut(&lane) else {
            return 0;
        };
        let mut sent = 0;
        for (id, handle) in channel.iter_mut() {
            if connection.map_or(!handle.receives_broadcasts, |wanted| wanted != *id) {
                continue;
            }
            // A client that does not read takes up ever more memory, until its limit is reached.
            let frame = Frame::paid(text.to_owned(), &handle.payer);
            match frame.map(|frame| handle.frames.try_send(frame)) {
                Some(Ok(())) => sent += 1,
                _ => handle.end(Close::Slow),
            }
        }
        sent
    }

    /// Reacts to events that were committed on this node.
    pub fn committed(&self, events: &[LoggedEvent]) {
        let mut kinds = events.iter().flat_map(LoggedEvent::entities);
        if kinds.any(|(kind, _)| RIGHTS.contains(kind)) {
            self.rights.fetch_add(1, Release);
        }
        self.logs.committed(events, |_| true);
        if self.count() == 0 {
            return;
        }
        for event in events {
            let (kind, id) = event.entities()[0];
            let is_gone = event.head.kind == EventType::Change(ChangeType::Delete);
            if kind == EntityKind::IntegrationPoint && is_gone {
                let lane = Lane {
                    workspace: event.workspace,
                    id: EntityId(id),
                };
                self.end(lane);
            }
        }
    }

    /// A number that changes whenever rights of channels may have changed on this node.
    pub fn rights(&self) -> u64 {
        self.rights.load(Acquire)
    }

    /// Sets whether a websocket receives frames that a script sends to all websockets of the channel.
    pub fn set_receives_broadcasts(&self, lane: Lane, id: Uuid, receives_broadcasts: bool) {
        if let Some(channel) = self.lock().get_mut(&lane)
            && let Some(handle) = channel.get_mut(&id)
        {
            handle.receives_broadcasts = receives_broadcasts;
        }
    }

    /// Reacts to a change of a workspace on another node.
    pub fn workspace_changed(&self, workspace: WorkspaceId) {
        self.logs.wake(workspace);
        if self.count() > 0 {
            let mut changed_workspaces = self
                .changed_workspaces
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            changed_workspaces.insert(workspace);
            self.changed.notify_one();
        }
    }

    /// Closes the websockets of a channel.
    fn end(&self, lane: Lane) {
        if let Some(channel) = self.lock().get_mut(&lane) {
            channel
                .values_mut()
                .for_each(|handle| handle.end(Close::Gone));
        }
    }

    /// Closes the websockets of a channel whose tokens are no longer valid.
    fn end_others(&self, lane: Lane, good: &HashSet<(EntityId, String)>) {
        if let Some(channel) = self.lock().get_mut(&lane) {
            channel
                .values_mut()
                .filter(|handle| !good.contains(&(lane.id, handle.token_hash.clone())))
                .for_each(|handle| handle.end(Close::Gone));
        }
    }

    fn lanes(&self, of: Option<&BTreeSet<WorkspaceId>>) -> HashMap<WorkspaceId, Vec<Lane>> {
        let mut lanes: HashMap<WorkspaceId, Vec<Lane>> = HashMap::new();
        for lane in self.lock().keys() {
            if of.is_none_or(|of| of.contains(&lane.workspace)) {
                lanes.entry(lane.workspace).or_default().push(*lane);
            }
        }
        lanes
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Lane, HashMap<Uuid, Handle>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Handle {
    fn end(&mut self, why: Close) {
        if let Some(close) = self.close.take() {
            // The websocket may have closed by itself.
            let _ = close.send(why);
        }
    }
}

/// Closes the websockets of deleted channels and of tokens that are no longer valid, until `stop`.
pub async fn run(app: Domain, stop: CancellationToken) -> anyhow::Result<()> {
    // Other nodes may delete a channel, and a token may expire.
    let interval = match app.db.engine() {
        Engine::Postgres => POLL_INTERVAL,
        Engine::Sqlite => SINGLE_NODE_POLL_INTERVAL,
    };
    let sockets = &app.channels.sockets;
    while !stop.is_cancelled() {
        let look = async {
            app.clock.sleep(interval).await;
        };
        let changed_workspaces = tokio::select! {
            () = sockets.changed.notified() => {
                let mut changed_workspaces = sockets
                    .changed_workspaces
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner);
                Some(std::mem::take(&mut *changed_workspaces))
            }
            () = look => None,
            () = stop.cancelled() => return Ok(()),
        };
        let now = app.clock.now();
        for (workspace, lanes) in sockets.lanes(changed_workspaces.as_ref()) {
            let read = move |conn: &mut Conn| channel::valid_tokens(conn, workspace, now);
            let good: HashSet<(EntityId, String)> = match app.db.read(read).await {
                Ok(good) => good.into_iter().collect(),
                Err(error) => {
                    tracing::error!(
                        error = &error as &dyn std::error::Error,
                        %workspace,
                        "cannot check the channels of open websockets in workspace {workspace}"
                    );
                    continue;
                }
            };
            lanes
                .into_iter()
                .for_each(|lane| sockets.end_others(lane, &good));
        }
    }
    Ok(())
}
