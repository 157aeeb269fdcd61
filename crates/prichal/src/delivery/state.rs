//! The state of each delivery source: whether it works, how far it is behind, and figures of the last day
//! (`docs/contracts/prichal.md §6.4`).
//!
//! The figures are rows, so that every node gives the same answer and they outlive a restart. A hook's calls since the
//! last write are in the memory of the node that makes them.

mod summary;

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use prichal_core::{
    delivery_stats::{Counts, SHOWN_QUARTERS, Tally, beginning, quarter},
    health::Streak,
    id::{EntityId, IntegrationId, WebhookId, WorkspaceId, generated_at},
    time::Timestamp,
};
use prichal_store::{
    Conn,
    delivery::{self, Waiting},
    delivery_stats::{self, Stats, key_of_channel},
    document_hook::{self, INTEGRATION},
    event,
    run::{self, Lane},
    webhook::{Key, Webhook},
};
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

pub use summary::Summary;

use super::{Dispatch, commit::Batch, definition_of};
use crate::{
    delivery::{Delivery, attempt},
    domain::stream::{self, topic::Topic},
    error::Result,
};

/// The interval at which the figures of a webhook that works are written.
const SAVE_INTERVAL: Duration = Duration::from_mins(1);
/// The maximum number of events behind a cursor that are matched one by one.
const MAX_MATCHED_EVENTS: i64 = 10_000;
/// The time after its last call for which a source counts as working.
const WORKING_TIME: Duration = Duration::from_mins(15);

/// The state of what calls a receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = DeliveryState)]
pub enum State {
    /// The last call has succeeded, and an event waits or a call was made in the last quarter of an hour.
    Working,
    /// The last call has failed.
    Failing,
    /// The webhook is disabled, by its owner or after too many failures.
    SwitchedOff,
    /// The instance or the subscription is paused.
    Paused,
    /// No event waits, and no call was made in the last quarter of an hour.
    Idle,
}

/// The state of a source, and figures about its calls.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SourceState {
    state: State,
    /// The time of the first failure after the last success, of a source that fails.
    #[schema(value_type = String, format = "date-time")]
    #[serde(skip_serializing_if = "Option::is_none")]
    failing_since: Option<Timestamp>,
    /// The number of events that the source has yet to deliver: those after its cursor that it wants, and those that
    /// wait. Of events further than 10 000 behind, each counts.
    lag_events: i64,
    /// The age of the oldest of these in seconds.
    lag_seconds: u64,
    /// The number of events that wait for another attempt, up to 100 000.
    waiting: i64,
    /// The time of the next attempt for one that waits, or of the next scheduled call.
    #[schema(value_type = String, format = "date-time")]
    #[serde(skip_serializing_if = "Option::is_none")]
    next_try_at: Option<Timestamp>,
    /// The time of the last call that succeeded.
    #[schema(value_type = String, format = "date-time")]
    #[serde(skip_serializing_if = "Option::is_none")]
    last_success_at: Option<Timestamp>,
    /// The time of the last call that failed.
    #[schema(value_type = String, format = "date-time")]
    #[serde(skip_serializing_if = "Option::is_none")]
    last_error_at: Option<Timestamp>,
    /// The reason of the last failure.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_error: Option<String>,
    /// The status of the receiver's answer then, if there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_http_status: Option<i64>,
    /// The share of the last day's calls that succeeded, from 0 to 1. Absent if there were none.
    #[serde(skip_serializing_if = "Option::is_none")]
    success_rate: Option<f64>,
    /// The last day by quarters of an hour, the oldest first: 96 of them. The last one is not over.
    quarters: Vec<Quarter>,
}

/// The calls in a quarter of an hour.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = DeliveryQuarter)]
pub struct Quarter {
    /// Its beginning.
    #[schema(value_type = String, format = "date-time")]
    starts_at: Timestamp,
    /// The number of calls that succeeded.
    delivered: i64,
    /// The number of calls that failed.
    failed: i64,
    /// The mean duration of a call.
    #[serde(skip_serializing_if = "Option::is_none")]
    average_ms: Option<i64>,
    /// The duration of the longest call.
    #[serde(skip_serializing_if = "Option::is_none")]
    max_ms: Option<i64>,
}

/// A change of a source's state, as it is told.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct StateChange {
    /// The id of the webhook or of the subscription.
    #[schema(value_type = String, format = "uuid")]
    id: WebhookId,
    /// The id of the integration that a webhook belongs to.
    #[schema(value_type = String, format = "uuid")]
    #[serde(skip_serializing_if = "Option::is_none")]
    integration_id: Option<IntegrationId>,
    state: State,
    /// The time of the first failure, of a source that fails.
    #[schema(value_type = String, format = "date-time")]
    #[serde(skip_serializing_if = "Option::is_none")]
    failing_since: Option<Timestamp>,
}

