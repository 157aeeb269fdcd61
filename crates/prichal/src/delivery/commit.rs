//! What a runner writes: cursors, attempts and deferred events, many calls in one transaction.

use std::sync::Arc;

use prichal_core::{
    event::{Author, Entity, Origin},
    health::Streak,
    id::{EventId, WebhookId},
    retry::Verdict,
    time::Timestamp,
};
use prichal_store::{
    Tx,
    delivery::{self, Attempt, Deferred, Lane, Replay},
    webhook::{self, Lease},
};

use uuid::Uuid;

use super::target::{self, Health};
use crate::{
    domain::journal::Flight,
    error::Result,
    platform::{outgoing::post::Outcome, vault::Vault},
};

/// What has come of calls since the last write.
#[derive(Clone, Debug, Default)]
pub(super) struct Batch {
    pub(super) cursor: i64,
    pub(super) attempts: Vec<Attempt>,
    /// What happens to the deferred queue, in this order.
    pub(super) queue: Vec<Queued>,
    pub(super) replay: Option<Replay>,
    /// The streak of failures, when it has changed.
    pub(super) streak: Option<Streak>,
    pub(super) health: Option<Health>,
    /// Entities of which nothing more is told until this is written.
    pub(super) held: Vec<Entity>,
    /// What is under way until this is written.
    pub(super) flights: Vec<Arc<Flight>>,
}

#[derive(Clone, Debug)]
pub(super) enum Queued {
    /// An event enters the deferred queue, or is due at another time.
    Defer(Deferred),
    /// An event leaves it.
    Settle(Lane, i64),
}

impl Batch {
    /// Whether there is nothing to write but a cursor.
    pub(super) fn is_empty(&self) -> bool {
        let Self {
            cursor: _,
            attempts,
            queue,
            replay,
            streak,
            health,
            held,
            flights,
        } = self;
        attempts.is_empty()
            && queue.is_empty()
            && replay.is_none()
            && streak.is_none()
            && health.is_none()
            && held.is_empty()
            && flights.is_empty()
    }

    /// Puts what could not be written before what has come since.
    pub(super) fn after(self, mut earlier: Self) -> Self {
        earlier.cursor = earlier.cursor.max(self.cursor);
        earlier.attempts.extend(self.attempts);
        earlier.queue.extend(self.queue);
        earlier.replay = self.replay.or(earlier.replay);
        earlier.streak = self.streak.or(earlier.streak);
        earlier.health = self.health.or(earlier.health);
        earlier.held.extend(self.held);
        earlier.flights.extend(self.flights);
        earlier
    }
}

/// Writes a batch. False when the lease is lost: then nothing is written.
pub(super) fn write(
    vault: &Vault,
    tx: &mut Tx<'_>,
    lease: &Lease,
    batch: &Batch,
    origin: &Origin,
) -> Result<bool> {
    let key = lease.key;
    if !webhook::move_cursor(tx, lease, batch.cursor)? {
        return Ok(false);
    }
    for attempt in &batch.attempts {
        delivery::insert_attempt(tx, key.workspace, key.integration, attempt);
    }
    for queued in &batch.queue {
        match queued {
            Queued::Defer(deferred) => delivery::defer(tx, key, deferred)?,
            Queued::Settle(lane, seq) => delivery::settle_deferred(tx, key, *lane, *seq)?,
        }
    }
    if let Some(replay) = &batch.replay {
        delivery::move_replay(tx, key, replay)?;
    }
    if let Some(streak) = batch.streak {
        webhook::set_streak(tx, key, streak)?;
    }
    if let Some(health) = batch.health {
        target::of(key).write_health(vault, tx, key, health, origin)?;
    }
    Ok(true)
}

/// The author of what the dispatcher changes by itself.
pub(super) fn origin(lease: &Lease, at: Timestamp) -> Origin {
    Origin {
        workspace: lease.key.workspace,
        author: Author::system(),
        at,
    }
}

/// The row of the attempt log for a call: attempt number `number` at event `event`.
pub fn attempt(
    id: Uuid,
    webhook: WebhookId,
    event: (EventId, i64),
    number: u32,
    outcome: &Outcome,
    verdict: Verdict,
) -> Attempt {
    Attempt {
        id,
        webhook,
        event: event.0,
        seq: event.1,
        attempt: i64::from(number),
        status: status(verdict),
        http_status: outcome.http_status.map(i64::from),
        duration_ms: i64::try_from(outcome.duration.as_millis()).unwrap_or(i64::MAX),
        error: outcome.error.clone(),
        answer: outcome.answer.clone(),
        started_at: outcome.started_at,
    }
}

/// The verdict's word in the attempt log.
pub(super) fn status(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Delivered => "delivered",
        Verdict::DeferredUntil(_) => "deferred",
        Verdict::Exhausted => "exhausted",
    }
}
