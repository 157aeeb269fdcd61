//! The queue of runs.
//!
//! A run is stored before its sender is answered. A node owns the next runs of each lane and keeps them in memory. Runs
//! beyond that have no owner until a node with room claims them. After a crash, any node may claim the runs of the dead
//! one.
//!
//! Lanes share only the processes that run scripts, and take turns with these. A channel whose script hangs delays
//! no other channel.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use prichal_core::{
    id::{RunId, WorkspaceId},
    time::Timestamp,
};
use prichal_store::{
    Engine, Tx,
    quarantine::{self, Item},
    run::{self, Lane, Run},
    socket, tenant,
};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;
use uuid::Uuid;

use super::run::perform;
use crate::{
    domain::{Domain, journal},
    error::{Error, Result},
    platform::{share::FairShare, writes},
};

/// The maximum number of runs of a lane that wait in memory.
const MAX_WAITING_RUNS: usize = 256;
/// The maximum number of bytes of all runs in memory, and of the runs of one workspace.
const MAX_WAITING_BYTES: usize = 32 << 20;
const MAX_WAITING_BYTES_PER_WORKSPACE: usize = 24 << 20;
/// The maximum number of runs of a lane at the same time.
const MAX_CONCURRENT_RUNS: usize = 8;
/// The maximum number of runs of a claim. Only one is claimed while memory is nearly full.
const CLAIM_BATCH: i64 = 16;
/// The maximum number of lanes of a read.
const LANE_BATCH: i64 = 10_000;
/// The interval between reads of the store if other nodes write to it.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// The interval at which idle script processes are ended.
const IDLE_SWEEP_INTERVAL: Duration = Duration::from_secs(15);
/// The wait after an error of the store.
const RETRY_DELAY: Duration = Duration::from_secs(1);
/// The maximum number of runs that have ended and are not written yet. The next runs begin meanwhile.
const MAX_UNWRITTEN_RUNS: usize = 256;

pub struct Queue {
    state: Mutex<Waiting>,
    changed: Notify,
    /// True if the store has to be read again.
    must_poll: AtomicBool,
    /// Permits for runs that have ended and are not written yet.
    settling: FairShare,
    /// Held while runs are claimed, so that many lanes together do not claim more than fits.
    claiming: FairShare,
}

impl Default for Queue {
    fn default() -> Self {
        Self {
            state: Mutex::default(),
            changed: Notify::new(),
            must_poll: AtomicBool::new(false),
            settling: FairShare::new(MAX_UNWRITTEN_RUNS, MAX_UNWRITTEN_RUNS / 2),
            claiming: FairShare::new(1, 1),
        }
    }
}

#[derive(Default)]
struct Waiting {
    lanes: HashMap<Lane, LaneState>,
    bytes: usize,
    of: HashMap<WorkspaceId, usize>,
    /// The runs in progress, with their start times.
    running: HashMap<RunId, Timestamp>,
    /// The next due time of each lane with runs that no node holds in memory.
    next_due: HashMap<Lane, Timestamp>,
}

#[derive(Default)]
struct LaneState {
    ready: VecDeque<Run>,
    /// The number of reservations for runs that are being written.
    reserved: usize,
    working: usize,
    /// The workers that have not taken their first run yet.
    starting: usize,
    /// True if the store may have more due runs of the lane.
    has_more_stored: bool,
}

impl LaneState {
    fn is_idle(&self) -> bool {
        self.ready.is_empty() && self.reserved == 0 && self.working == 0 && !self.has_more_stored
    }
}

fn size(run: &Run) -> usize {
    run.request.as_ref().map_or(0, Vec::len) + 512
}

/// A run that is being stored, with its reserved room in memory if there was any.
pub struct Reservation<'a> {
    queue: &'a Queue,
    run: Option<Run>,
    has_room: bool,
}

