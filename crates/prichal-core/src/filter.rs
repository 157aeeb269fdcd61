//! Webhook filters, compiled when a webhook changes so that an event that passes costs one look-up
//! (`docs/contracts/kontur.md §5`, `docs/contracts/prichal.md §10.4`).

use crate::event::{
    ChangeType, EntityKind, EventHead, EventKind, EventType,
    custom::{CustomHead, Pattern},
};

/// One item of a filter. A missing member matches everything, but only items with `event_types` match events of the
/// workspace's own types, and these match nothing else: receivers that know changes and links alone get no others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FilterItem {
    pub event_type: Option<EventKind>,
    pub entity_type: Option<EntityKind>,
    pub change_type: Option<ChangeType>,
    pub event_types: Vec<Pattern>,
    pub entities: Vec<Pattern>,
}

/// For each type of event, the set of entity kinds that are wanted.
///
/// An event matches when one of its entities is in the set of its type, so the entity of a link may
/// be either end. The highest bit stands for "any entity", so that `{}` needs no case of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    wanted: [u32; TYPES.len()],
    /// The items for events of own types.
    custom: Box<[CustomItem]>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct CustomItem {
    names: Vec<Pattern>,
    entities: Vec<Pattern>,
}

impl CustomItem {
    fn matches(&self, head: &CustomHead) -> bool {
        self.names
            .iter()
            .any(|pattern| pattern.matches_name(&head.name))
            && (self.entities.is_empty()
                || head.entity.as_ref().is_some_and(|entity| {
                    self.entities.iter().any(|pattern| pattern.matches(entity))
                }))
    }
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
const _: () = assert!(EntityKind::ALL.len() < 30, "each kind has its own bit");

impl Filter {
    /// Items are alternatives: without any, nothing matches.
    pub fn new(items: &[FilterItem]) -> Self {
        let mut filter = Self::default();
        let mut custom = Vec::new();
        for item in items {
            if item.is_custom() {
                custom.push(CustomItem {
                    names: item.event_types.clone(),
                    entities: item.entities.clone(),
                });
                continue;
            }
            let kinds = item.entity_type.map_or(u32::MAX, bit);
            for (wanted, kind) in filter.wanted.iter_mut().zip(TYPES) {
                if item.covers(kind) {
                    *wanted |= kinds;
                }
            }
        }
        filter.custom = custom.into();
        filter
    }

    pub fn matches(&self, head: &EventHead) -> bool {
        let Some(row) = row(head.kind) else {
            let custom = head.custom.as_ref();
            return custom.is_some_and(|head| self.custom.iter().any(|item| item.matches(head)));
        };
        let about = head
            .entities
            .iter()
            .fold(ANY, |bits, (kind, _)| bits | bit(*kind));
        self.wanted[row] & about != 0
    }

    /// True if some event about this kind of entity matches.
    pub fn may_want(&self, kind: EntityKind) -> bool {
        if kind == EntityKind::Custom {
            return !self.custom.is_empty();
        }
        self.wanted
            .iter()
            .any(|kinds| kinds & (ANY | bit(kind)) != 0)
    }

    /// True if no event can ever match.
    pub fn is_empty(&self) -> bool {
        self.wanted == [0; TYPES.len()] && self.custom.is_empty()
    }
}

impl FilterItem {
    /// True for an item about events of own types.
    pub fn is_custom(&self) -> bool {
        !self.event_types.is_empty()
    }

    /// A change type is a property of changes: an item that names one never means a link.
    fn covers(&self, kind: EventType) -> bool {
        let of_kind = self
            .event_type
            .is_none_or(|wanted| kind.kind() == Some(wanted));
        of_kind
            && self
                .change_type
                .is_none_or(|wanted| kind.change() == Some(wanted))
    }
}

const fn bit(kind: EntityKind) -> u32 {
    1 << kind as u32
}

/// The index in [`TYPES`].
const fn row(kind: EventType) -> Option<usize> {
    Some(match kind {
        EventType::Change(ChangeType::Create) => 0,
        EventType::Change(ChangeType::Patch) => 1,
        EventType::Change(ChangeType::Delete) => 2,
        EventType::Change(ChangeType::Restore) => 3,
        EventType::Link => 4,
        EventType::Unlink => 5,
        EventType::Custom => return None,
    })
}

#[cfg(test)]
mod tests {
    use proptest::{option, prelude::*, sample::select};
    use uuid::Uuid;

