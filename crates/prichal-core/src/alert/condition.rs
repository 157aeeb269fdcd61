//! When alerts begin and end.
//!
//! An alert begins when its condition holds, and is over when the condition has been clear for the recovery time. The
//! next alert about the same thing begins at the earliest when the silence after the beginning of the last one is over.
//! So a thing that flaps causes at most one beginning and one end in each silence.

use std::time::Duration;

use crate::time::Timestamp;

/// The finding about a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finding {
    Holds,
    /// Better than the bound at which an alert begins, and not as good as the one at which it ends.
    Between,
    Clear,
}

/// The kept state of a condition that holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Open {
    /// The time at which the alert began. `None` while it waits for the end of the silence.
    pub begun_at: Option<Timestamp>,
    /// The time since which the condition is clear, of an alert that has begun.
    pub clear_since: Option<Timestamp>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// The time after a beginning in which no other alert about the same thing begins.
    pub silence: Duration,
    /// The time for which a condition has to be clear.
    pub recovery: Duration,
}

/// The change that a finding asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Nothing,
    /// Keeps the condition until the silence is over.
    Wait,
    Begin,
    /// Drops a condition that has waited.
    Forget,
    /// Notes since when the condition is clear.
    SetClear(Option<Timestamp>),
    End,
}

/// The step after a finding. `last_begun` is the beginning of the last alert of the same kind about the same thing.
pub fn step(
    open: Option<Open>,
    last_begun: Option<Timestamp>,
    finding: Finding,
    timing: Timing,
    now: Timestamp,
) -> Step {
    let is_silent = last_begun.is_some_and(|at| now.since(at) < timing.silence);
    let Some(open) = open else {
        return match finding {
            Finding::Holds if is_silent => Step::Wait,
            Finding::Holds => Step::Begin,
            Finding::Between | Finding::Clear => Step::Nothing,
        };
    };
    if open.begun_at.is_none() {
        return match finding {
            Finding::Holds if !is_silent => Step::Begin,
            Finding::Holds | Finding::Between => Step::Nothing,
            Finding::Clear => Step::Forget,
        };
    }
    match (finding, open.clear_since) {
        (Finding::Clear, since) => {
            let since_or_now = since.unwrap_or(now);
            if now.since(since_or_now) >= timing.recovery {
                Step::End
            } else if since.is_none() {
                Step::SetClear(Some(now))
            } else {
                Step::Nothing
            }
        }
        (_, Some(_)) => Step::SetClear(None),
        (_, None) => Step::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use proptest::{prelude::*, sample::select};

    use super::*;

    const TIMING: Timing = Timing {
        silence: Duration::from_hours(1),
        recovery: Duration::from_mins(5),
    };

    fn at(minutes: i64) -> Timestamp {
        Timestamp::from_micros(minutes * 60_000_000)
    }

    fn open(begun: Option<i64>, clear: Option<i64>) -> Open {
        Open {
            begun_at: begun.map(at),
            clear_since: clear.map(at),
        }
    }

    /// A state and the beginning of the last alert, a finding, the minute, and the step.
    type Row = (Option<Open>, Option<i64>, Finding, i64, Step);

    fn check(rows: &[Row]) {
        for row in rows {
            let (state, last, finding, now, expected) = *row;
            let found = step(state, last.map(at), finding, TIMING, at(now));
            assert_eq!(found, expected, "{row:?}");
        }
    }

    #[test]
    fn an_alert_begins_after_the_silence() {
        use Finding::{Between, Clear, Holds};
        let waiting = Some(open(None, None));
        check(&[
            (None, None, Holds, 0, Step::Begin),
            (None, None, Between, 0, Step::Nothing),
            (None, None, Clear, 0, Step::Nothing),
            (None, Some(0), Holds, 59, Step::Wait),
            (None, Some(0), Holds, 60, Step::Begin),
            (waiting, Some(0), Holds, 59, Step::Nothing),
            (waiting, Some(0), Holds, 60, Step::Begin),
            (waiting, Some(0), Between, 90, Step::Nothing),
            (waiting, Some(0), Clear, 10, Step::Forget),
        ]);
    }

    #[test]
    fn an_alert_is_over_after_the_recovery() {
        use Finding::{Between, Clear, Holds};
        let begun = Some(open(Some(0), None));
        let clear = Some(open(Some(0), Some(5)));
        let last = Some(0);
        check(&[
            (begun, last, Holds, 500, Step::Nothing),
            (begun, last, Between, 5, Step::Nothing),
            (begun, last, Clear, 5, Step::SetClear(Some(at(5)))),
            (clear, last, Clear, 9, Step::Nothing),
            (clear, last, Clear, 10, Step::End),
            (clear, last, Holds, 9, Step::SetClear(None)),
            (clear, last, Between, 9, Step::SetClear(None)),
        ]);
        let at_once = Timing {
            recovery: Duration::ZERO,
            ..TIMING
        };
        let ended = step(begun, Some(at(0)), Clear, at_once, at(1));
        assert_eq!(ended, Step::End);
    }

    /// Plays findings, and returns the times of beginnings and ends.
    fn play(findings: &[(i64, Finding)], timing: Timing) -> Vec<(bool, Timestamp)> {
        let (mut state, mut last, mut told) = (None, None, Vec::new());
        let mut now = at(0);
        for (minutes, finding) in findings {
            now = now + Duration::from_mins(minutes.unsigned_abs());
            match step(state, last, *finding, timing, now) {
                Step::Nothing => {}
                Step::Wait => state = Some(open(None, None)),
                Step::Begin => {
                    state = Some(Open {
                        begun_at: Some(now),
                        clear_since: None,
                    });
                    last = Some(now);
                    told.push((true, now));
                }
                Step::Forget => state = None,
                Step::SetClear(since) => {
                    state = state.map(|state: Open| Open {
                        clear_since: since,
                        ..state
                    });
                }
                Step::End => {
                    state = None;
                    told.push((false, now));
                }
            }
        }
        told
    }

    proptest! {
        #[test]
        fn whatever_flaps_is_told_seldom(
            findings in prop::collection::vec(
                (0i64..20, select(&[Finding::Holds, Finding::Between, Finding::Clear][..])), 0..200),
            silence in 1u64..120,
            recovery in 0u64..15,
        ) {
            let timing = Timing {
                silence: Duration::from_mins(silence),
                recovery: Duration::from_mins(recovery),
            };
            let told = play(&findings, timing);
            for (n, (begins, _)) in told.iter().enumerate() {
                prop_assert_eq!(*begins, n % 2 == 0, "beginnings and ends alternate");
            }
            let begun: Vec<_> = told.iter().filter(|one| one.0).collect();
            for pair in begun.windows(2) {
                prop_assert!(pair[1].1.since(pair[0].1) >= timing.silence);
            }
        }

        #[test]
        fn a_condition_that_stays_is_told(
            before in prop::collection::vec(
                (0i64..20, select(&[Finding::Holds, Finding::Between, Finding::Clear][..])), 0..50),
        ) {
            let stays = |finding| std::iter::repeat_n((10, finding), 8);
            let mut findings = before;
            findings.extend(stays(Finding::Holds));
            let told = play(&findings, TIMING);
            prop_assert!(told.last().is_some_and(|one| one.0), "it begins after the silence at the latest");
            findings.extend(stays(Finding::Clear));
            let told = play(&findings, TIMING);
            prop_assert!(told.last().is_some_and(|one| !one.0), "it ends");
        }
    }
}
