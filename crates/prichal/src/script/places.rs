//! Whose turn it is: no channel and no workspace can take all the processes.
//!
//! Most scripts end at once; some wait for others, and some hang. What is known of a script decides in which
//! room it is run: quick ones have a room of their own, which those that take long never enter, and ones of
//! which nothing is known yet are tried one at a time in a third. So a script that ends at once finds a place,
//! however many of the others there are. One that turns out to take long moves to those that do, as soon as
//! there is room.
//!
//! Where several wait for a room, the workspace that has the fewest places there goes first, then the channel
//! with the fewest runs, then whoever came first.

use std::{
    collections::{HashMap, VecDeque},
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use prichal_core::id::{EntityId, WorkspaceId};
use tokio::sync::oneshot;
use uuid::Uuid;

/// How many runs of a channel go on at once.
const LANE: usize = 8;
/// How many scripts are remembered.
const KNOWN: usize = 10_000;
/// How many wait before those that have gone away are looked for.
const WAITING: usize = 1024;

/// The rooms, and how long what is run there takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Pace {
    Unknown,
    Quick,
    Long,
}

impl Pace {
    /// How many places there are: all, and those of one workspace.
    const fn size(self) -> (usize, usize) {
        match self {
            Self::Unknown => (16, 8),
            Self::Quick => (16, 12),
            Self::Long => (48, 24),
        }
    }

    /// How many of them are kept for runs that move in.
    const fn kept(self) -> (usize, usize) {
        match self {
            Self::Unknown | Self::Quick => (0, 0),
            Self::Long => (16, 8),
        }
    }
}

/// A script of a channel.
type Key = (Uuid, u64);

#[derive(Clone, Default)]
pub(super) struct Places(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    paces: HashMap<Key, Pace>,
    /// How many runs of a channel go on.
    lanes: HashMap<Uuid, usize>,
    rooms: HashMap<Pace, Room>,
    runs: HashMap<u64, Run>,
    waiting: HashMap<Key, Queue>,
    last: u64,
}

#[derive(Default)]
struct Room {
    taken: usize,
    of_workspace: HashMap<Uuid, usize>,
}

#[derive(Clone, Copy)]
struct Run {
    workspace: Uuid,
    key: Key,
    room: Pace,
    takes_long: bool,
}

struct Queue {
    workspace: Uuid,
    waiters: VecDeque<Waiter>,
}

struct Waiter {
    number: u64,
    answer: oneshot::Sender<Place>,
}

/// A place, given back when it is dropped.
pub(super) struct Place {
    places: Places,
    id: u64,
    /// Whoever has waited for it was still there.
    is_used: bool,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.leave(self.id, self.is_used);
    }
}

impl Places {
    /// Waits for a turn.
    pub(super) async fn take(&self, workspace: WorkspaceId, lane: EntityId, script: &str) -> Place {
        let turn = self.stand_in_line(workspace, lane, script);
        let mut place = turn.await.expect("who waits is answered");
        place.is_used = true;
        place
    }

    fn stand_in_line(
        &self,
        workspace: WorkspaceId,
        lane: EntityId,
        script: &str,
    ) -> oneshot::Receiver<Place> {
        let mut hasher = DefaultHasher::new();
        script.hash(&mut hasher);
        let key = (lane.0, hasher.finish());
        let (answer, turn) = oneshot::channel();
        let mut state = self.lock();
        state.last += 1;
        let number = state.last;
        let queue = state.waiting.entry(key).or_insert_with(|| Queue {
            workspace: workspace.0,
            waiters: VecDeque::new(),
        });
        if queue.waiters.len() >= WAITING {
            queue.waiters.retain(|waiter| !waiter.answer.is_closed());
        }
        queue.waiters.push_back(Waiter { number, answer });
        self.admit(state);
        turn
    }

    /// A run takes long: it moves to those that do, now or when there is room.
    pub(super) fn step_back(&self, place: &Place) {
        let mut state = self.lock();
        let Some(run) = state.runs.get_mut(&place.id) else {
            return;
        };
        run.takes_long = true;
        let key = run.key;
        state.learn(key, Pace::Long);
        state.move_in(place.id);
        self.admit(state);
    }

