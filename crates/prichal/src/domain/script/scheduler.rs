//! Whose turn it is: no channel and no workspace can take all the processes.
//!
//! Most scripts end at once; some wait for others, and some hang. What is known of a script decides in which
//! room it is run. Those that ended at once the last time have one of their own; so have those that took
//! longer, and those that hung. Of which nothing is known yet are tried one at a time in a fourth. A run that
//! takes longer than was expected moves to its like, as soon as there is room. So neither a script that ends
//! at once nor one that honestly takes a while waits for those that hang, but for the first seconds, until
//! that is known of them.
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
/// How often in a row a quick script may take long until it is taken for one that does.
const STRIKES: u32 = 3;
/// How many scripts are remembered.
const KNOWN: usize = 10_000;
/// How many wait before those that have gone away are looked for.
const WAITING: usize = 1024;

/// The rooms, and how long what is run there takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Pace {
    Unknown,
    Quick,
    Long,
    Hung,
}

impl Pace {
    /// How many places there are: all, and those of one workspace.
    const fn size(self) -> (usize, usize) {
        match self {
            Self::Unknown => (16, 8),
            Self::Quick => (16, 12),
            Self::Long => (48, 24),
            Self::Hung => (24, 12),
        }
    }

    /// How many of them are kept for runs that move in.
    const fn kept(self) -> (usize, usize) {
        match self {
            Self::Unknown | Self::Quick => (0, 0),
            Self::Long | Self::Hung => (8, 4),
        }
    }
}

/// A script of a channel.
type Key = (Uuid, u64);

#[derive(Clone, Default)]
pub(super) struct Places(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// What is known of a script, and how often it has taken longer since.
    paces: HashMap<Key, (Pace, u32)>,
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
    /// What it has turned out to be so far.
    pace: Pace,
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

    /// A run takes long, or hangs: it moves to its like, now or when there is room.
    pub(super) fn step_back(&self, place: &Place, now: Pace) {
        let mut state = self.lock();
        let Some(run) = state.runs.get_mut(&place.id) else {
            return;
        };
        run.pace = now;
        let key = run.key;
        let (known, strikes) = state.paces.get(&key).copied().unwrap_or((Pace::Unknown, 0));
        let strikes = strikes + 1;
        let is_chance = known == Pace::Quick && now == Pace::Long && strikes < STRIKES;
        let learnt = if is_chance { known } else { known.max(now) };
        state.learn(key, learnt, strikes);
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
        match run.pace {
            Pace::Quick if was_used => state.learn(run.key, Pace::Quick, 0),
            // It has come to an end sooner than the last time.
            Pace::Long if state.pace(run.key) == Pace::Hung => state.learn(run.key, Pace::Long, 0),
            _ => {}
        }
        let stuck = |(id, run): (&u64, &Run)| (run.pace > run.room).then_some(*id);
        let mut stuck: Vec<u64> = state.runs.iter().filter_map(stuck).collect();
        stuck.sort_unstable();
        for id in stuck {
            state.move_in(id);
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
        self.paces
            .get(&key)
            .map_or(Pace::Unknown, |(pace, _)| *pace)
    }

    fn learn(&mut self, key: Key, pace: Pace, strikes: u32) {
        if self.paces.len() >= KNOWN && !self.paces.contains_key(&key) {
            self.paces.clear();
        }
        self.paces.insert(key, (pace, strikes));
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

    /// Moves a run to its like, if there is room.
    fn move_in(&mut self, id: u64) {
        let Some(run) = self.runs.get(&id).copied() else {
            return;
        };
        for room in [Pace::Hung, Pace::Long] {
            let ((all, share), (taken, own)) = (room.size(), self.taken(room, run.workspace));
            if room <= run.pace && room > run.room && taken < all && own < share {
                self.give_back(run.room, run.workspace);
                self.give(room, run.workspace);
                self.runs.insert(id, Run { room, ..run });
                return;
            }
        }
    }

    /// Whether a script may come in now, and its place among those that may: the least comes first.
    fn rank(&self, key: Key, queue: &Queue) -> Option<(usize, usize, u64)> {
        let first = queue.waiters.front()?.number;
        let room = self.pace(key);
        let (taken, own) = self.taken(room, queue.workspace);
        let ((all, share), (kept, kept_share)) = (room.size(), room.kept());
        let free = (all - kept).checked_sub(taken).filter(|free| *free > 0)?;
        let free_here = (share - kept_share)
            .checked_sub(own)
            .filter(|free| *free > 0)?;
        let running = self.lanes.get(&key.0).copied().unwrap_or(0);
        let may = match room {
            Pace::Unknown => !self.runs.values().any(|run| run.key == key),
            Pace::Quick => true,
            // Who has much there already leaves more than that to others.
            Pace::Long | Pace::Hung => {
                (running == 0 || 2 * running < free_here.min(free)) && (own == 0 || own < free)
            }
        };
        let may = may && running < LANE;
        may.then_some((own, running, first))
    }

    /// Forgets those at the head of a line that have gone away.
    fn prune(&mut self) {
        self.waiting.retain(|_, queue| {
            let mut waiters = queue.waiters.iter();
            let gone = waiters.position(|waiter| !waiter.answer.is_closed());
            queue.waiters.drain(..gone.unwrap_or(queue.waiters.len()));
            !queue.waiters.is_empty()
        });
    }

    /// Gives the next place to whoever has waited for it.
    fn next(&mut self) -> Option<(oneshot::Sender<Place>, u64)> {
        self.prune();
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
            pace: Pace::Quick,
        };
        self.runs.insert(waiter.number, run);
        Some((waiter.answer, waiter.number))
    }
}

#[cfg(test)]
mod tests;
