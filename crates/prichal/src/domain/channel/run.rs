//! One run of a script or a message, and the record of its outcome.

use std::{
    pin::pin,
    slice::from_ref,
    sync::{Arc, LazyLock, atomic::Ordering},
    time::Duration,
};

use futures_util::{FutureExt as _, future::BoxFuture};
use prichal_core::{
    channel::Tokens,
    delivery_stats::Tally,
    event::{Author, Origin},
    id::{EntityId, EventId, IntegrationId, RunId, WebhookId, WorkspaceId, generate},
    json,
    time::Timestamp,
};
use prichal_script::{Failure, Outcome, Presets};
use prichal_store::{
    Tx,
    delivery::{self, Attempt, Exchange},
    delivery_stats::{self, key_of_channel},
    run::{self, Kind, Lane, Run, State, Status},
    socket,
};
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    Loaded, admit_run, by_id,
    host::{Called, Effects, RunHost, author_of, origin},
    request::{self, Request, request_of},
    script, send,
};
use crate::platform::access::ChannelHandle;
use crate::{
    domain::{
        Domain,
        entity::note_rights,
        journal::ItemGuard,
        script::Job,
        stream::{self, topic::Topic},
    },
    error::{Code, Error, Result},
    platform::{
        access::Caller,
        audit::{Act, Operation, Rule},
        security::{self, Actor},
        writes,
    },
};

/// The time limit of a script that belongs to no channel, or that sends.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);
/// The wait before an outcome that could not be written is written again.
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// A script that grants or takes rights.
static CHANGED_RIGHTS: LazyLock<Operation> = LazyLock::new(|| Operation {
    action: "channels.change_rights_by_script".to_owned(),
    rule: Rule::Rights,
    status: 200,
    object: None,
});

/// The inputs of a run.
struct Work<'a> {
    lane: Lane,
    handle: Option<&'a Arc<ChannelHandle>>,
    author: Author,
    /// The websocket that the frame came over.
    connection: Option<Uuid>,
    time: Duration,
    /// True if a request waits for the outcome.
    is_awaited: bool,
}

/// The outcome of an attempt, before it is written.
struct Attempted {
    outcome: Outcome,
    effects: Effects,
    /// For a message: the call that has posted it.
    called: Called,
    /// The tokens of the channel, which must be masked in the record of the run.
    tokens: Tokens,
}

impl Attempted {
    fn failed(message: impl Into<String>) -> Self {
        Self {
            outcome: Outcome {
                failure: Some(Failure::new(message)),
                ..Outcome::default()
            },
            effects: Effects::default(),
            called: Called::default(),
            tokens: Tokens::default(),
        }
    }
}

/// Runs a script. The changes of a script that fails are dropped.
async fn run_script(
    app: &Domain,
    work: &Work<'_>,
    loaded: &Loaded,
    request: &Request,
    abort: impl Future<Output = ()> + Send,
) -> Attempted {
    let channel = work.handle.map(|handle| &handle.channel);
    // A run that a request waits for was admitted already.
    let not_before = || {
        let is_queued = !work.is_awaited;
        is_queued.then(|| writes::over(app, work.lane.workspace))?
    };
    let job = Job {
        key: &loaded.key,
        source: loaded.script.source(),
        presets: Presets::new(
            &request.show(channel),
            request.params(),
            loaded.script.variables(),
        ),
        time: work.time,
        is_awaited: work.is_awaited,
        not_before: &not_before,
        workspace: work.lane.workspace,
        lane: work.lane.id,
    };
    let handle = work.handle.cloned();
    let (workspace, author) = (work.lane.workspace, work.author.clone());
    let host = RunHost::new(app.clone(), workspace, handle, author, request.depth);
    let host = host.over(work.connection);
    let mut host = host.with(loaded.script.authority());
    let outcome = app.scripts.run(job, &mut host, abort).await;
    let called = host.posted.take();
    let effects = match &outcome.failure {
        None => host.into_effects(),
        Some(_) => Effects::default(),
    };
    Attempted {
        outcome,
        effects,
        called,
        tokens: tokens_of(work.handle),
    }
}

