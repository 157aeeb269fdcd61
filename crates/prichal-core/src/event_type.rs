//! A workspace's own event types: names, versions with their schemas, and who may publish them
//! (`docs/contracts/prichal.md §5`).

use std::collections::BTreeMap;

use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    event::custom::{MAX_ENTITY, MAX_NAME, check_name},
    id,
    json_schema::{Budget, JsonSchema},
    schema::{self, Fault, Field, Object, Preset, Type, check_free, member},
};

/// The maximum number of event types of a workspace.
pub const MAX_TYPES: i64 = 1000;
/// The maximum number of bytes of a schema's text.
pub const MAX_SCHEMA: usize = 64 << 10;
/// The maximum number of bytes of an event's data.
pub const MAX_DATA: usize = 256 << 10;
/// The maximum number of events in a request.
pub const MAX_EVENTS: usize = 1000;
/// The steps that the checks of all events of a request may take. About a tenth of a second.
pub const CHECK_STEPS: u64 = 2_000_000;

/// The maximum memory of a compiled type, in bytes.
pub const MAX_COMPILED: usize = 4 << 20;
const MAX_VERSIONS: usize = 20;
const MAX_EXAMPLES: usize = 10;
const MAX_PUBLISHERS: usize = 100;
const MAX_VERSION: i64 = 1_000_000;
/// The word in `publishers` for every member of the workspace.
const MEMBERS: &str = "members";

