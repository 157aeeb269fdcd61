//! The runner of one webhook: reads its events from the log, makes the calls and writes their results.
//!
//! Calls run concurrently up to a bound, never two at once for the same entity. Later events overtake one that
//! failed, unless the target is strictly ordered ([`Target::is_strictly_ordered`]). Results are written in
//! batches, one write at a time; the next batch gathers meanwhile. A batch whose write failed is kept and
//! written again, and the runner accepts no new events once the window is full. No row is written before a
//! call, so a crash repeats the calls in flight and those whose results were not yet written.
//!
//! The side queue of a webhook is its deferred events and its replays. Its calls run beside those of the main
//! lane and have a bound of their own.

mod calls;
mod intake;
mod limited;
mod results;
mod side_queue;

use std::{collections::VecDeque, sync::Arc, time::Duration};

use foldhash::{HashSet, HashSetExt as _};
use futures_util::{
    StreamExt as _,
    future::{BoxFuture, FutureExt as _, OptionFuture},
    stream::FuturesUnordered,
};
use prichal_core::{
    delivery_stats::Tally, event::Entity, integration::Webhook as Definition, time::Timestamp,
};
use prichal_store::{
    LoggedEvent,
    delivery::Lane,
    quarantine::{Item, Kind},
    webhook::Key,
};
use tokio_util::sync::CancellationToken;

use super::{
    Hook, RETRY_DELAY,
    commit::Batch,
    cursor::CursorWindow,
    limits::Limits,
    target::{self, AttemptResult, HealthState, Recipient, Target},
};
use crate::{
    delivery::Delivery,
    domain::journal::ItemGuard,
    error::{Error, Result},
    platform::outgoing::{connections::Connections, names::Requester},
};

/// The maximum number of first calls of one webhook that run at once.
const MAX_CALLS: usize = 32;
/// The maximum number of calls of its side queue that run beside them.
const MAX_SIDE_CALLS: usize = 8;
/// The maximum number of events between the cursor and the newest one that was started.
const MAX_WINDOW_EVENTS: usize = 1024;
/// The time a call may hold back the cursor before its event gets a deferred row of its own.
const DETACH_DELAY: Duration = Duration::from_secs(1);
/// The time without work after which a runner ends and closes its connections.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// A delivery of one event, before its call.
struct Job {
    event: Arc<LoggedEvent>,
    lane: Lane,
    /// The number of the call for this event, from 1.
    attempt: u32,
    /// True for an event of the side queue, which has a row among the deferred events.
    is_side: bool,
}

/// The journal's item for the delivery of an event.
fn item(key: Key, seq: i64) -> Item {
    Item {
        kind: Kind::Delivery,
        workspace: key.workspace,
        parent: key.integration.0,
        id: key.id.0,
        seq,
    }
}

impl Job {
    fn entities(&self) -> impl Iterator<Item = &Entity> {
        self.event.entities().iter()
    }
}

/// A call that is about to start.
struct NewCall {
    job: Job,
    is_suspect: bool,
    /// The time at which the rate limit has counted the call, if there is one.
    counted_at: Option<Timestamp>,
}

struct FinishedCall {
    job: Job,
    ended: AttemptResult,
    /// True if the call was counted as one of a suspect.
    is_suspect: bool,
    /// The journal's entry, which lasts until the result is written.
    guard: Option<ItemGuard>,
}

pub(super) struct Runner {
    app: Delivery,
    hook: Arc<Hook>,
    stop: CancellationToken,
    target: &'static dyn Target,
    recipient: Option<Arc<dyn Recipient>>,
    definition: Arc<Definition>,
    /// The bounds of the settings, if they set any.
    limits: Option<Box<Limits>>,
    connections: Arc<Connections>,
    window: CursorWindow,
    calls: FuturesUnordered<BoxFuture<'static, FinishedCall>>,
    /// The calls that start at the end of this turn.
    starting: Vec<NewCall>,
    side_calls: usize,
    /// The calls that the side queue leaves to the main lane in this turn.
    side_reserve: usize,
    /// The calls of suspects, which wait for their turns and count towards no bound.
    suspect_calls: usize,
    busy: HashSet<Entity>,
    parked: VecDeque<Job>,
    /// Events of the side queue with a call in flight or a result that is not yet written.
    retrying: HashSet<(Lane, i64)>,
    /// Events of the main lane that got a deferred row while their first call is in flight.
    detached: HashSet<i64>,
    /// The time until which the rate of a replay allows no further event.
    replay_at: Option<Timestamp>,
    /// True if the side queue has to be read.
    is_side_queue_due: bool,
    /// True after a call found that the lease is lost.
    lost: bool,
    health_state: HealthState,
    /// True if the listeners of the workspace know that calls fail.
    is_failing: bool,
    /// The calls of the batch, for the figures.
    tally: Tally,
    batch: Batch,
    /// The journal's entries of the calls whose results are in the batch.
    guards: Vec<ItemGuard>,
    written: i64,
    writing: Option<BoxFuture<'static, Result<bool>>>,
    /// The batch that is being written, kept in case the write fails.
    writing_batch: Arc<Batch>,
    /// The journal's entries that end once that batch is written.
    writing_guards: Vec<ItemGuard>,
}