fn tokens_of(handle: Option<&Arc<ChannelHandle>>) -> Tokens {
    handle.map_or_else(Tokens::default, |handle| handle.channel.tokens.clone())
}

/// The state of a run after an attempt. Users read it, so the channel's tokens are masked.
pub(super) fn state(
    outcome: &Outcome,
    tokens: &Tokens,
    attempts: i64,
    began: Timestamp,
    ended: Timestamp,
) -> State {
    let response = outcome.response.as_ref();
    let response = response.map(|response| response.to_json().to_string());
    let result = response.or_else(|| outcome.value.clone());
    let log = outcome.log.iter().cloned();
    let log: Vec<String> = log.map(|line| tokens.mask_json(line)).collect();
    let failure = outcome.failure.as_ref();
    State {
        status: if failure.is_some() {
            Status::Failed
        } else {
            Status::Finished
        },
        attempts,
        due_at: None,
        started_at: Some(began),
        duration_ms: Some(i64::try_from(ended.since(began).as_millis()).unwrap_or(i64::MAX)),
        log: serde_json::to_string(&log).unwrap_or_default(),
        result: result.map(|text| tokens.mask_json(text)),
        // PostgreSQL refuses NUL in texts.
        error: failure
            .map(|failure| tokens.mask_text(failure.to_string().replace('\0', "\u{fffd}"))),
    }
}

/// A run of the queue that has ended and is not written yet.
pub struct Ended {
    run: Run,
    state: State,
    done: Attempted,
    is_retried: bool,
}

/// Performs a run of the queue, which is noted in the journal.
///
/// `None` if the server stops before the end. The run is then repeated as if it had not begun.
pub async fn perform(app: &Domain, _: &ItemGuard, mut run: Run) -> Option<Ended> {
    let began = app.clock.now();
    let (done, is_final) = match attempt(app, &mut run, began).await {
        Ok(done) => done,
        // An error of the store is retried like any other failure.
        Err(error) => (
            Attempted::failed(app.channels.thrown(run.lane.workspace, &error)),
            false,
        ),
    };
    let failure = done.outcome.failure.as_ref();
    if app.abort.is_cancelled() && failure.is_some_and(|failure| failure.stopped) {
        return None;
    }
    let attempts = run.state.attempts + 1;
    let mut state = state(
        &done.outcome,
        &done.tokens,
        attempts,
        began,
        app.clock.now(),
    );
    let is_retried = run.kind != Kind::Start && !is_final;
    if let (Status::Failed, true) = (state.status, is_retried) {
        defer(app, &mut state);
    }
    metrics::counter!("prichal_runs_total", "kind" => run.kind.name(), "status" => state.status.name())
        .increment(1);
    Some(Ended {
        run,
        state,
        done,
        is_retried,
    })
}

/// Schedules a retry, as long as the schedule has waits left.
fn defer(app: &Domain, state: &mut State) {
    let waits = &app.config.retry_schedule.0;
    let wait = usize::try_from(state.attempts - 1)
        .ok()
        .and_then(|failure| waits.get(failure));
    if let Some(wait) = wait {
        state.status = Status::Deferred;
        state.due_at = Some(app.clock.now() + *wait);
    }
}

