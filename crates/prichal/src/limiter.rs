//! How many requests a token may send in a period. Each node counts for itself.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use prichal_core::{id::TokenId, time::Timestamp};

use crate::config::Rate;

/// How many tokens are counted at once; past that, those whose time is over are forgotten first.
const TOKENS: usize = 10_000;

/// What tokens have used up of their present period.
#[derive(Default)]
pub struct Limiter(Mutex<HashMap<TokenId, Used>>);

#[derive(Clone, Copy)]
struct Used {
    since: Timestamp,
    requests: u32,
}

/// What is left.
pub struct Left {
    pub requests: Option<u32>,
    /// Seconds until the next period begins.
    pub reset: i64,
}

impl Limiter {
    /// Counts one more request.
    pub fn take(&self, token: TokenId, rate: Rate, now: Timestamp) -> Left {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= TOKENS {
            all.retain(|_, used| now < used.since + rate.period);
            if all.len() >= TOKENS {
                all.clear();
            }
        }
        let used = all.entry(token).or_insert(Used {
            since: now,
            requests: 0,
        });
        if now >= used.since + rate.period {
            *used = Used {
                since: now,
                requests: 0,
            };
        }
        let left = rate.most.checked_sub(used.requests + 1);
        if left.is_some() {
            used.requests += 1;
        }
        let rest = (used.since + rate.period).since(now);
        Left {
            requests: left,
            reset: i64::try_from(rest.as_millis().div_ceil(1000)).unwrap_or(i64::MAX),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_period_has_its_number_of_requests() {
        let limiter = Limiter::default();
        let rate = Rate {
            most: 2,
            period: Duration::from_mins(1),
        };
        let (one, other) = (TokenId(Uuid::from_u128(1)), TokenId(Uuid::from_u128(2)));
        let at = |secs: i64| Timestamp::from_micros(secs * 1_000_000);
        let take = |token, secs| {
            let left = limiter.take(token, rate, at(secs));
            (left.requests, left.reset)
        };
        assert_eq!(take(one, 0), (Some(1), 60));
        assert_eq!(take(one, 10), (Some(0), 50));
        assert_eq!(take(one, 59), (None, 1));
        assert_eq!(take(other, 59), (Some(1), 60));
        assert_eq!(take(one, 60), (Some(1), 60));
    }
}