    fn leave(&self, id: u64, was_used: bool) {
        let mut state = self.lock();
        let Some(run) = state.runs.remove(&id) else {
            return;
        };
        state.give_back(run.room, run.workspace);
        if let Some(count) = state.lanes.get_mut(&run.key.0) {
            *count -= 1;
            if *count == 0 {
                state.lanes.remove(&run.key.0);
            }
        }
        if was_used && !run.takes_long {
            state.learn(run.key, Pace::Quick);
        }
        if run.room == Pace::Long {
            let stuck =
                |(id, run): (&u64, &Run)| (run.takes_long && run.room != Pace::Long).then_some(*id);
            let mut stuck: Vec<u64> = state.runs.iter().filter_map(stuck).collect();
            stuck.sort_unstable();
            for id in stuck {
                state.move_in(id);
            }
        }
        self.admit(state);
    }

    /// Lets in whoever may come. They are told when nobody holds the state any more: one that has gone away
    /// gives its place back.
    fn admit(&self, mut state: MutexGuard<'_, State>) {
        let mut admitted = Vec::new();
        while let Some((answer, id)) = state.next() {
            let place = Place {
                places: self.clone(),
                id,
                is_used: false,
            };
            admitted.push((answer, place));
        }
        drop(state);
        for (answer, place) in admitted {
            let _ = answer.send(place);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn pace(&self, key: Key) -> Pace {
        self.paces.get(&key).copied().unwrap_or(Pace::Unknown)
    }

    fn learn(&mut self, key: Key, pace: Pace) {
        if self.paces.len() >= KNOWN && !self.paces.contains_key(&key) {
            self.paces.clear();
        }
        self.paces.insert(key, pace);
    }

    fn taken(&self, room: Pace, workspace: Uuid) -> (usize, usize) {
        self.rooms.get(&room).map_or((0, 0), |room| {
            let share = room.of_workspace.get(&workspace);
            (room.taken, share.copied().unwrap_or(0))
        })
    }

    fn give(&mut self, room: Pace, workspace: Uuid) {
        let room = self.rooms.entry(room).or_default();
        room.taken += 1;
        *room.of_workspace.entry(workspace).or_default() += 1;
    }

    fn give_back(&mut self, room: Pace, workspace: Uuid) {
        let Some(room) = self.rooms.get_mut(&room) else {
            return;
        };
        room.taken -= 1;
        if let Some(share) = room.of_workspace.get_mut(&workspace) {
            *share -= 1;
            if *share == 0 {
                room.of_workspace.remove(&workspace);
            }
        }
    }

    /// Moves a run that takes long to its like, if there is room.
    fn move_in(&mut self, id: u64) {
        let Some(run) = self.runs.get(&id).copied() else {
            return;
        };
        let ((all, share), (taken, own)) =
            (Pace::Long.size(), self.taken(Pace::Long, run.workspace));
        if run.room == Pace::Long || taken >= all || own >= share {
            return;
        }
        self.give_back(run.room, run.workspace);
        self.give(Pace::Long, run.workspace);
        self.runs.insert(
            id,
            Run {
                room: Pace::Long,
                ..run
            },
        );
    }

    /// Whether a script may come in now, and its place among those that may: the least comes first.
    fn rank(&self, key: Key, queue: &Queue) -> Option<(usize, usize, u64)> {
        let first = queue.waiters.front()?.number;
        let room = self.pace(key);
        let (taken, own) = self.taken(room, queue.workspace);
        let ((all, share), (kept, kept_share)) = (room.size(), room.kept());
        let running = self.lanes.get(&key.0).copied().unwrap_or(0);
        let is_tried = room == Pace::Unknown && self.runs.values().any(|run| run.key == key);
        let may = taken + kept < all && own + kept_share < share && running < LANE && !is_tried;
        may.then_some((own, running, first))
    }

    /// Gives the next place to whoever has waited for it.
    fn next(&mut self) -> Option<(oneshot::Sender<Place>, u64)> {
        let ranked = self.waiting.iter();
        let ranked = ranked.filter_map(|(key, queue)| Some((self.rank(*key, queue)?, *key)));
        let (_, key) = ranked.min()?;
        let queue = self.waiting.get_mut(&key)?;
        let (workspace, waiter) = (queue.workspace, queue.waiters.pop_front()?);
        if queue.waiters.is_empty() {
            self.waiting.remove(&key);
        }
        let room = self.pace(key);
        self.give(room, workspace);
        *self.lanes.entry(key.0).or_default() += 1;
        let run = Run {
            workspace,
            key,
            room,
            takes_long: false,
        };
        self.runs.insert(waiter.number, run);
        Some((waiter.answer, waiter.number))
    }
}

#[cfg(test)]
mod tests;
