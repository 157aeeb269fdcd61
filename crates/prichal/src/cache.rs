//! A bounded memory of look-ups. An entry is good for a second, so that what another node changes
//! counts here in time; what this node changes it forgets at once.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use prichal_core::time::Timestamp;

/// How long an entry is good for. Other nodes may take two seconds (`docs/contracts/prichal.md §3`).
const GOOD_FOR: Duration = Duration::from_secs(1);
/// How many entries are kept. When there are more, all are dropped: they come back in one read each.
const MOST: usize = 20_000;

pub struct Cache<K, V> {
    entries: Mutex<HashMap<K, (V, Timestamp)>>,
}

impl<K, V> Default for Cache<K, V> {
    fn default() -> Self {
        Self {
            entries: Mutex::new(HashMap::new()),
        }
    }
}

impl<K: Hash + Eq, V: Clone> Cache<K, V> {
    pub fn get<Q>(&self, key: &Q, now: Timestamp) -> Option<V>
    where
        K: std::borrow::Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let entries = self.lock();
        let (value, until) = entries.get(key)?;
        (now <= *until).then(|| value.clone())
    }

    pub fn put(&self, key: K, value: V, now: Timestamp) {
        let mut entries = self.lock();
        if entries.len() >= MOST {
            entries.clear();
        }
        entries.insert(key, (value, now + GOOD_FOR));
    }

    pub fn forget<Q>(&self, key: &Q)
    where
        K: std::borrow::Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.lock().remove(key);
    }

    /// Forgets everything.
    pub fn clear(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<K, (V, Timestamp)>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
