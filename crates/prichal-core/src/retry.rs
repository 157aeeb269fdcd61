//! The verdict on one attempt at a delivery (`docs/contracts/kontur.md §9`, `docs/contracts/idocs.md §3.4`). Pure,
//! so its tests are a table.

use std::{fmt, time::Duration};

use crate::time::{Timestamp, parse_setting};

/// The maximum number of waits a schedule may have.
const MAX_WAITS: usize = 100;
/// The attempt from which on a refusal (most of 4xx) ends an event.
const MIN_ATTEMPT_TO_GIVE_UP: u32 = 4;

/// Waits between attempts: after failure number `n`, `0[n - 1]`; after the last one the event is exhausted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule(pub Vec<Duration>);

impl Default for Schedule {
    /// The documented waits: 30 s, 1, 5 and 15 min, then three times 1 h.
    fn default() -> Self {
        Self(
            [30, 60, 300, 900, 3600, 3600, 3600]
                .map(Duration::from_secs)
                .to_vec(),
        )
    }
}

/// The outcome of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The receiver of an integration's webhook answered. Only 200 with our echo is a success.
    Answered {
        status: u16,
        echo_matches: bool,
    },
    /// The receiver of a document's event answered. Any 2xx is a success.
    AnsweredPlainly {
        status: u16,
    },
    /// The receiver of an integration's webhook answered without the duty of an echo. Any 2xx is a success.
    AnsweredWithoutEcho {
        status: u16,
    },
    Failed(Failure),
}

/// The reason why there was no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Failure {
    /// No answer within the time for the whole call.
    Timeout,
    /// The host name has no address.
    Unresolved,
    /// Calls to this address are forbidden.
    Forbidden,
    /// No connection, or TLS did not trust the other side.
    Connect,
    /// The connection broke before the answer was there.
    Broken,
    /// The URL cannot be called.
    BadUrl,
    /// The webhook's script made no call of the event.
    Script,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Timeout => "no answer in time",
            Self::Unresolved => "the host name cannot be resolved",
            Self::Forbidden => "calls to private addresses are not allowed",
            Self::Connect => "cannot connect",
            Self::Broken => "the connection broke",
            Self::BadUrl => "the URL is not valid",
            Self::Script => "the script failed",
        })
    }
}

impl Reply {
    pub const fn is_success(self) -> bool {
        matches!(
            self,
            Self::Answered {
                status: 200,
                echo_matches: true
            } | Self::AnsweredPlainly { status: 200..=299 }
                | Self::AnsweredWithoutEcho { status: 200..=299 }
        )
    }

    /// The status of the answer, if there was one.
    pub const fn status(self) -> Option<u16> {
        match self {
            Self::Answered { status, .. }
            | Self::AnsweredPlainly { status }
            | Self::AnsweredWithoutEcho { status } => Some(status),
            Self::Failed(_) => None,
        }
    }

    /// True if the answer shows that a repetition will hardly succeed.
    const fn is_refusal(self) -> bool {
        match self {
            Self::AnsweredPlainly { status } => {
                matches!(status, 400..=499) && !matches!(status, 408 | 425 | 429)
            }
            Self::Answered { .. } | Self::AnsweredWithoutEcho { .. } | Self::Failed(_) => false,
        }
    }

