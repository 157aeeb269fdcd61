//! Rate limits of requests, by token or by another key. Each node counts for itself.

use std::{
    hash::Hash,
    sync::{Mutex, PoisonError},
};

use prichal_core::{id::TokenId, time::Timestamp};
use quick_cache::unsync::Cache;

use crate::config::Rate;

/// The maximum number of keys that are counted. Beyond it, the least active are forgotten.
const MAX_KEYS: usize = 10_000;

/// The requests that each key has made in its present period.
pub struct Limiter<Key = TokenId>(Mutex<Cache<Key, Used>>);

#[derive(Clone, Copy)]
struct Used {
    since: Timestamp,
    requests: u32,
}

/// The requests left in a period.
pub struct Left {
    pub requests: Option<u32>,
    /// Seconds until the next period begins.
    pub reset: i64,
}

impl<Key: Eq + Hash> Default for Limiter<Key> {
    fn default() -> Self {
        Self(Mutex::new(Cache::new(MAX_KEYS)))
    }
}

impl<Key: Eq + Hash> Limiter<Key> {
    /// Counts one more request.
    pub fn take(&self, key: Key, rate: Rate, now: Timestamp) -> Left {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = all.get(&key).copied();
        let mut used = known
            .filter(|used| now < used.since + rate.period)
            .unwrap_or(Used {
                since: now,
                requests: 0,
            });
        let left = rate.most.checked_sub(used.requests + 1);
        if left.is_some() {
            used.requests += 1;
        }
        all.insert(key, used);
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

    #[test]
    fn many_tokens_give_a_busy_one_no_further_requests() {
        let limiter = Limiter::default();
        let rate = Rate {
            most: 3,
            period: Duration::from_mins(1),
        };
        let take = |n| limiter.take(TokenId(Uuid::from_u128(n)), rate, Timestamp::from_micros(0));
        let admitted = (1..50_000).filter(|n| {
            take(*n);
            n % 10 == 0 && take(0).requests.is_some()
        });
        assert_eq!(admitted.count(), 3);
    }
}
