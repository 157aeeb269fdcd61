//! The answer that a script gives.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// What is answered to the request that a run is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Response {
    /// 200 to 599.
    pub status: u16,
    /// Valid names in lower case and valid values.
    pub headers: Vec<(String, String)>,
    /// A text, or bytes in base64.
    pub body: String,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_base64: bool,
}

#[derive(Deserialize)]
struct Given {
    status: Value,
    headers: Value,
    body: String,
    /// Whether the body was put into JSON here.
    json: bool,
    /// The body is bytes in base64.
    #[serde(default)]
    bytes: bool,
}

/// The most headers an answer may have.
const MOST: usize = 64;
/// The most bytes that names and values of all headers may have.
const MOST_BYTES: usize = 16 << 10;
/// Headers that belong to the connection, not to an answer, and those that rule all of the server's origin
/// in a browser: cookies, policies, what other origins may do.
const RESERVED: [&str; 27] = [
    "accept-ch",
    "alt-svc",
    "clear-site-data",
    "connection",
    "content-length",
    "content-security-policy",
    "content-security-policy-report-only",
    "critical-ch",
    "date",
    "document-policy",
    "expect-ct",
    "keep-alive",
    "nel",
    "origin-agent-cluster",
    "permissions-policy",
    "public-key-pins",
    "report-to",
    "reporting-endpoints",
    "service-worker-allowed",
    "set-cookie",
    "set-cookie2",
    "strict-transport-security",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "x-content-type-options",
];
/// Beginnings of the names of more of them.
const RESERVED_BEGINNINGS: [&str; 4] = ["access-control-", "cross-origin-", "proxy-", "sec-"];

impl Response {
    /// Reads what the prelude hands over: `{status, headers, body, json}`.
    pub(crate) fn read(given: &str, most_body: usize) -> Result<Self, String> {
        let given: Given = serde_json::from_str(given).map_err(|_| "not an answer".to_owned())?;
        let status = given.status.as_f64().and_then(|status| {
            (200..600).find(|known| f64::from(*known).total_cmp(&status).is_eq())
        });
        let status: u16 = status.ok_or("the status must be a whole number from 200 to 599")?;
        let Value::Object(headers) = given.headers else {
            return Err("the headers must be an object".to_owned());
        };
        let mut headers = read_headers(headers)?;
        let length = if given.bytes {
            given.body.len() / 4 * 3
        } else {
            given.body.len()
        };
        if length > most_body {
            return Err(format!("the body is longer than {most_body} bytes"));
        }
        let kind = match (given.json, given.bytes) {
            (_, true) => Some("application/octet-stream"),
            (true, _) => Some("application/json; charset=utf-8"),
            _ => None,
        };
        let is_named = headers.iter().any(|(name, _)| name == "content-type");
        if let Some(kind) = kind.filter(|_| !is_named) {
            headers.push(("content-type".to_owned(), kind.to_owned()));
        }
        Ok(Self {
            status,
            headers,
            body: given.body,
            is_base64: given.bytes,
        })
    }

    /// The bytes of the body.
    pub fn into_body(self) -> Vec<u8> {
        if !self.is_base64 {
            return self.body.into_bytes();
        }
        // It was encoded here.
        STANDARD.decode(self.body).unwrap_or_default()
    }

    /// The same as a JSON object, for the record of the run.
    pub fn to_json(&self) -> Value {
        let headers = self.headers.iter();
        let headers = headers.map(|(name, value)| (name.clone(), value.as_str().into()));
        let body = if self.is_base64 { "base64" } else { "body" };
        serde_json::json!({
            "status": self.status,
            "headers": headers.collect::<Map<_, _>>(),
            body: self.body,
        })
    }
}

/// True for a header, in lower case, that no script may set.
pub fn is_reserved(name: &str) -> bool {
    RESERVED.contains(&name)
        || RESERVED_BEGINNINGS
            .iter()
            .any(|beginning| name.starts_with(beginning))
}

fn read_headers(given: Map<String, Value>) -> Result<Vec<(String, String)>, String> {
    let shown = |name: &str| name.chars().take(64).collect::<String>();
    let mut headers = Vec::new();
    let mut bytes = 0;
    for (name, value) in given {
        let value = match value {
            Value::String(value) => value,
            Value::Number(value) => value.to_string(),
            Value::Bool(value) => value.to_string(),
            Value::Null => continue,
            _ => return Err(format!("the header {} is not a text", shown(&name))),
        };
        let is_token =
            |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if name.is_empty() || !name.bytes().all(is_token) {
            return Err(format!("{} is no name of a header", shown(&name)));
        }
        if !value
            .bytes()
            .all(|byte| byte == b'\t' || (b' '..=b'~').contains(&byte))
        {
            return Err(format!(
                "the header {} has characters that headers cannot carry",
                shown(&name)
            ));
        }
        let name = name.to_ascii_lowercase();
        if is_reserved(&name) {
            return Err(format!("the header {name} is the server's own"));
        }
        bytes += name.len() + value.len();
        headers.push((name, value));
    }
    if headers.len() > MOST || bytes > MOST_BYTES {
        return Err(format!(
            "an answer has at most {MOST} headers of together {MOST_BYTES} bytes"
        ));
    }
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(status: &Value, headers: &Value, body: &str) -> Result<Response, String> {
        let given = json!({ "status": status, "headers": headers, "body": body, "json": false });
        Response::read(&given.to_string(), 10)
    }

    #[test]
    fn an_answer_is_what_http_can_carry() {
        let answer = read(&json!(201), &json!({ "X-A": 1, "x-b": null }), "hi").expect("an answer");
        assert_eq!(answer.status, 201);
        assert_eq!(answer.headers, [("x-a".to_owned(), "1".to_owned())]);
        for (status, headers, body) in [
            (json!(199), json!({}), ""),
            (json!(600), json!({}), ""),
            (json!(200.5), json!({}), ""),
            (json!("200"), json!({}), ""),
            (json!(200), json!([]), ""),
            (json!(200), json!({ "a b": "c" }), ""),
            (json!(200), json!({ "": "c" }), ""),
            (json!(200), json!({ "a": "b\r\nc: d" }), ""),
            (json!(200), json!({ "a": "é" }), ""),
            (json!(200), json!({ "a": [] }), ""),
            (json!(200), json!({ "Transfer-Encoding": "chunked" }), ""),
            (json!(200), json!({ "Set-Cookie": "a=b" }), ""),
            (
                json!(200),
                json!({ "access-control-allow-origin": "*" }),
                "",
            ),
            (
                json!(200),
                json!({ "Strict-Transport-Security": "max-age=1" }),
                "",
            ),
            (json!(200), json!({ "Service-Worker-Allowed": "/" }), ""),
            (json!(200), json!({}), "eleven chars"),
        ] {
            assert!(read(&status, &headers, body).is_err(), "{status} {headers}");
        }
    }
}