/// The calls of a hook on this node that are not written yet.
#[derive(Default)]
pub(super) struct Unsaved(Mutex<(Tally, Timestamp)>);

impl Unsaved {
    /// Adds the calls of a batch. Returns all that are to be written with it: at once if a failure or a recovery is
    /// among them, else once a minute.
    pub(super) fn add(&self, calls: Tally, at_once: bool, now: Timestamp) -> Tally {
        let mut unsaved = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        unsaved.0.merge(calls);
        if unsaved.0.is_empty() || !at_once && now.since(unsaved.1) < SAVE_INTERVAL {
            return Tally::default();
        }
        unsaved.1 = now;
        std::mem::take(&mut unsaved.0)
    }

    /// Takes all calls, to write them.
    pub(super) fn take(&self) -> Tally {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner).0)
    }

    fn copy(&self) -> Tally {
        let unsaved = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        unsaved.0.clone()
    }
}

impl SourceState {
    /// Reads the state of a webhook or of the subscription to documents.
    pub fn of_hook(app: &Delivery, conn: &mut Conn, row: &Webhook, now: Timestamp) -> Result<Self> {
        Self::of_hook_within(app, conn, row, now, MAX_MATCHED_EVENTS)
    }

    /// Reads the state, with at most `max_matched` events behind the cursor matched one by one.
    fn of_hook_within(
        app: &Delivery,
        conn: &mut Conn,
        row: &Webhook,
        now: Timestamp,
        max_matched: i64,
    ) -> Result<Self> {
        let key = row.key;
        let is_document_hook = key.integration == INTEGRATION;
        let definition = definition_of(row);
        let is_disabled = definition.as_ref().is_some_and(|one| one.disabled);
        let is_paused = if is_document_hook {
            let hook = document_hook::find(conn, key.workspace)?;
            hook.is_some_and(|hook| hook.paused_at.is_some())
        } else {
            !row.live
        };
        let Waiting {
            count: waiting,
            mut oldest,
            due_at,
        } = delivery::waiting(conn, key)?;
        let mut lag_events = waiting;
        // A webhook that is revived begins at the end of the log; the subscription goes on at its cursor.
        if (row.live || is_document_hook)
            && let Some(definition) = definition
        {
            let heads = event::heads(conn, key.workspace, row.cursor, i64::MAX, max_matched)?;
            let wanted = heads.iter().filter(|(_, head)| definition.wants(head));
            lag_events += i64::try_from(wanted.clone().count()).unwrap_or(i64::MAX);
            let first = wanted.map(|(seq, _)| *seq).next();
            oldest = oldest.into_iter().chain(first).min();
            if i64::try_from(heads.len()).is_ok_and(|matched| matched == max_matched)
                && let Some((seq, _)) = heads.last()
            {
                lag_events += event::last(conn, key.workspace)? - seq;
            }
        }
        let oldest = match oldest {
            Some(seq) => event::find(conn, key.workspace, seq)?.map(|event| event.id.0),
            None => None,
        };
        let mut figures = delivery_stats::find(conn, key, now)?;
        if let Some(unsaved) = app.dispatch.unsaved(key) {
            figures.merge(&unsaved);
        }
        let mut state = Self::new(&figures, now);
        state.failing_since = row.streak.since;
        state.lag_events = lag_events;
        state.waiting = waiting;
        state.next_try_at = due_at.or(row.next_tick);
        state.set_oldest(oldest, now);
        state.state = match not_called(is_disabled, is_paused) {
            Some(state) => state,
            None if row.streak.failures > 0 => State::Failing,
            None => state.state,
        };
        Ok(state)
    }

    /// Reads the state of a channel.
    pub fn of_channel(
        conn: &mut Conn,
        workspace: WorkspaceId,
        channel: EntityId,
        now: Timestamp,
    ) -> Result<Self> {
        let lane = Lane {
            workspace,
            id: channel,
        };
        let (waiting, oldest, due_at) = run::waiting_messages(conn, lane)?;
        let figures = delivery_stats::find(conn, key_of_channel(workspace, channel), now)?;
        let mut state = Self::new(&figures, now);
        state.failing_since = figures.failing_since;
        state.lag_events = waiting;
        state.waiting = waiting;
        state.next_try_at = due_at;
        state.set_oldest(oldest.map(|run| run.0), now);
        if figures.failing_since.is_some() {
            state.state = State::Failing;
        }
        Ok(state)
    }