impl Reservation<'_> {
    pub fn run(&self) -> &Run {
        self.run.as_ref().expect("it is there until it is taken")
    }

    /// The node that will own the run. `None` without room in memory.
    pub fn owner(&self, app: &Domain) -> Option<Uuid> {
        self.has_room.then_some(app.node)
    }

    /// Queues the run, which is in the store now.
    pub fn take(mut self, app: &Domain) {
        let Some(run) = self.run.take() else { return };
        let lane = run.lane;
        {
            let mut state = self.queue.lock();
            let known = state.lanes.entry(lane).or_default();
            if self.has_room {
                known.reserved -= 1;
                known.ready.push_back(run);
            } else {
                known.has_more_stored = true;
            }
        }
        self.queue.start(app, lane);
    }
}

/// Stores and queues a run in a task of its own, so that a dropped request does not interrupt it. A run that is in the
/// store with an owner has to reach the owner's memory.
pub async fn enqueue<T: Send + 'static>(
    app: &Domain,
    work: impl Future<Output = Result<T>> + Send + 'static,
) -> Result<T> {
    let work = tenant::scope(tenant::current(), work.in_current_span());
    app.background.spawn(work).await.map_err(Error::internal)?
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        if let (Some(run), true) = (&self.run, self.has_room) {
            let mut state = self.queue.lock();
            state.give_back(run);
            if let Some(lane) = state.lanes.get_mut(&run.lane) {
                lane.reserved -= 1;
            }
            state.prune(run.lane);
        }
    }
}

impl Waiting {
    /// The free bytes for runs of a workspace.
    fn room(&self, workspace: WorkspaceId) -> usize {
        let own = self.of.get(&workspace).copied().unwrap_or(0);
        MAX_WAITING_BYTES_PER_WORKSPACE
            .saturating_sub(own)
            .min(MAX_WAITING_BYTES.saturating_sub(self.bytes))
    }

    fn take(&mut self, run: &Run) {
        self.bytes += size(run);
        *self.of.entry(run.lane.workspace).or_default() += size(run);
    }

    fn give_back(&mut self, run: &Run) {
        self.bytes -= size(run);
        if let Some(own) = self.of.get_mut(&run.lane.workspace) {
            *own -= size(run);
            if *own == 0 {
                self.of.remove(&run.lane.workspace);
            }
        }
    }

    fn prune(&mut self, lane: Lane) {
        if self.lanes.get(&lane).is_some_and(LaneState::is_idle) {
            self.lanes.remove(&lane);
        }
    }
}

