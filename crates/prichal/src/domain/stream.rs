//! Streams of a workspace: its log, and what happens in it, for the listeners of this node
//! (`docs/contracts/prichal.md §6.4`).
//!
//! Topics of the log are views of the log, which a listener follows by a position. The newest events are kept once for
//! all listeners; a listener that is further behind reads the store. So none is lost, and a slow listener costs no
//! memory. The other topics are told as they happen, from a bounded queue that all listeners of a workspace share. A
//! listener that falls behind such a queue is told how many messages it has missed. A node with listeners asks the
//! others for their messages, so nothing is sent between nodes that nobody follows.

mod listener;
mod newest;
pub mod pulse;
pub mod topic;

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicI64, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use prichal_core::{id::WorkspaceId, time::Timestamp};
use prichal_store::LoggedEvent;
use tokio::sync::{Semaphore, broadcast, watch};

pub use listener::Listener;
use newest::{Frame, Newest};
use pulse::Pulses;
use topic::{TOLD, Topic};

use crate::{
    domain::Domain,
    error::{Code, Error, Result},
    platform::bus::Told,
};

/// The maximum number of messages of a topic that wait for the slowest listener of a workspace.
const MAX_TOLD: usize = 128;
/// The maximum number of listeners that read the store at once.
const MAX_READS: usize = 8;
/// The interval at which a node asks the others for what happens in a workspace, and the time for which they then tell.
const ASK_INTERVAL: Duration = Duration::from_secs(5);
const ASKED_TIME: Duration = Duration::from_secs(15);

/// The streams of this node, by workspace.
pub struct Streams {
    spaces: Mutex<HashMap<WorkspaceId, Arc<Space>>>,
    /// The number of listeners. It is read at each commit and after each batch of deliveries, and mostly zero.
    count: AtomicUsize,
    reads: Semaphore,
    /// The workspaces that are followed on other nodes, each with the time at which that ends.
    elsewhere: Mutex<HashMap<WorkspaceId, Timestamp>>,
    elsewhere_count: AtomicUsize,
    /// The counters for consoles.
    pub pulses: Pulses,
}

/// A workspace with listeners.
struct Space {
    listeners: AtomicUsize,
    /// The time at which other nodes were last asked for messages, in microseconds since 1970.
    asked_at: AtomicI64,
    newest: Mutex<Newest>,
    /// Held by the listener that reads the events of other nodes for all.
    reading: tokio::sync::Mutex<()>,
    /// The messages of [`TOLD`], in its order.
    told: [broadcast::Sender<Bytes>; TOLD.len()],
    /// Wakes the listeners.
    changes: watch::Sender<()>,
}

impl Default for Streams {
    fn default() -> Self {
        Self {
            spaces: Mutex::default(),
            count: AtomicUsize::new(0),
            reads: Semaphore::new(MAX_READS),
            elsewhere: Mutex::default(),
            elsewhere_count: AtomicUsize::new(0),
            pulses: Pulses::default(),
        }
    }
}

/// The maximum numbers of listeners: of the server, and of a workspace.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    pub server: usize,
    pub workspace: usize,
}

impl Streams {
    /// Accepts events that this node committed, in the order of each log.
    pub fn committed(&self, events: &[LoggedEvent]) {
        self.pulses.committed(events);
        if self.count.load(Relaxed) == 0 {
            return;
        }
        let spaces = self.lock();
        for (n, event) in events.iter().enumerate() {
            let Some(space) = spaces.get(&event.workspace) else {
                continue;
            };
            space.newest().push(Frame::of(event));
            let next = events.get(n + 1);
            if next.is_none_or(|next| next.workspace != event.workspace) {
                space.changes.send_replace(());
            }
        }
    }

    /// Makes the listeners of a workspace read its log up to a number, after a commit on another node.
    pub fn wake(&self, workspace: WorkspaceId, last: i64) {
        self.pulses.wake(workspace, last);
        if self.count.load(Relaxed) == 0 {
            return;
        }
        if let Some(space) = self.lock().get(&workspace) {
            space.newest().note_commit_elsewhere();
            space.changes.send_replace(());
        }
    }

    /// True if somebody on this node listens to a topic of a workspace that is told as it happens.
    fn is_followed(&self, workspace: WorkspaceId, topic: Topic) -> bool {
        self.count.load(Relaxed) > 0
            && topic.told_index().is_some_and(|index| {
                let spaces = self.lock();
                let space = spaces.get(&workspace);
                space.is_some_and(|space| space.told[index].receiver_count() > 0)
            })
    }

    /// Sends a message to the listeners of a topic on this node.
    pub fn send(&self, workspace: WorkspaceId, topic: Topic, text: Bytes) {
        if let (Some(index), Some(space)) = (topic.told_index(), self.lock().get(&workspace)) {
            // The last listener may have left meanwhile.
            let _ = space.told[index].send(text);
            space.changes.send_replace(());
        }
    }

