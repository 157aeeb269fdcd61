//! The decision of a webhook's script about an event (`docs/contracts/prichal.md §6.2`).

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Deserialize;
use serde_json::Value;

use crate::{
    delivery_settings::header::{self, MAX_BYTES, MAX_HEADERS},
    schema::Object,
    words::words,
};

/// The longest body that a script may send, in bytes.
const MAX_BODY: usize = 1 << 20;
/// The longest path with its query, in bytes.
const MAX_PATH: usize = 8 << 10;

words! {
    /// The method of a call.
    #[derive(Default)]
    Method { #[default] Post "POST", Put "PUT", Patch "PATCH", Delete "DELETE" }
}

/// The decision of a script about an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Transformed {
    /// The receiver is not called.
    Skipped,
    Call(Changes),
}

/// The differences to the call that would be made without a script.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    pub method: Method,
    /// The path and the query, from the root of the webhook's host.
    pub path: Option<String>,
    /// The headers to set or, without a value, to leave out.
    pub headers: Vec<(String, Option<String>)>,
    /// `None` if the event is sent as it is.
    pub body: Option<Body>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Body {
    pub bytes: Vec<u8>,
    /// The type that the body has if the headers name none.
    pub content_type: &'static str,
}

/// The argument of `send` or `skip`, as the engine writes it.
#[derive(Deserialize)]
struct Sent {
    #[serde(default)]
    skip: bool,
    #[serde(default)]
    method: Value,
    #[serde(default)]
    path: Value,
    #[serde(default)]
    headers: Value,
    /// The names of further members.
    #[serde(default)]
    others: Vec<String>,
    #[serde(default)]
    kind: Option<Kind>,
    #[serde(default)]
    body: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Text,
    Json,
    /// Bytes in base64.
    Bytes,
}

/// Reads what a script has sent. `reserved` are the beginnings of headers that the server sets. The error is for people.
pub fn read(sent: Option<&str>, reserved: &[&str]) -> Result<Transformed, String> {
    let Some(text) = sent else {
        return Err("it has called neither `send` nor `skip`".to_owned());
    };
    let sent: Sent =
        serde_json::from_str(text).map_err(|_| "what it has sent cannot be read".to_owned())?;
    if sent.skip {
        return Ok(Transformed::Skipped);
    }
    if let Some(name) = sent.others.first() {
        let name: String = name.chars().take(64).collect();
        return Err(format!(
            "`send` takes method, path, headers and body, and no `{name}`"
        ));
    }
    Ok(Transformed::Call(Changes {
        method: method(&sent.method)?,
        path: path(sent.path)?,
        headers: headers(&sent.headers, reserved)?,
        body: sent.kind.map(|kind| body(&kind, sent.body)).transpose()?,
    }))
}

fn method(value: &Value) -> Result<Method, String> {
    let known = match value {
        Value::Null => Some(Method::Post),
        value => value.as_str().and_then(Method::from_name),
    };
    known.ok_or_else(|| format!("the method must be {}", Method::WORDS.join(", ")))
}

fn path(value: Value) -> Result<Option<String>, String> {
    let path = match value {
        Value::Null => return Ok(None),
        Value::String(path) => path,
        _ => return Err("the path must be a text".to_owned()),
    };
    let mut rest = path.strip_prefix('/').map(str::chars);
    let leaves = match &mut rest {
        None => true,
        // Such a path begins with a host.
        Some(rest) => matches!(rest.next(), Some('/' | '\\')),
    };
    if leaves {
        let why = "the path must begin with one `/`: a script cannot choose another host";
        return Err(why.to_owned());
    }
    if path.len() > MAX_PATH {
        return Err(format!("the path is longer than {MAX_PATH} bytes"));
    }
    if path.chars().any(|c| c.is_control() || c == '#') {
        return Err("the path contains a control character or a `#`".to_owned());
    }
    Ok(Some(path))
}

fn headers(value: &Value, reserved: &[&str]) -> Result<Vec<(String, Option<String>)>, String> {
    let none = Object::new();
    let given = match value {
        Value::Null => &none,
        Value::Object(given) => given,
        _ => return Err("the headers must be an object".to_owned()),
    };
    let read = given.iter();
    let read = read.map(|(name, value)| header::of_script(name, value, reserved));
    let headers: Vec<_> = read.collect::<Result<_, _>>()?;
    let sizes = headers.iter();
    let sizes = sizes.map(|(name, value)| name.len() + value.as_ref().map_or(0, String::len));
    if headers.len() > MAX_HEADERS || sizes.sum::<usize>() > MAX_BYTES {
        return Err(format!(
            "there are more than {MAX_HEADERS} headers, or more than {MAX_BYTES} bytes of them"
        ));
    }
    Ok(headers)
}

