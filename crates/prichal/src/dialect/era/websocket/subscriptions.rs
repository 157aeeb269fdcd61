//! The capability `subscr`: the events of the workspace, sent as they are committed.

use std::collections::BTreeMap;

use prichal_core::{
    event::{EntityKind, custom::Pattern},
    id,
    schema::Object,
    time::Timestamp,
};
use prichal_store::LoggedEvent;
use serde::Serialize;
use serde_json::{Value, value::RawValue};
use utoipa::ToSchema;
use uuid::Uuid;

use super::params::{
    CHANGED, CLASSPATH, CUSTOM, EVENTS, EXPIRES, MAX_EVENTS, MAX_EXPIRES, MAX_OBJECTS, OBJECTS,
    SUBSCRIPTION_ID,
};
use crate::{
    dialect::{asyncapi::LoggedEvent as AnyEvent, openapi::schema::words},
    error::{Code, Error, Result},
};

/// The maximum number of subscriptions of a websocket.
const MAX_SUBSCRIPTIONS: usize = 64;

/// The `class` of an event.
const CLASS: &str = "modelevents";
/// The `type` of an event.
const TYPE: &str = "data_changed";

/// An event of the workspace that a subscription asks for.
#[derive(Serialize, ToSchema)]
#[schema(as = SubscriptionEvent)]
pub(super) struct Notification<'a> {
    #[schema(schema_with = class_word)]
    class: &'static str,
    /// `data_changed`, or the event type.
    #[schema(examples("data_changed"))]
    r#type: &'a str,
    /// The time of the sending, in milliseconds since 1970.
    eventts: i64,
    /// The id of the subscription, as the client has given it.
    #[schema(required)]
    id: &'a Value,
    /// The event.
    #[schema(value_type = AnyEvent)]
    data: &'a RawValue,
}

fn class_word() -> utoipa::openapi::Object {
    words(
        &[CLASS, CUSTOM],
        "The class of the event: a change, or an event of the workspace's own types.",
    )
}

/// The subscriptions of one websocket.
#[derive(Default)]
pub(super) struct Subscriptions(BTreeMap<String, Subscription>);

struct Subscription {
    /// The client's id of it.
    id: Value,
    ends_at: Timestamp,
    /// True if changes and links are wanted.
    wants_changes: bool,
    /// The wanted events of the workspace's own types.
    own_types: Vec<Pattern>,
    /// Limits it to events of this kind of entity.
    kind: Option<EntityKind>,
    /// Limits it to events of these entities, if there are any.
    objects: Vec<Uuid>,
}

impl Subscriptions {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds, renews or removes a subscription.
    pub(super) fn change(&mut self, asked: &Object, now: Timestamp) -> Result<()> {
        let id = match asked.get(SUBSCRIPTION_ID.name) {
            None | Some(Value::Null) => {
                return Err(Error::invalid("id", "The id field is required."));
            }
            Some(id) => id.clone(),
        };
        let life = match asked.get(EXPIRES.name) {
            Some(life) => life
                .as_u64()
                .filter(|life| *life <= MAX_EXPIRES.unsigned_abs())
                .ok_or_else(|| {
                    let why = format!("The expires must be 0 to {MAX_EXPIRES} seconds.");
                    Error::invalid("expires", why)
                })?,
            None => 3600,
        };
        self.0.retain(|_, known| known.ends_at > now);
        let key = id.to_string();
        if life == 0 {
            self.0.remove(&key);
            return Ok(());
        }
        let (wants_changes, own_types) = match asked.get(EVENTS.name) {
            None | Some(Value::Null) => (true, Vec::new()),
            Some(events) => kinds_of_events(events)?,
        };
        let kind = match asked.get(CLASSPATH.name) {
            None | Some(Value::Null) => None,
            Some(Value::String(name)) if name.is_empty() => None,
            Some(name) => Some(kind(name)?),
        };
        let objects = match asked.get(OBJECTS.name) {
            None | Some(Value::Null) => Vec::new(),
            Some(ids) => objects(ids)?,
        };
        if !self.0.contains_key(&key) && self.0.len() >= MAX_SUBSCRIPTIONS {
            let what = format!("A websocket may have at most {MAX_SUBSCRIPTIONS} subscriptions");
            return Err(Error::refused(Code::LimitReached, what));
        }
        let subscription = Subscription {
            id,
            ends_at: now + std::time::Duration::from_secs(life),
            wants_changes,
            own_types,
            kind,
            objects,
        };
        self.0.insert(key, subscription);
        Ok(())
    }

