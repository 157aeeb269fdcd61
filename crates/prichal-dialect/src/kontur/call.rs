//! The messages of exchanges and users about calls, read (`docs/contracts/kontur.md §4.4, §4.5`).

use prichal_core::{
    call::{
        self, Callback, Dial, Direction, Event, EventType, Failure, HangUp, History, HistoryLeg,
        Moment, Notice, Party, PartyType, Refs, ReportedRecording,
    },
    id,
    schema::{self, Fault, Field, Object, Preset, Type, Words},
};
use serde_json::Value;
use uuid::Uuid;

/// The directions of calls.
pub static DIRECTIONS: Words = Words {
    name: "callDirection",
    words: Direction::WORDS,
};
pub(super) static EVENT_TYPES: Words = Words {
    name: "callEventType",
    words: EventType::WORDS,
};
pub(super) static PARTY_TYPES: Words = Words {
    name: "callPartyType",
    words: PartyType::WORDS,
};

/// The subject of the refusal `… not found` of a redirect for an unknown call.
pub const REDIRECT: &str = "Communication Xcom.Api.Models.Communications.CallRedirectRequest";

/// The maximum number of characters of an exchange's ids and numbers.
const MAX_NAME: usize = 200;

const COMMUNICATION: Field = Field::new("communicationId", Type::Guid)
    .doc("The id of the call that the system call CALL or an earlier answer gave.");
const EXTERNAL: Field = Field::new("externalId", Type::Text).chars(MAX_NAME).doc(
    "The exchange's id of the call, with or without the integration's name and a slash before it.",
);
/// The same where a message names the call by either.
const EITHER_EXTERNAL: Field = EXTERNAL.doc(
    "The exchange's id of the call, with or without the integration's name and a slash before it. This or \
     `communicationId` is required.",
);
const CLIENT_PHONE: Field = Field::new("clientPhone", Type::Text)
    .chars(MAX_NAME)
    .doc("The client's number, in any form.");
const VATS_PHONE: Field = Field::new("externalVatsPhone", Type::Text)
    .chars(MAX_NAME)
    .doc("The exchange's own number.");
const TIMESTAMP: Field = Field::new("timestamp", Type::Moment)
    .doc("The time of what is reported, between 1970 and 2200.");
const DIRECTION: Field =
    Field::new("direction", Type::Enum(&DIRECTIONS)).doc("The direction of the call.");
const EXTERNAL_LEG: Field = Field::new("externalCallItemId", Type::Text)
    .chars(MAX_NAME)
    .doc("The exchange's id of the leg. This or `realtimeCallItemId` is required.");
const REALTIME_LEG: Field = Field::new("realtimeCallItemId", Type::Text)
    .chars(MAX_NAME)
    .doc("The exchange's id of the leg while the call goes on. This or `externalCallItemId` is required.");
const FROM: Field = Field::new("from", Type::Object(PARTY))
    .required()
    .doc("The party that calls.");
const TO: Field = Field::new("to", Type::Object(PARTY))
    .required()
    .doc("The party that is called.");
const PARTY: &[Field] = &[
    Field::new("type", Type::Enum(&PARTY_TYPES))
        .required()
        .doc("The kind of the party."),
    Field::new("userId", Type::Guid).doc("The id of a party of the type `user`."),
];

