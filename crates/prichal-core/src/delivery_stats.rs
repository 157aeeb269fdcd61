//! Figures about the calls of a delivery source, by quarter of an hour (`docs/contracts/prichal.md §6.4`).

use std::time::Duration;

use crate::time::Timestamp;

/// The number of quarters of an hour that are shown: a day.
pub const SHOWN_QUARTERS: i64 = 96;
const QUARTER_MICROS: i64 = 15 * 60 * 1_000_000;

/// The quarter of an hour of a time, counted from 1970.
pub fn quarter(at: Timestamp) -> i64 {
    at.micros().div_euclid(QUARTER_MICROS)
}

/// The beginning of a quarter of an hour.
pub fn beginning(quarter: i64) -> Timestamp {
    Timestamp::from_micros(quarter.saturating_mul(QUARTER_MICROS))
}

/// The calls in a quarter of an hour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// The numbers of calls that succeeded and failed.
    pub delivered: i64,
    pub failed: i64,
    /// The duration of all calls together, and of the longest.
    pub total_ms: i64,
    pub max_ms: i64,
}

impl Counts {
    pub fn calls(&self) -> i64 {
        self.delivered + self.failed
    }

    pub fn merge(&mut self, other: Self) {
        self.delivered += other.delivered;
        self.failed += other.failed;
        self.total_ms += other.total_ms;
        self.max_ms = self.max_ms.max(other.max_ms);
    }
}

/// A failed call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub at: Timestamp,
    /// The reason in words.
    pub error: String,
    /// The status of the answer, if there was one.
    pub http_status: Option<i64>,
}

/// The calls since the figures were last written. A success allocates nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    quarter: i64,
    counts: Counts,
    /// The quarters before.
    earlier: Vec<(i64, Counts)>,
    last_success: Option<Timestamp>,
    last_failure: Option<Failure>,
}

impl Tally {
    /// Counts a call that ended at `at`. `failure` gives the reason and the status, if it failed.
    pub fn count(
        &mut self,
        at: Timestamp,
        duration: Duration,
        failure: Option<(String, Option<i64>)>,
    ) {
        let ms = i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        let is_failed = i64::from(failure.is_some());
        let counts = Counts {
            delivered: 1 - is_failed,
            failed: is_failed,
            total_ms: ms,
            max_ms: ms,
        };
        self.add(quarter(at), counts);
        match failure {
            None => self.last_success = Some(at),
            Some((error, http_status)) => {
                self.last_failure = Some(Failure {
                    at,
                    error,
                    http_status,
                });
            }
        }
    }

    fn add(&mut self, quarter: i64, counts: Counts) {
        if self.quarter != quarter {
            if self.counts.calls() > 0 {
                self.earlier.push((self.quarter, self.counts));
            }
            self.quarter = quarter;
            self.counts = Counts::default();
        }
        self.counts.merge(counts);
    }

    /// Adds later calls.
    pub fn merge(&mut self, later: Self) {
        for (quarter, counts) in later.quarters() {
            self.add(quarter, counts);
        }
        self.last_success = self.last_success.max(later.last_success);
        self.last_failure = later.last_failure.or(self.last_failure.take());
    }

    pub fn is_empty(&self) -> bool {
        self.counts.calls() == 0
    }

    /// The quarters with calls. One may come twice.
    pub fn quarters(&self) -> impl Iterator<Item = (i64, Counts)> {
        let last = (self.quarter, self.counts);
        let all = self.earlier.iter().copied().chain([last]);
        all.filter(|(_, counts)| counts.calls() > 0)
    }

    pub fn last_success(&self) -> Option<Timestamp> {
        self.last_success
    }

    pub fn last_failure(&self) -> Option<&Failure> {
        self.last_failure.as_ref()
    }

    /// True if the newest call that is known has failed.
    pub fn ends_with_failure(&self) -> bool {
        let failed_at = self.last_failure.as_ref().map(|failure| failure.at);
        failed_at.is_some() && failed_at >= self.last_success
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minutes: i64) -> Timestamp {
        Timestamp::from_micros(minutes * 60_000_000)
    }

    fn called(minutes: i64, ms: u64, error: Option<&str>) -> Tally {
        let mut tally = Tally::default();
        let failure = error.map(|error| (error.to_owned(), Some(500)));
        tally.count(at(minutes), Duration::from_millis(ms), failure);
        tally
    }

    #[test]
    fn calls_are_counted_by_quarter() {
        let mut tally = Tally::default();
        assert!(tally.is_empty() && !tally.ends_with_failure());
        for (minutes, ms, error) in [
            (0, 10, None),
            (14, 30, Some("slow")),
            (15, 5, None),
            (31, 7, None),
        ] {
            tally.merge(called(minutes, ms, error));
        }
        let counts = |delivered, failed, total_ms, max_ms| Counts {
            delivered,
            failed,
            total_ms,
            max_ms,
        };
        let quarters: Vec<_> = tally.quarters().collect();
        assert_eq!(
            quarters,
            [
                (0, counts(1, 1, 40, 30)),
                (1, counts(1, 0, 5, 5)),
                (2, counts(1, 0, 7, 7))
            ]
        );
        assert_eq!(tally.last_success(), Some(at(31)));
        let failure = tally.last_failure().unwrap();
        assert_eq!((failure.at, failure.error.as_str()), (at(14), "slow"));
        assert!(!tally.ends_with_failure());
        tally.merge(called(32, 1, Some("closed")));
        assert!(tally.ends_with_failure());
        assert_eq!(tally.last_failure().unwrap().error, "closed");
        tally.merge(called(33, 1, None));
        assert!(!tally.ends_with_failure());
    }

    #[test]
    fn a_quarter_begins_at_its_time() {
        for (minutes, begins) in [(0, 0), (14, 0), (15, 15), (59, 45), (60, 60), (-1, -15)] {
            assert_eq!(beginning(quarter(at(minutes))), at(begins), "{minutes}");
        }
    }
}
