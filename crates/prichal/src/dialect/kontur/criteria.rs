//! The criteria by which calls are listed and sent again, as parameters of a query and as members of a body.

use prichal_core::{
    event::{
        CHANGE_TYPES, ChangeType, EntityKind, EventHead, EventKind, EventType, custom::Pattern,
    },
    id::{self, EventId, IntegrationId, WebhookId},
    schema::{Field, Type, Words},
    time::Timestamp,
};
use prichal_store::delivery::{
    STATUSES,
    log::{Filter, HttpStatus, Source},
    text::Text,
};
use uuid::Uuid;

use super::caller::Member;
use crate::{
    delivery::target,
    dialect::openapi::schema::parameters,
    error::{Error, Result},
    http::page::{LIMIT, Query},
};

static SOURCES: Words = Words {
    name: "source",
    words: &Source::NAMES,
};
static STATUS_WORDS: Words = Words {
    name: "deliveryStatus",
    words: &STATUSES,
};
static EVENT_TYPES: Words = Words {
    name: "eventType",
    words: &EVENT_TYPE_WORDS,
};
/// The words of [`EventKind`], and the one for own types.
const EVENT_TYPE_WORDS: [&str; 4] = {
    let [change, link, unlink] = [EventKind::Change, EventKind::Link, EventKind::Unlink];
    [
        change.name(),
        link.name(),
        unlink.name(),
        EventType::Custom.name(),
    ]
};
static ENTITY_TYPES: Words = Words {
    name: "entityType",
    words: EntityKind::NAMES,
};

pub(super) const SOURCE: Field =
    Field::new("source", Type::Enum(&SOURCES)).doc("The calls of this kind of source only.");
pub(super) const INTEGRATION: Field = Field::new("integrationId", Type::Guid)
    .doc("The calls of this integration only. An integration sees its own calls.");
pub(super) const WEBHOOK: Field = Field::new("webHookId", Type::Guid)
    .doc("The calls of this webhook, document hook or channel only. With `integrationId` they are found sooner.");
pub(super) const STATUS: Field =
    Field::new("status", Type::Enum(&STATUS_WORDS)).doc("The calls with this outcome only.");
pub(super) const EVENT: Field =
    Field::new("eventId", Type::Guid).doc("The calls for this event only.");
pub(super) const EVENT_TYPE: Field = Field::new("eventType", Type::Enum(&EVENT_TYPES))
    .doc("The calls for events of this type only; `custom` stands for all own types.");
pub(super) const CUSTOM_TYPE: Field = Field::new("customType", Type::Text)
    .doc("The calls for events of these own types only: a name, the beginning of names with `.*` behind, or `*`.")
    .example("order.*");
pub(super) const CHANGE_TYPE: Field =
    Field::new("changeType", Type::Enum(&CHANGE_TYPES)).doc("The calls for such changes only.");
pub(super) const ENTITY_TYPE: Field = Field::new("entityType", Type::Enum(&ENTITY_TYPES))
    .doc("The calls for events about entities of this type only.");
pub(super) const ENTITY: Field =
    Field::new("entityId", Type::Guid).doc("The calls for events about this entity only.");
pub(super) const HTTP_STATUS: Field = Field::new("httpStatus", Type::Text)
    .doc("The calls with this status of the answer only: a number, a class such as `5xx`, or `none` for calls without an answer.");
/// The largest number of characters of a text that is searched for.
const MAX_TEXT: usize = 200;
pub(super) const TEXT: Field = Field::new("text", Type::Text)
    .chars(MAX_TEXT)
    .doc("The calls with this text in the body that was sent, in the answer or in the error. Capital and small letters are the same.")
    .example("timed out");
pub(super) const FROM: Field =
    Field::new("from", Type::Moment).doc("The calls that ended at this time or later.");
pub(super) const TO: Field =
    Field::new("to", Type::Moment).doc("The calls that ended before this time.");
const BEFORE: Field = Field::new("before", Type::Guid).doc("The `next` of the page before.");

/// The table of all criteria, with further fields behind.
macro_rules! with_criteria {
    ($($more:expr),*) => {
        &[
            SOURCE, INTEGRATION, WEBHOOK, STATUS, EVENT, EVENT_TYPE, CUSTOM_TYPE, CHANGE_TYPE, ENTITY_TYPE, ENTITY,
            HTTP_STATUS, FROM, TO, $($more),*
        ]
    };
}
pub(super) use with_criteria;

parameters! {
    /// The calls to list.
    pub(super) DeliveryQuery = with_criteria![TEXT, BEFORE, LIMIT];
    /// The dead letters to list.
    pub(super) DeadLetterQuery = with_criteria![BEFORE, LIMIT];
}

/// The integrations that a caller may see the calls of; `None` if the caller may see all.
#[derive(Clone)]
pub(super) struct Own(Option<Vec<IntegrationId>>);

