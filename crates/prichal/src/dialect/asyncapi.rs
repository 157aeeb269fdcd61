//! The AsyncAPI 3.0 description: the messages that the server sends, and those of its streams and websockets.
//!
//! A dialect lists its messages in a [`Part`]. Their schemas are those of OpenAPI (`openapi/schema.rs`): of tables, or
//! of types that are serialized. The standard's schemas are those of JSON Schema's draft 7, which describes a tuple by
//! a list of `items`.

use std::collections::BTreeMap;

use prichal_core::{
    event::{EVENT, custom::CUSTOM_EVENT},
    schema::Field,
};
use serde_json::{Map, Value, json};
use utoipa::{
    ToSchema,
    openapi::{OneOfBuilder, RefOr, Schema},
};

use super::openapi::schema::{self, described, model, of};

/// The messages of a dialect, and the ways that they take.
#[derive(Clone, Copy, Debug)]
pub struct Part {
    /// The tag of its messages, and what they are.
    pub tag: (&'static str, &'static str),
    pub servers: &'static [Server],
    pub security: &'static [Security],
    pub channels: &'static [Channel],
    pub operations: &'static [Operation],
    pub messages: &'static [Message],
}

/// An end of a connection: this server, or a receiver of its calls.
#[derive(Clone, Copy, Debug)]
pub struct Server {
    pub name: &'static str,
    pub protocol: &'static str,
    /// The host, with its port. It is a variable of the description.
    pub host: &'static str,
    pub description: &'static str,
}

/// A kind of credentials.
#[derive(Clone, Copy, Debug)]
pub struct Security {
    pub name: &'static str,
    pub kind: SecurityKind,
    pub description: &'static str,
}

#[derive(Clone, Copy, Debug)]
pub enum SecurityKind {
    /// A bearer token.
    Bearer,
    /// A parameter of the query with this name.
    Query(&'static str),
}

/// The way of some messages.
#[derive(Clone, Copy, Debug)]
pub struct Channel {
    pub name: &'static str,
    pub address: &'static str,
    pub description: &'static str,
    pub server: &'static str,
    /// The variables of the address, each with its meaning.
    pub parameters: &'static [(&'static str, &'static str)],
    pub messages: &'static [&'static str],
    /// True if the channel is a websocket.
    pub is_websocket: bool,
}

/// An exchange over a channel.
#[derive(Clone, Copy, Debug)]
pub struct Operation {
    pub name: &'static str,
    pub action: Action,
    pub channel: &'static str,
    pub summary: &'static str,
    pub description: &'static str,
    pub messages: &'static [&'static str],
    /// The answers, over the same channel.
    pub replies: &'static [&'static str],
    /// The method of a call by HTTP, and the parameters of its query.
    pub http: Option<(&'static str, &'static [Field])>,
    /// The credentials of the client, any of these.
    pub security: &'static [&'static str],
}

/// The direction of an operation's messages, as this server sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Send,
    Receive,
}

/// A message: a request by HTTP, an event of a stream, or a frame.
#[derive(Clone, Copy, Debug)]
pub struct Message {
    pub name: &'static str,
    pub title: &'static str,
    /// The headers of a request or of an answer, or the fields of a server-sent event.
    pub headers: &'static [Field],
    /// Makes the schema, and adds those that it refers to.
    pub payload: fn(&mut Schemas) -> Value,
    /// The place of the id that ties an answer to its question.
    pub correlation: Option<&'static str>,
    /// The payload of an example, as JSON.
    pub example: Option<&'static str>,
    /// The status of an answer by HTTP.
    pub status: Option<u16>,
}

impl Message {
    /// A message without headers.
    pub const fn new(
        name: &'static str,
        title: &'static str,
        payload: fn(&mut Schemas) -> Value,
    ) -> Self {
        Self {
            name,
            title,
            headers: &[],
            payload,
            correlation: None,
            example: None,
            status: None,
        }
    }

    /// Sets the headers.
    #[must_use]
    pub const fn headers(self, headers: &'static [Field]) -> Self {
        Self { headers, ..self }
    }

    /// Sets the payload of the example, as JSON.
    #[must_use]
    pub const fn example(self, payload: &'static str) -> Self {
        Self {
            example: Some(payload),
            ..self
        }
    }

    /// Sets the place of the id that ties an answer to its question.
    #[must_use]
    pub const fn correlated(self, location: &'static str) -> Self {
        Self {
            correlation: Some(location),
            ..self
        }
    }

    /// Makes it an answer by HTTP with this status.
    #[must_use]
    pub const fn status(self, status: u16) -> Self {
        Self {
            status: Some(status),
            ..self
        }
    }
}

/// The schemas that messages refer to, by their names.
#[derive(Default)]
pub struct Schemas(BTreeMap<String, RefOr<Schema>>);

impl Schemas {
    /// Adds a type and those that it consists of. Returns a reference to it.
    pub fn add<T: ToSchema>(&mut self) -> Value {
        let mut found = Vec::new();
        schema::add::<T>(&mut found);
        self.0.extend(found);
        json!(of::<T>())
    }
}

/// Makes a reference to the schema of a payload's type.
pub fn payload<T: ToSchema>(all: &mut Schemas) -> Value {
    all.add::<T>()
}

described! {
    /// A change of an entity, or a link that was added or removed.
    pub ObjectEvent = model(EVENT);
    /// An event of one of the workspace's own types.
    pub CustomEvent = model(CUSTOM_EVENT);
    /// An event of a workspace.
    pub LoggedEvent = OneOfBuilder::new().item(of::<ObjectEvent>()).item(of::<CustomEvent>()), with ObjectEvent, CustomEvent;
}

