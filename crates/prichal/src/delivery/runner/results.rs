//! The results of a runner's calls: the verdict on each, the batch that gathers them, the write of a batch.

use std::sync::Arc;

use prichal_core::{id::generate, retry::Verdict};
use prichal_store::delivery::{Deferred, Lane};

use super::{DETACH_DELAY, FinishedCall, Job, Runner, log_error};
use crate::{
    delivery::{
        RETRY_DELAY,
        commit::{self, Batch, Queued, Subject},
        state,
        target::{AttemptResult, HealthChange},
    },
    domain::journal,
    error::Result,
    platform::outgoing::post::Outcome,
};

impl Runner {
    /// Takes the result of a call into the batch.
    pub(super) fn finish_call(&mut self, done: FinishedCall) {
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
    pub(super) fn record_verdict(&mut self, job: &Job, verdict: Verdict) {
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
    pub(super) fn detach_blocking_calls(&mut self) {
        for seq in self.window.open_before(self.app.clock.now() - DETACH_DELAY) {
            let row = self.in_flight(Lane::Main, seq);
            self.batch.queue.push(row);
            self.detached.insert(seq);
            self.window.complete(seq);
        }
    }

    /// The row of an event with its first call in flight. It is not due while this runner lives. The next owner
    /// of the webhook makes it due.
    pub(super) fn in_flight(&self, lane: Lane, seq: i64) -> Queued {
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

    /// Starts a write of the batch, unless it is empty or another write runs.
    pub(super) fn start_writing(&mut self) {
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
    pub(super) async fn finish_write(&mut self, outcome: Result<bool>) -> bool {
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
