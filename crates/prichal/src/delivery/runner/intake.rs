//! The events that a runner takes from the log, from its tail in memory or from the store.

use std::sync::Arc;

use prichal_store::{
    Conn, LoggedEvent,
    delivery::{Deferred, Lane},
    event, webhook,
};

use super::{Job, MAX_CALLS, MAX_WINDOW_EVENTS, Runner, item};
use crate::{
    delivery::{commit::Queued, log::Next},
    error::{Error, Result},
};

/// The maximum number of events that wait for a call about the same entity to end.
const MAX_PARKED_EVENTS: usize = 256;
/// The maximum number of events that are fetched from the store at once.
const MAX_FETCHED_EVENTS: i64 = 128;
/// The number that is fetched at least, because the webhook may want few of them.
const MIN_FETCHED_EVENTS: i64 = 16;

impl Runner {
    /// Starts as many calls as the bounds allow. Returns false if the lease is lost.
    pub(super) async fn fill(&mut self) -> Result<bool> {
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
    pub(super) async fn fill_main(&mut self, mut limit: usize) -> Result<bool> {
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
        let read = move |conn: &mut Conn| {
            let (mut events, mut end) = (event::list(conn, workspace, position, count)?, position);
            if events.is_empty() {
                // All up to the end were removed. It is read first, so that no later event is left out.
                end = event::last(conn, workspace)?;
                events = event::list(conn, workspace, position, count)?;
            }
            Ok::<_, Error>((events, end))
        };
        let (events, end) = self.app.db.read(read).await?;
        let last = events.last().map_or(end, |event| event.seq);
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
    pub(super) fn is_suspect(&self, seq: i64) -> bool {
        self.app.journal.is_suspect(&item(self.hook.key(), seq))
    }

    /// True if an event is in quarantine.
    pub(super) fn is_held(&self, seq: i64) -> bool {
        self.app.journal.is_held(&item(self.hook.key(), seq))
    }

    /// Gives an event in quarantine a deferred row, in which it waits for its release.
    pub(super) fn defer_held(&mut self, lane: Lane, seq: i64) {
        self.batch.queue.push(Queued::Defer(Deferred {
            lane,
            seq,
            attempts: 0,
            due_at: self.app.clock.now(),
            in_flight: false,
        }));
    }
}
