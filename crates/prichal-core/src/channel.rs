//! Channels: points at which outside systems connect (`docs/contracts/era.md §2, §4, §13`).
//!
//! A channel is stored as its members: the entity without its id, its tokens and its times.

use std::{net::IpAddr, time::Duration};

use serde_json::{Map, Value};
use uuid::Uuid;

use crate::{
    channel_type::ChannelType,
    id, json,
    network::{self, Network},
    resource::{self, more_members, required_text, text, url},
    schema::{self, Fault, Field, Form, Object, Preset, Problem, Type, member},
    time::Timestamp,
};

/// The longest run of a receiving script without a setting, in seconds.
const DEFAULT_TIMEOUT: u64 = 10;
/// The longest run of a receiving script, in seconds.
const MAX_TIMEOUT: i64 = 60;

/// The members that clients send and read, but for the tokens.
pub const FIELDS: &[Field] = &[
    required_text("code", "The name of the channel, unique in the workspace.").example("site_chat"),
    required_text("type", "The name of the type, which need not exist.").example("public"),
    url("The address of the outside system, to which messages are posted if no script sends them.")
        .example("https://trapper.example/in"),
    text(
        "recv_svcscriptcode",
        "The code of the script that is run for an incoming HTTP request.",
    )
    .example("ws_hook"),
    text(
        "recv_svcscriptcode_ws",
        "The code of the script that takes messages of a websocket.",
    ),
    text(
        "send_svcscriptcode",
        "The code of the script that sends a message to the outside system.",
    ),
    text(
        "send_svcscriptcode_ws",
        "The code of the script that sends a message over a websocket.",
    ),
    Field::new("opts", Type::Object(OPTS))
        .or(Preset::Object)
        .doc("Options."),
    more_members(),
];

/// Four options that are always present, and options that are present once set.
const OPTS: &[Field] = &[
    free_text("title", "A name for people.").example("Chat of the site"),
    free_text("comment", "A note for people. Lists do not show it."),
    Field::new("allow_files_api", Type::Bool)
        .or(Preset::False)
        .doc("Stored for clients; without effect."),
    Field::new("issync", Type::Bool)
        .or(Preset::False)
        .doc("True if the sender of a hook waits for the script's answer."),
    timeout("recv_timeout"),
    Field::new("roles", Type::Texts)
        .doc("The names of the roles that open paths and capabilities to its websockets."),
    Field::new("userid", Type::Guid).doc("The user of the workspace for whom the channel acts."),
    Field::new("ip_mask", Type::Texts)
        .form(&network::MASK)
        .doc("The addresses and networks from which requests are taken; all if empty.")
        .example(r#"["10.0.0.0/8"]"#),
    Field::new("filter_capabilities", Type::Texts)
        .doc("The capabilities of its websockets, among those that its roles open."),
];

/// The longest run of a receiving script.
pub(crate) const fn timeout(name: &'static str) -> Field {
    Field::new(name, Type::Int)
        .within(0, MAX_TIMEOUT)
        .worded(|path, _| format!("The {path} must be 0 to {MAX_TIMEOUT} seconds."))
        .doc("The longest run of a receiving script in seconds. 0 means 10.")
        .example("10")
}

/// Members that set the destination of messages, and the scripts that see messages and tokens.
const DESTINATIONS: [&str; 5] = [
    "url",
    "recv_svcscriptcode",
    "recv_svcscriptcode_ws",
    "send_svcscriptcode",
    "send_svcscriptcode_ws",
];

/// Members of `opts` that grant rights or limit them.
const RIGHTS: [&str; 4] = ["roles", "userid", "ip_mask", "filter_capabilities"];

/// The tokens of the outside system.
pub const REMOTE: &[Field] = &[
    token(
        "token_remote",
        "A token of the outside system, for scripts.",
    ),
    token("token_remote2", "Another token of the outside system."),
];

/// The longest token, in characters.
const MAX_TOKEN: usize = 4096;

/// The form of tokens, which scripts write into headers.
pub static TOKEN: Form = Form::new(
    "a text without control characters",
    r"^[^\u0000-\u001f\u007f-\u009f]*$",
    |text| !text.chars().any(char::is_control),
)
.secret();

const fn token(name: &'static str, doc: &'static str) -> Field {
    free_text(name, doc).chars(MAX_TOKEN).form(&TOKEN)
}

/// Members that the server makes. A client may send them, since it may send an entity that it has read.
pub const MADE: &[Field] = &[Field::new("token_local", Type::Text)
    .doc("The token of outside systems. The server makes it, and `rotate_token` replaces it.")];

/// A text of any length, by default empty.
pub(crate) const fn free_text(name: &'static str, doc: &'static str) -> Field {
    Field::new(name, Type::Text).or(Preset::Text("")).doc(doc)
}

/// The tokens of a channel: our own, and those of the outside system.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Tokens {
    pub local: String,
    pub remote: String,
    pub remote2: String,
    /// The local token before a rotation, which may still be valid. No answer shows it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub previous: String,
}

/// The text that replaces a secret for readers who may not see it.
pub const MASK: &str = "***";
/// The minimum length in bytes of a token that is also masked inside texts. A shorter one may be in a text by chance.
const MIN_MASKED_INSIDE: usize = 8;