impl Own {
    /// A call shows the event, and so more than a user without rights may read.
    pub(super) fn of(member: &Member) -> Result<Self> {
        match member.caller.integrations() {
            Some(own) => Ok(Self(Some(own.to_vec()))),
            None => member.require_admin().map(|()| Self(None)),
        }
    }

    pub(super) fn has(&self, integration: IntegrationId) -> bool {
        self.0.as_ref().is_none_or(|own| own.contains(&integration))
    }

    /// The integration that a list is limited to: the one asked for, or the only one.
    fn narrow(&self, asked: Option<IntegrationId>) -> Result<Option<IntegrationId>> {
        match (&self.0, asked) {
            (Some(own), Some(asked)) if !own.contains(&asked) => {
                Err(Error::Forbidden("An integration sees its own calls only"))
            }
            (Some(own), None) => self.only().map(Some).ok_or_else(|| {
                let count = own.len();
                let why = format!(
                    "Give the {}, because you act for {count} integrations.",
                    INTEGRATION.name
                );
                Error::invalid(INTEGRATION.name, why)
            }),
            (_, asked) => Ok(asked),
        }
    }

    /// True for an object that is limited to this integration, or to none.
    pub(super) fn has_limited(&self, integration: Option<IntegrationId>) -> bool {
        self.0.is_none() || integration.is_some_and(|one| self.has(one))
    }

    /// The limits of objects that belong to one integration: one for each. A single `None` if the caller may see all.
    pub(super) fn limits(&self) -> Vec<Option<IntegrationId>> {
        match &self.0 {
            None => vec![None],
            Some(own) => own.iter().copied().map(Some).collect(),
        }
    }

    /// The integration, if there is just one.
    fn only(&self) -> Option<IntegrationId> {
        match self.0.as_deref() {
            Some([only]) => Some(*only),
            _ => None,
        }
    }
}

/// Reads the criteria of a list of calls.
pub(super) fn read_filter(member: &Member, query: &Query) -> Result<Filter> {
    let word = |field: &Field, words| word(query, field, words);
    let guid = |field: &Field| query.read(field.name, "a GUID", id::parse_any);
    let moment = |field: &Field| query.read(field.name, "an ISO-8601 time", Timestamp::parse);
    let kind = word(&EVENT_TYPE, &EVENT_TYPE_WORDS)?.map(|n| EVENT_TYPE_WORDS[n]);
    let change = word(&CHANGE_TYPE, ChangeType::WORDS)?.map(|n| ChangeType::ALL[n]);
    let custom = custom(query)?;
    let integration = guid(&INTEGRATION)?.map(IntegrationId);
    Ok(Filter {
        source: word(&SOURCE, &Source::NAMES)?.map(|n| Source::ALL[n]),
        integration: Own::of(member)?.narrow(integration)?,
        webhook: guid(&WEBHOOK)?.map(WebhookId),
        event: guid(&EVENT)?.map(EventId),
        status: word(&STATUS, &STATUSES)?.map(|n| STATUSES[n].to_owned()),
        types: types(kind, change, custom.is_some()),
        custom,
        entity_kind: word(&ENTITY_TYPE, EntityKind::NAMES)?.map(|n| EntityKind::ALL[n]),
        entity: guid(&ENTITY)?,
        http_status: query.read(
            HTTP_STATUS.name,
            "a status, a class such as 5xx, or none",
            http_status,
        )?,
        text: text(query)?,
        from: moment(&FROM)?,
        to: moment(&TO)?,
        before: guid(&BEFORE)?,
    })
}

/// Refuses a search of dead letters for a text, which they do not have.
pub(super) fn without_text(filter: Filter) -> Result<Filter> {
    if filter.text.is_some() {
        let why = "Dead letters cannot be searched for a text. Take the calls with the status exhausted instead.";
        return Err(Error::invalid(TEXT.name, why));
    }
    Ok(filter)
}

fn text(query: &Query) -> Result<Option<Text>> {
    let Some(text) = query.text(TEXT.name).map(str::trim) else {
        return Ok(None);
    };
    let (name, count) = (TEXT.name, text.chars().count());
    if !(1..=MAX_TEXT).contains(&count) {
        let why =
            format!("The value of '{name}' must have 1 to {MAX_TEXT} characters, not {count}.");
        return Err(Error::invalid(name, why));
    }
    Ok(Some(Text::new(text, target::body)))
}

/// Reads one of the words of a parameter, as its index.
fn word(query: &Query, field: &Field, words: &'static [&'static str]) -> Result<Option<usize>> {
    let what = words.join(", ");
    let known = |text: &str| {
        words
            .iter()
            .position(|word| word.eq_ignore_ascii_case(text))
    };
    query.read(field.name, &format!("one of {what}"), known)
}

/// The events that a search of the log selects.
pub(super) struct EventFilter {
    types: Option<Vec<EventType>>,
    custom: Option<Pattern>,
    entity_kind: Option<EntityKind>,
    entity: Option<Uuid>,
}

