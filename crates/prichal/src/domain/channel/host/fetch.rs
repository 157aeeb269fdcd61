//! The requests of a script to the outside.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use axum::http::{HeaderMap, HeaderName, HeaderValue, Method};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use futures_util::{FutureExt as _, future::BoxFuture};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{Called, RunHost, read};
use crate::{
    domain::channel::{request::may_be_secret, send},
    error::{Code, Error, Result},
    platform::outgoing::{Outgoing, post::exchange, target::Target},
};

const MAX_FETCHES: usize = 50;
/// The maximum number of bytes of request bodies that a run sends at the same time.
const MAX_CONCURRENT_BODY_BYTES: usize = 8 << 20;
/// The maximum number of bytes of an answer that a script is given; the rest is cut off.
const MAX_FETCHED_BYTES: usize = 1 << 20;

#[derive(Deserialize)]
struct Fetch {
    url: String,
    method: String,
    headers: Map<String, Value>,
    body: Option<String>,
    /// A body of bytes.
    base64: Option<String>,
    #[serde(default)]
    form: bool,
    json: bool,
}

impl RunHost {
    pub(super) fn fetch(
        &mut self,
        argument: &str,
    ) -> Result<BoxFuture<'static, Result<String, String>>> {
        let Fetch {
            url,
            method,
            headers,
            body,
            base64,
            form,
            json,
        } = read(argument)?;
        if self.fetched >= MAX_FETCHES {
            let what = format!("A run may fetch at most {MAX_FETCHES} times");
            return Err(Error::refused(Code::LimitReached, what));
        }
        self.fetched += 1;
        let own = self
            .handle
            .as_ref()
            .map(|handle| handle.channel.text("url"));
        let is_own = own.is_some_and(|own| !own.is_empty() && own == url);
        let is_https = url
            .get(..8)
            .is_some_and(|head| head.eq_ignore_ascii_case("https://"));
        if !is_own && !is_https {
            return Err(Error::refused(
                Code::Conflict,
                "Only https addresses and the channel's own `url` can be fetched",
            ));
        }
        let target =
            Target::parse(&url).map_err(|error| Error::invalid("url", error.to_string()))?;
        let method = read_method(&method)?;
        let body = match base64 {
            Some(base64) => STANDARD
                .decode(base64)
                .map_err(|_| Error::invalid("body", "The body is not base64."))?,
            None => body.unwrap_or_default().into_bytes(),
        };
        let underway = BodyReservation::take(&self.underway, body.len())?;
        let kind = match (json, form) {
            (true, _) => Some("application/json; charset=utf-8"),
            (_, true) => Some("application/x-www-form-urlencoded;charset=UTF-8"),
            _ => None,
        };
        let mut headers = outgoing_headers(headers, kind)?;
        hide_secrets(&mut headers);
        let request = Outgoing {
            method,
            headers,
            body: Bytes::from(body),
            keep: MAX_FETCHED_BYTES,
        };
        let (app, connections, turn) = (
            self.app.clone(),
            self.connections.clone(),
            self.fetching.clone(),
        );
        let posted = is_own.then(|| self.posted.clone());
        let work = async move {
            let _underway = underway;
            let _turn = turn.acquire().await;
            let body = posted.is_some().then(|| request.body.clone());
            let timeout = app.config.delivery_timeout;
            let (called, mut exchange) =
                exchange(&app, &connections, &target, timeout, request).await;
            exchange.body = body.and_then(|body| send::logged_body(&body));
            if let Some(posted) = posted {
                let answer = called.as_ref().ok();
                posted.set(Called {
                    http_status: answer.map(|answer| answer.status),
                    answer: answer.and_then(|answer| send::head(&answer.body)),
                    exchange,
                });
            }
            let answer = called.map_err(|error| error.to_string())?;
            let failure = match &answer.broken {
                Some(broken) => Some(broken.to_string()),
                None => answer
                    .truncated
                    .then(|| "the answer is longer than 1 MiB".to_owned()),
            };
            let mut headers = Map::new();
            for (name, value) in &answer.headers {
                let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
                headers.insert(name.as_str().to_owned(), value.into());
            }
            let body = String::from_utf8_lossy(&answer.body);
            let mut shown = json!({ "status": answer.status, "headers": headers, "body": body, "failure": failure });
            if body.as_bytes() != answer.body {
                shown["base64"] = STANDARD.encode(&answer.body).into();
            }
            Ok(shown.to_string())
        };
        Ok(work.boxed())
    }
}

/// The memory that a request body takes until it is sent.
struct BodyReservation(Arc<AtomicUsize>, usize);

impl BodyReservation {
    fn take(all: &Arc<AtomicUsize>, bytes: usize) -> Result<Self> {
        let taken = Self(all.clone(), bytes);
        if all.fetch_add(bytes, Ordering::Relaxed) + bytes > MAX_CONCURRENT_BODY_BYTES {
            let what = format!(
                "The bodies that a run sends at the same time may have at most {} MiB",
                MAX_CONCURRENT_BODY_BYTES >> 20
            );
            return Err(Error::refused(Code::LimitReached, what));
        }
        Ok(taken)
    }
}

impl Drop for BodyReservation {
    fn drop(&mut self) {
        self.0.fetch_sub(self.1, Ordering::Relaxed);
    }
}

fn read_method(name: &str) -> Result<Method> {
    let method = Method::from_bytes(name.to_ascii_uppercase().as_bytes());
    let method = method.ok().filter(|method| *method != Method::CONNECT);
    method.ok_or_else(|| {
        let shown: String = name.chars().take(64).collect();
        let why = format!("`{shown}` is not a valid HTTP method, such as GET or POST.");
        Error::invalid("method", why)
    })
}

/// Headers that belong to the connection.
const RESERVED: [&str; 5] = [
    "host",
    "content-length",
    "connection",
    "transfer-encoding",
    "upgrade",
];

fn outgoing_headers(given: Map<String, Value>, kind: Option<&'static str>) -> Result<HeaderMap> {
    let mut headers = HeaderMap::new();
    for (name, value) in given {
        let shown: String = name.chars().take(64).collect();
        let bad = || Error::invalid("headers", format!("The header {shown} cannot be sent."));
        let value = match &value {
            Value::String(value) => value.clone(),
            Value::Null => continue,
            Value::Number(_) | Value::Bool(_) => value.to_string(),
            _ => return Err(bad()),
        };
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| bad())?;
        if RESERVED.contains(&name.as_str()) {
            let why = format!("The header {name} cannot be sent, it belongs to the connection.");
            return Err(Error::invalid("headers", why));
        }
        headers.insert(name, HeaderValue::try_from(value).map_err(|_| bad())?);
    }
    if let Some(kind) = kind {
        let kind = HeaderValue::from_static(kind);
        headers.entry("content-type").or_insert(kind);
    }
    headers.entry("user-agent").or_insert(send::USER_AGENT);
    Ok(headers)
}

/// Marks the headers that may hold a secret, by their names, since a script may have it from anywhere.
fn hide_secrets(headers: &mut HeaderMap) {
    for (name, value) in headers.iter_mut() {
        value.set_sensitive(may_be_secret(name.as_str()) || value.is_sensitive());
    }
}
