//! The runs that wait.
//!
//! What is accepted is in the store before anybody is told so. A node keeps the next runs of each lane in
//! memory as their owner, and what has no room there has no owner: whoever has room claims it. After a
//! crash the runs of the dead node are anybody's.
//!
//! Lanes share nothing but the processes that run scripts, and those in turns: a channel whose script hangs
//! holds up itself.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use prichal_core::{
    channel::Channel,
    id::{EntityId, RunId, WorkspaceId},
    script::Script,
    time::Timestamp,
};
use prichal_store::{
    Engine, Tx,
    quarantine::{self, Item},
    run::{self, Kind, Lane, Run, State},
    sealed::Column,
    socket, tenant,
};
use serde_json::Value;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;
use uuid::Uuid;

use super::{
    request::{Request, START},
    run::perform,
};
use crate::platform::access::ChannelHandle;
use crate::{
    domain::{Domain, journal},
    error::{Error, Result},
    platform::{share::FairShare, vault, writes},
};

/// How many runs of a lane wait in memory.
const WAITING: usize = 256;
/// How many bytes all of them may have, and those of one workspace.
const BYTES: usize = 32 << 20;
const SHARE: usize = 24 << 20;
/// How many runs of a lane go on at once.
const TOGETHER: usize = 8;
/// How many runs are claimed at once; one while memory holds enough.
const CLAIM: i64 = 16;
/// How many lanes are looked at in one read.
const LANES: i64 = 10_000;
/// How often the store is looked at where other nodes write to it.
const LOOK: Duration = Duration::from_secs(1);
/// How often processes that wait for nothing are ended.
const SWEEP: Duration = Duration::from_secs(15);
/// How long to wait after the store failed.
const PAUSE: Duration = Duration::from_secs(1);
/// How many runs that have ended wait to be written: the next ones do not wait for that.
const SETTLING: usize = 256;
/// The longest message, in bytes.
const MESSAGE: usize = 1 << 20;

pub struct Queue {
    state: Mutex<Waiting>,
    changed: Notify,
    /// Whether the store has to be looked at again.
    is_doubtful: AtomicBool,
    /// How many runs may wait to be written at their end.
    settling: FairShare,
    /// Held while runs are claimed, so that many lanes together do not claim more than fits.
    claiming: FairShare,
}

impl Default for Queue {
    fn default() -> Self {
        Self {
            state: Mutex::default(),
            changed: Notify::new(),
            is_doubtful: AtomicBool::new(false),
            settling: FairShare::new(SETTLING, SETTLING / 2),
            claiming: FairShare::new(1, 1),
        }
    }
}

#[derive(Default)]
struct Waiting {
    lanes: HashMap<Lane, LaneState>,
    bytes: usize,
    of: HashMap<WorkspaceId, usize>,
    /// What is at work, and since when.
    running: HashMap<RunId, Timestamp>,
    /// When runs are due that nobody has in memory.
    alarms: HashMap<Lane, Timestamp>,
}

#[derive(Default)]
struct LaneState {
    ready: VecDeque<Run>,
    /// Places that were given out for runs that are being written.
    reserved: usize,
    working: usize,
    /// Those of them that have yet to take their first run.
    starting: usize,
    /// Whether the store may have more that is due.
    is_behind: bool,
}

impl LaneState {
    fn is_idle(&self) -> bool {
        self.ready.is_empty() && self.reserved == 0 && self.working == 0 && !self.is_behind
    }
}

fn size(run: &Run) -> usize {
    run.request.as_ref().map_or(0, Vec::len) + 512
}

/// Whether there is any way for the channel to send.
pub fn can_send(channel: &Channel) -> bool {
    ["url", "send_svcscriptcode", "send_svcscriptcode_ws"]
        .iter()
        .any(|name| !channel.text(name).is_empty())
}

/// The place of what a run is about.
fn request_place(workspace: WorkspaceId, id: RunId) -> vault::Place {
    vault::Place::new(Column::RunRequest.name(), &[&workspace, &id])
}

