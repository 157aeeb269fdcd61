//! Dispatch: the events of each log to the webhooks that want them.
//!
//! The log is the queue. A webhook that works is a cursor moving forward; no row is written for an
//! event before its call, and only a failed call becomes a row of its own, in the deferred queue.
//!
//! * [`State`] holds what this node has leases on: for each log how far it has been looked at, its
//!   newest events in memory, and its webhooks, found by the kind of entity they ask for. A commit
//!   feeds it ([`Dispatch::committed`]); a webhook that wants nothing of what passes costs nothing.
//! * A [`runner`] makes the calls of one webhook. It exists only while there is something to do.
//!   Everything that can fill up is its own: a slow receiver holds up nobody else.
//! * The [`supervisor`] claims leases, starts runners, fetches what the node has not seen being
//!   committed, and watches the clock for deferred events and schedules.
//!
//! A webhook is *idle* when every event up to the log's `known` number is either settled or not for
//! it. Feeding an event that it wants ends that; the runner goes on from there.

pub mod call;
mod line;
mod log;
mod runner;
mod settle;
mod supervisor;
pub mod ticks;

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use prichal_core::{
    event::EntityKind, id::WorkspaceId, integration::Webhook as Definition, time::Timestamp,
};
use prichal_store::{
    LoggedEvent,
    webhook::{Key, Lease, Webhook},
};
use tokio::sync::Notify;

use crate::bus::{Bus, News};
use log::Log;
pub use supervisor::run;

pub struct Dispatch {
    bus: Bus,
    state: Mutex<State>,
    /// Wakes the supervisor.
    wake: Notify,
}

#[derive(Default)]
struct State {
    logs: HashMap<WorkspaceId, Log>,
    /// Workspaces whose webhooks have to be looked at again.
    changed: HashSet<WorkspaceId>,
    /// Logs with events that this node did not see being committed, and the last one heard of.
    behind: HashMap<WorkspaceId, i64>,
    /// Webhooks that need a runner.
    starting: Vec<Arc<Hook>>,
    /// When the next deferred event is due, as far as this node knows.
    due: Option<Timestamp>,
    /// The clock of schedules has to be read again.
    ticks_changed: bool,
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

    fn take_stale(&self) -> bool {
        self.stale.swap(false, Ordering::AcqRel)
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
        }
    }

    /// Takes in what this node has just committed. Called by the store's writers, in the order of each
    /// log, so it must not wait for anything.
    pub fn committed(&self, events: Vec<LoggedEvent>) {
        let mut news: Vec<News> = Vec::new();
        let mut wake = false;
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
                wake |= state.feed(Arc::new(event));
            }
        }
        if wake {
            self.wake.notify_one();
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

    /// Has the webhooks of a workspace looked at again.
    pub fn hooks_changed(&self, workspace: WorkspaceId) {
        self.lock().changed.insert(workspace);
        self.wake.notify_one();
    }

    /// Has the clock of schedules read again.
    pub fn ticks_changed(&self) {
        self.lock().ticks_changed = true;
        self.wake.notify_one();
    }

    /// Says that an event was deferred until `at`.
    fn deferred(&self, at: Timestamp) {
        let mut state = self.lock();
        if state.due.is_none_or(|due| at < due) {
            state.due = Some(at);
            self.wake.notify_one();
        }
    }

    /// Wakes the runner of a webhook, or has one started: it has something to do beside its main line.
    pub fn nudge(&self, key: Key) {
        if self.lock().nudge(key) {
            self.wake.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Passes a committed event on. True when the supervisor has to do something about it.
    fn feed(&mut self, event: Arc<LoggedEvent>) -> bool {
        let workspace = event.workspace;
        let mut wake = false;
        if event
            .entities()
            .iter()
            .any(|(kind, _)| *kind == EntityKind::Integration)
        {
            // Definitions and statuses of webhooks change with their instance.
            self.changed.insert(workspace);
            self.ticks_changed = true;
            wake = true;
        }
        let Some(log) = self.logs.get_mut(&workspace) else {
            return wake;
        };
        let seq = event.seq;
        if log.feed(event, &mut self.starting) {
            return wake || !self.starting.is_empty();
        }
        self.is_behind(News {
            workspace,
            last: seq,
        }) || wake
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

    fn nudge(&mut self, key: Key) -> bool {
        let Some(log) = self.logs.get_mut(&key.workspace) else {
            return false;
        };
        log.nudge(key, &mut self.starting);
        !self.starting.is_empty()
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
