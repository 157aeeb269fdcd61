//! The writes of a runner: cursor, attempts and deferred events, for many calls in one transaction.

use prichal_core::{
    delivery_stats::Tally,
    event::{Author, Entity, EventHead, Origin},
    health::Streak,
    id::{EventId, WebhookId},
    retry::Verdict,
    time::Timestamp,
};
use prichal_store::{
    Tx,
    delivery::{self, Attempt, Deferred, Lane, Replay},
    delivery_stats,
    webhook::{self, Lease},
};
use uuid::Uuid;

use super::target::{self, HealthChange};
use crate::{
    error::Result,
    platform::{outgoing::post::Outcome, vault::Vault},
};

/// The results of calls since the last write.
#[derive(Clone, Debug, Default)]
pub(super) struct Batch {
    pub(super) cursor: i64,
    pub(super) attempts: Vec<Attempt>,
    /// The changes of the deferred events, in order.
    pub(super) queue: Vec<Queued>,
    pub(super) replay: Option<Replay>,
    /// The streak of failures, if it changed.
    pub(super) streak: Option<Streak>,
    pub(super) health: Option<HealthChange>,
    /// The calls that go into the figures now.
    pub(super) tally: Tally,
    /// Entities with no further call until the batch is written.
    pub(super) held: Vec<Entity>,
}

#[derive(Clone, Debug)]
pub(super) enum Queued {
    /// Defers an event, or changes its due time.
    Defer(Deferred),
    /// Completes a deferred event.
    Complete(Lane, i64),
    /// Settles the dead letter of an event that is not sent.
    Settle(i64),
}

impl Batch {
    /// True if there is at most a cursor to write.
    pub(super) fn is_empty(&self) -> bool {
        let Self {
            cursor: _,
            attempts,
            queue,
            replay,
            streak,
            health,
            tally,
            held,
        } = self;
        attempts.is_empty()
            && queue.is_empty()
            && replay.is_none()
            && streak.is_none()
            && health.is_none()
            && tally.is_empty()
            && held.is_empty()
    }

    /// Appends these results to `earlier`, a batch whose write failed.
    pub(super) fn after(self, mut earlier: Self) -> Self {
        earlier.cursor = earlier.cursor.max(self.cursor);
        earlier.attempts.extend(self.attempts);
        earlier.queue.extend(self.queue);
        earlier.replay = self.replay.or(earlier.replay);
        earlier.streak = self.streak.or(earlier.streak);
        earlier.health = self.health.or(earlier.health);
        earlier.tally.merge(self.tally);
        earlier.held.extend(self.held);
        earlier
    }
}

/// Writes a batch. Returns false, and writes no row, if the lease is lost.
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
    delivery::log::insert(tx, key.workspace, key.integration, &batch.attempts);
    delivery::dead_letter::note(tx, key, &batch.attempts)?;
    let changes = batch.queue.iter().filter_map(|queued| match queued {
        Queued::Defer(Deferred { lane, seq, .. }) => Some((*lane, *seq, true)),
        Queued::Complete(lane, seq) => Some((*lane, *seq, false)),
        Queued::Settle(_) => None,
    });
    delivery::count_changes(tx, key, changes)?;
    for queued in &batch.queue {
        match queued {
            Queued::Defer(deferred) => delivery::defer(tx, key, deferred)?,
            Queued::Complete(lane, seq) => delivery::complete_deferred(tx, key, *lane, *seq)?,
            Queued::Settle(seq) => delivery::dead_letter::settle(tx, key, *seq)?,
        }
    }
    if let Some(replay) = &batch.replay {
        delivery::move_replay(tx, key, replay)?;
    }
    if let Some(streak) = batch.streak {
        webhook::set_streak(tx, key, streak)?;
    }
    if !batch.tally.is_empty() {
        delivery_stats::add(tx, key, &batch.tally)?;
    }
    if let Some(health) = batch.health {
        target::of(key).write_health(vault, tx, key, health, origin)?;
    }
    Ok(true)
}

/// The origin of changes that delivery makes by itself.
pub(super) fn origin(lease: &Lease, at: Timestamp) -> Origin {
    Origin {
        workspace: lease.key.workspace,
        author: Author::system(),
        at,
    }
}

/// The subject of a call.
pub struct Subject {
    pub event: EventId,
    pub seq: i64,
    /// The kind and the entities of an event of the log.
    pub about: Option<EventHead>,
    pub is_replay: bool,
}

/// The entry of the delivery log for a call: attempt number `number`.
pub fn attempt(
    id: Uuid,
    webhook: WebhookId,
    subject: Subject,
    number: u32,
    outcome: Outcome,
    verdict: Verdict,
) -> Attempt {
    Attempt {
        id,
        webhook,
        event: subject.event,
        seq: subject.seq,
        about: subject.about,
        is_replay: subject.is_replay,
        attempt: i64::from(number),
        status: status(verdict),
        http_status: outcome.http_status.map(i64::from),
        duration_ms: i64::try_from(outcome.duration.as_millis()).unwrap_or(i64::MAX),
        error: outcome.error,
        answer: outcome.answer,
        started_at: outcome.started_at,
        exchange: outcome.exchange,
    }
}

/// The verdict in the attempt log.
pub(super) fn status(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Delivered => "delivered",
        Verdict::DeferredUntil(_) => "deferred",
        Verdict::Exhausted | Verdict::Gone => "exhausted",
    }
}
