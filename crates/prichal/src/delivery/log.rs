//! One log on this node: the position up to which it was read, its newest events, and its webhooks.

use std::{
    collections::VecDeque,
    sync::{Arc, atomic::Ordering},
};

use foldhash::HashMap;
use prichal_core::{event::EntityKind, id::IntegrationId, integration::Trigger};
use prichal_store::{
    LoggedEvent,
    webhook::{Key, Lease},
};

use super::{Definition, Hook};

/// The bounds on the newest events of a log that are kept in memory: their number and their bytes.
const MAX_TAIL_EVENTS: usize = 2048;
const MAX_TAIL_BYTES: usize = 4 << 20;
/// The memory of an event in addition to its body, in bytes.
const EVENT_OVERHEAD: usize = 256;
/// The maximum number of events that are matched for a runner in one go, under the lock.
const MAX_SCANNED_EVENTS: usize = 256;
/// The maximum number of events before its end at which a log is opened, for webhooks that are behind. A webhook that
/// is further behind reads from the store by itself.
const MAX_READ_BACK: i64 = 20_000;

#[derive(Default)]
pub(super) struct Log {
    /// The number up to which every event was offered to the webhooks. `None` until the log is opened.
    known: Option<i64>,
    tail: VecDeque<Arc<LoggedEvent>>,
    tail_bytes: usize,
    entries: HashMap<Key, Entry>,
    /// The webhooks by the kinds of entity they ask for, at the kind's index.
    by_kind: Vec<Vec<Key>>,
}

struct Entry {
    hook: Arc<Hook>,
    definition: Arc<Definition>,
    idle: bool,
    /// The number up to which every event is complete, in flight or not wanted, when the webhook was last
    /// idle. Its runner starts here.
    position: i64,
    /// The number up to which its runner has read.
    seen: i64,
    /// The cursor in the store, as last written by this node.
    saved: i64,
    /// True while a runner exists or is about to start.
    has_worker: bool,
}

/// The answer to a runner that asks for events.
pub(super) enum Next {
    /// The events up to `position` that the webhook wants.
    Events {
        events: Vec<Arc<LoggedEvent>>,
        position: i64,
    },
    /// The events after the position are no longer in memory.
    InStore {
        position: i64,
    },
    /// The webhook wants no event up to `position`, the end of the log. Its runner waits for a wake-up.
    CaughtUp {
        position: i64,
    },
    LeaseLost,
}

impl Log {
    pub(super) fn knows(&self, seq: i64) -> bool {
        self.known.is_some_and(|known| seq <= known)
    }