impl Tokens {
    /// Returns the tokens after a rotation to a new local token.
    #[must_use]
    pub fn rotated(&self, local: String) -> Self {
        Self {
            previous: self.local.clone(),
            local,
            ..self.clone()
        }
    }

    /// Masks these tokens in all texts of a value.
    pub fn mask(&self, value: Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.mask_json(text)),
            Value::Array(items) => items.into_iter().map(|item| self.mask(item)).collect(),
            Value::Object(members) => {
                let members = members.into_iter();
                let masked = members.map(|(name, value)| (self.mask_text(name), self.mask(value)));
                Value::Object(masked.collect())
            }
            other => other,
        }
    }

    /// Masks these tokens in a text that may be JSON. Texts inside that JSON may be JSON as well. A text without tokens
    /// is not changed.
    pub fn mask_json(&self, text: String) -> String {
        if let Ok(value) = json::parse::<Value>(text.as_bytes()) {
            let masked = self.mask(value.clone());
            if masked != value {
                return self.mask_text(masked.to_string());
            }
        }
        self.mask_text(text)
    }

    fn all(&self) -> [&String; 4] {
        [&self.local, &self.previous, &self.remote, &self.remote2]
    }

    /// Masks these tokens in a plain text.
    pub fn mask_text(&self, mut text: String) -> String {
        for token in self.all() {
            if token.len() >= MIN_MASKED_INSIDE {
                // The token is masked both as it is and with JSON's escapes.
                for written in [token.clone(), json_escaped(token)] {
                    if text.contains(&written) {
                        text = text.replace(&written, MASK);
                    }
                }
            } else if !token.is_empty() && text == *token {
                MASK.clone_into(&mut text);
            }
        }
        text
    }
}

/// A text with JSON's escapes, without the quotes.
fn json_escaped(text: &str) -> String {
    let quoted = Value::from(text).to_string();
    quoted[1..quoted.len() - 1].to_owned()
}

#[derive(Clone, Debug, PartialEq)]
pub struct Channel {
    pub id: Uuid,
    pub tokens: Tokens,
    pub members: Object,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

impl Channel {
    /// Reads the entity of a POST. Members that the server creates are ignored, so that a client can send an entity
    /// that it has read.
    pub fn read(
        body: &Object,
        id: Uuid,
        token: String,
        now: Timestamp,
    ) -> Result<Self, Vec<Fault>> {
        let id = resource::read_id(body, id)?;
        let (members, remote, remote2) = read_all(body)?;
        Ok(Self {
            id,
            tokens: Tokens {
                local: token,
                remote,
                remote2,
                ..Tokens::default()
            },
            members,
            created_at: now,
            updated_at: now,
        })
    }

    /// Returns the channel after a PATCH. `opts` and `ext` are merged key by key, other members are replaced. The
    /// caller sets the time of the change.
    pub fn patched(&self, body: &Object) -> Result<Self, Vec<Fault>> {
        resource::refuse_changes(
            body,
            &[
                ("id", &self.id.to_string()),
                ("token_local", &self.tokens.local),
            ],
        )?;
        let mut whole = self.members.clone();
        whole.insert("token_remote".into(), self.tokens.remote.clone().into());
        whole.insert("token_remote2".into(), self.tokens.remote2.clone().into());
        resource::merge(&mut whole, body);
        let (members, remote, remote2) = read_all(&whole)?;
        Ok(Self {
            tokens: Tokens {
                remote,
                remote2,
                ..self.tokens.clone()
            },
            members,
            ..self.clone()
        })
    }

    /// Sets the values that the type fixes. A different value in `given`, the client's body, is an error.
    pub fn bind(&mut self, kind: &ChannelType, given: &Object) -> Result<(), Vec<Fault>> {
        for (name, value) in kind.fixed() {
            let (object, key) = match name.strip_prefix("opts.") {
                Some(name) => (given.get("opts").and_then(Value::as_object), name),
                None => (Some(given), name),
            };
            let sent = object.and_then(|object| member(object, key));
            let is_other = |sent: &Value| !sent.is_null() && sent != "" && *sent != value;
            if sent.is_some_and(is_other) {
                let why = format!("The {name} is fixed by the type {}.", kind.name());
                return Err(vec![Fault::rule(name, why)]);
            }
            match name.strip_prefix("opts.") {
                Some(name) => self.members["opts"][name] = value,
                None => {
                    self.members.insert(name.to_owned(), value);
                }
            }
        }
        Ok(())
    }

    /// The user whose rights the channel has.
    pub fn user(&self) -> Option<Uuid> {
        self.opt("userid")?.as_str().and_then(id::parse)
    }

    /// A text member; empty if unset.
    pub fn text(&self, name: &str) -> &str {
        self.members
            .get(name)
            .and_then(Value::as_str)
            .unwrap_or_default()
    }

    pub fn code(&self) -> &str {
        self.text("code")
    }

    /// True if a hook waits for its script.
    pub fn is_sync(&self) -> bool {
        self.opt("issync") == Some(&Value::Bool(true))
    }

