//! The strict order of a webhook: an event that waits for another attempt holds back those behind it.
//!
//! The deferred events are remembered here as well as in the store, so an event that nothing holds back costs no
//! look-up. The owner of the lease is the only one who defers events, so the memory is complete.

use std::collections::{BTreeMap, BTreeSet};

use foldhash::{HashMap, HashMapExt as _};
use prichal_core::{event::Entity, time::Timestamp};
use prichal_store::delivery::Lane;

/// The number of deferred events from which on no further event of the log is accepted. The rest waits in the log.
const MAX_DEFERRED: usize = 10_000;
/// The number of deferred events that are read from the store when the order begins. Older versions of the settings may
/// have left more, and those keep no order.
pub(super) const MAX_LOADED: i64 = 10_000;

/// The events that wait for one that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    /// The later ones about the same entity.
    Entity,
    /// All later ones.
    Whole,
}

pub(super) struct Order {
    pub(super) scope: Scope,
    deferred: BTreeMap<(Lane, i64), Waiting>,
    by_entity: HashMap<(Lane, Entity), BTreeSet<i64>>,
}

struct Waiting {
    due_at: Timestamp,
    entities: Vec<Entity>,
}

impl Order {
    pub(super) fn new(scope: Scope) -> Self {
        Self {
            scope,
            deferred: BTreeMap::new(),
            by_entity: HashMap::new(),
        }
    }

    /// The same deferred events in another scope.
    pub(super) fn with_scope(self, scope: Scope) -> Self {
        Self { scope, ..self }
    }

    /// Notes that an event waits until `due_at`.
    pub(super) fn defer(&mut self, lane: Lane, seq: i64, entities: &[Entity], due_at: Timestamp) {
        for entity in entities {
            self.by_entity
                .entry((lane, *entity))
                .or_default()
                .insert(seq);
        }
        let entities = entities.to_vec();
        self.deferred
            .insert((lane, seq), Waiting { due_at, entities });
    }

    /// Notes that an event waits no longer.
    pub(super) fn complete(&mut self, lane: Lane, seq: i64) {
        let Some(waiting) = self.deferred.remove(&(lane, seq)) else {
            return;
        };
        for entity in waiting.entities {
            if let Some(seqs) = self.by_entity.get_mut(&(lane, entity)) {
                seqs.remove(&seq);
                if seqs.is_empty() {
                    self.by_entity.remove(&(lane, entity));
                }
            }
        }
    }

    /// The time until which an event has to wait for an earlier one of its lane. `None` if it need not wait.
    pub(super) fn waits_until(
        &self,
        lane: Lane,
        seq: i64,
        entities: &[Entity],
    ) -> Option<Timestamp> {
        let due_at = |earlier: i64| self.deferred.get(&(lane, earlier)).map(|one| one.due_at);
        match self.scope {
            Scope::Whole => {
                let mut earlier = self.deferred.range((lane, i64::MIN)..(lane, seq));
                earlier.next_back().map(|(_, waiting)| waiting.due_at)
            }
            Scope::Entity => {
                let seqs = entities
                    .iter()
                    .filter_map(|one| self.by_entity.get(&(lane, *one)));
                let earlier = seqs.filter_map(|seqs| seqs.range(..seq).next_back());
                earlier.filter_map(|earlier| due_at(*earlier)).max()
            }
        }
    }

    /// True if further events of a lane may be accepted.
    pub(super) fn is_open(&self, lane: Lane) -> bool {
        match self.scope {
            Scope::Entity => self.deferred.len() < MAX_DEFERRED,
            Scope::Whole => {
                let mut waiting = self.deferred.range((lane, i64::MIN)..=(lane, i64::MAX));
                waiting.next().is_none()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use prichal_core::event::EntityKind;
    use uuid::Uuid;

    use super::*;

    fn entity(n: u128) -> Entity {
        (EntityKind::Company, Uuid::from_u128(n))
    }

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_micros(secs * 1_000_000)
    }

    #[test]
    fn an_event_waits_for_the_earlier_ones_of_its_entities() {
        let mut order = Order::new(Scope::Entity);
        let waits =
            |order: &Order, lane, seq, entities: &[Entity]| order.waits_until(lane, seq, entities);
        order.defer(Lane::Main, 5, &[entity(1)], at(10));
        order.defer(Lane::Main, 7, &[entity(1), entity(2)], at(20));
        assert_eq!(waits(&order, Lane::Main, 4, &[entity(1)]), None);
        assert_eq!(
            waits(&order, Lane::Main, 5, &[entity(1)]),
            None,
            "it is itself"
        );
        assert_eq!(waits(&order, Lane::Main, 6, &[entity(1)]), Some(at(10)));
        assert_eq!(waits(&order, Lane::Main, 8, &[entity(2)]), Some(at(20)));
        assert_eq!(waits(&order, Lane::Main, 8, &[entity(3)]), None);
        assert_eq!(waits(&order, Lane::Replay, 8, &[entity(1)]), None);
        assert!(order.is_open(Lane::Main));
        order.defer(Lane::Main, 5, &[entity(1)], at(30));
        assert_eq!(waits(&order, Lane::Main, 6, &[entity(1)]), Some(at(30)));
        order.complete(Lane::Main, 7);
        assert_eq!(waits(&order, Lane::Main, 8, &[entity(2)]), None);
        order.complete(Lane::Main, 5);
        order.complete(Lane::Main, 99);
        assert!(order.deferred.is_empty() && order.by_entity.is_empty());
    }

    #[test]
    fn a_whole_webhook_waits_for_any_earlier_one() {
        let mut order = Order::new(Scope::Whole);
        assert!(order.is_open(Lane::Main));
        order.defer(Lane::Main, 5, &[entity(1)], at(10));
        assert!(!order.is_open(Lane::Main) && order.is_open(Lane::Replay));
        assert_eq!(order.waits_until(Lane::Main, 6, &[entity(9)]), Some(at(10)));
        assert_eq!(order.waits_until(Lane::Main, 4, &[entity(9)]), None);
        assert_eq!(order.waits_until(Lane::Replay, 6, &[entity(9)]), None);
        order.complete(Lane::Main, 5);
        assert!(order.is_open(Lane::Main));
    }
}