    use super::*;
    use crate::event::{Entities, Entity};

    fn item(
        event: Option<EventKind>,
        entity: Option<EntityKind>,
        change: Option<ChangeType>,
    ) -> FilterItem {
        FilterItem {
            event_type: event,
            entity_type: entity,
            change_type: change,
            ..FilterItem::default()
        }
    }

    fn head(kind: EventType, entities: &[Entity]) -> EventHead {
        EventHead::new(
            kind,
            match entities {
                [one] => Entities::one(*one),
                [one, other, ..] => Entities::two(*one, *other),
                [] => panic!("an event is about something"),
            },
        )
    }

    fn custom_item(names: &[&str], entities: &[&str]) -> FilterItem {
        let patterns = |all: &[&str], read: fn(&str) -> Result<Pattern, String>| {
            all.iter().map(|text| read(text).unwrap()).collect()
        };
        FilterItem {
            event_types: patterns(names, Pattern::of_names),
            entities: patterns(entities, Pattern::of_entities),
            ..FilterItem::default()
        }
    }

    fn custom_head(name: &str, entity: Option<&str>) -> EventHead {
        let custom = CustomHead {
            name: name.to_owned(),
            entity: entity.map(str::to_owned),
        };
        let entities = Entities::one((EntityKind::Custom, Uuid::nil()));
        EventHead {
            custom: Some(Box::new(custom)),
            ..EventHead::new(EventType::Custom, entities)
        }
    }

    #[test]
    fn own_types_are_matched_by_items_that_name_them() {
        let orders = Filter::new(&[custom_item(&["order.*", "shop.opened"], &[])]);
        let one = Filter::new(&[custom_item(&["order.*"], &["order:1", "vip:*"])]);
        let all = Filter::new(&[FilterItem::default()]);
        for (name, entity, expected) in [
            ("order.created", None, [true, false]),
            ("order.created", Some("order:1"), [true, true]),
            ("order.paid", Some("vip:7"), [true, true]),
            ("order.paid", Some("order:12"), [true, false]),
            ("shop.opened", Some("order:1"), [true, false]),
            ("shop.closed", Some("order:1"), [false, false]),
        ] {
            let head = custom_head(name, entity);
            assert_eq!(
                [orders.matches(&head), one.matches(&head)],
                expected,
                "{name} {entity:?}"
            );
            assert!(!all.matches(&head), "{{}} means changes and links");
        }
        let company = head(EventType::Link, &about(&[EntityKind::Company]));
        assert!(!orders.matches(&company) && all.matches(&company));
        assert!(orders.may_want(EntityKind::Custom) && !orders.may_want(EntityKind::Company));
        assert!(!all.may_want(EntityKind::Custom) && !orders.is_empty());
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
            assert_eq!(filter.matches(&head(kind, entities)), expected, "{kind:?}");
        }
    }

    #[test]
    fn the_ends_of_the_range() {
        let company = about(&[EntityKind::Company]);
        let all = Filter::new(&[FilterItem::default()]);
        let none = Filter::new(&[]);
        let nonsense = Filter::new(&[item(Some(EventKind::Link), None, Some(ChangeType::Patch))]);
        for kind in TYPES {
            let head = head(kind, &company);
            assert!(all.matches(&head));
            assert!(!none.matches(&head));
            assert!(!nonsense.matches(&head));
        }
        assert!(none.is_empty() && nonsense.is_empty() && !all.is_empty());
    }

    fn naive(items: &[FilterItem], kind: EventType, entities: &[Entity]) -> bool {
        items.iter().any(|item| {
            let event = item
                .event_type
                .is_none_or(|wanted| kind.kind() == Some(wanted));
            let entity = item
                .entity_type
                .is_none_or(|wanted| entities.iter().any(|(kind, _)| *kind == wanted));
            let change = match (item.change_type, kind) {
                (None, _) => true,
                (Some(wanted), EventType::Change(change)) => wanted == change,
                (Some(_), _) => false,
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
            prop_assert_eq!(Filter::new(&items).matches(&head(kind, &entities)), naive(&items, kind, &entities));
        }
    }
}
