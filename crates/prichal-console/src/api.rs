//! Calls of the API with the rights of the visitor.

use std::fmt::Write as _;

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Limited};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{
    backend::Workspace,
    parts::visible,
    visit::{Visit, Visitor},
};

/// The maximum size of an answer that a page shows.
const MAX_ANSWER: usize = 8 << 20;
/// The characters that need no encoding in a segment of a path (RFC 3986 §2.3).
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// A segment of a path, percent-encoded.
pub(crate) fn segment(text: &str) -> String {
    utf8_percent_encode(text, SEGMENT).to_string()
}

/// A query with the pairs whose value is not empty, with its question mark; empty if there are none.
pub(crate) fn query<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    for (name, value) in pairs {
        if !value.is_empty() {
            query.append_pair(name, value);
        }
    }
    match query.finish() {
        query if query.is_empty() => query,
        query => format!("?{query}"),
    }
}

/// A refusal or a failure of the API.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{status}: {message}")]
pub(crate) struct ApiError {
    pub(crate) status: StatusCode,
    /// The code of the dialect, such as `notFound`; empty if there is none.
    pub(crate) code: String,
    /// The reason, for people, as the API words it. It may quote what somebody has sent, so hidden characters in it are
    /// written as code points.
    pub(crate) message: String,
}

impl ApiError {
    /// True if the thing does not exist, or is not there for this session.
    pub(crate) fn is_not_found(&self) -> bool {
        self.status == StatusCode::NOT_FOUND
            || self.code.eq_ignore_ascii_case("notFound")
            || self.code == "RESOURCE_NOT_FOUND"
    }

    /// True if the session lacks the right.
    pub(crate) fn is_forbidden(&self) -> bool {
        matches!(
            self.status,
            StatusCode::FORBIDDEN | StatusCode::UNAUTHORIZED
        ) || self.code == "PERMISSION_ERROR"
    }

    /// True if the server cannot reach its store.
    pub(crate) fn is_store_away(&self) -> bool {
        self.status == StatusCode::SERVICE_UNAVAILABLE && self.code == "unavailable"
    }

    /// True if the request was wrong, so that the reader can mend it.
    pub(crate) fn is_refusal(&self) -> bool {
        self.status.is_client_error() && !self.is_forbidden()
    }

    /// Reads the error of any dialect (`docs/errors.md`).
    fn read(status: StatusCode, body: &[u8]) -> Self {
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        let text = |pointer: &str| body.pointer(pointer).and_then(Value::as_str);
        let first = [
            "/message",
            "/errorInfo/message",
            "/error_message",
            "/detail",
        ];
        let mut message = first
            .into_iter()
            .find_map(text)
            .unwrap_or_default()
            .to_owned();
        for fault in faults(&body) {
            if !message.contains(&fault) {
                let space = if message.is_empty() { "" } else { " " };
                let _ = write!(message, "{space}{fault}");
            }
        }
        if message.is_empty() {
            body.as_str().unwrap_or_default().clone_into(&mut message);
        }
        let code = text("/errors/0/errorCode").or_else(|| text("/status"));
        let code = code.or_else(|| text("/title")).unwrap_or_default();
        Self {
            status,
            code: code.to_owned(),
            message: visible(&message),
        }
    }
}

/// The sentences of an error's list, with the fields that they are about.
fn faults(body: &Value) -> Vec<String> {
    match body.get("errors") {
        Some(Value::Array(items)) => items.iter().filter_map(fault).collect(),
        Some(Value::Object(fields)) => fields
            .iter()
            .flat_map(|(field, texts)| {
                let texts = texts.as_array().into_iter().flatten();
                texts.filter_map(move |text| Some(format!("{field}: {}", text.as_str()?)))
            })
            .collect(),
        _ => Vec::new(),
    }
}

fn fault(item: &Value) -> Option<String> {
    let text = |name: &str| item.get(name).and_then(Value::as_str);
    let sentence = text("errorDescription").or_else(|| text("detail"))?;
    match text("field").filter(|field| !field.is_empty()) {
        Some(field) => Some(format!("{field}: {sentence}")),
        None => Some(sentence.to_owned()),
    }
}

impl Visitor {
    /// Calls the API outside of workspaces.
    pub(crate) async fn call(
        &self,
        workspace: Option<&Workspace>,
        mut request: Request<Body>,
    ) -> Response<Body> {
        let language = self.language.code();
        if let Ok(language) = language.parse() {
            request
                .headers_mut()
                .insert(header::ACCEPT_LANGUAGE, language);
        }
        self.console
            .call(&self.session, workspace, &self.extensions, request)
            .await
    }

    /// Reads from the API of the server, such as `/admin/v1/workspaces`.
    pub(crate) async fn hub_get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ApiError> {
        let request = json_request(Method::GET, path, None);
        parse(self.call(None, request).await).await
    }