impl EventFilter {
    pub(super) fn read(query: &Query) -> Result<Self> {
        let kind = word(query, &EVENT_TYPE, &EVENT_TYPE_WORDS)?.map(|n| EVENT_TYPE_WORDS[n]);
        let change = word(query, &CHANGE_TYPE, ChangeType::WORDS)?.map(|n| ChangeType::ALL[n]);
        let custom = custom(query)?;
        Ok(Self {
            types: types(kind, change, custom.is_some()),
            custom,
            entity_kind: word(query, &ENTITY_TYPE, EntityKind::NAMES)?.map(|n| EntityKind::ALL[n]),
            entity: query.read(ENTITY.name, "a GUID", id::parse_any)?,
        })
    }

    pub(super) fn wants(&self, head: &EventHead) -> bool {
        let name = head.custom.as_ref().map(|custom| custom.name.as_str());
        let is_named = |pattern: &Pattern| name.is_some_and(|name| pattern.matches_name(name));
        let is_about = |kind: EntityKind, id: Uuid| {
            self.entity_kind.is_none_or(|wanted| kind == wanted)
                && self.entity.is_none_or(|wanted| id == wanted)
        };
        let is_any = self.entity_kind.is_none() && self.entity.is_none();
        self.types
            .as_ref()
            .is_none_or(|types| types.contains(&head.kind))
            && self.custom.as_ref().is_none_or(is_named)
            && (is_any || head.entities.iter().any(|(kind, id)| is_about(*kind, *id)))
    }
}

fn custom(query: &Query) -> Result<Option<Pattern>> {
    query.read(
        CUSTOM_TYPE.name,
        "the name of an event type, such as order.created, order.* or *",
        |text| Pattern::of_names(text).ok(),
    )
}

/// The types of events with this name and this change; with `is_custom` the own types only. `None` if all are wanted.
fn types(
    name: Option<&str>,
    change: Option<ChangeType>,
    is_custom: bool,
) -> Option<Vec<EventType>> {
    if name.is_none() && change.is_none() && !is_custom {
        return None;
    }
    let changes = ChangeType::ALL
        .iter()
        .map(|change| EventType::Change(*change));
    let all = changes.chain([EventType::Link, EventType::Unlink, EventType::Custom]);
    let right = all
        .filter(|one| name.is_none_or(|name| one.name() == name))
        .filter(|one| change.is_none_or(|change| one.change() == Some(change)))
        .filter(|one| !is_custom || *one == EventType::Custom);
    Some(right.collect())
}

/// Reads a status such as `404`, `4xx` or `none`.
fn http_status(text: &str) -> Option<HttpStatus> {
    if text.eq_ignore_ascii_case("none") {
        return Some(HttpStatus::Absent);
    }
    let is_class = text.len() == 3 && text.is_ascii() && text[1..].eq_ignore_ascii_case("xx");
    let (first, last) = if is_class {
        let class: i64 = text[..1].parse().ok()?;
        (class * 100, class * 100 + 99)
    } else {
        let status = text.parse().ok()?;
        (status, status)
    };
    let is_known = (100..=999).contains(&first);
    is_known.then_some(HttpStatus::Between(first, last))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_numbers_classes_or_none() {
        for (text, found) in [
            ("404", Some(HttpStatus::Between(404, 404))),
            ("5xx", Some(HttpStatus::Between(500, 599))),
            ("5XX", Some(HttpStatus::Between(500, 599))),
            ("None", Some(HttpStatus::Absent)),
            ("0xx", None),
            ("99", None),
            ("1000", None),
            ("éx", None),
            ("-1", None),
            ("xxx", None),
        ] {
            assert_eq!(http_status(text), found, "{text}");
        }
    }

    #[test]
    fn types_combine_name_and_change() {
        let count = |found: Option<Vec<EventType>>| found.map(|types| types.len());
        assert_eq!(count(types(Some("change"), None, false)), Some(4));
        assert_eq!(
            types(Some("link"), None, false),
            Some(vec![EventType::Link])
        );
        let patch = EventType::Change(ChangeType::Patch);
        assert_eq!(
            types(None, Some(ChangeType::Patch), false),
            Some(vec![patch])
        );
        let custom = Some(vec![EventType::Custom]);
        assert_eq!(types(Some("custom"), None, false), custom);
        assert_eq!(types(None, None, true), custom);
        assert_eq!(types(None, None, false), None);
        for (name, change, is_custom) in [
            (Some("link"), Some(ChangeType::Patch), false),
            (Some("custom"), Some(ChangeType::Patch), false),
            (Some("change"), None, true),
            (None, Some(ChangeType::Patch), true),
        ] {
            assert_eq!(count(types(name, change, is_custom)), Some(0), "{name:?}");
        }
    }
}