    /// The error text of the attempt log, `None` for a success.
    pub fn error(self) -> Option<String> {
        match self {
            Self::Failed(failure) => Some(failure.to_string()),
            Self::Answered {
                status: 200,
                echo_matches: true,
            }
            | Self::AnsweredPlainly { status: 200..=299 }
            | Self::AnsweredWithoutEcho { status: 200..=299 } => None,
            Self::Answered { status: 200, .. } => {
                Some("the echo header is missing or wrong".to_owned())
            }
            Self::Answered { status, .. } => Some(format!("the answer was {status}, not 200")),
            Self::AnsweredPlainly { status } | Self::AnsweredWithoutEcho { status } => {
                Some(format!("the answer was {status}, not 2xx"))
            }
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Delivered,
    DeferredUntil(Timestamp),
    /// Every retry is used up. The event stays in the feed.
    Exhausted,
    /// The receiver is gone for good. The hook is switched off, and the event stays in the feed.
    Gone,
}

impl Schedule {
    /// Reads a setting such as `30s,1m,5m`. `None` if a wait is not a duration above zero.
    pub fn parse(text: &str) -> Option<Self> {
        let waits: Option<Vec<Duration>> = text
            .split(',')
            .map(|wait| parse_setting(wait.trim()))
            .collect();
        waits.filter(|waits| waits.len() <= MAX_WAITS).map(Self)
    }

    /// Judges attempt number `attempt`, counted from 1.
    pub fn judge(&self, attempt: u32, reply: Reply, now: Timestamp) -> Verdict {
        if reply.is_success() {
            return Verdict::Delivered;
        }
        if reply.is_refusal() && attempt >= MIN_ATTEMPT_TO_GIVE_UP {
            return Verdict::Exhausted;
        }
        let wait = attempt
            .checked_sub(1)
            .and_then(|failure| self.0.get(usize::try_from(failure).ok()?));
        wait.map_or(Verdict::Exhausted, |wait| {
            Verdict::DeferredUntil(now + *wait)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_micros(0);
    const REFUSED: Reply = Reply::Failed(Failure::Connect);

    fn answered(status: u16, echo_matches: bool) -> Reply {
        Reply::Answered {
            status,
            echo_matches,
        }
    }

    #[test]
    fn only_200_with_the_echo_is_a_success() {
        let check = |reply: Reply, success: bool| {
            let verdict = Schedule::default().judge(1, reply, NOW);
            assert_eq!(verdict == Verdict::Delivered, success, "{reply:?}");
            assert_eq!(reply.error().is_none(), success, "{reply:?}");
        };
        check(answered(200, true), true);
        check(answered(200, false), false);
        for status in [201, 204, 302, 400, 409, 410, 429, 500, 503] {
            check(answered(status, true), false);
        }
        check(Reply::Failed(Failure::Timeout), false);
    }

    #[test]
    fn the_documented_waits() {
        let schedule = Schedule::default();
        for (attempt, seconds) in [
            (1, 30),
            (2, 60),
            (3, 300),
            (4, 900),
            (5, 3600),
            (6, 3600),
            (7, 3600),
        ] {
            let due = NOW + Duration::from_secs(seconds);
            assert_eq!(
                schedule.judge(attempt, REFUSED, NOW),
                Verdict::DeferredUntil(due)
            );
        }
        assert_eq!(schedule.judge(8, REFUSED, NOW), Verdict::Exhausted);
        assert_eq!(schedule.judge(u32::MAX, REFUSED, NOW), Verdict::Exhausted);
        assert_eq!(schedule.judge(0, REFUSED, NOW), Verdict::Exhausted);
        assert_eq!(
            schedule.judge(8, answered(200, true), NOW),
            Verdict::Delivered
        );
    }

    #[test]
    fn any_2xx_takes_a_documents_event_and_a_refusal_is_tried_again_three_times() {
        let judge = |attempt: u32, status: u16| {
            Schedule::default().judge(attempt, Reply::AnsweredPlainly { status }, NOW)
        };
        for status in [200, 201, 204, 299] {
            assert_eq!(judge(1, status), Verdict::Delivered);
        }
        for (status, last) in [
            (199, 7),
            (302, 7),
            (400, 3),
            (404, 3),
            (410, 3),
            (408, 7),
            (425, 7),
            (429, 7),
            (500, 7),
        ] {
            let retried =
                |attempt: u32| matches!(judge(attempt, status), Verdict::DeferredUntil(_));
            assert!((1..=last).all(retried), "{status}");
            assert_eq!(judge(last + 1, status), Verdict::Exhausted, "{status}");
        }
    }

    #[test]
    fn settings() {
        assert_eq!(
            Schedule::parse("30s,1m,5m,15m,1h,1h,1h"),
            Some(Schedule::default())
        );
        assert_eq!(Schedule::parse(" 1s , 250ms").map(|s| s.0.len()), Some(2));
        for bad in ["", ",", "30s,", "30", "0s", "1s;2s", "-1s"] {
            assert_eq!(Schedule::parse(bad), None, "{bad}");
        }
        assert_eq!(Schedule::parse(&["1s"; 101].join(",")), None);
    }
}