    /// Sends to the API of the server.
    pub(crate) async fn hub_send<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: &Value,
    ) -> Result<T, ApiError> {
        let request = json_request(method, path, Some(body));
        parse(self.call(None, request).await).await
    }
}

impl Visit {
    /// A path of the workspace's API, such as `/api/v1/acme/deliveries`.
    pub(crate) fn api(&self, below: &str) -> String {
        format!("/api/v1/{}/{below}", segment(&self.workspace.name))
    }

    /// Reads from the API.
    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ApiError> {
        let request = json_request(Method::GET, path, None);
        parse(self.raw(request).await).await
    }

    /// Sends a body to the API.
    pub(crate) async fn send<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: &Value,
    ) -> Result<T, ApiError> {
        let request = json_request(method, path, Some(body));
        parse(self.raw(request).await).await
    }

    /// Calls the API with any request, and passes its answer on as it is: files, recordings, streams.
    pub(crate) async fn raw(&self, request: Request<Body>) -> Response<Body> {
        self.call(Some(&self.workspace), request).await
    }
}

pub(crate) fn json_request(method: Method, path: &str, body: Option<&Value>) -> Request<Body> {
    let text = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
    let mut request = Request::new(text);
    *request.method_mut() = method;
    // A path that cannot be parsed does not exist, and the API says so.
    *request.uri_mut() = path.parse().unwrap_or_default();
    if body.is_some() {
        let json = http::HeaderValue::from_static("application/json");
        request.headers_mut().insert(header::CONTENT_TYPE, json);
    }
    request
}

/// Reads an answer. One without a body reads as `null`.
pub(crate) async fn parse<T: DeserializeOwned>(answer: Response<Body>) -> Result<T, ApiError> {
    let (status, _, bytes) = collect(answer).await?;
    let text: &[u8] = if bytes.is_empty() { b"null" } else { &bytes };
    serde_json::from_slice(text).map_err(|error| {
        tracing::error!(%error, "the console cannot read an answer of the API");
        ApiError {
            status: StatusCode::INTERNAL_SERVER_ERROR,
            code: String::new(),
            message: format!("{status}: {error}"),
        }
    })
}

/// Reads an answer whole, and refusals as errors.
pub(crate) async fn collect(
    answer: Response<Body>,
) -> Result<(StatusCode, HeaderMap, Bytes), ApiError> {
    let (head, body) = answer.into_parts();
    let collected = Limited::new(body, MAX_ANSWER).collect().await;
    let bytes = collected.map_or_else(|_| Bytes::new(), http_body_util::Collected::to_bytes);
    if head.status.is_success() {
        Ok((head.status, head.headers, bytes))
    } else {
        Err(ApiError::read(head.status, &bytes))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn errors_of_every_dialect_are_read() {
        for (status, body, code, message) in [
            (
                409,
                json!({"status": "notFound", "message": "Delivery 1 not found"}),
                "notFound",
                "Delivery 1 not found",
            ),
            (
                400,
                json!({"title": "One or more validation errors occurred.", "detail": "The value 'x' is wrong.", "errors": {"from": ["Bad."]}}),
                "One or more validation errors occurred.",
                "The value 'x' is wrong. from: Bad.",
            ),
            (401, json!("Unauthorized"), "", "Unauthorized"),
            (
                404,
                json!({"error_code": 1404, "error_message": "Token not found"}),
                "",
                "Token not found",
            ),
            (
                400,
                json!({"response": null, "errors": [{"errorCode": "PERMISSION_ERROR", "errorDescription": "Нет права."}]}),
                "PERMISSION_ERROR",
                "Нет права.",
            ),
            (
                400,
                json!({"title": "Bad Request", "detail": "The name field is required.", "errors": [{"field": "name", "detail": "It is required."}]}),
                "Bad Request",
                "The name field is required. name: It is required.",
            ),
            (
                400,
                json!({"title": "Bad Request", "detail": "The value 'a\u{202e}b' is wrong."}),
                "Bad Request",
                "The value 'a<U+202E>b' is wrong.",
            ),
            (502, Value::Null, "", ""),
        ] {
            let status = StatusCode::from_u16(status).expect("a status");
            let error = ApiError::read(status, body.to_string().as_bytes());
            assert_eq!((&*error.code, &*error.message), (code, message));
        }
    }

    #[test]
    fn segments_and_queries_are_encoded() {
        assert_eq!(segment("a/b ?é"), "a%2Fb%20%3F%C3%A9");
        assert_eq!(
            query([("a", "1&2"), ("b", ""), ("c", "é")]),
            "?a=1%262&c=%C3%A9"
        );
        assert_eq!(query([("b", "")]), "");
    }
}