fn body(kind: &Kind, text: Option<String>) -> Result<Body, String> {
    let text = text.ok_or("the body has no JSON form")?;
    let (bytes, content_type) = match kind {
        Kind::Text => (text.into_bytes(), "text/plain; charset=utf-8"),
        Kind::Json => (text.into_bytes(), "application/json; charset=utf-8"),
        Kind::Bytes => {
            let bytes = STANDARD.decode(text);
            let bytes = bytes.map_err(|_| "the body cannot be read".to_owned())?;
            (bytes, "application/octet-stream")
        }
    };
    if bytes.len() > MAX_BODY {
        return Err(format!("the body is longer than {MAX_BODY} bytes"));
    }
    Ok(Body {
        bytes,
        content_type,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(sent: &Value) -> Result<Transformed, String> {
        read(Some(&sent.to_string()), &["x-partner-"])
    }

    fn changes(sent: &Value) -> Changes {
        match of(sent) {
            Ok(Transformed::Call(changes)) => changes,
            other => panic!("{sent}: {other:?}"),
        }
    }

    #[test]
    fn a_script_changes_what_it_names() {
        assert_eq!(changes(&json!({})), Changes::default());
        let all = changes(&json!({
            "method": "put", "path": "/a/b?c=d", "kind": "json", "body": "[1]",
            "headers": {"X-A": 1, "content-type": "text/xml", "Authorization": null, "X-B": true, "X-C": "c"},
        }));
        let text = |value: &str| Some(value.to_owned());
        let headers = [
            ("X-A", text("1")),
            ("content-type", text("text/xml")),
            ("Authorization", None),
            ("X-B", text("true")),
            ("X-C", text("c")),
        ];
        assert_eq!(
            all.headers,
            headers.map(|(name, value)| (name.to_owned(), value))
        );
        assert_eq!(
            (all.method, all.path.as_deref()),
            (Method::Put, Some("/a/b?c=d"))
        );
        assert_eq!(all.body.unwrap().bytes, b"[1]");
        let bytes = changes(&json!({"kind": "bytes", "body": "/wA="}))
            .body
            .unwrap();
        assert_eq!(
            (bytes.bytes, bytes.content_type),
            (vec![255, 0], "application/octet-stream")
        );
        let empty = changes(&json!({"kind": "text", "body": ""})).body.unwrap();
        assert_eq!(empty.bytes, b"");
        assert_eq!(of(&json!({"skip": true})), Ok(Transformed::Skipped));
    }

    #[test]
    fn a_script_cannot_send_anything_anywhere() {
        let many: Object = (0..21).map(|n| (format!("X-{n}"), json!("v"))).collect();
        for (sent, why) in [
            (json!(1), "cannot be read"),
            (json!({"kind": "other", "body": ""}), "cannot be read"),
            (json!({"others": ["url"]}), "no `url`"),
            (json!({"method": "GET"}), "the method must be"),
            (json!({"method": 1}), "the method must be"),
            (json!({"path": "x"}), "another host"),
            (json!({"path": ""}), "another host"),
            (json!({"path": "https://other.example/"}), "another host"),
            (json!({"path": "//other.example/"}), "another host"),
            (json!({"path": "/\\other.example/"}), "another host"),
            (json!({"path": "/\t/other.example/"}), "control character"),
            (json!({"path": "/a\r\nHost: b"}), "control character"),
            (json!({"path": "/a#b"}), "`#`"),
            (
                json!({"path": "/".to_owned() + &"x".repeat(8192)}),
                "longer",
            ),
            (json!({"path": 1}), "must be a text"),
            (json!({"headers": []}), "must be an object"),
            (
                json!({"headers": {"Host": "a"}}),
                "`Host` is set by the server",
            ),
            (json!({"headers": {"host": null}}), "is set by the server"),
            (
                json!({"headers": {"Webhook-Id": "a"}}),
                "is set by the server",
            ),
            (
                json!({"headers": {"X-Partner-Key": "a"}}),
                "is set by the server",
            ),
            (json!({"headers": {"a b": "a"}}), "`a b` has a name"),
            (json!({"headers": {"X-A": "a\r\nX-B: b"}}), "has a value"),
            (json!({"headers": {"X-A": " a"}}), "has a value"),
            (json!({"headers": {"X-A": "é"}}), "has a value"),
            (json!({"headers": {"X-A": [1]}}), "is no text"),
            (json!({"headers": {"X-A": "a".repeat(4096)}}), "4096 bytes"),
            (json!({"headers": many}), "20 headers"),
            (json!({"kind": "json"}), "no JSON form"),
            (json!({"kind": "bytes", "body": "!"}), "cannot be read"),
            (
                json!({"kind": "text", "body": "x".repeat(MAX_BODY + 1)}),
                "the body is longer",
            ),
        ] {
            let found = of(&sent).unwrap_err();
            assert!(found.contains(why), "{found}, not {why}");
        }
        assert!(read(None, &[]).unwrap_err().contains("neither"));
    }
}