impl Queue {
    /// Reserves memory for a run, if there is any.
    pub fn reserve(&self, run: Run) -> Reservation<'_> {
        let mut state = self.lock();
        let fits = size(&run) <= state.room(run.lane.workspace);
        let lane = state.lanes.entry(run.lane).or_default();
        // A run must not overtake earlier ones that had no room.
        let has_room =
            fits && !lane.has_more_stored && lane.ready.len() + lane.reserved < MAX_WAITING_RUNS;
        if has_room {
            lane.reserved += 1;
            state.take(&run);
        } else {
            state.prune(run.lane);
        }
        drop(state);
        Reservation {
            queue: self,
            run: Some(run),
            has_room,
        }
    }

    /// Notes that a run of a lane is due in the store at a time.
    pub fn wake(&self, lane: Lane, at: Timestamp) {
        let mut state = self.lock();
        let alarm = state.next_due.entry(lane).or_insert(at);
        *alarm = (*alarm).min(at);
        drop(state);
        self.changed.notify_one();
    }

    /// Requests a read of the store, because it may have runs without an owner.
    pub fn request_poll(&self) {
        self.must_poll.store(true, Ordering::Release);
        self.changed.notify_one();
    }

    /// Starts workers for a lane, up to [`MAX_CONCURRENT_RUNS`].
    fn start(&self, app: &Domain, lane: Lane) {
        let mut state = self.lock();
        let Some(known) = state.lanes.get_mut(&lane) else {
            return;
        };
        let waiting = known.ready.len() + usize::from(known.has_more_stored);
        let more = waiting
            .saturating_sub(known.starting)
            .min(MAX_CONCURRENT_RUNS - known.working);
        known.working += more;
        known.starting += more;
        drop(state);
        for _ in 0..more {
            let work = work(app.clone(), lane);
            app.background
                .spawn(tenant::scope(Some(lane.workspace), work));
        }
    }

    fn next(&self, lane: Lane, is_starting: bool) -> Next {
        let mut state = self.lock();
        let Some(known) = state.lanes.get_mut(&lane) else {
            return Next::Nothing;
        };
        known.starting -= usize::from(is_starting);
        if let Some(run) = known.ready.pop_front() {
            state.give_back(&run);
            return Next::Run(Box::new(run));
        }
        if std::mem::take(&mut known.has_more_stored) {
            return Next::Claim;
        }
        known.working -= 1;
        state.prune(lane);
        Next::Nothing
    }

    fn began(&self, id: RunId, now: Timestamp) {
        self.lock().running.insert(id, now);
    }

    fn ended(&self, id: RunId) {
        self.lock().running.remove(&id);
    }

    /// The start time of a run that is in progress on this node.
    pub fn running_since(&self, id: RunId) -> Option<Timestamp> {
        self.lock().running.get(&id).copied()
    }

    /// Removes a worker from the count that ends although runs are left.
    fn leave(&self, lane: Lane, is_starting: bool) {
        let mut state = self.lock();
        if let Some(known) = state.lanes.get_mut(&lane) {
            known.working -= 1;
            known.starting -= usize::from(is_starting);
        }
        state.prune(lane);
    }

    /// Queues claimed runs before those that were accepted later.
    fn put(&self, lane: Lane, claimed: Vec<Run>, more: bool) {
        let mut state = self.lock();
        claimed.iter().for_each(|run| state.take(run));
        let known = state.lanes.entry(lane).or_default();
        known.has_more_stored |= more;
        for run in claimed.into_iter().rev() {
            known.ready.push_front(run);
        }
    }

    /// The lanes that are due by now, and when the next one is.
    fn due(&self, now: Timestamp) -> (Vec<Lane>, Option<Timestamp>) {
        let mut state = self.lock();
        let due: Vec<Lane> = state
            .next_due
            .iter()
            .filter(|(_, at)| **at <= now)
            .map(|(lane, _)| *lane)
            .collect();
        for lane in &due {
            state.next_due.remove(lane);
            state.lanes.entry(*lane).or_default().has_more_stored = true;
        }
        (due, state.next_due.values().copied().min())
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

enum Next {
    Run(Box<Run>),
    Claim,
    Nothing,
}

/// Performs the runs of a lane one after the other, until there are no more.
async fn work(app: Domain, lane: Lane) {
    let mut is_starting = true;
    loop {
        // The runs of a workspace over its write limit stay queued, in their order.
        let may_write = writes::wait(&app, lane.workspace);
        app.stopping.run_until_cancelled(may_write).await;
        if app.stopping.is_cancelled() {
            // The remaining runs are in the store, for the next start or another node.
            return app.channels.queue.leave(lane, is_starting);
        }
        match app
            .channels
            .queue
            .next(lane, std::mem::take(&mut is_starting))
        {
            // It waits for its turn, and the runs after it need not.
            Next::Run(run) if app.journal.is_suspect(&item(&run)) => {
                let at = app.clone();
                let work = async move { carry_out(&at, *run).await };
                app.background
                    .spawn(tenant::scope(Some(lane.workspace), work));
            }
            Next::Run(run) => carry_out(&app, *run).await,
            Next::Claim => {
                if let Err(error) = claim(&app, lane).await {
                    tracing::error!(
                        error = &error as &dyn std::error::Error,
                        workspace = %lane.workspace,
                        channel.id = %lane.id,
                        "cannot claim the runs of channel {}",
                        lane.id
                    );
                    app.channels.queue.wake(lane, app.clock.now() + RETRY_DELAY);
                }
            }
            Next::Nothing => return,
        }
    }
}

/// Performs a run. Its result is written while the next one begins.
async fn carry_out(app: &Domain, run: Run) {
    let Some(guard) = journal::begin(app, item(&run)).await else {
        // The server stops, and the run is in the store.
        return;
    };
    let (id, workspace) = (run.id, run.lane.workspace);
    app.channels.queue.began(id, app.clock.now());
    let ended = perform(app, &guard, run).await;
    app.channels.queue.ended(id);
    let Some(ended) = ended else { return };
    let promise = writes::promise(app, workspace, ended.bytes());
    let permit = app.channels.queue.settling.take(workspace, 1).await;
    let at = app.clone();
    app.background.spawn(async move {
        ended.write(&at).await;
        drop((permit, promise, guard));
    });
}

/// The journal's item of a run.
pub fn item(run: &Run) -> Item {
    Item {
        kind: quarantine::Kind::Run,
        workspace: run.lane.workspace,
        parent: Uuid::nil(),
        id: run.id.0,
        seq: 0,
    }
}

/// Claims the next runs of a lane.
async fn claim(app: &Domain, lane: Lane) -> Result<()> {
    let (node, now) = (app.node, app.clock.now());
    let alone = app.channels.queue.claiming.take(lane.workspace, 1).await;
    let has_room = app.channels.queue.lock().room(lane.workspace) > 0;
    let limit = if has_room { CLAIM_BATCH } else { 1 };
    let write = move |tx: &mut Tx<'_>| run::claim(tx, node, now, lane, limit);
    let claimed = app.db.write(lane.workspace, write).await?;
    let is_full = i64::try_from(claimed.len()).is_ok_and(|claimed| claimed == limit);
    let is_empty = claimed.is_empty();
    app.channels.queue.put(lane, claimed, is_full);
    drop(alone);
    if !is_full {
        let read = move |conn: &mut prichal_store::Conn| run::next_due(conn, node, now, lane);
        if let Some(next) = app.db.read(read).await? {
            app.channels.queue.wake(lane, next);
        }
    }
    if !is_empty {
        app.channels.queue.start(app, lane);
    }
    Ok(())
}

/// Starts runs when they are due, until `stop`.
pub async fn run(app: Domain, stop: CancellationToken) -> anyhow::Result<()> {
    // The runs that this node owned before it was killed have no owner from now on.
    let node = app.node;
    let release = move |tx: &mut Tx<'_>| {
        run::release(tx, node)?;
        socket::release(tx, node)
    };
    let is_shared = app.db.engine() == Engine::Postgres;
    let mut next_poll = Some(app.clock.now());
    let (mut is_released, mut sweep) = (
        false,
        std::pin::pin!(tokio::time::sleep(IDLE_SWEEP_INTERVAL)),
    );
    while !stop.is_cancelled() {
        let now = app.clock.now();
        if app.channels.queue.must_poll.swap(false, Ordering::AcqRel) {
            next_poll = Some(now);
        }
        if next_poll.is_some_and(|at| at <= now) {
            let looked = async {
                if !is_released {
                    app.db.write(WorkspaceId(Uuid::nil()), release).await?;
                    is_released = true;
                }
                poll_store(&app, now).await
            };
            next_poll = match looked.await {
                Ok(()) => is_shared.then(|| now + POLL_INTERVAL),
                Err(error) => {
                    tracing::error!(
                        error = &error as &dyn std::error::Error,
                        "cannot look for queued runs"
                    );
                    Some(now + RETRY_DELAY)
                }
            };
        }
        let (due, next) = app.channels.queue.due(now);
        for lane in due {
            app.channels.queue.start(&app, lane);
        }
        let wake = async {
            match next.into_iter().chain(next_poll).min() {
                Some(at) => app.clock.sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = app.channels.queue.changed.notified() => {}
            () = wake => {}
            () = &mut sweep => {
                app.scripts.sweep();
                sweep.set(tokio::time::sleep(IDLE_SWEEP_INTERVAL));
            }
            () = stop.cancelled() => {}
        }
    }
    Ok(())
}

/// Reads the lanes with runs that have no owner, and their due times.
async fn poll_store(app: &Domain, now: Timestamp) -> Result<()> {
    let node = app.node;
    let mut after = None;
    loop {
        let read =
            move |conn: &mut prichal_store::Conn| run::lanes(conn, node, now, after, LANE_BATCH);
        let found = app.db.read(read).await?;
        for (lane, due) in &found {
            app.channels.queue.wake(*lane, *due);
        }
        after = found.last().map(|(lane, _)| *lane);
        if i64::try_from(found.len()).is_ok_and(|found| found < LANE_BATCH) {
            return Ok(());
        }
    }
}
