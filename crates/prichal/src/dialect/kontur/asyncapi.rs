//! Webhooks, system calls and live cards in the AsyncAPI description (`docs/contracts/kontur.md §4.4, §9, §11`).

use prichal_core::{
    alert,
    schema::{Field, Type, Words},
    update_info::UPDATE_INFO,
};
use prichal_dialect::kontur::{
    communication::COMMUNICATION,
    system_call::{CallCommand, HangUpCommand},
};
use serde_json::json;
use utoipa::openapi::{
    ObjectBuilder,
    schema::{AdditionalProperties, Type as JsonType},
};

use crate::{
    delivery::{
        attempt::AttemptModel,
        state::StateChange,
        target::webhook::{ECHO_FIELD, HEADERS},
    },
    dialect::{
        asyncapi::{
            Action, Channel, CustomEvent, LoggedEvent, Message, ObjectEvent, Operation, Part,
            Security, SecurityKind, Server, payload,
        },
        openapi::schema::{described, model, of, uuid},
    },
    domain::{
        channel::run::RunChange,
        stream::topic::{MISSED, NAMES, Topic},
        telephony::call_stream::{CLOSED, OPENED, STATE},
    },
};

described! {
    /// The messages that a listener has missed.
    MissedMessages = model(MISSED_FIELDS);
    /// The beginning or the end of an alert.
    AlertEvent = model(alert::EVENT);
    /// The body of a scheduled call.
    ScheduleTick = ObjectBuilder::new()
        .schema_type(JsonType::Object)
        .additional_properties(Some(AdditionalProperties::<utoipa::openapi::Schema>::FreeForm(false)));
    /// Times and authors of the creation and of the last change.
    UpdateInfo = model(UPDATE_INFO);
    /// A call with its legs and events, its links and its facts.
    Card = model(COMMUNICATION)
        .property("updateInfo", of::<UpdateInfo>())
        .required("updateInfo")
        .property("id", uuid().description(Some("The id of the call.")))
        .required("id")
        .required("facts"), with UpdateInfo;
    /// A call that was deleted.
    DeletedCall = ObjectBuilder::new()
        .property("id", uuid().description(Some("The id of the call.")))
        .required("id");
}

/// Messages of topics that a listener was too slow for.
const MISSED_FIELDS: &[Field] = &[
    Field::new("topic", Type::Enum(&TOPIC_WORDS))
        .required()
        .doc("The topic: `deliveries`, `states` or `runs`, or one of the log whose events were removed by their age before they were sent."),
    Field::new("count", Type::Int)
        .required()
        .doc("The number of its messages that were dropped; of a topic of the log, the number of all events that were removed."),
];
static TOPIC_WORDS: Words = Words {
    name: "topic",
    words: &NAMES,
};

macro_rules! told_fields {
    ($($fields:ident $words:ident $name:expr;)+) => {$(
        static $words: Words = Words { name: "event", words: &[$name] };
        const $fields: &[Field] =
            &[Field::new("event", Type::Enum(&$words)).required().doc("The kind of the message.")];
    )+};
}

told_fields! {
    TOLD_DELIVERY TOLD_DELIVERY_WORDS Topic::Deliveries.message();
    TOLD_STATE TOLD_STATE_WORDS Topic::States.message();
    TOLD_RUN TOLD_RUN_WORDS Topic::Runs.message();
    TOLD_MISSED TOLD_MISSED_WORDS MISSED;
}

macro_rules! sse_fields {
    ($($fields:ident $words:ident $name:expr;)+) => {$(
        static $words: Words = Words { name: "event", words: &[$name] };
        const $fields: &[Field] = &[
            Field::new("event", Type::Enum(&$words)).required().doc("The kind of the event."),
            Field::new("id", Type::Guid)
                .required()
                .doc("The offset from which a later stream resumes, as `Last-Event-ID`."),
        ];
    )+};
}

