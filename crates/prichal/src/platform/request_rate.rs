//! The requests that workspaces make in a second. Each node counts for itself.

use std::sync::{Mutex, PoisonError};

use prichal_core::{id::WorkspaceId, time::Timestamp};
use quick_cache::unsync::Cache;

/// The maximum number of workspaces that are counted. Beyond it, the least active are forgotten.
const MAX_WORKSPACES: usize = 10_000;
/// A request in the unit of buckets.
const ONE: i64 = 1_000_000;

/// A bucket of requests for each workspace. It fills evenly, up to the requests of a second.
pub struct RequestRates(Mutex<Cache<WorkspaceId, Bucket>>);

#[derive(Clone, Copy)]
struct Bucket {
    /// Millionths of requests.
    left: i64,
    at: Timestamp,
}

impl Default for RequestRates {
    fn default() -> Self {
        Self(Mutex::new(Cache::new(MAX_WORKSPACES)))
    }
}

impl RequestRates {
    /// Takes a request of a workspace that may make `most` in a second. Returns false if there is none left; there is one
    /// again within a second.
    pub fn take(&self, workspace: WorkspaceId, most: i64, now: Timestamp) -> bool {
        let full = most.saturating_mul(ONE);
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let left = all.get(&workspace).map_or(full, |bucket| {
            let passed = now.micros().saturating_sub(bucket.at.micros()).max(0);
            let filled = passed.saturating_mul(most);
            bucket.left.saturating_add(filled).min(full)
        });
        let is_admitted = left >= ONE;
        let left = if is_admitted { left - ONE } else { left };
        all.insert(workspace, Bucket { left, at: now });
        is_admitted
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_second_has_so_many_requests() {
        let rates = RequestRates::default();
        let (one, other) = (
            WorkspaceId(Uuid::from_u128(1)),
            WorkspaceId(Uuid::from_u128(2)),
        );
        let at = |millis: i64| Timestamp::from_micros(millis * 1000);
        let taken = |of, millis| (0..100).filter(|_| rates.take(of, 10, at(millis))).count();
        assert_eq!(taken(one, 5000), 10);
        assert_eq!(taken(one, 5099), 0);
        assert_eq!(taken(one, 5100), 1);
        assert_eq!(taken(other, 5100), 10);
        assert_eq!(taken(one, 5600), 5);
        assert_eq!(taken(one, 99_000), 10);
        assert_eq!(
            taken(one, 50_000),
            0,
            "a clock that goes back gives nothing"
        );
    }
}
