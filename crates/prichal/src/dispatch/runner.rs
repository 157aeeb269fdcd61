//! The runner of one webhook: takes its events off the log, calls, and writes what came of it.
//!
//! Calls run concurrently up to a bound, never two at once for the same entity. What came of them is
//! written in batches, one write at a time; while it runs, the next batch gathers. A batch that could
//! not be written is kept and tried again, and the runner takes on nothing new meanwhile once the
//! window is full. Nothing is written before a call, so a crash repeats what was in flight, and what
//! was settled but not yet written.

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
use prichal_core::{
    event::Entity,
    health::{Effect, Streak},
    id::generate,
    retry::Verdict,
    time::Timestamp,
};
use prichal_store::{
    LoggedEvent,
    delivery::{self, Deferred, Lane, Replay},
    event, webhook,
};
use tokio_util::sync::CancellationToken;

use super::{
    Hook,
    call::{Outcome, Payload, Receiver, call},
    line::Line,
    log::Next,
    settle::{self, Batch, Health},
};
use crate::{app::App, error::Result, outgoing::connections::Connections};

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
const PAUSE: Duration = Duration::from_secs(1);
/// How many events are fetched from the store at once.
const FETCH: i64 = 128;

/// An event on its way.
struct Job {
    event: Arc<LoggedEvent>,
    lane: Lane,
    /// Which call for this event it is, from 1.
    attempt: u32,
}

struct Done {
    job: Job,
    outcome: Outcome,
}

pub(super) struct Runner {
    app: App,
    hook: Arc<Hook>,
    stop: CancellationToken,
    receiver: Option<Arc<Receiver>>,
    /// The definition the receiver was made for.
    url: String,
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
    replay: Option<Replay>,
    /// Whether the deferred queue and the replays have to be looked at.
    look_aside: bool,
    streak: Streak,
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
    /// The server stops.
    Stopped,
}

impl Runner {
    pub(super) fn new(
        app: App,
        hook: Arc<Hook>,
        position: i64,
        streak: Streak,
        stop: CancellationToken,
    ) -> Self {
        Self {
            app,
            hook,
            stop,
            receiver: None,
            url: String::new(),
            connections: Arc::new(Connections::new(CALLS + SIDE_CALLS)),
            line: Line::new(position),
            calls: FuturesUnordered::new(),
            side_calls: 0,
            busy: HashSet::new(),
            parked: VecDeque::new(),
            retrying: HashSet::new(),
            escaped: HashSet::new(),
            replay: None,
            look_aside: true,
            streak,
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
            if !stopping {
                match self.fill().await {
                    Ok(true) => {}
                    Ok(false) => return End::LeaseLost,
                    Err(error) => {
                        tracing::error!(error = &error as &dyn std::error::Error, webhook.id = %self.hook.key().id, "a webhook cannot go on");
                        self.app.clock.sleep(PAUSE).await;
                    }
                }
            }
            self.start_writing();
            if self.calls.is_empty() && self.writing.is_none() {
                if stopping {
                    return End::Stopped;
                }
                if self.rest().await {
                    return End::Idle;
                }
                continue;
            }
            if !self.step().await {
                return End::LeaseLost;
            }
        }
    }

    /// Waits for one thing to happen: a call or a write to end, or somebody to wake us. False when the
    /// lease turns out to be lost.
    async fn step(&mut self) -> bool {
        let hook = self.hook.clone();
        let app = self.app.clone();
        let stop = self.stop.clone();
        let lingers = self.line.len() > self.escaped.len();
        tokio::select! {
            biased;
            Some(done) = self.calls.next() => {
                self.ended(done);
                // What has ended in the meantime needs no turn of its own.
                while let Some(Some(done)) = self.calls.next().now_or_never() {
                    self.ended(done);
                }
            }
            Some(outcome) = OptionFuture::from(self.writing.as_mut()) => return self.wrote(outcome).await,
            () = hook.notify.notified() => self.look_aside = true,
            () = stop.cancelled(), if !stop.is_cancelled() => {}
            () = app.clock.sleep(LINGER), if lingers => self.let_cursor_pass(),
        }
        true
    }