/// The request of a run, as it is kept.
pub fn seal(app: &Domain, workspace: WorkspaceId, id: RunId, text: &[u8]) -> Vec<u8> {
    app.vault.seal(&request_place(workspace, id), text)
}

fn close(app: &Domain, workspace: WorkspaceId, id: RunId, request: &Request) -> Result<Vec<u8>> {
    let text = serde_json::to_vec(request).map_err(Error::internal)?;
    Ok(seal(app, workspace, id, &text))
}

/// What a run is about.
pub fn request_of(app: &Domain, run: &Run) -> Option<Request> {
    let place = request_place(run.lane.workspace, run.id);
    let text = app.vault.open(&place, run.request.as_ref()?)?;
    serde_json::from_slice(&text).ok()
}

/// The run of a request to a channel.
pub fn hook(
    app: &Domain,
    handle: &ChannelHandle,
    request: &Request,
    now: Timestamp,
) -> Result<Run> {
    let id = RunId::generate(now);
    Ok(Run {
        id,
        lane: handle.lane(),
        channel: Some(handle.lane().id),
        kind: Kind::Hook,
        code: handle.channel.text("recv_svcscriptcode").to_owned(),
        request: Some(close(app, handle.workspace, id, request)?),
        state: State::queued(now),
    })
}

/// The run of a script that somebody starts.
pub fn start(
    app: &Domain,
    workspace: WorkspaceId,
    script: &Script,
    params: Vec<Value>,
    now: Timestamp,
) -> Result<Run> {
    let request = Request {
        method: START.to_owned(),
        params,
        ..Request::default()
    };
    let id = RunId::generate(now);
    Ok(Run {
        id,
        lane: Lane {
            workspace,
            id: EntityId(script.id),
        },
        channel: None,
        kind: Kind::Start,
        code: script.code().to_owned(),
        request: Some(close(app, workspace, id, &request)?),
        state: State::queued(now),
    })
}

/// The run of a message, which is JSON, that a channel sends at a time, `depth` runs after the first.
pub fn message(
    app: &Domain,
    workspace: WorkspaceId,
    channel: &Channel,
    text: String,
    due_at: Timestamp,
    depth: u32,
) -> Result<Run> {
    if text.len() > MESSAGE {
        return Err(Error::TooLarge {
            limit: MESSAGE as u64,
        });
    }
    let request = Request {
        method: "SEND".to_owned(),
        text,
        is_json: true,
        depth,
        ..Request::default()
    };
    let id = RunId::generate(app.clock.now());
    Ok(Run {
        id,
        lane: Lane {
            workspace,
            id: EntityId(channel.id),
        },
        channel: Some(EntityId(channel.id)),
        kind: Kind::Send,
        code: channel.text("send_svcscriptcode").to_owned(),
        request: Some(close(app, workspace, id, &request)?),
        state: State::queued(due_at),
    })
}

/// A run on its way into the store, with room for it in memory if there was some.
pub struct Place<'a> {
    queue: &'a Queue,
    run: Option<Run>,
    has_room: bool,
}

impl Place<'_> {
    pub fn run(&self) -> &Run {
        self.run.as_ref().expect("it is there until it is taken")
    }

    /// Who shall own it.
    pub fn owner(&self, app: &Domain) -> Option<Uuid> {
        self.has_room.then_some(app.node)
    }

    /// The run is in the store: it begins when its turn comes.
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
                known.is_behind = true;
            }
        }
        self.queue.start(app, lane);
    }
}

/// Puts a run into the queue, to its end even when whoever asks for it has gone meanwhile: a run that is in
/// the store with an owner has to get into the owner's memory.
pub async fn enqueue<T: Send + 'static>(
    app: &Domain,
    work: impl Future<Output = Result<T>> + Send + 'static,
) -> Result<T> {
    let work = tenant::scope(tenant::current(), work.in_current_span());
    app.background.spawn(work).await.map_err(Error::internal)?
}

