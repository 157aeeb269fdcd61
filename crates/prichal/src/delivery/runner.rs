//! The runner of one webhook: takes its events off the log, calls, and writes what came of it.
//!
//! Calls run concurrently up to a bound, never two at once for the same entity. An event that has failed is
//! overtaken by later ones, unless its target is strict ([`Target::is_strict`]). What came of the calls is
//! written in batches, one write at a time; while it runs, the next batch gathers. A batch that could not be
//! written is kept and tried again, and the runner takes on nothing new meanwhile once the window is full.
//! Nothing is written before a call, so a crash repeats what was in flight, and what was settled but not yet
//! written.

use std::{
    collections::{HashSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use futures_util::{
    StreamExt as _,
    future::{BoxFuture, FutureExt as _, OptionFuture},
    stream::FuturesUnordered,
};
use prichal_core::{event::Entity, id::generate, retry::Verdict};
use prichal_store::{
    LoggedEvent,
    delivery::{self, Deferred, Lane},
    event,
    quarantine::{Item, Kind},
    webhook,
};
use tokio_util::sync::CancellationToken;

use super::{
    Hook,
    commit::{self, Batch, Queued},
    cursor::Line,
    log::Next,
    target::{self, Attempt, Ended, Health, Recipient, Standing, Target},
};
use crate::{
    delivery::Delivery,
    domain::journal::{self, Flight},
    error::{Error, Result},
    platform::{
        outgoing::{connections::Connections, names::Requester, post::Outcome},
        writes,
    },
};

/// How many first calls of one webhook may run at once.
const CALLS: usize = 32;
/// How many further calls, of deferred and replayed events, may run beside them.
const SIDE_CALLS: usize = 8;
/// How many events may lie between the cursor and the newest one that was started.
const WINDOW: usize = 1024;
/// How many events may wait for another call about the same entity to end.
const PARKED: usize = 256;
/// How long a call may hold back the cursor before it gets a deferred row of its own.
const LINGER: Duration = Duration::from_secs(1);
/// How long a runner with nothing to do keeps its connections.
const IDLE: Duration = Duration::from_secs(30);
/// How long to wait after the store failed.
pub(super) const PAUSE: Duration = Duration::from_secs(1);
/// How many events are fetched from the store at once.
const FETCH: i64 = 128;

/// An event on its way.
struct Job {
    event: Arc<LoggedEvent>,
    lane: Lane,
    /// Which call for this event it is, from 1.
    attempt: u32,
    /// Whether the event has a row in the deferred queue.
    queued: bool,
}

/// An event for a webhook as the journal knows it.
fn item(key: webhook::Key, seq: i64) -> Item {
    Item {
        kind: Kind::Delivery,
        workspace: key.workspace,
        parent: key.integration.0,
        id: key.id.0,
        seq,
    }
}

impl Job {
    /// Whether the job runs beside the main line.
    fn is_aside(&self) -> bool {
        self.queued
    }

    fn entities(&self) -> impl Iterator<Item = &Entity> {
        self.event.entities().iter()
    }
}

struct Done {
    job: Job,
    ended: Ended,
    /// It is under way until what came of it is written.
    flight: Option<Flight>,
}

pub(super) struct Runner {
    app: Delivery,
    hook: Arc<Hook>,
    stop: CancellationToken,
    target: &'static dyn Target,
    recipient: Option<Arc<dyn Recipient>>,
    connections: Arc<Connections>,
    line: Line,
    calls: FuturesUnordered<BoxFuture<'static, Done>>,
    side_calls: usize,
    busy: HashSet<Entity>,
    parked: VecDeque<Job>,
    /// Deferred events that are being called or whose result is not written yet.
    retrying: HashSet<(Lane, i64)>,
    /// Events of the main line that have a deferred row although their first call is not over.
    escaped: HashSet<i64>,
    /// Whether the deferred queue and the replays have to be looked at.
    look_aside: bool,
    /// Whether a job has found that the webhook is no longer this node's.
    lost: bool,
    standing: Standing,
    batch: Batch,
    written: i64,
    writing: Option<BoxFuture<'static, Result<bool>>>,
    /// What is being written, in case it fails.
    in_writing: Batch,
}

/// How a runner ends.
pub(super) enum End {
    /// Nothing to do.
    Idle,
    /// The webhook is no longer this node's.
    LeaseLost,
    /// It panicked.
    Died,
    /// The server stops.
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
                CALLS + SIDE_CALLS,
                Requester::Workspace(hook.lease.key.workspace),
            )),
            target: target::of(hook.lease.key),
            hook,
            stop,
            recipient: None,
            line: Line::new(position),
            calls: FuturesUnordered::new(),
            side_calls: 0,
            busy: HashSet::new(),
            parked: VecDeque::new(),
            retrying: HashSet::new(),
            escaped: HashSet::new(),
            look_aside: false,
            lost: false,
            standing: Standing::default(),
            batch: Batch::default(),
            written: position,
            writing: None,
            in_writing: Batch::default(),
        }
    }

    /// Runs until there is nothing to do for a while, the lease is lost, or the server stops: then
    /// what is in flight is finished and written first.
    pub(super) async fn run(mut self) -> End {
        loop {
            let stopping = self.stop.is_cancelled();
            let filled = if stopping {
                Ok(true)
            } else {
                self.fill().await
            };
            match filled {
                Ok(true) => {}
                Ok(false) => return End::LeaseLost,
                Err(error) => {
                    log(&error, &self.hook, "a webhook cannot go on");
                    if self.calls.is_empty() && self.writing.is_none() {
                        self.app.clock.sleep(PAUSE).await;
                        continue;
                    }
                }
            }
            self.start_writing();
            if !self.calls.is_empty() || self.writing.is_some() {
                if !self.step().await {
                    return End::LeaseLost;
                }
            } else if stopping {
                return End::Stopped;
            } else if self.rest().await {
                return End::Idle;
            }
        }
    }

    /// Waits for one thing to happen: a call or a write to end, or somebody to wake us. False when the
    /// lease turns out to be lost.
    async fn step(&mut self) -> bool {
        let (hook, app, stop) = (self.hook.clone(), self.app.clone(), self.stop.clone());
        let lingering = self.line.held_since().map(|since| since + LINGER);
        tokio::select! {
            biased;
            Some(done) = self.calls.next() => {
                self.ended(done);
                // What has ended in the meantime needs no turn of its own.
                while let Some(Some(done)) = self.calls.next().now_or_never() {
                    self.ended(done);
                }
                return !self.lost;
            }
            Some(outcome) = OptionFuture::from(self.writing.as_mut()) => return self.wrote(outcome).await,
            () = hook.notify.notified() => {}
            () = stop.cancelled(), if !stop.is_cancelled() => {}
            Some(()) = OptionFuture::from(lingering.map(|at| app.clock.sleep_until(at))) => self.let_cursor_pass(),
        }
        true
    }

    /// Nothing runs: waits to be woken. True when it is time to end.
    async fn rest(&mut self) -> bool {
        tokio::select! {
            () = self.hook.notify.notified() => false,
            () = self.stop.cancelled() => false,
            () = self.app.clock.sleep(IDLE) => {
                let (lease, cursor) = (self.hook.lease, self.written);
                let mut state = self.app.dispatch.lock();
                state.logs.get_mut(&lease.key.workspace).is_none_or(|log| log.leave(&lease, cursor))
            }
        }
    }

    /// Starts as many calls as may run. False when the lease is gone.
    async fn fill(&mut self) -> Result<bool> {
        if !self.app.dispatch.holds(self.app.clock.now()) {
            // Until the lease is renewed, another node may be about to take over.
            return Ok(true);
        }
        if !self.prepare().await? {
            return Ok(false);
        }
        self.unpark();
        while self.main_calls() < CALLS && self.parked.len() < PARKED && self.line.len() < WINDOW {
            let lease = self.hook.lease;
            let next = match self.app.dispatch.lock().logs.get_mut(&lease.key.workspace) {
                Some(log) => log.next(&lease, self.line.position()),
                None => Next::Gone,
            };
            match next {
                Next::Gone => return Ok(false),
                Next::Nothing { position } => {
                    self.line.advance(position);
                    break;
                }
                Next::Events { events, position } => self.take_on(events, position),
                Next::InStore { position } => self.fetch(position).await?,
            }
        }
        // What came behind a parked event of another entity need not wait for it.
        self.unpark();
        if self.hook.take_aside() || std::mem::take(&mut self.look_aside) {
            self.retry_due().await?;
            self.go_on_replaying().await?;
        }
        Ok(true)
    }

    /// Has the receiver ready for the webhook as it is now. False when there is none any more.
    async fn prepare(&mut self) -> Result<bool> {
        if !self.hook.take_stale() && self.recipient.is_some() {
            return Ok(true);
        }
        let is_first = self.recipient.is_none();
        let found = self.target.find(&self.app, &self.hook).await;
        self.recipient = found.inspect_err(|_| self.recipient = None)?;
        let key = self.hook.key();
        if is_first
            && let Some(row) = self
                .app
                .db
                .read(move |conn| webhook::find(conn, key))
                .await
                .inspect_err(|_| self.recipient = None)?
        {
            self.standing.streak = row.streak;
        }
        Ok(self.recipient.is_some())
    }

    /// Takes on events that are no longer in memory.
    async fn fetch(&mut self, position: i64) -> Result<()> {
        let workspace = self.hook.key().workspace;
        let events = self
            .app
            .db
            .read(move |conn| event::list(conn, workspace, position, FETCH))
            .await?;
        let Some(last) = events.last().map(|event| event.seq) else {
            return Ok(());
        };
        let definition = self.hook.definition();
        let wanted = events
            .into_iter()
            .filter(|event| definition.wants(event.head.kind, event.entities()));
        let wanted = wanted.map(Arc::new).collect();
        self.take_on(wanted, last);
        Ok(())
    }

    /// Takes on the events up to `position`.
    fn take_on(&mut self, events: Vec<Arc<LoggedEvent>>, position: i64) {
        let now = self.app.clock.now();
        for event in events {
            self.line.start(event.seq, now);
            if self.is_held(event.seq) {
                self.shelve(Lane::Main, event.seq);
                self.line.settle(event.seq);
                continue;
            }
            self.start_or_park(Job {
                event,
                lane: Lane::Main,
                attempt: 1,
                queued: false,
            });
        }
        self.line.advance(position);
    }

    /// Whether an event is in quarantine.
    fn is_held(&self, seq: i64) -> bool {
        self.app.journal.is_held(&item(self.hook.key(), seq))
    }

    /// Gives an event that is in quarantine a deferred row, where it waits until it is released.
    fn shelve(&mut self, lane: Lane, seq: i64) {
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

    /// Starts what was parked and may run now. Events of one entity keep their order.
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

    /// Calls beside the main line were counted when they were taken on.
    fn has_room(&self, job: &Job) -> bool {
        job.is_aside() || self.main_calls() < CALLS
    }

    fn main_calls(&self) -> usize {
        self.calls.len() - self.side_calls
    }

    fn start(&mut self, job: Job) {
        let Some(recipient) = self.recipient.clone() else {
            return;
        };
        self.busy.extend(job.entities());
        self.side_calls += usize::from(job.is_aside());
        let (app, connections) = (self.app.clone(), self.connections.clone());
        let lease = self.hook.lease;
        self.calls.push(Box::pin(async move {
            // What comes of a call is written, too.
            let may_write = writes::wait(&app, lease.key.workspace);
            app.stopping.run_until_cancelled(may_write).await;
            let _call = app.calls.take(lease.key.workspace, 1).await;
            let flight = journal::begin(&app, item(lease.key, job.event.seq)).await;
            let ended = if flight.is_none() {
                // The server stops: the next one goes on.
                Ended::Postponed(app.clock.now())
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
            Done { job, ended, flight }
        }));
    }

    /// A call has ended: what follows from it goes into the batch.
    fn ended(&mut self, done: Done) {
        let Done { job, ended, flight } = done;
        self.batch.flights.extend(flight.map(Arc::new));
        if self.target.is_strict() {
            // A deferred row must be seen by the check before the entity's next event.
            self.batch.held.extend(job.entities());
        } else {
            for entity in job.entities() {
                self.busy.remove(entity);
            }
        }
        if job.is_aside() {
            self.side_calls -= 1;
            // There is room for another one.
            self.look_aside = true;
        }
        match ended {
            Ended::Called(outcome) => self.called(&job, &outcome),
            Ended::Postponed(until) => {
                // That was no call.
                let attempt = job.attempt - 1;
                self.place(&Job { attempt, ..job }, Verdict::DeferredUntil(until));
            }
            Ended::Skipped => self.place(&job, Verdict::Delivered),
            Ended::Lost => self.lost = true,
        }
    }

    fn called(&mut self, job: &Job, outcome: &Outcome) {
        let now = self.app.clock.now();
        let config = &self.app.config;
        let schedule = self.target.schedule(config);
        let verdict = schedule.judge(job.attempt, outcome.reply, now);
        let event = (job.event.id, job.event.seq);
        let attempt = commit::attempt(
            generate(now),
            self.hook.key().id,
            event,
            job.attempt,
            outcome,
            verdict,
        );
        self.batch.attempts.push(attempt);
        metrics::counter!("prichal_delivery_attempts_total", "status" => commit::status(verdict))
            .increment(1);
        metrics::histogram!("prichal_delivery_seconds").record(outcome.duration);
        self.target
            .note(&mut self.standing, &mut self.batch, verdict, now);
        self.place(job, verdict);
    }

    /// Says in the batch where the event goes: out, or into the deferred queue.
    fn place(&mut self, job: &Job, verdict: Verdict) {
        let (lane, seq) = (job.lane, job.event.seq);
        let first = lane == Lane::Main && !job.queued;
        let has_row = job.queued || first && self.escaped.remove(&seq);
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
            Verdict::Delivered | Verdict::Exhausted if has_row => {
                self.batch.queue.push(Queued::Settle(lane, seq));
            }
            Verdict::Delivered | Verdict::Exhausted => {}
        }
        if first {
            self.line.settle(seq);
        }
    }

    /// Gives the calls that hold the cursor back a deferred row, so that it can pass them.
    fn let_cursor_pass(&mut self) {
        for seq in self.line.lingering(self.app.clock.now() - LINGER) {
            let row = self.in_flight(Lane::Main, seq);
            self.batch.queue.push(row);
            self.escaped.insert(seq);
            self.line.settle(seq);
        }
    }

    /// The row of an event whose first call is not over. It is nobody's to take up while this runner
    /// lives; a new owner of the webhook finds it in flight and makes it due.
    fn in_flight(&self, lane: Lane, seq: i64) -> Queued {
        let due_at = self.app.clock.now() + self.app.config.delivery_timeout * 2;
        Queued::Defer(Deferred {
            lane,
            seq,
            attempts: 0,
            due_at,
            in_flight: true,
        })
    }

    /// How many more calls beside the main line may be taken on.
    fn room_aside(&self) -> usize {
        let parked = self.parked.iter().filter(|job| job.is_aside()).count();
        SIDE_CALLS.saturating_sub(self.side_calls + parked)
    }

    /// Starts calls for deferred events that are due.
    async fn retry_due(&mut self) -> Result<()> {
        let room = self.room_aside();
        if room == 0 {
            return Ok(());
        }
        let (key, now) = (self.hook.key(), self.app.clock.now());
        // Some of the rows may be in work already, and those come first.
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
        for (event, row) in found.take(room).collect::<Vec<_>>() {
            let Some(event) = event else {
                self.batch.queue.push(Queued::Settle(row.lane, row.seq));
                continue;
            };
            self.retrying.insert((row.lane, row.seq));
            let attempt = u32::try_from(row.attempts).unwrap_or(0).saturating_add(1);
            self.start_or_park(Job {
                event: Arc::new(event),
                lane: row.lane,
                attempt,
                queued: true,
            });
        }
        Ok(())
    }

    /// Takes on the next events of the oldest replay. Each gets its row in the deferred queue at once,
    /// so that the replay's cursor need not wait for the calls.
    async fn go_on_replaying(&mut self) -> Result<()> {
        let room = self.room_aside();
        if room == 0 || self.batch.replay.is_some() || self.in_writing.replay.is_some() {
            return Ok(());
        }
        let (key, target) = (self.hook.key(), self.target);
        let limit = i64::try_from(room).unwrap_or(1);
        let found = self.app.db.read(move |conn| {
            let Some(replay) = delivery::first_replay(conn, key)? else {
                return Ok::<_, Error>(None);
            };
            let events = target.replayable(conn, key.workspace, replay.cursor, limit)?;
            Ok(Some((replay, events)))
        });
        let Some((mut replay, events)) = found.await? else {
            return Ok(());
        };
        let definition = self.hook.definition();
        let before = replay.cursor;
        if events.is_empty() {
            replay.cursor = replay.last;
        }
        for event in events {
            let (lane, seq) = (Lane::Replay, event.seq);
            if seq <= replay.last && self.retrying.contains(&(lane, seq)) {
                // An earlier replay is just about to be through with it: this one asks for another call.
                if replay.cursor == before {
                    return Ok(());
                }
                break;
            }
            replay.cursor = seq.min(replay.last);
            if seq > replay.last {
                break;
            }
            if !definition.wants(event.head.kind, event.entities()) {
                continue;
            }
            if self.is_held(seq) {
                self.shelve(lane, seq);
            } else {
                self.retrying.insert((lane, seq));
                let row = self.in_flight(lane, seq);
                self.batch.queue.push(row);
                self.start_or_park(Job {
                    event: Arc::new(event),
                    lane,
                    attempt: 1,
                    queued: true,
                });
            }
        }
        self.batch.replay = Some(replay);
        Ok(())
    }

    /// Starts to write the batch, if there is one and none is being written.
    fn start_writing(&mut self) {
        let cursor = self.line.cursor();
        if self.writing.is_some() || (self.batch.is_empty() && cursor == self.written) {
            return;
        }
        let mut batch = std::mem::take(&mut self.batch);
        batch.cursor = cursor;
        self.in_writing = batch.clone();
        let (app, lease) = (self.app.clone(), self.hook.lease);
        let origin = commit::origin(&lease, self.app.clock.now());
        self.writing = Some(Box::pin(async move {
            let db = app.db.clone();
            db.write_deferred(lease.key.workspace, move |tx| {
                commit::write(&app.vault, tx, &lease, &batch, &origin)
            })
            .await
        }));
    }

    /// A write has ended. False when it says that the lease is lost.
    async fn wrote(&mut self, outcome: Result<bool>) -> bool {
        self.writing = None;
        let batch = std::mem::take(&mut self.in_writing);
        match outcome {
            Ok(true) => {
                self.wrote_batch(&batch);
                true
            }
            Ok(false) => false,
            Err(error) => {
                log(
                    &error,
                    &self.hook,
                    "could not write what came of deliveries; trying again",
                );
                self.batch = std::mem::take(&mut self.batch).after(batch);
                self.app.clock.sleep(PAUSE).await;
                true
            }
        }
    }

    fn wrote_batch(&mut self, batch: &Batch) {
        self.written = batch.cursor;
        for queued in &batch.queue {
            match queued {
                Queued::Settle(lane, seq) => {
                    self.retrying.remove(&(*lane, *seq));
                    self.look_aside |= *lane == Lane::Replay;
                }
                Queued::Defer(deferred) if !deferred.in_flight => {
                    self.retrying.remove(&(deferred.lane, deferred.seq));
                    self.look_aside |= deferred.lane == Lane::Replay;
                    self.app.dispatch.deferred(deferred.due_at);
                }
                Queued::Defer(_) => {}
            }
        }
        for entity in &batch.held {
            self.busy.remove(entity);
        }
        if batch.health == Some(Health::Paused) {
            self.app
                .dispatch
                .document_hook_changed(self.hook.key().workspace);
        }
        // There may be more to replay.
        self.look_aside |= batch.replay.is_some();
    }
}

fn log(error: &Error, hook: &Hook, what: &'static str) {
    tracing::error!(error = error as &dyn std::error::Error, webhook.id = %hook.key().id, "{what}");
}
