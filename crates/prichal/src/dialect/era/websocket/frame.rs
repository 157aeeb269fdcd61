//! Frames from and to the client. A `qid` ties an answer to its question.

use prichal_core::schema::Object;
use serde::{Deserialize, Serialize, de::IgnoredAny};
use serde_json::{Value, value::RawValue};
use utoipa::ToSchema;

use crate::platform::reading::parse_json;

/// The client's id of a question: any JSON, which the answer repeats to the letter.
pub type Qid = Option<Box<RawValue>>;

/// The outcome of a request that was served.
#[derive(Clone, Copy, Default, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = FrameOk)]
pub(super) enum Success {
    #[default]
    Ok,
}

/// The outcome of a request that was refused or has failed.
#[derive(Clone, Copy, Default, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = FrameError)]
pub(super) enum Failure {
    #[default]
    Error,
}

/// The answer to a request without contents.
#[derive(Default, Serialize, ToSchema)]
#[schema(as = FrameDone)]
pub(super) struct Done {
    /// The outcome.
    result: Success,
}

/// The answer with an entity or a list.
#[derive(Serialize, ToSchema)]
#[schema(as = FrameContent)]
pub(super) struct Content {
    /// The outcome.
    result: Success,
    /// The body that the same request has by HTTP; `null` without one.
    #[schema(required)]
    content: Value,
}

impl Content {
    pub(super) fn of(content: Value) -> Self {
        let result = Success::Ok;
        Self { result, content }
    }
}

/// The response of the channel's script.
#[derive(Serialize, ToSchema)]
#[schema(as = FrameData)]
pub(super) struct Data {
    /// The outcome.
    result: Success,
    /// The body of the response.
    #[schema(required)]
    data: Value,
}

impl Data {
    pub(super) fn of(data: Value) -> Self {
        let result = Success::Ok;
        Self { result, data }
    }
}

/// The result of a script that the client has started.
#[derive(Serialize, ToSchema)]
#[schema(as = FrameScriptResult)]
pub(super) struct ScriptResult {
    /// The outcome.
    result: Success,
    /// The state that the script has left.
    data: Variables,
}

/// The outcome of a script.
#[derive(Serialize, ToSchema)]
#[schema(as = ScriptVariables)]
struct Variables {
    /// The script's global object `variables`.
    #[schema(required)]
    variables: Value,
}

impl ScriptResult {
    pub(super) fn of(variables: Value) -> Self {
        let (result, data) = (Success::Ok, Variables { variables });
        Self { result, data }
    }
}

/// A refusal or a failure.
#[derive(Serialize, ToSchema)]
#[schema(as = FrameRefusal)]
pub(super) struct Refused {
    /// The outcome.
    result: Failure,
    /// The status that the same request has by HTTP, and a thousand.
    #[schema(examples(1403))]
    errorcode: i64,
    /// The reason, for people.
    #[schema(examples("The capability rest is not set up"))]
    errormsg: String,
}

/// The answer to a text that is no frame.
#[derive(Serialize, ToSchema)]
#[schema(as = FrameUnreadable)]
pub(super) struct Unreadable {
    /// The status and a thousand.
    #[schema(examples(1400))]
    errorcode: i64,
    /// The reason, for people.
    errormsg: &'static str,
}

/// `["<method>_result", {qid, result, …}]`: a good answer, or the code and the text of an error.
pub(super) fn answered(
    method: &str,
    qid: Option<&RawValue>,
    answer: Result<impl Serialize, (i64, String)>,
) -> String {
    match answer {
        Ok(body) => framed(method, qid, &body),
        Err((errorcode, errormsg)) => {
            let refused = Refused {
                result: Failure::Error,
                errorcode,
                errormsg,
            };
            framed(method, qid, &refused)
        }
    }
}

/// `["<method>_result", {qid, …}]` with the members of `body`, an object that is not empty.
fn framed(method: &str, qid: Option<&RawValue>, body: &impl Serialize) -> String {
    let name = Value::from(format!("{method}_result"));
    // The types of this file have no maps with keys that JSON lacks, so they can be written.
    let body = serde_json::to_string(body).unwrap_or_default();
    match (qid, body.strip_prefix('{')) {
        (Some(qid), Some(members)) => format!("[{name},{{\"qid\":{qid},{members}]"),
        _ => format!("[{name},{body}]"),
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
    let error = Unreadable {
        errorcode: 1400,
        errormsg: "A frame is a JSON array of a method and its parameters.",
    };
    serde_json::to_string(&("error", error)).unwrap_or_default()
}
