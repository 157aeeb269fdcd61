//! Events of a workspace's own types, which its own services publish (`docs/contracts/prichal.md §5`).
//!
//! They share the log with all other events. Their names have a member of their own, `eventType`, so that none can be
//! taken for an event about an entity.

use std::fmt::Write;

use uuid::Uuid;

use super::CREATE_INFO;
use crate::{
    json,
    schema::{Field, Type, Words},
};

/// The `type` of these events, and the mark of their rows in the log.
pub const KIND: &str = "custom";
/// The maximum number of characters of a name.
pub const MAX_NAME: usize = 128;
/// The maximum number of bytes of the key of an entity.
pub const MAX_ENTITY: usize = 255;
/// The beginning of the names that are kept for the server.
pub const RESERVED: &str = "prichal.";
/// The pattern of all names that are not the server's.
const ALL_OWN: &str = "*";

static KINDS: Words = Words {
    name: "customEvent",
    words: &[KIND],
};

/// The members of an event of an own type, as [`super::NewEvent::render`] writes them.
pub const CUSTOM_EVENT: &[Field] = &[
    Field::new("id", Type::Guid)
        .shown()
        .doc("The id of the event, as it was published."),
    Field::new("offset", Type::Guid)
        .shown()
        .doc("The position in the feed. Offsets increase strictly in the order of commits."),
    Field::new("type", Type::Enum(&KINDS))
        .shown()
        .doc("The mark of an event of the workspace's own types."),
    Field::new("eventType", Type::Text)
        .shown()
        .chars(MAX_NAME)
        .doc("The name of the event type.")
        .example("order.created"),
    Field::new("version", Type::Int)
        .shown()
        .at_least(1)
        .doc("The version of the type's schema that `data` fits."),
    Field::new("timestamp", Type::Moment)
        .shown()
        .doc("The time of the event, as it was published, or that of the publication."),
    Field::new("entity", Type::Text)
        .chars(MAX_ENTITY)
        .doc("The thing that the event is about. Its events are delivered in order.")
        .example("order:4711"),
    Field::new("data", Type::Free)
        .shown()
        .doc("The data, as it was published."),
    Field::new("createInfo", Type::Object(CREATE_INFO))
        .shown()
        .doc("The time and the author of the publication."),
];

/// The members of an event of an own type beside its id and its data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CustomEvent {
    pub head: CustomHead,
    pub version: i64,
    /// The time as text, with an offset.
    pub timestamp: String,
}

/// The part of such an event that filters read.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CustomHead {
    /// The name of the event type.
    pub name: String,
    pub entity: Option<String>,
}

impl CustomEvent {
    /// Appends the members between `type` and `createInfo`.
    pub(super) fn push(&self, out: &mut String, data: &str) {
        out.push_str(",\"eventType\":");
        json::push_text(out, &self.head.name);
        // Writing into a `String` cannot fail.
        let _ = write!(out, ",\"version\":{}", self.version);
        out.push_str(",\"timestamp\":");
        json::push_text(out, &self.timestamp);
        if let Some(entity) = &self.head.entity {
            out.push_str(",\"entity\":");
            json::push_text(out, entity);
        }
        out.push_str(",\"data\":");
        out.push_str(data);
    }
}

impl CustomHead {
    /// `custom:<order>`, followed by a blank and the entity if there is one.
    pub(super) fn entities_column(&self, order: Uuid) -> String {
        let entity = self.entity.as_ref();
        let entity = entity
            .map(|entity| format!(" {entity}"))
            .unwrap_or_default();
        format!("{KIND}:{order}{entity}")
    }

    /// Reads the columns of a row, with the id by which its events are ordered.
    pub(super) fn from_columns(name: &str, entities: &str) -> Option<(Uuid, Self)> {
        let rest = entities.strip_prefix(KIND)?.strip_prefix(':')?;
        let (order, entity) = match rest.split_once(' ') {
            Some((order, entity)) => (order, Some(entity.to_owned())),
            None => (rest, None),
        };
        let name = name.to_owned();
        Some((crate::id::parse(order)?, Self { name, entity }))
    }
}