/// Makes the document of some parts.
pub fn document(title: &str, parts: &[&Part]) -> Value {
    let mut schemas = Schemas::default();
    let each = |make: fn(&Part) -> Vec<(&'static str, Value)>| -> Map<String, Value> {
        let members = parts.iter().flat_map(|part| make(part));
        members
            .map(|(name, value)| (name.to_owned(), value))
            .collect()
    };
    let tags = parts.iter().map(|part| part.tag);
    let tags = tags.map(|(name, about)| json!({ "name": name, "description": about }));
    let tags: Vec<Value> = tags.collect();
    let servers = each(|part| part.servers.iter().map(Server::describe).collect());
    let channels = each(|part| part.channels.iter().map(Channel::describe).collect());
    let operations = each(|part| part.operations.iter().map(Operation::describe).collect());
    let security = each(|part| part.security.iter().map(Security::describe).collect());
    let messages = parts.iter().flat_map(|part| part.messages);
    let messages: Map<String, Value> = messages
        .map(|message| (message.name.to_owned(), message.describe(&mut schemas)))
        .collect();
    json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": title,
            "version": env!("CARGO_PKG_VERSION"),
            "description": "The messages that Prichal sends, and those of its streams and websockets. \
                            `openapi.json` describes the requests that it answers.",
            "tags": tags,
            "contact": { "name": "The maintainers of Prichal" },
            "license": { "name": "Apache License 2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0" },
        },
        "defaultContentType": "application/json",
        "servers": servers,
        "channels": channels,
        "operations": operations,
        "components": { "messages": messages, "schemas": schemas.0, "securitySchemes": security },
    })
}

/// References to the members of a part of the document.
fn references(place: &str, names: &[&str]) -> Vec<Value> {
    let reference = |name: &&str| json!({ "$ref": format!("#/{place}/{name}") });
    names.iter().map(reference).collect()
}

impl Server {
    fn describe(&self) -> (&'static str, Value) {
        let host = json!({ "default": self.host, "description": "The host, with its port." });
        let server = json!({
            "host": "{host}",
            "protocol": self.protocol,
            "description": self.description,
            "variables": { "host": host },
        });
        (self.name, server)
    }
}

impl Security {
    fn describe(&self) -> (&'static str, Value) {
        let description = self.description;
        let scheme = match self.kind {
            SecurityKind::Bearer => {
                json!({ "type": "http", "scheme": "bearer", "description": description })
            }
            SecurityKind::Query(name) => {
                json!({ "type": "httpApiKey", "in": "query", "name": name, "description": description })
            }
        };
        (self.name, scheme)
    }
}

impl Channel {
    fn describe(&self) -> (&'static str, Value) {
        let message = |name: &&str| {
            let reference = json!({ "$ref": format!("#/components/messages/{name}") });
            ((*name).to_owned(), reference)
        };
        let parameters = self.parameters.iter();
        let parameters: Map<String, Value> = parameters
            .map(|(name, description)| ((*name).to_owned(), json!({ "description": description })))
            .collect();
        let mut channel = json!({
            "address": self.address,
            "description": self.description,
            "servers": references("servers", &[self.server]),
            "parameters": parameters,
            "messages": self.messages.iter().map(message).collect::<Map<_, _>>(),
        });
        if self.is_websocket {
            channel["bindings"] = json!({ "ws": { "method": "GET", "bindingVersion": "0.1.0" } });
        }
        (self.name, channel)
    }
}

impl Operation {
    fn describe(&self) -> (&'static str, Value) {
        let messages = |names| references(&format!("channels/{}/messages", self.channel), names);
        let channel = json!({ "$ref": format!("#/channels/{}", self.channel) });
        let action = match self.action {
            Action::Send => "send",
            Action::Receive => "receive",
        };
        let mut operation = json!({
            "action": action,
            "channel": channel,
            "summary": self.summary,
            "description": self.description,
            "messages": messages(self.messages),
        });
        if !self.replies.is_empty() {
            operation["reply"] = json!({ "channel": channel, "messages": messages(self.replies) });
        }
        if let Some((method, query)) = self.http {
            let mut http = json!({ "method": method });
            if !query.is_empty() {
                http["query"] = json!(model(query).build());
            }
            http["bindingVersion"] = json!("0.3.0");
            operation["bindings"] = json!({ "http": http });
        }
        if !self.security.is_empty() {
            let schemes = references("components/securitySchemes", self.security);
            operation["security"] = schemes.into();
        }
        (self.name, operation)
    }
}

impl Message {
    fn describe(&self, schemas: &mut Schemas) -> Value {
        let mut message = json!({
            "name": self.name,
            "title": self.title,
            "contentType": "application/json",
        });
        if !self.headers.is_empty() {
            message["headers"] = json!(model(self.headers).build());
        }
        message["payload"] = (self.payload)(schemas);
        if let Some(location) = self.correlation {
            message["correlationId"] = json!({ "location": location });
        }
        if let Some(text) = self.example {
            let payload: Value = serde_json::from_str(text).unwrap_or_default();
            message["examples"] = json!([{ "payload": payload }]);
        }
        if let Some(status) = self.status {
            let http = json!({ "statusCode": status, "bindingVersion": "0.3.0" });
            message["bindings"] = json!({ "http": http });
        }
        message
    }
}
