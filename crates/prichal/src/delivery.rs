//! Dispatch: the events of each log to the webhooks that want them.
//!
//! The log is the queue. A webhook that works is a cursor moving forward; no row is written for an
//! event before its call, and only a failed call becomes a row of its own, in the deferred queue.
//!
//! * [`State`] holds what this node has leases on: for each log how far it has been looked at, its
//!   newest events in memory, and its webhooks, found by the kind of entity they ask for. A commit
//!   feeds it ([`Dispatch::committed`]); a webhook that wants nothing of what passes costs nothing.
//! * A [`target`] is a kind of receiver: integrations' webhooks, companies' document hooks.
//! * A [`runner`] makes the calls of one webhook. It exists only while there is something to do.
//!   Everything that can fill up is its own: a slow receiver holds up nobody else.
//! * The [`supervisor`] claims leases, starts runners, fetches what the node has not seen being
//!   committed, and watches the clock for deferred events and schedules.
//!
//! A webhook is *idle* when every event up to the log's `known` number is either settled or not for
//! it. Feeding an event that it wants ends that; the runner goes on from there.

pub mod attempt;
pub mod commit;
mod cursor;
mod log;
mod runner;
pub mod schedule;
mod supervisor;
mod tails;
pub mod target;
pub mod walk;

use std::{
    collections::{HashMap, HashSet},
    ops::Deref,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
};

use prichal_core::{
    event::EntityKind,
    id::{IntegrationId, WorkspaceId},
    integration::Webhook as Definition,
    time::Timestamp,
};
use prichal_store::{
    LoggedEvent, document_hook,
    webhook::{Key, Lease, Webhook},
};
use tokio::sync::Notify;

use crate::domain::Domain;
use crate::platform::bus::{Bus, News};
use log::Log;
pub use supervisor::run;
use tails::Tails;

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
    /// Until when this node may believe in its leases, in microseconds since 1970.
    held_until: AtomicI64,
}

#[derive(Default)]
struct State {
    logs: HashMap<WorkspaceId, Log>,
    /// Their events in memory.
    tails: Tails,
    /// Instances whose webhooks have to be looked at again.
    changed: HashSet<(WorkspaceId, IntegrationId)>,
    /// Logs with events that this node did not see being committed, and the last one heard of.
    behind: HashMap<WorkspaceId, i64>,
    /// Webhooks that need a runner.
    starting: Vec<Arc<Hook>>,
    /// When the next deferred event is due, as far as this node knows.
    due: Option<Timestamp>,
}

/// A webhook that this node has the lease of.
pub struct Hook {
    pub lease: Lease,
    definition: Mutex<Arc<Definition>>,
    /// Who is called has to be looked up again.
    stale: AtomicBool,
    /// There may be deferred events that are due, or a stretch to replay.
    aside: AtomicBool,
    /// Wakes its runner.
    notify: Notify,
}

impl Hook {
    fn new(lease: Lease, definition: Definition) -> Self {
        Self {
            lease,
            definition: Mutex::new(Arc::new(definition)),
            stale: AtomicBool::new(true),
            aside: AtomicBool::new(true),
            notify: Notify::new(),
        }
    }

    fn key(&self) -> Key {
        self.lease.key
    }

    /// Whether the receiver has to be looked up again, said once.
    fn take_stale(&self) -> bool {
        self.stale.swap(false, Ordering::AcqRel)
    }