/// Checks the name of an event type: parts of letters, digits and underscores with dots between. The error is a clause.
pub fn check_name(name: &str) -> Result<(), String> {
    check_form(name)?;
    if name.starts_with(RESERVED) {
        return Err(format!("names that begin with {RESERVED} are the server's"));
    }
    Ok(())
}

fn check_form(name: &str) -> Result<(), String> {
    if name.len() > MAX_NAME {
        return Err(format!("it is longer than {MAX_NAME} characters"));
    }
    let is_part = |part: &str| {
        !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
    };
    if !name.split('.').all(is_part) {
        return Err("it must be letters, digits and underscores, with dots between".to_owned());
    }
    Ok(())
}

/// A pattern of names or of entities: a text, or the beginning of one with `*` behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(String);

impl Pattern {
    /// Reads a pattern of names: a name, the beginning of one with `.*` behind, or `*`, which matches no name of the
    /// server.
    pub fn of_names(text: &str) -> Result<Self, String> {
        let beginning = text.strip_suffix(".*").unwrap_or(text);
        if text != ALL_OWN && check_form(beginning).is_err() {
            return Err(
                "it must be the name of an event type, such as `order.created`, `order.*` or `*`"
                    .to_owned(),
            );
        }
        Ok(Self(text.to_owned()))
    }

    /// Reads a pattern of entities.
    pub fn of_entities(text: &str) -> Result<Self, String> {
        if text.is_empty() || text.chars().count() > MAX_ENTITY {
            return Err(format!("it must have 1 to {MAX_ENTITY} characters"));
        }
        Ok(Self(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// True if a pattern of names matches.
    pub fn matches_name(&self, name: &str) -> bool {
        self.matches(name) && !(self.0 == ALL_OWN && name.starts_with(RESERVED))
    }

    pub fn matches(&self, text: &str) -> bool {
        match self.0.strip_suffix('*') {
            Some(beginning) => text.starts_with(beginning),
            None => text == self.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_parts_with_dots_between() {
        for name in ["order", "order.created", "Order_2.x.y", "_", "prichal"] {
            assert_eq!(check_name(name), Ok(()), "{name}");
        }
        let long = "a".repeat(129);
        for name in [
            "",
            ".",
            "a.",
            ".a",
            "a..b",
            "a b",
            "a/b",
            "a-b",
            "é",
            "a*",
            "prichal.x",
            &long,
        ] {
            assert!(check_name(name).is_err(), "{name}");
        }
    }

    #[test]
    fn a_pattern_is_a_name_or_the_beginning_of_one() {
        for (pattern, matching, other) in [
            ("order.created", "order.created", "order.created.late"),
            ("order.*", "order.created.late", "orders.created"),
            ("order.*", "order.paid", "order"),
            ("*", "anything", ""),
        ] {
            let read = Pattern::of_names(pattern).unwrap();
            assert!(read.matches_name(matching), "{pattern} {matching}");
            assert_eq!(
                read.matches_name(other),
                pattern == "*",
                "{pattern} {other}"
            );
        }
        for (pattern, is_matching) in [
            ("prichal.alert.failing", true),
            ("prichal.alert.*", true),
            ("prichal.*", true),
            ("*", false),
        ] {
            let read = Pattern::of_names(pattern).unwrap();
            let alert = "prichal.alert.failing";
            assert_eq!(read.matches_name(alert), is_matching, "{pattern}");
        }
        for wrong in ["", "order*", "*.created", "order.*.x", "**", "a b"] {
            assert!(Pattern::of_names(wrong).is_err(), "{wrong}");
        }
        assert!(Pattern::of_entities("order:*").unwrap().matches("order:1"));
        assert!(Pattern::of_entities("").is_err());
    }
}