    /// The number of events that wait, and the age of the oldest.
    pub(super) fn lag(&self) -> (i64, Duration) {
        (self.lag_events, Duration::from_secs(self.lag_seconds))
    }

    /// The state as far as the figures tell it.
    fn new(figures: &Stats, now: Timestamp) -> Self {
        let last = quarter(now);
        let quarters = (last - SHOWN_QUARTERS + 1..=last).map(|number| {
            let counts = figures.quarters.get(&number).copied().unwrap_or_default();
            let has_calls = counts.calls() > 0;
            Quarter {
                starts_at: beginning(number),
                delivered: counts.delivered,
                failed: counts.failed,
                average_ms: has_calls.then(|| counts.total_ms / counts.calls()),
                max_ms: has_calls.then_some(counts.max_ms),
            }
        });
        let mut day = Counts::default();
        figures
            .quarters
            .values()
            .for_each(|counts| day.merge(*counts));
        let failure = figures.last_failure.as_ref();
        let called_at = figures.last_success.max(failure.map(|failure| failure.at));
        let is_recent = called_at.is_some_and(|at| now.since(at) < WORKING_TIME);
        #[expect(clippy::cast_precision_loss, reason = "a share needs few digits")]
        let success_rate = (day.calls() > 0).then(|| day.delivered as f64 / day.calls() as f64);
        Self {
            state: if is_recent {
                State::Working
            } else {
                State::Idle
            },
            failing_since: None,
            lag_events: 0,
            lag_seconds: 0,
            waiting: 0,
            next_try_at: None,
            last_success_at: figures.last_success,
            last_error_at: failure.map(|failure| failure.at),
            last_error: failure.map(|failure| failure.error.clone()),
            last_http_status: failure.and_then(|failure| failure.http_status),
            success_rate,
            quarters: quarters.collect(),
        }
    }

    /// Notes the oldest thing that has yet to be delivered, by its id.
    fn set_oldest(&mut self, oldest: Option<uuid::Uuid>, now: Timestamp) {
        if self.lag_events > 0 {
            self.state = State::Working;
            let at = oldest.and_then(generated_at);
            self.lag_seconds = at.map_or(0, |at| now.since(at).as_secs());
        }
    }
}

/// The state of a source that calls nobody.
fn not_called(is_disabled: bool, is_paused: bool) -> Option<State> {
    if is_disabled {
        Some(State::SwitchedOff)
    } else {
        is_paused.then_some(State::Paused)
    }
}

impl Dispatch {
    /// The calls of a hook that this node has made and not written yet.
    fn unsaved(&self, key: Key) -> Option<Tally> {
        let state = self.lock();
        let hook = state.logs.get(&key.workspace)?.hook(key)?;
        Some(hook.unsaved.copy())
    }
}

/// Tells those who follow the workspace what a batch has changed. `is_failing` is what was told last.
pub(super) fn tell_batch(app: &Delivery, key: Key, batch: &Batch, is_failing: &mut bool) {
    if stream::is_followed(app, key.workspace, Topic::Deliveries) {
        for done in &batch.attempts {
            stream::tell(app, key.workspace, Topic::Deliveries, || {
                attempt::lean_model(key.workspace, done).to_string()
            });
        }
    }
    if let Some(streak) = batch.streak
        && *is_failing != (streak.failures > 0)
    {
        *is_failing = streak.failures > 0;
        tell_state(app, key, called(&streak), &streak);
    }
}

/// Tells the states of webhooks whose definition or instance has changed.
pub(super) fn tell_rows(app: &Delivery, rows: &[Webhook]) {
    for row in rows {
        let workspace = row.key.workspace;
        if stream::is_followed(app, workspace, Topic::States)
            && let Some(definition) = definition_of(row)
        {
            let state = not_called(definition.disabled, !row.live);
            let state = state.unwrap_or_else(|| called(&row.streak));
            tell_state(app, row.key, state, &row.streak);
        }
    }
}

/// The state of a source that is called.
fn called(streak: &Streak) -> State {
    if streak.failures > 0 {
        State::Failing
    } else {
        State::Working
    }
}

fn tell_state(app: &Delivery, key: Key, state: State, streak: &Streak) {
    stream::tell(app, key.workspace, Topic::States, || {
        let change = StateChange {
            id: key.id,
            integration_id: (key.integration != INTEGRATION).then_some(key.integration),
            state,
            failing_since: streak.since,
        };
        json!(change).to_string()
    });
}
