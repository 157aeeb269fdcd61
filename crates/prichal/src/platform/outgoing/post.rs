//! Posts to receivers: one POST with a deadline, and its outcome.

use std::time::{Duration, SystemTime};

use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use bytes::Bytes;
use prichal_core::{
    retry::{Failure, Reply},
    schema::{Field, Type},
    time::Timestamp,
};
use prichal_store::delivery::Exchange;

use crate::platform::{
    Platform,
    outgoing::{Answer, CallError, Outgoing, connections::Connections, target::Target},
};

/// The bytes of an answer's body that the delivery log keeps.
pub const MAX_ANSWER_BYTES: usize = 4096;
/// The bytes of the headers that the delivery log keeps, for each direction.
const MAX_HEADER_BYTES: usize = 4096;

pub const WEBHOOK_ID: HeaderName = HeaderName::from_static(ID_FIELD.name);
pub const WEBHOOK_TIMESTAMP: HeaderName = HeaderName::from_static(TIMESTAMP_FIELD.name);

pub const ID_FIELD: Field = Field::new("webhook-id", Type::Text)
    .required()
    .doc("The id of the message. All attempts have the same.");
pub const TIMESTAMP_FIELD: Field = Field::new("webhook-timestamp", Type::Text)
    .required()
    .doc("The time of the attempt in seconds since 1970.")
    .example("1767225600");

/// The `User-Agent` of this server.
pub const USER_AGENT: HeaderValue =
    HeaderValue::from_static(concat!("Prichal/", env!("CARGO_PKG_VERSION")));

pub const JSON: HeaderValue = HeaderValue::from_static("application/json; charset=utf-8");

/// The outcome of a call.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub reply: Reply,
    pub started_at: Timestamp,
    pub duration: Duration,
    pub http_status: Option<u16>,
    /// The reason of a failure, for people.
    pub error: Option<String>,
    /// The first [`MAX_ANSWER_BYTES`] of the answer.
    pub answer: Option<String>,
    /// The headers, and the times of the call's parts.
    pub exchange: Exchange,
    /// The wait that an answer without success asks for.
    pub retry_after: Option<Duration>,
}

/// The outcome of a call with an invalid URL.
pub fn bad_url(started_at: Timestamp, error: String) -> Outcome {
    not_made(started_at, Failure::BadUrl, error)
}

/// The outcome of a call that was not made.
pub fn not_made(started_at: Timestamp, failure: Failure, error: String) -> Outcome {
    Outcome {
        reply: Reply::Failed(failure),
        started_at,
        duration: Duration::ZERO,
        http_status: None,
        error: Some(error),
        answer: None,
        exchange: Exchange::default(),
        retry_after: None,
    }
}

/// Posts a body once, within `timeout`. `read` judges the answer.
pub async fn post(
    app: &Platform,
    connections: &Connections,
    target: &Target,
    timeout: Duration,
    headers: HeaderMap,
    body: Bytes,
    read: impl FnOnce(&Answer) -> Reply,
) -> Outcome {
    let request = Outgoing {
        method: Method::POST,
        headers,
        body,
        keep: MAX_ANSWER_BYTES,
    };
    send(app, connections, target, timeout, request, read).await
}

/// Sends a request once, within `timeout`. `read` judges the answer.
pub async fn send(
    app: &Platform,
    connections: &Connections,
    target: &Target,
    timeout: Duration,
    request: Outgoing,
    read: impl FnOnce(&Answer) -> Reply,
) -> Outcome {
    let started_at = app.clock.now();
    let (called, exchange) = exchange(app, connections, target, timeout, request).await;
    let duration = app.clock.now().since(started_at);
    match called {
        Err(error) => Outcome {
            reply: Reply::Failed(failure(&error)),
            started_at,
            duration,
            http_status: None,
            error: Some(error.to_string()),
            answer: None,
            exchange,
            retry_after: None,
        },
        Ok(answer) => {
            let reply = read(&answer);
            let retry_after = (!reply.is_success())
                .then(|| retry_after(&answer.headers, app.clock.now()))
                .flatten();
            Outcome {
                reply,
                started_at,
                duration,
                http_status: Some(answer.status),
                error: reply.error().map(|fault| answer.explained(fault, target)),
                answer: (!answer.body.is_empty()).then(|| text(&answer.body)),
                exchange,
                retry_after,
            }
        }
    }
}