sse_fields! {
    OPENED_FIELDS OPENED_WORDS OPENED;
    STATE_FIELDS STATE_WORDS STATE;
    CLOSED_FIELDS CLOSED_WORDS CLOSED;
    LOGGED_EVENT LOGGED_EVENT_WORDS Topic::Events.message();
    LOGGED_CALL LOGGED_CALL_WORDS Topic::Calls.message();
    LOGGED_DOCUMENT LOGGED_DOCUMENT_WORDS Topic::Documents.message();
    LOGGED_ALERT LOGGED_ALERT_WORDS Topic::Alerts.message();
}

const STREAM_QUERY: &[Field] = &[
    super::stream::TOPICS,
    Field::new("ticket", Type::Text).doc("A ticket, in place of a token."),
    Field::new("lastEventId", Type::Guid).doc("In place of the header `Last-Event-ID`."),
];
/// The messages of a workspace's stream.
const STREAMED: &[&str] = &[
    "loggedEvent",
    "loggedCall",
    "loggedDocument",
    "loggedAlert",
    "toldDelivery",
    "toldState",
    "toldRun",
    "missedMessages",
];

const LIVE_QUERY: &[Field] = &[
    Field::new("ticket", Type::Text).doc("A ticket, in place of a token."),
    Field::new("lastEventId", Type::Guid).doc("In place of the header `Last-Event-ID`."),
];

/// An alert that begins.
const ALERT: &str = include_str!("examples/alert-event.json");

/// A call that rings.
const CARD: &str = include_str!("examples/card.json");

/// The path of `call` and `hang_up` of `system_call`.
const WS: (&str, &str) = ("ws", "The name of the workspace.");