/// The reason for the end of a runner.
pub(super) enum Exit {
    Idle,
    LeaseLost,
    Panicked,
    Stopped,
}

impl Runner {
    pub(super) fn new(
        app: Delivery,
        hook: Arc<Hook>,
        position: i64,
        stop: CancellationToken,
    ) -> Self {
        Self {
            app,
            connections: Arc::new(Connections::new(
                MAX_CALLS + MAX_SIDE_CALLS,
                Requester::Workspace(hook.lease.key.workspace),
            )),
            target: target::of(hook.lease.key),
            definition: hook.definition(),
            limits: None,
            hook,
            stop,
            recipient: None,
            window: CursorWindow::new(position),
            calls: FuturesUnordered::new(),
            starting: Vec::new(),
            side_calls: 0,
            side_reserve: 0,
            suspect_calls: 0,
            busy: HashSet::new(),
            parked: VecDeque::new(),
            retrying: HashSet::new(),
            detached: HashSet::new(),
            replay_at: None,
            is_side_queue_due: false,
            lost: false,
            health_state: HealthState::default(),
            is_failing: false,
            tally: Tally::default(),
            batch: Batch::default(),
            guards: Vec::new(),
            written: position,
            writing: None,
            writing_batch: Arc::default(),
            writing_guards: Vec::new(),
        }
    }

    /// Runs until the webhook is idle for a while, the lease is lost or the server stops. At a stop, calls in
    /// flight are finished and their results written first.
    pub(super) async fn run(mut self) -> Exit {
        loop {
            let stopping = self.stop.is_cancelled();
            let filled = if stopping {
                Ok(true)
            } else {
                self.fill().await
            };
            self.start_calls();
            match filled {
                Ok(true) => {}
                Ok(false) => return Exit::LeaseLost,
                Err(error) => {
                    log_error(&error, &self.hook, "cannot read its events");
                    if self.calls.is_empty() && self.writing.is_none() {
                        self.app.clock.sleep(RETRY_DELAY).await;
                        continue;
                    }
                }
            }
            self.start_writing();
            if !self.calls.is_empty() || self.writing.is_some() {
                if !self.step().await {
                    return Exit::LeaseLost;
                }
            } else if stopping {
                return Exit::Stopped;
            } else if self.wait_idle().await {
                return Exit::Idle;
            }
        }
    }

    /// Waits for the end of a call or of a write, or for a wake-up. Returns false if the lease is lost.
    async fn step(&mut self) -> bool {
        let (hook, app, stop) = (self.hook.clone(), self.app.clone(), self.stop.clone());
        let blocked = self.window.blocked_since();
        let detach_at = blocked.map(|since| since + DETACH_DELAY);
        let wake_at = [detach_at, self.limited_until()]
            .into_iter()
            .flatten()
            .min();
        tokio::select! {
            biased;
            Some(done) = self.calls.next() => {
                self.finish_call(done);
                // Other calls that ended meanwhile are handled in the same turn.
                while let Some(Some(done)) = self.calls.next().now_or_never() {
                    self.finish_call(done);
                }
                return !self.lost;
            }
            Some(outcome) = OptionFuture::from(self.writing.as_mut()) => return self.finish_write(outcome).await,
            () = hook.notify.notified() => {}
            () = stop.cancelled(), if !stop.is_cancelled() => {}
            Some(()) = OptionFuture::from(wake_at.map(|at| app.clock.sleep_until(at))) => self.detach_blocking_calls(),
            Some(()) = OptionFuture::from(self.replay_at.map(|at| app.clock.sleep_until(at))) => self.resume_replay(),
        }
        true
    }

    /// Waits for a wake-up while no call is in flight. Returns true if the runner is to end.
    async fn wait_idle(&mut self) -> bool {
        let clock = self.app.clock.clone();
        let limited_until = self.limited_until();
        tokio::select! {
            Some(()) = OptionFuture::from(self.replay_at.map(|at| clock.sleep_until(at))) => {
                self.resume_replay();
                false
            }
            () = self.hook.notify.notified() => false,
            () = self.stop.cancelled() => false,
            Some(()) = OptionFuture::from(limited_until.map(|at| self.app.clock.sleep_until(at))) => false,
            () = self.app.clock.sleep(IDLE_TIMEOUT), if limited_until.is_none() => {
                let (lease, cursor) = (self.hook.lease, self.written);
                let mut state = self.app.dispatch.lock();
                state.logs.get_mut(&lease.key.workspace).is_none_or(|log| log.end_runner(&lease, cursor))
            }
        }
    }
}

fn log_error(error: &Error, hook: &Hook, what: &'static str) {
    let Key { workspace, id, .. } = hook.key();
    tracing::error!(error = error as &dyn std::error::Error, %workspace, webhook.id = %id, "webhook {id}: {what}; trying again");
}
