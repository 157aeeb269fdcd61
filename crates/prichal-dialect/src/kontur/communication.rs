//! The `Communication` as it is served (`docs/contracts/kontur.md §5`).

use prichal_core::{
    call::{Call, Head, Links, State, Status, push_members},
    json,
    schema::{Field, Type, Words},
    update_info::UpdateInfo,
};

use super::call::{DIRECTIONS, EVENT_TYPES, PARTY_TYPES};

static TYPES: Words = Words {
    name: "communicationType",
    words: &["call"],
};
/// The states of a call in its model.
pub static STATUSES: Words = Words {
    name: "communicationStatus",
    words: Status::WORDS,
};
static STATES: Words = Words {
    name: "callState",
    words: State::WORDS,
};

/// The members of the model, without `updateInfo` and `id`.
pub const COMMUNICATION: &[Field] = &[
    Field::new("links", Type::Object(LINKS))
        .shown()
        .doc("The entities that are linked with the call."),
    Field::new("externalId", Type::Text)
        .doc("The exchange's id of the call, with the integration's name before it."),
    Field::new("externalCreatedAt", Type::Moment)
        .shown()
        .doc("The beginning of the call, as far as it is known."),
    Field::new("type", Type::Enum(&TYPES))
        .shown()
        .doc("The kind of communication."),
    Field::new("direction", Type::Enum(&DIRECTIONS))
        .shown()
        .doc("The direction of the call."),
    Field::new("status", Type::Enum(&STATUSES))
        .shown()
        .doc("The state: a sealed call is over, and later messages may still correct it."),
    Field::new("integrationId", Type::Guid)
        .shown()
        .doc("The integration of the exchange."),
    Field::new("data", Type::Object(DATA))
        .shown()
        .doc("The contents."),
    Field::new("assignedToUserId", Type::Guid).doc("The responsible user, once known."),
    Field::new("assignedToGroupId", Type::Guid)
        .shown()
        .doc("The group of the responsible user. Zeros stand for none."),
    Field::new("facts", Type::Object(FACTS))
        .doc("What follows from the legs, if `include` asks for it."),
];
const LINKS: &[Field] = &[
    Field::new("companyIds", Type::Guids)
        .shown()
        .doc("The companies with the number."),
    Field::new("contactIds", Type::Guids)
        .shown()
        .doc("The contacts with the number."),
    Field::new("dealIds", Type::Guids)
        .shown()
        .doc("The deals of these companies and contacts."),
];
const DATA: &[Field] = &[Field::new("call", Type::Object(CALL))
    .shown()
    .doc("The call.")];
const CALL: &[Field] = &[
    Field::new("clientPhone", Type::Text)
        .shown()
        .doc("The client's number."),
    Field::new("externalVatsPhone", Type::Text)
        .shown()
        .doc("The exchange's own number."),
    Field::new("items", Type::Objects(LEG))
        .shown()
        .doc("The legs."),
    Field::new("events", Type::Objects(EVENT))
        .shown()
        .doc("The events of the legs, as they were reported."),
    Field::new("failed", Type::Bool).doc("True of a call that could not be made."),
    Field::new("failReason", Type::Text).doc("The reason of the failure, for people."),
    Field::new("note", Type::Text).doc("A note for people, about a repeated id."),
];
const PARTY: &[Field] = &[
    Field::new("type", Type::Enum(&PARTY_TYPES))
        .shown()
        .doc("The kind of the party."),
    Field::new("userId", Type::Guid).doc("The user."),
];
const FROM: Field = Field::new("from", Type::Object(PARTY))
    .shown()
    .doc("The party that calls.");
const TO: Field = Field::new("to", Type::Object(PARTY))
    .shown()
    .doc("The party that is called.");