    /// Nothing runs: waits to be woken. True when it is time to end.
    async fn rest(&mut self) -> bool {
        tokio::select! {
            () = self.hook.notify.notified() => {
                self.look_aside = true;
                false
            }
            () = self.stop.cancelled() => false,
            () = self.app.clock.sleep(IDLE) => {
                let mut state = self.app.dispatch.lock();
                state.logs.get_mut(&self.hook.key().workspace).is_none_or(|log| log.leave(&self.hook))
            }
        }
    }

    /// Starts as many calls as may run. False when the lease is gone.
    async fn fill(&mut self) -> Result<bool> {
        if !self.prepare().await? {
            return Ok(false);
        }
        self.unpark();
        while self.main_calls() < CALLS && self.parked.len() < PARKED && self.line.len() < WINDOW {
            let position = self.line.position();
            let next = match self
                .app
                .dispatch
                .lock()
                .logs
                .get_mut(&self.hook.key().workspace)
            {
                Some(log) => log.next(&self.hook, position),
                None => Next::Gone,
            };
            match next {
                Next::Gone => return Ok(false),
                Next::Nothing => break,
                Next::Events { events, position } => self.take_on(events, position),
                Next::InStore => self.fetch(position).await?,
            }
        }
        if self.look_aside {
            self.look_aside = false;
            self.retry_due().await?;
            self.go_on_replaying().await?;
        }
        Ok(true)
    }