/// Makes one attempt. The flag is true if its failure is final.
async fn attempt(app: &Domain, run: &mut Run, now: Timestamp) -> Result<(Attempted, bool)> {
    let Some(request) = request_of(app, run) else {
        return Ok((
            Attempted::failed("the request of the run cannot be read"),
            true,
        ));
    };
    let handle = match run.channel {
        None => None,
        Some(_) => match by_id(app, run.lane).await? {
            None => return Ok((Attempted::failed("the channel was deleted"), true)),
            found => found,
        },
    };
    let handle = handle.as_ref();
    if let (Kind::Send, Some(handle)) = (run.kind, handle) {
        match choose_route(app, handle, now).await? {
            SendRoute::Script(code) => run.code = code,
            SendRoute::Post => return Ok((post(app, handle, run, &request, now).await, false)),
            SendRoute::None(why) => return Ok((Attempted::failed(why), false)),
        }
    }
    let Some(loaded) = script(app, run.lane.workspace, &run.code).await? else {
        return Ok((
            Attempted::failed(format!("there is no script {}", run.code)),
            false,
        ));
    };
    // The quotas may have been used up since the run was accepted, also by the run that has sent it.
    admit_run(app, run.lane.workspace).await?;
    let time = match (run.kind, handle) {
        (Kind::Hook, Some(handle)) => handle.channel.timeout(),
        _ => DEFAULT_TIMEOUT,
    };
    let work = Work {
        lane: run.lane,
        handle,
        author: author_of(handle.map(AsRef::as_ref)),
        connection: None,
        time,
        is_awaited: false,
    };
    // A script that is interrupted by the server's stop is repeated after the next start.
    let abort = app.abort.cancelled();
    Ok((
        run_script(app, &work, &loaded, &request, abort).await,
        false,
    ))
}

/// The route by which a channel sends a message.
enum SendRoute {
    Script(String),
    Post,
    None(&'static str),
}

/// Chooses the route: over a websocket if one is open and a script handles it, else by the script that sends, else
/// to the URL.
async fn choose_route(app: &Domain, handle: &ChannelHandle, now: Timestamp) -> Result<SendRoute> {
    let text = |name: &str| handle.channel.text(name).to_owned();
    let (over, send) = (text("send_svcscriptcode_ws"), text("send_svcscriptcode"));
    if !over.is_empty() {
        let (lane, node) = (handle.lane(), app.node);
        let count = move |conn: &mut prichal_store::Conn| {
            socket::count(conn, lane.workspace, lane.id, node, now)
        };
        if app.db.read(count).await? > 0 {
            return Ok(SendRoute::Script(over));
        }
    }
    Ok(if !send.is_empty() {
        SendRoute::Script(send)
    } else if !text("url").is_empty() {
        SendRoute::Post
    } else if over.is_empty() {
        SendRoute::None("the channel has neither a `url` nor a script that sends")
    } else {
        SendRoute::None("no websocket of the channel is open")
    })
}

async fn post(
    app: &Domain,
    handle: &ChannelHandle,
    run: &Run,
    request: &Request,
    now: Timestamp,
) -> Attempted {
    let _call = app.calls.take(run.lane.workspace, 1).await;
    let posted = send::post(
        app,
        &handle.channel,
        (run.lane.workspace, run.id),
        &request.text,
        now,
    )
    .await;
    Attempted {
        outcome: Outcome {
            failure: posted.error.map(Failure::new),
            ..Outcome::default()
        },
        effects: Effects::default(),
        called: Called {
            http_status: posted.http_status,
            answer: posted.answer,
            exchange: posted.exchange,
        },
        tokens: handle.channel.tokens.clone(),
    }
}

impl Ended {
    /// The approximate number of bytes to write.
    pub fn bytes(&self) -> usize {
        let State { log, result, .. } = &self.state;
        self.done.effects.bytes() + log.len() + result.as_ref().map_or(0, String::len)
    }

