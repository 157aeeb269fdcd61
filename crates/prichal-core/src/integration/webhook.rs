//! Webhooks of an instance (`docs/contracts/kontur.md §5, §9`).

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::{
    instance::Secrets,
    url::{MAX_LENGTH, check_relative_url},
};
use crate::{
    delivery_settings::{DELIVERY_SETTINGS, DeliverySettings},
    event::{
        CHANGE_TYPES, ChangeType, EVENT_KINDS, EntityKind, EventHead, EventKind, custom::Pattern,
    },
    filter::{Filter, FilterItem},
    id::WebhookId,
    schema::{
        Elements, Fault, Field, Key, NewId, Object, Preset, Repeat, Type, Words, read_element,
    },
    time::parse_time_span,
};

/// The shortest period of a schedule.
pub const MIN_PERIOD: Duration = Duration::from_secs(1);

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Webhook {
    pub id: WebhookId,
    pub relative_url: String,
    pub trigger: Trigger,
    pub items: Vec<FilterItem>,
    /// As the client wrote it. Stored, like `items`, even if the trigger does not use it.
    pub period: Option<String>,
    pub disabled: bool,
    pub settings: DeliverySettings,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// Called with the events that match.
    EntityEvent(Filter),
    /// Called once per period.
    Schedule(Duration),
}

impl Trigger {
    const fn name(&self) -> &'static str {
        match self {
            Self::EntityEvent(_) => "entityEvent",
            Self::Schedule(_) => "schedule",
        }
    }
}

impl Webhook {
    /// Reads a webhook as a client sends it. An absent or zero id gets a new one.
    pub fn read(body: &Value, new_id: NewId<'_>) -> Result<Self, Vec<Fault>> {
        let element = read_element("", &WEBHOOKS, body, new_id)?;
        Self::from_element(&element).map_err(|why| vec![Fault::rule("", why)])
    }

    /// Reads a webhook as the store keeps it. The values of its secret headers are kept elsewhere.
    pub fn from_kept(value: &Value) -> Option<Self> {
        let element = value.as_object()?;
        let settings = element.get("settings").and_then(Value::as_object);
        let settings = match settings {
            Some(settings) => DeliverySettings::from_kept(settings)?,
            None => DeliverySettings::default(),
        };
        Self::with_settings(element, settings).ok()
    }

    /// The webhook as the store keeps it.
    pub fn kept(&self) -> Value {
        self.to_json(DeliverySettings::kept)
    }

    /// The documented model, in the documented order. The settings are there if there are any.
    pub fn model(&self, secrets: Secrets) -> Value {
        self.to_json(match secrets {
            Secrets::Shown => DeliverySettings::shown,
            Secrets::Masked => DeliverySettings::masked,
        })
    }

    fn to_json(&self, settings: fn(&DeliverySettings) -> Value) -> Value {
        let items: Vec<Value> = self.items.iter().map(item_json).collect();
        let schedule = self
            .period
            .as_ref()
            .map(|period| ("period".to_owned(), Value::from(period.as_str())));
        let mut out = json!({
            "id": self.id,
            "relativeUrl": self.relative_url,
            "triggerType": self.trigger.name(),
            "filter": {"items": items},
            "schedule": Map::from_iter(schedule),
            "disabled": self.disabled,
        });
        if !self.settings.is_default() {
            out["settings"] = settings(&self.settings);
        }
        out
    }

    /// True if an event is to be sent to this webhook.
    pub fn wants(&self, event: &EventHead) -> bool {
        match &self.trigger {
            Trigger::EntityEvent(filter) => !self.disabled && filter.matches(event),
            Trigger::Schedule(_) => false,
        }
    }

    pub(super) fn from_element(element: &Object) -> Result<Self, String> {
        let settings = element.get("settings").and_then(Value::as_object);
        let settings = settings.map(DeliverySettings::read).transpose();
        let settings = settings.map_err(|fault| fault.reason())?;
        Self::with_settings(element, settings.unwrap_or_default())
    }

    fn with_settings(element: &Object, settings: DeliverySettings) -> Result<Self, String> {
        let text = |member: &str| element.get(member).and_then(Value::as_str);
        let id = text("id")
            .and_then(WebhookId::parse)
            .ok_or("the id is not a GUID")?;
        let relative_url = text("relativeUrl").unwrap_or_default().to_owned();
        check_relative_url(&relative_url).map_err(|why| format!("relativeUrl {why}"))?;
        let filter = element.get("filter").and_then(Value::as_object);
        let items = filter.map(items).transpose()?.unwrap_or_default();
        let period = element
            .get("schedule")
            .and_then(|schedule| schedule.get("period"));
        let period = period.and_then(Value::as_str);
        Ok(Self {
            id,
            relative_url,
            trigger: trigger(text("triggerType"), &items, period)?,
            items,
            period: period.map(str::to_owned),
            disabled: element.get("disabled") == Some(&Value::Bool(true)),
            settings,
        })
    }
}

fn trigger(
    name: Option<&str>,
    items: &[FilterItem],
    period: Option<&str>,
) -> Result<Trigger, String> {
    match name {
        Some("entityEvent") => Ok(Trigger::EntityEvent(Filter::new(items))),
        Some("schedule") => {
            let period = period
                .and_then(parse_time_span)
                .filter(|period| *period >= MIN_PERIOD);
            let period =
                period.ok_or("schedule.period must be at least one second, such as 00:00:01")?;
            Ok(Trigger::Schedule(period))
        }
        _ => Err("triggerType is required".to_owned()),
    }
}

