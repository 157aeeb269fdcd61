//! The side queue of a runner: deferred events that are due, and replays.

use std::{sync::Arc, time::Duration};

use prichal_store::{
    delivery::{self, Lane, resend},
    event,
};

use super::{Job, MAX_SIDE_CALLS, Runner};
use crate::{
    delivery::commit::Queued,
    error::{Error, Result},
};

impl Runner {
    /// The number of further calls that may be accepted from the side queue.
    pub(super) fn side_room(&self) -> usize {
        let parked = self.parked.iter().filter(|job| job.is_side).count();
        let room = MAX_SIDE_CALLS.saturating_sub(self.side_calls + parked);
        room.min(self.room(Lane::Replay).saturating_sub(self.side_reserve))
    }

    /// Starts calls for deferred events that are due.
    pub(super) async fn retry_due(&mut self) -> Result<()> {
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
    pub(super) async fn continue_replay(&mut self) -> Result<()> {
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
    pub(super) fn resume_replay(&mut self) {
        self.replay_at = None;
        self.is_side_queue_due = true;
    }
}
