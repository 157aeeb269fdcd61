//! Permits for runs of scripts, shared out so that no channel and no workspace can take up all processes.
//!
//! Most scripts end at once, some wait for other systems, and some hang. A script has the speed class of its last
//! run, and each class has a pool of permits of its own: quick, long, hung, and unknown for new scripts, of which
//! each is tried one run at a time. A run that turns out to be slower moves to the pool of its new class as soon as
//! there is room. So quick and long scripts wait for hung ones only in the first seconds, until the class of those is
//! known.
//!
//! Of several runs that wait for a pool, the one whose workspace has the fewest permits there goes first, then the
//! one whose channel has the fewest runs, then the oldest.

use std::{
    collections::{HashMap, VecDeque},
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use prichal_core::id::{EntityId, WorkspaceId};
use tokio::sync::oneshot;
use uuid::Uuid;

/// The maximum number of runs of a channel at the same time.
const MAX_CONCURRENT_RUNS: usize = 8;
/// The number of slow runs in a row after which a quick script counts as long.
const MAX_STRIKES: u32 = 3;
/// The maximum number of scripts whose speed class is remembered.
const MAX_KNOWN_SCRIPTS: usize = 10_000;
/// The length of a queue from which on cancelled waiters are removed.
const PRUNE_AT: usize = 1024;

/// The speed class of a script. Each class has its own pool of permits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum SpeedClass {
    Unknown,
    Quick,
    Long,
    Hung,
}

impl SpeedClass {
    /// The permits of the pool: all, and those of one workspace.
    const fn size(self) -> (usize, usize) {
        match self {
            Self::Unknown => (16, 8),
            Self::Quick => (16, 12),
            Self::Long => (48, 24),
            Self::Hung => (24, 12),
        }
    }

    /// The permits that are reserved for runs that move in from a faster class.
    const fn reserved(self) -> (usize, usize) {
        match self {
            Self::Unknown | Self::Quick => (0, 0),
            Self::Long | Self::Hung => (8, 4),
        }
    }
}

/// A channel or a webhook of a workspace. The ids of webhooks are chosen by their integrations, so several workspaces may
/// have the same.
type Lane = (Uuid, Uuid);
/// A script of a lane.
type Key = (Lane, u64);

#[derive(Clone, Default)]
pub(super) struct Scheduler(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// The class of each known script, with the number of slower runs since.
    speeds: HashMap<Key, (SpeedClass, u32)>,
    /// The number of runs in progress.
    lanes: HashMap<Lane, usize>,
    pools: HashMap<SpeedClass, Pool>,
    runs: HashMap<u64, Run>,
    waiting: HashMap<Key, Queue>,
    last: u64,
}

#[derive(Default)]
struct Pool {
    taken: usize,
    of_workspace: HashMap<Uuid, usize>,
}

#[derive(Clone, Copy)]
struct Run {
    workspace: Uuid,
    key: Key,
    pool: SpeedClass,
    /// The class that the run has turned out to have so far.
    speed: SpeedClass,
}

struct Queue {
    workspace: Uuid,
    waiters: VecDeque<Waiter>,
}

struct Waiter {
    number: u64,
    answer: oneshot::Sender<Permit>,
}

/// A permit for one run, given back when it is dropped.
pub(super) struct Permit {
    scheduler: Scheduler,
    id: u64,
    /// True if the waiter was still there when the permit came.
    is_used: bool,
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.scheduler.leave(self.id, self.is_used);
    }
}

impl Scheduler {
    /// Waits for a permit.
    pub(super) async fn take(
        &self,
        workspace: WorkspaceId,
        lane: EntityId,
        script: &str,
    ) -> Permit {
        let turn = self.enqueue(workspace, lane, script);
        let mut permit = turn.await.expect("every waiter is answered");
        permit.is_used = true;
        permit
    }

    fn enqueue(
        &self,
        workspace: WorkspaceId,
        lane: EntityId,
        script: &str,
    ) -> oneshot::Receiver<Permit> {
        let mut hasher = DefaultHasher::new();
        script.hash(&mut hasher);
        let key = ((workspace.0, lane.0), hasher.finish());
        let (answer, turn) = oneshot::channel();
        let mut state = self.lock();
        state.last += 1;
        let number = state.last;
        let queue = state.waiting.entry(key).or_insert_with(|| Queue {
            workspace: workspace.0,
            waiters: VecDeque::new(),
        });
        if queue.waiters.len() >= PRUNE_AT {
            queue.waiters.retain(|waiter| !waiter.answer.is_closed());
        }
        queue.waiters.push_back(Waiter { number, answer });
        self.admit(state);
        turn
    }

    /// Notes that a run takes long or hangs, and moves it to the pool of its new class, now or when there is room.
    pub(super) fn reclassify(&self, permit: &Permit, now: SpeedClass) {
        let mut state = self.lock();
        let Some(run) = state.runs.get_mut(&permit.id) else {
            return;
        };
        run.speed = now;
        let key = run.key;
        let (known, strikes) = state
            .speeds
            .get(&key)
            .copied()
            .unwrap_or((SpeedClass::Unknown, 0));
        let strikes = strikes + 1;
        let is_chance =
            known == SpeedClass::Quick && now == SpeedClass::Long && strikes < MAX_STRIKES;
        let learnt = if is_chance { known } else { known.max(now) };
        state.learn(key, learnt, strikes);
        state.move_in(permit.id);
        self.admit(state);
    }

