//! Delivery of the events of each log to the webhooks that want them.
//!
//! The log is the queue, and a webhook is a cursor in it. No row is written for an event before its call;
//! only a failed or slow call adds a row, among the deferred events.
//!
//! * [`State`] holds the logs and webhooks this node has leases on: for each log the position up to which it
//!   was read, its newest events, and its webhooks, indexed by the kind of entity they ask for. Each commit
//!   feeds it ([`Dispatch::committed`]). An event costs nothing for a webhook that does not want it.
//! * A [`target`] is a kind of receiver: integrations' webhooks, companies' document hooks.
//! * A [`runner`] makes the calls of one webhook, and exists only while there is work. It shares no queue with
//!   other runners, so a slow receiver delays no other.
//! * The [`supervisor`] claims leases, starts runners, fetches events that other nodes committed, and wakes
//!   runners for deferred events that are due.
//! * The [`schedule`] calls webhooks that are called once per period.
//!
//! A webhook is *idle* if every event up to the log's `known` number is complete or not wanted. The next event
//! that it wants ends that, and its runner starts there.

pub mod attempt;
pub mod commit;
mod cursor;
pub mod job;
mod limits;
mod log;
mod order;
mod pace;
mod runner;
pub mod schedule;
pub mod state;
mod supervisor;
mod tails;
pub mod target;
pub mod watch;

use std::{
    collections::HashSet,
    ops::Deref,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    time::Duration,
};

use foldhash::HashMap;
use prichal_core::{
    event::EntityKind,
    id::{IntegrationId, WorkspaceId},
    integration::Webhook as Definition,
    time::Timestamp,
};
use prichal_store::{
    LoggedEvent, Tx,
    webhook::{self, Key, Lease, Webhook},
};
use tokio::sync::Notify;

use crate::domain::Domain;
use crate::error::{Error, Result};
use crate::platform::bus::{Bus, News};
use log::Log;
use state::Unsaved;
pub use supervisor::run;
use tails::Tails;

/// The wait after a failure of the store.
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// The domain, and the deliveries of its events. Cheap to clone.
#[derive(Clone)]
pub struct Delivery {
    pub domain: Domain,
    pub dispatch: Arc<Dispatch>,
}

impl Deref for Delivery {
    type Target = Domain;

    fn deref(&self) -> &Domain {
        &self.domain
    }
}

pub struct Dispatch {
    bus: Bus,
    state: Mutex<State>,
    /// Wakes the supervisor.
    wake: Notify,
    /// Wakes the clock of schedules.
    ticks: Notify,
    /// Wakes those who wait for [`Self::reloaded`].
    reloads: Notify,
    /// The time until which this node's leases are valid, in microseconds since 1970.
    held_until: AtomicI64,
}

#[derive(Default)]
struct State {
    logs: HashMap<WorkspaceId, Log>,
    /// The memory of their newest events.
    tails: Tails,
    /// Instances whose webhooks have to be reloaded.
    changed: HashSet<(WorkspaceId, IntegrationId)>,
    /// Instances whose webhooks are being reloaded.
    reloading: HashSet<(WorkspaceId, IntegrationId)>,
    /// Logs with events that another node committed, and the last event announced.
    behind: HashMap<WorkspaceId, i64>,
    /// Webhooks that need a runner.
    starting: Vec<Arc<Hook>>,
    /// The time at which the next deferred event may be due.
    due: Option<Timestamp>,
}

/// A webhook under this node's lease.
pub struct Hook {
    pub lease: Lease,
    definition: Mutex<Arc<Definition>>,
    /// True if the receiver has to be resolved again.
    stale: AtomicBool,
    /// True if the side queue has to be read: a deferred event may be due, or there may be a replay.
    side_queue: AtomicBool,
    /// Wakes its runner.
    notify: Notify,
    unsaved: Unsaved,
}

impl Hook {
    fn new(lease: Lease, definition: Definition) -> Self {
        Self {
            lease,
            definition: Mutex::new(Arc::new(definition)),
            stale: AtomicBool::new(true),
            side_queue: AtomicBool::new(true),
            notify: Notify::new(),
            unsaved: Unsaved::default(),
        }
    }

    fn key(&self) -> Key {
        self.lease.key
    }

    /// True if the receiver has to be resolved again before further calls.
    fn is_stale(&self) -> bool {
        self.stale.load(Ordering::Acquire)
    }