pub(super) const MESSAGES: Part = Part {
    tag: (
        "integrations",
        "Webhooks, schedules and system calls, to integrations; calls as they happen, to users; what happens in a workspace.",
    ),
    servers: &[
        Server {
            name: "integration",
            protocol: "https",
            host: "my-integration.ru",
            description: "The server of an integration: the `baseUrl` of its manifest.",
        },
        Server {
            name: "prichal",
            protocol: "http",
            host: "127.0.0.1:8080",
            description: "This server. Behind a proxy that ends TLS the protocol is `https`.",
        },
    ],
    security: &[
        Security {
            name: "token",
            kind: SecurityKind::Bearer,
            description: "A token of the workspace that belongs to a user.",
        },
        Security {
            name: "ticket",
            kind: SecurityKind::Query("ticket"),
            description: "A ticket of `POST /api/v1/{ws}/communications/live/ticket`, or of `POST /api/v1/{ws}/stream/ticket`, good for a minute and for one use of that stream.",
        },
    ],
    channels: &[
        Channel {
            name: "webhook",
            address: "{relativeUrl}",
            description: "The `relativeUrl` of a webhook, behind the `baseUrl` of the integration. An absolute one is called as it is. If the settings of the webhook name a script, the calls are what it makes of the events: the method is `POST`, `PUT`, `PATCH` or `DELETE`, path and query are any on the same host, further headers are there, and the body is any JSON, a text, bytes, or absent; or no call is made. The headers of the message stay as they are described, and the signature is over the body that is sent. The answer is read as without a script.",
            server: "integration",
            parameters: &[("relativeUrl", "The `relativeUrl` of the webhook.")],
            messages: &[
                "objectEvent",
                "customEvent",
                "alertEvent",
                "scheduleTick",
                "echo",
            ],
            is_websocket: false,
        },
        Channel {
            name: "integrationSetup",
            address: "/setup",
            description: "The path `setup` below the `baseUrl` of the integration.",
            server: "integration",
            parameters: &[],
            messages: &["setupIntegration", "echo"],
            is_websocket: false,
        },
        Channel {
            name: "systemCallCall",
            address: "api/v1/{ws}/communications/call",
            description: "The system call CALL.",
            server: "integration",
            parameters: &[WS],
            messages: &["call", "echo"],
            is_websocket: false,
        },
        Channel {
            name: "systemCallHangUp",
            address: "api/v1/{ws}/communications/{id}/hangup",
            description: "The system call HANGUP.",
            server: "integration",
            parameters: &[WS, ("id", "The id of the call.")],
            messages: &["hangUp", "echo"],
            is_websocket: false,
        },
        Channel {
            name: "liveCalls",
            address: "/api/v1/{ws}/communications/live",
            description: "A stream of server-sent events. The headers of its messages are the fields of the events.",
            server: "prichal",
            parameters: &[("ws", "The name or the id of the workspace.")],
            messages: &["cardOpened", "cardState", "cardClosed"],
            is_websocket: false,
        },
        Channel {
            name: "workspaceStream",
            address: "/api/v1/{ws}/stream",
            description: "A stream of server-sent events. The headers of its messages are the fields of the events.",
            server: "prichal",
            parameters: &[("ws", "The name or the id of the workspace.")],
            messages: STREAMED,
            is_websocket: false,
        },
    ],
    operations: &[
        Operation {
            name: "sendEvent",
            description: "After each change that matches the webhook's filter. Any other answer than 200 with the echo defers the event: it is sent again after 30 s, 1 min, 5 min, 15 min, and three times an hour. The settings of the webhook may say otherwise, and add headers.",
            ..posted(
                "webhook",
                "Tell an integration of a change.",
                &["objectEvent"],
            )
        },
        Operation {
            name: "sendCustomEvent",
            description: "After each event of the workspace's own types that matches the webhook's filter. Answered and repeated like any other event.",
            ..posted(
                "webhook",
                "Tell an integration of an event of the workspace's own types.",
                &["customEvent"],
            )
        },
        Operation {
            name: "sendAlert",
            description: "When an alert begins and when it is over, to webhooks whose filter names events of alerts. An alert about a webhook is not sent to that webhook. Answered and repeated like any other event.",
            ..posted(
                "webhook",
                "Tell an integration of an alert.",
                &["alertEvent"],
            )
        },
        Operation {
            name: "sendScheduleTick",
            description: "Once per `period` of a webhook with `triggerType` `schedule`. A failed call is not repeated.",
            ..posted("webhook", "Call a webhook by schedule.", &["scheduleTick"])
        },
        Operation {
            name: "sendSetup",
            description: "An administrator sets the integration up. With the echo the members become its settings and secrets, and it is active; otherwise it has failed.",
            ..posted(
                "integrationSetup",
                "Relay the setup of an integration.",
                &["setupIntegration"],
            )
        },
        Operation {
            name: "sendCall",
            description: "A user asks for a call. Without the echo the call has failed. It is not repeated.",
            ..posted("systemCallCall", "Ask an exchange for a call.", &["call"])
        },
        Operation {
            name: "sendHangUp",
            description: "A user ends a call.",
            ..posted(
                "systemCallHangUp",
                "Ask an exchange to end a leg.",
                &["hangUp"],
            )
        },
        Operation {
            name: "streamCalls",
            action: Action::Send,
            channel: "liveCalls",
            summary: "Show a user the calls on their line.",
            description: "A stream begins with the active calls, or where `Last-Event-ID` says, and ends after ten minutes at the latest.",
            messages: &["cardOpened", "cardState", "cardClosed"],
            replies: &[],
            http: Some(("GET", LIVE_QUERY)),
            security: &["token", "ticket"],
        },
        Operation {
            name: "streamWorkspace",
            action: Action::Send,
            channel: "workspaceStream",
            summary: "Show what happens in a workspace.",
            description: "Events of the log resume without a gap where `Last-Event-ID` says. The other messages are not kept. A stream ends after ten minutes at the latest.",
            messages: STREAMED,
            replies: &[],
            http: Some(("GET", STREAM_QUERY)),
            security: &["token", "ticket"],
        },
    ],
    messages: &[
        Message::new("objectEvent", "An event", payload::<ObjectEvent>)
            .headers(HEADERS)
            .example(include_str!("examples/event.json")),
        Message::new(
            "customEvent",
            "An event of an own type",
            payload::<CustomEvent>,
        )
        .headers(HEADERS)
        .example(include_str!("examples/custom-event.json")),
        Message::new(
            "alertEvent",
            "The beginning or the end of an alert",
            payload::<AlertEvent>,
        )
        .headers(HEADERS)
        .example(ALERT),
        Message::new("scheduleTick", "A scheduled call", payload::<ScheduleTick>)
            .headers(HEADERS)
            .example("{}"),
        Message::new("setupIntegration", "The setup of an integration", |_| {
            let description = "The object that the administrator has sent, to the letter.";
            json!({ "type": "object", "description": description, "additionalProperties": true })
        })
        .headers(HEADERS)
        .example(include_str!("examples/setup.json")),
        Message::new("call", "The system call CALL", payload::<CallCommand<'_>>)
            .headers(HEADERS)
            .example(include_str!("examples/call.json")),
        Message::new(
            "hangUp",
            "The system call HANGUP",
            payload::<HangUpCommand<'_>>,
        )
        .headers(HEADERS)
        .example(include_str!("examples/hangup.json")),
        Message::new(
            "echo",
            "The acknowledgement",
            |_| json!({ "description": "Any body." }),
        )
        .headers(&[ECHO_FIELD])
        .example("{}")
        .status(200),
        Message::new("cardOpened", "A card that pops up", payload::<Card>)
            .headers(OPENED_FIELDS)
            .example(CARD),
        Message::new("cardState", "A change of a card", payload::<Card>)
            .headers(STATE_FIELDS)
            .example(CARD),
        Message::new(
            "cardClosed",
            "A card that closes",
            |all| json!({ "anyOf": [all.add::<Card>(), all.add::<DeletedCall>()] }),
        )
        .headers(CLOSED_FIELDS)
        .example(CARD),
        Message::new("loggedEvent", "An event of the log", payload::<LoggedEvent>)
            .headers(LOGGED_EVENT)
            .example(include_str!("examples/event.json")),
        Message::new(
            "loggedCall",
            "An event about a call",
            payload::<ObjectEvent>,
        )
        .headers(LOGGED_CALL)
        .example(include_str!("examples/event.json")),
        Message::new(
            "loggedDocument",
            "An event about a document",
            payload::<ObjectEvent>,
        )
        .headers(LOGGED_DOCUMENT)
        .example(include_str!("examples/event.json")),
        Message::new(
            "loggedAlert",
            "An event about an alert",
            payload::<AlertEvent>,
        )
        .headers(LOGGED_ALERT)
        .example(ALERT),
        Message::new(
            "toldDelivery",
            "A call of a webhook",
            payload::<AttemptModel<'_>>,
        )
        .headers(TOLD_DELIVERY)
        .example(include_str!("examples/told-delivery.json")),
        Message::new(
            "toldState",
            "Another state of a source of calls",
            payload::<StateChange>,
        )
        .headers(TOLD_STATE)
        .example(include_str!("examples/told-state.json")),
        Message::new(
            "toldRun",
            "A run of a script, or a message of a channel",
            payload::<RunChange<'_>>,
        )
        .headers(TOLD_RUN)
        .example(include_str!("examples/told-run.json")),
        Message::new(
            "missedMessages",
            "Messages that a slow listener has missed",
            payload::<MissedMessages>,
        )
        .headers(TOLD_MISSED)
        .example(r#"{"topic": "deliveries", "count": 12}"#),
    ],
};

/// A call of an integration, which acknowledges it.
const fn posted(
    channel: &'static str,
    summary: &'static str,
    messages: &'static [&'static str],
) -> Operation {
    Operation {
        name: "",
        action: Action::Send,
        channel,
        summary,
        description: "",
        messages,
        replies: &["echo"],
        http: Some(("POST", &[])),
        security: &[],
    }
}