    /// The frames of an event: one for each matching subscription, rendered lazily.
    pub(super) fn frames<'a>(
        &'a self,
        event: &'a LoggedEvent,
        now: Timestamp,
    ) -> impl Iterator<Item = String> + 'a {
        let own = event.head.custom.as_ref();
        let matches = move |one: &&Subscription| {
            if let Some(own) = own {
                let mut patterns = one.own_types.iter();
                return one.ends_at > now
                    && patterns.any(|pattern| pattern.matches_name(&own.name));
            }
            let mut about = event.entities().iter();
            one.ends_at > now
                && one.wants_changes
                && about.any(|(kind, id)| {
                    one.kind.is_none_or(|wanted| wanted == *kind)
                        && (one.objects.is_empty() || one.objects.contains(id))
                })
        };
        let frame = move |one: &Subscription| {
            // The text of the event is long and known to be JSON, so it is inserted unparsed.
            let data = RawValue::from_string(event.body.clone()).unwrap_or_default();
            let said = Notification {
                class: own.map_or(CLASS, |_| CUSTOM),
                r#type: own.map_or(TYPE, |own| &own.name),
                eventts: now.micros() / 1000,
                id: &one.id,
                data: &data,
            };
            serde_json::to_string(&("notify", said)).unwrap_or_default()
        };
        self.0.values().filter(matches).map(frame)
    }
}

/// Reads the kinds of events: true for changes, and the patterns of own types. An empty list means changes.
fn kinds_of_events(events: &Value) -> Result<(bool, Vec<Pattern>)> {
    let wrong = || {
        let why = format!(
            "The events must be a list of at most {MAX_EVENTS} of {CHANGED} and {CUSTOM}.<event type>."
        );
        Error::invalid("events", why)
    };
    let names = events.as_array().filter(|names| names.len() <= MAX_EVENTS);
    let names = names.ok_or_else(wrong)?;
    let (mut wants_changes, mut own_types) = (names.is_empty(), Vec::new());
    for name in names {
        let name = name.as_str().ok_or_else(wrong)?;
        let own = name.strip_prefix(CUSTOM);
        match own.and_then(|own| own.strip_prefix('.')) {
            Some(own) => own_types.push(Pattern::of_names(own).map_err(|_| wrong())?),
            None if name == CHANGED => wants_changes = true,
            None => return Err(wrong()),
        }
    }
    Ok((wants_changes, own_types))
}

/// A kind of entity by its collection, in this dialect or in Kontur's, or by its name.
fn kind(name: &Value) -> Result<EntityKind> {
    let text = name.as_str().unwrap_or_default().trim_matches('/');
    let last = text.rsplit('/').next().unwrap_or_default();
    let found = match last {
        "integration_points" => Some(EntityKind::IntegrationPoint),
        "svcscripts" => Some(EntityKind::Svcscript),
        "communications" => Some(EntityKind::Communication),
        "documents" => Some(EntityKind::Document),
        _ => EntityKind::from_collection(last).or_else(|| EntityKind::from_name(last)),
    };
    found.ok_or_else(|| {
        let shown: String = text.chars().take(64).collect();
        let own = [
            "integration_points",
            "svcscripts",
            "communications",
            "documents",
        ];
        let known = own.into_iter().chain(EntityKind::collections());
        let known = known.collect::<Vec<_>>().join(", ");
        let why = format!("`classpath` `{shown}` is not a collection: {known}.");
        Error::invalid("classpath", why)
    })
}

fn objects(ids: &Value) -> Result<Vec<Uuid>> {
    let wrong = || Error::invalid("objects", "The objects must be a list of at most 1000 ids.");
    let ids = ids
        .as_array()
        .filter(|ids| ids.len() <= MAX_OBJECTS)
        .ok_or_else(wrong)?;
    let ids = ids
        .iter()
        .map(|id| id.as_str().and_then(id::parse).ok_or_else(wrong));
    ids.collect()
}
