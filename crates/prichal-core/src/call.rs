//! Calls: the reports of exchanges and users about one, and the state that follows
//! (`docs/contracts/kontur.md §6`).
//!
//! A call is stored as its *evidence*: every event, the earliest report of its start, the latest of its end,
//! and its history. Legs, status, facts and the model are computed from that. The evidence is a set:
//! [`Call::with`] gives the same call in whatever order, and however often, its messages arrive.

mod arrivals;
mod facts;
mod identity;
mod legs;
mod moment;
mod snapshot;

use std::{collections::BTreeSet, time::Duration};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{time::Timestamp, words::words};

pub use arrivals::Arrivals;
pub use facts::{Facts, State};
pub use identity::{Identity, choose_call};
pub use legs::Leg;
pub use moment::Moment;
pub use snapshot::{Head, Links, created_at, push_members, snapshot};

/// The maximum number of legs of a call (`docs/contracts/kontur.md §13` row 13).
pub const MAX_LEGS: usize = 50;
/// The maximum number of events of a call.
pub const MAX_EVENTS: usize = 1000;
/// The maximum number of recordings of a call.
pub const MAX_RECORDINGS: usize = 200;

macro_rules! serde_words {
    ($name:ident) => {
        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.name())
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                Self::from_name(&text).ok_or_else(|| serde::de::Error::custom("no such word"))
            }
        }
    };
}

words! {
    /// The direction of a call.
    Direction { Inbound "inbound", Outbound "outbound", Internal "internal" }
}
serde_words!(Direction);

words! {
    /// An event of a leg. Events of equal time are ordered as here.
    EventType {
        Appeared "appeared",
        Connected "connected",
        Paused "paused",
        Disconnected "disconnected",
        Finished "finished",
    }
}
serde_words!(EventType);

words! {
    PartyType { User "user", Client "client" }
}
serde_words!(PartyType);

words! {
    /// A sealed call is over; later messages may still correct it.
    Status { Active "active", Sealed "sealed" }
}

/// One of the two participants of a leg.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Party {
    #[serde(rename = "type")]
    pub kind: PartyType,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_id: Option<Uuid>,
}

/// A live event, as it is served.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub external_call_item_id: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub realtime_call_item_id: String,
    pub timestamp: Moment,
    #[serde(rename = "type")]
    pub kind: EventType,
    pub from: Party,
    pub to: Party,
}

impl Event {
    /// The leg's id: the exchange's permanent one, or its id during the call.
    pub fn leg(&self) -> &str {
        if self.external_call_item_id.is_empty() {
            &self.realtime_call_item_id
        } else {
            &self.external_call_item_id
        }
    }

    /// The order of events: by time, then leg, then type. The other members only make the order of contradictory events
    /// deterministic.
    fn order(&self) -> (&Moment, &str, EventType, &str, &Party, &Party) {
        (
            &self.timestamp,
            self.leg(),
            self.kind,
            &self.realtime_call_item_id,
            &self.from,
            &self.to,
        )
    }
}

/// The report of a call's start or end.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Notice {
    pub timestamp: Moment,
    pub direction: Option<Direction>,
    pub client_phone: String,
    pub external_vats_phone: String,
}

/// A call that a user requested, before the first report of the exchange.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Dial {
    pub client_phone: String,
    pub from_user_id: Option<Uuid>,
    /// The callee of an internal call.
    pub to_user_id: Option<Uuid>,
}

/// A failed attempt to call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Failure {
    pub at: Option<Moment>,
    pub reason: Option<String>,
}

/// A stored recording.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Recording {
    /// Permanent.
    pub file_id: Uuid,
    pub file_name: String,
    pub content_type: String,
    /// In bytes.
    pub content_length: i64,
}

/// A recording and the leg it was reported for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LegRecording {
    /// True if history names the leg, which outweighs a live message.
    pub is_history: bool,
    pub external_call_item_id: String,
    pub realtime_call_item_id: String,
    pub recording: Recording,
}

impl LegRecording {
    /// The leg alone, without a file.
    fn naming(external_call_item_id: &str, realtime_call_item_id: &str) -> Self {
        Self {
            is_history: false,
            external_call_item_id: external_call_item_id.to_owned(),
            realtime_call_item_id: realtime_call_item_id.to_owned(),
            recording: Recording {
                file_id: Uuid::nil(),
                file_name: String::new(),
                content_type: String::new(),
                content_length: 0,
            },
        }
    }
}

/// A leg in the history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HistoryLeg {
    pub id: String,
    pub from: Party,
    pub to: Party,
    /// The time of the answer.
    pub started_at: Option<Moment>,
    pub finished_at: Option<Moment>,
}

/// The history of a call: the final word on the legs it names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct History {
    pub direction: Direction,
    pub client_phone: String,
    pub external_vats_phone: String,
    pub external_created_at: Option<Moment>,
    pub items: Vec<HistoryLeg>,
}

