//! One log as this node sees it: how far it has been looked at, its newest events, its webhooks.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, atomic::Ordering},
};

use prichal_core::{event::EntityKind, id::IntegrationId, integration::Trigger};
use prichal_store::{
    LoggedEvent,
    webhook::{Key, Lease},
};

use super::{Definition, Hook};

/// What is kept in memory of a log: the newest events, this many at the most, and this many bytes.
const TAIL_EVENTS: usize = 2048;
const TAIL_BYTES: usize = 4 << 20;
/// The memory of an event beside its body.
const EVENT: usize = 256;
/// How many events a runner looks at under the lock.
const GLANCE: usize = 256;
/// A webhook that is this far behind reads the store by itself instead of having the whole log wait
/// for it.
const NEAR: i64 = 20_000;

#[derive(Default)]
pub(super) struct Log {
    /// Every event up to this number has been offered to the webhooks; nothing before the log has
    /// been opened.
    known: Option<i64>,
    tail: VecDeque<Arc<LoggedEvent>>,
    tail_bytes: usize,
    entries: HashMap<Key, Entry>,
    /// The webhooks by the kinds of entity they ask for, at the kind's place in [`EntityKind::ALL`].
    by_kind: Vec<Vec<Key>>,
}

struct Entry {
    hook: Arc<Hook>,
    definition: Arc<Definition>,
    idle: bool,
    /// Every event up to here is settled, in work or not wanted: where the webhook stood when it became
    /// idle, where it was when something came up, or where its runner begins.
    position: i64,
    /// How far its runner has looked.
    seen: i64,
    /// The cursor in the store, as far as it is known here.
    saved: i64,
    /// Whether a runner is there or about to be.
    manned: bool,
}

/// What a runner that asks for events is told.
pub(super) enum Next {
    /// These are for the webhook; up to `position` there are no others.
    Events {
        events: Vec<Arc<LoggedEvent>>,
        position: i64,
    },
    /// The events after the position are no longer in memory.
    InStore { position: i64 },
    /// Up to the position, the end, there are none for it: the runner waits to be woken.
    Nothing { position: i64 },
    /// The lease is gone.
    Gone,
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

    /// The webhooks that are idle with a cursor in the store more than `from` events back, and where
    /// it may be moved to.
    pub(super) fn lagging(&self, from: i64) -> impl Iterator<Item = (Lease, i64)> {
        let known = self.known.unwrap_or(0);
        let idle = self
            .entries
            .values()
            .filter(|entry| entry.idle && !entry.manned);
        let lagging = idle.map(move |entry| (entry, known.max(entry.position)));
        lagging
            .filter(move |(entry, to)| to - entry.saved > from)
            .map(|(entry, to)| (entry.hook.lease, to))
    }

    /// A cursor has been written.
    pub(super) fn saved(&mut self, lease: &Lease, cursor: i64) {
        if let Some(entry) = self.entry(lease) {
            entry.saved = cursor;
        }
    }

    /// How many webhooks are idle, and how many events each of the others has yet to look at.
    pub(super) fn lags(&self) -> (usize, Vec<i64>) {
        let known = self.known.unwrap_or(0);
        let working = self.entries.values().filter(|entry| !entry.idle);
        let lags: Vec<i64> = working.map(|entry| (known - entry.seen).max(0)).collect();
        (self.entries.len() - lags.len(), lags)
    }

    /// Wakes every runner that is there.
    pub(super) fn wake_runners(&self) {
        let manned = self.entries.values().filter(|entry| entry.manned);
        manned.for_each(|entry| entry.hook.notify.notify_one());
    }

    pub(super) fn integrations(&self) -> impl Iterator<Item = IntegrationId> {
        self.entries.keys().map(|key| key.integration)
    }

    /// The entry of a webhook, while this lease on it is the newest that the node has.
    fn entry(&mut self, lease: &Lease) -> Option<&mut Entry> {
        self.entries
            .get_mut(&lease.key)
            .filter(|entry| entry.hook.lease.fence == lease.fence)
    }

    /// Offers the next event to the webhooks. False when it is not the next one: then events before it
    /// have to be fetched first.
    pub(super) fn feed(&mut self, event: Arc<LoggedEvent>, starting: &mut Vec<Arc<Hook>>) -> bool {
        match self.known {
            Some(known) if event.seq <= known => return true,
            Some(known) if event.seq == known + 1 => self.known = Some(event.seq),
            _ => return false,
        }
        for (kind, _) in event.entities() {
            for key in &self.by_kind[place(*kind)] {
                let Some(entry) = self.entries.get_mut(key) else {
                    continue;
                };
                if entry.idle
                    && entry.position < event.seq
                    && entry.definition.wants(event.head.kind, event.entities())
                {
                    entry.idle = false;
                    entry.position = event.seq - 1;
                    entry.wake(starting);
                }
            }
        }
        self.tail_bytes += weight(&event);
        self.tail.push_back(event);
        while self.tail.len() > TAIL_EVENTS || self.tail_bytes > TAIL_BYTES {
            let Some(oldest) = self.tail.pop_front() else {
                break;
            };
            self.tail_bytes -= weight(&oldest);
        }
        true
    }

