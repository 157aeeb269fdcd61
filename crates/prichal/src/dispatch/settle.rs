//! What a runner writes: cursors, attempts and deferred events, many calls in one transaction.

use prichal_core::{
    event::{Author, Origin},
    health::{self, Effect, Streak},
    retry::Verdict,
};
use prichal_store::{
    Tx,
    delivery::{self, Attempt, Deferred, Lane, Replay},
    webhook::{self, Lease},
};

use super::call::Outcome;
use crate::{error::Result, instance};

/// What has come of calls since the last write.
#[derive(Clone, Debug, Default)]
pub(super) struct Batch {
    pub(super) cursor: i64,
    pub(super) attempts: Vec<Attempt>,
    pub(super) deferred: Vec<Deferred>,
    /// Events that leave the deferred queue.
    pub(super) settled: Vec<(Lane, i64)>,
    pub(super) replay: Option<Replay>,
    /// The streak of failures, when it has changed.
    pub(super) streak: Option<Streak>,
    pub(super) health: Option<Health>,
}

/// What the calls mean for the status of the instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Health {
    Well,
    Ill(Effect),
}

impl Batch {
    /// Whether there is nothing to write but a cursor.
    pub(super) fn is_empty(&self) -> bool {
        let Self {
            cursor: _,
            attempts,
            deferred,
            settled,
            replay,
            streak,
            health,
        } = self;
        attempts.is_empty()
            && deferred.is_empty()
            && settled.is_empty()
            && replay.is_none()
            && streak.is_none()
            && health.is_none()
    }

    /// Puts what could not be written before what has come since.
    pub(super) fn after(self, mut earlier: Self) -> Self {
        earlier.cursor = earlier.cursor.max(self.cursor);
        earlier.attempts.extend(self.attempts);
        earlier.deferred.extend(self.deferred);
        earlier.settled.extend(self.settled);
        earlier.replay = self.replay.or(earlier.replay);
        earlier.streak = self.streak.or(earlier.streak);
        earlier.health = self.health.or(earlier.health);
        earlier
    }
}

/// Writes a batch. False when the lease is lost: then nothing is written.
pub(super) fn write(
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
    for (lane, seq) in &batch.settled {
        delivery::settle_deferred(tx, key, *lane, *seq)?;
    }
    for deferred in &batch.deferred {
        delivery::defer(tx, key, deferred)?;
    }
    if let Some(replay) = &batch.replay {
        delivery::move_replay(tx, key, replay)?;
    }
    if let Some(streak) = batch.streak {
        webhook::set_streak(tx, key, streak)?;
    }
    match batch.health {
        Some(Health::Ill(Effect::SwitchOff)) => {
            instance::switch_off(tx, key, origin)?;
        }
        Some(Health::Ill(effect)) => {
            instance::set_status(
                tx,
                key.workspace,
                key.integration,
                |status| health::after_failure(status, effect),
                origin,
            )?;
        }
        Some(Health::Well) => {
            instance::set_status(
                tx,
                key.workspace,
                key.integration,
                health::after_success,
                origin,
            )?;
        }
        None => {}
    }
    Ok(true)
}

/// The author of what the dispatcher changes by itself.
pub(super) fn origin(lease: &Lease, at: prichal_core::time::Timestamp) -> Origin {
    Origin {
        workspace: lease.key.workspace,
        author: Author::system(),
        at,
    }
}

/// The row of the attempt log for a call.
pub fn attempt(
    id: uuid::Uuid,
    event: (prichal_core::id::EventId, i64),
    webhook: prichal_core::id::WebhookId,
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
        status: match verdict {
            Verdict::Delivered => "delivered",
            Verdict::DeferredUntil(_) => "deferred",
            Verdict::Exhausted => "exhausted",
        },
        http_status: outcome.http_status.map(i64::from),
        duration_ms: i64::try_from(outcome.duration.as_millis()).unwrap_or(i64::MAX),
        error: outcome.error.clone(),
        answer: outcome.answer.clone(),
        started_at: outcome.started_at,
    }
}
