//! A bounded cache of look-ups. An entry is valid for a second, so that a change by another node takes effect in
//! time. A change by this node drops the entry at once.

use std::{borrow::Borrow, hash::Hash, sync::Arc, time::Duration};

use foldhash::fast::RandomState;
use prichal_core::{schema::Object, time::Timestamp};
use prichal_store::{token::Token, usage::Usage, workspace::Workspace};
use quick_cache::{OptionsBuilder, Weighter, sync};
use serde_json::Value;

use crate::platform::access::ChannelHandle;

/// The lifetime of an entry. Other nodes may take two seconds (`docs/contracts/prichal.md §3`).
const LIFETIME: Duration = Duration::from_secs(1);
/// The maximum size of one cache in bytes. Beyond it the least used entries are dropped.
const MAX_BYTES: u64 = 20 << 20;
/// The bytes counted for each entry beside the size of its value.
const ENTRY_BYTES: usize = 1024;
/// The parts of a cache, each with its own lock and its share of the capacity. A fixed number, so that
/// the largest entry fits into a part on a machine with many processors, too.
const SHARDS: usize = 4;

/// The size of a value in memory.
pub trait Weigh {
    /// The bytes beyond [`ENTRY_BYTES`]; 0 for a row of a bounded size.
    fn bytes(&self) -> usize {
        0
    }
}

impl Weigh for () {}
impl Weigh for Workspace {}
impl Weigh for Usage {}

impl Weigh for Token {
    fn bytes(&self) -> usize {
        size_of_val(&*self.integrations)
    }
}

impl Weigh for ChannelHandle {
    fn bytes(&self) -> usize {
        self.channel.members.bytes()
    }
}

impl Weigh for Object {
    fn bytes(&self) -> usize {
        self.iter()
            .map(|(name, value)| name.len() + value.bytes())
            .sum()
    }
}

impl Weigh for Value {
    fn bytes(&self) -> usize {
        let inner = match self {
            Self::String(text) => text.len(),
            Self::Array(items) => items.iter().map(Weigh::bytes).sum(),
            Self::Object(members) => members.bytes(),
            Self::Null | Self::Bool(_) | Self::Number(_) => 0,
        };
        size_of::<Self>() + inner
    }
}

impl<T: Weigh> Weigh for Arc<T> {
    fn bytes(&self) -> usize {
        T::bytes(self)
    }
}

impl<T: Weigh> Weigh for Option<T> {
    fn bytes(&self) -> usize {
        self.as_ref().map_or(0, T::bytes)
    }
}

#[derive(Clone)]
struct Entry<V> {
    value: V,
    until: Timestamp,
    weight: u64,
}

#[derive(Clone)]
struct ByBytes;

impl<K, V> Weighter<K, Entry<V>> for ByBytes {
    fn weight(&self, _: &K, entry: &Entry<V>) -> u64 {
        entry.weight
    }
}

pub struct Cache<K, V> {
    entries: sync::Cache<K, Entry<V>, ByBytes, RandomState>,
}

impl<K: Hash + Eq, V: Clone> Default for Cache<K, V> {
    fn default() -> Self {
        let options = OptionsBuilder::new()
            .shards(SHARDS)
            .estimated_items_capacity(
                usize::try_from(MAX_BYTES).unwrap_or(usize::MAX) / ENTRY_BYTES,
            )
            .weight_capacity(MAX_BYTES)
            .build();
        let options = options.expect("a capacity in items and in weight is all that is needed");
        // Keys come from outside. A hash that others can foresee would let them slow it down.
        let hash = RandomState::default();
        Self {
            entries: sync::Cache::with_options(
                options,
                ByBytes,
                hash,
                sync::DefaultLifecycle::default(),
            ),
        }
    }
}

impl<K: Hash + Eq, V: Clone + Weigh> Cache<K, V> {
    pub fn get<Q>(&self, key: &Q, now: Timestamp) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let entry = self.entries.get(key)?;
        (now <= entry.until).then_some(entry.value)
    }

    pub fn put(&self, key: K, value: V, now: Timestamp) {
        let weight = (ENTRY_BYTES + value.bytes()) as u64;
        let until = now + LIFETIME;
        self.entries.insert(
            key,
            Entry {
                value,
                until,
                weight,
            },
        );
    }

    pub fn forget<Q>(&self, key: &Q)
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.entries.remove(key);
    }

    /// Forgets everything.
    pub fn clear(&self) {
        self.entries.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_micros(0);

    fn texts() -> Cache<usize, Value> {
        Cache::default()
    }

    #[test]
    fn an_entry_is_valid_for_a_second_and_until_it_is_forgotten() {
        let cache = texts();
        for key in 0..3 {
            cache.put(key, "a".into(), NOW);
        }
        assert_eq!(cache.get(&1, NOW + LIFETIME), Some("a".into()));
        let later = NOW + LIFETIME + Duration::from_micros(1);
        assert_eq!(cache.get(&1, later), None);
        cache.put(1, "b".into(), later);
        assert_eq!(cache.get(&1, later), Some("b".into()));
        cache.forget(&1);
        assert_eq!(cache.get(&1, later), None);
        assert_eq!(cache.get(&2, NOW), Some("a".into()));
        cache.clear();
        assert_eq!(cache.get(&2, NOW), None);
    }

    #[test]
    fn a_full_cache_drops_a_few_entries_and_keeps_used_ones() {
        let cache = texts();
        for key in 0..100_000 {
            cache.put(key, Value::Null, NOW);
            if key > 10 {
                assert!(cache.get(&7, NOW).is_some(), "{key} entries");
            }
        }
        let held = (0..100_000).filter(|key| cache.get(key, NOW).is_some());
        assert!((10_000..=20_480).contains(&held.count()));
    }

    #[test]
    fn large_entries_count_by_their_size() {
        let cache = texts();
        for key in 0..1000 {
            cache.put(key, "x".repeat(1 << 20).into(), NOW);
        }
        assert!(cache.entries.weight() <= MAX_BYTES);
        assert!(cache.get(&999, NOW).is_some());
        let members = serde_json::json!({ "list": ["four"], "text": "x".repeat(100) });
        assert!(
            (100..1000).contains(&members.bytes()),
            "{}",
            members.bytes()
        );
    }
}