    /// The memory that its newest events take.
    pub(super) fn tail_bytes(&self) -> usize {
        self.tail_bytes
    }

    /// Forgets its newest events: who has yet to look at them finds them in the store.
    pub(super) fn forget_tail(&mut self) {
        self.tail = VecDeque::new();
        self.tail_bytes = 0;
    }

    /// The events after `position` that the webhook wants.
    pub(super) fn next(&mut self, lease: &Lease, position: i64) -> Next {
        let known = self.known.unwrap_or(0);
        let first = self.tail.front().map_or(i64::MAX, |event| event.seq);
        let Some(entry) = self
            .entries
            .get_mut(&lease.key)
            .filter(|entry| entry.hook.lease.fence == lease.fence)
        else {
            return Next::Gone;
        };
        // What has passed an idle webhook is not for it: its runner need not look again.
        let position = if entry.idle { known } else { position }.max(entry.position);
        entry.seen = position;
        if position >= known {
            entry.idle = true;
            entry.position = position;
            return Next::Nothing { position };
        }
        let Ok(skip) = usize::try_from(position + 1 - first) else {
            return Next::InStore { position };
        };
        let (mut events, mut looked) = (Vec::new(), position);
        for event in self.tail.iter().skip(skip).take(GLANCE) {
            looked = event.seq;
            if entry.definition.wants(event.head.kind, event.entities()) {
                events.push(event.clone());
            }
        }
        Next::Events {
            events,
            position: looked,
        }
    }

    /// Where a runner that starts begins. Nothing when the lease is gone.
    pub(super) fn position(&self, hook: &Hook) -> Option<i64> {
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

    /// Ends a runner that has nothing to do and has written `cursor`. False when something came up:
    /// then it must go on.
    pub(super) fn leave(&mut self, lease: &Lease, cursor: i64) -> bool {
        let Some(entry) = self.entry(lease) else {
            return true;
        };
        if !entry.idle || entry.hook.aside.load(Ordering::Acquire) {
            return false;
        }
        entry.saved = cursor;
        entry.manned = false;
        true
    }

    /// Has a webhook's runner look at what is due and at the replays.
    pub(super) fn nudge(&mut self, key: Key, starting: &mut Vec<Arc<Hook>>) {
        if let Some(entry) = self.entries.get_mut(&key) {
            entry.hook.aside.store(true, Ordering::Release);
            entry.wake(starting);
        }
    }

    /// Opens the log at number `last`, or further back when webhooks that are not far behind need
    /// that.
    pub(super) fn open(&mut self, last: i64, cursors: impl Iterator<Item = i64>) {
        if self.known.is_none() {
            let near = cursors.filter(|cursor| *cursor >= last - NEAR).min();
            self.known = Some(near.unwrap_or(last).min(last));
        }
    }

    /// Adds a webhook that has been claimed, or replaces it under its new lease.
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
            manned: false,
        };
        if !idle {
            entry.wake(starting);
        }
        if let Some(old) = self.entries.insert(key, entry) {
            // Its runner finds that the lease is gone.
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

    /// The fence a webhook was claimed at, if this node has it.
    pub(super) fn fence(&self, key: Key) -> Option<i64> {
        self.entries.get(&key).map(|entry| entry.hook.lease.fence)
    }

    /// Keeps the webhooks that `keep` says yes to.
    pub(super) fn retain(&mut self, keep: impl Fn(Key) -> bool) {
        self.entries.retain(|key, entry| {
            let stays = keep(*key);
            if !stays {
                entry.hook.notify.notify_one();
            }
            stays
        });
    }

    /// Sorts the webhooks by what they ask for, after [`Self::attach`], [`Self::redefine`] and
    /// [`Self::retain`].
    pub(super) fn index(&mut self) {
        self.by_kind = vec![Vec::new(); EntityKind::ALL.len()];
        for (key, entry) in &self.entries {
            let Trigger::EntityEvent(filter) = entry.definition.trigger else {
                continue;
            };
            for kind in EntityKind::ALL {
                if !entry.definition.disabled && filter.may_want(*kind) {
                    self.by_kind[place(*kind)].push(*key);
                }
            }
        }
    }
}

impl Entry {
    fn wake(&mut self, starting: &mut Vec<Arc<Hook>>) {
        if self.manned {
            self.hook.notify.notify_one();
        } else {
            self.manned = true;
            starting.push(self.hook.clone());
        }
    }
}

/// The kinds are numbered in the order of [`EntityKind::ALL`].
fn place(kind: EntityKind) -> usize {
    kind as usize
}

fn weight(event: &LoggedEvent) -> usize {
    event.body.len() + EVENT
}
