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

mod limited;

use std::{collections::VecDeque, sync::Arc, time::Duration};

use foldhash::{HashSet, HashSetExt as _};
use futures_util::{
    StreamExt as _,
    future::{BoxFuture, FutureExt as _, OptionFuture},
    stream::FuturesUnordered,
};
use prichal_core::{
    delivery_stats::Tally, event::Entity, id::generate, integration::Webhook as Definition,
    retry::Verdict, time::Timestamp,
};
use prichal_store::{
    LoggedEvent,
    delivery::{self, Deferred, Lane, resend},
    event,
    quarantine::{Item, Kind},
    webhook::{self, Key},
};
use tokio_util::sync::CancellationToken;

use limited::paced;

use super::{
    Hook, RETRY_DELAY,
    commit::{self, Batch, Queued, Subject},
    cursor::CursorWindow,
    limits::Limits,
    log::Next,
    state,
    target::{self, Attempt, AttemptResult, HealthChange, HealthState, Recipient, Target},
};
use crate::{
    delivery::Delivery,
    domain::journal::{self, ItemGuard},
    error::{Error, Result},
    platform::{
        outgoing::{connections::Connections, names::Requester, post::Outcome},
        share::Permit,
        writes,
    },
};

/// The maximum number of first calls of one webhook that run at once.
const MAX_CALLS: usize = 32;
/// The maximum number of calls of its side queue that run beside them.
const MAX_SIDE_CALLS: usize = 8;
/// The maximum number of events between the cursor and the newest one that was started.
const MAX_WINDOW_EVENTS: usize = 1024;
/// The maximum number of events that wait for a call about the same entity to end.
const MAX_PARKED_EVENTS: usize = 256;
/// The time a call may hold back the cursor before its event gets a deferred row of its own.
const DETACH_DELAY: Duration = Duration::from_secs(1);
/// The time without work after which a runner ends and closes its connections.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// The maximum number of events that are fetched from the store at once.
const MAX_FETCHED_EVENTS: i64 = 128;
/// The number that is fetched at least, because the webhook may want few of them.
const MIN_FETCHED_EVENTS: i64 = 16;

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

    /// Starts as many calls as the bounds allow. Returns false if the lease is lost.
    async fn fill(&mut self) -> Result<bool> {
        if !self.app.dispatch.holds(self.app.clock.now()) {
            // Another node may be about to take over, until the lease is renewed.
            return Ok(true);
        }
        if !self.prepare().await? {
            return Ok(false);
        }
        self.unpark();
        if self.limits.is_some() {
            return self.fill_within_limits().await;
        }
        if !self.fill_main(usize::MAX).await? {
            return Ok(false);
        }
        if self.hook.take_side_queue() || std::mem::take(&mut self.is_side_queue_due) {
            self.retry_due().await?;
            self.continue_replay().await?;
        }
        Ok(true)
    }

    /// Starts calls for events of the log. Accepts at most `limit` of them at a time. Returns false if the lease is lost.
    async fn fill_main(&mut self, mut limit: usize) -> Result<bool> {
        while limit > 0
            && !self.hook.is_stale()
            && self.main_calls() < MAX_CALLS
            && self.parked.len() < MAX_PARKED_EVENTS
            && self.window.len() < MAX_WINDOW_EVENTS
        {
            let lease = self.hook.lease;
            let next = match self.app.dispatch.lock().logs.get_mut(&lease.key.workspace) {
                Some(log) => log.next(&lease, self.window.position(), limit),
                None => Next::LeaseLost,
            };
            match next {
                Next::LeaseLost => return Ok(false),
                Next::CaughtUp { position } => {
                    self.window.advance(position);
                    break;
                }
                Next::Events { events, position } => self.accept(events, position),
                Next::InStore { position } => self.fetch(position, limit).await?,
            }
            limit = limit.min(self.room(Lane::Main));
        }
        // Events behind a parked one of another entity need not wait for it.
        self.unpark();
        Ok(true)
    }

    /// Resolves the receiver again if the webhook has changed. Returns false if it no longer exists.
    async fn prepare(&mut self) -> Result<bool> {
        if !self.hook.take_stale() && self.recipient.is_some() {
            return Ok(true);
        }
        let is_first = self.recipient.is_none();
        let key = self.hook.key();
        self.definition = self.hook.definition();
        let limited = self.load_limits().await;
        limited.inspect_err(|_| self.recipient = None)?;
        let found = self.target.resolve(&self.app, &self.hook).await;
        self.recipient = found.inspect_err(|_| self.recipient = None)?;
        if is_first
            && let Some(row) = self
                .app
                .db
                .read(move |conn| webhook::find(conn, key))
                .await
                .inspect_err(|_| self.recipient = None)?
        {
            self.health_state.streak = row.streak;
            self.is_failing = row.streak.failures > 0;
        }
        Ok(self.recipient.is_some())
    }

    /// Fetches events that are no longer in memory, and accepts them.
    async fn fetch(&mut self, position: i64, limit: usize) -> Result<()> {
        let workspace = self.hook.key().workspace;
        let count = i64::try_from(limit).unwrap_or(i64::MAX);
        let count = count.clamp(MIN_FETCHED_EVENTS, MAX_FETCHED_EVENTS);
        let events = self
            .app
            .db
            .read(move |conn| event::list(conn, workspace, position, count))
            .await?;
        let Some(last) = events.last().map(|event| event.seq) else {
            return Ok(());
        };
        let definition = self.hook.definition();
        let wanted = events
            .into_iter()
            .filter(|event| definition.wants(&event.head));
        let mut wanted: Vec<_> = wanted.map(Arc::new).collect();
        let mut position = last;
        if wanted.len() > limit {
            wanted.truncate(limit);
            position = wanted.last().map_or(position, |event| event.seq);
        }
        self.accept(wanted, position);
        Ok(())
    }

    /// Accepts the wanted events up to `position` for delivery.
    fn accept(&mut self, events: Vec<Arc<LoggedEvent>>, position: i64) {
        let now = self.app.clock.now();
        for event in events {
            self.window.start(event.seq, now);
            if self.is_held(event.seq) {
                self.defer_held(Lane::Main, event.seq);
                self.window.complete(event.seq);
                continue;
            }
            self.start_or_park(Job {
                event,
                lane: Lane::Main,
                attempt: 1,
                is_side: false,
            });
        }
        self.window.advance(position);
    }

    /// True if an event has to wait for its turn.
    fn is_suspect(&self, seq: i64) -> bool {
        self.app.journal.is_suspect(&item(self.hook.key(), seq))
    }

    /// True if an event is in quarantine.
    fn is_held(&self, seq: i64) -> bool {
        self.app.journal.is_held(&item(self.hook.key(), seq))
    }

    /// Gives an event in quarantine a deferred row, in which it waits for its release.
    fn defer_held(&mut self, lane: Lane, seq: i64) {
        self.batch.queue.push(Queued::Defer(Deferred {
            lane,
            seq,
            attempts: 0,
            due_at: self.app.clock.now(),
            in_flight: false,
        }));
    }

    fn start_or_park(&mut self, job: Job) {
        if self.parked.is_empty()
            && self.has_room(&job)
            && job.entities().all(|entity| !self.busy.contains(entity))
        {
            self.start(job);
        } else {
            self.parked.push_back(job);
        }
    }

    /// Starts the parked calls that may run now. Events of one entity keep their order.
    fn unpark(&mut self) {
        if self.parked.is_empty() {
            return;
        }
        let mut before: HashSet<Entity> = HashSet::new();
        for job in std::mem::take(&mut self.parked) {
            let free = job
                .entities()
                .all(|entity| !self.busy.contains(entity) && !before.contains(entity));
            if free && self.has_room(&job) {
                self.start(job);
            } else {
                before.extend(job.entities());
                self.parked.push_back(job);
            }
        }
    }

    /// True if the bound on calls allows this one. Calls of the side queue were counted when they were accepted.
    fn has_room(&self, job: &Job) -> bool {
        (job.is_side || self.main_calls() < MAX_CALLS) && self.free() > 0
    }

    fn main_calls(&self) -> usize {
        self.calls.len() + self.starting.len() - self.side_calls - self.suspect_calls
    }

    fn start(&mut self, job: Job) {
        if let Some(limits) = &self.limits
            && let Some(until) = limits.waits_until(job.lane, job.event.seq, job.event.entities())
        {
            // No call was made.
            let attempt = job.attempt - 1;
            self.record_verdict(&Job { attempt, ..job }, Verdict::DeferredUntil(until));
            return;
        }
        let pace = self.limits.as_ref().and_then(|limits| limits.pace.as_ref());
        let counted_at = pace.map(|pace| pace.note(self.app.clock.now()));
        self.busy.extend(job.entities());
        let is_suspect = self.is_suspect(job.event.seq);
        if is_suspect {
            self.suspect_calls += 1;
        } else if job.is_side {
            self.side_calls += 1;
        }
        self.starting.push(NewCall {
            job,
            is_suspect,
            counted_at,
        });
    }

    /// Starts the calls that were decided on in this turn. Those that need not wait begin together in the journal.
    fn start_calls(&mut self) {
        let Some(recipient) = self.recipient.clone() else {
            return;
        };
        let calls = std::mem::take(&mut self.starting);
        if calls.is_empty() {
            return;
        }
        let key = self.hook.key();
        let mut begun = Vec::new();
        if writes::over(&self.app, key.workspace).is_none() {
            let permits = calls
                .iter()
                .map_while(|_| self.app.calls.try_take(key.workspace, 1));
            let permits: Vec<Permit> = permits.collect();
            let items = calls.iter().take(permits.len());
            let items: Vec<Item> = items.map(|call| item(key, call.job.event.seq)).collect();
            if let Some(guards) = journal::begin_now(&self.app, &items) {
                begun = permits.into_iter().zip(guards).collect();
            }
        }
        let mut begun = begun.into_iter();
        for call in calls {
            self.call(recipient.clone(), call, begun.next());
        }
    }

    /// Makes a call: at once if it has begun in the journal and has its permit, else after its turn.
    fn call(
        &mut self,
        recipient: Arc<dyn Recipient>,
        call: NewCall,
        begun: Option<(Permit, ItemGuard)>,
    ) {
        let NewCall {
            job,
            is_suspect,
            counted_at,
        } = call;
        let (app, connections) = (self.app.clone(), self.connections.clone());
        let lease = self.hook.lease;
        let pace = self.limits.as_ref().and_then(|limits| limits.pace.clone());
        let pace = pace.zip(counted_at);
        self.calls.push(Box::pin(async move {
            let (_permit, guard) = if let Some((permit, guard)) = begun {
                (Some(permit), Some(guard))
            } else {
                // Each call leads to a write, so it waits until the workspace may write.
                let may_write = writes::wait(&app, lease.key.workspace);
                app.stopping.run_until_cancelled(may_write).await;
                // A suspect takes no room from the calls of others while it waits for its turn.
                let permit = if is_suspect {
                    None
                } else {
                    Some(app.calls.take(lease.key.workspace, 1).await)
                };
                let permit = match pace {
                    Some((pace, counted_at)) => {
                        let paced = paced(&app, lease.key.workspace, &pace, counted_at, permit);
                        Box::pin(paced).await
                    }
                    None => permit,
                };
                let guard = journal::begin(&app, item(lease.key, job.event.seq)).await;
                (permit, guard)
            };
            let ended = if guard.is_none() {
                // The server stops. The next start continues with this event.
                AttemptResult::Postponed(app.clock.now())
            } else {
                let attempt = Attempt {
                    lease,
                    connections: &connections,
                    event: &job.event,
                    lane: job.lane,
                    number: job.attempt,
                };
                recipient.deliver(&app, attempt).await
            };
            FinishedCall {
                job,
                ended,
                is_suspect,
                guard,
            }
        }));
    }

    /// Takes the result of a call into the batch.
    fn finish_call(&mut self, done: FinishedCall) {
        let FinishedCall {
            job,
            ended,
            is_suspect,
            guard,
        } = done;
        self.guards.extend(guard);
        if self.is_strictly_ordered() {
            // The check before the entity's next event must see the deferred row, if there is one.
            self.batch.held.extend(job.entities());
        } else {
            for entity in job.entities() {
                self.busy.remove(entity);
            }
        }
        if is_suspect {
            self.suspect_calls -= 1;
        } else if job.is_side {
            self.side_calls -= 1;
        }
        self.is_side_queue_due |= job.is_side;
        match ended {
            AttemptResult::Called(outcome) => self.record_attempt(&job, *outcome),
            AttemptResult::Postponed(until) => {
                // No call was made.
                let attempt = job.attempt - 1;
                self.record_verdict(&Job { attempt, ..job }, Verdict::DeferredUntil(until));
            }
            AttemptResult::Skipped => self.record_verdict(&job, Verdict::Delivered),
            AttemptResult::Lost => self.lost = true,
        }
    }

    fn record_attempt(&mut self, job: &Job, outcome: Outcome) {
        let now = self.app.clock.now();
        let schedule = self.target.schedule(&self.app.config);
        let settings = &self.definition.settings;
        let verdict = settings.judge(
            schedule,
            job.attempt,
            outcome.reply,
            outcome.retry_after,
            now,
        );
        let subject = Subject {
            event: job.event.id,
            seq: job.event.seq,
            about: Some(job.event.head.clone()),
            is_replay: job.lane == Lane::Replay,
        };
        let duration = outcome.duration;
        metrics::histogram!("prichal_delivery_seconds").record(duration);
        let attempt = commit::attempt(
            generate(now),
            self.hook.key().id,
            subject,
            job.attempt,
            outcome,
            verdict,
        );
        let failure = (verdict != Verdict::Delivered).then(|| {
            let error = attempt.error.clone().unwrap_or_default();
            (error, attempt.http_status)
        });
        self.tally.count(now, duration, failure);
        self.batch.attempts.push(attempt);
        metrics::counter!("prichal_delivery_attempts_total", "status" => commit::status(verdict))
            .increment(1);
        self.target
            .count(&mut self.health_state, &mut self.batch, verdict, now);
        self.record_verdict(job, verdict);
    }

    /// Completes an event or defers it, in the batch.
    fn record_verdict(&mut self, job: &Job, verdict: Verdict) {
        let (lane, seq) = (job.lane, job.event.seq);
        let first = lane == Lane::Main && !job.is_side;
        let has_row = job.is_side || first && self.detached.remove(&seq);
        if let Some(order) = self
            .limits
            .as_mut()
            .and_then(|limits| limits.order.as_mut())
        {
            match verdict {
                Verdict::DeferredUntil(at) => order.defer(lane, seq, job.event.entities(), at),
                _ => order.complete(lane, seq),
            }
        }
        match verdict {
            Verdict::DeferredUntil(due_at) => {
                let attempts = i64::from(job.attempt);
                self.batch.queue.push(Queued::Defer(Deferred {
                    lane,
                    seq,
                    attempts,
                    due_at,
                    in_flight: false,
                }));
            }
            Verdict::Delivered | Verdict::Exhausted | Verdict::Gone if has_row => {
                self.batch.queue.push(Queued::Complete(lane, seq));
            }
            Verdict::Delivered | Verdict::Exhausted | Verdict::Gone => {}
        }
        if first {
            self.window.complete(seq);
        }
    }

    /// Gives events whose calls hold back the cursor a deferred row each, so that the cursor can pass them.
    fn detach_blocking_calls(&mut self) {
        for seq in self.window.open_before(self.app.clock.now() - DETACH_DELAY) {
            let row = self.in_flight(Lane::Main, seq);
            self.batch.queue.push(row);
            self.detached.insert(seq);
            self.window.complete(seq);
        }
    }

    /// The row of an event with its first call in flight. It is not due while this runner lives. The next owner
    /// of the webhook makes it due.
    fn in_flight(&self, lane: Lane, seq: i64) -> Queued {
        let timeout = self.definition.settings.timeout;
        let timeout = timeout.unwrap_or(self.app.config.delivery_timeout);
        let due_at = self.app.clock.now() + timeout * 2;
        Queued::Defer(Deferred {
            lane,
            seq,
            attempts: 0,
            due_at,
            in_flight: true,
        })
    }

    /// The number of further calls that may be accepted from the side queue.
    fn side_room(&self) -> usize {
        let parked = self.parked.iter().filter(|job| job.is_side).count();
        let room = MAX_SIDE_CALLS.saturating_sub(self.side_calls + parked);
        room.min(self.room(Lane::Replay).saturating_sub(self.side_reserve))
    }

    /// Starts calls for deferred events that are due.
    async fn retry_due(&mut self) -> Result<()> {
        // Suspects take no room, so others may be due behind them.
        while self.retry_some().await? {}
        Ok(())
    }

    /// Starts as many of these calls as there is room for. Returns true if a suspect was among them.
    async fn retry_some(&mut self) -> Result<bool> {
        let room = self.side_room();
        if room == 0 {
            return Ok(false);
        }
        let (key, now) = (self.hook.key(), self.app.clock.now());
        // Some of the rows found may have a call in flight, and those come first.
        let limit = i64::try_from(room + self.retrying.len()).unwrap_or(i64::MAX);
        let found = self.app.db.read(move |conn| {
            let due = delivery::list_due(conn, key, now, limit)?;
            let with_event = due
                .into_iter()
                .map(|row| Ok((event::find(conn, key.workspace, row.seq)?, row)));
            with_event.collect::<Result<Vec<_>>>()
        });
        let found = found
            .await?
            .into_iter()
            .filter(|(_, row)| !self.retrying.contains(&(row.lane, row.seq)));
        let mut has_suspect = false;
        for (event, row) in found.take(room).collect::<Vec<_>>() {
            let Some(event) = event else {
                self.batch.queue.push(Queued::Complete(row.lane, row.seq));
                if let Some(order) = self
                    .limits
                    .as_mut()
                    .and_then(|limits| limits.order.as_mut())
                {
                    order.complete(row.lane, row.seq);
                }
                continue;
            };
            has_suspect |= self.is_suspect(row.seq);
            self.retrying.insert((row.lane, row.seq));
            let attempt = u32::try_from(row.attempts).unwrap_or(0).saturating_add(1);
            self.start_or_park(Job {
                event: Arc::new(event),
                lane: row.lane,
                attempt,
                is_side: true,
            });
        }
        Ok(has_suspect)
    }

    /// Accepts the next events of the oldest replay. Each gets a deferred row at once, so that the replay's
    /// cursor need not wait for the calls.
    async fn continue_replay(&mut self) -> Result<()> {
        let room = self.side_room();
        let is_closed = self
            .limits
            .as_ref()
            .is_some_and(|limits| limits.is_closed(Lane::Replay));
        if room == 0
            || is_closed
            || self.replay_at.is_some()
            || self.batch.replay.is_some()
            || self.writing_batch.replay.is_some()
        {
            return Ok(());
        }
        let (key, target) = (self.hook.key(), self.target);
        let limit = i64::try_from(room).unwrap_or(1);
        let found = self.app.db.read(move |conn| {
            let Some(replay) = delivery::first_replay(conn, key)? else {
                return Ok::<_, Error>(None);
            };
            let events = if replay.rate.is_some() {
                resend::next_events(conn, key, &replay, limit)?
            } else {
                target.replayable(conn, key.workspace, replay.cursor, limit)?
            };
            Ok(Some((replay, events)))
        });
        let Some((mut replay, events)) = found.await? else {
            return Ok(());
        };
        let definition = self.hook.definition();
        let start = replay.cursor;
        self.replay_at = replay.rate.map(|rate| {
            let rate = u32::try_from(rate).unwrap_or(1).max(1);
            let count = u32::try_from(events.len()).unwrap_or(1);
            self.app.clock.now() + Duration::from_secs(1) * count / rate
        });
        if events.is_empty() {
            replay.cursor = replay.last;
        }
        for event in events {
            let (lane, seq) = (Lane::Replay, event.seq);
            if seq <= replay.last && self.retrying.contains(&(lane, seq)) {
                // An earlier replay still delivers this event. This replay wants a call of its own, and waits.
                if replay.cursor == start {
                    return Ok(());
                }
                break;
            }
            replay.cursor = seq.min(replay.last);
            if seq > replay.last {
                break;
            }
            // Selected events were asked for, whatever the filter is now.
            if replay.rate.is_none() && !definition.wants(&event.head) {
                continue;
            }
            if self.is_held(seq) {
                self.defer_held(lane, seq);
            } else {
                self.retrying.insert((lane, seq));
                let row = self.in_flight(lane, seq);
                self.batch.queue.push(row);
                self.start_or_park(Job {
                    event: Arc::new(event),
                    lane,
                    attempt: 1,
                    is_side: true,
                });
            }
        }
        self.batch.replay = Some(replay);
        Ok(())
    }

    /// Lets the replay go on, whose rate allows it again.
    fn resume_replay(&mut self) {
        self.replay_at = None;
        self.is_side_queue_due = true;
    }

    /// Starts a write of the batch, unless it is empty or another write runs.
    fn start_writing(&mut self) {
        let cursor = self.window.cursor();
        let is_unchanged = self.batch.is_empty() && self.guards.is_empty();
        if self.writing.is_some() || (is_unchanged && cursor == self.written) {
            return;
        }
        let mut batch = std::mem::take(&mut self.batch);
        batch.cursor = cursor;
        let calls = std::mem::take(&mut self.tally);
        let (now, at_once) = (self.app.clock.now(), batch.streak.is_some());
        batch
            .tally
            .merge(self.hook.unsaved.add(calls, at_once, now));
        let batch = Arc::new(batch);
        self.writing_batch = batch.clone();
        self.writing_guards = std::mem::take(&mut self.guards);
        let (app, lease) = (self.app.clone(), self.hook.lease);
        let origin = commit::origin(&lease, now);
        self.writing = Some(Box::pin(async move {
            let db = app.db.clone();
            db.write_deferred(lease.key.workspace, move |tx| {
                commit::write(&app.vault, tx, &lease, &batch, &origin)
            })
            .await
        }));
    }

    /// Handles the end of a write. Returns false if the lease is lost.
    async fn finish_write(&mut self, outcome: Result<bool>) -> bool {
        self.writing = None;
        let batch = std::mem::take(&mut self.writing_batch);
        let guards = std::mem::take(&mut self.writing_guards);
        match outcome {
            Ok(true) => {
                self.apply_written(&batch);
                journal::end_all(guards);
                true
            }
            Ok(false) => false,
            Err(error) => {
                log_error(&error, &self.hook, "cannot write results");
                let batch = Arc::unwrap_or_clone(batch);
                self.batch = std::mem::take(&mut self.batch).after(batch);
                self.guards.extend(guards);
                self.app.clock.sleep(RETRY_DELAY).await;
                true
            }
        }
    }

    fn apply_written(&mut self, batch: &Batch) {
        self.written = batch.cursor;
        state::tell_batch(&self.app, self.hook.key(), batch, &mut self.is_failing);
        for queued in &batch.queue {
            match queued {
                Queued::Complete(lane, seq) => {
                    self.retrying.remove(&(*lane, *seq));
                    self.is_side_queue_due |= *lane == Lane::Replay;
                }
                Queued::Defer(deferred) if !deferred.in_flight => {
                    self.retrying.remove(&(deferred.lane, deferred.seq));
                    self.is_side_queue_due |= deferred.lane == Lane::Replay;
                    self.app.dispatch.deferred(deferred.due_at);
                }
                Queued::Defer(_) => {}
            }
        }
        for entity in &batch.held {
            self.busy.remove(entity);
        }
        if batch.health == Some(HealthChange::Paused) {
            let key = self.hook.key();
            self.app
                .dispatch
                .hook_changed(key.workspace, key.integration);
        }
        // The replay may have more events.
        self.is_side_queue_due |= batch.replay.is_some();
    }
}

fn log_error(error: &Error, hook: &Hook, what: &'static str) {
    let Key { workspace, id, .. } = hook.key();
    tracing::error!(error = error as &dyn std::error::Error, %workspace, webhook.id = %id, "webhook {id}: {what}; trying again");
}
