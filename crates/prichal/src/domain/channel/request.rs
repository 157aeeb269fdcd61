//! The request or message that a run processes, and the run that is made of it.

use std::borrow::Cow;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use prichal_core::{
    channel::Channel,
    id::{EntityId, RunId, WorkspaceId},
    script::Script,
    time::Timestamp,
};
use prichal_store::{
    run::{Kind, Lane, Run, State},
    sealed::Column,
};
use serde::{Deserialize, Serialize, de::IgnoredAny};
use serde_json::{Map, Value, json};

use crate::{
    domain::Domain,
    error::{Error, Result},
    http::form,
    platform::{
        access::ChannelHandle,
        reading::{FORM, has_lone_surrogate, media_type, parse_json, utf8},
        vault::{CellRef, Vault},
    },
};

/// The longest message, in bytes.
const MAX_MESSAGE_BYTES: usize = 1 << 20;
/// The method of a run that was started by hand.
pub const START: &str = "START";

/// A request to a channel, a message to be sent, or the parameters of a script that was started by hand. It is stored,
/// sealed, until the run has succeeded.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Request {
    /// The method of a hook, `SEND` for an outgoing message, or `WEBSOCKET` for one that came over a websocket.
    pub method: String,
    /// Path and query.
    pub url: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body as text, unchanged, or a message.
    pub text: String,
    /// True if the body is JSON and its Content-Type says so.
    pub is_json: bool,
    /// The body in base64, when it is no text.
    pub base64: Option<String>,
    pub ip: String,
    pub protocol: String,
    /// The parameters of a script that was started by hand.
    pub params: Vec<Value>,
    /// The number of runs that have led to this one, each by sending a message.
    pub depth: u32,
}

impl Request {
    /// Sets the body: as text in its character set, else as base64. It counts as JSON if its Content-Type says so and
    /// it is valid.
    pub fn set_body(&mut self, body: &[u8]) {
        let content_type = self.content_type();
        let is_form = media_type(content_type) == FORM;
        let text = match utf8(content_type, body) {
            // The percent-encoding is decoded before the character set.
            Cow::Owned(_) if is_form => Cow::Borrowed(body),
            text => text,
        };
        let text = String::from_utf8_lossy(&text).into_owned();
        // Only checked, not parsed into a value: the script parses it.
        self.is_json = is_json(content_type) && serde_json::from_str::<IgnoredAny>(&text).is_ok();
        if text.as_bytes() != body {
            self.base64 = Some(STANDARD.encode(body));
        }
        self.text = text;
    }

    fn content_type(&self) -> &str {
        let mut headers = self.headers.iter();
        let found = headers.find(|(name, _)| name == "content-type");
        found.map_or("", |(_, value)| value)
    }

    /// The body as a script sees it. `None` if the script parses the text itself.
    fn body(&self) -> Option<Value> {
        if self.is_json {
            // Only the script's parser accepts half of a surrogate pair.
            let has_lone = has_lone_surrogate(self.text.as_bytes());
            return has_lone
                .then(|| parse_json(self.text.as_bytes()).ok())
                .flatten();
        }
        let bytes = self
            .base64
            .as_ref()
            .and_then(|text| STANDARD.decode(text).ok());
        let bytes = bytes.as_deref().unwrap_or(self.text.as_bytes());
        let form = form::read(self.content_type(), bytes);
        Some(form.unwrap_or_else(|| self.text.as_str().into()))
    }

    /// The global object `request` of a script.
    pub fn show(&self, channel: Option<&Channel>) -> Value {
        let mut headers = Map::new();
        for (name, value) in &self.headers {
            match headers.get_mut(name) {
                Some(Value::String(known)) => {
                    known.push_str(", ");
                    known.push_str(value);
                }
                _ => {
                    headers.insert(name.clone(), value.as_str().into());
                }
            }
        }
        let query = self.url.split_once('?').map_or("", |(_, query)| query);
        let mut shown = json!({
            "entity": channel.map(Channel::entity),
            "method": self.method,
            "url": self.url,
            "query": form::query(query),
            "headers": headers,
            "text": self.text,
            "ip": self.ip,
            "protocol": self.protocol,
        });
        if let Some(body) = self.body() {
            shown["body"] = body;
        }
        if let Some(base64) = &self.base64 {
            shown["base64"] = base64.as_str().into();
        }
        shown
    }

    /// The value of `startparam` for a script that was started by hand. For others it has the parts of the request
    /// (`docs/contracts/era.md §7`).
    pub fn params(&self) -> Option<&[Value]> {
        (self.method == START).then_some(self.params.as_slice())
    }
}

/// True if the name of a header or a parameter tells that its value may be a secret.
pub fn may_be_secret(name: &str) -> bool {
    const PARTS: [&str; 6] = ["auth", "cookie", "key", "password", "secret", "token"];
    let name = name.to_ascii_lowercase();
    PARTS.iter().any(|part| name.contains(part))
}

/// True if the channel has a URL or a script that sends.
pub fn can_send(channel: &Channel) -> bool {
    ["url", "send_svcscriptcode", "send_svcscriptcode_ws"]
        .iter()
        .any(|name| !channel.text(name).is_empty())
}