    /// Returns once whether the receiver has to be resolved again.
    fn take_stale(&self) -> bool {
        self.stale.swap(false, Ordering::AcqRel)
    }

    /// Returns once whether the side queue has to be read.
    fn take_side_queue(&self) -> bool {
        self.side_queue.swap(false, Ordering::AcqRel)
    }

    fn redefine(&self, definition: Arc<Definition>) {
        *self
            .definition
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = definition;
        self.stale.store(true, Ordering::Release);
        self.notify.notify_one();
    }

    fn definition(&self) -> Arc<Definition> {
        self.definition
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl Dispatch {
    pub fn new(bus: Bus) -> Self {
        Self {
            bus,
            state: Mutex::default(),
            wake: Notify::new(),
            ticks: Notify::new(),
            reloads: Notify::new(),
            held_until: AtomicI64::new(i64::MAX),
        }
    }

    /// Accepts events that this node committed. The store's writers call it in the order of each log, so it
    /// never waits.
    pub fn committed(&self, events: Vec<LoggedEvent>) {
        let mut news: Vec<News> = Vec::new();
        let (mut wake, mut ticks) = (false, false);
        {
            let mut state = self.lock();
            for event in events {
                let moved = News {
                    workspace: event.workspace,
                    last: event.seq,
                };
                match news.last_mut() {
                    Some(same) if same.workspace == moved.workspace => *same = moved,
                    _ => news.push(moved),
                }
                ticks |= instances(&event).next().is_some();
                wake |= state.feed(Arc::new(event));
            }
        }
        if wake {
            self.wake.notify_one();
        }
        if ticks {
            self.ticks.notify_one();
        }
        for news in news {
            self.bus.tell(news);
        }
    }

    /// Reacts to the news that another node has committed events.
    pub fn on_news(&self, news: News) {
        if self.lock().note_news(news) {
            self.wake.notify_one();
        }
    }

    /// Reloads a workspace's webhooks, after the workspace was deleted.
    pub fn hooks_changed(&self, workspace: WorkspaceId) {
        let mut state = self.lock();
        let changed: Vec<_> = state
            .logs
            .get(&workspace)
            .into_iter()
            .flat_map(Log::integrations)
            .collect();
        state.changed.extend(
            changed
                .into_iter()
                .map(|integration| (workspace, integration)),
        );
        self.wake.notify_one();
    }

    /// Reloads hooks that were added, paused, resumed or deleted without an event of an instance. Other nodes are
    /// not told: they find a lost lease at their next write, and a hook without an owner at their next poll.
    pub fn hook_changed(&self, workspace: WorkspaceId, integration: IntegrationId) {
        self.lock().changed.insert((workspace, integration));
        self.wake.notify_one();
    }

    /// Waits until this node has reloaded the webhooks of an instance that was changed, so that their next calls are made
    /// as their definitions say.
    pub async fn reloaded(&self, workspace: WorkspaceId, integration: IntegrationId) {
        let key = (workspace, integration);
        loop {
            let mut reloads = std::pin::pin!(self.reloads.notified());
            reloads.as_mut().enable();
            {
                let state = self.lock();
                if !state.changed.contains(&key) && !state.reloading.contains(&key) {
                    return;
                }
            }
            reloads.await;
        }
    }

    /// Takes the instances whose webhooks have to be reloaded.
    fn begin_reload(&self) -> Vec<(WorkspaceId, IntegrationId)> {
        let mut state = self.lock();
        state.reloading = std::mem::take(&mut state.changed);
        state.reloading.iter().copied().collect()
    }

    /// Ends a reload. `left` are the instances whose webhooks could not be reloaded.
    fn end_reload(&self, left: impl IntoIterator<Item = (WorkspaceId, IntegrationId)>) {
        let mut state = self.lock();
        if state.reloading.is_empty() {
            return;
        }
        state.reloading = HashSet::new();
        state.changed.extend(left);
        drop(state);
        self.reloads.notify_waiters();
    }

    /// Makes the clock of schedules look up the next tick.
    pub fn ticks_changed(&self) {
        self.ticks.notify_one();
    }

    /// Wakes or starts the runner of a webhook that has work in its side queue, here or on another node.
    pub fn wake_side_queue(&self, key: Key) {
        self.lock().wake_side_queue(key);
        self.wake.notify_one();
        self.bus.tell_queues();
    }

    /// Wakes the supervisors of all nodes for deferred events that may be due, and for replays.
    pub fn check_side_queues(&self) {
        self.on_queues();
        self.bus.tell_queues();
    }

    /// Reacts to the request of another node to look for deferred events that may be due, and for replays.
    pub fn on_queues(&self) {
        self.lock().due = Some(Timestamp::default());
        self.wake.notify_one();
    }

    /// The number of this node's idle webhooks, and for each of the others the number of events it has yet to
    /// read.
    pub fn lags(&self) -> (usize, Vec<i64>) {
        let state = self.lock();
        state.logs.values().map(Log::lags).fold(
            (0, Vec::new()),
            |(idle, mut lags), (more, further)| {
                lags.extend(further);
                (idle + more, lags)
            },
        )
    }

    /// Notes that an event was deferred until `at`.
    fn deferred(&self, at: Timestamp) {
        let mut state = self.lock();
        if state.due.is_none_or(|due| at < due) {
            state.due = Some(at);
            self.wake.notify_one();
        }
    }

    /// True if this node's leases are valid at `now`.
    fn holds(&self, now: Timestamp) -> bool {
        now.micros() < self.held_until.load(Ordering::Acquire)
    }

    /// Extends this node's leases.
    fn hold_until(&self, until: Timestamp, now: Timestamp) {
        let before = self.held_until.swap(until.micros(), Ordering::AcqRel);
        if before <= now.micros() {
            // The runners stopped when the leases ran out.
            self.lock().logs.values().for_each(Log::wake_runners);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The instances that an event is about. Their webhooks may have changed with them.
fn instances(event: &LoggedEvent) -> impl Iterator<Item = IntegrationId> {
    let instances = event
        .entities()
        .iter()
        .filter(|(kind, _)| *kind == EntityKind::Integration);
    instances.map(|(_, id)| IntegrationId(*id))
}

impl State {
    /// Passes on a committed event. Returns true if there is work for the supervisor.
    fn feed(&mut self, event: Arc<LoggedEvent>) -> bool {
        let (workspace, seq) = (event.workspace, event.seq);
        // An instance that waits for its reload already may have been noted without a wake-up.
        let changed = instances(&event).next().is_some();
        self.changed
            .extend(instances(&event).map(|integration| (workspace, integration)));
        let Some(log) = self.logs.get_mut(&workspace) else {
            return changed;
        };
        let fed = log.feed(event, &mut self.starting);
        let over = self.tails.touch(workspace, log.tail_bytes());
        self.forget_tails(over);
        if fed {
            return changed || !self.starting.is_empty();
        }
        self.note_news(News {
            workspace,
            last: seq,
        }) || changed
    }

    /// Drops the newest events of logs from memory.
    fn forget_tails(&mut self, logs: Vec<WorkspaceId>) {
        for workspace in logs {
            if let Some(log) = self.logs.get_mut(&workspace) {
                log.forget_tail();
            }
        }
    }

    /// Drops the newest events of logs that were not used since the last call.
    fn forget_idle(&mut self) {
        let idle = self.tails.take_idle();
        self.forget_tails(idle);
    }

    /// Notes that a log has events that this node has not read. Returns false if this node does not read the log, or
    /// has read the events already.
    fn note_news(&mut self, news: News) -> bool {
        if self
            .logs
            .get(&news.workspace)
            .is_none_or(|log| log.knows(news.last))
        {
            return false;
        }
        let target = self.behind.entry(news.workspace).or_default();
        *target = (*target).max(news.last);
        true
    }

    /// Looks for due events at `at`, if that is earlier than planned.
    fn due_by(&mut self, at: Option<Timestamp>) {
        self.due = self.due.into_iter().chain(at).min();
    }

    fn wake_side_queue(&mut self, key: Key) {
        if let Some(log) = self.logs.get_mut(&key.workspace) {
            log.wake_side_queue(key, &mut self.starting);
        }
    }

    /// Adds claimed webhooks to their log, which begins after `removed` and whose last event has the number `last`.
    fn attach(&mut self, workspace: WorkspaceId, (removed, last): (i64, i64), rows: Vec<Webhook>) {
        let log = self.logs.entry(workspace).or_default();
        log.open((removed, last), rows.iter().map(|row| row.cursor));
        for row in rows {
            if let (Some(lease), Some(definition)) = (lease_of(&row), definition_of(&row)) {
                log.attach(Hook::new(lease, definition), row.cursor, &mut self.starting);
            }
        }
        log.index();
        self.note_news(News { workspace, last });
        // Their deferred events may be due.
        self.due = Some(Timestamp::default());
    }

    /// Forgets a webhook whose lease this node has lost or given up.
    fn drop_hook(&mut self, lease: &Lease) {
        if let Some(log) = self.logs.get_mut(&lease.key.workspace)
            && log.fence(lease.key) == Some(lease.fence)
        {
            log.retain(|key| key != lease.key);
            log.index();
            self.prune(lease.key.workspace);
        }
    }

    /// Forgets every webhook.
    fn drop_all(&mut self) {
        for log in self.logs.values_mut() {
            log.retain(|_| false);
        }
        self.logs.clear();
        self.tails = Tails::default();
        self.starting.clear();
    }

    /// Forgets a log without webhooks.
    fn prune(&mut self, workspace: WorkspaceId) {
        if self.logs.get(&workspace).is_some_and(Log::is_empty) {
            self.logs.remove(&workspace);
            self.tails.forget(workspace);
        }
    }

    /// The idle webhooks whose cursors in the store are more than `from` events behind.
    fn lagging(&self, from: i64) -> Vec<(Lease, i64)> {
        self.logs
            .values()
            .flat_map(|log| log.lagging(from))
            .collect()
    }

    /// Notes that cursors were written.
    fn saved(&mut self, cursors: &[(Lease, i64)]) {
        for (lease, cursor) in cursors {
            if let Some(log) = self.logs.get_mut(&lease.key.workspace) {
                log.saved(lease, *cursor);
            }
        }
    }
}

/// The maximum number of cursors that are written in one transaction.
const MAX_FLUSHED_CURSORS: usize = 500;

impl Delivery {
    /// Writes the cursors of a workspace's idle webhooks on this node, so that they do not hold events that they have
    /// passed.
    pub async fn flush(&self, workspace: WorkspaceId) -> Result<()> {
        let idle: Vec<_> = {
            let state = self.dispatch.lock();
            let log = state.logs.get(&workspace).into_iter();
            log.flat_map(|log| log.lagging(0)).collect()
        };
        for chunk in idle.chunks(MAX_FLUSHED_CURSORS) {
            let cursors = chunk.to_vec();
            let write = move |tx: &mut Tx<'_>| {
                for (lease, cursor) in &cursors {
                    // A runner may have begun meanwhile.
                    webhook::raise_cursor(tx, lease, *cursor)?;
                }
                Ok::<_, Error>(())
            };
            self.db.write(workspace, write).await?;
            self.dispatch.lock().saved(chunk);
        }
        Ok(())
    }
}

/// The lease in a claimed row.
fn lease_of(row: &Webhook) -> Option<Lease> {
    Some(Lease {
        key: row.key,
        owner: row.owner?,
        fence: row.fence,
    })
}

/// The definition in a row. `None`, and an error in the log, if it is damaged.
fn definition_of(row: &Webhook) -> Option<Definition> {
    let definition = serde_json::from_str(&row.definition)
        .ok()
        .and_then(|json| Definition::from_kept(&json));
    if definition.is_none() {
        let Key { workspace, id, .. } = row.key;
        tracing::error!(%workspace, webhook.id = %id, "webhook {id} is not called: its definition is damaged");
    }
    definition
}

#[cfg(test)]
mod tests {
    use prichal_core::{
        event::{ChangeType, Entities, EventHead, EventType},
        id::EventId,
    };
    use uuid::Uuid;

    use super::*;

    #[test]
    fn each_change_of_an_instance_is_work_for_the_supervisor() {
        let id = Uuid::from_u128(1);
        let mut state = State::default();
        for seq in 1..=2 {
            let event = LoggedEvent {
                workspace: WorkspaceId(id),
                seq,
                id: EventId(id),
                head: EventHead::new(
                    EventType::Change(ChangeType::Patch),
                    Entities::one((EntityKind::Integration, id)),
                ),
                body: String::new(),
            };
            assert!(state.feed(Arc::new(event)), "{seq}");
        }
        assert_eq!(state.changed.len(), 1);
    }
}