/// Two members of which a body has at least one.
pub type Either = [&'static str; 2];
/// The call of a message.
pub const EITHER_CALL: Either = ["externalId", "communicationId"];
/// The leg of a message.
pub const EITHER_LEG: Either = ["externalCallItemId", "realtimeCallItemId"];
/// The other side of a user's request to call.
pub const EITHER_SIDE: Either = ["clientPhone", "toUserId"];

/// The members of call-started. The exchange has to name the call.
pub const STARTED: &[Field] = &[
    TIMESTAMP.required(),
    COMMUNICATION,
    EXTERNAL.required(),
    VATS_PHONE,
    CLIENT_PHONE,
    DIRECTION.required(),
];
/// The members of call-finished.
pub const FINISHED: &[Field] = &[
    TIMESTAMP.required(),
    COMMUNICATION,
    EITHER_EXTERNAL,
    VATS_PHONE,
    CLIENT_PHONE,
    DIRECTION,
];
/// The members of call-event.
pub const EVENT: &[Field] = &[
    COMMUNICATION,
    EITHER_EXTERNAL,
    EXTERNAL_LEG,
    REALTIME_LEG,
    TIMESTAMP.required(),
    Field::new("type", Type::Enum(&EVENT_TYPES))
        .required()
        .doc("The kind of the event."),
    FROM,
    TO,
];
/// The members of call-failed.
pub const FAILED: &[Field] = &[
    COMMUNICATION,
    EITHER_EXTERNAL,
    TIMESTAMP,
    Field::new("reason", Type::Text).doc("The reason for people, cut to 1000 characters."),
];
/// The members of call-recording.
pub const RECORDING: &[Field] = &[
    COMMUNICATION,
    EITHER_EXTERNAL,
    EXTERNAL_LEG,
    REALTIME_LEG,
    Field::new("recordingFileId", Type::Guid)
        .required()
        .doc("The id of the uploaded file."),
];
/// The members of register-call.
pub const REGISTER: &[Field] = &[
    VATS_PHONE,
    CLIENT_PHONE,
    Field::new("items", Type::Objects(ITEM))
        .or(Preset::List)
        .items(call::MAX_LEGS)
        .worded(|_, _| call::Refusal::TooManyLegs.to_string())
        .doc("The legs of the call."),
    COMMUNICATION,
    Field::new("externalCreatedAt", Type::Moment).doc("The time at which the call began."),
    EITHER_EXTERNAL,
    DIRECTION.required(),
];
const ITEM: &[Field] = &[
    Field::new("id", Type::Text)
        .required()
        .chars(MAX_NAME)
        .doc("The exchange's id of the leg."),
    FROM,
    TO,
    Field::new("recordings", Type::Objects(ITEM_RECORDING))
        .or(Preset::List)
        .doc("The recordings of the leg."),
    Field::new("startedAt", Type::Moment).doc("The time of the answer."),
    Field::new("finishedAt", Type::Moment).doc("The time of the end."),
];
const ITEM_RECORDING: &[Field] = &[
    Field::new("fileId", Type::Guid)
        .required()
        .doc("The id of the uploaded file."),
    Field::new("fileName", Type::Text).doc("The name of the file, cut to 255 characters."),
    Field::new("contentType", Type::Text)
        .doc("The content type of the file, cut to 255 characters."),
    Field::new("contentLength", Type::Size).doc("The length of the file in bytes."),
];
/// The members of a user's request to call.
pub const DIAL: &[Field] = &[
    COMMUNICATION,
    Field::new("fromUserId", Type::Guid).doc("The user who calls."),
    Field::new("toUserId", Type::Guid).doc("The colleague to call."),
    CLIENT_PHONE.doc("The number to call. This or `toUserId` is required."),
];
/// The members of a user's request to hang up.
pub const HANG_UP: &[Field] = &[
    REALTIME_LEG
        .required()
        .doc("The exchange's id of the leg to end."),
    Field::new("userId", Type::Guid).doc("The user whose leg it is."),
];

type Read<T> = Result<T, Vec<Fault>>;

/// Reads call-started.
pub fn started(body: &Object) -> Read<Callback<Notice>> {
    let read = Reader::new(STARTED, body)?;
    Ok(Callback {
        refs: read.refs(),
        message: read.notice()?,
    })
}

/// Reads call-finished.
pub fn finished(body: &Object) -> Read<Callback<Notice>> {
    let read = Reader::new(FINISHED, body)?;
    Ok(Callback {
        refs: read.named_refs()?,
        message: read.notice()?,
    })
}

/// Reads call-event.
pub fn event(body: &Object) -> Read<Callback<Event>> {
    let read = Reader::new(EVENT, body)?;
    let refs = read.named_refs()?;
    let (external, realtime) = read.leg()?;
    let message = Event {
        external_call_item_id: external,
        realtime_call_item_id: realtime,
        timestamp: read
            .moment("timestamp")?
            .ok_or_else(|| missing("timestamp"))?,
        kind: read.word("type", EventType::from_name)?,
        from: party(read.0.get("from"), "from")?,
        to: party(read.0.get("to"), "to")?,
    };
    Ok(Callback { refs, message })
}

/// Reads call-failed.
pub fn failed(body: &Object) -> Read<Callback<Failure>> {
    let read = Reader::new(FAILED, body)?;
    let message = Failure {
        at: read.moment("timestamp")?,
        reason: Some(read.text("reason").chars().take(1000).collect())
            .filter(|reason: &String| !reason.is_empty()),
    };
    let refs = read.named_refs()?;
    Ok(Callback { refs, message })
}

/// Reads call-recording.
pub fn recording(body: &Object) -> Read<Callback<ReportedRecording>> {
    let read = Reader::new(RECORDING, body)?;
    let refs = read.named_refs()?;
    let (external, realtime) = read.leg()?;
    let message = ReportedRecording {
        external_call_item_id: external,
        realtime_call_item_id: realtime,
        file: read
            .guid("recordingFileId")
            .ok_or_else(|| missing("recordingFileId"))?,
        file_name: None,
        content_type: None,
    };
    Ok(Callback { refs, message })
}

/// Reads register-call: the history, and the recordings of its legs.
pub fn register(body: &Object) -> Read<Callback<(History, Vec<ReportedRecording>)>> {
    let read = Reader::new(REGISTER, body)?;
    let refs = read.named_refs()?;
    let mut legs: Vec<HistoryLeg> = Vec::new();
    let mut recordings = Vec::new();
    let items = read.0.get("items").and_then(Value::as_array);
    for (n, item) in items.into_iter().flatten().enumerate() {
        let path = format!("items[{n}]");
        let item = Reader(item.as_object().cloned().unwrap_or_default());
        let id = item.name("id");
        if legs.iter().any(|leg| leg.id == id) {
            return Err(vec![Fault::rule(
                path,
                format!("The id {id} is there twice."),
            )]);
        }
        for recording in item
            .0
            .get("recordings")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
        {
            let recording = Reader(recording.as_object().cloned().unwrap_or_default());
            let text = |name: &str| Some(recording.text(name)).filter(|text| !text.is_empty());
            recordings.push(ReportedRecording {
                external_call_item_id: id.clone(),
                realtime_call_item_id: String::new(),
                file: recording.guid("fileId").ok_or_else(|| missing("fileId"))?,
                file_name: text("fileName").map(|name| name.chars().take(255).collect()),
                content_type: text("contentType").map(|name| name.chars().take(255).collect()),
            });
        }
        legs.push(HistoryLeg {
            from: party(item.0.get("from"), &format!("{path}.from"))?,
            to: party(item.0.get("to"), &format!("{path}.to"))?,
            started_at: item.moment("startedAt")?,
            finished_at: item.moment("finishedAt")?,
            id,
        });
    }
    let history = History {
        direction: read.word("direction", Direction::from_name)?,
        client_phone: read.name("clientPhone"),
        external_vats_phone: read.name("externalVatsPhone"),
        external_created_at: read.moment("externalCreatedAt")?,
        items: legs,
    };
    Ok(Callback {
        refs,
        message: (history, recordings),
    })
}

/// Reads a user's request to call.
pub fn dial(body: &Object) -> Read<(Option<Uuid>, Dial)> {
    let read = Reader::new(DIAL, body)?;
    let dial = Dial {
        client_phone: read.name("clientPhone"),
        from_user_id: read.guid("fromUserId"),
        to_user_id: read.guid("toUserId"),
    };
    if dial.client_phone.is_empty() && dial.to_user_id.is_none() {
        return Err(neither(EITHER_SIDE));
    }
    Ok((read.guid("communicationId"), dial))
}

/// Reads a user's request to hang up.
pub fn hang_up(body: &Object) -> Read<HangUp> {
    let read = Reader::new(HANG_UP, body)?;
    Ok(HangUp {
        realtime_call_item_id: read.name("realtimeCallItemId"),
        user: read.guid("userId"),
    })
}

/// A body with canonical names and checked values.
struct Reader(Object);

impl Reader {
    fn new(fields: &[Field], body: &Object) -> Read<Self> {
        schema::read(fields, body, &mut Uuid::nil).map(Self)
    }

    fn text(&self, name: &str) -> &str {
        self.0.get(name).and_then(Value::as_str).unwrap_or_default()
    }

    /// An id or a number of the exchange's; empty if absent.
    fn name(&self, name: &str) -> String {
        self.text(name).trim().to_owned()
    }

    fn guid(&self, name: &str) -> Option<Uuid> {
        id::parse(self.text(name))
    }

    fn moment(&self, name: &str) -> Read<Option<Moment>> {
        let moment = Moment::parse(self.text(name));
        let is_odd = moment.as_ref().is_some_and(|moment| !moment.is_plausible());
        if is_odd {
            let message = format!("The {name} must be a time between 1970 and 2200.");
            return Err(vec![Fault::rule(name, message)]);
        }
        Ok(moment)
    }

    fn word<T>(&self, name: &str, read: impl Fn(&str) -> Option<T>) -> Read<T> {
        read(self.text(name)).ok_or_else(|| missing(name))
    }

    fn refs(&self) -> Refs {
        let external = self.text("externalId").trim();
        Refs {
            communication: self.guid("communicationId"),
            external: (!external.is_empty()).then(|| external.to_owned()),
        }
    }

    /// The references, of which at least one must be present.
    fn named_refs(&self) -> Read<Refs> {
        let refs = self.refs();
        if refs == Refs::default() {
            return Err(neither(EITHER_CALL));
        }
        Ok(refs)
    }

    fn leg(&self) -> Read<(String, String)> {
        let external = self.name("externalCallItemId");
        let realtime = self.name("realtimeCallItemId");
        if external.is_empty() && realtime.is_empty() {
            return Err(neither(EITHER_LEG));
        }
        Ok((external, realtime))
    }

    fn notice(&self) -> Read<Notice> {
        Ok(Notice {
            timestamp: self
                .moment("timestamp")?
                .ok_or_else(|| missing("timestamp"))?,
            direction: Direction::from_name(self.text("direction")),
            client_phone: self.name("clientPhone"),
            external_vats_phone: self.name("externalVatsPhone"),
        })
    }
}

fn party(value: Option<&Value>, path: &str) -> Read<Party> {
    let read = Reader(
        value
            .and_then(Value::as_object)
            .cloned()
            .unwrap_or_default(),
    );
    let kind = PartyType::from_name(read.text("type")).ok_or_else(|| missing(path))?;
    // Only users have an id.
    let user_id = read.guid("userId").filter(|_| kind == PartyType::User);
    Ok(Party { kind, user_id })
}

/// The fault of a body that has neither of two members.
fn neither([path, other]: Either) -> Vec<Fault> {
    let message = format!("The {path} or the {other} field is required.");
    vec![Fault::rule(path, message)]
}

fn missing(path: &str) -> Vec<Fault> {
    vec![Fault::required(path)]
}