/// The cell that a run's request is sealed for.
fn cell(workspace: WorkspaceId, id: RunId) -> CellRef {
    CellRef::new(Column::RunRequest.name(), &[&workspace, &id])
}

/// Seals the request of a run.
pub fn seal(vault: &Vault, workspace: WorkspaceId, id: RunId, text: &[u8]) -> Vec<u8> {
    vault.seal(&cell(workspace, id), text)
}

fn close(vault: &Vault, workspace: WorkspaceId, id: RunId, request: &Request) -> Result<Vec<u8>> {
    let text = serde_json::to_vec(request).map_err(Error::internal)?;
    Ok(seal(vault, workspace, id, &text))
}

/// Opens the request of a run. `None` if it cannot be read.
pub fn request_of(app: &Domain, run: &Run) -> Option<Request> {
    let address = cell(run.lane.workspace, run.id);
    let text = app.vault.open(&address, run.request.as_ref()?)?;
    serde_json::from_slice(&text).ok()
}

/// The run of a request to a channel.
pub fn hook(
    app: &Domain,
    handle: &ChannelHandle,
    request: &Request,
    now: Timestamp,
) -> Result<Run> {
    let id = RunId::generate(now);
    Ok(Run {
        id,
        lane: handle.lane(),
        channel: Some(handle.lane().id),
        kind: Kind::Hook,
        code: handle.channel.text("recv_svcscriptcode").to_owned(),
        request: Some(close(&app.vault, handle.workspace, id, request)?),
        state: State::queued(now),
    })
}

/// The run of a script that a user or an alert starts.
pub fn start(
    vault: &Vault,
    workspace: WorkspaceId,
    script: &Script,
    params: Vec<Value>,
    now: Timestamp,
) -> Result<Run> {
    let request = Request {
        method: START.to_owned(),
        params,
        ..Request::default()
    };
    let id = RunId::generate(now);
    Ok(Run {
        id,
        lane: Lane {
            workspace,
            id: EntityId(script.id),
        },
        channel: None,
        kind: Kind::Start,
        code: script.code().to_owned(),
        request: Some(close(vault, workspace, id, &request)?),
        state: State::queued(now),
    })
}

/// The run that sends a message, which is JSON. `depth` is the number of runs that have led to it.
pub fn message(
    app: &Domain,
    workspace: WorkspaceId,
    channel: &Channel,
    text: String,
    due_at: Timestamp,
    depth: u32,
) -> Result<Run> {
    if text.len() > MAX_MESSAGE_BYTES {
        return Err(Error::TooLarge {
            limit: MAX_MESSAGE_BYTES as u64,
        });
    }
    let request = Request {
        method: "SEND".to_owned(),
        text,
        is_json: true,
        depth,
        ..Request::default()
    };
    let id = RunId::generate(app.clock.now());
    Ok(Run {
        id,
        lane: Lane {
            workspace,
            id: EntityId(channel.id),
        },
        channel: Some(EntityId(channel.id)),
        kind: Kind::Send,
        code: channel.text("send_svcscriptcode").to_owned(),
        request: Some(close(&app.vault, workspace, id, &request)?),
        state: State::queued(due_at),
    })
}

fn is_json(content_type: &str) -> bool {
    let kind = media_type(content_type);
    kind == "application/json" || kind == "text/json" || kind.ends_with("+json")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(content_type: &str, body: &[u8]) -> Value {
        let mut request = Request {
            url: "/exec?a=1&b=%D1%91".to_owned(),
            headers: vec![
                ("content-type".to_owned(), content_type.to_owned()),
                ("x-a".to_owned(), "1".to_owned()),
                ("x-a".to_owned(), "2".to_owned()),
            ],
            ..Request::default()
        };
        request.set_body(body);
        request.show(None)
    }

    #[test]
    fn valid_json_is_left_to_the_script() {
        for (content_type, body, seen) in [
            ("application/json", r#"{"a":1}"#, Value::Null),
            ("application/vnd.x+json; charset=utf-8", "[1]", Value::Null),
            ("application/json", "{", json!("{")),
            ("text/plain", "{}", json!("{}")),
            ("", "", json!("")),
            (
                "application/x-www-form-urlencoded",
                "a[b]=1&a[c]=2",
                json!({"b": "1", "c": "2"}),
            ),
            ("application/json", r#"["\ud83d"]"#, json!(["\u{fffd}"])),
        ] {
            let shown = with(content_type, body.as_bytes());
            let body_seen = shown["body"].get("a").unwrap_or(&shown["body"]);
            assert_eq!(*body_seen, seen, "{content_type}: {body}");
            assert_eq!(shown["text"], body);
        }
        let binary = with("application/octet-stream", b"\xff\x00");
        assert_eq!(binary["base64"], "/wA=");
        let old = with("application/json; charset=windows-1251", b"\"\xb8\"");
        assert_eq!(
            (&old["text"], &old["base64"]),
            (&json!("\"ё\""), &json!("Irgi"))
        );
        let marked = with("application/json", "\u{feff}[1]".as_bytes());
        assert_eq!(
            (&marked["text"], &marked["body"]),
            (&json!("[1]"), &Value::Null)
        );
        assert_eq!(binary["query"], json!({ "a": "1", "b": "ё" }));
        assert_eq!(binary["headers"]["x-a"], "1, 2");
    }
}