    /// Writes the outcome of the run together with its changes.
    pub async fn write(self, app: &Domain) {
        let Self {
            run,
            mut state,
            done,
            is_retried,
        } = self;
        let run = &run;
        let Attempted {
            mut effects,
            called,
            tokens,
            ..
        } = done;
        let called = masked(called, &tokens);
        let handle = by_id(app, run.lane).await.ok().flatten();
        let handle = handle.filter(|_| run.channel.is_some());
        let author = handle
            .as_ref()
            .map_or_else(Author::system, |handle| handle.author());
        let actor = handle.map(|handle| Actor::from(&Caller::Channel(handle)));
        let origin = origin(run.lane.workspace, author, app.clock.now());
        loop {
            let attempt = (run.kind == Kind::Send && state.status != Status::Queued)
                .then(|| message_attempt(run, &state, called.clone()));
            let sends = effects.sends();
            let written = write(app, run, &state, effects.clone(), attempt, &origin);
            let act = Act::new(&CHANGED_RIGHTS);
            let written = security::by(app, None, actor.clone(), Some(act), written).await;
            match written {
                Ok(is_ours) => {
                    if is_ours {
                        tell(app, run, &state);
                    }
                    if is_ours && let Some(due) = state.due_at {
                        app.channels.queue.wake(run.lane, due);
                    }
                    if is_ours && sends {
                        app.channels.queue.wake(run.lane, app.clock.now());
                    }
                    return;
                }
                Err(error @ (Error::Busy | Error::Unavailable(_) | Error::Internal(_))) => {
                    tracing::error!(error = &error as &dyn std::error::Error, workspace = %run.lane.workspace, run.id = %run.id, "cannot write the outcome of run {}", run.id);
                    tokio::select! {
                        () = app.clock.sleep(RETRY_DELAY) => {}
                        // The run is repeated after the next start, or by another node.
                        () = app.stopping.cancelled() => return,
                    }
                }
                // The run is repeated from the present values.
                Err(error) if error.is(Code::Overtaken) => {
                    effects = Effects::default();
                    state = State::queued(app.clock.now());
                    state.attempts = run.state.attempts;
                }
                // The changes of the script were refused.
                Err(error) => {
                    effects = Effects::default();
                    state.status = Status::Failed;
                    state.error =
                        Some(tokens.mask_text(app.channels.thrown(run.lane.workspace, &error)));
                    state.due_at = None;
                    if is_retried {
                        defer(app, &mut state);
                    }
                }
            }
        }
    }
}

async fn write(
    app: &Domain,
    run: &Run,
    state: &State,
    effects: Effects,
    attempt: Option<Attempt>,
    origin: &Origin,
) -> Result<bool> {
    let workspace = run.lane.workspace;
    let (at, run, state, origin) = (app.clone(), run.clone(), state.clone(), origin.clone());
    let work = move |tx: &mut Tx<'_>| {
        if !run::record_outcome(tx, &run, at.node, &state)? {
            return Ok::<_, Error>(None);
        }
        let changed = effects.write(&at, tx, &origin, run.channel)?;
        if let Some(attempt) = &attempt {
            let channel = IntegrationId(run.lane.id.0);
            delivery::log::insert(tx, run.lane.workspace, channel, from_ref(attempt));
            let key = key_of_channel(run.lane.workspace, run.lane.id);
            delivery_stats::add(tx, key, &called(attempt, at.clock.now()))?;
        }
        Ok(Some(changed))
    };
    let changed = app.db.write_deferred(workspace, work).await?;
    let is_ours = changed.is_some();
    note_rights(workspace, changed.into_iter().flatten());
    Ok(is_ours)
}

/// A message, for the figures of its channel.
fn called(attempt: &Attempt, now: Timestamp) -> Tally {
    let failure = (attempt.status != delivery::STATUSES[0]).then(|| {
        (
            attempt.error.clone().unwrap_or_default(),
            attempt.http_status,
        )
    });
    let ms = u64::try_from(attempt.duration_ms).unwrap_or(0);
    let mut calls = Tally::default();
    calls.count(now, Duration::from_millis(ms), failure);
    calls
}

/// A call as the delivery log may tell it, without the channel's tokens.
fn masked(called: Called, tokens: &Tokens) -> Called {
    let Called {
        http_status,
        answer,
        exchange,
    } = called;
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Called {
        http_status,
        answer: answer.map(|answer| tokens.mask_json(answer)),
        exchange: Exchange {
            sent: tokens.mask_text(text(exchange.sent)).into_bytes(),
            body: exchange
                .body
                .map(|body| tokens.mask_json(text(body)).into_bytes()),
            received: tokens.mask_text(text(exchange.received)).into_bytes(),
            timings: exchange.timings,
        },
    }
}

