//! Alerts: what the people behind a workspace have to know (`docs/contracts/prichal.md §6.5`).
//!
//! An alert begins and is over. Both are events of the workspace's log, under names that are the server's own
//! ([`crate::event::custom`]), so the feed, webhooks and scripts take them like any other event.

pub mod condition;
pub mod settings;

use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::{
    event::{
        EventHead, NewEvent, Origin,
        custom::{CUSTOM_EVENT, CustomEvent, CustomHead},
    },
    id::{EventId, UserId},
    schema::{Field, Object, Type, Words},
    time::Timestamp,
    words::words,
};

words! {
    /// The kinds of alerts.
    Kind {
        /// A source has failed for some time.
        Failing "failing",
        /// A webhook was switched off, by its owner or after too many failures.
        SwitchedOff "switchedOff",
        /// The subscription to documents was paused.
        Paused "paused",
        /// A source is too far behind.
        Lag "lag",
        /// The script of a channel or of a webhook has failed for some time.
        Script "script",
        /// A certificate ends soon.
        Certificate "certificate",
        /// A quota is nearly used up.
        Quota "quota",
        /// A disk of the server is nearly full.
        Disk "disk",
    }
}

words! {
    /// The state of an alert.
    State { Open "open", Over "over" }
}

words! {
    /// The kinds of things that alerts are about.
    SourceKind {
        /// A webhook of an integration.
        Webhook "webhook",
        /// The company's subscription to documents' statuses.
        DocumentHook "documentHook",
        /// A channel.
        Channel "channel",
        /// A script.
        Script "script",
        /// A user whose certificate signs documents.
        Signer "signer",
        /// A host that is called.
        Receiver "receiver",
        /// A quota of the workspace.
        Quota "quota",
        /// A node of the server.
        Server "server",
    }
}

/// The names of [`Kind`].
pub static KINDS: Words = Words {
    name: "alertKind",
    words: Kind::WORDS,
};
/// The names of [`State`].
pub static STATES: Words = Words {
    name: "alertState",
    words: State::WORDS,
};
static SOURCES: Words = Words {
    name: "alertSource",
    words: SourceKind::WORDS,
};

/// The version of the data of the events.
const VERSION: i64 = 1;
/// The maximum number of characters of a message.
const MAX_MESSAGE: usize = 1000;

/// The members of an event about an alert.
pub const EVENT: &[Field] = &[
    CUSTOM_EVENT[0],
    CUSTOM_EVENT[1],
    CUSTOM_EVENT[2],
    Field::new("eventType", Type::Text)
        .shown()
        .doc("`prichal.alert.` and the kind of the alert.")
        .example("prichal.alert.failing"),
    CUSTOM_EVENT[4],
    Field::new("timestamp", Type::Moment)
        .shown()
        .doc("The time at which the alert began, or was over."),
    Field::new("entity", Type::Text)
        .shown()
        .doc("The thing that the alert is about.")
        .example("webhook:019b7a5e-2c00-7d4e-9a1b-0c1d2e3f4a5b"),
    Field::new("data", Type::Object(ALERT))
        .shown()
        .doc("The alert."),
    CUSTOM_EVENT[8],
];