    /// Whether the deferred queue and the replays have to be looked at, said once.
    fn take_aside(&self) -> bool {
        self.aside.swap(false, Ordering::AcqRel)
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
            held_until: AtomicI64::new(i64::MAX),
        }
    }

    /// Takes in what this node has just committed. Called by the store's writers, in the order of each
    /// log, so it must not wait for anything.
    pub fn committed(&self, events: Vec<LoggedEvent>) {
        let mut news: Vec<News> = Vec::new();
        let (mut wake, mut ticks) = (false, false);
        {
            let mut state = self.lock();
            for event in events {
                let said = News {
                    workspace: event.workspace,
                    last: event.seq,
                };
                match news.last_mut() {
                    Some(same) if same.workspace == said.workspace => *same = said,
                    _ => news.push(said),
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

    /// Takes in what another node says it has committed.
    pub fn heard(&self, news: News) {
        if self.lock().is_behind(news) {
            self.wake.notify_one();
        }
    }

    /// Has the webhooks of a workspace looked at again: it was deleted.
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

    /// Has the document hook of a workspace looked at again: it is new, paused, going on or gone. Other
    /// nodes need not be told. Whichever has its lease asks the store before each call, and claims what
    /// is nobody's at the next look.
    pub fn document_hook_changed(&self, workspace: WorkspaceId) {
        let changed = (workspace, document_hook::INTEGRATION);
        self.lock().changed.insert(changed);
        self.wake.notify_one();
    }

    /// Has the clock of schedules read again.
    pub fn ticks_changed(&self) {
        self.ticks.notify_one();
    }

    /// Wakes the runner of a webhook, or has one started: it has something to do beside its main line.
    pub fn nudge(&self, key: Key) {
        self.lock().nudge(key);
        self.wake.notify_one();
    }

    /// Has the deferred queues looked at: an event there may be due.
    pub fn look_aside(&self) {
        self.lock().due = Some(Timestamp::default());
        self.wake.notify_one();
    }

    /// How many webhooks of this node are idle, and how many events each of the others has yet to look
    /// at.
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

    /// Says that an event was deferred until `at`.
    fn deferred(&self, at: Timestamp) {
        let mut state = self.lock();
        if state.due.is_none_or(|due| at < due) {
            state.due = Some(at);
            self.wake.notify_one();
        }
    }

    /// Whether this node's leases are good at `now`.
    fn holds(&self, now: Timestamp) -> bool {
        now.micros() < self.held_until.load(Ordering::Acquire)
    }

    /// Prolongs this node's leases.
    fn hold_until(&self, until: Timestamp, now: Timestamp) {
        let before = self.held_until.swap(until.micros(), Ordering::AcqRel);
        if before <= now.micros() {
            // They have waited for this.
            self.lock().logs.values().for_each(Log::wake_runners);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The instances that an event is about: definitions and statuses of webhooks change with them.
fn instances(event: &LoggedEvent) -> impl Iterator<Item = IntegrationId> {
    let instances = event
        .entities()
        .iter()
        .filter(|(kind, _)| *kind == EntityKind::Integration);
    instances.map(|(_, id)| IntegrationId(*id))
}

impl State {
    /// Passes a committed event on. True when the supervisor has to do something about it.
    fn feed(&mut self, event: Arc<LoggedEvent>) -> bool {
        let (workspace, seq) = (event.workspace, event.seq);
        let before = self.changed.len();
        self.changed
            .extend(instances(&event).map(|integration| (workspace, integration)));
        let changed = self.changed.len() > before;
        let Some(log) = self.logs.get_mut(&workspace) else {
            return changed;
        };
        let fed = log.feed(event, &mut self.starting);
        let over = self.tails.used(workspace, log.tail_bytes());
        self.forget_tails(over);
        if fed {
            return changed || !self.starting.is_empty();
        }
        self.is_behind(News {
            workspace,
            last: seq,
        }) || changed
    }

    /// Takes the newest events of logs out of memory.
    fn forget_tails(&mut self, logs: Vec<WorkspaceId>) {
        for workspace in logs {
            if let Some(log) = self.logs.get_mut(&workspace) {
                log.forget_tail();
            }
        }
    }

    /// Takes those out of memory that were not used since the last time.
    fn forget_idle(&mut self) {
        let idle = self.tails.idle();
        self.forget_tails(idle);
    }

    /// Whether news is of events that this node has not seen, of a log that it looks at.
    fn is_behind(&mut self, news: News) -> bool {
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

    /// Brings the next look at what is due forward.
    fn due_by(&mut self, at: Option<Timestamp>) {
        self.due = self.due.into_iter().chain(at).min();
    }

    fn nudge(&mut self, key: Key) {
        if let Some(log) = self.logs.get_mut(&key.workspace) {
            log.nudge(key, &mut self.starting);
        }
    }

    /// Adds webhooks that have been claimed to their log, whose last event is number `last`.
    fn attach(&mut self, workspace: WorkspaceId, last: i64, rows: Vec<Webhook>) {
        let log = self.logs.entry(workspace).or_default();
        log.open(last, rows.iter().map(|row| row.cursor));
        for row in rows {
            if let (Some(lease), Some(definition)) = (lease_of(&row), definition_of(&row)) {
                log.attach(Hook::new(lease, definition), row.cursor, &mut self.starting);
            }
        }
        log.index();
        self.is_behind(News { workspace, last });
        // Something of theirs may be due.
        self.due = Some(Timestamp::default());
    }

    /// Forgets a webhook that is no longer this node's.
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

    /// Forgets a log that nobody reads here.
    fn prune(&mut self, workspace: WorkspaceId) {
        if self.logs.get(&workspace).is_some_and(Log::is_empty) {
            self.logs.remove(&workspace);
            self.tails.forget(workspace);
        }
    }

    /// The idle webhooks whose cursors in the store are more than `from` events back.
    fn lagging(&self, from: i64) -> Vec<(Lease, i64)> {
        self.logs
            .values()
            .flat_map(|log| log.lagging(from))
            .collect()
    }

    /// These cursors have been written.
    fn saved(&mut self, cursors: &[(Lease, i64)]) {
        for (lease, cursor) in cursors {
            if let Some(log) = self.logs.get_mut(&lease.key.workspace) {
                log.saved(lease, *cursor);
            }
        }
    }
}

/// The lease that a claimed row stands for.
fn lease_of(row: &Webhook) -> Option<Lease> {
    Some(Lease {
        key: row.key,
        owner: row.owner?,
        fence: row.fence,
    })
}

/// What the row says the webhook is. A row that cannot be read is nothing that could be called.
fn definition_of(row: &Webhook) -> Option<Definition> {
    let definition = serde_json::from_str(&row.definition)
        .ok()
        .and_then(|json| Definition::from_json(&json));
    if definition.is_none() {
        tracing::error!(webhook.id = %row.key.id, workspace = %row.key.workspace, "the definition of a webhook is damaged");
    }
    definition
}