fn message_attempt(run: &Run, state: &State, called: Called) -> Attempt {
    let Called {
        http_status,
        answer,
        exchange,
    } = called;
    let started_at = state.started_at.unwrap_or_default();
    Attempt {
        id: generate(started_at),
        webhook: WebhookId(run.lane.id.0),
        event: EventId(run.id.0),
        seq: 0,
        about: None,
        is_replay: false,
        exchange,
        attempt: state.attempts,
        status: match state.status {
            Status::Finished => "delivered",
            Status::Deferred => "deferred",
            _ => "exhausted",
        },
        http_status: http_status.map(i64::from),
        duration_ms: state.duration_ms.unwrap_or(0),
        error: state.error.clone(),
        answer,
        started_at,
    }
}

/// A run that a request waits for.
pub struct ImmediateRun<'a> {
    pub handle: Option<&'a Arc<ChannelHandle>>,
    pub workspace: WorkspaceId,
    pub kind: Kind,
    pub loaded: &'a Loaded,
    pub request: Request,
    /// The websocket that the frame came over.
    pub connection: Option<Uuid>,
    pub author: Author,
    pub time: Duration,
    /// Tells if the run may be repeated after a conflict; always unless given.
    pub may_repeat: Option<&'a (dyn Fn() -> BoxFuture<'static, bool> + Send + Sync)>,
}

impl ImmediateRun<'_> {
    async fn may_repeat(&self) -> Result<()> {
        match self.may_repeat {
            Some(may_repeat) if !may_repeat().await => Err(Error::Forbidden(
                "The right to run the script was lost in the meantime",
            )),
            _ => Ok(()),
        }
    }
}

/// The maximum number of repetitions of a run because another node has changed the values that it has read.
const MAX_CONFLICT_RETRIES: u32 = 50;

/// Runs a script at once. Its changes and its failure are written before this returns. The record of a run that
/// has succeeded without changes goes along with the next writes. A run that a quota refuses has no record.
pub async fn run_now(
    app: &Domain,
    now: ImmediateRun<'_>,
    abort: impl Future<Output = ()> + Send,
) -> Result<Outcome> {
    admit_run(app, now.workspace).await?;
    let began = app.clock.now();
    let id = RunId::generate(began);
    let lane = Lane {
        workspace: now.workspace,
        id: now
            .handle
            .map_or(EntityId(now.loaded.script.id), |handle| handle.lane().id),
    };
    let mut abort = pin!(abort.fuse());
    for again in 0.. {
        let work = Work {
            lane,
            handle: now.handle,
            author: now.author.clone(),
            connection: now.connection,
            time: now.time.saturating_sub(app.clock.now().since(began)),
            is_awaited: true,
        };
        let done = run_script(app, &work, now.loaded, &now.request, &mut abort).await;
        let (mut outcome, effects) = (done.outcome, done.effects);
        if !effects.is_empty() {
            let sends = effects.sends();
            let record = record(app, &now, (id, lane, began), &outcome);
            let is_followed = stream::is_followed(app, now.workspace, Topic::Runs);
            let told = is_followed.then(|| record.clone());
            let origin = origin(now.workspace, now.author.clone(), app.clock.now());
            match write_now(app, record, effects, origin).await {
                Ok(()) => {
                    told.into_iter().for_each(|run| tell(app, &run, &run.state));
                    if sends {
                        app.channels.queue.wake(lane, app.clock.now());
                    }
                    return Ok(outcome);
                }
                Err(mut error) => {
                    if error.is(Code::Overtaken) && again < MAX_CONFLICT_RETRIES {
                        match now.may_repeat().await {
                            Ok(()) => continue,
                            Err(refused) => error = refused,
                        }
                    }
                    outcome.failure =
                        Some(Failure::new(app.channels.thrown(now.workspace, &error)));
                }
            }
        }
        let record = record(app, &now, (id, lane, began), &outcome);
        tell(app, &record, &record.state);
        keep(app, record, outcome.failure.is_some()).await;
        return Ok(outcome);
    }
    Ok(Outcome::default())
}