impl Drop for Place<'_> {
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
    /// How many bytes of a workspace there is room for.
    fn room(&self, workspace: WorkspaceId) -> usize {
        let own = self.of.get(&workspace).copied().unwrap_or(0);
        SHARE
            .saturating_sub(own)
            .min(BYTES.saturating_sub(self.bytes))
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
    /// Keeps room for a run, if there is some.
    pub fn reserve(&self, run: Run) -> Place<'_> {
        let mut state = self.lock();
        let fits = size(&run) <= state.room(run.lane.workspace);
        let lane = state.lanes.entry(run.lane).or_default();
        // Behind those that have no room, no later one may come first.
        let has_room = fits && !lane.is_behind && lane.ready.len() + lane.reserved < WAITING;
        if has_room {
            lane.reserved += 1;
            state.take(&run);
        } else {
            state.prune(run.lane);
        }
        drop(state);
        Place {
            queue: self,
            run: Some(run),
            has_room,
        }
    }

    /// Something of a lane is due in the store, now or at a time.
    pub fn wake(&self, lane: Lane, at: Timestamp) {
        let mut state = self.lock();
        let alarm = state.alarms.entry(lane).or_insert(at);
        *alarm = (*alarm).min(at);
        drop(state);
        self.changed.notify_one();
    }

    /// Has the store looked at: it may have runs that nobody has.
    pub fn look(&self) {
        self.is_doubtful.store(true, Ordering::Release);
        self.changed.notify_one();
    }

    /// Has a lane's runs done, as many at once as it may have.
    fn start(&self, app: &Domain, lane: Lane) {
        let mut state = self.lock();
        let Some(known) = state.lanes.get_mut(&lane) else {
            return;
        };
        let waiting = known.ready.len() + usize::from(known.is_behind);
        let more = waiting
            .saturating_sub(known.starting)
            .min(TOGETHER - known.working);
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
        if std::mem::take(&mut known.is_behind) {
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

    /// Since when a run is at work on this node.
    pub fn running_since(&self, id: RunId) -> Option<Timestamp> {
        self.lock().running.get(&id).copied()
    }

    /// A worker of a lane ends before its work does.
    fn leave(&self, lane: Lane, is_starting: bool) {
        let mut state = self.lock();
        if let Some(known) = state.lanes.get_mut(&lane) {
            known.working -= 1;
            known.starting -= usize::from(is_starting);
        }
        state.prune(lane);
    }

    /// Puts what was claimed before what came since.
    fn put(&self, lane: Lane, claimed: Vec<Run>, more: bool) {
        let mut state = self.lock();
        claimed.iter().for_each(|run| state.take(run));
        let known = state.lanes.entry(lane).or_default();
        known.is_behind |= more;
        for run in claimed.into_iter().rev() {
            known.ready.push_front(run);
        }
    }

    /// The lanes that are due by now, and when the next one is.
    fn due(&self, now: Timestamp) -> (Vec<Lane>, Option<Timestamp>) {
        let mut state = self.lock();
        let due: Vec<Lane> = state
            .alarms
            .iter()
            .filter(|(_, at)| **at <= now)
            .map(|(lane, _)| *lane)
            .collect();
        for lane in &due {
            state.alarms.remove(lane);
            state.lanes.entry(*lane).or_default().is_behind = true;
        }
        (due, state.alarms.values().copied().min())
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

/// Does the runs of a lane one after the other, until there are no more.
async fn work(app: Domain, lane: Lane) {
    let mut is_starting = true;
    loop {
        // What a workspace that has written too much has waiting stays where it is, and in its order.
        let may_write = writes::wait(&app, lane.workspace);
        app.stopping.run_until_cancelled(may_write).await;
        if app.stopping.is_cancelled() {
            // What is left is in the store, for the next start or another node.
            return app.channels.queue.leave(lane, is_starting);
        }
        match app
            .channels
            .queue
            .next(lane, std::mem::take(&mut is_starting))
        {
            Next::Run(run) => {
                let Some(flight) = journal::begin(&app, item(&run)).await else {
                    return app.channels.queue.leave(lane, false);
                };
                let id = run.id;
                app.channels.queue.began(id, app.clock.now());
                let ended = perform(&app, &flight, *run).await;
                app.channels.queue.ended(id);
                let Some(ended) = ended else { continue };
                let promise = writes::promise(&app, lane.workspace, ended.bytes());
                let permit = app.channels.queue.settling.take(lane.workspace, 1).await;
                let at = app.clone();
                app.background.spawn(async move {
                    ended.settle(&at).await;
                    drop((permit, promise, flight));
                });
            }
            Next::Claim => {
                if let Err(error) = claim(&app, lane).await {
                    tracing::error!(
                        error = &error as &dyn std::error::Error,
                        "cannot claim runs"
                    );
                    app.channels.queue.wake(lane, app.clock.now() + PAUSE);
                }
            }
            Next::Nothing => return,
        }
    }
}

/// A run as the journal knows it.
pub fn item(run: &Run) -> Item {
    Item {
        kind: quarantine::Kind::Run,
        workspace: run.lane.workspace,
        parent: Uuid::nil(),
        id: run.id.0,
        seq: 0,
    }
}

/// Takes the next runs of a lane into memory.
async fn claim(app: &Domain, lane: Lane) -> Result<()> {
    let (node, now) = (app.node, app.clock.now());
    let alone = app.channels.queue.claiming.take(lane.workspace, 1).await;
    let has_room = app.channels.queue.lock().room(lane.workspace) > 0;
    let limit = if has_room { CLAIM } else { 1 };
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

/// Watches what is due until `stop`.
pub async fn run(app: Domain, stop: CancellationToken) -> anyhow::Result<()> {
    // What this node had in memory before it was killed is nobody's now.
    let node = app.node;
    let release = move |tx: &mut Tx<'_>| {
        run::release(tx, node)?;
        socket::release(tx, node)
    };
    let is_shared = app.db.engine() == Engine::Postgres;
    let mut next_look = Some(app.clock.now());
    let (mut is_released, mut sweep) = (false, std::pin::pin!(tokio::time::sleep(SWEEP)));
    while !stop.is_cancelled() {
        let now = app.clock.now();
        if app.channels.queue.is_doubtful.swap(false, Ordering::AcqRel) {
            next_look = Some(now);
        }
        if next_look.is_some_and(|at| at <= now) {
            let looked = async {
                if !is_released {
                    app.db.write(WorkspaceId(Uuid::nil()), release).await?;
                    is_released = true;
                }
                look(&app, now).await
            };
            next_look = match looked.await {
                Ok(()) => is_shared.then(|| now + LOOK),
                Err(error) => {
                    tracing::error!(
                        error = &error as &dyn std::error::Error,
                        "cannot look for runs that wait"
                    );
                    Some(now + PAUSE)
                }
            };
        }
        let (due, next) = app.channels.queue.due(now);
        for lane in due {
            app.channels.queue.start(&app, lane);
        }
        let wake = async {
            match next.into_iter().chain(next_look).min() {
                Some(at) => app.clock.sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = app.channels.queue.changed.notified() => {}
            () = wake => {}
            () = &mut sweep => {
                app.scripts.sweep();
                sweep.set(tokio::time::sleep(SWEEP));
            }
            () = stop.cancelled() => {}
        }
    }
    Ok(())
}

/// Finds out which lanes have runs that nobody has, and when they are due.
async fn look(app: &Domain, now: Timestamp) -> Result<()> {
    let node = app.node;
    let mut after = None;
    loop {
        let read = move |conn: &mut prichal_store::Conn| run::lanes(conn, node, now, after, LANES);
        let found = app.db.read(read).await?;
        for (lane, due) in &found {
            app.channels.queue.wake(*lane, *due);
        }
        after = found.last().map(|(lane, _)| *lane);
        if i64::try_from(found.len()).is_ok_and(|found| found < LANES) {
            return Ok(());
        }
    }
}