    pub(super) fn known(&self) -> Option<i64> {
        self.known
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The idle webhooks whose cursor in the store is more than `from` events behind, each with the position
    /// its cursor may move to.
    pub(super) fn lagging(&self, from: i64) -> impl Iterator<Item = (Lease, i64)> {
        let known = self.known.unwrap_or(0);
        let idle = self
            .entries
            .values()
            .filter(|entry| entry.idle && !entry.has_worker);
        let lagging = idle.map(move |entry| (entry, known.max(entry.position)));
        lagging
            .filter(move |(entry, to)| to - entry.saved > from)
            .map(|(entry, to)| (entry.hook.lease, to))
    }

    /// Notes that a cursor was written.
    pub(super) fn saved(&mut self, lease: &Lease, cursor: i64) {
        if let Some(entry) = self.entry(lease) {
            entry.saved = entry.saved.max(cursor);
        }
    }

    /// The number of idle webhooks, and for each of the others the number of events it has yet to read.
    pub(super) fn lags(&self) -> (usize, Vec<i64>) {
        let known = self.known.unwrap_or(0);
        let working = self.entries.values().filter(|entry| !entry.idle);
        let lags: Vec<i64> = working.map(|entry| (known - entry.seen).max(0)).collect();
        (self.entries.len() - lags.len(), lags)
    }

    /// The webhooks that have not come to the end of the log.
    pub(super) fn busy(&self) -> impl Iterator<Item = Key> {
        let entries = self.entries.iter();
        entries
            .filter(|(_, entry)| !entry.idle)
            .map(|(key, _)| *key)
    }

    pub(super) fn hook(&self, key: Key) -> Option<&Arc<Hook>> {
        self.entries.get(&key).map(|entry| &entry.hook)
    }

    /// The webhooks that no runner works for; all if `is_stopped` is true.
    pub(super) fn resting(&self, is_stopped: bool) -> impl Iterator<Item = &Arc<Hook>> {
        let entries = self.entries.values();
        entries
            .filter(move |entry| is_stopped || !entry.has_worker)
            .map(|entry| &entry.hook)
    }

    /// Wakes every runner.
    pub(super) fn wake_runners(&self) {
        let running = self.entries.values().filter(|entry| entry.has_worker);
        running.for_each(|entry| entry.hook.notify.notify_one());
    }

    pub(super) fn integrations(&self) -> impl Iterator<Item = IntegrationId> {
        self.entries.keys().map(|key| key.integration)
    }

    /// The entry of a webhook, if this is the node's newest lease on it.
    fn entry(&mut self, lease: &Lease) -> Option<&mut Entry> {
        self.entries
            .get_mut(&lease.key)
            .filter(|entry| entry.hook.lease.fence == lease.fence)
    }

    /// Offers the next event to the webhooks. Returns false if events before it have to be fetched first.
    pub(super) fn feed(&mut self, event: Arc<LoggedEvent>, starting: &mut Vec<Arc<Hook>>) -> bool {
        match self.known {
            Some(known) if event.seq <= known => return true,
            Some(known) if event.seq == known + 1 => self.known = Some(event.seq),
            _ => return false,
        }
        for (kind, _) in event.entities() {
            for key in &self.by_kind[kind_index(*kind)] {
                let Some(entry) = self.entries.get_mut(key) else {
                    continue;
                };
                if entry.idle && entry.position < event.seq && entry.definition.wants(&event.head) {
                    entry.idle = false;
                    entry.position = event.seq - 1;
                    entry.wake(starting);
                }
            }
        }
        self.tail_bytes += weight(&event);
        self.tail.push_back(event);
        while self.tail.len() > MAX_TAIL_EVENTS || self.tail_bytes > MAX_TAIL_BYTES {
            let Some(oldest) = self.tail.pop_front() else {
                break;
            };
            self.tail_bytes -= weight(&oldest);
        }
        true
    }

    /// The memory of its newest events, in bytes.
    pub(super) fn tail_bytes(&self) -> usize {
        self.tail_bytes
    }

    /// Drops its newest events from memory. Runners then read them from the store.
    pub(super) fn forget_tail(&mut self) {
        self.tail = VecDeque::new();
        self.tail_bytes = 0;
    }

    /// The events after `position` that the webhook wants, at most `limit`.
    pub(super) fn next(&mut self, lease: &Lease, position: i64, limit: usize) -> Next {
        let known = self.known.unwrap_or(0);
        let first = self.tail.front().map_or(i64::MAX, |event| event.seq);
        let Some(entry) = self
            .entries
            .get_mut(&lease.key)
            .filter(|entry| entry.hook.lease.fence == lease.fence)
        else {
            return Next::LeaseLost;
        };
        // An idle webhook wants none of the events that were offered to it, so its runner skips them.
        let position = if entry.idle { known } else { position }.max(entry.position);
        entry.seen = position;
        if position >= known {
            entry.idle = true;
            entry.position = position;
            return Next::CaughtUp { position };
        }
        let Ok(skip) = usize::try_from(position + 1 - first) else {
            return Next::InStore { position };
        };
        let (mut events, mut scanned) = (Vec::new(), position);
        for event in self.tail.iter().skip(skip).take(MAX_SCANNED_EVENTS) {
            scanned = event.seq;
            if entry.definition.wants(&event.head) {
                events.push(event.clone());
                if events.len() >= limit {
                    break;
                }
            }
        }
        Next::Events {
            events,
            position: scanned,
        }
    }

    /// The position at which a new runner starts. `None` if the lease is lost.
    pub(super) fn start_position(&self, hook: &Hook) -> Option<i64> {
        let entry = self
            .entries
            .get(&hook.key())
            .filter(|entry| entry.hook.lease.fence == hook.lease.fence)?;
        Some(if entry.idle {
            self.known.unwrap_or(entry.position).max(entry.position)
        } else {
            entry.position
        })
    }

    /// Ends an idle runner that has written `cursor`. Returns false if there is new work, for which it must stay.
    pub(super) fn end_runner(&mut self, lease: &Lease, cursor: i64) -> bool {
        let Some(entry) = self.entry(lease) else {
            return true;
        };
        if !entry.idle || entry.hook.side_queue.load(Ordering::Acquire) {
            return false;
        }
        entry.saved = cursor;
        entry.has_worker = false;
        true
    }

    /// Makes a webhook's runner read its side queue.
    pub(super) fn wake_side_queue(&mut self, key: Key, starting: &mut Vec<Arc<Hook>>) {
        if let Some(entry) = self.entries.get_mut(&key) {
            entry.hook.side_queue.store(true, Ordering::Release);
            entry.wake(starting);
        }
    }

    /// Opens the log at number `last`, or further back for webhooks that are not far behind. Up to `removed` there are gaps,
    /// so it is not opened before that.
    pub(super) fn open(&mut self, (removed, last): (i64, i64), cursors: impl Iterator<Item = i64>) {
        if self.known.is_none() {
            let near = cursors
                .filter(|cursor| *cursor >= last - MAX_READ_BACK)
                .min();
            self.known = Some(near.unwrap_or(last).max(removed).min(last));
        }
    }

    /// Adds a claimed webhook, or replaces it under its new lease.
    pub(super) fn attach(&mut self, hook: Hook, cursor: i64, starting: &mut Vec<Arc<Hook>>) {
        let key = hook.key();
        let idle = self.known.is_some_and(|known| cursor >= known);
        let mut entry = Entry {
            definition: hook.definition(),
            hook: Arc::new(hook),
            idle,
            position: cursor,
            seen: cursor,
            saved: cursor,
            has_worker: false,
        };
        if !idle {
            entry.wake(starting);
        }
        if let Some(old) = self.entries.insert(key, entry) {
            // Its runner finds that the lease is lost.
            old.hook.notify.notify_one();
        }
    }

    /// Gives a webhook that stays its new definition.
    pub(super) fn redefine(&mut self, key: Key, definition: Definition) {
        if let Some(entry) = self.entries.get_mut(&key) {
            entry.definition = Arc::new(definition);
            entry.hook.redefine(entry.definition.clone());
        }
    }

    /// The fence of this node's lease on a webhook.
    pub(super) fn fence(&self, key: Key) -> Option<i64> {
        self.entries.get(&key).map(|entry| entry.hook.lease.fence)
    }

    /// Keeps the webhooks for which `keep` returns true.
    pub(super) fn retain(&mut self, keep: impl Fn(Key) -> bool) {
        self.entries.retain(|key, entry| {
            let stays = keep(*key);
            if !stays {
                entry.hook.notify.notify_one();
            }
            stays
        });
    }

    /// Indexes the webhooks by the kinds they ask for, after [`Self::attach`], [`Self::redefine`] and
    /// [`Self::retain`].
    pub(super) fn index(&mut self) {
        self.by_kind = vec![Vec::new(); kind_index(EntityKind::Custom) + 1];
        for (key, entry) in &self.entries {
            let Trigger::EntityEvent(filter) = &entry.definition.trigger else {
                continue;
            };
            for kind in EntityKind::ALL.iter().chain([&EntityKind::Custom]) {
                if !entry.definition.disabled && filter.may_want(*kind) {
                    self.by_kind[kind_index(*kind)].push(*key);
                }
            }
        }
    }
}

impl Entry {
    fn wake(&mut self, starting: &mut Vec<Arc<Hook>>) {
        if self.has_worker {
            self.hook.notify.notify_one();
        } else {
            self.has_worker = true;
            starting.push(self.hook.clone());
        }
    }
}

/// The kind's index in the enum, whose last kind is [`EntityKind::Custom`].
fn kind_index(kind: EntityKind) -> usize {
    kind as usize
}

fn weight(event: &LoggedEvent) -> usize {
    event.body.len() + EVENT_OVERHEAD
}
