//! The topics of a stream.

use prichal_core::{
    alert,
    event::{EntityKind, EventHead},
    id::UserId,
};

/// A topic of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topic {
    /// Every event of the log.
    Events,
    /// The events about calls.
    Calls,
    /// The events about documents and their routes.
    Documents,
    /// Attempts to call the receivers of webhooks.
    Deliveries,
    /// Changes of the state of what calls receivers.
    States,
    /// Runs of scripts, and messages of channels.
    Runs,
    /// The events about alerts.
    Alerts,
}

/// The names of all topics, in the order of the enum.
pub const NAMES: [&str; 7] = [
    "events",
    "calls",
    "documents",
    "deliveries",
    "states",
    "runs",
    "alerts",
];

/// The topics that are told as they happen, and not kept.
pub const TOLD: [Topic; 3] = [Topic::Deliveries, Topic::States, Topic::Runs];

/// The name of the message about missed messages.
pub const MISSED: &str = "missed";

impl Topic {
    pub const ALL: [Self; 7] = [
        Self::Events,
        Self::Calls,
        Self::Documents,
        Self::Deliveries,
        Self::States,
        Self::Runs,
        Self::Alerts,
    ];

    pub const fn name(self) -> &'static str {
        NAMES[self as usize]
    }

    /// The name of its messages.
    pub const fn message(self) -> &'static str {
        match self {
            Self::Events => "event",
            Self::Calls => "call",
            Self::Documents => "document",
            Self::Deliveries => "delivery",
            Self::States => "state",
            Self::Runs => "run",
            Self::Alerts => "alert",
        }
    }

    /// The narrowest topic of an event of the log.
    pub fn of(head: &EventHead) -> Self {
        let kinds = || head.entities.iter().map(|(kind, _)| *kind);
        let is_document = |kind| matches!(kind, EntityKind::Document | EntityKind::Route);
        if kinds().any(is_document) {
            Self::Documents
        } else if kinds().any(|kind| kind == EntityKind::Communication) {
            Self::Calls
        } else if alert::is_alert(head) {
            Self::Alerts
        } else {
            Self::Events
        }
    }

    /// The place in [`TOLD`].
    pub fn told_index(self) -> Option<usize> {
        TOLD.iter().position(|topic| *topic == self)
    }
}

/// The events that a listener may see, beside those that every member may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sight {
    pub documents: bool,
    pub alerts: bool,
    /// The user whose calls alone are shown; `None` for all calls.
    pub own_calls: Option<UserId>,
}

impl Sight {
    pub const ALL: Self = Self {
        documents: true,
        alerts: true,
        own_calls: None,
    };

    pub(super) const fn covers(self, topic: Topic) -> bool {
        match topic {
            Topic::Documents => self.documents,
            Topic::Alerts => self.alerts,
            _ => true,
        }
    }
}

/// A set of topics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Topics(u8);

impl Topics {
    /// Every topic.
    pub fn all() -> Self {
        Topic::ALL.into_iter().collect()
    }

    /// Reads names with commas between them. `None` for an unknown name, or if there is none.
    pub fn parse(text: &str) -> Option<Self> {
        let mut topics = Self::default();
        for name in text.split(',').map(str::trim) {
            let index = NAMES
                .iter()
                .position(|known| known.eq_ignore_ascii_case(name))?;
            topics.0 |= 1 << index;
        }
        (topics != Self::default()).then_some(topics)
    }

    pub const fn has(self, topic: Topic) -> bool {
        self.0 & 1 << topic as u8 != 0
    }

    /// True if all topics of `other` are among these.
    pub const fn covers(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// True if a topic of the log is among them.
    pub fn follow_log(self) -> bool {
        let mut all = Topic::ALL.into_iter();
        all.any(|topic| self.has(topic) && topic.told_index().is_none())
    }

    /// True if an event of the log, whose narrowest topic this is, belongs to them.
    pub const fn want(self, topic: Topic) -> bool {
        self.has(Topic::Events) || self.has(topic)
    }
}

impl FromIterator<Topic> for Topics {
    fn from_iter<I: IntoIterator<Item = Topic>>(all: I) -> Self {
        let add = |topics: u8, topic: Topic| topics | 1 << topic as u8;
        Self(all.into_iter().fold(0, add))
    }
}

impl std::fmt::Display for Topics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let all = Topic::ALL.into_iter().filter(|topic| self.has(*topic));
        for (n, topic) in all.enumerate() {
            let comma = if n > 0 { "," } else { "" };
            write!(f, "{comma}{}", topic.name())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_are_read_and_shown() {
        for (text, shown) in [
            ("events", Some("events")),
            ("runs, Calls", Some("calls,runs")),
            ("states,states", Some("states")),
            (
                "alerts,runs,states,deliveries,documents,calls,events",
                Some("events,calls,documents,deliveries,states,runs,alerts"),
            ),
            ("", None),
            ("events,", None),
            ("events,other", None),
        ] {
            let topics = Topics::parse(text);
            assert_eq!(topics.map(|it| it.to_string()).as_deref(), shown, "{text}");
        }
        for (topic, name) in Topic::ALL.into_iter().zip(NAMES) {
            assert_eq!(topic.name(), name);
        }
    }

    #[test]
    fn all_events_of_the_log_belong_to_events() {
        let topics = |text| Topics::parse(text).expect("topics");
        for topic in [Topic::Events, Topic::Calls, Topic::Documents, Topic::Alerts] {
            assert!(topics("events").want(topic));
            assert_eq!(topics("calls,runs").want(topic), topic == Topic::Calls);
            assert!(!topics("runs").want(topic));
        }
        assert!(topics("documents,runs").follow_log());
        assert!(!topics("deliveries,states,runs").follow_log());
        assert!(topics("events,runs").covers(topics("runs")));
        assert!(!topics("runs").covers(topics("events,runs")));
    }
}
