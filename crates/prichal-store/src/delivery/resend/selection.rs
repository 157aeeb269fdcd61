//! The selection of a resend, as it is stored with its job.

use prichal_core::{
    event::{ChangeType, EntityKind, EventKind, EventType, custom::Pattern},
    id::{EventId, IntegrationId, WebhookId},
    time::Timestamp,
};
use serde_json::{Value, json};

use super::super::{
    log::{Filter, HttpStatus, Source},
    text::{BodyOf, Text},
};

/// The events to send again.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// True to select dead letters, false to select calls of the log.
    pub of_dead_letters: bool,
    pub filter: Filter,
}

impl Selection {
    /// The text that is stored.
    pub(super) fn to_text(&self) -> String {
        self.to_json().to_string()
    }

    fn to_json(&self) -> Value {
        let Selection {
            of_dead_letters,
            filter,
        } = self;
        let types = filter.types.as_ref().map(|types| {
            let pairs = types
                .iter()
                .map(|one| json!([one.name(), one.change().map(ChangeType::name)]));
            pairs.collect::<Vec<_>>()
        });
        let http_status = filter.http_status.map(|status| match status {
            HttpStatus::Absent => json!([]),
            HttpStatus::Between(first, last) => json!([first, last]),
        });
        json!({
            "deadLetters": of_dead_letters,
            "source": filter.source.map(Source::name),
            "integration": filter.integration,
            "webhook": filter.webhook,
            "event": filter.event,
            "status": filter.status,
            "types": types,
            "custom": filter.custom.as_ref().map(Pattern::as_str),
            "entityKind": filter.entity_kind.map(EntityKind::name),
            "entity": filter.entity,
            "httpStatus": http_status,
            "text": filter.text.as_ref().map(Text::as_str),
            "from": filter.from.map(Timestamp::micros),
            "to": filter.to.map(Timestamp::micros),
            "before": filter.before,
        })
    }

    /// Reads a stored selection. `None` if it is damaged.
    pub(super) fn of_text(text: &str, body_of: BodyOf) -> Option<Self> {
        let json: Value = serde_json::from_str(text).ok()?;
        let text = |name: &str| json[name].as_str();
        let id = |name: &str| text(name).and_then(prichal_core::id::parse);
        let time = |name: &str| json[name].as_i64().map(Timestamp::from_micros);
        let event_type = |pair: &Value| {
            let change = pair[1].as_str().and_then(ChangeType::from_name);
            let kind = pair[0].as_str()?;
            if kind == EventType::Custom.name() {
                return Some(EventType::Custom);
            }
            match (EventKind::from_name(kind)?, change) {
                (EventKind::Change, Some(change)) => Some(EventType::Change(change)),
                (EventKind::Link, None) => Some(EventType::Link),
                (EventKind::Unlink, None) => Some(EventType::Unlink),
                _ => None,
            }
        };
        let types = match json["types"].as_array() {
            None => None,
            Some(all) => Some(all.iter().map(event_type).collect::<Option<Vec<_>>>()?),
        };
        let http_status = json["httpStatus"].as_array().map(|range| {
            match (
                range.first().and_then(Value::as_i64),
                range.get(1).and_then(Value::as_i64),
            ) {
                (Some(first), Some(last)) => HttpStatus::Between(first, last),
                _ => HttpStatus::Absent,
            }
        });
        let source =
            text("source").and_then(|name| Source::ALL.into_iter().find(|one| one.name() == name));
        Some(Self {
            of_dead_letters: json["deadLetters"].as_bool()?,
            filter: Filter {
                source,
                integration: id("integration").map(IntegrationId),
                webhook: id("webhook").map(WebhookId),
                event: id("event").map(EventId),
                status: text("status").map(str::to_owned),
                types,
                custom: text("custom").and_then(|names| Pattern::of_names(names).ok()),
                entity_kind: text("entityKind").and_then(EntityKind::from_name),
                entity: id("entity"),
                http_status,
                text: text("text").map(|text| Text::new(text, body_of)),
                from: time("from"),
                to: time("to"),
                before: id("before"),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use prichal_core::id::generate;

    use super::*;

    const BODY_OF: BodyOf = |_, _, _| None;

    #[test]
    fn a_selection_is_stored_whole() {
        let now = Timestamp::from_micros(1_700_000_000_000_000);
        let full = Filter {
            source: Some(Source::DocumentHook),
            integration: Some(IntegrationId::generate(now)),
            webhook: Some(WebhookId::generate(now)),
            event: Some(EventId::generate(now)),
            status: Some("exhausted".to_owned()),
            types: Some(vec![
                EventType::Change(ChangeType::Patch),
                EventType::Unlink,
                EventType::Custom,
            ]),
            custom: Pattern::of_names("order.*").ok(),
            entity_kind: Some(EntityKind::Deal),
            entity: Some(generate(now)),
            http_status: Some(HttpStatus::Between(500, 599)),
            text: Some(Text::new("timeout", BODY_OF)),
            from: Some(now),
            to: Some(now),
            before: Some(generate(now)),
        };
        let none = Filter {
            http_status: Some(HttpStatus::Absent),
            ..Filter::default()
        };
        for (filter, of_dead_letters) in [(full, true), (none, false), (Filter::default(), false)] {
            let selection = Selection {
                of_dead_letters,
                filter,
            };
            let read = Selection::of_text(&selection.to_text(), BODY_OF).expect("the selection");
            assert_eq!(format!("{selection:?}"), format!("{read:?}"));
        }
    }
}