/// The members of an alert, in answers and as the data of its events.
pub const ALERT: &[Field] = &[
    Field::new("id", Type::Guid)
        .shown()
        .doc("The id of the alert."),
    Field::new("kind", Type::Enum(&KINDS))
        .shown()
        .doc("What has happened."),
    Field::new("state", Type::Enum(&STATES))
        .shown()
        .doc("`open` from the beginning on, `over` at the end."),
    Field::new("source", Type::Object(SOURCE))
        .shown()
        .doc("The thing that the alert is about."),
    Field::new("message", Type::Text)
        .shown()
        .doc("What has happened, in words.")
        .example(
            "The webhook /callbacks of my.connector has failed for 15 minutes: the answer was 503",
        ),
    Field::new("details", Type::Free)
        .doc("Figures and reasons, by the kind of the alert.")
        .example(r#"{"error": "the answer was 503", "httpStatus": 503}"#),
    Field::new("since", Type::Moment)
        .shown()
        .doc("The time since which it is so, as far as it is known."),
    Field::new("begunAt", Type::Moment)
        .shown()
        .doc("The time at which the alert began."),
    Field::new("overAt", Type::Moment).doc("The time at which it was over."),
    Field::new("acknowledgedAt", Type::Moment).doc("The time at which somebody took care of it."),
    Field::new("acknowledgedByUserId", Type::Guid).doc("The user who did."),
];
const SOURCE: &[Field] = &[
    Field::new("type", Type::Enum(&SOURCES))
        .shown()
        .doc("The kind of the thing."),
    Field::new("id", Type::Guid).doc(
        "The id of the webhook, the subscription, the channel, the script, the user or the node.",
    ),
    Field::new("integrationId", Type::Guid).doc("The integration of a webhook."),
    Field::new("name", Type::Text).doc("The name of the thing, such as that of a quota."),
];

/// The thing that an alert is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    pub kind: SourceKind,
    pub id: Option<Uuid>,
    pub integration: Option<Uuid>,
    pub name: Option<String>,
}

/// An alert.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alert {
    pub id: Uuid,
    pub kind: Kind,
    pub source: Source,
    pub message: String,
    pub details: Object,
    pub since: Timestamp,
    pub begun_at: Timestamp,
    pub over_at: Option<Timestamp>,
    pub acknowledged: Option<(Timestamp, Option<UserId>)>,
}

/// The beginning of the names of alerts' events.
const EVENTS: &str = "prichal.alert.";

/// True for an event about an alert.
pub fn is_alert(head: &EventHead) -> bool {
    let custom = head.custom.as_ref();
    custom.is_some_and(|custom| custom.name.starts_with(EVENTS))
}

impl Kind {
    /// The name of the events about alerts of this kind.
    pub fn event_type(self) -> String {
        format!("{EVENTS}{}", self.name())
    }
}

impl Source {
    pub fn new(kind: SourceKind, id: Option<Uuid>) -> Self {
        Self {
            kind,
            id,
            integration: None,
            name: None,
        }
    }

    #[must_use]
    pub fn named(self, name: impl Into<String>) -> Self {
        Self {
            name: Some(name.into()),
            ..self
        }
    }

    /// The text by which filters of events name the thing.
    pub fn entity(&self) -> String {
        let id = self.id.map(|id| id.to_string());
        let id = id.as_deref().or(self.name.as_deref()).unwrap_or_default();
        format!("{}:{id}", self.kind.name())
    }

    pub fn model(&self) -> Value {
        let mut out = Map::new();
        out.insert("type".to_owned(), self.kind.name().into());
        let ids = [("id", self.id), ("integrationId", self.integration)];
        for (member, id) in ids {
            if let Some(id) = id {
                out.insert(member.to_owned(), id.to_string().into());
            }
        }
        if let Some(name) = &self.name {
            out.insert("name".to_owned(), name.as_str().into());
        }
        Value::Object(out)
    }

    /// Reads a model. `None` if it is damaged.
    pub fn from_model(model: &Value) -> Option<Self> {
        let text = |member: &str| model.get(member).and_then(Value::as_str);
        let id = |member: &str| text(member).and_then(crate::id::parse);
        Some(Self {
            kind: SourceKind::from_name(text("type")?)?,
            id: id("id"),
            integration: id("integrationId"),
            name: text("name").map(str::to_owned),
        })
    }
}

impl Alert {
    pub fn state(&self) -> State {
        match self.over_at {
            None => State::Open,
            Some(_) => State::Over,
        }
    }