fn record(
    app: &Domain,
    now: &ImmediateRun<'_>,
    (id, lane, began): (RunId, Lane, Timestamp),
    outcome: &Outcome,
) -> Run {
    let tokens = tokens_of(now.handle);
    let state = state(outcome, &tokens, 1, began, app.clock.now());
    let keeps = state.status == Status::Failed && now.kind == Kind::Hook;
    let request = serde_json::to_vec(&now.request).ok().filter(|_| keeps);
    Run {
        id,
        lane,
        channel: now.handle.map(|handle| handle.lane().id),
        kind: now.kind,
        code: now.loaded.script.code().to_owned(),
        request: request.map(|text| request::seal(&app.vault, lane.workspace, id, &text)),
        state,
    }
}

async fn write_now(app: &Domain, record: Run, effects: Effects, origin: Origin) -> Result<()> {
    let (at, workspace) = (app.clone(), origin.workspace);
    let write = move |tx: &mut Tx<'_>| {
        run::insert(tx, &record, None);
        effects.write(&at, tx, &origin, record.channel)
    };
    let changed = app.db.write(workspace, write).await?;
    note_rights(workspace, changed);
    Ok(())
}

/// Stores the record of a run. A failure is stored before the sender is answered. A success is only handed to the
/// writer before that, ahead of any later write.
async fn keep(app: &Domain, record: Run, is_awaited: bool) {
    let (at, workspace, id) = (UnwrittenRecord::new(app), record.lane.workspace, record.id);
    let work = async move {
        let write = move |tx: &mut Tx<'_>| {
            run::insert(tx, &record, None);
            Ok::<_, Error>(())
        };
        let written = if is_awaited {
            at.0.db.write(workspace, write).await
        } else {
            at.0.db.write_deferred(workspace, write).await
        };
        if let Err(error) = written {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                %workspace,
                run.id = %id,
                "cannot write the record of run {id}; it is lost"
            );
        }
    };
    let mut work = Box::pin(work);
    if is_awaited {
        work.await;
    } else if (&mut work).now_or_never().is_none() {
        app.background.spawn(work);
    }
}

/// Counts a record among the unwritten ones until this is dropped.
struct UnwrittenRecord(Domain);

impl UnwrittenRecord {
    fn new(app: &Domain) -> Self {
        app.channels.unwritten.fetch_add(1, Ordering::Relaxed);
        Self(app.clone())
    }
}

impl Drop for UnwrittenRecord {
    fn drop(&mut self) {
        self.0.channels.unwritten.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A run that has ended or waits for another attempt, as it is told.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RunChange<'a> {
    /// The id of the run.
    #[schema(value_type = String, format = "uuid")]
    id: RunId,
    /// The id of the channel, if it has one.
    #[schema(value_type = String, format = "uuid", nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    channel_id: Option<EntityId>,
    /// `hook`, `send`, `start` or `socket`.
    kind: &'a str,
    /// The code of the script; empty if there is none.
    code: &'a str,
    /// `deferred`, `finished` or `failed`.
    status: &'a str,
    /// The number of attempts so far.
    attempts: i64,
    #[schema(nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    duration_ms: Option<i64>,
    /// The time of the next attempt.
    #[schema(value_type = String, format = "date-time", nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    due_at: Option<Timestamp>,
    /// The reason of a failure.
    #[schema(nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
}

/// Tells those who follow the workspace of a run.
fn tell(app: &Domain, run: &Run, state: &State) {
    stream::tell(app, run.lane.workspace, Topic::Runs, || {
        let change = RunChange {
            id: run.id,
            channel_id: run.channel,
            kind: run.kind.name(),
            code: &run.code,
            status: state.status.name(),
            attempts: state.attempts,
            duration_ms: state.duration_ms,
            due_at: state.due_at,
            error: state.error.as_deref(),
        };
        json!(change).to_string()
    });
}

/// Waits until all records that were handed to the writer are stored, so that a sender finds the run of an answer.
pub async fn catch_up(app: &Domain, workspace: WorkspaceId) -> Result<()> {
    if app.channels.unwritten.load(Ordering::Relaxed) == 0 {
        return Ok(());
    }
    app.db.write(workspace, |_| Ok(())).await
}

/// A value as JSON text, or null.
pub fn value(text: Option<&str>) -> Value {
    text.and_then(|text| json::parse(text.as_bytes()).ok())
        .unwrap_or_default()
}