/// The members of an event type, as clients send them and answers show them.
pub const EVENT_TYPE: &[Field] = &[
    Field::new("name", Type::Text)
        .required()
        .fixed()
        .chars(MAX_NAME)
        .doc("Letters, digits and underscores, with dots between.")
        .example("order.created"),
    Field::new("description", Type::Text)
        .chars(2000)
        .doc("The meaning of the events.")
        .example("A customer has placed an order."),
    Field::new("deprecated", Type::Bool)
        .or(Preset::False)
        .doc("True if publishers should move to another type. Events are still accepted."),
    Field::new("publishers", Type::Texts)
        .items(MAX_PUBLISHERS)
        .or(Preset::List)
        .doc("Who may publish, beside administrators: ids of integrations and of users, or `members` for every token of the workspace.")
        .example(r#"["members"]"#),
    Field::new("versions", Type::Objects(VERSION))
        .required()
        .items(MAX_VERSIONS)
        .doc("The versions. Events that name none are of the highest one."),
];
const VERSION: &[Field] = &[
    Field::new("version", Type::Int)
        .required()
        .within(1, MAX_VERSION)
        .doc("The number of the version.")
        .example("1"),
    Field::new("schema", Type::Free)
        .required()
        .doc("The JSON Schema of the data, draft 2020-12, at most 64 KiB. It refers to nothing outside of itself.")
        .example(r#"{"type": "object", "required": ["sum"], "properties": {"sum": {"type": "number", "minimum": 0}}}"#),
    Field::new("examples", Type::Values)
        .items(MAX_EXAMPLES)
        .or(Preset::List)
        .doc("Data that fits the schema.")
        .example(r#"[{"sum": 12.5}]"#),
];

/// The members of an event that is to be published.
pub const PUBLISHED_EVENT: &[Field] = &[
    Field::new("id", Type::Guid)
        .doc("The id of the event, unique in the workspace. A repetition with the same content makes no second event. The server makes one if it is absent."),
    Field::new("type", Type::Text)
        .required()
        .chars(MAX_NAME)
        .doc("The name of the event type.")
        .example("order.created"),
    Field::new("version", Type::Int)
        .within(1, MAX_VERSION)
        .doc("The version of the type; the highest if absent."),
    Field::new("timestamp", Type::Moment).doc("The time of the event; that of the request if absent."),
    Field::new("entity", Type::Text)
        .chars(MAX_ENTITY)
        .doc("The thing that the event is about. Its events are delivered in order.")
        .example("order:4711"),
    DATA,
];
const DATA: Field = Field::new("data", Type::Free)
    .required()
    .doc("The data, which fits the schema of the type. At most 256 KiB. Null members are kept.")
    .example(r#"{"sum": 12.5}"#);
/// The members beside `data`, whose nulls are kept.
const ENVELOPE: &[Field] = PUBLISHED_EVENT.split_at(PUBLISHED_EVENT.len() - 1).0;

/// The members of a published event in an answer.
pub const RECEIPT: &[Field] = &[
    Field::new("id", Type::Guid)
        .shown()
        .doc("The id of the event."),
    Field::new("type", Type::Text)
        .shown()
        .doc("The name of the event type.")
        .example("order.created"),
    Field::new("version", Type::Int)
        .shown()
        .at_least(1)
        .doc("The version of the type."),
];

/// An event type, as it is stored.
#[derive(Clone, Debug)]
pub struct Definition {
    pub name: String,
    /// All members but the name.
    members: Object,
}

/// A right to publish, beside that of administrators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Publisher {
    Members,
    /// A user or an integration.
    Id(Uuid),
}

/// An event type with its schemas compiled.
#[derive(Debug)]
pub struct CompiledType {
    publishers: Vec<Publisher>,
    versions: BTreeMap<i64, JsonSchema>,
}

/// The sender of events, as far as rights to publish go.
#[derive(Clone, Copy, Debug)]
pub struct Sender {
    pub is_admin: bool,
    /// True for a token of the workspace, as opposed to an integration.
    pub is_member: bool,
    /// The user or the integration.
    pub id: Option<Uuid>,
}

impl Definition {
    /// Reads an event type as a client sends it, and checks its schemas and examples. `name` is the one of the path.
    pub fn read(body: &Value, name: Option<&str>) -> Result<Self, Vec<Fault>> {
        let body = schema::object(body)?;
        let mut given = body.clone();
        if let Some(name) = name {
            given.insert("name".to_owned(), name.into());
        }
        let read = schema::read(EVENT_TYPE, &given, &mut Uuid::nil)?;
        let mut members = schema::complete(EVENT_TYPE, read);
        let name = members.shift_remove("name");
        let name = name.as_ref().and_then(Value::as_str).unwrap_or_default();
        check_name(name).map_err(|why| vec![Fault::invalid("name", why)])?;
        // Nulls inside of schemas and examples have a meaning, so the values are those that were sent.
        restore(&mut members, body);
        let definition = Self {
            name: name.to_owned(),
            members,
        };
        definition.compile()?.check_examples(&definition)?;
        Ok(definition)
    }

    /// Reads the text of [`Self::to_text`].
    pub fn from_text(name: &str, text: &str) -> Option<Self> {
        Some(Self {
            name: name.to_owned(),
            members: serde_json::from_str(text).ok()?,
        })
    }

    /// The stored text.
    pub fn to_text(&self) -> String {
        // A map with texts as keys is always JSON.
        serde_json::to_string(&self.members).unwrap_or_default()
    }

    /// The members that answers show.
    pub fn model(&self) -> Object {
        let mut model = Object::from_iter([("name".to_owned(), self.name.as_str().into())]);
        model.extend(self.members.clone());
        model
    }

    pub fn compile(&self) -> Result<CompiledType, Vec<Fault>> {
        let mut faults = Vec::new();
        let mut publishers = Vec::new();
        for (n, publisher) in self.list("publishers").iter().enumerate() {
            match publisher.as_str() {
                Some(MEMBERS) => publishers.push(Publisher::Members),
                text => match text.and_then(id::parse_any) {
                    Some(id) => publishers.push(Publisher::Id(id)),
                    None => faults.push(Fault::invalid(
                        format!("publishers[{n}]"),
                        "it must be `members`, or the id of an integration or of a user",
                    )),
                },
            }
        }
        let mut versions = BTreeMap::new();
        if self.list("versions").is_empty() {
            faults.push(Fault::required("versions"));
        }
        for (n, version) in self.list("versions").iter().enumerate() {
            let path = format!("versions[{n}]");
            let schema = &version["schema"];
            let number = version["version"].as_i64().unwrap_or_default();
            if schema.to_string().len() > MAX_SCHEMA {
                let why = format!("it is longer than {MAX_SCHEMA} bytes");
                faults.push(Fault::invalid(format!("{path}.schema"), why));
                continue;
            }
            match JsonSchema::compile(&format!("{path}.schema"), schema) {
                Err(fault) => faults.push(fault),
                Ok(schema) => {
                    if versions.insert(number, schema).is_some() {
                        let why = format!("version {number} is there twice");
                        faults.push(Fault::invalid(format!("{path}.version"), why));
                    }
                }
            }
        }
        let compiled = CompiledType {
            publishers,
            versions,
        };
        if compiled.bytes() > MAX_COMPILED {
            let why = "its schemas have too many subschemas and patterns together";
            faults.push(Fault::invalid("versions", why));
        }
        if faults.is_empty() {
            Ok(compiled)
        } else {
            Err(faults)
        }
    }

    fn list(&self, name: &str) -> &[Value] {
        let list = self.members.get(name).and_then(Value::as_array);
        list.map_or(&[], Vec::as_slice)
    }
}

/// Puts schemas and examples back as they were sent.
fn restore(members: &mut Object, body: &Object) {
    let given = member(body, "versions").and_then(Value::as_array);
    let versions = members.get_mut("versions").and_then(Value::as_array_mut);
    for (version, given) in versions
        .into_iter()
        .flatten()
        .zip(given.into_iter().flatten())
    {
        let (Some(version), Some(given)) = (version.as_object_mut(), given.as_object()) else {
            continue;
        };
        for name in ["schema", "examples"] {
            if let Some(value) = member(given, name).filter(|value| !value.is_null()) {
                version.insert(name.to_owned(), value.clone());
            }
        }
    }
}

impl CompiledType {
    /// The estimated memory in bytes.
    pub fn bytes(&self) -> usize {
        let schemas = self.versions.values().map(JsonSchema::bytes);
        schemas.sum::<usize>() + self.publishers.len() * size_of::<Publisher>()
    }

    pub fn may_publish(&self, sender: Sender) -> bool {
        let is_granted = |publisher: &Publisher| match publisher {
            Publisher::Members => sender.is_member,
            Publisher::Id(id) => sender.id == Some(*id),
        };
        sender.is_admin || self.publishers.iter().any(is_granted)
    }

    /// The schema of a version, or of the highest one, with its number.
    fn version(&self, number: Option<i64>) -> Option<(i64, &JsonSchema)> {
        let found = match number {
            Some(number) => self.versions.get_key_value(&number),
            None => self.versions.last_key_value(),
        };
        found.map(|(number, schema)| (*number, schema))
    }

    fn check_examples(&self, definition: &Definition) -> Result<(), Vec<Fault>> {
        let mut budget = Budget::new(CHECK_STEPS);
        let mut faults = Vec::new();
        for (n, version) in definition.list("versions").iter().enumerate() {
            let number = version["version"].as_i64();
            let examples = version["examples"].as_array().into_iter().flatten();
            for (example, value) in examples.enumerate() {
                let path = format!("versions[{n}].examples[{example}]");
                if let Some((_, schema)) = self.version(number)
                    && let Err(found) = schema.check(&path, value, &mut budget)
                {
                    faults.extend(found);
                }
            }
        }
        if faults.is_empty() {
            Ok(())
        } else {
            Err(faults)
        }
    }
}

/// An event that is to be published, read but not checked against its type.
#[derive(Clone, Debug)]
pub struct Draft {
    /// The path in the body: empty, or `items[3]`.
    path: String,
    pub id: Option<Uuid>,
    pub name: String,
    pub version: Option<i64>,
    pub timestamp: Option<String>,
    pub entity: Option<String>,
    pub data: Value,
}

impl Draft {
    /// Reads the events of a body: one event, or `{"items": […]}`.
    pub fn read_all(body: &Value) -> Result<Vec<Self>, Vec<Fault>> {
        let object = schema::object(body)?;
        let Some(items) = member(object, "items") else {
            return Ok(vec![Self::read(String::new(), body)?]);
        };
        let Some(items) = items.as_array() else {
            return Err(vec![Fault::wrong_type("items", items, Type::Values)]);
        };
        if items.is_empty() || items.len() > MAX_EVENTS {
            let why = format!("it must have 1 to {MAX_EVENTS} elements");
            return Err(vec![Fault::invalid("items", why)]);
        }
        let (mut drafts, mut faults) = (Vec::with_capacity(items.len()), Vec::new());
        for (n, item) in items.iter().enumerate() {
            match Self::read(format!("items[{n}]"), item) {
                Ok(draft) => drafts.push(draft),
                Err(found) => faults.extend(found),
            }
            if faults.len() >= MAX_FAULTS {
                break;
            }
        }
        if faults.is_empty() {
            Ok(drafts)
        } else {
            Err(faults)
        }
    }

    fn read(path: String, event: &Value) -> Result<Self, Vec<Fault>> {
        let placed = |faults: Vec<Fault>| faults.into_iter().map(|fault| fault.below(&path));
        let read = schema::object(event).and_then(|object| {
            let read = schema::read(ENVELOPE, object, &mut Uuid::nil)?;
            Ok((read, object))
        });
        let (read, object) = read.map_err(|faults| placed(faults).collect::<Vec<_>>())?;
        let data = match member(object, "data") {
            None | Some(Value::Null) => Err(Fault::required("data")),
            Some(data) if !data.is_object() => Err(Fault::wrong_type("data", data, Type::Free)),
            Some(data) => check_free(data)
                .map(|()| data.clone())
                .map_err(|why| Fault::invalid("data", why)),
        };
        let data = data.map_err(|fault| placed(vec![fault]).collect::<Vec<_>>())?;
        let text = |name: &str| read.get(name).and_then(Value::as_str);
        let entity = text("entity").filter(|entity| !entity.is_empty());
        Ok(Self {
            id: text("id").and_then(id::parse_any),
            name: text("type").unwrap_or_default().to_owned(),
            version: read.get("version").and_then(Value::as_i64),
            timestamp: text("timestamp").map(str::to_owned),
            entity: entity.map(str::to_owned),
            data,
            path,
        })
    }

    /// Checks the event against its type. Returns the version and the text of the data.
    pub fn check(
        &self,
        known: Option<&CompiledType>,
        budget: &mut Budget,
    ) -> Result<(i64, String), Vec<Fault>> {
        let name = &self.name;
        let Some(known) = known else {
            let fault = Fault::invalid(
                self.member("type"),
                format!("there is no event type {name}"),
            );
            return Err(vec![fault]);
        };
        let Some((version, schema)) = known.version(self.version) else {
            let all: Vec<String> = known.versions.keys().map(i64::to_string).collect();
            let why = format!("the versions of {name} are {}", all.join(", "));
            return Err(vec![Fault::invalid(self.member("version"), why)]);
        };
        let (path, text) = (self.member("data"), self.data.to_string());
        if text.len() > MAX_DATA {
            let why = format!("it is longer than {MAX_DATA} bytes");
            return Err(vec![Fault::invalid(path, why)]);
        }
        schema.check(&path, &self.data, budget)?;
        Ok((version, text))
    }

    /// The refusal of an id that is taken by another event.
    pub fn id_path(&self) -> String {
        self.member("id")
    }

    /// The content of the event, for comparison with a repetition: equal for equal events.
    pub fn content(&self) -> Value {
        json!([
            self.name,
            self.version,
            self.timestamp,
            self.entity,
            self.data
        ])
    }

    fn member(&self, name: &str) -> String {
        if self.path.is_empty() {
            name.to_owned()
        } else {
            format!("{}.{name}", self.path)
        }
    }
}

/// The maximum number of faults that are told about a request.
pub const MAX_FAULTS: usize = 50;

#[cfg(test)]
mod tests;