    /// Notes that a workspace is followed on another node.
    pub fn note_elsewhere(&self, workspace: WorkspaceId, now: Timestamp) {
        let mut elsewhere = self.elsewhere();
        elsewhere.retain(|_, until| *until > now);
        elsewhere.insert(workspace, now + ASKED_TIME);
        self.elsewhere_count.store(elsewhere.len(), Relaxed);
    }

    fn is_followed_elsewhere(&self, workspace: WorkspaceId, now: Timestamp) -> bool {
        if self.elsewhere_count.load(Relaxed) == 0 {
            return false;
        }
        let mut elsewhere = self.elsewhere();
        elsewhere.retain(|_, until| *until > now);
        self.elsewhere_count.store(elsewhere.len(), Relaxed);
        elsewhere.contains_key(&workspace)
    }

    fn elsewhere(&self) -> MutexGuard<'_, HashMap<WorkspaceId, Timestamp>> {
        self.elsewhere
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the place of a listener, as long as there is one.
    fn take_seat(self: &Arc<Self>, workspace: WorkspaceId, bounds: Bounds) -> Result<Seat> {
        let refused = |count: usize, of: &str, setting: &str| {
            let why = format!(
                "{of} has {count} streams, which is the limit (`{setting}`). Close one, or ask the administrator for more."
            );
            Err(Error::refused(Code::LimitReached, why))
        };
        let mut spaces = self.lock();
        if self.count.load(Relaxed) >= bounds.server {
            return refused(bounds.server, "The server", "stream-listeners");
        }
        let space = spaces.entry(workspace).or_default();
        if space.listeners.load(Relaxed) >= bounds.workspace {
            let setting = "stream-listeners-per-workspace";
            let refusal = refused(bounds.workspace, "The workspace", setting);
            if space.listeners.load(Relaxed) == 0 {
                spaces.remove(&workspace);
            }
            return refusal;
        }
        space.listeners.fetch_add(1, Relaxed);
        self.count.fetch_add(1, Relaxed);
        Ok(Seat {
            streams: self.clone(),
            workspace,
            space: space.clone(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<WorkspaceId, Arc<Space>>> {
        self.spaces.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// True if somebody listens to a topic of a workspace that is told as it happens, on any node.
pub fn is_followed(app: &Domain, workspace: WorkspaceId, topic: Topic) -> bool {
    let streams = &app.streams;
    streams.pulses.has(workspace)
        || streams.is_followed(workspace, topic)
        || streams.is_followed_elsewhere(workspace, app.clock.now())
}

/// Tells the listeners of a topic, on all nodes. The text is made only if there are any.
pub fn tell(app: &Domain, workspace: WorkspaceId, topic: Topic, data: impl FnOnce() -> String) {
    let streams = &app.streams;
    streams.pulses.count(workspace, topic);
    let is_here = streams.is_followed(workspace, topic);
    let is_elsewhere = streams.is_followed_elsewhere(workspace, app.clock.now());
    if !is_here && !is_elsewhere {
        return;
    }
    let text = format!("event: {}\ndata: {}\n\n", topic.message(), data());
    let text = Bytes::from(text);
    if is_elsewhere {
        app.bus.tell_listeners(Told {
            workspace,
            topic: topic as u8,
            text: text.clone(),
        });
    }
    streams.send(workspace, topic, text);
}

impl Default for Space {
    fn default() -> Self {
        Self {
            listeners: AtomicUsize::new(0),
            asked_at: AtomicI64::new(i64::MIN / 2),
            newest: Mutex::default(),
            reading: tokio::sync::Mutex::default(),
            told: TOLD.map(|_| broadcast::Sender::new(MAX_TOLD)),
            changes: watch::Sender::new(()),
        }
    }
}

impl Space {
    fn newest(&self) -> MutexGuard<'_, Newest> {
        self.newest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The place of a listener, given back on drop.
struct Seat {
    streams: Arc<Streams>,
    workspace: WorkspaceId,
    space: Arc<Space>,
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut spaces = self.streams.lock();
        self.streams.count.fetch_sub(1, Relaxed);
        if self.space.listeners.fetch_sub(1, Relaxed) == 1 {
            spaces.remove(&self.workspace);
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn seats_are_bounded_and_given_back() {
        let streams = Arc::new(Streams::default());
        let [one, other] = [1, 2].map(|n| WorkspaceId(Uuid::from_u128(n)));
        let bounds = Bounds {
            server: 3,
            workspace: 2,
        };
        let take = |workspace| streams.take_seat(workspace, bounds);
        let first = take(one).expect("a seat");
        let second = take(one).expect("a seat");
        assert!(take(one).is_err(), "the workspace is full");
        let third = take(other).expect("a seat");
        assert!(take(other).is_err(), "the server is full");
        drop((first, third));
        assert_eq!(streams.lock().len(), 1);
        let again = take(one).expect("a seat");
        drop((second, again));
        assert_eq!(streams.lock().len(), 0);
        assert_eq!(streams.count.load(Relaxed), 0);
        let none = Bounds {
            workspace: 0,
            ..bounds
        };
        assert!(streams.take_seat(one, none).is_err());
        assert_eq!(streams.lock().len(), 0);
    }
}