/// The evidence of one call.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Call {
    pub dial: Option<Dial>,
    pub started: Option<Notice>,
    pub finished: Option<Notice>,
    /// In their order, each once.
    pub events: Vec<Event>,
    #[serde(skip_serializing_if = "Arrivals::are_unknown")]
    pub arrivals: Arrivals,
    pub history: Option<History>,
    /// By file, each once.
    pub recordings: Vec<LegRecording>,
    pub failed: Option<Failure>,
    /// The time at which the server gave the call up, because no more messages came.
    pub timed_out: Option<Moment>,
    /// Users named by the messages that the workspace does not have.
    pub strangers: BTreeSet<Uuid>,
    /// A note for people: the exchange gave the same id to another call before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// A piece of evidence.
#[derive(Clone, Debug)]
pub enum Message {
    Dialled(Dial),
    Started(Notice),
    Event(Event),
    Finished(Notice),
    Failed(Failure),
    Recorded(LegRecording),
    History(History, Vec<LegRecording>),
    /// The call is over because no message has come for too long.
    TimedOut(Moment),
}

/// The ids by which a message names its call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refs {
    pub communication: Option<Uuid>,
    /// The exchange's id as it was sent, with or without the integration's name.
    pub external: Option<String>,
}

/// A message and the ids of its call.
#[derive(Clone, Debug)]
pub struct Callback<T> {
    pub refs: Refs,
    pub message: T,
}

/// A reported recording: its leg, and the file as it was sent.
#[derive(Clone, Debug)]
pub struct ReportedRecording {
    pub external_call_item_id: String,
    pub realtime_call_item_id: String,
    pub file: Uuid,
    pub file_name: Option<String>,
    pub content_type: Option<String>,
}

/// A user's request to hang up.
#[derive(Clone, Debug)]
pub struct HangUp {
    pub realtime_call_item_id: String,
    pub user: Option<Uuid>,
}

/// The reason why a message is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The leg may become known later: the sender tries again.
    #[error("the call has no such leg")]
    NoSuchLeg,
    #[error("A call has at most {MAX_LEGS} legs.")]
    TooManyLegs,
    #[error("A call has at most {MAX_EVENTS} events.")]
    TooManyEvents,
    #[error("A call has at most {MAX_RECORDINGS} recordings.")]
    TooManyRecordings,
}

impl Call {
    /// Adds a message to the evidence. A known message gives an equal call.
    pub fn with(&self, message: Message) -> Result<Self, Refusal> {
        self.with_arrived(message, None)
    }

    /// Adds a message that has arrived at a time.
    pub fn with_arrived(&self, message: Message, at: Option<Timestamp>) -> Result<Self, Refusal> {
        let mut call = self.clone();
        match message {
            Message::Dialled(dial) => call.dial = call.dial.or(Some(dial)),
            Message::Started(notice) => keep_first(&mut call.started, notice),
            Message::Event(event) => call.add_event(event, at)?,
            Message::Finished(notice) => keep_last(&mut call.finished, notice),
            Message::Failed(failure) => call.failed = call.failed.or(Some(failure)),
            Message::Recorded(recording) => {
                if !call.knows_leg(&recording) {
                    return Err(Refusal::NoSuchLeg);
                }
                call.add_recording(recording)?;
            }
            Message::History(history, recordings) => {
                call.add_history(history);
                for recording in recordings {
                    call.add_recording(recording)?;
                }
            }
            Message::TimedOut(at) => call.time_out(at),
        }
        if call.legs().len() > MAX_LEGS {
            return Err(Refusal::TooManyLegs);
        }
        Ok(call)
    }

    /// The users that a message names.
    pub fn users(message: &Message) -> Vec<Uuid> {
        let parties: Vec<&Party> = match message {
            Message::Event(event) => vec![&event.from, &event.to],
            Message::History(history, _) => history
                .items
                .iter()
                .flat_map(|leg| [&leg.from, &leg.to])
                .collect(),
            _ => Vec::new(),
        };
        parties.iter().filter_map(|party| party.user_id).collect()
    }

    fn add_event(&mut self, event: Event, arrived: Option<Timestamp>) -> Result<(), Refusal> {
        let same = |known: &Event| known.leg() == event.leg() && known.kind == event.kind;
        // A leg appears once: the earliest counts. Anything else may happen again at another time.
        let known = self.events.iter().position(|known| {
            same(known) && (known.kind == EventType::Appeared || known.timestamp == event.timestamp)
        });
        if let Some(known) = known {
            if self.events[known].order() <= event.order() {
                return Ok(());
            }
            self.arrivals.remove(known, self.events.len());
            self.events.remove(known);
        }
        if self.events.len() >= MAX_EVENTS {
            return Err(Refusal::TooManyEvents);
        }
        let at = self
            .events
            .partition_point(|known| known.order() < event.order());
        self.arrivals.insert(at, arrived, self.events.len());
        self.events.insert(at, event);
        Ok(())
    }

