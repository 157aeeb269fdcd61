//! Frames from and to the client. A `qid` ties an answer to its question.

use prichal_core::schema::Object;
use serde::{Deserialize, de::IgnoredAny};
use serde_json::{Value, json, value::RawValue};

use crate::platform::reading::parse_json;

/// The client's id of a question: any JSON, which the answer repeats to the letter.
pub type Qid = Option<Box<RawValue>>;

/// The members of an answer beside `qid` and `result`; or the code and the text of an error.
pub(super) type Answer = Result<Vec<(&'static str, Value)>, (i64, String)>;

/// `["<method>_result", {qid, result, …}]`.
pub(super) fn answered(method: &str, qid: Option<&RawValue>, answer: Answer) -> String {
    let mut body = Object::new();
    match answer {
        Ok(members) => {
            body.insert("result".to_owned(), "ok".into());
            body.extend(
                members
                    .into_iter()
                    .map(|(name, value)| (name.to_owned(), value)),
            );
        }
        Err((code, message)) => {
            body.insert("result".to_owned(), "error".into());
            body.insert("errorcode".to_owned(), code.into());
            body.insert("errormsg".to_owned(), message.into());
        }
    }
    framed(method, qid, body)
}

/// `["<method>_result", {qid, …}]` with the members of `body`, which is not empty.
pub(super) fn framed(method: &str, qid: Option<&RawValue>, body: Object) -> String {
    let name = Value::from(format!("{method}_result"));
    let body = Value::Object(body).to_string();
    match qid {
        Some(qid) => format!("[{name},{{\"qid\":{qid},{}]", &body[1..]),
        None => format!("[{name},{body}]"),
    }
}

/// A frame of the client: `["<method>", params]`, its parameters mostly an object.
pub struct Received<'a> {
    text: &'a str,
    frame: [Value; 2],
}

/// Reads a frame. `None` unless it is an array of a method's name and its parameters.
pub fn read(text: &str) -> Option<Received<'_>> {
    let Ok(Value::Array(frame)) = parse_json(text.as_bytes()) else {
        return None;
    };
    let frame = <[Value; 2]>::try_from(frame).ok()?;
    frame[0].is_string().then_some(Received { text, frame })
}

impl Received<'_> {
    pub fn method(&self) -> &str {
        self.frame[0].as_str().unwrap_or_default()
    }

    /// The parameters; `None` if they are no object.
    pub fn params(&self) -> Option<&Object> {
        self.frame[1].as_object()
    }

    /// The id that the answer repeats.
    pub fn qid(&self) -> Qid {
        read_qid(self.text, self.params()?)
    }

    /// The frame as strict JSON: as it came if that is strict, else written anew.
    pub fn to_json(&self) -> String {
        match serde_json::from_str::<IgnoredAny>(self.text) {
            Ok(IgnoredAny) => self.text.to_owned(),
            Err(_) => Value::from(self.frame.to_vec()).to_string(),
        }
    }
}

/// The `qid` of a frame as it is written; if there are two, the last one, written anew.
fn read_qid(text: &str, asked: &Object) -> Qid {
    #[derive(Deserialize)]
    struct Params {
        qid: Box<RawValue>,
    }
    let understood = asked.get("qid")?;
    let written = serde_json::from_str::<(IgnoredAny, Params)>(text);
    let written = written.map(|(_, params)| params.qid);
    written
        .or_else(|_| RawValue::from_string(understood.to_string()))
        .ok()
}

/// The answer to a text that is no frame.
pub(super) fn unreadable() -> String {
    let why = "A frame is a JSON array of a method and its parameters.";
    json!(["error", { "errorcode": 1400, "errormsg": why }]).to_string()
}