    pub fn model(&self) -> Value {
        let mut out = json!({
            "id": self.id,
            "kind": self.kind.name(),
            "state": self.state().name(),
            "source": self.source.model(),
            "message": self.message,
        });
        let mut put = |member: &str, value: Value| {
            if let Some(out) = out.as_object_mut() {
                out.insert(member.to_owned(), value);
            }
        };
        if !self.details.is_empty() {
            put("details", self.details.clone().into());
        }
        put("since", self.since.to_string().into());
        put("begunAt", self.begun_at.to_string().into());
        if let Some(at) = self.over_at {
            put("overAt", at.to_string().into());
        }
        if let Some((at, user)) = self.acknowledged {
            put("acknowledgedAt", at.to_string().into());
            if let Some(user) = user {
                put("acknowledgedByUserId", user.to_string().into());
            }
        }
        out
    }

    /// The event of its beginning, or of its end if it is over. Both come in order.
    pub fn event(&self, origin: &Origin) -> NewEvent {
        let at = self.over_at.unwrap_or(self.begun_at);
        let custom = CustomEvent {
            head: CustomHead {
                name: self.kind.event_type(),
                entity: Some(self.source.entity()),
            },
            version: VERSION,
            timestamp: at.to_string(),
        };
        let data = self.model().to_string();
        NewEvent::custom(EventId::generate(at), origin, self.id, custom, data)
    }
}

/// Cuts a message to its maximum length.
pub fn shortened(message: &str) -> String {
    message.chars().take(MAX_MESSAGE).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        event::{Author, EventType},
        id::WorkspaceId,
    };

    fn alert() -> Alert {
        let source = Source {
            integration: Some(Uuid::from_u128(2)),
            ..Source::new(SourceKind::Webhook, Some(Uuid::from_u128(1))).named("my.connector")
        };
        Alert {
            id: Uuid::from_u128(3),
            kind: Kind::Failing,
            source,
            message: "It fails".to_owned(),
            details: Object::new(),
            since: Timestamp::from_micros(0),
            begun_at: Timestamp::from_micros(60_000_000),
            over_at: None,
            acknowledged: None,
        }
    }

    #[test]
    fn an_event_has_a_name_of_the_server() {
        let origin = Origin {
            workspace: WorkspaceId(Uuid::from_u128(9)),
            author: Author::system(),
            at: Timestamp::from_micros(0),
        };
        let begun = alert();
        let over = Alert {
            over_at: Some(Timestamp::from_micros(120_000_000)),
            ..begun.clone()
        };
        let events = [&begun, &over].map(|one| one.event(&origin));
        for event in &events {
            let head = event.head();
            assert!(is_alert(&head) && head.kind == EventType::Custom);
            assert_eq!(head.entities[0].1, begun.id, "both keep their order");
        }
        let body: Value = serde_json::from_str(&events[1].render(Uuid::nil())).unwrap();
        assert_eq!(body["eventType"], "prichal.alert.failing");
        assert_eq!(
            body["entity"],
            "webhook:00000000-0000-0000-0000-000000000001"
        );
        assert_eq!(body["timestamp"], "1970-01-01T00:02:00+00:00");
        assert_eq!(body["data"]["state"], "over");
        assert_eq!(body["data"]["source"]["name"], "my.connector");
        assert!(body["data"].get("details").is_none());
    }

    #[test]
    fn a_source_is_read_as_it_was_written() {
        for source in [
            alert().source,
            Source::new(SourceKind::Quota, None).named("events"),
            Source::new(SourceKind::DocumentHook, Some(Uuid::from_u128(7))),
        ] {
            assert_eq!(Source::from_model(&source.model()), Some(source));
        }
        let quota = Source::new(SourceKind::Quota, None).named("events");
        assert_eq!(quota.entity(), "quota:events");
        assert_eq!(Source::from_model(&json!({"type": "other"})), None);
    }

    #[test]
    fn a_long_message_is_cut() {
        assert_eq!(shortened(&"é".repeat(2000)).chars().count(), MAX_MESSAGE);
        assert_eq!(shortened("short"), "short");
    }
}
