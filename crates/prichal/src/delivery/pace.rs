//! The rate limit of a webhook: at most so many calls in any period.
//!
//! It remembers the times of the latest calls. They come from the attempt log when a runner starts, so a limit holds
//! across a restart of the server; calls whose results were not written yet are not counted then.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

use prichal_core::{delivery_settings::RateLimit, time::Timestamp};

pub(super) struct Pace {
    pub(super) limit: RateLimit,
    /// The times of the calls in the current period, the oldest first.
    calls: Mutex<VecDeque<Timestamp>>,
}

impl Pace {
    /// `calls` are the times of calls that were made already, the oldest first.
    pub(super) fn new(limit: RateLimit, calls: impl IntoIterator<Item = Timestamp>) -> Self {
        let mut calls: VecDeque<Timestamp> = calls.into_iter().collect();
        let excess = calls.len().saturating_sub(limit.count);
        calls.drain(..excess);
        Self {
            limit,
            calls: Mutex::new(calls),
        }
    }

    /// The same calls under another limit.
    pub(super) fn with_limit(&self, limit: RateLimit) -> Self {
        Self::new(limit, self.lock().iter().copied())
    }

    /// The number of calls that may begin at `now`.
    pub(super) fn free(&self, now: Timestamp) -> usize {
        self.limit.count.saturating_sub(self.current(now).len())
    }

    /// Counts a call at `now`, for which there was room. Returns `now`.
    pub(super) fn note(&self, now: Timestamp) -> Timestamp {
        self.lock().push_back(now);
        now
    }

    /// Takes back a call that was counted at this time and has not begun.
    pub(super) fn forget(&self, counted_at: Timestamp) {
        let mut calls = self.lock();
        if let Ok(at) = calls.binary_search(&counted_at) {
            calls.remove(at);
        }
    }

    /// Counts a call at `now` if there is room, or returns the time at which there will be.
    pub(super) fn try_note(&self, now: Timestamp) -> Result<(), Timestamp> {
        let mut calls = self.current(now);
        match calls.front() {
            Some(oldest) if calls.len() >= self.limit.count => {
                Err(*oldest + self.limit.per.duration())
            }
            _ => {
                calls.push_back(now);
                Ok(())
            }
        }
    }

    /// The time at which the next call may begin. `None` if that is now.
    pub(super) fn next_at(&self, now: Timestamp) -> Option<Timestamp> {
        let calls = self.current(now);
        let is_full = calls.len() >= self.limit.count;
        let oldest = calls.front().filter(|_| is_full);
        oldest.map(|oldest| *oldest + self.limit.per.duration())
    }

    /// The calls of the period that ends at `now`.
    fn current(&self, now: Timestamp) -> MutexGuard<'_, VecDeque<Timestamp>> {
        let mut calls = self.lock();
        let period = self.limit.per.duration();
        while calls.front().is_some_and(|oldest| *oldest + period <= now) {
            calls.pop_front();
        }
        calls
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Timestamp>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use prichal_core::delivery_settings::Per;

    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_micros(millis * 1000)
    }

    fn limit(count: usize) -> RateLimit {
        RateLimit {
            count,
            per: Per::Second,
        }
    }

    #[test]
    fn no_period_has_more_calls_than_the_limit() {
        let pace = Pace::new(limit(3), []);
        let mut calls = Vec::new();
        // A caller that tries all the time.
        for now in (0..5000).step_by(7) {
            while pace.try_note(at(now)).is_ok() {
                calls.push(now);
            }
        }
        for start in 0..5000 {
            let within = |call: &&i64| (start..start + 1000).contains(*call);
            assert!(calls.iter().filter(within).count() <= 3, "from {start}");
        }
        assert_eq!(calls.len(), 15, "and none is wasted: {calls:?}");
    }

    #[test]
    fn the_next_call_waits_for_the_oldest_to_leave_the_period() {
        let pace = Pace::new(limit(2), [at(0), at(400), at(500)]);
        assert_eq!(
            (pace.free(at(600)), pace.next_at(at(600))),
            (0, Some(at(1400)))
        );
        assert_eq!(pace.try_note(at(600)), Err(at(1400)));
        assert_eq!((pace.free(at(1400)), pace.next_at(at(1400))), (1, None));
        pace.note(at(1400));
        assert_eq!(pace.next_at(at(1401)), Some(at(1500)));
        pace.forget(at(1400));
        pace.forget(at(1399));
        assert_eq!(pace.next_at(at(1401)), None);
        pace.note(at(1400));
        let wider = pace.with_limit(limit(5));
        assert_eq!(wider.free(at(1401)), 3, "its calls still count");
        assert_eq!(pace.with_limit(limit(1)).next_at(at(1401)), Some(at(2400)));
    }
}