/// Reads a filter that was read by [`FILTER`]. The error is the reason for which an item is refused.
pub fn read_filter(filter: &Object) -> Result<Filter, String> {
    items(filter).map(|items| Filter::new(&items))
}

fn items(filter: &Object) -> Result<Vec<FilterItem>, String> {
    let items = filter.get("items").and_then(Value::as_array);
    items.into_iter().flatten().map(item).collect()
}

fn item(value: &Value) -> Result<FilterItem, String> {
    let text = |member: &str| value.get(member).and_then(Value::as_str);
    let patterns = |member: &str, read: fn(&str) -> Result<Pattern, String>| {
        let all = value.get(member).and_then(Value::as_array);
        let all = all.into_iter().flatten().filter_map(Value::as_str);
        let all = all.map(|text| read(text).map_err(|why| format!("{member} `{text}`: {why}")));
        all.collect::<Result<Vec<_>, _>>()
    };
    let item = FilterItem {
        event_type: text("eventType").and_then(EventKind::from_name),
        entity_type: text("entityType").and_then(EntityKind::from_name),
        change_type: text("changeType").and_then(ChangeType::from_name),
        event_types: patterns("eventTypes", Pattern::of_names)?,
        entities: patterns("entities", Pattern::of_entities)?,
    };
    let given = |members: &[&'static str]| {
        let mut members = members.iter().copied();
        members.find(|member| value.get(*member).is_some())
    };
    let has_custom = given(&["eventTypes", "entities"]).is_some();
    if has_custom && !item.is_custom() {
        return Err("eventTypes must name an event type".to_owned());
    }
    match given(&["eventType", "entityType", "changeType"]) {
        Some(other) if has_custom => Err(format!(
            "eventTypes cannot stand beside {other}: make two items of them"
        )),
        _ => Ok(item),
    }
}

fn item_json(item: &FilterItem) -> Value {
    let members = [
        ("eventType", item.event_type.map(EventKind::name)),
        ("entityType", item.entity_type.map(EntityKind::name)),
        ("changeType", item.change_type.map(ChangeType::name)),
    ];
    let given = members
        .into_iter()
        .filter_map(|(member, name)| Some((member.to_owned(), Value::from(name?))));
    let patterns = [
        ("eventTypes", &item.event_types),
        ("entities", &item.entities),
    ]
    .into_iter()
    .filter(|(_, patterns)| !patterns.is_empty())
    .map(|(member, patterns)| {
        let texts: Vec<&str> = patterns.iter().map(Pattern::as_str).collect();
        (member.to_owned(), Value::from(texts))
    });
    Value::Object(given.chain(patterns).collect())
}

/// The maximum number of patterns of one member of a filter's item.
const MAX_PATTERNS: usize = 50;

/// Adding a webhook again replaces it: connectors register theirs at every start
/// (`docs/contracts/prichal.md §10.4`).
///
/// An administrator's settings outlast that.
pub(super) static WEBHOOKS: Elements = Elements {
    repeat: Repeat::Replace,
    kept: &["settings"],
    rule: Some(|element| Webhook::from_element(element).map(drop)),
    ..Elements::new(
        Key::Guid,
        &[
            Field::new("relativeUrl", Type::Text)
                .required()
                .chars(MAX_LENGTH)
                .doc("A path behind the base URL, or an absolute URL.")
                .example("/callbacks"),
            Field::new("triggerType", Type::Enum(&TRIGGER))
                .required()
                .doc("What the webhook is called for: events that match the filter, or a period."),
            Field::new("filter", Type::Object(FILTER))
                .or(Preset::Object)
                .doc("The events that are sent."),
            Field::new("schedule", Type::Object(SCHEDULE))
                .or(Preset::Object)
                .doc("The times of calls without an event."),
            Field::new("disabled", Type::Bool)
                .or(Preset::False)
                .doc("True if the webhook is not called."),
            Field::new("settings", Type::Object(DELIVERY_SETTINGS))
                .doc("The way in which calls are made. Adding the webhook again without this member leaves the settings as they are."),
        ],
    )
};

/// The filter of a webhook by itself. [`read_filter`] checks what a table cannot say.
pub const FILTER: &[Field] = &[Field::new("items", Type::Objects(ITEM))
    .or(Preset::List)
    .doc("Alternatives. An event is sent if it matches one of them; without any, none is sent.")];
const SCHEDULE: &[Field] = &[Field::new("period", Type::TimeSpan)
    .doc("The time between two calls: days, hours, minutes and seconds, at least one second.")
    .example("00:05:00")];
const ITEM: &[Field] = &[
    Field::new("eventType", Type::Enum(&EVENT_KINDS)).doc("The kind of event; any if absent."),
    Field::new("entityType", Type::Enum(&ENTITY)).doc("The kind of entity; any if absent."),
    Field::new("changeType", Type::Enum(&CHANGE_TYPES)).doc("The kind of change; any if absent."),
    Field::new("eventTypes", Type::Texts)
        .items(MAX_PATTERNS)
        .doc("Event types of the workspace's own: names, beginnings such as `order.*`, or `*`. Items without it do not match such events, and it stands beside `entities` alone.")
        .example(r#"["order.*"]"#),
    Field::new("entities", Type::Texts)
        .items(MAX_PATTERNS)
        .doc("The entities of these events: keys, or beginnings such as `order:*`; any if absent.")
        .example(r#"["order:*"]"#),
];

static TRIGGER: Words = Words {
    name: "webhookTrigger",
    words: &["entityEvent", "schedule"],
};
static ENTITY: Words = Words {
    name: "entityType",
    words: EntityKind::NAMES,
};
