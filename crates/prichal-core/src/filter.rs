//! Webhook filters, compiled when a webhook changes so that an event that passes costs one look-up
//! (`docs/contracts/kontur.md §5`, `docs/contracts/prichal.md §10.4`).

use crate::event::{ChangeType, Entity, EntityKind, EventKind, EventType};

/// One item of a filter. A missing member matches everything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FilterItem {
    pub event_type: Option<EventKind>,
    pub entity_type: Option<EntityKind>,
    pub change_type: Option<ChangeType>,
}

/// For each type of event, the set of entity kinds that are wanted.
///
/// An event matches when one of its entities is in the set of its type, so the entity of a link may
/// be either end. The highest bit stands for "any entity", so that `{}` needs no case of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    wanted: [u32; TYPES.len()],
}

const TYPES: [EventType; 6] = [
    EventType::Change(ChangeType::Create),
    EventType::Change(ChangeType::Patch),
    EventType::Change(ChangeType::Delete),
    EventType::Change(ChangeType::Restore),
    EventType::Link,
    EventType::Unlink,
];
const ANY: u32 = 1 << 31;
const _: () = assert!(EntityKind::ALL.len() < 31, "each kind has its own bit");

impl Filter {
    /// Items are alternatives: without any, nothing matches.
    pub fn new(items: &[FilterItem]) -> Self {
        let mut filter = Self::default();
        for item in items {
            let kinds = item.entity_type.map_or(u32::MAX, bit);
            for kind in TYPES.into_iter().filter(|kind| item.covers(*kind)) {
                filter.wanted[row(kind)] |= kinds;
            }
        }
        filter
    }

    pub fn matches(&self, kind: EventType, entities: &[Entity]) -> bool {
        let about = entities
            .iter()
            .fold(ANY, |bits, (kind, _)| bits | bit(*kind));
        self.wanted[row(kind)] & about != 0
    }

    /// True if some event about this kind of entity matches.
    pub fn may_want(&self, kind: EntityKind) -> bool {
        self.wanted
            .iter()
            .any(|kinds| kinds & (ANY | bit(kind)) != 0)
    }

    /// True if no event can ever match.
    pub fn is_empty(&self) -> bool {
        self.wanted == [0; TYPES.len()]
    }
}

impl FilterItem {
    /// A change type is a property of changes: an item that names one never means a link.
    fn covers(self, kind: EventType) -> bool {
        let of_kind = self.event_type.is_none_or(|wanted| wanted == kind.kind());
        of_kind
            && self
                .change_type
                .is_none_or(|wanted| kind.change() == Some(wanted))
    }
}

const fn bit(kind: EntityKind) -> u32 {
    1 << kind as u32
}

const fn row(kind: EventType) -> usize {
    match kind {
        EventType::Change(ChangeType::Create) => 0,
        EventType::Change(ChangeType::Patch) => 1,
        EventType::Change(ChangeType::Delete) => 2,
        EventType::Change(ChangeType::Restore) => 3,
        EventType::Link => 4,
        EventType::Unlink => 5,
    }
}

#[cfg(test)]
mod tests {
    use proptest::{option, prelude::*, sample::select};
    use uuid::Uuid;

    use super::*;

    fn item(
        event: Option<EventKind>,
        entity: Option<EntityKind>,
        change: Option<ChangeType>,
    ) -> FilterItem {
        FilterItem {
            event_type: event,
            entity_type: entity,
            change_type: change,
        }
    }

    fn about(kinds: &[EntityKind]) -> Vec<Entity> {
        kinds.iter().map(|kind| (*kind, Uuid::nil())).collect()
    }

    #[test]
    fn the_documented_filter() {
        let filter = Filter::new(&[
            item(
                Some(EventKind::Change),
                Some(EntityKind::Company),
                Some(ChangeType::Patch),
            ),
            item(None, Some(EntityKind::Contact), None),
        ]);
        let company = about(&[EntityKind::Company]);
        let both = about(&[EntityKind::Company, EntityKind::Contact]);
        let deal = about(&[EntityKind::Company, EntityKind::Deal]);
        for (kind, entities, expected) in [
            (EventType::Change(ChangeType::Patch), &company, true),
            (EventType::Change(ChangeType::Create), &company, false),
            (EventType::Link, &both, true),
            (EventType::Unlink, &deal, false),
        ] {
            assert_eq!(filter.matches(kind, entities), expected, "{kind:?}");
        }
    }

    #[test]
    fn the_ends_of_the_range() {
        let company = about(&[EntityKind::Company]);
        let all = Filter::new(&[FilterItem::default()]);
        let none = Filter::new(&[]);
        let nonsense = Filter::new(&[item(Some(EventKind::Link), None, Some(ChangeType::Patch))]);
        for kind in TYPES {
            assert!(all.matches(kind, &company));
            assert!(!none.matches(kind, &company));
            assert!(!nonsense.matches(kind, &company));
        }
        assert!(none.is_empty() && nonsense.is_empty() && !all.is_empty());
    }

    fn naive(items: &[FilterItem], kind: EventType, entities: &[Entity]) -> bool {
        items.iter().any(|item| {
            let event = item.event_type.is_none_or(|wanted| wanted == kind.kind());
            let entity = item
                .entity_type
                .is_none_or(|wanted| entities.iter().any(|(kind, _)| *kind == wanted));
            let change = match (item.change_type, kind) {
                (None, _) => true,
                (Some(wanted), EventType::Change(change)) => wanted == change,
                (Some(_), EventType::Link | EventType::Unlink) => false,
            };
            event && entity && change
        })
    }

    fn items() -> impl Strategy<Value = Vec<FilterItem>> {
        let one = (
            option::of(select(EventKind::ALL)),
            option::of(select(EntityKind::ALL)),
            option::of(select(ChangeType::ALL)),
        );
        prop::collection::vec(
            one.prop_map(|(event, entity, change)| item(event, entity, change)),
            0..5,
        )
    }

    proptest! {
        #[test]
        fn compiled_and_naive_agree(
            items in items(),
            kind in select(&TYPES[..]),
            kinds in prop::collection::vec(select(EntityKind::ALL), 1..3),
        ) {
            let entities = about(&kinds);
            prop_assert_eq!(Filter::new(&items).matches(kind, &entities), naive(&items, kind, &entities));
        }
    }
}