    /// The newest history counts for the legs it names; legs of earlier ones stay.
    fn add_history(&mut self, mut history: History) {
        let earlier = self.history.take().map(|earlier| earlier.items);
        for leg in earlier.into_iter().flatten() {
            if history.items.iter().all(|named| named.id != leg.id) {
                history.items.push(leg);
            }
        }
        history.items.sort_by(|a, b| a.id.cmp(&b.id));
        self.history = Some(history);
    }

    fn add_recording(&mut self, recording: LegRecording) -> Result<(), Refusal> {
        let file = recording.recording.file_id;
        match self
            .recordings
            .binary_search_by_key(&file, |known| known.recording.file_id)
        {
            Ok(at) => {
                let known = &mut self.recordings[at];
                // History outweighs live messages. The other members only make the order deterministic.
                let is_better = (!recording.is_history, &recording) < (!known.is_history, &*known);
                if is_better {
                    *known = recording;
                }
            }
            Err(_) if self.recordings.len() >= MAX_RECORDINGS => {
                return Err(Refusal::TooManyRecordings);
            }
            Err(at) => self.recordings.insert(at, recording),
        }
        Ok(())
    }

    fn time_out(&mut self, at: Moment) {
        if self.status() == Status::Sealed {
            return;
        }
        if self.is_dialling() {
            self.failed = Some(Failure {
                at: Some(at),
                reason: Some("The telephony did not answer.".to_owned()),
            });
        } else {
            self.timed_out = Some(at);
        }
    }

    /// True while a user's request waits for the first report of the exchange.
    pub fn is_dialling(&self) -> bool {
        self.dial.is_some()
            && self.started.is_none()
            && self.events.is_empty()
            && self.finished.is_none()
            && self.history.is_none()
    }

    pub fn status(&self) -> Status {
        let history_is_over = self
            .history
            .as_ref()
            .is_some_and(|history| history.items.iter().all(|leg| leg.finished_at.is_some()));
        let is_over = self.failed.is_some()
            || self.finished.is_some()
            || self.timed_out.is_some()
            || history_is_over;
        if is_over {
            Status::Sealed
        } else {
            Status::Active
        }
    }

    pub fn direction(&self) -> Direction {
        let history = self.history.as_ref().map(|history| history.direction);
        let said = |notice: &Option<Notice>| notice.as_ref().and_then(|notice| notice.direction);
        history
            .or_else(|| said(&self.started))
            .or_else(|| said(&self.finished))
            .unwrap_or_else(|| {
                let internal = self
                    .dial
                    .as_ref()
                    .is_some_and(|dial| dial.to_user_id.is_some());
                if internal {
                    Direction::Internal
                } else {
                    Direction::Outbound
                }
            })
    }

    /// The client's number as it was sent; empty for a hidden one.
    pub fn client_phone(&self) -> &str {
        let dial = self.dial.as_ref().map(|dial| dial.client_phone.as_str());
        self.first_text(
            |history| &history.client_phone,
            |notice| &notice.client_phone,
        )
        .or(dial)
        .unwrap_or_default()
    }

    /// Our own number: called, or called from.
    pub fn external_vats_phone(&self) -> &str {
        self.first_text(
            |history| &history.external_vats_phone,
            |notice| &notice.external_vats_phone,
        )
        .unwrap_or_default()
    }

    /// The first text that is not empty, of history, start and end.
    fn first_text(
        &self,
        of_history: impl Fn(&History) -> &String,
        of_notice: impl Fn(&Notice) -> &String,
    ) -> Option<&str> {
        let history = self.history.as_ref().map(of_history);
        let notices = [&self.started, &self.finished];
        let notices = notices.into_iter().flatten().map(of_notice);
        history
            .into_iter()
            .chain(notices)
            .map(String::as_str)
            .find(|text| !text.is_empty())
    }

    /// The time after the last message at which the call is given up (`docs/contracts/kontur.md §6.6`). `None`
    /// for a call that is over.
    pub fn give_up_after(&self) -> Option<Duration> {
        if self.status() == Status::Sealed {
            return None;
        }
        Some(match self.state() {
            State::Dialing => Duration::from_mins(1),
            State::Ringing => Duration::from_mins(3),
            State::Talking | State::OnHold => Duration::from_hours(4),
            State::Ended => Duration::from_secs(150),
        })
    }
}

fn keep_first(kept: &mut Option<Notice>, notice: Notice) {
    if kept.as_ref().is_none_or(|kept| notice < *kept) {
        *kept = Some(notice);
    }
}

fn keep_last(kept: &mut Option<Notice>, notice: Notice) {
    if kept.as_ref().is_none_or(|kept| notice > *kept) {
        *kept = Some(notice);
    }
}

#[cfg(test)]
mod tests;