    fn leave(&self, id: u64, was_used: bool) {
        let mut state = self.lock();
        let Some(run) = state.runs.remove(&id) else {
            return;
        };
        state.give_back(run.pool, run.workspace);
        if let Some(count) = state.lanes.get_mut(&run.key.0) {
            *count -= 1;
            if *count == 0 {
                state.lanes.remove(&run.key.0);
            }
        }
        match run.speed {
            SpeedClass::Quick if was_used => state.learn(run.key, SpeedClass::Quick, 0),
            // The run has ended sooner than the last one.
            SpeedClass::Long if state.speed(run.key) == SpeedClass::Hung => {
                state.learn(run.key, SpeedClass::Long, 0);
            }
            _ => {}
        }
        let stuck = |(id, run): (&u64, &Run)| (run.speed > run.pool).then_some(*id);
        let mut stuck: Vec<u64> = state.runs.iter().filter_map(stuck).collect();
        stuck.sort_unstable();
        for id in stuck {
            state.move_in(id);
        }
        self.admit(state);
    }

    /// Gives out the free permits. They are sent after the lock is released, because the permit of a cancelled waiter
    /// is dropped, which takes the lock again.
    fn admit(&self, mut state: MutexGuard<'_, State>) {
        let mut admitted = Vec::new();
        while let Some((answer, id)) = state.next() {
            let permit = Permit {
                scheduler: self.clone(),
                id,
                is_used: false,
            };
            admitted.push((answer, permit));
        }
        drop(state);
        for (answer, permit) in admitted {
            let _ = answer.send(permit);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn speed(&self, key: Key) -> SpeedClass {
        self.speeds
            .get(&key)
            .map_or(SpeedClass::Unknown, |(speed, _)| *speed)
    }

    fn learn(&mut self, key: Key, speed: SpeedClass, strikes: u32) {
        if self.speeds.len() >= MAX_KNOWN_SCRIPTS && !self.speeds.contains_key(&key) {
            self.speeds.clear();
        }
        self.speeds.insert(key, (speed, strikes));
    }

    fn taken(&self, pool: SpeedClass, workspace: Uuid) -> (usize, usize) {
        self.pools.get(&pool).map_or((0, 0), |pool| {
            let share = pool.of_workspace.get(&workspace);
            (pool.taken, share.copied().unwrap_or(0))
        })
    }

    fn give(&mut self, pool: SpeedClass, workspace: Uuid) {
        let pool = self.pools.entry(pool).or_default();
        pool.taken += 1;
        *pool.of_workspace.entry(workspace).or_default() += 1;
    }

    fn give_back(&mut self, pool: SpeedClass, workspace: Uuid) {
        let Some(pool) = self.pools.get_mut(&pool) else {
            return;
        };
        pool.taken -= 1;
        if let Some(share) = pool.of_workspace.get_mut(&workspace) {
            *share -= 1;
            if *share == 0 {
                pool.of_workspace.remove(&workspace);
            }
        }
    }

    /// Moves a run to the pool of its class, if there is room.
    fn move_in(&mut self, id: u64) {
        let Some(run) = self.runs.get(&id).copied() else {
            return;
        };
        for pool in [SpeedClass::Hung, SpeedClass::Long] {
            let ((all, share), (taken, own)) = (pool.size(), self.taken(pool, run.workspace));
            if pool <= run.speed && pool > run.pool && taken < all && own < share {
                self.give_back(run.pool, run.workspace);
                self.give(pool, run.workspace);
                self.runs.insert(id, Run { pool, ..run });
                return;
            }
        }
    }

    /// The rank of a script among those that may run now, the lowest first. `None` if it may not.
    fn rank(&self, key: Key, queue: &Queue) -> Option<(usize, usize, u64)> {
        let first = queue.waiters.front()?.number;
        let pool = self.speed(key);
        let (taken, own) = self.taken(pool, queue.workspace);
        let ((all, share), (kept, kept_share)) = (pool.size(), pool.reserved());
        let free = (all - kept).checked_sub(taken).filter(|free| *free > 0)?;
        let free_here = (share - kept_share)
            .checked_sub(own)
            .filter(|free| *free > 0)?;
        let running = self.lanes.get(&key.0).copied().unwrap_or(0);
        let may = match pool {
            SpeedClass::Unknown => !self.runs.values().any(|run| run.key == key),
            SpeedClass::Quick => true,
            // A workspace or channel with many permits has to leave even more to others.
            SpeedClass::Long | SpeedClass::Hung => {
                (running == 0 || 2 * running < free_here.min(free)) && (own == 0 || own < free)
            }
        };
        let may = may && running < MAX_CONCURRENT_RUNS;
        may.then_some((own, running, first))
    }

    /// Removes cancelled waiters from the head of each queue.
    fn prune(&mut self) {
        self.waiting.retain(|_, queue| {
            let mut waiters = queue.waiters.iter();
            let gone = waiters.position(|waiter| !waiter.answer.is_closed());
            queue.waiters.drain(..gone.unwrap_or(queue.waiters.len()));
            !queue.waiters.is_empty()
        });
    }

    /// Gives out the next free permit, if there is one.
    fn next(&mut self) -> Option<(oneshot::Sender<Permit>, u64)> {
        self.prune();
        let ranked = self.waiting.iter();
        let ranked = ranked.filter_map(|(key, queue)| Some((self.rank(*key, queue)?, *key)));
        let (_, key) = ranked.min()?;
        let queue = self.waiting.get_mut(&key)?;
        let (workspace, waiter) = (queue.workspace, queue.waiters.pop_front()?);
        if queue.waiters.is_empty() {
            self.waiting.remove(&key);
        }
        let pool = self.speed(key);
        self.give(pool, workspace);
        *self.lanes.entry(key.0).or_default() += 1;
        let run = Run {
            workspace,
            key,
            pool,
            speed: SpeedClass::Quick,
        };
        self.runs.insert(waiter.number, run);
        Some((waiter.answer, waiter.number))
    }
}

#[cfg(test)]
mod tests;