    /// The longest run of a receiving script (`docs/contracts/era.md §2`).
    pub fn timeout(&self) -> Duration {
        let given = self.opt("recv_timeout").and_then(Value::as_u64);
        Duration::from_secs(given.filter(|given| *given > 0).unwrap_or(DEFAULT_TIMEOUT))
    }

    /// True if the channel takes requests from this address.
    pub fn admits(&self, address: IpAddr) -> bool {
        let mut networks = self.texts("ip_mask").peekable();
        networks.peek().is_none()
            || networks
                .filter_map(Network::parse)
                .any(|network| network.contains(address))
    }

    /// True if the channel's own filter allows its websockets this capability. An empty filter allows none.
    pub fn has_capability(&self, name: &str) -> bool {
        let filter = self.opt("filter_capabilities").and_then(Value::as_array);
        filter.is_none()
            || self
                .texts("filter_capabilities")
                .any(|allowed| allowed == name)
    }

    /// The options that grant or limit rights of the channel. Only administrators may change them.
    pub fn rights(&self) -> Vec<&Value> {
        let given = RIGHTS.iter().filter_map(|name| self.opt(name));
        given.filter(|value| !value.is_null()).collect()
    }

    /// True if both states of the channel have the same tokens, URLs and scripts.
    pub fn has_same_destinations(&self, other: &Self) -> bool {
        let is_same = |name: &&str| self.text(name) == other.text(name);
        self.tokens == other.tokens && DESTINATIONS.iter().all(is_same)
    }

    /// The names of its roles.
    pub fn roles(&self) -> impl Iterator<Item = &str> {
        self.texts("roles")
    }

    fn texts(&self, name: &str) -> impl Iterator<Item = &str> {
        let texts = self.opt(name).and_then(Value::as_array);
        texts.into_iter().flatten().filter_map(Value::as_str)
    }

    fn opt(&self, name: &str) -> Option<&Value> {
        self.members.get("opts")?.get(name)
    }

    /// The entity, its members in the documented order.
    pub fn entity(&self) -> Object {
        self.with_tokens(&self.tokens)
    }

    /// The entity for readers who may not know its tokens.
    pub fn masked(&self) -> Object {
        let masked = |token: &str| {
            if token.is_empty() {
                String::new()
            } else {
                MASK.to_owned()
            }
        };
        self.with_tokens(&Tokens {
            local: masked(&self.tokens.local),
            remote: masked(&self.tokens.remote),
            remote2: masked(&self.tokens.remote2),
            ..Tokens::default()
        })
    }

    /// The snapshot for the feed, with the id first. Tokens are masked, and so is the query of the URL, which may
    /// contain one.
    pub fn snapshot(&self) -> String {
        let mut entity = self.masked();
        if let Some((address, _)) = self.text("url").split_once('?') {
            entity.insert("url".into(), format!("{address}?{MASK}").into());
        }
        // A snapshot has no times of its own (`docs/contracts/kontur.md §5`).
        resource::drop_times(&mut entity);
        Value::Object(entity).to_string()
    }

    fn with_tokens(&self, tokens: &Tokens) -> Object {
        let mut out = Map::new();
        out.insert("id".into(), self.id.to_string().into());
        let mut copy = |name: &str| {
            out.insert(
                name.into(),
                self.members.get(name).cloned().unwrap_or_default(),
            );
        };
        copy("code");
        copy("type");
        for (name, token) in [
            ("token_local", &tokens.local),
            ("token_remote", &tokens.remote),
            ("token_remote2", &tokens.remote2),
        ] {
            out.insert(name.into(), token.as_str().into());
        }
        for field in &FIELDS[2..8] {
            let value = self.members.get(field.name).cloned().unwrap_or_default();
            out.insert(field.name.into(), value);
        }
        let ext = resource::ext(&self.members, self.created_at, self.updated_at);
        out.insert("ext".into(), ext);
        out
    }
}

/// Reads the members and the two remote tokens.
fn read_all(body: &Object) -> Result<(Object, String, String), Vec<Fault>> {
    resource::refuse_unknown(body, &["id"], &[FIELDS, REMOTE, MADE], OPTS)?;
    let mut none = Uuid::nil;
    schema::read_strictly(MADE, body, &mut none).map_err(hide_values)?;
    let members = schema::read_strictly(FIELDS, body, &mut none)?;
    let mut members = schema::complete(FIELDS, members);
    let remote = schema::read_strictly(REMOTE, body, &mut none).map_err(hide_values)?;
    let remote = schema::complete(REMOTE, remote);
    resource::drop_times(&mut members);
    let token = |name: &str| remote[name].as_str().unwrap_or_default().to_owned();
    Ok((members, token("token_remote"), token("token_remote2")))
}

/// Replaces the faults of tokens that repeat the sent values.
fn hide_values(faults: Vec<Fault>) -> Vec<Fault> {
    let hidden = faults.into_iter().map(|fault| match fault.problem {
        Problem::Mismatch(_) => TOKEN.fault(&fault.path, &Value::Null),
        _ => fault,
    });
    hidden.collect()
}

#[cfg(test)]
mod tests;