const LEG: &[Field] = &[
    Field::new("id", Type::Text)
        .shown()
        .doc("The exchange's id of the leg."),
    FROM,
    TO,
    Field::new("recordings", Type::Objects(RECORDING))
        .shown()
        .doc("The recordings."),
    Field::new("startedAt", Type::Moment).doc("The time of the answer."),
    Field::new("finishedAt", Type::Moment).doc("The time of the end."),
];
const RECORDING: &[Field] = &[
    Field::new("fileId", Type::Guid)
        .shown()
        .doc("The permanent id of the file."),
    Field::new("fileName", Type::Text)
        .shown()
        .doc("The name of the file."),
    Field::new("contentType", Type::Text)
        .shown()
        .doc("The content type of the file."),
    Field::new("contentLength", Type::Int)
        .shown()
        .doc("The length of the file in bytes."),
];
const EVENT: &[Field] = &[
    Field::new("externalCallItemId", Type::Text).doc("The exchange's id of the leg."),
    Field::new("realtimeCallItemId", Type::Text)
        .doc("The exchange's id of the leg while the call goes on."),
    Field::new("timestamp", Type::Moment)
        .shown()
        .doc("The time of the event."),
    Field::new("type", Type::Enum(&EVENT_TYPES))
        .shown()
        .doc("The kind of the event."),
    FROM,
    TO,
];
const FACTS: &[Field] = &[
    Field::new("state", Type::Enum(&STATES))
        .shown()
        .doc("The state, as users see it."),
    Field::new("missed", Type::Bool)
        .shown()
        .doc("True of an inbound call that ended without an answer."),
    Field::new("answered", Type::Bool)
        .shown()
        .doc("True if a user talked with the other side."),
    Field::new("waitMs", Type::Int)
        .doc("The milliseconds from the first ring to the answer, or to the end without one."),
    Field::new("talkMs", Type::Int)
        .shown()
        .doc("The milliseconds of talk, without hold."),
    Field::new("holdMs", Type::Int)
        .shown()
        .doc("The milliseconds on hold."),
    Field::new("responsibleUserId", Type::Guid).doc("The responsible user."),
    Field::new("calledBack", Type::Bool).doc("True if a missed call was called back."),
    Field::new("arrivals", Type::Objects(ARRIVAL))
        .doc("The events in the order in which they arrived, of one call alone. Events from before an upgrade are absent."),
];
const ARRIVAL: &[Field] = &[
    Field::new("event", Type::Int)
        .shown()
        .doc("The place of the event in `data.call.events`, from 0."),
    Field::new("at", Type::Moment)
        .shown()
        .doc("The time at which it arrived."),
];

/// The model. `facts` are included if the reader asks for them.
pub fn model(
    call: &Call,
    head: &Head,
    links: &Links,
    info: &UpdateInfo,
    facts: Option<&str>,
) -> String {
    let mut out = String::with_capacity(1024 + call.events.len() * 256);
    out.push_str("{\"updateInfo\":");
    info.push(&mut out);
    out.push_str(",\"links\":");
    // Lists of ids cannot fail to be written.
    out.push_str(&serde_json::to_string(links).unwrap_or_default());
    out.push(',');
    push_members(&mut out, call, head, &call.events);
    if let Some(facts) = facts {
        out.push_str(",\"facts\":");
        out.push_str(facts);
    }
    out.push_str(",\"id\":");
    json::push_guid(&mut out, head.id);
    out.push('}');
    out
}

#[cfg(test)]
mod tests {
    use prichal_core::{
        call::{Direction, Message, Moment, Notice},
        event::Author,
        time::Timestamp,
    };
    use serde_json::Value;
    use uuid::Uuid;

    use super::*;

    #[test]
    fn the_model_as_documented() {
        let at = || Moment::from(Timestamp::default());
        let started = Message::Started(Notice {
            timestamp: at(),
            direction: Some(Direction::Inbound),
            client_phone: "79997775533".to_owned(),
            external_vats_phone: "79229929292".to_owned(),
        });
        let call = Call::default().with(started).unwrap();
        let head = Head {
            id: Uuid::from_u128(5),
            integration: Uuid::from_u128(6),
            external_id: Some("Megafon/333".to_owned()),
            first_seen: at(),
            group: None,
        };
        let info = UpdateInfo {
            updated_at: Timestamp::default(),
            updated: Author::system(),
            created_at: Timestamp::default(),
            created: Author::system(),
        };
        let text = model(&call, &head, &Links::default(), &info, None);
        let members: Vec<String> = serde_json::from_str::<serde_json::Map<String, Value>>(&text)
            .unwrap()
            .keys()
            .cloned()
            .collect();
        assert_eq!(
            members,
            [
                "updateInfo",
                "links",
                "externalId",
                "externalCreatedAt",
                "type",
                "direction",
                "status",
                "integrationId",
                "data",
                "assignedToGroupId",
                "id"
            ]
        );
    }
}