/// Makes a call within `timeout`, and notes what the delivery log tells of it, except for the body.
pub async fn exchange(
    app: &Platform,
    connections: &Connections,
    target: &Target,
    timeout: Duration,
    request: Outgoing,
) -> (Result<Answer, CallError>, Exchange) {
    let deadline = app.clock.sleep(timeout);
    let mut exchange = Exchange {
        sent: header_lines(&request.headers),
        ..Exchange::default()
    };
    let timings = &mut exchange.timings;
    let called = app
        .outgoing
        .call_timed(connections, target, request, deadline, timings);
    let called = called.await;
    if let Ok(answer) = &called {
        exchange.received = header_lines(&answer.headers);
    }
    (called, exchange)
}

/// The headers as lines of `name: value`, without the values that are secret.
fn header_lines(headers: &HeaderMap) -> Vec<u8> {
    let mut lines = Vec::with_capacity(512);
    for (name, value) in headers {
        let is_secret = value.is_sensitive() || name == header::SET_COOKIE;
        let value: &[u8] = if is_secret { b"***" } else { value.as_bytes() };
        // A shorter one behind it is shown.
        if lines.len() + name.as_str().len() + value.len() > MAX_HEADER_BYTES {
            continue;
        }
        lines.extend_from_slice(name.as_str().as_bytes());
        lines.extend_from_slice(b": ");
        lines.extend_from_slice(value);
        lines.push(b'\n');
    }
    lines
}

/// The wait that `Retry-After` asks for: seconds, or a date.
fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    let date = date.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    let now = u64::try_from(now.micros()).ok()?;
    date.checked_sub(Duration::from_micros(now))
}

/// The kind of failure that a call's error is for a delivery.
pub fn failure(error: &CallError) -> Failure {
    match error {
        CallError::Timeout { .. } => Failure::Timeout,
        CallError::Refused(_) | CallError::Unlisted => Failure::Forbidden,
        CallError::Dns => Failure::Unresolved,
        CallError::Connect { .. } | CallError::Proxy(_) | CallError::Tls { .. } => Failure::Connect,
        CallError::Closed { .. } | CallError::BadAnswer { .. } | CallError::TooLargeHead => {
            Failure::Broken
        }
    }
}

/// Bytes as text that both engines can store: PostgreSQL refuses NUL.
pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).replace('\0', "\u{fffd}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_header_hides_no_other() {
        let mut headers = HeaderMap::new();
        let long = HeaderValue::try_from("x".repeat(MAX_HEADER_BYTES)).expect("a value");
        headers.insert("x-long", long);
        headers.insert("webhook-id", HeaderValue::from_static("1"));
        assert_eq!(header_lines(&headers), b"webhook-id: 1\n");
    }

    #[test]
    fn a_receiver_asks_for_patience_in_seconds_or_by_date() {
        // 1994-11-06T08:49:37Z.
        let date = Timestamp::from_micros(784_111_777_000_000);
        let now = date - Duration::from_mins(2);
        let after = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static(value));
            retry_after(&headers, now).map(|wait| wait.as_secs())
        };
        assert_eq!(after("90"), Some(90));
        assert_eq!(after("0"), Some(0));
        assert_eq!(after("Sun, 06 Nov 1994 08:49:37 GMT"), Some(120));
        for odd in ["Sun, 06 Nov 1994 08:40:00 GMT", "-1", "1.5", "soon", ""] {
            assert_eq!(after(odd), None, "{odd}");
        }
        assert_eq!(retry_after(&HeaderMap::new(), now), None);
    }
}