    /// Has the receiver ready for the webhook as it is now. False when there is none any more.
    async fn prepare(&mut self) -> Result<bool> {
        let url = self.hook.definition().relative_url.clone();
        if self.receiver.is_some() && self.url == url && !self.hook.take_stale() {
            return Ok(true);
        }
        let receiver = Receiver::load(&self.app, self.hook.key(), &url).await?;
        self.receiver = receiver.map(Arc::new);
        self.url = url;
        Ok(self.receiver.is_some())
    }

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
            self.start_or_park(Job {
                event,
                lane: Lane::Main,
                attempt: 1,
            });
        }
        self.line.advance(position);
    }

    fn start_or_park(&mut self, job: Job) {
        let room = job.attempt > 1 || job.lane == Lane::Replay || self.main_calls() < CALLS;
        if room
            && self.parked.is_empty()
            && job
                .event
                .entities()
                .iter()
                .all(|entity| !self.busy.contains(entity))
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
            let first = job.lane == Lane::Main && job.attempt == 1;
            let room = !first || self.main_calls() < CALLS;
            let free = job
                .event
                .entities()
                .iter()
                .all(|entity| !self.busy.contains(entity) && !before.contains(entity));
            if room && free {
                self.start(job);
            } else {
                before.extend(job.event.entities());
                self.parked.push_back(job);
            }
        }
    }

    fn main_calls(&self) -> usize {
        self.calls.len() - self.side_calls
    }

    fn start(&mut self, job: Job) {
        let Some(receiver) = self.receiver.clone() else {
            return;
        };
        self.busy.extend(job.event.entities());
        if is_side(&job) {
            self.side_calls += 1;
        }
        let (app, connections) = (self.app.clone(), self.connections.clone());
        self.calls.push(Box::pin(async move {
            let payload = Payload::of(job.event.clone(), job.lane == Lane::Replay);
            let outcome = call(&app, &receiver, &connections, payload).await;
            Done { job, outcome }
        }));
    }

    /// A call has ended: what follows from it goes into the batch.
    fn ended(&mut self, done: Done) {
        let Done { job, outcome } = done;
        for entity in job.event.entities() {
            self.busy.remove(entity);
        }
        if is_side(&job) {
            self.side_calls -= 1;
            // There is room for another one.
            self.look_aside = true;
        }
        let now = self.app.clock.now();
        let verdict = self
            .app
            .config
            .retry_schedule
            .judge(job.attempt, outcome.reply, now);
        let event = (job.event.id, job.event.seq);
        let id = generate(now);
        self.batch.attempts.push(settle::attempt(
            id,
            event,
            self.hook.key().id,
            job.attempt,
            &outcome,
            verdict,
        ));
        self.count(&outcome, verdict);
        self.note_health(verdict, now);
        self.place(&job, verdict);
    }

    fn count(&self, outcome: &Outcome, verdict: Verdict) {
        let status = match verdict {
            Verdict::Delivered => "delivered",
            Verdict::DeferredUntil(_) => "deferred",
            Verdict::Exhausted => "exhausted",
        };
        metrics::counter!("prichal_delivery_attempts_total", "status" => status).increment(1);
        metrics::histogram!("prichal_delivery_seconds").record(outcome.duration);
    }

    fn note_health(&mut self, verdict: Verdict, now: Timestamp) {
        match verdict {
            Verdict::Delivered => {
                if self.streak.on_success() {
                    self.batch.streak = Some(self.streak);
                    self.batch.health = Some(Health::Well);
                }
            }
            Verdict::DeferredUntil(_) | Verdict::Exhausted => {
                let effect = self.streak.on_failure(now, verdict == Verdict::Exhausted);
                self.batch.streak = Some(self.streak);
                // Switching off is final: later failures must not make less of it.
                if self.batch.health != Some(Health::Ill(Effect::SwitchOff))
                    && let Some(effect) = effect
                {
                    self.batch.health = Some(Health::Ill(effect));
                }
            }
        }
    }

    /// Says in the batch where the event goes: out, or into the deferred queue.
    fn place(&mut self, job: &Job, verdict: Verdict) {
        let (lane, seq) = (job.lane, job.event.seq);
        let has_row = self.escaped.remove(&seq) && lane == Lane::Main || job.attempt > 1;
        match verdict {
            Verdict::DeferredUntil(due_at) => {
                self.batch.deferred.push(Deferred {
                    lane,
                    seq,
                    attempts: i64::from(job.attempt),
                    due_at,
                    in_flight: false,
                });
            }
            Verdict::Delivered | Verdict::Exhausted if has_row => {
                self.batch.settled.push((lane, seq))
            }
            Verdict::Delivered | Verdict::Exhausted => {}
        }
        if lane == Lane::Main && job.attempt == 1 {
            self.line.settle(seq);
        }
        if lane == Lane::Replay && job.attempt == 1 {
            self.retrying.remove(&(lane, seq));
        }
    }

    /// Gives the calls that hold the cursor back a deferred row, so that it can pass them.
    fn let_cursor_pass(&mut self) {
        let now = self.app.clock.now();
        // Due long after the call is over: another owner finds them in flight and takes them at once.
        let due_at = now + self.app.config.delivery_timeout * 2;
        for seq in self.line.lingering(now - LINGER) {
            // What is parked has not been called yet; it has no attempt to its name.
            let attempts = i64::from(
                !self
                    .parked
                    .iter()
                    .any(|job| job.lane == Lane::Main && job.event.seq == seq),
            );
            self.batch.deferred.push(Deferred {
                lane: Lane::Main,
                seq,
                attempts: attempts.min(0),
                due_at,
                in_flight: true,
            });
            self.escaped.insert(seq);
            self.line.settle(seq);
        }
    }

    /// Starts calls for deferred events that are due.
    async fn retry_due(&mut self) -> Result<()> {
        let room = SIDE_CALLS.saturating_sub(self.side_calls + self.parked.len());
        if room == 0 {
            return Ok(());
        }
        let (key, now) = (self.hook.key(), self.app.clock.now());
        // Some of the rows may be in work already, and those come first.
        let limit = i64::try_from(room + self.retrying.len()).unwrap_or(i64::MAX);
        let due = self
            .app
            .db
            .read(move |conn| delivery::list_due(conn, key, now, limit))
            .await?;
        for row in due
            .into_iter()
            .filter(|row| !self.retrying.contains(&(row.lane, row.seq)))
            .take(room)
            .collect::<Vec<_>>()
        {
            let seq = row.seq;
            let Some(event) = self
                .app
                .db
                .read(move |conn| event::find(conn, key.workspace, seq))
                .await?
            else {
                self.batch.settled.push((row.lane, seq));
                continue;
            };
            self.retrying.insert((row.lane, seq));
            let attempt = u32::try_from(row.attempts).unwrap_or(0).saturating_add(1);
            self.start_or_park(Job {
                event: Arc::new(event),
                lane: row.lane,
                attempt: attempt.max(2),
            });
        }
        Ok(())
    }

    /// Takes on the next events of the oldest replay.
    async fn go_on_replaying(&mut self) -> Result<()> {
        let key = self.hook.key();
        if self.replay.is_none() {
            self.replay = self
                .app
                .db
                .read(move |conn| delivery::first_replay(conn, key))
                .await?;
        }
        let Some(mut replay) = self.replay.take() else {
            return Ok(());
        };
        let room = SIDE_CALLS.saturating_sub(self.side_calls + self.parked.len());
        let after = replay.cursor;
        if room > 0 && self.batch.replay.is_none() && self.in_writing.replay.is_none() {
            let limit = i64::try_from(room).unwrap_or(1);
            let events = self
                .app
                .db
                .read(move |conn| event::list(conn, key.workspace, after, limit))
                .await?;
            if events.is_empty() {
                replay.cursor = replay.last;
            }
            let definition = self.hook.definition();
            for event in events
                .into_iter()
                .take_while(|event| event.seq <= replay.last)
            {
                replay.cursor = event.seq;
                if definition.wants(event.head.kind, event.entities()) {
                    let seq = event.seq;
                    // In flight from the start: the replay's cursor does not wait for its calls.
                    let due_at = self.app.clock.now() + self.app.config.delivery_timeout * 2;
                    self.batch.deferred.push(Deferred {
                        lane: Lane::Replay,
                        seq,
                        attempts: 0,
                        due_at,
                        in_flight: true,
                    });
                    self.retrying.insert((Lane::Replay, seq));
                    self.start_or_park(Job {
                        event: Arc::new(event),
                        lane: Lane::Replay,
                        attempt: 1,
                    });
                }
            }
            self.batch.replay = Some(replay.clone());
        }
        if replay.cursor < replay.last {
            self.replay = Some(replay);
        }
        self.look_aside |= self.replay.is_some() && room > 0;
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
        let (db, lease, origin) = (
            self.app.db.clone(),
            self.hook.lease,
            settle::origin(&self.hook.lease, self.app.clock.now()),
        );
        let write = async move {
            db.write(lease.key.workspace, move |tx| {
                settle::write(tx, &lease, &batch, &origin)
            })
            .await
        };
        self.writing = Some(Box::pin(write));
    }

    /// A write has ended. False when it says that the lease is lost.
    async fn wrote(&mut self, outcome: Result<bool>) -> bool {
        self.writing = None;
        let batch = std::mem::take(&mut self.in_writing);
        match outcome {
            Ok(true) => {
                self.written = batch.cursor;
                for (lane, seq) in &batch.settled {
                    self.retrying.remove(&(*lane, *seq));
                }
                for deferred in batch.deferred.iter().filter(|deferred| !deferred.in_flight) {
                    self.retrying.remove(&(deferred.lane, deferred.seq));
                    self.app.dispatch.deferred(deferred.due_at);
                }
                true
            }
            Ok(false) => false,
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, webhook.id = %self.hook.key().id, "could not write what came of deliveries; trying again");
                self.batch = std::mem::take(&mut self.batch).after(batch);
                self.app.clock.sleep(PAUSE).await;
                true
            }
        }
    }
}

/// Whether a job runs beside the main line.
fn is_side(job: &Job) -> bool {
    job.attempt > 1 || job.lane == Lane::Replay
}

/// The streak that a webhook has when its runner starts.
pub(super) async fn streak(app: &App, hook: &Hook) -> Result<Streak> {
    let key = hook.key();
    let row = app.db.read(move |conn| webhook::find(conn, key)).await?;
    Ok(row.map(|row| row.streak).unwrap_or_default())
}
