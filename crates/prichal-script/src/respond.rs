//! The response of a script.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The response to the request that started the run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Response {
    /// From 200 to 599.
    pub status: u16,
    /// Valid names in lower case, and valid values.
    pub headers: Vec<(String, String)>,
    /// A text, or bytes in base64.
    pub body: String,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_base64: bool,
}

#[derive(Deserialize)]
struct RawResponse {
    status: Value,
    headers: Value,
    body: String,
    /// True if this crate serialized the body to JSON.
    json: bool,
    /// True if the body is bytes in base64.
    #[serde(default)]
    bytes: bool,
}

/// The largest number of headers.
const MAX_HEADERS: usize = 64;
/// The largest size of the names and values of all headers, in bytes.
const MAX_HEADER_BYTES: usize = 16 << 10;
/// Headers that belong to the connection instead of the response, and headers that affect the server's whole origin
/// in a browser: cookies, policies, access of other origins, other pages, a dialog for a password.
const RESERVED: [&str; 32] = [
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
    "link",
    "nel",
    "origin-agent-cluster",
    "permissions-policy",
    "public-key-pins",
    "refresh",
    "report-to",
    "reporting-endpoints",
    "service-worker-allowed",
    "set-cookie",
    "set-cookie2",
    "sourcemap",
    "strict-transport-security",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "www-authenticate",
    "x-content-type-options",
    "x-frame-options",
];
/// Prefixes of further reserved headers.
const RESERVED_PREFIXES: [&str; 4] = ["access-control-", "cross-origin-", "proxy-", "sec-"];

impl Response {
    /// Reads the prelude's output: `{status, headers, body, json}`.
    pub(crate) fn read(raw: &str, max_body: usize) -> Result<Self, String> {
        let raw: RawResponse =
            serde_json::from_str(raw).map_err(|_| "the response is not valid".to_owned())?;
        let status = raw.status.as_f64().and_then(|status| {
            (200..600).find(|known| f64::from(*known).total_cmp(&status).is_eq())
        });
        let status: u16 = status.ok_or("the status must be a whole number from 200 to 599")?;
        let Value::Object(headers) = raw.headers else {
            return Err("the headers must be an object".to_owned());
        };
        let mut headers = read_headers(headers)?;
        let length = if raw.bytes {
            raw.body.len() / 4 * 3
        } else {
            raw.body.len()
        };
        if length > max_body {
            return Err(format!("the body is longer than {max_body} bytes"));
        }
        let kind = match (raw.json, raw.bytes) {
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
            body: raw.body,
            is_base64: raw.bytes,
        })
    }

    /// Returns the bytes of the body.
    pub fn into_body(self) -> Vec<u8> {
        if !self.is_base64 {
            return self.body.into_bytes();
        }
        // The body was encoded by this crate, so it is valid base64.
        STANDARD.decode(self.body).unwrap_or_default()
    }

    /// The response as a JSON object, for the record of the run.
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

/// True for a header, in lower case, that scripts must not set.
pub fn is_reserved(name: &str) -> bool {
    RESERVED.contains(&name)
        || RESERVED_PREFIXES
            .iter()
            .any(|beginning| name.starts_with(beginning))
}

fn read_headers(raw: Map<String, Value>) -> Result<Vec<(String, String)>, String> {
    let shown = |name: &str| name.chars().take(64).collect::<String>();
    let mut headers = Vec::new();
    let mut bytes = 0;
    for (name, value) in raw {
        let value = match value {
            Value::String(value) => value,
            Value::Number(value) => value.to_string(),
            Value::Bool(value) => value.to_string(),
            Value::Null => continue,
            _ => return Err(format!("the header {} must be a text", shown(&name))),
        };
        let is_token =
            |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if name.is_empty() || !name.bytes().all(is_token) {
            return Err(format!("{} is not a valid header name", shown(&name)));
        }
        if !value
            .bytes()
            .all(|byte| byte == b'\t' || (b' '..=b'~').contains(&byte))
        {
            return Err(format!(
                "the header {} contains characters that are not allowed in headers",
                shown(&name)
            ));
        }
        let name = name.to_ascii_lowercase();
        if is_reserved(&name) {
            return Err(format!("the header {name} is reserved for the server"));
        }
        bytes += name.len() + value.len();
        headers.push((name, value));
    }
    if headers.len() > MAX_HEADERS || bytes > MAX_HEADER_BYTES {
        return Err(format!(
            "a response may have at most {MAX_HEADERS} headers with {MAX_HEADER_BYTES} bytes in total"
        ));
    }
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(status: &Value, headers: &Value, body: &str) -> Result<Response, String> {
        let raw = json!({ "status": status, "headers": headers, "body": body, "json": false });
        Response::read(&raw.to_string(), 10)
    }

    #[test]
    fn a_response_is_valid_http() {
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
            (json!(200), json!({ "Refresh": "0;url=/" }), ""),
            (json!(200), json!({ "WWW-Authenticate": "Basic" }), ""),
            (json!(200), json!({ "Link": "</a>;rel=preload" }), ""),
            (json!(200), json!({ "SourceMap": "/a" }), ""),
            (json!(200), json!({ "X-Frame-Options": "DENY" }), ""),
            (json!(200), json!({}), "eleven chars"),
        ] {
            assert!(read(&status, &headers, body).is_err(), "{status} {headers}");
        }
    }
}
