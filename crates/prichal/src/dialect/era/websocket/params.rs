//! The parameters of the client's frames: the tables that describe them, whose names and bounds their readers use.

use prichal_core::schema::{Field, Form, Type, Words};
use utoipa::openapi::{ObjectBuilder, schema::AdditionalProperties};

use crate::dialect::openapi::schema::{any, body, described};

/// The maximum number of parameters of a script that a client starts.
pub(super) const MAX_PARAMS: usize = 20;
/// The maximum time of a script that a client starts, in milliseconds.
pub(super) const MAX_SCRIPT_TIMEOUT_MS: i64 = 60_000;
/// The longest life of a subscription, in seconds. The vendor advises an hour.
pub(super) const MAX_EXPIRES: i64 = 24 * 3600;
/// The events about entities.
pub(super) const CHANGED: &str = "modelevents.data_changed";
/// The class of events of the workspace's own types. Their names stand behind it, with a dot between.
pub(super) const CUSTOM: &str = "customevents";
/// The maximum number of kinds of events of a subscription.
pub(super) const MAX_EVENTS: usize = 50;
/// The maximum number of ids that a subscription may name.
pub(super) const MAX_OBJECTS: usize = 1000;
/// The form of ids of entities, which become parts of paths.
pub(super) static ID: Form = Form::new(
    "the id of an entity: 1 to 64 Latin letters, digits, underscores and hyphens",
    "^[A-Za-z0-9_-]{1,64}$",
    |id| {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        (1..=64).contains(&id.len()) && id.bytes().all(is_plain)
    },
);

/// The capabilities of the protocol.
pub(super) static WORDS: Words = Words {
    name: "capability",
    words: &["rest", "subscr", "svcscript", "msg", "test"],
};
/// The operations of `rest`.
pub(super) static OPERATIONS: Words = Words {
    name: "operation",
    words: &[
        "read", "create", "replace", "update", "delete", "clear", "lookup",
    ],
};

const QID: Field = Field::new("qid", Type::Any)
    .doc("The client's id of the request, any JSON. The answer repeats it to the letter.");

/// The members of `setup`.
const SETUP: &[Field] = &[QID, CAPABILITIES];
pub(super) const CAPABILITIES: Field = Field::new("capabilities", Type::Objects(CAPABILITY))
    .required()
    .doc("The capabilities to open: `rest`, `subscr`, `svcscript`, `msg`, `test`. Each is answered by itself.");
const CAPABILITY: &[Field] = &[CAPABILITY_KEY];
pub(super) const CAPABILITY_KEY: Field = Field::new("key", Type::Text)
    .required()
    .doc("The name of the capability.");

/// The members of `rest` beside [`SELECTION`].
const REST: &[Field] = &[QID, OPERATION, CLASSPATH.required(), ENTITY_ID, CONTENT];
pub(super) const OPERATION: Field = Field::new("operation", Type::Enum(&OPERATIONS))
    .required()
    .doc("The method of the request.");
pub(super) const CLASSPATH: Field = Field::new("classpath", Type::Text)
    .doc("The path of a collection, with or without `/rest/v1/`.")
    .example("service/svcscripts");
pub(super) const ENTITY_ID: Field = Field::new("id", Type::Text)
    .form(&ID)
    .doc("The id of an entity of the collection.");
pub(super) const CONTENT: Field = Field::new("content", Type::Any).doc("The body of the request.");
/// The parameters of lists and reads, as they are in a query.
pub(super) const SELECTION: &[Field] = &[
    Field::new("filter", Type::Any).doc("The members that entities must have."),
    Field::new("mask", Type::Any).doc("The names of the members to show."),
    Field::new("offset", Type::Any).doc("The number of entities to skip."),
    Field::new("limit", Type::Any).doc("The maximum number of entities."),
    Field::new("order", Type::Any).doc("The order of the entities."),
    Field::new("flat", Type::Any).doc("True if members of members have names with dots."),
];

/// The members of `subscribe`.
const SUBSCRIBE: &[Field] = &[QID, SUBSCRIPTION_ID, EXPIRES, EVENTS, CLASSPATH, OBJECTS];
pub(super) const SUBSCRIPTION_ID: Field = Field::new("id", Type::Any)
    .required()
    .doc("The client's id of the subscription. The same id renews it.");
pub(super) const EXPIRES: Field = Field::new("expires", Type::Int)
    .within(0, MAX_EXPIRES)
    .doc("The life of the subscription in seconds; an hour if absent. 0 ends it.");
pub(super) const EVENTS: Field =
    Field::new("events", Type::Texts)
        .items(MAX_EVENTS)
        .doc("The kinds of events: `modelevents.data_changed`, which is all if absent, and `customevents.` with an event type of the workspace's own, or with the beginning of one, such as `order.*`, behind.")
        .example(r#"["modelevents.data_changed", "customevents.order.*"]"#);
pub(super) const OBJECTS: Field = Field::new("objects", Type::Guids)
    .items(MAX_OBJECTS)
    .doc("The entities whose events are wanted; all if absent or empty.");

/// The members of `start_svcscript` beside `startparam1` to `startparam20`.
const START: &[Field] = &[QID, CODE, TIMEOUT];
const CODE: Field = Field::new("code", Type::Text)
    .required()
    .doc("The code of the script.");
pub(super) const TIMEOUT: Field = Field::new("timeout", Type::Int)
    .within(1, MAX_SCRIPT_TIMEOUT_MS)
    .doc("The maximum time of the run in milliseconds; 10 000 if absent.");

described! {
    /// The parameters of a request that needs none.
    pub(super) PlainParams = open(&[QID]);
    /// The parameters of `setup`.
    pub(super) SetupParams = open(SETUP);
    /// The parameters of `rest`.
    pub(super) RestParams = open(&[REST, SELECTION].concat());
    /// The parameters of `subscribe`.
    pub(super) SubscribeParams = open(SUBSCRIBE);
    /// The parameters of `start_svcscript`.
    pub(super) StartParams = start();
}

/// An object whose further members are ignored.
fn open(fields: &[Field]) -> ObjectBuilder {
    body(fields).additional_properties(Some(AdditionalProperties::FreeForm(true)))
}

fn start() -> ObjectBuilder {
    let parameter = |n| any().description(Some(format!("The script's `startparam({n})`.")));
    (1..=MAX_PARAMS).fold(open(START), |object, n| {
        object.property(format!("startparam{n}"), parameter(n))
    })
}
