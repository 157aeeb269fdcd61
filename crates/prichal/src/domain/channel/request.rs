//! What a run is about.

use std::borrow::Cow;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use prichal_core::channel::Channel;
use serde::{Deserialize, Serialize, de::IgnoredAny};
use serde_json::{Map, Value, json};

use crate::{
    http::form,
    platform::reading::{FORM, has_half_pair, media_type, parse_json, utf8},
};

/// The method of a run that somebody has started by hand.
pub const START: &str = "START";

/// A request to a channel, a message to be sent, or what a script was started with. It is kept, sealed,
/// until the run has worked.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Request {
    /// The method of a hook; `SEND` for a message that goes out, `WEBSOCKET` for one that came in so.
    pub method: String,
    /// Path and query.
    pub url: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body as text, as it came, or a message.
    pub text: String,
    /// Whether it is JSON, and meant as such.
    pub is_json: bool,
    /// The body in base64, when it is no text.
    pub base64: Option<String>,
    pub ip: String,
    pub protocol: String,
    /// What a script was started with.
    pub params: Vec<Value>,
    /// How many runs have led to this one, each by sending a message.
    pub depth: u32,
}

impl Request {
    /// Takes a body in: as text of its character set, and as JSON when it says that it is and is.
    pub fn set_body(&mut self, body: &[u8]) {
        let content_type = self.content_type();
        let is_form = media_type(content_type) == FORM;
        let text = match utf8(content_type, body) {
            // Percent-encoding comes off first.
            Cow::Owned(_) if is_form => Cow::Borrowed(body),
            text => text,
        };
        let text = String::from_utf8_lossy(&text).into_owned();
        // Looked through, not kept: the script reads it.
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

    /// The body as a script sees it; none where the script reads it itself.
    fn body(&self) -> Option<Value> {
        if self.is_json {
            // The script's reader keeps half of a surrogate pair, which nobody else takes.
            let has_half = has_half_pair(self.text.as_bytes());
            return has_half
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

    /// What `startparam` gives to a script that was started by hand. Any other finds the parts of its
    /// request there (`docs/contracts/era.md §7`).
    pub fn params(&self) -> Option<&[Value]> {
        (self.method == START).then_some(self.params.as_slice())
    }
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
    fn a_body_is_left_to_the_script_where_it_says_that_it_is_json_and_is() {
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
