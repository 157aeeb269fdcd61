//! The websockets that this node holds, and what is sent over them from elsewhere.
//!
//! Each has a bounded queue; one whose client does not read is closed. A channel that is deleted loses its
//! websockets on every node: here at once, elsewhere as soon as the news comes.

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

/// How many websockets a node holds.
const MOST: usize = 10_000;
/// How many of them may be of one workspace.
const SHARE: usize = 5_000;
/// How many frames wait for a client.
const QUEUE: usize = 64;
/// The longest frame that scripts may send, in bytes: it has to fit through the bus.
const LONGEST: usize = 900 << 10;
/// How often the store is looked at where other nodes write to it.
const LOOK: Duration = Duration::from_secs(1);
/// The same where no other node shares the store.
const SELDOM: Duration = Duration::from_secs(30);

/// The kinds of entity that the rights of channels depend on.
const RIGHTS: [EntityKind; 3] = [
    EntityKind::Role,
    EntityKind::IntegrationPoint,
    EntityKind::User,
];

/// Why a websocket is closed from here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Close {
    /// The channel, or its workspace, is gone.
    Gone,
    /// The client does not read what is sent to it.
    Slow,
}

/// A frame for a client, with the memory that it takes until it is sent.
pub struct Frame {
    pub text: String,
    hold: Option<Hold>,
}

impl Frame {
    /// A frame whose memory is counted; none when there is no memory for it.
    pub fn paid(text: String, payer: &Payer) -> Option<Self> {
        let mut hold = payer.hold(Use::Frame);
        let is_paid = hold.try_grow(text.len());
        is_paid.then_some(Self {
            text,
            hold: Some(hold),
        })
    }

    /// The text, and what has to be kept until it is sent.
    pub fn into_parts(self) -> (String, Option<Hold>) {
        (self.text, self.hold)
    }
}

/// A short one, for which no memory is counted.
impl From<String> for Frame {
    fn from(text: String) -> Self {
        Self { text, hold: None }
    }
}

pub struct Sockets {
    open: Mutex<HashMap<Lane, HashMap<Uuid, Handle>>>,
    places: FairShare,
    /// Workspaces whose channels have to be looked at again.
    doubtful: Mutex<BTreeSet<WorkspaceId>>,
    changed: Notify,
    /// How often rights of channels may have changed.
    rights: AtomicU64,
    /// Logs that subscriptions follow.
    pub logs: Listeners,
}

impl Default for Sockets {
    fn default() -> Self {
        Self {
            open: Mutex::default(),
            places: FairShare::new(MOST, SHARE),
            doubtful: Mutex::default(),
            changed: Notify::new(),
            rights: AtomicU64::new(0),
            logs: Listeners::default(),
        }
    }
}

struct Handle {
    /// Whether scripts may send to it without being asked.
    hears: bool,
    /// The hash of the token that let it in.
    token_hash: String,
    frames: mpsc::Sender<Frame>,
    payer: Payer,
    close: Option<oneshot::Sender<Close>>,
}

/// A websocket's place here. It is given back when this is dropped.
pub struct Place<'a> {
    sockets: &'a Sockets,
    lane: Lane,
    id: Uuid,
    _room: Permit,
    pub frames: mpsc::Receiver<Frame>,
    pub close: oneshot::Receiver<Close>,
}

impl Drop for Place<'_> {
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
    /// Takes a websocket in; nothing when there are too many, all in all or of the workspace. Only one that `hears` gets what scripts send to
    /// all of the channel's.
    pub fn enter(
        &self,
        lane: Lane,
        id: Uuid,
        token_hash: &str,
        hears: bool,
        payer: Payer,
    ) -> Option<Place<'_>> {
        let room = self.places.try_take(lane.workspace, 1)?;
        let (frames, to_client) = mpsc::channel(QUEUE);
        let (close, closed) = oneshot::channel();
        let handle = Handle {
            hears,
            token_hash: token_hash.to_owned(),
            frames,
            payer,
            close: Some(close),
        };
        self.lock().entry(lane).or_default().insert(id, handle);
        Some(Place {
            sockets: self,
            lane,
            id,
            _room: room,
            frames: to_client,
            close: closed,
        })
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        MOST - self.places.free()
    }

    /// Sends over the websockets of a channel, or over one, wherever they are held. Says over how many of
    /// this node.
    pub fn send(
        &self,
        app: &Domain,
        lane: Lane,
        connection: Option<Uuid>,
        text: String,
    ) -> Result<usize> {
        if text.len() > LONGEST {
            return Err(Error::TooLarge {
                limit: LONGEST as u64,
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

    /// Sends over those that are held here.
    pub fn send_here(&self, lane: Lane, connection: Option<Uuid>, text: &str) -> usize {
        let mut open = self.lock();
        let Some(channel) = open.get_mut(&lane) else {
            return 0;
        };
        let mut sent = 0;
        for (id, handle) in channel.iter_mut() {
            if connection.map_or(!handle.hears, |wanted| wanted != *id) {
                continue;
            }
            // One that does not read holds ever more memory, until it has no more.
            let frame = Frame::paid(text.to_owned(), &handle.payer);
            match frame.map(|frame| handle.frames.try_send(frame)) {
                Some(Ok(())) => sent += 1,
                _ => handle.end(Close::Slow),
            }
        }
        sent
    }

    /// Takes in what was committed on this node.
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

    /// A number that is another one as soon as rights of channels may have changed on this node.
    pub fn rights(&self) -> u64 {
        self.rights.load(Acquire)
    }

    /// Changes whether scripts may send to a websocket without being asked.
    pub fn set_hears(&self, lane: Lane, id: Uuid, hears: bool) {
        if let Some(channel) = self.lock().get_mut(&lane)
            && let Some(handle) = channel.get_mut(&id)
        {
            handle.hears = hears;
        }
    }

    /// Something of a workspace was changed elsewhere.
    pub fn heard(&self, workspace: WorkspaceId) {
        self.logs.heard(workspace);
        if self.count() > 0 {
            let mut doubtful = self.doubtful.lock().unwrap_or_else(PoisonError::into_inner);
            doubtful.insert(workspace);
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

    /// Closes the websockets of a channel whose token is not among those that let in.
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
            // It may have ended by itself.
            let _ = close.send(why);
        }
    }
}

/// Closes the websockets of channels that are gone, and of tokens that are good for nothing any more, until
/// `stop`.
pub async fn run(app: Domain, stop: CancellationToken) -> anyhow::Result<()> {
    // Other nodes may delete a channel; the time of a token is over without anybody's doing.
    let often = match app.db.engine() {
        Engine::Postgres => LOOK,
        Engine::Sqlite => SELDOM,
    };
    let sockets = &app.channels.sockets;
    while !stop.is_cancelled() {
        let look = async {
            app.clock.sleep(often).await;
        };
        let doubtful = tokio::select! {
            () = sockets.changed.notified() => {
                let mut doubtful = sockets.doubtful.lock().unwrap_or_else(PoisonError::into_inner);
                Some(std::mem::take(&mut *doubtful))
            }
            () = look => None,
            () = stop.cancelled() => return Ok(()),
        };
        let now = app.clock.now();
        for (workspace, lanes) in sockets.lanes(doubtful.as_ref()) {
            let read = move |conn: &mut Conn| channel::valid_tokens(conn, workspace, now);
            let good: HashSet<(EntityId, String)> = match app.db.read(read).await {
                Ok(good) => good.into_iter().collect(),
                Err(error) => {
                    tracing::error!(
                        error = &error as &dyn std::error::Error,
                        "cannot look whose websockets are open"
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
